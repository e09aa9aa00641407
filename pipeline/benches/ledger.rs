//! Decisions a second of one shard on one core, in batches, facts produced: 1,000 cards that stay in the cache, and a million
//! that do not; and what lies around the decision: the dataflow, words and JSON.
//!
//! Both networks are measured in the state in which they would run: each card has bought every other day for longer than single
//! purchases are remembered, so each new purchase makes an old one go, and each new answer an old answer.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{
    AuthCode, CalendarUnit, CardData, CardKind, CardToken, Command, CommandMessage, ContractId, Currency,
    IdempotencyKey, Item, LedgerBody, LedgerRecord, Limit, LimitId, LimitMode, LocalTime, Measure, Millilitres,
    MinorUnits, Offline, Origin, OriginTopic, Original, PartitionId, PriceE4, ProductCode, ProductSelector, Prompts,
    Request, RequestBody, Scope, SiteId, TerminalId, TimestampUs, Transaction, TransactionKind, Unit, WeekStart,
    Window,
};
use pipeline::ledger::shard::{Batch, Shard};
use pipeline::ledger::{self, Config, Input, Output};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 256;
const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
/// How often a card buys.
const PURCHASE_EVERY_US: i64 = 48 * HOUR_US;
/// Until old purchases make room for new ones: 36 days of them, single ones are remembered for 35.
const PURCHASES_BEFORE: usize = 18;

/// A network with more cards is not opened a second time.
const ORDERS_KEPT: usize = 1_000;

/// A network of cards, and the requests that come from it for ever.
struct Network {
    config: Config,
    shard: Shard,
    cards: Vec<(CardToken, ContractId)>,
    random: SmallRng,
    offset: i64,
    at: TimestampUs,
    /// Between two purchases of the network.
    between_us: i64,
    /// What opened the network.
    orders: Vec<(i64, Request)>,
}

impl Network {
    fn open(contracts: usize, cards: usize) -> Self {
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

    fn batch(&mut self, what: What) -> Vec<(i64, Request)> {
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

    fn decide(&mut self, requests: Vec<(i64, Request)>) -> Batch {
        let mut batch = Batch::default();
        self.shard.decide_batch(&self.config, requests, &mut batch);
        batch
    }
}

/// What a batch is made of.
#[derive(Clone, Copy)]
enum What {
    Sales,
    /// Half of them preauthorizations, half their completions.
    Holds,
    DryRuns,
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (contracts, cards) in [(50, 1_000), (50_000, 1_000_000)] {
        let resident = resident_bytes();
        let mut network = Network::open(contracts, cards);
        let per_card = || resident_bytes().saturating_sub(resident) / cards as u64;
        print!(
            "{cards} cards in {contracts} contracts, 3 limits each: {} bytes of memory a card when issued",
            per_card()
        );
        for _ in 0..cards * PURCHASES_BEFORE / BATCH {
            let requests = network.batch(What::Sales);
            network.decide(requests);
        }
        println!(", {} with the purchases of 35 days and the answers of 72 hours", per_card());
        for (name, what) in [("sale", What::Sales), ("hold", What::Holds), ("dry run", What::DryRuns)] {
            // Making the requests and dropping the facts is not measured; the network goes on from batch to batch.
            let name = BenchmarkId::new(name, format!("{cards} cards"));
            let network = std::cell::RefCell::new(&mut network);
            group.bench_function(name, |bencher| {
                bencher.iter_batched(
                    || network.borrow_mut().batch(what),
                    |requests| network.borrow_mut().decide(requests),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Words and JSON: the stage after the decision.
fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(BATCH as u64));
    let network = std::cell::RefCell::new(Network::open(50, 1_000));
    group.bench_function("words and json", |bencher| {
        bencher.iter_batched(
            || {
                let mut network = network.borrow_mut();
                let requests = network.batch(What::Sales);
                network.decide(requests)
            },
            |batch| {
                let outcomes = network.borrow_mut().shard.outcomes(batch);
                outcomes.iter().map(|outcome| serde_json::to_vec(outcome).map_or(0, |json| json.len())).sum::<usize>()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// The same requests decided and put into words, by hand and by the dataflow: what hand-overs, queues and timely add.
fn dataflow(criterion: &mut Criterion) {
    const BATCHES: usize = 16;
    let mut group = criterion.benchmark_group("dataflow");
    group.throughput(Throughput::Elements((BATCHES * BATCH) as u64));
    let network = std::cell::RefCell::new(Network::open(50, 1_000));
    let batches = || (0..BATCHES).map(|_| network.borrow_mut().batch(What::Sales)).collect::<Vec<_>>();
    group.bench_function("without", |bencher| {
        bencher.iter_batched(
            batches,
            |batches| {
                let mut network = network.borrow_mut();
                let decide = |requests| {
                    let batch = network.decide(requests);
                    network.shard.outcomes(batch)
                };
                batches.into_iter().map(decide).collect::<Vec<_>>()
            },
            BatchSize::PerIteration,
        );
    });
    let (send, outputs) = crossbeam_channel::bounded(BATCHES);
    let running = ledger::spawn(Config { workers: 1, ..Config::default() }, send);
    let partition = PartitionId(0);
    let body = LedgerBody::Takeover { owner: "bench".into(), at_us: TimestampUs::default() };
    let feed = |input| running.feed(partition).send(input).expect("the dataflow runs");
    feed(Input::Fold { partition, offset: 0, record: LedgerRecord { v: 1, epoch: 0, body } });
    feed(Input::Start { partition, epoch: 0 });
    let orders = network.borrow_mut().orders.split_off(0);
    let expected = orders.len();
    let receive = |expected: usize| {
        let mut batches = Vec::new();
        let mut received = 0;
        while received < expected {
            let batch: Vec<Output> = outputs.recv().expect("the dataflow answers");
            received += batch.len();
            batches.push(batch);
        }
        batches
    };
    feed(Input::Decide { partition, epoch: 0, requests: orders });
    receive(expected);
    group.bench_function("with", |bencher| {
        bencher.iter_batched(
            batches,
            |batches| {
                for requests in batches {
                    feed(Input::Decide { partition, epoch: 0, requests });
                }
                receive(BATCHES * BATCH)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Resident memory of this process (Linux; 0 elsewhere).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = decisions, records, dataflow
}
criterion_main!(benches);
