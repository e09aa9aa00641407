//! Rows of the state that can be copied while they change.
//!
//! In: rows, made or packed in the slices of a snapshot, and the moment from which a copy is wanted. Out: each row; each row as
//! it stood at that moment, in bytes, a few at a time. Guarantees: a row that is not copied yet is copied before anybody
//! can change it, because nobody else hands out a row to be changed; rows that come later are not part of the copy; a row of a
//! snapshot is unpacked when somebody asks for it first, and copied as it came for as long as nobody changes it. A slice of which
//! every row was changed is given up.

use std::cell::OnceCell;
use std::collections::VecDeque;

use super::snapshot::slices::Broken;
use super::state::Ix;

/// What a row weighs in a slice beside its bytes: reaching it costs about as much as writing so many.
const ROW_WEIGHT: usize = 64;
/// Bytes before a row, with its length.
pub(super) const ROW_LENGTH_LEN: usize = 4;

#[derive(Clone, Debug)]
pub(super) struct Kept<T> {
    rows: Vec<Slot<T>>,
    /// Of a snapshot.
    slices: Vec<Slice>,
    copying: Option<Box<Copying>>,
}

/// Rows in bytes, and how many of them are still as they were.
#[derive(Clone, Debug)]
struct Slice {
    bytes: Box<[u8]>,
    unchanged: usize,
}

/// A row, or where it lies in the slices: one of both at least.
#[derive(Clone, Debug)]
struct Slot<T> {
    open: OnceCell<T>,
    packed: Packed,
}

/// Where the bytes of a row begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed {
    slice: u32,
    from: u32,
}

impl Packed {
    const NOWHERE: Self = Self { slice: u32::MAX, from: 0 };

    fn bytes(self, slices: &[Slice]) -> Option<&[u8]> {
        let bytes = &slices.get(self.slice as usize)?.bytes;
        let (length, rest) = bytes.get(self.from as usize..)?.split_first_chunk()?;
        rest.get(..u32::from_le_bytes(*length) as usize)
    }
}

/// How a row stands in a snapshot.
pub(super) trait Row: Sized {
    fn put(&self, ix: Ix, into: &mut Vec<u8>);

    /// The row that these bytes are, and no more, and its place.
    fn take(bytes: &[u8]) -> Result<(Ix, Self), Broken>;

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
        Self { rows: Vec::new(), slices: Vec::new(), copying: None }
    }
}

/// A copy under way is not state.
impl<T: PartialEq + Row> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T> Kept<T> {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn push(&mut self, row: T) {
        self.rows.push(Slot { open: OnceCell::from(row), packed: Packed::NOWHERE });
    }
}

impl<T: Row> Kept<T> {
    pub(super) fn get(&self, ix: usize) -> Option<&T> {
        self.rows.get(ix).map(|slot| slot.open(&self.slices))
    }

    pub(super) fn get_mut(&mut self, ix: usize) -> Option<&mut T> {
        let slot = self.rows.get_mut(ix)?;
        if let Some(copying) = &mut self.copying {
            copying.before_change(ix, slot, &self.slices);
        }
        slot.open(&self.slices);
        let packed = std::mem::replace(&mut slot.packed, Packed::NOWHERE);
        if let Some(slice) = self.slices.get_mut(packed.slice as usize) {
            slice.unchanged -= 1;
            if slice.unchanged == 0 {
                slice.bytes = Box::default();
            }
        }
        slot.open.get_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.rows.iter().map(|slot| slot.open(&self.slices))
    }

    /// Unpacks every row.
    pub(super) fn unpack(&self) -> Result<(), Broken> {
        for slot in &self.rows {
            if slot.open.get().is_none() {
                let _ = slot.open.set(slot.unpacked(&self.slices)?);
            }
        }
        Ok(())
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
            if let Some(slot) = self.rows.get(ix)
                && copying.ahead[ix / 64] >> (ix % 64) & 1 == 0
            {
                let before = into.len();
                copying.put(ix, slot, &self.slices, into);
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

impl<T: Row> Slot<T> {
    /// # Panics
    /// When the bytes of a snapshot, whose checksum was right, are no row.
    fn open(&self, slices: &[Slice]) -> &T {
        self.open.get_or_init(|| {
            let row = self.unpacked(slices);
            row.unwrap_or_else(|Broken(why)| panic!("a row of a snapshot cannot be read: {why}"))
        })
    }

    #[cold]
    fn unpacked(&self, slices: &[Slice]) -> Result<T, Broken> {
        let bytes = self.packed.bytes(slices).ok_or(Broken("a row that is not there"))?;
        T::take(bytes).map(|(_, row)| row)
    }
}

impl Copying {
    fn before_change<T: Row>(&mut self, ix: usize, slot: &Slot<T>, slices: &[Slice]) {
        if ix < self.next || ix >= self.until || self.ahead[ix / 64] >> (ix % 64) & 1 == 1 {
            return;
        }
        self.ahead[ix / 64] |= 1 << (ix % 64);
        let mut saved = std::mem::take(&mut self.saved);
        self.put(ix, slot, slices, &mut saved);
        self.saved = saved;
    }

    fn put<T: Row>(&mut self, ix: usize, slot: &Slot<T>, slices: &[Slice], into: &mut Vec<u8>) {
        let Ok(ix) = Ix::try_from(ix) else { return };
        let start = into.len();
        into.extend_from_slice(&[0; ROW_LENGTH_LEN]);
        match slot.packed.bytes(slices) {
            Some(packed) => into.extend_from_slice(packed),
            None => slot.open(slices).put(ix, into),
        }
        let length = u32::try_from(into.len() - start - ROW_LENGTH_LEN).unwrap_or(u32::MAX);
        if let Some(place) = into.get_mut(start..start + ROW_LENGTH_LEN) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        if let Some(row) = slot.open.get() {
            let owed = row.owed();
            if owed > 0 {
                self.owed.push_back((ix, owed));
            }
        }
    }
}

/// Rows of a snapshot, as they come: in any order, each once.
pub(super) struct Filling<T> {
    kept: Kept<T>,
    count: usize,
    filled: usize,
}

impl<T: Row> Filling<T> {
    pub(super) fn new(count: u32) -> Self {
        let count = count as usize;
        let rows = Vec::with_capacity(count);
        Self { kept: Kept { rows, slices: Vec::new(), copying: None }, count, filled: 0 }
    }

    /// A row that is unpacked.
    pub(super) fn open(&mut self, ix: Ix, row: T) -> Result<(), Broken> {
        self.fill(ix, Slot { open: OnceCell::from(row), packed: Packed::NOWHERE })
    }

    /// Rows that stay packed, each by its place and where in the slice its length stands.
    pub(super) fn packed(&mut self, slice: Vec<u8>, rows: &[(Ix, u32)]) -> Result<(), Broken> {
        let number = u32::try_from(self.kept.slices.len()).map_err(|_| Broken("too many slices"))?;
        self.kept.slices.push(Slice { bytes: slice.into_boxed_slice(), unchanged: rows.len() });
        for (ix, from) in rows {
            self.fill(*ix, Slot { open: OnceCell::new(), packed: Packed { slice: number, from: *from } })?;
        }
        Ok(())
    }

    pub(super) fn get_mut(&mut self, ix: Ix) -> Option<&mut T> {
        self.kept.rows.get_mut(ix as usize)?.open.get_mut()
    }

    fn fill(&mut self, ix: Ix, slot: Slot<T>) -> Result<(), Broken> {
        let ix = ix as usize;
        if ix >= self.count {
            return Err(Broken("a row at a place that there is not"));
        }
        let absent = || Slot { open: OnceCell::new(), packed: Packed::NOWHERE };
        let rows = &mut self.kept.rows;
        if rows.len() <= ix {
            rows.resize_with(ix + 1, absent);
        }
        let Some(place) = rows.get_mut(ix) else { return Err(Broken("a row at a place that there is not")) };
        if place.packed != Packed::NOWHERE || place.open.get().is_some() {
            return Err(Broken("a row that is there already"));
        }
        *place = slot;
        self.filled += 1;
        Ok(())
    }

    /// `None` when one is missing.
    pub(super) fn whole(self) -> Option<Kept<T>> {
        (self.filled == self.count).then_some(self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::slices::{put, take};
    use super::*;

    impl Row for u64 {
        fn put(&self, ix: Ix, into: &mut Vec<u8>) {
            put(into, &(ix, *self));
        }

        fn take(mut bytes: &[u8]) -> Result<(Ix, Self), Broken> {
            take(&mut bytes)
        }
    }

    /// Rows 0, 10, 20 … in slices of four.
    fn restored(count: u32) -> Kept<u64> {
        let mut filling = Filling::new(count);
        let all: Vec<Ix> = (0..count).collect();
        for some in all.chunks(4) {
            let (mut slice, mut places) = (Vec::new(), Vec::new());
            for ix in some {
                places.push((*ix, u32::try_from(slice.len()).unwrap()));
                let mut row = Vec::new();
                (u64::from(*ix) * 10).put(*ix, &mut row);
                slice.extend_from_slice(&u32::try_from(row.len()).unwrap().to_le_bytes());
                slice.append(&mut row);
            }
            filling.packed(slice, &places).unwrap();
        }
        filling.whole().unwrap()
    }

    #[test]
    fn rows_are_unpacked_when_asked_for_and_a_slice_goes_when_all_of_it_has_changed() {
        let mut kept = restored(10);
        assert!(kept.rows.iter().all(|slot| slot.open.get().is_none()));
        assert_eq!((kept.get(3), kept.get(10)), (Some(&30), None));
        assert_eq!(kept.rows.iter().filter(|slot| slot.open.get().is_some()).count(), 1);
        for ix in [0, 1, 2, 1] {
            *kept.get_mut(ix).unwrap() += 1;
        }
        assert_eq!(kept.get(3), Some(&30), "the one that did not change is still there");
        *kept.get_mut(3).unwrap() += 1;
        let left: Vec<usize> = kept.slices.iter().map(|slice| slice.bytes.len()).collect();
        assert!(left[0] == 0 && left[1] > 0 && left[2] > 0, "{left:?}");
        assert!(kept.iter().copied().eq([1, 12, 21, 31, 40, 50, 60, 70, 80, 90]));
    }

    #[test]
    fn a_row_comes_once_and_in_its_place() {
        let mut filling = Filling::new(2);
        assert_eq!(filling.open(2, 0), Err(Broken("a row at a place that there is not")));
        assert_eq!(filling.open(1, 7), Ok(()));
        assert_eq!(filling.packed(vec![0; 8], &[(1, 0)]), Err(Broken("a row that is there already")));
        assert!(filling.whole().is_none(), "the first is missing");
    }
}
