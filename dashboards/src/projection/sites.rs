//! All sites: their tanks, whether their controller is connected, and what the last hour sold.
//!
//! In: station events. Out: a site by its name. Keeps 60 minutes per product; a higher version of a minute replaces it.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use model::{DeviceStatus, Minute, PartitionId, ProductCode, SiteId, TankId, TimestampUs};
use serde::{Deserialize, Serialize};

use super::tanks::Tanks;

/// Closed minutes kept per site and product.
const MINUTES_MAX: usize = 60;

/// One closed minute of one product.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct ClosedMinute {
    version: u32,
    pub(crate) sales: u32,
    pub(crate) declines: u32,
    pub(crate) sold_ml: u64,
    pub(crate) consumed_ml: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Site {
    /// Of `fuel.station-events`, where all of a site is told.
    #[serde(skip)]
    pub(super) partition: PartitionId,
    /// Places in [`Tanks`].
    #[serde(skip)]
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

    pub(crate) fn add_tank(&mut self, partition: PartitionId, id: &SiteId, place: u32) {
        self.entry(partition, id).tanks.push(place);
    }

    pub(crate) fn apply_status(&mut self, partition: PartitionId, status: &DeviceStatus) {
        let known = &mut self.entry(partition, &status.site).status;
        if known.is_none_or(|(_, at)| status.at_us >= at) {
            *known = Some((status.online, status.at_us));
        }
    }

    pub(crate) fn apply_minute(&mut self, partition: PartitionId, minute: Minute) {
        let minutes = self.entry(partition, &minute.site).minutes.entry(minute.product).or_default();
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

    fn entry(&mut self, partition: PartitionId, id: &SiteId) -> &mut Site {
        self.0.entry(id.clone()).or_insert_with(|| Site { partition, ..Site::default() })
    }

    /// The sites that are told in this partition.
    pub(super) fn of(&self, partition: PartitionId) -> impl Iterator<Item = (&SiteId, &Site)> {
        self.0.iter().filter(move |(_, site)| site.partition == partition)
    }

    /// A site as it was saved, and its tanks.
    pub(super) fn restore(&mut self, id: SiteId, site: Site) {
        self.0.insert(id, site);
    }
}
