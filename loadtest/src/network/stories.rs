//! What managers should see happen: a contract that runs dry, a card at two places at once, a card that buys too often,
//! a gauge that falls silent, a station whose line drops, and messages that make no sense.

use model::Code;
use rand::Rng;

use super::customers::{DRY_CONTRACT, TRAVEL_CONTRACT, VELOCITY_CONTRACT};
use super::gauges::MQTT_PREFIX;
use super::places::{CITIES, Fuel};
use super::world::{Action, Due, MINUTE_US, World};

impl World {
    /// The contract that spends faster than it pays. Topped up hours after it ran dry.
    pub(crate) fn dry_customer(&mut self) -> anyhow::Result<()> {
        let pause = self.rng.random_range(60..240) * MINUTE_US / 60;
        self.after(pause, Due::DryCustomer);
        let cards = self.customers.contracts[DRY_CONTRACT].cards.clone();
        let card = self.rng.random_range(cards);
        let station = self.rng.random_range(0..usize::try_from(CITIES[0].stations).unwrap_or(1));
        let fuel = self.customers.cards[card].fuel;
        if self.cards[card].ready
            && let Some(tank) = self.tank_with(station, fuel, 60_000)
        {
            let wish_ml = self.rng.random_range(25_000..50_000);
            self.buys(card, station, tank, wish_ml)?;
        }
        Ok(())
    }

    /// A pump stayed closed.
    pub(crate) fn declined(&mut self, contract: usize, code: Code) {
        if contract == DRY_CONTRACT && code == Code::Funds && !std::mem::replace(&mut self.top_up_due[contract], true) {
            let delay = self.rng.random_range(90..180) * MINUTE_US;
            self.after(delay, Due::TopUp { contract });
        }
    }

    /// One card in Almaty, and minutes later in Astana.
    pub(crate) fn traveller(&mut self, again: bool) -> anyhow::Result<()> {
        let card = self.customers.contracts[TRAVEL_CONTRACT].cards.start;
        let first_city = usize::try_from(CITIES[0].stations).unwrap_or(0);
        let stations = if again { first_city..first_city + 6 } else { 0..first_city };
        let pause = if again { self.rng.random_range(40..100) } else { self.rng.random_range(6..12) };
        self.after(pause * MINUTE_US, Due::Traveller { again: !again });
        self.buys_somewhere(card, stations, 30_000)
    }

    /// Six purchases in a few minutes.
    pub(crate) fn hasty(&mut self, left: u32) -> anyhow::Result<()> {
        let card = self.customers.contracts[VELOCITY_CONTRACT].cards.start;
        if left > 1 {
            self.after(MINUTE_US * 3 / 2, Due::Hasty { left: left - 1 });
        } else {
            let pause = self.rng.random_range(50..120) * MINUTE_US;
            self.after(pause, Due::Hasty { left: 6 });
        }
        self.buys_somewhere(card, 0..3, 10_000)
    }

    fn buys_somewhere(&mut self, card: usize, stations: std::ops::Range<usize>, wish_ml: i64) -> anyhow::Result<()> {
        let fuel: Fuel = self.customers.cards[card].fuel;
        let place = stations.into_iter().find_map(|station| Some((station, self.tank_with(station, fuel, wish_ml)?)));
        match place {
            Some((station, tank)) if self.cards[card].ready => self.buys(card, station, tank, wish_ml),
            _ => Ok(()),
        }
    }

    /// One gauge at a time; it stays silent for hours and comes back.
    pub(crate) fn sensor_breaks(&mut self) {
        let station = self.rng.random_range(0..self.stations.len());
        let tank = self.rng.random_range(0..self.tanks[station].len());
        let silent = self.rng.random_range(180..420) * MINUTE_US;
        self.tanks[station][tank].silent_until_us = self.now_us + silent;
        let pause = silent + self.rng.random_range(20..60) * MINUTE_US;
        self.after(pause, Due::SensorBreaks);
    }

    /// A station without its line: the broker says so by the station's last will, and its readings come late.
    pub(crate) fn link_goes_down(&mut self) {
        let station = self.rng.random_range(0..self.stations.len());
        let down = self.rng.random_range(8..20) * MINUTE_US;
        self.cut_link(station);
        self.after(down, Due::LinkUp { station });
        let pause = down + self.rng.random_range(30..90) * MINUTE_US;
        self.after(pause, Due::LinkDown);
    }

    /// One message a real minute that cannot be understood, of changing kinds.
    pub(crate) fn nonsense(&mut self) {
        self.after(60 * self.real_second_us, Due::Nonsense);
        let kind = self.nonsense;
        self.nonsense += 1;
        let station = self.rng.random_range(0..self.stations.len());
        let site = self.stations[station].site.clone();
        let reading = format!("{MQTT_PREFIX}/{site}/1/reading");
        match kind % 8 {
            0 => self.publish(station, reading, r#"{"v":1,"product":"AI-95","volume_ml":-1}"#.into()),
            1 => self.actions.push(Action::WrongTransaction(b"{\"v\":1,\"idem\":\"cut-off-in-the-mid".to_vec())),
            2 => self.publish(station, format!("{MQTT_PREFIX}/{site}/reading"), r#"{"v":1}"#.into()),
            3 => self
                .actions
                .push(Action::WrongOrder(br#"{"v":1,"idem":"portal-1","command":"delete_everything"}"#.to_vec())),
            4 => self.actions.push(Action::WrongTransaction(vec![0xff, 0xfe, 0x00, 0x31])),
            5 => self.publish(station, reading, "21.4;8125;0.0;ok".into()),
            6 => self.actions.push(Action::WrongTransaction(Vec::new())),
            _ => self.publish(station, reading, r#"{"v":1,"product":"AI-92","volume_ml":"twelve thousand"}"#.into()),
        }
    }
}
