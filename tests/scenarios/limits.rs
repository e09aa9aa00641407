//! Limits, restrictions and policies in words.
//!
//!     limit day on card 1234, 100 L of diesel a day, on Mon-Fri 06:00-22:00 not holidays, alert at 10 L, flag
//!     restriction home on group trucks, only countries KZ RU
//!     policy of card 1234, PIN, ask driver odometer, odometer grows 1 to 1500, no offline

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use model::{
    CalendarUnit, CardToken, CountryCode, Currency, DriverId, Entry, GroupId, HolidayRule, Limit, LimitId, LimitMode,
    Measure, Policy, ProductSelector, Prompt, RegionId, Restriction, RestrictionId, RestrictionList, RestrictionRule,
    Schedule, Scope, SiteId, TimestampUs, VehicleId, Window,
};

use crate::clauses::{
    Clauses, Parsed, day_and_time, duration, id, litres, moment, money, number, selector, time_of_day,
};

/// What words of time and money mean in a contract.
pub(crate) struct Terms<'a> {
    pub(crate) today: Date,
    pub(crate) zone: &'a TimeZone,
    pub(crate) currency: Currency,
}

impl Terms<'_> {
    pub(crate) fn moment(&self, text: &str) -> Parsed<TimestampUs> {
        moment(day_and_time(text, self.today)?, self.zone)
    }
    pub(crate) fn optional_moment(&self, text: Option<&str>) -> Parsed<Option<TimestampUs>> {
        text.map(|text| self.moment(text)).transpose()
    }
}

pub(crate) fn limit(clauses: &mut Clauses<'_>, terms: &Terms<'_>) -> Parsed<Limit> {
    let (name, scope) = on_whom(clauses.first(), "limit ")?;
    let what = clauses.find(|clause| amount(clause, terms.currency).ok().map(|amount| (amount, clause)));
    let ((measure, value, rest), clause) = what.ok_or("a limit needs a value, such as 100 L a day")?;
    let (product, period) = match rest.strip_prefix("of ") {
        Some(rest) => {
            let (product, period) = rest.split_once(' ').ok_or_else(|| format!("{clause:?} has no period"))?;
            (selector(product)?, period)
        }
        None => (ProductSelector::All, rest),
    };
    let mode = match (clauses.says("flag"), clauses.says("shadow")) {
        (true, _) => LimitMode::Flag,
        (_, true) => LimitMode::Shadow,
        _ => LimitMode::Decline,
    };
    let alert_left = clauses.after("alert at").map(|text| amount(text, terms.currency).map(|(_, left, _)| left));
    Ok(Limit {
        id: id(name, LimitId::new)?,
        scope,
        product,
        measure,
        value,
        window: window(period)?,
        schedule: clauses.after("on").map(schedule).transpose()?,
        mode,
        alert_left: alert_left.transpose()?,
        valid_from_us: terms.optional_moment(clauses.after("from"))?,
        valid_to_us: terms.optional_moment(clauses.after("until"))?,
        offline: clauses.says("offline"),
    })
}

/// `limit day on card 1234` without its first word: the name and the scope.
fn on_whom<'a>(text: &'a str, verb: &str) -> Parsed<(&'a str, Scope)> {
    let rest = text.strip_prefix(verb).unwrap_or(text);
    let (name, whom) = rest.split_once(" on ").ok_or_else(|| format!("{text:?}: on whom?"))?;
    Ok((name, scope(whom)?))
}

pub(crate) fn scope(text: &str) -> Parsed<Scope> {
    match text.split_once(' ') {
        None if text == "contract" => Ok(Scope::Contract),
        Some(("group", name)) => Ok(Scope::Group(id(name, GroupId::new)?)),
        Some(("card", name)) => Ok(Scope::Card(id(name, CardToken::new)?)),
        Some(("vehicle", name)) => Ok(Scope::Vehicle(id(name, VehicleId::new)?)),
        Some(("driver", name)) => Ok(Scope::Driver(id(name, DriverId::new)?)),
        _ => Err(format!("{text:?} is no contract, group, card, vehicle or driver")),
    }
}

/// `100 L`, `5000 KZT` or `3 purchases`, and what follows.
pub(crate) fn amount(text: &str, currency: Currency) -> Parsed<(Measure, i64, &str)> {
    let (figure, rest) = text.split_once(' ').ok_or_else(|| format!("{text:?} has no unit"))?;
    let (unit, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (measure, value) = match unit {
        "L" if figure.starts_with('-') => (Measure::Volume, number::<i64>(figure)? * 1000),
        "L" => (Measure::Volume, i64::try_from(litres(figure)?.get()).map_err(|error| error.to_string())?),
        "purchase" | "purchases" => (Measure::Count, number(figure)?),
        _ if unit == currency.as_str() => (Measure::Money, money(figure, currency)?.get()),
        _ => return Err(format!("{unit:?} is neither L, purchases nor {currency}")),
    };
    Ok((measure, value, rest))
}

fn window(text: &str) -> Parsed<Window> {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["each", "purchase"] => Ok(Window::PerTransaction),
        ["ever"] => Ok(Window::Lifetime),
        ["once"] => Ok(Window::OneOff),
        ["a", unit] => Ok(Window::Calendar { unit: calendar_unit(unit)?, count: 1 }),
        ["every", count, unit] => {
            Ok(Window::Calendar { unit: calendar_unit(unit.trim_end_matches('s'))?, count: number(count)? })
        }
        ["in", "any", count, unit] => {
            let us = duration(&format!("{count} {unit}"))?;
            let secs = u32::try_from(us / model::MICROS_PER_SECOND).map_err(|error| error.to_string())?;
            Ok(Window::Rolling { secs })
        }
        _ => Err(format!("{text:?} is no period: a day, every 2 weeks, in any 24 hours, each purchase, ever, once")),
    }
}

fn calendar_unit(text: &str) -> Parsed<CalendarUnit> {
    Ok(match text {
        "day" => CalendarUnit::Day,
        "week" => CalendarUnit::Week,
        "month" => CalendarUnit::Month,
        "quarter" => CalendarUnit::Quarter,
        "year" => CalendarUnit::Year,
        _ => return Err(format!("{text:?} is no calendar unit")),
    })
}

/// `Mon-Fri 06:00-22:00 not holidays`, `Sat+Sun`, `every day 22:00-06:00 also holidays`, `no day also holidays`.
fn schedule(text: &str) -> Parsed<Schedule> {
    let (text, holidays) = match (text.strip_suffix(" not holidays"), text.strip_suffix(" also holidays")) {
        (Some(text), _) => (text, HolidayRule::Except),
        (_, Some(text)) => (text, HolidayRule::Also),
        _ => (text, HolidayRule::Ignore),
    };
    let (days, hours) = match text.rsplit_once(' ') {
        Some((days, hours)) if hours.contains(':') => (days, hours),
        _ => (text, "00:00-00:00"),
    };
    let (from, to) = hours.split_once('-').ok_or_else(|| format!("{hours:?} are no hours"))?;
    let to = if to == "24:00" { Time::midnight() } else { time_of_day(to)? };
    Ok(Schedule { days: day_mask(days)?, from: time_of_day(from)?, to, holidays })
}

fn day_mask(text: &str) -> Parsed<[bool; 7]> {
    const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let place = |name: &str| NAMES.iter().position(|day| *day == name).ok_or_else(|| format!("{name:?} is no day"));
    let mut mask = [false; 7];
    match text {
        "every day" => return Ok([true; 7]),
        "no day" => return Ok(mask),
        _ => {}
    }
    for part in text.split('+') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        mask[place(first)?..=place(last)?].fill(true);
    }
    Ok(mask)
}

pub(crate) fn restriction(clauses: &mut Clauses<'_>) -> Parsed<Restriction> {
    let (name, scope) = on_whom(clauses.first(), "restriction ")?;
    let (rule, list) = match (clauses.after("only"), clauses.after("not")) {
        (Some(list), None) => (RestrictionRule::Allow, list),
        (None, Some(list)) => (RestrictionRule::Deny, list),
        _ => return Err("a restriction says either only or not".into()),
    };
    let (kind, list) = list.split_once(' ').unwrap_or((list, ""));
    let of = match kind {
        "products" => RestrictionList::Products(each(list, selector)?),
        "stations" => RestrictionList::Sites(each(list, |site| id(site, SiteId::new))?),
        "regions" => RestrictionList::Regions(each(list, |region| id(region, RegionId::new))?),
        "countries" => RestrictionList::Countries(each(list, |country| {
            CountryCode::new(country).ok_or_else(|| format!("{country:?} is no country"))
        })?),
        "entries" => RestrictionList::Entries(each(list, entry)?),
        "hours" => RestrictionList::Hours(list.split(" or ").map(schedule).collect::<Parsed<_>>()?),
        _ => return Err(format!("{kind:?} cannot be restricted")),
    };
    Ok(Restriction { id: id(name, RestrictionId::new)?, scope, rule, of })
}

fn each<T>(list: &str, read: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    list.split_whitespace().map(read).collect()
}

pub(crate) fn entry(text: &str) -> Parsed<Entry> {
    Ok(match text {
        "chip" => Entry::Chip,
        "stripe" => Entry::Stripe,
        "hand" => Entry::Manual,
        "QR" => Entry::Qr,
        "RFID" => Entry::Rfid,
        _ => return Err(format!("{text:?} is no way of reading a card")),
    })
}

pub(crate) fn policy(clauses: &mut Clauses<'_>) -> Parsed<Option<Policy>> {
    if clauses.says("none") {
        return Ok(None);
    }
    let growth = clauses.after("odometer grows").map(|text| {
        let (least, most) = text.split_once(" to ").ok_or_else(|| format!("{text:?} is no range"))?;
        Ok::<_, String>((number(least)?, number(most)?))
    });
    Ok(Some(Policy {
        pin_required: clauses.says("PIN"),
        prompts: each(clauses.after("ask").unwrap_or_default(), prompt)?,
        odometer_growth: growth.transpose()?,
        offline_allowed: !clauses.says("no offline"),
    }))
}

fn prompt(text: &str) -> Parsed<Prompt> {
    Ok(match text {
        "driver" => Prompt::Driver,
        "vehicle" => Prompt::Vehicle,
        "odometer" => Prompt::Odometer,
        "engine-hours" => Prompt::EngineHours,
        "trip" => Prompt::Trip,
        "trailer" => Prompt::Trailer,
        _ => return Err(format!("{text:?} is nothing a terminal asks for")),
    })
}
