//! The engines that the binary brings: they come back when they are killed, they end with Forecourt however it ends, and
//! what stands in their way is said with what to do about it.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

mod instance;
use instance::{Instance, eventually, free_ports, run};

const BACK_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn engines_come_back_when_killed_and_end_with_forecourt_however_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut forecourt = Instance::embedded(directory.path());

    let mut second = Command::new(env!("CARGO_BIN_EXE_forecourt"));
    let [page, kafka, _, mqtt, clickhouse] = free_ports();
    second.args(["serve", "--embedded", "--data"]).arg(directory.path().join("data"));
    second.args(["--listen", &format!("127.0.0.1:{page}"), "--kafka-port", &kafka.to_string()]);
    second.args(["--mqtt-port", &mqtt.to_string(), "--clickhouse-port", &clickhouse.to_string()]);
    let said = refused(second);
    assert!(said.contains(&format!("another Forecourt (pid {}) uses ", forecourt.pid())), "{said}");

    forecourt.clickhouse("CREATE TABLE default.kept (a Int8) ENGINE = MergeTree ORDER BY a");
    forecourt.clickhouse("INSERT INTO default.kept VALUES (1)");
    for kind in ["clickhouse", "kafka"] {
        let before = forecourt.engine(kind).unwrap();
        run("kill", &["-9", &before.to_string()]);
        eventually(&format!("{kind} is started again"), BACK_WITHIN, || {
            forecourt.engine(kind).filter(|now| *now != before)
        });
    }
    eventually("Kafka answers again", BACK_WITHIN, || {
        run("kcat", &["-L", "-b", &forecourt.broker(), "-m", "2"]).status.success().then_some(())
    });
    eventually("the rows are there again", BACK_WITHIN, || {
        (forecourt.clickhouse("SELECT a FROM default.kept") == "1").then_some(())
    });

    let children = [forecourt.engine("kafka").unwrap(), forecourt.engine("clickhouse").unwrap()];
    forecourt.kill();
    eventually("the engines are gone with the killed Forecourt", Duration::from_secs(1), || {
        children.iter().all(|pid| !lives(*pid)).then_some(())
    });

    forecourt.launch();
    forecourt.wait_ready();
    assert_eq!(forecourt.clickhouse("SELECT a FROM default.kept"), "1");
    let children = [forecourt.engine("kafka").unwrap(), forecourt.engine("clickhouse").unwrap()];
    let (took, clean) = forecourt.interrupt();
    assert!(clean, "{}", forecourt.log_tail());
    assert!(took < Duration::from_secs(5), "Ctrl-C took {took:?}");
    assert!(children.iter().all(|pid| !lives(*pid)));
}

#[test]
fn what_stands_in_the_way_is_said_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    for (option, engine) in [("--kafka-port", "Kafka"), ("--mqtt-port", "MQTT"), ("--clickhouse-port", "ClickHouse")] {
        let said = refused(embedded(directory.path(), Some((option, taken_port))));
        assert!(said.contains(&format!("{engine} cannot listen on 127.0.0.1:{taken_port}")), "{said}");
        assert!(said.contains(&format!("choose another port with {option}")), "{said}");
    }

    let mut without_engines = embedded(directory.path(), None);
    without_engines.env("FORECOURT_ENGINES", directory.path().join("nothing here"));
    let said = refused(without_engines);
    assert!(said.contains("run deploy/engines/fetch"), "{said}");

    let mut without_java = embedded(directory.path(), None);
    without_java.env_remove("JAVA_HOME").env("PATH", directory.path());
    let said = refused(without_java);
    assert!(said.contains("Java is missing: Kafka needs version 17 or newer"), "{said}");
}

/// `serve --embedded` on free ports but for one.
fn embedded(directory: &Path, taken: Option<(&str, u16)>) -> Command {
    let [page, kafka, _, mqtt, clickhouse] = free_ports();
    let mut command = Command::new(env!("CARGO_BIN_EXE_forecourt"));
    command
        .args(["serve", "--embedded", "--listen", &format!("127.0.0.1:{page}"), "--data"])
        .arg(directory.join("data"));
    for (option, port) in [("--kafka-port", kafka), ("--mqtt-port", mqtt), ("--clickhouse-port", clickhouse)] {
        let port = taken.filter(|(name, _)| *name == option).map_or(port, |(_, taken)| taken);
        command.args([option, &port.to_string()]);
    }
    command
}

/// What a Forecourt says that does not start.
fn refused(mut command: Command) -> String {
    let started = Instant::now();
    let output = command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it started: {said}");
    assert!(started.elapsed() < Duration::from_secs(30), "it took {:?} to say {said}", started.elapsed());
    said
}

fn lives(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}
