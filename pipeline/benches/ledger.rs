//! Decisions a second of one shard on one core, in batches, facts produced: 1,000 cards that stay in the cache, and a million
//! that do not; and what lies around the decision: words and JSON.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{
    CalendarUnit, CardData, CardKind, CardToken, Command, CommandMessage, ContractId, Currency, IdempotencyKey, Item,
    Limit, LimitId, LimitMode, LocalTime, Measure, Millilitres, MinorUnits, Offline, Origin, OriginTopic, Original,
    PartitionId, PriceE4, ProductCode, ProductSelector, Prompts, Request, RequestBody, Scope, SiteId, TerminalId,
    TimestampUs, Transaction, TransactionKind, Unit, WeekStart, Window,
};
use pipeline::ledger::Config;
use pipeline::ledger::shard::{Batch, Shard};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const BATCH: usize = 256;
const SECOND_US: i64 = 1_000_000;
/// Every card buys once an hour.
const PURCHASE_EVERY_US: i64 = 3_600 * SECOND_US;
/// Answers that stay, at most 72 hours of them: the oldest go as new ones come, so that memory is in steady use.
const ANSWERS_KEPT: i64 = 1_000_000;

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
}

impl Network {
    fn open(contracts: usize, cards: usize) -> Self {
        let between_us = PURCHASE_EVERY_US / i64::try_from(cards).expect("a number of cards");
        let kept_us = (ANSWERS_KEPT * between_us).min(72 * PURCHASE_EVERY_US);
        let mut network = Self {
            between_us,
            config: Config { key_retention_us: kept_us, ..Config::default() },
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

    fn purchases(&mut self, kind: TransactionKind) -> Vec<(i64, Request)> {
        (0..BATCH).map(|_| self.purchase(kind)).collect()
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

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (contracts, cards) in [(50, 1_000), (50_000, 1_000_000)] {
        let before = resident_bytes();
        let mut network = Network::open(contracts, cards);
        let bytes = resident_bytes().saturating_sub(before) / cards as u64;
        // Until old answers make room for new ones.
        for _ in 0..usize::try_from(ANSWERS_KEPT).expect("a number") / BATCH + BATCH {
            let requests = network.purchases(TransactionKind::DryRun);
            network.decide(requests);
        }
        println!(
            "{cards} cards in {contracts} contracts, 3 limits each: {bytes} bytes of memory a card, before purchases and answers"
        );
        for kind in [TransactionKind::Sale, TransactionKind::Preauth, TransactionKind::DryRun] {
            // Making the requests and dropping the facts is not measured; the network goes on from batch to batch.
            let name = BenchmarkId::new(format!("{kind:?}").to_lowercase(), format!("{cards} cards"));
            let network = std::cell::RefCell::new(&mut network);
            group.bench_function(name, |bencher| {
                bencher.iter_batched(
                    || network.borrow_mut().purchases(kind),
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
                let requests = network.purchases(TransactionKind::Sale);
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

/// Resident memory of this process (Linux; 0 elsewhere).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = decisions, records
}
criterion_main!(benches);
