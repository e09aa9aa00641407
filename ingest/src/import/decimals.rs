//! Decimal figures as whole numbers of small units, without floating point on the way.

use super::mapping::{DecimalMark, Quantity, Unit};

/// Digits after the decimal mark that count.
const FRACTION_DIGITS: u32 = 6;
const SCALE: i128 = 10_i128.pow(FRACTION_DIGITS);
/// Digits before it.
const WHOLE_DIGITS_MAX: usize = 18;

/// In millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal(i128);

/// A figure as people write it, with spaces between thousands if they like.
pub(super) fn decimal(text: &str, mark: DecimalMark) -> Result<Decimal, String> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => match text.strip_prefix('\u{2212}') {
            Some(rest) => (-1, rest),
            None => (1, text),
        },
    };
    let (mark, other) = match mark {
        DecimalMark::Point => ('.', ','),
        DecimalMark::Comma => (',', '.'),
    };
    if digits.contains(other) {
        let named = if other == ',' { "comma" } else { "point" };
        return Err(format!("{text:?}: is {other:?} its decimal mark? Then say decimal = \"{named}\" in the mapping"));
    }
    let (whole, fraction) = digits.split_once(mark).unwrap_or((digits, ""));
    let wrong = || format!("{text:?} is no figure");
    let mut number: i128 = 0;
    let mut count = 0;
    for character in whole.chars() {
        match character {
            ' ' | '\u{a0}' | '\u{202f}' if count > 0 => {}
            '0'..='9' => {
                number = number * 10 + i128::from(u32::from(character) - u32::from('0'));
                count += 1;
            }
            _ => return Err(wrong()),
        }
        if count > WHOLE_DIGITS_MAX {
            return Err(format!("{text:?} has more than {WHOLE_DIGITS_MAX} digits"));
        }
    }
    if count + fraction.len() == 0 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let mut place = SCALE;
    let mut part = 0;
    for byte in fraction.bytes().take(FRACTION_DIGITS as usize) {
        place /= 10;
        part += i128::from(byte - b'0') * place;
    }
    // What is finer than a millionth is rounded.
    part += i128::from(fraction.as_bytes().get(FRACTION_DIGITS as usize).is_some_and(|digit| *digit >= b'5'));
    Ok(Decimal(sign * (number * SCALE + part)))
}

/// The unit of a quantity where the mapping names none; `Err` when it names one of another kind.
pub(super) fn conversion(quantity: Quantity, unit: Option<Unit>) -> Result<Conversion, String> {
    let plain = |numerator| Conversion { offset: 0, numerator, denominator: 1 };
    let ratio = |numerator, denominator| Conversion { offset: 0, numerator, denominator };
    let conversion = match (quantity, unit) {
        (
            Quantity::Volume | Quantity::Volume15 | Quantity::Ullage | Quantity::WaterVolume | Quantity::Capacity,
            unit,
        ) => match unit {
            None | Some(Unit::Litre) => Some(plain(1_000)),
            Some(Unit::CubicMetre) => Some(plain(1_000_000)),
            Some(Unit::UsGallon) => Some(ratio(3_785_411_784, 1_000_000)),
            Some(Unit::ImperialGallon) => Some(ratio(454_609, 100)),
            Some(_) => None,
        },
        (Quantity::Height | Quantity::Water, unit) => match unit {
            None | Some(Unit::Millimetre) => Some(plain(10)),
            Some(Unit::Centimetre) => Some(plain(100)),
            Some(Unit::Metre) => Some(plain(10_000)),
            Some(Unit::Inch) => Some(plain(254)),
            Some(_) => None,
        },
        (Quantity::Temperature, None | Some(Unit::Celsius)) => Some(plain(100)),
        (Quantity::Temperature, Some(Unit::Fahrenheit)) => {
            Some(Conversion { offset: -32, numerator: 500, denominator: 9 })
        }
        (Quantity::Density, None | Some(Unit::KilogramPerCubicMetre)) => Some(plain(10)),
        (Quantity::Density, Some(Unit::GramPerCubicCentimetre)) => Some(plain(10_000)),
        (Quantity::Percent, None) => Some(plain(100)),
        (Quantity::Status | Quantity::Seq, None) => Some(plain(1)),
        _ => None,
    };
    conversion.ok_or_else(|| {
        let unit = unit.map_or_else(|| "nothing".to_owned(), |unit| format!("{unit:?}"));
        format!("{unit} is no unit of {quantity:?}")
    })
}

/// `(value + offset) · numerator / denominator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conversion {
    offset: i128,
    numerator: i128,
    denominator: i128,
}

impl Conversion {
    /// Rounded half away from zero.
    pub(super) fn apply(self, value: Decimal) -> i128 {
        let numerator = (value.0 + self.offset * SCALE) * self.numerator;
        let denominator = self.denominator * SCALE;
        let half = if numerator < 0 { -denominator / 2 } else { denominator / 2 };
        (numerator + half) / denominator
    }
}
