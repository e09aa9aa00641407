//! The forecast of a contract as REST tells it.

use jiff::civil::DateTime;
use model::TimestampUs;
use serde::Serialize;

use crate::forecast::{Outlook, outlook};
use crate::projection::{Contract, Projection};

/// When a contract's money runs out. Times are also given as its own wall clock shows them.
#[derive(Debug, Serialize)]
pub(crate) struct ForecastLine<'a> {
    outlook: &'static str,
    /// The moment that it was made for.
    now_us: i64,
    time_zone: &'a str,
    available: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_day_minor: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_at_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_at_local: Option<DateTime>,
    /// The last moment for a bank order; absent where it is too late for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_by_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_by_local: Option<DateTime>,
}

impl Projection {
    pub(crate) fn forecast_line<'a>(&self, contract: &'a Contract) -> ForecastLine<'a> {
        let now = self.decisions().clock().unwrap_or_default().max(contract.last_at);
        let local = contract.local(now);
        let available = contract.balance.as_ref().map_or(0, |balance| balance.available.get());
        let spending = contract.spending.as_deref();
        let (blocks_at, pay_by, outlook) =
            match spending.map(|spent| outlook(spent, available, local, &contract.holidays)) {
                None if available <= 0 => (None, None, "empty"),
                None | Some(Outlook::NoHistory) => (None, None, "no_history"),
                Some(Outlook::Empty) => (None, None, "empty"),
                Some(Outlook::Lasts) => (None, None, "lasts"),
                Some(Outlook::RunsOut { blocks_at, pay_by }) => (Some(blocks_at), pay_by, "runs_out"),
            };
        let moment = |local: Option<DateTime>| {
            let zoned = local.and_then(|local| local.to_zoned(contract.zone.clone()).ok());
            zoned.map(|zoned| TimestampUs::from_micros(zoned.timestamp().as_microsecond()).get())
        };
        ForecastLine {
            outlook,
            now_us: now.get(),
            time_zone: contract.zone.iana_name().unwrap_or("UTC"),
            available,
            per_day_minor: spending.and_then(|spending| spending.per_day(local)),
            blocks_at_us: moment(blocks_at),
            blocks_at_local: blocks_at,
            pay_by_us: moment(pay_by),
            pay_by_local: pay_by,
        }
    }
}
