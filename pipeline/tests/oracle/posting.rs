//! Transactions that tell what happened: completion, offline and forced sales, reversal, void, refund.

use model::{AuthCode, Code, LimitMode, ProductCode, Transaction, TransactionKind, Unit, Verdict, Window};
use pipeline::ledger::Config;

use crate::amounts::{mismatch, wish};
use crate::answer::Answer;
use crate::asking::{ITEMS_MAX, buyer, sold};
use crate::book::{Buyer, Contract, Line, Money, Purchase, State, measured};

/// What is wrong with a posting before its original is looked for.
fn obstacle(contract: &Contract, transaction: &Transaction) -> Option<Code> {
    if transaction.currency != contract.currency {
        return Some(Code::CurrencyMismatch);
    }
    let items = &transaction.items;
    let malformed = items.is_empty()
        || items.len() > ITEMS_MAX
        || items.iter().any(|item| {
            let whole = match item.unit {
                Unit::L => item.qty_ml.is_some() && item.pieces.is_none(),
                Unit::Pieces => item.pieces.is_some() && item.qty_ml.is_none(),
            };
            !whole || item.amount_minor.is_some_and(|amount| amount.get() < 0)
        });
    malformed.then_some(Code::FmtInvalid)
}

fn lines(contract: &Contract, transaction: &Transaction) -> Vec<Line> {
    let whole = transaction.items.iter().enumerate();
    whole.map(|item| wish(item, |line| contract.discount(line).cloned(), contract.currency).line).collect()
}

fn net(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.net).sum()
}

fn ml(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.ml).sum()
}

fn pieces(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.pieces).sum()
}

/// The place of the purchase of the same card that the transaction names.
pub(crate) fn original(contract: &Contract, transaction: &Transaction) -> Option<usize> {
    let named = &transaction.original;
    contract.purchases.iter().position(|purchase| {
        let same = match (&named.auth_code, &named.idem) {
            (Some(auth_code), _) => purchase.auth_code == *auth_code,
            (None, Some(idem)) => purchase.idem == *idem,
            (None, None) => false,
        };
        same && purchase.card == transaction.card.token
    })
}

/// Posts or refuses. `at` is the time at which an offline or forced sale counts.
pub(crate) fn post(
    config: &Config,
    contract: &mut Contract,
    transaction: &Transaction,
    (auth_code, at): (AuthCode, i64),
) -> Answer {
    let answer = Answer::of_contract(contract);
    match transaction.kind {
        TransactionKind::Completion => complete(contract, transaction, answer),
        TransactionKind::Reversal => reverse(contract, transaction, answer),
        TransactionKind::Refund => refund(contract, transaction, answer),
        TransactionKind::Void => void(contract, transaction, answer),
        TransactionKind::Forced => own_sale(config, contract, transaction, (auth_code, at), answer, false),
        _ => own_sale(config, contract, transaction, (auth_code, at), answer, true),
    }
}

fn refused(mut answer: Answer, code: Code) -> Answer {
    answer.decide(Verdict::Decline, code, &[]);
    answer
}

fn complete(contract: &mut Contract, transaction: &Transaction, mut answer: Answer) -> Answer {
    if let Some(code) = obstacle(contract, transaction) {
        return refused(answer, code);
    }
    let Some(place) = original(contract, transaction) else { return refused(answer, Code::OriginalUnknown) };
    let purchase = &contract.purchases[place];
    let (held, late) = match &purchase.state {
        State::Held { lines, .. } => (lines.clone(), false),
        State::Expired { lines } => (lines.clone(), true),
        State::Reversed | State::Sold { .. } | State::Voided => return refused(answer, Code::OriginalClosed),
    };
    let lines = lines(contract, transaction);
    let above = ml(&lines) > ml(&held) || net(&lines) > net(&held) || pieces(&lines) > pieces(&held);
    let terminal = (transaction.site.clone(), transaction.terminal.clone());
    let differs = purchase.terminal != terminal
        || lines.iter().any(|line| !held.iter().any(|held| held.code == line.code && held.price_e4 == line.price_e4));
    let code = if late {
        Code::CompletionLate
    } else if above {
        Code::CompletionAboveHold
    } else if differs {
        Code::CompletionDiffers
    } else if mismatch(&transaction.items, contract.currency) {
        Code::AmountMismatch
    } else {
        Code::Approved
    };
    answer.decide(Verdict::Approve, code, &sold(&lines));
    // The hold makes room for what was sold under it; one that has expired did so before.
    let own = if late { Vec::new() } else { held };
    let purchase = contract.purchases[place].clone();
    told(contract, (&purchase.buyer(), purchase.at, purchase.offline), (&lines, &own), 100, &mut answer);
    contract.money.push(Money::Captured(net(&lines)));
    let state = State::Sold { lines, back: Vec::new(), place: contract.money.len() - 1 };
    contract.purchases[place].state = state;
    answer
}

fn reverse(contract: &mut Contract, transaction: &Transaction, mut answer: Answer) -> Answer {
    let Some(place) = original(contract, transaction) else { return refused(answer, Code::OriginalUnknown) };
    let purchase = &mut contract.purchases[place];
    match purchase.state {
        State::Held { .. } | State::Expired { .. } => purchase.state = State::Reversed,
        State::Reversed | State::Sold { .. } | State::Voided => return refused(answer, Code::OriginalClosed),
    }
    answer.decide(Verdict::Approve, Code::Approved, &[]);
    answer
}

fn refund(contract: &mut Contract, transaction: &Transaction, mut answer: Answer) -> Answer {
    if let Some(code) = obstacle(contract, transaction) {
        return refused(answer, code);
    }
    let returned = lines(contract, transaction);
    let Some(place) = original(contract, transaction) else { return refused(answer, Code::OriginalUnknown) };
    let State::Sold { lines, back, .. } = &mut contract.purchases[place].state else {
        return refused(answer, Code::OriginalClosed);
    };
    let of = |code: &ProductCode, lines: &[Line]| -> Vec<Line> {
        lines.iter().filter(|line| line.code == *code).cloned().collect()
    };
    // No product gives back more than was sold of it.
    let too_much = returned.iter().map(|line| &line.code).any(|code| {
        let (before, now, sold) = (of(code, back), of(code, &returned), of(code, lines));
        let beyond = |measure: &dyn Fn(&[Line]) -> i64| measure(&before) + measure(&now) > measure(&sold);
        beyond(&ml) || beyond(&net) || beyond(&pieces)
    });
    if too_much {
        return refused(answer, Code::AmountMismatch);
    }
    back.extend(returned.iter().cloned());
    contract.money.push(Money::Returned(net(&returned)));
    answer.say("verdict", format!("{:?}", Verdict::Approve));
    answer.say("code", format!("{:?}", Code::Approved));
    answer
}

/// Undoes what is left of a sale.
fn void(contract: &mut Contract, transaction: &Transaction, mut answer: Answer) -> Answer {
    let Some(found) = original(contract, transaction) else { return refused(answer, Code::OriginalUnknown) };
    let State::Sold { lines, back, place } = &contract.purchases[found].state else {
        return refused(answer, Code::OriginalClosed);
    };
    if contract.money[*place..].iter().any(|entry| matches!(entry, Money::Billed(_))) {
        return refused(answer, Code::OriginalBilled);
    }
    let left = net(lines) - net(back);
    contract.money.push(Money::Returned(left));
    contract.purchases[found].state = State::Voided;
    answer.say("verdict", format!("{:?}", Verdict::Approve));
    answer.say("code", format!("{:?}", Code::Approved));
    answer
}

/// Names the limits that apply and what goes beyond them, an open hold of its own aside. True when it goes beyond one for
/// offline sales, of which only `percent` counts.
fn told(
    contract: &Contract,
    (buyer, at, offline): (&Buyer, i64, bool),
    (lines, own): (&[Line], &[Line]),
    percent: i64,
    answer: &mut Answer,
) -> bool {
    let mut beyond_allowance = false;
    answer.limits();
    for kept in contract.limits_of(buyer, at, offline, Some(lines)) {
        let (used, held) = contract.usage(kept, at);
        let value = if kept.limit.offline { kept.limit.value * percent / 100 } else { kept.limit.value };
        answer.headroom_of(contract, (kept, at), value, used, held);
        let more = measured(&kept.limit, lines);
        let no_room = kept.limit.window == Window::PerTransaction;
        let own = if no_room { 0 } else { measured(&kept.limit, own) };
        let beyond = more - (value - used - held + own);
        if more > 0 && beyond > 0 {
            answer.over(kept.limit.id.as_str(), beyond);
            beyond_allowance |= kept.limit.offline && kept.limit.mode == LimitMode::Decline;
        }
    }
    let beyond = net(lines) - (contract.sums().available + net(own));
    if net(lines) > 0 && beyond > 0 {
        answer.over("balance", beyond);
    }
    beyond_allowance
}

/// A sale without an authorization of ours.
fn own_sale(
    config: &Config,
    contract: &mut Contract,
    transaction: &Transaction,
    (auth_code, at): (AuthCode, i64),
    mut answer: Answer,
    offline: bool,
) -> Answer {
    if let Some(code) = obstacle(contract, transaction) {
        return refused(answer, code);
    }
    let card = &contract.cards[&transaction.card.token];
    let buyer = buyer(contract, card, transaction);
    let lines = lines(contract, transaction);
    let age = transaction.offline.catalog_at_us.map_or(0, |loaded| at - loaded.get());
    let percent =
        config.offline_ageing.iter().find(|(up_to, _)| age <= *up_to).map_or(0, |(_, percent)| i64::from(*percent));
    let beyond = told(contract, (&buyer, at, offline), (&lines, &[]), percent, &mut answer);
    let beyond_allowance = offline && (beyond || !contract.policy(&buyer).offline_allowed);
    let code = match (offline, beyond_allowance) {
        (false, _) => Code::PostedForced,
        (true, false) => Code::PostedOffline,
        (true, true) => Code::OfflineLimit,
    };
    answer.decide(Verdict::Approve, code, &sold(&lines));
    contract.money.push(Money::Captured(net(&lines)));
    let place = contract.money.len() - 1;
    let idem = transaction.idem.clone();
    let terminal = (transaction.site.clone(), transaction.terminal.clone());
    let state = State::Sold { lines, back: Vec::new(), place };
    let Buyer { card, group, vehicle, driver } = buyer;
    contract.purchases.push(Purchase { auth_code, idem, card, group, vehicle, driver, terminal, at, offline, state });
    answer
}
