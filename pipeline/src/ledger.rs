//! Decides fuel-card transactions and back-office orders, one shard per partition.
//!
//! In: requests of `fuel.requests`, in order, and the records of `fuel.ledger` that were written before. Out: one
//! [`LedgerRecord`] per request. Guarantees: one decision per idempotency key and per origin; a shard is the fold of its
//! ledger partition and nothing else, so that an owner that folds it goes on exactly where the last one stopped; no
//! clock, no randomness. Does not: write the ledger, read Kafka, or know who owns a partition: it is told.

use model::{LedgerRecord, Millilitres, PartitionId, Request};

/// What the rules measure against. Part of the decisions' meaning, not of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads; a partition lives on worker `partition % workers`.
    pub workers: usize,
    /// How long a hold reserves after its authorization.
    pub hold_ttl_us: i64,
    /// The most that a fill-up reserves.
    pub fill_up_ml_max: Millilitres,
    /// A partial approval of less is no use to anyone.
    pub partial_ml_min: Millilitres,
    /// So many purchases with one card within the window are too many. At most 16.
    pub velocity_purchases: usize,
    pub velocity_window_us: i64,
    /// Faster than this between two stations is not believed.
    pub travel_kmh_max: u32,
    /// Shorter ways are not looked at.
    pub travel_km_min: u32,
    /// A road is this much longer than the great circle.
    pub travel_road_percent: u32,
    /// How far a terminal's clock may be from ours; `None` accepts all.
    pub clock_skew_max_us: Option<i64>,
    /// How long idempotency keys are remembered: longer than terminals repeat and upload.
    pub key_retention_us: i64,
    /// How long a purchase can be completed late, reversed or refunded.
    pub purchase_retention_us: i64,
}

const MINUTE_US: i64 = model::MICROS_PER_MINUTE;
const HOUR_US: i64 = 60 * MINUTE_US;

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 1,
            hold_ttl_us: 2 * HOUR_US,
            fill_up_ml_max: Millilitres::from_litres(200),
            partial_ml_min: Millilitres::from_litres(1),
            velocity_purchases: 4,
            velocity_window_us: 15 * MINUTE_US,
            travel_kmh_max: 130,
            travel_km_min: 30,
            travel_road_percent: 120,
            clock_skew_max_us: Some(26 * HOUR_US),
            key_retention_us: 72 * HOUR_US,
            purchase_retention_us: 10 * 24 * HOUR_US,
        }
    }
}

/// What a worker is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A record of the partition's ledger, in order of offset.
    Fold { partition: PartitionId, offset: i64, record: LedgerRecord },
    /// The ledger was folded to the takeover of this process, at offset `epoch`: decide from now on.
    Start { partition: PartitionId, epoch: i64 },
    /// Requests in order, each with its offset in `fuel.requests`.
    Decide { partition: PartitionId, requests: Vec<(i64, Request)> },
    /// The partition belongs to another process now: forget it.
    Revoke { partition: PartitionId },
}

/// A record to append to `fuel.ledger`, in the order given.
#[derive(Clone, Debug)]
pub struct Output {
    pub partition: PartitionId,
    pub key: String,
    pub record: LedgerRecord,
}
