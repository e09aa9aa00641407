//! Tank readings over MQTT, and the levels that they become in `fuel.station-events`.
//!
//! A reading's moment of measurement is its moment in the timetable, and tells it again on the other side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use model::{
    DeciCelsius, LogSettings, Millilitres, Millimetres, ReadingMessage, StationEvent, StationRecord, TimestampUs,
};
use rdkafka::message::Message;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::book::{histogram, record};
use super::fleet::{Fleet, SITES, TANKS_PER_SITE};
use super::schedule::Schedule;
use loadtest::kafka::{Reader, TailFence};

const CONNECTIONS: u64 = 4;
/// Readings between a client and its connection.
const UNSENT_MAX: usize = 20_000;
const DRAIN: Duration = Duration::from_secs(15);
const CAPACITY_ML: u64 = 50_000_000;

#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) sent: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
}

/// Publishes the whole timetable, QoS 1. Ends when all is acknowledged, or `DRAIN` after the last.
pub(crate) async fn publish(
    (host, port): (&str, u16),
    fleet: &Fleet,
    schedule: &Schedule,
    sent: &Arc<Sent>,
) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    let mut pumps = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let mut options = MqttOptions::new(format!("loadtest-{}-{connection}", fleet.run), host, port);
        options.set_keep_alive(Duration::from_secs(20)).set_inflight(1_000);
        let (client, mut events) = AsyncClient::new(options, UNSENT_MAX);
        let counts = Arc::clone(sent);
        pumps.spawn(async move {
            events.network_options.set_tcp_nodelay(true);
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::PubAck(_))) => {
                        counts.acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "no MQTT connection");
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                }
            }
        });
        clients.push(client);
    }
    for n in 0..schedule.end {
        sleep_until(TokioInstant::from_std(schedule.due(n))).await;
        let (topic, payload) = reading(fleet, schedule, n)?;
        let client = &clients[usize::try_from(n % (SITES * TANKS_PER_SITE) % CONNECTIONS)?];
        client.publish(topic, QoS::AtLeastOnce, false, payload).await?;
        sent.sent.fetch_add(1, Ordering::Relaxed);
    }
    let end = Instant::now() + DRAIN;
    while sent.acknowledged.load(Ordering::Relaxed) < schedule.end && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for client in &clients {
        let _ = client.disconnect().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    pumps.abort_all();
    Ok(())
}

fn reading(fleet: &Fleet, schedule: &Schedule, n: u64) -> anyhow::Result<(String, String)> {
    let place = n % (SITES * TANKS_PER_SITE);
    let (site, ..) = &fleet.sites[usize::try_from(place / TANKS_PER_SITE)?];
    let round = n / (SITES * TANKS_PER_SITE);
    let message = ReadingMessage {
        seq: Some(round + 1),
        measured_at_us: Some(TimestampUs::from_micros(schedule.due_us(n))),
        volume_ml: Some(Millilitres::new(CAPACITY_ML / 2 - round % 1_000 * 1_000)?),
        capacity_ml: Some(Millilitres::new(CAPACITY_ML)?),
        height_mm: Some(Millimetres(1_250)),
        water_mm: Some(Millimetres(4)),
        temperature_dc: Some(DeciCelsius(112)),
        ..ReadingMessage::new(fleet.product.clone())
    };
    Ok((format!("fuel/v1/{site}/{}/reading", place % TANKS_PER_SITE + 1), serde_json::to_string(&message)?))
}

/// What came out of the station dataflow.
pub(crate) struct Levels {
    pub(crate) latency: Histogram<u64>,
    /// By reading: how often it became a level.
    pub(crate) seen: Vec<u8>,
}

impl Levels {
    pub(crate) fn once(&self) -> u64 {
        self.seen.iter().filter(|count| **count == 1).count() as u64
    }
    pub(crate) fn doubled(&self) -> u64 {
        self.seen.iter().filter(|count| **count > 1).count() as u64
    }
}

/// Follows the station events until `stop` and, after it, until nothing is missing or `DRAIN` has passed.
pub(crate) fn follow(
    reader: &Reader,
    log: &LogSettings,
    fleet: &Fleet,
    schedule: &Schedule,
    stop: &AtomicBool,
) -> anyhow::Result<Levels> {
    let mut levels = Levels { latency: histogram()?, seen: vec![0; usize::try_from(schedule.end)?] };
    let mut fence = TailFence::new(log.partitions);
    let prefix = format!("LT-{}-", fleet.run);
    while !stop.load(Ordering::Relaxed) {
        reader.read(1024, Duration::from_millis(50), |message| {
            let at = Instant::now();
            let Some(Ok(record)) = message.payload().map(serde_json::from_slice::<StationRecord>) else { return };
            match record.event {
                StationEvent::Takeover { .. } => fence.takeover(message.partition(), message.offset()),
                StationEvent::Level(level) if fence.admits(message.partition(), record.epoch) => {
                    if level.site.as_str().starts_with(&prefix)
                        && let Some(n) = schedule.number_at(level.measured_at_us.get())
                        && let Some(seen) = usize::try_from(n).ok().and_then(|index| levels.seen.get_mut(index))
                    {
                        *seen = seen.saturating_add(1);
                        if *seen == 1 && schedule.measured(n) {
                            self::record(&mut levels.latency, schedule.since_due(n, at));
                        }
                    }
                }
                _ => {}
            }
        });
    }
    Ok(levels)
}
