//! What the oracle knows of a contract: plain lists, summed up anew for every question.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Actor, AuthCode, Block, CardKind, CardToken, Closure, Currency, Discount, Driver, DriverId, GroupId,
    IdempotencyKey, Limit, Measure, MonthlyFee, Policy, ProductCode, ProductSelector, Restriction, Scope, SiteId,
    TerminalId, Vehicle, VehicleId, Window,
};

use crate::calendar::Calendar;

pub(crate) struct Contract {
    pub(crate) currency: Currency,
    pub(crate) calendar: Calendar,
    pub(crate) term: (Option<i64>, Option<i64>),
    pub(crate) blocks: Vec<Block>,
    pub(crate) credit: i64,
    pub(crate) money: Vec<Money>,
    /// Of its top-ups.
    pub(crate) references: BTreeSet<String>,
    pub(crate) cards: BTreeMap<CardToken, Card>,
    pub(crate) groups: BTreeSet<GroupId>,
    pub(crate) vehicles: BTreeMap<VehicleId, Vehicle>,
    pub(crate) drivers: BTreeMap<DriverId, Driver>,
    /// In the order in which they were first set.
    pub(crate) limits: Vec<KeptLimit>,
    pub(crate) restrictions: Vec<Restriction>,
    pub(crate) policies: Vec<(Scope, Policy)>,
    pub(crate) discounts: Vec<Discount>,
    pub(crate) fees: Vec<Fee>,
    pub(crate) purchases: Vec<Purchase>,
}

/// Everything that ever moved money, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Money {
    /// Top-ups and corrections.
    Own(i64),
    Fee(i64),
    Captured(i64),
    /// Refunded or voided.
    Returned(i64),
    Billed(i64),
}

#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) kind: CardKind,
    pub(crate) group: Option<GroupId>,
    pub(crate) vehicle: Option<VehicleId>,
    pub(crate) driver: Option<DriverId>,
    pub(crate) valid: (Option<i64>, Option<i64>),
    pub(crate) closed: Option<Closure>,
    pub(crate) blocks: Vec<Block>,
    /// Until when each actor's block rests.
    pub(crate) rests: Vec<(Actor, i64)>,
    pub(crate) wrong_pins: u8,
    pub(crate) pin_locked_until: Option<i64>,
    pub(crate) odometer: Option<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct KeptLimit {
    pub(crate) limit: Limit,
    pub(crate) first_set_us: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Fee {
    pub(crate) fee: MonthlyFee,
    /// The first of the month up to which it is charged.
    pub(crate) charged_to: jiff::civil::Date,
}

#[derive(Clone, Debug)]
pub(crate) struct Purchase {
    pub(crate) auth_code: AuthCode,
    pub(crate) idem: IdempotencyKey,
    pub(crate) card: CardToken,
    pub(crate) group: Option<GroupId>,
    pub(crate) vehicle: Option<VehicleId>,
    pub(crate) driver: Option<DriverId>,
    /// With its station.
    pub(crate) terminal: (SiteId, TerminalId),
    /// When it was authorized; for a sale that did not ask, when it happened.
    pub(crate) at: i64,
    pub(crate) offline: bool,
    pub(crate) state: State,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    Held {
        lines: Vec<Line>,
        expires_us: i64,
    },
    Expired {
        lines: Vec<Line>,
    },
    Reversed,
    /// `place` is that of the capture in [`Contract::money`].
    Sold {
        lines: Vec<Line>,
        back: Vec<Line>,
        place: usize,
    },
    Voided,
}

/// What was reserved, sold or returned of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Which line of the request it was.
    pub(crate) item: usize,
    pub(crate) code: ProductCode,
    pub(crate) group: Option<ProductCode>,
    pub(crate) litres: bool,
    pub(crate) ml: i64,
    pub(crate) pieces: i64,
    pub(crate) price_e4: i64,
    pub(crate) net: i64,
    /// The discount in it.
    pub(crate) off: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) own: i64,
    pub(crate) held: i64,
    pub(crate) unbilled: i64,
    pub(crate) available: i64,
}

/// Who buys.
#[derive(Clone, Debug)]
pub(crate) struct Buyer {
    pub(crate) card: CardToken,
    pub(crate) group: Option<GroupId>,
    pub(crate) vehicle: Option<VehicleId>,
    pub(crate) driver: Option<DriverId>,
}

impl Buyer {
    pub(crate) fn is_in(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Contract => true,
            Scope::Group(group) => self.group.as_ref() == Some(group),
            Scope::Card(card) => self.card == *card,
            Scope::Vehicle(vehicle) => self.vehicle.as_ref() == Some(vehicle),
            Scope::Driver(driver) => self.driver.as_ref() == Some(driver),
        }
    }
}

impl Line {
    /// Nothing of it was sold: it is no purchase.
    pub(crate) fn is_empty(&self) -> bool {
        self.ml == 0 && self.pieces == 0 && self.net == 0
    }
}

impl Purchase {
    pub(crate) fn buyer(&self) -> Buyer {
        let Self { card, group, vehicle, driver, .. } = self.clone();
        Buyer { card, group, vehicle, driver }
    }
}

pub(crate) fn selects(selector: &ProductSelector, line: &Line) -> bool {
    match selector {
        ProductSelector::All => true,
        ProductSelector::Group(group) => line.group.as_ref() == Some(group),
        ProductSelector::Product(code) => line.code == *code,
    }
}

/// The order in which limits are named.
pub(crate) fn scope_rank(scope: &Scope) -> usize {
    match scope {
        Scope::Card(_) => 0,
        Scope::Driver(_) => 1,
        Scope::Vehicle(_) => 2,
        Scope::Group(_) => 3,
        Scope::Contract => 4,
    }
}

/// How much of `limit` these lines take.
pub(crate) fn measured(limit: &Limit, lines: &[Line]) -> i64 {
    let lines: Vec<&Line> = lines.iter().filter(|line| selects(&limit.product, line) && !line.is_empty()).collect();
    match limit.measure {
        Measure::Volume => lines.iter().filter(|line| line.litres).map(|line| line.ml).sum(),
        Measure::Money => lines.iter().map(|line| line.net).sum(),
        Measure::Count => i64::from(!lines.is_empty()),
    }
}

impl Contract {
    pub(crate) fn sums(&self) -> Sums {
        let mut own = 0;
        let mut unbilled = 0;
        for entry in &self.money {
            match entry {
                Money::Own(amount) => own += amount,
                Money::Fee(amount) => own -= amount,
                Money::Captured(amount) => unbilled += amount,
                Money::Returned(amount) => unbilled -= amount,
                Money::Billed(amount) => {
                    own -= amount;
                    unbilled -= amount;
                }
            }
        }
        let held = self.purchases.iter().map(|purchase| match &purchase.state {
            State::Held { lines, .. } => lines.iter().map(|line| line.net).sum(),
            _ => 0,
        });
        let held = held.sum();
        Sums { own, held, unbilled, available: own + self.credit - held - unbilled }
    }

    /// What was used and what is held of `limit` in the window of a purchase at `at`.
    pub(crate) fn usage(&self, limit: &KeptLimit, at: i64) -> (i64, i64) {
        let KeptLimit { limit, first_set_us } = limit;
        let (mut used, mut held) = (0, 0);
        if limit.window == Window::PerTransaction {
            return (0, 0);
        }
        for purchase in &self.purchases {
            let counts = (purchase.offline || !limit.offline)
                && purchase.buyer().is_in(&limit.scope)
                && self.calendar.same_window(limit.window, at, purchase.at, *first_set_us)
                && limit.schedule.is_none_or(|schedule| self.calendar.in_schedule(&schedule, purchase.at));
            if !counts {
                continue;
            }
            match &purchase.state {
                State::Held { lines, .. } => held += measured(limit, lines),
                State::Sold { lines, back, .. } => {
                    used += measured(limit, lines);
                    if limit.measure != Measure::Count {
                        used -= measured(limit, back);
                    }
                }
                State::Expired { .. } | State::Reversed | State::Voided => {}
            }
        }
        (used, held)
    }

    /// The limits that apply to these lines, bought at `at`, in the order in which they are named. Those of offline sales
    /// come first.
    pub(crate) fn limits_of(&self, buyer: &Buyer, at: i64, offline: bool, lines: Option<&[Line]>) -> Vec<&KeptLimit> {
        let applies = |kept: &&KeptLimit| {
            let limit = &kept.limit;
            buyer.is_in(&limit.scope)
                && (offline || !limit.offline)
                && limit.valid_from_us.is_none_or(|from| from.get() <= at)
                && limit.valid_to_us.is_none_or(|to| at < to.get())
                && limit.schedule.is_none_or(|schedule| self.calendar.in_schedule(&schedule, at))
                && lines.is_none_or(|lines| lines.iter().any(|line| selects(&limit.product, line)))
        };
        let mut limits: Vec<&KeptLimit> = self.limits.iter().filter(applies).collect();
        limits.sort_by_key(|kept| (!kept.limit.offline, scope_rank(&kept.limit.scope)));
        limits
    }

    pub(crate) fn policy(&self, buyer: &Buyer) -> Policy {
        let of = |scope: &Scope| self.policies.iter().find(|(of, _)| of == scope).map(|(_, policy)| policy.clone());
        let group = buyer.group.clone().map(Scope::Group);
        of(&Scope::Card(buyer.card.clone()))
            .or_else(|| of(&group?))
            .or_else(|| of(&Scope::Contract))
            .unwrap_or(Policy { offline_allowed: true, ..Policy::default() })
    }

    pub(crate) fn discount(&self, line: &Line) -> Option<&Discount> {
        let rank = |discount: &&Discount| match discount.product {
            ProductSelector::Product(_) => 0,
            ProductSelector::Group(_) => 1,
            ProductSelector::All => 2,
        };
        self.discounts.iter().filter(|discount| selects(&discount.product, line)).min_by_key(rank)
    }
}
