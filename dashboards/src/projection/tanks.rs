//! All tanks: their registration and level, where it is heading, whether the gauge has fallen silent, what was found out.
//!
//! In: registrations, accepted readings, readings set aside, events and days. Out: tanks, latest change first. A late reading
//! is history and does not move the level. A tank is listed once anything at all is heard of it.
//!
//! Silence is judged by two clocks, since a simulated network runs at its own speed: by event time against the newest
//! readings of the network (the gauge is behind the others), and by arrival (nobody sends any more).

mod found;
mod stock;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use model::{
    MICROS_PER_MINUTE, MICROS_PER_SECOND, Millilitres, ProductCode, Reading, ReadingRefused, SiteId, TankDay,
    TankEvent, TankId, TankLevel, TankSetup, TimestampUs,
};
use pipeline::tanks::forecast::{Forecast, forecast};
use serde::{Deserialize, Serialize};

use found::{Days, Events};
pub(crate) use stock::{ProductStock, wet_stock};

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
/// A forecast is made anew when the level is older than that one's by so much, or differs by a hundredth of the capacity.
const FORECAST_AGE_US: i64 = 10 * MICROS_PER_MINUTE;

/// The usual time between two readings: a moving average that one long silence hardly moves.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
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

/// Readings that gave no level.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asides {
    pub(crate) count: u64,
    /// Why the last of them gave none, when it came, and as it was sent.
    pub(crate) because: ReadingRefused,
    pub(crate) received_at: TimestampUs,
    pub(crate) reading: Box<Reading>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tank {
    pub(crate) site: SiteId,
    pub(crate) id: TankId,
    pub(crate) level: Option<TankLevel>,
    /// Without its charts. Absent: nobody registered the tank.
    pub(crate) setup: Option<Box<TankSetup>>,
    pub(crate) asides: Option<Asides>,
    pub(crate) events: Events,
    pub(crate) days: Days,
    #[serde(skip)]
    pub(crate) forecast: Option<Forecast>,
    #[serde(skip)]
    pub(crate) stale: bool,
    #[serde(skip)]
    pub(crate) version: u64,
    /// One more for each change of registration, events or days: what a line does not carry.
    pub(crate) revision: u32,
    #[serde(skip)]
    forecast_is_due: bool,
    measured_every: Interval,
    arrives_every: Interval,
    /// Measured at and ml, oldest first, spread over the last hour.
    hour: VecDeque<(i64, u64)>,
}

impl Tank {
    fn new(site: SiteId, id: TankId, version: u64) -> Self {
        Self {
            site,
            id,
            level: None,
            setup: None,
            asides: None,
            events: Events::default(),
            days: Days::default(),
            forecast: None,
            stale: false,
            version,
            revision: 0,
            forecast_is_due: false,
            measured_every: Interval::default(),
            arrives_every: Interval::default(),
            hour: VecDeque::new(),
        }
    }

    fn apply(&mut self, level: TankLevel) {
        if let Some(before) = &self.level {
            self.measured_every.learn(level.measured_at_us.get() - before.measured_at_us.get());
            self.arrives_every.learn(level.received_at_us.get() - before.received_at_us.get());
        }
        self.note_level(&level);
        self.forecast_is_due |= self.has_outgrown_its_forecast(&level);
        self.level = Some(level);
    }

    /// As registered, else as the last reading says.
    pub(crate) fn product(&self) -> Option<&ProductCode> {
        let registered = self.setup.as_ref().map(|setup| &setup.product);
        let measured = || self.level.as_ref().map(|level| &level.product);
        let sent = || self.asides.as_ref().map(|asides| &asides.reading.product);
        let found = || self.days.oldest_first().next_back().map(|day| &day.product);
        registered.or_else(measured).or_else(sent).or_else(found)
    }

    pub(crate) fn capacity(&self) -> Option<Millilitres> {
        let registered = self.setup.as_ref().map(|setup| setup.capacity_ml);
        registered.or_else(|| self.level.as_ref()?.capacity_ml)
    }

    /// The gauge says so, or the fuel that comes in.
    pub(crate) fn is_delivering(&self) -> bool {
        let told = self.level.as_ref().is_some_and(|level| level.status & Reading::DELIVERY != 0);
        told || self.events.a_delivery_is_open()
    }

    /// How far the tank's own time has come.
    pub(crate) fn now(&self) -> TimestampUs {
        self.level.as_ref().map(|level| level.measured_at_us).unwrap_or_default()
    }

    fn has_outgrown_its_forecast(&self, level: &TankLevel) -> bool {
        let Some(setup) = &self.setup else { return false };
        self.forecast.is_none_or(|made| {
            level.measured_at_us.get() - made.measured_at_us.get() >= FORECAST_AGE_US
                || level.volume_ml.get().abs_diff(made.level_ml.get()) > setup.capacity_ml.get() / 100
        })
    }

    /// True when the forecast changed.
    fn look_ahead(&mut self) -> bool {
        self.forecast_is_due = false;
        let (Some(setup), Some(level)) = (&self.setup, &self.level) else { return false };
        let made = forecast(setup, level.measured_at_us, level.volume_ml, &self.days.consumption());
        let changed = made != self.forecast;
        self.forecast = made;
        changed
    }

    fn note_level(&mut self, level: &TankLevel) {
        let now = level.measured_at_us.get();
        while self.hour.front().is_some_and(|&(at, _)| at < now - TREND_US) {
            self.hour.pop_front();
        }
        if self.hour.back().is_none_or(|&(at, _)| now - at >= TREND_STEP_US) {
            self.hour.push_back((now, level.volume_ml.get()));
        }
    }

    /// Change of volume in ml an hour over the last hour; absent while less than five minutes are known.
    pub(crate) fn trend_ml_h(&self) -> Option<i64> {
        let (level, &(from, volume)) = (self.level.as_ref()?, self.hour.front()?);
        let span = level.measured_at_us.get() - from;
        if span < TREND_SPAN_US_MIN {
            return None;
        }
        let change = i128::from(level.volume_ml.get()) - i128::from(volume);
        i64::try_from(change * i128::from(60 * MICROS_PER_MINUTE) / i128::from(span)).ok()
    }

    fn is_stale(&self, network_us: i64, now_us: i64, stale_after_us: i64) -> bool {
        let Some(level) = &self.level else { return false };
        let silent = |since: TimestampUs, clock: i64, usual: Interval| {
            clock - since.get() > stale_after_us.max(STALE_INTERVALS.saturating_mul(usual.usual_us()))
        };
        silent(level.measured_at_us, network_us, self.measured_every)
            || silent(level.received_at_us, now_us, self.arrives_every)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tanks {
    tanks: Vec<Tank>,
    links: Links,
    list: List,
}

impl Tanks {
    /// Adds a tank of which nothing is known yet, and returns its place.
    pub(crate) fn add(&mut self, site: SiteId, id: TankId, version: u64) -> u32 {
        let place = u32::try_from(self.tanks.len()).unwrap_or(u32::MAX);
        self.tanks.push(Tank::new(site, id, version));
        self.links.add(&mut self.list);
        place
    }

    /// A tank as it was saved, changed at `version`. Its forecast is made anew.
    pub(super) fn restore(&mut self, tank: Tank, version: u64) -> u32 {
        let place = self.add(tank.site.clone(), tank.id.clone(), version);
        let forecast_is_due = tank.setup.is_some();
        self.tanks[place as usize] = Tank { version, forecast_is_due, ..tank };
        place
    }

    /// The tank at `place` shows `level`, unless that is older than what it shows.
    pub(crate) fn apply(&mut self, place: u32, level: TankLevel, version: u64) {
        let tank = &mut self.tanks[place as usize];
        if tank.level.as_ref().is_some_and(|shown| level.late || level.measured_at_us < shown.measured_at_us) {
            return;
        }
        tank.apply(level);
        self.touch(place, version);
    }

    pub(crate) fn register(&mut self, place: u32, mut setup: Box<TankSetup>, version: u64) {
        setup.charts = Vec::new();
        let tank = &mut self.tanks[place as usize];
        tank.setup = Some(setup);
        tank.forecast_is_due = true;
        tank.revision += 1;
        self.touch(place, version);
    }

    pub(crate) fn found(&mut self, place: u32, event: TankEvent, version: u64) {
        let tank = &mut self.tanks[place as usize];
        if tank.events.apply(event) {
            tank.revision += 1;
            self.touch(place, version);
        }
    }

    pub(crate) fn day(&mut self, place: u32, day: TankDay, version: u64) {
        let tank = &mut self.tanks[place as usize];
        if tank.days.apply(day) {
            tank.forecast_is_due = true;
            tank.revision += 1;
            self.touch(place, version);
        }
    }

    pub(crate) fn set_aside(
        &mut self,
        place: u32,
        because: ReadingRefused,
        received_at: TimestampUs,
        reading: Box<Reading>,
        version: u64,
    ) {
        let tank = &mut self.tanks[place as usize];
        let count = tank.asides.as_ref().map_or(0, |asides| asides.count) + 1;
        tank.asides = Some(Asides { count, because, received_at, reading });
        self.touch(place, version);
    }

    /// Makes the forecasts that are due; those that differ have changed at `version`. True if any did.
    pub(crate) fn look_ahead(&mut self, version: u64) -> bool {
        let mut changed = false;
        for place in 0..self.tanks.len() {
            if self.tanks[place].forecast_is_due && self.tanks[place].look_ahead() {
                self.touch(u32::try_from(place).unwrap_or(u32::MAX), version);
                changed = true;
            }
        }
        changed
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
        let mut times: Vec<i64> =
            self.tanks.iter().filter_map(|tank| Some(tank.level.as_ref()?.measured_at_us.get())).collect();
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
