//! The sums of each minute, and what of them was recorded.
//!
//! In: draws, sales, minutes as they were recorded, the progress of time. Out: minutes whose sums differ from what was
//! recorded last, with the next version. Guarantees, per site and product:
//! - Versions go up by one; a minute whose sums are as recorded is not written again.
//! - Sums go on from the recorded ones: a sale that a recorded minute holds (`sales_through`) is not added again, so sums
//!   are whole even when the sales themselves have expired. Draws follow from recorded levels, which never expire.
//! - A minute of a partition that is not started is never written.
//!
//! Does not: count what belongs to a minute that is no longer kept (older than the retention, or pushed out by
//! `windows_max`); know again a sale that was sent twice when only its second record is still kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{
    FORMAT_VERSION, Millilitres, Minute, PartitionId, ProductCode, SiteId, StationEvent, StationRecord, TimestampUs,
};

use super::shards::{Line, LineKind, News};
use super::watermark::end_of_minute;
use super::{Config, MINUTE_US, Output};

/// The minutes of one worker's sites.
pub(super) struct Windows {
    retention_us: i64,
    windows_max: usize,
    partitions: HashMap<PartitionId, Partition>,
    /// By start of the minute.
    minutes: BTreeMap<i64, BTreeMap<Key, Window>>,
    windows: usize,
    /// Minutes that end here or earlier are closed.
    closed_through_us: i64,
    /// Older minutes are gone, whatever their partition.
    kept_from_us: i64,
    /// Closed, and changed since: to be written at the next tick.
    corrections: BTreeSet<(i64, Key)>,
}

#[derive(Default)]
struct Partition {
    epoch: Option<i64>,
    /// Older minutes are gone: while folding, the newest minute less the retention.
    kept_from_us: i64,
    /// The highest offset of a sale that came here.
    sales_through: Option<i64>,
}

type Key = (PartitionId, SiteId, ProductCode);

/// `sums` is what is known; `version` and `recorded_consumed_ml` are those of the last record, 0 before the first.
#[derive(Default)]
struct Window {
    version: u32,
    sums: Sums,
    recorded_consumed_ml: Millilitres,
    /// Sales were added since the last record.
    sales_changed: bool,
    /// The recorded sums hold the sales of the partition up to here.
    sales_through: Option<i64>,
}

#[derive(Default)]
struct Sums {
    sales: u32,
    declines: u32,
    sold_ml: Millilitres,
    refunded_ml: Millilitres,
    sold_minor: BTreeMap<model::Currency, model::MinorUnits>,
    consumed_ml: Millilitres,
}

impl Windows {
    pub(super) fn new(rule: &Config) -> Self {
        Self {
            retention_us: rule.retention_us,
            windows_max: rule.windows_max,
            partitions: HashMap::new(),
            minutes: BTreeMap::new(),
            windows: 0,
            closed_through_us: 0,
            kept_from_us: 0,
            corrections: BTreeSet::new(),
        }
    }

    /// Takes news in. Gives the starts of minutes that have to be closed when their time has come.
    pub(super) fn apply(&mut self, partition: PartitionId, news: News) -> Vec<i64> {
        match news {
            News::Begun { epoch } => self.begin(partition, epoch),
            News::Forgotten => {
                self.forget(partition);
                Vec::new()
            }
            News::Recorded(minute) => {
                self.restore(partition, *minute);
                Vec::new()
            }
            News::Drawn { site, product, at_us, volume_ml } => {
                self.change(at_us, (partition, site, product), |window| window.draw(volume_ml))
            }
            News::Sold { offset, site, product, at_us, line } => {
                let seen = &mut self.partitions.entry(partition).or_default().sales_through;
                *seen = (*seen).max(Some(offset));
                self.change(at_us, (partition, site, product), |window| window.sell(offset, &line))
            }
        }
    }

    /// A minute's time has come: writes what is not as recorded.
    pub(super) fn close(&mut self, minute_us: i64) -> Vec<Output> {
        self.closed_through_us = self.closed_through_us.max(minute_us + MINUTE_US);
        let Self { minutes, partitions, .. } = self;
        let windows = minutes.get_mut(&minute_us).into_iter().flatten();
        windows.filter_map(|(key, window)| revise(partitions, minute_us, key, window)).collect()
    }

    /// Time has come this far: what is older than the retention can go.
    pub(super) fn advance(&mut self, watermark_us: i64) {
        self.closed_through_us = self.closed_through_us.max(watermark_us);
        let old = watermark_us.saturating_sub(self.retention_us);
        while let Some(first) = self.minutes.first_entry() {
            let minute_us = *first.key();
            let closed = minute_us + MINUTE_US <= self.closed_through_us;
            if minute_us >= old && !(closed && self.windows > self.windows_max) {
                break;
            }
            let gone = first.remove();
            self.windows -= gone.len();
            for key in gone.into_keys() {
                self.corrections.remove(&(minute_us, key));
            }
            self.kept_from_us = self.kept_from_us.max(minute_us + MINUTE_US);
        }
        self.kept_from_us = self.kept_from_us.max(old);
    }

    /// Writes the minutes that changed after they were closed, each once however often it changed.
    pub(super) fn corrections(&mut self) -> Vec<Output> {
        let mut written = Vec::new();
        for (minute_us, key) in std::mem::take(&mut self.corrections) {
            let window = self.minutes.get_mut(&minute_us).and_then(|windows| windows.get_mut(&key));
            written.extend(window.and_then(|window| revise(&mut self.partitions, minute_us, &key, window)));
        }
        written
    }

    fn begin(&mut self, partition: PartitionId, epoch: i64) -> Vec<i64> {
        self.partitions.entry(partition).or_default().epoch = Some(epoch);
        let mut due = Vec::new();
        let Self { minutes, corrections, closed_through_us, .. } = self;
        for (minute_us, windows) in minutes {
            for (key, _) in windows.iter().filter(|((of, ..), window)| *of == partition && window.differs()) {
                if minute_us + MINUTE_US <= *closed_through_us {
                    corrections.insert((*minute_us, key.clone()));
                } else {
                    due.push(*minute_us);
                }
            }
        }
        due.dedup();
        due
    }

    fn forget(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
        self.remove_where(partition, i64::MAX);
        self.corrections.retain(|(_, (of, ..))| *of != partition);
    }

    fn restore(&mut self, partition: PartitionId, minute: Minute) {
        let minute_us = minute.minute_us.get();
        if self.keep_while_folding(partition, minute_us) {
            let key = (partition, minute.site.clone(), minute.product.clone());
            self.window(minute_us, key).restore(minute);
        }
    }

    /// Changes a minute; gives its start when it has to be closed later.
    fn change(&mut self, at: TimestampUs, key: Key, change: impl FnOnce(&mut Window)) -> Vec<i64> {
        let minute_us = at.minute().get();
        let (partition, begun) = (key.0, self.partitions.get(&key.0).is_some_and(|shard| shard.epoch.is_some()));
        let kept = if begun {
            let kept_from = self.partitions.get(&partition).map_or(0, |shard| shard.kept_from_us);
            minute_us >= self.kept_from_us.max(kept_from)
        } else {
            self.keep_while_folding(partition, minute_us)
        };
        if !kept {
            if begun {
                metrics::counter!("forecourt_minutes_too_late_total").increment(1);
            }
            return Vec::new();
        }
        let window = self.window(minute_us, key.clone());
        change(window);
        if !begun || !window.differs() {
            Vec::new()
        } else if end_of_minute(at.get()) <= self.closed_through_us {
            self.corrections.insert((minute_us, key));
            Vec::new()
        } else {
            vec![minute_us]
        }
    }

    /// Whether a folded partition still keeps this minute. Years of records pass through here: what is older than the
    /// retention is dropped on the way, an hour at a time.
    fn keep_while_folding(&mut self, partition: PartitionId, minute_us: i64) -> bool {
        let old = minute_us.saturating_sub(self.retention_us);
        let shard = self.partitions.entry(partition).or_default();
        if old >= shard.kept_from_us + 60 * MINUTE_US {
            shard.kept_from_us = old;
            self.remove_where(partition, old);
            return minute_us >= self.kept_from_us;
        }
        minute_us >= shard.kept_from_us.max(self.kept_from_us)
    }

    fn remove_where(&mut self, partition: PartitionId, before_us: i64) {
        for (_, windows) in self.minutes.range_mut(..before_us) {
            let there = windows.len();
            windows.retain(|(of, ..), _| *of != partition);
            self.windows -= there - windows.len();
        }
        self.minutes.retain(|_, windows| !windows.is_empty());
    }

    fn window(&mut self, minute_us: i64, key: Key) -> &mut Window {
        let windows = &mut self.windows;
        self.minutes.entry(minute_us).or_default().entry(key).or_insert_with(|| {
            *windows += 1;
            Window::default()
        })
    }
}

/// The next version of a minute, when its sums are not as recorded and its partition is ours.
fn revise(
    partitions: &mut HashMap<PartitionId, Partition>,
    minute_us: i64,
    key: &Key,
    window: &mut Window,
) -> Option<Output> {
    let shard = partitions.get(&key.0)?;
    let epoch = shard.epoch?;
    if !window.differs() {
        return None;
    }
    let (partition, site, product) = key.clone();
    let minute = window.next(site, product, TimestampUs::from_micros(minute_us), shard.sales_through);
    let key = minute.site.to_string();
    let record = StationRecord { v: FORMAT_VERSION, epoch, event: StationEvent::Minute(minute) };
    Some(Output { partition, key, record })
}

impl Window {
    fn draw(&mut self, volume: Millilitres) {
        self.sums.consumed_ml = add(self.sums.consumed_ml, volume);
    }

    fn sell(&mut self, offset: i64, line: &Line) {
        if self.sales_through.is_some_and(|through| offset <= through) {
            return; // the recorded sums hold it
        }
        self.sales_changed = true;
        let (sums, amount) = (&mut self.sums, line.amount_minor);
        match line.kind {
            LineKind::Declined => sums.declines = sums.declines.saturating_add(1),
            LineKind::Sold => {
                sums.sales = sums.sales.saturating_add(1);
                sums.sold_ml = add(sums.sold_ml, line.volume_ml);
                let money = sums.sold_minor.entry(line.currency).or_default();
                *money = money.plus(amount).unwrap_or(*money);
            }
            LineKind::Refunded => {
                sums.refunded_ml = add(sums.refunded_ml, line.volume_ml);
                let money = sums.sold_minor.entry(line.currency).or_default();
                *money = money.minus(amount).unwrap_or(*money);
            }
        }
    }

    /// Draws only ever add up, so of the recorded and the folded consumption the larger one is whole.
    fn consumed(&self) -> Millilitres {
        self.sums.consumed_ml.max(self.recorded_consumed_ml)
    }

    fn differs(&self) -> bool {
        self.sales_changed || self.consumed() > self.recorded_consumed_ml
    }

    fn restore(&mut self, minute: Minute) {
        self.version = minute.version;
        self.recorded_consumed_ml = minute.consumed_ml;
        self.sales_changed = false;
        self.sales_through = minute.sales_through;
        self.sums.sales = minute.sales;
        self.sums.declines = minute.declines;
        self.sums.sold_ml = minute.sold_ml;
        self.sums.refunded_ml = minute.refund_excess_ml;
        self.sums.sold_minor = minute.sold_minor;
    }

    fn next(&mut self, site: SiteId, product: ProductCode, minute_us: TimestampUs, through: Option<i64>) -> Minute {
        self.version = self.version.saturating_add(1);
        self.sums.consumed_ml = self.consumed();
        self.recorded_consumed_ml = self.sums.consumed_ml;
        self.sales_changed = false;
        let sums = &self.sums;
        Minute {
            site,
            product,
            minute_us,
            version: self.version,
            sales: sums.sales,
            declines: sums.declines,
            sold_ml: sums.sold_ml.less(sums.refunded_ml),
            refund_excess_ml: sums.refunded_ml.less(sums.sold_ml),
            sold_minor: sums.sold_minor.clone(),
            consumed_ml: sums.consumed_ml,
            sales_through: self.sales_through.max(through),
        }
    }
}

/// An addition beyond what the type holds is a mistake of the data: the sum stays.
fn add(sum: Millilitres, volume: Millilitres) -> Millilitres {
    sum.plus(volume).unwrap_or(sum)
}
