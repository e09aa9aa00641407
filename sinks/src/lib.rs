//! Facts out: to Kafka's logs, to the topics derived from the ledger, to ClickHouse.
//!
//! In: records to append, and the logs that others wrote. Out: acknowledged records, `fuel.sales` and `fuel.cards`, rows.
//! Guarantees: the logs have no gap (a record that cannot be delivered ends the process); derived records carry their
//! origin; rows are in ClickHouse exactly once. Each reader has its own position and thread: none can block another.
//! Does not: decide anything, or know where facts come from.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clickhouse;
mod error;
mod kafka;
pub mod position;
pub mod publish;
mod recorder;
pub mod topics;

pub use error::Error;
pub use recorder::Recorder;
