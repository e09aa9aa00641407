//! Facts about a contract's money: top-ups and the bank's register, fees, bills.
//!
//! Guarantees: sums never leave their range, whatever a record says.

use model::{
    ContractId, Currency, MinorUnits, MonthlyFee, RegisterLine, RegisterOutcome, RuleMode, TimestampUs, TopUpState,
    WeekStart,
};

use super::super::settings::Settings;
use super::super::state::{Contract, Ix, Money, NONE, Rules, TopUp};
use super::super::tables::Tables;
use super::{review_due, with};

pub(super) fn open(tables: &mut Tables, id: &ContractId, currency: Currency, time_zone: &str, week_start: WeekStart) {
    let zone = tables.zone(time_zone);
    let ix = Ix::try_from(tables.contracts.len()).unwrap_or(NONE);
    tables.contracts.push(Contract::open(id.clone(), currency, zone, week_start));
    tables.contract_ix.insert(id.clone(), ix);
    tables.due_us.push(i64::MAX);
}

pub(super) fn own(contract: &mut Contract, change: i64) {
    contract.money.own = contract.money.own.saturating_add(change);
}

pub(super) fn topped_up(contract: &mut Contract, amount: MinorUnits, reference: &str, at: TimestampUs) {
    own(contract, amount.get());
    let top_up = TopUp { amount_minor: amount.get(), at, state: TopUpState::Credited };
    contract.books_mut().top_ups.insert(reference.to_owned(), top_up);
}

pub(super) fn register_line(contract: &mut Contract, line: &RegisterLine, outcome: RegisterOutcome) {
    let books = contract.books_mut();
    books.register_lines.insert(line.reference.clone(), line.clone());
    let state = match outcome {
        RegisterOutcome::Matched => TopUpState::RegisterMatched,
        RegisterOutcome::AmountDiffers => TopUpState::AmountDiffers,
        RegisterOutcome::UnknownPayer | RegisterOutcome::Repeated => return,
    };
    if let Some(top_up) = books.top_ups.get_mut(&line.reference) {
        top_up.state = state;
    }
}

pub(super) fn register_missing(contract: &mut Contract, reference: &str) {
    if let Some(top_up) = contract.books_mut().top_ups.get_mut(reference) {
        top_up.state = TopUpState::RegisterMissing;
    }
}

pub(super) fn fee_set(tables: &mut Tables, ix: Ix, at: TimestampUs, fee: &MonthlyFee) {
    let next_month = next_month(tables, ix, at, None);
    with(tables, ix, |contract| {
        let books = contract.books_mut();
        if books.fees.is_empty()
            && let Some(next_month) = next_month
        {
            books.fees_due_us = next_month.get();
        }
        books.fees.retain(|known| known.name != fee.name);
        if !fee.amount_minor.is_zero() {
            books.fees.push(fee.clone());
        }
    });
    review_due(tables, ix);
}

pub(super) fn fee_charged(tables: &mut Tables, ix: Ix, at: TimestampUs, month: &str, amount: MinorUnits) {
    let next_month = next_month(tables, ix, at, Some(month));
    with(tables, ix, |contract| {
        own(contract, -amount.get());
        if let Some(next_month) = next_month {
            contract.books_mut().fees_due_us = next_month.get();
        }
    });
    review_due(tables, ix);
}

/// The first moment of the month after the one that was charged, or else after this moment.
fn next_month(tables: &Tables, ix: Ix, at: TimestampUs, charged: Option<&str>) -> Option<TimestampUs> {
    let contract = tables.contracts.get(ix as usize)?;
    let zone = tables.zones.get(usize::from(contract.zone))?;
    Some(charged.and_then(|month| zone.month_after(month)).unwrap_or_else(|| zone.next_month(at)))
}

pub(super) fn billed(contract: &mut Contract, amount: MinorUnits) {
    own(contract, -amount.get());
    contract.money.unbilled = contract.money.unbilled.saturating_sub(amount.get());
    contract.bills = contract.bills.saturating_add(1);
}

impl Contract {
    fn open(id: ContractId, currency: Currency, zone: u16, week_start: WeekStart) -> Self {
        Self {
            id,
            currency,
            zone,
            week_start,
            money: Money::default(),
            velocity: RuleMode::Flag,
            travel: RuleMode::Flag,
            valid_from_us: i64::MIN,
            valid_to_us: i64::MAX,
            latest: TimestampUs::default(),
            open_holds: Vec::new(),
            rules: Rules::default(),
            parties: None,
            blocks: Vec::new(),
            discounts: Vec::new(),
            holidays: Vec::new(),
            cards: Vec::new(),
            settings: Settings::default(),
            rules_version: 0,
            books: None,
            bills: 0,
        }
    }
}
