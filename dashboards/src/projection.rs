//! The current state of the network: a fold of recorded facts.
//!
//! In: [`Feed`] items, and ticks that bring the time and the health of the parts. Out: what the screens show, and for each
//! entry the version at which it last changed, so that "all that changed since version v" is found without a search.
//! Guarantees: only true records count (fenced by epoch); an offset counts once; the versions of decisions and points grow.
//! Does not: know clients, encode, or wait. Days are UTC days of event time.

mod cards;
mod contracts;
mod decisions;
mod holds;
mod limits;
mod money;
mod network;
mod recency;
mod saved;
mod shared;
mod sites;
mod stations;
mod tanks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hashbrown::HashMap;
use jiff::tz::TimeZone;
use model::{
    CardToken, CardView, Code, Decision, DriverId, Fact, Fence, Languages, LedgerBody, LedgerRecord, MICROS_PER_MINUTE,
    Outcome, PartitionId, ProductCode, SiteId, SoldItem, TerminalId, TimestampUs, TransactionKind, VehicleId,
};

pub(crate) use cards::{Card, Cards};
pub(crate) use contracts::{Contract, Contracts};
pub(crate) use decisions::{Answer, Decisions, Line};
pub(crate) use holds::{Holds, OpenHold};
use limits::is_of;
pub(crate) use limits::{LimitState, SharedLimit, ends_at};
pub(crate) use money::TopUp;
pub(crate) use network::{Figures, Network, Point};
use network::{HoldFigures, Totals};
pub use saved::{Saved, Unpacked, Unusable};
use shared::Shared;
pub(crate) use sites::Sites;
pub(crate) use tanks::{ProductStock, Tank, Tanks, wet_stock};

use crate::{Feed, Part};

const MICROS_PER_DAY: i64 = 24 * 60 * MICROS_PER_MINUTE;

/// How far one partition of a log has been folded, and whose records count.
#[derive(Debug, Default)]
struct Cursor {
    fence: Fence,
    /// The offset that may come next; lower ones were folded.
    next: i64,
    /// Of this partition's records.
    totals: Totals,
    /// What was sold by its records on the latest day of which any were: the day, and ml.
    sold: (i64, i64),
}

impl Cursor {
    /// True when `offset` is new; remembers it.
    fn advance(&mut self, offset: i64) -> bool {
        let new = offset >= self.next;
        if new {
            self.next = offset.saturating_add(1);
        }
        new
    }
}

#[derive(Debug, Default)]
pub(crate) struct Projection {
    version: u64,
    caught_up: bool,
    stale_after_us: i64,
    /// The latest UTC day that a decision belongs to.
    today: i64,
    judged_second: i64,
    ledger: HashMap<PartitionId, Cursor>,
    station_events: HashMap<PartitionId, Cursor>,
    contracts: Contracts,
    cards: Cards,
    decisions: Decisions,
    holds: Holds,
    tanks: Tanks,
    sites: Sites,
    figures: Figures,
    rejected: u64,
    site_names: Shared<SiteId>,
    terminal_names: Shared<TerminalId>,
    product_names: Shared<ProductCode>,
    cashier_texts: Shared<Arc<Languages>>,
}

/// What stands beside the facts of one outcome.
struct Place {
    partition: PartitionId,
    offset: i64,
    seen_at: TimestampUs,
    received_at: TimestampUs,
    at: TimestampUs,
}

/// A [`Fact::Decided`] without what the screens do not show.
struct Decided {
    kind: TransactionKind,
    card: CardToken,
    site: SiteId,
    terminal: TerminalId,
    pump: Option<u16>,
    items: Vec<SoldItem>,
    vehicle: Option<VehicleId>,
    driver: Option<DriverId>,
    decision: Decision,
}

impl Projection {
    pub(crate) fn new(stale_after_us: i64) -> Self {
        Self { stale_after_us, ..Self::default() }
    }

    pub(crate) fn apply(&mut self, item: Feed) {
        match item {
            Feed::Ledger { partition, offset, record, seen_at_us } => {
                self.apply_ledger(partition, offset, record, seen_at_us);
            }
            Feed::Station { partition, offset, record, seen_at_us: _ } => {
                self.apply_station(partition, offset, record);
            }
            Feed::Rejected { count } => self.rejected += count,
            Feed::CaughtUp => self.caught_up = true,
        }
    }

    /// Time has come to `now_us`: rates, silence of gauges, health.
    pub(crate) fn tick(&mut self, now_us: i64, parts: Vec<Part>) {
        let version = self.version + 1;
        self.figures.holds = HoldFigures {
            open: self.holds.count(),
            ml: self.holds.ml(),
            oldest_at_us: self.holds.oldest_at().map(TimestampUs::get),
        };
        self.figures.totals = Totals { rejected: self.rejected, ..Totals::default() };
        self.figures.sold_ml_today = 0;
        for cursor in self.ledger.values().chain(self.station_events.values()) {
            self.figures.totals += cursor.totals;
            if cursor.sold.0 == self.today {
                self.figures.sold_ml_today = self.figures.sold_ml_today.saturating_add(cursor.sold.1);
            }
        }
        let mut changed = self.figures.refresh(now_us, self.caught_up, parts, version);
        let second = now_us.div_euclid(model::MICROS_PER_SECOND);
        if self.caught_up && second != self.judged_second {
            self.judged_second = second;
            changed |= self.tanks.judge_silence(now_us, self.stale_after_us, version);
            changed |= self.tanks.look_ahead(version);
        }
        if changed {
            self.version = version;
        }
    }

    fn apply_ledger(&mut self, partition: PartitionId, offset: i64, record: LedgerRecord, seen_at: TimestampUs) {
        let cursor = self.ledger.entry(partition).or_default();
        if !cursor.advance(offset) {
            return;
        }
        match record.body {
            LedgerBody::Takeover { .. } => cursor.fence.takeover(offset),
            LedgerBody::Outcome(outcome) if cursor.fence.admits(record.epoch) => {
                self.apply_outcome(partition, offset, seen_at, outcome);
            }
            LedgerBody::Outcome(_) => {}
        }
    }

    fn apply_outcome(&mut self, partition: PartitionId, offset: i64, seen_at: TimestampUs, outcome: Outcome) {
        if self.caught_up {
            self.figures.live.events += 1;
        }
        if outcome.facts.is_empty() {
            return;
        }
        self.version += 1;
        let place = Place { partition, offset, seen_at, received_at: outcome.received_at_us, at: outcome.at_us };
        let contract = outcome.contract.as_ref().and_then(|id| {
            let opened = || outcome.facts.iter().any(|fact| matches!(fact, Fact::ContractOpened { .. }));
            let known = self.contracts.place(id);
            if known.is_none() && (outcome.balance.is_some() || opened()) {
                return Some(self.contracts.place_or_add(partition, id));
            }
            known
        });
        if let Some(at) = contract {
            let entry = self.contracts.touch(at, self.version);
            entry.balance = outcome.balance.or(entry.balance);
            entry.last_at = entry.last_at.max(outcome.at_us);
        }
        for fact in outcome.facts {
            self.apply_fact(&place, outcome.contract.as_ref(), contract, fact);
        }
        // After the decision, which shows limits as they were before it.
        if let Some(at) = contract {
            for view in outcome.cards {
                self.apply_card(at, view);
            }
        }
    }

    fn apply_fact(
        &mut self,
        place: &Place,
        contract_id: Option<&model::ContractId>,
        contract: Option<u32>,
        fact: Fact,
    ) {
        if let Some(at) = contract {
            self.contracts.at_mut(at).payments.apply(place.at, &fact);
        }
        match fact {
            Fact::ContractOpened { name, time_zone, legal_entity, holding, week_start, currency: _ } => {
                if let Some(at) = contract {
                    let entry = self.contracts.touch(at, self.version);
                    entry.name = name.into();
                    entry.legal_entity = legal_entity.map(String::into_boxed_str);
                    entry.holding = holding.map(String::into_boxed_str);
                    entry.week_start = week_start;
                    if let Ok(zone) = TimeZone::get(&time_zone) {
                        entry.zone = zone;
                    }
                }
            }
            Fact::LimitSet { limit, version: _ } => {
                if let Some(at) = contract {
                    self.contracts.at_mut(at).limits.set(limit);
                }
            }
            Fact::LimitRemoved { limit } => {
                if let Some(at) = contract {
                    self.contracts.at_mut(at).limits.remove(&limit);
                }
            }
            Fact::Decided { kind, card, site, terminal, pump, items, vehicle, driver, decision, .. } => {
                let decided = Decided { kind, card, site, terminal, pump, items, vehicle, driver, decision };
                self.apply_decided(place, contract_id, contract, decided);
            }
            Fact::HolidaysSet { days } => {
                if let Some(at) = contract {
                    self.contracts.at_mut(at).holidays = days.into_iter().map(|holiday| holiday.0).collect();
                }
            }
            Fact::Captured { auth_code, items, amount_minor, .. } => {
                self.holds.close(&auth_code);
                self.spent(contract, place.at, amount_minor.get());
                self.sold(place, &items, amount_minor.is_negative());
            }
            Fact::Refunded { items, amount_minor, .. } | Fact::Voided { items, amount_minor, .. } => {
                self.spent(contract, place.at, -amount_minor.get());
                self.sold(place, &items, true);
            }
            Fact::Reversed { auth_code, .. } | Fact::HoldExpired { auth_code, .. } => self.holds.close(&auth_code),
            _ => {}
        }
    }

    fn spent(&mut self, contract: Option<u32>, at: TimestampUs, minor: i64) {
        if let Some(contract) = contract {
            self.contracts.at_mut(contract).spent(at, minor);
        }
    }

    /// The limits of the card go with the card, those of its contract, group, vehicle and driver with the contract.
    fn apply_card(&mut self, contract: u32, mut view: CardView) {
        let entry = self.contracts.at_mut(contract);
        view.headroom.retain(|headroom| {
            let own = is_of(&headroom.scope, &view.card);
            if !own {
                entry.limits.saw(headroom);
            }
            own
        });
        let change = self.cards.apply(view, contract, &mut entry.cards);
        entry.card_count += u32::from(change.is_new);
        entry.blocked_count += u32::from(change.is_blocked);
        entry.blocked_count = entry.blocked_count.saturating_sub(u32::from(change.was_blocked));
    }

    fn apply_decided(
        &mut self,
        place: &Place,
        contract_id: Option<&model::ContractId>,
        contract: Option<u32>,
        decided: Decided,
    ) {
        let Decided { kind, card, site, terminal, pump, items, vehicle, driver, mut decision } = decided;
        let day = place.at.get() / MICROS_PER_DAY;
        let totals = &mut self.ledger.entry(place.partition).or_default().totals;
        if decision.replayed {
            totals.replayed += 1;
        } else {
            totals.decided(decision.decision);
            // A terminal with a wrong clock does not begin a new day for the network.
            if day > self.today && decision.code != Code::FmtClock {
                self.contracts.day_ended(self.today, self.version);
                self.today = day;
            }
        }
        let latency_us = self.caught_up.then(|| place.seen_at.get() - place.received_at.get());
        if let Some(latency_us) = latency_us {
            self.figures.live.decisions += 1;
            if !decision.replayed {
                self.figures.latency(latency_us);
                #[expect(clippy::cast_precision_loss, reason = "microseconds of a latency are far below 2^52")]
                metrics::histogram!("forecourt_decision_latency_seconds").record(latency_us.max(0) as f64 / 1e6);
            }
        }
        // A card that was not known where this was decided may be known here by now, or not yet: that depends on how the
        // partitions mix, and what is shown must not.
        let known = contract.and_then(|_| self.cards.used(&card, place.at));
        let (card, pan_masked) = match known {
            Some(known) => (known.token.clone(), Some(known.pan_masked.clone())),
            None => (card, None),
        };
        let answer = Answer {
            verdict: decision.decision,
            code: decision.code,
            auth_code: decision.auth_code.clone(),
            manager: std::mem::take(&mut decision.text.manager),
            cashier: self.cashier_texts.one::<Languages, Languages>(std::mem::take(&mut decision.text.cashier)),
            binding: decision.binding.clone().map(|headroom| self.cards.limit(headroom, &card)),
            risk: decision.risk.clone(),
            replayed: decision.replayed,
        };
        let Wish { product, qty_ml, pieces, amount_minor } = wish(&decision, &items);
        let product = product.map(|product| self.product_names.one::<ProductCode, ProductCode>(product));
        let site = self.site_names.one::<SiteId, SiteId>(site);
        let terminal = self.terminal_names.one::<TerminalId, TerminalId>(terminal);
        let balance = decision.balance.or_else(|| contract.and_then(|at| self.contracts.at(at).balance));
        let line = Arc::new(Line {
            version: self.version,
            partition: place.partition,
            offset: place.offset,
            idem: decision.idem.clone(),
            at: place.at,
            seen_at: place.seen_at,
            site,
            terminal,
            pump,
            contract: contract.map_or_else(|| contract_id.cloned(), |at| Some(self.contracts.at(at).id.clone())),
            contract_name: contract.map(|at| self.contracts.at(at).name.clone()),
            card,
            pan_masked,
            vehicle,
            driver,
            kind,
            product,
            qty_ml,
            pieces,
            amount_minor,
            currency: balance.map(|balance| balance.currency),
            latency_us,
            answer,
        });
        if let Some(at) = contract {
            let entry = self.contracts.touch(at, self.version);
            if !decision.replayed && decision.code != Code::FmtClock {
                entry.decided.add(day, decision.decision);
            }
            entry.remember(line.clone());
            for headroom in decision.headroom.iter().filter(|_| !decision.replayed) {
                entry.limits.saw(headroom);
                entry.limits.took(headroom, kind, &decision, &items);
            }
            self.hold(at, &line, &decision);
        }
        self.decisions.push(line, decision);
    }

    /// An authorization reserved something. A repeat of the answer reserves nothing again.
    fn hold(&mut self, contract: u32, line: &Line, decision: &Decision) {
        let (Some(hold), Some(auth_code)) = (decision.hold, decision.auth_code.as_ref()) else { return };
        match line.kind {
            _ if decision.replayed => return,
            TransactionKind::DryRun => return,
            TransactionKind::Incremental => return self.holds.extend(auth_code, hold),
            _ => {}
        }
        self.holds.open(OpenHold {
            auth_code: auth_code.clone(),
            contract,
            at: line.at,
            card: line.card.clone(),
            pan_masked: line.pan_masked.clone(),
            vehicle: line.vehicle.clone(),
            site: line.site.clone(),
            terminal: line.terminal.clone(),
            pump: line.pump,
            product: line.product.clone(),
            hold,
        });
    }

    /// Fuel was sold, or given back.
    fn sold(&mut self, place: &Place, items: &[SoldItem], back: bool) {
        if place.at.get() / MICROS_PER_DAY != self.today {
            return;
        }
        let ml = items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.qty_ml.get()));
        let ml = i64::try_from(ml).unwrap_or(i64::MAX);
        let (day, sold) = &mut self.ledger.entry(place.partition).or_default().sold;
        if *day != self.today {
            (*day, *sold) = (self.today, 0);
        }
        *sold = if back { sold.saturating_sub(ml) } else { sold.saturating_add(ml) };
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }
    pub(crate) fn caught_up(&self) -> bool {
        self.caught_up
    }
    pub(crate) fn today(&self) -> i64 {
        self.today
    }
    pub(crate) fn contracts(&self) -> &Contracts {
        &self.contracts
    }
    pub(crate) fn cards(&self) -> &Cards {
        &self.cards
    }
    pub(crate) fn decisions(&self) -> &Decisions {
        &self.decisions
    }
    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }
    pub(crate) fn tanks(&self) -> &Tanks {
        &self.tanks
    }
    pub(crate) fn sites(&self) -> &Sites {
        &self.sites
    }
    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }
}

/// What a decision is about, in few words.
struct Wish {
    /// Of the first line.
    product: Option<ProductCode>,
    /// Sums of all lines.
    qty_ml: Option<u64>,
    pieces: u32,
    amount_minor: Option<i64>,
}

/// Of what was allowed, or else of what was asked for.
fn wish(decision: &Decision, items: &[SoldItem]) -> Wish {
    let allowed = decision.allowed.iter().map(|row| (&row.code, row.qty_ml.get(), row.pieces, row.amount_minor.get()));
    let asked = items.iter().map(|row| (&row.code, row.qty_ml.get(), row.pieces, row.amount_minor.get()));
    let rows: Vec<_> = if decision.allowed.is_empty() { asked.collect() } else { allowed.collect() };
    let Some((first, ..)) = rows.first() else {
        return Wish { product: None, qty_ml: None, pieces: 0, amount_minor: None };
    };
    Wish {
        product: Some((*first).clone()),
        qty_ml: Some(rows.iter().fold(0, |sum, row| sum.saturating_add(row.1))),
        pieces: rows.iter().fold(0, |sum, row| sum.saturating_add(row.2)),
        amount_minor: Some(rows.iter().fold(0, |sum, row| sum.saturating_add(row.3))),
    }
}
