//! From a record of a log to rows.
//!
//! In: bytes of one record with their place. Out: rows in a [`Batch`]. Guarantees: the same record under the same fence
//! gives the same rows, always. Does not: stop at a record that it cannot read; it says so and passes on.

use model::{
    DeviceMessage, Fence, LedgerBody, LedgerRecord, PartitionId, ReadingRecord, StationEvent, StationRecord, Topic,
};
use serde::de::DeserializeOwned;

use super::consumption::ConsumptionMinuteRow;
use super::ledger_facts::LedgerFactRow;
use super::plan::Purpose;
use super::readings::ReadingRow;
use super::station_events::StationEventRow;
use super::tank_events::{TankDayRow, TankEventRow};
use super::tank_levels::TankLevelRow;
use super::{ledger_facts, readings, station_events};
use crate::kafka;

/// A topic that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Ledger,
    Readings,
    StationEvents,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub partition: PartitionId,
    pub offset: i64,
    /// Kafka's timestamp.
    pub recorded_at_ms: i64,
}

/// The rows of one insert for each table.
#[derive(Debug, Default)]
pub struct Batch {
    pub ledger_facts: Vec<LedgerFactRow>,
    pub readings: Vec<ReadingRow>,
    pub station_events: Vec<StationEventRow>,
    pub minutes: Vec<ConsumptionMinuteRow>,
    pub tank_levels: Vec<TankLevelRow>,
    pub tank_events: Vec<TankEventRow>,
    pub tank_days: Vec<TankDayRow>,
}

/// Partition and offset of a record, and the place of the row in it.
pub(super) type Key = (i32, i64, u16);

/// What tells the rows of a table apart.
pub(super) struct Keyed<R> {
    pub(super) columns: &'static str,
    /// The same of a row that is to be inserted.
    pub(super) of: fn(&R) -> Key,
}

/// A row, and how it is known whether ClickHouse has it.
pub(super) trait Recorded: Sized + 'static {
    const TABLE: &'static str;
    /// For a look back when nobody knows whether an insert came to its end. `None`: the table keeps one row of each of its own
    /// keys, so that inserting again does no harm and needs no token.
    const KEY: Option<Keyed<Self>>;
}

impl Batch {
    /// Of all tables together.
    #[must_use]
    pub fn rows(&self) -> usize {
        let Self { ledger_facts, readings, station_events, minutes, tank_levels, tank_events, tank_days } = self;
        ledger_facts.len()
            + readings.len()
            + station_events.len()
            + minutes.len()
            + tank_levels.len()
            + tank_events.len()
            + tank_days.len()
    }
}

impl Batch {
    /// Every event as it is, and what it says once more in columns of its own.
    fn station_event(&mut self, place: Place, event: &StationEvent) {
        self.station_events.extend(StationEventRow::of(place, event));
        match event {
            StationEvent::Minute(minute) => self.minutes.push(ConsumptionMinuteRow::of(minute)),
            StationEvent::Level(level) => self.tank_levels.push(TankLevelRow::of_level(place, level)),
            StationEvent::Aside { origin, received_at_us, because, reading, .. } => {
                self.tank_levels.push(TankLevelRow::of_aside(place, *origin, *received_at_us, *because, reading));
            }
            StationEvent::Tank(event) => self.tank_events.push(TankEventRow::of(place, event)),
            StationEvent::Day(day) => self.tank_days.extend(TankDayRow::of(place, day)),
            StationEvent::Takeover { .. }
            | StationEvent::Status { .. }
            | StationEvent::Registered { .. }
            | StationEvent::Drawn(_)
            | StationEvent::Ticket { .. } => {}
        }
    }
}

impl Source {
    /// Every topic that is recorded.
    pub const ALL: [Self; 3] = [Self::Ledger, Self::Readings, Self::StationEvents];

    /// Where its records stand.
    #[must_use]
    pub fn topic(self) -> Topic {
        match self {
            Self::Ledger => Topic::Ledger,
            Self::Readings => Topic::Readings,
            Self::StationEvents => Topic::StationEvents,
        }
    }

    /// Whether its records count only under the current epoch.
    #[must_use]
    pub fn is_fenced(self) -> bool {
        match self {
            Self::Ledger | Self::StationEvents => true,
            Self::Readings => false,
        }
    }

    /// The table whose rows tell how far the topic was recorded.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Ledger => ledger_facts::TABLE,
            Self::Readings => readings::TABLE,
            Self::StationEvents => station_events::TABLE,
        }
    }

    /// Moves the fence, and adds the record's rows when it is true and read for recording.
    pub fn take(self, place: Place, payload: &[u8], fence: &mut Fence, purpose: Purpose, batch: &mut Batch) {
        match self {
            Self::Ledger => {
                let Some(record) = self.decode::<LedgerRecord>(place, payload) else { return };
                match record.body {
                    LedgerBody::Takeover { .. } => fence.takeover(place.offset),
                    LedgerBody::Outcome(outcome) => {
                        if self.counts(*fence, record.epoch, purpose) {
                            batch.ledger_facts.extend(LedgerFactRow::of(place, &outcome));
                        }
                    }
                }
            }
            Self::StationEvents => {
                let Some(record) = self.decode::<StationRecord>(place, payload) else { return };
                if let StationEvent::Takeover { .. } = record.event {
                    fence.takeover(place.offset);
                } else if self.counts(*fence, record.epoch, purpose) {
                    batch.station_event(place, &record.event);
                }
            }
            Self::Readings => {
                let Some(record) = self.decode::<ReadingRecord>(place, payload) else { return };
                match record.message {
                    DeviceMessage::Reading(reading) if purpose == Purpose::Record => {
                        batch.readings.push(ReadingRow::of(place, record.received_at_us, &reading));
                    }
                    // All else is recorded as the station event that follows from it.
                    DeviceMessage::Reading(_)
                    | DeviceMessage::Status(_)
                    | DeviceMessage::Setup(_)
                    | DeviceMessage::Sale(_)
                    | DeviceMessage::Ticket(_) => {}
                }
            }
        }
    }

    fn counts(self, fence: Fence, epoch: i64, purpose: Purpose) -> bool {
        let admitted = fence.admits(epoch);
        if !admitted {
            metrics::counter!("forecourt_clickhouse_fenced_total", "topic" => kafka::label(self.topic())).increment(1);
        }
        admitted && purpose == Purpose::Record
    }

    fn decode<T: DeserializeOwned>(self, place: Place, payload: &[u8]) -> Option<T> {
        match serde_json::from_slice(payload) {
            Ok(record) => Some(record),
            Err(error) => {
                let topic = kafka::label(self.topic());
                let Place { partition, offset, .. } = place;
                tracing::error!(topic, %partition, offset, %error, "a record is not one of this topic's and was passed over");
                metrics::counter!("forecourt_clickhouse_unreadable_total", "topic" => topic).increment(1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
