//! Keeps the card table up to date with `fuel.cards`.
//!
//! In: saved tables, the newest first; the topic. Out: the table; copies of it to be saved. Guarantees: the table is that of all
//! records up to its positions, whichever file it began with; a file that cannot be used is told, with the reason, and the one
//! before is taken, or the whole topic. Does not: wait for anybody who saves a table, or know where files lie.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use model::{LogSettings, PartitionId, Topic};

use super::Cards;
use super::file::{Unpacked, continues};
use crate::{Error, From, LogMessage, LogReader};

/// Records taken from the log at a time.
const BATCH_MAX: usize = 4_096;
/// A table is saved when a start would have to read so many records, and a tenth of what is known.
const SAVED_AFTER_RECORDS: usize = 10_000;
/// How long records may take that the log is known to hold.
const ARRIVAL_PATIENCE: Duration = Duration::from_millis(500);

/// Tables in files.
pub struct SavedTables {
    /// Each with its name, the newest first. Asked for the next only when one cannot be used.
    pub tables: Box<dyn Iterator<Item = (String, Cards)>>,
    /// Takes what is to be saved. When it is full, later.
    pub save: Sender<Unpacked>,
}

/// The table, and the reader that keeps it up to date.
pub(in crate::route) struct Follower {
    settings: LogSettings,
    reader: LogReader,
    pub(in crate::route) cards: Cards,
    batch: Vec<LogMessage>,
    /// Records that the log held beyond the table when it was opened.
    pub(in crate::route) left_at_open: i64,
    save: Option<Saving>,
}

struct Saving {
    to: Sender<Unpacked>,
    /// Records read that the newest file does not have; all of them when there is none.
    records: usize,
}

impl Saving {
    fn is_due(&self, known: usize) -> bool {
        self.records >= SAVED_AFTER_RECORDS.max(known / 10)
    }
}

impl Follower {
    pub(in crate::route) fn open(settings: &LogSettings, saved: Option<SavedTables>) -> Result<Self, Error> {
        let partitions: Vec<_> = settings.all_partitions().map(|partition| (Topic::Cards, partition)).collect();
        let mut reader = LogReader::open(settings, &[])?;
        let spans = reader.spans(&partitions)?;
        let (tables, save) = saved.map(|SavedTables { tables, save }| (tables, save)).unzip();
        let usable = |(name, cards): (String, Cards)| match continues(&cards, &spans) {
            Ok(()) => Some((name, cards)),
            Err(reason) => {
                tracing::error!(file = name, %reason, "a saved card table is of no use");
                metrics::counter!("forecourt_card_tables_unusable_total").increment(1);
                None
            }
        };
        let chosen = tables.into_iter().flatten().find_map(usable);
        let cards = if let Some((name, cards)) = chosen {
            tracing::info!(file = name, cards = cards.known(), "saved card table read");
            cards
        } else {
            let mut cards = Cards::new(settings.partitions);
            for ((_, partition), span) in partitions.iter().zip(&spans) {
                cards.begin_at(*partition, span.begin);
            }
            cards
        };
        let left_at_open = spans.iter().zip(cards.positions()).map(|(span, position)| span.end - position).sum();
        reader.add(&places(&cards))?;
        let save = save.map(|to| Saving { to, records: 0 });
        let batch = Vec::with_capacity(BATCH_MAX);
        Ok(Self { settings: settings.clone(), reader, cards, batch, left_at_open, save })
    }

    /// Reads all that the log held when it was opened. `false` when told to stop meanwhile.
    pub(in crate::route) fn read_all(&mut self, wait: Duration, stop: &AtomicBool) -> Result<bool, Error> {
        while !self.reader.all_caught_up() {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.take_in(wait)?;
        }
        Ok(true)
    }

    /// Takes in what has arrived, and has the table saved when it is time.
    pub(in crate::route) fn refresh(&mut self) -> Result<(), Error> {
        self.take_in(Duration::ZERO)?;
        let known = self.cards.known();
        if let Some(saving) = self.save.as_mut().filter(|saving| saving.is_due(known))
            && !saving.to.is_full()
        {
            // Nobody is there any more when all ends.
            let _ = saving.to.try_send(self.cards.unpacked());
            saving.records = 0;
        }
        Ok(())
    }

    /// Reads on until nothing is missing before `ends`, which are offsets by partition. `false` when told to stop meanwhile.
    pub(in crate::route) fn catch_up(
        &mut self,
        ends: &[(PartitionId, i64)],
        wait: Duration,
        stop: &AtomicBool,
    ) -> Result<bool, Error> {
        // What the broker said of an end may be older than these ends: here only positions count.
        let opened_anew_at = Instant::now() + ARRIVAL_PATIENCE;
        while !self.has_read_to(ends) {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if Instant::now() >= opened_anew_at {
                // No position reaches an end of records that no reader is shown; the events of a new reader do.
                self.reader = LogReader::open(&self.settings, &places(&self.cards))?;
                return self.read_all(wait, stop);
            }
            self.take_in(wait)?;
        }
        Ok(true)
    }

    fn has_read_to(&self, ends: &[(PartitionId, i64)]) -> bool {
        ends.iter().all(|(partition, end)| self.reader.position(Topic::Cards, *partition) >= Some(*end))
    }

    /// Takes in what has arrived; waits up to `wait` for the first.
    fn take_in(&mut self, mut wait: Duration) -> Result<(), Error> {
        loop {
            self.batch.clear();
            self.reader.read(BATCH_MAX, wait, &mut self.batch)?;
            for message in &self.batch {
                self.cards.learn(message);
            }
            if let Some(saving) = &mut self.save {
                saving.records += self.batch.len();
            }
            if self.batch.len() < BATCH_MAX {
                return Ok(());
            }
            wait = Duration::ZERO;
        }
    }
}

/// Where reading goes on.
fn places(cards: &Cards) -> Vec<(Topic, PartitionId, From)> {
    let place = |(partition, position): (i32, &i64)| (Topic::Cards, PartitionId(partition), From::Offset(*position));
    (0..).zip(cards.positions()).map(place).collect()
}
