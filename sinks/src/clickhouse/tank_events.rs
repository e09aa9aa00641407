//! `tank_events`: what was found out about tanks, and `tank_days`: what is known of each of their days.
//!
//! Both keep the highest version of a key, so that a row that is inserted twice is there once. Read with `FINAL`, or the
//! events that still hold through the view `tank_history`.

use ::clickhouse::Row;
use model::{TankDay, TankEvent, TankEventKind};
use serde::Serialize;

use super::columns::{time, volume, volume_15, word};
use super::rows::{Keyed, Place, Recorded};

pub(super) const CREATE_EVENTS: &str = "
CREATE TABLE IF NOT EXISTS tank_events (
    site LowCardinality(String),
    tank LowCardinality(String),
    kind LowCardinality(String),
    number UInt32 COMMENT 'counts the events of a kind in a tank',
    version UInt32 COMMENT 'the highest is the truth',
    withdrawn UInt8 COMMENT 'late data showed that it did not happen',
    product LowCardinality(String),
    began DateTime64(6, 'UTC'),
    ended Nullable(DateTime64(6, 'UTC')) COMMENT 'null while it lasts',
    recorded_at DateTime64(3, 'UTC') COMMENT 'when Kafka got the record',
    volume_ml Int64 COMMENT 'delivered, lost, or in the tank when a level alarm began; else 0',
    error_ml Nullable(Int64) COMMENT 'the true volume lies within this, 19 times of 20',
    net_15_ml Nullable(Int64) COMMENT 'delivered, at 15 degrees Celsius; not for custody transfer',
    sold_ml Nullable(Int64) COMMENT 'during a delivery',
    ticket_ml Nullable(Int64) COMMENT 'delivered by the paper of the truck',
    ticket_difference_ml Nullable(Int64) COMMENT 'measured less paper',
    rate_ml_per_hour Nullable(Int64) COMMENT 'of a leak',
    detail LowCardinality(String) COMMENT 'which level, the cause of a silence, the column of a unit slip',
    json String CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(version)
ORDER BY (site, tank, kind, number)";

pub(super) const CREATE_HISTORY: &str = "
CREATE VIEW IF NOT EXISTS tank_history AS
SELECT * EXCEPT (withdrawn) FROM tank_events FINAL WHERE withdrawn = 0";

pub(super) const CREATE_DAYS: &str = "
CREATE TABLE IF NOT EXISTS tank_days (
    site LowCardinality(String),
    tank LowCardinality(String),
    day Date COMMENT 'by the wall clock of the tank',
    version UInt32 COMMENT 'the highest is the truth',
    product LowCardinality(String),
    recorded_at DateTime64(3, 'UTC') COMMENT 'when Kafka got the record',
    opening_ml Nullable(Int64) COMMENT 'null where the stock of the day is not known',
    closing_ml Nullable(Int64),
    delivered_ml Nullable(Int64),
    consumed_ml Nullable(Int64) COMMENT 'gone from the tank by its gauge',
    gained_ml Nullable(Int64) COMMENT 'more than opening and deliveries explain',
    sold_ml Nullable(Int64) COMMENT 'by the meters',
    measured UInt8 COMMENT 'a level was measured on the day; else both ends are drawn through a gap',
    opening_15_ml Nullable(Int64) COMMENT 'at 15 degrees Celsius, as those that follow; not for custody transfer',
    closing_15_ml Nullable(Int64),
    delivered_15_ml Nullable(Int64),
    sold_15_ml Nullable(Int64),
    expected UInt32 COMMENT 'readings, by the interval of the gauge',
    used UInt32,
    repaired UInt32,
    redated UInt32,
    late UInt32,
    repeats UInt32,
    dropped UInt32,
    silent_s UInt32,
    score_e2 UInt32 COMMENT 'used against expected readings, hundredths of a percent'
) ENGINE = ReplacingMergeTree(version)
ORDER BY (site, tank, day)";

#[derive(Clone, Debug, Default, PartialEq, Row, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct TankEventRow {
    site: String,
    tank: String,
    kind: String,
    number: u32,
    version: u32,
    withdrawn: u8,
    product: String,
    began: i64,
    ended: Option<i64>,
    recorded_at: i64,
    volume_ml: i64,
    error_ml: Option<i64>,
    net_15_ml: Option<i64>,
    sold_ml: Option<i64>,
    ticket_ml: Option<i64>,
    ticket_difference_ml: Option<i64>,
    rate_ml_per_hour: Option<i64>,
    detail: String,
    json: String,
}

impl Recorded for TankEventRow {
    const TABLE: &'static str = "tank_events";
    const KEY: Option<Keyed<Self>> = None;
}

impl TankEventRow {
    pub(super) fn of(place: Place, event: &TankEvent) -> Self {
        let whole = Self {
            site: event.site.to_string(),
            tank: event.tank.to_string(),
            kind: event.kind.name().to_owned(),
            number: event.number,
            version: event.version,
            withdrawn: u8::from(event.withdrawn),
            product: event.product.to_string(),
            began: time(event.began_at_us),
            ended: event.ended_at_us.map(time),
            recorded_at: place.recorded_at_ms,
            volume_ml: event.kind.volume().get().cast_signed(),
            json: serde_json::to_string(event).unwrap_or_default(),
            ..Self::default()
        };
        match &event.kind {
            TankEventKind::Delivery(delivery) => Self {
                error_ml: volume(Some(delivery.error_ml)),
                net_15_ml: volume_15(delivery.net_15_ml),
                sold_ml: volume(Some(delivery.sold_ml)),
                ticket_ml: volume(delivery.ticket_ml),
                ticket_difference_ml: delivery.ticket_difference_ml.map(|difference| difference.0),
                ..whole
            },
            TankEventKind::UnexplainedLoss { error_ml, .. } => Self { error_ml: volume(Some(*error_ml)), ..whole },
            TankEventKind::SuspectedLeak { rate_ml_per_hour, .. } => {
                Self { rate_ml_per_hour: i64::try_from(*rate_ml_per_hour).ok(), ..whole }
            }
            TankEventKind::LevelAlarm { level, .. } => Self { detail: word(level), ..whole },
            TankEventKind::Silence { cause } => Self { detail: word(cause), ..whole },
            TankEventKind::UnitSlip { column, .. } => Self { detail: word(column), ..whole },
            TankEventKind::WaterIngress { .. } | TankEventKind::ClockWrong { .. } => whole,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Row, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct TankDayRow {
    site: String,
    tank: String,
    day: u16,
    version: u32,
    product: String,
    recorded_at: i64,
    opening_ml: Option<i64>,
    closing_ml: Option<i64>,
    delivered_ml: Option<i64>,
    consumed_ml: Option<i64>,
    gained_ml: Option<i64>,
    sold_ml: Option<i64>,
    measured: u8,
    opening_15_ml: Option<i64>,
    closing_15_ml: Option<i64>,
    delivered_15_ml: Option<i64>,
    sold_15_ml: Option<i64>,
    expected: u32,
    used: u32,
    repaired: u32,
    redated: u32,
    late: u32,
    repeats: u32,
    dropped: u32,
    silent_s: u32,
    score_e2: u32,
}

impl Recorded for TankDayRow {
    const TABLE: &'static str = "tank_days";
    const KEY: Option<Keyed<Self>> = None;
}

impl TankDayRow {
    /// `None` for a day that `Date` cannot say: before 1970, after 2149. Its event is in `station_events`.
    pub(super) fn of(place: Place, day: &TankDay) -> Option<Self> {
        let stock = day.stock.as_ref();
        let at_15 = stock.and_then(|stock| stock.at_15.as_ref());
        let quality = &day.quality;
        Some(Self {
            site: day.site.to_string(),
            tank: day.tank.to_string(),
            day: u16::try_from(day.day).ok()?,
            version: day.version,
            product: day.product.to_string(),
            recorded_at: place.recorded_at_ms,
            opening_ml: volume(stock.map(|stock| stock.opening_ml)),
            closing_ml: volume(stock.map(|stock| stock.closing_ml)),
            delivered_ml: volume(stock.map(|stock| stock.delivered_ml)),
            consumed_ml: volume(stock.map(|stock| stock.consumed_ml)),
            gained_ml: volume(stock.map(|stock| stock.gained_ml)),
            sold_ml: volume(stock.map(|stock| stock.sold_ml)),
            measured: u8::from(stock.is_some_and(|stock| stock.measured)),
            opening_15_ml: volume_15(at_15.map(|stock| stock.opening_ml)),
            closing_15_ml: volume_15(at_15.map(|stock| stock.closing_ml)),
            delivered_15_ml: volume_15(at_15.map(|stock| stock.delivered_ml)),
            sold_15_ml: volume_15(at_15.map(|stock| stock.sold_ml)),
            expected: quality.expected,
            used: quality.used,
            repaired: quality.repaired,
            redated: quality.redated,
            late: quality.late,
            repeats: quality.repeats,
            dropped: quality.dropped,
            silent_s: quality.silent_s,
            score_e2: quality.score_e2(),
        })
    }
}
