//! `station_events`: one row for each event of `fuel.station-events`, with the whole event as JSON.

use ::clickhouse::Row;
use model::StationEvent;
use serde::Serialize;

use super::columns::time;
use super::rows::{Keyed, Place, Recorded};

pub(super) const TABLE: &str = "station_events";

pub(super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS station_events (
    partition Int32 COMMENT 'partition of fuel.station-events',
    offset Int64 COMMENT 'offset in fuel.station-events',
    kind LowCardinality(String) COMMENT 'level, status or minute',
    site LowCardinality(String),
    tank LowCardinality(String),
    product LowCardinality(String),
    at DateTime64(6, 'UTC') COMMENT 'event time',
    recorded_at DateTime64(3, 'UTC') COMMENT 'when Kafka got the record',
    volume_ml Int64 COMMENT 'level: in the tank; minute: gone from the tanks',
    late UInt8,
    online UInt8,
    json String CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (site, kind, at, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000";

#[derive(Clone, Debug, Default, PartialEq, Row, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct StationEventRow {
    partition: i32,
    offset: i64,
    kind: String,
    site: String,
    tank: String,
    product: String,
    at: i64,
    recorded_at: i64,
    volume_ml: i64,
    late: u8,
    online: u8,
    json: String,
}

impl Recorded for StationEventRow {
    const TABLE: &'static str = TABLE;
    const KEY: Option<Keyed<Self>> =
        Some(Keyed { columns: "partition, offset, toUInt16(0)", of: |row| (row.partition, row.offset, 0) });
}

impl StationEventRow {
    /// `None` for a takeover, which is no event of a station.
    pub(super) fn of(place: Place, event: &StationEvent) -> Option<Self> {
        let whole = Self {
            partition: place.partition.0,
            offset: place.offset,
            recorded_at: place.recorded_at_ms,
            json: serde_json::to_string(event).unwrap_or_default(),
            ..Self::default()
        };
        Some(match event {
            StationEvent::Takeover { .. } => return None,
            StationEvent::Level(level) => Self {
                kind: "level".to_owned(),
                site: level.site.to_string(),
                tank: level.tank.to_string(),
                product: level.product.to_string(),
                at: time(level.measured_at_us),
                volume_ml: level.volume_ml.get().cast_signed(),
                late: u8::from(level.late),
                ..whole
            },
            StationEvent::Status { status, .. } => Self {
                kind: "status".to_owned(),
                site: status.site.to_string(),
                at: time(status.at_us),
                online: u8::from(status.online),
                ..whole
            },
            StationEvent::Registered { setup, .. } => Self {
                kind: "registered".to_owned(),
                site: setup.site.to_string(),
                tank: setup.tank.to_string(),
                product: setup.product.to_string(),
                at: time(setup.at_us),
                volume_ml: setup.capacity_ml.get().cast_signed(),
                ..whole
            },
            StationEvent::Tank(event) => Self {
                kind: event.kind.name().to_owned(),
                site: event.site.to_string(),
                tank: event.tank.to_string(),
                product: event.product.to_string(),
                at: time(event.began_at_us),
                volume_ml: event.kind.volume().get().cast_signed(),
                ..whole
            },
            StationEvent::Aside { received_at_us, reading, .. } => Self {
                kind: "aside".to_owned(),
                site: reading.site.to_string(),
                tank: reading.tank.to_string(),
                product: reading.product.to_string(),
                at: time(*received_at_us),
                ..whole
            },
            StationEvent::Drawn(drawn) => Self {
                kind: "drawn".to_owned(),
                site: drawn.sale.site.to_string(),
                tank: drawn.sale.tank.as_ref().map(ToString::to_string).unwrap_or_default(),
                product: drawn.sale.product.to_string(),
                at: time(drawn.sale.at_us),
                volume_ml: drawn.sale.volume_ml.get().cast_signed(),
                ..whole
            },
            StationEvent::Ticket { ticket, .. } => Self {
                kind: "ticket".to_owned(),
                site: ticket.site.to_string(),
                tank: ticket.tank.to_string(),
                at: time(ticket.at_us),
                volume_ml: ticket.volume_ml.get().cast_signed(),
                ..whole
            },
            StationEvent::Day(day) => Self {
                kind: "day".to_owned(),
                site: day.site.to_string(),
                tank: day.tank.to_string(),
                product: day.product.to_string(),
                at: day.day.saturating_mul(24 * 60 * model::MICROS_PER_MINUTE),
                volume_ml: day.stock.map_or(0, |stock| stock.consumed_ml.get().cast_signed()),
                ..whole
            },
            StationEvent::Minute(minute) => Self {
                kind: "minute".to_owned(),
                site: minute.site.to_string(),
                product: minute.product.to_string(),
                at: time(minute.minute_us),
                volume_ml: minute.consumed_ml.get().cast_signed(),
                ..whole
            },
        })
    }
}
