//! A tank's life, second by second: customers, trucks, thieves, rain and power cuts, in order of time.

use std::collections::VecDeque;

use model::{Millilitres, Millilitres15, Reading, SilenceCause};

use super::chance::{Chance, real, rounded};
use super::contents::{Contents, Inflow, Outflow};
use super::demand::{Customer, Demand, expected_litres};
use super::gauge::{Gauge, at, millilitres};
use super::plan::{DRY, SAFE_FILL, Story, TANKS_PER_SITE, TankPlan, World};
use super::truth::{Drop, PumpSale, Ticket, TrueDelivery, TrueIngress, TrueLeak, TrueSilence, TrueTheft, Truth};

const DAY_S: i64 = 86_400;
/// A leak begins on this day, so that there is a time before it.
pub(crate) const LEAK_DAY: i64 = 20;
const PUMPS: usize = 8;
/// After a delivery the surface is calm enough for a reading that counts.
const CALM_AFTER_S: i64 = 300;
const THEFTS_L: [f64; 7] = [30.0, 60.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];

/// Everything that the gauge saw, clean and complete, and the truth.
pub(crate) struct Life {
    pub(crate) readings: Vec<Reading>,
    pub(crate) sales: Vec<PumpSale>,
    pub(crate) tickets: Vec<Ticket>,
    pub(crate) truth: Truth,
}

pub(crate) fn live(world: &World, plan: &TankPlan) -> Life {
    let mut walk = Walk::new(world, plan);
    let phase_s = Chance::new(world.seed, plan.number, 3).whole(0, world.regime.interval_s - 1);
    let mut readings = Vec::new();
    let mut read_at_s = world.start_s() + phase_s;
    while read_at_s < world.end_s() {
        walk.until(read_at_s);
        let water_mm = walk.water_mm();
        readings.push(walk.gauge.read(plan, &walk.contents, water_mm));
        read_at_s += world.regime.interval_s;
    }
    walk.until(world.end_s());
    let silent = |at_us: i64| {
        let hides = |silence: &&TrueSilence| {
            !silence.kept && (silence.began_at_us.get()..silence.ended_at_us.get()).contains(&at_us)
        };
        walk.truth.silences.iter().find(hides).is_some()
    };
    let measured_us: Vec<i64> =
        readings.iter().map(|reading| reading.measured_at_us.get()).filter(|at_us| !silent(*at_us)).collect();
    let (sales, tickets, truth) = walk.end(world, &measured_us);
    Life { readings, sales, tickets, truth }
}

struct Walk<'a> {
    plan: &'a TankPlan,
    chance: Chance,
    contents: Contents,
    gauge: Gauge,
    demand: Demand,
    customer: Customer,
    truck_at_s: Option<i64>,
    unloading_until_s: i64,
    thefts: VecDeque<Outflow>,
    leak_at_s: Option<(i64, u32)>,
    water: Vec<TrueIngress>,
    sold: Vec<Outflow>,
    sales: Vec<PumpSale>,
    tickets: Vec<Ticket>,
    truth: Truth,
}

impl<'a> Walk<'a> {
    fn new(world: &World, plan: &'a TankPlan) -> Self {
        let from_s = world.start_s();
        let mut chance = Chance::new(world.seed, plan.number, 4);
        let litres = plan.vessel.capacity_l() * chance.between(0.45, 0.9);
        let contents = Contents::new(plan.fuel, plan.surroundings, from_s, litres);
        let mut demand = Demand::new(Chance::new(world.seed, plan.number, 5), plan, from_s);
        let customer = demand.next(plan);
        let truth = Truth {
            opening_15_ml: at_15(contents.litres_15),
            silences: silences(world, plan),
            from_us: at(from_s),
            to_us: at(world.end_s()),
            ..Truth::default()
        };
        let leak_at_s = match world.story {
            Story::Leak { ml_per_hour } => Some((from_s + LEAK_DAY * DAY_S + chance.whole(0, DAY_S), ml_per_hour)),
            Story::Ordinary | Story::Thefts => None,
        };
        Self {
            plan,
            gauge: Gauge::new(Chance::new(world.seed, plan.number, 6), &contents),
            thefts: if world.story == Story::Thefts { thefts(world, plan) } else { VecDeque::new() },
            water: rains(world, plan),
            chance,
            contents,
            demand,
            customer,
            truck_at_s: None,
            unloading_until_s: 0,
            leak_at_s,
            sold: Vec::new(),
            sales: Vec::new(),
            tickets: Vec::new(),
            truth,
        }
    }

    /// Everything that begins before `to_s`, in order of time; at last the contents stand at `to_s`.
    fn until(&mut self, to_s: i64) {
        loop {
            let truck_at_s = self.truck_at_s.unwrap_or(i64::MAX);
            let theft_at_s = self.thefts.front().map_or(i64::MAX, |theft| theft.start_s);
            let leak_at_s = self.leak_at_s.map_or(i64::MAX, |leak| leak.0);
            let next_s = self.customer.start_s.min(truck_at_s).min(theft_at_s).min(leak_at_s);
            if next_s >= to_s {
                break;
            }
            self.contents.advance(next_s);
            if next_s == truck_at_s {
                self.unload();
            } else if next_s == theft_at_s {
                self.steal();
            } else if next_s == leak_at_s {
                self.leak();
            } else {
                self.sell();
            }
        }
        self.contents.advance(to_s);
    }

    fn sell(&mut self) {
        let Customer { start_s, litres, seconds } = self.customer;
        self.customer = self.demand.next(self.plan);
        let left = self.contents.litres() - self.contents.promised() - litres;
        if left > DRY * self.plan.vessel.capacity_l() && self.contents.pumps_running() < PUMPS {
            let flow = Outflow { start_s, end_s: start_s + seconds, litres };
            self.contents.draw(flow);
            self.sold.push(flow);
            let metered = real(rounded(litres * self.plan.demand.meter_ratio * 100.0)) / 100.0;
            self.sales.push(PumpSale { at_us: at(flow.end_s), volume_ml: millilitres(metered) });
        }
        let low = left < self.plan.order_below * self.plan.vessel.capacity_l();
        if low && self.truck_at_s.is_none() && start_s > self.unloading_until_s {
            let mut arrives_s = start_s + self.chance.whole(4 * 3600, 20 * 3600);
            if !(5..22).contains(&(arrives_s.rem_euclid(DAY_S) / 3600)) && self.chance.happens(0.7) {
                arrives_s += 8 * 3600;
            }
            self.truck_at_s = Some(arrives_s);
        }
    }

    fn unload(&mut self) {
        let now_s = self.contents.at_s;
        let room = SAFE_FILL * self.plan.vessel.capacity_l() - self.contents.litres();
        let wanted = if self.chance.happens(0.1) {
            self.chance.between(0.04, 0.1) * self.plan.vessel.capacity_l()
        } else {
            (room * self.chance.between(0.6, 1.0)).min(30_000.0)
        };
        let litres = real(rounded(wanted.min(room) / 100.0 - 0.5)) * 100.0;
        if litres < 400.0 {
            self.truck_at_s = Some(now_s + 2 * 3600);
            return;
        }
        self.truck_at_s = None;
        let celsius = self.plan.surroundings.celsius(now_s) + (self.chance.normal(4.0) + 1.0).clamp(-8.0, 12.0);
        let per_litre = self.plan.fuel.litres_15_per_litre(celsius);
        let parts: &[f64] = if self.chance.happens(0.12) { &[0.6, 0.4] } else { &[1.0] };
        let mut start_s = now_s + 1;
        let mut drops = Vec::new();
        for part in parts {
            let seconds = rounded(litres * part / self.plan.litres_per_minute_of_truck * 60.0).max(60);
            let end_s = start_s + seconds;
            self.contents.pour(Inflow { start_s, end_s, litres_15: litres * part * per_litre, celsius });
            drops.push(Drop { began_at_us: at(start_s), ended_at_us: at(end_s) });
            self.unloading_until_s = end_s;
            start_s = end_s + self.chance.whole(5 * 60, 20 * 60);
        }
        let short = if self.plan.short_tickets { self.chance.between(0.003, 0.02) } else { 0.0 };
        let ticket_ml = millilitres(real(rounded(litres * (1.0 + short))));
        self.tickets.push(Ticket { at_us: at(self.unloading_until_s), volume_ml: ticket_ml });
        self.truth.deliveries.push(TrueDelivery {
            drops,
            gross_ml: millilitres(litres),
            net_15_ml: at_15(litres * per_litre),
            sold_meanwhile_ml: Millilitres::ZERO,
            ticket_ml,
            chance_ml: 0,
        });
    }

    /// Thieves leave a tank alone that is nearly empty or just being filled.
    fn steal(&mut self) {
        let Some(theft) = self.thefts.pop_front() else { return };
        if self.contents.litres() - theft.litres < 2.0 * DRY * self.plan.vessel.capacity_l() || self.contents.filling()
        {
            return;
        }
        self.contents.draw(theft);
        self.truth.thefts.push(TrueTheft {
            began_at_us: at(theft.start_s),
            ended_at_us: at(theft.end_s),
            stolen_ml: millilitres(theft.litres),
            at_night: (1..4).contains(&(theft.start_s.rem_euclid(DAY_S) / 3600)),
        });
    }

    fn leak(&mut self) {
        let Some((began_s, ml_per_hour)) = self.leak_at_s.take() else { return };
        self.contents.leak_litres_per_hour = f64::from(ml_per_hour) / 1000.0;
        self.truth.leak = Some(TrueLeak { began_at_us: at(began_s), ml_per_hour });
    }

    fn water_mm(&self) -> f64 {
        let now = real(at(self.contents.at_s).get());
        let rise = |rain: &TrueIngress| {
            let (from, to) = (real(rain.began_at_us.get()), real(rain.ended_at_us.get()));
            (f64::from(rain.after_mm) - f64::from(rain.before_mm)) * ((now - from) / (to - from)).clamp(0.0, 1.0)
        };
        self.water.first().map_or(0.0, |rain| f64::from(rain.before_mm)) + self.water.iter().map(rise).sum::<f64>()
    }

    fn end(mut self, world: &World, measured_us: &[i64]) -> (Vec<PumpSale>, Vec<Ticket>, Truth) {
        let sold = |from_s: i64, to_s: i64| -> f64 {
            let meanwhile = |flow: &Outflow| {
                let overlap = (flow.end_s.min(to_s) - flow.start_s.max(from_s)).max(0);
                flow.litres * real(overlap) / real(flow.end_s - flow.start_s)
            };
            self.sold.iter().map(meanwhile).sum()
        };
        for delivery in &mut self.truth.deliveries {
            let (from_us, to_us) = (delivery.began_at().get(), delivery.ended_at().get());
            delivery.sold_meanwhile_ml = millilitres(sold(from_us / 1_000_000, to_us / 1_000_000));
            if !world.regime.sales {
                let before = measured_us.partition_point(|at_us| *at_us <= from_us).checked_sub(1);
                let after = measured_us.partition_point(|at_us| *at_us < to_us + CALM_AFTER_S * 1_000_000);
                let seen = |place: usize| measured_us.get(place).map(|at_us| at_us / 1_000_000);
                if let (Some(before_s), Some(after_s)) = (before.and_then(seen), seen(after)) {
                    let mean = expected_litres(self.plan, before_s, after_s);
                    delivery.chance_ml = millilitres((sold(before_s, after_s) - mean).abs()).get();
                }
            }
        }
        // The first entry only says how much water there was at first.
        self.truth.ingresses = self.water.into_iter().filter(|rain| rain.after_mm > rain.before_mm).collect();
        self.truth.closing_15_ml = at_15(self.contents.litres_15);
        self.truth.delivered_15_ml = at_15(self.contents.delivered_15);
        self.truth.drawn_15_ml = at_15(self.contents.drawn_15);
        self.truth.sold_ml = millilitres(self.sold.iter().map(|flow| flow.litres).sum());
        (self.sales, self.tickets, self.truth)
    }
}

fn at_15(litres: f64) -> Millilitres15 {
    Millilitres15::new(millilitres(litres).get()).unwrap_or_default()
}

/// A theft every few days: three of five in the small hours, most with a pump, some with a thin hose.
fn thefts(world: &World, plan: &TankPlan) -> VecDeque<Outflow> {
    let mut chance = Chance::new(world.seed, plan.number, 7);
    let mut thefts = VecDeque::new();
    let mut day = 7 + chance.whole(0, 2);
    while day < world.days - 1 {
        let hour = if chance.happens(0.6) { chance.between(1.0, 3.5) } else { chance.between(9.0, 18.0) };
        let litres = chance.one_of(&THEFTS_L);
        let per_minute = match litres {
            large if large >= 500.0 => 150.0,
            _ if chance.happens(0.2) => 8.0,
            _ => 40.0,
        };
        let start_s = world.start_s() + day * DAY_S + rounded(hour * 3600.0);
        thefts.push_back(Outflow { start_s, end_s: start_s + rounded(litres / per_minute * 60.0), litres });
        day += chance.whole(2, 4);
    }
    thefts
}

/// Rain that finds a way in, once in two months; what came in is pumped out some days later when it is much.
fn rains(world: &World, plan: &TankPlan) -> Vec<TrueIngress> {
    let mut chance = Chance::new(world.seed, plan.number, 8);
    let mut water_mm = u32::try_from(chance.whole(0, 12)).unwrap_or_default();
    let from_s = world.start_s();
    let still = |at_s: i64, mm: u32| TrueIngress {
        began_at_us: at(at_s - 1),
        ended_at_us: at(at_s),
        before_mm: mm,
        after_mm: mm,
    };
    let mut rains = vec![still(from_s, water_mm)];
    let mut at_s = from_s + rounded(chance.wait(60.0 * real(DAY_S)));
    while at_s < world.end_s() {
        let end_s = at_s + chance.whole(2 * 3600, 10 * 3600);
        let after_mm = water_mm + u32::try_from(chance.whole(10, 50)).unwrap_or_default();
        rains.push(TrueIngress { began_at_us: at(at_s), ended_at_us: at(end_s), before_mm: water_mm, after_mm });
        water_mm = after_mm;
        at_s = end_s + chance.whole(DAY_S, 4 * DAY_S);
        if water_mm > 30 {
            rains.push(TrueIngress {
                began_at_us: at(at_s),
                ended_at_us: at(at_s + 900),
                before_mm: water_mm,
                after_mm: 5,
            });
            water_mm = 5;
            at_s += 900;
        }
        at_s += rounded(chance.wait(60.0 * real(DAY_S)));
    }
    rains
}

/// Power cuts and cut lines strike all tanks of a site, a dead probe one tank. They do not overlap.
fn silences(world: &World, plan: &TankPlan) -> Vec<TrueSilence> {
    let mut own = Chance::new(world.seed, plan.number, 9);
    let mut shared = Chance::new(world.seed, plan.number / TANKS_PER_SITE, 10);
    let mut silences = Vec::new();
    for (chance, mean_days, of_site) in [(&mut shared, 20.0, true), (&mut own, 30.0, false)] {
        let mut at_s = world.start_s() + rounded(chance.wait(mean_days * real(DAY_S)));
        while at_s < world.end_s() {
            let hours = (0.5 + chance.wait(5.0)).min(48.0);
            let end_s = at_s + rounded(hours * 3600.0);
            let kept = of_site && chance.happens(0.5);
            let cause = if of_site { SilenceCause::Site } else { SilenceCause::Gauge };
            silences.push(TrueSilence { began_at_us: at(at_s), ended_at_us: at(end_s), cause, kept });
            at_s = end_s + rounded(chance.wait(mean_days * real(DAY_S)));
        }
    }
    silences.sort_by_key(|silence| silence.began_at_us);
    let mut until = at(0);
    silences.retain(|silence| {
        let apart = silence.began_at_us > until;
        if apart {
            until = silence.ended_at_us;
        }
        apart
    });
    silences
}
