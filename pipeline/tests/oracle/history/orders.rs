//! What the back office orders: at the beginning and later on.

use jiff::Timestamp;
use model::{
    Actor, AuthCode, CardKind, CardToken, Closure, Command, ContractId, Currency, Discount, DiscountOff, Driver,
    DriverId, FraudRule, Group, GroupId, Holiday, LimitId, Measure, Millilitres, MinorUnits, MonthlyFee, Policy,
    Prompt, RestrictionId, RuleMode, Scope, TimestampUs, TransactionKind, Vehicle, VehicleId, WeekStart,
};
use rand::Rng;
use rand::seq::IndexedRandom;

use super::limits::selectors;
use super::{DAY_US, Generator, PLACES, Tenant, diesel_e4};

/// Blocks by a rule are no order's to set.
const ORDERING: [Actor; 3] = [Actor::Client, Actor::IssuerRisk, Actor::IssuerCredit];

impl Generator {
    pub(super) fn open(&mut self, index: usize) {
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
        // Before any limit.
        let holidays = self.holidays();
        self.order(index, holidays);
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

    pub(super) fn put_vehicle(&mut self, tenant: usize, vehicle: &str) {
        let tank_ml = self.chance(30).then(|| Millilitres::from_litres(self.rng.random_range(40..120)));
        let fuel = if self.chance(10) { Some(self.pick(&selectors()[2..])) } else { None };
        let vehicle = Vehicle { id: VehicleId::new(vehicle).unwrap(), tank_ml, fuel };
        self.order(tenant, Command::PutVehicle(vehicle));
    }

    pub(super) fn daily(&mut self, tenant: usize) -> (Option<Millilitres>, Option<MinorUnits>) {
        let ml = self.chance(25).then(|| Millilitres::from_litres(self.rng.random_range(20..300)));
        let minor = self.chance(25).then(|| self.litres_of_money(tenant, 20..300));
        (ml, minor)
    }

    pub(super) fn assignment(&mut self) -> (Option<GroupId>, Option<VehicleId>, Option<DriverId>) {
        let group = self.chance(60).then(|| GroupId::new(["G-1", "G-2"][self.rng.random_range(0..2)]).unwrap());
        let vehicle = self.chance(50).then(|| VehicleId::new(["V-1", "V-2"][self.rng.random_range(0..2)]).unwrap());
        let driver = self.chance(30).then(|| DriverId::new(["D-1", "D-2"][self.rng.random_range(0..2)]).unwrap());
        (group, vehicle, driver)
    }

    pub(super) fn scope(&mut self, tenant: usize) -> Scope {
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

    pub(super) fn any_order(&mut self, tenant: usize) {
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
                // Now and then a payment that was credited before.
                let number = if self.rng.random_ratio(1, 8) { 0 } else { self.offset };
                Command::TopUp { amount_minor, currency, reference: format!("R-{number}"), payer: None }
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
    pub(super) fn foundation(&mut self, tenant: usize, card: CardToken) -> Command {
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

    pub(super) fn issue_for_a_while(
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

    pub(super) fn holidays(&mut self) -> Command {
        let today = Timestamp::from_microsecond(self.now).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
        let mut days: Vec<Holiday> = Vec::new();
        for _ in 0..self.rng.random_range(0..4) {
            let day = today.checked_add(jiff::Span::new().days(self.rng.random_range(-3_i64..4))).unwrap();
            days.push(Holiday(day));
        }
        Command::SetHolidays { days }
    }

    pub(super) fn policy(&mut self, tenant: usize) -> Command {
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
}
