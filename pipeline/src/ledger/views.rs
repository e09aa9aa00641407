//! Cards as people see them after the facts: state, owner, what is left.
//!
//! In: the state. Out: figures of a card's own limits in their present windows. Does not: decide; a view is for eyes.

use model::{CardState, CardToken, CardView, Closure, Fact, TimestampUs};

use super::answers::Figure;
use super::calendar::Local;
use super::record;
use super::state::{Card, Ix};
use super::tables::{Holder, Tables};

/// The figures of a card's own limits at a moment, and its state.
pub(super) fn figures(
    tables: &Tables,
    contract: Ix,
    card_ix: Ix,
    (at, local): (TimestampUs, Local),
    figures: &mut Vec<Figure>,
) -> CardState {
    let Some(card) = tables.cards.get(card_ix as usize) else { return CardState::Closed };
    for counter in &card.rules.limits {
        let period = counter.period(at, local);
        let usage = counter.usage(period);
        let usage = usage.unwrap_or_else(|| tables.recount(contract, Holder::Card(card_ix), counter, period));
        let (limit, value) = (counter.limit, counter.value);
        figures.push(Figure { limit, period, value, used: usage.used, held: usage.held });
    }
    state(card, at)
}

fn state(card: &Card, at: TimestampUs) -> CardState {
    if card.plain {
        return CardState::Active;
    }
    let face = &card.face;
    match face.closure {
        Some(Closure::Lost) => CardState::Lost,
        Some(Closure::Stolen) => CardState::Stolen,
        Some(Closure::Returned) => CardState::Closed,
        None if face.block_at(at).is_some() => CardState::Blocked,
        None if at.get() < face.valid_from_us => CardState::NotYet,
        None if at.get() >= face.valid_to_us => CardState::Expired,
        None if at.get() < face.pin_locked_until_us => CardState::PinLocked,
        None => CardState::Active,
    }
}

/// The cards that facts of orders or of time changed, each once.
pub(super) fn of_facts(tables: &mut Tables, contract_ix: Ix, at: TimestampUs, facts: &[Fact]) -> Vec<CardView> {
    let mut touched: Vec<CardToken> = Vec::new();
    for card in facts.iter().filter_map(|fact| changed(tables, contract_ix, fact)) {
        if !touched.contains(&card) {
            touched.push(card);
        }
    }
    let zone = tables.contracts.get(contract_ix as usize).map_or(0, |contract| contract.zone);
    let local = tables.zones.get_mut(usize::from(zone)).map_or_else(Local::default, |zone| zone.local_now(at));
    let mut views = Vec::new();
    for token in touched {
        if let Some(card) = tables.card(contract_ix, &token) {
            replace(tables, contract_ix, card, (at, local), &mut views);
        }
    }
    views
}

/// Puts a card's view in the place of an older one.
pub(super) fn replace(
    tables: &Tables,
    contract_ix: Ix,
    card_ix: Ix,
    moment: (TimestampUs, Local),
    views: &mut Vec<CardView>,
) {
    let (Some(contract), Some(card)) = (tables.contracts.get(contract_ix as usize), tables.cards.get(card_ix as usize))
    else {
        return;
    };
    let mut own = Vec::new();
    let state = figures(tables, contract_ix, card_ix, moment, &mut own);
    let view = record::view(tables, contract, card, state, &own);
    views.retain(|known| known.card != view.card);
    views.push(view);
}

fn changed(tables: &Tables, contract_ix: Ix, fact: &Fact) -> Option<CardToken> {
    match fact {
        Fact::CardIssued { card, .. }
        | Fact::CardBlocked { card, .. }
        | Fact::CardUnblocked { card, .. }
        | Fact::CardClosed { card, .. }
        | Fact::CardAssigned { card, .. }
        | Fact::PinReset { card }
        | Fact::Reversed { card, .. }
        | Fact::HoldExpired { card, .. } => Some(card.clone()),
        Fact::LimitSet { limit, .. } => match &limit.scope {
            model::Scope::Card(card) => Some(card.clone()),
            _ => None,
        },
        Fact::LimitRemoved { limit } => {
            // The limit is gone from `current`; its last setting still says whose it was.
            let settings = &tables.contracts.get(contract_ix as usize)?.settings;
            let last = settings.iter().rev().find(|setting| setting.limit.id == *limit)?;
            match &last.limit.scope {
                model::Scope::Card(card) => Some(card.clone()),
                _ => None,
            }
        }
        _ => None,
    }
}
