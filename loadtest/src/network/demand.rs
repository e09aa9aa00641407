//! When people buy fuel: the shape of days and weeks, by local time.

use std::ops::RangeInclusive;

use super::places::Fuel;

/// What a contract's vehicles do all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trade {
    Bakery,
    Construction,
    Courier,
    Farming,
    Haulage,
    Municipal,
    Office,
    Taxi,
}

impl Trade {
    pub(crate) const ALL: [Self; 8] = [
        Self::Bakery,
        Self::Construction,
        Self::Courier,
        Self::Farming,
        Self::Haulage,
        Self::Municipal,
        Self::Office,
        Self::Taxi,
    ];

    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Bakery => "Bakery",
            Self::Construction => "Construction",
            Self::Courier => "Express",
            Self::Farming => "Agro",
            Self::Haulage => "Haulage",
            Self::Municipal => "City Services",
            Self::Office => "Trading",
            Self::Taxi => "Taxi",
        }
    }

    pub(crate) fn tank_litres(self) -> RangeInclusive<i64> {
        match self {
            Self::Haulage => 300..=600,
            Self::Construction | Self::Farming => 90..=240,
            Self::Municipal => 60..=150,
            Self::Bakery | Self::Courier => 50..=80,
            Self::Office | Self::Taxi => 40..=65,
        }
    }

    /// The fuel of a vehicle, `draw` from 0 to 99.
    pub(crate) fn fuel(self, draw: u32) -> Fuel {
        match self {
            Self::Haulage | Self::Construction | Self::Farming => Fuel::Diesel,
            Self::Municipal if draw < 60 => Fuel::Diesel,
            Self::Taxi if draw < 40 => Fuel::Lpg,
            Self::Courier if draw < 15 => Fuel::Lpg,
            Self::Office if draw >= 92 => Fuel::Ai98,
            Self::Bakery if draw < 30 => Fuel::Diesel,
            _ if draw.is_multiple_of(3) => Fuel::Ai95,
            _ => Fuel::Ai92,
        }
    }

    /// How likely a vehicle of this trade is at a pump in this hour, per mille of its busiest.
    pub(crate) fn activity(self, hour: LocalHour) -> u32 {
        let LocalHour { hour, weekday, .. } = hour;
        let working_day = weekday < 5;
        match self {
            Self::Bakery if (3..=4).contains(&hour) => 1000,
            Self::Bakery => 60,
            Self::Haulage => [250, 500, 700][usize::from(hour / 5).min(2)],
            Self::Taxi => 500,
            Self::Farming if (5..=9).contains(&hour) => 700,
            Self::Construction | Self::Municipal | Self::Farming if working_day && (6..=19).contains(&hour) => 500,
            Self::Courier if (7..=21).contains(&hour) => 600,
            Self::Office if working_day && (7..=20).contains(&hour) => 700,
            Self::Office | Self::Courier => 150,
            _ => 80,
        }
    }
}

/// An hour at a station: 0 to 23, Monday is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalHour {
    pub(crate) hour: u8,
    pub(crate) weekday: u8,
}

impl LocalHour {
    pub(crate) fn at(utc_us: i64, utc_offset_min: i16) -> Self {
        let minutes = utc_us.div_euclid(60_000_000) + i64::from(utc_offset_min);
        let hour = u8::try_from(minutes.div_euclid(60).rem_euclid(24)).unwrap_or(0);
        // 1 January 1970 was a Thursday.
        let weekday = u8::try_from((minutes.div_euclid(1440) + 3).rem_euclid(7)).unwrap_or(0);
        Self { hour, weekday }
    }

    /// How busy stations are in this hour, per mille of an average one.
    pub(crate) fn rush(self) -> i64 {
        const DAY: [i64; 24] = [
            560, 520, 500, 700, 720, 640, 850, 1150, 1300, 1200, 1100, 1100, 1200, 1150, 1100, 1150, 1300, 1500, 1450,
            1250, 1050, 900, 760, 640,
        ];
        let day = DAY[usize::from(self.hour)];
        match self.weekday {
            4 if (16..21).contains(&self.hour) => day * 15 / 10,
            5 | 6 => day * 8 / 10,
            _ => day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(weekday: u8, hour: u8) -> LocalHour {
        LocalHour { hour, weekday }
    }

    #[test]
    fn friday_after_four_is_the_peak_of_the_week() {
        let all = (0..7).flat_map(|weekday| (0..24).map(move |h| hour(weekday, h)));
        let peak = all.max_by_key(|hour| hour.rush()).expect("hours");
        assert_eq!((peak.weekday, peak.hour), (4, 17));
    }

    #[test]
    fn bakeries_fill_up_before_dawn() {
        let busiest = (0..24).max_by_key(|h| (Trade::Bakery.activity(hour(2, *h)), 24 - h)).expect("hours");
        assert_eq!(busiest, 3);
    }

    #[test]
    fn local_hours_follow_the_zone() {
        // 2026-01-14T22:31:07Z, a Wednesday; five hours east it is Thursday.
        let at = 1_768_429_867_000_000;
        assert_eq!(LocalHour::at(at, 0), hour(2, 22));
        assert_eq!(LocalHour::at(at, 300), hour(3, 3));
    }
}
