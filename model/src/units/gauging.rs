//! Units of tank gauging: what a probe measures is finer than a millimetre and a tenth of a degree.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{AmountError, DeciCelsius, MILLILITRES_MAX, Millilitres, Millimetres};

/// A height in a tank in tenths of a millimetre.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DeciMillimetres(pub u32);

impl From<Millimetres> for DeciMillimetres {
    fn from(height: Millimetres) -> Self {
        Self(height.0.saturating_mul(10))
    }
}

/// Hundredths of a degree Celsius.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CentiCelsius(pub i32);

impl From<DeciCelsius> for CentiCelsius {
    fn from(temperature: DeciCelsius) -> Self {
        Self(temperature.0.saturating_mul(10))
    }
}

/// Density in tenths of a kilogram per cubic metre: 8441 is 844.1 kg/m³.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Density(pub u32);

/// Hundredths of a percent of the capacity: 8500 is 85 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CentiPercent(pub u32);

/// Fuel brought to 15 °C: another quantity than [`Millilitres`], never mixed with them. Not for custody transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Millilitres15(u64);

impl Millilitres15 {
    pub const ZERO: Self = Self(0);
    /// A volume at 15 °C in ml; `Err` above a million cubic metres.
    pub const fn new(ml: u64) -> Result<Self, AmountError> {
        if ml > MILLILITRES_MAX { Err(AmountError::Overflow) } else { Ok(Self(ml)) }
    }
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Millilitres15 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A difference of volumes in ml, either sign: what is over is positive, what is short negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct VolumeDifference(pub i64);

impl VolumeDifference {
    /// `actual − expected`.
    #[must_use]
    pub const fn between(actual: Millilitres, expected: Millilitres) -> Self {
        // Both are at most 10¹⁵.
        Self(actual.get().cast_signed() - expected.get().cast_signed())
    }
}
