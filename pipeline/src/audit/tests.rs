use expect_test::expect;
use model::{
    AuthCode, Code, Command, Currency, FraudRule, IdempotencyKey, Millilitres, MinorUnits, Original, Payer,
    RegisterLine, RequestBody, RuleMode, Transaction, TransactionKind, WeekStart,
};

use super::*;
use crate::ledger::samples;
use crate::ledger::shard::Shard;

const AT: TimestampUs = TimestampUs::from_micros(1_768_377_600_000_000);
const THREE_HOURS_US: i64 = 180 * model::MICROS_PER_MINUTE;
const THREE_DAYS_US: i64 = 24 * THREE_HOURS_US;

fn minor(minor: i64) -> MinorUnits {
    MinorUnits::new(minor).unwrap()
}

/// The ledger of a contract that pays, holds, buys, gives back and is billed; written by the engine itself.
fn ledger() -> Vec<LedgerRecord> {
    let contract = ContractId::new("C-1").unwrap();
    let currency = Currency::RUB;
    let top_up = |amount, reference: &str| {
        let (amount_minor, reference) = (minor(amount), reference.to_owned());
        Command::TopUp { amount_minor, currency, reference, payer: None }
    };
    let line = |reference: &str, amount| {
        let (reference, date) = (reference.to_owned(), jiff::civil::date(2026, 1, 15));
        Command::MatchRegister(RegisterLine {
            date,
            reference,
            amount_minor: minor(amount),
            currency: Some(currency),
            payer: Payer::default(),
        })
    };
    let orders = vec![
        samples::open(currency, "Europe/Moscow", WeekStart::Monday),
        top_up(1_000_000, "PAY-1"),
        top_up(700_000, "PAY-2"),
        top_up(90_000, "PAY-3"),
        Command::SetCreditLine { amount_minor: minor(500_000), currency },
        Command::SetRule { rule: FraudRule::Velocity, mode: RuleMode::Off },
        samples::issue("1234", None),
    ];
    let buys = |kind, number: usize, litres: u32, of: Option<&str>| {
        let auth_code = of.map(|code| AuthCode::new(code).unwrap());
        let items = if litres > 0 { vec![samples::item(Some(Millilitres::from_litres(litres)))] } else { Vec::new() };
        let original = Original { auth_code, idem: None };
        let transaction = samples::transaction(kind, &format!("key-{number}"), "1234", AT);
        RequestBody::Transaction(Box::new(Transaction { items, original, ..transaction }))
    };
    let mut bodies: Vec<(RequestBody, TimestampUs)> = Vec::new();
    let order = |bodies: &mut Vec<(RequestBody, TimestampUs)>, command| {
        let message = samples::order(&format!("order-{}", bodies.len()), &contract, AT, command);
        bodies.push((RequestBody::Command(Box::new(message)), AT));
    };
    orders.into_iter().for_each(|command| order(&mut bodies, command));
    bodies.push((buys(TransactionKind::Preauth, 7, 40, None), AT));
    bodies.push((buys(TransactionKind::Completion, 8, 35, Some("0-7")), AT));
    bodies.push((buys(TransactionKind::Sale, 9, 20, None), AT));
    bodies.push((buys(TransactionKind::Refund, 10, 5, Some("0-9")), AT));
    bodies.push((buys(TransactionKind::Preauth, 11, 10, None), AT));
    order(&mut bodies, line("PAY-1", 1_000_000));
    order(&mut bodies, line("PAY-2", 650_000));
    order(&mut bodies, line("PAY-9", 120_000));
    order(&mut bodies, Command::Bill { number: "B-1".into() });
    order(&mut bodies, Command::Adjust { amount_minor: minor(-1_500), currency, reason: "goodwill".into() });
    bodies.push((buys(TransactionKind::Preauth, 18, 2, None), AT.plus_us(THREE_HOURS_US)));
    let takeover = LedgerBody::Takeover { owner: "test".into(), at_us: AT };
    let mut records = vec![LedgerRecord { v: 1, epoch: 0, body: takeover }];
    let (config, mut shard) = (crate::ledger::Config::default(), Shard::new(PartitionId(0)));
    shard.fold(&config, 0, &records[0]);
    for (offset, (mut body, at)) in (0_i64..).zip(bodies) {
        if let RequestBody::Transaction(transaction) = &mut body {
            transaction.local_time = model::LocalTime::from_utc(at, transaction.utc_offset_min);
        }
        let request = samples::request(&contract, offset, body);
        let outcome = shard.decide(&config, offset, request).expect("a new offset");
        records.push(LedgerRecord { v: 1, epoch: 0, body: LedgerBody::Outcome(outcome) });
    }
    records
}

fn audited(records: &[LedgerRecord], only: Option<&str>) -> (Report, Vec<Posted>) {
    let only = only.map(|only| ContractId::new(only).unwrap());
    let mut audit = Audit::new(PartitionId(0), THREE_DAYS_US, only);
    for (offset, record) in (0_i64..).zip(records) {
        audit.take(offset, record);
    }
    let posted = audit.posted();
    (audit.finish(), posted)
}

/// What an audit says of a ledger that somebody changed.
fn check(change: impl FnOnce(&mut Vec<LedgerRecord>), found: expect_test::Expect) {
    let mut records = ledger();
    change(&mut records);
    let (report, _) = audited(&records, None);
    let told: Vec<String> =
        report.told.iter().map(|finding| format!("{} {}\n", finding.offset, finding.what)).collect();
    found.assert_eq(&told.concat());
}

fn outcome(record: &mut LedgerRecord) -> &mut Outcome {
    match &mut record.body {
        LedgerBody::Outcome(outcome) => outcome,
        LedgerBody::Takeover { .. } => panic!("a takeover"),
    }
}

/// The record with the first fact that fits.
fn first(records: &[LedgerRecord], fits: impl Fn(&Fact) -> bool) -> usize {
    let found = records.iter().position(|record| match &record.body {
        LedgerBody::Outcome(outcome) => outcome.facts.iter().any(&fits),
        LedgerBody::Takeover { .. } => false,
    });
    found.expect("such a fact")
}

/// The record again, as if its request had come anew and under another key.
fn again(records: &mut Vec<LedgerRecord>, place: usize) {
    let mut record = records[place].clone();
    let request = i64::try_from(records.len()).unwrap() - 1;
    let repeated = outcome(&mut record);
    (repeated.request, repeated.origin) = (request, None);
    repeated.idem = IdempotencyKey::new("another").unwrap();
    records.push(record);
}

#[test]
fn a_ledger_of_the_engine_balances_and_its_trial_balance_says_what_is_open() {
    let (report, _) = audited(&ledger(), None);
    expect![[r#"
        Trial balance in RUB, 1 contract

                                                            debits               credits               balance
        Bank                                             17,700.00                  0.00          17,700.00 Dr
        Top-ups awaiting the register                    17,900.00             17,000.00             900.00 Dr
        Top-ups, amount differs                             500.00                  0.00             500.00 Dr
        Unknown payers                                        0.00              1,200.00           1,200.00 Cr
        Bought, not billed                                2,750.00              2,750.00               0.00
        Customers' own funds                              2,515.00             17,900.00          15,385.00 Cr
        Sales payable to stations                           250.00              2,750.00           2,500.00 Cr
        Adjustments                                           0.00                 15.00              15.00 Cr
                                              --------------------  --------------------  --------------------
        Total                                            41,615.00             41,615.00               0.00
        Memo
        Credit lines                                      5,000.00                  0.00           5,000.00 Dr
        Credit lines granted                                  0.00              5,000.00           5,000.00 Cr
        Open holds                                        2,600.00              2,500.00             100.00 Dr
        Open holds placed                                 2,500.00              2,600.00             100.00 Cr
                                              --------------------  --------------------  --------------------
        Total memo                                       10,100.00             10,100.00               0.00

        The bank's register matches 1 of 3 top-ups in RUB.
        Open with the bank:
          C-1 PAY-2: 7,000.00 RUB credited, the register shows 6,500.00 RUB
          C-1 PAY-3: 900.00 RUB credited at 2026-01-14T08:00:00Z, no register yet
          C-1 PAY-9: 1,200.00 RUB of 2026-01-15 in the register, credited to nobody

        16 postings in 19 records, 1 contract.
        The books balance.
    "#]]
    .assert_eq(&report.in_words());
}

#[test]
fn the_postings_of_a_contract_stand_in_their_order() {
    let (report, posted) = audited(&ledger(), Some("C-1"));
    assert!(report.balances());
    let journal: Vec<String> = posted.iter().map(posted_in_words).collect();
    expect![[r#"
        2026-01-14T08:00:00Z  top-up PAY-1
          Top-ups awaiting the register                    10,000.00
            Customers' own funds                                                 10,000.00
        2026-01-14T08:00:00Z  top-up PAY-2
          Top-ups awaiting the register                     7,000.00
            Customers' own funds                                                  7,000.00
        2026-01-14T08:00:00Z  top-up PAY-3
          Top-ups awaiting the register                       900.00
            Customers' own funds                                                    900.00
        2026-01-14T08:00:00Z  credit line
          Credit lines                                      5,000.00
            Credit lines granted                                                  5,000.00
        2026-01-14T08:00:00Z  held under 0-7, card 1234
          Open holds                                        2,000.00
            Open holds placed                                                     2,000.00
        2026-01-14T08:00:00Z  sale 0-7, card 1234 at S-1
          Open holds placed                                 2,000.00
          Bought, not billed                                1,750.00
            Open holds                                                            2,000.00
            Sales payable to stations                                             1,750.00
        2026-01-14T08:00:00Z  sale 0-9, card 1234 at S-1
          Bought, not billed                                1,000.00
            Sales payable to stations                                             1,000.00
        2026-01-14T08:00:00Z  refund of 0-9, card 1234
          Sales payable to stations                           250.00
            Bought, not billed                                                      250.00
        2026-01-14T08:00:00Z  held under 0-11, card 1234
          Open holds                                          500.00
            Open holds placed                                                       500.00
        2026-01-14T08:00:00Z  register of 2026-01-15, PAY-1: matched
          Bank                                             10,000.00
            Top-ups awaiting the register                                        10,000.00
        2026-01-14T08:00:00Z  register of 2026-01-15, PAY-2: amount differs
          Bank                                              6,500.00
          Top-ups, amount differs                             500.00
            Top-ups awaiting the register                                         7,000.00
        2026-01-14T08:00:00Z  register of 2026-01-15, PAY-9: unknown payer
          Bank                                              1,200.00
            Unknown payers                                                        1,200.00
        2026-01-14T08:00:00Z  bill B-1
          Customers' own funds                              2,500.00
            Bought, not billed                                                    2,500.00
        2026-01-14T08:00:00Z  adjustment: goodwill
          Customers' own funds                                 15.00
            Adjustments                                                              15.00
        2026-01-14T11:00:00Z  hold 0-11 expired
          Open holds placed                                   500.00
            Open holds                                                              500.00
        2026-01-14T11:00:00Z  held under 0-17, card 1234
          Open holds                                          100.00
            Open holds placed                                                       100.00
    "#]]
    .assert_eq(&journal.concat());
    let (report, posted) = audited(&ledger(), Some("C-2"));
    assert!(report.contracts == 0 && posted.is_empty());
}

#[test]
fn an_amount_that_is_one_kopeck_off_is_named() {
    check(
        |records| {
            let place = first(records, |fact| matches!(fact, Fact::Captured { .. }));
            for fact in &mut outcome(&mut records[place]).facts {
                if let Fact::Captured { amount_minor, .. } = fact {
                    *amount_minor = minor(amount_minor.get() + 1);
                }
            }
        },
        expect![[r#"
            9 the lines of sale 0-7 make 1,750.00, and 1,750.01 was posted
            9 what is not billed: 1,750.00 is recorded, the accounts say 1,750.01
            9 what is available: 21,150.00 is recorded, the accounts say 21,149.99
            16 bill B-1 is over 2,500.00, and 2,500.01 was not billed
        "#]],
    );
}

#[test]
fn a_balance_that_is_one_kopeck_off_is_named_once() {
    check(
        |records| {
            for record in records.iter_mut().skip(9) {
                if let Some(balance) = &mut outcome(record).balance {
                    balance.own = minor(balance.own.get() + 1);
                    balance.available = minor(balance.available.get() + 1);
                }
            }
        },
        expect![[r#"
            9 own funds: 17,900.01 is recorded, the accounts say 17,900.00
            9 what is available: 21,150.01 is recorded, the accounts say 21,150.00
        "#]],
    );
}

#[test]
fn what_is_posted_or_given_back_twice_is_named() {
    check(
        |records| {
            let place = first(records, |fact| matches!(fact, Fact::Captured { .. }));
            again(records, place);
        },
        expect![[r#"
            19 authorization 0-7 was posted twice
            19 own funds: 17,900.00 is recorded, the accounts say 15,385.00
            19 holds: 0.00 is recorded, the accounts say 100.00
            19 what is available: 21,150.00 is recorded, the accounts say 18,535.00
        "#]],
    );
    check(
        |records| {
            let place = first(records, |fact| matches!(fact, Fact::Refunded { .. }));
            for _ in 0..4 {
                again(records, place);
            }
        },
        expect![[r#"
            19 own funds: 17,900.00 is recorded, the accounts say 15,385.00
            19 holds: 0.00 is recorded, the accounts say 100.00
            19 what is not billed: 2,500.00 is recorded, the accounts say -250.00
            19 what is available: 20,400.00 is recorded, the accounts say 20,535.00
            20 key another was decided at 0/19 and again here
            20 what is not billed: 2,500.00 is recorded, the accounts say -500.00
            20 what is available: 20,400.00 is recorded, the accounts say 20,785.00
            21 key another was decided at 0/20 and again here
            21 what is not billed: 2,500.00 is recorded, the accounts say -750.00
            21 what is available: 20,400.00 is recorded, the accounts say 21,035.00
            22 key another was decided at 0/21 and again here
            22 more comes back of 0-9 than was sold
            22 what is not billed: 2,500.00 is recorded, the accounts say -1,000.00
            22 what is available: 20,400.00 is recorded, the accounts say 21,285.00
        "#]],
    );
    check(
        |records| {
            let place = first(records, |fact| matches!(fact, Fact::HoldExpired { .. }));
            again(records, place);
        },
        expect![[r#"
            19 authorization 0-11 expired, and it was not open
            19 authorization 0-17 was opened while it was open
            19 holds: 100.00 is recorded, the accounts say 200.00
            19 what is available: 20,285.00 is recorded, the accounts say 20,185.00
        "#]],
    );
}

#[test]
fn what_is_credited_or_decided_twice_is_named() {
    check(
        |records| {
            let place = first(records, |fact| matches!(fact, Fact::ToppedUp { .. }));
            again(records, place);
        },
        expect![[r#"
            19 reference "PAY-1" was credited at 2026-01-14T08:00:00Z and again
            19 own funds: 10,000.00 is recorded, the accounts say 25,385.00
            19 the credit line: 0.00 is recorded, the accounts say 5,000.00
            19 holds: 0.00 is recorded, the accounts say 100.00
            19 what is available: 10,000.00 is recorded, the accounts say 30,285.00
        "#]],
    );
    check(
        |records| {
            let place = first(records, |fact| matches!(fact, Fact::ToppedUp { .. }));
            let record = records[place].clone();
            records.push(record);
        },
        expect![[r#"
            19 request 1 was decided again after request 17
            19 request 1 repeats Commands 0/1 and was decided again
            19 key order-1 was decided at 0/2 and again here
            19 reference "PAY-1" was credited at 2026-01-14T08:00:00Z and again
            19 own funds: 10,000.00 is recorded, the accounts say 25,385.00
            19 the credit line: 0.00 is recorded, the accounts say 5,000.00
            19 holds: 0.00 is recorded, the accounts say 100.00
            19 what is available: 10,000.00 is recorded, the accounts say 30,285.00
        "#]],
    );
}

#[test]
fn a_sale_that_somebody_took_out_is_missed() {
    check(
        |records| {
            let place = first(records, |fact| matches!(fact, Fact::Captured { .. }));
            outcome(&mut records[place]).facts.retain(|fact| !matches!(fact, Fact::Captured { .. }));
        },
        expect![[r#"
            9 holds: 0.00 is recorded, the accounts say 2,000.00
            9 what is not billed: 1,750.00 is recorded, the accounts say 0.00
            9 what is available: 21,150.00 is recorded, the accounts say 20,900.00
            16 bill B-1 is over 2,500.00, and 750.00 was not billed
        "#]],
    );
}

#[test]
fn what_a_replaced_owner_writes_is_passed_over() {
    let mut records = ledger();
    let place = first(&records, |fact| matches!(fact, Fact::Captured { .. }));
    let epoch = i64::try_from(records.len()).unwrap();
    records.push(LedgerRecord { v: 1, epoch: 0, body: LedgerBody::Takeover { owner: "next".into(), at_us: AT } });
    again(&mut records, place);
    let (report, _) = audited(&records, None);
    assert!(report.balances() && report.void == 1 && epoch > 0, "{}", report.in_words());
}

#[test]
fn a_refused_key_is_no_second_decision() {
    let mut records = ledger();
    let place = first(&records, |fact| matches!(fact, Fact::ToppedUp { .. }));
    let mut record = records[place].clone();
    let request = i64::try_from(records.len()).unwrap() - 1;
    let refused = outcome(&mut record);
    (refused.request, refused.origin, refused.balance) = (request, None, None);
    refused.facts = vec![Fact::CommandRefused { code: Code::FmtKeyReused, message: "used before".into() }];
    records.push(record);
    assert!(audited(&records, None).0.balances());
}
