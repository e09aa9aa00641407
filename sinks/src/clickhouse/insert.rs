//! Inserts one batch, again and again until ClickHouse has it.
//!
//! Guarantees: every attempt carries the same token, so that an answer that got lost does no harm. Does not: give up.

use std::time::{Duration, Instant};

use ::clickhouse::{Client, RowOwned, RowWrite};
use model::Topic;
use tokio::sync::watch;

use super::plan::Lanes;
use super::rows::Batch;
use super::status::{Phase, Status};
use super::{consumption, ledger_facts, readings, station_events};
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

impl Inserter {
    /// Inserts each table's rows under a token for what `lanes` have read. False when stopped before all were in.
    pub(super) async fn insert(&mut self, lanes: &Lanes, batch: &Batch) -> bool {
        self.insert_rows(lanes, ledger_facts::TABLE, &batch.ledger_facts).await
            && self.insert_rows(lanes, readings::TABLE, &batch.readings).await
            && self.insert_rows(lanes, station_events::TABLE, &batch.station_events).await
            && self.insert_rows(lanes, consumption::TABLE, &batch.minutes).await
    }

    async fn insert_rows<R: RowOwned + RowWrite>(&mut self, lanes: &Lanes, table: &'static str, rows: &[R]) -> bool {
        if rows.is_empty() {
            return true;
        }
        let token = lanes.token(table);
        let mut pause = Pause::default();
        loop {
            let began = Instant::now();
            let answer = tokio::select! {
                answer = tokio::time::timeout(ATTEMPT_TIMEOUT, attempt(&self.client, table, &token, rows)) => answer,
                _ = self.stop.wait_for(|stop| *stop) => return false,
            };
            let error = match answer {
                Ok(Ok(())) => {
                    self.succeeded(table, rows.len(), began.elapsed(), &pause);
                    return true;
                }
                Ok(Err(error)) => error,
                Err(_) => ::clickhouse::error::Error::TimedOut,
            };
            self.failed(table, &error, &pause).await;
            tokio::select! {
                () = tokio::time::sleep(pause.next()) => {}
                _ = self.stop.wait_for(|stop| *stop) => return false,
            }
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

async fn attempt<R: RowOwned + RowWrite>(
    client: &Client,
    table: &str,
    token: &str,
    rows: &[R],
) -> Result<(), ::clickhouse::error::Error> {
    let mut insert = client
        .insert::<R>(table)
        .await?
        .with_setting("insert_deduplicate", "1")
        .with_setting("insert_deduplication_token", token)
        // A repeat reaches the targets of views too, in case the first attempt did not; they know the token themselves.
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
