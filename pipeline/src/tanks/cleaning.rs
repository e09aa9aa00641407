//! Readings as they can be used, or why they cannot.
//!
//! In: a reading as it came, and the last one that was believed. Out: values in which the columns agree with each other and
//! with the strapping table, the raw reading beside them, and what was done; or a reason. Guarantees: nothing is guessed:
//! columns are put back only where exactly one order of them is possible, other units are suggested and not applied.
//! Does not: know spikes of a volume that has no height beside it; those show only when the next readings are there.

use model::{
    CentiCelsius, Column, DeciMillimetres, Density, Millilitres, Millilitres15, Origin, Reading, ReadingRefused,
    TankLevel, TankSetup, TimestampUs, Treatment,
};

use super::chart::{ChartError, Charts, Strapping};
use super::correction::Correction;

const SECOND_US: i64 = model::MICROS_PER_SECOND;
/// A gauge's clock may be so far ahead, or so late without being believed to be wrong.
const CLOCK_SLACK_US: i64 = 300 * SECOND_US;
/// Two readings in a row that are late by the same time: the clock is wrong, not the way.
const SAME_DELAY_US: i64 = 30 * SECOND_US;
/// 2005-01-01: clocks that lost their power say 1970, 1980 or 2000.
const CLOCK_MIN_US: i64 = 1_104_537_600 * SECOND_US;
/// No fuel is colder or warmer in a tank.
const TEMPERATURE_CC: std::ops::RangeInclusive<i64> = -5_000..=6_000;
/// Litres by gallons.
const GALLON_E6: i128 = 3_785_412;
/// A value this near to the last believed one is likely: half a degree and 0.7 for each minute (warm fuel mixes), 1.5 mm and
/// 0.2 mm,
/// while that one is not older than two hours.
const NEAR_TEMPERATURE_E3: [u64; 3] = [500, 700, 4_000];
const NEAR_WATER_E3: [u64; 3] = [1_500, 200, 8_000];
/// What is possible as it was sent may be so much further off: where two columns have like values, noise must not swap them.
const AS_SENT: u64 = 4;
const NEAR_FOR_US: i64 = 2 * 3600 * SECOND_US;

/// A reading that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// When it was measured, as far as is known.
    pub at_us: TimestampUs,
    pub received_at_us: TimestampUs,
    pub volume_ml: Millilitres,
    pub volume_15_ml: Option<Millilitres15>,
    /// Water below the product, by the strapping table or the gauge.
    pub water_ml: Option<Millilitres>,
    /// What the tank could still take to the brim.
    pub ullage_ml: Millilitres,
    pub height: Option<DeciMillimetres>,
    pub water: Option<DeciMillimetres>,
    pub temperature: Option<CentiCelsius>,
    pub density: Option<Density>,
    pub treatments: Vec<Treatment>,
    pub raw: Reading,
}

impl Cleaned {
    /// The raw reading with the values and the time that are believed.
    #[must_use]
    pub fn normalised(&self) -> Reading {
        Reading {
            measured_at_us: self.at_us,
            volume_ml: Some(self.volume_ml),
            height_mm: None,
            height_dmm: self.height,
            water_mm: None,
            water_dmm: self.water,
            temperature_dc: None,
            temperature_cc: self.temperature,
            ..self.raw.clone()
        }
    }

    /// As it is recorded.
    #[must_use]
    pub fn level(&self, origin: Origin, setup: &TankSetup) -> TankLevel {
        TankLevel {
            measured_at_us: self.at_us,
            product: setup.product.clone(),
            volume_15_ml: self.volume_15_ml,
            water_ml: self.water_ml,
            capacity_ml: Some(setup.capacity_ml),
            height_dmm: self.height,
            water_dmm: self.water,
            temperature_cc: self.temperature,
            density_e1: self.density,
            treatments: self.treatments.clone(),
            raw: (!self.treatments.is_empty() || self.raw.historical).then(|| Box::new(self.raw.clone())),
            ..TankLevel::new(origin, self.received_at_us, &self.raw, self.volume_ml)
        }
    }

    /// From its record.
    #[must_use]
    pub fn recorded(level: &TankLevel, setup: &TankSetup) -> Self {
        let as_sent = || Reading {
            volume_ml: Some(level.volume_ml),
            height_dmm: level.height(),
            water_dmm: level.water(),
            temperature_cc: level.temperature(),
            status: level.status,
            ..Reading::new(level.site.clone(), level.tank.clone(), level.product.clone(), level.measured_at_us)
        };
        Self {
            at_us: level.measured_at_us,
            received_at_us: level.received_at_us,
            volume_ml: level.volume_ml,
            volume_15_ml: level.volume_15_ml,
            water_ml: level.water_ml,
            ullage_ml: setup.capacity_ml.less(level.volume_ml).less(level.water_ml.unwrap_or_default()),
            height: level.height(),
            water: level.water(),
            temperature: level.temperature(),
            density: level.density_e1,
            treatments: level.treatments.clone(),
            raw: level.raw.as_ref().map_or_else(as_sent, |raw| (**raw).clone()),
        }
    }
}

/// The columns in thousandths of litre, millimetre and degree: the form in which they change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Values {
    volume: Option<i64>,
    height: Option<i64>,
    water: Option<i64>,
    temperature: Option<i64>,
}

impl Values {
    fn of(reading: &Reading) -> Self {
        Self {
            volume: reading.volume_ml.map(|volume| volume.get().cast_signed()),
            height: reading.height().map(|height| i64::from(height.0) * 100),
            water: reading.water().map(|height| i64::from(height.0) * 100),
            temperature: reading.temperature().map(|temperature| i64::from(temperature.0) * 10),
        }
    }

    fn column(&mut self, column: Column) -> Option<&mut Option<i64>> {
        match column {
            Column::Volume => Some(&mut self.volume),
            Column::Height => Some(&mut self.height),
            Column::Water => Some(&mut self.water),
            Column::Temperature => Some(&mut self.temperature),
            Column::Volume15 | Column::Ullage | Column::WaterVolume | Column::Percent | Column::Density => None,
        }
    }
}

const COLUMNS: [Column; 4] = [Column::Volume, Column::Height, Column::Water, Column::Temperature];

/// Cleans the readings of one tank. What it remembers is bounded: the last believed values and the last delay.
#[derive(Clone, Debug)]
pub struct Cleaner {
    setup: TankSetup,
    charts: Charts,
    correction: Option<Correction>,
    last: Option<(TimestampUs, Values)>,
    /// When the last reading that was not historical arrived, and how late.
    last_delay: Option<(TimestampUs, i64)>,
}

impl Cleaner {
    /// `Err` when a strapping table cannot be used.
    pub fn new(setup: TankSetup) -> Result<Self, ChartError> {
        let charts = Charts::new(&setup.charts)?;
        let correction = setup.density_15.and_then(|density| Correction::new(setup.group, density));
        Ok(Self { setup, charts, correction, last: None, last_delay: None })
    }

    #[must_use]
    pub fn setup(&self) -> &TankSetup {
        &self.setup
    }

    /// Registered anew; what was believed before still holds. `Err`, and nothing changes, when a table cannot be used.
    pub fn set_up(&mut self, setup: TankSetup) -> Result<(), ChartError> {
        let (last, last_delay) = (self.last, self.last_delay);
        *self = Self { last, last_delay, ..Self::new(setup)? };
        Ok(())
    }

    pub fn clean(&mut self, received_at: TimestampUs, raw: &Reading) -> Result<Cleaned, ReadingRefused> {
        let mut treatments = Vec::new();
        let at_us = self.dated(received_at, raw, &mut treatments);
        if raw.status & Reading::INVALID_HEIGHT != 0 {
            return Err(ReadingRefused::InvalidHeight);
        }
        let mut values = Values::of(raw);
        for column in COLUMNS {
            let Some(slot) = values.column(column) else { continue };
            let unknown = slot.is_some_and(|value| {
                let names = |sentinel: &&model::Sentinel| sentinel.column.is_none_or(|named| named == column);
                self.setup.sentinels.iter().filter(names).any(|sentinel| sentinel.value_e3 == value)
            });
            if unknown {
                *slot = None;
                treatments.push(Treatment::Unknown(column));
            }
        }
        let chart = self.charts.at(at_us);
        if values.volume.is_none() && values.height.is_none() {
            let percent = raw.percent_e2.filter(|percent| percent.0 <= 10_000).ok_or(ReadingRefused::NoVolume)?;
            let capacity = i64::try_from(self.setup.capacity_ml.get()).unwrap_or(i64::MAX);
            values.volume = Some(capacity * i64::from(percent.0) / 10_000);
            treatments.push(Treatment::VolumeFromPercent);
        }
        let values = self.ordered(at_us, chart, values, &mut treatments)?;
        let volume_ml = volume(values.volume.ok_or(ReadingRefused::NoVolume)?).ok_or(ReadingRefused::Impossible)?;
        let temperature = values.temperature.and_then(|e3| i32::try_from(e3 / 10).ok()).map(CentiCelsius);
        let volume_15_ml = match (self.correction, temperature) {
            (Some(correction), Some(temperature)) => correction.volume_15(volume_ml, temperature),
            _ => raw.volume_15_ml,
        };
        let water = height(values.water);
        let water_ml = chart.zip(water).map(|(chart, water)| chart.volume(water).volume_ml).or(raw.water_ml);
        let ullage_ml = self.setup.capacity_ml.less(volume_ml).less(water_ml.unwrap_or_default());
        self.last = Some((at_us, values));
        Ok(Cleaned {
            at_us,
            received_at_us: received_at,
            volume_ml,
            volume_15_ml,
            water_ml,
            ullage_ml,
            height: height(values.height),
            water,
            temperature,
            density: raw.density_e1,
            treatments,
            raw: raw.clone(),
        })
    }

    /// Goes on from a reading that was believed before.
    pub fn believe(&mut self, cleaned: &Cleaned) {
        let values = Values {
            volume: Some(cleaned.volume_ml.get().cast_signed()),
            height: cleaned.height.map(|height| i64::from(height.0) * 100),
            water: cleaned.water.map(|height| i64::from(height.0) * 100),
            temperature: cleaned.temperature.map(|temperature| i64::from(temperature.0) * 10),
        };
        self.last = Some((cleaned.at_us, values));
        if !cleaned.raw.historical {
            let delay_us = cleaned.received_at_us.get() - cleaned.raw.measured_at_us.get();
            self.last_delay = Some((cleaned.received_at_us, delay_us));
        }
    }

    /// When the reading counts.
    fn dated(&mut self, received_at: TimestampUs, raw: &Reading, treatments: &mut Vec<Treatment>) -> TimestampUs {
        let delay_us = received_at.get() - raw.measured_at_us.get();
        let reset = raw.measured_at_us.get() < CLOCK_MIN_US;
        let before = if raw.historical { None } else { self.last_delay.replace((received_at, delay_us)) };
        let interval_us = i64::from(self.setup.expected_interval_s) * SECOND_US;
        // A gauge of which it is known that it sends seldom may send each sample late.
        let allowed_us = self.setup.grace_s.map_or(0, |grace_s| i64::from(grace_s) * SECOND_US).max(CLOCK_SLACK_US);
        // Samples that a battery gauge kept come at once, each with another delay; behind a wrong clock they come in their
        // own time, all with the same.
        let behind = delay_us > allowed_us
            && before.is_some_and(|(then, delay)| {
                delay_us.abs_diff(delay) < SAME_DELAY_US.unsigned_abs()
                    && (interval_us / 2..3 * interval_us).contains(&(received_at.get() - then.get()))
            });
        if reset || behind || delay_us < -CLOCK_SLACK_US {
            treatments.push(Treatment::Redated { offset_s: -delay_us / SECOND_US });
            return received_at;
        }
        raw.measured_at_us
    }

    /// The values in the one order that is possible, with a volume where height and table give one.
    fn ordered(
        &self,
        at: TimestampUs,
        chart: Option<&Strapping>,
        values: Values,
        treatments: &mut Vec<Treatment>,
    ) -> Result<Values, ReadingRefused> {
        let as_sent = self.judge(chart, values);
        if let Ok((values, treatment)) = as_sent
            && self.is_near(at, values, AS_SENT)
        {
            treatments.extend(treatment);
            return Ok(values);
        }
        let mut possible: Vec<Values> = Vec::new();
        for order in self.orders(values) {
            if let Ok((order, None)) = self.judge(chart, order)
                && self.is_near(at, order, 1)
                && !possible.contains(&order)
            {
                possible.push(order);
            }
        }
        match (possible.as_slice(), as_sent) {
            ([one], _) => {
                treatments.push(Treatment::Reordered);
                Ok(*one)
            }
            // Unlike what was before, but nothing speaks for another order: water is pumped out, a truck brings warm fuel.
            ([], Ok((values, treatment))) => {
                treatments.extend(treatment);
                Ok(values)
            }
            ([], Err(dropped)) => Err(dropped),
            _ => Err(ReadingRefused::Ambiguous),
        }
    }

    /// All other orders of the columns that the source is known to swap.
    fn orders(&self, values: Values) -> Vec<Values> {
        let mut columns: Vec<Column> = self.setup.swappable.clone();
        columns.retain(|column| COLUMNS.contains(column));
        columns.dedup();
        columns.truncate(COLUMNS.len());
        let mut from = values;
        let mut given: Vec<Option<i64>> =
            columns.iter().filter_map(|column| from.column(*column).map(|slot| *slot)).collect();
        if given.len() < 2 || given.iter().any(Option::is_none) {
            return Vec::new();
        }
        let mut orders = Vec::new();
        permute(&mut given, 0, &mut |order| {
            let mut candidate = values;
            for (column, value) in columns.iter().zip(order) {
                if let Some(slot) = candidate.column(*column) {
                    *slot = *value;
                }
            }
            if candidate != values {
                orders.push(candidate);
            }
        });
        orders
    }

    /// Range and physics. Fills in a volume that only the height tells.
    fn judge(
        &self,
        chart: Option<&Strapping>,
        mut values: Values,
    ) -> Result<(Values, Option<Treatment>), ReadingRefused> {
        let capacity = i64::try_from(self.setup.capacity_ml.get()).unwrap_or(i64::MAX);
        let water_max = values.height.unwrap_or(500_000);
        let possible = values.temperature.is_none_or(|e3| TEMPERATURE_CC.contains(&(e3 / 10)))
            && values.water.is_none_or(|e3| (0..=water_max).contains(&e3))
            && values.height.is_none_or(|e3| e3 >= 0);
        if !possible {
            return Err(ReadingRefused::Impossible);
        }
        let brimful = capacity + capacity / 50;
        let (Some(chart), Some(surface)) = (chart, height(values.height)) else {
            return match values.volume {
                Some(volume) if (0..=brimful).contains(&volume) => Ok((values, None)),
                Some(_) => Err(ReadingRefused::Impossible),
                None => Err(ReadingRefused::NoVolume),
            };
        };
        if surface.0 > chart.height_max().0 + 200 {
            return Err(ReadingRefused::Impossible);
        }
        let total = chart.volume(surface);
        let below = height(values.water).map_or(0, |water| chart.volume(water).volume_ml.get());
        let expected = total.volume_ml.get().saturating_sub(below).cast_signed();
        let clamped = total.clamped.then_some(Treatment::Clamped);
        let Some(volume) = values.volume else {
            values.volume = Some(expected);
            return Ok((values, Some(Treatment::VolumeFromHeight)));
        };
        // The gauge's own table is not ours to the litre; some count the water in.
        let slack = (capacity / 100).max(100_000);
        let with_water = expected + below.cast_signed();
        if (0..=brimful).contains(&volume) && (expected - slack..=with_water + slack).contains(&volume) {
            return Ok((values, clamped));
        }
        match unit_slip(volume, expected) {
            Some(ratio_e3) if self.is_level(expected) => {
                values.volume = Some(expected);
                Ok((values, Some(Treatment::UnitSlip { ratio_e3 })))
            }
            Some(_) => Err(ReadingRefused::UnitSlip),
            None => Err(ReadingRefused::Impossible),
        }
    }

    /// A volume in the neighbourhood of the last believed one.
    fn is_level(&self, volume: i64) -> bool {
        let capacity = self.setup.capacity_ml.get();
        self.last.is_none_or(|(_, last)| last.volume.is_none_or(|last| last.abs_diff(volume) < capacity / 10))
    }

    /// Whether temperature and water are like the last believed ones.
    fn is_near(&self, at: TimestampUs, values: Values, slack: u64) -> bool {
        let Some((then, last)) =
            self.last.filter(|(then, _)| at.get().abs_diff(then.get()) < NEAR_FOR_US.unsigned_abs())
        else {
            return true;
        };
        let minutes = at.get().abs_diff(then.get()) / model::MICROS_PER_MINUTE.unsigned_abs();
        let near = |one: Option<i64>, other: Option<i64>, [least, each, most]: [u64; 3]| match (one, other) {
            (Some(one), Some(other)) => one.abs_diff(other) <= ((least + each * minutes) * slack).min(most),
            _ => true,
        };
        near(values.temperature, last.temperature, NEAR_TEMPERATURE_E3) && near(values.water, last.water, NEAR_WATER_E3)
    }
}

fn permute(values: &mut Vec<Option<i64>>, from: usize, each: &mut impl FnMut(&[Option<i64>])) {
    if from == values.len() {
        return each(values);
    }
    for place in from..values.len() {
        values.swap(from, place);
        permute(values, from + 1, each);
        values.swap(from, place);
    }
}

/// The ratio in thousandths when it looks like gallons for litres, or the reverse.
fn unit_slip(volume: i64, expected: i64) -> Option<u32> {
    if volume <= 0 || expected <= 0 {
        return None;
    }
    let is_like = |large: i64, small: i64| {
        let converted = i128::from(small) * GALLON_E6 / 1_000_000;
        converted.abs_diff(i128::from(large)) <= i128::from(large).unsigned_abs() / 50
    };
    (is_like(expected, volume) || is_like(volume, expected))
        .then(|| u32::try_from(i128::from(volume) * 1000 / i128::from(expected)).ok())
        .flatten()
}

fn volume(ml: i64) -> Option<Millilitres> {
    Millilitres::new(u64::try_from(ml).ok()?).ok()
}

fn height(e3: Option<i64>) -> Option<DeciMillimetres> {
    e3.and_then(|e3| u32::try_from((e3 + 50) / 100).ok()).map(DeciMillimetres)
}

#[cfg(test)]
mod tests;
