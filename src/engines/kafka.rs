//! Apache Kafka as a managed child: one node that is broker and controller, on loopback.
//!
//! In: the jars that `deploy/engines/fetch` left, Java 17 or newer, a data directory, ports. Out: a broker that any Kafka
//! client can use. Guarantees: the storage is formatted once and the cluster id kept; committed positions are kept for
//! ten years, because a reader that lost its position would start anew. Does not: survive a power failure with the
//! last records (one node, no flush per record), create topics by itself.

use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::Error;
use super::child::Plan;

/// As in `deploy/engines/pom.xml`.
pub(super) const VERSION: &str = "4.3.1";
const JAVA_MIN: u32 = 17;
/// A record may be this large with everything around it.
const MESSAGE_BYTES_MAX: u32 = 1_258_291;
const POSITIONS_KEPT_MINUTES: u32 = 10 * 366 * 24 * 60;
const READY_WITHIN: Duration = Duration::from_secs(90);
const STOP_WITHIN: Duration = Duration::from_millis(2500);

#[derive(Clone, Debug)]
pub(super) struct Kafka {
    pub(super) engines: PathBuf,
    /// Its own directory, made if it is not there.
    pub(super) data: PathBuf,
    pub(super) log: PathBuf,
    pub(super) address: SocketAddr,
    /// `None`: the port after the broker's, or any free one.
    pub(super) controller_port: Option<u16>,
}

impl Kafka {
    /// Checks what is needed and formats the storage if it is new.
    pub(super) fn plan(self) -> Result<Plan, Error> {
        let jars = self.jars()?;
        let java = java()?;
        let properties = self.data.join("server.properties");
        let io = |what: String| move |source| Error::Io { what, source };
        std::fs::create_dir_all(&self.data).map_err(io(format!("make {}", self.data.display())))?;
        if self.data.to_string_lossy().contains(',') {
            return Err(Error::Unusable {
                engine: "Kafka",
                why: format!("its data directory {} has a comma in its name", self.data.display()),
            });
        }
        if !self.storage().join("meta.properties").is_file() {
            self.write(&properties)?;
            format_storage(&java, &jars, &properties)?;
        }
        let (address, log) = (self.address, self.log.clone());
        Ok(Plan {
            name: "Kafka",
            log,
            command: Box::new(move || {
                self.write(&properties)?;
                let mut command = Command::new(&java);
                command
                    .args([
                        "-Xms256m",
                        "-Xmx512m",
                        "-XX:+UseG1GC",
                        "-XX:MaxGCPauseMillis=20",
                        "-XX:+ExitOnOutOfMemoryError",
                    ])
                    .args(LOGGING)
                    .arg("-cp")
                    .arg(&jars)
                    .arg("kafka.Kafka")
                    .arg(&properties)
                    .current_dir(&self.data);
                Ok(command)
            }),
            ready: Box::new(move || answers(address)),
            ready_within: READY_WITHIN,
            stop_within: STOP_WITHIN,
        })
    }

    fn jars(&self) -> Result<String, Error> {
        let directory = self.engines.join(format!("kafka-{VERSION}"));
        if !directory.join(format!("kafka_2.13-{VERSION}.jar")).is_file() {
            return Err(Error::NotFetched { engine: "Kafka", path: directory });
        }
        Ok(format!("{}/*", directory.display()))
    }

    fn storage(&self) -> PathBuf {
        self.data.join("log")
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        let controller = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.free_controller_port());
        std::fs::write(path, properties(self.address, controller, &self.storage()))
            .map_err(|source| Error::Io { what: format!("write {}", path.display()), source })
    }

    /// Nobody but this broker speaks to its controller, so any port will do; the voters are named anew at each start.
    fn free_controller_port(&self) -> u16 {
        let next = self.address.port().checked_add(1);
        if let Some(port) = self.controller_port {
            return port;
        }
        let free =
            |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr());
        next.and_then(|port| free(port).ok())
            .or_else(|| free(0).ok())
            .map_or_else(|| next.unwrap_or(self.address.port() - 1), |address| address.port())
    }
}

/// slf4j's smallest binding writes to stderr, which is the log file: warnings, and the words of start and stop.
const LOGGING: &[&str] = &[
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
];

fn properties(address: SocketAddr, controller: SocketAddr, storage: &Path) -> String {
    let advertised = match address.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()),
        _ => address,
    };
    let lines = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("controller.quorum.voters", format!("1@{controller}")),
        ("listeners", format!("PLAINTEXT://{address},CONTROLLER://{controller}")),
        ("advertised.listeners", format!("PLAINTEXT://{advertised}")),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned()),
        ("log.dirs", escaped(&storage.to_string_lossy())),
        // Topics have settings that matter: they are made on purpose or not at all.
        ("auto.create.topics.enable", "false".to_owned()),
        ("offsets.retention.minutes", POSITIONS_KEPT_MINUTES.to_string()),
        ("message.max.bytes", MESSAGE_BYTES_MAX.to_string()),
        ("replica.fetch.max.bytes", MESSAGE_BYTES_MAX.to_string()),
        // One node.
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        // A small machine, shared with those who use the broker.
        ("num.network.threads", "2".to_owned()),
        ("num.io.threads", "4".to_owned()),
        ("background.threads", "4".to_owned()),
        ("group.coordinator.threads", "2".to_owned()),
        ("log.cleaner.dedupe.buffer.size", "16777216".to_owned()),
        // After a kill the controller takes the broker for alive until its session ends; the defaults would make the
        // restart wait for nine seconds, and the first heartbeat for two.
        ("broker.session.timeout.ms", "5000".to_owned()),
        ("broker.heartbeat.interval.ms", "500".to_owned()),
        // Members of a group are there at once or come later; nobody waits for them.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
    ];
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}={value}");
        text
    })
}

/// A value in a Java properties file, which is read as Latin-1.
fn escaped(value: &str) -> String {
    value.encode_utf16().fold(String::new(), |mut text, unit| {
        match char::from_u32(unit.into()) {
            Some('\\') => text.push_str("\\\\"),
            Some(character) if character.is_ascii() => text.push(character),
            _ => drop(write!(text, "\\u{unit:04x}")),
        }
        text
    })
}

fn format_storage(java: &Path, jars: &str, properties: &Path) -> Result<(), Error> {
    let output = Command::new(java)
        .args([
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            jars,
        ])
        .args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", &new_cluster_id(), "-c"])
        .arg(properties)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Io { what: format!("start {}", java.display()), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].join("\n");
    Err(Error::Unusable { engine: "Kafka", why: format!("its storage could not be formatted:\n{}", said.trim()) })
}

/// 128 random bits in URL-safe base64 without padding, as Kafka writes them.
fn new_cluster_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random = || std::hash::RandomState::new().hash_one(std::process::id());
    // 22 digits of 6 bits hold 132; Kafka wants the last 4 to be zero. A leading dash would look like an option.
    let bits = (u128::from(random() >> 1) << 64 | u128::from(random())).wrapping_add(1);
    (0..22_u32)
        .map(|digit| {
            let shift = 122_i64 - 6 * i64::from(digit);
            let six = if shift >= 0 { bits >> shift } else { bits << -shift };
            char::from(ALPHABET[(six & 63) as usize])
        })
        .collect()
}

/// The Java to use: `JAVA_HOME`'s, or the one in the path.
fn java() -> Result<PathBuf, Error> {
    let java = std::env::var_os("JAVA_HOME")
        .map(|home| PathBuf::from(home).join("bin/java"))
        .filter(|java| java.is_file())
        .unwrap_or_else(|| PathBuf::from("java"));
    let output = Command::new(&java).arg("-version").stdin(Stdio::null()).output().map_err(|_| Error::JavaMissing)?;
    let said = String::from_utf8_lossy(&output.stderr);
    match java_major(&said) {
        Some(major) if major >= JAVA_MIN => Ok(java),
        found => Err(Error::JavaTooOld {
            java,
            version: found
                .map_or_else(|| said.lines().next().unwrap_or("nothing").to_owned(), |major| major.to_string()),
        }),
    }
}

/// `openjdk version "17.0.15" …` is 17, `java version "1.8.0_402"` is 8.
fn java_major(said: &str) -> Option<u32> {
    let version = said.split("version \"").nth(1)?;
    let mut numbers = version.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        major => Some(major),
    }
}

/// Whether the broker tells where it is: a port that listens is not yet a broker.
fn answers(address: SocketAddr) -> bool {
    if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        return false;
    }
    let client: Result<BaseConsumer, _> = ClientConfig::new().set("bootstrap.servers", address.to_string()).create();
    client
        .and_then(|client| client.fetch_metadata(None, Duration::from_secs(1)))
        .is_ok_and(|metadata| !metadata.brokers().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_fetched() {
        let pom = include_str!("../../deploy/engines/pom.xml");
        assert!(pom.contains(&format!("<kafka.version>{VERSION}</kafka.version>")));
    }

    #[test]
    fn java_tells_its_version_in_two_ways() {
        assert_eq!(java_major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(java_major("java version \"1.8.0_402\""), Some(8));
        assert_eq!(java_major("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(java_major("command not found"), None);
    }

    #[test]
    fn a_cluster_id_has_22_digits_and_never_looks_like_an_option() {
        for _ in 0..1000 {
            let id = new_cluster_id();
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with('-'), "{id}");
            assert!("AQgw".contains(&id[21..]), "{id}");
        }
    }

    #[test]
    fn a_path_of_any_alphabet_reaches_java_whole() {
        assert_eq!(escaped("/srv/АЗС 1\\x"), "/srv/\\u0410\\u0417\\u0421 1\\\\x");
    }

    #[test]
    fn a_broker_that_listens_everywhere_names_loopback() {
        let text = properties("0.0.0.0:9092".parse().unwrap(), "127.0.0.1:9093".parse().unwrap(), Path::new("/d"));
        assert!(text.contains("\nadvertised.listeners=PLAINTEXT://127.0.0.1:9092\n"), "{text}");
        assert!(text.contains("\nlisteners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093\n"), "{text}");
    }
}
