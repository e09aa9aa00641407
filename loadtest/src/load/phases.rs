//! Latencies of one run by what went on meanwhile.
//!
//! In: the samples of a run (`due_us,latency_us` a line) and named stretches of time, perhaps in turns. Out: a line of percentiles
//! for each name, and how its p99 stands to the first one's: the middle of the turns, because a machine has good and bad minutes
//! of its own. Does not: know what went on; whoever made it happen noted the time.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, ensure};

use super::book::histogram;
use super::report::exact;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What `run --samples` wrote
    #[arg(long)]
    samples: PathBuf,
    /// NAME=FROM..TO in milliseconds since 1970, or NAME@TURN=FROM..TO; one name may have several stretches
    #[arg(long = "phase", required = true)]
    phases: Vec<Phase>,
}

#[derive(Clone)]
struct Phase {
    name: String,
    turn: u32,
    from_us: i64,
    to_us: i64,
}

impl FromStr for Phase {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts = text.split_once('=').and_then(|(name, times)| Some((name, times.split_once("..")?)));
        let (name, (from, to)) = parts.with_context(|| format!("{text:?} is not NAME=FROM..TO"))?;
        let (name, turn) = name.split_once('@').unwrap_or((name, "0"));
        let turn = turn.parse().with_context(|| format!("{turn:?} is no turn"))?;
        let us = |ms: &str| ms.parse::<i64>().map(|ms| ms * 1000).with_context(|| format!("{ms:?} is no time"));
        Ok(Self { name: name.to_owned(), turn, from_us: us(from)?, to_us: us(to)? })
    }
}

/// Writes the samples of a run.
pub(crate) fn write(path: &Path, samples: &[(i64, u32)]) -> anyhow::Result<()> {
    let mut text = String::with_capacity(samples.len() * 26);
    for (due_us, latency_us) in samples {
        let _ = writeln!(text, "{due_us},{latency_us}");
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Percentiles by phase, in the order in which names first come.
pub(crate) fn table(options: &Options) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(&options.samples)
        .with_context(|| format!("cannot read {}", options.samples.display()))?;
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let sample = line.split_once(',').and_then(|(due, late)| Some((due.parse().ok()?, late.parse().ok()?)));
        let sample: (i64, u64) =
            sample.with_context(|| format!("{} line {number}: {line:?} is no sample", options.samples.display()))?;
        all.push(sample);
    }
    let mut names: Vec<&str> = Vec::new();
    for phase in &options.phases {
        if !names.contains(&phase.name.as_str()) {
            names.push(&phase.name);
        }
    }
    let mut table = format!(
        "{:<20}{:>10}{:>10}{:>10}{:>10}{:>10}{:>14}\n",
        "decisions while", "count", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "p99 to first"
    );
    let late_in = |name: &str, turn: Option<u32>| {
        let stretches = || options.phases.iter().filter(|phase| phase.name == name);
        let mut latency = histogram()?;
        for (due_us, latency_us) in &all {
            let falls_into = |phase: &Phase| (phase.from_us..phase.to_us).contains(due_us);
            if stretches().any(|phase| turn.is_none_or(|turn| phase.turn == turn) && falls_into(phase)) {
                latency.saturating_record((*latency_us).max(1));
            }
        }
        anyhow::Ok(latency)
    };
    let turns: BTreeSet<u32> = options.phases.iter().map(|phase| phase.turn).collect();
    let first = names.first().copied().unwrap_or_default();
    for name in names {
        let latency = late_in(name, None)?;
        ensure!(!latency.is_empty(), "no decision falls into phase {name}");
        let mut ratios = Vec::new();
        for turn in &turns {
            let (own, of_first) = (late_in(name, Some(*turn))?, late_in(first, Some(*turn))?);
            if !own.is_empty() && !of_first.is_empty() {
                ratios.push(exact(own.value_at_quantile(0.99)) / exact(of_first.value_at_quantile(0.99)));
            }
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let middle = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
        let ms = |quantile: f64| exact(latency.value_at_quantile(quantile)) / 1000.0;
        let _ = write!(
            table,
            "{name:<20}{:>10}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{middle:>14.2}",
            latency.len(),
            ms(0.5),
            ms(0.99),
            ms(0.999),
            exact(latency.max()) / 1000.0,
        );
        let _ = match ratios[..] {
            [] | [_] => writeln!(table),
            [least, .., most] => writeln!(table, "  ({} turns, {least:.2} to {most:.2})", ratios.len()),
        };
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_own_percentiles() {
        let folder = std::env::temp_dir().join(format!("phases-{}", std::process::id()));
        write(&folder, &[(1_000_000, 2_000), (1_500_000, 2_000), (2_000_000, 9_000), (3_000_000, 5_000)]).unwrap();
        let phases = ["quiet=1000..2000", "outage=2000..2001", "quiet=3000..3001"];
        let phases = phases.map(|phase| phase.parse().unwrap()).to_vec();
        let table = table(&Options { samples: folder.clone(), phases }).unwrap();
        std::fs::remove_file(folder).unwrap();
        let lines: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..2], ["quiet", "3"]);
        assert_eq!(lines[1][..2], ["outage", "1"]);
        assert_eq!(lines[1][6], "1.80");
    }

    #[test]
    fn a_bad_minute_falls_on_all_phases_of_its_turn() {
        let folder = std::env::temp_dir().join(format!("phases-in-turns-{}", std::process::id()));
        let samples: Vec<(i64, u32)> = (1..=3).flat_map(|turn| [(turn * 10, 100), (turn * 10 + 1, 110)]).collect();
        let slow = samples.iter().map(|(at, late)| (at * 1_000, if *at >= 30 { late * 50 } else { *late }));
        write(&folder, &slow.collect::<Vec<_>>()).unwrap();
        let phase = |name: &str, turn: i64, from: i64| format!("{name}@{turn}={from}..{}", from + 1).parse().unwrap();
        let phases = (1..=3).flat_map(|turn| [phase("quiet", turn, turn * 10), phase("busy", turn, turn * 10 + 1)]);
        let table = table(&Options { samples: folder.clone(), phases: phases.collect() }).unwrap();
        std::fs::remove_file(folder).unwrap();
        let busy = table.lines().last().unwrap();
        assert!(busy.contains("1.10  (3 turns, 1.10 to 1.10)"), "{busy}");
    }
}
