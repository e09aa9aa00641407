//! Limits with what was used of them.
//!
//! In: purchases as they are held, sold and given back. Out: what is used and held of a limit in any window. Guarantees: the
//! figures are those that a sum over all purchases would give; a counter is only that sum, kept for the two newest
//! windows or, for rolling windows, per purchase. Does not: decide; it never sees a request.

use std::collections::VecDeque;

use model::{CalendarUnit, LimitMode, Measure, TimestampUs, WeekStart, Window};

use super::calendar::{self, Local};
use super::lines::{Lines, Selector};

/// Longest rolling window, and how long single purchases are remembered behind it.
pub(super) const ROLLING_SECS_MAX: u32 = 31 * 86_400;

/// Late purchases still find the windows of the last days.
const ROLLING_KEPT_US: i64 = (ROLLING_SECS_MAX as i64 + 4 * 86_400) * model::MICROS_PER_SECOND;

/// A limit of one scope, and the sums that it rests on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counter {
    /// Its place among the limits of the shard: the words about it are there.
    pub(super) limit: u32,
    pub(super) measure: Measure,
    pub(super) mode: LimitMode,
    pub(super) selector: Selector,
    /// No schedule and no validity: nothing to look up.
    pub(super) plain: bool,
    pub(super) offline: bool,
    window: CounterWindow,
    pub(super) value: i64,
    /// `i64::MIN` for none.
    pub(super) alert_left: i64,
    newest: Bucket,
    previous: Bucket,
    rolling: Option<Box<Rolling>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CounterWindow {
    PerTransaction,
    Calendar(CalendarUnit, u16, WeekStart),
    Rolling(i64),
    Lifetime,
    Since(i64),
}

/// The sums of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    period: i64,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) used: i64,
    pub(super) held: i64,
}

/// The purchases of a rolling window, by time.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rolling {
    entries: VecDeque<RollingEntry>,
    sum: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub(super) fn new(limit: u32, setting: &model::Limit, selector: Selector, week_start: WeekStart, set_at_us: i64) -> Self {
        let window = match setting.window {
            Window::PerTransaction => CounterWindow::PerTransaction,
            Window::Calendar { unit, count } => CounterWindow::Calendar(unit, count.max(1), week_start),
            Window::Rolling { secs } => CounterWindow::Rolling(i64::from(secs) * model::MICROS_PER_SECOND),
            Window::Lifetime => CounterWindow::Lifetime,
            Window::OneOff => CounterWindow::Since(set_at_us),
        };
        Self {
            limit,
            measure: setting.measure,
            mode: setting.mode,
            selector,
            plain: setting.schedule.is_none() && setting.valid_from_us.is_none() && setting.valid_to_us.is_none(),
            offline: setting.offline,
            window,
            value: setting.value,
            alert_left: setting.alert_left.unwrap_or(i64::MIN),
            newest: NEVER,
            previous: NEVER,
            rolling: matches!(window, CounterWindow::Rolling(_)).then(Box::default),
        }
    }

    pub(super) fn is_per_transaction(&self) -> bool {
        self.window == CounterWindow::PerTransaction
    }

    /// When a one-off limit was first set.
    pub(super) fn since_us(&self) -> Option<i64> {
        match self.window {
            CounterWindow::Since(at_us) => Some(at_us),
            _ => None,
        }
    }

    /// The number of the window that holds a moment: for rolling windows the moment itself.
    pub(super) fn period(&self, at: TimestampUs, local: Local) -> i64 {
        match self.window {
            CounterWindow::Calendar(CalendarUnit::Day, 1, _) => i64::from(local.day),
            CounterWindow::Calendar(unit, count, week_start) => calendar::period(unit, count, week_start, local.day),
            CounterWindow::Rolling(_) => at.get(),
            CounterWindow::PerTransaction | CounterWindow::Lifetime | CounterWindow::Since(_) => 0,
        }
    }

    /// What is used and held in the window; `None` when only the purchases themselves can tell.
    pub(super) fn usage(&self, period: i64) -> Option<Usage> {
        if let (CounterWindow::Rolling(length_us), Some(rolling)) = (self.window, &self.rolling) {
            return Some(rolling.after(period - length_us));
        }
        if self.window == CounterWindow::PerTransaction || period > self.newest.period {
            Some(Usage::default())
        } else if period == self.newest.period {
            Some(self.newest.usage)
        } else if period >= self.previous.period {
            Some(if period == self.previous.period { self.previous.usage } else { Usage::default() })
        } else {
            None
        }
    }

    /// Takes in a change of one purchase. The schedule and the offline flag were matched before.
    pub(super) fn count(&mut self, counted: Counted<'_>) {
        let before = self.amounts(counted.before);
        let after = self.amounts(counted.after);
        if before == after {
            return;
        }
        let change = Usage { used: after.used - before.used, held: after.held - before.held };
        match (self.window, &mut self.rolling) {
            (CounterWindow::PerTransaction, _) => {}
            (_, Some(rolling)) => {
                rolling.change(counted.at.get(), counted.auth, change);
                self.forget(counted.at.get() - ROLLING_KEPT_US);
            }
            (CounterWindow::Since(since), None) if counted.at.get() < since => {}
            _ => self.add(self.period(counted.at, counted.local), change),
        }
    }

    /// Adds to a window; a window older than the two that are kept is left to the purchases.
    pub(super) fn add(&mut self, period: i64, change: Usage) {
        if period > self.newest.period {
            self.previous = self.newest;
            self.newest = Bucket { period, usage: Usage::default() };
        } else if period < self.newest.period && period > self.previous.period {
            // No purchase fell between the two: this window begins now.
            self.previous = Bucket { period, usage: Usage::default() };
        }
        for bucket in [&mut self.newest, &mut self.previous] {
            if bucket.period == period {
                bucket.usage = bucket.usage.plus(change);
                return;
            }
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
            CounterWindow::Calendar(unit, count, _) => calendar::holds_month(unit, count, period, month),
            CounterWindow::Lifetime => true,
            CounterWindow::PerTransaction | CounterWindow::Rolling(_) | CounterWindow::Since(_) => false,
        }
    }

    /// Sums of months as sums of this limit's windows; nothing for windows shorter than a month.
    pub(super) fn periods_of(&self, months: &[(i64, Usage)]) -> Vec<(i64, Usage)> {
        let window = |month: i64| match self.window {
            CounterWindow::Calendar(CalendarUnit::Month, count, _) => Some(month.div_euclid(i64::from(count))),
            CounterWindow::Calendar(CalendarUnit::Quarter, count, _) => Some(month.div_euclid(3).div_euclid(i64::from(count))),
            CounterWindow::Calendar(CalendarUnit::Year, count, _) => Some(month.div_euclid(12).div_euclid(i64::from(count))),
            CounterWindow::Lifetime => Some(0),
            _ => None,
        };
        let mut periods: Vec<(i64, Usage)> =
            months.iter().filter_map(|(month, usage)| Some((window(*month)?, *usage))).collect();
        periods.sort_by_key(|(period, _)| *period);
        periods
    }

    /// Forgets single purchases that no window can reach any more.
    pub(super) fn forget(&mut self, before_us: i64) {
        let Some(rolling) = &mut self.rolling else { return };
        while let Some(first) = rolling.entries.front() {
            if first.at_us >= before_us || first.usage.held != 0 {
                return;
            }
            rolling.sum = rolling.sum.less(first.usage);
            rolling.entries.pop_front();
        }
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

    fn change(&mut self, at_us: i64, auth: i64, change: Usage) {
        self.sum = self.sum.plus(change);
        let place = self.entries.partition_point(|entry| (entry.at_us, entry.auth) < (at_us, auth));
        match self.entries.get_mut(place) {
            Some(entry) if (entry.at_us, entry.auth) == (at_us, auth) => entry.usage = entry.usage.plus(change),
            _ => self.entries.insert(place, RollingEntry { at_us, auth, usage: change }),
        }
    }
}
