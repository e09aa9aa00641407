//! Facts shown: the current state over REST and WebSocket, simple history, and the page itself.
//!
//! In: recorded facts ([`Feed`]) in the order of their partitions, and ClickHouse for what is older.
//! Out: HTTP on one address: `/livez`, `/readyz`, `/metrics`, `/api/v1/…`, `/api/v1/live` (WebSocket), the page.
//! Guarantees: what is shown is a fold of true facts (fenced by epoch, repeats dropped); a browser gets a snapshot, then
//! every change, conflated to the latest value when it is slow; memory per browser is bounded; nobody can hold up the feed.
//! Does not: decide, write, or know who is looking (rights of viewers come later; until then it listens on loopback).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access;
mod forecast;
mod health;
mod history;
mod hub;
mod live;
mod page;
mod projection;
mod rest;
#[cfg(test)]
mod samples;
mod screens;
mod server;
mod view;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use model::{LedgerRecord, PartitionId, StationRecord, TimestampUs};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub use health::{Health, Part};
pub use projection::{Saved, Unpacked, Unusable};
pub use screens::{Screens, Watcher};

/// What the dashboards need to know.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen. Loopback unless told otherwise: there are no viewers' rights yet.
    pub listen: SocketAddr,
    /// ClickHouse's HTTP address, for example `http://127.0.0.1:8123`.
    pub clickhouse_url: String,
    pub clickhouse_database: String,
    pub clickhouse_user: Option<String>,
    pub clickhouse_password: Option<String>,
    /// The least silence after which a tank may be called stale, in event time or arrival time.
    pub stale_after_us: i64,
    /// Further origins whose pages may connect, for example `https://fuel.example.com`; also allows that host name.
    pub allowed_origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            clickhouse_url: "http://127.0.0.1:8123".to_owned(),
            clickhouse_database: "forecourt".to_owned(),
            clickhouse_user: None,
            clickhouse_password: None,
            stale_after_us: 30 * model::MICROS_PER_SECOND,
            allowed_origins: Vec::new(),
        }
    }
}

/// What the dashboards are told. Per partition in the order of offsets; partitions interleave freely.
#[derive(Clone, Debug, PartialEq)]
pub enum Feed {
    /// A record of `fuel.ledger`, read at `seen_at_us` by this process's clock.
    Ledger { partition: PartitionId, offset: i64, record: LedgerRecord, seen_at_us: TimestampUs },
    /// A record of `fuel.station-events`.
    Station { partition: PartitionId, offset: i64, record: StationRecord, seen_at_us: TimestampUs },
    /// So many more inputs were put aside in `fuel.rejected`.
    Rejected { count: u64 },
    /// What follows is live: every partition has been read to the end that it had when reading began.
    CaughtUp,
}

/// Why the dashboards could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address} for the page: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("serving the page failed: {0}")]
    Serve(std::io::Error),
}

/// Listens on `config.listen` and serves until `stop` completes; ends within a second after it.
pub async fn serve(
    config: Config,
    feed: mpsc::Receiver<Vec<Feed>>,
    health: Health,
    render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    stop: impl Future + Send + 'static,
) -> Result<(), Error> {
    let address = config.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    let screens = Screens::of_this_process(config.stale_after_us);
    serve_on(listener, screens, config, feed, health, render_metrics, stop).await
}

/// Like [`serve`], on a socket that is already bound, and with screens that the caller saves and restores.
pub async fn serve_on(
    listener: TcpListener,
    screens: Screens,
    config: Config,
    feed: mpsc::Receiver<Vec<Feed>>,
    health: Health,
    render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    stop: impl Future + Send + 'static,
) -> Result<(), Error> {
    server::run(listener, screens, config, feed, health, render_metrics, stop).await
}
