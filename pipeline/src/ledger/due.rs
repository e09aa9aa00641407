//! What time alone brings about: holds expire, monthly fees fall due.
//!
//! In: a contract and a moment. Out: the facts that follow. Guarantees: one outcome stays small; no fee takes a balance out of
//! its range. Does not: know what time it is, or change anything itself.

use model::{Fact, MonthlyFee, TimestampUs};

use super::calendar;
use super::state::{Contract, Ix, MINOR_MAX, minor};
use super::tables::Tables;

/// Months whose fees one outcome charges; the rest follow.
pub(super) const FEE_MONTHS_MAX: usize = 24;
/// Holds that one outcome ends: keeps the record small when a contract comes back after a long silence.
const EXPIRIES_MAX: usize = 128;

/// The holds of a contract that have expired by `at`, soonest first: card and authorization.
pub(super) fn holds(contract: &Contract, at: TimestampUs) -> Vec<(Ix, i64)> {
    let mut expired: Vec<_> = contract.open_holds.iter().filter(|(expires_at, ..)| *expires_at <= at.get()).collect();
    expired.sort_unstable();
    expired.into_iter().take(EXPIRIES_MAX).map(|(_, card, auth)| (*card, *auth)).collect()
}

/// The fees of the first month that is due by `at`; called again until there is none.
pub(super) fn fees(tables: &Tables, ix: Ix, at: TimestampUs) -> Option<Vec<Fact>> {
    let contract = tables.contracts.get(ix as usize)?;
    let books = contract.books.as_ref().filter(|books| !books.fees.is_empty() && books.fees_due_us <= at.get())?;
    let zone = tables.zones.get(usize::from(contract.zone))?;
    let first = TimestampUs::from_micros(books.fees_due_us);
    let (year, month, _) = calendar::civil(zone.local(first).day);
    // No fee takes a balance out of its range; what is in the way of that is not charged.
    let mut room = contract.money.own.saturating_add(MINOR_MAX);
    let mut charge = |fee: &MonthlyFee| {
        let charged = fee.amount_minor.get().min(room);
        room -= charged;
        Fact::FeeCharged {
            name: fee.name.clone(),
            month: format!("{year:04}-{month:02}"),
            amount_minor: minor(charged),
        }
    };
    Some(books.fees.iter().map(&mut charge).collect())
}
