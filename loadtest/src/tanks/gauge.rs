//! What a gauge makes of a tank: noise, steps, waves after a delivery, a sensor that lags, a chart that is slightly wrong.

use model::{CentiCelsius, DeciMillimetres, Millilitres, Reading, TimestampUs};

use super::chance::{Chance, real, rounded};
use super::contents::Contents;
use super::plan::TankPlan;

/// Waves fade to a third in this time.
const WAVES_FADE_S: f64 = 150.0;
const WAVES_MM: f64 = 4.0;
/// Pumps make ripples.
const RIPPLES_MM: f64 = 0.1;
/// Fuel of another warmth needs this long until the sensor sees the mean of both.
const SENSOR_FOLLOWS_S: f64 = 1200.0;

/// What only the gauge knows: since when the surface is calm, and how warm it thinks the fuel is.
pub(crate) struct Gauge {
    chance: Chance,
    filled_until_s: Option<i64>,
    felt_celsius: f64,
    read_at_s: i64,
    seq: u64,
}

impl Gauge {
    pub(crate) fn new(chance: Chance, contents: &Contents) -> Self {
        Self { chance, filled_until_s: None, felt_celsius: contents.celsius, read_at_s: contents.at_s, seq: 0 }
    }

    /// A reading with all columns; whoever sees less leaves some out.
    pub(crate) fn read(&mut self, plan: &TankPlan, contents: &Contents, water_mm: f64) -> Reading {
        let follows = 1.0 - (-real(contents.at_s - self.read_at_s) / SENSOR_FOLLOWS_S).exp();
        self.felt_celsius += (contents.celsius - self.felt_celsius) * follows;
        self.read_at_s = contents.at_s;
        self.seq += 1;
        if contents.filling() {
            self.filled_until_s = Some(contents.at_s);
        }
        let waves = self.filled_until_s.map_or(0.0, |until_s| {
            let calm_for_s = real(contents.at_s - until_s);
            WAVES_MM * (-calm_for_s / WAVES_FADE_S).exp()
        });
        let ripples = if contents.pumps_running() > 0 { RIPPLES_MM } else { 0.0 };
        let noise_mm =
            self.chance.normal(plan.gauge.noise_mm) + self.chance.normal(waves) + self.chance.normal(ripples);
        let water = plan.vessel.litres_at(water_mm / 1000.0);
        let surface_mm = plan.vessel.height_m((contents.litres() + water) / plan.gauge.chart_ratio) * 1000.0;
        let step_mm = plan.gauge.step_mm;
        let seen_mm =
            (real(rounded((surface_mm + noise_mm) / step_mm)) * step_mm).clamp(0.0, plan.vessel.diameter_m * 1000.0);
        let water_mm = real(rounded(water_mm + self.chance.normal(0.3))).clamp(0.0, seen_mm);
        let litres = (plan.vessel.litres_at(seen_mm / 1000.0) - plan.vessel.litres_at(water_mm / 1000.0)).max(0.0);
        let celsius = self.felt_celsius + plan.gauge.celsius_bias + self.chance.normal(0.02);
        let mut reading = Reading::new(plan.site.clone(), plan.tank.clone(), plan.fuel.product(), at(contents.at_s));
        reading.seq = Some(self.seq);
        reading.volume_ml = Some(millilitres(real(rounded(litres / plan.gauge.step_litres)) * plan.gauge.step_litres));
        reading.height_dmm = Some(DeciMillimetres(tenths(seen_mm)));
        reading.water_dmm = Some(DeciMillimetres(tenths(water_mm)));
        reading.temperature_cc = Some(CentiCelsius(i32::try_from(rounded(celsius * 100.0)).unwrap_or_default()));
        if plan.gauge.tells_deliveries && contents.filling() {
            reading.status |= Reading::DELIVERY;
        }
        reading
    }
}

pub(crate) fn at(second: i64) -> TimestampUs {
    TimestampUs::from_micros(second * 1_000_000)
}

/// Litres as the wire has them. What is measured in a tank is far below the largest volume.
pub(crate) fn millilitres(litres: f64) -> Millilitres {
    Millilitres::new(rounded(litres.max(0.0) * 1000.0).unsigned_abs()).unwrap_or_default()
}

fn tenths(mm: f64) -> u32 {
    u32::try_from(rounded(mm * 10.0)).unwrap_or_default()
}
