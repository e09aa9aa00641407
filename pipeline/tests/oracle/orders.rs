//! Orders of the back office, one after the other as they are written down.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use model::{
    Block, CalendarUnit, CardToken, Closure, Code, Command, CommandMessage, ContractId, Limit, LimitId, LimitMode,
    Measure, ProductSelector, Scope, TimestampUs, Window,
};

use crate::book::{Card, Contract, Fee, KeptLimit, Money, Purchase, State};
use crate::calendar::Calendar;

/// Carries the order out; the code when it is refused.
pub(crate) fn carry_out(contracts: &mut BTreeMap<ContractId, Contract>, message: &CommandMessage) -> Option<Code> {
    if let Command::OpenContract { currency, time_zone, week_start, .. } = &message.command {
        if contracts.contains_key(&message.contract) {
            return Some(Code::ContractExists);
        }
        let Ok(zone) = TimeZone::get(time_zone) else { return Some(Code::TimeZoneUnknown) };
        let contract = Contract {
            currency: *currency,
            calendar: Calendar { zone, week_start: *week_start, holidays: Vec::new() },
            term: (None, None),
            blocks: Vec::new(),
            credit: 0,
            money: Vec::new(),
            references: BTreeSet::new(),
            cards: BTreeMap::new(),
            groups: BTreeSet::new(),
            vehicles: BTreeMap::new(),
            drivers: BTreeMap::new(),
            limits: Vec::new(),
            restrictions: Vec::new(),
            policies: Vec::new(),
            discounts: Vec::new(),
            fees: Vec::new(),
            purchases: Vec::new(),
        };
        contracts.insert(message.contract.clone(), contract);
        return None;
    }
    let Some(contract) = contracts.get_mut(&message.contract) else { return Some(Code::ContractUnknown) };
    let at = message.at_us.get();
    let us = |time: Option<TimestampUs>| time.map(TimestampUs::get);
    match message.command.clone() {
        Command::OpenContract { .. } => None,
        Command::SetTerm { valid_from_us, valid_to_us } => {
            if never(valid_from_us, valid_to_us) {
                return Some(Code::FmtInvalid);
            }
            contract.term = (us(valid_from_us), us(valid_to_us));
            None
        }
        Command::BlockContract { actor, reason, until_us } => {
            block(&mut contract.blocks, Block { actor, reason, until_us });
            None
        }
        Command::UnblockContract { actor } => {
            if !contract.blocks.is_empty() && contract.blocks.iter().all(|block| block.actor != actor) {
                return Some(Code::NotPermitted);
            }
            contract.blocks.retain(|block| block.actor != actor);
            None
        }
        Command::SetHolidays { days } => {
            contract.calendar.holidays = days.iter().map(|day| day.0).collect();
            None
        }
        Command::TopUp { amount_minor, currency, reference, .. } if currency == contract.currency => {
            if amount_minor.get() <= 0 {
                return Some(Code::FmtInvalid);
            }
            if !contract.references.insert(reference) {
                return Some(Code::TopUpExists);
            }
            contract.money.push(Money::Own(amount_minor.get()));
            None
        }
        Command::SetCreditLine { amount_minor, currency } if currency == contract.currency => {
            if amount_minor.get() < 0 {
                return Some(Code::FmtInvalid);
            }
            contract.credit = amount_minor.get();
            None
        }
        Command::Adjust { amount_minor, currency, .. } if currency == contract.currency => {
            contract.money.push(Money::Own(amount_minor.get()));
            None
        }
        Command::TopUp { .. } | Command::SetCreditLine { .. } | Command::Adjust { .. } => Some(Code::CurrencyMismatch),
        Command::SetMonthlyFee(fee) => {
            // A month that has begun for the contract's fees stays as it was charged.
            let begun = contract.fees.iter().map(|known| known.charged_to).max();
            let charged_to = begun.max(Some(contract.calendar.local(at).date().first_of_month())).unwrap();
            contract.fees.retain(|known| known.fee.name != fee.name);
            if fee.amount_minor.get() > 0 {
                contract.fees.push(Fee { fee, charged_to });
            }
            None
        }
        Command::SetDiscount(discount) => {
            contract.discounts.retain(|known| known.product != discount.product);
            contract.discounts.push(discount);
            None
        }
        Command::RemoveDiscount { product } => {
            contract.discounts.retain(|known| known.product != product);
            None
        }
        Command::Bill { .. } => {
            let unbilled = contract.sums().unbilled;
            contract.money.push(Money::Billed(unbilled));
            None
        }
        Command::IssueCard {
            card,
            kind,
            group,
            vehicle,
            driver,
            valid_from_us,
            valid_to_us,
            daily_ml,
            daily_minor,
            ..
        } => {
            if contract.cards.contains_key(&card) {
                return Some(Code::CardExists);
            }
            let scopes = [
                group.clone().map(Scope::Group),
                vehicle.clone().map(Scope::Vehicle),
                driver.clone().map(Scope::Driver),
            ];
            if let Some(code) = scopes.iter().flatten().find_map(|scope| unknown(contract, scope)) {
                return Some(code);
            }
            if never(valid_from_us, valid_to_us) {
                return Some(Code::FmtInvalid);
            }
            let issued = Card {
                kind,
                group,
                vehicle,
                driver,
                valid: (us(valid_from_us), us(valid_to_us)),
                closed: None,
                blocks: Vec::new(),
                rests: Vec::new(),
                wrong_pins: 0,
                pin_locked_until: None,
                odometer: None,
            };
            contract.cards.insert(card.clone(), issued);
            if daily_ml.is_some() || daily_minor.is_some() {
                daily(contract, &card, (daily_ml, daily_minor), at);
            }
            None
        }
        Command::BlockCard { ref card, .. }
        | Command::UnblockCard { ref card, .. }
        | Command::CloseCard { ref card, .. }
            if closed(contract, card).is_some() =>
        {
            closed(contract, card)
        }
        Command::BlockCard { card, reason, actor, until_us } => with_card(contract, &card, |card| {
            block(&mut card.blocks, Block { actor, reason, until_us });
            card.rests.retain(|(of, _)| *of != actor);
        }),
        Command::UnblockCard { card, actor, until_us } => {
            let blocks = contract.cards.get(&card).map_or(&[][..], |card| &card.blocks);
            if !blocks.is_empty() && blocks.iter().all(|block| block.actor != actor) {
                return Some(Code::NotPermitted);
            }
            with_card(contract, &card, |card| {
                card.rests.retain(|(of, _)| *of != actor);
                match until_us {
                    None => card.blocks.retain(|block| block.actor != actor),
                    Some(until) => card.rests.push((actor, until.get())),
                }
            })
        }
        Command::CloseCard { card, closure } => with_card(contract, &card, |card| card.closed = Some(closure)),
        Command::ResetPin { card } => with_card(contract, &card, |card| {
            card.wrong_pins = 0;
            card.pin_locked_until = None;
        }),
        Command::AssignCard { card, group, vehicle, driver } => {
            let scopes = [
                Some(Scope::Card(card.clone())),
                group.clone().map(Scope::Group),
                vehicle.clone().map(Scope::Vehicle),
                driver.clone().map(Scope::Driver),
            ];
            if let Some(code) = scopes.iter().flatten().find_map(|scope| unknown(contract, scope)) {
                return Some(code);
            }
            with_card(contract, &card, |card| (card.group, card.vehicle, card.driver) = (group, vehicle, driver))
        }
        Command::PutGroup(group) => {
            contract.groups.insert(group.id);
            None
        }
        Command::PutVehicle(vehicle) => {
            contract.vehicles.insert(vehicle.id.clone(), vehicle);
            None
        }
        Command::PutDriver(driver) => {
            contract.drivers.insert(driver.id.clone(), driver);
            None
        }
        Command::SetLimit(limit) => {
            if limit.value < 0 {
                return Some(Code::FmtInvalid);
            }
            if let Some(code) = unknown(contract, &limit.scope) {
                return Some(code);
            }
            if !in_reach(limit.window) || never(limit.valid_from_us, limit.valid_to_us) {
                return Some(Code::FmtInvalid);
            }
            set(contract, limit, at);
            None
        }
        Command::ChangeLimit { limit, value } => {
            let Some(kept) = contract.limits.iter_mut().find(|kept| kept.limit.id == limit) else {
                return Some(Code::LimitUnknown);
            };
            if value < 0 {
                return Some(Code::FmtInvalid);
            }
            kept.limit.value = value;
            None
        }
        Command::RemoveLimit { limit } => {
            let before = contract.limits.len();
            contract.limits.retain(|kept| kept.limit.id != limit);
            (contract.limits.len() == before).then_some(Code::LimitUnknown)
        }
        Command::SetDailyLimit { card, daily_ml, daily_minor } => {
            if !contract.cards.contains_key(&card) {
                return Some(Code::CardUnknown);
            }
            daily(contract, &card, (daily_ml, daily_minor), at);
            None
        }
        Command::SetRestriction(restriction) => {
            if let Some(code) = unknown(contract, &restriction.scope) {
                return Some(code);
            }
            contract.restrictions.retain(|known| known.id != restriction.id);
            contract.restrictions.push(restriction);
            None
        }
        Command::RemoveRestriction { restriction } => {
            let before = contract.restrictions.len();
            contract.restrictions.retain(|known| known.id != restriction);
            (contract.restrictions.len() == before).then_some(Code::RestrictionUnknown)
        }
        Command::SetPolicy { scope, policy } => {
            if let Some(code) = unknown(contract, &scope) {
                return Some(code);
            }
            contract.policies.retain(|(of, _)| *of != scope);
            contract.policies.extend(policy.map(|policy| (scope, policy)));
            None
        }
        Command::ReleaseHold { auth_code, .. } => {
            let open = |purchase: &&mut Purchase| {
                purchase.auth_code == auth_code && matches!(purchase.state, State::Held { .. })
            };
            let Some(purchase) = contract.purchases.iter_mut().find(open) else { return Some(Code::OriginalUnknown) };
            // The fuel may be in the vehicle all the same: a completion that comes is posted late.
            let State::Held { lines, .. } = &purchase.state else { return Some(Code::OriginalUnknown) };
            purchase.state = State::Expired { lines: lines.clone() };
            None
        }
        // The oracle's histories leave the fraud rules off, and the register moves no money.
        Command::SetRule { .. } | Command::MatchRegister(_) | Command::CloseRegister { .. } => None,
    }
}

/// A time that ends before it begins.
fn never(from: Option<TimestampUs>, to: Option<TimestampUs>) -> bool {
    from.zip(to).is_some_and(|(from, to)| to <= from)
}

fn block(blocks: &mut Vec<Block>, block: Block) {
    blocks.retain(|known: &Block| known.actor != block.actor);
    blocks.push(block);
}

/// What a card that is closed for good answers to orders.
fn closed(contract: &Contract, card: &CardToken) -> Option<Code> {
    Some(match contract.cards.get(card)?.closed? {
        Closure::Lost => Code::CardLost,
        Closure::Stolen => Code::CardStolen,
        Closure::Returned => Code::CardClosed,
    })
}

fn with_card(contract: &mut Contract, card: &CardToken, change: impl FnOnce(&mut Card)) -> Option<Code> {
    match contract.cards.get_mut(card) {
        Some(card) => {
            change(card);
            None
        }
        None => Some(Code::CardUnknown),
    }
}

fn unknown(contract: &Contract, scope: &Scope) -> Option<Code> {
    let (known, code) = match scope {
        Scope::Contract => return None,
        Scope::Group(group) => (contract.groups.contains(group), Code::GroupUnknown),
        Scope::Card(card) => (contract.cards.contains_key(card), Code::CardUnknown),
        Scope::Vehicle(vehicle) => (contract.vehicles.contains_key(vehicle), Code::VehicleUnknown),
        Scope::Driver(driver) => (contract.drivers.contains_key(driver), Code::DriverUnknown),
    };
    (!known).then_some(code)
}

/// Whether a card remembers purchases for so long.
fn in_reach(window: Window) -> bool {
    match window {
        Window::PerTransaction | Window::Lifetime | Window::OneOff => true,
        Window::Rolling { secs } => (1..=31 * 24 * 3600).contains(&secs),
        Window::Calendar { unit, count } => {
            let most = match unit {
                CalendarUnit::Day => 31,
                CalendarUnit::Week | CalendarUnit::Quarter => 4,
                CalendarUnit::Month => 12,
                CalendarUnit::Year => 1,
            };
            (1..=most).contains(&count)
        }
    }
}

fn set(contract: &mut Contract, limit: Limit, at: i64) {
    match contract.limits.iter_mut().find(|kept| kept.limit.id == limit.id) {
        Some(kept) => kept.limit = limit,
        None => contract.limits.push(KeptLimit { limit, first_set_us: at }),
    }
}

fn daily(
    contract: &mut Contract,
    card: &CardToken,
    (ml, minor): (Option<model::Millilitres>, Option<model::MinorUnits>),
    at: i64,
) {
    let values = [
        ("volume", Measure::Volume, ml.map(|ml| i64::try_from(ml.get()).unwrap())),
        ("money", Measure::Money, minor.map(model::MinorUnits::get)),
    ];
    for (what, measure, value) in values {
        let id = LimitId::new(&format!("{card}:daily-{what}")).unwrap();
        let Some(value) = value else {
            contract.limits.retain(|kept| kept.limit.id != id);
            continue;
        };
        let limit = Limit {
            id,
            scope: Scope::Card(card.clone()),
            product: ProductSelector::All,
            measure,
            value,
            window: Window::Calendar { unit: CalendarUnit::Day, count: 1 },
            schedule: None,
            mode: LimitMode::Decline,
            alert_left: None,
            valid_from_us: None,
            valid_to_us: None,
            offline: false,
        };
        set(contract, limit, at);
    }
}
