//! When customers come, and how much they take: at random, more often in rush hours and on Fridays.

use super::chance::{Chance, real, rounded};
use super::plan::TankPlan;

/// Share of a mean hour's customers, by hour of the day.
const BY_HOUR: [f64; 24] = [
    0.15, 0.1, 0.1, 0.15, 0.25, 0.5, 1.1, 1.7, 1.8, 1.4, 1.3, 1.3, 1.4, 1.4, 1.4, 1.5, 1.8, 2.0, 1.7, 1.2, 0.8, 0.5,
    0.3, 0.15,
];
/// From Monday to Sunday.
const BY_WEEKDAY: [f64; 7] = [1.05, 1.0, 1.0, 1.05, 1.3, 0.9, 0.7];
const BUSIEST: f64 = 2.0 * 1.3;
/// Mean of the litres that [`Demand::next`] draws for cars and for lorries.
const CAR_LITRES: f64 = 36.0;
const LORRY_LITRES: f64 = 300.0;

/// A customer who begins to fill up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Customer {
    pub(crate) start_s: i64,
    pub(crate) litres: f64,
    pub(crate) seconds: i64,
}

pub(crate) struct Demand {
    chance: Chance,
    at_s: f64,
    /// Between customers at the busiest time.
    shortest_mean_wait_s: f64,
    lorry_share: f64,
}

impl Demand {
    pub(crate) fn new(chance: Chance, plan: &TankPlan, from_s: i64) -> Self {
        let litres = plan.demand.lorry_share * LORRY_LITRES + (1.0 - plan.demand.lorry_share) * CAR_LITRES;
        let customers_per_day = plan.demand.litres_per_day / litres;
        Self {
            chance,
            at_s: real(from_s),
            shortest_mean_wait_s: 86_400.0 / customers_per_day * mean_share(plan) / BUSIEST,
            lorry_share: plan.demand.lorry_share,
        }
    }

    /// The next customer: candidates come as often as at the busiest time, and most of them are passed over.
    pub(crate) fn next(&mut self, plan: &TankPlan) -> Customer {
        loop {
            self.at_s += self.chance.wait(self.shortest_mean_wait_s).max(1.0);
            let start_s = rounded(self.at_s);
            if !self.chance.happens(busy(plan, start_s) / BUSIEST) {
                continue;
            }
            let lorry = self.chance.happens(self.lorry_share);
            let litres = if lorry {
                self.chance.between(100.0, 500.0)
            } else {
                (34.0 * self.chance.normal(0.45).exp()).clamp(5.0, 90.0)
            };
            let per_minute = if lorry { self.chance.between(80.0, 125.0) } else { self.chance.between(25.0, 38.0) };
            return Customer { start_s, litres, seconds: rounded(litres / per_minute * 60.0).max(5) };
        }
    }
}

/// What is sold between two moments on average, did a tank never run dry.
pub(crate) fn expected_litres(plan: &TankPlan, from_s: i64, to_s: i64) -> f64 {
    let per_second = plan.demand.litres_per_day / 86_400.0 / mean_share(plan);
    let mut litres = 0.0;
    let mut at_s = from_s;
    while at_s < to_s {
        let until_s = to_s.min(at_s - at_s.rem_euclid(3600) + 3600);
        litres += per_second * busy(plan, at_s) * real(until_s - at_s);
        at_s = until_s;
    }
    litres
}

/// Customers at this moment over those of a mean hour.
fn busy(plan: &TankPlan, at_s: i64) -> f64 {
    if !plan.open(at_s) {
        return 0.0;
    }
    // 1970-01-01 was a Thursday.
    let weekday = (at_s.div_euclid(86_400) + 3).rem_euclid(7);
    share_of_hour(at_s.rem_euclid(86_400) / 3600) * BY_WEEKDAY[usize::try_from(weekday).unwrap_or_default()]
}

fn mean_share(plan: &TankPlan) -> f64 {
    (0_i64..24).filter(|hour| plan.open(hour * 3600)).map(share_of_hour).sum::<f64>() / 24.0
}

fn share_of_hour(hour: i64) -> f64 {
    BY_HOUR[usize::try_from(hour).unwrap_or_default() % 24]
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Regime, Story, World};
    use super::*;

    #[test]
    fn customers_take_what_the_tank_is_planned_for_and_come_when_people_do() {
        let world = World {
            seed: 3,
            regime: Regime::ALL_EACH_MINUTE,
            story: Story::Ordinary,
            tanks: 6,
            days: 70,
            dirty: false,
        };
        for number in 0..world.tanks {
            let plan = world.plan(number);
            let mut demand = Demand::new(Chance::new(1, number, 9), &plan, world.start_s());
            let (mut litres, mut evening, mut night, mut fridays, mut sundays) = (0.0, 0, 0, 0, 0);
            loop {
                let customer = demand.next(&plan);
                if customer.start_s >= world.end_s() {
                    break;
                }
                assert!(plan.open(customer.start_s), "{customer:?}");
                litres += customer.litres;
                match customer.start_s.rem_euclid(86_400) / 3600 {
                    15..=18 => evening += 1,
                    0..=3 => night += 1,
                    _ => {}
                }
                match (customer.start_s - world.start_s()) / 86_400 % 7 {
                    4 => fridays += 1,
                    6 => sundays += 1,
                    _ => {}
                }
            }
            let per_day = litres / real(world.days);
            let planned = plan.litres_per_day();
            // A few hundred customers leave some chance to the smallest tanks.
            assert!((per_day / planned - 1.0).abs() < 0.15, "tank {number}: {per_day} L a day, planned {planned}");
            let expected = expected_litres(&plan, world.start_s() + 1234, world.end_s()) / real(world.days);
            assert!((expected / planned - 1.0).abs() < 0.01, "tank {number}: {expected} L a day are expected");
            assert!(evening > 8 * night, "{evening} in the evening, {night} at night");
            assert!(fridays > sundays, "{fridays} on Fridays, {sundays} on Sundays");
        }
    }
}
