//! The oracle: takes requests one after the other and says what the answer must be.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use model::{AuthCode, Code, ContractId, Request, RequestBody, Transaction, TransactionKind, Verdict};
use pipeline::ledger::Config;

use crate::answer::{Answer, hold_words};
use crate::asking::{Granted, ask, buyer};
use crate::book::{Contract, Line, Money, Purchase, State};
use crate::orders::carry_out;
use crate::posting::{original, post};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
const SKEW_US: i64 = 26 * HOUR_US;
const LATE_US: i64 = 31 * DAY_US;

#[derive(Default)]
pub(crate) struct Oracle {
    contracts: BTreeMap<ContractId, Contract>,
}

impl Oracle {
    pub(crate) fn answer(&mut self, config: &Config, offset: i64, request: &Request) -> Answer {
        let received = request.received_at_us.get();
        let event = request.at().get();
        let believed = (event - received).abs() <= SKEW_US;
        let id = match &request.body {
            RequestBody::Command(message) => Some(&message.contract),
            RequestBody::Transaction(_) | RequestBody::Tick(_) => request.contract.as_ref(),
        };
        let mut passed = Answer::default();
        if let Some(contract) = id.and_then(|id| self.contracts.get_mut(id))
            && let Some(until) = time_that_passes(request, believed)
        {
            pass(contract, until, &mut passed);
        }
        let mut answer = match &request.body {
            RequestBody::Command(message) => {
                let refused = carry_out(&mut self.contracts, message);
                let mut answer = Answer::default();
                answer.say("refused", refused.map_or("no".into(), |code| format!("{code:?}")));
                answer
            }
            RequestBody::Tick(_) => Answer::default(),
            RequestBody::Transaction(transaction) => {
                let auth_code = AuthCode::new(&format!("0-{offset}")).unwrap();
                let before = id.and_then(|id| self.contracts.get(id)).map(|contract| {
                    let at = counted_at(contract, request, transaction);
                    (at, Standing::of(contract, at))
                });
                let mut answer = self.transaction(config, request, transaction, (auth_code, believed));
                if let (Some((at, before)), Some(contract)) = (before, id.and_then(|id| self.contracts.get(id))) {
                    before.alerts(&Standing::of(contract, at), contract, &mut answer);
                }
                answer
            }
        };
        if let Some(contract) = id.and_then(|id| self.contracts.get(id)) {
            answer.after(contract);
        }
        answer.0.extend(passed.0);
        answer
    }

    fn transaction(
        &mut self,
        config: &Config,
        request: &Request,
        transaction: &Transaction,
        (auth_code, believed): (AuthCode, bool),
    ) -> Answer {
        let unknown = |code: Code| {
            let mut answer = Answer::default();
            answer.decide(Verdict::Decline, code, &[]);
            answer
        };
        let Some(id) = &request.contract else { return unknown(Code::CardUnknown) };
        let Some(contract) = self.contracts.get_mut(id) else { return unknown(Code::ContractUnknown) };
        let Some(card) = contract.cards.get(&transaction.card.token) else { return unknown(Code::CardUnknown) };
        let event = transaction.at().get();
        match transaction.kind {
            TransactionKind::Sale if transaction.offline.was => {}
            TransactionKind::Balance => {
                let mut answer = Answer::of_contract(contract);
                let buyer = buyer(contract, card, transaction);
                answer.limits();
                for kept in contract.limits_of(&buyer, event, false, None) {
                    let (used, held) = contract.usage(kept, event);
                    answer.headroom(contract, (kept, event), used, held);
                }
                return answer;
            }
            TransactionKind::Preauth
            | TransactionKind::Sale
            | TransactionKind::DryRun
            | TransactionKind::Incremental => {
                return asked(config, contract, transaction, (auth_code, event, believed));
            }
            _ => {}
        }
        let at = believed_time(request, transaction);
        post(config, contract, transaction, (auth_code, at))
    }
}

/// When a sale that is told of afterwards happened: a clock that cannot be right gives way to ours.
fn believed_time(request: &Request, transaction: &Transaction) -> i64 {
    let (received, event) = (request.received_at_us.get(), transaction.at().get());
    if (-SKEW_US..=LATE_US).contains(&(received - event)) { event } else { received }
}

/// The moment whose windows a transaction counts in: that of its original where it has one.
fn counted_at(contract: &Contract, request: &Request, transaction: &Transaction) -> i64 {
    let follows = matches!(transaction.kind, TransactionKind::Completion | TransactionKind::Incremental);
    match original(contract, transaction).filter(|_| follows) {
        Some(place) => contract.purchases[place].at,
        None => believed_time(request, transaction),
    }
}

/// What is left of the limits that want to tell when little is, and how much of the credit line is in use.
struct Standing {
    lefts: Vec<(String, i64, i64)>,
    credit_used: i64,
}

impl Standing {
    fn of(contract: &Contract, at: i64) -> Self {
        let told = contract.limits.iter().filter_map(|kept| {
            let alert_left = kept.limit.alert_left?;
            let (used, held) = contract.usage(kept, at);
            Some((kept.limit.id.to_string(), alert_left, kept.limit.value - used - held))
        });
        Self { lefts: told.collect(), credit_used: (contract.credit - contract.sums().available).max(0) }
    }

    fn alerts(&self, after: &Self, contract: &Contract, answer: &mut Answer) {
        let Some(applied) = answer.0.get("limits").cloned() else { return };
        let mut low = Vec::new();
        for name in applied.split_whitespace() {
            let left_of = |standing: &Self| standing.lefts.iter().find(|(id, _, _)| id == name).cloned();
            let shown = answer.0[&format!("limit {name}")].rsplit(' ').next().map(|left| left.parse::<i64>().unwrap());
            if let (Some((_, alert, before)), Some((_, _, after)), Some(left)) = (left_of(self), left_of(after), shown)
                && left > alert
                && left - (before - after) <= alert
            {
                low.push(name);
            }
        }
        answer.say("low", low.join(" "));
        let rises = |percent: &i64| {
            let mark = percent * contract.credit;
            contract.credit > 0 && self.credit_used * 100 < mark && after.credit_used * 100 >= mark
        };
        // The highest mark says it all.
        let mark = [100, 90, 70].iter().find(|mark| rises(mark));
        answer.say("credit marks", mark.map_or_else(String::new, i64::to_string));
    }
}

fn asked(
    config: &Config,
    contract: &mut Contract,
    transaction: &Transaction,
    (auth_code, at, believed): (AuthCode, i64, bool),
) -> Answer {
    let more = transaction.kind == TransactionKind::Incremental;
    let found = original(contract, transaction);
    let more_of = more.then(|| match found.map(|place| &contract.purchases[place]) {
        None => Err(Code::OriginalUnknown),
        Some(purchase) if matches!(purchase.state, State::Held { .. }) => Ok(purchase),
        Some(_) => Err(Code::OriginalClosed),
    });
    let (mut answer, granted) = ask(config, contract, transaction, (at, believed), more_of);
    if transaction.kind != TransactionKind::DryRun {
        remember_pin(config, contract, transaction, (&answer, at));
    }
    let Some(Granted { lines }) = granted else {
        if matches!(transaction.kind, TransactionKind::Preauth | TransactionKind::Incremental) {
            answer.say("hold", hold_words(None));
        }
        return answer;
    };
    if let Some(place) = found.filter(|_| more) {
        let State::Held { lines: held, expires_us } = &mut contract.purchases[place].state else { unreachable!() };
        answer.say("hold", held_words(&lines, *expires_us));
        held.extend(lines);
        return answer;
    }
    let buyer = buyer(contract, &contract.cards[&transaction.card.token], transaction);
    let state = match transaction.kind {
        TransactionKind::Preauth => {
            let expires_us = at + config.hold_ttl_us;
            answer.say("hold", held_words(&lines, expires_us));
            State::Held { lines, expires_us }
        }
        TransactionKind::Sale => {
            contract.money.push(Money::Captured(lines.iter().map(|line| line.net).sum()));
            State::Sold { lines, back: Vec::new(), place: contract.money.len() - 1 }
        }
        _ => return answer,
    };
    if let Some(odometer) = transaction.prompts.odometer
        && let Some(card) = contract.cards.get_mut(&buyer.card)
    {
        card.odometer = Some(odometer);
    }
    let idem = transaction.idem.clone();
    let terminal = (transaction.site.clone(), transaction.terminal.clone());
    let crate::book::Buyer { card, group, vehicle, driver } = buyer;
    let offline = false;
    contract.purchases.push(Purchase { auth_code, idem, card, group, vehicle, driver, terminal, at, offline, state });
    answer
}

fn held_words(lines: &[Line], expires_us: i64) -> String {
    let ml = lines.iter().map(|line| line.ml).sum::<i64>();
    let net = lines.iter().map(|line| line.net).sum();
    hold_words(Some((u64::try_from(ml).unwrap(), net, expires_us)))
}

/// Counts wrong PINs. The next approved purchase forgets them; more of one that was approved before does not.
fn remember_pin(config: &Config, contract: &mut Contract, transaction: &Transaction, (answer, at): (&Answer, i64)) {
    let card = contract.cards.get_mut(&transaction.card.token).unwrap();
    let code = &answer.0["code"];
    if *code == format!("{:?}", Code::PinWrong) {
        card.pin_locked_until = None;
        card.wrong_pins += 1;
        if card.wrong_pins >= config.pin_tries_max {
            card.wrong_pins = 0;
            card.pin_locked_until = Some(at + config.pin_lock_us);
        }
    } else if transaction.kind != TransactionKind::Incremental
        && [Verdict::Approve, Verdict::Partial].iter().any(|verdict| answer.0["verdict"] == format!("{verdict:?}"))
    {
        (card.wrong_pins, card.pin_locked_until) = (0, None);
    }
}

/// Up to when a request shows that time has passed: a wrong clock shows nothing.
fn time_that_passes(request: &Request, believed: bool) -> Option<i64> {
    believed.then(|| request.at().get())
}

/// Holds expire and fees fall due.
fn pass(contract: &mut Contract, until: i64, answer: &mut Answer) {
    let mut expired = Vec::new();
    for purchase in &mut contract.purchases {
        if let State::Held { lines, expires_us } = &purchase.state
            && *expires_us <= until
        {
            expired.push((*expires_us, purchase.auth_code.to_string()));
            purchase.state = State::Expired { lines: lines.clone() };
        }
    }
    expired.sort();
    let words: Vec<&str> = expired.iter().map(|(_, auth_code)| auth_code.as_str()).collect();
    answer.say("expired", words.join(" "));

    let mut due: Vec<(Date, String, i64)> = Vec::new();
    for fee in &mut contract.fees {
        loop {
            let next = fee.charged_to.checked_add(1.month()).unwrap();
            let midnight = contract.calendar.zone.to_timestamp(next.at(0, 0, 0, 0)).unwrap();
            if Timestamp::from_microsecond(until).unwrap() < midnight {
                break;
            }
            fee.charged_to = next;
            due.push((next, fee.fee.name.clone(), fee.fee.amount_minor.get()));
        }
    }
    due.sort_by_key(|(month, _, _)| *month);
    contract.money.extend(due.iter().map(|(_, _, amount)| Money::Fee(*amount)));
    let words =
        due.iter().map(|(month, name, amount)| format!("{name} {}-{:02} {amount}", month.year(), month.month()));
    answer.say("fees", words.collect::<Vec<_>>().join(", "));
}
