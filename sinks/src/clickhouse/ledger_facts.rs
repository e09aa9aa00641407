//! `ledger_facts`: one row for each fact of the ledger.

use ::clickhouse::Row;
use model::{Fact, Outcome, SoldItem};
use serde::Serialize;

use super::columns::{time, word};
use super::rows::Place;

pub(super) const TABLE: &str = "ledger_facts";

/// By month of recording, not of the event: a terminal's clock may say any year, and a partition for each would be too many.
pub(super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS ledger_facts (
    partition Int32 COMMENT 'partition of fuel.ledger',
    offset Int64 COMMENT 'offset in fuel.ledger',
    fact UInt16 COMMENT 'place of the fact in its record',
    kind LowCardinality(String),
    at DateTime64(6, 'UTC') COMMENT 'event time',
    received_at DateTime64(6, 'UTC'),
    recorded_at DateTime64(3, 'UTC') COMMENT 'when Kafka got the record',
    idem String,
    contract String,
    card String,
    site LowCardinality(String),
    terminal String,
    transaction_kind LowCardinality(String),
    verdict LowCardinality(String),
    code LowCardinality(String),
    product LowCardinality(String) COMMENT 'of the first item',
    qty_ml Int64 COMMENT 'sum of the items; below zero where fuel came back',
    amount_minor Int64 COMMENT 'below zero where money was given back',
    currency LowCardinality(String),
    auth_code String,
    own_minor Int64 COMMENT 'the contract after all facts of the record',
    credit_minor Int64,
    held_minor Int64,
    replayed UInt8,
    INDEX by_at at TYPE minmax GRANULARITY 1,
    INDEX by_contract contract TYPE bloom_filter GRANULARITY 4,
    INDEX by_card card TYPE bloom_filter GRANULARITY 4
) ENGINE = MergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (partition, offset, fact)
SETTINGS non_replicated_deduplication_window = 10000";

/// Empty texts and zeros stand for what a fact does not have.
#[derive(Clone, Debug, Default, PartialEq, Row, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(super) struct LedgerFactRow {
    partition: i32,
    offset: i64,
    fact: u16,
    kind: String,
    at: i64,
    received_at: i64,
    recorded_at: i64,
    idem: String,
    contract: String,
    card: String,
    site: String,
    terminal: String,
    transaction_kind: String,
    verdict: String,
    code: String,
    product: String,
    qty_ml: i64,
    amount_minor: i64,
    currency: String,
    auth_code: String,
    own_minor: i64,
    credit_minor: i64,
    held_minor: i64,
    replayed: u8,
}

impl LedgerFactRow {
    /// The rows of one true record.
    pub(super) fn of(place: Place, outcome: &Outcome) -> impl Iterator<Item = Self> + '_ {
        let whole = Self {
            partition: place.partition.0,
            offset: place.offset,
            at: time(outcome.at_us),
            received_at: time(outcome.received_at_us),
            recorded_at: place.recorded_at_ms,
            idem: outcome.idem.to_string(),
            contract: outcome.contract.as_ref().map(ToString::to_string).unwrap_or_default(),
            currency: outcome.balance.map(|balance| balance.currency.to_string()).unwrap_or_default(),
            own_minor: outcome.balance.map_or(0, |balance| balance.own.get()),
            credit_minor: outcome.balance.map_or(0, |balance| balance.credit.get()),
            held_minor: outcome.balance.map_or(0, |balance| balance.held.get()),
            ..Self::default()
        };
        (0..=u16::MAX).zip(&outcome.facts).map(move |(number, fact)| {
            let mut row = Self { fact: number, ..whole.clone() };
            row.describe(fact);
            row
        })
    }

    fn describe(&mut self, fact: &Fact) {
        self.kind = kind(fact).to_owned();
        match fact {
            Fact::ContractOpened { currency, .. } => self.currency = currency.to_string(),
            Fact::ToppedUp { amount_minor, .. } | Fact::CreditLineSet { amount_minor } => {
                self.amount_minor = amount_minor.get();
            }
            Fact::CardIssued { card, .. }
            | Fact::CardBlocked { card, .. }
            | Fact::CardUnblocked { card }
            | Fact::DailyLimitSet { card, .. } => self.card = card.to_string(),
            Fact::RuleSet { .. } | Fact::CommandRepeated => {}
            Fact::CommandRefused { code, .. } => self.code = word(code),
            Fact::Decided { kind, card, site, terminal, items, decision, .. } => {
                self.card = card.to_string();
                self.site = site.to_string();
                self.terminal = terminal.to_string();
                self.transaction_kind = word(kind);
                self.verdict = word(&decision.decision);
                self.code = word(&decision.code);
                self.auth_code = decision.auth_code.as_ref().map(ToString::to_string).unwrap_or_default();
                self.replayed = u8::from(decision.replayed);
                self.asked(items);
            }
            Fact::Captured { card, auth_code, site, terminal, items, amount_minor, .. } => {
                self.card = card.to_string();
                self.auth_code = auth_code.to_string();
                self.site = site.to_string();
                self.terminal = terminal.to_string();
                self.asked(items);
                self.amount_minor = amount_minor.get();
                if amount_minor.is_negative() {
                    self.qty_ml = -self.qty_ml;
                }
            }
            Fact::Reversed { card, auth_code } | Fact::HoldExpired { card, auth_code } => {
                self.card = card.to_string();
                self.auth_code = auth_code.to_string();
            }
            Fact::Refunded { card, auth_code, site, items, amount_minor } => {
                self.card = card.to_string();
                self.auth_code = auth_code.to_string();
                self.site = site.to_string();
                self.asked(items);
                self.amount_minor = -amount_minor.get().abs();
                self.qty_ml = -self.qty_ml;
            }
        }
    }

    fn asked(&mut self, items: &[SoldItem]) {
        self.product = items.first().map(|item| item.code.to_string()).unwrap_or_default();
        for item in items {
            self.qty_ml = self.qty_ml.saturating_add_unsigned(item.qty_ml.get());
            self.amount_minor = self.amount_minor.saturating_add(item.amount_minor.get());
        }
    }
}

/// The name of the fact in the ledger's JSON.
fn kind(fact: &Fact) -> &'static str {
    match fact {
        Fact::ContractOpened { .. } => "contract_opened",
        Fact::ToppedUp { .. } => "topped_up",
        Fact::CreditLineSet { .. } => "credit_line_set",
        Fact::CardIssued { .. } => "card_issued",
        Fact::CardBlocked { .. } => "card_blocked",
        Fact::CardUnblocked { .. } => "card_unblocked",
        Fact::DailyLimitSet { .. } => "daily_limit_set",
        Fact::RuleSet { .. } => "rule_set",
        Fact::CommandRefused { .. } => "command_refused",
        Fact::CommandRepeated => "command_repeated",
        Fact::Decided { .. } => "decided",
        Fact::Captured { .. } => "captured",
        Fact::Reversed { .. } => "reversed",
        Fact::HoldExpired { .. } => "hold_expired",
        Fact::Refunded { .. } => "refunded",
    }
}
