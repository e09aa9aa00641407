//! A tank: what is in it at a moment, and what its gauge says about that.
//!
//! Fuel leaves while a pump runs and arrives while a truck unloads, evenly over the time that takes, so that gauges see
//! levels move. A lying cylinder with flat ends turns volume into height; the fuel stands on the water.

use model::{CentiCelsius, DeciMillimetres, Millilitres, ProductCode, ReadingMessage, TimestampUs};
use rand::Rng;
use rand::rngs::SmallRng;

use super::places::TankPlan;

/// Below this share of its capacity a tank asks for a truck.
const ORDER_PER_CENT: i64 = 25;
/// Below this share the pumps are closed.
const DRY_PER_CENT: i64 = 6;
const GAUGE_NOISE_ML: i64 = 2_500;
const STATUS_DELIVERY: u8 = 1;
/// Water that comes into a tank in a minute, and when it is pumped out.
const INGRESS_DMM: u32 = 1;
const PUMPED_OUT_DMM: u32 = 800;

/// Fuel on its way in or out. `volume_ml` is positive for a truck, negative for a pump.
struct Flow {
    id: u64,
    start_us: i64,
    end_us: i64,
    volume_ml: i64,
}

impl Flow {
    fn done_by(&self, at_us: i64) -> i64 {
        let length = i128::from((self.end_us - self.start_us).max(1));
        let passed = i128::from((at_us - self.start_us).clamp(0, self.end_us - self.start_us));
        i64::try_from(i128::from(self.volume_ml) * passed / length).unwrap_or(self.volume_ml)
    }
}

/// `settled_ml` holds everything that has fully flowed; `flows` holds what still flows.
pub(crate) struct Tank {
    pub(crate) settled_ml: i64,
    flows: Vec<Flow>,
    pub(crate) truck_ordered: bool,
    pub(crate) seq: u64,
    water_dmm: u32,
    /// Where water stands when none came in.
    usual_water_dmm: u32,
    /// Its manhole leaks.
    pub(crate) is_wet: bool,
    temperature_cc: i32,
    /// The gauge is broken until then.
    pub(crate) silent_until_us: i64,
    /// A reading that waits to be overtaken by the next one.
    pub(crate) held_back: Option<String>,
}

impl Tank {
    pub(crate) fn new(rng: &mut SmallRng, settled_ml: i64, seq: u64) -> Self {
        let water_dmm = rng.random_range(20..150);
        Self {
            settled_ml,
            flows: Vec::new(),
            truck_ordered: false,
            seq,
            water_dmm,
            usual_water_dmm: water_dmm,
            is_wet: false,
            temperature_cc: rng.random_range(800..1_600),
            silent_until_us: 0,
            held_back: None,
        }
    }

    pub(crate) fn volume_ml(&self, at_us: i64) -> i64 {
        (self.settled_ml + self.flows.iter().map(|flow| flow.done_by(at_us)).sum::<i64>()).max(0)
    }

    /// What a next run begins with. A vehicle at a pump was not there then: nobody would tell what it took.
    pub(crate) fn remembered_ml(&self, at_us: i64) -> i64 {
        let brought = self.flows.iter().filter(|flow| flow.volume_ml > 0).map(|flow| flow.done_by(at_us));
        self.settled_ml + brought.sum::<i64>()
    }

    /// What is not yet promised to a running pump.
    pub(crate) fn can_sell_ml(&self, plan: &TankPlan) -> i64 {
        let promised: i64 = self.flows.iter().map(|flow| flow.volume_ml.min(0)).sum();
        self.settled_ml + promised - plan.capacity_ml * DRY_PER_CENT / 100
    }

    pub(crate) fn needs_truck(&self, plan: &TankPlan) -> bool {
        !self.truck_ordered && self.settled_ml < plan.capacity_ml * ORDER_PER_CENT / 100
    }

    /// What a truck of `truck_ml` can leave here.
    pub(crate) fn room_ml(&self, plan: &TankPlan, truck_ml: i64) -> i64 {
        (plan.capacity_ml * plan.full_per_cent() / 100 - self.settled_ml).clamp(0, truck_ml)
    }

    pub(crate) fn start_flow(&mut self, id: u64, start_us: i64, end_us: i64, volume_ml: i64) {
        self.flows.push(Flow { id, start_us, end_us, volume_ml });
    }

    /// What came or went with it; `None` when there is no such flow.
    pub(crate) fn end_flow(&mut self, id: u64) -> Option<i64> {
        let place = self.flows.iter().position(|flow| flow.id == id)?;
        let flow = self.flows.swap_remove(place);
        self.settled_ml = (self.settled_ml + flow.volume_ml).max(0);
        Some(flow.volume_ml)
    }

    /// Fuel that is in a vehicle already.
    pub(crate) fn is_sold(&mut self, volume_ml: i64) {
        self.settled_ml = (self.settled_ml - volume_ml).max(0);
    }

    /// What the gauge sends. Heights follow from the measured volume.
    pub(crate) fn reading(
        &mut self,
        rng: &mut SmallRng,
        plan: &TankPlan,
        product: &ProductCode,
        at_us: i64,
    ) -> ReadingMessage {
        self.seq += 1;
        if rng.random_ratio(1, 40) {
            self.temperature_cc = (self.temperature_cc + rng.random_range(-5..=5)).clamp(400, 2_400);
        }
        if self.is_wet {
            self.water_dmm += INGRESS_DMM;
            if self.water_dmm > PUMPED_OUT_DMM {
                self.water_dmm = self.usual_water_dmm;
            }
        }
        let water_dmm = self.water_dmm + rng.random_range(0..=4);
        let noise: i64 = (0..3).map(|_| rng.random_range(-GAUGE_NOISE_ML..=GAUGE_NOISE_ML)).sum::<i64>() / 2;
        let measured = (self.volume_ml(at_us) + noise).clamp(0, plan.capacity_ml) / 10 * 10;
        let unloading = self.flows.iter().any(|flow| flow.volume_ml > 0 && flow.start_us <= at_us);
        let volume = |ml: i64| u64::try_from(ml).ok().and_then(|ml| Millilitres::new(ml).ok()).unwrap_or_default();
        ReadingMessage {
            seq: Some(self.seq),
            measured_at_us: Some(TimestampUs::from_micros(at_us)),
            volume_ml: Some(volume(measured)),
            capacity_ml: Some(volume(plan.capacity_ml)),
            height_dmm: Some(DeciMillimetres(surface_dmm(plan, measured, water_dmm))),
            water_dmm: Some(DeciMillimetres(water_dmm)),
            temperature_cc: Some(CentiCelsius(self.temperature_cc)),
            status: if unloading { STATUS_DELIVERY } else { 0 },
            ..ReadingMessage::new(product.clone())
        }
    }
}

/// Height of the surface of so much fuel on so much water, found by halving.
fn surface_dmm(plan: &TankPlan, volume_ml: i64, water_dmm: u32) -> u32 {
    let diameter_dmm = f64::from(plan.diameter_mm) * 10.0;
    #[expect(clippy::cast_precision_loss, reason = "a share of the tank, good to a tenth of a millimetre")]
    let share = volume_ml as f64 / plan.capacity_ml as f64 + filled(f64::from(water_dmm) / diameter_dmm);
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..24 {
        let middle = f64::midpoint(low, high);
        if filled(middle) < share { low = middle } else { high = middle }
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between zero and the diameter")]
    let height = (low * diameter_dmm).round() as u32;
    height
}

/// The share of a lying cylinder under a share of its diameter: `A(h) = R²·acos((R−h)/R) − (R−h)·√(2Rh−h²)`.
fn filled(height: f64) -> f64 {
    let offset = 1.0 - 2.0 * height;
    (offset.clamp(-1.0, 1.0).acos() - offset * (1.0 - offset * offset).max(0.0).sqrt()) / std::f64::consts::PI
}

#[cfg(test)]
mod tests {
    use model::TankId;
    use rand::SeedableRng;

    use super::super::places::Fuel;
    use super::*;

    fn plan() -> TankPlan {
        TankPlan {
            id: TankId::new("1").expect("an id"),
            fuel: Fuel::Diesel,
            capacity_ml: 49_087_400,
            diameter_mm: 2_500,
            pumps: Vec::new(),
        }
    }

    fn tank(settled_ml: i64) -> Tank {
        Tank::new(&mut SmallRng::seed_from_u64(1), settled_ml, 0)
    }

    #[test]
    fn heights_agree_with_the_strapping_table_of_a_lying_cylinder() {
        assert_eq!(plan().length_dmm(), 100_000, "ten metres");
        for (millilitres, dmm) in [(658_600, 1_000), (6_989_000, 5_000), (24_543_700, 12_500), (42_098_400, 20_000)] {
            assert!(surface_dmm(&plan(), millilitres, 0).abs_diff(dmm) <= 1, "{millilitres} ml");
        }
        // 658.6 L of water lift the fuel as if it were more fuel.
        assert!(surface_dmm(&plan(), 6_989_000 - 658_600, 1_000).abs_diff(5_000) <= 1);
    }

    #[test]
    fn water_comes_into_a_tank_that_leaks_until_it_is_pumped_out() {
        let (mut rng, product) = (SmallRng::seed_from_u64(2), ProductCode::new("053").expect("a code"));
        let mut water = |is_wet| -> Vec<u32> {
            let mut tank = tank(20_000_000);
            tank.is_wet = is_wet;
            let mut measure = |minute: i64| tank.reading(&mut rng, &plan(), &product, minute * 60_000_000);
            (1..1_000).map(|minute| measure(minute).water_dmm.expect("a height").0).collect()
        };
        let (dry, wet) = (water(false), water(true));
        assert!(dry.iter().all(|dmm| dmm.abs_diff(dry[0]) <= 4));
        assert!(wet[120] > wet[0] + 100, "{} after two hours", wet[120]);
        assert!(wet.iter().any(|dmm| *dmm > 700) && *wet.last().expect("measured") < 500, "pumped out");
    }

    #[test]
    fn a_sale_leaves_the_tank_while_the_pump_runs() {
        let mut tank = tank(10_000_000);
        tank.start_flow(1, 0, 100, -60_000);
        assert_eq!(tank.volume_ml(50), 9_970_000);
        assert_eq!(tank.volume_ml(100), 9_940_000);
        assert_eq!(tank.remembered_ml(50), 10_000_000, "a run that ends now forgets the vehicle");
        tank.end_flow(1);
        assert_eq!((tank.volume_ml(200), tank.settled_ml), (9_940_000, 9_940_000));
        tank.end_flow(1);
        assert_eq!(tank.settled_ml, 9_940_000);
    }

    #[test]
    fn a_truck_never_overfills_a_tank() {
        let tank = tank(44_000_000);
        assert!(tank.room_ml(&plan(), 30_000_000) < 1_200_000);
        assert!(!tank.needs_truck(&plan()));
    }

    #[test]
    fn a_gauge_is_off_by_a_few_litres_at_most() {
        let (mut rng, product) = (SmallRng::seed_from_u64(2), ProductCode::new("053").expect("a code"));
        let mut tank = tank(20_000_000);
        for minute in 1..500 {
            let reading = tank.reading(&mut rng, &plan(), &product, minute * 60_000_000);
            assert!(reading.volume_ml.expect("a volume").get().abs_diff(20_000_000) <= 4_000);
            assert_eq!(reading.seq, Some(minute.cast_unsigned()));
        }
    }
}
