//! The binary: command line, wiring, shutdown.

mod clickhouse;
mod engines;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the ClickHouse engine behind ClickHouse's HTTP protocol
    Clickhouse(clickhouse::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Clickhouse(options) => clickhouse::run(&options),
    }
}
