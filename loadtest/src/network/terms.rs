//! What the contracts agreed: groups, vehicles and drivers, limits, restrictions, discounts, fees, prompts.
//!
//! In: a contract and its cards. Out: the orders that set its terms up, with the ends of their keys. Guarantees: the same
//! contract has the same terms, always. The contracts of the stories have none that could come first.

use jiff::civil::time;
use model::{
    CalendarUnit, Command, CountryCode, Discount, DiscountOff, Driver, DriverId, Group, GroupId, Limit, LimitId,
    LimitMode, Measure, Millilitres, MinorUnits, MonthlyFee, Policy, ProductCode, ProductSelector, Prompt, Restriction,
    RestrictionId, RestrictionList, RestrictionRule, Schedule, Scope, Vehicle, VehicleId, Window,
};

use super::customers::{Card, Contract, DRY_CONTRACT, TRAVEL_CONTRACT, VELOCITY_CONTRACT};
use super::demand::Trade;
use super::places::{CITIES, Fuel};

/// The first cards of each contract have a record of their vehicle and a driver of their own.
pub(super) const KNOWN_CARDS: usize = 10;
/// What stations sell beside fuel.
pub(super) const SHOP: &str = "SHOP";

/// The order and the end of its key.
pub(super) type Term = (String, Command);

pub(super) fn group_of(card: &Card) -> anyhow::Result<GroupId> {
    Ok(GroupId::new(if card.fuel == Fuel::Diesel { "trucks" } else { "cars" })?)
}

/// The driver of a contract's card, by its place in the contract.
pub(super) fn driver_of(contract: &Contract, place: usize) -> anyhow::Result<Option<DriverId>> {
    if place >= KNOWN_CARDS {
        return Ok(None);
    }
    Ok(Some(DriverId::new(&format!("D-{}-{place}", contract.id))?))
}

pub(super) fn terms(index: usize, contract: &Contract, cards: &[Card]) -> anyhow::Result<Vec<Term>> {
    let mut terms = parties(contract, cards)?;
    if is_story(index) {
        return Ok(terms);
    }
    terms.extend(limits(index, contract, cards)?);
    terms.extend(restrictions(index, contract)?);
    terms.extend(money(index, contract)?);
    terms.extend(policy(index, cards.len()));
    Ok(terms)
}

fn parties(contract: &Contract, cards: &[Card]) -> anyhow::Result<Vec<Term>> {
    const FIRST: [&str; 8] = ["Aigul", "Bolat", "Dana", "Erlan", "Marat", "Olga", "Sergey", "Timur"];
    const LAST: [&str; 7] = ["Akhmetova", "Ivanov", "Kim", "Nurlanov", "Petrov", "Sadykova", "Weber"];
    let mut terms = Vec::new();
    for (id, name) in [("trucks", "Trucks and machines"), ("cars", "Cars")] {
        terms.push((format!("group-{id}"), Command::PutGroup(Group { id: GroupId::new(id)?, name: name.into() })));
    }
    for (place, card) in cards.iter().take(KNOWN_CARDS).enumerate() {
        let vehicle = Vehicle {
            id: VehicleId::new(&card.vehicle)?,
            tank_ml: Some(litres(card.tank_litres)?),
            fuel: Some(ProductSelector::Group(ProductCode::new(card.fuel.group_text())?)),
        };
        terms.push((format!("vehicle-{place}"), Command::PutVehicle(vehicle)));
        if let Some(id) = driver_of(contract, place)? {
            let number = place + contract.cards.start;
            let name = format!("{} {}", FIRST[number % FIRST.len()], LAST[number % LAST.len()]);
            terms.push((format!("driver-{place}"), Command::PutDriver(Driver { id, name, blocked: false })));
        }
    }
    Ok(terms)
}

fn litres(litres: i64) -> anyhow::Result<Millilitres> {
    Ok(Millilitres::new(u64::try_from(litres)? * 1000)?)
}

/// What one purchase with the first card of a contract may be; for after the card is issued.
pub(super) fn card_limit(index: usize, card: &Card) -> anyhow::Result<Option<Term>> {
    if is_story(index) {
        return Ok(None);
    }
    let (id, scope) = (format!("{}:each", card.token), Scope::Card(card.token.clone()));
    let limit = limit(&id, scope, Measure::Volume, card.tank_litres * 800, Window::PerTransaction)?;
    Ok(Some((format!("limit-{}", limit.id), Command::SetLimit(limit))))
}

fn is_story(index: usize) -> bool {
    matches!(index, DRY_CONTRACT | TRAVEL_CONTRACT | VELOCITY_CONTRACT)
}

fn limit(id: &str, scope: Scope, measure: Measure, value: i64, window: Window) -> anyhow::Result<Limit> {
    Ok(Limit {
        id: LimitId::new(id)?,
        scope,
        product: ProductSelector::All,
        measure,
        value,
        window,
        schedule: None,
        mode: LimitMode::Decline,
        alert_left: Some(value / 10),
        valid_from_us: None,
        valid_to_us: None,
        offline: false,
    })
}

fn limits(index: usize, contract: &Contract, cards: &[Card]) -> anyhow::Result<Vec<Term>> {
    let calendar = |unit, count| Window::Calendar { unit, count };
    let spend = contract.daily_spend_minor();
    let mut limits = Vec::new();
    if index.is_multiple_of(2) {
        limits.push(limit("L-month", Scope::Contract, Measure::Money, spend * 26, calendar(CalendarUnit::Month, 1))?);
    } else {
        let window = Window::Rolling { secs: 12 * 3_600 };
        let watched = limit("L-half-day", Scope::Contract, Measure::Money, spend * 2 / 3, window)?;
        limits.push(Limit { mode: LimitMode::Flag, ..watched });
    }
    let tanks = |diesel: bool| cards.iter().filter(move |card| (card.fuel == Fuel::Diesel) == diesel);
    let trucks: i64 = tanks(true).map(|card| card.tank_litres).sum();
    if trucks > 0 {
        let week = limit(
            "L-trucks-week",
            Scope::Group(GroupId::new("trucks")?),
            Measure::Volume,
            trucks * 3_500,
            calendar(CalendarUnit::Week, 1),
        )?;
        limits.push(Limit { product: ProductSelector::Group(ProductCode::new("DIESEL")?), ..week });
    }
    let cars = i64::try_from(tanks(false).count())?;
    if cars > 0 {
        let scope = Scope::Group(GroupId::new("cars")?);
        limits.push(limit("L-cars-day", scope, Measure::Count, cars.max(3), calendar(CalendarUnit::Day, 1))?);
    }
    for (place, card) in cards.iter().take(3).enumerate() {
        let vehicle = Scope::Vehicle(VehicleId::new(&card.vehicle)?);
        let (id, value) = (format!("L-vehicle-{place}"), card.tank_litres * 3_000);
        limits.push(limit(&id, vehicle, Measure::Volume, value, calendar(CalendarUnit::Week, 1))?);
        if let Some(driver) = driver_of(contract, place)? {
            let id = format!("L-driver-{place}");
            let watched = limit(&id, Scope::Driver(driver), Measure::Count, 2, calendar(CalendarUnit::Day, 1))?;
            limits.push(Limit { mode: LimitMode::Flag, alert_left: None, ..watched });
        }
    }
    Ok(limits.into_iter().map(|limit| (format!("limit-{}", limit.id), Command::SetLimit(limit))).collect())
}

fn restrictions(index: usize, contract: &Contract) -> anyhow::Result<Vec<Term>> {
    let mut terms = Vec::new();
    let mut restrict = |id: &str, rule, of| -> anyhow::Result<()> {
        let restriction = Restriction { id: RestrictionId::new(id)?, scope: Scope::Contract, rule, of };
        terms.push((format!("restriction-{id}"), Command::SetRestriction(restriction)));
        Ok(())
    };
    if index.is_multiple_of(3) {
        let shop = ProductSelector::Group(ProductCode::new(SHOP)?);
        restrict("no-shop", RestrictionRule::Deny, RestrictionList::Products(vec![shop]))?;
    }
    if contract.trade == Trade::Office {
        let working = [true, true, true, true, true, false, false];
        let hours = Schedule { days: working, from: time(6, 0, 0, 0), to: time(22, 0, 0, 0), ..WHOLE_DAY };
        restrict("working-hours", RestrictionRule::Allow, RestrictionList::Hours(vec![hours]))?;
    }
    if index % 7 == 3
        && let Some(country) = CountryCode::new(CITIES[contract.city].country)
    {
        restrict("home", RestrictionRule::Allow, RestrictionList::Countries(vec![country]))?;
    }
    Ok(terms)
}

const WHOLE_DAY: Schedule =
    Schedule { days: [true; 7], from: time(0, 0, 0, 0), to: time(0, 0, 0, 0), holidays: model::HolidayRule::Ignore };

fn money(index: usize, contract: &Contract) -> anyhow::Result<Vec<Term>> {
    let mut terms = Vec::new();
    if contract.trade == Trade::Haulage {
        let product = ProductSelector::Group(ProductCode::new("DIESEL")?);
        let off = DiscountOff::PriceE4(if contract.currency == model::Currency::RUB { 7_000 } else { 30_000 });
        terms.push(("discount-diesel".into(), Command::SetDiscount(Discount { product, off })));
    }
    if !index.is_multiple_of(2) {
        let off = DiscountOff::BasisPoints(100 + 50 * u16::try_from(index % 5)?);
        terms.push(("discount".into(), Command::SetDiscount(Discount { product: ProductSelector::All, off })));
    }
    if index.is_multiple_of(5) {
        let fee = MonthlyFee { name: "Card service".into(), amount_minor: MinorUnits::new(500_000)? };
        terms.push(("fee".into(), Command::SetMonthlyFee(fee)));
    }
    Ok(terms)
}

fn policy(index: usize, cards: usize) -> Option<Term> {
    let mut prompts = Vec::new();
    if index % 3 == 1 {
        prompts.push(Prompt::Odometer);
    }
    if cards <= KNOWN_CARDS && index.is_multiple_of(2) {
        prompts.push(Prompt::Driver);
    }
    let odometer_growth = prompts.contains(&Prompt::Odometer).then_some((0, 5_000));
    let pin_required = index.is_multiple_of(4);
    if prompts.is_empty() && !pin_required {
        return None;
    }
    let policy = Policy { pin_required, prompts, odometer_growth, offline_allowed: index % 10 != 6 };
    Some(("policy".into(), Command::SetPolicy { scope: Scope::Contract, policy: Some(policy) }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::customers::{CONTRACTS, Customers};
    use super::*;

    #[test]
    fn the_network_uses_every_kind_of_term_and_the_stories_are_not_spoilt() {
        let customers = Customers::new(3).expect("customers");
        let mut kinds = HashSet::new();
        for (index, contract) in customers.contracts.iter().enumerate() {
            let terms = terms(index, contract, &customers.cards[contract.cards.clone()]).expect("terms");
            let names: HashSet<&str> = terms.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names.len(), terms.len(), "a key each");
            let story = is_story(index);
            assert_eq!(card_limit(index, &customers.cards[contract.cards.start]).expect("a term").is_none(), story);
            for (_, command) in &terms {
                let kind = match command {
                    Command::SetLimit(limit) => {
                        format!("limit {:?} {:?}", std::mem::discriminant(&limit.scope), limit.measure)
                    }
                    other => format!("{:?}", std::mem::discriminant(other)),
                };
                let is_party = matches!(command, Command::PutGroup(_) | Command::PutVehicle(_) | Command::PutDriver(_));
                assert!(is_party || !story, "{kind}");
                kinds.insert(kind);
            }
        }
        assert_eq!(customers.contracts.len(), CONTRACTS);
        assert!(kinds.len() >= 12, "{kinds:?}");
    }
}
