//! A contract with its money, cards and purchases: the state that decisions read.
//!
//! In: amounts that `decide` has checked. Out: the state after them. Guarantees: total, nothing here panics or
//! overflows; `held` is the sum of open holds, of the contract and of each card and day; memory per card and per
//! contract is bounded by named maxima and retention. Does not: know rules or records.

use std::collections::{BTreeSet, VecDeque};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::{
    AuthCode, Balance, CardToken, Currency, FraudRule, Location, Millilitres, MinorUnits, RuleMode, TimestampUs,
};

/// The hasher is fixed: the same build does the same work, and no order of a map reaches a record.
pub(super) type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;

/// Days of usage that a card remembers; days with open holds are kept beyond it.
const DAYS_MAX: usize = 4;
/// Purchases that the velocity rule can count.
pub(super) const RECENT_MAX: usize = 16;
/// Purchases forgotten per request: two for one keeps up, and no request pays for all.
const EVICTIONS_MAX: usize = 4;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Contract {
    pub(super) currency: Currency,
    pub(super) zone: TimeZone,
    /// Top-ups less captures plus refunds.
    pub(super) own: MinorUnits,
    pub(super) credit: MinorUnits,
    held: MinorUnits,
    pub(super) velocity: RuleMode,
    pub(super) travel: RuleMode,
    /// Latest event time whose clock was believed.
    pub(super) latest: TimestampUs,
    pub(super) cards: Map<CardToken, Card>,
    purchases: Map<AuthCode, Purchase>,
    /// Open holds by expiry.
    expiries: BTreeSet<(TimestampUs, AuthCode)>,
    /// Purchases by arrival, to forget the oldest.
    arrivals: VecDeque<(TimestampUs, AuthCode)>,
}

/// An authorization or a sale, for as long as something may refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purchase {
    pub(super) card: CardToken,
    /// The day whose limits it counts against: that of the authorization, wherever the completion falls.
    pub(super) day: Date,
    pub(super) state: PurchaseState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PurchaseState {
    Held { reserved: Quantity, expires_at: TimestampUs },
    Expired { reserved: Quantity },
    Reversed,
    Sold { sold: Quantity, refunded: Quantity },
}

/// When something happened and when it became known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: TimestampUs,
    pub(super) received_at: TimestampUs,
}

/// Litres and their money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quantity {
    pub(super) ml: Millilitres,
    pub(super) minor: MinorUnits,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) pan_masked: String,
    pub(super) vehicle: Option<String>,
    pub(super) blocked: bool,
    pub(super) daily_ml: Option<Millilitres>,
    pub(super) daily_minor: Option<MinorUnits>,
    days: Vec<DayUsage>,
    /// Approved purchases in the window of the velocity rule, in order of arrival.
    recent: Vec<TimestampUs>,
    /// The latest approved purchase at a known place.
    pub(super) last_seen: Option<(TimestampUs, Location)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DayUsage {
    day: Date,
    pub(super) used: Quantity,
    pub(super) held: Quantity,
}

impl Quantity {
    /// Saturates at the ends of the range; `decide` lets nothing come near them.
    pub(super) fn plus(self, other: Self) -> Self {
        Self { ml: self.ml.plus(other.ml).unwrap_or(self.ml), minor: clamped(self.minor.get() + other.minor.get()) }
    }
    /// What remains after taking `other`; never negative.
    pub(super) fn less(self, other: Self) -> Self {
        let minor = (self.minor.get() - other.minor.get()).max(0);
        Self { ml: self.ml.less(other.ml), minor: clamped(minor) }
    }
}

/// Sums of a few amounts cannot leave `i64`: each is within ±10¹⁵.
pub(super) fn clamped(minor: i64) -> MinorUnits {
    const LARGEST: i64 = 1_000_000_000_000_000;
    MinorUnits::new(minor.clamp(-LARGEST, LARGEST)).unwrap_or(MinorUnits::ZERO)
}

impl Contract {
    pub(super) fn open(currency: Currency, zone: TimeZone) -> Self {
        Self {
            currency,
            zone,
            own: MinorUnits::ZERO,
            credit: MinorUnits::ZERO,
            held: MinorUnits::ZERO,
            velocity: RuleMode::Flag,
            travel: RuleMode::Flag,
            latest: TimestampUs::default(),
            cards: Map::default(),
            purchases: Map::default(),
            expiries: BTreeSet::new(),
            arrivals: VecDeque::new(),
        }
    }

    pub(super) fn balance(&self) -> Balance {
        let available = self.own.get() + self.credit.get() - self.held.get();
        Balance {
            currency: self.currency,
            own: self.own,
            credit: self.credit,
            held: self.held,
            available: clamped(available),
        }
    }

    /// The calendar day at `at` in the contract's zone.
    pub(super) fn day(&self, at: TimestampUs) -> Date {
        jiff::Timestamp::from_microsecond(at.get())
            .map_or(Date::constant(1970, 1, 1), |time| self.zone.to_datetime(time).date())
    }

    pub(super) fn purchase(&self, auth_code: &AuthCode) -> Option<&Purchase> {
        self.purchases.get(auth_code)
    }

    pub(super) fn rule(&self, rule: FraudRule) -> RuleMode {
        match rule {
            FraudRule::Velocity => self.velocity,
            FraudRule::ImpossibleTravel => self.travel,
        }
    }

    /// Open holds whose time has come at `at`, soonest first.
    pub(super) fn overdue(&self, at: TimestampUs) -> impl Iterator<Item = &AuthCode> {
        self.expiries.iter().take_while(move |(expires_at, _)| *expires_at <= at).map(|(_, auth_code)| auth_code)
    }

    pub(super) fn hold(
        &mut self,
        auth_code: &AuthCode,
        card: &CardToken,
        (reserved, expires_at): (Quantity, TimestampUs),
        moment: Moment,
    ) {
        let day = self.day(moment.at);
        let state = PurchaseState::Held { reserved, expires_at };
        if !self.insert(auth_code, Purchase { card: card.clone(), day, state }, moment) {
            return;
        }
        self.expiries.insert((expires_at, auth_code.clone()));
        self.held = clamped(self.held.get() + reserved.minor.get());
        let today = self.day(moment.received_at);
        if let Some(card) = self.cards.get_mut(card) {
            let usage = card.usage_mut(day, today);
            usage.held = usage.held.plus(reserved);
        }
    }

    /// Ends an open hold as `Expired` or `Reversed`.
    pub(super) fn release(&mut self, auth_code: &AuthCode, next: PurchaseState) {
        let Some(purchase) = self.purchases.get_mut(auth_code) else { return };
        match purchase.state {
            PurchaseState::Held { reserved, expires_at } => {
                purchase.state = next;
                let (card, day) = (purchase.card.clone(), purchase.day);
                self.expiries.remove(&(expires_at, auth_code.clone()));
                self.held = clamped(self.held.get() - reserved.minor.get());
                if let Some(usage) = self.cards.get_mut(&card).and_then(|card| card.known_usage_mut(day)) {
                    usage.held = usage.held.less(reserved);
                }
            }
            PurchaseState::Expired { .. } => purchase.state = next,
            PurchaseState::Reversed | PurchaseState::Sold { .. } => {}
        }
    }

    /// Posts a sale, under its hold where there is one.
    pub(super) fn capture(&mut self, auth_code: &AuthCode, card: &CardToken, sold: Quantity, moment: Moment) {
        let state = PurchaseState::Sold { sold, refunded: Quantity::default() };
        let day = match self.purchases.get(auth_code) {
            None => {
                let day = self.day(moment.at);
                self.insert(auth_code, Purchase { card: card.clone(), day, state }, moment);
                day
            }
            Some(Purchase { state: PurchaseState::Held { .. } | PurchaseState::Expired { .. }, day, .. }) => {
                let day = *day;
                self.release(auth_code, state);
                day
            }
            Some(Purchase { state: PurchaseState::Reversed | PurchaseState::Sold { .. }, .. }) => return,
        };
        self.own = clamped(self.own.get() - sold.minor.get());
        let today = self.day(moment.received_at);
        if let Some(card) = self.cards.get_mut(card) {
            let usage = card.usage_mut(day, today);
            usage.used = usage.used.plus(sold);
        }
    }

    pub(super) fn refund(&mut self, auth_code: &AuthCode, back: Quantity) {
        let Some(purchase) = self.purchases.get_mut(auth_code) else { return };
        let PurchaseState::Sold { refunded, .. } = &mut purchase.state else { return };
        *refunded = refunded.plus(back);
        self.own = clamped(self.own.get() + back.minor.get());
        if let Some(usage) = self.cards.get_mut(&purchase.card).and_then(|card| card.known_usage_mut(purchase.day)) {
            usage.used = usage.used.less(back);
        }
    }

    /// Forgets some of the purchases that arrived before `before`, open holds never.
    pub(super) fn forget_purchases(&mut self, before: TimestampUs) {
        for _ in 0..EVICTIONS_MAX {
            let Some((received_at, auth_code)) = self.arrivals.front() else { return };
            if *received_at >= before {
                return;
            }
            if matches!(self.purchases.get(auth_code), Some(Purchase { state: PurchaseState::Held { .. }, .. })) {
                return;
            }
            self.purchases.remove(auth_code);
            self.arrivals.pop_front();
        }
    }

    fn insert(&mut self, auth_code: &AuthCode, purchase: Purchase, moment: Moment) -> bool {
        if self.purchases.contains_key(auth_code) {
            return false;
        }
        self.purchases.insert(auth_code.clone(), purchase);
        self.arrivals.push_back((moment.received_at, auth_code.clone()));
        true
    }

    #[cfg(test)]
    pub(super) fn open_holds(&self) -> impl Iterator<Item = (&Purchase, Quantity)> {
        self.purchases.values().filter_map(|purchase| match purchase.state {
            PurchaseState::Held { reserved, .. } => Some((purchase, reserved)),
            _ => None,
        })
    }
}

impl Card {
    /// A card that works at once and has no limits.
    pub(super) fn issue(pan_masked: String, vehicle: Option<String>) -> Self {
        Self { pan_masked, vehicle, ..Self::default() }
    }

    /// What was used and is held on `day`.
    pub(super) fn usage(&self, day: Date) -> DayUsage {
        let none = DayUsage { day, used: Quantity::default(), held: Quantity::default() };
        self.days.iter().find(|usage| usage.day == day).copied().unwrap_or(none)
    }

    fn known_usage_mut(&mut self, day: Date) -> Option<&mut DayUsage> {
        self.days.iter_mut().find(|usage| usage.day == day)
    }

    /// Makes room by forgetting the day farthest from `today`, so that no terminal with a wrong clock can push out
    /// the days that count.
    fn usage_mut(&mut self, day: Date, today: Date) -> &mut DayUsage {
        if let Some(place) = self.days.iter().position(|usage| usage.day == day) {
            return &mut self.days[place];
        }
        if self.days.len() >= DAYS_MAX {
            let distance = |usage: &DayUsage| today.since(usage.day).map_or(i32::MAX, |span| span.get_days().abs());
            let farthest = self.days.iter().enumerate().filter(|(_, usage)| usage.held == Quantity::default());
            if let Some((place, _)) = farthest.max_by_key(|(_, usage)| distance(usage)) {
                self.days.swap_remove(place);
            }
        }
        let place = self.days.len();
        self.days.push(DayUsage { day, used: Quantity::default(), held: Quantity::default() });
        &mut self.days[place]
    }

    /// Approved purchases after `after`, up to and including `until`.
    pub(super) fn purchases_between(&self, after: TimestampUs, until: TimestampUs) -> usize {
        self.recent.iter().filter(|at| **at > after && **at <= until).count()
    }

    /// Remembers an approved purchase for the fraud rules.
    pub(super) fn visited(&mut self, at: TimestampUs, location: Option<Location>, window_us: i64) {
        // Against this purchase, not the newest: one clock that runs ahead must not blind the rule.
        let since = at.plus_us(-window_us);
        self.recent.retain(|known| *known > since);
        if self.recent.len() >= RECENT_MAX {
            self.recent.remove(0);
        }
        self.recent.push(at);
        if let Some(location) = location
            && self.last_seen.is_none_or(|(last, _)| at >= last)
        {
            self.last_seen = Some((at, location));
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> Quantity {
        self.days.iter().fold(Quantity::default(), |sum, usage| sum.plus(usage.held))
    }
}
