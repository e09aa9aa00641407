//! One partition's cards and money.
//!
//! In: requests to decide, or records of the ledger that were decided before. Out: the outcome of each request.
//! Guarantees: deciding changes the state only by what is recorded, so folding the outcomes gives the same state; each
//! request offset and each origin counts once. Does not: know who else owns the partition, beyond the fence that the
//! ledger itself carries.

use model::{
    ContractId, Fact, Fence, LedgerBody, LedgerRecord, Outcome, PartitionId, Request, RequestBody, TimestampUs,
    Transaction, Watermarks,
};

use super::answers::{Answers, Figure, key_of};
use super::calendar::Local;
use super::decide::{Case, Effect, Scratch};
use super::evolve::{self, Change, terminal_hash};
use super::lines::{CodeIx, NO_CODE};
use super::record::{self, Body, Done, Recording, Views};
use super::snapshot::taking::Taking;
use super::state::{Card, Ix, Moment, NONE};
use super::tables::{Tables, token_hash};
use super::{Config, alerts, due, orders, recall, views, wishes};

/// The fold of one ledger partition.
#[derive(Clone, Debug)]
pub struct Shard {
    pub(super) tables: Tables,
    pub(super) answers: Answers,
    pub(super) watermarks: Watermarks,
    pub(super) fence: Fence,
    pub(super) last_request: Option<i64>,
    /// The snapshot under way.
    pub(super) taking: Option<Box<Taking>>,
    scratch: Scratch,
    /// Of the items of the latest transaction of a known card.
    pub(super) codes: Vec<(CodeIx, CodeIx)>,
    ahead: Vec<Likely>,
    /// Limits after the facts, of the outcomes of the present batch.
    after: Vec<Figure>,
}

/// Room to work in, what is remembered of time zones and a snapshot under way are not state.
impl PartialEq for Shard {
    fn eq(&self, other: &Self) -> bool {
        self.tables == other.tables
            && self.answers == other.answers
            && self.watermarks == other.watermarks
            && self.fence == other.fence
            && self.last_request == other.last_request
    }
}

/// What was decided on a batch of requests, in figures: see [`Shard::outcomes`].
#[derive(Debug, Default)]
pub struct Batch(Vec<Done>);

impl Batch {
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Shard {
    #[must_use]
    pub fn new(partition: PartitionId) -> Self {
        Self {
            tables: Tables { partition: partition.0, ..Tables::default() },
            answers: Answers::default(),
            watermarks: Watermarks::default(),
            fence: Fence::default(),
            last_request: None,
            taking: None,
            scratch: Scratch::default(),
            codes: Vec::new(),
            ahead: Vec::new(),
            after: Vec::new(),
        }
    }

    #[must_use]
    pub fn partition(&self) -> PartitionId {
        PartitionId(self.tables.partition)
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

    /// Contracts for which time alone changes something by `now`, at most `most` of them: a tick is due for each.
    pub fn due(&self, now: TimestampUs, most: usize) -> impl Iterator<Item = &ContractId> {
        let due = self.tables.due_us.iter().enumerate().filter(move |(_, due)| **due <= now.get());
        due.filter_map(|(ix, _)| self.tables.contracts.get(ix)).map(|contract| &contract.id).take(most)
    }

    /// Takes in a record of the ledger at `offset`. Records of a replaced owner, and of requests that are covered, change
    /// nothing.
    pub fn fold(&mut self, config: &Config, offset: i64, record: &LedgerRecord) {
        match &record.body {
            LedgerBody::Takeover { .. } => self.fence.takeover(offset),
            LedgerBody::Outcome(outcome) => {
                if self.fence.admits(record.epoch) && !self.decided(outcome.request) {
                    recall::outcome(self, config, outcome);
                    let believed = Moment { at: outcome.at_us, received_at: outcome.received_at_us };
                    let contract = outcome.contract.as_ref().and_then(|id| self.tables.contract(id));
                    self.close(config, outcome.request, outcome.origin, contract.unwrap_or(NONE), believed);
                }
            }
        }
    }

    /// Decides the request at `offset` of `fuel.requests`; `None` when it was decided before.
    pub fn decide(&mut self, config: &Config, offset: i64, request: Request) -> Option<Outcome> {
        let mut batch = Batch::default();
        self.decide_batch(config, vec![(offset, request)], &mut batch);
        self.outcomes(batch).pop()
    }

    /// Decides requests in order and appends what was done to `batch`, in figures. Requests that were decided before are
    /// left out. Call [`Shard::outcomes`] before the next batch.
    pub fn decide_batch(&mut self, config: &Config, requests: Vec<(i64, Request)>, batch: &mut Batch) {
        if batch.0.is_empty() {
            self.after.clear();
        }
        batch.0.reserve(requests.len());
        let mut ahead = std::mem::take(&mut self.ahead);
        let mut requests = requests.into_iter();
        while !requests.as_slice().is_empty() {
            let part = requests.as_slice();
            self.look_ahead(part.get(..LOOK_AHEAD_MAX).unwrap_or(part), &mut ahead);
            for ((offset, request), likely) in requests.by_ref().take(ahead.len()).zip(&ahead) {
                if !self.decided(offset) {
                    batch.0.push(self.decide_one(config, offset, request, *likely));
                }
            }
        }
        self.ahead = ahead;
    }

    /// Reads what a batch will need, so that the processor fetches it side by side and not one after the other: each loop
    /// is short enough to have many of its reads under way at once.
    fn look_ahead(&self, requests: &[(i64, Request)], ahead: &mut Vec<Likely>) {
        ahead.clear();
        ahead.extend(requests.iter().map(|(_, request)| {
            let hash = match &request.body {
                RequestBody::Transaction(transaction) => token_hash(transaction.card.token.as_str()),
                RequestBody::Command(_) | RequestBody::Tick(_) => 0,
            };
            Likely { key: key_of(request.idem()), hash, contract: NONE, card: NONE }
        }));
        for likely in ahead.iter_mut() {
            (likely.contract, likely.card) = self.tables.likely_card(likely.hash).unwrap_or((NONE, NONE));
        }
        let mut keys = [0; LOOK_AHEAD_MAX];
        keys.iter_mut().zip(ahead.iter()).for_each(|(key, likely)| *key = likely.key);
        let mut sum = u64::from(self.answers.look_ahead(keys.get(..ahead.len()).unwrap_or_default()));
        for likely in ahead.iter() {
            if let Some(card) = self.tables.cards.get(likely.card as usize) {
                sum ^= u64::from(card.plain) ^ card.purchases.len() as u64 ^ card.last_visit.get().cast_unsigned();
                sum ^= u64::from(card.group) ^ card.rules.limits.len() as u64 ^ card.oldest_us.cast_unsigned();
                sum ^= card.older.len() as u64 ^ u64::from(card.last_seen.is_some());
            }
            if let Some(contract) = self.tables.contracts.get(likely.contract as usize) {
                sum ^= contract.money.own.cast_unsigned() ^ contract.valid_to_us.cast_unsigned();
                sum ^= contract.blocks.len() as u64 ^ contract.open_holds.len() as u64 ^ contract.settings.len() as u64;
                sum ^= self.tables.due_us.get(likely.contract as usize).map_or(0, |due| due.cast_unsigned());
                sum ^= contract.rules_version ^ contract.latest.get().cast_unsigned() ^ u64::from(contract.bills);
            }
        }
        for likely in ahead.iter() {
            if let Some(card) = self.tables.cards.get(likely.card as usize) {
                for counter in &card.rules.limits {
                    sum ^= counter.value.cast_unsigned() ^ u64::from(counter.limit) ^ u64::from(counter.plain);
                }
                for purchase in [card.purchases.front(), card.purchases.back()].into_iter().flatten() {
                    sum ^= purchase.auth.cast_unsigned() ^ u64::from(purchase.visit);
                }
                // A purchase that becomes a sum is added to three: of all, of its group, of its product.
                sum ^= card.older.iter().rev().take(3).fold(0, |sum, month| sum ^ month.key.month.cast_unsigned());
                sum ^= u64::from(card.token.as_str().as_bytes().first().copied().unwrap_or(0));
            }
            if let Some(contract) = self.tables.contracts.get(likely.contract as usize) {
                sum ^= u64::from(contract.id.as_str().as_bytes().first().copied().unwrap_or(0));
            }
        }
        std::hint::black_box(sum);
    }

    /// The records of a batch, words and all.
    #[must_use]
    pub fn outcomes(&mut self, batch: Batch) -> Vec<Outcome> {
        let recording = Recording { tables: &self.tables, answers: &self.answers, after: &self.after };
        let outcomes = batch.0.into_iter().map(|done| recording.outcome(done)).collect();
        self.after.clear();
        outcomes
    }

    fn decide_one(&mut self, config: &Config, offset: i64, request: Request, likely: Likely) -> Done {
        let contract = match &request.body {
            RequestBody::Command(message) => self.tables.contract(&message.contract),
            RequestBody::Transaction(_) | RequestBody::Tick(_) => request.contract.as_ref().and_then(|id| {
                let guess = self.tables.contracts.get(likely.contract as usize).filter(|contract| contract.id == *id);
                guess.map(|_| likely.contract).or_else(|| self.tables.contract(id))
            }),
        };
        let contract = contract.unwrap_or(NONE);
        let (at, received_at, origin) = (request.at(), request.received_at_us, request.origin);
        let mut done = Done {
            offset,
            request,
            contract,
            fingerprint: 0,
            expired: Vec::new(),
            before: Vec::new(),
            body: Body::Nothing,
            after: Vec::new(),
            money: None,
            views: Views::default(),
        };
        let moment = Moment { at, received_at };
        if origin.is_none_or(|origin| !self.watermarks.covers(origin)) {
            self.decide_new(config, &mut done, likely, moment);
        }
        self.close(config, offset, origin, contract, moment);
        done
    }

    fn decide_new(&mut self, config: &Config, done: &mut Done, likely: Likely, moment: Moment) {
        let key = likely.key;
        match &done.request.body {
            RequestBody::Transaction(transaction) => {
                done.fingerprint = super::fingerprint::of_transaction(transaction);
                match self.known(key, done.fingerprint) {
                    Some(Some(place)) => {
                        done.body = Body::Answered { place, effect: Effect::Nothing, replayed: true };
                        return;
                    }
                    Some(None) => {
                        done.body = Body::Refused(Box::new(record::reused(transaction)));
                        return;
                    }
                    None => {}
                }
                self.let_time_pass(config, done, moment);
                self.answer(config, done, likely, moment);
            }
            RequestBody::Command(message) => {
                done.fingerprint = super::fingerprint::of_order(message);
                if let Some(known) = self.known(key, done.fingerprint) {
                    done.body = Body::Order(vec![match known {
                        Some(_) => Fact::CommandRepeated,
                        None => record::reused_order(&message.idem),
                    }]);
                    return;
                }
                self.let_time_pass(config, done, moment);
                self.carry_out(config, done, key, moment);
            }
            RequestBody::Tick(_) => {
                self.let_time_pass(config, done, moment);
                done.body = Body::Nothing;
            }
        }
        if let Some(contract) = self.tables.contracts.get(done.contract as usize) {
            done.money = Some(contract.money);
        }
    }

    /// Where the answer to a key is; the inner `None` when the key came with another body.
    fn known(&self, key: u128, fingerprint: u64) -> Option<Option<u64>> {
        let place = self.answers.find(key)?;
        let same = self.answers.get(place).is_some_and(|answer| answer.fingerprint == fingerprint);
        Some(same.then_some(place))
    }

    /// Expired holds end and monthly fees fall due, up to the moment of a request whose clock is believed.
    fn let_time_pass(&mut self, config: &Config, done: &mut Done, moment: Moment) {
        let due = self.tables.due_us.get(done.contract as usize).copied().unwrap_or(i64::MAX);
        if due > moment.at.get() || !config.believes(moment) {
            return;
        }
        let Some(contract) = self.tables.contracts.get(done.contract as usize) else { return };
        let id = contract.id.clone();
        done.expired = due::holds(contract, moment.at);
        for (card, auth) in &done.expired {
            evolve::expire(&mut self.tables, *card, *auth);
        }
        for _ in 0..due::FEE_MONTHS_MAX {
            let Some(fees) = due::fees(&self.tables, done.contract, moment.at) else { break };
            for fee in &fees {
                evolve::fact(&mut self.tables, &id, moment.at, fee);
            }
            done.before.extend(fees);
        }
        evolve::review_due(&mut self.tables, done.contract);
        let local = self.local(done.contract, moment.at);
        for (card, _) in &done.expired {
            let view = views::card(&self.tables, *card, (moment.at, local), &mut self.after);
            view.into_iter().for_each(|view| done.views.put(view));
        }
    }

    fn answer(&mut self, config: &Config, done: &mut Done, likely: Likely, moment: Moment) {
        let key = likely.key;
        let RequestBody::Transaction(transaction) = &done.request.body else { return };
        self.codes.clear();
        for item in transaction.items.iter().take(wishes::ITEMS_MAX) {
            let code = self.tables.learn(&item.code);
            self.codes.push((code, item.group.as_ref().map_or(NO_CODE, |group| self.tables.learn(group))));
        }
        let card_ix = match done.contract {
            NONE => None,
            contract => {
                let token = &transaction.card.token;
                let same = |card: &&Card| card.contract == contract && card.token == *token;
                let guess = self.tables.cards.get(likely.card as usize).filter(same);
                guess.map(|_| likely.card).or_else(|| self.tables.card(contract, token))
            }
        };
        let Some(card_ix) = card_ix else {
            let decided = unknown(&self.tables, &done.request, done.contract, transaction);
            let place = self.answers.keep(key, moment.received_at, done.fingerprint, Some((decided, &[])));
            done.body = Body::Answered { place, effect: Effect::Nothing, replayed: false };
            return;
        };
        let at = counts_at(config, transaction, moment);
        let local = self.local(done.contract, at);
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = (config, &self.tables, &self.answers);
        let asked = (&**transaction, &*self.codes);
        let case = Case::new(read, (done.contract, card_ix), asked, (done.offset, moment, at, local));
        if let Some(case) = case {
            let (vehicle, driver) = (case.vehicle, case.driver);
            let (decided, effect) = case.decide(&mut scratch);
            let change = Change {
                card: card_ix,
                kind: transaction.kind,
                code: decided.code,
                approved: matches!(decided.verdict, model::Verdict::Approve | model::Verdict::Partial),
                effect,
                auth: decided.auth.unwrap_or(-1),
                lines: if effect == Effect::Nothing { Default::default() } else { decided.allowed.bought() },
                expires_at_us: decided.hold_expires_us,
                at,
                local,
                received_at: moment.received_at,
                vehicle,
                driver,
                terminal: terminal_hash(&transaction.site, &transaction.terminal),
                location: transaction.location,
                odometer: transaction.prompts.odometer,
            };
            let before = decided.money;
            let figures = &scratch.figures;
            let place = self.answers.keep(key, moment.received_at, done.fingerprint, Some((decided, figures)));
            done.body = Body::Answered { place, effect, replayed: false };
            if effect != Effect::Nothing {
                let lows = if scratch.applied.iter().any(|limit| limit.watched) {
                    alerts::watched(&self.tables, done.contract, figures)
                } else {
                    Vec::new()
                };
                evolve::transaction(&mut self.tables, config, change);
                if let Some(contract) = self.tables.contracts.get(done.contract as usize) {
                    alerts::credit_line(before, contract.money, &mut done.after);
                    alerts::low(&self.tables, done.contract, lows, &mut done.after);
                }
                self.view_card(done, card_ix, at);
            } else {
                let changed_pin =
                    change.code == model::Code::PinWrong && transaction.kind != model::TransactionKind::DryRun;
                evolve::transaction(&mut self.tables, config, change);
                if changed_pin {
                    self.view_card(done, card_ix, at);
                }
            }
        }
        self.scratch = scratch;
    }

    /// Shows the card of a transaction as it stands now.
    fn view_card(&mut self, done: &mut Done, card_ix: Ix, at: TimestampUs) {
        let latest = self.tables.contracts.get(done.contract as usize).map_or(at, |contract| contract.latest.max(at));
        let local = self.local(done.contract, latest);
        let view = views::card(&self.tables, card_ix, (latest, local), &mut self.after);
        view.into_iter().for_each(|view| done.views.put(view));
    }

    fn carry_out(&mut self, config: &Config, done: &mut Done, key: u128, moment: Moment) {
        let RequestBody::Command(message) = &done.request.body else { return };
        let before = self.tables.contracts.get(done.contract as usize).map(|contract| contract.money);
        let facts = orders::decide(&self.tables, message);
        for fact in &facts {
            evolve::fact(&mut self.tables, &message.contract, message.at_us, fact);
        }
        let contract = self.tables.contract(&message.contract).unwrap_or(NONE);
        done.contract = contract;
        if let (Some(before), Some(contract)) = (before, self.tables.contracts.get(contract as usize)) {
            alerts::credit_line(before, contract.money, &mut done.after);
        }
        let latest = self.tables.contracts.get(contract as usize).map_or(moment.at, |contract| contract.latest);
        let at = if config.believes(moment) { latest.max(moment.at) } else { latest };
        let local = self.local(contract, at);
        for fact in &facts {
            let card = views::changed(&self.tables, contract, fact);
            let view = card.and_then(|card| views::card(&self.tables, card, (at, local), &mut self.after));
            view.into_iter().for_each(|view| done.views.put(view));
        }
        self.answers.keep(key, moment.received_at, done.fingerprint, None);
        done.body = Body::Order(facts);
    }

    pub(super) fn local(&mut self, contract: Ix, at: TimestampUs) -> Local {
        let zone = self.tables.contracts.get(contract as usize).map_or(0, |contract| contract.zone);
        self.tables.zones.get_mut(usize::from(zone)).map_or_else(Local::default, |zone| zone.local_now(at))
    }

    fn decided(&self, request: i64) -> bool {
        self.last_request.is_some_and(|last| request <= last)
    }

    /// What follows from a request whatever its facts: it is covered, its origin is known, old answers are forgotten.
    fn close(&mut self, config: &Config, offset: i64, origin: Option<model::Origin>, contract: Ix, moment: Moment) {
        self.last_request = Some(offset);
        if let Some(origin) = origin {
            self.watermarks.advance(origin);
        }
        self.answers.forget(moment.received_at.plus_us(-config.key_retention_us));
        if let Some(contract) = self.tables.contracts.get_mut(contract as usize)
            && config.believes(moment)
        {
            contract.latest = contract.latest.max(moment.at);
        }
    }
}

/// Requests that one look ahead covers.
const LOOK_AHEAD_MAX: usize = 256;

/// What a look ahead found for one request: hints, to be checked.
#[derive(Clone, Copy, Debug)]
struct Likely {
    key: u128,
    hash: u64,
    contract: Ix,
    card: Ix,
}

/// When a transaction counts: at its event time, or when it arrived where its clock cannot be right.
pub(super) fn counts_at(config: &Config, transaction: &Transaction, moment: Moment) -> TimestampUs {
    let asks = wishes::asks(transaction.kind) && !transaction.offline.was;
    if asks || config.believes_late(moment) { moment.at } else { moment.received_at }
}

/// The answer where contract or card lead nowhere.
pub(super) fn unknown(
    tables: &Tables,
    request: &Request,
    contract: Ix,
    transaction: &Transaction,
) -> super::answers::Decided {
    let code = match (&request.contract, contract) {
        (Some(_), NONE) => model::Code::ContractUnknown,
        _ => model::Code::CardUnknown,
    };
    let mut decided = super::answers::Decided::new(transaction.kind, model::Verdict::Decline, code);
    if let Some(known) = tables.contracts.get(contract as usize) {
        decided.contract = contract;
        decided.money = known.money;
        decided.rules_version = known.rules_version;
    }
    decided
}
