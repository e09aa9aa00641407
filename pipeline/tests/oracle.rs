//! A second, slow and obvious implementation of the ledger's rules, and the engine held against it.
//!
//! In: random histories, each from a seed. Out: the first answer on which the two disagree, with the seed and the shortest
//! history found that still shows it. The oracle keeps the plain list of purchases and money and sums it up anew for each
//! answer. It leaves the fraud rules off, and has no opinion on texts.
//!
//! `cargo test` runs a bounded number of requests; `ORACLE_REQUESTS=1000000` runs so many, `ORACLE_SEED=7` one history.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use model::{LedgerBody, LedgerRecord, PartitionId, Request, RequestBody, TimestampUs};
use pipeline::ledger::Config;
use pipeline::ledger::shard::Shard;

use answer::Answer;
use history::{Step, history};
use judge::Oracle;

#[path = "oracle/amounts.rs"]
mod amounts;
#[path = "oracle/answer.rs"]
mod answer;
#[path = "oracle/asking.rs"]
mod asking;
#[path = "oracle/book.rs"]
mod book;
#[path = "oracle/calendar.rs"]
mod calendar;
#[path = "oracle/history.rs"]
mod history;
#[path = "oracle/judge.rs"]
mod judge;
#[path = "oracle/orders.rs"]
mod orders;
#[path = "oracle/posting.rs"]
mod posting;
#[path = "oracle/prices.rs"]
mod prices;

/// Requests of one history, beside those that open its contracts.
const STEPS_MAX: usize = 400;
/// Histories that may disagree before the search ends.
const PARTED_MAX: usize = 40;
/// What `cargo test` runs.
const REQUESTS: usize = 300_000;

#[test]
fn the_engine_answers_as_the_oracle_does() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("ORACLE_SEED") {
        let steps = history(seed, STEPS_MAX);
        if let Some(disagreement) = first_disagreement(&steps) {
            panic!("{}", report(seed, steps, &disagreement));
        }
        return;
    }
    let wanted = number("ORACLE_REQUESTS").map_or(REQUESTS, |wanted| usize::try_from(wanted).unwrap());
    #[expect(clippy::disallowed_methods, reason = "says how long it took; nothing is decided by it")]
    let begun = std::time::Instant::now();
    let (mut requests, mut seed) = (0, number("ORACLE_FIRST_SEED").unwrap_or(0));
    let mut parted: Vec<(u64, Vec<Step>, Disagreement)> = Vec::new();
    while requests < wanted && parted.len() < PARTED_MAX {
        let steps = history(seed, STEPS_MAX);
        requests += steps.len();
        if let Some(disagreement) = first_disagreement(&steps) {
            parted.push((seed, steps, disagreement));
        }
        seed += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    if let Some((first, steps, disagreement)) = parted.first() {
        let mut words = String::new();
        for (seed, steps, found) in &parted {
            let (subject, expected, got) = &found.differences[0];
            let kind = kind(&steps[found.place].1);
            writeln!(words, "seed {seed}, {kind}: {subject}: oracle {expected}: engine {got}").unwrap();
        }
        panic!("{words}{}", report(*first, steps.clone(), disagreement));
    }
    println!("{requests} requests in histories up to {seed}, the same answers, {seconds:.1} s");
}

fn kind(request: &Request) -> String {
    match &request.body {
        RequestBody::Command(_) => "order".into(),
        RequestBody::Transaction(transaction) => format!("{:?}", transaction.kind),
        RequestBody::Tick(_) => "tick".into(),
    }
}

/// A comparison of histories in which nothing happens would say little.
#[test]
fn the_histories_reach_every_answer() {
    let config = Config::default();
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..400 {
        let mut oracle = Oracle::default();
        for (offset, request) in history(seed, STEPS_MAX) {
            let answer = oracle.answer(&config, offset, &request);
            let of = |subject: &str| answer.0.get(subject).map(String::as_str).filter(|words| !words.is_empty());
            for subject in ["verdict", "code", "refused"] {
                if let Some(words) = of(subject) {
                    *reached.entry(words.to_owned()).or_default() += 1;
                }
            }
            for subject in ["binding", "expired", "fees", "low", "credit marks"] {
                if of(subject).is_some_and(|words| words != "none") {
                    *reached.entry(subject.to_owned()).or_default() += 1;
                }
            }
            *reached.entry("over".into()).or_default() += answer.0.keys().filter(|of| of.starts_with("over ")).count();
        }
    }
    let missing: Vec<&str> =
        REACHED.into_iter().filter(|word| reached.get(*word).is_none_or(|times| *times == 0)).collect();
    assert!(missing.is_empty(), "not reached: {missing:?} of {reached:#?}");
}

const REACHED: [&str; 60] = [
    "Approve",
    "Partial",
    "Decline",
    "Reprompt",
    "Approved",
    "ApprovedFlagged",
    "FmtInvalid",
    "FmtClock",
    "AmountMismatch",
    "CurrencyMismatch",
    "CardUnknown",
    "CardBlocked",
    "CardLost",
    "CardStolen",
    "CardClosed",
    "PinRequired",
    "PinWrong",
    "PinLocked",
    "PromptMissing",
    "PromptInvalid",
    "OdometerRange",
    "ContractBlocked",
    "Product",
    "Site",
    "Time",
    "EntryMethod",
    "TankCapacity",
    "Funds",
    "LimitTx",
    "LimitPeriod",
    "LimitCount",
    "OriginalUnknown",
    "CompletionAboveHold",
    "CompletionLate",
    "CompletionDiffers",
    "OriginalClosed",
    "OriginalBilled",
    "PostedOffline",
    "OfflineLimit",
    "PostedForced",
    "LimitUnknown",
    "RestrictionUnknown",
    "GroupUnknown",
    "VehicleUnknown",
    "DriverUnknown",
    "binding",
    "expired",
    "fees",
    "low",
    "credit marks",
    "over",
    "no",
    "CardExpired",
    "CardNotYet",
    "ContractNotYet",
    "ContractExpired",
    "ContractExists",
    "CardExists",
    "TopUpExists",
    "ContractUnknown",
];

/// The histories here hold all that the engine knows: whoever folds half of a ledger and decides the rest must write the
/// same bytes.
#[test]
fn a_ledger_that_is_folded_up_to_any_record_goes_on_with_the_same_bytes() {
    let config = Config::default();
    for seed in 0..60 {
        let steps = history(seed, STEPS_MAX);
        let takeover = LedgerBody::Takeover { owner: "test".into(), at_us: TimestampUs::default() };
        let mut records = vec![written(takeover)];
        let mut first = Shard::new(PartitionId(0));
        let fold = |shard: &mut Shard, place: usize, json: &str| {
            shard.fold(&config, i64::try_from(place).unwrap(), &serde_json::from_str(json).unwrap());
        };
        fold(&mut first, 0, &records[0]);
        for (offset, request) in &steps {
            let outcome = first.decide(&config, *offset, request.clone()).expect("a new offset");
            records.push(written(LedgerBody::Outcome(outcome)));
        }
        let cut = usize::try_from(seed).unwrap() * 7_919 % steps.len();
        let mut second = Shard::new(PartitionId(0));
        for (place, json) in records.iter().enumerate().take(cut + 1) {
            fold(&mut second, place, json);
        }
        for (place, (offset, request)) in steps.iter().enumerate() {
            let outcome = second.decide(&config, *offset, request.clone());
            assert_eq!(outcome.is_some(), place >= cut, "seed {seed}, cut at {cut}: step {place}");
            if let Some(outcome) = outcome {
                let json = written(LedgerBody::Outcome(outcome));
                assert_eq!(json, records[place + 1], "seed {seed}, cut at {cut}: step {place}");
            }
        }
    }
}

fn written(body: LedgerBody) -> String {
    serde_json::to_string(&LedgerRecord { v: 1, epoch: 0, body }).unwrap()
}

/// Where the two part: the place of the step, and what each says of which subject.
struct Disagreement {
    place: usize,
    differences: Vec<(String, String, String)>,
}

fn first_disagreement(steps: &[Step]) -> Option<Disagreement> {
    let config = Config::default();
    let mut shard = Shard::new(PartitionId(0));
    let mut oracle = Oracle::default();
    for (place, (offset, request)) in steps.iter().enumerate() {
        let expected = oracle.answer(&config, *offset, request);
        // A panic is an answer too, and shall be made small like any other.
        let decided = catch_unwind(AssertUnwindSafe(|| shard.decide(&config, *offset, request.clone())));
        let differences = match decided {
            Err(_) => vec![("panic".into(), "an answer".into(), "a panic".into())],
            Ok(None) => vec![("outcome".into(), "an answer".into(), "nothing".into())],
            Ok(Some(outcome)) => expected.differences(&Answer::of_outcome(&outcome)),
        };
        if !differences.is_empty() {
            return Some(Disagreement { place, differences });
        }
    }
    None
}

/// Drops steps while the same subject is still disagreed on: large pieces first, then single ones, until nothing goes.
fn shortest(mut steps: Vec<Step>, disagreement: &Disagreement) -> (Vec<Step>, Vec<(String, String, String)>) {
    let (subject, expected, got) = disagreement.differences[0].clone();
    // Words must stay the same words; figures may become others.
    let same = |(of, one, other): &(String, String, String)| {
        let alike =
            |one: &str, other: &str| one == other || [one, other].iter().all(|words| words.contains(char::is_numeric));
        *of == subject && alike(one, &expected) && alike(other, &got)
    };
    let still = |steps: &[Step]| first_disagreement(steps).filter(|found| found.differences.iter().any(same));
    steps.truncate(disagreement.place + 1);
    let mut piece = steps.len() / 2;
    while piece > 0 {
        let mut from = 0;
        while from < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + piece).min(steps.len()));
            match still(&fewer) {
                Some(found) => {
                    steps = fewer;
                    steps.truncate(found.place + 1);
                }
                None => from += piece,
            }
        }
        piece /= 2;
    }
    let differences = first_disagreement(&steps).map_or_else(Vec::new, |found| found.differences);
    (steps, differences)
}

fn report(seed: u64, steps: Vec<Step>, disagreement: &Disagreement) -> String {
    let all = steps.len();
    let (steps, differences) = shortest(steps, disagreement);
    let mut words = format!("seed {seed}: {} of {all} steps show it\n", steps.len());
    for (offset, request) in &steps {
        let (at, received) = (request.at(), request.received_at_us);
        let body = match &request.body {
            RequestBody::Command(message) => {
                format!("{} order {}", message.contract, serde_json::to_string(&message.command).unwrap())
            }
            RequestBody::Transaction(transaction) => {
                let contract = request.contract.as_ref().map_or("no contract", |id| id.as_str());
                format!("{contract} {:?} {}", transaction.kind, serde_json::to_string(transaction).unwrap())
            }
            RequestBody::Tick(_) => "tick".to_owned(),
        };
        writeln!(words, "  {offset} at {at} received {received}: {body}").unwrap();
    }
    for (subject, expected, got) in differences {
        writeln!(words, "  {subject}\n    oracle {expected}\n    engine {got}").unwrap();
    }
    words
}
