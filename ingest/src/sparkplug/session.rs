//! The host application at the broker: its state, its subscriptions, and the way of effects to Kafka.
//!
//! A connection of its own, since Sparkplug wants a clean session and a will. The state is published retained after every
//! subscription, and when an old will takes its place. What Kafka has not taken when the process dies is lost, as
//! Sparkplug's QoS 0 has it; edge nodes are asked to be born again and say what is now.

use std::sync::Arc;
use std::time::Duration;

use model::{DeviceMessage, LogSettings, TimestampUs};
use rdkafka::producer::{Producer, ThreadedProducer};
use rumqttc::{
    AsyncClient, ConnectionError, Event, Incoming, LastWill, MqttOptions, Outgoing, QoS, SubscribeFilter,
    SubscribeReasonCode,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::host::Host;
use super::topic::NAMESPACE;
use super::{Effect, PAYLOAD_BYTES_MAX, Patience};
use crate::kafka::{self, Watch};
use crate::mqtt::receipts::{Receipt, Receipts};
use crate::mqtt::records;
use crate::{Credentials, Error, MqttLink};

/// Memory for records that are not yet durable, in KiB.
const UNDER_WAY_KIB_MAX: usize = 32 * 1024;
/// Packets larger than a payload may be end the connection.
const PACKET_BYTES_MAX: usize = 2 * PAYLOAD_BYTES_MAX;
/// Requests to be born again that wait for the line.
const REQUESTS_MAX: usize = 32 * 1024;
/// Events of the connection that wait to be handled.
const EVENTS_MAX: usize = 1024;
const TICK: Duration = Duration::from_millis(500);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
const FINISH_PATIENCE: Duration = Duration::from_secs(2);

/// How to be a host application, and where readings go.
#[derive(Clone, Debug)]
pub struct SparkplugConfig {
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub credentials: Option<Credentials>,
    /// The name under which edge nodes know this host: `spBv1.0/STATE/{host_id}`.
    pub host_id: String,
    /// Groups that are followed; empty: all.
    pub groups: Vec<String>,
    pub keep_alive: Duration,
    pub log: LogSettings,
    pub patience: Patience,
}

/// The payload of `spBv1.0/STATE/{host}`.
#[derive(Serialize, Deserialize)]
struct State {
    online: bool,
    timestamp: u64,
}

impl State {
    fn bytes(online: bool, timestamp: u64) -> Vec<u8> {
        serde_json::to_vec(&Self { online, timestamp }).unwrap_or_default()
    }
}

/// Runs until `stop` becomes true, or until a record cannot be written. A broker that is away is waited for.
pub async fn run(
    config: SparkplugConfig,
    told: watch::Sender<MqttLink>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let (failed, mut failures) = mpsc::channel(1);
    let producer: ThreadedProducer<Receipts> = kafka::producer(&config.log, "forecourt-sparkplug")
        .create_with_context(Receipts { watch: Watch::new("producer of Sparkplug readings"), failed })
        .map_err(|source| Error::Kafka { action: "create the producer of Sparkplug readings".to_owned(), source })?;
    let outlet =
        Outlet { producer: Arc::new(producer), under_way: Arc::new(Semaphore::new(UNDER_WAY_KIB_MAX)), config };
    let mut host = Host::new(outlet.config.patience);
    let mut backoff = BACKOFF_MIN;
    let result = loop {
        let mut connection = Connection::open(&outlet.config);
        let ended = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => None,
            Some(error) = failures.recv() => break Err(error),
            ended = connection.serve(&outlet, &mut host, &told) => Some(ended),
        };
        let Some(ended) = ended else {
            connection.finish(&outlet.config).await;
            break Ok(());
        };
        match ended {
            Ended::Failed(error) => break Err(error),
            Ended::Lost { reason, was_up } => {
                if was_up {
                    backoff = BACKOFF_MIN;
                }
                tracing::warn!(
                    host = outlet.config.host,
                    reason,
                    "no Sparkplug connection to the MQTT broker, trying again"
                );
                told.send_replace(MqttLink::Down(reason));
            }
        }
        if let Err(error) = outlet.send_all(host.unheard(), None).await {
            break Err(error);
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break Ok(()),
            Some(error) = failures.recv() => break Err(error),
            () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF_MAX),
        }
    };
    let ending = tokio::task::spawn_blocking(move || outlet.producer.flush(FINISH_PATIENCE));
    if let Ok(Err(error)) = ending.await {
        tracing::warn!(%error, "the last Sparkplug readings are lost");
    }
    result
}

enum Ended {
    Lost { reason: String, was_up: bool },
    Failed(Error),
}

/// Where effects go.
struct Outlet {
    config: SparkplugConfig,
    producer: Arc<ThreadedProducer<Receipts>>,
    under_way: Arc<Semaphore>,
}

impl Outlet {
    async fn send_all(&self, effects: Vec<Effect>, client: Option<&AsyncClient>) -> Result<(), Error> {
        let (log, now) = (&self.config.log, kafka::now());
        for effect in effects {
            let outbound = match effect {
                Effect::Reading(reading) => records::of_message(DeviceMessage::Reading(reading), now, log)?,
                Effect::Status(status) => records::of_message(DeviceMessage::Status(status), now, log)?,
                Effect::Reject { refusal, topic, raw } => records::of_refusal(refusal, &topic, &raw, now, log),
                Effect::RequestRebirth { topic, payload } => {
                    metrics::counter!("forecourt_sparkplug_rebirths_requested_total").increment(1);
                    // Full or gone: it is asked again with the next data.
                    let _ = client.map(|client| client.try_publish(topic, QoS::AtMostOnce, false, payload));
                    continue;
                }
            };
            let Ok(share) = self.under_way.clone().acquire_owned().await else { return Ok(()) };
            for receipt in Receipt::shared(1, None, share) {
                records::send(&self.producer, &outbound, receipt).await?;
            }
        }
        Ok(())
    }
}

/// From CONNECT to the end of the connection.
struct Connection {
    client: AsyncClient,
    /// The event loop runs on a task of its own, because it must not be dropped halfway.
    events: mpsc::Receiver<Result<Event, ConnectionError>>,
    /// The will's time is the birth's too.
    connected_ms: u64,
    was_up: bool,
}

impl Connection {
    fn open(config: &SparkplugConfig) -> Self {
        let connected_ms = millis(kafka::now());
        let mut options = MqttOptions::new(&config.client_id, &config.host, config.port);
        let will = LastWill::new(state_topic(config), State::bytes(false, connected_ms), QoS::AtLeastOnce, true);
        options
            .set_clean_session(true)
            .set_last_will(will)
            .set_keep_alive(config.keep_alive)
            .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some(credentials) = &config.credentials {
            options.set_credentials(&credentials.username, &credentials.password);
        }
        let (client, mut event_loop) = AsyncClient::new(options, REQUESTS_MAX);
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(async move {
            loop {
                let event = event_loop.poll().await;
                let ends = event.is_err();
                if sender.send(event).await.is_err() || ends {
                    return;
                }
            }
        });
        Self { client, events, connected_ms, was_up: false }
    }

    async fn serve(&mut self, outlet: &Outlet, host: &mut Host, told: &watch::Sender<MqttLink>) -> Ended {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let effects = tokio::select! {
                event = self.events.recv() => match event {
                    None => return self.lost("the connection ended".to_owned()),
                    Some(Err(error)) => return self.lost(error.to_string()),
                    Some(Ok(Event::Incoming(incoming))) => match self.incoming(incoming, outlet, host, told) {
                        Ok(effects) => effects,
                        Err(reason) => return self.lost(reason),
                    },
                    Some(Ok(Event::Outgoing(_))) => continue,
                },
                _ = ticks.tick() => host.tick(kafka::now()),
            };
            if let Err(error) = outlet.send_all(effects, Some(&self.client)).await {
                return Ended::Failed(error);
            }
        }
    }

    fn lost(&self, reason: String) -> Ended {
        Ended::Lost { reason, was_up: self.was_up }
    }

    fn incoming(
        &mut self,
        incoming: Incoming,
        outlet: &Outlet,
        host: &mut Host,
        told: &watch::Sender<MqttLink>,
    ) -> Result<Vec<Effect>, String> {
        let config = &outlet.config;
        match incoming {
            Incoming::ConnAck(_) => {
                self.was_up = true;
                let filters =
                    filters(config).map(|path| SubscribeFilter::new(path, QoS::AtLeastOnce)).collect::<Vec<_>>();
                self.client.try_subscribe_many(filters).map_err(|error| format!("cannot subscribe: {error}"))?;
            }
            Incoming::SubAck(answer) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Err("the broker refuses a subscription".to_owned());
                }
                self.tell_state(config, true, self.connected_ms)?;
                told.send_replace(MqttLink::Subscribed);
                tracing::info!(host = config.host, host_id = config.host_id, "Sparkplug host application is online");
            }
            Incoming::Publish(publish) if publish.topic == state_topic(config) => {
                // An old connection's will, after our birth: edge nodes would take us for gone.
                let state = serde_json::from_slice::<State>(&publish.payload);
                if state.is_ok_and(|state| !state.online) {
                    self.tell_state(config, true, self.connected_ms)?;
                }
            }
            Incoming::Publish(publish) => return Ok(host.apply(&publish.topic, &publish.payload, kafka::now())),
            _ => {}
        }
        Ok(Vec::new())
    }

    fn tell_state(&self, config: &SparkplugConfig, online: bool, timestamp: u64) -> Result<(), String> {
        self.client
            .try_publish(state_topic(config), QoS::AtLeastOnce, true, State::bytes(online, timestamp))
            .map_err(|error| format!("cannot publish the host's state: {error}"))
    }

    /// Says that this host goes, and goes.
    async fn finish(mut self, config: &SparkplugConfig) {
        if !self.was_up {
            return;
        }
        let deadline = Instant::now() + FINISH_PATIENCE;
        if self.tell_state(config, false, millis(kafka::now())).is_err() {
            return;
        }
        let mut confirmed = false;
        while let Ok(Some(Ok(event))) = timeout_at(deadline, self.events.recv()).await {
            match event {
                Event::Incoming(Incoming::PubAck(_)) if !confirmed => {
                    confirmed = true;
                    if self.client.try_disconnect().is_err() {
                        return;
                    }
                }
                Event::Outgoing(Outgoing::Disconnect) => return,
                _ => {}
            }
        }
    }
}

fn state_topic(config: &SparkplugConfig) -> String {
    format!("{NAMESPACE}/STATE/{}", config.host_id)
}

fn filters(config: &SparkplugConfig) -> impl Iterator<Item = String> {
    let all = config.groups.is_empty().then(|| format!("{NAMESPACE}/#"));
    let groups = config.groups.iter().map(|group| format!("{NAMESPACE}/{group}/#")).collect::<Vec<_>>();
    [state_topic(config)].into_iter().chain(all).chain(groups)
}

fn millis(at: TimestampUs) -> u64 {
    u64::try_from(at.get() / 1000).unwrap_or(0)
}
