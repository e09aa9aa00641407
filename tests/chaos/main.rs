//! Real faults against the real binary and real engines, under load: each scene injects one kind, and afterwards everything
//! that was sent is compared with the ledger, the balances and ClickHouse.
//!
//! `make chaos` runs all scenes (about forty minutes on two cores), `CHAOS=sigstop,clock make chaos` those whose name has one
//! of the words.
//! The table goes to the terminal and to `target/chaos-report.md`, what each scene's processes said to `target/tmp/chaos`.
//! Some scenes need root: tmpfs mounts and nftables. Where a means is missing the report says what was left out.

mod disk;
#[path = "../instance/mod.rs"]
mod instance;
#[path = "../mosquitto/mod.rs"]
mod mosquitto;
mod network;
#[path = "../poison/mod.rs"]
mod poison;
mod report;
mod scenes;
mod stage;
#[path = "../under_load/mod.rs"]
mod under_load;

use std::panic::{AssertUnwindSafe, catch_unwind};

use report::{Report, Row};

/// Why a scene cannot be played on this machine.
pub(crate) type LeftOut = String;
pub(crate) type Scene = fn() -> Result<Row, LeftOut>;

const SCENES: [(&str, Scene); 17] = [
    ("poison", scenes::messages::poison),
    ("kill", scenes::processes::kill),
    ("sigstop_forecourt", scenes::processes::sigstop_forecourt),
    ("sigstop_kafka", scenes::processes::sigstop_kafka),
    ("sigstop_clickhouse", scenes::processes::sigstop_clickhouse),
    ("sigstop_mosquitto", scenes::processes::sigstop_mosquitto),
    ("full_disk_kafka", scenes::disks::full_disk_kafka),
    ("full_disk_clickhouse", scenes::disks::full_disk_clickhouse),
    ("network_lossy", scenes::networks::network_lossy),
    ("network_cut", scenes::networks::network_cut),
    ("mqtt_storm", scenes::messages::mqtt_storm),
    ("kill_mosquitto", scenes::processes::kill_mosquitto),
    ("mosquitto_restarts", scenes::processes::mosquitto_restarts),
    ("clickhouse_errors", scenes::history::clickhouse_errors),
    ("clickhouse_answers_lost", scenes::history::clickhouse_answers_lost),
    ("clickhouse_killed", scenes::history::clickhouse_killed),
    ("clock", scenes::clocks::clock),
];

#[test]
#[ignore = "takes most of an hour: make chaos"]
fn nothing_is_lost_or_doubled_through_real_faults() {
    let wanted = std::env::var("CHAOS").unwrap_or_default();
    let chosen: Vec<_> = SCENES.iter().filter(|(name, _)| wanted.split(',').any(|word| name.contains(word))).collect();
    assert!(!chosen.is_empty(), "CHAOS={wanted} names no scene; there are {:?}", SCENES.map(|(name, _)| name));
    let mut report = Report::default();
    for (name, scene) in chosen {
        println!("==> {name}");
        match catch_unwind(AssertUnwindSafe(scene)) {
            Ok(Ok(row)) => report.add(row),
            Ok(Err(why)) => report.leave_out(name, why),
            Err(panic) => report.add(Row::failed(name, &words_of(panic.as_ref()))),
        }
        // After each: a run that is broken off has told what it knew.
        report.write();
    }
    println!("{}", report.text());
    assert!(report.is_good(), "{}", report.text());
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "it panicked".to_owned())
}
