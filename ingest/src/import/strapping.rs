//! A strapping table from a file: heights and volumes as a surveyor wrote them down.
//!
//! In: lines of height and volume, with or without a header, with any of the usual separators. Out: points in their order, or
//! what is wrong with which line. Guarantees: no floating point; a table that does not rise is refused.

use model::{ChartPoint, DeciMillimetres, Millilitres};

use super::decimals::{Conversion, conversion, decimal};
use super::mapping::{DecimalMark, Quantity, Unit};
use crate::decode::units::Units;
use crate::register::Problem;

const SEPARATORS: [char; 4] = [';', '\t', '|', ','];
const POINTS_MAX: usize = 10_000;

/// Points of a table of millimetres and litres, or of inches and gallons. A line that is no figures is the header when it
/// comes first.
pub fn strapping(bytes: &[u8], units: Units) -> Result<Vec<ChartPoint>, Vec<Problem>> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    let separator = SEPARATORS.into_iter().find(|separator| text.contains(*separator));
    let Some(separator) = separator else {
        return Err(vec![problem(0, None, "no line has two figures with ; , | or a tab between them".to_owned())]);
    };
    let mark = if separator != ',' && text.contains(',') { DecimalMark::Comma } else { DecimalMark::Point };
    let columns = Columns::of(units).map_err(|what| vec![problem(0, None, what)])?;
    let (mut points, mut problems): (Vec<ChartPoint>, Vec<Problem>) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let fields: Vec<&str> = line.split(separator).map(str::trim).collect();
        if fields.iter().all(|field| field.is_empty()) {
            continue;
        }
        match columns.point(number, &fields, mark) {
            Err(_) if points.is_empty() && problems.is_empty() && is_header(&fields) => {}
            Err(found) => problems.push(found),
            Ok(point) => match points.last() {
                Some(before) if point.height_dmm <= before.height_dmm || point.volume_ml <= before.volume_ml => {
                    problems.push(problem(number, None, "it does not rise above the line before".to_owned()));
                }
                _ if points.len() >= POINTS_MAX => {
                    problems.push(problem(number, None, format!("more than {POINTS_MAX} lines")));
                    break;
                }
                _ => points.push(point),
            },
        }
    }
    if problems.is_empty() && points.len() < 2 {
        problems.push(problem(0, None, format!("{} lines with figures, a table has two at least", points.len())));
    }
    if problems.is_empty() { Ok(points) } else { Err(problems) }
}

/// Words stand in it and no figures.
fn is_header(fields: &[&str]) -> bool {
    fields.iter().all(|field| !field.starts_with(|first: char| first.is_ascii_digit()))
}

struct Columns {
    height: Conversion,
    volume: Conversion,
}

impl Columns {
    fn of(units: Units) -> Result<Self, String> {
        let (height, volume) = match units {
            Units::Metric => (Unit::Millimetre, Unit::Litre),
            Units::Us => (Unit::Inch, Unit::UsGallon),
            Units::Imperial => (Unit::Inch, Unit::ImperialGallon),
        };
        Ok(Self {
            height: conversion(Quantity::Height, Some(height))?,
            volume: conversion(Quantity::Volume, Some(volume))?,
        })
    }

    fn point(&self, line: u64, fields: &[&str], mark: DecimalMark) -> Result<ChartPoint, Problem> {
        let [height, volume, ..] = fields else {
            return Err(problem(line, None, "one figure, and a height and a volume are expected".to_owned()));
        };
        let figure = |name: &str, text: &str, by: Conversion| {
            let value = decimal(text, mark).map_err(|what| problem(line, Some(name), what))?;
            Ok(by.apply(value))
        };
        let outside = |name: &str, text: &str| problem(line, Some(name), format!("{text:?} is none of a tank"));
        let height_dmm =
            u32::try_from(figure("height", height, self.height)?).map_err(|_| outside("height", height))?;
        let ml = u64::try_from(figure("volume", volume, self.volume)?).map_err(|_| outside("volume", volume))?;
        let volume_ml = Millilitres::new(ml).map_err(|_| outside("volume", volume))?;
        Ok(ChartPoint { height_dmm: DeciMillimetres(height_dmm), volume_ml })
    }
}

fn problem(line: u64, column: Option<&str>, what: String) -> Problem {
    Problem { line, column: column.map(ToOwned::to_owned), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points as `height_dmm:ml`, or the problems.
    fn read(text: &str, units: Units) -> String {
        match strapping(text.as_bytes(), units) {
            Ok(points) => {
                let shown = points.iter().map(|point| format!("{}:{}", point.height_dmm.0, point.volume_ml.get()));
                shown.collect::<Vec<_>>().join(" ")
            }
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        }
    }

    #[test]
    fn tables_as_surveyors_write_them() {
        assert_eq!(read("0;0\n10;15,5\n20;44,25\n", Units::Metric), "0:0 100:15500 200:44250");
        assert_eq!(
            read("\u{feff}Уровень, мм;Объём, л\r\n\r\n0;0\r\n1 000;12 345,6\r\n", Units::Metric),
            "0:0 10000:12345600"
        );
        assert_eq!(read("height,volume,remark\n0,0,\n12.5,100.25,wet\n", Units::Metric), "0:0 125:100250");
        assert_eq!(read("0\t0\n1\t1\n", Units::Us), "0:0 254:3785");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(read("nothing", Units::Metric), "no line has two figures with ; , | or a tab between them");
        assert_eq!(read("a;b\n", Units::Metric), "0 lines with figures, a table has two at least");
        let wrong = read("0;0\n10;x\n5;7\n9;6\n-1;9\n", Units::Metric);
        assert_eq!(
            wrong,
            "line 2, column \"volume\": \"x\" is no figure; line 4: it does not rise above the line before; \
             line 5, column \"height\": \"-1\" is none of a tank"
        );
    }
}
