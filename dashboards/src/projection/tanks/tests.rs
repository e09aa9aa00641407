use super::*;
use expect_test::{Expect, expect};
use model::{Origin, OriginTopic, PartitionId};

fn level(tank: usize, minute: i64, litres: u32, received_s: i64) -> TankLevel {
    let origin = Origin { topic: OriginTopic::Readings, partition: PartitionId(0), offset: 0 };
    let ids = (SiteId::new("S-1").expect("a site"), TankId::new(&tank.to_string()).expect("a tank"));
    let product = ProductCode::new("DIESEL").expect("a product");
    let reading = Reading::new(ids.0, ids.1, product, TimestampUs::from_micros(minute * MICROS_PER_MINUTE));
    let received_at = TimestampUs::from_micros(received_s * MICROS_PER_SECOND);
    TankLevel::as_sent(origin, received_at, &reading, Millilitres::from_litres(litres))
}

/// The tank at `place` shows `level`; it may be the next one.
fn put(tanks: &mut Tanks, place: usize, level: TankLevel) {
    if tanks.all().len() == place {
        tanks.add(level.site.clone(), level.tank.clone(), 1);
    }
    tanks.apply(u32::try_from(place).expect("small"), level, 1);
}

/// One tank; each word is `minute:litres`.
fn check(readings: &str, trend: &Expect) {
    let mut tanks = Tanks::default();
    for reading in readings.split_whitespace() {
        let (minute, litres) = reading.split_once(':').expect("minute:litres");
        let level = level(0, minute.parse().expect("minutes"), litres.parse().expect("litres"), 0);
        put(&mut tanks, 0, level);
    }
    let tank = tanks.at(0);
    let level = tank.level.as_ref().expect("a level");
    trend.assert_eq(&format!("{} L, {:?} ml/h", level.volume_ml.get() / 1000, tank.trend_ml_h()));
}

#[test]
fn the_trend_is_the_change_over_the_last_hour() {
    check("0:9000", &expect!["9000 L, None ml/h"]);
    check("0:9000 4:8990", &expect!["8990 L, None ml/h"]);
    check("0:9000 10:8990", &expect!["8990 L, Some(-60000) ml/h"]);
    check("0:20000 50:9000 80:8500 110:8000", &expect!["8000 L, Some(-1000000) ml/h"]);
}

#[test]
fn an_older_reading_does_not_move_the_level() {
    check("10:9000 9:9500", &expect!["9000 L, None ml/h"]);
}

fn stale(tanks: &Tanks) -> Vec<usize> {
    tanks.all().iter().enumerate().filter(|(_, tank)| tank.stale).map(|(place, _)| place).collect()
}

const STALE_AFTER_US: i64 = 30 * MICROS_PER_SECOND;

/// 40 tanks that read every minute and arrive every second, until `minute`; the first `silent` tanks stop at minute 10.
fn network(silent: usize, minute: i64) -> Tanks {
    let mut tanks = Tanks::default();
    for tank in 0..40 {
        put(&mut tanks, tank, level(tank, 0, 1000, 0));
    }
    for at in 1..=minute {
        for tank in 0..40 {
            if at <= 10 || tank >= silent {
                tanks.apply(u32::try_from(tank).expect("small"), level(tank, at, 1000, at), 1);
            }
        }
    }
    tanks
}

#[test]
fn a_gauge_that_falls_behind_the_network_is_stale() {
    let mut tanks = network(2, 13);
    tanks.judge_silence(13 * MICROS_PER_SECOND, STALE_AFTER_US, 2);
    assert_eq!(stale(&tanks), [0_usize; 0]);
    let mut tanks = network(2, 14);
    assert!(tanks.judge_silence(14 * MICROS_PER_SECOND, STALE_AFTER_US, 2));
    assert_eq!(stale(&tanks), [0, 1]);
    assert_eq!(tanks.changed_since(1).count(), 2);
    tanks.apply(0, level(0, 14, 1000, 14), 3);
    assert!(tanks.judge_silence(14 * MICROS_PER_SECOND, STALE_AFTER_US, 4));
    assert_eq!(stale(&tanks), [1]);
}

#[test]
fn when_nothing_arrives_any_more_all_gauges_are_stale() {
    let mut tanks = network(0, 20);
    tanks.judge_silence(50 * MICROS_PER_SECOND, STALE_AFTER_US, 2);
    assert_eq!(stale(&tanks), [0_usize; 0]);
    tanks.judge_silence(51 * MICROS_PER_SECOND, STALE_AFTER_US, 3);
    assert_eq!(stale(&tanks).len(), 40);
}

#[test]
fn one_gauge_with_a_wrong_clock_does_not_make_the_others_stale() {
    let mut tanks = network(0, 20);
    tanks.apply(7, level(7, 1_000_000, 1000, 20), 2);
    tanks.judge_silence(21 * MICROS_PER_SECOND, STALE_AFTER_US, 3);
    assert_eq!(stale(&tanks), [0_usize; 0]);
}
