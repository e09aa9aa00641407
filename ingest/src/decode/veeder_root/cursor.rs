//! Fixed-width fields of ASCII, one after the other, with the byte where each begins.

use jiff::civil::DateTime;

use super::super::Refusal;
use super::{TankNumber, printable, shape};

/// The century of two-digit years.
const CENTURY: i16 = 2000;

#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Where `rest` begins in the payload.
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { rest: bytes, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], Refusal> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(shape(self.at + self.rest.len(), format!("the reply ends in the middle of {what}")));
        };
        self.rest = rest;
        self.at += count;
        Ok(taken)
    }

    /// Up to eight digits.
    pub(super) fn hex(&mut self, digits: usize, what: &str) -> Result<u32, Refusal> {
        self.digits(digits, 16, what)
    }

    pub(super) fn decimal(&mut self, digits: usize, what: &str) -> Result<u32, Refusal> {
        self.digits(digits, 10, what)
    }

    fn digits(&mut self, digits: usize, radix: u32, what: &str) -> Result<u32, Refusal> {
        debug_assert!(digits <= 8, "eight digits fill 32 bits");
        let at = self.at;
        let mut number = 0;
        for (place, byte) in self.take(digits, what)?.iter().enumerate() {
            let digit = char::from(*byte).to_digit(radix);
            let digit =
                digit.ok_or_else(|| shape(at + place, format!("{} in {what} is no digit", printable(*byte))))?;
            number = number * radix + digit;
        }
        Ok(number)
    }

    /// Two digits below 100.
    pub(super) fn two(&mut self, what: &str) -> Result<u8, Refusal> {
        let number = self.decimal(2, what)?;
        Ok(u8::try_from(number).unwrap_or(u8::MAX))
    }

    pub(super) fn tank(&mut self) -> Result<TankNumber, Refusal> {
        let at = self.at;
        match self.two("a tank number")? {
            0 => Err(shape(at, "a tank has the number 00, which means all of them")),
            tank => Ok(tank),
        }
    }

    /// An IEEE float as eight hexadecimal digits; `None` for what is no number.
    pub(super) fn float(&mut self, what: &str) -> Result<Option<f64>, Refusal> {
        let number = f32::from_bits(self.hex(8, what)?);
        Ok(number.is_finite().then(|| f64::from(number)))
    }

    /// `YYMMDDHHmm`.
    pub(super) fn time(&mut self, what: &str) -> Result<DateTime, Refusal> {
        let at = self.at;
        let mut two = || self.two(what).map(u8::cast_signed);
        let (year, month, day, hour, minute) = (two()?, two()?, two()?, two()?, two()?);
        DateTime::new(CENTURY + i16::from(year), month, day, hour, minute, 0, 0)
            .map_err(|_| shape(at, format!("{what} {year:02}{month:02}{day:02}{hour:02}{minute:02} is no date")))
    }

    /// One printable character.
    pub(super) fn product(&mut self) -> Result<Option<String>, Refusal> {
        let at = self.at;
        match self.take(1, "a product code")? {
            [b' '] => Ok(None),
            [code @ 0x21..=0x7e] => Ok(Some(char::from(*code).to_string())),
            other => Err(shape(at, format!("{} is no product code", printable(other.first().copied().unwrap_or(0))))),
        }
    }
}
