//! When decisions become rows: ClickHouse is asked for the highest ledger offset of each partition, again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::book::{Shared, histogram, record};
use super::schedule::Schedule;

const POLL_EVERY: Duration = Duration::from_millis(50);

#[derive(Row, Deserialize)]
struct Top {
    partition: i32,
    top: i64,
}

pub(crate) struct Seen {
    pub(crate) latency: Histogram<u64>,
    /// Decisions whose rows were seen, warm-up included.
    pub(crate) rows: u64,
    pub(crate) problem: Option<String>,
}

/// Rows are inserted in ledger order, so all positions up to the highest one are there.
pub(crate) async fn watch(
    client: Client,
    schedule: &Schedule,
    book: &Shared,
    stop: &AtomicBool,
) -> anyhow::Result<Seen> {
    let mut seen = Seen { latency: histogram()?, rows: 0, problem: None };
    let partitions = book.lock().positions.len();
    let (mut cursors, mut tops) = (vec![0_usize; partitions], vec![-1_i64; partitions]);
    loop {
        // The last look comes after the order to stop.
        let last = stop.load(Ordering::Relaxed);
        match client.query(&question(&tops)).fetch_all::<Top>().await {
            Ok(answers) => {
                let at = Instant::now();
                seen.problem = None;
                for Top { partition, top } in answers {
                    if let Some(known) = usize::try_from(partition).ok().and_then(|index| tops.get_mut(index)) {
                        *known = top.max(*known);
                    }
                }
                let book = book.lock();
                for ((positions, cursor), top) in book.positions.iter().zip(&mut cursors).zip(&tops) {
                    while let Some((_, n)) = positions.get(*cursor).filter(|(offset, _)| offset <= top) {
                        *cursor += 1;
                        seen.rows += 1;
                        if schedule.measured(*n) {
                            record(&mut seen.latency, schedule.since_due(*n, at));
                        }
                    }
                }
            }
            Err(error) => seen.problem = Some(error.to_string()),
        }
        if last {
            return Ok(seen);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Bounded by what is known, so that the table's order finds the answer without reading it all.
fn question(tops: &[i64]) -> String {
    let bounds: Vec<String> = tops
        .iter()
        .enumerate()
        .map(|(partition, top)| format!("(partition = {partition} AND offset > {top})"))
        .collect();
    format!("SELECT partition, max(offset) AS top FROM ledger_facts WHERE {} GROUP BY partition", bounds.join(" OR "))
}
