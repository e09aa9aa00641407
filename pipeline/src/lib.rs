//! The dataflows that decide and derive: ledger (cards and money) and stations (tanks and windows).
//!
//! In: requests, readings and sales, in the order of their partition. Out: facts to record. Guarantees: the same input
//! gives the same output, on any number of workers: no clock, no randomness, no I/O, no lock inside an operator.
//! Does not: know Kafka, MQTT, files or tokio. Time arrives as data.

// `expect!` goes by value: a check reads best that way.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::needless_pass_by_value))]

pub mod audit;
pub mod ledger;
pub mod stations;
pub mod tanks;
pub mod tenancy;
pub mod worker;

pub use worker::{Dataflow, Ended, Feed};
