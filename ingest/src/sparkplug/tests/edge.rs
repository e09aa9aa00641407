//! An edge node and the line to its host. Every message takes a second.

use std::fmt::Write;

use model::{Reading, TimestampUs};
use prost::Message as _;

use super::super::host::Host;
use super::super::payload::{Metric, Payload, Value};
use super::super::{Effect, Patience};

/// 2026-01-14T00:00:00Z.
const BEGIN_US: i64 = 1_768_348_800_000_000;
const INT64: u32 = 4;
const DOUBLE: u32 = 10;

pub(super) struct Stage {
    pub(super) host: Host,
    pub(super) effects: Vec<Effect>,
    told: String,
    now_us: i64,
    seq: u8,
}

pub(super) fn named(name: &str, alias: u64, value: f64) -> Metric {
    Metric { name: Some(name.to_owned()), datatype: Some(DOUBLE), ..self::alias(alias, value) }
}

pub(super) fn alias(alias: u64, value: f64) -> Metric {
    Metric { alias: Some(alias), value: Some(Value::Double(value)), ..Metric::default() }
}

pub(super) fn null(alias: u64) -> Metric {
    Metric { is_null: Some(true), value: None, ..self::alias(alias, 0.0) }
}

/// At so many seconds from the beginning of the stage.
pub(super) fn historical(metric: Metric, seconds: i64) -> Metric {
    let at = BEGIN_US / 1000 + (seconds + 2) * 1000;
    Metric { timestamp: Some(u64::try_from(at).unwrap()), is_historical: Some(true), ..metric }
}

impl Stage {
    pub(super) fn new() -> Self {
        let host = Host::new(Patience::default());
        Self { host, effects: Vec::new(), told: String::new(), now_us: BEGIN_US, seq: 0 }
    }

    pub(super) fn now(&self) -> TimestampUs {
        TimestampUs::from_micros(self.now_us)
    }

    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.now_us / 1000).unwrap()
    }

    pub(super) fn told(&self) -> String {
        self.told.clone()
    }

    pub(super) fn effects_of(&self, reason: model::RejectReason) -> usize {
        let rejected = |effect: &&Effect| matches!(effect, Effect::Reject { refusal, .. } if refusal.0 == reason);
        self.effects.iter().filter(rejected).count()
    }

    pub(super) fn node_birth(&mut self, bd_seq: u64) {
        let message = self.make_birth(bd_seq);
        self.deliver(message);
    }

    pub(super) fn node_death(&mut self, bd_seq: u64) {
        let payload = Payload { metrics: vec![birth_death_seq(bd_seq)], ..Payload::default() };
        self.deliver(("spBv1.0/North/NDEATH/S-1".to_owned(), payload.encode_to_vec()));
    }

    pub(super) fn tank_birth(&mut self, device: &str, metrics: &[Metric]) {
        let message = self.make_tank_birth(device, metrics);
        self.deliver(message);
    }

    pub(super) fn device_death(&mut self, device: &str) {
        let message = self.make("DDEATH", Some(device), Vec::new());
        self.deliver(message);
    }

    pub(super) fn data(&mut self, device: &str, metrics: &[Metric]) {
        let message = self.make_data(device, metrics);
        self.deliver(message);
    }

    pub(super) fn data_at_once(&mut self, device: &str, metrics: &[Metric]) {
        let (topic, payload) = self.make_data(device, metrics);
        let effects = self.host.apply(&topic, &payload, self.now());
        self.note(effects);
    }

    /// Sent and never received.
    pub(super) fn lose(&mut self, device: &str, metrics: &[Metric]) {
        let _ = self.make_data(device, metrics);
        self.wait(1);
    }

    /// A new session whose births nobody hears.
    pub(super) fn restart_unheard(&mut self) {
        self.seq = 0;
        let _ = (self.make_birth(9), self.make_tank_birth("tank-1", &[]));
    }

    pub(super) fn make_birth(&mut self, bd_seq: u64) -> (String, Vec<u8>) {
        self.seq = 0;
        self.make("NBIRTH", None, vec![birth_death_seq(bd_seq)])
    }

    pub(super) fn make_tank_birth(&mut self, device: &str, metrics: &[Metric]) -> (String, Vec<u8>) {
        self.make("DBIRTH", Some(device), metrics.to_vec())
    }

    pub(super) fn make_data(&mut self, device: &str, metrics: &[Metric]) -> (String, Vec<u8>) {
        self.make("DDATA", Some(device), metrics.to_vec())
    }

    fn make(&mut self, kind: &str, device: Option<&str>, metrics: Vec<Metric>) -> (String, Vec<u8>) {
        let payload =
            Payload { timestamp: Some(self.millis()), metrics, seq: Some(u64::from(self.seq)), ..Payload::default() };
        self.seq = self.seq.wrapping_add(1);
        let device = device.map(|device| format!("/{device}")).unwrap_or_default();
        (format!("spBv1.0/North/{kind}/S-1{device}"), payload.encode_to_vec())
    }

    pub(super) fn deliver(&mut self, (topic, payload): (String, Vec<u8>)) {
        let effects = self.host.apply(&topic, &payload, self.now());
        self.note(effects);
        self.now_us += 1_000_000;
    }

    pub(super) fn wait(&mut self, seconds: i64) {
        self.now_us += seconds * 1_000_000;
        let effects = self.host.tick(self.now());
        self.note(effects);
    }

    fn note(&mut self, effects: Vec<Effect>) {
        for effect in &effects {
            let now = clock(self.now_us);
            match effect {
                Effect::Reading(reading) => writeln!(self.told, "{}", line(reading)).unwrap(),
                Effect::Status(status) => {
                    let word = if status.online { "online" } else { "offline" };
                    writeln!(self.told, "{} {} {word}", clock(status.at_us.get()), status.site).unwrap();
                }
                Effect::RequestRebirth { topic, .. } => writeln!(self.told, "{now} rebirth of {topic}").unwrap(),
                Effect::Reject { refusal: (reason, detail), .. } => {
                    writeln!(self.told, "{now} rejected {}: {detail}", reason.as_str()).unwrap();
                }
            }
        }
        self.effects.extend(effects);
    }
}

fn birth_death_seq(bd_seq: u64) -> Metric {
    Metric {
        name: Some("bdSeq".to_owned()),
        datatype: Some(INT64),
        value: Some(Value::Long(bd_seq)),
        ..Metric::default()
    }
}

fn clock(us: i64) -> String {
    let seconds = (us - BEGIN_US) / 1_000_000;
    let (sign, ahead) = if seconds < 0 { ("-", -seconds) } else { ("", seconds) };
    match ahead {
        _ if seconds >= 0 => format!("{:02}:{:02}", ahead / 60, ahead % 60),
        _ => format!("{sign}{}:{:02}:{:02}", ahead / 3600, ahead / 60 % 60, ahead % 60),
    }
}

fn line(reading: &Reading) -> String {
    let mut text = format!("{} {}/{}", clock(reading.measured_at_us.get()), reading.site, reading.tank);
    if reading.product.as_str() != "unknown" {
        write!(text, " {}", reading.product).unwrap();
    }
    if let Some(volume) = reading.volume_ml {
        write!(text, " volume {}", volume.get()).unwrap();
    }
    if let Some(height) = reading.height_dmm {
        write!(text, " height {}", height.0).unwrap();
    }
    if let Some(water) = reading.water_dmm {
        write!(text, " water {}", water.0).unwrap();
    }
    if let Some(temperature) = reading.temperature_cc {
        write!(text, " temperature {}", temperature.0).unwrap();
    }
    if reading.status != 0 {
        write!(text, " status {}", reading.status).unwrap();
    }
    if reading.historical {
        text.push_str(" historical");
    }
    text
}
