//! What gauges measure in, and how it becomes whole numbers.

use model::{Millilitres, ProductCode};

/// The product of a tank whose gauge does not name it; a registered tank has its own.
pub(crate) const UNKNOWN_PRODUCT: &str = "unknown";

/// The system of units that a console or an export is set to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Units {
    /// Litres, millimetres, °C.
    #[default]
    Metric,
    /// US gallons, inches, °F.
    Us,
    /// Imperial gallons, inches, °F.
    Imperial,
}

const ML_PER_US_GALLON: f64 = 3_785.411_784;
const ML_PER_IMPERIAL_GALLON: f64 = 4_546.09;
const DMM_PER_INCH: f64 = 254.0;
/// No tank holds more, in ml: a million cubic metres.
const ML_MAX: f64 = 1e15;
/// No tank is higher, in tenths of a millimetre: 50 m.
const DMM_MAX: f64 = 500_000.0;

impl Units {
    /// As topics and the configuration name them.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "metric" => Some(Self::Metric),
            "us" => Some(Self::Us),
            "imperial" => Some(Self::Imperial),
            _ => None,
        }
    }

    /// `None` for what is no volume: negative, or more than any tank holds.
    pub(crate) fn volume(self, value: f64) -> Option<Millilitres> {
        let ml = match self {
            Self::Metric => value * 1000.0,
            Self::Us => value * ML_PER_US_GALLON,
            Self::Imperial => value * ML_PER_IMPERIAL_GALLON,
        };
        Millilitres::new(whole(ml, ML_MAX)?).ok()
    }

    /// Tenths of a millimetre.
    pub(crate) fn height_dmm(self, value: f64) -> Option<u32> {
        let dmm = match self {
            Self::Metric => value * 10.0,
            Self::Us | Self::Imperial => value * DMM_PER_INCH,
        };
        u32::try_from(whole(dmm, DMM_MAX)?).ok()
    }

    /// Hundredths of a degree Celsius, from −100 to 150 °C.
    pub(crate) fn temperature_cc(self, value: f64) -> Option<i32> {
        let celsius = match self {
            Self::Metric => value,
            Self::Us | Self::Imperial => (value - 32.0) / 1.8,
        };
        let cc = (celsius * 100.0).round();
        #[expect(clippy::cast_possible_truncation, reason = "within the bounds that are checked")]
        (-10_000.0..=15_000.0).contains(&cc).then_some(cc as i32)
    }
}

/// A label that people gave, as a product code: `REG UNL` is `REG-UNL`.
pub(crate) fn product(label: Option<&str>) -> ProductCode {
    let code = label.map(|label| label.split_whitespace().collect::<Vec<_>>().join("-"));
    let code = code.and_then(|code| ProductCode::new(&code).ok());
    code.unwrap_or_else(|| ProductCode::new(UNKNOWN_PRODUCT).expect("letters make a code"))
}

/// Rounded; a figure just below zero is the noise of an empty probe.
fn whole(value: f64, max: f64) -> Option<u64> {
    let rounded = value.round();
    if !(-10.0..=max).contains(&rounded) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds that are checked")]
    Some(rounded.max(0.0) as u64)
}
