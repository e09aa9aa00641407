//! The back office while the network runs: bills, the bank's register on the next morning, cards that are blocked for a while.

use jiff::civil::Date;
use model::{Actor, Command, MinorUnits, Payer, RegisterLine, TimestampUs};
use rand::Rng;

use super::customers::message;
use super::world::{Action, Due, MINUTE_US, World};

const HOUR_US: i64 = 60 * MINUTE_US;
/// Banks send their registers on the morning after.
const REGISTER_HOUR: i64 = 10;
/// A contract is billed every other day, so that there is always something unbilled and never too much.
const BILL_EVERY_US: i64 = 48 * HOUR_US;

/// A top-up that the bank's register will show, or not.
#[derive(Debug)]
pub(crate) struct Paid {
    pub(crate) contract: usize,
    pub(crate) reference: String,
    pub(crate) minor: i64,
    pub(crate) at_us: i64,
}

impl World {
    /// Sends an order of the back office. `what` is the middle of its key.
    pub(crate) fn order(&mut self, contract: usize, what: &str, command: Command) -> anyhow::Result<()> {
        let number = self.store.key()?;
        let key = format!("{}-{what}-{number}", self.store.memory.instance);
        let at = TimestampUs::from_micros(self.now_us);
        let order = message(&key, at, &self.customers.contracts[contract], command)?;
        self.actions.push(Action::Order(Box::new(order)));
        Ok(())
    }

    pub(crate) fn payer(&self, contract: usize) -> Payer {
        let tax_id = format!("{:012}", 970_340_000_000_u64 + 7_919 * contract as u64);
        Payer { tax_id: Some(tax_id), name: Some(self.customers.contracts[contract].name.clone()) }
    }

    pub(crate) fn money_is_on_its_way(&mut self, paid: Paid) {
        let of_day = self.now_us.rem_euclid(24 * HOUR_US);
        let wait = (REGISTER_HOUR * HOUR_US - of_day).rem_euclid(24 * HOUR_US) + self.rng.random_range(0..HOUR_US);
        self.after(wait, Due::Register(Box::new(paid)));
    }

    /// Nearly always the register shows what was credited.
    pub(crate) fn register_comes(&mut self, paid: Paid) -> anyhow::Result<()> {
        let Paid { contract, reference, minor, at_us } = paid;
        let date = day(at_us);
        match self.rng.random_range(0..100) {
            0..5 => return self.order(contract, "register", Command::CloseRegister { date }),
            5..7 => {
                let reference = format!("{reference}-unreadable");
                let (amount_minor, payer) = (MinorUnits::new(minor)?, Payer::default());
                let line = RegisterLine { date, reference, amount_minor, currency: None, payer };
                return self.order(contract, "register", Command::MatchRegister(line));
            }
            _ => {}
        }
        let shown = if self.rng.random_ratio(1, 25) { minor - minor / 50 } else { minor };
        let payer = self.payer(contract);
        let line = RegisterLine { date, reference, amount_minor: MinorUnits::new(shown)?, currency: None, payer };
        self.order(contract, "register", Command::MatchRegister(line))
    }

    /// Bills of all contracts come one after the other, not all at once.
    pub(crate) fn bill(&mut self, contract: usize) -> anyhow::Result<()> {
        self.after(BILL_EVERY_US, Due::Bill { contract });
        if self.is_set_up() {
            let number = format!("{}-{}", self.customers.contracts[contract].id, day(self.now_us));
            self.order(contract, "bill", Command::Bill { number })?;
        }
        Ok(())
    }

    pub(crate) fn first_bill_us(&mut self) -> i64 {
        self.rng.random_range(HOUR_US..BILL_EVERY_US)
    }

    /// A driver cannot find the card: the fleet blocks it for some hours, then it turns up under a seat.
    pub(crate) fn card_is_missed(&mut self) -> anyhow::Result<()> {
        let pause = self.rng.random_range(20..60) * MINUTE_US;
        self.after(pause, Due::CardMissed);
        let Some(card) =
            self.ready_in_city[0].get(self.rng.random_range(0..self.ready_in_city[0].len().max(1))).copied()
        else {
            return Ok(());
        };
        let contract = self.customers.cards[card].contract;
        let until = self.now_us + self.rng.random_range(2..9) * HOUR_US;
        let block = Command::BlockCard {
            card: self.customers.cards[card].token.clone(),
            reason: "the driver cannot find it".into(),
            actor: Actor::Client,
            until_us: Some(TimestampUs::from_micros(until)),
        };
        self.order(contract, "block", block)
    }
}

/// The UTC day.
fn day(at_us: i64) -> Date {
    let at = jiff::Timestamp::from_microsecond(at_us).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}
