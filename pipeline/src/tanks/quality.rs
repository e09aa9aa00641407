//! How far a tank's figures of a day can be believed.
//!
//! In: what became of each reading. Out: counts by day of the tank's own calendar, and a score. Guarantees: every reading is
//! counted once, on the day on which it was measured as far as that is known, else on the day it arrived. Does not: judge
//! events; it stands next to them.

use std::collections::VecDeque;

use model::{DayQuality, ReadingRefused, TankSetup, TimestampUs, Treatment};

use super::cleaning::Cleaned;

const DAY_US: i64 = 24 * 60 * model::MICROS_PER_MINUTE;
const DAYS_MAX: usize = 62;

/// The last days of one tank.
#[derive(Clone, Debug)]
pub struct Qualities {
    offset_us: i64,
    interval_us: i64,
    newest_us: Option<i64>,
    /// Days since 1970 by the tank's wall clock.
    days: VecDeque<(i64, DayQuality)>,
}

impl Qualities {
    #[must_use]
    pub fn new(setup: &TankSetup) -> Self {
        Self {
            offset_us: i64::from(setup.utc_offset_min) * model::MICROS_PER_MINUTE,
            interval_us: i64::from(setup.expected_interval_s.max(1)) * model::MICROS_PER_SECOND,
            newest_us: None,
            days: VecDeque::new(),
        }
    }

    pub fn used(&mut self, cleaned: &Cleaned) {
        let at_us = cleaned.at_us.get() + self.offset_us;
        let late = cleaned.raw.historical || self.newest_us.is_some_and(|newest_us| at_us < newest_us);
        let gap_us = self.newest_us.map_or(0, |newest_us| at_us - newest_us);
        self.newest_us = Some(self.newest_us.map_or(at_us, |newest_us| newest_us.max(at_us)));
        if gap_us > 3 * self.interval_us {
            self.silence(at_us - gap_us + 3 * self.interval_us, at_us);
        }
        let Some(day) = self.day(at_us) else { return };
        day.used += 1;
        day.late += u32::from(late);
        let has = |is: fn(&Treatment) -> bool| u32::from(cleaned.treatments.iter().any(is));
        day.repaired += has(|treatment| {
            matches!(
                treatment,
                Treatment::Reordered
                    | Treatment::VolumeFromHeight
                    | Treatment::VolumeFromPercent
                    | Treatment::UnitSlip { .. }
            )
        });
        day.redated += has(|treatment| matches!(treatment, Treatment::Redated { .. }));
    }

    pub fn dropped(&mut self, received_at: TimestampUs, dropped: ReadingRefused) {
        let Some(day) = self.day(received_at.get() + self.offset_us) else { return };
        if dropped == ReadingRefused::Repeat { day.repeats += 1 } else { day.dropped += 1 }
    }

    /// Repeats that were counted before a restart.
    pub fn recall_repeats(&mut self, day: i64, repeats: u32) {
        if let Some((_, counts)) = self.days.iter_mut().find(|(known, _)| *known == day) {
            counts.repeats = counts.repeats.max(repeats);
        }
    }

    /// Oldest first; days without any reading are there too, between others.
    #[must_use]
    pub fn days(&self) -> impl ExactSizeIterator<Item = &(i64, DayQuality)> {
        self.days.iter()
    }

    /// Spreads a gap over the days that it touches.
    fn silence(&mut self, from_us: i64, to_us: i64) {
        let from_us = from_us.max(to_us - DAYS_MAX as i64 * DAY_US);
        let mut at_us = from_us;
        while at_us < to_us {
            let until_us = to_us.min(at_us - at_us.rem_euclid(DAY_US) + DAY_US);
            if let Some(day) = self.day(at_us) {
                day.silent_s += u32::try_from((until_us - at_us) / model::MICROS_PER_SECOND).unwrap_or(0);
            }
            at_us = until_us;
        }
    }

    /// `None` for a day before those that are kept.
    fn day(&mut self, at_us: i64) -> Option<&mut DayQuality> {
        let day = at_us.div_euclid(DAY_US);
        let expected = u32::try_from(DAY_US / self.interval_us).unwrap_or(u32::MAX);
        let place = self.days.partition_point(|(known, _)| *known < day);
        if self.days.get(place).is_none_or(|(known, _)| *known != day) {
            if place == 0 && self.days.len() >= DAYS_MAX {
                return None;
            }
            self.days.insert(place, (day, DayQuality { expected, ..DayQuality::default() }));
            if self.days.len() > DAYS_MAX {
                self.days.pop_front();
            }
        }
        let place = self.days.partition_point(|(known, _)| *known < day);
        self.days.get_mut(place).map(|(_, counts)| counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tanks::cleaning::Cleaner;
    use model::{CentiPercent, Millilitres, ProductCode, Reading, SiteId, TankId};

    fn setup() -> TankSetup {
        let ids = (SiteId::new("S-1").unwrap(), TankId::new("1").unwrap(), ProductCode::new("DIESEL").unwrap());
        let mut setup = TankSetup::new(ids.0, ids.1, ids.2, Millilitres::from_litres(10_000));
        setup.expected_interval_s = 1_800;
        setup
    }

    /// Hours at which readings are taken; every reading arrives at once.
    fn after(hours: impl Iterator<Item = f64>, change: impl Fn(&mut Reading)) -> Vec<DayQuality> {
        let (setup, mut qualities) = (setup(), Qualities::new(&setup()));
        let mut cleaner = Cleaner::new(setup.clone()).unwrap();
        for hour in hours {
            #[expect(clippy::cast_possible_truncation, reason = "hours of a few days")]
            let at = TimestampUs::from_micros(20_000 * DAY_US + (hour * 3_600e6) as i64);
            let (site, tank, product) = (setup.site.clone(), setup.tank.clone(), setup.product.clone());
            let mut reading =
                Reading { volume_ml: Some(Millilitres::from_litres(5_000)), ..Reading::new(site, tank, product, at) };
            change(&mut reading);
            match cleaner.clean(at, &reading) {
                Ok(cleaned) => qualities.used(&cleaned),
                Err(dropped) => qualities.dropped(at, dropped),
            }
        }
        qualities.days().map(|(_, counts)| *counts).collect()
    }

    fn half_hours(from: i32, to: i32) -> impl Iterator<Item = f64> {
        (2 * from..2 * to).map(|half| f64::from(half) / 2.0)
    }

    #[test]
    fn a_day_with_all_its_readings_is_whole() {
        let days = after(half_hours(0, 48), |_| {});
        let figures: Vec<_> = days.iter().map(|day| (day.expected, day.used, day.silent_s, day.score_e2())).collect();
        assert_eq!(figures, [(48, 48, 0, 10_000), (48, 48, 0, 10_000)]);
    }

    #[test]
    fn silence_counts_on_the_days_that_it_touches() {
        let days = after(half_hours(0, 18).chain(half_hours(54, 72)), |_| {});
        let figures: Vec<_> = days.iter().map(|day| (day.used, day.silent_s / 3_600, day.score_e2())).collect();
        // The last reading at 17:30, three intervals of patience, the next at 6:00 two days later.
        assert_eq!(figures, [(36, 5, 7_500), (0, 24, 0), (36, 6, 7_500)]);
    }

    #[test]
    fn what_was_repaired_counts_half() {
        let days = after(half_hours(0, 24), |reading| {
            reading.volume_ml = None;
            reading.percent_e2 = Some(CentiPercent(5_000));
        });
        assert_eq!((days[0].repaired, days[0].score_e2()), (48, 5_000));
    }

    #[test]
    fn what_cannot_be_used_is_counted_and_not_used() {
        let days = after(half_hours(0, 24), |reading| reading.status = Reading::INVALID_HEIGHT);
        assert_eq!((days[0].dropped, days[0].used, days[0].score_e2()), (48, 0, 0));
    }
}
