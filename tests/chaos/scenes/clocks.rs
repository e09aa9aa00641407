//! A Forecourt whose machine has the wrong time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::LeftOut;
use crate::report::Row;
use crate::stage::{Plan, Stage};

/// Right, an hour ahead, an hour behind, right: time jumps forward, back by two hours, and forward again. Ten seconds short of
/// the hour ahead, since a broker may refuse records from beyond it (`message.timestamp.after.max.ms`).
pub(crate) fn clock() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan::new("clock", 70))?;
    let library = wrong_clock(stage.folder.path())?;
    for offset_secs in [3_590, -3_600, 0] {
        stage.watch(Duration::from_secs(3));
        stage.forecourt.kill();
        stage.forecourt.environment = if offset_secs == 0 { Vec::new() } else { environment(&library, offset_secs) };
        stage.forecourt.launch();
        stage.forecourt.wait_ready();
        stage.fault(&format!("started with its clock {offset_secs:+} s off"));
        stage.watch(Duration::from_secs(12));
    }
    Ok(stage.judge())
}

fn environment(library: &Path, offset_secs: i64) -> Vec<(String, String)> {
    [("LD_PRELOAD", library.display().to_string()), ("WRONG_CLOCK_SECS", offset_secs.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
}

/// Made by the C compiler that building needs anyway. (libfaketime also moves the moments until which librdkafka waits, and
/// nothing goes on any more.)
fn wrong_clock(folder: &Path) -> Result<PathBuf, LeftOut> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/wrong_clock.c");
    let library = folder.join("wrong_clock.so");
    let output = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).output();
    match output {
        Ok(output) if output.status.success() => Ok(library),
        Ok(output) => Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("cc cannot be run: {error}")),
    }
}
