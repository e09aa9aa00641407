//! Limits that are set when most of what they count is remembered as sums.

use model::{
    CalendarUnit, CardToken, Code, Command, Currency, Decision, Fact, Limit, LimitMode, Measure, MinorUnits,
    ProductCode, ProductSelector, Scope, TimestampUs, TransactionKind, Window,
};

use super::{AT, Owner};
use crate::ledger::samples;

const DAY_US: i64 = 86_400 * model::MICROS_PER_SECOND;

fn calendar(unit: CalendarUnit, count: u16) -> Window {
    Window::Calendar { unit, count }
}

/// Every window that outlasts the memory of single purchases, in every measure, of all products and of one.
fn limits(prefix: &str) -> Vec<Limit> {
    let windows = [
        ("lifetime", Window::Lifetime),
        ("month", calendar(CalendarUnit::Month, 1)),
        ("five months", calendar(CalendarUnit::Month, 5)),
        ("quarter", calendar(CalendarUnit::Quarter, 1)),
        ("three quarters", calendar(CalendarUnit::Quarter, 3)),
        ("year", calendar(CalendarUnit::Year, 1)),
    ];
    let diesel = ProductSelector::Product(ProductCode::new("DIESEL").unwrap());
    let mut limits = Vec::new();
    for (name, window) in windows {
        for measure in [Measure::Volume, Measure::Money, Measure::Count] {
            for product in [ProductSelector::All, diesel.clone()] {
                let id = format!("{prefix}-{}", limits.len());
                let scope = if name == "year" { Scope::Contract } else { card() };
                let limit = samples::limit(&id, scope, measure, i64::from(u32::MAX), window);
                limits.push(Limit { product, mode: LimitMode::Flag, ..limit });
            }
        }
    }
    limits
}

fn card() -> Scope {
    Scope::Card(CardToken::new("1234").unwrap())
}

fn decision(facts: Vec<Fact>) -> Decision {
    let decision = facts.into_iter().find_map(|fact| match fact {
        Fact::Decided { decision, .. } => Some(decision),
        _ => None,
    });
    decision.expect("an answer")
}

impl Owner {
    fn buys(&mut self, litres: u32, at: TimestampUs) {
        let answer = decision(self.ask(TransactionKind::Sale, Some(litres), at));
        assert!(matches!(answer.code, Code::Approved | Code::ApprovedFlagged), "{answer:?}");
    }

    /// What every limit counts in its present window, by its name.
    fn used(&mut self, prefix: &str, at: TimestampUs) -> Vec<i64> {
        let answer = decision(self.ask(TransactionKind::Balance, None, at));
        let known = |name: String| answer.headroom.iter().find(|headroom| headroom.limit == name);
        (0..limits(prefix).len()).map(|place| known(format!("{prefix}-{place}")).expect("a limit").used).collect()
    }
}

#[test]
fn a_limit_that_is_set_years_later_counts_what_was_bought_long_ago() {
    let mut owner = Owner::with_a_card();
    let amount_minor = MinorUnits::new(1_000_000_000).unwrap();
    owner.order(Command::TopUp { amount_minor, currency: Currency::RUB, reference: "PAY-2".into(), payer: None });
    for limit in limits("always") {
        owner.order(Command::SetLimit(limit));
    }
    // Every ninth day, a litre more each time, so that no two sums of months are alike.
    let (mut litres, mut at, mut summed) = (0, AT, 0);
    for step in 1..=130_u32 {
        at = AT.plus_us(i64::from(step) * 9 * DAY_US);
        owner.buys(step, at);
        litres += i64::from(step);
        summed = summed.max(owner.shard.tables.cards.get(0).unwrap().older.len());
        // More than three years, in which every month and quarter has its turn.
        if step % 10 == 0 {
            let later = format!("later{step}");
            for limit in limits(&later) {
                owner.order(Command::SetLimit(limit));
            }
            let (always, later) = (owner.used("always", at), owner.used(&later, at));
            assert_eq!(later, always, "after {step} purchases");
            let of_all = [litres * 1_000, litres * 5_000, i64::from(step)];
            assert_eq!([later[0], later[2], later[4]], of_all, "the whole life, after {step} purchases");
            for place in 0..later.len() {
                let limit = model::LimitId::new(&format!("later{step}-{place}")).unwrap();
                owner.order(Command::RemoveLimit { limit });
            }
        }
    }
    let sums = |card: &crate::ledger::state::Card| card.older.iter().map(|sum| sum.key.month).min();
    assert_eq!(
        sums(owner.shard.tables.cards.get(0).unwrap()),
        Some(crate::ledger::tables::LONG_AGO),
        "years went into one sum"
    );
    // Of all products and of diesel: the month under way, fourteen before it, and all that is older.
    assert!(summed <= 2 * 16, "{summed} sums are kept");
    // What was bought afterwards is counted once more by all.
    owner.buys(7, at.plus_us(DAY_US));
    for limit in limits("last") {
        owner.order(Command::SetLimit(limit));
    }
    let now = at.plus_us(DAY_US);
    assert_eq!(owner.used("last", now), owner.used("always", now));
}
