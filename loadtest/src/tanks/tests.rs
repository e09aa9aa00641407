use std::collections::{BTreeMap, BTreeSet};

use model::{Reading, TimestampUs};

use super::*;

const ORDINARY: World =
    World { seed: 1, regime: Regime::ALL_EACH_MINUTE, story: Story::Ordinary, tanks: 3, days: 28, dirty: true };

fn samples(run: &TankRun) -> impl Iterator<Item = (&Arrival, &Sample)> {
    run.arrivals.iter().filter_map(|arrival| match &arrival.what {
        Arrived::Reading(sample) => Some((arrival, sample)),
        _ => None,
    })
}

#[test]
fn no_litre_appears_or_disappears_in_any_world() {
    for (story, days) in [(Story::Ordinary, 28), (Story::Thefts, 28), (Story::Leak { ml_per_hour: 12_000 }, 40)] {
        for regime in [Regime::VOLUME_EACH_FIVE_MINUTES, Regime::VOLUME_EACH_HALF_HOUR] {
            let world = World { story, regime, days, seed: 5, ..ORDINARY };
            for number in 0..3 {
                let truth = world.run(number).truth;
                let balance = truth.opening_15_ml.get() + truth.delivered_15_ml.get() - truth.drawn_15_ml.get();
                assert!(balance.abs_diff(truth.closing_15_ml.get()) <= 3, "{story:?} tank {number}");
                let delivered: u64 = truth.deliveries.iter().map(|delivery| delivery.net_15_ml.get()).sum();
                // A truck may still be unloading when the world ends.
                assert!(delivered + 100 >= truth.delivered_15_ml.get(), "{story:?} tank {number}");
                let stolen: u64 = truth.thefts.iter().map(|theft| theft.stolen_ml.get()).sum();
                let leaked = truth.leak.map_or(0, |leak| {
                    let hours = (truth.to_us.get() - leak.began_at_us.get()) / 3_600_000_000;
                    u64::from(leak.ml_per_hour) * hours.unsigned_abs()
                });
                let drawn = truth.sold_ml.get() + stolen + leaked;
                // At 15 °C it is within 3 % of what pumps, thieves and the leak took at the tank's warmth.
                assert!(drawn.abs_diff(truth.drawn_15_ml.get()) < drawn * 3 / 100, "{story:?} tank {number}");
            }
        }
    }
}

#[test]
fn a_seed_is_the_same_world_every_time_and_tanks_do_not_depend_on_how_many_there_are() {
    let worlds = [ORDINARY, World { tanks: 50, ..ORDINARY }, World { seed: 2, ..ORDINARY }];
    let [first, again, other] = worlds.map(|world| world.run(1));
    assert_eq!(first.arrivals, again.arrivals);
    assert_eq!(first.truth, again.truth);
    assert_ne!(first.truth, other.truth);
}

#[test]
fn the_same_deliveries_happen_whatever_the_receiver_sees() {
    let [known, alone] = [Regime::ALL_EACH_MINUTE, Regime::VOLUME_EACH_HALF_HOUR].map(|regime| {
        let deliveries = World { regime, ..ORDINARY }.run(1).truth.deliveries;
        deliveries.iter().map(|delivery| (delivery.drops.clone(), delivery.gross_ml)).collect::<Vec<_>>()
    });
    assert!(known.len() > 3, "a busy tank is filled often");
    assert_eq!(known, alone);
}

#[test]
fn readings_arrive_in_order_and_say_what_the_gauge_saw_unless_they_are_marked() {
    let run = ORDINARY.run(0);
    assert!(run.arrivals.is_sorted_by_key(|arrival| arrival.received_at_us));
    let mut measured = BTreeSet::new();
    for (arrival, sample) in samples(&run).filter(|(_, sample)| sample.dirt.is_none()) {
        assert_eq!(sample.clean, None);
        assert!(measured.insert(sample.reading.measured_at_us), "{sample:?} came twice");
        let delay_us = arrival.received_at_us.get() - sample.reading.measured_at_us.get();
        assert!((0..4_000_000).contains(&delay_us), "{delay_us} µs");
    }
    let all = 28 * 1440;
    assert!(measured.len() > all * 8 / 10 && measured.len() < all, "{} clean readings", measured.len());
}

#[test]
fn every_kind_of_dirt_comes_as_often_as_it_should() {
    let mut counts: BTreeMap<Dirt, usize> = BTreeMap::new();
    let mut rows = 0;
    for number in 0..9 {
        let run = World { seed: 11, days: 60, ..ORDINARY }.run(number);
        for (_, sample) in samples(&run) {
            rows += 1;
            if let Some(dirt) = sample.dirt {
                *counts.entry(dirt).or_default() += 1;
                let changed = !matches!(dirt, Dirt::Duplicate | Dirt::Overtaken | Dirt::LateBatch);
                assert_eq!(sample.clean.is_some(), changed, "{sample:?}");
            }
        }
    }
    for dirt in Dirt::ALL {
        assert!(counts.contains_key(&dirt), "{dirt:?} never came: {counts:?}");
    }
    for (dirt, per_10_000) in
        [(Dirt::Duplicate, 100), (Dirt::NearDuplicate, 50), (Dirt::Spike, 10), (Dirt::Sentinel, 10)]
    {
        let planned = rows * per_10_000 / 10_000;
        assert!(counts[&dirt].abs_diff(planned) * 5 < planned, "{dirt:?}: {} of {planned}", counts[&dirt]);
    }
}

#[test]
fn swapped_rows_hold_the_same_values_in_other_columns() {
    let run = ORDINARY.run(2);
    let swapped: Vec<&Sample> =
        samples(&run).map(|(_, sample)| sample).filter(|sample| sample.dirt == Some(Dirt::SwappedColumns)).collect();
    assert!(swapped.len() > 30, "{} swapped rows", swapped.len());
    let columns = |reading: &Reading| {
        let mut columns = [
            reading.volume_ml.unwrap().get().cast_signed(),
            i64::from(reading.height().unwrap().0) * 100,
            i64::from(reading.water().unwrap().0) * 100,
            i64::from(reading.temperature().unwrap().0) * 10,
        ];
        columns.sort_unstable();
        columns
    };
    for sample in swapped {
        let (sent, clean) = (columns(&sample.reading), columns(sample.clean.as_deref().unwrap()));
        // A value that lands in a column of coarser steps is rounded to them.
        assert!(sent.iter().zip(clean).all(|(sent, clean)| (sent - clean).abs() <= 100), "{sent:?} {clean:?}");
    }
}

#[test]
fn who_gets_volumes_alone_gets_nothing_else() {
    let run = World { regime: Regime::VOLUME_EACH_HALF_HOUR, ..ORDINARY }.run(1);
    assert!(run.arrivals.iter().all(|arrival| !matches!(arrival.what, Arrived::Sale(_))));
    for (_, sample) in samples(&run) {
        let reading = &sample.reading;
        assert!(reading.volume_ml.is_some());
        assert_eq!((reading.height(), reading.water(), reading.temperature(), reading.status), (None, None, None, 0));
    }
    assert!(run.setup.charts.is_empty() && run.setup.density_15.is_none());
}

#[test]
fn packets_bring_hours_of_samples_at_once() {
    let run = World { regime: Regime::VOLUME_IN_PACKETS, dirty: false, ..ORDINARY }.run(0);
    let mut packets: BTreeMap<i64, Vec<TimestampUs>> = BTreeMap::new();
    for (arrival, sample) in samples(&run).filter(|(_, sample)| !sample.reading.historical) {
        let packet = arrival.received_at_us.get().div_euclid(6 * 3_600_000_000);
        packets.entry(packet).or_default().push(sample.reading.measured_at_us);
    }
    let full = packets.values().filter(|samples| samples.len() == 12).count();
    assert!(full * 10 > packets.len() * 8, "{full} of {} packets hold six hours", packets.len());
}

#[test]
fn nothing_arrives_from_a_tank_that_is_silent_and_kept_readings_come_afterwards() {
    let (mut lost, mut kept) = (0, 0);
    for number in 0..20 {
        let run = World { days: 56, regime: Regime::VOLUME_EACH_FIVE_MINUTES, ..ORDINARY }.run(number);
        for silence in &run.truth.silences {
            let span = silence.began_at_us..silence.ended_at_us;
            let truly = |sample: &Sample| sample.clean.as_deref().unwrap_or(&sample.reading).measured_at_us;
            let inside: Vec<_> = samples(&run).filter(|(_, sample)| span.contains(&truly(sample))).collect();
            if silence.kept {
                kept += 1;
                assert!(inside.iter().all(|(arrival, _)| arrival.received_at_us > silence.ended_at_us));
            } else {
                lost += 1;
                assert!(inside.is_empty(), "{silence:?}");
            }
        }
    }
    assert!(lost > 10 && kept > 10, "{lost} lost and {kept} kept");
}

#[test]
fn a_gauge_is_as_exact_as_its_plan_says() {
    // A tank of which nobody takes anything for hours: what its readings scatter is the gauge's own noise.
    let world = World { dirty: false, days: 20, ..ORDINARY };
    for number in (0..30).filter(|number| world.plan(*number).demand.hours.is_some()).take(5) {
        let run = world.run(number);
        let night = |at: TimestampUs| (2..3).contains(&(at.get() / 3_600_000_000 % 24));
        let heights: Vec<f64> = samples(&run)
            .map(|(_, sample)| &sample.reading)
            .filter(|reading| night(reading.measured_at_us))
            .map(|reading| f64::from(reading.height().unwrap().0) / 10.0)
            .collect();
        let squares: f64 = heights.windows(2).map(|two| (two[1] - two[0]).powi(2)).filter(|square| *square < 9.0).sum();
        let deviation = (squares / f64::from(u32::try_from(heights.len()).unwrap()) / 2.0).sqrt();
        let planned = (run.plan.gauge.noise_mm.powi(2) + run.plan.gauge.step_mm.powi(2) / 12.0).sqrt();
        assert!((deviation / planned - 1.0).abs() < 0.3, "tank {number}: {deviation} mm, planned {planned} mm");
    }
}

#[test]
fn thieves_come_by_night_and_by_day_with_all_sizes() {
    let world = World { story: Story::Thefts, regime: Regime::VOLUME_EACH_HALF_HOUR, days: 84, seed: 3, ..ORDINARY };
    let thefts: Vec<TrueTheft> = (0..9).flat_map(|number| world.run(number).truth.thefts).collect();
    let nights = thefts.iter().filter(|theft| theft.at_night).count();
    let sizes: BTreeSet<u64> = thefts.iter().map(|theft| theft.stolen_ml.get()).collect();
    assert_eq!(sizes.len(), 7, "{sizes:?}");
    assert!(nights * 2 > thefts.len() && nights < thefts.len() * 3 / 4, "{nights} of {} by night", thefts.len());
}
