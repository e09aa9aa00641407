//! Facts about limits, restrictions, policies, discounts, groups, vehicles and drivers.
//!
//! Guarantees: a limit that is set again keeps its place and its sums where it counts the same purchases; rules of a party
//! stay when the party is described anew.

use model::{
    Discount, Driver, Group, Holiday, Limit, LimitId, Policy, ProductSelector, Restriction, RestrictionId,
    RestrictionList, Scope, TimestampUs, Vehicle,
};

use super::super::settings::{Named, Setting};
use super::super::state::{Ix, NONE, Parties, Party, Rules};
use super::super::tables::{Holder, Tables};
use super::super::usage::Counter;
use super::with;

/// Decisions name how often the rules had changed.
fn changed(tables: &mut Tables, ix: Ix) {
    with(tables, ix, |contract| contract.rules_version += 1);
}

pub(super) fn holidays_set(tables: &mut Tables, ix: Ix, days: &[Holiday]) {
    with(tables, ix, |contract| contract.holidays = days.to_vec());
    recount_for_holidays(tables, ix);
    changed(tables, ix);
}

pub(super) fn restriction_set(tables: &mut Tables, ix: Ix, restriction: &Restriction) {
    if let RestrictionList::Products(products) = &restriction.of {
        for product in products {
            tables.selector(product);
        }
    }
    each_rules(tables, ix, |rules| rules.remove_restriction(&restriction.id));
    if let Some(rules) = rules_of(tables, ix, &restriction.scope) {
        rules.rare.get_or_insert_with(Box::default).restrictions.push(restriction.clone());
    }
    changed(tables, ix);
}

pub(super) fn restriction_removed(tables: &mut Tables, ix: Ix, restriction: &RestrictionId) {
    each_rules(tables, ix, |rules| rules.remove_restriction(restriction));
    changed(tables, ix);
}

pub(super) fn policy_set(tables: &mut Tables, ix: Ix, scope: &Scope, policy: Option<&Policy>) {
    if let Some(rules) = rules_of(tables, ix, scope) {
        rules.rare.get_or_insert_with(Box::default).policy = policy.cloned();
    }
    changed(tables, ix);
}

pub(super) fn discount_set(tables: &mut Tables, ix: Ix, discount: &Discount) {
    let selector = tables.selector(&discount.product);
    with(tables, ix, |contract| {
        contract.discounts.retain(|(known, _)| *known != selector);
        contract.discounts.push((selector, discount.clone()));
    });
    changed(tables, ix);
}

pub(super) fn discount_removed(tables: &mut Tables, ix: Ix, product: &ProductSelector) {
    let selector = tables.selector(product);
    with(tables, ix, |contract| contract.discounts.retain(|(known, _)| *known != selector));
    changed(tables, ix);
}

pub(super) fn put_group(tables: &mut Tables, ix: Ix, group: &Group) {
    put_party(tables, ix, |parties| {
        let place = place(&mut parties.groups, |party| party.id == group.id, group);
        parties.group_ix.insert(group.id.clone(), place);
    });
}

pub(super) fn put_vehicle(tables: &mut Tables, ix: Ix, vehicle: &Vehicle) {
    if let Some(fuel) = &vehicle.fuel {
        tables.selector(fuel);
    }
    put_party(tables, ix, |parties| {
        let place = place(&mut parties.vehicles, |party| party.id == vehicle.id, vehicle);
        parties.vehicle_ix.insert(vehicle.id.clone(), place);
    });
}

pub(super) fn put_driver(tables: &mut Tables, ix: Ix, driver: &Driver) {
    put_party(tables, ix, |parties| {
        let place = place(&mut parties.drivers, |party| party.id == driver.id, driver);
        parties.driver_ix.insert(driver.id.clone(), place);
    });
}

fn put_party(tables: &mut Tables, ix: Ix, put: impl FnOnce(&mut Parties)) {
    with(tables, ix, |contract| put(contract.parties_mut()));
    changed(tables, ix);
}

/// Replaces the party or adds it; its rules stay.
fn place<P: Clone>(parties: &mut Vec<Party<P>>, same: impl Fn(&P) -> bool, party: &P) -> Ix {
    if let Some(place) = parties.iter().position(|known| same(&known.party)) {
        parties[place].party = party.clone();
        return Ix::try_from(place).unwrap_or(NONE);
    }
    parties.push(Party { party: party.clone(), rules: Rules::default() });
    Ix::try_from(parties.len() - 1).unwrap_or(NONE)
}

/// Whom a scope names; `None` when it is unknown.
pub(in super::super) fn holder(tables: &Tables, ix: Ix, scope: &Scope) -> Option<Holder> {
    let parties = tables.contracts.get(ix as usize)?.parties.as_ref();
    match scope {
        Scope::Contract => Some(Holder::Contract),
        Scope::Card(token) => tables.card(ix, token).map(Holder::Card),
        Scope::Group(id) => parties?.group_ix.get(id).copied().map(Holder::Group),
        Scope::Vehicle(id) => parties?.vehicle_ix.get(id).copied().map(Holder::Vehicle),
        Scope::Driver(id) => parties?.driver_ix.get(id).copied().map(Holder::Driver),
    }
}

fn rules_of<'a>(tables: &'a mut Tables, ix: Ix, scope: &Scope) -> Option<&'a mut Rules> {
    match holder(tables, ix, scope)? {
        Holder::Card(card) => tables.cards.get_mut(card as usize).map(|card| &mut card.rules),
        holder => {
            let contract = tables.contracts.get_mut(ix as usize)?;
            match holder {
                Holder::Contract | Holder::Card(_) => Some(&mut contract.rules),
                Holder::Group(ix) => contract.parties_mut().groups.get_mut(ix as usize).map(|party| &mut party.rules),
                Holder::Vehicle(ix) => {
                    contract.parties_mut().vehicles.get_mut(ix as usize).map(|party| &mut party.rules)
                }
                Holder::Driver(ix) => contract.parties_mut().drivers.get_mut(ix as usize).map(|party| &mut party.rules),
            }
        }
    }
}

/// All rules of a contract, those of its cards included: for the rare removal by name.
fn each_rules(tables: &mut Tables, ix: Ix, mut change: impl FnMut(&mut Rules)) {
    let Some(contract) = tables.contracts.get_mut(ix as usize) else { return };
    change(&mut contract.rules);
    if let Some(parties) = &mut contract.parties {
        parties.groups.iter_mut().for_each(|party| change(&mut party.rules));
        parties.vehicles.iter_mut().for_each(|party| change(&mut party.rules));
        parties.drivers.iter_mut().for_each(|party| change(&mut party.rules));
    }
    for card in &contract.cards {
        if let Some(card) = tables.cards.get_mut(*card as usize) {
            change(&mut card.rules);
        }
    }
}

impl Rules {
    fn remove_restriction(&mut self, id: &RestrictionId) {
        if let Some(rare) = &mut self.rare {
            rare.restrictions.retain(|known| known.id != *id);
        }
    }
}

pub(super) fn set_limit(tables: &mut Tables, ix: Ix, at: TimestampUs, limit: &Limit, version: u32) {
    put_limit(tables, ix, at, limit, version);
    changed(tables, ix);
}

fn put_limit(tables: &mut Tables, ix: Ix, at: TimestampUs, limit: &Limit, version: u32) {
    let selector = tables.selector(&limit.product);
    let Some(contract) = tables.contracts.get_mut(ix as usize) else { return };
    let week_start = contract.week_start;
    let setting = Ix::try_from(contract.settings.len()).unwrap_or(NONE);
    contract.settings.push(Setting { limit: limit.clone(), version });
    let before = contract.settings.named(&limit.id).filter(|named| !named.removed);
    let (first, since) = before.map_or((setting, at), |before| (before.first, before.since));
    contract.settings.name(limit.id.clone(), Named { setting, removed: false, first, since });
    let old = before.and_then(|before| Some((before.setting, contract.settings.get(before.setting)?.limit.clone())));
    let counted = old.and_then(|(place, old)| {
        let rules = rules_of(tables, ix, &old.scope)?;
        let place = rules.limits.iter().position(|counter| counter.limit == place)?;
        let counter = rules.limits.remove(place);
        // The same purchases count as before: the sums go on.
        counts_alike(&old, limit).then_some(counter)
    });
    let Some(holder) = holder(tables, ix, &limit.scope) else { return };
    let counter = match counted {
        Some(counter) => counter.with(setting, limit),
        None => {
            let mut counter = Counter::new(setting, limit, selector, week_start, since.get());
            tables.fill(ix, holder, &mut counter);
            counter
        }
    };
    let firsts = |tables: &mut Tables, limits: &[Ix]| -> usize {
        let contract = tables.contracts.get(ix as usize);
        limits
            .iter()
            .position(|known| contract.is_some_and(|contract| contract.first_setting(*known) > first))
            .unwrap_or(limits.len())
    };
    let Some(rules) = rules_of(tables, ix, &limit.scope) else { return };
    let known: Vec<Ix> = rules.limits.iter().map(|counter| counter.limit).collect();
    let place = firsts(tables, &known);
    if let Some(rules) = rules_of(tables, ix, &limit.scope) {
        rules.limits.insert(place, counter);
        rules.limits.shrink_to_fit();
    }
}

pub(super) fn remove_limit(tables: &mut Tables, ix: Ix, id: &LimitId) {
    drop_limit(tables, ix, id);
    changed(tables, ix);
}

fn drop_limit(tables: &mut Tables, ix: Ix, id: &LimitId) {
    let Some(contract) = tables.contracts.get_mut(ix as usize) else { return };
    let Some(setting) = contract.settings.remove(id) else { return };
    let Some(scope) = contract.settings.get(setting).map(|setting| setting.limit.scope.clone()) else {
        return;
    };
    if let Some(rules) = rules_of(tables, ix, &scope) {
        rules.limits.retain(|counter| counter.limit != setting);
    }
}

/// Limits whose hours look at holidays count other purchases when the holidays change.
fn recount_for_holidays(tables: &mut Tables, ix: Ix) {
    let Some(contract) = tables.contracts.get(ix as usize) else { return };
    let mut current: Vec<Named> = contract.settings.names().filter(|named| !named.removed).collect();
    current.retain(|named| {
        let schedule = contract.settings.get(named.setting).and_then(|setting| setting.limit.schedule.as_ref());
        schedule.is_some_and(|schedule| !schedule.holidays.is_ignore())
    });
    let week_start = contract.week_start;
    for Named { setting, since, .. } in current {
        let limit = tables.contracts.get(ix as usize).and_then(|contract| contract.settings.get(setting));
        let Some(limit) = limit.map(|setting| setting.limit.clone()) else { continue };
        let Some(holder) = holder(tables, ix, &limit.scope) else { continue };
        let selector = tables.selector(&limit.product);
        let mut counter = Counter::new(setting, &limit, selector, week_start, since.get());
        tables.fill(ix, holder, &mut counter);
        if let Some(known) = rules_of(tables, ix, &limit.scope)
            .and_then(|rules| rules.limits.iter_mut().find(|known| known.limit == setting))
        {
            *known = counter;
        }
    }
}

/// Whether two settings of a limit count the same purchases in the same windows.
fn counts_alike(one: &Limit, other: &Limit) -> bool {
    let of = |limit: &Limit| {
        (limit.scope.clone(), limit.product.clone(), limit.measure, limit.window, limit.schedule, limit.offline)
    };
    of(one) == of(other)
}
