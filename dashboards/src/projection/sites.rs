//! All sites: their tanks, whether their controller is connected, and what the last hour sold.
//!
//! In: station events. Out: a site by its name. Keeps 60 minutes per product; a higher version of a minute replaces it.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use model::{DeviceStatus, Minute, ProductCode, SiteId, TankId, TimestampUs};

use super::tanks::Tanks;

/// Closed minutes kept per site and product.
const MINUTES_MAX: usize = 60;

/// One closed minute of one product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedMinute {
    version: u32,
    pub(crate) sales: u32,
    pub(crate) declines: u32,
    pub(crate) sold_ml: u64,
    pub(crate) consumed_ml: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Site {
    /// Places in [`Tanks`].
    pub(crate) tanks: Vec<u32>,
    /// Connected or not, and since when.
    pub(crate) status: Option<(bool, TimestampUs)>,
    pub(crate) minutes: BTreeMap<ProductCode, BTreeMap<TimestampUs, ClosedMinute>>,
}

#[derive(Debug, Default)]
pub(crate) struct Sites(HashMap<SiteId, Site>);

impl Sites {
    pub(crate) fn get(&self, id: &SiteId) -> Option<&Site> {
        self.0.get(id)
    }

    /// The place of a tank, if it is known.
    pub(crate) fn tank(&self, id: &SiteId, tank: &TankId, tanks: &Tanks) -> Option<u32> {
        self.get(id)?.tanks.iter().copied().find(|&place| tanks.at(place).id == *tank)
    }

    pub(crate) fn add_tank(&mut self, id: &SiteId, place: u32) {
        self.entry(id).tanks.push(place);
    }

    pub(crate) fn apply_status(&mut self, status: &DeviceStatus) {
        let known = &mut self.entry(&status.site).status;
        if known.is_none_or(|(_, at)| status.at_us >= at) {
            *known = Some((status.online, status.at_us));
        }
    }

    pub(crate) fn apply_minute(&mut self, minute: Minute) {
        let minutes = self.entry(&minute.site).minutes.entry(minute.product).or_default();
        let closed = ClosedMinute {
            version: minute.version,
            sales: minute.sales,
            declines: minute.declines,
            sold_ml: minute.sold_ml.get(),
            consumed_ml: minute.consumed_ml.get(),
        };
        let known = minutes.entry(minute.minute_us).or_insert(closed);
        if closed.version > known.version {
            *known = closed;
        }
        while minutes.len() > MINUTES_MAX {
            minutes.pop_first();
        }
    }

    fn entry(&mut self, id: &SiteId) -> &mut Site {
        self.0.entry(id.clone()).or_default()
    }
}
