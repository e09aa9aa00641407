//! The engine with its log: workers, partitions, takeovers, and what each partition's ledger holds.
//!
//! In: requests. Out: the outcome of each. Guarantees for every request: the live dataflow writes one record, the record
//! survives its JSON, and a shard that folds the ledger so far decides the same bytes. Who takes over begins with the
//! snapshots that were taken, if there are any. Does not: use Kafka.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use model::{
    LedgerBody, LedgerRecord, Origin, OriginTopic, Outcome, PartitionId, Request, RequestBody, TimestampUs,
    partition_of,
};
use pipeline::Dataflow;
use pipeline::ledger::shard::Shard;
use pipeline::ledger::snapshot::Header;
use pipeline::ledger::snapshot::choice::{Choice, Name, choose};
use pipeline::ledger::snapshot::file::Writer;
use pipeline::ledger::{Config, Input, Output, spawn};

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the requests of each partition begin: codes with several digits stand out in texts.
const FIRST_REQUEST: i64 = 100;

pub(crate) struct Engine {
    config: Config,
    ledgers: Vec<Ledger>,
    origins: i64,
    running: Option<Running>,
}

struct Running {
    dataflow: Dataflow<Input>,
    outputs: Receiver<Vec<Output>>,
}

#[derive(Default)]
struct Ledger {
    records: Vec<LedgerRecord>,
    epoch: i64,
    decided: i64,
    snapshots: BTreeMap<Name, Vec<u8>>,
}

impl Engine {
    pub(crate) fn start(config: Config, partitions: usize) -> Self {
        let ledgers = (0..partitions).map(|_| Ledger::default()).collect();
        let mut engine = Self { config, ledgers, origins: 0, running: None };
        engine.take_over();
        engine
    }

    /// A new process: it folds the ledgers, takes them over and decides from there. The old one is gone.
    pub(crate) fn take_over(&mut self) {
        self.running = None;
        let (sender, outputs) = sync_channel(1 << 14);
        let dataflow = spawn(self.config.clone(), sender);
        for (partition, ledger) in (0..).map(PartitionId).zip(&mut self.ledgers) {
            ledger.epoch = i64::try_from(ledger.records.len()).expect("few records");
            let at_us = TimestampUs::default();
            let body = LedgerBody::Takeover { owner: format!("owner {}", ledger.epoch), at_us };
            ledger.records.push(LedgerRecord { v: 1, epoch: 0, body });
            let feed = dataflow.feed(partition);
            let fetch = |name: &Name| ledger.snapshots.get(name).cloned().ok_or("gone");
            let choice = choose(partition, 0..=ledger.epoch, ledger.snapshots.keys().copied(), fetch);
            let Choice { shard, offset: from, passed_over, .. } = choice.expect("the ledger has its beginning");
            assert!(passed_over.is_empty(), "a snapshot cannot be used: {passed_over:?}");
            feed.send(Input::Restore { partition, shard }).expect("a living dataflow");
            for (offset, record) in (0..).zip(&ledger.records).skip(usize::try_from(from).expect("an offset")) {
                feed.send(Input::Fold { partition, offset, record: record.clone() }).expect("a living dataflow");
            }
            feed.send(Input::Start { partition, epoch: ledger.epoch }).expect("a living dataflow");
        }
        self.running = Some(Running { dataflow, outputs });
    }

    /// Takes a snapshot of every partition.
    pub(crate) fn take_snapshots(&mut self) -> Result<(), String> {
        let Running { dataflow, outputs } = self.running.as_ref().ok_or("nobody decides")?;
        for (partition, ledger) in (0..).map(PartitionId).zip(&mut self.ledgers) {
            let offset = i64::try_from(ledger.records.len()).expect("few records");
            let snapshot = Input::Snapshot { partition, offset };
            dataflow.feed(partition).send(snapshot).map_err(|error| error.to_string())?;
            let mut writer = None;
            let file = loop {
                let batch = outputs.recv_timeout(PATIENCE).map_err(|error| format!("no snapshot: {error}"))?;
                let parts = batch.iter().filter_map(|output| match output {
                    Output::Snapshot { part, .. } => Some(part),
                    _ => None,
                });
                if let Some(done) = parts.filter_map(|part| Writer::take(&mut writer, part)).last() {
                    break done;
                }
            };
            let (Header { partition, offset, .. }, bytes) = file;
            ledger.snapshots.insert(Name { partition, offset }, bytes);
        }
        Ok(())
    }

    /// The same request as the router would write it: with an origin that was not seen before.
    pub(crate) fn with_new_origin(&mut self, request: &Request) -> Request {
        let topic = match &request.body {
            RequestBody::Transaction(_) => OriginTopic::Transactions,
            RequestBody::Command(_) => OriginTopic::Commands,
            RequestBody::Tick(_) => return request.clone(), // the owner's own
        };
        self.origins += 1;
        let origin = Origin { topic, partition: PartitionId(0), offset: self.origins };
        Request { origin: Some(origin), ..request.clone() }
    }

    /// Decides and records.
    pub(crate) fn decide(&mut self, request: &Request) -> Result<Outcome, String> {
        let (partition, record) = self.answer(request)?;
        let ledger = &mut self.ledgers[partition.index()];
        let json = serde_json::to_string(&record).map_err(|error| error.to_string())?;
        let read: LedgerRecord = serde_json::from_str(&json).map_err(|error| format!("{error} in {json}"))?;
        if read != record {
            return Err(format!("the record is not what its JSON says: {json}"));
        }
        ledger.records.push(read);
        ledger.decided += 1;
        match record.body {
            LedgerBody::Outcome(outcome) => Ok(outcome),
            LedgerBody::Takeover { .. } => Err("a takeover is no answer".into()),
        }
    }

    /// Decides, but dies before the ledger has the record.
    pub(crate) fn decide_and_die(&mut self, request: &Request) -> Result<Outcome, String> {
        let (_, record) = self.answer(request)?;
        self.running = None;
        match record.body {
            LedgerBody::Outcome(outcome) => Ok(outcome),
            LedgerBody::Takeover { .. } => Err("a takeover is no answer".into()),
        }
    }

    fn answer(&self, request: &Request) -> Result<(PartitionId, LedgerRecord), String> {
        let partition = partition_of(request.key(), i32::try_from(self.ledgers.len()).expect("few partitions"));
        let ledger = &self.ledgers[partition.index()];
        let offset = FIRST_REQUEST + ledger.decided;
        let Running { dataflow, outputs } = self.running.as_ref().ok_or("nobody decides")?;
        let requests = vec![(offset, request.clone())];
        let decide = Input::Decide { partition, epoch: ledger.epoch, requests };
        dataflow.feed(partition).send(decide).map_err(|error| error.to_string())?;
        let mut batch = outputs.recv_timeout(PATIENCE).map_err(|error| format!("no answer: {error}"))?;
        let (Some(output), None) = (batch.pop(), batch.pop()) else { return Err("not one record, but several".into()) };
        let Output::Record { partition: of, key, record } = output else { return Err("no record".into()) };
        let LedgerBody::Outcome(outcome) = &record.body else { return Err("a takeover is no answer".into()) };
        let addressed = (of, key.as_str(), record.epoch, outcome.request);
        if addressed != (partition, request.key(), ledger.epoch, offset) {
            return Err(format!("the record is addressed wrongly: {addressed:?}"));
        }
        let folded = self.folded(partition).decide(&self.config, offset, request.clone());
        if folded.as_ref() != Some(outcome) {
            return Err(format!("who folds the ledger decides otherwise:\n{folded:?}\nthe live engine:\n{outcome:?}"));
        }
        Ok((partition, *record))
    }

    /// The state that the ledger alone gives.
    fn folded(&self, partition: PartitionId) -> Shard {
        let mut shard = Shard::new(partition);
        for (offset, record) in (0..).zip(&self.ledgers[partition.index()].records) {
            shard.fold(&self.config, offset, record);
        }
        shard
    }
}
