//! What tank gauges publish over MQTT, and the normalised record in `fuel.readings`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DeciCelsius, Millilitres, Millimetres, ProductCode, SiteId, TankId, TimestampUs};

/// JSON payload on `fuel/v1/{site}/{tank}/reading`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadingMessage {
    /// Format version, 1.
    pub v: u8,
    /// Device sequence number: gaps and repeats show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When the gauge measured; absent: the moment of arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_at_us: Option<TimestampUs>,
    pub product: ProductCode,
    /// Product volume at observed temperature, without water.
    pub volume_ml: Millilitres,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_ml: Option<Millilitres>,
    /// Height of the product surface above the bottom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_dc: Option<DeciCelsius>,
    /// Veeder-Root status bits: 1 delivery in progress, 2 leak test in progress, 4 invalid height.
    #[serde(default)]
    pub status: u8,
}

/// JSON payload on `fuel/v1/{site}/status`; also fit for a last will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusMessage {
    /// Format version, 1.
    pub v: u8,
    pub online: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_us: Option<TimestampUs>,
}

/// A record of `fuel.readings`, keyed by site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadingRecord {
    pub v: u8,
    pub received_at_us: TimestampUs,
    pub message: DeviceMessage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceMessage {
    Reading(Reading),
    Status(DeviceStatus),
}

impl DeviceMessage {
    #[must_use]
    pub fn site(&self) -> &SiteId {
        match self {
            Self::Reading(reading) => &reading.site,
            Self::Status(status) => &status.site,
        }
    }
}

/// One tank at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    pub site: SiteId,
    pub tank: TankId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    pub measured_at_us: TimestampUs,
    pub product: ProductCode,
    pub volume_ml: Millilitres,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_dc: Option<DeciCelsius>,
    #[serde(default)]
    pub status: u8,
}

impl Reading {
    /// Status bit 4 says that the height, and so the volume, is not to be believed.
    pub const INVALID_HEIGHT: u8 = 4;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    pub site: SiteId,
    pub online: bool,
    pub at_us: TimestampUs,
}
