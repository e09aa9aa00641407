//! What holds for every history: money and fuel are conserved, nothing is decided twice, the fold is the state.

use std::collections::{BTreeMap, HashMap};

use model::{
    AuthCode, CardToken, Code, Command, ContractId, Currency, Decision, Fact, FraudRule, LedgerBody, LedgerRecord,
    Location, MICROS_PER_MINUTE, Millilitres, MinorUnits, Original, Outcome, PartitionId, Request, RequestBody,
    RuleMode, TimestampUs, Transaction, TransactionKind, Verdict,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::Config;
use super::contract::Quantity;
use super::samples;
use super::shard::Shard;

/// 2026-01-14T08:00:00Z.
const START_US: i64 = 1_768_377_600_000_000;
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
    Limit(Option<u64>, Option<i64>),
    Block(bool),
    Rule(FraudRule, RuleMode),
    Ask { kind: TransactionKind, ml: u64, fill_up: bool, partial_ok: bool, place: Option<i32> },
    Follow { kind: TransactionKind, ml: u64, back: usize },
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
        1 => Just(TransactionKind::AdviceOffline),
        2 => Just(TransactionKind::Reversal),
        2 => Just(TransactionKind::Refund),
    ];
    // Mostly what a vehicle takes, sometimes what no tank and no sum can hold.
    let ml = prop_oneof![20 => 0_u64..150_000, 1 => Just(1_000_000_000_000_000_u64), 1 => 0_u64..40_000_000_000_000];
    prop_oneof![
        3 => prop_oneof![20 => 1_i64..2_000_000, 1 => Just(1_000_000_000_000_000_i64), 1 => -5_i64..5].prop_map(Act::TopUp),
        1 => (0_i64..1_000_000).prop_map(Act::Credit),
        1 => (prop::option::of(0_u64..200_000), prop::option::of(0_i64..1_000_000)).prop_map(|(ml, minor)| Act::Limit(ml, minor)),
        1 => any::<bool>().prop_map(Act::Block),
        1 => (rule, mode).prop_map(|(rule, mode)| Act::Rule(rule, mode)),
        8 => (ask, ml.clone(), any::<bool>(), any::<bool>(), prop::option::of(0_i32..3))
            .prop_map(|(kind, ml, fill_up, partial_ok, place)| Act::Ask { kind, ml, fill_up, partial_ok, place }),
        8 => (follow, ml, 1_usize..6).prop_map(|(kind, ml, back)| Act::Follow { kind, ml, back }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..CONTRACTS, 0..CARDS, -30_i64..120, acts(), vec(0_usize..5, 0..2), any::<bool>());
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
            bodies.push((index, RequestBody::Command(samples::order(&what, &contract(index), at, command))));
        };
        let (name, time_zone) = ("Hauliers".into(), "Asia/Almaty".into());
        order(format!("open-{index}"), Command::OpenContract { name, currency: Currency::RUB, time_zone });
        for card in 0..CARDS {
            let token = CardToken::new(&format!("card-{index}-{card}")).unwrap();
            let (pan_masked, daily_ml) = (format!("****000{card}"), Some(Millilitres::from_litres(300)));
            let issue = Command::IssueCard { card: token, pan_masked, vehicle: None, daily_ml, daily_minor: None };
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
    let (idem, currency) = (format!("K-{number}"), Currency::RUB);
    let minor = |minor: i64| MinorUnits::new(minor).unwrap();
    let litres = |ml: u64| vec![samples::item(Some(Millilitres::new(ml).unwrap()))];
    let command = match act {
        Act::TopUp(amount) => Command::TopUp { amount_minor: minor(*amount), currency, reference: String::new() },
        Act::Credit(amount) => Command::SetCreditLine { amount_minor: minor(*amount), currency },
        Act::Limit(ml, amount) => Command::SetDailyLimit {
            card: token,
            daily_ml: ml.map(|ml| Millilitres::new(ml).unwrap()),
            daily_minor: amount.map(minor),
        },
        Act::Block(true) => Command::BlockCard { card: token, reason: String::new() },
        Act::Block(false) => Command::UnblockCard { card: token },
        Act::Rule(rule, mode) => Command::SetRule { rule: *rule, mode: *mode },
        Act::Ask { kind, ml, fill_up, partial_ok, place } => {
            let transaction = Transaction {
                items: litres(*ml),
                fill_up: *fill_up && *kind != TransactionKind::Sale,
                partial_ok: *partial_ok,
                location: place.map(|place| Location { lat_e6: 55_000_000 + place * 1_000_000, lon_e6: 37_000_000 }),
                ..samples::transaction(*kind, &idem, &card, at)
            };
            return RequestBody::Transaction(transaction);
        }
        Act::Follow { kind, ml, back } => {
            let original =
                number.checked_sub(*back).map(|earlier| model::IdempotencyKey::new(&format!("K-{earlier}")).unwrap());
            // The card of the original, so that most of these find something.
            let card = number.checked_sub(*back).map_or(card, |earlier| {
                let Step { contract, card, .. } = &steps[earlier];
                format!("card-{contract}-{card}")
            });
            let transaction = Transaction {
                items: litres(*ml),
                original: Original { auth_code: None, idem: original },
                ..samples::transaction(*kind, &idem, &card, at)
            };
            return RequestBody::Transaction(transaction);
        }
    };
    RequestBody::Command(samples::order(&idem, &contract(*index), at, command))
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

fn run(requests: &[Request]) -> Run {
    let config = Config::default();
    let mut shard = Shard::new(PartitionId(0));
    let body = LedgerBody::Takeover { owner: "test".into(), at_us: TimestampUs::default() };
    let takeover = LedgerRecord { v: 1, epoch: 0, body };
    shard.fold(&config, 0, &takeover);
    let mut records = vec![serde_json::to_string(&takeover).unwrap()];
    let mut outcomes = Vec::new();
    let mut books = Books::default();
    for (offset, request) in (0_i64..).zip(requests) {
        let outcome = shard.decide(&config, offset, request).expect("a new offset");
        assert_eq!(shard.decide(&config, offset, request), None, "an offset was decided twice");
        books.enter(&outcome);
        books.assert_agree(&shard, &outcome);
        let record = LedgerRecord { v: 1, epoch: 0, body: LedgerBody::Outcome(outcome.clone()) };
        records.push(serde_json::to_string(&record).unwrap());
        outcomes.push(outcome);
    }
    Run { shard, records, outcomes }
}

/// Sums kept apart from the shard, from the facts alone.
#[derive(Default)]
struct Books {
    own: HashMap<ContractId, i64>,
    holds: HashMap<ContractId, HashMap<AuthCode, i64>>,
    answers: HashMap<String, Decision>,
}

impl Books {
    fn enter(&mut self, outcome: &Outcome) {
        let Some(contract) = outcome.contract.clone() else { return };
        let own = self.own.entry(contract.clone()).or_default();
        let holds = self.holds.entry(contract).or_default();
        for fact in &outcome.facts {
            match fact {
                Fact::ToppedUp { amount_minor, .. } | Fact::Refunded { amount_minor, .. } => *own += amount_minor.get(),
                Fact::Captured { amount_minor, auth_code, .. } => {
                    *own -= amount_minor.get();
                    holds.remove(auth_code);
                }
                Fact::Reversed { auth_code, .. } | Fact::HoldExpired { auth_code, .. } => {
                    holds.remove(auth_code);
                }
                Fact::Decided { decision, kind, .. } => {
                    let key = outcome.idem.to_string();
                    match self.answers.get(&key) {
                        None => {
                            assert!(!decision.replayed, "a first answer is no replay");
                            self.answers.insert(key, decision.clone());
                        }
                        Some(first) => {
                            assert_eq!(
                                *decision,
                                Decision { replayed: true, ..first.clone() },
                                "the same key, another answer"
                            );
                            continue;
                        }
                    }
                    if let (Some(hold), Some(auth_code)) = (decision.hold, &decision.auth_code) {
                        assert!(
                            holds.insert(auth_code.clone(), hold.amount_minor.get()).is_none(),
                            "an authorization twice"
                        );
                    }
                    let asked = matches!(kind, TransactionKind::Preauth | TransactionKind::Sale);
                    if asked && decision.decision != Verdict::Decline {
                        let balance = outcome.balance.expect("an approval has a balance");
                        assert!(balance.available.get() >= 0, "approved beyond the balance: {decision:?}");
                        let allowed: u64 = decision.allowed.iter().map(|item| item.qty_ml.get()).sum();
                        for limit in decision.headroom.iter().filter(|limit| limit.measure == model::Measure::Volume) {
                            assert!(
                                i64::try_from(allowed).unwrap() <= limit.left,
                                "approved beyond a limit: {decision:?}"
                            );
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn assert_agree(&self, shard: &Shard, outcome: &Outcome) {
        for (id, state) in &shard.contracts {
            let balance = state.balance();
            assert_eq!(balance.own.get(), self.own[id], "{id}: top-ups − captures + refunds");
            assert_eq!(balance.held.get(), self.holds[id].values().sum::<i64>(), "{id}: open holds by facts");
            let by_state: i64 = state.open_holds().map(|(_, reserved)| reserved.minor.get()).sum();
            assert_eq!(balance.held.get(), by_state, "{id}: open holds by state");
            for (token, card) in &state.cards {
                let holds = state.open_holds().filter(|(purchase, _)| purchase.card == *token);
                let sum = holds.fold(Quantity::default(), |sum, (_, reserved)| sum.plus(reserved));
                assert_eq!(card.held(), sum, "{id} {token}: a card's holds");
            }
        }
        if let (Some(shown), Some(contract)) = (outcome.balance, &outcome.contract) {
            assert_eq!(shown, shard.contracts[contract].balance(), "the balance in the record");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_history_balances_and_its_ledger_folds_to_the_same_state(steps in steps()) {
        let Run { shard, records, .. } = run(&delivered_repeatedly(&requests(&steps), &steps));
        let mut folded = Shard::new(PartitionId(0));
        for (offset, json) in (0_i64..).zip(&records) {
            let record: LedgerRecord = serde_json::from_str(json).unwrap();
            prop_assert_eq!(&serde_json::to_string(&record).unwrap(), json);
            folded.fold(&Config::default(), offset, &record);
        }
        prop_assert!(folded == shard, "the fold is another state");
    }

    #[test]
    fn repeated_deliveries_change_no_answer_and_no_balance(steps in steps()) {
        let once = run(&requests(&steps));
        let repeatedly = run(&delivered_repeatedly(&requests(&steps), &steps));
        for (id, contract) in &once.shard.contracts {
            prop_assert_eq!(contract.balance(), repeatedly.shard.contracts[id].balance());
        }
        let answers = |run: &Run| -> BTreeMap<String, (Verdict, Code, String)> {
            let decided = run.outcomes.iter().flat_map(|outcome| &outcome.facts).filter_map(|fact| match fact {
                Fact::Decided { decision, .. } if !decision.replayed => Some(decision),
                _ => None,
            });
            decided
                .map(|decision| {
                    // Authorization codes name the request's place in the log, which repeats move.
                    let words = decision.text.manager.split("uthorization").next().unwrap_or_default().to_owned();
                    (decision.idem.to_string(), (decision.decision, decision.code, words))
                })
                .collect()
        };
        prop_assert_eq!(answers(&once), answers(&repeatedly));
    }

    #[test]
    fn an_owner_that_folds_half_a_ledger_goes_on_as_if_nothing_had_happened(steps in steps(), cut in 0.0_f64..1.0) {
        let all = delivered_repeatedly(&requests(&steps), &steps);
        let whole = run(&all);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place within 200 records")]
        let cut = (all.len() as f64 * cut) as usize;
        let config = Config::default();
        let mut second = Shard::new(PartitionId(0));
        for (offset, json) in (0_i64..).zip(&whole.records[..=cut]) {
            second.fold(&config, offset, &serde_json::from_str(json).unwrap());
        }
        for (offset, request) in (0_i64..).zip(&all) {
            if let Some(outcome) = second.decide(&config, offset, request) {
                prop_assert_eq!(&outcome, &whole.outcomes[usize::try_from(offset).unwrap()]);
            }
        }
        prop_assert!(second == whole.shard, "the second owner's state is another");
    }
}
