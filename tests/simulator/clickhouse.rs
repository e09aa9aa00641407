//! A ClickHouse server with one table.
//!
//! Guarantees, as the real tables are set up: a block with a known token is dropped; a server that dies may keep the token
//! of a block that it lost.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sinks::clickhouse::rows::Batch;

/// Rows as JSON: equal rows have equal texts.
pub(crate) type Rows = BTreeMap<String, u32>;

#[derive(Default)]
pub(crate) struct ClickHouse {
    table: Rows,
    tokens: BTreeSet<String>,
    /// The highest offset with rows, by partition.
    last: BTreeMap<i32, i64>,
    /// Inserts of clients that do not wait any more, with the time at which they come to an end.
    late: Vec<(i64, String, Vec<Value>)>,
    pub(crate) repeats_dropped: u64,
}

impl ClickHouse {
    pub(crate) fn insert(&mut self, token: &str, rows: &[Value]) {
        if !self.insert_token(token) {
            self.repeats_dropped += 1;
            return;
        }
        for row in rows {
            *self.table.entry(row.to_string()).or_default() += 1;
            let partition = i32::try_from(whole(&row["partition"])).expect("a partition");
            let last = self.last.entry(partition).or_insert(-1);
            *last = (*last).max(whole(&row["offset"]));
        }
    }

    /// The server dies when it has noted the token, before it has the rows. False when it knew the token.
    pub(crate) fn insert_token(&mut self, token: &str) -> bool {
        self.tokens.insert(token.to_owned())
    }

    /// The insert comes to its end at `at_us`, whoever sent it.
    pub(crate) fn insert_later(&mut self, at_us: i64, token: &str, rows: &[Value]) {
        self.late.push((at_us, token.to_owned(), rows.to_vec()));
    }

    pub(crate) fn pass_time(&mut self, now_us: i64) {
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _, _)| *at <= now_us);
        self.late = late;
        let due: Vec<_> = due;
        for (_, token, rows) in due {
            self.insert(&token, &rows);
        }
    }

    /// `SELECT partition, max(offset)`.
    pub(crate) fn last_offset(&self, partition: i32) -> Option<i64> {
        self.last.get(&partition).copied()
    }

    pub(crate) fn has(&self, row: &Value) -> bool {
        self.table.contains_key(&row.to_string())
    }

    pub(crate) fn table(&self) -> &Rows {
        &self.table
    }
}

/// The rows of a batch of the ledger.
pub(crate) fn rows_of(batch: &Batch) -> Vec<Value> {
    batch.ledger_facts.iter().map(|row| serde_json::to_value(row).expect("a row")).collect()
}

fn whole(value: &Value) -> i64 {
    value.as_i64().expect("a whole number")
}
