//! Random histories of a few contracts: the same seed makes the same one.

#[path = "history/limits.rs"]
mod limits;
#[path = "history/orders.rs"]
mod orders;
#[path = "history/transactions.rs"]
mod transactions;

use jiff::Timestamp;
use model::{
    CardToken, Command, CommandMessage, ContractId, Currency, IdempotencyKey, LimitId, MinorUnits, Request,
    RequestBody, Tick, TimestampUs, Transaction,
};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// A request and its offset, which stays its own when others before it are left out.
pub(crate) type Step = (i64, Request);

/// Zones and moments at which days are odd: clocks that change, leap days, turns of the year.
const PLACES: [(&str, &str, &str, i16); 6] = [
    ("Asia/Almaty", "KZT", "2026-01-10T00:00:00Z", 300),
    ("Europe/Berlin", "EUR", "2026-03-27T00:00:00Z", 60),
    ("Europe/Berlin", "EUR", "2026-10-23T00:00:00Z", 120),
    ("Asia/Kathmandu", "NPR", "2028-02-26T00:00:00Z", 345),
    ("UTC", "KWD", "2025-12-28T00:00:00Z", 0),
    ("America/New_York", "JPY", "2026-10-30T00:00:00Z", -240),
];

/// How time goes in a history.
#[derive(Clone, Copy)]
struct Pace {
    step_us_max: i64,
    /// How far back offline and forced sales come.
    late_us_max: i64,
    /// Longer than a card remembers single purchases: limits that look back further have no schedule.
    long: bool,
}

const PACES: [Pace; 4] = [
    Pace { step_us_max: 20 * MINUTE_US, late_us_max: 30 * DAY_US, long: false },
    Pace { step_us_max: 3 * HOUR_US, late_us_max: 10 * DAY_US, long: false },
    Pace { step_us_max: 12 * HOUR_US, late_us_max: 2 * DAY_US, long: false },
    Pace { step_us_max: 6 * DAY_US, late_us_max: 2 * DAY_US, long: true },
];

struct Asked {
    offset: i64,
    contract: usize,
    transaction: Transaction,
    received_us: i64,
}

struct Tenant {
    id: ContractId,
    currency: Currency,
    utc_offset_min: i16,
    diesel_e4: i64,
    cards: Vec<CardToken>,
}

pub(crate) struct Generator {
    rng: SmallRng,
    pace: Pace,
    now: i64,
    offset: i64,
    tenants: Vec<Tenant>,
    asked: Vec<Asked>,
    /// In long histories, where these are never set twice.
    one_offs: Vec<LimitId>,
    steps: Vec<Step>,
}

fn diesel_e4(currency: &str) -> i64 {
    match currency {
        "KZT" => 2_500_000,
        "NPR" => 1_650_000,
        "JPY" => 1_700_000,
        "KWD" => 1_050,
        _ => 16_591,
    }
}

/// The history of a seed: at most `steps_max` requests after the contracts are open.
pub(crate) fn history(seed: u64, steps_max: usize) -> Vec<Step> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let pace = *PACES.choose(&mut rng).unwrap();
    let (_, _, start, _) = *PLACES.choose(&mut rng).unwrap();
    let start = start.parse::<Timestamp>().unwrap().as_microsecond() + rng.random_range(0..2 * DAY_US);
    let contracts = rng.random_range(1..=2);
    let mut generator = Generator {
        rng,
        pace,
        now: start,
        offset: 0,
        tenants: Vec::new(),
        asked: Vec::new(),
        one_offs: Vec::new(),
        steps: Vec::new(),
    };
    for index in 0..contracts {
        generator.open(index);
    }
    let steps = generator.rng.random_range(steps_max / 8..=steps_max);
    for _ in 0..steps {
        generator.step();
    }
    generator.steps
}

impl Generator {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from.choose(&mut self.rng).unwrap().clone()
    }

    fn push(&mut self, contract: Option<ContractId>, body: RequestBody) -> i64 {
        let offset = self.offset;
        let received_at_us = TimestampUs::from_micros(self.now);
        self.steps.push((offset, Request { v: 1, origin: None, received_at_us, contract, body }));
        self.offset += 1;
        offset
    }

    fn order(&mut self, tenant: usize, command: Command) {
        let idem = IdempotencyKey::new(&format!("K-{}", self.offset)).unwrap();
        let at_us = TimestampUs::from_micros(self.now);
        let contract = if self.chance(1) && self.steps.len() > 30 {
            ContractId::new("C-9").unwrap()
        } else {
            self.tenants[tenant].id.clone()
        };
        let message = CommandMessage { v: 1, idem, author: "clerk".into(), at_us, contract: contract.clone(), command };
        self.push(Some(contract), RequestBody::Command(Box::new(message)));
    }

    fn step(&mut self) {
        let longest = if self.chance(70) { 8 * MINUTE_US } else { self.pace.step_us_max };
        self.now += self.rng.random_range(0..=longest);
        let tenant = self.rng.random_range(0..self.tenants.len());
        match self.rng.random_range(0..100) {
            0..20 => self.any_order(tenant),
            20..22 => self.tick(tenant),
            22..60 => self.asking(tenant),
            60..85 => self.following(tenant),
            85..97 => self.unasked(tenant),
            _ => self.inquiry(tenant),
        }
    }

    fn tick(&mut self, tenant: usize) {
        let idem = IdempotencyKey::new(&format!("K-{}", self.offset)).unwrap();
        let at_us = TimestampUs::from_micros(self.now);
        let contract = self.tenants[tenant].id.clone();
        self.push(Some(contract), RequestBody::Tick(Tick { idem, at_us }));
    }

    /// What so many litres of diesel cost.
    fn litres_of_money(&mut self, tenant: usize, litres: std::ops::Range<i64>) -> MinorUnits {
        let Tenant { currency, diesel_e4, .. } = self.tenants[tenant];
        let litres = self.rng.random_range(litres);
        let minor = litres * diesel_e4 * 10_i64.pow(currency.minor_digits()) / 10_000;
        MinorUnits::new(minor + self.rng.random_range(0..100)).unwrap()
    }
}
