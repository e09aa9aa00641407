//! Tanks as they are registered, and what is found out about them.
//!
//! A registration travels in `fuel.readings` like a reading, so that the order of both is defined. It replaces the one
//! before it whole; only strapping tables keep their validity, so that a new calibration does not rewrite old volumes.
//! Volumes at 15 °C and what is derived from them serve operation, not custody transfer.

pub(crate) mod messages;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CentiPercent, DeciMillimetres, Density, IdempotencyKey, Millilitres, Millilitres15, ProductCode, SiteId, TankId,
    TimestampUs, VolumeDifference,
};

/// A tank of a site: what its gauge's values mean and when somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TankSetup {
    pub site: SiteId,
    pub tank: TankId,
    /// When it was registered so.
    pub at_us: TimestampUs,
    pub product: ProductCode,
    #[serde(default)]
    pub group: VolumeGroup,
    /// Density of the product at 15 °C; absent: no volume at 15 °C unless the gauge gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density_15: Option<Density>,
    pub capacity_ml: Millilitres,
    /// How full the tank may be filled: 9500 for liquid fuels, 8500 for LPG.
    #[serde(default = "TankSetup::safe_fill_default")]
    pub safe_fill: CentiPercent,
    /// Strapping tables by the time from which they hold. Empty: volumes are the gauge's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<DatedChart>,
    /// How often the gauge measures.
    #[serde(default = "TankSetup::interval_default")]
    pub expected_interval_s: u32,
    /// How long without a reading until the tank counts as silent; absent: three intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u32>,
    #[serde(default)]
    pub thresholds: TankThresholds,
    /// From order to delivery.
    #[serde(default = "TankSetup::lead_time_default")]
    pub lead_time_hours: u32,
    /// A truck's compartment: no order is larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truck_ml: Option<Millilitres>,
    /// All that is sold from the tank is told: a drop without a sale is a loss. Otherwise drops are consumption.
    #[serde(default)]
    pub sales_are_known: bool,
    /// Pumps that draw from this tank. Needed where several tanks of a site hold one product.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pumps: Vec<u16>,
    /// The fastest that pumps draw from the tank, all together.
    #[serde(default = "TankSetup::pump_flow_default")]
    pub pump_flow_ml_per_min: u64,
    /// What the gauge says when it knows nothing, in thousandths of the column's unit: −1000, 65535000 …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sentinels: Vec<Sentinel>,
    /// The columns that a source is known to swap. Empty: values are taken as they are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swappable: Vec<Column>,
    /// The tank's wall clock against UTC: a day begins at its midnight.
    #[serde(default)]
    pub utc_offset_min: i16,
}

impl TankSetup {
    const fn safe_fill_default() -> CentiPercent {
        CentiPercent(9_500)
    }
    const fn interval_default() -> u32 {
        60
    }
    const fn lead_time_default() -> u32 {
        48
    }
    const fn pump_flow_default() -> u64 {
        130_000
    }

    /// A tank of which no more is known than its size; everything else as it is mostly.
    #[must_use]
    pub fn new(site: SiteId, tank: TankId, product: ProductCode, capacity_ml: Millilitres) -> Self {
        Self {
            site,
            tank,
            at_us: TimestampUs::default(),
            product,
            group: VolumeGroup::default(),
            density_15: None,
            capacity_ml,
            safe_fill: Self::safe_fill_default(),
            charts: Vec::new(),
            expected_interval_s: Self::interval_default(),
            grace_s: None,
            thresholds: TankThresholds::default(),
            lead_time_hours: Self::lead_time_default(),
            truck_ml: None,
            sales_are_known: false,
            pumps: Vec::new(),
            pump_flow_ml_per_min: Self::pump_flow_default(),
            sentinels: Vec::new(),
            swappable: Vec::new(),
            utc_offset_min: 0,
        }
    }
}

/// Which table brings a volume to 15 °C.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VolumeGroup {
    /// ASTM D1250-80 table 54B, its group chosen by density.
    #[default]
    Products,
    Gasoline,
    Transition,
    Kerosene,
    FuelOil,
    /// Table 54A.
    Crude,
    /// Table 54E.
    Lpg,
    /// Table 54C: expansion per kelvin at 15 °C, in 10⁻⁶.
    Coefficient(u32),
}

/// A strapping table from the moment it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatedChart {
    /// Absent in the first table: for all time before.
    #[serde(default)]
    pub from_us: TimestampUs,
    pub chart: Chart,
    /// Added to a height before look-up: the probe stands above the bottom, or not in the middle of a sloped tank.
    #[serde(default)]
    pub offset_dmm: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Chart {
    /// By rising height and volume.
    Points(Vec<ChartPoint>),
    /// Flat ends. `tilt_e4` is the slope in ten-thousandths, positive where the far end (as seen from the probe) lies
    /// lower; the probe stands `probe_dmm` from the near end.
    HorizontalCylinder {
        diameter_dmm: DeciMillimetres,
        length_dmm: DeciMillimetres,
        #[serde(default)]
        tilt_e4: i32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probe_dmm: Option<DeciMillimetres>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChartPoint {
    pub height_dmm: DeciMillimetres,
    pub volume_ml: Millilitres,
}

/// A value of a reading, in its usual unit: litres, millimetres, °C, %, kg/m³.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    Volume,
    Volume15,
    Ullage,
    WaterVolume,
    Height,
    Water,
    Temperature,
    Percent,
    Density,
}

/// A value that means "unknown". `column` absent: in any column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sentinel {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<Column>,
    /// In thousandths of the column's usual unit.
    pub value_e3: i64,
}

/// From when something is told. What is absent follows from the capacity or is not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TankThresholds {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_low_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_high_ml: Option<Millilitres>,
    /// How far back over a threshold an alarm ends; absent: 1 % of the capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hysteresis_ml: Option<Millilitres>,
    /// Water that is told; absent: 25 mm, the classic action level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_dmm: Option<DeciMillimetres>,
    /// The smallest delivery; absent: 1 % of the capacity, at least 150 L.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_min_ml: Option<Millilitres>,
    /// The smallest loss at once that is told; absent: 60 L, more where the level trembles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_min_ml: Option<Millilitres>,
    /// The slow leak that must be found; absent: 757 ml/h (0.20 gal/h, the monthly test of tank gauges).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leak_ml_per_hour: Option<u32>,
}

/// What was found out about a tank. The same site, tank, name of kind and number is the same event; its highest version
/// is the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TankEvent {
    pub site: SiteId,
    pub tank: TankId,
    pub product: ProductCode,
    /// Counts the events of a kind in a tank, from 1.
    pub number: u32,
    /// 1 at first; one more for each correction.
    pub version: u32,
    /// Late data showed that it did not happen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    pub began_at_us: TimestampUs,
    /// Absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_us: Option<TimestampUs>,
    pub kind: TankEventKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TankEventKind {
    Delivery(Delivery),
    /// Fuel went that nobody bought.
    UnexplainedLoss {
        lost_ml: Millilitres,
        /// The true value lies within this of `lost_ml`, 19 times of 20.
        error_ml: Millilitres,
    },
    /// Over quiet periods the tank loses more than it may.
    SuspectedLeak {
        rate_ml_per_hour: u64,
        /// The true rate lies within this of it, 19 times of 20.
        error_ml_per_hour: u64,
        quiet_hours: u32,
    },
    WaterIngress {
        before_dmm: DeciMillimetres,
        after_dmm: DeciMillimetres,
    },
    LevelAlarm {
        level: AlarmLevel,
        /// When it began.
        volume_ml: Millilitres,
    },
    /// Nothing was heard since `began_at_us`, the last reading; ended by the next.
    Silence {
        cause: SilenceCause,
    },
    /// A column is off by a factor that looks like another unit. Suggested, not applied.
    UnitSlip {
        column: Column,
        /// Value by expected value, in thousandths: 264 for gallons that stand for litres.
        ratio_e3: u32,
    },
    /// The gauge's clock is wrong: positive when it is ahead.
    ClockWrong {
        offset_s: i64,
    },
}

impl TankEventKind {
    /// The name that identifies the event together with its number.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delivery(_) => "delivery",
            Self::UnexplainedLoss { .. } => "unexplained_loss",
            Self::SuspectedLeak { .. } => "suspected_leak",
            Self::WaterIngress { .. } => "water_ingress",
            Self::LevelAlarm { .. } => "level_alarm",
            Self::Silence { .. } => "silence",
            Self::UnitSlip { .. } => "unit_slip",
            Self::ClockWrong { .. } => "clock_wrong",
        }
    }

    /// The volume that it is about; zero where it is not about a volume.
    #[must_use]
    pub const fn volume(&self) -> Millilitres {
        match self {
            Self::Delivery(delivery) => delivery.gross_ml,
            Self::UnexplainedLoss { lost_ml, .. } => *lost_ml,
            Self::LevelAlarm { volume_ml, .. } => *volume_ml,
            Self::SuspectedLeak { .. }
            | Self::WaterIngress { .. }
            | Self::Silence { .. }
            | Self::UnitSlip { .. }
            | Self::ClockWrong { .. } => Millilitres::ZERO,
        }
    }
}

/// Fuel that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// At observed temperature, with what was sold meanwhile.
    pub gross_ml: Millilitres,
    /// The true value lies within this of `gross_ml`, 19 times of 20.
    pub error_ml: Millilitres,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_15_ml: Option<Millilitres15>,
    /// Sold between start and end; estimated when sales are not known.
    pub sold_ml: Millilitres,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_before_dmm: Option<DeciMillimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_after_dmm: Option<DeciMillimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_ml: Option<Millilitres>,
    /// Gross less ticket: negative when the truck brought less than its paper says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_difference_ml: Option<VolumeDifference>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmLevel {
    LowLow,
    Low,
    High,
    HighHigh,
}

/// The probable reason why a tank says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceCause {
    /// The station controller said so, or its last will did.
    ControllerOffline,
    /// No tank of the site is heard: power or network.
    Site,
    /// Others of the site are heard: probe, cable or battery.
    Gauge,
    /// Readings come, but none that can be believed.
    InvalidReadings,
    Unknown,
}

/// What was done to a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// Two or more columns were put back into their order.
    Reordered,
    /// The value meant "unknown".
    Unknown(Column),
    VolumeFromHeight,
    VolumeFromPercent,
    /// The volume is in another unit than the height says; the height was believed. Value by expected value, thousandths.
    UnitSlip {
        ratio_e3: u32,
    },
    /// The gauge's clock is wrong by so much (positive: ahead); the reading is dated at its arrival.
    Redated {
        offset_s: i64,
    },
    /// The height lies beyond the strapping table.
    Clamped,
}

/// Why a reading gives no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadingRefused {
    /// Known already, or the same values within half an interval.
    Repeat,
    /// The gauge itself says that the height is wrong.
    InvalidHeight,
    NoVolume,
    /// The columns contradict each other, and no one order of them does not.
    Impossible,
    /// More than one order of the columns is possible.
    Ambiguous,
    UnitSlip,
    /// Measured before everything that is kept.
    TooOld,
    /// One tank more than are followed.
    TooManyTanks,
}

impl ReadingRefused {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::InvalidHeight => "invalid_height",
            Self::NoVolume => "no_volume",
            Self::Impossible => "impossible",
            Self::Ambiguous => "ambiguous",
            Self::UnitSlip => "unit_slip",
            Self::TooOld => "too_old",
            Self::TooManyTanks => "too_many_tanks",
        }
    }
}

/// Fuel that a pump's meter counted, by card or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PumpSale {
    pub site: SiteId,
    /// The receipt: the same at one site is the same sale.
    pub id: IdempotencyKey,
    /// When the nozzle was hung up.
    pub at_us: TimestampUs,
    pub product: ProductCode,
    /// Absent: the tank that serves the pump, or the only one with the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tank: Option<TankId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pump: Option<u16>,
    pub volume_ml: Millilitres,
}

/// What a truck's paper says it left in a tank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryTicket {
    pub site: SiteId,
    pub tank: TankId,
    /// The paper's number.
    pub id: IdempotencyKey,
    pub at_us: TimestampUs,
    pub volume_ml: Millilitres,
}

/// What was in a tank on a day, and what came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayStock {
    pub opening_ml: Millilitres,
    pub closing_ml: Millilitres,
    pub delivered_ml: Millilitres,
    /// What left the tank by its gauge: opening and deliveries less closing, never negative.
    pub consumed_ml: Millilitres,
    /// More than opening and deliveries explain: warmth, noise, or a delivery that nobody saw.
    pub gained_ml: Millilitres,
    /// Sold by the meters, by card and otherwise.
    pub sold_ml: Millilitres,
    /// A level was measured in it; otherwise both ends are drawn through a gap.
    pub measured: bool,
    /// The same at 15 °C, where the tank's volumes are known so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_15: Option<DayStock15>,
}

/// A day of a tank at 15 °C, for wet stock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayStock15 {
    pub opening_ml: Millilitres15,
    pub closing_ml: Millilitres15,
    pub delivered_ml: Millilitres15,
    pub sold_ml: Millilitres15,
}

/// What became of a day's readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayQuality {
    /// By the gauge's interval.
    pub expected: u32,
    pub used: u32,
    /// Used after columns were put back, or with a volume that another column told.
    pub repaired: u32,
    /// Dated at their arrival, because the gauge's clock is wrong.
    pub redated: u32,
    /// Arrived after a later one, or as history.
    pub late: u32,
    pub repeats: u32,
    /// Not used, repeats apart.
    pub dropped: u32,
    /// Time between used readings beyond three intervals.
    pub silent_s: u32,
}

impl DayQuality {
    /// Used readings against expected ones, repaired and redated ones counted half; hundredths of a percent.
    #[must_use]
    pub fn score_e2(&self) -> u32 {
        let doubtful = u64::from(self.repaired.max(self.redated).min(self.used));
        let good = 2 * u64::from(self.used) - doubtful;
        let expected = 2 * u64::from(self.expected.max(1));
        u32::try_from((good * 10_000 / expected).min(10_000)).unwrap_or(10_000)
    }
}

/// What is known of one day of a tank. The highest version is the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TankDay {
    pub site: SiteId,
    pub tank: TankId,
    pub product: ProductCode,
    /// Days since 1970 by the tank's wall clock.
    pub day: i64,
    /// 1 when the day closes; one more for each correction by late data.
    pub version: u32,
    /// Absent on the day on which the first level came, and on days before a gap of more than a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<DayStock>,
    pub quality: DayQuality,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceMessage;

    #[test]
    fn a_registration_names_what_is_special_and_the_rest_is_usual() {
        let text = r#"{"setup":{"site":"S-1","tank":"2","at_us":0,"product":"DIESEL","capacity_ml":30000000,
            "charts":[{"chart":{"horizontal_cylinder":{"diameter_dmm":25000,"length_dmm":100000}}}]}}"#;
        let message: DeviceMessage = serde_json::from_str(text).expect("a registration");
        let DeviceMessage::Setup(setup) = &message else { panic!("{message:?}") };
        assert_eq!((setup.expected_interval_s, setup.safe_fill), (60, CentiPercent(9_500)));
        let plain = TankSetup { charts: setup.charts.clone(), ..usual() };
        assert_eq!(**setup, plain);
        let again = serde_json::to_string(&message).expect("JSON");
        assert_eq!(serde_json::from_str::<DeviceMessage>(&again).expect("a registration"), message);
    }

    fn usual() -> TankSetup {
        let id = (SiteId::new("S-1").expect("an id"), TankId::new("2").expect("an id"));
        TankSetup::new(id.0, id.1, ProductCode::new("DIESEL").expect("an id"), Millilitres::from_litres(30_000))
    }
}
