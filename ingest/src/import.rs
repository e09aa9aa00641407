//! Readings of tanks from a CSV file, as devices and accounting programs export them.
//!
//! In: a file of any size and a [`mapping::Mapping`] that says what its columns are. Out: readings, one a line, in the file's order.
//! Guarantees: total; memory does not grow with the file; what is wrong is told with line and column; [`check`] reads the whole
//! file before [`readings`] gives anything on, and both find the same. The same line makes the same reading whenever it is
//! imported, so that repeats are known downstream.
//! Does not: judge values. A level that cannot be is cleaned where all readings are; only what is no figure, no time or no
//! name is refused here, and what no tank can have is left out and counted.

mod decimals;
pub mod mapping;
mod source;
pub mod strapping;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use model::{Reading, SiteId, TankId};

use crate::register::Problem;
use mapping::Mapping;
use table::{Row, Table};

/// Problems that are remembered; the others are counted.
pub const PROBLEMS_MAX: usize = 100;
/// Sites and tanks of one file.
pub const TANKS_MAX: usize = 1_000_000;
/// Bytes of one line, so that a quotation mark that nobody closes does not swallow the file.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub rows: u64,
    pub tanks: usize,
    /// Figures that no tank can have: they are left out.
    pub left_out: u64,
}

/// What is wrong with a file: the first of the problems, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    pub first: Vec<Problem>,
    pub count: u64,
}

/// Reads the whole file and gives nothing on. `progress` is told how many bytes are read, now and then.
pub fn check(source: impl Read, mapping: &Mapping, mut progress: impl FnMut(u64)) -> Result<Summary, Problems> {
    let mut problems = Problems { first: Vec::new(), count: 0 };
    let mut summary = Summary::default();
    let mut guard = Guard::new(mapping);
    let mut table = match Table::open(source, mapping) {
        Ok(table) => table,
        Err(problem) => return Err(Problems { first: vec![problem], count: 1 }),
    };
    loop {
        let found = match table.next() {
            None => break,
            Some(Ok(row)) => {
                summary.rows += 1;
                summary.left_out += u64::from(row.left_out);
                progress(table.bytes());
                guard.admit(&row).err().map(|problem| vec![problem])
            }
            Some(Err(found)) => Some(found),
        };
        let Some(found) = found else { continue };
        problems.count += found.len() as u64;
        let room = PROBLEMS_MAX.saturating_sub(problems.first.len());
        problems.first.extend(found.into_iter().take(room));
        // A file whose owners are wrong, or that cannot be read on, is not looked at further.
        if guard.stopped || table.ended() {
            break;
        }
    }
    summary.tanks = guard.tanks;
    if problems.count == 0 && summary.rows == 0 {
        let what = "the file holds a header and no line".to_owned();
        problems = Problems { first: vec![Problem { line: 0, column: None, what }], count: 1 };
    }
    if problems.count == 0 { Ok(summary) } else { Err(problems) }
}

/// Gives every reading to `take`, with the bytes read so far. Ends at the first problem: a file that was checked has none
/// unless it has changed.
pub fn readings<E>(
    source: impl Read,
    mapping: &Mapping,
    mut take: impl FnMut(Reading, u64) -> Result<(), E>,
) -> Result<Summary, ImportError<E>> {
    let mut table = Table::open(source, mapping).map_err(ImportError::Changed)?;
    let mut summary = Summary::default();
    while let Some(row) = table.next() {
        let row = row.map_err(|problems| {
            let unnamed = || Problem { line: 0, column: None, what: "the file cannot be read".to_owned() };
            ImportError::Changed(problems.into_iter().next().unwrap_or_else(unnamed))
        })?;
        summary.rows += 1;
        summary.left_out += u64::from(row.left_out);
        take(row.reading, table.bytes()).map_err(ImportError::Taken)?;
    }
    Ok(summary)
}

/// Why [`readings`] ended early.
#[derive(Debug)]
pub enum ImportError<E> {
    /// The file is not as it was when it was checked.
    Changed(Problem),
    Taken(E),
}

/// One owner with suddenly many tanks: somebody's name stands on everybody's rows.
struct Guard {
    tanks_max: usize,
    by_owner: BTreeMap<String, BTreeSet<(SiteId, TankId)>>,
    tanks: usize,
    stopped: bool,
}

impl Guard {
    fn new(mapping: &Mapping) -> Self {
        Self { tanks_max: mapping.tanks_max, by_owner: BTreeMap::new(), tanks: 0, stopped: false }
    }

    fn admit(&mut self, row: &Row) -> Result<(), Problem> {
        let Reading { site, tank, .. } = &row.reading;
        let owner = row.owner.as_deref().unwrap_or(site.as_str());
        let known = self.by_owner.get(owner);
        if known.is_some_and(|tanks| tanks.contains(&(site.clone(), tank.clone()))) {
            return Ok(());
        }
        if known.map_or(0, BTreeSet::len) >= self.tanks_max || self.tanks >= TANKS_MAX {
            self.stopped = true;
            let max = self.tanks_max;
            let what = format!(
                "{owner} has more than {max} tanks, the next is {tank} at {site}: do these rows belong to it? \
                 If they do, raise tanks_max in the mapping"
            );
            return Err(Problem { line: row.line, column: None, what });
        }
        self.by_owner.entry(owner.to_owned()).or_default().insert((site.clone(), tank.clone()));
        self.tanks += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
