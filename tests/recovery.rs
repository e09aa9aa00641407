//! What recovery costs, as figures: how soon the first right decision comes after kill -9, what decisions feel of snapshots and
//! of a ClickHouse that is away, and what it costs to share the work between processes. Not part of the tests: `make recovery` prints the figures of the machine that it runs on.
//!
//! `RECOVERY_CARDS` sets how many cards (1,000,000), `RECOVERY_TAIL` the longest tail (200,000), `RECOVERY_RATE` how many
//! transactions a second beside the faults (500), `RECOVERY_TURNS` how often they come (6), and `RECOVERY_OUTAGE` how many seconds
//! ClickHouse is away (20): a third of it is quiet before, and it catches up in half of it.

mod instance;
mod under_load;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use instance::{Instance, Servers, eventually, now_us, run};
use serde_json::Value;
use under_load::{loadtest, setting};

const PREFIX: &str = "recovery";
const NEVER: &str = "every = \"1000h\"\nafter_records = 1000000000\n";

fn forecourt(engines: &Instance, folder: &Path, snapshots: &str) -> Instance {
    let servers = Servers { mqtt: engines.mqtt, clickhouse: engines.clickhouse };
    let mut forecourt = Instance::configured(engines, folder, PREFIX, servers, None, snapshots);
    forecourt.launch();
    forecourt.wait_ready();
    forecourt
}

/// A run of the load client, to its end.
fn load(engines: &Instance, forecourt: &Instance, more: &[&str]) -> String {
    let mut arguments = vec!["run", "--topic-prefix", PREFIX, "--database", PREFIX, "--warmup", "2", "--drain", "120"];
    let (broker, url) = (engines.broker(), forecourt.url(""));
    let clickhouse = format!("http://127.0.0.1:{}", engines.clickhouse);
    arguments.extend(["--bootstrap", &broker, "--url", &url, "--clickhouse", &clickhouse, "--readings-per-s", "0"]);
    arguments.extend(more);
    let output = run(&loadtest().display().to_string(), &arguments);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    assert!(output.status.success(), "{said}\n{}", forecourt.log_tail());
    said
}

/// A card and its contract.
struct Known {
    card: String,
    contract: String,
}

/// From the start of the process to the answers in the ledger.
struct Answered {
    /// Of a producer that knows the contract, in `fuel.requests`.
    request: Duration,
    /// Of a terminal, in `fuel.transactions`: the router has read all cards again.
    transaction: Duration,
}

/// kill -9, start, and the time until the answers to questions that were asked meanwhile stand in the ledger.
fn first_answers(forecourt: &mut Instance, known: &Known) -> Answered {
    let (Known { card, contract }, stamp) = (known, now_us());
    let (by_request, by_transaction) = (format!("request-{stamp}"), format!("transaction-{stamp}"));
    let question = |idem: &str| {
        let mut question = instance::sale(idem, card, 1_000);
        question["kind"] = "balance".into();
        question["currency"] = "RUB".into();
        question["items"] = serde_json::json!([]);
        question
    };
    forecourt.kill();
    let ledger = forecourt.topic("ledger");
    let mut tail = Command::new("kcat")
        .args(["-C", "-b", &forecourt.broker(), "-t", &ledger, "-o", "end", "-q", "-u"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("kcat starts");
    std::thread::sleep(Duration::from_secs(2));
    forecourt.produce(&forecourt.topic("transactions"), card, &[question(&by_transaction).to_string()]);
    let body = serde_json::json!({ "transaction": question(&by_request) });
    let request = serde_json::json!({ "v": 1, "received_at_us": stamp, "contract": contract, "body": body });
    forecourt.produce(&forecourt.topic("requests"), contract, &[request.to_string()]);
    let started = Instant::now();
    forecourt.launch();
    let (mut request, mut transaction) = (None, None);
    for line in BufReader::new(tail.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        let is_request = line.contains(&by_request);
        if !is_request && !line.contains(&by_transaction) {
            continue;
        }
        let record: Value = serde_json::from_str(&line).expect("JSON");
        let code = &record["body"]["outcome"]["facts"][0]["decided"]["decision"]["code"];
        assert_eq!(code, "APPROVED", "{line}");
        *if is_request { &mut request } else { &mut transaction } = Some(started.elapsed());
        if request.is_some() && transaction.is_some() {
            break;
        }
    }
    let _ = (tail.kill(), tail.wait());
    forecourt.wait_ready();
    Answered { request: request.expect("an answer"), transaction: transaction.expect("an answer") }
}

fn tell_first_answers(what: &str, forecourt: &mut Instance, known: &Known) {
    let mut answered: Vec<Answered> = (0..3).map(|_| first_answers(forecourt, known)).collect();
    let mut middle = |of: fn(&Answered) -> Duration| {
        answered.sort_unstable_by_key(of);
        let times: Vec<String> = answered.iter().map(|one| format!("{:.2}", of(one).as_secs_f64())).collect();
        format!("{} s (of {})", times[1], times.join(", "))
    };
    let (request, transaction) = (middle(|one| one.request), middle(|one| one.transaction));
    println!(
        "{what}: after the start of the process, first answer to a request {request}, to a terminal {transaction}"
    );
    let read = read_lines(&forecourt.log).into_iter().rev().filter(|line| line.contains("tail="));
    read.take(4).for_each(|line| println!("    {}", line.split("forecourt::").last().unwrap_or(&line)));
}

fn read_lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn traffic<'a>(rate: &'a str, seconds: &'a str) -> [&'a str; 6] {
    ["--without", "clickhouse,mqtt,websocket", "--transactions-per-s", rate, "--seconds", seconds]
}

#[test]
#[ignore = "measures; takes a quarter of an hour: make recovery"]
fn a_start_from_a_snapshot_and_its_tail() {
    let cards = setting("RECOVERY_CARDS", 1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let engines = Instance::embedded(folder.path());
    let mut forecourt = forecourt(&engines, folder.path(), NEVER);
    let (cards, contracts) = (cards.to_string(), (cards / 20).to_string());
    let longest = setting("RECOVERY_TAIL", 200_000);
    let fleet = ["--cards", &cards, "--contracts", &contracts];
    println!("{}", load(&engines, &forecourt, &[&fleet[..], &traffic("1000", "20")[..]].concat()));
    let config = forecourt.arguments[2].clone();
    let known = eventually("a card", Duration::from_secs(60), || {
        let lines = forecourt.consume_last(&forecourt.topic("cards"), 1);
        let entry: Value = serde_json::from_str(lines.first()?).ok()?;
        let text = |field: &str| entry[field].as_str().map(str::to_owned);
        Some(Known { card: text("card")?, contract: text("contract")? })
    });
    let rebuilt = Instant::now();
    let output = run(env!("CARGO_BIN_EXE_forecourt"), &["snapshot", "--config", &config, "rebuild"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("snapshots made anew from the ledger in {:.1} s", rebuilt.elapsed().as_secs_f64());
    let listed = run(env!("CARGO_BIN_EXE_forecourt"), &["snapshot", "--config", &config, "list"]);
    println!("{}", String::from_utf8_lossy(&listed.stdout));
    tell_first_answers(&format!("{cards} cards, no tail"), &mut forecourt, &known);
    let mut behind = 0;
    for tail in [20_000, 100_000, 200_000].into_iter().filter(|tail| *tail <= longest) {
        let seconds = ((tail - behind) / 2_000).to_string();
        load(&engines, &forecourt, &traffic("2000", &seconds));
        behind = tail;
        tell_first_answers(&format!("{cards} cards, {tail} transactions more"), &mut forecourt, &known);
    }
}

const QUIET_S_MIN: u64 = 30;

#[test]
#[ignore = "measures; takes twelve minutes: make recovery"]
fn decisions_while_snapshots_are_taken_and_while_clickhouse_is_away() {
    let rate = setting("RECOVERY_RATE", 500).to_string();
    // Turns of all states: what the machine does by itself falls on all alike.
    let (turns, outage_s) = (setting("RECOVERY_TURNS", 6), setting("RECOVERY_OUTAGE", 20));
    let quiet_s = QUIET_S_MIN.max(outage_s / 3);
    let folder = tempfile::tempdir().expect("a folder");
    let engines = Instance::embedded(folder.path());
    let forecourt = forecourt(&engines, folder.path(), "every = \"24s\"\n");
    let samples = folder.path().join("samples.csv").display().to_string();
    // While the JVM translates what it finds busy, it takes a quarter of two cores from everything else.
    let fleet = ["--cards", "100000", "--contracts", "5000", "--without", "clickhouse,mqtt,websocket"];
    load(&engines, &forecourt, &[&fleet[..], &["--transactions-per-s", "3000", "--seconds", "30"]].concat());
    let (now_ms, wait) = (|| now_us() / 1_000, |seconds| std::thread::sleep(Duration::from_secs(seconds)));
    let seconds = (180 + turns * (quiet_s + outage_s + outage_s.max(40) / 2)).to_string();
    let traffic = ["--transactions-per-s", &rate, "--seconds", &seconds, "--samples", &samples];
    let (said, outages) = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&engines, &forecourt, &[&fleet[..], &traffic].concat()));
        // Its contracts and cards are opened first.
        wait(40);
        let caught_up = || {
            eventually("rows caught up", Duration::from_secs(120 + 2 * outage_s), || {
                // Seldom, and by no program of its own: decisions are measured meanwhile.
                wait(1);
                (newest_row(&engines)? + 3_000 > now_ms()).then_some(())
            });
            now_ms()
        };
        caught_up();
        let clickhouse = engines.engine("clickhouse").expect("it runs").to_string();
        let tell = |signal: &str| assert!(run("kill", &[signal, &clickhouse]).status.success());
        let outage = |_| {
            let begun = now_ms();
            wait(quiet_s);
            tell("-STOP");
            let away = now_ms();
            wait(outage_s);
            tell("-CONT");
            let back = now_ms();
            [begun, away, back, caught_up()]
        };
        let outages: Vec<[u64; 4]> = (0..turns).map(outage).collect();
        (load.join().expect("the load"), outages)
    });
    println!("{said}");
    let mut arguments = vec!["phases".to_owned(), "--samples".to_owned(), samples];
    let mut phase = |name: &str, turn: usize, from: u64, to: u64| {
        if to > from {
            arguments.extend(["--phase".to_owned(), format!("{name}@{turn}={from}..{to}")]);
        }
    };
    let taken = snapshots(&forecourt.log);
    for (turn, [begun, away, back, caught_up]) in outages.into_iter().enumerate() {
        // Snapshots of the four partitions come one after the other; what lies between them is quiet, or one of the others.
        for (name, from, to) in
            [("quiet", begun, away), ("ClickHouse is away", away, back), ("it catches up", back, caught_up)]
        {
            let mut rest = from;
            for (begins, ends) in taken.iter().copied().filter(|(begins, ends)| *ends > from && *begins < to) {
                phase(name, turn, rest, begins.min(to));
                rest = rest.max(ends);
            }
            phase(name, turn, rest, to);
        }
        for (from, to) in taken.iter().copied().filter(|(from, to)| *from > begun && *to < away) {
            phase("a snapshot", turn, from, to);
        }
        println!(
            "ClickHouse was stopped for {} s and caught up in {:.1} s",
            (back - away) / 1000,
            (caught_up - back) as f64 / 1e3
        );
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run(&loadtest().display().to_string(), &arguments);
    print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// When the newest row of the ledger was recorded, in milliseconds since 1970.
fn newest_row(engines: &Instance) -> Option<u64> {
    let query = "SELECT toUnixTimestamp64Milli(max(recorded_at)) FROM recovery.ledger_facts";
    let mut stream = TcpStream::connect(("127.0.0.1", engines.clickhouse)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{query}", query.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n")?.1.trim().parse().ok()
}

/// When snapshots were under way, in milliseconds since 1970: from the lines that say that one is stored.
fn snapshots(log: &Path) -> Vec<(u64, u64)> {
    let told = |line: &String| {
        let seconds: f64 = line.split("secs=").nth(1)?.split_whitespace().next()?.trim_matches('"').parse().ok()?;
        let at = line.split_whitespace().next()?;
        let stored = run("date", &["-u", "-d", at, "+%s%3N"]);
        let stored: u64 = String::from_utf8_lossy(&stored.stdout).trim().parse().ok()?;
        let took = Duration::from_secs_f64(seconds).as_millis();
        Some((stored - u64::try_from(took).ok()?, stored))
    };
    read_lines(log).iter().filter(|line| line.contains("snapshot stored")).filter_map(told).collect()
}

#[test]
#[ignore = "measures; takes five minutes: make recovery"]
fn three_processes_beside_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let engines = Instance::embedded(folder.path());
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| Instance::member(&engines, folder.path(), PREFIX, name));
    a.launch();
    a.wait_ready(); // it makes the topics and the tables
    load(&engines, &a, &traffic("4000", "30")); // the JVM translates what it finds busy
    let measure = |what: &str| {
        for rate in ["1000", "4000"] {
            let said = load(&engines, &a, &traffic(rate, "30"));
            let told = |words: &str| said.lines().find(|line| line.contains(words)).unwrap_or_default().to_owned();
            println!("{what}, {rate}/s\n    {}\n    {}", told("from the intended moment"), told("decision consumed"));
        }
    };
    measure("one process");
    b.launch();
    c.launch();
    b.wait_ready();
    c.wait_ready();
    eventually("all decide", Duration::from_secs(60), || {
        let ready = |instance: &Instance| {
            instance.get_any("/readyz").contains("deciding 1") || instance.get_any("/readyz").contains("deciding 2")
        };
        [&a, &b, &c].into_iter().all(ready).then_some(())
    });
    measure("three processes");
    c.kill();
    b.kill();
}
