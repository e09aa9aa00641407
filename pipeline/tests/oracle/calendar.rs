//! Windows and schedules, asked of jiff each time: no index is kept, no day is remembered.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use model::{CalendarUnit, HolidayRule, Schedule, WeekStart, Window};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// How a contract reads the clock.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    pub(crate) zone: TimeZone,
    pub(crate) week_start: WeekStart,
    pub(crate) holidays: Vec<Date>,
}

impl Calendar {
    pub(crate) fn local(&self, at_us: i64) -> DateTime {
        self.zone.to_datetime(Timestamp::from_microsecond(at_us).unwrap())
    }

    /// Whether a purchase at `then` counts in the window in which one at `now` does. `since` is when the limit was first set.
    pub(crate) fn same_window(&self, window: Window, now: i64, then: i64, since: i64) -> bool {
        match window {
            Window::PerTransaction => false,
            Window::Calendar { unit, count } => self.number(unit, count, now) == self.number(unit, count, then),
            Window::Rolling { secs } => then > now - i64::from(secs) * MICROS_PER_SECOND,
            Window::Lifetime => true,
            Window::OneOff => then >= since,
        }
    }

    /// Which window of so many days, weeks, … since 1970 it is.
    pub(crate) fn number(&self, unit: CalendarUnit, count: u16, at_us: i64) -> i64 {
        let date = self.local(at_us).date();
        let months = (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1;
        let unit = match unit {
            CalendarUnit::Day => days_between(Date::constant(1970, 1, 1), date),
            CalendarUnit::Week => days_between(self.first_week(), date).div_euclid(7),
            CalendarUnit::Month => months,
            CalendarUnit::Quarter => months.div_euclid(3),
            CalendarUnit::Year => i64::from(date.year()) - 1970,
        };
        unit.div_euclid(i64::from(count))
    }

    /// The first day of the week that holds 1 January 1970, a Thursday.
    fn first_week(&self) -> Date {
        let back = match self.week_start {
            WeekStart::Monday => 3,
            WeekStart::Saturday => 5,
            WeekStart::Sunday => 4,
        };
        Date::constant(1970, 1, 1).checked_sub(back.days()).unwrap()
    }

    pub(crate) fn in_schedule(&self, schedule: &Schedule, at_us: i64) -> bool {
        let local = self.local(at_us);
        let (date, time) = (local.date(), local.time());
        if schedule.from == schedule.to {
            self.day_counts(schedule, date)
        } else if schedule.from < schedule.to {
            self.day_counts(schedule, date) && schedule.from <= time && time < schedule.to
        } else {
            let evening = time >= schedule.from && self.day_counts(schedule, date);
            evening || (time < schedule.to && self.day_counts(schedule, date.yesterday().unwrap()))
        }
    }

    fn day_counts(&self, schedule: &Schedule, date: Date) -> bool {
        let in_mask = schedule.days[usize::try_from(date.weekday().to_monday_zero_offset()).unwrap()];
        let holiday = self.holidays.contains(&date);
        match schedule.holidays {
            HolidayRule::Ignore => in_mask,
            HolidayRule::Except => in_mask && !holiday,
            HolidayRule::Also => in_mask || holiday,
        }
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    i64::from(from.until(to).unwrap().get_days())
}

mod tests {
    use super::*;

    fn calendar(zone: &str, week_start: WeekStart) -> Calendar {
        Calendar { zone: TimeZone::get(zone).unwrap(), week_start, holidays: Vec::new() }
    }

    fn us(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn a_week_begins_where_the_contract_says() {
        let new_week = |week_start: WeekStart, at: &str| {
            let calendar = calendar("UTC", week_start);
            let before = us(at) - 1;
            calendar.number(CalendarUnit::Week, 1, before) != calendar.number(CalendarUnit::Week, 1, us(at))
        };
        // 2026-01-10 is a Saturday.
        for (week_start, begins) in
            [(WeekStart::Saturday, "2026-01-10"), (WeekStart::Sunday, "2026-01-11"), (WeekStart::Monday, "2026-01-12")]
        {
            for day in ["2026-01-09", "2026-01-10", "2026-01-11", "2026-01-12", "2026-01-13"] {
                assert_eq!(new_week(week_start, &format!("{day}T00:00:00Z")), day == begins, "{week_start:?} {day}");
            }
        }
    }

    #[test]
    fn the_day_on_which_clocks_go_back_has_25_hours() {
        let berlin = calendar("Europe/Berlin", WeekStart::Monday);
        let day = |at: &str| berlin.number(CalendarUnit::Day, 1, us(at));
        assert_eq!(day("2026-10-24T22:00:00Z"), day("2026-10-25T22:59:59Z"));
        assert_ne!(day("2026-10-25T22:59:59Z"), day("2026-10-25T23:00:00Z"));
    }

    #[test]
    fn hours_past_midnight_belong_to_the_day_on_which_they_begin() {
        let fridays = Schedule {
            days: [false, false, false, false, true, false, false],
            from: jiff::civil::time(22, 0, 0, 0),
            to: jiff::civil::time(6, 0, 0, 0),
            holidays: HolidayRule::Ignore,
        };
        let utc = calendar("UTC", WeekStart::Monday);
        assert!(utc.in_schedule(&fridays, us("2026-01-10T05:59:59Z")));
        assert!(!utc.in_schedule(&fridays, us("2026-01-09T05:59:59Z")));
        assert!(!utc.in_schedule(&fridays, us("2026-01-10T06:00:00Z")));
    }
}
