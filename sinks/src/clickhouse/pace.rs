//! How fast a backlog is worked off.
//!
//! In: when the records of a batch were written and how long the batch took. Out: how long to rest after it. Guarantees: whoever
//! keeps up never rests; a backlog is worked off at twice the speed at which it came, or with a twentieth of the time for work,
//! whichever is faster, and without any rest where the work takes that long. So a recorder that was away leaves processors and
//! broker to those who decide: they feel work of any priority, however low.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use model::PartitionId;

/// Batches that are later belong to a backlog.
const BACKLOG: Duration = Duration::from_secs(5);
/// So many times as fast as the records came.
const SPEED: u32 = 2;
/// One part in so many of the time is work, at least.
const WORK: u32 = 20;

/// How far behind the reader of some partitions is.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the oldest and the newest record of the batch in hand were written, for each partition that is in it.
    read: BTreeMap<PartitionId, (SystemTime, SystemTime)>,
    is_behind: bool,
}

impl Pace {
    /// A record of the batch in hand.
    pub(super) fn read(&mut self, partition: PartitionId, written: SystemTime) {
        let (oldest, newest) = self.read.entry(partition).or_insert((written, written));
        (*oldest, *newest) = (written.min(*oldest), written.max(*newest));
    }

    /// The last batch belonged to a backlog.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// How long to rest after the batch in hand, which took so long to read and insert, where there are so many `partitions`.
    ///
    /// What the batch works off is the mean over the partitions: a minute of one of four brings all of them on by a quarter
    /// of one. Of several minutes that lie apart, only what was read counts.
    pub(super) fn rest(&mut self, partitions: usize, took: Duration, now: SystemTime) -> Duration {
        let read = std::mem::take(&mut self.read);
        let since = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
        let late = read.values().map(|(_, newest)| since(*newest, now)).max().unwrap_or_default();
        self.is_behind = late >= BACKLOG;
        if !self.is_behind {
            return Duration::ZERO;
        }
        let covers: Duration = read.values().map(|(oldest, newest)| since(*oldest, *newest)).sum();
        let covers = covers / u32::try_from(partitions.max(1)).unwrap_or(u32::MAX);
        (covers / SPEED).min(took.saturating_mul(WORK)).saturating_sub(took)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// Works off an hour of `partitions`. A batch takes ten seconds of each of the next `at_once` of them, and `work` seconds.
    /// How long it takes, and how much of it is work.
    fn work_off(partitions: i32, at_once: i32, work: f64) -> (f64, f64) {
        let (mut pace, mut all, mut worked) = (Pace::default(), 0.0, 0.0);
        let mut next = vec![0.0; usize::try_from(partitions).expect("some")];
        let at = |seconds: f64| UNIX_EPOCH + Duration::from_secs_f64(seconds);
        let mut turn = 0;
        while next.iter().any(|next| 3_600.0 + all - next > 5.0) {
            assert!(all < 1e6, "the backlog does not shrink");
            for _ in 0..at_once {
                let partition = turn % partitions;
                let next = &mut next[usize::try_from(partition).expect("one of them")];
                pace.read(PartitionId(partition), at(*next));
                *next += 10.0;
                pace.read(PartitionId(partition), at(*next));
                turn += 1;
            }
            let took = Duration::from_secs_f64(work);
            all += work + pace.rest(next.len(), took, at(3_600.0 + all + work)).as_secs_f64();
            worked += work;
        }
        (all, worked / all)
    }

    #[test]
    fn a_backlog_shrinks_whatever_the_work() {
        for (work, least_s, share) in
            [(0.01, 72.0, 0.05), (0.25, 3600.0, 0.05), (2.0, 3600.0, 0.4), (9.0, 3600.0 * 9.0, 1.0)]
        {
            let (all, worked) = work_off(1, 1, work);
            assert!((least_s * 0.98..least_s * 1.02).contains(&all), "{work}: {all} s");
            assert!((share - 0.01..share + 0.01).contains(&worked), "{work}: {worked}");
        }
    }

    #[test]
    fn a_backlog_of_many_partitions_shrinks_as_fast_in_whatever_order_they_are_read() {
        for (partitions, at_once) in [(4, 4), (4, 1), (4, 3), (16, 5)] {
            let work = 2.0 * f64::from(at_once) / f64::from(partitions);
            let (all, worked) = work_off(partitions, at_once, work);
            assert!((3500.0..3700.0).contains(&all), "{at_once} of {partitions}: {all} s");
            assert!((0.39..0.41).contains(&worked), "{at_once} of {partitions}: {worked}");
        }
    }

    #[test]
    fn partitions_that_lie_apart_are_worked_off_no_slower() {
        let (mut pace, now) = (Pace::default(), UNIX_EPOCH + Duration::from_secs(3_600));
        for (partition, from) in [(0, 0), (1, 3_000)] {
            for second in from..=from + 10 {
                pace.read(PartitionId(partition), UNIX_EPOCH + Duration::from_secs(second));
            }
        }
        assert_eq!(
            pace.rest(4, Duration::from_secs(2), now),
            Duration::from_millis(500),
            "20 s of 4 partitions: 2.5 s in all"
        );
        assert!(pace.is_behind());
    }

    #[test]
    fn whoever_keeps_up_never_rests() {
        let (mut pace, now) = (Pace::default(), UNIX_EPOCH + Duration::from_secs(3_600));
        assert_eq!(pace.rest(4, Duration::from_millis(100), now), Duration::ZERO, "nothing was read");
        pace.read(PartitionId(0), now - Duration::from_millis(900));
        pace.read(PartitionId(0), now - Duration::from_millis(400));
        assert_eq!(pace.rest(4, Duration::from_millis(100), now), Duration::ZERO);
        assert!(!pace.is_behind());
    }
}
