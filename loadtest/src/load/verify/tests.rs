//! A ledger written by hand, right or with one thing wrong: each wrong thing must be found.

use model::{
    Allowed, Balance, Currency, Fact, Hold, IdempotencyKey, LedgerBody, MinorUnits, Outcome, ProductCode, Texts,
    TimestampUs,
};

use super::super::fleet::{CURRENCY, Fleet, top_up};
use super::super::traffic::{Approved, Traffic};
use super::*;

const PRICE_OF_A_LITRE: i64 = 29_500;

fn at() -> TimestampUs {
    TimestampUs::from_micros(1_768_500_000_000_000)
}

fn minor(amount: i64) -> MinorUnits {
    MinorUnits::new(amount).expect("in range")
}

/// One contract with 10,000.00 and three purchases: a sale of 10 L, a preauth of 20 L completed with 10 L, an open preauth.
struct Scene {
    sent: Sent,
    records: Vec<LedgerRecord>,
}

fn scene() -> Scene {
    let log = LogSettings { bootstrap: String::new(), topic_prefix: "fuel".into(), partitions: 1 };
    let fleet = Fleet::new("t", 1, 1).expect("a fleet");
    let (approvals, approved) = std::sync::mpsc::sync_channel::<Approved>(1);
    drop(approvals);
    let mut traffic = Traffic::new(&fleet, &log, 1, approved);
    let mut message = |n, kind| -> Transaction {
        let outgoing = traffic.of_card(n, 0, at(), kind).expect("a message");
        serde_json::from_str(&outgoing.payload).expect("a transaction")
    };
    let sale = message(1, TransactionKind::Sale);
    let first = message(2, TransactionKind::Preauth);
    let mut completion = message(3, TransactionKind::Completion);
    completion.original.auth_code = Some(AuthCode::new("A2").expect("a code"));
    let open = message(4, TransactionKind::Preauth);
    let money = fleet
        .order("money", at(), &fleet.contracts[0], top_up(1_000_000, "opening").expect("an order"))
        .expect("an order");

    let hold = |litres: i64| Hold {
        qty_ml: model::Millilitres::ZERO,
        amount_minor: minor(litres * PRICE_OF_A_LITRE),
        expires_at_us: at(),
    };
    let mut records =
        vec![LedgerRecord { v: 1, epoch: 0, body: LedgerBody::Takeover { owner: "a".into(), at_us: at() } }];
    let topped_up = Fact::ToppedUp { amount_minor: minor(1_000_000), reference: "opening".into(), payer: None };
    records.push(outcome(0, &money.idem, &money.contract, topped_up, (1_000_000, 0)));
    let mut own = 1_000_000 - 10 * PRICE_OF_A_LITRE;
    records.push(outcome(1, &sale.idem, &money.contract, decided(&sale, "A1", None), (own, 0)));
    let held = 20 * PRICE_OF_A_LITRE;
    records.push(outcome(2, &first.idem, &money.contract, decided(&first, "A2", Some(hold(20))), (own, held)));
    own -= 10 * PRICE_OF_A_LITRE;
    records.push(outcome(3, &completion.idem, &money.contract, decided(&completion, "A2", None), (own, 0)));
    let held = 5 * PRICE_OF_A_LITRE;
    records.push(outcome(4, &open.idem, &money.contract, decided(&open, "A4", Some(hold(5))), (own, held)));

    let transactions = [sale, first, completion, open].map(|t| (t.idem.to_string(), (money.contract.clone(), t)));
    let sent = Sent {
        log,
        transactions: transactions.into_iter().collect(),
        orders: [(money.idem.to_string(), money)].into_iter().collect(),
    };
    Scene { sent, records }
}

fn decided(transaction: &Transaction, auth_code: &str, hold: Option<Hold>) -> Fact {
    let allowed = Allowed {
        item: 0,
        pieces: 0,
        discount_minor: MinorUnits::ZERO,
        code: ProductCode::new("053").expect("a code"),
        qty_ml: model::Millilitres::from_litres(10),
        amount_minor: minor(10 * PRICE_OF_A_LITRE),
    };
    Fact::Decided {
        kind: transaction.kind,
        card: transaction.card.token.clone(),
        site: transaction.site.clone(),
        terminal: transaction.terminal.clone(),
        pump: None,
        location: None,
        items: Vec::new(),
        vehicle: None,
        driver: None,
        odometer: None,
        fingerprint: 7,
        decision: Decision {
            idem: transaction.idem.clone(),
            decision: Verdict::Approve,
            iso39: "000".into(),
            code: model::Code::Approved,
            auth_code: Some(AuthCode::new(auth_code).expect("a code")),
            hold,
            allowed: vec![allowed],
            binding: None,
            headroom: Vec::new(),
            balance: None,
            risk: Vec::new(),
            notes: Vec::new(),
            rules_version: 0,
            net_price_e4: None,
            text: Texts::default(),
            replayed: false,
        },
    }
}

fn outcome(
    request: i64,
    idem: &IdempotencyKey,
    contract: &ContractId,
    fact: Fact,
    (own, held): (i64, i64),
) -> LedgerRecord {
    let currency: Currency = CURRENCY;
    let balance = Balance {
        currency,
        own: minor(own),
        credit: MinorUnits::ZERO,
        held: minor(held),
        unbilled: MinorUnits::ZERO,
        available: minor(own - held),
    };
    let outcome = Outcome {
        request,
        origin: None,
        idem: idem.clone(),
        at_us: at(),
        received_at_us: at(),
        author: None,
        contract: Some(contract.clone()),
        fingerprint: None,
        facts: vec![fact],
        balance: Some(balance),
        cards: Vec::new(),
    };
    LedgerRecord { v: 1, epoch: 0, body: LedgerBody::Outcome(outcome) }
}

fn violations(scene: Scene) -> String {
    let (mut told, mut violations) = (Told::new(1), Violations::default());
    for (offset, record) in (0..).zip(scene.records) {
        told.note(0, offset, record, &mut violations).expect("a readable record");
    }
    left_out(&told.left_out, &BTreeSet::from([(0, 5)]), &mut violations);
    one_answer_each(&scene.sent, &told, &mut violations);
    balances(&scene.sent, &told, &mut violations);
    violations.lines().join("\n")
}

fn outcome_of(record: &mut LedgerRecord) -> &mut Outcome {
    match &mut record.body {
        LedgerBody::Outcome(outcome) => outcome,
        LedgerBody::Takeover { .. } => panic!("an outcome was expected"),
    }
}

#[test]
fn a_ledger_that_follows_from_the_requests_is_in_order() {
    assert_eq!(violations(scene()), "");
}

#[test]
fn a_lost_decision_is_found() {
    let mut scene = scene();
    outcome_of(&mut scene.records[2]).facts.clear();
    assert!(violations(scene).contains("transactions without a decision: 1\n  t.1-1"));
}

#[test]
fn a_request_decided_twice_is_found() {
    let mut scene = scene();
    let mut again = scene.records[2].clone();
    outcome_of(&mut again).request = 5;
    scene.records.push(again);
    assert!(violations(scene).contains("transactions decided more than once: 1\n  t.1-1: 2 times"));
}

#[test]
fn a_repeat_with_the_recorded_answer_is_in_order_and_another_answer_is_not() {
    let mut scene = scene();
    let mut last = scene.records[5].clone();
    let mut again = scene.records[2].clone();
    let repeat = outcome_of(&mut again);
    repeat.request = 5;
    repeat.balance = outcome_of(&mut last).balance;
    let Fact::Decided { decision, .. } = &mut repeat.facts[0] else { panic!("a decision was expected") };
    decision.replayed = true;
    let mut wrong = again.clone();
    scene.records.push(again);
    assert_eq!(violations(scene_with(&scene, None)), "");
    let Fact::Decided { decision, .. } = &mut outcome_of(&mut wrong).facts[0] else {
        panic!("a decision was expected")
    };
    decision.code = model::Code::Funds;
    outcome_of(&mut wrong).request = 6;
    assert!(violations(scene_with(&scene, Some(wrong))).contains("replays that differ"));
}

fn scene_with(scene: &Scene, more: Option<LedgerRecord>) -> Scene {
    let Scene { sent, .. } = self::scene();
    Scene { sent, records: scene.records.iter().cloned().chain(more).collect() }
}

#[test]
fn money_that_was_taken_twice_is_found() {
    let mut scene = scene();
    let outcome = outcome_of(&mut scene.records[5]);
    let balance = outcome.balance.as_mut().expect("a balance");
    balance.own = minor(balance.own.get() - 1);
    assert!(violations(scene).contains("balances: 1"));
}

#[test]
fn a_hold_that_stays_after_its_completion_is_found() {
    let mut scene = scene();
    let balance = outcome_of(&mut scene.records[5]).balance.as_mut().expect("a balance");
    balance.held = minor(25 * PRICE_OF_A_LITRE);
    assert!(violations(scene).contains("balances: 1"));
}

#[test]
fn a_request_left_out_is_found_unless_it_was_rejected() {
    let mut scene = scene();
    // Request 5 was rejected, 4 was not.
    outcome_of(&mut scene.records[5]).request = 6;
    assert_eq!(violations(scene), "requests left out: 1\n  partition 0: request 4 before ledger offset 5");
}

#[test]
fn a_request_covered_twice_is_found() {
    let mut scene = scene();
    outcome_of(&mut scene.records[5]).request = 3;
    assert!(violations(scene).contains("requests covered twice: 1\n  partition 0: request 3 follows request 3"));
}

#[test]
fn what_a_replaced_owner_writes_does_not_count() {
    let mut scene = scene();
    let zombie = scene.records[2].clone();
    let takeover = LedgerBody::Takeover { owner: "b".into(), at_us: at() };
    scene.records.push(LedgerRecord { v: 1, epoch: 0, body: takeover });
    scene.records.push(zombie);
    assert_eq!(violations(scene), "");
}

#[test]
fn rows_that_are_missing_or_doubled_are_found() {
    let row = |facts, distinct| SumsRow {
        partition: 0,
        kind_name: "captured".into(),
        facts,
        distinct,
        offsets: 30,
        places: 2,
        money_minor: 500,
    };
    let sums = |facts| Sums { facts, offsets: 30, places: 2, amount_minor: 500 };
    let ledger = |facts| BTreeMap::from([((0, "captured".to_owned()), sums(facts))]);
    assert_eq!(rows_beside(&[row(2, 2)], &ledger(3)), Rows { compared: 2, missing: 1, extra: 0 });
    assert!(differences(&[row(2, 2)], &ledger(2)).is_empty());
    assert_eq!(differences(&[row(2, 2)], &ledger(3)).len(), 1);
    assert_eq!(differences(&[], &ledger(2)).len(), 1);
    assert_eq!(differences(&[row(2, 1)], &ledger(2)).len(), 1);
}
