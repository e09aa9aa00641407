//! Numbers, litres, money and moments as a language writes them.
//!
//! In: integers. Out: text, computed with integers only. Guarantees: no digit is lost or rounded.

use std::fmt::{self, Display, Formatter, Write};

use jiff::civil::DateTime;
use model::{Currency, Millilitres, MinorUnits, PriceE4, TimestampUs};

/// How a language writes numbers.
#[derive(Clone, Copy)]
pub(super) struct Style {
    decimal: char,
    thousands: char,
    litre: &'static str,
}

pub(super) const ENGLISH: Style = Style { decimal: '.', thousands: ',', litre: "L" };
/// Narrow no-break spaces between thousands.
pub(super) const RUSSIAN: Style = Style { decimal: ',', thousands: '\u{202f}', litre: "л" };
pub(super) const KAZAKH: Style = RUSSIAN;

impl Style {
    pub(super) fn whole(self, number: impl Into<i64>) -> Number {
        Number { minor: number.into(), digits: 0, trim: false, style: self }
    }
    /// `12.5 L`.
    pub(super) fn litres(self, volume: Millilitres) -> impl Display {
        self.millilitres(i64::try_from(volume.get()).unwrap_or(i64::MAX))
    }
    /// `12.5 L`, of a sum that may be below zero.
    pub(super) fn millilitres(self, ml: i64) -> impl Display {
        WithUnit(Number { minor: ml, digits: 3, trim: true, style: self }, Unit::Litre)
    }
    /// `69.45 RUB`: two digits, or as many as there are.
    pub(super) fn price(self, price: PriceE4, currency: Currency) -> impl Display {
        let e4 = i64::try_from(price.get()).unwrap_or(i64::MAX);
        let (minor, digits) = if e4 % 100 == 0 { (e4 / 100, 2) } else { (e4, 4) };
        WithUnit(Number { minor, digits, trim: digits == 4, style: self }, Unit::Money(currency))
    }
    /// `1,234.50 RUB`.
    pub(super) fn money(self, amount: MinorUnits, currency: Currency) -> impl Display {
        self.minor(amount.get(), currency)
    }
    /// `1,234.50 RUB`, of a sum.
    pub(super) fn minor(self, minor: i64, currency: Currency) -> impl Display {
        let number = Number { minor, digits: currency.minor_digits(), trim: false, style: self };
        WithUnit(number, Unit::Money(currency))
    }
}

/// An integer with a decimal point `digits` from its end.
pub(super) struct Number {
    minor: i64,
    digits: u32,
    /// Zeros at the end of the fraction say nothing.
    trim: bool,
    style: Style,
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(self.digits);
        let (whole, mut rest) = (self.minor.unsigned_abs() / unit, self.minor.unsigned_abs() % unit);
        if self.minor < 0 {
            f.write_char('-')?;
        }
        grouped(f, whole, self.style.thousands)?;
        let mut digits = self.digits as usize;
        while self.trim && digits > 0 && rest % 10 == 0 {
            rest /= 10;
            digits -= 1;
        }
        if digits > 0 { write!(f, "{}{rest:0digits$}", self.style.decimal) } else { Ok(()) }
    }
}

fn grouped(f: &mut Formatter<'_>, number: u64, separator: char) -> fmt::Result {
    if number < 1000 {
        return write!(f, "{number}");
    }
    grouped(f, number / 1000, separator)?;
    write!(f, "{separator}{:03}", number % 1000)
}

enum Unit {
    Litre,
    Money(Currency),
}

struct WithUnit(Number, Unit);

impl Display for WithUnit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(number, unit) = self;
        match unit {
            Unit::Litre => write!(f, "{number} {}", number.style.litre),
            Unit::Money(currency) => write!(f, "{number} {currency}"),
        }
    }
}

/// The date and the time of day of a moment in UTC.
pub(super) fn utc(at: TimestampUs) -> DateTime {
    let at = jiff::Timestamp::from_microsecond(at.get()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(jiff::tz::TimeZone::UTC).datetime()
}

/// `14.01.2026 17:31 UTC`, as Russian and Kazakh write it.
pub(super) struct Dotted(pub(super) TimestampUs);

impl Display for Dotted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let at = utc(self.0);
        write!(f, "{:02}.{:02}.{} {:02}:{:02} UTC", at.day(), at.month(), at.year(), at.hour(), at.minute())
    }
}

/// The largest of days, hours, minutes and seconds in which a time is whole; a day is 24 hours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Days(u32),
    Hours(u32),
    Minutes(u32),
    Seconds(u32),
}

impl Span {
    pub(super) fn of_secs(secs: u32) -> Self {
        match secs {
            _ if secs >= 2 * 86_400 && secs.is_multiple_of(86_400) => Self::Days(secs / 86_400),
            _ if secs >= 3600 && secs.is_multiple_of(3600) => Self::Hours(secs / 3600),
            _ if secs >= 60 && secs.is_multiple_of(60) => Self::Minutes(secs / 60),
            _ => Self::Seconds(secs),
        }
    }
    /// Of a clock that is off by so many hours, whatever the side.
    pub(super) fn of_hours(hours: i64) -> Self {
        let hours = u32::try_from(hours.unsigned_abs()).unwrap_or(u32::MAX);
        if hours >= 72 { Self::Days(hours / 24) } else { Self::Hours(hours) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        let ml = |ml| Millilitres::new(ml).expect("in range");
        let minor = |minor| MinorUnits::new(minor).expect("in range");
        assert_eq!(ENGLISH.litres(ml(12_500)).to_string(), "12.5 L");
        assert_eq!(ENGLISH.litres(ml(60_005)).to_string(), "60.005 L");
        assert_eq!(ENGLISH.litres(ml(1_000_100_000)).to_string(), "1,000,100 L");
        assert_eq!(RUSSIAN.litres(ml(1_250_500)).to_string(), "1\u{202f}250,5 л");
        assert_eq!(ENGLISH.money(minor(-416_705), Currency::RUB).to_string(), "-4,167.05 RUB");
        assert_eq!(RUSSIAN.money(minor(416_705), Currency::RUB).to_string(), "4\u{202f}167,05 RUB");
        assert_eq!(ENGLISH.money(minor(695), Currency::new("JPY").expect("a code")).to_string(), "695 JPY");
        assert_eq!(ENGLISH.money(minor(1_005), Currency::new("KWD").expect("a code")).to_string(), "1.005 KWD");
        let price = |e4| ENGLISH.price(PriceE4::new(e4).expect("in range"), Currency::EUR).to_string();
        assert_eq!([price(694_500), price(16_990), price(15_999)], ["69.45 EUR", "1.699 EUR", "1.5999 EUR"]);
        assert_eq!(ENGLISH.minor(i64::MIN, Currency::RUB).to_string(), "-92,233,720,368,547,758.08 RUB");
        assert_eq!(Dotted(TimestampUs::from_micros(1_768_411_867_000_000)).to_string(), "14.01.2026 17:31 UTC");
    }

    #[test]
    fn a_span_is_told_in_its_largest_whole_unit() {
        assert!(Span::of_secs(86_400) == Span::Hours(24));
        assert!(Span::of_secs(7 * 86_400) == Span::Days(7));
        assert!(Span::of_secs(90) == Span::Seconds(90));
        assert!(Span::of_hours(-30) == Span::Hours(30));
        assert!(Span::of_hours(744) == Span::Days(31));
    }
}
