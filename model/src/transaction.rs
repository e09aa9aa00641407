//! What a station terminal sends on `fuel.transactions`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    AuthCode, CardToken, Currency, IdempotencyKey, LocalTime, Millilitres, MinorUnits, PriceE4, ProductCode, RegionId,
    SiteId, TerminalId, TimestampUs,
};

/// One message of a terminal: an authorization, a completion, a reversal, an advice, an inquiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transaction {
    /// Format version, 1.
    pub v: u8,
    /// Idempotency key: the same key gets the same answer for ever.
    pub idem: IdempotencyKey,
    pub kind: TransactionKind,
    pub site: SiteId,
    pub terminal: TerminalId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pump: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<u32>,
    /// Terminal sequence number, 1 to 999999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsn: Option<u32>,
    /// The terminal's wall clock.
    pub local_time: LocalTime,
    /// Offset of the wall clock from UTC in minutes, east positive.
    pub utc_offset_min: i16,
    /// When the terminal sent the message, by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at_us: Option<TimestampUs>,
    /// Where the station stands; without it travel rules say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The region of the station; needed where restrictions name regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    /// ISO 3166-1 alpha-2; needed where restrictions name countries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<CountryCode>,
    pub card: CardData,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_id: Option<SecondId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    #[serde(default)]
    pub prompts: Prompts,
    /// What is asked for or was sold. Empty only for a balance inquiry or a reversal.
    #[serde(default)]
    pub items: Vec<Item>,
    /// Fill the tank: the quantity of the first item is not known yet.
    #[serde(default)]
    pub fill_up: bool,
    pub currency: Currency,
    /// The terminal can stop the pump at less than was asked.
    #[serde(default)]
    pub partial_ok: bool,
    #[serde(default)]
    pub original: Original,
    #[serde(default)]
    pub offline: Offline,
}

impl Transaction {
    /// Event time: when it happened at the station, in UTC.
    #[must_use]
    pub fn at(&self) -> TimestampUs {
        self.local_time.to_utc(self.utc_offset_min)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionKind {
    /// Before the nozzle opens: places a hold.
    Preauth,
    /// Authorization and sale in one.
    Sale,
    /// More for a hold that is open.
    Incremental,
    /// The real quantity after a preauth: releases the hold and posts.
    Completion,
    /// Sold while the terminal was offline: posted, never declined.
    AdviceOffline,
    /// Sold by the station's own decision, without an authorization: posted, never declined.
    Forced,
    /// Takes back a preauth that was not used.
    Reversal,
    /// Undoes a sale that is not billed yet, whole.
    Void,
    /// Returns goods that were sold and paid.
    Refund,
    /// Asks for the balance and the remaining limits.
    Balance,
    /// Asks what would be decided, changes nothing.
    DryRun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    Outdoor,
    Indoor,
    Mobile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Chip,
    Stripe,
    Manual,
    Qr,
    Rfid,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CardData {
    pub token: CardToken,
    /// For people: at most the last four digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pan_masked: Option<String>,
    /// Year and month, `YYMM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<String>,
}

/// WGS 84 in millionths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    #[schemars(range(min = -90_000_000, max = 90_000_000))]
    pub lat_e6: i32,
    #[schemars(range(min = -180_000_000, max = 180_000_000))]
    pub lon_e6: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecondId {
    #[serde(rename = "type")]
    pub kind: String,
    pub token: CardToken,
}

/// Whether the PIN was right. The PIN itself never comes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pin {
    pub verified: bool,
    #[serde(default)]
    pub attempt: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Prompts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odometer: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_hours: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailer: Option<String>,
}

/// One product line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    pub code: ProductCode,
    /// Product group, for example `DIESEL`; limits may name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<ProductCode>,
    pub unit: Unit,
    /// Quantity in ml; absent for a fill-up and for pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qty_ml: Option<Millilitres>,
    /// Quantity in pieces; absent for litres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<u32>,
    /// Of one litre or piece.
    pub price_e4: PriceE4,
    /// The terminal's own amount; absent before the sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<MinorUnits>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unit {
    #[default]
    /// Litres; quantities in `qty_ml`.
    L,
    /// Pieces: goods and services beside fuel; quantities in `pieces`.
    #[serde(rename = "PCS")]
    Pieces,
}

impl Unit {
    #[must_use]
    pub fn is_litres(&self) -> bool {
        *self == Self::L
    }
}

/// A country's two capital letters (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// `None` unless the text is two capital ASCII letters.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 2] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl Serialize for CountryCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
impl<'de> Deserialize<'de> for CountryCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&code)
            .ok_or_else(|| serde::de::Error::custom(format!("{code:?} is no country: two capital letters expected")))
    }
}
impl JsonSchema for CountryCode {
    fn schema_name() -> Cow<'static, str> {
        "CountryCode".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Z]{2}$" })
    }
}

/// What a completion, reversal or refund refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Original {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_code: Option<AuthCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idem: Option<IdempotencyKey>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offline {
    #[serde(default)]
    pub was: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_ver: Option<u32>,
    /// When the terminal last loaded limits and card lists: its allowance shrinks with their age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_at_us: Option<TimestampUs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
