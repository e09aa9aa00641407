//! `forecourt register FILE`: matches top-ups with the bank's register from a CSV file.
//!
//! In: a file of the bank. Out: an order for each line on `fuel.commands`, and what became of each. Guarantees: the whole file
//! is checked before anything is sent; a line's key is made from its content, so importing a file again changes nothing.
//! Does not: credit anything: whose money an unknown payer's is, people decide.

mod outcomes;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use ingest::register::{Columns, Field, Payment, Problem};
use jiff::civil::Date;
use model::books::Books;
use model::{
    Command, CommandMessage, ContractId, Currency, FORMAT_VERSION, Fact, Fence, IdempotencyKey, LedgerBody,
    LogSettings, PartitionId, RegisterOutcome, TopUpState, Topic,
};
use pipeline::audit::money;
use sinks::Recorder;

use crate::owner::now;
use crate::reading::{Kafka, Progress, reachable, read_ledger};
use outcomes::Outcomes;

/// Problems that are told one by one; all are counted.
const TOLD_MAX: usize = 20;
const FLUSH_MAX: Duration = Duration::from_secs(120);

#[derive(Args)]
pub(crate) struct Options {
    /// The bank's CSV file, in UTF-8 or CP1251, with ; , or tabs between its columns
    file: PathBuf,
    /// The header of a column that is not found by itself: --map amount="Credit turnover"
    #[arg(long, value_name = "FIELD=COLUMN", value_parser = mapped)]
    map: Vec<(Field, String)>,
    /// The currency of all lines, where no column says it
    #[arg(long, value_parser = currency)]
    currency: Option<Currency>,
    /// Whose register it is: the same line of another bank is another payment
    #[arg(long, default_value = "bank")]
    bank: String,
    /// Afterwards close the register of this banking day for all contracts: payments that it does not show are missing
    #[arg(long, value_name = "DATE")]
    close: Option<Date>,
    /// Only check the file
    #[arg(long)]
    dry_run: bool,
    /// Who imports it, for the record
    #[arg(long, default_value = "register")]
    author: String,
    /// How long to wait for the ledger, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    wait: u64,
    #[command(flatten)]
    kafka: Kafka,
}

/// False when something was wrong with the file, or a line was refused.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let name = options.file.display();
    let bytes = std::fs::read(&options.file).with_context(|| format!("{name} cannot be read"))?;
    let columns = Columns { named: options.map.iter().cloned().collect(), currency: options.currency };
    let orders = ingest::register::read(&bytes, &columns).and_then(|payments| orders(payments, options));
    let orders = match orders {
        Ok(orders) => orders,
        Err(problems) => {
            tell(&problems);
            eprintln!("{name}: nothing was sent, {} to mend", counted(problems.len(), "problem", "problems"));
            return Ok(false);
        }
    };
    if options.dry_run {
        println!("{name}: {} can be imported", counted(orders.len(), "line", "lines"));
        return Ok(true);
    }
    let log = reachable(options.kafka.config()?.log())?;
    let patience = Duration::from_secs(options.wait);
    let recorder = Recorder::open(&log)?;
    let summary = import(&log, &recorder, &orders, patience)?;
    print!("{name}: {}", summary.in_words());
    let mut well = summary.refused.is_empty() && summary.unanswered == 0;
    if let Some(date) = options.close {
        well &= close(&log, &recorder, date, options, patience)?;
    }
    Ok(well)
}

/// A line of the file, and the order that it becomes.
struct Order {
    payment: Payment,
    message: CommandMessage,
}

/// The orders, each as the router will take it.
fn orders(payments: Vec<Payment>, options: &Options) -> Result<Vec<Order>, Vec<Problem>> {
    let at_us = now();
    let (mut orders, mut problems) = (Vec::with_capacity(payments.len()), Vec::new());
    for payment in payments {
        let message = CommandMessage {
            v: FORMAT_VERSION,
            idem: key_of(&options.bank, &payment),
            author: options.author.clone(),
            at_us,
            contract: payment.contract.clone(),
            command: Command::MatchRegister(payment.register.clone()),
        };
        let bytes = serde_json::to_vec(&message).unwrap_or_default();
        match ingest::decode::command(&bytes) {
            Ok(_) => orders.push(Order { payment, message }),
            Err((_, what)) => problems.push(Problem { line: payment.line, column: None, what }),
        }
    }
    if problems.is_empty() { Ok(orders) } else { Err(problems) }
}

/// The same line gets the same key, whenever it is imported.
fn key_of(bank: &str, payment: &Payment) -> IdempotencyKey {
    let content = serde_json::to_vec(&payment.register).unwrap_or_default();
    let date = payment.register.date;
    let key =
        format!("register-{date}-{:032x}", fnv(&[bank.as_bytes(), payment.contract.as_str().as_bytes(), &content]));
    IdempotencyKey::new(&key).expect("letters, digits and hyphens make a key")
}

/// FNV-1a, 128 bit (Fowler, Noll, Vo): the same in every release.
fn fnv(parts: &[&[u8]]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let separated = parts.iter().flat_map(|part| part.iter().copied().map(u16::from).chain([256]));
    separated.fold(OFFSET, |hash, symbol| (hash ^ u128::from(symbol)).wrapping_mul(PRIME))
}

fn tell(problems: &[Problem]) {
    for problem in problems.iter().take(TOLD_MAX) {
        eprintln!("{problem}");
    }
    if problems.len() > TOLD_MAX {
        eprintln!("and {} more", problems.len() - TOLD_MAX);
    }
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Summary {
    lines: usize,
    matched: usize,
    repeated: usize,
    /// To settle with the bank, in words.
    open: Vec<String>,
    differ: usize,
    unknown: usize,
    refused: Vec<String>,
    unanswered: usize,
}

fn import(log: &LogSettings, recorder: &Recorder, orders: &[Order], patience: Duration) -> anyhow::Result<Summary> {
    let mut summary = Summary { lines: orders.len(), ..Summary::default() };
    let messages: Vec<&CommandMessage> = orders.iter().map(|order| &order.message).collect();
    summary.unanswered = send(log, recorder, &messages, patience, |place, facts| {
        summary.take(&orders[place].payment, facts);
    })?;
    Ok(summary)
}

/// Sends orders and tells what the ledger says of each. How many got no answer within `patience`.
fn send(
    log: &LogSettings,
    recorder: &Recorder,
    messages: &[&CommandMessage],
    patience: Duration,
    told: impl FnMut(usize, &[Fact]),
) -> anyhow::Result<usize> {
    let partitions: BTreeSet<PartitionId> =
        messages.iter().map(|message| log.partition_of(message.contract.as_str())).collect();
    let mut outcomes = Outcomes::from_now(log, &partitions)?;
    for message in messages {
        let partition = log.partition_of(message.contract.as_str());
        recorder.append(Topic::Commands, partition, message.contract.as_str(), message)?;
    }
    recorder.flush(FLUSH_MAX)?;
    outcomes.wait(messages, patience, told)
}

impl Summary {
    fn take(&mut self, payment: &Payment, facts: &[Fact]) {
        let Payment { line, contract, currency, register } = payment;
        let amount = |minor: i64| format!("{} {currency}", money(i128::from(minor), *currency));
        let named = format!("{contract} {}", register.reference);
        for fact in facts {
            match fact {
                Fact::RegisterMatched { outcome, credited_minor, .. } => match outcome {
                    RegisterOutcome::Matched => self.matched += 1,
                    RegisterOutcome::Repeated => self.repeated += 1,
                    RegisterOutcome::AmountDiffers => {
                        self.differ += 1;
                        self.open.push(format!(
                            "amount differs: {named}: the register shows {}, {} was credited",
                            amount(register.amount_minor.get()),
                            amount(credited_minor.unwrap_or_default().get())
                        ));
                    }
                    RegisterOutcome::UnknownPayer => {
                        self.unknown += 1;
                        let payer = [&register.payer.tax_id, &register.payer.name].into_iter().flatten();
                        let payer: Vec<&str> = payer.map(String::as_str).collect();
                        let payer =
                            if payer.is_empty() { String::new() } else { format!(", paid by {}", payer.join(" ")) };
                        let shown = amount(register.amount_minor.get());
                        self.open.push(format!("unknown payer: {named}: {shown} of {}{payer}", register.date));
                    }
                },
                Fact::CommandRepeated => self.repeated += 1,
                Fact::CommandRefused { message, .. } => {
                    self.refused.push(format!("refused: line {line}, {named}: {message}"));
                }
                _ => {}
            }
        }
    }

    fn in_words(&self) -> String {
        let mut parts = vec![format!("{} matched", self.matched)];
        for (count, what) in [
            (self.differ, "with another amount"),
            (self.unknown, "of unknown payers"),
            (self.repeated, "repeated"),
            (self.refused.len(), "refused"),
            (self.unanswered, "not answered yet: import the file again to see"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        let mut text = format!("{}, {}\n", counted(self.lines, "line", "lines"), parts.join(", "));
        for line in self.open.iter().chain(&self.refused) {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }
}

/// Closes a banking day for every contract with a payment that waits for its register.
fn close(
    log: &LogSettings,
    recorder: &Recorder,
    date: Date,
    options: &Options,
    patience: Duration,
) -> anyhow::Result<bool> {
    let waiting = waiting(log)?;
    let at_us = now();
    let message = |contract: &ContractId| {
        let key = format!("close-{date}-{:032x}", fnv(&[contract.as_str().as_bytes(), &at_us.get().to_be_bytes()]));
        CommandMessage {
            v: FORMAT_VERSION,
            idem: IdempotencyKey::new(&key).expect("letters, digits and hyphens make a key"),
            author: options.author.clone(),
            at_us,
            contract: contract.clone(),
            command: Command::CloseRegister { date },
        }
    };
    let messages: Vec<CommandMessage> = waiting.iter().map(|(contract, _)| message(contract)).collect();
    let messages: Vec<&CommandMessage> = messages.iter().collect();
    let (mut missing, mut refused) = (Vec::new(), Vec::new());
    let unanswered = send(log, recorder, &messages, patience, |place, facts| {
        let (contract, currency) = &waiting[place];
        for fact in facts {
            match fact {
                Fact::RegisterMissing { reference, amount_minor } => {
                    let amount = money(i128::from(amount_minor.get()), *currency);
                    missing.push(format!("missing: {contract} {reference}: {amount} {currency}"));
                }
                Fact::CommandRefused { message, .. } => refused.push(format!("refused: {contract}: {message}")),
                _ => {}
            }
        }
    })?;
    let contracts = counted(waiting.len(), "contract", "contracts");
    let payments = counted(missing.len(), "payment", "payments");
    println!("register of {date} closed for {contracts} with payments that waited: {payments} missing");
    missing.iter().chain(&refused).for_each(|line| println!("  {line}"));
    if unanswered > 0 {
        println!("  {} got no answer yet", counted(unanswered, "contract", "contracts"));
    }
    Ok(refused.is_empty() && unanswered == 0)
}

/// Contracts with a payment that the register has not shown, from the whole ledger.
fn waiting(log: &LogSettings) -> anyhow::Result<Vec<(ContractId, Currency)>> {
    let of: Vec<_> = log.all_partitions().map(|partition| (Topic::Ledger, partition)).collect();
    let mut progress = Progress::of(log, &of)?;
    let mut waiting = Vec::new();
    for partition in log.all_partitions() {
        let mut books = std::collections::BTreeMap::<ContractId, Books>::new();
        let mut fence = Fence::default();
        read_ledger(log, partition, &mut progress, |offset, record| {
            match record.body {
                LedgerBody::Takeover { .. } => fence.takeover(offset),
                LedgerBody::Outcome(outcome) if fence.admits(record.epoch) => {
                    let Some(contract) = outcome.contract else { return Ok(true) };
                    for fact in &outcome.facts {
                        match fact {
                            Fact::ContractOpened { currency, .. } => {
                                books.insert(contract.clone(), Books::new(*currency));
                            }
                            Fact::ToppedUp { .. } | Fact::RegisterMatched { .. } | Fact::RegisterMissing { .. } => {
                                if let Some(books) = books.get_mut(&contract) {
                                    books.enter(outcome.at_us, fact, &mut Vec::new());
                                }
                            }
                            _ => {}
                        }
                    }
                }
                LedgerBody::Outcome(_) => {}
            }
            Ok(true)
        })?;
        let open = |books: &Books| books.top_ups().any(|(_, credited)| credited.state == TopUpState::Credited);
        waiting.extend(books.into_iter().filter(|(_, books)| open(books)).map(|(id, books)| (id, books.currency)));
    }
    progress.end();
    Ok(waiting)
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn mapped(text: &str) -> Result<(Field, String), String> {
    let names = || Field::ALL.map(Field::name).join(", ");
    let (field, column) = text.split_once('=').ok_or("a mapping is written FIELD=COLUMN")?;
    let known = Field::ALL.into_iter().find(|known| known.name() == field);
    let known = known.ok_or_else(|| format!("{field:?} is none of {}", names()))?;
    Ok((known, column.to_owned()))
}

fn currency(text: &str) -> Result<Currency, String> {
    Currency::new(text).ok_or_else(|| "a currency is three capital letters like KZT".to_owned())
}
