//! Recording and publishing on real engines, through deaths of the process.
//!
//! Needs Kafka and ClickHouse; every test makes its own topics and database there:
//!
//!     FORECOURT_TEST_KAFKA=127.0.0.1:9092 FORECOURT_TEST_CLICKHOUSE=http://127.0.0.1:8123 cargo test -p sinks -- --ignored

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clickhouse::Client;
use model::{LedgerRecord, LogSettings, PartitionId, ReadingRecord, Sale, StationRecord, Topic};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sinks::clickhouse::{Config, Phase, Status};
use sinks::{Recorder, publish, topics};
use tokio::sync::watch;

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);
const CHILD: &str = "FORECOURT_TEST_CHILD";

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} says where the engine is"))
}

/// Topics and a database that nobody else has.
fn own_log(what: &str) -> LogSettings {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
    log_named(&format!("{what}{now}"))
}

fn log_named(prefix: &str) -> LogSettings {
    LogSettings { bootstrap: env("FORECOURT_TEST_KAFKA"), topic_prefix: prefix.to_owned(), partitions: PARTITIONS }
}

fn config(log: &LogSettings) -> Config {
    Config {
        url: env("FORECOURT_TEST_CLICKHOUSE"),
        database: log.topic_prefix.clone(),
        user: "default".to_owned(),
        password: String::new(),
        instance: "recorder".to_owned(),
        group: format!("{}-clickhouse", log.topic_prefix),
        batch_rows_max: 500,
        batch_wait: Duration::from_millis(20),
        log: log.clone(),
    }
}

fn client(log: &LogSettings) -> Client {
    Client::default().with_url(env("FORECOURT_TEST_CLICKHOUSE")).with_database(&log.topic_prefix)
}

/// Waits until every topic is in such a phase.
async fn all(status: &Status, wanted: impl Fn(&Phase) -> bool) {
    let began = Instant::now();
    loop {
        let topics = status.snapshot();
        if topics.values().all(|topic| wanted(&topic.phase)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{topics:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn text(log: &LogSettings, query: &str) -> Result<String, clickhouse::error::Error> {
    let mut cursor = client(log).query(query).fetch_bytes("JSONEachRow")?;
    let bytes = cursor.collect().await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Asks until the answer is the expected one, then looks once more: it must stay so.
async fn eventually(log: &LogSettings, query: &str, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = text(log, query).await.unwrap_or_else(|error| error.to_string());
        if answer.trim() == expected {
            break;
        }
        assert!(Instant::now() < deadline, "{query}\n  gives    {answer}\n  expected {expected}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(text(log, query).await.expect("an answer").trim(), expected, "{query} changed afterwards");
}

fn takeover(owner: &str) -> LedgerRecord {
    read(&format!(r#"{{"v":1,"epoch":0,"body":{{"takeover":{{"owner":"{owner}","at_us":1768408267000000}}}}}}"#))
}

fn outcome(epoch: i64, request: usize, facts: &str) -> LedgerRecord {
    read(&format!(
        r#"{{"v":1,"epoch":{epoch},"body":{{"outcome":{{"request":{request},"idem":"k-{request}","at_us":1768408267000000,
        "received_at_us":1768408268000000,"contract":"C-17","facts":{facts},
        "balance":{{"currency":"RUB","own":1000,"credit":500,"held":20,"available":1480}}}}}}}}"#
    ))
}

fn captured(card: usize, minor: i64) -> String {
    format!(
        r#"[{{"captured":{{"card":"card-{card}","auth_code":"A1","site":"S-{}","terminal":"T-1","pump":null,
        "items":[{{"code":"DIESEL","qty_ml":1000,"price_e4":694500,"amount_minor":{minor}}}],"amount_minor":{minor}}}}},
        {{"card_blocked":{{"card":"card-{card}","reason":"lost"}}}}]"#,
        card % 7
    )
}

/// A sale of fuel and goods with a discount, another one, and its void.
fn receipt_and_void() -> String {
    let items = r#"[{"code":"DIESEL","group":"FUEL","qty_ml":40000,"price_e4":694500,"amount_minor":267800,"discount_minor":10000},
        {"code":"WIPER","unit":"PCS","qty_ml":0,"pieces":2,"price_e4":3000000,"amount_minor":60000}]"#;
    let posted = |name: &str, code: &str| {
        let place = if name == "captured" { r#","terminal":"T-1","pump":4"# } else { "" };
        format!(
            r#"{{"{name}":{{"card":"card-4","auth_code":"{code}","site":"S-4"{place},"items":{items},"amount_minor":327800}}}}"#
        )
    };
    format!("[{},{},{}]", posted("captured", "A2"), posted("captured", "A3"), posted("voided", "A3"))
}

const MONEY: &str = r#"[{"topped_up":{"amount_minor":5000,"reference":"PP-1","payer":{"tax_id":"7701"}}},
    {"register_matched":{"line":{"date":"2026-01-14","reference":"PP-1","amount_minor":5100},"outcome":"amount_differs","credited_minor":5000}},
    {"register_missing":{"reference":"PP-0","amount_minor":900}},
    {"billed":{"number":"B-12","amount_minor":4000}}]"#;

fn reading(number: usize) -> ReadingRecord {
    read(&format!(
        r#"{{"v":1,"received_at_us":1768408268000000,"message":{{"reading":{{"site":"S-1","tank":"3","seq":{number},
        "measured_at_us":1768408267000000,"product":"DIESEL","volume_ml":12000000,"temperature_dc":-52}}}}}}"#
    ))
}

fn station(epoch: i64, event: &str) -> StationRecord {
    read(&format!(r#"{{"v":1,"epoch":{epoch},"event":{event}}}"#))
}

fn minute(number: usize, version: u32, sold_ml: u64) -> String {
    format!(
        r#"{{"minute":{{"site":"S-1","product":"DIESEL","minute_us":{},"version":{version},"sales":1,"declines":0,
        "sold_ml":{sold_ml},"sold_minor":{{"RUB":70}},"consumed_ml":5}}}}"#,
        1_768_408_260_000_000 + 60_000_000 * number
    )
}

/// A level of a tank; each reading of it was different.
fn level(number: usize) -> String {
    format!(
        r#"{{"level":{{"origin":{{"topic":"readings","partition":1,"offset":{number}}},"site":"S-1","tank":"3","product":"DIESEL",
        "measured_at_us":1768408267000000,"received_at_us":1768408268000000,"volume_ml":12000000,"volume_15_ml":11900000,
        "height_dmm":12345,"temperature_cc":-525,"treatments":["reordered",{{"unknown":"water"}}]}}}}"#
    )
}

const ASIDE: &str = r#"{"aside":{"origin":{"topic":"readings","partition":1,"offset":1},"received_at_us":1768408268000000,
    "because":"no_volume","reading":{"site":"S-1","tank":"3","measured_at_us":1768408267000000,"product":"DIESEL"}}}"#;

fn delivery(number: usize, version: u32, withdrawn: bool) -> String {
    format!(
        r#"{{"tank":{{"site":"S-1","tank":"3","product":"DIESEL","number":{number},"version":{version},"withdrawn":{withdrawn},
        "began_at_us":1768408267000000,"ended_at_us":1768409267000000,"kind":{{"delivery":{{"gross_ml":12000000,
        "error_ml":30000,"sold_ml":0,"ticket_ml":12100000,"ticket_difference_ml":-100000}}}}}}}}"#
    )
}

fn day(number: usize, version: u32) -> String {
    format!(
        r#"{{"day":{{"site":"S-1","tank":"3","product":"DIESEL","day":{number},"version":{version},"stock":{{"opening_ml":10,
        "closing_ml":20,"delivered_ml":30,"consumed_ml":20,"gained_ml":0,"sold_ml":20,"measured":true}},
        "quality":{{"expected":1440,"used":1440,"repaired":0,"redated":0,"late":0,"repeats":0,"dropped":0,"silent_s":0}}}}}}"#
    )
}

fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect("a record")
}

/// A process that records and publishes until it is killed.
struct Process(Child);

impl Process {
    fn start(log: &LogSettings) -> Self {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "the_process_that_is_killed"])
            .env(CHILD, &log.topic_prefix)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

/// Not a test by itself: the others start it and kill it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka and ClickHouse"]
async fn the_process_that_is_killed() {
    let Ok(prefix) = std::env::var(CHILD) else { return };
    let log = log_named(&prefix);
    let (_keep, stop) = watch::channel(false);
    let published = publish::Config { log: log.clone(), group: format!("{prefix}-publish") };
    let (_owner, owned) = watch::channel(log.all_partitions().collect());
    let publishing = tokio::spawn(publish::run(published, owned, stop.clone()));
    sinks::clickhouse::run(config(&log), Status::default(), stop).await.expect("records until killed");
    publishing.await.expect("publishes").expect("until killed");
}

#[tokio::test]
#[ignore = "needs Kafka"]
async fn topics_are_made_once_and_a_wrong_partition_count_is_refused() {
    let log = own_log("topics");
    topics::ensure(&log, 1).expect("made");
    topics::ensure(&log, 1).expect("there already");
    let other = LogSettings { partitions: PARTITIONS + 1, ..log };
    let refused = topics::ensure(&other, 1).expect_err("a key would move");
    assert!(matches!(refused, sinks::Error::PartitionCount { found: PARTITIONS, .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka and ClickHouse"]
async fn what_is_recorded_reads_back() {
    let log = own_log("rows");
    topics::ensure(&log, 1).expect("topics");
    let recorder = Recorder::open(&log).expect("a recorder");
    let p = PartitionId(1);
    recorder.append(Topic::Ledger, p, "C-17", &takeover("a")).expect("appended");
    recorder.append(Topic::Ledger, p, "C-17", &outcome(0, 1, &captured(3, 69_450))).expect("appended");
    recorder.append(Topic::Ledger, p, "C-17", &outcome(0, 2, &receipt_and_void())).expect("appended");
    recorder.append(Topic::Ledger, p, "C-17", &outcome(0, 3, MONEY)).expect("appended");
    recorder.append(Topic::Readings, p, "S-1", &reading(9)).expect("appended");
    let takeover = station(0, r#"{"takeover":{"owner":"a","at_us":1768408267000000}}"#);
    recorder.append(Topic::StationEvents, p, "S-1", &takeover).expect("appended");
    for (version, sold_ml) in [(1, 40_000), (2, 45_000)] {
        recorder.append(Topic::StationEvents, p, "S-1", &station(0, &minute(0, version, sold_ml))).expect("appended");
    }
    let found = [delivery(1, 1, false), delivery(2, 1, false), delivery(2, 2, true)];
    for event in [level(0), ASIDE.to_owned()].into_iter().chain(found).chain([day(20_467, 1), day(20_467, 2)]) {
        recorder.append(Topic::StationEvents, p, "S-1", &station(0, &event)).expect("appended");
    }
    recorder.flush(PATIENCE).expect("acknowledged");

    let (stop, stopped) = watch::channel(false);
    let status = Status::default();
    let running = tokio::spawn(sinks::clickhouse::run(config(&log), status.clone(), stopped));
    eventually(&log, "SELECT count() AS n FROM ledger_facts", r#"{"n":9}"#).await;
    for (query, expected) in [
        (
            "SELECT COLUMNS('^([^i]|id)') EXCEPT(recorded_at) FROM ledger_facts WHERE fact = 0 AND offset = 1",
            r#"{"partition":1,"offset":1,"fact":0,"kind":"captured","at":"2026-01-14 16:31:07.000000","received_at":"2026-01-14 16:31:08.000000","idem":"k-1","contract":"C-17","card":"card-3","site":"S-3","terminal":"T-1","transaction_kind":"","verdict":"","code":"","product":"DIESEL","qty_ml":1000,"amount_minor":69450,"currency":"RUB","auth_code":"A1","own_minor":1000,"credit_minor":500,"held_minor":20,"replayed":0,"author":"","card_group":"","vehicle":"","driver":"","odometer":0,"pieces":0,"discount_minor":0,"limit_id":"","limit_left":0,"actor":"","reason":"","reference":"","payer":"","period":"","register_day":null,"outcome":"","credited_minor":0,"percent":0,"unbilled_minor":0,"json":""}"#,
        ),
        (
            "SELECT kind, product, product_group, qty_ml, pieces, price_e4, amount_minor, discount_minor FROM sold_lines WHERE offset = 2 ORDER BY fact, product",
            concat!(
                r#"{"kind":"captured","product":"DIESEL","product_group":"FUEL","qty_ml":40000,"pieces":0,"price_e4":694500,"amount_minor":267800,"discount_minor":10000}"#,
                "\n",
                r#"{"kind":"captured","product":"WIPER","product_group":"","qty_ml":0,"pieces":2,"price_e4":3000000,"amount_minor":60000,"discount_minor":0}"#,
                "\n",
                r#"{"kind":"captured","product":"DIESEL","product_group":"FUEL","qty_ml":40000,"pieces":0,"price_e4":694500,"amount_minor":267800,"discount_minor":10000}"#,
                "\n",
                r#"{"kind":"captured","product":"WIPER","product_group":"","qty_ml":0,"pieces":2,"price_e4":3000000,"amount_minor":60000,"discount_minor":0}"#,
                "\n",
                r#"{"kind":"voided","product":"DIESEL","product_group":"FUEL","qty_ml":-40000,"pieces":0,"price_e4":694500,"amount_minor":-267800,"discount_minor":-10000}"#,
                "\n",
                r#"{"kind":"voided","product":"WIPER","product_group":"","qty_ml":0,"pieces":-2,"price_e4":3000000,"amount_minor":-60000,"discount_minor":0}"#,
            ),
        ),
        (
            "SELECT kind, own_change_minor, unbilled_change_minor, reference, payer, period FROM postings WHERE offset = 3 ORDER BY fact",
            concat!(
                r#"{"kind":"topped_up","own_change_minor":5000,"unbilled_change_minor":0,"reference":"PP-1","payer":"7701","period":""}"#,
                "\n",
                r#"{"kind":"billed","own_change_minor":-4000,"unbilled_change_minor":-4000,"reference":"B-12","payer":"","period":""}"#,
            ),
        ),
        (
            "SELECT register_day, reference, outcome, amount_minor, credited_minor FROM register_lines ORDER BY fact",
            concat!(
                r#"{"register_day":"2026-01-14","reference":"PP-1","outcome":"amount_differs","amount_minor":5100,"credited_minor":5000}"#,
                "\n",
                r#"{"register_day":null,"reference":"PP-0","outcome":"missing","amount_minor":0,"credited_minor":900}"#,
            ),
        ),
        (
            "SELECT dateDiff('minute', recorded_at, now()) BETWEEN 0 AND 5 AS recent FROM ledger_facts WHERE fact = 0 AND offset = 1",
            r#"{"recent":1}"#,
        ),
        (
            "SELECT * FROM readings",
            r#"{"partition":1,"offset":0,"site":"S-1","tank":"3","product":"DIESEL","seq":9,"measured_at":"2026-01-14 16:31:07.000000","received_at":"2026-01-14 16:31:08.000000","volume_ml":12000000,"capacity_ml":null,"height_mm":null,"water_mm":null,"temperature_dc":-52,"status":0,"volume_15_ml":null,"ullage_ml":null,"water_ml":null,"percent_e2":null,"density_e1":null,"height_dmm":null,"water_dmm":null,"temperature_cc":-520,"historical":0}"#,
        ),
        ("SELECT count() AS n FROM station_events", r#"{"n":9}"#),
        (
            "SELECT * EXCEPT (recorded_at) FROM tank_levels ORDER BY offset",
            concat!(
                r#"{"partition":1,"offset":3,"reading_partition":1,"reading_offset":0,"site":"S-1","tank":"3","product":"DIESEL","measured_at":"2026-01-14 16:31:07.000000","received_at":"2026-01-14 16:31:08.000000","refused":"","volume_ml":12000000,"volume_15_ml":11900000,"water_ml":null,"capacity_ml":null,"height_dmm":12345,"water_dmm":null,"temperature_cc":-525,"density_e1":null,"status":0,"late":0,"treatments":["reordered","unknown_water"],"raw":""}"#,
                "\n",
                r#"{"partition":1,"offset":4,"reading_partition":1,"reading_offset":1,"site":"S-1","tank":"3","product":"DIESEL","measured_at":"2026-01-14 16:31:07.000000","received_at":"2026-01-14 16:31:08.000000","refused":"no_volume","volume_ml":null,"volume_15_ml":null,"water_ml":null,"capacity_ml":null,"height_dmm":null,"water_dmm":null,"temperature_cc":null,"density_e1":null,"status":0,"late":0,"treatments":[],"raw":"{\"site\":\"S-1\",\"tank\":\"3\",\"measured_at_us\":1768408267000000,\"product\":\"DIESEL\",\"status\":0}"}"#,
            ),
        ),
        (
            "SELECT * EXCEPT (recorded_at, json) FROM tank_history",
            r#"{"site":"S-1","tank":"3","kind":"delivery","number":1,"version":1,"product":"DIESEL","began":"2026-01-14 16:31:07.000000","ended":"2026-01-14 16:47:47.000000","volume_ml":12000000,"error_ml":30000,"net_15_ml":null,"sold_ml":0,"ticket_ml":12100000,"ticket_difference_ml":-100000,"rate_ml_per_hour":null,"detail":""}"#,
        ),
        (
            "SELECT number, version, withdrawn FROM tank_events FINAL ORDER BY number",
            "{\"number\":1,\"version\":1,\"withdrawn\":0}\n{\"number\":2,\"version\":2,\"withdrawn\":1}",
        ),
        (
            "SELECT * EXCEPT (recorded_at) FROM tank_days FINAL",
            r#"{"site":"S-1","tank":"3","day":"2026-01-14","version":2,"product":"DIESEL","opening_ml":10,"closing_ml":20,"delivered_ml":30,"consumed_ml":20,"gained_ml":0,"sold_ml":20,"measured":1,"opening_15_ml":null,"closing_15_ml":null,"delivered_15_ml":null,"sold_15_ml":null,"expected":1440,"used":1440,"repaired":0,"redated":0,"late":0,"repeats":0,"dropped":0,"silent_s":0,"score_e2":10000}"#,
        ),
        (
            "SELECT * FROM consumption_minute FINAL",
            r#"{"site":"S-1","product":"DIESEL","minute":"2026-01-14 16:31:00","version":2,"sales":1,"declines":0,"sold_ml":45000,"sold_minor":{"RUB":70},"consumed_ml":5}"#,
        ),
        (
            "SELECT * FROM consumption_day",
            r#"{"site":"S-1","product":"DIESEL","day":"2026-01-14","sales":1,"declines":0,"sold_ml":45000,"consumed_ml":5}"#,
        ),
        (
            "SELECT * FROM card_consumption_day ORDER BY card, product",
            concat!(
                r#"{"contract":"C-17","card":"card-3","product":"DIESEL","currency":"RUB","day":"2026-01-14","sales":1,"qty_ml":1000,"amount_minor":69450}"#,
                "\n",
                r#"{"contract":"C-17","card":"card-4","product":"DIESEL","currency":"RUB","day":"2026-01-14","sales":1,"qty_ml":40000,"amount_minor":267800}"#,
                "\n",
                r#"{"contract":"C-17","card":"card-4","product":"WIPER","currency":"RUB","day":"2026-01-14","sales":1,"qty_ml":0,"amount_minor":60000}"#,
            ),
        ),
        ("SELECT max(version) AS v, count() AS n FROM schema_versions", r#"{"v":24,"n":24}"#),
    ] {
        eventually(&log, query, expected).await;
    }
    let positions: Vec<i64> =
        status.snapshot().values().map(|topic| topic.partitions[&PartitionId(1)].position).collect();
    assert_eq!(positions, [4, 1, 10], "ledger, readings, station events");
    assert!(status.is_healthy());

    let (end_second, again) = watch::channel(false);
    let second_status = Status::default();
    let second = tokio::spawn(sinks::clickhouse::run(config(&log), second_status.clone(), again));
    all(&status, |phase| matches!(phase, Phase::StandingBy(_))).await;
    all(&second_status, |phase| *phase == Phase::Recording).await;
    end_second.send_replace(true);
    second.await.expect("ends").expect("in good order");
    all(&status, |phase| *phase == Phase::Recording).await;
    stop.send_replace(true);
    running.await.expect("ends").expect("in good order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka and ClickHouse"]
async fn a_database_of_a_newer_program_is_refused() {
    let log = own_log("newer");
    let server = Client::default().with_url(env("FORECOURT_TEST_CLICKHOUSE"));
    server.query(&format!("CREATE DATABASE {}", log.topic_prefix)).execute().await.expect("a database");
    let newer = client(&log);
    newer
        .query("CREATE TABLE schema_versions (version UInt32, name String, applied_at DateTime64(3,'UTC')) ENGINE = MergeTree ORDER BY version")
        .execute()
        .await
        .expect("a table");
    newer
        .query("INSERT INTO schema_versions VALUES (99, 'from the future', now())")
        .execute()
        .await
        .expect("a version");
    let (_keep, stop) = watch::channel(false);
    let refused = sinks::clickhouse::run(config(&log), Status::default(), stop).await;
    assert!(matches!(refused, Err(sinks::Error::NewerDatabase { found: 99, known: 24, .. })), "{refused:?}");
}

/// The token holds for a whole insert only when the server makes one block of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka and ClickHouse"]
async fn a_large_batch_is_one_part() {
    const READINGS: usize = 30_000;
    let log = own_log("large");
    topics::ensure(&log, 1).expect("topics");
    let recorder = Recorder::open(&log).expect("a recorder");
    for number in 0..READINGS {
        let partition = PartitionId(i32::try_from(number % 4).expect("small"));
        recorder.append(Topic::Readings, partition, "S-1", &reading(number)).expect("appended");
    }
    recorder.flush(PATIENCE).expect("acknowledged");
    let patient = Config { batch_rows_max: 12_000, batch_wait: Duration::from_secs(30), ..config(&log) };
    let (_keep, stop) = watch::channel(false);
    let running = tokio::spawn(sinks::clickhouse::run(patient, Status::default(), stop));
    let parts = format!(
        "SELECT count() >= 2 AS whole FROM system.parts WHERE database = '{}' AND table = 'readings' AND level = 0 AND rows = 12000",
        log.topic_prefix
    );
    eventually(&log, &parts, r#"{"whole":1}"#).await;
    running.abort();
}

/// Twenty deaths while records come in, among them those of owners that were replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka and ClickHouse"]
async fn every_true_record_counts_once_though_the_process_is_killed_again_and_again() {
    const DEATHS: usize = 20;
    const RECORDS: usize = 700;
    let log = own_log("kills");
    topics::ensure(&log, 1).expect("topics");
    let recorder = Recorder::open(&log).expect("a recorder");
    let mut epochs: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    let mut lengths: BTreeMap<i32, i64> = BTreeMap::new();
    let (mut facts, mut money, mut readings, mut sales) = (0, 0_i64, 0, Vec::new());
    // Minutes, levels, what was found out about tanks, days.
    let mut events = [0; 4];
    for death in 0..=DEATHS {
        let process = Process::start(&log);
        let began = Instant::now();
        for number in 0..RECORDS {
            let partition = i32::try_from(number % 4).expect("small");
            let length = lengths.entry(partition).or_default();
            let (old, epoch) = epochs.get(&partition).copied().unwrap_or((-1, -1));
            let p = PartitionId(partition);
            if number < 4 {
                // A new owner of every partition, in both logs at the same offset.
                recorder.append(Topic::Ledger, p, "C-17", &takeover("x")).expect("appended");
                let taken = station(0, r#"{"takeover":{"owner":"a","at_us":1768408267000000}}"#);
                recorder.append(Topic::StationEvents, p, "S-1", &taken).expect("appended");
                epochs.insert(partition, (epoch, *length));
            } else {
                let minor = i64::try_from(number).expect("small");
                let zombie = number % 11 == 0;
                let written_under = if zombie { old } else { epoch };
                recorder
                    .append(Topic::Ledger, p, "C-17", &outcome(written_under, number, &captured(number % 50, minor)))
                    .expect("appended");
                let place = death * RECORDS + number;
                let kind = number / 4 % 4;
                let event = match kind {
                    0 => minute(place, 1, 1000),
                    1 => level(place),
                    2 => delivery(place, 1, false),
                    _ => day(place, 1),
                };
                recorder.append(Topic::StationEvents, p, "S-1", &station(written_under, &event)).expect("appended");
                if !zombie {
                    facts += 2;
                    money += minor;
                    events[kind] += 1;
                    sales.push((partition, *length));
                }
            }
            *length += 1;
            recorder.append(Topic::Readings, p, "S-1", &reading(number)).expect("appended");
            readings += 1;
            if number % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        recorder.flush(PATIENCE).expect("acknowledged");
        // Deaths at any moment: while joining, repeating, inserting, committing.
        let life = Duration::from_millis(400 + 173 * (death as u64 % 7));
        tokio::time::sleep(life.saturating_sub(began.elapsed())).await;
        drop(process);
    }
    let _last = Process::start(&log);
    let [minutes, levels, found, days] = events;
    let whole: i32 = events.iter().sum();
    for (query, expected) in [
        (
            "SELECT count() AS n, uniqExact(partition, offset, fact) AS u FROM ledger_facts",
            format!(r#"{{"n":{facts},"u":{facts}}}"#),
        ),
        (
            "SELECT count() AS n, uniqExact(partition, offset) AS u FROM readings",
            format!(r#"{{"n":{readings},"u":{readings}}}"#),
        ),
        (
            "SELECT count() AS n, uniqExact(partition, offset) AS u FROM station_events",
            format!(r#"{{"n":{whole},"u":{whole}}}"#),
        ),
        (
            "SELECT count() AS n, uniqExact(reading_offset) AS u FROM tank_levels",
            format!(r#"{{"n":{levels},"u":{levels}}}"#),
        ),
        ("SELECT count() AS n FROM tank_history", format!(r#"{{"n":{found}}}"#)),
        ("SELECT count() AS n, sum(sold_ml) AS m FROM tank_days FINAL", format!(r#"{{"n":{days},"m":{}}}"#, 20 * days)),
        ("SELECT count() AS n FROM consumption_minute FINAL", format!(r#"{{"n":{minutes}}}"#)),
        (
            "SELECT sum(sales) AS n, sum(amount_minor) AS m, sum(qty_ml) AS q FROM card_consumption_day",
            format!(r#"{{"n":{},"m":{money},"q":{}}}"#, facts / 2, facts * 500),
        ),
    ] {
        eventually(&log, query, &expected).await;
    }
    sales.sort_unstable();
    assert_eq!(sales_by_origin(&log, sales.len()), sales);
}

/// The origins of `fuel.sales`, repeats dropped as every reader drops them: by the watermark of their origin partition.
fn sales_by_origin(log: &LogSettings, wanted: usize) -> Vec<(i32, i64)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &log.bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment
            .add_partition_offset(&log.topic_name(Topic::Sales), partition, Offset::Beginning)
            .expect("a partition");
    }
    consumer.assign(&assignment).expect("assigned");
    let mut seen: BTreeMap<i32, model::Watermarks> = BTreeMap::new();
    let mut origins = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while origins.len() < wanted && Instant::now() < deadline {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            let sale: Sale = serde_json::from_slice(message.payload().expect("a value")).expect("a sale");
            assert_eq!(log.partition_of(sale.site.as_str()).0, message.partition());
            if seen.entry(message.partition()).or_default().advance(sale.origin) {
                origins.push((sale.origin.partition.0, sale.origin.offset));
            }
        }
    }
    origins.sort_unstable();
    origins
}
