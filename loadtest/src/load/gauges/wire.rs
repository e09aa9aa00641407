//! As much of MQTT 3.1.1 as a gauge needs, written by hand: a client library would keep to itself which publishes were
//! acknowledged and would send some again by itself.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const KEEP_ALIVE_SECS: u16 = 120;
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_AT_LEAST_ONCE: u8 = 0x32;
const PUBACK: u8 = 0x40;

pub(super) struct Connection(TcpStream);

impl Connection {
    /// Connects; the broker keeps the session of `client`, as it does for gauges.
    pub(super) async fn open((host, port): &(String, u16), client: &str) -> Result<Self> {
        let stream = within(TcpStream::connect((host.as_str(), *port))).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self(stream);
        let mut body = b"\x00\x04MQTT\x04\x00".to_vec();
        body.extend(KEEP_ALIVE_SECS.to_be_bytes());
        text(&mut body, client)?;
        within(connection.0.write_all(&packet(CONNECT, &body)?)).await?;
        let answer = connection.answer(CONNACK).await?;
        match answer[1] {
            0 => Ok(connection),
            code => Err(Error::other(format!("the broker refused the connection with code {code}"))),
        }
    }

    /// Returns when the broker has acknowledged the message.
    pub(super) async fn publish(&mut self, number: u16, topic: &str, payload: &str) -> Result<()> {
        let mut body = Vec::with_capacity(payload.len() + topic.len() + 4);
        text(&mut body, topic)?;
        body.extend(number.to_be_bytes());
        body.extend(payload.as_bytes());
        within(self.0.write_all(&packet(PUBLISH_AT_LEAST_ONCE, &body)?)).await?;
        let answer = self.answer(PUBACK).await?;
        match u16::from_be_bytes(answer) {
            acknowledged if acknowledged == number => Ok(()),
            other => Err(Error::other(format!("message {other} was acknowledged in place of {number}"))),
        }
    }

    /// Both answers that there are have a body of two bytes.
    async fn answer(&mut self, kind: u8) -> Result<[u8; 2]> {
        let mut answer = [0; 4];
        within(self.0.read_exact(&mut answer)).await?;
        match answer {
            [found, 2, first, second] if found == kind => Ok([first, second]),
            other => Err(Error::other(format!("packet {kind:#x} was expected and {other:x?} came"))),
        }
    }
}

async fn within<T>(doing: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(ANSWER_WITHIN, doing).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

fn text(body: &mut Vec<u8>, text: &str) -> Result<()> {
    body.extend(u16::try_from(text.len()).map_err(Error::other)?.to_be_bytes());
    body.extend(text.as_bytes());
    Ok(())
}

fn packet(kind: u8, body: &[u8]) -> Result<Vec<u8>> {
    let mut packet = vec![kind];
    let mut rest = body.len();
    loop {
        let seven = u8::try_from(rest & 0x7f).map_err(Error::other)?;
        rest >>= 7;
        packet.push(if rest > 0 { seven | 0x80 } else { seven });
        if rest == 0 {
            break;
        }
    }
    packet.extend(body);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_says_its_length_in_sevens_of_bits() {
        assert_eq!(packet(0x30, b"ab").expect("a packet"), b"\x30\x02ab");
        assert_eq!(packet(0x30, &[0; 321]).expect("a packet")[..3], [0x30, 0xc1, 0x02]);
    }
}
