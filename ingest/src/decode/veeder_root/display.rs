//! Display format: what the console prints for people, in its language.
//!
//! Titles and headers are in any language and are not read; rows are known by their figures. The product's label is at most
//! twenty characters wide, so a figure that ends further right is no part of it.

use jiff::civil::DateTime;
use model::RejectReason;

use super::super::{Refusal, short};
use super::{ALARM_NAMES, Alarm, END, Inventory, Reply, Report, TankAlarms};

/// Characters of a product's label.
const LABEL_WIDTH: usize = 20;
/// Volume, TC volume, ullage, height, water, temperature.
const COLUMNS: usize = 6;
/// Where a probe measures no water its column stays empty: this many characters between height and temperature.
const EMPTY_COLUMN_WIDTH: usize = 10;
/// A status that continues the tank of the line above is indented at least so far.
const CONTINUED_INDENT: usize = 15;
/// Lines between the function code and the console's time.
const TIME_LINES_MAX: usize = 3;
const CENTURY: i16 = 2000;

pub(super) fn reply(body: &[u8]) -> Result<Reply, Refusal> {
    let end = body.iter().position(|byte| *byte == END).unwrap_or(body.len());
    let text = text(&body[..end]);
    let mut lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim_end()));
    let function = lines.next().map_or("", |(_, line)| line);
    let report = match function.get(..4).unwrap_or_default() {
        "I201" => Report::Inventory(inventory(lines)?),
        "I205" => Report::Alarms(alarms(lines)?),
        other => {
            let advice = "I201 and I205 are; ask for the others in computer format (i202 …)";
            return Err(line_refusal(1, format!("{other:?} is not read: {advice}")));
        }
    };
    let times = text.lines().skip(1).filter(|line| !line.trim().is_empty()).take(TIME_LINES_MAX);
    let console_times = times.map(times_in).find(|times| !times.is_empty()).unwrap_or_default();
    Ok(Reply { console_times, report })
}

/// Consoles print in their own code page; only labels are ever outside ASCII.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn line_refusal(line: usize, what: impl std::fmt::Display) -> Refusal {
    (RejectReason::Shape, short(format!("line {line}: {what}")))
}

/// A word and where it stands in its line, in characters.
struct Word<'a> {
    text: &'a str,
    start: usize,
    end: usize,
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut begun: Option<(usize, usize)> = None;
    for (place, (byte, character)) in line.char_indices().chain([(line.len(), ' ')]).enumerate() {
        match (begun, character.is_whitespace()) {
            (None, false) => begun = Some((byte, place)),
            (Some((from, start)), true) => {
                words.push(Word { text: &line[from..byte], start, end: place });
                begun = None;
            }
            _ => {}
        }
    }
    words
}

/// Digits with a point or a comma; `-` is a figure that the console does not have.
fn figure(text: &str) -> Option<Option<f64>> {
    if text.bytes().all(|byte| byte == b'-') {
        return Some(None);
    }
    let plain = text.replacen(',', ".", 1);
    let known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+');
    if !plain.bytes().all(known) || !plain.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    plain.parse().ok().map(Some)
}

fn tank_number(word: &Word<'_>) -> Option<u8> {
    word.text.parse().ok().filter(|tank| (1..=99).contains(tank) && word.text.len() <= 2 && word.start <= 4)
}

fn inventory<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Vec<Inventory>, Refusal> {
    let mut tanks: Vec<Inventory> = Vec::new();
    let mut last = 1;
    for (number, line) in lines {
        last = number;
        let words = words(line);
        let [first, label, ..] = &words[..] else { continue };
        let Some(tank) = tank_number(first) else { continue };
        // A date or an address may begin with a number too; a row has figures at its end.
        let trailing = words.iter().rev().take_while(|word| figure(word.text).is_some()).count();
        if trailing < COLUMNS - 1 || trailing >= words.len() {
            if trailing > 1 {
                return Err(line_refusal(number, format!("tank {tank} has {trailing} figures of {COLUMNS}")));
            }
            continue;
        }
        let right_of_label = label.start + LABEL_WIDTH + 2;
        let columns = words.iter().skip(2).filter(|word| word.end > right_of_label).count();
        // Where spaces were squeezed out on the way only the count is left.
        let columns = if columns >= COLUMNS - 1 { columns } else { trailing };
        let figures = &words[words.len() - columns.min(trailing)..];
        let places = match figures.len() {
            COLUMNS => [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)],
            5 if figures[4].start - figures[3].end >= EMPTY_COLUMN_WIDTH => {
                [Some(0), Some(1), Some(2), Some(3), None, Some(4)]
            }
            found => {
                let what =
                    format!("tank {tank} has {found} figures of {COLUMNS}, and it does not show which are meant");
                return Err(line_refusal(number, what));
            }
        };
        let value = |column: usize| places[column].and_then(|place| figure(figures[place].text).flatten());
        let between = &words[1..words.len() - figures.len()];
        let label = between.iter().map(|word| word.text).collect::<Vec<_>>().join(" ");
        if tanks.iter().any(|known| known.tank == tank) {
            return Err(line_refusal(number, format!("tank {tank} for the second time")));
        }
        tanks.push(Inventory {
            tank,
            product: (!label.is_empty()).then_some(label),
            status: 0,
            volume: value(0),
            tc_volume: value(1).filter(|tc_volume| *tc_volume != 0.0 || value(0) == Some(0.0)),
            ullage: value(2),
            height: value(3),
            water_height: value(4),
            temperature: value(5),
            water_volume: None,
        });
    }
    if tanks.is_empty() { Err(line_refusal(last, "the reply ends without a row of a tank")) } else { Ok(tanks) }
}

fn alarms<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Vec<TankAlarms>, Refusal> {
    let mut tanks: Vec<TankAlarms> = Vec::new();
    let mut last = 1;
    for (number, line) in lines {
        last = number;
        let words = words(line);
        let Some(first) = words.first() else { continue };
        // Label and status are apart by two spaces at least.
        let columns = line.trim().split("  ").map(str::trim).filter(|column| !column.is_empty()).collect::<Vec<_>>();
        match (tank_number(first), &columns[..]) {
            (Some(tank), [_, .., status]) if columns.len() >= 3 => {
                tanks.push(TankAlarms { tank, alarms: alarm(status).into_iter().collect() });
            }
            (None, [status]) if first.start >= CONTINUED_INDENT => {
                if let Some(tank) = tanks.last_mut() {
                    tank.alarms.extend(alarm(status));
                }
            }
            _ => {}
        }
    }
    if tanks.is_empty() { Err(line_refusal(last, "the reply ends without the status of a tank")) } else { Ok(tanks) }
}

/// `None` when all is well.
fn alarm(status: &str) -> Option<Alarm> {
    let status = status.trim().to_ascii_uppercase();
    if status == "NORMAL" {
        return None;
    }
    let numbered = ALARM_NAMES.iter().find(|(_, name)| *name == status);
    Some(numbered.map_or(Alarm::Named(status), |(number, _)| Alarm::Numbered(*number)))
}

/// All ways to read a line as date and time: `JUL  1, 2016 10:34 AM`, `07/01/16 10:36 AM`, `30-08-19  2:44`, `05/30/2018 19:15`.
/// Which of day and month comes first depends on the console's country, so both are given where both are dates.
fn times_in(line: &str) -> Vec<DateTime> {
    const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let words = line.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let words = words.map(str::to_ascii_uppercase).collect::<Vec<_>>();
    let words = words.iter().map(String::as_str).collect::<Vec<_>>();
    let (date, clock) = match &words[..] {
        [month, day, year, clock @ ..] if MONTHS.contains(month) => {
            let month = MONTHS.iter().position(|known| known == month).and_then(|place| i8::try_from(place + 1).ok());
            let (Some(month), Some(day), Some(year)) = (month, day.parse().ok(), year.parse().ok()) else {
                return Vec::new();
            };
            (vec![(year, month, day)], clock)
        }
        [date, clock @ ..] => (dates_in(date), clock),
        [] => return Vec::new(),
    };
    let Some((hour, minute)) = clock_in(clock) else { return Vec::new() };
    let mut times = date
        .into_iter()
        .filter_map(|(year, month, day)| DateTime::new(year, month, day, hour, minute, 0, 0).ok())
        .collect::<Vec<_>>();
    times.dedup();
    times
}

fn dates_in(text: &str) -> Vec<(i16, i8, i8)> {
    let parts = text.split(['/', '-', '.']).map(str::parse::<i16>).collect::<Result<Vec<_>, _>>();
    let Some(&[first, second, year]) = parts.as_deref().ok() else { return Vec::new() };
    let year = if year < 100 { CENTURY + year } else { year };
    let small = |number: i16| i8::try_from(number).ok();
    let date = |month: i16, day: i16| Some((year, small(month)?, small(day)?));
    [date(first, second), date(second, first)].into_iter().flatten().collect()
}

/// `10:34 AM`, `19:15`, ` 2:44`.
fn clock_in(words: &[&str]) -> Option<(i8, i8)> {
    let (hour, minute) = words.first()?.split_once(':')?;
    let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.get(..2)?.parse().ok()?);
    match words.get(1) {
        None => Some((hour, minute)),
        Some(&half) if (1..=12).contains(&hour) => match half {
            "AM" => Some((hour % 12, minute)),
            "PM" => Some((hour % 12 + 12, minute)),
            _ => None,
        },
        Some(_) => None,
    }
}
