//! A partition, a card table that learns, and a router that dies at any moment: a record must be routed the same way every
//! time, in order, and none may be left out.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::decode;

/// One record of the partition: the card that pays, or an order of the back office.
#[derive(Clone, Copy, Debug)]
enum Record {
    Sale { card: u8 },
    Order,
    Garbage,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next record arrives.
    Arrive,
    /// The table learns a card.
    Learn(u8),
    /// The oldest, or another, record in flight is delivered.
    Deliver(usize),
    /// A commit is sent, reaches Kafka, and is confirmed, if there is anything to commit.
    Propose,
    CommitReaches,
    CommitConfirmed,
    /// The answer is lost; whether the commit reached Kafka is not known.
    CommitUnanswered,
    /// The process dies and starts again from what Kafka has.
    Crash,
}

fn request(record: Record) -> Request {
    let body = match record {
        Record::Sale { card } => {
            let json = format!(
                r#"{{"v":1,"idem":"i","kind":"balance","site":"S","terminal":"T","local_time":"2026-01-14T10:00:00",
                "utc_offset_min":0,"card":{{"token":"K-{card}"}},"currency":"RUB"}}"#
            );
            RequestBody::Transaction(Box::new(decode::transaction(json.as_bytes()).unwrap()))
        }
        Record::Order | Record::Garbage => {
            let json =
                r#"{"v":1,"idem":"i","author":"a","at_us":1,"contract":"C","command":{"unblock_card":{"card":"K"}}}"#;
            RequestBody::Command(Box::new(decode::command(json.as_bytes()).unwrap()))
        }
    };
    Request { v: 1, origin: None, received_at_us: Default::default(), contract: None, body }
}

/// The world outside of the router.
struct World {
    records: Vec<Record>,
    table: HashMap<CardToken, ContractId>,
    kafka: Commit,
    /// How each offset was sent, the first time.
    sent: HashMap<i64, Option<ContractId>>,
    lane: Lane,
    next: usize,
    last_sent: i64,
    in_flight: Vec<Ticket>,
    commit: Option<Commit>,
}

impl World {
    fn new(records: Vec<Record>) -> Self {
        let kafka = Commit { position: 0, metadata: String::new() };
        let lane = Lane::begin(Start::default(), Ticket(0));
        Self {
            records,
            table: HashMap::new(),
            kafka,
            sent: HashMap::new(),
            lane,
            next: 0,
            last_sent: -1,
            in_flight: Vec::new(),
            commit: None,
        }
    }

    fn send(&mut self, offset: i64, ready: Ready) {
        let (ticket, request) = ready;
        assert!(offset > self.last_sent, "order within a run: {offset} after {}", self.last_sent);
        self.last_sent = offset;
        let before = self.sent.entry(offset).or_insert_with(|| request.contract.clone());
        assert_eq!(*before, request.contract, "offset {offset} is routed another way than before");
        self.in_flight.push(ticket);
    }

    fn release(&mut self) {
        loop {
            let offset = self.lane.waiting.front().map(|waiting| waiting.offset);
            let Some(ready) = self.lane.release(|card| self.table.get(card)) else { return };
            self.send(offset.unwrap(), ready);
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Arrive => {
                let Some(record) = self.records.get(self.next).copied() else { return };
                let offset = i64::try_from(self.next).unwrap();
                self.next += 1;
                match record {
                    Record::Garbage => {
                        let ticket = self.lane.take(offset);
                        self.in_flight.push(ticket);
                    }
                    _ => {
                        if let Some(ready) = self.lane.admit(offset, request(record), |card| self.table.get(card)) {
                            self.send(offset, ready);
                        }
                    }
                }
            }
            Step::Learn(card) => {
                let card = CardToken::new(&format!("K-{card}")).unwrap();
                let contract = ContractId::new(&format!("C-of-{card}")).unwrap();
                self.table.entry(card).or_insert(contract);
            }
            Step::Deliver(which) => {
                if !self.in_flight.is_empty() {
                    let ticket = self.in_flight.remove(which % self.in_flight.len());
                    self.lane.delivered(ticket);
                }
            }
            Step::Propose => {
                if self.commit.is_none() {
                    self.lane.propose(|card| self.table.get(card));
                    self.commit = self.lane.commit();
                }
            }
            Step::CommitReaches => {
                if let Some(commit) = &self.commit {
                    self.kafka = commit.clone();
                }
            }
            Step::CommitConfirmed => {
                if let Some(commit) = self.commit.take() {
                    self.kafka = commit.clone();
                    self.lane.committed(commit);
                }
            }
            Step::CommitUnanswered => {
                if self.commit.take().is_some() {
                    self.lane.commit_failed();
                }
            }
            Step::Crash => {
                let Commit { position, metadata } = &self.kafka;
                let plan = Plan::decode(metadata, *position).unwrap();
                self.lane = Lane::begin(Start { position: *position, plan }, Ticket(0));
                self.next = usize::try_from(*position).unwrap();
                self.last_sent = position - 1;
                self.in_flight.clear();
                self.commit = None;
            }
        }
        self.release();
    }

    /// Nothing goes wrong any more.
    fn finish(&mut self) {
        for _ in 0..=self.records.len() {
            for step in [Step::Arrive, Step::Propose, Step::CommitConfirmed, Step::Deliver(0)] {
                self.apply(step);
            }
        }
        while !self.in_flight.is_empty() {
            self.apply(Step::Deliver(0));
        }
        self.apply(Step::Propose);
        self.apply(Step::CommitConfirmed);
    }
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = prop_oneof![
        6 => (0_u8..6).prop_map(|card| Record::Sale { card }),
        1 => Just(Record::Order),
        1 => Just(Record::Garbage),
    ];
    prop::collection::vec(record, 1..40)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Arrive),
        2 => (0_u8..6).prop_map(Step::Learn),
        6 => (0_usize..8).prop_map(Step::Deliver),
        5 => Just(Step::Propose),
        2 => Just(Step::CommitReaches),
        4 => Just(Step::CommitConfirmed),
        1 => Just(Step::CommitUnanswered),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_record_is_routed_the_same_way_through_every_crash(records in records(), steps in steps()) {
        let count = records.len();
        let mut world = World::new(records);
        for step in steps {
            world.apply(step);
        }
        world.finish();
        prop_assert_eq!(world.kafka.position, i64::try_from(count).unwrap());
        let garbage = world.records.iter().filter(|record| matches!(record, Record::Garbage)).count();
        prop_assert_eq!(world.sent.len(), count - garbage);
    }
}

#[test]
fn a_card_that_becomes_known_after_the_plan_stays_unknown_for_that_record() {
    let mut world = World::new(vec![Record::Sale { card: 1 }, Record::Sale { card: 1 }]);
    for step in [Step::Arrive, Step::Propose, Step::CommitReaches, Step::Learn(1), Step::Crash, Step::Arrive] {
        world.apply(step);
    }
    assert_eq!(world.sent.get(&0), Some(&None));
    world.apply(Step::Arrive);
    assert!(world.sent.get(&1).is_some_and(Option::is_some));
}

#[test]
fn a_record_of_an_unknown_card_is_not_sent_before_its_plan_is_committed() {
    let mut world = World::new(vec![Record::Sale { card: 1 }, Record::Order]);
    for step in [Step::Arrive, Step::Arrive, Step::Propose, Step::CommitReaches] {
        world.apply(step);
    }
    assert!(world.sent.is_empty(), "sent too early: {:?}", world.sent);
    world.apply(Step::CommitConfirmed);
    assert_eq!(world.sent.len(), 2);
}
