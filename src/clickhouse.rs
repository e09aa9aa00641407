//! `forecourt clickhouse`: the ClickHouse engine (libchdb) behind ClickHouse's HTTP protocol, in a process of its own, so
//! that it can be killed and restarted and cannot take the decisions' memory or threads.
//!
//! In: a data directory, an address, the library's file. Out: an HTTP server that curl, the `clickhouse` crate and
//! Grafana take for ClickHouse. Guarantees: rows that were acknowledged survive a kill; one process per data directory.
//! Does not: survive a power failure with the last rows (the engine does not flush each block to the disk), replicate,
//! keep users or a query log.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by it"))]

mod exception;
mod ffi;
mod frames;
mod http;
mod queries;
mod request;
mod sessions;
mod settings;
mod statement;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::serve::ListenerExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::engines::directory;
use ffi::{Functions, LoadError};
use sessions::Sessions;

/// How long running queries may go on after the signal to stop; then they are cut off.
const STOP_WAIT: Duration = Duration::from_millis(1500);

/// What `forecourt clickhouse` is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Directory that holds the tables
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Address to serve HTTP on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123")]
    pub(crate) listen: SocketAddr,
    /// The engine's library, as `deploy/engines/fetch` leaves it
    #[arg(long, value_name = "FILE")]
    pub(crate) library: PathBuf,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let data = &options.data;
    std::fs::create_dir_all(data).with_context(|| format!("cannot make the data directory {}", data.display()))?;
    let data = data.canonicalize().with_context(|| format!("cannot open the data directory {}", data.display()))?;
    let _lock = directory::lock(&data)?;
    let listener = std::net::TcpListener::bind(options.listen)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .with_context(|| format!("cannot listen on {}, choose another address with --listen", options.listen))?;

    let started = Instant::now();
    let functions = load(options)?;
    let settings_directory = data.join("settings");
    let config = std::fs::create_dir_all(&settings_directory)
        .and_then(|()| settings::write(&settings_directory))
        .with_context(|| format!("cannot write the engine's settings to {}", settings_directory.display()))?;
    let arguments = vec![format!("--path={}", data.display()), format!("--config-file={}", config.display())];
    let Some(sessions) = Sessions::open(functions, arguments) else {
        bail!("the ClickHouse engine did not start on {}; the lines above tell why", data.display());
    };
    let sessions = Arc::new(sessions);
    tracing::info!(
        version = %functions.version(),
        data = %data.display(),
        "ClickHouse engine ready on http://{} after {:.1} s",
        options.listen,
        started.elapsed().as_secs_f64()
    );

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(http::QUERIES_MAX + 2)
        .thread_name("clickhouse-http")
        .enable_all()
        .build()
        .context("cannot start the HTTP threads")?;
    runtime.block_on(serve(listener, &sessions))?;
    runtime.shutdown_timeout(STOP_WAIT);
    match Arc::try_unwrap(sessions) {
        // Closing the last session closes the tables.
        Ok(sessions) => sessions.close(),
        Err(_) => tracing::warn!("a query is still running: ending without it"),
    }
    tracing::info!("ClickHouse engine stopped");
    // What the engine's threads still do is no loss, and waiting for them takes longer than Ctrl-C may.
    ffi::exit_at_once()
}

fn load(options: &Options) -> anyhow::Result<&'static Functions> {
    let library = &options.library;
    if !library.is_file() {
        bail!("the ClickHouse engine's library is not at {}; run deploy/engines/fetch to get it", library.display());
    }
    match Functions::load(library) {
        Ok(functions) => Ok(functions),
        Err(LoadError::Open(error)) => Err(anyhow::Error::new(error)
            .context(format!("{} cannot be loaded; remove it and run deploy/engines/fetch", library.display()))),
        Err(LoadError::Lacks(function)) => bail!(
            "{} is too old: it lacks {function}, which libchdb has since 26.7; run deploy/engines/fetch",
            library.display()
        ),
    }
}

async fn serve(listener: std::net::TcpListener, sessions: &Arc<Sessions>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("cannot listen")?.tap_io(|connection| {
        // Without it an answer waits for the acknowledgement of the piece before.
        let _ = connection.set_nodelay(true);
    });
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let router = http::router(Arc::new(http::Front::new(Arc::clone(sessions))));
    let (stop, stopped) = oneshot::channel::<()>();
    let mut server = tokio::spawn(
        axum::serve(listener, router)
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .into_future(),
    );
    tokio::select! {
        ended = &mut server => ended.context("the HTTP server broke")?.context("the HTTP server failed")?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(stop);
    if tokio::time::timeout(STOP_WAIT, &mut server).await.is_err() {
        server.abort();
        let _ = server.await;
    }
    Ok(())
}
