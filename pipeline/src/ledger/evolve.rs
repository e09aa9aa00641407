//! What an answer and an order change. The only way in which a shard changes, live and when the ledger is folded.
//!
//! In: what was decided, in figures; facts of orders. Out: the shard after it. Guarantees: total, nothing has an answer that
//! panics; a fact about something unknown changes nothing. Does not: check rules; what is recorded is true.

use std::collections::VecDeque;

use model::{
    Block, Code, Fact, FraudRule, Location, RegisterOutcome, Scope, SiteId, TerminalId, TimestampUs, TopUpState,
    TransactionKind,
};

use super::Config;
use super::calendar::Local;
use super::decide::Effect;
use super::lines::Lines;
use super::state::{
    Card, Contract, Face, Ix, Money, NONE, Named, Party, Purchase, PurchaseState, Rules, Setting, TopUp,
};
use super::tables::{Holder, Tables, found};
use super::usage::Counter;

/// A decided transaction as the state sees it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) card: Ix,
    pub(super) kind: TransactionKind,
    pub(super) code: Code,
    pub(super) approved: bool,
    pub(super) effect: Effect,
    pub(super) auth: i64,
    pub(super) lines: Lines,
    pub(super) expires_at_us: i64,
    /// When it counts.
    pub(super) at: TimestampUs,
    pub(super) local: Local,
    pub(super) received_at: TimestampUs,
    pub(super) vehicle: Ix,
    pub(super) driver: Ix,
    pub(super) terminal: u32,
    pub(super) location: Option<Location>,
    pub(super) odometer: Option<u32>,
}

/// When an order or the passing of time took effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub(super) at: TimestampUs,
}

/// Tells terminals apart: enough to notice that another one completes.
pub(super) fn terminal_hash(site: &SiteId, terminal: &TerminalId) -> u32 {
    use std::hash::BuildHasher;
    let hash = foldhash::fast::FixedState::default().hash_one((site.as_str(), terminal.as_str()));
    u32::try_from(hash >> 32).unwrap_or(0)
}

/// Takes in what a transaction led to.
pub(super) fn transaction(tables: &mut Tables, config: &Config, change: Change) {
    let asked = matches!(change.kind, TransactionKind::Preauth | TransactionKind::Sale);
    let online = !matches!(change.code, Code::PostedOffline | Code::OfflineLimit | Code::PostedForced);
    let visit = asked && online && change.approved;
    if let Some(card) = tables.cards.get_mut(change.card as usize) {
        if change.code == Code::PinWrong && change.kind != TransactionKind::DryRun {
            card.wrong_pin(config, change.at);
        } else if visit {
            card.visited(&change);
        }
    }
    match change.effect {
        Effect::Nothing => {}
        Effect::Hold => tables.begin(change.card, change.purchase(tables, PurchaseState::Held, visit)),
        Effect::Extend => {
            let Some(held) = held_lines(tables, &change) else { return };
            let more = held.plus(&change.lines);
            tables.change(change.card, change.auth, PurchaseState::Held, more);
        }
        Effect::Post => {
            let known = tables.cards.get(change.card as usize).and_then(|card| card.purchase(change.auth));
            match known.map(|purchase| purchase.state) {
                None => tables.begin(change.card, change.purchase(tables, PurchaseState::Sold, visit)),
                Some(PurchaseState::Held | PurchaseState::Expired) => {
                    tables.change(change.card, change.auth, PurchaseState::Sold, change.lines);
                }
                Some(PurchaseState::Reversed | PurchaseState::Sold | PurchaseState::Voided) => {}
            }
        }
        Effect::Release => release(tables, change.card, change.auth, PurchaseState::Reversed),
        Effect::Void => {
            if state_of(tables, change.card, change.auth) == Some(PurchaseState::Sold) {
                tables.change(change.card, change.auth, PurchaseState::Voided, Lines::default());
            }
        }
        Effect::GiveBack => {
            if state_of(tables, change.card, change.auth) == Some(PurchaseState::Sold)
                && let Some(sold) = held_lines(tables, &change)
            {
                let rest = sold.less(&change.lines);
                tables.change(change.card, change.auth, PurchaseState::Sold, rest);
            }
        }
    }
}

fn state_of(tables: &Tables, card: Ix, auth: i64) -> Option<PurchaseState> {
    tables.cards.get(card as usize)?.purchase(auth).map(|purchase| purchase.state)
}

fn held_lines(tables: &Tables, change: &Change) -> Option<Lines> {
    tables.cards.get(change.card as usize)?.purchase(change.auth).map(|purchase| purchase.lines.clone())
}

fn release(tables: &mut Tables, card: Ix, auth: i64, to: PurchaseState) {
    match state_of(tables, card, auth) {
        Some(PurchaseState::Held) => tables.change(card, auth, to, Lines::default()),
        Some(PurchaseState::Expired) if to == PurchaseState::Reversed => {
            tables.change(card, auth, to, Lines::default());
        }
        _ => {}
    }
}

impl Change {
    fn purchase(&self, tables: &Tables, state: PurchaseState, visit: bool) -> Purchase {
        let card = tables.cards.get(self.card as usize);
        let contract = card.and_then(|card| tables.contracts.get(card.contract as usize));
        Purchase {
            auth: self.auth,
            at: self.at,
            received_at: self.received_at,
            local: self.local,
            expires_at_us: self.expires_at_us,
            lines: self.lines.clone(),
            group: card.map_or(NONE, |card| card.group),
            vehicle: self.vehicle,
            driver: self.driver,
            terminal: self.terminal,
            bills: contract.map_or(0, |contract| contract.bills),
            state,
            offline: matches!(self.code, Code::PostedOffline | Code::OfflineLimit),
            visit,
        }
    }
}

impl Card {
    fn wrong_pin(&mut self, config: &Config, at: TimestampUs) {
        let face = &mut self.face;
        if face.pin_locked_until_us != i64::MIN && at.get() >= face.pin_locked_until_us {
            (face.pin_tries, face.pin_locked_until_us) = (0, i64::MIN);
        }
        face.pin_tries = face.pin_tries.saturating_add(1);
        if face.pin_tries >= config.pin_tries_max {
            face.pin_locked_until_us = at.plus_us(config.pin_lock_us).get();
        }
        self.review();
    }

    fn visited(&mut self, change: &Change) {
        if !self.plain && (self.face.pin_tries > 0 || self.face.pin_locked_until_us != i64::MIN) {
            (self.face.pin_tries, self.face.pin_locked_until_us) = (0, i64::MIN);
            self.review();
        }
        self.last_visit = self.last_visit.max(change.at);
        if change.odometer.is_some() {
            self.odometer = change.odometer;
        }
        if let Some(location) = change.location
            && self.last_seen.is_none_or(|(last, _)| change.at >= last)
        {
            self.last_seen = Some((change.at, location));
        }
    }
}

/// Takes in a fact that is not the answer to a transaction. `contract` is the contract of its outcome.
pub(super) fn fact(tables: &mut Tables, id: &model::ContractId, when: When, fact: &Fact) {
    if let Fact::ContractOpened { currency, time_zone, week_start, .. } = fact {
        if tables.contract(id).is_none() {
            let zone = tables.zone(time_zone);
            let ix = Ix::try_from(tables.contracts.len()).unwrap_or(NONE);
            tables.contracts.push(Contract::open(id.clone(), *currency, zone, *week_start));
            tables.contract_ix.insert(id.clone(), ix);
            tables.due_us.push(i64::MAX);
        }
        return;
    }
    let Some(ix) = tables.contract(id) else { return };
    if rules(tables, ix, when, fact) || cards(tables, ix, when, fact) {
        return;
    }
    let zone = tables.contracts.get(ix as usize).map_or(0, |contract| contract.zone);
    let next_month = tables.zones.get(usize::from(zone)).map(|zone| match fact {
        Fact::FeeCharged { month, .. } => zone.month_after(month).unwrap_or_else(|| zone.next_month(when.at)),
        _ => zone.next_month(when.at),
    });
    let Some(contract) = tables.contracts.get_mut(ix as usize) else { return };
    money(contract, when, next_month, fact);
    review_due(tables, ix);
}

pub(super) fn review_due(tables: &mut Tables, ix: Ix) {
    if let (Some(contract), Some(due)) = (tables.contracts.get(ix as usize), tables.due_us.get_mut(ix as usize)) {
        *due = contract.due_us();
    }
}

/// Facts about the contract and its money.
fn money(contract: &mut Contract, when: When, next_month: Option<TimestampUs>, fact: &Fact) {
    let own = |money: &mut Money, change: i64| money.own = money.own.saturating_add(change);
    match fact {
        Fact::TermSet { valid_from_us, valid_to_us } => {
            contract.valid_from_us = valid_from_us.map_or(i64::MIN, TimestampUs::get);
            contract.valid_to_us = valid_to_us.map_or(i64::MAX, TimestampUs::get);
        }
        Fact::ContractBlocked(block) => put_block(&mut contract.blocks, block.clone()),
        Fact::ContractUnblocked { actor } => contract.blocks.retain(|block| block.actor != *actor),
        Fact::ToppedUp { amount_minor, reference, .. } => {
            own(&mut contract.money, amount_minor.get());
            let (amount_minor, at) = (amount_minor.get(), when.at);
            let top_up = TopUp { amount_minor, at, state: TopUpState::Credited };
            contract.books_mut().top_ups.insert(reference.clone(), top_up);
        }
        Fact::RegisterMatched { line, outcome, .. } => {
            let books = contract.books_mut();
            books.register_lines.insert(line.reference.clone(), line.amount_minor.get());
            let state = match outcome {
                RegisterOutcome::Matched => TopUpState::RegisterMatched,
                RegisterOutcome::AmountDiffers => TopUpState::AmountDiffers,
                RegisterOutcome::UnknownPayer | RegisterOutcome::Repeated => return,
            };
            if let Some(top_up) = books.top_ups.get_mut(&line.reference) {
                top_up.state = state;
            }
        }
        Fact::RegisterMissing { reference, .. } => {
            if let Some(top_up) = contract.books_mut().top_ups.get_mut(reference) {
                top_up.state = TopUpState::RegisterMissing;
            }
        }
        Fact::CreditLineSet { amount_minor } => contract.money.credit = amount_minor.get(),
        Fact::Adjusted { amount_minor, .. } => own(&mut contract.money, amount_minor.get()),
        Fact::MonthlyFeeSet(fee) => {
            let books = contract.books_mut();
            if books.fees.is_empty()
                && let Some(next_month) = next_month
            {
                books.fees_due_us = next_month.get();
            }
            books.fees.retain(|known| known.name != fee.name);
            if !fee.amount_minor.is_zero() {
                books.fees.push(fee.clone());
            }
        }
        Fact::FeeCharged { amount_minor, .. } => {
            own(&mut contract.money, -amount_minor.get());
            if let Some(next_month) = next_month {
                contract.books_mut().fees_due_us = next_month.get();
            }
        }
        Fact::Billed { amount_minor, .. } => {
            own(&mut contract.money, -amount_minor.get());
            contract.money.unbilled = contract.money.unbilled.saturating_sub(amount_minor.get());
            contract.bills = contract.bills.saturating_add(1);
        }
        Fact::RuleSet { rule, mode } => match rule {
            FraudRule::Velocity => contract.velocity = *mode,
            FraudRule::ImpossibleTravel => contract.travel = *mode,
        },
        _ => {}
    }
}

fn put_block(blocks: &mut Vec<Block>, block: Block) {
    blocks.retain(|known| known.actor != block.actor);
    blocks.push(block);
    blocks.sort_by_key(|block| block.actor);
}

/// Facts about limits, restrictions, policies, discounts, groups, vehicles, drivers. True when it was one.
fn rules(tables: &mut Tables, ix: Ix, when: When, fact: &Fact) -> bool {
    match fact {
        Fact::LimitSet { limit, version } => set_limit(tables, ix, when, limit, *version),
        Fact::LimitRemoved { limit } => remove_limit(tables, ix, limit),
        Fact::HolidaysSet { days } => {
            if let Some(contract) = tables.contracts.get_mut(ix as usize) {
                contract.holidays.clone_from(days);
            }
            recount_for_holidays(tables, ix);
        }
        Fact::RestrictionSet(restriction) => {
            if let model::RestrictionList::Products(products) = &restriction.of {
                for product in products {
                    tables.selector(product);
                }
            }
            each_rules(tables, ix, |rules| rules.remove_restriction(&restriction.id));
            if let Some(rules) = rules_of(tables, ix, &restriction.scope) {
                rules.rare.get_or_insert_with(Box::default).restrictions.push(restriction.clone());
            }
        }
        Fact::RestrictionRemoved { restriction } => {
            each_rules(tables, ix, |rules| rules.remove_restriction(restriction));
        }
        Fact::PolicySet { scope, policy } => {
            if let Some(rules) = rules_of(tables, ix, scope) {
                rules.rare.get_or_insert_with(Box::default).policy.clone_from(policy);
            }
        }
        Fact::DiscountSet(discount) => {
            let selector = tables.selector(&discount.product);
            if let Some(contract) = tables.contracts.get_mut(ix as usize) {
                contract.discounts.retain(|(known, _)| *known != selector);
                contract.discounts.push((selector, discount.clone()));
            }
        }
        Fact::DiscountRemoved { product } => {
            let selector = tables.selector(product);
            if let Some(contract) = tables.contracts.get_mut(ix as usize) {
                contract.discounts.retain(|(known, _)| *known != selector);
            }
        }
        Fact::GroupPut(group) => put_party(tables, ix, |parties| {
            let place = place(&mut parties.groups, |party| party.id == group.id, group);
            parties.group_ix.insert(group.id.clone(), place);
        }),
        Fact::VehiclePut(vehicle) => {
            if let Some(fuel) = &vehicle.fuel {
                tables.selector(fuel);
            }
            put_party(tables, ix, |parties| {
                let place = place(&mut parties.vehicles, |party| party.id == vehicle.id, vehicle);
                parties.vehicle_ix.insert(vehicle.id.clone(), place);
            });
        }
        Fact::DriverPut(driver) => put_party(tables, ix, |parties| {
            let place = place(&mut parties.drivers, |party| party.id == driver.id, driver);
            parties.driver_ix.insert(driver.id.clone(), place);
        }),
        _ => return false,
    }
    if let Some(contract) = tables.contracts.get_mut(ix as usize) {
        contract.rules_version += 1;
    }
    true
}

fn put_party(tables: &mut Tables, ix: Ix, put: impl FnOnce(&mut super::state::Parties)) {
    if let Some(contract) = tables.contracts.get_mut(ix as usize) {
        put(contract.parties_mut());
    }
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
pub(super) fn holder(tables: &Tables, ix: Ix, scope: &Scope) -> Option<Holder> {
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
    fn remove_restriction(&mut self, id: &model::RestrictionId) {
        if let Some(rare) = &mut self.rare {
            rare.restrictions.retain(|known| known.id != *id);
        }
    }
}

fn set_limit(tables: &mut Tables, ix: Ix, when: When, limit: &model::Limit, version: u32) {
    let selector = tables.selector(&limit.product);
    let Some(contract) = tables.contracts.get_mut(ix as usize) else { return };
    let week_start = contract.week_start;
    let setting = Ix::try_from(contract.settings.len()).unwrap_or(NONE);
    contract.settings.push(Setting { limit: limit.clone(), version });
    let before = contract.current.get(&limit.id).copied().filter(|named| !named.removed);
    let (first, since) = before.map_or((setting, when.at), |before| (before.first, before.since));
    contract.current.insert(limit.id.clone(), Named { setting, removed: false, first, since });
    let old =
        before.and_then(|before| Some((before.setting, contract.settings.get(before.setting as usize)?.limit.clone())));
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

/// Limits whose hours look at holidays count other purchases when the holidays change.
fn recount_for_holidays(tables: &mut Tables, ix: Ix) {
    let Some(contract) = tables.contracts.get(ix as usize) else { return };
    let mut current: Vec<Named> = contract.current.values().copied().filter(|named| !named.removed).collect();
    current.retain(|named| {
        let schedule =
            contract.settings.get(named.setting as usize).and_then(|setting| setting.limit.schedule.as_ref());
        schedule.is_some_and(|schedule| !schedule.holidays.is_ignore())
    });
    let week_start = contract.week_start;
    for Named { setting, since, .. } in current {
        let limit = tables.contracts.get(ix as usize).and_then(|contract| contract.settings.get(setting as usize));
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
fn counts_alike(one: &model::Limit, other: &model::Limit) -> bool {
    let of = |limit: &model::Limit| {
        (limit.scope.clone(), limit.product.clone(), limit.measure, limit.window, limit.schedule, limit.offline)
    };
    of(one) == of(other)
}

fn remove_limit(tables: &mut Tables, ix: Ix, id: &model::LimitId) {
    let Some(contract) = tables.contracts.get_mut(ix as usize) else { return };
    let Some(named) = contract.current.get_mut(id) else { return };
    named.removed = true;
    let setting = named.setting;
    let Some(scope) = contract.settings.get(setting as usize).map(|setting| setting.limit.scope.clone()) else {
        return;
    };
    if let Some(rules) = rules_of(tables, ix, &scope) {
        rules.limits.retain(|counter| counter.limit != setting);
    }
}

/// Facts about cards. True when it was one.
fn cards(tables: &mut Tables, ix: Ix, when: When, fact: &Fact) -> bool {
    match fact {
        Fact::CardIssued { card: token, pan_masked, kind, group, vehicle, driver, valid_from_us, valid_to_us } => {
            if tables.card(ix, token).is_some() {
                return true;
            }
            let (group, vehicle, driver) = party_places(tables, ix, (group, vehicle, driver));
            let face = Face {
                pan_masked: pan_masked.clone(),
                kind: *kind,
                valid_from_us: valid_from_us.map_or(i64::MIN, TimestampUs::get),
                valid_to_us: valid_to_us.map_or(i64::MAX, TimestampUs::get),
                closure: None,
                blocks: Vec::new(),
                lifted_until: Vec::new(),
                pin_tries: 0,
                pin_locked_until_us: i64::MIN,
            };
            let mut card = Card {
                token: token.clone(),
                contract: ix,
                group,
                vehicle,
                driver,
                plain: true,
                rules: Rules::default(),
                purchases: VecDeque::new(),
                oldest_us: i64::MAX,
                last_visit: TimestampUs::default(),
                last_seen: None,
                odometer: None,
                face: Box::new(face),
                older: Vec::new(),
            };
            card.review();
            tables.add_card(card);
        }
        Fact::CardBlocked { card, actor, reason, until_us } => with_face(tables, ix, card, |face| {
            let block = Block { actor: *actor, reason: reason.clone(), until_us: *until_us };
            put_block(&mut face.blocks, block);
            face.lifted_until.retain(|(who, _)| who != actor);
        }),
        Fact::CardUnblocked { card, actor, until_us } => with_face(tables, ix, card, |face| {
            face.lifted_until.retain(|(who, _)| who != actor);
            match until_us {
                Some(until) => face.lifted_until.push((*actor, *until)),
                None => face.blocks.retain(|block| block.actor != *actor),
            }
        }),
        Fact::CardClosed { card, closure } => with_face(tables, ix, card, |face| face.closure = Some(*closure)),
        Fact::PinReset { card } => with_face(tables, ix, card, |face| {
            (face.pin_tries, face.pin_locked_until_us) = (0, i64::MIN);
        }),
        Fact::CardAssigned { card, group, vehicle, driver } => {
            let places = party_places(tables, ix, (group, vehicle, driver));
            if let Some(card) = tables.card(ix, card).and_then(|card| tables.cards.get_mut(card as usize)) {
                (card.group, card.vehicle, card.driver) = places;
            }
        }
        // Ended by hand: a completion that comes all the same is posted, as after an expiry.
        Fact::Reversed { card, auth_code, .. } => end_hold(tables, ix, card, auth_code, Some(when.at)),
        Fact::HoldExpired { card, auth_code } => end_hold(tables, ix, card, auth_code, None),
        _ => return false,
    }
    true
}

/// A hold ends without a purchase; false where there is none that is open.
pub(super) fn expire(tables: &mut Tables, card: Ix, auth: i64) -> bool {
    let held = state_of(tables, card, auth) == Some(PurchaseState::Held);
    if held {
        tables.change(card, auth, PurchaseState::Expired, Lines::default());
    }
    held
}

fn end_hold(
    tables: &mut Tables,
    ix: Ix,
    card: &model::CardToken,
    auth_code: &model::AuthCode,
    ended_at: Option<TimestampUs>,
) {
    if let (Some(card), Some(auth)) = (tables.card(ix, card), tables.auth_of(auth_code.as_str()))
        && expire(tables, card, auth)
    {
        let purchase = tables.cards.get_mut(card as usize).and_then(|card| {
            let place = card.place_of(auth)?;
            card.purchases.get_mut(place)
        });
        if let (Some(purchase), Some(ended_at)) = (purchase, ended_at) {
            purchase.expires_at_us = ended_at.get();
        }
    }
    review_due(tables, ix);
}

fn party_places(
    tables: &mut Tables,
    ix: Ix,
    (group, vehicle, driver): (&Option<model::GroupId>, &Option<model::VehicleId>, &Option<model::DriverId>),
) -> (Ix, Ix, Ix) {
    // A card may name a vehicle or a driver that nobody has described yet.
    if let Some(id) = vehicle
        && holder(tables, ix, &Scope::Vehicle(id.clone())).is_none()
    {
        rules(tables, ix, NOWHEN, &Fact::VehiclePut(model::Vehicle { id: id.clone(), tank_ml: None, fuel: None }));
    }
    let parties = tables.contracts.get(ix as usize).and_then(|contract| contract.parties.as_ref());
    let Some(parties) = parties else { return (NONE, NONE, NONE) };
    (
        group.as_ref().map_or(NONE, |id| found(parties.group_ix.get(id))),
        vehicle.as_ref().map_or(NONE, |id| found(parties.vehicle_ix.get(id))),
        driver.as_ref().map_or(NONE, |id| found(parties.driver_ix.get(id))),
    )
}

/// The moment of facts that have none of their own.
const NOWHEN: When = When { at: TimestampUs::from_micros(0) };

fn with_face(tables: &mut Tables, ix: Ix, token: &model::CardToken, change: impl FnOnce(&mut Face)) {
    if let Some(card) = tables.card(ix, token).and_then(|card| tables.cards.get_mut(card as usize)) {
        change(&mut card.face);
        card.review();
    }
}

impl Contract {
    fn open(id: model::ContractId, currency: model::Currency, zone: u16, week_start: model::WeekStart) -> Self {
        Self {
            id,
            currency,
            zone,
            week_start,
            money: Money::default(),
            velocity: model::RuleMode::Flag,
            travel: model::RuleMode::Flag,
            valid_from_us: i64::MIN,
            valid_to_us: i64::MAX,
            latest: TimestampUs::default(),
            open_holds: Vec::new(),
            rules: Rules::default(),
            parties: None,
            blocks: Vec::new(),
            discounts: Vec::new(),
            holidays: Vec::new(),
            cards: Vec::new(),
            settings: Vec::new(),
            current: super::state::Map::default(),
            rules_version: 0,
            books: None,
            bills: 0,
        }
    }
}
