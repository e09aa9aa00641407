//! The threads between the logs and the dataflows: each reads one side, hands over, and ends when told to.
//!
//! In: Kafka partitions and dataflow outputs. Out: dataflow inputs and Kafka records, in order per partition.
//! Guarantees: nothing waits on a slow reader of results; bounded queues push back to the log, which keeps everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use ingest::{From, LogMessage, LogReader};
use model::{ContractId, FORMAT_VERSION, IdempotencyKey, LogSettings, PartitionId, Request, RequestBody, Tick, Topic};
use pipeline::{Dataflow, ledger, stations};
use sinks::Recorder;
use tokio::sync::mpsc;

use crate::owner::now;
use crate::snapshots::Job;

/// Records handed over at once; also the most that waits inside one hand-over.
const BATCH_MAX: usize = 512;
/// Records read at once where throughput counts more than latency.
const BULK_MAX: usize = 8192;
const WAIT: Duration = Duration::from_millis(100);
/// A partition that was just taken over waits so long for its first request.
const REQUESTS_WAIT: Duration = Duration::from_millis(20);
/// Levels and minutes may be so much later: a gauge reports once a minute.
const STATIONS_GATHER: Duration = Duration::from_millis(50);
/// The page shows a decision, and counts its latency, up to so much later: an eye does not see it, the broker does.
const SCREENS_GATHER: Duration = Duration::from_millis(50);
/// How often the ledger learns what time it is, for holds that expire and fees that fall due.
const CLOCK: Duration = Duration::from_secs(1);
/// How often the stations learn what time it is, for idle partitions.
const TICK: Duration = Duration::from_millis(250);

/// Which partitions' requests to read.
pub(crate) enum Follow {
    /// For the tenancy that began at `epoch`, from the request at `next` on; `None`: from the first.
    Begin {
        partition: PartitionId,
        epoch: i64,
        next: Option<i64>,
    },
    End {
        partition: PartitionId,
    },
}

/// Reads requests into the ledger dataflow as told, and tells it the time.
pub(crate) fn requests(
    log: &LogSettings,
    dataflow: &Dataflow<ledger::Input>,
    follow: &Receiver<Follow>,
    rejecter: &ingest::Rejecter,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let mut reader = LogReader::open(log, &[])?;
    let mut epochs: BTreeMap<PartitionId, i64> = BTreeMap::new();
    let mut batch = Vec::new();
    let mut told = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        // With nothing to read there is only news to wait for.
        let news = if epochs.is_empty() { follow.recv_timeout(WAIT).ok() } else { follow.try_recv().ok() };
        if let Some(news) = news {
            change(&mut reader, &mut epochs, std::iter::once(news).chain(follow.try_iter()))?;
        }
        if !epochs.is_empty() {
            reader.read(BATCH_MAX, REQUESTS_WAIT, &mut batch)?;
        }
        if told.elapsed() >= CLOCK {
            told = Instant::now();
            for feed in dataflow.feeds() {
                feed.send(ledger::Input::Clock { at_us: now() })?;
            }
        }
        for (partition, messages) in by_partition(&mut batch) {
            let Some(epoch) = epochs.get(&partition).copied() else { continue };
            let mut requests = Vec::with_capacity(messages.len());
            for message in messages {
                match ingest::decode::request(message.payload.as_deref().unwrap_or_default()) {
                    Ok(request) => requests.push((message.offset, request)),
                    Err((reason, detail)) => rejecter.reject(&message, reason, detail)?,
                }
            }
            dataflow.feed(partition).send(ledger::Input::Decide { partition, epoch, requests })?;
        }
    }
    Ok(())
}

/// Partitions that begin together are asked for together: each asking is some round trips to the broker.
fn change(
    reader: &mut LogReader,
    epochs: &mut BTreeMap<PartitionId, i64>,
    news: impl Iterator<Item = Follow>,
) -> Result<(), ingest::Error> {
    let mut begun = Vec::new();
    for news in news {
        match news {
            Follow::Begin { partition, epoch, next } => {
                epochs.insert(partition, epoch);
                begun.push((Topic::Requests, partition, next.map_or(From::Beginning, From::Offset)));
            }
            Follow::End { partition } => {
                epochs.remove(&partition);
                begun.retain(|(_, begun, _)| *begun != partition);
                reader.remove(&[(Topic::Requests, partition)])?;
            }
        }
    }
    reader.add(&begun)
}

/// Reads these partitions' readings and sales into the station dataflow, from the beginning of what is kept, and tells it
/// the time.
pub(crate) fn station_inputs(
    log: &LogSettings,
    partitions: &BTreeSet<PartitionId>,
    dataflow: &Dataflow<stations::Input>,
    clock: &ingest::Clock,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let positions: Vec<_> = partitions
        .iter()
        .flat_map(|partition| [Topic::Readings, Topic::Sales].map(|topic| (topic, *partition, From::Beginning)))
        .collect();
    let mut reader = LogReader::open_relaxed(log, &positions, STATIONS_GATHER)?;
    let mut batch = Vec::new();
    let mut ticked = Instant::now();
    let mut behind = partitions.clone();
    while !stop.load(Ordering::Relaxed) {
        reader.read(BULK_MAX, WAIT, &mut batch)?;
        let (mut readings, mut sales): (Vec<_>, Vec<_>) =
            batch.drain(..).partition(|message| message.topic == Topic::Readings);
        for (partition, messages) in by_partition(&mut readings) {
            let records = readable_records(&messages);
            dataflow.feed(partition).send(stations::Input::Readings { partition, records })?;
        }
        for (partition, messages) in by_partition(&mut sales) {
            let sales = readable_records(&messages);
            dataflow.feed(partition).send(stations::Input::Sales { partition, sales })?;
        }
        let is_behind = |partition: &PartitionId| {
            ![Topic::Readings, Topic::Sales].iter().all(|topic| reader.caught_up(*topic, *partition))
        };
        for partition in behind.extract_if(.., |partition| !is_behind(partition)) {
            dataflow.feed(partition).send(stations::Input::CaughtUp { partition })?;
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            for feed in dataflow.feeds() {
                feed.send(stations::Input::Tick { at_us: clock.now() })?;
            }
        }
    }
    Ok(())
}

/// Writes what the ledger dataflow gives to the log, until the dataflow ends; hands on what becomes a snapshot.
pub(crate) fn record_ledger(
    outputs: impl IntoIterator<Item = Vec<ledger::Output>>,
    recorder: &Recorder,
    snapshots: Option<&Sender<Job>>,
) -> anyhow::Result<()> {
    for batch in outputs {
        for output in batch {
            match output {
                ledger::Output::Record { partition, key, record } => {
                    recorder.append(Topic::Ledger, partition, &key, &*record)?;
                }
                ledger::Output::TickDue { partition, contract } => {
                    let tick = tick(contract)?;
                    recorder.append(Topic::Requests, partition, tick.key(), &tick)?;
                }
                ledger::Output::Snapshot { partition, part } => {
                    if let Some(snapshots) = snapshots {
                        snapshots.send(Job::Part { partition, part })?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Tells a contract in its own log that time has passed.
fn tick(contract: ContractId) -> anyhow::Result<Request> {
    let at_us = now();
    let idem = IdempotencyKey::new(&format!("tick-{}", at_us.get()))?;
    let body = RequestBody::Tick(Tick { idem, at_us });
    Ok(Request { v: FORMAT_VERSION, origin: None, received_at_us: at_us, contract: Some(contract), body })
}

/// Writes what the station dataflow gives to the log, until the dataflow ends.
pub(crate) fn record_stations(
    outputs: impl IntoIterator<Item = Vec<stations::Output>>,
    recorder: &Recorder,
) -> anyhow::Result<()> {
    for batch in outputs {
        for output in batch {
            recorder.append(Topic::StationEvents, output.partition, &output.key, &output.record)?;
        }
    }
    Ok(())
}

/// Both truths that the screens show, from the oldest records that the logs still hold.
pub(crate) fn from_the_beginning(log: &LogSettings) -> Vec<(Topic, PartitionId, From)> {
    let topics = [Topic::Ledger, Topic::StationEvents];
    log.all_partitions().flat_map(|partition| topics.map(|topic| (topic, partition, From::Beginning))).collect()
}

/// Reads both truths for the screens: all that is recorded first, then what comes. `saved` says where to go on behind what the
/// screens know already.
pub(crate) fn screens(
    log: &LogSettings,
    saved: Vec<(Topic, PartitionId, From)>,
    feed: &mpsc::Sender<Vec<dashboards::Feed>>,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let mut positions = saved;
    positions.extend(log.all_partitions().map(|partition| (Topic::Rejected, partition, From::Beginning)));
    let mut reader = LogReader::open_relaxed(log, &positions, SCREENS_GATHER)?;
    let mut batch = Vec::new();
    let mut caught_up = false;
    while !stop.load(Ordering::Relaxed) {
        reader.read(BATCH_MAX, WAIT, &mut batch)?;
        let seen_at_us = now();
        let mut items = Vec::with_capacity(batch.len() + 1);
        for message in batch.drain(..) {
            let (partition, offset) = (message.partition, message.offset);
            items.push(match message.topic {
                Topic::Ledger => {
                    dashboards::Feed::Ledger { partition, offset, record: own_record(&message)?, seen_at_us }
                }
                Topic::StationEvents => {
                    dashboards::Feed::Station { partition, offset, record: own_record(&message)?, seen_at_us }
                }
                _ => dashboards::Feed::Rejected { count: 1 },
            });
        }
        if !caught_up && reader.all_caught_up() {
            caught_up = true;
            items.push(dashboards::Feed::CaughtUp);
        }
        if !items.is_empty() && feed.blocking_send(items).is_err() {
            break; // the screens have ended
        }
    }
    Ok(())
}

/// Groups a batch by partition, keeping the order inside each.
fn by_partition(batch: &mut Vec<LogMessage>) -> BTreeMap<PartitionId, Vec<LogMessage>> {
    let mut groups: BTreeMap<PartitionId, Vec<LogMessage>> = BTreeMap::new();
    for message in batch.drain(..) {
        groups.entry(message.partition).or_default().push(message);
    }
    groups
}

/// The records that can be read. Others were put there by somebody else: named in the log, and passed over.
fn readable_records<R: serde::de::DeserializeOwned>(messages: &[LogMessage]) -> Vec<(i64, R)> {
    messages
        .iter()
        .filter_map(|message| match serde_json::from_slice(message.payload.as_deref().unwrap_or_default()) {
            Ok(record) => Some((message.offset, record)),
            Err(error) => {
                let (topic, partition, offset) = (message.topic, message.partition, message.offset);
                tracing::warn!(?topic, %partition, offset, %error, "passing over a record that is not ours");
                None
            }
        })
        .collect()
}

/// A record that only Forecourt writes: if it cannot be read, going on would lose it.
fn own_record<R: serde::de::DeserializeOwned>(message: &LogMessage) -> anyhow::Result<R> {
    serde_json::from_slice(message.payload.as_deref().unwrap_or_default()).map_err(|error| {
        anyhow::anyhow!(
            "{:?}/{} offset {} cannot be read ({error}): was it written by another version of Forecourt?",
            message.topic,
            message.partition,
            message.offset
        )
    })
}
