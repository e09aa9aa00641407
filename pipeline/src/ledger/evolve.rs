//! What a fact changes. The only place where a shard changes, live and when the ledger is folded.
//!
//! In: one fact of an outcome. Out: the shard after it. Guarantees: total, any fact has an answer and none panics; a fact
//! about something unknown changes nothing. Does not: check rules; what is recorded is true.

use jiff::tz::TimeZone;
use model::{Code, ContractId, Decision, Fact, FraudRule, Outcome, SoldItem, TransactionKind, Verdict};

use super::Config;
use super::contract::{Card, Contract, Moment, PurchaseState, Quantity, clamped};
use super::shard::Shard;

pub(super) fn evolve(shard: &mut Shard, config: &Config, outcome: &Outcome, fact: &Fact) {
    if let Fact::Decided { fingerprint, decision, .. } = fact
        && !decision.replayed
        && decision.code != Code::FmtKeyReused
    {
        shard.keys.remember(&outcome.idem, *fingerprint, Some(decision), outcome.received_at_us);
    }
    let Some(id) = &outcome.contract else { return };
    if let Fact::ContractOpened { currency, time_zone, .. } = fact {
        open(shard, id, *currency, time_zone);
        return;
    }
    let Some(contract) = shard.contracts.get_mut(id) else { return };
    let moment = Moment { at: outcome.at_us, received_at: outcome.received_at_us };
    match fact {
        Fact::ContractOpened { .. } | Fact::CommandRefused { .. } | Fact::CommandRepeated => {}
        Fact::ToppedUp { amount_minor, .. } => {
            contract.own = clamped(contract.own.get() + amount_minor.get());
        }
        Fact::CreditLineSet { amount_minor } => contract.credit = *amount_minor,
        Fact::CardIssued { card, pan_masked, vehicle } => {
            let issue = || Card::issue(pan_masked.clone(), vehicle.clone());
            contract.cards.entry(card.clone()).or_insert_with(issue);
        }
        Fact::CardBlocked { card, .. } => with_card(contract, card, |card| card.blocked = true),
        Fact::CardUnblocked { card } => with_card(contract, card, |card| card.blocked = false),
        Fact::DailyLimitSet { card, daily_ml, daily_minor } => with_card(contract, card, |card| {
            card.daily_ml = *daily_ml;
            card.daily_minor = *daily_minor;
        }),
        Fact::RuleSet { rule, mode } => match rule {
            FraudRule::Velocity => contract.velocity = *mode,
            FraudRule::ImpossibleTravel => contract.travel = *mode,
        },
        Fact::Decided { kind, card, location, decision, .. } => {
            if decision.replayed || decision.decision == Verdict::Decline {
                return;
            }
            if let (Some(hold), Some(auth_code)) = (decision.hold, &decision.auth_code) {
                let reserved = Quantity { ml: hold.qty_ml, minor: hold.amount_minor };
                contract.hold(auth_code, card, (reserved, hold.expires_at_us), moment);
            }
            if is_visit(*kind, decision) {
                let (window, location) = (config.velocity_window_us, *location);
                with_card(contract, card, |card| card.visited(moment.at, location, window));
            }
        }
        Fact::Captured { card, auth_code, items, amount_minor, .. } => {
            contract.capture(auth_code, card, posted(items, *amount_minor), moment);
        }
        Fact::Reversed { auth_code, .. } => contract.release(auth_code, PurchaseState::Reversed),
        Fact::HoldExpired { auth_code, .. } => {
            if let Some(PurchaseState::Held { reserved, .. }) = contract.purchase(auth_code).map(|found| found.state) {
                contract.release(auth_code, PurchaseState::Expired { reserved });
            }
        }
        Fact::Refunded { auth_code, items, amount_minor, .. } => {
            contract.refund(auth_code, posted(items, *amount_minor));
        }
    }
}

fn open(shard: &mut Shard, id: &ContractId, currency: model::Currency, time_zone: &str) {
    // A zone that was in the list when the contract was opened and is not now: days then begin at midnight UTC.
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    shard.contracts.entry(id.clone()).or_insert_with(|| Contract::open(currency, zone));
}

fn with_card(contract: &mut Contract, card: &model::CardToken, change: impl FnOnce(&mut Card)) {
    if let Some(card) = contract.cards.get_mut(card) {
        change(card);
    }
}

/// A purchase that the card's holder was seen at, by a clock that was checked: what the fraud rules look back on.
fn is_visit(kind: TransactionKind, decision: &Decision) -> bool {
    matches!(kind, TransactionKind::Preauth | TransactionKind::Sale) && decision.code != Code::PostedOffline
}

fn posted(items: &[SoldItem], minor: model::MinorUnits) -> Quantity {
    items.iter().fold(Quantity { minor, ..Quantity::default() }, |sum, item| {
        sum.plus(Quantity { ml: item.qty_ml, ..Quantity::default() })
    })
}
