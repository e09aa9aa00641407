//! Snapshots of histories that hold all that the engine knows: those with which the oracle is asked.

mod choices;
mod copies;
mod corrupt;
mod formats;
#[path = "../../../tests/oracle/history.rs"]
mod history;
#[path = "../../../tests/oracle/prices.rs"]
mod prices;
mod workers;

use model::{LedgerBody, LedgerRecord, Origin, OriginTopic, PartitionId, Request, RequestBody, TimestampUs};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::ledger::Config;
use crate::ledger::shard::Shard;

const PARTITION: PartitionId = PartitionId(0);
const STEPS_MAX: usize = 400;

fn takeover() -> LedgerRecord {
    let body = LedgerBody::Takeover { owner: "test".into(), at_us: TimestampUs::default() };
    LedgerRecord { v: 1, epoch: 0, body }
}

/// An owner, and the ledger that it writes.
#[derive(Clone)]
struct Owner {
    config: Config,
    shard: Shard,
    /// Records as they stand in the ledger.
    ledger: Vec<String>,
    epoch: i64,
    next: i64,
}

impl Owner {
    fn new(config: Config) -> Self {
        let mut owner = Self { config, shard: Shard::new(PARTITION), ledger: Vec::new(), epoch: 0, next: 0 };
        owner.take_over();
        owner
    }

    fn end(&self) -> i64 {
        i64::try_from(self.ledger.len()).unwrap()
    }

    fn take_over(&mut self) {
        self.epoch = self.end();
        self.shard.fold(&self.config, self.epoch, &takeover());
        self.append(&takeover());
    }

    fn append(&mut self, record: &LedgerRecord) {
        self.ledger.push(serde_json::to_string(record).unwrap());
    }

    fn decide(&mut self, request: Request) -> LedgerRecord {
        let outcome = self.shard.decide(&self.config, self.next, request).expect("a new offset");
        self.next += 1;
        let record = LedgerRecord { v: 1, epoch: self.epoch, body: LedgerBody::Outcome(outcome) };
        self.append(&record);
        record
    }

    /// The state that the ledger gives to a shard, from this record on.
    fn folded(&self, mut shard: Shard, from: i64) -> Shard {
        for (offset, json) in (0..).zip(&self.ledger).skip(usize::try_from(from).unwrap()) {
            shard.fold(&self.config, offset, &serde_json::from_str(json).unwrap());
        }
        shard
    }
}

/// What comes to a partition: a history of the oracle, from origins, with repeats.
fn requests(seed: u64, steps_max: usize) -> Vec<Request> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut all: Vec<Request> = Vec::new();
    for (offset, mut request) in history::history(seed, steps_max) {
        let topic = match &request.body {
            RequestBody::Transaction(_) => Some(OriginTopic::Transactions),
            RequestBody::Command(_) => Some(OriginTopic::Commands),
            RequestBody::Tick(_) => None,
        };
        let partition = PartitionId(random.random_range(0..3));
        request.origin = topic.map(|topic| Origin { topic, partition, offset });
        let received_at_us = request.received_at_us;
        all.push(request);
        if random.random_range(0..10) == 0 {
            let earlier = all[random.random_range(0..all.len())].clone();
            let origin = earlier.origin.filter(|_| random.random_range(0..2) == 0);
            all.push(Request { origin, received_at_us, ..earlier });
        }
    }
    all
}

/// A state in which there is something of everything.
fn owner_after(seed: u64, steps_max: usize) -> Owner {
    let mut owner = Owner::new(Config::default());
    for request in requests(seed, steps_max) {
        owner.decide(request);
    }
    owner
}
