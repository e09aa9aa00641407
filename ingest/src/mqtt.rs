//! Tank gauges and station controllers over MQTT.

use std::time::Duration;

use model::LogSettings;
use tokio::sync::watch;

use crate::Error;

/// How to reach the broker, and where readings go.
#[derive(Clone, Debug)]
pub struct MqttConfig {
    pub host: String,
    pub port: u16,
    /// Names the persistent session: stable over restarts, unique at the broker.
    pub client_id: String,
    /// User name and password.
    pub credentials: Option<(String, String)>,
    /// What topics begin with, `fuel/v1`.
    pub topic_prefix: String,
    /// Readers of the same group share the topics between them.
    pub shared_group: Option<String>,
    pub keep_alive: Duration,
    pub log: LogSettings,
    /// Largest payload of a reading; larger ones are rejected.
    pub payload_bytes_max: usize,
}

/// Runs until `stop` becomes true.
pub async fn run(_config: MqttConfig, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
    let _ = stop.wait_for(|stop| *stop).await;
    Ok(())
}
