//! Days, weeks and months where clocks change, years leap and weeks begin on another day.
//!
//! Each window is filled to the last drop at its first moment. Nothing more is sold up to its last microsecond, and all of
//! it again a microsecond later.

use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use model::{
    CalendarUnit, Command, Currency, Fact, Measure, Millilitres, PartitionId, RequestBody, Scope, TimestampUs,
    Transaction, TransactionKind, Verdict, WeekStart, Window,
};

use super::super::shard::Shard;
use super::super::{Config, samples};
use super::contract;

const LIMIT_ML: i64 = 100_000;

struct Fleet {
    shard: Shard,
    offset: i64,
}

impl Fleet {
    /// A card that may buy 100 L in the window, with money enough.
    fn new(zone: &str, week_start: WeekStart, window: Window, opened: TimestampUs) -> Self {
        let mut fleet = Self { shard: Shard::new(PartitionId(0)), offset: 0 };
        let amount_minor = model::MinorUnits::new(100_000_000_000).unwrap();
        let top_up = Command::TopUp { amount_minor, currency: Currency::RUB, reference: String::new(), payer: None };
        let limit = samples::limit("L-1", Scope::Contract, Measure::Volume, LIMIT_ML, window);
        let orders = [
            samples::open(Currency::RUB, zone, week_start),
            top_up,
            samples::issue("card", None),
            Command::SetLimit(limit),
        ];
        for order in orders {
            let message = samples::order(&format!("order-{}", fleet.offset), &contract(0), opened, order);
            let facts = fleet.decide(RequestBody::Command(Box::new(message)));
            assert!(!facts.iter().any(|fact| matches!(fact, Fact::CommandRefused { .. })), "{facts:?}");
        }
        fleet
    }

    fn decide(&mut self, body: RequestBody) -> Vec<Fact> {
        let request = samples::request(&contract(0), self.offset, body);
        let outcome = self.shard.decide(&Config::default(), self.offset, request).expect("a new offset");
        self.offset += 1;
        outcome.facts
    }

    fn may_buy(&mut self, kind: TransactionKind, litres: u32, at: TimestampUs) -> bool {
        let items = vec![samples::item(Some(Millilitres::from_litres(litres)))];
        let transaction = samples::transaction(kind, &format!("sale-{}", self.offset), "card", at);
        let facts = self.decide(RequestBody::Transaction(Box::new(Transaction { items, ..transaction })));
        let decided = facts.iter().find_map(|fact| match fact {
            Fact::Decided { decision, .. } => Some(decision.decision == Verdict::Approve),
            _ => None,
        });
        decided.expect("an answer")
    }
}

/// Midnight of `date`, or the first moment of a day whose midnight the clocks skip.
fn midnight(zone: &TimeZone, date: Date) -> TimestampUs {
    TimestampUs::from_micros(date.to_zoned(zone.clone()).unwrap().timestamp().as_microsecond())
}

/// Walks from window to window; `begins` names the first day of the window after the one that begins on a day.
fn check(zone: &str, week_start: WeekStart, unit: CalendarUnit, from: Date, windows: usize, begins: fn(Date) -> Date) {
    let tz = TimeZone::get(zone).unwrap();
    let window = Window::Calendar { unit, count: 1 };
    let mut fleet = Fleet::new(zone, week_start, window, midnight(&tz, from));
    let mut first = from;
    for _ in 0..windows {
        let next = begins(first);
        let (begin, end) = (midnight(&tz, first), midnight(&tz, next));
        assert!(fleet.may_buy(TransactionKind::Sale, 100, begin), "{zone} {unit:?}: {first} begins anew");
        let last = end.plus_us(-1);
        assert!(!fleet.may_buy(TransactionKind::Sale, 1, last), "{zone} {unit:?}: {first} lasts up to {next}");
        first = next;
    }
}

fn tomorrow(day: Date) -> Date {
    day.tomorrow().unwrap()
}

#[test]
fn a_day_lasts_from_midnight_to_midnight_whatever_the_clocks_do() {
    // Clocks that go forward and back at 01:00, 02:00, 03:00 and at midnight, by one hour and by half an hour.
    for zone in [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Havana",
        "Africa/Cairo",
        "Asia/Kathmandu",
        "Asia/Almaty",
    ] {
        check(zone, WeekStart::Monday, CalendarUnit::Day, date(2026, 1, 1), 366, tomorrow);
    }
}

#[test]
fn a_day_that_was_left_out_of_the_calendar_is_no_day() {
    // Apia went from 29 to 31 December 2011.
    let next = |day: Date| if day == date(2011, 12, 29) { date(2011, 12, 31) } else { day.tomorrow().unwrap() };
    check("Pacific/Apia", WeekStart::Monday, CalendarUnit::Day, date(2011, 12, 27), 6, next);
}

#[test]
fn a_leap_day_is_a_day_of_its_own() {
    check("Asia/Almaty", WeekStart::Monday, CalendarUnit::Day, date(2028, 2, 27), 4, tomorrow);
    check("Europe/Berlin", WeekStart::Monday, CalendarUnit::Month, date(2028, 1, 1), 4, next_month);
}

fn next_month(day: Date) -> Date {
    day.checked_add(1.month()).unwrap()
}

#[test]
fn months_quarters_and_years_begin_on_their_first_day() {
    for zone in ["Europe/Berlin", "America/New_York", "Asia/Kathmandu"] {
        check(zone, WeekStart::Monday, CalendarUnit::Month, date(2026, 1, 1), 30, next_month);
        let quarter = |day: Date| day.checked_add(3.months()).unwrap();
        check(zone, WeekStart::Monday, CalendarUnit::Quarter, date(2026, 1, 1), 10, quarter);
        let year = |day: Date| day.checked_add(1.year()).unwrap();
        check(zone, WeekStart::Monday, CalendarUnit::Year, date(2026, 1, 1), 4, year);
    }
}

#[test]
fn a_week_begins_on_the_contracts_own_day() {
    let week = |day: Date| day.checked_add(1.week()).unwrap();
    for (week_start, weekday) in [
        (WeekStart::Monday, Weekday::Monday),
        (WeekStart::Saturday, Weekday::Saturday),
        (WeekStart::Sunday, Weekday::Sunday),
    ] {
        for zone in ["Europe/Berlin", "America/New_York", "UTC"] {
            // The first week that begins in 2025: 2024 leaps, 2026 has 53 ISO weeks.
            let first = date(2024, 12, 31).nth_weekday(1, weekday).unwrap();
            check(zone, week_start, CalendarUnit::Week, first, 110, week);
        }
    }
}

#[test]
fn the_hour_that_comes_twice_is_one_day() {
    let mut fleet = Fleet::new(
        "Europe/Berlin",
        WeekStart::Monday,
        Window::Calendar { unit: CalendarUnit::Day, count: 1 },
        TimestampUs::from_micros("2026-10-24T00:00:00Z".parse::<Timestamp>().unwrap().as_microsecond()),
    );
    let at = |text: &str| TimestampUs::from_micros(text.parse::<Timestamp>().unwrap().as_microsecond());
    // 02:30 in summer time, 02:30 in winter time.
    assert!(fleet.may_buy(TransactionKind::Sale, 60, at("2026-10-25T00:30:00Z")));
    assert!(fleet.may_buy(TransactionKind::Sale, 40, at("2026-10-25T01:30:00Z")));
    assert!(!fleet.may_buy(TransactionKind::Sale, 1, at("2026-10-25T22:59:59Z")));
    assert!(fleet.may_buy(TransactionKind::Sale, 100, at("2026-10-25T23:00:00Z")));
}
