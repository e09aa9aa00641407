//! One shard per partition: what of its inputs is new, and what follows from it at once.
//!
//! In: the inputs of this worker's partitions. Out: facts of stations and tanks to record, and entries for the minutes. Guarantees:
//! a record that was overtaken by a takeover is not folded; an offset of `fuel.readings` that led to a recorded event, a
//! second record of one reading, a second record of one sale: none counts again. Before its start a partition only folds.
//! Does not: remember sales through a restart. They are read again, and the minutes know what they hold.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{
    Currency, DeviceMessage, FORMAT_VERSION, Fence, ImportedRow, Millilitres, MinorUnits, Minute, Origin, OriginTopic,
    PartitionId, ProductCode, ReadingRecord, Sale, SaleKind, SiteId, StationEvent, StationRecord, TankId, TankLevel,
    TimestampUs, Watermarks,
};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use super::tanks::Tanks;
use super::{Config, Input, Output};
use crate::worker::Time;

/// What a shard gives.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are as many events as entries: a box would cost each an allocation"
)]
pub(super) enum Derived {
    Event(Output),
    Entry(Entry),
}

/// Something that the minutes have to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The worker that is to know it, modulo the number of workers.
    pub(super) to: u64,
    pub(super) about: About,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum About {
    /// A moment to speak of corrections.
    Tick,
    Partition(PartitionId, News),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum News {
    /// The partition is ours from here on, under this epoch.
    Begun { epoch: i64 },
    /// The partition is ours no longer.
    Forgotten,
    /// A minute as it was recorded.
    Recorded(Box<Minute>),
    /// Fuel left a tank.
    Drawn { site: SiteId, product: ProductCode, at_us: TimestampUs, volume_ml: Millilitres },
    /// A line of a sale, at its offset in `fuel.sales`.
    Sold { offset: i64, site: SiteId, product: ProductCode, at_us: TimestampUs, line: Line },
}

/// What one sale says about one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) kind: LineKind,
    pub(super) volume_ml: Millilitres,
    pub(super) amount_minor: MinorUnits,
    pub(super) currency: Currency,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LineKind {
    Sold,
    Refunded,
    Declined,
}

pub(super) fn shards<'scope>(
    inputs: Stream<'scope, Time, Vec<Input>>,
    rule: Arc<Config>,
    worker: usize,
    workers: usize,
) -> Stream<'scope, Time, Vec<Derived>> {
    inputs.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "shards", move |_, _| {
        let mut shards = Shards { rule, worker, workers, shards: HashMap::default() };
        let mut derived = Vec::new();
        move |input, output| {
            input.for_each(|time, batch| {
                for message in batch.drain(..) {
                    shards.apply(message, &mut derived);
                }
                output.session(&time).give_iterator(derived.drain(..));
            });
        }
    })
}

/// The partitions of one worker.
struct Shards {
    rule: Arc<Config>,
    worker: usize,
    workers: usize,
    shards: HashMap<PartitionId, Shard, foldhash::fast::FixedState>,
}

#[derive(Default)]
struct Shard {
    fence: Fence,
    /// Set once the partition is started.
    epoch: Option<i64>,
    tanks: Tanks,
    /// The partition's inputs were read to where they ended at the start.
    caught_up: bool,
    /// How far readings led to recorded events before, and were taken in since.
    readings_through: Option<i64>,
    /// The next row of each imported file.
    imports: BTreeMap<u64, u64>,
    /// How far sales were attributed to tanks, as recorded.
    sales_through: Option<i64>,
    /// Ledger records whose sale was taken in.
    sales_seen: Watermarks,
}

impl Shards {
    fn apply(&mut self, input: Input, out: &mut Vec<Derived>) {
        match input {
            Input::Fold { partition, offset, record } => self.fold(partition, offset, record, out),
            Input::Start { partition, epoch } => {
                self.tell_all(partition, &News::Begun { epoch }, out);
                let shard = self.shards.entry(partition).or_default();
                shard.epoch = Some(epoch);
                shard.say_what_is_owed(&self.rule, partition, out);
            }
            Input::CaughtUp { partition } => {
                if let Some(shard) = self.shards.get_mut(&partition) {
                    shard.caught_up = true;
                }
            }
            Input::Revoke { partition } => {
                self.shards.remove(&partition);
                self.tell_all(partition, &News::Forgotten, out);
            }
            Input::Tick { at_us } => {
                out.push(Derived::Entry(Entry { to: self.worker as u64, about: About::Tick }));
                for (partition, shard) in &mut self.shards {
                    shard.tick(*partition, at_us, out);
                }
            }
            Input::Readings { partition, records } => {
                for (offset, record) in records {
                    self.reading(partition, offset, record, out);
                }
            }
            Input::Sales { partition, sales } => {
                for (offset, sale) in sales {
                    self.sale(partition, offset, &sale, out);
                }
            }
        }
    }

    fn tell_all(&self, partition: PartitionId, news: &News, out: &mut Vec<Derived>) {
        out.extend((0..self.workers).map(|worker| entry(worker as u64, partition, news.clone())));
    }

    fn fold(&mut self, partition: PartitionId, offset: i64, record: StationRecord, out: &mut Vec<Derived>) {
        let shard = self.shards.entry(partition).or_default();
        if shard.epoch.is_some() {
            return; // what this owner writes itself comes back to it: it is folded already
        }
        if let StationEvent::Takeover { .. } = record.event {
            shard.fence.takeover(offset);
        } else if shard.fence.admits(record.epoch) {
            match record.event {
                StationEvent::Takeover { .. } => {}
                StationEvent::Minute(minute) => {
                    out.push(entry(route(&minute.site), partition, News::Recorded(Box::new(minute))));
                }
                event => shard.evolve(&self.rule, partition, &event, out),
            }
        }
    }

    fn reading(&mut self, partition: PartitionId, offset: i64, record: ReadingRecord, out: &mut Vec<Derived>) {
        let origin = Origin { topic: OriginTopic::Readings, partition, offset };
        let Some(shard) = self.shards.get_mut(&partition) else { return left_out("readings", "not_started") };
        if shard.epoch.is_none() {
            return left_out("readings", "not_started");
        }
        if shard.readings_through.is_some_and(|through| offset <= through) {
            return;
        }
        shard.readings_through = Some(offset);
        if record.import.is_some_and(|import| !shard.is_next(import)) {
            return left_out("readings", "imported_before");
        }
        let mut event = match record.message {
            DeviceMessage::Status(status) => StationEvent::Status { origin, status },
            DeviceMessage::Setup(setup) if shard.tanks.is_new(&setup) => StationEvent::Registered { origin, setup },
            DeviceMessage::Setup(_) => return left_out("readings", "registered_so_already"),
            DeviceMessage::Ticket(ticket) => StationEvent::Ticket { origin, ticket },
            DeviceMessage::Sale(sale) => match shard.tanks.decide_pump_sale(origin, sale) {
                None => return left_out("readings", "sale_repeated_or_of_no_tank"),
                Some(event) => event,
            },
            DeviceMessage::Reading(reading) => {
                match shard.tanks.decide_reading(&self.rule, origin, record.received_at_us, reading) {
                    Err(because) => return left_out("readings", because.as_str()),
                    Ok(event) => event,
                }
            }
        };
        if let StationEvent::Level(TankLevel { import, .. }) | StationEvent::Aside { import, .. } = &mut event {
            *import = record.import;
        }
        shard.happen(&self.rule, partition, event, out);
    }

    fn sale(&mut self, partition: PartitionId, offset: i64, sale: &Sale, out: &mut Vec<Derived>) {
        let Some(shard) = self.shards.get_mut(&partition) else { return left_out("sales", "not_started") };
        if shard.epoch.is_none() {
            return left_out("sales", "not_started");
        }
        if !shard.sales_seen.advance(sale.origin) {
            return left_out("sales", "repeat");
        }
        // The last one may have been recorded for one of its tanks only; receipts know which.
        if shard.sales_through.is_none_or(|through| offset >= through) {
            let origin = Origin { topic: OriginTopic::Sales, partition, offset };
            for event in shard.tanks.decide_sale(origin, sale) {
                shard.happen(&self.rule, partition, event, out);
            }
        }
        let kind = match sale.kind {
            SaleKind::Sold => LineKind::Sold,
            SaleKind::Refunded => LineKind::Refunded,
            SaleKind::Declined(_) => LineKind::Declined,
        };
        for (product, line) in lines(sale, kind) {
            let news = News::Sold { offset, site: sale.site.clone(), product, at_us: sale.at_us, line };
            out.push(entry(route(&sale.site), partition, news));
        }
    }
}

impl Shard {
    /// Whether this row of a file was not imported before; then the next one is awaited.
    fn is_next(&mut self, import: ImportedRow) -> bool {
        let next = self.imports.entry(import.file).or_default();
        let is_next = import.row >= *next;
        *next = (*next).max(import.row.saturating_add(1));
        is_next
    }

    /// Records a fact, and what follows from it.
    fn happen(&mut self, rule: &Config, partition: PartitionId, event: StationEvent, out: &mut Vec<Derived>) {
        self.evolve(rule, partition, &event, out);
        let tank = tank_of(&event);
        self.record(partition, event, out);
        if let Some((site, tank)) = tank {
            self.follow_up(rule, partition, &site, &tank, out);
        }
    }

    fn record(&self, partition: PartitionId, event: StationEvent, out: &mut Vec<Derived>) {
        let Some(epoch) = self.epoch else { return };
        let Some(site) = event.site() else { return };
        let key = site.to_string();
        out.push(Derived::Event(Output { partition, key, record: StationRecord { v: FORMAT_VERSION, epoch, event } }));
    }

    fn follow_up(
        &mut self,
        rule: &Config,
        partition: PartitionId,
        site: &SiteId,
        tank: &TankId,
        out: &mut Vec<Derived>,
    ) {
        while let Some((origin, received_at, reading)) = self.tanks.pending(site, tank) {
            // What is still no level stays aside, as it is recorded.
            if let Ok(event @ StationEvent::Level(_)) = self.tanks.decide_reading(rule, origin, received_at, reading) {
                self.evolve(rule, partition, &event, out);
                self.record(partition, event, out);
            }
        }
        for event in self.tanks.follow_up(site, tank) {
            self.record(partition, StationEvent::Tank(Box::new(event)), out);
        }
    }

    /// The owner before may have died between a fact and what follows from it.
    fn say_what_is_owed(&mut self, rule: &Config, partition: PartitionId, out: &mut Vec<Derived>) {
        for (site, tank) in self.tanks.registered_tanks() {
            self.follow_up(rule, partition, &site, &tank, out);
        }
    }

    fn tick(&mut self, partition: PartitionId, now: TimestampUs, out: &mut Vec<Derived>) {
        if self.epoch.is_some() && self.caught_up {
            for event in self.tanks.tick(now) {
                self.record(partition, event, out);
            }
        }
    }

    fn evolve(&mut self, rule: &Config, partition: PartitionId, event: &StationEvent, out: &mut Vec<Derived>) {
        if let Some(origin) = event.origin() {
            let through = match origin.topic {
                OriginTopic::Readings => &mut self.readings_through,
                _ => &mut self.sales_through,
            };
            *through = (*through).max(Some(origin.offset));
        }
        if let StationEvent::Level(TankLevel { import: Some(import), .. })
        | StationEvent::Aside { import: Some(import), .. } = event
        {
            self.is_next(*import);
        }
        let drawn = self.tanks.evolve(rule, event);
        if let (StationEvent::Level(level), Some(volume_ml)) = (event, drawn)
            && volume_ml > Millilitres::ZERO
        {
            let (site, product, at_us) = (level.site.clone(), level.product.clone(), level.measured_at_us);
            out.push(entry(route(&site), partition, News::Drawn { site, product, at_us, volume_ml }));
        }
    }
}

/// The tank that a fact is about.
fn tank_of(event: &StationEvent) -> Option<(SiteId, TankId)> {
    match event {
        StationEvent::Level(level) => Some((level.site.clone(), level.tank.clone())),
        StationEvent::Registered { setup, .. } => Some((setup.site.clone(), setup.tank.clone())),
        StationEvent::Drawn(drawn) => Some((drawn.sale.site.clone(), drawn.sale.tank.clone()?)),
        StationEvent::Ticket { ticket, .. } => Some((ticket.site.clone(), ticket.tank.clone())),
        StationEvent::Aside { reading, .. } => Some((reading.site.clone(), reading.tank.clone())),
        StationEvent::Takeover { .. }
        | StationEvent::Status { .. }
        | StationEvent::Minute(_)
        | StationEvent::Tank(_)
        | StationEvent::Day(_) => None,
    }
}

/// A sale counts once for each of its products.
fn lines(sale: &Sale, kind: LineKind) -> BTreeMap<ProductCode, Line> {
    let mut lines: BTreeMap<ProductCode, Line> = BTreeMap::new();
    for item in &sale.items {
        let empty =
            Line { kind, volume_ml: Millilitres::ZERO, amount_minor: MinorUnits::ZERO, currency: sale.currency };
        let line = lines.entry(item.code.clone()).or_insert(empty);
        line.volume_ml = line.volume_ml.plus(item.qty_ml).unwrap_or(line.volume_ml);
        line.amount_minor = line.amount_minor.plus(item.amount_minor).unwrap_or(line.amount_minor);
    }
    lines
}

fn entry(to: u64, partition: PartitionId, news: News) -> Derived {
    Derived::Entry(Entry { to, about: About::Partition(partition, news) })
}

/// All of a site meets at one worker.
pub(super) fn route(site: &SiteId) -> u64 {
    foldhash::fast::FixedState::default().hash_one(site)
}

fn left_out(topic: &'static str, reason: &'static str) {
    metrics::counter!("forecourt_stations_left_out_total", "topic" => topic, "reason" => reason).increment(1);
}
