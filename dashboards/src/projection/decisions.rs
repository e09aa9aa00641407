//! The last decisions of the whole network, each with everything that explains it.
//!
//! In: decided facts. Out: the newest ones, since a version or by idempotency key. Bounded: older ones are in ClickHouse.

use std::collections::VecDeque;
use std::sync::Arc;

use model::{
    AuthCode, CardToken, ContractId, Currency, Decision, DriverId, IdempotencyKey, Languages, PartitionId, ProductCode,
    SiteId, TerminalId, TimestampUs, TransactionKind, VehicleId,
};

use serde::{Deserialize, Serialize};

use super::limits::LimitState;

/// Decisions kept in memory with their full record.
pub(crate) const DECISIONS_MAX: usize = 2_000;

/// A decision as lists show it. The full record is kept apart, so that the lists of contracts stay small.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    #[serde(skip)]
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
    pub(crate) vehicle: Option<VehicleId>,
    pub(crate) driver: Option<DriverId>,
    pub(crate) kind: TransactionKind,
    pub(crate) product: Option<ProductCode>,
    pub(crate) qty_ml: Option<u64>,
    /// Goods counted in pieces, of all lines.
    pub(crate) pieces: u32,
    pub(crate) amount_minor: Option<i64>,
    pub(crate) currency: Option<Currency>,
    /// From received to seen here; absent when it was read while catching up, which would say nothing.
    pub(crate) latency_us: Option<i64>,
    pub(crate) answer: Answer,
}

/// The part of a decision that lists show.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) verdict: model::Verdict,
    pub(crate) code: model::Code,
    pub(crate) auth_code: Option<AuthCode>,
    pub(crate) manager: Languages,
    pub(crate) cashier: Arc<Languages>,
    pub(crate) binding: Option<LimitState>,
    pub(crate) risk: Vec<model::RiskFinding>,
    pub(crate) replayed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Recent {
    pub(super) line: Arc<Line>,
    /// All but the texts, which the line has.
    pub(super) decision: Decision,
}

#[derive(Debug, Default)]
pub(crate) struct Decisions(VecDeque<Recent>);

impl Decisions {
    /// Remembers `decision`, whose texts were moved to `line`.
    pub(crate) fn push(&mut self, line: Arc<Line>, decision: Decision) {
        if self.0.len() == DECISIONS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Recent { line, decision });
    }

    /// Those of one partition of the ledger, oldest first.
    pub(super) fn of(&self, partition: PartitionId) -> impl Iterator<Item = &Recent> {
        self.0.iter().filter(move |recent| recent.line.partition == partition)
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().rev().map(|recent| &*recent.line)
    }

    /// The network's clock: the middle event time of the newest decisions, so that one terminal with a wrong clock does not
    /// move it. `None` before the first.
    pub(crate) fn clock(&self) -> Option<TimestampUs> {
        const OF: usize = 15;
        let mut times: Vec<TimestampUs> = self.newest_first().take(OF).map(|line| line.at).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// The recorded decision of a request: the first answer rather than its repeats.
    pub(crate) fn by_idem(&self, idem: &IdempotencyKey) -> Option<(&Line, Decision)> {
        let mut of_key = self.0.iter().rev().filter(|recent| recent.decision.idem == *idem);
        let newest = of_key.next()?;
        let first = std::iter::once(newest).chain(of_key).find(|recent| !recent.decision.replayed);
        let Recent { line, decision } = first.unwrap_or(newest);
        let mut decision = decision.clone();
        decision.text.manager.clone_from(&line.answer.manager);
        decision.text.cashier.clone_from(&line.answer.cashier);
        Some((line, decision))
    }
}
