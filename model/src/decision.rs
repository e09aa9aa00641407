//! The answer to a transaction, and everything that explains it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AuthCode, Currency, FraudRule, IdempotencyKey, Millilitres, MinorUnits, ProductCode, RuleMode, TimestampUs,
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
    /// What stays reserved until completion, reversal or expiry.
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
    pub text: Text,
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
    ContractUnknown,
    Funds,
    LimitPeriod,
    FraudVelocity,
    FraudTravel,
    /// A completion or reversal of an authorization that is not there.
    OriginalUnknown,
    /// A completion posted above its hold.
    CompletionAboveHold,
    /// A completion posted after its hold expired.
    CompletionLate,
    OriginalClosed,
    /// Offline advice: posted whatever the limits say.
    PostedOffline,
    ContractExists,
    CardExists,
    /// A time zone that is not in the IANA list.
    TimeZoneUnknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    pub qty_ml: Millilitres,
    pub amount_minor: MinorUnits,
    pub expires_at_us: TimestampUs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowed {
    pub code: ProductCode,
    pub qty_ml: Millilitres,
    pub amount_minor: MinorUnits,
}

/// One limit as it stood: `left = limit_value − used − held`, in ml or minor units after `measure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Headroom {
    /// Which limit, for example `daily volume`.
    pub limit: String,
    pub measure: Measure,
    /// The window in words, for example `day 2026-01-14 Asia/Almaty`.
    pub window: String,
    pub limit_value: i64,
    pub used: i64,
    pub held: i64,
    /// Negative when offline sales went over.
    pub left: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Volume,
    Money,
}

/// A contract's money: `available = own + credit − held`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    pub currency: Currency,
    /// Top-ups less captures; negative when the credit line is in use.
    pub own: MinorUnits,
    pub credit: MinorUnits,
    /// Sum of open holds.
    pub held: MinorUnits,
    pub available: MinorUnits,
}

/// What one rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RiskFinding {
    pub rule: FraudRule,
    pub mode: RuleMode,
    /// The measured value against its threshold, in words.
    pub value: String,
}

/// Texts in English. The cashier's says nothing about money or suspicion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Text {
    pub cashier: String,
    pub manager: String,
}
