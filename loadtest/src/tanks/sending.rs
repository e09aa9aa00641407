//! From the gauge to the receiver: what is lost, kept, doubled, overtaken or garbled on the way.
//!
//! In: clean readings in order of time, and the times of silence. Out: arrivals in their order, each with what is wrong
//! with it. Guarantees that a reading without a mark is as the gauge measured it, and that it arrives once.

use model::{CentiCelsius, DeciMillimetres, DeviceStatus, Millilitres, Reading, SilenceCause, TimestampUs};

use super::chance::{Chance, rounded};
use super::gauge::at;
use super::plan::{TankPlan, World};
use super::truth::{Arrival, Arrived, Dirt, Sample, TrueSilence, TrueSpell, Truth};
use super::walk::Life;

/// What gauges say when they know nothing, in thousandths of litres, millimetres and degrees.
pub(crate) const UNKNOWN_E3: i64 = 65_535_000;
const MILLILITRES_PER_GALLON: f64 = 3_785.411_784;
const DAY_S: i64 = 86_400;

pub(crate) fn send(world: &World, plan: &TankPlan, life: Life, truth: &Truth) -> Vec<Arrival> {
    let mut way = Way { world, chance: Chance::new(world.seed, plan.number, 11), arrivals: Vec::new() };
    let capacity = plan.vessel.capacity_l();
    for clean in life.readings {
        let measured_us = clean.measured_at_us.get();
        let silence = truth
            .silences
            .iter()
            .find(|silence| (silence.began_at_us.get()..silence.ended_at_us.get()).contains(&measured_us));
        if silence.is_some_and(|silence| !silence.kept) {
            continue;
        }
        let spell =
            truth.spells.iter().find(|spell| (spell.began_at_us.get()..spell.ended_at_us.get()).contains(&measured_us));
        way.reading(clean, silence, spell, capacity);
    }
    for sale in life.sales {
        let delay_s =
            if way.chance.happens(0.01) { way.chance.between(60.0, 7200.0) } else { way.chance.between(1.0, 30.0) };
        if world.regime.sales {
            way.arrive(sale.at_us.get() + seconds(delay_s), Arrived::Sale(sale));
        }
    }
    for ticket in life.tickets {
        let delay_s = way.chance.between(60.0, 1800.0);
        way.arrive(ticket.at_us.get() + seconds(delay_s), Arrived::Ticket(ticket));
    }
    for silence in truth.silences.iter().filter(|silence| silence.cause == SilenceCause::Site) {
        // The broker sends the last will after one and a half times the keep-alive of a minute.
        for (online, at_us) in [(false, silence.began_at_us.plus_us(90_000_000)), (true, silence.ended_at_us)] {
            let status = DeviceStatus { site: plan.site.clone(), online, at_us };
            way.arrive(at_us.get() + 200_000, Arrived::Status(status));
        }
    }
    let mut arrivals = way.arrivals;
    arrivals.sort_by_key(|arrival| arrival.received_at_us);
    arrivals
}

struct Way<'a> {
    world: &'a World,
    chance: Chance,
    arrivals: Vec<Arrival>,
}

impl Way<'_> {
    fn arrive(&mut self, received_us: i64, what: Arrived) {
        self.arrivals.push(Arrival { received_at_us: TimestampUs::from_micros(received_us), what });
    }

    fn reading(&mut self, clean: Reading, kept: Option<&TrueSilence>, spell: Option<&TrueSpell>, capacity: f64) {
        let measured_us = clean.measured_at_us.get();
        let clean = Reading { historical: kept.is_some(), ..self.seen(clean) };
        // What was kept is sent in its order, a millisecond apart.
        let place_us = |since_us: i64| (measured_us - since_us) / (self.world.regime.interval_s * 1_000_000) * 1_000;
        let received_us = match (kept, self.world.regime.packet_every_s) {
            (Some(kept), _) => kept.ended_at_us.get() + 5_000_000 + place_us(kept.began_at_us.get()),
            (None, Some(every_s)) => {
                let every_us = every_s * 1_000_000;
                let began_us = measured_us - measured_us.rem_euclid(every_us);
                began_us + every_us + 2_000_000 + place_us(began_us)
            }
            (None, None) => measured_us + seconds(self.chance.between(0.1, 3.0)),
        };
        let interval_us = self.world.regime.interval_s * 1_000_000;
        if !self.world.dirty {
            let dirt = kept.map(|_| Dirt::LateBatch);
            return self.sample(received_us, clean.clone(), dirt, clean);
        }
        if let Some(spell) = spell {
            let dirty = spoiled(&clean, spell);
            return self.sample(received_us, dirty, Some(spell.fault), clean);
        }
        let mut dirt = kept.map(|_| Dirt::LateBatch);
        let (mut dirty, mut received_us) = (clean.clone(), received_us);
        match self.chance.whole(0, 9999) {
            0..100 => {
                let again_us = received_us + seconds(self.chance.between(0.5, 30.0));
                self.sample(again_us, clean.clone(), Some(Dirt::Duplicate), clean.clone());
            }
            100..150 => {
                let mut near = clean.clone();
                near.measured_at_us = near.measured_at_us.plus_us(seconds(self.chance.between(1.0, 5.0)));
                self.sample(received_us + 5_000_000, near, Some(Dirt::NearDuplicate), clean.clone());
            }
            150..180 if self.world.regime.all_columns && self.swap(&mut dirty) => {
                dirt = Some(Dirt::SwappedColumns);
            }
            180..190 => {
                self.spike(&mut dirty, capacity);
                dirt = Some(Dirt::Spike);
            }
            190..200 => {
                self.unknown(&mut dirty);
                dirt = Some(Dirt::Sentinel);
            }
            200..210 if self.world.regime.all_columns => {
                dirty.status |= Reading::INVALID_HEIGHT;
                dirty.volume_ml = Some(Millilitres::ZERO);
                dirty.height_dmm = Some(DeciMillimetres(0));
                dirt = Some(Dirt::InvalidStatus);
            }
            210..250 if kept.is_none() && self.world.regime.packet_every_s.is_none() => {
                received_us += interval_us * self.chance.whole(1, 3) + 1_000_000;
                dirt = Some(Dirt::Overtaken);
            }
            _ => {}
        }
        self.sample(received_us, dirty, dirt, clean);
    }

    fn sample(&mut self, received_us: i64, reading: Reading, dirt: Option<Dirt>, clean: Reading) {
        let clean = (reading != clean).then(|| Box::new(clean));
        self.arrive(received_us, Arrived::Reading(Sample { reading, dirt, clean }));
    }

    /// What this receiver gets to see of a reading.
    fn seen(&self, reading: Reading) -> Reading {
        if self.world.regime.all_columns {
            return reading;
        }
        Reading { height_dmm: None, water_dmm: None, temperature_cc: None, status: 0, ..reading }
    }

    /// Two columns of a row change places. `false` when nothing would show.
    fn swap(&mut self, reading: &mut Reading) -> bool {
        let mut columns = columns_e3(reading);
        let (one, other) = self.chance.one_of(&[(0, 1), (1, 2), (0, 3), (1, 3), (0, 2)]);
        columns.swap(one, other);
        let [volume, height, water, temperature] = columns;
        let (Ok(volume), Ok(height), Ok(water)) =
            (u64::try_from(volume), u32::try_from(height / 100), u32::try_from(water / 100))
        else {
            return false;
        };
        let before = reading.clone();
        reading.volume_ml = Millilitres::new(volume).ok();
        reading.height_dmm = Some(DeciMillimetres(height));
        reading.water_dmm = Some(DeciMillimetres(water));
        reading.temperature_cc = i32::try_from(temperature / 10).ok().map(CentiCelsius);
        *reading != before
    }

    /// One sample far off: a wave, a spark, a float that sticks for a moment.
    fn spike(&mut self, reading: &mut Reading, capacity: f64) {
        let jump = self.chance.between(0.03, 0.3) * capacity * self.chance.one_of(&[1.0, -1.0]);
        let volume = reading.volume_ml.map_or(0, Millilitres::get).saturating_add_signed(rounded(jump * 1000.0));
        reading.volume_ml = Millilitres::new(volume).ok();
        if let Some(height) = &mut reading.height_dmm {
            let sign = if jump > 0.0 { 1 } else { -1 };
            height.0 =
                height.0.saturating_add_signed(sign * i32::try_from(self.chance.whole(800, 6000)).unwrap_or(800));
        }
    }

    fn unknown(&mut self, reading: &mut Reading) {
        let all = self.chance.happens(0.5);
        reading.volume_ml = Millilitres::new(UNKNOWN_E3.unsigned_abs()).ok();
        if all && self.world.regime.all_columns {
            reading.height_dmm = u32::try_from(UNKNOWN_E3 / 100).ok().map(DeciMillimetres);
            reading.water_dmm = reading.height_dmm;
            reading.temperature_cc = i32::try_from(UNKNOWN_E3 / 10).ok().map(CentiCelsius);
        }
    }
}

/// Volume, height, water and temperature in thousandths of litre, millimetre and degree.
fn columns_e3(reading: &Reading) -> [i64; 4] {
    [
        reading.volume_ml.map_or(0, |volume| volume.get().cast_signed()),
        reading.height_dmm.map_or(0, |height| i64::from(height.0) * 100),
        reading.water_dmm.map_or(0, |water| i64::from(water.0) * 100),
        reading.temperature_cc.map_or(0, |temperature| i64::from(temperature.0) * 10),
    ]
}

fn spoiled(clean: &Reading, spell: &TrueSpell) -> Reading {
    let mut dirty = clean.clone();
    match spell.fault {
        Dirt::ClockReset => {
            // 2000-01-01, from the moment when the gauge lost its power.
            let since_us = clean.measured_at_us.get() - spell.began_at_us.get();
            dirty.measured_at_us = TimestampUs::from_micros(946_684_800_000_000 + since_us);
        }
        Dirt::UnitSlip => {
            dirty.volume_ml = clean.volume_ml.map(|volume| {
                let gallons = super::chance::real(volume.get().cast_signed()) / MILLILITRES_PER_GALLON;
                Millilitres::new(rounded(gallons).unsigned_abs() * 1000).unwrap_or_default()
            });
        }
        _ => dirty.measured_at_us = clean.measured_at_us.plus_us(spell.offset_us),
    }
    dirty
}

/// Clocks that are wrong for a day, clocks that stand at their factory date for hours, a display set to gallons.
pub(crate) fn spells(world: &World, plan: &TankPlan) -> Vec<TrueSpell> {
    let mut chance = Chance::new(world.seed, plan.number, 12);
    let mut spells = Vec::new();
    let mut faults = Vec::new();
    if world.regime.packet_every_s.is_none() {
        // In packets, nobody can tell from the time of arrival when a sample was taken.
        faults.extend([(Dirt::ClockWrong, 50, (4.0, 36.0)), (Dirt::ClockReset, 80, (0.5, 6.0))]);
    }
    if world.regime.all_columns {
        faults.push((Dirt::UnitSlip, 90, (3.0, 24.0)));
    }
    for (fault, mean_days, (least_hours, most_hours)) in faults {
        let mean_s = f64::from(mean_days) * super::chance::real(DAY_S);
        let mut from_s = world.start_s() + rounded(chance.wait(mean_s));
        while from_s < world.end_s() {
            let to_s = from_s + rounded(chance.between(least_hours, most_hours) * 3600.0);
            let minutes = chance.one_of(&[-180, -60, -20, 10, 45, 120, 180]);
            spells.push(TrueSpell {
                began_at_us: at(from_s),
                ended_at_us: at(to_s),
                fault,
                offset_us: minutes * 60_000_000,
            });
            from_s = to_s + rounded(chance.wait(mean_s));
        }
    }
    spells
}

fn seconds(seconds: f64) -> i64 {
    rounded(seconds * 1e6)
}
