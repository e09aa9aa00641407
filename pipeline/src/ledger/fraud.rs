//! The two fraud rules: purchases too often, and places too far apart.
//!
//! In: a purchase, and the card's earlier approved ones. Out: what the rules found, in figures. Guarantees: offline sales
//! and places seen out of order accuse nobody. Does not: say "theft"; a finding is something to look at (a card may be
//! read twice, a station may be placed wrongly on the map).

use model::{Code, FraudRule, Location, MICROS_PER_MINUTE, RiskFinding, RiskMeasure, RuleMode};

use super::Config;
use super::decide::Case;

/// Mean radius of the earth (IUGG).
const EARTH_KM: f64 = 6371.0088;
const MICROS_PER_HOUR: f64 = 3_600_000_000.0;
/// Purchases that the velocity rule looks back on.
const LOOK_BACK_MAX: usize = 64;

pub(super) fn findings(case: &Case<'_>) -> Vec<RiskFinding> {
    let found = |rule: FraudRule, mode: RuleMode, measured: Option<RiskMeasure>| {
        measured.map(|measured| RiskFinding { rule, mode, measured })
    };
    let (velocity_mode, travel_mode) = (case.contract.velocity, case.contract.travel);
    let velocity = if velocity_mode == RuleMode::Off { None } else { velocity(case) };
    let travel = if travel_mode == RuleMode::Off { None } else { travel(case) };
    if velocity.is_none() && travel.is_none() {
        return Vec::new();
    }
    let velocity = found(FraudRule::Velocity, velocity_mode, velocity);
    let travel = found(FraudRule::ImpossibleTravel, travel_mode, travel);
    velocity.into_iter().chain(travel).collect()
}

pub(super) fn code(rule: FraudRule) -> Code {
    match rule {
        FraudRule::Velocity => Code::FraudVelocity,
        FraudRule::ImpossibleTravel => Code::FraudTravel,
    }
}

/// This purchase and the approved ones before it, within the window that ends with it.
fn velocity(case: &Case<'_>) -> Option<RiskMeasure> {
    let Config { velocity_purchases, velocity_window_us, .. } = *case.config;
    let after = case.at.plus_us(-velocity_window_us);
    let in_window = || {
        let seen = case.card.purchases.iter().rev().take(LOOK_BACK_MAX);
        seen.filter(|purchase| purchase.visit && purchase.at > after && purchase.at <= case.at).count()
    };
    let before = if case.card.last_visit > after { in_window() } else { 0 };
    let purchases = before + 1;
    (purchases >= velocity_purchases).then(|| RiskMeasure::Velocity {
        purchases: whole(purchases),
        minutes: whole(velocity_window_us / MICROS_PER_MINUTE),
        unusual_from: whole(velocity_purchases),
    })
}

fn whole<N: TryInto<u32>>(number: N) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

/// The way from the last purchase, as a road would go. Whole kilometres and km/h: the answer must not depend on the last
/// bit of a cosine.
fn travel(case: &Case<'_>) -> Option<RiskMeasure> {
    let Config { travel_kmh_max, travel_km_min, travel_road_percent, .. } = *case.config;
    let (last, from) = case.card.last_seen?;
    let to = case.transaction.location?;
    let elapsed_us = case.at.get() - last.get();
    if elapsed_us < 0 || from == to {
        return None;
    }
    let km = (great_circle_km(from, to) * f64::from(travel_road_percent) / 100.0).round();
    if km < f64::from(travel_km_min) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is not negative")]
    let rounded = |value: f64| value as u32;
    let minutes = whole(elapsed_us / MICROS_PER_MINUTE);
    if elapsed_us == 0 {
        return Some(RiskMeasure::Travel { km: rounded(km), minutes, kmh: None, kmh_most: travel_kmh_max });
    }
    #[expect(clippy::cast_precision_loss, reason = "a time between purchases is far below 2^53 us")]
    let kmh = (km * MICROS_PER_HOUR / elapsed_us as f64).round();
    (kmh > f64::from(travel_kmh_max)).then(|| RiskMeasure::Travel {
        km: rounded(km),
        minutes,
        kmh: Some(rounded(kmh)),
        kmh_most: travel_kmh_max,
    })
}

/// The haversine formula (R. W. Sinnott, Virtues of the Haversine, 1984).
fn great_circle_km(from: Location, to: Location) -> f64 {
    let radians = |e6: i32| (f64::from(e6) / 1e6).to_radians();
    let (from_lat, to_lat) = (radians(from.lat_e6), radians(to.lat_e6));
    let half = |a: f64, b: f64| ((b - a) / 2.0).sin().powi(2);
    let a = half(from_lat, to_lat) + from_lat.cos() * to_lat.cos() * half(radians(from.lon_e6), radians(to.lon_e6));
    2.0 * EARTH_KM * a.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moscow_is_634_km_from_saint_petersburg() {
        let moscow = Location { lat_e6: 55_755_800, lon_e6: 37_617_300 };
        let petersburg = Location { lat_e6: 59_939_000, lon_e6: 30_315_800 };
        let km = great_circle_km(moscow, petersburg);
        assert!((km - 634.0).abs() < 1.5, "{km}");
        assert!(great_circle_km(moscow, moscow) < 1e-6);
    }
}
