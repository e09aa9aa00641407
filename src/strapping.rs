//! `forecourt strapping FILE`: a strapping table as the registration of a tank wants it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use ingest::decode;
use ingest::decode::units::Units;
use ingest::import::strapping::strapping;
use model::{Chart, ChartPoint, DatedChart, SetupMessage, TimestampUs};

/// What a reply of a console begins with.
const SOH: u8 = 1;

#[derive(Args)]
pub(crate) struct Options {
    /// Heights and volumes as CSV, or a Veeder-Root console's reply to i216
    file: PathBuf,
    /// What the figures are in: metric (mm, litres), us or imperial (inches, gallons)
    #[arg(long, default_value = "metric", value_parser = units)]
    units: Units,
    /// The tank's number in a console's reply
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    tank: u8,
    /// From when the table holds, for example 2026-05-01T00:00:00Z; always, when absent
    #[arg(long, value_name = "TIME")]
    from: Option<jiff::Timestamp>,
    /// A registration as JSON: the table is added to it and all of it printed, ready for fuel/v1/{site}/{tank}/setup
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

fn units(name: &str) -> Result<Units, String> {
    Units::named(name).ok_or_else(|| format!("{name} is none of metric, us and imperial"))
}

/// Prints the table; false when the file has something wrong.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let text = registration(options)?;
    text.iter().for_each(|text| println!("{text}"));
    Ok(text.is_some())
}

/// `None` when the file's problems were told.
fn registration(options: &Options) -> anyhow::Result<Option<String>> {
    let name = options.file.display();
    let bytes = read(&options.file)?;
    let points = if bytes.first() == Some(&SOH) {
        of_console(&bytes, options).with_context(|| format!("{name}"))?
    } else {
        match strapping(&bytes, options.units) {
            Ok(points) => points,
            Err(problems) => {
                problems.iter().for_each(|problem| eprintln!("{problem}"));
                eprintln!("{name}: no strapping table");
                return Ok(None);
            }
        }
    };
    let from_us =
        options.from.map_or_else(TimestampUs::default, |from| TimestampUs::from_micros(from.as_microsecond()));
    let chart = DatedChart { from_us, chart: Chart::Points(points), offset_dmm: 0 };
    let Some(file) = &options.into else {
        return Ok(Some(serde_json::to_string(&chart)?));
    };
    let mut setup: SetupMessage =
        serde_json::from_slice(&read(file)?).with_context(|| format!("the registration {}", file.display()))?;
    setup.charts.retain(|known| known.from_us != from_us);
    setup.charts.push(chart);
    setup.charts.sort_by_key(|known| known.from_us);
    Ok(Some(serde_json::to_string(&setup)?))
}

fn of_console(bytes: &[u8], options: &Options) -> anyhow::Result<Vec<ChartPoint>> {
    let charts = decode::console_charts(bytes, options.units).map_err(|(_, detail)| anyhow::anyhow!(detail))?;
    let known: Vec<String> = charts.iter().map(|(tank, _)| tank.to_string()).collect();
    match charts.into_iter().find(|(tank, _)| *tank == options.tank) {
        Some((_, points)) => Ok(points),
        None => {
            bail!("the reply is about tanks {}, not about {}: name one with --tank", known.join(", "), options.tank)
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(table: &[u8], into: Option<&str>) -> anyhow::Result<Option<String>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("table");
        std::fs::write(&file, table)?;
        let setup = folder.path().join("setup.json");
        std::fs::write(&setup, into.unwrap_or_default())?;
        let into = into.map(|_| setup);
        registration(&Options {
            file,
            units: Units::Metric,
            tank: 2,
            from: Some("2026-05-01T00:00:00Z".parse()?),
            into,
        })
    }

    #[test]
    fn a_table_becomes_part_of_a_registration_that_the_topic_takes() {
        let setup = r#"{"v":1,"product":"DIESEL","capacity_ml":20000000}"#;
        let text = printed(b"mm;l\n0;0\n1000;9500,5\n", Some(setup)).expect("JSON").expect("a table");
        let message = decode::reading("fuel/v1/S-1/2/setup", text.as_bytes(), TimestampUs::default());
        let Ok(model::DeviceMessage::Setup(setup)) = message else { panic!("{message:?}") };
        assert_eq!(setup.charts[0].from_us.to_string(), "2026-05-01T00:00:00Z");
        let Chart::Points(points) = &setup.charts[0].chart else { panic!("{setup:?}") };
        assert_eq!((points[1].height_dmm.0, points[1].volume_ml.get()), (10_000, 9_500_500));
    }

    #[test]
    fn what_is_no_table_is_told_and_nothing_printed() {
        assert_eq!(printed(b"1;2\n1;2\n", None).expect("a file"), None);
        let error = printed(b"\x01i99900", None).expect_err("no reply to i216").to_string();
        assert!(error.ends_with("table"), "{error}");
    }
}
