//! Tank gauges and station controllers over MQTT: each publish becomes a record of `fuel.readings`, or of `fuel.rejected`.
//!
//! In: publishes on `{prefix}/+/+/` with `reading`, `setup`, `ticket` or `veeder-root`, and on `{prefix}/+/` with `status` or
//! `sale`, QoS 1, persistent session.
//! Out: records keyed by site; several for a console's reply about several tanks.
//! Guarantees:
//! - A publish is acknowledged after Kafka has its records, and in order of arrival. What was not acknowledged when the
//!   connection, the broker or this process died comes again, so a reading may be recorded twice and is never lost.
//! - After a reconnect nothing of the old connection is acknowledged: packet numbers begin anew there. Each connection has
//!   a client, an event loop and a queue of its own (`receipts`), so old acknowledgements have nowhere to go.
//! - Subscriptions are made on the first connection of the process and whenever the broker has no session for it; a broker
//!   that refuses one, or does not answer, is left and tried again.
//! - Memory is bounded by [`UNDER_WAY_KIB_MAX`]. Brokers send a bounded number of unacknowledged publishes (Mosquitto 20,
//!   rumqttd 100), so a slow Kafka slows them long before. Only a broker without such a bound fills the memory; then
//!   this reader stops reading, pings included, until Kafka takes a record. If that takes longer than the keep-alive the
//!   broker ends the connection, and sends everything again on the next.
//!
//! Does not guarantee: what the broker itself drops. Mosquitto keeps 1,000 publishes for a reader that is away or slow
//! (`max_queued_messages`) and discards the rest; set it to what an outage may bring. Nor the order between publishes of one
//! gauge when a shared subscription spreads them over several readers (each reading carries its own time; a registration
//! that is overtaken by readings finds them kept). A broker gives retained registrations to no shared subscription. Subscriptions of
//! an older configuration stay in a persistent session until `client_id` changes; what they bring is rejected for its
//! address.

pub(crate) mod receipts;
pub(crate) mod records;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::LogSettings;
use rdkafka::producer::{Producer, ThreadedProducer};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::kafka::{self, Watch};
use crate::{Clock, Error, decode};
use receipts::Receipts;
use session::{Ended, Session};

/// Memory for publishes whose records are not yet durable, in KiB.
const UNDER_WAY_KIB_MAX: usize = 64 * 1024;
/// Largest MQTT packet that is read. A larger one ends the connection, again and again, so the broker's own limit must be
/// lower (`message_size_limit`, `max_payload_size`).
pub const PACKET_BYTES_MAX: usize = 16 * 1024 * 1024;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

const _: () = assert!(PACKET_BYTES_MAX / 1024 < UNDER_WAY_KIB_MAX);

/// How to reach the broker, and where readings go.
#[derive(Clone, Debug)]
pub struct MqttConfig {
    pub host: String,
    pub port: u16,
    /// Names the persistent session: not empty, stable over restarts, unique at the broker.
    pub client_id: String,
    pub credentials: Option<Credentials>,
    /// What topics begin with, `fuel/v1`.
    pub topic_prefix: String,
    /// Readers of the same group share the readings between them (`$share/{group}/…`); status messages go to all.
    pub shared_group: Option<String>,
    pub keep_alive: Duration,
    pub log: LogSettings,
    /// Largest payload that is accepted, at most [`decode::READING_BYTES_MAX`]; larger ones are rejected.
    pub payload_bytes_max: usize,
    /// Tells when a publish arrived.
    pub clock: Clock,
}

impl MqttConfig {
    /// The usual settings for a broker at this address.
    #[must_use]
    pub fn new(host: &str, port: u16, log: LogSettings) -> Self {
        Self {
            host: host.to_owned(),
            port,
            client_id: "forecourt".to_owned(),
            credentials: None,
            topic_prefix: decode::TOPIC_PREFIX.to_owned(),
            shared_group: None,
            keep_alive: Duration::from_secs(15),
            log,
            payload_bytes_max: decode::READING_BYTES_MAX,
            clock: Clock::default(),
        }
    }
}

/// A user name and its password, which is never printed.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// How the connection to the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttLink {
    Connecting,
    /// What gauges publish from now on arrives, after interruptions too.
    Subscribed,
    Down(String),
}

/// Runs until `stop` becomes true, or until a record cannot be written. A broker that is away is waited for; `told` always
/// has how the connection is.
pub async fn run(
    config: MqttConfig,
    told: watch::Sender<MqttLink>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let (failed, mut failures) = mpsc::channel(1);
    let producer: ThreadedProducer<Receipts> = kafka::producer(&config.log, "forecourt-mqtt")
        .create_with_context(Receipts { watch: Watch::new("producer of readings"), failed })
        .map_err(|source| Error::Kafka { action: "create the producer of readings".to_owned(), source })?;
    let producer = Arc::new(producer);
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_KIB_MAX));
    let mut backoff = BACKOFF_MIN;
    let mut link = Link { told, down_because: None, was_up: false };
    let mut is_subscribed = false;
    let result = loop {
        let mut session = Session::open(&config, &producer, &under_way);
        match session.run(&mut is_subscribed, &mut link, &mut failures, &mut stop).await {
            Ended::Stopped => {
                if session.was_connected() {
                    session.finish().await;
                }
                break Ok(());
            }
            Ended::Failed(error) => break Err(error),
            Ended::Lost(reason) => {
                if session.was_connected() {
                    backoff = BACKOFF_MIN;
                }
                link.is_down(&config, &reason);
            }
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break Ok(()),
            Some(error) = failures.recv() => break Err(error),
            () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF_MAX),
        }
    };
    // Ending the producer waits for its thread.
    let ending = tokio::task::spawn_blocking(move || {
        let flushed = producer.flush(FLUSH_PATIENCE);
        drop(producer);
        flushed
    });
    if let Ok(Err(error)) = ending.await {
        tracing::warn!(%error, "readings are left unacknowledged; the broker will send them again");
    }
    metrics::gauge!("forecourt_mqtt_connected").set(0.0);
    result
}

/// The state of the connection, told when it changes.
struct Link {
    told: watch::Sender<MqttLink>,
    down_because: Option<String>,
    was_up: bool,
}

impl Link {
    fn is_up(&mut self, config: &MqttConfig, session_present: bool) {
        let MqttConfig { host, port, client_id, .. } = config;
        tracing::info!(host, port, client_id, session_present, "connected to the MQTT broker");
        metrics::gauge!("forecourt_mqtt_connected").set(1.0);
        metrics::counter!("forecourt_mqtt_connections_total").increment(1);
        (self.down_because, self.was_up) = (None, true);
    }

    fn is_subscribed(&self) {
        self.told.send_replace(MqttLink::Subscribed);
    }

    fn is_down(&mut self, config: &MqttConfig, reason: &str) {
        metrics::gauge!("forecourt_mqtt_connected").set(0.0);
        if self.was_up || self.down_because.as_deref() != Some(reason) {
            let MqttConfig { host, port, .. } = config;
            tracing::warn!(host, port, reason, "no connection to the MQTT broker, trying again");
        }
        (self.down_because, self.was_up) = (Some(reason.to_owned()), false);
        self.told.send_replace(MqttLink::Down(reason.to_owned()));
    }
}
