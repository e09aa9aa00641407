//! The screens without sockets: what a browser is told, for whoever drives this crate without a server.
//!
//! In: feed items and the time. Out: the messages of the live protocol (API.md), as [`crate::serve`] sends them.
//! Guarantees: whoever applies the messages of a [`Watcher`] in order shows what a fresh page shows, after a resumed
//! connection too. Does not: listen, wait, or send more than it is asked for.

use std::sync::Arc;

use model::{ContractId, PartitionId, Topic};

use crate::Feed;
use crate::hub::{Hub, Viewer};
use crate::projection::{Projection, Saved, Unpacked};

/// The screens of a process. Clones are the same screens.
#[derive(Clone)]
pub struct Screens(Arc<Hub>);

/// One browser's connection.
pub struct Watcher(Viewer);

impl Screens {
    /// `instance` tells the tokens of these screens from those of others. Gauges may be silent for `stale_after_us`.
    #[must_use]
    pub fn new(instance: String, stale_after_us: i64) -> Self {
        Self(Arc::new(Hub::new(instance, Projection::new(stale_after_us))))
    }

    /// As [`Screens::new`], named after the time and this process.
    #[must_use]
    pub fn of_this_process(stale_after_us: i64) -> Self {
        Self::new(format!("{:x}.{:x}", crate::server::now_us(), std::process::id()), stale_after_us)
    }

    /// Folds what was recorded.
    pub fn apply(&self, items: impl IntoIterator<Item = Feed>) {
        self.0.apply(items);
    }

    /// Begins with what was saved of some partitions of the ledger and of the station events, before anything is folded.
    pub fn restore(&self, parts: Vec<Saved>) {
        self.0.restore(parts);
    }

    /// What a partition of the ledger or of the station events told so far. Nothing is folded meanwhile.
    #[must_use]
    pub fn save(&self, topic: Topic, partition: PartitionId) -> Unpacked {
        self.0.read().save(topic, partition)
    }

    /// The offset up to which a partition was folded.
    #[must_use]
    pub fn next(&self, topic: Topic, partition: PartitionId) -> i64 {
        self.0.read().next(topic, partition)
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0
    }

    /// It is `now_us`: publishes what changed since the last time.
    pub fn publish(&self, now_us: i64) {
        self.0.tick(now_us, Vec::new());
    }

    /// A connection that begins, or goes on from the token `resume` if that is possible, and follows these contracts; those
    /// beyond what one browser may follow are left out.
    #[must_use]
    pub fn watch(&self, resume: Option<&str>, contracts: impl IntoIterator<Item = ContractId>) -> Watcher {
        let mut viewer = Viewer::new(&self.0, resume);
        for contract in contracts {
            if !viewer.subscribe(contract) {
                break;
            }
        }
        Watcher(viewer)
    }

    /// What brings the browser up to the latest publication, if there is anything to say.
    pub fn next_message(&self, watcher: &mut Watcher) -> Option<String> {
        let publication = self.0.publications().borrow().clone();
        watcher.0.next_message(&self.0, &publication).map(|message| message.as_str().to_owned())
    }
}
