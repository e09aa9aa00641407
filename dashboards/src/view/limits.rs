//! Limits as lines of the live protocol.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use model::{CardToken, LimitMode, Measure, ProductSelector, Schedule, Scope, WeekStart, Window};
use serde::Serialize;

use crate::projection::{LimitState, SharedLimit, ends_at};

/// Whose midnight ends a window.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) zone: &'a TimeZone,
    pub(super) week_start: WeekStart,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ScopeLine<'a> {
    Contract,
    Group(&'a str),
    Card(&'a str),
    Vehicle(&'a str),
    Driver(&'a str),
}

/// `left = limit_value − used − held`. Without `used` no purchase was seen since the limit was set.
#[derive(Serialize)]
pub(crate) struct LimitLine<'a> {
    limit: Cow<'a, str>,
    scope: ScopeLine<'a>,
    #[serde(skip_serializing_if = "is_all")]
    product: &'a ProductSelector,
    measure: Measure,
    #[serde(skip_serializing_if = "LimitMode::is_decline")]
    mode: LimitMode,
    span: Window,
    /// In words; absent where `used` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<&'a str>,
    /// From then on nothing is used and held.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at_us: Option<i64>,
    limit_value: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<i64>,
    left: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_left: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<&'a Schedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to_us: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    offline: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference to the field")]
fn is_all(product: &&ProductSelector) -> bool {
    product.is_all()
}

fn scope_line(scope: &Scope) -> ScopeLine<'_> {
    match scope {
        Scope::Contract => ScopeLine::Contract,
        Scope::Group(id) => ScopeLine::Group(id.as_str()),
        Scope::Card(token) => ScopeLine::Card(token.as_str()),
        Scope::Vehicle(id) => ScopeLine::Vehicle(id.as_str()),
        Scope::Driver(id) => ScopeLine::Driver(id.as_str()),
    }
}

/// A limit in a card's record or in a decision on it. What a decision shows is over: it has no `place`.
pub(super) fn of_card<'a>(limit: &'a LimitState, card: &'a CardToken, place: Option<Place<'_>>) -> LimitLine<'a> {
    let name = &*limit.name;
    LimitLine {
        limit: Cow::Owned(limit.id(card)),
        scope: name.scope.as_ref().map_or(ScopeLine::Card(card.as_str()), scope_line),
        product: &name.product,
        measure: name.measure,
        mode: name.mode,
        span: name.span,
        window: Some(&name.window),
        ends_at_us: place.and_then(|place| ends_at(name.span, name.period, place.week_start, place.zone)),
        limit_value: limit.limit_value,
        used: Some(limit.used),
        held: Some(limit.held),
        left: limit.left(),
        alert_left: None,
        schedule: None,
        valid_from_us: None,
        valid_to_us: None,
        offline: false,
    }
}

/// A limit of a contract, group, vehicle or driver.
pub(super) fn of_contract<'a>(shared: &'a SharedLimit, place: Place<'_>) -> LimitLine<'a> {
    let SharedLimit { limit, figures } = shared;
    let figures = figures.as_ref();
    let taken = figures.map_or(0, |figures| figures.used.saturating_add(figures.held));
    LimitLine {
        limit: Cow::Borrowed(limit.id.as_str()),
        scope: scope_line(&limit.scope),
        product: &limit.product,
        measure: limit.measure,
        mode: limit.mode,
        span: limit.window,
        window: figures.map(|figures| figures.window.as_str()),
        ends_at_us: figures.and_then(|figures| ends_at(limit.window, figures.period, place.week_start, place.zone)),
        limit_value: limit.value,
        used: figures.map(|figures| figures.used),
        held: figures.map(|figures| figures.held),
        left: limit.value.saturating_sub(taken),
        alert_left: limit.alert_left,
        schedule: limit.schedule.as_ref(),
        valid_from_us: limit.valid_from_us.map(|at| at.get()),
        valid_to_us: limit.valid_to_us.map(|at| at.get()),
        offline: limit.offline,
    }
}
