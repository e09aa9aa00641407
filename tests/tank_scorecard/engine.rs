//! The real engine, as the scorecard drives it.

use loadtest::tanks::{Arrival, Arrived, Engine, Taken};
use model::{IdempotencyKey, PumpSale, TankEvent, TankSetup, TimestampUs};
use pipeline::tanks::followed::Followed;

pub(crate) struct Cleaned {
    followed: Followed,
    sales: u64,
}

impl Cleaned {
    pub(crate) fn new(setup: &TankSetup) -> Self {
        let followed = Followed::new(setup.clone()).expect("simulated tanks have charts that can be used");
        Self { followed, sales: 0 }
    }
}

impl Engine for Cleaned {
    fn arrived(&mut self, arrival: &Arrival, events: &mut Vec<TankEvent>) -> Option<Taken> {
        let followed = &mut self.followed;
        match &arrival.what {
            Arrived::Reading(sample) => {
                let cleaned = match followed.clean(arrival.received_at_us, &sample.reading) {
                    Ok(cleaned) => cleaned,
                    Err(because) => {
                        followed.refused(arrival.received_at_us, because);
                        return Some(Taken::Dropped);
                    }
                };
                let Ok(found) = followed.level(&cleaned) else { return Some(Taken::Dropped) };
                events.extend(found);
                return Some(Taken::Used(Box::new(cleaned.normalised())));
            }
            Arrived::Sale(sale) => {
                self.sales += 1;
                let setup = followed.setup();
                let (site, product) = (setup.site.clone(), setup.product.clone());
                let id = IdempotencyKey::new(&self.sales.to_string()).expect("a number is a key");
                let (at_us, volume_ml) = (sale.at_us, sale.volume_ml);
                let sale = PumpSale { site, id, at_us, product, tank: None, pump: None, volume_ml };
                events.extend(followed.drawn(&sale));
            }
            Arrived::Ticket(ticket) => {
                let setup = followed.setup();
                let (site, tank) = (setup.site.clone(), setup.tank.clone());
                let id = IdempotencyKey::new("ticket").expect("a key");
                let (at_us, volume_ml) = (ticket.at_us, ticket.volume_ml);
                events.extend(followed.ticket(&model::DeliveryTicket { site, tank, id, at_us, volume_ml }));
            }
            Arrived::Status(status) => followed.status(status.online),
        }
        None
    }

    fn passed(&mut self, now: TimestampUs, events: &mut Vec<TankEvent>) {
        events.extend(self.followed.tick(now));
    }
}
