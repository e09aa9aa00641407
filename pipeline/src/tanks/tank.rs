//! One tank: takes in what is heard of it, and says what happened.
//!
//! In: cleaned readings, sales, tickets and the controller's status in any order, and the time. Out: events, later their
//! corrections. Guarantees: the same input in the same order gives the same output; what was found in the kept window is a
//! plain function of that window, so late data gives a new version or a withdrawal; memory is bounded. Does not: clean.

use std::collections::VecDeque;

use model::{
    AlarmLevel, Column, DeciMillimetres, Millilitres, ReadingRefused, SilenceCause, TankEvent, TankEventKind,
    TankSetup, TimestampUs, Treatment, VolumeDifference,
};

use super::cleaning::Cleaned;
use super::detector::{Detector, Found, LOOK_BACK_US, Rules};
use super::window::{SAMPLES_MAX, Sample, Window};

const MINUTE_US: i64 = model::MICROS_PER_MINUTE;
const SECOND_US: i64 = model::MICROS_PER_SECOND;
/// A sample is settled when later ones are there: a spike shows, and sales of its time have come.
const LAG_SALES_US: i64 = 8 * MINUTE_US;
const LAG_US: i64 = 2 * MINUTE_US;
/// Between two moments to which the detector can be set back.
const CHECKPOINT_EVERY: usize = 64;
/// A ticket belongs to a delivery so far from it.
const TICKET_US: i64 = 6 * 60 * MINUTE_US;
const TICKETS_MAX: usize = 32;
const PUBLISHED_MAX: usize = 64;
const LOG_MAX: usize = 192;
/// So many readings in a row with the same fault are worth an event.
const FAULTS_MIN: u32 = 3;

/// An event as it was told last.
#[derive(Clone, Debug)]
struct Published {
    number: u32,
    version: u32,
    withdrawn: bool,
    /// The sample at which it was found.
    stepped_us: i64,
    found: Found,
}

/// Something that was found, and the sample at which it was.
#[derive(Clone, Debug)]
struct Logged {
    stepped_us: i64,
    found: Found,
}

/// Something that lasts: told when it begins and when it ends.
#[derive(Clone, Debug, Default)]
struct Lasting {
    /// Readings in a row.
    count: u32,
    open: Option<Published>,
}

#[derive(Debug)]
pub struct Tank {
    setup: TankSetup,
    rules: Rules,
    window: Window,
    detector: Detector,
    /// Earlier states by the time of the last sample they know, oldest first.
    checkpoints: VecDeque<(i64, Detector)>,
    since_checkpoint: usize,
    /// Of the last settled sample.
    stepped_us: i64,
    log: Vec<Logged>,
    /// `log` or tickets changed since it was told.
    changed: bool,
    published: VecDeque<Published>,
    numbers: Vec<(&'static str, u32)>,
    tickets: VecDeque<(i64, Millilitres)>,
    /// Arrival and time of the newest reading.
    heard_us: Option<i64>,
    measured_us: i64,
    /// When something arrived that could not be used.
    useless_us: i64,
    controller_is_online: Option<bool>,
    /// When other tanks of the site were heard last.
    site_heard_us: Option<i64>,
    silence: Option<Published>,
    last_volumes: [Option<i64>; 3],
    alarms: [Lasting; 4],
    slip: Lasting,
    clock: Lasting,
}

impl Tank {
    #[must_use]
    pub fn new(setup: TankSetup) -> Self {
        Self {
            rules: Rules::of(&setup),
            setup,
            window: Window::default(),
            detector: Detector::default(),
            checkpoints: VecDeque::from([(i64::MIN, Detector::default())]),
            since_checkpoint: 0,
            stepped_us: i64::MIN,
            log: Vec::new(),
            changed: false,
            published: VecDeque::new(),
            numbers: Vec::new(),
            tickets: VecDeque::new(),
            heard_us: None,
            measured_us: 0,
            useless_us: 0,
            controller_is_online: None,
            site_heard_us: None,
            silence: None,
            last_volumes: [None; 3],
            alarms: Default::default(),
            slip: Lasting::default(),
            clock: Lasting::default(),
        }
    }

    #[must_use]
    pub fn setup(&self) -> &TankSetup {
        &self.setup
    }

    /// Registered anew, and readings mean what they meant.
    pub fn set_up(&mut self, setup: TankSetup) {
        self.rules = Rules::of(&setup);
        self.setup = setup;
    }

    /// Goes on with the numbers of a tank that it replaces; gives the end of what lasted there.
    pub fn succeed(&mut self, before: &Self) -> Vec<TankEvent> {
        self.numbers.clone_from(&before.numbers);
        self.controller_is_online = before.controller_is_online;
        let lasting =
            before.alarms.iter().chain([&before.slip, &before.clock]).filter_map(|lasting| lasting.open.as_ref());
        let found = before.published.iter().filter(|told| !told.withdrawn && told.found.ended_us.is_none());
        let open = lasting.chain(&before.silence).chain(found);
        open.map(|open| before.ended(open.clone(), before.measured_us)).collect()
    }

    /// Goes on after an event that was told before.
    pub fn recall(&mut self, event: &TankEvent) {
        let name = event.kind.name();
        match self.numbers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, number)) => *number = event.number.max(*number),
            None => self.numbers.push((name, event.number)),
        }
        if matches!(event.kind, TankEventKind::Silence { .. }) {
            let found = Found { began_us: event.began_at_us.get(), ended_us: None, kind: event.kind.clone() };
            self.silence = event.ended_at_us.is_none().then_some(Published {
                number: event.number,
                version: event.version,
                withdrawn: false,
                stepped_us: i64::MIN,
                found,
            });
        }
    }

    /// Takes a cleaned reading in. `Err`: it is a repeat, or older than all that is kept.
    pub fn reading(&mut self, cleaned: &Cleaned) -> Result<Vec<TankEvent>, ReadingRefused> {
        let sample = Sample::of(cleaned);
        let oldest_us = self.checkpoints.front().map_or(i64::MIN, |(at_us, _)| *at_us);
        if sample.at_us <= oldest_us {
            return Err(ReadingRefused::TooOld);
        }
        let place = self.window.put(sample, self.rules.interval_us)?;
        let mut events = Vec::new();
        self.hear(cleaned, &mut events);
        // The sample before it was judged by the one that now comes after it.
        let touched_us =
            self.window.get(place.saturating_sub(1)).map_or(sample.at_us, |kept| kept.sample.at_us.min(sample.at_us));
        if touched_us <= self.stepped_us {
            self.set_back(touched_us);
        }
        self.settle(&mut events);
        Ok(events)
    }

    /// Whether it is a repeat of a reading that is kept.
    #[must_use]
    pub fn knows(&self, cleaned: &Cleaned) -> bool {
        self.window.knows(&Sample::of(cleaned), self.rules.interval_us)
    }

    /// A reading came that could not be used.
    pub fn useless(&mut self, received_at: TimestampUs) {
        self.useless_us = received_at.get();
    }

    /// Fuel that a meter counted; `at` is when the nozzle was hung up.
    pub fn sale(&mut self, at: TimestampUs, volume: Millilitres) -> Vec<TankEvent> {
        let mut events = Vec::new();
        if self.rules.sales_are_known {
            let from_us = self.window.sell(at, volume);
            if from_us <= self.stepped_us {
                self.set_back(from_us);
                self.settle(&mut events);
            }
        }
        events
    }

    /// What a truck's paper says it left here.
    pub fn ticket(&mut self, at: TimestampUs, volume: Millilitres) -> Vec<TankEvent> {
        self.tickets.push_back((at.get(), volume));
        if self.tickets.len() > TICKETS_MAX {
            self.tickets.pop_front();
        }
        let mut events = Vec::new();
        self.changed = true;
        self.publish(&mut events);
        events
    }

    /// The site's controller came or went.
    pub fn status(&mut self, online: bool) {
        self.controller_is_online = Some(online);
    }

    /// Another tank of the site was heard.
    pub fn site_heard(&mut self, at: TimestampUs) {
        self.site_heard_us = Some(self.site_heard_us.unwrap_or(0).max(at.get()));
    }

    /// Time passed. Tells silence.
    pub fn tick(&mut self, now: TimestampUs) -> Vec<TankEvent> {
        let mut events = Vec::new();
        let Some(heard_us) = self.heard_us else { return events };
        let grace_us =
            self.setup.grace_s.map_or(3 * self.rules.interval_us + MINUTE_US, |grace_s| i64::from(grace_s) * SECOND_US);
        if self.silence.is_none() && now.get() - heard_us > grace_us {
            let cause = self.cause(heard_us, grace_us);
            let found = Found {
                began_us: self.measured_us.min(heard_us),
                ended_us: None,
                kind: TankEventKind::Silence { cause },
            };
            let published = self.numbered(found);
            events.push(self.event(&published));
            self.silence = Some(published);
        }
        events
    }

    fn cause(&self, heard_us: i64, grace_us: i64) -> SilenceCause {
        if self.useless_us > heard_us {
            SilenceCause::InvalidReadings
        } else if self.controller_is_online == Some(false) {
            SilenceCause::ControllerOffline
        } else {
            match self.site_heard_us {
                Some(at_us) if at_us > heard_us + grace_us / 2 => SilenceCause::Gauge,
                Some(_) => SilenceCause::Site,
                None if self.controller_is_online == Some(true) => SilenceCause::Gauge,
                None => SilenceCause::Unknown,
            }
        }
    }

    fn hear(&mut self, cleaned: &Cleaned, events: &mut Vec<TankEvent>) {
        let received_us = cleaned.received_at_us.get();
        self.heard_us = Some(self.heard_us.unwrap_or(0).max(received_us));
        if let Some(silence) = self.silence.take() {
            events.push(self.ended(silence, cleaned.at_us.get()));
        }
        let slip = cleaned.treatments.iter().find_map(|treatment| match treatment {
            Treatment::UnitSlip { ratio_e3 } => {
                Some(TankEventKind::UnitSlip { column: Column::Volume, ratio_e3: *ratio_e3 })
            }
            _ => None,
        });
        let clock = cleaned.treatments.iter().find_map(|treatment| match treatment {
            Treatment::Redated { offset_s } => Some(TankEventKind::ClockWrong { offset_s: *offset_s }),
            _ => None,
        });
        let mut lasting = std::mem::take(&mut self.slip);
        self.follow(&mut lasting, slip, cleaned.at_us.get(), FAULTS_MIN, events);
        self.slip = std::mem::replace(&mut lasting, std::mem::take(&mut self.clock));
        self.follow(&mut lasting, clock, cleaned.at_us.get(), FAULTS_MIN, events);
        self.clock = lasting;
        if cleaned.at_us.get() > self.measured_us {
            self.measured_us = cleaned.at_us.get();
            self.watch_level(cleaned, events);
        }
    }

    /// Alarms by the middle one of three readings, so that one wave rings no bell.
    fn watch_level(&mut self, cleaned: &Cleaned, events: &mut Vec<TankEvent>) {
        self.last_volumes.rotate_left(1);
        self.last_volumes[2] = Some(cleaned.volume_ml.get().cast_signed());
        let mut known: Vec<i64> = self.last_volumes.iter().flatten().copied().collect();
        known.sort_unstable();
        let volume = known[known.len() / 2];
        let thresholds = self.setup.thresholds;
        let capacity = self.setup.capacity_ml.get().cast_signed();
        let safe = capacity / 10_000 * i64::from(self.setup.safe_fill.0);
        let given = |volume: Option<Millilitres>| volume.map(|volume| volume.get().cast_signed());
        let hysteresis = given(thresholds.hysteresis_ml).unwrap_or(capacity / 100);
        let lines = [
            (AlarmLevel::LowLow, given(thresholds.low_low_ml)),
            (AlarmLevel::Low, given(thresholds.low_ml)),
            (AlarmLevel::High, given(thresholds.high_ml)),
            (AlarmLevel::HighHigh, given(thresholds.high_high_ml).or(Some(safe + capacity / 100))),
        ];
        for (place, (level, line)) in lines.into_iter().enumerate() {
            let Some(line) = line else { continue };
            let mut lasting = std::mem::take(&mut self.alarms[place]);
            let slack = if lasting.open.is_some() { hysteresis } else { 0 };
            let beyond = match level {
                AlarmLevel::LowLow | AlarmLevel::Low => volume < line + slack,
                AlarmLevel::High | AlarmLevel::HighHigh => volume > line - slack,
            };
            let kind = TankEventKind::LevelAlarm { level, volume_ml: super::detector::millilitres(volume) };
            self.follow(&mut lasting, beyond.then_some(kind), cleaned.at_us.get(), 1, events);
            self.alarms[place] = lasting;
        }
    }

    /// Opens what was seen `least` times in a row, closes what is seen no more.
    fn follow(
        &mut self,
        lasting: &mut Lasting,
        seen: Option<TankEventKind>,
        at_us: i64,
        least: u32,
        events: &mut Vec<TankEvent>,
    ) {
        let Some(kind) = seen else {
            lasting.count = 0;
            if let Some(open) = lasting.open.take() {
                events.push(self.ended(open, at_us));
            }
            return;
        };
        lasting.count = lasting.count.saturating_add(1);
        if lasting.open.is_none() && lasting.count >= least {
            let published = self.numbered(Found { began_us: at_us, ended_us: None, kind });
            events.push(self.event(&published));
            lasting.open = Some(published);
        }
    }

    fn ended(&self, mut published: Published, at_us: i64) -> TankEvent {
        published.version += 1;
        published.found.ended_us = Some(at_us.max(published.found.began_us));
        self.event(&published)
    }

    /// Forgets what was made of samples from `at_us` on.
    fn set_back(&mut self, at_us: i64) {
        while self.checkpoints.len() > 1 && self.checkpoints.back().is_some_and(|(known_us, _)| *known_us >= at_us) {
            self.checkpoints.pop_back();
        }
        let Some((known_us, detector)) = self.checkpoints.back() else { return };
        self.detector = detector.clone();
        self.stepped_us = *known_us;
        self.since_checkpoint = 0;
        let known_us = *known_us;
        self.log.retain(|logged| logged.stepped_us <= known_us);
        self.changed = true;
    }

    /// Takes in all samples that have later ones beside them, and tells what changed.
    fn settle(&mut self, events: &mut Vec<TankEvent>) {
        let Some(newest_us) = self.window.newest_us() else { return };
        let lag_us = if self.rules.sales_are_known { LAG_SALES_US } else { LAG_US };
        let mut place = self.window.after(self.stepped_us);
        let mut found = Vec::new();
        while let Some(at_us) = self.window.get(place).map(|kept| kept.sample.at_us) {
            if newest_us - at_us < lag_us {
                break;
            }
            self.window.settle(place, self.rules.noise);
            self.detector.step(&self.rules, &self.window, place, &mut found);
            self.stepped_us = at_us;
            self.changed |= !found.is_empty();
            self.log.extend(found.drain(..).map(|found| Logged { stepped_us: at_us, found }));
            self.since_checkpoint += 1;
            if self.since_checkpoint >= CHECKPOINT_EVERY {
                self.since_checkpoint = 0;
                self.checkpoints.push_back((at_us, self.detector.clone()));
            }
            place += 1;
        }
        self.publish(events);
        self.forget();
    }

    /// Drops the oldest; what was found before the first checkpoint stays as it was told.
    fn forget(&mut self) {
        while self.window.len() > SAMPLES_MAX {
            self.window.forget_first();
        }
        let first_us = self.window.get(0).map_or(i64::MIN, |kept| kept.sample.at_us);
        if self.window.len() < SAMPLES_MAX / 2 && self.checkpoints.len() < SAMPLES_MAX / CHECKPOINT_EVERY {
            return;
        }
        // A step looks back: a checkpoint is good as long as all that it looks at is kept.
        while self.checkpoints.len() > 2 && self.checkpoints[0].0 < first_us.saturating_add(2 * LOOK_BACK_US) {
            self.checkpoints.pop_front();
        }
        // What stands before the first checkpoint does not change any more, but what is found again must be known.
        self.log.drain(..self.log.len().saturating_sub(LOG_MAX));
    }

    /// Compares what is found now with what was told.
    fn publish(&mut self, events: &mut Vec<TankEvent>) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut current: Vec<Logged> = Vec::new();
        for logged in &self.log {
            let same = |known: &&mut Logged| {
                known.found.kind.name() == logged.found.kind.name() && known.found.began_us == logged.found.began_us
            };
            match current.iter_mut().find(same) {
                Some(known) => known.found = logged.found.clone(),
                None => current.push(logged.clone()),
            }
        }
        for logged in &mut current {
            self.with_ticket(&mut logged.found);
        }
        let base_us = self.checkpoints.front().map_or(i64::MIN, |(at_us, _)| *at_us);
        let mut told: Vec<bool> = vec![false; current.len()];
        let mut corrections = Vec::new();
        for (place, published) in self.published.iter().enumerate() {
            let near = |found: &Found| {
                found.kind.name() == published.found.kind.name()
                    && distance_us(found, &published.found) <= 20 * MINUTE_US
            };
            let nearest = (0..current.len())
                .filter(|now| !told[*now] && near(&current[*now].found))
                .min_by_key(|now| current[*now].found.began_us.abs_diff(published.found.began_us));
            match nearest {
                Some(now) => {
                    told[now] = true;
                    if published.withdrawn || matters(&published.found, &current[now].found) {
                        corrections.push((place, Some(current[now].clone())));
                    }
                }
                None if !published.withdrawn && published.stepped_us > base_us => corrections.push((place, None)),
                None => {}
            }
        }
        for (place, logged) in corrections {
            let published = &mut self.published[place];
            published.version += 1;
            published.withdrawn = logged.is_none();
            if let Some(logged) = logged {
                published.stepped_us = logged.stepped_us;
                published.found = logged.found;
            }
            let published = published.clone();
            events.push(self.event(&published));
        }
        for (logged, _) in current.into_iter().zip(told).filter(|(_, told)| !told) {
            // Told long ago, and forgotten.
            if logged.stepped_us <= base_us {
                continue;
            }
            let published = Published { stepped_us: logged.stepped_us, ..self.numbered(logged.found) };
            events.push(self.event(&published));
            self.published.push_back(published);
            if self.published.len() > PUBLISHED_MAX {
                self.published.pop_front();
            }
        }
    }

    fn with_ticket(&self, found: &mut Found) {
        let ended_us = found.ended_us.unwrap_or(found.began_us);
        let TankEventKind::Delivery(delivery) = &mut found.kind else { return };
        let apart = |at_us: i64| (found.began_us - at_us).max(at_us - ended_us).max(0);
        let ticket =
            self.tickets.iter().filter(|(at_us, _)| apart(*at_us) < TICKET_US).min_by_key(|(at_us, _)| apart(*at_us));
        if let Some((_, ticket)) = ticket {
            delivery.ticket_ml = Some(*ticket);
            delivery.ticket_difference_ml = Some(VolumeDifference::between(delivery.gross_ml, *ticket));
        }
    }

    fn numbered(&mut self, found: Found) -> Published {
        let name = found.kind.name();
        let number = match self.numbers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, number)) => {
                *number += 1;
                *number
            }
            None => {
                self.numbers.push((name, 1));
                1
            }
        };
        Published { number, version: 1, withdrawn: false, stepped_us: i64::MIN, found }
    }

    fn event(&self, published: &Published) -> TankEvent {
        TankEvent {
            site: self.setup.site.clone(),
            tank: self.setup.tank.clone(),
            product: self.setup.product.clone(),
            number: published.number,
            version: published.version,
            withdrawn: published.withdrawn,
            began_at_us: TimestampUs::from_micros(published.found.began_us),
            ended_at_us: published.found.ended_us.map(TimestampUs::from_micros),
            kind: published.found.kind.clone(),
        }
    }
}

/// Zero where they overlap.
fn distance_us(one: &Found, other: &Found) -> i64 {
    let (one_end, other_end) = (one.ended_us.unwrap_or(i64::MAX), other.ended_us.unwrap_or(i64::MAX));
    (one.began_us - other_end).max(other.began_us - one_end).max(0)
}

/// Whether somebody who was told the first should be told the second.
fn matters(told: &Found, now: &Found) -> bool {
    let litre = |one: Millilitres, other: Millilitres| one.get().abs_diff(other.get()) >= 1_000;
    let millimetre = |one: DeciMillimetres, other: DeciMillimetres| one.0.abs_diff(other.0) >= 10;
    if told.ended_us.is_some() != now.ended_us.is_some() {
        return true;
    }
    if told.began_us.abs_diff(now.began_us) > (5 * MINUTE_US).unsigned_abs() {
        return true;
    }
    match (&told.kind, &now.kind) {
        (TankEventKind::Delivery(told), TankEventKind::Delivery(now)) => {
            litre(told.gross_ml, now.gross_ml) || told.ticket_ml != now.ticket_ml || {
                let net = |delivery: &model::Delivery| delivery.net_15_ml.map_or(0, |net| net.get());
                net(told).abs_diff(net(now)) >= 1_000
            }
        }
        (TankEventKind::UnexplainedLoss { lost_ml: told, .. }, TankEventKind::UnexplainedLoss { lost_ml: now, .. }) => {
            litre(*told, *now)
        }
        (TankEventKind::WaterIngress { after_dmm: told, .. }, TankEventKind::WaterIngress { after_dmm: now, .. }) => {
            millimetre(*told, *now)
        }
        (told, now) => told != now,
    }
}

#[cfg(test)]
mod tests;
