//! Saved card tables of the router, beside the snapshots of the ledger.
//!
//! In: tables as they were. Out: files; at a start the tables that can be read, the newest first. Guarantees: a file appears
//! whole; the newest few are kept; one that cannot be read is told. Does not: know whether the log still has what follows
//! ([`ingest::SavedTables`] looks), or hold up the router: packing and storing happen on a thread of their own.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Instant;

use crossbeam_channel::Receiver;
use ingest::UnpackedCards;
use ingest::route::card_table::{Cards, file};
use object_store::ObjectMeta;

use super::Store;

const SUFFIX: &str = ".cards";
const DIGITS: usize = 20;

/// The name of a table below its topic: `00000000000001234567.cards`, by how far all partitions together were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) read_to: i64,
}

impl Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:0DIGITS$}{SUFFIX}", self.read_to)
    }
}

impl FromStr for Name {
    type Err = ();

    /// Takes exactly what is written: no other text names the same table.
    fn from_str(text: &str) -> Result<Self, ()> {
        let read_to = text.strip_suffix(SUFFIX).and_then(|digits| digits.parse().ok()).ok_or(())?;
        let name = Self { read_to };
        if read_to >= 0 && name.to_string() == text { Ok(name) } else { Err(()) }
    }
}

/// All tables, with what the store knows of each.
pub(super) fn listed(store: &Store) -> anyhow::Result<BTreeMap<Name, ObjectMeta>> {
    let named = |(name, meta): (String, ObjectMeta)| Some((name.parse().ok()?, meta));
    Ok(store.files()?.into_iter().filter_map(named).collect())
}

pub(super) fn load(store: &Store, name: Name) -> anyhow::Result<Cards> {
    Ok(file::read(&store.bytes(&name.to_string())?)?)
}

/// The tables that can be read, the newest first, each when it is asked for.
pub(crate) fn tables(store: Store) -> impl Iterator<Item = (String, Cards)> {
    let names = listed(&store).unwrap_or_else(|error| {
        tracing::warn!("reading all cards: {error:#}");
        BTreeMap::new()
    });
    names.into_keys().rev().filter_map(move |name| {
        let began = Instant::now();
        match load(&store, name) {
            Ok(cards) => {
                tracing::debug!(file = %name, cards = cards.known(), secs = began.elapsed().as_secs_f64(), "card table unpacked");
                Some((name.to_string(), cards))
            }
            Err(error) => {
                tracing::error!(file = %name, "a saved card table is of no use: {error:#}");
                metrics::counter!("forecourt_card_tables_unusable_total").increment(1);
                None
            }
        }
    })
}

/// Packs and stores, until nobody sends any more.
pub(crate) fn write(store: &Store, keep: usize, todo: &Receiver<UnpackedCards>) {
    store.delete_abandoned();
    for unpacked in todo {
        let began = Instant::now();
        let name = Name { read_to: unpacked.read_to() };
        let bytes = unpacked.pack();
        // What it was made from need not wait for the store.
        drop(unpacked);
        let size = bytes.len();
        match store.store(&name.to_string(), bytes).and_then(|()| prune(store, name, keep)) {
            Ok(()) => {
                let secs = began.elapsed().as_secs_f64();
                tracing::info!(file = %name, bytes = size, secs, "card table stored");
                metrics::counter!("forecourt_card_tables_stored_total").increment(1);
            }
            Err(error) => {
                tracing::error!("{error:#}; the next card table is tried in its time");
                metrics::counter!("forecourt_card_tables_failed_total").increment(1);
            }
        }
    }
}

/// Deletes all but the newest `keep`, and never the one that was just stored: greater ones may be left from another log.
fn prune(store: &Store, stored: Name, keep: usize) -> anyhow::Result<()> {
    let names = listed(store)?.into_keys().rev();
    names.skip(keep).filter(|name| *name != stored).try_for_each(|name| store.delete(&name.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingest::LogMessage;
    use model::{CardToken, LogSettings, PartitionId, Topic};

    fn learned(cards: &mut Cards, numbers: std::ops::Range<i64>) {
        for offset in numbers {
            let origin = r#"{"topic":"ledger","partition":0,"offset":1}"#;
            let payload = format!(r#"{{"v":1,"origin":{origin},"card":"K-{offset}","contract":"C-1"}}"#);
            let (topic, partition, payload) = (Topic::Cards, PartitionId(0), Some(payload.into_bytes()));
            cards.learn(&LogMessage { topic, partition, offset, key: None, payload, timestamp_ms: None });
        }
    }

    #[test]
    fn the_newest_table_that_is_whole_comes_first_and_older_ones_are_deleted() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().to_str().expect("a path");
        let log = LogSettings { bootstrap: String::new(), topic_prefix: "fuel".to_owned(), partitions: 1 };
        let store = Store::open(place, &log, Topic::Cards).expect("a store");
        assert_eq!(tables(store.clone()).count(), 0);
        let mut cards = Cards::new(1);
        let (save, todo) = crossbeam_channel::unbounded();
        for number in 0..5 {
            learned(&mut cards, number * 10..(number + 1) * 10);
            save.send(cards.unpacked()).expect("the receiver is here");
        }
        drop(save);
        write(&store, 3, &todo);
        let newest = directory.path().join("fuel.cards").join("00000000000000000050.cards");
        let mut bytes = std::fs::read(&newest).expect("the newest");
        bytes[40] ^= 1;
        std::fs::write(newest, bytes).expect("it can be written");
        let found: Vec<_> = tables(store.clone()).map(|(name, cards)| (name, cards.known())).collect();
        let expected = [40, 30].map(|read_to| (Name { read_to }.to_string(), usize::try_from(read_to).expect("small")));
        assert_eq!(found, expected);
        let card = CardToken::new("K-29").expect("a token");
        assert!(tables(store).all(|(_, cards)| cards.contract_of(&card).is_some()));
    }

    #[test]
    fn a_table_of_a_shorter_log_outlives_those_of_another_log() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = LogSettings { bootstrap: String::new(), topic_prefix: "fuel".to_owned(), partitions: 1 };
        let store = Store::open(directory.path().to_str().expect("a path"), &log, Topic::Cards).expect("a store");
        for read_to in [100, 200, 300, 7] {
            let name = Name { read_to };
            store.store(&name.to_string(), vec![1]).expect("it is stored");
            prune(&store, name, 2).expect("it is pruned");
        }
        let left: Vec<i64> = listed(&store).expect("a list").into_keys().map(|name| name.read_to).collect();
        assert_eq!(left, [7, 200, 300]);
    }

    #[test]
    fn a_name_is_written_in_one_way() {
        let name = Name { read_to: 1_234_567 };
        assert_eq!(name.to_string(), "00000000000001234567.cards");
        assert_eq!(name.to_string().parse(), Ok(name));
        for text in
            ["1234567.cards", "0000000000000123456x.cards", "00000000000001234567", "-0000000000001234567.cards"]
        {
            assert_eq!(text.parse::<Name>(), Err(()), "{text}");
        }
    }
}
