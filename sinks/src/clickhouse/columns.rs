//! Column values that more than one table has.

use model::{Millilitres, Millilitres15, TimestampUs};
use serde::Serialize;

/// 31 December 2299, the last day of `DateTime64(6)`.
const DATE_TIME_64_MAX_US: i64 = 10_413_791_999_999_999;

/// A point in time for `DateTime64(6, 'UTC')`; later than the type can say becomes its last moment.
pub(super) fn time(at: TimestampUs) -> i64 {
    at.get().min(DATE_TIME_64_MAX_US)
}

/// A point in time for `DateTime('UTC')`, in seconds; later than 2106 becomes its last second.
pub(super) fn seconds(at: TimestampUs) -> u32 {
    u32::try_from(at.get() / model::MICROS_PER_SECOND).unwrap_or(u32::MAX)
}

/// A day for `Date`; `None` before 1970 and after 2149, which the type cannot say.
pub(super) fn day(date: jiff::civil::Date) -> Option<u16> {
    let since = date.since(jiff::civil::date(1970, 1, 1)).ok()?;
    u16::try_from(since.get_days()).ok()
}

/// A volume for `Nullable(Int64)`. No volume is larger than 10¹⁵ ml.
pub(super) fn volume(volume: Option<Millilitres>) -> Option<i64> {
    volume.map(|volume| volume.get().cast_signed())
}

/// A volume at 15 °C for `Nullable(Int64)`.
pub(super) fn volume_15(volume: Option<Millilitres15>) -> Option<i64> {
    volume.map(|volume| volume.get().cast_signed())
}

/// The name of a unit variant in JSON, without its quotes. Empty for a value that is not a plain word.
pub(super) fn word(value: &impl Serialize) -> String {
    let Ok(mut text) = serde_json::to_string(value) else { return String::new() };
    if text.len() < 2 || !text.starts_with('"') || !text.ends_with('"') {
        return String::new();
    }
    text.pop();
    text.remove(0);
    text
}
