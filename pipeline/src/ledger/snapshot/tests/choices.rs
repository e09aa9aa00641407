//! Which snapshot a start begins with.

use std::collections::BTreeMap;

use model::PartitionId;

use super::owner_after;
use crate::ledger::snapshot::choice::{Choice, Name, NoBeginning, choose};
use crate::ledger::snapshot::whole;

/// A store with snapshots at these offsets; the log goes from `begin` to `end`.
fn chosen(store: &BTreeMap<Name, Vec<u8>>, begin: i64, end: i64) -> Result<Choice, NoBeginning> {
    let fetch = |name: &Name| store.get(name).filter(|bytes| !bytes.is_empty()).cloned().ok_or("it is gone");
    choose(PartitionId(0), begin..=end, store.keys().copied(), fetch)
}

fn at(partition: i32, offset: i64) -> Name {
    Name { partition: PartitionId(partition), offset }
}

fn store(offsets: &[i64]) -> BTreeMap<Name, Vec<u8>> {
    let mut owner = owner_after(1, 50);
    offsets.iter().map(|offset| (at(0, *offset), whole(&mut owner.shard, *offset))).collect()
}

#[test]
fn a_name_is_written_in_one_way_and_sorts_by_offset() {
    let name = at(3, 12_345);
    assert_eq!(name.to_string(), "0003/00000000000000012345.snapshot");
    assert_eq!(name.to_string().parse(), Ok(name));
    for wrong in ["3/12345.snapshot", "0003/00000000000000012345", "0003/+0000000000000012345.snapshot", "x", ""] {
        assert!(wrong.parse::<Name>().is_err(), "{wrong}");
    }
    assert!(at(-1, 0).to_string().parse::<Name>().is_err());
    assert!(at(0, 99) < at(0, 100) && at(0, 100).to_string() > at(0, 99).to_string());
}

#[test]
fn the_newest_that_lies_in_the_log_is_taken() {
    let choice = chosen(&store(&[10, 20, 30]), 0, 25).unwrap();
    assert_eq!((choice.snapshot, choice.offset), (Some(at(0, 20)), 20));
    assert_eq!(choice.passed_over.len(), 1);
    assert_eq!(choice.passed_over[0].reason, "it lies beyond the log's end at 25");
    assert_eq!(choice.shard.last_request(), owner_after(1, 50).shard.last_request());
    assert_eq!(chosen(&store(&[10, 20]), 20, 20).unwrap().snapshot, Some(at(0, 20)), "nothing came after it");
}

#[test]
fn one_that_cannot_be_used_gives_way_to_the_one_before() {
    let mut store = store(&[10, 20, 30, 40]);
    store.insert(at(0, 40), Vec::new());
    store.insert(at(0, 30), store[&at(0, 20)].clone());
    store.get_mut(&at(0, 20)).unwrap()[70] ^= 1;
    store.insert(at(1, 35), Vec::new());
    let choice = chosen(&store, 0, 50).unwrap();
    assert_eq!(choice.snapshot, Some(at(0, 10)));
    let reasons: Vec<String> = choice.passed_over.into_iter().map(|passed| passed.reason).collect();
    assert_eq!(
        reasons,
        ["it is gone", "it is 0000/00000000000000000020.snapshot inside", "its checksum is not that of its bytes"]
    );
}

#[test]
fn without_a_snapshot_all_is_folded_where_the_log_has_its_beginning() {
    let choice = chosen(&BTreeMap::new(), 0, 50).unwrap();
    assert_eq!((choice.snapshot, choice.offset, choice.shard.last_request()), (None, 0, None));
    let late = chosen(&store(&[10]), 11, 50).unwrap_err();
    assert_eq!(late.to_string(), "the log begins at 11 and none of 1 snapshots can be used");
    assert_eq!(late.passed_over[0].reason, "the log begins after it, at 11");
}
