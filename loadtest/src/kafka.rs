//! Kafka as an outside client uses it: a producer that never gives up, and readers of whole topics.
//!
//! Guarantees: idempotent producer, every broker's acknowledgement, no linger; what could not be delivered is kept and can
//! be sent again ([`Sender::resend`]), also after the producer died of a fatal error.
//! Does not: keep consumer groups; positions are the caller's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use model::{LogSettings, Topic};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const ASK_TIMEOUT: Duration = Duration::from_secs(5);
const LEADER_PATIENCE: Duration = Duration::from_secs(30);
/// After a cut that nobody was told of, the client is not to be what takes longest.
const SOCKET_TIMEOUT_MS: &str = "10000";
/// Messages that wait in the producer for the broker.
const QUEUE_MAX: &str = "200000";
/// Undelivered messages that are kept for another attempt.
const UNDELIVERED_MAX: usize = 400_000;

/// A message that came back from the producer.
#[derive(Clone, Debug)]
pub struct Undelivered {
    pub topic: String,
    pub partition: i32,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
}

/// What became of the messages of a producer.
#[derive(Default)]
pub struct Deliveries {
    pub delivered: AtomicU64,
    pub failed: AtomicU64,
    undelivered: Mutex<VecDeque<Undelivered>>,
}

struct Callbacks(Arc<Deliveries>);

/// Brokers may come and go while an outside client works; that is worth a line for who looks for it only.
struct Quiet;

macro_rules! quiet {
    ($context:ty) => {
        impl ClientContext for $context {
            fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
                tracing::debug!(facility, message, "kafka client");
            }
            fn error(&self, error: KafkaError, reason: &str) {
                tracing::debug!(%error, reason, "kafka client");
            }
        }
    };
}
quiet!(Callbacks);
quiet!(Quiet);

impl ConsumerContext for Quiet {}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.0.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, message)) => {
                self.0.failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, topic = message.topic(), "a message was not delivered");
                let mut kept = self.0.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < UNDELIVERED_MAX {
                    kept.push_back(Undelivered {
                        topic: message.topic().to_owned(),
                        partition: message.partition(),
                        key: message.key().unwrap_or_default().to_vec(),
                        payload: message.payload().unwrap_or_default().to_vec(),
                    });
                }
            }
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Wait a little and try again.
    #[error("the producer's queue is full")]
    Full,
    #[error("kafka refused a message: {0}")]
    Refused(KafkaError),
}

/// A producer.
pub struct Sender {
    bootstrap: String,
    timeout: Duration,
    deliveries: Arc<Deliveries>,
    producer: ThreadedProducer<Callbacks>,
}

impl Sender {
    /// `timeout` is how long a message may wait for its broker.
    pub fn open(bootstrap: &str, timeout: Duration) -> anyhow::Result<Self> {
        let deliveries = Arc::new(Deliveries::default());
        let producer = open_producer(bootstrap, timeout, &deliveries)?;
        Ok(Self { bootstrap: bootstrap.to_owned(), timeout, deliveries, producer })
    }

    #[must_use]
    pub fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    pub fn send(&self, topic: &str, partition: i32, key: &str, payload: &[u8]) -> Result<(), SendError> {
        self.send_bytes(topic, partition, key.as_bytes(), payload)
    }

    fn send_bytes(&self, topic: &str, partition: i32, key: &[u8], payload: &[u8]) -> Result<(), SendError> {
        let record = BaseRecord::to(topic).partition(partition).key(key).payload(payload);
        match self.producer.send(record) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Err(SendError::Full),
            Err((error, _)) => Err(SendError::Refused(error)),
        }
    }

    /// Waits while the queue is full.
    pub fn send_waiting(&self, topic: &str, partition: i32, key: &str, payload: &[u8]) -> Result<(), SendError> {
        loop {
            match self.send(topic, partition, key, payload) {
                Err(SendError::Full) => std::thread::sleep(Duration::from_millis(1)),
                result => return result,
            }
        }
    }

    /// Gives what came back to the broker again, with a new producer if the old one died. How many were sent.
    pub fn resend(&mut self) -> anyhow::Result<usize> {
        if self.producer.client().fatal_error().is_some() {
            tracing::warn!("the kafka producer died; starting another");
            self.producer = open_producer(&self.bootstrap, self.timeout, &self.deliveries)?;
        }
        let kept = std::mem::take(&mut *self.deliveries.undelivered.lock().unwrap_or_else(PoisonError::into_inner));
        let count = kept.len();
        let mut kept = kept.into_iter();
        while let Some(message) = kept.next() {
            if self.send_bytes(&message.topic, message.partition, &message.key, &message.payload).is_err() {
                let mut waiting = self.deliveries.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.push_back(message);
                waiting.extend(kept);
                break;
            }
        }
        Ok(count)
    }

    /// Waits until all is delivered or given up.
    pub fn flush(&self, timeout: Duration) -> anyhow::Result<()> {
        self.producer.flush(timeout).context("kafka did not take all messages in time")
    }

    /// Messages that neither arrived nor came back.
    #[must_use]
    pub fn in_flight(&self) -> i32 {
        self.producer.in_flight_count()
    }
}

fn open_producer(
    bootstrap: &str,
    timeout: Duration,
    deliveries: &Arc<Deliveries>,
) -> anyhow::Result<ThreadedProducer<Callbacks>> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "forecourt-outside")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        // With more, librdkafka's sending thread spins while five messages of a partition wait for their acknowledgement,
        // and takes the processor from those that it measures.
        .set("max.in.flight.requests.per.connection", "1")
        .set("socket.nagle.disable", "true")
        .set("queue.buffering.max.messages", QUEUE_MAX)
        .set("message.timeout.ms", timeout.as_millis().to_string())
        .set("socket.timeout.ms", SOCKET_TIMEOUT_MS)
        .set("reconnect.backoff.max.ms", "500")
        .create_with_context(Callbacks(Arc::clone(deliveries)))
        .context("cannot make a kafka producer")
}

/// Reads partitions from given offsets.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
}

impl Reader {
    /// Reads all partitions of `topics` from the offsets given; `None` stands for the end as it is now.
    pub fn open(bootstrap: &str, topics: &[(&str, i32, Option<i64>)]) -> anyhow::Result<Self> {
        let consumer: BaseConsumer<Quiet> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("client.id", "forecourt-outside")
            // Nothing is committed; the client library wants a name all the same.
            .set("group.id", "forecourt-outside")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("socket.nagle.disable", "true")
            .set("fetch.wait.max.ms", "100")
            .set("socket.timeout.ms", SOCKET_TIMEOUT_MS)
            .set("reconnect.backoff.max.ms", "500")
            .create_with_context(Quiet)
            .context("cannot make a kafka consumer")?;
        let reader = Self { consumer };
        let mut positions = TopicPartitionList::new();
        for (topic, partitions, from) in topics {
            for partition in 0..*partitions {
                let offset = match from {
                    Some(offset) => *offset,
                    None => reader.end(topic, partition)?,
                };
                positions.add_partition_offset(topic, partition, Offset::Offset(offset))?;
            }
        }
        reader.consumer.assign(&positions)?;
        Ok(reader)
    }

    /// The offset that the next record of a partition will get. Waits while the partition has no leader, as happens to new
    /// topics and when brokers come back.
    pub fn end(&self, topic: &str, partition: i32) -> anyhow::Result<i64> {
        Ok(self.span(topic, partition)?.1)
    }

    /// The offset of the first record that is kept, and [`Self::end`].
    pub fn span(&self, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        let begun = Instant::now();
        loop {
            match self.consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT) {
                Ok(span) => return Ok(span),
                Err(error) if begun.elapsed() > LEADER_PATIENCE => {
                    return Err(error).with_context(|| format!("cannot ask kafka for the ends of {topic}/{partition}"));
                }
                Err(error) => tracing::debug!(%error, topic, partition, "no leader yet"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits up to `wait` for a record, then hands over what is there, at most `max`. How many there were.
    pub fn read(&self, max: usize, wait: Duration, mut each: impl FnMut(&BorrowedMessage<'_>)) -> usize {
        let mut count = 0;
        while count < max {
            match self.consumer.poll(if count == 0 { wait } else { Duration::ZERO }) {
                Some(Ok(message)) => {
                    each(&message);
                    count += 1;
                }
                // Brokers come and go; the client library connects again by itself.
                Some(Err(error)) => tracing::debug!(%error, "kafka reader"),
                None => break,
            }
        }
        count
    }
}

/// The partition count of a topic, without creating the topic; `None` when it is not there.
pub fn partitions(bootstrap: &str, topic: &str) -> anyhow::Result<Option<i32>> {
    let consumer: BaseConsumer<Quiet> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create_with_context(Quiet)?;
    let metadata =
        consumer.fetch_metadata(None, ASK_TIMEOUT).with_context(|| format!("kafka at {bootstrap} does not answer"))?;
    let found = metadata.topics().iter().find(|known| known.name() == topic);
    found.map(|topic| i32::try_from(topic.partitions().len()).context("too many partitions")).transpose()
}

/// Waits until the topics that a client needs are there with the expected partitions.
pub fn wait_for_topics(
    log: &LogSettings,
    topics: &[Topic],
    patience: Duration,
    stop: &dyn Fn() -> bool,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let problem = match missing(log, topics) {
            Ok(None) => return Ok(()),
            Ok(Some(problem)) => problem,
            Err(error) => format!("{error:#}"),
        };
        if stop() || begun.elapsed() > patience {
            bail!("{problem}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn missing(log: &LogSettings, topics: &[Topic]) -> anyhow::Result<Option<String>> {
    for topic in topics {
        let name = log.topic_name(*topic);
        match partitions(&log.bootstrap, &name)? {
            Some(count) if count == log.partitions => {}
            Some(count) => {
                return Ok(Some(format!("topic {name} has {count} partitions, expected {}", log.partitions)));
            }
            None => return Ok(Some(format!("topic {name} is not there"))),
        }
    }
    Ok(None)
}

/// Tells true ledger records from a replaced owner's when reading starts in the middle of the log: the first epoch seen is
/// taken for the current one. A reader that starts at the beginning uses [`model::Fence`] instead.
#[derive(Debug)]
pub struct TailFence(Vec<i64>);

impl TailFence {
    #[must_use]
    pub fn new(partitions: i32) -> Self {
        Self(vec![-1; usize::try_from(partitions).unwrap_or(0)])
    }
    /// A takeover stands at `offset` of `partition`.
    pub fn takeover(&mut self, partition: i32, offset: i64) {
        if let Some(epoch) = usize::try_from(partition).ok().and_then(|index| self.0.get_mut(index)) {
            *epoch = offset;
        }
    }
    /// Whether a record of `epoch` is true here.
    pub fn admits(&mut self, partition: i32, epoch: i64) -> bool {
        match usize::try_from(partition).ok().and_then(|index| self.0.get_mut(index)) {
            Some(current) if epoch >= *current => {
                *current = epoch;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_from_the_middle_ignores_a_replaced_owner() {
        let mut fence = TailFence::new(2);
        assert!(fence.admits(0, 5));
        fence.takeover(0, 9);
        assert!(!fence.admits(0, 5));
        assert!(fence.admits(0, 9));
        assert!(fence.admits(1, 0), "partitions have their own owners");
        assert!(!fence.admits(2, 0), "no such partition");
    }
}
