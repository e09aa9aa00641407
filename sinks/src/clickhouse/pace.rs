//! How fast a backlog is worked off.
//!
//! In: what a batch covers, how late it is and how long it took. Out: how long to rest after it. Guarantees: whoever keeps up
//! never rests; a backlog is worked off at twice the speed at which it came, or with a tenth of the time for work, whichever is
//! faster, and without any rest where the work takes that long. So a recorder that was away leaves processors and broker to those
//! who decide: they feel work of any priority, however low.

use std::time::Duration;

/// Batches that are later belong to a backlog.
const BACKLOG: Duration = Duration::from_secs(5);
/// So many times as fast as the records came.
const SPEED: u32 = 2;
/// One part in so many of the time is work, at least.
const WORK: u32 = 10;

/// After a batch whose records were written over a time of `covers`, the last of them `late` ago, and that took so long to read
/// and insert.
pub(super) fn rest(covers: Duration, late: Duration, took: Duration) -> Duration {
    if late < BACKLOG {
        return Duration::ZERO;
    }
    (covers / SPEED).min(took.saturating_mul(WORK)).saturating_sub(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works off an hour where ten seconds' records take `work` seconds: how long it takes, and how much of it is work.
    fn work_off(work: f64) -> (f64, f64) {
        let (mut late, mut all, mut worked) = (3600.0, 0.0, 0.0);
        while late > 5.0 {
            assert!(all < 1e6, "the backlog does not shrink");
            let [covers, behind, took] = [10.0, late, work].map(Duration::from_secs_f64);
            let turn = work + rest(covers, behind, took).as_secs_f64();
            (all, worked, late) = (all + turn, worked + work, late + turn - 10.0);
        }
        (all, worked / all)
    }

    #[test]
    fn a_backlog_shrinks_whatever_the_work() {
        for (work, least_s, share) in
            [(0.01, 36.0, 0.1), (0.5, 3600.0, 0.1), (2.0, 3600.0, 0.4), (9.0, 3600.0 * 9.0, 1.0)]
        {
            let (all, worked) = work_off(work);
            assert!((least_s * 0.98..least_s * 1.02).contains(&all), "{work}: {all} s");
            assert!((share - 0.01..share + 0.01).contains(&worked), "{work}: {worked}");
        }
    }

    #[test]
    fn whoever_keeps_up_never_rests() {
        assert_eq!(
            rest(Duration::from_millis(500), Duration::from_millis(400), Duration::from_millis(100)),
            Duration::ZERO
        );
    }
}
