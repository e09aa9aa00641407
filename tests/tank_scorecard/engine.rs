//! The real engine, as the scorecard drives it: cleaning, then the tank.

use loadtest::tanks::{Arrival, Arrived, Engine, Taken};
use model::{TankEvent, TankSetup, TimestampUs};
use pipeline::tanks::cleaning::Cleaner;
use pipeline::tanks::tank::Tank;

pub(crate) struct Cleaned {
    cleaner: Cleaner,
    tank: Tank,
}

impl Cleaned {
    pub(crate) fn new(setup: &TankSetup) -> Self {
        let cleaner = Cleaner::new(setup.clone()).expect("simulated tanks have charts that can be used");
        Self { cleaner, tank: Tank::new(setup.clone()) }
    }
}

impl Engine for Cleaned {
    fn arrived(&mut self, arrival: &Arrival, events: &mut Vec<TankEvent>) -> Option<Taken> {
        match &arrival.what {
            Arrived::Reading(sample) => {
                let Ok(cleaned) = self.cleaner.clean(arrival.received_at_us, &sample.reading) else {
                    self.tank.useless(arrival.received_at_us);
                    return Some(Taken::Dropped);
                };
                let Ok(found) = self.tank.reading(&cleaned) else { return Some(Taken::Dropped) };
                events.extend(found);
                return Some(Taken::Used(Box::new(cleaned.normalised())));
            }
            Arrived::Sale(sale) => events.extend(self.tank.sale(sale.at_us, sale.volume_ml)),
            Arrived::Ticket(ticket) => events.extend(self.tank.ticket(ticket.at_us, ticket.volume_ml)),
            Arrived::Status(status) => self.tank.status(status.online),
        }
        None
    }

    fn passed(&mut self, now: TimestampUs, events: &mut Vec<TankEvent>) {
        events.extend(self.tank.tick(now));
    }
}
