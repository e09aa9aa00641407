//! What a console replied, as readings.
//!
//! An inventory is one reading a tank. A delivery is two readings of the past, at its beginning and its end: whether it was
//! one is derived from the levels like any other. Alarms are a reading without a level.

use jiff::civil::DateTime;
use model::{
    CentiCelsius, ChartPoint, DeciMillimetres, DeviceMessage, Millilitres15, Reading, RejectReason, SiteId, TankId,
    TimestampUs,
};

use super::super::units::{self, Units};
use super::super::{Refusal, short};
use super::clock::ConsoleClock;
use super::{Alarm, Delivery, Inventory, Moment, Reply, Report, TankAlarms, TankNumber, reply};

/// Alarms under which the level is not to be believed: invalid fuel level, probe out.
const LEVEL_ALARMS: [u8; 2] = [8, 9];
/// In a topic: all tanks of the site.
const ALL_TANKS: &str = "00";

/// Where a reply came from and when.
pub(crate) struct Console {
    pub(crate) site: SiteId,
    /// As the topic names it.
    pub(crate) tank: TankId,
    pub(crate) units: Units,
    pub(crate) received_at: TimestampUs,
}

/// The readings of a reply, at least one.
pub(crate) fn messages(console: &Console, payload: &[u8]) -> Result<Vec<DeviceMessage>, Refusal> {
    let Reply { console_times, report } = reply(payload)?;
    let clock = ConsoleClock::judge(&console_times, console.received_at);
    let readings = match report {
        Report::Inventory(tanks) => {
            let tanks = named(console, tanks, |tank| tank.tank)?;
            let now = clock.now(console.received_at);
            tanks.iter().filter_map(|(id, tank)| inventory(console, id, tank, now)).collect()
        }
        Report::Deliveries(deliveries) => {
            let deliveries = named(console, deliveries, |delivery| delivery.tank)?;
            let dated = |at| clock.earlier(at).ok_or_else(|| undated(clock));
            let both = deliveries.iter().map(|(id, delivery)| delivered(console, id, delivery, dated));
            both.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
        Report::Alarms(tanks) => {
            let tanks = named(console, tanks, |tank| tank.tank)?;
            let now = clock.now(console.received_at);
            tanks.iter().map(|(id, tank)| alarms(console, id, tank, now)).collect()
        }
        Report::Charts(_) => {
            let detail = "a chart is no reading: it belongs into the registration of its tank".to_owned();
            return Err((RejectReason::Value, detail));
        }
    };
    let messages: Vec<DeviceMessage> = Vec::into_iter(readings).map(DeviceMessage::Reading).collect();
    if messages.is_empty() {
        return Err((RejectReason::Value, "no tank of the reply has a level or a volume".to_owned()));
    }
    Ok(messages)
}

/// The points of each tank's chart, for its registration.
pub(crate) fn charts(payload: &[u8], units: Units) -> Result<Vec<(TankNumber, Vec<ChartPoint>)>, Refusal> {
    let Report::Charts(charts) = reply(payload)?.report else {
        return Err((RejectReason::Shape, "a reply to i216 is expected".to_owned()));
    };
    let point = |(height, volume): &(f64, f64)| {
        let height_dmm = units.height_dmm(*height).map(DeciMillimetres);
        Some(ChartPoint { height_dmm: height_dmm?, volume_ml: units.volume(*volume)? })
    };
    let out_of_range = |tank: TankNumber| (RejectReason::Value, format!("tank {tank}: a point that no tank has"));
    charts
        .iter()
        .map(|chart| {
            let points = chart.points.iter().map(point).collect::<Option<Vec<_>>>();
            Ok((chart.tank, points.ok_or_else(|| out_of_range(chart.tank))?))
        })
        .collect()
}

/// Names the tanks of a reply. A topic with `00` leaves them to the reply; a number must agree with it; any other name is for
/// a reply of one tank.
fn named<T>(console: &Console, tanks: Vec<T>, number: impl Fn(&T) -> TankNumber) -> Result<Vec<(TankId, T)>, Refusal> {
    let asked = console.tank.as_str();
    let wrong = |what: String| (RejectReason::Address, short(what));
    let id = |tank: &T| -> Result<TankId, Refusal> {
        let number = number(tank);
        if asked == ALL_TANKS || asked.parse() == Ok(number) {
            return TankId::new(&number.to_string()).map_err(|error| wrong(error.to_string()));
        }
        if asked.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong(format!("the topic is of tank {asked}, the reply of tank {number}; 00 takes all tanks")));
        }
        Ok(console.tank.clone())
    };
    let tanks = tanks.into_iter().map(|tank| Ok((id(&tank)?, tank))).collect::<Result<Vec<_>, Refusal>>()?;
    let by_name = tanks.iter().any(|(id, _)| *id == console.tank) && asked.parse::<u64>().is_err();
    let numbers = tanks.iter().map(|(_, tank)| number(tank)).collect::<std::collections::BTreeSet<_>>();
    if by_name && numbers.len() > 1 {
        return Err(wrong(format!("the topic names tank {asked}, the reply has {} tanks", numbers.len())));
    }
    Ok(tanks)
}

fn undated(clock: ConsoleClock) -> Refusal {
    let why = match clock {
        ConsoleClock::Off { error_min: Some(minutes) } => format!("its clock is {minutes} minutes off"),
        _ => "it did not say its own time".to_owned(),
    };
    (RejectReason::Value, format!("the deliveries of this console cannot be dated: {why}"))
}

/// `None` when the console knows no level.
fn inventory(console: &Console, id: &TankId, tank: &Inventory, at: TimestampUs) -> Option<Reading> {
    let Console { site, units, .. } = console;
    // The one letter of computer format is the console's own numbering; a label is a name.
    let label = tank.product.as_deref().filter(|label| label.len() > 1);
    let volume = |value: Option<f64>| value.and_then(|value| units.volume(value));
    let mut reading = Reading::new(site.clone(), id.clone(), units::product(label), at);
    reading.volume_ml = volume(tank.volume);
    reading.volume_15_ml = compensated(*units, tank.tc_volume);
    reading.ullage_ml = volume(tank.ullage);
    reading.water_ml = volume(tank.water_volume);
    reading.height_dmm = tank.height.and_then(|height| units.height_dmm(height)).map(DeciMillimetres);
    reading.water_dmm = tank.water_height.and_then(|height| units.height_dmm(height)).map(DeciMillimetres);
    reading.temperature_cc = tank.temperature.and_then(|value| units.temperature_cc(value)).map(CentiCelsius);
    reading.status = u8::try_from(tank.status & 0xff).unwrap_or(0);
    let knows_a_level = reading.volume_ml.is_some() || reading.height_dmm.is_some();
    (knows_a_level || reading.status & Reading::INVALID_HEIGHT != 0).then_some(reading)
}

/// Consoles in gallons compensate to 60 °F, which is not 15 °C.
fn compensated(units: Units, value: Option<f64>) -> Option<Millilitres15> {
    let volume = value.filter(|_| units == Units::Metric).and_then(|value| units.volume(value))?;
    Millilitres15::new(volume.get()).ok()
}

fn delivered(
    console: &Console,
    id: &TankId,
    delivery: &Delivery,
    dated: impl Fn(DateTime) -> Result<TimestampUs, Refusal>,
) -> Result<Vec<Reading>, Refusal> {
    let moment = |moment: &Moment| -> Result<Option<Reading>, Refusal> {
        let tank = Inventory {
            tank: delivery.tank,
            product: delivery.product.clone(),
            status: 0,
            volume: moment.volume,
            tc_volume: moment.tc_volume,
            ullage: None,
            height: moment.height,
            water_height: moment.water_height,
            temperature: moment.temperature,
            water_volume: None,
        };
        let reading = inventory(console, id, &tank, dated(moment.at)?);
        Ok(reading.map(|reading| Reading { historical: true, ..reading }))
    };
    Ok([moment(&delivery.before)?, moment(&delivery.after)?].into_iter().flatten().collect())
}

fn alarms(console: &Console, id: &TankId, tank: &TankAlarms, at: TimestampUs) -> Reading {
    let numbers = tank.alarms.iter().filter_map(|alarm| match alarm {
        Alarm::Numbered(number) => Some(*number),
        Alarm::Named(name) => {
            tracing::warn!(site = %console.site, tank = %id, name, "an alarm that the manual does not number is left out");
            None
        }
    });
    let numbers: Vec<u8> = numbers.collect();
    let mut reading = Reading::new(console.site.clone(), id.clone(), units::product(None), at);
    if numbers.iter().any(|number| LEVEL_ALARMS.contains(number)) {
        reading.status = Reading::INVALID_HEIGHT;
    }
    reading.alarms = Some(numbers);
    reading
}
