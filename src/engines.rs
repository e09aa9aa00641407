//! The engines that the binary brings: MQTT (rumqttd) in-process, Apache Kafka and ClickHouse as managed child processes.
//!
//! In: a data directory, the engines' cache, ports. Out: three real servers on their real ports, with their states.
//! Guarantees: one process per data directory; children die with this process; what is missing or taken is said at
//! the start, with what to do about it. Does not: know topics, tables or readings.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by it"))]

pub(crate) mod child;
mod clickhouse;
pub(crate) mod directory;
mod kafka;
mod mqtt;
mod process;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use child::{Child, State};
use directory::DirectoryLock;

/// Where the engines live and listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineSettings {
    /// Kafka's log, ClickHouse's tables, the engines' log files.
    pub(crate) data_dir: PathBuf,
    /// What `deploy/engines/fetch` has filled.
    pub(crate) engines_dir: PathBuf,
    /// Where all three listen. There is no password on any of them: loopback, unless the network is closed.
    pub(crate) bind: IpAddr,
    pub(crate) kafka_port: u16,
    /// `None`: the port after Kafka's, or any free one. Always on loopback.
    pub(crate) kafka_controller_port: Option<u16>,
    pub(crate) mqtt_port: u16,
    pub(crate) clickhouse_port: u16,
}

impl EngineSettings {
    /// The engines' usual ports, on loopback.
    pub(crate) fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            engines_dir: default_engines_dir(),
            bind: Ipv4Addr::LOCALHOST.into(),
            kafka_port: 9092,
            kafka_controller_port: None,
            mqtt_port: 1883,
            clickhouse_port: 8123,
        }
    }

    pub(crate) fn kafka_address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.kafka_port)
    }

    pub(crate) fn mqtt_address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.mqtt_port)
    }

    pub(crate) fn clickhouse_address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.clickhouse_port)
    }
}

/// `$FORECOURT_ENGINES`, or `forecourt` in the user's cache: the same as in `deploy/engines/fetch`.
pub(crate) fn default_engines_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("FORECOURT_ENGINES").unwrap_or_else(|| {
        variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(|| PathBuf::from(".cache"))
            .join("forecourt")
    })
}

/// Cut by what the user has to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Directory(#[from] directory::LockError),
    #[error("{engine} cannot listen on {address}: {why}; choose another port with {option}")]
    Port { engine: &'static str, address: SocketAddr, why: String, option: &'static str },
    #[error("{engine} is not there ({}); run deploy/engines/fetch to get it", .path.display())]
    NotFetched { engine: &'static str, path: PathBuf },
    #[error(
        "Java is missing: Kafka needs version 17 or newer (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)"
    )]
    JavaMissing,
    #[error(
        "{} is Java {version}, Kafka needs 17 or newer; install it (Debian, Ubuntu: apt-get install openjdk-17-jre-headless) or point JAVA_HOME to it", .java.display()
    )]
    JavaTooOld { java: PathBuf, version: String },
    #[error("{engine} ended at its start ({how}); the end of its log {}:\n{tail}", .log.display())]
    Ended { engine: &'static str, how: String, log: PathBuf, tail: String },
    #[error("{engine} cannot be used: {why}")]
    Unusable { engine: &'static str, why: String },
    #[error("cannot {what}")]
    Io { what: String, source: std::io::Error },
    #[error("the {engine} thread broke")]
    Broken { engine: &'static str },
}

/// The running engines.
pub(crate) struct Engines {
    kafka: Child,
    clickhouse: Child,
    mqtt_state: watch::Receiver<State>,
    /// Dropped last: the directory is free when the engines are gone.
    _lock: DirectoryLock,
}

/// The engines' states, for `/readyz`.
#[derive(Clone, Debug)]
pub(crate) struct EngineStates {
    pub(crate) mqtt: watch::Receiver<State>,
    pub(crate) kafka: watch::Receiver<State>,
    pub(crate) clickhouse: watch::Receiver<State>,
}

impl EngineStates {
    /// Name and state of each.
    pub(crate) fn now(&self) -> [(&'static str, State); 3] {
        [
            ("mqtt", self.mqtt.borrow().clone()),
            ("kafka", self.kafka.borrow().clone()),
            ("clickhouse", self.clickhouse.borrow().clone()),
        ]
    }
}

impl Engines {
    /// Starts all three at the same time and returns when all are ready. Blocks for seconds; `progress` gets a line at
    /// each step.
    pub(crate) fn start(settings: &EngineSettings, progress: &(dyn Fn(&str) + Sync)) -> Result<Self, Error> {
        let lock = directory::lock(&settings.data_dir)?;
        let io = |what: String| move |source| Error::Io { what, source };
        let data = settings
            .data_dir
            .canonicalize()
            .map_err(io(format!("open the data directory {}", settings.data_dir.display())))?;
        let logs = data.join("logs");
        std::fs::create_dir_all(&logs).map_err(io(format!("make {}", logs.display())))?;
        check_port("Kafka", settings.kafka_address(), "--kafka-port")?;
        check_port("MQTT", settings.mqtt_address(), "--mqtt-port")?;
        check_port("ClickHouse", settings.clickhouse_address(), "--clickhouse-port")?;

        let start_kafka = || {
            let kafka = kafka::Kafka {
                engines: settings.engines_dir.clone(),
                data: data.join("kafka"),
                log: logs.join("kafka.log"),
                address: settings.kafka_address(),
                controller_port: settings.kafka_controller_port,
            };
            timed("Kafka", settings.kafka_address(), progress, || Child::start(kafka.plan()?))
        };
        let start_clickhouse = || {
            timed("ClickHouse", settings.clickhouse_address(), progress, || {
                Child::start(clickhouse::plan(
                    &settings.engines_dir,
                    data.join("clickhouse"),
                    logs.join("clickhouse.log"),
                    settings.clickhouse_address(),
                )?)
            })
        };
        let start_mqtt = || timed("MQTT", settings.mqtt_address(), progress, || mqtt::start(settings.mqtt_address()));
        let (kafka, clickhouse, mqtt) = std::thread::scope(|scope| {
            let kafka = scope.spawn(start_kafka);
            let clickhouse = scope.spawn(start_clickhouse);
            let mqtt = start_mqtt();
            (kafka.join(), clickhouse.join(), mqtt)
        });
        let kafka = kafka.unwrap_or(Err(Error::Broken { engine: "Kafka" }));
        let clickhouse = clickhouse.unwrap_or(Err(Error::Broken { engine: "ClickHouse" }));
        match (kafka, clickhouse, mqtt) {
            (Ok(kafka), Ok(clickhouse), Ok(())) => {
                let (mqtt_sender, mqtt_state) = watch::channel(State::Ready);
                watch_mqtt(settings.mqtt_address(), mqtt_sender)?;
                Ok(Self { kafka, clickhouse, mqtt_state, _lock: lock })
            }
            (kafka, clickhouse, mqtt) => {
                let mut first = mqtt.err();
                for child in [kafka, clickhouse] {
                    match child {
                        Ok(child) => stop_all([child]),
                        Err(error) => first = first.or(Some(error)),
                    }
                }
                Err(first.unwrap_or(Error::Broken { engine: "engines" }))
            }
        }
    }

    pub(crate) fn states(&self) -> EngineStates {
        EngineStates { mqtt: self.mqtt_state.clone(), kafka: self.kafka.state(), clickhouse: self.clickhouse.state() }
    }

    /// Ends Kafka and ClickHouse at the same time; takes less than four seconds. The MQTT broker ends with the process.
    pub(crate) fn stop(self) {
        stop_all([self.kafka, self.clickhouse]);
    }
}

fn stop_all<const COUNT: usize>(children: [Child; COUNT]) {
    for child in &children {
        child.begin_stop();
    }
    for child in children {
        child.finish_stop();
    }
}

fn timed<T>(
    name: &str,
    address: SocketAddr,
    progress: &(dyn Fn(&str) + Sync),
    start: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    progress(&format!("starting {name} on {address} …"));
    let started = Instant::now();
    let result = start()?;
    progress(&format!("{name} ready on {address} after {:.1} s", started.elapsed().as_secs_f64()));
    Ok(result)
}

/// A port that is taken would otherwise show as an engine that does not start. The engine of a Forecourt that was killed a
/// moment ago may still be going: its port gets a few seconds to become free.
fn check_port(engine: &'static str, address: SocketAddr, option: &'static str) -> Result<(), Error> {
    const FREE_WITHIN: Duration = Duration::from_secs(3);
    let asked = Instant::now();
    loop {
        let why = match TcpListener::bind(address) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && asked.elapsed() < FREE_WITHIN => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => "another program has the port".to_owned(),
            Err(error) => error.to_string(),
        };
        return Err(Error::Port { engine, address, why, option });
    }
}

/// The broker has no supervisor, so somebody has to ask it now and then whether it still answers.
fn watch_mqtt(address: SocketAddr, state: watch::Sender<State>) -> Result<(), Error> {
    const ASK_EVERY: Duration = Duration::from_secs(5);
    std::thread::Builder::new()
        .name("mqtt watcher".to_owned())
        .spawn(move || {
            while !state.is_closed() {
                std::thread::sleep(ASK_EVERY);
                let now = match mqtt::answers(address) {
                    Ok(true) => State::Ready,
                    Ok(false) => State::Restarting("the broker refuses connections".to_owned()),
                    Err(error) => State::Restarting(format!("the broker does not answer: {error}")),
                };
                state.send_if_modified(|before| {
                    let changed = *before != now;
                    if changed {
                        tracing::warn!(?now, "the MQTT broker's state changed");
                        *before = now;
                    }
                    changed
                });
            }
        })
        .map(drop)
        .map_err(|source| Error::Io { what: "start a thread".to_owned(), source })
}
