//! Routes transactions and orders, which come with any key, to the partition of their contract.
//!
//! In: `fuel.transactions`, `fuel.commands`, and `fuel.cards` (which card belongs to which contract), with a saved table of what was
//! read of it before. Out: `fuel.requests`, each record with its origin; `fuel.rejected` for what cannot be understood; tables to be
//! saved. Blocking: one thread, and one more for
//! commits. Adds well under a millisecond: nothing is awaited per record, and a record of a known card is sent at once. The
//! first record of a new card waits for a commit, some milliseconds.
//!
//! Guarantees, whatever dies and whenever:
//! 1. Every record reaches `fuel.requests` or `fuel.rejected` at least once, in its partition's order. Positions are
//!    committed after delivery, the producer keeps order through retries and stops at a gap, and a failed delivery ends the
//!    process. So each target partition sees a repeatable prefix of an origin partition, and its reader drops repeats by
//!    the highest origin offset seen.
//! 2. A repeat goes to the same target partition as before; otherwise two partitions would decide it. Orders name their
//!    contract, and a card never changes its contract. The danger is a card that is unknown to one and known to another
//!    who routes the record too. Therefore a record is sent as unknown only after a commit
//!    that names its offset in the metadata (the plan) is confirmed, and every later commit at or below that offset names it
//!    again; and a card counts as known only after a commit that was sent when it had been read is confirmed. Whoever gets
//!    a partition reads position and plan together, and `fuel.cards` to the end that it has then:
//!    - crash before the plan is committed: nothing was sent, all is open;
//!    - crash after it, before or during sending: the same offsets are unknown again; for all others the card was known by
//!      a commit of the one before, so its entry stood in `fuel.cards` before the partition changed hands: it is known again;
//!    - answer to the plan's commit lost: it may have been stored, so it stays proposed, unchanged, until a commit of it
//!      or of more is confirmed; the records go on waiting;
//!    - records of known cards behind an unknown one wait with it, so the order holds.
//! 3. A second router that took a partition over, or one that was started by mistake with the same name, cannot mix with the
//!    first: Kafka's group gives a partition to one member and refuses the commits of a replaced one, and without a commit
//!    there is no plan and no unknown record, and no further card is known. What the old one still sends of cards that it
//!    knew is a repeat.
//!
//! Does not guarantee: that a rejection is written once (after a crash it may repeat, under the same key); order between
//! partitions. One assumption is not enforced: that a broker never applies a commit from a broken connection after a later
//! one from the next connection.

pub mod card_table;
mod group;
pub mod lane;
pub mod lanes;
mod outlet;
pub mod plan;
pub mod progress;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use model::{LogSettings, PartitionId, Rejection, Request, RequestBody, TimestampUs, Topic};
use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;

use crate::identity::{Identity, members_of};
use crate::kafka::{self, Trouble};
use crate::{Error, decode, rejected};
use card_table::follower::{Follower, SavedTables};
use group::{Change, Group};
use lanes::{Arrival, Lanes, Routed, Tag};
use outlet::{Outgoing, Outlet};

/// Where to read and write, and under which name positions are kept.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    pub log: LogSettings,
    /// The consumer group that keeps the positions.
    pub group: String,
    /// Names this process among the routers of the group, stable over restarts. A second one with the same name replaces
    /// the first, which ends with [`Error::Replaced`].
    pub instance: String,
}

impl RouteConfig {
    /// The names for a single router.
    #[must_use]
    pub fn new(log: LogSettings) -> Self {
        Self { log, group: "forecourt-route".to_owned(), instance: "forecourt".to_owned() }
    }
}

/// Records taken from the group before deliveries and commits are looked at.
const BATCH_MAX: usize = 512;
/// Records that are waiting or in flight before reading pauses; it goes on at half.
const HELD_MAX: usize = 10_000;
const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// Records delivered since the last commit that call for one before its time.
const COMMIT_RECORDS: usize = 5_000;
/// Wait for records when nothing is under way.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Wait for records when a plan is: its answer arrives elsewhere.
const PLAN_WAIT: Duration = Duration::from_millis(1);
const REJOIN_PAUSE: Duration = Duration::from_millis(100);
/// How long another process under the same name may take to end. Kafka forgets it after its session ([`group`]).
const STRANGER_PATIENCE: Duration = Duration::from_secs(30);
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);
const LAST_COMMIT_PATIENCE: Duration = Duration::from_secs(1);
/// Card entries left to read with which the group is joined already.
const LEFT_WHEN_JOINING_MAX: i64 = 10_000;

const _: () = assert!(BATCH_MAX <= HELD_MAX && HELD_MAX * 2 <= kafka::PRODUCER_RECORDS_MAX);

/// Runs until `stop` becomes true, or until a guarantee can no longer be kept. Blocks; give it a thread. Without saved card tables
/// it begins with reading all of `fuel.cards`.
#[expect(clippy::needless_pass_by_value, reason = "its thread owns them")]
pub fn run(config: RouteConfig, saved: Option<SavedTables>, stop: Arc<AtomicBool>) -> Result<(), Error> {
    let outlet = Outlet::open(&config.log, stop.clone())?;
    let mut cards = Follower::open(&config.log, saved)?;
    // Others must not wait long for a member that has joined; while little is left to read, joining goes on beside it.
    if cards.left_at_open > LEFT_WHEN_JOINING_MAX && !cards.read_all(IDLE_WAIT, &stop)? {
        return Ok(());
    }
    let mut router = Router::start(config, cards, outlet, &stop)?;
    if !router.cards.read_all(IDLE_WAIT, &stop)? {
        return Ok(());
    }
    let (cards, RouteConfig { group, instance, .. }) = (router.cards.cards.known(), &router.config);
    tracing::info!(cards, group, instance, "routing begins");
    while !stop.load(Ordering::Relaxed) {
        match router.take_turn() {
            Err(Error::Replaced { role, detail }) => router.rejoin(Error::Replaced { role, detail })?,
            result => result?,
        }
    }
    router.finish()
}

struct Router {
    config: RouteConfig,
    requests_name: String,
    rejected_name: String,
    cards: Follower,
    group: Group,
    identity: Identity,
    stop: Arc<AtomicBool>,
    outlet: Outlet,
    lanes: Lanes,
    paused: bool,
    commit_on_its_way: bool,
    /// Cards that were known when the last commit was sent.
    known_at_commit: usize,
    last_commit: Instant,
    delivered_since: usize,
    buffer: Vec<u8>,
    metrics: Meters,
}

struct Meters {
    transactions: Counter,
    commands: Counter,
    unknown_cards: Counter,
    held: Gauge,
}

impl Router {
    fn start(config: RouteConfig, cards: Follower, outlet: Outlet, stop: &Arc<AtomicBool>) -> Result<Self, Error> {
        let identity = Identity::of("router", &config.instance);
        Ok(Self {
            requests_name: config.log.topic_name(Topic::Requests),
            rejected_name: config.log.topic_name(rejected::TOPIC),
            cards,
            group: Group::join(&config, &identity)?,
            identity,
            stop: stop.clone(),
            outlet,
            lanes: Lanes::new(config.log.partitions),
            paused: false,
            commit_on_its_way: false,
            known_at_commit: 0,
            last_commit: Instant::now(),
            delivered_since: 0,
            buffer: Vec::with_capacity(decode::REQUEST_BYTES_MAX),
            metrics: Meters {
                transactions: metrics::counter!("forecourt_routed_total", "kind" => "transaction"),
                commands: metrics::counter!("forecourt_routed_total", "kind" => "command"),
                unknown_cards: metrics::counter!("forecourt_routed_unknown_cards_total"),
                held: metrics::gauge!("forecourt_route_held"),
            },
            config,
        })
    }

    fn take_turn(&mut self) -> Result<(), Error> {
        self.take_batch()?;
        self.settle()?;
        self.commit()
    }

    /// Joins the group again, unless another process goes on holding the name. After an outage that outlasts the session,
    /// Kafka's client gives itself a new identity and may take its own old one for a stranger's. And a process that was
    /// replaced while it stood still takes the name back when it wakes up, before it learns of that and ends.
    fn rejoin(&mut self, error: Error) -> Result<(), Error> {
        let deadline = Instant::now() + STRANGER_PATIENCE;
        let mut is_told = false;
        loop {
            match members_of(self.outlet.client(), &self.config.group) {
                Ok(members) if self.identity.is_held_by_another(&members) => {
                    if Instant::now() >= deadline {
                        return Err(error);
                    }
                    if !is_told {
                        tracing::warn!(%error, "another process holds this name, waiting for its end");
                        is_told = true;
                    }
                    std::thread::sleep(REJOIN_PAUSE);
                }
                // A commit of the old membership must not follow one of the new.
                Ok(_) if !self.commit_on_its_way => break,
                Ok(_) => drop(self.take_answer(REJOIN_PAUSE)),
                Err(_) if Instant::now() < deadline => std::thread::sleep(REJOIN_PAUSE),
                Err(_) => return Err(error),
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        tracing::warn!(%error, "no other process holds this name, joining again");
        self.give_up_lanes();
        self.group = Group::join(&self.config, &self.identity)?;
        Ok(())
    }

    fn give_up_lanes(&mut self) {
        self.lanes.lost_all();
        self.paused = false;
    }

    /// Waits for records, then routes what is there.
    fn take_batch(&mut self) -> Result<(), Error> {
        let mut wait = if self.lanes.wants_commit() || self.paused { PLAN_WAIT } else { IDLE_WAIT };
        let consumer = self.group.consumer.clone();
        let mut received_at = None;
        for _ in 0..BATCH_MAX {
            let polled = consumer.poll(wait);
            self.apply_changes()?;
            match polled {
                None => break,
                Some(Ok(message)) => {
                    // One look at the clock and the card table serves the batch.
                    let received_at = match received_at {
                        Some(at) => at,
                        None => {
                            self.cards.refresh()?;
                            consumer.context().watch().well();
                            *received_at.insert(kafka::now())
                        }
                    };
                    self.route(&message, received_at)?;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => consumer.context().watch().well(),
                Some(Err(error)) => self.weigh(error)?,
            }
            wait = Duration::ZERO;
        }
        if received_at.is_none() {
            self.cards.refresh()?;
        }
        Ok(())
    }

    fn weigh(&self, error: KafkaError) -> Result<(), Error> {
        match kafka::trouble(&error) {
            Trouble::Passing => {
                self.group.consumer.context().watch().trouble(&error, "routing");
                Ok(())
            }
            Trouble::Replaced => Err(replaced(&error)),
            Trouble::OffsetGone | Trouble::Fatal => {
                Err(Error::Kafka { action: "read transactions and commands".to_owned(), source: error })
            }
        }
    }

    fn apply_changes(&mut self) -> Result<(), Error> {
        let mut gained = 0;
        for change in self.group.consumer.context().take_changes() {
            match change? {
                Change::CardsReach(ends) => {
                    // Whoever had the partitions before may know cards that we have not read of.
                    if !self.cards.catch_up(&ends, IDLE_WAIT, &self.stop)? {
                        return Ok(());
                    }
                }
                Change::Gained { topic, partition, start } => {
                    tracing::debug!(%partition, ?topic, position = start.position, "routing a partition");
                    if !self.lanes.gained(topic, partition, start) {
                        let (topic, partitions) = (self.config.log.topic_name(topic), self.config.log.partitions);
                        return Err(Error::Partitions { topic, partition, partitions });
                    }
                    gained += 1;
                }
                Change::LostAll => {
                    self.give_up_lanes();
                    tracing::info!("partitions are given up");
                }
            }
        }
        if gained > 0 {
            tracing::info!(partitions = gained, "routing partitions");
        }
        Ok(())
    }

    fn route(&mut self, message: &BorrowedMessage<'_>, received_at_us: TimestampUs) -> Result<(), Error> {
        let Some(topic) = self.group.consumer.context().topic(message.topic()) else { return Ok(()) };
        let arrival = Arrival {
            topic,
            topic_name: message.topic(),
            partition: PartitionId(message.partition()),
            offset: message.offset(),
            payload: message.payload().unwrap_or_default(),
            received_at_us,
        };
        match self.lanes.take(arrival, &self.cards.cards) {
            Some((tag, Routed::Request(request))) => self.send(tag, &request),
            Some((tag, Routed::Rejection(rejection))) => self.reject(tag, &rejection),
            None => Ok(()),
        }
    }

    fn send(&mut self, tag: Tag, request: &Request) -> Result<(), Error> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, request)
            .map_err(|source| Error::Encode { topic: Topic::Requests, source })?;
        match &request.body {
            RequestBody::Transaction(_) => self.metrics.transactions.increment(1),
            RequestBody::Command(_) => self.metrics.commands.increment(1),
            // The ledger's owner writes these itself.
            RequestBody::Tick(_) => {}
        }
        if request.contract.is_none() {
            self.metrics.unknown_cards.increment(1);
        }
        let key = request.key();
        let partition = self.config.log.partition_of(key);
        let (topic, value) = (self.requests_name.as_str(), self.buffer.as_slice());
        self.outlet.send(tag, Outgoing { topic, partition, key, value, headers: None })
    }

    fn reject(&mut self, tag: Tag, rejection: &Rejection) -> Result<(), Error> {
        let record = rejected::record(rejection, &self.config.log);
        let outgoing = Outgoing {
            topic: &self.rejected_name,
            partition: record.partition,
            key: &record.key,
            value: &record.value,
            headers: Some(record.headers),
        };
        self.outlet.send(tag, outgoing)
    }

    /// Takes in delivery reports; pauses reading while too much is under way.
    fn settle(&mut self) -> Result<(), Error> {
        let (lanes, delivered) = (&mut self.lanes, &mut self.delivered_since);
        self.outlet.reports(|tag| {
            *delivered += 1;
            lanes.delivered(tag);
        })?;
        let held = self.lanes.held();
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        self.metrics.held.set(held as f64);
        let pause = if self.paused { held > HELD_MAX / 2 } else { held > HELD_MAX };
        if pause != self.paused {
            self.pause(pause)?;
        }
        Ok(())
    }

    fn pause(&mut self, pause: bool) -> Result<(), Error> {
        let consumer = &self.group.consumer;
        let result =
            consumer.assignment().and_then(|all| if pause { consumer.pause(&all) } else { consumer.resume(&all) });
        result.map_err(|source| Error::Kafka { action: "pause or resume reading".to_owned(), source })?;
        self.paused = pause;
        Ok(())
    }

    /// Takes in the answer to a commit, releases what waited for it, and sends the next commit when it is time.
    fn commit(&mut self) -> Result<(), Error> {
        if self.commit_on_its_way {
            self.take_answer(Duration::ZERO)?;
        }
        if self.commit_on_its_way {
            return Ok(());
        }
        let is_time = self.last_commit.elapsed() >= COMMIT_EVERY || self.delivered_since >= COMMIT_RECORDS;
        if !is_time && !self.lanes.wants_commit() {
            return Ok(());
        }
        let ready = self.lanes.propose(&self.cards.cards);
        self.send_all(ready)?;
        self.send_commit();
        Ok(())
    }

    fn send_commit(&mut self) {
        let commits = self.lanes.commits(&self.cards.cards);
        if !commits.is_empty() {
            self.group.commit(commits);
            self.commit_on_its_way = true;
            self.known_at_commit = self.cards.cards.known();
        }
        self.last_commit = Instant::now();
        self.delivered_since = 0;
    }

    fn take_answer(&mut self, wait: Duration) -> Result<(), Error> {
        let Some((commits, result)) = self.group.answer(wait) else { return Ok(()) };
        self.commit_on_its_way = false;
        if let Err(error) = &result {
            if group::is_replaced(error) {
                return Err(replaced(error));
            }
            if group::is_hopeless(error) {
                return Err(Error::Kafka { action: "commit positions".to_owned(), source: error.clone() });
            }
            self.group.consumer.context().watch().trouble(error, "committing positions");
        }
        if result.is_ok() {
            self.cards.cards.confirm(self.known_at_commit);
        }
        let ready = self.lanes.answered(commits, result.is_ok(), &self.cards.cards);
        self.send_all(ready)
    }

    /// Sends what waited and need not wait any longer.
    fn send_all(&mut self, ready: Vec<(Tag, Request)>) -> Result<(), Error> {
        ready.into_iter().try_for_each(|(tag, request)| self.send(tag, &request))
    }

    /// Delivers what is under way and commits it. What is not done in time is done again after the next start.
    fn finish(mut self) -> Result<(), Error> {
        let flushed = self.outlet.flush(FLUSH_PATIENCE);
        self.settle()?;
        if self.commit_on_its_way {
            self.take_answer(LAST_COMMIT_PATIENCE)?;
        }
        if !self.commit_on_its_way {
            self.send_commit();
            self.take_answer(LAST_COMMIT_PATIENCE)?;
        }
        tracing::info!(flushed, committed = !self.commit_on_its_way, "routing ends");
        Ok(())
    }
}

fn replaced(error: &KafkaError) -> Error {
    Error::Replaced { role: "the router", detail: error.to_string() }
}
