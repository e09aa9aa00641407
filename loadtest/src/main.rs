//! `forecourt-loadtest`: an outside load client for a running Forecourt.
//!
//! `run` holds a rate and measures every hop; `floor` measures the same hops with nothing done at them; `sustain` looks for
//! the highest rate; `verify` compares ledger, balances and ClickHouse with the journal of a run.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod load;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{LogSettings, Topic};

use load::fleet::Fleet;
use load::floor::{FloorPlan, Sizes, measure};
use load::journal::{Journal, Line};
use load::report;
use load::step::{Measured, Plan, Targets, hold};
use load::verify::{Check, check};
use loadtest::kafka::{Sender, partitions};

#[derive(Parser)]
#[command(name = "forecourt-loadtest", version, about = "An outside load client for a running Forecourt")]
struct Cli {
    #[command(subcommand)]
    command: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Hold a rate and measure: decisions, frames on the page, rows in ClickHouse, tank levels
    Run(Run),
    /// Measure the broker alone: two plain consume-produce echoes
    Floor {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        pace: Pace,
    },
    /// Raise the rate step by step until it is not held any more
    Sustain(Sustain),
    /// Compare ledger, balances and ClickHouse with the journal of a run; fails when something is wrong
    Verify {
        #[command(flatten)]
        target: Target,
        /// The journal that `run --journal` wrote
        #[arg(long)]
        since: PathBuf,
        /// Seconds to wait for late decisions and rows
        #[arg(long, default_value_t = 60)]
        wait: u64,
    },
}

#[derive(Args, Clone)]
struct Target {
    /// Kafka bootstrap servers
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// What topic names begin with
    #[arg(long, default_value = "fuel")]
    topic_prefix: String,
    /// MQTT broker, host:port
    #[arg(long, default_value = "127.0.0.1:1883")]
    mqtt: String,
    /// Forecourt's own address
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    #[arg(long, default_value = "http://127.0.0.1:8123")]
    clickhouse: String,
    #[arg(long, default_value = "forecourt")]
    database: String,
    #[arg(long, default_value = "default")]
    clickhouse_user: String,
    #[arg(long, default_value = "")]
    clickhouse_password: String,
    /// What not to measure
    #[arg(long, value_delimiter = ',')]
    without: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Clickhouse,
    Websocket,
    Mqtt,
}

#[derive(Args, Clone)]
struct Pace {
    /// Transactions a second
    #[arg(long, default_value_t = 1000)]
    transactions_per_s: u64,
    /// Measured seconds
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds before that which are not measured
    #[arg(long, default_value_t = 5)]
    warmup: u64,
    /// Seconds to wait for what is missing at the end
    #[arg(long, default_value_t = 30)]
    drain: u64,
}

#[derive(Args, Clone)]
struct Crowd {
    /// Contracts that the run opens
    #[arg(long, default_value_t = 200)]
    contracts: usize,
    /// Cards that the run issues
    #[arg(long, default_value_t = 5000)]
    cards: usize,
    /// What the run's keys begin with; a new one each time when absent
    #[arg(long)]
    run_id: Option<String>,
    /// Tank readings a second
    #[arg(long, default_value_t = 200)]
    readings_per_s: u64,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    crowd: Crowd,
    /// Measure the floor too, right after, and print the ratio
    #[arg(long)]
    with_floor: bool,
    /// Servers will be killed meanwhile: go on sending, wait long, judge by `verify`
    #[arg(long, requires = "journal")]
    through_faults: bool,
    /// Write everything that is sent into this file
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Write the result into this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct Sustain {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    crowd: Crowd,
    /// Rates to try, in this order
    #[arg(long, value_delimiter = ',', default_value = "1000,2000,5000,10000,15000,20000,30000,40000")]
    rates: Vec<u64>,
    /// Seconds for each rate
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// A rate is held when p99 stays below this
    #[arg(long, default_value_t = 100)]
    p99_ms: u64,
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Target {
    fn log(&self) -> anyhow::Result<LogSettings> {
        let ledger = Topic::Ledger.name(&self.topic_prefix);
        let partitions = partitions(&self.bootstrap, &ledger)?
            .with_context(|| format!("kafka at {} has no topic {ledger}: is Forecourt running?", self.bootstrap))?;
        Ok(LogSettings { bootstrap: self.bootstrap.clone(), topic_prefix: self.topic_prefix.clone(), partitions })
    }

    fn clickhouse(&self) -> Option<clickhouse::Client> {
        let client = clickhouse::Client::default()
            .with_url(&self.clickhouse)
            .with_database(&self.database)
            .with_user(&self.clickhouse_user)
            .with_password(&self.clickhouse_password);
        (!self.without.contains(&Part::Clickhouse)).then_some(client)
    }

    fn targets(&self) -> anyhow::Result<Targets> {
        let (host, port) =
            self.mqtt.rsplit_once(':').with_context(|| format!("--mqtt {} is not host:port", self.mqtt))?;
        let mqtt = (host.to_owned(), port.parse().with_context(|| format!("{port} is no port"))?);
        Ok(Targets {
            log: self.log()?,
            mqtt: (!self.without.contains(&Part::Mqtt)).then_some(mqtt),
            url: (!self.without.contains(&Part::Websocket)).then(|| self.url.clone()),
            clickhouse: self.clickhouse(),
        })
    }
}

impl Crowd {
    fn run_id(&self) -> String {
        self.run_id.clone().unwrap_or_else(|| format!("{:x}", load::now_us() / 1000 % 0x1_0000_0000))
    }
}

/// 0: all is well; 1: something was lost, doubled or wrong; 2: it could not be found out.
fn main() -> ExitCode {
    work().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn work() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,clickhouse=warn".into()),
        )
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match Cli::parse().command {
        Work::Run(run) => self::run(&run, &runtime),
        Work::Floor { target, pace } => {
            let plan = floor_plan(&pace, format!("{:x}", load::now_us() / 1000), Sizes::default());
            let floor = measure(&target.log()?, &plan, &runtime)?;
            let arrived = floor.arrived == floor.sent;
            let row = report::Row { name: "floor: plain echoes", latency: floor.latency };
            #[expect(clippy::cast_precision_loss, reason = "seconds")]
            let seconds = pace.seconds as f64;
            print!("{}", report::table(&[row], seconds));
            println!("{} of {} echoes arrived", floor.arrived, floor.sent);
            Ok(code(arrived))
        }
        Work::Sustain(sustain) => self::sustain(&sustain, &runtime),
        Work::Verify { target, since, wait } => {
            let violations = check(
                &Check {
                    journal: &since,
                    bootstrap: &target.bootstrap,
                    clickhouse: target.clickhouse(),
                    wait: Duration::from_secs(wait),
                },
                &runtime,
            )?;
            violations.lines().iter().for_each(|line| println!("{line}"));
            println!("{}", if violations.is_empty() { "all is as it must be" } else { "VIOLATIONS FOUND" });
            Ok(code(violations.is_empty()))
        }
    }
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn floor_plan(pace: &Pace, run: String, sizes: Sizes) -> FloorPlan {
    FloorPlan {
        run,
        rate: pace.transactions_per_s,
        warmup: Duration::from_secs(pace.warmup),
        measured: Duration::from_secs(pace.seconds),
        drain: Duration::from_secs(pace.drain),
        sizes,
    }
}

fn run(run: &Run, runtime: &tokio::runtime::Runtime) -> anyhow::Result<ExitCode> {
    ensure!(
        run.pace.transactions_per_s > 0 && run.pace.seconds > 0,
        "nothing to send: rate and seconds must be above zero"
    );
    let targets = run.target.targets()?;
    let id = run.crowd.run_id();
    let fleet = Fleet::new(&id, run.crowd.contracts, run.crowd.cards)?;
    let mut journal = match &run.journal {
        Some(path) => Journal::create(
            path,
            &Line::Run {
                run: id.clone(),
                topic_prefix: targets.log.topic_prefix.clone(),
                partitions: targets.log.partitions,
            },
        )?,
        None => Journal::none(),
    };
    let patience = Duration::from_secs(if run.through_faults { 600 } else { 120 });
    let mut sender = Sender::open(&targets.log.bootstrap, patience)?;
    load::setup::open(&fleet, &targets.log, &sender, &mut journal)?;
    let plan = Plan {
        step: 1,
        transactions_per_s: run.pace.transactions_per_s,
        readings_per_s: run.crowd.readings_per_s,
        warmup: Duration::from_secs(run.pace.warmup),
        measured: Duration::from_secs(run.pace.seconds),
        drain: Duration::from_secs(if run.through_faults { run.pace.drain.max(180) } else { run.pace.drain }),
    };
    let measured = hold(&targets, &fleet, &plan, &mut sender, &mut journal, runtime)?;
    let floor = run
        .with_floor
        .then(|| {
            let sizes = sizes(&measured);
            measure(&targets.log, &floor_plan(&run.pace, id.clone(), sizes), runtime)
        })
        .transpose()?;
    println!(
        "run {id}: {} transactions/s and {} readings/s for {} s after {} s of warm-up, {} contracts, {} cards, {} partitions",
        run.pace.transactions_per_s,
        run.crowd.readings_per_s,
        run.pace.seconds,
        run.pace.warmup,
        fleet.contracts.len(),
        fleet.cards.len(),
        targets.log.partitions
    );
    print!("{}", report::text(&measured, floor.as_ref()));
    if let Some(path) = &run.json {
        let result = report::json(&measured, floor.as_ref());
        std::fs::write(path, serde_json::to_vec_pretty(&result)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let (_, missing, doubled) = report::counts(&measured);
    Ok(code(missing == 0 && doubled == 0))
}

/// The floor carries what the run carried.
fn sizes(measured: &Measured) -> Sizes {
    /// What a request carries beside its transaction: origin, contract, time of arrival.
    const ENVELOPE: u64 = 160;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(0).max(64);
    let transaction = measured.sent_bytes / measured.sent.max(1);
    let ledger = measured.book.ledger_bytes / measured.book.decided_messages.max(1);
    Sizes { transaction: size(transaction), request: size(transaction + ENVELOPE), ledger: size(ledger) }
}

fn sustain(sustain: &Sustain, runtime: &tokio::runtime::Runtime) -> anyhow::Result<ExitCode> {
    let targets = sustain.target.targets()?;
    let fleet = Fleet::new(&sustain.crowd.run_id(), sustain.crowd.contracts, sustain.crowd.cards)?;
    let mut sender = Sender::open(&targets.log.bootstrap, Duration::from_secs(120))?;
    let mut journal = Journal::none();
    load::setup::open(&fleet, &targets.log, &sender, &mut journal)?;
    let (mut held, mut steps) = (None, Vec::new());
    for (step, rate) in (1..).zip(&sustain.rates) {
        let plan = Plan {
            step,
            transactions_per_s: *rate,
            readings_per_s: sustain.crowd.readings_per_s,
            warmup: Duration::from_secs(2),
            measured: Duration::from_secs(sustain.seconds),
            drain: Duration::from_secs(20),
        };
        let measured = hold(&targets, &fleet, &plan, &mut sender, &mut journal, runtime)?;
        let (_, missing, doubled) = report::counts(&measured);
        let p99_us = measured.book.latency.value_at_quantile(0.99);
        // What is undecided when the last message goes out may not be more than what is sent in the time of the bound.
        let backlog_max = (rate * sustain.p99_ms / 1000).max(10);
        let good =
            missing == 0 && doubled == 0 && p99_us <= sustain.p99_ms * 1000 && measured.undecided_at_end <= backlog_max;
        println!("-- {rate} transactions/s: {}", if good { "held" } else { "not held" });
        print!("{}", report::text(&measured, None));
        steps.push(report::json(&measured, None));
        if !good {
            break;
        }
        held = Some(*rate);
    }
    match held {
        Some(rate) => println!("highest rate held with p99 below {} ms: {rate} transactions/s", sustain.p99_ms),
        None => println!("not even the first rate was held with p99 below {} ms", sustain.p99_ms),
    }
    if let Some(path) = &sustain.json {
        let result = serde_json::json!({ "held_per_s": held, "p99_bound_ms": sustain.p99_ms, "steps": steps });
        std::fs::write(path, serde_json::to_vec_pretty(&result)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(code(held.is_some()))
}
