//! The shards of one worker, and what each is allowed to do.
//!
//! In: what the worker is told. Out: records to append, and contracts for which a tick is due. Guarantees: a partition
//! decides only between its own start and a newer takeover; an order that does not fit its state is logged and changes
//! nothing. Does not: take over; `src` does.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::hash_map::Entry;
use metrics::counter;
use model::{
    ContractId, FORMAT_VERSION, Fact, LedgerBody, LedgerRecord, Outcome, PartitionId, Request, TimestampUs, Verdict,
};

use super::shard::{Batch, Shard};
use super::snapshot::{Part, Slice};
use super::state::Map;
use super::{Config, Input, Output};

/// Ticks asked for at once, by partition.
const TICKS_MAX: usize = 64;
/// Requests whose words are made before the next are decided: keeps what is in hand small.
const BATCH_MAX: usize = 256;
/// A tick that was asked for is not asked for again for so long.
const TICK_PATIENCE_US: i64 = 10 * model::MICROS_PER_SECOND;

/// Slices of a snapshot that may be in somebody's hands, about 32 MB.
const SLICES_MAX: usize = 4_096;

pub(super) struct Partitions {
    config: Config,
    partitions: Map<i32, Partition>,
    /// Snapshots under way, in order: one after the other.
    snapshots: VecDeque<i32>,
    /// Counts the slices that nobody has let go of yet, and itself.
    in_hand: Arc<()>,
    /// Requests and records since the last slice.
    since_slice: usize,
}

struct Partition {
    shard: Shard,
    /// The epoch under which this process decides, while it is the owner.
    deciding: Option<i64>,
    /// When ticks were asked for that may still be under way.
    ticks: Map<ContractId, TimestampUs>,
}

impl Partition {
    fn new(id: PartitionId) -> Self {
        Self { shard: Shard::new(id), deciding: None, ticks: Map::default() }
    }
}

impl Partitions {
    pub(super) fn new(config: Config) -> Self {
        let (snapshots, in_hand) = (VecDeque::new(), Arc::new(()));
        Self { config, partitions: Map::default(), snapshots, in_hand, since_slice: 0 }
    }

    pub(super) fn take(&mut self, input: Input, outputs: &mut Vec<Output>) {
        match input {
            Input::Fold { partition, offset, record } => {
                self.fold(partition, offset, &record);
                self.between(1, outputs);
            }
            Input::Start { partition, epoch } => self.start(partition, epoch),
            Input::Decide { partition, epoch, requests } => self.decide(partition, epoch, requests, outputs),
            Input::Clock { at_us } => self.ticks(at_us, outputs),
            Input::Revoke { partition } => {
                self.partitions.remove(&partition.0);
                self.snapshots.retain(|under_way| *under_way != partition.0);
            }
            Input::Restore { partition, shard } => self.restore(partition, *shard),
            Input::Snapshot { partition, offset } => self.snapshot(partition, offset, outputs),
        }
    }

    fn fold(&mut self, id: PartitionId, offset: i64, record: &LedgerRecord) {
        let partition = self.partitions.entry(id.0).or_insert_with(|| Partition::new(id));
        partition.shard.fold(&self.config, offset, record);
        if let Some(own) = partition.deciding
            && partition.shard.epoch() != Some(own)
        {
            tracing::warn!(
                partition = id.0,
                own,
                newer = offset,
                "another process took the partition over; deciding stops"
            );
            partition.deciding = None;
        }
    }

    fn start(&mut self, id: PartitionId, epoch: i64) {
        let partition = self.partitions.entry(id.0).or_insert_with(|| Partition::new(id));
        let folded = partition.shard.epoch();
        if folded == Some(epoch) {
            partition.deciding = Some(epoch);
        } else {
            tracing::error!(
                partition = id.0,
                epoch,
                ?folded,
                "told to decide under an epoch that is not the ledger's latest"
            );
        }
    }

    fn decide(&mut self, id: PartitionId, epoch: i64, mut requests: Vec<(i64, Request)>, outputs: &mut Vec<Output>) {
        while !requests.is_empty() {
            let rest = requests.split_off(requests.len().min(BATCH_MAX));
            let decided = requests.len();
            self.decide_batch(id, epoch, requests, outputs);
            self.between(decided, outputs);
            requests = rest;
        }
    }

    fn decide_batch(&mut self, id: PartitionId, epoch: i64, requests: Vec<(i64, Request)>, outputs: &mut Vec<Output>) {
        // Requests that were read before a partition moved away may come after.
        let Some(partition) = self.partitions.get_mut(&id.0).filter(|partition| partition.deciding == Some(epoch))
        else {
            tracing::info!(partition = id.0, epoch, requests = requests.len(), "not the owner under this epoch");
            return;
        };
        let before = outputs.len();
        let keys: Vec<String> = requests.iter().map(|(_, request)| request.key().to_owned()).collect();
        let offsets: Vec<i64> = requests.iter().map(|(offset, _)| *offset).collect();
        let mut batch = Batch::default();
        partition.shard.decide_batch(&self.config, requests, &mut batch);
        // Requests that were decided before have no outcome.
        let mut keyed = offsets.into_iter().zip(keys);
        for outcome in partition.shard.outcomes(batch) {
            let Some((_, key)) = keyed.find(|(offset, _)| *offset == outcome.request) else { continue };
            let body = LedgerBody::Outcome(outcome);
            let record = LedgerRecord { v: FORMAT_VERSION, epoch, body };
            outputs.push(Output::Record { partition: id, key, record: Box::new(record) });
        }
        count(outputs.iter().skip(before));
    }

    fn restore(&mut self, id: PartitionId, shard: Shard) {
        if shard.partition() != id {
            tracing::error!(partition = id.0, of = shard.partition().0, "told to go on with another partition's state");
            return;
        }
        match self.partitions.entry(id.0) {
            Entry::Vacant(place) => {
                place.insert(Partition { shard, ..Partition::new(id) });
            }
            Entry::Occupied(_) => {
                tracing::error!(partition = id.0, "told to go on with a loaded state where there is one already");
            }
        }
    }

    fn snapshot(&mut self, id: PartitionId, offset: i64, outputs: &mut Vec<Output>) {
        let partition = self.partitions.get_mut(&id.0);
        if let Some(header) = partition.and_then(|partition| partition.shard.begin_snapshot(offset)) {
            self.snapshots.push_back(id.0);
            outputs.push(Output::Snapshot { partition: id, part: Part::Begin(header) });
        } else {
            tracing::debug!(partition = id.0, offset, "no snapshot: one is under way, or the partition is not here");
        }
    }

    pub(super) fn snapshot_under_way(&self) -> bool {
        !self.snapshots.is_empty()
    }

    /// After so many requests or records: a long queue does not keep a snapshot from going on.
    fn between(&mut self, done: usize, outputs: &mut Vec<Output>) {
        self.since_slice += done;
        if self.since_slice >= BATCH_MAX {
            self.go_on(false, outputs);
        }
    }

    /// Makes one slice of a snapshot, if one is under way and not too many wait for whoever packs them; whatever waits,
    /// when `finishing`. False when none was made.
    pub(super) fn go_on(&mut self, finishing: bool, outputs: &mut Vec<Output>) -> bool {
        self.since_slice = 0;
        let Some(id) = self.snapshots.front().copied() else { return false };
        if !finishing && Arc::strong_count(&self.in_hand) > SLICES_MAX {
            return false;
        }
        let slice = self.partitions.get_mut(&id).and_then(|partition| partition.shard.next_slice());
        let part = slice.map_or(Part::End, |bytes| Part::Slice(Slice::new(bytes, self.in_hand.clone())));
        if matches!(part, Part::End) {
            self.snapshots.pop_front();
        }
        outputs.push(Output::Snapshot { partition: PartitionId(id), part });
        true
    }

    fn ticks(&mut self, now: TimestampUs, outputs: &mut Vec<Output>) {
        for (id, partition) in &mut self.partitions {
            if partition.deciding.is_none() {
                continue;
            }
            let patience = now.plus_us(-TICK_PATIENCE_US);
            partition.ticks.retain(|_, asked| *asked > patience);
            for contract in partition.shard.due(now, TICKS_MAX) {
                if !partition.ticks.contains_key(contract) {
                    partition.ticks.insert(contract.clone(), now);
                    outputs.push(Output::TickDue { partition: PartitionId(*id), contract: contract.clone() });
                }
            }
        }
    }
}

/// One look at the metrics registry per batch and kind, not per decision.
fn count<'a>(outputs: impl Iterator<Item = &'a Output>) {
    let (mut approve, mut partial, mut decline, mut reprompt, mut replay, mut order) = (0, 0, 0, 0, 0, 0);
    for output in outputs {
        let Output::Record { record, .. } = output else { continue };
        let LedgerBody::Outcome(Outcome { facts, fingerprint, .. }) = &record.body else { continue };
        let decision = facts.iter().find_map(|fact| match fact {
            Fact::Decided { decision, .. } => Some(decision),
            _ => None,
        });
        match decision {
            Some(decision) if decision.replayed => replay += 1,
            Some(decision) => match decision.decision {
                Verdict::Approve => approve += 1,
                Verdict::Partial => partial += 1,
                Verdict::Decline => decline += 1,
                Verdict::Reprompt => reprompt += 1,
            },
            None if fingerprint.is_some() => order += 1,
            None => replay += 1,
        }
    }
    for (answer, number) in [
        ("approve", approve),
        ("partial", partial),
        ("decline", decline),
        ("reprompt", reprompt),
        ("replay", replay),
        ("order", order),
    ] {
        if number > 0 {
            counter!("forecourt_ledger_answers_total", "answer" => answer).increment(number);
        }
    }
}
