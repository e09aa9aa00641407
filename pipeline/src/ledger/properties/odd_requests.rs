//! Whatever a request holds that its types can hold: an answer, and books that balance.

use model::{
    CardToken, Command, Currency, Fact, Item, LimitMode, LocalTime, Measure, Millilitres, MinorUnits, Offline,
    Original, PartitionId, Pin, PriceE4, ProductCode, Prompts, Request, RequestBody, Schedule, Scope, TimestampUs,
    Transaction, TransactionKind, Unit, WeekStart, Window,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::shard::Shard;
use super::super::{Config, samples};
use super::{Books, START_US, contract};

/// The largest amounts, volumes and times that the types hold.
const MOST: i64 = 1_000_000_000_000_000;
const DAY_US: i64 = 86_400_000_000;
const LAST_US: i64 = 221_845_392_000_000_000;

fn amounts() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(0_i64),
        Just(1),
        Just(-1),
        Just(MOST),
        Just(-MOST),
        Just(MOST - 1),
        -1_000_000_i64..1_000_000,
        -MOST..MOST
    ]
}

fn times() -> impl Strategy<Value = i64> {
    let near = (-40_i64 * 1_440..40 * 1_440).prop_map(|minutes| START_US + minutes * 60_000_000);
    prop_oneof![10 => near, 1 => Just(0_i64), 1 => Just(LAST_US), 1 => 0_i64..LAST_US]
}

fn kinds() -> impl Strategy<Value = TransactionKind> {
    prop::sample::select(vec![
        TransactionKind::Preauth,
        TransactionKind::Preauth,
        TransactionKind::Sale,
        TransactionKind::Incremental,
        TransactionKind::Completion,
        TransactionKind::AdviceOffline,
        TransactionKind::Forced,
        TransactionKind::Reversal,
        TransactionKind::Void,
        TransactionKind::Refund,
        TransactionKind::Balance,
        TransactionKind::DryRun,
    ])
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let product = prop::sample::select(vec!["DIESEL", "AI95", "WASH"]);
    let price = prop_oneof![Just(0_u64), Just(1), Just(500_000), Just(1_000_000_000)];
    let pieces = prop::option::of(prop_oneof![Just(0_u32), Just(1), Just(u32::MAX)]);
    let item = (
        product,
        any::<bool>(),
        any::<bool>(),
        prop::option::of(amounts()),
        pieces,
        price,
        prop::option::of(amounts()),
    );
    let item = item.prop_map(|(code, group, litres, ml, pieces, price, minor)| Item {
        code: ProductCode::new(code).unwrap(),
        group: group.then(|| ProductCode::new("FUEL").unwrap()),
        unit: if litres { Unit::L } else { Unit::Pieces },
        qty_ml: ml.map(|ml| Millilitres::new(ml.unsigned_abs()).unwrap()),
        pieces,
        price_e4: PriceE4::new(price).unwrap(),
        amount_minor: minor.map(|minor| MinorUnits::new(minor).unwrap()),
    });
    let item = item.boxed();
    prop_oneof![8 => vec(item.clone(), 0..3), 1 => vec(item, 15..18)]
}

/// A transaction with the time at which it is received and how many requests before stands what it refers to.
fn transactions() -> impl Strategy<Value = (Transaction, i64, usize)> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let who = (prop::sample::select(vec!["card-0", "card-1", "nobody"]), prop::option::of(any::<bool>()));
    let told = (prop::option::of(any::<u32>()), prop::option::of("[ -~]{0,80}"), prop::option::of(times()));
    (kinds(), items(), (times(), times(), any::<i16>()), flags, who, told, 1_usize..6).prop_map(
        |(kind, items, (event, received, offset), (fill_up, partial_ok, was), (card, pin), told, back)| {
            let at = TimestampUs::from_micros(event);
            let (odometer, name, loaded) = told;
            let transaction = Transaction {
                items,
                fill_up,
                partial_ok,
                utc_offset_min: offset,
                local_time: LocalTime::from_utc(at, offset),
                pin: pin.map(|verified| Pin { verified, attempt: u8::MAX }),
                prompts: Prompts { odometer, driver_id: name.clone(), vehicle: name, ..Prompts::default() },
                offline: Offline { was, catalog_at_us: loaded.map(TimestampUs::from_micros), ..Offline::default() },
                ..samples::transaction(kind, "later", card, at)
            };
            // Mostly received when it happened, or nothing would ever be approved. Our own clock is near the truth.
            let received = if back < 5 { event } else { received };
            let received = received.clamp(START_US - 40 * DAY_US, START_US + 40 * DAY_US);
            (transaction, received, back)
        },
    )
}

fn limits() -> impl Strategy<Value = Command> {
    let unit = prop::sample::select(vec![
        model::CalendarUnit::Day,
        model::CalendarUnit::Week,
        model::CalendarUnit::Month,
        model::CalendarUnit::Quarter,
        model::CalendarUnit::Year,
    ]);
    let window = prop_oneof![
        Just(Window::PerTransaction),
        Just(Window::Lifetime),
        Just(Window::OneOff),
        (unit, any::<u16>()).prop_map(|(unit, count)| Window::Calendar { unit, count: count % 40 }),
        any::<u32>().prop_map(|secs| Window::Rolling { secs }),
        (0_u32..3_000_000).prop_map(|secs| Window::Rolling { secs }),
    ];
    let measure = prop::sample::select(vec![Measure::Volume, Measure::Money, Measure::Count]);
    let mode = prop::sample::select(vec![LimitMode::Decline, LimitMode::Flag, LimitMode::Shadow]);
    let value = prop_oneof![4 => amounts(), 1 => Just(i64::MAX), 1 => Just(i64::MIN), 4 => 0_i64..1_000_000];
    let schedule = prop::option::of(any::<[bool; 7]>());
    (0_u8..6, any::<bool>(), measure, mode, window, value, (schedule, prop::option::of(amounts()), any::<bool>()))
        .prop_map(|(id, contract, measure, mode, window, value, (days, alert_left, offline))| {
            let scope = if contract { Scope::Contract } else { Scope::Card(CardToken::new("card-0").unwrap()) };
            let time = |hour| jiff::civil::time(hour, 0, 0, 0);
            let (from, to) = (time(22), time(6));
            let schedule = days.map(|days| Schedule { days, from, to, holidays: model::HolidayRule::Also });
            let limit = samples::limit(&format!("L-{id}"), scope, measure, value, window);
            Command::SetLimit(model::Limit { mode, schedule, alert_left, offline, ..limit })
        })
}

#[derive(Clone, Debug)]
enum Odd {
    Transaction(Box<Transaction>, i64, usize),
    Order(Command, i64),
}

fn orders() -> impl Strategy<Value = Command> {
    let currency = Currency::RUB;
    let minor = |minor: i64| MinorUnits::new(minor).unwrap();
    let until = || prop::option::of(times()).prop_map(|time| time.map(TimestampUs::from_micros));
    prop_oneof![
        3 => limits(),
        2 => amounts().prop_map(move |amount| Command::TopUp {
            amount_minor: minor(amount), currency, reference: "R".into(), payer: None
        }),
        1 => amounts().prop_map(move |amount| Command::SetCreditLine { amount_minor: minor(amount), currency }),
        1 => amounts().prop_map(move |amount| Command::Adjust { amount_minor: minor(amount), currency, reason: "r".into() }),
        1 => (-5_i64..1).prop_map(move |amount| {
            Command::SetMonthlyFee(model::MonthlyFee { name: "fee".into(), amount_minor: minor(amount) })
        }),
        1 => any::<u16>().prop_map(|points| Command::SetDiscount(model::Discount {
            product: model::ProductSelector::All, off: model::DiscountOff::BasisPoints(points)
        })),
        1 => any::<u32>().prop_map(|e4| Command::SetDiscount(model::Discount {
            product: model::ProductSelector::All, off: model::DiscountOff::PriceE4(e4)
        })),
        1 => (until(), until()).prop_map(|(valid_from_us, valid_to_us)| Command::SetTerm { valid_from_us, valid_to_us }),
        1 => amounts().prop_map(|value| Command::ChangeLimit { limit: model::LimitId::new("L-1").unwrap(), value }),
        1 => Just(Command::RemoveLimit { limit: model::LimitId::new("L-1").unwrap() }),
        1 => until().prop_map(|until_us| Command::UnblockCard {
            card: CardToken::new("card-0").unwrap(), actor: model::Actor::Client, until_us
        }),
    ]
}

fn odd() -> impl Strategy<Value = Vec<Odd>> {
    let transaction = transactions()
        .prop_map(|(transaction, received, back)| Odd::Transaction(Box::new(transaction), received, back));
    let order = (orders(), times()).prop_map(|(order, at)| Odd::Order(order, at));
    vec(prop_oneof![3 => transaction, 1 => order], 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn every_request_has_one_answer_and_the_books_balance(odd in odd()) {
        let config = Config::default();
        let mut shard = Shard::new(PartitionId(0));
        let mut books = Books::default();
        let start = TimestampUs::from_micros(START_US);
        let opening = [
            samples::open(Currency::RUB, "Asia/Almaty", WeekStart::Saturday),
            samples::issue("card-0", None),
            samples::issue("card-1", Some(Millilitres::from_litres(300))),
        ];
        let opening = opening.into_iter().map(|order| Odd::Order(order, START_US));
        let top_up = Command::TopUp {
            amount_minor: MinorUnits::new(100_000_000).unwrap(),
            currency: Currency::RUB,
            reference: String::new(),
            payer: None,
        };
        let all = opening.chain([Odd::Order(top_up, START_US)]).chain(odd);
        for (number, odd) in all.enumerate() {
            let idem = model::IdempotencyKey::new(&format!("K-{number}")).unwrap();
            let (body, received_at_us) = match odd {
                Odd::Transaction(mut transaction, received, back) => {
                    transaction.original = Original {
                        auth_code: None,
                        idem: number.checked_sub(back).map(|earlier| model::IdempotencyKey::new(&format!("K-{earlier}")).unwrap()),
                    };
                    transaction.idem = idem;
                    (RequestBody::Transaction(transaction), TimestampUs::from_micros(received))
                }
                Odd::Order(order, at) => {
                    let at = TimestampUs::from_micros(at);
                    (RequestBody::Command(Box::new(samples::order(idem.as_str(), &contract(0), at, order))), start)
                }
            };
            let offset = i64::try_from(number).unwrap();
            let request = Request { received_at_us, ..samples::request(&contract(0), offset, body) };
            let is_transaction = matches!(request.body, RequestBody::Transaction(_));
            let outcome = shard.decide(&config, offset, request).expect("a new offset");
            let answers = outcome.facts.iter().filter(|fact| matches!(fact, Fact::Decided { .. })).count();
            prop_assert_eq!(answers, usize::from(is_transaction), "{:?}", outcome);
            let json = serde_json::to_string(&outcome).unwrap();
            prop_assert_eq!(serde_json::from_str::<model::Outcome>(&json).unwrap(), outcome.clone());
            books.enter(&outcome);
        }
    }
}
