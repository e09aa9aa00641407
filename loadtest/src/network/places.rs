//! Where the network stands: cities, stations and their tanks, drawn from the seed.
//!
//! In: the seed. Out: 40 stations with 3 to 6 tanks. The same seed gives the same stations.

use model::{Currency, Location, PriceE4, ProductCode, RegionId, SiteId, TankId, TerminalId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A city of the network.
pub(crate) struct City {
    code: &'static str,
    pub(crate) country: &'static str,
    pub(crate) zone: &'static str,
    pub(crate) currency: Currency,
    lat_e6: i32,
    lon_e6: i32,
    pub(crate) stations: u32,
}

const fn city(
    country: &'static str,
    code: &'static str,
    zone: &'static str,
    (lat_e6, lon_e6): (i32, i32),
    stations: u32,
) -> City {
    let currency = if matches!(country.as_bytes(), b"RU") { Currency::RUB } else { Currency::KZT };
    City { code, country, zone, currency, lat_e6, lon_e6, stations }
}

/// Forty stations in all.
pub(crate) const CITIES: [City; 13] = [
    city("KZ", "ALA", "Asia/Almaty", (43_238_000, 76_882_900), 10),
    city("KZ", "AST", "Asia/Almaty", (51_128_200, 71_430_700), 6),
    city("KZ", "SHY", "Asia/Almaty", (42_341_700, 69_590_100), 4),
    city("KZ", "KGF", "Asia/Almaty", (49_804_700, 73_109_400), 3),
    city("KZ", "AKX", "Asia/Aqtobe", (50_283_900, 57_167_000), 3),
    city("KZ", "GUW", "Asia/Atyrau", (47_094_500, 51_923_800), 2),
    city("KZ", "KST", "Asia/Qostanay", (53_214_400, 63_624_600), 2),
    city("KZ", "PWQ", "Asia/Almaty", (52_287_300, 76_967_400), 2),
    city("KZ", "UKK", "Asia/Almaty", (49_948_300, 82_627_500), 2),
    city("KZ", "DMB", "Asia/Almaty", (42_900_000, 71_366_700), 1),
    city("RU", "ASF", "Europe/Astrakhan", (46_349_700, 48_040_800), 2),
    city("RU", "VOG", "Europe/Volgograd", (48_708_000, 44_513_300), 2),
    city("RU", "REN", "Asia/Yekaterinburg", (51_768_200, 55_096_800), 1),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fuel {
    Ai92,
    Ai95,
    Ai98,
    Diesel,
    Lpg,
}

impl Fuel {
    fn code_text(self) -> &'static str {
        match self {
            Self::Ai92 => "AI-92",
            Self::Ai95 => "AI-95",
            Self::Ai98 => "AI-98",
            Self::Diesel => "053",
            Self::Lpg => "LPG",
        }
    }
    pub(crate) fn group_text(self) -> &'static str {
        match self {
            Self::Ai92 | Self::Ai95 | Self::Ai98 => "PETROL",
            Self::Diesel => "DIESEL",
            Self::Lpg => "LPG",
        }
    }
    /// Price of a litre before the station's own difference.
    fn price_e4(self, currency: Currency) -> u64 {
        let tenge = match self {
            Self::Ai92 => 2_040_000,
            Self::Ai95 => 2_430_000,
            Self::Ai98 => 2_990_000,
            Self::Diesel => 2_950_000,
            Self::Lpg => 950_000,
        };
        if currency == Currency::RUB { tenge * 24 / 100 } else { tenge }
    }
}

/// Codes as the wire wants them; made once, then shared.
pub(crate) struct Codes {
    codes: Vec<(Fuel, ProductCode, ProductCode)>,
}

impl Codes {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let codes = [Fuel::Ai92, Fuel::Ai95, Fuel::Ai98, Fuel::Diesel, Fuel::Lpg]
            .into_iter()
            .map(|fuel| Ok((fuel, ProductCode::new(fuel.code_text())?, ProductCode::new(fuel.group_text())?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { codes })
    }
    /// Code and group of a fuel.
    pub(crate) fn of(&self, fuel: Fuel) -> Option<(&ProductCode, &ProductCode)> {
        self.codes.iter().find(|(known, ..)| *known == fuel).map(|(_, code, group)| (code, group))
    }
}

pub(crate) struct Station {
    pub(crate) site: SiteId,
    pub(crate) city: usize,
    pub(crate) location: Location,
    pub(crate) terminals: Vec<TerminalId>,
    pub(crate) pumps: u16,
    pub(crate) tanks: Vec<TankPlan>,
    /// Per mille above or below the network's price.
    price_offset: i64,
}

pub(crate) struct TankPlan {
    pub(crate) id: TankId,
    pub(crate) fuel: Fuel,
    pub(crate) capacity_ml: i64,
    pub(crate) diameter_mm: u32,
    /// Those that draw from it where another tank has the same fuel; empty: all.
    pub(crate) pumps: Vec<u16>,
}

impl TankPlan {
    /// How long a lying cylinder of this diameter is.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "some metres"
    )]
    pub(crate) fn length_dmm(&self) -> u32 {
        let radius_m = f64::from(self.diameter_mm) / 2_000.0;
        (self.capacity_ml as f64 / 1e6 / (std::f64::consts::PI * radius_m * radius_m) * 10_000.0).round() as u32
    }

    /// Trucks never fill above this share; gas needs room to grow warm.
    pub(crate) fn full_per_cent(&self) -> i64 {
        if self.fuel == Fuel::Lpg { 80 } else { 92 }
    }
}

impl Station {
    /// As restrictions name it.
    pub(crate) fn region(&self) -> anyhow::Result<RegionId> {
        let city = self.city();
        Ok(RegionId::new(&format!("{}-{}", city.country, city.code))?)
    }
    pub(crate) fn city(&self) -> &'static City {
        &CITIES[self.city]
    }
    pub(crate) fn price(&self, fuel: Fuel) -> PriceE4 {
        let list = i64::try_from(fuel.price_e4(self.city().currency)).unwrap_or(0);
        // Whole tenths of the main unit, as on a price board.
        let board = list * (1000 + self.price_offset) / 1_000_000 * 1000;
        u64::try_from(board).ok().and_then(|e4| PriceE4::new(e4).ok()).unwrap_or_default()
    }
    /// Minutes east of UTC at a moment.
    pub(crate) fn utc_offset_min(&self, at_us: i64) -> i16 {
        utc_offset_min(self.city().zone, at_us)
    }
}

pub(crate) fn utc_offset_min(zone: &str, at_us: i64) -> i16 {
    let Ok(zone) = jiff::tz::TimeZone::get(zone) else { return 0 };
    let Ok(at) = jiff::Timestamp::from_microsecond(at_us) else { return 0 };
    i16::try_from(zone.to_offset(at).seconds() / 60).unwrap_or(0)
}

/// Great-circle distance, rounded down to kilometres.
pub(crate) fn distance_km(a: Location, b: Location) -> i64 {
    let radians = |e6: i32| (f64::from(e6) / 1e6).to_radians();
    let (lat_a, lat_b) = (radians(a.lat_e6), radians(b.lat_e6));
    let (d_lat, d_lon) = (lat_b - lat_a, radians(b.lon_e6) - radians(a.lon_e6));
    let h = (d_lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (d_lon / 2.0).sin().powi(2);
    let km = 2.0 * 6371.0 * h.sqrt().min(1.0).asin();
    #[expect(clippy::cast_possible_truncation, reason = "at most half the globe")]
    let km = km as i64;
    km
}

/// The stations of a seed.
pub(crate) fn stations(seed: u64) -> anyhow::Result<Vec<Station>> {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0x57A7_1045);
    let mut stations = Vec::new();
    for (index, city) in CITIES.iter().enumerate() {
        for number in 1..=city.stations {
            stations.push(station(&mut rng, index, city, number)?);
        }
    }
    Ok(stations)
}

fn station(rng: &mut SmallRng, index: usize, city: &City, number: u32) -> anyhow::Result<Station> {
    let site = format!("{}-{}-{number:02}", city.country, city.code);
    let terminals = (1..=rng.random_range(2..=4))
        .map(|terminal: u32| Ok(TerminalId::new(&format!("{site}-T{terminal}"))?))
        .collect::<anyhow::Result<_>>()?;
    let mut fuels = vec![Fuel::Ai92, Fuel::Ai95, Fuel::Diesel];
    for (fuel, per_cent) in [(Fuel::Lpg, 55), (Fuel::Diesel, 45), (Fuel::Ai98, 40)] {
        if rng.random_ratio(per_cent, 100) {
            fuels.push(fuel);
        }
    }
    let tanks: Vec<TankPlan> = (1_u32..)
        .zip(fuels)
        .map(|(tank, fuel)| {
            let cubic_metres = match fuel {
                Fuel::Ai92 | Fuel::Ai95 => [25, 30, 40, 50][rng.random_range(0..4)],
                Fuel::Diesel => [30, 40, 50, 60][rng.random_range(0..4)],
                Fuel::Ai98 | Fuel::Lpg => [10, 15, 20][rng.random_range(0..3)],
            };
            let diameter_mm = if cubic_metres >= 40 { 2_900 } else { 2_500 };
            Ok(TankPlan {
                id: TankId::new(&tank.to_string())?,
                fuel,
                capacity_ml: cubic_metres * 1_000_000,
                diameter_mm,
                pumps: Vec::new(),
            })
        })
        .collect::<anyhow::Result<_>>()?;
    let location = Location {
        lat_e6: city.lat_e6 + rng.random_range(-60_000..60_000),
        lon_e6: city.lon_e6 + rng.random_range(-80_000..80_000),
    };
    let pumps = rng.random_range(4..=12);
    Ok(Station {
        site: SiteId::new(&site)?,
        city: index,
        location,
        terminals,
        pumps,
        tanks: with_pumps(tanks, pumps),
        price_offset: rng.random_range(-20..=20),
    })
}

/// Tanks with the same fuel share the station's pumps between them.
fn with_pumps(mut tanks: Vec<TankPlan>, pumps: u16) -> Vec<TankPlan> {
    let fuels: Vec<Fuel> = tanks.iter().map(|tank| tank.fuel).collect();
    for (place, tank) in tanks.iter_mut().enumerate() {
        let all = fuels.iter().filter(|fuel| **fuel == tank.fuel).count();
        let before = fuels[..place].iter().filter(|fuel| **fuel == tank.fuel).count();
        if all > 1 {
            tank.pumps = (1..=pumps).skip(before).step_by(all).collect();
        }
    }
    tanks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_has_forty_stations_with_three_to_six_tanks() {
        let network = stations(7).expect("a network");
        assert_eq!(network.len(), 40);
        assert!(network.iter().all(|station| (3..=6).contains(&station.tanks.len())));
        assert!(network.iter().any(|station| station.site.as_str() == "KZ-ALA-07"));
        let capacities = network.iter().flat_map(|station| &station.tanks).map(|tank| tank.capacity_ml);
        assert!(capacities.into_iter().all(|ml| (10_000_000..=60_000_000).contains(&ml)));
    }

    #[test]
    fn the_same_seed_makes_the_same_stations() {
        let sketch = |seed| {
            let network = stations(seed).expect("a network");
            network
                .iter()
                .map(|s| (s.site.clone(), s.location, s.tanks.len(), s.price(Fuel::Diesel)))
                .collect::<Vec<_>>()
        };
        assert_eq!(sketch(3), sketch(3));
        assert_ne!(sketch(3), sketch(4));
    }

    #[test]
    fn a_pump_tells_which_of_two_tanks_it_draws_from() {
        let network = stations(7).expect("a network");
        let mut shared = 0;
        for station in &network {
            for (place, tank) in station.tanks.iter().enumerate() {
                let twins =
                    station.tanks.iter().enumerate().filter(|(other, plan)| *other != place && plan.fuel == tank.fuel);
                let twins: Vec<u16> = twins.flat_map(|(_, plan)| plan.pumps.clone()).collect();
                assert_eq!(tank.pumps.is_empty(), twins.is_empty());
                assert!(tank.pumps.iter().all(|pump| !twins.contains(pump) && *pump <= station.pumps));
                shared += usize::from(!twins.is_empty());
            }
        }
        assert!(shared > 10, "{shared}");
    }

    #[test]
    fn almaty_and_astana_are_a_day_apart_by_road() {
        let at = |code| {
            CITIES.iter().find(|city| city.code == code).map(|c| Location { lat_e6: c.lat_e6, lon_e6: c.lon_e6 })
        };
        let km = distance_km(at("ALA").expect("Almaty"), at("AST").expect("Astana"));
        assert!((960..990).contains(&km), "{km} km");
    }

    #[test]
    fn kazakhstan_lives_by_one_clock_and_astrakhan_by_another() {
        let winter = 1_768_000_000_000_000;
        assert_eq!(utc_offset_min("Asia/Almaty", winter), 300);
        assert_eq!(utc_offset_min("Europe/Astrakhan", winter), 240);
    }
}
