//! A tank: what is in it at a moment, and what its gauge says about that.
//!
//! Fuel leaves while a pump runs and arrives while a truck unloads, evenly over the time that takes, so that gauges see
//! levels move. A horizontal cylinder with flat ends turns volume into height.

use model::{DeciCelsius, Millilitres, Millimetres, ProductCode, ReadingMessage, TimestampUs};
use rand::Rng;
use rand::rngs::SmallRng;

use super::places::TankPlan;

/// Below this share of its capacity a tank asks for a truck.
const ORDER_PER_CENT: i64 = 25;
/// Below this share the pumps are closed.
const DRY_PER_CENT: i64 = 6;
/// Trucks never fill above this share.
const FULL_PER_CENT: i64 = 92;
const GAUGE_NOISE_ML: i64 = 2_500;
const STATUS_DELIVERY: u8 = 1;

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
    water_mm: u32,
    temperature_dc: i32,
    /// The gauge is broken until then.
    pub(crate) silent_until_us: i64,
    /// A reading that waits to be overtaken by the next one.
    pub(crate) held_back: Option<String>,
}

impl Tank {
    pub(crate) fn new(rng: &mut SmallRng, settled_ml: i64, seq: u64) -> Self {
        Self {
            settled_ml,
            flows: Vec::new(),
            truck_ordered: false,
            seq,
            water_mm: rng.random_range(0..15),
            temperature_dc: rng.random_range(80..160),
            silent_until_us: 0,
            held_back: None,
        }
    }

    pub(crate) fn volume_ml(&self, at_us: i64) -> i64 {
        (self.settled_ml + self.flows.iter().map(|flow| flow.done_by(at_us)).sum::<i64>()).max(0)
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
        (plan.capacity_ml * FULL_PER_CENT / 100 - self.settled_ml).clamp(0, truck_ml)
    }

    pub(crate) fn start_flow(&mut self, id: u64, start_us: i64, end_us: i64, volume_ml: i64) {
        self.flows.push(Flow { id, start_us, end_us, volume_ml });
    }

    pub(crate) fn end_flow(&mut self, id: u64) {
        if let Some(place) = self.flows.iter().position(|flow| flow.id == id) {
            let flow = self.flows.swap_remove(place);
            self.settled_ml = (self.settled_ml + flow.volume_ml).max(0);
        }
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
            self.temperature_dc = (self.temperature_dc + rng.random_range(-1..=1)).clamp(40, 240);
            self.water_mm = (self.water_mm + rng.random_range(0..=2)).saturating_sub(1).min(40);
        }
        let noise: i64 = (0..3).map(|_| rng.random_range(-GAUGE_NOISE_ML..=GAUGE_NOISE_ML)).sum::<i64>() / 2;
        let measured = (self.volume_ml(at_us) + noise).clamp(0, plan.capacity_ml) / 10 * 10;
        let unloading = self.flows.iter().any(|flow| flow.volume_ml > 0 && flow.start_us <= at_us);
        let volume = |ml: i64| u64::try_from(ml).ok().and_then(|ml| Millilitres::new(ml).ok()).unwrap_or_default();
        ReadingMessage {
            seq: Some(self.seq),
            measured_at_us: Some(TimestampUs::from_micros(at_us)),
            volume_ml: Some(volume(measured)),
            capacity_ml: Some(volume(plan.capacity_ml)),
            height_mm: Some(Millimetres(height_mm(plan, measured))),
            water_mm: Some(Millimetres(self.water_mm)),
            temperature_dc: Some(DeciCelsius(self.temperature_dc)),
            status: if unloading { STATUS_DELIVERY } else { 0 },
            ..ReadingMessage::new(product.clone())
        }
    }
}

/// Height of the surface in a lying cylinder, found by halving: `A(h) = R²·acos((R−h)/R) − (R−h)·√(2Rh−h²)`.
fn height_mm(plan: &TankPlan, volume_ml: i64) -> u32 {
    #[expect(clippy::cast_precision_loss, reason = "a share of the tank, good to a millimetre")]
    let share = volume_ml as f64 / plan.capacity_ml as f64;
    let filled = |height: f64| {
        let offset = 1.0 - 2.0 * height;
        (offset.clamp(-1.0, 1.0).acos() - offset * (1.0 - offset * offset).max(0.0).sqrt()) / std::f64::consts::PI
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..14 {
        let middle = f64::midpoint(low, high);
        if filled(middle) < share { low = middle } else { high = middle }
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between zero and the diameter")]
    let height = (low * f64::from(plan.diameter_mm)).round() as u32;
    height
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
        }
    }

    fn tank(settled_ml: i64) -> Tank {
        Tank::new(&mut SmallRng::seed_from_u64(1), settled_ml, 0)
    }

    #[test]
    fn heights_agree_with_the_strapping_table_of_a_lying_cylinder() {
        for (litres, mm) in [(658_600, 100), (6_989_000, 500), (24_543_700, 1_250), (42_098_400, 2_000)] {
            assert!(height_mm(&plan(), litres).abs_diff(mm) <= 1, "{litres} ml");
        }
    }

    #[test]
    fn a_sale_leaves_the_tank_while_the_pump_runs() {
        let mut tank = tank(10_000_000);
        tank.start_flow(1, 0, 100, -60_000);
        assert_eq!(tank.volume_ml(50), 9_970_000);
        assert_eq!(tank.volume_ml(100), 9_940_000);
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
