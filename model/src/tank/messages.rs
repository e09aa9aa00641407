//! What stations tell over MQTT besides readings: how a tank is registered, what was sold from it, what a truck brought.
//!
//! Site and tank stand in the topic, not in the payload. A moment that is left out is that of the arrival.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Column, DatedChart, DeliveryTicket, PumpSale, Sentinel, TankSetup, TankThresholds, VolumeGroup};
use crate::{
    CentiPercent, Density, FORMAT_VERSION, IdempotencyKey, Millilitres, ProductCode, SiteId, TankId, TimestampUs,
};

/// JSON payload on `fuel/v1/{site}/{tank}/setup`: the tank is registered so from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupMessage {
    /// Format version, 1.
    pub v: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_us: Option<TimestampUs>,
    pub product: ProductCode,
    #[serde(default)]
    pub group: VolumeGroup,
    /// Density of the product at 15 °C; absent: no volume at 15 °C unless the gauge gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density_15: Option<Density>,
    pub capacity_ml: Millilitres,
    /// How full the tank may be filled: 9500 for liquid fuels, 8500 for LPG.
    #[serde(default = "TankSetup::safe_fill_default")]
    pub safe_fill: CentiPercent,
    /// Strapping tables by the time from which they hold. Empty: volumes are the gauge's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<DatedChart>,
    /// How often the gauge measures.
    #[serde(default = "TankSetup::interval_default")]
    pub expected_interval_s: u32,
    /// How long without a reading until the tank counts as silent; absent: three intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u32>,
    #[serde(default)]
    pub thresholds: TankThresholds,
    /// From order to delivery.
    #[serde(default = "TankSetup::lead_time_default")]
    pub lead_time_hours: u32,
    /// A truck's compartment: no order is larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truck_ml: Option<Millilitres>,
    /// All that is sold from the tank is told: a drop without a sale is a loss. Otherwise drops are consumption.
    #[serde(default)]
    pub sales_are_known: bool,
    /// Pumps that draw from this tank. Needed where several tanks of a site hold one product.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pumps: Vec<u16>,
    /// The fastest that pumps draw from the tank, all together.
    #[serde(default = "TankSetup::pump_flow_default")]
    pub pump_flow_ml_per_min: u64,
    /// What the gauge says when it knows nothing, in thousandths of the column's unit: −1000, 65535000 …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sentinels: Vec<Sentinel>,
    /// The columns that a source is known to swap. Empty: values are taken as they are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swappable: Vec<Column>,
    /// The tank's wall clock against UTC: a day begins at its midnight.
    #[serde(default)]
    pub utc_offset_min: i16,
}

impl SetupMessage {
    /// The registration that it makes of a tank, from the moment given unless it knows better.
    #[must_use]
    pub fn of(self, site: SiteId, tank: TankId, received_at: TimestampUs) -> TankSetup {
        TankSetup {
            site,
            tank,
            at_us: self.at_us.unwrap_or(received_at),
            product: self.product,
            group: self.group,
            density_15: self.density_15,
            capacity_ml: self.capacity_ml,
            safe_fill: self.safe_fill,
            charts: self.charts,
            expected_interval_s: self.expected_interval_s,
            grace_s: self.grace_s,
            thresholds: self.thresholds,
            lead_time_hours: self.lead_time_hours,
            truck_ml: self.truck_ml,
            sales_are_known: self.sales_are_known,
            pumps: self.pumps,
            pump_flow_ml_per_min: self.pump_flow_ml_per_min,
            sentinels: self.sentinels,
            swappable: self.swappable,
            utc_offset_min: self.utc_offset_min,
        }
    }
}

impl From<TankSetup> for SetupMessage {
    /// The message that registers a tank so.
    fn from(setup: TankSetup) -> Self {
        Self {
            v: FORMAT_VERSION,
            at_us: Some(setup.at_us),
            product: setup.product,
            group: setup.group,
            density_15: setup.density_15,
            capacity_ml: setup.capacity_ml,
            safe_fill: setup.safe_fill,
            charts: setup.charts,
            expected_interval_s: setup.expected_interval_s,
            grace_s: setup.grace_s,
            thresholds: setup.thresholds,
            lead_time_hours: setup.lead_time_hours,
            truck_ml: setup.truck_ml,
            sales_are_known: setup.sales_are_known,
            pumps: setup.pumps,
            pump_flow_ml_per_min: setup.pump_flow_ml_per_min,
            sentinels: setup.sentinels,
            swappable: setup.swappable,
            utc_offset_min: setup.utc_offset_min,
        }
    }
}

/// JSON payload on `fuel/v1/{site}/sale`: fuel that was sold without a card of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SaleMessage {
    /// Format version, 1.
    pub v: u8,
    /// The receipt: the same at one site is the same sale.
    pub id: IdempotencyKey,
    /// When the nozzle was hung up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_us: Option<TimestampUs>,
    pub product: ProductCode,
    /// Absent: the tank that serves the pump, or the only one with the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tank: Option<TankId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pump: Option<u16>,
    pub volume_ml: Millilitres,
}

impl SaleMessage {
    #[must_use]
    pub fn of(self, site: SiteId, received_at: TimestampUs) -> PumpSale {
        PumpSale {
            site,
            id: self.id,
            at_us: self.at_us.unwrap_or(received_at),
            product: self.product,
            tank: self.tank,
            pump: self.pump,
            volume_ml: self.volume_ml,
        }
    }
}

/// JSON payload on `fuel/v1/{site}/{tank}/ticket`: what a truck's paper says it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketMessage {
    /// Format version, 1.
    pub v: u8,
    /// The paper's number.
    pub id: IdempotencyKey,
    /// When the truck was empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_us: Option<TimestampUs>,
    pub volume_ml: Millilitres,
}

impl TicketMessage {
    #[must_use]
    pub fn of(self, site: SiteId, tank: TankId, received_at: TimestampUs) -> DeliveryTicket {
        DeliveryTicket { site, tank, id: self.id, at_us: self.at_us.unwrap_or(received_at), volume_ml: self.volume_ml }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_survives_its_message() {
        let text = r#"{"site":"S-1","tank":"2","at_us":7,"product":"LPG","group":{"coefficient":900},"density_15":5400,
            "capacity_ml":30000000,"safe_fill":8500,"charts":[{"from_us":3,"offset_dmm":-4,"chart":{"points":[
            {"height_dmm":0,"volume_ml":0},{"height_dmm":9,"volume_ml":5}]}}],"expected_interval_s":30,"grace_s":600,
            "thresholds":{"low_ml":5},"lead_time_hours":5,"truck_ml":9,"sales_are_known":true,"pumps":[1,2],
            "pump_flow_ml_per_min":7,"sentinels":[{"column":"water","value_e3":-1000}],"swappable":["height","water"],
            "utc_offset_min":300}"#;
        let setup: TankSetup = serde_json::from_str(text).expect("a registration");
        let message = serde_json::to_string(&SetupMessage::from(setup.clone())).expect("JSON");
        let message: SetupMessage = serde_json::from_str(&message).expect("a message");
        let later = TimestampUs::from_micros(99);
        assert_eq!(message.of(setup.site.clone(), setup.tank.clone(), later), setup);
    }

    #[test]
    fn what_a_message_leaves_out_is_usual_and_of_now() {
        let text = r#"{"v":1,"product":"DIESEL","capacity_ml":30000000}"#;
        let message: SetupMessage = serde_json::from_str(text).expect("a message");
        let (site, tank) = (SiteId::new("S-1").expect("an id"), TankId::new("2").expect("an id"));
        let now = TimestampUs::from_micros(99);
        let mut usual =
            TankSetup::new(site.clone(), tank.clone(), message.product.clone(), Millilitres::from_litres(30_000));
        usual.at_us = now;
        assert_eq!(message.of(site, tank, now), usual);
    }
}
