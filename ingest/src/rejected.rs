//! What could not be understood becomes a record of `fuel.rejected`.
//!
//! In: the original bytes, where they came from, and why they were refused. Out: a record, for the producer of whoever
//! reads that source, or written by [`Rejecter`] for readers that produce nothing else.
//! Guarantees: a record always fits; the bytes are the original ones, except that card numbers are starred and what is
//! larger than [`RAW_BYTES_MAX`] is cut. Does not guarantee: that a rejection is written once; a repeat has the same key.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{LogSettings, PartitionId, RejectReason, Rejection, Source, Topic};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::kafka::{self, Watch};
use crate::{Error, LogMessage, decode};

/// Most bytes of an input that are kept: below Kafka's usual record limit of 1 MiB, with room for headers.
pub(crate) const RAW_BYTES_MAX: usize = 900 * 1024;
/// The topic of these records.
pub(crate) const TOPIC: Topic = Topic::Rejected;
/// How long [`Rejecter`] waits for Kafka to have a record.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(30);
const POLL_WAIT: Duration = Duration::from_millis(10);

/// A record of `fuel.rejected`, ready to be sent.
pub(crate) struct RejectedRecord {
    pub(crate) partition: PartitionId,
    /// The source: rejections of one source stay together, and a repeat is recognised.
    pub(crate) key: String,
    pub(crate) headers: OwnedHeaders,
    pub(crate) value: Vec<u8>,
}

/// Counts a rejection and makes its record.
pub(crate) fn record(rejection: &Rejection, settings: &LogSettings) -> RejectedRecord {
    let source = match &rejection.source {
        Source::Kafka { topic, .. } => topic.clone(),
        Source::Mqtt { .. } => "mqtt".to_owned(),
    };
    metrics::counter!("forecourt_rejected_total", "reason" => rejection.reason.as_str(), "source" => source)
        .increment(1);
    let key = rejection.source.to_string();
    let mut headers = OwnedHeaders::new();
    for (name, value) in &rejection.headers() {
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    let kept = &rejection.raw[..rejection.raw.len().min(RAW_BYTES_MAX)];
    let value = decode::card_numbers_masked(kept).unwrap_or_else(|| kept.to_vec());
    RejectedRecord { partition: settings.partition_of(&key), key, headers, value }
}

/// Puts aside records of the log that cannot be understood, one at a time. Blocking: rejections are rare.
pub struct Rejecter {
    settings: LogSettings,
    producer: BaseProducer<Report>,
    /// Held while a record is on its way.
    turn: Mutex<()>,
}

impl Rejecter {
    pub fn open(settings: &LogSettings) -> Result<Self, Error> {
        let report = Report { watch: Watch::new("producer of rejections"), arrived: Mutex::default() };
        let producer = kafka::producer(settings, "forecourt-rejecter")
            .create_with_context(report)
            .map_err(|source| Error::Kafka { action: "create the producer of rejections".to_owned(), source })?;
        Ok(Self { settings: settings.clone(), producer, turn: Mutex::default() })
    }

    /// Returns when Kafka has the record; an error after 30 s without Kafka.
    pub fn reject(&self, message: &LogMessage, reason: RejectReason, detail: String) -> Result<(), Error> {
        let source = Source::Kafka {
            topic: self.settings.topic_name(message.topic),
            partition: message.partition.0,
            offset: message.offset,
        };
        let raw = message.payload.clone().unwrap_or_default();
        let rejection = Rejection { reason, detail, source, received_at_us: kafka::now(), raw };
        let RejectedRecord { partition, key, headers, value } = record(&rejection, &self.settings);
        let topic = self.settings.topic_name(TOPIC);
        let failed = |source| Error::Delivery { topic: topic.clone(), partition, source };
        let record = BaseRecord::to(&topic).partition(partition.0).key(&key).payload(&value).headers(headers);
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.producer.send(record).map_err(|(source, _)| failed(source))?;
        let deadline = Instant::now() + DELIVERY_PATIENCE;
        while Instant::now() < deadline {
            self.producer.poll(POLL_WAIT);
            let arrived = self.producer.context().arrived.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(result) = arrived {
                return result.map_err(failed);
            }
        }
        Err(Error::Timeout { waiting_for: format!("the delivery of a rejection to {topic}"), after: DELIVERY_PATIENCE })
    }
}

/// The delivery report of the one record that is on its way.
struct Report {
    watch: Watch,
    arrived: Mutex<Option<Result<(), KafkaError>>>,
}

impl ClientContext for Report {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Report {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let result = result.as_ref().map(|_| self.watch.well()).map_err(|(error, _)| error.clone());
        *self.arrived.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}
