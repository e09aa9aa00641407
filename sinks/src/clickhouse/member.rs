//! Membership in the consumer group of one topic: who records it.
//!
//! The group has one member with a fixed instance id. A process that joins under this id takes its place at once, without
//! waiting for the session of a dead one to end, and the group refuses every later commit of the one before: it cannot
//! plan any more, so a pause of any length does no harm.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use model::LogSettings;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::watch;

use crate::kafka::REQUEST_TIMEOUT;
use crate::{Error, kafka};

/// Rows wait for company anyway.
const GATHER: Duration = Duration::from_millis(200);
const INSTANCE: &str = "recorder";
/// Longer than a member's session, so that one that died is gone by then.
const STRANGER_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// ClickHouse may be away for long, and nothing is polled meanwhile.
const POLL_INTERVAL_MAX_MS: &str = "86400000";

/// What the group gave us, told by callbacks.
#[derive(Debug, Default)]
pub(super) struct Member {
    assigned: AtomicUsize,
    assignments: AtomicUsize,
    revocations: AtomicUsize,
}

impl Member {
    /// How many partitions the group gave us; `None` before it decided.
    pub(super) fn assigned(&self) -> Option<usize> {
        (self.assignments.load(Ordering::Acquire) > 0).then(|| self.assigned.load(Ordering::Acquire))
    }

    /// True when the group took partitions back: what it knows of us is out of date.
    pub(super) fn is_revoked(&self) -> bool {
        self.revocations.load(Ordering::Acquire) > 0 || self.assignments.load(Ordering::Acquire) > 1
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        kafka::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka consumer");
    }
}

impl ConsumerContext for Member {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                self.assigned.store(partitions.count(), Ordering::Release);
                self.assignments.fetch_add(1, Ordering::AcqRel);
            }
            Rebalance::Revoke(_) | Rebalance::Error(_) => {
                self.revocations.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

/// A consumer that asks for membership; it is a member when [`Member::assigned`] says so, after polls.
pub(super) fn join(log: &LogSettings, group: &str, topic: &str) -> Result<BaseConsumer<Member>, Error> {
    let consumer: BaseConsumer<Member> = kafka::consumer_config(log, group, GATHER)
        .set("group.instance.id", INSTANCE)
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "1000")
        .set("max.poll.interval.ms", POLL_INTERVAL_MAX_MS)
        .set("enable.partition.eof", "true")
        .create_with_context(Member::default())
        .map_err(Error::kafka(format!("opening a consumer of {topic}")))?;
    consumer.subscribe(&[topic]).map_err(Error::kafka(format!("joining group {group}")))?;
    Ok(consumer)
}

/// Waits until the group has no member; false when it still has one after [`STRANGER_PATIENCE`], or when stopped. A
/// process that was replaced while it stood still takes its place back when it wakes up, before it learns of that and ends.
pub(super) fn is_left(log: &LogSettings, group: &str, stop: &watch::Receiver<bool>) -> bool {
    let Ok(client) = kafka::client_config(log).create::<BaseConsumer>() else { return false };
    let deadline = Instant::now() + STRANGER_PATIENCE;
    while !*stop.borrow() && Instant::now() < deadline {
        // Without an answer the group is as good as taken.
        let found = client.fetch_group_list(Some(group), REQUEST_TIMEOUT);
        if found.is_ok_and(|found| found.groups().iter().all(|group| group.members().is_empty())) {
            return true;
        }
        thread::sleep(LOOK_AGAIN);
    }
    false
}

/// Tells a member that was replaced from one that lost its connection.
pub(super) fn judge(consumer: &BaseConsumer<Member>, group: &str, error: Error) -> Error {
    match consumer.client().fatal_error() {
        Some((RDKafkaErrorCode::FencedInstanceId, _)) => Error::Replaced { group: group.to_owned() },
        _ => error,
    }
}
