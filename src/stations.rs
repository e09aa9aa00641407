//! The stations' role: tanks and windows of the partitions that the group gives.
//!
//! In: what the group decides. Out: one run of the dataflow for each set of partitions. Guarantees: what is derived is
//! recorded under the epoch of our own takeover. Does not: move single partitions: windows of a partition that joins late
//! would be behind the others' time, so a change of the set begins a new run, which reads again what is kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use ingest::{Membership, MembershipConfig, Moved};
use model::{LogSettings, PartitionId, StationRecord, Topic};
use pipeline::stations::{self, Input};
use sinks::Recorder;

use crate::flows;
use crate::owner::{Begin, Event, Owner};

/// Batches between the dataflow and its recorder: at most this many wait.
const OUTPUT_BATCHES_MAX: usize = 256;
const WAIT: Duration = Duration::from_millis(100);
/// How long the last records of a run may take to be acknowledged.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Derives what the group gives, until `stop`.
pub(crate) fn run(
    log: &LogSettings,
    instance: &str,
    settings: &stations::Config,
    clock: &ingest::Clock,
    health: &dashboards::Health,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let config =
        MembershipConfig { log: log.clone(), topic: Topic::Readings, role: "stations", instance: instance.to_owned() };
    let membership = Membership::join(config)?;
    let mut role = Role { log, instance, membership, owned: BTreeSet::new(), clock, health, stop };
    while !stop.load(Ordering::Relaxed) {
        role.follow_group(WAIT)?;
        if !role.owned.is_empty() {
            role.run(settings)?;
        } else if role.membership.has_answered() {
            health.set("stations", true, "standing by: others follow the stations");
        }
    }
    Ok(())
}

struct Role<'a> {
    log: &'a LogSettings,
    instance: &'a str,
    membership: Membership,
    owned: BTreeSet<PartitionId>,
    clock: &'a ingest::Clock,
    health: &'a dashboards::Health,
    stop: &'a AtomicBool,
}

impl Role<'_> {
    /// True when the set of partitions changed, or one of them went and came back.
    fn follow_group(&mut self, wait: Duration) -> anyhow::Result<bool> {
        let moves = self.membership.poll(wait)?;
        for moved in &moves {
            match moved {
                Moved::Gained(partitions) => self.owned.extend(partitions),
                Moved::Lost(partitions) => self.owned.retain(|partition| !partitions.contains(partition)),
            }
        }
        Ok(moves.iter().any(|(Moved::Gained(partitions) | Moved::Lost(partitions))| !partitions.is_empty()))
    }

    /// One run: until the set of partitions changes, another owner takes one, or all ends.
    fn run(&mut self, settings: &stations::Config) -> anyhow::Result<()> {
        let recorder = Arc::new(Recorder::open(self.log)?);
        let (outputs, recorded) = sync_channel(OUTPUT_BATCHES_MAX);
        let dataflow = Arc::new(stations::spawn(settings.clone(), outputs));
        let ended = AtomicBool::new(false);
        let (log, clock, owned) = (self.log, self.clock, self.owned.clone());
        let result = std::thread::scope(|scope| {
            let recording = scope.spawn(|| flows::record_stations(recorded, &recorder));
            let mut reading = None;
            let inputs = dataflow.clone();
            let (owned, ended) = (&owned, &ended);
            let followed = self.follow(&dataflow, &recorder, || {
                reading = Some(scope.spawn(move || flows::station_inputs(log, owned, &inputs, clock, ended)));
            });
            ended.store(true, Ordering::Relaxed);
            let read =
                reading.map_or(Ok(()), |reading| reading.join().unwrap_or_else(|_| unreachable!("a panic aborts")));
            drop(dataflow);
            let written = recording.join().unwrap_or_else(|_| unreachable!("a panic aborts"));
            followed.and(read).and(written)
        });
        result?;
        if let Err(error) = recorder.flush(FLUSH_MAX) {
            // Whoever has the partitions next derives it again; what lands late all the same has an epoch that is over.
            tracing::warn!(%error, "not all of what was derived at stations is recorded yet");
        }
        Ok(())
    }

    /// Folds what is recorded; calls `start` when all partitions are ours; returns when one is not any more.
    fn follow(
        &mut self,
        dataflow: &pipeline::Dataflow<Input>,
        recorder: &Arc<Recorder>,
        start: impl FnOnce(),
    ) -> anyhow::Result<()> {
        let mut owner = Owner::of(Topic::StationEvents, self.log, self.instance, recorder.clone())?;
        owner.begin(&self.owned.iter().copied().map(Begin::empty).collect::<Vec<_>>())?;
        let mut start = Some(start);
        let mut lost = false;
        while !lost && !self.stop.load(Ordering::Relaxed) && !self.follow_group(Duration::ZERO)? {
            owner.turn::<StationRecord>(WAIT, |event| {
                match event {
                    Event::Fold { partition, offset, record } => {
                        dataflow.feed(partition).send(Input::Fold { partition, offset, record })?;
                    }
                    Event::Start { partition, epoch, .. } => {
                        dataflow.feed(partition).send(Input::Start { partition, epoch })?;
                    }
                    Event::Lost { partition, owner, .. } => {
                        tracing::warn!(%partition, owner, "another Forecourt took a station partition over");
                        lost = true;
                    }
                }
                Ok(())
            })?;
            let (held, started) = owner.counts();
            if held == started
                && let Some(start) = start.take()
            {
                self.health.set("stations", true, format!("following {started} partitions"));
                start();
            }
        }
        if lost {
            std::thread::sleep(WAIT * 10); // the other one should hear of the group's decision before we begin again
        }
        Ok(())
    }
}
