//! A tank gauge as a device: its metrics become readings.
//!
//! Guarantees: what is unknown, null, bad or out of any tank's range is absent in a reading, never zero.

use std::collections::BTreeMap;

use model::{
    CentiCelsius, CentiPercent, DeciMillimetres, Density, Millilitres15, ProductCode, Reading, SiteId, TankId,
    TimestampUs,
};

use super::payload::Value;
use super::time_of;
use crate::decode::units::{self, Units};

/// Values of one sample lie within so many milliseconds.
const SAMPLE_MS_MAX: u64 = 1_000;
/// kg/m³ that no fuel exceeds.
const DENSITY_MAX: f64 = 2_000.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Height,
    Water,
    Temperature,
    Volume,
    Volume15,
    Ullage,
    WaterVolume,
    Capacity,
    Percent,
    Density,
    Status,
    Product,
}

impl Field {
    /// By the last level of a metric's name, whatever folder it is in.
    pub(super) fn named(name: &str) -> Option<Self> {
        let last = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        Some(match last.as_str() {
            "height_mm" => Self::Height,
            "water_mm" => Self::Water,
            "temp_c" => Self::Temperature,
            "volume_l" => Self::Volume,
            "volumetc_l" => Self::Volume15,
            "ullage_l" => Self::Ullage,
            "watervolume_l" => Self::WaterVolume,
            "capacity_l" => Self::Capacity,
            "percent" | "fill_pct" => Self::Percent,
            "density" => Self::Density,
            "status" => Self::Status,
            "product" => Self::Product,
            _ => return None,
        })
    }

    /// Without these the level is not known.
    fn is_level(self) -> bool {
        matches!(self, Self::Height | Self::Volume | Self::Volume15 | Self::Percent)
    }
}

/// A metric of a tank as one message has it.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) field: Field,
    /// `None`: null, or of a type that is no value of a tank.
    pub(super) value: Option<Value>,
    pub(super) at_ms: u64,
    pub(super) historical: bool,
    pub(super) bad: bool,
}

/// What belongs to one moment.
struct Sample {
    from_ms: u64,
    at_ms: u64,
    historical: bool,
    values: Vec<Measured>,
}

/// A packet may hold many moments: a new one begins where a metric comes again, where time moves on, and where history and
/// the present part. Sorted by time.
fn samples(mut measured: Vec<Measured>) -> Vec<Sample> {
    measured.sort_by_key(|measured| (!measured.historical, measured.at_ms));
    let mut samples: Vec<Sample> = Vec::new();
    for measured in measured {
        let fits = samples.last().is_some_and(|sample| {
            sample.historical == measured.historical
                && measured.at_ms - sample.from_ms <= SAMPLE_MS_MAX
                && sample.values.iter().all(|known| known.field != measured.field)
        });
        match samples.last_mut().filter(|_| fits) {
            Some(sample) => {
                sample.at_ms = measured.at_ms;
                sample.values.push(measured);
            }
            None => samples.push(Sample {
                from_ms: measured.at_ms,
                at_ms: measured.at_ms,
                historical: measured.historical,
                values: vec![measured],
            }),
        }
    }
    samples
}

/// The present values of a tank.
#[derive(Clone, Debug, Default)]
struct Values {
    numbers: BTreeMap<Field, f64>,
    product: Option<ProductCode>,
    /// Fields whose last value is bad.
    bad: Vec<Field>,
}

impl Values {
    fn take(&mut self, measured: &Measured, types: &BTreeMap<Field, u32>) {
        let field = measured.field;
        self.bad.retain(|known| *known != field);
        if measured.bad {
            self.bad.push(field);
            self.numbers.remove(&field);
        } else if field == Field::Product {
            if let Some(Value::Text(text)) = &measured.value {
                self.product = Some(units::product(Some(text)));
            }
        } else {
            let datatype = types.get(&field).copied().unwrap_or_default();
            match measured.value.as_ref().and_then(|value| value.number(datatype)) {
                Some(number) => self.numbers.insert(field, number),
                None => self.numbers.remove(&field),
            };
        }
    }

    fn reading(&self, site: &SiteId, tank: &TankId, at: TimestampUs) -> Option<Reading> {
        let number = |field: Field| self.numbers.get(&field).copied();
        let volume = |field: Field| number(field).and_then(|litres| Units::Metric.volume(litres));
        let height = |field: Field| number(field).and_then(|mm| Units::Metric.height_dmm(mm)).map(DeciMillimetres);
        let product = self.product.clone().unwrap_or_else(|| units::product(None));
        let mut reading = Reading::new(site.clone(), tank.clone(), product, at);
        reading.volume_ml = volume(Field::Volume);
        reading.volume_15_ml = volume(Field::Volume15).and_then(|volume| Millilitres15::new(volume.get()).ok());
        reading.ullage_ml = volume(Field::Ullage);
        reading.water_ml = volume(Field::WaterVolume);
        reading.capacity_ml = volume(Field::Capacity).filter(|capacity| capacity.get() > 0);
        reading.height_dmm = height(Field::Height);
        reading.water_dmm = height(Field::Water);
        reading.temperature_cc =
            number(Field::Temperature).and_then(|celsius| Units::Metric.temperature_cc(celsius)).map(CentiCelsius);
        reading.percent_e2 = number(Field::Percent).and_then(|percent| scaled(percent, 100.0, 100.0)).map(CentiPercent);
        reading.density_e1 = number(Field::Density).and_then(|density| scaled(density, 10.0, DENSITY_MAX)).map(Density);
        let bits = number(Field::Status).and_then(|status| scaled(status, 1.0, f64::from(u16::MAX))).unwrap_or(0);
        reading.status = u8::try_from(bits & 0xff).unwrap_or(0);
        let level_is_bad = self.bad.iter().any(|field| field.is_level());
        if level_is_bad {
            reading.status |= Reading::INVALID_HEIGHT;
        }
        let knows_a_level = reading.volume_ml.is_some()
            || reading.volume_15_ml.is_some()
            || reading.height_dmm.is_some()
            || reading.percent_e2.is_some();
        (knows_a_level || level_is_bad).then_some(reading)
    }
}

/// From zero to `max`, times `factor`, rounded.
fn scaled(value: f64, factor: f64, max: f64) -> Option<u32> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds that are checked")]
    (0.0..=max).contains(&value).then(|| (value * factor).round() as u32)
}

/// A device of a running session.
#[derive(Clone, Debug)]
pub(super) struct Tank {
    tank: TankId,
    /// What the birth says each value is.
    types: BTreeMap<Field, u32>,
    present: Values,
    newest_ms: u64,
}

impl Tank {
    pub(super) fn born(tank: TankId, types: BTreeMap<Field, u32>) -> Self {
        Self { tank, types, present: Values::default(), newest_ms: 0 }
    }

    /// `tank-3`, `Tank_3` and `3` are tank 3.
    pub(super) fn named(device: &str) -> Result<TankId, model::IdError> {
        let number = device.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("tank")).map(|_| &device[4..]);
        let number = number.map(|rest| rest.trim_start_matches(['-', '_'])).filter(|rest| !rest.is_empty());
        TankId::new(number.unwrap_or(device))
    }

    /// The readings that values make. A birth's own are one moment, the newest of them.
    pub(super) fn measured(&mut self, site: &SiteId, mut measured: Vec<Measured>, is_birth: bool) -> Vec<Reading> {
        if is_birth {
            measured.retain(|measured| !measured.historical);
            let newest = measured.iter().map(|measured| measured.at_ms).max().unwrap_or(0);
            measured.iter_mut().for_each(|measured| measured.at_ms = newest);
        }
        let mut readings = Vec::new();
        for sample in samples(measured) {
            let at = time_of(sample.at_ms);
            if sample.historical || sample.at_ms < self.newest_ms {
                // History stands alone: values of another time would make a reading that never was.
                let mut past = Values { product: self.present.product.clone(), ..Values::default() };
                sample.values.iter().for_each(|measured| past.take(measured, &self.types));
                readings
                    .extend(past.reading(site, &self.tank, at).map(|reading| Reading { historical: true, ..reading }));
            } else {
                self.newest_ms = sample.at_ms;
                sample.values.iter().for_each(|measured| self.present.take(measured, &self.types));
                readings.extend(self.present.reading(site, &self.tank, at));
            }
        }
        readings
    }
}
