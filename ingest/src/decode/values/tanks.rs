//! Registrations of tanks, and fuel that came or went: values that no tank has.

use std::fmt::Display;

use model::{CentiPercent, Chart, Column, DatedChart, Density, Millilitres, SetupMessage, TankThresholds};

use super::{HEIGHT_MM_MAX, refused, utc_offset};
use crate::decode::Refusal;

/// From light LPG to crude: a density in whole kg/m³ or in t/m³ lies outside.
const DENSITY_E1: std::ops::RangeInclusive<u32> = 3_000..=12_000;
const CHARTS_MAX: usize = 100;
const POINTS_MIN: usize = 2;
/// Tanks lean by a few percent at most.
const TILT_E4_MAX: i32 = 1_000;
/// A gauge that measures less often than once a month follows no tank.
const INTERVAL_S_MAX: u32 = 31 * 24 * 60 * 60;
const LEAD_TIME_HOURS_MAX: u32 = 366 * 24;
const SENTINELS_MAX: usize = 100;
const FULL: CentiPercent = CentiPercent(10_000);

/// A registration that readings can be measured by.
pub(in crate::decode) fn setup(setup: &SetupMessage) -> Result<(), Refusal> {
    moved("capacity_ml", setup.capacity_ml)?;
    if !(1..=FULL.0).contains(&setup.safe_fill.0) {
        return refused(format!(
            "safe_fill: {}, from 1 to {} is possible (hundredths of a percent)",
            setup.safe_fill.0, FULL.0
        ));
    }
    if let Some(Density(density)) = setup.density_15
        && !DENSITY_E1.contains(&density)
    {
        let (least, most) = (DENSITY_E1.start(), DENSITY_E1.end());
        return refused(format!("density_15: {density}, from {least} to {most} is possible (tenths of kg/m³)"));
    }
    at_least_one("expected_interval_s", Some(setup.expected_interval_s))?;
    at_least_one("grace_s", setup.grace_s)?;
    at_least_one("pump_flow_ml_per_min", Some(setup.pump_flow_ml_per_min))?;
    at_most("expected_interval_s", setup.expected_interval_s, INTERVAL_S_MAX)?;
    at_most("lead_time_hours", setup.lead_time_hours, LEAD_TIME_HOURS_MAX)?;
    if let Some(truck) = setup.truck_ml {
        moved("truck_ml", truck)?;
    }
    utc_offset(setup.utc_offset_min)?;
    at_most("sentinels", setup.sentinels.len(), SENTINELS_MAX)?;
    swappable(&setup.swappable)?;
    thresholds(&setup.thresholds, setup.capacity_ml)?;
    at_most("charts", setup.charts.len(), CHARTS_MAX)?;
    for (place, dated) in setup.charts.iter().enumerate() {
        let field = format!("charts[{place}]");
        if setup.charts[..place].iter().any(|other| other.from_us == dated.from_us) {
            return refused(format!("{field}.from_us: another table holds from the same moment"));
        }
        chart(&field, dated)?;
    }
    Ok(())
}

/// Fuel that was sold or brought: more than nothing.
pub(in crate::decode) fn moved(field: &str, volume: Millilitres) -> Result<(), Refusal> {
    if volume == Millilitres::ZERO { refused(format!("{field}: 0")) } else { Ok(()) }
}

fn at_least_one<N: Copy + Default + PartialEq>(field: &str, value: Option<N>) -> Result<(), Refusal> {
    if value == Some(N::default()) { refused(format!("{field}: 0")) } else { Ok(()) }
}

fn at_most<N: Copy + Display + PartialOrd>(field: &str, value: N, most: N) -> Result<(), Refusal> {
    if value > most { refused(format!("{field}: {value}, at most {most} is possible")) } else { Ok(()) }
}

fn swappable(columns: &[Column]) -> Result<(), Refusal> {
    for (place, column) in columns.iter().enumerate() {
        if !matches!(column, Column::Volume | Column::Height | Column::Water | Column::Temperature) {
            return refused(format!(
                "swappable[{place}]: volume, height, water and temperature can be put back, no others"
            ));
        }
        if columns[..place].contains(column) {
            return refused(format!("swappable[{place}]: named twice"));
        }
    }
    Ok(())
}

/// Alarms lie in the tank, and one over the other.
fn thresholds(thresholds: &TankThresholds, capacity: Millilitres) -> Result<(), Refusal> {
    let TankThresholds { low_low_ml, low_ml, high_ml, high_high_ml, .. } = thresholds;
    let levels = [("low_low_ml", low_low_ml), ("low_ml", low_ml), ("high_ml", high_ml), ("high_high_ml", high_high_ml)];
    let given: Vec<(&str, Millilitres)> =
        levels.into_iter().filter_map(|(name, level)| Some((name, (*level)?))).collect();
    for (name, level) in &given {
        at_most(&format!("thresholds.{name}"), level.get(), capacity.get())?;
    }
    for pair in given.windows(2) {
        let [(low, below), (high, above)] = pair else { continue };
        if below >= above {
            return refused(format!("thresholds.{high}: {}, not above {low}", above.get()));
        }
    }
    at_least_one("thresholds.leak_ml_per_hour", thresholds.leak_ml_per_hour)?;
    if let Some(least) = thresholds.delivery_min_ml {
        moved("thresholds.delivery_min_ml", least)?;
    }
    if let Some(least) = thresholds.loss_min_ml {
        moved("thresholds.loss_min_ml", least)?;
    }
    Ok(())
}

fn chart(field: &str, dated: &DatedChart) -> Result<(), Refusal> {
    let height_dmm_max = HEIGHT_MM_MAX * 10;
    at_most(&format!("{field}.offset_dmm"), dated.offset_dmm.unsigned_abs(), height_dmm_max)?;
    match &dated.chart {
        Chart::Points(points) => {
            let field = format!("{field}.chart.points");
            if points.len() < POINTS_MIN {
                return refused(format!("{field}: {}, at least {POINTS_MIN} make a table", points.len()));
            }
            for (place, pair) in points.windows(2).enumerate() {
                if pair[0].height_dmm >= pair[1].height_dmm {
                    return refused(format!(
                        "{field}[{}].height_dmm: {} does not rise",
                        place + 1,
                        pair[1].height_dmm.0
                    ));
                }
                if pair[0].volume_ml >= pair[1].volume_ml {
                    let volume = pair[1].volume_ml.get();
                    return refused(format!("{field}[{}].volume_ml: {volume} does not rise", place + 1));
                }
            }
            let top = points.last().map_or(0, |point| point.height_dmm.0);
            at_most(&format!("{field}[{}].height_dmm", points.len() - 1), top, height_dmm_max)
        }
        Chart::HorizontalCylinder { diameter_dmm, length_dmm, tilt_e4, probe_dmm } => {
            let field = format!("{field}.chart.horizontal_cylinder");
            for (name, size) in [("diameter_dmm", *diameter_dmm), ("length_dmm", *length_dmm)] {
                at_least_one(&format!("{field}.{name}"), Some(size.0))?;
                at_most(&format!("{field}.{name}"), size.0, height_dmm_max)?;
            }
            if tilt_e4.abs() > TILT_E4_MAX {
                return refused(format!("{field}.tilt_e4: {tilt_e4}, at most {TILT_E4_MAX} either way"));
            }
            match probe_dmm {
                Some(probe) => at_most(&format!("{field}.probe_dmm"), probe.0, length_dmm.0),
                None => Ok(()),
            }
        }
    }
}
