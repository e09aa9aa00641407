use expect_test::{Expect, expect};

use super::*;

const PLACE: Place = Place { partition: PartitionId(2), offset: 40, recorded_at_ms: 1_768_408_269_000 };

/// Takes JSON records from offset 40 on, and shows what they leave.
fn check(source: Source, records: &[&str], expected: &Expect) {
    let (mut batch, mut fence) = (Batch::default(), Fence::default());
    fence.takeover(5);
    for (offset, record) in (40..).zip(records) {
        source.take(Place { offset, ..PLACE }, record.as_bytes(), &mut fence, Purpose::Record, &mut batch);
    }
    let mut lines = Vec::new();
    lines.extend(batch.ledger_facts.iter().map(|row| serde_json::to_string(row).expect("json")));
    lines.extend(batch.readings.iter().map(|row| serde_json::to_string(row).expect("json")));
    lines.extend(batch.station_events.iter().map(|row| serde_json::to_string(row).expect("json")));
    lines.extend(batch.minutes.iter().map(|row| serde_json::to_string(row).expect("json")));
    expected.assert_eq(&lines.join("\n"));
}

fn outcome(epoch: i64, facts: &str) -> String {
    format!(
        r#"{{"v":1,"epoch":{epoch},"body":{{"outcome":{{"request":7,"idem":"k-1","at_us":1768408267000000,
        "received_at_us":1768408268000000,"contract":"C-17","facts":{facts},
        "balance":{{"currency":"RUB","own":1000,"credit":500,"held":20,"available":1480}}}}}}}}"#
    )
}

const TAKEOVER: &str = r#"{"v":1,"epoch":0,"body":{"takeover":{"owner":"b","at_us":1768408267000000}}}"#;

#[test]
fn an_authorization_is_a_row_with_its_decision() {
    check(
        Source::Ledger,
        &[&outcome(
            5,
            r#"[{"decided":{"kind":"preauth","card":"card-1","site":"S-1","terminal":"T-1","pump":4,"location":null,
            "items":[{"code":"DIESEL","qty_ml":60000,"price_e4":694500,"amount_minor":416700},{"code":"ADBLUE","qty_ml":5000,"price_e4":300000,"amount_minor":15000}],
            "fingerprint":1,"decision":{"idem":"k-1","decision":"partial","iso39":"002","code":"LIMIT_PERIOD","auth_code":"A1","text":{"cashier":"","manager":""}}}}]"#,
        )],
        &expect![[
            r#"{"partition":2,"offset":40,"fact":0,"kind":"decided","at":1768408267000000,"received_at":1768408268000000,"recorded_at":1768408269000,"idem":"k-1","contract":"C-17","card":"card-1","site":"S-1","terminal":"T-1","transaction_kind":"preauth","verdict":"partial","code":"LIMIT_PERIOD","product":"DIESEL","qty_ml":65000,"amount_minor":431700,"currency":"RUB","auth_code":"A1","own_minor":1000,"credit_minor":500,"held_minor":20,"replayed":0}"#
        ]],
    );
}

#[test]
fn a_refund_takes_off_what_a_sale_put_on() {
    let items = r#"[{"code":"DIESEL","qty_ml":40000,"price_e4":694500,"amount_minor":277800}]"#;
    check(
        Source::Ledger,
        &[&outcome(
            5,
            &format!(
                r#"[{{"captured":{{"card":"card-1","auth_code":"A1","site":"S-1","terminal":"T-1","pump":null,"items":{items},"amount_minor":277800}}}},
                {{"refunded":{{"card":"card-1","auth_code":"A1","site":"S-1","items":{items},"amount_minor":277800}}}},
                {{"captured":{{"card":"card-1","auth_code":"A2","site":"S-1","terminal":"T-1","pump":null,"items":{items},"amount_minor":-277800}}}}]"#
            ),
        )],
        &expect![[r#"
            {"partition":2,"offset":40,"fact":0,"kind":"captured","at":1768408267000000,"received_at":1768408268000000,"recorded_at":1768408269000,"idem":"k-1","contract":"C-17","card":"card-1","site":"S-1","terminal":"T-1","transaction_kind":"","verdict":"","code":"","product":"DIESEL","qty_ml":40000,"amount_minor":277800,"currency":"RUB","auth_code":"A1","own_minor":1000,"credit_minor":500,"held_minor":20,"replayed":0}
            {"partition":2,"offset":40,"fact":1,"kind":"refunded","at":1768408267000000,"received_at":1768408268000000,"recorded_at":1768408269000,"idem":"k-1","contract":"C-17","card":"card-1","site":"S-1","terminal":"","transaction_kind":"","verdict":"","code":"","product":"DIESEL","qty_ml":-40000,"amount_minor":-277800,"currency":"RUB","auth_code":"A1","own_minor":1000,"credit_minor":500,"held_minor":20,"replayed":0}
            {"partition":2,"offset":40,"fact":2,"kind":"captured","at":1768408267000000,"received_at":1768408268000000,"recorded_at":1768408269000,"idem":"k-1","contract":"C-17","card":"card-1","site":"S-1","terminal":"T-1","transaction_kind":"","verdict":"","code":"","product":"DIESEL","qty_ml":-40000,"amount_minor":-277800,"currency":"RUB","auth_code":"A2","own_minor":1000,"credit_minor":500,"held_minor":20,"replayed":0}"#]],
    );
}

#[test]
fn every_other_fact_is_a_row_of_its_kind() {
    let facts = r#"[{"contract_opened":{"name":"Trans","currency":"RUB","time_zone":"Asia/Almaty"}},
        {"topped_up":{"amount_minor":5000,"reference":"pay 1"}},{"credit_line_set":{"amount_minor":700}},
        {"card_issued":{"card":"card-1","pan_masked":"*1","vehicle":null}},{"card_blocked":{"card":"card-1","reason":"lost"}},
        {"card_unblocked":{"card":"card-1"}},{"daily_limit_set":{"card":"card-1","daily_ml":1,"daily_minor":null}},
        {"rule_set":{"rule":"velocity","mode":"flag"}},{"command_refused":{"code":"CARD_EXISTS","message":"no"}},
        "command_repeated",{"reversed":{"card":"card-1","auth_code":"A1"}},{"hold_expired":{"card":"card-1","auth_code":"A1"}}]"#;
    let (mut batch, mut fence) = (Batch::default(), Fence::default());
    fence.takeover(5);
    Source::Ledger.take(PLACE, outcome(5, facts).as_bytes(), &mut fence, Purpose::Record, &mut batch);
    let json: Vec<serde_json::Value> =
        batch.ledger_facts.iter().map(|row| serde_json::to_value(row).expect("json")).collect();
    let lines: Vec<String> = json
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {} {} {}",
                row["fact"], row["kind"], row["card"], row["code"], row["amount_minor"], row["auth_code"]
            )
        })
        .collect();
    expect![[r#"
        0 "contract_opened" "" "" 0 ""
        1 "topped_up" "" "" 5000 ""
        2 "credit_line_set" "" "" 700 ""
        3 "card_issued" "card-1" "" 0 ""
        4 "card_blocked" "card-1" "" 0 ""
        5 "card_unblocked" "card-1" "" 0 ""
        6 "daily_limit_set" "card-1" "" 0 ""
        7 "rule_set" "" "" 0 ""
        8 "command_refused" "" "CARD_EXISTS" 0 ""
        9 "command_repeated" "" "" 0 ""
        10 "reversed" "card-1" "" 0 "A1"
        11 "hold_expired" "card-1" "" 0 "A1""#]]
    .assert_eq(&lines.join("\n"));
    let names: Vec<serde_json::Value> = serde_json::from_str(facts).expect("facts");
    for (row, fact) in json.iter().zip(names) {
        let name = fact.as_str().map(str::to_owned).or_else(|| fact.as_object()?.keys().next().cloned());
        assert_eq!(row["kind"].as_str(), name.as_deref(), "the kind is the name in the ledger's JSON");
    }
}

#[test]
fn an_owner_that_was_replaced_leaves_no_rows() {
    check(
        Source::Ledger,
        &[&outcome(4, r#"["command_repeated"]"#), TAKEOVER, &outcome(5, r#"["command_repeated"]"#)],
        &expect![""],
    );
    let (mut batch, mut fence) = (Batch::default(), Fence::default());
    Source::Ledger.take(PLACE, TAKEOVER.as_bytes(), &mut fence, Purpose::Learn, &mut batch);
    assert_eq!(fence.epoch(), Some(40));
    let record = outcome(40, r#"["command_repeated"]"#);
    Source::Ledger.take(PLACE, record.as_bytes(), &mut fence, Purpose::Learn, &mut batch);
    assert_eq!(batch.rows(), 0, "what is read to learn the epoch is not recorded again");
    Source::Ledger.take(PLACE, record.as_bytes(), &mut fence, Purpose::Record, &mut batch);
    assert_eq!(batch.rows(), 1);
}

#[test]
fn a_record_that_cannot_be_read_is_passed_over() {
    check(Source::Ledger, &["", "{}", "not json", r#"{"v":1,"epoch":5,"body":{"unheard_of":{}}}"#], &expect![""]);
    check(Source::Readings, &["[]"], &expect![""]);
    check(Source::StationEvents, &["null"], &expect![""]);
}

#[test]
fn a_reading_is_a_row_and_a_device_status_is_none() {
    check(
        Source::Readings,
        &[
            r#"{"v":1,"received_at_us":1768408268000000,"message":{"reading":{"site":"S-1","tank":"3","seq":9,"measured_at_us":1768408267000000,"product":"DIESEL","volume_ml":12000000,"capacity_ml":30000000,"height_mm":1500,"water_mm":3,"temperature_dc":-52,"status":1}}}"#,
            r#"{"v":1,"received_at_us":1768408268000000,"message":{"reading":{"site":"S-1","tank":"3","measured_at_us":221845392000000000,"product":"DIESEL","volume_ml":12000000}}}"#,
            r#"{"v":1,"received_at_us":1768408268000000,"message":{"status":{"site":"S-1","online":false,"at_us":1768408267000000}}}"#,
        ],
        &expect![[r#"
            {"partition":2,"offset":40,"site":"S-1","tank":"3","product":"DIESEL","seq":9,"measured_at":1768408267000000,"received_at":1768408268000000,"volume_ml":12000000,"capacity_ml":30000000,"height_mm":1500,"water_mm":3,"temperature_dc":-52,"status":1}
            {"partition":2,"offset":41,"site":"S-1","tank":"3","product":"DIESEL","seq":null,"measured_at":10413791999999999,"received_at":1768408268000000,"volume_ml":12000000,"capacity_ml":null,"height_mm":null,"water_mm":null,"temperature_dc":null,"status":0}"#]],
    );
}

#[test]
fn station_events_are_rows_and_minutes_are_consumption_too() {
    check(
        Source::StationEvents,
        &[
            r#"{"v":1,"epoch":5,"event":{"level":{"origin":{"topic":"readings","partition":0,"offset":4},"site":"S-1","tank":"3","product":"DIESEL","measured_at_us":1768408267000000,"received_at_us":1768408268000000,"volume_ml":12000000,"late":true}}}"#,
            r#"{"v":1,"epoch":5,"event":{"status":{"origin":{"topic":"readings","partition":0,"offset":5},"status":{"site":"S-1","online":true,"at_us":1768408267000000}}}}"#,
            r#"{"v":1,"epoch":5,"event":{"minute":{"site":"S-1","product":"DIESEL","minute_us":1768408260000000,"version":2,"sales":3,"declines":1,"sold_ml":0,"refund_excess_ml":5000,"sold_minor":{"KZT":-100,"RUB":70},"consumed_ml":118000}}}"#,
            r#"{"v":1,"epoch":4,"event":{"status":{"origin":{"topic":"readings","partition":0,"offset":6},"status":{"site":"S-1","online":false,"at_us":1768408267000000}}}}"#,
        ],
        &expect![[r#"
            {"partition":2,"offset":40,"kind":"level","site":"S-1","tank":"3","product":"DIESEL","at":1768408267000000,"recorded_at":1768408269000,"volume_ml":12000000,"late":1,"online":0,"json":"{\"level\":{\"origin\":{\"topic\":\"readings\",\"partition\":0,\"offset\":4},\"site\":\"S-1\",\"tank\":\"3\",\"product\":\"DIESEL\",\"measured_at_us\":1768408267000000,\"received_at_us\":1768408268000000,\"volume_ml\":12000000,\"late\":true}}"}
            {"partition":2,"offset":41,"kind":"status","site":"S-1","tank":"","product":"","at":1768408267000000,"recorded_at":1768408269000,"volume_ml":0,"late":0,"online":1,"json":"{\"status\":{\"origin\":{\"topic\":\"readings\",\"partition\":0,\"offset\":5},\"status\":{\"site\":\"S-1\",\"online\":true,\"at_us\":1768408267000000}}}"}
            {"partition":2,"offset":42,"kind":"minute","site":"S-1","tank":"","product":"DIESEL","at":1768408260000000,"recorded_at":1768408269000,"volume_ml":118000,"late":0,"online":0,"json":"{\"minute\":{\"site\":\"S-1\",\"product\":\"DIESEL\",\"minute_us\":1768408260000000,\"version\":2,\"sales\":3,\"declines\":1,\"sold_ml\":0,\"refund_excess_ml\":5000,\"sold_minor\":{\"KZT\":-100,\"RUB\":70},\"consumed_ml\":118000}}"}
            {"site":"S-1","product":"DIESEL","minute":1768408260,"version":2,"sales":3,"declines":1,"sold_ml":-5000,"sold_minor":[["KZT",-100],["RUB",70]],"consumed_ml":118000}"#]],
    );
}
