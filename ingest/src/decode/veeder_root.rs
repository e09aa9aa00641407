//! Replies of Veeder-Root TLS consoles, and of the many that imitate them, as they come over the serial line.
//!
//! In: one reply, from SOH to ETX: computer format (`i201`, `i202`, `i20C`, `i205`, `i216`) or the text that the console
//! prints for people (`I201`, `I205`). Out: what it says, in the console's own units and its own local time.
//! Guarantees: total; a reply that is cut off, changed on the way or of another function is refused with the byte or the
//! line where it stops making sense; nothing of a reply is used when a part of it is wrong.
//! Does not: know units (no reply names them) or time zones: [`messages`] and [`clock`] bring both in.
//!
//! Source: TLS-300/350 serial interface manual, 576013-635, and replies of consoles in the field. The manual's page of `i216`
//! was not at hand: its points are accepted only if they make a chart in one of the two orders that a list can have.

pub(crate) mod clock;
mod computer;
mod cursor;
mod display;
pub(crate) mod messages;

use jiff::civil::DateTime;
use model::RejectReason;

use super::{Refusal, short};

/// Longest reply: 16 tanks with ten deliveries each.
pub(crate) const REPLY_BYTES_MAX: usize = 64 * 1024;

const START: u8 = 0x01;
const END: u8 = 0x03;
/// What a console answers to a request that it does not know: `9999` and its checksum.
const NOT_UNDERSTOOD: &[u8] = b"9999FF1B";

/// A whole reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    /// The console's clock when it answered, local. Several when the text can be read in several ways, none when in none.
    pub(crate) console_times: Vec<DateTime>,
    pub(crate) report: Report,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Report {
    Inventory(Vec<Inventory>),
    Deliveries(Vec<Delivery>),
    Alarms(Vec<TankAlarms>),
    Charts(Vec<Chart>),
}

/// A tank as its console numbers it, from 1.
pub(crate) type TankNumber = u8;

/// What is in a tank now. `None`: the console has no such probe, or no figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inventory {
    pub(crate) tank: TankNumber,
    /// The label of the display, or the one-letter product code.
    pub(crate) product: Option<String>,
    /// Bit 1 delivery in progress, 2 leak test in progress, 3 invalid fuel height. Not on the display.
    pub(crate) status: u16,
    pub(crate) volume: Option<f64>,
    pub(crate) tc_volume: Option<f64>,
    pub(crate) ullage: Option<f64>,
    pub(crate) height: Option<f64>,
    pub(crate) water_height: Option<f64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) water_volume: Option<f64>,
}

/// A delivery as the console saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delivery {
    pub(crate) tank: TankNumber,
    pub(crate) product: Option<String>,
    pub(crate) before: Moment,
    pub(crate) after: Moment,
}

/// A tank at the beginning or the end of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moment {
    /// The console's local time.
    pub(crate) at: DateTime,
    pub(crate) volume: Option<f64>,
    pub(crate) tc_volume: Option<f64>,
    pub(crate) water_height: Option<f64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) height: Option<f64>,
}

/// The alarms that are on for a tank; empty when all is normal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TankAlarms {
    pub(crate) tank: TankNumber,
    pub(crate) alarms: Vec<Alarm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// As the manual numbers the alarms of tanks (category 02).
    Numbered(u8),
    /// A text of the display that is none of the manual's.
    Named(String),
}

/// Height and volume, both strictly rising, in the console's units.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chart {
    pub(crate) tank: TankNumber,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Names of the manual's tank alarms as the display prints them.
const ALARM_NAMES: [(u8, &str); 28] = [
    (1, "SETUP DATA WARNING"),
    (2, "LEAK ALARM"),
    (3, "HIGH WATER ALARM"),
    (4, "OVERFILL ALARM"),
    (5, "LOW PRODUCT ALARM"),
    (6, "SUDDEN LOSS ALARM"),
    (7, "HIGH PRODUCT ALARM"),
    (8, "INVALID FUEL LEVEL"),
    (9, "PROBE OUT"),
    (10, "HIGH WATER WARNING"),
    (11, "DELIVERY NEEDED"),
    (12, "MAX PRODUCT ALARM"),
    (13, "GROSS TEST FAIL"),
    (14, "PERIODIC TEST FAIL"),
    (15, "ANNUAL TEST FAIL"),
    (16, "PERIODIC TEST WARNING"),
    (17, "ANNUAL TEST WARNING"),
    (18, "PERIODIC TEST ALARM"),
    (19, "ANNUAL TEST ALARM"),
    (20, "LEAK TEST ACTIVE"),
    (21, "NO CSLD IDLE TIME"),
    (23, "CSLD RATE INCR WARN"),
    (24, "ACCUCHART CAL WARN"),
    (25, "RECON WARNING"),
    (26, "RECON ALARM"),
    (27, "COLD TEMP WARNING"),
    (28, "MISSING TICKET WARN"),
    (29, "GROSS LINE FAIL"),
];

/// Reads one reply. SOH and ETX may be missing where a converter has eaten them.
pub(crate) fn reply(payload: &[u8]) -> Result<Reply, Refusal> {
    if payload.len() > REPLY_BYTES_MAX {
        let detail = format!("{} bytes, at most {REPLY_BYTES_MAX} are accepted", payload.len());
        return Err((RejectReason::TooLarge, detail));
    }
    let leading = payload.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == START).count();
    let body = &payload[leading..];
    match body {
        [] => Err((RejectReason::Empty, "no payload".to_owned())),
        [b'9', b'9', b'9', b'9', ..] => not_understood(body),
        [b'i', ..] => computer::reply(body, leading),
        [b'I', ..] => display::reply(body),
        [other, ..] => Err(shape(leading, format!("{} begins no reply: i, I or 9999 is expected", printable(*other)))),
    }
}

fn not_understood(body: &[u8]) -> Result<Reply, Refusal> {
    if body.starts_with(NOT_UNDERSTOOD) {
        let detail = "the console answered 9999: it did not understand the request, or its security code".to_owned();
        return Err((RejectReason::Device, detail));
    }
    Err((RejectReason::Checksum, "9999 is not followed by its checksum FF1B".to_owned()))
}

fn shape(at: usize, what: impl std::fmt::Display) -> Refusal {
    (RejectReason::Shape, short(format!("at byte {at}: {what}")))
}

fn printable(byte: u8) -> String {
    format!("'{}'", byte.escape_ascii())
}

#[cfg(test)]
mod tests;
