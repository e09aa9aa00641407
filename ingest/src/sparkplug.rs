//! Sparkplug B: station controllers as edge nodes, tank gauges as their devices.
//!
//! In: publishes under `spBv1.0/`, in the order in which they arrive, and the time. Out: [`Effect`]s: readings and statuses
//! for the log, requests to an edge node to be born again, and what could not be understood. A group is a network or a
//! region, an edge node is a station controller named as its site, a device `tank-3` is tank `3`; its metrics are
//! `Level/Height_mm`, `Water_mm`, `Temp_C`, `Volume_L`, `VolumeTC_L`, `Density`, `Status` and what else [`tank`] lists.
//!
//! Guarantees ([`host::Host`], no clock, no network): a value is only ever read under the name that the birth of the running session
//! gave to its alias: after a gap in the sequence, a death, or without a birth, data is put aside until the next birth. Data
//! comes by exception, so a reading has the last known values of its tank; historical values never mix with them. Repeats
//! and deaths of earlier sessions change nothing. Memory is bounded by the constants below.
//!
//! Does not: recover what was lost on the way. Sparkplug sends at most once, so a gap stays a gap.
//!
//! Source: Eclipse Sparkplug 3.0, chapters 4 to 6.

pub mod host;
mod node;
mod payload;
pub mod session;
mod tank;
mod topic;

use model::{DeviceStatus, Reading, TimestampUs};

use crate::decode::Refusal;

/// Largest payload: a birth with thousands of metrics.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Edge nodes that one host follows.
pub const NODES_MAX: usize = 20_000;
/// Devices of one edge node.
pub const DEVICES_MAX: usize = 256;
/// Metrics of one edge node and its devices together.
pub const ALIASES_MAX: usize = 16_384;
/// Messages of one edge node that wait for one before them.
pub const HELD_MAX: usize = 32;

/// What follows from a message, or from time going by.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Reading(Reading),
    Status(DeviceStatus),
    /// To be published as it is, QoS 0.
    RequestRebirth {
        topic: String,
        payload: Vec<u8>,
    },
    /// Not understood, or not safe to understand.
    Reject {
        refusal: Refusal,
        topic: String,
        raw: Vec<u8>,
    },
}

/// How patient the host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a message waits for one with a lower sequence number.
    pub reorder_us: i64,
    /// From one request to be born again to the next, at least; doubles while they follow each other.
    pub rebirth_us: i64,
    pub rebirth_us_max: i64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { reorder_us: 2_000_000, rebirth_us: 10_000_000, rebirth_us_max: 300_000_000 }
    }
}

/// Milliseconds since 1970 as they stand in payloads.
fn time_of(millis: u64) -> TimestampUs {
    TimestampUs::from_micros(i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1000))
}

#[cfg(test)]
mod tests;
