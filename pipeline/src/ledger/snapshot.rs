//! Snapshots of a shard: so that a start reads one file and the end of the ledger, and not the whole ledger.
//!
//! In: a shard that goes on deciding, in [`Part`]s; a file. Out: the file; the shard. Guarantees: a shard that is read and
//! folds the ledger from the header's offset on is the shard that folded all of it; a file that is not whole, or of which any
//! byte was changed, is [`Corrupt`]; nothing of a file is believed that would take more memory than its bytes bear out.
//! Does not: read or write files, or know whether what the shard had decided stands in the ledger; who publishes the
//! snapshot waits for that ([`crate::tenancy::Tenancy::has_recorded`]).
//!
//! **Format 2.** The magic bytes, a byte with the format, two bytes with the length of the header, the header; a zstd stream of
//! slices, each after four bytes with its length; eight bytes with the length of the whole file, sixteen with the XXH3-128 of all
//! before them. Numbers are little-endian. The inside of a slice is written down in `rows`, `answers/taking` and the types
//! of the state that are `Serialize`, in postcard's format. Codes stand by their number among the answers, names of the
//! vocabulary by their place in their enum: new ones go to the end, and a test says so. Format 1 had rows without lengths.

pub mod choice;
pub(super) mod fields;
pub mod file;
mod format1;
mod reading;
mod rows;
pub(super) mod slices;
pub(super) mod taking;

use std::sync::Arc;

use model::PartitionId;
use serde::{Deserialize, Serialize};

use super::shard::Shard;
use file::Writer;

/// The format that is written.
pub const FORMAT: u8 = 2;

/// What a snapshot says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    #[serde(skip)]
    pub format: u8,
    pub partition: PartitionId,
    /// Where in the ledger folding goes on.
    pub offset: i64,
    /// The latest takeover in the state.
    pub epoch: Option<i64>,
    /// The offset in `fuel.requests` up to which all is decided.
    pub last_request: Option<i64>,
}

/// A piece of a snapshot, in order. When the partition is revoked in between no end comes.
#[derive(Clone, Debug)]
pub enum Part {
    Begin(Header),
    Slice(Slice),
    End,
}

/// Some of the state. Whoever holds it holds up the worker's memory: it makes no more while many are in somebody's hands.
#[derive(Clone, Debug)]
pub struct Slice {
    bytes: Vec<u8>,
    _in_hand: Arc<()>,
}

impl Slice {
    pub(super) fn new(bytes: Vec<u8>, in_hand: Arc<()>) -> Self {
        Self { bytes, _in_hand: in_hand }
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a file is no snapshot that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    #[error("it does not begin like a snapshot")]
    Magic,
    #[error("its format is {0}, and only 1 and 2 are known")]
    Format(u8),
    #[error("its header cannot be read")]
    Header,
    #[error("it has {found} bytes and should have {told}")]
    Length { told: u64, found: u64 },
    #[error("its checksum is not that of its bytes")]
    Checksum,
    #[error("it cannot be unpacked after {after} bytes: {why}")]
    Packing { after: u64, why: String },
    #[error("the slice after {after} unpacked bytes: {why}")]
    Slice { after: u64, why: &'static str },
    #[error("it ends before it is whole: {0}")]
    Missing(&'static str),
    #[error("in a card or in the limits of a contract there is {0}")]
    Row(&'static str),
}

/// The shard of a snapshot, ready to fold the ledger from the header's offset on. Its cards and limits are unpacked when they
/// are asked for, which panics where a file with a right checksum holds something else than was written; [`verify`] tells.
pub fn read(bytes: &[u8]) -> Result<(Header, Shard), Corrupt> {
    reading::shard(bytes)
}

/// Reads a snapshot to its end, and says of what it is.
pub fn verify(bytes: &[u8]) -> Result<Header, Corrupt> {
    let (header, shard) = read(bytes)?;
    reading::unpacked(&shard).map(|()| header)
}

/// What a snapshot says of itself; the beginning of its bytes is enough. Nothing is verified.
pub fn header(bytes: &[u8]) -> Result<Header, Corrupt> {
    file::split(bytes).map(|(header, _)| header)
}

/// A snapshot of a shard that does nothing else meanwhile.
///
/// # Panics
/// When another snapshot of the shard is under way.
#[must_use]
pub fn whole(shard: &mut Shard, offset: i64) -> Vec<u8> {
    let header = shard.begin_snapshot(offset).expect("no other snapshot is under way");
    let mut writer = Writer::begin(&header);
    while let Some(slice) = shard.next_slice() {
        writer.slice(&slice);
    }
    writer.finish()
}

#[cfg(test)]
mod tests;
