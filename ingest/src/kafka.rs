//! How this crate talks to librdkafka: settings, clients that log once, offset queries.
//!
//! librdkafka retries what can be retried by itself; the contexts here turn its stream of error events into two log
//! lines, one when a broker is lost and one when it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::{LogSettings, TimestampUs};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, TopicPartitionList};

use crate::Error;

/// How long opening a reader or asking for offsets waits for the brokers.
pub(crate) const OPEN_PATIENCE: Duration = Duration::from_secs(30);
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
const ASK_PAUSE: Duration = Duration::from_millis(100);
/// A broker that does not answer a request for so long is called anew.
const SOCKET_TIMEOUT_MS: &str = "10000";
/// Memory that one consumer may hold in fetched records, in KiB.
const FETCHED_KIB_MAX: u32 = 32 * 1024;
/// Records that one producer may hold, and their memory in KiB. Callers bound what is in flight below this.
pub(crate) const PRODUCER_RECORDS_MAX: usize = 100_000;
const PRODUCER_KIB_MAX: u32 = 256 * 1024;

fn client(settings: &LogSettings, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.bootstrap)
        .set("client.id", name)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "20")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true")
        // After a cut that nobody was told of, a connection is given up rather than left to TCP's growing pauses.
        .set("socket.timeout.ms", SOCKET_TIMEOUT_MS)
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// A consumer for low latency with bounded memory, that commits nothing by itself and never jumps over lost records.
pub(crate) fn consumer(settings: &LogSettings, name: &str, group: &str) -> ClientConfig {
    let mut config = client(settings, name);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.error.backoff.ms", "50")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", FETCHED_KIB_MAX.to_string())
        .set("fetch.max.bytes", "16777216");
    config
}

/// A producer whose log has no holes: nothing times out, order is kept through retries, and a record that cannot be
/// delivered stops those behind it.
pub(crate) fn producer(settings: &LogSettings, name: &str) -> ClientConfig {
    let mut config = client(settings, name);
    config
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "0")
        // Nothing waits when the line is free; what comes while a request is under way goes together in the next one.
        .set("linger.ms", "0")
        .set("max.in.flight.requests.per.connection", "1")
        .set("queue.buffering.max.messages", PRODUCER_RECORDS_MAX.to_string())
        .set("queue.buffering.max.kbytes", PRODUCER_KIB_MAX.to_string());
    config
}

/// What every client shares: the state of the connection, logged when it changes.
#[derive(Debug)]
pub(crate) struct Watch {
    name: String,
    lost: AtomicBool,
}

impl Watch {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), lost: AtomicBool::new(false) }
    }
    /// An error that librdkafka goes on retrying.
    pub(crate) fn trouble(&self, error: &KafkaError, reason: &str) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            tracing::warn!(client = self.name, %error, reason, "kafka is in trouble, retrying");
        }
    }
    /// Something arrived.
    pub(crate) fn well(&self) {
        if self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed) {
            tracing::info!(client = self.name, "kafka answers again");
        }
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Connection errors also arrive as events, where they are logged once.
        tracing::debug!(client = self.name, ?level, facility, message, "librdkafka");
    }
    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes here too, besides the poll that looks for it.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.trouble(&error, reason);
        }
    }
}

impl ConsumerContext for Watch {}

/// What to do about an error that a consumer reports.
pub(crate) enum Trouble {
    /// librdkafka retries by itself.
    Passing,
    /// The position is not in the log.
    OffsetGone,
    /// Another member of the group took this one's name.
    Replaced,
    Fatal,
}

pub(crate) fn trouble(error: &KafkaError) -> Trouble {
    match error {
        KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            Trouble::OffsetGone
        }
        KafkaError::MessageConsumption(RDKafkaErrorCode::FencedInstanceId)
        | KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId) => Trouble::Replaced,
        KafkaError::MessageConsumptionFatal(_) => Trouble::Fatal,
        _ => Trouble::Passing,
    }
}

/// Asks with `ask` until every element of the answer is without error, for at most [`OPEN_PATIENCE`].
pub(crate) fn ask<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    action: &str,
    ask: impl Fn(&BaseConsumer<C>, Duration) -> Result<TopicPartitionList, KafkaError>,
) -> Result<TopicPartitionList, Error> {
    let deadline = Instant::now() + OPEN_PATIENCE;
    loop {
        let answer = ask(consumer, ASK_TIMEOUT).and_then(|list| {
            list.elements().iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)?;
            Ok(list)
        });
        match answer {
            Ok(list) => return Ok(list),
            Err(source) if Instant::now() >= deadline => {
                return Err(Error::Kafka { action: action.to_owned(), source });
            }
            Err(error) => {
                tracing::debug!(%error, action, "asking again");
                std::thread::sleep(ASK_PAUSE);
            }
        }
    }
}

/// The offsets at `logical` (beginning or end) of the partitions in `list`, in one round.
pub(crate) fn offsets_at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
    logical: rdkafka::Offset,
) -> Result<TopicPartitionList, Error> {
    ask(consumer, "list offsets", |consumer, timeout| {
        let mut wanted = list.clone();
        wanted.set_all_offsets(logical)?;
        consumer.offsets_for_times(wanted, timeout)
    })
}

/// The moment of arrival, by this machine's clock.
pub(crate) fn now() -> TimestampUs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampUs::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
