//! What is owed to the broker: an acknowledgement for each publish whose record is in the log, in the order of arrival.
//!
//! In: publishes as they arrive, delivery reports in any order. Out: PUBACKs in order (MQTT 3.1.1, 4.6.0-2; rumqttd ends a
//! connection over one that is out of order). Guarantees: no acknowledgement before its record is durable; none of an
//! earlier connection, because each connection has its own client and its own queue, which end with it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::PartitionId;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::{ClientContext, Message};
use rumqttc::{AsyncClient, Publish};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::Error;
use crate::kafka::Watch;

/// The publishes of one connection that are not acknowledged.
pub(crate) struct Acks {
    client: AsyncClient,
    queue: Mutex<InOrder<Publish>>,
}

impl Acks {
    pub(super) fn new(client: AsyncClient) -> Self {
        Self { client, queue: Mutex::new(InOrder::default()) }
    }

    /// A publish arrived; `publish` needs no payload any more. Returns what its receipt must name.
    pub(super) fn owe(&self, publish: Publish) -> u64 {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(publish)
    }

    /// Publishes that are not acknowledged.
    pub(super) fn owed(&self) -> usize {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).items.len()
    }

    fn settle(&self, number: u64) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.settle(number, |publish| {
            // Fails when the connection is gone: then the broker sends the publish again.
            let _ = self.client.try_ack(&publish);
        });
    }
}

/// Items that leave in order of arrival, each once it is settled. `items[i]` has number `first + i`.
#[derive(Debug)]
struct InOrder<T> {
    first: u64,
    items: VecDeque<(T, bool)>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { first: 0, items: VecDeque::new() }
    }
}

impl<T> InOrder<T> {
    fn push(&mut self, item: T) -> u64 {
        self.items.push_back((item, false));
        self.first + self.items.len() as u64 - 1
    }

    fn settle(&mut self, number: u64, mut leave: impl FnMut(T)) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some((_, settled)) = place.and_then(|place| self.items.get_mut(place)) {
            *settled = true;
        }
        while let Some((item, _)) = self.items.pop_front_if(|(_, settled)| *settled) {
            self.first += 1;
            leave(item);
        }
    }
}

/// Travels with a record to Kafka and back.
pub(crate) struct Receipt(Arc<Whole>);

/// What the records of one publish have in common.
struct Whole {
    /// `None` for a publish that wants no acknowledgement (QoS 0).
    owed: Option<(Arc<Acks>, u64)>,
    /// Records that are not in the log yet.
    left: AtomicUsize,
    /// Its share of the memory for records under way.
    _share: OwnedSemaphorePermit,
}

impl Receipt {
    /// Receipts for the `count` records of one publish: it is settled when the log has the last of them.
    pub(crate) fn shared(
        count: usize,
        owed: Option<(Arc<Acks>, u64)>,
        share: OwnedSemaphorePermit,
    ) -> impl Iterator<Item = Box<Self>> {
        let whole = Arc::new(Whole { owed, left: AtomicUsize::new(count), _share: share });
        std::iter::repeat_n(whole, count).map(|whole| Box::new(Self(whole)))
    }

    fn arrived(&self) {
        if self.0.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some((acks, number)) = &self.0.owed
        {
            acks.settle(*number);
        }
    }
}

/// Takes delivery reports, on the producer's thread.
pub(crate) struct Receipts {
    pub(crate) watch: Watch,
    /// Where the first failed delivery is told.
    pub(crate) failed: mpsc::Sender<Error>,
}

impl ClientContext for Receipts {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Receipts {
    type DeliveryOpaque = Box<Receipt>;

    fn delivery(&self, result: &DeliveryResult<'_>, receipt: Box<Receipt>) {
        match result {
            Ok(_) => {
                self.watch.well();
                receipt.arrived();
            }
            Err((source, message)) => {
                let error = Error::Delivery {
                    topic: message.topic().to_owned(),
                    partition: PartitionId(message.partition()),
                    source: source.clone(),
                };
                // Full when another failure was told already.
                let _ = self.failed.try_send(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_acknowledgement_waits_for_those_before_it() {
        let mut queue = InOrder::default();
        let [a, b, c] = ["a", "b", "c"].map(|item| queue.push(item));
        let mut left = Vec::new();
        queue.settle(c, |item| left.push(item));
        queue.settle(b, |item| left.push(item));
        assert!(left.is_empty());
        queue.settle(a, |item| left.push(item));
        assert_eq!(left, ["a", "b", "c"]);
    }

    proptest! {
        #[test]
        fn everything_leaves_once_and_in_order(order in Just((0..40_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut queue = InOrder::default();
            for item in 0..40_u64 {
                prop_assert_eq!(queue.push(item), item);
            }
            let mut left = Vec::new();
            for number in order {
                queue.settle(number, |item| left.push(item));
                queue.settle(number, |item| left.push(item));
            }
            prop_assert_eq!(left, (0..40).collect::<Vec<_>>());
        }
    }
}
