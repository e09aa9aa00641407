//! How much one outcome does.

use model::{
    Command, ContractId, Currency, Fact, FraudRule, LedgerBody, LedgerRecord, Millilitres, MinorUnits, PartitionId,
    RequestBody, RuleMode, TimestampUs, Transaction, TransactionKind, WeekStart,
};

use crate::ledger::shard::Shard;
use crate::ledger::{Config, samples};

const AT: TimestampUs = TimestampUs::from_micros(1_768_377_600_000_000);
const THREE_HOURS_US: i64 = 180 * model::MICROS_PER_MINUTE;

/// A shard that decides one request after the other.
struct Owner {
    shard: Shard,
    contract: ContractId,
    offset: i64,
}

impl Owner {
    fn new() -> Self {
        let mut shard = Shard::new(PartitionId(0));
        let body = LedgerBody::Takeover { owner: "the only one".into(), at_us: AT };
        shard.fold(&Config::default(), 0, &LedgerRecord { v: 1, epoch: 0, body });
        Self { shard, contract: ContractId::new("C-1").unwrap(), offset: 0 }
    }

    fn order(&mut self, command: Command) {
        let order = samples::order(&format!("order-{}", self.offset), &self.contract, AT, command);
        self.decide(RequestBody::Command(Box::new(order)));
    }

    fn ask(&mut self, kind: TransactionKind, litres: Option<u32>, at: TimestampUs) -> Vec<Fact> {
        let transaction = Transaction {
            items: litres.iter().map(|litres| samples::item(Some(Millilitres::from_litres(*litres)))).collect(),
            ..samples::transaction(kind, &format!("key-{}", self.offset), "1234", at)
        };
        self.decide(RequestBody::Transaction(Box::new(transaction)))
    }

    fn decide(&mut self, body: RequestBody) -> Vec<Fact> {
        let request = samples::request(&self.contract, self.offset, body);
        let outcome = self.shard.decide(&Config::default(), self.offset, request).expect("a new offset");
        self.offset += 1;
        outcome.facts
    }

    /// With money, a card and no fraud rule in the way.
    fn with_a_card() -> Self {
        let mut owner = Self::new();
        let amount_minor = MinorUnits::new(10_000_000).unwrap();
        owner.order(samples::open(Currency::RUB, "Europe/Moscow", WeekStart::Monday));
        owner.order(Command::TopUp { amount_minor, currency: Currency::RUB, reference: "PAY-1".into(), payer: None });
        owner.order(samples::issue("1234", None));
        owner.order(Command::SetRule { rule: FraudRule::Velocity, mode: RuleMode::Off });
        owner
    }
}

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
