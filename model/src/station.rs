//! What happens at stations: sales derived from the ledger, and the facts of `fuel.station-events`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    CardToken, CentiCelsius, Code, ContractId, Currency, DeciCelsius, DeciMillimetres, DeliveryTicket, Density,
    DeviceStatus, ImportedRow, Millilitres, Millilitres15, Millimetres, MinorUnits, Origin, ProductCode, PumpSale,
    Reading, ReadingRefused, SiteId, SoldItem, TankDay, TankEvent, TankId, TankSetup, TerminalId, TimestampUs,
    Treatment,
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
    /// A reading that gives no level, kept as it was sent. Repeats leave no event here either.
    Aside {
        origin: Origin,
        received_at_us: TimestampUs,
        because: ReadingRefused,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        import: Option<ImportedRow>,
        reading: Box<Reading>,
    },
    /// Fuel that was sold from a tank: a line of a sale by card, or one that the station told.
    Drawn(TankSale),
    Ticket {
        origin: Origin,
        ticket: DeliveryTicket,
    },
    /// A day of a tank, or its correction.
    Day(Box<TankDay>),
}

impl StationEvent {
    /// Where it happened; `None` for a takeover.
    #[must_use]
    pub fn site(&self) -> Option<&SiteId> {
        match self {
            Self::Takeover { .. } => None,
            Self::Level(level) => Some(&level.site),
            Self::Status { status, .. } => Some(&status.site),
            Self::Minute(minute) => Some(&minute.site),
            Self::Registered { setup, .. } => Some(&setup.site),
            Self::Tank(event) => Some(&event.site),
            Self::Aside { reading, .. } => Some(&reading.site),
            Self::Drawn(drawn) => Some(&drawn.sale.site),
            Self::Ticket { ticket, .. } => Some(&ticket.site),
            Self::Day(day) => Some(&day.site),
        }
    }

    /// The record that it was made of; `None` for what follows from several.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        match self {
            Self::Level(level) => Some(level.origin),
            Self::Drawn(drawn) => Some(drawn.origin),
            Self::Status { origin, .. }
            | Self::Registered { origin, .. }
            | Self::Aside { origin, .. }
            | Self::Ticket { origin, .. } => Some(*origin),
            Self::Takeover { .. } | Self::Minute(_) | Self::Tank(_) | Self::Day(_) => None,
        }
    }
}

/// Fuel sold from a registered tank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TankSale {
    /// In `fuel.sales`, or in `fuel.readings` when the station told it.
    pub origin: Origin,
    pub sale: PumpSale,
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
    pub volume_15_ml: Option<Millilitres15>,
    /// Of the water below the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_ml: Option<Millilitres>,
    /// Only in older records, as `water_mm` and `temperature_dc`: the finer ones stand for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_dmm: Option<DeciMillimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_dmm: Option<DeciMillimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_dc: Option<DeciCelsius>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_cc: Option<CentiCelsius>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density_e1: Option<Density>,
    /// As in [`Reading::status`].
    #[serde(default, skip_serializing_if = "is_zero_status")]
    pub status: u8,
    /// What was done to the values. Empty: they are as they were sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub treatments: Vec<Treatment>,
    /// As it was sent, where the values above do not tell: treated readings, and history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Box<Reading>>,
    /// As in [`crate::ReadingRecord::import`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportedRow>,
    /// Measured before a reading that was already accepted: history, not the current level.
    #[serde(default)]
    pub late: bool,
}

impl TankLevel {
    /// A level of which no more is known than the volume.
    #[must_use]
    pub fn new(origin: Origin, received_at_us: TimestampUs, reading: &Reading, volume_ml: Millilitres) -> Self {
        Self {
            origin,
            site: reading.site.clone(),
            tank: reading.tank.clone(),
            product: reading.product.clone(),
            measured_at_us: reading.measured_at_us,
            received_at_us,
            volume_ml,
            volume_15_ml: None,
            water_ml: None,
            capacity_ml: reading.capacity_ml,
            height_mm: None,
            height_dmm: None,
            water_mm: None,
            water_dmm: None,
            temperature_dc: None,
            temperature_cc: None,
            density_e1: None,
            status: reading.status,
            treatments: Vec::new(),
            raw: None,
            import: None,
            late: false,
        }
    }

    /// The values as they were sent, of a tank that nobody registered.
    #[must_use]
    pub fn as_sent(origin: Origin, received_at_us: TimestampUs, reading: &Reading, volume_ml: Millilitres) -> Self {
        Self {
            volume_15_ml: reading.volume_15_ml,
            water_ml: reading.water_ml,
            height_dmm: reading.height(),
            water_dmm: reading.water(),
            temperature_cc: reading.temperature(),
            density_e1: reading.density_e1,
            raw: reading.historical.then(|| Box::new(reading.clone())),
            ..Self::new(origin, received_at_us, reading, volume_ml)
        }
    }

    #[must_use]
    pub fn height(&self) -> Option<DeciMillimetres> {
        self.height_dmm.or(self.height_mm.map(DeciMillimetres::from))
    }

    #[must_use]
    pub fn water(&self) -> Option<DeciMillimetres> {
        self.water_dmm.or(self.water_mm.map(DeciMillimetres::from))
    }

    #[must_use]
    pub fn temperature(&self) -> Option<CentiCelsius> {
        self.temperature_cc.or(self.temperature_dc.map(CentiCelsius::from))
    }
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero_status(status: &u8) -> bool {
    *status == 0
}

fn is_zero(volume: &Millilitres) -> bool {
    *volume == Millilitres::ZERO
}
