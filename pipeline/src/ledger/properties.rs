//! What holds for every history: money and fuel are conserved, nothing is decided twice, the fold is the state.
//!
//! The books here are kept from the recorded facts alone: nothing is asked of the engine's own state. States are compared
//! by what they answer.

mod calendars;
mod hard_limits;
mod odd_requests;

use std::collections::{BTreeMap, HashMap};

use model::{
    Actor, AuthCode, CardToken, Code, Command, ContractId, Currency, Decision, Fact, FraudRule, IdempotencyKey,
    LedgerBody, LedgerRecord, Location, MICROS_PER_MINUTE, Millilitres, MinorUnits, MonthlyFee, Original, Outcome,
    PartitionId, Payer, RegisterLine, Request, RequestBody, RuleMode, SoldItem, Tick, TimestampUs, Transaction,
    TransactionKind, Verdict, WeekStart,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::shard::Shard;
use super::{Config, samples};
use crate::audit::Audit;

/// 2026-01-28T08:00:00Z: a month ends soon after.
const START_US: i64 = 1_769_587_200_000_000;
/// The largest amount of money that there is, either sign.
const AMOUNT_MAX: i64 = 1_000_000_000_000_000;
const CONTRACTS: usize = 2;
const CARDS: usize = 3;

/// One step of a history, before it is told which contract and card it meets.
#[derive(Clone, Debug)]
struct Step {
    contract: usize,
    card: usize,
    minutes: i64,
    act: Act,
    /// How often the step comes again, and after how many further steps.
    repeats: Vec<usize>,
    /// Whether repeats come from a new origin, as from a terminal that sends again, or from the same, as after a crash.
    sent_again: bool,
}

#[derive(Clone, Debug)]
enum Act {
    TopUp(i64),
    Credit(i64),
    Adjust(i64),
    Fee(i64),
    Bill,
    /// A line of the bank's register for the top-up so many steps back, by so much more than it was.
    Line {
        back: usize,
        more: i64,
    },
    CloseRegister,
    Limit(Option<u64>, Option<i64>),
    Block(bool),
    Rule(FraudRule, RuleMode),
    Ask {
        kind: TransactionKind,
        ml: u64,
        fill_up: bool,
        partial_ok: bool,
        place: Option<i32>,
    },
    Follow {
        kind: TransactionKind,
        ml: u64,
        back: usize,
    },
    Tick,
}

fn acts() -> impl Strategy<Value = Act> {
    let rule = prop_oneof![Just(FraudRule::Velocity), Just(FraudRule::ImpossibleTravel)];
    let mode = prop_oneof![Just(RuleMode::Off), Just(RuleMode::Flag), Just(RuleMode::Decline)];
    let ask = prop_oneof![
        4 => Just(TransactionKind::Preauth),
        3 => Just(TransactionKind::Sale),
        1 => Just(TransactionKind::DryRun),
        1 => Just(TransactionKind::Balance),
    ];
    let follow = prop_oneof![
        4 => Just(TransactionKind::Completion),
        1 => Just(TransactionKind::Incremental),
        1 => Just(TransactionKind::AdviceOffline),
        1 => Just(TransactionKind::Forced),
        2 => Just(TransactionKind::Reversal),
        2 => Just(TransactionKind::Refund),
        1 => Just(TransactionKind::Void),
    ];
    // Mostly what a vehicle takes, sometimes what no tank and no sum can hold.
    let ml = prop_oneof![20 => 0_u64..150_000, 1 => Just(1_000_000_000_000_000_u64), 1 => 0_u64..40_000_000_000_000];
    let amount = prop_oneof![20 => 1_i64..2_000_000, 1 => Just(1_000_000_000_000_000_i64), 1 => -5_i64..5];
    prop_oneof![
        3 => amount.prop_map(Act::TopUp),
        1 => (0_i64..1_000_000).prop_map(Act::Credit),
        1 => (-100_000_i64..100_000).prop_map(Act::Adjust),
        1 => (0_i64..1_000).prop_map(Act::Fee),
        1 => Just(Act::Bill),
        2 => (1_usize..8, prop_oneof![3 => Just(0_i64), 1 => -3_i64..3])
            .prop_map(|(back, more)| Act::Line { back, more }),
        1 => Just(Act::CloseRegister),
        1 => (prop::option::of(0_u64..200_000), prop::option::of(0_i64..1_000_000)).prop_map(|(ml, minor)| Act::Limit(ml, minor)),
        1 => any::<bool>().prop_map(Act::Block),
        1 => (rule, mode).prop_map(|(rule, mode)| Act::Rule(rule, mode)),
        10 => (ask, ml.clone(), any::<bool>(), any::<bool>(), prop::option::of(0_i32..3))
            .prop_map(|(kind, ml, fill_up, partial_ok, place)| Act::Ask { kind, ml, fill_up, partial_ok, place }),
        10 => (follow, ml, 1_usize..6).prop_map(|(kind, ml, back)| Act::Follow { kind, ml, back }),
        1 => Just(Act::Tick),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..CONTRACTS, 0..CARDS, -30_i64..240, acts(), vec(0_usize..5, 0..2), any::<bool>());
    let step = step.prop_map(|(contract, card, minutes, act, repeats, sent_again)| Step {
        contract,
        card,
        minutes,
        act,
        repeats,
        sent_again,
    });
    vec(step, 1..60)
}

fn contract(index: usize) -> ContractId {
    ContractId::new(&format!("C-{index}")).unwrap()
}

/// The requests of a history, each once, with the ones that open the contracts.
fn requests(steps: &[Step]) -> Vec<Request> {
    let mut at = TimestampUs::from_micros(START_US);
    let mut bodies = Vec::new();
    for index in 0..CONTRACTS {
        let mut order = |what: String, command: Command| {
            let message = samples::order(&what, &contract(index), at, command);
            bodies.push((index, RequestBody::Command(Box::new(message))));
        };
        order(format!("open-{index}"), samples::open(Currency::RUB, "Asia/Almaty", WeekStart::Monday));
        for card in 0..CARDS {
            let issue = samples::issue(&format!("card-{index}-{card}"), Some(Millilitres::from_litres(300)));
            order(format!("issue-{index}-{card}"), issue);
        }
    }
    for (number, step) in steps.iter().enumerate() {
        at = at.plus_us(step.minutes * MICROS_PER_MINUTE);
        bodies.push((step.contract, body(steps, number, at)));
    }
    (0_i64..).zip(bodies).map(|(origin, (index, body))| samples::request(&contract(index), origin, body)).collect()
}

fn body(steps: &[Step], number: usize, at: TimestampUs) -> RequestBody {
    let Step { contract: index, card, act, .. } = &steps[number];
    let card = format!("card-{index}-{card}");
    let token = CardToken::new(&card).unwrap();
    let (idem, currency, reason) = (format!("K-{number}"), Currency::RUB, String::new());
    let minor = |minor: i64| MinorUnits::new(minor).unwrap();
    let litres = |ml: u64| vec![samples::item(Some(Millilitres::new(ml).unwrap()))];
    let actor = Actor::Client;
    let command = match act {
        Act::TopUp(amount) => Command::TopUp {
            amount_minor: minor(*amount),
            currency,
            reference: reference(*amount, number),
            payer: None,
        },
        Act::Credit(amount) => Command::SetCreditLine { amount_minor: minor(*amount), currency },
        Act::Adjust(amount) => Command::Adjust { amount_minor: minor(*amount), currency, reason },
        Act::Fee(amount) => Command::SetMonthlyFee(MonthlyFee { name: "service".into(), amount_minor: minor(*amount) }),
        Act::Bill => Command::Bill { number: idem.clone() },
        Act::Line { back, more } => {
            // Of a top-up that came, or will come with a later step, or never.
            let earlier = number.checked_sub(*back).unwrap_or(number + back);
            let amount = match steps.get(earlier).map(|step| &step.act) {
                Some(Act::TopUp(amount)) => *amount,
                _ => 100,
            };
            let amount_minor = minor((amount + more).clamp(1, AMOUNT_MAX));
            let (reference, date) = (reference(amount, earlier), day(at));
            let line = RegisterLine { date, reference, amount_minor, currency: None, payer: Payer::default() };
            Command::MatchRegister(line)
        }
        Act::CloseRegister => Command::CloseRegister { date: day(at) },
        Act::Limit(ml, amount) => Command::SetDailyLimit {
            card: token,
            daily_ml: ml.map(|ml| Millilitres::new(ml).unwrap()),
            daily_minor: amount.map(minor),
        },
        Act::Block(true) => Command::BlockCard { card: token, reason, actor, until_us: None },
        Act::Block(false) => Command::UnblockCard { card: token, actor, until_us: None },
        Act::Rule(rule, mode) => Command::SetRule { rule: *rule, mode: *mode },
        Act::Ask { kind, ml, fill_up, partial_ok, place } => {
            return RequestBody::Transaction(Box::new(Transaction {
                items: litres(*ml),
                fill_up: *fill_up && *kind != TransactionKind::Sale,
                partial_ok: *partial_ok,
                location: place.map(|place| Location { lat_e6: 55_000_000 + place * 1_000_000, lon_e6: 37_000_000 }),
                ..samples::transaction(*kind, &idem, &card, at)
            }));
        }
        Act::Follow { kind, ml, back } => {
            let earlier = number.checked_sub(*back);
            let original = earlier.map(|earlier| IdempotencyKey::new(&format!("K-{earlier}")).unwrap());
            // The card of the original, so that most of these find something.
            let card = earlier.map_or(card, |earlier| {
                let Step { contract, card, .. } = &steps[earlier];
                format!("card-{contract}-{card}")
            });
            return RequestBody::Transaction(Box::new(Transaction {
                items: litres(*ml),
                original: Original { auth_code: None, idem: original },
                ..samples::transaction(*kind, &idem, &card, at)
            }));
        }
        Act::Tick => return RequestBody::Tick(Tick { idem: IdempotencyKey::new(&idem).unwrap(), at_us: at }),
    };
    RequestBody::Command(Box::new(samples::order(&idem, &contract(*index), at, command)))
}

/// Nearly all top-ups have a reference of their own.
fn reference(amount: i64, number: usize) -> String {
    if amount % 16 == 0 { "the same".to_owned() } else { format!("PAY-{number}") }
}

fn day(at: TimestampUs) -> jiff::civil::Date {
    let at = jiff::Timestamp::from_microsecond(at.get()).unwrap();
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The same requests with repeats between them, in an order that keeps each origin partition's order of first sight.
fn delivered_repeatedly(requests: &[Request], steps: &[Step]) -> Vec<Request> {
    let opening = requests.len() - steps.len();
    let mut later: BTreeMap<usize, Vec<Request>> = BTreeMap::new();
    let mut all = Vec::new();
    for (place, request) in requests.iter().enumerate() {
        all.push(request.clone());
        if let Some(step) = place.checked_sub(opening).and_then(|number| steps.get(number)) {
            for after in &step.repeats {
                let mut repeat = request.clone();
                if step.sent_again {
                    repeat.origin = None;
                }
                later.entry(place + after).or_default().push(repeat);
            }
        }
        all.extend(later.remove(&place).unwrap_or_default());
    }
    all.extend(later.into_values().flatten());
    all
}

struct Run {
    shard: Shard,
    records: Vec<String>,
    outcomes: Vec<Outcome>,
}

fn takeover() -> LedgerRecord {
    let body = LedgerBody::Takeover { owner: "test".into(), at_us: TimestampUs::default() };
    LedgerRecord { v: 1, epoch: 0, body }
}

fn run(requests: &[Request]) -> Run {
    let config = Config::default();
    let mut shard = Shard::new(PartitionId(0));
    shard.fold(&config, 0, &takeover());
    let mut records = vec![serde_json::to_string(&takeover()).unwrap()];
    let mut outcomes = Vec::new();
    let mut books = Books::default();
    let mut audit = Audit::new(PartitionId(0), config.key_retention_us, None);
    audit.take(0, &takeover());
    for (offset, request) in (0_i64..).zip(requests) {
        let outcome = shard.decide(&config, offset, request.clone()).expect("a new offset");
        assert_eq!(shard.decide(&config, offset, request.clone()), None, "an offset was decided twice");
        books.enter(&outcome);
        let record = LedgerRecord { v: 1, epoch: 0, body: LedgerBody::Outcome(outcome.clone()) };
        audit.take(offset + 1, &record);
        records.push(serde_json::to_string(&record).unwrap());
        outcomes.push(outcome);
    }
    // Double entry says the same: every posting balances, and every recorded balance equals the accounts.
    let report = audit.finish();
    assert!(report.balances(), "{}", report.in_words());
    Run { shard, records, outcomes }
}

fn folded(records: &[String]) -> Shard {
    let mut shard = Shard::new(PartitionId(0));
    for (offset, json) in (0_i64..).zip(records) {
        let record: LedgerRecord = serde_json::from_str(json).unwrap();
        assert_eq!(&serde_json::to_string(&record).unwrap(), json, "a record that reads back as another");
        shard.fold(&Config::default(), offset, &record);
    }
    shard
}

/// What a shard answers from now on: purchases that find every limit, hold, key and sum; byte for byte.
fn probed(mut shard: Shard, after: usize, steps: usize) -> Vec<String> {
    let config = Config::default();
    let at = TimestampUs::from_micros(START_US + i64::try_from(steps).unwrap() * 120 * MICROS_PER_MINUTE);
    let mut requests = Vec::new();
    for index in 0..CONTRACTS {
        for card in 0..CARDS {
            let card = format!("card-{index}-{card}");
            for kind in [TransactionKind::Balance, TransactionKind::DryRun, TransactionKind::Sale] {
                let idem = format!("probe-{card}-{kind:?}");
                let items = vec![samples::item(Some(Millilitres::from_litres(40)))];
                let transaction = Transaction { items, ..samples::transaction(kind, &idem, &card, at) };
                requests.push((index, RequestBody::Transaction(Box::new(transaction))));
            }
            for step in 0..steps {
                let idem = format!("probe-{card}-{step}");
                let original = Some(IdempotencyKey::new(&format!("K-{step}")).unwrap());
                let original = Original { auth_code: None, idem: original };
                let reversal = samples::transaction(TransactionKind::Reversal, &idem, &card, at);
                requests.push((index, RequestBody::Transaction(Box::new(Transaction { original, ..reversal }))));
            }
        }
    }
    let mut answers = Vec::new();
    for (number, (index, body)) in requests.into_iter().enumerate() {
        let mut request = samples::request(&contract(index), 0, body);
        request.origin = None;
        let offset = i64::try_from(after + number).unwrap();
        let outcome = shard.decide(&config, offset, request).expect("a new offset");
        answers.push(serde_json::to_string(&outcome).unwrap());
    }
    answers
}

/// Money and fuel by the facts alone.
#[derive(Default)]
struct Books {
    accounts: HashMap<ContractId, Account>,
    answers: HashMap<String, Decision>,
}

#[derive(Default)]
struct Account {
    own: i64,
    credit: i64,
    unbilled: i64,
    holds: HashMap<AuthCode, i64>,
    sold: HashMap<AuthCode, Sold>,
}

/// What was sold under an authorization and what came back of it.
#[derive(Default)]
struct Sold {
    ml: u64,
    minor: i64,
    back_ml: u64,
    back_minor: i64,
}

fn ml(items: &[SoldItem]) -> u64 {
    items.iter().map(|item| item.qty_ml.get()).sum()
}

impl Books {
    fn enter(&mut self, outcome: &Outcome) {
        let Some(contract) = outcome.contract.clone() else { return };
        let account = self.accounts.entry(contract.clone()).or_default();
        for fact in &outcome.facts {
            if let Fact::Decided { decision, kind, .. } = fact {
                let key = outcome.idem.to_string();
                if let Some(first) = self.answers.get(&key) {
                    let same = Decision { replayed: true, ..first.clone() };
                    assert_eq!(*decision, same, "the same key, another answer");
                    continue;
                }
                assert!(!decision.replayed, "a first answer is no replay");
                self.answers.insert(key, decision.clone());
                account.decided(*kind, decision);
            } else {
                account.enter(fact);
            }
        }
        if let Some(shown) = outcome.balance {
            let Account { own, credit, unbilled, .. } = *account;
            let held = account.holds.values().sum::<i64>();
            // What its type cannot hold, a balance cannot show; its parts are always whole.
            let available = (own + credit - held - unbilled).clamp(-AMOUNT_MAX, AMOUNT_MAX);
            let parts = [shown.own, shown.credit, shown.held, shown.unbilled, shown.available].map(MinorUnits::get);
            assert_eq!(parts, [own, credit, held, unbilled, available], "{contract}: the balance after {outcome:?}");
        }
    }
}

impl Account {
    fn decided(&mut self, kind: TransactionKind, decision: &Decision) {
        let approved = matches!(decision.decision, Verdict::Approve | Verdict::Partial);
        if !approved {
            assert!(decision.allowed.is_empty() && decision.hold.is_none(), "a decline that grants: {decision:?}");
            return;
        }
        if matches!(kind, TransactionKind::Preauth | TransactionKind::Incremental) {
            let (hold, auth_code) = (decision.hold.expect("a hold"), decision.auth_code.clone().expect("a code"));
            let known = self.holds.contains_key(&auth_code);
            assert_eq!(known, kind == TransactionKind::Incremental, "an authorization twice: {decision:?}");
            *self.holds.entry(auth_code).or_default() += hold.amount_minor.get();
        }
    }

    fn enter(&mut self, fact: &Fact) {
        match fact {
            Fact::ToppedUp { amount_minor, .. } | Fact::Adjusted { amount_minor, .. } => self.own += amount_minor.get(),
            Fact::CreditLineSet { amount_minor } => self.credit = amount_minor.get(),
            Fact::FeeCharged { amount_minor, .. } => self.own -= amount_minor.get(),
            Fact::Billed { amount_minor, .. } => {
                assert_eq!(amount_minor.get(), self.unbilled, "a bill is over all that was not billed");
                self.own -= amount_minor.get();
                self.unbilled = 0;
            }
            Fact::Captured { auth_code, items, amount_minor, .. } => {
                self.holds.remove(auth_code);
                self.unbilled += amount_minor.get();
                let sum: i64 = items.iter().map(|item| item.amount_minor.get()).sum();
                assert_eq!(sum, amount_minor.get(), "the lines of a sale make its amount");
                let sold = Sold { ml: ml(items), minor: amount_minor.get(), ..Sold::default() };
                assert!(self.sold.insert(auth_code.clone(), sold).is_none(), "{auth_code} is posted twice");
            }
            Fact::Refunded { auth_code, items, amount_minor, .. }
            | Fact::Voided { auth_code, items, amount_minor, .. } => {
                self.unbilled -= amount_minor.get();
                let sold = self.sold.get_mut(auth_code).expect("what was sold");
                sold.back_ml += ml(items);
                sold.back_minor += amount_minor.get();
                assert!(sold.back_ml <= sold.ml && sold.back_minor <= sold.minor, "{auth_code}: more comes back");
                if matches!(fact, Fact::Voided { .. }) {
                    assert_eq!((sold.back_ml, sold.back_minor), (sold.ml, sold.minor), "a void undoes a sale whole");
                }
            }
            Fact::Reversed { auth_code, .. } | Fact::HoldExpired { auth_code, .. } => {
                self.holds.remove(auth_code);
            }
            _ => {}
        }
    }
}

/// The answers that do not depend on where in the log a request stands.
fn answers(run: &Run) -> BTreeMap<String, String> {
    let decided = run.outcomes.iter().flat_map(|outcome| &outcome.facts).filter_map(|fact| match fact {
        Fact::Decided { decision, .. } if !decision.replayed => Some(decision),
        _ => None,
    });
    // Authorization codes name the request's place in the log, and texts may name them.
    let placeless = |decision: &Decision| {
        let text = model::Texts::default();
        serde_json::to_string(&Decision { auth_code: None, text, ..decision.clone() }).unwrap()
    };
    decided.map(|decision| (decision.idem.to_string(), placeless(decision))).collect()
}

fn balances(run: &Run) -> BTreeMap<ContractId, Option<model::Balance>> {
    let shown = run.outcomes.iter().filter(|outcome| outcome.balance.is_some());
    shown.filter_map(|outcome| Some((outcome.contract.clone()?, outcome.balance))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn every_history_balances_and_its_ledger_folds_to_the_same_state(steps in steps()) {
        let requests = delivered_repeatedly(&requests(&steps), &steps);
        let Run { shard, records, .. } = run(&requests);
        let folded = folded(&records);
        prop_assert_eq!(probed(folded, requests.len(), steps.len()), probed(shard, requests.len(), steps.len()));
    }

    #[test]
    fn repeated_deliveries_change_no_answer_and_no_balance(steps in steps()) {
        let once = run(&requests(&steps));
        let repeatedly = run(&delivered_repeatedly(&requests(&steps), &steps));
        prop_assert_eq!(balances(&once), balances(&repeatedly));
        prop_assert_eq!(answers(&once), answers(&repeatedly));
    }

    #[test]
    fn an_owner_that_folds_half_a_ledger_goes_on_as_if_nothing_had_happened(steps in steps(), cut in 0_usize..1_000) {
        let all = delivered_repeatedly(&requests(&steps), &steps);
        let whole = run(&all);
        let cut = all.len() * cut / 1_000;
        let config = Config::default();
        let mut second = folded(&whole.records[..=cut]);
        for (offset, request) in (0_i64..).zip(&all) {
            if let Some(outcome) = second.decide(&config, offset, request.clone()) {
                prop_assert_eq!(&outcome, &whole.outcomes[usize::try_from(offset).unwrap()]);
            }
        }
        let after = all.len();
        prop_assert_eq!(probed(second, after, steps.len()), probed(whole.shard, after, steps.len()));
    }

    #[test]
    fn what_other_contracts_do_in_between_changes_no_answer(steps in steps()) {
        let requests = requests(&steps);
        let mixed = run(&requests);
        let mut sorted = requests;
        sorted.sort_by_key(|request| request.contract.clone());
        for (origin, request) in (0_i64..).zip(&mut sorted) {
            request.origin = request.origin.map(|known| model::Origin { offset: origin, ..known });
        }
        let sorted = run(&sorted);
        prop_assert_eq!(answers(&mixed), answers(&sorted));
        prop_assert_eq!(balances(&mixed), balances(&sorted));
    }

    #[test]
    fn inquiries_and_dry_runs_change_no_answer(steps in steps()) {
        let asks_only = |request: &Request| match &request.body {
            RequestBody::Transaction(transaction) => {
                matches!(transaction.kind, TransactionKind::Balance | TransactionKind::DryRun)
            }
            _ => false,
        };
        let all = requests(&steps);
        // Time passes all the same: fees fall due and holds expire by any request.
        let tick = |request: &Request| {
            let tick = Tick { idem: request.idem().clone(), at_us: request.at() };
            Request { body: RequestBody::Tick(tick), ..request.clone() }
        };
        let quiet: Vec<Request> =
            all.iter().map(|request| if asks_only(request) { tick(request) } else { request.clone() }).collect();
        let (mut all, quiet) = (answers(&run(&all)), answers(&run(&quiet)));
        all.retain(|key, _| quiet.contains_key(key));
        prop_assert_eq!(all, quiet);
    }

    #[test]
    fn a_key_with_another_body_is_refused_and_changes_nothing(steps in steps(), at in 0_usize..1_000) {
        let requests = requests(&steps);
        let Run { mut shard, records, .. } = run(&requests);
        // Keys are kept for three days.
        let last = requests.last().map_or(0, |request| request.received_at_us.get());
        let kept = |request: &&Request| last - request.received_at_us.get() < 70 * 60 * MICROS_PER_MINUTE;
        let recent: Vec<&Request> = requests.iter().filter(kept).collect();
        let original = recent[recent.len() * at / 1_000];
        let mut other = original.clone();
        other.origin = None;
        match &mut other.body {
            RequestBody::Transaction(transaction) => transaction.pump = Some(9),
            RequestBody::Command(message) => message.command = Command::Bill { number: "another".into() },
            RequestBody::Tick(_) => return Ok(()),
        }
        let after = i64::try_from(requests.len()).unwrap();
        let outcome = shard.decide(&Config::default(), after, other).expect("a new offset");
        let code = match &outcome.facts[..] {
            [Fact::Decided { decision, .. }] => decision.code,
            [Fact::CommandRefused { code, .. }] => *code,
            facts => panic!("{facts:?}"),
        };
        prop_assert_eq!(code, Code::FmtKeyReused);
        let probes = probed(shard, requests.len() + 1, steps.len());
        prop_assert_eq!(probes, probed(folded(&records), requests.len() + 1, steps.len()));
    }
}
