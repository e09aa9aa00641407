//! Snapshots of a large network: what they add between batches, how long they take, their bytes, and how long reading takes.
//!
//! Decisions come as from a clock, so many a second; slices are made while the next batch is not due, as a worker does it.
//! Packing runs on a thread of its own. `SNAPSHOT_CARDS=100000` for a smaller network.

#![allow(clippy::disallowed_methods, reason = "measures time")]

use std::time::{Duration, Instant};

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
    let cards = std::env::var("SNAPSHOT_CARDS").ok().and_then(|cards| cards.parse().ok()).unwrap_or(1_000_000);
    println!("{cards} cards in {} contracts, with the purchases of 35 days", cards / CARDS_A_CONTRACT);
    let mut network = filled(cards);
    let file = deciding(&mut network);
    let begun = Instant::now();
    drop(network);
    println!("(letting go of the state: {:.2} s)", begun.elapsed().as_secs_f64());
    reading(&[file]);
    let files: Vec<Vec<u8>> = (0..PARTITIONS)
        .map(|_| {
            let mut network = filled(cards / PARTITIONS);
            pipeline::ledger::snapshot::whole(&mut network.shard, 0)
        })
        .collect();
    reading(&files);
}

fn filled(cards: usize) -> Network {
    let mut network = Network::open(cards / CARDS_A_CONTRACT, cards);
    for _ in 0..cards * PURCHASES_BEFORE / BATCH {
        let requests = network.batch(What::Sales);
        network.decide(requests);
    }
    network
}

/// Takes a snapshot while deciding; gives the file.
fn deciding(network: &mut Network) -> Vec<u8> {
    let every = Duration::from_secs(1) * u32::try_from(BATCH).expect("a small number") / DECISIONS_A_SECOND;
    // Made beforehand: making requests takes longer than deciding them.
    let mut requests: Vec<_> = (0..BATCHES_BEFORE).map(|_| network.batch(What::Sales)).collect();
    let mut before = Times::default();
    for requests in requests.drain(..) {
        before.add(|| network.decide(requests));
    }
    before.print("a batch of 256 without a snapshot");

    let (slices, packed) = std::sync::mpsc::channel::<Vec<u8>>();
    let mut beginning = Times::default();
    let header = beginning.add(|| network.shard.begin_snapshot(0).expect("the first"));
    beginning.print("the beginning");
    let mut writer = Writer::begin(&header);
    let packing = std::thread::spawn(move || {
        let (mut bytes, mut busy) = (0, Duration::ZERO);
        for slice in packed {
            let begun = Instant::now();
            bytes += slice.len();
            writer.slice(&slice);
            busy += begun.elapsed();
        }
        let begun = Instant::now();
        let file = writer.finish();
        (file, bytes, busy + begun.elapsed())
    });
    let (mut during, mut each, mut late) = (Times::default(), Times::default(), Times::default());
    let begun = Instant::now();
    let mut making = Duration::ZERO;
    let mut due = begun;
    'taking: loop {
        let made = Instant::now();
        let requests = network.batch(What::Sales);
        making += made.elapsed();
        // The clock stands still while requests are made.
        due += made.elapsed();
        while Instant::now() < due {
            let Some(slice) = each.add(|| network.shard.next_slice()) else { break 'taking };
            slices.send(slice).expect("the packing thread");
        }
        late.0.push(Instant::now().duration_since(due));
        during.add(|| network.decide(requests));
        due = (due + every).max(Instant::now());
    }
    let taken = begun.elapsed().saturating_sub(making);
    drop(slices);
    let (file, bytes, busy) = packing.join().expect("the packing thread");
    println!(
        "taken in {:.2} s while deciding {DECISIONS_A_SECOND} a second; packed in {:.2} s of another thread's time: {:.1} MB of {:.1} MB",
        taken.as_secs_f64(),
        busy.as_secs_f64(),
        file.len() as f64 / 1e6,
        bytes as f64 / 1e6,
    );
    during.print("a batch of 256 with a snapshot under way");
    each.print("a slice");
    late.print("a batch waited for a slice");
    file
}

/// Reads files on as many threads as there are processors for it.
fn reading(files: &[Vec<u8>]) {
    let begun = Instant::now();
    let states: Vec<_> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS.min(files.len()))
            .map(|reader| {
                let own = files.iter().skip(reader).step_by(READERS);
                scope.spawn(move || own.map(|file| read(file).expect("what was written")).collect::<Vec<_>>())
            })
            .collect();
        readers.into_iter().flat_map(|reader| reader.join().expect("a reader")).collect()
    });
    let taken = begun.elapsed().as_secs_f64();
    let megabytes = files.iter().map(Vec::len).sum::<usize>() as f64 / 1e6;
    println!("{} read on {} threads in {taken:.2} s: {megabytes:.1} MB", states.len(), READERS.min(files.len()));
}

/// How long something took, each time.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn add<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.0.push(begun.elapsed());
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
