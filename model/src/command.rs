//! What the back office sends on `fuel.commands`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, AuthCode, CardKind, CardToken, Closure, ContractId, Currency, Discount, Driver, DriverId, Group, GroupId,
    Holiday, IdempotencyKey, Limit, LimitId, Millilitres, MinorUnits, MonthlyFee, Payer, Policy, ProductSelector,
    RegisterLine, Restriction, RestrictionId, Scope, TimestampUs, Vehicle, VehicleId,
};

/// One order of the back office: a portal, 1C, SAP, an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandMessage {
    /// Format version, 1.
    pub v: u8,
    pub idem: IdempotencyKey,
    /// Who ordered it, for the record.
    pub author: String,
    /// When it was ordered. Limits and rules change at this moment.
    pub at_us: TimestampUs,
    pub contract: ContractId,
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    OpenContract {
        name: String,
        currency: Currency,
        /// IANA name, for example `Asia/Almaty`: days of limits begin at its midnight.
        time_zone: String,
        /// The company that signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        legal_entity: Option<String>,
        /// The group of companies that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holding: Option<String>,
        #[serde(default, skip_serializing_if = "WeekStart::is_monday")]
        week_start: WeekStart,
    },
    /// When the contract begins and ends; both may be open.
    SetTerm {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_from_us: Option<TimestampUs>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_to_us: Option<TimestampUs>,
    },
    BlockContract {
        #[serde(default)]
        actor: Actor,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_us: Option<TimestampUs>,
    },
    UnblockContract {
        #[serde(default)]
        actor: Actor,
    },
    /// Replaces the contract's holidays.
    SetHolidays {
        days: Vec<Holiday>,
    },

    /// Money that arrived, usable at once. Positive.
    TopUp {
        amount_minor: MinorUnits,
        currency: Currency,
        /// The acquirer's or the payment order's own: the bank's register shows it again. A contract's top-ups each have
        /// another one.
        reference: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payer: Option<Payer>,
    },
    /// A line of the bank's register for this contract.
    MatchRegister(RegisterLine),
    /// The register of this banking day is complete: top-ups up to its end that it does not show are missing.
    CloseRegister {
        #[schemars(with = "String")]
        date: jiff::civil::Date,
    },
    /// How far the balance may go below zero. Not negative.
    SetCreditLine {
        amount_minor: MinorUnits,
        currency: Currency,
    },
    /// Corrects the balance, up or down.
    Adjust {
        amount_minor: MinorUnits,
        currency: Currency,
        reason: String,
    },
    /// Replaces the fee of this name.
    SetMonthlyFee(MonthlyFee),
    /// Replaces the discount on the same products.
    SetDiscount(Discount),
    RemoveDiscount {
        #[serde(default)]
        product: ProductSelector,
    },
    /// All that was bought and not billed goes on one bill: what is unbilled becomes own debt.
    Bill {
        number: String,
    },

    IssueCard {
        card: CardToken,
        /// At most the last four digits.
        pan_masked: String,
        #[serde(default, skip_serializing_if = "CardKind::is_plastic")]
        kind: CardKind,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<GroupId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vehicle: Option<VehicleId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<DriverId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_from_us: Option<TimestampUs>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_to_us: Option<TimestampUs>,
        /// Litres a calendar day, as by [`Command::SetDailyLimit`]; absent: no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daily_ml: Option<Millilitres>,
        /// Money a calendar day; absent: no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daily_minor: Option<MinorUnits>,
    },
    BlockCard {
        card: CardToken,
        reason: String,
        #[serde(default)]
        actor: Actor,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_us: Option<TimestampUs>,
    },
    /// Lifts the actor's block; with `until_us` only up to then, after which the card is blocked again.
    UnblockCard {
        card: CardToken,
        #[serde(default)]
        actor: Actor,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_us: Option<TimestampUs>,
    },
    /// For good.
    CloseCard {
        card: CardToken,
        closure: Closure,
    },
    /// Wrong PINs are forgotten and the lock they caused ends.
    ResetPin {
        card: CardToken,
    },
    /// Puts the card into a group and gives it to a vehicle and a driver; absent: none.
    AssignCard {
        card: CardToken,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<GroupId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vehicle: Option<VehicleId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<DriverId>,
    },
    /// Makes or replaces a group.
    PutGroup(Group),
    /// Makes or replaces a vehicle.
    PutVehicle(Vehicle),
    /// Makes or replaces a driver.
    PutDriver(Driver),

    /// Makes a limit or replaces the one with the same id. What was used stays counted.
    SetLimit(Limit),
    /// Changes the value of a limit that exists.
    ChangeLimit {
        limit: LimitId,
        value: i64,
    },
    RemoveLimit {
        limit: LimitId,
    },
    /// Replaces both daily limits of a card, `{card}:daily-volume` and `{card}:daily-money`; usage so far stays counted.
    SetDailyLimit {
        card: CardToken,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daily_ml: Option<Millilitres>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daily_minor: Option<MinorUnits>,
    },
    /// Makes a restriction or replaces the one with the same id.
    SetRestriction(Restriction),
    RemoveRestriction {
        restriction: RestrictionId,
    },
    /// Sets the policy of a contract, a group or a card; absent: none of its own.
    SetPolicy {
        scope: Scope,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Policy>,
    },
    /// Ends an open hold by hand.
    ReleaseHold {
        auth_code: AuthCode,
        reason: String,
    },
    SetRule {
        rule: FraudRule,
        mode: RuleMode,
    },
}

/// The first day of the contract's week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeekStart {
    #[default]
    Monday,
    Saturday,
    Sunday,
}

impl WeekStart {
    #[must_use]
    pub fn is_monday(&self) -> bool {
        *self == Self::Monday
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FraudRule {
    /// Too many purchases with one card in a short time.
    Velocity,
    /// Two stations too far apart for the time between.
    ImpossibleTravel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleMode {
    Off,
    /// Only records what it finds.
    Shadow,
    /// Approves and marks the decision.
    Flag,
    Decline,
}
