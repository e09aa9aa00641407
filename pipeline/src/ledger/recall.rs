//! From a record of the ledger back to figures: the way of [`super::record`] in reverse.
//!
//! In: an outcome that was decided before. Out: the shard as it was after deciding it, so that the next request and every
//! repeat get what they would have got. Does not: decide anything again; recorded facts win.

use model::{Allowed, Code, Decision, Fact, Note, Outcome, SoldItem, TimestampUs, TransactionKind, Unit, Verdict};

use super::Config;
use super::answers::{BALANCE, Decided, Figure, Remarks, UNBOUND, key_of};
use super::decide::Effect;
use super::evolve::{self, Change, holder, terminal_hash};
use super::lines::{Line, Lines, NO_CODE};
use super::shard::Shard;
use super::state::{Ix, Money, NONE};
use super::tables::{Holder, Tables};

/// Folds an outcome that counts.
pub(super) fn outcome(shard: &mut Shard, config: &Config, outcome: &Outcome) {
    let at = outcome.at_us;
    let mut answered = false;
    for fact in &outcome.facts {
        if let Fact::Decided { decision, .. } = fact {
            answered = true;
            if !decision.replayed && decision.code != Code::FmtKeyReused {
                decided(shard, config, outcome, fact);
            }
        } else if answered && follows(fact) {
            // The answer carried it out.
        } else if let Some(id) = &outcome.contract {
            evolve::fact(&mut shard.tables, id, at, fact);
        }
    }
    if let Some(fingerprint) = outcome.fingerprint {
        let key = key_of(&outcome.idem);
        if shard.answers.find(key).is_none() {
            shard.answers.keep(key, outcome.received_at_us, fingerprint, None);
        }
    }
}

/// Facts that stand beside an answer and say what it did.
fn follows(fact: &Fact) -> bool {
    matches!(fact, Fact::Captured { .. } | Fact::Reversed { .. } | Fact::Refunded { .. } | Fact::Voided { .. })
}

fn decided(shard: &mut Shard, config: &Config, outcome: &Outcome, fact: &Fact) {
    let Fact::Decided {
        kind,
        card,
        site,
        terminal,
        location,
        items,
        vehicle,
        driver,
        odometer,
        fingerprint,
        decision,
        ..
    } = fact
    else {
        return;
    };
    for item in items {
        shard.tables.learn(&item.code);
        item.group.as_ref().map(|group| shard.tables.learn(group));
    }
    let contract = outcome.contract.as_ref().and_then(|id| shard.tables.contract(id)).unwrap_or(NONE);
    let card_ix = if contract == NONE { None } else { shard.tables.card(contract, card) };
    let effect = effect(outcome, decision);
    let voided = outcome.facts.iter().find_map(|fact| match fact {
        Fact::Voided { items, .. } => Some(items.as_slice()),
        _ => None,
    });
    let allowed = match voided {
        Some(items) => items.iter().map(|item| line(&shard.tables, item)).collect(),
        None => allowed_lines(&shard.tables, *kind, items, decision),
    };
    let allowed = Lines::from_slice(&allowed);
    let remembered = remembered(shard, (contract, card_ix.unwrap_or(NONE)), *kind, decision, allowed);
    let auth = remembered.auth;
    let lines = if effect == Effect::Nothing { Lines::default() } else { remembered.allowed.bought() };
    let expires_at_us = remembered.hold_expires_us;
    let figures = figures(&shard.tables, contract, decision);
    shard.answers.keep(key_of(&outcome.idem), outcome.received_at_us, *fingerprint, Some((remembered, &figures)));
    let Some(card) = card_ix else { return };
    let late = decision.notes.iter().any(|note| matches!(note, Note::ClockOff { .. }));
    let at = if late { outcome.received_at_us } else { outcome.at_us };
    let local = shard.local(contract, at);
    let known = shard.tables.contracts.get(contract as usize).and_then(|contract| contract.parties.as_ref());
    let vehicle = known.zip(vehicle.as_ref()).and_then(|(known, id)| known.vehicle_ix.get(id).copied());
    let driver = known.zip(driver.as_ref()).and_then(|(known, id)| known.driver_ix.get(id).copied());
    let change = Change {
        card,
        kind: *kind,
        code: decision.code,
        approved: matches!(decision.decision, Verdict::Approve | Verdict::Partial),
        effect,
        auth: auth.unwrap_or(-1),
        lines,
        expires_at_us,
        at,
        local,
        received_at: outcome.received_at_us,
        vehicle: vehicle.unwrap_or(NONE),
        driver: driver.unwrap_or(NONE),
        terminal: terminal_hash(site, terminal),
        location: *location,
        odometer: *odometer,
    };
    evolve::transaction(&mut shard.tables, config, change);
}

fn effect(outcome: &Outcome, decision: &Decision) -> Effect {
    let posted = outcome.facts.iter().find_map(|fact| match fact {
        Fact::Captured { .. } => Some(Effect::Post),
        Fact::Reversed { .. } => Some(Effect::Release),
        Fact::Refunded { .. } => Some(Effect::GiveBack),
        Fact::Voided { .. } => Some(Effect::Void),
        _ => None,
    });
    match (posted, decision.hold) {
        (Some(posted), _) => posted,
        (None, None) => Effect::Nothing,
        (None, Some(_)) => {
            let kind = outcome.facts.iter().find_map(|fact| match fact {
                Fact::Decided { kind, .. } => Some(*kind),
                _ => None,
            });
            if kind == Some(TransactionKind::Incremental) { Effect::Extend } else { Effect::Hold }
        }
    }
}

/// The lines of the answer: those that were asked for, with what was allowed of each.
fn allowed_lines(tables: &Tables, kind: TransactionKind, items: &[SoldItem], decision: &Decision) -> Vec<Line> {
    let granting = !matches!(decision.decision, Verdict::Decline | Verdict::Reprompt)
        && !matches!(kind, TransactionKind::Balance | TransactionKind::Reversal);
    if !granting {
        return Vec::new();
    }
    let of = |place: usize, item: &SoldItem| {
        let allowed = decision.allowed.iter().find(|allowed| usize::from(allowed.item) == place);
        let nothing = Line { ml: 0, pieces: 0, minor: 0, discount_minor: 0, ..line(tables, item) };
        allowed.map_or(nothing, |allowed: &Allowed| Line {
            ml: i64::try_from(allowed.qty_ml.get()).unwrap_or(i64::MAX),
            pieces: allowed.pieces,
            minor: allowed.amount_minor.get(),
            discount_minor: allowed.discount_minor.get(),
            ..nothing
        })
    };
    items.iter().enumerate().map(|(place, item)| of(place, item)).collect()
}

fn line(tables: &Tables, item: &SoldItem) -> Line {
    Line {
        code: tables.code(&item.code),
        group: item.group.as_ref().map_or(NO_CODE, |group| tables.code(group)),
        pieces: item.pieces,
        ml: i64::try_from(item.qty_ml.get()).unwrap_or(i64::MAX),
        minor: item.amount_minor.get(),
        discount_minor: item.discount_minor.get(),
        price_e4: u32::try_from(item.price_e4.get()).unwrap_or(u32::MAX),
        counted_in_pieces: item.unit == Unit::Pieces,
    }
}

fn remembered(
    shard: &Shard,
    (contract, card): (Ix, Ix),
    kind: TransactionKind,
    decision: &Decision,
    allowed: Lines,
) -> Decided {
    let money = decision.balance.map_or_else(Money::default, |balance| Money {
        own: balance.own.get(),
        credit: balance.credit.get(),
        held: balance.held.get(),
        unbilled: balance.unbilled.get(),
    });
    let binding = decision.binding.as_ref().and_then(|binding| {
        let same = |limit: &model::Headroom| limit == binding;
        u8::try_from(decision.headroom.iter().position(same)?).ok()
    });
    let remarks = (!decision.notes.is_empty() || !decision.risk.is_empty())
        .then(|| Box::new(Remarks { notes: decision.notes.clone(), risk: decision.risk.clone() }));
    Decided {
        contract,
        card,
        auth: decision.auth_code.as_ref().and_then(|code| shard.tables.auth_of(code.as_str())),
        hold_expires_us: decision.hold.map_or(0, |hold| TimestampUs::get(hold.expires_at_us)),
        allowed,
        money,
        rules_version: decision.rules_version,
        price_e4: decision.net_price_e4.map_or(0, |price| u32::try_from(price.get()).unwrap_or(u32::MAX)),
        binding: binding.unwrap_or(UNBOUND),
        remarks,
        ..Decided::new(kind, decision.decision, decision.code)
    }
}

fn figures(tables: &Tables, contract: Ix, decision: &Decision) -> Vec<Figure> {
    let Some(contract) = tables.contracts.get(contract as usize) else { return Vec::new() };
    let figure = |headroom: &model::Headroom| {
        let limit = if headroom.version == 0 {
            Some(BALANCE)
        } else {
            let same = |setting: &super::settings::Setting| {
                setting.version == headroom.version && setting.limit.id.as_str() == headroom.limit
            };
            // Nearly always the latest setting of the name.
            let latest = model::LimitId::new(&headroom.limit).ok().and_then(|id| contract.settings.named(&id));
            let latest = latest.map(|named| named.setting);
            latest
                .filter(|place| contract.settings.get(*place).is_some_and(same))
                .or_else(|| Ix::try_from(contract.settings.all().iter().rposition(same)?).ok())
        };
        let (period, value, used, held) = (headroom.period, headroom.limit_value, headroom.used, headroom.held);
        limit.map(|limit| Figure { limit, period, value, used, held })
    };
    decision.headroom.iter().filter_map(figure).collect()
}

impl Tables {
    /// A limit's counter and whose it is.
    pub(super) fn counter(&self, contract_ix: Ix, limit: Ix) -> Option<(Holder, &super::usage::Counter)> {
        let contract = self.contracts.get(contract_ix as usize)?;
        let scope = &contract.settings.get(limit)?.limit.scope;
        let holder = holder(self, contract_ix, scope)?;
        let rules = match holder {
            Holder::Contract => &contract.rules,
            Holder::Card(card) => &self.cards.get(card as usize)?.rules,
            Holder::Group(ix) => &contract.group(ix)?.rules,
            Holder::Vehicle(ix) => &contract.vehicle(ix)?.rules,
            Holder::Driver(ix) => &contract.driver(ix)?.rules,
        };
        rules.limits.iter().find(|counter| counter.limit == limit).map(|counter| (holder, counter))
    }
}
