//! The MQTT broker (rumqttd) inside this process, on threads of its own.
//!
//! In: an address. Out: a broker for MQTT 3.1.1 with QoS 0 and 1. Guarantees: payloads, connections and memory are
//! bounded. Does not: stop before the process does (rumqttd has no end), keep messages or sessions over a restart
//! (both live in memory), check who speaks: it listens on loopback unless told otherwise.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use super::Error;

/// A reading has a few hundred bytes; a client that sends more than this is disconnected.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
const CONNECTIONS_MAX: usize = 10_000;
/// Messages on the way to one client before it acknowledges.
const INFLIGHT_MAX: usize = 500;
/// What the broker keeps per subscription, for a client that is away.
const SEGMENT_BYTES: usize = 8 << 20;
const SEGMENTS: usize = 8;
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Starts the broker and returns when it answers.
pub(super) fn start(address: SocketAddr) -> Result<(), Error> {
    let mut broker = Broker::new(config(address));
    std::thread::Builder::new()
        .name("mqtt broker".to_owned())
        .spawn(move || {
            if let Err(error) = broker.start() {
                tracing::error!(%error, "the MQTT broker ended");
            }
        })
        .map_err(|source| Error::Io { what: "start a thread".to_owned(), source })?;
    let started = Instant::now();
    while !answers(address).unwrap_or(false) {
        if started.elapsed() > READY_WITHIN {
            return Err(Error::Unusable { engine: "MQTT", why: format!("the broker does not answer on {address}") });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Says CONNECT, expects an accepting CONNACK, says DISCONNECT.
pub(super) fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    connection.write_all(b"\x10\x1b\x00\x04MQTT\x04\x02\x00\x0a\x00\x0fforecourt-probe")?;
    let mut answer = [0; 4];
    connection.read_exact(&mut answer)?;
    connection.write_all(b"\xe0\x00")?;
    Ok(answer[0] == 0x20 && answer[3] == 0)
}

fn config(address: SocketAddr) -> Config {
    let server = ServerSettings {
        name: "mqtt-v4".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 10_000,
            max_payload_size: PAYLOAD_BYTES_MAX,
            max_inflight_count: INFLIGHT_MAX,
            auth: None,
            external_auth: None,
            // A message that nobody has subscribed to is dropped; without this its sender would be disconnected.
            dynamic_filters: true,
        },
    };
    Config {
        id: 0,
        router: RouterConfig {
            max_connections: CONNECTIONS_MAX,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("1".to_owned(), server)])),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_answers_where_it_was_told_to_listen() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(answers(address).is_err());
        start(address).unwrap();
        assert!(answers(address).unwrap());
    }
}
