//! Records the logs as rows of ClickHouse.
//!
//! In: `fuel.ledger`, `fuel.readings`, `fuel.station-events`. Out: rows of `ledger_facts`, `readings`, `station_events`,
//! `consumption_minute`, `tank_levels`, `tank_events` and `tank_days`, whose definitions stand beside their row types and are
//! applied at start.
//! Guarantees: every true record's rows are there exactly once (see `plan`), whatever dies and comes back; each topic is
//! read on a thread of its own with bounded memory, so that nothing waits for ClickHouse; one process at a time records a
//! topic, and others stand by. Does not: make rows visible at a named moment: they are late by `batch_wait` and the insert.

mod columns;
mod consumption;
mod insert;
mod ledger_facts;
mod member;
mod pace;
pub mod plan;
mod readings;
pub mod rows;
mod session;
mod station_events;
mod status;
mod tables;
mod tank_events;
mod tank_levels;

use std::thread;
use std::time::Duration;

use model::LogSettings;
use tokio::sync::{oneshot, watch};

use crate::{Error, kafka};
use insert::Pause;
use rows::Source;

pub use status::{Phase, Progress, Status, TopicStatus};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// ClickHouse's HTTP address, `http://127.0.0.1:8123`.
    pub url: String,
    pub database: String,
    pub user: String,
    /// May be empty.
    pub password: String,
    /// Names this process, stable over restarts: it takes the place of a predecessor at once, and stands by for others.
    pub instance: String,
    /// Begins the names of the consumer groups that remember the positions, one for each topic.
    pub group: String,
    /// Rows of one insert, at least 1; a record with several rows may go over it.
    pub batch_rows_max: usize,
    /// Shortest time between two inserts of the same topic.
    pub batch_wait: Duration,
    pub log: LogSettings,
}

/// Records until `stop` turns true. ClickHouse or Kafka being away is waited for and shows in `status`. An error that
/// waiting cannot cure ends the recording of its topic, shows in `status`, and is returned when all topics have ended.
pub async fn run(config: Config, status: Status, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
    for source in Source::ALL {
        status.change(source.topic(), |topic| topic.phase = Phase::Starting);
    }
    if !prepare(&config, &status, &mut stop).await? {
        return Ok(());
    }
    let mut running = Vec::new();
    for source in Source::ALL {
        let (done, ended) = oneshot::channel();
        let name = format!("clickhouse-{}", kafka::label(source.topic()));
        let (config, status, stop) = (config.clone(), status.clone(), stop.clone());
        let runtime = tokio::runtime::Handle::current();
        thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let _ = done.send(session::record(source, &config, &status, &stop, &runtime));
            })
            .map_err(|source| Error::Thread { name: name.clone(), source })?;
        running.push((name, ended));
    }
    let mut result = Ok(());
    for (name, ended) in running {
        let ended = ended.await.unwrap_or(Err(Error::ThreadEnded { name }));
        result = result.and(ended);
    }
    result
}

/// Applies the tables, waiting for ClickHouse as long as it takes. False when stopped before.
async fn prepare(config: &Config, status: &Status, stop: &mut watch::Receiver<bool>) -> Result<bool, Error> {
    let server = server(config);
    let client = server.clone().with_database(&config.database);
    let mut pause = Pause::default();
    loop {
        let applied = tokio::select! {
            applied = tables::apply(&server, &client, &config.database) => applied,
            _ = stop.wait_for(|stop| *stop) => return Ok(false),
        };
        match applied {
            Ok(()) => return Ok(true),
            Err(error) if error.passes() => {
                if pause.is_first() {
                    tracing::warn!(%error, url = config.url, "waiting for ClickHouse");
                }
                for source in Source::ALL {
                    status.change(source.topic(), |topic| topic.phase = Phase::Waiting(error.to_string()));
                }
            }
            Err(error) => {
                for source in Source::ALL {
                    status.change(source.topic(), |topic| topic.phase = Phase::Failed(error.to_string()));
                }
                return Err(error);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause.next()) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(false),
        }
    }
}

/// The server without a database.
fn server(config: &Config) -> ::clickhouse::Client {
    let client = ::clickhouse::Client::default().with_url(&config.url).with_user(&config.user);
    if config.password.is_empty() { client } else { client.with_password(&config.password) }
}
