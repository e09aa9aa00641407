//! What the crate needs of `rdkafka`: client settings in one place, its log lines in ours, commits with metadata.

use std::time::Duration;

use model::{LogSettings, PartitionId, Topic};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Error;
use crate::position::Commit;

/// How long one question to the broker may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// Memory that one consumer fills ahead of its reader.
const QUEUED_KILOBYTES_MAX: &str = "16384";

/// Where one partition is read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) partition: PartitionId,
    /// `None` when nothing was committed, or what was committed has expired.
    pub(crate) offset: Option<i64>,
    pub(crate) metadata: String,
}

pub(crate) fn client_config(settings: &LogSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.bootstrap)
        .set("client.id", "forecourt")
        .set("socket.nagle.disable", "true")
        // Soon back after the broker's restart.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        // After a cut that nobody was told of, a connection is given up rather than left to TCP's growing pauses.
        .set("socket.timeout.ms", "10000")
        .set("allow.auto.create.topics", "false");
    config
}

/// A member of `group`. The broker gathers records for `gather` before it answers: a reader that keeps up with a busy log
/// record by record costs the broker more than the log's writer does.
pub(crate) fn consumer_config(settings: &LogSettings, group: &str, gather: Duration) -> ClientConfig {
    let mut config = client_config(settings);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "false")
        .set("fetch.min.bytes", "1000000")
        .set("fetch.wait.max.ms", gather.as_millis().to_string())
        .set("queued.max.messages.kbytes", QUEUED_KILOBYTES_MAX);
    config
}

/// The positions of a group, whose members may or may not be us.
pub(crate) fn committed(
    asked: impl FnOnce(TopicPartitionList) -> Result<TopicPartitionList, KafkaError>,
    topic: &str,
    partitions: impl Iterator<Item = PartitionId>,
) -> Result<Vec<Committed>, Error> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition.0);
    }
    let answer = asked(list).map_err(Error::kafka(format!("reading the committed positions of {topic}")))?;
    answer
        .elements()
        .iter()
        .map(|element| {
            element.error().map_err(Error::kafka(format!("reading the committed positions of {topic}")))?;
            Ok(Committed {
                partition: PartitionId(element.partition()),
                offset: match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                },
                metadata: element.metadata().to_owned(),
            })
        })
        .collect()
}

/// The list that commits `commits` in one request.
pub(crate) fn commit_list<'a>(
    topic: &str,
    commits: impl IntoIterator<Item = (PartitionId, i64, &'a Commit)>,
) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::new();
    for (partition, offset, commit) in commits {
        let mut element = list.add_partition(topic, partition.0);
        element
            .set_offset(Offset::Offset(offset))
            .map_err(Error::kafka(format!("committing offset {offset} of {topic}/{partition}")))?;
        element.set_metadata(commit.encode());
    }
    Ok(list)
}

/// A lost connection is repaired by librdkafka itself; what it cannot repair ends the session.
pub(crate) fn endure(error: KafkaError, topic: &str) -> Result<(), Error> {
    match error {
        KafkaError::MessageConsumption(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut,
        ) => {
            tracing::debug!(%error, topic, "waiting for Kafka");
            Ok(())
        }
        error => Err(Error::kafka(format!("reading {topic}"))(error)),
    }
}

/// An offset as a gauge.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; exact up to 2^53")]
pub(crate) fn gauge(offset: i64) -> f64 {
    offset as f64
}

/// Librdkafka's log lines as ours.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            // A lost connection is an everyday thing that librdkafka repairs itself.
            tracing::warn!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// A topic's metric label, without the configurable prefix.
pub(crate) fn label(topic: Topic) -> &'static str {
    match topic {
        Topic::Transactions => "transactions",
        Topic::Commands => "commands",
        Topic::Requests => "requests",
        Topic::Ledger => "ledger",
        Topic::Cards => "cards",
        Topic::Readings => "readings",
        Topic::Sales => "sales",
        Topic::StationEvents => "station-events",
        Topic::Rejected => "rejected",
    }
}
