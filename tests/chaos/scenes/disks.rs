//! Disks that are full for a while.

use std::time::Duration;

use crate::LeftOut;
use crate::report::Row;
use crate::stage::{Plan, Stage};

const FULL_FOR: Duration = Duration::from_secs(12);
const BETWEEN: Duration = Duration::from_secs(15);

pub(crate) fn full_disk_kafka() -> Result<Row, LeftOut> {
    full_disk(&Plan { small_disk: Some(("kafka", 600)), ..Plan::new("full_disk_kafka", 60) }, "kafka")
}

pub(crate) fn full_disk_clickhouse() -> Result<Row, LeftOut> {
    full_disk(&Plan { small_disk: Some(("clickhouse", 400)), ..Plan::new("full_disk_clickhouse", 60) }, "clickhouse")
}

fn full_disk(plan: &Plan, engine: &str) -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(plan)?;
    for _ in 0..2 {
        let before = stage.engines.engine(engine);
        let taken = stage.disk.as_ref().expect("a disk of its own").fill();
        stage.fault(&format!("disk of {engine} full for {} s", FULL_FOR.as_secs()));
        stage.watch(FULL_FOR);
        let ended = stage.engines.engine(engine) != before;
        stage.disk.as_ref().expect("a disk of its own").free();
        let fate = if ended { "ended and was started again" } else { "went on" };
        stage.remark(format!("{} MiB were free before; {engine} {fate}", taken >> 20));
        stage.watch(BETWEEN);
    }
    let said = std::fs::read_to_string(stage.folder.path().join(format!("data/logs/{engine}.log"))).unwrap_or_default();
    let space = said.lines().find(|line| line.to_lowercase().contains("space"));
    stage.remark(format!(
        "{engine} said: {}",
        space.unwrap_or("nothing of space").chars().take(300).collect::<String>()
    ));
    Ok(stage.judge())
}
