//! The oracle: takes requests one after the other and says what the answer must be.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use model::{AuthCode, Code, ContractId, Request, RequestBody, Transaction, TransactionKind, Verdict};
use pipeline::ledger::Config;

use crate::answer::{Answer, hold_words};
use crate::asking::{Granted, ask, buyer, life};
use crate::book::{Contract, Line, Money, Purchase, State};
use crate::orders::carry_out;
use crate::posting::post;

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
                self.transaction(config, request, transaction, (auth_code, believed))
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
        let (received, event) = (request.received_at_us.get(), transaction.at().get());
        match transaction.kind {
            TransactionKind::Sale if transaction.offline.was => {}
            TransactionKind::Balance => {
                let mut answer = Answer::of_contract(contract);
                if let Some(code) = life(contract, card, event) {
                    answer.decide(Verdict::Decline, code, &[]);
                    return answer;
                }
                let buyer = buyer(contract, card, transaction);
                answer.limits();
                for kept in contract.limits_of(&buyer, event, false, None) {
                    let (used, held) = contract.usage(kept, event);
                    answer.headroom(kept, used, held);
                }
                return answer;
            }
            TransactionKind::Preauth | TransactionKind::Sale | TransactionKind::DryRun => {
                return asked(config, contract, transaction, (auth_code, event, believed));
            }
            _ => {}
        }
        let late = received - event;
        let at = if (-SKEW_US..=LATE_US).contains(&late) { event } else { received };
        post(config, contract, transaction, (auth_code, at))
    }
}

fn asked(
    config: &Config,
    contract: &mut Contract,
    transaction: &Transaction,
    (auth_code, at, believed): (AuthCode, i64, bool),
) -> Answer {
    let (mut answer, granted) = ask(config, contract, transaction, (at, believed));
    if transaction.kind != TransactionKind::DryRun {
        remember_pin(config, contract, transaction, (&answer, at));
    }
    let Some(Granted { lines }) = granted else {
        if transaction.kind == TransactionKind::Preauth {
            answer.say("hold", hold_words(None));
        }
        return answer;
    };
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
    let (idem, terminal) = (transaction.idem.clone(), transaction.terminal.clone());
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

/// Counts wrong PINs. The next approved purchase forgets them.
fn remember_pin(config: &Config, contract: &mut Contract, transaction: &Transaction, (answer, at): (&Answer, i64)) {
    let card = contract.cards.get_mut(&transaction.card.token).unwrap();
    let code = &answer.0["code"];
    if *code == format!("{:?}", Code::PinWrong) {
        card.wrong_pins += 1;
        if card.wrong_pins >= config.pin_tries_max {
            card.wrong_pins = 0;
            card.pin_locked_until = Some(at + config.pin_lock_us);
        }
    } else if [Verdict::Approve, Verdict::Partial].iter().any(|verdict| answer.0["verdict"] == format!("{verdict:?}")) {
        card.wrong_pins = 0;
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
    due.sort();
    contract.money.extend(due.iter().map(|(_, _, amount)| Money::Fee(*amount)));
    let words =
        due.iter().map(|(month, name, amount)| format!("{name} {}-{:02} {amount}", month.year(), month.month()));
    answer.say("fees", words.collect::<Vec<_>>().join(", "));
}
