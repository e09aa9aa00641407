mod tanks;

use expect_test::{Expect, expect};
use model::DeviceMessage;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const ARRIVAL: TimestampUs = TimestampUs::from_micros(1_768_404_667_123_456);
const TRANSACTION: &str = r#"{"v":1,"idem":"T0417-1","kind":"sale","site":"S-1","terminal":"T-1","local_time":"2026-01-14T22:31:07",
    "utc_offset_min":300,"card":{"token":"K-1"},"currency":"RUB",
    "items":[{"code":"053","unit":"L","qty_ml":40000,"price_e4":694500}]}"#;
const COMMAND: &str = r#"{"v":1,"idem":"P-1","author":"portal","at_us":1768404667000000,"contract":"C-1",
    "command":{"issue_card":{"card":"K-1","pan_masked":"****1234","daily_ml":200000}}}"#;
const READING: &str = r#"{"v":1,"seq":7,"product":"053","volume_ml":12000000,"height_mm":1450}"#;

/// One entry of `tests/malformed/*.json`, which its README explains.
#[derive(Deserialize)]
struct Malformed {
    name: String,
    topic: Option<String>,
    payload_text: Option<String>,
    payload_base64: Option<String>,
    repeat: Option<Repeat>,
    reason: String,
    #[serde(default)]
    card_number_masked: bool,
}

#[derive(Deserialize)]
struct Repeat {
    text: String,
    times: usize,
}

impl Malformed {
    fn payload(&self) -> Vec<u8> {
        match (&self.payload_text, &self.payload_base64, &self.repeat) {
            (Some(text), None, Some(repeat)) => {
                text.replace("{repeat}", &repeat.text.repeat(repeat.times)).into_bytes()
            }
            (Some(text), None, None) => text.clone().into_bytes(),
            (None, Some(base64), None) => from_base64(base64),
            _ => panic!("{}: one payload, and repeat only in a text", self.name),
        }
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let mut bits = 0_u32;
    let mut bytes = Vec::new();
    for (place, symbol) in text.trim_end_matches('=').bytes().enumerate() {
        let value =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|s| *s == symbol);
        bits = (bits << 6) | u32::try_from(value.unwrap()).unwrap();
        if place % 4 != 0 {
            bytes.push(u8::try_from((bits >> (6 - 2 * (place % 4))) & 0xff).unwrap());
        }
    }
    bytes
}

fn check_malformed(file: &str, decode: impl Fn(&Malformed, &[u8]) -> Result<(), Refusal>) {
    let cases: Vec<Malformed> = serde_json::from_str(file).unwrap();
    assert!(cases.len() >= 20, "only {} kinds", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let payload = case.payload();
        match decode(case, &payload) {
            Ok(()) => wrong.push(format!("{}: accepted", case.name)),
            Err((reason, detail)) => {
                if reason.as_str() != case.reason {
                    wrong.push(format!("{}: {} instead of {} ({detail})", case.name, reason.as_str(), case.reason));
                }
                if detail.is_empty() || detail.len() > DETAIL_BYTES_MAX + '…'.len_utf8() {
                    wrong.push(format!("{}: detail of {} bytes", case.name, detail.len()));
                }
            }
        }
        if card_numbers_masked(&payload).is_some() != case.card_number_masked {
            wrong.push(format!("{}: masking", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let reasons: std::collections::BTreeSet<_> = cases.iter().map(|case| case.reason.as_str()).collect();
    assert!(reasons.len() >= 7, "only {reasons:?}");
}

#[test]
fn a_malformed_transaction_is_refused_with_its_reason() {
    check_malformed(include_str!("../../../tests/malformed/transactions.json"), |_, payload| {
        transaction(payload).map(drop)
    });
}

#[test]
fn a_malformed_order_is_refused_with_its_reason() {
    check_malformed(include_str!("../../../tests/malformed/commands.json"), |_, payload| command(payload).map(drop));
}

#[test]
fn a_malformed_reading_is_refused_with_its_reason() {
    check_malformed(include_str!("../../../tests/malformed/readings.json"), |case, payload| {
        readings_under(TOPIC_PREFIX, case.topic.as_deref().unwrap(), payload, ARRIVAL).map(drop)
    });
}

fn check_detail(result: Result<impl std::fmt::Debug, Refusal>, expected: &Expect) {
    let (reason, detail) = result.expect_err("refused");
    expected.assert_eq(&format!("{}: {detail}", reason.as_str()));
}

#[test]
fn a_refusal_names_the_field_and_the_place() {
    let check = |from: &str, to: &str, expected: Expect| {
        assert!(TRANSACTION.contains(from), "{from}");
        check_detail(transaction(TRANSACTION.replace(from, to).as_bytes()), &expected);
    };
    check(r#""idem":"T0417-1","#, "", expect!["shape: missing field `idem` at line 3 column 73"]);
    check(
        "40000",
        "\"x\"",
        expect![[r#"shape: items[0].qty_ml: invalid type: string "x", expected u64 at line 3 column 50"#]],
    );
    check("K-1", "", expect!["shape: card.token: identifier is empty at line 2 column 43"]);
    check("\"v\":1", "\"v\":2", expect!["version: format version 2 is not known, only 1"]);
    check(
        "\"utc_offset_min\":300",
        "\"utc_offset_min\":900",
        expect!["value: utc_offset_min: 900 minutes, at most 840 either way"],
    );
    check("\"qty_ml\":40000,", "", expect!["value: items[0].qty_ml: missing in a sale"]);
    check("K-1", "4111111111111111", expect!["value: card.token: holds a card number; send a token"]);
    check("]}", "]", expect!["not_json: EOF while parsing an object at line 3 column 72"]);
}

#[test]
fn a_refusal_does_not_repeat_a_card_number() {
    let text = TRANSACTION.replace("\"sale\"", "\"4111111111111111\"");
    let (_, detail) = transaction(text.as_bytes()).expect_err("no kind");
    assert!(detail.contains("************1111") && !detail.contains("4111111111111111"), "{detail}");
}

#[test]
fn unknown_fields_are_ignored_however_deep() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let text = TRANSACTION.replacen('{', &format!("{{\"extra\":{deep},\"msg\":\"auth\","), 1);
    assert!(transaction(text.as_bytes()).is_ok());
}

#[test]
fn an_inquiry_or_a_reversal_needs_no_items_and_a_fill_up_no_quantity() {
    let items = TRANSACTION.find(",\n    \"items\"").unwrap();
    let without = format!("{}}}", &TRANSACTION[..items]);
    for kind in ["balance", "reversal"] {
        assert!(transaction(without.replace("\"sale\"", &format!("\"{kind}\"")).as_bytes()).is_ok(), "{kind}");
    }
    let fill_up = TRANSACTION.replace("\"sale\"", "\"preauth\",\"fill_up\":true").replace("\"qty_ml\":40000,", "");
    assert!(transaction(fill_up.as_bytes()).is_ok());
}

#[test]
fn a_reading_knows_its_site_and_tank_from_the_topic_and_its_time_from_the_gauge_or_the_arrival() {
    let at = |payload: &str| match reading("fuel/v1/АЗС-12/3/reading", payload.as_bytes(), ARRIVAL) {
        Ok(DeviceMessage::Reading(reading)) => {
            (reading.site.to_string(), reading.tank.to_string(), reading.measured_at_us)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(at(READING), ("АЗС-12".to_owned(), "3".to_owned(), ARRIVAL));
    let measured = READING.replacen('{', r#"{"measured_at_us":5,"#, 1);
    assert_eq!(at(&measured).2, TimestampUs::from_micros(5));
    let status = reading_under("x", "x/S-1/status", br#"{"v":1,"online":false}"#, ARRIVAL).unwrap();
    assert!(matches!(status, DeviceMessage::Status(DeviceStatus { online: false, at_us: ARRIVAL, .. })));
}

#[test]
fn a_topic_that_names_no_device_is_refused() {
    for topic in [
        "",
        "/",
        "fuel",
        "fuel/v1",
        "fuel/v1/",
        "fuel/v2/S-1/1/reading",
        "fuel/v1S-1/1/reading",
        "fuel/v1/S-1/1",
        "fuel/v1/S-1/1/reading/",
        "fuel/v1/S-1/1/1/reading",
        "fuel/v1/S-1/1/Reading",
        "fuel/v1/S-1/1/status",
        "fuel/v1/S-1/reading",
        "fuel/v1//1/reading",
        "fuel/v1//status",
        "$SYS/broker/uptime",
    ] {
        let refusal = reading(topic, READING.as_bytes(), ARRIVAL).expect_err(topic);
        assert_eq!(refusal.0, RejectReason::Address, "{topic}: {}", refusal.1);
    }
}

#[test]
fn a_request_is_checked_like_what_it_carries() {
    let request_of = |body: &str, contract: &str| {
        request(format!(r#"{{"v":1,"received_at_us":1,"contract":"{contract}","body":{body}}}"#).as_bytes())
    };
    assert!(request_of(&format!("{{\"transaction\":{TRANSACTION}}}"), "C-1").is_ok());
    assert!(request_of(&format!("{{\"command\":{COMMAND}}}"), "C-1").is_ok());
    check_detail(
        request_of(&format!("{{\"command\":{COMMAND}}}"), "C-2"),
        &expect!["value: contract: C-2, but the order is for C-1"],
    );
    check_detail(
        request_of(&format!("{{\"transaction\":{}}}", TRANSACTION.replace("\"v\":1", "\"v\":7")), "C-1"),
        &expect!["version: format version 7 is not known, only 1"],
    );
    check_detail(
        request_of(&format!("{{\"transaction\":{}}}", TRANSACTION.replace("K-1", "5555555555554444")), "C-1"),
        &expect!["value: card.token: holds a card number; send a token"],
    );
}

#[test]
fn litres_stand_in_millilitres_and_pieces_in_pieces() {
    let check = |kind: &str, item: &str, expected: Expect| {
        let message = TRANSACTION.replace("\"sale\"", &format!("\"{kind}\""));
        let message = message.replace(r#""unit":"L","qty_ml":40000"#, item);
        match transaction(message.as_bytes()) {
            Ok(_) => expected.assert_eq("taken"),
            refused => check_detail(refused, &expected),
        }
    };
    check("sale", r#""unit":"PCS","pieces":2"#, expect!["taken"]);
    check(
        "sale",
        r#""unit":"PCS","pieces":2,"qty_ml":1000"#,
        expect!["value: items[0].qty_ml: given, but the unit is PCS: use pieces"],
    );
    check("preauth", r#""unit":"PCS""#, expect!["value: items[0].pieces: missing where the unit is PCS"]);
    check("sale", r#""unit":"L","pieces":2"#, expect!["value: items[0].pieces: given, but the unit is L: use qty_ml"]);
    check("forced", r#""unit":"L""#, expect!["value: items[0].qty_ml: missing in a forced"]);
    check("incremental", r#""unit":"L""#, expect!["taken"]);
    check("void", r#""unit":"L""#, expect!["taken"]);
    check(
        "sale",
        r#""unit":"KG","qty_ml":1"#,
        expect!["shape: items[0].unit: unknown variant `KG`, expected `L` or `PCS` at line 3 column 38"],
    );
}

#[test]
fn a_place_has_a_region_and_a_country_of_two_letters() {
    let check = |place: &str, expected: Expect| {
        let message = TRANSACTION.replacen('{', &format!("{{{place},"), 1);
        check_detail(transaction(message.as_bytes()), &expected);
    };
    check(
        r#""country":"rus""#,
        expect![[r#"shape: country: "rus" is no country: two capital letters expected at line 1 column 16"#]],
    );
    check(
        r#""region":"RU/MOW""#,
        expect![
            "shape: region: identifier holds '/'; only letters, digits and . _ : @ * - are allowed at line 1 column 18"
        ],
    );
    let taken = TRANSACTION.replacen('{', r#"{"country":"KZ","region":"KZ-ALA","#, 1);
    assert!(transaction(taken.as_bytes()).is_ok());
}

/// An order with this command; shows why it is refused.
fn check_order(order: &str, expected: &Expect) {
    let text = format!(
        r#"{{"v":1,"idem":"P-1","author":"portal","at_us":1768404667000000,"contract":"C-1","command":{order}}}"#
    );
    match command(text.as_bytes()) {
        Ok(_) => expected.assert_eq("taken"),
        refused => check_detail(refused, expected),
    }
}

const LIMIT: &str = r#"{"set_limit":{"id":"L-1","scope":{"card":"K-1"},"product":{"group":"DIESEL"},"measure":"volume","value":200000,
    "window":{"calendar":{"unit":"week","count":1}},"schedule":{"days":[true,true,true,true,true,false,false],"from":"22:00","to":"06:00"}}}"#;

#[test]
fn an_order_for_a_limit_names_what_no_limit_can_be() {
    check_order(LIMIT, &expect!["taken"]);
    let changed = |from: &str, to: &str, expected: Expect| {
        assert!(LIMIT.contains(from), "{from}");
        check_order(&LIMIT.replace(from, to), &expected);
    };
    changed("200000", "-1", expect!["value: command.set_limit.value: -1, must not be negative"]);
    changed("\"count\":1", "\"count\":0", expect!["value: command.set_limit.window.calendar.count: 0 is no window"]);
    changed(
        r#"{"calendar":{"unit":"week","count":1}}"#,
        r#"{"rolling":{"secs":0}}"#,
        expect!["value: command.set_limit.window.rolling.secs: 0 is no window"],
    );
    changed("true", "false", expect!["value: command.set_limit.schedule.days: no day at all"]);
    changed(
        "K-1",
        "4111111111111111",
        expect!["value: command.set_limit.scope.card: holds a card number; send a token"],
    );
    changed(
        "22:00",
        "25:00",
        expect![
            "shape: command.set_limit.schedule.from: failed to parse two digit integer as hour: parameter 'hour' is not in the required range of 0..=23 at line 2 column 124"
        ],
    );
    changed(
        "\"volume\"",
        "\"litres\"",
        expect![
            "shape: command.set_limit.measure: unknown variant `litres`, expected one of `volume`, `money`, `count` at line 1 column 185"
        ],
    );
    changed(
        "L-1",
        "L 1",
        expect![
            "shape: command.set_limit.id: identifier holds ' '; only letters, digits and . _ : @ * - are allowed at line 1 column 114"
        ],
    );
    changed(
        "\"measure\"",
        "\"valid_from_us\":9,\"valid_to_us\":9,\"measure\"",
        expect!["value: command.set_limit.valid_to_us: not after valid_from_us"],
    );
}

#[test]
fn an_order_about_money_cards_and_people_is_checked_for_what_cannot_be() {
    for (order, expected) in [
        (
            r#"{"adjust":{"amount_minor":0,"currency":"RUB","reason":"typo"}}"#,
            expect!["value: command.adjust.amount_minor: 0 corrects nothing"],
        ),
        (
            r#"{"adjust":{"amount_minor":-5,"currency":"RUB","reason":" "}}"#,
            expect!["value: command.adjust.reason: empty"],
        ),
        (
            r#"{"match_register":{"date":"2026-02-30","reference":"PP-1","amount_minor":5}}"#,
            expect![
                "shape: command.match_register.date: parsed date is not valid: parameter 'day' for `2026-02` is invalid, must be in range `1..=28` at line 1 column 128"
            ],
        ),
        (
            r#"{"match_register":{"date":"2026-02-28","reference":"PP-1","amount_minor":0}}"#,
            expect!["value: command.match_register.amount_minor: 0, must be positive"],
        ),
        (
            r#"{"match_register":{"date":"2026-02-28","reference":"PP-1","amount_minor":5,"payer":{"name":"4111111111111111"}}}"#,
            expect!["value: command.match_register.payer.name: holds a card number"],
        ),
        (
            r#"{"set_discount":{"product":{"product":"053"},"off":{"basis_points":10001}}}"#,
            expect!["value: command.set_discount.off.basis_points: 10001, at most 10000 is allowed"],
        ),
        (
            r#"{"set_monthly_fee":{"name":"service","amount_minor":-1}}"#,
            expect!["value: command.set_monthly_fee.amount_minor: -1, must not be negative"],
        ),
        (
            r#"{"put_vehicle":{"id":"A123BC","tank_ml":0}}"#,
            expect!["value: command.put_vehicle.tank_ml: 0 holds nothing"],
        ),
        (
            r#"{"put_driver":{"id":"4111111111111111","name":"Ivan"}}"#,
            expect!["value: command.put_driver.id: holds a card number"],
        ),
        (
            r#"{"set_restriction":{"id":"R-1","scope":"contract","rule":"allow","of":{"sites":[]}}}"#,
            expect!["value: command.set_restriction.of: names nothing"],
        ),
        (
            r#"{"set_policy":{"scope":{"driver":"D-1"},"policy":{}}}"#,
            expect!["value: command.set_policy.scope: a policy is that of a contract, a group or a card"],
        ),
        (
            r#"{"set_policy":{"scope":"contract","policy":{"odometer_growth":[9,3]}}}"#,
            expect!["value: command.set_policy.policy.odometer_growth: from 9 to 3 is no range"],
        ),
        (r#"{"release_hold":{"auth_code":"0-7","reason":""}}"#, expect!["value: command.release_hold.reason: empty"]),
        (
            r#"{"set_term":{"valid_from_us":7,"valid_to_us":7}}"#,
            expect!["value: command.set_term.valid_to_us: not after valid_from_us"],
        ),
        (r#"{"set_holidays":{"days":["2026-01-01","2026-01-07"]}}"#, expect!["taken"]),
        (
            r#"{"block_card":{"card":"K-1","reason":"lost","actor":"issuer_risk","until_us":1768404667000000}}"#,
            expect!["taken"],
        ),
    ] {
        check_order(order, &expected);
    }
}

#[test]
fn a_tick_is_for_a_contract() {
    let tick = r#""body":{"tick":{"idem":"tick-1","at_us":5}}}"#;
    assert!(request(format!(r#"{{"v":1,"received_at_us":1,"contract":"C-1",{tick}"#).as_bytes()).is_ok());
    check_detail(
        request(format!(r#"{{"v":1,"received_at_us":1,{tick}"#).as_bytes()),
        &expect!["value: contract: missing in a tick"],
    );
}

/// A good message with one byte, or a few, changed, cut out or doubled.
fn nearly(good: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let change = (0..good.len(), any::<u8>(), 0_usize..3);
    prop::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut bytes = good.as_bytes().to_vec();
        for (place, byte, kind) in changes {
            let place = place.min(bytes.len().saturating_sub(1));
            match kind {
                0 => bytes[place] = byte,
                1 => drop(bytes.remove(place)),
                _ => bytes.insert(place, byte),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_are_a_panic_and_what_passes_can_be_written_and_read_again(
        a in nearly(TRANSACTION), b in nearly(COMMAND), c in nearly(READING), topic in "fuel/v1/.{0,12}/.{0,4}/reading", noise: Vec<u8>,
    ) {
        if let Ok(passed) = transaction(&a) {
            prop_assert_eq!(transaction(&serde_json::to_vec(&passed).unwrap()), Ok(passed));
        }
        if let Ok(passed) = command(&b) {
            prop_assert_eq!(command(&serde_json::to_vec(&passed).unwrap()), Ok(passed));
        }
        let _ = reading(&topic, &c, ARRIVAL);
        for decoded in [transaction(&noise).err(), command(&noise).err(), request(&noise).err()] {
            prop_assert!(decoded.is_some());
        }
    }
}
