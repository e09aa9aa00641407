//! What a card may still buy: its daily limits and the contract's balance.
//!
//! In: the state of a card and its contract, and what is asked for. Out: what is left of each limit, what of the wish
//! fits, and which limit is the tightest. Guarantees: what is granted fits into every limit, money included; a zero or
//! negative rest grants nothing. Does not: decide whether less is good enough.

use jiff::civil::Date;
use model::{CardState, CardToken, CardView, Code, Currency, Fact, Headroom, Measure, Millilitres, Outcome, SoldItem};

use super::contract::{Card, Contract, Quantity, clamped};
use super::items;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitKind {
    DailyVolume,
    DailyMoney,
    Balance,
}

/// One limit as it stands: `left = limit − used − held`, in ml or minor units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) kind: LimitKind,
    pub(super) limit: i64,
    used: i64,
    held: i64,
    pub(super) left: i64,
}

/// The limits that apply, in the order in which they are checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits([Option<Limit>; 3]);

pub(super) fn limits(contract: &Contract, card: &Card, day: Date) -> Limits {
    let [volume, money] = daily(card, day);
    let balance = contract.balance();
    let funds = Limit::new(LimitKind::Balance, balance.own.get() + balance.credit.get(), 0, balance.held.get());
    Limits([volume, money, Some(funds)])
}

fn daily(card: &Card, day: Date) -> [Option<Limit>; 2] {
    let usage = card.usage(day);
    let volume =
        card.daily_ml.map(|limit| Limit::new(LimitKind::DailyVolume, ml(limit), ml(usage.used.ml), ml(usage.held.ml)));
    let money = card
        .daily_minor
        .map(|limit| Limit::new(LimitKind::DailyMoney, limit.get(), usage.used.minor.get(), usage.held.minor.get()));
    [volume, money]
}

fn ml(volume: Millilitres) -> i64 {
    i64::try_from(volume.get()).unwrap_or(i64::MAX)
}

impl Limit {
    fn new(kind: LimitKind, limit: i64, used: i64, held: i64) -> Self {
        Self { kind, limit, used, held, left: limit.saturating_sub(used).saturating_sub(held) }
    }

    pub(super) fn code(self) -> Code {
        match self.kind {
            LimitKind::DailyVolume | LimitKind::DailyMoney => Code::LimitPeriod,
            LimitKind::Balance => Code::Funds,
        }
    }

    pub(super) fn headroom(self, contract: &Contract, day: Date) -> Headroom {
        let (limit, measure) = match self.kind {
            LimitKind::DailyVolume => ("daily volume", Measure::Volume),
            LimitKind::DailyMoney => ("daily money", Measure::Money),
            LimitKind::Balance => ("balance", Measure::Money),
        };
        let window = match self.kind {
            LimitKind::DailyVolume | LimitKind::DailyMoney => {
                format!("day {day} {}", contract.zone.iana_name().unwrap_or("UTC"))
            }
            LimitKind::Balance => "now".to_owned(),
        };
        let Self { limit: limit_value, used, held, left, .. } = self;
        Headroom { limit: limit.to_owned(), measure, window, limit_value, used, held, left }
    }

    fn room(self) -> Room {
        match self.kind {
            LimitKind::DailyVolume => Room { ml: self.left, minor: i64::MAX },
            LimitKind::DailyMoney | LimitKind::Balance => Room { ml: i64::MAX, minor: self.left },
        }
    }
}

impl Limits {
    pub(super) fn headrooms(&self, contract: &Contract, day: Date) -> Vec<Headroom> {
        self.0.iter().flatten().map(|limit| limit.headroom(contract, day)).collect()
    }

    /// What goes beyond a limit when so much more is posted.
    pub(super) fn exceeded_by(&self, posted: Quantity) -> impl Iterator<Item = (Limit, i64)> {
        self.0.into_iter().flatten().filter_map(move |limit| {
            let more = match limit.kind {
                LimitKind::DailyVolume => ml(posted.ml),
                LimitKind::DailyMoney | LimitKind::Balance => posted.minor.get(),
            };
            let beyond = more.saturating_sub(limit.left);
            (beyond > 0).then_some((limit, beyond))
        })
    }

    /// What of the wish fits into all limits, and the limit that leaves the least of it; `None` when all fits.
    pub(super) fn grant(&self, wish: &Wish<'_>) -> (Vec<SoldItem>, Option<Limit>) {
        let room = self.0.iter().flatten().fold(Room::ALL, |room, limit| room.within(limit.room()));
        let granted = wish.within(room);
        if granted.as_slice() == wish.items {
            return (granted, None);
        }
        let volume_under = |limit: &&Limit| items::sum(&wish.within(limit.room())).ml;
        let cutting = |limit: &&Limit| wish.within(limit.room()).as_slice() != wish.items;
        // `min_by_key` takes the first of equals: the order of the checks.
        let tightest = self.0.iter().flatten().filter(cutting).min_by_key(volume_under).copied();
        (granted, tightest)
    }
}

/// What is asked for, with the fill-up line at its largest.
pub(super) struct Wish<'a> {
    pub(super) items: &'a [SoldItem],
    pub(super) fill_up: bool,
    pub(super) currency: Currency,
}

#[derive(Clone, Copy)]
struct Room {
    ml: i64,
    minor: i64,
}

impl Room {
    const ALL: Self = Self { ml: i64::MAX, minor: i64::MAX };

    fn within(self, other: Self) -> Self {
        Self { ml: self.ml.min(other.ml), minor: self.minor.min(other.minor) }
    }
}

impl Wish<'_> {
    /// Line by line, as much as fits. A fill-up comes last: it takes what the other lines leave.
    fn within(&self, mut room: Room) -> Vec<SoldItem> {
        let mut granted = self.items.to_vec();
        let first = usize::from(self.fill_up);
        let order = (first..granted.len()).chain(0..first);
        for place in order {
            let Some(item) = granted.get_mut(place) else { continue };
            if ml(item.qty_ml) > room.ml || item.amount_minor.get() > room.minor {
                let affordable = item.price_e4.volume_within(clamped(room.minor), self.currency);
                let left_ml = Millilitres::new(u64::try_from(room.ml).unwrap_or(0)).unwrap_or(item.qty_ml);
                item.qty_ml = item.qty_ml.min(left_ml).min(affordable.unwrap_or(item.qty_ml));
                item.amount_minor = item.price_e4.amount(item.qty_ml, self.currency).unwrap_or_default();
                if item.amount_minor.get() > room.minor {
                    item.qty_ml = Millilitres::ZERO;
                    item.amount_minor = clamped(0);
                }
            }
            room.ml = room.ml.saturating_sub(ml(item.qty_ml));
            room.minor = room.minor.saturating_sub(item.amount_minor.get());
        }
        granted
    }
}

/// The cards that the facts changed, after them. Limits are those of the contract's present day, also when an old sale
/// came late.
pub(super) fn views(contract: &Contract, outcome: &Outcome) -> Vec<CardView> {
    let mut touched: Vec<&CardToken> = Vec::new();
    for card in outcome.facts.iter().filter_map(changed_card) {
        if !touched.contains(&card) {
            touched.push(card);
        }
    }
    let day = contract.day(outcome.at_us.max(contract.latest));
    touched.into_iter().filter_map(|token| view(contract, token, day)).collect()
}

fn view(contract: &Contract, token: &CardToken, day: Date) -> Option<CardView> {
    let card = contract.cards.get(token)?;
    Some(CardView {
        card: token.clone(),
        pan_masked: card.pan_masked.clone(),
        vehicle: card.vehicle.clone(),
        state: if card.blocked { CardState::Blocked } else { CardState::Active },
        headroom: daily(card, day).iter().flatten().map(|limit| limit.headroom(contract, day)).collect(),
    })
}

fn changed_card(fact: &Fact) -> Option<&CardToken> {
    match fact {
        Fact::CardIssued { card, .. }
        | Fact::CardBlocked { card, .. }
        | Fact::CardUnblocked { card }
        | Fact::DailyLimitSet { card, .. }
        | Fact::Captured { card, .. }
        | Fact::Reversed { card, .. }
        | Fact::HoldExpired { card, .. }
        | Fact::Refunded { card, .. } => Some(card),
        Fact::Decided { card, decision, .. } => decision.hold.is_some().then_some(card),
        Fact::ContractOpened { .. }
        | Fact::ToppedUp { .. }
        | Fact::CreditLineSet { .. }
        | Fact::RuleSet { .. }
        | Fact::CommandRefused { .. }
        | Fact::CommandRepeated => None,
    }
}
