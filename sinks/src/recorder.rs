//! Appends records to the logs.
//!
//! In: model records with their topic and partition. Out: JSON records in Kafka, in the order of the calls per partition.
//! Guarantees: no gap and no repeat (idempotent producer, all replicas); memory is bounded: a full queue makes the caller
//! wait. A record that Kafka does not take within two minutes ends the process: what follows it must not be written, and
//! a restart goes on from what is in the log. Does not: tell when a single record is durable; `flush` tells it for all.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use metrics::Counter;
use model::{LogSettings, PartitionId, Topic};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde::Serialize;

use crate::{Error, kafka};

/// Outlives a broker's restart.
const DELIVERY_TIMEOUT_MS: &str = "120000";
const QUEUE_RECORDS_MAX: &str = "200000";
const QUEUE_KILOBYTES_MAX: &str = "131072";
/// A buffer that grew beyond this is given back after use.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(1);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A writer of the logs. Cheap to share: clones are the same producer.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Inner>,
}

struct Inner {
    producer: ThreadedProducer<Deliveries>,
    /// In the order of [`Topic::ALL`].
    topics: Vec<Destination>,
    /// Set while callers wait for room, so that it is said once.
    full: AtomicBool,
}

/// A topic as it is written to: finding name and meters anew for each record would cost more than the record's way.
struct Destination {
    name: String,
    appended: Counter,
    appended_bytes: Counter,
}

impl Recorder {
    /// Makes the producer; connecting happens behind it.
    pub fn open(settings: &LogSettings) -> Result<Self, Error> {
        let producer = kafka::client_config(settings)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Nothing waits when the line is free; what comes while a request is under way goes together in the next one.
            .set("linger.ms", "0")
            .set("max.in.flight.requests.per.connection", "1")
            .set("message.timeout.ms", DELIVERY_TIMEOUT_MS)
            .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX)
            .set("queue.buffering.max.kbytes", QUEUE_KILOBYTES_MAX)
            .create_with_context(Deliveries)
            .map_err(Error::kafka("opening a Kafka producer"))?;
        let destination = |topic: &Topic| Destination {
            name: settings.topic_name(*topic),
            appended: metrics::counter!("forecourt_record_appended_total", "topic" => kafka::label(*topic)),
            appended_bytes: metrics::counter!("forecourt_record_appended_bytes_total", "topic" => kafka::label(*topic)),
        };
        let topics = Topic::ALL.iter().map(destination).collect();
        Ok(Self { inner: Arc::new(Inner { producer, topics, full: AtomicBool::new(false) }) })
    }

    /// Queues one record; waits while the queue is full. It is durable after the next successful [`Recorder::flush`].
    ///
    /// Calls for one partition must come from one thread where their order matters.
    pub fn append(
        &self,
        topic: Topic,
        partition: PartitionId,
        key: &str,
        record: &impl Serialize,
    ) -> Result<(), Error> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            serde_json::to_writer(&mut *buffer, record).map_err(|source| Error::Encode { topic, source })?;
            let appended = self.inner.send(topic, partition, key, buffer);
            if buffer.capacity() > BUFFER_BYTES_KEPT {
                *buffer = Vec::new();
            }
            appended
        })
    }

    /// Waits until every record that was appended so far is acknowledged.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        self.inner.producer.flush(timeout).map_err(|_| Error::Flush {
            waiting: self.inner.producer.in_flight_count(),
            waited_secs: timeout.as_secs(),
        })
    }

    /// Records that wait for their acknowledgement.
    #[must_use]
    pub fn waiting(&self) -> i32 {
        self.inner.producer.in_flight_count()
    }
}

impl Inner {
    fn send(&self, topic: Topic, partition: PartitionId, key: &str, payload: &[u8]) -> Result<(), Error> {
        let place = Topic::ALL.iter().position(|known| *known == topic).unwrap_or(0);
        let Destination { name, appended, appended_bytes } = &self.topics[place];
        let mut record = BaseRecord::to(name).partition(partition.0).key(key).payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    if !self.full.swap(true, Ordering::Relaxed) {
                        tracing::warn!(topic = %name, "Kafka takes records more slowly than they come: waiting");
                        metrics::counter!("forecourt_record_queue_full_total").increment(1);
                    }
                    thread::sleep(QUEUE_FULL_PAUSE);
                    record = unsent;
                }
                Err((source, _)) => {
                    return Err(Error::Kafka { doing: format!("appending to {name}/{partition}"), source });
                }
            }
        }
        self.full.store(false, Ordering::Relaxed);
        appended.increment(1);
        appended_bytes.increment(payload.len() as u64);
        Ok(())
    }
}

/// Ends the process when a record is lost.
struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        kafka::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Lost connections come by the second and stand in the log already; what they cost shows in `delivery`.
        tracing::debug!(%error, reason, "Kafka producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = delivery else { return };
        // The producer is being dropped with records on their way: the process ends anyway, and the log has their prefix.
        if matches!(
            error,
            KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
        ) {
            tracing::warn!(topic = message.topic(), "a record was given up while the producer closed");
            return;
        }
        tracing::error!(
            topic = message.topic(),
            partition = message.partition(),
            %error,
            "a record could not be written: the log may have no gap, so the process ends and goes on after a restart"
        );
        std::process::abort();
    }
}
