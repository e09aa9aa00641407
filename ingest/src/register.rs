//! The bank's register of payments, from a file.
//!
//! In: the bytes of a CSV file as a bank or an accounting program writes it. Out: its lines, or everything that is wrong with
//! them, each with its line, column and reason. Guarantees: total; nothing is guessed: a figure or a date that could mean
//! two things is refused; one bad line and there are no lines at all. Does not: know contracts, or what was credited.

mod table;
mod values;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use model::{ContractId, Currency, Payer, RegisterLine};

use table::{Row, Table};

/// Longest reference, name or taxpayer number, in bytes.
const TEXT_BYTES_MAX: usize = crate::decode::TEXT_BYTES_MAX;
/// Most lines of one file.
pub const LINES_MAX: usize = 1_000_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Contract,
    Reference,
    Amount,
    Currency,
    /// The banking day.
    Date,
    Payer,
    TaxId,
}

impl Field {
    pub const ALL: [Self; 7] =
        [Self::Contract, Self::Reference, Self::Amount, Self::Currency, Self::Date, Self::Payer, Self::TaxId];

    /// As `--map` and the header name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Reference => "reference",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Date => "date",
            Self::Payer => "payer",
            Self::TaxId => "tax_id",
        }
    }

    /// Further headers that mean it: small letters, single spaces.
    fn known_as(self) -> &'static [&'static str] {
        match self {
            Self::Contract => &["contract", "contract id", "contract number", "договор", "номер договора"],
            Self::Reference => &[
                "reference",
                "payment reference",
                "document number",
                "референс",
                "номер платежа",
                "номер документа",
                "номер платежного поручения",
                "номер платёжного поручения",
            ],
            Self::Amount => &["amount", "sum", "сумма", "сумма платежа"],
            Self::Currency => &["currency", "валюта"],
            Self::Date => &["date", "booking date", "дата", "дата проводки", "дата платежа", "дата операции"],
            Self::Payer => &["payer", "payer name", "плательщик", "наименование плательщика"],
            Self::TaxId => {
                &["tax id", "inn", "bin", "инн", "бин", "бин/иин", "иин/бин", "инн плательщика", "бин плательщика"]
            }
        }
    }
}

/// Which columns are what, beside those that are known by their header.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// The header of a column, where it is another than the usual ones.
    pub named: BTreeMap<Field, String>,
    /// The currency of all lines, where no column says it.
    pub currency: Option<Currency>,
}

/// A payment that reached the bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Where it stands in the file, from 1.
    pub line: u64,
    pub contract: ContractId,
    pub currency: Currency,
    pub register: RegisterLine,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1; 0 for the file as a whole.
    pub line: u64,
    /// Its header.
    pub column: Option<String>,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}", self.line)?;
            if let Some(column) = &self.column {
                write!(f, ", column {column:?}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}

/// Reads a whole register.
pub fn read(bytes: &[u8], columns: &Columns) -> Result<Vec<Payment>, Vec<Problem>> {
    let table = Table::read(bytes, columns).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let mut payments: Vec<Payment> = Vec::new();
    // By contract and reference: which payment.
    let mut seen: BTreeMap<(ContractId, String), usize> = BTreeMap::new();
    for row in table.rows() {
        let mut reading = Reading { table: &table, row, problems: &mut problems };
        let Some(payment) = reading.payment(columns) else { continue };
        match seen.entry((payment.contract.clone(), payment.register.reference.clone())) {
            Entry::Vacant(place) => {
                place.insert(payments.len());
            }
            Entry::Occupied(place) => {
                let first = &payments[*place.get()];
                if first.register != payment.register {
                    let what = format!(
                        "reference {} of contract {} stands on line {} with another date, amount or payer",
                        payment.register.reference, payment.contract, first.line
                    );
                    problems.push(Problem { line: payment.line, column: None, what });
                }
            }
        }
        payments.push(payment);
        if payments.len() > LINES_MAX {
            problems.push(Problem {
                line: 0,
                column: None,
                what: format!("more than {LINES_MAX} lines: split the file"),
            });
            break;
        }
    }
    if payments.is_empty() && problems.is_empty() {
        problems.push(Problem { line: 0, column: None, what: "the file holds a header and no line".to_owned() });
    }
    if problems.is_empty() { Ok(payments) } else { Err(problems) }
}

/// One row while it is read: what is wrong with it goes to `problems`, all of it at once.
struct Reading<'a> {
    table: &'a Table,
    row: &'a Row,
    problems: &'a mut Vec<Problem>,
}

impl Reading<'_> {
    fn take<T>(&mut self, field: Field, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.table.cell(self.row, field);
        let read = if text.is_empty() { Err("empty".to_owned()) } else { read(text) };
        read.map_err(|what| self.complain(Some(field), what)).ok()
    }

    /// What may be left out; the outer `None` when it is wrong.
    fn optional(&mut self, field: Field) -> Option<Option<String>> {
        if self.table.cell(self.row, field).is_empty() { Some(None) } else { self.take(field, values::text).map(Some) }
    }

    fn complain(&mut self, field: Option<Field>, what: String) {
        let column = field.map(|field| self.table.header(field));
        self.problems.push(Problem { line: self.row.line, column, what });
    }

    fn payment(&mut self, columns: &Columns) -> Option<Payment> {
        let empty = |field| self.table.cell(self.row, field).is_empty();
        if [Field::Contract, Field::Reference, Field::Date].into_iter().all(empty) {
            self.complain(None, "no contract, no reference, no date: a total does not belong here".to_owned());
            return None;
        }
        let contract = self.take(Field::Contract, |text| {
            ContractId::new(text).map_err(|error| format!("{text:?} is no contract: {error}"))
        });
        let reference = self.take(Field::Reference, values::text);
        let date = self.take(Field::Date, values::date);
        let currency = match columns.currency.filter(|_| !self.table.has(Field::Currency)) {
            Some(currency) => Some(currency),
            None => self.take(Field::Currency, values::currency),
        };
        // How many digits an amount may have depends on its currency.
        let amount = currency.and_then(|currency| self.take(Field::Amount, |text| values::amount(text, currency)));
        let (name, tax_id) = (self.optional(Field::Payer), self.optional(Field::TaxId));
        let payer = Payer { tax_id: tax_id?, name: name? };
        let (contract, currency) = (contract?, currency?);
        let (date, reference, amount_minor) = (date?, reference?, amount?);
        let register = RegisterLine { date, reference, amount_minor, currency: Some(currency), payer };
        Some(Payment { line: self.row.line, contract, currency, register })
    }
}

#[cfg(test)]
mod tests;
