//! The truth about cards and money: records of `fuel.ledger`, and how to read them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AuthCode, Balance, CardToken, Code, ContractId, Currency, Decision, FraudRule, Headroom, IdempotencyKey, Location,
    Millilitres, MinorUnits, Origin, OriginTopic, PartitionId, ProductCode, RuleMode, SiteId, TerminalId, TimestampUs,
    TransactionKind,
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
    },
    ToppedUp {
        amount_minor: MinorUnits,
        reference: String,
    },
    CreditLineSet {
        amount_minor: MinorUnits,
    },
    CardIssued {
        card: CardToken,
        pan_masked: String,
        vehicle: Option<String>,
    },
    CardBlocked {
        card: CardToken,
        reason: String,
    },
    CardUnblocked {
        card: CardToken,
    },
    DailyLimitSet {
        card: CardToken,
        daily_ml: Option<Millilitres>,
        daily_minor: Option<MinorUnits>,
    },
    RuleSet {
        rule: FraudRule,
        mode: RuleMode,
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
}

/// One product line with its amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoldItem {
    pub code: ProductCode,
    pub qty_ml: Millilitres,
    pub price_e4: crate::PriceE4,
    pub amount_minor: MinorUnits,
}

/// A card as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardView {
    pub card: CardToken,
    pub pan_masked: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<String>,
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
}

/// Tells the true records of one ledger or station-events partition from those of an owner that was replaced.
///
/// A takeover record is always true and starts an epoch; another record is true when it carries the current epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
