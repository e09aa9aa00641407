//! Records one topic, from joining its group to losing it.
//!
//! In: records of all partitions of the topic. Out: batches that are planned, inserted and committed. Guarantees: see
//! `plan`. Every session begins with what the group remembers, so that ending one at any moment is safe.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::PartitionId;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::insert::{Inserter, Pause};
use super::member::{self, Identity, Member};
use super::pace::Pace;
use super::plan::{Lanes, Positions, Start, Step};
use super::rows::{Batch, Place, Source};
use super::status::{Phase, Status};
use super::{Config, server};
use crate::Error;
use crate::kafka::{self, Committed, REQUEST_TIMEOUT};

/// How soon a stop is noticed.
const READ_WAIT: Duration = Duration::from_millis(100);
/// How long the first record of a batch waits for company when the last insert is long ago.
const GATHER: Duration = Duration::from_millis(10);
/// In a backlog: a row of an insert of 16,000 cost 12 us of reading and inserting, of one of 650 80.
const GATHER_BACKLOG: Duration = Duration::from_millis(100);
const WATERMARK_INTERVAL: Duration = Duration::from_secs(2);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often one that stands by looks whether the place is free.
const STAND_BY_LOOK: Duration = Duration::from_secs(1);
/// Without an answer of the group for so long, the session is begun anew.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a session ends.
enum End {
    Stopped,
    /// The group took the topic back.
    Revoked,
    /// This member of the group records the topic.
    StandsBy(String),
}

/// Records until stopped, session after session; an error that waiting cannot cure is returned.
pub(super) fn record(
    source: Source,
    config: &Config,
    status: &Status,
    stop: &watch::Receiver<bool>,
    runtime: &Handle,
) -> Result<(), Error> {
    let topic = source.topic();
    let mut pause = Pause::default();
    let mut identity = Identity::of(&config.instance);
    while !*stop.borrow() {
        let began = Instant::now();
        match session(source, config, status, stop, runtime, &mut identity) {
            Ok(End::Stopped) => break,
            Ok(End::StandsBy(holder)) => {
                status.change(topic, |topic| topic.phase = Phase::StandingBy(holder));
                wait(stop, STAND_BY_LOOK);
                continue;
            }
            Ok(End::Revoked) => tracing::warn!(topic = kafka::label(topic), "the consumer group was rearranged"),
            Err(Error::Replaced { .. }) => {
                tracing::warn!(topic = kafka::label(topic), "another Forecourt records in ClickHouse now: standing by");
                identity.was_replaced = true;
            }
            Err(error) if error.passes() => {
                tracing::warn!(topic = kafka::label(topic), %error, "recording in ClickHouse begins anew");
                status.change(topic, |topic| topic.phase = Phase::Waiting(error.to_string()));
            }
            Err(error) => {
                tracing::error!(topic = kafka::label(topic), %error, "recording in ClickHouse ended");
                status.change(topic, |topic| topic.phase = Phase::Failed(error.to_string()));
                return Err(error);
            }
        }
        if began.elapsed() > JOIN_TIMEOUT {
            pause = Pause::default();
        }
        wait(stop, pause.next());
    }
    status.change(topic, |topic| topic.phase = Phase::Stopped);
    Ok(())
}

/// One session, if nobody else has the place.
fn session(
    source: Source,
    config: &Config,
    status: &Status,
    stop: &watch::Receiver<bool>,
    runtime: &Handle,
    identity: &mut Identity,
) -> Result<End, Error> {
    if let Some(holder) = identity.holder(&config.log, &group(source, config))? {
        return Ok(End::StandsBy(holder));
    }
    match Session::open(source, config, status, stop, runtime, identity)? {
        Some(mut session) => {
            identity.was_replaced = false;
            session.record()
        }
        None => Ok(End::Stopped),
    }
}

fn group(source: Source, config: &Config) -> String {
    format!("{}-{}", config.group, kafka::label(source.topic()))
}

fn wait(stop: &watch::Receiver<bool>, pause: Duration) {
    let until = Instant::now() + pause;
    while !*stop.borrow() && Instant::now() < until {
        thread::sleep(READ_WAIT.min(until.saturating_duration_since(Instant::now())));
    }
}

struct Session<'a> {
    source: Source,
    config: &'a Config,
    status: &'a Status,
    stop: &'a watch::Receiver<bool>,
    runtime: &'a Handle,
    topic: String,
    group: String,
    consumer: BaseConsumer<Member>,
    lanes: Lanes,
    inserter: Inserter,
    inserted_at: Option<Instant>,
    watermarks_at: Option<Instant>,
    pace: Pace,
}

impl<'a> Session<'a> {
    /// `None` when stopped before the group answered.
    fn open(
        source: Source,
        config: &'a Config,
        status: &'a Status,
        stop: &'a watch::Receiver<bool>,
        runtime: &'a Handle,
        identity: &Identity,
    ) -> Result<Option<Self>, Error> {
        let topic = config.log.topic_name(source.topic());
        let group = group(source, config);
        let consumer = member::join(&config.log, &group, &topic, identity)?;
        let inserter = Inserter {
            client: server(config).with_database(&config.database),
            topic: source.topic(),
            status: status.clone(),
            stop: stop.clone(),
        };
        let lanes = Lanes::new(topic.clone(), []);
        let mut session = Self {
            source,
            config,
            status,
            stop,
            runtime,
            topic,
            group,
            consumer,
            lanes,
            inserter,
            inserted_at: None,
            watermarks_at: None,
            pace: Pace::default(),
        };
        let opened = session.become_member().and_then(|is_member| {
            if is_member {
                session.lanes = Lanes::new(session.topic.clone(), session.starts()?);
            }
            Ok(is_member)
        });
        match opened {
            Ok(true) => Ok(Some(session)),
            Ok(false) => Ok(None),
            Err(error) => Err(session.judge(error)),
        }
    }

    fn record(&mut self) -> Result<End, Error> {
        let ended = self.repeat_plan().and_then(|repeated| match repeated {
            None => self.record_batches(),
            Some(end) => Ok(end),
        });
        ended.map_err(|error| self.judge(error))
    }

    fn judge(&self, error: Error) -> Error {
        member::judge(&self.consumer, &self.group, error)
    }

    fn become_member(&mut self) -> Result<bool, Error> {
        let began = Instant::now();
        loop {
            if *self.stop.borrow() {
                return Ok(false);
            }
            if let Some(Err(error)) = self.consumer.poll(READ_WAIT)
                && !matches!(error, KafkaError::PartitionEOF(_))
            {
                kafka::endure(error, &self.topic)?;
            }
            if let Some(assigned) = self.consumer.context().assigned() {
                if i32::try_from(assigned) != Ok(self.config.log.partitions) {
                    return Err(Error::GroupShared { group: self.group.clone(), topic: self.topic.clone() });
                }
                return Ok(true);
            }
            if began.elapsed() > JOIN_TIMEOUT {
                let doing = format!("joining group {}", self.group);
                return Err(Error::kafka(doing)(KafkaError::Subscription("no answer".to_owned())));
            }
        }
    }

    /// Where each partition is taken up: after what the group remembers, or, where it has forgotten (Kafka drops the
    /// positions of a group that was away for a week), after the rows that are there.
    fn starts(&self) -> Result<Vec<(PartitionId, Start)>, Error> {
        let committed = kafka::committed(
            |asked| self.consumer.committed_offsets(asked, REQUEST_TIMEOUT),
            &self.topic,
            self.config.log.all_partitions(),
        )?;
        let recorded = if committed.iter().any(|committed| committed.offset.is_none()) {
            self.recorded()?
        } else {
            BTreeMap::new()
        };
        committed.into_iter().map(|committed| self.start(&committed, &recorded)).collect()
    }

    fn start(&self, committed: &Committed, recorded: &BTreeMap<i32, i64>) -> Result<(PartitionId, Start), Error> {
        let partition = committed.partition;
        let (low, end) = self
            .consumer
            .fetch_watermarks(&self.topic, partition.0, REQUEST_TIMEOUT)
            .map_err(Error::kafka(format!("asking where {}/{partition} begins and ends", self.topic)))?;
        let remembered = committed.offset.map(|offset| (offset, committed.metadata.as_str()));
        let start = Start::of(remembered, recorded.get(&partition.0).copied(), low, self.source.is_fenced());
        let needed = start.commit.and_then(|commit| commit.planned_to).unwrap_or(start.position);
        if needed > end {
            return Err(Error::LogReplaced {
                topic: self.topic.clone(),
                partition: partition.0,
                end,
                position: needed,
            });
        }
        if start.position < low {
            tracing::error!(topic = self.topic, %partition, position = start.position, low, "records expired before they were recorded in ClickHouse");
            metrics::counter!("forecourt_clickhouse_expired_total", "topic" => kafka::label(self.source.topic()))
                .increment((low - start.position).unsigned_abs());
        }
        self.status.change(self.source.topic(), |topic| {
            let progress = topic.partitions.entry(partition).or_default();
            (progress.position, progress.end) = (start.position, end);
        });
        Ok((partition, start))
    }

    /// The highest offset of each partition that has rows.
    fn recorded(&self) -> Result<BTreeMap<i32, i64>, Error> {
        let table = self.source.table();
        let rows: Vec<(i32, i64)> = self
            .runtime
            .block_on(
                self.inserter
                    .client
                    .query("SELECT partition, max(offset) FROM ? GROUP BY partition")
                    .bind(::clickhouse::sql::Identifier(table))
                    .fetch_all(),
            )
            .map_err(Error::clickhouse(format!("asking {table} how far it goes")))?;
        Ok(rows.into_iter().collect())
    }

    /// Delivers what an earlier run planned. `None` when there is no plan any more.
    fn repeat_plan(&mut self) -> Result<Option<End>, Error> {
        if !self.lanes.is_repeating() {
            return Ok(None);
        }
        self.read_on()?;
        let mut batch = Batch::default();
        while !self.lanes.has_read_plan() {
            if let Some(end) = self.end() {
                return Ok(Some(end));
            }
            self.read(READ_WAIT, &mut batch)?;
        }
        tracing::info!(topic = self.topic, rows = batch.rows(), "repeating the insert that was planned before");
        self.deliver(&batch)
    }

    fn record_batches(&mut self) -> Result<End, Error> {
        self.read_on()?;
        self.status.change(self.source.topic(), |topic| topic.phase = Phase::Recording);
        loop {
            let began = Instant::now();
            let batch = self.collect()?;
            if let Some(end) = self.end() {
                return Ok(end);
            }
            if self.lanes.has_moved()
                && let Some(end) = self.deliver(&batch)?
            {
                return Ok(end);
            }
            self.ask_for_ends();
            wait(self.stop, self.pace.rest(self.lanes.positions().count(), began.elapsed(), SystemTime::now()));
        }
    }

    fn end(&self) -> Option<End> {
        if *self.stop.borrow() {
            Some(End::Stopped)
        } else {
            self.consumer.context().is_revoked().then_some(End::Revoked)
        }
    }

    /// Sets the consumer to where the lanes want to read.
    fn read_on(&self) -> Result<(), Error> {
        let mut assignment = TopicPartitionList::new();
        for (partition, from) in self.lanes.to_read() {
            assignment
                .add_partition_offset(&self.topic, partition.0, Offset::Offset(from))
                .map_err(Error::kafka(format!("reading {}/{partition} from {from}", self.topic)))?;
        }
        self.consumer.assign(&assignment).map_err(Error::kafka(format!("reading {}", self.topic)))
    }

    /// Reads until the batch is full or due. A batch is due `batch_wait` after the last insert began, so that inserts
    /// stay few under load and a lone record is soon visible.
    fn collect(&mut self) -> Result<Batch, Error> {
        let mut batch = Batch::default();
        let mut due = None;
        while batch.rows() < self.config.batch_rows_max.max(1) && self.end().is_none() {
            if self.lanes.has_moved() && due.is_none() {
                let now = Instant::now();
                let earliest = self.inserted_at.map_or(now, |at| at + self.config.batch_wait);
                let gather = if self.pace.is_behind() { GATHER_BACKLOG } else { GATHER };
                due = Some(earliest.max(now + gather));
            }
            let wait = due.map_or(READ_WAIT, |due| due.saturating_duration_since(Instant::now()).min(READ_WAIT));
            let idle = due.is_none();
            if !self.read(wait, &mut batch)? && (idle || wait.is_zero()) {
                break;
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                break;
            }
        }
        Ok(batch)
    }

    /// Reads one record; false when there is none within `wait`.
    fn read(&mut self, wait: Duration, batch: &mut Batch) -> Result<bool, Error> {
        match self.consumer.poll(wait) {
            None => Ok(false),
            Some(Ok(message)) => {
                let place = Place {
                    partition: PartitionId(message.partition()),
                    offset: message.offset(),
                    recorded_at_ms: message.timestamp().to_millis().unwrap_or(0),
                };
                let written = UNIX_EPOCH + Duration::from_millis(place.recorded_at_ms.max(0).unsigned_abs());
                self.pace.read(place.partition, written);
                let payload = message.payload().unwrap_or_default();
                let source = self.source;
                self.lanes.admit(place.partition, place.offset, |fence, purpose| {
                    source.take(place, payload, fence, purpose, batch);
                });
                Ok(true)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.lanes.reached_end(PartitionId(partition));
                Ok(true)
            }
            Some(Err(error)) => kafka::endure(error, &self.topic).map(|()| false),
        }
    }

    /// Plans, inserts, commits. `Some` when stopped before all was in: the next run repeats the plan.
    fn deliver(&mut self, batch: &Batch) -> Result<Option<End>, Error> {
        for step in self.lanes.delivery(batch.rows() > 0) {
            match step {
                Step::Commit(positions) => self.commit(&positions)?,
                Step::Insert => {
                    self.inserted_at = Some(Instant::now());
                    if !self.runtime.block_on(self.inserter.insert(&self.lanes, batch)) {
                        return Ok(Some(End::Stopped));
                    }
                }
            }
        }
        self.lanes.advance();
        self.report();
        Ok(None)
    }

    fn commit(&self, positions: &Positions) -> Result<(), Error> {
        let list =
            kafka::commit_list(&self.topic, positions.iter().map(|(partition, offset, at)| (*partition, *offset, at)))?;
        self.consumer
            .commit(&list, CommitMode::Sync)
            .map_err(Error::kafka(format!("committing positions of {} for group {}", self.topic, self.group)))
    }

    fn report(&self) {
        let topic = self.source.topic();
        self.status.change(topic, |status| {
            for (partition, position) in self.lanes.positions() {
                let progress = status.partitions.entry(partition).or_default();
                progress.position = position;
                progress.end = progress.end.max(position);
                let labels = [("topic", kafka::label(topic).to_owned()), ("partition", partition.to_string())];
                metrics::gauge!("forecourt_clickhouse_position", &labels).set(kafka::gauge(position));
                metrics::gauge!("forecourt_clickhouse_lag", &labels).set(kafka::gauge(progress.lag()));
            }
        });
    }

    /// Asks now and then where the log ends. Without an answer the last one stands.
    fn ask_for_ends(&mut self) {
        if self.watermarks_at.is_some_and(|at| at.elapsed() < WATERMARK_INTERVAL) {
            return;
        }
        self.watermarks_at = Some(Instant::now());
        for partition in self.config.log.all_partitions() {
            let Ok((_, end)) = self.consumer.fetch_watermarks(&self.topic, partition.0, WATERMARK_TIMEOUT) else {
                return;
            };
            self.status.change(self.source.topic(), |topic| {
                topic.partitions.entry(partition).or_default().end = end;
            });
        }
        self.report();
    }
}
