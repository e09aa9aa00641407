//! What was closed, in little memory: authorizations that ended or were posted, and keys that were decided.
//!
//! Guarantees: bounded; what had to be forgotten is counted where it is asked for.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::books::Books;
use model::{AuthCode, Fact, PartitionId, SoldItem, TimestampUs, TransactionKind};

/// Closed authorizations that are remembered; some 250 MB.
const CLOSED_MAX: usize = 4_000_000;
/// Keys that are remembered; some 250 MB.
const KEYS_MAX: usize = 4_000_000;

/// How an authorization ended.
#[derive(Clone, Copy, Debug)]
enum Closed {
    /// It expired, or somebody ended it: what was sold all the same may still come.
    Ended,
    Reversed,
    /// Posted, with what of it has not come back.
    Sold {
        minor: i64,
        ml: i64,
    },
}

/// Authorizations that are not open any more. An authorization's number is the offset of its request.
pub(super) struct Past {
    partition: PartitionId,
    closed: HashMap<i64, Closed, FixedState>,
    /// In the order in which they closed first.
    order: VecDeque<i64>,
    /// The highest number that was forgotten: what is above is known.
    forgotten: i64,
    /// Facts about authorizations that were forgotten.
    pub(super) unchecked: u64,
}

impl Past {
    pub(super) fn new(partition: PartitionId) -> Self {
        Self { partition, closed: HashMap::default(), order: VecDeque::new(), forgotten: -1, unchecked: 0 }
    }

    /// Checks a fact against what was closed before it, and remembers what it closes. `books` are those before it.
    pub(super) fn check(&mut self, request: i64, fact: &Fact, books: &Books, wrong: &mut Vec<String>) {
        let (Fact::Captured { auth_code, .. }
        | Fact::Reversed { auth_code, .. }
        | Fact::HoldExpired { auth_code, .. }
        | Fact::Refunded { auth_code, .. }
        | Fact::Voided { auth_code, .. }) = fact
        else {
            return self.opened(fact, wrong);
        };
        let Some(number) = self.number(auth_code) else {
            wrong.push(format!("authorization {auth_code} is not one of partition {}", self.partition));
            return;
        };
        let open = books.held_by(auth_code).is_some();
        let known = self.closed.get(&number).copied();
        match fact {
            Fact::Captured { items, amount_minor, .. } => {
                match known {
                    Some(Closed::Sold { .. }) => wrong.push(format!("authorization {auth_code} was posted twice")),
                    Some(Closed::Reversed) => {
                        wrong.push(format!("authorization {auth_code} was posted after it was reversed"));
                    }
                    None if !open && number != request => {
                        self.unknown(number, || format!("{auth_code} was posted and never opened"), wrong);
                    }
                    Some(Closed::Ended) | None => {}
                }
                self.close(number, Closed::Sold { minor: amount_minor.get(), ml: ml(items) });
            }
            Fact::Reversed { reason, .. } => {
                match known {
                    Some(Closed::Sold { .. }) => {
                        wrong.push(format!("authorization {auth_code} was reversed after it was posted"));
                    }
                    Some(Closed::Reversed) => wrong.push(format!("authorization {auth_code} was reversed twice")),
                    None if !open => {
                        self.unknown(number, || format!("{auth_code} was reversed and never opened"), wrong)
                    }
                    Some(Closed::Ended) | None => {}
                }
                // A hold that somebody ended by hand may still be completed, as after its expiry.
                self.close(number, if reason.is_some() { Closed::Ended } else { Closed::Reversed });
            }
            Fact::HoldExpired { .. } => self.close(number, Closed::Ended),
            Fact::Refunded { items, amount_minor, .. } => {
                self.back(auth_code, (number, amount_minor.get(), ml(items)), false, wrong);
            }
            Fact::Voided { items, amount_minor, .. } => {
                self.back(auth_code, (number, amount_minor.get(), ml(items)), true, wrong);
            }
            _ => {}
        }
    }

    fn opened(&self, fact: &Fact, wrong: &mut Vec<String>) {
        if let Fact::Decided { kind, decision, .. } = fact
            && let (Some(auth_code), Some(_), false) = (&decision.auth_code, decision.hold, decision.replayed)
            && *kind != TransactionKind::Incremental
            && self.number(auth_code).is_some_and(|number| self.closed.contains_key(&number))
        {
            wrong.push(format!("authorization {auth_code} was opened after it was closed"));
        }
    }

    /// Goods come back of what was sold; a void takes all that is left.
    fn back(
        &mut self,
        auth_code: &AuthCode,
        (number, minor, ml): (i64, i64, i64),
        whole: bool,
        wrong: &mut Vec<String>,
    ) {
        match self.closed.get_mut(&number) {
            Some(Closed::Sold { minor: left, ml: left_ml }) => {
                if minor > *left || ml > *left_ml {
                    wrong.push(format!("more comes back of {auth_code} than was sold"));
                } else if whole && (minor, ml) != (*left, *left_ml) {
                    wrong.push(format!("{auth_code} was voided in part"));
                }
                (*left, *left_ml) = (*left - minor, *left_ml - ml);
            }
            Some(Closed::Ended | Closed::Reversed) => {
                wrong.push(format!("something comes back of {auth_code}, which was never posted"));
            }
            None => {
                self.unknown(number, || format!("something comes back of {auth_code}, which was never posted"), wrong)
            }
        }
    }

    fn unknown(&mut self, number: i64, what: impl FnOnce() -> String, wrong: &mut Vec<String>) {
        if number <= self.forgotten { self.unchecked += 1 } else { wrong.push(what()) }
    }

    fn close(&mut self, number: i64, how: Closed) {
        if self.closed.insert(number, how).is_none() {
            self.order.push_back(number);
        }
        if self.order.len() > CLOSED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.closed.remove(&oldest);
            self.forgotten = self.forgotten.max(oldest);
        }
    }

    fn number(&self, auth_code: &AuthCode) -> Option<i64> {
        let (partition, number) = auth_code.as_str().split_once('-')?;
        (partition.parse() == Ok(self.partition.0)).then(|| number.parse().ok()).flatten()
    }
}

fn ml(items: &[SoldItem]) -> i64 {
    items.iter().map(|item| i64::try_from(item.qty_ml.get()).unwrap_or(i64::MAX)).fold(0, i64::saturating_add)
}

/// Keys that were decided, for as long as the same key must get the same answer.
pub(super) struct Keys {
    retention_us: i64,
    /// By hash: where it was decided.
    decided: HashMap<u64, i64, FixedState>,
    order: VecDeque<(TimestampUs, u64)>,
    hasher: FixedState,
}

impl Keys {
    pub(super) fn new(retention_us: i64) -> Self {
        let hasher = FixedState::default();
        Self { retention_us, decided: HashMap::default(), order: VecDeque::new(), hasher }
    }

    /// A first answer to a key at this offset; where it was given before, if it was.
    pub(super) fn decided(&mut self, key: &str, received_at: TimestampUs, offset: i64) -> Option<i64> {
        let hash = self.hasher.hash_one(key);
        let before = self.decided.insert(hash, offset);
        if before.is_none() {
            self.order.push_back((received_at, hash));
        }
        before
    }

    /// A request of this moment was answered: keys may be forgotten that are older than they are kept. In the order of
    /// their arrival, as the ledger's owner does it.
    pub(super) fn passed(&mut self, received_at: TimestampUs) {
        let before = received_at.plus_us(-self.retention_us);
        while let Some((at, hash)) = self.order.front().copied()
            && (at < before || self.order.len() > KEYS_MAX)
        {
            self.order.pop_front();
            self.decided.remove(&hash);
        }
    }
}
