//! The vocabulary of Forecourt: identifiers, units, and every message that crosses a topic.
//!
//! In: nothing. Out: types that every other crate speaks, with their JSON form (serde) and JSON Schema (schemars).
//! Guarantees: no I/O, no clock, no async; amounts are integers; a value that exists is within its type's range.
//! Does not: decide anything. The rules live in `pipeline`.
//!
//! Wire conventions: enums with content are externally tagged (`{"top_up": {…}}`), field names carry their unit
//! (`_ml`, `_minor`, `_us`, `_e4`, `_mm`, `_dmm`, `_dc`, `_cc`), absent optional fields are left out or `null`, unknown fields are ignored.

pub mod books;
mod card_table;
mod command;
mod decision;
mod ids;
mod ledger;
mod limits;
mod money;
mod parties;
mod reading;
mod rejection;
mod request;
mod station;
mod tank;
mod time;
mod topics;
mod transaction;
mod units;

pub use card_table::CardEntry;
pub use command::{Command, CommandMessage, FraudRule, RuleMode, WeekStart};
pub use decision::{
    Allowed, Balance, Code, Decision, Difference, Headroom, Hold, Languages, Malformed, Note, OriginalState,
    RiskFinding, RiskMeasure, Texts, Verdict,
};
pub use ids::{
    AuthCode, CardToken, ContractId, DriverId, GroupId, IdError, IdempotencyKey, LimitId, ProductCode, RegionId,
    RestrictionId, SiteId, TankId, TerminalId, VehicleId,
};
pub use ledger::{CardState, CardView, Fact, Fence, LedgerBody, LedgerRecord, Outcome, SoldItem, Watermarks};
pub use limits::{
    CalendarUnit, Holiday, HolidayRule, Limit, LimitMode, Measure, Policy, ProductSelector, Prompt, Restriction,
    RestrictionList, RestrictionRule, Schedule, Scope, Window,
};
pub use money::{Discount, DiscountOff, MonthlyFee, Payer, RegisterLine, RegisterOutcome, TopUpState};
pub use parties::{Actor, Block, CardKind, Closure, Driver, Group, Vehicle};
pub use reading::{DeviceMessage, DeviceStatus, ImportedRow, Reading, ReadingMessage, ReadingRecord, StatusMessage};
pub use rejection::{RejectReason, Rejection, Source};
pub use request::{Origin, OriginTopic, Request, RequestBody, Tick};
pub use station::{Minute, Sale, SaleKind, StationEvent, StationRecord, TankLevel, TankSale};
pub use tank::messages::{SaleMessage, SetupMessage, TicketMessage};
pub use tank::{
    AlarmLevel, Chart, ChartPoint, Column, DatedChart, DayQuality, DayStock, DayStock15, Delivery, DeliveryTicket,
    PumpSale, ReadingRefused, Sentinel, SilenceCause, TankDay, TankEvent, TankEventKind, TankSetup, TankThresholds,
    Treatment, VolumeGroup,
};
pub use time::{LocalTime, MICROS_PER_MINUTE, MICROS_PER_SECOND, TimestampUs};
pub use topics::{LogSettings, PartitionId, Topic, partition_of};
pub use transaction::{
    CardData, CountryCode, Device, Entry, Item, Location, Offline, Original, Pin, Prompts, SecondId, Transaction,
    TransactionKind, Unit,
};
pub use units::gauging::{CentiCelsius, CentiPercent, DeciMillimetres, Density, Millilitres15, VolumeDifference};
pub use units::{AmountError, Currency, DeciCelsius, Millilitres, Millimetres, MinorUnits, PriceE4};

/// The format version written into every record today. Readers accept all versions from 1 to this one.
pub const FORMAT_VERSION: u8 = 1;
