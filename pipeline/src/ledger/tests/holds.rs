//! How much one outcome does.

use model::{Fact, Millilitres, RequestBody, Transaction, TransactionKind};

use super::{AT, Owner, THREE_HOURS_US};
use crate::ledger::samples;

#[test]
fn one_request_ends_a_bounded_number_of_holds() {
    let mut owner = Owner::with_a_card();
    for _ in 0..200 {
        owner.ask(TransactionKind::Preauth, Some(1), AT);
    }
    let later = AT.plus_us(THREE_HOURS_US);
    let expired = |facts: Vec<Fact>| facts.iter().filter(|fact| matches!(fact, Fact::HoldExpired { .. })).count();
    let (first, second) =
        (owner.ask(TransactionKind::Balance, None, later), owner.ask(TransactionKind::Balance, None, later));
    assert_eq!((expired(first), expired(second)), (128, 72));
}

#[test]
fn no_tick_comes_for_a_contract_whose_last_hold_was_completed() {
    let mut owner = Owner::with_a_card();
    owner.ask(TransactionKind::Preauth, Some(40), AT);
    let later = AT.plus_us(THREE_HOURS_US);
    assert_eq!(owner.shard.due(later, 9).count(), 1, "the hold will expire");
    let completion = Transaction {
        items: vec![samples::item(Some(Millilitres::from_litres(40)))],
        original: model::Original { auth_code: Some(model::AuthCode::new("0-4").unwrap()), idem: None },
        ..samples::transaction(TransactionKind::Completion, "completion", "1234", AT)
    };
    let facts = owner.decide(RequestBody::Transaction(Box::new(completion)));
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Captured { .. })), "{facts:?}");
    assert_eq!(owner.shard.due(later, 9).count(), 0, "nothing waits");
}
