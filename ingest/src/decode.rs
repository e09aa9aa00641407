//! Outside bytes become typed values, or a reason why not.
//!
//! In: the payload of a transaction, an order, a request, a tank reading, a console's reply, or what else stations tell of
//! their tanks. Out: the value, or a [`RejectReason`] from a closed list with a sentence for people: what is wrong, in
//! which field, at which line and column.
//! Guarantees: total, no panic and no deep recursion whatever the bytes; a card number that should be a token never
//! passes. Unknown fields are ignored, however deep; a repeated known field is refused.
//! Does not: know contracts, cards or stations. Whether a well-formed request makes sense is the ledger's affair.

mod card_number;
pub mod units;
mod values;
mod veeder_root;

use model::{
    ChartPoint, CommandMessage, DeviceMessage, DeviceStatus, FORMAT_VERSION, ReadingMessage, RejectReason, Request,
    SaleMessage, SetupMessage, SiteId, StatusMessage, TankId, TicketMessage, TimestampUs, Transaction,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use units::Units;
use veeder_root::messages::{self, Console};

pub(crate) use card_number::masked as card_numbers_masked;

/// Largest transaction and largest order, in bytes.
pub const TRANSACTION_BYTES_MAX: usize = 64 * 1024;
/// Largest record of `fuel.requests`: a transaction and what routing adds.
pub const REQUEST_BYTES_MAX: usize = 2 * TRANSACTION_BYTES_MAX;
/// Largest tank reading or status, in bytes.
pub const READING_BYTES_MAX: usize = 16 * 1024;
/// Largest registration of a tank, in bytes: a strapping table of some 1,500 points.
pub const SETUP_BYTES_MAX: usize = 64 * 1024;
/// Most product lines in one transaction.
pub const ITEMS_MAX: usize = 20;
/// Longest free text in a message (author, name, vehicle, reason …), in bytes.
pub const TEXT_BYTES_MAX: usize = 256;
/// Longest detail of a rejection, in bytes.
const DETAIL_BYTES_MAX: usize = 500;
/// The level of a topic that has replies of Veeder-Root consoles.
pub(crate) const CONSOLE_LEVEL: &str = "veeder-root";
/// The level of a topic that has registrations.
const SETUP_LEVEL: &str = "setup";
/// What the topics of tank gauges begin with unless configured otherwise.
pub const TOPIC_PREFIX: &str = "fuel/v1";

const _: () = assert!(TEXT_BYTES_MAX * ITEMS_MAX < TRANSACTION_BYTES_MAX);

/// Why something was refused: the reason for counting, the detail for people.
pub type Refusal = (RejectReason, String);

/// A record of `fuel.transactions`.
pub fn transaction(payload: &[u8]) -> Result<Transaction, Refusal> {
    let transaction: Transaction = document(payload, TRANSACTION_BYTES_MAX)?;
    version(transaction.v)?;
    values::transaction(&transaction)?;
    Ok(transaction)
}

/// A record of `fuel.commands`.
pub fn command(payload: &[u8]) -> Result<CommandMessage, Refusal> {
    let command: CommandMessage = document(payload, TRANSACTION_BYTES_MAX)?;
    version(command.v)?;
    values::command(&command)?;
    Ok(command)
}

/// A record of `fuel.requests`, also from producers that write there themselves.
pub fn request(payload: &[u8]) -> Result<Request, Refusal> {
    let request: Request = document(payload, REQUEST_BYTES_MAX)?;
    version(request.v)?;
    values::request(&request)?;
    Ok(request)
}

/// A publish of a gauge or a station controller on a topic under [`TOPIC_PREFIX`].
pub fn reading(mqtt_topic: &str, payload: &[u8], received_at: TimestampUs) -> Result<DeviceMessage, Refusal> {
    reading_under(TOPIC_PREFIX, mqtt_topic, payload, received_at)
}

/// As [`readings_under`], for topics whose publishes are one message each.
pub fn reading_under(
    prefix: &str,
    mqtt_topic: &str,
    payload: &[u8],
    received_at: TimestampUs,
) -> Result<DeviceMessage, Refusal> {
    match address(prefix, mqtt_topic)? {
        Address::Console(..) => {
            Err((RejectReason::Address, format!("topic {mqtt_topic:?} has replies of a console, not one message")))
        }
        address => json_message(address, payload, received_at),
    }
}

/// All messages of a publish, at least one: `{prefix}/{site}/{tank}/` with `reading`, `setup` or `ticket`, `{prefix}/{site}/`
/// with `status` or `sale`, or a reply of a Veeder-Root console on
/// `{prefix}/{site}/{tank, or 00 for all}/veeder-root[/metric|us|imperial]`.
pub fn readings_under(
    prefix: &str,
    mqtt_topic: &str,
    payload: &[u8],
    received_at: TimestampUs,
) -> Result<Vec<DeviceMessage>, Refusal> {
    match address(prefix, mqtt_topic)? {
        Address::Console(site, tank, units) => messages::messages(&Console { site, tank, units, received_at }, payload),
        address => Ok(vec![json_message(address, payload, received_at)?]),
    }
}

/// Largest payload of a topic.
pub(crate) fn payload_bytes_max(mqtt_topic: &str) -> usize {
    let mut levels = mqtt_topic.rsplit('/').take(2);
    match (levels.next(), levels.next()) {
        (Some(SETUP_LEVEL), _) => SETUP_BYTES_MAX,
        (Some(CONSOLE_LEVEL), _) | (_, Some(CONSOLE_LEVEL)) => veeder_root::REPLY_BYTES_MAX,
        _ => READING_BYTES_MAX,
    }
}

/// The strapping points that a console answers to `i216`, by its number of the tank: for the registration of tanks.
pub fn console_charts(payload: &[u8], units: Units) -> Result<Vec<(u8, Vec<ChartPoint>)>, Refusal> {
    messages::charts(payload, units)
}

/// What one JSON object on such a topic says.
fn json_message(address: Address, payload: &[u8], received_at: TimestampUs) -> Result<DeviceMessage, Refusal> {
    match address {
        Address::Reading(site, tank) => {
            let message: ReadingMessage = document(payload, READING_BYTES_MAX)?;
            version(message.v)?;
            values::reading(&message)?;
            Ok(DeviceMessage::Reading(message.of(site, tank, received_at)))
        }
        Address::Status(site) => {
            let message: StatusMessage = document(payload, READING_BYTES_MAX)?;
            version(message.v)?;
            let at_us = message.at_us.unwrap_or(received_at);
            Ok(DeviceMessage::Status(DeviceStatus { site, online: message.online, at_us }))
        }
        Address::Setup(site, tank) => {
            let message: SetupMessage = document(payload, SETUP_BYTES_MAX)?;
            version(message.v)?;
            values::setup(&message)?;
            Ok(DeviceMessage::Setup(Box::new(message.of(site, tank, received_at))))
        }
        Address::Sale(site) => {
            let message: SaleMessage = document(payload, READING_BYTES_MAX)?;
            version(message.v)?;
            values::moved("volume_ml", message.volume_ml)?;
            Ok(DeviceMessage::Sale(message.of(site, received_at)))
        }
        Address::Ticket(site, tank) => {
            let message: TicketMessage = document(payload, READING_BYTES_MAX)?;
            version(message.v)?;
            values::moved("volume_ml", message.volume_ml)?;
            Ok(DeviceMessage::Ticket(message.of(site, tank, received_at)))
        }
        Address::Console(..) => Err((RejectReason::Address, "a console's reply is no JSON".to_owned())),
    }
}

enum Address {
    Reading(SiteId, TankId),
    Status(SiteId),
    Setup(SiteId, TankId),
    Sale(SiteId),
    Ticket(SiteId, TankId),
    Console(SiteId, TankId, Units),
}

fn address(prefix: &str, topic: &str) -> Result<Address, Refusal> {
    let wrong = |what: String| (RejectReason::Address, short(what));
    let path = topic
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(|| wrong(format!("topic {topic:?} does not begin with {prefix}/")))?;
    let site = |id: &str| SiteId::new(id).map_err(|error| wrong(format!("site {id:?} in the topic: {error}")));
    let tank = |id: &str| TankId::new(id).map_err(|error| wrong(format!("tank {id:?} in the topic: {error}")));
    let levels: Vec<&str> = path.split('/').collect();
    match levels[..] {
        [site_id, tank_id, "reading"] => Ok(Address::Reading(site(site_id)?, tank(tank_id)?)),
        [site_id, tank_id, SETUP_LEVEL] => Ok(Address::Setup(site(site_id)?, tank(tank_id)?)),
        [site_id, tank_id, "ticket"] => Ok(Address::Ticket(site(site_id)?, tank(tank_id)?)),
        [site_id, "status"] => Ok(Address::Status(site(site_id)?)),
        [site_id, "sale"] => Ok(Address::Sale(site(site_id)?)),
        [site_id, tank_id, CONSOLE_LEVEL] => Ok(Address::Console(site(site_id)?, tank(tank_id)?, Units::default())),
        [site_id, tank_id, CONSOLE_LEVEL, units] => {
            let known = Units::named(units);
            let known = known.ok_or_else(|| wrong(format!("units {units:?} in the topic: metric, us or imperial")))?;
            Ok(Address::Console(site(site_id)?, tank(tank_id)?, known))
        }
        _ => Err(wrong(format!(
            "topic {topic:?} is neither {prefix}/{{site}}/{{tank}}/ with reading, {SETUP_LEVEL}, ticket or {CONSOLE_LEVEL} \
             nor {prefix}/{{site}}/ with status or sale"
        ))),
    }
}

/// One JSON object and nothing else.
fn document<T: DeserializeOwned>(payload: &[u8], bytes_max: usize) -> Result<T, Refusal> {
    if payload.len() > bytes_max {
        let detail = format!("{} bytes, at most {bytes_max} are accepted", payload.len());
        return Err((RejectReason::TooLarge, detail));
    }
    let text = std::str::from_utf8(payload)
        .map_err(|error| (RejectReason::NotUtf8, format!("byte {} is not UTF-8", error.valid_up_to())))?;
    match text.trim_start_matches([' ', '\t', '\r', '\n']).bytes().next() {
        None => return Err((RejectReason::Empty, "no payload".to_owned())),
        Some(b'{') => {}
        // Structs would otherwise also be read from arrays, field by field.
        Some(_) => return Err(not_an_object(text)),
    }
    serde_json::from_str(text).map_err(|error| misfit::<T>(text, &error))
}

fn not_an_object(text: &str) -> Refusal {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => (RejectReason::Shape, "a JSON object is expected at line 1 column 1".to_owned()),
        Err(error) => (RejectReason::NotJson, short(error.to_string())),
    }
}

/// Why `text` is no `T`. Reads it again to name the field; only rejections pay for that.
fn misfit<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Refusal {
    // A value that does not fit may hide that the rest is no JSON either.
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return (RejectReason::NotJson, short(error.to_string()));
    }
    if let Ok(Head { v: Some(v) }) = serde_json::from_str::<Head>(text)
        && v.as_u64() != Some(u64::from(FORMAT_VERSION))
    {
        return unknown_version(&v);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let detail = match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(located) if located.path().iter().next().is_some() => format!("{}: {}", located.path(), located.inner()),
        _ => error.to_string(),
    };
    (RejectReason::Shape, short(detail))
}

#[derive(Deserialize)]
struct Head {
    v: Option<serde_json::Number>,
}

fn version(v: u8) -> Result<(), Refusal> {
    if v == FORMAT_VERSION { Ok(()) } else { Err(unknown_version(&v.into())) }
}

fn unknown_version(v: &serde_json::Number) -> Refusal {
    (RejectReason::Version, format!("format version {v} is not known, only {FORMAT_VERSION}"))
}

/// Details quote the input: bounded, and without card numbers.
fn short(detail: String) -> String {
    let mut detail = match card_number::masked(detail.as_bytes()) {
        Some(masked) => String::from_utf8_lossy(&masked).into_owned(),
        None => detail,
    };
    if detail.len() > DETAIL_BYTES_MAX {
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        detail.push('…');
    }
    detail
}

#[cfg(test)]
mod tests;
