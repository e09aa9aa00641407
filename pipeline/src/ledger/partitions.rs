//! The shards of one worker, and what each is allowed to do.
//!
//! In: what the worker is told. Out: records to append, and contracts for which a tick is due. Guarantees: a partition
//! decides only between its own start and a newer takeover; an order that does not fit its state is logged and changes
//! nothing. Does not: take over; `src` does.
//!
//! Public for whoever drives the core without threads: a worker of [`super::spawn`] does nothing else.

use metrics::counter;
use model::{
    ContractId, FORMAT_VERSION, Fact, LedgerBody, LedgerRecord, Outcome, PartitionId, Request, TimestampUs, Verdict,
};

use super::shard::{Batch, Shard};
use super::state::Map;
use super::{Config, Input, Output};

/// Ticks asked for at once, by partition.
const TICKS_MAX: usize = 64;
/// Requests whose words are made before the next are decided: keeps what is in hand small.
const BATCH_MAX: usize = 256;
/// A tick that was asked for is not asked for again for so long.
const TICK_PATIENCE_US: i64 = 10 * model::MICROS_PER_SECOND;

/// What one worker has.
pub struct Partitions {
    config: Config,
    partitions: Map<i32, Partition>,
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
    /// A worker without partitions.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, partitions: Map::default() }
    }

    /// The state of a partition, while it is here.
    #[must_use]
    pub fn shard(&self, partition: PartitionId) -> Option<&Shard> {
        self.partitions.get(&partition.0).map(|partition| &partition.shard)
    }

    /// Does what it is told, and appends what comes of it to `outputs`.
    pub fn take(&mut self, input: Input, outputs: &mut Vec<Output>) {
        match input {
            Input::Fold { partition, offset, record } => self.fold(partition, offset, &record),
            Input::Start { partition, epoch } => self.start(partition, epoch),
            Input::Decide { partition, requests } => self.decide(partition, requests, outputs),
            Input::Clock { at_us } => self.ticks(at_us, outputs),
            Input::Revoke { partition } => {
                self.partitions.remove(&partition.0);
            }
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

    fn decide(&mut self, id: PartitionId, mut requests: Vec<(i64, Request)>, outputs: &mut Vec<Output>) {
        let Some(partition) = self.partitions.get_mut(&id.0) else {
            tracing::error!(partition = id.0, "told to decide for a partition that was not folded");
            return;
        };
        let Some(epoch) = partition.deciding else {
            tracing::error!(partition = id.0, "told to decide for a partition that this process does not own");
            return;
        };
        let before = outputs.len();
        while !requests.is_empty() {
            let rest = requests.split_off(requests.len().min(BATCH_MAX));
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
            requests = rest;
        }
        count(outputs.iter().skip(before));
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
