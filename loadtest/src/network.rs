//! The simulated fuel network.

use std::path::PathBuf;

use tokio::sync::watch;

/// What the simulated network needs to know.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Kafka bootstrap servers.
    pub bootstrap: String,
    /// What topic names begin with, `fuel` by default.
    pub topic_prefix: String,
    /// Partitions of every topic.
    pub partitions: i32,
    pub mqtt_host: String,
    pub mqtt_port: u16,
    /// The same seed makes the same stations, contracts, cards and habits.
    pub seed: u64,
    /// Simulated seconds per real second; 60 shows a day in 24 minutes.
    pub speed: f64,
    /// Where the network remembers its clock, tank levels and used keys.
    pub state_file: PathBuf,
}

/// Runs the network until `stop` turns true. Fails when Kafka cannot be reached or the state file cannot be written.
pub async fn run(config: NetworkConfig, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    tracing::info!(seed = config.seed, speed = config.speed, "simulated network starts");
    stop.wait_for(|stop| *stop).await?;
    Ok(())
}
