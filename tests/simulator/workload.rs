//! What terminals and the back office send, and how it reaches the topics: late, again, out of order, unreadable.

use model::{
    Actor, CalendarUnit, CardData, CardKind, CardToken, Command, CommandMessage, ContractId, Currency, FORMAT_VERSION,
    IdempotencyKey, Item, Limit, LimitId, LimitMode, LocalTime, Measure, Millilitres, MinorUnits, MonthlyFee, Offline,
    Origin, Original, PriceE4, ProductCode, ProductSelector, Prompts, Request, RequestBody, Scope, SiteId, TerminalId,
    TimestampUs, Topic, Transaction, TransactionKind, Unit, WeekStart, Window,
};

use crate::faults::Fault;
use crate::random::Random;
use crate::surroundings::{START_US, Surroundings};

/// Of each card on each day in UTC.
pub(crate) const DAILY_ML: u64 = 120_000;
/// Every second card has the daily limit.
fn has_daily_limit(card: &str) -> bool {
    card.ends_with(['0', '2', '4', '6', '8'])
}

/// Something that reaches a topic.
pub(crate) struct Message {
    pub(crate) due_us: i64,
    pub(crate) topic: Topic,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
}

pub(crate) struct Workload {
    /// The last comes first.
    messages: Vec<Message>,
    pub(crate) contracts: Vec<ContractId>,
}

struct Author<'a> {
    around: &'a mut Surroundings,
    messages: Vec<Message>,
    cards: Vec<Card>,
    /// What can be followed up: key, card, when.
    asked: Vec<(String, usize)>,
    number: usize,
}

struct Card {
    token: String,
    contract: usize,
    issued_us: i64,
}

const CONTRACTS: usize = 3;
const CARDS: usize = 9;
/// From the first message to the last, unless it is late.
const SPAN_US: i64 = 150_000_000;

impl Workload {
    pub(crate) fn of(around: &mut Surroundings) -> Self {
        let mut author = Author { around, messages: Vec::new(), cards: Vec::new(), asked: Vec::new(), number: 0 };
        author.write();
        let Author { mut messages, .. } = author;
        messages.sort_by_key(|message| std::cmp::Reverse(message.due_us));
        Self { messages, contracts: (0..CONTRACTS).map(contract).collect() }
    }

    /// What is due now.
    pub(crate) fn next(&mut self, now_us: i64) -> Option<Message> {
        if self.messages.last().is_none_or(|message| message.due_us > now_us) {
            return None;
        }
        self.messages.pop()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.messages.is_empty()
    }
}

fn contract(index: usize) -> ContractId {
    ContractId::new(&format!("C-{index}")).expect("an id")
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).expect("a key")
}

fn minor(amount: i64) -> MinorUnits {
    MinorUnits::new(amount).expect("an amount")
}

impl Author<'_> {
    fn random(&mut self) -> &mut Random {
        &mut self.around.random
    }

    fn write(&mut self) {
        for index in 0..CONTRACTS {
            self.open(index);
        }
        for index in 0..CARDS {
            let late = self.random().one_in(3);
            let issued_us = if late { self.random().between(20_000_000, 100_000_000) } else { 3_000_000 };
            let card = Card { token: format!("K-{index}"), contract: index % CONTRACTS, issued_us };
            let order = issue(&card.token);
            let order = self.order(card.contract, issued_us, &format!("issue-{index}"), order);
            self.send_order(issued_us, &order);
            if has_daily_limit(&card.token) {
                let limit = Command::SetLimit(daily_limit(&card.token));
                let order = self.order(card.contract, issued_us, &format!("limit-{index}"), limit);
                self.send_order(issued_us + 500_000, &order);
            }
            self.cards.push(card);
        }
        let steps = 40 + self.random().index(60);
        for _ in 0..steps {
            self.number += 1;
            let at_us = self.random().between(6_000_000, SPAN_US);
            match self.random().below(20) {
                0..3 => self.money(at_us),
                3 => self.block(at_us),
                4 => self.fee_or_bill(at_us),
                5 => self.directly(at_us),
                6..14 => self.ask(at_us),
                _ => self.follow(at_us),
            }
        }
    }

    fn open(&mut self, index: usize) {
        let (name, time_zone) = ("Hauliers".to_owned(), "UTC".to_owned());
        let week_start = WeekStart::Monday;
        let currency = Currency::RUB;
        let open = Command::OpenContract { name, currency, time_zone, legal_entity: None, holding: None, week_start };
        let order = self.order(index, 0, &format!("open-{index}"), open);
        self.send_order(0, &order);
        let amount_minor = minor(self.random().between(100_000, 2_000_000));
        let top_up = Command::TopUp { amount_minor, currency, reference: format!("FIRST-{index}"), payer: None };
        let order = self.order(index, 1_000_000, &format!("first-{index}"), top_up);
        self.send_order(1_000_000, &order);
        let fee = Command::SetMonthlyFee(MonthlyFee { name: "service".to_owned(), amount_minor: minor(1_000) });
        let order = self.order(index, 1_500_000, &format!("fee-{index}"), fee);
        self.send_order(1_500_000, &order);
    }

    fn order(&self, index: usize, at_us: i64, idem: &str, command: Command) -> CommandMessage {
        let at_us = TimestampUs::from_micros(START_US + at_us);
        let (author, contract) = ("office".to_owned(), contract(index));
        CommandMessage { v: FORMAT_VERSION, idem: key(idem), author, at_us, contract, command }
    }

    fn send_order(&mut self, due_us: i64, order: &CommandMessage) {
        let value = serde_json::to_vec(order).expect("JSON");
        self.send(due_us, Topic::Commands, order.contract.as_str(), value);
    }

    fn money(&mut self, at_us: i64) {
        let (index, number) = (self.random().index(CONTRACTS), self.number);
        let currency = Currency::RUB;
        let command = match self.random().below(6) {
            0 => Command::SetCreditLine { amount_minor: minor(self.random().between(0, 300_000)), currency },
            1 => {
                let amount_minor = minor(self.random().between(-50_000, 50_000));
                Command::Adjust { amount_minor, currency, reason: String::new() }
            }
            _ => {
                let amount_minor = minor(self.random().between(1_000, 600_000));
                // Now and then a payment is entered twice.
                let payment = if self.random().one_in(5) { number / 2 } else { number };
                Command::TopUp { amount_minor, currency, reference: format!("PAY-{payment}"), payer: None }
            }
        };
        let order = self.order(index, at_us, &format!("O-{number}"), command);
        self.send_order(at_us, &order);
    }

    fn block(&mut self, at_us: i64) {
        let place = self.random().index(CARDS);
        let card = CardToken::new(&self.cards[place].token).expect("a token");
        let (actor, reason) = (Actor::Client, String::new());
        let command = match self.random().below(2) {
            0 => Command::BlockCard { card, reason, actor, until_us: None },
            _ => Command::UnblockCard { card, actor, until_us: None },
        };
        let order = self.order(self.cards[place].contract, at_us, &format!("O-{}", self.number), command);
        self.send_order(at_us, &order);
    }

    fn fee_or_bill(&mut self, at_us: i64) {
        let index = self.random().index(CONTRACTS);
        let command = match self.random().below(2) {
            0 => Command::Bill { number: format!("B-{}", self.number) },
            _ => {
                let amount_minor = minor(self.random().between(0, 2_000));
                Command::SetMonthlyFee(MonthlyFee { name: "service".to_owned(), amount_minor })
            }
        };
        let order = self.order(index, at_us, &format!("O-{}", self.number), command);
        self.send_order(at_us, &order);
    }

    /// A new wish at a pump.
    fn ask(&mut self, at_us: i64) {
        let kind = match self.random().below(12) {
            0..6 => TransactionKind::Preauth,
            6..10 => TransactionKind::Sale,
            10 => TransactionKind::DryRun,
            _ => TransactionKind::Balance,
        };
        let place = self.random().index(CARDS);
        let transaction = self.transaction(at_us, kind, place, None);
        self.asked.push((format!("K-{}", self.number), place));
        self.send_transaction(at_us, place, &transaction);
    }

    /// More about something asked before.
    fn follow(&mut self, at_us: i64) {
        let Some(last) = self.asked.len().checked_sub(1) else { return self.ask(at_us) };
        let back = self.random().index(8);
        let (original, place) = self.asked[last.saturating_sub(back)].clone();
        let kind = match self.random().below(13) {
            0..6 => TransactionKind::Completion,
            6 => TransactionKind::Incremental,
            7 | 8 => TransactionKind::Reversal,
            9 => TransactionKind::Refund,
            10 => TransactionKind::Void,
            11 => TransactionKind::AdviceOffline,
            _ => TransactionKind::Forced,
        };
        let transaction = self.transaction(at_us, kind, place, Some(&original));
        self.send_transaction(at_us, place, &transaction);
    }

    /// From a producer that knows the contract, and so needs no routing.
    fn directly(&mut self, at_us: i64) {
        let place = self.random().index(CARDS);
        let transaction = self.transaction(at_us, TransactionKind::Sale, place, None);
        let contract = contract(self.cards[place].contract);
        let request = Request {
            v: FORMAT_VERSION,
            origin: None::<Origin>,
            received_at_us: TimestampUs::from_micros(START_US + at_us),
            contract: Some(contract.clone()),
            body: RequestBody::Transaction(Box::new(transaction)),
        };
        let value = serde_json::to_vec(&request).expect("JSON");
        self.messages.push(Message { due_us: at_us, topic: Topic::Requests, key: contract.to_string(), value });
    }

    fn transaction(&mut self, at_us: i64, kind: TransactionKind, place: usize, original: Option<&str>) -> Transaction {
        // Most terminals' clocks are right to a second, some are hours off.
        let off_us = match self.random().below(15) {
            0 => self.random().between(-30 * 3_600_000_000, 2 * 3_600_000_000),
            _ => self.random().between(-1_000_000, 1_000_000),
        };
        let at = TimestampUs::from_micros(START_US + at_us + off_us);
        let site = self.random().index(4);
        let qty_ml = Millilitres::new(self.random().below(60_000) + 1).expect("a quantity");
        let item = Item {
            code: ProductCode::new("DIESEL").expect("a code"),
            group: None,
            unit: Unit::L,
            qty_ml: Some(qty_ml),
            pieces: None,
            price_e4: PriceE4::new(500_000).expect("a price"),
            amount_minor: None,
        };
        let offline = kind == TransactionKind::AdviceOffline;
        Transaction {
            v: FORMAT_VERSION,
            idem: key(&format!("K-{}", self.number)),
            kind,
            site: SiteId::new(&format!("S-{site}")).expect("an id"),
            terminal: TerminalId::new(&format!("T-{site}")).expect("an id"),
            pump: Some(4),
            device: None,
            entry: None,
            batch: None,
            shift: None,
            tsn: None,
            local_time: LocalTime::from_utc(at, 180),
            utc_offset_min: 180,
            sent_at_us: Some(at),
            location: None,
            region: None,
            country: None,
            card: CardData {
                token: CardToken::new(&self.cards[place].token).expect("a token"),
                pan_masked: None,
                expiry: None,
            },
            second_id: None,
            pin: None,
            prompts: Prompts::default(),
            items: vec![item],
            fill_up: kind == TransactionKind::Preauth && self.random().one_in(4),
            currency: Currency::RUB,
            partial_ok: self.random().one_in(2),
            original: Original { auth_code: None, idem: original.map(key) },
            offline: Offline { was: offline, ..Offline::default() },
        }
    }

    fn send_transaction(&mut self, at_us: i64, place: usize, transaction: &Transaction) {
        if at_us < self.cards[place].issued_us {
            self.around.faults.count(Fault::UnknownCard);
        }
        let value = serde_json::to_vec(transaction).expect("JSON");
        if self.random().one_in(14) {
            let other = Transaction { items: Vec::new(), ..transaction.clone() };
            self.later(Fault::OtherBody, at_us, Topic::Transactions, transaction.terminal.as_str(), &other);
        }
        self.send(at_us, Topic::Transactions, transaction.terminal.as_str(), value);
    }

    fn later(&mut self, fault: Fault, at_us: i64, topic: Topic, key: &str, other: &Transaction) {
        self.around.faults.count(fault);
        let due_us = at_us + self.random().between(0, 20_000_000);
        let value = serde_json::to_vec(other).expect("JSON");
        self.messages.push(Message { due_us, topic, key: key.to_owned(), value });
    }

    /// On its way to the topic, where not everything goes well.
    fn send(&mut self, at_us: i64, topic: Topic, key: &str, value: Vec<u8>) {
        let mut due_us = at_us;
        let mut copies = Vec::new();
        match self.random().below(40) {
            0..3 => {
                self.around.faults.count(Fault::SentAgain);
                copies.push((self.random().between(0, 30_000_000), key.to_owned()));
            }
            3 => {
                self.around.faults.count(Fault::SentElsewhere);
                let other = format!("{key}-{}", self.random().below(9));
                copies.push((self.random().between(0, 30_000_000), other));
            }
            4 if at_us > 6_000_000 => {
                self.around.faults.count(Fault::SentLate);
                due_us += self.random().between(5_000_000, 60_000_000);
            }
            5 if at_us > 6_000_000 => {
                self.around.faults.count(Fault::SentEarly);
                due_us -= self.random().between(1_000_000, 6_000_000);
            }
            6 => {
                self.around.faults.count(Fault::Poison);
                let mut poison = value.clone();
                let cut = self.random().index(poison.len());
                match self.random().below(3) {
                    0 => poison.truncate(cut),
                    1 => poison[cut] = 0xff,
                    _ => poison = vec![b'['; 200],
                }
                self.messages.push(Message { due_us, topic, key: key.to_owned(), value: poison });
            }
            _ => {}
        }
        for (after_us, key) in copies {
            self.messages.push(Message { due_us: due_us + after_us, topic, key, value: value.clone() });
        }
        self.messages.push(Message { due_us, topic, key: key.to_owned(), value });
    }
}

fn issue(card: &str) -> Command {
    Command::IssueCard {
        card: CardToken::new(card).expect("a token"),
        pan_masked: "****1234".to_owned(),
        kind: CardKind::Plastic,
        group: None,
        vehicle: None,
        driver: None,
        valid_from_us: None,
        valid_to_us: None,
        daily_ml: None,
        daily_minor: None,
    }
}

fn daily_limit(card: &str) -> Limit {
    Limit {
        id: LimitId::new(&format!("{card}:day")).expect("an id"),
        scope: Scope::Card(CardToken::new(card).expect("a token")),
        product: ProductSelector::All,
        measure: Measure::Volume,
        value: i64::try_from(DAILY_ML).expect("a volume"),
        window: Window::Calendar { unit: CalendarUnit::Day, count: 1 },
        schedule: None,
        mode: LimitMode::Decline,
        alert_left: None,
        valid_from_us: None,
        valid_to_us: None,
        offline: false,
    }
}
