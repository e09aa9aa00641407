//! What happens at stations: sales derived from the ledger, and the facts of `fuel.station-events`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    CardToken, Code, ContractId, Currency, DeciCelsius, DeviceStatus, Millilitres, Millimetres, MinorUnits, Origin,
    ProductCode, SiteId, SoldItem, TankEvent, TankId, TankSetup, TerminalId, TimestampUs,
};

/// A record of `fuel.sales`, keyed by site. A receipt, or a declined wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    pub v: u8,
    /// The ledger record that this came from; a ledger record leads to at most one sale.
    pub origin: Origin,
    pub kind: SaleKind,
    pub at_us: TimestampUs,
    pub site: SiteId,
    pub terminal: TerminalId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pump: Option<u16>,
    pub card: CardToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractId>,
    pub items: Vec<SoldItem>,
    pub currency: Currency,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaleKind {
    Sold,
    Refunded,
    Declined(Code),
}

/// A record of `fuel.station-events`, keyed by site; fenced like the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationRecord {
    pub v: u8,
    /// As in [`crate::LedgerRecord::epoch`].
    pub epoch: i64,
    pub event: StationEvent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StationEvent {
    Takeover {
        owner: String,
        at_us: TimestampUs,
    },
    /// A reading was accepted. Repeats of a reading leave no event.
    Level(TankLevel),
    /// A station controller came or went.
    Status {
        origin: Origin,
        status: DeviceStatus,
    },
    /// A closed minute, or its correction.
    Minute(Minute),
    /// A tank is registered, or registered anew.
    Registered {
        origin: Origin,
        setup: Box<TankSetup>,
    },
    /// Something was found out about a tank, or what was found out is corrected.
    Tank(Box<TankEvent>),
}

/// A tank as one accepted reading shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TankLevel {
    pub origin: Origin,
    pub site: SiteId,
    pub tank: TankId,
    pub product: ProductCode,
    pub measured_at_us: TimestampUs,
    pub received_at_us: TimestampUs,
    pub volume_ml: Millilitres,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_dc: Option<DeciCelsius>,
    /// Measured before a reading that was already accepted: history, not the current level.
    #[serde(default)]
    pub late: bool,
}

/// Sales and consumption of one product at one site in one minute of event time. The highest version is the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minute {
    pub site: SiteId,
    pub product: ProductCode,
    /// Start of the minute, UTC.
    pub minute_us: TimestampUs,
    /// 1 when the minute closes; one more for each correction by late records.
    pub version: u32,
    pub sales: u32,
    pub declines: u32,
    /// Sold by card, refunds taken off; never below zero.
    pub sold_ml: Millilitres,
    /// By how much the refunds of this minute exceed its sales: sums over minutes stay exact as `sold − excess`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refund_excess_ml: Millilitres,
    /// Money of those sales by currency.
    pub sold_minor: BTreeMap<Currency, MinorUnits>,
    /// What left the tanks by their gauges; rises do not count.
    pub consumed_ml: Millilitres,
    /// Highest offset of the site's partition of `fuel.sales` that is counted in here: a restart adds only what came after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sales_through: Option<i64>,
}

fn is_zero(volume: &Millilitres) -> bool {
    *volume == Millilitres::ZERO
}
