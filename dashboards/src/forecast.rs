//! When a contract's money runs out, and by when a bank order must be given so that it does not.
//!
//! In: what the contract spent in the last weeks ([`Spending`]), the money that is left, its local time, its holidays.
//! Out: an [`Outlook`] up to four weeks ahead. Guarantees: pure, bounded (168 hours of a week and eight weekly sums for a
//! contract), integers only. Does not: promise; it takes the coming weeks to be like the past ones.
//!
//! Local times are civil: the hour that a daylight-saving change adds or takes is neither counted nor missed.

use std::collections::VecDeque;

use jiff::civil::{Date, DateTime, Time, Weekday, date, time};
use serde::{Deserialize, Serialize};

/// Weeks that a forecast rests on.
#[cfg(test)]
const WEEKS_MAX: usize = 8;
const WEEKS_KEPT: i64 = 8;
const HOURS_OF_WEEK: usize = 168;
const WEEK_HOURS: i64 = 168;
/// Less history than this says nothing.
const HOURS_KNOWN_MIN: i64 = 24;
/// How far a forecast looks ahead, in hours.
const AHEAD_HOURS: i64 = 28 * 24;
/// Banks take orders until this local hour.
const LAST_PAYMENT: Time = time(16, 0, 0, 0);
/// No calendar has so many days without a banking day.
const DAYS_BACK_MAX: usize = 60;
const HOUR_SECS: i64 = 3_600;

/// What a contract spent, by hour of the week.
///
/// `total` is the sum of `weeks`, and `hours` is about that: when a week grows too old, its sum leaves `weeks` exactly and
/// the hours by their shares.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spending {
    #[serde(with = "hours_of_week")]
    hours: [u64; HOURS_OF_WEEK],
    /// Number and sum of the kept weeks, oldest first.
    weeks: VecDeque<(i64, u64)>,
    /// The first hour that counts, in hours since 1970.
    since: Option<i64>,
}

mod hours_of_week {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::HOURS_OF_WEEK;

    pub(super) fn serialize<S: Serializer>(hours: &[u64; HOURS_OF_WEEK], serializer: S) -> Result<S::Ok, S::Error> {
        hours.as_slice().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u64; HOURS_OF_WEEK], D::Error> {
        let hours = Vec::<u64>::deserialize(deserializer)?;
        hours.try_into().map_err(|_| de::Error::custom("a week has 168 hours"))
    }
}

impl Default for Spending {
    fn default() -> Self {
        Self { hours: [0; HOURS_OF_WEEK], weeks: VecDeque::new(), since: None }
    }
}

impl Spending {
    /// Something was bought at a local time, or came back where `minor` is negative.
    pub(crate) fn add(&mut self, at: DateTime, minor: i64) {
        let hour = hour_of(at);
        let week = week_of(hour);
        let newest = self.weeks.back().map_or(week, |(newest, _)| *newest).max(week);
        if week + WEEKS_KEPT <= newest {
            return; // Older than all that is kept.
        }
        while self.weeks.front().is_some_and(|(oldest, _)| oldest + WEEKS_KEPT <= newest) {
            self.forget_oldest();
        }
        self.since = Some(self.since.map_or(hour, |since| since.min(hour)));
        let place = self.weeks.partition_point(|(kept, _)| *kept < week);
        if self.weeks.get(place).is_none_or(|(kept, _)| *kept != week) {
            self.weeks.insert(place, (week, 0));
        }
        let slot = &mut self.hours[slot_of(hour)];
        let sum = &mut self.weeks[place].1;
        if minor < 0 {
            // What came back is taken off the hour in which it came back, as far as something was bought in it.
            let back = minor.unsigned_abs().min(*slot).min(*sum);
            *slot -= back;
            *sum -= back;
        } else {
            *slot = slot.saturating_add(minor.unsigned_abs());
            *sum = sum.saturating_add(minor.unsigned_abs());
        }
    }

    fn total(&self) -> u64 {
        self.weeks.iter().fold(0, |sum, (_, week)| sum.saturating_add(*week))
    }

    fn forget_oldest(&mut self) {
        let total = self.total();
        let Some((week, gone)) = self.weeks.pop_front() else { return };
        for hour in &mut self.hours {
            let kept = u128::from(*hour) * u128::from(total - gone) / u128::from(total.max(1));
            *hour = u64::try_from(kept).unwrap_or(u64::MAX);
        }
        let next = (week + 1) * WEEK_HOURS + FIRST_MONDAY_HOUR;
        self.since = self.since.map(|since| since.max(next));
    }

    /// What is spent in an hour of the week, as a fraction; `None` while too little is known.
    fn rate(&self, now: i64) -> Option<impl Fn(i64) -> (u128, u128) + '_> {
        let known = now - self.since?;
        let total = self.total();
        if known < HOURS_KNOWN_MIN || total == 0 {
            return None;
        }
        let (known, week) = (u128::try_from(known).ok()?, HOURS_OF_WEEK as u128);
        Some(move |hour: i64| {
            if known < week {
                // Not every hour of the week was seen: all are taken to be alike.
                (u128::from(total), known)
            } else {
                (u128::from(self.hours[slot_of(hour)]) * week, known)
            }
        })
    }

    /// What an average day costs; `None` while too little is known.
    pub(crate) fn per_day(&self, now: DateTime) -> Option<u64> {
        let known = hour_of(now) - self.since?;
        (known >= HOURS_KNOWN_MIN).then(|| {
            u64::try_from(u128::from(self.total()) * 24 / u128::try_from(known).unwrap_or(1)).unwrap_or(u64::MAX)
        })
    }
}

/// The first Monday after 1 January 1970 was the 5th.
const FIRST_MONDAY_HOUR: i64 = 4 * 24;

fn hour_of(at: DateTime) -> i64 {
    seconds_of(at).div_euclid(HOUR_SECS)
}

fn seconds_of(at: DateTime) -> i64 {
    at.duration_since(date(1970, 1, 1).at(0, 0, 0, 0)).as_secs()
}

fn at_seconds(seconds: i64) -> Option<DateTime> {
    date(1970, 1, 1).at(0, 0, 0, 0).checked_add(jiff::Span::new().try_seconds(seconds).ok()?).ok()
}

fn week_of(hour: i64) -> i64 {
    (hour - FIRST_MONDAY_HOUR).div_euclid(WEEK_HOURS)
}

fn slot_of(hour: i64) -> usize {
    usize::try_from((hour - FIRST_MONDAY_HOUR).rem_euclid(WEEK_HOURS)).unwrap_or(0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Less than a day of purchases is known.
    NoHistory,
    /// Nothing is left already.
    Empty,
    /// For four weeks at least.
    Lasts,
    /// Local times. Without `pay_by` it is too late for a bank order: only a payment that counts at once helps.
    RunsOut { blocks_at: DateTime, pay_by: Option<DateTime> },
}

/// What becomes of `available` money from `now` on; both times are the contract's own.
pub(crate) fn outlook(spending: &Spending, available: i64, now: DateTime, holidays: &[Date]) -> Outlook {
    if available <= 0 {
        return Outlook::Empty;
    }
    let start = seconds_of(now);
    let first = start.div_euclid(HOUR_SECS);
    let Some(rate) = spending.rate(first) else { return Outlook::NoHistory };
    // In the rate's own fractions of a coin, so that small hours add up; the first hour is partly over.
    let mut left = available.unsigned_abs();
    let mut rest = 0_u128;
    for hour in first..first + AHEAD_HOURS {
        let from = start.max(hour * HOUR_SECS);
        let seconds = u128::try_from((hour + 1) * HOUR_SECS - from).unwrap_or(0);
        let (spent, of) = rate(hour);
        let whole = of * u128::try_from(HOUR_SECS).unwrap_or(1);
        let spends = spent * seconds + rest;
        if spends >= u128::from(left) * whole {
            let after = (u128::from(left) * whole).saturating_sub(rest) / spent.max(1);
            let blocks = from + i64::try_from(after).unwrap_or(0);
            return at_seconds(blocks).map_or(Outlook::Lasts, |blocks_at| Outlook::RunsOut {
                blocks_at,
                pay_by: last_payment(blocks_at, holidays).filter(|pay_by| *pay_by > now),
            });
        }
        left -= u64::try_from(spends / whole).unwrap_or(u64::MAX).min(left);
        rest = spends % whole;
    }
    Outlook::Lasts
}

/// The last moment before `at` at which a bank takes an order.
fn last_payment(at: DateTime, holidays: &[Date]) -> Option<DateTime> {
    let mut day = at.date();
    for _ in 0..DAYS_BACK_MAX {
        let last = day.to_datetime(LAST_PAYMENT);
        if last < at && !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) && !holidays.contains(&day) {
            return Some(last);
        }
        day = day.yesterday().ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime {
        text.parse().expect("a local time")
    }

    /// So many minor units an hour, every hour of some weeks before Friday, 16 January 2026, 10:00.
    fn steady(weeks: i64, minor: i64) -> Spending {
        steady_until(FRIDAY, weeks, minor)
    }

    fn steady_until(now: &str, weeks: i64, minor: i64) -> Spending {
        let mut spending = Spending::default();
        let now = hour_of(at(now));
        for hour in now - weeks * 168..now {
            spending.add(at_seconds(hour * HOUR_SECS).expect("in range"), minor);
        }
        spending
    }

    fn check(spending: &Spending, available: i64, now: &str, holidays: &[&str], expected: &str) {
        let holidays: Vec<Date> = holidays.iter().map(|day| day.parse().expect("a day")).collect();
        let shown = match outlook(spending, available, at(now), &holidays) {
            Outlook::RunsOut { blocks_at, pay_by } => {
                format!(
                    "blocks {blocks_at}, {}",
                    pay_by.map_or("too late for the bank".to_owned(), |by| format!("pay by {by}"))
                )
            }
            other => format!("{other:?}"),
        };
        assert_eq!(shown, expected);
    }

    const FRIDAY: &str = "2026-01-16T10:00:00";

    #[test]
    fn money_that_ends_on_a_saturday_night_must_be_ordered_on_friday() {
        check(&steady(4, 100), 1_700, FRIDAY, &[], "blocks 2026-01-17T03:00:00, pay by 2026-01-16T16:00:00");
        check(&steady(4, 100), 6_650, FRIDAY, &[], "blocks 2026-01-19T04:30:00, pay by 2026-01-16T16:00:00");
        check(&steady(4, 100), 8_000, FRIDAY, &[], "blocks 2026-01-19T18:00:00, pay by 2026-01-19T16:00:00");
    }

    #[test]
    fn a_holiday_is_no_banking_day() {
        check(
            &steady(4, 100),
            8_000,
            FRIDAY,
            &["2026-01-19"],
            "blocks 2026-01-19T18:00:00, pay by 2026-01-16T16:00:00",
        );
        check(
            &steady(4, 100),
            8_000,
            FRIDAY,
            &["2026-01-16", "2026-01-19"],
            "blocks 2026-01-19T18:00:00, too late for the bank",
        );
    }

    #[test]
    fn after_the_last_payment_hour_only_money_that_counts_at_once_helps() {
        let late = |available, now: &str, expected| check(&steady_until(now, 4, 100), available, now, &[], expected);
        late(500, "2026-01-16T17:00:00", "blocks 2026-01-16T22:00:00, too late for the bank");
        late(500, "2026-01-16T15:59:00", "blocks 2026-01-16T20:59:00, pay by 2026-01-16T16:00:00");
        late(30, "2026-01-16T12:00:00", "blocks 2026-01-16T12:18:00, too late for the bank");
    }

    #[test]
    fn money_lasts_is_gone_or_nobody_knows() {
        check(&steady(4, 100), 100 * 28 * 24 + 1, FRIDAY, &[], "Lasts");
        check(&steady(4, 100), 100 * 28 * 24 - 1, "2026-01-16T10:30:00", &[], "Lasts");
        check(&steady(4, 100), 0, FRIDAY, &[], "Empty");
        check(&steady(4, 100), -5, FRIDAY, &[], "Empty");
        check(&Spending::default(), 5, FRIDAY, &[], "NoHistory");
        let mut today = Spending::default();
        today.add(at("2026-01-16T09:00:00"), 700);
        check(&today, 5, FRIDAY, &[], "NoHistory");
        let mut back = Spending::default();
        back.add(at("2026-01-12T09:00:00"), 700);
        back.add(at("2026-01-12T09:30:00"), -900);
        check(&back, 5, FRIDAY, &[], "NoHistory");
    }

    #[test]
    fn nights_and_weekends_are_as_quiet_as_they_were() {
        let mut spending = Spending::default();
        // Four weeks of Monday to Friday, at 8 and at 17.
        for day in 0..28 {
            let day = date(2025, 12, 15).checked_add(jiff::Span::new().days(day)).expect("a day");
            if !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
                spending.add(day.at(8, 20, 0, 0), 1_000);
                spending.add(day.at(17, 5, 0, 0), 3_000);
            }
        }
        // Monday 12 January, 00:00: four full weeks are known but for the first eight hours.
        let now = "2026-01-12T00:00:00";
        let blocks = |available| match outlook(&spending, available, at(now), &[]) {
            Outlook::RunsOut { blocks_at, .. } => blocks_at.date().to_string() + " " + &blocks_at.hour().to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(blocks(500), "2026-01-12 8");
        assert_eq!(blocks(3_000), "2026-01-12 17");
        assert_eq!(blocks(20_100), "2026-01-16 17");
        assert_eq!(blocks(20_500), "2026-01-19 8", "nothing is spent over the weekend");
        assert_eq!(spending.per_day(at(now)), Some(80_000 * 24 / (28 * 24 - 8)));
    }

    #[test]
    fn less_than_a_week_of_history_takes_all_hours_alike() {
        let mut spending = Spending::default();
        spending.add(at("2026-01-14T10:00:00"), 2_400);
        spending.add(at("2026-01-15T09:00:00"), 2_400);
        // 48 hours, 100 an hour.
        check(&spending, 1_000, FRIDAY, &[], "blocks 2026-01-16T20:00:00, pay by 2026-01-16T16:00:00");
    }

    #[test]
    fn what_is_older_than_eight_weeks_is_forgotten_and_memory_stays_small() {
        let mut spending = steady(40, 500);
        assert_eq!(spending.weeks.len(), WEEKS_MAX);
        let now = hour_of(at(FRIDAY));
        for hour in now..now + 9 * 168 {
            spending.add(at_seconds(hour * HOUR_SECS).expect("in range"), 10);
        }
        assert_eq!(spending.weeks.len(), WEEKS_MAX);
        let later = at_seconds((now + 9 * 168) * HOUR_SECS).expect("in range");
        let per_day = spending.per_day(later).expect("known");
        assert!((239..=241).contains(&per_day), "{per_day}");
        let before = spending.total();
        spending.add(at("2025-01-01T00:00:00"), 1_000_000);
        assert_eq!(spending.total(), before, "too late to count");
    }

    #[test]
    fn no_amount_is_a_panic() {
        let mut spending = Spending::default();
        for minor in [i64::MAX, i64::MAX, i64::MIN, 0, -1, i64::MAX] {
            spending.add(at("2026-01-01T00:00:00"), minor);
            spending.add(at("2026-03-01T00:00:00"), minor);
            let _ = outlook(&spending, i64::MAX, at("2026-03-05T00:00:00"), &[]);
        }
    }
}
