//! Snapshots in a bucket: a server that speaks S3, and a Forecourt that is killed, starts from the bucket, and passes over a broken
//! object. The server is `s3s-fs`, which keeps objects as files, so that one can be broken from outside.

mod instance;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use instance::{Instance, Servers, command, eventually, free_ports, sale};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const VERSION: &str = "0.14.1";
const BUCKET: &str = "fuel-snapshots";
const KEY: &str = "forecourt-key";
const SECRET: &str = "forecourt-secret";

struct Bucket {
    server: Child,
    port: u16,
    folder: PathBuf,
}

impl Bucket {
    fn open(folder: &Path) -> Self {
        let [port, ..] = free_ports();
        let root = folder.join("s3");
        std::fs::create_dir_all(root.join(BUCKET)).expect("a folder");
        let cache = std::env::var("FORECOURT_ENGINES").map_or_else(
            |_| {
                let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
                cache
                    .unwrap_or_else(|_| PathBuf::from(std::env::var("HOME").expect("a home")).join(".cache"))
                    .join("forecourt")
            },
            PathBuf::from,
        );
        let server = Command::new(cache.join(format!("s3s-fs-{VERSION}/bin/s3s-fs")))
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--access-key", KEY, "--secret-key", SECRET])
            .arg(&root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the S3 server starts: deploy/setup test installs it");
        eventually("the S3 server listens", SOON, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { server, port, folder: root.join(BUCKET) }
    }

    fn environment(&self, secret: &str) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The objects of the ledger's partitions, the oldest first in each.
    fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path if path.extension().is_some_and(|suffix| suffix == "snapshot") => found.push(path),
                    _ => {}
                }
            }
        }
        found.sort();
        found
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn snapshot(forecourt: &Instance, environment: Vec<(String, String)>, what: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_forecourt"))
        .args(["snapshot", "--config", &forecourt.arguments[2], what])
        .envs(environment)
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    (
        output.status.success(),
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).join("\n"),
    )
}

fn log(forecourt: &Instance) -> String {
    std::fs::read_to_string(&forecourt.log).unwrap_or_default()
}

/// The answer to a sale, when it stands in the ledger.
fn sold(forecourt: &Instance, idem: &str) -> Value {
    forecourt.produce(&forecourt.topic("transactions"), "T-1", &[sale(idem, "card-1", 10_000).to_string()]);
    eventually("a decision", SOON, || {
        let records = forecourt.consume(&forecourt.topic("ledger"), "%s\n");
        let record = records.iter().find(|record| record.contains(&format!("\"{idem}\"")))?;
        let record: Value = serde_json::from_str(record).expect("JSON");
        Some(record["body"]["outcome"]["facts"][0]["decided"]["decision"].clone())
    })
}

#[test]
fn a_start_reads_the_newest_object_that_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::open(folder.path());
    let engines = Instance::embedded(folder.path());
    let servers = Servers { mqtt: engines.mqtt, clickhouse: engines.clickhouse };
    let mut forecourt =
        Instance::configured(&engines, folder.path(), "s3", servers, None, "every = \"1s\"\nkeep = 2\n");
    let file = &forecourt.arguments[2];
    let text = std::fs::read_to_string(file).expect("the configuration");
    let local = format!("store = \"{}\"", folder.path().join("snapshots").display());
    assert!(text.contains(&local), "{text}");
    std::fs::write(file, text.replace(&local, &format!("store = \"s3://{BUCKET}/network/one\""))).expect("written");
    forecourt.environment = bucket.environment(SECRET);
    forecourt.launch();
    forecourt.wait_ready();

    let orders = [
        command(
            "c-1",
            "C-1",
            json!({ "open_contract": { "name": "Bakery", "currency": "KZT", "time_zone": "Asia/Almaty" } }),
        ),
        command(
            "c-2",
            "C-1",
            json!({ "top_up": { "amount_minor": 100_000_000, "currency": "KZT", "reference": "P-1" } }),
        ),
        command("c-3", "C-1", json!({ "issue_card": { "card": "card-1", "pan_masked": "****1234" } })),
    ];
    forecourt.produce(&forecourt.topic("commands"), "C-1", &orders);
    let unbilled = |decision: &Value| decision["balance"]["unbilled"].as_i64();
    let mut sales = 0;
    let mut sell = |forecourt: &Instance| {
        sales += 1;
        sold(forecourt, &format!("sale-{sales}"))
    };
    eventually("the card is known", SOON, || (sell(&forecourt)["decision"] == "approve").then_some(()));
    // Two of a partition are kept, so there were more when two differ from the first two.
    let partition = |object: &PathBuf| object.parent().map(Path::to_path_buf);
    let kept = eventually("two snapshots of the card's partition", SOON, || {
        sell(&forecourt);
        let objects = bucket.objects();
        let of_one = objects.chunk_by(|one, next| partition(one) == partition(next)).find(|some| some.len() >= 2)?;
        Some(of_one.to_vec())
    });
    eventually("the first of them is deleted", SOON, || {
        sell(&forecourt);
        (!kept[0].exists()).then_some(())
    });

    let before = unbilled(&sell(&forecourt)).expect("a balance");
    forecourt.kill();
    let (good, said) = snapshot(&forecourt, bucket.environment(SECRET), "verify");
    assert!(good, "{said}");
    forecourt.launch();
    forecourt.wait_ready();
    assert!(log(&forecourt).contains("snapshot read"), "{}", forecourt.log_tail());
    let after = unbilled(&sell(&forecourt)).expect("a balance");
    assert!(after > before, "sales go on where they were: {before}, then {after}");

    let newest = eventually("a partition with two objects", SOON, || {
        sell(&forecourt);
        let objects = bucket.objects();
        let of_one = objects.chunk_by(|one, next| partition(one) == partition(next)).find(|some| some.len() >= 2)?;
        of_one.last().cloned()
    });
    forecourt.kill();
    // It may have been followed by another and deleted before the process died.
    let newest =
        bucket.objects().into_iter().rfind(|object| partition(object) == partition(&newest)).expect("an object");
    let mut bytes = std::fs::read(&newest).expect("an object");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).expect("written");
    let (good, said) = snapshot(&forecourt, bucket.environment(SECRET), "verify");
    assert!(!good && said.contains("checksum"), "{said}");
    forecourt.launch();
    forecourt.wait_ready();
    let log_now = log(&forecourt);
    assert!(log_now.contains("a snapshot is of no use") && log_now.contains("checksum"), "{}", forecourt.log_tail());
    let last = unbilled(&sell(&forecourt)).expect("a balance");
    assert!(last > after, "the one before and the ledger give the same state: {after}, then {last}");

    let (good, said) = snapshot(&forecourt, bucket.environment("another"), "list");
    assert!(!good && said.contains("cannot be listed"), "{said}");
}
