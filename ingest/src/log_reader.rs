//! Reads partitions of the log from named positions.
//!
//! In: partitions with a position each. Out: their records in order per partition, and whether the end was reached.
//! Guarantees: no record is skipped; a position that the log does not hold is an error that names the partition; broker
//! restarts are waited out. Memory is bounded. Blocking: meant for a thread of its own.
//! Does not: commit positions; whoever reads keeps its own. Records of transactions that were aborted are left out.

use std::time::Duration;

use model::{LogSettings, PartitionId, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::Error;
use crate::kafka::{self, Trouble, Watch};

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The oldest record that the log still holds.
    Beginning,
    /// After the newest record at the moment of opening.
    End,
    /// The record at this offset; it may be the one that comes next.
    Offset(i64),
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMessage {
    pub topic: Topic,
    pub partition: PartitionId,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    /// The record's own time in Kafka, Unix milliseconds.
    pub timestamp_ms: Option<i64>,
}

/// What a partition holds: offsets from `begin` up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub begin: i64,
    pub end: i64,
}

/// What the log holds of each of these partitions, in their order. Waits up to 30 s for the brokers.
pub fn spans(settings: &LogSettings, partitions: &[(Topic, PartitionId)]) -> Result<Vec<Span>, Error> {
    let consumer = connect(settings, None)?;
    spans_of(&consumer, settings, partitions)
}

/// A blocking reader of chosen partitions.
pub struct LogReader {
    consumer: BaseConsumer<Watch>,
    settings: LogSettings,
    names: Vec<(String, Topic)>,
    partitions: Vec<Reading>,
}

/// One assigned partition.
struct Reading {
    topic: Topic,
    partition: PartitionId,
    /// The offset after the last record that was handed out.
    next: i64,
    /// Where the log ended when the reader was opened.
    end_at_open: i64,
    /// The broker said that there is nothing more.
    reached_end: bool,
}

impl LogReader {
    /// Opens a reader. Waits up to 30 s for the brokers; an unknown topic is an error after that.
    pub fn open(settings: &LogSettings, positions: &[(Topic, PartitionId, From)]) -> Result<Self, Error> {
        Self::connected(connect(settings, None)?, settings, positions)
    }

    /// Opens a reader that is in no hurry: the broker may gather records for `gather`, which spares both sides most of the
    /// work of following a busy log.
    pub fn open_relaxed(
        settings: &LogSettings,
        positions: &[(Topic, PartitionId, From)],
        gather: Duration,
    ) -> Result<Self, Error> {
        Self::connected(connect(settings, Some(gather))?, settings, positions)
    }

    fn connected(
        consumer: BaseConsumer<Watch>,
        settings: &LogSettings,
        positions: &[(Topic, PartitionId, From)],
    ) -> Result<Self, Error> {
        let mut reader = Self { consumer, settings: settings.clone(), names: Vec::new(), partitions: Vec::new() };
        reader.add(positions)?;
        Ok(reader)
    }

    /// Reads these partitions too. Partitions that are read already must not be named.
    pub fn add(&mut self, positions: &[(Topic, PartitionId, From)]) -> Result<(), Error> {
        if positions.is_empty() {
            return Ok(());
        }
        let wanted: Vec<_> = positions.iter().map(|(topic, partition, _)| (*topic, *partition)).collect();
        assert!(!self.partitions.iter().any(|r| wanted.contains(&(r.topic, r.partition))), "read already");
        let spans = spans_of(&self.consumer, &self.settings, &wanted)?;
        let mut assignment = TopicPartitionList::new();
        let mut added = Vec::with_capacity(positions.len());
        for ((topic, partition, from), span) in positions.iter().zip(spans) {
            let name = self.settings.topic_name(*topic);
            let (start, next) = match *from {
                From::Beginning => (Offset::Beginning, span.begin),
                From::End => (Offset::Offset(span.end), span.end),
                From::Offset(offset) if (span.begin..=span.end).contains(&offset) => (Offset::Offset(offset), offset),
                From::Offset(wanted) => {
                    let Span { begin, end } = span;
                    return Err(Error::OffsetGone { topic: name, partition: *partition, wanted, begin, end });
                }
            };
            assignment
                .add_partition_offset(&name, partition.0, start)
                .map_err(|source| Error::Kafka { action: format!("assign {name}/{partition}"), source })?;
            if !self.names.iter().any(|(known, _)| *known == name) {
                self.names.push((name, *topic));
            }
            let reached_end = next >= span.end;
            added.push(Reading { topic: *topic, partition: *partition, next, end_at_open: span.end, reached_end });
        }
        self.consumer
            .incremental_assign(&assignment)
            .map_err(|source| Error::Kafka { action: "assign partitions".to_owned(), source })?;
        self.partitions.extend(added);
        Ok(())
    }

    /// As [`spans`], over this reader's connection.
    pub(crate) fn spans(&self, partitions: &[(Topic, PartitionId)]) -> Result<Vec<Span>, Error> {
        spans_of(&self.consumer, &self.settings, partitions)
    }

    /// Reads these partitions no more; nothing of them comes after this.
    pub fn remove(&mut self, partitions: &[(Topic, PartitionId)]) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for reading in &self.partitions {
            if partitions.contains(&(reading.topic, reading.partition)) {
                list.add_partition(&self.settings.topic_name(reading.topic), reading.partition.0);
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.partitions.retain(|reading| !partitions.contains(&(reading.topic, reading.partition)));
        self.consumer
            .incremental_unassign(&list)
            .map_err(|source| Error::Kafka { action: "give partitions up".to_owned(), source })
    }

    /// Waits up to `wait` for the first record, then takes what is there, at most `max`; appends to `out`.
    pub fn read(&mut self, max: usize, wait: Duration, out: &mut Vec<LogMessage>) -> Result<(), Error> {
        let full = out.len().saturating_add(max);
        let mut patience = wait;
        while out.len() < full {
            let message = match self.consumer.poll(patience) {
                None => return Ok(()),
                Some(Ok(message)) => copied(&message, &self.names),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.consumer.context().well();
                    self.reached_end(PartitionId(partition));
                    // The end of a partition ends the wait: a caller that catches up wants to know.
                    patience = Duration::ZERO;
                    continue;
                }
                Some(Err(error)) => {
                    self.weigh(error)?;
                    return Ok(());
                }
            };
            patience = Duration::ZERO;
            let Some(message) = message else { continue };
            let place = |r: &&mut Reading| r.partition == message.partition && r.topic == message.topic;
            // Records of a partition that was removed may still be on their way out of the client.
            let Some(reading) = self.partitions.iter_mut().find(place) else { continue };
            reading.next = message.offset + 1;
            reading.reached_end |= reading.next >= reading.end_at_open;
            out.push(message);
        }
        self.consumer.context().well();
        Ok(())
    }

    /// True once the reader has handed out everything that the partition held when it was opened. False for a partition
    /// that is not read here.
    #[must_use]
    pub fn caught_up(&self, topic: Topic, partition: PartitionId) -> bool {
        self.partitions.iter().any(|r| r.topic == topic && r.partition == partition && r.reached_end)
    }

    /// True once this holds for all its partitions.
    #[must_use]
    pub fn all_caught_up(&self) -> bool {
        self.partitions.iter().all(|reading| reading.reached_end)
    }

    /// The offset after the last record handed out, or where the reader began.
    #[must_use]
    pub fn position(&self, topic: Topic, partition: PartitionId) -> Option<i64> {
        self.partitions.iter().find(|r| r.topic == topic && r.partition == partition).map(|reading| reading.next)
    }

    /// The event names the partition but not the topic, so it counts only where one topic alone can be meant; where several
    /// are read together, positions tell. They fall short only if a log ends in records that no reader is shown
    /// (transaction markers), which Forecourt's own logs never hold.
    fn reached_end(&mut self, partition: PartitionId) {
        let mut meant = self.partitions.iter_mut().filter(|reading| reading.partition == partition);
        if let (Some(reading), None) = (meant.next(), meant.next()) {
            reading.reached_end = true;
        }
    }

    fn weigh(&self, error: KafkaError) -> Result<(), Error> {
        match kafka::trouble(&error) {
            Trouble::Passing => {
                self.consumer.context().trouble(&error, "reading");
                Ok(())
            }
            Trouble::OffsetGone => Err(self.gone(error)),
            Trouble::Replaced | Trouble::Fatal => Err(Error::Kafka { action: "read".to_owned(), source: error }),
        }
    }

    /// Finds out which partition lost its position: the event does not say.
    fn gone(&self, error: KafkaError) -> Error {
        let asked: Vec<_> = self.partitions.iter().map(|r| (r.topic, r.partition)).collect();
        let spans = match spans_of(&self.consumer, &self.settings, &asked) {
            Ok(spans) => spans,
            Err(error) => return error,
        };
        for (reading, span) in self.partitions.iter().zip(spans) {
            if !(span.begin..=span.end).contains(&reading.next) {
                return Error::OffsetGone {
                    topic: self.settings.topic_name(reading.topic),
                    partition: reading.partition,
                    wanted: reading.next,
                    begin: span.begin,
                    end: span.end,
                };
            }
        }
        Error::Kafka { action: "read at a position".to_owned(), source: error }
    }
}

fn connect(settings: &LogSettings, gather: Option<Duration>) -> Result<BaseConsumer<Watch>, Error> {
    // librdkafka wants a group to assign partitions; nothing is ever committed to it.
    let mut config = kafka::consumer(settings, "forecourt-reader", "forecourt-reader");
    if let Some(gather) = gather {
        config.set("fetch.min.bytes", "1000000").set("fetch.wait.max.ms", gather.as_millis().to_string());
    }
    config
        .create_with_context(Watch::new("reader"))
        .map_err(|source| Error::Kafka { action: format!("create a reader of {}", settings.bootstrap), source })
}

fn spans_of(
    consumer: &BaseConsumer<Watch>,
    settings: &LogSettings,
    partitions: &[(Topic, PartitionId)],
) -> Result<Vec<Span>, Error> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(&settings.topic_name(*topic), partition.0);
    }
    let begins = kafka::offsets_at(consumer, &list, Offset::Beginning)?;
    let ends = kafka::offsets_at(consumer, &list, Offset::End)?;
    let offset_in = |list: &TopicPartitionList, topic: &str, partition: i32| {
        list.find_partition(topic, partition).and_then(|element| element.offset().to_raw()).unwrap_or(0)
    };
    Ok(partitions
        .iter()
        .map(|(topic, partition)| {
            let name = settings.topic_name(*topic);
            Span { begin: offset_in(&begins, &name, partition.0), end: offset_in(&ends, &name, partition.0) }
        })
        .collect())
}

fn copied(message: &BorrowedMessage<'_>, names: &[(String, Topic)]) -> Option<LogMessage> {
    let topic = names.iter().find(|(name, _)| name == message.topic())?.1;
    Some(LogMessage {
        topic,
        partition: PartitionId(message.partition()),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        timestamp_ms: message.timestamp().to_millis(),
    })
}
