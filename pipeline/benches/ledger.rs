//! Decisions a second of one shard on one core: purchases of random cards, in batches, without serialisation to the log.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{
    CardData, CardToken, Command, CommandMessage, ContractId, Currency, IdempotencyKey, Item, LocalTime, Millilitres,
    MinorUnits, Offline, Origin, OriginTopic, Original, PartitionId, PriceE4, ProductCode, Prompts, Request,
    RequestBody, SiteId, TerminalId, TimestampUs, Transaction, TransactionKind, Unit,
};
use pipeline::ledger::Config;
use pipeline::ledger::shard::Shard;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const BATCH: usize = 256;
const SECOND_US: i64 = 1_000_000;

/// A network of cards, and the requests that come from it for ever.
struct Network {
    config: Config,
    shard: Shard,
    cards: Vec<(CardToken, ContractId)>,
    random: SmallRng,
    offset: i64,
    at: TimestampUs,
}

impl Network {
    fn open(contracts: usize, cards: usize) -> Self {
        let mut network = Self {
            config: Config::default(),
            shard: Shard::new(PartitionId(0)),
            cards: Vec::with_capacity(cards),
            random: SmallRng::seed_from_u64(1),
            offset: 0,
            at: TimestampUs::from_micros(1_768_377_600 * SECOND_US),
        };
        for number in 0..contracts {
            let contract = ContractId::new(&format!("C-{number}")).expect("an identifier");
            network.order(
                &contract,
                Command::OpenContract {
                    name: "Hauliers".into(),
                    currency: Currency::RUB,
                    time_zone: "Europe/Moscow".into(),
                },
            );
            let amount_minor = MinorUnits::new(100_000_000_000).expect("in range");
            network.order(&contract, Command::TopUp { amount_minor, currency: Currency::RUB, reference: "1".into() });
            for card in 0..cards / contracts {
                let card = CardToken::new(&format!("tok-{number}-{card}")).expect("an identifier");
                network.cards.push((card.clone(), contract.clone()));
                network.order(
                    &contract,
                    Command::IssueCard {
                        card,
                        pan_masked: "****1234".into(),
                        vehicle: Some("A123BC".into()),
                        daily_ml: Some(Millilitres::from_litres(100_000)),
                        daily_minor: Some(MinorUnits::new(10_000_000_000).expect("in range")),
                    },
                );
            }
        }
        network
    }

    fn order(&mut self, contract: &ContractId, command: Command) {
        let idem = self.idem();
        let message =
            CommandMessage { v: 1, idem, author: "bench".into(), at_us: self.at, contract: contract.clone(), command };
        let request = self.request(contract.clone(), RequestBody::Command(message));
        self.decide(&[request]);
    }

    fn idem(&mut self) -> IdempotencyKey {
        IdempotencyKey::new(&format!("T0417-20260114-{}", self.random.random::<u64>())).expect("an identifier")
    }

    fn request(&mut self, contract: ContractId, body: RequestBody) -> Request {
        let topic = OriginTopic::Transactions;
        self.offset += 1;
        let origin = Some(Origin { topic, partition: PartitionId(0), offset: self.offset });
        Request { v: 1, origin, received_at_us: self.at, contract: Some(contract), body }
    }

    fn purchases(&mut self, kind: TransactionKind) -> Vec<Request> {
        (0..BATCH).map(|_| self.purchase(kind)).collect()
    }

    fn purchase(&mut self, kind: TransactionKind) -> Request {
        let (token, contract) = self.cards[self.random.random_range(0..self.cards.len())].clone();
        self.at = self.at.plus_us(SECOND_US / 100);
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
            card: CardData { token, pan_masked: Some("****1234".into()), expiry: Some("2812".into()) },
            second_id: None,
            pin: None,
            prompts: Prompts::default(),
            items: vec![Item {
                code: ProductCode::new("053").expect("an identifier"),
                group: None,
                unit: Unit::L,
                qty_ml: Some(Millilitres::from_litres(60)),
                price_e4: PriceE4::new(694_500).expect("in range"),
                amount_minor: None,
            }],
            fill_up: false,
            currency: Currency::RUB,
            partial_ok: true,
            original: Original::default(),
            offline: Offline::default(),
        };
        self.request(contract, RequestBody::Transaction(transaction))
    }

    fn decide(&mut self, requests: &[Request]) {
        for request in requests {
            let offset = request.origin.map_or(0, |origin| origin.offset);
            black_box(self.shard.decide(&self.config, offset, request));
        }
    }
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (contracts, cards) in [(50, 1_000), (5_000, 100_000)] {
        for kind in [TransactionKind::Sale, TransactionKind::Preauth, TransactionKind::DryRun] {
            let mut network = Network::open(contracts, cards);
            // Making the requests is not measured; the network goes on from batch to batch.
            let name = BenchmarkId::new(format!("{kind:?}").to_lowercase(), format!("{cards} cards"));
            let network = std::cell::RefCell::new(&mut network);
            group.bench_function(name, |bencher| {
                bencher.iter_batched_ref(
                    || network.borrow_mut().purchases(kind),
                    |requests| network.borrow_mut().decide(requests),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = decisions
}
criterion_main!(benches);
