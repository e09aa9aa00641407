//! What the back office sends on `fuel.commands`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CardToken, ContractId, Currency, IdempotencyKey, Millilitres, MinorUnits, TimestampUs};

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
    },
    /// Money that arrived. Positive.
    TopUp {
        amount_minor: MinorUnits,
        currency: Currency,
        reference: String,
    },
    /// How far the balance may go below zero. Not negative.
    SetCreditLine {
        amount_minor: MinorUnits,
        currency: Currency,
    },
    IssueCard {
        card: CardToken,
        /// At most the last four digits.
        pan_masked: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vehicle: Option<String>,
        /// Litres a calendar day; absent: no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daily_ml: Option<Millilitres>,
        /// Money a calendar day; absent: no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daily_minor: Option<MinorUnits>,
    },
    BlockCard {
        card: CardToken,
        reason: String,
    },
    UnblockCard {
        card: CardToken,
    },
    /// Replaces both daily limits of a card; usage so far stays counted.
    SetDailyLimit {
        card: CardToken,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daily_ml: Option<Millilitres>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daily_minor: Option<MinorUnits>,
    },
    SetRule {
        rule: FraudRule,
        mode: RuleMode,
    },
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
    /// Approves and marks the decision.
    Flag,
    Decline,
}
