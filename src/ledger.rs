//! The ledger's role: partitions come by the group, are taken over, decided, and given up again.
//!
//! In: what the group decides. Out: shards that are restored, folded, started and forgotten, whose requests are read from
//! where, and when a snapshot is taken.
//! Guarantees: a partition is decided only between its own takeover and the next one by anybody (see [`Owner`]); one that
//! moves does not hold up the others; one that another owner took by mistake is taken back for as long as the group says
//! that it is ours; a process that another one with its name has replaced ends. Does not: decide; the dataflow does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use crossbeam_channel::{Receiver, Sender};
use ingest::{From, Membership, MembershipConfig, Moved};
use model::{Fence, LedgerRecord, LogSettings, PartitionId, Topic};
use pipeline::{Dataflow, ledger};
use sinks::Recorder;
use tokio::sync::watch;

use crate::flows::Follow;
use crate::owner::{Begin, Event, Owner};
use crate::snapshots::{Finished, Job, News, Store};

const WAIT: Duration = Duration::from_millis(20);
/// Before a partition is taken back from an owner that the group does not know: it should notice by itself.
const RETAKE_AFTER: Duration = Duration::from_secs(1);

/// What the role is connected to.
pub(crate) struct Links {
    pub(crate) dataflow: Arc<Dataflow<ledger::Input>>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) follow: Sender<Follow>,
    /// For those who publish what is decided.
    pub(crate) owned: watch::Sender<BTreeSet<PartitionId>>,
    pub(crate) health: dashboards::Health,
    pub(crate) snapshots: Option<Snapshots>,
}

/// How to take snapshots, and how often.
pub(crate) struct Snapshots {
    pub(crate) store: Store,
    pub(crate) jobs: Sender<Job>,
    pub(crate) news: Receiver<News>,
    /// After so long, if anything was recorded.
    pub(crate) every: Duration,
    /// After so many records: what a start has to fold.
    pub(crate) after_records: i64,
}

/// The snapshot that is being taken: one at a time.
struct UnderWay {
    partition: PartitionId,
    /// Packed, and waiting for its last decision to stand in the ledger.
    finished: Option<Finished>,
}

/// Owns what the group gives, until `stop`.
pub(crate) fn run(log: &LogSettings, instance: &str, links: Links, stop: &AtomicBool) -> anyhow::Result<()> {
    let config =
        MembershipConfig { log: log.clone(), topic: Topic::Requests, role: "ledger", instance: instance.to_owned() };
    let membership = Membership::join(config)?;
    let owner = Owner::of(Topic::Ledger, log, instance, links.recorder.clone())?;
    let mut role = Role {
        links,
        log: log.clone(),
        membership,
        owner,
        retake: BTreeMap::new(),
        told: None,
        taken: BTreeMap::new(),
        under_way: None,
    };
    while !stop.load(Ordering::Relaxed) {
        role.turn()?;
    }
    Ok(())
}

struct Role {
    links: Links,
    log: LogSettings,
    membership: Membership,
    owner: Owner,
    /// Partitions of ours that another owner took, and when to take them back.
    retake: BTreeMap<PartitionId, Instant>,
    /// What health was told last.
    told: Option<(usize, usize)>,
    /// When the last snapshot of a partition was taken, and up to where.
    taken: BTreeMap<PartitionId, (Instant, i64)>,
    under_way: Option<UnderWay>,
}

impl Role {
    fn turn(&mut self) -> anyhow::Result<()> {
        for moved in self.membership.poll(Duration::ZERO)? {
            match moved {
                Moved::Gained(partitions) => self.begin(&partitions)?,
                Moved::Lost(partitions) => {
                    tracing::info!(?partitions, "the group gave partitions to others");
                    self.retake.retain(|partition, _| !partitions.contains(partition));
                    self.give_up(&partitions)?;
                }
            }
        }
        let now = Instant::now();
        let due: Vec<PartitionId> =
            self.retake.iter().filter(|(_, at)| **at <= now).map(|(partition, _)| *partition).collect();
        if !due.is_empty() {
            self.retake.retain(|partition, _| !due.contains(partition));
            self.begin(&due)?;
        }
        let mut lost = Vec::new();
        let Links { dataflow, follow, .. } = &self.links;
        self.owner.turn::<LedgerRecord>(WAIT, |event| {
            match event {
                Event::Fold { partition, offset, record } => {
                    dataflow.feed(partition).send(ledger::Input::Fold { partition, offset, record })?;
                }
                Event::Start { partition, epoch, next } => {
                    dataflow.feed(partition).send(ledger::Input::Start { partition, epoch })?;
                    follow.send(Follow::Begin { partition, epoch, next })?;
                }
                Event::Lost { partition, owner, is_successor: true } => {
                    bail!("partition {partition} was taken over by another Forecourt with our name ({owner}): this one ends");
                }
                Event::Lost { partition, owner, .. } => {
                    tracing::warn!(%partition, owner, "another Forecourt took a partition over");
                    lost.push(partition);
                }
            }
            Ok(())
        })?;
        if !lost.is_empty() {
            self.give_up(&lost)?;
            let at = Instant::now() + RETAKE_AFTER;
            self.retake.extend(lost.into_iter().map(|partition| (partition, at)));
        }
        self.take_snapshots()?;
        self.tell();
        Ok(())
    }

    fn begin(&mut self, partitions: &[PartitionId]) -> anyhow::Result<()> {
        let fresh: Vec<PartitionId> =
            partitions.iter().copied().filter(|partition| !self.owner.holds(*partition)).collect();
        if fresh.is_empty() {
            return Ok(()); // the group also says when it gives nothing
        }
        let begins = match &self.links.snapshots {
            Some(snapshots) => self.restore(snapshots, &fresh)?,
            None => fresh.iter().copied().map(Begin::empty).collect(),
        };
        for begin in &begins {
            let from = if let From::Offset(offset) = begin.from { offset } else { 0 };
            self.taken.insert(begin.partition, (Instant::now(), from));
        }
        self.owner.begin(&begins)?;
        self.publish();
        Ok(())
    }

    fn give_up(&mut self, partitions: &[PartitionId]) -> anyhow::Result<()> {
        self.owner.give_up(partitions)?;
        if self.under_way.as_ref().is_some_and(|under_way| partitions.contains(&under_way.partition)) {
            // What is not stored never will be: its end may not stand in the ledger.
            self.under_way = None;
        }
        for partition in partitions {
            self.taken.remove(partition);
            self.links.follow.send(Follow::End { partition: *partition })?;
            self.links.dataflow.feed(*partition).send(ledger::Input::Revoke { partition: *partition })?;
        }
        self.publish();
        Ok(())
    }

    /// Shards from snapshots, and where folding goes on.
    fn restore(&self, snapshots: &Snapshots, partitions: &[PartitionId]) -> anyhow::Result<Vec<Begin>> {
        let places: Vec<_> = partitions.iter().map(|partition| (Topic::Ledger, *partition)).collect();
        let spans = partitions.iter().copied().zip(ingest::spans(&self.log, &places)?).collect::<Vec<_>>();
        let mut begins = Vec::with_capacity(partitions.len());
        for (partition, choice) in partitions.iter().copied().zip(snapshots.store.choose(&spans)?) {
            if choice.snapshot.is_none() {
                begins.push(Begin::empty(partition));
                continue;
            }
            let mut fence = Fence::default();
            choice.shard.epoch().into_iter().for_each(|epoch| fence.takeover(epoch));
            let last_request = choice.shard.last_request();
            begins.push(Begin { partition, from: From::Offset(choice.offset), fence, last_request });
            let restore = ledger::Input::Restore { partition, shard: choice.shard };
            self.links.dataflow.feed(partition).send(restore)?;
        }
        Ok(begins)
    }

    /// Begins a snapshot that is due, and has one stored whose decisions all stand in the ledger.
    fn take_snapshots(&mut self) -> anyhow::Result<()> {
        let Some(snapshots) = &self.links.snapshots else { return Ok(()) };
        for news in snapshots.news.try_iter() {
            match (news, &mut self.under_way) {
                (News::Finished(done), Some(under_way)) if under_way.partition == done.name.partition => {
                    under_way.finished = Some(done);
                }
                (News::Done(name), Some(under_way)) if under_way.partition == name.partition => self.under_way = None,
                // Its partition went elsewhere meanwhile.
                (News::Finished(_) | News::Done(_), _) => {}
            }
        }
        if let Some(under_way) = &mut self.under_way {
            if let Some(done) = &under_way.finished
                && done.last_request.is_none_or(|last| {
                    self.owner.has_recorded::<LedgerRecord>(under_way.partition, last).unwrap_or(false)
                })
                && let Some(done) = under_way.finished.take()
            {
                snapshots.jobs.send(Job::Store(done))?;
            }
            return Ok(());
        }
        for (partition, (at, from)) in &mut self.taken {
            let Some(offset) = self.owner.position(*partition) else { continue };
            let records = offset - *from;
            if records >= snapshots.after_records || (records > 0 && at.elapsed() >= snapshots.every) {
                (*at, *from) = (Instant::now(), offset);
                let begin = ledger::Input::Snapshot { partition: *partition, offset };
                self.links.dataflow.feed(*partition).send(begin)?;
                self.under_way = Some(UnderWay { partition: *partition, finished: None });
                break;
            }
        }
        Ok(())
    }

    fn publish(&self) {
        self.links.owned.send_replace(self.owner.held().collect());
    }

    fn tell(&mut self) {
        let counts = self.owner.counts();
        if !self.membership.has_answered() || self.told == Some(counts) {
            return;
        }
        self.told = Some(counts);
        let (held, started) = counts;
        let detail = match (held, started) {
            (0, _) => "standing by: others decide".to_owned(),
            (held, started) if held == started => format!("deciding {started} partitions"),
            (held, started) => format!("deciding {started} of {held} partitions"),
        };
        self.links.health.set("ledger", held == started, detail);
    }
}
