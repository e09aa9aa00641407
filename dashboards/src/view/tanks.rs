//! Tanks as lines of the live protocol, and what a site's own answer tells of them beyond that.

use model::{DeciMillimetres, Millilitres, SilenceCause, TankDay, TankEvent, TankSetup, TimestampUs};
use pipeline::tanks::forecast::{Forecast, Span};
use pipeline::tanks::wet_stock::{Cause, Grade, Standing};
use serde::Serialize;

use crate::projection::{ProductStock, Tank};

/// Days of wet stock that are shown; drift and month rest on those before.
const STOCK_DAYS_SHOWN_MAX: usize = pipeline::tanks::wet_stock::MONTH_DAYS;
const DAY_US: f64 = 24.0 * 3_600e6;

#[derive(Serialize)]
pub(crate) struct TankLine<'a> {
    site: &'a str,
    tank: &'a str,
    product: &'a str,
    registered: bool,
    /// This, `received_at_us` and `volume_ml` are absent while no level is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured_at_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_ml: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity_ml: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safe_ml: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height_mm: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    water_mm: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    water_ml: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature_dc: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trend_ml_h: Option<i64>,
    stale: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    delivering: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds: Option<ThresholdLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alarms: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silence: Option<SilenceLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_delivery: Option<LastDelivery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<ForecastLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asides: Option<AsideLine>,
    revision: u32,
}

/// What is registered; the rest is not told.
#[derive(Serialize)]
struct ThresholdLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    low_low_ml: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low_ml: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high_ml: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high_high_ml: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    water_mm: Option<u32>,
}

#[derive(Serialize)]
struct SilenceLine {
    since_us: i64,
    cause: SilenceCause,
}

#[derive(Serialize)]
struct LastDelivery {
    began_at_us: i64,
    gross_ml: u64,
}

/// Moments, so that they do not age; absent beyond a year.
#[derive(Serialize)]
struct ForecastLine {
    daily_ml: u64,
    low_at_us: SpanLine,
    empty_at_us: SpanLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_by_us: Option<i64>,
    order_ml: u64,
}

#[derive(Serialize)]
struct SpanLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    p10: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50: Option<i64>,
}

/// Readings that gave no level, and the last of them.
#[derive(Serialize)]
struct AsideLine {
    count: u64,
    because: &'static str,
    at_us: i64,
}

/// What a line does not carry.
#[derive(Serialize)]
pub(crate) struct TankDetail<'a> {
    tank: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    setup: Option<&'a TankSetup>,
    /// Newest first, the latest version of each; withdrawn ones say so.
    events: Vec<&'a TankEvent>,
    /// Oldest first.
    days: Vec<DayLine<'a>>,
}

#[derive(Serialize)]
struct DayLine<'a> {
    #[serde(flatten)]
    day: &'a TankDay,
    /// How far the day's figures can be believed, hundredths of a percent.
    score_e2: u32,
}

/// Books against tanks, a product at a site, all at 15 °C.
#[derive(Serialize)]
pub(crate) struct WetStockLine {
    product: String,
    sales_are_known: bool,
    cause: &'static str,
    /// Oldest first.
    days: Vec<StandingLine>,
}

#[derive(Serialize)]
struct StandingLine {
    day: i64,
    /// The sum of so many.
    tanks: u32,
    opening_ml: u64,
    delivered_ml: u64,
    sold_ml: u64,
    closing_ml: u64,
    variance_ml: i64,
    grade: &'static str,
    week_ml: i64,
    month_ml: i64,
    line_ml: u64,
    over_line: bool,
    drift_lost_ml: u64,
    drift_gained_ml: u64,
}

pub(crate) fn tank_line(tank: &Tank) -> TankLine<'_> {
    let (level, setup) = (tank.level.as_ref(), tank.setup.as_deref());
    // Without a level the values of a reading that was set aside are all there is: they are shown as they were sent.
    let sent = tank.asides.as_ref().map(|asides| &*asides.reading).filter(|_| level.is_none());
    let whole_mm = |height: DeciMillimetres| height.0 / 10;
    TankLine {
        site: tank.site.as_str(),
        tank: tank.id.as_str(),
        product: tank.product().map_or("", |product| product.as_str()),
        registered: setup.is_some(),
        measured_at_us: level.map(|level| level.measured_at_us.get()),
        received_at_us: level.map(|level| level.received_at_us.get()),
        volume_ml: level.map(|level| level.volume_ml.get()),
        capacity_ml: tank.capacity().map(Millilitres::get),
        safe_ml: setup.map(safe_ml),
        height_mm: level.and_then(|level| level.height()).or(sent.and_then(|sent| sent.height())).map(whole_mm),
        water_mm: level.and_then(|level| level.water()).or(sent.and_then(|sent| sent.water())).map(whole_mm),
        water_ml: level.and_then(|level| level.water_ml).map(Millilitres::get),
        temperature_dc: level
            .and_then(|level| level.temperature())
            .or(sent.and_then(|sent| sent.temperature()))
            .map(|temperature| temperature.0 / 10),
        trend_ml_h: tank.trend_ml_h(),
        stale: tank.stale,
        delivering: tank.is_delivering(),
        thresholds: setup.map(threshold_line),
        alarms: tank.events.alarms(tank.now()),
        silence: tank.events.silence().map(|(since, cause)| SilenceLine { since_us: since.get(), cause }),
        last_delivery: tank.events.last_delivery().map(|(event, delivery)| LastDelivery {
            began_at_us: event.began_at_us.get(),
            gross_ml: delivery.gross_ml.get(),
        }),
        forecast: tank.forecast.as_ref().map(forecast_line),
        asides: tank.asides.as_ref().map(|asides| AsideLine {
            count: asides.count,
            because: asides.because.as_str(),
            at_us: asides.received_at.get(),
        }),
        revision: tank.revision,
    }
}

fn safe_ml(setup: &TankSetup) -> u64 {
    let share = u128::from(setup.capacity_ml.get()) * u128::from(setup.safe_fill.0) / 10_000;
    u64::try_from(share).unwrap_or(u64::MAX)
}

fn threshold_line(setup: &TankSetup) -> ThresholdLine {
    let thresholds = &setup.thresholds;
    let ml = |volume: Option<Millilitres>| volume.map(Millilitres::get);
    ThresholdLine {
        low_low_ml: ml(thresholds.low_low_ml),
        low_ml: ml(thresholds.low_ml),
        high_ml: ml(thresholds.high_ml),
        high_high_ml: ml(thresholds.high_high_ml),
        water_mm: thresholds.water_dmm.map(|height| height.0 / 10),
    }
}

fn forecast_line(forecast: &Forecast) -> ForecastLine {
    let from = forecast.measured_at_us;
    #[expect(clippy::cast_possible_truncation, reason = "a forecast ends within a year")]
    let at = |days: f64| from.plus_us((days * DAY_US).round() as i64).get();
    let span = |span: Span| SpanLine { p10: span.p10.map(at), p50: span.p50.map(at) };
    ForecastLine {
        daily_ml: forecast.daily_ml.get(),
        low_at_us: span(forecast.days_to_low),
        empty_at_us: span(forecast.days_to_empty),
        order_by_us: forecast.order.by_us.map(TimestampUs::get),
        order_ml: forecast.order.quantity_ml.get(),
    }
}

pub(crate) fn tank_detail(tank: &Tank) -> TankDetail<'_> {
    TankDetail {
        tank: tank.id.as_str(),
        setup: tank.setup.as_deref(),
        events: tank.events.newest_first(),
        days: tank.days.oldest_first().map(|day| DayLine { day, score_e2: day.quality.score_e2() }).collect(),
    }
}

pub(crate) fn wet_stock_line(stock: &ProductStock) -> WetStockLine {
    let first = stock.days.len().saturating_sub(STOCK_DAYS_SHOWN_MAX);
    WetStockLine {
        product: stock.product.as_str().to_owned(),
        sales_are_known: stock.sales_are_known,
        cause: stock.days.last().map_or("none", |(standing, _)| cause_name(standing.cause)),
        days: stock.days[first..].iter().map(standing_line).collect(),
    }
}

fn standing_line((standing, tanks): &(Standing, u32)) -> StandingLine {
    StandingLine {
        day: standing.day.day,
        tanks: *tanks,
        opening_ml: standing.day.opening.get(),
        delivered_ml: standing.day.delivered.get(),
        sold_ml: standing.day.sold.get(),
        closing_ml: standing.day.closing.get(),
        variance_ml: standing.variance.0,
        grade: grade_name(standing.grade),
        week_ml: standing.week.0,
        month_ml: standing.month.0,
        line_ml: standing.line.get(),
        over_line: standing.over_line,
        drift_lost_ml: standing.drift_lost.get(),
        drift_gained_ml: standing.drift_gained.get(),
    }
}

const fn grade_name(grade: Grade) -> &'static str {
    match grade {
        Grade::Fine => "fine",
        Grade::Look => "look",
        Grade::Escalate => "escalate",
    }
}

const fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::None => "none",
        Cause::Meter => "meter",
        Cause::Deliveries => "deliveries",
        Cause::Steady => "steady",
        Cause::Once => "once",
        Cause::Unclear => "unclear",
    }
}

#[cfg(test)]
mod tests;
