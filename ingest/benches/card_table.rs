//! The card table of a large network: how long learning, copying, packing and reading take, and what a card costs.
//!
//! Times are those that the processor spent on the thread, so that neighbours on the machine do not count; the least of some
//! rounds. `CARDS=100000` for a smaller network.

use std::hint::black_box;
use std::time::Duration;

use ingest::LogMessage;
use ingest::route::card_table::Cards;
use ingest::route::card_table::file::read;
use model::{CardToken, PartitionId, Topic};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CARDS_A_CONTRACT: usize = 20;
const PARTITIONS: usize = 4;
const ROUNDS: usize = 5;

fn main() {
    let cards = std::env::var("CARDS").ok().and_then(|number| number.parse().ok()).unwrap_or(1_000_000);
    println!("{cards} cards in {} contracts, milliseconds of processor time", cards / CARDS_A_CONTRACT);
    let messages: Vec<LogMessage> = (0..cards).map(message).collect();
    let before = resident_kib();
    let table = timed("learn all from records of the log", || {
        let mut table = Cards::new(4);
        messages.iter().for_each(|message| table.learn(message));
        table
    });
    println!("{:>9} KiB more in use after {ROUNDS} tables, one of them kept", resident_kib() - before);
    drop(timed("learn all once more", || {
        let mut table = Cards::new(4);
        messages.iter().chain(&messages).for_each(|message| table.learn(message));
        table
    }));
    let unpacked = timed("copy, while the router waits", || table.unpacked());
    let file = timed("pack", || unpacked.pack());
    println!("{:>9} bytes", file.len());
    let restored = timed("read", || read(&file).expect("a whole file"));
    let tokens: Vec<CardToken> =
        (0..cards).map(|number| CardToken::new(&token(shuffled(number, cards))).expect("a token")).collect();
    let found = timed("look all up, in another order", || {
        tokens.iter().filter(|token| black_box(restored.contract_of(token)).is_some()).count()
    });
    assert_eq!(found, cards);
}

fn timed<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    let mut least = Duration::MAX;
    let mut result = None;
    for _ in 0..ROUNDS {
        drop(result.take());
        let began = processor_time();
        result = Some(black_box(work()));
        least = least.min(processor_time() - began);
    }
    println!("{:>9.3} {what}", least.as_secs_f64() * 1_000.0);
    result.expect("at least one round")
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().expect("not negative"), time.tv_nsec.try_into().expect("below a second"))
}

fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn token(number: usize) -> String {
    format!("tok-{number:012}")
}

/// Each number once, neighbours far apart.
fn shuffled(number: usize, count: usize) -> usize {
    (number * 7_919) % count
}

fn message(number: usize) -> LogMessage {
    let (card, contract) = (token(number), number / CARDS_A_CONTRACT);
    let payload = format!(
        r#"{{"v":1,"origin":{{"topic":"ledger","partition":{},"offset":{number}}},"card":"{card}","contract":"C-{contract:07}"}}"#,
        contract % PARTITIONS
    );
    LogMessage {
        topic: Topic::Cards,
        partition: PartitionId(i32::try_from(number % PARTITIONS).expect("few")),
        offset: i64::try_from(number / PARTITIONS).expect("a small number"),
        key: None,
        payload: Some(payload.into_bytes()),
        timestamp_ms: None,
    }
}
