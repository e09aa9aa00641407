//! What could not be understood: records of `fuel.rejected`.
//!
//! The record's value is the original bytes, so that they can be read and sent again, except that card numbers are starred;
//! the rest stands in headers.

use std::fmt;

use crate::TimestampUs;

/// An input that was put aside. Nothing waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: RejectReason,
    /// What is wrong and where, for a person: `missing field "idem" at line 1 column 96`.
    pub detail: String,
    pub source: Source,
    pub received_at_us: TimestampUs,
    /// The original bytes; cut to the topic's limit when `reason` is `TooLarge`.
    pub raw: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Kafka { topic: String, partition: i32, offset: i64 },
    Mqtt { topic: String },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka { topic, partition, offset } => write!(f, "kafka:{topic}/{partition}@{offset}"),
            Self::Mqtt { topic } => write!(f, "mqtt:{topic}"),
        }
    }
}

/// Why, as a closed list: for counting and for alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    Empty,
    TooLarge,
    NotUtf8,
    NotJson,
    /// JSON, but not of the expected shape: a missing field, a wrong type, an unknown value.
    Shape,
    Version,
    /// A topic or path that names no device.
    Address,
    /// The right shape with a value that cannot be: no item in a sale, a location off the globe.
    Value,
    /// The checksum disagrees: bytes were lost or changed on the way.
    Checksum,
    /// The device itself says that it did not understand what it was asked.
    Device,
    /// A message that needs what came before it, and that did not come: no birth, an unknown alias, a gap.
    Session,
}

impl RejectReason {
    pub const ALL: [Self; 11] = [
        Self::Empty,
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotJson,
        Self::Shape,
        Self::Version,
        Self::Address,
        Self::Value,
        Self::Checksum,
        Self::Device,
        Self::Session,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::Shape => "shape",
            Self::Version => "version",
            Self::Address => "address",
            Self::Value => "value",
            Self::Checksum => "checksum",
            Self::Device => "device",
            Self::Session => "session",
        }
    }
}

impl Rejection {
    pub const HEADER_REASON: &'static str = "forecourt.reason";
    pub const HEADER_DETAIL: &'static str = "forecourt.detail";
    pub const HEADER_SOURCE: &'static str = "forecourt.source";
    pub const HEADER_RECEIVED_AT: &'static str = "forecourt.received-at-us";

    /// Kafka headers of the record, by name.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, String); 4] {
        [
            (Self::HEADER_REASON, self.reason.as_str().to_owned()),
            (Self::HEADER_DETAIL, self.detail.clone()),
            (Self::HEADER_SOURCE, self.source.to_string()),
            (Self::HEADER_RECEIVED_AT, self.received_at_us.get().to_string()),
        ]
    }
}
