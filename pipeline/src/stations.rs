//! Derives what happens at stations from readings and sales: tank levels, device status, events and days of registered
//! tanks, minutes.
//!
//! In: records of `fuel.readings` and `fuel.sales` in the order of their partition, the time as ticks, and the records of
//! `fuel.station-events` that were written before. Out: records to append there. Guarantees: an accepted reading gives one
//! level, however often it is sent or read again; a minute's versions go up one by one, and its highest version comes to
//! the same sums in whatever order partitions interleave, on any number of workers, through restarts. Does not: write the
//! log or know who owns a partition; no clock, no randomness.
//!
//! A partition is folded first (every record, takeovers included), then started, then fed with readings and sales from the
//! beginning of what is kept. What the folded records already hold is passed over.

mod levels;
mod minutes;
mod shards;
mod tanks;
mod watermark;
mod windows;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use model::{Millilitres, PartitionId, ReadingRecord, Sale, StationRecord, TimestampUs};
use timely::dataflow::operators::{Concatenate, OkErr};

use crate::worker::{self, Dataflow};

const SECOND_US: i64 = model::MICROS_PER_SECOND;
const MINUTE_US: i64 = model::MICROS_PER_MINUTE;

/// How stations are seen. Durations are of event time, except `idle_after_us`, which ticks measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads; a partition's readings and sales are taken in by worker `partition % workers`.
    pub workers: usize,
    /// Messages that wait for one worker before its feed has to.
    pub queue_messages_max: usize,
    /// How far records of one partition and topic may be out of order before their minute closes.
    pub lateness_us: i64,
    /// A partition and topic without records for so long does not keep minutes open.
    pub idle_after_us: i64,
    /// How long a closed minute can still be corrected.
    pub retention_us: i64,
    /// Minutes that one worker keeps; above it the oldest closed ones go before their time.
    pub windows_max: usize,
    /// A level this much above the lowest since the last delivery is a delivery; less is the surface moving.
    pub rise_min_ml: Millilitres,
    /// How many readings of a tank are remembered to know a repeat.
    pub readings_remembered: usize,
    /// Tanks of one partition; readings of more are dropped and counted.
    pub tanks_max: usize,
    /// Readings of one tank that nobody registered, kept until somebody does.
    pub unregistered_readings_max: usize,
    /// The same of all tanks of a partition together.
    pub unregistered_total_max: usize,
    /// A reading measured so long after it arrived is dated at its arrival; a record so far ahead of the last tick closes
    /// no minute before its time. `None` believes every time, for time that runs faster than the clock.
    pub clock_ahead_max_us: Option<i64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 1,
            queue_messages_max: 1024,
            lateness_us: 15 * SECOND_US,
            idle_after_us: 30 * SECOND_US,
            retention_us: 48 * 60 * MINUTE_US,
            windows_max: 500_000,
            rise_min_ml: Millilitres::from_litres(100),
            readings_remembered: 64,
            tanks_max: 100_000,
            unregistered_readings_max: 1_000,
            unregistered_total_max: 20_000,
            clock_ahead_max_us: Some(5 * MINUTE_US),
        }
    }
}

/// What a worker is told.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a start is all folds: a box would cost each an allocation")]
pub enum Input {
    /// A record of the partition's station events, in order of offset, whatever its epoch.
    Fold { partition: PartitionId, offset: i64, record: StationRecord },
    /// The events were folded to the takeover of this process, at offset `epoch`: derive from now on.
    Start { partition: PartitionId, epoch: i64 },
    /// Readings in order, each with its offset in `fuel.readings`.
    Readings { partition: PartitionId, records: Vec<(i64, ReadingRecord)> },
    /// Sales in order, each with its offset in `fuel.sales`.
    Sales { partition: PartitionId, sales: Vec<(i64, Sale)> },
    /// What the partition's inputs held at the start was fed: from now on silence is silence.
    CaughtUp { partition: PartitionId },
    /// The time. Every worker has to be told, about once a second.
    Tick { at_us: TimestampUs },
    /// The partition belongs to another process now: forget it.
    Revoke { partition: PartitionId },
}

/// A record to append to `fuel.station-events`. The order matters within a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub partition: PartitionId,
    /// The site.
    pub key: String,
    pub record: StationRecord,
}

/// Starts the workers. They end when all feeds are dropped; minutes that are open then stay unwritten, and whoever owns the
/// partition next derives them again.
pub fn spawn(config: Config, outputs: SyncSender<Vec<Output>>) -> Dataflow<Input> {
    let (workers, capacity) = (config.workers, config.queue_messages_max);
    worker::spawn("stations", workers, capacity, outputs, dataflow(config))
}

/// The dataflow that every worker builds.
fn dataflow(
    config: Config,
) -> impl for<'scope> Fn(worker::Source<'scope, Input>) -> timely::dataflow::Stream<'scope, worker::Time, Vec<Output>> {
    let config = Arc::new(config);
    let marks = watermark::Marks::new(config.workers);
    move |source| {
        let (index, workers) = (source.worker_index(), source.workers());
        let mut watermark = watermark::Watermark::new(&config, marks.clone(), index);
        let inputs = source.stream_at(move |input| watermark.observe(input));
        let derived = shards::shards(inputs, config.clone(), index, workers);
        let (events, entries) = derived.ok_err(|derived| match derived {
            shards::Derived::Event(output) => Ok(output),
            shards::Derived::Entry(entry) => Err(entry),
        });
        let scope = events.scope();
        scope.concatenate([events, minutes::minutes(entries, config.clone())])
    }
}

#[cfg(test)]
mod tests;
