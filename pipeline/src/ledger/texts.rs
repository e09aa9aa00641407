//! Words for people, and ISO 8583:1993 action codes.
//!
//! In: a code and the figures behind it. Out: what the cashier reads, what the manager reads. Guarantees: the cashier's
//! text says nothing about money, limits or suspicion. Does not: translate.

use model::{Code, Currency, Millilitres, MinorUnits, Text, TransactionKind, Verdict};

use super::card_limits::{Limit, LimitKind};
use super::contract::clamped;
use super::decide::Case;

pub(super) fn of(code: Code, manager: String) -> Text {
    let cashier = match code {
        Code::Approved
        | Code::ApprovedFlagged
        | Code::AmountMismatch
        | Code::CompletionAboveHold
        | Code::CompletionLate
        | Code::PostedOffline => "Approved",
        Code::FmtInvalid | Code::FmtClock | Code::FmtKeyReused | Code::CurrencyMismatch => {
            "Declined. The terminal needs service"
        }
        Code::CardUnknown | Code::CardBlocked => "Declined. This card cannot be used",
        Code::OriginalUnknown | Code::OriginalClosed => "Declined. The original transaction was not found",
        Code::ContractUnknown
        | Code::Funds
        | Code::LimitPeriod
        | Code::FraudVelocity
        | Code::FraudTravel
        | Code::ContractExists
        | Code::CardExists
        | Code::TimeZoneUnknown => "Declined. The driver should call the fleet office",
    };
    Text { cashier: cashier.to_owned(), manager }
}

/// Data element 39 of ISO 8583:1993.
pub(super) fn iso39(verdict: Verdict, code: Code, kind: TransactionKind) -> &'static str {
    match (verdict, code) {
        (Verdict::Approve, _) if kind == TransactionKind::Reversal => "400", // reversal accepted
        (Verdict::Approve, _) => "000",
        (Verdict::Partial, _) => "002",                     // approved for partial amount
        (Verdict::Decline, Code::CardUnknown) => "118",     // no card record
        (Verdict::Decline, Code::CardBlocked) => "104",     // restricted card
        (Verdict::Decline, Code::ContractUnknown) => "119", // transaction not permitted to cardholder
        (Verdict::Decline, Code::Funds) => "116",           // not sufficient funds
        (Verdict::Decline, Code::LimitPeriod) => "121",     // exceeds withdrawal amount limit
        (Verdict::Decline, Code::FraudVelocity) => "123",   // exceeds withdrawal frequency limit
        (Verdict::Decline, Code::FraudTravel) => "102",     // suspected fraud
        (Verdict::Decline, Code::AmountMismatch) => "110",  // invalid amount
        (Verdict::Decline, Code::FmtKeyReused) => "913",    // duplicate transmission
        (Verdict::Decline, Code::OriginalUnknown | Code::OriginalClosed) => "914", // not able to trace back
        (Verdict::Decline, _) => "904",                     // format error
    }
}

/// `12.5 L`.
pub(super) fn litres(volume: Millilitres) -> String {
    let (whole, rest) = (volume.get() / 1000, volume.get() % 1000);
    if rest == 0 {
        return format!("{whole} L");
    }
    let digits = format!("{rest:03}");
    format!("{whole}.{} L", digits.trim_end_matches('0'))
}

/// `1234.50 RUB`.
pub(super) fn money(amount: MinorUnits, currency: Currency) -> String {
    let sign = if amount.is_negative() { "-" } else { "" };
    let digits = currency.minor_digits() as usize;
    let (whole, rest) = (
        amount.get().unsigned_abs() / 10_u64.pow(currency.minor_digits()),
        amount.get().unsigned_abs() % 10_u64.pow(currency.minor_digits()),
    );
    if digits == 0 { format!("{sign}{whole} {currency}") } else { format!("{sign}{whole}.{rest:0digits$} {currency}") }
}

/// What is left of a limit: `Card ****1234 has 12.5 L of its 100 L left today`.
pub(super) fn left(case: &Case<'_>, limit: Limit) -> String {
    let currency = case.contract.currency;
    match limit.kind {
        LimitKind::Balance if limit.left < 0 => {
            format!("Contract {} is {} beyond what it has", case.contract_id, figure(limit.kind, -limit.left, currency))
        }
        LimitKind::Balance => {
            format!("Contract {} has {} available", case.contract_id, figure(limit.kind, limit.left, currency))
        }
        LimitKind::DailyVolume | LimitKind::DailyMoney => {
            let whole = figure(limit.kind, limit.limit, currency);
            if limit.left < 0 {
                let over = figure(limit.kind, -limit.left, currency);
                return format!("{} is {over} over its {whole} today", case.card_name());
            }
            let left = figure(limit.kind, limit.left, currency);
            format!("{} has {left} of its {whole} left today", case.card_name())
        }
    }
}

/// A figure of a limit in its own measure; not negative.
pub(super) fn figure(kind: LimitKind, value: i64, currency: Currency) -> String {
    match kind {
        LimitKind::DailyVolume => {
            litres(u64::try_from(value).ok().and_then(|ml| Millilitres::new(ml).ok()).unwrap_or_default())
        }
        LimitKind::DailyMoney | LimitKind::Balance => money(clamped(value), currency),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(litres(Millilitres::new(12_500).expect("in range")), "12.5 L");
        assert_eq!(litres(Millilitres::new(60_005).expect("in range")), "60.005 L");
        assert_eq!(litres(Millilitres::from_litres(100)), "100 L");
        let minor = |minor| MinorUnits::new(minor).expect("in range");
        assert_eq!(money(minor(-416_705), Currency::RUB), "-4167.05 RUB");
        assert_eq!(money(minor(695), Currency::new("JPY").expect("a code")), "695 JPY");
        assert_eq!(money(minor(1_005), Currency::new("KWD").expect("a code")), "1.005 KWD");
    }
}
