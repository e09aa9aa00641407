//! What time it is where stations stand.
//!
//! Out: the machine's time, or that of a simulated network when it runs ahead. Guarantees: never behind the machine's.
//! Does not: change what terminals, Kafka or the ledger take the time to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::TimestampUs;

use crate::kafka;

/// A simulated network lives an hour in a minute: by the machine's clock all its gauges would be wrong.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    simulated_us: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// A clock that follows a network's own time, in microseconds since 1970, as it is written there.
    #[must_use]
    pub fn simulated(us: Arc<AtomicI64>) -> Self {
        Self { simulated_us: Some(us) }
    }

    #[must_use]
    pub fn now(&self) -> TimestampUs {
        let simulated = self.simulated_us.as_ref().map_or(0, |us| us.load(Ordering::Relaxed));
        kafka::now().max(TimestampUs::from_micros(simulated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_network_has_its_own_time_once_it_is_ahead() {
        let machine = Clock::default();
        let us = Arc::new(AtomicI64::new(0));
        let network = Clock::simulated(us.clone());
        let before = machine.now();
        assert!(network.now() >= before && network.now() <= machine.now());
        us.store(machine.now().plus_us(3_600_000_000).get(), Ordering::Relaxed);
        assert_eq!(network.now().get(), us.load(Ordering::Relaxed));
    }
}
