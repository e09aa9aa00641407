//! A heap of errors, told by its middle and its tail.

use serde::{Serialize, Serializer};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread(Vec<f64>);

impl Spread {
    pub(crate) fn put(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that `per_cent` of all do not exceed; `None` of nothing.
    #[must_use]
    pub fn quantile(&self, per_cent: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() * per_cent).div_ceil(100).max(1) - 1;
        sorted.get(place).copied()
    }
}

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Told {
            count: usize,
            p5: Option<f64>,
            p50: Option<f64>,
            p95: Option<f64>,
            max: Option<f64>,
        }
        let [p5, p50, p95, max] = [5, 50, 95, 100].map(|per_cent| self.quantile(per_cent));
        Told { count: self.count(), p5, p50, p95, max }.serialize(serializer)
    }
}
