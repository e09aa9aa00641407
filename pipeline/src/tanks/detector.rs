//! Deliveries, losses and water in a tank's settled samples.
//!
//! In: samples in order of time. Out: what was found, and found better later. Guarantees: small and a plain function of the
//! samples, so that it can be set back to any kept moment and go on from there. Does not: number events.
//!
//! A delivery is a rise of the balance; it ends when nothing rose for a while, so that the drops of one truck are one
//! delivery. Where sales are known, levels before and after are medians of the balance. Where they are not, what was drawn
//! meanwhile is estimated from the hours around, and told better once the hours after are known.

use model::{DeciMillimetres, Delivery, Millilitres, Millilitres15, TankEventKind, TankSetup};

use super::leak::Leak;
use super::window::{Kept, Window};

const MINUTE_US: i64 = model::MICROS_PER_MINUTE;
/// A truck changes its hose between two compartments.
const QUIET_US: i64 = 25 * MINUTE_US;
/// Waves need so long to fade.
const CALM_US: i64 = 5 * MINUTE_US;
/// So far around a delivery its sales are judged by.
const AROUND_US: i64 = 150 * MINUTE_US;
/// So far back a step looks.
pub(super) const LOOK_BACK_US: i64 = 2 * AROUND_US;
/// Water that rose by less is noise.
const WATER_RISE_DMM: u32 = 60;
const WATER_CALM_US: i64 = 150 * MINUTE_US;
/// The least loss that is told where none is registered.
const LOSS_LEAST_ML: i64 = 60_000;
/// The mean sale where sales are not known: by its square root, sums of sales scatter.
const SALE_ML: i64 = 45_000;

/// A tank's sizes, from its registration. Volumes in ml.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) interval_us: i64,
    pub(super) sales_are_known: bool,
    /// One standard deviation of a gauge that nobody knows better.
    pub(super) noise: i64,
    delivery_min: i64,
    loss_min: Option<i64>,
    pub(super) leak_ml_per_hour: u32,
}

impl Rules {
    pub(super) fn of(setup: &TankSetup) -> Self {
        let capacity = setup.capacity_ml.get().cast_signed();
        let given = |volume: Option<Millilitres>| volume.map(|volume| volume.get().cast_signed());
        Self {
            interval_us: i64::from(setup.expected_interval_s.max(1)) * model::MICROS_PER_SECOND,
            sales_are_known: setup.sales_are_known,
            noise: (capacity * 3 / 10_000).max(4_000),
            delivery_min: given(setup.thresholds.delivery_min_ml).unwrap_or((capacity / 100).max(150_000)),
            loss_min: given(setup.thresholds.loss_min_ml),
            leak_ml_per_hour: setup.thresholds.leak_ml_per_hour.unwrap_or(757),
        }
    }
}

/// Something that was found. The same kind and beginning found again is the same thing known better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) began_us: i64,
    pub(super) ended_us: Option<i64>,
    pub(super) kind: TankEventKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    at_us: i64,
    balance: i64,
}

impl Point {
    fn of(kept: &Kept) -> Self {
        Self { at_us: kept.sample.at_us, balance: kept.balance }
    }
}

/// Fuel comes in since `start`, the last sample before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Filling {
    start: Point,
    /// Levels before this belong to another time.
    since_us: i64,
    /// The highest so far, and when it rose last.
    top: i64,
    risen_us: i64,
}

/// Fuel goes that was not sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Losing {
    began_us: i64,
    reference: i64,
    /// A smaller loss is not told.
    least: i64,
    lowest: i64,
    fallen_us: i64,
}

/// A delivery that is told already and will be told better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refining {
    filling: Filling,
    due_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Water {
    base: u32,
    /// Since when it rises, its highest, and when it rose last.
    rising: Option<(i64, u32, i64)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Detector {
    /// Before this, levels belong to another time: a delivery, a loss or a gap ended here.
    quiet_since_us: i64,
    filling: Option<Filling>,
    losing: Option<Losing>,
    refining: Option<Refining>,
    water: Option<Water>,
    leak: Leak,
}

impl Detector {
    /// Takes in the sample at `place`, which was settled.
    pub(super) fn step(&mut self, rules: &Rules, window: &Window, place: usize, found: &mut Vec<Found>) {
        let Some(kept) = window.get(place).copied() else { return };
        if kept.spike {
            return;
        }
        self.follow_water(window, &kept, found);
        if let Some(refining) = self.refining
            && kept.sample.at_us >= refining.due_us
        {
            self.refining = None;
            found.extend(delivery(rules, window, &refining.filling, kept.sample.at_us));
        }
        match (self.filling, self.losing) {
            (Some(filling), _) => self.fill(rules, window, filling, &kept, found),
            (None, Some(losing)) => self.lose(rules, window, losing, &kept, found),
            (None, None) => self.rest(rules, window, &kept),
        }
        if self.filling.is_none() && self.losing.is_none() {
            self.leak.step(rules, window, place, self.quiet_since_us, found);
        } else {
            self.leak.interrupt();
        }
    }

    fn rest(&mut self, rules: &Rules, window: &Window, kept: &Kept) {
        let at_us = kept.sample.at_us;
        // A gap is bridged: what lies before it is the level to compare with.
        let span_us = (45 * MINUTE_US).max(2 * rules.interval_us);
        let before = window.between(self.quiet_since_us, at_us - 1).next_back().map(Point::of);
        let from_us = before.map_or(at_us, |before| (at_us - span_us).min(before.at_us)).max(self.quiet_since_us);
        let lowest = window.between(from_us, at_us - 1).map(Point::of).rev().min_by_key(|point| point.balance);
        if let Some(start) = lowest
            && kept.balance - start.balance >= rules.delivery_min.max(6 * rules.noise) * 2 / 3
        {
            self.refining = None;
            let (since_us, top, risen_us) = (self.quiet_since_us, kept.balance, at_us);
            self.filling = Some(Filling { start, since_us, top, risen_us });
            return;
        }
        if rules.sales_are_known {
            self.look_for_loss(rules, window, at_us);
        }
    }

    fn fill(&mut self, rules: &Rules, window: &Window, mut filling: Filling, kept: &Kept, found: &mut Vec<Found>) {
        let at_us = kept.sample.at_us;
        if kept.balance > filling.top + 2 * rules.noise || (kept.sample.delivering && kept.balance > filling.top) {
            filling.top = kept.balance;
            filling.risen_us = at_us;
        }
        self.filling = Some(filling);
        if at_us - filling.risen_us < QUIET_US {
            return;
        }
        self.filling = None;
        if let Some(first) = delivery(rules, window, &filling, at_us) {
            found.push(first);
            self.refining = Some(Refining { filling, due_us: filling.risen_us + AROUND_US });
            self.quiet_since_us = filling.risen_us;
        }
    }

    fn look_for_loss(&mut self, rules: &Rules, window: &Window, at_us: i64) {
        let from_us = self.quiet_since_us + 2 * CALM_US;
        let unit_us = (3 * rules.interval_us).clamp(6 * MINUTE_US, 25 * MINUTE_US);
        let (early_us, late_us) = ((at_us - 12 * unit_us).max(from_us), at_us - 6 * unit_us);
        let mut before: Vec<i64> = window.between(early_us, late_us).map(|kept| kept.balance).collect();
        let now = window.median((at_us - unit_us).max(from_us), at_us);
        let Some((now, count)) = now else { return };
        if before.len() < 5 || count < 3 {
            return;
        }
        before.sort_unstable();
        let reference = before[before.len() / 2];
        // Where pumps run all the time, the balance trembles with them.
        let trembles = before[before.len() * 9 / 10] - before[before.len() / 10];
        let least = rules.loss_min.unwrap_or((2 * trembles).max(LOSS_LEAST_ML));
        if reference - now < least {
            return;
        }
        let began = window.between(early_us, at_us).filter(|kept| kept.balance >= reference - trembles / 2).last();
        let began_us = began.map_or(late_us, |kept| kept.sample.at_us);
        self.losing = Some(Losing { began_us, reference, least, lowest: now, fallen_us: at_us });
    }

    fn lose(&mut self, rules: &Rules, window: &Window, mut losing: Losing, kept: &Kept, found: &mut Vec<Found>) {
        let at_us = kept.sample.at_us;
        if kept.balance < losing.lowest - rules.noise {
            losing.lowest = kept.balance;
            losing.fallen_us = at_us;
        }
        self.losing = Some(losing);
        if at_us - losing.fallen_us < 15 * MINUTE_US {
            return;
        }
        self.losing = None;
        let level =
            window.median(losing.fallen_us.max(at_us - 12 * MINUTE_US), at_us).map_or(kept.balance, |(level, _)| level);
        let lost = losing.reference - level;
        if lost < losing.least {
            return;
        }
        self.quiet_since_us = losing.fallen_us;
        let stolen_until = window
            .between(losing.began_us, at_us)
            .find(|kept| kept.balance <= level + rules.noise)
            .map_or(losing.fallen_us, |kept| kept.sample.at_us);
        let sold = window.sold(losing.began_us, at_us);
        found.push(Found {
            began_us: losing.began_us,
            ended_us: Some(stolen_until),
            kind: TankEventKind::UnexplainedLoss {
                lost_ml: millilitres(lost),
                error_ml: millilitres(2 * rules.noise + sold / 100),
            },
        });
    }

    fn follow_water(&mut self, window: &Window, kept: &Kept, found: &mut Vec<Found>) {
        if kept.sample.water.is_none() || self.filling.is_some() {
            return;
        }
        let at_us = kept.sample.at_us;
        let mut heights: Vec<u32> = window
            .between(at_us - LOOK_BACK_US, at_us)
            .rev()
            .filter_map(|kept| kept.sample.water.map(|water| water.0))
            .take(9)
            .collect();
        if heights.len() < 3 {
            return;
        }
        heights.sort_unstable();
        let height = heights[heights.len() / 2];
        let Some(mut water) = self.water else {
            self.water = Some(Water { base: height, rising: None });
            return;
        };
        let ingress = |from_us: i64, ended_us: Option<i64>, before: u32, after: u32| Found {
            began_us: from_us,
            ended_us,
            kind: TankEventKind::WaterIngress {
                before_dmm: DeciMillimetres(before),
                after_dmm: DeciMillimetres(after),
            },
        };
        match water.rising {
            None if height >= water.base + WATER_RISE_DMM => {
                let first = window
                    .between(at_us - LOOK_BACK_US, at_us)
                    .filter(|kept| kept.sample.water.is_some_and(|seen| seen.0 <= water.base + 10))
                    .last();
                let began_us = first.map_or(at_us, |kept| kept.sample.at_us);
                water.rising = Some((began_us, height, at_us));
                found.push(ingress(began_us, None, water.base, height));
            }
            None => water.base = water.base.min(height),
            Some((began_us, top, _)) if height > top + 5 => water.rising = Some((began_us, height, at_us)),
            Some((began_us, top, risen_us)) if at_us - risen_us >= WATER_CALM_US || height + 50 < top => {
                found.push(ingress(began_us, Some(risen_us), water.base, top));
                water = Water { base: height, rising: None };
            }
            Some(_) => {}
        }
        self.water = Some(water);
    }
}

/// What a filling brought, judged by what is known until `now_us`.
fn delivery(rules: &Rules, window: &Window, filling: &Filling, now_us: i64) -> Option<Found> {
    let (start_us, risen_us, since_us) = (filling.start.at_us, filling.risen_us, filling.since_us);
    let levels = if rules.sales_are_known && rules.interval_us <= 10 * MINUTE_US {
        let before = window.median((start_us - 15 * MINUTE_US).max(since_us), start_us)?;
        let after = window
            .median(risen_us + CALM_US, (risen_us + QUIET_US).min(now_us))
            .or_else(|| window.median(risen_us, now_us))?;
        (before.0, after.0, 0)
    } else {
        estimated(rules, window, filling, now_us)?
    };
    let (before, after, drawn) = levels;
    let gross = after - before + drawn;
    if gross < rules.delivery_min {
        return None;
    }
    // The fuel's end is the first sample as high as all that follow.
    let ended_us = window
        .between(start_us, risen_us)
        .find(|kept| kept.balance >= filling.top - 2 * rules.noise)
        .map_or(risen_us, |kept| kept.sample.at_us);
    let sold = if rules.sales_are_known { window.sold(start_us, ended_us) } else { drawn };
    let scatter = isqrt(sold.max(0)) * isqrt(SALE_ML) * 2;
    let error = 3 * rules.noise + gross / 500 + if rules.sales_are_known { sold / 100 } else { scatter };
    let water =
        |from_us: i64, to_us: i64| window.between(from_us, to_us).next_back().and_then(|kept| kept.sample.water);
    Some(Found {
        began_us: start_us,
        ended_us: Some(ended_us),
        kind: TankEventKind::Delivery(Delivery {
            gross_ml: millilitres(gross),
            error_ml: millilitres(error),
            net_15_ml: net_15(window, filling, gross, now_us),
            sold_ml: millilitres(sold),
            water_before_dmm: water(since_us, start_us),
            water_after_dmm: water(risen_us, now_us),
            ticket_ml: None,
            ticket_difference_ml: None,
        }),
    })
}

/// Volumes before and after, and what was drawn between them, by the hours around.
fn estimated(rules: &Rules, window: &Window, filling: &Filling, now_us: i64) -> Option<(i64, i64, i64)> {
    let (start_us, risen_us) = (filling.start.at_us, filling.risen_us);
    let calm_us = if rules.interval_us >= 15 * MINUTE_US { risen_us } else { risen_us + CALM_US };
    let after: Vec<Point> =
        window.between(calm_us, risen_us + AROUND_US.min(now_us - risen_us)).map(Point::of).collect();
    let last_before = filling.start;
    let first_before = window
        .between((start_us - AROUND_US).max(filling.since_us + CALM_US), start_us)
        .map(Point::of)
        .next()
        .unwrap_or(last_before);
    let first_after = after.first().copied().or_else(|| window.between(risen_us, now_us).map(Point::of).next())?;
    let last_after = after.last().copied().unwrap_or(first_after);
    let watched_us = (last_before.at_us - first_before.at_us) + (last_after.at_us - first_after.at_us);
    let fallen = (first_before.balance - last_before.balance) + (first_after.balance - last_after.balance);
    let unseen_us = first_after.at_us - last_before.at_us;
    let drawn = if watched_us <= 0 {
        0
    } else {
        i64::try_from(i128::from(fallen.max(0)) * i128::from(unseen_us) / i128::from(watched_us)).unwrap_or(0)
    };
    Some((last_before.balance, first_after.balance, drawn))
}

/// At 15 °C: by how much the tank's contents at 15 °C grew, and what was sold meanwhile.
fn net_15(window: &Window, filling: &Filling, gross: i64, now_us: i64) -> Option<Millilitres15> {
    let before = window.between(filling.start.at_us, filling.start.at_us).next()?.sample;
    // A sensor needs its time until it feels the mixture.
    let late = window.between(filling.risen_us + CALM_US, now_us).next_back()?.sample;
    let (before_15, late_15) = (before.volume_15?, late.volume_15?);
    let after = before.volume + gross;
    let after_15 = i128::from(after) * i128::from(late_15) / i128::from(late.volume.max(1));
    u64::try_from(after_15 - i128::from(before_15)).ok().and_then(|ml| Millilitres15::new(ml).ok())
}

pub(super) fn millilitres(ml: i64) -> Millilitres {
    Millilitres::new(ml.max(0).unsigned_abs()).unwrap_or_default()
}

fn isqrt(value: i64) -> i64 {
    value.max(0).isqrt()
}
