//! Three processes share the partitions under load: one is killed, one joins, one is stopped for longer than Kafka waits and
//! goes on. Afterwards every request has exactly one decision, and only partitions that moved were taken over.

mod instance;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use instance::{Instance, eventually, run};
use serde_json::Value;

const PREFIX: &str = "shared";
/// Kafka gives a silent member's partitions to others after 10 s; the rest is for a busy machine.
const MOVED_WITHIN: Duration = Duration::from_secs(60);

/// One record of the ledger.
struct Record {
    partition: i32,
    at_ms: i64,
    takeover: bool,
    epoch: i64,
    offset: i64,
}

fn ledger(engines: &Instance) -> Vec<Record> {
    let lines = engines.consume(&format!("{PREFIX}.ledger"), "%p\t%o\t%T\t%s\n");
    let record = |line: &String| {
        let mut parts = line.splitn(4, '\t');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok()).expect("kcat's format");
        let (partition, offset, at_ms) = (number(), number(), number());
        let body: Value = serde_json::from_str(parts.next().expect("a value")).expect("JSON");
        Record {
            partition: i32::try_from(partition).expect("small"),
            at_ms,
            offset,
            takeover: body["body"]["takeover"].is_object(),
            epoch: body["epoch"].as_i64().expect("an epoch"),
        }
    };
    lines.iter().map(record).collect()
}

/// Who decides now: the epoch of each partition that has one.
fn epochs(records: &[Record]) -> BTreeMap<i32, i64> {
    let mut epochs = BTreeMap::new();
    for record in records.iter().filter(|record| record.takeover) {
        let latest = epochs.entry(record.partition).or_insert(record.offset);
        *latest = record.offset.max(*latest);
    }
    epochs
}

/// Between true records behind `since`.
fn longest_pause_ms<'a>(records: impl Iterator<Item = &'a Record>, since: i64) -> i64 {
    let (mut epoch, mut last, mut longest) = (None, None, 0);
    for record in records {
        if record.takeover {
            epoch = Some(record.offset);
        } else if epoch == Some(record.epoch) {
            if record.offset > since {
                longest = last.map_or(longest, |last| longest.max(record.at_ms - last));
            }
            last = Some(record.at_ms);
        }
    }
    longest
}

/// How many partitions an instance decides, by its own word.
fn decides(instance: &Instance) -> Option<usize> {
    let body: Value = serde_json::from_str(&instance.get_any("/readyz")).ok()?;
    let part = body["parts"].as_array()?.iter().find(|part| part["name"] == "ledger")?;
    let detail = part["detail"].as_str()?;
    if !part["ok"].as_bool()? {
        return None;
    }
    if detail.starts_with("standing by") { Some(0) } else { detail.split(' ').nth(1)?.parse().ok() }
}

/// Waits until these together decide all four partitions, each at least one; says what changed since `before`.
fn settled(what: &str, engines: &Instance, instances: &[&Instance], before: &BTreeMap<i32, i64>) -> BTreeMap<i32, i64> {
    eventually(what, MOVED_WITHIN, || {
        let counts: Vec<usize> = instances.iter().map(|instance| decides(instance)).collect::<Option<_>>()?;
        (counts.iter().sum::<usize>() == 4 && counts.iter().all(|count| *count > 0)).then_some(())
    });
    // What was sent meanwhile is decided.
    std::thread::sleep(Duration::from_secs(3));
    let records = ledger(engines);
    let now = epochs(&records);
    let moved: BTreeSet<i32> = now.iter().filter(|(p, e)| before.get(p) != Some(e)).map(|(p, _)| *p).collect();
    for partition in now.keys() {
        let since = before.get(partition).copied().unwrap_or(-1);
        let pause = longest_pause_ms(records.iter().filter(|record| record.partition == *partition), since);
        let how = if moved.contains(partition) { "moved" } else { "stayed" };
        println!("{what}: partition {partition} {how}, longest time without a decision {pause} ms");
    }
    now
}

#[test]
fn partitions_move_between_processes_and_nothing_is_lost_or_decided_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let engines = Instance::embedded(folder.path());
    let [mut a, mut b, mut c, mut d] =
        ["a", "b", "c", "d"].map(|name| Instance::member(&engines, folder.path(), PREFIX, name));
    a.launch();
    a.wait_ready(); // it makes the topics and the tables
    b.launch();
    c.launch();
    b.wait_ready();
    c.wait_ready();
    let journal = folder.path().join("journal.jsonl");
    let mut load = load(&engines, &a, &journal, folder.path());

    let all = settled("three share", &engines, &[&a, &b, &c], &BTreeMap::new());
    assert_eq!(all.len(), 4);

    b.kill();
    let after_death = settled("one was killed", &engines, &[&a, &c], &all);
    assert_ne!(after_death, all, "the dead one's partitions were taken over");

    d.launch();
    d.wait_ready();
    let after_joining = settled("one joined", &engines, &[&a, &c, &d], &after_death);
    let moved = after_joining.iter().filter(|(partition, epoch)| after_death.get(partition) != Some(epoch)).count();
    assert!((1..=2).contains(&moved), "{moved} partitions moved to one that joined");

    c.signal("STOP");
    let without_c = settled("one was stopped", &engines, &[&a, &d], &after_joining);
    assert_ne!(without_c, after_joining, "a silent one's partitions were taken over");
    c.signal("CONT");
    let back = settled("it went on", &engines, &[&a, &c, &d], &without_c);
    assert_ne!(back, without_c, "it is a member again");

    let status = load.wait().expect("the load ends");
    let said = std::fs::read_to_string(folder.path().join("load.log")).unwrap_or_default();
    println!("{said}");
    assert!(status.success(), "the load failed:\n{said}\n{}", a.log_tail());
    let verdict = verify(&engines, &journal);
    println!("{}", String::from_utf8_lossy(&verdict.stdout));
    let (said, wrong) = (String::from_utf8_lossy(&verdict.stdout), String::from_utf8_lossy(&verdict.stderr));
    assert!(verdict.status.success(), "{said}\n{wrong}\n{}\n{}\n{}", a.log_tail(), c.log_tail(), d.log_tail());
}

fn load(engines: &Instance, page: &Instance, journal: &Path, folder: &Path) -> std::process::Child {
    let log = std::fs::File::create(folder.join("load.log")).expect("a log");
    let clickhouse = format!("http://127.0.0.1:{}", engines.clickhouse);
    Command::new(loadtest())
        .args(["run", "--through-faults", "--without", "mqtt", "--transactions-per-s", "200", "--contracts", "40"])
        .args(["--cards", "1000", "--warmup", "1", "--drain", "120", "--seconds", "120"])
        .args(["--bootstrap", &engines.broker(), "--topic-prefix", PREFIX, "--database", PREFIX])
        .args(["--url", &page.url(""), "--clickhouse", &clickhouse, "--journal"])
        .arg(journal)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("the load starts")
}

fn verify(engines: &Instance, journal: &Path) -> std::process::Output {
    let clickhouse = format!("http://127.0.0.1:{}", engines.clickhouse);
    let (broker, journal) = (engines.broker(), journal.display().to_string());
    let arguments = ["verify", "--bootstrap", &broker, "--topic-prefix", PREFIX, "--clickhouse", &clickhouse];
    let rest = ["--database", PREFIX, "--since", &journal, "--wait", "180"];
    run(&loadtest().display().to_string(), &[&arguments[..], &rest[..]].concat())
}

/// The load client, built beside the binary.
fn loadtest() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_forecourt")).with_file_name("forecourt-loadtest");
    assert!(path.exists(), "{} is not built: cargo build --workspace", path.display());
    path
}
