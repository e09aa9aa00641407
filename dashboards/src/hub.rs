//! Between the one writer of the projection and its many viewers.
//!
//! In: feed items and ticks from the writer. Out: per viewer a snapshot, then deltas.
//! Guarantees: a viewer that applies its messages in order shows the state as of its last token, whatever it missed
//! between; a token of this process resumes there. A viewer costs one version number per thing it follows, and at most one
//! message under way: nothing queues. What all viewers need is encoded once per publication.
//! Does not: know sockets or time.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use axum::extract::ws::Utf8Bytes;
use hashbrown::HashMap;
use model::ContractId;
use tokio::sync::watch;

use crate::projection::{Projection, Saved};
use crate::{Feed, Part};

/// Contracts that one viewer may follow in detail.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 20;
/// Encoded details that are kept for further viewers of the same contract.
const DETAILS_MAX: usize = 256;

/// What changed from one version to another, encoded for all.
pub(crate) struct Publication {
    from: u64,
    to: u64,
    /// The fields of `changes` without the braces; absent when nobody was there to need it.
    changes: Option<String>,
    /// The first message of a viewer that begins at `to`.
    snapshot: OnceLock<Utf8Bytes>,
}

/// The detail of a contract as of a version, encoded.
type Detail = (u64, Arc<str>);

pub(crate) struct Hub {
    /// Tells the tokens of this process from those of another.
    instance: String,
    projection: RwLock<Projection>,
    latest: watch::Sender<Arc<Publication>>,
    details: Mutex<HashMap<ContractId, Detail>>,
}

fn encode(value: &impl serde::Serialize) -> String {
    // Only a map with keys that are no texts could fail, and no line has one.
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!(%error, "a line cannot be encoded");
        "{}".to_owned()
    })
}

/// The fields of an encoded object.
fn fields(object: &str) -> &str {
    object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default()
}

impl Hub {
    /// `instance` is unique to this run of the process.
    pub(crate) fn new(instance: String, projection: Projection) -> Self {
        let first = Publication { from: 0, to: 0, changes: None, snapshot: OnceLock::new() };
        Self {
            instance,
            projection: RwLock::new(projection),
            latest: watch::Sender::new(Arc::new(first)),
            details: Mutex::default(),
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Projection> {
        self.projection.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Folds items; only the one writer calls this.
    pub(crate) fn apply(&self, items: impl IntoIterator<Item = Feed>) {
        let mut projection = self.projection.write().unwrap_or_else(PoisonError::into_inner);
        for item in items {
            projection.apply(item);
        }
    }

    /// Begins with what was saved.
    pub(crate) fn restore(&self, parts: Vec<Saved>) {
        self.projection.write().unwrap_or_else(PoisonError::into_inner).restore(parts);
    }

    /// Brings the time, and publishes what changed since the last call.
    pub(crate) fn tick(&self, now_us: i64, parts: Vec<Part>) {
        self.projection.write().unwrap_or_else(PoisonError::into_inner).tick(now_us, parts);
        let from = self.latest.borrow().to;
        let projection = self.read();
        let to = projection.version();
        if from == to {
            return;
        }
        let viewers = self.latest.receiver_count() > 0;
        let changes = viewers.then(|| fields(&encode(&projection.changes(from, to))).to_owned());
        drop(projection);
        self.latest.send_replace(Arc::new(Publication { from, to, changes, snapshot: OnceLock::new() }));
    }

    pub(crate) fn publications(&self) -> watch::Receiver<Arc<Publication>> {
        self.latest.subscribe()
    }

    fn token(&self, version: u64) -> String {
        format!("{}-{version}", self.instance)
    }

    /// The version that a token names, if it is of this process and was published.
    fn version_of(&self, token: &str) -> Option<u64> {
        let (instance, version) = token.rsplit_once('-')?;
        let version = version.parse().ok()?;
        (instance == self.instance && version <= self.latest.borrow().to).then_some(version)
    }

    fn snapshot(&self, publication: &Publication) -> Utf8Bytes {
        let encoded = publication.snapshot.get_or_init(|| {
            let state = encode(&self.read().state(publication.to));
            let token = self.token(publication.to);
            format!(r#"{{"type":"snapshot","seq":1,"token":"{token}","state":{state}}}"#).into()
        });
        encoded.clone()
    }

    /// The detail of `contract` if it is newer than version `sent`. An unknown contract has an empty one of version 0.
    fn detail(&self, contract: &ContractId, sent: Option<u64>) -> Option<Detail> {
        let projection = self.read();
        let version = projection.contracts().get(contract).map_or(0, |known| known.version);
        if sent.is_some_and(|sent| sent >= version) {
            return None;
        }
        let mut details = self.details.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(detail) = details.get(contract).filter(|detail| detail.0 == version) {
            return Some(detail.clone());
        }
        let encoded = match projection.contracts().get(contract) {
            Some(known) => encode(&projection.contract_detail(known)),
            None => encode(&Projection::unknown_detail(contract)),
        };
        if details.len() >= DETAILS_MAX {
            details.clear();
        }
        let detail = (version, Arc::from(encoded));
        details.insert(contract.clone(), detail.clone());
        Some(detail)
    }
}

/// A contract that a viewer follows, and the version of the detail that it has.
struct Subscription {
    contract: ContractId,
    sent: Option<u64>,
}

/// What one viewer has been sent.
pub(crate) struct Viewer {
    seq: u64,
    /// The version that the viewer has; absent before its snapshot.
    sent: Option<u64>,
    subscriptions: Vec<Subscription>,
}

impl Viewer {
    /// A viewer that begins, or goes on from `resume` if that is possible.
    pub(crate) fn new(hub: &Hub, resume: Option<&str>) -> Self {
        Self { seq: 0, sent: resume.and_then(|token| hub.version_of(token)), subscriptions: Vec::new() }
    }

    /// False when the viewer already follows [`SUBSCRIPTIONS_MAX`] others.
    #[must_use]
    pub(crate) fn subscribe(&mut self, contract: ContractId) -> bool {
        self.subscriptions.retain(|subscription| subscription.contract != contract);
        if self.subscriptions.len() == SUBSCRIPTIONS_MAX {
            return false;
        }
        self.subscriptions.push(Subscription { contract, sent: None });
        true
    }

    pub(crate) fn unsubscribe(&mut self, contract: &ContractId) {
        self.subscriptions.retain(|subscription| subscription.contract != *contract);
    }

    /// Whether a detail was asked for that has not been sent at all.
    pub(crate) fn awaits_detail(&self) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.sent.is_none())
    }

    /// The message that brings the viewer to `publication`, if there is anything to say. The first call always says something.
    pub(crate) fn next_message(&mut self, hub: &Hub, publication: &Publication) -> Option<Utf8Bytes> {
        let Some(sent) = self.sent else {
            self.seq = 1;
            self.sent = Some(publication.to);
            return Some(hub.snapshot(publication));
        };
        let missed;
        let changes = if sent == publication.to {
            ""
        } else if let Some(changes) = publication.changes.as_deref().filter(|_| sent == publication.from) {
            changes
        } else {
            missed = encode(&hub.read().changes(sent, publication.to));
            fields(&missed)
        };
        let mut details = Vec::new();
        for subscription in &mut self.subscriptions {
            if let Some((version, detail)) = hub.detail(&subscription.contract, subscription.sent) {
                subscription.sent = Some(version);
                details.push(detail);
            }
        }
        self.sent = Some(publication.to);
        if self.seq > 0 && changes.is_empty() && details.is_empty() {
            return None;
        }
        self.seq += 1;
        let (seq, token) = (self.seq, hub.token(publication.to));
        let mut message = format!(r#"{{"type":"delta","seq":{seq},"token":"{token}","changes":{{{changes}"#);
        if !details.is_empty() {
            message += if changes.is_empty() { "" } else { "," };
            message += r#""contract_details":["#;
            message += &details.join(",");
            message += "]";
        }
        message += "}}";
        Some(message.into())
    }
}

#[cfg(test)]
mod tests;
