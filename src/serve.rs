//! Wiring: starts every part in its order, waits for a reason to end, ends them in the opposite order.
//!
//! Guarantees: what is decided is recorded before the process ends in good order; a part that fails ends the process with its
//! reason and a code other than 0. Does not: decide, decode or store anything.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use model::Topic;
use sinks::Recorder;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::config::{Config, Role};
use crate::snapshots::screens::SavedScreens;
use crate::snapshots::{self, Store};
use crate::{flows, ledger, priority, stations};

/// Batches between a dataflow and its recorder: at most this many wait.
const OUTPUT_BATCHES_MAX: usize = 256;
/// Batches between the logs and the screens: at most this many wait.
const SCREEN_BATCHES_MAX: usize = 64;
const KAFKA_ASKED_EVERY: Duration = Duration::from_secs(1);
const MQTT_KEEP_ALIVE: Duration = Duration::from_secs(15);
const MQTT_PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// How long other readers of the logs leave the machine to a ledger that begins, and how often they look.
const DECISIONS_FIRST_MAX: Duration = Duration::from_secs(5);
const DECIDING_ASKED_EVERY: Duration = Duration::from_millis(20);
/// How long the last records may take to be acknowledged at the end.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Runs all roles until `stopped` resolves or a part fails.
pub(crate) async fn run(
    config: Config,
    page: TcpListener,
    health: dashboards::Health,
    render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    clock: ingest::Clock,
    stopped: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut parts = Parts::new(clock)?;
    let mut stopped = std::pin::pin!(stopped);
    let started = tokio::select! {
        () = &mut stopped => None,
        result = start(&config, page, &mut parts, &health, render_metrics) => Some(result),
    };
    let result = match started {
        None => Ok(()),
        Some(Err(error)) => Err(error),
        Some(Ok(())) => tokio::select! {
            () = &mut stopped => Ok(()),
            Some(failure) = parts.failures.recv() => Err(failure),
        },
    };
    let ended = parts.end().await;
    result.and(ended)
}

async fn start(
    config: &Config,
    page: TcpListener,
    parts: &mut Parts,
    health: &dashboards::Health,
    render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
) -> anyhow::Result<()> {
    let stop_later = parts.stop_later.subscribe();

    // The page first: it shows what is still missing.
    let (screen_feed, screen_items) = mpsc::channel(SCREEN_BATCHES_MAX);
    let dashboards_config = dashboards::Config {
        listen: config.dashboards.listen,
        allowed_origins: config.dashboards.allowed_origins.clone(),
        clickhouse_url: config.clickhouse.url.clone(),
        clickhouse_database: config.clickhouse.database.clone(),
        clickhouse_user: Some(config.clickhouse.user.clone()),
        clickhouse_password: Some(config.clickhouse.password.clone()),
        ..dashboards::Config::default()
    };
    let screens = dashboards::Screens::of_this_process(dashboards_config.stale_after_us);
    let shown = screens.clone();
    let mut stop_page = stop_later.clone();
    let page_health = health.clone();
    parts.task("dashboards", async move {
        let stop = async move {
            let _ = stop_page.wait_for(|stop| *stop).await;
        };
        Ok(dashboards::serve_on(page, shown, dashboards_config, screen_items, page_health, render_metrics, stop)
            .await?)
    });

    // Before Kafka is there: what is in a file can be read already.
    let (topics_are_there, told) = crossbeam_channel::bounded(1);
    if config.process.has(Role::Ingest) {
        start_route(config, parts, told)?;
    }
    ensure_topics(config, health, &parts.stop_now).await?;
    let _ = topics_are_there.send(());

    if config.process.has(Role::Ledger) {
        start_ledger(config, parts, health)?;
    }
    if config.process.has(Role::Dashboards) {
        start_screens(config, parts, health, screens, screen_feed)?;
    } else {
        screen_feed.send(vec![dashboards::Feed::CaughtUp]).await?;
        health.set("dashboards", true, "not a role of this process");
        // A feed that ends means that the logs are no longer read: this one lasts as long as its page.
        let mut stop = stop_later.clone();
        parts.task("screens", async move {
            let _ = stop.wait_for(|stop| *stop).await;
            drop(screen_feed);
            Ok(())
        });
    }
    if config.process.has(Role::Stations) {
        start_stations(config, parts, health)?;
    }
    if config.process.has(Role::Ingest) {
        start_gauges(config, parts, health)?;
    }
    if config.process.has(Role::Sinks) {
        start_sinks(config, parts, health);
    }
    Ok(())
}

/// What the page shows: from what was saved of it, and the logs behind that.
fn start_screens(
    config: &Config,
    parts: &mut Parts,
    health: &dashboards::Health,
    screens: dashboards::Screens,
    feed: mpsc::Sender<Vec<dashboards::Feed>>,
) -> anyhow::Result<()> {
    let log = config.log();
    let saved = match config.snapshots.store.as_str() {
        "" => None,
        place => Some(SavedScreens::open(place, &log)?),
    };
    let (restored, begin) = crossbeam_channel::bounded(1);
    if let Some(saved) = saved.clone() {
        let (screens, settings, stop) = (screens.clone(), config.snapshots.clone(), parts.stop_now.clone());
        parts.aside("saved-screens", move || {
            if begin.recv().is_ok() {
                saved.keep_saving(&screens, &settings, &stop);
            }
            Ok(())
        })?;
    }
    let (health, stop) = (health.clone(), parts.stop_now.clone());
    parts.aside("screens", move || {
        decisions_first(&health, &stop);
        let positions = match saved {
            Some(saved) => saved.restore(&screens)?,
            None => flows::from_the_beginning(&log),
        };
        // Nobody waits for it where nothing is saved.
        let _ = restored.send(());
        flows::screens(&log, positions, &feed, &stop)
    })
}

/// Transactions and orders from Kafka, with the card table from a file if there is one.
fn start_route(
    config: &Config,
    parts: &mut Parts,
    topics_are_there: crossbeam_channel::Receiver<()>,
) -> anyhow::Result<()> {
    let log = config.log();
    let saved = match config.snapshots.store.as_str() {
        "" => None,
        place => {
            let store = Store::open(place, &log, Topic::Cards)?;
            let (save, todo) = crossbeam_channel::bounded(1);
            let (writes_to, keep) = (store.clone(), config.snapshots.keep);
            parts.aside("card-tables", move || {
                snapshots::cards::write(&writes_to, keep, &todo);
                Ok(())
            })?;
            Some((store, save))
        }
    };
    let group = format!("{}.route", log.topic_prefix);
    let route = ingest::RouteConfig { log, group, instance: config.process.name.clone() };
    let stop = parts.stop_now.clone();
    parts.thread("route", move || {
        let saved = saved.map(|(store, save)| {
            let mut tables = snapshots::cards::tables(store).peekable();
            tables.peek();
            ingest::SavedTables { tables: Box::new(tables), save }
        });
        match topics_are_there.recv() {
            Ok(()) => Ok(ingest::route::run(route, saved, stop)?),
            // All ends before it began.
            Err(_) => Ok(()),
        }
    })
}

/// Gauges from MQTT.
fn start_gauges(config: &Config, parts: &mut Parts, health: &dashboards::Health) -> anyhow::Result<()> {
    let log = config.log();
    let mqtt = ingest::MqttConfig {
        host: config.mqtt.host.clone(),
        port: config.mqtt.port,
        client_id: config.mqtt.client_id.clone(),
        topic_prefix: config.mqtt.topic_prefix.clone(),
        shared_group: config.mqtt.shared_group.clone(),
        credentials: None,
        keep_alive: MQTT_KEEP_ALIVE,
        log: log.clone(),
        payload_bytes_max: MQTT_PAYLOAD_BYTES_MAX,
        clock: parts.clock.clone(),
    };
    let (told, link) = watch::channel(ingest::MqttLink::Connecting);
    let (stop, gauges) = (parts.stop_async.subscribe(), health.clone());
    parts.task("mqtt", async move { Ok(ingest::mqtt::run(mqtt, told, stop).await?) });
    parts.task("gauges", async move {
        report_gauges("gauges", link, &gauges).await;
        Ok(())
    });
    start_sparkplug(config, log, parts, health);
    Ok(())
}

/// Edge nodes from MQTT, when this process is their host application.
fn start_sparkplug(config: &Config, log: model::LogSettings, parts: &mut Parts, health: &dashboards::Health) {
    let Some(host_id) = config.mqtt.sparkplug_host.clone() else { return };
    let sparkplug = ingest::sparkplug::session::SparkplugConfig {
        host: config.mqtt.host.clone(),
        port: config.mqtt.port,
        client_id: format!("{}-sparkplug", config.mqtt.client_id),
        credentials: None,
        host_id,
        groups: config.mqtt.sparkplug_groups.clone(),
        keep_alive: MQTT_KEEP_ALIVE,
        log,
        patience: ingest::sparkplug::Patience::default(),
    };
    let (told, link) = watch::channel(ingest::MqttLink::Connecting);
    let (stop, edges) = (parts.stop_async.subscribe(), health.clone());
    parts.task("sparkplug", async move { Ok(ingest::sparkplug::session::run(sparkplug, told, stop).await?) });
    parts.task("edges", async move {
        report_gauges("sparkplug", link, &edges).await;
        Ok(())
    });
}

/// Rows in ClickHouse.
fn start_sinks(config: &Config, parts: &mut Parts, health: &dashboards::Health) {
    let log = config.log();
    let clickhouse = sinks::clickhouse::Config {
        url: config.clickhouse.url.clone(),
        database: config.clickhouse.database.clone(),
        user: config.clickhouse.user.clone(),
        password: config.clickhouse.password.clone(),
        batch_rows_max: config.clickhouse.batch_rows_max,
        batch_wait: config.clickhouse.batch_wait.0,
        instance: config.process.name.clone(),
        group: format!("{}.clickhouse", log.topic_prefix),
        log,
    };
    let status = sinks::clickhouse::Status::default();
    let (stop, reported) = (parts.stop_async.subscribe(), status.clone());
    parts.history("clickhouse", async move { Ok(sinks::clickhouse::run(clickhouse, reported, stop).await?) });
    let (stop, health) = (parts.stop_async.subscribe(), health.clone());
    parts.task("history", async move {
        report_history(&status, &health, stop).await;
        Ok(())
    });
}

/// Keeps the page told whether gauges can be heard. Decisions do not need them, so `/readyz` does not wait.
async fn report_gauges(part: &'static str, mut link: watch::Receiver<ingest::MqttLink>, health: &dashboards::Health) {
    loop {
        let (is_well, detail) = match &*link.borrow_and_update() {
            ingest::MqttLink::Connecting => (false, "connecting to the MQTT broker".to_owned()),
            ingest::MqttLink::Subscribed => (true, "listening".to_owned()),
            ingest::MqttLink::Down(reason) => (false, format!("no connection to the MQTT broker: {reason}")),
        };
        health.set(part, is_well, detail);
        if link.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps the page told how far ClickHouse is behind.
async fn report_history(
    status: &sinks::clickhouse::Status,
    health: &dashboards::Health,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        let topics = status.snapshot();
        let lag: i64 = topics.values().flat_map(|topic| topic.partitions.values()).map(|progress| progress.lag()).sum();
        let waiting = topics.values().find_map(|topic| match &topic.phase {
            sinks::clickhouse::Phase::Waiting(why) | sinks::clickhouse::Phase::Failed(why) => Some(why.clone()),
            _ => None,
        });
        health.set("history", status.is_healthy(), waiting.unwrap_or_else(|| format!("{lag} records to write")));
        let _ = tokio::time::timeout(Duration::from_secs(1), stop.changed()).await;
    }
}

/// Makes the topics, or finds them as they must be; waits for a Kafka that is not there yet.
async fn ensure_topics(config: &Config, health: &dashboards::Health, stop: &AtomicBool) -> anyhow::Result<()> {
    loop {
        let (log, replication) = (config.log(), config.kafka.replication);
        match tokio::task::spawn_blocking(move || sinks::topics::ensure(&log, replication)).await? {
            Err(error) if error.passes() && !stop.load(Ordering::Relaxed) => {
                tracing::warn!(%error, "waiting for Kafka at {}", config.kafka.bootstrap);
                health.set("ledger", false, format!("waiting for Kafka at {}", config.kafka.bootstrap));
                tokio::time::sleep(KAFKA_ASKED_EVERY).await;
            }
            result => {
                return result.with_context(|| format!("the topics on {} cannot be used", config.kafka.bootstrap));
            }
        }
    }
}

/// The ledger: take over what the group gives, decide, record, publish.
fn start_ledger(config: &Config, parts: &mut Parts, health: &dashboards::Health) -> anyhow::Result<()> {
    health.require("ledger");
    let log = config.log();
    let recorder = Arc::new(Recorder::open(&log)?);
    let (outputs, recorded) = sync_channel(OUTPUT_BATCHES_MAX);
    let dataflow = Arc::new(pipeline::ledger::spawn(config.ledger.rules(), outputs));
    let snapshots = start_snapshots(config, parts)?;
    parts.recorder(recorder.clone(), {
        let recorder = recorder.clone();
        let jobs = snapshots.as_ref().map(|snapshots| snapshots.jobs.clone());
        move || flows::record_ledger(recorded, &recorder, jobs.as_ref())
    })?;
    let (follow, followed) = crossbeam_channel::unbounded();
    let (owned, publishes) = watch::channel(BTreeSet::new());
    let links =
        ledger::Links { dataflow: dataflow.clone(), recorder, follow, owned, health: health.clone(), snapshots };
    let (log_, name, stop) = (log.clone(), config.process.name.clone(), parts.stop_now.clone());
    parts.thread("ledger-owner", move || ledger::run(&log_, &name, links, &stop))?;
    let (log_, stop) = (log.clone(), parts.stop_now.clone());
    parts.thread("ledger-requests", move || {
        let rejecter = ingest::Rejecter::open(&log_)?;
        flows::requests(&log_, &dataflow, &followed, &rejecter, &stop)
    })?;
    let publish = sinks::publish::Config { group: format!("{}.publish", log.topic_prefix), log };
    let stop = parts.stop_async.subscribe();
    parts.task("publish", async move { Ok(sinks::publish::run(publish, publishes, stop).await?) });
    Ok(())
}

/// The writer of snapshots, if there is a place for them.
fn start_snapshots(config: &Config, parts: &mut Parts) -> anyhow::Result<Option<ledger::Snapshots>> {
    let settings = &config.snapshots;
    if settings.store.is_empty() {
        return Ok(None);
    }
    let store = Store::open(&settings.store, &config.log(), Topic::Ledger)?;
    // Not bounded here: the workers stop making slices while many wait to be packed.
    let (jobs, todo) = crossbeam_channel::unbounded();
    let (told, news) = crossbeam_channel::unbounded();
    let (writes_to, keep) = (store.clone(), settings.keep);
    parts.aside("snapshots", move || {
        snapshots::write(&writes_to, keep, &todo, &told);
        Ok(())
    })?;
    let (every, after_records) = (settings.every.0, settings.after_records);
    Ok(Some(ledger::Snapshots { store, jobs, news, every, after_records }))
}

/// The stations: take over what the group gives, derive, record. No decision waits for them, so they give way.
fn start_stations(config: &Config, parts: &mut Parts, health: &dashboards::Health) -> anyhow::Result<()> {
    health.require("stations");
    let settings = pipeline::stations::Config {
        workers: config.stations.workers,
        lateness_us: config.stations.lateness.micros(),
        idle_after_us: config.stations.idle_after.micros(),
        clock_ahead_max_us: config.stations.clock_ahead_max.map(crate::config::Span::micros),
        ..pipeline::stations::Config::default()
    };
    let (log, name) = (config.log(), config.process.name.clone());
    let (clock, health, stop) = (parts.clock.clone(), health.clone(), parts.stop_now.clone());
    parts.aside("stations", move || {
        decisions_first(&health, &stop);
        stations::run(&log, &name, &settings, &clock, &health, &stop)
    })
}

/// Waits until this process decides what it owns: reading whole logs beside would keep processors, memory and the broker
/// from it. Not for ever: a ledger that is folded from its beginning takes longer than people wait for a page.
fn decisions_first(health: &dashboards::Health, stop: &AtomicBool) {
    let begun = Instant::now();
    let deciding = || !health.waiting_for().iter().any(|part| part.name == "ledger");
    while !deciding() && begun.elapsed() < DECISIONS_FIRST_MAX && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(DECIDING_ASKED_EVERY);
    }
}

/// Everything that runs, and how to end it.
struct Parts {
    /// What time it is at the stations.
    clock: ingest::Clock,
    /// Ends the threads that read.
    stop_now: Arc<AtomicBool>,
    /// Ends the tasks that read.
    stop_async: watch::Sender<bool>,
    /// Ends the page, last of all.
    stop_later: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    tasks: tokio::task::JoinSet<()>,
    /// Where the tasks run, and what they start: no decision waits for them.
    background: Background,
    /// For what comes after all of that.
    history: Background,
    recorders: Vec<Arc<Recorder>>,
    failed: mpsc::Sender<anyhow::Error>,
    failures: mpsc::Receiver<anyhow::Error>,
}

impl Parts {
    fn new(clock: ingest::Clock) -> anyhow::Result<Self> {
        let (failed, failures) = mpsc::channel(16);
        let background = Background::new("background", priority::give_way)?;
        let history = Background::new("history", priority::come_last)?;
        Ok(Self {
            clock,
            stop_now: Arc::default(),
            stop_async: watch::Sender::new(false),
            stop_later: watch::Sender::new(false),
            threads: Vec::new(),
            tasks: tokio::task::JoinSet::new(),
            background,
            history,
            recorders: Vec::new(),
            failed,
            failures,
        })
    }

    /// As [`Self::thread`], for what no decision waits for.
    fn aside(
        &mut self,
        name: &'static str,
        body: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        self.thread(name, move || {
            priority::give_way();
            body()
        })
    }

    /// A thread whose error ends the process.
    fn thread(
        &mut self,
        name: &'static str,
        body: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let failed = self.failed.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(error) = body() {
                let _ = failed.try_send(error.context(format!("{name} failed")));
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// A thread that writes to a log, flushed when all ends.
    fn recorder(
        &mut self,
        recorder: Arc<Recorder>,
        body: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        self.recorders.push(recorder);
        self.thread("record", body)
    }

    /// A task whose error ends the process.
    fn task(&mut self, name: &'static str, body: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let body = self.told(name, body);
        self.tasks.spawn_on(body, self.background.handle());
    }

    /// As [`Self::task`], for what comes last.
    fn history(&mut self, name: &'static str, body: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let body = self.told(name, body);
        self.tasks.spawn_on(body, self.history.handle());
    }

    fn told(
        &self,
        name: &'static str,
        body: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let failed = self.failed.clone();
        async move {
            if let Err(error) = body.await {
                let _ = failed.try_send(error.context(format!("{name} failed")));
            }
        }
    }

    /// Readers first, then what they feed, the page last.
    async fn end(mut self) -> anyhow::Result<()> {
        self.stop_now.store(true, Ordering::Relaxed);
        self.stop_async.send_replace(true);
        let (threads, recorders) = (std::mem::take(&mut self.threads), std::mem::take(&mut self.recorders));
        let flushed = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
            recorders.iter().try_for_each(|recorder| recorder.flush(FLUSH_MAX))
        });
        let flushed = flushed.await?;
        self.stop_later.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FLUSH_MAX, all).await;
        Ok(flushed?)
    }
}

/// A runtime that may be dropped inside another one: its threads are left to end by themselves.
struct Background(Option<tokio::runtime::Runtime>);

impl Background {
    fn new(name: &str, priority: fn()) -> anyhow::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.enable_all().thread_name(name).on_thread_start(priority).build();
        Ok(Self(Some(runtime.context("the async runtime cannot start")?)))
    }

    fn handle(&self) -> &tokio::runtime::Handle {
        match &self.0 {
            Some(runtime) => runtime.handle(),
            None => unreachable!("it is taken by drop alone"),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
