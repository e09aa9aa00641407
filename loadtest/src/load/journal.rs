//! The journal of a run: everything that was sent, in JSON lines, for `verify`.
//!
//! A line is written before its message goes out and reaches the file whenever the sender waits. The load client itself must
//! end in order for its journal to be complete; the system under load may die as often as it likes.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use model::{CommandMessage, ContractId, Topic, Transaction};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "nearly all lines are transactions")]
pub(crate) enum Line {
    Run { run: String, topic_prefix: String, partitions: i32 },
    Transaction { contract: ContractId, message: Transaction },
    Order { message: CommandMessage },
}

pub(crate) struct Journal(Option<BufWriter<File>>);

impl Journal {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn create(path: &Path, head: &Line) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write the journal {}", path.display()))?;
        let mut journal = Self(Some(BufWriter::with_capacity(1 << 20, file)));
        journal.line(&serde_json::to_string(head)?)?;
        Ok(journal)
    }

    /// `payload` is the message's JSON as it is sent.
    pub(crate) fn sent(&mut self, topic: Topic, contract: &ContractId, payload: &str) -> anyhow::Result<()> {
        if self.0.is_none() {
            return Ok(());
        }
        match topic {
            Topic::Commands => self.line(&format!(r#"{{"order":{{"message":{payload}}}}}"#)),
            _ => self.line(&format!(r#"{{"transaction":{{"contract":"{contract}","message":{payload}}}}}"#)),
        }
    }

    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        writeln!(file, "{line}").context("cannot write the journal")
    }

    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush).context("cannot write the journal")
    }
}

/// Reads a journal. A last line that was cut off by the death of its writer was not sent, and is left out.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let file = File::open(path).with_context(|| format!("cannot read the journal {}", path.display()))?;
    let mut lines = Vec::new();
    let mut input = BufReader::new(file).lines().enumerate().peekable();
    while let Some((number, line)) = input.next() {
        let line = line.with_context(|| format!("cannot read the journal {}", path.display()))?;
        match serde_json::from_str(&line) {
            Ok(line) => lines.push(line),
            Err(_) if input.peek().is_none() => break,
            Err(error) => {
                return Err(error).with_context(|| format!("{} line {} is damaged", path.display(), number + 1));
            }
        }
    }
    Ok(lines)
}
