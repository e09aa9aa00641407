//! What a quantity costs, by the definition alone.

use model::Currency;

/// Minor units of `quantity` (ml or pieces) at a price in ten-thousandths, rounded half up.
pub(crate) fn amount(price_e4: i64, quantity: i64, litres: bool, currency: Currency) -> i64 {
    let divisor = divisor(litres, currency);
    let exact = i128::from(price_e4) * i128::from(quantity);
    i64::try_from((exact + divisor / 2).div_euclid(divisor)).unwrap()
}

/// How many ten-thousandths times ml (or pieces) make one minor unit.
pub(crate) fn divisor(litres: bool, currency: Currency) -> i128 {
    10_i128.pow(if litres { 7 } else { 4 } - currency.minor_digits())
}
