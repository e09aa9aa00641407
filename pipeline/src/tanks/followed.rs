//! All that is kept of a registered tank: cleaning, events, days.
//!
//! In: its registration; readings, sales, tickets and the controller's status as they were recorded, in that order; the
//! time. Out: events, and what is known of each day. Guarantees: the same records in the same order give the same state, so
//! that it is a fold of what was recorded; a receipt counts once, as long as it is remembered; memory is bounded. Does not:
//! know the version that was told last of an event or a day.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{
    DayStock, DayStock15, DeliveryTicket, IdempotencyKey, MICROS_PER_MINUTE, Millilitres, Millilitres15, PumpSale,
    Reading, ReadingRefused, TankDay, TankEvent, TankEventKind, TankSetup, TimestampUs,
};

use super::chart::ChartError;
use super::cleaning::{Cleaned, Cleaner};
use super::consumption::Consumption;
use super::quality::Qualities;
use super::tank::Tank;

const DAY_US: i64 = 24 * 60 * MICROS_PER_MINUTE;
/// So many receipts are remembered to know a repeat; four days of a busy tank.
const RECEIPTS_MAX: usize = 8_000;
/// Days that are told, and corrected.
pub const DAYS_TOLD: usize = 60;

#[derive(Debug)]
pub struct Followed {
    cleaner: Cleaner,
    tank: Tank,
    consumption: Consumption,
    /// The same of volumes at 15 °C.
    consumption_15: Consumption,
    qualities: Qualities,
    sold: BTreeMap<i64, Sold>,
    receipts: Receipts,
    /// The newest volume, and the same at 15 °C.
    expansion: Option<(Millilitres, Millilitres15)>,
}

/// Sold on one day.
#[derive(Clone, Copy, Debug, Default)]
struct Sold {
    volume_ml: u64,
    volume_15_ml: u64,
}

/// The last receipts, oldest first.
#[derive(Debug, Default)]
struct Receipts {
    order: VecDeque<IdempotencyKey>,
    known: BTreeSet<IdempotencyKey>,
}

impl Receipts {
    fn remember(&mut self, id: &IdempotencyKey) {
        if self.known.insert(id.clone()) {
            self.order.push_back(id.clone());
        }
        if self.order.len() > RECEIPTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Followed {
    /// `Err` when a strapping table cannot be used.
    pub fn new(setup: TankSetup) -> Result<Self, ChartError> {
        Ok(Self {
            cleaner: Cleaner::new(setup.clone())?,
            consumption: Consumption::new(setup.utc_offset_min),
            consumption_15: Consumption::new(setup.utc_offset_min),
            qualities: Qualities::new(&setup),
            sold: BTreeMap::new(),
            receipts: Receipts::default(),
            expansion: None,
            tank: Tank::new(setup),
        })
    }

    #[must_use]
    pub fn setup(&self) -> &TankSetup {
        self.tank.setup()
    }

    /// Registered anew. Where values mean something else from now on, what was learnt from them is forgotten; what lasts
    /// then ends. `Err`, and nothing changes, when a strapping table cannot be used.
    pub fn set_up(&mut self, setup: TankSetup) -> Result<Vec<TankEvent>, ChartError> {
        if means_the_same(self.setup(), &setup) {
            self.cleaner.set_up(setup.clone())?;
            self.tank.set_up(setup);
            return Ok(Vec::new());
        }
        let mut fresh = Self::new(setup)?;
        let ended = fresh.tank.succeed(&self.tank);
        fresh.receipts = std::mem::take(&mut self.receipts);
        *self = fresh;
        Ok(ended)
    }

    /// What can be believed of a reading, or why nothing.
    pub fn clean(&mut self, received_at: TimestampUs, reading: &Reading) -> Result<Cleaned, ReadingRefused> {
        self.cleaner.clean(received_at, reading)
    }

    /// Whether it says nothing that is not known.
    #[must_use]
    pub fn knows(&self, cleaned: &Cleaned) -> bool {
        self.tank.knows(cleaned)
    }

    /// Takes in what was believed. `Err`: a repeat, or older than all that is kept; then it changes nothing.
    pub fn level(&mut self, cleaned: &Cleaned) -> Result<Vec<TankEvent>, ReadingRefused> {
        self.cleaner.believe(cleaned);
        let events = self.tank.reading(cleaned)?;
        self.qualities.used(cleaned);
        self.consumption.level(cleaned.at_us, cleaned.volume_ml);
        if let Some(volume_15_ml) = cleaned.volume_15_ml {
            self.consumption_15.level(cleaned.at_us, plain(volume_15_ml));
            self.expansion = Some((cleaned.volume_ml, volume_15_ml));
        }
        Ok(self.with_deliveries(events))
    }

    /// A reading came that gives no level.
    pub fn refused(&mut self, received_at: TimestampUs, because: ReadingRefused) {
        self.qualities.dropped(received_at, because);
        if because != ReadingRefused::Repeat {
            self.tank.useless(received_at);
        }
    }

    #[must_use]
    pub fn knows_receipt(&self, id: &IdempotencyKey) -> bool {
        self.receipts.known.contains(id)
    }

    pub fn drawn(&mut self, sale: &PumpSale) -> Vec<TankEvent> {
        self.receipts.remember(&sale.id);
        let local_us = sale.at_us.get() + self.offset_us();
        let sold = self.sold.entry(local_us.div_euclid(DAY_US)).or_default();
        sold.volume_ml += sale.volume_ml.get();
        sold.volume_15_ml += at_15(sale.volume_ml, self.expansion);
        while self.sold.len() > DAYS_TOLD {
            self.sold.pop_first();
        }
        let events = self.tank.sale(sale.at_us, sale.volume_ml);
        self.with_deliveries(events)
    }

    pub fn ticket(&mut self, ticket: &DeliveryTicket) -> Vec<TankEvent> {
        let events = self.tank.ticket(ticket.at_us, ticket.volume_ml);
        self.with_deliveries(events)
    }

    /// The site's controller came or went.
    pub fn status(&mut self, online: bool) {
        self.tank.status(online);
    }

    /// Another tank of the site was heard.
    pub fn site_heard(&mut self, at: TimestampUs) {
        self.tank.site_heard(at);
    }

    /// Time passed.
    pub fn tick(&mut self, now: TimestampUs) -> Vec<TankEvent> {
        self.tank.tick(now)
    }

    /// Goes on from an event that was recorded: numbers go on after it, and a silence that lasts is known.
    pub fn recall(&mut self, event: &TankEvent) {
        self.tank.recall(event);
    }

    /// A day as it was recorded: repeats are not recorded one by one.
    pub fn recall_day(&mut self, day: &TankDay) {
        self.qualities.recall_repeats(day.day, day.quality.repeats);
    }

    /// The days before the one that `now` is in, oldest first, at most [`DAYS_TOLD`]; all of version 1.
    #[must_use]
    pub fn days(&self, now: TimestampUs) -> Vec<TankDay> {
        let today = (now.get() + self.offset_us()).div_euclid(DAY_US);
        let setup = self.setup();
        let stocks: BTreeMap<i64, _> = self.consumption.days().into_iter().map(|day| (day.day, day)).collect();
        let stocks_15: BTreeMap<i64, _> = self.consumption_15.days().into_iter().map(|day| (day.day, day)).collect();
        let stock = |day: i64| {
            let stock = stocks.get(&day)?;
            let sold = self.sold.get(&day).copied().unwrap_or_default();
            let at_15 = stocks_15.get(&day).map(|stock| DayStock15 {
                opening_ml: cold(stock.opening_ml.get()),
                closing_ml: cold(stock.closing_ml.get()),
                delivered_ml: cold(stock.delivered_ml.get()),
                sold_ml: cold(sold.volume_15_ml),
            });
            Some(DayStock {
                opening_ml: stock.opening_ml,
                closing_ml: stock.closing_ml,
                delivered_ml: stock.delivered_ml,
                consumed_ml: stock.consumed_ml,
                gained_ml: stock.gained_ml,
                sold_ml: Millilitres::new(sold.volume_ml).unwrap_or_default(),
                measured: stock.measured,
                at_15,
            })
        };
        let days = self.qualities.days().filter(|(day, _)| *day < today);
        let days: Vec<TankDay> = days
            .map(|(day, quality)| TankDay {
                site: setup.site.clone(),
                tank: setup.tank.clone(),
                product: setup.product.clone(),
                day: *day,
                version: 1,
                stock: stock(*day),
                quality: *quality,
            })
            .collect();
        let told_from = days.len().saturating_sub(DAYS_TOLD);
        days.into_iter().skip(told_from).collect()
    }

    fn offset_us(&self) -> i64 {
        i64::from(self.setup().utc_offset_min) * MICROS_PER_MINUTE
    }

    fn with_deliveries(&mut self, events: Vec<TankEvent>) -> Vec<TankEvent> {
        for event in &events {
            let TankEventKind::Delivery(delivery) = &event.kind else { continue };
            let ended_us = event.ended_at_us.unwrap_or(event.began_at_us);
            let told = |volume_ml| (!event.withdrawn).then_some((event.began_at_us, ended_us, volume_ml));
            self.consumption.delivery(event.number, told(delivery.gross_ml));
            let net_15 = delivery.net_15_ml.map(plain).or_else(|| {
                self.expansion?;
                Millilitres::new(at_15(delivery.gross_ml, self.expansion)).ok()
            });
            self.consumption_15.delivery(event.number, net_15.and_then(told));
        }
        events
    }
}

/// Whether readings, and what was learnt of them, mean the same under both registrations.
fn means_the_same(before: &TankSetup, now: &TankSetup) -> bool {
    let part = |setup: &TankSetup| TankSetup {
        at_us: TimestampUs::default(),
        grace_s: None,
        thresholds: model::TankThresholds::default(),
        lead_time_hours: 0,
        truck_ml: None,
        pumps: Vec::new(),
        ..setup.clone()
    };
    part(before) == part(now)
}

/// A volume as it would be at 15 °C if it expands like what is in the tank now; unchanged where that is not known.
fn at_15(volume: Millilitres, expansion: Option<(Millilitres, Millilitres15)>) -> u64 {
    match expansion {
        Some((warm, cold)) if warm > Millilitres::ZERO => {
            let volume = u128::from(volume.get()) * u128::from(cold.get()) / u128::from(warm.get());
            u64::try_from(volume).unwrap_or(u64::MAX)
        }
        _ => volume.get(),
    }
}

/// For sums of the same form; they stay apart.
fn plain(volume: Millilitres15) -> Millilitres {
    Millilitres::new(volume.get()).unwrap_or_default()
}

fn cold(ml: u64) -> Millilitres15 {
    Millilitres15::new(ml).unwrap_or_default()
}
