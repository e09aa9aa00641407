//! The commands that answer from the ledger of a running instance: `explain`, `register`, `audit`. One start serves all.

mod instance;

use std::path::Path;
use std::time::Duration;

use instance::{Instance, command, eventually, run, sale};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// What `explain` prints, or its complaint.
fn explain(forecourt: &Instance, arguments: &[&str]) -> Result<String, String> {
    ask(forecourt, "explain", arguments).map_err(|(_, complaint)| complaint)
}

/// What a command prints; what it prints and its complaint where it fails.
fn ask(forecourt: &Instance, name: &str, arguments: &[&str]) -> Result<String, (String, String)> {
    let broker = forecourt.broker();
    let mut all = vec![name, "--bootstrap", &broker];
    all.extend(arguments);
    let output = run(env!("CARGO_BIN_EXE_forecourt"), &all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\u{202f}', " ");
    if output.status.success() { Ok(text(&output.stdout)) } else { Err((text(&output.stdout), text(&output.stderr))) }
}

#[test]
fn a_running_instance_explains_a_card_takes_the_banks_register_and_proves_its_books() {
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
    let issued = || forecourt.consume("fuel.cards", "%k\n").iter().any(|card| card == "card-1").then_some(());
    eventually("the card is issued", SOON, issued);

    let never = explain(&forecourt, &["card-1", "--product", "diesel", "--litres", "60"]).expect_err("no price yet");
    assert!(never.contains("no product is known yet"), "{never}");

    forecourt.produce("fuel.transactions", "T-1", &[sale("sale-1", "card-1", 55_000).to_string()]);
    let sold =
        || forecourt.consume("fuel.ledger", "%s\n").iter().any(|record| record.contains("\"captured\"")).then_some(());
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
    let written = forecourt.consume("fuel.ledger", "%o\n").len();
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
    assert_eq!(forecourt.consume("fuel.ledger", "%o\n").len(), written);

    the_register_is_matched(&forecourt, data.path());
    the_books_are_proved(&forecourt, data.path());
}

/// A Russian file in CP1251, twice; then a day is closed.
fn the_register_is_matched(forecourt: &Instance, data: &Path) {
    let file = data.join("register.csv");
    let path = file.to_str().expect("a plain path");
    let header = "Договор;Номер платежа;Сумма;Валюта;Дата;Плательщик\n";
    let fine = "C-1;P-1;100 000,00;KZT;19.01.2026;ТОО Пекарня\nC-1;P-9;500,00;KZT;19.01.2026;Кто-то\n";
    let write = |lines: &str| {
        let text = format!("{header}{lines}");
        let byte = |c: char| match u32::from(c) {
            // Of CP1251, the Russian alphabet is all that is needed here.
            code @ 0x410..=0x44f => u8::try_from(code - 0x350).expect("a letter"),
            code => u8::try_from(code).expect("ASCII"),
        };
        std::fs::write(&file, text.chars().map(byte).collect::<Vec<u8>>()).expect("a file");
    };

    // One bad line, and nothing is sent.
    let orders = forecourt.consume("fuel.commands", "%o\n").len();
    write(&format!("{fine}C-1;P-2;1,234;KZT;19.01.26;\n"));
    let (_, complaint) = ask(forecourt, "register", &[path]).expect_err("a bad line");
    for part in ["line 4, column \"Сумма\": \"1,234\" may be thousands or coins", "column \"Дата\"", "nothing was sent"]
    {
        assert!(complaint.contains(part), "{part:?} in {complaint}");
    }
    write(fine);
    let checked = ask(forecourt, "register", &[path, "--dry-run"]).expect("a good file");
    assert!(checked.contains("2 lines can be imported"), "{checked}");
    assert_eq!(forecourt.consume("fuel.commands", "%o\n").len(), orders);

    let first = ask(forecourt, "register", &[path]).expect("a good file");
    assert!(first.contains("2 lines, 1 matched, 1 of unknown payers\n"), "{first}");
    assert!(first.contains("unknown payer: C-1 P-9: 500.00 KZT of 2026-01-19, paid by Кто-то"), "{first}");
    let second = ask(forecourt, "register", &[path]).expect("the same file");
    assert!(second.contains("2 lines, 0 matched, 2 repeated\n"), "{second}");

    // A line of a contract that nobody opened, and the end of the day.
    let late = json!({ "top_up": { "amount_minor": 70_000, "currency": "KZT", "reference": "P-2" } });
    forecourt.produce("fuel.commands", "C-1", &[command("order-late", "C-1", late)]);
    let credited =
        || forecourt.consume("fuel.ledger", "%s\n").iter().any(|record| record.contains("\"P-2\"")).then_some(());
    eventually("the second payment is credited", SOON, credited);
    write("C-7;P-1;5,00;KZT;19.01.2026;\n");
    let (told, _) =
        ask(forecourt, "register", &[path, "--close", "2099-12-31"]).expect_err("a contract that is not there");
    for part in [
        "1 line, 0 matched, 1 refused",
        "refused: line 2, C-7 P-1: contract C-7 is not known",
        "closed for 1 contract with payments that waited: 1 payment missing",
        "missing: C-1 P-2: 700.00 KZT",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
}

fn the_books_are_proved(forecourt: &Instance, data: &Path) {
    let report = ask(forecourt, "audit", &[]).expect("books that balance");
    for part in [
        "Trial balance in KZT, 1 contract\n",
        "The bank's register matches 1 of 2 top-ups in KZT.",
        "C-1 P-2: 700.00 KZT credited at ",
        "C-1 P-9: 500.00 KZT of 2026-01-19 in the register, credited to nobody",
        "The books balance.\n",
    ] {
        assert!(report.contains(part), "{part:?} in\n{report}");
    }
    let row = |name: &str| {
        let line = report.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().skip(name.split_whitespace().count()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("Bank"), "100,500.00 0.00 100,500.00 Dr", "{report}");
    assert_eq!(row("Customers' own funds"), "0.00 100,700.00 100,700.00 Cr", "{report}");
    assert_eq!(row("Sales payable to stations"), "0.00 16,225.00 16,225.00 Cr", "{report}");

    let journal = ask(forecourt, "audit", &["--contract", "C-1"]).expect("books that balance");
    assert!(journal.contains("top-up P-1\n") && journal.contains(", card card-1 at S-1\n"), "{journal}");
    let (_, complaint) = ask(forecourt, "audit", &["--contract", "C-404"]).expect_err("no such contract");
    assert!(complaint.contains("the ledger knows no contract C-404"), "{complaint}");

    // Somebody writes the sale into the ledger again.
    let records = forecourt.consume("fuel.ledger", "%p %s\n");
    let sold = records.iter().find(|record| record.contains("\"captured\"")).expect("the sale");
    let (partition, record) = sold.split_once(' ').expect("a partition and a record");
    let mut record: serde_json::Value = serde_json::from_str(record).expect("a record");
    let outcome = &mut record["body"]["outcome"];
    outcome["request"] = json!(1_000_000);
    outcome["idem"] = json!("again");
    outcome.as_object_mut().expect("an outcome").remove("origin");
    let file = data.join("again.json");
    std::fs::write(&file, record.to_string()).expect("a file");
    let path = file.to_str().expect("a plain path");
    let sent = run("kcat", &["-P", "-b", &forecourt.broker(), "-t", "fuel.ledger", "-p", partition, path]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let (report, _) = ask(forecourt, "audit", &[]).expect_err("books that do not balance");
    for part in [
        "The books do not balance",
        "was posted twice",
        "what is not billed: 16,225.00 is recorded, the accounts say 32,450.00",
    ] {
        assert!(report.contains(part), "{part:?} in\n{report}");
    }
}
