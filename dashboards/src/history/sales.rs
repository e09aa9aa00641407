//! The sales of a tank, each beside what the tank lost meanwhile.

use clickhouse::Row;
use model::{Millilitres, SiteId, TankId, TimestampUs};
use pipeline::tanks::per_sale::{Metered, check};
use serde::{Deserialize, Serialize};

use super::{History, HistoryError, Range, rows};

/// Readings so far outside the range may stand beside a sale in it.
const BESIDE_US: i64 = 30 * 60 * 1_000_000;
const SALES_MAX: i64 = 20_000;
/// A month of readings each minute, with those that came late.
const LEVELS_MAX: i64 = 60_000;

const SALES: &str = "
SELECT toUnixTimestamp64Micro(s.at) AS t_us, JSONExtractString(s.json, 'drawn', 'sale', 'id') AS id,
    toInt32(JSONExtractInt(s.json, 'drawn', 'sale', 'pump')) AS pump, s.volume_ml AS volume_ml
FROM station_events AS s
WHERE s.site = ? AND s.kind = 'drawn' AND s.tank = ?
    AND s.at >= fromUnixTimestamp64Micro(toInt64(?), 'UTC') AND s.at < fromUnixTimestamp64Micro(toInt64(?), 'UTC')
ORDER BY t_us, id LIMIT ?";

const LEVELS: &str = "
SELECT toUnixTimestamp64Micro(l.measured_at) AS t_us, assumeNotNull(any(l.volume_ml)) AS volume_ml
FROM tank_levels AS l
WHERE l.site = ? AND l.tank = ? AND l.refused = '' AND l.volume_ml IS NOT NULL
    AND l.measured_at >= fromUnixTimestamp64Micro(toInt64(?), 'UTC')
    AND l.measured_at < fromUnixTimestamp64Micro(toInt64(?), 'UTC')
GROUP BY l.measured_at ORDER BY t_us LIMIT ?";

/// Sales of a tank, oldest first.
#[derive(Debug, Serialize)]
pub(crate) struct TankSales {
    sales: Vec<TankSaleLine>,
    /// Those that stand between readings that are near enough.
    judged: usize,
    differ: usize,
    /// Of all that are judged: positive when more left the tank than the meters counted.
    difference_ml: i64,
}

/// A sale as its meter counted it; the rest is absent where no readings stand beside it.
#[derive(Debug, Serialize)]
pub(crate) struct TankSaleLine {
    t_us: i64,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pump: Option<i32>,
    counted_ml: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tank: Option<TankSide>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TankSide {
    drop_ml: i64,
    /// The true drop lies within this of it, 19 times of 20.
    error_ml: u64,
    difference_ml: i64,
    differs: bool,
}

#[derive(Debug, Row, Deserialize)]
struct SaleRow {
    t_us: i64,
    id: String,
    pump: i32,
    volume_ml: i64,
}

#[derive(Debug, Row, Deserialize)]
struct LevelRow {
    t_us: i64,
    volume_ml: i64,
}

impl History {
    /// The sales of a tank against its readings.
    pub(crate) async fn sales(&self, site: &SiteId, tank: &TankId, range: Range) -> Result<TankSales, HistoryError> {
        let ask = |sql, from_us: i64, to_us: i64, most: i64| {
            let query = self.client.query(sql).bind(site.as_str()).bind(tank.as_str());
            query.bind(from_us).bind(to_us).bind(most)
        };
        let sales: Vec<SaleRow> = rows(ask(SALES, range.from_us, range.to_us, SALES_MAX)).await?;
        let beside = (range.from_us - BESIDE_US, range.to_us + BESIDE_US);
        let levels: Vec<LevelRow> = rows(ask(LEVELS, beside.0, beside.1, LEVELS_MAX)).await?;
        Ok(compared(sales, &levels))
    }
}

fn compared(sales: Vec<SaleRow>, levels: &[LevelRow]) -> TankSales {
    let volume = |ml: i64| Millilitres::new(u64::try_from(ml).unwrap_or(0)).unwrap_or_default();
    let at = TimestampUs::from_micros;
    let levels: Vec<_> = levels.iter().map(|level| (at(level.t_us), volume(level.volume_ml))).collect();
    let metered: Vec<_> =
        sales.iter().map(|sale| Metered { at: at(sale.t_us), volume: volume(sale.volume_ml) }).collect();
    let checked = check(&levels, &metered);
    let judged: Vec<_> = checked.iter().flatten().copied().collect();
    let line = |(sale, checked): (SaleRow, Option<pipeline::tanks::per_sale::Checked>)| TankSaleLine {
        t_us: sale.t_us,
        id: sale.id,
        pump: (sale.pump > 0).then_some(sale.pump),
        counted_ml: sale.volume_ml,
        tank: checked.map(|checked| TankSide {
            drop_ml: checked.drop.0,
            error_ml: checked.error.get(),
            difference_ml: checked.difference.0,
            differs: checked.differs,
        }),
    };
    TankSales {
        judged: judged.len(),
        differ: judged.iter().filter(|checked| checked.differs).count(),
        difference_ml: judged.iter().map(|checked| checked.difference.0).sum(),
        sales: sales.into_iter().zip(checked).map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_bound() {
        assert_eq!([SALES, LEVELS].map(|sql| sql.matches('?').count()), [5, 5]);
    }

    #[test]
    fn sales_stand_beside_what_their_tank_lost() {
        const MINUTE_US: i64 = 60_000_000;
        let levels: Vec<_> = (0..200)
            .map(|minute| {
                let sold: i64 =
                    (0..20).filter(|sale| sale * 10 + 5 < minute).map(|sale| if sale == 4 { 50 } else { 40 }).sum();
                LevelRow { t_us: minute * MINUTE_US, volume_ml: (9_000 - sold) * 1000 }
            })
            .collect();
        let sale = |number: i64| SaleRow {
            t_us: (number * 10 + 5) * MINUTE_US,
            id: format!("receipt-{number}"),
            pump: 0,
            volume_ml: 40_000,
        };
        let found = compared((0..19).map(sale).collect(), &levels);
        assert_eq!((found.judged, found.differ, found.difference_ml), (19, 1, 10_000));
        let odd = serde_json::to_value(&found.sales[4]).expect("JSON");
        assert_eq!(
            odd,
            serde_json::json!({ "t_us": 2_700_000_000_i64, "id": "receipt-4", "counted_ml": 40_000,
                "tank": { "drop_ml": 50_000, "error_ml": 2_000, "difference_ml": 10_000, "differs": true } })
        );
    }
}
