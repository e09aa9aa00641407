//! Which contract a card belongs to: records of the compacted topic `fuel.cards`.

use serde::{Deserialize, Serialize};

use crate::{CardToken, ContractId, Origin};

/// A record of `fuel.cards`, keyed by card. A card never changes its contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardEntry {
    pub v: u8,
    /// The ledger record that issued the card.
    pub origin: Origin,
    pub card: CardToken,
    pub contract: ContractId,
}
