//! What an answer and an order change. The only way in which a shard changes, live and when the ledger is folded.
//!
//! In: what was decided, in figures; facts of orders. Out: the shard after it. Guarantees: total, nothing has an answer that
//! panics; a fact about something unknown changes nothing. Does not: check rules; what is recorded is true.

mod cards;
mod money;
mod rules;

use model::{Block, Code, ContractId, Fact, FraudRule, Location, SiteId, TerminalId, TimestampUs, TransactionKind};

use super::Config;
use super::calendar::Local;
use super::decide::Effect;
use super::lines::Lines;
use super::state::{Card, Contract, Ix, NONE, Purchase, PurchaseState};
use super::tables::Tables;
pub(super) use cards::expire;
pub(super) use rules::holder;

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

/// Takes in a fact of the contract `id` that took effect at `at`. Closed on purpose: a new fact must say here what it changes.
pub(super) fn fact(tables: &mut Tables, id: &ContractId, at: TimestampUs, fact: &Fact) {
    let Some(ix) = tables.contract(id) else {
        if let Fact::ContractOpened { currency, time_zone, week_start, .. } = fact {
            money::open(tables, id, *currency, time_zone, *week_start);
        }
        return;
    };
    match fact {
        Fact::TermSet { valid_from_us, valid_to_us } => with(tables, ix, |contract| {
            contract.valid_from_us = valid_from_us.map_or(i64::MIN, TimestampUs::get);
            contract.valid_to_us = valid_to_us.map_or(i64::MAX, TimestampUs::get);
        }),
        Fact::ContractBlocked(block) => with(tables, ix, |contract| put_block(&mut contract.blocks, block.clone())),
        Fact::ContractUnblocked { actor } => {
            with(tables, ix, |contract| contract.blocks.retain(|block| block.actor != *actor));
        }
        Fact::RuleSet { rule, mode } => with(tables, ix, |contract| match rule {
            FraudRule::Velocity => contract.velocity = *mode,
            FraudRule::ImpossibleTravel => contract.travel = *mode,
        }),

        Fact::ToppedUp { amount_minor, reference, .. } => {
            with(tables, ix, |contract| money::topped_up(contract, *amount_minor, reference, at));
        }
        Fact::RegisterMatched { line, outcome, .. } => {
            with(tables, ix, |contract| money::register_line(contract, line, *outcome));
        }
        Fact::RegisterMissing { reference, .. } => {
            with(tables, ix, |contract| money::register_missing(contract, reference));
        }
        Fact::CreditLineSet { amount_minor } => {
            with(tables, ix, |contract| contract.money.credit = amount_minor.get());
        }
        Fact::Adjusted { amount_minor, .. } => with(tables, ix, |contract| money::own(contract, amount_minor.get())),
        Fact::MonthlyFeeSet(fee) => money::fee_set(tables, ix, at, fee),
        Fact::FeeCharged { month, amount_minor, .. } => money::fee_charged(tables, ix, at, month, *amount_minor),
        Fact::Billed { amount_minor, .. } => with(tables, ix, |contract| money::billed(contract, *amount_minor)),
        Fact::DiscountSet(discount) => rules::discount_set(tables, ix, discount),
        Fact::DiscountRemoved { product } => rules::discount_removed(tables, ix, product),

        Fact::HolidaysSet { days } => rules::holidays_set(tables, ix, days),
        Fact::LimitSet { limit, version } => rules::set_limit(tables, ix, at, limit, *version),
        Fact::LimitRemoved { limit } => rules::remove_limit(tables, ix, limit),
        Fact::RestrictionSet(restriction) => rules::restriction_set(tables, ix, restriction),
        Fact::RestrictionRemoved { restriction } => rules::restriction_removed(tables, ix, restriction),
        Fact::PolicySet { scope, policy } => rules::policy_set(tables, ix, scope, policy.as_ref()),
        Fact::GroupPut(group) => rules::put_group(tables, ix, group),
        Fact::VehiclePut(vehicle) => rules::put_vehicle(tables, ix, vehicle),
        Fact::DriverPut(driver) => rules::put_driver(tables, ix, driver),

        Fact::CardIssued { card: token, pan_masked, kind, group, vehicle, driver, valid_from_us, valid_to_us } => {
            let parties = (group.as_ref(), vehicle.as_ref(), driver.as_ref());
            cards::issued(tables, ix, token, (pan_masked, *kind), parties, (*valid_from_us, *valid_to_us));
        }
        Fact::CardBlocked { card, actor, reason, until_us } => {
            let block = Block { actor: *actor, reason: reason.clone(), until_us: *until_us };
            cards::blocked(tables, ix, card, block);
        }
        Fact::CardUnblocked { card, actor, until_us } => cards::unblocked(tables, ix, card, *actor, *until_us),
        Fact::CardClosed { card, closure } => {
            cards::with_face(tables, ix, card, |face| face.closure = Some(*closure));
        }
        Fact::PinReset { card } => cards::with_face(tables, ix, card, |face| {
            (face.pin_tries, face.pin_locked_until_us) = (0, i64::MIN);
        }),
        Fact::CardAssigned { card, group, vehicle, driver } => {
            cards::assigned(tables, ix, card, (group.as_ref(), vehicle.as_ref(), driver.as_ref()));
        }
        // Ended by hand: a completion that comes all the same is posted, as after an expiry.
        Fact::Reversed { card, auth_code, .. } => cards::end_hold(tables, ix, card, auth_code, Some(at)),
        Fact::HoldExpired { card, auth_code } => cards::end_hold(tables, ix, card, auth_code, None),

        // It is open already.
        Fact::ContractOpened { .. }
        // An answer and what it posted come in by `transaction`.
        | Fact::Decided { .. }
        | Fact::Captured { .. }
        | Fact::Refunded { .. }
        | Fact::Voided { .. }
        // Said to people; nothing changes by it.
        | Fact::LimitLow { .. }
        | Fact::CreditLineUsed { .. }
        | Fact::CommandRefused { .. }
        | Fact::CommandRepeated => {}
    }
}

fn with(tables: &mut Tables, ix: Ix, change: impl FnOnce(&mut Contract)) {
    if let Some(contract) = tables.contracts.get_mut(ix as usize) {
        change(contract);
    }
}

pub(super) fn review_due(tables: &mut Tables, ix: Ix) {
    if let (Some(contract), Some(due)) = (tables.contracts.get(ix as usize), tables.due_us.get_mut(ix as usize)) {
        *due = contract.due_us();
    }
}

fn put_block(blocks: &mut Vec<Block>, block: Block) {
    blocks.retain(|known| known.actor != block.actor);
    blocks.push(block);
    blocks.sort_by_key(|block| block.actor);
}
