//! The ClickHouse engine as a managed child: this program again, as `forecourt clickhouse`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::Error;
use super::child::Plan;
use super::process;

/// As in `deploy/engines/package.json`.
pub(super) const VERSION: &str = "26.7.3-stable.1";
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_millis(2500);

/// The library as `deploy/engines/fetch` leaves it.
pub(super) fn library(engines: &std::path::Path) -> PathBuf {
    engines.join(format!("clickhouse-{VERSION}")).join("libchdb.so")
}

pub(super) fn plan(engines: &std::path::Path, data: PathBuf, log: PathBuf, address: SocketAddr) -> Result<Plan, Error> {
    let library = library(engines);
    if !library.is_file() {
        return Err(Error::NotFetched { engine: "ClickHouse", path: library });
    }
    let program = std::env::current_exe()
        .map_err(|source| Error::Io { what: "find this program's own file".to_owned(), source })?;
    Ok(Plan {
        name: "ClickHouse",
        log,
        command: Box::new(move || {
            let mut command = Command::new(&program);
            command.arg("clickhouse");
            command.arg("--data").arg(&data).arg("--library").arg(&library).arg("--listen").arg(address.to_string());
            // Decisions must not wait for history.
            process::come_last(&mut command);
            Ok(command)
        }),
        ready: Box::new(move || answers(address).unwrap_or(false)),
        ready_within: READY_WITHIN,
        stop_within: STOP_WITHIN,
    })
}

fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    connection.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.take(4096).read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"Ok.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_fetched() {
        let package = include_str!("../../deploy/engines/package.json");
        assert!(package.contains(&format!("\"@chdb/lib-linux-x64-gnu\": \"{VERSION}\"")));
    }
}
