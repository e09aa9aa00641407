//! Files and numbers that stay readable.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use expect_test::expect;
use model::{
    Command, ContractId, Entry, Item, Location, Millilitres, ProductCode, Prompts, RequestBody, TimestampUs,
    Transaction, TransactionKind, Unit,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Owner, PARTITION};
use crate::ledger::shard::Shard;
use crate::ledger::snapshot::{FORMAT, read, whole};
use crate::ledger::tables::LONG_AGO;
use crate::ledger::{Config, samples};

fn kept(format: u8, suffix: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/formats/{format}.{suffix}"))
}

/// Every format that was ever written stays readable for as long as it stands in this test: the file gives the state that
/// the records beside it fold to. How a new one is made:
///
/// 1. Raise `FORMAT`, and let `file::split` pass the old byte on in the header.
/// 2. Keep the old types of what changed in a module with the old number, and turn them into the new ones in `rows`.
/// 3. `WRITE_FORMAT=1 cargo test --release -p pipeline --lib formats` writes the pair of the new format once; commit it.
///
/// A pair is never written again: there are such files out there.
#[test]
fn a_file_of_every_format_is_what_its_ledger_folds_to() {
    if std::env::var_os("WRITE_FORMAT").is_some() && !kept(FORMAT, "snapshot").exists() {
        let mut owner = something_of_everything();
        fs::create_dir_all(kept(FORMAT, "snapshot").parent().unwrap()).unwrap();
        fs::write(kept(FORMAT, "ledger.jsonl"), owner.ledger.join("\n") + "\n").unwrap();
        assert_eq!(missing(&owner.shard), BTreeSet::new());
        let end = owner.end();
        fs::write(kept(FORMAT, "snapshot"), whole(&mut owner.shard, end)).unwrap();
    }
    for format in 1..=FORMAT {
        let ledger = fs::read_to_string(kept(format, "ledger.jsonl")).unwrap();
        let ledger = ledger.lines().map(str::to_owned).collect();
        let owner = Owner { ledger, ..Owner::new(Config::default()) };
        let folded = owner.folded(Shard::new(PARTITION), 0);
        let (header, restored) = read(&fs::read(kept(format, "snapshot")).unwrap()).unwrap();
        assert_eq!((header.format, header.offset), (format, owner.end()));
        assert_eq!(missing(&folded), BTreeSet::new(), "the ledger of format {format} leads nowhere near");
        assert!(restored == folded, "format {format}");
    }
}

/// What the kept state must hold, or a change of it would go unnoticed.
fn missing(shard: &Shard) -> BTreeSet<&'static str> {
    let tables = &shard.tables;
    let cards = || tables.cards.iter();
    let contracts = || tables.contracts.iter();
    let purchases = || cards().flat_map(|card| &card.purchases);
    let limits = || contracts().flat_map(|contract| contract.settings.all()).map(|setting| &setting.limit);
    let books = || contracts().filter_map(|contract| contract.books.as_deref());
    let parties = || contracts().filter_map(|contract| contract.parties.as_deref());
    let rules = || {
        let parties = parties().flat_map(|parties| {
            let vehicles = parties.vehicles.iter().map(|party| &party.rules);
            let drivers = parties.drivers.iter().map(|party| &party.rules);
            parties.groups.iter().map(|party| &party.rules).chain(vehicles).chain(drivers)
        });
        contracts().map(|contract| &contract.rules).chain(cards().map(|card| &card.rules)).chain(parties)
    };
    let window = |name: &str| {
        limits().any(|limit| serde_json::to_string(&limit.window).unwrap().contains(name) && limit.value > 0)
    };
    let there = [
        ("month sums", cards().any(|card| card.older.iter().any(|sum| sum.key.month != LONG_AGO))),
        ("sums of long ago", cards().any(|card| card.older.iter().any(|sum| sum.key.month == LONG_AGO))),
        ("blocked cards", cards().any(|card| !card.face.blocks.is_empty())),
        ("odometers", cards().any(|card| card.odometer.is_some())),
        ("places", cards().any(|card| card.last_seen.is_some())),
        ("purchases of several lines", purchases().any(|purchase| purchase.lines.iter().count() > 1)),
        ("offline purchases", purchases().any(|purchase| purchase.offline)),
        ("drivers of purchases", purchases().any(|purchase| purchase.driver != crate::ledger::state::NONE)),
        ("holds", contracts().any(|contract| !contract.open_holds.is_empty())),
        ("discounts", contracts().any(|contract| !contract.discounts.is_empty())),
        ("holidays", contracts().any(|contract| !contract.holidays.is_empty())),
        ("bills", contracts().any(|contract| contract.bills > 0)),
        ("fees", books().any(|books| !books.fees.is_empty())),
        ("lines of the register", books().any(|books| !books.register_lines.is_empty())),
        ("restrictions", rules().any(|rules| !rules.restrictions().is_empty())),
        ("policies", rules().any(|rules| rules.policy().is_some())),
        (
            "limits of parties",
            parties().any(|parties| parties.groups.iter().any(|group| !group.rules.limits.is_empty())),
        ),
        ("vehicles", parties().any(|parties| parties.vehicles.iter().any(|party| party.party.tank_ml.is_some()))),
        ("schedules", limits().any(|limit| limit.schedule.is_some())),
        ("alerts", limits().any(|limit| limit.alert_left.is_some())),
        ("rolling limits", window("rolling")),
        ("one-off limits", window("one_off")),
        ("lifetime limits", window("lifetime")),
        ("limits removed", contracts().any(|contract| contract.settings.names().any(|named| named.removed))),
        ("answers with remarks", shard.answers.any(|decided| decided.remarks.is_some())),
        ("answers with figures", shard.answers.any(|decided| decided.figures > 2)),
    ];
    there.into_iter().filter(|(_, there)| !there).map(|(what, _)| what).collect()
}

/// What the contract of the kept ledger was ordered.
const ORDERS: [&str; 32] = [
    r#"{"open_contract":{"name":"Hauliers","currency":"RUB","time_zone":"Europe/Moscow","week_start":"sunday"}}"#,
    r#"{"top_up":{"amount_minor":10000000,"currency":"RUB","reference":"PAY-1"}}"#,
    r#"{"top_up":{"amount_minor":5000000,"currency":"RUB","reference":"PAY-2"}}"#,
    r#"{"match_register":{"date":"2023-01-10","reference":"PAY-1","amount_minor":10000000,"payer":{"tax_id":"7701234567"}}}"#,
    r#"{"match_register":{"date":"2023-01-10","reference":"PAY-9","amount_minor":1,"currency":"RUB","payer":{"name":"ООО"}}}"#,
    r#"{"set_credit_line":{"amount_minor":900000000,"currency":"RUB"}}"#,
    r#"{"set_monthly_fee":{"name":"service","amount_minor":100}}"#,
    r#"{"set_discount":{"product":{"group":"FUEL"},"off":{"basis_points":150}}}"#,
    r#"{"set_discount":{"product":{"product":"WASH"},"off":{"price_e4":1000}}}"#,
    r#"{"set_holidays":{"days":["2025-01-01","2025-05-09"]}}"#,
    r#"{"put_group":{"id":"G-1","name":"tractors"}}"#,
    r#"{"put_vehicle":{"id":"A123BC","tank_ml":600000,"fuel":{"group":"FUEL"}}}"#,
    r#"{"put_driver":{"id":"D-1","name":"Anna"}}"#,
    r#"{"put_driver":{"id":"D-2","name":"Boris","blocked":true}}"#,
    r#"{"issue_card":{"card":"4321","pan_masked":"****4321","daily_ml":300000,"daily_minor":5000000}}"#,
    r#"{"issue_card":{"card":"8765","pan_masked":"****8765","kind":"virtual","group":"G-1","vehicle":"A123BC","driver":"D-1"}}"#,
    r#"{"issue_card":{"card":"1111","pan_masked":"****1111","valid_to_us":1800000000000000}}"#,
    r#"{"block_card":{"card":"1111","reason":"lost and found","actor":"issuer_risk"}}"#,
    r#"{"block_card":{"card":"4321","reason":"for a while","until_us":1600000000000000}}"#,
    r#"{"set_limit":{"id":"roll","scope":{"card":"4321"},"measure":"volume","value":900000,"window":{"rolling":{"secs":604800}}}}"#,
    r#"{"set_limit":{"id":"once","scope":"contract","measure":"money","value":90000000,"window":"one_off"}}"#,
    r#"{"set_limit":{"id":"life","scope":{"driver":"D-1"},"measure":"count","value":900,"window":"lifetime","mode":"flag"}}"#,
    r#"{"set_limit":{"id":"each","scope":{"vehicle":"A123BC"},"measure":"volume","value":500000,"window":"per_transaction"}}"#,
    r#"{"set_limit":{"id":"week","scope":{"group":"G-1"},"product":{"group":"FUEL"},"measure":"volume","value":1,"window":{"calendar":{"unit":"week","count":1}},"mode":"shadow"}}"#,
    r#"{"set_limit":{"id":"hours","scope":"contract","measure":"volume","value":9000000,"window":{"calendar":{"unit":"month","count":2}},"schedule":{"days":[true,true,true,true,true,false,false],"from":"06:00:00","to":"22:00:00","holidays":"except"},"alert_left":8900000,"valid_from_us":1600000000000000}}"#,
    r#"{"set_limit":{"id":"away","scope":{"card":"4321"},"measure":"volume","value":50000,"window":{"calendar":{"unit":"day","count":1}},"offline":true}}"#,
    r#"{"set_limit":{"id":"gone","scope":"contract","measure":"count","value":5,"window":{"calendar":{"unit":"year","count":1}}}}"#,
    r#"{"change_limit":{"limit":"roll","value":800000}}"#,
    r#"{"remove_limit":{"limit":"gone"}}"#,
    r#"{"set_restriction":{"id":"sites","scope":{"card":"8765"},"rule":"deny","of":{"sites":["S-9"]}}}"#,
    r#"{"set_restriction":{"id":"night","scope":"contract","rule":"deny","of":{"hours":[{"days":[true,true,true,true,true,true,true],"from":"03:00:00","to":"03:30:00"}]}}}"#,
    r#"{"set_policy":{"scope":{"card":"8765"},"policy":{"prompts":["odometer"]}}}"#,
];

const DAY_US: i64 = 86_400 * model::MICROS_PER_SECOND;

/// A contract with something of everything, and three years of its cards' purchases.
fn something_of_everything() -> Owner {
    let mut owner = Owner::new(Config::default());
    let contract = ContractId::new("C-1").unwrap();
    let from = TimestampUs::from_micros(1_673_337_600_000_000); // 2023-01-10T08:00:00Z
    for (number, json) in (0..).zip(ORDERS) {
        let command: Command = serde_json::from_str(json).unwrap();
        let order = samples::order(&format!("order-{number}"), &contract, from, command);
        owner.decide(samples::request(&contract, number, RequestBody::Command(Box::new(order))));
    }
    let diesel = samples::item(Some(Millilitres::from_litres(40)));
    let fuel = Item { group: Some(ProductCode::new("FUEL").unwrap()), ..diesel };
    let wash = Item {
        code: ProductCode::new("WASH").unwrap(),
        unit: Unit::Pieces,
        qty_ml: None,
        pieces: Some(2),
        ..fuel.clone()
    };
    let mut buy = |number: i64, kind, card: &str, at: TimestampUs, change: &dyn Fn(&mut Transaction)| {
        let mut transaction = Transaction {
            items: vec![fuel.clone()],
            location: Some(Location { lat_e6: 55_750_000, lon_e6: 37_620_000 }),
            prompts: Prompts { odometer: Some(100_000 + u32::try_from(number).unwrap()), ..Prompts::default() },
            entry: Some(Entry::Qr),
            ..samples::transaction(kind, &format!("key-{number}"), card, at)
        };
        change(&mut transaction);
        owner.decide(samples::request(&contract, number, RequestBody::Transaction(Box::new(transaction))));
    };
    for number in 0..16 {
        let card = if number % 3 == 0 { "8765" } else { "4321" };
        buy(number, TransactionKind::Sale, card, from.plus_us(number * 70 * DAY_US), &|_| {});
    }
    let last = from.plus_us(15 * 70 * DAY_US);
    let two = |transaction: &mut Transaction| transaction.items.push(wash.clone());
    let offline = |transaction: &mut Transaction| transaction.offline.was = true;
    let too_much = |transaction: &mut Transaction| transaction.items[0].qty_ml = Some(Millilitres::from_litres(700));
    buy(16, TransactionKind::Sale, "4321", last.plus_us(DAY_US), &two);
    buy(17, TransactionKind::AdviceOffline, "4321", last.plus_us(2 * DAY_US), &offline);
    buy(18, TransactionKind::Sale, "8765", last.plus_us(3 * DAY_US), &too_much);
    buy(19, TransactionKind::Preauth, "4321", last.plus_us(4 * DAY_US), &|_| {});
    buy(20, TransactionKind::Preauth, "8765", last.plus_us(5 * DAY_US), &|_| {});
    let bill = Command::Bill { number: "B-1".into() };
    let bill = samples::order("bill", &contract, last.plus_us(5 * DAY_US), bill);
    owner.decide(samples::request(&contract, 100, RequestBody::Command(Box::new(bill))));
    owner
}

/// The names of an enum's variants by the numbers under which they stand in snapshots.
fn numbered<T: Serialize + DeserializeOwned>() -> String {
    let variant = |number: u8| {
        let payload = [&[number, 1, b'a'][..], &[0; 64]].concat();
        postcard::take_from_bytes::<T>(&payload).ok().map(|(variant, _)| serde_json::to_value(&variant).unwrap())
    };
    let names = (0..u8::MAX).map_while(variant).map(|json| match json {
        serde_json::Value::String(name) => name,
        other => other.as_object().and_then(|fields| fields.keys().next()).cloned().unwrap_or_default(),
    });
    names.collect::<Vec<_>>().join(" ")
}

/// Snapshots hold these by number. A new variant goes to the end of its enum; whoever must put it elsewhere, or takes one
/// away, makes a new format (see above).
#[test]
fn the_vocabulary_keeps_its_numbers() {
    let all = [
        numbered::<model::Code>(),
        numbered::<TransactionKind>(),
        numbered::<model::Verdict>(),
        numbered::<model::Measure>(),
        numbered::<model::LimitMode>(),
        numbered::<model::CalendarUnit>(),
        numbered::<model::WeekStart>(),
        numbered::<model::RuleMode>(),
        numbered::<model::CardKind>(),
        numbered::<model::Closure>(),
        numbered::<model::Actor>(),
        numbered::<model::TopUpState>(),
        numbered::<model::OriginTopic>(),
        numbered::<model::Window>(),
        numbered::<model::Scope>(),
        numbered::<model::ProductSelector>(),
    ];
    expect![[r#"
        APPROVED APPROVED_FLAGGED FMT_INVALID FMT_CLOCK FMT_KEY_REUSED AMOUNT_MISMATCH CURRENCY_MISMATCH CARD_UNKNOWN CARD_BLOCKED CARD_LOST CARD_STOLEN CARD_CLOSED CARD_EXPIRED CARD_NOT_YET PIN_REQUIRED PIN_WRONG PIN_LOCKED PROMPT_MISSING PROMPT_INVALID ODOMETER_RANGE CONTRACT_UNKNOWN CONTRACT_BLOCKED CONTRACT_EXPIRED CONTRACT_NOT_YET PRODUCT SITE TIME ENTRY_METHOD TANK_CAPACITY FUNDS LIMIT_TX LIMIT_PERIOD LIMIT_COUNT FRAUD_VELOCITY FRAUD_TRAVEL ORIGINAL_UNKNOWN COMPLETION_ABOVE_HOLD COMPLETION_LATE COMPLETION_DIFFERS ORIGINAL_CLOSED ORIGINAL_BILLED POSTED_OFFLINE OFFLINE_LIMIT POSTED_FORCED CONTRACT_EXISTS CARD_EXISTS TOP_UP_EXISTS TIME_ZONE_UNKNOWN LIMIT_UNKNOWN RESTRICTION_UNKNOWN GROUP_UNKNOWN VEHICLE_UNKNOWN DRIVER_UNKNOWN NOT_PERMITTED TOO_MANY
        preauth sale incremental completion advice_offline forced reversal void refund balance dry_run
        approve partial decline reprompt
        volume money count
        decline flag shadow
        day week month quarter year
        monday saturday sunday
        off shadow flag decline
        plastic virtual
        lost stolen returned
        client issuer_risk issuer_credit system
        credited register_matched register_missing amount_differs
        transactions commands ledger readings sales
        per_transaction calendar rolling lifetime one_off
        contract group card vehicle driver
        all group product"#]].assert_eq(&all.join("\n"));
}
