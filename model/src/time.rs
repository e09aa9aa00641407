//! Points in time. UTC microseconds inside; terminals speak local time with an offset.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// 1 January of the year 9000: later times are mistakes.
const TIMESTAMP_US_MAX: i64 = 221_845_392_000 * MICROS_PER_SECOND;

/// Microseconds since 1970-01-01T00:00:00Z, from 1970 to the year 9000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct TimestampUs(i64);

impl TimestampUs {
    /// Clamps into the range that the type holds.
    #[must_use]
    pub const fn from_micros(us: i64) -> Self {
        if us < 0 {
            Self(0)
        } else if us > TIMESTAMP_US_MAX {
            Self(TIMESTAMP_US_MAX)
        } else {
            Self(us)
        }
    }
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
    #[must_use]
    pub const fn plus_us(self, us: i64) -> Self {
        Self::from_micros(self.0.saturating_add(us))
    }
    /// The start of the UTC minute that holds this moment.
    #[must_use]
    pub const fn minute(self) -> Self {
        Self(self.0 - self.0 % MICROS_PER_MINUTE)
    }
}

impl<'de> Deserialize<'de> for TimestampUs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let us = i64::deserialize(deserializer)?;
        if !(0..=TIMESTAMP_US_MAX).contains(&us) {
            return Err(serde::de::Error::custom(format!("{us} is no time in microseconds between 1970 and 9000")));
        }
        Ok(Self(us))
    }
}

impl fmt::Display for TimestampUs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

/// A terminal's wall-clock time without zone, `2026-01-14T22:31:07`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime(DateTime);

impl LocalTime {
    /// The moment in UTC, given the terminal's offset. Saturates at the ends of the range.
    #[must_use]
    pub fn to_utc(self, utc_offset_min: i16) -> TimestampUs {
        let as_if_utc = self.0.to_zoned(jiff::tz::TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_microsecond());
        TimestampUs::from_micros(as_if_utc - i64::from(utc_offset_min) * MICROS_PER_MINUTE)
    }
    /// The wall-clock time that a terminal at this offset shows at `at`.
    #[must_use]
    pub fn from_utc(at: TimestampUs, utc_offset_min: i16) -> Self {
        let shifted = at.get() + i64::from(utc_offset_min) * MICROS_PER_MINUTE;
        let time = jiff::Timestamp::from_microsecond(shifted).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self(time.to_zoned(jiff::tz::TimeZone::UTC).datetime())
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for LocalTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse::<DateTime>().map(Self).map_err(|error| {
            serde::de::Error::custom(format!("{text:?} is no local time like 2026-01-14T22:31:07: {error}"))
        })
    }
}
impl JsonSchema for LocalTime {
    fn schema_name() -> Cow<'static, str> {
        "LocalTime".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["2026-01-14T22:31:07"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_and_offset_give_utc_and_back() {
        let local: LocalTime = serde_json::from_str("\"2026-01-14T22:31:07\"").expect("a local time");
        let utc = local.to_utc(300);
        assert_eq!(utc.to_string(), "2026-01-14T17:31:07Z");
        assert_eq!(LocalTime::from_utc(utc, 300), local);
    }
}
