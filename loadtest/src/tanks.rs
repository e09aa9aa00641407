//! A network of tanks of which everything is known, to measure how much of it others find out.
//!
//! In: a seed, how much a receiver gets to see, and what goes wrong. Out: readings, sales and tickets in order of arrival, as
//! gauges, pumps and trucks send them, and the truth beside. The scorecard compares what an engine finds with that truth.
//! Guarantees: the same world for the same fields; no litre lost; shares no formula with an engine but published constants.
//! Does not: know any engine.

mod chance;
mod contents;
mod demand;
mod fuel;
mod gauge;
mod naive;
mod plan;
pub mod scorecard;
mod sending;
mod truth;
mod vessel;
mod walk;
mod watch;

#[cfg(test)]
mod tests;

use model::{
    CentiPercent, Chart, Column, DatedChart, DeciMillimetres, Density, Millilitres, Sentinel, TankSetup, TimestampUs,
};

pub use fuel::Fuel;
pub use naive::Naive;
pub use plan::{Regime, Story, TANKS_PER_SITE, TankPlan, World};
pub use truth::{
    Arrival, Arrived, Dirt, Drop, PumpSale, Sample, TankRun, Ticket, TrueDelivery, TrueIngress, TrueLeak, TrueSilence,
    TrueSpell, TrueTheft, Truth,
};
pub use watch::{Engine, Finding, Taken, Treated, Watched, watch};

impl World {
    /// The whole life of one tank. Tanks do not depend on each other; those of a site share power cuts.
    #[must_use]
    pub fn run(&self, number: u64) -> TankRun {
        let plan = self.plan(number);
        let mut life = walk::live(self, &plan);
        let mut truth = std::mem::take(&mut life.truth);
        if self.dirty {
            truth.spells = sending::spells(self, &plan);
        }
        let arrivals = sending::send(self, &plan, life, &truth);
        TankRun { setup: self.setup(&plan), plan, arrivals, truth }
    }

    /// What an operator registers: the plate's measures where the receiver has heights to make use of them.
    fn setup(&self, plan: &TankPlan) -> TankSetup {
        let capacity_ml = Millilitres::new(plan.capacity_ml()).unwrap_or_default();
        let mut setup = TankSetup::new(plan.site.clone(), plan.tank.clone(), plan.fuel.product(), capacity_ml);
        setup.at_us = TimestampUs::from_micros((self.start_s() - 60) * 1_000_000);
        setup.safe_fill = CentiPercent(9_500);
        setup.expected_interval_s = u32::try_from(self.regime.interval_s).unwrap_or(u32::MAX);
        // Packets come when they come: silence is to be told when one is missing.
        setup.grace_s = self.regime.packet_every_s.and_then(|every_s| u32::try_from(every_s + 3600).ok());
        setup.lead_time_hours = plan.lead_time_hours;
        setup.truck_ml = Some(Millilitres::from_litres(30_000));
        setup.sales_are_known = self.regime.sales;
        setup.sentinels = vec![Sentinel { column: None, value_e3: sending::UNKNOWN_E3 }];
        if self.regime.all_columns {
            setup.density_15 = Some(Density(plan.fuel.density_15_e1()));
            setup.swappable = vec![Column::Volume, Column::Height, Column::Water, Column::Temperature];
            setup.charts = vec![DatedChart {
                from_us: TimestampUs::default(),
                chart: Chart::HorizontalCylinder {
                    diameter_dmm: DeciMillimetres(plan.diameter_mm * 10),
                    length_dmm: DeciMillimetres(plan.length_mm * 10),
                    tilt_e4: 0,
                    probe_dmm: None,
                },
                offset_dmm: 0,
            }];
        }
        setup
    }
}
