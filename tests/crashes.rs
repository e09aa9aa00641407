//! kill -9 at random moments, under load: Forecourt, Kafka, ClickHouse, and all of them at once. Afterwards every request has
//! exactly one decision, balances are what the requests imply, and ClickHouse's rows are the ledger's facts.
//!
//! `CRASHES` sets how often (20), `CRASH_LOAD` how many transactions a second (300), `CRASH_SEED` repeats a run. `make chaos` goes on from there.

mod instance;
mod under_load;

use instance::Instance;
use under_load::{Amount, Random, Reach, kill_at_random, setting};

const PREFIX: &str = "crash";

#[test]
fn no_request_is_lost_or_decided_twice_through_crashes() {
    let crashes = setting("CRASHES", 20);
    let seed = setting("CRASH_SEED", instance::now_us());
    let transactions_per_s = setting("CRASH_LOAD", 300);
    println!("CRASH_SEED={seed} CRASHES={crashes} CRASH_LOAD={transactions_per_s}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut engines = Instance::embedded(folder.path());
    let mut forecourt = Instance::beside(&engines, folder.path(), PREFIX, engines.mqtt);

    let reach = Reach { engines: &engines, forecourt: &forecourt, prefix: PREFIX, folder: folder.path() };
    let load = reach.load(&Amount { transactions_per_s, seconds: crashes * 6 + 10 });
    let killed = kill_at_random(crashes, &mut Random(seed | 1), &mut engines, &mut forecourt);
    println!(
        "killed: Forecourt {}, Kafka {}, ClickHouse {}, all at once {}",
        killed.forecourt, killed.kafka, killed.clickhouse, killed.all
    );
    match load.finish() {
        Ok(said) => println!("{said}"),
        Err(said) => panic!("the load failed (seed {seed}):\n{said}\n{}", forecourt.log_tail()),
    }
    let reach = Reach { engines: &engines, forecourt: &forecourt, prefix: PREFIX, folder: folder.path() };
    let verdict = reach.verify();
    println!("{}", verdict.said);
    assert!(verdict.good, "seed {seed}:\n{}\n{}", verdict.said, forecourt.log_tail());
}
