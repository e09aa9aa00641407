//! The shards of one worker, and what each is allowed to do.
//!
//! In: what the worker is told. Out: records to append. Guarantees: a partition decides only between its own start and a
//! newer takeover; an order that does not fit its state is logged and changes nothing. Does not: take over; `src` does.

use metrics::counter;
use model::{FORMAT_VERSION, Fact, LedgerBody, LedgerRecord, Outcome, PartitionId, Request, Verdict};

use super::contract::Map;
use super::shard::Shard;
use super::{Config, Input, Output};

pub(super) struct Partitions {
    config: Config,
    partitions: Map<i32, Partition>,
}

struct Partition {
    shard: Shard,
    /// The epoch under which this process decides, while it is the owner.
    deciding: Option<i64>,
}

impl Partition {
    fn new(id: PartitionId) -> Self {
        Self { shard: Shard::new(id), deciding: None }
    }
}

impl Partitions {
    pub(super) fn new(config: Config) -> Self {
        Self { config, partitions: Map::default() }
    }

    pub(super) fn take(&mut self, input: Input, decided: &mut Vec<Output>) {
        match input {
            Input::Fold { partition, offset, record } => self.fold(partition, offset, &record),
            Input::Start { partition, epoch } => self.start(partition, epoch),
            Input::Decide { partition, requests } => self.decide(partition, &requests, decided),
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

    fn decide(&mut self, id: PartitionId, requests: &[(i64, Request)], decided: &mut Vec<Output>) {
        let Some(partition) = self.partitions.get_mut(&id.0) else {
            tracing::error!(partition = id.0, "told to decide for a partition that was not folded");
            return;
        };
        let Some(epoch) = partition.deciding else {
            tracing::error!(partition = id.0, "told to decide for a partition that this process does not own");
            return;
        };
        let before = decided.len();
        for (offset, request) in requests {
            if let Some(outcome) = partition.shard.decide(&self.config, *offset, request) {
                let body = LedgerBody::Outcome(outcome);
                let record = LedgerRecord { v: FORMAT_VERSION, epoch, body };
                decided.push(Output { partition: id, key: request.key().to_owned(), record });
            }
        }
        count(decided.iter().skip(before));
    }
}

/// One look at the metrics registry per batch and kind, not per decision.
fn count<'a>(outputs: impl Iterator<Item = &'a Output>) {
    let (mut approve, mut partial, mut decline, mut replay, mut order) = (0, 0, 0, 0, 0);
    for output in outputs {
        let LedgerBody::Outcome(Outcome { facts, fingerprint, .. }) = &output.record.body else { continue };
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
            },
            None if fingerprint.is_some() => order += 1,
            None => replay += 1,
        }
    }
    for (answer, number) in
        [("approve", approve), ("partial", partial), ("decline", decline), ("replay", replay), ("order", order)]
    {
        if number > 0 {
            counter!("forecourt_ledger_answers_total", "answer" => answer).increment(number);
        }
    }
}
