//! What the screens show, saved by partition: so that the page of a process that starts reads some files and what followed,
//! and not the whole ledger and all that the stations ever told.
//!
//! In: the screens of this process; at a start the files. Out: files; the offsets at which reading goes on. Guarantees: a file
//! appears whole; the newest few of a partition are kept; one that cannot be used is told, and the one before is taken, or the
//! whole log. Does not: know what is in a file (`dashboards` does), or hold up the screens longer than writing one partition
//! into memory takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dashboards::{Saved, Screens};
use ingest::{From, Span};
use model::{LogSettings, PartitionId, Topic};
use pipeline::ledger::snapshot::choice::Name;

use super::Store;
use crate::config;

const TOPICS: [Topic; 2] = [Topic::Ledger, Topic::StationEvents];
const LOOKED_EVERY: Duration = Duration::from_millis(500);
/// Saving takes at most one part in so many of the time: a partition with many cards takes longer and is saved less often.
const REST: u32 = 20;

/// Where a partition's files lie, and how far the newest goes that is known.
struct Place {
    topic: Topic,
    partition: PartitionId,
    saved: i64,
    at: Instant,
}

/// Saved screens in a store: one folder for the ledger's partitions and one for those of the station events.
#[derive(Clone)]
pub(crate) struct SavedScreens {
    log: LogSettings,
    stores: [Store; 2],
}

impl SavedScreens {
    /// As [`Store::open`].
    pub(crate) fn open(place: &str, log: &LogSettings) -> anyhow::Result<Self> {
        let store = |topic| Store::open_named(place, format!("{}.screens", log.topic_name(topic)));
        Ok(Self { log: log.clone(), stores: [store(TOPICS[0])?, store(TOPICS[1])?] })
    }

    fn store(&self, topic: Topic) -> &Store {
        &self.stores[usize::from(topic != TOPICS[0])]
    }

    /// Lets the screens begin with the newest file of each partition that can be used. Returns where reading goes on.
    pub(crate) fn restore(&self, screens: &Screens) -> anyhow::Result<Vec<(Topic, PartitionId, From)>> {
        let began = Instant::now();
        let places: Vec<_> =
            TOPICS.iter().flat_map(|topic| self.log.all_partitions().map(|partition| (*topic, partition))).collect();
        let spans = ingest::spans(&self.log, &places)?;
        let mut parts = Vec::new();
        let mut positions = Vec::new();
        for topic in TOPICS {
            let names = self.store(topic).list().unwrap_or_else(|error| {
                tracing::warn!("the screens read whole logs: {error:#}");
                std::collections::BTreeMap::new()
            });
            for ((_, partition), span) in places.iter().zip(&spans).filter(|((of, _), _)| *of == topic) {
                let mut of_partition = names.keys().rev().filter(|name| name.partition == *partition);
                let saved = of_partition.find_map(|name| self.load(topic, *name, *span));
                let from = saved.as_ref().map_or(From::Beginning, |saved| From::Offset(saved.next()));
                positions.push((topic, *partition, from));
                parts.extend(saved);
            }
        }
        let (found, of) = (parts.len(), places.len());
        screens.restore(parts);
        tracing::info!(partitions = found, of, secs = began.elapsed().as_secs_f64(), "saved screens read");
        Ok(positions)
    }

    /// The file, if it is of use for a log that holds `span`.
    fn load(&self, topic: Topic, name: Name, span: Span) -> Option<Saved> {
        let loaded = if (span.begin..=span.end).contains(&name.offset) {
            self.store(topic).get(&name).and_then(|file| Ok(Saved::read(&file)?)).and_then(|saved| {
                let found = (saved.topic(), Name { partition: saved.partition(), offset: saved.next() });
                anyhow::ensure!(found == (topic, name), "it is {} of {:?} inside", found.1, found.0);
                Ok(saved)
            })
        } else {
            Err(anyhow::anyhow!("the log holds {} up to {}", span.begin, span.end))
        };
        loaded
            .inspect_err(|error| {
                tracing::error!(?topic, file = %name, "a saved part of the screens is of no use: {error:#}");
                metrics::counter!("forecourt_screens_unusable_total").increment(1);
            })
            .ok()
    }

    /// Saves what the screens learn, until told to stop.
    pub(crate) fn keep_saving(&self, screens: &Screens, settings: &config::Snapshots, stop: &AtomicBool) {
        self.stores.iter().for_each(Store::delete_abandoned);
        let place = |topic, partition| {
            let saved = screens.next(topic, partition);
            Place { topic, partition, saved, at: Instant::now() }
        };
        let mut places: Vec<_> =
            TOPICS.iter().flat_map(|topic| self.log.all_partitions().map(|each| place(*topic, each))).collect();
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOKED_EVERY);
            for place in &mut places {
                let behind = screens.next(place.topic, place.partition) - place.saved;
                let due = behind >= settings.after_records || place.at.elapsed() >= settings.every.0;
                if behind == 0 || !due || stop.load(Ordering::Relaxed) {
                    continue;
                }
                let began = Instant::now();
                if let Err(error) = self.save(screens, place, settings) {
                    tracing::error!("{error:#}; the screens are saved again in their time");
                    metrics::counter!("forecourt_screens_failed_total").increment(1);
                }
                place.at = Instant::now();
                rest(began.elapsed() * REST, stop);
            }
        }
    }

    fn save(&self, screens: &Screens, place: &mut Place, settings: &config::Snapshots) -> anyhow::Result<()> {
        let store = self.store(place.topic);
        // Another process may have saved the same.
        let of_partition = |name: &Name| name.partition == place.partition;
        let now = screens.next(place.topic, place.partition);
        let newest = store.list()?.into_keys().rev().filter(of_partition).find(|name| name.offset <= now);
        if let Some(newest) = newest.filter(|newest| newest.offset > place.saved) {
            place.saved = newest.offset;
            return Ok(());
        }
        let began = Instant::now();
        let unpacked = screens.save(place.topic, place.partition);
        let held_up = began.elapsed().as_secs_f64();
        let name = Name { partition: place.partition, offset: unpacked.next };
        let file = unpacked.pack();
        drop(unpacked);
        let bytes = file.len();
        store.put(&name, file)?;
        place.saved = name.offset;
        // Greater offsets may be of another log, or of a process that is ahead.
        let older = store.list()?.into_keys().rev().filter(|known| of_partition(known) && *known <= name);
        older.skip(settings.keep).try_for_each(|name| store.delete(&name.to_string()))?;
        let secs = began.elapsed().as_secs_f64();
        tracing::info!(topic = ?place.topic, file = %name, bytes, held_up, secs, "screens saved");
        metrics::counter!("forecourt_screens_saved_total").increment(1);
        Ok(())
    }
}

fn rest(most: Duration, stop: &AtomicBool) {
    let began = Instant::now();
    while began.elapsed() < most && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOKED_EVERY.min(most));
    }
}
