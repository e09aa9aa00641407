//! The rows of the card table: lists that only grow, and cost next to nothing to copy.

use std::ops::Index;
use std::sync::Arc;

use model::ContractId;

/// XXH3-128 of a card's token.
pub(super) type Hash = [u8; 16];

/// A card. No integer wider than its contract's place, so that it takes 20 bytes and not 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) hash: Hash,
    /// Its contract's place among the names.
    pub(super) contract: u32,
}

const _: () = assert!(size_of::<Entry>() == 20);

#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// In the order learned: the place of a card is its number.
    pub(super) entries: Grown<Entry>,
    /// One text per contract, shared by its cards.
    pub(super) names: Grown<ContractId>,
}

/// Rows of a chunk: what a copy has to move at most.
const CHUNK: usize = 1 << 14;

/// A list that only grows. Copies share its full chunks.
#[derive(Clone, Debug)]
pub(super) struct Grown<T> {
    full: Vec<Arc<Vec<T>>>,
    last: Vec<T>,
}

impl<T> Default for Grown<T> {
    fn default() -> Self {
        Self { full: Vec::new(), last: Vec::new() }
    }
}

impl<T> Grown<T> {
    pub(super) fn push(&mut self, row: T) {
        self.last.push(row);
        if self.last.len() == CHUNK {
            let next = Vec::with_capacity(CHUNK);
            self.full.push(Arc::new(std::mem::replace(&mut self.last, next)));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.full.len() * CHUNK + self.last.len()
    }

    pub(super) fn get(&self, place: usize) -> Option<&T> {
        match self.full.get(place / CHUNK) {
            Some(chunk) => chunk.get(place % CHUNK),
            None => self.last.get(place - self.full.len() * CHUNK),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.full.iter().flat_map(|chunk| chunk.iter()).chain(&self.last)
    }
}

impl<T> Index<usize> for Grown<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        match self.full.get(place / CHUNK) {
            Some(chunk) => &chunk[place % CHUNK],
            None => &self.last[place - self.full.len() * CHUNK],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_there_was_and_shares_it() {
        let mut list = Grown::default();
        let mut copies = Vec::new();
        for row in 0..3 * CHUNK + 5 {
            if row % (CHUNK - 1) == 0 {
                copies.push((row, list.clone()));
            }
            list.push(row);
        }
        assert_eq!((list.len(), list.full.len()), (3 * CHUNK + 5, 3));
        assert_eq!((list.get(CHUNK), list[3 * CHUNK], list.get(list.len())), (Some(&CHUNK), 3 * CHUNK, None));
        for (len, copy) in copies {
            assert!(copy.iter().copied().eq(0..len));
            assert!(copy.full.iter().zip(&list.full).all(|(one, other)| Arc::ptr_eq(one, other)));
        }
    }
}
