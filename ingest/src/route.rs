//! Routes transactions and orders, which come with any key, to the partition of their contract.
//!
//! In: `fuel.transactions`, `fuel.commands`, and `fuel.cards` (which card belongs to which contract). Out: `fuel.requests`,
//! each record with its origin; `fuel.rejected` for what cannot be understood. Blocking: one thread, and one more for
//! commits. Adds well under a millisecond: nothing is awaited per record, and a record of a known card is sent at once.
//!
//! Guarantees, whatever dies and whenever:
//! 1. Every record reaches `fuel.requests` or `fuel.rejected` at least once, in its partition's order. Positions are
//!    committed after delivery, the producer keeps order through retries and stops at a gap, and a failed delivery ends the
//!    process. So each target partition sees a repeatable prefix of an origin partition, and its reader drops repeats by
//!    the highest origin offset seen.
//! 2. A repeat goes to the same target partition as before; otherwise two partitions would decide it. Orders name their
//!    contract. A card never changes its contract, so a transaction of a known card is safe. The danger is a card that is
//!    unknown now and known when the record is routed again. Therefore a record is sent as unknown only after a commit
//!    that names its offset in the metadata (the plan) is confirmed, and every later commit at or below that offset names it
//!    again. Whoever takes the partition over reads position and plan together:
//!    - crash before the plan is committed: nothing was sent, all is open;
//!    - crash after it, before or during sending: the same offsets are unknown again; all others were known to a table
//!      read from `fuel.cards`, which the successor reads to its end first, so they are known again;
//!    - answer to the plan's commit lost: it may have been stored, so it stays proposed, unchanged, until a commit of it
//!      or of more is confirmed; the records go on waiting;
//!    - records of known cards behind an unknown one wait with it, so the order holds.
//! 3. A second router that took a partition over, or one that was started by mistake with the same name, cannot mix with the
//!    first: Kafka's group gives a partition to one member, refuses the commits of a replaced one, and without a commit
//!    there is no plan and no unknown record. What the old one still sends of known cards is a repeat.
//!
//! Does not guarantee: that a rejection is written once (after a crash it may repeat, under the same key); order between
//! partitions. One assumption is not enforced: that a broker never applies a commit from a broken connection after a later
//! one from the next connection.

mod card_table;
mod group;
mod lane;
mod outlet;
mod plan;
mod progress;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use model::{
    FORMAT_VERSION, LogSettings, Origin, OriginTopic, PartitionId, Rejection, Request, RequestBody, Source,
    TimestampUs, Topic,
};
use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;

use crate::identity::{Identity, members_of};
use crate::kafka::{self, Trouble};
use crate::{Error, decode, rejected};
use card_table::CardTable;
use group::{Change, Group};
use lane::Lane;
use outlet::{Outgoing, Outlet, Tag};
use progress::Ticket;

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
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);
const LAST_COMMIT_PATIENCE: Duration = Duration::from_secs(1);

const _: () = assert!(BATCH_MAX <= HELD_MAX && HELD_MAX * 2 <= kafka::PRODUCER_RECORDS_MAX);

/// Runs until `stop` becomes true, or until a guarantee can no longer be kept. Blocks; give it a thread.
#[expect(clippy::needless_pass_by_value, reason = "its thread owns both")]
pub fn run(config: RouteConfig, stop: Arc<AtomicBool>) -> Result<(), Error> {
    let mut cards = CardTable::open(&config.log)?;
    while !cards.is_complete() {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        cards.refresh(IDLE_WAIT)?;
    }
    tracing::info!(cards = cards.len(), group = config.group, instance = config.instance, "routing begins");
    let mut router = Router::start(config, cards, &stop)?;
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
    cards: CardTable,
    group: Group,
    identity: Identity,
    stop: Arc<AtomicBool>,
    outlet: Outlet,
    /// By topic, then partition.
    slots: Vec<Slot>,
    paused: bool,
    commit_on_its_way: bool,
    last_commit: Instant,
    delivered_since: usize,
    buffer: Vec<u8>,
    metrics: Meters,
}

/// A place for a lane. Tickets never repeat, so they outlive the lane.
struct Slot {
    topic: Topic,
    partition: PartitionId,
    lane: Option<Lane>,
    next_ticket: Ticket,
}

struct Meters {
    transactions: Counter,
    commands: Counter,
    unknown_cards: Counter,
    held: Gauge,
}

impl Router {
    fn start(config: RouteConfig, cards: CardTable, stop: &Arc<AtomicBool>) -> Result<Self, Error> {
        let identity = Identity::of("router", &config.instance);
        let slots = group::TOPICS
            .iter()
            .flat_map(|topic| config.log.all_partitions().map(|partition| (*topic, partition)))
            .map(|(topic, partition)| Slot { topic, partition, lane: None, next_ticket: Ticket(0) })
            .collect();
        Ok(Self {
            requests_name: config.log.topic_name(Topic::Requests),
            rejected_name: config.log.topic_name(rejected::TOPIC),
            cards,
            group: Group::join(&config, &identity)?,
            identity,
            stop: stop.clone(),
            outlet: Outlet::open(&config.log, stop.clone())?,
            slots,
            paused: false,
            commit_on_its_way: false,
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

    /// Joins the group again, unless another process holds the name. After an outage that outlasts the session, Kafka's
    /// client gives itself a new identity and may take its own old one for a stranger's.
    fn rejoin(&mut self, error: Error) -> Result<(), Error> {
        let deadline = Instant::now() + kafka::OPEN_PATIENCE;
        loop {
            match members_of(self.outlet.client(), &self.config.group) {
                Ok(members) if self.identity.is_held_by_another(&members) => return Err(error),
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
        for slot in &mut self.slots {
            if let Some(lane) = slot.lane.take() {
                slot.next_ticket = lane.next_ticket();
            }
        }
        self.paused = false;
    }

    /// Waits for records, then routes what is there.
    fn take_batch(&mut self) -> Result<(), Error> {
        let a_plan_waits = self.lanes().any(Lane::wants_plan);
        let mut wait = if a_plan_waits || self.paused { PLAN_WAIT } else { IDLE_WAIT };
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
                            self.cards.refresh(Duration::ZERO)?;
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
            self.cards.refresh(Duration::ZERO)?;
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
                Change::Gained { topic, partition, start } => {
                    let index = self.slot(topic, partition).ok_or_else(|| Error::Partitions {
                        topic: self.config.log.topic_name(topic),
                        partition,
                        partitions: self.config.log.partitions,
                    })?;
                    let slot = &mut self.slots[index];
                    tracing::debug!(%partition, ?topic, position = start.position, "routing a partition");
                    gained += 1;
                    slot.lane = Some(Lane::begin(start, slot.next_ticket));
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

    fn slot(&self, topic: Topic, partition: PartitionId) -> Option<usize> {
        let partitions = usize::try_from(self.config.log.partitions).ok()?;
        let index = group::TOPICS.iter().position(|known| *known == topic)? * partitions + partition.index();
        self.slots.get(index).filter(|slot| slot.topic == topic && slot.partition == partition)?;
        Some(index)
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.slots.iter().filter_map(|slot| slot.lane.as_ref())
    }

    fn route(&mut self, message: &BorrowedMessage<'_>, received_at_us: TimestampUs) -> Result<(), Error> {
        let (partition, offset) = (PartitionId(message.partition()), message.offset());
        let Some(topic) = self.group.consumer.context().topic(message.topic()) else { return Ok(()) };
        let Some(index) = self.slot(topic, partition) else { return Ok(()) };
        let Some(lane) = &mut self.slots[index].lane else { return Ok(()) };
        let payload = message.payload().unwrap_or_default();
        let (origin_topic, decoded) = match topic {
            Topic::Commands => {
                (OriginTopic::Commands, decode::command(payload).map(|order| RequestBody::Command(Box::new(order))))
            }
            _ => (
                OriginTopic::Transactions,
                decode::transaction(payload).map(|message| RequestBody::Transaction(Box::new(message))),
            ),
        };
        match decoded {
            Ok(body) => {
                let contract = match &body {
                    RequestBody::Command(command) => Some(command.contract.clone()),
                    RequestBody::Transaction(_) | RequestBody::Tick(_) => None,
                };
                let origin = Some(Origin { topic: origin_topic, partition, offset });
                let request = Request { v: FORMAT_VERSION, origin, received_at_us, contract, body };
                if let Some((ticket, request)) = lane.admit(offset, request, |card| self.cards.contract_of(card)) {
                    self.send(Tag { lane: index, ticket }, &request)?;
                }
                Ok(())
            }
            Err((reason, detail)) => {
                let ticket = lane.take(offset);
                let source = Source::Kafka { topic: message.topic().to_owned(), partition: partition.0, offset };
                let rejection = Rejection { reason, detail, source, received_at_us, raw: payload.to_vec() };
                self.reject(Tag { lane: index, ticket }, &rejection)
            }
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
        let (slots, delivered) = (&mut self.slots, &mut self.delivered_since);
        self.outlet.reports(|tag| {
            *delivered += 1;
            if let Some(lane) = slots.get_mut(tag.lane).and_then(|slot| slot.lane.as_mut()) {
                lane.delivered(tag.ticket);
            }
        })?;
        let held: usize = self.lanes().map(Lane::held).sum();
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
        if !is_time && !self.lanes().any(Lane::wants_plan) {
            return Ok(());
        }
        for index in 0..self.slots.len() {
            self.release(index)?;
            if let Some(lane) = &mut self.slots[index].lane {
                lane.propose(|card| self.cards.contract_of(card));
            }
        }
        self.send_commit();
        Ok(())
    }

    fn send_commit(&mut self) {
        let commits: Vec<_> = self
            .slots
            .iter_mut()
            .filter_map(|slot| {
                let commit = slot.lane.as_mut()?.commit()?;
                Some((slot.topic, slot.partition, commit))
            })
            .collect();
        if !commits.is_empty() {
            self.group.commit(commits);
            self.commit_on_its_way = true;
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
        for (topic, partition, commit) in commits {
            let Some(index) = self.slot(topic, partition) else { continue };
            if let Some(lane) = &mut self.slots[index].lane {
                if result.is_ok() { lane.committed(commit) } else { lane.commit_failed() }
            }
            self.release(index)?;
        }
        Ok(())
    }

    /// Sends what waited and need not wait any longer.
    fn release(&mut self, index: usize) -> Result<(), Error> {
        loop {
            let Some(lane) = &mut self.slots[index].lane else { return Ok(()) };
            let Some((ticket, request)) = lane.release(|card| self.cards.contract_of(card)) else { return Ok(()) };
            self.send(Tag { lane: index, ticket }, &request)?;
        }
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
