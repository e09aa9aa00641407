//! A network of cards, in the state in which it would run, and the requests that come from it for ever.

use std::hint::black_box;

use model::{
    AuthCode, CalendarUnit, CardData, CardKind, CardToken, Command, CommandMessage, ContractId, Currency,
    IdempotencyKey, Item, Limit, LimitId, LimitMode, LocalTime, Measure, Millilitres, MinorUnits, Offline, Origin,
    OriginTopic, Original, PartitionId, PriceE4, ProductCode, ProductSelector, Prompts, Request, RequestBody, Scope,
    SiteId, TerminalId, TimestampUs, Transaction, TransactionKind, Unit, WeekStart, Window,
};
use pipeline::ledger::Config;
use pipeline::ledger::shard::{Batch, Shard};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

pub(crate) const BATCH: usize = 256;
const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
/// How often a card buys.
const PURCHASE_EVERY_US: i64 = 48 * HOUR_US;
/// Until old purchases make room for new ones: 36 days of them, single ones are remembered for 35.
pub(crate) const PURCHASES_BEFORE: usize = 18;

/// A network with more cards is not opened a second time.
const ORDERS_KEPT: usize = 1_000;

pub(crate) struct Network {
    pub(crate) config: Config,
    pub(crate) shard: Shard,
    cards: Vec<(CardToken, ContractId)>,
    random: SmallRng,
    offset: i64,
    at: TimestampUs,
    /// Between two purchases of the network.
    between_us: i64,
    /// What opened the network.
    pub(crate) orders: Vec<(i64, Request)>,
}

impl Network {
    pub(crate) fn open(contracts: usize, cards: usize) -> Self {
        let between_us = PURCHASE_EVERY_US / i64::try_from(cards).expect("a number of cards");
        let mut network = Self {
            between_us,
            orders: Vec::new(),
            config: Config::default(),
            shard: Shard::new(PartitionId(0)),
            cards: Vec::with_capacity(cards),
            random: SmallRng::seed_from_u64(1),
            offset: 0,
            at: TimestampUs::from_micros(1_768_377_600 * SECOND_US),
        };
        for number in 0..contracts {
            let contract = ContractId::new(&format!("C-{number}")).expect("an identifier");
            let open = Command::OpenContract {
                name: "Hauliers".into(),
                currency: Currency::RUB,
                time_zone: "Europe/Moscow".into(),
                legal_entity: None,
                holding: None,
                week_start: WeekStart::Monday,
            };
            network.order(&contract, open);
            let amount_minor = MinorUnits::new(100_000_000_000_000).expect("in range");
            let (currency, reference, payer) = (Currency::RUB, "1".into(), None);
            network.order(&contract, Command::TopUp { amount_minor, currency, reference, payer });
            for card in 0..cards / contracts {
                let card = CardToken::new(&format!("tok-{number}-{card}")).expect("an identifier");
                network.cards.push((card.clone(), contract.clone()));
                network.issue(&contract, &card);
            }
        }
        network
    }

    /// A card with three limits: litres a day, diesel a week, money a month.
    fn issue(&mut self, contract: &ContractId, card: &CardToken) {
        let issue = Command::IssueCard {
            card: card.clone(),
            pan_masked: "****1234".into(),
            kind: CardKind::Plastic,
            group: None,
            vehicle: None,
            driver: None,
            valid_from_us: None,
            valid_to_us: None,
            daily_ml: None,
            daily_minor: None,
        };
        self.order(contract, issue);
        let diesel = ProductSelector::Group(ProductCode::new("DIESEL").expect("an identifier"));
        let limits = [
            ("day", ProductSelector::All, Measure::Volume, CalendarUnit::Day),
            ("week", diesel, Measure::Volume, CalendarUnit::Week),
            ("month", ProductSelector::All, Measure::Money, CalendarUnit::Month),
        ];
        for (name, product, measure, unit) in limits {
            let limit = Limit {
                id: LimitId::new(&format!("{card}-{name}")).expect("an identifier"),
                scope: Scope::Card(card.clone()),
                product,
                measure,
                value: 1_000_000_000_000,
                window: Window::Calendar { unit, count: 1 },
                schedule: None,
                mode: LimitMode::Decline,
                alert_left: None,
                valid_from_us: None,
                valid_to_us: None,
                offline: false,
            };
            self.order(contract, Command::SetLimit(limit));
        }
    }

    fn order(&mut self, contract: &ContractId, command: Command) {
        let idem = self.idem();
        let message =
            CommandMessage { v: 1, idem, author: "bench".into(), at_us: self.at, contract: contract.clone(), command };
        let (offset, request) = self.request(contract.clone(), RequestBody::Command(Box::new(message)));
        if self.cards.len() <= ORDERS_KEPT {
            self.orders.push((offset, request.clone()));
        }
        black_box(self.shard.decide(&self.config, offset, request));
    }

    fn idem(&mut self) -> IdempotencyKey {
        IdempotencyKey::new(&format!("T0417-20260114-{}", self.random.random::<u64>())).expect("an identifier")
    }

    fn request(&mut self, contract: ContractId, body: RequestBody) -> (i64, Request) {
        let topic = OriginTopic::Transactions;
        self.offset += 1;
        let origin = Some(Origin { topic, partition: PartitionId(0), offset: self.offset });
        (self.offset, Request { v: 1, origin, received_at_us: self.at, contract: Some(contract), body })
    }

    pub(crate) fn batch(&mut self, what: What) -> Vec<(i64, Request)> {
        match what {
            What::Sales => (0..BATCH).map(|_| self.purchase(TransactionKind::Sale)).collect(),
            What::DryRuns => (0..BATCH).map(|_| self.purchase(TransactionKind::DryRun)).collect(),
            What::Holds => {
                let held: Vec<_> = (0..BATCH / 2).map(|_| self.purchase(TransactionKind::Preauth)).collect();
                let completions: Vec<_> =
                    held.iter().map(|(offset, request)| self.completion(*offset, request)).collect();
                held.into_iter().chain(completions).collect()
            }
        }
    }

    fn completion(&mut self, offset: i64, held: &Request) -> (i64, Request) {
        let (RequestBody::Transaction(held), Some(contract)) = (&held.body, &held.contract) else { unreachable!() };
        let auth_code = Some(AuthCode::new(&format!("0-{offset}")).expect("an identifier"));
        let transaction = Transaction {
            idem: self.idem(),
            kind: TransactionKind::Completion,
            original: Original { auth_code, ..Original::default() },
            ..(**held).clone()
        };
        self.request(contract.clone(), RequestBody::Transaction(Box::new(transaction)))
    }

    fn purchase(&mut self, kind: TransactionKind) -> (i64, Request) {
        let (token, contract) = self.cards[self.random.random_range(0..self.cards.len())].clone();
        self.at = self.at.plus_us(self.between_us);
        let transaction = Transaction {
            v: 1,
            idem: self.idem(),
            kind,
            site: SiteId::new("S-1041").expect("an identifier"),
            terminal: TerminalId::new("T0417").expect("an identifier"),
            pump: Some(4),
            device: None,
            entry: None,
            batch: Some("20260114001".into()),
            shift: Some(2),
            tsn: Some(123),
            local_time: LocalTime::from_utc(self.at, 180),
            utc_offset_min: 180,
            sent_at_us: Some(self.at),
            location: None,
            region: None,
            country: None,
            card: CardData { token, pan_masked: Some("****1234".into()), expiry: Some("2812".into()) },
            second_id: None,
            pin: None,
            prompts: Prompts::default(),
            items: vec![Item {
                code: ProductCode::new("053").expect("an identifier"),
                group: Some(ProductCode::new("DIESEL").expect("an identifier")),
                unit: Unit::L,
                qty_ml: Some(Millilitres::from_litres(60)),
                pieces: None,
                price_e4: PriceE4::new(694_500).expect("in range"),
                amount_minor: None,
            }],
            fill_up: false,
            currency: Currency::RUB,
            partial_ok: true,
            original: Original::default(),
            offline: Offline::default(),
        };
        self.request(contract, RequestBody::Transaction(Box::new(transaction)))
    }

    pub(crate) fn decide(&mut self, requests: Vec<(i64, Request)>) -> Batch {
        let mut batch = Batch::default();
        self.shard.decide_batch(&self.config, requests, &mut batch);
        batch
    }
}

/// What a batch is made of.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "each benchmark asks for some of them")]
pub(crate) enum What {
    Sales,
    /// Half of them preauthorizations, half their completions.
    Holds,
    DryRuns,
}
