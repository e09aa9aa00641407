//! The network driven by hand: a host that answers at once, or not at all.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};

use model::{
    Allowed, AuthCode, Code, Decision, Fact, IdempotencyKey, Millilitres, MinorUnits, Origin, OriginTopic, Outcome,
    PartitionId, ReadingMessage, SaleMessage, SetupMessage, Texts, TicketMessage, TimestampUs, Transaction,
    TransactionKind, Verdict,
};

use super::memory::{Memory, Store};
use super::world::{Action, MINUTE_US, World};

const FIRST_US: i64 = 1_768_500_000_000_000;
const TICK_US: i64 = 3_000_000;

fn world(seed: u64) -> World {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("forecourt-world-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name).join("simulated-network.json");
    let store = Store::open(path, Memory::fresh(seed, "abc123".into(), FIRST_US)).expect("writable");
    World::new(store, 60_000_000).expect("a world")
}

fn outcome(idem: &IdempotencyKey, facts: Vec<Fact>) -> Outcome {
    let at = TimestampUs::from_micros(FIRST_US);
    Outcome {
        request: 0,
        origin: Some(Origin { topic: OriginTopic::Transactions, partition: PartitionId(0), offset: 0 }),
        idem: idem.clone(),
        at_us: at,
        received_at_us: at,
        contract: None,
        author: None,
        fingerprint: None,
        facts,
        balance: None,
        cards: Vec::new(),
    }
}

fn decision(transaction: &Transaction, code: Code, allowed_ml: u64) -> Outcome {
    let qty_ml = Millilitres::new(allowed_ml).expect("in range");
    let allow = |item: &model::Item| Allowed {
        item: 0,
        discount_minor: MinorUnits::ZERO,
        code: item.code.clone(),
        qty_ml: if item.unit.is_litres() { qty_ml } else { Millilitres::ZERO },
        pieces: item.pieces.unwrap_or(0),
        amount_minor: MinorUnits::ZERO,
    };
    let declined = code != Code::Approved;
    let verdict = match code {
        Code::Approved => Verdict::Approve,
        Code::PromptMissing => Verdict::Reprompt,
        _ => Verdict::Decline,
    };
    let decision = Decision {
        idem: transaction.idem.clone(),
        decision: verdict,
        iso39: "000".into(),
        code,
        auth_code: (!declined).then(|| AuthCode::new(&format!("A-{}", transaction.idem)).expect("an id")),
        hold: None,
        allowed: transaction.items.iter().filter(|_| !declined).map(allow).collect(),
        binding: None,
        headroom: Vec::new(),
        balance: None,
        risk: Vec::new(),
        notes: Vec::new(),
        rules_version: 0,
        net_price_e4: None,
        text: Texts::default(),
        replayed: false,
    };
    let fact = Fact::Decided {
        kind: transaction.kind,
        card: transaction.card.token.clone(),
        site: transaction.site.clone(),
        terminal: transaction.terminal.clone(),
        pump: transaction.pump,
        location: transaction.location,
        items: Vec::new(),
        vehicle: None,
        driver: None,
        odometer: None,
        fingerprint: 0,
        decision,
    };
    outcome(&transaction.idem, vec![fact])
}

/// What a run of some hours did.
#[derive(Default)]
struct Diary {
    transactions: Vec<Transaction>,
    orders: Vec<String>,
    readings: Vec<(String, ReadingMessage)>,
    setups: Vec<(String, SetupMessage)>,
    cash: Vec<(String, SaleMessage)>,
    tickets: Vec<(String, TicketMessage)>,
    links: u32,
}

/// Lives `minutes` with a host that answers each transaction by `judge`.
fn live(world: &mut World, minutes: i64, judge: impl Fn(&Transaction) -> Option<(Code, u64)>) -> Diary {
    let mut diary = Diary::default();
    let end = world.now_us + minutes * MINUTE_US;
    while world.now_us < end {
        for action in world.advance(world.now_us + TICK_US).expect("lives") {
            match action {
                Action::Transact(transaction) => {
                    if let Some((code, allowed_ml)) = judge(&transaction) {
                        world.answer(&decision(&transaction, code, allowed_ml)).expect("answered");
                    }
                    diary.transactions.push(*transaction);
                }
                Action::Order(order) => {
                    world.answer(&outcome(&order.idem, vec![Fact::CommandRepeated])).expect("answered");
                    diary.orders.push(order.idem.to_string());
                }
                Action::Publish { topic, payload, .. } => {
                    if topic.ends_with("/sale") {
                        diary.cash.push((topic, serde_json::from_str(&payload).expect("a sale")));
                    } else if topic.ends_with("/ticket") {
                        diary.tickets.push((topic, serde_json::from_str(&payload).expect("a ticket")));
                    } else if let Ok(reading) = serde_json::from_str::<ReadingMessage>(&payload) {
                        diary.readings.push((topic, reading));
                    }
                }
                Action::Register { topic, payload, .. } => {
                    diary.setups.push((topic, serde_json::from_str(&payload).expect("a registration")));
                }
                Action::Link { .. } => diary.links += 1,
                Action::WrongTransaction(bytes) => assert!(serde_json::from_slice::<Transaction>(&bytes).is_err()),
                Action::WrongOrder(bytes) => assert!(serde_json::from_slice::<model::CommandMessage>(&bytes).is_err()),
            }
        }
    }
    diary
}

fn approve(_: &Transaction) -> Option<(Code, u64)> {
    Some((Code::Approved, 1_000_000))
}

#[test]
fn all_cards_are_issued_within_seconds_and_then_traffic_flows() {
    let mut world = world(1);
    let first = live(&mut world, 3, approve);
    assert_eq!(first.orders.iter().collect::<HashSet<_>>().len(), first.orders.len());
    assert!(world.store.memory.cards_issued);
    let later = live(&mut world, 60, approve);
    let per_second = later.transactions.len() / 60;
    assert!((8..=90).contains(&per_second), "{per_second} transactions a real second at speed 60");
    assert!(later.readings.len() >= 150 * 60, "{} readings", later.readings.len());
}

#[test]
fn completions_follow_approvals_and_sell_no_more_than_was_allowed() {
    let mut world = world(2);
    let diary = live(&mut world, 90, |_| Some((Code::Approved, 15_000)));
    let allowed: HashSet<String> = diary
        .transactions
        .iter()
        .filter(|t| t.kind == TransactionKind::Preauth)
        .map(|t| format!("A-{}", t.idem))
        .collect();
    let completions: Vec<&Transaction> =
        diary.transactions.iter().filter(|t| t.kind == TransactionKind::Completion).collect();
    assert!(completions.len() > 200);
    for completion in completions {
        let auth = completion.original.auth_code.as_ref().expect("an authorization");
        assert!(allowed.contains(auth.as_str()));
        let item = &completion.items[0];
        assert!(item.qty_ml.expect("a quantity").get() <= 15_000);
        assert_eq!(item.amount_minor, item.price_e4.amount(item.qty_ml.expect("a quantity"), completion.currency).ok());
    }
}

#[test]
fn a_declined_pump_sells_nothing() {
    let mut world = world(3);
    let diary = live(&mut world, 60, |_| Some((Code::CardBlocked, 0)));
    let kinds: HashSet<TransactionKind> = diary.transactions.iter().map(|t| t.kind).collect();
    assert!(kinds.contains(&TransactionKind::Preauth));
    assert!(!kinds.contains(&TransactionKind::Completion) && !kinds.contains(&TransactionKind::Reversal));
}

#[test]
fn a_terminal_that_is_asked_for_more_asks_the_driver_once_and_tries_again_with_all_of_it() {
    let mut world = world(8);
    let diary = live(&mut world, 60, |transaction| {
        let asks = matches!(transaction.kind, TransactionKind::Preauth | TransactionKind::Sale);
        Some(if asks { (Code::PromptMissing, 0) } else { (Code::Approved, 0) })
    });
    let asking = |attempt: u8| {
        let asks = |t: &&Transaction| matches!(t.kind, TransactionKind::Preauth | TransactionKind::Sale);
        let keys =
            diary.transactions.iter().filter(asks).filter(move |t| t.pin.is_some_and(|pin| pin.attempt == attempt));
        keys.map(|t| (t.idem.clone(), t.prompts.odometer.is_some())).collect::<HashSet<_>>()
    };
    let (first, second) = (asking(1), asking(2));
    // The last ones ask again after the end.
    let unasked = first.len() - second.len();
    assert!(first.len() > 300 && unasked < 5, "{} asked, {} asked again", first.len(), second.len());
    assert!(first.iter().any(|(_, told)| !told), "some forget");
    assert!(second.iter().all(|(_, told)| *told));
}

#[test]
fn a_card_is_issued_before_anything_is_said_about_it() {
    let mut world = world(10);
    let mut issued = HashSet::new();
    for _ in 0..200 {
        for action in world.advance(world.now_us + TICK_US).expect("lives") {
            let Action::Order(order) = action else { continue };
            match &order.command {
                model::Command::IssueCard { card, .. } => drop(issued.insert(card.clone())),
                model::Command::SetLimit(model::Limit { scope: model::Scope::Card(card), .. }) => {
                    assert!(issued.contains(card), "{card}");
                }
                _ => {}
            }
            world.answer(&outcome(&order.idem, vec![Fact::CommandRepeated])).expect("answered");
        }
    }
    assert!(issued.len() > 9_000, "{} cards", issued.len());
}

#[test]
fn odometers_only_grow() {
    let mut world = world(9);
    let diary = live(&mut world, 600, approve);
    let mut last: BTreeMap<&str, (TimestampUs, u32)> = BTreeMap::new();
    for transaction in diary.transactions.iter().filter(|t| t.kind == TransactionKind::Preauth) {
        let Some(odometer) = transaction.prompts.odometer else { continue };
        if let Some((at, before)) = last.insert(transaction.card.token.as_str(), (transaction.at(), odometer)) {
            assert!(transaction.at() < at || odometer >= before, "{}", transaction.card.token);
        }
    }
    assert!(last.len() > 100);
}

#[test]
fn a_key_names_one_body_for_ever() {
    let mut world = world(4);
    let diary = live(&mut world, 120, approve);
    let mut bodies: BTreeMap<String, &Transaction> = BTreeMap::new();
    let mut repeats = 0;
    for transaction in &diary.transactions {
        if let Some(first) = bodies.insert(transaction.idem.to_string(), transaction) {
            assert_eq!(first, transaction);
            repeats += 1;
        }
    }
    assert!(repeats > 0, "duplicates happen");
}

#[test]
fn a_host_that_is_away_does_not_fill_the_memory() {
    let mut world = world(5);
    live(&mut world, 10, approve);
    let diary = live(&mut world, 240, |_| None);
    assert!(world.awaiting.len() <= 5_100, "{} unanswered", world.awaiting.len());
    assert!(!diary.transactions.is_empty());
}

#[test]
fn every_kind_of_trouble_happens_within_a_day() {
    let mut world = world(6);
    let dry = world.customers.contracts[super::customers::DRY_CONTRACT].cards.clone();
    let dry: HashSet<String> = dry.map(|card| world.customers.cards[card].token.to_string()).collect();
    let diary = live(&mut world, 20 * 60, |transaction| {
        let poor = dry.contains(transaction.card.token.as_str());
        Some(if poor { (Code::Funds, 0) } else { (Code::Approved, 1_000_000) })
    });
    let kinds: HashSet<TransactionKind> = diary.transactions.iter().map(|t| t.kind).collect();
    for kind in [
        TransactionKind::Preauth,
        TransactionKind::Completion,
        TransactionKind::Sale,
        TransactionKind::AdviceOffline,
        TransactionKind::Reversal,
        TransactionKind::Balance,
        TransactionKind::Void,
    ] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
    assert!(diary.links >= 2, "a line drops and comes back");
    for order in ["-topup-", "-register-", "-bill-", "-block-"] {
        assert!(diary.orders.iter().any(|key| key.contains(order)), "{order}");
    }
    let goods = diary.transactions.iter().flat_map(|t| &t.items).filter(|item| !item.unit.is_litres());
    assert!(goods.count() > 100, "shops sell");
    let batches = diary
        .transactions
        .windows(2)
        .filter(|pair| pair.iter().all(|t| t.offline.was && t.sent_at_us == pair[0].sent_at_us));
    assert!(batches.count() > 0, "a station that was cut off tells all at once");
    assert!(diary.readings.iter().any(|(_, reading)| reading.status == 1), "trucks unload");
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut repeated, mut swapped) = (0, 0);
    for (topic, reading) in &diary.readings {
        let seq = reading.seq.expect("numbered");
        let newest = newest.entry(topic).or_default();
        repeated += u32::from(seq == *newest);
        swapped += u32::from(seq < *newest);
        *newest = seq.max(*newest);
        assert!(reading.volume_ml.expect("a volume") <= reading.capacity_ml.expect("a capacity"));
    }
    assert!(repeated > 100 && swapped > 100, "{repeated} repeated, {swapped} swapped");
}

#[test]
fn a_card_is_used_at_two_places_too_far_apart() {
    let mut world = world(7);
    let card = world.customers.contracts[super::customers::TRAVEL_CONTRACT].cards.start;
    let token = world.customers.cards[card].token.clone();
    let diary = live(&mut world, 300, approve);
    let uses: Vec<(TimestampUs, model::Location)> = diary
        .transactions
        .iter()
        .filter(|t| t.card.token == token)
        .map(|t| (t.at(), t.location.expect("a place")))
        .collect();
    let impossible = uses.windows(2).any(|pair| {
        let km = super::places::distance_km(pair[0].1, pair[1].1);
        km > 800 && pair[1].0.get() - pair[0].0.get() < 15 * MINUTE_US
    });
    assert!(impossible);
}

/// Litres under a height of a level cylinder, by its registration.
fn litres(setup: &SetupMessage, height: model::DeciMillimetres) -> f64 {
    let model::Chart::HorizontalCylinder { diameter_dmm, length_dmm, .. } = setup.charts[0].chart else {
        panic!("a cylinder")
    };
    let (r, h) = (f64::from(diameter_dmm.0) / 2_000.0, f64::from(height.0) / 1_000.0);
    let section = r * r * ((r - h) / r).acos() - (r - h) * (2.0 * r * h - h * h).sqrt();
    section * f64::from(length_dmm.0) / 1_000.0
}

#[test]
fn every_tank_but_one_is_registered_with_the_table_that_its_gauge_goes_by() {
    let mut world = world(11);
    let diary = live(&mut world, 60, approve);
    let setups: BTreeMap<String, SetupMessage> =
        diary.setups.iter().map(|(topic, setup)| (topic.replace("/setup", "/reading"), setup.clone())).collect();
    let tanks: HashSet<&String> = diary.readings.iter().map(|(topic, _)| topic).collect();
    assert_eq!(setups.len(), diary.setups.len());
    assert!(tanks.len() > setups.len(), "one is not registered");
    assert_eq!(tanks.iter().filter(|tank| !setups.contains_key(**tank)).count(), 1);
    for (topic, reading) in &diary.readings {
        let Some(setup) = setups.get(topic) else { continue };
        let (surface, water) = (reading.height_dmm.expect("a height"), reading.water_dmm.expect("water"));
        let by_height = litres(setup, surface) - litres(setup, water);
        let told = reading.volume_ml.expect("a volume").get() as f64 / 1_000.0;
        assert!((by_height - told).abs() < 5.0, "{topic}: {told} L, {by_height} L by height");
        assert_eq!(reading.product, setup.product);
    }
}

#[test]
fn what_leaves_the_tanks_of_a_station_that_tells_its_sales_was_sold_there() {
    let mut world = world(12);
    let diary = live(&mut world, 12 * 60, approve);
    let known: HashSet<&str> = diary
        .setups
        .iter()
        .filter(|(_, setup)| setup.sales_are_known)
        .filter_map(|(topic, _)| topic.split('/').nth(2))
        .collect();
    assert!((30..40).contains(&known.len()), "{} stations tell their sales", known.len());
    assert!(diary.cash.iter().all(|(topic, _)| known.contains(topic.split('/').nth(2).expect("a site"))));
    assert!(diary.cash.len() > 3_000, "{} cash sales", diary.cash.len());
    // One tank without a twin: its levels, the sales and the trucks' papers make a balance.
    let (mut balanced, mut short) = (0, 0);
    for (topic, setup) in diary.setups.iter().filter(|(_, setup)| setup.pumps.is_empty() && setup.sales_are_known) {
        let site = topic.split('/').nth(2).expect("a site");
        let of_tank = topic.replace("/setup", "/reading");
        let levels: Vec<i64> = diary
            .readings
            .iter()
            .filter(|(topic, _)| *topic == of_tank)
            .map(|(_, reading)| reading.volume_ml.expect("a volume").get().cast_signed())
            .collect();
        let trucks: Vec<i64> = diary
            .tickets
            .iter()
            .filter(|(of, _)| *of == topic.replace("/setup", "/ticket"))
            .map(|(_, ticket)| ticket.volume_ml.get().cast_signed())
            .collect();
        let rose = levels.windows(2).any(|pair| pair[1] - pair[0] > 100_000);
        if levels.len() < 600 || (rose && trucks.is_empty()) {
            continue; // a silent gauge, or a truck without a paper
        }
        let cash = diary.cash.iter().filter(|(topic, _)| topic.split('/').nth(2) == Some(site));
        let cash: i64 = cash
            .filter(|(_, sale)| sale.product == setup.product)
            .map(|(_, sale)| sale.volume_ml.get().cast_signed())
            .sum();
        let mut receipts = HashSet::new();
        let by_card: i64 = diary
            .transactions
            .iter()
            .filter(|sale| sale.site.as_str() == site && receipts.insert(sale.idem.clone()))
            .filter(|sale| {
                let kinds = [TransactionKind::Completion, TransactionKind::Sale, TransactionKind::AdviceOffline];
                kinds.contains(&sale.kind)
            })
            .flat_map(|sale| &sale.items)
            .filter(|item| item.code == setup.product)
            .filter_map(|item| Some(item.qty_ml?.get().cast_signed()))
            .sum();
        let gone = levels[0] + trucks.iter().sum::<i64>() - levels[levels.len() - 1];
        // Nozzles that are still in a tank at the end, and late sales, are not told yet.
        let missing = gone - cash - by_card;
        if (-60_000..200_000).contains(&missing) { balanced += 1 } else { short += 1 }
    }
    assert!(balanced > 80 && short * 10 < balanced, "{balanced} tanks balance, {short} do not");
}
