//! The two fraud rules: purchases too often, and places too far apart.
//!
//! In: a purchase, and the card's earlier approved ones. Out: what the rules found, with the measured value in words.
//! Guarantees: offline sales and places seen out of order accuse nobody. Does not: say "theft"; a finding is something to
//! look at (a card may be read twice, a station may be placed wrongly on the map).

use model::{Code, FraudRule, Location, MICROS_PER_MINUTE, RiskFinding, RuleMode};

use super::Config;
use super::contract::RECENT_MAX;
use super::decide::Case;

/// Mean radius of the earth (IUGG).
const EARTH_KM: f64 = 6371.0088;
const MICROS_PER_HOUR: f64 = 3_600_000_000.0;

pub(super) fn findings(case: &Case<'_>) -> Vec<RiskFinding> {
    let found = |rule: FraudRule, value: &dyn Fn() -> Option<String>| {
        let mode = case.contract.rule(rule);
        let value = if mode == RuleMode::Off { None } else { value() };
        value.map(|value| RiskFinding { rule, mode, value })
    };
    let velocity = found(FraudRule::Velocity, &|| velocity(case));
    let travel = found(FraudRule::ImpossibleTravel, &|| travel(case));
    velocity.into_iter().chain(travel).collect()
}

pub(super) fn code(rule: FraudRule) -> Code {
    match rule {
        FraudRule::Velocity => Code::FraudVelocity,
        FraudRule::ImpossibleTravel => Code::FraudTravel,
    }
}

/// This purchase and the approved ones before it, within the window that ends with it.
fn velocity(case: &Case<'_>) -> Option<String> {
    let Config { velocity_purchases, velocity_window_us, .. } = *case.config;
    let before = case.card.purchases_between(case.at().plus_us(-velocity_window_us), case.at());
    let purchases = before + 1;
    let minutes = velocity_window_us / MICROS_PER_MINUTE;
    (purchases >= velocity_purchases.min(RECENT_MAX))
        .then(|| format!("{purchases} purchases in {minutes} min, from {velocity_purchases} on it is unusual"))
}

/// The way from the last purchase, as a road would go. Whole kilometres and km/h: the words must not depend on the last
/// bit of a cosine.
fn travel(case: &Case<'_>) -> Option<String> {
    let Config { travel_kmh_max, travel_km_min, travel_road_percent, .. } = *case.config;
    let (last, from) = case.card.last_seen?;
    let to = case.transaction.location?;
    let elapsed_us = case.at().get() - last.get();
    if elapsed_us < 0 {
        return None;
    }
    let km = (great_circle_km(from, to) * f64::from(travel_road_percent) / 100.0).round();
    if km < f64::from(travel_km_min) {
        return None;
    }
    let minutes = elapsed_us / MICROS_PER_MINUTE;
    if elapsed_us == 0 {
        return Some(format!("{km} km from the last purchase at the same moment"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a time between purchases is far below 2^53 us")]
    let kmh = (km * MICROS_PER_HOUR / elapsed_us as f64).round();
    (kmh > f64::from(travel_kmh_max)).then(|| {
        format!(
            "{km} km from the last purchase in {minutes} min: {kmh} km/h, at most {travel_kmh_max} km/h is believed"
        )
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
