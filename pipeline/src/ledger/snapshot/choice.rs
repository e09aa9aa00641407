//! Which snapshot a start begins with.
//!
//! In: the names that are there, and a way to their bytes. Out: the newest snapshot that can be used, or an empty shard where
//! the log still has its beginning. Guarantees: a snapshot is used only when it can be read whole, is of this partition and lies
//! within the log; each one passed over is told, with the reason. Does not: fetch or delete.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;

use model::PartitionId;

use super::{Corrupt, Header, read};
use crate::ledger::shard::Shard;

const SUFFIX: &str = ".snapshot";
const PARTITION_DIGITS: usize = 4;
const OFFSET_DIGITS: usize = 20;

/// The name of a snapshot below its topic: `0003/00000000000000012345.snapshot`. In a partition the later offset is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub partition: PartitionId,
    pub offset: i64,
}

impl Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, offset } = self;
        write!(formatter, "{:0PARTITION_DIGITS$}/{offset:0OFFSET_DIGITS$}{SUFFIX}", partition.0)
    }
}

/// A text that names no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a snapshot like 0003/00000000000000012345.snapshot")]
pub struct NotAName(String);

impl FromStr for Name {
    type Err = NotAName;

    /// Takes exactly what is written: no other text names the same snapshot.
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let parts = text.strip_suffix(SUFFIX).and_then(|text| text.split_once('/'));
        let name = parts.and_then(|(partition, offset)| {
            Some(Self { partition: PartitionId(partition.parse().ok()?), offset: offset.parse().ok()? })
        });
        name.filter(|name| name.to_string() == text && name.partition.0 >= 0 && name.offset >= 0)
            .ok_or_else(|| NotAName(text.to_owned()))
    }
}

/// With what a start begins.
#[derive(Debug)]
pub struct Choice {
    pub shard: Box<Shard>,
    /// Where in the ledger folding goes on.
    pub offset: i64,
    /// Absent for an empty shard.
    pub snapshot: Option<Name>,
    /// Newer ones that cannot be used.
    pub passed_over: Vec<PassedOver>,
}

/// A snapshot that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    pub name: Name,
    pub reason: String,
}

/// The log has lost its beginning, and no snapshot takes its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log begins at {begin} and none of {count} snapshots can be used", count = passed_over.len())]
pub struct NoBeginning {
    pub begin: i64,
    pub passed_over: Vec<PassedOver>,
}

/// The newest snapshot of the partition that can be read and whose offset lies in the log, from its first record to the
/// place of its next; else an empty shard at 0. `names` may stand in any order and name other partitions.
pub fn choose<E: Display>(
    partition: PartitionId,
    log: RangeInclusive<i64>,
    names: impl IntoIterator<Item = Name>,
    mut fetch: impl FnMut(&Name) -> Result<Vec<u8>, E>,
) -> Result<Choice, NoBeginning> {
    let mut names: Vec<Name> = names.into_iter().filter(|name| name.partition == partition).collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    let (begin, end) = log.into_inner();
    let mut passed_over = Vec::new();
    for name in names {
        let loaded = if name.offset > end {
            Err(format!("it lies beyond the log's end at {end}"))
        } else if name.offset < begin {
            Err(format!("the log begins after it, at {begin}"))
        } else {
            fetch(&name).map_err(|error| error.to_string()).and_then(|bytes| named(&name, read(&bytes)))
        };
        match loaded {
            Ok(shard) => {
                let (shard, offset) = (Box::new(shard), name.offset);
                return Ok(Choice { shard, offset, snapshot: Some(name), passed_over });
            }
            Err(reason) => passed_over.push(PassedOver { name, reason }),
        }
    }
    if begin > 0 {
        return Err(NoBeginning { begin, passed_over });
    }
    Ok(Choice { shard: Box::new(Shard::new(partition)), offset: 0, snapshot: None, passed_over })
}

fn named(name: &Name, read: Result<(Header, Shard), Corrupt>) -> Result<Shard, String> {
    let (Header { partition, offset, .. }, shard) = read.map_err(|corrupt| corrupt.to_string())?;
    let found = Name { partition, offset };
    if found == *name { Ok(shard) } else { Err(format!("it is {found} inside")) }
}
