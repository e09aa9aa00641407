//! Thefts, leaks, water and silence: what was found, and how often something was told that did not happen.

use model::{TankEventKind, TimestampUs};
use serde::Serialize;

use super::spread::Spread;
use super::{RegimeScore, gap_us, slack_us};
use crate::tanks::chance::real;
use crate::tanks::plan::{Story, World};
use crate::tanks::truth::{Dirt, TankRun};
use crate::tanks::watch::Finding;

const HOUR_US: i64 = 3_600_000_000;

/// Thefts of one size at one time of day.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TheftScore {
    pub litres: u64,
    pub at_night: bool,
    pub happened: usize,
    pub found: usize,
    /// Told less true.
    pub error_litres: Spread,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LeakScore {
    pub ml_per_hour: u32,
    pub tanks: usize,
    pub found: usize,
    /// Told before anything leaked.
    pub too_early: usize,
    pub days_to_detect: Spread,
    /// Told rate over true rate.
    pub rate_ratio: Spread,
}

/// What happened and was found, and what was found but did not happen.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SightingScore {
    pub happened: usize,
    pub found: usize,
    pub invented: usize,
}

/// False alarms.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Alarms {
    pub tank_years: f64,
    pub losses: usize,
    pub leaks: usize,
    pub water: usize,
    pub silences: usize,
    pub deliveries: usize,
}

pub(super) struct Matched {
    story: Story,
    thefts: Vec<TheftScore>,
    leak: Option<LeakScore>,
    silences: SightingScore,
    ingresses: SightingScore,
    clocks: SightingScore,
    unit_slips: SightingScore,
    losses_unmatched: usize,
    leaks_told: usize,
}

pub(super) fn matched(world: &World, run: &TankRun, findings: &[Finding]) -> Matched {
    let slack = slack_us(world.regime);
    let mut matched = Matched {
        story: world.story,
        thefts: Vec::new(),
        leak: leak(run, findings),
        silences: silences(world, run, findings),
        ingresses: ingresses(world, run, findings),
        clocks: spells(world, run, findings, &[Dirt::ClockWrong, Dirt::ClockReset], |kind| {
            matches!(kind, TankEventKind::ClockWrong { .. })
        }),
        unit_slips: spells(world, run, findings, &[Dirt::UnitSlip], |kind| {
            matches!(kind, TankEventKind::UnitSlip { .. })
        }),
        losses_unmatched: 0,
        leaks_told: findings
            .iter()
            .filter(|finding| matches!(finding.event.kind, TankEventKind::SuspectedLeak { .. }))
            .count(),
    };
    let losses: Vec<(&Finding, u64)> = findings
        .iter()
        .filter_map(|finding| match finding.event.kind {
            TankEventKind::UnexplainedLoss { lost_ml, .. } => Some((finding, lost_ml.get())),
            _ => None,
        })
        .collect();
    let mut explained = vec![false; losses.len()];
    for theft in &run.truth.thefts {
        let near = (0..losses.len())
            .filter(|place| !explained[*place])
            .map(|place| (gap_us(span(losses[place].0), (theft.began_at_us, theft.ended_at_us)), place))
            .min()
            .filter(|(gap, _)| *gap <= slack);
        let mut score = TheftScore {
            litres: theft.stolen_ml.get() / 1000,
            at_night: theft.at_night,
            happened: 1,
            ..TheftScore::default()
        };
        if let Some((_, place)) = near {
            explained[place] = true;
            score.found = 1;
            score
                .error_litres
                .put((real(losses[place].1.cast_signed()) - real(theft.stolen_ml.get().cast_signed())) / 1000.0);
        }
        matched.thefts.push(score);
    }
    matched.losses_unmatched = explained.iter().filter(|explained| !**explained).count();
    matched
}

impl Matched {
    pub(super) fn add_to(self, years: f64, score: &mut RegimeScore) {
        for theft in self.thefts {
            let same = |known: &&mut TheftScore| known.litres == theft.litres && known.at_night == theft.at_night;
            if let Some(known) = score.thefts.iter_mut().find(same) {
                known.happened += theft.happened;
                known.found += theft.found;
                known.error_litres.add(&theft.error_litres);
            } else {
                score.thefts.push(theft);
            }
        }
        score.thefts.sort_by_key(|theft| (!theft.at_night, theft.litres));
        if let Some(leak) = self.leak {
            if let Some(known) = score.leaks.iter_mut().find(|known| known.ml_per_hour == leak.ml_per_hour) {
                known.tanks += leak.tanks;
                known.found += leak.found;
                known.too_early += leak.too_early;
                known.days_to_detect.add(&leak.days_to_detect);
                known.rate_ratio.add(&leak.rate_ratio);
            } else {
                score.leaks.push(leak);
            }
        }
        for (sum, part) in [
            (&mut score.silences, &self.silences),
            (&mut score.ingresses, &self.ingresses),
            (&mut score.clocks, &self.clocks),
            (&mut score.unit_slips, &self.unit_slips),
        ] {
            sum.happened += part.happened;
            sum.found += part.found;
            sum.invented += part.invented;
        }
        if self.story == Story::Ordinary {
            score.alarms.tank_years += years;
            score.alarms.losses += self.losses_unmatched;
            score.alarms.leaks += self.leaks_told;
            score.alarms.water += self.ingresses.invented;
            score.alarms.silences += self.silences.invented;
        }
    }
}

fn leak(run: &TankRun, findings: &[Finding]) -> Option<LeakScore> {
    let truth = run.truth.leak?;
    let mut score = LeakScore { ml_per_hour: truth.ml_per_hour, tanks: 1, ..LeakScore::default() };
    for finding in findings {
        let TankEventKind::SuspectedLeak { rate_ml_per_hour, .. } = finding.event.kind else { continue };
        if finding.told_at_us < truth.began_at_us {
            score.too_early += 1;
        } else if score.found == 0 {
            score.found = 1;
            score.days_to_detect.put(real(finding.told_at_us.get() - truth.began_at_us.get()) / 86_400e6);
            score.rate_ratio.put(real(rate_ml_per_hour.cast_signed()) / f64::from(truth.ml_per_hour));
        }
    }
    Some(score)
}

/// Only silences that last longer than the tank's grace are asked for. Whether one that a late batch fills is told or taken
/// back is left to the engine.
fn silences(world: &World, run: &TankRun, findings: &[Finding]) -> SightingScore {
    let interval = i64::from(run.setup.expected_interval_s);
    let grace = run.setup.grace_s.map_or(3 * interval, i64::from);
    let needed_us = (grace + 2 * interval + world.regime.packet_every_s.unwrap_or(0)) * 1_000_000;
    let slack = slack_us(world.regime) + world.regime.packet_every_s.unwrap_or(0) * 1_000_000;
    let told: Vec<_> = findings
        .iter()
        .filter(|finding| matches!(finding.event.kind, TankEventKind::Silence { .. }))
        .map(span)
        .collect();
    let mut score = SightingScore::default();
    let margin = run.truth.to_us.plus_us(-24 * HOUR_US);
    for silence in run.truth.silences.iter().filter(|silence| !silence.kept && silence.began_at_us < margin) {
        let truth = (silence.began_at_us, silence.ended_at_us);
        if truth.1.get() - truth.0.get() >= needed_us {
            score.happened += 1;
            score.found += usize::from(told.iter().any(|told| gap_us(*told, truth) <= 0));
        }
    }
    let explained = |told: &(TimestampUs, TimestampUs)| {
        run.truth.silences.iter().any(|silence| gap_us(*told, (silence.began_at_us, silence.ended_at_us)) <= slack)
    };
    score.invented = told.iter().filter(|told| !explained(told)).count();
    score
}

/// Water can be seen where its height is measured; asked for is what rises by 20 mm.
fn ingresses(world: &World, run: &TankRun, findings: &[Finding]) -> SightingScore {
    let told: Vec<_> = findings
        .iter()
        .filter(|finding| matches!(finding.event.kind, TankEventKind::WaterIngress { .. }))
        .map(span)
        .collect();
    let mut score = SightingScore::default();
    let (slack, margin) = (12 * HOUR_US, run.truth.to_us.plus_us(-24 * HOUR_US));
    let rains = || run.truth.ingresses.iter();
    if world.regime.all_columns {
        for rain in rains().filter(|rain| rain.after_mm >= rain.before_mm + 20 && rain.ended_at_us < margin) {
            score.happened += 1;
            let truth = (rain.began_at_us, rain.ended_at_us);
            score.found += usize::from(told.iter().any(|told| gap_us(*told, truth) <= slack));
        }
    }
    let explained = |told: &(TimestampUs, TimestampUs)| {
        rains().any(|rain| gap_us(*told, (rain.began_at_us, rain.ended_at_us)) <= slack)
    };
    score.invented = told.iter().filter(|told| !explained(told)).count();
    score
}

/// Wrong clocks and units that last for six readings at least; an event may stand at the wrong clock's time.
fn spells(
    world: &World,
    run: &TankRun,
    findings: &[Finding],
    faults: &[Dirt],
    is_told: impl Fn(&TankEventKind) -> bool,
) -> SightingScore {
    let told: Vec<_> = findings.iter().filter(|finding| is_told(&finding.event.kind)).map(span).collect();
    let slack = slack_us(world.regime) + 3 * HOUR_US;
    let mut score = SightingScore::default();
    let spells = || run.truth.spells.iter().filter(|spell| faults.contains(&spell.fault));
    for spell in spells() {
        let truth = (spell.began_at_us, spell.ended_at_us);
        let unheard =
            |silence: &&crate::tanks::TrueSilence| gap_us(truth, (silence.began_at_us, silence.ended_at_us)) < 0;
        let seen = run.truth.silences.iter().find(unheard).is_none() && spell.ended_at_us <= run.truth.to_us;
        if seen && truth.1.get() - truth.0.get() >= 6 * world.regime.interval_s * 1_000_000 {
            score.happened += 1;
            score.found += usize::from(told.iter().any(|told| gap_us(*told, truth) <= slack));
        }
    }
    let explained = |told: &(TimestampUs, TimestampUs)| {
        spells().any(|spell| gap_us(*told, (spell.began_at_us, spell.ended_at_us)) <= slack)
    };
    score.invented = told.iter().filter(|told| !explained(told)).count();
    score
}

fn span(finding: &Finding) -> (TimestampUs, TimestampUs) {
    let began = finding.event.began_at_us;
    (began, finding.event.ended_at_us.unwrap_or(began).max(began))
}
