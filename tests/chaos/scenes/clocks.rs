//! A Forecourt whose machine has the wrong time.

use std::path::PathBuf;
use std::time::Duration;

use crate::LeftOut;
use crate::report::Row;
use crate::stage::{Plan, Stage};

/// Right, an hour ahead, an hour behind, right: time jumps forward, back by two hours, and forward again.
pub(crate) fn clock() -> Result<Row, LeftOut> {
    let library = faketime()?;
    let mut stage = Stage::raise(&Plan::new("clock", 70))?;
    for offset in [Some("+1h"), Some("-1h"), None] {
        stage.watch(Duration::from_secs(3));
        stage.forecourt.kill();
        stage.forecourt.environment = offset.map(|offset| environment(&library, offset)).unwrap_or_default();
        stage.forecourt.launch();
        stage.forecourt.wait_ready();
        match offset {
            Some(offset) => stage.fault(&format!("started with its clock at {offset}")),
            None => stage.fault("started with the right clock again"),
        }
        stage.watch(Duration::from_secs(12));
    }
    Ok(stage.judge())
}

fn environment(library: &std::path::Path, offset: &str) -> Vec<(String, String)> {
    // Waits are measured by the monotonic clock, which no operator sets.
    [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", offset.into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn faketime() -> Result<PathBuf, LeftOut> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .ok_or_else(|| "libfaketime is not there (apt install faketime)".to_owned())
}
