//! The router's membership in its consumer group: which partitions it has, from where, and its commits.
//!
//! In: assignments by Kafka, commits by the router. Out: gained and lost partitions with their committed plans; answers.
//! Guarantees: at most one commit is on its way, and none while partitions change hands, so an older commit never follows
//! a newer one; a member that was replaced cannot commit. Does not: decide what to commit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{PartitionId, Topic};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::RouteConfig;
use super::lane::Start;
use super::lanes::{Commits, TOPICS};
use super::plan::Plan;
use crate::Error;
use crate::identity::Identity;
use crate::kafka::{self, Watch};

/// A member that is silent for so long loses its partitions to others.
const SESSION_TIMEOUT_MS: &str = "10000";
const STATISTICS_EVERY_MS: &str = "5000";
/// How often a revocation looks whether the commit on its way is through.
const COMMIT_LOOK: Duration = Duration::from_millis(1);

/// What changed since the last look.
pub(super) enum Change {
    /// What `fuel.cards` held when the partitions that follow were ours: up to but not including these offsets.
    CardsReach(Vec<(PartitionId, i64)>),
    Gained {
        topic: Topic,
        partition: PartitionId,
        start: Start,
    },
    LostAll,
}

pub(super) struct Group {
    pub(super) consumer: Arc<BaseConsumer<Membership>>,
    jobs: SyncSender<Commits>,
    answers: Receiver<(Commits, Result<(), KafkaError>)>,
}

impl Group {
    pub(super) fn join(config: &RouteConfig, identity: &Identity) -> Result<Self, Error> {
        let names = TOPICS.map(|topic| config.log.topic_name(topic));
        let commit_on_its_way = Arc::new(AtomicBool::new(false));
        let membership = Membership {
            watch: Watch::new("router"),
            names: names.clone(),
            cards_name: config.log.topic_name(Topic::Cards),
            partitions: config.log.partitions,
            changes: Mutex::default(),
            commit_on_its_way: commit_on_its_way.clone(),
        };
        let consumer: BaseConsumer<Membership> = kafka::consumer(&config.log, &identity.client_id, &config.group)
            .set("group.instance.id", &config.instance)
            .set("session.timeout.ms", SESSION_TIMEOUT_MS)
            .set("heartbeat.interval.ms", "1000")
            .set("statistics.interval.ms", STATISTICS_EVERY_MS)
            .create_with_context(membership)
            .map_err(|source| Error::Kafka { action: "create the router's consumer".to_owned(), source })?;
        consumer
            .subscribe(&names.each_ref().map(String::as_str))
            .map_err(|source| Error::Kafka { action: format!("subscribe to {}", names.join(", ")), source })?;
        let consumer = Arc::new(consumer);
        let (jobs, take_jobs) = sync_channel::<Commits>(1);
        let (give_answers, answers) = sync_channel(1);
        let clerk = Clerk { consumer: consumer.clone(), names, commit_on_its_way };
        std::thread::Builder::new()
            .name("route-commit".to_owned())
            .spawn(move || clerk.run(&take_jobs, &give_answers))
            .map_err(|source| Error::Thread { name: "route-commit", source })?;
        Ok(Self { consumer, jobs, answers })
    }

    /// Sends a commit on its way. To be called only when none is.
    pub(super) fn commit(&self, commits: Commits) {
        let was_on_its_way = self.consumer.context().commit_on_its_way.swap(true, Ordering::AcqRel);
        assert!(!was_on_its_way, "one commit at a time");
        if self.jobs.send(commits).is_err() {
            unreachable!("the commit thread lives as long as its channel");
        }
    }

    /// The answer to the commit on its way, if it is there within `wait`.
    pub(super) fn answer(&self, wait: Duration) -> Option<(Commits, Result<(), KafkaError>)> {
        self.answers.recv_timeout(wait).ok()
    }
}

/// Commits one after the other, on a thread of its own: an answer takes milliseconds, and records must not wait for it.
struct Clerk {
    consumer: Arc<BaseConsumer<Membership>>,
    names: [String; 2],
    commit_on_its_way: Arc<AtomicBool>,
}

impl Clerk {
    fn run(&self, jobs: &Receiver<Commits>, answers: &SyncSender<(Commits, Result<(), KafkaError>)>) {
        for commits in jobs {
            let result = self.commit(&commits);
            self.commit_on_its_way.store(false, Ordering::Release);
            if answers.send((commits, result)).is_err() {
                return;
            }
        }
    }

    fn commit(&self, commits: &Commits) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for (topic, partition, commit) in commits {
            let name = self.names.iter().zip(TOPICS).find(|(_, known)| known == topic).map(|(name, _)| name);
            let Some(name) = name else { continue };
            let mut element = list.add_partition(name, partition.0);
            element.set_offset(Offset::Offset(commit.position))?;
            element.set_metadata(&commit.metadata);
        }
        self.consumer.commit(&list, CommitMode::Sync)?;
        list.elements().iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)
    }
}

/// Whether a commit that failed with this will never succeed.
pub(super) fn is_hopeless(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| {
        matches!(
            code,
            RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::OffsetMetadataTooLarge
                | RDKafkaErrorCode::InvalidCommitOffsetSize
        )
    })
}

pub(super) fn is_replaced(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::FencedInstanceId)
}

/// What librdkafka calls back: all on the thread that polls.
pub(super) struct Membership {
    watch: Watch,
    names: [String; 2],
    cards_name: String,
    partitions: i32,
    changes: Mutex<Vec<Result<Change, Error>>>,
    commit_on_its_way: Arc<AtomicBool>,
}

impl Membership {
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(super) fn topic(&self, name: &str) -> Option<Topic> {
        self.names.iter().zip(TOPICS).find(|(known, _)| *known == name).map(|(_, topic)| topic)
    }

    pub(super) fn take_changes(&self) -> Vec<Result<Change, Error>> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn changed(&self, changes: impl IntoIterator<Item = Result<Change, Error>>) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).extend(changes);
    }

    /// Finds out where the gained partitions begin, and begins there.
    fn assign(&self, consumer: &BaseConsumer<Self>, gained: &TopicPartitionList) -> Result<Vec<Change>, Error> {
        let committed = kafka::ask(consumer, "read committed positions", |consumer, timeout| {
            consumer.committed_offsets(gained.clone(), timeout)
        })?;
        let begins = kafka::offsets_at(consumer, gained, Offset::Beginning)?;
        // The end of the card table is asked for together with others, after the positions and plans: what the one before had
        // confirmed stands before it.
        let mut with_cards = gained.clone();
        with_cards.add_partition_range(&self.cards_name, 0, self.partitions - 1);
        let ends = kafka::offsets_at(consumer, &with_cards, Offset::End)?;
        let offset_in = |list: &TopicPartitionList, topic: &str, partition: i32| {
            list.find_partition(topic, partition).and_then(|element| element.offset().to_raw()).unwrap_or(0)
        };
        let card_ends = (0..self.partitions).map(|p| (PartitionId(p), offset_in(&ends, &self.cards_name, p)));
        let mut changes = vec![Change::CardsReach(card_ends.collect())];
        let mut assignment = TopicPartitionList::new();
        for element in committed.elements() {
            let (name, partition) = (element.topic(), element.partition());
            let Some(topic) = self.topic(name) else { continue };
            let (begin, end) = (offset_in(&begins, name, partition), offset_in(&ends, name, partition));
            let start = match element.offset() {
                Offset::Offset(position) if !(begin..=end).contains(&position) => {
                    let partition = PartitionId(partition);
                    return Err(Error::OffsetGone { topic: name.to_owned(), partition, wanted: position, begin, end });
                }
                Offset::Offset(position) => Start { position, plan: plan_of(name, partition, &element, position) },
                _ => Start { position: begin, plan: Plan::default() },
            };
            assignment
                .add_partition_offset(name, partition, Offset::Offset(start.position))
                .map_err(|source| Error::Kafka { action: format!("assign {name}/{partition}"), source })?;
            changes.push(Change::Gained { topic, partition: PartitionId(partition), start });
        }
        consumer
            .assign(&assignment)
            .map_err(|source| Error::Kafka { action: "assign partitions".to_owned(), source })?;
        Ok(changes)
    }
}

fn plan_of(
    topic: &str,
    partition: i32,
    element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>,
    position: i64,
) -> Plan {
    Plan::decode(element.metadata(), position).unwrap_or_else(|error| {
        // Positions set by hand (kafka-consumer-groups) carry no plan.
        tracing::warn!(topic, partition, position, %error, "a committed position is not of a router");
        Plan::default()
    })
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
    fn stats(&self, statistics: Statistics) {
        for (name, topic) in &statistics.topics {
            for (partition, state) in &topic.partitions {
                if *partition >= 0 && state.consumer_lag >= 0 {
                    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
                    metrics::gauge!("forecourt_route_lag", "topic" => name.clone(), "partition" => partition.to_string())
                        .set(state.consumer_lag as f64);
                }
            }
        }
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        // A commit must not outlive the membership under which it was made.
        while self.commit_on_its_way.load(Ordering::Acquire) {
            std::thread::sleep(COMMIT_LOOK);
        }
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            match self.assign(consumer, list) {
                Ok(changes) => self.changed(changes.into_iter().map(Ok)),
                Err(error) => self.changed([Err(error)]),
            }
        } else {
            self.changed([Ok(Change::LostAll)]);
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "giving up partitions");
            }
        }
    }
}
