//! Finds what looks like a real payment card number: 13 to 19 digits whose last one is the Luhn check digit.
//!
//! In: text from outside. Out: whether it holds one; or the text with all but the last four digits starred.
//! Guarantees: a number written without separators is found. Does not: find numbers written in groups.

use std::ops::Range;

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
/// Digits that may stay readable (PCI DSS 4.0.1, 3.4.1 allows more; people need no more here).
const SHOWN: usize = 4;

/// Whether a run of digits in the text is a card number. Parts of a longer run are not tried: most numbers of 16 digits
/// hold some shorter part with a right check digit.
pub(super) fn is_in(text: &str) -> bool {
    digit_runs(text.as_bytes()).any(|run| is_card_number(&text.as_bytes()[run]))
}

/// Most digits that stand side by side.
pub(super) fn longest_digit_run(text: &str) -> usize {
    digit_runs(text.as_bytes()).map(|run| run.len()).max().unwrap_or(0)
}

/// The bytes with card numbers starred; `None` when there is none.
///
/// Numbers that begin with 0 or 1 are left alone: no fuel or bank card does, and times in microseconds do.
pub(crate) fn masked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut copy: Option<Vec<u8>> = None;
    for run in digit_runs(bytes) {
        let digits = &bytes[run.clone()];
        if digits[0] > b'1' && is_card_number(digits) {
            let copy = copy.get_or_insert_with(|| bytes.to_vec());
            copy[run.start..run.end - SHOWN].fill(b'*');
        }
    }
    copy
}

fn is_card_number(digits: &[u8]) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && luhn(digits)
}

fn digit_runs(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + bytes[at..].iter().position(u8::is_ascii_digit)?;
        let length = bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len() - start);
        at = start + length;
        Some(start..at)
    })
}

/// ISO/IEC 7812-1, annex B. All bytes are digits.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit - b'0');
            if place % 2 == 0 { value } else { value * 2 - if value > 4 { 9 } else { 0 } }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_is_found_wherever_it_stands() {
        assert!(is_in("4111111111111111"));
        assert!(is_in("card-5555555555554444-x"));
        assert!(!is_in("4111111111111112"), "the check digit is wrong");
        assert!(!is_in("411111111111"), "twelve digits are none");
        assert!(!is_in("9f1c-22b7-004a"));
    }

    #[test]
    fn a_masked_text_keeps_the_last_four_digits_and_everything_else() {
        let text = br#"{"token":"7826010123456788","at":1768404667000000"#;
        let masked = masked(text).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(masked.as_deref(), Some(r#"{"token":"************6788","at":1768404667000000"#));
        assert_eq!(super::masked(br#"{"tsn":123}"#), None);
    }
}
