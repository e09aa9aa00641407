//! How much is usually drawn from a tank, by hour and weekday.
//!
//! In: what was drawn between samples. Out: what is usually drawn between two moments. Guarantees: small; what is older than
//! some weeks fades. Does not: say anything before a week was seen.

const HOUR_US: i64 = 60 * model::MICROS_PER_MINUTE;
const DAY_US: i64 = 24 * HOUR_US;
/// Each hour that is seen makes all before it count less: by half in about five weeks.
const FADES: f64 = 0.98;
/// Hours of a kind that must have been seen.
const SEEN_MIN: f64 = 5.0;

/// Sums of litres drawn and hours watched.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    ml: f64,
    hours: f64,
}

impl Sum {
    fn add(&mut self, ml: f64, hours: f64) {
        let fades = FADES.powf(hours);
        self.ml = self.ml * fades + ml;
        self.hours = self.hours * fades + hours;
    }

    fn rate(&self) -> f64 {
        if self.hours > 0.0 { self.ml / self.hours } else { 0.0 }
    }
}

/// An hour whose drops were watched so long is known well enough to call one of them strange.
const KNOWN_HOURS: f64 = 14.0;
/// So many times the third largest drop of weeks was no sale.
const STRANGE: f64 = 3.0;
/// What one sale is thought to be before any were seen: the square of a sum's scatter, by the sum.
const SALE_ML: f64 = 80_000.0;

#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    by_hour: [Sum; 24],
    /// Against what the hours alone let expect.
    by_weekday: [Sum; 7],
    /// The three largest drops between two samples in an hour, fading, the largest first.
    largest: [[f64; 3]; 24],
    /// Squares of what was drawn less what is usual, and what is usual.
    squares: f64,
    usual: f64,
}

impl Profile {
    /// Between two neighbouring samples. Longer gaps teach nothing about hours.
    pub(super) fn learn(&mut self, from_us: i64, to_us: i64, ml: i64) {
        if to_us <= from_us || to_us - from_us > 3 * HOUR_US / 2 {
            return;
        }
        let (middle, hours) = (i64::midpoint(from_us, to_us), (to_us - from_us) as f64 / HOUR_US as f64);
        let hour = &mut self.by_hour[hour_of(middle)];
        let usual = hour.rate() * hours;
        let known = hour.hours >= SEEN_MIN;
        hour.add(ml as f64, hours);
        let largest = &mut self.largest[hour_of(middle)];
        let mut drop = ml as f64;
        for known in largest {
            *known *= 1.0 - 0.004 * hours;
            if drop > *known {
                std::mem::swap(known, &mut drop);
            }
        }
        if known && usual > 0.0 {
            let fades = FADES.powf(hours / 6.0);
            self.squares = self.squares * fades + (ml as f64 - usual).powi(2);
            self.usual = self.usual * fades + usual;
        }
        if usual > 0.0 {
            // Weighed by what is usual, so that a weekday's sum is a ratio of litres.
            let weekday = &mut self.by_weekday[weekday_of(middle)];
            let fades = FADES.powf(hours / 3.0);
            weekday.ml = weekday.ml * fades + ml as f64;
            weekday.hours = weekday.hours * fades + usual;
        }
    }

    /// The square of a sum's scatter, by the sum: the mean sale, weighed by its size.
    pub(super) fn sale_ml(&self) -> f64 {
        (self.squares + SALE_ML * 1e6) / (self.usual + 1e6)
    }

    /// A drop between two neighbouring samples that no sales of weeks explain; `None` while too little is known. The third
    /// largest is the measure: a theft that was not noticed must not hide the next.
    pub(super) fn strange_from(&self, from_us: i64, to_us: i64) -> Option<f64> {
        let hours = [from_us - HOUR_US / 4, i64::midpoint(from_us, to_us), to_us + HOUR_US / 4].map(hour_of);
        if hours.iter().any(|hour| self.by_hour[*hour].hours < KNOWN_HOURS) {
            return None;
        }
        Some(hours.iter().map(|hour| self.largest[*hour][2]).fold(0.0, f64::max) * STRANGE)
    }

    /// `None` while some hour of the time was hardly seen yet.
    pub(super) fn usual(&self, from_us: i64, to_us: i64) -> Option<f64> {
        let mut ml = 0.0;
        let mut at_us = from_us;
        while at_us < to_us {
            let until_us = to_us.min(at_us - at_us.rem_euclid(HOUR_US) + HOUR_US);
            let hour = self.by_hour[hour_of(at_us)];
            if hour.hours < SEEN_MIN {
                return None;
            }
            let weekday = self.by_weekday[weekday_of(at_us)];
            // A few thousand litres are needed to believe in a weekday.
            let ratio = (weekday.ml + 2e6) / (weekday.hours + 2e6);
            ml += hour.rate() * ratio.clamp(0.3, 3.0) * (until_us - at_us) as f64 / HOUR_US as f64;
            at_us = until_us;
        }
        Some(ml.max(0.0))
    }
}

fn hour_of(at_us: i64) -> usize {
    usize::try_from(at_us.rem_euclid(DAY_US) / HOUR_US).unwrap_or(0)
}

fn weekday_of(at_us: i64) -> usize {
    usize::try_from((at_us.div_euclid(DAY_US) + 3).rem_euclid(7)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_follows_hour_and_weekday() {
        let mut profile = Profile::default();
        assert_eq!(profile.usual(0, HOUR_US), None);
        for half_hour in 0..2 * 24 * 7 * 8 {
            let from_us = half_hour * HOUR_US / 2;
            let by_day = if (8..20).contains(&hour_of(from_us)) { 200_000 } else { 20_000 };
            let ml = if weekday_of(from_us) == 6 { by_day / 2 } else { by_day };
            profile.learn(from_us, from_us + HOUR_US / 2, ml);
        }
        let usual =
            |day: i64, hour: i64| profile.usual(day * DAY_US + hour * HOUR_US, day * DAY_US + (hour + 1) * HOUR_US);
        // Day 56 of 1970 was a Thursday, day 59 a Sunday.
        let [noon, night, sunday] = [usual(56, 12), usual(56, 3), usual(59, 12)].map(|ml| ml.unwrap() / 1000.0);
        assert!((360.0..=440.0).contains(&noon), "{noon}");
        assert!((36.0..=44.0).contains(&night), "{night}");
        assert!((190.0..=260.0).contains(&sunday), "{sunday}");
        assert!(profile.usual(56 * DAY_US, 56 * DAY_US).is_some_and(|ml| ml == 0.0));
    }
}
