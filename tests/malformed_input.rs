//! Malformed inputs of many kinds on every input: each arrives in `fuel.rejected` with its reason and its bytes, and the next
//! good message passes.

mod instance;
mod poison;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use instance::{Instance, command, eventually, sale};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

struct Malformed {
    name: String,
    topic: Option<String>,
    bytes: Vec<u8>,
    reason: String,
}

/// The cases of `tests/malformed/{input}.json`; its README explains the fields.
fn cases(input: &str) -> Vec<Malformed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed").join(format!("{input}.json"));
    let list: Vec<Value> = serde_json::from_slice(&std::fs::read(path).expect("the cases")).expect("JSON");
    list.into_iter()
        .map(|case| {
            let text = |field: &str| case[field].as_str().map(str::to_owned);
            let bytes = match (text("payload_text"), text("payload_base64")) {
                (Some(payload), _) => match &case["repeat"] {
                    Value::Null => payload.into_bytes(),
                    repeat => {
                        let times = usize::try_from(repeat["times"].as_u64().expect("a count")).expect("fits");
                        payload
                            .replace("{repeat}", &repeat["text"].as_str().expect("a text").repeat(times))
                            .into_bytes()
                    }
                },
                (None, Some(encoded)) => from_base64(&encoded),
                (None, None) => panic!("{case} has no payload"),
            };
            Malformed {
                name: text("name").expect("a name"),
                topic: text("topic"),
                bytes,
                reason: text("reason").expect("a reason"),
            }
        })
        .collect()
}

fn from_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = ALPHABET.iter().position(|known| *known == byte).expect("base64");
        bits = bits << 6 | u32::try_from(digit).expect("below 64");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).expect("a byte"));
        }
    }
    bytes
}

/// One file a case, so that outside clients send exactly these bytes.
fn files(folder: &Path, cases: &[Malformed]) -> Vec<PathBuf> {
    let write = |(number, case): (usize, &Malformed)| {
        let path = folder.join(format!("case-{number}"));
        std::fs::write(&path, &case.bytes).expect("a file");
        path
    };
    std::fs::create_dir_all(folder).expect("a folder");
    cases.iter().enumerate().map(write).collect()
}

/// How often each reason stands in `fuel.rejected` for sources that begin with `source`.
fn rejected(forecourt: &Instance, source: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    // Headers only: values may hold any bytes.
    for line in forecourt.consume("fuel.rejected", "%h\n") {
        let header =
            |name: &str| line.split(',').find_map(|pair| pair.strip_prefix(&format!("{name}="))).map(str::to_owned);
        let (Some(reason), Some(from)) = (header("forecourt.reason"), header("forecourt.source")) else { continue };
        if from.starts_with(source) {
            *counts.entry(reason).or_default() += 1;
        }
    }
    counts
}

fn expected(cases: &[Malformed]) -> BTreeMap<String, usize> {
    cases.iter().fold(BTreeMap::new(), |mut counts, case| {
        *counts.entry(case.reason.clone()).or_default() += 1;
        counts
    })
}

fn check_rejected(forecourt: &Instance, source: &str, cases: &[Malformed]) {
    assert!(cases.len() >= 20, "{source}: only {} kinds", cases.len());
    let expected = expected(cases);
    let mut found = BTreeMap::new();
    let started = std::time::Instant::now();
    while started.elapsed() < SOON {
        found = rejected(forecourt, source);
        if found == expected {
            println!("{source}: {} malformed inputs rejected: {found:?}", cases.len());
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    panic!("{source}: rejected {found:?}, expected {expected:?} of {names:?}");
}

#[test]
fn what_cannot_be_understood_is_put_aside_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let forecourt = Instance::embedded(folder.path());

    for (input, topic) in [("commands", "fuel.commands"), ("transactions", "fuel.transactions")] {
        // kcat sends no empty message.
        let cases: Vec<Malformed> = cases(input).into_iter().filter(|case| !case.bytes.is_empty()).collect();
        forecourt.produce_files(topic, &files(&folder.path().join(input), &cases));
        check_rejected(&forecourt, &format!("kafka:{topic}/"), &cases);
    }

    let cases = cases("readings");
    let files = files(&folder.path().join("readings"), &cases);
    for (case, file) in cases.iter().zip(&files) {
        let topic = case.topic.as_deref().expect("readings have a topic");
        if case.bytes.is_empty() {
            forecourt.publish_empty(topic);
        } else {
            forecourt.publish_file(topic, file);
        }
    }
    check_rejected(&forecourt, "mqtt:", &cases);

    // Far too large, far too deep and the like, on the ledger's own input too.
    let before = poison::Sent::standing(&forecourt);
    let mut sent = poison::send_everywhere(&forecourt, folder.path());
    assert_eq!(sent.refused_by_broker, 3, "10 MB are more than the broker takes");
    sent.add(&before);
    println!("poison rejected: {}", sent.check_rejected(&forecourt, SOON));

    // The good ones behind them pass.
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
            command("c-3", "C-1", json!({ "issue_card": { "card": "card-1", "pan_masked": "****1234" } })),
        ],
    );
    eventually("the card reaches the router's table", SOON, || {
        forecourt.consume("fuel.cards", "%k\n").contains(&"card-1".to_owned()).then_some(())
    });
    forecourt.produce("fuel.transactions", "T-1", &[sale("t-1", "card-1", 10_000).to_string()]);
    eventually("the sale behind the malformed ones is approved", SOON, || {
        let lines = forecourt.consume("fuel.ledger", "%s\n");
        lines.iter().any(|line| line.contains("\"t-1\"") && line.contains("\"approve\"")).then_some(())
    });
    forecourt.publish("fuel/v1/S-1/1/reading", r#"{"v":1,"product":"DIESEL","volume_ml":777000}"#);
    eventually("the reading behind the malformed ones is a level", SOON, || {
        forecourt.get_any("/api/v1/tanks?site=S-1").contains("777000").then_some(())
    });
}
