//! Derives `fuel.sales` and `fuel.cards` from the ledger.
//!
//! In: all partitions of `fuel.ledger`, read from the group's own position. Out: a sale or declined wish per ledger
//! record that has one, by site; an entry per issued card, by card. Guarantees: only true records count (fenced); what is
//! derived from one ledger partition is written in its order, and the position moves on only after Kafka acknowledged it.
//! Does not: write exactly once. After a crash, or when a partition moves, some records come again with the same `origin`, by
//! which readers drop them; two publishers at a time do no more harm than that.

mod derive;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use model::{Fence, LedgerBody, LedgerRecord, LogSettings, PartitionId, Topic};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{oneshot, watch};

use crate::kafka::{self, REQUEST_TIMEOUT};
use crate::position::Commit;
use crate::{Error, Recorder};

/// Records that are derived before waiting for their acknowledgement.
const BATCH_RECORDS_MAX: usize = 2_000;
/// How soon a stop is noticed.
const READ_WAIT: Duration = Duration::from_millis(100);
/// A position is at most this old, which bounds the repeats after a crash.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);
/// A new card is usable after this, so it is short.
const GATHER: Duration = Duration::from_millis(50);
const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub log: LogSettings,
    /// Consumer group that remembers the position.
    pub group: String,
}

/// Publishes what the ledger's `owned` partitions hold, as they change, until `stop` turns true; on a thread of its own. A lost
/// connection is waited for; an error that waiting cannot cure is returned.
pub async fn run(
    config: Config,
    owned: watch::Receiver<BTreeSet<PartitionId>>,
    stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let name = "publish";
    let (done, ended) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _ = done.send(publish(&config, owned, &stop));
        })
        .map_err(|source| Error::Thread { name: name.to_owned(), source })?;
    ended.await.unwrap_or_else(|_| Err(Error::ThreadEnded { name: name.to_owned() }))
}

fn publish(
    config: &Config,
    mut owned: watch::Receiver<BTreeSet<PartitionId>>,
    stop: &watch::Receiver<bool>,
) -> Result<(), Error> {
    while !*stop.borrow() {
        owned.mark_changed();
        let ended = Publisher::open(config).and_then(|mut publisher| publisher.publish_until(&mut owned, stop));
        match ended {
            Err(error) if error.passes() => {
                tracing::warn!(%error, "publishing sales and cards waits for Kafka");
                thread::sleep(RETRY_PAUSE);
            }
            ended => return ended,
        }
    }
    Ok(())
}

struct Publisher {
    log: LogSettings,
    topic: String,
    consumer: BaseConsumer,
    recorder: Recorder,
    lanes: BTreeMap<PartitionId, Lane>,
    committed_at: Instant,
}

/// One ledger partition.
struct Lane {
    fence: Fence,
    /// Offset of the next record to read.
    next: i64,
    /// `next` as last committed.
    committed: Option<i64>,
}

impl Publisher {
    fn open(config: &Config) -> Result<Self, Error> {
        let log = config.log.clone();
        let topic = log.topic_name(Topic::Ledger);
        let consumer: BaseConsumer = kafka::consumer_config(&log, &config.group, GATHER)
            .create()
            .map_err(Error::kafka(format!("opening a consumer of {topic}")))?;
        let recorder = Recorder::open(&log)?;
        Ok(Self { recorder, log, topic, consumer, lanes: BTreeMap::new(), committed_at: Instant::now() })
    }

    fn publish_until(
        &mut self,
        owned: &mut watch::Receiver<BTreeSet<PartitionId>>,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), Error> {
        while !*stop.borrow() {
            if owned.has_changed().unwrap_or(false) {
                let partitions = owned.borrow_and_update().clone();
                self.follow(&partitions)?;
            }
            if self.publish_batch()? {
                self.recorder.flush(FLUSH_TIMEOUT)?;
            }
            if self.committed_at.elapsed() >= COMMIT_INTERVAL {
                self.commit(CommitMode::Async)?;
            }
        }
        self.commit(CommitMode::Sync)
    }

    /// Reads these partitions and no others. Whoever had one before may still be publishing its last records: readers drop
    /// the repeats.
    fn follow(&mut self, owned: &BTreeSet<PartitionId>) -> Result<(), Error> {
        let mut lost = TopicPartitionList::new();
        for partition in self.lanes.keys().filter(|partition| !owned.contains(partition)) {
            lost.add_partition(&self.topic, partition.0);
        }
        if lost.count() > 0 {
            self.commit(CommitMode::Sync)?;
            self.consumer
                .incremental_unassign(&lost)
                .map_err(Error::kafka(format!("giving up partitions of {}", self.topic)))?;
            self.lanes.retain(|partition, _| owned.contains(partition));
        }
        let gained: Vec<PartitionId> =
            owned.iter().filter(|partition| !self.lanes.contains_key(partition)).copied().collect();
        if gained.is_empty() {
            return Ok(());
        }
        let committed = kafka::committed(
            |asked| self.consumer.committed_offsets(asked, REQUEST_TIMEOUT),
            &self.topic,
            gained.into_iter(),
        )?;
        let mut assignment = TopicPartitionList::new();
        for position in committed {
            // Without the epoch at the position nothing after it can be judged, so the log is read from its beginning:
            // readers drop the repeats.
            let known = position.offset.zip(Commit::decode(&position.metadata));
            let (next, fence) = known.map_or((0, Fence::default()), |(offset, commit)| (offset, commit.fence()));
            self.lanes.insert(position.partition, Lane { fence, next, committed: known.map(|(offset, _)| offset) });
            let from = if known.is_some() { Offset::Offset(next) } else { Offset::Beginning };
            assignment
                .add_partition_offset(&self.topic, position.partition.0, from)
                .map_err(Error::kafka(format!("reading {} from {next}", self.topic)))?;
        }
        self.consumer.incremental_assign(&assignment).map_err(Error::kafka(format!("reading {}", self.topic)))
    }

    /// Derives from what is there; true when something was appended.
    fn publish_batch(&mut self) -> Result<bool, Error> {
        let mut appended = false;
        let mut wait = READ_WAIT;
        for _ in 0..BATCH_RECORDS_MAX {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let partition = PartitionId(message.partition());
                    let Some(lane) = self.lanes.get_mut(&partition) else { continue };
                    let offset = message.offset();
                    lane.next = offset + 1;
                    if let Some(record) = admitted(&mut lane.fence, &self.topic, partition, offset, message.payload()) {
                        appended |= append(&self.recorder, &self.log, partition, offset, &record)?;
                    }
                    metrics::gauge!("forecourt_publish_position", "partition" => partition.to_string())
                        .set(kafka::gauge(lane.next));
                    wait = Duration::ZERO;
                }
                Some(Err(error)) => kafka::endure(error, &self.topic)?,
            }
        }
        Ok(appended)
    }

    fn commit(&mut self, mode: CommitMode) -> Result<(), Error> {
        self.committed_at = Instant::now();
        let moved: Vec<(PartitionId, i64, Commit)> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.next > 0 && lane.committed != Some(lane.next))
            .map(|(partition, lane)| (*partition, lane.next, Commit { epoch: lane.fence.epoch(), planned_to: None }))
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        let list = kafka::commit_list(&self.topic, moved.iter().map(|(partition, next, at)| (*partition, *next, at)))?;
        self.consumer.commit(&list, mode).map_err(Error::kafka(format!("committing positions of {}", self.topic)))?;
        for (partition, next, _) in moved {
            if let Some(lane) = self.lanes.get_mut(&partition) {
                lane.committed = Some(next);
            }
        }
        Ok(())
    }
}

/// The record when it is a true outcome. A takeover moves the fence; what cannot be read was not written by an owner.
fn admitted(
    fence: &mut Fence,
    topic: &str,
    partition: PartitionId,
    offset: i64,
    payload: Option<&[u8]>,
) -> Option<LedgerRecord> {
    let record: LedgerRecord = match serde_json::from_slice(payload.unwrap_or_default()) {
        Ok(record) => record,
        Err(error) => {
            tracing::error!(topic, %partition, offset, %error, "a record is not one of the ledger's and was passed over");
            metrics::counter!("forecourt_publish_unreadable_total").increment(1);
            return None;
        }
    };
    if let LedgerBody::Takeover { .. } = record.body {
        fence.takeover(offset);
        return None;
    }
    if !fence.admits(record.epoch) {
        metrics::counter!("forecourt_publish_fenced_total").increment(1);
        return None;
    }
    Some(record)
}

fn append(
    recorder: &Recorder,
    log: &LogSettings,
    partition: PartitionId,
    offset: i64,
    record: &LedgerRecord,
) -> Result<bool, Error> {
    let LedgerBody::Outcome(outcome) = &record.body else { return Ok(false) };
    let derived = derive::derive(partition, offset, outcome);
    for entry in &derived.cards {
        let key = entry.card.as_str();
        recorder.append(Topic::Cards, log.partition_of(key), key, entry)?;
    }
    if let Some(sale) = &derived.sale {
        let key = sale.site.as_str();
        recorder.append(Topic::Sales, log.partition_of(key), key, sale)?;
    }
    Ok(derived.sale.is_some() || !derived.cards.is_empty())
}
