//! The simulated fuel network behind `forecourt demo`.
//!
//! In: addresses of a Kafka and an MQTT broker, a seed, a speed. Out: what 40 stations, 200 contracts and their back office
//! send, in simulated time; their reactions to the ledger's decisions. Stations register their tanks and tell what they
//! sell for cash; what their gauges say agrees with the strapping tables.
//! Guarantees: stations, contracts, cards and habits follow from the seed; a restart goes on where the last run stopped; no
//! idempotency key is used twice, not even after a crash; set-up orders may be sent again without effect.
//! Does not: know whether Forecourt is right; and its own moods depend on when answers come, so two runs differ in detail.

mod customers;
mod demand;
mod gauges;
mod memory;
mod office;
mod places;
mod purchases;
mod registrations;
mod stories;
mod tank;
mod terminals;
mod terms;
#[cfg(test)]
mod tests;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use model::{LogSettings, Topic};
use tokio::sync::{mpsc, oneshot, watch};

use crate::kafka::{SendError, Sender};
use gauges::{Gauges, Message};
use memory::{Memory, Store};
use world::{Action, World};

const TICK: Duration = Duration::from_millis(50);
const SAVE_EVERY: Duration = Duration::from_secs(3);
/// A tick that comes later than this was no tick: the machine slept. That time is left out.
const SLEPT: Duration = Duration::from_secs(2);
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
const SPEED_MAX: f64 = 3_600.0;

/// What the simulated network needs to know.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Kafka bootstrap servers.
    pub bootstrap: String,
    /// What topic names begin with, `fuel` by default.
    pub topic_prefix: String,
    /// Partitions of every topic.
    pub partitions: i32,
    pub mqtt_host: String,
    pub mqtt_port: u16,
    /// The same seed makes the same stations, contracts, cards and habits.
    pub seed: u64,
    /// Simulated seconds per real second, above 0, at most 3,600; 60 shows a day in 24 minutes.
    pub speed: f64,
    /// Where the network remembers its clock, tank levels and used keys.
    pub state_file: PathBuf,
    /// Where the network writes its time, in microseconds since 1970: whoever follows its gauges goes by it.
    pub clock: Arc<AtomicI64>,
}

/// Runs the network until `stop` turns true. Fails when the topics do not appear or the state file cannot be written.
pub async fn run(config: NetworkConfig, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    ensure!(config.speed > 0.0 && config.speed <= SPEED_MAX, "speed {} is not between 0 and {SPEED_MAX}", config.speed);
    let log = LogSettings {
        bootstrap: config.bootstrap.clone(),
        topic_prefix: config.topic_prefix.clone(),
        partitions: config.partitions,
    };
    let real_second_us = simulated_us(Duration::from_secs(1), config.speed);
    let store = remember(&config, real_second_us)?;

    let halt = Arc::new(AtomicBool::new(false));
    let (outcomes, mut answers) = mpsc::channel(terminals::BATCHES_MAX);
    let (ready, at_end) = oneshot::channel();
    let reader = terminals::read_answers(log.clone(), outcomes, ready, Arc::clone(&halt))?;
    let opened = tokio::select! {
        opened = at_end => opened.context("the thread that reads the ledger ended").flatten(),
        _ = stop.wait_for(|stop| *stop) => { halt.store(true, Ordering::Relaxed); return Ok(()) }
    };
    opened.context("the simulated network cannot read the ledger")?;

    let mut world = World::new(store, real_second_us)?;
    let mut outside = Outside {
        orders: log.topic_name(Topic::Commands),
        transactions: log.topic_name(Topic::Transactions),
        sender: Sender::open(&config.bootstrap, DELIVERY_TIMEOUT)?,
        gauges: Gauges::start(
            &config.mqtt_host,
            config.mqtt_port,
            &world.store.memory.instance,
            world.stations.iter().map(|station| station.site.clone()),
        )?,
        log,
        turned_away: 0,
    };
    tracing::info!(
        stations = world.stations.len(),
        contracts = world.customers.contracts.len(),
        cards = world.customers.cards.len(),
        seed = config.seed,
        speed = config.speed,
        "the simulated network is open"
    );

    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut saved = Instant::now();
    let mut last = Instant::now();
    let lived = loop {
        let step = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break Ok(()),
            Some(batch) = answers.recv() => batch.iter().try_for_each(|outcome| world.answer(outcome)),
            _ = tick.tick() => Ok(()),
        };
        let passed = last.elapsed();
        last = Instant::now();
        let passed = if passed > SLEPT { TICK } else { passed };
        let to_us = world.now_us + simulated_us(passed, config.speed);
        let advanced = step.and_then(|()| world.advance(to_us));
        // First the time, then what is measured in it: nothing arrives before it was sent.
        config.clock.store(world.now_us, Ordering::Relaxed);
        let lived = advanced.and_then(|actions| outside.carry_out(actions));
        if lived.is_err() {
            break lived;
        }
        if saved.elapsed() > SAVE_EVERY {
            let (now_us, tanks) = (world.now_us, world.tank_memory());
            if let Err(error) = world.store.save(now_us, tanks) {
                break Err(error);
            }
            saved = Instant::now();
        }
    };

    halt.store(true, Ordering::Relaxed);
    drop(answers);
    outside.gauges.stop().await;
    if outside.sender.flush(Duration::from_millis(500)).is_err() {
        tracing::warn!("the last messages of the simulated network were not delivered");
    }
    let (now_us, tanks) = (world.now_us, world.tank_memory());
    world.store.close(now_us, tanks)?;
    if tokio::task::spawn_blocking(move || reader.join()).await.is_err() {
        tracing::warn!("the thread that reads the ledger did not end in order");
    }
    lived
}

/// The memory of the last run, or of a new network. Simulated time never lies behind the real one when a run starts.
fn remember(config: &NetworkConfig, real_second_us: i64) -> anyhow::Result<Store> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let now_us = i64::try_from(now.as_micros()).context("the clock is out of range")?;
    let skip_us = 2 * i64::try_from(SAVE_EVERY.as_secs()).unwrap_or(1) * real_second_us;
    let mut memory = match Memory::load(&config.state_file, config.seed, skip_us)? {
        Some(memory) => memory,
        None => Memory::fresh(config.seed, format!("{:08x}", now.as_micros() & 0xffff_ffff), now_us),
    };
    memory.simulated_us = memory.simulated_us.max(now_us);
    Store::open(config.state_file.clone(), memory)
}

fn simulated_us(real: Duration, speed: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "seconds times 3,600 at most")]
    let us = (real.as_secs_f64() * speed * 1e6) as i64;
    us
}

/// Where actions go.
struct Outside {
    log: LogSettings,
    orders: String,
    transactions: String,
    sender: Sender,
    gauges: Gauges,
    turned_away: u64,
}

impl Outside {
    fn carry_out(&mut self, actions: Vec<Action>) -> anyhow::Result<()> {
        for action in actions {
            match action {
                Action::Transact(transaction) => {
                    let card = transaction.card.token.as_str();
                    self.send(&self.transactions.clone(), card, &serde_json::to_vec(&*transaction)?);
                }
                Action::Order(order) => {
                    self.send(&self.orders.clone(), order.contract.as_str(), &serde_json::to_vec(&*order)?);
                }
                Action::Publish { station, topic, payload } => {
                    self.gauges.tell(station, Message::Publish { topic, payload, retain: false });
                }
                Action::Register { station, topic, payload } => {
                    self.gauges.tell(station, Message::Publish { topic, payload, retain: true });
                }
                Action::Link { station, up } => self.gauges.tell(station, Message::Link { up }),
                Action::WrongTransaction(bytes) => self.send(&self.transactions.clone(), "terminal", &bytes),
                Action::WrongOrder(bytes) => self.send(&self.orders.clone(), "portal", &bytes),
            }
        }
        Ok(())
    }

    /// What the producer does not take is lost here; terminals ask again when no answer comes.
    fn send(&mut self, topic: &str, key: &str, payload: &[u8]) {
        let partition = self.log.partition_of(key).0;
        match self.sender.send(topic, partition, key, payload) {
            Ok(()) => {}
            Err(error @ (SendError::Full | SendError::Refused(_))) => {
                self.turned_away += 1;
                if self.turned_away.is_power_of_two() {
                    tracing::warn!(%error, lost = self.turned_away, "kafka does not take messages of the simulated network");
                }
                if let Err(error) = self.sender.resend() {
                    tracing::warn!(error = format!("{error:#}"), "no new kafka producer");
                }
            }
        }
    }
}
