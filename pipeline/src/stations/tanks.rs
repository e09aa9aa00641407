//! The tanks of one partition: what is recorded of them, and what follows from it.
//!
//! In: what arrives, as [`Tanks::decide_reading`] and its like; what was recorded, as [`Tanks::evolve`]. Out: the fact to
//! record, and the events that follow from a fact. Guarantees: all state is a fold of recorded facts; an event is told again
//! only when it says something new, with a version one higher; readings of a tank that nobody registered are kept, within
//! bounds, and count when it is registered. Does not: know offsets that were covered, epochs, or minutes.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;
use model::{
    IdempotencyKey, Origin, ProductCode, PumpSale, Reading, ReadingRefused, Sale, SaleKind, SiteId, StationEvent,
    TankDay, TankEvent, TankId, TankLevel, TankSale, TankSetup, TimestampUs,
};

use super::levels::Levels;
use super::{Config, MINUTE_US, SECOND_US};
use crate::tanks::followed::{DAYS_TOLD, Followed};

/// Events of one kind of a tank whose last version is known.
const TOLD_MAX: usize = 64;
/// How often silence and closed days are looked for.
const LOOK_EVERY_US: i64 = 10 * SECOND_US;
const DAYS_EVERY_US: i64 = 10 * MINUTE_US;
/// A day is told so long after its midnight, when its last readings have come.
const DAY_SETTLES_US: i64 = 15 * MINUTE_US;

/// Identity of an event within its tank.
type EventKey = (&'static str, u32);

#[derive(Default)]
pub(super) struct Tanks {
    sites: HashMap<SiteId, Site, foldhash::fast::FixedState>,
    levels: Levels,
    /// Readings of tanks that nobody registered, all together.
    kept: usize,
    looked_us: i64,
    days_us: i64,
}

#[derive(Default)]
struct Site {
    online: Option<bool>,
    tanks: BTreeMap<TankId, Known>,
}

enum Known {
    /// What was heard of it, oldest first.
    Unregistered(VecDeque<Kept>),
    Registered(Box<Registered>),
}

struct Kept {
    origin: Origin,
    received_at: TimestampUs,
    reading: Reading,
    /// It had a volume, so a level was recorded of it.
    has_level: bool,
}

struct Registered {
    followed: Followed,
    /// Events as they were recorded last.
    told: BTreeMap<EventKey, TankEvent>,
    /// Events that follow from what was recorded, and may be recorded or not.
    owed: BTreeMap<EventKey, TankEvent>,
    days: BTreeMap<i64, TankDay>,
    /// Readings from before the registration of which no level is recorded yet.
    pending: VecDeque<Kept>,
}

impl Tanks {
    /// The fact that a reading leads to; `Err` for a repeat, which leaves nothing.
    pub(super) fn decide_reading(
        &mut self,
        rule: &Config,
        origin: Origin,
        received_at: TimestampUs,
        reading: Reading,
    ) -> Result<StationEvent, ReadingRefused> {
        let Some(registered) = self.registered(&reading.site, &reading.tank) else {
            return self.levels.decide(rule, origin, received_at, &reading).map_or_else(
                |because| aside(origin, received_at, because, reading),
                |level| Ok(StationEvent::Level(level)),
            );
        };
        let cleaned = match registered.followed.clean(received_at, &reading) {
            Ok(cleaned) => cleaned,
            Err(because) => {
                if because == ReadingRefused::Repeat {
                    registered.followed.refused(received_at, because);
                }
                return aside(origin, received_at, because, reading);
            }
        };
        let level = cleaned.level(origin, registered.followed.setup());
        if registered.followed.knows(&cleaned) {
            registered.followed.refused(received_at, ReadingRefused::Repeat);
            return Err(ReadingRefused::Repeat);
        }
        self.levels.admit(rule, level).map(StationEvent::Level)
    }

    /// The facts of a sale's lines: one for each tank that it was drawn from.
    pub(super) fn decide_sale(&self, origin: Origin, sale: &Sale) -> Vec<StationEvent> {
        if sale.kind != SaleKind::Sold {
            return Vec::new();
        }
        let line = |(place, item): (usize, &model::SoldItem)| {
            let Origin { partition, offset, .. } = sale.origin;
            let id = IdempotencyKey::new(&format!("card-{partition}-{offset}-{place}")).ok()?;
            let line = PumpSale {
                site: sale.site.clone(),
                id,
                at_us: sale.at_us,
                product: item.code.clone(),
                tank: None,
                pump: sale.pump,
                volume_ml: item.qty_ml,
            };
            self.decide_pump_sale(origin, line)
        };
        sale.items.iter().enumerate().filter_map(line).collect()
    }

    /// `None` when no registered tank is known to have given it, or its receipt was counted.
    pub(super) fn decide_pump_sale(&self, origin: Origin, mut sale: PumpSale) -> Option<StationEvent> {
        let site = self.sites.get(&sale.site)?;
        let (tank, registered) = site.drawn_from(&sale)?;
        if registered.followed.knows_receipt(&sale.id) {
            return None;
        }
        sale.tank = Some(tank.clone());
        Some(StationEvent::Drawn(TankSale { origin, sale }))
    }

    /// Whether a registration says something new.
    pub(super) fn is_new(&self, setup: &TankSetup) -> bool {
        let known = self.sites.get(&setup.site).and_then(|site| site.tanks.get(&setup.tank));
        !matches!(known, Some(Known::Registered(known))
            if TankSetup { at_us: setup.at_us, ..known.followed.setup().clone() } == *setup)
    }

    /// Takes a recorded fact in. What follows from it is owed until it is recorded as well. A level gives what left the
    /// tank since the one before.
    pub(super) fn evolve(&mut self, rule: &Config, event: &StationEvent) -> Option<model::Millilitres> {
        match event {
            StationEvent::Level(level) => return Some(self.level(rule, level)),
            StationEvent::Aside { origin, received_at_us, because, reading, .. } => {
                self.kept_aside(rule, *origin, *received_at_us, *because, reading);
            }
            StationEvent::Status { status, .. } => {
                let site = self.sites.entry(status.site.clone()).or_default();
                site.online = Some(status.online);
                site.registered_mut().for_each(|(_, tank)| tank.followed.status(status.online));
            }
            StationEvent::Registered { setup, .. } => self.set_up(setup),
            StationEvent::Drawn(TankSale { sale, .. }) => {
                let tank = sale.tank.as_ref()?;
                if let Some(registered) = self.registered(&sale.site, tank) {
                    let events = registered.followed.drawn(sale);
                    registered.owe(events);
                }
            }
            StationEvent::Ticket { ticket, .. } => {
                if let Some(registered) = self.registered(&ticket.site, &ticket.tank) {
                    let events = registered.followed.ticket(ticket);
                    registered.owe(events);
                }
            }
            StationEvent::Tank(event) => {
                if let Some(registered) = self.registered(&event.site, &event.tank) {
                    registered.followed.recall(event);
                    registered.note(event);
                }
            }
            StationEvent::Day(day) => {
                if let Some(registered) = self.registered(&day.site, &day.tank) {
                    registered.followed.recall_day(day);
                    registered.note_day(day);
                }
            }
            StationEvent::Takeover { .. } | StationEvent::Minute(_) => {}
        }
        None
    }

    /// What follows from a fact about this tank and is not recorded.
    pub(super) fn follow_up(&mut self, site: &SiteId, tank: &TankId) -> Vec<TankEvent> {
        self.registered(site, tank).map(Registered::told_anew).unwrap_or_default()
    }

    /// The next reading from before the registration of which no level is recorded.
    pub(super) fn pending(&mut self, site: &SiteId, tank: &TankId) -> Option<(Origin, TimestampUs, Reading)> {
        let kept = self.registered(site, tank)?.pending.pop_front()?;
        Some((kept.origin, kept.received_at, kept.reading))
    }

    /// Every registered tank: what a process that died may have left unsaid.
    pub(super) fn registered_tanks(&self) -> Vec<(SiteId, TankId)> {
        let of_site = |(site, known): (&SiteId, &Site)| {
            known.registered().map(|(tank, _)| (site.clone(), tank.clone())).collect::<Vec<_>>()
        };
        self.sites.iter().flat_map(of_site).collect()
    }

    /// Time passed: silence, and days that closed or changed.
    pub(super) fn tick(&mut self, now: TimestampUs) -> Vec<StationEvent> {
        if now.get() < self.looked_us + LOOK_EVERY_US {
            return Vec::new();
        }
        self.looked_us = now.get();
        let days = now.get() >= self.days_us + DAYS_EVERY_US;
        if days {
            self.days_us = now.get();
        }
        let mut events = Vec::new();
        for (_, registered) in self.sites.values_mut().flat_map(Site::registered_mut) {
            let silence = registered.followed.tick(now);
            registered.owe(silence);
            events.extend(registered.told_anew().into_iter().map(|event| StationEvent::Tank(Box::new(event))));
            if days {
                let days = registered.days_anew(now.plus_us(-DAY_SETTLES_US));
                events.extend(days.into_iter().map(|day| StationEvent::Day(Box::new(day))));
            }
        }
        events
    }

    fn registered(&mut self, site: &SiteId, tank: &TankId) -> Option<&mut Registered> {
        match self.sites.get_mut(site)?.tanks.get_mut(tank)? {
            Known::Registered(registered) => Some(registered),
            Known::Unregistered(_) => None,
        }
    }

    fn level(&mut self, rule: &Config, level: &TankLevel) -> model::Millilitres {
        let drawn = self.levels.evolve(rule, level);
        let site = self.sites.entry(level.site.clone()).or_default();
        match site.tanks.entry(level.tank.clone()).or_insert_with(|| Known::Unregistered(VecDeque::new())) {
            Known::Registered(registered) => {
                registered.pending.retain(|kept| kept.origin != level.origin);
                registered.level(level);
            }
            Known::Unregistered(kept) => {
                let reading = level.raw.as_ref().map_or_else(|| as_sent(level), |raw| (**raw).clone());
                let (origin, received_at) = (level.origin, level.received_at_us);
                keep(rule, &mut self.kept, kept, Kept { origin, received_at, reading, has_level: true });
            }
        }
        for (tank, registered) in site.registered_mut() {
            if *tank != level.tank {
                registered.followed.site_heard(level.received_at_us);
            }
        }
        drawn
    }

    fn kept_aside(
        &mut self,
        rule: &Config,
        origin: Origin,
        received_at: TimestampUs,
        because: ReadingRefused,
        reading: &Reading,
    ) {
        let site = self.sites.entry(reading.site.clone()).or_default();
        match site.tanks.entry(reading.tank.clone()).or_insert_with(|| Known::Unregistered(VecDeque::new())) {
            Known::Registered(registered) => {
                registered.followed.refused(received_at, because);
            }
            Known::Unregistered(kept) => {
                let reading = reading.clone();
                keep(rule, &mut self.kept, kept, Kept { origin, received_at, reading, has_level: false });
            }
        }
    }

    fn set_up(&mut self, setup: &TankSetup) {
        let site = self.sites.entry(setup.site.clone()).or_default();
        let online = site.online;
        if let Some(Known::Registered(registered)) = site.tanks.get_mut(&setup.tank) {
            match registered.followed.set_up(setup.clone()) {
                Ok(ended) => registered.owe(ended),
                Err(error) => cannot_be_used(setup, &error),
            }
            return;
        }
        let followed = match Followed::new(setup.clone()) {
            Ok(followed) => followed,
            Err(error) => return cannot_be_used(setup, &error),
        };
        let mut registered = Registered {
            followed,
            told: BTreeMap::new(),
            owed: BTreeMap::new(),
            days: BTreeMap::new(),
            pending: VecDeque::new(),
        };
        if let Some(online) = online {
            registered.followed.status(online);
        }
        if let Some(Known::Unregistered(kept)) = site.tanks.remove(&setup.tank) {
            self.kept -= kept.len();
            for kept in kept {
                if kept.has_level {
                    registered.replay(&kept);
                } else {
                    registered.pending.push_back(kept);
                }
            }
        }
        site.tanks.insert(setup.tank.clone(), Known::Registered(Box::new(registered)));
    }
}

impl Site {
    fn registered(&self) -> impl Iterator<Item = (&TankId, &Registered)> {
        self.tanks.iter().filter_map(|(id, known)| match known {
            Known::Registered(registered) => Some((id, &**registered)),
            Known::Unregistered(_) => None,
        })
    }

    fn registered_mut(&mut self) -> impl Iterator<Item = (&TankId, &mut Registered)> {
        self.tanks.iter_mut().filter_map(|(id, known)| match known {
            Known::Registered(registered) => Some((id, &mut **registered)),
            Known::Unregistered(_) => None,
        })
    }

    /// The tank that is named, that serves the pump, or that alone holds the product.
    fn drawn_from(&self, sale: &PumpSale) -> Option<(&TankId, &Registered)> {
        if let Some(named) = &sale.tank {
            return self.registered().find(|(tank, _)| *tank == named);
        }
        let holds = |product: &ProductCode| {
            let product = product.clone();
            move |(_, tank): &(&TankId, &Registered)| tank.followed.setup().product == product
        };
        if let Some(pump) = sale.pump
            && let Some(serving) = self
                .registered()
                .filter(holds(&sale.product))
                .find(|(_, tank)| tank.followed.setup().pumps.contains(&pump))
        {
            return Some(serving);
        }
        let mut holding = self.registered().filter(holds(&sale.product));
        let only = holding.next()?;
        holding.next().is_none().then_some(only)
    }
}

impl Registered {
    fn level(&mut self, level: &TankLevel) {
        let cleaned = crate::tanks::cleaning::Cleaned::recorded(level, self.followed.setup());
        if let Ok(events) = self.followed.level(&cleaned) {
            self.owe(events);
        }
    }

    /// A reading from before the registration, of which a level is recorded as it was sent.
    fn replay(&mut self, kept: &Kept) {
        match self.followed.clean(kept.received_at, &kept.reading) {
            Ok(cleaned) => {
                if let Ok(events) = self.followed.level(&cleaned) {
                    self.owe(events);
                }
            }
            Err(because) => self.followed.refused(kept.received_at, because),
        }
    }

    fn owe(&mut self, events: Vec<TankEvent>) {
        for event in events {
            self.owed.insert((event.kind.name(), event.number), event);
        }
    }

    fn note(&mut self, event: &TankEvent) {
        let key = (event.kind.name(), event.number);
        self.told.insert(key, event.clone());
        let of_kind = self.told.range((key.0, 0)..=(key.0, u32::MAX));
        if of_kind.clone().count() > TOLD_MAX
            && let Some(oldest) = of_kind.map(|(key, _)| *key).next()
        {
            self.told.remove(&oldest);
        }
    }

    fn note_day(&mut self, day: &TankDay) {
        self.days.insert(day.day, day.clone());
        while self.days.len() > DAYS_TOLD {
            self.days.pop_first();
        }
    }

    /// What is owed and says something new, each with its version.
    fn told_anew(&mut self) -> Vec<TankEvent> {
        let owed = std::mem::take(&mut self.owed);
        let anew = owed.into_values().filter_map(|mut event| {
            let told = self.told.get(&(event.kind.name(), event.number));
            event.version = told.map_or(1, |told| told.version.saturating_add(1));
            let is_old = told.is_some_and(|told| TankEvent { version: told.version, ..event.clone() } == *told);
            // What nobody was told of need not be taken back.
            (!is_old && (told.is_some() || !event.withdrawn)).then_some(event)
        });
        let anew: Vec<TankEvent> = anew.collect();
        anew.iter().for_each(|event| self.note(event));
        anew
    }

    fn days_anew(&mut self, now: TimestampUs) -> Vec<TankDay> {
        let anew = self.followed.days(now).into_iter().filter_map(|mut day| {
            let told = self.days.get(&day.day);
            day.version = told.map_or(1, |told| told.version.saturating_add(1));
            let is_old = told.is_some_and(|told| TankDay { version: told.version, ..day.clone() } == *told);
            (!is_old).then_some(day)
        });
        let anew: Vec<TankDay> = anew.collect();
        anew.iter().for_each(|day| self.note_day(day));
        anew
    }
}

/// What cannot be used is kept as it came; repeats are not.
fn aside(
    origin: Origin,
    received_at: TimestampUs,
    because: ReadingRefused,
    reading: Reading,
) -> Result<StationEvent, ReadingRefused> {
    match because {
        ReadingRefused::Repeat | ReadingRefused::TooManyTanks => Err(because),
        _ => Ok(StationEvent::Aside {
            origin,
            received_at_us: received_at,
            because,
            import: None,
            reading: Box::new(reading),
        }),
    }
}

/// The reading that a level shows as it was sent.
fn as_sent(level: &TankLevel) -> Reading {
    Reading {
        volume_ml: Some(level.volume_ml),
        volume_15_ml: level.volume_15_ml,
        water_ml: level.water_ml,
        capacity_ml: level.capacity_ml,
        height_dmm: level.height(),
        water_dmm: level.water(),
        temperature_cc: level.temperature(),
        density_e1: level.density_e1,
        status: level.status,
        ..Reading::new(level.site.clone(), level.tank.clone(), level.product.clone(), level.measured_at_us)
    }
}

/// Keeps a reading of a tank that nobody registered; its oldest goes when it has many, or all have.
fn keep(rule: &Config, all: &mut usize, kept: &mut VecDeque<Kept>, one: Kept) {
    kept.push_back(one);
    *all += 1;
    if kept.len() > rule.unregistered_readings_max || *all > rule.unregistered_total_max {
        kept.pop_front();
        *all -= 1;
    }
}

fn cannot_be_used(setup: &TankSetup, error: &dyn std::error::Error) {
    tracing::warn!(site = %setup.site, tank = %setup.tank, %error, "a registration cannot be used");
}
