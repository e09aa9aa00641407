//! What an audit found, as an accountant reads it.
//!
//! Guarantees: figures stand under each other; the same ledger gives the same text, however its partitions were read.

use std::collections::BTreeMap;
use std::fmt::Write;

use model::books::{Account, Accounts, Books, Entry, Wrong};
use model::{ContractId, Currency, Fact, MinorUnits, RegisterOutcome, TimestampUs, TopUpState, TransactionKind};

use super::{Finding, Posted, TOLD_MAX};

const NAME_WIDTH: usize = 36;
const FIGURE_WIDTH: usize = 22;
/// Payments that are named as open with the bank; all are counted.
const OPEN_MAX: usize = 20;

/// Something that the accountant and the bank have to settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenItem {
    pub contract: ContractId,
    pub reference: String,
    pub currency: Currency,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Credited at this moment; its register has not come.
    Awaiting(MinorUnits, TimestampUs),
    Missing(MinorUnits, TimestampUs),
    /// Credited, and what the register shows instead.
    Differs {
        credited: MinorUnits,
        shown: MinorUnits,
    },
    UnknownPayer(MinorUnits, jiff::civil::Date),
}

/// What was found in one partition or in all.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub records: u64,
    /// Records of owners that had been replaced.
    pub void: u64,
    pub postings: u64,
    pub contracts: u64,
    /// Facts about authorizations that were forgotten.
    pub unchecked: u64,
    pub findings: u64,
    /// The first of them.
    pub told: Vec<Finding>,
    currencies: BTreeMap<Currency, Sums>,
    open: Vec<OpenItem>,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    contracts: u64,
    accounts: Accounts,
    top_ups: u64,
    matched: u64,
}

impl Report {
    /// All partitions add up.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.findings == 0
    }

    /// Takes in the report of another partition.
    pub fn add_all(&mut self, other: Self) {
        self.records += other.records;
        self.void += other.void;
        self.postings += other.postings;
        self.contracts += other.contracts;
        self.unchecked += other.unchecked;
        self.findings += other.findings;
        self.told.extend(other.told);
        self.told.truncate(TOLD_MAX);
        self.open.extend(other.open);
        for (currency, sums) in other.currencies {
            let known = self.currencies.entry(currency).or_default();
            known.contracts += sums.contracts;
            known.accounts.add(&sums.accounts);
            known.top_ups += sums.top_ups;
            known.matched += sums.matched;
        }
    }

    pub(super) fn add(&mut self, id: &ContractId, books: &Books) {
        self.contracts += 1;
        let sums = self.currencies.entry(books.currency).or_default();
        sums.contracts += 1;
        sums.accounts.add(books.accounts());
        let mut open = |reference: &str, why| {
            let (contract, reference, currency) = (id.clone(), reference.to_owned(), books.currency);
            self.open.push(OpenItem { contract, reference, currency, why });
        };
        for (reference, credited) in books.top_ups() {
            sums.top_ups += 1;
            let (amount, at) = (credited.amount_minor, credited.at);
            match credited.state {
                TopUpState::Credited => open(reference, Why::Awaiting(amount, at)),
                TopUpState::RegisterMissing => open(reference, Why::Missing(amount, at)),
                TopUpState::RegisterMatched => sums.matched += 1,
                TopUpState::AmountDiffers => {
                    let shown = books.line(reference).map_or(amount, |line| line.amount_minor);
                    open(reference, Why::Differs { credited: amount, shown });
                }
            }
        }
        for line in books.unknown_payers() {
            open(&line.reference, Why::UnknownPayer(line.amount_minor, line.date));
        }
    }

    /// Trial balances, what is open with the bank, and the judgement.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut text = String::new();
        for (currency, sums) in &self.currencies {
            trial_balance(&mut text, *currency, sums);
        }
        self.open_with_the_bank(&mut text);
        let _ = writeln!(
            text,
            "{} in {}, {}{}.",
            counted(self.postings, "posting", "postings"),
            counted(self.records, "record", "records"),
            counted(self.contracts, "contract", "contracts"),
            if self.void > 0 {
                format!(", {} of a replaced owner passed over", counted(self.void, "record", "records"))
            } else {
                String::new()
            }
        );
        if self.unchecked > 0 {
            let _ = writeln!(text, "{} of what was sold too long ago could not be checked.", self.unchecked);
        }
        if self.balances() {
            text.push_str("The books balance.\n");
            return text;
        }
        let _ = writeln!(text, "The books do not balance: {}.", counted(self.findings, "difference", "differences"));
        for Finding { partition, offset, contract, what } in &self.told {
            let contract = contract.as_ref().map_or_else(String::new, |contract| format!(", contract {contract}"));
            let _ = writeln!(text, "  partition {partition}, offset {offset}{contract}: {what}");
        }
        if self.findings > self.told.len() as u64 {
            let _ = writeln!(text, "  and {} more", self.findings - self.told.len() as u64);
        }
        text
    }

    fn open_with_the_bank(&self, text: &mut String) {
        for (currency, sums) in self.currencies.iter().filter(|(_, sums)| sums.top_ups > 0) {
            let matched = format!("{} of {} top-ups in {currency}", sums.matched, sums.top_ups);
            let _ = writeln!(text, "The bank's register matches {matched}.");
        }
        if self.open.is_empty() {
            if self.currencies.values().any(|sums| sums.top_ups > 0) {
                text.push_str("Nothing is open with the bank.\n");
            }
            text.push('\n');
            return;
        }
        text.push_str("Open with the bank:\n");
        let mut open: Vec<&OpenItem> = self.open.iter().collect();
        open.sort_by(|one, other| (&one.contract, &one.reference).cmp(&(&other.contract, &other.reference)));
        for item in open.iter().take(OPEN_MAX) {
            let _ = writeln!(text, "  {}", item.in_words());
        }
        if open.len() > OPEN_MAX {
            let _ = writeln!(text, "  and {} more", open.len() - OPEN_MAX);
        }
        text.push('\n');
    }
}

impl OpenItem {
    fn in_words(&self) -> String {
        let Self { contract, reference, currency, why } = self;
        let amount = |amount: &MinorUnits| format!("{} {currency}", money(i128::from(amount.get()), *currency));
        let reference = if reference.is_empty() { "without a reference" } else { reference };
        match why {
            Why::Awaiting(credited, at) => {
                format!("{contract} {reference}: {} credited at {at}, no register yet", amount(credited))
            }
            Why::Missing(credited, at) => {
                format!("{contract} {reference}: {} credited at {at}, missing from the register", amount(credited))
            }
            Why::Differs { credited, shown } => {
                format!("{contract} {reference}: {} credited, the register shows {}", amount(credited), amount(shown))
            }
            Why::UnknownPayer(shown, date) => {
                format!("{contract} {reference}: {} of {date} in the register, credited to nobody", amount(shown))
            }
        }
    }
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(u128::from(number)), if number == 1 { one } else { many })
}

fn trial_balance(text: &mut String, currency: Currency, sums: &Sums) {
    let contracts = counted(sums.contracts, "contract", "contracts");
    let _ = writeln!(text, "Trial balance in {currency}, {contracts}\n");
    row(text, "", ["debits", "credits", "balance"].map(str::to_owned));
    let mut memo = false;
    let mut total = (0, 0);
    let ruled = |text: &mut String, name: &str, (debits, credits): (i128, i128)| {
        row(text, "", std::array::from_fn(|_| "-".repeat(FIGURE_WIDTH - 2)));
        row(text, name, [money(debits, currency), money(credits, currency), side(debits - credits, currency)]);
    };
    for account in Account::ALL {
        let turnover = sums.accounts.of(account);
        if turnover.debits == 0 && turnover.credits == 0 {
            continue;
        }
        if account.is_memo() && !memo {
            memo = true;
            ruled(text, "Total", std::mem::take(&mut total));
            text.push_str("Memo\n");
        }
        total = (total.0 + turnover.debits, total.1 + turnover.credits);
        let figures = [turnover.debits, turnover.credits].map(|sum| money(sum, currency));
        let [debits, credits] = figures;
        row(text, account.name(), [debits, credits, side(turnover.balance(), currency)]);
    }
    ruled(text, if memo { "Total memo" } else { "Total" }, total);
    text.push('\n');
}

fn row(text: &mut String, name: &str, figures: [String; 3]) {
    let mut line = format!("{name:NAME_WIDTH$}");
    for figure in figures {
        let _ = write!(line, "{figure:>FIGURE_WIDTH$}");
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

/// `1,234.50 Dr`: on which side it stands.
fn side(balance: i128, currency: Currency) -> String {
    let side = match balance {
        0 => "   ",
        1.. => " Dr",
        _ => " Cr",
    };
    format!("{}{side}", money(balance.abs(), currency))
}

/// `-1,234.50`, without the currency.
#[must_use]
pub fn money(minor: i128, currency: Currency) -> String {
    let digits = currency.minor_digits();
    let unit = 10_u128.pow(digits);
    let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    let sign = if minor < 0 { "-" } else { "" };
    let digits = digits as usize;
    let fraction = if digits > 0 { format!(".{rest:0digits$}") } else { String::new() };
    format!("{sign}{}{fraction}", grouped(whole))
}

fn grouped(number: u128) -> String {
    if number < 1000 {
        return number.to_string();
    }
    format!("{},{:03}", grouped(number / 1000), number % 1000)
}

/// What cannot be, with its money as people write it.
pub(super) fn wrong(wrong: &Wrong, currency: Currency) -> String {
    match wrong {
        Wrong::Lines { what, auth_code, lines, amount } => format!(
            "the lines of {what} {auth_code} make {}, and {} was posted",
            money(*lines, currency),
            money(i128::from(*amount), currency)
        ),
        Wrong::Bill { number, billed, unbilled } => format!(
            "bill {number} is over {}, and {} was not billed",
            money(i128::from(*billed), currency),
            money(*unbilled, currency)
        ),
        other => other.to_string(),
    }
}

/// A posting as it stands in a journal.
#[must_use]
pub fn posted_in_words(posted: &Posted) -> String {
    let Posted { at, currency, fact, posting } = posted;
    let mut text = format!("{at}  {}\n", title(fact));
    // Debits first, as in any journal.
    let (debits, credits): (Vec<&Entry>, Vec<&Entry>) =
        posting.entries().iter().partition(|entry| entry.amount_minor > 0);
    for entry in debits.into_iter().chain(credits) {
        let amount = money(i128::from(entry.amount_minor).abs(), *currency);
        let (indent, place) = if entry.amount_minor > 0 { (2, FIGURE_WIDTH) } else { (4, 2 * FIGURE_WIDTH - 2) };
        let _ = writeln!(text, "{:indent$}{:NAME_WIDTH$}{amount:>place$}", "", entry.account.name());
    }
    text
}

/// What was posted, in a few words.
fn title(fact: &Fact) -> String {
    match fact {
        Fact::ToppedUp { reference, .. } => format!("top-up {reference}"),
        Fact::RegisterMatched { line, outcome, .. } => {
            let how = match outcome {
                RegisterOutcome::Matched => "matched",
                RegisterOutcome::AmountDiffers => "amount differs",
                RegisterOutcome::UnknownPayer => "unknown payer",
                RegisterOutcome::Repeated => "repeated",
            };
            format!("register of {}, {}: {how}", line.date, line.reference)
        }
        Fact::RegisterMissing { reference, .. } => format!("register closed, {reference} is missing"),
        Fact::CreditLineSet { .. } => "credit line".to_owned(),
        Fact::Adjusted { reason, .. } => format!("adjustment: {reason}"),
        Fact::FeeCharged { name, month, .. } => format!("fee {name} of {month}"),
        Fact::Billed { number, .. } => format!("bill {number}"),
        Fact::Decided { kind, card, decision, .. } => {
            let what = if *kind == TransactionKind::Incremental { "more held" } else { "held" };
            let auth_code = decision.auth_code.as_ref().map_or("", |code| code.as_str());
            format!("{what} under {auth_code}, card {card}")
        }
        Fact::Captured { auth_code, card, site, .. } => format!("sale {auth_code}, card {card} at {site}"),
        Fact::Refunded { auth_code, card, .. } => format!("refund of {auth_code}, card {card}"),
        Fact::Voided { auth_code, card, .. } => format!("void of {auth_code}, card {card}"),
        Fact::Reversed { auth_code, .. } => format!("hold {auth_code} released"),
        Fact::HoldExpired { auth_code, .. } => format!("hold {auth_code} expired"),
        // These move no money, so they are never posted.
        _ => "no posting".to_owned(),
    }
}
