//! Which deliveries were found, which were invented, and how well their volume was told.

use model::{Delivery, TankEventKind, TimestampUs};
use serde::Serialize;

use super::spread::Spread;
use super::{gap_us, slack_us};
use crate::tanks::chance::real;
use crate::tanks::plan::World;
use crate::tanks::truth::{TankRun, TrueDelivery};
use crate::tanks::watch::Finding;

/// A delivery that is off by no more than the larger of these is told rightly.
const TOLERANCE_ML: u64 = 50_000;
const TOLERANCE_E4: u64 = 50;
/// Deliveries so near to the first or the last day's end are not asked for: part of them is out of sight.
const MARGIN_US: i64 = 8 * 3_600_000_000;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeliveryScore {
    pub happened: usize,
    pub found: usize,
    pub invented: usize,
    /// Volume within 0.5 % or 50 L.
    pub volume_right: usize,
    /// The truth lies within the error that the engine itself tells.
    pub within_own_error: usize,
    /// What somebody would reach who knows the times exactly, and the mean of what is sold unseen meanwhile.
    pub attainable_volume_right: usize,
    /// Told less true, in litres.
    pub error_litres: Spread,
    pub error_per_cent: Spread,
    pub net_15_error_litres: Spread,
    /// From the last drop's end until it was told first.
    pub told_after_minutes: Spread,
    pub began_error_minutes: Spread,
    /// Tickets that promise 0.3 % to 2 % more than came, by more than 50 L, and how many of them the engine shows as short.
    pub short_tickets: usize,
    pub short_tickets_found: usize,
    pub tickets_wrongly_short: usize,
}

impl DeliveryScore {
    pub(super) fn add(&mut self, other: &Self) {
        self.happened += other.happened;
        self.found += other.found;
        self.invented += other.invented;
        self.volume_right += other.volume_right;
        self.within_own_error += other.within_own_error;
        self.attainable_volume_right += other.attainable_volume_right;
        self.error_litres.add(&other.error_litres);
        self.error_per_cent.add(&other.error_per_cent);
        self.net_15_error_litres.add(&other.net_15_error_litres);
        self.told_after_minutes.add(&other.told_after_minutes);
        self.began_error_minutes.add(&other.began_error_minutes);
        self.short_tickets += other.short_tickets;
        self.short_tickets_found += other.short_tickets_found;
        self.tickets_wrongly_short += other.tickets_wrongly_short;
    }

    /// Share of what happened that was found; `None` when nothing happened.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.found, self.happened)
    }

    /// Share of what was told that happened.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.found, self.found + self.invented)
    }

    /// Share of what was found whose volume is within 0.5 % or 50 L.
    #[must_use]
    pub fn volume_right_share(&self) -> Option<f64> {
        share(self.volume_right, self.found)
    }
}

pub(super) fn share(part: usize, whole: usize) -> Option<f64> {
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    (whole > 0).then(|| count(part) / count(whole))
}

#[derive(Default)]
pub(super) struct Matched {
    pub(super) seen: DeliveryScore,
    pub(super) in_silence: DeliveryScore,
    pub(super) faults: Vec<String>,
}

pub(super) fn matched(world: &World, run: &TankRun, findings: &[Finding]) -> Matched {
    let slack = slack_us(world.regime);
    let told: Vec<(&Finding, &Delivery)> = findings
        .iter()
        .filter_map(|finding| match &finding.event.kind {
            TankEventKind::Delivery(delivery) => Some((finding, delivery)),
            _ => None,
        })
        .collect();
    let mut of_truth: Vec<Vec<(&Finding, &Delivery)>> = vec![Vec::new(); run.truth.deliveries.len()];
    let mut matched = Matched::default();
    for (finding, delivery) in told {
        let nearest = (0..of_truth.len())
            .map(|place| (gap_us(span(finding), true_span(&run.truth.deliveries[place])), place))
            .min()
            .filter(|(gap, place)| *gap <= slack && of_truth[*place].len() < run.truth.deliveries[*place].drops.len());
        if let Some((_, place)) = nearest {
            of_truth[place].push((finding, delivery));
        } else {
            let in_silence = silent(run, span(finding), slack);
            if in_silence { &mut matched.in_silence } else { &mut matched.seen }.invented += 1;
            matched.faults.push(format!(
                "{} invented delivery of {} L at {}",
                place_of(world, run),
                delivery.gross_ml.get() / 1000,
                finding.event.began_at_us
            ));
        }
    }
    for (truth, told) in run.truth.deliveries.iter().zip(of_truth) {
        let in_margin = truth.began_at() < run.truth.from_us.plus_us(MARGIN_US)
            || truth.ended_at() > run.truth.to_us.plus_us(-MARGIN_US);
        if in_margin {
            continue;
        }
        let in_silence = silent(run, true_span(truth), 0);
        let score = if in_silence { &mut matched.in_silence } else { &mut matched.seen };
        if let Some(fault) = score.measure(truth, &told) {
            let when = if in_silence { ", in silence" } else { "" };
            matched.faults.push(format!("{} {fault} at {}{when}", place_of(world, run), truth.began_at()));
        }
    }
    matched
}

impl DeliveryScore {
    /// Adds one delivery; says what is wrong with what was told of it.
    fn measure(&mut self, truth: &TrueDelivery, told: &[(&Finding, &Delivery)]) -> Option<String> {
        self.happened += 1;
        let gross = truth.gross_ml.get();
        let tolerance = TOLERANCE_ML.max(gross * TOLERANCE_E4 / 10_000);
        self.attainable_volume_right += usize::from(truth.chance_ml <= tolerance);
        let Some((first, _)) = told.first() else { return Some(format!("missed delivery of {} L", gross / 1000)) };
        self.found += 1;
        let told_ml: u64 = told.iter().map(|(_, delivery)| delivery.gross_ml.get()).sum();
        let own_error: u64 = told.iter().map(|(_, delivery)| delivery.error_ml.get()).sum();
        let error_ml = told_ml.cast_signed() - gross.cast_signed();
        let right = error_ml.unsigned_abs() <= tolerance;
        self.volume_right += usize::from(right);
        self.within_own_error += usize::from(error_ml.unsigned_abs() <= own_error);
        self.error_litres.put(real(error_ml) / 1000.0);
        self.error_per_cent.put(real(error_ml) / real(gross.cast_signed()) * 100.0);
        let net: Option<u64> = told.iter().map(|(_, delivery)| delivery.net_15_ml.map(|net| net.get())).sum();
        if let Some(net) = net {
            self.net_15_error_litres
                .put((real(net.cast_signed()) - real(truth.net_15_ml.get().cast_signed())) / 1000.0);
        }
        let minutes = |us: i64| real(us) / 60e6;
        let told_at = told.iter().map(|(finding, _)| finding.told_at_us).max().unwrap_or_default();
        self.told_after_minutes.put(minutes(told_at.get() - truth.ended_at().get()));
        self.began_error_minutes.put(minutes(first.event.began_at_us.get() - truth.began_at().get()));
        let short_by = truth.ticket_ml.get().saturating_sub(gross);
        let shown_short = told.iter().any(|(_, delivery)| {
            delivery
                .ticket_difference_ml
                .is_some_and(|difference| difference.0 < 0 && difference.0.unsigned_abs() > delivery.error_ml.get())
        });
        if short_by > TOLERANCE_ML {
            self.short_tickets += 1;
            self.short_tickets_found += usize::from(shown_short);
        } else if short_by == 0 {
            self.tickets_wrongly_short += usize::from(shown_short);
        }
        (!right).then(|| {
            format!(
                "delivery of {} L told as {} L ± {} in {} (sold meanwhile {} L)",
                gross / 1000,
                told_ml / 1000,
                own_error / 1000,
                told.len(),
                truth.sold_meanwhile_ml.get() / 1000
            )
        })
    }
}

fn span(finding: &Finding) -> (TimestampUs, TimestampUs) {
    let began = finding.event.began_at_us;
    (began, finding.event.ended_at_us.unwrap_or(began).max(began))
}

fn true_span(truth: &TrueDelivery) -> (TimestampUs, TimestampUs) {
    (truth.began_at(), truth.ended_at())
}

fn silent(run: &TankRun, span: (TimestampUs, TimestampUs), slack: i64) -> bool {
    run.truth
        .silences
        .iter()
        .any(|silence| !silence.kept && gap_us(span, (silence.began_at_us, silence.ended_at_us)) <= slack)
}

pub(super) fn place_of(world: &World, run: &TankRun) -> String {
    format!("[{}; {:?}; seed {} tank {}]", world.regime.name, world.story, world.seed, run.plan.number)
}
