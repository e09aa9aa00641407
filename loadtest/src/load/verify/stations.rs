//! Does ClickHouse hold of the stations what the logs hold, and do the logs hold every reading that was acknowledged?
//!
//! In: `fuel.readings` and `fuel.station-events` from their beginning, the tables `readings`, `station_events`,
//! `tank_levels`, `consumption_minute` and `card_consumption_day`. Out: differences, as violations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use clickhouse::{Client, Row};
use model::{DeviceMessage, Fence, LogSettings, ReadingRecord, StationEvent, StationRecord, Topic};
use rdkafka::message::Message;
use serde::Deserialize;

use super::super::told::Violations;
use super::follower::Follower;
use super::{Rows, bounds};

const ASK_EVERY: Duration = Duration::from_millis(500);

/// Rows of one partition: how many, and the sum of their offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    rows: u64,
    offsets: i64,
}

impl Places {
    fn add(&mut self, offset: i64) {
        self.rows += 1;
        self.offsets += offset;
    }
}

/// One minute of one product at one site, in its last version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
struct MinuteRow {
    site: String,
    product: String,
    minute_s: i64,
    version: u32,
    sales: u32,
    declines: u32,
    sold_ml: i64,
    consumed_ml: i64,
}

/// What the logs say, as far as they were read.
pub(super) struct Stations {
    readings: Follower,
    events: Follower,
    fences: Vec<Fence>,
    reading_rows: BTreeMap<i32, Places>,
    event_rows: BTreeMap<i32, Places>,
    level_rows: BTreeMap<i32, Places>,
    minutes: BTreeMap<(String, String, i64), MinuteRow>,
    /// By site and tank: the sequence numbers that were recorded.
    heard: BTreeMap<(String, String), BTreeSet<u64>>,
}

impl Stations {
    pub(super) fn open(log: &LogSettings) -> anyhow::Result<Self> {
        Ok(Self {
            readings: Follower::open(log, Topic::Readings)?,
            events: Follower::open(log, Topic::StationEvents)?,
            fences: vec![Fence::default(); usize::try_from(log.partitions)?],
            reading_rows: BTreeMap::new(),
            event_rows: BTreeMap::new(),
            level_rows: BTreeMap::new(),
            minutes: BTreeMap::new(),
            heard: BTreeMap::new(),
        })
    }

    fn read_on(&mut self) -> anyhow::Result<()> {
        let Self { readings, events, fences, reading_rows, event_rows, level_rows, minutes, heard } = self;
        readings.read_on(|message| {
            // What cannot be read is no reading, and gets no row.
            let Ok(record) = serde_json::from_slice::<ReadingRecord>(message.payload().unwrap_or_default()) else {
                return Ok(());
            };
            if let DeviceMessage::Reading(reading) = record.message {
                reading_rows.entry(message.partition()).or_default().add(message.offset());
                let tank = (reading.site.to_string(), reading.tank.to_string());
                heard.entry(tank).or_default().extend(reading.seq);
            }
            Ok(())
        })?;
        events.read_on(|message| {
            let (partition, offset) = (message.partition(), message.offset());
            let record: StationRecord = serde_json::from_slice(message.payload().unwrap_or_default())
                .with_context(|| format!("station event {partition}-{offset} cannot be read"))?;
            let fence = &mut fences[usize::try_from(partition)?];
            match record.event {
                StationEvent::Takeover { .. } => fence.takeover(offset),
                _ if !fence.admits(record.epoch) => {}
                event => {
                    event_rows.entry(partition).or_default().add(offset);
                    match event {
                        StationEvent::Minute(minute) => note_minute(minutes, &minute),
                        StationEvent::Level(_) | StationEvent::Aside { .. } => {
                            level_rows.entry(partition).or_default().add(offset);
                        }
                        _ => {}
                    }
                }
            }
            Ok(())
        })
    }

    /// How many of the acknowledged readings are in the log, and how many are not.
    pub(super) fn acknowledged(
        &mut self,
        path: &Path,
        deadline: Instant,
        violations: &mut Violations,
    ) -> anyhow::Result<(u64, u64)> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut acknowledged: Vec<(&str, &str, u64)> = Vec::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let (site, tank, seq) = (words.next(), words.next(), words.next().and_then(|seq| seq.parse().ok()));
            let (Some(site), Some(tank), Some(seq)) = (site, tank, seq) else {
                anyhow::bail!("{}: {line:?} is not a site, a tank and a number", path.display());
            };
            acknowledged.push((site, tank, seq));
        }
        loop {
            self.read_on()?;
            let is_missing = |(site, tank, seq): &&(&str, &str, u64)| {
                let heard = self.heard.get(&((*site).to_owned(), (*tank).to_owned()));
                !heard.is_some_and(|heard| heard.contains(seq))
            };
            let missing: Vec<_> = acknowledged.iter().filter(is_missing).collect();
            if missing.is_empty() || Instant::now() > deadline {
                for (site, tank, seq) in &missing {
                    violations.add("acknowledged readings that are missing", format!("{site} tank {tank}: {seq}"));
                }
                return Ok((acknowledged.len() as u64, missing.len() as u64));
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Waits until the tables hold what the logs hold.
    pub(super) async fn same_rows(
        &mut self,
        client: &Client,
        deadline: Instant,
        violations: &mut Violations,
    ) -> anyhow::Result<Rows> {
        loop {
            self.read_on()?;
            let (rows, differences) = match self.compare(client).await {
                Ok(compared) => compared,
                Err(error) => (Rows::default(), vec![format!("clickhouse does not answer: {error}")]),
            };
            if differences.is_empty() || Instant::now() > deadline {
                differences.into_iter().for_each(|what| violations.add("clickhouse and the stations differ", what));
                return Ok(rows);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn compare(&self, client: &Client) -> Result<(Rows, Vec<String>), clickhouse::error::Error> {
        let (mut rows, mut found) = (Rows::default(), Vec::new());
        for (table, follower, expected) in [
            ("readings", &self.readings, &self.reading_rows),
            ("station_events", &self.events, &self.event_rows),
            ("tank_levels", &self.events, &self.level_rows),
        ] {
            let stored = places(client, table, follower.next()).await?;
            compare_places(table, (&stored, expected), &mut rows, &mut found);
        }
        let question = "SELECT site, product, toInt64(toUnixTimestamp(minute)) AS minute_s, version, sales, declines, \
                        sold_ml, consumed_ml FROM consumption_minute FINAL";
        let stored: Vec<MinuteRow> = client.query(question).fetch_all().await?;
        compare_minutes(&stored, &self.minutes, &mut rows, &mut found);
        found.extend(card_days(client).await?);
        Ok((rows, found))
    }
}

fn note_minute(minutes: &mut BTreeMap<(String, String, i64), MinuteRow>, minute: &model::Minute) {
    let row = MinuteRow {
        site: minute.site.to_string(),
        product: minute.product.to_string(),
        minute_s: minute.minute_us.get() / 1_000_000,
        version: minute.version,
        sales: minute.sales,
        declines: minute.declines,
        sold_ml: minute.sold_ml.get().cast_signed() - minute.refund_excess_ml.get().cast_signed(),
        consumed_ml: minute.consumed_ml.get().cast_signed(),
    };
    let key = (row.site.clone(), row.product.clone(), row.minute_s);
    match minutes.get_mut(&key) {
        Some(known) if known.version >= row.version => {}
        Some(known) => *known = row,
        None => drop(minutes.insert(key, row)),
    }
}

#[derive(Row, Deserialize)]
struct PlacesRow {
    partition: i32,
    rows: u64,
    distinct: u64,
    offsets: i64,
}

async fn places(client: &Client, table: &str, next: &[i64]) -> Result<Vec<PlacesRow>, clickhouse::error::Error> {
    let question = format!(
        "SELECT partition, count() AS rows, uniqExact(offset) AS distinct, sum(offset) AS offsets FROM {table} \
         WHERE {} GROUP BY partition",
        bounds(next)
    );
    client.query(&question).fetch_all().await
}

fn compare_places(
    table: &str,
    (stored, expected): (&[PlacesRow], &BTreeMap<i32, Places>),
    rows: &mut Rows,
    found: &mut Vec<String>,
) {
    let mut by_partition: BTreeMap<i32, Places> = BTreeMap::new();
    for row in stored {
        if row.distinct != row.rows {
            found.push(format!("{table} partition {}: {} rows for {} records", row.partition, row.rows, row.distinct));
        }
        by_partition.insert(row.partition, Places { rows: row.rows, offsets: row.offsets });
    }
    for partition in by_partition.keys().chain(expected.keys()).copied().collect::<BTreeSet<_>>() {
        let stored = by_partition.get(&partition).copied().unwrap_or_default();
        let logged = expected.get(&partition).copied().unwrap_or_default();
        rows.compare(stored.rows, logged.rows);
        if stored != logged {
            found.push(format!("{table} partition {partition}: clickhouse has {stored:?}, the log {logged:?}"));
        }
    }
}

fn compare_minutes(
    stored: &[MinuteRow],
    expected: &BTreeMap<(String, String, i64), MinuteRow>,
    rows: &mut Rows,
    found: &mut Vec<String>,
) {
    rows.compare(stored.len() as u64, expected.len() as u64);
    let stored: BTreeSet<&MinuteRow> = stored.iter().collect();
    let expected: BTreeSet<&MinuteRow> = expected.values().collect();
    for minute in stored.difference(&expected) {
        found.push(format!("consumption_minute has {minute:?}, the log does not say so"));
    }
    for minute in expected.difference(&stored) {
        found.push(format!("consumption_minute lacks {minute:?}"));
    }
}

#[derive(Debug, PartialEq, Eq, Row, Deserialize)]
struct CardDays {
    sales: i64,
    quantity: i64,
    money: i64,
}

/// What the view over `ledger_facts` summed up, against the rows that it was fed with.
async fn card_days(client: &Client) -> Result<Option<String>, clickhouse::error::Error> {
    let view = "SELECT toInt64(sum(sales)) AS sales, toInt64(sum(qty_ml)) AS quantity, \
                toInt64(sum(amount_minor)) AS money FROM card_consumption_day";
    let facts = "SELECT toInt64(sum(multiIf(kind = 'captured' AND amount_minor >= 0, toInt64(length(item_product)), \
                 kind = 'voided', -toInt64(length(item_product)), 0))) AS sales, \
                 toInt64(sum(arraySum(item_qty_ml))) AS quantity, toInt64(sum(arraySum(item_amount_minor))) AS money \
                 FROM ledger_facts WHERE kind IN ('captured', 'refunded', 'voided')";
    let view: CardDays = client.query(view).fetch_one().await?;
    let facts: CardDays = client.query(facts).fetch_one().await?;
    Ok((view != facts).then(|| format!("card_consumption_day says {view:?}, ledger_facts {facts:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(stored: &[(u64, u64, i64)], logged: (u64, i64)) -> (Rows, Vec<String>) {
        let stored: Vec<_> = stored
            .iter()
            .map(|(rows, distinct, offsets)| PlacesRow {
                partition: 0,
                rows: *rows,
                distinct: *distinct,
                offsets: *offsets,
            })
            .collect();
        let expected = BTreeMap::from([(0, Places { rows: logged.0, offsets: logged.1 })]);
        let (mut rows, mut found) = (Rows::default(), Vec::new());
        compare_places("readings", (&stored, &expected), &mut rows, &mut found);
        (rows, found)
    }

    #[test]
    fn a_reading_without_a_row_and_a_row_too_many_are_counted() {
        assert_eq!(difference(&[(3, 3, 6)], (3, 6)), (Rows { compared: 3, missing: 0, extra: 0 }, Vec::new()));
        let (rows, found) = difference(&[(2, 2, 3)], (3, 6));
        assert_eq!((rows, found.len()), (Rows { compared: 2, missing: 1, extra: 0 }, 1));
        let (rows, found) = difference(&[(4, 3, 8)], (3, 6));
        assert_eq!((rows, found.len()), (Rows { compared: 4, missing: 0, extra: 1 }, 2));
        assert_eq!(difference(&[], (1, 0)).0.missing, 1);
    }

    #[test]
    fn a_minute_in_an_old_version_is_found() {
        let minute = |version, sales| MinuteRow {
            site: "S-1".into(),
            product: "053".into(),
            minute_s: 60,
            version,
            sales,
            declines: 0,
            sold_ml: 0,
            consumed_ml: 0,
        };
        let expected = BTreeMap::from([(("S-1".to_owned(), "053".to_owned(), 60), minute(2, 5))]);
        let compare = |stored: &[MinuteRow]| {
            let (mut rows, mut found) = (Rows::default(), Vec::new());
            compare_minutes(stored, &expected, &mut rows, &mut found);
            found.len()
        };
        assert_eq!(compare(&[minute(2, 5)]), 0);
        assert_eq!(compare(&[minute(1, 4)]), 2);
        assert_eq!(compare(&[]), 1);
    }
}
