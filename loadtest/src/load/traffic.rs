//! What terminals send in a load run: a mix of purchases with all their legs, drawn from a seed.
//!
//! Message `n` of a step has the key `{run}.{step}-{n}`; a repeat carries the key and body of an earlier message.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;

use model::{
    AuthCode, CardData, ContractId, Device, Entry, FORMAT_VERSION, IdempotencyKey, Item, LocalTime, LogSettings,
    Millilitres, Offline, Original, Prompts, TimestampUs, Topic, Transaction, TransactionKind, Unit,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::fleet::{CURRENCY, Fleet, UTC_OFFSET_MIN, top_up};

/// Messages that may be repeated.
const RECENT_MAX: usize = 256;
/// Approved authorizations that wait for their second leg; more are left to expire.
pub(crate) const APPROVED_MAX: usize = 100_000;
const POOR_TOP_UP_MINOR: i64 = 5_000_000;

/// A message ready to go.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) contract: usize,
    pub(crate) payload: String,
    /// It repeats an earlier message.
    pub(crate) repeat: bool,
}

impl Outgoing {
    /// The same for `fuel.requests`, where the contract decides about the partition.
    pub(crate) fn as_request(&self, contract: &ContractId, log: &LogSettings, received_at: TimestampUs) -> Self {
        let body = if self.topic == Topic::Commands { "command" } else { "transaction" };
        Self {
            topic: Topic::Requests,
            partition: log.partition_of(contract.as_str()).0,
            key: contract.to_string(),
            contract: self.contract,
            payload: format!(
                r#"{{"v":{FORMAT_VERSION},"received_at_us":{},"contract":"{contract}","body":{{"{body}":{}}}}}"#,
                received_at.get(),
                self.payload
            ),
            repeat: self.repeat,
        }
    }
}

/// A preauthorization that the ledger approved.
#[derive(Debug)]
pub(crate) struct Approved {
    pub(crate) n: u64,
    pub(crate) auth_code: AuthCode,
    pub(crate) qty_ml: u64,
}

/// One message of a purchase; `first` is the message that began it.
struct Leg {
    n: u64,
    first: u64,
    card: usize,
    kind: TransactionKind,
}

pub(crate) struct Traffic<'a> {
    fleet: &'a Fleet,
    log: &'a LogSettings,
    step: u32,
    rng: SmallRng,
    approved: Receiver<Approved>,
    recent: VecDeque<Outgoing>,
}

impl<'a> Traffic<'a> {
    pub(crate) fn new(fleet: &'a Fleet, log: &'a LogSettings, step: u32, approved: Receiver<Approved>) -> Self {
        Self { fleet, log, step, rng: SmallRng::seed_from_u64(u64::from(step)), approved, recent: VecDeque::new() }
    }

    /// Message `n`, measured and sent at `at`.
    pub(crate) fn next(&mut self, n: u64, at: TimestampUs) -> anyhow::Result<Outgoing> {
        let outgoing = match self.rng.random_range(0..1000) {
            0..10 => match self.repeated() {
                Some(repeat) => return Ok(repeat),
                None => self.purchase(n, at, TransactionKind::Sale)?,
            },
            10..15 => self.top_up(n, at)?,
            15..35 => self.purchase(n, at, TransactionKind::Balance)?,
            35..45 => self.purchase(n, at, TransactionKind::AdviceOffline)?,
            45..70 => self.second_leg(n, at, TransactionKind::Reversal)?,
            70..370 => self.second_leg(n, at, TransactionKind::Completion)?,
            370..720 => self.purchase(n, at, TransactionKind::Preauth)?,
            _ => self.purchase(n, at, TransactionKind::Sale)?,
        };
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(outgoing.clone());
        Ok(outgoing)
    }

    fn repeated(&mut self) -> Option<Outgoing> {
        let place = self.rng.random_range(0..self.recent.len().max(1));
        let mut repeat = self.recent.get(place)?.clone();
        repeat.repeat = true;
        Some(repeat)
    }

    fn top_up(&mut self, n: u64, at: TimestampUs) -> anyhow::Result<Outgoing> {
        let poor: Vec<usize> = (0..self.fleet.contracts.len()).filter(|index| self.fleet.is_poor(*index)).collect();
        let contract = if poor.is_empty() { 0 } else { poor[self.rng.random_range(0..poor.len())] };
        let id = &self.fleet.contracts[contract];
        let key = self.key(n)?;
        let mut order = self.fleet.order("unused", at, id, top_up(POOR_TOP_UP_MINOR, key.as_str())?)?;
        order.idem = key;
        Ok(Outgoing {
            topic: Topic::Commands,
            partition: self.log.partition_of(id.as_str()).0,
            key: id.to_string(),
            contract,
            payload: serde_json::to_string(&order)?,
            repeat: false,
        })
    }

    fn second_leg(&mut self, n: u64, at: TimestampUs, kind: TransactionKind) -> anyhow::Result<Outgoing> {
        let Ok(approved) = self.approved.try_recv() else { return self.purchase(n, at, TransactionKind::Sale) };
        // The completion of less than was allowed is the rule.
        let qty_ml = approved.qty_ml - approved.qty_ml * self.rng.random_range(0..60) / 100;
        let original = Original { auth_code: Some(approved.auth_code), idem: Some(self.key(approved.n)?) };
        let leg = Leg { n, first: approved.n, card: self.card_of(approved.n), kind };
        self.message(&leg, at, qty_ml, original)
    }

    /// A message with a card of the caller's choice.
    pub(crate) fn of_card(
        &mut self,
        n: u64,
        card: usize,
        at: TimestampUs,
        kind: TransactionKind,
    ) -> anyhow::Result<Outgoing> {
        self.message(&Leg { n, first: n, card, kind }, at, 10_000, Original::default())
    }

    fn purchase(&mut self, n: u64, at: TimestampUs, kind: TransactionKind) -> anyhow::Result<Outgoing> {
        let qty_ml = self.rng.random_range(5_000..65_000);
        self.message(&Leg { n, first: n, card: self.card_of(n), kind }, at, qty_ml, Original::default())
    }

    fn key(&self, n: u64) -> anyhow::Result<IdempotencyKey> {
        Ok(IdempotencyKey::new(&format!("{}{n}", step_prefix(&self.fleet.run, self.step)))?)
    }

    fn card_of(&self, n: u64) -> usize {
        usize::try_from(spread(n) % self.fleet.cards.len() as u64).unwrap_or(0)
    }

    fn message(&mut self, leg: &Leg, at: TimestampUs, qty_ml: u64, original: Original) -> anyhow::Result<Outgoing> {
        let Leg { n, first, card, kind } = *leg;
        let fleet = self.fleet;
        let (site, terminal, location) = &fleet.sites[usize::try_from(spread(first) / 7 % fleet.sites.len() as u64)?];
        let with_items = !matches!(kind, TransactionKind::Balance | TransactionKind::Reversal);
        let fill_up = kind == TransactionKind::Preauth && self.rng.random_ratio(1, 5);
        let qty_ml = Millilitres::new(qty_ml)?;
        let sold = kind != TransactionKind::Preauth;
        let amount = fleet.price.amount(qty_ml, CURRENCY)?;
        let item = with_items.then(|| Item {
            code: fleet.product.clone(),
            group: Some(fleet.group.clone()),
            unit: Unit::L,
            qty_ml: (!fill_up).then_some(qty_ml),
            pieces: None,
            price_e4: fleet.price,
            amount_minor: sold.then_some(amount),
        });
        let token = fleet.cards[card].clone();
        let transaction = Transaction {
            v: FORMAT_VERSION,
            idem: self.key(n)?,
            kind,
            site: site.clone(),
            terminal: terminal.clone(),
            pump: Some(u16::try_from(first % 12)? + 1),
            device: Some(Device::Outdoor),
            entry: Some(Entry::Chip),
            batch: None,
            shift: Some(1),
            tsn: u32::try_from(n % 999_999 + 1).ok(),
            local_time: LocalTime::from_utc(at, UTC_OFFSET_MIN),
            utc_offset_min: UTC_OFFSET_MIN,
            sent_at_us: Some(at),
            location: Some(*location),
            region: None,
            country: None,
            card: CardData { token: token.clone(), pan_masked: Some("****0000".into()), expiry: Some("2912".into()) },
            second_id: None,
            pin: None,
            prompts: Prompts { odometer: u32::try_from(n % 900_000).ok(), ..Prompts::default() },
            items: item.into_iter().collect(),
            fill_up,
            currency: CURRENCY,
            partial_ok: !n.is_multiple_of(3),
            original,
            offline: Offline { was: kind == TransactionKind::AdviceOffline, ..Offline::default() },
        };
        Ok(Outgoing {
            topic: Topic::Transactions,
            partition: self.log.partition_of(token.as_str()).0,
            key: token.to_string(),
            contract: fleet.contract_of(card),
            payload: serde_json::to_string(&transaction)?,
            repeat: false,
        })
    }
}

/// Card and station follow from the message that began the purchase.
fn spread(first: u64) -> u64 {
    first.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
}

/// What the keys of a step begin with.
pub(crate) fn step_prefix(run: &str, step: u32) -> String {
    format!("{run}.{step}-")
}

#[cfg(test)]
mod tests {
    use model::{Request, RequestBody};

    use super::*;

    #[test]
    fn a_producer_that_knows_the_contract_writes_what_the_router_would_without_an_origin() {
        let log = LogSettings { bootstrap: String::new(), topic_prefix: "fuel".into(), partitions: 4 };
        let fleet = Fleet::new("r", 3, 7).expect("a fleet");
        let (_, approved) = std::sync::mpsc::sync_channel(1);
        let mut traffic = Traffic::new(&fleet, &log, 1, approved);
        let at = TimestampUs::from_micros(1_700_000_000_000_000);
        let (mut transactions, mut orders) = (0, 0);
        for n in 0..2_000 {
            let message = traffic.next(n, at).expect("a message");
            let contract = &fleet.contracts[message.contract];
            let sent = message.as_request(contract, &log, at);
            let request: Request = serde_json::from_str(&sent.payload).expect("a request");
            assert_eq!(
                (request.origin, request.received_at_us, &request.contract),
                (None, at, &Some(contract.clone()))
            );
            assert_eq!((sent.topic, sent.partition), (Topic::Requests, log.partition_of(request.key()).0));
            let body = match &request.body {
                RequestBody::Transaction(transaction) => {
                    transactions += 1;
                    serde_json::to_string(transaction)
                }
                RequestBody::Command(order) => {
                    orders += 1;
                    assert_eq!(&order.contract, contract);
                    serde_json::to_string(order)
                }
                RequestBody::Tick(_) => panic!("a client sends no ticks"),
            };
            assert_eq!(body.expect("JSON"), message.payload);
        }
        assert!(transactions > 1_000 && orders > 0, "{transactions} transactions, {orders} orders");
    }
}
