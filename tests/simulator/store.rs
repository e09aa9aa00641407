//! An object store, and what each process does to have its snapshots there.

use std::collections::BTreeMap;

use ingest::route::card_table::{Cards, file};
use ingest::{Span, UnpackedCards};
use model::{PartitionId, Topic};
use pipeline::ledger::snapshot::choice::Name;
use pipeline::ledger::snapshot::file::Writer;
use pipeline::ledger::snapshot::{Header, Part};
use pipeline::tenancy::Tenancy;

use crate::faults::Fault;
use crate::surroundings::{Down, Surroundings, Who};

/// Older ones are deleted.
const KEPT: usize = 3;

#[derive(Default)]
pub(crate) struct Store {
    files: BTreeMap<Name, Vec<u8>>,
    /// Puts that take their time.
    late: Vec<(i64, Name, Vec<u8>)>,
    full_until_us: i64,
    /// The router's card tables, by how far they were read.
    card_tables: BTreeMap<i64, Vec<u8>>,
}

impl Store {
    pub(crate) fn names(&self) -> Vec<Name> {
        self.files.keys().copied().collect()
    }

    pub(crate) fn file(&self, name: &Name) -> Option<&Vec<u8>> {
        self.files.get(name)
    }

    fn put(&mut self, name: Name, file: Vec<u8>) {
        self.files.insert(name, file);
        let of_partition = self.files.keys().copied().filter(|other| other.partition == name.partition);
        let of_partition: Vec<Name> = of_partition.collect();
        for old in of_partition.iter().rev().skip(KEPT) {
            self.files.remove(old);
        }
    }

    fn put_cards(&mut self, read_to: i64, file: Vec<u8>) {
        self.card_tables.insert(read_to, file);
        while self.card_tables.len() > KEPT {
            self.card_tables.pop_first();
        }
    }

    pub(crate) fn pass_time(&mut self, now_us: i64) {
        let (due, late): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.late).into_iter().partition(|(at, ..)| *at <= now_us);
        self.late = late;
        for (_, name, file) in due {
            self.put(name, file);
        }
    }
}

/// Reads a snapshot.
pub(crate) fn fetch(around: &mut Surroundings, who: Who, name: &Name) -> Result<Vec<u8>, &'static str> {
    if !who.reaches_store {
        return Err("the store cannot be reached");
    }
    if around.strikes(Fault::StoreGetFails) {
        return Err("the store does not answer");
    }
    around.store.file(name).cloned().ok_or("it is gone")
}

/// The newest card table that can be used.
pub(crate) fn newest_cards(around: &mut Surroundings, who: Who) -> Option<Cards> {
    if !who.reaches_store {
        return None;
    }
    let held = |partition| Span { begin: 0, end: around.log.end((Topic::Cards, partition)) };
    let spans: Vec<Span> = around.partitions().map(held).collect();
    let names: Vec<i64> = around.store.card_tables.keys().rev().copied().collect();
    for read_to in names {
        let gets = !around.strikes(Fault::StoreGetFails);
        let read = around.store.card_tables.get(&read_to).filter(|_| gets).and_then(|bytes| file::read(bytes).ok());
        if let Some(cards) = read.filter(|cards| file::continues(cards, &spans).is_ok()) {
            around.tell(who, "store", || format!("the card table up to {read_to} is used, {} cards", cards.known()));
            around.card_tables_used += 1;
            return Some(cards);
        }
    }
    None
}

pub(crate) fn put_cards(around: &mut Surroundings, who: Who, unpacked: &UnpackedCards) {
    let (read_to, mut file) = (unpacked.read_to(), unpacked.pack());
    if !who.reaches_store || around.now_us < around.store.full_until_us || around.strikes(Fault::StorePutLost) {
        return around.tell(who, "store", || format!("the card table up to {read_to} is not stored"));
    }
    if around.strikes(Fault::StorePutTorn) {
        file.truncate(around.random.index(file.len()));
    } else if around.strikes(Fault::StoreRots) {
        let place = around.random.index(file.len());
        file[place] ^= 1 << around.random.below(8);
    } else {
        around.tell(who, "store", || format!("the card table up to {read_to} is stored"));
    }
    around.store.put_cards(read_to, file);
}

/// The snapshots that a process has in hand.
#[derive(Default)]
pub(crate) struct Snapshots {
    writers: BTreeMap<PartitionId, Option<Writer>>,
    /// Finished, and kept back until all that is in them stands in the log as truth.
    kept_back: BTreeMap<PartitionId, (Header, Vec<u8>)>,
}

impl Snapshots {
    pub(crate) fn take(&mut self, partition: PartitionId, part: &Part) {
        if let Some(finished) = Writer::take(self.writers.entry(partition).or_default(), part) {
            self.kept_back.insert(partition, finished);
        }
    }

    /// Puts what can be vouched for into the store.
    pub(crate) fn publish(
        &mut self,
        around: &mut Surroundings,
        who: Who,
        partition: PartitionId,
        tenancy: &Tenancy,
    ) -> Result<(), Down> {
        let vouched = |(header, _): &(Header, _)| tenancy.vouches_for(header.epoch, header.last_request);
        if !who.reaches_store || !self.kept_back.get(&partition).is_some_and(vouched) {
            return Ok(());
        }
        around.may_die(Fault::OwnerDiesBeforePut)?;
        let Some((Header { offset, .. }, file)) = self.kept_back.remove(&partition) else { return Ok(()) };
        put(around, who, Name { partition, offset }, file);
        around.may_die(Fault::OwnerDiesAfterPut)
    }
}

fn put(around: &mut Surroundings, who: Who, name: Name, mut file: Vec<u8>) {
    if around.now_us < around.store.full_until_us {
        around.faults.count(Fault::StoreFull);
        return around.tell(who, "store", || format!("{name}: no space left"));
    }
    if around.strikes(Fault::StoreFull) {
        around.store.full_until_us = around.now_us + around.random.between(1_000_000, 30_000_000);
    } else if around.strikes(Fault::StorePutFails) || around.strikes(Fault::StorePutLost) {
        around.tell(who, "store", || format!("{name} is not stored"));
    } else if around.strikes(Fault::StorePutTorn) {
        file.truncate(around.random.index(file.len()));
        around.store.put(name, file);
    } else if around.strikes(Fault::StoreRots) {
        let place = around.random.index(file.len());
        file[place] ^= 1 << around.random.below(8);
        around.store.put(name, file);
    } else if around.strikes(Fault::StoreSlow) {
        let at_us = around.now_us + around.random.between(100_000, 20_000_000);
        around.store.late.push((at_us, name, file));
    } else {
        around.tell(who, "store", || format!("{name} is stored"));
        around.store.put(name, file);
    }
}
