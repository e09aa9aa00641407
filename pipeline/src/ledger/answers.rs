//! Idempotency keys and the answers that were given to them.
//!
//! In: each first answer, in figures. Out: that answer again, for as long as keys are kept. Guarantees: the first answer
//! stays; the oldest go first, a few per request, so memory is bounded by retention and by [`ANSWERS_MAX`]; nothing is
//! moved when the table grows but a small part of the index. Does not: make words; `record` does, from the figures.

pub(super) mod taking;

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use model::{Code, IdempotencyKey, Note, RiskFinding, TimestampUs, TransactionKind, Verdict};
use serde::{Deserialize, Serialize};

use super::lines::Lines;
use super::snapshot::fields::{json, place};
use super::state::{Ix, Money};
use taking::Taking;

/// Answers of one partition, whatever the retention: about 10 GB.
const ANSWERS_MAX: usize = 32_000_000;
const CHUNK: usize = 4_096;
const NO_DECISION: u16 = u16::MAX;
const _: () = assert!(CHUNK < NO_DECISION as usize);
/// Answers forgotten per request: two for one keeps up, and no request pays for all.
const EVICTIONS_MAX: usize = 4;
/// Parts of the index: growing one of them moves little.
const PARTS: usize = 256;

/// The contract's balance as a limit.
pub(super) const BALANCE: Ix = Ix::MAX;
/// No limit bound.
pub(super) const UNBOUND: u8 = u8::MAX;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    key: u128,
    pub(super) received_at: TimestampUs,
    pub(super) fingerprint: u64,
    /// Among the decisions of its chunk; [`NO_DECISION`] for orders: a repeat of an order changes nothing and says so. A million
    /// orders open a million cards, and a decision is six times as long as the rest.
    decision: u16,
}

/// A decision in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Decided {
    pub(super) kind: TransactionKind,
    pub(super) verdict: Verdict,
    pub(super) code: Code,
    #[serde(with = "place")]
    pub(super) contract: Ix,
    #[serde(with = "place")]
    pub(super) card: Ix,
    /// The authorization that it gave or concerns, by the offset of its request.
    pub(super) auth: Option<i64>,
    /// Of a hold that was placed or grew; 0 for none.
    pub(super) hold_expires_us: i64,
    pub(super) allowed: Lines,
    /// Before the request.
    pub(super) money: Money,
    pub(super) rules_version: u64,
    /// What a litre costs the contract, of the first fuel that was asked for; 0 for none.
    pub(super) price_e4: u32,
    pub(super) figures_from: u32,
    pub(super) figures: u8,
    pub(super) binding: u8,
    pub(super) remarks: Option<Box<Remarks>>,
}

/// What there is to say beside the figures of limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Remarks {
    #[serde(with = "json")]
    pub(super) notes: Vec<Note>,
    #[serde(with = "json")]
    pub(super) risk: Vec<RiskFinding>,
}

/// One limit as it stood before the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figure {
    /// Among the settings of the contract, or [`BALANCE`].
    #[serde(with = "place")]
    pub(super) limit: Ix,
    pub(super) period: i64,
    pub(super) value: i64,
    pub(super) used: i64,
    pub(super) held: i64,
}

impl Figure {
    pub(super) fn left(&self) -> i64 {
        self.value.saturating_sub(self.used).saturating_sub(self.held)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Answers {
    index: Vec<HashTable<Entry>>,
    chunks: VecDeque<Chunk>,
    /// The number of the first chunk.
    first: u64,
    spare: Option<Chunk>,
    len: usize,
    taking: Option<Box<Taking>>,
}

/// Where the answer to a key is. Half of the key is enough to find it; the answer itself has the whole.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    place: Place,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Chunk {
    answers: Vec<Answer>,
    decisions: Vec<Decided>,
    figures: Vec<Figure>,
    gone: usize,
}

impl Chunk {
    fn decision(&self, answer: &Answer) -> Option<&Decided> {
        self.decisions.get(usize::from(answer.decision))
    }

    /// Gives the place of a decision; room is made for all of a chunk at once, so that nothing is moved.
    fn add_decision(&mut self, decision: Option<Decided>) -> u16 {
        let Some(decision) = decision else { return NO_DECISION };
        if self.decisions.capacity() == 0 {
            self.decisions.reserve_exact(CHUNK);
        }
        self.decisions.push(decision);
        u16::try_from(self.decisions.len() - 1).unwrap_or(NO_DECISION)
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            index: vec![HashTable::new(); PARTS],
            chunks: VecDeque::new(),
            first: 0,
            spare: None,
            len: 0,
            taking: None,
        }
    }
}

/// The index is made from the answers.
impl PartialEq for Answers {
    fn eq(&self, other: &Self) -> bool {
        self.chunks == other.chunks && self.first == other.first
    }
}

/// Two hashes of 64 bits: among a billion keys two agree by chance once in 10²⁰ ledgers.
pub(super) fn key_of(idem: &IdempotencyKey) -> u128 {
    let half = |seed| u128::from(FixedState::with_seed(seed).hash_one(idem.as_str()));
    half(0x9e37_79b9_7f4a_7c15) << 64 | half(0xd1b5_4a32_d192_ed03)
}

/// Where an answer is.
pub(super) type Place = u64;

impl Answers {
    pub(super) fn find(&self, key: u128) -> Option<Place> {
        let hash = half(key);
        let same = |entry: &Entry| entry.hash == hash && self.get(entry.place).is_some_and(|answer| answer.key == key);
        self.index[part(key)].find(hash, same).map(|entry| entry.place)
    }

    /// Brings what the next requests will ask of the index, and what they will make it forget, into the cache.
    pub(super) fn look_ahead(&self, keys: &[u128]) -> bool {
        let touch = |key: u128| {
            let hash = half(key);
            self.index[part(key)].find(hash, |entry| entry.hash == hash).is_some()
        };
        let mut found = keys.iter().fold(false, |found, key| found ^ touch(*key));
        if let Some(chunk) = self.chunks.front() {
            let oldest = chunk.answers.iter().skip(chunk.gone).take(keys.len());
            found ^= oldest.fold(false, |found, answer| found ^ touch(answer.key));
        }
        found
    }

    pub(super) fn get(&self, place: Place) -> Option<&Answer> {
        self.chunk(place)?.answers.get(slot(place))
    }

    /// `None` for an order as well.
    pub(super) fn decision(&self, place: Place) -> Option<&Decided> {
        let chunk = self.chunk(place)?;
        chunk.decision(chunk.answers.get(slot(place))?)
    }

    pub(super) fn figures(&self, place: Place) -> &[Figure] {
        let figures = || {
            let chunk = self.chunk(place)?;
            let decided = chunk.decision(chunk.answers.get(slot(place))?)?;
            let from = decided.figures_from as usize;
            chunk.figures.get(from..from + usize::from(decided.figures))
        };
        figures().unwrap_or_default()
    }

    /// The authorization that was given to the request with this key.
    pub(super) fn auth(&self, idem: &IdempotencyKey) -> Option<i64> {
        self.decision(self.find(key_of(idem))?)?.auth
    }

    /// Keeps an answer under a key that has none.
    pub(super) fn keep(
        &mut self,
        key: u128,
        received_at: TimestampUs,
        fingerprint: u64,
        decision: Option<(Decided, &[Figure])>,
    ) -> Place {
        if self.chunks.back().is_none_or(|chunk| chunk.answers.len() == CHUNK) {
            let mut fresh = self.spare.take().unwrap_or_default();
            fresh.answers.clear();
            fresh.decisions.clear();
            fresh.figures.clear();
            fresh.gone = 0;
            fresh.answers.reserve_exact(CHUNK);
            self.chunks.push_back(fresh);
        }
        let number = self.first + (self.chunks.len() as u64 - 1);
        let Some(chunk) = self.chunks.back_mut() else { return 0 };
        let decision = decision.map(|(mut decided, figures)| {
            decided.figures_from = u32::try_from(chunk.figures.len()).unwrap_or(u32::MAX);
            decided.figures = u8::try_from(figures.len()).unwrap_or(0);
            chunk.figures.extend_from_slice(figures);
            decided
        });
        let decision = chunk.add_decision(decision);
        let place = number * CHUNK as u64 + chunk.answers.len() as u64;
        chunk.answers.push(Answer { key, received_at, fingerprint, decision });
        let entry = Entry { hash: half(key), place };
        self.index[part(key)].insert_unique(entry.hash, entry, |entry| entry.hash);
        self.len += 1;
        place
    }

    /// Forgets some of the answers that were given before `before`.
    pub(super) fn forget(&mut self, before: TimestampUs) {
        for _ in 0..EVICTIONS_MAX {
            let too_many = self.len > ANSWERS_MAX;
            let Some(chunk) = self.chunks.front_mut() else { return };
            let Some(oldest) = chunk.answers.get(chunk.gone) else { return };
            if oldest.received_at >= before && !too_many {
                return;
            }
            let key = oldest.key;
            let place = self.first * CHUNK as u64 + chunk.gone as u64;
            chunk.gone += 1;
            self.len -= 1;
            let emptied = chunk.gone == CHUNK;
            if let Ok(entry) = self.index[part(key)].find_entry(half(key), |entry| entry.place == place) {
                entry.remove();
            }
            if emptied {
                let emptied = self.chunks.pop_front();
                self.spare = match &mut self.taking {
                    Some(taking) => emptied.and_then(|chunk| taking.keep_back(self.first, chunk)),
                    None => emptied,
                };
                self.first += 1;
            }
        }
    }

    /// The place of the oldest answer that is kept.
    #[cfg(test)]
    pub(super) fn first_kept(&self) -> Place {
        self.first * CHUNK as u64 + self.chunks.front().map_or(0, |chunk| chunk.gone as u64)
    }

    #[cfg(test)]
    pub(super) fn any(&self, such: impl Fn(&Decided) -> bool) -> bool {
        self.chunks.iter().flat_map(|chunk| &chunk.decisions).any(such)
    }

    fn chunk(&self, place: Place) -> Option<&Chunk> {
        let number = (place / CHUNK as u64).checked_sub(self.first)?;
        self.chunks.get(usize::try_from(number).ok()?)
    }
}

impl Decided {
    /// A decision without figures: they are counted when it is kept.
    pub(super) fn new(kind: TransactionKind, verdict: Verdict, code: Code) -> Self {
        Self {
            kind,
            verdict,
            code,
            contract: super::state::NONE,
            card: super::state::NONE,
            auth: None,
            hold_expires_us: 0,
            allowed: Lines::default(),
            money: Money::default(),
            rules_version: 0,
            price_e4: 0,
            figures_from: 0,
            figures: 0,
            binding: UNBOUND,
            remarks: None,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn half(key: u128) -> u64 {
    key as u64
}

fn part(key: u128) -> usize {
    (key >> 120) as usize % PARTS
}

#[expect(clippy::cast_possible_truncation, reason = "the rest of a chunk")]
fn slot(place: Place) -> usize {
    (place % CHUNK as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answers_go_first_and_the_others_stay() {
        let mut answers = Answers::default();
        let idem = |number: i64| IdempotencyKey::new(&format!("key-{number}")).expect("an identifier");
        let at = TimestampUs::from_micros;
        for number in 0..20_000 {
            let decided =
                Decided { auth: Some(number), ..Decided::new(TransactionKind::Sale, Verdict::Approve, Code::Approved) };
            let figures = [Figure { value: number, ..Figure::default() }; 3];
            answers.keep(key_of(&idem(number)), at(number), 7, Some((decided, &figures)));
            answers.forget(at(number - 10_000));
        }
        assert_eq!(answers.find(key_of(&idem(9_998))), None);
        for number in 10_000..20_000 {
            let place = answers.find(key_of(&idem(number))).expect("kept");
            assert_eq!(answers.auth(&idem(number)), Some(number));
            assert!(answers.figures(place).iter().all(|figure| figure.value == number));
        }
        assert!(answers.chunks.len() <= 4);
    }
}
