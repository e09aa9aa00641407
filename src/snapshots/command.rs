//! `forecourt snapshot list|verify|rebuild`: what snapshots there are, whether they can be used, and new ones from the ledger.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use model::{LedgerBody, LogSettings, PartitionId, Topic};
use object_store::ObjectMeta;
use pipeline::ledger;
use pipeline::ledger::shard::Shard;
use pipeline::ledger::snapshot::choice::{self, Name};
use pipeline::ledger::snapshot::{self, Header};

use super::screens::SavedScreens;
use super::{Store, cards};
use crate::config::Config;
use crate::reading::{Kafka, Progress, reachable, read_ledger, read_ledger_from};

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
    /// A directory with snapshots, or s3://bucket/path; without it that of the configuration, or of an embedded Forecourt
    #[arg(long, value_name = "PLACE", global = true)]
    store: Option<String>,
    /// Only this partition
    #[arg(long, value_name = "NUMBER", global = true)]
    partition: Option<i32>,
    #[command(flatten)]
    kafka: Kafka,
}

#[derive(Subcommand)]
enum Command {
    /// Show all snapshots, card tables and saved screens: of which partition, how far into its log, how large, from when
    List,
    /// Read each of them to its end and say whether it can be used
    Verify,
    /// Read the whole ledger, compare it with what a start would begin with, and store new snapshots
    Rebuild,
}

/// False when a snapshot cannot be used, or is not what the ledger says.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let config = options.kafka.config()?;
    let place = match (&options.store, &config.snapshots.store) {
        (Some(place), _) => place.clone(),
        (None, place) if !place.is_empty() => place.clone(),
        (None, _) => {
            let embedded = PathBuf::from("forecourt-data").join("snapshots");
            if !embedded.is_dir() {
                bail!("no place of snapshots is known: name it with --store, or a configuration with --config");
            }
            embedded.display().to_string()
        }
    };
    let store = Store::open(&place, &config.log(), Topic::Ledger)?;
    // Card tables are of all partitions.
    let card_store =
        options.partition.is_none().then(|| Store::open(&place, &config.log(), Topic::Cards)).transpose()?;
    let wanted = |name: &Name| options.partition.is_none_or(|partition| name.partition.0 == partition);
    let mut names = store.list()?;
    names.retain(|name, _| wanted(name));
    let screens = SavedScreens::open(&place, &config.log())?;
    let screen_names = || -> anyhow::Result<Vec<_>> {
        Ok(screens.listed()?.into_iter().filter(|(_, name, _)| wanted(name)).collect())
    };
    match options.command {
        Command::List => {
            list(&place, &names);
            card_store.as_ref().map_or(Ok(()), list_cards)?;
            list_screens(&config.log(), &screen_names()?);
            Ok(true)
        }
        Command::Verify => {
            let snapshots = verify(&store, &place, &names);
            let cards = card_store.as_ref().map_or(Ok(true), verify_cards)?;
            Ok(verify_screens(&config.log(), &screens, &screen_names()?) && cards && snapshots)
        }
        Command::Rebuild => rebuild(&config, &store, options.partition.map(PartitionId)),
    }
}

fn list(place: &str, names: &BTreeMap<Name, ObjectMeta>) {
    if names.is_empty() {
        println!("no snapshots in {place}");
        return;
    }
    println!("{:>9}  {:>14}  {:>12}  stored", "partition", "ledger offset", "bytes");
    for (name, meta) in names {
        let stored = meta.last_modified.format("%Y-%m-%d %H:%M:%S UTC");
        println!("{:>9}  {:>14}  {:>12}  {stored}", name.partition.0, name.offset, meta.size);
    }
}

fn list_cards(store: &Store) -> anyhow::Result<()> {
    let names = cards::listed(store)?;
    if !names.is_empty() {
        println!("{:>9}  {:>14}  {:>12}  stored", "", "card records", "bytes");
    }
    for (name, meta) in names {
        let stored = meta.last_modified.format("%Y-%m-%d %H:%M:%S UTC");
        println!("{:>9}  {:>14}  {:>12}  {stored}", "cards", name.read_to, meta.size);
    }
    Ok(())
}

fn list_screens(log: &LogSettings, names: &[(Topic, Name, ObjectMeta)]) {
    if !names.is_empty() {
        println!("{:>9}  {:>14}  {:>12}  stored, for the page, of", "partition", "offset", "bytes");
    }
    for (topic, name, meta) in names {
        let stored = meta.last_modified.format("%Y-%m-%d %H:%M:%S UTC");
        let of = log.topic_name(*topic);
        println!("{:>9}  {:>14}  {:>12}  {stored}, {of}", name.partition.0, name.offset, meta.size);
    }
}

fn verify(store: &Store, place: &str, names: &BTreeMap<Name, ObjectMeta>) -> bool {
    if names.is_empty() {
        println!("no snapshots in {place}");
    }
    let mut all_usable = true;
    for name in names.keys() {
        let verified = store.get(name).and_then(|bytes| Ok(snapshot::verify(&bytes)?));
        match verified {
            Ok(Header { format, last_request, .. }) => {
                let requests = last_request.map_or(0, |last| last + 1);
                println!("{name}  usable, format {format}, all up to request {requests} decided");
            }
            Err(error) => {
                all_usable = false;
                println!("{name}  OF NO USE: {error:#}");
            }
        }
    }
    all_usable
}

fn verify_cards(store: &Store) -> anyhow::Result<bool> {
    let mut all_usable = true;
    for name in cards::listed(store)?.into_keys() {
        match cards::load(store, name) {
            Ok(cards) => println!("{name}  usable, {} cards", cards.known()),
            Err(error) => {
                all_usable = false;
                println!("{name}  OF NO USE: {error:#}");
            }
        }
    }
    Ok(all_usable)
}

fn verify_screens(log: &LogSettings, screens: &SavedScreens, names: &[(Topic, Name, ObjectMeta)]) -> bool {
    let mut all_usable = true;
    for (topic, name, _) in names {
        let of = log.topic_name(*topic);
        match screens.read(*topic, *name) {
            Ok(_) => println!("{name}  usable, what the page shows of {of}"),
            Err(error) => {
                all_usable = false;
                println!("{name}  OF NO USE, what the page shows of {of}: {error:#}");
            }
        }
    }
    all_usable
}

/// Folds the whole ledger, and beside it what a start would begin with; stores a snapshot of the whole.
fn rebuild(config: &Config, store: &Store, only: Option<PartitionId>) -> anyhow::Result<bool> {
    let log = reachable(config.log())?;
    let rules = config.ledger.rules();
    let partitions: Vec<PartitionId> =
        log.all_partitions().filter(|partition| only.is_none_or(|only| only == *partition)).collect();
    let places: Vec<_> = partitions.iter().map(|partition| (Topic::Ledger, *partition)).collect();
    let mut progress = Progress::of(&log, &places)?;
    let mut all_equal = true;
    for partition in partitions {
        let (mut whole, end) = folded(&log, &rules, partition, &mut progress)?;
        let started = started(&log, &rules, store, partition, end)?;
        progress.end();
        let verdict = match started {
            None => "no snapshot before".to_owned(),
            Some((name, shard)) if shard == whole => format!("equal to what {name} and the rest of the ledger give"),
            Some((name, _)) => {
                all_equal = false;
                format!("NOT what {name} and the rest of the ledger give: delete that snapshot and report this")
            }
        };
        let name = Name { partition, offset: end };
        store.put(&name, snapshot::whole(&mut whole, end))?;
        println!("{name}  stored; {verdict}");
    }
    Ok(all_equal)
}

/// The fold of all that a partition's ledger holds, and where that ends.
fn folded(
    log: &LogSettings,
    rules: &ledger::Config,
    partition: PartitionId,
    progress: &mut Progress,
) -> anyhow::Result<(Shard, i64)> {
    let (mut shard, mut end) = (Shard::new(partition), 0);
    read_ledger(log, partition, progress, |offset, record| {
        if end == 0 && offset > 0 && !matches!(record.body, LedgerBody::Takeover { .. }) {
            bail!("the ledger's partition {partition} begins at {offset}: its beginning is gone");
        }
        shard.fold(rules, offset, &record);
        end = offset + 1;
        Ok(true)
    })?;
    Ok((shard, end))
}

/// What a start would make of the newest usable snapshot and the rest of the ledger up to `end`.
fn started(
    log: &LogSettings,
    rules: &ledger::Config,
    store: &Store,
    partition: PartitionId,
    end: i64,
) -> anyhow::Result<Option<(Name, Shard)>> {
    let choice = choice::choose(partition, 0..=end, store.list()?.into_keys(), |name| store.get(name))
        .context("nothing to begin with")?;
    let Some(name) = choice.snapshot else { return Ok(None) };
    let mut shard = *choice.shard;
    read_ledger_from(log, partition, choice.offset, |offset, record| {
        if offset < end {
            shard.fold(rules, offset, &record);
        }
        Ok(offset < end)
    })?;
    Ok(Some((name, shard)))
}
