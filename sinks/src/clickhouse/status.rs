//! How far recording in ClickHouse has come, for health and for people.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{PartitionId, Topic};

/// Shared by the recording threads and by whoever asks; clones are the same status.
#[derive(Clone, Debug, Default)]
pub struct Status {
    topics: Arc<Mutex<BTreeMap<Topic, TopicStatus>>>,
}

/// One source topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicStatus {
    pub phase: Phase,
    pub partitions: BTreeMap<PartitionId, Progress>,
    /// Rows of all tables that were inserted since the start.
    pub rows: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for Kafka, for the group, or for the tables.
    #[default]
    Starting,
    Recording,
    /// Another process records, this member of its group; this one goes on when that one is gone.
    StandingBy(String),
    /// ClickHouse or Kafka does not answer, or refuses; tried again for ever. The text says why.
    Waiting(String),
    /// Given up, and why: a person is needed.
    Failed(String),
    Stopped,
}

/// One partition, in offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything before this offset is in ClickHouse.
    pub position: i64,
    /// Where the log ended when last asked.
    pub end: i64,
}

impl Progress {
    /// Records that are not in ClickHouse yet.
    #[must_use]
    pub fn lag(self) -> i64 {
        (self.end - self.position).max(0)
    }
}

impl Status {
    /// All topics as they are now.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<Topic, TopicStatus> {
        self.lock().clone()
    }

    /// True when every source is recording, here or in the process for which this one stands by.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let topics = self.lock();
        !topics.is_empty()
            && topics.values().all(|topic| matches!(topic.phase, Phase::Recording | Phase::StandingBy(_)))
    }

    pub(crate) fn change(&self, topic: Topic, change: impl FnOnce(&mut TopicStatus)) {
        change(self.lock().entry(topic).or_default());
    }

    /// A poisoned status is still a status: its numbers are set one by one.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Topic, TopicStatus>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
