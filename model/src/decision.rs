//! The answer to a transaction, and everything that explains it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, AuthCode, Closure, Currency, DriverId, FraudRule, IdempotencyKey, LimitMode, Measure, Millilitres,
    MinorUnits, PriceE4, ProductCode, ProductSelector, Prompt, RestrictionId, RuleMode, Scope, TimestampUs, VehicleId,
    Window,
};

/// The recorded answer to one transaction. The same idempotency key gets the same decision; only `replayed` differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    pub idem: IdempotencyKey,
    pub decision: Verdict,
    /// ISO 8583:1993 action code (DE39).
    pub iso39: String,
    pub code: Code,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_code: Option<AuthCode>,
    /// What stays reserved until completion, reversal or expiry; for more on an open hold, what was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// What may be sold, per item of the request. Empty when declined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Allowed>,
    /// The limit that cut or declined the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Headroom>,
    /// Every limit that applied, before this request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headroom: Vec<Headroom>,
    /// The contract's money before this request; absent when the contract is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risk: Vec<RiskFinding>,
    /// What else there is to say, in figures: the texts are made from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// How often the contract's limits, restrictions and policies had changed.
    #[serde(default)]
    pub rules_version: u64,
    /// What a litre costs the contract, after discount, of the first fuel that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_price_e4: Option<PriceE4>,
    pub text: Texts,
    /// True on the repeat of an answer that was given before.
    #[serde(default)]
    pub replayed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approve,
    /// Less than was asked; see `allowed`.
    Partial,
    Decline,
    /// The terminal asks for what is missing or wrong and tries again, under a new key.
    Reprompt,
}

/// Why. One list for all answers to transactions and commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    Approved,
    /// Approved, and a rule found something to look at.
    ApprovedFlagged,
    /// Malformed in meaning: no item, an amount out of range, a quantity where none may be.
    FmtInvalid,
    /// The terminal's clock is too far from ours.
    FmtClock,
    /// The same idempotency key came with another body.
    FmtKeyReused,
    AmountMismatch,
    CurrencyMismatch,
    CardUnknown,
    CardBlocked,
    CardLost,
    CardStolen,
    /// Handed back or replaced.
    CardClosed,
    CardExpired,
    CardNotYet,
    PinRequired,
    PinWrong,
    /// Too many wrong PINs.
    PinLocked,
    PromptMissing,
    PromptInvalid,
    OdometerRange,
    ContractUnknown,
    ContractBlocked,
    ContractExpired,
    ContractNotYet,
    /// The product is not for this card, vehicle or contract.
    Product,
    /// The station, its region or its country is not for this card.
    Site,
    /// Not at this hour or on this day.
    Time,
    /// Not by this way of reading the card.
    EntryMethod,
    /// More than the vehicle's tank holds.
    TankCapacity,
    Funds,
    /// More than one purchase may be.
    LimitTx,
    /// Volume or money of a window is used up.
    LimitPeriod,
    /// The purchases of a window are used up.
    LimitCount,
    FraudVelocity,
    FraudTravel,
    /// A completion or reversal of an authorization that is not there.
    OriginalUnknown,
    /// A completion posted above its hold.
    CompletionAboveHold,
    /// A completion posted after its hold expired.
    CompletionLate,
    /// A completion posted with another product, price or terminal than was authorized.
    CompletionDiffers,
    OriginalClosed,
    /// A void of what is on a bill: a refund is the way.
    OriginalBilled,
    /// Offline advice: posted whatever the limits say.
    PostedOffline,
    /// Offline advice beyond what the terminal was allowed: posted, and to be looked at.
    OfflineLimit,
    /// A forced sale: posted whatever the limits say.
    PostedForced,
    ContractExists,
    CardExists,
    /// A top-up with this reference was credited before.
    TopUpExists,
    /// A time zone that is not in the IANA list.
    TimeZoneUnknown,
    LimitUnknown,
    RestrictionUnknown,
    GroupUnknown,
    VehicleUnknown,
    DriverUnknown,
    /// This actor may not do that.
    NotPermitted,
    /// A contract holds no more of this.
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    pub qty_ml: Millilitres,
    pub amount_minor: MinorUnits,
    pub expires_at_us: TimestampUs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowed {
    /// Which line of the request, from 0.
    #[serde(default)]
    pub item: u8,
    pub code: ProductCode,
    /// Zero for what is counted in pieces.
    pub qty_ml: Millilitres,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pieces: u32,
    /// What the contract would pay: less its discount.
    pub amount_minor: MinorUnits,
    #[serde(default, skip_serializing_if = "MinorUnits::is_zero")]
    pub discount_minor: MinorUnits,
}

fn is_zero(pieces: &u32) -> bool {
    *pieces == 0
}

/// One limit as it stood: `left = limit_value − used − held`, in ml, minor units or purchases after `measure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Headroom {
    /// Its id, for example `L-77`; `balance` for the contract's money.
    pub limit: String,
    /// Which setting of the limit this was: 1 for the first.
    #[serde(default)]
    pub version: u32,
    #[serde(default = "contract_scope")]
    pub scope: Scope,
    #[serde(default, skip_serializing_if = "ProductSelector::is_all")]
    pub product: ProductSelector,
    pub measure: Measure,
    #[serde(default, skip_serializing_if = "LimitMode::is_decline")]
    pub mode: LimitMode,
    /// The time over which its usage adds up: `Lifetime` for `balance`.
    pub span: Window,
    /// The window in words, for example `day 2026-01-14 Asia/Almaty`.
    pub window: String,
    /// The window as a number: its days, weeks, … since 1970 for calendar windows, its end in µs for rolling ones.
    #[serde(default)]
    pub period: i64,
    pub limit_value: i64,
    pub used: i64,
    pub held: i64,
    /// Negative when offline sales went over.
    pub left: i64,
    /// What is left in litres at the price asked, where a price was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ml: Option<i64>,
    /// What is left in money at the price asked, where a price was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_minor: Option<i64>,
}

fn contract_scope() -> Scope {
    Scope::Contract
}

/// A contract's money: `available = own + credit − held − unbilled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    pub currency: Currency,
    /// Top-ups less what was billed; negative when the credit line is in use.
    pub own: MinorUnits,
    pub credit: MinorUnits,
    /// Sum of open holds.
    pub held: MinorUnits,
    /// Bought and not yet billed.
    #[serde(default)]
    pub unbilled: MinorUnits,
    pub available: MinorUnits,
}

/// What one rule found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RiskFinding {
    pub rule: FraudRule,
    pub mode: RuleMode,
    pub measured: RiskMeasure,
}

/// What a rule measured, against its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RiskMeasure {
    /// Purchases of the card in so many minutes, this one among them, and from how many on that is unusual.
    Velocity { purchases: u32, minutes: u32, unusual_from: u32 },
    /// The way from the last purchase by road, the time since then, the speed that this takes, and the most that is believed.
    /// No speed when no time lies between.
    Travel {
        km: u32,
        minutes: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kmh: Option<u32>,
        kmh_most: u32,
    },
}

/// A remark with its figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The terminal's clock is ahead of ours by so much; behind when negative.
    ClockOff {
        hours: i64,
    },
    Malformed(Malformed),
    /// The contract's currency.
    Currency(Currency),
    CardBlocked {
        actor: Actor,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_us: Option<TimestampUs>,
    },
    CardClosed(Closure),
    ContractBlocked {
        actor: Actor,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_us: Option<TimestampUs>,
    },
    ValidFrom(TimestampUs),
    ValidTo(TimestampUs),
    /// A wrong PIN, and how often it may be tried again.
    PinTriesLeft(u8),
    PinLockedUntil(TimestampUs),
    PromptsMissing(Vec<Prompt>),
    /// What the terminal was told does not fit the card, or names nobody in the contract.
    PromptInvalid(Prompt),
    Odometer {
        given: u32,
        least: u32,
        most: u32,
    },
    /// The restriction that forbids the purchase.
    Restricted(RestrictionId),
    /// The product that may not be bought.
    Product(ProductCode),
    /// The vehicle's tank is smaller than the purchase.
    TankCapacity {
        vehicle: VehicleId,
        tank_ml: Millilitres,
    },
    /// The station's amount is not quantity times price.
    AmountMismatch,
    /// What the completion may have been.
    AboveHold {
        ml: Millilitres,
        #[serde(default, skip_serializing_if = "is_zero")]
        pieces: u32,
        minor: MinorUnits,
    },
    /// When the hold had expired.
    HoldExpired(TimestampUs),
    /// In what the completion differs from its authorization.
    Differs(Difference),
    /// A limit that was gone over without declining, and by how much.
    Over {
        limit: String,
        measure: Measure,
        mode: LimitMode,
        beyond: i64,
    },
    /// The terminal's lists were so old when it sold offline, and so much of the offline limits was allowed.
    CatalogueAge {
        hours: i64,
        percent: u8,
    },
    /// Offline sales are not allowed with this card.
    OfflineForbidden,
    /// How the original ended.
    Original(OriginalState),
    /// More than was sold cannot come back.
    Sold {
        ml: Millilitres,
        #[serde(default, skip_serializing_if = "is_zero")]
        pieces: u32,
        minor: MinorUnits,
    },
    /// What was released.
    Released {
        ml: Millilitres,
        #[serde(default, skip_serializing_if = "is_zero")]
        pieces: u32,
        minor: MinorUnits,
    },
    /// Who bought, where a prompt said so.
    Driver(DriverId),
}

/// What is wrong with the meaning of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Malformed {
    NoItem,
    TooManyItems,
    NegativeAmount,
    OutOfRange,
    NoPrice,
    NoQuantity,
    /// A fill-up in a sale: a sale knows its quantity.
    FillUpInSale,
    /// Litres for what is counted in pieces, or the reverse.
    WrongUnit,
    NoOriginal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    Product,
    Price,
    Terminal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginalState {
    Held,
    Expired,
    Completed,
    Reversed,
    Billed,
}

/// Two texts in three languages. The cashier's says nothing about money or suspicion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Texts {
    pub cashier: Languages,
    pub manager: Languages,
}

/// The same sentence in English, Russian and Kazakh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Languages {
    pub en: String,
    pub ru: String,
    pub kk: String,
}
