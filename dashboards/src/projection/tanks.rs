//! All tanks: the current level, where it is heading, and whether its gauge has fallen silent.
//!
//! In: accepted readings. Out: tanks, latest change first. A late reading is history and does not move the level.
//!
//! Silence is judged by two clocks, since a simulated network runs at its own speed: by event time against the newest
//! readings of the network (the gauge is behind the others), and by arrival (nobody sends any more).

use std::collections::VecDeque;

use model::{MICROS_PER_MINUTE, MICROS_PER_SECOND, TankLevel, TimestampUs};

use super::recency::{Links, List};

/// How far back the trend looks.
const TREND_US: i64 = 60 * MICROS_PER_MINUTE;
/// The trend keeps at most one reading per minute.
const TREND_STEP_US: i64 = MICROS_PER_MINUTE;
/// Over a shorter time a trend would be noise.
const TREND_SPAN_US_MIN: i64 = 5 * MICROS_PER_MINUTE;
/// The usual interval of a tank that has sent only one reading.
const INTERVAL_US_UNKNOWN: i64 = 5 * MICROS_PER_MINUTE;
/// A tank is stale after this many of its usual intervals.
const STALE_INTERVALS: i64 = 3;

/// The usual time between two readings: a moving average that one long silence hardly moves.
#[derive(Clone, Copy, Debug, Default)]
struct Interval(Option<i64>);

impl Interval {
    fn learn(&mut self, gap_us: i64) {
        self.0 = match self.0 {
            None if gap_us > 0 => Some(gap_us),
            Some(usual) if gap_us > 0 => Some(usual + (gap_us.min(2 * usual + MICROS_PER_SECOND) - usual) / 8),
            known => known,
        };
    }
    fn usual_us(self) -> i64 {
        self.0.unwrap_or(INTERVAL_US_UNKNOWN)
    }
}

#[derive(Debug)]
pub(crate) struct Tank {
    pub(crate) level: TankLevel,
    pub(crate) stale: bool,
    pub(crate) version: u64,
    measured_every: Interval,
    arrives_every: Interval,
    /// Measured at and ml, oldest first, spread over the last hour.
    hour: VecDeque<(i64, u64)>,
}

impl Tank {
    fn new(level: TankLevel) -> Self {
        let mut tank = Self {
            level,
            stale: false,
            version: 0,
            measured_every: Interval::default(),
            arrives_every: Interval::default(),
            hour: VecDeque::new(),
        };
        tank.note_level();
        tank
    }

    fn apply(&mut self, level: TankLevel) {
        self.measured_every.learn(level.measured_at_us.get() - self.level.measured_at_us.get());
        self.arrives_every.learn(level.received_at_us.get() - self.level.received_at_us.get());
        self.level = level;
        self.note_level();
    }

    fn note_level(&mut self) {
        let now = self.level.measured_at_us.get();
        while self.hour.front().is_some_and(|&(at, _)| at < now - TREND_US) {
            self.hour.pop_front();
        }
        if self.hour.back().is_none_or(|&(at, _)| now - at >= TREND_STEP_US) {
            self.hour.push_back((now, self.level.volume_ml.get()));
        }
    }

    /// Change of volume in ml an hour over the last hour; absent while less than five minutes are known.
    pub(crate) fn trend_ml_h(&self) -> Option<i64> {
        let &(from, volume) = self.hour.front()?;
        let span = self.level.measured_at_us.get() - from;
        if span < TREND_SPAN_US_MIN {
            return None;
        }
        let change = i128::from(self.level.volume_ml.get()) - i128::from(volume);
        i64::try_from(change * i128::from(60 * MICROS_PER_MINUTE) / i128::from(span)).ok()
    }

    fn is_stale(&self, network_us: i64, now_us: i64, stale_after_us: i64) -> bool {
        let silent = |since: TimestampUs, clock: i64, usual: Interval| {
            clock - since.get() > stale_after_us.max(STALE_INTERVALS.saturating_mul(usual.usual_us()))
        };
        silent(self.level.measured_at_us, network_us, self.measured_every)
            || silent(self.level.received_at_us, now_us, self.arrives_every)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tanks {
    tanks: Vec<Tank>,
    links: Links,
    list: List,
}

impl Tanks {
    /// Adds a tank that shows `level`, and returns its place.
    pub(crate) fn add(&mut self, level: TankLevel, version: u64) -> u32 {
        let place = u32::try_from(self.tanks.len()).unwrap_or(u32::MAX);
        self.tanks.push(Tank { version, ..Tank::new(level) });
        self.links.add(&mut self.list);
        place
    }

    /// The tank at `place` shows `level`, unless that is older than what it shows.
    pub(crate) fn apply(&mut self, place: u32, level: TankLevel, version: u64) {
        let tank = &mut self.tanks[place as usize];
        if level.late || level.measured_at_us < tank.level.measured_at_us {
            return;
        }
        tank.apply(level);
        self.touch(place, version);
    }

    /// Judges every tank anew at `now_us`; those that fell silent or came back have changed at `version`. True if any did.
    pub(crate) fn judge_silence(&mut self, now_us: i64, stale_after_us: i64, version: u64) -> bool {
        let network_us = self.network_us();
        let mut changed = false;
        for place in 0..self.tanks.len() {
            let stale = self.tanks[place].is_stale(network_us, now_us, stale_after_us);
            if stale != self.tanks[place].stale {
                self.tanks[place].stale = stale;
                self.touch(u32::try_from(place).unwrap_or(u32::MAX), version);
                changed = true;
            }
        }
        changed
    }

    /// How far the network's event time has come. Not the very newest reading: one gauge with a wrong clock must not make
    /// all others look silent.
    fn network_us(&self) -> i64 {
        let mut times: Vec<i64> = self.tanks.iter().map(|tank| tank.level.measured_at_us.get()).collect();
        let from_top = match times.len() {
            0 => return 0,
            1 | 2 => 0,
            count => (count / 20).max(1),
        };
        let place = times.len() - 1 - from_top;
        *times.select_nth_unstable(place).1
    }

    pub(crate) fn at(&self, place: u32) -> &Tank {
        &self.tanks[place as usize]
    }

    pub(crate) fn all(&self) -> &[Tank] {
        &self.tanks
    }

    pub(crate) fn changed_since(&self, version: u64) -> impl Iterator<Item = &Tank> {
        self.links
            .newest_first(self.list)
            .map(|place| &self.tanks[place])
            .take_while(move |tank| tank.version > version)
    }

    fn touch(&mut self, place: u32, version: u64) {
        self.links.touch(&mut self.list, place);
        self.tanks[place as usize].version = version;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use model::{Millilitres, Origin, OriginTopic, PartitionId, ProductCode, Reading, SiteId, TankId};

    fn level(tank: usize, minute: i64, litres: u32, received_s: i64) -> TankLevel {
        let origin = Origin { topic: OriginTopic::Readings, partition: PartitionId(0), offset: 0 };
        let ids = (SiteId::new("S-1").expect("a site"), TankId::new(&tank.to_string()).expect("a tank"));
        let product = ProductCode::new("DIESEL").expect("a product");
        let reading = Reading::new(ids.0, ids.1, product, TimestampUs::from_micros(minute * MICROS_PER_MINUTE));
        let received_at = TimestampUs::from_micros(received_s * MICROS_PER_SECOND);
        TankLevel::as_sent(origin, received_at, &reading, Millilitres::from_litres(litres))
    }

    /// One tank; each word is `minute:litres`.
    fn check(readings: &str, trend: &Expect) {
        let mut tanks = Tanks::default();
        for reading in readings.split_whitespace() {
            let (minute, litres) = reading.split_once(':').expect("minute:litres");
            let level = level(0, minute.parse().expect("minutes"), litres.parse().expect("litres"), 0);
            if tanks.all().is_empty() {
                tanks.add(level, 1);
            } else {
                tanks.apply(0, level, 1);
            }
        }
        let tank = tanks.at(0);
        trend.assert_eq(&format!("{} L, {:?} ml/h", tank.level.volume_ml.get() / 1000, tank.trend_ml_h()));
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
            tanks.add(level(tank, 0, 1000, 0), 1);
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
}
