//! `forecourt audit`: proves from the ledger that every account adds up.
//!
//! In: `fuel.ledger` from its beginning to its present end. Out: a trial balance, what is open with the bank, and whether the
//! books balance; the first differences with their place where they do not. Guarantees: nothing is written; one partition is
//! in memory at a time. Does not: need a running Forecourt, only its Kafka.

use std::io::Write;

use anyhow::{Context, ensure};
use clap::Args;
use model::{ContractId, LogSettings, PartitionId, Topic};
use pipeline::audit::{Audit, Report, posted_in_words};

use crate::reading::{Kafka, Progress, reachable, read_ledger};

#[derive(Args)]
pub(crate) struct Options {
    /// Only this contract, with each of its postings
    #[arg(long, value_parser = ContractId::new)]
    contract: Option<ContractId>,
    #[command(flatten)]
    kafka: Kafka,
}

/// False when something does not add up.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let config = options.kafka.config()?;
    let key_retention_us = config.ledger.rules().key_retention_us;
    let log = reachable(config.log())?;
    let partitions: Vec<PartitionId> = match &options.contract {
        Some(contract) => vec![log.partition_of(contract.as_str())],
        None => log.all_partitions().collect(),
    };
    let of: Vec<_> = partitions.iter().map(|partition| (Topic::Ledger, *partition)).collect();
    let mut progress = Progress::of(&log, &of)?;
    let mut report = Report::default();
    for partition in partitions {
        let audit = Audit::new(partition, key_retention_us, options.contract.clone());
        report.add_all(audited(&log, partition, audit, &mut progress)?);
    }
    progress.end();
    if let Some(contract) = &options.contract {
        ensure!(report.contracts > 0, "the ledger knows no contract {contract}");
    }
    print!("{}", report.in_words());
    Ok(report.balances())
}

/// Reads one partition; prints postings where they are wanted.
fn audited(
    log: &LogSettings,
    partition: PartitionId,
    mut audit: Audit,
    progress: &mut Progress,
) -> anyhow::Result<Report> {
    let mut out = std::io::stdout().lock();
    read_ledger(log, partition, progress, |offset, record| {
        audit.take(offset, &record);
        for posted in audit.posted() {
            writeln!(out, "{}", posted_in_words(&posted)).context("the postings cannot be printed")?;
        }
        Ok(true)
    })?;
    Ok(audit.finish())
}
