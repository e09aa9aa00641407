//! What the screens get as JSON: the lines of the live protocol, borrowed from the projection.
//!
//! In: the projection. Out: serializable lines, the whole state, and all that changed since a version.
//! Amounts are integers (ml, minor units, µs); formatting is the page's.

use model::{CardState, Code, ContractId, Languages, RiskFinding, SiteId, TransactionKind, Verdict};
use serde::Serialize;

use crate::projection::{Card, Contract, Line, Network, Point, Projection, Tank, wet_stock};
use limits::{LimitLine, Place};
use money::{BlockLine, TopUpLine};

pub(crate) use holds::NetworkHoldLine;
use holds::{HoldLine, hold_line};
use tanks::{TankDetail, WetStockLine, tank_detail, wet_stock_line};
pub(crate) use tanks::{TankLine, tank_line};

mod forecast;
mod holds;
mod limits;
mod money;
mod tanks;

/// Decisions in a snapshot, and at most in a delta.
pub(crate) const DECISIONS_SHOWN_MAX: usize = 100;
/// Cards in the detail of a contract.
const CARDS_SHOWN_MAX: usize = 200;
/// Open holds in the detail of a contract.
const HOLDS_SHOWN_MAX: usize = 100;

#[derive(Serialize)]
pub(crate) struct DecisionLine<'a> {
    id: String,
    idem: &'a str,
    at_us: i64,
    seen_us: i64,
    site: &'a str,
    terminal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pump: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract_name: Option<&'a str>,
    card: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pan_masked: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicle: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<&'a str>,
    kind: TransactionKind,
    verdict: Verdict,
    code: Code,
    manager: &'a Languages,
    cashier: &'a Languages,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qty_ml: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    pieces: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<LimitLine<'a>>,
    risk: &'a [RiskFinding],
    replayed: bool,
}

#[derive(Serialize)]
pub(crate) struct ContractLine<'a> {
    contract: &'a str,
    name: &'a str,
    currency: &'a str,
    own: i64,
    credit: i64,
    held: i64,
    unbilled: i64,
    available: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<BlockLine<'a>>,
    cards: u32,
    blocked_cards: u32,
    approved_today: u32,
    declined_today: u32,
    last_at_us: i64,
}

#[derive(Serialize)]
pub(crate) struct CardLine<'a> {
    card: &'a str,
    pan_masked: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicle: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<&'a str>,
    state: CardState,
    headroom: Vec<LimitLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_at_us: Option<i64>,
}

#[derive(Serialize)]
pub(crate) struct ContractDetail<'a> {
    contract: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    legal_entity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holding: Option<&'a str>,
    time_zone: &'a str,
    cards: Vec<CardLine<'a>>,
    more_cards: usize,
    /// Of the contract, its groups, vehicles and drivers.
    limits: Vec<LimitLine<'a>>,
    more_limits: usize,
    /// Oldest first.
    holds: Vec<HoldLine<'a>>,
    more_holds: usize,
    /// Latest first.
    top_ups: Vec<TopUpLine<'a>>,
    decisions: Vec<DecisionLine<'a>>,
}

#[derive(Serialize)]
pub(crate) struct NetworkLine<'a> {
    #[serde(flatten)]
    network: &'a Network,
    history: Vec<&'a Point>,
}

/// The state, or what changed of it; nothing is said of a part without changes.
#[derive(Serialize)]
pub(crate) struct Changes<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<NetworkLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decisions: Option<Vec<DecisionLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contracts: Option<Vec<ContractLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tanks: Option<Vec<TankLine<'a>>>,
}

/// Consumption of one product at one site in the closed minutes of the last hour.
#[derive(Serialize)]
pub(crate) struct ProductLine<'a> {
    product: &'a str,
    minutes: usize,
    sales: u64,
    declines: u64,
    sold_ml: u64,
    consumed_ml: u64,
}

#[derive(Serialize)]
pub(crate) struct SiteLine<'a> {
    site: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online_since_us: Option<i64>,
    tanks: Vec<TankLine<'a>>,
    tank_details: Vec<TankDetail<'a>>,
    wet_stock: Vec<WetStockLine>,
    products: Vec<ProductLine<'a>>,
    decisions: Vec<DecisionLine<'a>>,
}

fn is_zero(pieces: &u32) -> bool {
    *pieces == 0
}

pub(crate) fn decision_line(line: &Line) -> DecisionLine<'_> {
    DecisionLine {
        id: format!("{}-{}", line.partition, line.offset),
        idem: line.idem.as_str(),
        at_us: line.at.get(),
        seen_us: line.seen_at.get(),
        site: line.site.as_str(),
        terminal: line.terminal.as_str(),
        pump: line.pump,
        contract: line.contract.as_ref().map(|id| id.as_str()),
        contract_name: line.contract_name.as_deref(),
        card: line.card.as_str(),
        pan_masked: line.pan_masked.as_deref(),
        vehicle: line.vehicle.as_ref().map(|id| id.as_str()),
        driver: line.driver.as_ref().map(|id| id.as_str()),
        kind: line.kind,
        verdict: line.answer.verdict,
        code: line.answer.code,
        manager: &line.answer.manager,
        cashier: &line.answer.cashier,
        product: line.product.as_ref().map(|product| product.as_str()),
        qty_ml: line.qty_ml,
        pieces: line.pieces,
        amount_minor: line.amount_minor,
        currency: line.currency.as_ref().map(|currency| currency.as_str()),
        auth_code: line.answer.auth_code.as_ref().map(|code| code.as_str()),
        latency_us: line.latency_us,
        binding: line.answer.binding.as_ref().map(|limit| limits::of_card(limit, &line.card, None)),
        risk: &line.answer.risk,
        replayed: line.answer.replayed,
    }
}

impl Projection {
    pub(crate) fn contract_line<'a>(&self, contract: &'a Contract) -> ContractLine<'a> {
        let (approved_today, declined_today) = contract.decided.on(self.today());
        let money = contract.balance.as_ref();
        ContractLine {
            contract: contract.id.as_str(),
            name: &contract.name,
            currency: money.map_or("", |balance| balance.currency.as_str()),
            own: money.map_or(0, |balance| balance.own.get()),
            credit: money.map_or(0, |balance| balance.credit.get()),
            held: money.map_or(0, |balance| balance.held.get()),
            unbilled: money.map_or(0, |balance| balance.unbilled.get()),
            available: money.map_or(0, |balance| balance.available.get()),
            blocked: contract.payments.block(contract.last_at).map(money::block_line),
            cards: contract.card_count,
            blocked_cards: contract.blocked_count,
            approved_today,
            declined_today,
            last_at_us: contract.last_at.get(),
        }
    }

    pub(crate) fn contract_detail<'a>(&'a self, contract: &'a Contract) -> ContractDetail<'a> {
        let cards = self.cards().newest_first(contract.cards).take(CARDS_SHOWN_MAX);
        let cards: Vec<_> = cards.map(|card| self.card_line(card)).collect();
        let holds: Vec<_> = self.holds_of(contract).take(HOLDS_SHOWN_MAX).map(hold_line).collect();
        let place = Place { zone: &contract.zone, week_start: contract.week_start };
        ContractDetail {
            contract: contract.id.as_str(),
            legal_entity: contract.legal_entity.as_deref(),
            holding: contract.holding.as_deref(),
            time_zone: contract.zone.iana_name().unwrap_or("UTC"),
            more_cards: (contract.card_count as usize).saturating_sub(cards.len()),
            cards,
            limits: contract.limits.all().map(|limit| limits::of_contract(limit, place)).collect(),
            more_limits: contract.limits.more,
            more_holds: self.hold_count_of(contract).saturating_sub(holds.len()),
            holds,
            top_ups: contract.payments.newest_first().map(money::top_up_line).collect(),
            decisions: contract.decisions.iter().rev().map(|line| decision_line(line)).collect(),
        }
    }

    /// What is shown of a contract that nothing is known of.
    pub(crate) fn unknown_detail(contract: &ContractId) -> ContractDetail<'_> {
        ContractDetail {
            contract: contract.as_str(),
            legal_entity: None,
            holding: None,
            time_zone: "UTC",
            cards: Vec::new(),
            more_cards: 0,
            limits: Vec::new(),
            more_limits: 0,
            holds: Vec::new(),
            more_holds: 0,
            top_ups: Vec::new(),
            decisions: Vec::new(),
        }
    }

    pub(crate) fn card_line<'a>(&self, card: &'a Card) -> CardLine<'a> {
        let contract = self.contracts().at(card.contract);
        let place = Place { zone: &contract.zone, week_start: contract.week_start };
        CardLine {
            card: card.token.as_str(),
            pan_masked: &card.pan_masked,
            group: card.group.as_ref().map(|id| id.as_str()),
            vehicle: card.vehicle.as_ref().map(|id| id.as_str()),
            driver: card.driver.as_ref().map(|id| id.as_str()),
            state: card.state,
            headroom: card.limits.iter().map(|limit| limits::of_card(limit, &card.token, Some(place))).collect(),
            last_at_us: card.last_at.map(|at| at.get()),
        }
    }

    fn network_line(&self, since: u64, until: u64) -> NetworkLine<'_> {
        NetworkLine { network: self.figures().shown().0, history: self.figures().points(since, until).collect() }
    }

    pub(crate) fn network(&self) -> NetworkLine<'_> {
        self.network_line(0, u64::MAX)
    }

    /// Everything, with the decisions and points up to `version`.
    ///
    /// Contracts, tanks and figures may be newer than `version`: they come again with the delta that follows, and the
    /// latest value of a key is all that counts. A decision or a point must not come twice, so those are cut exactly.
    pub(crate) fn state(&self, version: u64) -> Changes<'_> {
        Changes {
            network: Some(self.network_line(0, version)),
            decisions: Some(self.decisions_between(0, version)),
            contracts: Some(self.contracts().all().iter().map(|contract| self.contract_line(contract)).collect()),
            tanks: Some(self.tanks().all().iter().map(tank_line).collect()),
        }
    }

    /// What changed after version `since`, with the decisions and points up to `until`; see [`Projection::state`].
    pub(crate) fn changes(&self, since: u64, until: u64) -> Changes<'_> {
        fn some<T>(lines: Vec<T>) -> Option<Vec<T>> {
            (!lines.is_empty()).then_some(lines)
        }
        Changes {
            network: (self.figures().shown().1 > since).then(|| self.network_line(since, until)),
            decisions: some(self.decisions_between(since, until)),
            contracts: some(
                self.contracts().changed_since(since).map(|contract| self.contract_line(contract)).collect(),
            ),
            tanks: some(self.tanks().changed_since(since).map(tank_line).collect()),
        }
    }

    fn decisions_between(&self, since: u64, until: u64) -> Vec<DecisionLine<'_>> {
        let newest_first = self.decisions().newest_first();
        newest_first
            .skip_while(|line| line.version > until)
            .take_while(|line| line.version > since)
            .take(DECISIONS_SHOWN_MAX)
            .map(decision_line)
            .collect()
    }

    /// `None` when nothing was ever heard of the site.
    pub(crate) fn site_line<'a>(&'a self, id: &'a SiteId) -> Option<SiteLine<'a>> {
        let of_site = self.decisions().newest_first().filter(|line| line.site == *id);
        let decisions: Vec<_> = of_site.take(DECISIONS_SHOWN_MAX).map(decision_line).collect();
        let site = self.sites().get(id);
        if site.is_none() && decisions.is_empty() {
            return None;
        }
        let products = site.iter().flat_map(|site| &site.minutes).map(|(product, minutes)| ProductLine {
            product: product.as_str(),
            minutes: minutes.len(),
            sales: minutes.values().map(|minute| u64::from(minute.sales)).sum(),
            declines: minutes.values().map(|minute| u64::from(minute.declines)).sum(),
            sold_ml: minutes.values().fold(0, |sum, minute| sum.saturating_add(minute.sold_ml)),
            consumed_ml: minutes.values().fold(0, |sum, minute| sum.saturating_add(minute.consumed_ml)),
        });
        let status = site.and_then(|site| site.status);
        let tanks: Vec<&Tank> = site.iter().flat_map(|site| &site.tanks).map(|&place| self.tanks().at(place)).collect();
        Some(SiteLine {
            site: id.as_str(),
            online: status.map(|(online, _)| online),
            online_since_us: status.map(|(_, at)| at.get()),
            tanks: tanks.iter().copied().map(tank_line).collect(),
            tank_details: tanks.iter().copied().map(tank_detail).collect(),
            wet_stock: wet_stock(tanks.into_iter()).iter().map(wet_stock_line).collect(),
            products: products.collect(),
            decisions,
        })
    }
}
