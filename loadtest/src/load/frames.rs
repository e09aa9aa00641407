//! When decisions reach a live page: a WebSocket client that notes when each decision line arrives.
//!
//! Lines carry the ledger position as `partition-offset`; positions are matched with messages when the run is over. At high
//! rates the page's ring holds only the newest decisions, so this is a sample.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::StreamExt;
use hdrhistogram::Histogram;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message;

use super::book::{Book, histogram, record};
use super::schedule::Schedule;

/// Lines that are remembered.
const LINES_MAX: usize = 4_000_000;

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    changes: Option<Changes>,
}

#[derive(Deserialize)]
struct Changes {
    #[serde(default)]
    decisions: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    id: String,
}

#[derive(Default)]
pub(crate) struct Lines {
    pub(crate) frames: u64,
    arrived: Vec<(i32, i64, Instant)>,
    pub(crate) problem: Option<String>,
}

/// Listens until `stop`; connects again when the server goes away.
pub(crate) async fn listen(url: &str, stop: &AtomicBool) -> Lines {
    let mut lines = Lines::default();
    let address = format!("{}/api/v1/live", url.trim_end_matches('/').replacen("http", "ws", 1));
    while !stop.load(Ordering::Relaxed) {
        match listen_once(&address, stop, &mut lines).await {
            Ok(()) => lines.problem = None,
            Err(error) => {
                lines.problem = Some(format!("{error:#}"));
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
    lines
}

async fn listen_once(address: &str, stop: &AtomicBool, lines: &mut Lines) -> anyhow::Result<()> {
    let (mut socket, _) =
        tokio_tungstenite::connect_async(address).await.with_context(|| format!("cannot connect to {address}"))?;
    while !stop.load(Ordering::Relaxed) {
        let message = match tokio::time::timeout(Duration::from_millis(200), socket.next()).await {
            Err(_) => continue,
            Ok(None) => anyhow::bail!("the server closed the live connection"),
            Ok(Some(message)) => message.context("the live connection broke")?,
        };
        let at = Instant::now();
        let Message::Text(text) = message else { continue };
        let frame: Frame = serde_json::from_str(&text).context("a frame cannot be read")?;
        if frame.kind != "delta" {
            continue;
        }
        lines.frames += 1;
        for line in frame.changes.into_iter().flat_map(|changes| changes.decisions) {
            if let Some((partition, offset)) = position(&line.id)
                && lines.arrived.len() < LINES_MAX
            {
                lines.arrived.push((partition, offset, at));
            }
        }
    }
    Ok(())
}

fn position(id: &str) -> Option<(i32, i64)> {
    let (partition, offset) = id.split_once('-')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

impl Lines {
    /// Latencies of the lines that show this step's decisions.
    pub(crate) fn latency(&self, schedule: &Schedule, book: &Book) -> anyhow::Result<Histogram<u64>> {
        let mut latency = histogram()?;
        // After a reconnect the server shows lines again; the first time counts.
        let mut shown = HashSet::new();
        for (partition, offset, at) in &self.arrived {
            let Some(positions) = usize::try_from(*partition).ok().and_then(|index| book.positions.get(index)) else {
                continue;
            };
            if let Ok(place) = positions.binary_search_by_key(offset, |(offset, _)| *offset) {
                let n = positions[place].1;
                if schedule.measured(n) && shown.insert(n) {
                    record(&mut latency, schedule.since_due(n, *at));
                }
            }
        }
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_its_place_in_the_ledger() {
        assert_eq!(position("3-1204"), Some((3, 1204)));
        assert_eq!(position("3"), None);
        assert_eq!(position("x-1"), None);
    }
}
