//! How long a tank lasts, and when to order how much.
//!
//! In: the level, the days before, the registration. Out: days until the low level and until it is empty, as a likely and as
//! a cautious figure, and an order. Guarantees: the cautious figure is never the later one; days through a gap do not count;
//! without a week of days there is no forecast. Does not: know holidays, prices or weather.

use model::{Millilitres, TankSetup, TimestampUs};

use super::consumption::Day;

const DAY_US: i64 = 24 * 60 * model::MICROS_PER_MINUTE;
/// Days that count, and the least of them.
const DAYS_MAX: usize = 56;
const DAYS_MIN: usize = 7;
/// Nothing is said about what is further away.
const HORIZON_DAYS: usize = 365;
/// One time of ten it is worse than this many standard deviations.
const TENTH: f64 = 1.2816;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// The level that it rests on, and its age is the reader's to judge.
    pub measured_at_us: TimestampUs,
    pub level_ml: Millilitres,
    /// A mean day of the weeks before.
    pub daily_ml: Millilitres,
    pub days_to_low: Span,
    pub days_to_empty: Span,
    pub order: Order,
}

/// Days from the measurement; `None` beyond a year.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// One time of ten it comes earlier.
    pub p10: Option<f64>,
    pub p50: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Ordered later, it may come too late; `None` when that is beyond a year.
    pub by_us: Option<TimestampUs>,
    /// What the tank will safely take when the truck is there, not more than a truck brings.
    pub quantity_ml: Millilitres,
}

/// `low` is the registered low level, or a tenth of the capacity.
#[must_use]
pub fn forecast(setup: &TankSetup, measured_at: TimestampUs, level: Millilitres, days: &[Day]) -> Option<Forecast> {
    let profile = Profile::of(days)?;
    let capacity = setup.capacity_ml.get();
    let low = setup.thresholds.low_ml.map_or(capacity / 10, Millilitres::get);
    let local_us = measured_at.get() + i64::from(setup.utc_offset_min) * model::MICROS_PER_MINUTE;
    let until = |left: u64| {
        let usable = level.get().saturating_sub(left) as f64;
        Span { p10: profile.lasts(local_us, usable, TENTH), p50: profile.lasts(local_us, usable, 0.0) }
    };
    let days_to_low = until(low);
    let lead_days = f64::from(setup.lead_time_hours) / 24.0;
    let by_us = days_to_low.p10.map(|days| {
        #[expect(clippy::cast_possible_truncation, reason = "at most a year")]
        let wait_us = ((days - lead_days).max(0.0) * DAY_US as f64) as i64;
        measured_at.plus_us(wait_us)
    });
    // The truck comes when the lead time has passed after the order; by then the tank is emptier.
    let arrives = by_us.map_or(lead_days, |by| (by.get() - measured_at.get()) as f64 / DAY_US as f64 + lead_days);
    let left = level.get().saturating_sub(profile.draws(local_us, arrives));
    let safe = u64::try_from(u128::from(capacity) * u128::from(setup.safe_fill.0) / 10_000).unwrap_or(capacity);
    let room = Millilitres::new(safe.saturating_sub(left)).unwrap_or_default();
    let quantity_ml = setup.truck_ml.map_or(room, |truck| truck.min(room));
    Some(Forecast {
        measured_at_us: measured_at,
        level_ml: level,
        daily_ml: profile.daily(),
        days_to_low,
        days_to_empty: until(0),
        order: Order { by_us, quantity_ml },
    })
}

/// Mean consumption by weekday, ml, and how much a day scatters around it.
struct Profile {
    mean: [f64; 7],
    deviation: f64,
}

impl Profile {
    fn of(days: &[Day]) -> Option<Self> {
        let recent: Vec<&Day> = days.iter().rev().filter(|day| day.measured).take(DAYS_MAX).collect();
        if recent.len() < DAYS_MIN {
            return None;
        }
        let count = recent.len() as f64;
        let all = recent.iter().map(|day| day.consumed_ml.get() as f64).sum::<f64>() / count;
        let mut mean = [0.0; 7];
        for (weekday, mean) in mean.iter_mut().enumerate() {
            let own: Vec<f64> =
                recent.iter().filter(|day| day.weekday() == weekday).map(|day| day.consumed_ml.get() as f64).collect();
            // Few days of a kind say little: they are drawn to the mean of all, as if one such day had been mean.
            *mean = (own.iter().sum::<f64>() + all) / (own.len() as f64 + 1.0);
        }
        let squares =
            recent.iter().map(|day| (day.consumed_ml.get() as f64 - mean[day.weekday()]).powi(2)).sum::<f64>();
        Some(Self { mean, deviation: (squares / (count - 1.0)).sqrt() })
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^53")]
    fn daily(&self) -> Millilitres {
        Millilitres::new((self.mean.iter().sum::<f64>() / 7.0).round() as u64).unwrap_or_default()
    }

    /// What is drawn on the mean in the time until the end of each day to come: (days passed, ml).
    fn course(&self, local_us: i64) -> impl Iterator<Item = (f64, f64)> + '_ {
        let today = local_us.div_euclid(DAY_US);
        let rest = 1.0 - local_us.rem_euclid(DAY_US) as f64 / DAY_US as f64;
        (0..=HORIZON_DAYS).scan((0.0, 0.0), move |(passed, drawn), ahead| {
            let share = if ahead == 0 { rest } else { 1.0 };
            let weekday = usize::try_from((today + ahead as i64 + 3).rem_euclid(7)).unwrap_or(0);
            *passed += share;
            *drawn += share * self.mean[weekday];
            Some((*passed, *drawn))
        })
    }

    /// Days until `usable` is drawn, with consumption that many standard deviations above the mean.
    fn lasts(&self, local_us: i64, usable: f64, deviations: f64) -> Option<f64> {
        let mut before = (0.0, 0.0);
        for (passed, drawn) in self.course(local_us) {
            let drawn = drawn + deviations * self.deviation * passed.sqrt();
            if drawn >= usable {
                let share = if drawn > before.1 { ((usable - before.1) / (drawn - before.1)).max(0.0) } else { 0.0 };
                return Some(before.0 + (passed - before.0) * share);
            }
            before = (passed, drawn);
        }
        None
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^53")]
    fn draws(&self, local_us: i64, days: f64) -> u64 {
        let mut before = (0.0, 0.0);
        for (passed, drawn) in self.course(local_us) {
            if passed >= days {
                return (before.1 + (drawn - before.1) * (days - before.0) / (passed - before.0)).max(0.0) as u64;
            }
            before = (passed, drawn);
        }
        before.1 as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ProductCode, SiteId, TankId};
    use proptest::prelude::*;

    fn setup() -> TankSetup {
        let ids = (SiteId::new("S-1").unwrap(), TankId::new("1").unwrap(), ProductCode::new("DIESEL").unwrap());
        let mut setup = TankSetup::new(ids.0, ids.1, ids.2, litres(30_000));
        setup.truck_ml = Some(litres(24_000));
        setup
    }

    fn litres(litres: u32) -> Millilitres {
        Millilitres::from_litres(litres)
    }

    fn day(day: i64, consumed: u32) -> Day {
        let zero = Millilitres::ZERO;
        let (opening_ml, consumed_ml) = (litres(consumed), litres(consumed));
        Day { day, opening_ml, closing_ml: zero, delivered_ml: zero, consumed_ml, gained_ml: zero, measured: true }
    }

    fn midnight(day: i64) -> TimestampUs {
        TimestampUs::from_micros(day * DAY_US)
    }

    #[test]
    fn a_tank_that_gives_a_thousand_litres_a_day_lasts_as_many_days_as_it_has_thousands() {
        let days: Vec<Day> = (0..28).map(|place| day(place, 1_000)).collect();
        let forecast = forecast(&setup(), midnight(28), litres(13_000), &days).unwrap();
        assert_eq!((forecast.days_to_low.p50, forecast.days_to_empty.p50), (Some(10.0), Some(13.0)));
        assert_eq!(forecast.days_to_low.p10, Some(10.0), "nothing scatters");
        // Low on day 38, two days of lead time; by then 3,000 L are left of 28,500 that are safe.
        assert_eq!(forecast.order.by_us, Some(midnight(36)));
        assert_eq!(forecast.order.quantity_ml, litres(24_000), "one truck");
        assert_eq!(forecast.daily_ml, litres(1_000));
    }

    #[test]
    fn a_weekend_lasts_longer_than_two_days_of_the_week() {
        // Day 4 of 1970 was a Monday.
        let days: Vec<Day> = (4..60).map(|place| day(place, if (place - 4) % 7 < 5 { 1_400 } else { 100 })).collect();
        let until =
            |from: i64| forecast(&setup(), midnight(from), litres(3_000 + 2_000), &days).unwrap().days_to_low.p50;
        let (monday, saturday) = (until(60).unwrap(), until(65).unwrap());
        assert!((1.3..1.8).contains(&monday) && (2.9..3.4).contains(&saturday), "{monday} {saturday}");
    }

    #[test]
    fn without_a_week_of_measured_days_there_is_no_forecast() {
        let mut days: Vec<Day> = (0..7).map(|place| day(place, 1_000)).collect();
        assert!(forecast(&setup(), midnight(8), litres(9_000), &days).is_some());
        days[3].measured = false;
        assert_eq!(forecast(&setup(), midnight(8), litres(9_000), &days), None);
    }

    #[test]
    fn a_tank_that_nobody_uses_is_empty_never() {
        let days: Vec<Day> = (0..30).map(|place| day(place, 0)).collect();
        let forecast = forecast(&setup(), midnight(30), litres(9_000), &days).unwrap();
        assert_eq!((forecast.days_to_empty.p50, forecast.order.by_us), (None, None));
    }

    proptest! {
        #[test]
        fn the_cautious_figure_is_never_the_later_one(
            consumed in proptest::collection::vec(0_u32..5_000, 7..60), level in 0_u32..30_000,
        ) {
            let days: Vec<Day> = consumed.iter().enumerate().map(|(place, litres)| day(place as i64, *litres)).collect();
            let forecast = forecast(&setup(), midnight(100), litres(level), &days).unwrap();
            for span in [forecast.days_to_low, forecast.days_to_empty] {
                let far = |days: Option<f64>| days.unwrap_or(f64::INFINITY);
                prop_assert!(far(span.p10) <= far(span.p50) + 1e-9, "{span:?}");
            }
            prop_assert!(far_or(forecast.days_to_low.p50) <= far_or(forecast.days_to_empty.p50) + 1e-9);
            prop_assert!(forecast.order.quantity_ml <= litres(24_000));
        }
    }

    fn far_or(days: Option<f64>) -> f64 {
        days.unwrap_or(f64::INFINITY)
    }
}
