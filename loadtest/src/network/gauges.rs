//! The stations' controllers on MQTT: a connection of its own for each, with a last will, QoS 1.
//!
//! In: messages and line faults. Out: publications on `fuel/v1/{site}/…`. A controller whose broker is away keeps a few
//! hundred messages and loses what comes after, as the real ones do.

use std::time::Duration;

use model::{FORMAT_VERSION, SiteId, StatusMessage};
use rumqttc::{AsyncClient, ConnectReturnCode, Event, LastWill, MqttOptions, Packet, QoS};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) const MQTT_PREFIX: &str = "fuel/v1";
/// Messages that wait between the network and one controller.
const INBOX_MAX: usize = 1024;
/// Messages that wait in a controller for its broker.
const UNSENT_MAX: usize = 64;
const GOODBYE: Duration = Duration::from_millis(800);

pub(crate) enum Message {
    Publish { topic: String, payload: String, retain: bool },
    Link { up: bool },
}

/// All controllers.
pub(crate) struct Gauges {
    inboxes: Vec<mpsc::Sender<Message>>,
    tasks: JoinSet<()>,
    lost: u64,
}

impl Gauges {
    pub(crate) fn start(
        host: &str,
        port: u16,
        instance: &str,
        sites: impl Iterator<Item = SiteId>,
    ) -> anyhow::Result<Self> {
        let (mut inboxes, mut tasks) = (Vec::new(), JoinSet::new());
        for site in sites {
            let status = |online| serde_json::to_string(&StatusMessage { v: FORMAT_VERSION, online, at_us: None });
            let controller = Controller {
                client_id: format!("atg-{instance}-{site}"),
                host: host.to_owned(),
                port,
                status_topic: format!("{MQTT_PREFIX}/{site}/status"),
                online: status(true)?,
                offline: status(false)?,
            };
            let (inbox, messages) = mpsc::channel(INBOX_MAX);
            tasks.spawn(controller.work(messages));
            inboxes.push(inbox);
        }
        Ok(Self { inboxes, tasks, lost: 0 })
    }

    /// Hands a message to a station's controller; a full controller loses it.
    pub(crate) fn tell(&mut self, station: usize, message: Message) {
        if self.inboxes[station].try_send(message).is_err() {
            self.lost += 1;
            if self.lost.is_power_of_two() {
                tracing::warn!(
                    lost = self.lost,
                    "station controllers lose readings: the MQTT broker does not take them"
                );
            }
        }
    }

    /// Lets every controller say that it goes.
    pub(crate) async fn stop(mut self) {
        self.inboxes.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(2 * GOODBYE, all).await.is_err() {
            self.tasks.abort_all();
        }
    }
}

struct Controller {
    client_id: String,
    host: String,
    port: u16,
    status_topic: String,
    online: String,
    offline: String,
}

/// A connection and the task that serves it. Dropping it is pulling the plug.
struct Line {
    client: AsyncClient,
    task: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Controller {
    async fn work(self, mut messages: mpsc::Receiver<Message>) {
        let mut line = Some(self.connect());
        while let Some(message) = messages.recv().await {
            match (message, &line) {
                (Message::Link { up: false }, _) => line = None,
                (Message::Link { up: true }, None) => line = Some(self.connect()),
                (Message::Publish { topic, payload, retain }, Some(line)) => {
                    if let Err(error) = line.client.publish(topic, QoS::AtLeastOnce, retain, payload).await {
                        tracing::debug!(%error, client = self.client_id, "a reading was not sent");
                    }
                }
                (Message::Link { up: true }, Some(_)) | (Message::Publish { .. }, None) => {}
            }
        }
        if let Some(mut line) = line {
            let goodbye = async {
                line.client.publish(&self.status_topic, QoS::AtLeastOnce, true, self.offline.clone()).await?;
                line.client.disconnect().await
            };
            if matches!(tokio::time::timeout(GOODBYE, goodbye).await, Ok(Ok(()))) {
                let _ = tokio::time::timeout(GOODBYE, &mut line.task).await;
            }
        }
    }

    fn connect(&self) -> Line {
        let mut options = MqttOptions::new(&self.client_id, &self.host, self.port);
        options.set_keep_alive(Duration::from_secs(20));
        options.set_last_will(LastWill::new(&self.status_topic, self.offline.clone(), QoS::AtLeastOnce, true));
        let (client, mut events) = AsyncClient::new(options, UNSENT_MAX);
        let (speaker, topic, online) = (client.clone(), self.status_topic.clone(), self.online.clone());
        let task = tokio::spawn(async move {
            events.network_options.set_tcp_nodelay(true);
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(ack))) if ack.code == ConnectReturnCode::Success => {
                        // The queue may be full of readings; then the status waits for the next connection.
                        let _ = speaker.try_publish(&topic, QoS::AtLeastOnce, true, online.clone());
                    }
                    Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, %topic, "no MQTT connection");
                        tokio::time::sleep(Duration::from_millis(700)).await;
                    }
                }
            }
        });
        Line { client, task }
    }
}
