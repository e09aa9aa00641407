//! A file into a shard.
//!
//! In: the bytes of a file. Out: the shard, with all that follows from its rows made again. Guarantees: a file gives a shard
//! only when every row that it promises is there, once. Cards and limits stay packed until somebody asks for them: a start
//! with a million cards touches few of them, and memory that is touched is what a start waits for. Does not: look into what stays
//! packed, unless told to ([`unpacked`]); the checksum says that it is what was written.

use model::ProductCode;

use super::file::Slices;
use super::rows::{card_head, take_card, take_settings};
use super::slices::{Broken, Kind, take};
use super::taking::Base;
use super::{Corrupt, Header, format1};
use crate::ledger::answers::taking::Returning;
use crate::ledger::calendar::Zone;
use crate::ledger::kept::{Filling, ROW_LENGTH_LEN, Row};
use crate::ledger::shard::Shard;
use crate::ledger::state::{Card, Contract, NONE};
use crate::ledger::tables::{CardSlot, Codes, token_hash};

pub(super) fn shard(bytes: &[u8]) -> Result<(Header, Shard), Corrupt> {
    let mut slices = Slices::open(bytes)?;
    let header = slices.header;
    let mut parts: Option<Parts> = None;
    while let Some(slice) = slices.next()? {
        let taken = match &mut parts {
            None => Parts::begin(&slice, (bytes.len(), header.format)).map(|begun| parts = Some(begun)),
            Some(parts) => parts.slice(slice),
        };
        taken.map_err(|Broken(why)| Corrupt::Slice { after: slices.before, why })?;
    }
    let parts = parts.ok_or(Corrupt::Missing("all of it"))?;
    let shard = parts.whole(&header).map_err(|Broken(why)| Corrupt::Missing(why))?;
    Ok((header, shard))
}

/// Looks into all that stayed packed.
pub(super) fn unpacked(shard: &Shard) -> Result<(), Corrupt> {
    let tables = &shard.tables;
    let limits = tables.contracts.iter().try_for_each(|contract| contract.settings.unpack());
    limits.and_then(|()| tables.cards.unpack()).map_err(|Broken(why)| Corrupt::Row(why))
}

/// What was read so far.
struct Parts {
    format: u8,
    base: Base,
    codes: Vec<ProductCode>,
    contracts: Filling<Contract>,
    cards: Filling<Card>,
    /// In the place of its card.
    slots: Vec<CardSlot>,
    answers: Returning,
}

impl Parts {
    fn begin(mut slice: &[u8], (file_bytes, format): (usize, u8)) -> Result<Self, Broken> {
        let kind = Kind::of(take(&mut slice)?)?;
        if kind != Kind::Base {
            return Err(Broken("it begins in the middle"));
        }
        let base: Base = take(&mut slice)?;
        // Each has a name of its own: packed, too, that takes more than a byte.
        if base.contracts as usize > file_bytes || base.cards as usize > file_bytes {
            return Err(Broken("more contracts or cards than its bytes can hold"));
        }
        Ok(Self {
            format,
            codes: Vec::new(),
            contracts: Filling::new(base.contracts),
            cards: Filling::new(base.cards),
            slots: vec![CardSlot { hash: 0, contract: NONE, card: NONE }; base.cards as usize],
            answers: Returning::new(base.answers),
            base,
        })
    }

    fn slice(&mut self, whole: Vec<u8>) -> Result<(), Broken> {
        let mut slice = whole.as_slice();
        match (Kind::of(take(&mut slice)?)?, self.format) {
            (Kind::Base, _) => return Err(Broken("it begins twice")),
            (Kind::Answers, _) => return self.answers.slice(slice),
            (Kind::Codes, _) => {
                while !slice.is_empty() {
                    self.codes.push(take(&mut slice)?);
                }
            }
            (Kind::Contracts, 1) => {
                while !slice.is_empty() {
                    let (ix, contract) = format1::take_contract(&mut slice)?;
                    self.contracts.open(ix, contract)?;
                }
            }
            (Kind::Contracts, _) => {
                for row in rows(&whole) {
                    let (ix, contract) = Contract::take(row?.1)?;
                    self.contracts.open(ix, contract)?;
                }
            }
            (Kind::Settings, format) => {
                let (ix, found) =
                    if format == 1 { format1::take_settings(&mut slice)? } else { take_settings(&mut slice)? };
                let contract = self.contracts.get_mut(ix).ok_or(Broken("settings of no contract"))?;
                let packed = contract.settings.packed_mut().ok_or(Broken("settings of no contract"))?;
                packed.found += found;
                packed.settings.extend_from_slice(slice);
            }
            (Kind::Cards, 1) => {
                while !slice.is_empty() {
                    let (ix, card) = take_card(&mut slice)?;
                    let slot = CardSlot { hash: token_hash(card.token.as_str()), contract: card.contract, card: ix };
                    self.put_slot(slot)?;
                    self.cards.open(ix, card)?;
                }
            }
            (Kind::Cards, _) => {
                let mut places = Vec::new();
                for row in rows(&whole) {
                    let (from, row) = row?;
                    let (ix, token, contract) = card_head(row)?;
                    self.put_slot(CardSlot { hash: token_hash(token), contract, card: ix })?;
                    places.push((ix, from));
                }
                self.cards.packed(whole, &places)?;
            }
        }
        Ok(())
    }

    fn put_slot(&mut self, slot: CardSlot) -> Result<(), Broken> {
        let place = self.slots.get_mut(slot.card as usize).ok_or(Broken("a row at a place that there is not"))?;
        *place = slot;
        Ok(())
    }

    fn whole(self, header: &Header) -> Result<Shard, Broken> {
        let Self { base, codes, contracts, cards, slots, answers, .. } = self;
        if codes.len() != base.codes as usize {
            return Err(Broken("fewer codes than there were"));
        }
        let contracts = contracts.whole().ok_or(Broken("fewer contracts than there were"))?;
        let complete =
            |contract: &Contract| contract.settings.packed().is_none_or(|packed| packed.found == packed.promised);
        if !contracts.iter().all(complete) {
            return Err(Broken("fewer settings of limits than there were"));
        }
        let cards = cards.whole().ok_or(Broken("fewer cards than there were"))?;
        let mut shard = Shard::new(header.partition);
        shard.tables.index(contracts, cards, &slots);
        shard.tables.codes = Codes::new(codes);
        shard.tables.zones = base.zones.iter().map(|name| Zone::named(name)).collect();
        shard.answers = answers.whole()?;
        shard.watermarks = base.watermarks;
        shard.last_request = header.last_request;
        if let Some(epoch) = header.epoch {
            shard.fence.takeover(epoch);
        }
        Ok(shard)
    }
}

/// The rows of a slice, each with where its length stands.
fn rows(slice: &[u8]) -> impl Iterator<Item = Result<(u32, &[u8]), Broken>> {
    let mut next = 1;
    std::iter::from_fn(move || {
        let rest = slice.get(next..).filter(|rest| !rest.is_empty())?;
        let row = rest.split_first_chunk::<ROW_LENGTH_LEN>().and_then(|(length, rest)| {
            let row = rest.get(..u32::from_le_bytes(*length) as usize)?;
            let from = u32::try_from(next).ok()?;
            next += ROW_LENGTH_LEN + row.len();
            Some((from, row))
        });
        if row.is_none() {
            next = slice.len();
        }
        Some(row.ok_or(Broken("a row that ends in the middle")))
    })
}
