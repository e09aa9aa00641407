//! Processes that die, and processes that stand still and go on as if nothing had been.

use std::time::Duration;

use crate::LeftOut;
use crate::instance::{now_us, run};
use crate::report::Row;
use crate::stage::{GAUGES, Plan, Stage, pause, signal};
use crate::under_load::{Random, kill_at_random, setting};

/// One short, one in which clients time out, one in which sessions and memberships end.
const PAUSES_SECS: [u64; 3] = [1, 10, 60];
const BETWEEN: Duration = Duration::from_secs(5);
/// How soon one that was replaced while it stood still must end.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// kill -9 of Forecourt, Kafka, ClickHouse and all three at once, at random moments.
pub(crate) fn kill() -> Result<Row, LeftOut> {
    let (crashes, seed) = (setting("CRASHES", 12), setting("CRASH_SEED", now_us()));
    let mut stage = Stage::raise(&Plan::new("kill", crashes * 6 + 10))?;
    let Stage { engines, forecourt, .. } = &mut stage;
    let killed = kill_at_random(crashes, &mut Random(seed | 1), engines, forecourt);
    for (what, count) in [
        ("kill -9 Forecourt", killed.forecourt),
        ("kill -9 Kafka", killed.kafka),
        ("kill -9 ClickHouse", killed.clickhouse),
        ("kill -9 of all at once", killed.all),
    ] {
        (0..count).for_each(|_| stage.fault(what));
    }
    stage.remark(format!("CRASH_SEED={seed} CRASHES={crashes}"));
    Ok(stage.judge())
}

/// Mosquitto says that it has a reading before it has saved it, so what it was just saying at each kill may be gone: at most the
/// one reading that each gauge has under way.
pub(crate) fn kill_mosquitto() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan::new("kill_mosquitto", 50))?;
    let kills = 8;
    for round in 0..kills {
        stage.watch(Duration::from_millis(3_000 + 137 * round));
        stage.mosquitto.kill();
        stage.mosquitto.launch();
        stage.fault("kill -9 Mosquitto");
    }
    Ok(stage.judge_with_readings_lost(kills * GAUGES))
}

/// A broker that is restarted by its service manager, while gauges publish and Forecourt is there or not.
pub(crate) fn mosquitto_restarts() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan::new("mosquitto_restarts", 50))?;
    for round in 0..8 {
        stage.watch(Duration::from_secs(2));
        let forecourt_is_away = round % 2 == 1;
        if forecourt_is_away {
            stage.forecourt.kill();
            stage.fault("kill -9 Forecourt before it");
            std::thread::sleep(Duration::from_secs(1));
        }
        stage.mosquitto.stop();
        stage.mosquitto.launch();
        stage.fault("restart of Mosquitto");
        if forecourt_is_away {
            std::thread::sleep(Duration::from_secs(1));
            stage.forecourt.launch();
            stage.forecourt.wait_ready();
        }
    }
    Ok(stage.judge())
}

pub(crate) fn sigstop_kafka() -> Result<Row, LeftOut> {
    sigstop("sigstop_kafka", |stage| stage.engines.engine("kafka").expect("Kafka runs"))
}

pub(crate) fn sigstop_clickhouse() -> Result<Row, LeftOut> {
    sigstop("sigstop_clickhouse", |stage| stage.engines.engine("clickhouse").expect("ClickHouse runs"))
}

pub(crate) fn sigstop_mosquitto() -> Result<Row, LeftOut> {
    sigstop("sigstop_mosquitto", |stage| stage.mosquitto.pid())
}

fn sigstop(name: &'static str, pid: fn(&Stage) -> u32) -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan::new(name, PAUSES_SECS.iter().sum::<u64>() + 3 * BETWEEN.as_secs()))?;
    for seconds in PAUSES_SECS {
        pause(pid(&stage), Duration::from_secs(seconds));
        stage.fault(&format!("SIGSTOP for {seconds} s"));
        stage.watch(BETWEEN);
    }
    Ok(stage.judge())
}

/// Alone at first; then a second one with the same names takes over while the first stands still.
pub(crate) fn sigstop_forecourt() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan::new("sigstop_forecourt", 75))?;
    for seconds in [1, 15] {
        pause(stage.forecourt.pid(), Duration::from_secs(seconds));
        stage.fault(&format!("SIGSTOP for {seconds} s"));
        stage.watch(BETWEEN);
    }
    signal(stage.forecourt.pid(), "STOP");
    let mut second = stage.twin();
    second.launch();
    second.wait_ready();
    std::thread::sleep(Duration::from_secs(20));
    let mut first = std::mem::replace(&mut stage.forecourt, second);
    signal(first.pid(), "CONT");
    stage.fault("SIGSTOP while another takes over");
    let begun = std::time::Instant::now();
    let ended = loop {
        if let Some(status) = first.ended() {
            break Some(status);
        }
        if begun.elapsed() > ENDS_WITHIN {
            break None;
        }
        stage.watch(Duration::from_millis(500));
    };
    if stage.revived > 0 {
        stage.wrong.push("the one that took over ended by itself".to_owned());
    }
    match ended {
        Some(status) => {
            let last = first.log_tail().lines().last().unwrap_or_default().to_owned();
            stage.remark(format!(
                "the replaced one ended ({status}) after {:.1} s: {last}",
                begun.elapsed().as_secs_f64()
            ));
        }
        None => {
            stage.remark(format!("the replaced one still ran {} s after it woke up", ENDS_WITHIN.as_secs()));
            run("kill", &["-9", &first.pid().to_string()]);
        }
    }
    Ok(stage.judge())
}
