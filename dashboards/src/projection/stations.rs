//! How the records of `fuel.station-events` are folded.

use model::{PartitionId, StationEvent, StationRecord};

use super::Projection;

impl Projection {
    pub(super) fn apply_station(&mut self, partition: PartitionId, offset: i64, record: StationRecord) {
        let cursor = self.station_events.entry(partition).or_default();
        if !cursor.advance(offset) {
            return;
        }
        if matches!(record.event, StationEvent::Takeover { .. }) {
            cursor.fence.takeover(offset);
        } else if cursor.fence.admits(record.epoch) {
            cursor.totals.readings += u64::from(matches!(record.event, StationEvent::Level(_)));
            self.apply_event(partition, record.event);
        }
    }

    fn apply_event(&mut self, partition: PartitionId, event: StationEvent) {
        match event {
            // A sale and a ticket show in the events and days that are made of them.
            StationEvent::Takeover { .. } | StationEvent::Drawn(_) | StationEvent::Ticket { .. } => return,
            StationEvent::Status { status, .. } => self.sites.apply_status(partition, &status),
            StationEvent::Minute(minute) => return self.sites.apply_minute(partition, minute),
            StationEvent::Level(level) => {
                self.figures.live.readings += u64::from(self.caught_up);
                let place = self.tank(partition, &level.site, &level.tank);
                self.tanks.apply(place, level, self.version);
            }
            StationEvent::Registered { setup, .. } => {
                let place = self.tank(partition, &setup.site, &setup.tank);
                self.tanks.register(place, setup, self.version);
            }
            StationEvent::Tank(event) => {
                let place = self.tank(partition, &event.site, &event.tank);
                self.tanks.found(place, *event, self.version);
            }
            StationEvent::Day(day) => {
                let place = self.tank(partition, &day.site, &day.tank);
                self.tanks.day(place, *day, self.version);
            }
            StationEvent::Aside { received_at_us, because, reading, .. } => {
                let place = self.tank(partition, &reading.site, &reading.tank);
                self.tanks.set_aside(place, because, received_at_us, reading, self.version);
            }
        }
        self.figures.live.events += u64::from(self.caught_up);
    }

    /// The place of a tank, known or new; it changes at a new version.
    fn tank(&mut self, partition: PartitionId, site: &model::SiteId, tank: &model::TankId) -> u32 {
        self.version += 1;
        self.sites.tank(site, tank, &self.tanks).unwrap_or_else(|| {
            let place = self.tanks.add(site.clone(), tank.clone(), self.version);
            self.sites.add_tank(partition, site, place);
            place
        })
    }
}
