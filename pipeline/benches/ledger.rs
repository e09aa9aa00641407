//! Decisions a second of one shard on one core, in batches, facts produced: 1,000 cards that stay in the cache, and a million
//! that do not; and what lies around the decision: the dataflow, words and JSON.
//!
//! Both networks are measured in the state in which they would run: each card has bought every other day for longer than single
//! purchases are remembered, so each new purchase makes an old one go, and each new answer an old answer.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{LedgerBody, LedgerRecord, PartitionId, TimestampUs};
use pipeline::ledger::{self, Config, Input, Output};

use network::{BATCH, Network, PURCHASES_BEFORE, What};

#[path = "ledger/network.rs"]
mod network;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (contracts, cards) in [(50, 1_000), (50_000, 1_000_000)] {
        let resident = resident_bytes();
        let mut network = Network::open(contracts, cards);
        let per_card = || resident_bytes().saturating_sub(resident) / cards as u64;
        print!(
            "{cards} cards in {contracts} contracts, 3 limits each: {} bytes of memory a card when issued",
            per_card()
        );
        for _ in 0..cards * PURCHASES_BEFORE / BATCH {
            let requests = network.batch(What::Sales);
            network.decide(requests);
        }
        println!(", {} with the purchases of 35 days and the answers of 72 hours", per_card());
        for (name, what) in [("sale", What::Sales), ("hold", What::Holds), ("dry run", What::DryRuns)] {
            // Making the requests and dropping the facts is not measured; the network goes on from batch to batch.
            let name = BenchmarkId::new(name, format!("{cards} cards"));
            let network = std::cell::RefCell::new(&mut network);
            group.bench_function(name, |bencher| {
                bencher.iter_batched(
                    || network.borrow_mut().batch(what),
                    |requests| network.borrow_mut().decide(requests),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Words and JSON: the stage after the decision.
fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(BATCH as u64));
    let network = std::cell::RefCell::new(Network::open(50, 1_000));
    group.bench_function("words and json", |bencher| {
        bencher.iter_batched(
            || {
                let mut network = network.borrow_mut();
                let requests = network.batch(What::Sales);
                network.decide(requests)
            },
            |batch| {
                let outcomes = network.borrow_mut().shard.outcomes(batch);
                outcomes.iter().map(|outcome| serde_json::to_vec(outcome).map_or(0, |json| json.len())).sum::<usize>()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// The same requests decided and put into words: on this thread, on another one, and by the dataflow. The second shows what it costs
/// to hand requests and records over, the third what timely adds to that.
fn dataflow(criterion: &mut Criterion) {
    const BATCHES: usize = 16;
    let mut group = criterion.benchmark_group("dataflow");
    group.throughput(Throughput::Elements((BATCHES * BATCH) as u64));
    let network = std::cell::RefCell::new(Network::open(50, 1_000));
    let batches = || (0..BATCHES).map(|_| network.borrow_mut().batch(What::Sales)).collect::<Vec<_>>();
    group.bench_function("without", |bencher| {
        bencher.iter_batched(
            batches,
            |batches| {
                let mut network = network.borrow_mut();
                let decide = |requests| {
                    let batch = network.decide(requests);
                    network.shard.outcomes(batch)
                };
                batches.into_iter().map(decide).collect::<Vec<_>>()
            },
            BatchSize::PerIteration,
        );
    });
    let (ask, asked) = crossbeam_channel::bounded(BATCHES);
    let (answer, answered) = crossbeam_channel::bounded(BATCHES);
    let thread = std::thread::spawn(move || {
        // Opened by the same orders.
        let mut network = Network::open(50, 1_000);
        for requests in asked {
            let batch = network.decide(requests);
            answer.send(network.shard.outcomes(batch)).expect("the benchmark goes on");
        }
    });
    group.bench_function("another thread", |bencher| {
        bencher.iter_batched(
            batches,
            |batches| {
                for requests in batches {
                    ask.send(requests).expect("the thread goes on");
                }
                (0..BATCHES).map(|_| answered.recv().expect("an answer")).collect::<Vec<_>>()
            },
            BatchSize::PerIteration,
        );
    });
    drop(ask);
    thread.join().expect("the thread ends");
    let (send, outputs) = std::sync::mpsc::sync_channel(BATCHES);
    let running = ledger::spawn(Config { workers: 1, ..Config::default() }, send);
    let partition = PartitionId(0);
    let body = LedgerBody::Takeover { owner: "bench".into(), at_us: TimestampUs::default() };
    let feed = |input| running.feed(partition).send(input).expect("the dataflow runs");
    feed(Input::Fold { partition, offset: 0, record: LedgerRecord { v: 1, epoch: 0, body } });
    feed(Input::Start { partition, epoch: 0 });
    let orders = network.borrow_mut().orders.split_off(0);
    let expected = orders.len();
    let receive = |expected: usize| {
        let mut batches = Vec::new();
        let mut received = 0;
        while received < expected {
            let batch: Vec<Output> = outputs.recv().expect("the dataflow answers");
            received += batch.len();
            batches.push(batch);
        }
        batches
    };
    feed(Input::Decide { partition, epoch: 0, requests: orders });
    receive(expected);
    group.bench_function("with", |bencher| {
        bencher.iter_batched(
            batches,
            |batches| {
                for requests in batches {
                    feed(Input::Decide { partition, epoch: 0, requests });
                }
                receive(BATCHES * BATCH)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Resident memory of this process (Linux; 0 elsewhere).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = decisions, records, dataflow
}
criterion_main!(benches);
