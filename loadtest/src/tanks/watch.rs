//! Lets an engine live through a tank's days, and keeps what it says and when it says it.

use std::collections::BTreeMap;

use model::{Reading, TankEvent, TimestampUs};

use super::truth::{Arrival, Arrived, Sample, TankRun};

/// Between two readings of an engine's clock.
const TICK_US: i64 = 600_000_000;

/// What is scored: something that is told of one tank, in order of arrival, and says what happened.
pub trait Engine {
    /// Something arrived. Adds what is found out by it; for a reading, says what was made of it.
    fn arrived(&mut self, arrival: &Arrival, events: &mut Vec<TankEvent>) -> Option<Taken>;
    /// Time passed, and nothing may have arrived.
    fn passed(&mut self, now: TimestampUs, events: &mut Vec<TankEvent>);
}

/// What an engine makes of a reading.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// Not used for anything.
    Dropped,
    /// With these values, at this time.
    Used(Box<Reading>),
}

/// An event in its last version.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub event: TankEvent,
    /// When it was told first.
    pub told_at_us: TimestampUs,
}

/// A reading and what was made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Treated {
    pub sample: Sample,
    pub received_at_us: TimestampUs,
    pub taken: Taken,
}

#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// What stands at the end, withdrawn events left out.
    pub findings: Vec<Finding>,
    pub withdrawn: usize,
    pub corrected: usize,
    /// Readings that are dirty, and clean ones that were not taken as they are.
    pub treated: Vec<Treated>,
    pub clean_rows: u64,
}

/// Runs the engine over all arrivals; its clock ticks every ten minutes, also in silence.
pub fn watch<E: Engine>(run: &TankRun, engine: &mut E) -> Watched {
    let mut watched = Watched::default();
    let mut findings: BTreeMap<(&'static str, u32), Finding> = BTreeMap::new();
    let mut events = Vec::new();
    let mut tick_us = run.truth.from_us.plus_us(TICK_US);
    let mut keep = |events: &mut Vec<TankEvent>, now: TimestampUs| {
        for event in events.drain(..) {
            let told_at_us = findings
                .get(&(event.kind.name(), event.number))
                .filter(|known| !known.event.withdrawn)
                .map_or(now, |known| known.told_at_us);
            let key = (event.kind.name(), event.number);
            findings.insert(key, Finding { event, told_at_us });
        }
    };
    for arrival in &run.arrivals {
        while tick_us <= arrival.received_at_us {
            engine.passed(tick_us, &mut events);
            keep(&mut events, tick_us);
            tick_us = tick_us.plus_us(TICK_US);
        }
        let taken = engine.arrived(arrival, &mut events);
        keep(&mut events, arrival.received_at_us);
        if let (Arrived::Reading(sample), Some(taken)) = (&arrival.what, taken) {
            watched.treat(sample, arrival.received_at_us, taken);
        }
    }
    while tick_us <= run.truth.to_us {
        engine.passed(tick_us, &mut events);
        keep(&mut events, tick_us);
        tick_us = tick_us.plus_us(TICK_US);
    }
    watched.corrected = findings.values().filter(|finding| finding.event.version > 1).count();
    watched.withdrawn = findings.values().filter(|finding| finding.event.withdrawn).count();
    watched.findings = findings.into_values().filter(|finding| !finding.event.withdrawn).collect();
    watched
        .findings
        .sort_by_key(|finding| (finding.event.began_at_us, finding.event.kind.name(), finding.event.number));
    watched
}

impl Watched {
    fn treat(&mut self, sample: &Sample, received_at_us: TimestampUs, taken: Taken) {
        let untouched = matches!(&taken, Taken::Used(used) if same(used, &sample.reading));
        self.clean_rows += u64::from(sample.dirt.is_none());
        if sample.dirt.is_some() || !untouched {
            self.treated.push(Treated { sample: sample.clone(), received_at_us, taken });
        }
    }
}

/// The same measurement, but for rounding: a litre, a millimetre, half a degree, a minute.
pub(crate) fn same(one: &Reading, other: &Reading) -> bool {
    let near = |one: Option<u64>, other: Option<u64>, within: u64| match (one, other) {
        (Some(one), Some(other)) => one.abs_diff(other) <= within,
        (None, None) => true,
        _ => false,
    };
    near(one.volume_ml.map(|volume| volume.get()), other.volume_ml.map(|volume| volume.get()), 1_000)
        && near(one.height().map(|height| height.0.into()), other.height().map(|height| height.0.into()), 10)
        && near(one.water().map(|water| water.0.into()), other.water().map(|water| water.0.into()), 10)
        && match (one.temperature(), other.temperature()) {
            (Some(one), Some(other)) => one.0.abs_diff(other.0) <= 50,
            (one, other) => one.is_none() && other.is_none(),
        }
        && one.measured_at_us.get().abs_diff(other.measured_at_us.get()) <= 60_000_000
}
