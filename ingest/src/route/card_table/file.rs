//! A saved card table: so that a start reads one file and the end of `fuel.cards`, and not all of it.
//!
//! In: a table as it was at some positions; a file. Out: the file; the table. Guarantees: a file that is not whole, or of
//! which any byte was changed, is [`Corrupt`]; a table is the fold of all records before its positions, so that an older
//! file is as right as a newer one. Does not: read or write files, or confirm a card; those of a file count like those that
//! were read from the log.
//!
//! **Format 1.** The magic bytes and a byte with the format; the number of partitions and a position for each; the number of
//! contracts and for each a byte with the length of its name, and the name; the number of cards, and for each the XXH3-128 of
//! its token and the place of its contract, in any order; eight bytes with the length of the whole file, sixteen with the XXH3-128 of all
//! before them. Numbers are little-endian, of four bytes where nothing else is said, positions of eight. It is not packed:
//! four fifths of it are hashes, which no packing makes smaller.

use hashbrown::HashTable;
use model::ContractId;
use twox_hash::XxHash3_128;

use super::rows::{Entry, Hash, Rows};
use super::{Cards, hash_of, index_hash};
use crate::Span;

const MAGIC: &[u8; 8] = b"fcrtcard";
/// The format that is written.
pub const FORMAT: u8 = 1;
const LENGTH_LEN: usize = 8;
const CHECKSUM_LEN: usize = 16;
const ENTRY_LEN: usize = 20;

/// A table as it was, not packed yet.
#[derive(Clone, Debug)]
pub struct Unpacked {
    pub(super) positions: Vec<i64>,
    pub(super) rows: Rows,
}

/// Why a file is no card table that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it does not begin like a card table")]
    Magic,
    #[error("its format is {0}, and only 1 is known")]
    Format(u8),
    #[error("it has {found} bytes and should have {told}")]
    Length { told: u64, found: u64 },
    #[error("its checksum is not that of its bytes")]
    Checksum,
    #[error("it cannot be understood: {0}")]
    Content(&'static str),
    #[error("it is of {found} partitions, and there are {wanted}")]
    Partitions { found: usize, wanted: usize },
    #[error("it goes up to offset {position} of partition {partition}, which holds {begin} up to {end}")]
    Position { partition: usize, position: i64, begin: i64, end: i64 },
}

impl Unpacked {
    /// How far all partitions together were read: greater in a later table.
    #[must_use]
    pub fn read_to(&self) -> i64 {
        self.positions.iter().sum()
    }

    /// The file. Much work for the processor, so it belongs on a thread that nobody waits for.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let Self { positions, rows: Rows { entries, names } } = self;
        let mut file = Vec::with_capacity(1_024 + positions.len() * 8 + names.len() * 16 + entries.len() * ENTRY_LEN);
        file.extend_from_slice(MAGIC);
        file.push(FORMAT);
        put_count(&mut file, positions.len());
        positions.iter().for_each(|position| file.extend_from_slice(&position.to_le_bytes()));
        put_count(&mut file, names.len());
        for name in names.iter() {
            let name = name.as_str().as_bytes();
            file.push(u8::try_from(name.len()).expect("an identifier is short"));
            file.extend_from_slice(name);
        }
        put_count(&mut file, entries.len());
        // As they will lie in the hash table: a reader that fills it from its beginning to its end waits for memory less often.
        let mut entries: Vec<Entry> = entries.iter().copied().collect();
        let buckets = (entries.len() as u64 * 8 / 7).next_power_of_two();
        entries.sort_unstable_by_key(|entry| index_hash(entry.hash) % buckets);
        for Entry { hash, contract } in entries {
            file.extend_from_slice(&hash);
            file.extend_from_slice(&contract.to_le_bytes());
        }
        let len = (file.len() + LENGTH_LEN + CHECKSUM_LEN) as u64;
        file.extend_from_slice(&len.to_le_bytes());
        let checksum = XxHash3_128::oneshot(&file);
        file.extend_from_slice(&checksum.to_le_bytes());
        file
    }
}

fn put_count(file: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("places are counted in 32 bits");
    file.extend_from_slice(&count.to_le_bytes());
}

/// The table of a file, none of its cards confirmed.
pub fn read(bytes: &[u8]) -> Result<Cards, Unusable> {
    let mut rest = Rest(whole(bytes)?);
    let mut cards = Cards::default();
    for _ in 0..rest.count("the number of partitions")? {
        let position = i64::from_le_bytes(rest.take("a position")?);
        if position < 0 {
            return Err(Unusable::Content("a position before the log's beginning"));
        }
        cards.positions.push(position);
    }
    for place in 0..rest.count("the number of contracts")? {
        let [len] = rest.take("the length of a name")?;
        let name = std::str::from_utf8(rest.slice(usize::from(len), "a name")?).ok();
        let name = name.and_then(|name| ContractId::new(name).ok()).ok_or(Unusable::Content("a name"))?;
        let names = &mut cards.rows.names;
        let hash = index_hash(hash_of(name.as_str()));
        names.push(name);
        cards.name_places.insert_unique(hash, place, |place| index_hash(hash_of(names[*place as usize].as_str())));
    }
    let count = rest.count("the number of cards")?;
    if rest.0.len() != count as usize * ENTRY_LEN {
        return Err(Unusable::Content("the number of cards"));
    }
    // As much memory as the bytes bear out.
    cards.places = HashTable::with_capacity(count as usize);
    for place in 0..count {
        let hash: Hash = rest.take("a card")?;
        let contract = u32::from_le_bytes(rest.take("a card's contract")?);
        if contract as usize >= cards.rows.names.len() {
            return Err(Unusable::Content("a card of no contract"));
        }
        let entries = &mut cards.rows.entries;
        entries.push(Entry { hash, contract });
        cards.places.insert_unique(index_hash(hash), place, |place| index_hash(entries[*place as usize].hash));
    }
    Ok(cards)
}

/// Whether the log, which holds so much of each partition, can be read on from the positions of a table.
pub fn continues(cards: &Cards, spans: &[Span]) -> Result<(), Unusable> {
    let (found, wanted) = (cards.positions.len(), spans.len());
    if found != wanted {
        return Err(Unusable::Partitions { found, wanted });
    }
    for (partition, (position, Span { begin, end })) in cards.positions.iter().zip(spans).enumerate() {
        if !(begin..=end).contains(&position) {
            return Err(Unusable::Position { partition, position: *position, begin: *begin, end: *end });
        }
    }
    Ok(())
}

/// What stands between format and length, if the file is whole.
fn whole(bytes: &[u8]) -> Result<&[u8], Unusable> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unusable::Magic)?;
    let found = bytes.len() as u64;
    let (&format, rest) = rest.split_first().ok_or(Unusable::Length { told: 0, found })?;
    if format != FORMAT {
        return Err(Unusable::Format(format));
    }
    let (before, checksum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(Unusable::Length { told: 0, found })?;
    let told = before.last_chunk::<LENGTH_LEN>().map_or(0, |told| u64::from_le_bytes(*told));
    let content = rest.len().checked_sub(LENGTH_LEN + CHECKSUM_LEN);
    let content = content.filter(|_| told == found).ok_or(Unusable::Length { told, found })?;
    if XxHash3_128::oneshot(before).to_le_bytes() != *checksum {
        return Err(Unusable::Checksum);
    }
    Ok(&rest[..content])
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn slice(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Unusable> {
        let (slice, rest) = self.0.split_at_checked(len).ok_or(Unusable::Content(what))?;
        self.0 = rest;
        Ok(slice)
    }

    fn take<const LEN: usize>(&mut self, what: &'static str) -> Result<[u8; LEN], Unusable> {
        let (taken, rest) = self.0.split_first_chunk::<LEN>().ok_or(Unusable::Content(what))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn count(&mut self, what: &'static str) -> Result<u32, Unusable> {
        Ok(u32::from_le_bytes(self.take(what)?))
    }
}
