//! `readings`: every tank reading that arrived, repeats included.

use ::clickhouse::Row;
use model::Reading;
use serde::Serialize;

use super::columns::{time, volume, volume_15};
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

/// What gauges say since they may say more. The coarser columns go on, for whoever reads them.
pub(super) const ADD_DETAILS: &str = "
ALTER TABLE readings
    ADD COLUMN IF NOT EXISTS volume_15_ml Nullable(Int64) COMMENT 'at 15 degrees Celsius, by the gauge',
    ADD COLUMN IF NOT EXISTS ullage_ml Nullable(Int64),
    ADD COLUMN IF NOT EXISTS water_ml Nullable(Int64),
    ADD COLUMN IF NOT EXISTS percent_e2 Nullable(UInt32) COMMENT 'of the capacity, hundredths of a percent',
    ADD COLUMN IF NOT EXISTS density_e1 Nullable(UInt32) COMMENT 'tenths of kg/m3, as measured',
    ADD COLUMN IF NOT EXISTS height_dmm Nullable(UInt32) COMMENT 'tenths of a millimetre',
    ADD COLUMN IF NOT EXISTS water_dmm Nullable(UInt32) COMMENT 'tenths of a millimetre',
    ADD COLUMN IF NOT EXISTS temperature_cc Nullable(Int32) COMMENT 'hundredths of a degree Celsius',
    ADD COLUMN IF NOT EXISTS historical UInt8 COMMENT 'measured before and sent later: not the current level'";

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
    volume_15_ml: Option<i64>,
    ullage_ml: Option<i64>,
    water_ml: Option<i64>,
    percent_e2: Option<u32>,
    density_e1: Option<u32>,
    height_dmm: Option<u32>,
    water_dmm: Option<u32>,
    temperature_cc: Option<i32>,
    historical: u8,
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
            volume_ml: volume(reading.volume_ml),
            capacity_ml: volume(reading.capacity_ml),
            height_mm: reading.height().map(|height| height.0 / 10),
            water_mm: reading.water().map(|height| height.0 / 10),
            temperature_dc: reading.temperature().map(|temperature| temperature.0 / 10),
            status: reading.status,
            volume_15_ml: volume_15(reading.volume_15_ml),
            ullage_ml: volume(reading.ullage_ml),
            water_ml: volume(reading.water_ml),
            percent_e2: reading.percent_e2.map(|percent| percent.0),
            density_e1: reading.density_e1.map(|density| density.0),
            height_dmm: reading.height().map(|height| height.0),
            water_dmm: reading.water().map(|height| height.0),
            temperature_cc: reading.temperature().map(|temperature| temperature.0),
            historical: u8::from(reading.historical),
        }
    }
}
