//! Tank gauges that count: every reading has a sequence number, and those that the broker acknowledged go into a file, so
//! that `verify` can say which of them are missing in the log.
//!
//! A gauge has one reading under way, and sends it again, with the same number, until it is acknowledged. Gauges of the
//! storm drop their connections without a word and come back all at the same moment.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use model::{Millilitres, ProductCode, ReadingMessage, TimestampUs};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

mod wire;

use super::now_us;
use wire::Connection;

const TANKS_PER_SITE: usize = 4;
const CAPACITY_ML: u64 = 50_000_000;
const RETRY_AFTER: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// MQTT broker, host:port
    #[arg(long, default_value = "127.0.0.1:1883")]
    mqtt: String,
    /// Gauges that stay connected
    #[arg(long, default_value_t = 40)]
    gauges: usize,
    /// Readings a second of all of them together
    #[arg(long, default_value_t = 100)]
    readings_per_s: u64,
    /// Gauges that drop their connections and come back all at once, each with a reading
    #[arg(long, default_value_t = 0)]
    storm_gauges: usize,
    /// Seconds between two storms
    #[arg(long, default_value_t = 5)]
    storm_every: u64,
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds to go on trying what is not acknowledged at the end
    #[arg(long, default_value_t = 120)]
    drain: u64,
    /// What site names begin with
    #[arg(long, default_value = "CG")]
    sites: String,
    /// Where the acknowledged readings are written, a line each: site, tank, number
    #[arg(long)]
    acknowledged: PathBuf,
}

struct Gauge {
    broker: (String, u16),
    site: String,
    tank: usize,
    product: ProductCode,
    connection: Option<Connection>,
    told: mpsc::UnboundedSender<String>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    failures: AtomicU64,
    given_up: AtomicU64,
}

/// Publishes until the time is over and everything is acknowledged. False when something was not.
pub(crate) async fn publish(options: &Options) -> anyhow::Result<bool> {
    let (host, port) =
        options.mqtt.rsplit_once(':').with_context(|| format!("--mqtt {} is not host:port", options.mqtt))?;
    let broker = (host.to_owned(), port.parse().with_context(|| format!("{port} is no port"))?);
    ensure!(options.readings_per_s > 0 && options.gauges > 0 && options.storm_every > 0, "nothing to publish");
    let counts = Arc::new(Counts::default());
    let (told, acknowledged) = mpsc::unbounded_channel();
    let gauge = |number: usize| -> anyhow::Result<Gauge> {
        Ok(Gauge {
            broker: broker.clone(),
            site: format!("{}-{:03}", options.sites, number / TANKS_PER_SITE),
            tank: number % TANKS_PER_SITE + 1,
            product: ProductCode::new("053")?,
            connection: None,
            told: told.clone(),
            counts: Arc::clone(&counts),
        })
    };
    let begin = Instant::now();
    let end = begin + Duration::from_secs(options.seconds);
    let last = end + Duration::from_secs(options.drain);
    let every = Duration::from_secs(1) * u32::try_from(options.gauges)? / u32::try_from(options.readings_per_s)?;
    let storm_every = Duration::from_secs(options.storm_every);
    let mut running = JoinSet::new();
    for number in 0..options.gauges {
        let first = begin + every * u32::try_from(number)? / u32::try_from(options.gauges)?;
        running.spawn(gauge(number)?.stay((first, every), end, last));
    }
    for number in options.gauges..options.gauges + options.storm_gauges {
        running.spawn(gauge(number)?.come_and_go((begin, storm_every), end, last));
    }
    drop(told);
    let written = write(acknowledged, &options.acknowledged).await?;
    while let Some(ended) = running.join_next().await {
        ended.context("a gauge died")?;
    }
    let [connections, failures, given_up] =
        [&counts.connections, &counts.failures, &counts.given_up].map(|count| count.load(Ordering::Relaxed));
    println!(
        "gauges: {written} readings acknowledged, {connections} connections, {failures} failures, {given_up} given up"
    );
    Ok(given_up == 0)
}

async fn write(mut acknowledged: mpsc::UnboundedReceiver<String>, path: &Path) -> anyhow::Result<u64> {
    let failed = || format!("cannot write {}", path.display());
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).with_context(failed)?);
    let mut count = 0;
    while let Some(line) = acknowledged.recv().await {
        writeln!(file, "{line}").with_context(failed)?;
        count += 1;
    }
    file.flush().with_context(failed)?;
    Ok(count)
}

impl Gauge {
    async fn stay(mut self, (first, every): (Instant, Duration), end: Instant, last: Instant) {
        let mut due = first;
        for number in 1.. {
            sleep_until(due).await;
            if Instant::now() >= end || !self.deliver(number, last).await {
                return;
            }
            due += every;
        }
    }

    async fn come_and_go(mut self, (first, every): (Instant, Duration), end: Instant, last: Instant) {
        let mut due = first + every;
        for number in 1.. {
            sleep_until(due).await;
            self.connection = None;
            if Instant::now() >= end || !self.deliver(number, last).await {
                return;
            }
            while due <= Instant::now() {
                due += every;
            }
        }
    }

    /// Publishes reading `number` until it is acknowledged; false when it is not before `last`.
    async fn deliver(&mut self, number: u64, last: Instant) -> bool {
        let topic = format!("fuel/v1/{}/{}/reading", self.site, self.tank);
        let Some(payload) = self.reading(number) else { return false };
        // Numbers of packets begin with 1.
        let packet = u16::try_from(number % 60_000).unwrap_or(0) + 1;
        while Instant::now() < last {
            match self.attempt(packet, &topic, &payload).await {
                Ok(()) => {
                    // The file's writer lives as long as the gauges.
                    let _ = self.told.send(format!("{} {} {number}", self.site, self.tank));
                    return true;
                }
                Err(error) => {
                    tracing::debug!(%error, site = self.site, tank = self.tank, "no acknowledgement");
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    self.connection = None;
                    sleep(RETRY_AFTER).await;
                }
            }
        }
        self.counts.given_up.fetch_add(1, Ordering::Relaxed);
        false
    }

    async fn attempt(&mut self, packet: u16, topic: &str, payload: &str) -> std::io::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let client = format!("{}-{}", self.site, self.tank);
                let opened = Connection::open(&self.broker, &client).await?;
                self.counts.connections.fetch_add(1, Ordering::Relaxed);
                self.connection.insert(opened)
            }
        };
        connection.publish(packet, topic, payload).await
    }

    fn reading(&self, number: u64) -> Option<String> {
        let message = ReadingMessage {
            seq: Some(number),
            measured_at_us: Some(TimestampUs::from_micros(now_us())),
            volume_ml: Some(Millilitres::new(CAPACITY_ML - number % 10_000 * 1_000).ok()?),
            capacity_ml: Millilitres::new(CAPACITY_ML).ok(),
            ..ReadingMessage::new(self.product.clone())
        };
        serde_json::to_string(&message).ok()
    }
}
