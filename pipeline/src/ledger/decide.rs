//! From a transaction and the state to an answer: `decide` reads, it changes nothing.
//!
//! In: a transaction of a known contract and card, the state, the event time. Out: the decision in figures and the effect that
//! it has. Guarantees: the same request on the same state gives the same answer. Does not: look at repeats (`shard`),
//! change the state (`evolve`), or make words (`record`).

use model::{Code, LimitMode, Measure, Note, TimestampUs, Transaction, TransactionKind, Verdict};

use super::answers::{Answers, BALANCE, Decided, Figure, Remarks, UNBOUND};
use super::calendar::{self, Local};
use super::lines::{CodeIx, Line, Lines, Selector};
use super::state::{Card, Contract, Ix, Moment, NONE, Rules};
use super::tables::{Holder, Tables, found};
use super::usage::{Counter, Usage};
use super::{Config, wishes};

/// What a decision changes, beside being remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// `allowed` is reserved under a new authorization.
    Hold,
    /// `allowed` is added to an open hold.
    Extend,
    /// `allowed` is sold: under its open or expired hold, or under a new authorization.
    Post,
    Release,
    /// The whole sale is undone.
    Void,
    /// `allowed` comes back.
    GiveBack,
}

/// A transaction of a known card, with all that its decision rests on.
pub(super) struct Case<'a> {
    pub(super) config: &'a Config,
    pub(super) tables: &'a Tables,
    pub(super) answers: &'a Answers,
    pub(super) contract_ix: Ix,
    pub(super) contract: &'a Contract,
    pub(super) card_ix: Ix,
    pub(super) card: &'a Card,
    pub(super) transaction: &'a Transaction,
    /// The number of each item's product code, and of its group.
    pub(super) codes: &'a [(CodeIx, CodeIx)],
    pub(super) offset: i64,
    pub(super) moment: Moment,
    /// When it counts: the event time, or the arrival where no such clock is believed.
    pub(super) at: TimestampUs,
    pub(super) local: Local,
    pub(super) vehicle: Ix,
    pub(super) driver: Ix,
}

/// Room to work in, kept from decision to decision.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    pub(super) wished: Vec<Line>,
    pub(super) granted: Vec<Line>,
    pub(super) applied: Vec<Applied>,
    pub(super) figures: Vec<Figure>,
}

/// A limit that concerns the transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applied {
    pub(super) figure: Figure,
    pub(super) measure: Measure,
    pub(super) mode: LimitMode,
    pub(super) selector: Selector,
    pub(super) per_transaction: bool,
    /// Its owner wants to know when little is left.
    pub(super) watched: bool,
    /// What the lines so far have left of it.
    pub(super) rest: i64,
}

/// Whose limits count, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) at: TimestampUs,
    pub(super) local: Local,
    pub(super) group: Ix,
    pub(super) vehicle: Ix,
    pub(super) driver: Ix,
    /// The limits on what is sold offline, instead of the ordinary ones.
    pub(super) offline: bool,
}

impl<'a> Case<'a> {
    /// `None` where the names in the request lead nowhere.
    pub(super) fn new(
        (config, tables, answers): (&'a Config, &'a Tables, &'a Answers),
        (contract_ix, card_ix): (Ix, Ix),
        (transaction, codes): (&'a Transaction, &'a [(CodeIx, CodeIx)]),
        (offset, moment, at, local): (i64, Moment, TimestampUs, Local),
    ) -> Option<Self> {
        let contract = tables.contracts.get(contract_ix as usize)?;
        let card = tables.cards.get(card_ix as usize)?;
        let (mut vehicle, mut driver) = (card.vehicle, card.driver);
        if let Some(parties) = &contract.parties {
            let prompts = &transaction.prompts;
            if vehicle == NONE
                && let Some(named) = &prompts.vehicle
            {
                vehicle = model::VehicleId::new(named).map_or(NONE, |id| found(parties.vehicle_ix.get(&id)));
            }
            if let Some(named) = driver_named(transaction) {
                let known = model::DriverId::new(named).map_or(NONE, |id| found(parties.driver_ix.get(&id)));
                driver = if known == NONE { driver } else { known };
            }
        }
        Some(Self {
            config,
            tables,
            answers,
            contract_ix,
            contract,
            card_ix,
            card,
            transaction,
            codes,
            offset,
            moment,
            at,
            local,
            vehicle,
            driver,
        })
    }

    pub(super) fn decide(&self, scratch: &mut Scratch) -> (Decided, Effect) {
        match self.transaction.kind {
            TransactionKind::Sale if self.transaction.offline.was => self.advice(scratch, Code::PostedOffline),
            TransactionKind::Preauth | TransactionKind::Sale | TransactionKind::DryRun => self.purchase(scratch),
            TransactionKind::Incremental => self.incremental(scratch),
            TransactionKind::Completion => self.completion(scratch),
            TransactionKind::AdviceOffline => self.advice(scratch, Code::PostedOffline),
            TransactionKind::Forced => self.advice(scratch, Code::PostedForced),
            TransactionKind::Reversal => self.reversal(scratch),
            TransactionKind::Void => self.void(scratch),
            TransactionKind::Refund => self.refund(scratch),
            TransactionKind::Balance => self.inquiry(scratch),
        }
    }

    /// The limits of this transaction's own time and scopes.
    pub(super) fn standing(&self) -> Standing {
        let Self { at, local, vehicle, driver, .. } = *self;
        Standing { at, local, group: self.card.group, vehicle, driver, offline: false }
    }

    /// Finds the limits that concern lines, with what is used of them; the balance comes last. No lines: all limits.
    pub(super) fn apply(&self, standing: Standing, lines: &[Line], applied: &mut Vec<Applied>) {
        applied.clear();
        let mut scope = |rules: &Rules, holder: Holder| {
            for counter in &rules.limits {
                if let Some(found) = self.applies(counter, holder, standing, lines) {
                    applied.push(found);
                }
            }
        };
        scope(&self.card.rules, Holder::Card(self.card_ix));
        if self.contract.parties.is_some() {
            if let Some(party) = self.contract.driver(standing.driver) {
                scope(&party.rules, Holder::Driver(standing.driver));
            }
            if let Some(party) = self.contract.vehicle(standing.vehicle) {
                scope(&party.rules, Holder::Vehicle(standing.vehicle));
            }
            if let Some(party) = self.contract.group(standing.group) {
                scope(&party.rules, Holder::Group(standing.group));
            }
        }
        scope(&self.contract.rules, Holder::Contract);
        let money = self.contract.money;
        let figure = Figure {
            limit: BALANCE,
            period: 0,
            value: money.own.saturating_add(money.credit),
            used: money.unbilled,
            held: money.held,
        };
        applied.push(Applied {
            figure,
            measure: Measure::Money,
            mode: LimitMode::Decline,
            selector: Selector::All,
            per_transaction: false,
            watched: false,
            rest: figure.left(),
        });
    }

    fn applies(&self, counter: &Counter, holder: Holder, standing: Standing, lines: &[Line]) -> Option<Applied> {
        if counter.offline != standing.offline {
            return None;
        }
        if !counter.plain {
            let limit = &self.contract.settings.get(counter.limit)?.limit;
            let begun = limit.valid_from_us.is_none_or(|from| from <= standing.at);
            let ended = limit.valid_to_us.is_some_and(|to| to <= standing.at);
            let hours = limit.schedule.as_ref();
            let covered = hours.is_none_or(|hours| calendar::covers(hours, &self.contract.holidays, standing.local));
            if !begun || ended || !covered {
                return None;
            }
        }
        if !lines.is_empty() && !lines.iter().any(|line| counter.selector.matches(line)) {
            return None;
        }
        let period = counter.period(standing.at, standing.local);
        let Usage { used, held } =
            counter.usage(period).unwrap_or_else(|| self.tables.recount(self.contract_ix, holder, counter, period));
        let value = if counter.offline { self.aged(counter.value) } else { counter.value };
        let figure = Figure { limit: counter.limit, period, value, used, held };
        Some(Applied {
            figure,
            measure: counter.measure,
            mode: counter.mode,
            selector: counter.selector,
            per_transaction: counter.is_per_transaction(),
            watched: counter.watched,
            rest: figure.left(),
        })
    }

    /// What an offline limit allows with the terminal's lists as old as they are.
    fn aged(&self, value: i64) -> i64 {
        let Some((_, percent)) = self.catalogue_age() else { return value };
        i64::try_from(i128::from(value) * i128::from(percent) / 100).unwrap_or(value)
    }

    /// Hours since the terminal loaded its lists, and how much of the offline limits that leaves.
    pub(super) fn catalogue_age(&self) -> Option<(i64, u8)> {
        let loaded = self.transaction.offline.catalog_at_us?;
        let age_us = (self.at.get() - loaded.get()).max(0);
        let step = self.config.offline_ageing.iter().find(|(up_to_us, _)| age_us < *up_to_us);
        Some((age_us / (60 * model::MICROS_PER_MINUTE), step.map_or(0, |(_, percent)| *percent)))
    }

    /// A decision with the limits and the balance as they stand.
    pub(super) fn answer(&self, verdict: Verdict, code: Code, scratch: &mut Scratch) -> Decided {
        scratch.figures.clear();
        scratch.figures.extend(scratch.applied.iter().map(|applied| applied.figure));
        Decided {
            contract: self.contract_ix,
            card: self.card_ix,
            money: self.contract.money,
            rules_version: self.contract.rules_version,
            price_e4: wishes::fuel_price(self.contract, &scratch.wished),
            ..Decided::new(self.transaction.kind, verdict, code)
        }
    }

    /// A decline that rests on no limit; limits are shown as they stand.
    pub(super) fn refuse(&self, refusal: Refusal, scratch: &mut Scratch) -> (Decided, Effect) {
        self.apply(self.standing(), &scratch.wished, &mut scratch.applied);
        let mut decided = self.answer(refusal.verdict, refusal.code, scratch);
        if !refusal.notes.is_empty() {
            decided.remarks = Some(Box::new(Remarks { notes: refusal.notes, risk: Vec::new() }));
        }
        (decided, Effect::Nothing)
    }

    pub(super) fn is_offline(&self) -> bool {
        let kind = self.transaction.kind;
        kind == TransactionKind::AdviceOffline || (kind == TransactionKind::Sale && self.transaction.offline.was)
    }

    /// Lines of the request into `wished`, or what is wrong with them.
    pub(super) fn read_lines(&self, scratch: &mut Scratch) -> Result<(), Refusal> {
        scratch.wished.clear();
        let (asked, own) = (self.transaction.currency, self.contract.currency);
        if asked != own {
            return Err(Refusal::decline(Code::CurrencyMismatch, Note::Currency(own)));
        }
        wishes::read(self, &mut scratch.wished)
            .map_err(|problem| Refusal::decline(Code::FmtInvalid, Note::Malformed(problem)))
    }

    pub(super) fn sum(lines: &[Line]) -> super::lines::Quantity {
        Lines::from_slice(lines).sum()
    }

    /// The limit that alone would leave the least money of what is wished; `UNBOUND` when none cuts.
    pub(super) fn binding(&self, scratch: &mut Scratch) -> u8 {
        let Scratch { wished, applied, granted, .. } = scratch;
        let mut least: Option<(i64, u8)> = None;
        for (place, limit) in applied.iter().enumerate() {
            if limit.mode != LimitMode::Decline {
                continue;
            }
            let mut alone = Applied { rest: limit.figure.left(), ..*limit };
            wishes::grant(self, wished, std::slice::from_mut(&mut alone), granted);
            if granted == wished {
                continue;
            }
            let left = Self::sum(granted).minor;
            if least.is_none_or(|(smallest, _)| left < smallest) {
                least = Some((left, u8::try_from(place).unwrap_or(UNBOUND)));
            }
        }
        least.map_or(UNBOUND, |(_, place)| place)
    }
}

/// Why a transaction is not looked at any further.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) verdict: Verdict,
    pub(super) code: Code,
    pub(super) notes: Vec<Note>,
}

impl Refusal {
    pub(super) fn decline(code: Code, note: Note) -> Self {
        Self { verdict: Verdict::Decline, code, notes: vec![note] }
    }

    pub(super) fn bare(code: Code) -> Self {
        Self { verdict: Verdict::Decline, code, notes: Vec::new() }
    }

    pub(super) fn reprompt(code: Code, note: Note) -> Self {
        Self { verdict: Verdict::Reprompt, code, notes: vec![note] }
    }
}

/// The code that a limit declines with.
pub(super) fn limit_code(applied: &Applied) -> Code {
    match applied {
        Applied { figure: Figure { limit: BALANCE, .. }, .. } => Code::Funds,
        Applied { per_transaction: true, .. } => Code::LimitTx,
        Applied { measure: Measure::Count, .. } => Code::LimitCount,
        _ => Code::LimitPeriod,
    }
}

/// The driver that the terminal was told of.
pub(super) fn driver_named(transaction: &Transaction) -> Option<&str> {
    let second = || {
        let second = transaction.second_id.as_ref()?;
        (second.kind == "driver").then(|| second.token.as_str())
    };
    transaction.prompts.driver_id.as_deref().or_else(second)
}
