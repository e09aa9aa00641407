//! `forecourt-loadtest`: an outside load client for a running Forecourt.
//!
//! `run` holds a rate and measures every hop, and beside them, in turns, the same hops with nothing done at them (the floor);
//! `sustain` looks for the highest rate; `verify` compares ledger, balances and ClickHouse with the journal of a run.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod load;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{LogSettings, Topic};

use load::fleet::Fleet;
use load::floor::{Echoes, Floor, FloorPlan, Sizes};
use load::gauges;
use load::journal::{Journal, Line};
use load::phases;
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
    /// Raise the rate step by step until it is not held any more
    Sustain(Sustain),
    /// Compare ledger, balances and ClickHouse with the journal of a run; fails when something is wrong
    Verify {
        #[command(flatten)]
        target: Target,
        /// The journal that `run --journal` wrote
        #[arg(long)]
        since: PathBuf,
        /// The readings that `gauges --acknowledged` wrote
        #[arg(long)]
        acknowledged: Option<PathBuf>,
        /// Seconds to wait for late decisions and rows
        #[arg(long, default_value_t = 60)]
        wait: u64,
        /// Write the figures into this file as JSON
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Publish numbered tank readings, through faults of the broker, and write down which were acknowledged
    Gauges(gauges::Options),
    /// Tell the latencies of a run by what went on meanwhile
    Phases(phases::Options),
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
    /// Write requests, as a producer does that knows the contract, instead of transactions that are routed first
    #[arg(long)]
    direct: bool,
    /// Measure the floor too, plain consume-produce echoes: a trickle beside Forecourt, and all of them in turns with it
    #[arg(long, conflicts_with = "through_faults")]
    with_floor: bool,
    /// Seconds of a turn
    #[arg(long, default_value_t = 5)]
    slice_seconds: u64,
    /// Servers will be killed meanwhile: go on sending, wait long, judge by `verify`
    #[arg(long, requires = "journal")]
    through_faults: bool,
    /// Write everything that is sent into this file
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Write the result into this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write each measured decision into this file: when it was due, and how much later it came; for `phases`
    #[arg(long)]
    samples: Option<PathBuf>,
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

impl Run {
    fn plan(&self, step: u32, warmup: u64, seconds: u64) -> Plan {
        Plan {
            step,
            transactions_per_s: self.pace.transactions_per_s,
            direct: self.direct,
            readings_per_s: self.crowd.readings_per_s,
            warmup: Duration::from_secs(warmup),
            measured: Duration::from_secs(seconds),
            drain: Duration::from_secs(if self.through_faults { self.pace.drain.max(180) } else { self.pace.drain }),
        }
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
        Work::Sustain(sustain) => self::sustain(&sustain, &runtime),
        Work::Phases(options) => {
            print!("{}", phases::table(&options)?);
            Ok(ExitCode::SUCCESS)
        }
        Work::Gauges(options) => Ok(code(runtime.block_on(gauges::publish(&options))?)),
        Work::Verify { target, since, acknowledged, wait, json } => {
            let (figures, violations) = check(
                &Check {
                    journal: &since,
                    acknowledged: acknowledged.as_deref(),
                    bootstrap: &target.bootstrap,
                    clickhouse: target.clickhouse(),
                    wait: Duration::from_secs(wait),
                },
                &runtime,
            )?;
            if let Some(path) = &json {
                write_json(path, &figures)?;
            }
            violations.lines().iter().for_each(|line| println!("{line}"));
            println!("{}", if violations.is_empty() { "all is as it must be" } else { "VIOLATIONS FOUND" });
            Ok(code(violations.is_empty()))
        }
    }
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    std::fs::write(path, serde_json::to_vec_pretty(value)?).with_context(|| format!("cannot write {}", path.display()))
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
    let (measured, floor) = if run.with_floor {
        let echoes = Echoes::open(&targets.log, &id, run.direct, runtime)?;
        let result = in_turns(run, &targets, &fleet, &mut sender, &mut journal, (&echoes, runtime));
        echoes.close(runtime);
        let (measured, floor) = result?;
        (measured, Some(floor))
    } else {
        let plan = run.plan(1, run.pace.warmup, run.pace.seconds);
        (hold(&targets, &fleet, &plan, &mut sender, &mut journal, runtime)?, None)
    };
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
        write_json(path, &report::json(&measured, floor.as_ref()))?;
    }
    if let Some(path) = &run.samples {
        phases::write(path, &measured.book.samples)?;
    }
    let (_, missing, doubled) = report::counts(&measured);
    Ok(code(missing == 0 && doubled == 0))
}

/// Decisions and echoes in turns: what else the machine does falls on both.
fn in_turns(
    run: &Run,
    targets: &Targets,
    fleet: &Fleet,
    sender: &mut Sender,
    journal: &mut Journal,
    (echoes, runtime): (&Echoes, &tokio::runtime::Runtime),
) -> anyhow::Result<(Measured, Floor)> {
    /// Seconds before a turn that are not measured, once the first has warmed all up.
    const WARMUP: u64 = 1;
    let seconds = run.slice_seconds.clamp(1, run.pace.seconds);
    /// The echoes beside Forecourt are one for so many decisions: they must not be a load themselves.
    const BESIDE: u64 = 20;
    /// Slices that come twice, once beside and once alone.
    const SLICES_MAX: u32 = 1_000_000;
    let mut floor = Floor { beside_per_s: (run.pace.transactions_per_s / BESIDE).max(1), ..echoes.floor()? };
    let mut all: Option<Measured> = None;
    let mut sizes: Option<Sizes> = None;
    for slice in 1..=u32::try_from(run.pace.seconds / seconds)? {
        let warmup = if slice == 1 { run.pace.warmup } else { run.pace.warmup.min(WARMUP) };
        let plan = run.plan(slice, warmup, seconds);
        let echo = |sizes: &Sizes, rate: u64, slice: u32| {
            let Plan { warmup, measured, drain, .. } = plan;
            echoes.measure(&FloorPlan { fleet, slice, rate, warmup, measured, drain, sizes })
        };
        let (measured, beside) = match &sizes {
            None => (hold(targets, fleet, &plan, sender, journal, runtime)?, None),
            Some(sizes) => std::thread::scope(|scope| {
                let beside = scope.spawn(|| echo(sizes, floor.beside_per_s, slice + SLICES_MAX));
                let measured = hold(targets, fleet, &plan, sender, journal, runtime)?;
                let beside = beside.join().map_err(|_| anyhow::anyhow!("the echoes died"))??;
                anyhow::Ok((measured, Some(beside.latency)))
            })?,
        };
        let sizes = match &mut sizes {
            Some(sizes) => sizes,
            None => sizes.insert(Sizes {
                transaction_bytes: usize::try_from(measured.sent_bytes / measured.sent.max(1))?,
                ledger_record: measured.book.sample.clone().context("nothing was decided")?,
            }),
        };
        let alone = echo(sizes, plan.transactions_per_s, slice)?;
        floor.add(measured.book.latency.clone(), beside, alone)?;
        match &mut all {
            None => all = Some(measured),
            Some(all) => all.absorb(measured)?,
        }
    }
    Ok((all.context("no time to measure")?, floor))
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
            direct: false,
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
        write_json(path, &result)?;
    }
    Ok(code(held.is_some()))
}
