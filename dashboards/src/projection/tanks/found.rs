//! What was found out about one tank: its events and its days.
//!
//! In: events and days with their corrections, in any order of version. Out: of each its latest version; what is open; what
//! happened last. Guarantees: at most [`EVENTS_MAX`] events and [`DAYS_MAX`] days; what lasts outlives what is over.

use std::collections::BTreeMap;

use model::{DayStock, MICROS_PER_MINUTE, SilenceCause, TankDay, TankEvent, TankEventKind, TimestampUs};
use pipeline::tanks::consumption::Day;
use serde::{Deserialize, Serialize};

/// Events kept per tank.
const EVENTS_MAX: usize = 200;
/// Days kept per tank: what a forecast rests on, and two weeks.
const DAYS_MAX: usize = 70;
const DAY_US: i64 = 24 * 60 * MICROS_PER_MINUTE;
/// A loss is news for so long after it was over.
const LOSS_IS_NEWS_US: i64 = DAY_US;
/// A leak is told once and never ends: it stands among the alarms for so long.
const LEAK_IS_NEWS_US: i64 = 14 * DAY_US;

/// Events by kind and number. A withdrawn one is kept as that, so that the page can say so.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<TankEvent>")]
pub(crate) struct Events(BTreeMap<(&'static str, u32), TankEvent>);

impl Serialize for Events {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values())
    }
}

impl From<Vec<TankEvent>> for Events {
    fn from(events: Vec<TankEvent>) -> Self {
        Self(events.into_iter().map(|event| ((event.kind.name(), event.number), event)).collect())
    }
}

impl Events {
    /// True when `event` says something new.
    pub(super) fn apply(&mut self, event: TankEvent) -> bool {
        let identity = (event.kind.name(), event.number);
        if self.0.get(&identity).is_some_and(|known| known.version >= event.version) {
            return false;
        }
        self.0.insert(identity, event);
        if self.0.len() > EVENTS_MAX {
            let least = self.0.iter().min_by_key(|(_, event)| (lasts(event), event.began_at_us)).map(|(key, _)| *key);
            least.and_then(|identity| self.0.remove(&identity));
        }
        true
    }

    pub(crate) fn newest_first(&self) -> Vec<&TankEvent> {
        let mut events: Vec<_> = self.0.values().collect();
        events.sort_unstable_by_key(|event| (std::cmp::Reverse(event.began_at_us), event.kind.name(), event.number));
        events
    }

    fn open(&self) -> impl Iterator<Item = &TankEvent> {
        self.0.values().filter(|event| lasts(event))
    }

    /// Since when the tank says nothing, and probably why.
    pub(crate) fn silence(&self) -> Option<(TimestampUs, SilenceCause)> {
        let of = |event: &TankEvent| match event.kind {
            TankEventKind::Silence { cause } => Some((event.began_at_us, cause)),
            _ => None,
        };
        self.open().filter_map(of).max_by_key(|(since, _)| *since)
    }

    pub(crate) fn a_delivery_is_open(&self) -> bool {
        self.open().any(|event| matches!(event.kind, TankEventKind::Delivery(_)))
    }

    pub(crate) fn last_delivery(&self) -> Option<(&TankEvent, &model::Delivery)> {
        let deliveries = self.0.values().filter_map(|event| match &event.kind {
            TankEventKind::Delivery(delivery) if !event.withdrawn => Some((event, delivery)),
            _ => None,
        });
        deliveries.max_by_key(|(event, _)| event.began_at_us)
    }

    /// What somebody should look at, as of `now`: each kind once, level alarms by their level.
    pub(crate) fn alarms(&self, now: TimestampUs) -> Vec<&'static str> {
        let since = |from: TimestampUs| now.get() - from.get();
        let alarm = |event: &TankEvent| match (&event.kind, event.ended_at_us) {
            (TankEventKind::LevelAlarm { level, .. }, None) => Some(level_name(*level)),
            (TankEventKind::UnexplainedLoss { .. }, ended) => {
                ended.is_none_or(|at| since(at) < LOSS_IS_NEWS_US).then_some(event.kind.name())
            }
            (TankEventKind::SuspectedLeak { .. }, None) => {
                (since(event.began_at_us) < LEAK_IS_NEWS_US).then_some(event.kind.name())
            }
            (TankEventKind::Delivery(_) | TankEventKind::Silence { .. }, _) | (_, Some(_)) => None,
            (_, None) => Some(event.kind.name()),
        };
        let mut alarms: Vec<_> = self.0.values().filter(|event| !event.withdrawn).filter_map(alarm).collect();
        alarms.sort_unstable();
        alarms.dedup();
        alarms
    }
}

fn lasts(event: &TankEvent) -> bool {
    !event.withdrawn && event.ended_at_us.is_none()
}

const fn level_name(level: model::AlarmLevel) -> &'static str {
    match level {
        model::AlarmLevel::LowLow => "low_low",
        model::AlarmLevel::Low => "low",
        model::AlarmLevel::High => "high",
        model::AlarmLevel::HighHigh => "high_high",
    }
}

/// The last days of a tank, by their number since 1970.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Days(BTreeMap<i64, TankDay>);

impl Days {
    /// True when `day` says something new.
    pub(super) fn apply(&mut self, day: TankDay) -> bool {
        if self.0.get(&day.day).is_some_and(|known| known.version >= day.version) {
            return false;
        }
        self.0.insert(day.day, day);
        while self.0.len() > DAYS_MAX {
            self.0.pop_first();
        }
        true
    }

    pub(crate) fn oldest_first(&self) -> impl DoubleEndedIterator<Item = &TankDay> {
        self.0.values()
    }

    /// The days of which the stock is known, as the forecast wants them.
    pub(super) fn consumption(&self) -> Vec<Day> {
        self.0.values().filter_map(|day| Some(consumption(day.day, day.stock.as_ref()?))).collect()
    }
}

const fn consumption(day: i64, stock: &DayStock) -> Day {
    Day {
        day,
        opening_ml: stock.opening_ml,
        closing_ml: stock.closing_ml,
        delivered_ml: stock.delivered_ml,
        consumed_ml: stock.consumed_ml,
        gained_ml: stock.gained_ml,
        measured: stock.measured,
    }
}
