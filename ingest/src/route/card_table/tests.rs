//! The table from records, from files, and from both.

use std::fs;
use std::path::PathBuf;

use expect_test::expect;
use model::Topic;
use proptest::prelude::*;

use super::file::{FORMAT, Unusable, continues, read};
use super::*;
use crate::Span;

fn message(partition: i32, offset: i64, payload: Option<&str>) -> LogMessage {
    LogMessage {
        topic: Topic::Cards,
        partition: PartitionId(partition),
        offset,
        key: None,
        payload: payload.map(|text| text.as_bytes().to_vec()),
        timestamp_ms: None,
    }
}

fn entry(partition: i32, offset: i64, card: &str, contract: &str) -> LogMessage {
    let origin = r#"{"topic":"ledger","partition":0,"offset":1}"#;
    let payload = format!(r#"{{"v":1,"origin":{origin},"card":"{card}","contract":"{contract}"}}"#);
    message(partition, offset, Some(&payload))
}

fn token(text: &str) -> CardToken {
    CardToken::new(text).unwrap()
}

fn learned(messages: &[LogMessage]) -> Cards {
    let mut cards = Cards::new(2);
    messages.iter().for_each(|message| cards.learn(message));
    cards
}

/// Everything that can be asked of a table, besides what is confirmed.
fn known(cards: &Cards) -> (Vec<Option<&str>>, usize, &[i64]) {
    let contract = |number| cards.contract_of(&token(&format!("K-{number}"))).map(ContractId::as_str);
    ((0..30).map(contract).collect(), cards.known(), cards.positions())
}

fn sample() -> Cards {
    learned(&[
        entry(0, 0, "K-1", "C-1"),
        entry(1, 0, "K-2", "C-2"),
        entry(0, 3, "K-3", "C-1"),
        message(1, 6, None),
        entry(1, 7, "карта-4", "договор-4"),
    ])
}

#[test]
fn a_card_stays_with_its_first_contract() {
    let cards = learned(&[
        entry(0, 0, "K-1", "C-1"),
        entry(0, 1, "K-1", "C-2"),
        entry(0, 2, "K-2", "C-1"),
        message(0, 3, None),
        message(0, 4, Some("{")),
    ]);
    let contract = |card| cards.contract_of(&token(card)).map(ContractId::as_str);
    assert_eq!([contract("K-1"), contract("K-2"), contract("K-3")], [Some("C-1"), Some("C-1"), None]);
    assert_eq!(cards.positions(), [5, 0], "what cannot be read is passed as well");
}

#[test]
fn a_card_is_confirmed_by_a_commit_that_was_sent_after_it_was_learned() {
    let mut cards = Cards::default();
    let confirmed = |cards: &Cards| ["K-1", "K-2"].map(|card| cards.confirmed_contract_of(&token(card)).is_some());
    cards.learn(&entry(0, 0, "K-1", "C-1"));
    let sent_with = cards.known();
    cards.learn(&entry(0, 1, "K-2", "C-1"));
    assert_eq!(confirmed(&cards), [false, false]);
    cards.confirm(sent_with);
    assert_eq!((confirmed(&cards), cards.has_unconfirmed()), ([true, false], true));
    cards.learn(&entry(0, 2, "K-1", "C-1"));
    cards.confirm(cards.known());
    assert_eq!((confirmed(&cards), cards.has_unconfirmed()), ([true, true], false));
}

#[test]
fn cards_of_a_file_are_known_and_not_confirmed() {
    let mut cards = sample();
    cards.confirm(cards.known());
    let restored = read(&cards.unpacked().pack()).unwrap();
    assert_eq!(known(&restored), known(&cards));
    assert!(cards.confirmed_contract_of(&token("K-3")).is_some());
    assert!(restored.confirmed_contract_of(&token("K-3")).is_none());
    assert!(restored.has_unconfirmed());
}

#[test]
fn escapes_of_json_are_the_characters_that_they_stand_for() {
    let cards =
        learned(&[entry(0, 0, r"K\u002d1", r"\u0043-1"), entry(0, 1, "K-1", "C-2"), entry(0, 2, r"K-\u0032", "C-1")]);
    let contract = |card| cards.contract_of(&token(card)).map(ContractId::as_str);
    assert_eq!([contract("K-1"), contract("K-2")], [Some("C-1"), Some("C-1")]);
    assert_eq!((cards.known(), cards.rows.names.len()), (2, 1));
}

#[test]
fn what_is_no_card_entry_is_passed_over() {
    let origin = r#"{"topic":"ledger","partition":0,"offset":1}"#;
    for (offset, payload) in (0..).zip([
        r#"{"v":1,"card":"K-1","contract":"C-1"}"#.to_owned(),
        format!(r#"{{"v":1,"origin":{origin},"card":"K 1","contract":"C-1"}}"#),
        format!(r#"{{"v":1,"origin":{origin},"card":"K-1","contract":""}}"#),
        format!(r#"{{"v":1,"origin":{origin},"card":"K-1"}}"#),
    ]) {
        let cards = learned(&[message(1, offset, Some(&payload))]);
        assert_eq!(
            (cards.known(), cards.rows.names.len(), cards.positions()),
            (0, 0, &[0, offset + 1][..]),
            "{payload}"
        );
    }
}

proptest! {
    /// Repeats, second contracts, deletions and rubbish included; saved twice on the way.
    #[test]
    fn a_file_and_the_records_after_it_give_the_table_of_all_records(
        records in prop::collection::vec((0..2_i32, 0..30_u8, 0..5_u8, 0..10_u8), 0..80),
        cuts in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let mut offsets = [0; 2];
        let messages: Vec<LogMessage> = records.iter().map(|(partition, card, contract, kind)| {
            let offset = &mut offsets[usize::try_from(*partition).unwrap()];
            // Compaction leaves gaps.
            *offset += 1 + i64::from(*kind == 2);
            match kind {
                0 => message(*partition, *offset, None),
                1 => message(*partition, *offset, Some("rubbish")),
                _ => entry(*partition, *offset, &format!("K-{card}"), &format!("C-{contract}")),
            }
        }).collect();
        let mut cuts = [cuts.0.index(messages.len() + 1), cuts.1.index(messages.len() + 1)];
        cuts.sort_unstable();
        let mut cards = learned(&messages[..cuts[0]]);
        for part in [&messages[cuts[0]..cuts[1]], &messages[cuts[1]..]] {
            cards = read(&cards.unpacked().pack()).unwrap();
            part.iter().for_each(|message| cards.learn(message));
        }
        let whole = learned(&messages);
        prop_assert_eq!(known(&cards), known(&whole));
    }

    #[test]
    fn no_bytes_make_reading_fail_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
        // What a writer of rubbish signs.
        let mut signed = [&b"fcrtcard\x01"[..], &bytes].concat();
        signed.extend_from_slice(&(signed.len() as u64 + 24).to_le_bytes());
        let checksum = XxHash3_128::oneshot(&signed).to_le_bytes();
        signed.extend_from_slice(&checksum);
        let _ = read(&signed);
    }
}

#[test]
fn any_changed_byte_and_any_missing_or_additional_one_is_noticed() {
    let file = sample().unpacked().pack();
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
        assert!(matches!(read(&longer), Err(Unusable::Length { .. })), "{more} more at the end");
    }
}

#[test]
fn a_log_that_does_not_continue_a_table_is_told() {
    let cards = sample();
    let span = |begin, end| Span { begin, end };
    let said =
        |spans: &[Span]| continues(&cards, spans).map_or_else(|reason| reason.to_string(), |()| "continues".to_owned());
    assert_eq!(said(&[span(0, 4), span(8, 20)]), "continues");
    expect!["it is of 2 partitions, and there are 3"].assert_eq(&said(&[span(0, 9), span(0, 9), span(0, 9)]));
    expect!["it goes up to offset 4 of partition 0, which holds 0 up to 3"].assert_eq(&said(&[span(0, 3), span(0, 9)]));
    expect!["it goes up to offset 8 of partition 1, which holds 9 up to 9"].assert_eq(&said(&[span(0, 9), span(9, 9)]));
}

/// Every format that was ever written stays readable for as long as it stands in this test. `WRITE_FORMAT=1 cargo test -p
/// ingest --lib card_table` writes the file of a new one once; it is never written again: there are such files out there.
#[test]
fn a_file_of_every_format_gives_its_table() {
    let kept = |format: u8| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/formats/{format}.cards"));
    if std::env::var_os("WRITE_FORMAT").is_some() && !kept(FORMAT).exists() {
        fs::write(kept(FORMAT), sample().unpacked().pack()).unwrap();
    }
    for format in 1..=FORMAT {
        let cards = read(&fs::read(kept(format)).unwrap()).unwrap();
        assert_eq!(known(&cards), known(&sample()), "format {format}");
        assert_eq!(cards.contract_of(&token("карта-4")).map(ContractId::as_str), Some("договор-4"));
    }
}
