//! `ledger_facts`: one row for each fact of the ledger, and the views of it that accountants and analysts read.

use ::clickhouse::Row;
use model::{Actor, CardToken, Fact, Outcome, Payer, SoldItem};
use serde::Serialize;

use super::columns::{day, time, word};
use super::rows::{Keyed, Place, Recorded};

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

/// What limits, discounts, goods in pieces, registers and fees brought.
pub(super) const ADD_DETAILS: &str = "
ALTER TABLE ledger_facts
    ADD COLUMN IF NOT EXISTS author String COMMENT 'who gave the order',
    ADD COLUMN IF NOT EXISTS card_group LowCardinality(String),
    ADD COLUMN IF NOT EXISTS vehicle String,
    ADD COLUMN IF NOT EXISTS driver String,
    ADD COLUMN IF NOT EXISTS odometer UInt32,
    ADD COLUMN IF NOT EXISTS pieces Int64 COMMENT 'sum of the items; below zero where goods came back',
    ADD COLUMN IF NOT EXISTS discount_minor Int64 COMMENT 'of the items; amounts are less this already',
    ADD COLUMN IF NOT EXISTS limit_id String COMMENT 'decided: the limit that cut or declined; else the limit it is about',
    ADD COLUMN IF NOT EXISTS limit_left Int64 COMMENT 'of that limit: ml, minor units or purchases',
    ADD COLUMN IF NOT EXISTS actor LowCardinality(String) COMMENT 'of a block',
    ADD COLUMN IF NOT EXISTS reason String,
    ADD COLUMN IF NOT EXISTS reference String COMMENT 'of a top-up or register line; name of a fee; number of a bill',
    ADD COLUMN IF NOT EXISTS payer String,
    ADD COLUMN IF NOT EXISTS period String COMMENT 'month of a fee, window of a limit',
    ADD COLUMN IF NOT EXISTS register_day Nullable(Date) COMMENT 'banking day of a register line',
    ADD COLUMN IF NOT EXISTS outcome LowCardinality(String) COMMENT 'of a register line',
    ADD COLUMN IF NOT EXISTS credited_minor Int64 COMMENT 'what the top-up of a register line had',
    ADD COLUMN IF NOT EXISTS percent UInt8 COMMENT 'of the credit line in use',
    ADD COLUMN IF NOT EXISTS unbilled_minor Int64 COMMENT 'the contract after all facts of the record',
    ADD COLUMN IF NOT EXISTS json String COMMENT 'the whole fact where it changes rules or parties' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS item_product Array(LowCardinality(String)) COMMENT 'the item columns have one entry for each line',
    ADD COLUMN IF NOT EXISTS item_group Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS item_qty_ml Array(Int64) COMMENT 'signed like the sums',
    ADD COLUMN IF NOT EXISTS item_pieces Array(Int64),
    ADD COLUMN IF NOT EXISTS item_price_e4 Array(UInt64),
    ADD COLUMN IF NOT EXISTS item_amount_minor Array(Int64),
    ADD COLUMN IF NOT EXISTS item_discount_minor Array(Int64)";

/// What a contract or a card bought, without reading what others did.
pub(super) const ADD_BY_CARD: &str = "
ALTER TABLE ledger_facts ADD PROJECTION IF NOT EXISTS by_card (
    SELECT contract, card, at, kind, currency, amount_minor, item_product, item_qty_ml, item_amount_minor
    ORDER BY contract, card, at
)";

/// For rows from before; goes on in the background.
pub(super) const FILL_BY_CARD: &str = "ALTER TABLE ledger_facts MATERIALIZE PROJECTION IF EXISTS by_card";

/// What was sold, line by line; what came back is below zero.
pub(super) const CREATE_SOLD_LINES: &str = "
CREATE VIEW IF NOT EXISTS sold_lines AS
SELECT
    partition, offset, fact, kind, at, recorded_at, contract, card, card_group, vehicle, driver, odometer, site, terminal,
    auth_code, currency, product, product_group, qty_ml, pieces, price_e4, amount_minor, discount_minor
FROM (
    SELECT * EXCEPT (product, qty_ml, pieces, amount_minor, discount_minor)
    FROM ledger_facts
    WHERE kind IN ('captured', 'refunded', 'voided')
)
ARRAY JOIN
    item_product AS product, item_group AS product_group, item_qty_ml AS qty_ml, item_pieces AS pieces,
    item_price_e4 AS price_e4, item_amount_minor AS amount_minor, item_discount_minor AS discount_minor";

/// Every movement of a contract's money: `own_change_minor` moves own funds, `unbilled_change_minor` what is not billed yet.
pub(super) const CREATE_POSTINGS: &str = "
CREATE VIEW IF NOT EXISTS postings AS
SELECT
    partition, offset, fact, kind, at, recorded_at, contract, currency, author, reference, period, reason, payer, card,
    auth_code,
    multiIf(kind IN ('fee_charged', 'billed'), -amount_minor, kind IN ('topped_up', 'adjusted'), amount_minor, 0)
        AS own_change_minor,
    multiIf(kind = 'billed', -amount_minor, kind IN ('captured', 'refunded', 'voided'), amount_minor, 0)
        AS unbilled_change_minor
FROM ledger_facts
WHERE kind IN ('topped_up', 'adjusted', 'fee_charged', 'billed', 'captured', 'refunded', 'voided')";

/// The bank's register against the top-ups.
pub(super) const CREATE_REGISTER: &str = "
CREATE VIEW IF NOT EXISTS register_lines AS
SELECT
    partition, offset, fact, at, recorded_at, contract, currency, author, register_day, reference, payer,
    if(kind = 'register_missing', 'missing', toString(outcome)) AS outcome, amount_minor, credited_minor
FROM ledger_facts
WHERE kind IN ('register_matched', 'register_missing')";

/// Empty texts and zeros stand for what a fact does not have.
#[derive(Clone, Debug, Default, PartialEq, Row, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct LedgerFactRow {
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
    author: String,
    card_group: String,
    vehicle: String,
    driver: String,
    odometer: u32,
    pieces: i64,
    discount_minor: i64,
    limit_id: String,
    limit_left: i64,
    actor: String,
    reason: String,
    reference: String,
    payer: String,
    period: String,
    register_day: Option<u16>,
    outcome: String,
    credited_minor: i64,
    percent: u8,
    unbilled_minor: i64,
    json: String,
    item_product: Vec<String>,
    item_group: Vec<String>,
    item_qty_ml: Vec<i64>,
    item_pieces: Vec<i64>,
    item_price_e4: Vec<u64>,
    item_amount_minor: Vec<i64>,
    item_discount_minor: Vec<i64>,
}

/// Which way the items went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    Back,
}

impl Recorded for LedgerFactRow {
    const TABLE: &'static str = TABLE;
    const KEY: Option<Keyed<Self>> =
        Some(Keyed { columns: "partition, offset, fact", of: |row| (row.partition, row.offset, row.fact) });
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
            contract: text(outcome.contract.as_ref()),
            author: outcome.author.clone().unwrap_or_default(),
            currency: text(outcome.balance.as_ref().map(|balance| &balance.currency)),
            own_minor: outcome.balance.map_or(0, |balance| balance.own.get()),
            credit_minor: outcome.balance.map_or(0, |balance| balance.credit.get()),
            held_minor: outcome.balance.map_or(0, |balance| balance.held.get()),
            unbilled_minor: outcome.balance.map_or(0, |balance| balance.unbilled.get()),
            ..Self::default()
        };
        // A posting carries whose it was, so that its lines can be summed by vehicle and driver without a join.
        let decided = outcome.facts.iter().find(|fact| matches!(fact, Fact::Decided { .. }));
        (0..=u16::MAX).zip(&outcome.facts).map(move |(number, fact)| {
            let mut row = Self { fact: number, kind: kind(fact).to_owned(), ..whole.clone() };
            match fact {
                Fact::Decided { .. } | Fact::Captured { .. } | Fact::Refunded { .. } | Fact::Voided { .. } => {
                    row.parties(decided);
                    row.sell(fact);
                }
                _ => row.change(fact),
            }
            if !row.card.is_empty() {
                let group = outcome.cards.iter().find(|view| view.card.as_str() == row.card);
                row.card_group = text(group.and_then(|view| view.group.as_ref()));
            }
            row
        })
    }

    fn parties(&mut self, decided: Option<&Fact>) {
        if let Some(Fact::Decided { vehicle, driver, odometer, .. }) = decided {
            self.vehicle = text(vehicle.as_ref());
            self.driver = text(driver.as_ref());
            self.odometer = odometer.unwrap_or(0);
        }
    }

    /// The facts about purchases.
    fn sell(&mut self, fact: &Fact) {
        match fact {
            Fact::Decided { kind, card, site, terminal, items, decision, .. } => {
                self.card = card.to_string();
                self.site = site.to_string();
                self.terminal = terminal.to_string();
                self.transaction_kind = word(kind);
                self.verdict = word(&decision.decision);
                self.code = word(&decision.code);
                self.auth_code = text(decision.auth_code.as_ref());
                self.replayed = u8::from(decision.replayed);
                if let Some(binding) = &decision.binding {
                    self.limit_id.clone_from(&binding.limit);
                    self.limit_left = binding.left;
                    self.period.clone_from(&binding.window);
                }
                self.items(items, Way::Out);
            }
            Fact::Captured { card, auth_code, site, terminal, items, amount_minor, .. } => {
                self.card = card.to_string();
                self.auth_code = auth_code.to_string();
                self.site = site.to_string();
                self.terminal = terminal.to_string();
                self.items(items, if amount_minor.is_negative() { Way::Back } else { Way::Out });
                self.amount_minor = amount_minor.get();
            }
            Fact::Refunded { card, auth_code, site, items, amount_minor }
            | Fact::Voided { card, auth_code, site, items, amount_minor } => {
                self.card = card.to_string();
                self.auth_code = auth_code.to_string();
                self.site = site.to_string();
                self.items(items, Way::Back);
                self.amount_minor = -amount_minor.get().abs();
            }
            _ => {}
        }
    }

    /// The facts about money, rules and parties.
    fn change(&mut self, fact: &Fact) {
        match fact {
            Fact::ContractOpened { currency, .. } => self.currency = currency.to_string(),
            Fact::ContractBlocked(block) => self.blocked(block.actor, &block.reason),
            Fact::ContractUnblocked { actor } => self.actor = word(actor),
            Fact::ToppedUp { amount_minor, reference, payer } => {
                self.amount_minor = amount_minor.get();
                self.reference.clone_from(reference);
                self.payer = payer.as_ref().map(payer_text).unwrap_or_default();
            }
            Fact::RegisterMatched { line, outcome, credited_minor } => {
                self.amount_minor = line.amount_minor.get();
                self.reference.clone_from(&line.reference);
                self.payer = payer_text(&line.payer);
                self.register_day = day(line.date);
                self.outcome = word(outcome);
                self.credited_minor = credited_minor.map_or(0, |amount| amount.get());
            }
            Fact::RegisterMissing { reference, amount_minor } => {
                self.credited_minor = amount_minor.get();
                self.reference.clone_from(reference);
            }
            Fact::CreditLineSet { amount_minor } => self.amount_minor = amount_minor.get(),
            Fact::Adjusted { amount_minor, reason } => {
                self.amount_minor = amount_minor.get();
                self.reason.clone_from(reason);
            }
            Fact::FeeCharged { name, month, amount_minor } => {
                self.amount_minor = amount_minor.get();
                self.reference.clone_from(name);
                self.period.clone_from(month);
            }
            Fact::Billed { number, amount_minor } => {
                self.amount_minor = amount_minor.get();
                self.reference.clone_from(number);
            }
            Fact::MonthlyFeeSet(fee) => {
                self.amount_minor = fee.amount_minor.get();
                self.reference.clone_from(&fee.name);
            }
            Fact::CardBlocked { card, actor, reason, until_us: _ } => {
                self.card = card.to_string();
                self.blocked(*actor, reason);
            }
            Fact::CardUnblocked { card, actor, until_us: _ } => {
                self.card = card.to_string();
                self.actor = word(actor);
            }
            Fact::CardIssued { card, vehicle, driver, .. } | Fact::CardAssigned { card, vehicle, driver, .. } => {
                self.card = card.to_string();
                self.vehicle = text(vehicle.as_ref());
                self.driver = text(driver.as_ref());
            }
            Fact::CardClosed { card, closure } => {
                self.card = card.to_string();
                self.reason = word(closure);
            }
            Fact::PinReset { card } => self.card = card.to_string(),
            Fact::VehiclePut(vehicle) => self.vehicle = vehicle.id.to_string(),
            Fact::DriverPut(driver) => self.driver = driver.id.to_string(),
            Fact::GroupPut(group) => self.card_group = group.id.to_string(),
            Fact::LimitSet { limit, version: _ } => self.limit_id = limit.id.to_string(),
            Fact::LimitRemoved { limit } => self.limit_id = limit.to_string(),
            Fact::LimitLow { limit, window, left } => {
                self.limit_id = limit.to_string();
                self.limit_left = *left;
                self.period.clone_from(window);
            }
            Fact::CreditLineUsed { percent } => self.percent = *percent,
            Fact::CommandRefused { code, message } => {
                self.code = word(code);
                self.reason.clone_from(message);
            }
            Fact::Reversed { card, auth_code, reason } => {
                self.ended(card, auth_code);
                self.reason = reason.clone().unwrap_or_default();
            }
            Fact::HoldExpired { card, auth_code } => self.ended(card, auth_code),
            Fact::TermSet { .. }
            | Fact::HolidaysSet { .. }
            | Fact::DiscountSet(_)
            | Fact::DiscountRemoved { .. }
            | Fact::RestrictionSet(_)
            | Fact::RestrictionRemoved { .. }
            | Fact::PolicySet { .. }
            | Fact::RuleSet { .. }
            | Fact::CommandRepeated
            | Fact::Decided { .. }
            | Fact::Captured { .. }
            | Fact::Refunded { .. }
            | Fact::Voided { .. } => {}
        }
        if changes_rules(fact) {
            self.json = serde_json::to_string(fact).unwrap_or_default();
        }
    }

    fn blocked(&mut self, actor: Actor, reason: &str) {
        self.actor = word(&actor);
        reason.clone_into(&mut self.reason);
    }

    fn ended(&mut self, card: &CardToken, auth_code: &model::AuthCode) {
        self.card = card.to_string();
        self.auth_code = auth_code.to_string();
    }

    fn items(&mut self, items: &[SoldItem], way: Way) {
        let signed = |value: i64| if way == Way::Back { -value } else { value };
        self.product = text(items.first().map(|item| &item.code));
        for item in items {
            let ml = signed(item.qty_ml.get().cast_signed());
            let pieces = signed(i64::from(item.pieces));
            let (amount, discount) = (signed(item.amount_minor.get().abs()), signed(item.discount_minor.get().abs()));
            self.qty_ml = self.qty_ml.saturating_add(ml);
            self.pieces = self.pieces.saturating_add(pieces);
            self.amount_minor = self.amount_minor.saturating_add(amount);
            self.discount_minor = self.discount_minor.saturating_add(discount);
            self.item_product.push(item.code.to_string());
            self.item_group.push(text(item.group.as_ref()));
            self.item_qty_ml.push(ml);
            self.item_pieces.push(pieces);
            self.item_price_e4.push(item.price_e4.get());
            self.item_amount_minor.push(amount);
            self.item_discount_minor.push(discount);
        }
    }
}

fn text(id: Option<&impl ToString>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}

/// Taxpayer number and name.
fn payer_text(payer: &Payer) -> String {
    [payer.tax_id.as_deref(), payer.name.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Whether the whole fact is kept as JSON: its columns do not tell all of it.
fn changes_rules(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::ContractOpened { .. }
            | Fact::TermSet { .. }
            | Fact::ContractBlocked(_)
            | Fact::HolidaysSet { .. }
            | Fact::DiscountSet(_)
            | Fact::DiscountRemoved { .. }
            | Fact::CardIssued { .. }
            | Fact::CardBlocked { .. }
            | Fact::CardUnblocked { .. }
            | Fact::CardAssigned { .. }
            | Fact::GroupPut(_)
            | Fact::VehiclePut(_)
            | Fact::DriverPut(_)
            | Fact::LimitSet { .. }
            | Fact::RestrictionSet(_)
            | Fact::RestrictionRemoved { .. }
            | Fact::PolicySet { .. }
            | Fact::RuleSet { .. }
    )
}

/// The name of the fact in the ledger's JSON.
fn kind(fact: &Fact) -> &'static str {
    match fact {
        Fact::ContractOpened { .. } => "contract_opened",
        Fact::TermSet { .. } => "term_set",
        Fact::ContractBlocked(_) => "contract_blocked",
        Fact::ContractUnblocked { .. } => "contract_unblocked",
        Fact::HolidaysSet { .. } => "holidays_set",
        Fact::ToppedUp { .. } => "topped_up",
        Fact::RegisterMatched { .. } => "register_matched",
        Fact::RegisterMissing { .. } => "register_missing",
        Fact::CreditLineSet { .. } => "credit_line_set",
        Fact::Adjusted { .. } => "adjusted",
        Fact::MonthlyFeeSet(_) => "monthly_fee_set",
        Fact::FeeCharged { .. } => "fee_charged",
        Fact::DiscountSet(_) => "discount_set",
        Fact::DiscountRemoved { .. } => "discount_removed",
        Fact::Billed { .. } => "billed",
        Fact::CardIssued { .. } => "card_issued",
        Fact::CardBlocked { .. } => "card_blocked",
        Fact::CardUnblocked { .. } => "card_unblocked",
        Fact::CardClosed { .. } => "card_closed",
        Fact::PinReset { .. } => "pin_reset",
        Fact::CardAssigned { .. } => "card_assigned",
        Fact::GroupPut(_) => "group_put",
        Fact::VehiclePut(_) => "vehicle_put",
        Fact::DriverPut(_) => "driver_put",
        Fact::LimitSet { .. } => "limit_set",
        Fact::LimitRemoved { .. } => "limit_removed",
        Fact::RestrictionSet(_) => "restriction_set",
        Fact::RestrictionRemoved { .. } => "restriction_removed",
        Fact::PolicySet { .. } => "policy_set",
        Fact::RuleSet { .. } => "rule_set",
        Fact::LimitLow { .. } => "limit_low",
        Fact::CreditLineUsed { .. } => "credit_line_used",
        Fact::CommandRefused { .. } => "command_refused",
        Fact::CommandRepeated => "command_repeated",
        Fact::Decided { .. } => "decided",
        Fact::Captured { .. } => "captured",
        Fact::Reversed { .. } => "reversed",
        Fact::HoldExpired { .. } => "hold_expired",
        Fact::Refunded { .. } => "refunded",
        Fact::Voided { .. } => "voided",
    }
}
