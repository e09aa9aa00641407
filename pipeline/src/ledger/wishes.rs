//! What is asked for, and how much of it fits.
//!
//! In: items as terminals send them; limits with what is left. Out: lines with quantity and net amount; the part of them that
//! fits into all limits. Guarantees: bounded number, no overflow, what is granted fits, money included; a zero or negative
//! rest grants nothing; pieces stay whole. Does not: decide whether less is good enough.

use model::{
    Currency, DiscountOff, Item, LimitMode, Malformed, Measure, Millilitres, MinorUnits, PriceE4, TransactionKind, Unit,
};

use super::decide::{Applied, Case};
use super::lines::{CodeIx, Line, NO_CODE, Selector};
use super::state::{Contract, minor};

/// Lines of one receipt.
pub(super) const ITEMS_MAX: usize = 16;
/// A station may round its amount this much differently, in minor units.
const ROUNDING_MINOR: i64 = 1;
const ML_PER_PIECE: u64 = 1_000;

/// The lines of the request. A quantity that is not given follows from the amount, an amount from the quantity; what cannot
/// be known is zero, but for asking kinds a fill-up stands at its largest.
pub(super) fn read(case: &Case<'_>, lines: &mut Vec<Line>) -> Result<(), Malformed> {
    let transaction = case.transaction;
    let items = &transaction.items;
    if items.is_empty() {
        return Err(Malformed::NoItem);
    }
    if items.len() > ITEMS_MAX {
        return Err(Malformed::TooManyItems);
    }
    let asking = asks(transaction.kind) && !case.is_offline();
    let fill_up = transaction.fill_up && asking;
    if fill_up && transaction.kind == TransactionKind::Sale {
        return Err(Malformed::FillUpInSale);
    }
    let (mut ml_sum, mut minor_sum) = (Millilitres::ZERO, MinorUnits::ZERO);
    for (place, item) in items.iter().enumerate() {
        let filled = fill_up && place == 0;
        let codes = case.codes.get(place).copied().unwrap_or((NO_CODE, NO_CODE));
        let line = read_item(case, item, codes, filled, asking)?;
        let ml = Millilitres::new(u64::try_from(line.ml).unwrap_or(u64::MAX)).map_err(|_| Malformed::OutOfRange)?;
        ml_sum = ml_sum.plus(ml).map_err(|_| Malformed::OutOfRange)?;
        minor_sum = minor_sum.plus(minor(line.minor)).map_err(|_| Malformed::OutOfRange)?;
        lines.push(line);
    }
    let money = case.contract.money;
    let ends = [money.own - money.unbilled - minor_sum.get(), money.own + money.credit + minor_sum.get()];
    if ends.into_iter().any(|end| MinorUnits::new(end).is_err()) {
        return Err(Malformed::OutOfRange);
    }
    Ok(())
}

/// Kinds that ask before anything is sold.
pub(super) fn asks(kind: TransactionKind) -> bool {
    matches!(
        kind,
        TransactionKind::Preauth | TransactionKind::Sale | TransactionKind::DryRun | TransactionKind::Incremental
    )
}

fn read_item(
    case: &Case<'_>,
    item: &Item,
    (code, group): (CodeIx, CodeIx),
    filled: bool,
    asking: bool,
) -> Result<Line, Malformed> {
    let contract = case.contract;
    let currency = contract.currency;
    let amount = item.amount_minor;
    if amount.is_some_and(MinorUnits::is_negative) {
        return Err(Malformed::NegativeAmount);
    }
    if asking && item.price_e4 == PriceE4::default() {
        return Err(Malformed::NoPrice);
    }
    let mut line = Line {
        code,
        group,
        price_e4: u32::try_from(item.price_e4.get()).unwrap_or(u32::MAX),
        counted_in_pieces: item.unit == Unit::Pieces,
        ..Line::default()
    };
    match item.unit {
        Unit::L => {
            if item.pieces.is_some() {
                return Err(Malformed::WrongUnit);
            }
            let paid_for = || item.price_e4.volume_within(amount?, currency);
            let given = item.qty_ml.or_else(paid_for);
            let ml = if filled { Some(largest_fill(case, item.qty_ml)) } else { given };
            if ml.is_none_or(|ml| ml == Millilitres::ZERO) && (asking || item.qty_ml.is_none()) {
                return Err(Malformed::NoQuantity);
            }
            line.ml = i64::try_from(ml.unwrap_or_default().get()).map_err(|_| Malformed::OutOfRange)?;
        }
        Unit::Pieces => {
            if item.qty_ml.is_some() || filled {
                return Err(Malformed::WrongUnit);
            }
            line.pieces = item.pieces.filter(|pieces| *pieces > 0 || !asking).ok_or(Malformed::NoQuantity)?;
        }
    }
    let computed = gross(&line, currency).ok_or(Malformed::OutOfRange)?;
    let stated = if filled { None } else { amount.map(MinorUnits::get) };
    let gross_minor = stated.unwrap_or(computed);
    line.discount_minor = (computed - net(&line, contract).ok_or(Malformed::OutOfRange)?).clamp(0, gross_minor);
    line.minor = gross_minor - line.discount_minor;
    Ok(line)
}

/// The terminal's own cut-off, the vehicle's tank, or the largest fill-up: the least of them.
fn largest_fill(case: &Case<'_>, cut_off: Option<Millilitres>) -> Millilitres {
    let largest = case.config.fill_up_ml_max;
    let tank = case.contract.vehicle(case.vehicle).and_then(|vehicle| vehicle.party.tank_ml);
    let cut_off = cut_off.filter(|cut_off| cut_off.get() > 0);
    [cut_off, tank].into_iter().flatten().fold(largest, Millilitres::min)
}

/// Quantity times price.
fn gross(line: &Line, currency: Currency) -> Option<i64> {
    times(line.price_e4, line, currency)
}

/// Quantity times the price less the contract's discount.
fn net(line: &Line, contract: &Contract) -> Option<i64> {
    if contract.discounts.is_empty() {
        return gross(line, contract.currency);
    }
    times(net_price(line, contract), line, contract.currency)
}

fn times(price_e4: u32, line: &Line, currency: Currency) -> Option<i64> {
    let price = PriceE4::new(u64::from(price_e4)).ok()?;
    let quantity =
        if line.counted_in_pieces { u64::from(line.pieces) * ML_PER_PIECE } else { u64::try_from(line.ml).ok()? };
    price.amount(Millilitres::new(quantity).ok()?, currency).ok().map(MinorUnits::get)
}

/// The price less the discount that fits best: the product's, else its group's, else that on all.
fn net_price(line: &Line, contract: &Contract) -> u32 {
    let of = |selector: Selector| contract.discounts.iter().find(|(known, _)| *known == selector);
    let named = [Selector::Product(line.code), Selector::Group(line.group)];
    let known =
        named.into_iter().filter(|selector| !matches!(selector, Selector::Product(NO_CODE) | Selector::Group(NO_CODE)));
    let Some((_, discount)) = known.chain([Selector::All]).find_map(of) else { return line.price_e4 };
    let off = match discount.off {
        DiscountOff::PriceE4(off) => off,
        DiscountOff::BasisPoints(points) => {
            u32::try_from((u64::from(line.price_e4) * u64::from(points) + 5_000) / 10_000).unwrap_or(u32::MAX)
        }
    };
    line.price_e4.saturating_sub(off)
}

/// What a litre of the first fuel costs the contract; 0 for none.
pub(super) fn fuel_price(contract: &Contract, lines: &[Line]) -> u32 {
    let fuel = lines.iter().find(|line| !line.counted_in_pieces);
    fuel.map_or(0, |line| if contract.discounts.is_empty() { line.price_e4 } else { net_price(line, contract) })
}

/// True where the station's amount is not quantity times price.
pub(super) fn mismatch(case: &Case<'_>, lines: &[Line]) -> bool {
    case.transaction.items.iter().zip(lines).any(|(item, line)| {
        let Some(stated) = item.amount_minor else { return false };
        let given = item.qty_ml.is_some() || item.pieces.is_some();
        given
            && gross(line, case.contract.currency)
                .is_some_and(|computed| (computed - stated.get()).abs() > ROUNDING_MINOR)
    })
}

/// Line by line, as much as fits into every limit that declines. A fill-up's first line comes last: it takes what the others
/// leave. Leaves in `rest` what remains of each limit.
pub(super) fn grant(case: &Case<'_>, wished: &[Line], applied: &mut [Applied], granted: &mut Vec<Line>) {
    granted.clear();
    granted.extend_from_slice(wished);
    let fill_up = case.transaction.fill_up && asks(case.transaction.kind);
    let first = usize::from(fill_up);
    for place in (first..granted.len()).chain(0..first) {
        let Some(line) = granted.get_mut(place) else { continue };
        let (mut room_ml, mut room_minor, mut purchases) = (i64::MAX, i64::MAX, i64::MAX);
        for limit in applied.iter() {
            if limit.mode == LimitMode::Decline && limit.selector.matches(line) {
                match limit.measure {
                    Measure::Volume => room_ml = room_ml.min(limit.rest),
                    Measure::Money => room_minor = room_minor.min(limit.rest),
                    Measure::Count => purchases = purchases.min(limit.rest),
                }
            }
        }
        cut(line, room_ml, room_minor, purchases, case.contract);
        for limit in applied.iter_mut() {
            if limit.selector.matches(line) {
                match limit.measure {
                    Measure::Volume => limit.rest = limit.rest.saturating_sub(line.ml),
                    Measure::Money => limit.rest = limit.rest.saturating_sub(line.minor),
                    Measure::Count => {} // one purchase, whatever its lines
                }
            }
        }
    }
}

fn cut(line: &mut Line, room_ml: i64, room_minor: i64, purchases: i64, contract: &Contract) {
    let volume_fits = line.counted_in_pieces || line.ml <= room_ml;
    let nothing_left = purchases < 1 || room_minor <= 0;
    if !nothing_left && volume_fits && line.minor <= room_minor {
        return;
    }
    let affordable = PriceE4::new(u64::from(net_price(line, contract)))
        .ok()
        .and_then(|price| price.volume_within(minor(room_minor), contract.currency));
    let affordable = affordable.map_or(u64::MAX, Millilitres::get);
    if nothing_left {
        (line.ml, line.pieces) = (0, 0);
    } else if line.counted_in_pieces {
        line.pieces = line.pieces.min(u32::try_from(affordable / ML_PER_PIECE).unwrap_or(u32::MAX));
    } else {
        let fits = i64::try_from(affordable).unwrap_or(i64::MAX);
        line.ml = line.ml.min(room_ml.max(0)).min(fits);
    }
    let (full, reduced) = (gross(line, contract.currency), net(line, contract));
    line.minor = reduced.unwrap_or(0);
    line.discount_minor = full.unwrap_or(0) - line.minor;
    if line.minor > room_minor.max(0) {
        (line.ml, line.pieces, line.minor, line.discount_minor) = (0, 0, 0, 0);
    }
}
