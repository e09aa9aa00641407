//! What stations tell of their tanks besides levels: how each is registered, what was sold for cash, what trucks' papers say.
//!
//! Most stations tell every litre that they sell; a few keep their till to themselves, so that only their gauges show
//! what goes. One tank of the network was forgotten when they were registered.

use anyhow::Context;
use model::{
    CentiPercent, Chart, DatedChart, DeciMillimetres, Density, FORMAT_VERSION, IdempotencyKey, Millilitres,
    SaleMessage, SetupMessage, TankSetup, TankThresholds, TicketMessage, TimestampUs, VolumeGroup,
};
use rand::Rng;

use super::gauges::MQTT_PREFIX;
use super::places::{Fuel, Station, TankPlan};
use super::world::{Action, Due, MINUTE_US, World, exponential_us};

/// Between two customers of one station who pay cash, at an average hour.
const CASH_MEAN_US: i64 = 4 * MINUTE_US;
const CASH_ML: std::ops::Range<i64> = 10_000..55_000;
/// Every so many-th station does not tell what it sells for cash.
const SILENT_TILL: usize = 8;
/// Station and tank that nobody registered, and those into which water comes. Both hold the only AI-92 or AI-95 of their site.
const FORGOTTEN: (usize, usize) = (1, 0);
pub(crate) const WET: (usize, usize) = (0, 1);
/// Silence is told after so many real seconds, however fast the network lives, and not before so many of its own.
const GRACE_REAL_S: i64 = 30;
const GRACE_MIN_S: i64 = 300;
/// One truck in so many brings less than its paper says.
const SHORT_TRUCK: u32 = 6;

/// A customer who pays cash, with the nozzle in the tank.
#[derive(Debug)]
pub(crate) struct CashSale {
    station: usize,
    tank: usize,
    pump: u16,
    flow: u64,
    volume_ml: i64,
}

impl Station {
    fn tells_its_sales(index: usize) -> bool {
        index % SILENT_TILL != SILENT_TILL - 1
    }
}

impl World {
    /// Every tank but the forgotten one. Said again at each start: the same registration says nothing new.
    pub(crate) fn register_tanks(&mut self) -> anyhow::Result<()> {
        for (index, station) in self.stations.iter().enumerate() {
            for (tank, plan) in station.tanks.iter().enumerate() {
                if (index, tank) == FORGOTTEN {
                    continue;
                }
                let setup = self.registration(index, station, plan)?;
                let topic = format!("{MQTT_PREFIX}/{}/{}/setup", station.site, plan.id);
                let payload = serde_json::to_string(&SetupMessage::from(setup))?;
                self.actions.push(Action::Register { station: index, topic, payload });
            }
        }
        Ok(())
    }

    fn registration(&self, index: usize, station: &Station, plan: &TankPlan) -> anyhow::Result<TankSetup> {
        let (product, _) = self.codes.of(plan.fuel).context("every fuel has a code")?;
        let volume = |ml: i64| u64::try_from(ml).ok().and_then(|ml| Millilitres::new(ml).ok()).unwrap_or_default();
        let share = |per_cent: i64| Some(volume(plan.capacity_ml / 100 * per_cent));
        let chart = Chart::HorizontalCylinder {
            diameter_dmm: DeciMillimetres(plan.diameter_mm * 10),
            length_dmm: DeciMillimetres(plan.length_dmm()),
            tilt_e4: 0,
            probe_dmm: None,
        };
        let is_gas = plan.fuel == Fuel::Lpg;
        let density = match plan.fuel {
            Fuel::Ai92 => 7_400,
            Fuel::Ai95 => 7_500,
            Fuel::Ai98 => 7_550,
            Fuel::Diesel => 8_400,
            Fuel::Lpg => 5_400,
        };
        let grace_s = (GRACE_REAL_S * self.real_second_us / 1_000_000).max(GRACE_MIN_S);
        let usual = TankSetup::new(station.site.clone(), plan.id.clone(), product.clone(), volume(plan.capacity_ml));
        Ok(TankSetup {
            at_us: TimestampUs::from_micros(self.store.memory.began_us),
            group: if is_gas { VolumeGroup::Lpg } else { VolumeGroup::Products },
            density_15: Some(Density(density)),
            safe_fill: if is_gas { CentiPercent(8_500) } else { usual.safe_fill },
            charts: vec![DatedChart { from_us: TimestampUs::default(), chart, offset_dmm: 0 }],
            grace_s: u32::try_from(grace_s).ok(),
            thresholds: TankThresholds { low_low_ml: share(10), low_ml: share(18), ..TankThresholds::default() },
            lead_time_hours: 4,
            truck_ml: Some(Millilitres::from_litres(15_000)),
            sales_are_known: Station::tells_its_sales(index),
            pumps: plan.pumps.clone(),
            pump_flow_ml_per_min: 400_000,
            utc_offset_min: station.utc_offset_min(self.store.memory.began_us),
            ..usual
        })
    }

    /// Somebody without a card of ours comes to a pump.
    pub(crate) fn cash_customer(&mut self, station: usize) {
        let pause = exponential_us(&mut self.rng, CASH_MEAN_US);
        self.after(pause, Due::CashCustomer { station });
        let tank = self.rng.random_range(0..self.stations[station].tanks.len());
        let volume_ml = self.rng.random_range(CASH_ML) / 10 * 10;
        let plan = &self.stations[station].tanks[tank];
        if self.tanks[station][tank].can_sell_ml(plan) <= volume_ml {
            return;
        }
        let fuel = plan.fuel;
        let pump = self.pump_of(station, tank);
        let takes = self.takes_us(fuel, volume_ml);
        let flow = self.next_flow();
        self.tanks[station][tank].start_flow(flow, self.now_us, self.now_us + takes, -volume_ml);
        self.after(takes, Due::CashPaid(Box::new(CashSale { station, tank, pump, flow, volume_ml })));
    }

    pub(crate) fn cash_is_paid(&mut self, sale: &CashSale) -> anyhow::Result<()> {
        let CashSale { station, tank, pump, flow, volume_ml } = *sale;
        self.tanks[station][tank].end_flow(flow);
        if !Station::tells_its_sales(station) {
            return Ok(());
        }
        let place = &self.stations[station];
        let Some((product, _)) = self.codes.of(place.tanks[tank].fuel) else { return Ok(()) };
        let (site, product) = (place.site.clone(), product.clone());
        let message = SaleMessage {
            v: FORMAT_VERSION,
            id: self.paper("CASH")?,
            at_us: Some(TimestampUs::from_micros(self.now_us)),
            product,
            tank: None,
            pump: Some(pump),
            volume_ml: Millilitres::new(volume_ml.unsigned_abs())?,
        };
        self.publish(station, format!("{MQTT_PREFIX}/{site}/sale"), serde_json::to_string(&message)?);
        Ok(())
    }

    /// The driver hands his paper over; some say more than was in the truck.
    pub(crate) fn truck_leaves(&mut self, station: usize, tank: usize, flow: u64) -> anyhow::Result<()> {
        self.tanks[station][tank].truck_ordered = false;
        let Some(brought_ml) = self.tanks[station][tank].end_flow(flow) else { return Ok(()) };
        if brought_ml <= 0 || self.rng.random_ratio(1, 10) {
            return Ok(());
        }
        let short_ml = if self.rng.random_ratio(1, SHORT_TRUCK) { brought_ml / 60 } else { 0 };
        let place = &self.stations[station];
        let topic = format!("{MQTT_PREFIX}/{}/{}/ticket", place.site, place.tanks[tank].id);
        let message = TicketMessage {
            v: FORMAT_VERSION,
            id: self.paper("TTN")?,
            at_us: Some(TimestampUs::from_micros(self.now_us)),
            volume_ml: Millilitres::new((brought_ml + short_ml).unsigned_abs())?,
        };
        self.publish(station, topic, serde_json::to_string(&message)?);
        Ok(())
    }

    /// A pump that draws from this tank.
    pub(crate) fn pump_of(&mut self, station: usize, tank: usize) -> u16 {
        let place = &self.stations[station];
        match place.tanks[tank].pumps.as_slice() {
            [] => self.rng.random_range(1..=place.pumps),
            pumps => pumps[self.rng.random_range(0..pumps.len())],
        }
    }

    /// A number that no receipt of the network had before.
    fn paper(&mut self, kind: &str) -> anyhow::Result<IdempotencyKey> {
        let number = self.store.key()?;
        Ok(IdempotencyKey::new(&format!("{kind}-{}-{number:06}", self.store.memory.instance))?)
    }
}
