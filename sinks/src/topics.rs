//! Makes the topics.
//!
//! In: the log settings. Out: every topic exists with its settings, its partition count and leaders. Guarantees: a topic
//! that exists is left as it is; a wrong partition count is an error, because the count decides where a key belongs.
//! Does not: change settings of existing topics: retention is the operator's.

use std::thread;
use std::time::{Duration, Instant};

use model::{LogSettings, Topic};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use crate::{Error, kafka};

/// Creating all topics takes a slow broker a while.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);
const LEADER_WAIT: Duration = Duration::from_secs(30);
const LEADER_PAUSE: Duration = Duration::from_millis(50);
const FOREVER: &str = "-1";
const SEVEN_DAYS_MS: &str = "604800000";
const THIRTY_DAYS_MS: &str = "2592000000";

/// Creates missing topics, waits until all partitions have a leader, and checks the partition counts. Blocks the thread.
pub fn ensure(settings: &LogSettings, replication: i32) -> Result<(), Error> {
    let admin: AdminClient<DefaultClientContext> =
        kafka::client_config(settings).create().map_err(Error::kafka("opening a Kafka admin client"))?;
    let missing = missing(settings, &admin)?;
    if !missing.is_empty() {
        create(settings, &admin, &missing, replication)?;
    }
    wait_for_leaders(settings, &admin)
}

/// The settings of a topic, for creation.
fn topic_settings(topic: Topic) -> &'static [(&'static str, &'static str)] {
    match topic {
        // The truth never expires.
        Topic::Ledger | Topic::StationEvents => &[("retention.ms", FOREVER), ("retention.bytes", FOREVER)],
        // A card's entry never changes, so compaction only drops repeats.
        Topic::Cards => &[("cleanup.policy", "compact")],
        Topic::Transactions | Topic::Commands | Topic::Requests | Topic::Readings | Topic::Sales => {
            &[("retention.ms", SEVEN_DAYS_MS)]
        }
        Topic::Rejected => &[("retention.ms", THIRTY_DAYS_MS)],
    }
}

fn missing(settings: &LogSettings, admin: &AdminClient<DefaultClientContext>) -> Result<Vec<Topic>, Error> {
    let metadata = admin
        .inner()
        .fetch_metadata(None, kafka::REQUEST_TIMEOUT)
        .map_err(Error::kafka(format!("asking Kafka at {} for its topics", settings.bootstrap)))?;
    Ok(Topic::ALL
        .into_iter()
        .filter(|topic| !metadata.topics().iter().any(|known| known.name() == settings.topic_name(*topic)))
        .collect())
}

fn create(
    settings: &LogSettings,
    admin: &AdminClient<DefaultClientContext>,
    topics: &[Topic],
    replication: i32,
) -> Result<(), Error> {
    let names: Vec<String> = topics.iter().map(|topic| settings.topic_name(*topic)).collect();
    let wanted: Vec<NewTopic<'_>> = topics
        .iter()
        .zip(&names)
        .map(|(topic, name)| {
            let new = NewTopic::new(name, settings.partitions, TopicReplication::Fixed(replication));
            topic_settings(*topic).iter().fold(new, |new, (key, value)| new.set(key, value))
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(CREATION_TIMEOUT)).operation_timeout(Some(CREATION_TIMEOUT));
    let results = block_on(admin.create_topics(&wanted, &options))?.map_err(Error::kafka("creating topics"))?;
    for result in results {
        match result {
            Ok(topic) => tracing::info!(topic, partitions = settings.partitions, replication, "topic created"),
            // Another process was first; its partition count is checked like any other.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(Error::TopicCreation { topic, reason: code.to_string() }),
        }
    }
    Ok(())
}

/// Waits for an answer of librdkafka, which works on threads of its own. A thread of ours, because the caller's may belong
/// to a runtime already.
fn block_on<T: Send>(answer: impl Future<Output = T> + Send) -> Result<T, Error> {
    let failed = |source| Error::Thread { name: "topics".to_owned(), source };
    thread::scope(|scope| {
        let waiting = thread::Builder::new()
            .name("topics".to_owned())
            .spawn_scoped(scope, move || Ok(tokio::runtime::Builder::new_current_thread().build()?.block_on(answer)))
            .map_err(failed)?;
        waiting.join().map_err(|_| Error::ThreadEnded { name: "topics".to_owned() })?.map_err(failed)
    })
}

fn wait_for_leaders(settings: &LogSettings, admin: &AdminClient<DefaultClientContext>) -> Result<(), Error> {
    let deadline = Instant::now() + LEADER_WAIT;
    for topic in Topic::ALL {
        let name = settings.topic_name(topic);
        while !has_leaders(settings, admin, &name)? {
            if Instant::now() > deadline {
                return Err(Error::NoLeader { topic: name, waited_secs: LEADER_WAIT.as_secs() });
            }
            thread::sleep(LEADER_PAUSE);
        }
    }
    Ok(())
}

/// False while the topic is not known everywhere, or a partition has no leader yet.
fn has_leaders(settings: &LogSettings, admin: &AdminClient<DefaultClientContext>, name: &str) -> Result<bool, Error> {
    let metadata = admin
        .inner()
        .fetch_metadata(Some(name), kafka::REQUEST_TIMEOUT)
        .map_err(Error::kafka(format!("asking Kafka at {} for topic {name}", settings.bootstrap)))?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(false) };
    if topic.error().is_some_and(|error| error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
        || topic.partitions().is_empty()
    {
        return Ok(false);
    }
    let found = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
    if found != settings.partitions {
        return Err(Error::PartitionCount { topic: name.to_owned(), found, expected: settings.partitions });
    }
    Ok(topic.partitions().iter().all(|partition| partition.leader() >= 0))
}
