//! `tank_levels`: one row for each reading of which the stations made something: a level, or a reason why not.
//!
//! Both stand in one table, so that one query tells how much of what a gauge says can be used. A reading that was set
//! aside has no values here, only what was sent, so that nobody adds up what is not believed.

use ::clickhouse::Row;
use model::{Origin, Reading, ReadingRefused, TankLevel, TimestampUs, Treatment};
use serde::Serialize;

use super::columns::{time, volume, volume_15, word};
use super::rows::{Keyed, Place, Recorded};

pub(super) const TABLE: &str = "tank_levels";

pub(super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS tank_levels (
    partition Int32 COMMENT 'partition of fuel.station-events',
    offset Int64 COMMENT 'offset in fuel.station-events',
    reading_partition Int32 COMMENT 'partition of fuel.readings; with the offset, the row in readings',
    reading_offset Int64,
    site LowCardinality(String),
    tank LowCardinality(String),
    product LowCardinality(String),
    measured_at DateTime64(6, 'UTC') COMMENT 'of the level: as it counts; of a reading set aside: as it was sent',
    received_at DateTime64(6, 'UTC'),
    recorded_at DateTime64(3, 'UTC') COMMENT 'when Kafka got the record',
    refused LowCardinality(String) COMMENT 'why the reading gives no level; empty: it gives one',
    volume_ml Nullable(Int64) COMMENT 'at observed temperature, without water',
    volume_15_ml Nullable(Int64) COMMENT 'at 15 degrees Celsius; not for custody transfer',
    water_ml Nullable(Int64),
    capacity_ml Nullable(Int64),
    height_dmm Nullable(UInt32) COMMENT 'tenths of a millimetre',
    water_dmm Nullable(UInt32) COMMENT 'tenths of a millimetre',
    temperature_cc Nullable(Int32) COMMENT 'hundredths of a degree Celsius',
    density_e1 Nullable(UInt32) COMMENT 'tenths of kg/m3, as measured',
    status UInt8 COMMENT '1 delivery, 2 leak test, 4 invalid height',
    late UInt8 COMMENT 'measured before a level that was there already',
    treatments Array(LowCardinality(String)) COMMENT 'what was done to the values; figures stand in station_events',
    raw String COMMENT 'the reading as it was sent, where it was treated, late or set aside' CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (site, tank, measured_at, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000";

#[derive(Clone, Debug, Default, PartialEq, Row, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct TankLevelRow {
    partition: i32,
    offset: i64,
    reading_partition: i32,
    reading_offset: i64,
    site: String,
    tank: String,
    product: String,
    measured_at: i64,
    received_at: i64,
    recorded_at: i64,
    refused: String,
    volume_ml: Option<i64>,
    volume_15_ml: Option<i64>,
    water_ml: Option<i64>,
    capacity_ml: Option<i64>,
    height_dmm: Option<u32>,
    water_dmm: Option<u32>,
    temperature_cc: Option<i32>,
    density_e1: Option<u32>,
    status: u8,
    late: u8,
    treatments: Vec<String>,
    raw: String,
}

impl Recorded for TankLevelRow {
    const TABLE: &'static str = TABLE;
    const KEY: Option<Keyed<Self>> =
        Some(Keyed { columns: "partition, offset, toUInt16(0)", of: |row| (row.partition, row.offset, 0) });
}

impl TankLevelRow {
    pub(super) fn of_level(place: Place, level: &TankLevel) -> Self {
        Self {
            partition: place.partition.0,
            offset: place.offset,
            reading_partition: level.origin.partition.0,
            reading_offset: level.origin.offset,
            site: level.site.to_string(),
            tank: level.tank.to_string(),
            product: level.product.to_string(),
            measured_at: time(level.measured_at_us),
            received_at: time(level.received_at_us),
            recorded_at: place.recorded_at_ms,
            refused: String::new(),
            volume_ml: volume(Some(level.volume_ml)),
            volume_15_ml: volume_15(level.volume_15_ml),
            water_ml: volume(level.water_ml),
            capacity_ml: volume(level.capacity_ml),
            height_dmm: level.height().map(|height| height.0),
            water_dmm: level.water().map(|height| height.0),
            temperature_cc: level.temperature().map(|temperature| temperature.0),
            density_e1: level.density_e1.map(|density| density.0),
            status: level.status,
            late: u8::from(level.late),
            treatments: level.treatments.iter().copied().map(treatment).collect(),
            raw: level.raw.as_deref().map(json).unwrap_or_default(),
        }
    }

    pub(super) fn of_aside(
        place: Place,
        origin: Origin,
        received_at: TimestampUs,
        because: ReadingRefused,
        reading: &Reading,
    ) -> Self {
        Self {
            partition: place.partition.0,
            offset: place.offset,
            reading_partition: origin.partition.0,
            reading_offset: origin.offset,
            site: reading.site.to_string(),
            tank: reading.tank.to_string(),
            product: reading.product.to_string(),
            measured_at: time(reading.measured_at_us),
            received_at: time(received_at),
            recorded_at: place.recorded_at_ms,
            refused: because.as_str().to_owned(),
            status: reading.status,
            raw: json(reading),
            ..Self::default()
        }
    }
}

/// Its name alone: with figures in it, words would not be few.
fn treatment(treatment: Treatment) -> String {
    match treatment {
        Treatment::Reordered => "reordered".to_owned(),
        Treatment::Unknown(column) => format!("unknown_{}", word(&column)),
        Treatment::VolumeFromHeight => "volume_from_height".to_owned(),
        Treatment::VolumeFromPercent => "volume_from_percent".to_owned(),
        Treatment::UnitSlip { .. } => "unit_slip".to_owned(),
        Treatment::Redated { .. } => "redated".to_owned(),
        Treatment::Clamped => "clamped".to_owned(),
    }
}

fn json(reading: &Reading) -> String {
    serde_json::to_string(reading).unwrap_or_default()
}
