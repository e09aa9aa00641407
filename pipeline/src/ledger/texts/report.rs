//! An explanation on paper: sentences, a table of limits, a list of restrictions.
//!
//! In: what an explanation rests on. Out: plain text. Guarantees: every limit and restriction of the card's scopes is listed.
//! Does not: decide which of them apply: it is told.

use std::fmt::Write;

use model::{CardState, Measure, Original, Policy, Restriction, Schedule, Scope, TransactionKind, Verdict};

use super::super::explain::{Explanation, KnownLimit};
use super::{Amounts, Language, Subject};

pub(super) const COLUMNS: usize = 9;

/// The words of a report in one language.
pub(super) trait Report: Language {
    /// Whose, goods, when, limit, used, held, left, the same in the other unit, remark.
    const COLUMNS: [&'static str; COLUMNS];
    const LIMITS: &'static str;
    const NO_LIMITS: &'static str;
    const RESTRICTIONS: &'static str;
    /// The remark on the limit that decides.
    const DECIDES: &'static str;
    /// The remark on a limit that does not apply to this purchase.
    const APART: &'static str;

    /// The card, the time and what is asked for.
    fn question(explanation: &Explanation) -> String;
    fn outlook(verdict: Verdict) -> &'static str;
    /// What the cashier would read.
    fn at_the_till(explanation: &Explanation) -> String;
    fn card(explanation: &Explanation) -> String;
    fn contract(explanation: &Explanation, subject: &Subject<'_>) -> String;
    /// What the policy asks of the terminal; `None` when it asks nothing.
    fn policy(policy: &Policy) -> Option<String>;
    fn whose(scope: &Scope) -> String;
    fn goods(known: &KnownLimit) -> String;
    fn when(known: &KnownLimit) -> String;
    fn figure(measure: Measure, value: i64, subject: &Subject<'_>) -> String;
    /// How the limit differs from one that declines.
    fn mode(known: &KnownLimit) -> Option<&'static str>;
    fn restriction(restriction: &Restriction) -> String;
    /// The sentences for the manager.
    fn told(explanation: &Explanation) -> &str;
    fn card_state(state: CardState) -> &'static str;
}

pub(super) fn of<R: Report>(explanation: &Explanation) -> String {
    let original = Original::default();
    let decision = &explanation.decision;
    let subject = Subject {
        kind: TransactionKind::DryRun,
        verdict: decision.decision,
        code: decision.code,
        notes: &decision.notes,
        risk: &decision.risk,
        binding: decision.binding.as_ref(),
        balance: decision.balance.as_ref(),
        contract: Some(explanation.question.contract.as_str()),
        card: &explanation.card,
        site: explanation.question.site.as_str(),
        terminal: "",
        currency: explanation.currency,
        original: &original,
        asked: Amounts::default(),
        granted: Amounts::default(),
        fill_up: explanation.question.fill_up,
    };
    let mut lines = vec![
        R::question(explanation),
        String::new(),
        format!("{} {}", R::outlook(decision.decision), R::told(explanation)),
        R::at_the_till(explanation),
        String::new(),
        R::card(explanation),
        R::contract(explanation, &subject),
    ];
    lines.extend(explanation.policy.as_ref().and_then(R::policy));
    lines.push(String::new());
    if explanation.limits.is_empty() {
        lines.push(R::NO_LIMITS.to_owned());
    } else {
        lines.push(R::LIMITS.to_owned());
        lines.extend(table::<R>(explanation, &subject));
    }
    if !explanation.restrictions.is_empty() {
        lines.extend([String::new(), R::RESTRICTIONS.to_owned()]);
        lines.extend(explanation.restrictions.iter().map(|restriction| format!("  {}", R::restriction(restriction))));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn table<R: Report>(explanation: &Explanation, subject: &Subject<'_>) -> Vec<String> {
    let mut rows = vec![R::COLUMNS.map(ToOwned::to_owned)];
    rows.extend(explanation.limits.iter().map(|known| row::<R>(explanation, known, subject)));
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    rows.iter().map(|row| laid_out(row, &widths)).collect()
}

fn row<R: Report>(explanation: &Explanation, known: &KnownLimit, subject: &Subject<'_>) -> [String; COLUMNS] {
    let headroom = &known.headroom;
    let figure = |value| R::figure(headroom.measure, value, subject);
    let worth = match headroom.measure {
        Measure::Volume => headroom.left_minor.map(|minor| R::figure(Measure::Money, minor, subject)),
        Measure::Money => headroom.left_ml.map(|ml| R::figure(Measure::Volume, ml, subject)),
        Measure::Count => None,
    };
    let decides = explanation.decision.binding.as_ref().is_some_and(|binding| binding.limit == headroom.limit);
    // An answer that came before the limits names none of them.
    let apart = !known.applies && !explanation.decision.headroom.is_empty();
    let remarks = [decides.then_some(R::DECIDES), apart.then_some(R::APART), R::mode(known)];
    let remarks: Vec<&str> = remarks.into_iter().flatten().collect();
    [
        format!("{}, {}", R::whose(&headroom.scope), headroom.limit),
        R::goods(known),
        R::when(known),
        figure(headroom.limit_value),
        figure(headroom.used),
        figure(headroom.held),
        figure(headroom.left),
        worth.unwrap_or_default(),
        remarks.join(", "),
    ]
}

/// Words to the left, figures to the right.
fn laid_out(row: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        if *width == 0 {
            continue;
        }
        let _ = match column {
            3..=7 => write!(line, "  {cell:>width$}"),
            _ => write!(line, "  {cell:<width$}"),
        };
    }
    line.truncate(line.trim_end().len());
    line
}

/// `Mon–Fri 08:00–20:00`, with the names of days as a language has them; empty for always.
pub(super) fn hours(schedule: &Schedule, names: [&str; 7]) -> String {
    let mut words = Vec::new();
    if schedule.days.contains(&false) {
        words.push(days(schedule.days, names));
    }
    if schedule.from != schedule.to {
        let clock = |time: jiff::civil::Time| format!("{:02}:{:02}", time.hour(), time.minute());
        words.push(format!("{}–{}", clock(schedule.from), clock(schedule.to)));
    }
    words.join(" ")
}

/// Three days or more that follow each other are a range.
fn days(mask: [bool; 7], names: [&str; 7]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for day in (0..7).filter(|day| mask.get(*day) == Some(&true)) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == day => *last = day,
            _ => ranges.push((day, day)),
        }
    }
    let name = |day: usize| names.get(day).copied().unwrap_or_default();
    let words: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| match last - first {
            0 => name(first).to_owned(),
            1 => format!("{}, {}", name(first), name(last)),
            _ => format!("{}–{}", name(first), name(last)),
        })
        .collect();
    words.join(", ")
}

/// Items by comma.
pub(super) fn list<T>(items: &[T], name: impl Fn(&T) -> String) -> String {
    items.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::time;
    use model::HolidayRule;

    #[test]
    fn hours_read_as_on_a_door() {
        let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let words = |days: [u8; 7], from, to| {
            let days = days.map(|day| day == 1);
            hours(
                &Schedule { days, from: time(from, 0, 0, 0), to: time(to, 0, 0, 0), holidays: HolidayRule::Ignore },
                names,
            )
        };
        assert_eq!(words([1, 1, 1, 1, 1, 0, 0], 8, 20), "Mon–Fri 08:00–20:00");
        assert_eq!(words([1, 0, 1, 1, 0, 1, 1], 0, 0), "Mon, Wed, Thu, Sat, Sun");
        assert_eq!(words([1; 7], 22, 6), "22:00–06:00");
        assert_eq!(words([1; 7], 0, 0), "");
    }
}
