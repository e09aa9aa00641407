//! What was sold and what is reserved, kept from facts alone: never more than a hard limit or the balance allows.

use std::collections::{BTreeMap, BTreeSet};

use model::{AuthCode, Fact, LimitId, Outcome, SoldItem, TransactionKind, Verdict};

use crate::workload::DAILY_ML;

const DAY_US: i64 = 86_400_000_000;

/// What one authorization takes, by the facts.
struct Taken {
    card: String,
    day: i64,
    ml: i64,
}

/// Of one ledger partition.
#[derive(Default)]
pub(crate) struct Book {
    taken: BTreeMap<AuthCode, Taken>,
    limits: BTreeSet<LimitId>,
}

fn ml(items: &[SoldItem]) -> i64 {
    items.iter().map(|item| i64::try_from(item.qty_ml.get()).expect("a volume")).sum()
}

impl Book {
    /// Checks each prefix. What is posted without being asked for (offline and forced sales, completions above or after
    /// their hold) may go beyond; nothing may be granted then.
    pub(crate) fn check<'o>(mut self, outcomes: impl Iterator<Item = &'o Outcome>, granted: &mut u64) {
        for outcome in outcomes {
            for fact in &outcome.facts {
                self.enter(outcome, fact);
            }
            if let Some(card) = granted_to(outcome) {
                *granted += 1;
                self.assert_within(outcome, card);
            }
        }
    }

    fn enter(&mut self, outcome: &Outcome, fact: &Fact) {
        let day = outcome.at_us.get().div_euclid(DAY_US);
        match fact {
            Fact::LimitSet { limit, .. } => {
                self.limits.insert(limit.id.clone());
            }
            Fact::Decided { kind: TransactionKind::Preauth | TransactionKind::Incremental, card, decision, .. }
                if !decision.replayed =>
            {
                let (Some(hold), Some(auth_code)) = (decision.hold, &decision.auth_code) else { return };
                let held = i64::try_from(hold.qty_ml.get()).expect("a volume");
                let new = Taken { card: card.to_string(), day, ml: 0 };
                // An incremental authorization holds so much more.
                self.taken.entry(auth_code.clone()).or_insert(new).ml += held;
            }
            Fact::Captured { card, auth_code, items, .. } => {
                let new = Taken { card: card.to_string(), day, ml: 0 };
                // It counts when it was authorized.
                self.taken.entry(auth_code.clone()).or_insert(new).ml = ml(items);
            }
            Fact::Refunded { auth_code, items, .. } => {
                if let Some(known) = self.taken.get_mut(auth_code) {
                    known.ml -= ml(items);
                }
            }
            Fact::Voided { auth_code, .. } | Fact::Reversed { auth_code, .. } | Fact::HoldExpired { auth_code, .. } => {
                // What is completed late counts on the day of its authorization all the same.
                if let Some(known) = self.taken.get_mut(auth_code) {
                    known.ml = 0;
                }
            }
            _ => {}
        }
    }

    fn assert_within(&self, outcome: &Outcome, card: &str) {
        let balance = outcome.balance.expect("what is granted has a contract");
        assert!(!balance.available.is_negative(), "more was granted than is available: {outcome:?}");
        if !self.limits.iter().any(|limit| limit.as_str() == format!("{card}:day")) {
            return;
        }
        let day = outcome.at_us.get().div_euclid(DAY_US);
        let of_day = self.taken.values().filter(|taken| taken.card == card && taken.day == day);
        let sum: i64 = of_day.map(|taken| taken.ml).sum();
        let limit = i64::try_from(DAILY_ML).expect("a volume");
        assert!(sum <= limit, "{card} got {sum} of {limit} ml on one day: {outcome:?}");
    }
}

/// The card whose wish was granted, when an outcome reserves or sells because it was asked to.
fn granted_to(outcome: &Outcome) -> Option<&str> {
    outcome.facts.iter().find_map(|fact| match fact {
        Fact::Decided {
            kind: TransactionKind::Preauth | TransactionKind::Sale | TransactionKind::Incremental,
            card,
            decision,
            ..
        } if !decision.replayed && matches!(decision.decision, Verdict::Approve | Verdict::Partial) => {
            Some(card.as_str())
        }
        _ => None,
    })
}
