//! Reading logs from their beginning to their present end, for the commands that answer and end.
//!
//! Guarantees: what comes after the beginning of a reading is not waited for. Does not: write, or need a running Forecourt.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use ingest::{From, LogReader};
use model::{LedgerRecord, LogSettings, PartitionId, Topic};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::config::Config;

const BATCH_MAX: usize = 8192;
const WAIT: Duration = Duration::from_millis(100);
const ANSWER_MAX: Duration = Duration::from_secs(5);
const TOLD_EVERY: Duration = Duration::from_millis(500);
const BAR_WIDTH: usize = 30;

/// Where Kafka is.
#[derive(Args)]
pub(crate) struct Kafka {
    /// Kafka's address
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "config")]
    bootstrap: Option<String>,
    /// Take Kafka's address and the rules from this TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Kafka {
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        if let Some(bootstrap) = &self.bootstrap {
            config.kafka.bootstrap.clone_from(bootstrap);
        }
        Ok(config)
    }
}

/// The logs with as many partitions as they have.
pub(crate) fn reachable(mut log: LogSettings) -> anyhow::Result<LogSettings> {
    let topic = log.topic_name(Topic::Ledger);
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &log.bootstrap).create()?;
    let metadata = client
        .fetch_metadata(Some(&topic), ANSWER_MAX)
        .with_context(|| format!("Kafka at {} does not answer; name another with --bootstrap", log.bootstrap))?;
    let partitions =
        metadata.topics().iter().find(|known| known.name() == topic).map_or(0, |known| known.partitions().len());
    ensure!(partitions > 0, "Kafka at {} has no topic {topic}", log.bootstrap);
    log.partitions = i32::try_from(partitions)?;
    Ok(log)
}

/// Every record of a partition up to its end of now, for as long as `take` wants more.
pub(crate) fn read_all(
    log: &LogSettings,
    topic: Topic,
    partition: PartitionId,
    take: impl FnMut(i64, &[u8]) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    read_from(log, topic, partition, From::Beginning, take)
}

fn read_from(
    log: &LogSettings,
    topic: Topic,
    partition: PartitionId,
    from: From,
    mut take: impl FnMut(i64, &[u8]) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut reader = LogReader::open(log, &[(topic, partition, from)])?;
    let mut batch = Vec::new();
    loop {
        let ends = reader.caught_up(topic, partition);
        reader.read(BATCH_MAX, if ends { Duration::ZERO } else { WAIT }, &mut batch)?;
        for message in batch.drain(..) {
            // A compacted topic may hold a key whose record was taken away.
            let Some(payload) = &message.payload else { continue };
            if !take(message.offset, payload)? {
                return Ok(());
            }
        }
        if ends {
            return Ok(());
        }
    }
}

/// Every record of a partition of the ledger up to its end of now, for as long as `take` wants more.
pub(crate) fn read_ledger(
    log: &LogSettings,
    partition: PartitionId,
    progress: &mut Progress,
    mut take: impl FnMut(i64, LedgerRecord) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    read_all(log, Topic::Ledger, partition, |offset, payload| {
        progress.record();
        take(offset, ledger_record(partition, offset, payload)?)
    })
}

/// The same from an offset on.
pub(crate) fn read_ledger_from(
    log: &LogSettings,
    partition: PartitionId,
    offset: i64,
    mut take: impl FnMut(i64, LedgerRecord) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    read_from(log, Topic::Ledger, partition, From::Offset(offset), |offset, payload| {
        take(offset, ledger_record(partition, offset, payload)?)
    })
}

fn ledger_record(partition: PartitionId, offset: i64, payload: &[u8]) -> anyhow::Result<LedgerRecord> {
    serde_json::from_slice(payload).with_context(|| {
        format!("the ledger cannot be read at {partition}/{offset}: was it written by another version of Forecourt?")
    })
}

/// How far a reading has come, on a terminal.
pub(crate) struct Progress {
    shown: bool,
    records: u64,
    of: u64,
    told: Instant,
}

impl Progress {
    /// Of reading these partitions.
    pub(crate) fn of(log: &LogSettings, partitions: &[(Topic, PartitionId)]) -> anyhow::Result<Self> {
        let spans = ingest::spans(log, partitions)?;
        let of = spans.iter().map(|span| u64::try_from(span.end - span.begin).unwrap_or(0)).sum();
        Ok(Self { shown: false, records: 0, of, told: Instant::now() })
    }

    pub(crate) fn record(&mut self) {
        self.records += 1;
        if self.records.is_multiple_of(1024) && self.told.elapsed() > TOLD_EVERY && std::io::stderr().is_terminal() {
            self.told = Instant::now();
            self.shown = true;
            let done = self.records.min(self.of);
            let bar = usize::try_from(done * BAR_WIDTH as u64 / self.of.max(1)).unwrap_or(BAR_WIDTH);
            let (full, rest) = ("#".repeat(bar), BAR_WIDTH - bar);
            eprint!("\rreading the ledger [{full}{:rest$}] {} of {} records", "", self.records, self.of);
        }
    }

    pub(crate) fn end(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
