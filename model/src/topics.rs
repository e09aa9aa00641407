//! The topics, and which partition a key belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A Kafka partition number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub i32);

impl PartitionId {
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The logs that Forecourt reads and writes. Their names carry a configurable prefix, `fuel` by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    Transactions,
    Commands,
    Requests,
    Ledger,
    Cards,
    Readings,
    Sales,
    StationEvents,
    Rejected,
}

impl Topic {
    pub const ALL: [Self; 9] = [
        Self::Transactions,
        Self::Commands,
        Self::Requests,
        Self::Ledger,
        Self::Cards,
        Self::Readings,
        Self::Sales,
        Self::StationEvents,
        Self::Rejected,
    ];

    /// `prefix.suffix`, for example `fuel.ledger`.
    #[must_use]
    pub fn name(self, prefix: &str) -> String {
        let suffix = match self {
            Self::Transactions => "transactions",
            Self::Commands => "commands",
            Self::Requests => "requests",
            Self::Ledger => "ledger",
            Self::Cards => "cards",
            Self::Readings => "readings",
            Self::Sales => "sales",
            Self::StationEvents => "station-events",
            Self::Rejected => "rejected",
        };
        format!("{prefix}.{suffix}")
    }
}

/// Where the logs are. Plain data: connecting is the reader's and the writer's own affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Kafka bootstrap servers, `host:port,host:port`.
    pub bootstrap: String,
    /// What topic names begin with, `fuel` by default.
    pub topic_prefix: String,
    /// Partitions of every topic; chosen once, at least 1.
    pub partitions: i32,
}

impl LogSettings {
    #[must_use]
    pub fn topic_name(&self, topic: Topic) -> String {
        topic.name(&self.topic_prefix)
    }
    #[must_use]
    pub fn partition_of(&self, key: &str) -> PartitionId {
        partition_of(key, self.partitions)
    }
    pub fn all_partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.partitions).map(PartitionId)
    }
}

/// The partition of a key: Kafka's own default rule, `(murmur2(key) & 0x7fffffff) % partitions`, so that any producer that
/// uses the Java default partitioner or librdkafka's `murmur2_random` agrees. Panics when `partitions` is not positive.
#[must_use]
pub fn partition_of(key: &str, partitions: i32) -> PartitionId {
    assert!(partitions > 0, "a topic has at least one partition");
    PartitionId((murmur2(key.as_bytes()) & 0x7fff_ffff).cast_signed() % partitions)
}

/// MurmurHash2, 32 bit, with the seed that Kafka's clients use (Austin Appleby, public domain).
fn murmur2(bytes: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = SEED ^ length;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        k = (k ^ (k >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ k;
    }
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn the_hash_agrees_with_kafka() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }
}
