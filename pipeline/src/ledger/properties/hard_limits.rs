//! Never more than a hard limit or the balance allows, at any moment of any history.
//!
//! A card under a daily volume, a contract under a weekly sum and a card under a number of purchases in any 24 hours.
//! Offline and forced sales, late completions and those above their hold are aside: these are posted and marked. What
//! was sold and what is reserved is added up from the facts after each request.

use std::collections::HashMap;

use model::{
    AuthCode, CalendarUnit, Code, Command, Currency, Fact, Measure, Millilitres, MinorUnits, Original, Outcome,
    PartitionId, Request, RequestBody, Scope, SoldItem, TimestampUs, Transaction, TransactionKind, WeekStart, Window,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::shard::Shard;
use super::super::{Config, samples};
use super::{START_US, contract};

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
/// Of each card on each day in UTC.
const DAILY_ML: i64 = 150_000;
/// Of the contract in each week from Monday on.
const WEEKLY_MINOR: i64 = 3_000_000;
/// Of each card in any 24 hours.
const PURCHASES: usize = 4;
const TOP_UP_MINOR: i64 = 9_000_000;

#[derive(Clone, Debug)]
enum Act {
    Ask {
        kind: TransactionKind,
        card: u8,
        ml: u64,
        fill_up: bool,
        partial_ok: bool,
    },
    /// About the request so many steps before.
    Follow {
        kind: TransactionKind,
        ml: u64,
        back: usize,
    },
}

fn acts() -> impl Strategy<Value = Vec<(i64, i64, Act)>> {
    let ask = prop_oneof![Just(TransactionKind::Preauth), Just(TransactionKind::Preauth), Just(TransactionKind::Sale)];
    let follow = prop_oneof![
        4 => Just(TransactionKind::Completion),
        1 => Just(TransactionKind::Incremental),
        1 => Just(TransactionKind::Reversal),
        1 => Just(TransactionKind::Refund),
        1 => Just(TransactionKind::Void),
    ];
    let ask = (ask, 0_u8..2, 1_u64..120_000, any::<bool>(), any::<bool>())
        .prop_map(|(kind, card, ml, fill_up, partial_ok)| Act::Ask { kind, card, ml, fill_up, partial_ok });
    let follow = (follow, 0_u64..90_000, 1_usize..5).prop_map(|(kind, ml, back)| Act::Follow { kind, ml, back });
    // Most come at once, some hours late.
    let behind = prop_oneof![4 => Just(0_i64), 1 => 0_i64..25 * 60];
    vec((0_i64..600, behind, prop_oneof![3 => ask, 2 => follow]), 1..80)
}

/// What one authorization takes, by the facts.
struct Taken {
    card: String,
    at: TimestampUs,
    ml: i64,
    minor: i64,
    /// Gives no count back when it is refunded.
    counts: bool,
}

#[derive(Default)]
struct Book {
    taken: HashMap<AuthCode, Taken>,
}

fn ml(items: &[SoldItem]) -> i64 {
    items.iter().map(|item| i64::try_from(item.qty_ml.get()).unwrap()).sum()
}

impl Book {
    fn enter(&mut self, outcome: &Outcome) {
        for fact in &outcome.facts {
            match fact {
                Fact::Decided {
                    kind: TransactionKind::Preauth | TransactionKind::Incremental, card, decision, ..
                } => {
                    let (Some(hold), Some(auth_code)) = (decision.hold, &decision.auth_code) else { continue };
                    let (ml, minor) = (i64::try_from(hold.qty_ml.get()).unwrap(), hold.amount_minor.get());
                    // An incremental authorization holds so much more.
                    let new = Taken { card: card.to_string(), at: outcome.at_us, ml: 0, minor: 0, counts: true };
                    let known = self.taken.entry(auth_code.clone()).or_insert(new);
                    (known.ml, known.minor) = (known.ml + ml, known.minor + minor);
                }
                Fact::Captured { card, auth_code, items, amount_minor, .. } => {
                    let (ml, minor) = (ml(items), amount_minor.get());
                    let new = Taken { card: card.to_string(), at: outcome.at_us, ml, minor, counts: ml > 0 };
                    let known = self.taken.entry(auth_code.clone()).or_insert(new);
                    (known.ml, known.minor, known.counts) = (ml, minor, ml > 0);
                }
                Fact::Refunded { auth_code, items, amount_minor, .. } => {
                    let known = self.taken.get_mut(auth_code).expect("what was sold");
                    (known.ml, known.minor) = (known.ml - ml(items), known.minor - amount_minor.get());
                }
                Fact::Voided { auth_code, .. }
                | Fact::Reversed { auth_code, .. }
                | Fact::HoldExpired { auth_code, .. } => {
                    self.taken.remove(auth_code);
                }
                _ => {}
            }
        }
    }

    fn assert_within(&self, outcome: &Outcome) {
        let mut daily: HashMap<(&str, i64), i64> = HashMap::new();
        let mut weekly: HashMap<i64, i64> = HashMap::new();
        for taken in self.taken.values() {
            let day = taken.at.get().div_euclid(DAY_US);
            *daily.entry((&taken.card, day)).or_default() += taken.ml;
            // 1 January 1970 was a Thursday.
            *weekly.entry((day + 3).div_euclid(7)).or_default() += taken.minor;
            let until = taken.at.get();
            let near = self.taken.values().filter(|other| {
                other.counts && other.card == taken.card && other.at.get() <= until && other.at.get() > until - DAY_US
            });
            assert!(near.count() <= PURCHASES, "{} buys too often: {outcome:?}", taken.card);
        }
        assert!(daily.values().all(|ml| *ml <= DAILY_ML), "{daily:?}: {outcome:?}");
        assert!(weekly.values().all(|minor| *minor <= WEEKLY_MINOR), "{weekly:?}: {outcome:?}");
        let spent: i64 = self.taken.values().map(|taken| taken.minor).sum();
        assert!(spent <= TOP_UP_MINOR, "{spent} of {TOP_UP_MINOR}: {outcome:?}");
        let balance = outcome.balance.expect("a contract");
        assert_eq!(balance.available.get(), TOP_UP_MINOR - spent, "{outcome:?}");
    }
}

fn orders() -> Vec<Command> {
    let amount_minor = MinorUnits::new(TOP_UP_MINOR).unwrap();
    let day = Window::Calendar { unit: CalendarUnit::Day, count: 1 };
    let week = Window::Calendar { unit: CalendarUnit::Week, count: 1 };
    let rolling = Window::Rolling { secs: 86_400 };
    let mut orders = vec![
        samples::open(Currency::RUB, "UTC", WeekStart::Monday),
        Command::TopUp { amount_minor, currency: Currency::RUB, reference: String::new(), payer: None },
        Command::SetLimit(samples::limit("week", Scope::Contract, Measure::Money, WEEKLY_MINOR, week)),
    ];
    for card in ["card-0", "card-1"] {
        orders.push(samples::issue(card, None));
        let scope = Scope::Card(model::CardToken::new(card).unwrap());
        let id = |what: &str| format!("{card}:{what}");
        orders.push(Command::SetLimit(samples::limit(&id("day"), scope.clone(), Measure::Volume, DAILY_ML, day)));
        let count = i64::try_from(PURCHASES).unwrap();
        orders.push(Command::SetLimit(samples::limit(&id("count"), scope, Measure::Count, count, rolling)));
    }
    orders
}

/// A completion after or above its hold is posted whatever the limits say.
fn is_aside(outcome: &Outcome) -> bool {
    outcome.facts.iter().any(|fact| match fact {
        Fact::Decided { decision, .. } => matches!(decision.code, Code::CompletionLate | Code::CompletionAboveHold),
        _ => false,
    })
}

fn transaction(number: usize, act: &Act, cards: &[String], at: TimestampUs) -> Transaction {
    let idem = format!("K-{number}");
    let litres = |ml: u64| vec![samples::item(Some(Millilitres::new(ml).unwrap()))];
    match act {
        Act::Ask { kind, card, ml, fill_up, partial_ok } => Transaction {
            items: litres(*ml),
            fill_up: *fill_up && *kind == TransactionKind::Preauth,
            partial_ok: *partial_ok,
            ..samples::transaction(*kind, &idem, &format!("card-{card}"), at)
        },
        Act::Follow { kind, ml, back } => {
            let earlier = number.saturating_sub(*back);
            let card = cards.get(earlier).map_or("card-0", String::as_str);
            let idem_of = |number: usize| model::IdempotencyKey::new(&format!("K-{number}")).unwrap();
            let original = Original { auth_code: None, idem: Some(idem_of(earlier)) };
            Transaction { items: litres(*ml), original, ..samples::transaction(*kind, &idem, card, at) }
        }
    }
}

fn request(number: usize, body: RequestBody, received_at_us: TimestampUs) -> Request {
    Request { received_at_us, ..samples::request(&contract(0), i64::try_from(number).unwrap(), body) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_prefix_of_a_history_holds_more_than_its_limits_allow(acts in acts()) {
        let config = Config::default();
        let mut shard = Shard::new(PartitionId(0));
        let start = TimestampUs::from_micros(START_US);
        let orders = orders();
        let opening = orders.len();
        for (number, order) in orders.into_iter().enumerate() {
            let message = samples::order(&format!("order-{number}"), &contract(0), start, order);
            let offset = i64::try_from(number).unwrap();
            let request = request(number, RequestBody::Command(Box::new(message)), start);
            let outcome = shard.decide(&config, offset, request).expect("a new offset");
            let refused = outcome.facts.iter().any(|fact| matches!(fact, Fact::CommandRefused { .. }));
            prop_assert!(!refused, "{:?}", outcome);
        }
        let mut book = Book::default();
        let mut cards = Vec::new();
        let mut now = start;
        for (number, (minutes, behind, act)) in acts.iter().enumerate() {
            now = now.plus_us(minutes * MINUTE_US);
            let at = now.plus_us(-behind * MINUTE_US);
            let transaction = transaction(number, act, &cards, at);
            cards.push(transaction.card.token.to_string());
            let request = request(opening + number, RequestBody::Transaction(Box::new(transaction)), now);
            let offset = i64::try_from(opening + number).unwrap();
            let outcome = shard.decide(&config, offset, request).expect("a new offset");
            if is_aside(&outcome) {
                break;
            }
            book.enter(&outcome);
            book.assert_within(&outcome);
        }
    }
}
