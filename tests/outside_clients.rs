//! The README's own lines, with outside clients, against `serve --embedded`.

mod instance;

use std::time::Duration;

use instance::{Instance, command, eventually, run, sale};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn outside_clients_see_a_decision_a_level_a_row_and_a_live_figure() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut forecourt = Instance::embedded(folder.path());

    // The back office opens a contract with kcat.
    forecourt.produce(
        "fuel.commands",
        "C-1",
        &[
            command(
                "c-1",
                "C-1",
                json!({ "open_contract": { "name": "Bakery", "currency": "KZT", "time_zone": "Asia/Almaty" } }),
            ),
            command(
                "c-2",
                "C-1",
                json!({ "top_up": { "amount_minor": 50_000_000, "currency": "KZT", "reference": "bank 17" } }),
            ),
            command(
                "c-3",
                "C-1",
                json!({ "issue_card": { "card": "card-1", "pan_masked": "****1234", "daily_ml": 100_000 } }),
            ),
        ],
    );
    eventually("the card reaches the router's table", SOON, || {
        forecourt.consume("fuel.cards", "%k\n").contains(&"card-1".to_owned()).then_some(())
    });

    // A terminal sells 60 L, then wants 60 L more of the 40 L that are left.
    // A repeat has the same bytes, its time included.
    let first_sale = sale("t-1", "card-1", 60_000).to_string();
    forecourt.produce("fuel.transactions", "T-1", std::slice::from_ref(&first_sale));
    forecourt.produce("fuel.transactions", "T-1", &[sale("t-2", "card-1", 60_000).to_string()]);
    forecourt.produce("fuel.transactions", "T-1", std::slice::from_ref(&first_sale));
    let decision = |idem: &str, replayed: bool| -> Value {
        eventually(&format!("the decision of {idem}"), SOON, || {
            forecourt.consume("fuel.ledger", "%s\n").iter().find_map(|line| {
                let record: Value = serde_json::from_str(line).expect("the ledger is JSON");
                let decision = record["body"]["outcome"]["facts"]
                    .as_array()?
                    .iter()
                    .find_map(|fact| fact.get("decided"))?["decision"]
                    .clone();
                (decision["idem"] == idem && decision["replayed"].as_bool().unwrap_or(false) == replayed)
                    .then_some(decision)
            })
        })
    };
    let first = decision("t-1", false);
    assert_eq!(first["decision"], "approve", "{first}");
    let second = decision("t-2", false);
    assert_eq!((&second["decision"], &second["code"]), (&json!("decline"), &json!("LIMIT_PERIOD")), "{second}");
    assert_eq!(second["binding"]["left"], 40_000, "{second}");
    // The same key gets the same answer.
    let mut repeated = decision("t-1", true);
    repeated["replayed"] = false.into();
    let mut first = first;
    first["replayed"] = false.into();
    assert_eq!(repeated, first);

    // The API shows the balance: 60 L at 295.00 are 17,700.00.
    eventually("the balance on the API", SOON, || {
        let contract = forecourt.get("/api/v1/contracts/C-1");
        contract.to_string().contains("48230000").then_some(())
    });

    // A gauge reports; its level is on the API.
    forecourt.publish(
        "fuel/v1/S-1/1/reading",
        r#"{"v":1,"product":"DIESEL","volume_ml":18250000,"capacity_ml":30000000,"height_mm":1520}"#,
    );
    eventually("the level on the API", SOON, || {
        forecourt.get_any("/api/v1/tanks?site=S-1").contains("18250000").then_some(())
    });

    // The station registers the tank, tells what it sold for cash, and what a truck's paper says.
    for (topic, payload) in [
        (
            "fuel/v1/S-1/1/setup",
            r#"{"v":1,"product":"DIESEL","density_15":8350,"capacity_ml":30000000,"sales_are_known":true,"charts":[{"chart":{"horizontal_cylinder":{"diameter_dmm":25000,"length_dmm":61115}}}]}"#,
        ),
        ("fuel/v1/S-1/sale", r#"{"v":1,"id":"receipt-17","product":"DIESEL","pump":4,"volume_ml":40000}"#),
        ("fuel/v1/S-1/1/ticket", r#"{"v":1,"id":"TTN-9","volume_ml":12000000}"#),
    ] {
        forecourt.publish(topic, payload);
        let kind = topic.rsplit('/').next().expect("a level");
        eventually(&format!("the {kind} in the log"), SOON, || {
            let lines = forecourt.consume("fuel.readings", "%k %s\n");
            lines.iter().any(|line| line.starts_with("S-1 ") && line.contains(&format!("\"{kind}\":{{"))).then_some(())
        });
    }

    // ClickHouse has the sale in today's consumption, and the reading.
    eventually("today's consumption in ClickHouse", Duration::from_secs(60), || {
        let rows = forecourt
            .clickhouse("SELECT site, product, sold_ml FROM forecourt.consumption_day WHERE day = today() FORMAT TSV");
        (rows == "S-1\tDIESEL\t60000").then_some(())
    });
    eventually("the reading in ClickHouse", SOON, || {
        (forecourt.clickhouse("SELECT count(), max(volume_ml) FROM forecourt.readings FORMAT TSV") == "1\t18250000")
            .then_some(())
    });
    eventually("the level in ClickHouse", SOON, || {
        let levels = "SELECT volume_ml, height_dmm, refused = '' FROM forecourt.tank_levels FORMAT TSV";
        (forecourt.clickhouse(levels) == "18250000\t15200\t1").then_some(())
    });

    // A WebSocket client of another make gets a snapshot and deltas.
    let script = format!("{}/tests/browser/live_socket.mjs", env!("CARGO_MANIFEST_DIR"));
    let socket = run("node", &[&script, &format!("ws://127.0.0.1:{}/api/v1/live", forecourt.page), "3"]);
    assert!(
        socket.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&socket.stdout),
        String::from_utf8_lossy(&socket.stderr)
    );

    // Prometheus finds figures; Ctrl-C ends all cleanly and soon.
    assert!(forecourt.get_any("/metrics").contains("forecourt_"), "no metrics");
    let engines = [forecourt.engine("kafka"), forecourt.engine("clickhouse")];
    let (took, clean) = forecourt.interrupt();
    assert!(clean, "the end was not clean:\n{}", forecourt.log_tail());
    assert!(took < Duration::from_secs(5), "the end took {took:?}");
    for engine in engines.into_iter().flatten() {
        assert!(!run("kill", &["-0", &engine.to_string()]).status.success(), "engine {engine} outlived Forecourt");
    }
}
