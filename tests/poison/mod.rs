//! Poison for every input: far too large, far too deep, not a number, not text, nothing at all, half of something.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::instance::{Instance, run, sale};

/// Kafka's clients refuse more than this by themselves unless told otherwise.
const CLIENT_BYTES_MAX: &str = "message.max.bytes=20000000";
const HUGE_BYTES: usize = 10_000_000;
/// Just below what the broker takes.
const LARGE_BYTES: usize = 1_000_000;
const DEPTH: usize = 100_000;
/// Deep, and small enough to be read at all.
const SHALLOWER: usize = 15_000;

struct Poison {
    reason: &'static str,
    bytes: Vec<u8>,
}

/// A word of one kilobyte and more, repeated.
fn padding(length: usize) -> Vec<u8> {
    b"0123456789abcdef".iter().copied().cycle().take(length).collect()
}

fn nested(depth: usize) -> Vec<u8> {
    format!(r#"{{"v":1,"deep":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)).into_bytes()
}

/// Payloads that no input takes; `good` is one that this input would take, with a quantity of 40000.
fn poisons(good: &str) -> Vec<Poison> {
    let quantity = |value: &str| good.replacen("40000", value, 1).into_bytes();
    let mut invalid = good.as_bytes().to_vec();
    let end = invalid.len() - 1;
    invalid[end - 3] = 0xff;
    let poison = |reason, bytes| Poison { reason, bytes };
    vec![
        poison("too_large", padding(LARGE_BYTES)),
        poison("too_large", nested(DEPTH)),
        poison("not_json", quantity("NaN")),
        poison("not_json", quantity("-Infinity")),
        poison("shape", quantity("1e999")),
        poison("not_utf8", invalid),
        poison("not_json", good.as_bytes()[..good.len() / 2].to_vec()),
        poison("not_json", b"\0\0\0\0".to_vec()),
    ]
}

/// What was sent, and what must be found in `fuel.rejected`: by input, then reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    expected: BTreeMap<String, BTreeMap<String, u32>>,
    pub(crate) refused_by_broker: u32,
}

impl Sent {
    /// What is rejected already.
    pub(crate) fn standing(forecourt: &Instance) -> Self {
        Self { expected: rejected(forecourt), refused_by_broker: 0 }
    }

    fn note(&mut self, source: &str, reason: &str) {
        *self.expected.entry(source.to_owned()).or_default().entry(reason.to_owned()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, more: &Self) {
        for (source, reasons) in &more.expected {
            for (reason, count) in reasons {
                *self.expected.entry(source.clone()).or_default().entry(reason.clone()).or_default() += count;
            }
        }
        self.refused_by_broker += more.refused_by_broker;
    }

    pub(crate) fn rejected(&self) -> u32 {
        self.expected.values().flat_map(BTreeMap::values).sum()
    }

    /// Waits until exactly these are rejected, and says so.
    pub(crate) fn check_rejected(&self, forecourt: &Instance, within: Duration) -> String {
        let begun = Instant::now();
        loop {
            let found = rejected(forecourt);
            if found == self.expected {
                return found
                    .iter()
                    .map(|(source, reasons)| format!("{source} {reasons:?}"))
                    .collect::<Vec<_>>()
                    .join(", ");
            }
            assert!(begun.elapsed() < within, "rejected {found:#?}\nexpected {:#?}", self.expected);
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Of what stands in `fuel.rejected`: how often each reason, by input.
fn rejected(forecourt: &Instance) -> BTreeMap<String, BTreeMap<String, u32>> {
    let mut found: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for line in forecourt.consume(&forecourt.topic("rejected"), "%h\n") {
        let header =
            |name: &str| line.split(',').find_map(|pair| pair.strip_prefix(&format!("{name}="))).map(str::to_owned);
        let (Some(reason), Some(source)) = (header("forecourt.reason"), header("forecourt.source")) else { continue };
        let input = match source.strip_prefix("kafka:") {
            Some(place) => place.split('/').next().unwrap_or_default().to_owned(),
            None => "mqtt".to_owned(),
        };
        *found.entry(input).or_default().entry(reason).or_default() += 1;
    }
    found
}

/// Sends each poison once to each input.
pub(crate) fn send_everywhere(forecourt: &Instance, folder: &Path) -> Sent {
    let folder = folder.join("poison");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let mut sent = Sent::default();
    let transaction = sale("poison", "poison-card", 40_000).to_string();
    let order =
        r#"{"v":1,"idem":"poison","author":"test","at_us":40000,"contract":"C","command":{"block_contract":{}}}"#;
    let request = format!(r#"{{"v":1,"received_at_us":1,"contract":"C","body":{{"transaction":{transaction}}}}}"#);
    let huge = file("huge", &padding(HUGE_BYTES));
    for (name, good) in [("transactions", transaction.as_str()), ("commands", order), ("requests", request.as_str())] {
        let topic = forecourt.topic(name);
        let mut files = Vec::new();
        for (number, poison) in poisons(good).iter().enumerate() {
            sent.note(&topic, poison.reason);
            files.push(file(&format!("{name}-{number}"), &poison.bytes));
        }
        forecourt.produce_files(&topic, &files);
        // A record without a value, as kcat -Z sends an empty one.
        forecourt.produce_nothing(&topic);
        sent.note(&topic, "empty");
        // Deep and otherwise good: unknown fields are ignored, however deep, so what is missing is what is said.
        forecourt.produce_files(&topic, &[file(&format!("{name}-deep"), &nested(SHALLOWER))]);
        sent.note(&topic, "shape");
        sent.refused_by_broker += u32::from(is_refused(forecourt, &topic, &huge));
    }
    let reading = r#"{"v":1,"product":"DIESEL","volume_ml":40000}"#;
    for (number, poison) in poisons(reading).iter().enumerate() {
        forecourt.publish_file("fuel/v1/S-POISON/1/reading", &file(&format!("reading-{number}"), &poison.bytes));
        sent.note("mqtt", poison.reason);
    }
    forecourt.publish_empty("fuel/v1/S-POISON/1/reading");
    sent.note("mqtt", "empty");
    // A broker with a bound of its own ends the connection instead.
    if forecourt.takes_file("fuel/v1/S-POISON/1/reading", &huge) {
        sent.note("mqtt", "too_large");
    }
    sent
}

/// Whether the broker says that a record is too large for it.
fn is_refused(forecourt: &Instance, topic: &str, file: &Path) -> bool {
    let path = file.display().to_string();
    let output = run("kcat", &["-P", "-b", &forecourt.broker(), "-X", CLIENT_BYTES_MAX, "-t", topic, &path]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Message size too large"), "kcat -P -t {topic} of 10 MB: {said}");
    true
}
