//! A shard into slices, while it goes on deciding.
//!
//! Guarantees: the slices together are the shard as it stood when the first was asked for, whatever it decides or folds in
//! between. What is only ever added to (answers, codes, settings of limits) is remembered by its length and read when its
//! turn comes; contracts and cards are copied in their turn or before they change (see `kept`). A change therefore copies
//! at most the rows that it touches: a card with its purchases, and a contract without its cards and settings. What is left
//! to be copied at once of a very large contract are its parties, top-ups, names of limits and rolling windows.

use model::{PartitionId, ProductCode, Watermarks};
use serde::{Deserialize, Serialize};

use super::rows::put_settings;
use super::slices::{Kind, put};
use super::{FORMAT, Header};
use crate::ledger::answers::taking::Extent;
use crate::ledger::shard::Shard;

/// About so many bytes are a slice: some tens of microseconds.
const SLICE_BYTES: usize = 8_192;
/// Rows that were copied before they changed are handed out when there are so many bytes of them.
const SAVED_BYTES_MAX: usize = 65_536;

/// What all else rests on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Base {
    pub(super) contracts: u32,
    pub(super) cards: u32,
    pub(super) codes: u32,
    pub(super) zones: Vec<String>,
    pub(super) watermarks: Watermarks,
    pub(super) answers: Extent,
}

/// How far it has come.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct Taking {
    /// The first slice, until it is asked for.
    base: Option<Vec<u8>>,
    codes_next: usize,
    codes_until: usize,
    /// Of the contract whose settings are being written.
    settings_next: usize,
}

impl Shard {
    /// Begins a snapshot of the shard as it is now, for a fold that goes on at `offset`. `None` while another is under way.
    pub fn begin_snapshot(&mut self, offset: i64) -> Option<Header> {
        if self.taking.is_some() {
            return None;
        }
        let narrow = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let tables = &mut self.tables;
        let codes_until = tables.codes.names().len();
        let base = Base {
            contracts: narrow(tables.contracts.len()),
            cards: narrow(tables.cards.len()),
            codes: narrow(codes_until),
            zones: tables.zones.iter().map(|zone| zone.name().to_owned()).collect(),
            watermarks: self.watermarks.clone(),
            answers: self.answers.begin_taking(),
        };
        tables.contracts.begin_copy();
        tables.cards.begin_copy();
        let mut slice = vec![Kind::Base.byte()];
        put(&mut slice, &base);
        self.taking = Some(Box::new(Taking { base: Some(slice), codes_next: 0, codes_until, settings_next: 0 }));
        let partition = PartitionId(self.tables.partition);
        Some(Header { format: FORMAT, partition, offset, epoch: self.epoch(), last_request: self.last_request })
    }

    /// Whether a snapshot was begun and not all slices were asked for.
    #[must_use]
    pub fn snapshot_under_way(&self) -> bool {
        self.taking.is_some()
    }

    /// The next slice of the snapshot that is under way; `None` when it is complete, and when there is none.
    pub fn next_slice(&mut self) -> Option<Vec<u8>> {
        self.slice_of(SLICE_BYTES)
    }

    pub(super) fn slice_of(&mut self, enough: usize) -> Option<Vec<u8>> {
        let taking = self.taking.as_mut()?;
        if let Some(base) = taking.base.take() {
            return Some(base);
        }
        let tables = &mut self.tables;
        let mut slice = Vec::with_capacity(enough + enough / 2);
        slice.push(Kind::Cards.byte());
        if tables.cards.saved_bytes() > SAVED_BYTES_MAX {
            tables.cards.copy_some(0, &mut slice);
            return Some(slice);
        }
        slice[0] = Kind::Contracts.byte();
        if tables.contracts.saved_bytes() > SAVED_BYTES_MAX {
            tables.contracts.copy_some(0, &mut slice);
            return Some(slice);
        }
        slice[0] = Kind::Answers.byte();
        if self.answers.take_some(enough, &mut slice) || taking.codes(tables.codes.names(), enough, &mut slice) {
            return Some(slice);
        }
        if let Some((ix, count)) = tables.contracts.owes() {
            // Their contracts come before them.
            if tables.contracts.saved_bytes() > 0 {
                slice[0] = Kind::Contracts.byte();
                tables.contracts.copy_some(0, &mut slice);
                return Some(slice);
            }
            let contract = tables.contracts.get(ix as usize)?;
            slice[0] = Kind::Settings.byte();
            let range = (taking.settings_next, count);
            taking.settings_next = put_settings((ix, &contract.settings), range, enough, &mut slice);
            if taking.settings_next >= count {
                taking.settings_next = 0;
                tables.contracts.paid();
            }
            return Some(slice);
        }
        slice[0] = Kind::Contracts.byte();
        tables.contracts.copy_some(enough, &mut slice);
        if slice.len() == 1 {
            slice[0] = Kind::Cards.byte();
            tables.cards.copy_some(enough, &mut slice);
        }
        if slice.len() > 1 {
            return Some(slice);
        }
        tables.contracts.end_copy();
        tables.cards.end_copy();
        self.answers.end_taking();
        self.taking = None;
        None
    }
}

impl Taking {
    fn codes(&mut self, names: &[ProductCode], enough: usize, slice: &mut Vec<u8>) -> bool {
        slice[0] = Kind::Codes.byte();
        while self.codes_next < self.codes_until
            && slice.len() < enough.max(2)
            && let Some(name) = names.get(self.codes_next)
        {
            put(slice, name);
            self.codes_next += 1;
        }
        slice.len() > 1
    }
}
