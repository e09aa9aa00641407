//! The floor: the same hops through the same broker with nothing done at them.
//!
//! Echo stages, transactions → requests → ledger (or the last two alone), with the settings of any careful client
//! (idempotent, all acknowledgements, no linger) and the load's own client; messages of the same sizes on the same
//! timetable. The load's own work is the same too: it makes its messages and reads ledger records.
//!
//! Measured twice: alone, in turns with Forecourt, and as a trickle beside it in the same seconds. What lies above the first is
//! all that Forecourt costs, the processor time that its history, its page and its load take from the broker included; what
//! lies above the second is what a decision's own way takes longer than an empty one under the same load.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use model::{LogSettings, TimestampUs, Topic, partition_of};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::Message;

use super::book::{histogram, record};
use super::fleet::Fleet;
use super::light::Record;
use super::schedule::{Schedule, sleep_until};
use super::traffic::Traffic;
use loadtest::kafka::{Reader, Sender, wait_for_topics};

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// What a request carries beside its transaction: origin, contract, time of arrival.
const ENVELOPE_BYTES: usize = 160;
/// A message begins with its number.
const NUMBER_BYTES: usize = 20;
/// Messages of one slice; slices count on from here.
const SLICE_MESSAGES_MAX: u64 = 1_000_000_000;

/// What the echoes have found so far.
pub(crate) struct Floor {
    pub(crate) hops: usize,
    pub(crate) latency: Histogram<u64>,
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
    /// The echoes beside Forecourt, and how many a second.
    pub(crate) beside: Histogram<u64>,
    pub(crate) beside_per_s: u64,
    pub(crate) slices: Vec<Slice>,
}

/// Two neighbouring slices of a run.
pub(crate) struct Slice {
    pub(crate) decision: Histogram<u64>,
    /// Not in the first slice: its records show how long the echoes' are to be.
    pub(crate) beside: Option<Histogram<u64>>,
    pub(crate) floor: Histogram<u64>,
}

/// What came of the echoes of one slice.
pub(crate) struct Echoed {
    pub(crate) latency: Histogram<u64>,
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct FloorPlan<'a> {
    pub(crate) fleet: &'a Fleet,
    /// Its own for every call.
    pub(crate) slice: u32,
    pub(crate) rate: u64,
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
    pub(crate) drain: Duration,
    pub(crate) sizes: &'a Sizes,
}

/// How long the echoes are.
pub(crate) struct Sizes {
    /// Bytes of a transaction on average.
    pub(crate) transaction_bytes: usize,
    /// A ledger record, which is read at the end as those of Forecourt are.
    pub(crate) ledger_record: Vec<u8>,
}

impl Floor {
    /// Adds a slice.
    pub(crate) fn add(
        &mut self,
        decision: Histogram<u64>,
        beside: Option<Histogram<u64>>,
        alone: Echoed,
    ) -> anyhow::Result<()> {
        self.latency.add(&alone.latency)?;
        self.sent += alone.sent;
        self.arrived += alone.arrived;
        if let Some(beside) = &beside {
            self.beside.add(beside)?;
        }
        self.slices.push(Slice { decision, beside, floor: alone.latency });
        Ok(())
    }
}

/// The echoes' topics. [`Echoes::close`] removes them.
pub(crate) struct Echoes {
    log: LogSettings,
    admin: AdminClient<DefaultClientContext>,
    /// In the order of the hops.
    names: Vec<String>,
}

impl Echoes {
    /// Makes the topics; `direct` leaves the first hop out.
    pub(crate) fn open(
        log: &LogSettings,
        run: &str,
        direct: bool,
        runtime: &tokio::runtime::Runtime,
    ) -> anyhow::Result<Self> {
        let hops = [Topic::Transactions, Topic::Requests, Topic::Ledger];
        let hops = &hops[usize::from(direct)..];
        let log = LogSettings { topic_prefix: format!("{}-floor-{run}", log.topic_prefix), ..log.clone() };
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &log.bootstrap)
            .create()
            .context("cannot make a kafka client")?;
        let echoes = Self { admin, names: hops.iter().map(|topic| log.topic_name(*topic)).collect(), log };
        let topics: Vec<NewTopic<'_>> = echoes
            .names
            .iter()
            .map(|name| NewTopic::new(name, echoes.log.partitions, TopicReplication::Fixed(1)))
            .collect();
        let made = runtime
            .block_on(echoes.admin.create_topics(&topics, &options()))
            .context("cannot create the floor's topics")?;
        for result in made {
            result.map_err(|(name, code)| anyhow::anyhow!("cannot create topic {name}: {code}"))?;
        }
        wait_for_topics(&echoes.log, hops, Duration::from_secs(20), &|| false)?;
        Ok(echoes)
    }

    pub(crate) fn floor(&self) -> anyhow::Result<Floor> {
        Ok(Floor {
            hops: self.names.len() - 1,
            latency: histogram()?,
            sent: 0,
            arrived: 0,
            beside: histogram()?,
            beside_per_s: 0,
            slices: Vec::new(),
        })
    }

    pub(crate) fn close(&self, runtime: &tokio::runtime::Runtime) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        if let Err(error) = runtime.block_on(self.admin.delete_topics(&names, &options())) {
            tracing::warn!(%error, "the floor's topics are left behind");
        }
    }

    /// Measures one slice.
    pub(crate) fn measure(&self, plan: &FloorPlan<'_>) -> anyhow::Result<Echoed> {
        let read = |topic: &String| Reader::open(&self.log.bootstrap, &[(topic, self.log.partitions, None)]);
        let readers = self.names.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let (last, between) = readers.split_last().context("no hops")?;
        let sender = Sender::open(&self.log.bootstrap, DELIVERY_TIMEOUT)?;
        let schedule = Schedule::new(plan.rate, plan.warmup, plan.measured);
        let request = vec![b' '; plan.sizes.transaction_bytes + ENVELOPE_BYTES];
        // Of the last two hops the first carries requests, the other ledger records.
        let tails = [&request[..], &plan.sizes.ledger_record];
        let tails = &tails[tails.len() - between.len()..];
        let stop = &AtomicBool::new(false);
        let (latency, arrived) = std::thread::scope(|scope| {
            let stopping = StopOnDrop(stop);
            let stages: Vec<_> = between
                .iter()
                .zip(&self.names[1..])
                .zip(tails)
                .map(|((reader, to), tail)| scope.spawn(move || stage(&self.log.bootstrap, reader, to, tail, stop)))
                .collect();
            let watch = scope.spawn(|| watch(last, &schedule, plan, stop));
            self.speak(&sender, &schedule, plan)?;
            let watched = watch.join().map_err(|_| anyhow::anyhow!("the floor's reader died"))??;
            drop(stopping);
            for stage in stages {
                stage.join().map_err(|_| anyhow::anyhow!("an echo stage died"))??;
            }
            anyhow::Ok(watched)
        })?;
        Ok(Echoed { latency, sent: schedule.end, arrived })
    }

    fn speak(&self, sender: &Sender, schedule: &Schedule, plan: &FloorPlan<'_>) -> anyhow::Result<()> {
        let (_, approved) = std::sync::mpsc::sync_channel(1);
        let mut traffic = Traffic::new(plan.fleet, &self.log, plan.slice, approved);
        let envelope = if self.names.len() == 2 { ENVELOPE_BYTES } else { 0 };
        for n in 0..schedule.end {
            let message = traffic.next(n, TimestampUs::from_micros(schedule.due_us(n)))?;
            let mut payload = number(plan.slice, n);
            payload.extend_from_slice(message.payload.as_bytes());
            payload.resize(payload.len() + envelope - envelope.min(NUMBER_BYTES), b' ');
            sleep_until(schedule.due(n));
            let partition = partition_of(&message.key, self.log.partitions).0;
            sender.send_waiting(&self.names[0], partition, &message.key, &payload)?;
        }
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)))
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn number(slice: u32, n: u64) -> Vec<u8> {
    format!("{:0NUMBER_BYTES$}", u64::from(slice) * SLICE_MESSAGES_MAX + n).into_bytes()
}

fn number_of(slice: u32, payload: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(payload.get(..NUMBER_BYTES)?).ok()?;
    let n = text.parse::<u64>().ok()?.checked_sub(u64::from(slice) * SLICE_MESSAGES_MAX)?;
    (n < SLICE_MESSAGES_MAX).then_some(n)
}

/// Consumes, puts `tail` behind the number, produces into the same partition.
fn stage(bootstrap: &str, reader: &Reader, to: &str, tail: &[u8], stop: &AtomicBool) -> anyhow::Result<()> {
    let sender = Sender::open(bootstrap, DELIVERY_TIMEOUT)?;
    let mut failure = None;
    while !stop.load(Ordering::Relaxed) && failure.is_none() {
        reader.read(512, Duration::from_millis(50), |message| {
            let number = message.payload().and_then(|payload| payload.get(..NUMBER_BYTES)).unwrap_or_default();
            let key = std::str::from_utf8(message.key().unwrap_or_default()).unwrap_or_default();
            if let Err(error) = sender.send_waiting(to, message.partition(), key, &[number, tail].concat()) {
                failure = Some(error);
            }
        });
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn watch(
    reader: &Reader,
    schedule: &Schedule,
    plan: &FloorPlan<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<(Histogram<u64>, u64)> {
    let (mut latency, mut arrived) = (histogram()?, 0_u64);
    let end = schedule.due(schedule.end) + plan.drain;
    while arrived < schedule.end && Instant::now() < end && !stop.load(Ordering::Relaxed) {
        reader.read(1024, Duration::from_millis(50), |message| {
            let at = Instant::now();
            let payload = message.payload().unwrap_or_default();
            let Some(n) = number_of(plan.slice, payload) else { return };
            let _ = black_box(serde_json::from_slice::<Record<'_>>(&payload[NUMBER_BYTES..]));
            arrived += 1;
            if schedule.measured(n) {
                record(&mut latency, schedule.since_due(n, at));
            }
        });
    }
    Ok((latency, arrived))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_of_another_slice_is_not_taken_for_ours() {
        assert_eq!(number_of(3, &number(3, 17)), Some(17));
        assert_eq!(number_of(2, &number(3, 17)), None);
        assert_eq!(number_of(4, &number(3, 17)), None);
        assert_eq!(number_of(3, b"17"), None);
    }
}
