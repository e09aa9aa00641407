//! An outside load on a Forecourt whose servers die, and the judgement afterwards: every request one decision, balances as
//! the requests imply, ClickHouse's rows equal to the logs, no acknowledged reading missing.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::instance::{Instance, eventually, run};

/// Opening the fleet may have to wait for a server's restart.
const OPEN_WITHIN: Duration = Duration::from_secs(120);

/// A small generator (xorshift64*), so that a seed names a run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// A client of the load, ended when dropped. It writes what it says and finds into its folder.
pub(crate) struct Client {
    child: Child,
    log: PathBuf,
}

impl Client {
    fn start(name: &str, folder: &Path, arguments: &[String]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).expect("a log");
        let child = Command::new(loadtest())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("the load starts");
        Self { child, log }
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// What it said; an error when it found something wrong or failed.
    pub(crate) fn finish(mut self) -> Result<String, String> {
        let status = self.child.wait().expect("the load ends");
        if status.success() { Ok(self.said()) } else { Err(self.said()) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How much, and for how long.
pub(crate) struct Amount {
    pub(crate) transactions_per_s: u64,
    pub(crate) seconds: u64,
}

/// What a load reaches and where it writes.
pub(crate) struct Reach<'a> {
    pub(crate) engines: &'a Instance,
    pub(crate) forecourt: &'a Instance,
    pub(crate) prefix: &'a str,
    pub(crate) folder: &'a Path,
}

impl Reach<'_> {
    fn journal(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    fn acknowledged(&self) -> PathBuf {
        self.folder.join("acknowledged.txt")
    }

    fn servers(&self) -> Vec<String> {
        let Instance { clickhouse, .. } = self.engines;
        let mut arguments = words(&["--bootstrap", &self.engines.broker(), "--topic-prefix", self.prefix]);
        arguments.extend(words(&["--clickhouse", &format!("http://127.0.0.1:{clickhouse}")]));
        arguments.extend(words(&["--database", self.prefix]));
        arguments
    }

    /// Purchases and orders; returns when contracts and cards are open.
    pub(crate) fn load(&self, amount: &Amount) -> Client {
        let mut arguments = words(&["run", "--through-faults", "--without", "mqtt", "--contracts", "40"]);
        arguments.extend(self.servers());
        arguments.extend(words(&["--cards", "1000", "--warmup", "1", "--drain", "120"]));
        arguments.extend(words(&["--url", &self.forecourt.url("")]));
        arguments.extend(words(&["--transactions-per-s", &amount.transactions_per_s.to_string()]));
        arguments.extend(words(&["--seconds", &amount.seconds.to_string()]));
        arguments.extend(words(&["--journal", &self.journal().display().to_string()]));
        arguments.extend(words(&["--json", &self.folder.join("load.json").display().to_string()]));
        let mut load = Client::start("load", self.folder, &arguments);
        eventually("the load's cards are open", OPEN_WITHIN, || {
            let said = load.said();
            assert!(load.runs(), "the load ended:\n{said}");
            said.contains("fleet is open").then_some(())
        });
        load
    }

    /// Gauges that count; `more` are further arguments.
    pub(crate) fn gauges(&self, seconds: u64, more: &[&str]) -> Client {
        let mut arguments = words(&["gauges", "--mqtt", &format!("127.0.0.1:{}", self.forecourt.mqtt)]);
        arguments.extend(words(&["--seconds", &seconds.to_string()]));
        arguments.extend(words(&["--acknowledged", &self.acknowledged().display().to_string()]));
        arguments.extend(words(more));
        Client::start("gauges", self.folder, &arguments)
    }

    /// The longest time without a decision, as the load saw it.
    pub(crate) fn longest_silence(&self) -> Duration {
        let figures: Value = std::fs::read(self.folder.join("load.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Duration::from_millis(figures["longest_silence_ms"].as_u64().unwrap_or(0))
    }

    /// Compares logs, balances and rows with what was sent.
    pub(crate) fn verify(&self) -> Verdict {
        let json = self.folder.join("verify.json");
        let mut arguments = words(&["verify", "--wait", "180"]);
        arguments.extend(self.servers());
        arguments.extend(words(&["--since", &self.journal().display().to_string()]));
        arguments.extend(words(&["--json", &json.display().to_string()]));
        if self.acknowledged().exists() {
            arguments.extend(words(&["--acknowledged", &self.acknowledged().display().to_string()]));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&loadtest().display().to_string(), &arguments);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
        let figures = std::fs::read(json).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Verdict { good: output.status.success(), said, figures: figures.unwrap_or_default() }
    }
}

pub(crate) struct Verdict {
    pub(crate) good: bool,
    pub(crate) said: String,
    /// As `verify --json` writes them; null when it could not find out.
    pub(crate) figures: Value,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// The load client, built beside the binary.
pub(crate) fn loadtest() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_forecourt")).with_file_name("forecourt-loadtest");
    assert!(path.exists(), "{} is not built: cargo build --workspace", path.display());
    path
}

/// How often each was killed.
#[derive(Default)]
pub(crate) struct Killed {
    pub(crate) forecourt: u32,
    pub(crate) kafka: u32,
    pub(crate) clickhouse: u32,
    pub(crate) all: u32,
}

/// Kills one after the other, or all, at random moments, and lets them come back.
pub(crate) fn kill_at_random(
    crashes: u64,
    random: &mut Random,
    engines: &mut Instance,
    forecourt: &mut Instance,
) -> Killed {
    let mut killed = Killed::default();
    for _ in 0..crashes {
        std::thread::sleep(Duration::from_millis(500 + random.below(3_000)));
        match random.below(8) {
            0..=3 => {
                forecourt.kill();
                forecourt.launch();
                killed.forecourt += 1;
                // Sometimes again before it is ready.
                if random.below(3) > 0 {
                    forecourt.wait_ready();
                }
            }
            4 | 5 => killed.kafka += u32::from(kill_engine(engines, "kafka")),
            6 => killed.clickhouse += u32::from(kill_engine(engines, "clickhouse")),
            _ => {
                engines.kill();
                forecourt.kill();
                engines.launch();
                engines.wait_ready();
                forecourt.launch();
                forecourt.wait_ready();
                killed.all += 1;
            }
        }
    }
    engines.wait_ready();
    forecourt.wait_ready();
    killed
}

pub(crate) fn kill_engine(engines: &Instance, kind: &str) -> bool {
    engines.engine(kind).is_some_and(|pid| run("kill", &["-9", &pid.to_string()]).status.success())
}
