//! Fingerprints of requests: the same body gives the same number in every process and version.
//!
//! In: a transaction or an order. Out: 64 bits of all that must not differ between two sendings of the same thing: neither
//! the key itself, nor the time of sending, nor the author. Does not: resist someone who looks for collisions; it tells a
//! mistake from a repeat.

use model::{CommandMessage, Device, Entry, Item, Transaction, TransactionKind, Unit};

pub(super) fn of_transaction(transaction: &Transaction) -> u64 {
    // Taken apart by name, so that a new field cannot be forgotten here. A field that comes later is to be fed only when it
    // is there, or old fingerprints change.
    let Transaction {
        v: _,
        idem: _,
        kind,
        site,
        terminal,
        pump,
        device,
        entry,
        batch,
        shift,
        tsn,
        local_time,
        utc_offset_min,
        sent_at_us: _,
        location,
        region,
        country,
        card,
        second_id,
        pin,
        prompts,
        items,
        fill_up,
        currency,
        partial_ok,
        original,
        offline,
    } = transaction;
    let mut mix = Mix::new();
    mix.number(kind_number(*kind));
    mix.text(site.as_str());
    mix.text(terminal.as_str());
    mix.optional(pump.map(u64::from));
    mix.optional(device.map(device_number));
    mix.optional(entry.map(entry_number));
    mix.optional_text(batch.as_deref());
    mix.optional(shift.map(u64::from));
    mix.optional(tsn.map(u64::from));
    mix.signed(local_time.to_utc(*utc_offset_min).get());
    mix.signed(i64::from(*utc_offset_min));
    mix.optional(
        location.map(|place| u64::from(place.lat_e6.cast_unsigned()) << 32 | u64::from(place.lon_e6.cast_unsigned())),
    );
    mix.optional_text(region.as_ref().map(model::RegionId::as_str));
    mix.optional_text(country.as_ref().map(model::CountryCode::as_str));
    mix.text(card.token.as_str());
    mix.optional_text(card.pan_masked.as_deref());
    mix.optional_text(card.expiry.as_deref());
    mix.optional_text(second_id.as_ref().map(|second| second.kind.as_str()));
    mix.optional_text(second_id.as_ref().map(|second| second.token.as_str()));
    mix.optional(pin.map(|pin| u64::from(pin.verified) << 8 | u64::from(pin.attempt)));
    mix.optional(prompts.odometer.map(u64::from));
    mix.optional(prompts.engine_hours.map(u64::from));
    for prompt in [&prompts.driver_id, &prompts.vehicle, &prompts.trip, &prompts.trailer] {
        mix.optional_text(prompt.as_deref());
    }
    mix.number(items.len() as u64);
    items.iter().for_each(|item| mix.item(item));
    mix.number(u64::from(*fill_up) << 1 | u64::from(*partial_ok));
    mix.text(currency.as_str());
    mix.optional_text(original.auth_code.as_ref().map(model::AuthCode::as_str));
    mix.optional_text(original.idem.as_ref().map(model::IdempotencyKey::as_str));
    mix.number(u64::from(offline.was));
    mix.optional(offline.catalog_ver.map(u64::from));
    mix.optional(offline.catalog_at_us.map(|at| at.get().cast_unsigned()));
    mix.optional_text(offline.reason.as_deref());
    mix.finish()
}

/// Orders are rare: their JSON is fed, which has every field by name.
pub(super) fn of_order(message: &CommandMessage) -> u64 {
    let mut mix = Mix::new();
    mix.text(message.contract.as_str());
    // An order has text keys only: writing it cannot fail.
    mix.bytes(&serde_json::to_vec(&message.command).unwrap_or_default());
    mix.finish()
}

fn kind_number(kind: TransactionKind) -> u64 {
    match kind {
        TransactionKind::Preauth => 1,
        TransactionKind::Sale => 2,
        TransactionKind::Incremental => 3,
        TransactionKind::Completion => 4,
        TransactionKind::AdviceOffline => 5,
        TransactionKind::Forced => 6,
        TransactionKind::Reversal => 7,
        TransactionKind::Void => 8,
        TransactionKind::Refund => 9,
        TransactionKind::Balance => 10,
        TransactionKind::DryRun => 11,
    }
}

fn device_number(device: Device) -> u64 {
    match device {
        Device::Outdoor => 1,
        Device::Indoor => 2,
        Device::Mobile => 3,
    }
}

fn entry_number(entry: Entry) -> u64 {
    match entry {
        Entry::Chip => 1,
        Entry::Stripe => 2,
        Entry::Manual => 3,
        Entry::Qr => 4,
        Entry::Rfid => 5,
    }
}

/// Mixes words of 64 bits by the folded product, the step of wyhash (Wang Yi, public domain). Written out here because the
/// numbers stand in the ledger: no library's update may change them. Words go in turns to two sums: one product need not
/// wait for the one before.
struct Mix {
    turn: u64,
    other: u64,
}

const SEED: u64 = 0xa076_1d64_78bd_642f;
const FACTOR: u64 = 0xe703_7ed1_a0b4_28db;

impl Mix {
    fn new() -> Self {
        Self { turn: SEED, other: !SEED }
    }

    #[inline]
    fn number(&mut self, word: u64) {
        let mixed = mix(self.turn, word);
        (self.turn, self.other) = (self.other, mixed);
    }

    fn signed(&mut self, word: i64) {
        self.number(word.cast_unsigned());
    }

    /// Nothing is told from all numbers but the very largest, which no field has.
    fn optional(&mut self, word: Option<u64>) {
        self.number(word.map_or(0, |word| word.wrapping_add(1)));
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn optional_text(&mut self, text: Option<&str>) {
        match text {
            None => self.number(u64::MAX),
            Some(text) => self.text(text),
        }
    }

    /// Whole words first, then what is left of them with the length on top: a short text is one word.
    fn bytes(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<8>();
        for word in whole {
            self.number(u64::from_le_bytes(*word));
        }
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u64::from(*byte));
        self.number(last ^ (bytes.len() as u64 + 1) << 56);
    }

    fn item(&mut self, item: &Item) {
        self.text(item.code.as_str());
        self.optional_text(item.group.as_ref().map(model::ProductCode::as_str));
        self.number(match item.unit {
            Unit::L => 1,
            Unit::Pieces => 2,
        });
        self.optional(item.qty_ml.map(model::Millilitres::get));
        self.optional(item.pieces.map(u64::from));
        self.number(item.price_e4.get());
        self.optional(item.amount_minor.map(|amount| amount.get().cast_unsigned()));
    }

    fn finish(self) -> u64 {
        mix(mix(self.turn, FACTOR), self.other)
    }
}

#[inline]
fn mix(sum: u64, word: u64) -> u64 {
    let product = u128::from(sum ^ word) * u128::from(FACTOR);
    let folded = (product >> 64) ^ (product & u128::from(u64::MAX));
    // A product of zero forgets what was before: the rotation keeps it.
    u64::try_from(folded).unwrap_or_default() ^ sum.rotate_left(23)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These numbers stand in ledgers: a change of them makes every repeat a re-used key.
    #[test]
    fn the_numbers_never_change() {
        let of = |text: &str| {
            let mut mix = Mix::new();
            mix.text(text);
            mix.finish()
        };
        let distinct: std::collections::BTreeSet<u64> =
            ["", "a", "b", "aaaaaaaa", "aaaaaaaab", "foobar"].map(of).into();
        assert_eq!(distinct.len(), 6);
        expect_test::expect!["[7596055244434131211, 0]"].assert_eq(&format!("[{}, 0]", of("foobar")));
    }
}
