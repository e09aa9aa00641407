//! Partitions of a derived log (`fuel.ledger`, `fuel.station-events`) that this process owns, or is about to.
//!
//! In: partitions to begin or to give up, and the log itself. Out: what to fold, when to start, what was lost to another
//! owner. Guarantees: those of [`Tenancy`], for each partition by itself: others go on while one begins. Does not: decide
//! which partitions belong here; the consumer group does.

mod predecessors;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use ingest::{From, LogMessage, LogReader};
use model::{
    FORMAT_VERSION, Fence, LedgerBody, LedgerRecord, LogSettings, PartitionId, StationEvent, StationRecord,
    TimestampUs, Topic,
};
use pipeline::tenancy::{Seen, Step, Tenancy};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sinks::Recorder;

use predecessors::{Predecessors, instance_of, process_of};

const BATCH_MAX: usize = 4096;
/// What others write to the log may be seen so much later; our own way does not lead through here.
const GATHER: Duration = Duration::from_millis(100);
/// Fewer records are decoded where they are.
const DECODED_AT_ONCE_MIN: usize = 256;
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// A record of a log that has owners.
pub(crate) trait Owned: Serialize + DeserializeOwned + Send {
    fn takeover(owner: &str, at_us: TimestampUs) -> Self;
    fn seen(&self) -> Seen<'_>;
}

impl Owned for LedgerRecord {
    fn takeover(owner: &str, at_us: TimestampUs) -> Self {
        Self { v: FORMAT_VERSION, epoch: 0, body: LedgerBody::Takeover { owner: owner.to_owned(), at_us } }
    }
    fn seen(&self) -> Seen<'_> {
        self.into()
    }
}

impl Owned for StationRecord {
    fn takeover(owner: &str, at_us: TimestampUs) -> Self {
        Self { v: FORMAT_VERSION, epoch: 0, event: StationEvent::Takeover { owner: owner.to_owned(), at_us } }
    }
    fn seen(&self) -> Seen<'_> {
        self.into()
    }
}

/// Where a tenancy begins to read: what a state covers already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    pub(crate) partition: PartitionId,
    pub(crate) from: From,
    pub(crate) fence: Fence,
    pub(crate) last_request: Option<i64>,
}

impl Begin {
    /// With an empty state, from the first record.
    pub(crate) fn empty(partition: PartitionId) -> Self {
        Self { partition, from: From::Beginning, fence: Fence::default(), last_request: None }
    }
}

/// What a turn brings, in the order of each partition.
pub(crate) enum Event<R> {
    Fold {
        partition: PartitionId,
        offset: i64,
        record: R,
    },
    /// The takeover was folded. Requests go on at `next`; `None`: with the first.
    Start {
        partition: PartitionId,
        epoch: i64,
        next: Option<i64>,
    },
    /// Another owner has it: the tenancy is over. A successor is another process with our name that was started in our place.
    Lost {
        partition: PartitionId,
        owner: String,
        is_successor: bool,
    },
}

/// The tenancies of one log.
pub(crate) struct Owner {
    log: LogSettings,
    topic: Topic,
    recorder: Arc<Recorder>,
    process: String,
    begun: u64,
    reader: LogReader,
    held: BTreeMap<PartitionId, Held>,
    predecessors: Predecessors,
    batch: Vec<LogMessage>,
    folded: u64,
    told: Instant,
}

struct Held {
    tenancy: Tenancy,
    began: Instant,
    /// What our own records begin with.
    head: String,
    /// The latest of our own records, as it came: decoded when somebody asks.
    latest_own: Option<LogMessage>,
}

impl Owner {
    /// `instance` names this process over restarts.
    pub(crate) fn of(topic: Topic, log: &LogSettings, instance: &str, recorder: Arc<Recorder>) -> anyhow::Result<Self> {
        Ok(Self {
            log: log.clone(),
            topic,
            recorder,
            process: unique_name(instance),
            begun: 0,
            reader: LogReader::open_relaxed(log, &[], GATHER)?,
            held: BTreeMap::new(),
            predecessors: Predecessors::default(),
            batch: Vec::new(),
            folded: 0,
            told: Instant::now(),
        })
    }

    /// Begins tenancies of partitions that are not held.
    pub(crate) fn begin(&mut self, begins: &[Begin]) -> anyhow::Result<()> {
        let positions: Vec<_> = begins.iter().map(|begin| (self.topic, begin.partition, begin.from)).collect();
        self.reader.add(&positions)?;
        for begin in begins {
            self.begun += 1;
            let name = format!("{}-{}", self.process, self.begun);
            let tenancy = Tenancy::new(name, begin.fence, begin.last_request);
            let held = Held { tenancy, began: Instant::now(), head: String::new(), latest_own: None };
            self.held.insert(begin.partition, held);
            self.predecessors.begins(begin.partition, begin.fence.epoch());
        }
        Ok(())
    }

    pub(crate) fn give_up(&mut self, partitions: &[PartitionId]) -> anyhow::Result<()> {
        let places: Vec<_> = partitions.iter().map(|partition| (self.topic, *partition)).collect();
        self.reader.remove(&places)?;
        for partition in partitions {
            self.held.remove(partition);
        }
        Ok(())
    }

    /// Partitions that are held, and how many of them are started.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let started = self.held.values().filter(|held| held.tenancy.epoch().is_some()).count();
        (self.held.len(), started)
    }

    pub(crate) fn holds(&self, partition: PartitionId) -> bool {
        self.held.contains_key(&partition)
    }

    pub(crate) fn held(&self) -> impl Iterator<Item = PartitionId> + '_ {
        self.held.keys().copied()
    }

    /// Reads what is there, for at most `wait` when there is nothing, and tells what follows from it.
    pub(crate) fn turn<R: Owned>(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(Event<R>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        self.reader.read(BATCH_MAX, wait, &mut batch)?;
        let topic = self.log.topic_name(self.topic);
        let folds =
            |message: &LogMessage| self.held.get(&message.partition).is_some_and(|held| held.tenancy.epoch().is_none());
        let records = decode_all::<R>(&topic, &batch, folds);
        for (message, record) in batch.drain(..).zip(records) {
            let (partition, offset) = (message.partition, message.offset);
            let Some(held) = self.held.get_mut(&partition) else { continue };
            if held.tenancy.epoch().is_some() && !looks_like_takeover(&message) {
                // Our own records come by here too: decoding them would cost as much as making them.
                if message.payload.as_deref().is_some_and(|payload| payload.starts_with(held.head.as_bytes())) {
                    held.latest_own = Some(message);
                }
                continue;
            }
            let record: R = record.unwrap_or_else(|| decode(&topic, &message))?;
            if let Seen::Takeover { owner } = record.seen()
                && process_of(owner) != self.process
            {
                self.predecessors.seen(partition, owner);
            }
            match held.tenancy.record(offset, record.seen()) {
                Step::Fold => {
                    self.folded += 1;
                    take(Event::Fold { partition, offset, record })?;
                }
                Step::Start { epoch } => {
                    self.predecessors.started(partition);
                    held.head = head(epoch);
                    let next = held.tenancy.last_request().map(|last| last + 1);
                    let secs = held.began.elapsed().as_secs_f64();
                    tracing::info!(topic = ?self.topic, %partition, epoch, secs, "taken over");
                    take(Event::Fold { partition, offset, record })?;
                    take(Event::Start { partition, epoch, next })?;
                }
                Step::Lost { owner } => {
                    let is_successor = instance_of(&owner) == instance_of(&self.process)
                        && !self.predecessors.include(process_of(&owner), |partition, offset| {
                            owner_at::<R>(&self.log, self.topic, partition, offset)
                        })?;
                    take(Event::Lost { partition, owner, is_successor })?;
                }
                Step::Own | Step::Ignore => {}
            }
        }
        self.batch = batch;
        for (partition, held) in &mut self.held {
            if self.reader.caught_up(self.topic, *partition) && held.tenancy.reached_end() {
                let takeover = R::takeover(held.tenancy.name(), now());
                self.recorder.append(self.topic, *partition, "takeover", &takeover)?;
            }
        }
        let (held, started) = self.counts();
        if started < held && self.told.elapsed() > TOLD_EVERY {
            self.told = Instant::now();
            tracing::info!(topic = ?self.topic, records = self.folded, "reading what is recorded");
        }
        Ok(())
    }

    /// The offset after the last record read of a partition: all that was recorded before it is folded, or is our own.
    pub(crate) fn position(&self, partition: PartitionId) -> Option<i64> {
        self.held.get(&partition).filter(|held| held.tenancy.epoch().is_some())?;
        self.reader.position(self.topic, partition)
    }

    /// See [`Tenancy::has_recorded`].
    pub(crate) fn has_recorded<R: Owned>(&mut self, partition: PartitionId, request: i64) -> anyhow::Result<bool> {
        let Some(held) = self.held.get_mut(&partition) else { return Ok(false) };
        if let Some(message) = held.latest_own.take() {
            let record: R = decode(&self.log.topic_name(self.topic), &message)?;
            held.tenancy.record(message.offset, record.seen());
        }
        Ok(held.tenancy.has_recorded(request))
    }
}

/// What a record of ours begins with, as serde writes it.
fn head(epoch: i64) -> String {
    format!("{{\"v\":{FORMAT_VERSION},\"epoch\":{epoch},")
}

/// A look at the first bytes spares decoding what only has to be known when it is a takeover.
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

/// Decodes those that are wanted, on as many threads as there are processors when it is worth their start: it is most of the
/// work of reading what was recorded.
fn decode_all<R: Owned>(
    topic: &str,
    messages: &[LogMessage],
    wanted: impl Fn(&LogMessage) -> bool,
) -> Vec<Option<anyhow::Result<R>>> {
    let wanted: Vec<Option<&LogMessage>> = messages.iter().map(|message| wanted(message).then_some(message)).collect();
    let decoded = |some: &[Option<&LogMessage>]| -> Vec<_> {
        some.iter().map(|message| message.map(|message| decode(topic, message))).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = messages.len().div_ceil(threads).max(DECODED_AT_ONCE_MIN);
    let mut parts = wanted.chunks(each);
    let own = parts.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = parts.map(|part| scope.spawn(move || decoded(part))).collect();
        let mut records = decoded(own);
        for other in others {
            records.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        records
    })
}

/// Names this process among all that ever owned a partition.
fn unique_name(instance: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{instance}:{}-{:x}", std::process::id(), since.as_nanos())
}

/// Who wrote the takeover at this offset.
fn owner_at<R: Owned>(
    log: &LogSettings,
    topic: Topic,
    partition: PartitionId,
    offset: i64,
) -> anyhow::Result<Option<String>> {
    let mut reader = LogReader::open(log, &[(topic, partition, From::Offset(offset))])?;
    let mut messages = Vec::new();
    while messages.is_empty() && !reader.caught_up(topic, partition) {
        reader.read(1, GATHER, &mut messages)?;
    }
    let Some(message) = messages.first() else { return Ok(None) };
    let record: R = decode(&log.topic_name(topic), message)?;
    Ok(match record.seen() {
        Seen::Takeover { owner } => Some(owner.to_owned()),
        _ => None,
    })
}

pub(crate) fn now() -> TimestampUs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampUs::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_and_our_own_records_are_recognised_by_their_first_bytes() {
        let message = |payload| LogMessage {
            topic: Topic::Ledger,
            partition: PartitionId(0),
            offset: 0,
            key: None,
            payload: Some(payload),
            timestamp_ms: None,
        };
        let json = |record: &LedgerRecord| serde_json::to_vec(record).expect("JSON");
        let ledger = LedgerRecord::takeover("a", TimestampUs::default());
        let stations = StationRecord::takeover("a", TimestampUs::default());
        assert!(looks_like_takeover(&message(json(&ledger))));
        assert!(looks_like_takeover(&message(serde_json::to_vec(&stations).expect("JSON"))));
        assert!(!looks_like_takeover(&message(b"{\"v\":1,\"epoch\":4,\"body\":{\"outcome\":{}}}".to_vec())));
        let later = LedgerRecord { epoch: 41, ..ledger };
        assert!(json(&later).starts_with(head(41).as_bytes()));
        assert!(!json(&later).starts_with(head(4).as_bytes()));
    }
}
