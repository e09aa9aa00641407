//! How far event time has come, over all partitions.
//!
//! In: the inputs of one worker, and the marks of the others. Out: the time up to which no record is expected any more.
//! Guarantees: it is the lowest of "newest record less lateness" over the partitions and topics that are not idle; one that
//! is being folded, or was started and is silent, holds it back until it is idle; when all are idle, it goes to the end of
//! the newest minute. Does not: promise that nothing comes later: partitions wake up. That is a late record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::{DeviceMessage, PartitionId, Sale, TimestampUs};

use super::levels::measured_at;
use super::{Config, Input, MINUTE_US};
use crate::worker::Time;

/// Nothing may close.
const HELD: i64 = i64::MIN;
/// This worker holds nothing back.
const FREE: i64 = i64::MAX;

/// One mark per worker.
#[derive(Clone)]
pub(super) struct Marks(Arc<[Mark]>);

struct Mark {
    /// The worker's own lowest.
    low_us: AtomicI64,
    /// Its newest record.
    high_us: AtomicI64,
}

impl Marks {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Mark { low_us: AtomicI64::new(FREE), high_us: AtomicI64::new(HELD) }).collect())
    }
    fn reached(&self) -> Option<Time> {
        let low = self.0.iter().map(|mark| mark.low_us.load(Ordering::Acquire)).min()?;
        let high = self.0.iter().map(|mark| mark.high_us.load(Ordering::Acquire)).max()?;
        let reached = match low {
            HELD => return None,
            FREE if high == HELD => return None,
            FREE => end_of_minute(high),
            low => low,
        };
        Time::try_from(reached).ok()
    }
}

/// The end of the minute that holds this moment.
pub(super) fn end_of_minute(at_us: i64) -> i64 {
    (at_us / MINUTE_US + 1).saturating_mul(MINUTE_US)
}

/// The latest tick, and which times it makes unbelievable.
#[derive(Clone, Copy, Default)]
pub(super) struct Now(Option<TimestampUs>);

impl Now {
    pub(super) fn tick(&mut self, at: TimestampUs) {
        self.0 = self.0.max(Some(at));
    }
    /// False for a sale that is dated too far ahead.
    pub(super) fn believes(self, rule: &Config, sale: &Sale) -> bool {
        match (self.0, rule.clock_ahead_max_us) {
            (Some(now), Some(ahead_max)) => sale.at_us <= now.plus_us(ahead_max),
            _ => true,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Readings,
    Sales,
}

/// A partition of one topic.
#[derive(Clone, Copy, Default)]
struct Course {
    high_us: Option<i64>,
    /// The tick at which something was last heard; unknown until the first tick after it.
    heard_at: Option<TimestampUs>,
}

/// The watermark as one worker computes it.
pub(super) struct Watermark {
    rule: Config,
    marks: Marks,
    index: usize,
    now: Now,
    courses: BTreeMap<(PartitionId, Lane), Course>,
    high_us: i64,
}

impl Watermark {
    pub(super) fn new(rule: &Config, marks: Marks, index: usize) -> Self {
        Self { rule: rule.clone(), marks, index, now: Now::default(), courses: BTreeMap::new(), high_us: HELD }
    }

    /// Learns from an input; gives the watermark after it.
    pub(super) fn observe(&mut self, input: &Input) -> Option<Time> {
        match input {
            Input::Fold { partition, .. } | Input::Start { partition, .. } => {
                for lane in [Lane::Readings, Lane::Sales] {
                    self.hear(*partition, lane, None);
                }
            }
            Input::Readings { partition, records } => {
                let time = |record: &model::ReadingRecord| match &record.message {
                    DeviceMessage::Reading(reading) => Some(measured_at(&self.rule, record.received_at_us, reading)),
                    DeviceMessage::Status(_) => None,
                };
                if let Some(newest) = records.iter().filter_map(|(_, record)| time(record)).max() {
                    self.hear(*partition, Lane::Readings, Some(newest));
                }
            }
            Input::Sales { partition, sales } => {
                let believed = sales.iter().filter(|(_, sale)| self.now.believes(&self.rule, sale));
                if let Some(newest) = believed.map(|(_, sale)| sale.at_us).max() {
                    self.hear(*partition, Lane::Sales, Some(newest));
                }
            }
            Input::Tick { at_us } => {
                self.now.tick(*at_us);
                for course in self.courses.values_mut() {
                    course.heard_at = course.heard_at.or(Some(*at_us));
                }
            }
            Input::Revoke { partition } => self.courses.retain(|(of, _), _| of != partition),
        }
        let mark = &self.marks.0[self.index];
        mark.high_us.store(self.high_us, Ordering::Release);
        mark.low_us.store(self.low(), Ordering::Release);
        self.marks.reached()
    }

    fn hear(&mut self, partition: PartitionId, lane: Lane, newest: Option<TimestampUs>) {
        let course = self.courses.entry((partition, lane)).or_default();
        course.heard_at = self.now.0;
        if let Some(newest) = newest.map(TimestampUs::get) {
            course.high_us = course.high_us.max(Some(newest));
            self.high_us = self.high_us.max(newest);
        }
    }

    fn low(&self) -> i64 {
        let idle = |course: &Course| match (self.now.0, course.heard_at) {
            (Some(now), Some(heard_at)) => now.get().saturating_sub(heard_at.get()) > self.rule.idle_after_us,
            _ => false,
        };
        let low =
            |course: &Course| course.high_us.map_or(HELD, |high| high.saturating_sub(self.rule.lateness_us).max(0));
        self.courses.values().filter(|course| !idle(course)).map(low).min().unwrap_or(FREE)
    }
}
