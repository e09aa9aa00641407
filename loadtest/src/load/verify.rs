//! After a run: does the ledger say about every request what it must, do balances follow, and does ClickHouse hold the same?
//!
//! Slow and simple on purpose, and written without a look at how Forecourt computes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clickhouse::Row;
use model::{
    AuthCode, Command, CommandMessage, ContractId, Decision, Fact, Fence, LedgerBody, LedgerRecord, LogSettings, Topic,
    Transaction, TransactionKind, Verdict,
};
use rdkafka::message::Message;
use serde::Deserialize;

use super::journal::{self, Line};
use loadtest::kafka::Reader;

/// Violations of one kind that are listed; more are only counted.
const LISTED_MAX: usize = 10;

/// What was found wrong.
#[derive(Default)]
pub(crate) struct Violations(BTreeMap<&'static str, Vec<String>>);

impl Violations {
    fn add(&mut self, kind: &'static str, what: String) {
        self.0.entry(kind).or_default().push(what);
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, list) in &self.0 {
            lines.push(format!("{kind}: {}", list.len()));
            lines.extend(list.iter().take(LISTED_MAX).map(|what| format!("  {what}")));
            if list.len() > LISTED_MAX {
                lines.push(format!("  and {} more", list.len() - LISTED_MAX));
            }
        }
        lines
    }
}

/// What was sent.
struct Sent {
    log: LogSettings,
    transactions: BTreeMap<String, (ContractId, Transaction)>,
    orders: BTreeMap<String, CommandMessage>,
}

impl Sent {
    fn read(path: &Path, bootstrap: &str) -> anyhow::Result<Self> {
        let mut sent = None;
        let (mut transactions, mut orders) = (BTreeMap::new(), BTreeMap::new());
        for line in journal::read(path)? {
            match line {
                Line::Run { topic_prefix, partitions, .. } => {
                    sent = Some(LogSettings { bootstrap: bootstrap.to_owned(), topic_prefix, partitions });
                }
                Line::Transaction { contract, message } => {
                    transactions.insert(message.idem.to_string(), (contract, message));
                }
                Line::Order { message } => {
                    orders.insert(message.idem.to_string(), message);
                }
            }
        }
        let log = sent.with_context(|| format!("{} is no journal: it does not begin with a run", path.display()))?;
        Ok(Self { log, transactions, orders })
    }

    fn keys(&self) -> impl Iterator<Item = &String> {
        self.transactions.keys().chain(self.orders.keys())
    }
}

/// What one contract owns by the last word of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Money {
    own: i64,
    credit: i64,
    held: i64,
    available: i64,
}

/// Sums that must be the same in the ledger and in ClickHouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    facts: u64,
    offsets: i64,
    places: u64,
    /// Of captures, refunds and top-ups; zero for other kinds.
    amount_minor: i64,
}

/// The ledger, read from its beginning.
struct Ledger {
    reader: Reader,
    log: LogSettings,
    fences: Vec<Fence>,
    next_offset: Vec<i64>,
    last_request: Vec<Option<i64>>,
    /// By key: decisions that were made anew, and answers to orders.
    decisions: BTreeMap<String, Vec<Decision>>,
    answered_orders: BTreeMap<String, Vec<bool>>,
    expired: BTreeSet<(String, AuthCode)>,
    balances: BTreeMap<String, Money>,
    sums: BTreeMap<(i32, String), Sums>,
    records: u64,
    void: u64,
}

impl Ledger {
    fn open(log: &LogSettings) -> anyhow::Result<Self> {
        let partitions = usize::try_from(log.partitions)?;
        Ok(Self {
            reader: Reader::open(&log.bootstrap, &[(&log.topic_name(Topic::Ledger), log.partitions, Some(0))])?,
            log: log.clone(),
            fences: vec![Fence::default(); partitions],
            next_offset: vec![0; partitions],
            last_request: vec![None; partitions],
            decisions: BTreeMap::new(),
            answered_orders: BTreeMap::new(),
            expired: BTreeSet::new(),
            balances: BTreeMap::new(),
            sums: BTreeMap::new(),
            records: 0,
            void: 0,
        })
    }

    /// Reads until the ends that the partitions have now.
    fn read_to_end(&mut self, violations: &mut Violations) -> anyhow::Result<()> {
        let topic = self.log.topic_name(Topic::Ledger);
        let ends = (0..self.log.partitions).map(|p| self.reader.end(&topic, p)).collect::<anyhow::Result<Vec<_>>>()?;
        let begun = Instant::now();
        while self.next_offset.iter().zip(&ends).any(|(next, end)| next < end) {
            let mut batch = Vec::new();
            self.reader.read(4096, Duration::from_millis(500), |message| {
                batch.push((message.partition(), message.offset(), message.payload().unwrap_or_default().to_vec()));
            });
            for (partition, offset, payload) in batch {
                let record: LedgerRecord = serde_json::from_slice(&payload)
                    .with_context(|| format!("ledger record {partition}-{offset} cannot be read"))?;
                self.note(partition, offset, record, violations)?;
            }
            if begun.elapsed() > Duration::from_secs(600) {
                bail!("the ledger could not be read to its end in ten minutes");
            }
        }
        Ok(())
    }

    fn note(
        &mut self,
        partition: i32,
        offset: i64,
        record: LedgerRecord,
        violations: &mut Violations,
    ) -> anyhow::Result<()> {
        let index = usize::try_from(partition)?;
        self.next_offset[index] = offset + 1;
        self.records += 1;
        let outcome = match record.body {
            LedgerBody::Takeover { .. } => {
                self.fences[index].takeover(offset);
                return Ok(());
            }
            LedgerBody::Outcome(_) if !self.fences[index].admits(record.epoch) => {
                self.void += 1;
                return Ok(());
            }
            LedgerBody::Outcome(outcome) => outcome,
        };
        if let Some(last) = self.last_request[index].replace(outcome.request)
            && outcome.request != last + 1
        {
            let what = format!(
                "partition {partition}: request {} follows request {last} at ledger offset {offset}",
                outcome.request
            );
            violations.add("requests covered twice or left out", what);
        }
        let idem = outcome.idem.to_string();
        let contract = outcome.contract.as_ref().map(ToString::to_string);
        for (place, fact) in outcome.facts.iter().enumerate() {
            let (kind, amount) = kind_and_amount(fact)?;
            let sums = self.sums.entry((partition, kind)).or_default();
            sums.facts += 1;
            sums.offsets += offset;
            sums.places += place as u64;
            sums.amount_minor += amount;
            match fact {
                Fact::Decided { decision, .. } if !decision.replayed => {
                    self.decisions.entry(idem.clone()).or_default().push(decision.clone());
                }
                Fact::Decided { decision, .. } => {
                    let first = self.decisions.get(&idem).and_then(|list| list.first());
                    let same = first.is_some_and(|first| Decision { replayed: true, ..first.clone() } == *decision);
                    if !same {
                        violations
                            .add("replays that differ from their decision", format!("{idem} at {partition}-{offset}"));
                    }
                }
                Fact::HoldExpired { auth_code, .. } => {
                    self.expired.insert((contract.clone().unwrap_or_default(), auth_code.clone()));
                }
                Fact::CommandRefused { .. } => self.answered_orders.entry(idem.clone()).or_default().push(false),
                Fact::ContractOpened { .. }
                | Fact::ToppedUp { .. }
                | Fact::CreditLineSet { .. }
                | Fact::CardIssued { .. }
                | Fact::CardBlocked { .. }
                | Fact::CardUnblocked { .. }
                | Fact::RuleSet { .. } => self.answered_orders.entry(idem.clone()).or_default().push(true),
                // A limit may come with its card or alone; what counts is that the order was carried out once.
                Fact::DailyLimitSet { .. } if outcome.facts.len() == 1 => {
                    self.answered_orders.entry(idem.clone()).or_default().push(true);
                }
                _ => {}
            }
        }
        if let (Some(contract), Some(balance)) = (contract, outcome.balance) {
            let money = Money {
                own: balance.own.get(),
                credit: balance.credit.get(),
                held: balance.held.get(),
                available: balance.available.get(),
            };
            self.balances.insert(contract, money);
        }
        Ok(())
    }
}

/// The fact's name on the wire, and the money that it moves.
fn kind_and_amount(fact: &Fact) -> anyhow::Result<(String, i64)> {
    let kind = match serde_json::to_value(fact)? {
        serde_json::Value::String(name) => name,
        serde_json::Value::Object(map) => map.keys().next().cloned().context("a fact without a name")?,
        other => bail!("a fact of unknown form: {other}"),
    };
    let amount = match fact {
        Fact::ToppedUp { amount_minor, .. }
        | Fact::Captured { amount_minor, .. }
        | Fact::Refunded { amount_minor, .. } => amount_minor.get(),
        _ => 0,
    };
    Ok((kind, amount))
}

pub(crate) struct Check<'a> {
    pub(crate) journal: &'a Path,
    pub(crate) bootstrap: &'a str,
    pub(crate) clickhouse: Option<clickhouse::Client>,
    pub(crate) wait: Duration,
}

/// Checks everything; prints what it looked at. The violations, if any.
pub(crate) fn check(check: &Check<'_>, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Violations> {
    let mut violations = Violations::default();
    let sent = Sent::read(check.journal, check.bootstrap)?;
    let mut ledger = Ledger::open(&sent.log)?;
    let deadline = Instant::now() + check.wait;
    loop {
        ledger.read_to_end(&mut violations)?;
        let answered = |key: &&String| ledger.decisions.contains_key(*key) || ledger.answered_orders.contains_key(*key);
        if sent.keys().all(|key| answered(&key)) || Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    println!(
        "journal: {} transactions, {} orders; ledger: {} records, {} void, {} takeovers in force",
        sent.transactions.len(),
        sent.orders.len(),
        ledger.records,
        ledger.void,
        ledger.fences.iter().filter(|fence| fence.epoch().is_some()).count()
    );
    one_answer_each(&sent, &ledger, &mut violations);
    let contracts = balances(&sent, &ledger, &mut violations);
    println!("balances: {contracts} contracts recomputed");
    if let Some(client) = &check.clickhouse {
        let rows = runtime.block_on(same_rows(client, &sent.log, &mut ledger, deadline, &mut violations))?;
        println!("clickhouse: {rows} rows of ledger_facts compared");
    }
    Ok(violations)
}

fn one_answer_each(sent: &Sent, ledger: &Ledger, violations: &mut Violations) {
    for idem in sent.transactions.keys() {
        match ledger.decisions.get(idem).map_or(0, Vec::len) {
            0 => violations.add("transactions without a decision", idem.clone()),
            1 => {}
            more => violations.add("transactions decided more than once", format!("{idem}: {more} times")),
        }
    }
    for idem in sent.orders.keys() {
        match ledger.answered_orders.get(idem).map(Vec::as_slice) {
            None => violations.add("orders without an answer", idem.clone()),
            Some([true]) => {}
            Some([false]) => violations.add("orders refused", idem.clone()),
            Some(more) => violations.add("orders carried out more than once", format!("{idem}: {} times", more.len())),
        }
    }
}

/// `own` = top-ups − what approved sales, completions and advices took; `held` = holds that nothing ended.
fn balances(sent: &Sent, ledger: &Ledger, violations: &mut Violations) -> usize {
    let mut expected: BTreeMap<String, Money> = BTreeMap::new();
    for order in sent.orders.values() {
        if ledger.answered_orders.get(order.idem.as_str()).is_none_or(|answers| !answers.contains(&true)) {
            continue;
        }
        let money = expected.entry(order.contract.to_string()).or_default();
        match &order.command {
            Command::TopUp { amount_minor, .. } => money.own += amount_minor.get(),
            Command::SetCreditLine { amount_minor, .. } => money.credit = amount_minor.get(),
            _ => {}
        }
    }
    // Holds that a completion or reversal ended.
    let ended: BTreeSet<&AuthCode> = sent
        .transactions
        .values()
        .filter(|(_, t)| matches!(t.kind, TransactionKind::Completion | TransactionKind::Reversal))
        .filter(|(_, t)| decision(ledger, t).is_some_and(|decision| decision.decision != Verdict::Decline))
        .filter_map(|(_, t)| t.original.auth_code.as_ref())
        .collect();
    for (contract, transaction) in sent.transactions.values() {
        let Some(decision) = decision(ledger, transaction) else { continue };
        let money = expected.entry(contract.to_string()).or_default();
        if decision.decision == Verdict::Decline {
            continue;
        }
        let asked = || {
            transaction.items.iter().filter_map(|item| item.price_e4.amount(item.qty_ml?, transaction.currency).ok())
        };
        match transaction.kind {
            TransactionKind::Sale => {
                money.own -= decision.allowed.iter().map(|allowed| allowed.amount_minor.get()).sum::<i64>();
            }
            TransactionKind::Completion | TransactionKind::AdviceOffline => {
                money.own -= asked().map(|amount| amount.get()).sum::<i64>();
            }
            TransactionKind::Preauth => {
                let Some(auth_code) = &decision.auth_code else {
                    violations.add("approvals without an authorization code", transaction.idem.to_string());
                    continue;
                };
                let expired = ledger.expired.contains(&(contract.to_string(), auth_code.clone()));
                if !ended.contains(auth_code) && !expired {
                    money.held += decision.hold.map_or(0, |hold| hold.amount_minor.get());
                }
            }
            TransactionKind::Reversal
            | TransactionKind::Refund
            | TransactionKind::Balance
            | TransactionKind::DryRun => {}
        }
    }
    for (contract, expected) in &mut expected {
        expected.available = expected.own + expected.credit - expected.held;
        let told = ledger.balances.get(contract).copied().unwrap_or_default();
        if told != *expected {
            violations
                .add("balances", format!("{contract}: the ledger says {told:?}, the requests imply {expected:?}"));
        }
    }
    expected.len()
}

fn decision<'a>(ledger: &'a Ledger, transaction: &Transaction) -> Option<&'a Decision> {
    ledger.decisions.get(transaction.idem.as_str())?.first()
}

#[derive(Row, Deserialize)]
struct SumsRow {
    partition: i32,
    kind: String,
    facts: u64,
    distinct: u64,
    offsets: i64,
    places: u64,
    amount_minor: i64,
}

const SUMS: &str = "SELECT partition, toString(kind) AS kind, count() AS facts, uniqExact(offset, fact) AS distinct, \
     sum(offset) AS offsets, sum(toUInt64(fact)) AS places, \
     sum(if(kind IN ('captured', 'refunded', 'topped_up'), amount_minor, 0)) AS amount_minor \
     FROM ledger_facts GROUP BY partition, kind";

/// Waits until ClickHouse holds what the ledger holds. The ledger may grow meanwhile; it is read on.
async fn same_rows(
    client: &clickhouse::Client,
    log: &LogSettings,
    ledger: &mut Ledger,
    deadline: Instant,
    violations: &mut Violations,
) -> anyhow::Result<u64> {
    loop {
        let asked = client.query(SUMS).fetch_all::<SumsRow>().await;
        ledger.read_to_end(violations)?;
        let late = Instant::now() > deadline;
        let differences = match &asked {
            Ok(rows) => differences(rows, &ledger.sums),
            Err(error) => vec![format!("clickhouse does not answer: {error}")],
        };
        if differences.is_empty() {
            return Ok(asked.map(|rows| rows.iter().map(|row| row.facts).sum()).unwrap_or(0));
        }
        if late {
            for difference in differences {
                violations.add("clickhouse and the ledger differ", format!("{}: {difference}", log.topic_prefix));
            }
            return Ok(0);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn differences(rows: &[SumsRow], ledger: &BTreeMap<(i32, String), Sums>) -> Vec<String> {
    let mut found = Vec::new();
    let mut stored: BTreeMap<(i32, String), Sums> = BTreeMap::new();
    for row in rows {
        if row.distinct != row.facts {
            found.push(format!(
                "partition {} {}: {} rows for {} facts",
                row.partition, row.kind, row.facts, row.distinct
            ));
        }
        let sums = Sums { facts: row.facts, offsets: row.offsets, places: row.places, amount_minor: row.amount_minor };
        stored.insert((row.partition, row.kind.clone()), sums);
    }
    for key in stored.keys().chain(ledger.keys()).collect::<BTreeSet<_>>() {
        let (in_clickhouse, in_ledger) =
            (stored.get(key).copied().unwrap_or_default(), ledger.get(key).copied().unwrap_or_default());
        if in_clickhouse != in_ledger {
            found.push(format!(
                "partition {} {}: clickhouse has {in_clickhouse:?}, the ledger {in_ledger:?}",
                key.0, key.1
            ));
        }
    }
    found
}
