//! How far one origin partition is done: the position that may be committed while records are delivered in any order.
//!
//! In: records as they are taken, in order; deliveries, in any order. Out: the position before which all is delivered.
//! Guarantees: the position never passes a record that is not delivered. Does not: bound itself; its owner stops taking.

use std::collections::VecDeque;

/// Names one taken record to its delivery report. Never used twice in the life of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

/// Records taken and not yet passed. `open[i]` belongs to ticket `first + i`.
#[derive(Debug)]
pub(super) struct Progress {
    position: i64,
    first: u64,
    open: VecDeque<Open>,
}

#[derive(Debug)]
struct Open {
    offset: i64,
    delivered: bool,
}

impl Progress {
    /// Begins at `position`; tickets count on from `first`.
    pub(super) fn begin(position: i64, first: Ticket) -> Self {
        Self { position, first: first.0, open: VecDeque::new() }
    }

    /// The next record, in order.
    pub(super) fn take(&mut self, offset: i64) -> Ticket {
        debug_assert!(self.open.back().is_none_or(|last| last.offset < offset), "records come in order");
        let ticket = self.next_ticket();
        self.open.push_back(Open { offset, delivered: false });
        ticket
    }

    /// A record is durable. Reports for records of an earlier tenancy of the partition are ignored.
    pub(super) fn delivered(&mut self, ticket: Ticket) {
        let place = ticket.0.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(open) = place.and_then(|place| self.open.get_mut(place)) {
            open.delivered = true;
        }
        while let Some(done) = self.open.pop_front_if(|open| open.delivered) {
            self.position = done.offset + 1;
            self.first += 1;
        }
    }

    /// All records below are delivered.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Records taken and not passed.
    pub(super) fn held(&self) -> usize {
        self.open.len()
    }

    pub(super) fn next_ticket(&self) -> Ticket {
        Ticket(self.first + self.open.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_position_waits_for_the_slowest_delivery() {
        let mut progress = Progress::begin(10, Ticket(0));
        let [a, b, c] = [10, 11, 15].map(|offset| progress.take(offset));
        progress.delivered(c);
        progress.delivered(b);
        assert_eq!((progress.position(), progress.held()), (10, 3));
        progress.delivered(a);
        assert_eq!((progress.position(), progress.held()), (16, 0));
    }

    #[test]
    fn a_report_from_before_the_partition_was_lost_moves_nothing() {
        let mut before = Progress::begin(0, Ticket(0));
        let old = before.take(0);
        let mut now = Progress::begin(0, before.next_ticket());
        let new = now.take(0);
        now.delivered(old);
        assert_eq!(now.position(), 0);
        now.delivered(new);
        assert_eq!(now.position(), 1);
    }

    proptest! {
        #[test]
        fn the_position_is_the_first_undelivered_record(order in Just((0..50_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut progress = Progress::begin(100, Ticket(7));
            for offset in 100..150 {
                progress.take(offset);
            }
            let mut delivered = [false; 50];
            for place in order {
                progress.delivered(Ticket(7 + place));
                delivered[usize::try_from(place).unwrap()] = true;
                let first_open = delivered.iter().position(|done| !done).unwrap_or(50);
                prop_assert_eq!(progress.position(), 100 + i64::try_from(first_open).unwrap());
            }
        }
    }
}
