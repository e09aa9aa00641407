//! Years back: simple questions to ClickHouse.
//!
//! In: checked identifiers and times. Out: rows ready to be shown. Guarantees: values reach SQL by binding only; an answer
//! has a bounded number of rows and comes within [`WAIT_MAX`] or not at all. ClickHouse being away is an error that says so;
//! nothing else waits for it. The tables are described beside their row types in `sinks`.

use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, Row};
use model::{ContractId, IdempotencyKey, MICROS_PER_MINUTE, ProductCode, SiteId, TankId};
use serde::{Deserialize, Serialize};

use crate::Config;

/// Longest that a question may take.
const WAIT_MAX: Duration = Duration::from_secs(10);
const MICROS_PER_DAY: i64 = 24 * 60 * MICROS_PER_MINUTE;
/// Points of a tank's history.
const TANK_POINTS_MAX: i64 = 1_000;
/// Rows of any answer; a longer one is cut at its newest end.
const ROWS_MAX: u32 = 50_000;

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    #[error("{0}")]
    Range(String),
    #[error("ClickHouse cannot answer: {0}")]
    Away(clickhouse::error::Error),
    #[error("ClickHouse did not answer within {} s", WAIT_MAX.as_secs())]
    Slow,
}

/// From (included) to (not included), µs since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    from_us: i64,
    to_us: i64,
}

impl Range {
    /// `Err` unless it is in order, in the years of the database, and at most `days_max` long.
    pub(crate) fn new(from_us: i64, to_us: i64, days_max: i64) -> Result<Self, HistoryError> {
        // DateTime ends in 2106.
        const YEAR_2106_US: i64 = 4_291_747_200_000_000;
        if from_us < 0 || to_us > YEAR_2106_US || from_us >= to_us {
            return Err(HistoryError::Range(
                "from and to are microseconds since 1970, and from is before to".to_owned(),
            ));
        }
        if to_us - from_us > days_max * MICROS_PER_DAY {
            return Err(HistoryError::Range(format!("from and to are at most {days_max} days apart here")));
        }
        Ok(Self { from_us, to_us })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Minute,
    Day,
}

#[derive(Debug, Row, Serialize, Deserialize)]
pub(crate) struct ConsumptionPoint {
    t_us: i64,
    product: String,
    sales: u64,
    declines: u64,
    sold_ml: i64,
    consumed_ml: i64,
}

#[derive(Debug, Row, Serialize, Deserialize)]
pub(crate) struct LevelPoint {
    t_us: i64,
    volume_ml: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    height_mm: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    water_mm: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature_dc: Option<i32>,
}

#[derive(Debug, Row, Serialize, Deserialize)]
pub(crate) struct ConsumptionDay {
    day: String,
    product: String,
    currency: String,
    /// Receipts with this product; a void takes its receipt off again.
    sales: i64,
    qty_ml: i64,
    amount_minor: i64,
}

#[derive(Debug, Row, Serialize, Deserialize)]
pub(crate) struct DecidedDay {
    day: String,
    approved: u64,
    partial: u64,
    declined: u64,
    reprompted: u64,
}

/// A contract's days: what was posted, by product and currency, and what was decided.
#[derive(Debug, Serialize)]
pub(crate) struct ContractDays {
    days: Vec<ConsumptionDay>,
    decided: Vec<DecidedDay>,
}

/// What `ledger_facts` keeps of a decision.
#[derive(Debug, Row, Serialize, Deserialize)]
pub(crate) struct DecidedRow {
    partition: i32,
    offset: i64,
    at_us: i64,
    received_at_us: i64,
    idem: String,
    contract: String,
    card: String,
    site: String,
    terminal: String,
    kind: String,
    verdict: String,
    code: String,
    product: String,
    qty_ml: i64,
    amount_minor: i64,
    currency: String,
    auth_code: String,
    pieces: i64,
    discount_minor: i64,
    vehicle: String,
    driver: String,
    /// The limit that cut or declined, and what was left of it.
    limit_id: String,
    limit_left: i64,
    limit_window: String,
}

const MINUTES: &str = "
SELECT toInt64(toUnixTimestamp(m.minute)) * 1000000 AS t_us, toString(m.product) AS product,
    toUInt64(sum(m.sales)) AS sales, toUInt64(sum(m.declines)) AS declines,
    sum(m.sold_ml) AS sold_ml, sum(m.consumed_ml) AS consumed_ml
FROM consumption_minute AS m FINAL
WHERE m.minute >= toDateTime(?, 'UTC') AND m.minute < toDateTime(?, 'UTC')
    AND (? = '' OR m.site = ?) AND (? = '' OR m.product = ?)
GROUP BY m.minute, m.product ORDER BY t_us, product LIMIT ?";

const DAYS: &str = "
SELECT toInt64(toUnixTimestamp(toDateTime(d.day, 'UTC'))) * 1000000 AS t_us, toString(d.product) AS product,
    toUInt64(sum(d.sales)) AS sales, toUInt64(sum(d.declines)) AS declines,
    sum(d.sold_ml) AS sold_ml, sum(d.consumed_ml) AS consumed_ml
FROM consumption_day AS d
WHERE d.day >= toDate(toDateTime(?, 'UTC')) AND d.day <= toDate(toDateTime(?, 'UTC'))
    AND (? = '' OR d.site = ?) AND (? = '' OR d.product = ?)
GROUP BY d.day, d.product ORDER BY t_us, product LIMIT ?";

/// The last level of each step.
const LEVELS: &str = "
SELECT intDiv(toUnixTimestamp64Micro(r.measured_at), ?) AS step,
    max(toUnixTimestamp64Micro(r.measured_at)) AS t_us, assumeNotNull(argMax(r.volume_ml, r.measured_at)) AS volume_ml,
    argMax(intDiv(r.height_dmm, 10), r.measured_at) AS height_mm,
    argMax(intDiv(r.water_dmm, 10), r.measured_at) AS water_mm,
    argMax(intDiv(r.temperature_cc, 10), r.measured_at) AS temperature_dc
FROM tank_levels AS r
WHERE r.site = ? AND r.tank = ? AND r.refused = '' AND r.volume_ml IS NOT NULL
    AND r.measured_at >= fromUnixTimestamp64Micro(toInt64(?), 'UTC')
    AND r.measured_at < fromUnixTimestamp64Micro(toInt64(?), 'UTC')
GROUP BY step ORDER BY t_us LIMIT ?";

const CONTRACT_DAYS: &str = "
SELECT toString(c.day) AS day, toString(c.product) AS product, toString(c.currency) AS currency,
    toInt64(sum(c.sales)) AS sales, sum(c.qty_ml) AS qty_ml, sum(c.amount_minor) AS amount_minor
FROM card_consumption_day AS c
WHERE c.contract = ? AND c.day >= toDate(toDateTime(?, 'UTC')) AND c.day <= toDate(toDateTime(?, 'UTC'))
GROUP BY c.day, c.product, c.currency ORDER BY day, product, currency LIMIT ?";

const CONTRACT_DECIDED: &str = "
SELECT toString(toDate(f.at)) AS day, countIf(f.verdict = 'approve') AS approved,
    countIf(f.verdict = 'partial') AS partial, countIf(f.verdict = 'decline') AS declined,
    countIf(f.verdict = 'reprompt') AS reprompted
FROM ledger_facts AS f
WHERE f.contract = ? AND f.kind = 'decided' AND f.replayed = 0
    AND toDate(f.at) >= toDate(toDateTime(?, 'UTC')) AND toDate(f.at) <= toDate(toDateTime(?, 'UTC'))
GROUP BY day ORDER BY day LIMIT ?";

const DECIDED: &str = "
SELECT f.partition AS partition, f.offset AS offset, toUnixTimestamp64Micro(f.at) AS at_us,
    toUnixTimestamp64Micro(f.received_at) AS received_at_us, f.idem AS idem, f.contract AS contract, f.card AS card,
    toString(f.site) AS site, f.terminal AS terminal, toString(f.transaction_kind) AS kind,
    toString(f.verdict) AS verdict, toString(f.code) AS code, toString(f.product) AS product, f.qty_ml AS qty_ml,
    f.amount_minor AS amount_minor, toString(f.currency) AS currency, f.auth_code AS auth_code,
    f.pieces AS pieces, f.discount_minor AS discount_minor, f.vehicle AS vehicle, f.driver AS driver,
    f.limit_id AS limit_id, f.limit_left AS limit_left, f.period AS limit_window
FROM ledger_facts AS f
WHERE f.idem = ? AND f.kind = 'decided' ORDER BY f.replayed, f.recorded_at LIMIT 1";

mod sales;

pub(crate) struct History {
    client: Client,
}

impl History {
    /// Connects with the first question.
    pub(crate) fn new(config: &Config) -> Self {
        let mut client = Client::default()
            .with_url(&config.clickhouse_url)
            .with_database(&config.clickhouse_database)
            .with_setting("max_execution_time", WAIT_MAX.as_secs().to_string());
        if let Some(user) = &config.clickhouse_user {
            client = client.with_user(user);
        }
        if let Some(password) = &config.clickhouse_password {
            client = client.with_password(password);
        }
        Self { client }
    }

    /// Sales and consumption by product, of one site or all.
    pub(crate) async fn consumption(
        &self,
        site: Option<&SiteId>,
        product: Option<&ProductCode>,
        range: Range,
        step: Step,
    ) -> Result<Vec<ConsumptionPoint>, HistoryError> {
        let (site, product) = (site.map_or("", SiteId::as_str), product.map_or("", ProductCode::as_str));
        let (sql, to_s) = match step {
            Step::Minute => (MINUTES, range.to_us.div_euclid(1_000_000) + i64::from(range.to_us % 1_000_000 > 0)),
            Step::Day => (DAYS, last_second(range)),
        };
        let query = self.client.query(sql).bind(range.from_us / 1_000_000).bind(to_s);
        rows(query.bind(site).bind(site).bind(product).bind(product).bind(ROWS_MAX)).await
    }

    /// The level of a tank, thinned to at most some thousand points.
    pub(crate) async fn tank(
        &self,
        site: &SiteId,
        tank: &TankId,
        range: Range,
    ) -> Result<Vec<LevelPoint>, HistoryError> {
        #[derive(Row, Deserialize)]
        struct Levels {
            #[expect(dead_code, reason = "groups the readings; rows are matched by name")]
            step: i64,
            t_us: i64,
            volume_ml: i64,
            height_mm: Option<u32>,
            water_mm: Option<u32>,
            temperature_dc: Option<i32>,
        }
        let step_us = ((range.to_us - range.from_us) / TANK_POINTS_MAX).max(1);
        let query = self.client.query(LEVELS).bind(step_us).bind(site.as_str()).bind(tank.as_str());
        let levels: Vec<Levels> = rows(query.bind(range.from_us).bind(range.to_us).bind(ROWS_MAX)).await?;
        let point = |Levels { t_us, volume_ml, height_mm, water_mm, temperature_dc, .. }| LevelPoint {
            t_us,
            volume_ml,
            height_mm,
            water_mm,
            temperature_dc,
        };
        Ok(levels.into_iter().map(point).collect())
    }

    /// A contract's consumption and decisions by UTC day.
    pub(crate) async fn contract(&self, contract: &ContractId, range: Range) -> Result<ContractDays, HistoryError> {
        let ask = |sql| {
            let query = self.client.query(sql).bind(contract.as_str());
            query.bind(range.from_us / 1_000_000).bind(last_second(range)).bind(ROWS_MAX)
        };
        Ok(ContractDays { days: rows(ask(CONTRACT_DAYS)).await?, decided: rows(ask(CONTRACT_DECIDED)).await? })
    }

    /// The recorded decision of a request.
    pub(crate) async fn decision(&self, idem: &IdempotencyKey) -> Result<Option<DecidedRow>, HistoryError> {
        Ok(rows(self.client.query(DECIDED).bind(idem.as_str())).await?.pop())
    }
}

/// The last second inside the range: its day is the last day.
fn last_second(range: Range) -> i64 {
    (range.to_us - 1) / 1_000_000
}

async fn rows<R>(query: Query) -> Result<Vec<R>, HistoryError>
where
    R: clickhouse::RowOwned + clickhouse::RowRead,
{
    match tokio::time::timeout(WAIT_MAX, query.fetch_all()).await {
        Ok(rows) => rows.map_err(HistoryError::Away),
        Err(_) => Err(HistoryError::Slow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_in_order_and_not_too_long() {
        assert!(Range::new(0, MICROS_PER_DAY, 1).is_ok());
        for (from, to) in [(5, 5), (6, 5), (-1, 5), (0, i64::MAX), (0, MICROS_PER_DAY + 1)] {
            assert!(matches!(Range::new(from, to, 1), Err(HistoryError::Range(_))), "{from} {to}");
        }
    }

    #[test]
    fn every_value_is_bound() {
        let range = Range::new(0, 2 * MICROS_PER_DAY, 2).expect("in order");
        let quoting = "x' OR '1'='1";
        let query = Client::default().query(CONTRACT_DAYS).bind(quoting).bind(range.from_us).bind(1_i64).bind(ROWS_MAX);
        assert!(query.sql_display().to_string().contains(r"'x\' OR \'1\'=\'1'"), "{}", query.sql_display());
        assert_eq!([MINUTES, DAYS].map(|sql| sql.matches('?').count()), [7, 7]);
        assert_eq!(
            [LEVELS, CONTRACT_DAYS, CONTRACT_DECIDED, DECIDED].map(|sql| sql.matches('?').count()),
            [6, 4, 4, 1]
        );
    }

    #[test]
    fn the_last_day_is_that_of_the_last_moment() {
        let day = |to_us| last_second(Range::new(0, to_us, 9).expect("in order")) / 86_400;
        assert_eq!((day(MICROS_PER_DAY), day(MICROS_PER_DAY + 1_000_000)), (0, 1));
    }
}
