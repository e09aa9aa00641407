//! One step of a load run: a rate held for a while, and everything measured meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use model::{LogSettings, TimestampUs, Topic};

use super::book::{Book, Shared, follow};
use super::fleet::Fleet;
use super::frames::{self, Lines};
use super::journal::Journal;
use super::readings::{self, Levels, Sent};
use super::rows::{self, Seen};
use super::schedule::{Schedule, sleep_until};
use super::traffic::{APPROVED_MAX, Traffic, step_prefix};
use loadtest::kafka::{Reader, Sender};

/// How often undelivered messages are sent again.
const RESEND_EVERY: Duration = Duration::from_millis(500);
const PRODUCER_QUEUE_MAX: i32 = 100_000;

/// Where the system under load is reached; `None` leaves a measurement out.
pub(crate) struct Targets {
    pub(crate) log: LogSettings,
    pub(crate) mqtt: Option<(String, u16)>,
    pub(crate) url: Option<String>,
    pub(crate) clickhouse: Option<clickhouse::Client>,
}

pub(crate) struct Plan {
    pub(crate) step: u32,
    pub(crate) transactions_per_s: u64,
    /// Write requests, as a producer does that knows the contract, instead of transactions that are routed first.
    pub(crate) direct: bool,
    pub(crate) readings_per_s: u64,
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
    /// How long to wait for what is missing after the last message.
    pub(crate) drain: Duration,
}

pub(crate) struct Measured {
    pub(crate) plan_rate: u64,
    /// Messages whose latency counts.
    pub(crate) measured_count: u64,
    /// Messages sent, without repeats.
    pub(crate) sent: u64,
    pub(crate) repeats: u64,
    pub(crate) sent_bytes: u64,
    /// Messages that Kafka never took.
    pub(crate) undelivered: u64,
    /// How late the last message was sent: what the load client itself could not keep up with.
    pub(crate) send_latency: Histogram<u64>,
    pub(crate) undecided_at_end: u64,
    pub(crate) book: Book,
    pub(crate) rows: Option<Seen>,
    pub(crate) lines: Option<(Lines, Histogram<u64>)>,
    pub(crate) readings: Option<Readings>,
}

/// What became of the tank readings.
pub(crate) struct Readings {
    pub(crate) planned: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) levels: Levels,
}

impl Measured {
    /// Adds a later slice of the same run.
    pub(crate) fn absorb(&mut self, later: Self) -> anyhow::Result<()> {
        self.measured_count += later.measured_count;
        self.sent += later.sent;
        self.repeats += later.repeats;
        self.sent_bytes += later.sent_bytes;
        self.undelivered = later.undelivered;
        self.send_latency.add(&later.send_latency)?;
        self.undecided_at_end = self.undecided_at_end.max(later.undecided_at_end);
        self.book.absorb(later.book)?;
        if let (Some(seen), Some(later)) = (&mut self.rows, later.rows) {
            seen.latency.add(&later.latency)?;
            seen.rows += later.rows;
            seen.problem = later.problem.or(seen.problem.take());
        }
        if let (Some((lines, latency)), Some((later_lines, later_latency))) = (&mut self.lines, later.lines) {
            latency.add(&later_latency)?;
            lines.frames += later_lines.frames;
            lines.problem = later_lines.problem.or(lines.problem.take());
        }
        if let (Some(readings), Some(later)) = (&mut self.readings, later.readings) {
            readings.planned += later.planned;
            readings.sent += later.sent;
            readings.acknowledged += later.acknowledged;
            readings.levels.latency.add(&later.levels.latency)?;
            readings.levels.seen.extend(later.levels.seen);
        }
        Ok(())
    }
}

struct Spoken {
    sent: u64,
    repeats: u64,
    /// Of all messages but repeats.
    bytes: u64,
    latency: Histogram<u64>,
    /// By message: false for those whose place in the timetable was taken by a repeat.
    fresh: Vec<bool>,
}

/// Holds a rate and measures. Blocks; `runtime` serves MQTT, WebSocket and ClickHouse.
pub(crate) fn hold(
    targets: &Targets,
    fleet: &Fleet,
    plan: &Plan,
    sender: &mut Sender,
    journal: &mut Journal,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Measured> {
    let log = &targets.log;
    let ledger = Reader::open(&log.bootstrap, &[(&log.topic_name(Topic::Ledger), log.partitions, None)])?;
    let events = Reader::open(&log.bootstrap, &[(&log.topic_name(Topic::StationEvents), log.partitions, None)])?;
    let schedule = Schedule::new(plan.transactions_per_s, plan.warmup, plan.measured);
    let reading_schedule = Schedule::new(plan.readings_per_s, plan.warmup, plan.measured);
    let book = Shared::new(schedule.end, log.partitions)?;
    let (approvals, approved) = sync_channel(APPROVED_MAX);
    let (decided, watched) = (AtomicBool::new(false), AtomicBool::new(false));
    let sent_readings = Arc::new(Sent::default());
    let prefix = step_prefix(&fleet.run, plan.step);
    let mqtt = targets.mqtt.as_ref().filter(|_| plan.readings_per_s > 0);

    std::thread::scope(|scope| -> anyhow::Result<Measured> {
        let end = EndOnDrop(&decided, &watched);
        scope.spawn(|| follow(&ledger, log, &prefix, &schedule, (&book, &approvals), &decided));
        let levels = mqtt.map(|_| scope.spawn(|| readings::follow(&events, log, fleet, &reading_schedule, &decided)));
        let observers = scope.spawn(|| {
            runtime.block_on(async {
                let rows = async {
                    match &targets.clickhouse {
                        Some(client) => Some(rows::watch(client.clone(), &schedule, &book, &watched).await),
                        None => None,
                    }
                };
                let lines = async {
                    match &targets.url {
                        Some(url) => Some(frames::listen(url, &watched).await),
                        None => None,
                    }
                };
                let readings = async {
                    match mqtt {
                        Some((host, port)) => {
                            readings::publish((host, *port), fleet, &reading_schedule, &sent_readings).await
                        }
                        None => Ok(()),
                    }
                };
                tokio::join!(rows, lines, readings)
            })
        });

        let traffic = Traffic::new(fleet, log, plan.step, approved);
        let spoken = speak(traffic, fleet, (log, plan.direct), &schedule, sender, journal)?;
        let undecided_at_end = spoken.sent.saturating_sub(book.lock().decided_messages);
        drain(plan.drain, spoken.sent, &book, sender)?;
        if let Some(mqtt_levels) = &levels {
            // Readings may still be under way; their publisher waits for acknowledgements.
            let patience = Instant::now() + plan.drain;
            while !mqtt_levels.is_finished()
                && Instant::now() < patience
                && sent_readings.acknowledged.load(Ordering::Relaxed) < reading_schedule.end
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        wait_for_rows(targets, plan.drain, &book, runtime);
        drop(end);
        let levels =
            levels.map(|levels| levels.join().map_err(|_| anyhow::anyhow!("the reader of levels died"))).transpose()?;
        let (rows, lines, published) = observers.join().map_err(|_| anyhow::anyhow!("an observer died"))?;
        published.context("readings were not published")?;
        let mut book = std::mem::replace(&mut *book.lock(), empty_book()?);
        // Places that a repeat took in the timetable have no message of their own.
        book.decided =
            book.decided.iter().zip(&spoken.fresh).filter(|(_, fresh)| **fresh).map(|(count, _)| *count).collect();
        let lines = lines.map(|lines| {
            let latency = lines.latency(&schedule, &book)?;
            anyhow::Ok((lines, latency))
        });
        Ok(Measured {
            plan_rate: plan.transactions_per_s,
            measured_count: schedule.measured_count(),
            sent: spoken.sent,
            repeats: spoken.repeats,
            sent_bytes: spoken.bytes,
            undelivered: u64::try_from(sender.in_flight()).unwrap_or(0),
            send_latency: spoken.latency,
            undecided_at_end,
            book,
            rows: rows.transpose()?,
            lines: lines.transpose()?,
            readings: levels.transpose()?.map(|levels| Readings {
                planned: reading_schedule.end,
                sent: sent_readings.sent.load(Ordering::Relaxed),
                acknowledged: sent_readings.acknowledged.load(Ordering::Relaxed),
                levels,
            }),
        })
    })
}

fn empty_book() -> anyhow::Result<Book> {
    Ok(Book {
        latency: super::book::histogram()?,
        decided: Vec::new(),
        replayed: 0,
        codes: std::collections::BTreeMap::new(),
        positions: Vec::new(),
        decided_messages: 0,
        last_at: None,
        longest_silence: Duration::ZERO,
        samples: Vec::new(),
        sample: None,
    })
}

/// Lets the threads of a step end, however it ends.
struct EndOnDrop<'a>(&'a AtomicBool, &'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.store(true, Ordering::Relaxed);
    }
}

/// Sends the whole timetable.
fn speak(
    mut traffic: Traffic<'_>,
    fleet: &Fleet,
    (log, direct): (&LogSettings, bool),
    schedule: &Schedule,
    sender: &mut Sender,
    journal: &mut Journal,
) -> anyhow::Result<Spoken> {
    let topics = [Topic::Transactions, Topic::Commands, Topic::Requests].map(|topic| (topic, log.topic_name(topic)));
    let mut spoken = Spoken { sent: 0, repeats: 0, bytes: 0, latency: super::book::histogram()?, fresh: Vec::new() };
    let mut resent = Instant::now();
    for n in 0..schedule.end {
        let due = TimestampUs::from_micros(schedule.due_us(n));
        let mut message = traffic.next(n, due)?;
        let contract = &fleet.contracts[message.contract];
        if !message.repeat {
            journal.sent(message.topic, contract, &message.payload)?;
        }
        if direct {
            message = message.as_request(contract, log, due);
        }
        if schedule.due(n) > Instant::now() {
            journal.flush()?;
            sleep_until(schedule.due(n));
        }
        // With brokers away the producer's queue would fill; what waits here is charged as latency.
        while sender.in_flight() > PRODUCER_QUEUE_MAX {
            std::thread::sleep(Duration::from_millis(5));
            resend(sender, &mut resent)?;
        }
        let topic = &topics.iter().find(|(topic, _)| *topic == message.topic).context("no such topic")?.1;
        while let Err(error) = sender.send_waiting(topic, message.partition, &message.key, message.payload.as_bytes()) {
            tracing::warn!(%error, "a message was refused");
            std::thread::sleep(Duration::from_millis(100));
            sender.resend()?;
        }
        if schedule.measured(n) {
            super::book::record(&mut spoken.latency, schedule.since_due(n, Instant::now()));
        }
        if !message.repeat {
            spoken.sent += 1;
            spoken.bytes += message.payload.len() as u64;
        }
        spoken.repeats += u64::from(message.repeat);
        spoken.fresh.push(!message.repeat);
        resend(sender, &mut resent)?;
    }
    journal.flush()?;
    Ok(spoken)
}

fn resend(sender: &mut Sender, last: &mut Instant) -> anyhow::Result<()> {
    if last.elapsed() > RESEND_EVERY {
        sender.resend()?;
        *last = Instant::now();
    }
    Ok(())
}

/// Waits until every message is decided, or for `patience`.
fn drain(patience: Duration, sent: u64, book: &Shared, sender: &mut Sender) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        if book.lock().decided_messages >= sent && sender.in_flight() == 0 {
            break;
        }
        sender.resend()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Gives ClickHouse time to show the last decisions before its watcher stops.
fn wait_for_rows(targets: &Targets, patience: Duration, book: &Shared, runtime: &tokio::runtime::Runtime) {
    let Some(client) = &targets.clickhouse else { return };
    let last: Vec<(usize, i64)> = {
        let book = book.lock();
        let last = |(partition, positions): (usize, &Vec<(i64, u64)>)| Some((partition, positions.last()?.0));
        book.positions.iter().enumerate().filter_map(last).collect()
    };
    let end = Instant::now() + patience;
    for (partition, offset) in last {
        let question = format!("SELECT count() FROM ledger_facts WHERE partition = {partition} AND offset >= {offset}");
        while Instant::now() < end {
            let seen = runtime.block_on(client.query(&question).fetch_one::<u64>());
            if seen.is_ok_and(|count| count > 0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
