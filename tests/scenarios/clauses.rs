//! The words of one line: its moment, its clauses, and the small things that clauses are made of.
//!
//! In: a line such as `09:05 preauth 1234 60 L diesel, partial, station S-2`. Out: typed pieces of it. Guarantees: a
//! clause that nobody asked for is an error, so that a slip of the pen cannot be passed over.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use model::{Currency, Millilitres, MinorUnits, PriceE4, ProductCode, ProductSelector, TimestampUs};

pub(crate) type Parsed<T> = Result<T, String>;

/// The parts of a line between commas. The first says what happens, the others come in any order.
pub(crate) struct Clauses<'a> {
    first: &'a str,
    rest: Vec<&'a str>,
}

impl<'a> Clauses<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut parts = text.split(", ").map(str::trim);
        Self { first: parts.next().unwrap_or_default(), rest: parts.collect() }
    }
    pub(crate) fn first(&self) -> &'a str {
        self.first
    }
    /// What follows these words in the clause that begins with them.
    pub(crate) fn after(&mut self, words: &str) -> Option<&'a str> {
        let follows = |clause: &'a str| clause.strip_prefix(words).and_then(|rest| rest.strip_prefix(' '));
        let at = self.rest.iter().position(|clause| follows(clause).is_some())?;
        follows(self.rest.remove(at)).map(str::trim)
    }
    /// Whether exactly this clause is there.
    pub(crate) fn says(&mut self, words: &str) -> bool {
        let at = self.rest.iter().position(|clause| *clause == words);
        at.map(|at| self.rest.remove(at)).is_some()
    }
    /// The first clause for which there is an answer.
    pub(crate) fn find<T>(&mut self, read: impl Fn(&'a str) -> Option<T>) -> Option<T> {
        let (at, found) = self.rest.iter().enumerate().find_map(|(at, clause)| Some((at, read(clause)?)))?;
        self.rest.remove(at);
        Some(found)
    }
    pub(crate) fn end(self) -> Parsed<()> {
        match self.rest.first() {
            None => Ok(()),
            Some(clause) => Err(format!("nobody understands {clause:?} here")),
        }
    }
}

/// Any of the model's identifiers.
pub(crate) fn id<T, E: std::fmt::Display>(text: &str, new: impl Fn(&str) -> Result<T, E>) -> Parsed<T> {
    new(text).map_err(|error| format!("{text:?}: {error}"))
}

pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Parsed<T> {
    text.parse().map_err(|_| format!("{text:?} is no number that fits"))
}

/// A decimal number in units of `10^-digits`.
fn decimal(text: &str, digits: usize) -> Parsed<i128> {
    let (sign, plain) = text.strip_prefix('-').map_or((1, text), |plain| (-1, plain));
    let (whole, fraction) = plain.strip_prefix('+').unwrap_or(plain).split_once('.').unwrap_or((plain, ""));
    if fraction.len() > digits {
        return Err(format!("{text:?} has more than {digits} decimals"));
    }
    let whole = whole.strip_prefix('+').unwrap_or(whole);
    let all: i128 = number(&format!("{whole}{fraction:0<digits$}"))?;
    Ok(sign * all)
}

pub(crate) fn litres(text: &str) -> Parsed<Millilitres> {
    let ml = u64::try_from(decimal(text, 3)?).map_err(|_| format!("{text:?} litres"))?;
    Millilitres::new(ml).map_err(|error| format!("{text:?} litres: {error}"))
}

pub(crate) fn money(text: &str, currency: Currency) -> Parsed<MinorUnits> {
    let minor = i64::try_from(decimal(text, currency.minor_digits() as usize)?).map_err(|_| format!("{text:?}"))?;
    MinorUnits::new(minor).map_err(|error| format!("{text:?}: {error}"))
}

pub(crate) fn price(text: &str) -> Parsed<PriceE4> {
    let e4 = u64::try_from(decimal(text, 4)?).map_err(|_| format!("price {text:?}"))?;
    PriceE4::new(e4).map_err(|error| format!("price {text:?}: {error}"))
}

pub(crate) fn currency(text: &str) -> Parsed<Currency> {
    Currency::new(text).ok_or_else(|| format!("{text:?} is no currency"))
}

pub(crate) fn date(text: &str) -> Parsed<Date> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

pub(crate) fn zone(text: &str) -> Parsed<TimeZone> {
    TimeZone::get(text).map_err(|error| format!("{text:?}: {error}"))
}

/// A moment that a zone's calendar shows; the earlier one where it shows it twice.
pub(crate) fn moment(at: DateTime, zone: &TimeZone) -> Parsed<TimestampUs> {
    let zoned = at.to_zoned(zone.clone()).map_err(|error| format!("{at}: {error}"))?;
    Ok(TimestampUs::from_micros(zoned.timestamp().as_microsecond()))
}

/// `18:00` of the day, `2026-01-20` at its beginning, or `2026-01-20 18:00`.
pub(crate) fn day_and_time(text: &str, today: Date) -> Parsed<DateTime> {
    match text.split_once(' ') {
        Some((day, time)) => Ok(date(day)?.to_datetime(time_of_day(time)?)),
        None if text.contains(':') => Ok(today.to_datetime(time_of_day(text)?)),
        None => Ok(date(text)?.to_datetime(Time::midnight())),
    }
}

pub(crate) fn time_of_day(text: &str) -> Parsed<Time> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

/// `90 min`, `26 h`, `3 days` in microseconds.
pub(crate) fn duration(text: &str) -> Parsed<i64> {
    let (count, unit) = text.split_once(' ').ok_or_else(|| format!("{text:?} is no duration"))?;
    let seconds = match unit {
        "s" => 1,
        "min" | "minutes" => 60,
        "h" | "hours" => 3600,
        "day" | "days" => 86_400,
        _ => return Err(format!("{unit:?} is no unit of time")),
    };
    Ok(number::<i64>(count)? * seconds * model::MICROS_PER_SECOND)
}

pub(crate) fn product(text: &str) -> Parsed<ProductCode> {
    id(text, ProductCode::new)
}

/// `diesel` or `group:SHOP`; `all`.
pub(crate) fn selector(text: &str) -> Parsed<ProductSelector> {
    Ok(match text.strip_prefix("group:") {
        Some(group) => ProductSelector::Group(product(group)?),
        None if text == "all" => ProductSelector::All,
        None => ProductSelector::Product(product(text)?),
    })
}

/// What the stations of the scenarios sell: name, group, price of a litre or a piece.
const SHELVES: [(&str, &str, &str); 13] = [
    ("diesel", "FUEL", "50"),
    ("ai92", "FUEL", "55"),
    ("ai95", "FUEL", "60"),
    ("lpg", "FUEL", "30"),
    ("adblue", "FUEL", "40"),
    ("coffee", "SHOP", "150"),
    ("water", "SHOP", "80"),
    ("oil", "SHOP", "900"),
    ("wash", "WASH", "500"),
    ("tyre", "TYRES", "1200"),
    ("toll", "TOLLS", "250"),
    ("parking", "PARKING", "100"),
    ("permit", "", "300"),
];

/// The product's group and price, where nothing else is said.
pub(crate) fn shelf(name: &str) -> (Option<&'static str>, &'static str) {
    let found = SHELVES.iter().find(|(product, ..)| *product == name);
    found.map_or((None, "50"), |(_, group, price)| ((!group.is_empty()).then_some(*group), *price))
}
