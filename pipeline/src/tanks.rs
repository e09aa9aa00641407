//! What gauges say about tanks, made into what an operator can rely on.
//!
//! In: a tank's registration, its readings, its sales and the time, all as data. Out: cleaned readings, events with their
//! corrections, consumption, forecast, wet stock. Guarantees: the same input gives the same output; memory per tank is
//! bounded; late data corrects what was said. Does not: read a clock, know partitions or topics; volumes at 15 °C serve
//! operation and are **not for custody transfer**.

pub mod chart;
pub mod cleaning;
pub mod consumption;
pub mod correction;
mod detector;
pub mod followed;
pub mod forecast;
mod leak;
pub mod per_sale;
mod profile;
pub mod quality;
pub mod tank;
pub mod wet_stock;
mod window;
