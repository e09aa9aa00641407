//! Waits for what the ledger says about orders that were sent.
//!
//! Guarantees: outcomes of an owner that was replaced are passed over. Does not: read the ledger from its beginning: the
//! current owner is known from the records before its end.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Context;
use ingest::{From, LogMessage, LogReader};
use model::{CommandMessage, Fact, IdempotencyKey, LedgerBody, LedgerRecord, LogSettings, Outcome, PartitionId, Topic};

const BATCH_MAX: usize = 4096;
const WAIT: Duration = Duration::from_millis(50);
/// So many records before the end tell who owns a partition: epochs only grow.
const LOOK_BACK: i64 = 1_000;
const TOLD_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Outcomes {
    reader: LogReader,
    /// The highest epoch seen, by partition.
    epochs: BTreeMap<PartitionId, i64>,
}

impl Outcomes {
    /// Of orders that are sent from now on, to contracts of these partitions.
    pub(super) fn from_now(log: &LogSettings, partitions: &BTreeSet<PartitionId>) -> anyhow::Result<Self> {
        let wanted: Vec<_> = partitions.iter().map(|partition| (Topic::Ledger, *partition)).collect();
        let spans = ingest::spans(log, &wanted)?;
        let positions: Vec<_> = wanted
            .iter()
            .zip(spans)
            .map(|((topic, partition), span)| (*topic, *partition, From::Offset(span.begin.max(span.end - LOOK_BACK))))
            .collect();
        let mut outcomes = Self { reader: LogReader::open(log, &positions)?, epochs: BTreeMap::new() };
        let mut batch = Vec::new();
        loop {
            let ends = wanted.iter().all(|(topic, partition)| outcomes.reader.caught_up(*topic, *partition));
            outcomes.reader.read(BATCH_MAX, if ends { Duration::ZERO } else { WAIT }, &mut batch)?;
            for message in batch.drain(..) {
                outcomes.outcome(&message)?;
            }
            if ends {
                return Ok(outcomes);
            }
        }
    }

    /// The outcome that a record holds, when it is true.
    fn outcome(&mut self, message: &LogMessage) -> anyhow::Result<Option<Outcome>> {
        let Some(payload) = &message.payload else { return Ok(None) };
        let record: LedgerRecord = serde_json::from_slice(payload)
            .with_context(|| format!("the ledger cannot be read at {}/{}", message.partition, message.offset))?;
        let epoch = self.epochs.entry(message.partition).or_insert(-1);
        Ok(match record.body {
            LedgerBody::Takeover { .. } => {
                *epoch = message.offset;
                None
            }
            LedgerBody::Outcome(_) if record.epoch < *epoch => None,
            LedgerBody::Outcome(outcome) => {
                *epoch = record.epoch;
                Some(outcome)
            }
        })
    }

    /// Tells the facts of each order with its place among `messages`; ends when all are told, or when nothing was for
    /// `patience`. How many were not.
    pub(super) fn wait(
        &mut self,
        messages: &[&CommandMessage],
        patience: Duration,
        mut told: impl FnMut(usize, &[Fact]),
    ) -> anyhow::Result<usize> {
        let mut waiting: HashMap<&IdempotencyKey, VecDeque<usize>> = HashMap::new();
        for (place, message) in messages.iter().enumerate() {
            waiting.entry(&message.idem).or_default().push_back(place);
        }
        let (mut left, mut last, mut shown) = (messages.len(), Instant::now(), Instant::now());
        let mut batch = Vec::new();
        let terminal = std::io::stderr().is_terminal();
        while left > 0 && last.elapsed() < patience {
            self.reader.read(BATCH_MAX, WAIT, &mut batch)?;
            for message in batch.drain(..) {
                let Some(outcome) = self.outcome(&message)? else { continue };
                // An answer to an order carries its fingerprint; a second delivery of the same order says nothing.
                let answer = outcome.fingerprint.and_then(|_| waiting.get_mut(&outcome.idem)?.pop_front());
                let Some(place) = answer else { continue };
                told(place, &outcome.facts);
                (left, last) = (left - 1, Instant::now());
            }
            if terminal && shown.elapsed() > TOLD_EVERY {
                shown = Instant::now();
                eprint!("\r{} of {} lines", messages.len() - left, messages.len());
            }
        }
        if terminal {
            eprint!("\r\x1b[K");
        }
        Ok(left)
    }
}
