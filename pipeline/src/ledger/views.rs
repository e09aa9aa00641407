//! Cards as people see them after the facts: state, owner, what is left.
//!
//! In: the state. Out: figures of a card's own limits in their present windows. Does not: decide; a view is for eyes.

use model::{CardState, CardToken, Closure, Fact, TimestampUs};

use super::answers::Figure;
use super::calendar::Local;
use super::record::View;
use super::state::{Card, Ix};
use super::tables::{Holder, Tables};

/// A card at a moment; its limits are appended to `figures`.
pub(super) fn card(
    tables: &Tables,
    card_ix: Ix,
    (at, local): (TimestampUs, Local),
    figures: &mut Vec<Figure>,
) -> Option<View> {
    let card = tables.cards.get(card_ix as usize)?;
    let from = figures.len();
    for counter in &card.rules.limits {
        let period = counter.period(at, local);
        let usage = counter.usage(period);
        let usage = usage.unwrap_or_else(|| tables.recount(card.contract, Holder::Card(card_ix), counter, period));
        let (limit, value) = (counter.limit, counter.value);
        figures.push(Figure { limit, period, value, used: usage.used, held: usage.held });
    }
    Some(View {
        card: card_ix,
        group: card.group,
        vehicle: card.vehicle,
        driver: card.driver,
        state: state(card, at),
        figures: u8::try_from(figures.len() - from).unwrap_or(0),
        from: u32::try_from(from).unwrap_or(u32::MAX),
    })
}

pub(super) fn state(card: &Card, at: TimestampUs) -> CardState {
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

/// The card that the fact of an order changed.
pub(super) fn changed(tables: &Tables, contract_ix: Ix, fact: &Fact) -> Option<Ix> {
    tables.card(contract_ix, &named(tables, contract_ix, fact)?)
}

fn named(tables: &Tables, contract_ix: Ix, fact: &Fact) -> Option<CardToken> {
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
            let last = settings.all().iter().rev().find(|setting| setting.limit.id == *limit)?;
            match &last.limit.scope {
                model::Scope::Card(card) => Some(card.clone()),
                _ => None,
            }
        }
        _ => None,
    }
}
