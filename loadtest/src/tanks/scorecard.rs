//! How much of the truth an engine finds out, as curves: deliveries, thefts by size, leaks by rate, false alarms, dirty rows.
//!
//! In: an engine, seeds, and how many tanks and days. Out: [`RegimeScore`]s, printed as a plain table or written as JSON.
//! Guarantees that whoever tunes an engine does so on other seeds than the final ones. Does not: say what is good enough.

mod deliveries;
mod losses;
mod rows;
mod spread;
mod table;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use model::{TankSetup, TimestampUs};
use serde::Serialize;

use super::plan::{Regime, Story, World};
use super::truth::TankRun;
use super::watch::{Engine, Watched, watch};

pub use deliveries::DeliveryScore;
pub use losses::{Alarms, LeakScore, SightingScore, TheftScore};
pub use rows::RowScore;
pub use spread::Spread;

/// Examples of faults that a score keeps.
const FAULTS_MAX: usize = 500;

/// Leaks that are tried, in ml/h: half and all of the 0.2 gal/h of the monthly test, and what is larger.
pub const LEAKS_ML_PER_HOUR: [u32; 6] = [379, 757, 1_500, 3_000, 6_000, 12_000];

/// Whoever changes an engine looks at the first kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seeds {
    Tuning,
    Final,
}

impl Seeds {
    const fn first(self) -> u64 {
        match self {
            Self::Tuning => 1,
            Self::Final => 1_000_001,
        }
    }
}

/// How much is simulated for each regime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Extent {
    pub seeds: u64,
    /// Three kinds of throughput take turns: multiples of three are fair.
    pub tanks: u64,
    pub days: i64,
    /// Per rate and seed.
    pub leaking_tanks: u64,
    pub leak_days: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RegimeScore {
    pub regime: &'static str,
    pub tank_years: f64,
    pub deliveries: DeliveryScore,
    /// Where 300 to 900, 2,000 to 4,500 and 5,500 to 10,000 L are sold a day.
    pub deliveries_by_throughput: [DeliveryScore; 3],
    /// Deliveries that came while nothing was measured.
    pub deliveries_in_silence: DeliveryScore,
    pub thefts: Vec<TheftScore>,
    pub leaks: Vec<LeakScore>,
    pub silences: SightingScore,
    pub ingresses: SightingScore,
    /// Clocks that are wrong, and values in another unit.
    pub clocks: SightingScore,
    pub unit_slips: SightingScore,
    /// In ordinary worlds, where nothing is stolen and nothing leaks.
    pub alarms: Alarms,
    pub rows: Vec<RowScore>,
    pub clean_rows: u64,
    /// Examples of what went wrong, to be looked at with the same seed and tank.
    pub faults: Vec<String>,
}

/// All worlds of one regime, on as many threads as asked for. The score does not depend on their number.
pub fn score<E: Engine>(
    regime: Regime,
    seeds: Seeds,
    extent: Extent,
    threads: usize,
    engine: impl Fn(&TankSetup) -> E + Sync,
) -> RegimeScore {
    let tanks = tanks_of(regime, seeds, extent);
    let next = AtomicUsize::new(0);
    let parts: Mutex<Vec<Option<Part>>> = Mutex::new(tanks.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some((world, number)) = tanks.get(place).copied() else { break };
                    let run = world.run(number);
                    let watched = watch(&run, &mut engine(&run.setup));
                    let part = Part::of(world, &run, &watched);
                    parts.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(part);
                }
            });
        }
    });
    let mut score = RegimeScore { regime: regime.name, ..RegimeScore::default() };
    for part in parts.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten() {
        part.add_to(&mut score);
    }
    score.leaks.sort_by_key(|leak| leak.ml_per_hour);
    score
}

fn tanks_of(regime: Regime, seeds: Seeds, extent: Extent) -> Vec<(World, u64)> {
    let mut tanks = Vec::new();
    for seed in seeds.first()..seeds.first() + extent.seeds {
        for (place, story) in [Story::Ordinary, Story::Thefts].into_iter().enumerate() {
            let seed = seed * 100 + place as u64;
            let world = World { seed, regime, story, tanks: extent.tanks, days: extent.days, dirty: true };
            tanks.extend((0..world.tanks).map(|number| (world, number)));
        }
        for (place, ml_per_hour) in LEAKS_ML_PER_HOUR.into_iter().enumerate() {
            let (seed, story) = (seed * 100 + 10 + place as u64, Story::Leak { ml_per_hour });
            let world = World { seed, regime, story, tanks: extent.leaking_tanks, days: extent.leak_days, dirty: true };
            tanks.extend((0..world.tanks).map(|number| (world, number)));
        }
    }
    tanks
}

/// What one tank adds to the score.
struct Part {
    world: World,
    throughput: usize,
    deliveries: deliveries::Matched,
    losses: losses::Matched,
    rows: Vec<RowScore>,
    clean_rows: u64,
}

impl Part {
    fn of(world: World, run: &TankRun, watched: &Watched) -> Self {
        Self {
            world,
            throughput: if run.plan.litres_per_day() < 1_500.0 {
                0
            } else {
                1 + usize::from(run.plan.litres_per_day() > 5_000.0)
            },
            deliveries: deliveries::matched(&world, run, &watched.findings),
            losses: losses::matched(&world, run, &watched.findings),
            rows: rows::counted(&watched.treated),
            clean_rows: watched.clean_rows,
        }
    }

    fn add_to(self, score: &mut RegimeScore) {
        #[expect(clippy::cast_precision_loss, reason = "days of a simulation")]
        let years = self.world.days as f64 / 365.25;
        score.tank_years += years;
        score.deliveries.add(&self.deliveries.seen);
        score.deliveries.add(&self.deliveries.in_silence);
        score.deliveries_by_throughput[self.throughput].add(&self.deliveries.seen);
        score.deliveries_by_throughput[self.throughput].add(&self.deliveries.in_silence);
        score.deliveries_in_silence.add(&self.deliveries.in_silence);
        self.losses.add_to(years, score);
        rows::add(&mut score.rows, self.rows);
        score.clean_rows += self.clean_rows;
        if self.world.story == Story::Ordinary {
            score.alarms.deliveries += self.deliveries.seen.invented + self.deliveries.in_silence.invented;
        }
        let room = FAULTS_MAX.saturating_sub(score.faults.len());
        score.faults.extend(self.deliveries.faults.into_iter().take(room));
    }
}

/// How far an engine may be off in time: two readings and ten minutes.
pub(crate) fn slack_us(regime: Regime) -> i64 {
    (2 * regime.interval_s + 600) * 1_000_000
}

/// Nearest moments of two times; zero or less where they overlap.
pub(crate) fn gap_us(one: (TimestampUs, TimestampUs), other: (TimestampUs, TimestampUs)) -> i64 {
    one.0.get().max(other.0.get()) - one.1.get().min(other.1.get())
}
