//! Who owns a partition of a log that has owners, seen from one of them.
//!
//! In: the log's records in order, and the news that its end was reached. Out: when to append a takeover, when to begin to
//! decide and when to stop. Guarantees: nothing is decided before all that was recorded is folded and our own takeover
//! stands in the log; a tenancy ends with the first takeover by anybody else, and does not begin again. Does not: read or
//! append; fold (the fence in the state does the same work for its own sake).

use model::{Fence, LedgerBody, LedgerRecord, StationEvent, StationRecord};

/// One tenancy of one partition. Its name must never have been used before, not even by the same process: the takeover of
/// an earlier tenancy may stand in the part of the log that is still to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    name: String,
    state: State,
    fence: Fence,
    /// The highest request offset of which the log tells the outcome.
    recorded: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Reading what others recorded.
    Reading,
    /// The takeover is on its way.
    Announced,
    Owning {
        epoch: i64,
    },
    Over,
}

/// What a tenancy has to know of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    Takeover {
        owner: &'a str,
    },
    /// An outcome of this request, written under this epoch.
    Outcome {
        epoch: i64,
        request: i64,
    },
    Other,
}

impl<'a> From<&'a LedgerRecord> for Seen<'a> {
    fn from(record: &'a LedgerRecord) -> Self {
        match &record.body {
            LedgerBody::Takeover { owner, .. } => Self::Takeover { owner },
            LedgerBody::Outcome(outcome) => Self::Outcome { epoch: record.epoch, request: outcome.request },
        }
    }
}

impl<'a> From<&'a StationRecord> for Seen<'a> {
    fn from(record: &'a StationRecord) -> Self {
        match &record.event {
            StationEvent::Takeover { owner, .. } => Self::Takeover { owner },
            _ => Self::Other,
        }
    }
}

/// What to do after a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fold it.
    Fold,
    /// Fold it: it is our takeover. Decide from now on under this epoch.
    Start { epoch: i64 },
    /// It is ours and was folded when it was decided.
    Own,
    /// Somebody else has the partition: decide no more, and forget it.
    Lost { owner: String },
    /// The tenancy is over.
    Ignore,
}

impl Tenancy {
    /// Begins where a state left off: its fence and the last request that it covers; defaults for an empty state, which
    /// reads the log from its beginning.
    #[must_use]
    pub fn new(name: String, fence: Fence, covered: Option<i64>) -> Self {
        Self { name, state: State::Reading, fence, recorded: covered }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The log was read to the end that it had when reading began, or later. True when a takeover is to be appended now.
    pub fn reached_end(&mut self) -> bool {
        let announces = self.state == State::Reading;
        if announces {
            self.state = State::Announced;
        }
        announces
    }

    /// Takes note of the record at `offset`.
    pub fn record(&mut self, offset: i64, seen: Seen<'_>) -> Step {
        match seen {
            Seen::Takeover { .. } => self.fence.takeover(offset),
            Seen::Outcome { epoch, request } if self.fence.admits(epoch) => {
                self.recorded = self.recorded.max(Some(request));
            }
            Seen::Outcome { .. } | Seen::Other => {}
        }
        match (&self.state, seen) {
            (State::Over, _) => Step::Ignore,
            (State::Reading, _) => Step::Fold,
            (State::Announced, Seen::Takeover { owner }) if owner == self.name => {
                self.state = State::Owning { epoch: offset };
                Step::Start { epoch: offset }
            }
            // Somebody who came before us, or between our announcement and our takeover: the later takeover counts.
            (State::Announced, _) => Step::Fold,
            (State::Owning { .. }, Seen::Takeover { owner }) => {
                self.state = State::Over;
                Step::Lost { owner: owner.to_owned() }
            }
            // What an old owner wrote late is void; everything else is what we decided.
            (State::Owning { .. }, Seen::Outcome { .. } | Seen::Other) => Step::Own,
        }
    }

    /// The epoch while the partition is ours.
    #[must_use]
    pub fn epoch(&self) -> Option<i64> {
        match self.state {
            State::Owning { epoch } => Some(epoch),
            State::Reading | State::Announced | State::Over => None,
        }
    }

    /// The last request of which the log tells the outcome; those after it are to be decided.
    #[must_use]
    pub fn last_request(&self) -> Option<i64> {
        self.recorded
    }

    /// Whether all that was decided up to this request stands in the log as truth. Until then a snapshot of the state may
    /// hold decisions that never will: an owner that was replaced decides on until it notices.
    #[must_use]
    pub fn has_recorded(&self, request: i64) -> bool {
        self.epoch().is_some() && self.recorded.is_some_and(|recorded| recorded >= request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Seen<'_> = Seen::Takeover { owner: "b" };
    const OURS: Seen<'_> = Seen::Takeover { owner: "a" };

    fn owning() -> Tenancy {
        let mut tenancy = Tenancy::new("a".to_owned(), Fence::default(), None);
        assert_eq!(tenancy.record(0, Seen::Outcome { epoch: 0, request: 0 }), Step::Fold);
        assert!(tenancy.reached_end());
        assert!(!tenancy.reached_end(), "one takeover is enough");
        assert_eq!(tenancy.record(5, OURS), Step::Start { epoch: 5 });
        tenancy
    }

    #[test]
    fn what_others_recorded_is_folded_before_anything_is_decided() {
        let mut tenancy = Tenancy::new("a".to_owned(), Fence::default(), None);
        assert_eq!(tenancy.record(0, OTHER), Step::Fold);
        assert_eq!(tenancy.epoch(), None);
        assert!(tenancy.reached_end());
        assert_eq!(tenancy.record(1, Seen::Outcome { epoch: 0, request: 7 }), Step::Fold);
        assert_eq!(tenancy.record(2, OTHER), Step::Fold, "another one was faster, ours comes behind it");
        assert_eq!(tenancy.record(3, OURS), Step::Start { epoch: 3 });
        assert_eq!(tenancy.epoch(), Some(3));
    }

    #[test]
    fn a_newer_owner_ends_it_for_ever() {
        let mut tenancy = owning();
        assert_eq!(tenancy.record(6, Seen::Outcome { epoch: 5, request: 1 }), Step::Own);
        assert_eq!(tenancy.record(7, OTHER), Step::Lost { owner: "b".to_owned() });
        assert_eq!(tenancy.epoch(), None);
        assert_eq!(tenancy.record(8, OURS), Step::Ignore);
        assert!(!tenancy.reached_end());
    }

    #[test]
    fn only_what_stands_in_the_log_as_truth_is_recorded() {
        let mut tenancy = owning();
        assert!(!tenancy.has_recorded(0), "nobody had taken the partition over when that was written");
        tenancy.record(6, Seen::Outcome { epoch: 0, request: 1 });
        assert!(!tenancy.has_recorded(1), "an old owner wrote that");
        tenancy.record(7, Seen::Outcome { epoch: 5, request: 1 });
        assert!(tenancy.has_recorded(0) && tenancy.has_recorded(1) && !tenancy.has_recorded(2));
        tenancy.record(8, OTHER);
        assert!(!tenancy.has_recorded(1), "what is not ours any more is not vouched for");
    }
}
