//! Random histories of a few contracts: the same seed makes the same one.

use jiff::Timestamp;
use jiff::civil::Time;
use model::{
    Actor, AuthCode, CalendarUnit, CardData, CardKind, CardToken, Closure, Command, CommandMessage, ContractId,
    CountryCode, Currency, Device, Discount, DiscountOff, Driver, DriverId, Entry, FraudRule, Group, GroupId, Holiday,
    HolidayRule, IdempotencyKey, Item, Limit, LimitId, LimitMode, LocalTime, Measure, Millilitres, MinorUnits,
    MonthlyFee, Offline, Original, Pin, Policy, PriceE4, ProductCode, ProductSelector, Prompt, Prompts, RegionId,
    Request, RequestBody, Restriction, RestrictionId, RestrictionList, RestrictionRule, RuleMode, Schedule, Scope,
    SecondId, SiteId, TerminalId, Tick, TimestampUs, Transaction, TransactionKind, Unit, Vehicle, VehicleId, WeekStart,
    Window,
};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::orders::ORDERING;

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

struct Product {
    code: &'static str,
    group: Option<&'static str>,
    litres: bool,
    /// How many times the price of diesel, in percent.
    price_percent: i64,
}

const PRODUCTS: [Product; 5] = [
    Product { code: "DIESEL", group: Some("FUEL"), litres: true, price_percent: 100 },
    Product { code: "AI95", group: Some("FUEL"), litres: true, price_percent: 117 },
    Product { code: "ADBLUE", group: None, litres: true, price_percent: 61 },
    Product { code: "COFFEE", group: Some("SHOP"), litres: false, price_percent: 143 },
    Product { code: "WASH", group: None, litres: false, price_percent: 811 },
];

fn selectors() -> Vec<ProductSelector> {
    let code = |code: &str| ProductCode::new(code).unwrap();
    vec![
        ProductSelector::All,
        ProductSelector::All,
        ProductSelector::Group(code("FUEL")),
        ProductSelector::Group(code("SHOP")),
        ProductSelector::Product(code("DIESEL")),
        ProductSelector::Product(code("ADBLUE")),
        ProductSelector::Product(code("COFFEE")),
    ]
}

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

    fn open(&mut self, index: usize) {
        let (zone, currency, _, utc_offset_min) = self.pick(&PLACES);
        let tenant = Tenant {
            id: ContractId::new(&format!("C-{index}")).unwrap(),
            currency: Currency::new(currency).unwrap(),
            utc_offset_min,
            diesel_e4: diesel_e4(currency),
            cards: (0..3).map(|card| CardToken::new(&format!("card-{index}-{card}")).unwrap()).collect(),
        };
        let (currency, cards) = (tenant.currency, tenant.cards.clone());
        self.tenants.push(tenant);
        let week_start = self.pick(&[WeekStart::Monday, WeekStart::Saturday, WeekStart::Sunday]);
        let (name, time_zone) = ("Hauliers".into(), zone.into());
        let open = Command::OpenContract { name, currency, time_zone, legal_entity: None, holding: None, week_start };
        self.order(index, open);
        for rule in [FraudRule::Velocity, FraudRule::ImpossibleTravel] {
            self.order(index, Command::SetRule { rule, mode: RuleMode::Off });
        }
        let amount_minor = self.litres_of_money(index, 100..1_500);
        self.order(index, Command::TopUp { amount_minor, currency, reference: "first".into(), payer: None });
        for group in ["G-1", "G-2"] {
            let id = GroupId::new(group).unwrap();
            self.order(index, Command::PutGroup(Group { id, name: group.into() }));
        }
        for vehicle in ["V-1", "V-2"] {
            self.put_vehicle(index, vehicle);
        }
        for driver in ["D-1", "D-2"] {
            let id = DriverId::new(driver).unwrap();
            self.order(index, Command::PutDriver(Driver { id, name: driver.into(), blocked: false }));
        }
        for card in cards {
            let (group, vehicle, driver) = self.assignment();
            let kind = if self.chance(10) { CardKind::Virtual } else { CardKind::Plastic };
            let (daily_ml, daily_minor) = self.daily(index);
            let issue = Command::IssueCard {
                card,
                pan_masked: "****1234".into(),
                kind,
                group,
                vehicle,
                driver,
                valid_from_us: None,
                valid_to_us: None,
                daily_ml,
                daily_minor,
            };
            self.order(index, issue);
        }
        for _ in 0..self.rng.random_range(0..5) {
            let limit = self.limit(index);
            self.order(index, Command::SetLimit(limit));
        }
    }

    fn put_vehicle(&mut self, tenant: usize, vehicle: &str) {
        let tank_ml = self.chance(30).then(|| Millilitres::from_litres(self.rng.random_range(40..120)));
        let fuel = if self.chance(10) { Some(self.pick(&selectors()[2..])) } else { None };
        let vehicle = Vehicle { id: VehicleId::new(vehicle).unwrap(), tank_ml, fuel };
        self.order(tenant, Command::PutVehicle(vehicle));
    }

    fn daily(&mut self, tenant: usize) -> (Option<Millilitres>, Option<MinorUnits>) {
        let ml = self.chance(25).then(|| Millilitres::from_litres(self.rng.random_range(20..300)));
        let minor = self.chance(25).then(|| self.litres_of_money(tenant, 20..300));
        (ml, minor)
    }

    /// What so many litres of diesel cost.
    fn litres_of_money(&mut self, tenant: usize, litres: std::ops::Range<i64>) -> MinorUnits {
        let Tenant { currency, diesel_e4, .. } = self.tenants[tenant];
        let litres = self.rng.random_range(litres);
        let minor = litres * diesel_e4 * 10_i64.pow(currency.minor_digits()) / 10_000;
        MinorUnits::new(minor + self.rng.random_range(0..100)).unwrap()
    }

    fn assignment(&mut self) -> (Option<GroupId>, Option<VehicleId>, Option<DriverId>) {
        let group = self.chance(60).then(|| GroupId::new(["G-1", "G-2"][self.rng.random_range(0..2)]).unwrap());
        let vehicle = self.chance(50).then(|| VehicleId::new(["V-1", "V-2"][self.rng.random_range(0..2)]).unwrap());
        let driver = self.chance(30).then(|| DriverId::new(["D-1", "D-2"][self.rng.random_range(0..2)]).unwrap());
        (group, vehicle, driver)
    }

    fn scope(&mut self, tenant: usize) -> Scope {
        let unknown = self.chance(2);
        let id = |first: &str, second: &str, odd: bool| {
            if unknown {
                "nobody"
            } else if odd {
                first
            } else {
                second
            }
            .to_owned()
        };
        let odd = self.rng.random();
        match self.rng.random_range(0..10) {
            0 | 1 => Scope::Contract,
            2 | 3 => Scope::Group(GroupId::new(&id("G-1", "G-2", odd)).unwrap()),
            4 => Scope::Vehicle(VehicleId::new(&id("V-1", "V-2", odd)).unwrap()),
            5 => Scope::Driver(DriverId::new(&id("D-1", "D-2", odd)).unwrap()),
            _ => {
                let cards = self.tenants[tenant].cards.clone();
                Scope::Card(self.pick(&cards))
            }
        }
    }

    fn schedule(&mut self) -> Schedule {
        let mut days = [true; 7];
        if self.chance(60) {
            days = std::array::from_fn(|_| self.chance(70));
        }
        let mut time = || Time::constant(self.rng.random_range(0..24), [0, 30][self.rng.random_range(0..2)], 0, 0);
        let (from, to) = (time(), time());
        let holidays = self.pick(&[HolidayRule::Ignore, HolidayRule::Ignore, HolidayRule::Except, HolidayRule::Also]);
        Schedule { days, from, to: if self.chance(20) { from } else { to }, holidays }
    }

    fn window(&mut self) -> Window {
        let calendar = |unit, count| Window::Calendar { unit, count };
        let units = [
            (CalendarUnit::Day, 31),
            (CalendarUnit::Day, 3),
            (CalendarUnit::Week, 4),
            (CalendarUnit::Month, 12),
            (CalendarUnit::Quarter, 4),
            (CalendarUnit::Year, 1),
        ];
        match self.rng.random_range(0..20) {
            0 | 1 => Window::PerTransaction,
            2..=4 => Window::Rolling { secs: self.pick(&[3_600, 86_400, 7 * 86_400, 31 * 86_400, 54_321]) },
            5 => Window::Lifetime,
            6 | 7 => Window::OneOff,
            8..=11 => calendar(CalendarUnit::Day, 1),
            12 => calendar(CalendarUnit::Week, 1),
            13 => calendar(CalendarUnit::Month, 1),
            _ => {
                let (unit, most) = self.pick(&units);
                calendar(unit, self.rng.random_range(1..=most))
            }
        }
    }

    fn value(&mut self, tenant: usize, measure: Measure) -> i64 {
        match measure {
            Measure::Volume => self.rng.random_range(0..400) * 1_000 + self.rng.random_range(0..1_000),
            Measure::Money => self.litres_of_money(tenant, 0..400).get(),
            Measure::Count => self.rng.random_range(0..6),
        }
    }

    fn limit(&mut self, tenant: usize) -> Limit {
        let mut id = LimitId::new(&format!("L-{}", self.rng.random_range(1..9))).unwrap();
        let measure = self.pick(&[Measure::Volume, Measure::Volume, Measure::Money, Measure::Money, Measure::Count]);
        let mut window = self.window();
        let mut value = self.value(tenant, measure);
        if self.chance(2) {
            value = -1;
        }
        if self.chance(2) {
            window = self.pick(&[
                Window::Calendar { unit: CalendarUnit::Day, count: 0 },
                Window::Calendar { unit: CalendarUnit::Day, count: 32 },
                Window::Calendar { unit: CalendarUnit::Year, count: 2 },
                Window::Rolling { secs: 0 },
                Window::Rolling { secs: 31 * 86_400 + 1 },
            ]);
        }
        let far = match window {
            Window::Calendar { unit, count } => match unit {
                CalendarUnit::Day | CalendarUnit::Week => false,
                CalendarUnit::Month => count > 1,
                CalendarUnit::Quarter | CalendarUnit::Year => true,
            },
            Window::Lifetime | Window::OneOff => true,
            Window::PerTransaction | Window::Rolling { .. } => false,
        };
        if self.pace.long && window == Window::OneOff {
            // What another selector would have counted since is forgotten after a while: only its value changes.
            id = LimitId::new(&format!("O-{}", self.offset)).unwrap();
            self.one_offs.push(id.clone());
        }
        let any_schedule = !(far && self.pace.long);
        let schedule = if any_schedule && self.chance(25) { Some(self.schedule()) } else { None };
        let valid =
            |rng: &mut SmallRng, now: i64| TimestampUs::from_micros(now + rng.random_range(-2 * DAY_US..2 * DAY_US));
        Limit {
            id,
            scope: self.scope(tenant),
            product: self.pick(&selectors()),
            measure,
            value,
            window,
            schedule,
            mode: self.pick(&[
                LimitMode::Decline,
                LimitMode::Decline,
                LimitMode::Decline,
                LimitMode::Decline,
                LimitMode::Flag,
                LimitMode::Shadow,
            ]),
            alert_left: self.chance(20).then_some(value / 5),
            valid_from_us: self.chance(5).then(|| valid(&mut self.rng, self.now)),
            valid_to_us: self.chance(5).then(|| valid(&mut self.rng, self.now)),
            offline: self.chance(15),
        }
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

    fn any_order(&mut self, tenant: usize) {
        let cards = self.tenants[tenant].cards.clone();
        let card = self.pick(&cards);
        let currency = self.tenants[tenant].currency;
        let actor: Actor = self.pick(&ORDERING);
        let soon = TimestampUs::from_micros(self.now + self.rng.random_range(0..2 * DAY_US));
        let until_us = self.chance(50).then_some(soon);
        let reason = "as ordered".to_owned();
        let command = match self.rng.random_range(0..100) {
            0..28 => Command::SetLimit(self.limit(tenant)),
            28..34 => {
                let limit = match self.one_offs.choose(&mut self.rng).cloned() {
                    Some(one_off) if self.chance(30) => one_off,
                    _ => LimitId::new(&format!("L-{}", self.rng.random_range(1..9))).unwrap(),
                };
                let measure = self.pick(&[Measure::Volume, Measure::Money, Measure::Count]);
                Command::ChangeLimit { limit, value: self.value(tenant, measure) }
            }
            34..38 => {
                let limit = LimitId::new(&format!("L-{}", self.rng.random_range(1..9))).unwrap();
                Command::RemoveLimit { limit }
            }
            38..42 => {
                let (daily_ml, daily_minor) = self.daily(tenant);
                Command::SetDailyLimit { card, daily_ml, daily_minor }
            }
            42..52 => {
                let amount_minor = self.litres_of_money(tenant, 0..800);
                Command::TopUp { amount_minor, currency, reference: format!("R-{}", self.offset), payer: None }
            }
            52..55 => {
                let amount_minor = self.litres_of_money(tenant, 0..400);
                Command::SetCreditLine { amount_minor, currency }
            }
            55..58 => {
                let amount = self.litres_of_money(tenant, 1..200);
                let amount_minor = if self.rng.random() { amount } else { MinorUnits::new(-amount.get()).unwrap() };
                Command::Adjust { amount_minor, currency, reason }
            }
            58..62 => Command::Bill { number: format!("B-{}", self.offset) },
            62..66 => {
                let off = if self.rng.random() {
                    DiscountOff::BasisPoints(self.pick(&[0, 150, 333, 1_275, 10_000]))
                } else {
                    let e4 = self.tenants[tenant].diesel_e4 * self.rng.random_range(0..8) / 100;
                    DiscountOff::PriceE4(u32::try_from(e4).unwrap() + self.rng.random_range(0..3))
                };
                Command::SetDiscount(Discount { product: self.pick(&selectors()), off })
            }
            66..68 => Command::RemoveDiscount { product: self.pick(&selectors()) },
            68..70 => {
                let amount_minor = self.litres_of_money(tenant, 0..20);
                let name = self.pick(&["service", "portal"]).to_owned();
                Command::SetMonthlyFee(MonthlyFee { name, amount_minor })
            }
            70..75 => {
                let (group, vehicle, driver) = self.assignment();
                Command::AssignCard { card, group, vehicle, driver }
            }
            75..77 => {
                let vehicle = self.pick(&["V-1", "V-2"]);
                self.put_vehicle(tenant, vehicle);
                return;
            }
            77..79 => {
                let id = self.pick(&["D-1", "D-2"]);
                Command::PutDriver(Driver { id: DriverId::new(id).unwrap(), name: id.into(), blocked: self.chance(20) })
            }
            79 => Command::BlockCard { card, reason, actor, until_us },
            80 => self.foundation(tenant, card),
            81..84 => Command::UnblockCard { card, actor, until_us: self.chance(30).then_some(soon) },
            84..85 => Command::BlockContract { actor, reason, until_us: Some(soon) },
            85..87 => Command::UnblockContract { actor },
            87..90 => self.restriction(tenant),
            90..93 => {
                let restriction = RestrictionId::new(&format!("R-{}", self.rng.random_range(1..4))).unwrap();
                Command::RemoveRestriction { restriction }
            }
            93..96 => self.policy(tenant),
            96..98 => self.holidays(),
            98 if self.chance(10) => {
                let closure = self.pick(&[Closure::Lost, Closure::Stolen, Closure::Returned]);
                Command::CloseCard { card, closure }
            }
            98 => Command::ResetPin { card },
            _ => match self.earlier(tenant, &[TransactionKind::Preauth]) {
                Some(place) => {
                    let auth_code = AuthCode::new(&format!("0-{}", self.asked[place].offset)).unwrap();
                    Command::ReleaseHold { auth_code, reason }
                }
                None => Command::ResetPin { card },
            },
        };
        self.order(tenant, command);
    }

    /// What is settled at the beginning, once more or for a while.
    fn foundation(&mut self, tenant: usize, card: CardToken) -> Command {
        let mut from_now = |days: std::ops::Range<i64>| {
            Some(TimestampUs::from_micros(self.now + self.rng.random_range(days) * DAY_US / 4))
        };
        let (before, after) = (from_now(-4..3), from_now(-1..8));
        let Tenant { currency, .. } = self.tenants[tenant];
        let open = |time_zone: &str, name: &str| Command::OpenContract {
            name: name.into(),
            currency,
            time_zone: time_zone.into(),
            legal_entity: None,
            holding: None,
            week_start: WeekStart::Monday,
        };
        match self.rng.random_range(0..10) {
            0..3 => Command::SetTerm { valid_from_us: before, valid_to_us: None },
            3 => Command::SetTerm { valid_from_us: None, valid_to_us: after },
            4 | 5 => Command::SetTerm { valid_from_us: None, valid_to_us: None },
            6 => open("UTC", "Again"),
            7 => {
                self.tenants[tenant].cards[0] = CardToken::new(&format!("card-{tenant}-{}", self.offset)).unwrap();
                self.issue_for_a_while(tenant, (before, after))
            }
            8 => self.issue_for_a_while(tenant, (None, None)),
            _ => Command::BlockCard { card, reason: "found".into(), actor: Actor::IssuerRisk, until_us: after },
        }
    }

    fn issue_for_a_while(
        &mut self,
        tenant: usize,
        (valid_from_us, valid_to_us): (Option<TimestampUs>, Option<TimestampUs>),
    ) -> Command {
        let (group, vehicle, driver) = self.assignment();
        Command::IssueCard {
            card: self.tenants[tenant].cards[0].clone(),
            pan_masked: "****1234".into(),
            kind: CardKind::Plastic,
            group,
            vehicle,
            driver,
            valid_from_us,
            valid_to_us,
            daily_ml: None,
            daily_minor: None,
        }
    }

    fn holidays(&mut self) -> Command {
        let today = Timestamp::from_microsecond(self.now).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
        let mut days: Vec<Holiday> = Vec::new();
        for _ in 0..self.rng.random_range(0..4) {
            let day = today.checked_add(jiff::Span::new().days(self.rng.random_range(-3_i64..4))).unwrap();
            days.push(Holiday(day));
        }
        Command::SetHolidays { days }
    }

    fn restriction(&mut self, tenant: usize) -> Command {
        let of = match self.rng.random_range(0..6) {
            0 => RestrictionList::Products(vec![self.pick(&selectors()), self.pick(&selectors())]),
            1 => RestrictionList::Sites(vec![SiteId::new("S-1").unwrap(), SiteId::new("S-2").unwrap()]),
            2 => RestrictionList::Regions(vec![RegionId::new("R-1").unwrap()]),
            3 => RestrictionList::Countries(vec![CountryCode::new("KZ").unwrap()]),
            4 => RestrictionList::Entries(vec![Entry::Chip, Entry::Qr]),
            _ => RestrictionList::Hours(vec![self.schedule(), self.schedule()]),
        };
        let rule = if self.rng.random() { RestrictionRule::Allow } else { RestrictionRule::Deny };
        let id = RestrictionId::new(&format!("R-{}", self.rng.random_range(1..4))).unwrap();
        Command::SetRestriction(Restriction { id, scope: self.scope(tenant), rule, of })
    }

    fn policy(&mut self, tenant: usize) -> Command {
        let scope = loop {
            let scope = self.scope(tenant);
            if matches!(scope, Scope::Contract | Scope::Group(_) | Scope::Card(_)) {
                break scope;
            }
        };
        if self.chance(40) {
            return Command::SetPolicy { scope, policy: None };
        }
        let mut prompts = Vec::new();
        for prompt in [Prompt::Driver, Prompt::Vehicle, Prompt::Odometer, Prompt::Trip] {
            if self.chance(15) {
                prompts.push(prompt);
            }
        }
        let odometer_growth = self.chance(30).then_some((0, 1_000));
        let policy =
            Policy { pin_required: self.chance(20), prompts, odometer_growth, offline_allowed: self.chance(80) };
        Command::SetPolicy { scope, policy: Some(policy) }
    }

    /// An earlier request of one of these kinds, by place; so recent that single purchases are still remembered for the
    /// longest window before it.
    fn earlier(&mut self, tenant: usize, kinds: &[TransactionKind]) -> Option<usize> {
        let fits = |asked: &&(usize, &Asked)| {
            asked.1.contract == tenant
                && kinds.contains(&asked.1.transaction.kind)
                && asked.1.received_us > self.now - 3 * DAY_US
        };
        let places: Vec<usize> =
            self.asked.iter().enumerate().rev().take(60).filter(|asked| fits(&asked)).map(|(place, _)| place).collect();
        // Mostly the latest: a tank is full within minutes.
        let most = if self.chance(60) { 2 } else { 12 };
        let places = &places[..places.len().min(most)];
        places.choose(&mut self.rng).copied()
    }

    fn transaction(&mut self, tenant: usize, kind: TransactionKind, at: i64) -> Transaction {
        let cards = self.tenants[tenant].cards.clone();
        let Tenant { currency, utc_offset_min, .. } = self.tenants[tenant];
        let at = TimestampUs::from_micros(at);
        let card = if self.chance(1) { CardToken::new("nobody").unwrap() } else { self.pick(&cards) };
        let odometer = u32::try_from((self.now / DAY_US - 20_000) * 100 + self.rng.random_range(0..400)).unwrap();
        let told = self.pick(&["D-1", "D-1", "D-2", "D-2", "nobody"]).to_owned();
        let second = self.chance(5).then(|| SecondId { kind: "driver".into(), token: CardToken::new(&told).unwrap() });
        let vehicle = self.pick(&["V-1", "V-1", "V-2", "V-2", "nobody"]).to_owned();
        let prompts = Prompts {
            odometer: self.chance(40).then_some(odometer),
            engine_hours: None,
            driver_id: self.chance(20).then_some(told),
            vehicle: self.chance(15).then_some(vehicle),
            trip: self.chance(50).then(|| "T-9".to_owned()),
            trailer: None,
        };
        let pin = self.chance(30).then(|| Pin { verified: self.chance(80), attempt: 0 });
        let currency = if self.chance(1) { Currency::new("XXX").unwrap() } else { currency };
        Transaction {
            v: 1,
            idem: IdempotencyKey::new(&format!("K-{}", self.offset)).unwrap(),
            kind,
            site: SiteId::new(self.pick(&["S-1", "S-2", "S-3"])).unwrap(),
            terminal: TerminalId::new(self.pick(&["T-1", "T-1", "T-1", "T-2"])).unwrap(),
            pump: None,
            device: self.pick(&[None, Some(Device::Outdoor), Some(Device::Mobile)]),
            entry: self.pick(&[None, Some(Entry::Chip), Some(Entry::Chip), Some(Entry::Qr), Some(Entry::Stripe)]),
            batch: None,
            shift: None,
            tsn: None,
            local_time: LocalTime::from_utc(at, utc_offset_min),
            utc_offset_min,
            sent_at_us: None,
            location: None,
            region: self.pick(&[None, Some("R-1"), Some("R-2")]).map(|region| RegionId::new(region).unwrap()),
            country: self.pick(&[None, Some("KZ"), Some("DE")]).and_then(CountryCode::new),
            card: CardData { token: card, pan_masked: None, expiry: None },
            second_id: second,
            pin,
            prompts,
            items: Vec::new(),
            fill_up: false,
            currency,
            partial_ok: self.chance(40),
            original: Original::default(),
            offline: Offline::default(),
        }
    }

    fn item(&mut self, tenant: usize, product: &Product) -> Item {
        let code = |code: &str| ProductCode::new(code).unwrap();
        let diesel_e4 = self.tenants[tenant].diesel_e4;
        let price = diesel_e4 * product.price_percent / 100 + self.rng.random_range(0..4) * 7;
        let litres = product.litres;
        Item {
            code: code(product.code),
            group: product.group.map(code),
            unit: if litres { Unit::L } else { Unit::Pieces },
            qty_ml: litres.then(|| self.fuel()),
            pieces: (!litres).then(|| self.rng.random_range(1..6)),
            price_e4: PriceE4::new(u64::try_from(price).unwrap()).unwrap(),
            amount_minor: None,
        }
    }

    fn fuel(&mut self) -> Millilitres {
        let ml = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(1..3_000),
            1 => self.rng.random_range(1..400_000),
            _ => self.rng.random_range(5_000..90_000),
        };
        Millilitres::new(ml).unwrap()
    }

    fn items(&mut self, tenant: usize) -> Vec<Item> {
        let lines = self.pick(&[1, 1, 1, 1, 2, 2, 3]);
        let mut items = Vec::new();
        for _ in 0..lines {
            let product = &PRODUCTS[self.pick(&[0, 0, 0, 1, 1, 2, 3, 4])];
            items.push(self.item(tenant, product));
        }
        items
    }

    /// The station's own amount, mostly right.
    fn with_amounts(&mut self, items: &mut [Item], currency: Currency) {
        for item in items {
            let quantity =
                item.qty_ml.map_or_else(|| i64::from(item.pieces.unwrap_or(0)), |ml| i64::try_from(ml.get()).unwrap());
            let price_e4 = i64::try_from(item.price_e4.get()).unwrap();
            let gross = crate::amounts::amount(price_e4, quantity, item.unit == Unit::L, currency);
            let off = if self.chance(10) { self.pick(&[-3, -1, 1, 2, 50]) } else { 0 };
            item.amount_minor = Some(MinorUnits::new((gross + off).max(0)).unwrap());
        }
    }

    /// Event time of a request that comes now: mostly now, sometimes out of order, now and then by a wrong clock.
    fn event_time(&mut self) -> i64 {
        match self.rng.random_range(0..100) {
            0..80 => self.now - self.rng.random_range(0..2 * MINUTE_US),
            80..90 => self.now - self.rng.random_range(0..26 * HOUR_US),
            90..97 => self.now + self.rng.random_range(0..3 * HOUR_US),
            97 => self.now - 26 * HOUR_US - self.rng.random_range(1..20 * DAY_US),
            98 => self.now + 26 * HOUR_US + self.rng.random_range(1..20 * DAY_US),
            _ => self.now + self.rng.random_range(0..26 * HOUR_US),
        }
    }

    fn asking(&mut self, tenant: usize) {
        let kind = self.pick(&[
            TransactionKind::Preauth,
            TransactionKind::Preauth,
            TransactionKind::Preauth,
            TransactionKind::Sale,
            TransactionKind::Sale,
            TransactionKind::DryRun,
        ]);
        let at = self.event_time();
        let mut transaction = self.transaction(tenant, kind, at);
        transaction.items = self.items(tenant);
        if kind != TransactionKind::Sale && self.chance(35) {
            let fuel = &PRODUCTS[self.pick(&[0, 0, 1])];
            let mut first = self.item(tenant, fuel);
            if self.chance(60) {
                first.qty_ml = None;
            }
            transaction.items[0] = first;
            transaction.items.truncate(if self.chance(70) { 1 } else { 2 });
            transaction.fill_up = true;
        }
        if kind == TransactionKind::Sale && self.chance(50) {
            let currency = transaction.currency;
            self.with_amounts(&mut transaction.items, currency);
        }
        if self.chance(2) {
            self.spoil(&mut transaction);
        }
        self.ask(tenant, transaction);
    }

    fn ask(&mut self, tenant: usize, transaction: Transaction) {
        let contract = (transaction.card.token.as_str() != "nobody").then(|| self.tenants[tenant].id.clone());
        let offset = self.push(contract, RequestBody::Transaction(Box::new(transaction.clone())));
        self.asked.push(Asked { offset, contract: tenant, transaction, received_us: self.now });
    }

    fn spoil(&mut self, transaction: &mut Transaction) {
        match self.rng.random_range(0..6) {
            0 => transaction.items.clear(),
            1 => transaction.items = vec![transaction.items[0].clone(); 17],
            2 => transaction.items[0].price_e4 = PriceE4::default(),
            3 => (transaction.items[0].qty_ml, transaction.items[0].pieces, transaction.fill_up) = (None, None, false),
            4 => {
                let item = &mut transaction.items[0];
                item.unit = if item.unit == Unit::L { Unit::Pieces } else { Unit::L };
            }
            _ => transaction.items[0].amount_minor = Some(MinorUnits::new(-1).unwrap()),
        }
    }

    /// Something about an earlier request.
    fn following(&mut self, tenant: usize) {
        let kind = self.pick(&[
            TransactionKind::Completion,
            TransactionKind::Completion,
            TransactionKind::Completion,
            TransactionKind::Completion,
            TransactionKind::Completion,
            TransactionKind::Incremental,
            TransactionKind::Reversal,
            TransactionKind::Refund,
            TransactionKind::Refund,
            TransactionKind::Void,
        ]);
        let kinds: &[TransactionKind] = match kind {
            TransactionKind::Completion | TransactionKind::Incremental | TransactionKind::Reversal => {
                if self.chance(95) { &[TransactionKind::Preauth] } else { &[TransactionKind::Sale] }
            }
            _ => &[
                TransactionKind::Preauth,
                TransactionKind::Sale,
                TransactionKind::Sale,
                TransactionKind::AdviceOffline,
                TransactionKind::Forced,
            ],
        };
        let Some(place) = self.earlier(tenant, kinds) else { return self.asking(tenant) };
        let at = self.event_time();
        let mut transaction = self.transaction(tenant, kind, at);
        let Asked { offset, received_us, transaction: before, .. } = &self.asked[place];
        let (recent, auth_code) =
            (self.now - received_us < 70 * HOUR_US, AuthCode::new(&format!("0-{offset}")).unwrap());
        let (card, site, terminal, items) =
            (before.card.clone(), before.site.clone(), before.terminal.clone(), before.items.clone());
        let idem = before.idem.clone();
        transaction.original = if recent && self.chance(40) {
            Original { auth_code: None, idem: Some(idem) }
        } else {
            Original { auth_code: Some(auth_code), idem: None }
        };
        if self.chance(98) {
            transaction.card = card;
        }
        if self.chance(88) {
            (transaction.site, transaction.terminal) = (site, terminal);
        }
        transaction.items = self.part_of(&items, kind);
        if kind == TransactionKind::Completion && self.chance(40) {
            let currency = transaction.currency;
            self.with_amounts(&mut transaction.items, currency);
        }
        if kind == TransactionKind::Completion && self.chance(3) {
            let product = &PRODUCTS[self.rng.random_range(0..PRODUCTS.len())];
            transaction.items.push(self.item(tenant, product));
        }
        self.ask(tenant, transaction);
    }

    /// Mostly less than before, sometimes all of it, sometimes more.
    fn part_of(&mut self, items: &[Item], kind: TransactionKind) -> Vec<Item> {
        let most = if kind == TransactionKind::Refund { 60 } else { 105 };
        let percent: u64 = self.rng.random_range(1..=most);
        let mut part = items.to_vec();
        for item in &mut part {
            item.amount_minor = None;
            if item.unit == Unit::L {
                let ml = item.qty_ml.map_or_else(|| self.fuel().get(), Millilitres::get);
                item.qty_ml = Some(Millilitres::new(ml * percent / 100).unwrap());
                item.pieces = None;
            } else {
                item.qty_ml = None;
                item.pieces = Some(item.pieces.unwrap_or(1).min(self.rng.random_range(0..5)));
            }
        }
        part.truncate(16);
        part
    }

    /// Sold without asking us.
    fn unasked(&mut self, tenant: usize) {
        let kind = self.pick(&[
            TransactionKind::AdviceOffline,
            TransactionKind::AdviceOffline,
            TransactionKind::Sale,
            TransactionKind::Forced,
        ]);
        let at = match self.rng.random_range(0..20) {
            0 => self.now - 31 * DAY_US - self.rng.random_range(1..DAY_US),
            1 => self.now + 26 * HOUR_US + self.rng.random_range(1..DAY_US),
            2..8 => self.now - self.rng.random_range(0..self.pace.late_us_max),
            _ => self.event_time().clamp(self.now - self.pace.late_us_max, self.now + 26 * HOUR_US),
        };
        let mut transaction = self.transaction(tenant, kind, at);
        transaction.items = self.items(tenant);
        if self.chance(70) {
            let currency = transaction.currency;
            self.with_amounts(&mut transaction.items, currency);
        }
        if kind != TransactionKind::Forced {
            let age = self.rng.random_range(0..30 * HOUR_US);
            let catalog_at_us = self.chance(60).then(|| TimestampUs::from_micros(at - age));
            transaction.offline = Offline { was: true, catalog_ver: None, catalog_at_us, reason: None };
        }
        self.ask(tenant, transaction);
    }

    fn inquiry(&mut self, tenant: usize) {
        let at = self.now;
        let transaction = self.transaction(tenant, TransactionKind::Balance, at);
        self.ask(tenant, transaction);
    }
}
