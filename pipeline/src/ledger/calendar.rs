//! Local time of a contract, and the windows that limits count in.
//!
//! In: moments in UTC, an IANA time zone. Out: the local day and second, and the number of the window that holds it.
//! Guarantees: the same moment always falls into the same window, whatever was asked before; weeks begin on the contract's
//! first day. Does not: know limits. Days are counted from 1970-01-01, which was a Thursday.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::{CalendarUnit, Holiday, HolidayRule, Schedule, TimestampUs, WeekStart, Window};

const SECOND_US: i64 = model::MICROS_PER_SECOND;
const DAY_SECS: i64 = 86_400;

/// A time zone, and the stretch of constant offset that was asked for last.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub(super) zone: TimeZone,
    from_us: i64,
    to_us: i64,
    offset_secs: i64,
}

/// The stretch is a memory, not state.
impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.zone == other.zone
    }
}

/// A moment as a clock on the contract's wall shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Local {
    /// Since 1970-01-01.
    pub(super) day: i32,
    pub(super) second: u32,
}

impl Zone {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, from_us: 0, to_us: 0, offset_secs: 0 }
    }

    /// A zone that was in the list when a contract was opened and is not now: days then begin at midnight UTC.
    pub(super) fn named(name: &str) -> Self {
        Self::new(TimeZone::get(name).unwrap_or(TimeZone::UTC))
    }

    pub(super) fn name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The local time at `at`, remembering the stretch around it.
    pub(super) fn local_now(&mut self, at: TimestampUs) -> Local {
        if !(self.from_us..self.to_us).contains(&at.get()) {
            let moment = timestamp(at);
            let edge = |transition: Option<jiff::tz::TimeZoneTransition<'_>>, open: i64| {
                transition.map_or(open, |transition| transition.timestamp().as_microsecond())
            };
            self.offset_secs = i64::from(self.zone.to_offset(moment).seconds());
            // A transition that falls on `at` itself begins the stretch: `preceding` would give the one before.
            let next = jiff::Timestamp::from_microsecond(at.get() + 1).unwrap_or(moment);
            self.from_us = edge(self.zone.preceding(next).next(), i64::MIN);
            self.to_us = edge(self.zone.following(moment).next(), i64::MAX);
        }
        local(at, self.offset_secs)
    }

    /// The local time at `at`.
    pub(super) fn local(&self, at: TimestampUs) -> Local {
        if (self.from_us..self.to_us).contains(&at.get()) {
            return local(at, self.offset_secs);
        }
        local(at, i64::from(self.zone.to_offset(timestamp(at)).seconds()))
    }

    /// The first moment of the month that follows the one that holds `at`.
    pub(super) fn next_month(&self, at: TimestampUs) -> TimestampUs {
        let (year, month, _) = civil(self.local(at).day);
        self.after(year, month).unwrap_or(at)
    }

    /// The first moment after a month that is written `2026-01`.
    pub(super) fn month_after(&self, month: &str) -> Option<TimestampUs> {
        let (year, month) = month.split_once('-')?;
        self.after(year.parse().ok()?, month.parse().ok()?)
    }

    fn after(&self, year: i32, month: i32) -> Option<TimestampUs> {
        let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()?;
        let start = first.to_zoned(self.zone.clone()).ok()?;
        Some(TimestampUs::from_micros(start.timestamp().as_microsecond()))
    }
}

fn timestamp(at: TimestampUs) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.get()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

#[expect(clippy::cast_possible_truncation, reason = "years up to 9000; a rest of a day")]
fn local(at: TimestampUs, offset_secs: i64) -> Local {
    let seconds = at.get().div_euclid(SECOND_US) + offset_secs;
    Local { day: seconds.div_euclid(DAY_SECS) as i32, second: seconds.rem_euclid(DAY_SECS) as u32 }
}

/// Year, month and day of a day number (H. Hinnant, chrono-compatible low-level date algorithms, `civil_from_days`).
pub(super) fn civil(day: i32) -> (i32, i32, i32) {
    let z = i64::from(day) + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    #[expect(clippy::cast_possible_truncation, reason = "the day number is an i32")]
    let narrow = |value: i64| value as i32;
    (narrow(year), narrow(month), narrow(day))
}

/// Monday is 0.
fn weekday(day: i32) -> usize {
    usize::try_from((i64::from(day) + 3).rem_euclid(7)).unwrap_or(0)
}

/// Days to add so that a week's number changes on its first day.
fn week_shift(start: WeekStart) -> i64 {
    match start {
        WeekStart::Monday => 3,
        WeekStart::Sunday => 4,
        WeekStart::Saturday => 5,
    }
}

/// The number of the calendar window that holds a day.
pub(super) fn period(unit: CalendarUnit, count: u16, week_start: WeekStart, day: i32) -> i64 {
    let single = match unit {
        CalendarUnit::Day => i64::from(day),
        CalendarUnit::Week => (i64::from(day) + week_shift(week_start)).div_euclid(7),
        CalendarUnit::Month => month(day),
        CalendarUnit::Quarter => month(day).div_euclid(3),
        CalendarUnit::Year => month(day).div_euclid(12),
    };
    if count <= 1 { single } else { single.div_euclid(i64::from(count)) }
}

/// Months since January 1970.
pub(super) fn month(day: i32) -> i64 {
    let (year, month, _) = civil(day);
    (i64::from(year) - 1970) * 12 + i64::from(month) - 1
}

/// Whether a month lies in the window with this number.
pub(super) fn holds_month(unit: CalendarUnit, count: u16, period: i64, month: i64) -> bool {
    let single = match unit {
        CalendarUnit::Day | CalendarUnit::Week => return false,
        CalendarUnit::Month => month,
        CalendarUnit::Quarter => month.div_euclid(3),
        CalendarUnit::Year => month.div_euclid(12),
    };
    single.div_euclid(i64::from(count.max(1))) == period
}

/// A window in words: `day 2026-01-14 Europe/Moscow`, `2 weeks from 2026-01-05 …`, `last 24 h`.
pub(super) fn words(window: Window, period: i64, week_start: WeekStart, zone: &Zone) -> String {
    match window {
        Window::PerTransaction => "each purchase".to_owned(),
        Window::Lifetime => "ever".to_owned(),
        Window::OneOff => "once".to_owned(),
        Window::Rolling { secs } if secs % 86_400 == 0 && secs > 86_400 => format!("last {} days", secs / 86_400),
        Window::Rolling { secs } if secs % 3_600 == 0 => format!("last {} h", secs / 3_600),
        Window::Rolling { secs } => format!("last {} min", secs / 60),
        Window::Calendar { unit, count } => {
            let count = i64::from(count.max(1));
            let first = period * count;
            let (month, day) = match unit {
                CalendarUnit::Day => (0, first),
                CalendarUnit::Week => (0, first * 7 - week_shift(week_start)),
                CalendarUnit::Month => (first, 0),
                CalendarUnit::Quarter => (first * 3, 0),
                CalendarUnit::Year => (first * 12, 0),
            };
            let (year, number) = (1970 + month.div_euclid(12), month.rem_euclid(12) + 1);
            let date = |day: i64| {
                let (year, month, day) = civil(i32::try_from(day).unwrap_or(0));
                format!("{year:04}-{month:02}-{day:02}")
            };
            let zone = zone.name();
            match (unit, count) {
                (CalendarUnit::Day, 1) => format!("day {} {zone}", date(day)),
                (CalendarUnit::Day, count) => format!("{count} days from {} {zone}", date(day)),
                (CalendarUnit::Week, 1) => format!("week from {} {zone}", date(day)),
                (CalendarUnit::Week, count) => format!("{count} weeks from {} {zone}", date(day)),
                (CalendarUnit::Month, 1) => format!("month {year:04}-{number:02} {zone}"),
                (CalendarUnit::Month, count) => format!("{count} months from {year:04}-{number:02} {zone}"),
                (CalendarUnit::Quarter, 1) => format!("quarter {year:04}-Q{} {zone}", (number - 1) / 3 + 1),
                (CalendarUnit::Quarter, count) => format!("{count} quarters from {year:04}-{number:02} {zone}"),
                (CalendarUnit::Year, 1) => format!("year {year:04} {zone}"),
                (CalendarUnit::Year, count) => format!("{count} years from {year:04} {zone}"),
            }
        }
    }
}

/// Whether a local moment falls into a schedule. Hours past midnight belong to the day on which they begin.
pub(super) fn covers(schedule: &Schedule, holidays: &[Holiday], local: Local) -> bool {
    let second = |time: jiff::civil::Time| {
        u32::try_from(i32::from(time.hour()) * 3_600 + i32::from(time.minute()) * 60 + i32::from(time.second()))
            .unwrap_or(0)
    };
    let (from, to) = (second(schedule.from), second(schedule.to));
    let on = |day: i32| applies(schedule, holidays, day);
    if from == to {
        return on(local.day);
    }
    if from < to {
        return (from..to).contains(&local.second) && on(local.day);
    }
    (local.second >= from && on(local.day)) || (local.second < to && on(local.day - 1))
}

fn applies(schedule: &Schedule, holidays: &[Holiday], day: i32) -> bool {
    let listed = schedule.days[weekday(day)];
    let holiday = || {
        let (year, month, day) = civil(day);
        holidays.iter().any(|Holiday(date)| {
            (i32::from(date.year()), i32::from(date.month()), i32::from(date.day())) == (year, month, day)
        })
    };
    match schedule.holidays {
        HolidayRule::Ignore => listed,
        HolidayRule::Except => listed && !holiday(),
        HolidayRule::Also => listed || holiday(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(date: Date) -> i32 {
        date.since(Date::constant(1970, 1, 1)).expect("a span").get_days()
    }

    #[test]
    fn day_numbers_are_dates() {
        for day in -1_000..60_000 {
            let date = Date::constant(1970, 1, 1).saturating_add(jiff::Span::new().days(day));
            assert_eq!(
                civil(day),
                (i32::from(date.year()), i32::from(date.month()), i32::from(date.day())),
                "day {day}"
            );
            let from_monday = usize::try_from(date.weekday().to_monday_zero_offset()).expect("0 to 6");
            assert_eq!(weekday(day), from_monday);
        }
    }

    #[test]
    fn weeks_change_on_their_first_day() {
        let monday = number(Date::constant(2026, 1, 12));
        for (start, first) in
            [(WeekStart::Monday, monday), (WeekStart::Sunday, monday - 1), (WeekStart::Saturday, monday - 2)]
        {
            let week = |day| period(CalendarUnit::Week, 1, start, day);
            assert_eq!(week(first - 1) + 1, week(first));
            assert_eq!(week(first), week(first + 6));
        }
    }

    #[test]
    fn the_remembered_stretch_gives_what_the_zone_says() {
        for name in ["Europe/Berlin", "Asia/Almaty", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"] {
            let zone = TimeZone::get(name).expect("a zone");
            let mut remembering = Zone::new(zone.clone());
            // Every 37 minutes around both changes of 2026, then backwards.
            let start = 1_767_225_600_i64;
            let moments = (0..14_000).map(|step| start + step * 2_220);
            for second in moments.clone().chain(moments.rev()) {
                let at = TimestampUs::from_micros(second * SECOND_US);
                assert_eq!(remembering.local_now(at), Zone::new(zone.clone()).local(at), "{name} {at}");
            }
        }
    }

    #[test]
    fn hours_past_midnight_belong_to_the_day_on_which_they_begin() {
        let at = |hour, minute| jiff::civil::time(hour, minute, 0, 0);
        let friday_night = Schedule {
            days: [false, false, false, false, true, false, false],
            from: at(22, 0),
            to: at(6, 0),
            holidays: HolidayRule::Ignore,
        };
        let friday = number(Date::constant(2026, 1, 16));
        let local = |day, hour: u32| Local { day, second: hour * 3_600 };
        assert!(covers(&friday_night, &[], local(friday, 23)));
        assert!(covers(&friday_night, &[], local(friday + 1, 5)));
        assert!(!covers(&friday_night, &[], local(friday + 1, 6)));
        assert!(!covers(&friday_night, &[], local(friday, 5)));
        let rest = Schedule { holidays: HolidayRule::Except, ..friday_night };
        assert!(!covers(&rest, &[Holiday(Date::constant(2026, 1, 16))], local(friday + 1, 5)));
    }
}
