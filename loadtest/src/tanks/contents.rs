//! What truly is in a tank and how warm it is: the sums of everything that flows, in litres at 15 °C, which neither swell
//! nor shrink.
//!
//! In: flows with a beginning and an end, a leak, the warmth around the tank. Out: contents at any later second. Guarantees
//! that no litre is lost: contents = at first + delivered − drawn. Does not know gauges or why something flows.

use super::chance::real;
use super::fuel::Fuel;

/// Sensors and soil change slowly: within this time a step is exact enough.
const STEP_SECONDS: i64 = 60;

/// Fuel on its way from a truck, evenly over its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inflow {
    pub(crate) start_s: i64,
    pub(crate) end_s: i64,
    pub(crate) litres_15: f64,
    pub(crate) celsius: f64,
}

/// Fuel on its way out, evenly over its time, in litres as they are in the tank at that moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outflow {
    pub(crate) start_s: i64,
    pub(crate) end_s: i64,
    pub(crate) litres: f64,
}

/// The warmth around a tank, and how long its contents take to follow (63 %).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    pub(crate) mean_celsius: f64,
    pub(crate) daily_swing_celsius: f64,
    pub(crate) yearly_swing_celsius: f64,
    pub(crate) follows_in_s: f64,
}

impl Surroundings {
    /// Warmest at 15:00 and at the end of July.
    pub(crate) fn celsius(&self, at_s: i64) -> f64 {
        let turn = |period_s: f64, warmest_s: f64| ((real(at_s) - warmest_s) / period_s * std::f64::consts::TAU).cos();
        self.mean_celsius
            + self.daily_swing_celsius * turn(86_400.0, 15.0 * 3600.0)
            + self.yearly_swing_celsius * turn(365.25 * 86_400.0, 210.0 * 86_400.0)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Contents {
    pub(crate) fuel: Fuel,
    pub(crate) surroundings: Surroundings,
    pub(crate) at_s: i64,
    pub(crate) litres_15: f64,
    pub(crate) celsius: f64,
    pub(crate) leak_litres_per_hour: f64,
    pub(crate) delivered_15: f64,
    pub(crate) drawn_15: f64,
    inflows: Vec<Inflow>,
    outflows: Vec<Outflow>,
}

impl Contents {
    pub(crate) fn new(fuel: Fuel, surroundings: Surroundings, at_s: i64, litres: f64) -> Self {
        let celsius = surroundings.celsius(at_s);
        Self {
            fuel,
            surroundings,
            at_s,
            litres_15: litres * fuel.litres_15_per_litre(celsius),
            celsius,
            leak_litres_per_hour: 0.0,
            delivered_15: 0.0,
            drawn_15: 0.0,
            inflows: Vec::new(),
            outflows: Vec::new(),
        }
    }

    /// Litres as warm as they are.
    pub(crate) fn litres(&self) -> f64 {
        self.litres_15 / self.fuel.litres_15_per_litre(self.celsius)
    }

    /// Litres that running pumps have yet to take.
    pub(crate) fn promised(&self) -> f64 {
        self.outflows.iter().map(|flow| flow.litres * share(flow.start_s, flow.end_s, self.at_s, flow.end_s)).sum()
    }

    pub(crate) fn pumps_running(&self) -> usize {
        self.outflows.iter().filter(|flow| flow.end_s > self.at_s).count()
    }

    pub(crate) fn filling(&self) -> bool {
        self.inflows.iter().any(|flow| flow.start_s <= self.at_s && flow.end_s > self.at_s)
    }

    /// Flows begin now or later: what has passed does not change any more.
    pub(crate) fn pour(&mut self, flow: Inflow) {
        assert!(flow.start_s >= self.at_s && flow.end_s > flow.start_s, "{flow:?} at {}", self.at_s);
        self.inflows.push(flow);
    }

    pub(crate) fn draw(&mut self, flow: Outflow) {
        assert!(flow.start_s >= self.at_s && flow.end_s > flow.start_s, "{flow:?} at {}", self.at_s);
        self.outflows.push(flow);
    }

    pub(crate) fn advance(&mut self, to_s: i64) {
        while self.at_s < to_s {
            let until_s = to_s.min(self.at_s + STEP_SECONDS);
            self.step(until_s);
        }
        self.inflows.retain(|flow| flow.end_s > self.at_s);
        self.outflows.retain(|flow| flow.end_s > self.at_s);
    }

    fn step(&mut self, until_s: i64) {
        let from_s = self.at_s;
        let per_litre = self.fuel.litres_15_per_litre(self.celsius);
        let hours = real(until_s - from_s) / 3600.0;
        let taken: f64 =
            self.outflows.iter().map(|flow| flow.litres * share(flow.start_s, flow.end_s, from_s, until_s)).sum();
        let out_15 = ((taken + self.leak_litres_per_hour * hours) * per_litre).min(self.litres_15);
        self.litres_15 -= out_15;
        self.drawn_15 += out_15;
        for flow in &self.inflows {
            let in_15 = flow.litres_15 * share(flow.start_s, flow.end_s, from_s, until_s);
            if in_15 > 0.0 {
                self.celsius =
                    (self.celsius * self.litres_15 + flow.celsius * in_15) / (self.litres_15 + in_15).max(1e-9);
                self.litres_15 += in_15;
                self.delivered_15 += in_15;
            }
        }
        let around = self.surroundings.celsius(from_s);
        let follows = 1.0 - (-real(until_s - from_s) / self.surroundings.follows_in_s).exp();
        self.celsius += (around - self.celsius) * follows;
        self.at_s = until_s;
    }
}

/// Which part of a flow falls between two moments.
fn share(start_s: i64, end_s: i64, from_s: i64, until_s: i64) -> f64 {
    let overlap = until_s.min(end_s) - from_s.max(start_s);
    real(overlap.max(0)) / real((end_s - start_s).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(litres: f64) -> Contents {
        let soil = Surroundings {
            mean_celsius: 10.0,
            daily_swing_celsius: 0.0,
            yearly_swing_celsius: 0.0,
            follows_in_s: 4.0 * 86_400.0,
        };
        Contents::new(Fuel::Diesel, soil, 0, litres)
    }

    #[test]
    fn no_litre_is_lost_whatever_flows() {
        let mut tank = contents(10_000.0);
        tank.leak_litres_per_hour = 2.0;
        let at_first = tank.litres_15;
        for minute in 0..2000_i64 {
            if minute % 7 == 0 {
                tank.draw(Outflow { start_s: minute * 60, end_s: minute * 60 + 95, litres: 40.0 });
            }
            if minute % 900 == 100 {
                tank.pour(Inflow { start_s: minute * 60, end_s: minute * 60 + 600, litres_15: 8000.0, celsius: 25.0 });
            }
            tank.advance(minute * 60 + 60);
        }
        assert!((tank.delivered_15 - 24_000.0).abs() < 1e-6, "three trucks: {}", tank.delivered_15);
        assert!((at_first + tank.delivered_15 - tank.drawn_15 - tank.litres_15).abs() < 1e-6);
        assert!(tank.drawn_15 > 286.0 * 40.0 * 0.99);
    }

    #[test]
    fn the_size_of_a_step_changes_no_litre() {
        let mut walks = [600_i64, 17].map(|stride| {
            let mut tank = contents(20_000.0);
            tank.pour(Inflow { start_s: 100, end_s: 1000, litres_15: 9000.0, celsius: 22.0 });
            tank.draw(Outflow { start_s: 300, end_s: 400, litres: 50.0 });
            while tank.at_s < 6000 {
                let next = (tank.at_s + stride).min(6000);
                tank.advance(next);
            }
            (tank.litres_15, tank.celsius)
        });
        walks.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(walks[1].0 - walks[0].0 < 0.02, "{walks:?}");
        assert!((walks[1].1 - walks[0].1).abs() < 0.01, "{walks:?}");
    }

    #[test]
    fn warm_fuel_from_a_truck_shrinks_while_it_cools() {
        let mut tank = contents(10_000.0);
        tank.pour(Inflow { start_s: 0, end_s: 600, litres_15: 10_000.0, celsius: 30.0 });
        tank.advance(600);
        assert!((tank.celsius - 20.0).abs() < 0.3, "{} °C after mixing", tank.celsius);
        let warm = tank.litres();
        tank.advance(30 * 86_400);
        let shrunk = warm - tank.litres();
        // 20,000 L · 0.000844 /K · 10 K
        assert!((shrunk - 168.0).abs() < 5.0, "{shrunk} L");
    }

    #[test]
    fn a_tank_cannot_give_more_than_it_holds() {
        let mut tank = contents(30.0);
        tank.draw(Outflow { start_s: 0, end_s: 60, litres: 100.0 });
        tank.advance(120);
        assert!(tank.litres_15.abs() < 1e-9);
    }
}
