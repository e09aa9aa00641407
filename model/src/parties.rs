//! Who stands behind a card: groups, vehicles, drivers; and who may close what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DriverId, GroupId, Millilitres, ProductSelector, TimestampUs, VehicleId};

/// Who blocked a card or a contract. A block is lifted by who set it; the issuer's are not the client's to lift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The fleet itself.
    #[default]
    Client,
    /// The issuer's risk staff.
    IssuerRisk,
    /// The issuer's credit staff.
    IssuerCredit,
    /// A rule, for example too many wrong PINs.
    System,
}

impl Actor {
    pub const ALL: [Self; 4] = [Self::Client, Self::IssuerRisk, Self::IssuerCredit, Self::System];
}

/// Why a card was closed. It does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Closure {
    Lost,
    Stolen,
    /// Handed back or replaced.
    Returned,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CardKind {
    #[default]
    Plastic,
    /// A code on a telephone: only by QR code or from a mobile device.
    Virtual,
}

impl CardKind {
    #[must_use]
    pub fn is_plastic(&self) -> bool {
        *self == Self::Plastic
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    pub id: GroupId,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vehicle {
    pub id: VehicleId,
    /// What its tank holds. No fuelling may be larger, but for 3 % of tolerance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tank_ml: Option<Millilitres>,
    /// The only fuel it takes; lines counted in pieces are not fuel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<ProductSelector>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Driver {
    pub id: DriverId,
    pub name: String,
    /// Blocked drivers fail their prompt.
    #[serde(default)]
    pub blocked: bool,
}

/// A block by one actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    pub actor: Actor,
    pub reason: String,
    /// Ends by itself at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<TimestampUs>,
}
