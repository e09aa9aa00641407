//! Which contract each card belongs to, as far as `fuel.cards` tells.
//!
//! In: records of `fuel.cards`. Out: the contract of a card. Guarantees: the first contract of a card stays.
//! Does not: forget; a card costs about 150 bytes.

use hashbrown::{HashMap, HashSet};
use model::{CardEntry, CardToken, ContractId, LogSettings, Topic};
use std::time::Duration;

use crate::{Error, From, LogMessage, LogReader};

/// Records taken from the log at a time.
const BATCH_MAX: usize = 4_096;

/// The table, and the reader that keeps it up to date.
pub(super) struct CardTable {
    reader: LogReader,
    cards: Cards,
    batch: Vec<LogMessage>,
}

impl CardTable {
    pub(super) fn open(settings: &LogSettings) -> Result<Self, Error> {
        let positions: Vec<_> = settings.all_partitions().map(|p| (Topic::Cards, p, From::Beginning)).collect();
        let reader = LogReader::open(settings, &positions)?;
        Ok(Self { reader, cards: Cards::default(), batch: Vec::with_capacity(BATCH_MAX) })
    }

    /// True once everything is read that was there at the start.
    pub(super) fn is_complete(&self) -> bool {
        self.reader.all_caught_up()
    }

    /// Takes in what has arrived; waits up to `wait` for the first.
    pub(super) fn refresh(&mut self, wait: Duration) -> Result<(), Error> {
        let mut wait = wait;
        loop {
            self.batch.clear();
            self.reader.read(BATCH_MAX, wait, &mut self.batch)?;
            for message in &self.batch {
                self.cards.learn(message);
            }
            if self.batch.len() < BATCH_MAX {
                return Ok(());
            }
            wait = Duration::ZERO;
        }
    }

    pub(super) fn contract_of(&self, card: &CardToken) -> Option<&ContractId> {
        self.cards.contract_of(card)
    }

    pub(super) fn len(&self) -> usize {
        self.cards.contracts.len()
    }
}

/// The table alone.
#[derive(Debug, Default)]
pub struct Cards {
    contracts: HashMap<CardToken, ContractId>,
    /// One text per contract, shared by its cards.
    names: HashSet<ContractId>,
}

impl Cards {
    #[must_use]
    pub fn contract_of(&self, card: &CardToken) -> Option<&ContractId> {
        self.contracts.get(card)
    }

    /// Takes in a record of `fuel.cards`.
    pub fn learn(&mut self, message: &LogMessage) {
        let Some(payload) = &message.payload else { return };
        match serde_json::from_slice::<CardEntry>(payload) {
            Ok(entry) => {
                let name = self.names.get_or_insert(entry.contract);
                self.contracts.entry(entry.card).or_insert_with(|| name.clone());
            }
            Err(error) => {
                metrics::counter!("forecourt_cards_unreadable_total").increment(1);
                tracing::error!(partition = %message.partition, offset = message.offset, %error, "a card entry is unreadable");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::PartitionId;

    fn message(payload: Option<&str>) -> LogMessage {
        LogMessage {
            topic: Topic::Cards,
            partition: PartitionId(0),
            offset: 0,
            key: None,
            payload: payload.map(|text| text.as_bytes().to_vec()),
            timestamp_ms: None,
        }
    }

    fn entry(card: &str, contract: &str) -> LogMessage {
        let origin = r#"{"topic":"ledger","partition":0,"offset":1}"#;
        message(Some(&format!(r#"{{"v":1,"origin":{origin},"card":"{card}","contract":"{contract}"}}"#)))
    }

    #[test]
    fn a_card_stays_with_its_first_contract() {
        let mut cards = Cards::default();
        for message in
            [entry("K-1", "C-1"), entry("K-1", "C-2"), entry("K-2", "C-1"), message(None), message(Some("{"))]
        {
            cards.learn(&message);
        }
        let contract = |card| cards.contracts.get(&CardToken::new(card).unwrap()).map(ContractId::as_str);
        assert_eq!([contract("K-1"), contract("K-2"), contract("K-3")], [Some("C-1"), Some("C-1"), None]);
    }
}
