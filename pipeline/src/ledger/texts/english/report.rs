//! English words of a report.

use model::{
    CardState, HolidayRule, LimitMode, Measure, Policy, ProductSelector, Restriction, RestrictionList, RestrictionRule,
    Schedule, Scope, Unit, Verdict, Window,
};

use super::super::super::explain::{Explanation, KnownLimit};
use super::super::Subject;
use super::super::figures::ENGLISH;
use super::super::report::{COLUMNS, Report, hours, list};
use super::English;
use super::phrases::{Block, Figure, List, Time, entry_name, money};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Report for English {
    const COLUMNS: [&'static str; COLUMNS] = ["whose", "goods", "when", "limit", "used", "held", "left", "or", ""];
    const LIMITS: &'static str = "Limits";
    const NO_LIMITS: &'static str = "No limit is set for this card, its driver, vehicle, group or contract.";
    const RESTRICTIONS: &'static str = "Restrictions";
    const DECIDES: &'static str = "decides";
    const APART: &'static str = "does not apply";

    fn question(explanation: &Explanation) -> String {
        let question = &explanation.question;
        let much = match (question.fill_up, question.item.unit) {
            (true, _) => "a full tank".to_owned(),
            (false, Unit::L) => ENGLISH.litres(question.item.qty_ml.unwrap_or_default()).to_string(),
            (false, Unit::Pieces) => format!("{} pcs", ENGLISH.whole(question.item.pieces.unwrap_or(0))),
        };
        let price = ENGLISH.price(question.item.price_e4, explanation.currency);
        let Explanation { card, local, zone, .. } = explanation;
        format!(
            "Card {card} at station {}, {} ({zone}): {much} of {} at {price}",
            question.site,
            local.strftime("%Y-%m-%d %H:%M"),
            question.item.code
        )
    }

    fn outlook(verdict: Verdict) -> &'static str {
        match verdict {
            Verdict::Approve => "It would be approved.",
            Verdict::Partial => "A part of it would be approved.",
            Verdict::Decline => "It would be declined.",
            Verdict::Reprompt => "The terminal would have to ask again.",
        }
    }

    fn told(explanation: &Explanation) -> &str {
        &explanation.decision.text.manager.en
    }

    fn at_the_till(explanation: &Explanation) -> String {
        let decision = &explanation.decision;
        format!("The cashier would read: {} (code {})", decision.text.cashier.en, decision.iso39)
    }

    fn card(explanation: &Explanation) -> String {
        let mut words = vec![match &explanation.block {
            Some(block) => format!("The card is blocked by {}", Block(block.actor, &block.reason, block.until_us)),
            None => format!("The card is {}", Self::card_state(explanation.state)),
        }];
        words.extend(explanation.group.as_ref().map(|group| format!("group {group}")));
        words.extend(explanation.vehicle.as_ref().map(|vehicle| {
            let tank = vehicle.tank_ml.map(|tank| format!(", tank {}", ENGLISH.litres(tank)));
            let fuel = vehicle.fuel.as_ref().map(|fuel| format!(", takes only {}", goods(fuel)));
            format!("vehicle {}{}{}", vehicle.id, tank.unwrap_or_default(), fuel.unwrap_or_default())
        }));
        words.extend(explanation.driver.as_ref().map(|driver| format!("driver {driver}")));
        words.extend(explanation.odometer.map(|odometer| format!("last odometer {}", ENGLISH.whole(odometer))));
        format!("{}.", words.join("; "))
    }

    fn contract(explanation: &Explanation, subject: &Subject<'_>) -> String {
        let money = subject.balance.map_or_else(String::new, |balance| format!("{}.", money(subject, balance)));
        match &explanation.contract_block {
            Some(block) => {
                format!("The contract is blocked by {}. {money}", Block(block.actor, &block.reason, block.until_us))
            }
            None => money,
        }
    }

    fn policy(policy: &Policy) -> Option<String> {
        let asks = (!policy.prompts.is_empty()).then(|| format!("the terminal asks for {}", List(&policy.prompts)));
        let grown = policy.odometer_growth.map(|(least, most)| {
            format!("the odometer must have grown by {} to {}", ENGLISH.whole(least), ENGLISH.whole(most))
        });
        let pin = policy.pin_required.then(|| "the PIN is required".to_owned());
        let offline = (!policy.offline_allowed).then(|| "no sales while the terminal is offline".to_owned());
        let words: Vec<String> = [asks, grown, pin, offline].into_iter().flatten().collect();
        (!words.is_empty()).then(|| format!("Policy: {}.", words.join("; ")))
    }

    fn whose(scope: &Scope) -> String {
        match scope {
            Scope::Contract => "contract".to_owned(),
            Scope::Group(group) => format!("group {group}"),
            Scope::Card(_) => "card".to_owned(),
            Scope::Vehicle(vehicle) => format!("vehicle {vehicle}"),
            Scope::Driver(driver) => format!("driver {driver}"),
        }
    }

    fn goods(known: &KnownLimit) -> String {
        goods(&known.limit.product)
    }

    fn when(known: &KnownLimit) -> String {
        let schedule = known.limit.schedule.as_ref().map(|schedule| format!(", {}", times(schedule)));
        let offline = if known.limit.offline { ", offline" } else { "" };
        let window = match known.limit.window {
            Window::OneOff => "one-off".to_owned(),
            window => Time(window).to_string(),
        };
        format!("{window}{}{offline}", schedule.unwrap_or_default())
    }

    fn figure(measure: Measure, value: i64, subject: &Subject<'_>) -> String {
        match measure {
            Measure::Count => ENGLISH.whole(value).to_string(),
            Measure::Volume | Measure::Money => Figure(measure, value, subject).to_string(),
        }
    }

    fn mode(known: &KnownLimit) -> Option<&'static str> {
        match known.limit.mode {
            LimitMode::Decline => None,
            LimitMode::Flag => Some("marks, does not decline"),
            LimitMode::Shadow => Some("on trial"),
        }
    }

    fn restriction(restriction: &Restriction) -> String {
        let rule = match restriction.rule {
            RestrictionRule::Allow => "only",
            RestrictionRule::Deny => "anything but",
        };
        let of = match &restriction.of {
            RestrictionList::Products(products) => list(products, goods),
            RestrictionList::Sites(sites) => format!("stations {}", list(sites, ToString::to_string)),
            RestrictionList::Regions(regions) => format!("regions {}", list(regions, ToString::to_string)),
            RestrictionList::Countries(countries) => {
                format!("countries {}", list(countries, |country| country.as_str().to_owned()))
            }
            RestrictionList::Entries(entries) => {
                format!("cards read by {}", list(entries, |entry| entry_name(*entry).to_owned()))
            }
            RestrictionList::Hours(schedules) => format!("the hours {}", list(schedules, times)),
        };
        format!("{} ({}): {rule} {of}", restriction.id, Self::whose(&restriction.scope))
    }

    fn card_state(state: CardState) -> &'static str {
        match state {
            CardState::Active => "active",
            CardState::Blocked => "blocked",
            CardState::PinLocked => "locked after too many wrong PINs",
            CardState::NotYet => "not valid yet",
            CardState::Expired => "expired",
            CardState::Lost => "reported lost",
            CardState::Stolen => "reported stolen",
            CardState::Closed => "closed for good",
        }
    }
}

fn goods(selector: &ProductSelector) -> String {
    match selector {
        ProductSelector::All => "all".to_owned(),
        ProductSelector::Group(group) => format!("group {group}"),
        ProductSelector::Product(product) => product.as_str().to_owned(),
    }
}

fn times(schedule: &Schedule) -> String {
    let hours = hours(schedule, DAYS);
    let hours = if hours.is_empty() { "always".to_owned() } else { hours };
    match schedule.holidays {
        HolidayRule::Ignore => hours,
        HolidayRule::Except => format!("{hours}, not on holidays"),
        HolidayRule::Also => format!("{hours}, and on holidays"),
    }
}
