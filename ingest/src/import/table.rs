//! Lines as readings.

use std::io::Read;

use encoding_rs::Encoding;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use model::{
    CentiCelsius, CentiPercent, DeciMillimetres, Density, Millilitres, Millilitres15, ProductCode, Reading, SiteId,
    TankId, TimestampUs,
};

use super::decimals::{Conversion, conversion, decimal};
use super::mapping::{Mapping, Quantity, Text};
use super::source::{Decoded, Meter};
use crate::decode::units;
use crate::register::Problem;

const SEPARATORS: [char; 4] = [';', ',', '\t', '|'];
const UNIX: &str = "unix";
const UNIX_MS: &str = "unix_ms";
/// Columns of the file that a message lists.
const LISTED_MAX: usize = 30;

/// A line that holds.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) owner: Option<String>,
    pub(super) reading: Reading,
    pub(super) left_out: u32,
}

/// Where things stand, by place.
struct Places {
    site: Place,
    tank: Place,
    product: Option<Place>,
    owner: Option<usize>,
    time: usize,
    clock: Option<usize>,
    values: Vec<(Quantity, usize, Conversion)>,
}

enum Place {
    Constant(String),
    Column(usize),
}

pub(super) struct Table<'a, R> {
    mapping: &'a Mapping,
    csv: csv::Reader<Decoded<R>>,
    record: csv::StringRecord,
    headers: Vec<String>,
    places: Places,
    zone: Option<TimeZone>,
    meter: Meter,
    ended: bool,
    /// The names of the last row: most rows have the same.
    last: Option<(SiteId, TankId, ProductCode)>,
}

impl<'a, R: Read> Table<'a, R> {
    pub(super) fn open(source: R, mapping: &'a Mapping) -> Result<Self, Problem> {
        let whole = |what: String| Problem { line: 0, column: None, what };
        if !SEPARATORS.contains(&mapping.separator) {
            return Err(whole(format!("separator {:?} in the mapping: ; , | or a tab is possible", mapping.separator)));
        }
        let encoding = Encoding::for_label(mapping.encoding.as_bytes())
            .ok_or_else(|| whole(format!("encoding {:?} in the mapping is not known", mapping.encoding)))?;
        let zone = zone(mapping).map_err(whole)?;
        let meter = Meter::default();
        let mut csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(u8::try_from(mapping.separator).unwrap_or(b','))
            .trim(csv::Trim::All)
            .from_reader(Decoded::new(source, encoding, meter.clone()));
        let mut record = csv::StringRecord::new();
        for _ in 0..=mapping.skip_lines {
            match csv.read_record(&mut record) {
                Ok(true) => meter.line_is_complete(),
                Ok(false) => return Err(whole("the file ends before its header".to_owned())),
                Err(error) => return Err(unreadable(&error)),
            }
        }
        let headers: Vec<String> = record.iter().map(str::to_owned).collect();
        let line = record.position().map_or(1, csv::Position::line);
        let places = places(mapping, &headers).map_err(|what| Problem { line, column: None, what })?;
        Ok(Self { mapping, csv, record, headers, places, zone, meter, ended: false, last: None })
    }

    /// Bytes of the file that are read.
    pub(super) fn bytes(&self) -> u64 {
        self.meter.read()
    }

    /// Whether nothing more can be read.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The next line that is not empty, or all that is wrong with it.
    pub(super) fn next(&mut self) -> Option<Result<Row, Vec<Problem>>> {
        loop {
            if self.ended {
                return None;
            }
            match self.csv.read_record(&mut self.record) {
                Ok(true) => self.meter.line_is_complete(),
                Ok(false) => {
                    self.ended = true;
                    return None;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(vec![unreadable(&error)]));
                }
            }
            if self.record.iter().any(|cell| !cell.is_empty()) {
                return Some(self.row());
            }
        }
    }

    fn row(&mut self) -> Result<Row, Vec<Problem>> {
        let line = self.record.position().map_or(0, csv::Position::line);
        let mut problems = Vec::new();
        let complain = |problems: &mut Vec<Problem>, column: Option<usize>, what: String| {
            let column = column.and_then(|place| self.headers.get(place)).cloned();
            problems.push(Problem { line, column, what });
        };
        if self.record.len() != self.headers.len() {
            let what = format!("{} columns, the header has {}", self.record.len(), self.headers.len());
            complain(&mut problems, None, what);
            return Err(problems);
        }
        let names = self.names().map_err(|(column, what)| complain(&mut problems, column, what)).ok();
        let at = self.time().map_err(|what| complain(&mut problems, Some(self.places.time), what)).ok();
        let mut figures = [None; 12];
        for (quantity, place, conversion) in &self.places.values {
            let text = &self.record[*place];
            if text.is_empty() || self.mapping.unknown.iter().any(|unknown| unknown == text) {
                continue;
            }
            match decimal(text, self.mapping.decimal) {
                Ok(value) => figures[*quantity as usize] = Some(conversion.apply(value)),
                Err(what) => complain(&mut problems, Some(*place), what),
            }
        }
        let (Some((site, tank, product)), Some(at), true) = (names, at, problems.is_empty()) else {
            return Err(problems);
        };
        let owner = self.places.owner.map(|place| self.record[place].to_owned());
        let mut reading = Reading::new(site.clone(), tank.clone(), product.clone(), at);
        reading.historical = self.mapping.historical;
        let left_out = fill(&mut reading, &figures);
        self.last = Some((site, tank, product));
        Ok(Row { line, owner, reading, left_out })
    }

    fn names(&self) -> Result<(SiteId, TankId, ProductCode), (Option<usize>, String)> {
        let text = |place: &'_ Place| -> (Option<usize>, String) {
            match place {
                Place::Constant(text) => (None, text.clone()),
                Place::Column(column) => (Some(*column), self.record[*column].to_owned()),
            }
        };
        let ((site_at, site), (tank_at, tank)) = (text(&self.places.site), text(&self.places.tank));
        let label = self.places.product.as_ref().map(|place| text(place).1);
        if let Some((last_site, last_tank, last_product)) = &self.last
            && last_site.as_str() == site
            && last_tank.as_str() == tank
            && label.as_deref().is_none_or(|label| label == last_product.as_str())
        {
            return Ok((last_site.clone(), last_tank.clone(), last_product.clone()));
        }
        let site = SiteId::new(&site).map_err(|error| (site_at, format!("{site:?} names no site: {error}")))?;
        let tank = TankId::new(&tank).map_err(|error| (tank_at, format!("{tank:?} names no tank: {error}")))?;
        Ok((site, tank, units::product(label.as_deref())))
    }

    fn time(&self) -> Result<TimestampUs, String> {
        let date = &self.record[self.places.time];
        let clock = self.places.clock.map(|place| &self.record[place]);
        let joined;
        let text = match clock {
            None => date,
            Some(clock) => {
                joined = format!("{date} {clock}");
                joined.as_str()
            }
        };
        let format = self.mapping.time.format.as_str();
        let wrong = || format!("{text:?} is no time like {format}");
        let micros = match format {
            UNIX | UNIX_MS => {
                let number: i64 = text.parse().map_err(|_| wrong())?;
                number.checked_mul(if format == UNIX { 1_000_000 } else { 1_000 }).ok_or_else(wrong)?
            }
            _ => {
                let parsed = strtime::parse(format, text).map_err(|_| wrong())?;
                self.micros(&parsed).ok_or_else(wrong)?
            }
        };
        if micros < 0 || TimestampUs::from_micros(micros).get() != micros {
            return Err(format!("{text:?} is not between 1970 and 9000"));
        }
        Ok(TimestampUs::from_micros(micros))
    }

    fn micros(&self, parsed: &BrokenDownTime) -> Option<i64> {
        let timestamp = match &self.zone {
            None => parsed.to_timestamp().ok()?,
            Some(zone) => parsed.to_datetime().ok()?.to_zoned(zone.clone()).ok()?.timestamp(),
        };
        Some(timestamp.as_microsecond())
    }
}

/// Puts figures in their places. How many no tank can have.
fn fill(reading: &mut Reading, figures: &[Option<i128>; 12]) -> u32 {
    let mut left_out = 0;
    macro_rules! take {
        ($quantity:ident, $whole:ty, $make:expr) => {
            figures[Quantity::$quantity as usize].and_then(|figure| {
                let made = <$whole>::try_from(figure).ok().and_then($make);
                left_out += u32::from(made.is_none());
                made
            })
        };
    }
    reading.volume_ml = take!(Volume, u64, |ml| Millilitres::new(ml).ok());
    reading.volume_15_ml = take!(Volume15, u64, |ml| Millilitres15::new(ml).ok());
    reading.ullage_ml = take!(Ullage, u64, |ml| Millilitres::new(ml).ok());
    reading.water_ml = take!(WaterVolume, u64, |ml| Millilitres::new(ml).ok());
    reading.capacity_ml = take!(Capacity, u64, |ml| Millilitres::new(ml).ok().filter(|ml| ml.get() > 0));
    reading.height_dmm = take!(Height, u32, |dmm| Some(DeciMillimetres(dmm)));
    reading.water_dmm = take!(Water, u32, |dmm| Some(DeciMillimetres(dmm)));
    reading.temperature_cc = take!(Temperature, i32, |cc| Some(CentiCelsius(cc)));
    reading.percent_e2 = take!(Percent, u32, |percent| Some(CentiPercent(percent)));
    reading.density_e1 = take!(Density, u32, |density| Some(Density(density)));
    reading.status = take!(Status, u8, Some).unwrap_or(0);
    reading.seq = take!(Seq, u64, Some);
    left_out
}

fn zone(mapping: &Mapping) -> Result<Option<TimeZone>, String> {
    let time = &mapping.time;
    let has_offset = ["%z", "%:z", "%Q", "%s"].iter().any(|part| time.format.contains(part));
    match &time.zone {
        _ if time.format == UNIX || time.format == UNIX_MS => Ok(None),
        None if has_offset => Ok(None),
        None => {
            Err(format!("time.zone is not in the mapping, and {:?} has no offset: which clock is it?", time.format))
        }
        Some(_) if has_offset => Err(format!("time.zone and the offset in {:?}: only one of them", time.format)),
        Some(name) => {
            TimeZone::get(name).map(Some).map_err(|_| format!("time.zone {name:?} in the mapping is not known"))
        }
    }
}

fn places(mapping: &Mapping, headers: &[String]) -> Result<Places, String> {
    let place = |name: &str| {
        let mut found = headers.iter().enumerate().filter(|(_, header)| *header == name);
        match (found.next(), found.next()) {
            (Some((place, _)), None) => Ok(place),
            (Some(_), Some(_)) => Err(format!("two columns {name:?}")),
            (None, _) => {
                let listed = headers.iter().take(LISTED_MAX).map(|header| format!("{header:?}")).collect::<Vec<_>>();
                let advice = match headers {
                    [one] => SEPARATORS.iter().max_by_key(|other| one.matches(**other).count()),
                    _ => None,
                };
                let advice = advice.filter(|other| headers[0].contains(**other));
                let advice = advice.map(|other| format!(": is {other:?} the separator?")).unwrap_or_default();
                Err(format!("no column {name:?}; there are {}{advice}", listed.join(", ")))
            }
        }
    };
    let text = |text: &Text| match text {
        Text::Constant(text) => Ok(Place::Constant(text.clone())),
        Text::Column(named) => place(&named.column).map(Place::Column),
    };
    let (site, tank) = (text(&mapping.site)?, text(&mapping.tank)?);
    let time = place(&mapping.time.column)?;
    let values = mapping
        .values
        .iter()
        .map(|(quantity, column)| Ok((*quantity, place(&column.column)?, conversion(*quantity, column.unit)?)));
    let mut values = values.collect::<Result<Vec<_>, String>>()?;
    // What is wrong in a line is told from left to right.
    values.sort_by_key(|(_, place, _)| *place);
    if !values.iter().any(|(quantity, ..)| {
        matches!(quantity, Quantity::Volume | Quantity::Volume15 | Quantity::Height | Quantity::Percent)
    }) {
        return Err("the mapping has no column for volume, volume15, height or percent".to_owned());
    }
    Ok(Places {
        site,
        tank,
        product: mapping.product.as_ref().map(text).transpose()?,
        owner: mapping.owner.as_ref().map(|named| place(&named.column)).transpose()?,
        time,
        clock: mapping.time.clock_column.as_ref().map(|name| place(name)).transpose()?,
        values,
    })
}

fn unreadable(error: &csv::Error) -> Problem {
    let line = error.position().map_or(0, csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    };
    Problem { line, column: None, what: format!("the file cannot be read: {what}") }
}
