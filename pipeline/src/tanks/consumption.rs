//! What left a tank, day by day.
//!
//! In: levels in order of time, deliveries with their corrections. Out: one entry a day of the tank's own calendar.
//! Guarantees: consumption is never negative, and opening + delivered + gained − consumed = closing, to the millilitre; a
//! delivery counts whole, on the day on which it began. Does not: say who drew it.

use std::collections::{BTreeMap, VecDeque};

use model::{Millilitres, TimestampUs};

const DAY_US: i64 = 24 * 60 * model::MICROS_PER_MINUTE;
/// A year and a month: forecasts compare with the year before.
const DAYS_MAX: usize = 400;
const DELIVERIES_MAX: usize = 2_000;
/// Levels that are kept to find the one at the beginning of a delivery.
const LEVELS_MAX: usize = 4_000;

/// A day of a tank. Days are counted from 1970 by the tank's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    pub day: i64,
    pub opening_ml: Millilitres,
    pub closing_ml: Millilitres,
    pub delivered_ml: Millilitres,
    pub consumed_ml: Millilitres,
    /// More than opening and deliveries explain: warmth, noise, or a delivery that nobody saw.
    pub gained_ml: Millilitres,
    /// A level was measured in it; otherwise both ends are drawn through a gap, good for a picture and not for a bill.
    pub measured: bool,
}

impl Day {
    fn new(day: i64, opening: Millilitres, closing: Millilitres, delivered: Millilitres, measured: bool) -> Self {
        let before = opening.plus(delivered).unwrap_or(opening);
        Self {
            day,
            opening_ml: opening,
            closing_ml: closing,
            delivered_ml: delivered,
            consumed_ml: before.less(closing),
            gained_ml: closing.less(before),
            measured,
        }
    }

    /// Monday is 0.
    #[must_use]
    pub fn weekday(&self) -> usize {
        // 1970-01-01 was a Thursday.
        usize::try_from((self.day + 3).rem_euclid(7)).unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Brought {
    began_us: i64,
    ended_us: i64,
    volume: Millilitres,
}

/// The days of one tank.
#[derive(Clone, Debug, Default)]
pub struct Consumption {
    offset_us: i64,
    levels: VecDeque<(i64, Millilitres)>,
    /// By number: a correction replaces what it corrects.
    deliveries: BTreeMap<u32, Brought>,
    /// The level at the beginning of a day, and whether anything was measured in the day before.
    openings: VecDeque<(i64, Millilitres, bool)>,
}

impl Consumption {
    #[must_use]
    pub fn new(utc_offset_min: i16) -> Self {
        Self { offset_us: i64::from(utc_offset_min) * model::MICROS_PER_MINUTE, ..Self::default() }
    }

    /// Levels come in order; what is late changes no day.
    pub fn level(&mut self, at: TimestampUs, volume: Millilitres) {
        let at_us = at.get() + self.offset_us;
        if let Some((before_us, before)) = self.levels.back().copied() {
            if at_us <= before_us {
                return;
            }
            let (first, last) = (before_us.div_euclid(DAY_US) + 1, at_us.div_euclid(DAY_US));
            for day in first.max(last - DAYS_MAX as i64)..=last {
                let midnight_us = day * DAY_US;
                let level = between(before.get(), volume.get(), midnight_us - before_us, at_us - before_us);
                self.openings.push_back((day, level, before_us >= midnight_us - DAY_US));
            }
        } else if at_us.rem_euclid(DAY_US) == 0 {
            self.openings.push_back((at_us / DAY_US, volume, false));
        }
        self.levels.push_back((at_us, volume));
        while self.levels.len() > LEVELS_MAX {
            self.levels.pop_front();
        }
        while self.openings.len() > DAYS_MAX {
            self.openings.pop_front();
        }
    }

    /// A delivery, or its correction; `None` when it is withdrawn.
    pub fn delivery(&mut self, number: u32, brought: Option<(TimestampUs, TimestampUs, Millilitres)>) {
        match brought {
            None => _ = self.deliveries.remove(&number),
            Some((began, ended, volume)) => {
                let (began_us, ended_us) = (began.get() + self.offset_us, ended.get() + self.offset_us);
                self.deliveries.insert(number, Brought { began_us, ended_us, volume });
                while self.deliveries.len() > DELIVERIES_MAX {
                    self.deliveries.pop_first();
                }
                self.move_midnights(began_us, ended_us);
            }
        }
    }

    /// A midnight inside a delivery would cut it in two: the day after it opens with the level after all was brought.
    fn move_midnights(&mut self, began_us: i64, ended_us: i64) {
        for day in began_us.div_euclid(DAY_US) + 1..=ended_us.div_euclid(DAY_US) {
            let after = self.levels.iter().find(|(at_us, _)| *at_us >= ended_us).map(|(_, level)| *level);
            if let (Some(after), Some(opening)) = (after, self.openings.iter_mut().find(|opening| opening.0 == day)) {
                opening.1 = after;
            }
        }
    }

    /// All whole days that are kept; the day on which the first level came is not whole.
    #[must_use]
    pub fn days(&self) -> Vec<Day> {
        let day = |(one, next): (&(i64, Millilitres, bool), &(i64, Millilitres, bool))| {
            let (from_us, to_us) = (one.0 * DAY_US, next.0 * DAY_US);
            let brought = self.deliveries.values().filter(|brought| (from_us..to_us).contains(&brought.began_us));
            let delivered = brought.fold(Millilitres::ZERO, |sum, brought| sum.plus(brought.volume).unwrap_or(sum));
            Day::new(one.0, one.1, next.1, delivered, next.2)
        };
        self.openings.iter().zip(self.openings.iter().skip(1)).map(day).collect()
    }
}

/// On the line from one level to the next.
fn between(from: u64, to: u64, part_us: i64, span_us: i64) -> Millilitres {
    let rise = i128::from(to) - i128::from(from);
    let level = i128::from(from) + rise * i128::from(part_us) / i128::from(span_us.max(1));
    u64::try_from(level).ok().and_then(|ml| Millilitres::new(ml).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hour(hours: i64) -> TimestampUs {
        TimestampUs::from_micros(hours * 3_600_000_000)
    }

    fn litres(litres: u32) -> Millilitres {
        Millilitres::from_litres(litres)
    }

    fn shown(consumption: &Consumption) -> Vec<(u64, u64, u64)> {
        let ml = |volume: Millilitres| volume.get() / 1000;
        consumption.days().iter().map(|day| (ml(day.consumed_ml), ml(day.delivered_ml), ml(day.gained_ml))).collect()
    }

    #[test]
    fn a_day_is_what_was_there_and_came_less_what_is_left() {
        let mut tank = Consumption::new(0);
        for (at, level) in [(0, 9000), (12, 8000), (14, 18_000), (24, 17_500), (48, 16_000), (60, 15_000)] {
            tank.level(hour(at), litres(level));
        }
        assert_eq!(shown(&tank), [(0, 0, 8_500), (1_500, 0, 0)], "nobody told of the truck yet");
        tank.delivery(1, Some((hour(12), hour(14), litres(10_100))));
        assert_eq!(shown(&tank), [(1_600, 10_100, 0), (1_500, 0, 0)]);
        tank.delivery(1, Some((hour(12), hour(14), litres(10_000))));
        assert_eq!(shown(&tank)[0], (1_500, 10_000, 0), "corrected");
        tank.delivery(1, None);
        assert_eq!(shown(&tank)[0], (0, 0, 8_500), "withdrawn");
    }

    #[test]
    fn a_truck_at_midnight_is_not_cut_in_two() {
        let mut tank = Consumption::new(0);
        for (at, level) in [(0, 9_000), (23, 5_000), (25, 15_000), (48, 12_000), (50, 12_000)] {
            tank.level(hour(at), litres(level));
        }
        tank.delivery(1, Some((hour(23), hour(25), litres(10_000))));
        assert_eq!(shown(&tank), [(4_000, 10_000, 0), (3_000, 0, 0)]);
    }

    #[test]
    fn the_day_begins_at_the_tanks_own_midnight() {
        let mut tank = Consumption::new(300);
        for (at, level) in [(0, 9_000), (19, 7_100), (43, 4_700), (44, 4_600)] {
            tank.level(hour(at), litres(level));
        }
        assert_eq!(shown(&tank), [(2_400, 0, 0)], "the first day is not whole");
    }

    proptest! {
        #[test]
        fn mass_is_kept_and_consumption_is_never_negative(
            steps in proptest::collection::vec((1_i64..40, 0_u32..60_000), 2..60),
            trucks in proptest::collection::vec((0_i64..600, 0_i64..20, 0_u32..30_000), 0..10),
        ) {
            let mut tank = Consumption::new(-480);
            let mut at = 0;
            for (hours, level) in steps {
                at += hours;
                tank.level(hour(at), litres(level));
            }
            for (number, (began, length, volume)) in trucks.into_iter().enumerate() {
                tank.delivery(number as u32, Some((hour(began), hour(began + length), litres(volume))));
            }
            let days = tank.days();
            for day in &days {
                let before = day.opening_ml.get() + day.delivered_ml.get() + day.gained_ml.get();
                prop_assert_eq!(before, day.consumed_ml.get() + day.closing_ml.get());
            }
            for pair in days.windows(2) {
                prop_assert_eq!(pair[0].closing_ml, pair[1].opening_ml);
                prop_assert_eq!(pair[0].day + 1, pair[1].day);
            }
        }
    }
}
