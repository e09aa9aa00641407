//! Configuration: a TOML file in, settings of every part out. All of it is checked before the first socket opens.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use model::LogSettings;
use pipeline::ledger;
use serde::Deserialize;

/// What the file says, with the defaults of `deploy/forecourt.toml` where it is silent. Unknown keys are errors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) process: Process,
    pub(crate) kafka: Kafka,
    pub(crate) mqtt: Mqtt,
    pub(crate) clickhouse: ClickHouse,
    pub(crate) ledger: Ledger,
    pub(crate) snapshots: Snapshots,
    pub(crate) stations: Stations,
    pub(crate) dashboards: Dashboards,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
}

/// What a process does. Several processes of a role share its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// MQTT and routing.
    Ingest,
    /// Decisions, and what is published from them.
    Ledger,
    Stations,
    /// Rows in ClickHouse.
    Sinks,
    Dashboards,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Kafka {
    pub(crate) bootstrap: String,
    pub(crate) topic_prefix: String,
    pub(crate) partitions: i32,
    pub(crate) replication: i32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mqtt {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) client_id: String,
    pub(crate) topic_prefix: String,
    pub(crate) shared_group: Option<String>,
    /// The name of this host application; `None`: Sparkplug is not listened to.
    pub(crate) sparkplug_host: Option<String>,
    /// Empty: all.
    pub(crate) sparkplug_groups: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClickHouse {
    pub(crate) url: String,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) batch_rows_max: usize,
    pub(crate) batch_wait: Span,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ledger {
    pub(crate) workers: usize,
    pub(crate) hold_ttl: Span,
    pub(crate) hold_policies: Vec<HoldPolicy>,
    pub(crate) pin_tries_max: u8,
    pub(crate) pin_lock: Span,
    /// `None` (written `"off"`): terminal clocks are believed whatever they say.
    #[serde(deserialize_with = "span_or_off")]
    pub(crate) clock_skew_max: Option<Span>,
    pub(crate) answers_kept: Span,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Snapshots {
    /// Empty: none are taken.
    pub(crate) store: String,
    pub(crate) every: Span,
    pub(crate) after_records: i64,
    pub(crate) keep: usize,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { store: String::new(), every: Span(Duration::from_secs(3 * 60)), after_records: 10_000, keep: 3 }
    }
}

/// How long holds of some terminals and products reserve. What is left out fits all.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldPolicy {
    pub(crate) device: Option<model::Device>,
    pub(crate) group: Option<model::ProductCode>,
    pub(crate) ttl: Span,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stations {
    pub(crate) workers: usize,
    pub(crate) lateness: Span,
    pub(crate) idle_after: Span,
    /// `None` (written `"off"`): gauges are believed whatever time they say.
    #[serde(deserialize_with = "span_or_off")]
    pub(crate) clock_ahead_max: Option<Span>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Dashboards {
    pub(crate) listen: SocketAddr,
    pub(crate) allowed_origins: Vec<String>,
}

impl Default for Process {
    fn default() -> Self {
        let roles = vec![Role::Ingest, Role::Ledger, Role::Stations, Role::Sinks, Role::Dashboards];
        Self { name: "forecourt".into(), roles }
    }
}

impl Process {
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self { bootstrap: "127.0.0.1:9092".into(), topic_prefix: "fuel".into(), partitions: 16, replication: 1 }
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 1883,
            client_id: "forecourt".into(),
            topic_prefix: "fuel/v1".into(),
            shared_group: None,
            sparkplug_host: None,
            sparkplug_groups: Vec::new(),
        }
    }
}

impl Default for ClickHouse {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".into(),
            database: "forecourt".into(),
            user: "default".into(),
            password: String::new(),
            batch_rows_max: 50_000,
            batch_wait: Span(Duration::from_millis(500)),
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            workers: 1,
            hold_ttl: Span(Duration::from_secs(2 * 3600)),
            hold_policies: Vec::new(),
            pin_tries_max: 3,
            pin_lock: Span(Duration::from_secs(30 * 60)),
            clock_skew_max: Some(Span(Duration::from_secs(26 * 3600))),
            answers_kept: Span(Duration::from_secs(72 * 3600)),
        }
    }
}

impl Default for Stations {
    fn default() -> Self {
        Self {
            workers: 1,
            lateness: Span(Duration::from_secs(15)),
            idle_after: Span(Duration::from_secs(10)),
            clock_ahead_max: Some(Span(Duration::from_secs(5 * 60))),
        }
    }
}

impl Default for Dashboards {
    fn default() -> Self {
        Self { listen: ([127, 0, 0, 1], 8080).into(), allowed_origins: Vec::new() }
    }
}

impl Ledger {
    /// What the rules measure against.
    pub(crate) fn rules(&self) -> ledger::Config {
        ledger::Config {
            workers: self.workers,
            hold_ttl_us: self.hold_ttl.micros(),
            hold_policies: self.hold_policies.iter().map(HoldPolicy::rule).collect(),
            pin_tries_max: self.pin_tries_max,
            pin_lock_us: self.pin_lock.micros(),
            clock_skew_max_us: self.clock_skew_max.map(Span::micros),
            key_retention_us: self.answers_kept.micros(),
            ..ledger::Config::default()
        }
    }
}

impl HoldPolicy {
    fn rule(&self) -> ledger::HoldPolicy {
        let Self { device, group, ttl } = self.clone();
        ledger::HoldPolicy { device, group, ttl_us: ttl.micros() }
    }
}

/// A duration with its unit in the text: `"250ms"`, `"15m"`, `"26h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(crate) fn micros(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |why: String| {
            serde::de::Error::custom(format!("{text:?} is no duration like \"250ms\", \"15m\" or \"26h\": {why}"))
        };
        let signed: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| wrong(error.to_string()))?;
        Duration::try_from(signed).map(Self).map_err(|_| wrong("it is negative".into()))
    }
}

fn span_or_off<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Span>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    Span::deserialize(serde::de::value::StringDeserializer::new(text)).map(Some)
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in the configuration {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text)?;
        config.validate()
    }

    /// Relations that the types cannot hold.
    pub(crate) fn validate(self) -> anyhow::Result<Self> {
        let name = &self.process.name;
        ensure!(
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)),
            "process.name {name:?}: letters, digits and . _ - are possible, and each process needs its own"
        );
        ensure!(!self.process.roles.is_empty(), "process.roles is empty: name at least one");
        ensure!(!self.kafka.bootstrap.is_empty(), "kafka.bootstrap is empty: name at least one host:port");
        ensure!(
            (1..=4096).contains(&self.kafka.partitions),
            "kafka.partitions is {}: 1 to 4096 are possible",
            self.kafka.partitions
        );
        ensure!(self.kafka.replication >= 1, "kafka.replication is {}: at least 1 is needed", self.kafka.replication);
        let prefix = &self.kafka.topic_prefix;
        ensure!(
            !prefix.is_empty() && prefix.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)),
            "kafka.topic_prefix {prefix:?}: letters, digits and . _ - are possible"
        );
        ensure!(!self.mqtt.client_id.is_empty(), "mqtt.client_id is empty: a persistent session needs a stable name");
        if self.mqtt.topic_prefix.contains(['#', '+', '$']) || self.mqtt.topic_prefix.is_empty() {
            bail!("mqtt.topic_prefix {:?}: a plain topic without wildcards is needed", self.mqtt.topic_prefix);
        }
        for name in self.mqtt.sparkplug_host.iter().chain(&self.mqtt.sparkplug_groups) {
            ensure!(
                !name.is_empty() && !name.contains(['#', '+', '/']),
                "mqtt.sparkplug_host and mqtt.sparkplug_groups: {name:?} is no level of a topic"
            );
        }
        ensure!(
            self.clickhouse.url.starts_with("http://") || self.clickhouse.url.starts_with("https://"),
            "clickhouse.url {:?}: it begins with http:// or https://",
            self.clickhouse.url
        );
        let database = &self.clickhouse.database;
        ensure!(
            !database.is_empty() && database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
            "clickhouse.database {database:?}: letters, digits and _ are possible"
        );
        ensure!(self.clickhouse.batch_rows_max >= 1, "clickhouse.batch_rows_max is 0");
        for (key, workers) in [("ledger.workers", self.ledger.workers), ("stations.workers", self.stations.workers)] {
            ensure!((1..=64).contains(&workers), "{key} is {workers}: 1 to 64 are possible");
        }
        ensure!(self.snapshots.after_records >= 1, "snapshots.after_records is {}", self.snapshots.after_records);
        ensure!(self.snapshots.keep >= 1, "snapshots.keep is 0: at least the newest is needed");
        ensure!(self.ledger.pin_tries_max >= 1, "ledger.pin_tries_max is 0: no card could ever be used with its PIN");
        Ok(self)
    }

    pub(crate) fn log(&self) -> LogSettings {
        LogSettings {
            bootstrap: self.kafka.bootstrap.clone(),
            topic_prefix: self.kafka.topic_prefix.clone(),
            partitions: self.kafka.partitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_of_some_terminals_and_products_last_as_long_as_the_file_says() {
        let text = r#"ledger.hold_policies = [{ device = "outdoor", group = "DIESEL", ttl = "90m" }, { ttl = "10m" }]"#;
        let rules = Config::parse(text).expect("valid").ledger.rules();
        let [first, second] = &rules.hold_policies[..] else { panic!("two policies") };
        assert_eq!((first.device, first.ttl_us), (Some(model::Device::Outdoor), 90 * 60_000_000));
        assert_eq!((second.device, second.group.as_ref(), second.ttl_us), (None, None, 10 * 60_000_000));
    }

    #[test]
    fn the_sample_configuration_holds_every_key_at_its_default() {
        let sample = include_str!("../deploy/forecourt.toml");
        let config = Config::parse(sample).expect("the sample is valid");
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let error = |text: &str| format!("{:#}", Config::parse(text).expect_err("a mistake"));
        assert!(error("[kafka]\nbootsrap = \"x\"").contains("bootsrap"));
        assert!(error("[kafka]\npartitions = 0").contains("kafka.partitions is 0"));
        assert!(error("[ledger]\nhold_ttl = \"soon\"").contains("\"soon\" is no duration"));
        assert!(error("[clickhouse]\nurl = \"localhost\"").contains("clickhouse.url"));
    }
}
