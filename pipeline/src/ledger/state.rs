//! Contracts, cards and purchases: the state that decisions read.
//!
//! Built for a million cards: what a decision reads lies together, names are numbers, what is rare is boxed. Amounts are
//! plain integers whose unit ends their name; they are checked where they enter. Invariants: a contract's `held_minor` is the
//! sum of its open holds; `open_holds` names exactly those; every counter is the sum over the purchases of its scope. What is
//! `Serialize` stands so in snapshots: a change of it is a change of their format, and `snapshot/tests` says so.

use std::collections::{BTreeMap, VecDeque};

use model::{
    Actor, Balance, Block, CardKind, CardToken, Closure, ContractId, Currency, Discount, Driver, Group, Holiday,
    LimitId, Location, MinorUnits, MonthlyFee, Policy, RegisterLine, Restriction, RuleMode, TimestampUs, Vehicle,
    WeekStart,
};
use serde::{Deserialize, Serialize};

use super::calendar::Local;
use super::lines::{Lines, Selector};
use super::settings::{Setting, Settings};
use super::snapshot::fields::{Stored, json, place, register_lines, stored};
use super::usage::Counter;

/// The hasher is fixed: the same build does the same work, and no order of a map reaches a record.
pub(super) type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;

/// The place of a contract, card, group, vehicle or driver.
pub(super) type Ix = u32;
pub(super) const NONE: Ix = Ix::MAX;

/// Largest amount that a balance may reach, either side.
pub(super) const MINOR_MAX: i64 = 1_000_000_000_000_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Contract {
    pub(super) id: ContractId,
    pub(super) currency: Currency,
    /// Among the zones of the shard.
    pub(super) zone: u16,
    pub(super) week_start: WeekStart,
    pub(super) money: Money,
    pub(super) velocity: RuleMode,
    pub(super) travel: RuleMode,
    pub(super) valid_from_us: i64,
    pub(super) valid_to_us: i64,
    /// Latest event time whose clock was believed.
    pub(super) latest: TimestampUs,
    /// Open holds by no order: time of expiry, card, authorization.
    pub(super) open_holds: Vec<(i64, Ix, i64)>,
    pub(super) rules: Rules,
    /// Groups, vehicles and drivers are few beside cards, or none.
    pub(super) parties: Option<Box<Parties>>,
    #[serde(with = "json")]
    pub(super) blocks: Vec<Block>,
    #[serde(with = "json")]
    pub(super) discounts: Vec<(Selector, Discount)>,
    pub(super) holidays: Vec<Holiday>,
    #[serde(skip)]
    pub(super) cards: Vec<Ix>,
    /// Every setting that any limit ever had: answers name them.
    #[serde(skip)]
    pub(super) settings: Settings,
    pub(super) rules_version: u64,
    pub(super) books: Option<Box<Books>>,
    /// Bills so far: a sale is billed when it was sold before the last of them.
    pub(super) bills: u32,
}

/// `available = own + credit − held − unbilled`, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Money {
    pub(super) own: i64,
    pub(super) credit: i64,
    pub(super) held: i64,
    pub(super) unbilled: i64,
}

/// What is rare in the money of a contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Books {
    /// By reference.
    pub(super) top_ups: BTreeMap<String, TopUp>,
    /// The latest line of each reference.
    #[serde(with = "register_lines")]
    pub(super) register_lines: BTreeMap<String, RegisterLine>,
    pub(super) fees: Vec<MonthlyFee>,
    /// The first moment of the month whose fees are due next.
    pub(super) fees_due_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TopUp {
    pub(super) amount_minor: i64,
    pub(super) at: TimestampUs,
    pub(super) state: model::TopUpState,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Parties {
    pub(super) groups: Vec<Party<Group>>,
    pub(super) vehicles: Vec<Party<Vehicle>>,
    pub(super) drivers: Vec<Party<Driver>>,
    #[serde(skip)]
    pub(super) group_ix: Map<model::GroupId, Ix>,
    #[serde(skip)]
    pub(super) vehicle_ix: Map<model::VehicleId, Ix>,
    #[serde(skip)]
    pub(super) driver_ix: Map<model::DriverId, Ix>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "P: Stored", deserialize = "P: Stored"))]
pub(super) struct Party<P> {
    #[serde(with = "stored")]
    pub(super) party: P,
    pub(super) rules: Rules,
}

/// What one scope is bound by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rules {
    pub(super) limits: Vec<Counter>,
    pub(super) rare: Option<Box<RareRules>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RareRules {
    #[serde(with = "json")]
    pub(super) restrictions: Vec<Restriction>,
    #[serde(with = "json")]
    pub(super) policy: Option<Policy>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Card {
    pub(super) token: CardToken,
    pub(super) contract: Ix,
    pub(super) group: Ix,
    pub(super) vehicle: Ix,
    pub(super) driver: Ix,
    /// Nothing about the card itself stands against a purchase: no block, no closure, no dates, no PIN tries, plastic.
    pub(super) plain: bool,
    pub(super) rules: Rules,
    /// By arrival.
    pub(super) purchases: VecDeque<Purchase>,
    /// When the first of them arrived.
    pub(super) oldest_us: i64,
    /// The latest event time of an approved purchase at the station.
    pub(super) last_visit: TimestampUs,
    /// The latest approved purchase at a known place.
    pub(super) last_seen: Option<(TimestampUs, Location)>,
    pub(super) odometer: Option<u32>,
    pub(super) face: Box<Face>,
    /// Sums of the purchases that are too old to be kept one by one.
    pub(super) older: Vec<MonthSum>,
}

/// What is rarely looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Face {
    pub(super) pan_masked: String,
    pub(super) kind: CardKind,
    pub(super) valid_from_us: i64,
    pub(super) valid_to_us: i64,
    pub(super) closure: Option<Closure>,
    #[serde(with = "json")]
    pub(super) blocks: Vec<Block>,
    /// Until when each actor's block is lifted.
    pub(super) lifted_until: Vec<(Actor, TimestampUs)>,
    pub(super) pin_tries: u8,
    pub(super) pin_locked_until_us: i64,
}

/// An authorization or a sale, for as long as something may refer to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Purchase {
    /// The offset of its request: its authorization code is made from it.
    pub(super) auth: i64,
    /// When it counts.
    pub(super) at: TimestampUs,
    pub(super) received_at: TimestampUs,
    pub(super) local: Local,
    pub(super) expires_at_us: i64,
    /// What counts now: what is reserved while held, what was sold less what came back after.
    pub(super) lines: Lines,
    pub(super) group: Ix,
    pub(super) vehicle: Ix,
    pub(super) driver: Ix,
    /// Hash of the terminal, to tell whether another one completes.
    pub(super) terminal: u32,
    /// The contract's bills when it was sold.
    pub(super) bills: u32,
    pub(super) state: PurchaseState,
    pub(super) offline: bool,
    /// Asked for online with the card at the station: the fraud rules look back on it.
    pub(super) visit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PurchaseState {
    Held,
    Expired,
    Reversed,
    Sold,
    Voided,
}

/// What was bought in one month, for one selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MonthSum {
    pub(super) key: MonthKey,
    pub(super) ml: i64,
    pub(super) minor: i64,
    pub(super) purchases: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MonthKey {
    pub(super) month: i64,
    pub(super) selector: Selector,
    #[serde(with = "place")]
    pub(super) group: Ix,
    #[serde(with = "place")]
    pub(super) vehicle: Ix,
    #[serde(with = "place")]
    pub(super) driver: Ix,
    pub(super) offline: bool,
}

/// When something happened and when it became known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: TimestampUs,
    pub(super) received_at: TimestampUs,
}

impl Money {
    pub(super) fn available(self) -> i64 {
        self.own + self.credit - self.held - self.unbilled
    }

    /// Percent of the credit line in use; `None` without one.
    pub(super) fn credit_used_percent(self) -> Option<i64> {
        let in_use = (self.held + self.unbilled - self.own).max(0);
        (self.credit > 0).then(|| in_use.saturating_mul(100) / self.credit)
    }

    pub(super) fn balance(self, currency: Currency) -> Balance {
        Balance {
            currency,
            own: minor(self.own),
            credit: minor(self.credit),
            held: minor(self.held),
            unbilled: minor(self.unbilled),
            available: minor(self.available()),
        }
    }
}

/// An amount of the state as the vocabulary writes it.
pub(super) fn minor(amount: i64) -> MinorUnits {
    MinorUnits::new(amount.clamp(-MINOR_MAX, MINOR_MAX)).unwrap_or(MinorUnits::ZERO)
}

impl Contract {
    pub(super) fn parties_mut(&mut self) -> &mut Parties {
        self.parties.get_or_insert_with(Box::default)
    }

    pub(super) fn books_mut(&mut self) -> &mut Books {
        self.books.get_or_insert_with(Box::default)
    }

    /// The latest setting of a limit that was not removed.
    pub(super) fn setting(&self, id: &LimitId) -> Option<&Setting> {
        let named = self.settings.named(id).filter(|named| !named.removed)?;
        self.settings.get(named.setting)
    }

    /// Which setting of this name comes next, 1 for the first.
    pub(super) fn next_version(&self, id: &LimitId) -> u32 {
        let last = self.settings.named(id).and_then(|named| self.settings.get(named.setting));
        last.map_or(1, |setting| setting.version.saturating_add(1))
    }

    /// The setting with which a limit began; limits of a scope stand in this order.
    pub(super) fn first_setting(&self, setting: Ix) -> Ix {
        let id = self.settings.get(setting).map(|setting| &setting.limit.id);
        id.and_then(|id| self.settings.named(id)).map_or(setting, |named| named.first)
    }

    pub(super) fn group(&self, ix: Ix) -> Option<&Party<Group>> {
        self.parties.as_ref()?.groups.get(ix as usize)
    }

    pub(super) fn vehicle(&self, ix: Ix) -> Option<&Party<Vehicle>> {
        self.parties.as_ref()?.vehicles.get(ix as usize)
    }

    pub(super) fn driver(&self, ix: Ix) -> Option<&Party<Driver>> {
        self.parties.as_ref()?.drivers.get(ix as usize)
    }

    /// The next moment at which time alone changes something; `i64::MAX` for never.
    pub(super) fn due_us(&self) -> i64 {
        let hold = self.open_holds.iter().map(|(expires_at, ..)| *expires_at).min().unwrap_or(i64::MAX);
        let fees =
            self.books.as_ref().filter(|books| !books.fees.is_empty()).map_or(i64::MAX, |books| books.fees_due_us);
        hold.min(fees)
    }
}

impl Rules {
    pub(super) fn restrictions(&self) -> &[Restriction] {
        self.rare.as_ref().map_or(&[], |rare| &rare.restrictions)
    }

    pub(super) fn policy(&self) -> Option<&Policy> {
        self.rare.as_ref()?.policy.as_ref()
    }
}

impl Card {
    /// The purchase with this authorization.
    pub(super) fn purchase(&self, auth: i64) -> Option<&Purchase> {
        self.purchases.get(self.place_of(auth)?)
    }

    /// Purchases stand in the order of their requests, which give them their authorizations.
    pub(super) fn place_of(&self, auth: i64) -> Option<usize> {
        if self.purchases.back().is_none_or(|last| last.auth < auth) {
            return None;
        }
        self.purchases.binary_search_by_key(&auth, |purchase| purchase.auth).ok()
    }

    /// Brings `plain` up to date after a change of the face.
    pub(super) fn review(&mut self) {
        let face = &self.face;
        self.plain = face.kind == CardKind::Plastic
            && face.closure.is_none()
            && face.blocks.is_empty()
            && face.pin_tries == 0
            && face.pin_locked_until_us == i64::MIN
            && face.valid_from_us == i64::MIN
            && face.valid_to_us == i64::MAX;
    }
}

impl Face {
    /// The block that stands at a moment: not run out, not lifted for a while.
    pub(super) fn block_at(&self, at: TimestampUs) -> Option<&Block> {
        let lifted = |actor: Actor| self.lifted_until.iter().any(|(who, until)| *who == actor && at < *until);
        self.blocks.iter().find(|block| block.until_us.is_none_or(|until| at < until) && !lifted(block.actor))
    }
}
