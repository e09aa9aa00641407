//! The last decisions of the whole network, each with everything that explains it.
//!
//! In: decided facts. Out: the newest ones, since a version or by idempotency key. Bounded: older ones are in ClickHouse.

use std::collections::VecDeque;
use std::sync::Arc;

use model::{
    CardToken, ContractId, Currency, Decision, IdempotencyKey, PartitionId, ProductCode, SiteId, TerminalId,
    TimestampUs, TransactionKind,
};

use super::cards::CardLimit;

/// Decisions kept in memory with their full record.
pub(crate) const DECISIONS_MAX: usize = 2_000;

/// A decision as lists show it. The full record is kept apart, so that the lists of contracts stay small.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) version: u64,
    pub(crate) partition: PartitionId,
    pub(crate) offset: i64,
    pub(crate) idem: IdempotencyKey,
    pub(crate) at: TimestampUs,
    pub(crate) seen_at: TimestampUs,
    pub(crate) site: SiteId,
    pub(crate) terminal: TerminalId,
    pub(crate) pump: Option<u16>,
    pub(crate) contract: Option<ContractId>,
    /// Names as they were then: a line does not change after it was sent.
    pub(crate) contract_name: Option<Arc<str>>,
    pub(crate) card: CardToken,
    pub(crate) pan_masked: Option<Arc<str>>,
    pub(crate) kind: TransactionKind,
    pub(crate) product: Option<ProductCode>,
    pub(crate) qty_ml: Option<u64>,
    pub(crate) amount_minor: Option<i64>,
    pub(crate) currency: Option<Currency>,
    /// From received to seen here; absent when it was read while catching up, which would say nothing.
    pub(crate) latency_us: Option<i64>,
    pub(crate) answer: Answer,
}

/// The part of a decision that lists show.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: model::Verdict,
    pub(crate) code: model::Code,
    pub(crate) manager: String,
    pub(crate) cashier: Arc<str>,
    pub(crate) binding: Option<CardLimit>,
    pub(crate) risk: Vec<model::RiskFinding>,
    pub(crate) replayed: bool,
}

#[derive(Debug)]
struct Recent {
    line: Arc<Line>,
    /// All but the manager's text, which the line has.
    decision: Decision,
}

#[derive(Debug, Default)]
pub(crate) struct Decisions(VecDeque<Recent>);

impl Decisions {
    /// Remembers `decision`, whose text for the manager was moved to `line`.
    pub(crate) fn push(&mut self, line: Arc<Line>, decision: Decision) {
        if self.0.len() == DECISIONS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Recent { line, decision });
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().rev().map(|recent| &*recent.line)
    }

    /// The recorded decision of a request: the first answer rather than its repeats.
    pub(crate) fn by_idem(&self, idem: &IdempotencyKey) -> Option<(&Line, Decision)> {
        let mut of_key = self.0.iter().rev().filter(|recent| recent.decision.idem == *idem);
        let newest = of_key.next()?;
        let first = std::iter::once(newest).chain(of_key).find(|recent| !recent.decision.replayed);
        let Recent { line, decision } = first.unwrap_or(newest);
        let mut decision = decision.clone();
        decision.text.manager.clone_from(&line.answer.manager);
        Some((line, decision))
    }
}
