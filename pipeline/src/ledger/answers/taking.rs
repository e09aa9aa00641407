//! The answers as they stood at one moment, a few at a time.
//!
//! Guarantees: answers are only ever added and never changed, so it is enough to remember how many there were, and to keep
//! chunks that are forgotten in between until they have had their turn. Those that were forgotten before are part of their
//! chunk: whoever folds what follows forgets exactly the same.

use std::collections::VecDeque;

use model::TimestampUs;
use serde::{Deserialize, Serialize};

use super::{Answer, Answers, CHUNK, Chunk, Decided, Entry, Figure, PARTS, half, part};
use crate::ledger::snapshot::slices::{Broken, put, take};

/// What an answer weighs in a slice beside its bytes.
const ANSWER_WEIGHT: usize = 32;

#[derive(Clone, Debug)]
pub(super) struct Taking {
    /// The number of the chunk whose turn it is, and how much of it was taken.
    chunk: u64,
    answers: usize,
    figures: usize,
    /// The number of the last chunk, and how much it held.
    last: u64,
    last_answers: usize,
    last_figures: usize,
    done: bool,
    /// Chunks that were forgotten before their turn, from `chunk` on.
    kept_back: VecDeque<Chunk>,
}

/// How many answers there are and where they begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ledger) struct Extent {
    first: u64,
    chunks: u64,
    /// Of the first chunk.
    gone: u32,
    /// Of the last chunk.
    answers: u32,
    figures: u32,
}

impl Taking {
    /// Keeps a forgotten chunk until its turn; gives it back when it had it.
    pub(super) fn keep_back(&mut self, number: u64, chunk: Chunk) -> Option<Chunk> {
        if self.done || number < self.chunk || number > self.last {
            return Some(chunk);
        }
        self.kept_back.push_back(chunk);
        None
    }
}

impl Answers {
    /// The answers as they stand now are wanted.
    pub(in crate::ledger) fn begin_taking(&mut self) -> Extent {
        let (first, last) = (self.chunks.front(), self.chunks.back());
        let chunks = self.chunks.len() as u64;
        let last_answers = last.map_or(0, |chunk| chunk.answers.len());
        let last_figures = last.map_or(0, |chunk| chunk.figures.len());
        let narrow = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let extent = Extent {
            first: self.first,
            chunks,
            gone: first.map_or(0, |chunk| narrow(chunk.gone)),
            answers: narrow(last_answers),
            figures: narrow(last_figures),
        };
        self.taking = Some(Box::new(Taking {
            chunk: self.first,
            answers: 0,
            figures: 0,
            last: self.first + chunks.saturating_sub(1),
            last_answers,
            last_figures,
            done: chunks == 0,
            kept_back: VecDeque::new(),
        }));
        extent
    }

    pub(in crate::ledger) fn end_taking(&mut self) {
        self.taking = None;
    }

    /// Adds answers, or else their figures, until there are about `enough` bytes; false when all are taken.
    pub(in crate::ledger) fn take_some(&mut self, enough: usize, into: &mut Vec<u8>) -> bool {
        let Some(taking) = self.taking.as_mut().filter(|taking| !taking.done) else { return false };
        let early = taking.chunk < self.first;
        let chunk = if early {
            taking.kept_back.front()
        } else {
            usize::try_from(taking.chunk - self.first).ok().and_then(|place| self.chunks.get(place))
        };
        let Some(chunk) = chunk else {
            taking.done = true;
            return false;
        };
        let whole = taking.chunk < taking.last;
        let answers = if whole { chunk.answers.len() } else { taking.last_answers };
        let figures = if whole { chunk.figures.len() } else { taking.last_figures };
        if taking.answers < answers {
            put_answers(chunk, &mut taking.answers, answers, enough, into);
        } else if taking.figures < figures {
            put_figures(chunk, &mut taking.figures, figures, enough, into);
        }
        if taking.answers == answers && taking.figures == figures {
            (taking.answers, taking.figures) = (0, 0);
            taking.done = taking.chunk == taking.last;
            taking.chunk += 1;
            if early {
                taking.kept_back.pop_front();
            }
        }
        true
    }
}

fn put_answers(chunk: &Chunk, next: &mut usize, until: usize, enough: usize, into: &mut Vec<u8>) {
    into.push(ANSWERS);
    let mut before = TimestampUs::default();
    let mut done = 0;
    for answer in chunk.answers.iter().take(until).skip(*next) {
        if done >= enough {
            break;
        }
        let start = into.len();
        into.extend_from_slice(&answer.key.to_le_bytes());
        into.extend_from_slice(&answer.fingerprint.to_le_bytes());
        put(into, &(answer.received_at.get() - before.get()));
        put(into, &chunk.decision(answer));
        before = answer.received_at;
        *next += 1;
        done += into.len() - start + ANSWER_WEIGHT;
    }
}

fn put_figures(chunk: &Chunk, next: &mut usize, until: usize, enough: usize, into: &mut Vec<u8>) {
    into.push(FIGURES);
    let start = into.len();
    for figure in chunk.figures.iter().take(until).skip(*next) {
        if into.len() - start >= enough {
            break;
        }
        put(into, figure);
        *next += 1;
    }
}

/// Far above the chunks that there will ever be.
const PLACES_MAX: u64 = u64::MAX >> 32;

/// What a slice of answers holds.
const ANSWERS: u8 = 0;
const FIGURES: u8 = 1;

/// Answers that are read back, in the order in which they were taken.
#[derive(Debug)]
pub(in crate::ledger) struct Returning {
    extent: Extent,
    answers: Answers,
}

impl Returning {
    pub(in crate::ledger) fn new(extent: Extent) -> Self {
        Self { extent, answers: Answers { first: extent.first, ..Answers::default() } }
    }

    /// Takes in a slice.
    pub(in crate::ledger) fn slice(&mut self, mut slice: &[u8]) -> Result<(), Broken> {
        let what: u8 = take(&mut slice)?;
        let full = |chunk: &Chunk| chunk.answers.len() == CHUNK;
        if what == ANSWERS && self.answers.chunks.back().is_none_or(full) {
            if self.answers.chunks.len() as u64 >= self.extent.chunks {
                return Err(Broken("more answers than there were"));
            }
            let mut chunk = Chunk::default();
            chunk.answers.reserve_exact(CHUNK);
            self.answers.chunks.push_back(chunk);
        }
        let Some(chunk) = self.answers.chunks.back_mut() else { return Err(Broken("figures without answers")) };
        let mut before = TimestampUs::default();
        while !slice.is_empty() {
            match what {
                ANSWERS if chunk.answers.len() < CHUNK => {
                    let key = u128::from_le_bytes(bytes(&mut slice)?);
                    let fingerprint = u64::from_le_bytes(bytes(&mut slice)?);
                    let received_at = before.plus_us(take(&mut slice)?);
                    let decision: Option<Decided> = take(&mut slice)?;
                    before = received_at;
                    let decision = chunk.add_decision(decision);
                    chunk.answers.push(Answer { key, received_at, fingerprint, decision });
                }
                FIGURES => {
                    let figure: Figure = take(&mut slice)?;
                    chunk.figures.push(figure);
                }
                _ => return Err(Broken("a chunk of answers that is too long")),
            }
        }
        Ok(())
    }

    /// All slices were taken in: the answers with their index.
    pub(in crate::ledger) fn whole(self) -> Result<Answers, Broken> {
        let Self { extent, mut answers } = self;
        let (last, chunks) = (answers.chunks.back(), answers.chunks.len() as u64);
        let ends = last.map_or((0, 0), |chunk| (chunk.answers.len(), chunk.figures.len()));
        let full = answers.chunks.iter().rev().skip(1).all(|chunk| chunk.answers.len() == CHUNK);
        if extent.first > PLACES_MAX {
            return Err(Broken("answers at places that there are not"));
        }
        let told = (extent.answers as usize, extent.figures as usize);
        if chunks != extent.chunks || ends != told || !full {
            return Err(Broken("fewer answers than there were"));
        }
        if let Some(first) = answers.chunks.front_mut() {
            first.gone = extent.gone as usize;
            if first.gone > first.answers.len() {
                return Err(Broken("more answers forgotten than there were"));
            }
        }
        answers.len = answers.chunks.iter().map(|chunk| chunk.answers.len() - chunk.gone).sum();
        let each = answers.len / PARTS;
        for index in &mut answers.index {
            index.reserve(each + each / 8, |entry| entry.hash);
        }
        for (number, chunk) in (answers.first..).zip(&answers.chunks) {
            let places = number * CHUNK as u64..;
            for (place, answer) in places.zip(&chunk.answers).skip(chunk.gone) {
                let entry = Entry { hash: half(answer.key), place };
                answers.index[part(answer.key)].insert_unique(entry.hash, entry, |entry| entry.hash);
            }
        }
        Ok(answers)
    }
}

fn bytes<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], Broken> {
    let (first, rest) = from.split_first_chunk::<N>().ok_or(Broken("a slice that ends in the middle"))?;
    *from = rest;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use model::{Code, IdempotencyKey, TransactionKind, Verdict};

    use super::super::{Decided, key_of};
    use super::*;

    #[test]
    fn answers_that_are_forgotten_before_their_turn_are_taken_all_the_same() {
        let mut answers = Answers::default();
        let give = |answers: &mut Answers, number: i64, kept: i64| {
            let decided =
                Decided { auth: Some(number), ..Decided::new(TransactionKind::Sale, Verdict::Approve, Code::Approved) };
            let figures = [Figure { value: number, ..Figure::default() }; 3];
            let key = key_of(&IdempotencyKey::new(&format!("key-{number}")).unwrap());
            let decision = (number % 5 != 0).then_some((decided, &figures[..usize::try_from(number % 4).unwrap()]));
            answers.keep(key, TimestampUs::from_micros(number), 7, decision);
            answers.forget(TimestampUs::from_micros(number - kept));
        };
        for number in 0..30_000 {
            give(&mut answers, number, 20_000);
        }
        let then = answers.clone();
        let mut returning = Returning::new(answers.begin_taking());
        let mut slice = Vec::new();
        for number in 30_000.. {
            // Four times as fast as they come: the whole of what is to be taken is forgotten meanwhile.
            give(&mut answers, number, 1_000);
            if number % 40 == 0 {
                slice.clear();
                if !answers.take_some(2_000, &mut slice) {
                    break;
                }
                returning.slice(&slice).unwrap();
            }
        }
        assert!(answers.first > then.first + then.chunks.len() as u64, "some were forgotten after their turn only");
        assert!(answers.taking.as_ref().is_some_and(|taking| taking.kept_back.is_empty()));
        let returned = returning.whole().unwrap();
        assert!(returned == then);
        assert_eq!(returned.len, then.len);
        for number in [9_999, 10_000, 20_000, 29_999] {
            let key = key_of(&IdempotencyKey::new(&format!("key-{number}")).unwrap());
            assert_eq!(returned.find(key), then.find(key), "{number}");
        }
    }
}
