//! What is kept of a tank: its readings and sales of the last days, in order of time.
//!
//! In: cleaned readings and sales in any order. Out: samples in order of time, each with what was sold since the one
//! before, and how far back something late reaches. Guarantees: bounded, the oldest go first; a repeat is known as long as
//! the first is kept. Does not: know what happened.

use std::collections::VecDeque;

use model::{CentiCelsius, DeciMillimetres, Millilitres, ReadingRefused, TimestampUs};

use super::cleaning::Cleaned;

/// Two days of a gauge that measures each minute, and more of all others.
pub(super) const SAMPLES_MAX: usize = 3_000;
const SALES_MAX: usize = 8_000;
/// Pumps for cars and for lorries, in ml a minute; the meter tells its sum when the nozzle is hung up.
const CAR_ML_PER_MIN: i64 = 32_000;
const LORRY_ML_PER_MIN: i64 = 100_000;
const LORRY_FROM_ML: i64 = 95_000;
const MINUTE_US: i64 = model::MICROS_PER_MINUTE;

/// A reading as far as events are concerned. Volumes in ml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) at_us: i64,
    pub(super) volume: i64,
    pub(super) volume_15: Option<i64>,
    pub(super) water: Option<DeciMillimetres>,
    pub(super) temperature: Option<CentiCelsius>,
    /// The gauge says that fuel is coming in.
    pub(super) delivering: bool,
}

impl Sample {
    pub(super) fn of(cleaned: &Cleaned) -> Self {
        Self {
            at_us: cleaned.at_us.get(),
            volume: cleaned.volume_ml.get().cast_signed(),
            volume_15: cleaned.volume_15_ml.map(|volume| volume.get().cast_signed()),
            water: cleaned.water,
            temperature: cleaned.temperature,
            delivering: cleaned.raw.status & model::Reading::DELIVERY != 0,
        }
    }
}

/// A sample with what follows from those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) sample: Sample,
    /// Volume and all that was sold so far: what would be there without pumps. Falls only by loss.
    pub(super) balance: i64,
    /// Shown, but not counted.
    pub(super) spike: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sale {
    began_us: i64,
    ended_us: i64,
    ml: i64,
}

/// How long a pump runs for a volume.
pub(super) fn pumping_us(volume: Millilitres) -> i64 {
    let ml = volume.get().cast_signed();
    let flow = if ml < LORRY_FROM_ML { CAR_ML_PER_MIN } else { LORRY_ML_PER_MIN };
    (ml.saturating_mul(MINUTE_US / 1000) / (flow / 1000)).clamp(1, 60 * MINUTE_US)
}

/// What a sale drew in a time, as if it drew evenly; ml.
pub(super) fn sold_within(at: TimestampUs, volume: Millilitres, from_us: i64, to_us: i64) -> i64 {
    let (ended_us, ml) = (at.get(), volume.get().cast_signed());
    Sale { began_us: ended_us - pumping_us(volume), ended_us, ml }.within(from_us, to_us)
}

impl Sale {
    fn within(&self, from_us: i64, to_us: i64) -> i64 {
        let overlap = self.ended_us.min(to_us) - self.began_us.max(from_us);
        if overlap <= 0 {
            return 0;
        }
        let part = i128::from(self.ml) * i128::from(overlap) / i128::from(self.ended_us - self.began_us);
        i64::try_from(part).unwrap_or(0)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    samples: VecDeque<Kept>,
    /// By their end.
    sales: VecDeque<Sale>,
    /// Of all sales that were kept: how far before a moment one can have ended and still begin after it.
    longest_us: i64,
}

impl Window {
    /// Takes a sample in; gives its place.
    pub(super) fn put(&mut self, sample: Sample, interval_us: i64) -> Result<usize, ReadingRefused> {
        let place = self.samples.partition_point(|kept| kept.sample.at_us < sample.at_us);
        if place == 0 && self.samples.len() >= SAMPLES_MAX {
            return Err(ReadingRefused::TooOld);
        }
        if self.knows(&sample, interval_us) {
            return Err(ReadingRefused::Repeat);
        }
        self.samples.insert(place, Kept { sample, balance: sample.volume, spike: false });
        Ok(place)
    }

    /// Whether a sample of the same moment is kept, or one with the same values less than half an interval away.
    pub(super) fn knows(&self, sample: &Sample, interval_us: i64) -> bool {
        let near = |kept: &Kept| {
            let kept = &kept.sample;
            let apart_us = kept.at_us.abs_diff(sample.at_us);
            let same = Sample { at_us: sample.at_us, ..*kept } == *sample;
            // A second value for the same moment is a repeat too: the first was believed.
            apart_us < 500_000 || (same && apart_us < (interval_us / 2).unsigned_abs())
        };
        let place = self.samples.partition_point(|kept| kept.sample.at_us < sample.at_us);
        let neighbours = place.saturating_sub(1)..(place + 1).min(self.samples.len());
        self.samples.range(neighbours).any(near)
    }

    /// Takes a sale in; gives the moment from which it changes what was sold.
    pub(super) fn sell(&mut self, at: TimestampUs, volume: Millilitres) -> i64 {
        let ml = volume.get().cast_signed();
        let (ended_us, length_us) = (at.get(), pumping_us(volume));
        let place = self.sales.partition_point(|sale| sale.ended_us <= ended_us);
        self.sales.insert(place, Sale { began_us: ended_us - length_us, ended_us, ml });
        self.longest_us = self.longest_us.max(length_us);
        if self.sales.len() > SALES_MAX {
            self.sales.pop_front();
        }
        ended_us - length_us
    }

    /// What pumps drew in a time, as if each drew evenly.
    pub(super) fn sold(&self, from_us: i64, to_us: i64) -> i64 {
        let first = self.sales.partition_point(|sale| sale.ended_us <= from_us);
        let mut ml = 0;
        for sale in self.sales.range(first..) {
            if sale.ended_us - self.longest_us >= to_us {
                break;
            }
            ml += sale.within(from_us, to_us);
        }
        ml
    }

    pub(super) fn get(&self, place: usize) -> Option<&Kept> {
        self.samples.get(place)
    }

    /// Brings the balance of a sample up to date from the one before it.
    pub(super) fn settle(&mut self, place: usize, noise: i64) {
        let spike = self.is_spike(place, noise);
        let before = place.checked_sub(1).and_then(|before| self.samples.get(before)).copied();
        let Some(here) = self.samples.get(place).copied() else { return };
        let sold = before.map_or(0, |before| {
            before.balance - before.sample.volume + self.sold(before.sample.at_us, here.sample.at_us)
        });
        self.samples[place] = Kept { balance: here.sample.volume + sold, spike, ..here };
    }

    /// Settled samples between two moments, both included, spikes left out.
    pub(super) fn between(&self, from_us: i64, to_us: i64) -> impl DoubleEndedIterator<Item = &Kept> {
        let from = self.samples.partition_point(|kept| kept.sample.at_us < from_us);
        let to = self.samples.partition_point(|kept| kept.sample.at_us <= to_us);
        self.samples.range(from..to.max(from)).filter(|kept| !kept.spike)
    }

    /// The middle one of the balances in a time, and how many there are.
    pub(super) fn median(&self, from_us: i64, to_us: i64) -> Option<(i64, usize)> {
        let mut balances: Vec<i64> = self.between(from_us, to_us).map(|kept| kept.balance).collect();
        let count = balances.len();
        if count == 0 {
            return None;
        }
        let (_, middle, _) = balances.select_nth_unstable(count / 2);
        Some((*middle, count))
    }
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }
    pub(super) fn newest_us(&self) -> Option<i64> {
        self.samples.back().map(|kept| kept.sample.at_us)
    }
    /// The first sample after a moment.
    pub(super) fn after(&self, at_us: i64) -> usize {
        self.samples.partition_point(|kept| kept.sample.at_us <= at_us)
    }
    pub(super) fn forget_first(&mut self) {
        self.samples.pop_front();
        if let Some(first) = self.samples.front() {
            let from_us = first.sample.at_us - 60 * MINUTE_US;
            while self.sales.front().is_some_and(|sale| sale.ended_us < from_us) {
                self.sales.pop_front();
            }
        }
    }

    /// A sample that jumps and is taken back by the next: a wave, a spark, a float that sticks. Both neighbours must agree.
    fn is_spike(&self, place: usize, noise: i64) -> bool {
        let volume = |place: usize| self.samples.get(place).map(|kept| kept.sample.volume);
        let before = (0..place).rev().take(3).find(|before| !self.samples[*before].spike);
        let (Some(before), Some(here), Some(after)) = (before.and_then(volume), volume(place), volume(place + 1))
        else {
            return false;
        };
        let (up, down) = (here - before, after - here);
        let jump = up.abs().min(down.abs());
        up.signum() == -down.signum() && jump > 8 * noise && (after - before).abs() * 3 < jump
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: i64, litres: i64) -> Sample {
        let (volume, at_us) = (litres * 1000, second * 1_000_000);
        Sample { at_us, volume, volume_15: None, water: None, temperature: None, delivering: false }
    }

    #[test]
    fn a_repeat_is_known_wherever_it_comes_from() {
        let mut window = Window::default();
        let put = |window: &mut Window, second, litres| window.put(sample(second, litres), 60_000_000);
        assert_eq!(put(&mut window, 0, 500), Ok(0));
        assert_eq!(put(&mut window, 120, 480), Ok(1));
        assert_eq!(put(&mut window, 60, 490), Ok(1), "overtaken");
        assert_eq!(put(&mut window, 60, 490), Err(ReadingRefused::Repeat));
        assert_eq!(put(&mut window, 64, 490), Err(ReadingRefused::Repeat), "nearly the same");
        assert_eq!(put(&mut window, 180, 480), Ok(3), "the level rests");
    }

    #[test]
    fn a_sale_is_drawn_evenly_before_its_end() {
        let mut window = Window::default();
        let began = window.sell(TimestampUs::from_micros(300_000_000), Millilitres::from_litres(64));
        assert_eq!(began, 180_000_000);
        window.sell(TimestampUs::from_micros(310_000_000), Millilitres::from_litres(1));
        assert_eq!(window.sold(0, 180_000_000), 0);
        assert_eq!(window.sold(180_000_000, 240_000_000), 32_000);
        assert_eq!(window.sold(0, 400_000_000), 65_000);
    }

    #[test]
    fn a_jump_that_is_taken_back_is_a_spike_and_one_that_stays_is_not() {
        let mut window = Window::default();
        for (place, litres) in [5000, 9000, 4990, 4980, 9000, 9010].into_iter().enumerate() {
            window.put(sample(place as i64 * 60, litres), 60_000_000).unwrap();
        }
        (0..6).for_each(|place| window.settle(place, 10_000));
        let spikes: Vec<usize> = (0..6).filter(|place| window.samples[*place].spike).collect();
        assert_eq!(spikes, [1]);
    }
}
