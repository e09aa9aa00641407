//! A ClickHouse server with one table and the materialized view behind it.
//!
//! Guarantees, as the real tables are set up: a block with a known token is dropped; a repeated block goes on to the view's
//! target all the same, which knows tokens of its own; a restart in between loses what the view had not got yet.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sinks::clickhouse::rows::Batch;

/// Rows as JSON: equal rows have equal texts.
pub(crate) type Rows = BTreeMap<String, u32>;
/// Sales, quantity and amount by contract, card, product, currency and day.
pub(crate) type Sums = BTreeMap<String, [i64; 3]>;

const DAY_MS: i64 = 86_400_000;

#[derive(Default)]
pub(crate) struct ClickHouse {
    table: Rows,
    table_tokens: BTreeSet<String>,
    view: Sums,
    view_tokens: BTreeSet<String>,
    /// The highest offset with rows, by partition.
    last: BTreeMap<i32, i64>,
    /// Inserts of clients that do not wait any more, with the time at which they come to an end.
    late: Vec<(i64, String, Vec<Value>)>,
    pub(crate) repeats_dropped: u64,
}

impl ClickHouse {
    pub(crate) fn insert(&mut self, token: &str, rows: &[Value]) {
        self.insert_half(token, rows);
        if self.view_tokens.insert(token.to_owned()) {
            add(&mut self.view, rows);
        }
    }

    /// The server restarts before the view has the block.
    pub(crate) fn insert_half(&mut self, token: &str, rows: &[Value]) {
        if !self.table_tokens.insert(token.to_owned()) {
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

    pub(crate) fn table(&self) -> &Rows {
        &self.table
    }

    pub(crate) fn view(&self) -> &Sums {
        &self.view
    }
}

/// The rows of a batch of the ledger.
pub(crate) fn rows_of(batch: &Batch) -> Vec<Value> {
    batch.ledger_facts.iter().map(|row| serde_json::to_value(row).expect("a row")).collect()
}

/// What the view adds up: `card_consumption_day_feed` in `sinks`.
pub(crate) fn add(sums: &mut Sums, rows: &[Value]) {
    for row in rows {
        let sales = match (text(&row["kind"]), whole(&row["amount_minor"]) >= 0) {
            ("captured", true) => 1,
            ("captured" | "refunded", _) => 0,
            ("voided", _) => -1,
            _ => continue,
        };
        let lines = [&row["item_product"], &row["item_qty_ml"], &row["item_amount_minor"]].map(list);
        let [products, volumes, amounts] = lines;
        for (product, (volume, amount)) in products.iter().zip(volumes.iter().zip(amounts)) {
            let day = whole(&row["at"]).div_euclid(DAY_MS);
            let [contract, card, currency] = ["contract", "card", "currency"].map(|name| text(&row[name]));
            let key = format!("{contract} {card} {} {currency} {day}", text(product));
            let sum = sums.entry(key).or_default();
            sum[0] += sales;
            sum[1] += whole(volume);
            sum[2] += whole(amount);
        }
    }
}

fn whole(value: &Value) -> i64 {
    value.as_i64().expect("a whole number")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}
