//! kill -9 at random moments, under load: Forecourt, Kafka, ClickHouse, and all of them at once. Afterwards every request has
//! exactly one decision, balances are what the requests imply, and ClickHouse's rows are the ledger's facts.
//!
//! `CRASHES` sets how often (20), `CRASH_SEED` repeats a run.

mod instance;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use instance::{Instance, run};

/// A small generator (xorshift64*), so that a seed names a run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn no_request_is_lost_or_decided_twice_through_crashes() {
    let crashes = setting("CRASHES", 20);
    let seed = setting("CRASH_SEED", instance::now_us());
    println!("CRASH_SEED={seed} CRASHES={crashes}");
    let mut random = Random(seed | 1);
    let folder = tempfile::tempdir().expect("a folder");
    let mut engines = Instance::embedded(folder.path());
    let mut forecourt = Instance::beside(&engines, folder.path(), "crash", engines.mqtt);

    let journal = folder.path().join("journal.jsonl");
    let bootstrap = engines.broker();
    let load_log = std::fs::File::create(folder.path().join("load.log")).expect("a log");
    let mut load = Command::new(loadtest())
        .args(["run", "--through-faults", "--bootstrap", &bootstrap, "--topic-prefix", "crash"])
        .args([
            "--url",
            &forecourt.url(""),
            "--clickhouse",
            &format!("http://127.0.0.1:{}", engines.clickhouse),
            "--database",
            "crash",
            "--without",
            "mqtt",
        ])
        .args([
            "--transactions-per-s",
            "300",
            "--contracts",
            "40",
            "--cards",
            "1000",
            "--warmup",
            "1",
            "--drain",
            "120",
            "--seconds",
            &(crashes * 6 + 10).to_string(),
            "--journal",
        ])
        .arg(&journal)
        .stdin(Stdio::null())
        .stdout(load_log.try_clone().expect("a second handle"))
        .stderr(load_log)
        .spawn()
        .expect("the load starts");

    // The load opens its contracts first.
    std::thread::sleep(Duration::from_secs(8));
    let mut killed = [0_u32; 4];
    for _ in 0..crashes {
        std::thread::sleep(Duration::from_millis(500 + random.below(3_000)));
        match random.below(8) {
            0..=3 => {
                forecourt.kill();
                forecourt.launch();
                killed[0] += 1;
                // Sometimes again before it is ready.
                if random.below(3) > 0 {
                    forecourt.wait_ready();
                }
            }
            4 | 5 => killed[1] += u32::from(kill_engine(&engines, "kafka")),
            6 => killed[2] += u32::from(kill_engine(&engines, "clickhouse")),
            _ => {
                engines.kill();
                forecourt.kill();
                engines.launch();
                engines.wait_ready();
                forecourt.launch();
                forecourt.wait_ready();
                killed[3] += 1;
            }
        }
    }
    println!(
        "killed: Forecourt {}, Kafka {}, ClickHouse {}, all at once {}",
        killed[0], killed[1], killed[2], killed[3]
    );
    engines.wait_ready();
    forecourt.wait_ready();
    let status = load.wait().expect("the load ends");
    let said = std::fs::read_to_string(folder.path().join("load.log")).unwrap_or_default();
    println!("{said}");
    assert!(status.success(), "the load failed (seed {seed}):\n{said}\n{}", forecourt.log_tail());

    let verdict = run(
        &loadtest().display().to_string(),
        &[
            "verify",
            "--bootstrap",
            &bootstrap,
            "--topic-prefix",
            "crash",
            "--clickhouse",
            &format!("http://127.0.0.1:{}", engines.clickhouse),
            "--database",
            "crash",
            "--since",
            &journal.display().to_string(),
            "--wait",
            "180",
        ],
    );
    println!("{}", String::from_utf8_lossy(&verdict.stdout));
    assert!(
        verdict.status.success(),
        "seed {seed}:\n{}\n{}\n{}",
        String::from_utf8_lossy(&verdict.stdout),
        String::from_utf8_lossy(&verdict.stderr),
        forecourt.log_tail()
    );
}

fn kill_engine(engines: &Instance, kind: &str) -> bool {
    engines.engine(kind).is_some_and(|pid| run("kill", &["-9", &pid.to_string()]).status.success())
}

/// The load client, built beside the binary.
fn loadtest() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_forecourt")).with_file_name("forecourt-loadtest");
    assert!(path.exists(), "{} is not built: cargo build --workspace", path.display());
    path
}
