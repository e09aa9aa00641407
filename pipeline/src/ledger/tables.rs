//! The contracts and cards of a shard, and the only code that moves money and usage.
//!
//! In: purchases that begin or change. Out: the state after them. Guarantees: total, nothing here panics or overflows; money
//! held and unbilled, and every counter of every scope, move together with the purchase. Does not: check rules; what is
//! recorded is true.

use hashbrown::HashTable;
use model::{CardToken, ContractId, ProductCode, TimestampUs};

use super::calendar::{self, Zone};
use super::kept::Kept;
use super::lines::{CodeIx, Line, Lines, NO_CODE, Quantity, Selector};
use super::settings::Settings;
use super::state::{Card, Contract, Ix, Map, MonthKey, MonthSum, NONE, Parties, Purchase, PurchaseState, Rules};
use super::usage::{Amounts, Counted, Counter, Usage};

/// Single purchases are remembered so long; rolling windows and late completions look back no further.
pub(super) const PURCHASES_KEPT_US: i64 = 35 * 86_400 * model::MICROS_PER_SECOND;
/// Purchases that one card remembers, whatever the time: the oldest become sums.
const PURCHASES_MAX: usize = 4_096;
/// Sums of single months are kept so long, longer than any window of the calendar; what is older counts for limits without
/// an end only.
const MONTHS_KEPT: i64 = 14;
/// The month of all that is older.
pub(super) const LONG_AGO: i64 = i64::MIN;
/// Purchases that become sums with one new purchase.
const EVICTIONS_MAX: usize = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) partition: i32,
    pub(super) contracts: Kept<Contract>,
    pub(super) contract_ix: Map<ContractId, Ix>,
    pub(super) cards: Kept<Card>,
    pub(super) card_ix: HashTable<CardSlot>,
    pub(super) codes: Codes,
    pub(super) zones: Vec<Zone>,
    /// When time alone changes something, by contract: at the latest then, see [`Contract::due_us`].
    pub(super) due_us: Vec<i64>,
}

/// The index by token is made from the cards.
impl PartialEq for Tables {
    fn eq(&self, other: &Self) -> bool {
        self.contracts == other.contracts
            && self.contract_ix == other.contract_ix
            && self.cards == other.cards
            && self.codes == other.codes
            && self.zones == other.zones
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct CardSlot {
    pub(super) hash: u64,
    pub(super) contract: Ix,
    pub(super) card: Ix,
}

/// Product codes and groups by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Codes {
    numbers: Map<ProductCode, CodeIx>,
    names: Vec<ProductCode>,
}

impl Codes {
    pub(super) fn new(names: Vec<ProductCode>) -> Self {
        Self { numbers: names.iter().cloned().zip(0..).collect(), names }
    }

    /// By number; never changed but added to.
    pub(super) fn names(&self) -> &[ProductCode] {
        &self.names
    }

    fn number(&self, code: &ProductCode) -> CodeIx {
        self.numbers.get(code).copied().unwrap_or(NO_CODE)
    }

    /// Remembers a code; when there are too many, no selector will match it.
    fn learn(&mut self, code: &ProductCode) -> CodeIx {
        if let Some(number) = self.numbers.get(code) {
            return *number;
        }
        let number = CodeIx::try_from(self.numbers.len()).unwrap_or(NO_CODE);
        if number != NO_CODE {
            self.numbers.insert(code.clone(), number);
            self.names.push(code.clone());
        }
        number
    }
}

pub(super) fn token_hash(token: &str) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::default().hash_one(token)
}

impl Tables {
    pub(super) fn contract(&self, id: &ContractId) -> Option<Ix> {
        self.contract_ix.get(id).copied()
    }

    /// The card of a contract that has this token.
    pub(super) fn card(&self, contract: Ix, token: &CardToken) -> Option<Ix> {
        let hash = token_hash(token.as_str());
        let same = |slot: &CardSlot| {
            slot.hash == hash
                && slot.contract == contract
                && self.cards.get(slot.card as usize).is_some_and(|card| card.token == *token)
        };
        self.card_ix.find(hash, same).map(|slot| slot.card)
    }

    /// A card that probably has this token, and its contract: their hash agrees.
    pub(super) fn likely_card(&self, hash: u64) -> Option<(Ix, Ix)> {
        self.card_ix.find(hash, |slot| slot.hash == hash).map(|slot| (slot.contract, slot.card))
    }

    pub(super) fn add_card(&mut self, card: Card) {
        let Ok(ix) = Ix::try_from(self.cards.len()) else { return };
        let slot = CardSlot { hash: token_hash(card.token.as_str()), contract: card.contract, card: ix };
        if let Some(contract) = self.contracts.get_mut(card.contract as usize) {
            contract.cards.push(ix);
        }
        self.cards.push(card);
        self.card_ix.insert_unique(slot.hash, slot, |slot| slot.hash);
    }

    /// Makes what follows from contracts and cards: indexes, and when something is due. `slots` has each card in its place.
    pub(super) fn index(&mut self, mut contracts: Kept<Contract>, cards: Kept<Card>, slots: &[CardSlot]) {
        let mut counts = vec![0_usize; contracts.len()];
        for slot in slots {
            if let Some(count) = counts.get_mut(slot.contract as usize) {
                *count += 1;
            }
        }
        for (ix, count) in counts.into_iter().enumerate() {
            if let Some(contract) = contracts.get_mut(ix) {
                contract.cards.reserve_exact(count);
            }
        }
        self.card_ix.reserve(slots.len(), |slot| slot.hash);
        for slot in slots {
            if let Some(contract) = contracts.get_mut(slot.contract as usize) {
                contract.cards.push(slot.card);
            }
            self.card_ix.insert_unique(slot.hash, *slot, |slot| slot.hash);
        }
        self.contract_ix = contracts.iter().map(|contract| contract.id.clone()).zip(0..).collect();
        self.due_us = contracts.iter().map(Contract::due_us).collect();
        (self.contracts, self.cards) = (contracts, cards);
    }

    /// The place of a zone; the same for the same name.
    pub(super) fn zone(&mut self, name: &str) -> u16 {
        if let Some(place) = self.zones.iter().position(|zone| zone.name() == name) {
            return u16::try_from(place).unwrap_or(0);
        }
        self.zones.push(Zone::named(name));
        u16::try_from(self.zones.len() - 1).unwrap_or(0)
    }

    pub(super) fn learn(&mut self, code: &ProductCode) -> CodeIx {
        self.codes.learn(code)
    }

    pub(super) fn code(&self, code: &ProductCode) -> CodeIx {
        self.codes.number(code)
    }

    pub(super) fn code_name(&self, number: CodeIx) -> Option<&ProductCode> {
        self.codes.names.get(usize::from(number))
    }

    /// The request whose authorization has this code; `None` for a code of another partition.
    pub(super) fn auth_of(&self, code: &str) -> Option<i64> {
        let (partition, offset) = code.split_once('-')?;
        (partition.parse() == Ok(self.partition)).then(|| offset.parse().ok()).flatten()
    }

    /// A selector in numbers, learning its code.
    pub(super) fn selector(&mut self, selector: &model::ProductSelector) -> Selector {
        match selector {
            model::ProductSelector::All => Selector::All,
            model::ProductSelector::Group(group) => Selector::Group(self.codes.learn(group)),
            model::ProductSelector::Product(code) => Selector::Product(self.codes.learn(code)),
        }
    }

    /// A purchase begins: held or sold at once.
    pub(super) fn begin(&mut self, card_ix: Ix, purchase: Purchase) {
        let Some(card) = self.cards.get(card_ix as usize) else { return };
        let contract_ix = card.contract;
        let after = amounts(purchase.state, &purchase.lines);
        self.count(card_ix, &purchase, Amounts::None, after);
        let (Some(contract), Some(card)) =
            (self.contracts.get_mut(contract_ix as usize), self.cards.get_mut(card_ix as usize))
        else {
            return;
        };
        let minor = purchase.lines.sum().minor;
        match purchase.state {
            PurchaseState::Held => {
                contract.money.held = contract.money.held.saturating_add(minor);
                contract.open_holds.push((purchase.expires_at_us, card_ix, purchase.auth));
                if let Some(due) = self.due_us.get_mut(contract_ix as usize) {
                    *due = (*due).min(purchase.expires_at_us);
                }
            }
            PurchaseState::Sold => contract.money.unbilled = contract.money.unbilled.saturating_add(minor),
            PurchaseState::Expired | PurchaseState::Reversed | PurchaseState::Voided => {}
        }
        let now = purchase.received_at;
        if card.purchases.is_empty() {
            card.oldest_us = now.get();
        }
        assert!(card.purchases.back().is_none_or(|last| last.auth < purchase.auth), "requests come in order");
        if card.purchases.len() == card.purchases.capacity() {
            // Not twice as many: what a card keeps stays about the same for ever.
            card.purchases.reserve_exact(card.purchases.len() / 4 + 2);
        }
        card.purchases.push_back(purchase);
        if card.oldest_us < now.get() - PURCHASES_KEPT_US || card.purchases.len() > PURCHASES_MAX {
            card.forget(now);
        }
    }

    /// A purchase goes into another state, with other lines.
    pub(super) fn change(&mut self, card_ix: Ix, auth: i64, state: PurchaseState, lines: Lines) {
        let Some(card) = self.cards.get_mut(card_ix as usize) else { return };
        let contract_ix = card.contract;
        let Some(place) = card.place_of(auth) else { return };
        let Some(held) = card.purchases.get_mut(place) else { return };
        // Out of its place while the counters look at it.
        let (old_state, old_lines) = (held.state, std::mem::take(&mut held.lines));
        let purchase = held.clone();
        self.count(card_ix, &purchase, amounts(old_state, &old_lines), amounts(state, &lines));
        let (Some(contract), Some(card)) =
            (self.contracts.get_mut(contract_ix as usize), self.cards.get_mut(card_ix as usize))
        else {
            return;
        };
        let money = &mut contract.money;
        let minor = |lines: &Lines| lines.sum().minor;
        match old_state {
            PurchaseState::Held => money.held = money.held.saturating_sub(minor(&old_lines)),
            PurchaseState::Sold => money.unbilled = money.unbilled.saturating_sub(minor(&old_lines)),
            PurchaseState::Expired | PurchaseState::Reversed | PurchaseState::Voided => {}
        }
        match state {
            PurchaseState::Held => money.held = money.held.saturating_add(minor(&lines)),
            PurchaseState::Sold => money.unbilled = money.unbilled.saturating_add(minor(&lines)),
            PurchaseState::Expired | PurchaseState::Reversed | PurchaseState::Voided => {}
        }
        let same = |(_, holder, hold): &(i64, Ix, i64)| *holder == card_ix && *hold == auth;
        if old_state == PurchaseState::Held
            && state != PurchaseState::Held
            && let Some(open) = contract.open_holds.iter().position(same)
        {
            contract.open_holds.swap_remove(open);
            // Nothing waits for its end any more: no tick need come for it.
            if contract.open_holds.is_empty()
                && let Some(due) = self.due_us.get_mut(contract_ix as usize)
            {
                *due = contract.due_us();
            }
        }
        let bills = contract.bills;
        if let Some(purchase) = card.purchases.get_mut(place) {
            if old_state != PurchaseState::Sold && state == PurchaseState::Sold {
                purchase.bills = bills;
            }
            purchase.state = state;
            // An expired or reversed hold still says what it was.
            purchase.lines = match state {
                PurchaseState::Expired | PurchaseState::Reversed | PurchaseState::Voided => old_lines,
                PurchaseState::Held | PurchaseState::Sold => lines,
            };
        }
    }

    /// Tells the counters of all scopes of a purchase.
    fn count(&mut self, card_ix: Ix, purchase: &Purchase, before: Amounts<'_>, after: Amounts<'_>) {
        let Some(card) = self.cards.get_mut(card_ix as usize) else { return };
        let Some(contract) = self.contracts.get_mut(card.contract as usize) else { return };
        let Contract { rules, parties, settings, holidays, .. } = contract;
        let counted = Counted { auth: purchase.auth, at: purchase.at, local: purchase.local, before, after };
        let tell = |rules: &mut Rules| {
            for counter in &mut rules.limits {
                if concerns(counter, settings, holidays, purchase) {
                    counter.count(counted);
                }
            }
        };
        tell(&mut card.rules);
        if let Some(parties) = parties {
            let Parties { groups, vehicles, drivers, .. } = &mut **parties;
            if let Some(party) = drivers.get_mut(purchase.driver as usize) {
                tell(&mut party.rules);
            }
            if let Some(party) = vehicles.get_mut(purchase.vehicle as usize) {
                tell(&mut party.rules);
            }
            if let Some(party) = groups.get_mut(purchase.group as usize) {
                tell(&mut party.rules);
            }
        }
        tell(rules);
    }

    /// The sums of a window from the purchases themselves, for a counter of a scope.
    pub(super) fn recount(&self, contract_ix: Ix, holder: Holder, counter: &Counter, period: i64) -> Usage {
        let Some(contract) = self.contracts.get(contract_ix as usize) else { return Usage::default() };
        let mut sum = Usage::default();
        for purchase in self.purchases(contract_ix, holder) {
            if concerns(counter, &contract.settings, &contract.holidays, purchase)
                && counter.period(purchase.at, purchase.local) == period
            {
                sum = sum.plus(counter.amounts(amounts(purchase.state, &purchase.lines)));
            }
        }
        self.months(contract_ix, holder, counter, |month, usage| {
            if counter.holds_month(period, month) {
                sum = sum.plus(usage);
            }
        });
        sum
    }

    /// Brings a new counter to what the purchases of its scope say.
    pub(super) fn fill(&self, contract_ix: Ix, holder: Holder, counter: &mut Counter) {
        let Some(contract) = self.contracts.get(contract_ix as usize) else { return };
        let mut purchases: Vec<&Purchase> = self
            .purchases(contract_ix, holder)
            .filter(|purchase| concerns(counter, &contract.settings, &contract.holidays, purchase))
            .collect();
        purchases.sort_by_key(|purchase| (purchase.at, purchase.auth));
        for purchase in purchases {
            let after = amounts(purchase.state, &purchase.lines);
            let Purchase { auth, at, local, .. } = *purchase;
            counter.count(Counted { auth, at, local, before: Amounts::None, after });
        }
        let mut months = Vec::new();
        let asks = counter.clone();
        self.months(contract_ix, holder, &asks, |month, usage| months.push((month, usage)));
        for (period, usage) in asks.periods_of(&months) {
            counter.add(period, usage);
        }
    }

    fn purchases(&self, contract_ix: Ix, holder: Holder) -> impl Iterator<Item = &Purchase> {
        self.holders_cards(contract_ix, holder)
            .flat_map(|card| card.purchases.iter())
            .filter(move |purchase| holder.owns(purchase.group, purchase.vehicle, purchase.driver))
    }

    fn holders_cards(&self, contract_ix: Ix, holder: Holder) -> impl Iterator<Item = &Card> {
        let (single, all) = match holder {
            Holder::Card(card) => (Some(card), &[][..]),
            _ => (None, self.contracts.get(contract_ix as usize).map_or(&[][..], |contract| &contract.cards)),
        };
        single.into_iter().chain(all.iter().copied()).filter_map(|card| self.cards.get(card as usize))
    }

    fn months(&self, contract_ix: Ix, holder: Holder, counter: &Counter, mut take: impl FnMut(i64, Usage)) {
        let sums = self.holders_cards(contract_ix, holder).flat_map(|card| card.older.iter());
        for sum in sums {
            let MonthKey { month, selector, group, vehicle, driver, offline } = sum.key;
            if selector == counter.selector && (offline || !counter.offline) && holder.owns(group, vehicle, driver) {
                let used = match counter.measure {
                    model::Measure::Volume => sum.ml,
                    model::Measure::Money => sum.minor,
                    model::Measure::Count => sum.purchases,
                };
                take(month, Usage { used, held: 0 });
            }
        }
    }
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Contract,
    Group(Ix),
    Card(Ix),
    Vehicle(Ix),
    Driver(Ix),
}

impl Holder {
    fn owns(self, group: Ix, vehicle: Ix, driver: Ix) -> bool {
        match self {
            Self::Contract | Self::Card(_) => true,
            Self::Group(ix) => ix == group,
            Self::Vehicle(ix) => ix == vehicle,
            Self::Driver(ix) => ix == driver,
        }
    }
}

fn amounts(state: PurchaseState, lines: &Lines) -> Amounts<'_> {
    match state {
        PurchaseState::Held => Amounts::Held(lines),
        PurchaseState::Sold => Amounts::Sold(lines),
        PurchaseState::Expired | PurchaseState::Reversed | PurchaseState::Voided => Amounts::None,
    }
}

/// Whether a limit counts a purchase at all, whatever its products.
fn concerns(counter: &Counter, settings: &Settings, holidays: &[model::Holiday], purchase: &Purchase) -> bool {
    if counter.offline && !purchase.offline {
        return false;
    }
    if counter.plain {
        return true;
    }
    let schedule = settings.get(counter.limit).and_then(|setting| setting.limit.schedule.as_ref());
    schedule.is_none_or(|schedule| calendar::covers(schedule, holidays, purchase.local))
}

impl Card {
    /// Turns the oldest purchases into sums by month.
    fn forget(&mut self, now: TimestampUs) {
        let before = now.plus_us(-PURCHASES_KEPT_US);
        for _ in 0..EVICTIONS_MAX {
            let too_many = self.purchases.len() > PURCHASES_MAX;
            let gone = self.purchases.pop_front_if(|purchase| {
                (purchase.received_at < before || too_many) && purchase.state != PurchaseState::Held
            });
            match gone {
                Some(purchase) if purchase.state == PurchaseState::Sold => self.sum_up(&purchase, now),
                Some(_) => {}
                None => break,
            }
        }
        self.oldest_us = self.purchases.front().map_or(i64::MAX, |purchase| purchase.received_at.get());
    }

    fn sum_up(&mut self, purchase: &Purchase, now: TimestampUs) {
        let Purchase { group, vehicle, driver, offline, .. } = *purchase;
        let today = i32::try_from(now.get().div_euclid(86_400 * model::MICROS_PER_SECOND)).unwrap_or(0);
        let oldest = calendar::month(today) - MONTHS_KEPT;
        let bucket = |month: i64| if month < oldest { LONG_AGO } else { month };
        let month = bucket(calendar::month(purchase.local.day));
        let of_line = |line: &Line| [Selector::Group(line.group), Selector::Product(line.code)];
        for (place, selector) in [Selector::All].into_iter().chain(purchase.lines.iter().flat_map(of_line)).enumerate()
        {
            let named = !matches!(selector, Selector::Group(NO_CODE) | Selector::Product(NO_CODE));
            let mut before = purchase.lines.iter().flat_map(of_line).take(place.saturating_sub(1));
            if !named || before.any(|known| known == selector) {
                continue;
            }
            let Some(Quantity { ml, minor, .. }) = purchase.lines.sum_of(selector) else { continue };
            let key = MonthKey { month, selector, group, vehicle, driver, offline };
            match self.older.iter_mut().rev().find(|sum| sum.key == key) {
                Some(sum) => {
                    sum.ml = sum.ml.saturating_add(ml);
                    sum.minor = sum.minor.saturating_add(minor);
                    sum.purchases = sum.purchases.saturating_add(1);
                }
                None => {
                    self.join_months(bucket);
                    self.older.push(MonthSum { key, ml, minor, purchases: 1 });
                }
            }
        }
    }

    /// Months that go into one bucket become one sum.
    fn join_months(&mut self, bucket: impl Fn(i64) -> i64) {
        let mut joined: Vec<MonthSum> = Vec::with_capacity(self.older.len() + 1);
        for mut sum in self.older.drain(..) {
            sum.key.month = bucket(sum.key.month);
            let old = sum.key.month == LONG_AGO;
            match joined.iter_mut().take_while(|_| old).find(|known| known.key == sum.key) {
                Some(known) => {
                    known.ml = known.ml.saturating_add(sum.ml);
                    known.minor = known.minor.saturating_add(sum.minor);
                    known.purchases = known.purchases.saturating_add(sum.purchases);
                }
                None => joined.push(sum),
            }
        }
        self.older = joined;
    }
}

/// A place that names nobody.
pub(super) fn found(ix: Option<&Ix>) -> Ix {
    ix.copied().unwrap_or(NONE)
}
