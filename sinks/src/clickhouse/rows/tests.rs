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
    lines.extend(batch.ledger_facts.iter().map(filled));
    lines.extend(batch.readings.iter().map(|row| serde_json::to_string(row).expect("json")));
    lines.extend(batch.station_events.iter().map(|row| serde_json::to_string(row).expect("json")));
    lines.extend(batch.minutes.iter().map(|row| serde_json::to_string(row).expect("json")));
    lines.extend(batch.tank_levels.iter().map(said));
    lines.extend(batch.tank_events.iter().map(said));
    lines.extend(batch.tank_days.iter().map(said));
    expected.assert_eq(&lines.join("\n"));
}

/// The columns of a row that say something, but for those that are the same in all tests.
fn filled(row: &LedgerFactRow) -> String {
    let row = serde_json::to_value(row).expect("json");
    let row = row.as_object().expect("columns");
    let says = |(name, value): &(&String, &serde_json::Value)| {
        !matches!(name.as_str(), "partition" | "offset" | "at" | "received_at" | "recorded_at" | "idem" | "contract")
            && ![serde_json::json!(""), serde_json::json!(0), serde_json::json!([]), serde_json::Value::Null]
                .contains(value)
    };
    row.iter().filter(says).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// The columns of a row that say something, but for its place and its JSON.
fn said(row: &impl serde::Serialize) -> String {
    let row = serde_json::to_value(row).expect("json");
    let row = row.as_object().expect("columns");
    let says = |(name, value): &(&String, &serde_json::Value)| {
        !matches!(name.as_str(), "partition" | "offset" | "recorded_at" | "json")
            && ![serde_json::json!(""), serde_json::json!(0), serde_json::json!([]), serde_json::Value::Null]
                .contains(value)
    };
    row.iter().filter(says).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

fn outcome(epoch: i64, facts: &str) -> String {
    format!(
        r#"{{"v":1,"epoch":{epoch},"body":{{"outcome":{{"request":7,"idem":"k-1","at_us":1768408267000000,
        "received_at_us":1768408268000000,"contract":"C-17","facts":{facts},
        "author":"portal","balance":{{"currency":"RUB","own":1000,"credit":500,"held":20,"unbilled":30,"available":1450}},
        "cards":[{{"card":"card-1","pan_masked":"*1","group":"trucks","state":"active"}}]}}}}}}"#
    )
}

const TAKEOVER: &str = r#"{"v":1,"epoch":0,"body":{"takeover":{"owner":"b","at_us":1768408267000000}}}"#;

fn decided(kind: &str, verdict: &str, more: &str) -> String {
    format!(
        r#"{{"decided":{{"kind":"{kind}","card":"card-1","site":"S-1","terminal":"T-1","pump":4,"location":null,
        "items":[{{"code":"DIESEL","group":"FUEL","qty_ml":60000,"price_e4":694500,"amount_minor":406700,"discount_minor":10000}},
        {{"code":"WIPER","unit":"PCS","qty_ml":0,"pieces":2,"price_e4":3000000,"amount_minor":60000}}],
        "vehicle":"A123BC","driver":"D-7","odometer":120500,"fingerprint":1,
        "decision":{{"idem":"k-1","decision":"{verdict}","iso39":"002","code":"LIMIT_PERIOD","auth_code":"2-7",{more}
        "text":{{"cashier":{{"en":"","ru":"","kk":""}},"manager":{{"en":"","ru":"","kk":""}}}}}}}}}}"#
    )
}

#[test]
fn an_authorization_is_a_row_with_its_decision_its_lines_and_the_limit_that_cut_it() {
    let binding = r#""binding":{"limit":"L-77","scope":{"group":"trucks"},"measure":"volume","span":{"calendar":{"unit":"day","count":1}},
        "window":"day 2026-01-14 Asia/Almaty","limit_value":200000,"used":150000,"held":0,"left":50000},"#;
    check(
        Source::Ledger,
        &[&outcome(5, &format!("[{}]", decided("preauth", "partial", binding)))],
        &expect![[
            r#"amount_minor=466700 auth_code="2-7" author="portal" card="card-1" card_group="trucks" code="LIMIT_PERIOD" credit_minor=500 currency="RUB" discount_minor=10000 driver="D-7" held_minor=20 item_amount_minor=[406700,60000] item_discount_minor=[10000,0] item_group=["FUEL",""] item_pieces=[0,2] item_price_e4=[694500,3000000] item_product=["DIESEL","WIPER"] item_qty_ml=[60000,0] kind="decided" limit_id="L-77" limit_left=50000 odometer=120500 own_minor=1000 period="day 2026-01-14 Asia/Almaty" pieces=2 product="DIESEL" qty_ml=60000 site="S-1" terminal="T-1" transaction_kind="preauth" unbilled_minor=30 vehicle="A123BC" verdict="partial""#
        ]],
    );
}

#[test]
fn a_refund_or_a_void_takes_off_what_a_sale_put_on() {
    let items = r#"[{"code":"DIESEL","qty_ml":40000,"price_e4":694500,"amount_minor":267800,"discount_minor":10000},
        {"code":"WIPER","unit":"PCS","qty_ml":0,"pieces":1,"price_e4":3000000,"amount_minor":30000}]"#;
    let posted = |name: &str| {
        format!(
            r#"{{"{name}":{{"card":"card-1","auth_code":"A1","site":"S-1","items":{items},"amount_minor":297800}}}}"#
        )
    };
    let captured = |minor: i64| {
        format!(
            r#"{{"captured":{{"card":"card-1","auth_code":"A2","site":"S-1","terminal":"T-1","pump":null,"items":{items},"amount_minor":{minor}}}}}"#
        )
    };
    let facts = [captured(297_800), posted("refunded"), posted("voided"), captured(-297_800)].join(",");
    check(
        Source::Ledger,
        &[&outcome(5, &format!("[{facts}]"))],
        &expect![[r#"
        amount_minor=297800 auth_code="A2" author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" discount_minor=10000 held_minor=20 item_amount_minor=[267800,30000] item_discount_minor=[10000,0] item_group=["",""] item_pieces=[0,1] item_price_e4=[694500,3000000] item_product=["DIESEL","WIPER"] item_qty_ml=[40000,0] kind="captured" own_minor=1000 pieces=1 product="DIESEL" qty_ml=40000 site="S-1" terminal="T-1" unbilled_minor=30
        amount_minor=-297800 auth_code="A1" author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" discount_minor=-10000 fact=1 held_minor=20 item_amount_minor=[-267800,-30000] item_discount_minor=[-10000,0] item_group=["",""] item_pieces=[0,-1] item_price_e4=[694500,3000000] item_product=["DIESEL","WIPER"] item_qty_ml=[-40000,0] kind="refunded" own_minor=1000 pieces=-1 product="DIESEL" qty_ml=-40000 site="S-1" unbilled_minor=30
        amount_minor=-297800 auth_code="A1" author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" discount_minor=-10000 fact=2 held_minor=20 item_amount_minor=[-267800,-30000] item_discount_minor=[-10000,0] item_group=["",""] item_pieces=[0,-1] item_price_e4=[694500,3000000] item_product=["DIESEL","WIPER"] item_qty_ml=[-40000,0] kind="voided" own_minor=1000 pieces=-1 product="DIESEL" qty_ml=-40000 site="S-1" unbilled_minor=30
        amount_minor=-297800 auth_code="A2" author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" discount_minor=-10000 fact=3 held_minor=20 item_amount_minor=[-267800,-30000] item_discount_minor=[-10000,0] item_group=["",""] item_pieces=[0,-1] item_price_e4=[694500,3000000] item_product=["DIESEL","WIPER"] item_qty_ml=[-40000,0] kind="captured" own_minor=1000 pieces=-1 product="DIESEL" qty_ml=-40000 site="S-1" terminal="T-1" unbilled_minor=30"#]],
    );
}

#[test]
fn money_beside_purchases_is_a_row_with_what_an_accountant_asks_for() {
    check(
        Source::Ledger,
        &[&outcome(
            5,
            r#"[{"topped_up":{"amount_minor":5000,"reference":"PP-1","payer":{"tax_id":"7701","name":"Trans"}}},
            {"register_matched":{"line":{"date":"2026-01-14","reference":"PP-1","amount_minor":5000,"payer":{"tax_id":"7701"}},"outcome":"matched","credited_minor":5000}},
            {"register_matched":{"line":{"date":"2026-01-14","reference":"PP-9","amount_minor":700},"outcome":"unknown_payer"}},
            {"register_missing":{"reference":"PP-2","amount_minor":900}},
            {"adjusted":{"amount_minor":-70,"reason":"typo of Monday"}},
            {"fee_charged":{"name":"service","month":"2026-01","amount_minor":300}},
            {"billed":{"number":"B-12","amount_minor":4000}},
            {"credit_line_used":{"percent":70}},
            {"limit_low":{"limit":"L-77","window":"month 2026-01 Asia/Almaty","left":12000}}]"#,
        )],
        &expect![[r#"
            amount_minor=5000 author="portal" credit_minor=500 currency="RUB" held_minor=20 kind="topped_up" own_minor=1000 payer="7701 Trans" reference="PP-1" unbilled_minor=30
            amount_minor=5000 author="portal" credit_minor=500 credited_minor=5000 currency="RUB" fact=1 held_minor=20 kind="register_matched" outcome="matched" own_minor=1000 payer="7701" reference="PP-1" register_day=20467 unbilled_minor=30
            amount_minor=700 author="portal" credit_minor=500 currency="RUB" fact=2 held_minor=20 kind="register_matched" outcome="unknown_payer" own_minor=1000 reference="PP-9" register_day=20467 unbilled_minor=30
            author="portal" credit_minor=500 credited_minor=900 currency="RUB" fact=3 held_minor=20 kind="register_missing" own_minor=1000 reference="PP-2" unbilled_minor=30
            amount_minor=-70 author="portal" credit_minor=500 currency="RUB" fact=4 held_minor=20 kind="adjusted" own_minor=1000 reason="typo of Monday" unbilled_minor=30
            amount_minor=300 author="portal" credit_minor=500 currency="RUB" fact=5 held_minor=20 kind="fee_charged" own_minor=1000 period="2026-01" reference="service" unbilled_minor=30
            amount_minor=4000 author="portal" credit_minor=500 currency="RUB" fact=6 held_minor=20 kind="billed" own_minor=1000 reference="B-12" unbilled_minor=30
            author="portal" credit_minor=500 currency="RUB" fact=7 held_minor=20 kind="credit_line_used" own_minor=1000 percent=70 unbilled_minor=30
            author="portal" credit_minor=500 currency="RUB" fact=8 held_minor=20 kind="limit_low" limit_id="L-77" limit_left=12000 own_minor=1000 period="month 2026-01 Asia/Almaty" unbilled_minor=30"#]],
    );
}

#[test]
fn a_change_of_rules_is_kept_whole_and_every_fact_has_its_name() {
    let facts = r#"[{"contract_opened":{"name":"Trans","currency":"RUB","time_zone":"Asia/Almaty"}},
        {"term_set":{"valid_from_us":5,"valid_to_us":null}},{"contract_blocked":{"actor":"issuer_credit","reason":"debt"}},
        {"contract_unblocked":{"actor":"issuer_credit"}},{"holidays_set":{"days":["2026-01-01"]}},{"credit_line_set":{"amount_minor":700}},
        {"monthly_fee_set":{"name":"service","amount_minor":300}},{"discount_set":{"off":{"basis_points":150}}},{"discount_removed":{"product":"all"}},
        {"card_issued":{"card":"card-1","pan_masked":"*1","vehicle":"A123BC"}},{"card_blocked":{"card":"card-1","reason":"lost"}},
        {"card_unblocked":{"card":"card-1"}},{"card_closed":{"card":"card-1","closure":"stolen"}},{"pin_reset":{"card":"card-1"}},
        {"card_assigned":{"card":"card-1","group":"trucks","vehicle":null,"driver":"D-7"}},{"group_put":{"id":"trucks","name":"Trucks"}},
        {"vehicle_put":{"id":"A123BC","tank_ml":400000}},{"driver_put":{"id":"D-7","name":"Ivan"}},
        {"limit_set":{"limit":{"id":"L-77","scope":"contract","measure":"money","value":7,"window":"per_transaction"},"version":1}},
        {"limit_removed":{"limit":"L-77"}},{"restriction_set":{"id":"R-1","scope":"contract","rule":"deny","of":{"sites":["S-9"]}}},
        {"restriction_removed":{"restriction":"R-1"}},{"policy_set":{"scope":"contract","policy":null}},
        {"rule_set":{"rule":"velocity","mode":"flag"}},{"command_refused":{"code":"CARD_EXISTS","message":"no"}},"command_repeated",
        {"reversed":{"card":"card-1","auth_code":"A1","reason":"pump broke"}},{"hold_expired":{"card":"card-1","auth_code":"A1"}}]"#;
    check(
        Source::Ledger,
        &[&outcome(5, facts)],
        &expect![[r#"
        author="portal" credit_minor=500 currency="RUB" held_minor=20 json="{\"contract_opened\":{\"name\":\"Trans\",\"currency\":\"RUB\",\"time_zone\":\"Asia/Almaty\"}}" kind="contract_opened" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=1 held_minor=20 json="{\"term_set\":{\"valid_from_us\":5,\"valid_to_us\":null}}" kind="term_set" own_minor=1000 unbilled_minor=30
        actor="issuer_credit" author="portal" credit_minor=500 currency="RUB" fact=2 held_minor=20 json="{\"contract_blocked\":{\"actor\":\"issuer_credit\",\"reason\":\"debt\"}}" kind="contract_blocked" own_minor=1000 reason="debt" unbilled_minor=30
        actor="issuer_credit" author="portal" credit_minor=500 currency="RUB" fact=3 held_minor=20 kind="contract_unblocked" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=4 held_minor=20 json="{\"holidays_set\":{\"days\":[\"2026-01-01\"]}}" kind="holidays_set" own_minor=1000 unbilled_minor=30
        amount_minor=700 author="portal" credit_minor=500 currency="RUB" fact=5 held_minor=20 kind="credit_line_set" own_minor=1000 unbilled_minor=30
        amount_minor=300 author="portal" credit_minor=500 currency="RUB" fact=6 held_minor=20 kind="monthly_fee_set" own_minor=1000 reference="service" unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=7 held_minor=20 json="{\"discount_set\":{\"off\":{\"basis_points\":150}}}" kind="discount_set" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=8 held_minor=20 json="{\"discount_removed\":{\"product\":\"all\"}}" kind="discount_removed" own_minor=1000 unbilled_minor=30
        author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" fact=9 held_minor=20 json="{\"card_issued\":{\"card\":\"card-1\",\"pan_masked\":\"*1\",\"vehicle\":\"A123BC\"}}" kind="card_issued" own_minor=1000 unbilled_minor=30 vehicle="A123BC"
        actor="client" author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" fact=10 held_minor=20 json="{\"card_blocked\":{\"card\":\"card-1\",\"actor\":\"client\",\"reason\":\"lost\"}}" kind="card_blocked" own_minor=1000 reason="lost" unbilled_minor=30
        actor="client" author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" fact=11 held_minor=20 json="{\"card_unblocked\":{\"card\":\"card-1\",\"actor\":\"client\"}}" kind="card_unblocked" own_minor=1000 unbilled_minor=30
        author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" fact=12 held_minor=20 kind="card_closed" own_minor=1000 reason="stolen" unbilled_minor=30
        author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" fact=13 held_minor=20 kind="pin_reset" own_minor=1000 unbilled_minor=30
        author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" driver="D-7" fact=14 held_minor=20 json="{\"card_assigned\":{\"card\":\"card-1\",\"group\":\"trucks\",\"vehicle\":null,\"driver\":\"D-7\"}}" kind="card_assigned" own_minor=1000 unbilled_minor=30
        author="portal" card_group="trucks" credit_minor=500 currency="RUB" fact=15 held_minor=20 json="{\"group_put\":{\"id\":\"trucks\",\"name\":\"Trucks\"}}" kind="group_put" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=16 held_minor=20 json="{\"vehicle_put\":{\"id\":\"A123BC\",\"tank_ml\":400000}}" kind="vehicle_put" own_minor=1000 unbilled_minor=30 vehicle="A123BC"
        author="portal" credit_minor=500 currency="RUB" driver="D-7" fact=17 held_minor=20 json="{\"driver_put\":{\"id\":\"D-7\",\"name\":\"Ivan\",\"blocked\":false}}" kind="driver_put" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=18 held_minor=20 json="{\"limit_set\":{\"limit\":{\"id\":\"L-77\",\"scope\":\"contract\",\"measure\":\"money\",\"value\":7,\"window\":\"per_transaction\"},\"version\":1}}" kind="limit_set" limit_id="L-77" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=19 held_minor=20 kind="limit_removed" limit_id="L-77" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=20 held_minor=20 json="{\"restriction_set\":{\"id\":\"R-1\",\"scope\":\"contract\",\"rule\":\"deny\",\"of\":{\"sites\":[\"S-9\"]}}}" kind="restriction_set" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=21 held_minor=20 json="{\"restriction_removed\":{\"restriction\":\"R-1\"}}" kind="restriction_removed" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=22 held_minor=20 json="{\"policy_set\":{\"scope\":\"contract\",\"policy\":null}}" kind="policy_set" own_minor=1000 unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=23 held_minor=20 json="{\"rule_set\":{\"rule\":\"velocity\",\"mode\":\"flag\"}}" kind="rule_set" own_minor=1000 unbilled_minor=30
        author="portal" code="CARD_EXISTS" credit_minor=500 currency="RUB" fact=24 held_minor=20 kind="command_refused" own_minor=1000 reason="no" unbilled_minor=30
        author="portal" credit_minor=500 currency="RUB" fact=25 held_minor=20 kind="command_repeated" own_minor=1000 unbilled_minor=30
        auth_code="A1" author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" fact=26 held_minor=20 kind="reversed" own_minor=1000 reason="pump broke" unbilled_minor=30
        auth_code="A1" author="portal" card="card-1" card_group="trucks" credit_minor=500 currency="RUB" fact=27 held_minor=20 kind="hold_expired" own_minor=1000 unbilled_minor=30"#]],
    );
    let (mut batch, mut fence) = (Batch::default(), Fence::default());
    fence.takeover(5);
    Source::Ledger.take(PLACE, outcome(5, facts).as_bytes(), &mut fence, Purpose::Record, &mut batch);
    let names: Vec<serde_json::Value> = serde_json::from_str(facts).expect("facts");
    assert_eq!(batch.ledger_facts.len(), names.len());
    for (row, fact) in batch.ledger_facts.iter().zip(names) {
        let row = serde_json::to_value(row).expect("json");
        let name = fact.as_str().map(str::to_owned).or_else(|| fact.as_object()?.keys().next().cloned());
        assert_eq!(row["kind"].as_str(), name.as_deref(), "the kind is the name in the ledger's JSON");
        if let Some(json) = row["json"].as_str().filter(|json| !json.is_empty()) {
            let kept: model::Fact = serde_json::from_str(json).expect("a fact");
            assert_eq!(Some(kept), serde_json::from_value(fact).ok());
        }
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
            {"partition":2,"offset":40,"site":"S-1","tank":"3","product":"DIESEL","seq":9,"measured_at":1768408267000000,"received_at":1768408268000000,"volume_ml":12000000,"capacity_ml":30000000,"height_mm":1500,"water_mm":3,"temperature_dc":-52,"status":1,"volume_15_ml":null,"ullage_ml":null,"water_ml":null,"percent_e2":null,"density_e1":null,"height_dmm":15000,"water_dmm":30,"temperature_cc":-520,"historical":0}
            {"partition":2,"offset":41,"site":"S-1","tank":"3","product":"DIESEL","seq":null,"measured_at":10413791999999999,"received_at":1768408268000000,"volume_ml":12000000,"capacity_ml":null,"height_mm":null,"water_mm":null,"temperature_dc":null,"status":0,"volume_15_ml":null,"ullage_ml":null,"water_ml":null,"percent_e2":null,"density_e1":null,"height_dmm":null,"water_dmm":null,"temperature_cc":null,"historical":0}"#]],
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
            {"site":"S-1","product":"DIESEL","minute":1768408260,"version":2,"sales":3,"declines":1,"sold_ml":-5000,"sold_minor":[["KZT",-100],["RUB",70]],"consumed_ml":118000}
            late=1 measured_at=1768408267000000 product="DIESEL" reading_offset=4 received_at=1768408268000000 site="S-1" tank="3" volume_ml=12000000"#]],
    );
}

fn station(event: &str) -> String {
    format!(r#"{{"v":1,"epoch":5,"event":{event}}}"#)
}

/// What stands in the columns of tanks of the events of a station.
fn check_tanks(events: &[&str], expected: &Expect) {
    let (mut batch, mut fence) = (Batch::default(), Fence::default());
    fence.takeover(5);
    for event in events {
        Source::StationEvents.take(PLACE, station(event).as_bytes(), &mut fence, Purpose::Record, &mut batch);
    }
    assert_eq!(batch.station_events.len(), events.len(), "every event is kept whole as well");
    let levels = batch.tank_levels.iter().map(said);
    let lines: Vec<String> =
        levels.chain(batch.tank_events.iter().map(said)).chain(batch.tank_days.iter().map(said)).collect();
    assert_eq!(batch.rows(), events.len() + lines.len());
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_level_has_its_values_and_a_reading_set_aside_its_reason_only() {
    let reading = r#"{"site":"S-1","tank":"3","measured_at_us":1768408267000000,"product":"DIESEL","volume_ml":77,"height_mm":15,"status":4}"#;
    let level = format!(
        r#"{{"level":{{"origin":{{"topic":"readings","partition":6,"offset":4}},"site":"S-1","tank":"3","product":"DIESEL",
        "measured_at_us":1768408267000000,"received_at_us":1768408268000000,"volume_ml":12000000,"volume_15_ml":11900000,
        "water_ml":900,"capacity_ml":30000000,"height_dmm":12345,"water_mm":3,"temperature_cc":-525,"density_e1":8350,"status":1,
        "treatments":["reordered",{{"unknown":"density"}},"volume_from_height",{{"unit_slip":{{"ratio_e3":264}}}},
        {{"redated":{{"offset_s":-7200}}}},"clamped","volume_from_percent"],"raw":{reading},"late":true}}}}"#
    );
    let aside = format!(
        r#"{{"aside":{{"origin":{{"topic":"readings","partition":6,"offset":5}},"received_at_us":1768408268000000,
        "because":"invalid_height","reading":{reading}}}}}"#
    );
    check_tanks(
        &[&level, &aside],
        &expect![[r#"
        capacity_ml=30000000 density_e1=8350 height_dmm=12345 late=1 measured_at=1768408267000000 product="DIESEL" raw="{\"site\":\"S-1\",\"tank\":\"3\",\"measured_at_us\":1768408267000000,\"product\":\"DIESEL\",\"volume_ml\":77,\"height_mm\":15,\"status\":4}" reading_offset=4 reading_partition=6 received_at=1768408268000000 site="S-1" status=1 tank="3" temperature_cc=-525 treatments=["reordered","unknown_density","volume_from_height","unit_slip","redated","clamped","volume_from_percent"] volume_15_ml=11900000 volume_ml=12000000 water_dmm=30 water_ml=900
        measured_at=1768408267000000 product="DIESEL" raw="{\"site\":\"S-1\",\"tank\":\"3\",\"measured_at_us\":1768408267000000,\"product\":\"DIESEL\",\"volume_ml\":77,\"height_mm\":15,\"status\":4}" reading_offset=5 reading_partition=6 received_at=1768408268000000 refused="invalid_height" site="S-1" status=4 tank="3""#]],
    );
}

#[test]
fn what_is_found_out_about_a_tank_is_a_row_for_each_version() {
    let event = |number: u32, version: u32, more: &str, kind: &str| {
        format!(
            r#"{{"tank":{{"site":"S-1","tank":"3","product":"DIESEL","number":{number},"version":{version}{more},
            "began_at_us":1768408267000000,"kind":{kind}}}}}"#
        )
    };
    let delivery = r#"{"delivery":{"gross_ml":12000000,"error_ml":30000,"net_15_ml":11900000,"sold_ml":200000,
        "water_before_dmm":3,"water_after_dmm":4,"ticket_ml":12100000,"ticket_difference_ml":-100000}}"#;
    let ended = r#","ended_at_us":1768409267000000"#;
    let events = [
        event(1, 1, ended, delivery),
        event(1, 2, r#","withdrawn":true,"ended_at_us":1768409267000000"#, delivery),
        event(1, 1, "", r#"{"unexplained_loss":{"lost_ml":90000,"error_ml":7000}}"#),
        event(1, 1, "", r#"{"suspected_leak":{"rate_ml_per_hour":900,"error_ml_per_hour":90,"quiet_hours":12}}"#),
        event(1, 1, "", r#"{"water_ingress":{"before_dmm":10,"after_dmm":300}}"#),
        event(2, 1, "", r#"{"level_alarm":{"level":"low_low","volume_ml":2000000}}"#),
        event(1, 1, ended, r#"{"silence":{"cause":"controller_offline"}}"#),
        event(1, 1, "", r#"{"unit_slip":{"column":"volume","ratio_e3":264}}"#),
        event(1, 1, "", r#"{"clock_wrong":{"offset_s":-7200}}"#),
    ];
    check_tanks(
        &events.each_ref().map(String::as_str),
        &expect![[r#"
        began=1768408267000000 ended=1768409267000000 error_ml=30000 kind="delivery" net_15_ml=11900000 number=1 product="DIESEL" site="S-1" sold_ml=200000 tank="3" ticket_difference_ml=-100000 ticket_ml=12100000 version=1 volume_ml=12000000
        began=1768408267000000 ended=1768409267000000 error_ml=30000 kind="delivery" net_15_ml=11900000 number=1 product="DIESEL" site="S-1" sold_ml=200000 tank="3" ticket_difference_ml=-100000 ticket_ml=12100000 version=2 volume_ml=12000000 withdrawn=1
        began=1768408267000000 error_ml=7000 kind="unexplained_loss" number=1 product="DIESEL" site="S-1" tank="3" version=1 volume_ml=90000
        began=1768408267000000 kind="suspected_leak" number=1 product="DIESEL" rate_ml_per_hour=900 site="S-1" tank="3" version=1
        began=1768408267000000 kind="water_ingress" number=1 product="DIESEL" site="S-1" tank="3" version=1
        began=1768408267000000 detail="low_low" kind="level_alarm" number=2 product="DIESEL" site="S-1" tank="3" version=1 volume_ml=2000000
        began=1768408267000000 detail="controller_offline" ended=1768409267000000 kind="silence" number=1 product="DIESEL" site="S-1" tank="3" version=1
        began=1768408267000000 detail="volume" kind="unit_slip" number=1 product="DIESEL" site="S-1" tank="3" version=1
        began=1768408267000000 kind="clock_wrong" number=1 product="DIESEL" site="S-1" tank="3" version=1"#]],
    );
    let (mut batch, mut fence) = (Batch::default(), Fence::default());
    fence.takeover(5);
    Source::StationEvents.take(PLACE, station(&events[1]).as_bytes(), &mut fence, Purpose::Record, &mut batch);
    let row = serde_json::to_value(&batch.tank_events[0]).expect("columns");
    let kept: model::TankEvent = serde_json::from_str(row["json"].as_str().expect("a text")).expect("an event");
    assert!(kept.withdrawn && kept.version == 2, "the event is kept whole");
}

#[test]
fn a_day_has_its_stock_where_it_is_known_and_its_quality_always() {
    let day = |day: i64, stock: &str| {
        format!(
            r#"{{"day":{{"site":"S-1","tank":"3","product":"DIESEL","day":{day},"version":2{stock},
            "quality":{{"expected":1440,"used":1400,"repaired":10,"redated":4,"late":3,"repeats":2,"dropped":1,"silent_s":600}}}}}}"#
        )
    };
    let stock = r#","stock":{"opening_ml":10,"closing_ml":20,"delivered_ml":30,"consumed_ml":40,"gained_ml":50,"sold_ml":60,
        "measured":true,"at_15":{"opening_ml":11,"closing_ml":21,"delivered_ml":31,"sold_ml":61}}"#;
    check_tanks(
        &[&day(20_467, stock), &day(20_468, "")],
        &expect![[r#"
        closing_15_ml=21 closing_ml=20 consumed_ml=40 day=20467 delivered_15_ml=31 delivered_ml=30 dropped=1 expected=1440 gained_ml=50 late=3 measured=1 opening_15_ml=11 opening_ml=10 product="DIESEL" redated=4 repaired=10 repeats=2 score_e2=9687 silent_s=600 site="S-1" sold_15_ml=61 sold_ml=60 tank="3" used=1400 version=2
        day=20468 dropped=1 expected=1440 late=3 product="DIESEL" redated=4 repaired=10 repeats=2 score_e2=9687 silent_s=600 site="S-1" tank="3" used=1400 version=2"#]],
    );
    // `Date` does not go so far; the event is kept all the same.
    check_tanks(&[&day(70_000, stock)], &expect![""]);
}
