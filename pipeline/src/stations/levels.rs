//! What each tank of a partition holds.
//!
//! In: readings, in the order of the partition; or the levels that were recorded of them. Out: a level per accepted
//! reading, and what left the tank since. Guarantees: state is a fold of levels, so a restart sees repeats and draws as if
//! it had not happened; a repeat of a remembered reading leaves nothing. Does not: correct heights, know deliveries.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::HashMap;
use model::{Millilitres, Origin, ProductCode, Reading, ReadingRefused, SiteId, TankId, TankLevel, TimestampUs};

use super::Config;

type State = foldhash::fast::FixedState;

/// The tanks of one partition.
#[derive(Default)]
pub(super) struct Levels {
    tanks: HashMap<(SiteId, TankId), Tank, State>,
}

impl Levels {
    /// The level that a reading of an unregistered tank shows as it was sent, or why none.
    pub(super) fn decide(
        &self,
        rule: &Config,
        origin: Origin,
        received_at: TimestampUs,
        reading: &Reading,
    ) -> Result<TankLevel, ReadingRefused> {
        if reading.status & Reading::INVALID_HEIGHT != 0 {
            return Err(ReadingRefused::InvalidHeight);
        }
        let volume_ml = reading.volume_ml.ok_or(ReadingRefused::NoVolume)?;
        let mut level = TankLevel::as_sent(origin, received_at, reading, volume_ml);
        level.measured_at_us = measured_at(rule, received_at, reading);
        if level.measured_at_us != reading.measured_at_us {
            level.raw = Some(Box::new(reading.clone()));
        }
        self.admit(rule, level)
    }

    /// The level, marked when it is history; or why it is none.
    pub(super) fn admit(&self, rule: &Config, mut level: TankLevel) -> Result<TankLevel, ReadingRefused> {
        match self.tanks.get(&(level.site.clone(), level.tank.clone())) {
            None if self.tanks.len() >= rule.tanks_max => return Err(ReadingRefused::TooManyTanks),
            None => {}
            Some(tank) if tank.seen.contains(&fingerprint(&level)) => return Err(ReadingRefused::Repeat),
            Some(tank) => level.late = level.measured_at_us < tank.newest_at,
        }
        Ok(level)
    }

    /// Takes a level in; gives what left the tank since the one before.
    pub(super) fn evolve(&mut self, rule: &Config, level: &TankLevel) -> Millilitres {
        let tank = self.tanks.entry((level.site.clone(), level.tank.clone())).or_insert_with(|| Tank::new(level));
        while tank.seen.len() >= rule.readings_remembered.max(1) {
            tank.seen.pop_front();
        }
        tank.seen.push_back(fingerprint(level));
        if level.late {
            return Millilitres::ZERO;
        }
        tank.newest_at = level.measured_at_us;
        tank.surface.follow(rule.rise_min_ml, &level.product, level.volume_ml)
    }
}

/// When the reading counts: at its own time, or at its arrival when the gauge's clock is ahead.
pub(super) fn measured_at(rule: &Config, received_at: TimestampUs, reading: &Reading) -> TimestampUs {
    match rule.clock_ahead_max_us {
        Some(ahead_max) if reading.measured_at_us > received_at.plus_us(ahead_max) => received_at,
        _ => reading.measured_at_us,
    }
}

struct Tank {
    /// Of the levels that were not late.
    newest_at: TimestampUs,
    /// Fingerprints of the last accepted readings, oldest first.
    seen: VecDeque<u64>,
    surface: Surface,
}

impl Tank {
    fn new(level: &TankLevel) -> Self {
        let surface = Surface { product: level.product.clone(), low_ml: level.volume_ml, rising: false };
        Self { newest_at: level.measured_at_us, seen: VecDeque::new(), surface }
    }
}

/// A gauge's surface trembles: the sum of its drops would grow while nothing is sold. What counts is how far the level goes
/// below its lowest since the last delivery.
struct Surface {
    product: ProductCode,
    low_ml: Millilitres,
    /// A delivery is coming in: the lowest level goes up with it.
    rising: bool,
}

impl Surface {
    fn follow(&mut self, rise_min: Millilitres, product: &ProductCode, level: Millilitres) -> Millilitres {
        if *product != self.product {
            *self = Self { product: product.clone(), low_ml: level, rising: false };
            return Millilitres::ZERO;
        }
        if level <= self.low_ml {
            let drawn = self.low_ml.less(level);
            self.rising = self.rising && drawn == Millilitres::ZERO;
            self.low_ml = level;
            return drawn;
        }
        self.rising = self.rising || level.less(self.low_ml) >= rise_min;
        if self.rising {
            self.low_ml = level;
        }
        Millilitres::ZERO
    }
}

/// The same for readings of one second with the same values. Lives in memory only.
fn fingerprint(level: &TankLevel) -> u64 {
    let second = level.measured_at_us.get() / model::MICROS_PER_SECOND;
    let values = (level.volume_ml, level.capacity_ml, level.height(), level.water(), level.temperature());
    State::default().hash_one((second, &level.product, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use model::{OriginTopic, PartitionId};

    /// `09:00:00 12000.5`, in litres; then optional `tank 2`, `product 95`, `water 12`, `invalid`, `unknown`, `arrives 09:00:00`.
    fn reading(text: &str) -> (TimestampUs, Reading) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|w| *w == word).map(|at| words[at + 1]);
        let measured_at_us = at(words[0]);
        let (site, tank) = (SiteId::new("A").unwrap(), TankId::new(after("tank").unwrap_or("1")).unwrap());
        let product = ProductCode::new(after("product").unwrap_or("DIESEL")).unwrap();
        let reading = Reading {
            volume_ml: (!words.contains(&"unknown")).then(|| litres(words[1])),
            water_mm: after("water").map(|mm| model::Millimetres(mm.parse().unwrap())),
            status: if words.contains(&"invalid") { Reading::INVALID_HEIGHT } else { 0 },
            ..Reading::new(site, tank, product, measured_at_us)
        };
        (after("arrives").map_or(measured_at_us, at), reading)
    }

    fn litres(text: &str) -> Millilitres {
        let (litres, tenths) = text.split_once('.').unwrap_or((text, "0"));
        Millilitres::new(litres.parse::<u64>().unwrap() * 1000 + tenths.parse::<u64>().unwrap() * 100).unwrap()
    }

    fn at(clock: &str) -> TimestampUs {
        format!("1970-01-02T{clock}Z")
            .parse::<jiff::Timestamp>()
            .map(|t| TimestampUs::from_micros(t.as_microsecond()))
            .unwrap()
    }

    /// What the tanks make of the readings, one line each; the same when they are restored from their levels halfway.
    fn check_with(rule: &Config, script: &str, expect: Expect) {
        let run = |restart_before: usize| {
            let (mut levels, mut recorded, mut lines) = (Levels::default(), Vec::new(), String::new());
            for (offset, text) in script.split('|').enumerate() {
                if offset == restart_before {
                    levels = Levels::default();
                    recorded.iter().for_each(|level| _ = levels.evolve(rule, level));
                }
                let (received_at, reading) = reading(text);
                let origin = Origin { topic: OriginTopic::Readings, partition: PartitionId(0), offset: offset as i64 };
                let line = match levels.decide(rule, origin, received_at, &reading) {
                    Err(dropped) => format!("dropped: {}", dropped.as_str()),
                    Ok(level) => {
                        let drawn = levels.evolve(rule, &level).get() as f64 / 1000.0;
                        let (time, volume) = (level.measured_at_us.to_string(), level.volume_ml.get() as f64 / 1000.0);
                        let late = if level.late { ", late" } else { "" };
                        recorded.push(level);
                        format!("{} {volume} L, {drawn} L drawn{late}", &time[11..19])
                    }
                };
                lines.push_str(&format!("{line}\n"));
            }
            lines
        };
        let lines = run(usize::MAX);
        expect.assert_eq(&lines);
        for restart in 0..script.split('|').count() {
            assert_eq!(run(restart), lines, "restarted before reading {restart}");
        }
    }

    fn check(script: &str, expect: Expect) {
        check_with(&Config::default(), script, expect);
    }

    #[test]
    fn a_falling_level_is_consumption() {
        check(
            "09:00:00 12000 | 09:01:00 11960.5 | 09:02:00 11960.5 | 09:03:00 11900",
            expect![[r#"
            09:00:00 12000 L, 0 L drawn
            09:01:00 11960.5 L, 39.5 L drawn
            09:02:00 11960.5 L, 0 L drawn
            09:03:00 11900 L, 60.5 L drawn
        "#]],
        );
    }

    #[test]
    fn repeats_leave_nothing() {
        check(
            "09:00:00 12000 | 09:00:00 12000 | 09:01:00 11960 | 09:00:00 12000 | 09:01:00.7 11960 | 09:01:00 11961 | 09:01:01 11960",
            expect![[r#"
            09:00:00 12000 L, 0 L drawn
            dropped: repeat
            09:01:00 11960 L, 40 L drawn
            dropped: repeat
            dropped: repeat
            09:01:00 11961 L, 0 L drawn
            09:01:01 11960 L, 0 L drawn
        "#]],
        );
    }

    #[test]
    fn a_reading_that_was_overtaken_is_history() {
        check(
            "09:00:00 12000 | 09:02:00 11900 | 09:01:00 11950 | 09:03:00 11890",
            expect![[r#"
            09:00:00 12000 L, 0 L drawn
            09:02:00 11900 L, 100 L drawn
            09:01:00 11950 L, 0 L drawn, late
            09:03:00 11890 L, 10 L drawn
        "#]],
        );
    }

    #[test]
    fn a_delivery_is_not_consumption_and_sales_after_it_are() {
        check(
            "09:00:00 2000 | 09:00:10 2150 | 09:00:20 2190 | 09:00:30 2380 | 09:00:40 2380 | 09:00:50 2340",
            expect![[r#"
            09:00:00 2000 L, 0 L drawn
            09:00:10 2150 L, 0 L drawn
            09:00:20 2190 L, 0 L drawn
            09:00:30 2380 L, 0 L drawn
            09:00:40 2380 L, 0 L drawn
            09:00:50 2340 L, 40 L drawn
        "#]],
        );
    }

    #[test]
    fn a_trembling_surface_consumes_nothing() {
        check(
            "09:00:00 5000 | 09:01:00 5012 | 09:02:00 5001 | 09:03:00 5015 | 09:04:00 5000 | 09:05:00 4960",
            expect![[r#"
            09:00:00 5000 L, 0 L drawn
            09:01:00 5012 L, 0 L drawn
            09:02:00 5001 L, 0 L drawn
            09:03:00 5015 L, 0 L drawn
            09:04:00 5000 L, 0 L drawn
            09:05:00 4960 L, 40 L drawn
        "#]],
        );
    }

    #[test]
    fn an_invalid_height_is_no_level() {
        check(
            "09:00:00 5000 | 09:01:00 0 invalid | 09:02:00 4990",
            expect![[r#"
            09:00:00 5000 L, 0 L drawn
            dropped: invalid_height
            09:02:00 4990 L, 10 L drawn
        "#]],
        );
    }

    #[test]
    fn another_product_in_the_tank_starts_afresh() {
        check(
            "09:00:00 5000 product 95 | 09:01:00 800 product 92 | 09:02:00 790 product 92",
            expect![[r#"
            09:00:00 5000 L, 0 L drawn
            09:01:00 800 L, 0 L drawn
            09:02:00 790 L, 10 L drawn
        "#]],
        );
    }

    #[test]
    fn tanks_do_not_mix() {
        check(
            "09:00:00 5000 tank 1 | 09:00:00 5000 tank 2 | 09:01:00 4000 tank 2 | 09:01:00 4990 tank 1",
            expect![[r#"
            09:00:00 5000 L, 0 L drawn
            09:00:00 5000 L, 0 L drawn
            09:01:00 4000 L, 1000 L drawn
            09:01:00 4990 L, 10 L drawn
        "#]],
        );
    }

    #[test]
    fn a_gauge_whose_clock_is_ahead_is_dated_at_arrival() {
        check(
            "12:00:00 5000 arrives 09:00:00 | 09:01:00 4990 | 12:02:00 4980 arrives 09:02:00",
            expect![[r#"
            09:00:00 5000 L, 0 L drawn
            09:01:00 4990 L, 10 L drawn
            09:02:00 4980 L, 10 L drawn
        "#]],
        );
    }

    #[test]
    fn memory_for_repeats_and_tanks_is_bounded() {
        let rule = Config { readings_remembered: 2, tanks_max: 1, ..Config::default() };
        let script = "09:00:00 50 | 09:01:00 49 | 09:02:00 48 | 09:01:00 49 | 09:00:00 50 | 09:03:00 47 tank 2";
        check_with(
            &rule,
            script,
            expect![[r#"
            09:00:00 50 L, 0 L drawn
            09:01:00 49 L, 1 L drawn
            09:02:00 48 L, 1 L drawn
            dropped: repeat
            09:00:00 50 L, 0 L drawn, late
            dropped: too_many_tanks
        "#]],
        );
    }
}
