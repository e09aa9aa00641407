//! The router's producer: requests and rejections go out, delivery reports come back.
//!
//! Guarantees: the order of sending is the order in a partition; after a failed delivery nothing more is sent.
//! Does not: bound what is in flight beyond librdkafka's own queue; [`super`] does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{LogSettings, PartitionId};
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, Message};

use super::progress::Ticket;
use crate::Error;
use crate::kafka::{self, Watch};

/// Pause when librdkafka's queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(10);
const TICKET_BITS: u32 = 48;
const _: () = assert!(usize::BITS == 64, "a lane and its ticket travel in one pointer");

/// Which lane and which of its records a report is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) lane: usize,
    pub(super) ticket: Ticket,
}

impl Tag {
    #[expect(clippy::cast_possible_truncation, reason = "64 bit, asserted above")]
    fn packed(self) -> usize {
        assert!(self.lane < 1 << (usize::BITS - TICKET_BITS) && self.ticket.0 < 1 << TICKET_BITS);
        (self.lane << TICKET_BITS) | self.ticket.0 as usize
    }
    fn unpacked(packed: usize) -> Self {
        Self { lane: packed >> TICKET_BITS, ticket: Ticket((packed & ((1 << TICKET_BITS) - 1)) as u64) }
    }
}

/// A record to send.
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: PartitionId,
    pub(super) key: &'a str,
    pub(super) value: &'a [u8],
    pub(super) headers: Option<OwnedHeaders>,
}

pub(super) struct Outlet {
    producer: BaseProducer<Reports>,
    stop: Arc<AtomicBool>,
    /// A record was turned away: nothing may overtake it.
    closed: bool,
}

impl Outlet {
    pub(super) fn open(settings: &LogSettings, stop: Arc<AtomicBool>) -> Result<Self, Error> {
        let reports = Reports { watch: Watch::new("router's producer"), arrived: Mutex::default() };
        let producer = kafka::producer(settings, "forecourt-router")
            .create_with_context(reports)
            .map_err(|source| Error::Kafka { action: "create the router's producer".to_owned(), source })?;
        Ok(Self { producer, stop, closed: false })
    }

    /// Queues a record. Waits while the queue is full; gives up, for good, when the process is to stop.
    pub(super) fn send(&mut self, tag: Tag, outgoing: Outgoing<'_>) -> Result<(), Error> {
        if self.closed {
            return Ok(());
        }
        let Outgoing { topic, partition, key, value, headers } = outgoing;
        let mut record = BaseRecord::with_opaque_to(topic, tag.packed()).partition(partition.0).key(key).payload(value);
        if let Some(headers) = headers {
            record = record.headers(headers);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    if self.stop.load(Ordering::Relaxed) {
                        self.closed = true;
                        return Ok(());
                    }
                    record = back;
                    self.producer.poll(FULL_PAUSE);
                }
                Err((source, _)) => {
                    self.closed = true;
                    return Err(Error::Delivery { topic: topic.to_owned(), partition, source });
                }
            }
        }
    }

    /// Hands over the reports that have arrived.
    pub(super) fn reports(&self, mut delivered: impl FnMut(Tag)) -> Result<(), Error> {
        loop {
            self.producer.poll(Duration::ZERO);
            let arrived =
                std::mem::take(&mut *self.producer.context().arrived.lock().unwrap_or_else(PoisonError::into_inner));
            if arrived.is_empty() {
                return Ok(());
            }
            self.producer.context().watch.well();
            for report in arrived {
                delivered(report?);
            }
        }
    }

    /// To ask the brokers with.
    pub(super) fn client(&self) -> &Client<Reports> {
        self.producer.client()
    }

    /// Waits until all is delivered, at most `patience`.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        self.producer.flush(patience).is_ok()
    }
}

pub(super) struct Reports {
    watch: Watch,
    arrived: Mutex<Vec<Result<Tag, Error>>>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, packed: usize) {
        let report = match result {
            Ok(_) => Ok(Tag::unpacked(packed)),
            Err((source, message)) => Err(Error::Delivery {
                topic: message.topic().to_owned(),
                partition: PartitionId(message.partition()),
                source: source.clone(),
            }),
        };
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_survives_the_trip_through_a_pointer() {
        let tag = Tag { lane: 65_535, ticket: Ticket((1 << TICKET_BITS) - 1) };
        let back = Tag::unpacked(tag.packed());
        assert_eq!((back.lane, back.ticket), (tag.lane, tag.ticket));
    }
}
