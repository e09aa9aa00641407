//! Proves from the ledger that every account adds up.
//!
//! In: the records of one ledger partition, in order. Out: what does not add up, and where; the sums of all accounts; what is
//! open with the bank. Guarantees: every outcome is posted by double entry and its balance compared; of each authorization
//! it is known whether it is open; what cannot be checked any more is counted, not passed over. Does not: ask the engine
//! anything, and does not keep facts: memory holds contracts, open authorizations, and a bounded number of closed ones
//! and of keys.

mod past;
mod report;

use std::collections::BTreeMap;

use model::books::{Books, Posting};
use model::{
    Balance, Code, ContractId, Currency, Fact, Fence, LedgerBody, LedgerRecord, Outcome, PartitionId, TimestampUs,
    Watermarks,
};

use past::{Keys, Past};
pub use report::{OpenItem, Report, Why, money, posted_in_words};

/// Findings that are told one by one; all are counted.
const TOLD_MAX: usize = 20;
/// The largest amount that a balance can show, either side.
const SHOWN_MAX: i128 = 1_000_000_000_000_000;

/// Something that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub partition: PartitionId,
    /// In the ledger.
    pub offset: i64,
    pub contract: Option<ContractId>,
    pub what: String,
}

/// A posting, where somebody wants to see each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    pub at: TimestampUs,
    pub currency: Currency,
    pub fact: Fact,
    pub posting: Posting,
}

/// The audit of one partition.
pub struct Audit {
    partition: PartitionId,
    /// Only this contract is looked at.
    only: Option<ContractId>,
    fence: Fence,
    last_request: Option<i64>,
    origins: Watermarks,
    keys: Keys,
    past: Past,
    contracts: BTreeMap<ContractId, Audited>,
    /// Postings since they were last taken, where one contract is looked at.
    posted: Vec<Posted>,
    report: Report,
}

struct Audited {
    books: Books,
    /// How far the recorded balance is from the books: told when it changes, not with every outcome after.
    drift: [i128; 5],
}

impl Audit {
    /// `key_retention_us`: for how long the same key must not be decided twice.
    #[must_use]
    pub fn new(partition: PartitionId, key_retention_us: i64, only: Option<ContractId>) -> Self {
        Self {
            partition,
            only,
            fence: Fence::default(),
            last_request: None,
            origins: Watermarks::default(),
            keys: Keys::new(key_retention_us),
            past: Past::new(partition),
            contracts: BTreeMap::new(),
            posted: Vec::new(),
            report: Report::default(),
        }
    }

    /// Takes in the record at `offset`. Records of an owner that was replaced are counted and change nothing.
    pub fn take(&mut self, offset: i64, record: &LedgerRecord) {
        self.report.records += 1;
        match &record.body {
            LedgerBody::Takeover { .. } => self.fence.takeover(offset),
            LedgerBody::Outcome(_) if !self.fence.admits(record.epoch) => self.report.void += 1,
            LedgerBody::Outcome(outcome) => self.outcome(offset, outcome),
        }
    }

    /// The postings since this was last called; only where one contract is looked at.
    pub fn posted(&mut self) -> Vec<Posted> {
        std::mem::take(&mut self.posted)
    }

    /// What was found, when all records were taken in.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.report.unchecked = self.past.unchecked;
        for (id, Audited { books, .. }) in std::mem::take(&mut self.contracts) {
            let (one_by_one, account) = (books.held(), books.balance()[2]);
            if one_by_one != account {
                let what = format!(
                    "open authorizations reserve {}, the account of holds says {}",
                    money(one_by_one, books.currency),
                    money(account, books.currency)
                );
                self.find(self.last_request.unwrap_or(0), Some(&id), what);
            }
            self.report.add(&id, &books);
        }
        self.report
    }

    fn find(&mut self, offset: i64, contract: Option<&ContractId>, what: String) {
        self.report.findings += 1;
        if self.report.told.len() < TOLD_MAX {
            let finding = Finding { partition: self.partition, offset, contract: contract.cloned(), what };
            self.report.told.push(finding);
        }
    }

    fn outcome(&mut self, offset: i64, outcome: &Outcome) {
        let contract = outcome.contract.as_ref();
        if let Some(last) = self.last_request.filter(|last| outcome.request <= *last) {
            let what = format!("request {} was decided again after request {last}", outcome.request);
            self.find(offset, contract, what);
        }
        self.last_request = self.last_request.max(Some(outcome.request));
        if self.only.as_ref().is_none_or(|only| contract == Some(only)) {
            self.looked_at(offset, outcome);
        }
        self.keys.passed(outcome.received_at_us);
    }

    fn looked_at(&mut self, offset: i64, outcome: &Outcome) {
        let contract = outcome.contract.as_ref();
        let anew = decided_anew(outcome);
        if let Some(origin) = outcome.origin
            && !self.origins.advance(origin)
            && anew
        {
            let what = format!(
                "request {} repeats {:?} {}/{} and was decided again",
                outcome.request, origin.topic, origin.partition, origin.offset
            );
            self.find(offset, contract, what);
        }
        if anew && let Some(first) = self.keys.decided(outcome.idem.as_str(), outcome.received_at_us, offset) {
            let what = format!("key {} was decided at {}/{first} and again here", outcome.idem, self.partition);
            self.find(offset, contract, what);
        }
        let Some(id) = contract else { return };
        let mut moved = false;
        for fact in &outcome.facts {
            moved |= self.fact(offset, outcome, id, fact);
        }
        match (outcome.balance, self.contracts.contains_key(id)) {
            (Some(balance), true) => self.balance(offset, id, &balance),
            (None, _) if moved => self.find(offset, contract, "money moved and no balance is recorded".to_owned()),
            _ => {}
        }
    }

    /// True when the fact moved money.
    fn fact(&mut self, offset: i64, outcome: &Outcome, id: &ContractId, fact: &Fact) -> bool {
        if let Fact::ContractOpened { currency, .. } = fact {
            let audited = Audited { books: Books::new(*currency), drift: [0; 5] };
            if self.contracts.insert(id.clone(), audited).is_some() {
                self.find(offset, Some(id), "the contract was opened twice".to_owned());
            }
        }
        let Some(Audited { books, .. }) = self.contracts.get_mut(id) else {
            let mut nobody = Books::new(Currency::EUR);
            let moves = !nobody.enter(outcome.at_us, fact, &mut Vec::new()).is_empty();
            if moves {
                self.find(offset, Some(id), "money moves in a contract that was never opened".to_owned());
            }
            return false;
        };
        let (mut wrong, mut what) = (Vec::new(), Vec::new());
        self.past.check(outcome.request, fact, books, &mut what);
        let posting = books.enter(outcome.at_us, fact, &mut wrong);
        let currency = books.currency;
        what.extend(wrong.iter().map(|wrong| report::wrong(wrong, currency)));
        if posting.sum() != 0 {
            let sum = money(posting.sum(), currency);
            what.push(format!("a posting is off by {sum}: {:?}", posting.entries()));
        }
        for what in what {
            self.find(offset, Some(id), what);
        }
        let moved = !posting.is_empty();
        if moved {
            self.report.postings += 1;
            if self.only.is_some() {
                self.posted.push(Posted { at: outcome.at_us, currency, fact: fact.clone(), posting });
            }
        }
        moved
    }

    fn balance(&mut self, offset: i64, id: &ContractId, balance: &Balance) {
        let Some(Audited { books, drift }) = self.contracts.get_mut(id) else { return };
        let currency = books.currency;
        let (shown, kept) = (Books::shown(balance), books.balance());
        let off: [i128; 5] =
            std::array::from_fn(|part| i128::from(shown[part]) - kept[part].clamp(-SHOWN_MAX, SHOWN_MAX));
        let before = std::mem::replace(drift, off);
        let mut what = Vec::new();
        if balance.currency != currency {
            what.push(format!("the contract is in {currency}, its balance in {}", balance.currency));
        }
        const PARTS: [&str; 5] = ["own funds", "the credit line", "holds", "what is not billed", "what is available"];
        let parts = PARTS.iter().zip(shown).zip(kept).zip(off.iter().zip(before));
        for (((part, shown), kept), _) in parts.filter(|(_, (off, before))| *off != before) {
            let (shown, kept) = (money(i128::from(shown), currency), money(kept, currency));
            what.push(format!("{part}: {shown} is recorded, the accounts say {kept}"));
        }
        for what in what {
            self.find(offset, Some(id), what);
        }
    }
}

/// Whether an outcome gives a first answer, and not one that was given before.
fn decided_anew(outcome: &Outcome) -> bool {
    let answer = outcome.facts.iter().find_map(|fact| match fact {
        Fact::Decided { decision, .. } => Some(!decision.replayed && decision.code != Code::FmtKeyReused),
        Fact::CommandRepeated | Fact::CommandRefused { code: Code::FmtKeyReused, .. } => Some(false),
        _ => None,
    });
    // An order may change nothing, and was carried out all the same.
    answer.unwrap_or(outcome.fingerprint.is_some())
}

#[cfg(test)]
mod tests;
