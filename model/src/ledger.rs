//! The truth about cards and money: records of `fuel.ledger`, and how to read them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Actor, AuthCode, Balance, Block, CardKind, CardToken, Closure, Code, ContractId, Currency, Decision, Discount,
    Driver, DriverId, FraudRule, Group, GroupId, Headroom, Holiday, IdempotencyKey, Limit, LimitId, Location,
    Millilitres, MinorUnits, MonthlyFee, Origin, OriginTopic, PartitionId, Payer, Policy, ProductCode, ProductSelector,
    RegisterLine, RegisterOutcome, Restriction, RestrictionId, RuleMode, Scope, SiteId, TerminalId, TimestampUs,
    TransactionKind, Unit, Vehicle, VehicleId, WeekStart,
};

/// A record of `fuel.ledger`. All that one request changed stands in one record, so no record depends on another being written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRecord {
    pub v: u8,
    /// The offset of the [`LedgerBody::Takeover`] under which this was written; 0 on the takeover itself.
    pub epoch: i64,
    pub body: LedgerBody,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerBody {
    /// A new owner of the partition. Its offset in the ledger is the new epoch; facts of other epochs that follow are void.
    Takeover {
        owner: String,
        at_us: TimestampUs,
    },
    Outcome(Outcome),
}

/// All that follows from one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Offset of the request in the same partition of `fuel.requests`.
    pub request: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    pub idem: IdempotencyKey,
    /// Event time of the request, UTC.
    pub at_us: TimestampUs,
    pub received_at_us: TimestampUs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractId>,
    /// Who gave the order; absent for transactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Fingerprint of an order's body: tells a repeat from a re-used key. Absent for transactions, whose
    /// [`Fact::Decided`] carries it, and for repeats of an origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<u64>,
    /// In the order in which they happened. Empty when the request repeats an origin that was seen.
    pub facts: Vec<Fact>,
    /// The contract's money after all facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// The cards that the facts touched, after all facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<CardView>,
}

/// What happened. State is the fold of facts, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "decisions are by far the most frequent")]
pub enum Fact {
    ContractOpened {
        name: String,
        currency: Currency,
        time_zone: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        legal_entity: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holding: Option<String>,
        #[serde(default, skip_serializing_if = "WeekStart::is_monday")]
        week_start: WeekStart,
    },
    TermSet {
        valid_from_us: Option<TimestampUs>,
        valid_to_us: Option<TimestampUs>,
    },
    ContractBlocked(Block),
    ContractUnblocked {
        actor: Actor,
    },
    HolidaysSet {
        days: Vec<Holiday>,
    },
    ToppedUp {
        amount_minor: MinorUnits,
        reference: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payer: Option<Payer>,
    },
    /// A line of the bank's register, and what became of it.
    RegisterMatched {
        line: RegisterLine,
        outcome: RegisterOutcome,
        /// What the top-up with this reference had; absent when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credited_minor: Option<MinorUnits>,
    },
    /// A top-up that the register of its day does not show.
    RegisterMissing {
        reference: String,
        amount_minor: MinorUnits,
    },
    CreditLineSet {
        amount_minor: MinorUnits,
    },
    Adjusted {
        amount_minor: MinorUnits,
        reason: String,
    },
    MonthlyFeeSet(MonthlyFee),
    /// The fee of a month, `2026-01`.
    FeeCharged {
        name: String,
        month: String,
        amount_minor: MinorUnits,
    },
    DiscountSet(Discount),
    DiscountRemoved {
        product: ProductSelector,
    },
    /// What was unbilled is now own debt.
    Billed {
        number: String,
        amount_minor: MinorUnits,
    },
    CardIssued {
        card: CardToken,
        pan_masked: String,
        #[serde(default, skip_serializing_if = "CardKind::is_plastic")]
        kind: CardKind,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<GroupId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vehicle: Option<VehicleId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<DriverId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_from_us: Option<TimestampUs>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_to_us: Option<TimestampUs>,
    },
    CardBlocked {
        card: CardToken,
        #[serde(default)]
        actor: Actor,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_us: Option<TimestampUs>,
    },
    CardUnblocked {
        card: CardToken,
        #[serde(default)]
        actor: Actor,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_us: Option<TimestampUs>,
    },
    CardClosed {
        card: CardToken,
        closure: Closure,
    },
    PinReset {
        card: CardToken,
    },
    CardAssigned {
        card: CardToken,
        group: Option<GroupId>,
        vehicle: Option<VehicleId>,
        driver: Option<DriverId>,
    },
    GroupPut(Group),
    VehiclePut(Vehicle),
    DriverPut(Driver),
    /// The limit as it is from now on.
    LimitSet {
        limit: Limit,
        /// 1 for the first setting of this id.
        version: u32,
    },
    LimitRemoved {
        limit: LimitId,
    },
    RestrictionSet(Restriction),
    RestrictionRemoved {
        restriction: RestrictionId,
    },
    PolicySet {
        scope: Scope,
        policy: Option<Policy>,
    },
    RuleSet {
        rule: FraudRule,
        mode: RuleMode,
    },
    /// Less is left of a limit than its owner wants to know of.
    LimitLow {
        limit: LimitId,
        window: String,
        left: i64,
    },
    /// So much of the credit line is in use: 70, 90 or 100 percent.
    CreditLineUsed {
        percent: u8,
    },
    /// An order that could not be carried out.
    CommandRefused {
        code: Code,
        message: String,
    },
    /// An order whose key was seen before: nothing changed again.
    CommandRepeated,
    /// The answer to a transaction. With a hold, it reserves; what is posted comes as `Captured`.
    Decided {
        kind: TransactionKind,
        card: CardToken,
        site: SiteId,
        terminal: TerminalId,
        pump: Option<u16>,
        location: Option<Location>,
        /// What was asked for.
        items: Vec<SoldItem>,
        /// The vehicle and the driver, as the card or the prompts say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vehicle: Option<VehicleId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<DriverId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        odometer: Option<u32>,
        /// Fingerprint of the request's body: tells a repeat from a re-used key.
        fingerprint: u64,
        decision: Decision,
    },
    /// Fuel or goods went into the vehicle: money and usage are posted. Negative amounts undo a sale.
    Captured {
        card: CardToken,
        auth_code: AuthCode,
        site: SiteId,
        terminal: TerminalId,
        pump: Option<u16>,
        items: Vec<SoldItem>,
        amount_minor: MinorUnits,
    },
    /// The hold of this authorization is released unused.
    Reversed {
        card: CardToken,
        auth_code: AuthCode,
        /// Why somebody ended it by hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    HoldExpired {
        card: CardToken,
        auth_code: AuthCode,
    },
    /// Goods came back: money and usage are given back.
    Refunded {
        card: CardToken,
        auth_code: AuthCode,
        site: SiteId,
        items: Vec<SoldItem>,
        amount_minor: MinorUnits,
    },
    /// A sale undone before it was billed: its usage and its count are given back too.
    Voided {
        card: CardToken,
        auth_code: AuthCode,
        site: SiteId,
        items: Vec<SoldItem>,
        amount_minor: MinorUnits,
    },
}

/// One product line with its amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoldItem {
    pub code: ProductCode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<ProductCode>,
    #[serde(default, skip_serializing_if = "Unit::is_litres")]
    pub unit: Unit,
    /// Zero for what is counted in pieces.
    pub qty_ml: Millilitres,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pieces: u32,
    pub price_e4: crate::PriceE4,
    /// What the contract pays: the station's amount less the discount.
    pub amount_minor: MinorUnits,
    #[serde(default, skip_serializing_if = "MinorUnits::is_zero")]
    pub discount_minor: MinorUnits,
}

fn is_zero(pieces: &u32) -> bool {
    *pieces == 0
}

/// A card as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardView {
    pub card: CardToken,
    pub pan_masked: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<VehicleId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverId>,
    pub state: CardState,
    /// What is left of each limit after the facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headroom: Vec<Headroom>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardState {
    Active,
    Blocked,
    PinLocked,
    NotYet,
    Expired,
    Lost,
    Stolen,
    Closed,
}

/// Tells the true records of one ledger or station-events partition from those of an owner that was replaced.
///
/// A takeover record is always true and starts an epoch; another record is true when it carries the current epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    epoch: Option<i64>,
}

impl Fence {
    /// The offset of the latest takeover seen.
    #[must_use]
    pub fn epoch(&self) -> Option<i64> {
        self.epoch
    }
    /// A takeover stands at `offset`.
    pub fn takeover(&mut self, offset: i64) {
        self.epoch = Some(offset);
    }
    /// Whether a record of `epoch` is true here.
    #[must_use]
    pub fn admits(&self, epoch: i64) -> bool {
        self.epoch == Some(epoch)
    }
}

/// The highest offset seen of each origin partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks(BTreeMap<OriginTopic, BTreeMap<PartitionId, i64>>);

impl Watermarks {
    /// True when `origin` is new; remembers it. False for a repeat.
    pub fn advance(&mut self, origin: Origin) -> bool {
        let seen = self.0.entry(origin.topic).or_default().entry(origin.partition).or_insert(-1);
        let new = origin.offset > *seen;
        if new {
            *seen = origin.offset;
        }
        new
    }
    /// True when `origin` was seen.
    #[must_use]
    pub fn covers(&self, origin: Origin) -> bool {
        self.get(origin.topic, origin.partition).is_some_and(|seen| origin.offset <= seen)
    }
    #[must_use]
    pub fn get(&self, topic: OriginTopic, partition: PartitionId) -> Option<i64> {
        self.0.get(&topic).and_then(|partitions| partitions.get(&partition)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_owner_cannot_change_the_truth() {
        let mut fence = Fence::default();
        assert!(!fence.admits(0));
        fence.takeover(0);
        assert!(fence.admits(0));
        fence.takeover(7);
        assert!(fence.admits(7) && !fence.admits(0));
    }

    #[test]
    fn a_repeat_of_an_origin_is_known() {
        let mut seen = Watermarks::default();
        let at = |offset| Origin { topic: OriginTopic::Transactions, partition: PartitionId(3), offset };
        assert!(seen.advance(at(4)));
        assert!(!seen.advance(at(4)) && !seen.advance(at(1)) && seen.covers(at(2)));
        assert!(seen.advance(at(9)) && !seen.covers(at(10)));
    }
}
