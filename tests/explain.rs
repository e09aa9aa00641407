//! `forecourt explain` on the ledger of a running instance: the words of a manager, three languages, clear errors.

mod instance;

use std::time::Duration;

use instance::{Instance, command, eventually, run, sale};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// What the command prints, or its complaint.
fn explain(forecourt: &Instance, arguments: &[&str]) -> Result<String, String> {
    let broker = forecourt.broker();
    let mut all = vec!["explain", "--bootstrap", &broker];
    all.extend(arguments);
    let output = run(env!("CARGO_BIN_EXE_forecourt"), &all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\u{202f}', " ");
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn a_card_is_explained_from_the_ledger_of_a_running_instance() {
    let data = tempfile::tempdir().expect("a folder");
    let forecourt = Instance::embedded(data.path());
    let orders = [
        json!({ "open_contract": { "name": "Bakery", "currency": "KZT", "time_zone": "Asia/Almaty" } }),
        json!({ "top_up": { "amount_minor": 10_000_000, "currency": "KZT", "reference": "P-1" } }),
        json!({ "issue_card": { "card": "card-1", "pan_masked": "****1234", "daily_ml": 100_000 } }),
    ];
    let orders: Vec<String> =
        (0..).zip(orders).map(|(number, order)| command(&format!("order-{number}"), "C-1", order)).collect();
    forecourt.produce("fuel.commands", "C-1", &orders);
    let issued = || forecourt.consume("fuel.cards", "%k").iter().any(|card| card == "card-1").then_some(());
    eventually("the card is issued", SOON, issued);

    let never = explain(&forecourt, &["card-1", "--product", "diesel", "--litres", "60"]).expect_err("no price yet");
    assert!(never.contains("no product is known yet"), "{never}");

    forecourt.produce("fuel.transactions", "T-1", &[sale("sale-1", "card-1", 55_000).to_string()]);
    let sold =
        || forecourt.consume("fuel.ledger", "%s").iter().any(|record| record.contains("\"captured\"")).then_some(());
    eventually("the sale is posted", SOON, sold);

    let asked = ["card-1", "--product", "diesel", "--litres", "60"];
    let english = explain(&forecourt, &asked).expect("an answer");
    for part in [
        "Card ****1234 at station S-1",
        "60 L of DIESEL at 295.00 KZT",
        "A part of it would be approved. Card ****1234 could take only 45 L for 13,275.00 KZT. Card ****1234 has 45 L of 100 L left today",
        "The cashier would read: Approved for 45 L (code 002)",
        "Contract C-1 has 83,775.00 KZT available",
        "card-1:daily-volume",
    ] {
        assert!(english.contains(part), "{part:?} in\n{english}");
    }
    let russian = explain(&forecourt, &[&asked[..], &["--lang", "ru"]].concat()).expect("an answer");
    assert!(russian.contains("сегодня осталось 45 л из 100 л"), "{russian}");
    let kazakh = explain(&forecourt, &[&asked[..], &["--lang", "kk"]].concat()).expect("an answer");
    assert!(kazakh.contains("бүгін 100 л лимитінен 45 л қалды"), "{kazakh}");
    let tomorrow =
        explain(&forecourt, &["card-1", "--product", "DIESEL", "--litres", "60", "--at", "2100-01-01T12:00"]);
    let tomorrow = tomorrow.expect("an answer");
    assert!(
        tomorrow.contains("2100-01-01 12:00 (Asia/Almaty)") && tomorrow.contains("It would be approved"),
        "{tomorrow}"
    );

    // What is asked wrongly is said in a line, and nothing is written.
    let written = forecourt.consume("fuel.ledger", "%o").len();
    for (arguments, complaint) in [
        (vec!["card-9", "--product", "diesel", "--litres", "60"], "no contract has issued a card card-9"),
        (vec!["card-1", "--product", "petrol", "--litres", "60"], "known are DIESEL"),
        (vec!["card-1", "--product", "diesel", "--litres", "60", "--at", "soon"], "2026-01-14T22:31"),
        (vec!["card-1", "--product", "diesel", "--litres=-5"], "above zero"),
        (vec!["card-1", "--product", "diesel"], "--litres"),
        (
            vec!["card-1", "--product", "diesel", "--litres", "60", "--at", "2000-01-01T00:00Z"],
            "there was no card card-1 at 2000-01-01T00:00:00Z",
        ),
    ] {
        let told = explain(&forecourt, &arguments).expect_err("a complaint");
        assert!(told.contains(complaint), "{arguments:?}: {told}");
    }
    assert_eq!(forecourt.consume("fuel.ledger", "%o").len(), written);
}
