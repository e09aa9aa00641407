//! The floor: the same hops through the same broker with nothing done at them.
//!
//! Two echo stages, transactions → requests → ledger, with the settings of any careful client (idempotent, all
//! acknowledgements, no linger), messages of the same sizes, the same timetable. What Forecourt adds is what lies above it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use model::{LogSettings, Topic, partition_of};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::Message;

use super::book::{histogram, record};
use super::schedule::{Schedule, sleep_until};
use loadtest::kafka::{Reader, Sender, wait_for_topics};

const HOPS: [Topic; 3] = [Topic::Transactions, Topic::Requests, Topic::Ledger];
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a message at each hop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) transaction: usize,
    pub(crate) request: usize,
    pub(crate) ledger: usize,
}

impl Default for Sizes {
    /// About what Forecourt's own messages have.
    fn default() -> Self {
        Self { transaction: 720, request: 880, ledger: 1_500 }
    }
}

pub(crate) struct FloorPlan {
    pub(crate) run: String,
    pub(crate) rate: u64,
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
    pub(crate) drain: Duration,
    pub(crate) sizes: Sizes,
}

pub(crate) struct Floor {
    pub(crate) latency: Histogram<u64>,
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
}

/// Makes the topics, measures, removes the topics.
pub(crate) fn measure(log: &LogSettings, plan: &FloorPlan, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Floor> {
    let log = LogSettings { topic_prefix: format!("{}-floor-{}", log.topic_prefix, plan.run), ..log.clone() };
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &log.bootstrap).create().context("cannot make a kafka client")?;
    let names = HOPS.map(|topic| log.topic_name(topic));
    let topics: Vec<NewTopic<'_>> =
        names.iter().map(|name| NewTopic::new(name, log.partitions, TopicReplication::Fixed(1))).collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let made = runtime.block_on(admin.create_topics(&topics, &options)).context("cannot create the floor's topics")?;
    for result in made {
        result.map_err(|(name, code)| anyhow::anyhow!("cannot create topic {name}: {code}"))?;
    }
    let result =
        wait_for_topics(&log, &HOPS, Duration::from_secs(20), &|| false).and_then(|()| echo(&log, plan, &names));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Err(error) = runtime.block_on(admin.delete_topics(&names, &options)) {
        tracing::warn!(%error, "the floor's topics are left behind");
    }
    result
}

fn echo(log: &LogSettings, plan: &FloorPlan, [transactions, requests, ledger]: &[String; 3]) -> anyhow::Result<Floor> {
    let read = |topic: &str| Reader::open(&log.bootstrap, &[(topic, log.partitions, Some(0))]);
    let (first, second, last) = (read(transactions)?, read(requests)?, read(ledger)?);
    let sender = Sender::open(&log.bootstrap, DELIVERY_TIMEOUT)?;
    let schedule = Schedule::new(plan.rate, plan.warmup, plan.measured);
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopping = StopOnDrop(stop);
        let stages = [(&first, requests, plan.sizes.request), (&second, ledger, plan.sizes.ledger)]
            .map(|(reader, to, size)| scope.spawn(move || stage(log, reader, to, size, stop)));
        let watch = scope.spawn(|| watch(&last, &schedule, plan.drain, stop));
        let payload = vec![b' '; plan.sizes.transaction];
        for n in 0..schedule.end {
            sleep_until(schedule.due(n));
            let key = format!("{}-{n}", plan.run);
            sender.send_waiting(transactions, partition_of(&key, log.partitions).0, &key, &numbered(n, &payload))?;
        }
        let (latency, arrived) = watch.join().map_err(|_| anyhow::anyhow!("the floor's reader died"))??;
        drop(stopping);
        for stage in stages {
            stage.join().map_err(|_| anyhow::anyhow!("an echo stage died"))??;
        }
        Ok(Floor { latency, sent: schedule.end, arrived })
    })
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The message's number in its first twenty bytes.
fn numbered(n: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{n:020}").into_bytes();
    bytes.extend_from_slice(payload.get(bytes.len()..).unwrap_or_default());
    bytes
}

/// Consumes, changes the size, produces into the same partition.
fn stage(log: &LogSettings, reader: &Reader, to: &str, size: usize, stop: &AtomicBool) -> anyhow::Result<()> {
    let sender = Sender::open(&log.bootstrap, DELIVERY_TIMEOUT)?;
    let mut failure = None;
    while !stop.load(Ordering::Relaxed) && failure.is_none() {
        reader.read(512, Duration::from_millis(50), |message| {
            let mut payload = message.payload().unwrap_or_default().to_vec();
            payload.resize(size, b' ');
            let key = std::str::from_utf8(message.key().unwrap_or_default()).unwrap_or_default();
            if let Err(error) = sender.send_waiting(to, message.partition(), key, &payload) {
                failure = Some(error);
            }
        });
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn watch(
    reader: &Reader,
    schedule: &Schedule,
    drain: Duration,
    stop: &AtomicBool,
) -> anyhow::Result<(Histogram<u64>, u64)> {
    let (mut latency, mut arrived) = (histogram()?, 0_u64);
    let end = schedule.due(schedule.end) + drain;
    while arrived < schedule.end && Instant::now() < end && !stop.load(Ordering::Relaxed) {
        reader.read(1024, Duration::from_millis(50), |message| {
            let at = Instant::now();
            let number = message.payload().and_then(|payload| payload.get(..20));
            let Some(n) = number.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok())
            else {
                return;
            };
            arrived += 1;
            if schedule.measured(n) {
                record(&mut latency, schedule.since_due(n, at));
            }
        });
    }
    Ok((latency, arrived))
}
