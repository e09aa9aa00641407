//! The network as it lives: an agenda of things that are due, and what they lead to.
//!
//! In: simulated time and the ledger's outcomes. Out: [`Action`]s for the terminals, the gauges and the back office.
//! Guarantees: all choices come from the seed; memory is bounded (a host that does not answer stops new customers).
//! Does not: read a clock or touch a network; it can be driven by hand.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use hashbrown::HashMap;
use model::{CommandMessage, Fact, IdempotencyKey, Outcome, TimestampUs, Transaction};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::customers::{Customers, DRY_CONTRACT, round_amount, top_up};
use super::demand::LocalHour;
use super::memory::{Store, TankMemory};
use super::office::Paid;
use super::places::{Codes, Station, stations};
use super::purchases::{Awaiting, Fuelling, Undo};
use super::registrations::{CashSale, WET};
use super::tank::Tank;

const SECOND_US: i64 = 1_000_000;
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
const READING_EVERY_US: i64 = 60 * SECOND_US;
/// Between two customers of one station at an average hour.
const ARRIVAL_MEAN_US: i64 = 150 * SECOND_US;
/// Unanswered transactions at which terminals turn customers away.
const AWAITING_MAX: usize = 5_000;
/// Unanswered set-up orders at a time.
const ORDERS_UNANSWERED_MAX: usize = 2_000;
/// Checks without a new answer after which set-up goes on without the rest.
const SILENCES_MAX: u32 = 6;
/// Readings that a station keeps while its link is down; more are lost, as in a real controller.
const BUFFERED_MAX: usize = 600;
const TRUCK_UNLOADS_US: i64 = 20 * MINUTE_US;

/// What somebody in the network does.
#[derive(Debug)]
pub(crate) enum Action {
    Transact(Box<Transaction>),
    Order(Box<CommandMessage>),
    /// A message of a station's controller.
    Publish {
        station: usize,
        topic: String,
        payload: String,
    },
    /// A message that the broker keeps for whoever comes later.
    Register {
        station: usize,
        topic: String,
        payload: String,
    },
    /// The station's line drops or comes back.
    Link {
        station: usize,
        up: bool,
    },
    /// Bytes that no terminal should send.
    WrongTransaction(Vec<u8>),
    WrongOrder(Vec<u8>),
}

pub(crate) enum Due {
    Arrival { station: usize },
    Reading { station: usize, tank: usize },
    TruckArrives { station: usize, tank: usize },
    TruckLeaves { station: usize, tank: usize, flow: u64 },
    CashCustomer { station: usize },
    CashPaid(Box<CashSale>),
    HangUp { flow: u64 },
    WalkAway { flow: u64 },
    Send(Box<Transaction>),
    Retry(IdempotencyKey),
    Undo(Box<Undo>),
    TopUp { contract: usize },
    Register(Box<Paid>),
    Bill { contract: usize },
    CardMissed,
    CardReady { card: usize },
    SetUpCheck,
    LinkDown,
    LinkUp { station: usize },
    SensorBreaks,
    DryCustomer,
    Traveller { again: bool },
    Hasty { left: u32 },
    Nonsense,
}

struct Entry {
    at_us: i64,
    /// Keeps entries of one moment in the order in which they were made.
    order: u64,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.order) == (other.at_us, other.order)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    /// The earliest is the greatest, as `BinaryHeap` wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.order).cmp(&(self.at_us, self.order))
    }
}

/// What is known of a card while the network runs.
#[derive(Clone, Default)]
pub(crate) struct CardState {
    pub(crate) ready: bool,
    /// Time and station of its last purchase.
    pub(crate) last: Option<(i64, usize)>,
}

/// Orders that open contracts and cards, and which were answered.
struct SetUp {
    orders: Vec<(CommandMessage, Option<usize>)>,
    places: HashMap<IdempotencyKey, usize>,
    answered: Vec<bool>,
    answers: usize,
    answers_at_check: usize,
    /// Checks in a row that found no new answer.
    silences: u32,
    next: usize,
    unanswered: usize,
}

pub(crate) struct World {
    pub(crate) stations: Vec<Station>,
    pub(crate) customers: Customers,
    pub(crate) codes: Codes,
    pub(crate) rng: SmallRng,
    pub(crate) store: Store,
    pub(crate) now_us: i64,
    /// Simulated time in a real second: for what real people and machines wait for.
    pub(crate) real_second_us: i64,
    agenda: BinaryHeap<Entry>,
    entries: u64,
    pub(crate) tanks: Vec<Vec<Tank>>,
    pub(crate) cards: Vec<CardState>,
    /// Cards that can buy, by city; then those that drive anywhere.
    pub(crate) ready_in_city: Vec<Vec<usize>>,
    pub(crate) ready_anywhere: Vec<usize>,
    pub(crate) awaiting: HashMap<IdempotencyKey, Awaiting>,
    pub(crate) fuelling: HashMap<u64, Fuelling>,
    pub(crate) flows: u64,
    set_up: Option<SetUp>,
    pub(crate) top_up_due: Vec<bool>,
    unknown_cards: u32,
    pub(crate) nonsense: usize,
    /// Messages kept by stations whose link is down.
    buffered: Vec<Option<Vec<(String, String)>>>,
    /// What each station sold on its own while its link was down.
    pub(crate) sold_offline: Vec<Vec<Transaction>>,
    pub(crate) actions: Vec<Action>,
}

impl World {
    /// The network as its memory has it. `real_second_us` is the simulated time in a real second.
    pub(crate) fn new(store: Store, real_second_us: i64) -> anyhow::Result<Self> {
        let memory = &store.memory;
        let (seed, now_us) = (memory.seed, memory.simulated_us);
        let (stations, customers) = (stations(seed)?, Customers::new(seed)?);
        let mut rng = SmallRng::seed_from_u64(seed ^ now_us.cast_unsigned());
        let tanks = stations
            .iter()
            .enumerate()
            .map(|(s, station)| {
                let remembered = memory.tanks.get(s);
                station
                    .tanks
                    .iter()
                    .enumerate()
                    .map(|(t, plan)| {
                        let per_mille = if rng.random_ratio(1, 8) { 240..280 } else { 300..900 };
                        let first = plan.capacity_ml * rng.random_range(per_mille) / 1000;
                        let memory = remembered.and_then(|tanks| tanks.get(t)).copied();
                        let memory = memory.unwrap_or(TankMemory { volume_ml: first, seq: 0 });
                        // Water and warmth of the tank are the same in each run.
                        let place = u64::try_from(s * 64 + t).unwrap_or_default();
                        let mut own = SmallRng::seed_from_u64(seed ^ place << 32);
                        let mut tank = Tank::new(&mut own, memory.volume_ml, memory.seq);
                        tank.is_wet = (s, t) == WET;
                        tank
                    })
                    .collect()
            })
            .collect();
        let cards_issued = memory.cards_issued;
        let cards = vec![CardState::default(); customers.cards.len()];
        let mut world = Self {
            ready_in_city: vec![Vec::new(); super::places::CITIES.len()],
            buffered: stations.iter().map(|_| None).collect(),
            sold_offline: stations.iter().map(|_| Vec::new()).collect(),
            top_up_due: vec![false; customers.contracts.len()],
            stations,
            customers,
            codes: Codes::new()?,
            rng,
            store,
            now_us,
            real_second_us,
            agenda: BinaryHeap::new(),
            entries: 0,
            tanks,
            cards,
            ready_anywhere: Vec::new(),
            awaiting: HashMap::new(),
            fuelling: HashMap::new(),
            flows: 0,
            set_up: None,
            unknown_cards: 0,
            nonsense: 0,
            actions: Vec::new(),
        };
        if cards_issued {
            (0..world.customers.cards.len()).for_each(|card| world.card_is_ready(card));
        } else {
            world.begin_set_up()?;
        }
        world.register_tanks()?;
        world.fill_agenda();
        Ok(world)
    }

    fn fill_agenda(&mut self) {
        for station in 0..self.stations.len() {
            let first = self.rng.random_range(0..ARRIVAL_MEAN_US);
            self.after(first, Due::Arrival { station });
            let first = self.rng.random_range(0..ARRIVAL_MEAN_US);
            self.after(first, Due::CashCustomer { station });
            for tank in 0..self.stations[station].tanks.len() {
                let first = self.rng.random_range(0..READING_EVERY_US);
                self.after(first, Due::Reading { station, tank });
            }
        }
        for contract in 0..self.customers.contracts.len() {
            let first = self.first_bill_us();
            self.after(first, Due::Bill { contract });
        }
        self.after(10 * self.real_second_us, Due::SetUpCheck);
        self.after(30 * MINUTE_US, Due::CardMissed);
        self.after(15 * self.real_second_us, Due::Nonsense);
        self.after(2 * MINUTE_US, Due::DryCustomer);
        self.after(12 * MINUTE_US, Due::Traveller { again: false });
        self.after(20 * MINUTE_US, Due::Hasty { left: 6 });
        self.after(8 * MINUTE_US, Due::SensorBreaks);
        self.after(25 * MINUTE_US, Due::LinkDown);
    }

    pub(crate) fn after(&mut self, delay_us: i64, due: Due) {
        self.entries += 1;
        self.agenda.push(Entry { at_us: self.now_us.saturating_add(delay_us), order: self.entries, due });
    }

    /// Lives until `to_us`; what is done on the way stands in the answer.
    pub(crate) fn advance(&mut self, to_us: i64) -> anyhow::Result<Vec<Action>> {
        self.send_set_up();
        while self.agenda.peek().is_some_and(|entry| entry.at_us <= to_us) {
            let Some(entry) = self.agenda.pop() else { break };
            self.now_us = self.now_us.max(entry.at_us);
            self.happen(entry.due)?;
        }
        self.now_us = self.now_us.max(to_us);
        Ok(std::mem::take(&mut self.actions))
    }

    fn happen(&mut self, due: Due) -> anyhow::Result<()> {
        match due {
            Due::Arrival { station } => {
                let at = &self.stations[station];
                let rush = LocalHour::at(self.now_us, at.utc_offset_min(self.now_us)).rush();
                let pause = exponential_us(&mut self.rng, ARRIVAL_MEAN_US * 1000 / rush);
                self.after(pause, Due::Arrival { station });
                if self.awaiting.len() < AWAITING_MAX {
                    self.customer_arrives(station)?;
                }
            }
            Due::Reading { station, tank } => self.gauge_measures(station, tank)?,
            Due::TruckArrives { station, tank } => self.truck_arrives(station, tank),
            Due::TruckLeaves { station, tank, flow } => self.truck_leaves(station, tank, flow)?,
            Due::CashCustomer { station } => self.cash_customer(station),
            Due::CashPaid(sale) => self.cash_is_paid(&sale)?,
            Due::HangUp { flow } => self.nozzle_hangs_up(flow)?,
            Due::WalkAway { flow } => self.driver_walks_away(flow)?,
            Due::Send(transaction) => self.actions.push(Action::Transact(transaction)),
            Due::Retry(idem) => self.retry(&idem),
            Due::Undo(undo) => self.undo(*undo)?,
            Due::TopUp { contract } => self.top_up(contract)?,
            Due::Register(paid) => self.register_comes(*paid)?,
            Due::Bill { contract } => self.bill(contract)?,
            Due::CardMissed => self.card_is_missed()?,
            Due::CardReady { card } => self.card_is_ready(card),
            Due::SetUpCheck => self.check_set_up(),
            Due::LinkDown => self.link_goes_down(),
            Due::LinkUp { station } => self.link_comes_back(station),
            Due::SensorBreaks => self.sensor_breaks(),
            Due::DryCustomer => self.dry_customer()?,
            Due::Traveller { again } => self.traveller(again)?,
            Due::Hasty { left } => self.hasty(left)?,
            Due::Nonsense => self.nonsense(),
        }
        Ok(())
    }

    /// The ledger's outcome of a request, ours or another's.
    pub(crate) fn answer(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        if let Some(set_up) = &mut self.set_up
            && let Some(&place) = set_up.places.get(&outcome.idem)
            && !std::mem::replace(&mut set_up.answered[place], true)
        {
            set_up.answers += 1;
            set_up.unanswered = set_up.unanswered.saturating_sub(1);
            let complete = set_up.answers == set_up.orders.len();
            if let Some(card) = set_up.orders[place].1 {
                // The routing table hears of the card a moment after the ledger.
                self.after(self.real_second_us * 5 / 2, Due::CardReady { card });
            }
            if complete {
                tracing::info!(cards = self.cards.len(), "all contracts and cards of the simulated network are open");
                self.set_up = None;
                self.store.memory.cards_issued = true;
            }
        }
        for fact in &outcome.facts {
            if let Fact::Decided { decision, .. } = fact
                && let Some(awaiting) = self.awaiting.remove(&outcome.idem)
            {
                if decision.code == model::Code::CardUnknown {
                    self.card_is_unknown()?;
                }
                self.decided(awaiting, decision)?;
            }
        }
        if let (Some(contract), Some(balance)) = (&outcome.contract, &outcome.balance) {
            self.watch_balance(contract.as_str(), balance.available.get());
        }
        Ok(())
    }

    /// By station, as the store wants it.
    pub(crate) fn tank_memory(&self) -> Vec<Vec<TankMemory>> {
        let now_us = self.now_us;
        let tank = |tank: &Tank| TankMemory { volume_ml: tank.remembered_ml(now_us), seq: tank.seq };
        self.tanks.iter().map(|tanks| tanks.iter().map(tank).collect()).collect()
    }

    // Set-up.

    fn begin_set_up(&mut self) -> anyhow::Result<()> {
        let orders = self.customers.set_up(TimestampUs::from_micros(self.store.memory.began_us))?;
        let places = orders.iter().enumerate().map(|(place, (order, _))| (order.idem.clone(), place)).collect();
        let answered = vec![false; orders.len()];
        self.set_up = Some(SetUp {
            orders,
            places,
            answered,
            answers: 0,
            answers_at_check: 0,
            silences: 0,
            next: 0,
            unanswered: 0,
        });
        Ok(())
    }

    fn send_set_up(&mut self) {
        let Some(set_up) = &mut self.set_up else { return };
        while set_up.next < set_up.orders.len() && set_up.unanswered < ORDERS_UNANSWERED_MAX {
            if !set_up.answered[set_up.next] {
                self.actions.push(Action::Order(Box::new(set_up.orders[set_up.next].0.clone())));
                set_up.unanswered += 1;
            }
            set_up.next += 1;
        }
    }

    /// Sends what was not answered again when nothing came for a while. What the host never answers is left closed, so that
    /// one bad order does not cost the rest for ever.
    fn check_set_up(&mut self) {
        self.after(10 * self.real_second_us, Due::SetUpCheck);
        let Some(set_up) = &mut self.set_up else { return };
        let (answered, of) = (set_up.answers, set_up.orders.len());
        if answered == set_up.answers_at_check {
            set_up.silences += 1;
            if set_up.silences > SILENCES_MAX && answered > of / 2 {
                tracing::warn!(answered, of, "some set-up orders were never answered; going on without them");
                self.set_up = None;
                self.store.memory.cards_issued = true;
                return;
            }
            tracing::warn!(answered, of, "set-up orders are not answered; sending again");
            set_up.next = 0;
            set_up.unanswered = 0;
        } else {
            set_up.silences = 0;
        }
        set_up.answers_at_check = answered;
    }

    fn card_is_ready(&mut self, card: usize) {
        if std::mem::replace(&mut self.cards[card].ready, true) {
            return;
        }
        let contract = &self.customers.contracts[self.customers.cards[card].contract];
        self.ready_in_city[contract.city].push(card);
        if contract.trade == super::demand::Trade::Haulage {
            self.ready_anywhere.push(card);
        }
    }

    /// The host lost our cards (its data were removed): open them again. Orders keep their keys, so this is harmless.
    fn card_is_unknown(&mut self) -> anyhow::Result<()> {
        self.unknown_cards += 1;
        if self.unknown_cards >= 50 && self.set_up.is_none() {
            tracing::warn!("the host does not know the simulated cards; opening them again");
            self.unknown_cards = 0;
            self.begin_set_up()?;
        }
        Ok(())
    }

    pub(crate) fn is_set_up(&self) -> bool {
        self.set_up.is_none()
    }

    // Money.

    fn watch_balance(&mut self, contract: &str, available_minor: i64) {
        let Some(index) = contract.strip_prefix("C-").and_then(|number| number.parse::<usize>().ok()) else { return };
        let Some(known) =
            index.checked_sub(1001).filter(|index| *index != DRY_CONTRACT && *index < self.top_up_due.len())
        else {
            return;
        };
        // Those with a credit line pay when most of it is used, so that its warnings are seen.
        let plan = &self.customers.contracts[known];
        let reserve = if plan.credit_minor > 0 { plan.credit_minor / 8 } else { plan.daily_spend_minor() / 2 };
        let low = available_minor < reserve;
        if low && !std::mem::replace(&mut self.top_up_due[known], true) {
            let delay = self.rng.random_range(10..90) * MINUTE_US;
            self.after(delay, Due::TopUp { contract: known });
        }
    }

    fn top_up(&mut self, contract: usize) -> anyhow::Result<()> {
        self.top_up_due[contract] = false;
        let reference = format!("PO-{}", self.store.key()?);
        let payer = self.payer(contract);
        let plan = &self.customers.contracts[contract];
        let days = if contract == DRY_CONTRACT { 1 } else { 12 };
        let minor = round_amount(plan.daily_spend_minor() * days / 6);
        let command = top_up(plan, minor, &reference, payer)?;
        self.order(contract, "topup", command)?;
        let at_us = self.now_us;
        self.money_is_on_its_way(Paid { contract, reference, minor, at_us });
        Ok(())
    }

    // Gauges and trucks.

    fn gauge_measures(&mut self, station: usize, tank: usize) -> anyhow::Result<()> {
        let pause = READING_EVERY_US + self.rng.random_range(-SECOND_US..=SECOND_US);
        self.after(pause, Due::Reading { station, tank });
        let place = &self.stations[station];
        let (plan, state) = (&place.tanks[tank], &mut self.tanks[station][tank]);
        if state.needs_truck(plan) {
            state.truck_ordered = true;
            let delay = self.rng.random_range(30..180) * MINUTE_US;
            self.after(delay, Due::TruckArrives { station, tank });
            return Ok(());
        }
        let Some((product, _)) = self.codes.of(plan.fuel) else { return Ok(()) };
        let reading = state.reading(&mut self.rng, plan, product, self.now_us);
        if state.silent_until_us > self.now_us {
            return Ok(());
        }
        let payload = serde_json::to_string(&reading)?;
        let topic = format!("{}/{}/{}/reading", super::gauges::MQTT_PREFIX, place.site, plan.id);
        if let Some(overtaken) = state.held_back.take() {
            self.publish(station, topic.clone(), payload);
            self.publish(station, topic, overtaken);
            return Ok(());
        }
        match self.rng.random_range(0..100) {
            0 => self.tanks[station][tank].held_back = Some(payload),
            1 => {
                self.publish(station, topic.clone(), payload.clone());
                self.publish(station, topic, payload);
            }
            _ => self.publish(station, topic, payload),
        }
        Ok(())
    }

    pub(crate) fn publish(&mut self, station: usize, topic: String, payload: String) {
        match &mut self.buffered[station] {
            Some(buffer) if buffer.len() < BUFFERED_MAX => buffer.push((topic, payload)),
            Some(_) => {}
            None => self.actions.push(Action::Publish { station, topic, payload }),
        }
    }

    fn truck_arrives(&mut self, station: usize, tank: usize) {
        let plan = &self.stations[station].tanks[tank];
        let truck_ml = self.rng.random_range(10..=30) * 1_000_000;
        let volume = self.tanks[station][tank].room_ml(plan, truck_ml);
        let flow = self.next_flow();
        let (start_us, end_us) = (self.now_us, self.now_us + TRUCK_UNLOADS_US);
        self.tanks[station][tank].start_flow(flow, start_us, end_us, volume);
        self.after(TRUCK_UNLOADS_US, Due::TruckLeaves { station, tank, flow });
    }

    pub(crate) fn next_flow(&mut self) -> u64 {
        self.flows += 1;
        self.flows
    }

    pub(crate) fn cut_link(&mut self, station: usize) {
        if self.buffered[station].is_none() {
            self.buffered[station] = Some(Vec::new());
            self.actions.push(Action::Link { station, up: false });
        }
    }

    /// What was measured meanwhile comes late and all at once.
    fn link_comes_back(&mut self, station: usize) {
        let Some(late) = self.buffered[station].take() else { return };
        self.actions.push(Action::Link { station, up: true });
        let publish = |(topic, payload)| Action::Publish { station, topic, payload };
        self.actions.extend(late.into_iter().map(publish));
        for mut advice in std::mem::take(&mut self.sold_offline[station]) {
            advice.sent_at_us = Some(TimestampUs::from_micros(self.now_us));
            self.actions.push(Action::Transact(Box::new(advice)));
        }
    }

    pub(crate) fn is_cut_off(&self, station: usize) -> bool {
        self.buffered[station].is_some()
    }
}

/// Time to the next of independent events that come every `mean_us` on average; at most ten times that.
pub(crate) fn exponential_us(rng: &mut SmallRng, mean_us: i64) -> i64 {
    let draw = f64::from(rng.random_range(1..=1_000_000_u32)) / 1e6;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "at most fourteen times a few minutes"
    )]
    let pause = (-draw.ln() * mean_us as f64) as i64;
    pause.min(10 * mean_us)
}
