//! Fuel, money, heights and temperatures as integers. No implicit conversion, no unchecked arithmetic.

pub(crate) mod gauging;

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why an amount could not be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("amount is out of range")]
    Overflow,
    #[error("amounts of different currencies cannot be mixed")]
    Currency,
}

/// Largest volume that is accepted from outside: a million cubic metres.
const MILLILITRES_MAX: u64 = 1_000_000_000_000_000;
/// Largest amount of money that is accepted from outside, either sign.
const MINOR_UNITS_MAX: i64 = 1_000_000_000_000_000;

/// Fuel at observed temperature. Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Millilitres(u64);

impl Millilitres {
    pub const ZERO: Self = Self(0);
    /// A volume in ml; `Err` above a million cubic metres.
    pub const fn new(ml: u64) -> Result<Self, AmountError> {
        if ml > MILLILITRES_MAX { Err(AmountError::Overflow) } else { Ok(Self(ml)) }
    }
    /// A volume in whole litres, saturating at the largest volume.
    #[must_use]
    pub const fn from_litres(litres: u32) -> Self {
        Self(litres as u64 * 1000)
    }
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
    pub const fn plus(self, other: Self) -> Result<Self, AmountError> {
        match self.0.checked_add(other.0) {
            Some(sum) => Self::new(sum),
            None => Err(AmountError::Overflow),
        }
    }
    /// What remains after taking `other`; zero when there is less.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl<'de> Deserialize<'de> for Millilitres {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The currency's smallest coin. Refunds are negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct MinorUnits(i64);

impl MinorUnits {
    pub const ZERO: Self = Self(0);
    /// An amount in minor units; `Err` beyond ±10¹⁵.
    pub const fn new(minor: i64) -> Result<Self, AmountError> {
        if minor > MINOR_UNITS_MAX || minor < -MINOR_UNITS_MAX { Err(AmountError::Overflow) } else { Ok(Self(minor)) }
    }
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
    pub const fn plus(self, other: Self) -> Result<Self, AmountError> {
        match self.0.checked_add(other.0) {
            Some(sum) => Self::new(sum),
            None => Err(AmountError::Overflow),
        }
    }
    pub const fn minus(self, other: Self) -> Result<Self, AmountError> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Self::new(difference),
            None => Err(AmountError::Overflow),
        }
    }
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl<'de> Deserialize<'de> for MinorUnits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Price of one litre in ten-thousandths of the currency's main unit (69.4500 RUB/L is 694500).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct PriceE4(u64);

impl PriceE4 {
    /// `Err` above 100,000 main units a litre.
    pub const fn new(e4: u64) -> Result<Self, AmountError> {
        if e4 > 1_000_000_000 { Err(AmountError::Overflow) } else { Ok(Self(e4)) }
    }
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
    /// `volume × price`, rounded half up to the minor unit of `currency`.
    pub fn amount(self, volume: Millilitres, currency: Currency) -> Result<MinorUnits, AmountError> {
        // ml · e4/L = main · 10⁻⁷, and main = minor / 10^digits.
        let divisor = 10_u128.pow(7 - currency.minor_digits());
        let product = u128::from(volume.0) * u128::from(self.0);
        let minor = (product + divisor / 2) / divisor;
        i64::try_from(minor).map_err(|_| AmountError::Overflow).and_then(MinorUnits::new)
    }
    /// The largest volume whose amount does not exceed `budget`; zero for a negative budget, `None` for a price of zero.
    #[must_use]
    pub fn volume_within(self, budget: MinorUnits, currency: Currency) -> Option<Millilitres> {
        if self.0 == 0 {
            return None;
        }
        let Ok(budget) = u128::try_from(budget.0) else { return Some(Millilitres::ZERO) };
        let divisor = 10_u128.pow(7 - currency.minor_digits());
        let ml = (budget * divisor) / u128::from(self.0);
        Some(Millilitres(u64::try_from(ml).unwrap_or(MILLILITRES_MAX).min(MILLILITRES_MAX)))
    }
}

impl<'de> Deserialize<'de> for PriceE4 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// An ISO 4217 code of three capital letters. The legacy code `RUR` is read as `RUB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    pub const RUB: Self = Self(*b"RUB");
    pub const KZT: Self = Self(*b"KZT");
    pub const EUR: Self = Self(*b"EUR");

    /// `None` unless the text is three capital ASCII letters.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(if &bytes == b"RUR" { Self::RUB } else { Self(bytes) })
    }
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
    /// Digits after the decimal point (ISO 4217 exponent; 2 unless listed).
    #[must_use]
    pub const fn minor_digits(self) -> u32 {
        match &self.0 {
            b"JPY" | b"KRW" | b"VND" | b"CLP" | b"ISK" => 0,
            b"BHD" | b"KWD" | b"OMR" | b"JOD" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&code)
            .ok_or_else(|| serde::de::Error::custom(format!("{code:?} is no currency: three capital letters expected")))
    }
}
impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Z]{3}$" })
    }
}

/// A height in a tank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Millimetres(pub u32);

/// Tenths of a degree Celsius.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DeciCelsius(pub i32);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_amount_is_rounded_half_up() {
        let price = PriceE4::new(694_500).expect("in range");
        let amount = |ml| price.amount(Millilitres::new(ml).expect("in range"), Currency::RUB).expect("in range").get();
        assert_eq!(amount(60_000), 416_700);
        assert_eq!(amount(1), 7); // 6.945 kopecks
        assert_eq!(
            price.amount(Millilitres::from_litres(10), Currency::new("JPY").expect("a code")),
            MinorUnits::new(695)
        );
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert_eq!(Currency::new("RUR"), Some(Currency::RUB));
        assert_eq!(Currency::new("rub"), None);
        assert_eq!(Currency::new("RUBL"), None);
    }

    proptest! {
        #[test]
        fn the_volume_within_a_budget_never_costs_more_than_half_a_coin_above_it(budget in 0_i64..10_000_000_000, price in 1_u64..5_000_000) {
            let (price, budget) = (PriceE4::new(price).expect("in range"), MinorUnits::new(budget).expect("in range"));
            if let Some(volume) = price.volume_within(budget, Currency::KZT) && volume.get() < MILLILITRES_MAX {
                prop_assert!(price.amount(volume, Currency::KZT).expect("in range") <= budget);
            }
        }
    }
}
