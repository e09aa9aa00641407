//! A real Forecourt for a test: the built binary with its engines on free ports, and outside clients to talk to it.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::needless_pass_by_value, reason = "json! at the call is easier to read without a reference")]

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that a start may take, with Kafka's first format, a cold disk, a long ledger and a busy machine.
const READY_MAX: Duration = Duration::from_secs(240);

/// So that tests start from them.
const SNAPSHOTS_OFTEN: &str = "every = \"5s\"\n";

/// Where a Forecourt finds what its engines' host does not tell.
#[derive(Clone, Copy)]
pub(crate) struct Servers {
    pub(crate) mqtt: u16,
    /// ClickHouse, or what stands before it.
    pub(crate) clickhouse: u16,
}

/// One running instance. Dropping it kills it; its engines end with it.
pub(crate) struct Instance {
    child: Option<Child>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) page: u16,
    pub(crate) kafka: u16,
    pub(crate) mqtt: u16,
    pub(crate) clickhouse: u16,
    pub(crate) log: PathBuf,
    prefix: String,
}

impl Instance {
    /// `serve --embedded` on free ports with its data in `data`; returns when `/readyz` says so and gauges are heard.
    pub(crate) fn embedded(data: &Path) -> Self {
        Self::start(data, &["serve", "--embedded"])
    }

    /// Any mode that brings its engines.
    pub(crate) fn start(data: &Path, mode: &[&str]) -> Self {
        let [page, kafka, _controller, mqtt, clickhouse] = free_ports();
        let mut arguments: Vec<String> = mode.iter().map(ToString::to_string).collect();
        arguments.extend(["--data".into(), data.join("data").display().to_string()]);
        arguments.extend(["--listen".into(), format!("127.0.0.1:{page}"), "--kafka-port".into(), kafka.to_string()]);
        arguments.extend(["--mqtt-port".into(), mqtt.to_string(), "--clickhouse-port".into(), clickhouse.to_string()]);
        let mut instance = Self {
            child: None,
            arguments,
            environment: Vec::new(),
            page,
            kafka,
            mqtt,
            clickhouse,
            log: data.join("forecourt.log"),
            prefix: "fuel".into(),
        };
        instance.launch();
        instance.wait_ready();
        instance
    }

    /// `serve --config` with the engines of `engines`, under a topic prefix and a database of its own.
    pub(crate) fn beside(engines: &Self, data: &Path, prefix: &str, mqtt: u16) -> Self {
        let mut instance = Self::among(engines, data, prefix, Servers { mqtt, clickhouse: engines.clickhouse });
        instance.launch();
        instance.wait_ready();
        instance
    }

    /// As [`Self::beside`], with ClickHouse reached at a port of the caller's choice, and not started yet.
    pub(crate) fn among(engines: &Self, data: &Path, prefix: &str, servers: Servers) -> Self {
        Self::configured(engines, data, prefix, servers, None, SNAPSHOTS_OFTEN)
    }

    /// One of several processes beside `engines` that share the partitions of `prefix`; not started yet.
    pub(crate) fn member(engines: &Self, data: &Path, prefix: &str, name: &str) -> Self {
        let servers = Servers { mqtt: engines.mqtt, clickhouse: engines.clickhouse };
        Self::configured(engines, data, prefix, servers, Some(name), SNAPSHOTS_OFTEN)
    }

    /// Not started yet. `snapshots` are lines of its section of the configuration.
    pub(crate) fn configured(
        engines: &Self,
        data: &Path,
        prefix: &str,
        servers: Servers,
        member: Option<&str>,
        snapshots: &str,
    ) -> Self {
        let [page, ..] = free_ports();
        let name = format!("{prefix}-{}", member.map_or_else(|| page.to_string(), str::to_owned));
        let (client_id, process, shared) = match member {
            Some(member) => {
                (&name, format!("[process]\nname = \"{member}\"\n"), format!("shared_group = \"{prefix}\"\n"))
            }
            None => (&prefix.to_owned(), String::new(), String::new()),
        };
        let Servers { mqtt, clickhouse } = servers;
        let file = data.join(format!("{name}.toml"));
        let text = format!(
            "{process}[kafka]\nbootstrap = \"{}\"\ntopic_prefix = \"{prefix}\"\npartitions = 4\n\
             [mqtt]\nport = {mqtt}\nclient_id = \"{client_id}\"\n{shared}\
             [clickhouse]\nurl = \"http://127.0.0.1:{clickhouse}\"\ndatabase = \"{prefix}\"\n\
             [dashboards]\nlisten = \"127.0.0.1:{page}\"\n[snapshots]\nstore = \"{}\"\n{snapshots}",
            engines.broker(),
            data.join("snapshots").display()
        );
        std::fs::write(&file, text).expect("a configuration file");
        Self {
            child: None,
            arguments: vec!["serve".into(), "--config".into(), file.display().to_string()],
            environment: Vec::new(),
            page,
            kafka: engines.kafka,
            mqtt,
            clickhouse: engines.clickhouse,
            log: data.join(format!("{name}.log")),
            prefix: prefix.to_owned(),
        }
    }

    /// Before it is launched: it has these roles only. Not for a member that has a name.
    pub(crate) fn only(&self, roles: &str) {
        let file = self.arguments.last().expect("a configuration file");
        let text = std::fs::read_to_string(file).expect("it was written");
        std::fs::write(file, format!("[process]\nroles = [{roles}]\n{text}")).expect("it can be written");
    }

    /// Starts the process without waiting.
    pub(crate) fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("a log file");
        let errors = log.try_clone().expect("a second handle");
        // Should it crash, its memory stays beside its log, and `log_tail` tells where it was.
        let child = Command::new("sh")
            .args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_forecourt")])
            .args(&self.arguments)
            .current_dir(self.folder())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
    }

    pub(crate) fn wait_ready(&mut self) {
        let started = Instant::now();
        while started.elapsed() < READY_MAX {
            if let Some(status) = self.child.as_mut().expect("launched").try_wait().expect("a status") {
                panic!("forecourt ended with {status}:\n{}", self.log_tail());
            }
            if let Some(body) = self.try_get("/readyz") {
                let body: Value = serde_json::from_str(&body).expect("JSON");
                let gauges = |part: &Value| part["name"] == "gauges" && part["ok"] == true;
                if body["parts"].as_array().is_some_and(|parts| parts.iter().any(gauges)) {
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("not ready within {READY_MAX:?}: {:?}\n{}", self.get_any("/readyz"), self.log_tail());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// SIGSTOP, SIGCONT.
    pub(crate) fn signal(&self, name: &str) {
        assert!(run("kill", &[&format!("-{name}"), &self.pid().to_string()]).status.success(), "kill -{name}");
    }

    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// How it ended by itself; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut().expect("launched").try_wait().expect("a status")?;
        self.child = None;
        Some(status)
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it is gone");
    }

    /// Ctrl-C; gives how long the end took and whether it was clean.
    pub(crate) fn interrupt(&mut self) -> (Duration, bool) {
        let mut child = self.child.take().expect("it runs");
        let started = Instant::now();
        run("kill", &["-INT", &child.id().to_string()]);
        let status = child.wait().expect("it ends");
        (started.elapsed(), status.success())
    }

    /// Process ids of the engines of this kind (`kafka` or `clickhouse`) that this instance started.
    pub(crate) fn engine(&self, kind: &str) -> Option<u32> {
        let children = run(
            "pgrep",
            &["-P", &self.pid().to_string(), "-f", if kind == "kafka" { "kafka.Kafka" } else { "clickhouse" }],
        );
        String::from_utf8_lossy(&children.stdout).lines().next().and_then(|pid| pid.parse().ok())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.page)
    }

    /// The body of a successful answer.
    pub(crate) fn try_get(&self, path: &str) -> Option<String> {
        let output = run("curl", &["-sf", "--max-time", "5", &self.url(path)]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(crate) fn get_any(&self, path: &str) -> String {
        String::from_utf8_lossy(&run("curl", &["-s", "--max-time", "5", &self.url(path)]).stdout).into_owned()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let body = self.get_any(path);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path} gave no JSON ({error}): {body}"))
    }

    /// Asks ClickHouse over its HTTP port.
    pub(crate) fn clickhouse(&self, query: &str) -> String {
        let url = format!("http://127.0.0.1:{}/", self.clickhouse);
        let output = run("curl", &["-s", "--max-time", "20", &url, "--data-binary", query]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn broker(&self) -> String {
        format!("127.0.0.1:{}", self.kafka)
    }

    /// Sends lines to a topic with kcat. Lines of one key stay in order.
    pub(crate) fn produce(&self, topic: &str, key: &str, lines: &[String]) {
        let mut child = Command::new("kcat")
            .args(["-P", "-b", &self.broker(), "-X", "topic.partitioner=murmur2_random", "-t", topic, "-k", key])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kcat starts");
        let mut input = child.stdin.take().expect("piped");
        for line in lines {
            writeln!(input, "{line}").expect("kcat reads");
        }
        drop(input);
        let output = child.wait_with_output().expect("kcat ends");
        assert!(output.status.success(), "kcat -P -t {topic}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sends each file's bytes as one message.
    pub(crate) fn produce_files(&self, topic: &str, files: &[PathBuf]) {
        let broker = self.broker();
        let mut command = Command::new("kcat");
        command
            .args(["-P", "-b", &broker, "-X", "message.max.bytes=1100000", "-t", topic])
            .args(files)
            .stdin(Stdio::null());
        let output = command.output().expect("kcat starts");
        assert!(output.status.success(), "kcat -P -t {topic}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sends one record without a value.
    pub(crate) fn produce_nothing(&self, topic: &str) {
        let mut child = Command::new("kcat")
            .args(["-P", "-b", &self.broker(), "-Z", "-K", ":", "-t", topic])
            .stdin(Stdio::piped())
            .spawn()
            .expect("kcat starts");
        child.stdin.take().expect("piped").write_all(b"nothing:\n").expect("kcat reads");
        assert!(child.wait().expect("kcat ends").success(), "kcat -Z -t {topic}");
    }

    /// The topic's name under this instance's prefix.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// All that is in a topic now, one line a message in kcat's format.
    pub(crate) fn consume(&self, topic: &str, format: &str) -> Vec<String> {
        let output =
            run("kcat", &["-C", "-b", &self.broker(), "-t", topic, "-o", "beginning", "-e", "-q", "-f", format]);
        assert!(output.status.success(), "kcat -C -t {topic}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// The values of the last few messages of each partition.
    pub(crate) fn consume_last(&self, topic: &str, messages: u32) -> Vec<String> {
        let from = format!("-{messages}");
        let output = run("kcat", &["-C", "-b", &self.broker(), "-t", topic, "-o", &from, "-e", "-q"]);
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Publishes with mosquitto_pub at QoS 1.
    pub(crate) fn publish(&self, topic: &str, payload: &str) {
        let output = run("mosquitto_pub", &["-p", &self.mqtt.to_string(), "-q", "1", "-t", topic, "-m", payload]);
        assert!(output.status.success(), "mosquitto_pub: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn publish_empty(&self, topic: &str) {
        let output = run("mosquitto_pub", &["-p", &self.mqtt.to_string(), "-q", "1", "-t", topic, "-n"]);
        assert!(output.status.success(), "mosquitto_pub: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn publish_file(&self, topic: &str, file: &Path) {
        assert!(self.takes_file(topic, file), "mosquitto_pub -f {}", file.display());
    }

    /// Whether the broker acknowledges a file's bytes.
    pub(crate) fn takes_file(&self, topic: &str, file: &Path) -> bool {
        let (port, file) = (self.mqtt.to_string(), file.display().to_string());
        run("mosquitto_pub", &["-p", &port, "-q", "1", "-t", topic, "-f", &file]).status.success()
    }

    fn folder(&self) -> &Path {
        self.log.parent().expect("a log file has a folder")
    }

    /// The last that it said; where it was, if it crashed and gdb is there to tell.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n") + &self.crashed_at()
    }

    fn crashed_at(&self) -> String {
        let files = std::fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let Some(core) = files.map(|file| file.path()).find(|path| {
            path.file_name().is_some_and(|name| name == "core" || name.to_string_lossy().starts_with("core."))
        }) else {
            return String::new();
        };
        let told = Command::new("gdb")
            .args(["-batch", "-nx", "-ex", "bt 40", "-ex", "info registers"])
            .args([Path::new(env!("CARGO_BIN_EXE_forecourt")), &core])
            .output();
        match told {
            Ok(told) => format!("\nit crashed:\n{}", String::from_utf8_lossy(&told.stdout)),
            Err(error) => format!("\nit crashed; gdb could tell where ({error})"),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until `attempt` gives something, or panics with `what`.
pub(crate) fn eventually<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(started.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run ({error}): deploy/setup test installs it"))
}

/// Ports that nobody uses at this moment; the second and third follow each other. All below the range from which the system
/// takes the ports of clients: a client that calls a server which is down would otherwise sometimes reach itself.
pub(crate) fn free_ports() -> [u16; 5] {
    const FIRST: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 1_000).expect("below 1,000") * 10;
    loop {
        let at = FIRST + (start + NEXT.fetch_add(5, Ordering::Relaxed)) % 12_000;
        let ports = [at, at + 1, at + 2, at + 3, at + 4];
        if ports.iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return ports;
        }
    }
}

/// A command of the back office as JSON.
pub(crate) fn command(idem: &str, contract: &str, command: Value) -> String {
    serde_json::json!({ "v": 1, "idem": idem, "author": "test", "at_us": now_us(), "contract": contract, "command": command }).to_string()
}

/// A single-leg sale of diesel as JSON.
pub(crate) fn sale(idem: &str, card: &str, qty_ml: u64) -> Value {
    serde_json::json!({
        "v": 1, "idem": idem, "kind": "sale", "site": "S-1", "terminal": "T-1", "pump": 4,
        "local_time": local_time(), "utc_offset_min": 0, "card": { "token": card },
        "items": [{ "code": "DIESEL", "unit": "L", "qty_ml": qty_ml, "price_e4": 2_950_000 }], "currency": "KZT"
    })
}

pub(crate) fn now_us() -> u64 {
    u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_micros())
        .expect("fits")
}

/// The wall clock of a terminal in UTC, as `date` prints it.
pub(crate) fn local_time() -> String {
    String::from_utf8_lossy(&run("date", &["-u", "+%Y-%m-%dT%H:%M:%S"]).stdout).trim().to_owned()
}
