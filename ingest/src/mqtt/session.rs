//! One connection to the broker, from CONNECT to its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{RejectReason, TimestampUs};
use rdkafka::producer::ThreadedProducer;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, NetworkOptions, Outgoing, Publish, QoS,
    StateError, SubAck, SubscribeFilter, SubscribeReasonCode,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::receipts::{Acks, Receipt, Receipts};
use super::records::{self, Outbound};
use super::{Link, MqttConfig, PACKET_BYTES_MAX};
use crate::{Error, decode};

/// Acknowledgements and subscriptions on their way out. A packet number has 16 bits, so no broker awaits more.
const REQUESTS_MAX: usize = 1 << 16;
const CONNECT_TIMEOUT_SECS: u64 = 5;
/// How long the broker may take to confirm subscriptions.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(10);
/// How long records and acknowledgements may take when the process stops.
const FINISH_PATIENCE: Duration = Duration::from_secs(2);

/// Why a session ended.
pub(super) enum Ended {
    Stopped,
    /// The connection is gone or not good.
    Lost(String),
    /// A record cannot be written.
    Failed(Error),
}

pub(super) struct Session<'a> {
    config: &'a MqttConfig,
    producer: &'a ThreadedProducer<Receipts>,
    under_way: &'a Arc<Semaphore>,
    client: AsyncClient,
    events: EventLoop,
    acks: Arc<Acks>,
    connected: bool,
    /// A subscription is not confirmed yet; until when it must be.
    subscribing: Option<Instant>,
}

impl<'a> Session<'a> {
    pub(super) fn open(
        config: &'a MqttConfig,
        producer: &'a ThreadedProducer<Receipts>,
        under_way: &'a Arc<Semaphore>,
    ) -> Self {
        let mut options = MqttOptions::new(&config.client_id, &config.host, config.port);
        options
            .set_clean_session(false)
            .set_manual_acks(true)
            .set_keep_alive(config.keep_alive)
            .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some(credentials) = &config.credentials {
            options.set_credentials(&credentials.username, &credentials.password);
        }
        let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT_SECS);
        events.set_network_options(network);
        let acks = Arc::new(Acks::new(client.clone()));
        Self { config, producer, under_way, client, events, acks, connected: false, subscribing: None }
    }

    /// Whether the broker accepted the connection.
    pub(super) fn was_connected(&self) -> bool {
        self.connected
    }

    /// Receives until the connection ends, a record fails, or `stop`. `is_subscribed` tells whether this process has
    /// subscribed before.
    pub(super) async fn run(
        &mut self,
        is_subscribed: &mut bool,
        link: &mut Link,
        failures: &mut mpsc::Receiver<Error>,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        loop {
            let deadline = self.subscribing;
            let event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
                Some(error) = failures.recv() => return Ended::Failed(error),
                () = at(deadline) => return Ended::Lost("subscriptions were not confirmed".to_owned()),
                event = self.events.poll() => event,
            };
            match event {
                Ok(Event::Incoming(Incoming::ConnAck(answer))) => {
                    self.connected = true;
                    link.is_up(self.config, answer.session_present);
                    if !answer.session_present || !*is_subscribed {
                        self.subscribing = Some(Instant::now() + SUBSCRIBE_PATIENCE);
                        if let Err(error) = self.client.try_subscribe_many(filters(self.config)) {
                            return Ended::Lost(format!("cannot subscribe: {error}"));
                        }
                    } else {
                        link.is_subscribed();
                    }
                }
                Ok(Event::Incoming(Incoming::SubAck(answer))) => {
                    if let Some(refusal) = refusal(&answer) {
                        return Ended::Lost(refusal);
                    }
                    (self.subscribing, *is_subscribed) = (None, true);
                    link.is_subscribed();
                }
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    tokio::select! {
                        biased;
                        _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
                        Some(error) = failures.recv() => return Ended::Failed(error),
                        result = self.take(publish) => {
                            if let Err(error) = result {
                                return Ended::Failed(error);
                            }
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => return Ended::Lost(reason(&error)),
            }
        }
    }

    /// Sends a publish on to Kafka, as soon as there is room.
    async fn take(&mut self, publish: Publish) -> Result<(), Error> {
        let received_at = self.config.clock.now();
        let kib = u32::try_from(publish.payload.len() / 1024 + 1).unwrap_or(u32::MAX);
        // Closed never: the semaphore lives as long as `run`.
        let Ok(share) = self.under_way.clone().acquire_many_owned(kib).await else { return Ok(()) };
        let outbound = self.outbound(&publish, received_at)?;
        assert!(!outbound.is_empty(), "every publish becomes a record, or it would never be acknowledged");
        let owed = (publish.qos != QoS::AtMostOnce).then(|| {
            let owed = Publish { payload: Bytes::new(), topic: String::new(), ..publish };
            (self.acks.clone(), self.acks.owe(owed))
        });
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("forecourt_mqtt_unacknowledged").set(self.acks.owed() as f64);
        for (record, receipt) in outbound.iter().zip(Receipt::shared(outbound.len(), owed, share)) {
            records::send(self.producer, record, receipt).await?;
        }
        Ok(())
    }

    /// The records that a publish becomes, at least one.
    fn outbound(&self, publish: &Publish, received_at: TimestampUs) -> Result<Vec<Outbound>, Error> {
        let MqttConfig { log, topic_prefix, payload_bytes_max, .. } = self.config;
        let length = publish.payload.len();
        let bytes_max = decode::payload_bytes_max(&publish.topic);
        let bytes_max = if bytes_max == decode::READING_BYTES_MAX { *payload_bytes_max } else { bytes_max };
        let decoded = if length > bytes_max {
            Err((RejectReason::TooLarge, format!("{length} bytes, at most {bytes_max} are accepted")))
        } else {
            decode::readings_under(topic_prefix, &publish.topic, &publish.payload, received_at)
        };
        match decoded {
            Ok(messages) => {
                messages.into_iter().map(|message| records::of_message(message, received_at, log)).collect()
            }
            Err(refusal) => Ok(vec![records::of_refusal(refusal, &publish.topic, &publish.payload, received_at, log)]),
        }
    }

    /// Acknowledges what becomes durable in time, and says goodbye. The session stays at the broker.
    pub(super) async fn finish(mut self) {
        let deadline = Instant::now() + FINISH_PATIENCE;
        let mut said_goodbye = false;
        loop {
            if !said_goodbye && self.acks.owed() == 0 {
                said_goodbye = self.client.try_disconnect().is_ok();
            }
            // Short rounds: an acknowledgement becomes due on another thread.
            let round = deadline.min(Instant::now() + Duration::from_millis(20));
            match timeout_at(round, self.events.poll()).await {
                Ok(Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) => return,
                // Publishes that still arrive stay unacknowledged, and come again.
                Ok(Ok(_)) | Err(_) if Instant::now() >= deadline => return,
                Ok(Ok(_)) | Err(_) => {}
            }
        }
    }
}

fn filters(config: &MqttConfig) -> [SubscribeFilter; 6] {
    let prefix = &config.topic_prefix;
    let share = config.shared_group.as_ref().map(|group| format!("$share/{group}/")).unwrap_or_default();
    let console = decode::CONSOLE_LEVEL;
    [
        format!("{share}{prefix}/+/+/reading"),
        format!("{share}{prefix}/+/+/setup"),
        format!("{share}{prefix}/+/+/ticket"),
        format!("{share}{prefix}/+/sale"),
        // `#` stands for no level as well.
        format!("{share}{prefix}/+/+/{console}/#"),
        format!("{prefix}/+/status"),
    ]
    .map(|path| SubscribeFilter::new(path, QoS::AtLeastOnce))
}

/// What is wrong with the broker's answer to our subscriptions.
fn refusal(answer: &SubAck) -> Option<String> {
    answer.return_codes.iter().find_map(|code| match code {
        SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce) => None,
        SubscribeReasonCode::Success(QoS::AtMostOnce) => Some("the broker grants QoS 0 only".to_owned()),
        SubscribeReasonCode::Failure => Some("the broker refuses a subscription".to_owned()),
    })
}

fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::MqttState(StateError::Deserialization(
            error @ rumqttc::mqttbytes::Error::PayloadSizeLimitExceeded(_),
        )) => format!("{error}: a packet is larger than {PACKET_BYTES_MAX} bytes; lower the broker's own limit"),
        error => error.to_string(),
    }
}

/// Completes at `deadline`; never when there is none.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
