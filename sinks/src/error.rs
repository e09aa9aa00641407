//! What can go wrong between a fact and its delivery.

use model::Topic;

/// Cut by what the caller does: all but `Kafka` and `ClickHouse` need a person, those two pass when the engine is back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing}: {source}")]
    Kafka { doing: String, source: rdkafka::error::KafkaError },
    #[error("{doing}: {source}")]
    ClickHouse { doing: String, source: clickhouse::error::Error },
    #[error(
        "topic {topic} has {found} partitions and the configuration says {expected}: a key would move to another \
         partition; set the partition count back, or begin with another topic prefix"
    )]
    PartitionCount { topic: String, found: i32, expected: i32 },
    #[error("topic {topic} could not be created: {reason}")]
    TopicCreation { topic: String, reason: String },
    #[error("topic {topic} has partitions without a leader after {waited_secs} s: is a broker down?")]
    NoLeader { topic: String, waited_secs: u64 },
    #[error("a record for {topic:?} cannot be written as JSON: {source}")]
    Encode { topic: Topic, source: serde_json::Error },
    #[error("{waiting} records were not acknowledged by Kafka within {waited_secs} s")]
    Flush { waiting: i32, waited_secs: u64 },
    #[error(
        "consumer group {group} is shared with another member: one process alone records {topic} in ClickHouse; \
         stop the other one, or give this one its own group and database"
    )]
    GroupShared { group: String, topic: String },
    #[error("another process took over consumer group {group}: this one must not record any more")]
    Replaced { group: String },
    #[error(
        "database {database} has schema version {found} and this program knows {known}: start the newer program, or \
         restore a backup from before the upgrade"
    )]
    NewerDatabase { database: String, found: u32, known: u32 },
    #[error(
        "topic {topic} partition {partition} ends at {end}, before position {position}, up to which it was delivered: \
         this is not the log that was read before; restore that log, or begin with another group and database"
    )]
    LogReplaced { topic: String, partition: i32, end: i64, position: i64 },
    #[error("thread {name} could not be started: {source}")]
    Thread { name: String, source: std::io::Error },
    #[error("thread {name} ended without an answer")]
    ThreadEnded { name: String },
}

impl Error {
    pub(crate) fn kafka(doing: impl Into<String>) -> impl FnOnce(rdkafka::error::KafkaError) -> Self {
        let doing = doing.into();
        move |source| Self::Kafka { doing, source }
    }

    pub(crate) fn clickhouse(doing: impl Into<String>) -> impl FnOnce(clickhouse::error::Error) -> Self {
        let doing = doing.into();
        move |source| Self::ClickHouse { doing, source }
    }

    /// Whether waiting may help.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Kafka { .. } | Self::ClickHouse { .. } | Self::NoLeader { .. } | Self::Flush { .. })
    }
}
