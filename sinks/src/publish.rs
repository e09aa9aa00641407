//! Derives `fuel.sales` and `fuel.cards` from the ledger.
//!
//! In: all partitions of `fuel.ledger`, read from the group's own position. Out: a sale or declined wish per ledger
//! record that has one, by site; an entry per issued card, by card. Guarantees: only true records count (fenced); what is
//! derived from one ledger partition is written in its order, and the position moves on only after Kafka acknowledged it.
//! Does not: write exactly once. After a crash some records come again with the same `origin`, by which readers drop them;
//! two publishers at a time do no more harm than that.

pub mod derive;
pub mod lane;

use std::collections::BTreeMap;
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

/// Publishes until `stop` turns true, on a thread of its own. A lost connection is waited for; an error that waiting
/// cannot cure is returned.
pub async fn run(config: Config, stop: watch::Receiver<bool>) -> Result<(), Error> {
    let name = "publish";
    let (done, ended) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _ = done.send(publish(&config, &stop));
        })
        .map_err(|source| Error::Thread { name: name.to_owned(), source })?;
    ended.await.unwrap_or_else(|_| Err(Error::ThreadEnded { name: name.to_owned() }))
}

fn publish(config: &Config, stop: &watch::Receiver<bool>) -> Result<(), Error> {
    while !*stop.borrow() {
        let ended = Publisher::open(config).and_then(|mut publisher| publisher.publish_until(stop));
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
        let committed =
            kafka::committed(|asked| consumer.committed_offsets(asked, REQUEST_TIMEOUT), &topic, log.all_partitions())?;
        let mut assignment = TopicPartitionList::new();
        let mut lanes = BTreeMap::new();
        for position in committed {
            let lane = Lane::begin(position.partition, position.offset, &position.metadata);
            let from = lane.read_from().map_or(Offset::Beginning, Offset::Offset);
            assignment
                .add_partition_offset(&topic, position.partition.0, from)
                .map_err(Error::kafka(format!("reading {topic} from {from:?}")))?;
            lanes.insert(position.partition, lane);
        }
        consumer.assign(&assignment).map_err(Error::kafka(format!("reading {topic}")))?;
        Ok(Self { recorder: Recorder::open(&log)?, log, topic, consumer, lanes, committed_at: Instant::now() })
    }

    fn publish_until(&mut self, stop: &watch::Receiver<bool>) -> Result<(), Error> {
        while !*stop.borrow() {
            if self.publish_batch()? {
                self.recorder.flush(FLUSH_TIMEOUT)?;
            }
            if self.committed_at.elapsed() >= COMMIT_INTERVAL {
                self.commit(CommitMode::Async)?;
            }
        }
        self.commit(CommitMode::Sync)
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
