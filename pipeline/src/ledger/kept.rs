//! Rows of the state that can be copied while they change.
//!
//! In: rows, and the moment from which a copy is wanted. Out: each row as it stood at that moment, in bytes, a few at a time.
//! Guarantees: a row that is not copied yet is copied before anybody can change it, because nobody else hands out a row to
//! be changed; rows that come later are not part of the copy. Does not: read rows back.

use std::collections::VecDeque;
use std::ops::Deref;

use super::state::Ix;

/// What a row weighs in a slice beside its bytes: reaching it costs about as much as writing so many.
const ROW_WEIGHT: usize = 64;

/// Reads like a slice.
#[derive(Clone, Debug)]
pub(super) struct Kept<T> {
    rows: Vec<T>,
    copying: Option<Box<Copying>>,
}

/// How a row stands in a snapshot.
pub(super) trait Row {
    fn put(&self, ix: Ix, into: &mut Vec<u8>);

    /// Entries of this row that are written later: so many of those that are only ever added to.
    fn owed(&self) -> usize {
        0
    }
}

/// Rows before `next` are copied, and those with their bit set.
#[derive(Clone, Debug)]
struct Copying {
    next: usize,
    until: usize,
    ahead: Vec<u64>,
    /// Rows that were copied before they changed, and not handed out yet.
    saved: Vec<u8>,
    owed: VecDeque<(Ix, usize)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), copying: None }
    }
}

impl<T> Deref for Kept<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.rows
    }
}

/// A copy under way is not state.
impl<T: PartialEq> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl<T> From<Vec<T>> for Kept<T> {
    fn from(rows: Vec<T>) -> Self {
        Self { rows, copying: None }
    }
}

impl<T: Row> Kept<T> {
    pub(super) fn get_mut(&mut self, ix: usize) -> Option<&mut T> {
        let row = self.rows.get_mut(ix)?;
        if let Some(copying) = &mut self.copying {
            copying.before_change(ix, row);
        }
        Some(row)
    }

    pub(super) fn push(&mut self, row: T) {
        self.rows.push(row);
    }

    /// The rows as they stand now are wanted.
    pub(super) fn begin_copy(&mut self) {
        let until = self.rows.len();
        let ahead = vec![0; until.div_ceil(64)];
        let (saved, owed) = (Vec::new(), VecDeque::new());
        self.copying = Some(Box::new(Copying { next: 0, until, ahead, saved, owed }));
    }

    pub(super) fn end_copy(&mut self) {
        self.copying = None;
    }

    /// Bytes of rows that were copied ahead and wait to be handed out.
    pub(super) fn saved_bytes(&self) -> usize {
        self.copying.as_ref().map_or(0, |copying| copying.saved.len())
    }

    /// Adds rows until about `enough` was done; none when all are copied.
    pub(super) fn copy_some(&mut self, enough: usize, into: &mut Vec<u8>) {
        let Some(copying) = &mut self.copying else { return };
        into.append(&mut copying.saved);
        let mut done = into.len();
        while copying.next < copying.until && done < enough {
            let ix = copying.next;
            copying.next += 1;
            if let Some(row) = self.rows.get(ix)
                && copying.ahead[ix / 64] >> (ix % 64) & 1 == 0
            {
                let before = into.len();
                copying.put(ix, row, into);
                done += into.len() - before + ROW_WEIGHT;
            }
        }
    }

    /// The row of which entries are still to be written, and how many of them.
    pub(super) fn owes(&self) -> Option<(Ix, usize)> {
        self.copying.as_ref()?.owed.front().copied()
    }

    pub(super) fn paid(&mut self) {
        if let Some(copying) = &mut self.copying {
            copying.owed.pop_front();
        }
    }
}

impl Copying {
    fn before_change<T: Row>(&mut self, ix: usize, row: &T) {
        if ix < self.next || ix >= self.until || self.ahead[ix / 64] >> (ix % 64) & 1 == 1 {
            return;
        }
        self.ahead[ix / 64] |= 1 << (ix % 64);
        let mut saved = std::mem::take(&mut self.saved);
        self.put(ix, row, &mut saved);
        self.saved = saved;
    }

    fn put<T: Row>(&mut self, ix: usize, row: &T, into: &mut Vec<u8>) {
        let Ok(ix) = Ix::try_from(ix) else { return };
        row.put(ix, into);
        let owed = row.owed();
        if owed > 0 {
            self.owed.push_back((ix, owed));
        }
    }
}
