//! Bytes that are no snapshot.

use proptest::prelude::*;

use super::owner_after;
use crate::ledger::shard::Shard;
use crate::ledger::snapshot::file::Writer;
use crate::ledger::snapshot::slices::{Kind, put};
use crate::ledger::snapshot::taking::Base;
use crate::ledger::snapshot::{Corrupt, FORMAT, Header, header, read, verify, whole};

/// A file with something of everything, and its slices.
fn sample() -> (Header, Vec<Vec<u8>>, Vec<u8>) {
    let mut owner = owner_after(3, 150);
    let file = whole(&mut owner.shard.clone(), 9);
    let header = owner.shard.begin_snapshot(9).unwrap();
    let mut slices = Vec::new();
    while let Some(slice) = owner.shard.slice_of(500) {
        slices.push(slice);
    }
    (header, slices, file)
}

fn packed(header: &Header, slices: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::begin(header);
    slices.iter().for_each(|slice| writer.slice(slice));
    writer.finish()
}

#[test]
fn any_changed_byte_and_any_missing_or_additional_one_is_noticed() {
    let (_, _, file) = sample();
    assert!(read(&file).is_ok());
    for place in 0..file.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[place] ^= change;
            assert!(read(&changed).is_err(), "byte {place}");
        }
        assert!(read(&file[..place]).is_err(), "cut after {place} bytes");
        let mut longer = file.clone();
        longer.insert(place, 0);
        assert!(read(&longer).is_err(), "one more at {place}");
    }
    for more in [1, 8, 24, 4_096] {
        let longer = [file.as_slice(), &vec![0; more]].concat();
        assert!(matches!(read(&longer), Err(Corrupt::Length { .. })), "{more} more at the end");
    }
    assert!(matches!(read(&[file.as_slice(), &file].concat()), Err(Corrupt::Length { .. })), "twice the same");
}

#[test]
fn it_is_said_what_is_wrong() {
    let (told, slices, file) = sample();
    assert_eq!(read(b"").err(), Some(Corrupt::Magic));
    assert_eq!(header(&file[..40]), Ok(told), "the beginning says what it is");
    let mut newer = file;
    newer[8] = FORMAT + 1;
    assert_eq!(read(&newer).err(), Some(Corrupt::Format(3)));
    assert_eq!(Corrupt::Format(3).to_string(), "its format is 3, and only 1 and 2 are known");
    let without =
        |kind: Kind| -> Vec<Vec<u8>> { slices.iter().filter(|slice| slice[0] != kind.byte()).cloned().collect() };
    for (kind, missing) in [
        (Kind::Codes, Corrupt::Missing("fewer codes than there were")),
        (Kind::Settings, Corrupt::Missing("fewer settings of limits than there were")),
        (Kind::Cards, Corrupt::Missing("fewer cards than there were")),
        (Kind::Answers, Corrupt::Missing("fewer answers than there were")),
    ] {
        assert_eq!(verify(&packed(&told, &without(kind))), Err(missing));
    }
    assert!(matches!(verify(&packed(&told, &without(Kind::Contracts))), Err(Corrupt::Slice { .. })));
    assert!(matches!(verify(&packed(&told, &without(Kind::Base))), Err(Corrupt::Slice { after: 0, .. })));
    assert_eq!(verify(&packed(&told, &[])), Err(Corrupt::Missing("all of it")));
    let twice: Vec<Vec<u8>> = slices.iter().flat_map(|slice| [slice.clone(), slice.clone()]).collect();
    assert!(matches!(verify(&packed(&told, &twice)), Err(Corrupt::Slice { .. })));
}

/// Two thousand million contracts in a hundred bytes: no room is made for them.
#[test]
fn what_the_bytes_do_not_bear_out_is_not_believed() {
    let mut shard = Shard::new(super::PARTITION);
    let header = shard.begin_snapshot(0).unwrap();
    let answers = shard.answers.begin_taking();
    let base = |contracts, cards| {
        let (zones, watermarks) = (Vec::new(), model::Watermarks::default());
        let mut slice = vec![Kind::Base.byte()];
        put(&mut slice, &Base { contracts, cards, codes: 0, zones, watermarks, answers });
        slice
    };
    for base in [base(u32::MAX / 2, 0), base(0, u32::MAX / 2)] {
        let corrupt = verify(&packed(&header, &[base])).unwrap_err();
        assert!(corrupt.to_string().contains("more contracts or cards"), "{corrupt}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Behind a right checksum there may still be anything: reading ends, and what is found good gives a state.
    #[test]
    fn bytes_that_nobody_wrote_do_no_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (header, mut slices, _) = sample();
        for (slice, place, byte) in changes {
            let slice = slice.index(slices.len());
            let place = place.index(slices[slice].len());
            slices[slice][place] = byte;
        }
        let file = packed(&header, &slices);
        if let (Ok((_, mut shard)), Ok(_)) = (read(&file), verify(&file)) {
            prop_assert!(verify(&whole(&mut shard, 0)).is_ok());
        }
    }
}
