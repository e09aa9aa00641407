//! What a run found: one table for people, one JSON object for programs.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::floor::{Floor, Slice};
use super::step::{Measured, Readings};

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// One hop of the path.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) latency: Histogram<u64>,
}

/// The hops that a step measured, in the order in which an event passes them.
pub(crate) fn rows(measured: &Measured) -> Vec<Row> {
    let mut rows = vec![
        Row { name: "handed to kafka client", latency: measured.send_latency.clone() },
        Row { name: "decision consumed", latency: measured.book.latency.clone() },
    ];
    if let Some((_, latency)) = &measured.lines {
        rows.push(Row { name: "frame on the page", latency: latency.clone() });
    }
    if let Some(seen) = &measured.rows {
        rows.push(Row { name: "row in clickhouse", latency: seen.latency.clone() });
    }
    if let Some(readings) = &measured.readings {
        rows.push(Row { name: "reading to level", latency: readings.levels.latency.clone() });
    }
    rows
}

/// Messages decided once, not at all, and more often.
pub(crate) fn counts(measured: &Measured) -> (u64, u64, u64) {
    let count = |wanted: fn(&u8) -> bool| measured.book.decided.iter().filter(|times| wanted(times)).count() as u64;
    (count(|times| *times == 1), count(|times| *times == 0), count(|times| *times > 1))
}

/// A latency table; `seconds` is how long was measured.
pub(crate) fn table(rows: &[Row], seconds: f64) -> String {
    let mut text = format!(
        "{:<24}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}\n",
        "from the intended moment", "count", "per s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"
    );
    for row in rows {
        let count = row.latency.len();
        let _ = write!(text, "{:<24}{:>10}{:>10.0}", row.name, count, exact(count) / seconds);
        for (_, quantile) in QUANTILES {
            let _ = write!(text, "{:>10}", millis(row.latency.value_at_quantile(quantile)));
        }
        let _ = writeln!(text, "{:>10}", millis(row.latency.max()));
    }
    text
}

/// Everything about a step, in words and figures.
pub(crate) fn text(measured: &Measured, floor: Option<&Floor>) -> String {
    let seconds = exact(measured.measured_count) / exact(measured.plan_rate.max(1));
    let mut all = rows(measured);
    let decided = measured.book.latency.clone();
    if let Some(floor) = floor {
        all.push(Row { name: "echoes beside", latency: floor.beside.clone() });
        all.push(Row { name: "floor: echoes alone", latency: floor.latency.clone() });
    }
    let mut text = table(&all, seconds);
    if let Some(floor) = floor {
        text += &above(&decided, floor);
    }
    let (once, missing, doubled) = counts(measured);
    let _ = writeln!(
        text,
        "transactions and orders: {} sent, {} repeated; {once} decided once, {missing} missing, {doubled} doubled; {} replays; {} undelivered; {} undecided when the last was sent",
        measured.sent, measured.repeats, measured.book.replayed, measured.undelivered, measured.undecided_at_end
    );
    let _ = writeln!(text, "longest time between two decisions: {:.1} s", measured.book.longest_silence.as_secs_f64());
    if let Some(Readings { planned, sent, acknowledged, levels }) = &measured.readings {
        let _ = writeln!(
            text,
            "readings: {sent} of {planned} sent, {acknowledged} acknowledged; {} became a level once, {} missing, {} doubled",
            levels.once(),
            levels.seen.iter().filter(|count| **count == 0).count(),
            levels.doubled()
        );
    }
    if let Some(seen) = &measured.rows {
        let problem = seen.problem.as_ref().map(|problem| format!("; last problem: {problem}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "clickhouse: rows of {} of {} decisions seen{problem}",
            seen.rows, measured.book.decided_messages
        );
    }
    if let Some((lines, latency)) = &measured.lines {
        let problem = lines.problem.as_ref().map(|problem| format!("; last problem: {problem}")).unwrap_or_default();
        let _ = writeln!(text, "page: {} frames, {} measured decision lines{problem}", lines.frames, latency.len());
    }
    let codes: Vec<String> = measured.book.codes.iter().map(|(code, count)| format!("{code:?} {count}")).collect();
    let _ = writeln!(text, "answers: {}", codes.join(", "));
    text
}

/// What the decision takes longer than the echoes, over all slices and in the middle one of them.
fn above(decided: &Histogram<u64>, floor: &Floor) -> String {
    let mut text = String::new();
    let mut compare = |what: &str, all: &Histogram<u64>, slices: &dyn Fn(&Slice) -> Option<Histogram<u64>>| {
        for (name, quantile) in QUANTILES {
            let between = |decided: &Histogram<u64>, echoes: &Histogram<u64>| {
                (exact(decided.value_at_quantile(quantile)) - exact(echoes.value_at_quantile(quantile))) / 1000.0
            };
            let mut each: Vec<f64> =
                floor.slices.iter().filter_map(|slice| Some(between(&slice.decision, &slices(slice)?))).collect();
            each.sort_by(f64::total_cmp);
            let _ = writeln!(
                text,
                "above the echoes {what} at {name:<6}{:>8.2} ms over all; {:>8.2} ms in the middle of {} slices",
                between(decided, all),
                each.get(each.len() / 2).copied().unwrap_or(f64::NAN),
                each.len()
            );
        }
    };
    compare("beside", &floor.beside, &|slice| slice.beside.clone());
    compare("alone ", &floor.latency, &|slice| Some(slice.floor.clone()));
    let Floor { hops, arrived, sent, beside_per_s, .. } = floor;
    let _ = writeln!(
        text,
        "echoes: {hops} hops; alone at the full rate, {arrived} of {sent} arrived; beside at {beside_per_s}/s"
    );
    text
}

/// The same as JSON; latencies in microseconds.
pub(crate) fn json(measured: &Measured, floor: Option<&Floor>) -> Value {
    let (once, missing, doubled) = counts(measured);
    let hops: serde_json::Map<String, Value> =
        rows(measured).into_iter().map(|row| (row.name.to_owned(), quantiles(&row.latency))).collect();
    let codes: serde_json::Map<String, Value> =
        measured.book.codes.iter().map(|(code, count)| (format!("{code:?}"), json!(count))).collect();
    json!({
        "rate_per_s": measured.plan_rate,
        "sent": measured.sent,
        "repeats": measured.repeats,
        "decided_once": once,
        "missing": missing,
        "doubled": doubled,
        "replayed": measured.book.replayed,
        "undelivered": measured.undelivered,
        "undecided_when_last_was_sent": measured.undecided_at_end,
        "longest_silence_ms": u64::try_from(measured.book.longest_silence.as_millis()).unwrap_or(u64::MAX),
        "latency_us": hops,
        "codes": codes,
        "clickhouse_rows": measured.rows.as_ref().map(|seen| seen.rows),
        "readings": measured.readings.as_ref().map(|readings| json!({
            "planned": readings.planned, "once": readings.levels.once(), "doubled": readings.levels.doubled(),
        })),
        "floor": floor.map(|floor| json!({
            "hops": floor.hops, "sent": floor.sent, "arrived": floor.arrived, "latency_us": quantiles(&floor.latency),
            "beside_us": quantiles(&floor.beside),
            "slices_us": floor.slices.iter().map(|slice| json!({
                "decision": quantiles(&slice.decision), "floor": quantiles(&slice.floor),
                "beside": slice.beside.as_ref().map(quantiles),
            })).collect::<Vec<_>>(),
        })),
    })
}

pub(crate) fn quantiles(latency: &Histogram<u64>) -> Value {
    let mut values: serde_json::Map<String, Value> = QUANTILES
        .iter()
        .map(|(name, quantile)| ((*name).to_owned(), json!(latency.value_at_quantile(*quantile))))
        .collect();
    values.insert("max".into(), json!(latency.max()));
    values.insert("count".into(), json!(latency.len()));
    Value::Object(values)
}

fn millis(us: u64) -> String {
    format!("{:.2}", exact(us) / 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn exact(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_milliseconds() {
        let mut latency = super::super::book::histogram().expect("a histogram");
        for us in 1..=1000 {
            latency.record(us).expect("in range");
        }
        let text = table(&[Row { name: "decision consumed", latency }], 2.0);
        let row = text.lines().nth(1).expect("a row");
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells, ["decision", "consumed", "1000", "500", "0.50", "0.90", "0.99", "1.00", "1.00"]);
    }
}
