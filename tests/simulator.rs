//! The cores of all parts in one thread, deterministic from a seed, while everything around them goes wrong.
//!
//! What is driven is what the program runs: the router's lanes, the ledger's worker and tenancies, the publisher's lanes, the
//! plans and rows of ClickHouse, the projection behind the page. Simulated are the log, the group coordinator, ClickHouse,
//! the clocks, and whoever sends. `SEEDS` sets how many seeds run, `SEED` repeats one, `TRACE=1` tells what happens in it.

#[path = "simulator/book.rs"]
mod book;
#[path = "simulator/checks.rs"]
mod checks;
#[path = "simulator/clickhouse.rs"]
mod clickhouse;
#[path = "simulator/faults.rs"]
mod faults;
#[path = "simulator/groups.rs"]
mod groups;
#[path = "simulator/log.rs"]
mod log;
#[path = "simulator/owner.rs"]
mod owner;
#[path = "simulator/process.rs"]
mod process;
#[path = "simulator/publisher.rs"]
mod publisher;
#[path = "simulator/random.rs"]
mod random;
#[path = "simulator/router.rs"]
mod router;
#[path = "simulator/rows.rs"]
mod rows;
#[path = "simulator/runs.rs"]
mod runs;
#[path = "simulator/screens.rs"]
mod screens;
#[path = "simulator/store.rs"]
mod store;
#[path = "simulator/surroundings.rs"]
mod surroundings;
#[path = "simulator/trace.rs"]
mod trace;
#[path = "simulator/workload.rs"]
mod workload;
#[path = "simulator/world.rs"]
mod world;

use faults::Fault;
use runs::{Runs, setting};
use trace::Trace;

/// Seeds of a plain test run: some 20 s.
const SEEDS: u64 = 400;

#[test]
fn nothing_is_lost_or_counted_twice_whatever_fails() {
    if let Some(seed) = setting("SEED") {
        let told = world::run(seed, Trace::new(true, setting("TRACE").is_some()));
        println!("seed {seed}: {} faults in {} steps, {:?}", told.faults.iter().sum::<u64>(), told.steps, told.checked);
        return;
    }
    let runs = Runs::of(setting("SEEDS").unwrap_or(SEEDS));
    println!("{runs}");
    assert!(runs.failures.is_empty(), "{} seeds fail; repeat one with SEED=… TRACE=1", runs.failures.len());
    assert!(runs.prove_something(), "worlds in which nothing is granted, void or repeated prove nothing");
    let missing: Vec<_> = Fault::ALL.iter().filter(|fault| runs.count(**fault) == 0).collect();
    assert!(missing.is_empty(), "no seed had {missing:?}");
}

#[test]
fn a_seed_is_the_same_world_every_time() {
    for seed in 0..5 {
        let [first, again] = [0, 1].map(|_| world::run(seed, Trace::new(true, false)));
        assert_eq!(first, again, "seed {seed}");
        assert!(first.fingerprint.1 > 100, "a trace tells what happened");
    }
}
