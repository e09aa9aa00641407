//! The ClickHouse engine (libchdb) behind ClickHouse's HTTP protocol, in a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What `forecourt clickhouse` is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Directory that holds the tables
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address to serve HTTP on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
    /// The engine's library, as `deploy/engines/fetch` leaves it
    #[arg(long, value_name = "FILE")]
    library: PathBuf,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::bail!("cannot serve {} from {} with {} yet", options.listen, options.data.display(), options.library.display())
}
