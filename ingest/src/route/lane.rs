//! One origin partition on its way to `fuel.requests`: what may be sent, what must wait for a plan, what may be committed.
//!
//! In: its records in order, the card table, delivery reports, commit results. Out: requests in the same order, each with
//! the contract that it will have in every repetition; commits. Guarantees: see [`super`]. Does not: talk to Kafka.

use std::collections::VecDeque;

use model::{CardToken, ContractId, Request, RequestBody};

use super::plan::Plan;
use super::progress::{Progress, Ticket};

/// Where a lane begins: what was committed, by whoever had it before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    pub position: i64,
    pub plan: Plan,
}

/// A position and its plan, as Kafka keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub position: i64,
    pub metadata: String,
}

/// `waiting` begins with a record of unknown card that no committed plan names; the rest follows in order.
#[derive(Debug)]
pub(super) struct Lane {
    progress: Progress,
    /// Committed: these offsets are unknown for ever.
    plan: Plan,
    /// `plan` and more, on its way to be committed.
    proposal: Option<Plan>,
    waiting: VecDeque<Waiting>,
    committed: Option<Commit>,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    offset: i64,
    request: Request,
}

/// A request with its place in the lane.
pub(super) type Ready = (Ticket, Request);

impl Lane {
    /// Tickets count on from `first`, so that reports of an earlier tenancy are told apart.
    pub(super) fn begin(start: Start, first: Ticket) -> Self {
        Self {
            progress: Progress::begin(start.position, first),
            plan: start.plan,
            proposal: None,
            waiting: VecDeque::new(),
            committed: None,
        }
    }

    /// Takes a record that needs no contract: it is refused.
    pub(super) fn take(&mut self, offset: i64) -> Ticket {
        self.progress.take(offset)
    }

    /// Takes a request. Returns it when it may be sent at once. `contract_of` knows confirmed cards only.
    pub(super) fn admit<'t>(
        &mut self,
        offset: i64,
        mut request: Request,
        contract_of: impl Fn(&CardToken) -> Option<&'t ContractId>,
    ) -> Option<Ready> {
        let ticket = self.progress.take(offset);
        if self.waiting.is_empty() && self.settled(offset, &mut request, contract_of) {
            return Some((ticket, request));
        }
        self.waiting.push_back(Waiting { ticket, offset, request });
        None
    }

    /// The next record that waited and may now be sent. `contract_of` knows confirmed cards only.
    pub(super) fn release<'t>(&mut self, contract_of: impl Fn(&CardToken) -> Option<&'t ContractId>) -> Option<Ready> {
        let mut next = self.waiting.pop_front()?;
        // What is being proposed may already be committed, so it is no longer free to become known.
        let is_proposed = self.proposal.as_ref().is_some_and(|plan| plan.contains(next.offset));
        let is_planned = self.plan.contains(next.offset);
        if (is_planned || !is_proposed) && self.settled(next.offset, &mut next.request, contract_of) {
            return Some((next.ticket, next.request));
        }
        self.waiting.push_front(next);
        None
    }

    /// Whether the request's contract is what it will be in every repetition. Sets it.
    fn settled<'t>(
        &self,
        offset: i64,
        request: &mut Request,
        contract_of: impl Fn(&CardToken) -> Option<&'t ContractId>,
    ) -> bool {
        let RequestBody::Transaction(transaction) = &request.body else { return true };
        if self.plan.contains(offset) {
            return true;
        }
        request.contract = contract_of(&transaction.card.token).cloned();
        request.contract.is_some()
    }

    /// Plans the waiting records whose cards are still unknown, as many as fit. `contract_of` knows all cards: what is known
    /// and not confirmed waits for that.
    pub(super) fn propose<'t>(&mut self, contract_of: impl Fn(&CardToken) -> Option<&'t ContractId>) {
        if self.proposal.is_some() || self.waiting.is_empty() {
            return;
        }
        let position = self.progress.position();
        self.plan.forget_before(position);
        let mut plan = self.plan.clone();
        for next in &self.waiting {
            if let RequestBody::Transaction(transaction) = &next.request.body
                && contract_of(&transaction.card.token).is_none()
                && !plan.add(next.offset, position)
            {
                break;
            }
        }
        if plan != self.plan {
            self.proposal = Some(plan);
        }
    }

    /// Whether something waits for a commit: a plan, or the confirmation of a card.
    pub(super) fn wants_commit(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What to commit now; `None` when Kafka has it already.
    pub(super) fn commit(&mut self) -> Option<Commit> {
        let commit = self.commit_again();
        (self.committed.as_ref() != Some(&commit)).then_some(commit)
    }

    /// As [`Self::commit`], whether Kafka has it or not.
    pub(super) fn commit_again(&mut self) -> Commit {
        let position = self.progress.position();
        let plan = self.proposal.as_mut().unwrap_or(&mut self.plan);
        plan.forget_before(position);
        Commit { position, metadata: plan.encode(position) }
    }

    /// Kafka has `commit`, which is the last one that [`Self::commit`] returned.
    pub(super) fn committed(&mut self, commit: Commit) {
        if let Some(plan) = self.proposal.take() {
            self.plan = plan;
        }
        self.committed = Some(commit);
    }

    /// Whether Kafka has the last commit is not known, so the next one goes out in any case. A proposal stays: it may have
    /// been committed.
    pub(super) fn commit_failed(&mut self) {
        self.committed = None;
    }

    pub(super) fn delivered(&mut self, ticket: Ticket) {
        self.progress.delivered(ticket);
    }

    /// Records taken and not yet durable.
    pub(super) fn held(&self) -> usize {
        self.progress.held()
    }

    pub(super) fn next_ticket(&self) -> Ticket {
        self.progress.next_ticket()
    }
}

#[cfg(test)]
mod tests;
