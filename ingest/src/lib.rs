//! Bytes in: what terminals, the back office, tank gauges and banks send becomes typed values, keyed, durable records.
//!
//! In: MQTT publishes; records of `fuel.transactions`, `fuel.commands`, `fuel.cards`; any other log through [`LogReader`].
//! Out: `fuel.requests`, `fuel.readings`, `fuel.rejected`.
//! Guarantees: this is the only place that knows outside formats; a source is acknowledged only after the log has the
//! record; what cannot be understood is put aside with its reason and blocks nothing.
//! Does not: decide, count or store anything.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clock;
pub mod decode;
mod identity;
pub mod import;
mod kafka;
mod log_reader;
mod membership;
pub mod mqtt;
pub mod register;
mod rejected;
pub mod route;
pub mod sparkplug;

use std::time::Duration;

use model::{PartitionId, Topic};
use rdkafka::error::KafkaError;

pub use clock::Clock;
pub use log_reader::{From, LogMessage, LogReader, Span, spans};
pub use membership::{Membership, MembershipConfig, Moved};
pub use mqtt::{Credentials, MqttConfig, MqttLink};
pub use rejected::Rejecter;
pub use route::RouteConfig;
pub use route::card_table::file::Unpacked as UnpackedCards;
pub use route::card_table::follower::SavedTables;

/// A failing world. Bad input is never an error here: it becomes a rejection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka refuses for good, or did not answer within the patience of the caller.
    #[error("kafka: cannot {action}: {source}")]
    Kafka { action: String, source: KafkaError },
    /// The position is older than what the log still holds, or newer than what it ever held.
    #[error(
        "{topic}/{partition}: offset {wanted} is not in the log, which holds {begin} up to {end}; \
         records are lost, or the log was replaced"
    )]
    OffsetGone { topic: String, partition: PartitionId, wanted: i64, begin: i64, end: i64 },
    /// A record could not be written. What follows it must not be written either.
    #[error("{topic}/{partition}: a record was not delivered: {source}")]
    Delivery { topic: String, partition: PartitionId, source: KafkaError },
    #[error("{topic}/{partition} is beyond the configured {partitions} partitions; all topics must have as many")]
    Partitions { topic: String, partition: PartitionId, partitions: i32 },
    #[error("cannot encode a record for {topic:?}: {source}")]
    Encode { topic: Topic, source: serde_json::Error },
    #[error("cannot start the thread {name}: {source}")]
    Thread { name: &'static str, source: std::io::Error },
    /// Another instance took this one's place.
    #[error("{role} was replaced by another instance with the same name: {detail}")]
    Replaced { role: &'static str, detail: String },
    #[error("{waiting_for} took longer than {}", format_wait(*.after))]
    Timeout { waiting_for: String, after: Duration },
}

fn format_wait(wait: Duration) -> String {
    format!("{} ms", wait.as_millis())
}
