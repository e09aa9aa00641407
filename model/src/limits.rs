//! Limits and restrictions: what cards, groups, vehicles, drivers and whole contracts may buy.

use jiff::civil::{Date, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CardToken, CountryCode, DriverId, Entry, GroupId, LimitId, ProductCode, RegionId, RestrictionId, SiteId,
    TimestampUs, VehicleId,
};

/// One limit of any kind. All limits that apply to a purchase are evaluated, and the most restrictive wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    pub id: LimitId,
    pub scope: Scope,
    #[serde(default, skip_serializing_if = "ProductSelector::is_all")]
    pub product: ProductSelector,
    pub measure: Measure,
    /// In ml, minor units or purchases, after `measure`. Not negative.
    pub value: i64,
    pub window: Window,
    /// Only purchases within these hours are limited and counted; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(default, skip_serializing_if = "LimitMode::is_decline")]
    pub mode: LimitMode,
    /// Say so each time what is left falls to this or below, again after it had risen above; in the unit of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_left: Option<i64>,
    /// Before this moment the limit does not apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from_us: Option<TimestampUs>,
    /// From this moment on the limit does not apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to_us: Option<TimestampUs>,
    /// Counts and limits only what terminals approve by themselves while offline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
}

/// Whom a limit, restriction or policy concerns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Contract,
    Group(GroupId),
    Card(CardToken),
    Vehicle(VehicleId),
    Driver(DriverId),
}

/// Which lines of a purchase count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProductSelector {
    #[default]
    All,
    /// A product group: fuels, shop, wash, tyres, tolls.
    Group(ProductCode),
    Product(ProductCode),
}

impl ProductSelector {
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Litres of fuel; lines counted in pieces do not count.
    Volume,
    /// What the contract pays.
    Money,
    /// Purchases.
    Count,
}

/// The time over which usage adds up. Calendar windows follow the contract's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Each purchase by itself.
    PerTransaction,
    /// `count` days, weeks, months, quarters or years, counted from 1 January 1970 (weeks from the first week that begins
    /// after it), so that windows never move.
    Calendar { unit: CalendarUnit, count: u16 },
    /// The time that ends with the purchase; the purchase that is as old as the window no longer counts.
    Rolling { secs: u32 },
    /// Everything ever bought.
    Lifetime,
    /// Everything bought since the limit was first set; it does not renew.
    OneOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CalendarUnit {
    Day,
    /// Begins on the contract's first day of the week.
    Week,
    Month,
    Quarter,
    Year,
}

/// When something applies, in the contract's local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// Monday first; `true` where it applies.
    pub days: [bool; 7],
    /// From this time of day; with a `to` that is earlier, the hours go past midnight and belong to the day on which they begin.
    /// Both equal: the whole day.
    #[schemars(with = "String")]
    pub from: Time,
    /// Up to, not including, this time of day.
    #[schemars(with = "String")]
    pub to: Time,
    #[serde(default, skip_serializing_if = "HolidayRule::is_ignore")]
    pub holidays: HolidayRule,
}

/// What the contract's holiday calendar does to a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HolidayRule {
    /// A holiday is a day like any other.
    #[default]
    Ignore,
    /// Applies on the days of the mask that are no holidays.
    Except,
    /// Applies on the days of the mask, and on every holiday.
    Also,
}

impl HolidayRule {
    #[must_use]
    pub fn is_ignore(&self) -> bool {
        *self == Self::Ignore
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitMode {
    /// What goes beyond is declined, or cut where the terminal can.
    #[default]
    Decline,
    /// What goes beyond is approved, and the decision is marked.
    Flag,
    /// What goes beyond is only recorded.
    Shadow,
}

impl LimitMode {
    #[must_use]
    pub fn is_decline(&self) -> bool {
        *self == Self::Decline
    }
}

/// What may be bought, where, how and when. A purchase must pass every restriction of its contract, group, card, vehicle
/// and driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restriction {
    pub id: RestrictionId,
    pub scope: Scope,
    pub rule: RestrictionRule,
    pub of: RestrictionList,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestrictionRule {
    /// Only what the list names.
    Allow,
    /// Anything but what the list names.
    Deny,
}

/// What a restriction lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestrictionList {
    Products(Vec<ProductSelector>),
    Sites(Vec<SiteId>),
    Regions(Vec<RegionId>),
    Countries(Vec<CountryCode>),
    Entries(Vec<Entry>),
    Hours(Vec<Schedule>),
}

/// How a card must be used. The most specific one counts: the card's, else its group's, else the contract's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// The terminal must say that the PIN was right.
    #[serde(default)]
    pub pin_required: bool,
    /// What the terminal must ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<Prompt>,
    /// Least and greatest growth of the odometer since the last purchase, in its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odometer_growth: Option<(u32, u32)>,
    /// Terminals may approve by themselves while offline.
    #[serde(default = "yes")]
    pub offline_allowed: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    Driver,
    Vehicle,
    Odometer,
    EngineHours,
    Trip,
    Trailer,
}

/// A day on which banks and offices rest, in the contract's calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Holiday(#[schemars(with = "String")] pub Date);
