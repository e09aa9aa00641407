//! Wet stock: what the books say is in the tanks of a product, against what is.
//!
//! In: per day the physical stock, deliveries and sales, all at 15 °C. Out: daily and cumulative variance, the line of 1 % of
//! throughput and 130 gallons over thirty days, a CUSUM that shows a drift before it crosses the line, and what the
//! variance most likely comes from. Guarantees: book = opening + deliveries − sales; variance = physical − book; variances
//! of days add up to that of the month. Does not: replace a statutory reconciliation.

use std::collections::VecDeque;

use model::{Millilitres15, VolumeDifference};

/// 130 US gallons.
const LINE_FIXED_ML: u64 = 492_104;
/// Of throughput, in thousandths.
const LINE_E3: u64 = 10;
pub const MONTH_DAYS: usize = 30;
/// So much of a daily variance is not worth a look: half a percent of that day's sales, at least 30 L.
const ALLOWED_E3: u64 = 5;
const ALLOWED_LEAST_ML: u64 = 30_000;
/// So many days are needed to name a cause.
const CAUSE_DAYS_MIN: usize = 10;

/// One day of all tanks of a product at a site, at 15 °C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockDay {
    pub day: i64,
    pub opening: Millilitres15,
    pub delivered: Millilitres15,
    /// By card and otherwise.
    pub sold: Millilitres15,
    pub closing: Millilitres15,
}

impl StockDay {
    /// Physical less book: negative when fuel is missing.
    #[must_use]
    pub fn variance(&self) -> VolumeDifference {
        let whole = |volume: Millilitres15| volume.get().cast_signed();
        VolumeDifference(whole(self.closing) - (whole(self.opening) + whole(self.delivered) - whole(self.sold)))
    }

    /// Against half and whole percents of what was sold.
    #[must_use]
    pub fn grade(&self) -> Grade {
        let allowed = (self.sold.get() * ALLOWED_E3 / 1000).max(ALLOWED_LEAST_ML);
        match self.variance().0.unsigned_abs() {
            small if small <= allowed => Grade::Fine,
            some if some <= 2 * allowed => Grade::Look,
            _ => Grade::Escalate,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Fine,
    Look,
    Escalate,
}

/// A product's stock at the end of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub day: StockDay,
    pub variance: VolumeDifference,
    pub grade: Grade,
    pub week: VolumeDifference,
    pub month: VolumeDifference,
    /// 1 % of what was sold in the month, and 130 gallons.
    pub line: Millilitres15,
    pub over_line: bool,
    /// How far the variance drifts one way beyond half a percent of sales a day: lost, and gained.
    pub drift_lost: Millilitres15,
    pub drift_gained: Millilitres15,
    pub cause: Cause,
}

/// Where a month's variance most likely comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing that is worth a name.
    None,
    /// Proportional to what is sold: a meter gives more or less than it counts.
    Meter,
    /// On days of deliveries: trucks bring less or more than told.
    Deliveries,
    /// The same every day.
    Steady,
    /// One or two days make most of it.
    Once,
    Unclear,
}

/// The last thirty days of a product at a site.
#[derive(Clone, Debug, Default)]
pub struct WetStock {
    days: VecDeque<StockDay>,
    drift_lost: u64,
    drift_gained: u64,
}

impl WetStock {
    /// Closes a day. Days come in order.
    pub fn close(&mut self, day: StockDay) -> Standing {
        self.days.push_back(day);
        if self.days.len() > MONTH_DAYS {
            self.days.pop_front();
        }
        let variance = day.variance();
        let allowed = day.sold.get() * ALLOWED_E3 / 2000;
        let (lost, gained) = (variance.0.min(0).unsigned_abs(), variance.0.max(0).unsigned_abs());
        self.drift_lost = (self.drift_lost + lost).saturating_sub(allowed + gained);
        self.drift_gained = (self.drift_gained + gained).saturating_sub(allowed + lost);
        let sum = |days: usize| VolumeDifference(self.days.iter().rev().take(days).map(|day| day.variance().0).sum());
        let sold: u64 = self.days.iter().map(|day| day.sold.get()).sum();
        let line = sold * LINE_E3 / 1000 + LINE_FIXED_ML;
        let month = sum(MONTH_DAYS);
        let volume = |ml: u64| Millilitres15::new(ml).unwrap_or_default();
        Standing {
            day,
            variance,
            grade: day.grade(),
            week: sum(7),
            month,
            line: volume(line),
            over_line: month.0.unsigned_abs() > line,
            drift_lost: volume(self.drift_lost),
            drift_gained: volume(self.drift_gained),
            cause: self.cause(month, sold),
        }
    }

    fn cause(&self, month: VolumeDifference, sold: u64) -> Cause {
        let worth_it = (sold * ALLOWED_E3 / 2000).max(5 * ALLOWED_LEAST_ML);
        if self.days.len() < CAUSE_DAYS_MIN || month.0.unsigned_abs() < worth_it {
            return Cause::None;
        }
        let variances: Vec<f64> = self.days.iter().map(|day| day.variance().0 as f64).collect();
        let mut sizes: Vec<f64> = variances.iter().map(|variance| variance * month.0.signum() as f64).collect();
        sizes.sort_by(|one, other| other.total_cmp(one));
        if sizes.iter().take(2).sum::<f64>() > 0.7 * month.0.abs() as f64 {
            return Cause::Once;
        }
        let explained = |of: &dyn Fn(&StockDay) -> f64| {
            let causes: Vec<f64> = self.days.iter().map(of).collect();
            share_explained(&causes, &variances)
        };
        let candidates = [
            (Cause::Meter, explained(&|day| day.sold.get() as f64)),
            (Cause::Deliveries, explained(&|day| day.delivered.get() as f64)),
            (Cause::Steady, explained(&|_| 1.0)),
        ];
        let best = candidates.into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
        match best {
            Some((cause, share)) if share > 0.5 => cause,
            _ => Cause::Unclear,
        }
    }
}

/// How much of the squares of `variances` a straight line through zero over `causes` explains.
fn share_explained(causes: &[f64], variances: &[f64]) -> f64 {
    let dot = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(one, other)| one * other).sum::<f64>();
    let (cc, cv, vv) = (dot(causes, causes), dot(causes, variances), dot(variances, variances));
    if cc == 0.0 || vv == 0.0 { 0.0 } else { cv * cv / (cc * vv) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn litres(litres: i64) -> Millilitres15 {
        Millilitres15::new(litres.max(0).unsigned_abs() * 1000).unwrap()
    }

    /// A month of days, each with what is sold and brought, and what the tank has more or less than the books.
    fn month(day: impl Fn(i64) -> (i64, i64, i64)) -> Standing {
        let (mut stock, mut opening, mut standing) = (WetStock::default(), 500_000, None);
        for number in 0..30 {
            let (sold, delivered, variance) = day(number);
            let closing = opening + delivered - sold + variance;
            standing = Some(stock.close(StockDay {
                day: number,
                opening: litres(opening),
                delivered: litres(delivered),
                sold: litres(sold),
                closing: litres(closing),
            }));
            opening = closing;
        }
        standing.unwrap()
    }

    #[test]
    fn the_line_is_one_percent_of_throughput_and_130_gallons() {
        let standing = month(|_| (5_000, 0, -60));
        assert_eq!(standing.line.get(), 1_500_000 + 492_104);
        assert_eq!((standing.month.0, standing.over_line), (-1_800_000, false));
        assert!(month(|_| (5_000, 0, -70)).over_line);
    }

    #[test]
    fn a_day_is_fine_within_half_a_percent_and_escalates_above_one() {
        let grades = [-49, 51, -101].map(|variance| month(|_| (10_000, 0, variance)).grade);
        assert_eq!(grades, [Grade::Fine, Grade::Look, Grade::Escalate]);
    }

    #[test]
    fn a_drift_in_one_direction_shows_long_before_the_line() {
        let drifting = month(|_| (5_000, 0, -30));
        assert!(!drifting.over_line && drifting.grade == Grade::Fine);
        assert_eq!((drifting.drift_lost, drifting.drift_gained), (litres(525), litres(0)));
        let shaking = month(|day| (5_000, 0, if day % 2 == 0 { 30 } else { -30 }));
        assert!(shaking.drift_lost <= litres(30) && shaking.drift_gained <= litres(30), "{shaking:?}");
    }

    #[test]
    fn the_cause_shows_in_what_the_variance_goes_with() {
        let sold = |day: i64| 1_000 + day * 37 % 9 * 1_500;
        let truck = |day: i64| if day % 4 == 0 { 20_000 } else { 0 };
        assert_eq!(month(|day| (sold(day), truck(day), -sold(day) / 100)).cause, Cause::Meter);
        assert_eq!(month(|day| (sold(day), truck(day), -truck(day) / 100)).cause, Cause::Deliveries);
        assert_eq!(month(|day| (sold(day), truck(day), -30)).cause, Cause::Steady);
        assert_eq!(month(|day| (sold(day), truck(day), if day == 17 { -2_500 } else { 0 })).cause, Cause::Once);
        assert_eq!(month(|day| (sold(day), truck(day), day % 3 - 1)).cause, Cause::None);
    }

    proptest! {
        #[test]
        fn variances_of_days_add_up_to_that_of_the_month(
            days in proptest::collection::vec((0_i64..9_000, 0_i64..20_000, -90_i64..90), 30..31)
        ) {
            let standing = month(|day| days[day as usize]);
            prop_assert_eq!(standing.month.0, days.iter().map(|day| day.2 * 1000).sum::<i64>());
        }
    }
}
