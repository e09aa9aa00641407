//! The ledger's role: partitions come by the group, are taken over, decided, and given up again.
//!
//! In: what the group decides. Out: shards that are folded, started and forgotten, and whose requests are read from where.
//! Guarantees: a partition is decided only between its own takeover and the next one by anybody (see [`Owner`]); one that
//! moves does not hold up the others; one that another owner took by mistake is taken back for as long as the group says
//! that it is ours. Does not: decide; the dataflow does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use ingest::{Membership, MembershipConfig, Moved};
use model::{LedgerRecord, LogSettings, PartitionId, Topic};
use pipeline::{Dataflow, ledger};
use sinks::Recorder;
use tokio::sync::watch;

use crate::flows::Follow;
use crate::owner::{Begin, Event, Owner};

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
}

/// Owns what the group gives, until `stop`.
pub(crate) fn run(log: &LogSettings, instance: &str, links: Links, stop: &AtomicBool) -> anyhow::Result<()> {
    let config =
        MembershipConfig { log: log.clone(), topic: Topic::Requests, role: "ledger", instance: instance.to_owned() };
    let membership = Membership::join(config)?;
    let owner = Owner::of(Topic::Ledger, log, links.recorder.clone())?;
    let mut role = Role { links, membership, owner, retake: BTreeMap::new(), told: None };
    while !stop.load(Ordering::Relaxed) {
        role.turn()?;
    }
    Ok(())
}

struct Role {
    links: Links,
    membership: Membership,
    owner: Owner,
    /// Partitions of ours that another owner took, and when to take them back.
    retake: BTreeMap<PartitionId, Instant>,
    /// What health was told last.
    told: Option<(usize, usize)>,
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
                Event::Lost { partition, owner } => {
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
        self.tell();
        Ok(())
    }

    fn begin(&mut self, partitions: &[PartitionId]) -> anyhow::Result<()> {
        let fresh = partitions.iter().filter(|partition| !self.owner.holds(**partition));
        let begins: Vec<Begin> = fresh.map(|partition| Begin::empty(*partition)).collect();
        self.owner.begin(&begins)?;
        self.publish();
        Ok(())
    }

    fn give_up(&mut self, partitions: &[PartitionId]) -> anyhow::Result<()> {
        self.owner.give_up(partitions)?;
        for partition in partitions {
            self.links.follow.send(Follow::End { partition: *partition })?;
            self.links.dataflow.feed(*partition).send(ledger::Input::Revoke { partition: *partition })?;
        }
        self.publish();
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
