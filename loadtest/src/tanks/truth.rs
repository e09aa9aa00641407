//! What a simulated tank sends, and beside it what truly happened. Times of the truth are the true ones.

use model::{DeviceStatus, Millilitres, Millilitres15, Reading, SilenceCause, TankSetup, TimestampUs};

use super::plan::TankPlan;

/// One tank from the first day to the last.
#[derive(Clone, Debug)]
pub struct TankRun {
    pub plan: TankPlan,
    pub setup: TankSetup,
    /// In order of arrival.
    pub arrivals: Vec<Arrival>,
    pub truth: Truth,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    pub received_at_us: TimestampUs,
    pub what: Arrived,
}

#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all that arrives are readings")]
pub enum Arrived {
    Reading(Sample),
    Sale(PumpSale),
    Status(DeviceStatus),
    Ticket(Ticket),
}

/// A reading as it is sent, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub reading: Reading,
    pub dirt: Option<Dirt>,
    /// What the gauge measured, and when, where `reading` says something else.
    pub clean: Option<Box<Reading>>,
}

/// Fuel that a pump's meter counted, when the nozzle is hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PumpSale {
    pub at_us: TimestampUs,
    pub volume_ml: Millilitres,
}

/// What a truck's paper says it left here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub at_us: TimestampUs,
    pub volume_ml: Millilitres,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dirt {
    Duplicate,
    NearDuplicate,
    SwappedColumns,
    Spike,
    Sentinel,
    InvalidStatus,
    /// Arrives after readings that were measured later.
    Overtaken,
    /// Kept while the line was down, sent together afterwards.
    LateBatch,
    ClockWrong,
    /// The clock stands at its factory date.
    ClockReset,
    /// Gallons where litres are meant.
    UnitSlip,
}

impl Dirt {
    pub const ALL: [Self; 11] = [
        Self::Duplicate,
        Self::NearDuplicate,
        Self::SwappedColumns,
        Self::Spike,
        Self::Sentinel,
        Self::InvalidStatus,
        Self::Overtaken,
        Self::LateBatch,
        Self::ClockWrong,
        Self::ClockReset,
        Self::UnitSlip,
    ];
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    pub opening_15_ml: Millilitres15,
    pub closing_15_ml: Millilitres15,
    pub delivered_15_ml: Millilitres15,
    pub drawn_15_ml: Millilitres15,
    pub deliveries: Vec<TrueDelivery>,
    pub thefts: Vec<TrueTheft>,
    pub leak: Option<TrueLeak>,
    pub ingresses: Vec<TrueIngress>,
    pub silences: Vec<TrueSilence>,
    pub spells: Vec<TrueSpell>,
    /// All that pumps gave, known to the receiver or not.
    pub sold_ml: Millilitres,
    pub from_us: TimestampUs,
    pub to_us: TimestampUs,
}

/// One truck. Its drops belong together, also when a pause lies between them.
#[derive(Clone, Debug, PartialEq)]
pub struct TrueDelivery {
    pub drops: Vec<Drop>,
    pub gross_ml: Millilitres,
    pub net_15_ml: Millilitres15,
    /// From the first drop's beginning to the last one's end.
    pub sold_meanwhile_ml: Millilitres,
    pub ticket_ml: Millilitres,
    /// By how much what was sold between the readings around it differs from what is sold then on average. Nobody can know it
    /// from volumes alone.
    pub chance_ml: u64,
}

impl TrueDelivery {
    #[must_use]
    pub fn began_at(&self) -> TimestampUs {
        self.drops.first().map(|drop| drop.began_at_us).unwrap_or_default()
    }
    #[must_use]
    pub fn ended_at(&self) -> TimestampUs {
        self.drops.last().map(|drop| drop.ended_at_us).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    pub began_at_us: TimestampUs,
    pub ended_at_us: TimestampUs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrueTheft {
    pub began_at_us: TimestampUs,
    pub ended_at_us: TimestampUs,
    pub stolen_ml: Millilitres,
    /// In the small hours, when few or no customers come.
    pub at_night: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrueLeak {
    pub began_at_us: TimestampUs,
    pub ml_per_hour: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrueIngress {
    pub began_at_us: TimestampUs,
    pub ended_at_us: TimestampUs,
    pub before_mm: u32,
    pub after_mm: u32,
}

/// Nothing arrives. What was measured meanwhile is lost, unless the line was down and the gauge kept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrueSilence {
    pub began_at_us: TimestampUs,
    pub ended_at_us: TimestampUs,
    pub cause: SilenceCause,
    pub kept: bool,
}

/// A time during which every reading has the same fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrueSpell {
    pub began_at_us: TimestampUs,
    pub ended_at_us: TimestampUs,
    pub fault: Dirt,
    /// Of a wrong clock: positive when it is ahead.
    pub offset_us: i64,
}
