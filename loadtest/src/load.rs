//! The parts of a load run.

pub(crate) mod book;
pub(crate) mod fleet;
pub(crate) mod floor;
pub(crate) mod frames;
pub(crate) mod gauges;
pub(crate) mod journal;
pub(crate) mod light;
pub(crate) mod phases;
pub(crate) mod readings;
pub(crate) mod report;
pub(crate) mod rows;
pub(crate) mod schedule;
pub(crate) mod setup;
pub(crate) mod step;
pub(crate) mod told;
pub(crate) mod traffic;
pub(crate) mod verify;

use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock in microseconds.
pub(crate) fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
