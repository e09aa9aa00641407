//! Who stands where: the tanks of a simulated network, drawn from a seed, and what their gauges let others know.

use model::{SiteId, TankId};

use super::chance::{Chance, real, rounded};
use super::contents::Surroundings;
use super::fuel::Fuel;
use super::vessel::Vessel;

/// Tanks that share a controller, and so its power and its line.
pub const TANKS_PER_SITE: u64 = 4;
/// Trucks never fill above this share.
pub(crate) const SAFE_FILL: f64 = 0.95;
/// Pumps stop below this share.
pub(crate) const DRY: f64 = 0.05;

/// What the receiver gets to see, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regime {
    pub name: &'static str,
    pub interval_s: i64,
    /// Height, water, temperature and status; otherwise volume alone.
    pub all_columns: bool,
    pub sales: bool,
    /// A battery gauge: samples are sent together, so long after the first one.
    pub packet_every_s: Option<i64>,
}

impl Regime {
    pub const ALL_EACH_MINUTE: Self =
        Self { name: "1 min, all known", interval_s: 60, all_columns: true, sales: true, packet_every_s: None };
    pub const VOLUME_EACH_FIVE_MINUTES: Self =
        Self { name: "5 min, volume alone", interval_s: 300, all_columns: false, sales: false, packet_every_s: None };
    pub const VOLUME_EACH_HALF_HOUR: Self =
        Self { name: "30 min, volume alone", interval_s: 1800, all_columns: false, sales: false, packet_every_s: None };
    pub const VOLUME_IN_PACKETS: Self =
        Self { name: "30 min, in packets", packet_every_s: Some(6 * 3600), ..Self::VOLUME_EACH_HALF_HOUR };
    pub const ALL: [Self; 4] =
        [Self::ALL_EACH_MINUTE, Self::VOLUME_EACH_FIVE_MINUTES, Self::VOLUME_EACH_HALF_HOUR, Self::VOLUME_IN_PACKETS];
}

/// What goes wrong in a world beside dirty data, which is everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    Ordinary,
    /// Thefts of all sizes, every few days, by night and by day.
    Thefts,
    /// Every tank leaks from its twentieth day on.
    Leak {
        ml_per_hour: u32,
    },
}

/// A simulated network: the same fields give the same world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    pub seed: u64,
    pub regime: Regime,
    pub story: Story,
    pub tanks: u64,
    pub days: i64,
    /// Duplicates, swapped columns and the like. Without them a score shows physics alone.
    pub dirty: bool,
}

/// Two litres of the same chart: how large a gauge thinks the tank is, and how exactly it sees the surface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GaugePlan {
    pub(crate) noise_mm: f64,
    pub(crate) step_mm: f64,
    pub(crate) step_litres: f64,
    /// True volume over the chart's volume.
    pub(crate) chart_ratio: f64,
    pub(crate) celsius_bias: f64,
    pub(crate) tells_deliveries: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DemandPlan {
    pub(crate) litres_per_day: f64,
    /// First hour of business and the hour when it ends; `None`: day and night.
    pub(crate) hours: Option<(i64, i64)>,
    pub(crate) lorry_share: f64,
    /// Metered volume over true volume.
    pub(crate) meter_ratio: f64,
}

/// One tank as the world knows it. What outsiders may know of it is public.
#[derive(Clone, Debug)]
pub struct TankPlan {
    pub number: u64,
    pub site: SiteId,
    pub tank: TankId,
    pub fuel: Fuel,
    /// Inner diameter and length of the lying cylinder, as on its plate and in the chart.
    pub diameter_mm: u32,
    pub length_mm: u32,
    pub interval_s: i64,
    pub lead_time_hours: u32,
    pub(crate) vessel: Vessel,
    pub(crate) surroundings: Surroundings,
    pub(crate) gauge: GaugePlan,
    pub(crate) demand: DemandPlan,
    pub(crate) order_below: f64,
    pub(crate) litres_per_minute_of_truck: f64,
    /// Trucks print more on their tickets than they leave here, by up to 2 %.
    pub(crate) short_tickets: bool,
}

impl TankPlan {
    /// Litres to the brim by the chart.
    #[must_use]
    pub fn capacity_ml(&self) -> u64 {
        rounded(self.vessel.capacity_l() * 1000.0).unsigned_abs()
    }

    /// Litres that leave the tank on a mean day.
    #[must_use]
    pub fn litres_per_day(&self) -> f64 {
        self.demand.litres_per_day
    }

    pub(crate) fn open(&self, at_s: i64) -> bool {
        let hour = at_s.rem_euclid(86_400) / 3600;
        self.demand.hours.is_none_or(|(from, to)| (from..to).contains(&hour))
    }
}

impl World {
    /// The plan of one tank. Throughput goes from farm yards (some 500 L a day) to motorways (10,000).
    ///
    /// # Panics
    /// Never: the names that are made here are valid.
    #[must_use]
    pub fn plan(&self, number: u64) -> TankPlan {
        let mut chance = Chance::new(self.seed, number, 1);
        let (litres_per_day, sizes) = match number % 3 {
            0 => (chance.between(2_000.0, 4_500.0), [(2000, 8000), (2500, 10000)]),
            1 => (chance.between(5_500.0, 10_000.0), [(2500, 10000), (2900, 11400)]),
            _ => (chance.between(300.0, 900.0), [(1900, 5300), (2000, 8000)]),
        };
        let (diameter_mm, length_mm) = chance.one_of(&sizes);
        let fuel = if litres_per_day < 1000.0 { chance.one_of(&Fuel::ALL) } else { chance.one_of(&Fuel::ALL[..2]) };
        let underground = chance.happens(0.7);
        let surroundings = if underground {
            Surroundings {
                mean_celsius: chance.between(8.0, 14.0),
                daily_swing_celsius: 0.0,
                yearly_swing_celsius: 5.0,
                follows_in_s: chance.between(3.0, 6.0) * 86_400.0,
            }
        } else {
            Surroundings {
                mean_celsius: chance.between(6.0, 16.0),
                daily_swing_celsius: chance.between(3.0, 7.0),
                yearly_swing_celsius: 12.0,
                follows_in_s: chance.between(0.8, 2.0) * 86_400.0,
            }
        };
        let coarse = chance.happens(0.3);
        let gauge = GaugePlan {
            noise_mm: if coarse { chance.between(0.3, 0.5) } else { chance.between(0.05, 0.15) },
            step_mm: if coarse { 1.0 } else { 0.1 },
            step_litres: 1.0,
            chart_ratio: 1.0 + chance.normal(0.000_5).clamp(-0.001_5, 0.001_5),
            celsius_bias: chance.normal(0.1),
            tells_deliveries: chance.happens(0.5),
        };
        let demand = DemandPlan {
            litres_per_day,
            hours: if chance.happens(0.5) { Some((6, chance.whole(21, 23))) } else { None },
            lorry_share: if fuel == Fuel::Diesel { 0.15 } else { 0.0 },
            meter_ratio: 1.0 + chance.normal(0.001).clamp(-0.003, 0.003),
        };
        TankPlan {
            number,
            site: SiteId::new(&format!("site-{}-{}", self.seed, number / TANKS_PER_SITE)).expect("a valid name"),
            tank: TankId::new(&(number % TANKS_PER_SITE + 1).to_string()).expect("a valid name"),
            fuel,
            diameter_mm,
            length_mm,
            interval_s: self.regime.interval_s,
            lead_time_hours: 24,
            vessel: Vessel { diameter_m: real(diameter_mm.into()) / 1000.0, length_m: real(length_mm.into()) / 1000.0 },
            surroundings,
            gauge,
            demand,
            order_below: chance.between(0.2, 0.4),
            litres_per_minute_of_truck: chance.between(500.0, 1000.0),
            short_tickets: chance.happens(0.2),
        }
    }

    /// A Monday at midnight UTC, in a season that the seed chooses.
    pub(crate) fn start_s(&self) -> i64 {
        const MONDAY_5_JANUARY_2026: i64 = 1_767_571_200;
        MONDAY_5_JANUARY_2026 + 7 * 86_400 * Chance::new(self.seed, 0, 2).whole(0, 51)
    }

    pub(crate) fn end_s(&self) -> i64 {
        self.start_s() + self.days * 86_400
    }
}
