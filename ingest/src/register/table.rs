//! A CSV file as rows with known columns.
//!
//! In: bytes. Out: rows, and which of their cells is what. Guarantees: UTF-8, UTF-16 with a byte order mark and CP1251 are
//! told apart by their bytes; the separator and the header are those that name the most columns. Does not: read values.

use std::collections::BTreeMap;

use super::{Columns, Field, Problem};

const SEPARATORS: [u8; 3] = [b';', b',', b'\t'];
/// Banks put a title and a period above the header.
const HEADER_LINE_MAX: usize = 20;

pub(super) struct Table {
    headers: Vec<String>,
    /// Which cell is what.
    places: BTreeMap<Field, usize>,
    rows: Vec<Row>,
}

pub(super) struct Row {
    pub(super) line: u64,
    cells: Vec<String>,
}

impl Table {
    pub(super) fn read(bytes: &[u8], columns: &Columns) -> Result<Self, Problem> {
        let whole = |what: String| Problem { line: 0, column: None, what };
        let text = decoded(bytes).ok_or_else(|| whole("the file holds bytes that are no text".to_owned()))?;
        if text.trim().is_empty() {
            return Err(whole("the file is empty".to_owned()));
        }
        let mut best: Option<(usize, u8, Vec<Row>)> = None;
        for separator in SEPARATORS {
            let rows = rows(&text, separator).map_err(whole)?;
            let named = |row: &Row| places(&row.cells, columns).len();
            let Some(header) = (0..rows.len().min(HEADER_LINE_MAX))
                .max_by_key(|place| (named(&rows[*place]), std::cmp::Reverse(*place)))
            else {
                continue;
            };
            let found = named(&rows[header]);
            if best.as_ref().is_none_or(|(most, ..)| found > *most) {
                let mut rows = rows;
                let rest = rows.split_off(header);
                best = Some((found, separator, rest));
            }
        }
        let (_, _, mut rows) = best.ok_or_else(|| whole("the file is empty".to_owned()))?;
        let header = rows.remove(0);
        let table = Self { places: places(&header.cells, columns), headers: header.cells, rows };
        table.complete(columns, header.line)?;
        Ok(table)
    }

    /// Every column that a payment needs is there once.
    fn complete(&self, columns: &Columns, line: u64) -> Result<(), Problem> {
        let problem = |what: String| Problem { line, column: None, what };
        if let Some((field, header)) = columns.named.iter().find(|(field, _)| !self.has(**field)) {
            return Err(problem(format!("no column {header:?} for {}; there are {}", field.name(), self.named())));
        }
        let needed = Field::ALL.into_iter().filter(|field| match field {
            Field::Payer | Field::TaxId => false,
            Field::Currency => columns.currency.is_none(),
            Field::Contract | Field::Reference | Field::Amount | Field::Date => true,
        });
        let missing: Vec<Field> = needed.filter(|field| !self.has(*field)).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        let names: Vec<&str> = missing.iter().map(|field| field.name()).collect();
        let advice = if *first == Field::Currency { "say it with --currency, or name" } else { "name" };
        Err(problem(format!(
            "no column for {}; there are {}: {advice} it with --map {}=COLUMN",
            names.join(", "),
            self.named(),
            first.name()
        )))
    }

    fn named(&self) -> String {
        let named: Vec<String> = self.headers.iter().map(|header| format!("{header:?}")).collect();
        named.join(", ")
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.places.contains_key(&field)
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Empty where there is none.
    pub(super) fn cell<'a>(&self, row: &'a Row, field: Field) -> &'a str {
        self.places.get(&field).and_then(|place| row.cells.get(*place)).map_or("", String::as_str)
    }

    /// The header of a column, as the file has it.
    pub(super) fn header(&self, field: Field) -> String {
        let header = self.places.get(&field).and_then(|place| self.headers.get(*place));
        header.cloned().unwrap_or_else(|| field.name().to_owned())
    }
}

/// CP1251 gives every byte a letter: it is taken for what is neither marked nor valid UTF-8.
fn decoded(bytes: &[u8]) -> Option<String> {
    let encoding = match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        None if std::str::from_utf8(bytes).is_ok() => encoding_rs::UTF_8,
        None => encoding_rs::WINDOWS_1251,
    };
    let (text, _, broken) = encoding.decode(bytes);
    (!broken && !text.contains('\0')).then(|| text.into_owned())
}

fn rows(text: &str, separator: u8) -> Result<Vec<Row>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| format!("the file cannot be read: {error}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cells: Vec<String> = record.iter().map(str::to_owned).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push(Row { line, cells });
        }
    }
    Ok(rows)
}

/// Which of the headers is what; the first of two.
fn places(headers: &[String], columns: &Columns) -> BTreeMap<Field, usize> {
    let plain: Vec<String> = headers.iter().map(|header| plain(header)).collect();
    let place = |field: Field| match columns.named.get(&field) {
        Some(named) => headers.iter().position(|header| header.eq_ignore_ascii_case(named) || *header == *named),
        None => plain.iter().position(|header| field.known_as().contains(&header.as_str())),
    };
    Field::ALL.into_iter().filter_map(|field| Some((field, place(field)?))).collect()
}

/// Small letters, single spaces: `Tax_ID` and `Номер  платежа ` are what they say.
fn plain(header: &str) -> String {
    let words: Vec<String> = header.split(|c: char| c.is_whitespace() || c == '_').map(str::to_lowercase).collect();
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
