//! How far event time has come, over all partitions.
//!
//! In: the inputs of one worker, and the marks of the others. Out: the time up to which no record is expected any more.
//! Guarantees: it is the lowest of "newest record less lateness" over the partitions and topics that are not idle; one that
//! is being folded, or was started and is silent, holds it back until it is idle; when all are idle, it goes to the end of
//! the newest minute. A record dated ahead of the clock moves nothing before its time. Does not: promise that nothing comes later: partitions wake up. That is a late record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::{DeviceMessage, PartitionId, TimestampUs};

use super::levels::measured_at;
use super::{Config, Input, MINUTE_US};
use crate::worker::Time;

/// Nothing may close.
const HELD: i64 = i64::MIN;
/// This worker holds nothing back.
const FREE: i64 = i64::MAX;
const AHEAD_MAX: usize = 256;

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

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Readings,
    Sales,
}

/// A partition of one topic.
#[derive(Default)]
struct Course {
    /// The newest record that is believed.
    high_us: Option<i64>,
    /// Records that are dated too far ahead of the last tick, until it comes near: one wrong clock must not close the
    /// minutes of all. The earliest [`AHEAD_MAX`] are enough.
    ahead_us: BTreeSet<i64>,
    /// The tick at which something was last heard; unknown until the first tick after it.
    heard_at: Option<TimestampUs>,
}

/// The watermark as one worker computes it.
pub(super) struct Watermark {
    rule: Config,
    marks: Marks,
    index: usize,
    now: Option<TimestampUs>,
    courses: BTreeMap<(PartitionId, Lane), Course>,
    high_us: i64,
}

impl Watermark {
    pub(super) fn new(rule: &Config, marks: Marks, index: usize) -> Self {
        Self { rule: rule.clone(), marks, index, now: None, courses: BTreeMap::new(), high_us: HELD }
    }

    /// Learns from an input; gives the watermark after it.
    pub(super) fn observe(&mut self, input: &Input) -> Option<Time> {
        match input {
            Input::Fold { partition, .. } | Input::Start { partition, .. } => {
                for lane in [Lane::Readings, Lane::Sales] {
                    self.course(*partition, lane);
                }
            }
            Input::Readings { partition, records } => {
                for (_, record) in records {
                    if let DeviceMessage::Reading(reading) = &record.message {
                        let at = measured_at(&self.rule, record.received_at_us, reading);
                        self.hear(*partition, Lane::Readings, at);
                    }
                }
            }
            Input::Sales { partition, sales } => {
                for (_, sale) in sales {
                    self.hear(*partition, Lane::Sales, sale.at_us);
                }
            }
            Input::Tick { at_us } => self.tick(*at_us),
            Input::CaughtUp { .. } => {}
            Input::Revoke { partition } => self.courses.retain(|(of, _), _| of != partition),
        }
        let mark = &self.marks.0[self.index];
        mark.high_us.store(self.high_us, Ordering::Release);
        mark.low_us.store(self.low(), Ordering::Release);
        self.marks.reached()
    }

    /// Something of this partition and topic was heard.
    fn course(&mut self, partition: PartitionId, lane: Lane) -> &mut Course {
        let course = self.courses.entry((partition, lane)).or_default();
        course.heard_at = self.now;
        course
    }

    fn hear(&mut self, partition: PartitionId, lane: Lane, at: TimestampUs) {
        let believed = self.believed_until().is_none_or(|until| at <= until);
        let course = self.course(partition, lane);
        if believed {
            course.high_us = course.high_us.max(Some(at.get()));
            self.high_us = self.high_us.max(at.get());
        } else {
            course.ahead_us.insert(at.get());
            if course.ahead_us.len() > AHEAD_MAX {
                course.ahead_us.pop_last();
            }
        }
    }

    fn tick(&mut self, at: TimestampUs) {
        self.now = self.now.max(Some(at));
        let until = self.believed_until().map_or(i64::MAX, TimestampUs::get);
        for course in self.courses.values_mut() {
            course.heard_at = course.heard_at.or(Some(at));
            while course.ahead_us.first().is_some_and(|first| *first <= until) {
                let caught_up = course.ahead_us.pop_first();
                course.high_us = course.high_us.max(caught_up);
                self.high_us = self.high_us.max(caught_up.unwrap_or(HELD));
            }
        }
    }

    /// Later records are not believed yet.
    fn believed_until(&self) -> Option<TimestampUs> {
        Some(self.now?.plus_us(self.rule.clock_ahead_max_us?))
    }

    fn low(&self) -> i64 {
        let idle = |course: &Course| match (self.now, course.heard_at) {
            (Some(now), Some(heard_at)) => now.get().saturating_sub(heard_at.get()) > self.rule.idle_after_us,
            _ => false,
        };
        let low =
            |course: &Course| course.high_us.map_or(HELD, |high| high.saturating_sub(self.rule.lateness_us).max(0));
        self.courses.values().filter(|course| !idle(course)).map(low).min().unwrap_or(FREE)
    }
}
