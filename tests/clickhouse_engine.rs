//! `forecourt clickhouse` as its clients meet it: the real binary, the real engine, the `clickhouse` crate and plain HTTP.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

/// A running engine; killed when dropped.
struct Engine {
    process: Child,
    port: u16,
}

impl Engine {
    fn start(data: &Path) -> Self {
        let port = free_port();
        let process = command(data, port, &library()).stderr(Stdio::inherit()).spawn().unwrap();
        let engine = Self { process, port };
        let started = Instant::now();
        while !TcpStream::connect(("127.0.0.1", port)).is_ok_and(|_| engine.ask("GET", "/ping", b"").1 == b"Ok.\n") {
            assert!(started.elapsed() < Duration::from_secs(120), "the engine did not answer in two minutes");
            std::thread::sleep(Duration::from_millis(50));
        }
        engine
    }

    fn client(&self) -> Client {
        Client::default().with_url(format!("http://127.0.0.1:{}", self.port)).with_database("default")
    }

    /// A plain HTTP/1.0 request, as the simplest client would make it: status line and headers, then the body.
    fn ask(&self, method: &str, target: &str, body: &[u8]) -> (String, Vec<u8>) {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!("{method} {target} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let body = answer.split_off(end + 4);
        (String::from_utf8(answer).unwrap(), body)
    }

    /// Runs a statement and expects it to work.
    fn run(&self, sql: &str) -> String {
        let (head, body) = self.ask("POST", "/", sql.as_bytes());
        let body = String::from_utf8(body).unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{sql}: {body}");
        body
    }

    /// Runs a statement and expects it to be refused: status and ClickHouse's exception code.
    fn refused(&self, method: &str, target: &str, sql: &str) -> (u16, u16, String) {
        let (head, body) = self.ask(method, target, sql.as_bytes());
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let code = head
            .lines()
            .find_map(|line| line.strip_prefix("x-clickhouse-exception-code: "))
            .unwrap_or_else(|| panic!("no exception code for {sql}: {head}"))
            .parse()
            .unwrap();
        (status, code, String::from_utf8(body).unwrap())
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(data: &Path, port: u16, library: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forecourt"));
    command.arg("clickhouse").arg("--data").arg(data).arg("--library").arg(library);
    command.arg("--listen").arg(format!("127.0.0.1:{port}"));
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The newest library that `deploy/engines/fetch` has left.
fn library() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("FORECOURT_ENGINES").unwrap_or_else(|| {
        let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
        cache.unwrap().join("forecourt")
    });
    let package = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/engines/package.json")).unwrap();
    let version = package.split("lib-linux-x64-gnu\": \"").nth(1).unwrap().split('"').next().unwrap();
    let library = cache.join(format!("clickhouse-{version}")).join("libchdb.so");
    assert!(library.is_file(), "{} is not there: run deploy/engines/fetch first", library.display());
    library
}

/// What a process that refuses to start says.
fn says(mut command: Command) -> String {
    let output = command.stderr(Stdio::piped()).stdout(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Sale {
    offset: i64,
    site: String,
    qty_ml: i64,
    seq: Option<u64>,
    at: i64,
    sold: Vec<(String, i64)>,
}

const SALES: &str = "CREATE TABLE sales (offset Int64, site LowCardinality(String), qty_ml Int64, seq Nullable(UInt64),
    at DateTime64(6, 'UTC'), sold Map(LowCardinality(String), Int64))
    ENGINE = MergeTree ORDER BY offset SETTINGS non_replicated_deduplication_window = 100";

fn sale(offset: i64) -> Sale {
    Sale {
        offset,
        site: format!("site {}", offset % 7),
        qty_ml: offset * 3,
        seq: (offset % 2 == 0).then_some(offset.unsigned_abs()),
        at: 1_795_000_000_000_000 + offset,
        sold: vec![("KZT".to_owned(), offset)],
    }
}

async fn insert(client: &Client, token: Option<&str>, offsets: std::ops::Range<i64>) -> clickhouse::error::Result<()> {
    let mut insert = client.insert::<Sale>("sales").await?;
    if let Some(token) = token {
        insert = insert.with_setting("insert_deduplication_token", token);
    }
    for offset in offsets {
        insert.write(&sale(offset)).await?;
    }
    insert.end().await
}

#[tokio::test]
async fn rows_written_by_the_crate_come_back_as_they_were() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    engine.run(SALES);
    let client = engine.client();
    insert(&client, None, 0..1000).await.unwrap();
    let rows = client.query("SELECT ?fields FROM sales WHERE offset < ? ORDER BY offset").bind(3).fetch_all::<Sale>();
    assert_eq!(rows.await.unwrap(), [sale(0), sale(1), sale(2)]);
    let parameter = "it's {a} \\ 100 % site\nsecond line";
    let back = client.query("SELECT {p:String}").param("p", parameter).fetch_one::<String>().await.unwrap();
    assert_eq!(back, parameter);
    let none = client.query("SELECT ?fields FROM sales WHERE offset < 0").fetch_all::<Sale>().await.unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn a_result_of_many_pieces_arrives_whole_with_and_without_compression() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    for compression in [clickhouse::Compression::Lz4, clickhouse::Compression::None] {
        let client = engine.client().with_compression(compression);
        let query = client.query("SELECT number, toString(number) FROM numbers(400000)");
        let mut cursor = query.fetch::<(u64, String)>().unwrap();
        let (mut rows, mut sum) = (0_u64, 0_u64);
        while let Some((number, text)) = cursor.next().await.unwrap() {
            assert_eq!(text, number.to_string());
            rows += 1;
            sum += number;
        }
        assert_eq!((rows, sum), (400_000, 399_999 * 200_000));
    }
}

#[tokio::test]
async fn a_query_that_fails_on_the_way_is_an_error_and_not_a_short_result() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    let client = engine.client();
    let query =
        client.query("SELECT number + throwIf(number = 300000) FROM numbers(400000) SETTINGS max_block_size = 1000");
    let mut cursor = query.fetch::<u64>().unwrap();
    let mut rows = 0;
    let error = loop {
        match cursor.next().await {
            Ok(Some(_)) => rows += 1,
            Ok(None) => panic!("the result ended after {rows} rows as if all were well"),
            Err(error) => break error,
        }
    };
    assert!(rows > 0, "the error came before the first row: the result was not streamed");
    assert!(error.to_string().contains("FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"), "{error}");
}

#[tokio::test]
async fn a_repeated_insert_is_dropped_also_behind_a_materialized_view() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    engine.run(SALES);
    engine.run(
        "CREATE TABLE per_site (site LowCardinality(String), qty_ml Int64) ENGINE = SummingMergeTree ORDER BY site
         SETTINGS non_replicated_deduplication_window = 100",
    );
    engine.run("CREATE MATERIALIZED VIEW per_site_view TO per_site AS SELECT site, sum(qty_ml) AS qty_ml FROM sales GROUP BY site");
    let client = engine.client();
    for _ in 0..3 {
        insert(&client, Some("ledger/0/0-5000"), 0..5000).await.unwrap();
    }
    insert(&client, Some("ledger/0/5000-6000"), 5000..6000).await.unwrap();
    let expected = format!("6000\t{}\t{}\n", 5999 * 3000 * 3, 5999 * 3000 * 3);
    let sums =
        "SELECT (SELECT count() FROM sales), (SELECT sum(qty_ml) FROM sales), (SELECT sum(qty_ml) FROM per_site)";
    assert_eq!(engine.run(sums), expected);
}

#[tokio::test]
async fn acknowledged_rows_survive_a_kill_and_no_insert_is_there_by_half() {
    let data = tempfile::tempdir().unwrap();
    let mut engine = Engine::start(data.path());
    engine.run(SALES);
    let mut acknowledged = 0;
    for round in 1..=3_u64 {
        let client = engine.client();
        let writer = tokio::spawn(async move {
            let mut written = 0;
            // Rows of their own in every insert: the engine drops an insert with the same rows as one before.
            let first = i64::try_from(round).unwrap() * 1_000_000_000;
            while insert(&client, None, first + written * 2000..first + (written + 1) * 2000).await.is_ok() {
                written += 1;
            }
            written
        });
        tokio::time::sleep(Duration::from_millis(400 * round)).await;
        engine.kill();
        acknowledged += writer.await.unwrap();
        engine = Engine::start(data.path());
        let rows: i64 = engine.run("SELECT count() FROM sales").trim().parse().unwrap();
        assert_eq!(rows % 2000, 0, "an insert is there by half");
        let stored = rows / 2000;
        assert!(stored >= acknowledged, "{stored} inserts stored, {acknowledged} acknowledged");
        // At most the one under way in each round was stored without an acknowledgement.
        assert!(stored <= acknowledged + i64::try_from(round).unwrap(), "{stored} stored, {acknowledged} acknowledged");
    }
    assert!(acknowledged > 0, "nothing was written before the kills");
}

#[test]
fn plain_http_works_as_with_a_clickhouse_server() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    assert_eq!(engine.ask("GET", "/", b"").1, b"Ok.\n");
    engine.run("CREATE DATABASE d");
    engine.run("CREATE TABLE d.t (a UInt32, s String) ENGINE = MergeTree ORDER BY a");
    let insert =
        engine.ask("POST", "/?query=INSERT%20INTO%20d.t%20FORMAT%20JSONEachRow", b"{\"a\": 1, \"s\": \"x\"}\n");
    assert!(insert.0.contains("\"written_rows\":\"1\""), "{}", insert.0);
    engine.run("INSERT INTO d.t FORMAT CSV\n2,\"y, z\"\n3,q\n");
    engine.run("INSERT INTO d.t VALUES (4, 'v')");
    let (head, body) = engine.ask(
        "GET",
        "/?database=d&query=SELECT%20*%20FROM%20t%20ORDER%20BY%20a%20FORMAT%20JSONCompactEachRow",
        b"",
    );
    assert_eq!(String::from_utf8(body).unwrap(), "[1, \"x\"]\n[2, \"y, z\"]\n[3, \"q\"]\n[4, \"v\"]\n");
    assert!(head.contains("\r\nx-clickhouse-format: JSONCompactEachRow\r\n"), "{head}");
    assert_eq!(engine.ask("POST", "/?param_x=5&max_threads=1", b"SELECT {x:UInt8} + 1").1, b"6\n");
    assert_eq!(engine.ask("POST", "/?default_format=CSV", b"SELECT 'a', 1").1, b"\"a\",1\n");

    let framed = engine.ask("POST", "/?compress=1", b"SELECT number FROM numbers(1000)").1;
    assert_eq!(framed[16], 0x82, "not an LZ4 frame");
    let plain =
        lz4_flex::block::decompress(&framed[25..], u32::from_le_bytes(framed[21..25].try_into().unwrap()) as usize);
    assert!(plain.unwrap().ends_with(b"998\n999\n"));
}

#[test]
fn refusals_carry_clickhouses_codes_and_statuses() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    for (method, target, sql, status, code) in [
        ("POST", "/", "SELECT * FROM nowhere", 404, 60),
        ("POST", "/", "SELEC 1", 400, 62),
        ("POST", "/", "", 400, 62),
        ("POST", "/", "SELECT 1; SELECT 2", 400, 62),
        ("POST", "/?no_such_setting=1", "SELECT 1", 404, 115),
        ("POST", "/?database=nowhere", "SELECT 1", 404, 81),
        ("GET", "/?query=CREATE%20TABLE%20t%20(a%20Int8)%20ENGINE%3DMemory", "", 500, 164),
        ("POST", "/?query=INSERT%20INTO%20nowhere%20FORMAT%20CSV", "1\n", 404, 60),
        ("POST", "/?decompress=1&query=INSERT%20INTO%20t%20FORMAT%20CSV", "these are no compressed frames", 404, 60),
    ] {
        let (found_status, found_code, text) = engine.refused(method, target, sql);
        assert_eq!((found_status, found_code), (status, code), "{method} {target} {sql}: {text}");
    }
    // And a good one passes after all of them.
    assert_eq!(engine.run("SELECT 1"), "1\n");
}

#[test]
fn nothing_beside_the_tables_can_be_reached() {
    let data = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.csv");
    std::fs::write(&secret, "42\n").unwrap();
    let (secret, target) = (secret.display().to_string(), outside.path().join("out.csv").display().to_string());
    let engine = Engine::start(data.path());
    engine.run("CREATE TABLE t (a Int32) ENGINE = MergeTree ORDER BY a");
    for sql in [
        format!("SELECT * FROM file('{secret}', 'CSV', 'a Int32')"),
        format!("SELECT * FROM `{secret}`"),
        format!("INSERT INTO t SELECT * FROM file('{secret}', 'CSV', 'a Int32')"),
        format!("INSERT INTO t FROM INFILE '{secret}' FORMAT CSV"),
        format!("SELECT 1 INTO OUTFILE '{target}'"),
        format!("INSERT INTO FUNCTION file('{target}', 'CSV', 'a Int32') SELECT 1"),
        format!("CREATE TABLE f (a Int32) ENGINE = File(CSV, '{target}')"),
        format!("BACKUP TABLE t TO File('{target}')"),
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a Int32')".to_owned(),
        "SELECT * FROM remote('127.0.0.1:1', system, one)".to_owned(),
        "CREATE USER intruder".to_owned(),
    ] {
        let (_, code, text) = engine.refused("POST", "/", &sql);
        assert!(matches!(code, 497 | 344 | 60), "{sql}: {text}");
        assert!(!text.contains("42"), "{sql}: {text}");
    }
    assert!(!Path::new(&target).exists());
    assert_eq!(engine.run("SELECT count() FROM t"), "0\n");
}

#[test]
fn what_is_missing_or_taken_is_said_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());

    let said = says(command(data.path(), free_port(), &library()));
    assert!(said.contains(&format!("another Forecourt (pid {})", engine.process.id())), "{said}");
    let said = says(command(other.path(), engine.port, &library()));
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{}", engine.port)), "{said}");
    let said = says(command(other.path(), free_port(), Path::new("/nowhere/libchdb.so")));
    assert!(said.contains("/nowhere/libchdb.so; run deploy/engines/fetch"), "{said}");
    let not_the_engine = other.path().join("libchdb.so");
    std::fs::write(&not_the_engine, "not a library").unwrap();
    let said = says(command(other.path(), free_port(), &not_the_engine));
    assert!(said.contains("cannot be loaded"), "{said}");
}

#[test]
fn asked_to_end_it_ends_in_order_and_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut engine = Engine::start(data.path());
    engine.run("CREATE TABLE t (a Int32) ENGINE = MergeTree ORDER BY a");
    engine.run("INSERT INTO t VALUES (1)");
    let asked = Instant::now();
    assert!(Command::new("kill").arg(engine.process.id().to_string()).status().unwrap().success());
    let status = engine.process.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(4), "it took {:?}", asked.elapsed());
    drop(engine);
    assert_eq!(Engine::start(data.path()).run("SELECT a FROM t"), "1\n");
}
