//! `readings`: every tank reading that arrived, repeats included.

use ::clickhouse::Row;
use model::Reading;
use serde::Serialize;

use super::columns::time;
use super::rows::{Keyed, Place, Recorded};

pub(super) const TABLE: &str = "readings";

pub(super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS readings (
    partition Int32 COMMENT 'partition of fuel.readings',
    offset Int64 COMMENT 'offset in fuel.readings',
    site LowCardinality(String),
    tank LowCardinality(String),
    product LowCardinality(String),
    seq Nullable(UInt64),
    measured_at DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    volume_ml Int64 COMMENT 'at observed temperature, without water',
    capacity_ml Nullable(Int64),
    height_mm Nullable(UInt32),
    water_mm Nullable(UInt32),
    temperature_dc Nullable(Int32) COMMENT 'tenths of a degree Celsius',
    status UInt8 COMMENT '1 delivery, 2 leak test, 4 invalid height'
) ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (site, tank, measured_at, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000";

/// A gauge may know the height or the share only.
pub(super) const ALLOW_NO_VOLUME: &str = "
ALTER TABLE readings MODIFY COLUMN volume_ml Nullable(Int64) COMMENT 'at observed temperature, without water'";

#[derive(Clone, Debug, PartialEq, Row, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct ReadingRow {
    partition: i32,
    offset: i64,
    site: String,
    tank: String,
    product: String,
    seq: Option<u64>,
    measured_at: i64,
    received_at: i64,
    volume_ml: Option<i64>,
    capacity_ml: Option<i64>,
    height_mm: Option<u32>,
    water_mm: Option<u32>,
    temperature_dc: Option<i32>,
    status: u8,
}

impl Recorded for ReadingRow {
    const TABLE: &'static str = TABLE;
    const KEY: Option<Keyed<Self>> =
        Some(Keyed { columns: "partition, offset, toUInt16(0)", of: |row| (row.partition, row.offset, 0) });
}

impl ReadingRow {
    pub(super) fn of(place: Place, received_at_us: model::TimestampUs, reading: &Reading) -> Self {
        Self {
            partition: place.partition.0,
            offset: place.offset,
            site: reading.site.to_string(),
            tank: reading.tank.to_string(),
            product: reading.product.to_string(),
            seq: reading.seq,
            measured_at: time(reading.measured_at_us),
            received_at: time(received_at_us),
            volume_ml: reading.volume_ml.map(|volume| volume.get().cast_signed()),
            capacity_ml: reading.capacity_ml.map(|volume| volume.get().cast_signed()),
            height_mm: reading.height().map(|height| height.0 / 10),
            water_mm: reading.water().map(|height| height.0 / 10),
            temperature_dc: reading.temperature().map(|temperature| temperature.0 / 10),
            status: reading.status,
        }
    }
}
