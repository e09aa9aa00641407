//! Which parts of the process work. In: what the parts say of themselves. Out: `/readyz` and the page's health lines.
//!
//! Guarantees: a required part counts as not ready until it has said otherwise. Does not: probe anything itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// One part of the process, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: String,
    pub ok: bool,
    /// What it is doing, or what is wrong.
    pub detail: String,
    /// Whether `/readyz` waits for it.
    #[serde(skip)]
    pub required: bool,
}

/// The name of the part that this crate keeps itself: whether the screens have caught up with the logs.
pub(crate) const FEED_PART: &str = "screens";

/// The health of all parts. Clones share one list.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<Vec<Part>>>);

impl Default for Health {
    fn default() -> Self {
        let health = Self(Arc::default());
        health.require(FEED_PART);
        health
    }
}

impl Health {
    /// Knows one required part: the screens, which are ready once the feed has caught up.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Declares a part without which the process is not ready. It is not ok until [`Health::set`] says so.
    pub fn require(&self, name: &str) {
        let mut parts = self.lock();
        match parts.iter_mut().find(|part| part.name == name) {
            Some(part) => part.required = true,
            None => {
                parts.push(Part { name: name.to_owned(), ok: false, detail: "starting".to_owned(), required: true })
            }
        }
    }
    /// Says how a part is. A part that was not declared before is shown, but does not hold up `/readyz`.
    pub fn set(&self, name: &str, ok: bool, detail: impl Into<String>) {
        let detail = detail.into();
        let mut parts = self.lock();
        match parts.iter_mut().find(|part| part.name == name) {
            Some(part) => (part.ok, part.detail) = (ok, detail),
            None => parts.push(Part { name: name.to_owned(), ok, detail, required: false }),
        }
    }
    /// All parts in the order in which they were first named.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        self.lock().clone()
    }
    /// The required parts that are not ok; ready when there are none.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<Part> {
        self.lock().iter().filter(|part| part.required && !part.ok).cloned().collect()
    }
    fn lock(&self) -> MutexGuard<'_, Vec<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_ready_when_every_required_part_says_so() {
        let health = Health::new();
        health.require("ledger");
        health.set("clickhouse", false, "connection refused");
        let waiting = |health: &Health| health.waiting_for().into_iter().map(|part| part.name).collect::<Vec<_>>();
        assert_eq!(waiting(&health), [FEED_PART, "ledger"]);
        health.set("ledger", true, "4 partitions");
        let clone = health.clone();
        clone.set(FEED_PART, true, "live");
        drop(clone);
        assert_eq!(waiting(&health), [""; 0]);
        health.set("ledger", false, "lost partition 2");
        assert_eq!(waiting(&health), ["ledger"]);
    }
}
