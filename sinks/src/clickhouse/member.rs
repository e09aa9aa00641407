//! Membership in the consumer group of one topic: who records it.
//!
//! The group has one member with a fixed instance id. A process that joins under this id takes its place at once, without
//! waiting for the session of a dead one to end, and the group refuses every later commit of the one before: it cannot
//! plan any more, so a pause of any length does no harm. A process of another name joins only when the group has no
//! member; until then it stands by, and so does one that was replaced. (Kafka tells under which client id a place was first
//! taken, not who has it now: who was replaced cannot know the other from itself, and waits for any member to go.)

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::LogSettings;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::{Error, kafka};

/// Rows wait for company anyway.
const GATHER: Duration = Duration::from_millis(200);
const INSTANCE: &str = "recorder";
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

/// Who we are to the group: a name that outlives the process, and the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    name: String,
    client_id: String,
    /// Somebody took our place, and keeps it.
    pub(super) was_replaced: bool,
}

impl Identity {
    pub(super) fn of(instance: &str) -> Self {
        let name = format!("forecourt-recorder:{instance}:");
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let client_id = format!("{name}{}-{:x}", std::process::id(), since_epoch.as_nanos());
        Self { name, client_id, was_replaced: false }
    }

    /// Whether we leave the place to this member.
    fn yields_to(&self, member: &str) -> bool {
        self.was_replaced || !member.starts_with(&self.name)
    }

    /// The member for whom we stand by; `None` when the place is ours to take.
    pub(super) fn holder(&self, log: &LogSettings, group: &str) -> Result<Option<String>, Error> {
        let observer: BaseConsumer =
            kafka::client_config(log).create().map_err(Error::kafka(format!("asking who is in group {group}")))?;
        let groups = observer
            .fetch_group_list(Some(group), kafka::REQUEST_TIMEOUT)
            .map_err(Error::kafka(format!("asking who is in group {group}")))?;
        let members = groups.groups().iter().flat_map(|group| group.members()).map(|member| member.client_id());
        Ok(members.filter(|member| self.yields_to(member)).map(str::to_owned).next())
    }
}

/// A consumer that asks for membership; it is a member when [`Member::assigned`] says so, after polls.
pub(super) fn join(
    log: &LogSettings,
    group: &str,
    topic: &str,
    identity: &Identity,
) -> Result<BaseConsumer<Member>, Error> {
    let consumer: BaseConsumer<Member> = kafka::consumer_config(log, group, GATHER)
        .set("client.id", &identity.client_id)
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

/// Tells a member that was replaced from one that lost its connection.
pub(super) fn judge(consumer: &BaseConsumer<Member>, group: &str, error: Error) -> Error {
    match consumer.client().fatal_error() {
        Some((RDKafkaErrorCode::FencedInstanceId, _)) => Error::Replaced { group: group.to_owned() },
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_the_place_of_its_predecessor_and_of_nobody_else() {
        let mut own = Identity::of("a");
        assert!(!own.yields_to(&own.client_id), "we do not wait for ourselves");
        assert!(!own.yields_to("forecourt-recorder:a:1-1"), "who had our name is dead, or will be replaced");
        assert!(own.yields_to("forecourt-recorder:b:1-1"));
        own.was_replaced = true;
        assert!(own.yields_to(&own.client_id), "whoever has the place is alive, under the name that we gave it");
    }
}
