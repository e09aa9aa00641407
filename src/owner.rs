//! Taking over partitions of a derived log (`fuel.ledger`, `fuel.station-events`).
//!
//! In: the log itself. Out: every true record for folding, in order, and the epoch of our own takeover per partition.
//! Guarantees: nothing is decided for a partition before all that was recorded is folded and our takeover stands in the log;
//! a takeover by another process is noticed. Does not: move partitions between processes; one process owns all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use ingest::{From, LogMessage, LogReader};
use model::{
    FORMAT_VERSION, LedgerBody, LedgerRecord, LogSettings, PartitionId, StationEvent, StationRecord, TimestampUs, Topic,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sinks::Recorder;

const BATCH_MAX: usize = 4096;
const WAIT: Duration = Duration::from_millis(100);

/// A record of a log that has owners.
pub(crate) trait Owned: Serialize + DeserializeOwned {
    const TOPIC: Topic;
    fn takeover(owner: &str, at_us: TimestampUs) -> Self;
    /// Who takes over, when this is a takeover.
    fn taken_over_by(&self) -> Option<&str>;
}

impl Owned for LedgerRecord {
    const TOPIC: Topic = Topic::Ledger;
    fn takeover(owner: &str, at_us: TimestampUs) -> Self {
        Self { v: FORMAT_VERSION, epoch: 0, body: LedgerBody::Takeover { owner: owner.to_owned(), at_us } }
    }
    fn taken_over_by(&self) -> Option<&str> {
        match &self.body {
            LedgerBody::Takeover { owner, .. } => Some(owner),
            LedgerBody::Outcome(_) => None,
        }
    }
}

impl Owned for StationRecord {
    const TOPIC: Topic = Topic::StationEvents;
    fn takeover(owner: &str, at_us: TimestampUs) -> Self {
        Self { v: FORMAT_VERSION, epoch: 0, event: StationEvent::Takeover { owner: owner.to_owned(), at_us } }
    }
    fn taken_over_by(&self) -> Option<&str> {
        match &self.event {
            StationEvent::Takeover { owner, .. } => Some(owner),
            _ => None,
        }
    }
}

/// The owner of all partitions of one log, after the takeover.
pub(crate) struct Owner {
    name: String,
    reader: LogReader,
}

impl Owner {
    /// Reads each partition to its end, appends our takeover and reads on until it stands there.
    ///
    /// `fold` gets every record in order, ours included; `start` gets a partition's epoch right after its takeover was folded.
    pub(crate) fn take_over<R: Owned>(
        log: &LogSettings,
        recorder: &Recorder,
        stop: &AtomicBool,
        mut fold: impl FnMut(PartitionId, i64, R) -> anyhow::Result<()>,
        mut start: impl FnMut(PartitionId, i64) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let name = unique_name();
        let topic = log.topic_name(R::TOPIC);
        let positions: Vec<_> = log.all_partitions().map(|partition| (R::TOPIC, partition, From::Beginning)).collect();
        let mut reader = LogReader::open_relaxed(log, &positions, WAIT)?;
        let mut announced = BTreeSet::new();
        let mut owned: BTreeMap<PartitionId, i64> = BTreeMap::new();
        let (mut folded, mut told) = (0_u64, Instant::now());
        let mut batch: Vec<LogMessage> = Vec::new();
        while owned.len() < positions.len() {
            if stop.load(Ordering::Relaxed) {
                bail!("stopped while taking over {topic}");
            }
            reader.read(BATCH_MAX, WAIT, &mut batch)?;
            for message in batch.drain(..) {
                let (partition, offset) = (message.partition, message.offset);
                let record: R = decode(&topic, &message)?;
                folded += 1;
                match record.taken_over_by() {
                    Some(owner) if owner == name => {
                        fold(partition, offset, record)?;
                        start(partition, offset)?;
                        owned.insert(partition, offset);
                    }
                    Some(other) if owned.contains_key(&partition) => {
                        bail!("{topic}/{partition} was taken over by {other} while this process started");
                    }
                    _ => fold(partition, offset, record)?,
                }
            }
            for partition in log.all_partitions() {
                if reader.caught_up(R::TOPIC, partition) && announced.insert(partition) {
                    recorder.append(R::TOPIC, partition, "takeover", &R::takeover(&name, now()))?;
                }
            }
            if told.elapsed() > Duration::from_secs(2) {
                told = Instant::now();
                tracing::info!(%topic, records = folded, "reading what is recorded");
            }
        }
        tracing::info!(%topic, records = folded, owner = %name, "all partitions taken over");
        Ok(Self { name, reader })
    }

    /// Watches for a newer owner. Returns an error when there is one, `Ok` when told to stop.
    pub(crate) fn watch<R: Owned>(mut self, log: &LogSettings, stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
        let topic = log.topic_name(R::TOPIC);
        let mut batch = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            self.reader.read(BATCH_MAX, WAIT, &mut batch)?;
            for message in batch.drain(..) {
                if !looks_like_takeover(&message) {
                    continue;
                }
                let record: R = decode(&topic, &message)?;
                if let Some(owner) = record.taken_over_by().filter(|owner| *owner != self.name) {
                    bail!(
                        "{topic}/{} was taken over by another Forecourt ({owner}): this one ({}) ends",
                        message.partition,
                        self.name
                    );
                }
            }
        }
        Ok(())
    }
}

/// The records that we write ourselves come by here too: a look at their first bytes spares decoding them.
fn looks_like_takeover(message: &LogMessage) -> bool {
    const HEAD: usize = 96;
    let payload = message.payload.as_deref().unwrap_or_default();
    payload[..payload.len().min(HEAD)].windows(10).any(|window| window == b"\"takeover\"")
}

fn decode<R: DeserializeOwned>(topic: &str, message: &LogMessage) -> anyhow::Result<R> {
    serde_json::from_slice(message.payload.as_deref().unwrap_or_default()).with_context(|| {
        format!(
            "{topic}/{} offset {} cannot be read: was it written by another version of Forecourt?",
            message.partition, message.offset
        )
    })
}

/// Names this process among all that ever owned a partition.
fn unique_name() -> String {
    format!("{}-{:x}", std::process::id(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos())
}

pub(crate) fn now() -> TimestampUs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampUs::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_is_recognised_by_its_first_bytes() {
        let message = |payload| LogMessage {
            topic: Topic::Ledger,
            partition: PartitionId(0),
            offset: 0,
            key: None,
            payload: Some(payload),
            timestamp_ms: None,
        };
        let ledger = LedgerRecord::takeover("a", TimestampUs::default());
        let stations = StationRecord::takeover("a", TimestampUs::default());
        assert!(looks_like_takeover(&message(serde_json::to_vec(&ledger).expect("JSON"))));
        assert!(looks_like_takeover(&message(serde_json::to_vec(&stations).expect("JSON"))));
        assert!(!looks_like_takeover(&message(b"{\"v\":1,\"epoch\":4,\"body\":{\"outcome\":{}}}".to_vec())));
    }
}
