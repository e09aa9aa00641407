//! Snapshots of a large network: what they add between batches, how long they take, their bytes, and how long reading takes.
//!
//! Decisions come as from a clock, so many a second; slices are made while the next batch is not due, as a worker does it.
//! Packing runs on a thread of its own. Times are those that the processor spent on a thread, so that neighbours on the
//! machine do not count; where it says "by the clock", they do. `SNAPSHOT_CARDS=100000` for a smaller network,
//! `SNAPSHOT_PURCHASES=1` for one whose cards have bought less. `SNAPSHOT_FILES=snapshots/fuel.ledger` only reads those that a
//! Forecourt has stored there.

#![allow(clippy::disallowed_methods, reason = "measures time")]

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use pipeline::ledger::snapshot::file::Writer;
use pipeline::ledger::snapshot::read;

use network::{BATCH, Network, PURCHASES_BEFORE, What};

#[path = "ledger/network.rs"]
mod network;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CARDS_A_CONTRACT: usize = 20;
const DECISIONS_A_SECOND: u32 = 50_000;
/// Batches that are measured without a snapshot.
const BATCHES_BEFORE: usize = 2_000;
const PARTITIONS: usize = 4;
const READERS: usize = 2;

fn main() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<usize>().ok());
    let cards = number("SNAPSHOT_CARDS").unwrap_or(1_000_000);
    let purchases = number("SNAPSHOT_PURCHASES").unwrap_or(PURCHASES_BEFORE);
    if let Ok(folder) = std::env::var("SNAPSHOT_FILES") {
        return reading(&files_in(folder.as_ref()));
    }
    println!("{cards} cards in {} contracts, about {purchases} purchases each", cards / CARDS_A_CONTRACT);
    let mut network = filled(cards, purchases);
    let file = deciding(&mut network);
    drop(network);
    reading(&[file]);
    let part = |_| pipeline::ledger::snapshot::whole(&mut filled(cards / PARTITIONS, purchases).shard, 0);
    let files: Vec<Vec<u8>> = (0..PARTITIONS).map(part).collect();
    reading(&files);
}

fn filled(cards: usize, purchases: usize) -> Network {
    let mut network = Network::open(cards / CARDS_A_CONTRACT, cards);
    for _ in 0..cards * purchases / BATCH {
        let requests = network.batch(What::Sales);
        network.decide(requests);
    }
    network
}

/// Takes a snapshot while deciding; gives the file.
fn deciding(network: &mut Network) -> Vec<u8> {
    let every = Duration::from_secs(1) * u32::try_from(BATCH).expect("a small number") / DECISIONS_A_SECOND;
    let mut before = Times::default();
    for _ in 0..BATCHES_BEFORE {
        let requests = network.batch(What::Sales);
        before.add(|| network.decide(requests));
    }
    before.print("a batch of 256 without a snapshot");

    let (slices, packed) = std::sync::mpsc::channel::<Vec<u8>>();
    let mut beginning = Times::default();
    let header = beginning.add(|| network.shard.begin_snapshot(0).expect("the first"));
    beginning.print("the beginning");
    let mut writer = Writer::begin(&header);
    let packing = std::thread::spawn(move || {
        let mut bytes = 0;
        for slice in packed {
            bytes += slice.len();
            writer.slice(&slice);
        }
        (writer.finish(), bytes, of_thread())
    });
    let (mut during, mut each) = (Times::default(), Times::default());
    let (begun, mut making) = (of_thread(), Duration::ZERO);
    let mut due = begun;
    'taking: loop {
        let made = of_thread();
        let requests = network.batch(What::Sales);
        // The clock stands still while requests are made.
        let made = of_thread().saturating_sub(made);
        making += made;
        due += made;
        while of_thread() < due {
            let Some(slice) = each.add(|| network.shard.next_slice()) else { break 'taking };
            slices.send(slice).expect("the packing thread");
        }
        during.add(|| network.decide(requests));
        due = (due + every).max(of_thread());
    }
    let taken = of_thread().saturating_sub(begun + making);
    drop(slices);
    let (file, bytes, packing) = packing.join().expect("the packing thread");
    println!(
        "taken in {:.2} s while deciding {DECISIONS_A_SECOND} a second, packed in {:.2} s beside it: {:.1} MB of {:.1} MB",
        taken.as_secs_f64(),
        packing.as_secs_f64(),
        file.len() as f64 / 1e6,
        bytes as f64 / 1e6,
    );
    during.print("a batch of 256 with a snapshot under way");
    each.print("a slice");
    file
}

/// The newest file of each folder, which is a partition's.
fn files_in(folder: &std::path::Path) -> Vec<Vec<u8>> {
    let sorted = |folder: &std::path::Path| {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        std::collections::BTreeSet::from_iter(entries)
    };
    let newest = |folder: &std::path::PathBuf| std::fs::read(sorted(folder).last().expect("a file")).expect("a file");
    sorted(folder).iter().map(newest).collect()
}

/// Reads files on as many threads as there are processors for it.
fn reading(files: &[Vec<u8>]) {
    let (begun, busy) = (Instant::now(), of(ClockId::ProcessCPUTime));
    let states: Vec<_> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS.min(files.len()))
            .map(|reader| {
                let own = files.iter().skip(reader).step_by(READERS);
                scope.spawn(move || own.map(|file| read(file).expect("what was written")).collect::<Vec<_>>())
            })
            .collect();
        readers.into_iter().flat_map(|reader| reader.join().expect("a reader")).collect()
    });
    let (taken, busy) = (begun.elapsed().as_secs_f64(), of(ClockId::ProcessCPUTime).saturating_sub(busy));
    let megabytes = files.iter().map(Vec::len).sum::<usize>() as f64 / 1e6;
    println!(
        "{} read on {} threads in {taken:.2} s by the clock, {:.2} s of processors: {megabytes:.1} MB",
        states.len(),
        READERS.min(files.len()),
        busy.as_secs_f64(),
    );
}

fn of_thread() -> Duration {
    of(ClockId::ThreadCPUTime)
}

fn of(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// How long something took, each time.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn add<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = of_thread();
        let done = work();
        self.0.push(of_thread().saturating_sub(begun));
        done
    }

    fn print(mut self, what: &str) {
        self.0.sort_unstable();
        let at = |permille: usize| {
            let place = (self.0.len() * permille / 1_000).min(self.0.len().saturating_sub(1));
            self.0.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        println!(
            "{what}: p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us, longest {:.0} us of {}",
            at(500),
            at(990),
            at(999),
            at(1_000),
            self.0.len()
        );
    }
}
