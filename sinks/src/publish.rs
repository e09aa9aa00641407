//! Derives `fuel.sales` and `fuel.cards` from the ledger.
//!
//! In: all partitions of `fuel.ledger`, read from the group's own position. Out: a sale or declined wish per ledger
//! record that has one, by site; an entry per issued card, by card. Guarantees: only true records count (fenced); what is
//! derived from one ledger partition is written in its order, and the position moves on only after Kafka acknowledged it.
//! Does not: write exactly once. After a crash, or when a partition moves, some records come again with the same `origin`, by
//! which readers drop them; two publishers at a time do no more harm than that.

pub mod derive;
pub mod lane;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use model::{LogSettings, PartitionId, Topic};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{oneshot, watch};

use crate::kafka::{self, REQUEST_TIMEOUT};
use crate::position::Commit;
use crate::{Error, Recorder};
use derive::Derived;
use lane::Lane;

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
            let lane = Lane::begin(position.partition, position.offset, &position.metadata);
            let from = lane.read_from().map_or(Offset::Beginning, Offset::Offset);
            assignment
                .add_partition_offset(&self.topic, position.partition.0, from)
                .map_err(Error::kafka(format!("reading {} from {from:?}", self.topic)))?;
            self.lanes.insert(position.partition, lane);
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
                    let payload = message.payload().unwrap_or_default();
                    if let Some(derived) = lane.take(&self.topic, message.offset(), payload) {
                        appended |= append(&self.recorder, &self.log, &derived)?;
                    }
                    metrics::gauge!("forecourt_publish_position", "partition" => partition.to_string())
                        .set(kafka::gauge(lane.next()));
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
            .filter_map(|(partition, lane)| lane.commit().map(|(next, commit)| (*partition, next, commit)))
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        let list = kafka::commit_list(&self.topic, moved.iter().map(|(partition, next, at)| (*partition, *next, at)))?;
        self.consumer.commit(&list, mode).map_err(Error::kafka(format!("committing positions of {}", self.topic)))?;
        for (partition, next, _) in moved {
            if let Some(lane) = self.lanes.get_mut(&partition) {
                lane.committed(next);
            }
        }
        Ok(())
    }
}

/// Appends what follows from one record; true when that is anything.
fn append(recorder: &Recorder, log: &LogSettings, derived: &Derived) -> Result<bool, Error> {
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
