//! The binary: command line, configuration, wiring, the engines that it brings, shutdown. No domain code.

mod audit;
mod clickhouse;
mod config;
mod engines;
mod explain;
mod flows;
mod import;
mod ledger;
mod owner;
mod priority;
mod reading;
mod register;
mod serve;
mod snapshots;
mod stations;
mod strapping;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::sync::watch;

use crate::config::Config;
use crate::engines::child::State;
use crate::engines::{EngineSettings, EngineStates, Engines};

/// Threads hand requests and records to each other: what one allocates another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ASKED_EVERY: Duration = Duration::from_millis(500);
/// The embedded MQTT broker tells each connection's life, librdkafka each attempt to connect; our own parts say it once.
const LOG_FILTER: &str = "info,rumqttd=off,rdkafka=off,librdkafka=off";

/// Real-time telemetry and transaction stream processor for fuel networks
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a simulated fuel network through everything, with a live page at http://localhost:8080
    Demo(Demo),
    /// Run Forecourt, with engines that it brings (--embedded) or with yours (--config FILE)
    Serve(Serve),
    /// Say why a purchase with a card would pass or fail, from what the ledger holds
    Explain(explain::Options),
    /// Prove from the ledger that every account adds up, and show what is open with the bank
    Audit(audit::Options),
    /// Match top-ups with the bank's register from a CSV file
    Register(register::Options),
    /// Take tank readings from a CSV file that a device or a program exported
    Import(import::Options),
    /// Make a strapping table from CSV or a console's reply ready for a tank's registration
    Strapping(strapping::Options),
    /// Show, check or rebuild the snapshots with which a start begins
    Snapshot(snapshots::command::Options),
    /// Run the ClickHouse engine alone, behind ClickHouse's HTTP protocol
    Clickhouse(clickhouse::Options),
}

#[derive(Args)]
struct Demo {
    /// Decides every choice of the simulation: the same seed, the same network
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many simulated seconds pass in a real one
    #[arg(long, default_value_t = 60.0, value_parser = speed)]
    speed: f64,
    /// Where everything is kept; a second start goes on from there
    #[arg(long, value_name = "DIR", default_value = "forecourt-demo")]
    data: PathBuf,
    #[command(flatten)]
    ports: Ports,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["embedded", "config"]))]
struct Serve {
    /// Bring an MQTT broker, Apache Kafka and the ClickHouse engine, and end them with this process
    #[arg(long)]
    embedded: bool,
    /// Use the engines that this TOML file names (deploy/forecourt.toml shows every key)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration and end
    #[arg(long, requires = "config")]
    check: bool,
    /// Where the embedded engines keep their data
    #[arg(long, value_name = "DIR", default_value = "forecourt-data")]
    data: PathBuf,
    #[command(flatten)]
    ports: Ports,
}

/// Addresses of the embedded engines and of the page. All on loopback unless told otherwise.
#[derive(Args)]
struct Ports {
    /// Where the page and the API listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Port of the embedded Kafka (the next one is its controller's)
    #[arg(long, value_name = "PORT", default_value_t = 9092)]
    kafka_port: u16,
    /// Port of the embedded MQTT broker
    #[arg(long, value_name = "PORT", default_value_t = 1883)]
    mqtt_port: u16,
    /// Port of the embedded ClickHouse engine
    #[arg(long, value_name = "PORT", default_value_t = 8123)]
    clickhouse_port: u16,
    /// Where Kafka's jars and the ClickHouse library lie (deploy/engines/fetch puts them into the user's cache)
    #[arg(long, value_name = "DIR", env = "FORECOURT_ENGINES")]
    engines: Option<PathBuf>,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.1..=3600.0).contains(&speed) => Ok(speed),
        _ => Err("a number from 0.1 to 3600 is expected".into()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        // What is wrong was said.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("forecourt: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False when the command did what it was asked to, and found that something is wrong.
fn run() -> anyhow::Result<bool> {
    let arguments = Arguments::parse();
    // A part that dies alone would leave wrong sums: all ends, and a restart replays.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG_FILTER)),
        )
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match arguments.command {
        Command::Demo(demo) => runtime()?.block_on(run_demo(demo))?,
        Command::Serve(Serve { config: Some(file), check: true, .. }) => {
            Config::read(&file)?;
            println!("{} is valid", file.display());
        }
        Command::Serve(serve) => runtime()?.block_on(run_serve(serve))?,
        Command::Explain(options) => explain::run(&options)?,
        Command::Audit(options) => return audit::run(&options),
        Command::Register(options) => return register::run(&options),
        Command::Import(options) => return import::run(&options),
        Command::Strapping(options) => return strapping::run(&options),
        Command::Snapshot(options) => return snapshots::command::run(&options),
        Command::Clickhouse(options) => clickhouse::run(&options)?,
    }
    Ok(true)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the async runtime cannot start")
}

async fn run_serve(serve: Serve) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    match serve.config {
        Some(file) => run_all(Config::read(&file)?, None, None, stop).await,
        None => {
            let (config, settings) = embedded(&serve.ports, serve.data);
            run_all(config, Some(settings), None, stop).await
        }
    }
}

async fn run_demo(demo: Demo) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let state_file = demo.data.join("simulated-network.json");
    let (mut config, settings) = embedded(&demo.ports, demo.data);
    // Simulated clocks run ahead of ours.
    config.ledger.clock_skew_max = None;
    config.stations.clock_ahead_max = None;
    let network = loadtest::network::NetworkConfig {
        bootstrap: config.kafka.bootstrap.clone(),
        topic_prefix: config.kafka.topic_prefix.clone(),
        partitions: config.kafka.partitions,
        mqtt_host: config.mqtt.host.clone(),
        mqtt_port: config.mqtt.port,
        seed: demo.seed,
        speed: demo.speed,
        state_file,
        clock: Arc::default(),
    };
    run_all(config, Some(settings), Some(network), stop).await
}

/// Starts the engines when there are any to bring, then all roles, then the simulated network; ends in the opposite order.
async fn run_all(
    config: Config,
    engines: Option<EngineSettings>,
    network: Option<loadtest::network::NetworkConfig>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let config = config.validate()?;
    let metrics =
        metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().context("metrics cannot start")?;
    let render_metrics = Arc::new(move || metrics.render());
    let health = dashboards::Health::default();
    let listen = config.dashboards.listen;
    let page = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("the page cannot listen on {listen}; choose another address with --listen"))?;
    let engines = match engines {
        Some(settings) => {
            let started = tokio::task::spawn_blocking(move || {
                Engines::start(&settings, &|line| eprintln!("{line}")).map_err(anyhow::Error::from)
            });
            Some(started.await??)
        }
        None => None,
    };
    if let Some(engines) = &engines {
        tokio::spawn(report_engines(engines.states(), health.clone(), stop.clone()));
    }
    let clock = network.as_ref().map_or_else(ingest::Clock::default, |network| {
        // What gauges send is new by their clocks.
        ingest::Clock::simulated(network.clock.clone())
    });
    let simulated = network.map(|network| tokio::spawn(simulate(network, health.clone(), stop.clone())));
    eprintln!("Forecourt is at http://localhost:{} (Ctrl-C ends it)", listen.port());
    let mut stopped = stop.clone();
    let result = serve::run(config, page, health.clone(), render_metrics, clock, async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    })
    .await;
    if let Some(simulated) = simulated {
        let _ = simulated.await;
    }
    if let Some(engines) = engines {
        tokio::task::spawn_blocking(move || engines.stop()).await?;
    }
    result
}

/// The network is an outside program that happens to run in this process: its trouble is its own.
async fn simulate(network: loadtest::network::NetworkConfig, health: dashboards::Health, stop: watch::Receiver<bool>) {
    while !health.waiting_for().is_empty() && !*stop.borrow() {
        tokio::time::sleep(ASKED_EVERY / 5).await;
    }
    if let Err(error) = loadtest::network::run(network, stop).await {
        tracing::error!("the simulated network ended: {error:#}");
    }
}

/// Keeps `/readyz` and the page told of the engines.
async fn report_engines(states: EngineStates, health: dashboards::Health, mut stop: watch::Receiver<bool>) {
    for (name, _) in states.now() {
        health.require(name);
    }
    while !*stop.borrow() {
        for (name, state) in states.now() {
            let detail = match &state {
                State::Starting => "starting".to_owned(),
                State::Ready => "ready".to_owned(),
                State::Restarting(why) => format!("starting again: {why}"),
                State::Stopped => "stopped".to_owned(),
            };
            health.set(name, state == State::Ready, detail);
        }
        let _ = tokio::time::timeout(ASKED_EVERY, stop.changed()).await;
    }
}

/// Settings for engines on this machine.
fn embedded(ports: &Ports, data: PathBuf) -> (Config, EngineSettings) {
    let mut config = Config::default();
    config.kafka.bootstrap = format!("127.0.0.1:{}", ports.kafka_port);
    config.kafka.partitions = 4;
    config.mqtt.port = ports.mqtt_port;
    config.clickhouse.url = format!("http://127.0.0.1:{}", ports.clickhouse_port);
    config.dashboards.listen = ports.listen;
    config.snapshots.store = data.join("snapshots").display().to_string();
    let usual = EngineSettings::new(data);
    let settings = EngineSettings {
        engines_dir: ports.engines.clone().unwrap_or_else(|| usual.engines_dir.clone()),
        kafka_port: ports.kafka_port,
        mqtt_port: ports.mqtt_port,
        clickhouse_port: ports.clickhouse_port,
        ..usual
    };
    (config, settings)
}

/// Becomes true at Ctrl-C or SIGTERM; a second signal ends the process at once.
fn stop_on_signal() -> anyhow::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        for attempt in 0.. {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            if attempt > 0 {
                std::process::exit(130);
            }
            eprintln!("ending; once more to end at once");
            sender.send_replace(true);
        }
    });
    Ok(receiver)
}
