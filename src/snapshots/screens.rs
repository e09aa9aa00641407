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
use object_store::ObjectMeta;
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
        let places: Vec<_> =
            TOPICS.iter().flat_map(|topic| self.log.all_partitions().map(|partition| (*topic, partition))).collect();
        let spans = ingest::spans(&self.log, &places)?;
        Ok(self.restore_within(screens, places.into_iter().zip(spans).collect()))
    }

    /// As [`SavedScreens::restore`], when the logs hold just this.
    fn restore_within(
        &self,
        screens: &Screens,
        places: Vec<((Topic, PartitionId), Span)>,
    ) -> Vec<(Topic, PartitionId, From)> {
        let began = Instant::now();
        let of = places.len();
        let mut parts = Vec::new();
        let mut positions = Vec::new();
        let listed = self.listed().unwrap_or_else(|error| {
            tracing::warn!("the screens read whole logs: {error:#}");
            Vec::new()
        });
        for ((topic, partition), span) in places {
            let mut newest_first =
                listed.iter().rev().filter(|(of, name, _)| (*of, name.partition) == (topic, partition));
            let saved = newest_first.find_map(|(_, name, _)| self.load(topic, *name, span));
            let from = saved.as_ref().map_or(From::Beginning, |saved| From::Offset(saved.next()));
            positions.push((topic, partition, from));
            parts.extend(saved);
        }
        let found = parts.len();
        screens.restore(parts);
        tracing::info!(partitions = found, of, secs = began.elapsed().as_secs_f64(), "saved screens read");
        positions
    }

    /// The file, if it is of use for a log that holds `span`.
    fn load(&self, topic: Topic, name: Name, span: Span) -> Option<Saved> {
        let loaded = if (span.begin..=span.end).contains(&name.offset) {
            self.read(topic, name)
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

    /// A file, when it can be read to its end and is what its name says.
    pub(crate) fn read(&self, topic: Topic, name: Name) -> anyhow::Result<Saved> {
        let saved = Saved::read(&self.store(topic).get(&name)?)?;
        let found = (saved.topic(), Name { partition: saved.partition(), offset: saved.next() });
        anyhow::ensure!(found == (topic, name), "it is {} of {:?} inside", found.1, found.0);
        Ok(saved)
    }

    /// All files of both logs, by log, partition and offset.
    pub(crate) fn listed(&self) -> anyhow::Result<Vec<(Topic, Name, ObjectMeta)>> {
        let mut files = Vec::new();
        for topic in TOPICS {
            files.extend(self.store(topic).list()?.into_iter().map(|(name, meta)| (topic, name, meta)));
        }
        Ok(files)
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
                if let Err(error) = self.save(screens, place, settings.keep) {
                    tracing::error!("{error:#}; the screens are saved again in their time");
                    metrics::counter!("forecourt_screens_failed_total").increment(1);
                }
                place.at = Instant::now();
                rest(began.elapsed() * REST, stop);
            }
        }
    }

    fn save(&self, screens: &Screens, place: &mut Place, keep: usize) -> anyhow::Result<()> {
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
        older.skip(keep).try_for_each(|name| store.delete(&name.to_string()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use dashboards::Feed;
    use model::{LedgerBody, LedgerRecord, TimestampUs};

    const PARTITION: PartitionId = PartitionId(0);
    const LEDGER: (Topic, PartitionId) = (Topic::Ledger, PARTITION);

    struct World {
        directory: tempfile::TempDir,
        saved: SavedScreens,
        screens: Screens,
        place: Place,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let log = LogSettings { bootstrap: String::new(), topic_prefix: "fuel".to_owned(), partitions: 1 };
            let saved = SavedScreens::open(directory.path().to_str().expect("a path"), &log).expect("a store");
            Self { directory, saved, screens: screens(), place: place() }
        }

        /// The screens have read the ledger up to this offset, and are saved.
        fn saved_at(&mut self, next: i64) {
            let from = self.screens.next(Topic::Ledger, PARTITION);
            self.screens.apply((from..next).map(|offset| {
                let at_us = TimestampUs::from_micros(offset);
                let body = LedgerBody::Takeover { owner: "a".to_owned(), at_us };
                let record = LedgerRecord { v: 1, epoch: 0, body };
                Feed::Ledger { partition: PARTITION, offset, record, seen_at_us: at_us }
            }));
            self.saved.save(&self.screens, &mut self.place, 3).expect("it is saved");
        }

        fn offsets(&self) -> Vec<i64> {
            self.saved.listed().expect("a list").into_iter().map(|(_, name, _)| name.offset).collect()
        }

        fn file(&self, offset: i64) -> std::path::PathBuf {
            let name = Name { partition: PARTITION, offset };
            self.directory.path().join("fuel.ledger.screens").join(name.to_string())
        }

        /// Where a start goes on when the ledger holds what is from `begin` up to `end`.
        fn begins(&self, begin: i64, end: i64) -> From {
            let fresh = screens();
            let positions = self.saved.restore_within(&fresh, vec![(LEDGER, Span { begin, end })]);
            let [(Topic::Ledger, PARTITION, from)] = positions[..] else { panic!("{positions:?}") };
            match from {
                From::Offset(next) => assert_eq!(fresh.next(Topic::Ledger, PARTITION), next),
                _ => assert_eq!(fresh.next(Topic::Ledger, PARTITION), 0),
            }
            from
        }
    }

    fn screens() -> Screens {
        Screens::of_this_process(60_000_000)
    }

    fn place() -> Place {
        Place { topic: Topic::Ledger, partition: PARTITION, saved: 0, at: Instant::now() }
    }

    #[test]
    fn a_start_takes_the_newest_file_of_use_and_the_newest_few_are_kept() {
        let mut world = World::new();
        assert_eq!(world.begins(0, 0), From::Beginning, "nothing is saved");
        for next in [10, 20, 30, 40, 50] {
            world.saved_at(next);
        }
        assert_eq!(world.offsets(), [30, 40, 50]);
        assert_eq!(world.begins(0, 50), From::Offset(50));
        assert_eq!(world.begins(0, 49), From::Offset(40), "a file of more than the log holds");
        let mut bytes = std::fs::read(world.file(50)).expect("the newest");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(world.file(50), bytes).expect("it can be written");
        assert_eq!(world.begins(0, 60), From::Offset(40), "one byte of the newest is another");
        std::fs::copy(world.file(30), world.file(40)).expect("it can be written");
        assert_eq!(world.begins(0, 60), From::Offset(30), "a file under the name of another");
        assert_eq!(world.begins(31, 60), From::Beginning, "the log no longer holds what follows");
    }

    #[test]
    fn what_another_log_left_is_neither_taken_nor_in_the_way() {
        let mut world = World::new();
        world.saved_at(90);
        (world.screens, world.place) = (screens(), place());
        for next in [5, 6, 7, 8] {
            world.saved_at(next);
        }
        assert_eq!(world.offsets(), [6, 7, 8, 90]);
        assert_eq!(world.begins(0, 8), From::Offset(8));
    }

    #[test]
    fn what_another_process_saved_is_not_saved_again() {
        let mut world = World::new();
        world.saved_at(10);
        let written =
            |world: &World| std::fs::metadata(world.file(10)).and_then(|file| file.modified()).expect("a file");
        let before = written(&world);
        world.place = place();
        world.saved_at(10);
        assert_eq!(world.place.saved, 10);
        assert_eq!(written(&world), before);
        world.saved_at(11);
        assert_eq!(world.offsets(), [10, 11]);
    }
}
