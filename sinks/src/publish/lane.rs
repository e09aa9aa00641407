//! One ledger partition on its way to `fuel.sales` and `fuel.cards`.
//!
//! In: what the group remembers of it, and its records in order. Out: what follows from each true record, and the position
//! to commit. Guarantees: a record counts only under the current epoch, also when reading begins in the middle. Does not:
//! read, write or commit; the position it names may be committed once all that came out before is durable.

use model::{Fence, LedgerBody, LedgerRecord, PartitionId};

use super::derive::{self, Derived};
use crate::position::Commit;

#[derive(Debug)]
pub struct Lane {
    partition: PartitionId,
    fence: Fence,
    /// Offset of the next record to read.
    next: i64,
    /// `next` as last committed.
    committed: Option<i64>,
}

impl Lane {
    /// Takes up the partition at a committed offset, whose metadata tells the epoch there. Without that epoch nothing can be
    /// judged, so the log is read from its beginning: readers drop the repeats.
    #[must_use]
    pub fn begin(partition: PartitionId, offset: Option<i64>, metadata: &str) -> Self {
        let known = offset.zip(Commit::decode(metadata));
        let (next, fence) = known.map_or((0, Fence::default()), |(offset, commit)| (offset, commit.fence()));
        Self { partition, fence, next, committed: known.map(|(offset, _)| offset) }
    }

    /// Where to begin to read; `None`: with the oldest record that there is.
    #[must_use]
    pub fn read_from(&self) -> Option<i64> {
        self.committed.map(|_| self.next)
    }

    /// The offset after the last record taken.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Takes the record at `offset`; `None` when nothing follows from it. `topic` is for messages.
    pub fn take(&mut self, topic: &str, offset: i64, payload: &[u8]) -> Option<Derived> {
        self.next = offset + 1;
        let record = admitted(&mut self.fence, topic, self.partition, offset, payload)?;
        let LedgerBody::Outcome(outcome) = &record.body else { return None };
        Some(derive::derive(self.partition, offset, outcome))
    }

    /// What to commit when all that was taken is durable; `None` when it is committed already.
    #[must_use]
    pub fn commit(&self) -> Option<(i64, Commit)> {
        (self.next > 0 && self.committed != Some(self.next))
            .then(|| (self.next, Commit { epoch: self.fence.epoch(), planned_to: None }))
    }

    /// A commit of this offset is on its way.
    pub fn committed(&mut self, offset: i64) {
        self.committed = Some(offset);
    }
}

/// The record when it is a true outcome. A takeover moves the fence; what cannot be read was not written by an owner.
fn admitted(
    fence: &mut Fence,
    topic: &str,
    partition: PartitionId,
    offset: i64,
    payload: &[u8],
) -> Option<LedgerRecord> {
    let record: LedgerRecord = match serde_json::from_slice(payload) {
        Ok(record) => record,
        Err(error) => {
            tracing::error!(topic, %partition, offset, %error, "a record is not one of the ledger's and was passed over");
            metrics::counter!("forecourt_publish_unreadable_total").increment(1);
            return None;
        }
    };
    if let LedgerBody::Takeover { .. } = record.body {
        fence.takeover(offset);
        return None;
    }
    if !fence.admits(record.epoch) {
        metrics::counter!("forecourt_publish_fenced_total").increment(1);
        return None;
    }
    Some(record)
}
