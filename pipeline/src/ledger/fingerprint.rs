//! Fingerprints of requests: the same body gives the same number in every process and version.
//!
//! In: a transaction or an order. Out: FNV-1a (64 bit) of its JSON, without what may differ between two sendings of the
//! same thing: the key itself, the time of sending, the author. Does not: resist someone who looks for collisions; it
//! tells a mistake from a repeat.

use std::io;

use model::{
    CardData, Command, CommandMessage, ContractId, Currency, Device, Entry, Item, LocalTime, Location, Offline,
    Original, Pin, Prompts, SecondId, SiteId, TerminalId, Transaction, TransactionKind,
};
use serde::Serialize;

pub(super) fn of_transaction(transaction: &Transaction) -> u64 {
    // Taken apart by name, so that a new field cannot be forgotten here. Fields that came later than version 1 are to
    // be skipped while absent, or old fingerprints change.
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
    hash(&TransactionBody {
        what: (*kind, items, *fill_up, *currency, *partial_ok, original, offline),
        place: (site, terminal, *pump, location),
        means: (*device, *entry),
        time: (*local_time, *utc_offset_min, batch, *shift, *tsn),
        who: (card, second_id, pin, prompts),
    })
}

pub(super) fn of_order(message: &CommandMessage) -> u64 {
    let CommandMessage { v: _, idem: _, author: _, at_us: _, contract, command } = message;
    hash(&OrderBody { contract, command })
}

#[derive(Serialize)]
struct TransactionBody<'a> {
    what: (TransactionKind, &'a [Item], bool, Currency, bool, &'a Original, &'a Offline),
    place: (&'a SiteId, &'a TerminalId, Option<u16>, &'a Option<Location>),
    means: (Option<Device>, Option<Entry>),
    time: (LocalTime, i16, &'a Option<String>, Option<u32>, Option<u32>),
    who: (&'a CardData, &'a Option<SecondId>, &'a Option<Pin>, &'a Prompts),
}

#[derive(Serialize)]
struct OrderBody<'a> {
    contract: &'a ContractId,
    command: &'a Command,
}

fn hash(body: &impl Serialize) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    // The bodies have text keys only and the writer accepts all: this cannot fail.
    let _ = serde_json::to_writer(&mut hash, body);
    hash.0
}

/// Fowler–Noll–Vo 1a, 64 bit (draft-eastlake-fnv).
struct Fnv(u64);

impl io::Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The vectors of the authors' own test suite.
    #[test]
    fn the_hash_is_fnv_1a() {
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
            hash.write_all(text.as_bytes()).expect("hashing accepts all");
            assert_eq!(hash.0, expected, "{text}");
        }
    }
}
