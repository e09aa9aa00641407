//! Dice with the shapes that tanks need. In: a seed. Out: the same throws for the same seed, on one platform.

use std::f64::consts::TAU;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

pub(crate) struct Chance(SmallRng);

impl Chance {
    /// Throws that depend on nothing but these numbers; `purpose` keeps the dice of one tank apart from each other.
    pub(crate) fn new(seed: u64, tank: u64, purpose: u64) -> Self {
        let mut key = [0_u8; 32];
        for (place, number) in [seed, tank, purpose, 0x7461_6e6b].into_iter().enumerate() {
            key[place * 8..place * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        let mut dice = SmallRng::from_seed(key);
        // Neighbouring seeds differ in few bits: the first throws would be alike.
        for _ in 0..16 {
            dice.random::<u64>();
        }
        Self(dice)
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    pub(crate) fn whole(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high)
    }

    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.0.random::<f64>() < probability
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.random_range(0..choices.len())]
    }

    /// Gaussian with mean 0 (Box and Muller).
    pub(crate) fn normal(&mut self, deviation: f64) -> f64 {
        let (radius, angle) = (self.0.random::<f64>().max(f64::MIN_POSITIVE), self.0.random::<f64>());
        deviation * (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
    }

    /// The wait until the next of events that come at random, `mean` apart.
    pub(crate) fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.0.random::<f64>()).ln()
    }
}

/// The nearest whole number; what a gauge of `step` shows is `rounded(value / step) * step`.
pub(crate) fn rounded(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "litres, millimetres and seconds of tanks are far below 2^53")]
    let whole = value.round() as i64;
    whole
}

/// Whole numbers as such: all that are used here are far below 2^53.
pub(crate) fn real(whole: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "litres, millimetres and seconds of tanks are far below 2^53")]
    let value = whole as f64;
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_have_the_mean_and_the_spread_that_they_say() {
        let mut chance = Chance::new(7, 0, 0);
        let count = 200_000;
        let (mut sum, mut squares, mut waits, mut beyond_two) = (0.0, 0.0, 0.0, 0);
        for _ in 0..count {
            let value = chance.normal(3.0);
            sum += value;
            squares += value * value;
            beyond_two += i64::from(value.abs() > 6.0);
            waits += chance.wait(50.0);
        }
        let count = f64::from(count);
        assert!((sum / count).abs() < 0.03);
        assert!(((squares / count).sqrt() - 3.0).abs() < 0.03);
        assert!((real(beyond_two) / count - 0.0455).abs() < 0.003);
        assert!((waits / count - 50.0).abs() < 0.5);
    }

    #[test]
    fn a_seed_repeats_itself_and_neighbours_differ() {
        let throws = |seed, tank, purpose| {
            let mut chance = Chance::new(seed, tank, purpose);
            [0; 4].map(|_| chance.whole(0, 1_000_000))
        };
        assert_eq!(throws(1, 2, 3), throws(1, 2, 3));
        for other in [throws(2, 2, 3), throws(1, 3, 3), throws(1, 2, 4)] {
            assert_ne!(other, throws(1, 2, 3));
        }
    }
}
