//! Readings and rejections as records, and their way to Kafka.

use std::time::Duration;

use model::{
    DeviceMessage, FORMAT_VERSION, LogSettings, PartitionId, ReadingRecord, Rejection, Source, TimestampUs, Topic,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, ThreadedProducer};
use tokio::time::sleep;

use super::receipts::{Receipt, Receipts};
use crate::decode::Refusal;
use crate::{Error, rejected};

/// Pause when librdkafka's queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// A record on its way to Kafka.
pub(crate) struct Outbound {
    topic: String,
    partition: PartitionId,
    key: String,
    value: Vec<u8>,
    headers: Option<OwnedHeaders>,
}

/// A record of `fuel.readings`, keyed by site.
pub(crate) fn of_message(
    message: DeviceMessage,
    received_at: TimestampUs,
    log: &LogSettings,
) -> Result<Outbound, Error> {
    let kind = match message {
        DeviceMessage::Reading(_) => "reading",
        DeviceMessage::Status(_) => "status",
        DeviceMessage::Setup(_) => "setup",
        DeviceMessage::Sale(_) => "sale",
        DeviceMessage::Ticket(_) => "ticket",
    };
    metrics::counter!("forecourt_readings_received_total", "kind" => kind).increment(1);
    let record = ReadingRecord { v: FORMAT_VERSION, received_at_us: received_at, import: None, message };
    let key = record.message.site().to_string();
    let value = serde_json::to_vec(&record).map_err(|source| Error::Encode { topic: Topic::Readings, source })?;
    let topic = log.topic_name(Topic::Readings);
    Ok(Outbound { topic, partition: log.partition_of(&key), key, value, headers: None })
}

/// A record of `fuel.rejected`.
pub(crate) fn of_refusal(
    (reason, detail): Refusal,
    mqtt_topic: &str,
    payload: &[u8],
    received_at: TimestampUs,
    log: &LogSettings,
) -> Outbound {
    let source = Source::Mqtt { topic: mqtt_topic.to_owned() };
    let raw = payload[..payload.len().min(rejected::RAW_BYTES_MAX)].to_vec();
    let rejection = Rejection { reason, detail, source, received_at_us: received_at, raw };
    let rejected::RejectedRecord { partition, key, headers, value } = rejected::record(&rejection, log);
    Outbound { topic: log.topic_name(rejected::TOPIC), partition, key, value, headers: Some(headers) }
}

/// Returns when the producer has it; waits while the producer is full.
pub(crate) async fn send(
    producer: &ThreadedProducer<Receipts>,
    outbound: &Outbound,
    receipt: Box<Receipt>,
) -> Result<(), Error> {
    let mut record = BaseRecord::with_opaque_to(&outbound.topic, receipt)
        .partition(outbound.partition.0)
        .key(&outbound.key)
        .payload(&outbound.value);
    if let Some(headers) = outbound.headers.clone() {
        record = record.headers(headers);
    }
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                sleep(FULL_PAUSE).await;
            }
            Err((source, _)) => {
                let (topic, partition) = (outbound.topic.clone(), outbound.partition);
                return Err(Error::Delivery { topic, partition, source });
            }
        }
    }
}
