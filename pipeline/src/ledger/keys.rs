//! Idempotency keys and the answers that were given to them.
//!
//! In: each first answer. Out: that answer again, for as long as keys are kept. Guarantees: the first answer stays;
//! the oldest keys go first, a few per request, so memory is bounded by retention and by [`KEYS_MAX`].
//! Does not: decide what a repeat means.

use std::collections::VecDeque;

use model::{AuthCode, Decision, IdempotencyKey, TimestampUs};

use super::contract::Map;

/// Keys of one partition, whatever the retention: about 8 GB of answers.
const KEYS_MAX: usize = 8_000_000;
/// Keys forgotten per request.
const EVICTIONS_MAX: usize = 4;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    answers: Map<IdempotencyKey, Answer>,
    arrivals: VecDeque<(TimestampUs, IdempotencyKey)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) fingerprint: u64,
    /// The decision as JSON, a third of the size of the value; absent for an order.
    decision: Option<Box<[u8]>>,
}

impl Answer {
    pub(super) fn decision(&self) -> Option<Decision> {
        serde_json::from_slice(self.decision.as_deref()?).ok()
    }
}

impl Keys {
    pub(super) fn get(&self, idem: &IdempotencyKey) -> Option<&Answer> {
        self.answers.get(idem)
    }

    /// The authorization that was given to the request with this key.
    pub(super) fn auth_code(&self, idem: &IdempotencyKey) -> Option<AuthCode> {
        self.get(idem)?.decision()?.auth_code
    }

    /// Remembers an answer, unless the key has one.
    pub(super) fn remember(
        &mut self,
        idem: &IdempotencyKey,
        fingerprint: u64,
        decision: Option<&Decision>,
        received_at: TimestampUs,
    ) {
        if self.answers.contains_key(idem) {
            return;
        }
        let decision = decision.and_then(|decision| serde_json::to_vec(decision).ok()).map(Vec::into_boxed_slice);
        self.answers.insert(idem.clone(), Answer { fingerprint, decision });
        self.arrivals.push_back((received_at, idem.clone()));
    }

    /// Forgets some of the keys that arrived before `before`.
    pub(super) fn forget(&mut self, before: TimestampUs) {
        for _ in 0..EVICTIONS_MAX {
            match self.arrivals.front() {
                Some((received_at, _)) if *received_at < before || self.arrivals.len() > KEYS_MAX => {}
                _ => return,
            }
            if let Some((_, idem)) = self.arrivals.pop_front() {
                self.answers.remove(&idem);
            }
        }
    }
}
