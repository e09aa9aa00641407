//! The screens without sockets: what a browser is told, for whoever drives this crate without a server.
//!
//! In: feed items and the time. Out: the messages of the live protocol (API.md), as [`crate::serve`] sends them.
//! Guarantees: whoever applies the messages of a [`Watcher`] in order shows what a fresh page shows, after a resumed
//! connection too. Does not: listen, wait, or send more than it is asked for.

use model::ContractId;

use crate::Feed;
use crate::hub::{Hub, Viewer};
use crate::projection::Projection;

pub struct Screens(Hub);

/// One browser's connection.
pub struct Watcher(Viewer);

impl Screens {
    /// `instance` tells the tokens of these screens from those of others. Gauges may be silent for `stale_after_us`.
    #[must_use]
    pub fn new(instance: String, stale_after_us: i64) -> Self {
        Self(Hub::new(instance, Projection::new(stale_after_us)))
    }

    /// Folds what was recorded.
    pub fn apply(&self, items: impl IntoIterator<Item = Feed>) {
        self.0.apply(items);
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
