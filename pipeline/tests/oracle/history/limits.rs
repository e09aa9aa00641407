//! Limits and restrictions of every kind.

use jiff::civil::Time;
use model::{
    CalendarUnit, Command, CountryCode, Entry, HolidayRule, Limit, LimitId, LimitMode, Measure, ProductCode,
    ProductSelector, RegionId, Restriction, RestrictionId, RestrictionList, RestrictionRule, Schedule, SiteId,
    TimestampUs, Window,
};
use rand::Rng;
use rand::rngs::SmallRng;

use super::{DAY_US, Generator};

pub(super) fn selectors() -> Vec<ProductSelector> {
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

impl Generator {
    pub(super) fn schedule(&mut self) -> Schedule {
        let mut days = [true; 7];
        if self.chance(60) {
            days = std::array::from_fn(|_| self.chance(70));
        }
        let mut time = || Time::constant(self.rng.random_range(0..24), [0, 30][self.rng.random_range(0..2)], 0, 0);
        let (from, to) = (time(), time());
        let holidays = self.pick(&[HolidayRule::Ignore, HolidayRule::Ignore, HolidayRule::Except, HolidayRule::Also]);
        Schedule { days, from, to: if self.chance(20) { from } else { to }, holidays }
    }

    pub(super) fn window(&mut self) -> Window {
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

    pub(super) fn value(&mut self, tenant: usize, measure: Measure) -> i64 {
        match measure {
            Measure::Volume => self.rng.random_range(0..400) * 1_000 + self.rng.random_range(0..1_000),
            Measure::Money => self.litres_of_money(tenant, 0..400).get(),
            Measure::Count => self.rng.random_range(0..6),
        }
    }

    pub(super) fn limit(&mut self, tenant: usize) -> Limit {
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

    pub(super) fn restriction(&mut self, tenant: usize) -> Command {
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
}
