//! Product lines of a transaction: quantities and amounts made whole and checked.
//!
//! In: items as terminals send them. Out: items with quantity and amount, or what is wrong with them. Guarantees: bounded
//! number, no overflow. Does not: know limits.

use model::{Currency, Item, Millilitres, MinorUnits, SoldItem};

use super::contract::Quantity;

/// Lines of one receipt.
pub(super) const ITEMS_MAX: usize = 16;
/// A station may round its amount this much differently, in minor units.
const ROUNDING_MINOR: i64 = 1;

/// What was asked for or sold. A quantity that is not given follows from the amount, an amount from the quantity; what
/// cannot be known is zero. The station's own amount stands as it is.
pub(super) fn asked(items: &[Item], currency: Currency) -> Vec<SoldItem> {
    let whole = |item: &Item| {
        let qty_ml = item.qty_ml.or_else(|| item.price_e4.volume_within(item.amount_minor?, currency));
        let qty_ml = qty_ml.unwrap_or(Millilitres::ZERO);
        let amount = item.amount_minor.or_else(|| item.price_e4.amount(qty_ml, currency).ok());
        let amount_minor = amount.unwrap_or(MinorUnits::ZERO);
        SoldItem { code: item.code.clone(), qty_ml, price_e4: item.price_e4, amount_minor }
    };
    items.iter().take(ITEMS_MAX).map(whole).collect()
}

pub(super) fn sum(items: &[SoldItem]) -> Quantity {
    items.iter().fold(Quantity::default(), |sum, item| sum.plus(Quantity { ml: item.qty_ml, minor: item.amount_minor }))
}

/// What is wrong with the items, in words that continue "the request has …".
pub(super) fn problem(items: &[Item], currency: Currency) -> Option<&'static str> {
    if items.is_empty() {
        return Some("no item");
    }
    if items.len() > ITEMS_MAX {
        return Some("more than 16 items");
    }
    let mut total = (Millilitres::ZERO, MinorUnits::ZERO);
    for item in items {
        if item.amount_minor.is_some_and(MinorUnits::is_negative) {
            return Some("an amount below zero");
        }
        let qty_ml = item.qty_ml.unwrap_or(Millilitres::ZERO);
        let Ok(computed) = item.price_e4.amount(qty_ml, currency) else {
            return Some("an amount out of range");
        };
        let sums = (total.0.plus(qty_ml), total.1.plus(item.amount_minor.unwrap_or(computed)));
        let (Ok(ml), Ok(minor)) = sums else { return Some("an amount out of range") };
        total = (ml, minor);
    }
    None
}

/// True where the station's amount is not quantity times price.
pub(super) fn mismatch(items: &[Item], currency: Currency) -> bool {
    items.iter().any(|item| {
        let (Some(qty_ml), Some(amount)) = (item.qty_ml, item.amount_minor) else { return false };
        item.price_e4
            .amount(qty_ml, currency)
            .is_ok_and(|computed| (computed.get() - amount.get()).abs() > ROUNDING_MINOR)
    })
}
