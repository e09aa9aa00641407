//! What could not be understood becomes a record of `fuel.rejected`.
//!
//! In: the original bytes, where they came from, and why they were refused. Out: a record for the producer.
//! Guarantees: a record always fits; the bytes are the original ones, except that card numbers are starred and what is
//! larger than [`RAW_BYTES_MAX`] is cut. Does not: write it.

use model::{LogSettings, PartitionId, Rejection, Topic};
use rdkafka::message::{Header, OwnedHeaders};

use crate::decode;

/// Most bytes of an input that are kept: below Kafka's usual record limit of 1 MiB, with room for headers.
pub(crate) const RAW_BYTES_MAX: usize = 900 * 1024;

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
        model::Source::Kafka { topic, .. } => topic.clone(),
        model::Source::Mqtt { .. } => "mqtt".to_owned(),
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

/// The topic of these records.
pub(crate) const TOPIC: Topic = Topic::Rejected;
