//! Limits with what was used of them.
//!
//! In: purchases as they are held, sold and given back. Out: what is used and held of a limit in any window. Guarantees: the
//! figures are those that a sum over all purchases would give; a counter is only that sum, kept for the two newest
//! windows or, for rolling windows, per purchase. Does not: decide; it never sees a request.

use std::collections::VecDeque;

use model::{CalendarUnit, LimitMode, Measure, TimestampUs, WeekStart, Window};
use serde::{Deserialize, Serialize};

use super::calendar::{self, Local};
use super::lines::{Lines, Selector};
use super::tables::LONG_AGO;

/// Longest rolling window, and how long single purchases are remembered behind it.
pub(super) const ROLLING_SECS_MAX: u32 = 31 * 86_400;

/// Late purchases still find the windows of the last days.
const ROLLING_KEPT_US: i64 = (ROLLING_SECS_MAX as i64 + 4 * 86_400) * model::MICROS_PER_SECOND;

/// A limit of one scope, and the sums that it rests on. Small: a decision reads one per limit, and what is rare is boxed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Counter {
    pub(super) value: i64,
    newest: Bucket,
    previous: Bucket,
    /// Its place among the limits of the contract: the words about it are there.
    pub(super) limit: u32,
    pub(super) selector: Selector,
    window: CounterWindow,
    pub(super) measure: Measure,
    pub(super) mode: LimitMode,
    /// No schedule and no validity: nothing to look up.
    pub(super) plain: bool,
    pub(super) offline: bool,
    /// Has an alert.
    pub(super) watched: bool,
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum CounterWindow {
    PerTransaction,
    Calendar(CalendarUnit, u8, WeekStart),
    Rolling,
    Lifetime,
    OneOff,
}

/// The sums of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bucket {
    period: i64,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Usage {
    pub(super) used: i64,
    pub(super) held: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rare {
    rolling: Option<Rolling>,
    /// When a one-off limit began.
    since_us: i64,
}

/// The purchases of a rolling window, by time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rolling {
    length_us: i64,
    entries: VecDeque<RollingEntry>,
    sum: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RollingEntry {
    at_us: i64,
    auth: i64,
    usage: Usage,
}

/// A purchase as counters see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted<'a> {
    pub(super) auth: i64,
    pub(super) at: TimestampUs,
    pub(super) local: Local,
    pub(super) before: Amounts<'a>,
    pub(super) after: Amounts<'a>,
}

/// What a purchase holds and has sold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amounts<'a> {
    None,
    Held(&'a Lines),
    Sold(&'a Lines),
}

const NEVER: Bucket = Bucket { period: i64::MIN, usage: Usage { used: 0, held: 0 } };

impl Counter {
    pub(super) fn new(
        limit: u32,
        setting: &model::Limit,
        selector: Selector,
        week_start: WeekStart,
        since_us: i64,
    ) -> Self {
        let window = match setting.window {
            Window::PerTransaction => CounterWindow::PerTransaction,
            Window::Calendar { unit, count } => {
                CounterWindow::Calendar(unit, u8::try_from(count.max(1)).unwrap_or(u8::MAX), week_start)
            }
            Window::Rolling { .. } => CounterWindow::Rolling,
            Window::Lifetime => CounterWindow::Lifetime,
            Window::OneOff => CounterWindow::OneOff,
        };
        let rolling = match setting.window {
            Window::Rolling { secs } => {
                Some(Rolling { length_us: i64::from(secs) * model::MICROS_PER_SECOND, ..Rolling::default() })
            }
            _ => None,
        };
        let rare = rolling.is_some() || window == CounterWindow::OneOff;
        Self {
            value: setting.value,
            newest: NEVER,
            previous: NEVER,
            limit,
            selector,
            window,
            measure: setting.measure,
            mode: setting.mode,
            plain: setting.schedule.is_none() && setting.valid_from_us.is_none() && setting.valid_to_us.is_none(),
            offline: setting.offline,
            watched: setting.alert_left.is_some(),
            rare: rare.then(|| Box::new(Rare { rolling, since_us })),
        }
    }

    /// The same sums under another setting that counts alike.
    pub(super) fn with(mut self, limit: u32, setting: &model::Limit) -> Self {
        self.limit = limit;
        self.value = setting.value;
        self.mode = setting.mode;
        self.watched = setting.alert_left.is_some();
        self.plain = setting.schedule.is_none() && setting.valid_from_us.is_none() && setting.valid_to_us.is_none();
        self
    }

    pub(super) fn is_per_transaction(&self) -> bool {
        self.window == CounterWindow::PerTransaction
    }

    /// The number of the window that holds a moment: for rolling windows the moment itself.
    pub(super) fn period(&self, at: TimestampUs, local: Local) -> i64 {
        match self.window {
            CounterWindow::Calendar(CalendarUnit::Day, 1, _) => i64::from(local.day),
            CounterWindow::Calendar(unit, count, week_start) => {
                calendar::period(unit, u16::from(count), week_start, local.day)
            }
            CounterWindow::Rolling => at.get(),
            CounterWindow::PerTransaction | CounterWindow::Lifetime | CounterWindow::OneOff => 0,
        }
    }

    /// What is used and held in the window; `None` when only the purchases themselves can tell.
    pub(super) fn usage(&self, period: i64) -> Option<Usage> {
        if period == self.newest.period {
            return Some(self.newest.usage);
        }
        if let Some(rolling) = self.rare.as_ref().and_then(|rare| rare.rolling.as_ref()) {
            return Some(rolling.after(period - rolling.length_us));
        }
        if period > self.newest.period || self.window == CounterWindow::PerTransaction {
            return Some(Usage::default());
        }
        if period == self.previous.period {
            return Some(self.previous.usage);
        }
        (period > self.previous.period).then(Usage::default)
    }

    /// Takes in a change of one purchase. The schedule and the offline flag were matched before.
    pub(super) fn count(&mut self, counted: Counted<'_>) {
        let before = self.amounts(counted.before);
        let after = self.amounts(counted.after);
        if before == after {
            return;
        }
        let change = Usage { used: after.used - before.used, held: after.held - before.held };
        match (self.window, &mut self.rare) {
            (CounterWindow::PerTransaction, _) => {}
            (CounterWindow::OneOff, Some(rare)) if counted.at.get() < rare.since_us => {}
            (CounterWindow::Rolling, Some(rare)) => {
                if let Some(rolling) = &mut rare.rolling {
                    rolling.change(counted.at.get(), counted.auth, change);
                    rolling.forget(counted.at.get() - ROLLING_KEPT_US);
                }
            }
            _ => self.add(self.period(counted.at, counted.local), change),
        }
    }

    /// Adds to a window; a window older than the two that are kept is left to the purchases.
    pub(super) fn add(&mut self, period: i64, change: Usage) {
        let fresh = Bucket { period, usage: Usage::default() };
        if period > self.newest.period {
            self.previous = self.newest;
            self.newest = fresh;
        } else if period < self.newest.period && period > self.previous.period {
            // No purchase fell between the two: this window begins now.
            self.previous = fresh;
        }
        if period == self.newest.period {
            self.newest.usage = self.newest.usage.plus(change);
        } else if period == self.previous.period {
            self.previous.usage = self.previous.usage.plus(change);
        }
    }

    /// What a purchase contributes.
    pub(super) fn amounts(&self, amounts: Amounts<'_>) -> Usage {
        match amounts {
            Amounts::None => Usage::default(),
            Amounts::Held(lines) => Usage { used: 0, held: self.measured(lines).unwrap_or(0) },
            Amounts::Sold(lines) => Usage { used: self.measured(lines).unwrap_or(0), held: 0 },
        }
    }

    /// The lines in the limit's measure; `None` when it does not concern them.
    pub(super) fn measured(&self, lines: &Lines) -> Option<i64> {
        let sum = lines.sum_of(self.selector)?;
        Some(match self.measure {
            Measure::Volume => sum.ml,
            Measure::Money => sum.minor,
            Measure::Count => 1,
        })
    }

    /// The month sums that lie in a window count for it too.
    pub(super) fn holds_month(&self, period: i64, month: i64) -> bool {
        match self.window {
            CounterWindow::Calendar(unit, count, _) => calendar::holds_month(unit, u16::from(count), period, month),
            CounterWindow::Lifetime => true,
            CounterWindow::PerTransaction | CounterWindow::Rolling | CounterWindow::OneOff => false,
        }
    }

    /// Sums of months as sums of this limit's windows; nothing for windows shorter than a month.
    pub(super) fn periods_of(&self, months: &[(i64, Usage)]) -> Vec<(i64, Usage)> {
        let window = |month: i64| match self.window {
            CounterWindow::Lifetime => Some(0),
            _ if month == LONG_AGO => None,
            CounterWindow::Calendar(CalendarUnit::Month, count, _) => Some(month.div_euclid(i64::from(count))),
            CounterWindow::Calendar(CalendarUnit::Quarter, count, _) => {
                Some(month.div_euclid(3).div_euclid(i64::from(count)))
            }
            CounterWindow::Calendar(CalendarUnit::Year, count, _) => {
                Some(month.div_euclid(12).div_euclid(i64::from(count)))
            }
            _ => None,
        };
        let mut periods: Vec<(i64, Usage)> =
            months.iter().filter_map(|(month, usage)| Some((window(*month)?, *usage))).collect();
        periods.sort_by_key(|(period, _)| *period);
        periods
    }
}

impl Usage {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { used: self.used.saturating_add(other.used), held: self.held.saturating_add(other.held) }
    }

    fn less(self, other: Self) -> Self {
        Self { used: self.used - other.used, held: self.held - other.held }
    }
}

impl Rolling {
    /// What was bought after `after_us`. Walks from the nearer end.
    fn after(&self, after_us: i64) -> Usage {
        let from = self.entries.partition_point(|entry| entry.at_us <= after_us);
        if from <= self.entries.len() / 2 {
            self.entries.iter().take(from).fold(self.sum, |sum, entry| sum.less(entry.usage))
        } else {
            self.entries.iter().skip(from).fold(Usage::default(), |sum, entry| sum.plus(entry.usage))
        }
    }

    /// Forgets the oldest purchases; one that is still held stays.
    fn forget(&mut self, before_us: i64) {
        while let Some(first) = self.entries.front() {
            if first.at_us >= before_us || first.usage.held != 0 {
                return;
            }
            self.sum = self.sum.less(first.usage);
            self.entries.pop_front();
        }
    }

    fn change(&mut self, at_us: i64, auth: i64, change: Usage) {
        self.sum = self.sum.plus(change);
        let place = self.entries.partition_point(|entry| (entry.at_us, entry.auth) < (at_us, auth));
        match self.entries.get_mut(place) {
            Some(entry) if (entry.at_us, entry.auth) == (at_us, auth) => entry.usage = entry.usage.plus(change),
            _ => self.entries.insert(place, RollingEntry { at_us, auth, usage: change }),
        }
    }
}
