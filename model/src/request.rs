//! What the ledger decides on: one record of `fuel.requests`.

use serde::{Deserialize, Serialize};

use crate::{CommandMessage, ContractId, IdempotencyKey, PartitionId, TimestampUs, Transaction};

/// Where a record came from. Writers keep the order of an origin partition, so a reader that keeps the highest offset of
/// each origin partition ([`crate::Watermarks`]) drops every repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    pub topic: OriginTopic,
    pub partition: PartitionId,
    pub offset: i64,
}

/// The topics whose records cross into another topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginTopic {
    Transactions,
    Commands,
    Ledger,
    Readings,
    Sales,
}

/// A record of `fuel.requests`. A producer that knows the contract may write here itself, without `origin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub v: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// When Forecourt first saw it. Recorded, so that deciding again gives the same answer.
    pub received_at_us: TimestampUs,
    /// The contract whose card or order this is; absent when the card is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractId>,
    pub body: RequestBody,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestBody {
    Transaction(Box<Transaction>),
    Command(Box<CommandMessage>),
    /// Time has passed for the contract: holds expire and fees fall due. Written by the ledger's owner.
    Tick(Tick),
}

/// The moment up to which time has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    pub idem: IdempotencyKey,
    pub at_us: TimestampUs,
}

impl Request {
    #[must_use]
    pub fn idem(&self) -> &IdempotencyKey {
        match &self.body {
            RequestBody::Transaction(transaction) => &transaction.idem,
            RequestBody::Command(command) => &command.idem,
            RequestBody::Tick(tick) => &tick.idem,
        }
    }
    /// Event time in UTC.
    #[must_use]
    pub fn at(&self) -> TimestampUs {
        match &self.body {
            RequestBody::Transaction(transaction) => transaction.at(),
            RequestBody::Command(command) => command.at_us,
            RequestBody::Tick(tick) => tick.at_us,
        }
    }
    /// The key of the record, and of its ledger record: the contract, or the card where no contract is known.
    #[must_use]
    pub fn key(&self) -> &str {
        match (&self.contract, &self.body) {
            (Some(contract), _) => contract.as_str(),
            (None, RequestBody::Transaction(transaction)) => transaction.card.token.as_str(),
            (None, RequestBody::Command(command)) => command.contract.as_str(),
            (None, RequestBody::Tick(tick)) => tick.idem.as_str(),
        }
    }
}
