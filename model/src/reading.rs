//! What tank gauges publish over MQTT, and the normalised record in `fuel.readings`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CentiCelsius, CentiPercent, DeciCelsius, DeciMillimetres, DeliveryTicket, Density, FORMAT_VERSION, Millilitres,
    Millilitres15, Millimetres, ProductCode, PumpSale, SiteId, TankId, TankSetup, TimestampUs,
};

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
    /// Product volume at observed temperature, without water. A gauge may know the height or the share only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_15_ml: Option<Millilitres15>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ullage_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// How full the tank is.
    pub percent_e2: Option<CentiPercent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Density as measured, at the temperature of the reading.
    pub density_e1: Option<Density>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Height of the product surface above the bottom.
    pub height_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// The same in tenths of a millimetre, for gauges that are that fine; goes before `height_mm`.
    pub height_dmm: Option<DeciMillimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Goes before `water_mm`.
    pub water_dmm: Option<DeciMillimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_dc: Option<DeciCelsius>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Hundredths of a degree; goes before `temperature_dc`.
    pub temperature_cc: Option<CentiCelsius>,
    /// Veeder-Root status bits: 1 delivery in progress, 2 leak test in progress, 4 invalid height.
    #[serde(default)]
    pub status: u8,
    /// Measured before and sent now, as by a battery gauge or after an outage: not the current level.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

impl ReadingMessage {
    /// A message without any value.
    #[must_use]
    pub const fn new(product: ProductCode) -> Self {
        Self {
            v: FORMAT_VERSION,
            measured_at_us: None,
            product,
            seq: None,
            volume_ml: None,
            volume_15_ml: None,
            ullage_ml: None,
            water_ml: None,
            percent_e2: None,
            density_e1: None,
            capacity_ml: None,
            height_mm: None,
            height_dmm: None,
            water_mm: None,
            water_dmm: None,
            temperature_dc: None,
            temperature_cc: None,
            status: 0,
            historical: false,
        }
    }

    /// The reading that it makes of a tank, at the moment given unless it knows better.
    #[must_use]
    pub fn of(self, site: SiteId, tank: TankId, received_at: TimestampUs) -> Reading {
        Reading {
            site,
            tank,
            measured_at_us: self.measured_at_us.unwrap_or(received_at),
            seq: self.seq,
            product: self.product,
            volume_ml: self.volume_ml,
            volume_15_ml: self.volume_15_ml,
            ullage_ml: self.ullage_ml,
            water_ml: self.water_ml,
            percent_e2: self.percent_e2,
            density_e1: self.density_e1,
            capacity_ml: self.capacity_ml,
            height_mm: self.height_mm,
            height_dmm: self.height_dmm,
            water_mm: self.water_mm,
            water_dmm: self.water_dmm,
            temperature_dc: self.temperature_dc,
            temperature_cc: self.temperature_cc,
            status: self.status,
            historical: self.historical,
            alarms: None,
        }
    }
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
    /// Where it stands in an imported file: what is imported again is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportedRow>,
    pub message: DeviceMessage,
}

/// A row of an imported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedRow {
    /// Made of the file's bytes and of what its columns mean.
    pub file: u64,
    /// From 0. The rows of a file stand in their order.
    pub row: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceMessage {
    Reading(Reading),
    Status(DeviceStatus),
    /// A tank is registered, or registered anew.
    Setup(Box<TankSetup>),
    /// Sold without a card, or by another system.
    Sale(PumpSale),
    Ticket(DeliveryTicket),
}

impl DeviceMessage {
    #[must_use]
    pub fn site(&self) -> &SiteId {
        match self {
            Self::Reading(reading) => &reading.site,
            Self::Status(status) => &status.site,
            Self::Setup(setup) => &setup.site,
            Self::Sale(sale) => &sale.site,
            Self::Ticket(ticket) => &ticket.site,
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
    /// At observed temperature, without water; absent where the gauge knows the height or the share only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_15_ml: Option<Millilitres15>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ullage_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_e2: Option<CentiPercent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density_e1: Option<Density>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_ml: Option<Millilitres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_dmm: Option<DeciMillimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_mm: Option<Millimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub water_dmm: Option<DeciMillimetres>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_dc: Option<DeciCelsius>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_cc: Option<CentiCelsius>,
    #[serde(default)]
    pub status: u8,
    /// Measured before and sent now, as by a battery gauge or after an outage: not the current level.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
    /// Alarms of the tank that its gauge shows, as Veeder-Root numbers them; empty: it shows none; absent: not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarms: Option<Vec<u8>>,
}

impl Reading {
    /// A fuel delivery is going on, says the gauge.
    pub const DELIVERY: u8 = 1;
    /// Status bit 4 says that the height, and so the volume, is not to be believed.
    pub const INVALID_HEIGHT: u8 = 4;

    /// A reading without any value.
    #[must_use]
    pub fn new(site: SiteId, tank: TankId, product: ProductCode, measured_at_us: TimestampUs) -> Self {
        ReadingMessage::new(product).of(site, tank, measured_at_us)
    }

    #[must_use]
    pub fn height(&self) -> Option<DeciMillimetres> {
        self.height_dmm.or(self.height_mm.map(DeciMillimetres::from))
    }
    #[must_use]
    pub fn water(&self) -> Option<DeciMillimetres> {
        self.water_dmm.or(self.water_mm.map(DeciMillimetres::from))
    }
    #[must_use]
    pub fn temperature(&self) -> Option<CentiCelsius> {
        self.temperature_cc.or(self.temperature_dc.map(CentiCelsius::from))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    pub site: SiteId,
    pub online: bool,
    pub at_us: TimestampUs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_written_before_tanks_were_registered_still_reads() {
        let old = r#"{"v":1,"received_at_us":9,"message":{"reading":{"site":"S-1","tank":"3","seq":9,"measured_at_us":8,"product":"DIESEL","volume_ml":12000000,"height_mm":1500,"water_mm":3,"temperature_dc":-52,"status":1}}}"#;
        let record: ReadingRecord = serde_json::from_str(old).expect("an old record");
        assert_eq!(serde_json::to_string(&record).expect("JSON"), old);
        let DeviceMessage::Reading(reading) = record.message else { panic!("a reading") };
        assert_eq!(reading.height(), Some(DeciMillimetres(15_000)));
        assert_eq!(reading.temperature(), Some(CentiCelsius(-520)));
    }

    #[test]
    fn a_gauge_may_know_the_share_only_and_the_finer_value_goes_first() {
        let text = r#"{"v":1,"product":"LPG","percent_e2":8050,"water_mm":3,"water_dmm":34}"#;
        let message: ReadingMessage = serde_json::from_str(text).expect("a message");
        let (site, tank) = (SiteId::new("S-1").expect("an id"), TankId::new("1").expect("an id"));
        let reading = message.of(site, tank, TimestampUs::from_micros(7));
        assert_eq!((reading.volume_ml, reading.percent_e2), (None, Some(CentiPercent(8_050))));
        assert_eq!((reading.water(), reading.measured_at_us), (Some(DeciMillimetres(34)), TimestampUs::from_micros(7)));
    }
}
