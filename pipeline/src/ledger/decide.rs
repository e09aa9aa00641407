//! What a request leads to. Pure: reads the shard, changes nothing.
//!
//! In: a request and the shard as it stands. Out: facts. Guarantees: an answer to every request, whatever is in it; the
//! checks come in one order, so the first that fails is the reason given. Does not: apply the facts; `evolve` does.

use jiff::civil::Date;
use model::{
    AuthCode, Code, ContractId, Decision, Fact, Outcome, PartitionId, Request, RequestBody, SoldItem, Text,
    TimestampUs, Transaction, TransactionKind, Verdict,
};

use super::card_limits::{self, Limits};
use super::contract::{Card, Contract, Moment};
use super::keys::{Answer, Keys};
use super::shard::Shard;
use super::{Config, items, orders, texts};

/// Holds that one outcome ends: keeps the record small when a contract comes back after a long silence. The rest follow
/// with the next requests.
const EXPIRIES_MAX: usize = 128;

/// The answer to a key that was seen before.
pub(super) fn repeat(answer: &Answer, request: &Request, fingerprint: u64) -> Fact {
    let same = answer.fingerprint == fingerprint;
    match &request.body {
        RequestBody::Command(_) if same => Fact::CommandRepeated,
        RequestBody::Command(_) => Fact::CommandRefused {
            code: Code::FmtKeyReused,
            message: format!("key {} was used before for another request", request.idem()),
        },
        RequestBody::Transaction(transaction) => match answer.decision() {
            Some(decision) if same => decided(transaction, fingerprint, Decision { replayed: true, ..decision }),
            _ => {
                let text = texts::of(
                    Code::FmtKeyReused,
                    format!("Key {} was used before for another request", transaction.idem),
                );
                decided(transaction, fingerprint, declined(transaction, Code::FmtKeyReused, text))
            }
        },
    }
}

/// Holds of the contract that have expired by the time of this request.
pub(super) fn overdue(shard: &Shard, config: &Config, outcome: &Outcome) -> Vec<Fact> {
    let Some(contract) = outcome.contract.as_ref().and_then(|id| shard.contracts.get(id)) else { return Vec::new() };
    // A clock that runs ahead must not end other cards' holds.
    if !config.believes(Moment { at: outcome.at_us, received_at: outcome.received_at_us }) {
        return Vec::new();
    }
    let overdue = contract.overdue(outcome.at_us).take(EXPIRIES_MAX);
    overdue
        .filter_map(|auth_code| {
            let card = contract.purchase(auth_code)?.card.clone();
            Some(Fact::HoldExpired { card, auth_code: auth_code.clone() })
        })
        .collect()
}

/// The answer to a new request.
pub(super) fn decide(shard: &Shard, config: &Config, offset: i64, request: &Request, fingerprint: u64) -> Vec<Fact> {
    let transaction = match &request.body {
        RequestBody::Command(message) => return orders::decide(shard, message),
        RequestBody::Transaction(transaction) => transaction,
    };
    let refuse = |code: Code, manager: String, contract: Option<&Contract>| {
        let mut decision = declined(transaction, code, texts::of(code, manager));
        decision.balance = contract.map(Contract::balance);
        vec![decided(transaction, fingerprint, decision)]
    };
    let token = &transaction.card.token;
    let Some(contract_id) = &request.contract else {
        return refuse(Code::CardUnknown, format!("Card {token} is not known"), None);
    };
    let Some(contract) = shard.contracts.get(contract_id) else {
        return refuse(Code::ContractUnknown, format!("Contract {contract_id} is not known"), None);
    };
    let Some(card) = contract.cards.get(token) else {
        return refuse(Code::CardUnknown, format!("Card {token} is not in contract {contract_id}"), Some(contract));
    };
    let at = transaction.at();
    let day = contract.day(at);
    let case = Case {
        config,
        partition: shard.partition,
        offset,
        keys: &shard.keys,
        contract_id,
        contract,
        card,
        transaction,
        moment: Moment { at, received_at: request.received_at_us },
        day,
        limits: card_limits::limits(contract, card, day),
        fingerprint,
    };
    case.decide()
}

/// A transaction of a known card, with all that its decision rests on.
pub(super) struct Case<'a> {
    pub(super) config: &'a Config,
    partition: PartitionId,
    offset: i64,
    pub(super) keys: &'a Keys,
    pub(super) contract_id: &'a ContractId,
    pub(super) contract: &'a Contract,
    pub(super) card: &'a Card,
    pub(super) transaction: &'a Transaction,
    pub(super) moment: Moment,
    pub(super) day: Date,
    pub(super) limits: Limits,
    fingerprint: u64,
}

impl Case<'_> {
    fn decide(&self) -> Vec<Fact> {
        match self.transaction.kind {
            TransactionKind::Sale if self.transaction.offline.was => self.advice(),
            TransactionKind::Preauth | TransactionKind::Sale | TransactionKind::DryRun => self.purchase(),
            TransactionKind::Completion => self.completion(),
            TransactionKind::AdviceOffline => self.advice(),
            TransactionKind::Reversal => self.reversal(),
            TransactionKind::Refund => self.refund(),
            TransactionKind::Balance => self.inquiry(),
        }
    }

    /// A decision with the limits and the balance as they stand; nothing allowed, nothing held.
    pub(super) fn answer(&self, verdict: Verdict, code: Code, text: Text) -> Decision {
        Decision {
            idem: self.transaction.idem.clone(),
            decision: verdict,
            iso39: texts::iso39(verdict, code, self.transaction.kind).to_owned(),
            code,
            auth_code: None,
            hold: None,
            allowed: Vec::new(),
            binding: None,
            headroom: self.limits.headrooms(self.contract, self.day),
            balance: Some(self.contract.balance()),
            risk: Vec::new(),
            text,
            replayed: false,
        }
    }

    pub(super) fn decline(&self, code: Code, manager: String) -> Vec<Fact> {
        vec![self.decided(self.answer(Verdict::Decline, code, texts::of(code, manager)))]
    }

    pub(super) fn decided(&self, decision: Decision) -> Fact {
        decided(self.transaction, self.fingerprint, decision)
    }

    pub(super) fn captured(&self, auth_code: AuthCode, items: Vec<SoldItem>) -> Fact {
        let Transaction { site, terminal, pump, card, .. } = self.transaction;
        Fact::Captured {
            card: card.token.clone(),
            auth_code,
            site: site.clone(),
            terminal: terminal.clone(),
            pump: *pump,
            amount_minor: items::sum(&items).minor,
            items,
        }
    }

    /// Unique for ever: a request offset is decided once.
    pub(super) fn new_auth_code(&self) -> AuthCode {
        AuthCode::new(&format!("{}-{}", self.partition, self.offset)).expect("digits and hyphens make an identifier")
    }

    /// The card in words of people: never its token when there is something better.
    pub(super) fn card_name(&self) -> String {
        match self.card.pan_masked.as_str() {
            "" => format!("Card {}", self.transaction.card.token),
            masked => format!("Card {masked}"),
        }
    }

    pub(super) fn at(&self) -> TimestampUs {
        self.moment.at
    }
}

fn declined(transaction: &Transaction, code: Code, text: Text) -> Decision {
    Decision {
        idem: transaction.idem.clone(),
        decision: Verdict::Decline,
        iso39: texts::iso39(Verdict::Decline, code, transaction.kind).to_owned(),
        code,
        auth_code: None,
        hold: None,
        allowed: Vec::new(),
        binding: None,
        headroom: Vec::new(),
        balance: None,
        risk: Vec::new(),
        text,
        replayed: false,
    }
}

fn decided(transaction: &Transaction, fingerprint: u64, decision: Decision) -> Fact {
    Fact::Decided {
        kind: transaction.kind,
        card: transaction.card.token.clone(),
        site: transaction.site.clone(),
        terminal: transaction.terminal.clone(),
        pump: transaction.pump,
        location: transaction.location,
        items: items::asked(&transaction.items, transaction.currency),
        fingerprint,
        decision,
    }
}
