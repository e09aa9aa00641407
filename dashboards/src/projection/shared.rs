//! Values that many entries repeat (sites, terminals, products, words for the cashier, limits), kept once.
//!
//! Each record brings its own copy; keeping those alive in thousands of lines would cost memory and, worse, scatter it.
//! Guarantees: bounded; a value that was forgotten is merely kept twice for a while.

use std::borrow::Borrow;
use std::hash::Hash;

use hashbrown::HashSet;

/// Values of one kind that are remembered.
pub(crate) const SHARED_MAX: usize = 16_384;

#[derive(Debug)]
pub(crate) struct Shared<T>(HashSet<T>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(HashSet::default())
    }
}

impl<T: Hash + Eq + Clone> Shared<T> {
    /// The value that was remembered for this key, or else `key` made into one, which is remembered.
    pub(crate) fn one<K, Q>(&mut self, key: K) -> T
    where
        K: Borrow<Q> + Into<T>,
        T: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(known) = self.0.get(key.borrow()) {
            return known.clone();
        }
        if self.0.len() >= SHARED_MAX {
            self.0.clear();
        }
        let value: T = key.into();
        self.0.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn equal_values_are_kept_once_and_not_without_bound() {
        let mut shared = Shared::<Arc<str>>::default();
        let first = shared.one::<String, str>("see manager".to_owned());
        assert!(Arc::ptr_eq(&first, &shared.one::<String, str>("see manager".to_owned())));
        for number in 0..3 * SHARED_MAX {
            shared.one::<String, str>(number.to_string());
        }
        assert!(shared.0.len() <= SHARED_MAX);
    }
}
