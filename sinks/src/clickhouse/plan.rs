//! Plan, then insert: how rows get into ClickHouse exactly once.
//!
//! All partitions of a topic go into one batch. Before it is inserted, its ranges are committed beside the positions (one
//! commit request, which Kafka's coordinator stores as a whole); then exactly these ranges are inserted under a token made
//! of them; then the positions move to their ends. Whoever finds a plan repeats it: the same ranges give the same rows and
//! the same token, so that the server drops what it already has.
//!
//! A server that dies may remember the token of rows that it lost: its memory of tokens and its rows are separate files. So
//! an insert that did not simply succeed is looked back at ([`Arrival`]), and what is not there is inserted under a new name.
//!
//! Guarantees: the ranges of a topic never overlap and leave nothing out, whatever moment the process or the server dies
//! at. Relies on one recorder at a time (the consumer group sees to it); a late insert of the one before finds its token
//! taken.
//! One batch for a topic rather than for each partition, because every insert makes a part that ClickHouse has to merge:
//! the number of inserts must not grow with the number of partitions.

use std::collections::BTreeMap;

use model::{Fence, PartitionId};

use crate::position::Commit;

/// A change of a partition's committed offset.
pub type Positions = Vec<(PartitionId, i64, Commit)>;

/// Where a partition is taken up; see [`Start::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Everything before this offset is in ClickHouse.
    pub position: i64,
    /// What was committed there; `None` when the epoch has to be learned from the records before.
    pub commit: Option<Commit>,
}

impl Start {
    /// After what the group remembers (an offset with its metadata), or, where it has forgotten, after the last offset that
    /// has rows, or with the oldest record that there is. Where records count whoever wrote them, no epoch is learned.
    #[must_use]
    pub fn of(committed: Option<(i64, &str)>, last_with_rows: Option<i64>, oldest: i64, is_fenced: bool) -> Self {
        let nothing_before = Some(Commit { epoch: None, planned_to: None });
        let start = match (committed, last_with_rows) {
            (Some((position, metadata)), _) => Self { position, commit: Commit::decode(metadata) },
            (None, Some(last)) => Self { position: last + 1, commit: None },
            (None, None) => Self { position: oldest, commit: nothing_before },
        };
        if is_fenced { start } else { Self { commit: start.commit.or(nothing_before), ..start } }
    }
}

/// All partitions of one topic.
#[derive(Debug)]
pub struct Lanes {
    topic: String,
    lanes: BTreeMap<PartitionId, Lane>,
    /// True while the plan of an earlier run is repeated: only its ranges are read.
    repeating: bool,
}

/// `position <= next`; the fences are those before the record at either offset.
#[derive(Debug)]
struct Lane {
    position: i64,
    fence_at_position: Fence,
    next: i64,
    fence: Fence,
    /// Where reading begins: before `position` when the epoch has to be learned.
    read_from: i64,
    /// End of the range that an earlier run planned.
    planned_to: Option<i64>,
}

/// One step of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Commit these positions; without an answer that it is stored, go no further.
    Commit(Positions),
    /// Insert the rows of what was read, each table's under its [`Lanes::token`], until they have arrived ([`Arrival`]).
    Insert,
}

/// What a record is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Its rows are in ClickHouse; only the epoch is learned.
    Learn,
    Record,
}

/// How the rows of one table come to be in ClickHouse for sure.
#[derive(Debug)]
pub struct Arrival {
    token: String,
    /// How often rows were missing under a token that the server knew.
    round: u32,
    is_doubtful: bool,
}

/// What to do next for rows to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Insert what is known to be missing under [`Arrival::token`]; all of the rows before the first look back.
    Insert,
    /// Ask the server which of the rows it has.
    LookBack,
    Arrived,
}

impl Arrival {
    /// `is_repeat`: an earlier run may have inserted these rows.
    #[must_use]
    pub fn new(token: String, is_repeat: bool) -> Self {
        Self { token, round: 0, is_doubtful: is_repeat }
    }

    /// `ledger_facts:fuel.ledger:0:17-40`, and `…/1` for what was missing after the server had that.
    #[must_use]
    pub fn token(&self) -> String {
        if self.round == 0 { self.token.clone() } else { format!("{}/{}", self.token, self.round) }
    }

    /// An attempt failed, or nobody knows how it ended.
    pub fn failed(&mut self) -> Next {
        self.is_doubtful = true;
        Next::Insert
    }

    /// The server says that it has the rows.
    pub fn acknowledged(&mut self) -> Next {
        if self.is_doubtful { Next::LookBack } else { Next::Arrived }
    }

    /// So many rows were not there after an acknowledgement. The next name may be one that the server knows as well, from
    /// an earlier run, so doubt remains.
    pub fn missed(&mut self, rows: usize) -> Next {
        if rows == 0 {
            return Next::Arrived;
        }
        self.round += 1;
        self.is_doubtful = true;
        Next::Insert
    }
}

impl Lanes {
    #[must_use]
    pub fn new(topic: String, starts: impl IntoIterator<Item = (PartitionId, Start)>) -> Self {
        let lanes: BTreeMap<PartitionId, Lane> = starts
            .into_iter()
            .map(|(partition, start)| {
                let fence = start.commit.map(|commit| commit.fence()).unwrap_or_default();
                let planned_to = start.commit.and_then(|commit| commit.planned_to);
                let position = start.position;
                let read_from = if start.commit.is_some() { position } else { 0 };
                (partition, Lane { position, fence_at_position: fence, next: position, fence, read_from, planned_to })
            })
            .collect();
        let repeating = lanes.values().any(|lane| lane.planned_to.is_some());
        Self { topic, lanes, repeating }
    }

    /// True while the plan of an earlier run is to be repeated before anything else.
    #[must_use]
    pub fn is_repeating(&self) -> bool {
        self.repeating
    }

    /// The partitions to read now, each with the offset to begin at.
    pub fn to_read(&self) -> impl Iterator<Item = (PartitionId, i64)> + '_ {
        self.lanes
            .iter()
            .filter(|(_, lane)| !self.repeating || lane.planned_to.is_some())
            .map(|(partition, lane)| (*partition, lane.read_from))
    }

    /// Passes the record at `offset` to `take` if it is to be read, with the fence before it.
    pub fn admit(&mut self, partition: PartitionId, offset: i64, take: impl FnOnce(&mut Fence, Purpose)) {
        let Some(lane) = self.lanes.get_mut(&partition) else { return };
        if self.repeating && lane.planned_to.is_none_or(|to| offset >= to) {
            // The log goes on behind the plan, so all of the plan that is still in the log has been read.
            lane.next = lane.next.max(lane.planned_to.unwrap_or(lane.next));
        } else if offset < lane.position {
            take(&mut lane.fence, Purpose::Learn);
            lane.fence_at_position = lane.fence;
        } else if offset >= lane.next {
            take(&mut lane.fence, Purpose::Record);
            lane.next = offset + 1;
        }
    }

    /// The partition has been read to its end.
    pub fn reached_end(&mut self, partition: PartitionId) {
        if let Some(lane) = self.lanes.get_mut(&partition)
            && self.repeating
            && let Some(to) = lane.planned_to
        {
            lane.next = lane.next.max(to);
        }
    }

    /// True when all of the repeated plan has been read.
    #[must_use]
    pub fn has_read_plan(&self) -> bool {
        self.lanes.values().all(|lane| lane.planned_to.is_none_or(|to| lane.next >= to))
    }

    /// True when records were read that are not delivered.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.lanes.values().any(|lane| lane.next > lane.position)
    }

    /// Everything before these offsets is in ClickHouse.
    pub fn positions(&self) -> impl Iterator<Item = (PartitionId, i64)> + '_ {
        self.lanes.iter().map(|(partition, lane)| (*partition, lane.position))
    }

    /// How to deliver what was read: in this order, and only when all is done [`Lanes::advance`]. Without rows there is
    /// nothing that could be inserted twice, and so nothing to plan.
    #[must_use]
    pub fn delivery(&self, has_rows: bool) -> Vec<Step> {
        let delivered = Step::Commit(self.delivered());
        if has_rows { vec![Step::Commit(self.planned()), Step::Insert, delivered] } else { vec![delivered] }
    }

    /// What to commit before the records that were read are inserted.
    fn planned(&self) -> Positions {
        self.moved()
            .map(|(partition, lane)| {
                let commit = Commit { epoch: lane.fence_at_position.epoch(), planned_to: Some(lane.next) };
                (partition, lane.position, commit)
            })
            .collect()
    }

    /// What to commit after the records that were read are inserted.
    fn delivered(&self) -> Positions {
        self.moved()
            .map(|(partition, lane)| (partition, lane.next, Commit { epoch: lane.fence.epoch(), planned_to: None }))
            .collect()
    }

    /// The positions move to the end of what was read; a repeated plan is over.
    pub fn advance(&mut self) {
        for lane in self.lanes.values_mut().filter(|lane| lane.next > lane.position) {
            lane.position = lane.next;
            lane.read_from = lane.next;
            lane.fence_at_position = lane.fence;
            lane.planned_to = None;
        }
        self.repeating = false;
    }

    /// Names what is inserted into `table`: `ledger_facts:fuel.ledger:0:17-40,3:5-6`.
    #[must_use]
    pub fn token(&self, table: &str) -> String {
        let ranges: Vec<String> =
            self.ranges().map(|(partition, from, to)| format!("{partition}:{from}-{to}")).collect();
        format!("{table}:{}:{}", self.topic, ranges.join(","))
    }

    /// The ranges of what was read: partition, first offset, end.
    pub fn ranges(&self) -> impl Iterator<Item = (PartitionId, i64, i64)> + '_ {
        self.moved().map(|(partition, lane)| (partition, lane.position, lane.next))
    }

    fn moved(&self) -> impl Iterator<Item = (PartitionId, &Lane)> {
        self.lanes.iter().filter(|(_, lane)| lane.next > lane.position).map(|(partition, lane)| (*partition, lane))
    }
}

#[cfg(test)]
mod tests;
