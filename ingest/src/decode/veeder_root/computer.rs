//! Computer format: fields of fixed width, `&&`, a checksum.

use model::RejectReason;

use super::super::Refusal;
use super::cursor::Cursor;
use super::{Alarm, Chart, Delivery, END, Inventory, Moment, Reply, Report, START, TankAlarms, printable, shape};

const TERMINATION: &[u8] = b"&&";
const CHECKSUM_DIGITS: usize = 4;
/// How far steps between the heights of a chart may differ from each other, of a step.
const STEP_TOLERANCE: f64 = 0.02;

/// `body` begins at byte `leading` of the payload, with the function code.
pub(super) fn reply(body: &[u8], leading: usize) -> Result<Reply, Refusal> {
    let data = verified(body, leading)?;
    let mut cursor = Cursor::new(data, leading);
    let function = cursor.take(4, "the function code")?;
    cursor.decimal(2, "the tank that was asked for")?;
    if function == b"i205" {
        return alarms(cursor);
    }
    let at = cursor.time("the console's time")?;
    let report = match function {
        b"i201" => Report::Inventory(all(cursor, inventory)?),
        b"i202" | b"i20C" => Report::Deliveries(all(cursor, deliveries)?.into_iter().flatten().collect()),
        b"i216" => Report::Charts(all(cursor, chart)?),
        other => {
            let what = format!("{} is not read: i201, i202, i20C, i205 and i216 are", other.escape_ascii());
            return Err(shape(leading, what));
        }
    };
    Ok(Reply { console_times: vec![at], report })
}

/// What stands before `&&`, when the bytes from SOH through the checksum sum to zero.
fn verified(body: &[u8], leading: usize) -> Result<&[u8], Refusal> {
    let end = leading + body.len();
    let Some(length) = body.windows(TERMINATION.len()).position(|window| window == TERMINATION) else {
        return Err(shape(end, "the reply ends without && and a checksum"));
    };
    let mut cursor = Cursor::new(&body[length + TERMINATION.len()..], leading + length + TERMINATION.len());
    let told = cursor.hex(CHECKSUM_DIGITS, "the checksum")?;
    let at = cursor.at();
    let rest = &body[at - leading..];
    if let Some(place) = rest.iter().position(|byte| *byte != END && !byte.is_ascii_whitespace()) {
        return Err(shape(at + place, format!("{} follows the checksum", printable(rest[place]))));
    }
    let sum = [START].iter().chain(&body[..length + TERMINATION.len()]);
    let sum = sum.fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
    let expected = sum.wrapping_neg();
    if told != u32::from(expected) {
        let detail =
            format!("the checksum at byte {} is {told:04X}, the bytes make {expected:04X}", at - CHECKSUM_DIGITS);
        return Err((RejectReason::Checksum, detail));
    }
    Ok(&body[..length])
}

fn all<'a, T>(mut cursor: Cursor<'a>, one: impl Fn(&mut Cursor<'a>) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
    let mut found = Vec::new();
    while !cursor.is_empty() {
        found.push(one(&mut cursor)?);
    }
    Ok(found)
}

/// `NN` and as many floats. Later consoles send more of them than the first, always after those that were there.
fn floats(cursor: &mut Cursor<'_>, what: &str, least: u32) -> Result<Vec<Option<f64>>, Refusal> {
    let at = cursor.at();
    let count = cursor.hex(2, "the number of figures")?;
    if count < least {
        return Err(shape(at, format!("{what} has {count} figures, at least {least} are expected")));
    }
    (0..count).map(|_| cursor.float(what)).collect()
}

/// `TTpssssNN`, then volume, volume at 15 °C or 60 °F, ullage, height, water, temperature, water volume.
fn inventory(cursor: &mut Cursor<'_>) -> Result<Inventory, Refusal> {
    let tank = cursor.tank()?;
    let product = cursor.product()?;
    let status = cursor.hex(4, "the status of a tank")?;
    let figures = floats(cursor, "the inventory of a tank", 6)?;
    let figure = |place: usize| figures.get(place).copied().flatten();
    Ok(Inventory {
        tank,
        product,
        status: u16::try_from(status).unwrap_or(u16::MAX),
        volume: figure(0),
        // A console that does not compensate sends zero.
        tc_volume: figure(1).filter(|tc_volume| *tc_volume != 0.0 || figure(0) == Some(0.0)),
        ullage: figure(2),
        height: figure(3),
        water_height: figure(4),
        temperature: figure(5),
        water_volume: figure(6),
    })
}

/// `TTpdd` and `dd` deliveries.
fn deliveries(cursor: &mut Cursor<'_>) -> Result<Vec<Delivery>, Refusal> {
    let tank = cursor.tank()?;
    let product = cursor.product()?;
    let count = cursor.two("the number of deliveries")?;
    (0..count).map(|_| delivery(cursor, tank, product.as_ref())).collect()
}

/// Start, end, `NN`; then volume, TC volume, water and temperature at the start and at the end, height at the start and the
/// end.
fn delivery(cursor: &mut Cursor<'_>, tank: u8, product: Option<&String>) -> Result<Delivery, Refusal> {
    let at = cursor.at();
    let (start, end) = (cursor.time("the start of a delivery")?, cursor.time("the end of a delivery")?);
    if end < start {
        return Err(shape(at, format!("a delivery ends at {end}, before its start at {start}")));
    }
    let figures = floats(cursor, "a delivery", 8)?;
    let figure = |place: usize| figures.get(place).copied().flatten();
    let moment = |at, first: usize, height: usize| Moment {
        at,
        volume: figure(first),
        tc_volume: figure(first + 1).filter(|tc_volume| *tc_volume != 0.0 || figure(first) == Some(0.0)),
        water_height: figure(first + 2),
        temperature: figure(first + 3),
        height: figure(height),
    };
    Ok(Delivery { tank, product: product.cloned(), before: moment(start, 0, 8), after: moment(end, 4, 9) })
}

/// Some consoles leave the time out, against the manual. With it is tried first.
fn alarms(cursor: Cursor<'_>) -> Result<Reply, Refusal> {
    let mut with_time = cursor;
    let dated = with_time.time("the console's time").and_then(|at| Ok((at, all(with_time, tank_alarms)?)));
    match dated {
        Ok((at, alarms)) => Ok(Reply { console_times: vec![at], report: Report::Alarms(alarms) }),
        Err(refusal) => match all(cursor, tank_alarms) {
            Ok(alarms) if !alarms.is_empty() => Ok(Reply { console_times: Vec::new(), report: Report::Alarms(alarms) }),
            _ => Err(refusal),
        },
    }
}

/// `TTnn` and `nn` alarm numbers.
fn tank_alarms(cursor: &mut Cursor<'_>) -> Result<TankAlarms, Refusal> {
    let tank = cursor.tank()?;
    let count = cursor.two("the number of alarms")?;
    let alarm = |_| cursor.two("an alarm number").map(Alarm::Numbered);
    Ok(TankAlarms { tank, alarms: (0..count).map(alarm).collect::<Result<_, _>>()? })
}

/// `TTpNN`, then heights and volumes; one more figure is a slope.
fn chart(cursor: &mut Cursor<'_>) -> Result<Chart, Refusal> {
    let at = cursor.at();
    let tank = cursor.tank()?;
    cursor.product()?;
    let figures = floats(cursor, "the chart of a tank", 4)?;
    let Some(figures) = figures.into_iter().collect::<Option<Vec<f64>>>() else {
        return Err(shape(at, "a point of the chart is no number"));
    };
    let (pairs, _slope) = figures.split_at(figures.len() / 2 * 2);
    let interleaved = pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>();
    let (heights, volumes) = pairs.split_at(pairs.len() / 2);
    let listed = heights.iter().copied().zip(volumes.iter().copied()).collect::<Vec<_>>();
    match [interleaved, listed].into_iter().find(|points| is_chart(points)) {
        Some(points) => Ok(Chart { tank, points }),
        None => Err(shape(at, "heights and volumes do not rise in equal steps of height: this is no chart")),
    }
}

fn is_chart(points: &[(f64, f64)]) -> bool {
    let rises = points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
    let [first, second, ..] = points else { return false };
    let step = second.0 - first.0;
    rises
        && first.0 >= 0.0
        && first.1 >= 0.0
        && points.windows(2).all(|pair| ((pair[1].0 - pair[0].0) - step).abs() <= step * STEP_TOLERANCE)
}
