//! Decides fuel-card transactions and back-office orders, one shard per partition.
//!
//! In: requests of `fuel.requests`, in order, and the records of `fuel.ledger` that were written before. Out: one
//! [`LedgerRecord`] per request. Guarantees: one decision per idempotency key and per origin; a shard is the fold of its
//! ledger partition and nothing else, so that an owner that folds it goes on exactly where the last one stopped; no
//! clock, no randomness. Does not: write the ledger, read Kafka, or know who owns a partition: it is told.

mod admission;
mod alerts;
mod answers;
mod auth_code;
mod calendar;
mod decide;
mod due;
mod evolve;
pub mod explain;
mod fingerprint;
mod fraud;
mod kept;
mod lines;
mod orders;
pub mod partitions;
mod postings;
mod purchases;
mod recall;
mod record;
mod settings;
pub mod shard;
pub mod snapshot;
mod state;
mod tables;
mod texts;
mod usage;
mod views;
mod wishes;

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use model::{ContractId, Device, LedgerRecord, Millilitres, PartitionId, ProductCode, Request, TimestampUs};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::{Capability, Operator};

use crate::Dataflow;
use crate::worker::{self, Time};
use partitions::Partitions;
use shard::Shard;
use state::Moment;

/// Messages that wait for one worker before the sender does.
const QUEUE_MAX: usize = 1024;

/// A snapshot goes on with so many slices, and after so long with the next ones: by estimate a twentieth of the time of the worker,
/// and as much of the thread that packs. At full speed they would keep two processors from all else.
const SLICES_AT_ONCE: usize = 4;
const PAUSE: Duration = Duration::from_millis(4);

#[expect(
    clippy::disallowed_methods,
    reason = "for the pace of snapshots: nothing that is decided or recorded depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

/// Starts the workers. Each input's outputs go to `outputs` as one batch, in order; a full channel makes the worker wait.
/// A snapshot goes on between batches and while there is nothing else to do, a few slices at a time, and is brought to its end
/// when the feeds are closed.
#[must_use]
pub fn spawn(config: Config, outputs: SyncSender<Vec<Output>>) -> Dataflow<Input> {
    let workers = config.workers;
    worker::spawn("ledger", workers, QUEUE_MAX, outputs, move |source| {
        let mut partitions = Partitions::new(config.clone());
        let stream = source.stream();
        let scope = stream.scope();
        stream.unary_frontier::<CapacityContainerBuilder<Vec<Output>>, _, _, _>(Pipeline, "decide", move |_, info| {
            let again = scope.activator_for(info.address);
            // Held while a snapshot is under way: it goes on without input, when its time has come and a timer rings.
            let mut held: Option<(Capability<Time>, Instant)> = None;
            move |(input, frontier), output| {
                input.for_each(|time, inputs| {
                    let mut decided = Vec::new();
                    for message in inputs.drain(..) {
                        partitions.take(message, &mut decided);
                    }
                    if !decided.is_empty() {
                        output.session(&time).give_container(&mut decided);
                    }
                    if held.is_none() && partitions.snapshot_under_way() {
                        held = time.retain_least(output.output_index()).map(|time| (time, now()));
                    }
                });
                let Some((time, next)) = &mut held else { return };
                let closed = frontier.is_empty();
                if now() < *next && !closed {
                    return;
                }
                let mut parts = Vec::new();
                (0..SLICES_AT_ONCE).take_while(|_| partitions.go_on(closed, &mut parts)).for_each(drop);
                if !parts.is_empty() {
                    output.session(time).give_container(&mut parts);
                }
                if !partitions.snapshot_under_way() {
                    held = None;
                } else if closed {
                    again.activate();
                } else {
                    *next = now() + PAUSE;
                    again.activate_after(PAUSE);
                }
            }
        })
    })
}

/// What the rules measure against. Part of the decisions' meaning, not of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads; a partition lives on worker `partition % workers`.
    pub workers: usize,
    /// How long a hold reserves after its authorization, where no policy says otherwise.
    pub hold_ttl_us: i64,
    /// The first that fits counts.
    pub hold_policies: Vec<HoldPolicy>,
    /// The most that a fill-up reserves.
    pub fill_up_ml_max: Millilitres,
    /// A partial approval of less is no use to anyone.
    pub partial_ml_min: Millilitres,
    /// So many wrong PINs lock a card.
    pub pin_tries_max: u8,
    /// How long wrong PINs lock a card.
    pub pin_lock_us: i64,
    /// A tank may take this much more than it is said to hold.
    pub tank_tolerance_percent: u8,
    /// How much of the offline limits a terminal may use while its lists are younger than this; older: nothing.
    pub offline_ageing: Vec<(i64, u8)>,
    /// So many purchases with one card within the window are too many. At most 64.
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
    /// How late a sale may become known and still count when it happened. At most the 35 days for which purchases are kept.
    pub late_max_us: i64,
}

/// How long holds of some terminals and products reserve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldPolicy {
    /// Absent: any.
    pub device: Option<Device>,
    /// The group of the first item; absent: any.
    pub group: Option<ProductCode>,
    pub ttl_us: i64,
}

const MINUTE_US: i64 = model::MICROS_PER_MINUTE;
const HOUR_US: i64 = 60 * MINUTE_US;

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 1,
            hold_ttl_us: 2 * HOUR_US,
            hold_policies: Vec::new(),
            fill_up_ml_max: Millilitres::from_litres(200),
            partial_ml_min: Millilitres::from_litres(1),
            pin_tries_max: 3,
            pin_lock_us: 30 * MINUTE_US,
            tank_tolerance_percent: 3,
            offline_ageing: vec![(12 * HOUR_US, 100), (24 * HOUR_US, 70)],
            velocity_purchases: 4,
            velocity_window_us: 15 * MINUTE_US,
            travel_kmh_max: 130,
            travel_km_min: 30,
            travel_road_percent: 120,
            clock_skew_max_us: Some(26 * HOUR_US),
            key_retention_us: 72 * HOUR_US,
            late_max_us: 31 * 24 * HOUR_US,
        }
    }
}

impl Config {
    /// Whether a terminal's clock is near enough to ours.
    fn believes(&self, moment: Moment) -> bool {
        let skew = moment.at.get().abs_diff(moment.received_at.get());
        self.clock_skew_max_us.is_none_or(|largest| i64::try_from(skew).is_ok_and(|skew| skew <= largest))
    }

    /// The same for what was sold before and comes late: it may be older, not younger.
    fn believes_late(&self, moment: Moment) -> bool {
        let late = moment.received_at.get() - moment.at.get();
        self.believes(moment) || (self.clock_skew_max_us.is_some() && (0..=self.late_max_us).contains(&late))
    }
}

/// What a worker is told.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "folding sends one record at a time, and that is most of what is ever sent"
)]
pub enum Input {
    /// A record of the partition's ledger, in order of offset.
    Fold { partition: PartitionId, offset: i64, record: LedgerRecord },
    /// The ledger was folded to the takeover of this process, at offset `epoch`: decide from now on.
    Start { partition: PartitionId, epoch: i64 },
    /// Requests in order, each with its offset in `fuel.requests`, read for the tenancy that began at `epoch`: those of an
    /// earlier tenancy begin elsewhere and are not decided.
    Decide { partition: PartitionId, epoch: i64, requests: Vec<(i64, Request)> },
    /// What time it is: contracts for which time alone changes something are named in the output.
    Clock { at_us: TimestampUs },
    /// The partition belongs to another process now: forget it.
    Revoke { partition: PartitionId },
    /// A shard that was loaded takes the place of the empty one. Comes before anything is folded.
    Restore { partition: PartitionId, shard: Box<Shard> },
    /// Begin a snapshot of the state as it is now. All records before `offset` of the ledger are in it: the sender vouches
    /// for that. Does nothing while one of this partition is under way, or when the partition is not here.
    Snapshot { partition: PartitionId, offset: i64 },
}

/// What the workers give, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// To append to `fuel.ledger`.
    Record { partition: PartitionId, key: String, record: Box<LedgerRecord> },
    /// Time has passed for this contract: append a [`model::Tick`] to `fuel.requests`.
    TickDue { partition: PartitionId, contract: ContractId },
    /// The next piece of a snapshot. Packing it takes longer than making it: do it where no record waits.
    Snapshot { partition: PartitionId, part: snapshot::Part },
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
