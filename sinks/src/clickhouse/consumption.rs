//! Consumption: by minute from the stations' closed windows, by day as a view of it, by card and day from the ledger.

use ::clickhouse::Row;
use model::Minute;
use serde::Serialize;

use super::columns::seconds;
use super::rows::{Keyed, Recorded};

pub(super) const TABLE: &str = "consumption_minute";

/// Corrections have higher versions; read with `FINAL`.
pub(super) const CREATE_MINUTE: &str = "
CREATE TABLE IF NOT EXISTS consumption_minute (
    site LowCardinality(String),
    product LowCardinality(String),
    minute DateTime('UTC'),
    version UInt32,
    sales UInt32,
    declines UInt32,
    sold_ml Int64 COMMENT 'by card, refunds taken off',
    sold_minor Map(LowCardinality(String), Int64) COMMENT 'money of those sales by currency',
    consumed_ml Int64 COMMENT 'gone from the tanks by their gauges'
) ENGINE = ReplacingMergeTree(version)
ORDER BY (site, product, minute)
SETTINGS non_replicated_deduplication_window = 10000";

pub(super) const CREATE_DAY: &str = "
CREATE VIEW IF NOT EXISTS consumption_day AS
SELECT
    site,
    product,
    toDate(minute) AS day,
    sum(sales) AS sales,
    sum(declines) AS declines,
    sum(sold_ml) AS sold_ml,
    sum(consumed_ml) AS consumed_ml
FROM consumption_minute FINAL
GROUP BY site, product, day";

/// Needs its own memory of tokens: a repeated insert into `ledger_facts` reaches it again.
pub(super) const CREATE_CARD_DAY: &str = "
CREATE TABLE IF NOT EXISTS card_consumption_day (
    contract String,
    card String,
    product LowCardinality(String),
    currency LowCardinality(String),
    day Date COMMENT 'UTC',
    sales UInt64,
    qty_ml Int64,
    amount_minor Int64
) ENGINE = SummingMergeTree((sales, qty_ml, amount_minor))
ORDER BY (contract, card, day, product, currency)
SETTINGS non_replicated_deduplication_window = 10000";

/// The rows of `ledger_facts` are signed, so that a refund takes off. Summing is the target's work.
pub(super) const FEED_CARD_DAY: &str = "
CREATE MATERIALIZED VIEW IF NOT EXISTS card_consumption_day_feed TO card_consumption_day AS
SELECT
    contract,
    card,
    product,
    currency,
    toDate(at) AS day,
    toUInt64(kind = 'captured' AND amount_minor >= 0) AS sales,
    qty_ml,
    amount_minor
FROM ledger_facts
WHERE kind IN ('captured', 'refunded')";

/// A void takes its sale off the count again, so counts may fall.
pub(super) const SIGN_CARD_DAY: &str = "ALTER TABLE card_consumption_day MODIFY COLUMN IF EXISTS sales Int64";

/// By the lines of a purchase, each under its own product. The view stays the same one, so that a repeat of what it has
/// taken already is known by its token. A refund gives money and goods back, but leaves the purchase counted. Rows from before
/// the lines were recorded have the first product only.
pub(super) const FEED_CARD_DAY_BY_LINES: &str = "
ALTER TABLE card_consumption_day_feed MODIFY QUERY
SELECT
    f.contract AS contract,
    f.card AS card,
    line.1 AS product,
    f.currency AS currency,
    toDate(f.at) AS day,
    toInt64(multiIf(f.kind = 'captured' AND f.amount_minor >= 0, 1, f.kind = 'voided', -1, 0)) AS sales,
    line.2 AS qty_ml,
    line.3 AS amount_minor
FROM ledger_facts AS f
ARRAY JOIN arrayZip(f.item_product, f.item_qty_ml, f.item_amount_minor) AS line
WHERE f.kind IN ('captured', 'refunded', 'voided')";

/// What the view fed: a table that a server may leave with too little or too much when it dies, because it sums rows and does
/// not know where they came from.
pub(super) const DROP_CARD_DAY_FEED: &str = "DROP VIEW IF EXISTS card_consumption_day_feed";
pub(super) const DROP_CARD_DAY: &str = "DROP TABLE IF EXISTS card_consumption_day";

/// The same from the facts themselves, by lines. Read through the projection `by_card` of `ledger_facts`, which is part of
/// each part of the table, and so is there exactly when the facts are.
pub(super) const CREATE_CARD_DAY_VIEW: &str = "
CREATE VIEW IF NOT EXISTS card_consumption_day AS
SELECT
    f.contract AS contract,
    f.card AS card,
    line.1 AS product,
    f.currency AS currency,
    toDate(f.at) AS day,
    sum(toInt64(multiIf(f.kind = 'captured' AND f.amount_minor >= 0, 1, f.kind = 'voided', -1, 0))) AS sales,
    sum(line.2) AS qty_ml,
    sum(line.3) AS amount_minor
FROM ledger_facts AS f
ARRAY JOIN arrayZip(f.item_product, f.item_qty_ml, f.item_amount_minor) AS line
WHERE f.kind IN ('captured', 'refunded', 'voided')
GROUP BY contract, card, product, currency, day";

#[derive(Clone, Debug, PartialEq, Row, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct ConsumptionMinuteRow {
    site: String,
    product: String,
    minute: u32,
    version: u32,
    sales: u32,
    declines: u32,
    sold_ml: i64,
    sold_minor: Vec<(String, i64)>,
    consumed_ml: i64,
}

impl Recorded for ConsumptionMinuteRow {
    const TABLE: &'static str = TABLE;
    const KEY: Option<Keyed<Self>> = None;
}

impl ConsumptionMinuteRow {
    pub(super) fn of(minute: &Minute) -> Self {
        Self {
            site: minute.site.to_string(),
            product: minute.product.to_string(),
            minute: seconds(minute.minute_us),
            version: minute.version,
            sales: minute.sales,
            declines: minute.declines,
            sold_ml: minute.sold_ml.get().cast_signed() - minute.refund_excess_ml.get().cast_signed(),
            sold_minor: minute.sold_minor.iter().map(|(currency, sum)| (currency.to_string(), sum.get())).collect(),
            consumed_ml: minute.consumed_ml.get().cast_signed(),
        }
    }
}
