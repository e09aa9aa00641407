//! An open-loop timetable: message `n` is due at `start + n / rate`, whatever happened to the messages before.
//!
//! Latencies are measured from that moment, so a server that stalls is charged for all who had to wait.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    /// The same moment on the wall clock.
    start_us: i64,
    rate: u64,
    /// Messages before this one warm the path up and are not measured.
    pub(crate) first_measured: u64,
    pub(crate) end: u64,
}

impl Schedule {
    /// Begins a moment from now, so that the first message is not late.
    pub(crate) fn new(rate: u64, warmup: Duration, measured: Duration) -> Self {
        let lead = Duration::from_millis(50);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + lead;
        let first_measured = rate * whole_millis(warmup) / 1000;
        Self {
            start: Instant::now() + lead,
            start_us: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX),
            rate: rate.max(1),
            first_measured,
            end: first_measured + rate * whole_millis(measured) / 1000,
        }
    }

    fn offset(&self, n: u64) -> Duration {
        let ns = u128::from(n) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// When message `n` should be sent.
    pub(crate) fn due(&self, n: u64) -> Instant {
        self.start + self.offset(n)
    }

    /// The same on the wall clock, in microseconds.
    pub(crate) fn due_us(&self, n: u64) -> i64 {
        self.start_us + i64::try_from(self.offset(n).as_micros()).unwrap_or(i64::MAX)
    }

    /// The message whose wall-clock moment is `due_us`; exact up to a million a second.
    pub(crate) fn number_at(&self, due_us: i64) -> Option<u64> {
        let passed = u128::try_from(due_us.checked_sub(self.start_us)?).ok()?;
        let guess = u64::try_from((passed * u128::from(self.rate)).div_ceil(1_000_000)).ok()?;
        (guess < self.end && self.due_us(guess) == due_us).then_some(guess)
    }

    /// From the moment when message `n` was due.
    pub(crate) fn since_due(&self, n: u64, at: Instant) -> Duration {
        at.saturating_duration_since(self.due(n))
    }

    pub(crate) fn measured(&self, n: u64) -> bool {
        (self.first_measured..self.end).contains(&n)
    }

    pub(crate) fn measured_count(&self) -> u64 {
        self.end - self.first_measured
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Waits for a moment without spinning; a late caller does not wait, so that it catches up.
pub(crate) fn sleep_until(moment: Instant) {
    let left = moment.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_known_again_by_its_moment() {
        for rate in [1, 7, 200, 333, 5_000, 99_999] {
            let schedule = Schedule::new(rate, Duration::from_secs(1), Duration::from_secs(2));
            for n in (0..schedule.end).step_by(13) {
                assert_eq!(schedule.number_at(schedule.due_us(n)), Some(n), "{rate}/s");
            }
        }
    }

    #[test]
    fn moments_of_others_are_not_taken_for_ours() {
        let schedule = Schedule::new(200, Duration::ZERO, Duration::from_secs(1));
        assert_eq!(schedule.number_at(schedule.due_us(3) + 1), None);
        assert_eq!(schedule.number_at(schedule.due_us(0) - 5_000), None);
        assert_eq!(schedule.number_at(schedule.due_us(schedule.end)), None);
    }

    #[test]
    fn lateness_counts_from_the_intended_moment() {
        let schedule = Schedule::new(10, Duration::ZERO, Duration::from_secs(1));
        let at = schedule.due(2) + Duration::from_millis(250);
        assert_eq!(schedule.since_due(2, at), Duration::from_millis(250));
        assert_eq!(schedule.since_due(9, at), Duration::ZERO);
    }
}
