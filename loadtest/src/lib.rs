//! Outside clients of Forecourt: a simulated fuel network for the demo, and (in the binary) a load client.
//!
//! In: addresses of a Kafka and an MQTT broker. Out: traffic such as real terminals, gauges and a back office produce.
//! Guarantees: speaks the public protocols only and knows nothing of Forecourt but `model`.
//! Does not: check what Forecourt answers; the binary's `run` and `verify` do.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod kafka;
pub mod network;
pub mod tanks;
