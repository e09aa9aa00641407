//! What happened, a line per event, and a fingerprint of it all.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Off, a line costs nothing.
pub(crate) struct Trace {
    is_on: bool,
    prints: bool,
    /// `DefaultHasher::new` has fixed keys.
    hasher: DefaultHasher,
    lines: u64,
}

impl Trace {
    pub(crate) fn new(is_on: bool, prints: bool) -> Self {
        Self { is_on, prints, hasher: DefaultHasher::new(), lines: 0 }
    }

    pub(crate) fn tell(&mut self, now_us: i64, who: &str, what: impl FnOnce() -> String) {
        if !self.is_on {
            return;
        }
        let what = what();
        (now_us, who, &what).hash(&mut self.hasher);
        self.lines += 1;
        if self.prints {
            println!("{:>9}.{:06} {who:<14} {what}", now_us / 1_000_000, now_us % 1_000_000);
        }
    }

    /// Of all lines so far, and how many these are.
    pub(crate) fn fingerprint(&self) -> (u64, u64) {
        (self.hasher.finish(), self.lines)
    }
}
