//! The console's wall clock and ours.
//!
//! A reply has the console's local time and no zone. Its zone is taken to be the one, in whole quarters of an hour, that
//! brings it nearest to the moment of arrival; what remains is the error of its clock. This holds for replies that are
//! forwarded as they come: one that waited an hour in a buffer looks like one from the next zone. A delivery on the other side
//! of a change to summer time is an hour off.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{MICROS_PER_MINUTE, MICROS_PER_SECOND, TimestampUs};

/// Offsets in use are multiples of this.
const QUARTER_US: i64 = 15 * MICROS_PER_MINUTE;
const OFFSET_US_MIN: i64 = -12 * 60 * MICROS_PER_MINUTE;
const OFFSET_US_MAX: i64 = 14 * 60 * MICROS_PER_MINUTE;
/// A clock that is wrong by more is not believed. Consoles show minutes, and lines are slow.
const ERROR_US_MAX: i64 = 5 * MICROS_PER_MINUTE;

/// How the console's times become ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConsoleClock {
    /// Local minus UTC.
    Believed { now: TimestampUs, offset_us: i64 },
    /// None was sent, or it is wrong: by how much, in minutes.
    Off { error_min: Option<i64> },
}

impl ConsoleClock {
    /// Of several readings of the console's time, the one nearest to a quarter of an hour wins.
    pub(crate) fn judge(console_times: &[DateTime], received_at: TimestampUs) -> Self {
        let judged = console_times.iter().map(|local| {
            let as_utc = micros(*local);
            let ahead = as_utc - received_at.get();
            let offset = (ahead + QUARTER_US / 2).div_euclid(QUARTER_US) * QUARTER_US;
            let offset = offset.clamp(OFFSET_US_MIN, OFFSET_US_MAX);
            // A minute that is shown has run for half a minute on average.
            (ahead - offset + MICROS_PER_SECOND * 30, offset, as_utc)
        });
        match judged.min_by_key(|(error, ..)| error.abs()) {
            None => Self::Off { error_min: None },
            Some((error, ..)) if error.abs() > ERROR_US_MAX => Self::Off { error_min: Some(error / MICROS_PER_MINUTE) },
            Some((_, offset_us, as_utc)) => {
                Self::Believed { now: TimestampUs::from_micros(as_utc - offset_us), offset_us }
            }
        }
    }

    /// When the console answered.
    pub(crate) fn now(self, received_at: TimestampUs) -> TimestampUs {
        match self {
            Self::Believed { now, .. } => now,
            Self::Off { .. } => received_at,
        }
    }

    /// An earlier time of the console. `None` when its clock is not believed: asked again later it would say another moment.
    pub(crate) fn earlier(self, local: DateTime) -> Option<TimestampUs> {
        match self {
            Self::Believed { offset_us, .. } => Some(TimestampUs::from_micros(micros(local) - offset_us)),
            Self::Off { .. } => None,
        }
    }
}

fn micros(local: DateTime) -> i64 {
    local.to_zoned(TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_microsecond())
}
