//! One edge node: from birth to death, message after message.

use std::collections::{BTreeMap, HashMap};

use model::{DeviceStatus, RejectReason, SiteId, TimestampUs};
use prost::Message as _;

use super::payload::{BOOLEAN, Metric, Payload, Value};
use super::tank::{Field, Measured, Tank};
use super::topic::{Kind, NodeId};
use super::{ALIASES_MAX, DEVICES_MAX, Effect, HELD_MAX, Patience, time_of};
use crate::decode::Refusal;

/// The metric that ties a death to its birth.
const BIRTH_DEATH_SEQ: &str = "bdSeq";
const REBIRTH: &str = "Node Control/Rebirth";
/// Of 256 sequence numbers, the upper half ahead is the lower half behind.
const FAR_BEHIND: u8 = 128;

/// A message of the node or of a device, with what is needed to put it aside.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) device: Option<String>,
    pub(super) payload: Payload,
    pub(super) topic: String,
    pub(super) raw: Vec<u8>,
    pub(super) received_at: TimestampUs,
}

impl Message {
    fn sent_ms(&self) -> u64 {
        self.payload.timestamp.unwrap_or_else(|| u64::try_from(self.received_at.get() / 1000).unwrap_or(0))
    }

    /// Numbers are 0 to 255.
    fn seq(&self) -> Option<u8> {
        self.payload.seq.and_then(|seq| u8::try_from(seq).ok())
    }

    fn rejected(self, reason: RejectReason, detail: String) -> Effect {
        Effect::Reject { refusal: (reason, detail), topic: self.topic, raw: self.raw }
    }
}

/// What is known of the node's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// No birth was heard, or something was missed since: names and aliases are not to be trusted.
    OutOfStep,
    Born,
    Dead,
}

/// What an alias stands for.
#[derive(Clone, Debug)]
struct Meaning {
    device: Option<String>,
    field: Option<Field>,
}

#[derive(Debug)]
pub(super) struct Node {
    id: NodeId,
    site: SiteId,
    standing: Standing,
    /// The last that was told about the site.
    told_online: Option<bool>,
    bd_seq: Option<u64>,
    next_seq: u8,
    /// When the birth was sent: what is older belongs to an earlier session.
    born_ms: u64,
    newest_sent_ms: u64,
    aliases: HashMap<u64, Meaning>,
    /// Devices that are alive; `None` for those that are no tanks.
    devices: BTreeMap<String, Option<Tank>>,
    /// Messages after a gap. Empty exactly when `held_since` is `None`.
    held: Vec<Message>,
    held_since: Option<TimestampUs>,
    asked_at: Option<TimestampUs>,
    ask_wait_us: i64,
}

impl Node {
    pub(super) fn new(id: NodeId, site: SiteId) -> Self {
        Self {
            id,
            site,
            standing: Standing::OutOfStep,
            told_online: None,
            bd_seq: None,
            next_seq: 0,
            born_ms: 0,
            newest_sent_ms: 0,
            aliases: HashMap::new(),
            devices: BTreeMap::new(),
            held: Vec::new(),
            held_since: None,
            asked_at: None,
            ask_wait_us: 0,
        }
    }

    pub(super) fn apply(&mut self, message: Message, patience: &Patience, effects: &mut Vec<Effect>) {
        match message.kind {
            Kind::NodeDeath => self.death(message, effects),
            Kind::NodeBirth => self.birth(message, patience, effects),
            _ => self.numbered(message, patience, effects),
        }
    }

    /// Gives up on what is missing when its time is over.
    pub(super) fn tick(&mut self, now: TimestampUs, patience: &Patience, effects: &mut Vec<Effect>) {
        if self.held_since.is_some_and(|since| since.plus_us(patience.reorder_us) <= now) {
            let why = match self.standing {
                Standing::Born => format!("message {} of the edge node was lost", self.next_seq),
                Standing::OutOfStep | Standing::Dead => "data without a birth".to_owned(),
            };
            self.out_of_step(&why, now, patience, effects);
        }
    }

    /// The connection to the broker is gone: what happens now is not heard.
    pub(super) fn unheard(&mut self, effects: &mut Vec<Effect>) {
        self.standing = Standing::OutOfStep;
        self.reject_held("the connection to the broker was lost", effects);
    }

    fn birth(&mut self, message: Message, patience: &Patience, effects: &mut Vec<Effect>) {
        let Some(seq) = message.seq() else {
            effects
                .push(message.rejected(RejectReason::Shape, "a birth without a sequence number from 0 to 255".into()));
            return;
        };
        if message.payload.metrics.len() > ALIASES_MAX {
            effects.push(message.rejected(RejectReason::TooLarge, format!("more than {ALIASES_MAX} metrics")));
            return;
        }
        // A new session: all that its aliases meant before is forgotten.
        self.aliases.clear();
        self.devices.clear();
        let named = message.payload.metrics.iter().filter_map(|metric| metric.alias);
        self.aliases.extend(named.map(|alias| (alias, Meaning { device: None, field: None })));
        self.bd_seq = birth_death_seq(&message.payload);
        self.standing = Standing::Born;
        self.next_seq = seq.wrapping_add(1);
        (self.born_ms, self.newest_sent_ms) = (message.sent_ms(), message.sent_ms());
        self.tell(true, time_of(message.sent_ms()), effects);
        // Brokers keep the order of a topic only: a device's birth may have come before its node's.
        let sent_ms = message.sent_ms();
        let (stays, old): (Vec<_>, Vec<_>) = self.held.drain(..).partition(|held| held.sent_ms() >= sent_ms);
        self.held = stays;
        self.held_since = self.held_since.filter(|_| !self.held.is_empty());
        effects.extend(old.into_iter().map(|held| {
            held.rejected(
                RejectReason::Session,
                "a message before it was lost, and the edge node was born again".into(),
            )
        }));
        self.release(patience, effects);
    }

    fn death(&mut self, message: Message, effects: &mut Vec<Effect>) {
        let Some(bd_seq) = birth_death_seq(&message.payload) else {
            effects.push(message.rejected(RejectReason::Shape, format!("a death without {BIRTH_DEATH_SEQ}")));
            return;
        };
        // The will of an earlier connection often comes after the birth that followed it.
        if self.standing == Standing::Dead || self.bd_seq.is_some_and(|current| current != bd_seq) {
            return;
        }
        self.standing = Standing::Dead;
        self.aliases.clear();
        self.devices.clear();
        self.reject_held("the edge node died before the message before it came", effects);
        self.tell(false, message.received_at, effects);
    }

    /// What carries a number and counts on the birth before it.
    fn numbered(&mut self, message: Message, patience: &Patience, effects: &mut Vec<Effect>) {
        let now = message.received_at;
        let Some(seq) = message.seq() else {
            effects.push(message.rejected(RejectReason::Shape, "no sequence number from 0 to 255".into()));
            return;
        };
        if self.standing != Standing::Born {
            // Held for a moment: the birth may be right behind it.
            self.hold(message, now);
            if self.held.len() > HELD_MAX {
                self.out_of_step("data without a birth", now, patience, effects);
            }
            return;
        }
        if message.sent_ms() < self.born_ms {
            // Its number may fit by chance. An edge node whose clock was set back has to be born again under the new one.
            self.ask(now, patience, effects);
            effects.push(message.rejected(RejectReason::Session, "sent before the birth of its edge node".into()));
            return;
        }
        let ahead = seq.wrapping_sub(self.next_seq);
        if ahead == 0 {
            self.in_order(message, patience, effects);
            self.release(patience, effects);
        } else if ahead >= FAR_BEHIND && message.sent_ms() <= self.newest_sent_ms {
            // A repeat. With a later time it would be from a session whose birth was missed.
            tracing::debug!(topic = message.topic, seq, "a Sparkplug message came again");
        } else {
            self.hold(message, now);
            if self.held.len() > HELD_MAX {
                let missing = self.next_seq;
                self.out_of_step(&format!("message {missing} of the edge node was lost"), now, patience, effects);
            }
        }
    }

    fn hold(&mut self, message: Message, now: TimestampUs) {
        self.held.push(message);
        self.held_since.get_or_insert(now);
    }

    /// Applies what waited and is next now.
    fn release(&mut self, patience: &Patience, effects: &mut Vec<Effect>) {
        while self.standing == Standing::Born
            && let Some(place) = self.held.iter().position(|held| held.seq() == Some(self.next_seq))
        {
            let message = self.held.remove(place);
            self.in_order(message, patience, effects);
        }
        if self.held.is_empty() {
            self.held_since = None;
        }
    }

    /// Names are not to be trusted any more until the node is born again, which it is asked for.
    fn out_of_step(&mut self, why: &str, now: TimestampUs, patience: &Patience, effects: &mut Vec<Effect>) {
        if self.standing == Standing::Born {
            self.standing = Standing::OutOfStep;
        }
        let why = if self.standing == Standing::Dead { "data of an edge node that died, without a birth" } else { why };
        self.reject_held(why, effects);
        self.ask(now, patience, effects);
    }

    fn reject_held(&mut self, why: &str, effects: &mut Vec<Effect>) {
        self.held_since = None;
        effects.extend(self.held.drain(..).map(|held| held.rejected(RejectReason::Session, why.to_owned())));
    }

    fn in_order(&mut self, message: Message, patience: &Patience, effects: &mut Vec<Effect>) {
        self.next_seq = self.next_seq.wrapping_add(1);
        self.newest_sent_ms = self.newest_sent_ms.max(message.sent_ms());
        let now = message.received_at;
        let done = match (message.kind, message.device.as_deref()) {
            (Kind::DeviceBirth, Some(device)) => self.device_birth(device, &message, effects),
            (Kind::DeviceDeath, Some(device)) => {
                self.forget(device);
                Ok(())
            }
            (Kind::DeviceData, Some(device)) => self.device_data(device, &message, effects),
            _ => self.known_aliases(&message.payload.metrics),
        };
        if let Err((reason, detail)) = done {
            if reason == RejectReason::Session {
                self.ask(now, patience, effects);
            }
            effects.push(message.rejected(reason, detail));
        }
    }

    fn forget(&mut self, device: &str) {
        self.devices.remove(device);
        self.aliases.retain(|_, meaning| meaning.device.as_deref() != Some(device));
    }

    fn device_birth(&mut self, device: &str, message: &Message, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        self.forget(device);
        let metrics = &message.payload.metrics;
        if self.devices.len() >= DEVICES_MAX || self.aliases.len() + metrics.len() > ALIASES_MAX {
            let detail = format!("more than {DEVICES_MAX} devices or {ALIASES_MAX} metrics at one edge node");
            return Err((RejectReason::TooLarge, detail));
        }
        let taken = metrics.iter().filter_map(|metric| metric.alias).find(|alias| self.aliases.contains_key(alias));
        if let Some(alias) = taken {
            let owner = self.aliases.get(&alias).and_then(|meaning| meaning.device.as_deref());
            let owner = owner.map_or("the edge node".to_owned(), |owner| format!("device {owner}"));
            let detail = format!("alias {alias} of device {device} is one of {owner} already");
            return Err((RejectReason::Shape, detail));
        }
        let fields = metrics.iter().map(|metric| (metric, metric.given_name().and_then(Field::named)));
        let types: BTreeMap<Field, u32> =
            fields.clone().filter_map(|(metric, field)| Some((field?, metric.datatype.unwrap_or_default()))).collect();
        let tank = if types.is_empty() {
            None
        } else {
            let tank = Tank::named(device)
                .map_err(|error| (RejectReason::Address, format!("device {device:?} names no tank: {error}")))?;
            Some(Tank::born(tank, types))
        };
        for (metric, field) in fields {
            if let Some(alias) = metric.alias {
                self.aliases.insert(alias, Meaning { device: Some(device.to_owned()), field });
            }
        }
        self.devices.insert(device.to_owned(), tank);
        self.measure(device, message, true, effects)
    }

    fn device_data(&mut self, device: &str, message: &Message, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        if !self.devices.contains_key(device) {
            return Err((RejectReason::Session, format!("data of device {device} without a birth")));
        }
        self.measure(device, message, false, effects)
    }

    fn measure(
        &mut self,
        device: &str,
        message: &Message,
        is_birth: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let sent_ms = message.sent_ms();
        let mut measured = Vec::new();
        for metric in &message.payload.metrics {
            let Some(field) = self.field(device, metric)? else { continue };
            measured.push(Measured {
                field,
                value: metric.known().cloned(),
                at_ms: metric.timestamp.unwrap_or(sent_ms),
                historical: metric.is_historical == Some(true),
                bad: metric.is_bad(),
            });
        }
        if let Some(Some(tank)) = self.devices.get_mut(device) {
            effects.extend(tank.measured(&self.site, measured, is_birth).into_iter().map(Effect::Reading));
        }
        Ok(())
    }

    /// By name where there is one, by alias otherwise; `None` for a metric that says nothing about a tank.
    fn field(&self, device: &str, metric: &Metric) -> Result<Option<Field>, Refusal> {
        if let Some(name) = metric.given_name() {
            return Ok(Field::named(name));
        }
        let session = |detail: String| Err((RejectReason::Session, detail));
        let Some(alias) = metric.alias else {
            return Err((RejectReason::Shape, "a metric with neither name nor alias".to_owned()));
        };
        match self.aliases.get(&alias) {
            None => session(format!("alias {alias} was not in a birth")),
            Some(meaning) if meaning.device.as_deref() == Some(device) => Ok(meaning.field),
            Some(_) => session(format!("alias {alias} is not one of device {device}")),
        }
    }

    fn known_aliases(&self, metrics: &[Metric]) -> Result<(), Refusal> {
        let aliases = metrics.iter().filter(|metric| metric.given_name().is_none()).filter_map(|metric| metric.alias);
        match aliases.into_iter().find(|alias| !self.aliases.contains_key(alias)) {
            None => Ok(()),
            Some(alias) => Err((RejectReason::Session, format!("alias {alias} was not in a birth"))),
        }
    }

    fn tell(&mut self, online: bool, at_us: TimestampUs, effects: &mut Vec<Effect>) {
        if self.told_online != Some(online) {
            self.told_online = Some(online);
            effects.push(Effect::Status(DeviceStatus { site: self.site.clone(), online, at_us }));
        }
    }

    /// Asks the node to be born again, not more often than it makes sense.
    fn ask(&mut self, now: TimestampUs, patience: &Patience, effects: &mut Vec<Effect>) {
        match self.asked_at.map(|asked_at| now.get() - asked_at.get()) {
            Some(ago) if ago < self.ask_wait_us => return,
            Some(ago) if ago < patience.rebirth_us_max => {
                self.ask_wait_us = (self.ask_wait_us * 2).min(patience.rebirth_us_max);
            }
            _ => self.ask_wait_us = patience.rebirth_us,
        }
        self.asked_at = Some(now);
        let timestamp = u64::try_from(now.get() / 1000).ok();
        let rebirth = Metric {
            name: Some(REBIRTH.to_owned()),
            timestamp,
            datatype: Some(BOOLEAN),
            value: Some(Value::Boolean(true)),
            ..Metric::default()
        };
        let payload = Payload { timestamp, metrics: vec![rebirth], ..Payload::default() }.encode_to_vec();
        effects.push(Effect::RequestRebirth { topic: self.id.command_topic(), payload });
    }
}

fn birth_death_seq(payload: &Payload) -> Option<u64> {
    let metric = payload.metrics.iter().find(|metric| metric.given_name() == Some(BIRTH_DEATH_SEQ))?;
    match metric.known()? {
        Value::Int(number) => Some(u64::from(*number)),
        Value::Long(number) => Some(*number),
        _ => None,
    }
}
