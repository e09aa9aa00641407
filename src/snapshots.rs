//! Snapshots of the ledger's shards in an object store: a directory, or anything that speaks S3.
//!
//! In: parts of snapshots from the workers. Out: files, and shards at a start. Guarantees: a file appears whole (written beside
//! and renamed, or put as one object) and only when all that is in it stands in the ledger as truth; the newest few are
//! kept; one that cannot be used is named, and the one before is taken, or the whole ledger. Does not: hold up decisions:
//! packing and storing happen on a thread of their own.

pub(crate) mod cards;
pub(crate) mod command;
pub(crate) mod screens;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use crossbeam_channel::{Receiver, Sender};
use futures_util::TryStreamExt;
use ingest::Span;
use model::{LogSettings, PartitionId, Topic};
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use pipeline::ledger::snapshot::Part;
use pipeline::ledger::snapshot::choice::{self, Choice, Name};
use pipeline::ledger::snapshot::file::Writer;

/// A directory's files are written in such pieces, and after so long the next one: at most 32 MB a second. While a file of
/// 6 MB was written in one go, in some 20 ms, decisions took 8 ms in the mean in place of 2.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_PAUSE: Duration = Duration::from_millis(2);
/// A file that is not whole and was not written to for so long belongs to a process that was killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

/// Where snapshots lie.
#[derive(Clone)]
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// `…/{topic prefix}.ledger`, or `.cards`, or `.ledger.screens`, …
    root: Key,
    /// The same as a directory, where it is one. S3 takes no part that is smaller than 5 MiB, and forgets what is not whole.
    directory: Option<PathBuf>,
    runtime: Arc<tokio::runtime::Runtime>,
}

impl Store {
    /// For snapshots of what is folded from this topic. Opens a directory, which is made when it is not there, or
    /// `s3://bucket/path`, whose credentials and endpoint come from the environment (`AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT`, …).
    pub(crate) fn open(place: &str, log: &LogSettings, topic: Topic) -> anyhow::Result<Self> {
        Self::open_named(place, log.topic_name(topic))
    }

    /// As [`Store::open`], in a folder of this name.
    fn open_named(place: &str, folder: String) -> anyhow::Result<Self> {
        let (objects, root, directory): (Arc<dyn ObjectStore>, Key, _) = if place.starts_with("s3://") {
            // Fails when there is one already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let url = place.parse().with_context(|| format!("snapshots.store {place:?} is no address"))?;
            let settings = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
            let settings = settings.map(|(name, value)| (name.to_ascii_lowercase(), value));
            let (objects, root) = object_store::parse_url_opts(&url, settings)
                .with_context(|| format!("snapshots.store {place:?} cannot be used"))?;
            (objects.into(), root, None)
        } else {
            let directory = Path::new(place);
            std::fs::create_dir_all(directory)
                .with_context(|| format!("the directory for snapshots {place:?} cannot be made"))?;
            let objects = object_store::local::LocalFileSystem::new_with_prefix(directory)
                .with_context(|| format!("the directory for snapshots {place:?} cannot be used"))?;
            (Arc::new(objects.with_fsync(true)), Key::default(), Some(directory.join(&folder)))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { objects, root: root.join(folder), directory, runtime: Arc::new(runtime) })
    }

    /// All snapshots of the ledger, with what the store knows of each.
    pub(crate) fn list(&self) -> anyhow::Result<BTreeMap<Name, ObjectMeta>> {
        let named = |(name, meta): (String, ObjectMeta)| Some((name.parse().ok()?, meta));
        Ok(self.files()?.into_iter().filter_map(named).collect())
    }

    pub(crate) fn get(&self, name: &Name) -> anyhow::Result<Vec<u8>> {
        self.bytes(&name.to_string())
    }

    fn put(&self, name: &Name, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.store(&name.to_string(), bytes)
    }

    /// Deletes a partition's snapshots but the newest `keep`.
    fn prune(&self, partition: PartitionId, keep: usize) -> anyhow::Result<()> {
        let mut names = self.list()?.into_keys().filter(|name| name.partition == partition).rev().skip(keep);
        names.try_for_each(|name| self.delete(&name.to_string()))
    }

    /// All files below the root, by name, with what the store knows of each.
    fn files(&self) -> anyhow::Result<Vec<(String, ObjectMeta)>> {
        let listed: Vec<ObjectMeta> = self
            .runtime
            .block_on(self.objects.list(Some(&self.root)).try_collect())
            .context("the snapshots cannot be listed")?;
        let named = |meta: ObjectMeta| {
            let parts: Vec<_> = meta.location.prefix_match(&self.root)?.map(|part| part.as_ref().to_owned()).collect();
            Some((parts.join("/"), meta))
        };
        Ok(listed.into_iter().filter_map(named).collect())
    }

    fn bytes(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let bytes = self.runtime.block_on(async { self.objects.get(&self.key(name)).await?.bytes().await })?;
        Ok(bytes.into())
    }

    fn store(&self, name: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.runtime
            .block_on(self.put_at(&self.key(name), bytes))
            .with_context(|| format!("the snapshot {name} cannot be stored"))
    }

    async fn put_at(&self, key: &Key, bytes: Vec<u8>) -> object_store::Result<()> {
        if self.directory.is_none() {
            return self.objects.put(key, bytes.into()).await.map(drop);
        }
        let mut file = self.objects.put_multipart(key).await?;
        for piece in bytes.chunks(PIECE_BYTES) {
            file.put_part(piece.to_vec().into()).await?;
            tokio::time::sleep(PIECE_PAUSE).await;
        }
        file.complete().await.map(drop)
    }

    fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.runtime
            .block_on(self.objects.delete(&self.key(name)))
            .with_context(|| format!("the old snapshot {name} cannot be deleted"))
    }

    /// Deletes what processes that were killed had begun to write: no list shows it.
    fn delete_abandoned(&self) {
        if let Some(directory) = &self.directory {
            delete_abandoned(directory);
        }
    }

    fn key(&self, name: &str) -> Key {
        name.split('/').fold(self.root.clone(), Key::join)
    }

    /// With what each of these partitions begins. `spans` says what the ledger holds of them.
    pub(crate) fn choose(&self, partitions: &[(PartitionId, Span)]) -> anyhow::Result<Vec<Choice>> {
        let names: Vec<Name> = match self.list() {
            Ok(listed) => listed.into_keys().collect(),
            Err(error) => {
                tracing::warn!("reading the whole ledger: {error:#}");
                Vec::new()
            }
        };
        // Unpacking is work for a processor: as many at a time as there are.
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let mut choices = Vec::with_capacity(partitions.len());
        for some in partitions.chunks(at_once) {
            let chosen: Vec<anyhow::Result<Choice>> = std::thread::scope(|scope| {
                let loading: Vec<_> = some.iter().map(|place| scope.spawn(|| self.chosen(place, &names))).collect();
                let joined = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                    thread.join().unwrap_or_else(|_| Err(anyhow!("a snapshot's reader panicked")))
                };
                loading.into_iter().map(joined).collect()
            });
            for choice in chosen {
                choices.push(choice?);
            }
        }
        Ok(choices)
    }

    fn chosen(&self, (partition, span): &(PartitionId, Span), names: &[Name]) -> anyhow::Result<Choice> {
        let began = Instant::now();
        let choice = choice::choose(*partition, span.begin..=span.end, names.iter().copied(), |name| self.get(name))
            .with_context(|| format!("the ledger's partition {partition} cannot be restored"))?;
        for passed in &choice.passed_over {
            tracing::error!(%partition, snapshot = %passed.name, reason = passed.reason, "a snapshot is of no use");
            metrics::counter!("forecourt_snapshots_unusable_total").increment(1);
        }
        let tail = span.end - choice.offset;
        match &choice.snapshot {
            Some(name) => {
                tracing::info!(%partition, snapshot = %name, tail, secs = began.elapsed().as_secs_f64(), "snapshot read");
            }
            None => tracing::info!(%partition, tail, "no snapshot: reading the whole ledger"),
        }
        Ok(choice)
    }
}

fn delete_abandoned(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            delete_abandoned(&path);
            continue;
        }
        // `object_store` writes beside under the name with a number.
        let number = name.to_str().and_then(|name| name.rsplit_once('#')).map(|(_, number)| number);
        let is_part = number.is_some_and(|number| number.parse::<u32>().is_ok());
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
        if is_part && age > ABANDONED_AFTER {
            match std::fs::remove_file(&path) {
                Ok(()) => tracing::info!(file = %path.display(), "deleted the unfinished file of a killed process"),
                Err(error) => tracing::warn!(file = %path.display(), "an unfinished file cannot be deleted: {error}"),
            }
        }
    }
}

/// What the writer is told.
pub(crate) enum Job {
    Part {
        partition: PartitionId,
        part: Part,
    },
    /// All that is in it stands in the ledger: store it.
    Store(Finished),
}

/// A snapshot that waits for its last decision to stand in the ledger.
pub(crate) struct Finished {
    pub(crate) name: Name,
    pub(crate) last_request: Option<i64>,
    pub(crate) began: Instant,
    bytes: Vec<u8>,
}

/// What became of a snapshot.
pub(crate) enum News {
    Finished(Finished),
    /// It is stored, or cannot be: the next one may begin.
    Done(Name),
}

/// Packs and stores, until nobody sends any more.
pub(crate) fn write(store: &Store, keep: usize, jobs: &Receiver<Job>, news: &Sender<News>) {
    store.delete_abandoned();
    let mut writers: BTreeMap<PartitionId, (Instant, Option<Writer>)> = BTreeMap::new();
    for job in jobs {
        let told = match job {
            Job::Part { partition, part } => {
                if matches!(part, Part::Begin(_)) {
                    writers.insert(partition, (Instant::now(), None));
                }
                let Some((began, writer)) = writers.get_mut(&partition) else { continue };
                let Some((header, bytes)) = Writer::take(writer, &part) else { continue };
                let name = Name { partition, offset: header.offset };
                News::Finished(Finished { name, last_request: header.last_request, began: *began, bytes })
            }
            Job::Store(Finished { name, began, bytes, .. }) => {
                let size = bytes.len();
                match store.put(&name, bytes).and_then(|()| store.prune(name.partition, keep)) {
                    Ok(()) => {
                        tracing::info!(snapshot = %name, bytes = size, secs = began.elapsed().as_secs_f64(), "snapshot stored");
                        metrics::counter!("forecourt_snapshots_stored_total").increment(1);
                    }
                    Err(error) => {
                        tracing::error!("{error:#}; the next one is tried in its time");
                        metrics::counter!("forecourt_snapshots_failed_total").increment(1);
                    }
                }
                News::Done(name)
            }
        };
        if news.send(told).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_in(directory: &Path) -> Store {
        let log = LogSettings { bootstrap: String::new(), topic_prefix: "fuel".to_owned(), partitions: 1 };
        Store::open(directory.to_str().expect("a path"), &log, Topic::Ledger).expect("a store")
    }

    #[test]
    fn what_a_killed_process_had_begun_to_write_goes_after_a_while() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store_in(directory.path());
        let name = Name { partition: PartitionId(0), offset: 7 };
        store.put(&name, vec![1]).expect("it is stored");
        let whole = directory.path().join("fuel.ledger").join(name.to_string());
        let unfinished = |number: u32| PathBuf::from(format!("{}#{number}", whole.display()));
        for (path, age) in [(&whole, 2), (&unfinished(1), 2), (&unfinished(2), 0)] {
            let file = std::fs::File::create(path).expect("a file");
            file.set_modified(std::time::SystemTime::now() - age * ABANDONED_AFTER).expect("a time");
        }
        store.delete_abandoned();
        assert_eq!([whole.exists(), unfinished(1).exists(), unfinished(2).exists()], [true, false, true]);
    }

    #[test]
    fn a_file_of_many_pieces_is_stored_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store_in(directory.path());
        for size in [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 1] {
            let bytes: Vec<u8> = (0_u8..=250).cycle().take(size).collect();
            let name = Name { partition: PartitionId(0), offset: i64::try_from(size).expect("it is small") };
            store.put(&name, bytes.clone()).expect("it is stored");
            assert_eq!(store.get(&name).expect("it is there"), bytes, "{size} bytes");
        }
        assert_eq!(store.files().expect("a list").len(), 4, "nothing else lies there");
    }
}
