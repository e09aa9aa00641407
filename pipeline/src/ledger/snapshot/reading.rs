//! A file into a shard.
//!
//! In: the bytes of a file. Out: the shard, with all that follows from its rows made again. Guarantees: a file gives a shard
//! only when every row that it promises is there, once. Does not: check what the rows say; they were true when written.

use model::ProductCode;

use super::file::Slices;
use super::rows::{take_card, take_contract};
use super::slices::{Broken, Kind, take};
use super::taking::Base;
use super::{Corrupt, Header};
use crate::ledger::answers::taking::Returning;
use crate::ledger::calendar::Zone;
use crate::ledger::shard::Shard;
use crate::ledger::state::{Card, Contract, Ix, Map, Named, Setting};
use crate::ledger::tables::Codes;

/// Settings for which room is made before they are seen.
const ROOM_MAX: usize = 1 << 16;

pub(super) fn shard(bytes: &[u8]) -> Result<(Header, Shard), Corrupt> {
    let mut slices = Slices::open(bytes)?;
    let header = slices.header;
    let mut parts: Option<Parts> = None;
    while let Some(slice) = slices.next()? {
        let taken = match &mut parts {
            None => Parts::begin(slice, bytes.len()).map(|begun| parts = Some(begun)),
            Some(parts) => parts.slice(slice),
        };
        taken.map_err(|Broken(why)| Corrupt::Slice { after: slices.after, why })?;
    }
    let parts = parts.ok_or(Corrupt::Missing("all of it"))?;
    let shard = parts.whole(&header).map_err(|Broken(why)| Corrupt::Missing(why))?;
    Ok((header, shard))
}

/// What was read so far.
struct Parts {
    base: Base,
    codes: Vec<ProductCode>,
    contracts: Rows<Contract>,
    /// Settings that each contract is to have, and the names of its limits.
    promised: Vec<(Ix, usize, Vec<Named>)>,
    cards: Rows<Card>,
    answers: Returning,
}

impl Parts {
    fn begin(mut slice: &[u8], file_bytes: usize) -> Result<Self, Broken> {
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
            codes: Vec::new(),
            contracts: Rows::new(base.contracts),
            promised: Vec::with_capacity(base.contracts as usize),
            cards: Rows::new(base.cards),
            answers: Returning::new(base.answers),
            base,
        })
    }

    fn slice(&mut self, mut slice: &[u8]) -> Result<(), Broken> {
        let kind = Kind::of(take(&mut slice)?)?;
        match kind {
            Kind::Base => return Err(Broken("it begins twice")),
            Kind::Answers => return self.answers.slice(slice),
            Kind::Codes => {
                while !slice.is_empty() {
                    self.codes.push(take(&mut slice)?);
                }
            }
            Kind::Contracts => {
                while !slice.is_empty() {
                    let mut row = take_contract(&mut slice)?;
                    row.contract.settings.reserve_exact(row.settings.min(ROOM_MAX));
                    self.promised.push((row.ix, row.settings, row.names));
                    self.contracts.put(row.ix, row.contract)?;
                }
            }
            Kind::Settings => {
                let ix: Ix = take(&mut slice)?;
                let contract = self.contracts.get_mut(ix).ok_or(Broken("settings of no contract"))?;
                while !slice.is_empty() {
                    let setting: Setting = take(&mut slice)?;
                    contract.settings.push(setting);
                }
            }
            Kind::Cards => {
                while !slice.is_empty() {
                    let (ix, card) = take_card(&mut slice)?;
                    self.cards.put(ix, card)?;
                }
            }
        }
        Ok(())
    }

    fn whole(self, header: &Header) -> Result<Shard, Broken> {
        let Self { base, codes, contracts, promised, cards, answers } = self;
        if codes.len() != base.codes as usize {
            return Err(Broken("fewer codes than there were"));
        }
        let mut contracts = contracts.whole().ok_or(Broken("fewer contracts than there were"))?;
        for (ix, settings, names) in promised {
            let contract = contracts.get_mut(ix as usize).ok_or(Broken("a contract"))?;
            if contract.settings.len() != settings {
                return Err(Broken("fewer settings of limits than there were"));
            }
            let mut current = Map::with_capacity_and_hasher(names.len(), Default::default());
            for named in names {
                let setting = contract.settings.get(named.setting as usize).ok_or(Broken("a limit without setting"))?;
                current.insert(setting.limit.id.clone(), named);
            }
            contract.current = current;
        }
        let mut shard = Shard::new(header.partition);
        shard.tables.index(contracts, cards.whole().ok_or(Broken("fewer cards than there were"))?);
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

/// Rows that come in any order, each once.
struct Rows<T> {
    rows: Vec<Option<T>>,
    count: usize,
}

impl<T> Rows<T> {
    fn new(count: u32) -> Self {
        let count = count as usize;
        Self { rows: Vec::with_capacity(count), count }
    }

    fn put(&mut self, ix: Ix, row: T) -> Result<(), Broken> {
        let ix = ix as usize;
        if ix >= self.count {
            return Err(Broken("a row at a place that there is not"));
        }
        if self.rows.len() <= ix {
            self.rows.resize_with(ix + 1, || None);
        }
        match &mut self.rows[ix] {
            Some(_) => Err(Broken("a row that is there already")),
            place => {
                *place = Some(row);
                Ok(())
            }
        }
    }

    fn get_mut(&mut self, ix: Ix) -> Option<&mut T> {
        self.rows.get_mut(ix as usize)?.as_mut()
    }

    fn whole(self) -> Option<Vec<T>> {
        if self.rows.len() == self.count { self.rows.into_iter().collect() } else { None }
    }
}
