//! Product lines as sums see them: litres or pieces, money, and what selectors match.
//!
//! In: lines of a request that were checked. Out: sums by selector. Guarantees: sums saturate far above what checks let
//! through; one line costs no allocation. Does not: know product names; codes are numbers here.

use serde::{Deserialize, Serialize};

/// The number of a product code or group within a shard.
pub(super) type CodeIx = u16;
/// A code beyond what a shard remembers, or none: no selector names it.
pub(super) const NO_CODE: CodeIx = u16::MAX;

/// One product line. Amounts are what the contract pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) code: CodeIx,
    pub(super) group: CodeIx,
    /// Zero for litres.
    pub(super) pieces: u32,
    pub(super) ml: i64,
    pub(super) minor: i64,
    pub(super) discount_minor: i64,
    pub(super) price_e4: u32,
    pub(super) counted_in_pieces: bool,
}

/// Lines of one purchase; nearly all have one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lines {
    first: Option<Line>,
    more: Option<Box<[Line]>>,
}

/// Which lines a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Selector {
    #[default]
    All,
    Group(CodeIx),
    Product(CodeIx),
}

/// Litres, money and purchases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quantity {
    pub(super) ml: i64,
    pub(super) minor: i64,
    pub(super) pieces: i64,
}

impl Selector {
    pub(super) fn matches(self, line: &Line) -> bool {
        match self {
            Self::All => true,
            Self::Group(group) => line.group == group,
            Self::Product(code) => line.code == code,
        }
    }
}

impl Line {
    /// Nothing of it is in the vehicle or the bag, and nothing is paid.
    pub(super) fn is_empty(&self) -> bool {
        self.ml == 0 && self.pieces == 0 && self.minor == 0
    }
}

impl Lines {
    /// The lines that something was bought on.
    pub(super) fn bought(&self) -> Self {
        if self.iter().all(|line| !line.is_empty()) {
            return self.clone();
        }
        let bought: Vec<Line> = self.iter().filter(|line| !line.is_empty()).copied().collect();
        Self::from_slice(&bought)
    }

    pub(super) fn from_slice(lines: &[Line]) -> Self {
        match lines {
            [] => Self::default(),
            [only] => Self { first: Some(*only), more: None },
            [first, more @ ..] => Self { first: Some(*first), more: Some(more.into()) },
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Line> {
        self.first.iter().chain(self.more.as_deref().unwrap_or_default())
    }

    pub(super) fn sum(&self) -> Quantity {
        self.sum_of(Selector::All).unwrap_or_default()
    }

    /// The sum of the matching lines; `None` when none matches.
    pub(super) fn sum_of(&self, selector: Selector) -> Option<Quantity> {
        let mut sum: Option<Quantity> = None;
        for line in self.iter().filter(|line| selector.matches(line)) {
            sum = Some(sum.unwrap_or_default().plus(Quantity::of(line)));
        }
        sum
    }

    /// Takes returned lines off: from the lines of the same product in order, never below zero.
    pub(super) fn less(&self, returned: &Self) -> Self {
        let mut left: Vec<Line> = self.iter().copied().collect();
        for back in returned.iter() {
            let mut back = *back;
            for line in left.iter_mut().filter(|line| line.code == back.code) {
                take(&mut line.ml, &mut back.ml);
                take(&mut line.minor, &mut back.minor);
                take(&mut line.discount_minor, &mut back.discount_minor);
                let pieces = line.pieces.min(back.pieces);
                (line.pieces, back.pieces) = (line.pieces - pieces, back.pieces - pieces);
            }
        }
        Self::from_slice(&left)
    }

    /// Both together: equal products add up.
    pub(super) fn plus(&self, more: &Self) -> Self {
        let mut all: Vec<Line> = self.iter().copied().collect();
        for line in more.iter() {
            match all.iter_mut().find(|known| known.code == line.code && known.price_e4 == line.price_e4) {
                Some(known) => {
                    known.ml = known.ml.saturating_add(line.ml);
                    known.pieces = known.pieces.saturating_add(line.pieces);
                    known.minor = known.minor.saturating_add(line.minor);
                    known.discount_minor = known.discount_minor.saturating_add(line.discount_minor);
                }
                None => all.push(*line),
            }
        }
        Self::from_slice(&all)
    }
}

/// Moves as much of `wanted` as there is.
fn take(from: &mut i64, wanted: &mut i64) {
    let taken = (*from).min(*wanted);
    *from -= taken;
    *wanted -= taken;
}

impl Quantity {
    pub(super) fn of(line: &Line) -> Self {
        Self { ml: line.ml, minor: line.minor, pieces: i64::from(line.pieces) }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            ml: self.ml.saturating_add(other.ml),
            minor: self.minor.saturating_add(other.minor),
            pieces: self.pieces.saturating_add(other.pieces),
        }
    }
}
