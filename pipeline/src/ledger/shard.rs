//! One partition's cards and money.
//!
//! In: requests to decide, or records of the ledger that were decided before. Out: the outcome of each request.
//! Guarantees: deciding changes the state only through `evolve`, by the facts of the outcome, so folding the outcomes
//! gives the same state; each request offset and each origin counts once. Does not: know who else owns the partition,
//! beyond the fence that the ledger itself carries.

use model::{ContractId, Fence, LedgerBody, LedgerRecord, Outcome, PartitionId, Request, RequestBody, Watermarks};

use super::contract::{Contract, Map, Moment};
use super::keys::Keys;
use super::{Config, card_limits, decide, evolve, fingerprint};

/// The fold of one ledger partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Shard {
    pub(super) partition: PartitionId,
    pub(super) contracts: Map<ContractId, Contract>,
    pub(super) keys: Keys,
    watermarks: Watermarks,
    fence: Fence,
    last_request: Option<i64>,
}

impl Shard {
    #[must_use]
    pub fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            contracts: Map::default(),
            keys: Keys::default(),
            watermarks: Watermarks::default(),
            fence: Fence::default(),
            last_request: None,
        }
    }

    /// The offset in the ledger of the latest takeover folded.
    #[must_use]
    pub fn epoch(&self) -> Option<i64> {
        self.fence.epoch()
    }

    /// The offset in `fuel.requests` up to which all is decided.
    #[must_use]
    pub fn last_request(&self) -> Option<i64> {
        self.last_request
    }

    /// Takes in a record of the ledger at `offset`. Records of a replaced owner, and of requests that are covered, change
    /// nothing.
    pub fn fold(&mut self, config: &Config, offset: i64, record: &LedgerRecord) {
        match &record.body {
            LedgerBody::Takeover { .. } => self.fence.takeover(offset),
            LedgerBody::Outcome(outcome) => {
                if self.fence.admits(record.epoch) && !self.decided(outcome.request) {
                    self.apply(config, outcome, 0);
                    self.close(config, outcome);
                }
            }
        }
    }

    /// Decides the request at `offset` of `fuel.requests`; `None` when it was decided before.
    pub fn decide(&mut self, config: &Config, offset: i64, request: &Request) -> Option<Outcome> {
        if self.decided(offset) {
            return None;
        }
        let mut outcome = Outcome {
            request: offset,
            origin: request.origin,
            idem: request.idem().clone(),
            at_us: request.at(),
            received_at_us: request.received_at_us,
            contract: match &request.body {
                RequestBody::Transaction(_) => request.contract.clone(),
                RequestBody::Command(message) => Some(message.contract.clone()),
            },
            fingerprint: None,
            facts: Vec::new(),
            balance: None,
            cards: Vec::new(),
        };
        if request.origin.is_none_or(|origin| !self.watermarks.covers(origin)) {
            self.decide_new(config, request, &mut outcome);
        }
        self.close(config, &outcome);
        Some(outcome)
    }

    fn decide_new(&mut self, config: &Config, request: &Request, outcome: &mut Outcome) {
        let fingerprint = match &request.body {
            RequestBody::Transaction(transaction) => fingerprint::of_transaction(transaction),
            RequestBody::Command(message) => {
                let fingerprint = fingerprint::of_order(message);
                outcome.fingerprint = Some(fingerprint);
                fingerprint
            }
        };
        if let Some(answer) = self.keys.get(request.idem()) {
            outcome.facts.push(decide::repeat(answer, request, fingerprint));
            return;
        }
        outcome.facts = decide::overdue(self, config, outcome);
        self.apply(config, outcome, 0);
        let expired = outcome.facts.len();
        outcome.facts.extend(decide::decide(self, config, outcome.request, request, fingerprint));
        self.apply(config, outcome, expired);
        if let Some(contract) = outcome.contract.as_ref().and_then(|id| self.contracts.get(id)) {
            outcome.balance = Some(contract.balance());
            outcome.cards = card_limits::views(contract, outcome);
        }
    }

    fn decided(&self, request: i64) -> bool {
        self.last_request.is_some_and(|last| request <= last)
    }

    /// Applies the facts of an outcome from number `from` on.
    fn apply(&mut self, config: &Config, outcome: &Outcome, from: usize) {
        for fact in outcome.facts.iter().skip(from) {
            evolve::evolve(self, config, outcome, fact);
        }
    }

    /// What follows from an outcome whatever its facts: the request is covered, its key is known, old things are
    /// forgotten.
    fn close(&mut self, config: &Config, outcome: &Outcome) {
        self.last_request = Some(outcome.request);
        if let Some(origin) = outcome.origin {
            self.watermarks.advance(origin);
        }
        let received_at = outcome.received_at_us;
        if let Some(fingerprint) = outcome.fingerprint {
            self.keys.remember(&outcome.idem, fingerprint, None, received_at);
        }
        self.keys.forget(received_at.plus_us(-config.key_retention_us));
        if let Some(contract) = outcome.contract.as_ref().and_then(|id| self.contracts.get_mut(id)) {
            if config.believes(Moment { at: outcome.at_us, received_at }) {
                contract.latest = contract.latest.max(outcome.at_us);
            }
            contract.forget_purchases(received_at.plus_us(-config.purchase_retention_us));
        }
    }
}
