//! What must hold when a world has come to rest, whatever happened before.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use model::{
    CardEntry, Fact, Fence, LedgerBody, LedgerRecord, Origin, OriginTopic, Outcome, PartitionId, Sale, Topic, Verdict,
    Watermarks,
};
use pipeline::audit::Audit;
use pipeline::ledger::shard::Shard;
use pipeline::ledger::snapshot;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sinks::clickhouse::plan::Purpose;
use sinks::clickhouse::rows::{Batch, Place, Source as Rows};
use sinks::publish::derive::derive;

use crate::book::Book;
use crate::clickhouse::{self, rows_of};
use crate::log::Log;
use crate::owner::rules;
use crate::screens;
use crate::surroundings::START_US;
use crate::world::World;

/// What was compared: a world in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) messages: u64,
    pub(crate) decisions: u64,
    pub(crate) granted: u64,
    pub(crate) void: u64,
    pub(crate) takeovers: u64,
    pub(crate) repeats: u64,
    pub(crate) rejected: u64,
    pub(crate) rows: u64,
    pub(crate) inserts_repeated: u64,
    pub(crate) snapshots_used: u64,
    pub(crate) snapshots_passed_over: u64,
    pub(crate) card_tables_used: u64,
    pub(crate) snapshots_checked: u64,
    /// Keys that two partitions answered: declined where the card was not known yet, and again where it was.
    pub(crate) answered_twice: u64,
}

impl Checked {
    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.messages, other.messages),
            (&mut self.decisions, other.decisions),
            (&mut self.granted, other.granted),
            (&mut self.void, other.void),
            (&mut self.takeovers, other.takeovers),
            (&mut self.repeats, other.repeats),
            (&mut self.rejected, other.rejected),
            (&mut self.rows, other.rows),
            (&mut self.inserts_repeated, other.inserts_repeated),
            (&mut self.snapshots_used, other.snapshots_used),
            (&mut self.snapshots_passed_over, other.snapshots_passed_over),
            (&mut self.card_tables_used, other.card_tables_used),
            (&mut self.snapshots_checked, other.snapshots_checked),
            (&mut self.answered_twice, other.answered_twice),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum += more);
    }
}

/// The true outcomes of one partition, with their offsets.
struct Truth {
    partition: PartitionId,
    outcomes: Vec<(i64, Rc<LedgerRecord>)>,
}

impl Truth {
    fn of(log: &Log, partition: PartitionId, checked: &mut Checked) -> Self {
        let mut fence = Fence::default();
        let mut outcomes = Vec::new();
        for (offset, stored) in (0..).zip(log.records((Topic::Ledger, partition))) {
            let record = stored.ledger_record();
            match &record.body {
                LedgerBody::Takeover { .. } => {
                    checked.takeovers += 1;
                    fence.takeover(offset);
                }
                LedgerBody::Outcome(_) if fence.admits(record.epoch) => outcomes.push((offset, record.clone())),
                LedgerBody::Outcome(_) => checked.void += 1,
            }
        }
        Self { partition, outcomes }
    }

    fn outcomes(&self) -> impl Iterator<Item = (i64, &Outcome)> {
        self.outcomes.iter().filter_map(|(offset, record)| match &record.body {
            LedgerBody::Outcome(outcome) => Some((*offset, outcome)),
            LedgerBody::Takeover { .. } => None,
        })
    }
}

pub(crate) fn check(world: &mut World) -> Checked {
    let mut checked = Checked::default();
    let partitions: Vec<PartitionId> = world.around.partitions().collect();
    let log = &world.around.log;
    let truths: Vec<Truth> = partitions.iter().map(|partition| Truth::of(log, *partition, &mut checked)).collect();
    each_message_is_decided_once(log, &truths, &mut checked);
    each_request_is_decided_once(log, &truths, &mut checked);
    no_key_is_granted_twice(&truths, &mut checked);
    books_balance(log, &partitions);
    for truth in &truths {
        Book::default().check(truth.outcomes().map(|(_, outcome)| outcome), &mut checked.granted);
    }
    one_owner_has_each_partition(world, &partitions, &mut checked);
    rows_are_the_ledger(world, &truths, &mut checked);
    sales_and_cards_follow(log, &truths);
    screens_agree(world);
    checked
}

/// Whether an outcome is the first of its origin, and not a repeat of what was routed twice.
fn is_first(outcome: &Outcome) -> bool {
    !outcome.facts.is_empty() || outcome.fingerprint.is_some()
}

fn each_message_is_decided_once(log: &Log, truths: &[Truth], checked: &mut Checked) {
    let mut decided: BTreeMap<(OriginTopic, PartitionId, i64), (u32, BTreeSet<PartitionId>)> = BTreeMap::new();
    for truth in truths {
        for (_, outcome) in truth.outcomes() {
            checked.decisions += 1;
            let Some(Origin { topic, partition, offset }) = outcome.origin else { continue };
            let (times, places) = decided.entry((topic, partition, offset)).or_default();
            *times += u32::from(is_first(outcome));
            checked.repeats += u64::from(!is_first(outcome));
            places.insert(truth.partition);
        }
    }
    let rejected = rejected(log, truths.len());
    for (topic, origin_topic) in
        [(Topic::Transactions, OriginTopic::Transactions), (Topic::Commands, OriginTopic::Commands)]
    {
        for truth in truths {
            for (offset, stored) in (0..).zip(log.records((topic, truth.partition))) {
                checked.messages += 1;
                let is_readable = match topic {
                    Topic::Commands => ingest::decode::command(&stored.value).is_ok(),
                    _ => ingest::decode::transaction(&stored.value).is_ok(),
                };
                let name = format!("{topic:?}/{}@{offset}", truth.partition);
                let (times, places) = decided.remove(&(origin_topic, truth.partition, offset)).unwrap_or_default();
                assert_eq!(times, u32::from(is_readable), "{name} was decided so often");
                assert!(places.len() <= 1, "{name} was decided in {places:?}");
                let source = format!("{}/{}@{offset}", topic.name("fuel"), truth.partition);
                assert_eq!(rejected.contains(&source), !is_readable, "{name} was put aside");
                checked.rejected += u64::from(!is_readable);
            }
        }
    }
    assert!(decided.is_empty(), "decided without having been sent: {decided:?}");
}

/// What was put aside, by where it came from.
fn rejected(log: &Log, partitions: usize) -> BTreeSet<String> {
    let partitions = i32::try_from(partitions).expect("few partitions");
    let records = (0..partitions).flat_map(|partition| log.records((Topic::Rejected, PartitionId(partition))));
    records.map(|stored| String::from_utf8_lossy(&stored.value).into_owned()).collect()
}

fn each_request_is_decided_once(log: &Log, truths: &[Truth], checked: &mut Checked) {
    for truth in truths {
        let mut offsets = truth.outcomes().map(|(_, outcome)| outcome.request);
        for (offset, stored) in (0..).zip(log.records((Topic::Requests, truth.partition))) {
            if ingest::decode::request(&stored.value).is_err() {
                checked.rejected += 1;
                continue;
            }
            assert_eq!(offsets.next(), Some(offset), "the next outcome of partition {}", truth.partition);
        }
        assert_eq!(offsets.next(), None, "an outcome of partition {} without a request", truth.partition);
    }
}

fn no_key_is_granted_twice(truths: &[Truth], checked: &mut Checked) {
    let mut answers: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for truth in truths {
        for (_, outcome) in truth.outcomes() {
            for fact in &outcome.facts {
                let Fact::Decided { decision, .. } = fact else { continue };
                if decision.replayed || decision.code == model::Code::FmtKeyReused {
                    continue;
                }
                let (answered, granted) = answers.entry(outcome.idem.as_str()).or_default();
                *answered += 1;
                *granted += u32::from(matches!(decision.decision, Verdict::Approve | Verdict::Partial));
            }
        }
    }
    for (key, (answered, granted)) in answers {
        assert!(granted <= 1, "{key} was granted {granted} times");
        checked.answered_twice += u64::from(answered > 1);
    }
}

fn books_balance(log: &Log, partitions: &[PartitionId]) {
    for partition in partitions {
        let mut audit = Audit::new(*partition, rules().key_retention_us, None);
        for (offset, stored) in (0..).zip(log.records((Topic::Ledger, *partition))) {
            audit.take(offset, stored.ledger_record());
        }
        let report = audit.finish();
        assert!(report.balances(), "the audit of partition {partition} says: {}", report.in_words());
    }
}

/// Its state is the fold of the ledger, and so is a start from any snapshot that can be read.
fn one_owner_has_each_partition(world: &World, partitions: &[PartitionId], checked: &mut Checked) {
    (checked.snapshots_used, checked.snapshots_passed_over) =
        (world.around.snapshots_used, world.around.snapshots_passed_over);
    checked.card_tables_used = world.around.card_tables_used;
    for partition in partitions {
        let mut folded = Shard::new(*partition);
        for (offset, stored) in (0..).zip(world.around.log.records((Topic::Ledger, *partition))) {
            folded.fold(&rules(), offset, stored.ledger_record());
        }
        let owners = world.processes.iter().filter_map(|process| process.parts.as_ref());
        let live: Vec<&Shard> = owners
            .filter(|parts| parts.owner.owned().any(|owned| owned == *partition))
            .filter_map(|parts| parts.owner.worker().shard(*partition))
            .collect();
        assert_eq!(live.len(), 1, "owners of partition {partition}");
        assert!(*live[0] == folded, "the owner's state of partition {partition} is not the fold of its ledger");
        for name in world.around.store.names().into_iter().filter(|name| name.partition == *partition) {
            let Ok((header, mut shard)) = snapshot::read(world.around.store.file(&name).expect("a file")) else {
                continue;
            };
            let tail = (0..).zip(world.around.log.records((Topic::Ledger, *partition)));
            for (offset, stored) in tail.skip_while(|(offset, _)| *offset < header.offset) {
                shard.fold(&rules(), offset, stored.ledger_record());
            }
            assert!(shard == folded, "a start from {name} is not the fold of the ledger");
            checked.snapshots_checked += 1;
        }
    }
}

fn rows_are_the_ledger(world: &World, truths: &[Truth], checked: &mut Checked) {
    let mut batch = Batch::default();
    for truth in truths {
        let records = world.around.log.records((Topic::Ledger, truth.partition));
        for (offset, record) in &truth.outcomes {
            let stored = &records[usize::try_from(*offset).expect("an offset")];
            let place = Place { partition: truth.partition, offset: *offset, recorded_at_ms: stored.at_us / 1_000 };
            let mut fence = Fence::default();
            fence.takeover(record.epoch);
            Rows::Ledger.take(place, &stored.value, &mut fence, Purpose::Record, &mut batch);
        }
    }
    let rows = rows_of(&batch);
    let mut expected = clickhouse::Rows::new();
    rows.iter().for_each(|row| *expected.entry(row.to_string()).or_default() += 1);
    let server = &world.around.clickhouse;
    same("rows", &expected, server.table());
    checked.rows = rows.len() as u64;
    checked.inserts_repeated = server.repeats_dropped;
}

/// Tells what differs, and not all that there is.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &BTreeMap<String, T>, found: &BTreeMap<String, T>) {
    let missing: Vec<_> = expected.iter().filter(|(key, value)| found.get(*key) != Some(value)).take(3).collect();
    let wrong: Vec<_> = found.iter().filter(|(key, value)| expected.get(*key) != Some(value)).take(3).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "{what}: expected {missing:#?}, found {wrong:#?}");
}

fn sales_and_cards_follow(log: &Log, truths: &[Truth]) {
    let (mut sales, mut cards) = (BTreeMap::new(), BTreeMap::new());
    for truth in truths {
        for (offset, outcome) in truth.outcomes() {
            let derived = derive(truth.partition, offset, outcome);
            if let Some(sale) = derived.sale {
                *sales.entry(format!("{sale:?}")).or_insert(0) += 1;
            }
            for card in derived.cards {
                *cards.entry(format!("{card:?}")).or_insert(0) += 1;
            }
        }
    }
    same("sales", &sales, &without_repeats::<Sale>(log, Topic::Sales, truths.len(), |sale| sale.origin));
    same("cards", &cards, &without_repeats::<CardEntry>(log, Topic::Cards, truths.len(), |card| card.origin));
}

/// What a reader of a derived topic takes for true: the first of each origin, in the order of each.
fn without_repeats<T: DeserializeOwned + std::fmt::Debug>(
    log: &Log,
    topic: Topic,
    partitions: usize,
    origin: impl Fn(&T) -> Origin,
) -> BTreeMap<String, i32> {
    let mut found = BTreeMap::new();
    for partition in (0..i32::try_from(partitions).expect("few partitions")).map(PartitionId) {
        let mut seen = Watermarks::default();
        for stored in log.records((topic, partition)) {
            let record: T = serde_json::from_slice(&stored.value).expect("a derived record");
            if seen.advance(origin(&record)) {
                *found.entry(format!("{record:?}")).or_insert(0) += 1;
            }
        }
    }
    found
}

fn screens_agree(world: &mut World) {
    let now_us = START_US + world.around.now_us;
    let contracts = world.contracts().to_vec();
    let fresh = screens::fresh(&world.around.log, world.around.settings.partitions, now_us, &contracts).shows();
    for process in &mut world.processes {
        let Some(parts) = &mut process.parts else { continue };
        parts.page.settle(now_us, &mut process.browser);
        let shown = process.browser.shows();
        for part in ["network", "contracts", "details"] {
            let parting = parting(&shown[part], &fresh[part], part);
            assert!(parting.is_none(), "the page and a fresh one differ: {}", parting.unwrap_or_default());
        }
        // Which of all decisions are the latest depends on how partitions mix.
        let decisions = [&shown, &fresh].map(|page| page["decisions"].as_object().expect("lines by id"));
        let mut common = 0;
        for (id, line) in decisions[0] {
            let Some(other) = decisions[1].get(id) else { continue };
            common += 1;
            let parting = parting(line, other, id);
            assert!(parting.is_none(), "a decision and a fresh page's differ: {}", parting.unwrap_or_default());
        }
        let all = u64::try_from(decisions[1].len()).expect("few lines");
        assert!(common > 0 || all == 0, "the page and a fresh one show no decision in common");
    }
}

/// Where two values part.
fn parting(left: &Value, right: &Value, path: &str) -> Option<String> {
    match (left, right) {
        (Value::Object(one), Value::Object(other)) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            names.into_iter().find_map(|name| parting(&left[name], &right[name], &format!("{path}.{name}")))
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut places =
                (0..one.len()).map(|place| parting(&one[place], &other[place], &format!("{path}.{place}")));
            places.find_map(|parting| parting)
        }
        _ => (left != right).then(|| format!("{path} is {left}, on a fresh page {right}")),
    }
}
