//! Inserts one batch, again and again until ClickHouse has it.
//!
//! Guarantees: every attempt carries a token, so that an answer that got lost does no harm; after anything but a plain
//! success the rows are looked for, and those that are not there are inserted again. Does not: give up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ::clickhouse::{Client, RowOwned, RowWrite};
use model::Topic;
use tokio::sync::watch;

use super::plan::{Arrival, Lanes, Next};
use super::rows::{Batch, Key, Recorded};
use super::status::{Phase, Status};
use crate::kafka;

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Waits that double.
#[derive(Debug, Default)]
pub(super) struct Pause {
    attempts: u32,
}

impl Pause {
    pub(super) fn is_first(&self) -> bool {
        self.attempts == 0
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = PAUSE_MIN.saturating_mul(1 << self.attempts.min(16)).min(PAUSE_MAX);
        self.attempts += 1;
        pause
    }
}

pub(super) struct Inserter {
    pub(super) client: Client,
    pub(super) topic: Topic,
    pub(super) status: Status,
    pub(super) stop: watch::Receiver<bool>,
}

/// The recorder was told to stop before all was in.
struct Stopped;

impl Inserter {
    /// Inserts each table's rows under a token for what `lanes` have read. False when stopped before all were in.
    pub(super) async fn insert(&mut self, lanes: &Lanes, batch: &Batch) -> bool {
        let Batch { ledger_facts, readings, station_events, minutes, tank_levels, tank_events, tank_days } = batch;
        let inserted = async {
            self.insert_rows(lanes, ledger_facts).await?;
            self.insert_rows(lanes, readings).await?;
            self.insert_rows(lanes, station_events).await?;
            self.insert_rows(lanes, minutes).await?;
            self.insert_rows(lanes, tank_levels).await?;
            self.insert_rows(lanes, tank_events).await?;
            self.insert_rows(lanes, tank_days).await
        };
        inserted.await.is_ok()
    }

    async fn insert_rows<R: Recorded + RowOwned + RowWrite>(
        &mut self,
        lanes: &Lanes,
        rows: &[R],
    ) -> Result<(), Stopped> {
        let mut missing: Vec<&R> = rows.iter().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut arrival = Arrival::new(lanes.token(R::TABLE), lanes.is_repeating());
        let mut next = Next::Insert;
        let mut pause = Pause::default();
        loop {
            let began = Instant::now();
            let answer = match (next, R::KEY) {
                (Next::Arrived, _) => return Ok(()),
                (Next::LookBack, Some(key)) => {
                    self.bounded(look_back::<R>(&self.client, key.columns, lanes)).await?.map(|present| {
                        missing.retain(|row| !present.contains(&(key.of)(row)));
                        next = arrival.missed(missing.len());
                        if next == Next::Insert {
                            lost(R::TABLE, missing.len());
                        }
                    })
                }
                (_, key) => self.bounded(attempt(&self.client, &arrival.token(), &missing)).await?.map(|()| {
                    next = if key.is_some() { arrival.acknowledged() } else { Next::Arrived };
                }),
            };
            match answer {
                Ok(()) if next == Next::Arrived => self.succeeded(R::TABLE, rows.len(), began.elapsed(), &pause),
                Ok(()) => {}
                Err(error) => {
                    if next == Next::Insert {
                        next = arrival.failed();
                    }
                    self.failed(R::TABLE, &error, &pause).await;
                    tokio::select! {
                        () = tokio::time::sleep(pause.next()) => {}
                        _ = self.stop.wait_for(|stop| *stop) => return Err(Stopped),
                    }
                }
            }
        }
    }

    /// What ClickHouse answers, within [`ATTEMPT_TIMEOUT`].
    async fn bounded<T>(
        &self,
        asked: impl Future<Output = Result<T, ::clickhouse::error::Error>>,
    ) -> Result<Result<T, ::clickhouse::error::Error>, Stopped> {
        let mut stop = self.stop.clone();
        tokio::select! {
            answer = tokio::time::timeout(ATTEMPT_TIMEOUT, asked) => {
                Ok(answer.unwrap_or(Err(::clickhouse::error::Error::TimedOut)))
            }
            _ = stop.wait_for(|stop| *stop) => Err(Stopped),
        }
    }

    fn succeeded(&self, table: &'static str, rows: usize, took: Duration, pause: &Pause) {
        if !pause.is_first() {
            tracing::info!(table, rows, "ClickHouse takes rows again");
        }
        metrics::counter!("forecourt_clickhouse_rows_total", "table" => table).increment(rows as u64);
        metrics::counter!("forecourt_clickhouse_inserts_total", "table" => table).increment(1);
        metrics::histogram!("forecourt_clickhouse_insert_seconds", "table" => table).record(took.as_secs_f64());
        self.status.change(self.topic, |topic| {
            topic.phase = Phase::Recording;
            topic.rows += rows as u64;
        });
    }

    async fn failed(&self, table: &'static str, error: &::clickhouse::error::Error, pause: &Pause) {
        if pause.is_first() {
            tracing::warn!(table, topic = kafka::label(self.topic), %error, "ClickHouse did not take rows: trying again");
        }
        metrics::counter!("forecourt_clickhouse_retries_total", "table" => table).increment(1);
        // What is remembered of the table may be what is wrong.
        self.client.clear_cached_metadata().await;
        self.status
            .change(self.topic, |topic| topic.phase = Phase::Waiting(format!("inserting into {table}: {error}")));
    }
}

fn lost(table: &'static str, rows: usize) {
    tracing::warn!(table, rows, "ClickHouse knew the token of rows that it does not have: inserting them again");
    metrics::counter!("forecourt_clickhouse_lost_rows_total", "table" => table).increment(rows as u64);
}

async fn attempt<R: Recorded + RowOwned + RowWrite>(
    client: &Client,
    token: &str,
    rows: &[&R],
) -> Result<(), ::clickhouse::error::Error> {
    let mut insert = client
        .insert::<R>(R::TABLE)
        .await?
        .with_setting("insert_deduplicate", if R::KEY.is_some() { "1" } else { "0" })
        .with_setting("insert_deduplication_token", token)
        // For views that somebody attached: a repeat reaches them too, in case the first attempt did not.
        .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
        // The answer means that the rows are stored.
        .with_setting("async_insert", "0")
        // A refused batch would be tried for ever: months are no reason to refuse one.
        .with_setting("max_partitions_per_insert_block", "0");
    for row in rows {
        insert.write(row).await?;
    }
    insert.end().await
}

/// The keys of the rows that are there of what `lanes` have read.
async fn look_back<R: Recorded>(
    client: &Client,
    columns: &str,
    lanes: &Lanes,
) -> Result<BTreeSet<Key>, ::clickhouse::error::Error> {
    let ranges: Vec<String> = lanes
        .ranges()
        .map(|(partition, from, to)| format!("partition = {partition} AND offset >= {from} AND offset < {to}"))
        .collect();
    let question = format!("SELECT {columns} FROM {} WHERE {}", R::TABLE, ranges.join(" OR "));
    Ok(client.query(&question).fetch_all::<Key>().await?.into_iter().collect())
}
