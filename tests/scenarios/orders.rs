//! Orders of the back office in words: contracts, money, cards, parties, rules.

use model::{
    Actor, AuthCode, CardKind, CardToken, Closure, Command, Discount, DiscountOff, Driver, DriverId, FraudRule, Group,
    GroupId, Holiday, LimitId, MonthlyFee, Payer, ProductSelector, RegisterLine, RestrictionId, RuleMode, Vehicle,
    VehicleId, WeekStart,
};

use crate::clauses::{Clauses, Parsed, currency, date, id, litres, money, number, price, selector};
use crate::limits::{self, Terms};

/// The order that a line gives; `None` when it is not an order. `auth_code` finds the code of a named authorization.
pub(crate) fn order(
    clauses: &mut Clauses<'_>,
    terms: &Terms<'_>,
    auth_code: impl Fn(&str) -> Option<AuthCode>,
) -> Parsed<Option<Command>> {
    let first = clauses.first();
    let (verb, rest) = first.split_once(' ').unwrap_or((first, ""));
    Ok(Some(match verb {
        "contract" => open(rest, clauses)?,
        "limit" => Command::SetLimit(limits::limit(clauses, terms)?),
        "restriction" => Command::SetRestriction(limits::restriction(clauses)?),
        "lift" => Command::RemoveRestriction { restriction: id(rest, RestrictionId::new)? },
        "card" => card(rest, clauses, terms)?,
        "group" => Command::PutGroup(Group { id: id(rest, GroupId::new)?, name: named(clauses, rest) }),
        "vehicle" => Command::PutVehicle(Vehicle {
            id: id(rest, VehicleId::new)?,
            tank_ml: clauses.after("tank").map(|tank| litres(tank.trim_end_matches(" L"))).transpose()?,
            fuel: clauses.after("takes").map(selector).transpose()?,
        }),
        "driver" => Command::PutDriver(Driver {
            id: id(rest, DriverId::new)?,
            name: named(clauses, rest),
            blocked: clauses.says("blocked"),
        }),
        "bill" => Command::Bill { number: rest.to_owned() },
        "holidays" => Command::SetHolidays {
            days: rest.split_whitespace().map(|day| date(day).map(Holiday)).collect::<Parsed<_>>()?,
        },
        "term" if rest.is_empty() => Command::SetTerm {
            valid_from_us: terms.optional_moment(clauses.after("from"))?,
            valid_to_us: terms.optional_moment(clauses.after("until"))?,
        },
        "adjust" => Command::Adjust {
            amount_minor: money(rest, terms.currency)?,
            currency: in_currency(clauses, terms)?,
            reason: clauses.after("because").unwrap_or_default().to_owned(),
        },
        "discount" => Command::SetDiscount(discount(rest)?),
        "rule" => rule(rest)?,
        "assign" => Command::AssignCard {
            card: id(rest, CardToken::new)?,
            group: clauses.after("group").map(|name| id(name, GroupId::new)).transpose()?,
            vehicle: clauses.after("vehicle").map(|name| id(name, VehicleId::new)).transpose()?,
            driver: clauses.after("driver").map(|name| id(name, DriverId::new)).transpose()?,
        },
        _ => return phrase(first, clauses, terms, auth_code),
    }))
}

/// Orders that begin with more than one word.
fn phrase(
    first: &str,
    clauses: &mut Clauses<'_>,
    terms: &Terms<'_>,
    auth_code: impl Fn(&str) -> Option<AuthCode>,
) -> Parsed<Option<Command>> {
    let after = |words: &str| first.strip_prefix(words).map(str::trim);
    Ok(Some(if let Some(amount) = after("top up ") {
        Command::TopUp {
            amount_minor: money(amount, terms.currency)?,
            currency: in_currency(clauses, terms)?,
            reference: clauses.after("reference").unwrap_or_default().to_owned(),
            payer: payer(clauses),
        }
    } else if let Some(day) = after("register closed for ") {
        Command::CloseRegister { date: date(day)? }
    } else if let Some(line) = after("register line ") {
        let (reference, amount) = line.split_once(' ').ok_or("a register line has a reference and an amount")?;
        Command::MatchRegister(RegisterLine {
            date: date(clauses.after("of").ok_or("a register line has a banking day")?)?,
            reference: reference.to_owned(),
            amount_minor: money(amount, terms.currency)?,
            currency: clauses.after("in").map(currency).transpose()?,
            payer: payer(clauses).unwrap_or_default(),
        })
    } else if let Some(amount) = after("credit line ") {
        Command::SetCreditLine { amount_minor: money(amount, terms.currency)?, currency: in_currency(clauses, terms)? }
    } else if let Some(fee) = after("monthly fee ") {
        let (name, amount) = fee.rsplit_once(' ').ok_or("a fee has a name and an amount")?;
        Command::SetMonthlyFee(MonthlyFee { name: name.to_owned(), amount_minor: money(amount, terms.currency)? })
    } else if let Some(of) = after("no discount") {
        let product = of.strip_prefix("on ").map_or(Ok(ProductSelector::All), selector)?;
        Command::RemoveDiscount { product }
    } else if let Some(change) = after("change limit ") {
        let (name, value) = change.split_once(" to ").ok_or("to what?")?;
        let (_, value, _) = limits::amount(value, terms.currency)?;
        Command::ChangeLimit { limit: id(name, LimitId::new)?, value }
    } else if let Some(name) = after("remove limit ") {
        Command::RemoveLimit { limit: id(name, LimitId::new)? }
    } else if let Some(values) = after("daily limit of ") {
        let (card, values) = values.split_once(' ').ok_or("a daily limit has values, or says none")?;
        let (daily_ml, daily_minor) = daily(values, terms)?;
        Command::SetDailyLimit { card: id(card, CardToken::new)?, daily_ml, daily_minor }
    } else if let Some(whom) = after("policy of ") {
        Command::SetPolicy { scope: limits::scope(whom)?, policy: limits::policy(clauses)? }
    } else if let Some(name) = after("release hold of ") {
        let auth_code = match auth_code(name) {
            Some(auth_code) => auth_code,
            None => id(name, AuthCode::new)?,
        };
        Command::ReleaseHold { auth_code, reason: because(clauses) }
    } else if let Some(card) = after("reset PIN of ") {
        Command::ResetPin { card: id(card, CardToken::new)? }
    } else if first == "block contract" {
        Command::BlockContract {
            actor: actor(clauses)?,
            reason: because(clauses),
            until_us: terms.optional_moment(clauses.after("until"))?,
        }
    } else if first == "unblock contract" {
        Command::UnblockContract { actor: actor(clauses)? }
    } else if let Some(card) = after("block card ") {
        Command::BlockCard {
            card: id(card, CardToken::new)?,
            reason: because(clauses),
            actor: actor(clauses)?,
            until_us: terms.optional_moment(clauses.after("until"))?,
        }
    } else if let Some(card) = after("unblock card ") {
        Command::UnblockCard {
            card: id(card, CardToken::new)?,
            actor: actor(clauses)?,
            until_us: terms.optional_moment(clauses.after("until"))?,
        }
    } else {
        return Ok(None);
    }))
}

/// `contract C-1 in RUB Europe/Moscow, named Hauliers, company Hauliers LLP, holding Freight, weeks from Sunday`.
fn open(rest: &str, clauses: &mut Clauses<'_>) -> Parsed<Command> {
    let words: Vec<&str> = rest.split(' ').collect();
    let [_, "in", money, time_zone] = words.as_slice() else {
        return Err("contract C-1 in RUB Europe/Moscow".into());
    };
    Ok(Command::OpenContract {
        name: named(clauses, "Hauliers"),
        currency: currency(money)?,
        time_zone: (*time_zone).to_owned(),
        legal_entity: clauses.after("company").map(str::to_owned),
        holding: clauses.after("holding").map(str::to_owned),
        week_start: match clauses.after("weeks from") {
            None | Some("Monday") => WeekStart::Monday,
            Some("Saturday") => WeekStart::Saturday,
            Some("Sunday") => WeekStart::Sunday,
            Some(day) => return Err(format!("weeks do not begin on {day}")),
        },
    })
}

/// `card 1234, virtual, group trucks, 100 L a day` issues; `card 1234 lost` closes.
fn card(rest: &str, clauses: &mut Clauses<'_>, terms: &Terms<'_>) -> Parsed<Command> {
    if let Some((token, end)) = rest.split_once(' ') {
        let closure = match end {
            "lost" => Closure::Lost,
            "stolen" => Closure::Stolen,
            "returned" => Closure::Returned,
            _ => return Err(format!("a card cannot be {end:?}")),
        };
        return Ok(Command::CloseCard { card: id(token, CardToken::new)?, closure });
    }
    let values = clauses.after("daily").map_or(Ok((None, None)), |values| daily(values, terms))?;
    Ok(Command::IssueCard {
        card: id(rest, CardToken::new)?,
        pan_masked: clauses.after("masked").map_or_else(|| format!("****{rest}"), str::to_owned),
        kind: if clauses.says("virtual") { CardKind::Virtual } else { CardKind::Plastic },
        group: clauses.after("group").map(|name| id(name, GroupId::new)).transpose()?,
        vehicle: clauses.after("vehicle").map(|name| id(name, VehicleId::new)).transpose()?,
        driver: clauses.after("driver").map(|name| id(name, DriverId::new)).transpose()?,
        valid_from_us: terms.optional_moment(clauses.after("from"))?,
        valid_to_us: terms.optional_moment(clauses.after("until"))?,
        daily_ml: values.0,
        daily_minor: values.1,
    })
}

type Daily = (Option<model::Millilitres>, Option<model::MinorUnits>);

/// `100 L`, `5000 RUB`, both, or `none`.
fn daily(text: &str, terms: &Terms<'_>) -> Parsed<Daily> {
    let mut values = (None, None);
    for value in text.split(" and ").filter(|value| *value != "none") {
        match value.strip_suffix(" L") {
            Some(ml) => values.0 = Some(litres(ml)?),
            None => {
                let figure = value.strip_suffix(terms.currency.as_str()).ok_or_else(|| format!("{value:?}?"))?;
                values.1 = Some(money(figure.trim(), terms.currency)?);
            }
        }
    }
    Ok(values)
}

/// `3 % on diesel`, `1.50 each on group:FUEL`, `2 % on all`.
fn discount(text: &str) -> Parsed<Discount> {
    let (off, on) = text.split_once(" on ").ok_or_else(|| format!("{text:?}: on what?"))?;
    let off = match (off.strip_suffix(" %"), off.strip_suffix(" each")) {
        (Some(percent), _) => DiscountOff::BasisPoints(number(&(price(percent)?.get() / 100).to_string())?),
        (_, Some(each)) => DiscountOff::PriceE4(number(&price(each)?.get().to_string())?),
        _ => return Err(format!("{off:?} is neither a percentage nor so much each")),
    };
    Ok(Discount { product: selector(on)?, off })
}

fn rule(text: &str) -> Parsed<Command> {
    let (name, mode) = text.split_once(' ').ok_or("which mode?")?;
    let rule = match name {
        "velocity" => FraudRule::Velocity,
        "travel" => FraudRule::ImpossibleTravel,
        _ => return Err(format!("{name:?} is no fraud rule")),
    };
    let mode = match mode {
        "off" => RuleMode::Off,
        "shadow" => RuleMode::Shadow,
        "flag" => RuleMode::Flag,
        "decline" => RuleMode::Decline,
        _ => return Err(format!("{mode:?} is no mode")),
    };
    Ok(Command::SetRule { rule, mode })
}

fn actor(clauses: &mut Clauses<'_>) -> Parsed<Actor> {
    Ok(match clauses.after("by") {
        None | Some("the client") => Actor::Client,
        Some("risk") => Actor::IssuerRisk,
        Some("credit") => Actor::IssuerCredit,
        Some("the system") => Actor::System,
        Some(other) => return Err(format!("{other:?} blocks nothing")),
    })
}

fn because(clauses: &mut Clauses<'_>) -> String {
    clauses.after("because").unwrap_or_default().to_owned()
}

fn named(clauses: &mut Clauses<'_>, otherwise: &str) -> String {
    clauses.after("named").unwrap_or(otherwise).to_owned()
}

fn in_currency(clauses: &mut Clauses<'_>, terms: &Terms<'_>) -> Parsed<model::Currency> {
    clauses.after("in").map_or(Ok(terms.currency), currency)
}

/// `payer 7701234567 Hauliers LLP`.
fn payer(clauses: &mut Clauses<'_>) -> Option<Payer> {
    let (tax_id, name) = clauses.after("payer")?.split_once(' ')?;
    Some(Payer { tax_id: Some(tax_id.to_owned()), name: Some(name.to_owned()) })
}
