//! The engines that the binary brings: MQTT in-process, Kafka and ClickHouse as managed child processes.

pub(crate) mod directory;
