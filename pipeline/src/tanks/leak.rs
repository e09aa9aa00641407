//! Slow leaks: what a tank loses while nobody sells and nothing comes in.
//!
//! In: settled samples. Out: a suspected leak with its rate and error. Each quiet hour gives a slope; slopes are weighed
//! by how exact they are and summed over up to thirty days. Needs volumes at 15 °C: without temperature a cooling tank
//! looks like a leaking one. Does not: fulfil a regulation by itself; the rate that must be found is configuration.

use std::collections::VecDeque;

use model::TankEventKind;

use super::detector::{Found, Rules};
use super::window::Window;

const MINUTE_US: i64 = model::MICROS_PER_MINUTE;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
const DAYS_MAX: usize = 30;
/// After a delivery the sensor lags and fuel of two temperatures mixes.
const MIXED_US: i64 = 4 * 60 * MINUTE_US;
const RUN_MIN_US: i64 = 50 * MINUTE_US;
const RUN_MAX_US: i64 = 4 * 60 * MINUTE_US;
/// What temperature and table leave unexplained, ml/h.
const SYSTEMATIC: f64 = 90.0;
const QUIET_HOURS_MIN: f64 = 12.0;

/// Sums over one day's quiet runs: weights, weighted slopes (ml/h, lost is positive), hours.
#[derive(Clone, Copy, Debug, Default)]
struct Day {
    day: i64,
    weight: f64,
    slope: f64,
    hours: f64,
}

/// A quiet run as sums for its regression line: hours and ml against its first sample.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    began_us: i64,
    last_us: i64,
    first_ml: i64,
    count: f64,
    t: f64,
    v: f64,
    tt: f64,
    tv: f64,
    vv: f64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Leak {
    run: Option<Run>,
    days: VecDeque<Day>,
    suspected_us: Option<i64>,
}

impl Leak {
    pub(super) fn interrupt(&mut self) {
        self.close();
    }

    pub(super) fn step(
        &mut self,
        rules: &Rules,
        window: &Window,
        place: usize,
        quiet_since_us: i64,
        found: &mut Vec<Found>,
    ) {
        let Some(kept) = window.get(place) else { return };
        let (at_us, Some(volume_15)) = (kept.sample.at_us, kept.sample.volume_15) else { return };
        let mixed = at_us - quiet_since_us > MIXED_US;
        let pumping = window.sold(at_us - 4 * MINUTE_US, at_us + 2 * MINUTE_US) > 0;
        if !rules.sales_are_known || !mixed || pumping {
            if self.close() {
                self.judge(rules, at_us, found);
            }
            return;
        }
        let run =
            self.run.get_or_insert(Run { began_us: at_us, last_us: at_us, first_ml: volume_15, ..Run::default() });
        if at_us - run.last_us > 3 * rules.interval_us || at_us - run.began_us > RUN_MAX_US {
            if self.close() {
                self.judge(rules, at_us, found);
            }
            return;
        }
        let t = (at_us - run.began_us) as f64 / (60 * MINUTE_US) as f64;
        let v = (volume_15 - run.first_ml) as f64;
        run.last_us = at_us;
        run.count += 1.0;
        run.t += t;
        run.v += v;
        run.tt += t * t;
        run.tv += t * v;
        run.vv += v * v;
    }

    /// Ends the run; says whether it counted.
    fn close(&mut self) -> bool {
        let Some(run) = self.run.take() else { return false };
        if run.last_us - run.began_us < RUN_MIN_US || run.count < 10.0 {
            return false;
        }
        let spread = run.tt - run.t * run.t / run.count;
        let slope = (run.tv - run.t * run.v / run.count) / spread;
        let residue = (run.vv - run.v * run.v / run.count - slope * slope * spread).max(0.0);
        // A gauge of whole millimetres repeats itself: its noise is not smaller than a litre for that.
        let noise_2 = (residue / (run.count - 2.0)).max(1e6);
        let weight = 1.0 / (noise_2 / spread + SYSTEMATIC * SYSTEMATIC);
        let day = run.began_us.div_euclid(DAY_US);
        if self.days.back().is_none_or(|last| last.day != day) {
            self.days.push_back(Day { day, ..Day::default() });
            if self.days.len() > DAYS_MAX {
                self.days.pop_front();
            }
        }
        if let Some(last) = self.days.back_mut() {
            last.weight += weight;
            last.slope -= weight * slope;
            last.hours += (run.last_us - run.began_us) as f64 / (60 * MINUTE_US) as f64;
        }
        true
    }

    fn judge(&mut self, rules: &Rules, at_us: i64, found: &mut Vec<Found>) {
        let sum = |days: &mut dyn Iterator<Item = &Day>| {
            days.fold((0.0, 0.0, 0.0), |sum, day| (sum.0 + day.weight, sum.1 + day.slope, sum.2 + day.hours))
        };
        // A leak that began lately drowns in a month of tightness: the last days are judged too.
        let mut worst: Option<(f64, f64, f64, i64)> = None;
        for days in [3, 7, 14, DAYS_MAX] {
            let (weight, slope, hours) = sum(&mut self.days.iter().rev().take(days));
            if hours < QUIET_HOURS_MIN || weight <= 0.0 {
                continue;
            }
            let (rate, error) = (slope / weight, (1.0 / weight).sqrt().max(SYSTEMATIC / 2.0));
            let first = self.days.iter().rev().take(days).last().map_or(at_us, |day| day.day * DAY_US);
            if rate > f64::from(rules.leak_ml_per_hour) * 0.45
                && rate > 5.0 * error
                && worst.is_none_or(|w| rate / error > w.0 / w.1)
            {
                worst = Some((rate, error, hours, first));
            }
        }
        let Some((rate, error, hours, first_us)) = worst else {
            if self.suspected_us.is_some() {
                // It is told once; that it ended shows in the days to come.
                let (weight, slope, _) = sum(&mut self.days.iter().rev().take(7));
                if weight > 0.0 && slope / weight < f64::from(rules.leak_ml_per_hour) * 0.2 {
                    self.suspected_us = None;
                }
            }
            return;
        };
        if self.suspected_us.is_some() {
            return;
        }
        self.suspected_us = Some(first_us);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^53")]
        let whole = |value: f64| value.round() as u64;
        found.push(Found {
            began_us: first_us,
            ended_us: None,
            kind: TankEventKind::SuspectedLeak {
                rate_ml_per_hour: whole(rate),
                error_ml_per_hour: whole(2.0 * error),
                quiet_hours: u32::try_from(whole(hours)).unwrap_or(u32::MAX),
            },
        });
    }
}
