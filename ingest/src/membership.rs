//! Which partitions of a topic belong to this process, by a consumer group.
//!
//! In: what the group decides. Out: partitions gained and lost, in order. Guarantees: a partition that moves is lost before
//! it is gained again; the others go on untouched (cooperative assignment); a process that starts again under its name has
//! its partitions back at once; one whose name another process took is told. Does not: read the topic, keep positions, or
//! vouch that nobody else believes to own a partition at the same moment: the takeover in the log settles that.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{LogSettings, PartitionId, Topic};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::Error;
use crate::identity::{Identity, members_of};
use crate::kafka::{self, Trouble, Watch};

/// A member that is silent for so long loses its partitions to others.
const SESSION_TIMEOUT_MS: &str = "10000";
/// A member learns with its heartbeat that partitions move, and those that do wait for all to have learned it.
const HEARTBEAT_MS: &str = "300";
const REJOIN_PAUSE: Duration = Duration::from_millis(100);

/// What to follow, and as whom.
#[derive(Clone, Debug)]
pub struct MembershipConfig {
    pub log: LogSettings,
    pub topic: Topic,
    /// What the members of the group do, `ledger`: names the group, `{prefix}.ledger`.
    pub role: &'static str,
    /// Names this process among the members, stable over restarts.
    pub instance: String,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    Gained(Vec<PartitionId>),
    Lost(Vec<PartitionId>),
}

/// A member of the group, from the moment of joining on. Blocking; to be polled at least once in some seconds.
pub struct Membership {
    config: MembershipConfig,
    group: String,
    identity: Identity,
    consumer: BaseConsumer<Callbacks>,
    /// What the group gave us last.
    owned: Vec<PartitionId>,
    has_answered: bool,
}

impl Membership {
    /// Asks for membership; partitions come with [`Membership::poll`].
    pub fn join(config: MembershipConfig) -> Result<Self, Error> {
        let identity = Identity::of(config.role, &config.instance);
        let group = format!("{}.{}", config.log.topic_prefix, config.role);
        let consumer = connect(&config, &group, &identity)?;
        Ok(Self { config, group, identity, consumer, owned: Vec::new(), has_answered: false })
    }

    /// Whether the group has answered: until then nothing is known.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// What happened since the last call; waits up to `wait` for something to happen. [`Error::Replaced`] when another
    /// process holds our name.
    pub fn poll(&mut self, wait: Duration) -> Result<Vec<Moved>, Error> {
        // Partitions are paused: what comes is events.
        if let Some(Err(error)) = self.consumer.poll(wait) {
            match kafka::trouble(&error) {
                Trouble::Passing | Trouble::OffsetGone => self.consumer.context().watch.trouble(&error, "membership"),
                Trouble::Replaced => self.rejoin(&error)?,
                Trouble::Fatal => {
                    return Err(Error::Kafka { action: format!("be a member of {}", self.group), source: error });
                }
            }
        }
        let moves = std::mem::take(&mut *self.consumer.context().lock());
        for moved in &moves {
            self.consumer.context().watch.well();
            self.has_answered = true;
            match moved {
                Moved::Gained(partitions) => self.owned.extend(partitions),
                Moved::Lost(partitions) => self.owned.retain(|partition| !partitions.contains(partition)),
            }
        }
        Ok(moves)
    }

    /// Joins again, unless another process holds the name. After an outage that outlasts the session, Kafka's client gives
    /// itself a new identity and may take its own old one for a stranger's.
    fn rejoin(&mut self, error: &KafkaError) -> Result<(), Error> {
        let deadline = Instant::now() + kafka::OPEN_PATIENCE;
        let replaced = || Error::Replaced { role: self.config.role, detail: error.to_string() };
        loop {
            match members_of(self.consumer.client(), &self.group) {
                Ok(members) if self.identity.is_held_by_another(&members) => return Err(replaced()),
                Ok(_) => break,
                Err(_) if Instant::now() < deadline => std::thread::sleep(REJOIN_PAUSE),
                Err(_) => return Err(replaced()),
            }
        }
        tracing::warn!(role = self.config.role, %error, "no other process holds this name, joining again");
        let lost = std::mem::take(&mut self.owned);
        let missed = std::mem::take(&mut *self.consumer.context().lock());
        self.consumer = connect(&self.config, &self.group, &self.identity)?;
        // What the old membership had not told yet ended with it.
        drop(missed);
        self.consumer.context().lock().push(Moved::Lost(lost));
        Ok(())
    }
}

fn connect(config: &MembershipConfig, group: &str, identity: &Identity) -> Result<BaseConsumer<Callbacks>, Error> {
    let topic = config.log.topic_name(config.topic);
    let callbacks = Callbacks { watch: Watch::new(config.role), moves: Mutex::default() };
    let consumer: BaseConsumer<Callbacks> = kafka::consumer(&config.log, &identity.client_id, group)
        .set("group.instance.id", &config.instance)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", SESSION_TIMEOUT_MS)
        .set("heartbeat.interval.ms", HEARTBEAT_MS)
        .create_with_context(callbacks)
        .map_err(|source| Error::Kafka { action: format!("create a member of {group}"), source })?;
    consumer.subscribe(&[&topic]).map_err(|source| Error::Kafka { action: format!("join {group}"), source })?;
    Ok(consumer)
}

/// What librdkafka calls back: all on the thread that polls.
struct Callbacks {
    watch: Watch,
    moves: Mutex<Vec<Moved>>,
}

impl Callbacks {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Moved>> {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, moved: impl FnOnce(Vec<PartitionId>) -> Moved, list: &TopicPartitionList) {
        let partitions = list.elements().iter().map(|element| PartitionId(element.partition())).collect();
        self.lock().push(moved(partitions));
    }
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.tell(Moved::Gained, list);
            // Nothing is read here: whoever reads a partition has its own position.
            list.set_all_offsets(Offset::End)
                .and_then(|()| consumer.incremental_assign(list))
                .and_then(|()| consumer.pause(list))
        } else {
            self.tell(Moved::Lost, list);
            consumer.incremental_unassign(list)
        };
        if let Err(error) = done {
            tracing::warn!(%error, "answering the group");
        }
    }
}
