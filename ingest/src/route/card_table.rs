//! Which contract each card belongs to, as far as `fuel.cards` tells.
//!
//! In: records of `fuel.cards`, and how far the group has confirmed us since; at a start a saved table ([`file`]). Out: the
//! contract of a card; the table as it is, to be saved. Guarantees: the first contract of a card stays; a confirmed card is
//! known to every router that gets a partition after us; a table from a file and the records from its positions on is the
//! table from all records.
//! Does not: forget; a card costs about 30 bytes. Tokens are compared by their 128-bit hash: among a billion cards the chance that
//! two of them agree is one in 10^21. Such a card would be taken to the other's contract and declined there, since the ledger
//! compares whole tokens; the same holds for a token that somebody made to agree.

pub mod file;
pub mod follower;
mod rows;

use std::borrow::Cow;

use hashbrown::HashTable;
use model::{CardToken, ContractId, Origin, PartitionId};
use serde::Deserialize;
use serde::de::Error as _;
use twox_hash::XxHash3_128;

use crate::LogMessage;
use file::Unpacked;
use rows::{Entry, Hash, Rows};

/// The table alone.
#[derive(Debug, Default)]
pub struct Cards {
    rows: Rows,
    /// Places of cards, by the hash of the token.
    places: HashTable<u32>,
    /// Places of contracts, by the hash of the name.
    name_places: HashTable<u32>,
    /// By partition of `fuel.cards`, the offset of the record that comes next.
    positions: Vec<i64>,
    confirmed: usize,
}

/// A [`model::CardEntry`] that allocates nothing, unless a text has escapes.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(rename = "v")]
    _v: u8,
    #[serde(rename = "origin")]
    _origin: Origin,
    #[serde(borrow)]
    card: Cow<'a, str>,
    #[serde(borrow)]
    contract: Cow<'a, str>,
}

impl Cards {
    /// An empty table of a topic with so many partitions, read from its beginning.
    #[must_use]
    pub fn new(partitions: i32) -> Self {
        Self { positions: vec![0; usize::try_from(partitions).unwrap_or(0)], ..Self::default() }
    }

    /// The contract of a card, as far as we know.
    #[must_use]
    pub fn contract_of(&self, card: &CardToken) -> Option<&ContractId> {
        let place = self.place_of(hash_of(card.as_str()))?;
        self.contract_at(place)
    }

    /// The contract of a card that every later router knows too.
    #[must_use]
    pub fn confirmed_contract_of(&self, card: &CardToken) -> Option<&ContractId> {
        let place = self.place_of(hash_of(card.as_str()))?;
        if (place as usize) < self.confirmed { self.contract_at(place) } else { None }
    }

    /// How many cards are known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.rows.entries.len()
    }

    /// Whether there are cards that are not confirmed.
    #[must_use]
    pub fn has_unconfirmed(&self) -> bool {
        self.confirmed < self.known()
    }

    /// The group has taken a commit of ours that was sent when so many were [`Self::known`].
    pub fn confirm(&mut self, known: usize) {
        self.confirmed = self.confirmed.max(known);
    }

    /// By partition, the offset of the record that comes next.
    #[must_use]
    pub fn positions(&self) -> &[i64] {
        &self.positions
    }

    /// Takes in the next record of a partition of `fuel.cards`.
    pub fn learn(&mut self, message: &LogMessage) {
        if let Some(payload) = &message.payload
            && let Err(error) = self.enter(payload)
        {
            metrics::counter!("forecourt_cards_unreadable_total").increment(1);
            tracing::error!(partition = %message.partition, offset = message.offset, %error, "a card entry is unreadable");
        }
        self.begin_at(message.partition, message.offset + 1);
    }

    /// The log holds nothing of this partition before this position.
    pub(super) fn begin_at(&mut self, partition: PartitionId, position: i64) {
        let index = partition.index();
        if index >= self.positions.len() {
            self.positions.resize(index + 1, 0);
        }
        self.positions[index] = position;
    }

    /// The table as it is, to be packed by somebody who has the time. What was learned is shared and not copied, up to its last
    /// rows, so this takes microseconds.
    #[must_use]
    pub fn unpacked(&self) -> Unpacked {
        Unpacked { positions: self.positions.clone(), rows: self.rows.clone() }
    }

    fn enter(&mut self, payload: &[u8]) -> Result<(), serde_json::Error> {
        let read: Read<'_> = serde_json::from_slice(payload)?;
        let hash = hash_of(&read.card);
        if self.place_of(hash).is_some() {
            return Ok(());
        }
        CardToken::new(&read.card).map_err(serde_json::Error::custom)?;
        let contract = self.contract_place(&read.contract)?;
        let place = place_after(self.known())?;
        self.rows.entries.push(Entry { hash, contract });
        let entries = &self.rows.entries;
        self.places.insert_unique(index_hash(hash), place, |place| index_hash(entries[*place as usize].hash));
        Ok(())
    }

    fn place_of(&self, hash: Hash) -> Option<u32> {
        let entries = &self.rows.entries;
        self.places.find(index_hash(hash), |place| entries[*place as usize].hash == hash).copied()
    }

    fn contract_at(&self, place: u32) -> Option<&ContractId> {
        let entry = self.rows.entries.get(place as usize)?;
        self.rows.names.get(entry.contract as usize)
    }

    /// The place of a contract, which is a new one for a new contract.
    fn contract_place(&mut self, name: &str) -> Result<u32, serde_json::Error> {
        let names = &mut self.rows.names;
        let hash = index_hash(hash_of(name));
        if let Some(place) = self.name_places.find(hash, |place| names[*place as usize].as_str() == name) {
            return Ok(*place);
        }
        let place = place_after(names.len())?;
        names.push(ContractId::new(name).map_err(serde_json::Error::custom)?);
        self.name_places.insert_unique(hash, place, |place| index_hash(hash_of(names[*place as usize].as_str())));
        Ok(place)
    }
}

fn hash_of(text: &str) -> Hash {
    XxHash3_128::oneshot(text.as_bytes()).to_le_bytes()
}

/// The part of a hash that a hash table needs.
fn index_hash(hash: Hash) -> u64 {
    hash.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

fn place_after(len: usize) -> Result<u32, serde_json::Error> {
    u32::try_from(len).map_err(|_| serde_json::Error::custom("the card table is full"))
}

#[cfg(test)]
mod tests;
