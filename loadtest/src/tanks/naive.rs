//! The engine that everybody writes first: a rise is a delivery, a fast drop without a sale is a theft. It believes
//! every reading. Scored beside a real engine, it shows that the scorecard tells good from bad.

use model::{
    Delivery, Millilitres, ProductCode, SilenceCause, SiteId, TankEvent, TankEventKind, TankId, TankSetup, TimestampUs,
};

use super::truth::{Arrival, Arrived};
use super::watch::{Engine, Taken};

const RISE_ML: u64 = 400_000;
const DROP_ML_PER_MINUTE: u64 = 45_000;
const QUIET_US: i64 = 15 * 60_000_000;

pub struct Naive {
    site: SiteId,
    tank: TankId,
    product: ProductCode,
    sales_are_known: bool,
    grace_us: i64,
    last: Option<(TimestampUs, u64)>,
    /// Where the level stood before it rose, and when it rose last.
    rise: Option<(TimestampUs, u64, TimestampUs, u64)>,
    sold_since_last_ml: u64,
    silent_since: Option<TimestampUs>,
    number: u32,
}

impl Naive {
    #[must_use]
    pub fn new(setup: &TankSetup) -> Self {
        let interval_us = i64::from(setup.expected_interval_s) * 1_000_000;
        Self {
            site: setup.site.clone(),
            tank: setup.tank.clone(),
            product: setup.product.clone(),
            sales_are_known: setup.sales_are_known,
            grace_us: setup.grace_s.map_or(3 * interval_us, |grace_s| i64::from(grace_s) * 1_000_000),
            last: None,
            rise: None,
            sold_since_last_ml: 0,
            silent_since: None,
            number: 0,
        }
    }

    fn event(&mut self, began_at_us: TimestampUs, ended_at_us: TimestampUs, kind: TankEventKind) -> TankEvent {
        self.number += 1;
        TankEvent {
            site: self.site.clone(),
            tank: self.tank.clone(),
            product: self.product.clone(),
            number: self.number,
            version: 1,
            withdrawn: false,
            began_at_us,
            ended_at_us: Some(ended_at_us),
            kind,
        }
    }

    fn level(&mut self, at: TimestampUs, volume_ml: u64, events: &mut Vec<TankEvent>) {
        let sold_ml = std::mem::take(&mut self.sold_since_last_ml);
        let Some((last_at, last_ml)) = self.last.replace((at, volume_ml)) else { return };
        if let Some(since) = self.silent_since.take() {
            events.push(self.event(since, at, TankEventKind::Silence { cause: SilenceCause::Unknown }));
        }
        let minutes = u64::try_from((at.get() - last_at.get()) / 60_000_000).unwrap_or(0).max(1);
        if volume_ml > last_ml + RISE_ML / 4 {
            let (from, from_ml) = self.rise.map_or((last_at, last_ml), |rise| (rise.0, rise.1));
            self.rise = Some((from, from_ml, at, volume_ml));
        } else if last_ml > volume_ml + sold_ml + DROP_ML_PER_MINUTE * minutes {
            let lost_ml = Millilitres::new(last_ml - volume_ml - sold_ml).unwrap_or_default();
            if self.sales_are_known {
                let kind = TankEventKind::UnexplainedLoss { lost_ml, error_ml: Millilitres::from_litres(20) };
                events.push(self.event(last_at, at, kind));
            }
        }
        if let Some((from, from_ml, to, to_ml)) = self.rise
            && at.get() - to.get() >= QUIET_US
        {
            self.rise = None;
            let gross_ml = Millilitres::new(to_ml.saturating_sub(from_ml)).unwrap_or_default();
            if gross_ml.get() >= RISE_ML {
                let delivery = Delivery {
                    gross_ml,
                    error_ml: Millilitres::from_litres(50),
                    net_15_ml: None,
                    sold_ml: Millilitres::ZERO,
                    water_before_dmm: None,
                    water_after_dmm: None,
                    ticket_ml: None,
                    ticket_difference_ml: None,
                };
                events.push(self.event(from, to, TankEventKind::Delivery(delivery)));
            }
        }
    }
}

impl Engine for Naive {
    fn arrived(&mut self, arrival: &Arrival, events: &mut Vec<TankEvent>) -> Option<Taken> {
        match &arrival.what {
            Arrived::Reading(sample) => {
                let volume_ml = sample.reading.volume_ml.map_or(0, Millilitres::get);
                self.level(sample.reading.measured_at_us, volume_ml, events);
                Some(Taken::Used(Box::new(sample.reading.clone())))
            }
            Arrived::Sale(sale) => {
                self.sold_since_last_ml += sale.volume_ml.get();
                None
            }
            Arrived::Status(_) | Arrived::Ticket(_) => None,
        }
    }

    fn passed(&mut self, now: TimestampUs, _: &mut Vec<TankEvent>) {
        if let Some((at, _)) = self.last
            && now.get() - at.get() > self.grace_us
        {
            self.silent_since = Some(at);
        }
    }
}
