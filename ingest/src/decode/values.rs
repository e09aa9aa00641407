//! Values of the right shape that cannot be: each check names the field and what it allows.

mod orders;
mod tanks;

use model::{
    CardToken, DeciCelsius, Item, MinorUnits, Reading, ReadingMessage, RejectReason, Request, RequestBody, Transaction,
    TransactionKind, Unit,
};

use super::card_number;
use super::{ITEMS_MAX, Refusal, TEXT_BYTES_MAX, short, version};

pub(super) use orders::command;
pub(super) use tanks::{moved, setup};

const LATITUDE_E6_MAX: i32 = 90_000_000;
const LONGITUDE_E6_MAX: i32 = 180_000_000;
/// Offsets from UTC in use go from −12 to +14 hours; both sides are treated alike.
const UTC_OFFSET_MIN_MAX: u16 = 14 * 60;
const TSN_MAX: u32 = 999_999;
/// Digits of a card that may be shown.
const SHOWN_DIGITS_MAX: usize = 4;
/// No tank is higher than 50 m.
const HEIGHT_MM_MAX: u32 = 50_000;
const TEMPERATURE_DC_MIN: DeciCelsius = DeciCelsius(-1_000);
const TEMPERATURE_DC_MAX: DeciCelsius = DeciCelsius(1_500);

fn refused<T>(detail: String) -> Result<T, Refusal> {
    Err((RejectReason::Value, short(detail)))
}

pub(super) fn transaction(transaction: &Transaction) -> Result<(), Refusal> {
    let Transaction { kind, items, location, card, .. } = transaction;
    token("card.token", &card.token)?;
    if let Some(pan) = &card.pan_masked {
        pan_masked("card.pan_masked", pan)?;
    }
    if let Some(expiry) = &card.expiry {
        year_and_month(expiry)?;
    }
    if let Some(second) = &transaction.second_id {
        text("second_id.type", &second.kind)?;
        token("second_id.token", &second.token)?;
    }
    utc_offset(transaction.utc_offset_min)?;
    if let Some(tsn) = transaction.tsn
        && !(1..=TSN_MAX).contains(&tsn)
    {
        return refused(format!("tsn: {tsn}, from 1 to {TSN_MAX} is allowed"));
    }
    if let Some(location) = location {
        degrees("location.lat_e6", location.lat_e6, LATITUDE_E6_MAX)?;
        degrees("location.lon_e6", location.lon_e6, LONGITUDE_E6_MAX)?;
    }
    if items.is_empty() && !needs_no_items(*kind) {
        return refused(format!("items: none in a {}", kind_name(*kind)));
    }
    if items.len() > ITEMS_MAX {
        return refused(format!("items: {}, at most {ITEMS_MAX} are allowed", items.len()));
    }
    for (place, item) in items.iter().enumerate() {
        quantity(place, item, *kind)?;
        if item.amount_minor.is_some_and(MinorUnits::is_negative) {
            return refused(format!("items[{place}].amount_minor: negative"));
        }
    }
    let prompts = &transaction.prompts;
    for (name, value) in [
        ("batch", &transaction.batch),
        ("prompts.driver_id", &prompts.driver_id),
        ("prompts.vehicle", &prompts.vehicle),
        ("prompts.trip", &prompts.trip),
        ("prompts.trailer", &prompts.trailer),
        ("offline.reason", &transaction.offline.reason),
    ] {
        if let Some(value) = value {
            text(name, value)?;
        }
    }
    Ok(())
}

pub(super) fn request(request: &Request) -> Result<(), Refusal> {
    match &request.body {
        RequestBody::Transaction(body) => {
            version(body.v)?;
            transaction(body)
        }
        RequestBody::Command(body) => {
            version(body.v)?;
            if let Some(contract) = &request.contract
                && *contract != body.contract
            {
                return refused(format!("contract: {contract}, but the order is for {}", body.contract));
            }
            command(body)
        }
        RequestBody::Tick(_) if request.contract.is_none() => refused("contract: missing in a tick".to_owned()),
        RequestBody::Tick(_) => Ok(()),
    }
}

pub(super) fn reading(message: &ReadingMessage) -> Result<(), Refusal> {
    if message.capacity_ml.is_some_and(|capacity| capacity.get() == 0) {
        return refused("capacity_ml: 0".to_owned());
    }
    for (name, height) in [("height_mm", message.height_mm), ("water_mm", message.water_mm)] {
        if let Some(height) = height
            && height.0 > HEIGHT_MM_MAX
        {
            return refused(format!("{name}: {}, at most {HEIGHT_MM_MAX} is possible", height.0));
        }
    }
    for (name, height) in [("height_dmm", message.height_dmm), ("water_dmm", message.water_dmm)] {
        if let Some(height) = height
            && height.0 > HEIGHT_MM_MAX * 10
        {
            return refused(format!("{name}: {}, at most {} is possible", height.0, HEIGHT_MM_MAX * 10));
        }
    }
    if let Some(temperature) = message.temperature_cc
        && !(TEMPERATURE_DC_MIN.0 * 10..=TEMPERATURE_DC_MAX.0 * 10).contains(&temperature.0)
    {
        return refused(format!(
            "temperature_cc: {}, from {} to {} is possible",
            temperature.0,
            TEMPERATURE_DC_MIN.0 * 10,
            TEMPERATURE_DC_MAX.0 * 10
        ));
    }
    let knows_a_level = message.volume_ml.is_some()
        || message.volume_15_ml.is_some()
        || message.percent_e2.is_some()
        || message.height_mm.is_some()
        || message.height_dmm.is_some();
    if !knows_a_level && message.status & Reading::INVALID_HEIGHT == 0 {
        return refused("none of volume_ml, volume_15_ml, height_mm, height_dmm and percent_e2".to_owned());
    }
    if let Some(temperature) = message.temperature_dc
        && !(TEMPERATURE_DC_MIN..=TEMPERATURE_DC_MAX).contains(&temperature)
    {
        return refused(format!(
            "temperature_dc: {}, from {} to {} is possible",
            temperature.0, TEMPERATURE_DC_MIN.0, TEMPERATURE_DC_MAX.0
        ));
    }
    Ok(())
}

/// Litres stand in `qty_ml` and may be open before the sale; pieces stand in `pieces` and are always known.
fn quantity(place: usize, item: &Item, kind: TransactionKind) -> Result<(), Refusal> {
    let field = |name: &str| format!("items[{place}].{name}");
    match item.unit {
        Unit::L if item.pieces.is_some() => {
            refused(format!("{}: given, but the unit is L: use qty_ml", field("pieces")))
        }
        Unit::L if item.qty_ml.is_none() && is_after_the_sale(kind) => {
            refused(format!("{}: missing in a {}", field("qty_ml"), kind_name(kind)))
        }
        Unit::Pieces if item.qty_ml.is_some() => {
            refused(format!("{}: given, but the unit is PCS: use pieces", field("qty_ml")))
        }
        Unit::Pieces if item.pieces.is_none() && !needs_no_items(kind) => {
            refused(format!("{}: missing where the unit is PCS", field("pieces")))
        }
        Unit::L | Unit::Pieces => Ok(()),
    }
}

/// An inquiry asks for nothing; a reversal and a void undo their original whole.
fn needs_no_items(kind: TransactionKind) -> bool {
    matches!(kind, TransactionKind::Balance | TransactionKind::Reversal | TransactionKind::Void)
}

/// What was sold is known, so its quantity must be given.
fn is_after_the_sale(kind: TransactionKind) -> bool {
    match kind {
        TransactionKind::Sale
        | TransactionKind::Completion
        | TransactionKind::AdviceOffline
        | TransactionKind::Forced
        | TransactionKind::Refund => true,
        TransactionKind::Preauth
        | TransactionKind::Incremental
        | TransactionKind::Reversal
        | TransactionKind::Void
        | TransactionKind::Balance
        | TransactionKind::DryRun => false,
    }
}

fn kind_name(kind: TransactionKind) -> &'static str {
    match kind {
        TransactionKind::Preauth => "preauth",
        TransactionKind::Sale => "sale",
        TransactionKind::Incremental => "incremental",
        TransactionKind::Completion => "completion",
        TransactionKind::AdviceOffline => "advice_offline",
        TransactionKind::Forced => "forced",
        TransactionKind::Reversal => "reversal",
        TransactionKind::Void => "void",
        TransactionKind::Refund => "refund",
        TransactionKind::Balance => "balance",
        TransactionKind::DryRun => "dry_run",
    }
}

/// A token stands in for a card number; the number itself must not come in, not even by mistake.
fn token(field: &str, token: &CardToken) -> Result<(), Refusal> {
    if card_number::is_in(token.as_str()) {
        return refused(format!("{field}: holds a card number; send a token"));
    }
    Ok(())
}

fn pan_masked(field: &str, pan: &str) -> Result<(), Refusal> {
    text(field, pan)?;
    if card_number::is_in(pan) || card_number::longest_digit_run(pan) > SHOWN_DIGITS_MAX {
        return refused(format!("{field}: shows more than {SHOWN_DIGITS_MAX} digits side by side"));
    }
    Ok(())
}

fn year_and_month(expiry: &str) -> Result<(), Refusal> {
    let month = expiry.get(2..).and_then(|month| month.parse::<u8>().ok());
    let is_right = expiry.len() == 4
        && expiry.bytes().all(|byte| byte.is_ascii_digit())
        && month.is_some_and(|month| (1..=12).contains(&month));
    if is_right { Ok(()) } else { refused(format!("card.expiry: {expiry:?} is no year and month like 2812")) }
}

fn utc_offset(minutes: i16) -> Result<(), Refusal> {
    if minutes.unsigned_abs() > UTC_OFFSET_MIN_MAX {
        return refused(format!("utc_offset_min: {minutes} minutes, at most {UTC_OFFSET_MIN_MAX} either way"));
    }
    Ok(())
}

fn degrees(field: &str, value: i32, max: i32) -> Result<(), Refusal> {
    if (-max..=max).contains(&value) { Ok(()) } else { refused(format!("{field}: {value} is off the globe")) }
}

fn text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_BYTES_MAX {
        return refused(format!("{field}: {} bytes, at most {TEXT_BYTES_MAX} are allowed", text.len()));
    }
    if card_number::is_in(text) {
        return refused(format!("{field}: holds a card number"));
    }
    Ok(())
}

fn filled(field: &str, value: &str) -> Result<(), Refusal> {
    text(field, value)?;
    if value.trim().is_empty() { refused(format!("{field}: empty")) } else { Ok(()) }
}
