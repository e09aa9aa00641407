//! After a run: does the ledger say about every request what it must, do balances follow, and does ClickHouse hold the same?
//!
//! Slow and simple on purpose, and written without a look at how Forecourt computes. Other traffic may go on meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use clickhouse::Row;
use model::{
    AuthCode, Command, CommandMessage, ContractId, Decision, LedgerRecord, LogSettings, Topic, Transaction,
    TransactionKind, Verdict,
};
use rdkafka::message::{Headers, Message};
use serde::{Deserialize, Serialize};

use super::journal::{self, Line};
use super::told::{LeftOut, Money, Sums, Told, Violations};
use follower::Follower;
use stations::Stations;

mod follower;
mod stations;

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

/// Rows of ClickHouse beside what the logs hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rows {
    compared: u64,
    missing: u64,
    extra: u64,
}

impl Rows {
    fn compare(&mut self, stored: u64, expected: u64) {
        self.compared += stored;
        self.missing += expected.saturating_sub(stored);
        self.extra += stored.saturating_sub(expected);
    }
}

/// What was looked at, in figures, and how often what was wrong.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    transactions: usize,
    orders: usize,
    ledger_records: u64,
    /// Records of replaced owners, which count for nothing.
    void: u64,
    /// Requests that could not be understood.
    rejected_requests: usize,
    contracts: usize,
    rows: u64,
    rows_missing: u64,
    rows_extra: u64,
    readings_acknowledged: u64,
    readings_missing: u64,
    violations: BTreeMap<&'static str, usize>,
}

pub(crate) struct Check<'a> {
    pub(crate) journal: &'a Path,
    /// Readings that a broker acknowledged, as `gauges` wrote them down.
    pub(crate) acknowledged: Option<&'a Path>,
    pub(crate) bootstrap: &'a str,
    pub(crate) clickhouse: Option<clickhouse::Client>,
    pub(crate) wait: Duration,
}

/// Checks everything; prints what it looked at. The figures, and the violations, if any.
pub(crate) fn check(check: &Check<'_>, runtime: &tokio::runtime::Runtime) -> anyhow::Result<(Figures, Violations)> {
    let mut violations = Violations::default();
    let sent = Sent::read(check.journal, check.bootstrap)?;
    let log = &sent.log;
    let mut records = Follower::open(log, Topic::Ledger)?;
    let mut ledger = Told::new(usize::try_from(log.partitions)?);
    let deadline = Instant::now() + check.wait;
    loop {
        records.read_on(|message| {
            let (partition, offset) = (message.partition(), message.offset());
            let record: LedgerRecord = serde_json::from_slice(message.payload().unwrap_or_default())
                .with_context(|| format!("ledger record {partition}-{offset} cannot be read"))?;
            ledger.note(partition, offset, record, &mut violations)
        })?;
        let answered = |key: &&String| ledger.decisions.contains_key(*key) || ledger.answered_orders.contains_key(*key);
        if sent.keys().all(|key| answered(&key)) || Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    let rejected = rejected_requests(log)?;
    left_out(&ledger.left_out, &rejected, &mut violations);
    one_answer_each(&sent, &ledger, &mut violations);
    let mut figures = Figures {
        transactions: sent.transactions.len(),
        orders: sent.orders.len(),
        ledger_records: ledger.records,
        void: ledger.void,
        rejected_requests: rejected.len(),
        contracts: balances(&sent, &ledger, &mut violations),
        ..Figures::default()
    };
    println!(
        "journal: {} transactions, {} orders; ledger: {} records, {} of replaced owners; {} requests rejected",
        figures.transactions, figures.orders, figures.ledger_records, figures.void, figures.rejected_requests
    );
    println!("balances: {} contracts recomputed", figures.contracts);
    let mut stations = Stations::open(log)?;
    if let Some(path) = check.acknowledged {
        let (acknowledged, missing) = stations.acknowledged(path, deadline, &mut violations)?;
        (figures.readings_acknowledged, figures.readings_missing) = (acknowledged, missing);
        println!("readings: {acknowledged} acknowledged, {missing} of them missing");
    }
    if let Some(client) = &check.clickhouse {
        let facts = runtime.block_on(same_rows(client, &ledger, deadline, &mut violations));
        let rest = runtime.block_on(stations.same_rows(client, deadline, &mut violations))?;
        println!("clickhouse: {} rows of ledger_facts and {} of the stations compared", facts.compared, rest.compared);
        figures.rows = facts.compared + rest.compared;
        figures.rows_missing = facts.missing + rest.missing;
        figures.rows_extra = facts.extra + rest.extra;
    }
    figures.violations = violations.counts();
    Ok((figures, violations))
}

/// Partition and offset of the requests that stand in `fuel.rejected`: no ledger record covers these.
fn rejected_requests(log: &LogSettings) -> anyhow::Result<BTreeSet<(i32, i64)>> {
    let source = format!("kafka:{}/", log.topic_name(Topic::Requests));
    let mut found = BTreeSet::new();
    Follower::open(log, Topic::Rejected)?.read_on(|message| {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let sources = headers.filter(|header| header.key == model::Rejection::HEADER_SOURCE);
        for value in sources.filter_map(|header| std::str::from_utf8(header.value?).ok()) {
            let place = value.strip_prefix(&source).and_then(|place| place.split_once('@'));
            if let Some((partition, offset)) = place {
                found.insert((partition.parse()?, offset.parse()?));
            }
        }
        Ok(())
    })?;
    Ok(found)
}

fn left_out(gaps: &[LeftOut], rejected: &BTreeSet<(i32, i64)>, violations: &mut Violations) {
    for LeftOut { partition, requests, offset } in gaps {
        for request in requests.clone().filter(|request| !rejected.contains(&(*partition, *request))) {
            let what = format!("partition {partition}: request {request} before ledger offset {offset}");
            violations.add("requests left out", what);
        }
    }
}

fn one_answer_each(sent: &Sent, ledger: &Told, violations: &mut Violations) {
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
fn balances(sent: &Sent, ledger: &Told, violations: &mut Violations) -> usize {
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
            TransactionKind::Incremental
            | TransactionKind::Forced
            | TransactionKind::Reversal
            | TransactionKind::Void
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

fn decision<'a>(ledger: &'a Told, transaction: &Transaction) -> Option<&'a Decision> {
    ledger.decisions.get(transaction.idem.as_str())?.first()
}

#[derive(Row, Deserialize)]
struct SumsRow {
    partition: i32,
    kind_name: String,
    facts: u64,
    distinct: u64,
    offsets: i64,
    places: u64,
    money_minor: i64,
}

/// Sums of the rows up to where the ledger was read: what came later is another run's affair.
fn question(ledger: &Told) -> String {
    format!(
        "SELECT partition, toString(kind) AS kind_name, count() AS facts, uniqExact(offset, fact) AS distinct, \
         sum(offset) AS offsets, sum(toUInt64(fact)) AS places, \
         sum(if(kind IN ('captured', 'refunded', 'topped_up'), ledger_facts.amount_minor, 0)) AS money_minor \
         FROM ledger_facts WHERE {} GROUP BY partition, kind_name",
        bounds(&ledger.next_offset)
    )
}

fn bounds(next: &[i64]) -> String {
    let bounds = next.iter().enumerate();
    let bounds: Vec<String> =
        bounds.map(|(partition, next)| format!("(partition = {partition} AND offset < {next})")).collect();
    bounds.join(" OR ")
}

/// Waits until ClickHouse holds what the ledger holds.
async fn same_rows(client: &clickhouse::Client, ledger: &Told, deadline: Instant, violations: &mut Violations) -> Rows {
    let question = question(ledger);
    loop {
        let (rows, differences) = match client.query(&question).fetch_all::<SumsRow>().await {
            Ok(rows) => (rows_beside(&rows, &ledger.sums), differences(&rows, &ledger.sums)),
            Err(error) => (Rows::default(), vec![format!("clickhouse does not answer: {error}")]),
        };
        if differences.is_empty() || Instant::now() > deadline {
            differences.into_iter().for_each(|what| violations.add("clickhouse and the ledger differ", what));
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn rows_beside(rows: &[SumsRow], ledger: &BTreeMap<(i32, String), Sums>) -> Rows {
    let stored: BTreeMap<(i32, &str), u64> =
        rows.iter().map(|row| ((row.partition, row.kind_name.as_str()), row.facts)).collect();
    let expected: BTreeMap<(i32, &str), u64> =
        ledger.iter().map(|((partition, kind), sums)| ((*partition, kind.as_str()), sums.facts)).collect();
    let mut beside = Rows::default();
    for key in stored.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
        let count = |of: &BTreeMap<(i32, &str), u64>| of.get(key).copied().unwrap_or(0);
        beside.compare(count(&stored), count(&expected));
    }
    beside
}

fn differences(rows: &[SumsRow], ledger: &BTreeMap<(i32, String), Sums>) -> Vec<String> {
    let mut found = Vec::new();
    let mut stored: BTreeMap<(i32, String), Sums> = BTreeMap::new();
    for row in rows {
        if row.distinct != row.facts {
            found.push(format!(
                "partition {} {}: {} rows for {} facts",
                row.partition, row.kind_name, row.facts, row.distinct
            ));
        }
        let sums = Sums { facts: row.facts, offsets: row.offsets, places: row.places, amount_minor: row.money_minor };
        stored.insert((row.partition, row.kind_name.clone()), sums);
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

#[cfg(test)]
mod tests;
