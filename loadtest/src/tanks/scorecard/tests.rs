use model::{Delivery, Millilitres, TankEvent, TankEventKind, TimestampUs};

use super::*;
use crate::tanks::{Arrival, Arrived, Naive, Taken};

const SMALL: Extent = Extent { seeds: 1, tanks: 3, days: 28, leaking_tanks: 0, leak_days: 0 };

/// Knows the truth and tells it, each error as asked for.
struct Oracle {
    told: Vec<TankEvent>,
}

fn told(run: &TankRun, number: u32, span: (TimestampUs, TimestampUs), kind: TankEventKind) -> TankEvent {
    TankEvent {
        site: run.plan.site.clone(),
        tank: run.plan.tank.clone(),
        product: run.plan.fuel.product(),
        number,
        version: 1,
        withdrawn: false,
        began_at_us: span.0,
        ended_at_us: Some(span.1),
        kind,
    }
}

fn delivery(gross_ml: u64) -> TankEventKind {
    TankEventKind::Delivery(Delivery {
        gross_ml: Millilitres::new(gross_ml).unwrap(),
        error_ml: Millilitres::from_litres(40),
        net_15_ml: None,
        sold_ml: Millilitres::ZERO,
        water_before_dmm: None,
        water_after_dmm: None,
        ticket_ml: None,
        ticket_difference_ml: None,
    })
}

impl Oracle {
    fn new(run: &TankRun, error_ml: i64) -> Self {
        let mut told_events = Vec::new();
        for (number, truth) in (1..).zip(&run.truth.deliveries) {
            let gross_ml = truth.gross_ml.get().saturating_add_signed(error_ml);
            told_events.push(told(run, number, (truth.began_at(), truth.ended_at()), delivery(gross_ml)));
        }
        for (number, theft) in (1..).zip(&run.truth.thefts) {
            let kind = TankEventKind::UnexplainedLoss { lost_ml: theft.stolen_ml, error_ml: Millilitres::ZERO };
            told_events.push(told(run, number, (theft.began_at_us, theft.ended_at_us), kind));
        }
        if let Some(leak) = run.truth.leak {
            let kind = TankEventKind::SuspectedLeak {
                rate_ml_per_hour: u64::from(leak.ml_per_hour) * 2,
                error_ml_per_hour: 0,
                quiet_hours: 1,
            };
            told_events.push(told(run, 1, (leak.began_at_us, run.truth.to_us), kind));
        }
        told_events.sort_by_key(|event| std::cmp::Reverse(event.ended_at_us));
        Self { told: told_events }
    }
}

impl Engine for Oracle {
    fn arrived(&mut self, arrival: &Arrival, _: &mut Vec<TankEvent>) -> Option<Taken> {
        match &arrival.what {
            Arrived::Reading(sample) => {
                let clean = sample.clean.clone().unwrap_or_else(|| Box::new(sample.reading.clone()));
                Some(Taken::Used(clean))
            }
            _ => None,
        }
    }

    /// Leaks are told two days after they began, all else when it is over.
    fn passed(&mut self, now: TimestampUs, events: &mut Vec<TankEvent>) {
        self.told.retain(|event| {
            let told_at_us = match event.kind {
                TankEventKind::SuspectedLeak { .. } => event.began_at_us.plus_us(2 * 86_400_000_000),
                _ => event.ended_at_us.unwrap_or_default(),
            };
            let due = told_at_us <= now;
            if due {
                events.push(event.clone());
            }
            !due
        });
    }
}

fn part(world: World, engine: impl Fn(&TankRun) -> Oracle) -> RegimeScore {
    let mut score = RegimeScore::default();
    for number in 0..world.tanks {
        let run = world.run(number);
        let watched = watch(&run, &mut engine(&run));
        Part::of(world, &run, &watched).add_to(&mut score);
    }
    score
}

fn world(story: Story) -> World {
    World { seed: 4, regime: Regime::VOLUME_EACH_HALF_HOUR, story, tanks: 6, days: 40, dirty: true }
}

#[test]
fn whoever_knows_the_truth_has_full_marks() {
    let score = part(world(Story::Thefts), |run| Oracle::new(run, 0));
    assert!(score.deliveries.happened > 15, "{}", score.deliveries.happened);
    assert_eq!((score.deliveries.recall(), score.deliveries.precision()), (Some(1.0), Some(1.0)));
    assert_eq!(score.deliveries.volume_right_share(), Some(1.0));
    assert!(score.thefts.len() > 5 && score.thefts.iter().all(|theft| theft.found == theft.happened));
    assert!(score.rows.iter().all(|row| row.right == row.count), "{:?}", score.rows);
    assert_eq!(score.faults, Vec::<String>::new());
}

#[test]
fn a_volume_that_is_off_by_more_than_both_tolerances_is_not_right() {
    let [within, beyond] =
        [45_000, 400_000].map(|error_ml| part(world(Story::Ordinary), |run| Oracle::new(run, error_ml)).deliveries);
    assert_eq!(within.volume_right_share(), Some(1.0));
    assert_eq!(within.within_own_error, 0);
    assert_eq!((beyond.volume_right, beyond.recall()), (0, Some(1.0)));
    assert_eq!(beyond.error_litres.quantile(50), Some(400.0));
}

#[test]
fn what_is_missed_or_invented_lowers_recall_or_precision() {
    let missed = part(world(Story::Ordinary), |run| {
        let mut oracle = Oracle::new(run, 0);
        oracle.told.retain(|event| event.number % 2 == 1);
        oracle
    });
    assert!(missed.deliveries.recall().unwrap() < 0.8 && missed.deliveries.precision() == Some(1.0));
    let invented = part(world(Story::Ordinary), |run| {
        let mut oracle = Oracle::new(run, 0);
        let noon = run.truth.from_us.plus_us(9 * 86_400_000_000);
        oracle.told.insert(0, told(run, 999, (noon, noon.plus_us(600_000_000)), delivery(3_000_000)));
        oracle
    });
    assert_eq!(invented.deliveries.recall(), Some(1.0));
    assert!(invented.deliveries.invented >= 4, "{} invented", invented.deliveries.invented);
    assert_eq!(invented.alarms.deliveries, invented.deliveries.invented);
    assert_eq!(invented.faults.len(), invented.deliveries.invented);
}

#[test]
fn a_leak_is_found_on_the_day_it_is_told_and_its_rate_is_compared() {
    let score = part(world(Story::Leak { ml_per_hour: 757 }), |run| Oracle::new(run, 0));
    let [leak] = &score.leaks[..] else { panic!("{:?}", score.leaks) };
    assert_eq!((leak.tanks, leak.found, leak.too_early), (6, 6, 0));
    assert!((leak.days_to_detect.quantile(50).unwrap() - 2.0).abs() < 0.02);
    assert_eq!(leak.rate_ratio.quantile(50), Some(2.0));
}

#[test]
fn a_naive_engine_is_seen_to_be_bad_and_threads_do_not_change_the_score() {
    let [naive, again] =
        [1, 2].map(|threads| score(Regime::ALL_EACH_MINUTE, Seeds::Tuning, SMALL, threads, Naive::new));
    assert_eq!(naive, again);
    assert_eq!(serde_json::to_string(&naive).unwrap(), serde_json::to_string(&again).unwrap());
    assert!(naive.deliveries.recall().unwrap() > 0.5, "it finds rises: {naive}");
    assert!(naive.deliveries.precision().unwrap() < 0.5, "it believes spikes: {naive}");
    assert!(naive.deliveries.volume_right_share().unwrap() < 0.9, "it forgets what was sold meanwhile: {naive}");
    assert!(naive.alarms.losses > 5, "{naive}");
    let swapped = naive.rows.iter().find(|row| row.rows == "swapped columns").unwrap();
    assert_eq!((swapped.believed, swapped.right), (swapped.count, 0));
}

#[test]
fn tuning_and_final_seeds_have_no_world_in_common() {
    let extent = Extent { seeds: 1000, ..SMALL };
    let [tuning, last] = [Seeds::Tuning, Seeds::Final].map(|seeds| {
        tanks_of(Regime::ALL_EACH_MINUTE, seeds, extent).into_iter().map(|(world, _)| world.seed).collect::<Vec<_>>()
    });
    assert!(tuning.iter().max() < last.iter().min());
}
