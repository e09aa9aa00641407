//! What the ledger says, folded as simply as can be: the other side of every comparison in `verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context, bail};
use model::{AuthCode, Decision, Fact, Fence, LedgerBody, LedgerRecord};

/// Violations of one kind that are listed; more are only counted.
const LISTED_MAX: usize = 10;

/// What was found wrong.
#[derive(Default)]
pub(crate) struct Violations(BTreeMap<&'static str, Vec<String>>);

impl Violations {
    pub(crate) fn add(&mut self, kind: &'static str, what: String) {
        self.0.entry(kind).or_default().push(what);
    }
    /// How many of each kind.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.0.iter().map(|(kind, list)| (*kind, list.len())).collect()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, list) in &self.0 {
            lines.push(format!("{kind}: {}", list.len()));
            lines.extend(list.iter().take(LISTED_MAX).map(|what| format!("  {what}")));
            if list.len() > LISTED_MAX {
                lines.push(format!("  and {} more", list.len() - LISTED_MAX));
            }
        }
        lines
    }
}

/// What one contract owns by the last word of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) own: i64,
    pub(crate) credit: i64,
    pub(crate) held: i64,
    pub(crate) available: i64,
}

/// Sums that must be the same in the ledger and in ClickHouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) facts: u64,
    pub(crate) offsets: i64,
    pub(crate) places: u64,
    /// Of captures, refunds and top-ups; zero for other kinds.
    pub(crate) amount_minor: i64,
}

/// Requests that no ledger record covers, and the ledger offset at which that shows.
pub(crate) struct LeftOut {
    pub(crate) partition: i32,
    pub(crate) requests: Range<i64>,
    pub(crate) offset: i64,
}

/// The fold of all records that count.
pub(crate) struct Told {
    fences: Vec<Fence>,
    /// Where each partition has been read to.
    pub(crate) next_offset: Vec<i64>,
    last_request: Vec<Option<i64>>,
    /// Right where the request was rejected.
    pub(crate) left_out: Vec<LeftOut>,
    /// By key: decisions that were made anew, and answers to orders.
    pub(crate) decisions: BTreeMap<String, Vec<Decision>>,
    pub(crate) answered_orders: BTreeMap<String, Vec<bool>>,
    /// Contract and authorization of holds that expired.
    pub(crate) expired: BTreeSet<(String, AuthCode)>,
    pub(crate) balances: BTreeMap<String, Money>,
    pub(crate) sums: BTreeMap<(i32, String), Sums>,
    pub(crate) records: u64,
    /// Records of owners that had been replaced.
    pub(crate) void: u64,
}

impl Told {
    pub(crate) fn new(partitions: usize) -> Self {
        Self {
            fences: vec![Fence::default(); partitions],
            next_offset: vec![0; partitions],
            last_request: vec![None; partitions],
            left_out: Vec::new(),
            decisions: BTreeMap::new(),
            answered_orders: BTreeMap::new(),
            expired: BTreeSet::new(),
            balances: BTreeMap::new(),
            sums: BTreeMap::new(),
            records: 0,
            void: 0,
        }
    }

    /// Takes the record at an offset in.
    pub(crate) fn note(
        &mut self,
        partition: i32,
        offset: i64,
        record: LedgerRecord,
        violations: &mut Violations,
    ) -> anyhow::Result<()> {
        let index = usize::try_from(partition)?;
        self.next_offset[index] = offset + 1;
        self.records += 1;
        let outcome = match record.body {
            LedgerBody::Takeover { .. } => {
                self.fences[index].takeover(offset);
                return Ok(());
            }
            LedgerBody::Outcome(_) if !self.fences[index].admits(record.epoch) => {
                self.void += 1;
                return Ok(());
            }
            LedgerBody::Outcome(outcome) => outcome,
        };
        if let Some(last) = self.last_request[index].replace(outcome.request) {
            let request = outcome.request;
            if request <= last {
                let what = format!(
                    "partition {partition}: request {request} follows request {last} at ledger offset {offset}"
                );
                violations.add("requests covered twice", what);
            } else if request > last + 1 {
                self.left_out.push(LeftOut { partition, requests: last + 1..request, offset });
            }
        }
        let idem = outcome.idem.to_string();
        let contract = outcome.contract.as_ref().map(ToString::to_string);
        for (place, fact) in outcome.facts.iter().enumerate() {
            let (kind, amount) = kind_and_amount(fact)?;
            let sums = self.sums.entry((partition, kind)).or_default();
            sums.facts += 1;
            sums.offsets += offset;
            sums.places += place as u64;
            sums.amount_minor += amount;
            match fact {
                Fact::Decided { decision, .. } if !decision.replayed => {
                    self.decisions.entry(idem.clone()).or_default().push(decision.clone());
                }
                Fact::Decided { decision, .. } => {
                    let first = self.decisions.get(&idem).and_then(|list| list.first());
                    let same = first.is_some_and(|first| Decision { replayed: true, ..first.clone() } == *decision);
                    if !same {
                        violations
                            .add("replays that differ from their decision", format!("{idem} at {partition}-{offset}"));
                    }
                }
                Fact::HoldExpired { auth_code, .. } => {
                    self.expired.insert((contract.clone().unwrap_or_default(), auth_code.clone()));
                }
                Fact::CommandRefused { .. } => self.answered_orders.entry(idem.clone()).or_default().push(false),
                Fact::ContractOpened { .. }
                | Fact::ToppedUp { .. }
                | Fact::CreditLineSet { .. }
                | Fact::CardIssued { .. }
                | Fact::CardBlocked { .. }
                | Fact::CardUnblocked { .. }
                | Fact::RuleSet { .. } => self.answered_orders.entry(idem.clone()).or_default().push(true),
                // Limits may come with their card or alone; what counts is that the order was carried out once.
                Fact::LimitSet { .. } if place == 0 => {
                    self.answered_orders.entry(idem.clone()).or_default().push(true);
                }
                _ => {}
            }
        }
        if let (Some(contract), Some(balance)) = (contract, outcome.balance) {
            let money = Money {
                // What is bought and not billed is gone all the same.
                own: balance.own.get() - balance.unbilled.get(),
                credit: balance.credit.get(),
                held: balance.held.get(),
                available: balance.available.get(),
            };
            self.balances.insert(contract, money);
        }
        Ok(())
    }
}

/// The fact's name on the wire, and the money that it moves.
fn kind_and_amount(fact: &Fact) -> anyhow::Result<(String, i64)> {
    let kind = match serde_json::to_value(fact)? {
        serde_json::Value::String(name) => name,
        serde_json::Value::Object(map) => map.keys().next().cloned().context("a fact without a name")?,
        other => bail!("a fact of unknown form: {other}"),
    };
    let amount = match fact {
        Fact::ToppedUp { amount_minor, .. }
        | Fact::Captured { amount_minor, .. }
        | Fact::Refunded { amount_minor, .. } => amount_minor.get(),
        _ => 0,
    };
    Ok((kind, amount))
}
