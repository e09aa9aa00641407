//! The values of a register's cells: figures, dates, names.
//!
//! Guarantees: what could mean two things is refused, with both.

use jiff::civil::{Date, DateTime};
use model::{Currency, MinorUnits};

use super::TEXT_BYTES_MAX;

/// Spaces of any width that people and programs put between thousands.
const SPACES: [char; 5] = [' ', '\u{a0}', '\u{202f}', '\u{2009}', '\''];

/// A reference or a name.
pub(super) fn text(text: &str) -> Result<String, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("{} bytes, at most {TEXT_BYTES_MAX} are kept", text.len()));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("holds {control:?}")),
        None => Ok(text.to_owned()),
    }
}

pub(super) fn currency(text: &str) -> Result<Currency, String> {
    let code = text.to_uppercase();
    Currency::new(&code).ok_or_else(|| format!("{text:?} is no currency: three letters like KZT are expected"))
}

/// `2026-01-19` or `19.01.2026`, with or without a time of day.
pub(super) fn date(text: &str) -> Result<Date, String> {
    let wrong = || format!("{text:?} is no day like 2026-01-19 or 19.01.2026");
    let day = text.split([' ', 'T']).next().unwrap_or(text);
    if day != text && text.replacen(' ', "T", 1).parse::<DateTime>().is_err() && !dotted_with_time(text) {
        return Err(wrong());
    }
    let parts: Vec<&str> = day.split('.').collect();
    let date = match parts.as_slice() {
        [day, month, year] if day.len() == 2 && month.len() == 2 && year.len() == 4 => {
            format!("{year}-{month}-{day}").parse::<Date>()
        }
        _ if day.len() == 10 => day.parse::<Date>(),
        _ => return Err(wrong()),
    };
    let date = date.map_err(|_| wrong())?;
    if (2000..2100).contains(&date.year()) { Ok(date) } else { Err(format!("the year {} cannot be", date.year())) }
}

/// `19.01.2026 10:22:33`.
fn dotted_with_time(text: &str) -> bool {
    text.split_once(' ').is_some_and(|(_, time)| time.parse::<jiff::civil::Time>().is_ok())
}

/// Money that arrived, with a point or a comma before the coins: `1 234,50`, `1,234.50`, `1234.5`, `1234`.
pub(super) fn amount(text: &str, currency: Currency) -> Result<MinorUnits, String> {
    let wrong = || format!("{text:?} is no amount like 1234.50 or 1 234,50");
    if text.starts_with(['-', '\u{2212}']) {
        return Err(format!("{text:?} is below zero: a register holds money that arrived"));
    }
    let plain: String = text.chars().map(|c| if SPACES.contains(&c) { ' ' } else { c }).collect();
    if plain.is_empty() || !plain.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | ',' | '.')) {
        return Err(wrong());
    }
    let digits = currency.minor_digits() as usize;
    let (whole, coins) = match (plain.matches(',').count(), plain.matches('.').count()) {
        (0, 0) => (plain.as_str(), ""),
        (commas, 0) => apart(&plain, ',', commas),
        (0, points) => apart(&plain, '.', points),
        // The mark that comes last stands before the coins.
        _ => plain.rsplit_once([',', '.']).unwrap_or((&plain, "")),
    };
    if coins.len() > digits {
        let thousands = coins.len() == 3 && plain.matches([',', '.']).count() == 1 && whole.len() <= 3;
        return Err(if thousands {
            format!("{text:?} may be thousands or coins: write it without the mark, or with {digits} digits after it")
        } else {
            format!("{text:?} goes below the smallest coin of {currency}")
        });
    }
    let whole = grouped(whole).ok_or_else(wrong)?;
    let minor: i64 = format!("{whole}{coins:0<digits$}").parse().map_err(|_| format!("{text:?} is too large"))?;
    if !coins.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    if minor == 0 {
        return Err("0 is no payment".to_owned());
    }
    MinorUnits::new(minor).map_err(|_| format!("{text:?} is too large"))
}

/// The mark stands before the coins when it comes once; more than once, it stands between thousands.
fn apart(plain: &str, mark: char, count: usize) -> (&str, &str) {
    if count == 1 { plain.split_once(mark).unwrap_or((plain, "")) } else { (plain, "") }
}

/// The digits of a whole number whose thousands may be set apart, by one kind of mark; `None` when they are set apart wrongly.
fn grouped(text: &str) -> Option<String> {
    let Some(mark) = text.chars().find(|c| !c.is_ascii_digit()) else {
        return (!text.is_empty()).then(|| text.to_owned());
    };
    let mut groups = text.split(mark);
    let first = groups.next()?;
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let fits = (1..=3).contains(&first.len()) && digits(first) && groups.all(|group| group.len() == 3 && digits(group));
    fits.then(|| text.replace(mark, ""))
}
