//! What the columns of a file are.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A figure that a column may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    Volume,
    Volume15,
    Ullage,
    WaterVolume,
    Capacity,
    Height,
    Water,
    Temperature,
    Percent,
    Density,
    /// Veeder-Root status bits.
    Status,
    /// The device's own number of the sample.
    Seq,
}

/// A column by its header, and the unit of its figures.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub column: String,
    /// `l`, `m3`, `gal_us`, `gal_uk`; `mm`, `cm`, `m`, `in`; `c`, `f`; `kg_m3`, `g_cm3`. Absent: l, mm, c, kg_m3.
    #[serde(default)]
    pub unit: Option<Unit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Unit {
    #[serde(rename = "l")]
    Litre,
    #[serde(rename = "m3")]
    CubicMetre,
    #[serde(rename = "gal_us")]
    UsGallon,
    #[serde(rename = "gal_uk")]
    ImperialGallon,
    #[serde(rename = "mm")]
    Millimetre,
    #[serde(rename = "cm")]
    Centimetre,
    #[serde(rename = "m")]
    Metre,
    #[serde(rename = "in")]
    Inch,
    #[serde(rename = "c")]
    Celsius,
    #[serde(rename = "f")]
    Fahrenheit,
    #[serde(rename = "kg_m3")]
    KilogramPerCubicMetre,
    #[serde(rename = "g_cm3")]
    GramPerCubicCentimetre,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalMark {
    #[default]
    Point,
    Comma,
}

/// A text that all rows have, or the column that has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Text {
    Constant(String),
    Column(ColumnName),
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnName {
    pub column: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    pub column: String,
    /// A second column with the time of day, where they are apart; the format is of both with a space between.
    #[serde(default)]
    pub clock_column: Option<String>,
    /// As strptime has it: `%d.%m.%Y %H:%M:%S`; `unix` and `unix_ms` are seconds and milliseconds since 1970.
    pub format: String,
    /// `Asia/Almaty`, `UTC`; needed unless the format has an offset or is `unix`.
    #[serde(default)]
    pub zone: Option<String>,
}

/// What a file looks like. Written by people, in TOML.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// `;`, `,`, `|` or a tab.
    #[serde(default = "comma")]
    pub separator: char,
    #[serde(default)]
    pub decimal: DecimalMark,
    /// As the web names them: `utf-8`, `windows-1251`.
    #[serde(default = "utf_8")]
    pub encoding: String,
    /// Lines above the header.
    #[serde(default)]
    pub skip_lines: usize,
    pub site: Text,
    pub tank: Text,
    #[serde(default)]
    pub product: Option<Text>,
    /// Whose tank it is, where a file has the tanks of many; guarded by `tanks_max`. Absent: the site.
    #[serde(default)]
    pub owner: Option<ColumnName>,
    pub time: Time,
    pub values: BTreeMap<Quantity, Column>,
    /// What stands where nothing is known, as it is written in the file.
    #[serde(default)]
    pub unknown: Vec<String>,
    /// Tanks of one owner, at most.
    #[serde(default = "tanks_max")]
    pub tanks_max: usize,
    /// Whether the file tells of the past, and not of the present level.
    #[serde(default = "yes")]
    pub historical: bool,
}

fn comma() -> char {
    ','
}
fn utf_8() -> String {
    "utf-8".to_owned()
}
fn tanks_max() -> usize {
    64
}
fn yes() -> bool {
    true
}
