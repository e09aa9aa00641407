//! The engine's sessions: one connection per request, kept for the next request with the same database and settings.
//!
//! Blocking: to be called on a thread that may wait. Guarantees: a connection that saw an error, or whose session may
//! have changed, is not used again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::exception::Exception;
use super::ffi::{Connection, Functions, Statistics};
use super::request::Call;
use super::statement;

/// Connections kept between requests. Opening one costs a quarter of a millisecond.
const IDLE_MAX: usize = 32;
/// Settings that differ from request to request: not worth keeping a connection for.
const ONCE_SETTINGS: &[&str] = &["insert_deduplication_token", "log_comment"];

pub(super) struct Sessions {
    functions: &'static Functions,
    arguments: Vec<String>,
    idle: Mutex<HashMap<Key, Vec<Connection>>>,
    /// The engine lives as long as one connection is open.
    _keeper: Mutex<Connection>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    database: String,
    settings: Vec<(String, String)>,
}

/// A connection on loan.
pub(super) struct Session<'sessions> {
    sessions: &'sessions Sessions,
    key: Key,
    pub(super) connection: Connection,
}

impl Sessions {
    /// Starts the engine. `None` when it refused; it gives the reason on stderr only.
    pub(super) fn open(functions: &'static Functions, arguments: Vec<String>) -> Option<Self> {
        let keeper = Connection::open(functions, &arguments)?;
        Some(Self { functions, arguments, idle: Mutex::default(), _keeper: Mutex::new(keeper) })
    }

    /// A session in the call's database with its settings.
    pub(super) fn take(&self, call: &Call) -> Result<Session<'_>, Exception> {
        let mut settings = call.settings.clone();
        settings.sort();
        let key = Key { database: call.database.clone(), settings };
        if let Some(connection) = self.idle().get_mut(&key).and_then(Vec::pop) {
            return Ok(Session { sessions: self, key, connection });
        }
        let mut connection = Connection::open(self.functions, &self.arguments)
            .ok_or_else(|| Exception::engine("the engine opened no connection"))?;
        if !call.database.is_empty() {
            connection.query(&format!("USE {}", statement::identifier(&call.database)), "Null", &[])?;
        }
        if !call.settings.is_empty() {
            let settings: Vec<String> = call
                .settings
                .iter()
                .map(|(name, value)| format!("{} = {}", statement::identifier(name), statement::literal(value)))
                .collect();
            connection.query(&format!("SET {}", settings.join(", ")), "Null", &[])?;
        }
        Ok(Session { sessions: self, key, connection })
    }

    /// Closes what is idle, so that the engine can end.
    pub(super) fn close(self) {
        drop(self);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    /// Gives the connection back after a statement that ended well and left the session as it was.
    pub(super) fn give_back(self) {
        if self.key.settings.iter().any(|(name, _)| ONCE_SETTINGS.contains(&name.as_str())) {
            return;
        }
        let mut idle = self.sessions.idle();
        if idle.values().map(Vec::len).sum::<usize>() >= IDLE_MAX {
            // Simplest fair choice: those in use come back anyway.
            idle.clear();
        }
        idle.entry(self.key).or_default().push(self.connection);
    }
}

/// The header that tells what a query has read and written, numbers as strings.
pub(super) fn summary(statistics: &Statistics) -> String {
    let elapsed_ns = std::time::Duration::try_from_secs_f64(statistics.elapsed_secs).unwrap_or_default().as_nanos();
    format!(
        concat!(
            "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\"written_bytes\":\"{}\",",
            "\"total_rows_to_read\":\"0\",\"result_rows\":\"{}\",\"result_bytes\":\"0\",\"elapsed_ns\":\"{}\"}}"
        ),
        statistics.read_rows,
        statistics.read_bytes,
        statistics.written_rows,
        statistics.written_bytes,
        statistics.result_rows,
        elapsed_ns
    )
}
