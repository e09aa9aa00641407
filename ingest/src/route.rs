//! Routes transactions and orders to their contract's partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::LogSettings;

use crate::Error;

/// Where to read and write, and under which name positions are kept.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    pub log: LogSettings,
    /// The consumer group that keeps the positions.
    pub group: String,
    /// Names this process among the routers of the group, stable over restarts. A second one with the same name replaces
    /// the first, which ends with [`Error::Replaced`].
    pub instance: String,
}

/// Runs until `stop` becomes true.
pub fn run(_config: RouteConfig, stop: Arc<AtomicBool>) -> Result<(), Error> {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
