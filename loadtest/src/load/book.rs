//! What happened to the messages of a step: when each was decided, how often, and where in the ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use model::{Code, LogSettings, Topic, Verdict};
use rdkafka::message::Message;

use super::light::{Body, Fact, Record};
use super::schedule::Schedule;
use super::traffic::Approved;
use loadtest::kafka::{Reader, TailFence};

/// Latencies from 1 µs to 10 minutes, three digits.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000, 3)?)
}

/// Records a latency; what is beyond the range counts as its end.
pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
}

/// All that the ledger's reader learns.
pub(crate) struct Book {
    pub(crate) latency: Histogram<u64>,
    /// By message: how often it was decided anew.
    pub(crate) decided: Vec<u8>,
    pub(crate) replayed: u64,
    pub(crate) codes: BTreeMap<Code, u64>,
    /// By partition: ledger offset and message of first decisions, in order.
    pub(crate) positions: Vec<Vec<(i64, u64)>>,
    pub(crate) decided_messages: u64,
    pub(crate) last_at: Option<Instant>,
    /// The longest time between two first decisions.
    pub(crate) longest_silence: Duration,
    /// By measured decision: when its message was due, in microseconds since 1970, and how much later it was decided.
    pub(crate) samples: Vec<(i64, u32)>,
    /// The ledger record of one of the decisions.
    pub(crate) sample: Option<Vec<u8>>,
}

pub(crate) struct Shared(Mutex<Book>);

impl Shared {
    pub(crate) fn new(messages: u64, partitions: i32) -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(Book {
            latency: histogram()?,
            decided: vec![0; usize::try_from(messages)?],
            replayed: 0,
            codes: BTreeMap::new(),
            positions: vec![Vec::new(); usize::try_from(partitions)?],
            decided_messages: 0,
            last_at: None,
            longest_silence: Duration::ZERO,
            samples: Vec::new(),
            sample: None,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the ledger until `stop`; what belongs to keys that begin with `prefix` goes into the book.
pub(crate) fn follow(
    reader: &Reader,
    log: &LogSettings,
    prefix: &str,
    schedule: &Schedule,
    (book, approved): (&Shared, &SyncSender<Approved>),
    stop: &AtomicBool,
) {
    let mut fence = TailFence::new(log.partitions);
    let topic = log.topic_name(Topic::Ledger);
    while !stop.load(Ordering::Relaxed) {
        reader.read(1024, Duration::from_millis(50), |message| {
            let at = Instant::now();
            let Some(payload) = message.payload() else { return };
            let Ok(record) = serde_json::from_slice::<Record<'_>>(payload) else {
                tracing::error!(
                    topic,
                    partition = message.partition(),
                    offset = message.offset(),
                    "a ledger record cannot be read"
                );
                return;
            };
            let Body::Outcome(outcome) = record.body else {
                fence.takeover(message.partition(), message.offset());
                return;
            };
            if !fence.admits(message.partition(), record.epoch) {
                return;
            }
            let Some(n) = outcome.idem.strip_prefix(prefix).and_then(|n| n.parse::<u64>().ok()) else { return };
            book.lock().note(
                schedule,
                n,
                at,
                (message.partition(), message.offset(), payload),
                outcome.facts,
                approved,
            );
        });
    }
}

impl Book {
    /// Adds what a later slice of the same run found. Positions stay with their slice.
    pub(crate) fn absorb(&mut self, later: Self) -> anyhow::Result<()> {
        self.latency.add(&later.latency)?;
        self.decided.extend(later.decided);
        self.replayed += later.replayed;
        for (code, count) in later.codes {
            *self.codes.entry(code).or_default() += count;
        }
        self.decided_messages += later.decided_messages;
        self.last_at = later.last_at.or(self.last_at);
        self.longest_silence = self.longest_silence.max(later.longest_silence);
        self.samples.extend(later.samples);
        self.sample = self.sample.take().or(later.sample);
        Ok(())
    }

    fn note(
        &mut self,
        schedule: &Schedule,
        n: u64,
        at: Instant,
        (partition, offset, payload): (i32, i64, &[u8]),
        facts: Vec<Fact>,
        approved: &SyncSender<Approved>,
    ) {
        let Some(index) = usize::try_from(n).ok().filter(|index| *index < self.decided.len()) else { return };
        let mut fresh = false;
        for fact in facts {
            match fact {
                Fact::Decided(decided) if decided.replayed => self.replayed += 1,
                Fact::Repeated => self.replayed += 1,
                Fact::Decided(decided) => {
                    fresh = true;
                    *self.codes.entry(decided.code).or_default() += 1;
                    if decided.hold.is_some()
                        && decided.decision != Verdict::Decline
                        && let (Some(auth_code), Some(allowed)) = (decided.auth_code, decided.allowed.first())
                    {
                        // A full queue leaves the hold open; it expires.
                        let _ = approved.try_send(Approved { n, auth_code, qty_ml: allowed.qty_ml });
                    }
                }
                Fact::Refused(code) => {
                    fresh = true;
                    *self.codes.entry(code).or_default() += 1;
                }
                // Facts of orders, and captures beside their decision.
                Fact::Other => fresh = true,
            }
        }
        if !fresh {
            return;
        }
        self.decided[index] = self.decided[index].saturating_add(1);
        if self.decided[index] > 1 {
            return;
        }
        self.decided_messages += 1;
        // Not the first, which may be an order's.
        if self.sample.is_none() && self.decided_messages > 100 {
            self.sample = Some(payload.to_vec());
        }
        if let Some(last) = self.last_at.replace(at) {
            self.longest_silence = self.longest_silence.max(at.saturating_duration_since(last));
        }
        if let Some(positions) = usize::try_from(partition).ok().and_then(|index| self.positions.get_mut(index)) {
            positions.push((offset, n));
        }
        if schedule.measured(n) {
            let latency = schedule.since_due(n, at);
            record(&mut self.latency, latency);
            self.samples.push((schedule.due_us(n), u32::try_from(latency.as_micros()).unwrap_or(u32::MAX)));
        }
    }
}
