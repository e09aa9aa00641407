//! A console that writes replies in computer format, from the manual and not from the parser.

use std::fmt::Write;

use super::super::{Moment, Reply, Report};

pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    u16::try_from((0x1_0000 - sum % 0x1_0000) % 0x1_0000).unwrap()
}

pub(super) fn float(value: f32) -> String {
    value.to_be_bytes().iter().map(|byte| format!("{byte:02X}")).collect()
}

fn figures(values: &[f32]) -> String {
    let floats: String = values.iter().map(|value| float(*value)).collect();
    format!("{:02X}{floats}", values.len())
}

pub(super) fn framed(head: &str, records: &[String]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(head.bytes());
    bytes.extend(records.concat().bytes());
    bytes.extend(b"&&");
    let checksum = checksum(&bytes);
    bytes.extend(format!("{checksum:04X}").bytes());
    bytes.push(3);
    bytes
}

pub(super) fn inventory(tank: u8, product: char, status: u16, values: &[f32]) -> String {
    format!("{tank:02}{product}{status:04X}{}", figures(values))
}

pub(super) fn delivery(start: &str, end: &str, values: &[f32]) -> String {
    format!("{start}{end}{}", figures(values))
}

pub(super) fn alarms(tank: u8, numbers: &[u8]) -> String {
    let numbers_text: String = numbers.iter().map(|number| format!("{number:02}")).collect();
    format!("{tank:02}{:02}{numbers_text}", numbers.len())
}

pub(super) fn chart(tank: u8, values: &[f32]) -> String {
    format!("{tank:02}1{}", figures(values))
}

/// A reply in a line for each tank or delivery.
pub(super) fn reply_text(reply: &Reply) -> String {
    let mut text = String::new();
    let known = |value: Option<f64>| value.map_or("-".to_owned(), |value| value.to_string());
    let moment = |moment: &Moment| {
        let Moment { at, volume, tc_volume, temperature, height, .. } = moment;
        let (volume, tc_volume) = (known(*volume), known(*tc_volume));
        format!("{at} {volume} ({tc_volume}) at {} height {}", known(*temperature), known(*height))
    };
    match &reply.report {
        Report::Inventory(tanks) => {
            for tank in tanks {
                let product = tank.product.as_deref().unwrap_or("-");
                write!(text, "tank {} '{product}' status {}: {}", tank.tank, tank.status, known(tank.volume)).unwrap();
                write!(text, " ({}) free {}", known(tank.tc_volume), known(tank.ullage)).unwrap();
                write!(text, " height {} water {}", known(tank.height), known(tank.water_height)).unwrap();
                writeln!(text, "/{} at {}", known(tank.water_volume), known(tank.temperature)).unwrap();
            }
        }
        Report::Deliveries(deliveries) => {
            for delivery in deliveries {
                let (before, after) = (moment(&delivery.before), moment(&delivery.after));
                writeln!(text, "tank {} {before} -> {after}", delivery.tank).unwrap();
            }
        }
        Report::Alarms(tanks) => {
            for tank in tanks {
                writeln!(text, "tank {} alarms {:?}", tank.tank, tank.alarms).unwrap();
            }
        }
        Report::Charts(charts) => {
            for chart in charts {
                writeln!(text, "tank {} chart {:?}", chart.tank, chart.points).unwrap();
            }
        }
    }
    text
}
