//! `forecourt import FILE --mapping FILE`: tank readings from a CSV file that a device or a program exported.
//!
//! Guarantees: the whole file is checked before anything is sent; memory does not grow with the file; each reading says
//! which row of which file it is, so that what is imported again is known, however long ago it was. Does not: undo. What was sent stays sent
//! when Kafka fails in the middle; running it again completes it.

use std::fs::File;
use std::hash::Hasher;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use clap::Args;
use ingest::import::mapping::Mapping;
use ingest::import::{ImportError, Problems, Summary};
use model::{DeviceMessage, FORMAT_VERSION, ImportedRow, LogSettings, Reading, ReadingRecord, Topic};
use sinks::Recorder;
use twox_hash::XxHash64;

use crate::owner::now;
use crate::reading::{Kafka, reachable};

/// Problems that are told one by one; all are counted.
const TOLD_MAX: usize = 20;
const FLUSH_MAX: Duration = Duration::from_secs(300);
const SHOWN_EVERY: Duration = Duration::from_millis(250);
const BAR_WIDTH: usize = 30;

#[derive(Args)]
pub(crate) struct Options {
    /// The CSV file
    file: PathBuf,
    /// A TOML file that says what its columns are (deploy/import.toml shows every key)
    #[arg(long, value_name = "FILE")]
    mapping: PathBuf,
    /// Only check the file
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    kafka: Kafka,
}

/// False when something was wrong with the file.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let name = options.file.display();
    let (mapping, identity) = read_mapping(&options.mapping)?;
    let found = Found::at(&options.file)?;
    let mut bar = Bar::new("checking", found.bytes);
    let begun = Instant::now();
    let mut content = Hashed { file: found.open(&options.file)?, identity };
    let checked = ingest::import::check(&mut content, &mapping, |bytes| bar.show(bytes));
    bar.end();
    let summary = match checked {
        Ok(summary) => summary,
        Err(problems) => {
            tell(&problems);
            eprintln!("{name}: nothing was sent, {} to mend", counted(problems.count, "problem", "problems"));
            return Ok(false);
        }
    };
    if options.dry_run {
        println!("{name}: {} can be imported{}", in_words(&summary), rate(&summary, begun));
        return Ok(true);
    }
    let log = reachable(options.kafka.config()?.log())?;
    let recorder = Recorder::open(&log)?;
    let begun = Instant::now();
    let mut bar = Bar::new("sending", found.bytes);
    let mut import = ImportedRow { file: content.identity.finish(), row: 0 };
    let sent = ingest::import::readings(found.open(&options.file)?, &mapping, |reading, bytes| {
        bar.show(bytes);
        let row = import;
        import.row += 1;
        send(&log, &recorder, row, reading)
    });
    bar.end();
    recorder.flush(FLUSH_MAX)?;
    match sent {
        Ok(sent) if sent.rows == summary.rows => {
            println!("{name}: {} imported{}", in_words(&summary), rate(&sent, begun));
            Ok(true)
        }
        Ok(_) => bail!("{name} has changed since it was checked: what it held is sent, import it again"),
        Err(ImportError::Changed(problem)) => {
            bail!("{name} has changed since it was checked ({problem}): what came before is sent, import it again")
        }
        Err(ImportError::Taken(error)) => {
            Err(error.context("a part of the file is sent: import it again, the repeats change nothing"))
        }
    }
}

/// The mapping, and where the identity of what is imported begins: other columns make other rows.
fn read_mapping(file: &Path) -> anyhow::Result<(Mapping, XxHash64)> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut identity = XxHash64::with_seed(0);
    identity.write(text.as_bytes());
    Ok((toml::from_str(&text).with_context(|| format!("in the mapping {}", file.display()))?, identity))
}

/// A file that is known by its bytes when it was read to its end.
struct Hashed {
    file: File,
    identity: XxHash64,
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.file.read(into)?;
        self.identity.write(&into[..bytes]);
        Ok(bytes)
    }
}

fn send(log: &LogSettings, recorder: &Recorder, import: ImportedRow, reading: Reading) -> anyhow::Result<()> {
    let (site, partition) = (reading.site.clone(), log.partition_of(reading.site.as_str()));
    let message = DeviceMessage::Reading(reading);
    let record = ReadingRecord { v: FORMAT_VERSION, received_at_us: now(), import: Some(import), message };
    Ok(recorder.append(Topic::Readings, partition, site.as_str(), &record)?)
}

/// A file as it was found: what is sent must be what was checked.
struct Found {
    bytes: u64,
    changed_at: Option<SystemTime>,
}

impl Found {
    fn at(file: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("{} cannot be read", file.display());
        let metadata = std::fs::metadata(file).with_context(cannot)?;
        ensure!(metadata.is_file(), "{} is no file: it is read twice", file.display());
        Ok(Self { bytes: metadata.len(), changed_at: metadata.modified().ok() })
    }

    fn open(&self, file: &Path) -> anyhow::Result<File> {
        let now = Self::at(file)?;
        let same = now.bytes == self.bytes && now.changed_at == self.changed_at;
        ensure!(same, "{} has changed since it was checked: nothing was sent", file.display());
        File::open(file).with_context(|| format!("{} cannot be read", file.display()))
    }
}

fn tell(problems: &Problems) {
    for problem in problems.first.iter().take(TOLD_MAX) {
        eprintln!("{problem}");
    }
    let more = problems.count.saturating_sub(TOLD_MAX as u64);
    if more > 0 {
        eprintln!("and {more} more");
    }
}

fn in_words(summary: &Summary) -> String {
    let Summary { rows, tanks, left_out } = summary;
    let left_out = match left_out {
        0 => String::new(),
        count => format!(", {} left out that no tank can have,", counted(*count, "figure", "figures")),
    };
    let tanks = counted(*tanks as u64, "tank", "tanks");
    format!("{} of {tanks}{left_out}", counted(*rows, "reading", "readings"))
}

fn rate(summary: &Summary, begun: Instant) -> String {
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    format!(" ({} a second)", summary.rows.saturating_mul(1000) / millis)
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How far a file is read, where somebody looks.
struct Bar {
    doing: &'static str,
    of: u64,
    shown_at: Option<Instant>,
    asked_at: Instant,
}

impl Bar {
    fn new(doing: &'static str, of: u64) -> Self {
        Self { doing, of, shown_at: None, asked_at: Instant::now() }
    }

    fn show(&mut self, bytes: u64) {
        let since = self.shown_at.unwrap_or(self.asked_at).elapsed();
        if since < SHOWN_EVERY || !std::io::stderr().is_terminal() {
            return;
        }
        self.shown_at = Some(Instant::now());
        let part = bytes.min(self.of);
        let full = usize::try_from(part * BAR_WIDTH as u64 / self.of.max(1)).unwrap_or(BAR_WIDTH);
        let percent = part * 100 / self.of.max(1);
        eprint!("\r{} [{}{:rest$}] {percent} %", self.doing, "#".repeat(full), "", rest = BAR_WIDTH - full);
        let _ = std::io::stderr().flush();
    }

    fn end(&self) {
        if self.shown_at.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_mapping_is_a_mapping() {
        let sample = include_str!("../deploy/import.toml");
        let mapping: Mapping = toml::from_str(sample).expect("the sample is valid");
        assert_eq!(mapping.separator, ';');
        let file = "АЗС;Резервуар;Топливо;Дата;Время;Уровень, мм;Объём, л;Вода, мм;Температура\n\
                    S-1;1;DIESEL;14.01.2026;22:31:07;1234,5;20 000;3;-4,5\n";
        let summary = ingest::import::check(file.as_bytes(), &mapping, |_| {}).expect("a file of the sample's kind");
        assert_eq!((summary.rows, summary.tanks), (1, 1));
    }

    #[test]
    fn a_mistake_in_a_mapping_is_named_with_its_line() {
        let error = toml::from_str::<Mapping>("site = \"S-1\"\ntonk = \"1\"\n").expect_err("a mistake").to_string();
        assert!(error.contains("line 2") && error.contains("tonk"), "{error}");
    }
}
