//! Which contract each card belongs to, as far as `fuel.cards` tells.
//!
//! In: records of `fuel.cards`, and how far the group has confirmed us since. Out: the contract of a card. Guarantees: the
//! first contract of a card stays; a confirmed card is known to every router that gets a partition after us.
//! Does not: forget; a card costs about 160 bytes.

use hashbrown::{HashMap, HashSet};
use model::{CardEntry, CardToken, ContractId, LogSettings, Topic};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::{Error, From, LogMessage, LogReader};

/// Records taken from the log at a time.
const BATCH_MAX: usize = 4_096;

/// The table, and the reader that keeps it up to date.
pub(super) struct CardTable {
    settings: LogSettings,
    reader: LogReader,
    pub(super) cards: Cards,
    batch: Vec<LogMessage>,
}

impl CardTable {
    pub(super) fn open(settings: &LogSettings) -> Result<Self, Error> {
        let positions: Vec<_> = settings.all_partitions().map(|p| (Topic::Cards, p, From::Beginning)).collect();
        let reader = LogReader::open(settings, &positions)?;
        Ok(Self { settings: settings.clone(), reader, cards: Cards::default(), batch: Vec::with_capacity(BATCH_MAX) })
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

    /// Reads all that the log holds at this moment. `false` when told to stop meanwhile.
    pub(super) fn catch_up(&mut self, wait: Duration, stop: &AtomicBool) -> Result<bool, Error> {
        // Opened anew, because the old reader's events may tell of an end that has moved since.
        let position = |partition| self.reader.position(Topic::Cards, partition).map_or(From::Beginning, From::Offset);
        let positions: Vec<_> =
            self.settings.all_partitions().map(|partition| (Topic::Cards, partition, position(partition))).collect();
        self.reader = LogReader::open(&self.settings, &positions)?;
        while !self.is_complete() {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.refresh(wait)?;
        }
        Ok(true)
    }
}

/// The table alone.
#[derive(Debug, Default)]
pub struct Cards {
    contracts: HashMap<CardToken, Known>,
    /// One text per contract, shared by its cards.
    names: HashSet<ContractId>,
    confirmed: usize,
}

#[derive(Debug)]
struct Known {
    contract: ContractId,
    /// How many were known with this one.
    number: usize,
}

impl Cards {
    /// The contract of a card, as far as we know.
    #[must_use]
    pub fn contract_of(&self, card: &CardToken) -> Option<&ContractId> {
        self.contracts.get(card).map(|known| &known.contract)
    }

    /// The contract of a card that every later router knows too.
    #[must_use]
    pub fn confirmed_contract_of(&self, card: &CardToken) -> Option<&ContractId> {
        self.contracts.get(card).filter(|known| known.number <= self.confirmed).map(|known| &known.contract)
    }

    /// How many cards are known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.contracts.len()
    }

    /// Whether there are cards that are not confirmed.
    #[must_use]
    pub fn has_unconfirmed(&self) -> bool {
        self.confirmed < self.known()
    }

    /// The group has taken a commit of ours that was sent when so many were [`Self::known`].
    pub fn confirm(&mut self, known: usize) {
        self.confirmed = self.confirmed.max(known);
    }

    /// Takes in a record of `fuel.cards`.
    pub fn learn(&mut self, message: &LogMessage) {
        let Some(payload) = &message.payload else { return };
        match serde_json::from_slice::<CardEntry>(payload) {
            Ok(entry) => {
                let name = self.names.get_or_insert(entry.contract);
                let (contract, number) = (name.clone(), self.contracts.len() + 1);
                self.contracts.entry(entry.card).or_insert(Known { contract, number });
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
        let contract = |card| cards.contract_of(&CardToken::new(card).unwrap()).map(ContractId::as_str);
        assert_eq!([contract("K-1"), contract("K-2"), contract("K-3")], [Some("C-1"), Some("C-1"), None]);
    }

    #[test]
    fn a_card_is_confirmed_by_a_commit_that_was_sent_after_it_was_learned() {
        let mut cards = Cards::default();
        let confirmed = |cards: &Cards| {
            ["K-1", "K-2"].map(|card| cards.confirmed_contract_of(&CardToken::new(card).unwrap()).is_some())
        };
        cards.learn(&entry("K-1", "C-1"));
        let sent_with = cards.known();
        cards.learn(&entry("K-2", "C-1"));
        assert_eq!(confirmed(&cards), [false, false]);
        cards.confirm(sent_with);
        assert_eq!((confirmed(&cards), cards.has_unconfirmed()), ([true, false], true));
        cards.learn(&entry("K-1", "C-1"));
        cards.confirm(cards.known());
        assert_eq!((confirmed(&cards), cards.has_unconfirmed()), ([true, true], false));
    }
}
