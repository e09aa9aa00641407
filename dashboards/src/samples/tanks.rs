//! Tanks' registrations, events and days for tests.

use model::{
    DayQuality, DayStock, DayStock15, Millilitres, Millilitres15, Origin, OriginTopic, PartitionId, Reading,
    ReadingRefused, SiteId, StationEvent, TankDay, TankEvent, TankEventKind, TankId, TankSetup, TimestampUs,
};

use super::{World, product};
use crate::Feed;

const DAY_US: i64 = 24 * 60 * model::MICROS_PER_MINUTE;

fn ids(site: &str, tank: &str) -> (SiteId, TankId) {
    (SiteId::new(site).expect("a site"), TankId::new(tank).expect("a tank"))
}

impl World {
    fn origin(&self) -> Origin {
        Origin { topic: OriginTopic::Readings, partition: PartitionId(0), offset: self.station_end }
    }

    /// 30,000 L of diesel, of which all sales are known; low at 6,000 L, trucks bring 24,000 L.
    pub(crate) fn register(&mut self, site: &str, tank: &str) -> Feed {
        let (site, tank) = ids(site, tank);
        let mut setup = TankSetup::new(site, tank, product(), Millilitres::from_litres(30_000));
        setup.at_us = self.at;
        setup.sales_are_known = true;
        setup.thresholds.low_ml = Some(Millilitres::from_litres(6_000));
        setup.truck_ml = Some(Millilitres::from_litres(24_000));
        let origin = self.origin();
        self.station(self.station_epoch, StationEvent::Registered { origin, setup: Box::new(setup) })
    }

    /// An event that began now, and ended now unless it `lasts`; `kind` is JSON.
    pub(crate) fn tank_event(&mut self, tank: &str, number_and_version: (u32, u32), lasts: bool, kind: &str) -> Feed {
        self.versioned(tank, number_and_version, false, lasts, kind)
    }

    pub(crate) fn withdrawn(&mut self, tank: &str, number_and_version: (u32, u32), kind: &str) -> Feed {
        self.versioned(tank, number_and_version, true, false, kind)
    }

    fn versioned(
        &mut self,
        tank: &str,
        (number, version): (u32, u32),
        withdrawn: bool,
        lasts: bool,
        kind: &str,
    ) -> Feed {
        let (site, tank) = ids("S-1", tank);
        let kind: TankEventKind = serde_json::from_str(kind).expect("a kind of event");
        let event = TankEvent {
            site,
            tank,
            product: product(),
            number,
            version,
            withdrawn,
            began_at_us: self.at,
            ended_at_us: (!lasts).then_some(self.at),
            kind,
        };
        self.station(self.station_epoch, StationEvent::Tank(Box::new(event)))
    }

    /// A day, so many before today, that sold and consumed so many litres; by the gauge `missing` more are gone.
    pub(crate) fn tank_day(&mut self, tank: &str, ago: i64, version: u32, litres: u32, missing: u32) -> Feed {
        let (site, tank) = ids("S-1", tank);
        let volume = Millilitres::from_litres;
        let at_15 = |litres: u32| Millilitres15::new(volume(litres).get()).expect("in range");
        let (opening, closing) = (20_000, 20_000 - litres - missing);
        let stock = DayStock {
            opening_ml: volume(opening),
            closing_ml: volume(closing),
            consumed_ml: volume(litres + missing),
            sold_ml: volume(litres),
            measured: true,
            at_15: Some(DayStock15 {
                opening_ml: at_15(opening),
                closing_ml: at_15(closing),
                delivered_ml: Millilitres15::ZERO,
                sold_ml: at_15(litres),
            }),
            ..DayStock::default()
        };
        let day = TankDay {
            site,
            tank,
            product: product(),
            day: self.at.get().div_euclid(DAY_US) - ago,
            version,
            stock: Some(stock),
            quality: DayQuality { expected: 1_440, used: 1_440, ..DayQuality::default() },
        };
        self.station(self.station_epoch, StationEvent::Day(Box::new(day)))
    }

    /// A reading that gives no level.
    pub(crate) fn aside(&mut self, site: &str, tank: &str, because: ReadingRefused) -> Feed {
        let ((site, tank), origin, at) = (ids(site, tank), self.origin(), self.at);
        let sent = Reading { height_mm: Some(model::Millimetres(1_520)), ..Reading::new(site, tank, product(), at) };
        let received_at_us: TimestampUs = self.at;
        let event = StationEvent::Aside { origin, received_at_us, because, import: None, reading: Box::new(sent) };
        self.station(self.station_epoch, event)
    }
}
