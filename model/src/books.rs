//! Double entry beneath the ledger: each fact that moves money is a posting whose entries sum to zero.
//!
//! In: the facts of one contract, in order. Out: its postings, and what stands on its accounts. Guarantees: every posting
//! balances; what a contract may spend follows from its accounts alone. Does not: look at limits, cards or litres.
//!
//! Debits are positive, credits negative, seen from the issuer: what the bank holds and what customers owe are debits, what
//! customers have paid in and what stations are owed are credits. Holds and credit lines are memo accounts: nothing has
//! changed hands, so each has an account against it, and they stand apart from the rest of a trial balance.

use std::collections::{BTreeMap, HashMap};

use crate::{
    AuthCode, Balance, Currency, Decision, Fact, MinorUnits, RegisterLine, RegisterOutcome, SoldItem, TimestampUs,
    TopUpState, TransactionKind,
};

/// Where money is, or whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What the bank's register shows.
    Bank,
    /// Credited to customers, and not yet in the register.
    AwaitingRegister,
    /// Credited to customers, and not in the register of its day.
    MissingFromRegister,
    /// What was credited above what the register shows; negative where it was less.
    AmountDifferences,
    /// In the register, and credited to nobody.
    UnknownPayers,
    /// Bought and not yet billed.
    Unbilled,
    /// What customers have paid in, less what was billed and charged.
    CustomerFunds,
    /// What stations are owed for what they sold, at their prices.
    SalesPayable,
    /// What the issuer takes off the stations' prices.
    Discounts,
    FeeIncome,
    /// Corrections by hand.
    Adjustments,
    /// Memo: how far customers may go below zero.
    CreditLines,
    /// Memo, against [`Account::CreditLines`].
    CreditLinesGranted,
    /// Memo: reserved by open authorizations.
    Holds,
    /// Memo, against [`Account::Holds`].
    HoldsPlaced,
}

impl Account {
    pub const COUNT: usize = 15;
    /// In the order of a trial balance: what comes after the adjustments is memo.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Bank,
        Self::AwaitingRegister,
        Self::MissingFromRegister,
        Self::AmountDifferences,
        Self::UnknownPayers,
        Self::Unbilled,
        Self::CustomerFunds,
        Self::SalesPayable,
        Self::Discounts,
        Self::FeeIncome,
        Self::Adjustments,
        Self::CreditLines,
        Self::CreditLinesGranted,
        Self::Holds,
        Self::HoldsPlaced,
    ];

    #[must_use]
    pub fn is_memo(self) -> bool {
        matches!(self, Self::CreditLines | Self::CreditLinesGranted | Self::Holds | Self::HoldsPlaced)
    }

    /// As an accountant reads it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bank => "Bank",
            Self::AwaitingRegister => "Top-ups awaiting the register",
            Self::MissingFromRegister => "Top-ups missing from the register",
            Self::AmountDifferences => "Top-ups, amount differs",
            Self::UnknownPayers => "Unknown payers",
            Self::Unbilled => "Bought, not billed",
            Self::CustomerFunds => "Customers' own funds",
            Self::SalesPayable => "Sales payable to stations",
            Self::Discounts => "Discounts granted",
            Self::FeeIncome => "Fee income",
            Self::Adjustments => "Adjustments",
            Self::CreditLines => "Credit lines",
            Self::CreditLinesGranted => "Credit lines granted",
            Self::Holds => "Open holds",
            Self::HoldsPlaced => "Open holds placed",
        }
    }
}

/// An account's place in the list is its place in [`Accounts`].
const _: () = {
    let mut place = 0;
    while place < Account::COUNT {
        assert!(Account::ALL[place] as usize == place);
        place += 1;
    }
};

/// One side of a posting: a debit when positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub account: Account,
    pub amount_minor: i64,
}

/// What one fact moves. Empty where it moves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posting(Vec<Entry>);

impl Posting {
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Zero, or it is no posting.
    #[must_use]
    pub fn sum(&self) -> i128 {
        self.0.iter().map(|entry| i128::from(entry.amount_minor)).sum()
    }

    fn debit(&mut self, account: Account, amount_minor: i64) {
        if amount_minor != 0 {
            self.0.push(Entry { account, amount_minor });
        }
    }

    /// `to` takes what `from` gives.
    fn moves(&mut self, amount_minor: i64, to: Account, from: Account) {
        self.debit(to, amount_minor);
        self.debit(from, -amount_minor);
    }
}

/// What went into an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    pub debits: i128,
    pub credits: i128,
}

impl Turnover {
    /// A debit when positive.
    #[must_use]
    pub fn balance(self) -> i128 {
        self.debits - self.credits
    }

    pub fn add(&mut self, other: Self) {
        self.debits += other.debits;
        self.credits += other.credits;
    }
}

/// The accounts of a currency or a contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts([Turnover; Account::COUNT]);

impl Accounts {
    #[must_use]
    pub fn of(&self, account: Account) -> Turnover {
        self.0[account as usize]
    }

    pub fn post(&mut self, posting: &Posting) {
        for entry in posting.entries() {
            let turnover = &mut self.0[entry.account as usize];
            let amount = i128::from(entry.amount_minor);
            if amount > 0 { turnover.debits += amount } else { turnover.credits -= amount }
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (turnover, more) in self.0.iter_mut().zip(other.0) {
            turnover.add(more);
        }
    }
}

/// A payment that was credited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credited {
    pub amount_minor: MinorUnits,
    pub at: TimestampUs,
    pub state: TopUpState,
}

/// What cannot be, as far as the books of one contract can tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("authorization {0} was opened while it was open")]
    OpenedTwice(AuthCode),
    #[error("authorization {0} was extended, and it is not open")]
    ExtendedWhileClosed(AuthCode),
    #[error("authorization {0} expired, and it was not open")]
    ExpiredWhileClosed(AuthCode),
    #[error("the lines of {what} {auth_code} make {lines}, and {amount} was posted")]
    Lines { what: &'static str, auth_code: AuthCode, lines: i128, amount: i64 },
    #[error("bill {number} is over {billed}, and {unbilled} was not billed")]
    Bill { number: String, billed: i64, unbilled: i128 },
    #[error("reference {reference:?} was credited at {first} and again")]
    CreditedTwice { reference: String, first: TimestampUs },
    #[error("the register line {reference:?} is recorded as {recorded}, and the books say {books}")]
    Register { reference: String, recorded: &'static str, books: &'static str },
    #[error("top-up {0:?} is recorded as missing from the register, and it does not wait for it")]
    NotWaiting(String),
}

/// The books of one contract.
#[derive(Clone, Debug)]
pub struct Books {
    pub currency: Currency,
    accounts: Accounts,
    /// What each open authorization reserves.
    open: HashMap<AuthCode, i64>,
    /// By reference.
    top_ups: BTreeMap<String, Credited>,
    /// The latest line of each reference that moved money.
    lines: BTreeMap<String, RegisterLine>,
}

impl Books {
    #[must_use]
    pub fn new(currency: Currency) -> Self {
        Self {
            currency,
            accounts: Accounts::default(),
            open: HashMap::new(),
            top_ups: BTreeMap::new(),
            lines: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// What an authorization reserves; `None` when it is not open.
    #[must_use]
    pub fn held_by(&self, auth_code: &AuthCode) -> Option<i64> {
        self.open.get(auth_code).copied()
    }

    /// The sum of what open authorizations reserve, counted one by one.
    #[must_use]
    pub fn held(&self) -> i128 {
        self.open.values().map(|held| i128::from(*held)).sum()
    }

    /// By reference.
    pub fn top_ups(&self) -> impl Iterator<Item = (&str, &Credited)> {
        self.top_ups.iter().map(|(reference, credited)| (reference.as_str(), credited))
    }

    /// Register lines whose money is credited to nobody.
    pub fn unknown_payers(&self) -> impl Iterator<Item = &RegisterLine> {
        self.lines.values().filter(|line| !self.top_ups.contains_key(&line.reference))
    }

    /// The latest line of the register with this reference.
    #[must_use]
    pub fn line(&self, reference: &str) -> Option<&RegisterLine> {
        self.lines.get(reference)
    }

    /// Own funds, credit line, holds, unbilled, and what is available of it, as the accounts say.
    #[must_use]
    pub fn balance(&self) -> [i128; 5] {
        let of = |account| self.accounts.of(account).balance();
        let (own, credit) = (-of(Account::CustomerFunds), of(Account::CreditLines));
        let (held, unbilled) = (of(Account::Holds), of(Account::Unbilled));
        [own, credit, held, unbilled, own + credit - held - unbilled]
    }

    /// The same as an outcome records it. What its type cannot hold, a balance cannot show.
    #[must_use]
    pub fn shown(balance: &Balance) -> [i64; 5] {
        [balance.own, balance.credit, balance.held, balance.unbilled, balance.available].map(MinorUnits::get)
    }

    /// Posts a fact that took effect at `at`. What cannot be goes to `wrong`; its money is posted all the same.
    pub fn enter(&mut self, at: TimestampUs, fact: &Fact, wrong: &mut Vec<Wrong>) -> Posting {
        let posting = self.posting(at, fact, wrong);
        self.accounts.post(&posting);
        posting
    }

    /// Closed on purpose: a new fact must say here what money it moves.
    fn posting(&mut self, at: TimestampUs, fact: &Fact, wrong: &mut Vec<Wrong>) -> Posting {
        let mut posting = Posting::default();
        match fact {
            Fact::ToppedUp { amount_minor, reference, .. } => {
                posting.moves(amount_minor.get(), Account::AwaitingRegister, Account::CustomerFunds);
                let credited = Credited { amount_minor: *amount_minor, at, state: TopUpState::Credited };
                if let Some(first) = self.top_ups.insert(reference.clone(), credited) {
                    wrong.push(Wrong::CreditedTwice { reference: reference.clone(), first: first.at });
                }
            }
            Fact::RegisterMatched { line, outcome, .. } => self.register_line(line, *outcome, &mut posting, wrong),
            Fact::RegisterMissing { reference, amount_minor } => {
                posting.moves(amount_minor.get(), Account::MissingFromRegister, Account::AwaitingRegister);
                match self.top_ups.get_mut(reference).filter(|known| known.state == TopUpState::Credited) {
                    Some(known) => known.state = TopUpState::RegisterMissing,
                    None => wrong.push(Wrong::NotWaiting(reference.clone())),
                }
            }
            Fact::CreditLineSet { amount_minor } => {
                let now = self.accounts.of(Account::CreditLines).balance();
                let change = i64::try_from(i128::from(amount_minor.get()) - now).unwrap_or(i64::MAX);
                posting.moves(change, Account::CreditLines, Account::CreditLinesGranted);
            }
            Fact::Adjusted { amount_minor, .. } => {
                posting.moves(amount_minor.get(), Account::Adjustments, Account::CustomerFunds);
            }
            Fact::FeeCharged { amount_minor, .. } => {
                posting.moves(amount_minor.get(), Account::CustomerFunds, Account::FeeIncome);
            }
            Fact::Billed { number, amount_minor } => {
                let (billed, unbilled) = (amount_minor.get(), self.accounts.of(Account::Unbilled).balance());
                if i128::from(billed) != unbilled {
                    wrong.push(Wrong::Bill { number: number.clone(), billed, unbilled });
                }
                posting.moves(billed, Account::CustomerFunds, Account::Unbilled);
            }
            Fact::Decided { kind, decision, .. } => self.decided(*kind, decision, &mut posting, wrong),
            Fact::Captured { auth_code, items, amount_minor, .. } => {
                lines_make("sale", auth_code, items, *amount_minor, wrong);
                self.release(auth_code, &mut posting);
                sold(items, *amount_minor, 1, &mut posting);
            }
            Fact::Refunded { auth_code, items, amount_minor, .. } => {
                lines_make("refund", auth_code, items, *amount_minor, wrong);
                sold(items, *amount_minor, -1, &mut posting);
            }
            Fact::Voided { auth_code, items, amount_minor, .. } => {
                lines_make("void", auth_code, items, *amount_minor, wrong);
                sold(items, *amount_minor, -1, &mut posting);
            }
            // What is reversed after it expired reserves nothing any more.
            Fact::Reversed { auth_code, .. } => {
                self.release(auth_code, &mut posting);
            }
            Fact::HoldExpired { auth_code, .. } => {
                if !self.release(auth_code, &mut posting) {
                    wrong.push(Wrong::ExpiredWhileClosed(auth_code.clone()));
                }
            }
            Fact::ContractOpened { .. }
            | Fact::TermSet { .. }
            | Fact::ContractBlocked(_)
            | Fact::ContractUnblocked { .. }
            | Fact::HolidaysSet { .. }
            | Fact::MonthlyFeeSet(_)
            | Fact::DiscountSet(_)
            | Fact::DiscountRemoved { .. }
            | Fact::CardIssued { .. }
            | Fact::CardBlocked { .. }
            | Fact::CardUnblocked { .. }
            | Fact::CardClosed { .. }
            | Fact::PinReset { .. }
            | Fact::CardAssigned { .. }
            | Fact::GroupPut(_)
            | Fact::VehiclePut(_)
            | Fact::DriverPut(_)
            | Fact::LimitSet { .. }
            | Fact::LimitRemoved { .. }
            | Fact::RestrictionSet(_)
            | Fact::RestrictionRemoved { .. }
            | Fact::PolicySet { .. }
            | Fact::RuleSet { .. }
            | Fact::LimitLow { .. }
            | Fact::CreditLineUsed { .. }
            | Fact::CommandRefused { .. }
            | Fact::CommandRepeated => {}
        }
        posting
    }

    /// What is granted is reserved; more on an open authorization comes on top of it.
    fn decided(&mut self, kind: TransactionKind, decision: &Decision, posting: &mut Posting, wrong: &mut Vec<Wrong>) {
        let (Some(auth_code), Some(hold), false) = (&decision.auth_code, decision.hold, decision.replayed) else {
            return;
        };
        let more = kind == TransactionKind::Incremental;
        match (self.open.contains_key(auth_code), more) {
            (true, false) => wrong.push(Wrong::OpenedTwice(auth_code.clone())),
            (false, true) => wrong.push(Wrong::ExtendedWhileClosed(auth_code.clone())),
            _ => {}
        }
        let held = self.open.entry(auth_code.clone()).or_default();
        *held = held.saturating_add(hold.amount_minor.get());
        posting.moves(hold.amount_minor.get(), Account::Holds, Account::HoldsPlaced);
    }

    /// Nothing is reserved by this authorization any more. False when nothing was.
    fn release(&mut self, auth_code: &AuthCode, posting: &mut Posting) -> bool {
        let Some(held) = self.open.remove(auth_code) else { return false };
        posting.moves(held, Account::HoldsPlaced, Account::Holds);
        true
    }

    /// A line of the register. One with the reference of an earlier line, and another amount, takes its place: the bank
    /// corrects itself.
    fn register_line(
        &mut self,
        line: &RegisterLine,
        outcome: RegisterOutcome,
        posting: &mut Posting,
        wrong: &mut Vec<Wrong>,
    ) {
        let (reference, amount) = (&line.reference, line.amount_minor);
        let credited = self.top_ups.get(reference);
        let before = self.lines.get(reference);
        // An unknown payer's line is taken up again when its top-up has come.
        let settled =
            credited.is_none_or(|known| matches!(known.state, TopUpState::RegisterMatched | TopUpState::AmountDiffers));
        let books = match credited {
            _ if settled && before.is_some_and(|before| before.amount_minor == amount) => RegisterOutcome::Repeated,
            None => RegisterOutcome::UnknownPayer,
            Some(known) if known.amount_minor == amount => RegisterOutcome::Matched,
            Some(_) => RegisterOutcome::AmountDiffers,
        };
        if books != outcome {
            let (recorded, books) = (outcome_name(outcome), outcome_name(books));
            wrong.push(Wrong::Register { reference: reference.clone(), recorded, books });
        }
        if outcome == RegisterOutcome::Repeated {
            return;
        }
        if let Some(before) = before.map(|before| before.amount_minor.get()) {
            posting.debit(Account::Bank, -before);
            match credited {
                Some(known) if settled => {
                    let credited = known.amount_minor.get();
                    posting.debit(Account::AwaitingRegister, credited);
                    posting.debit(Account::AmountDifferences, before - credited);
                }
                _ => posting.debit(Account::UnknownPayers, before),
            }
        }
        posting.debit(Account::Bank, amount.get());
        match self.top_ups.get_mut(reference) {
            None => posting.debit(Account::UnknownPayers, -amount.get()),
            Some(known) => {
                let waits = match known.state {
                    TopUpState::RegisterMissing => Account::MissingFromRegister,
                    _ => Account::AwaitingRegister,
                };
                posting.debit(waits, -known.amount_minor.get());
                posting.debit(Account::AmountDifferences, known.amount_minor.get() - amount.get());
                let same = known.amount_minor == amount;
                known.state = if same { TopUpState::RegisterMatched } else { TopUpState::AmountDiffers };
            }
        }
        self.lines.insert(reference.clone(), line.clone());
    }
}

fn outcome_name(outcome: RegisterOutcome) -> &'static str {
    match outcome {
        RegisterOutcome::Matched => "matched",
        RegisterOutcome::AmountDiffers => "with another amount",
        RegisterOutcome::UnknownPayer => "of an unknown payer",
        RegisterOutcome::Repeated => "repeated",
    }
}

/// A sale: the customer owes the amount, the station gets its own price. `way` is −1 for what comes back.
fn sold(items: &[SoldItem], amount: MinorUnits, way: i64, posting: &mut Posting) {
    let discount: i64 = items.iter().map(|item| item.discount_minor.get()).fold(0, i64::saturating_add);
    posting.debit(Account::Unbilled, way * amount.get());
    posting.debit(Account::Discounts, way * discount);
    posting.debit(Account::SalesPayable, -way * (amount.get() + discount));
}

fn lines_make(
    what: &'static str,
    auth_code: &AuthCode,
    items: &[SoldItem],
    amount: MinorUnits,
    wrong: &mut Vec<Wrong>,
) {
    let lines: i128 = items.iter().map(|item| i128::from(item.amount_minor.get())).sum();
    if lines != i128::from(amount.get()) {
        wrong.push(Wrong::Lines { what, auth_code: auth_code.clone(), lines, amount: amount.get() });
    }
}
