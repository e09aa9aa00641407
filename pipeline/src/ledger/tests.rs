//! What concerns the engine's parts. What it decides stands in `tests/scenarios/`, in the words of the business.

mod holds;
mod long_ago;
mod workers;

use model::{
    Command, ContractId, Currency, Fact, FraudRule, LedgerBody, LedgerRecord, Millilitres, MinorUnits, PartitionId,
    RequestBody, RuleMode, TimestampUs, Transaction, TransactionKind, WeekStart,
};

use super::shard::Shard;
use super::{Config, samples};

const AT: TimestampUs = TimestampUs::from_micros(1_768_377_600_000_000);
const THREE_HOURS_US: i64 = 180 * model::MICROS_PER_MINUTE;

/// A shard that decides one request after the other.
struct Owner {
    shard: Shard,
    contract: ContractId,
    offset: i64,
    /// When orders come: with the last transaction.
    now: TimestampUs,
}

impl Owner {
    fn new() -> Self {
        let mut shard = Shard::new(PartitionId(0));
        let body = LedgerBody::Takeover { owner: "the only one".into(), at_us: AT };
        shard.fold(&Config::default(), 0, &LedgerRecord { v: 1, epoch: 0, body });
        Self { shard, contract: ContractId::new("C-1").unwrap(), offset: 0, now: AT }
    }

    fn order(&mut self, command: Command) {
        let order = samples::order(&format!("order-{}", self.offset), &self.contract, self.now, command);
        self.decide(RequestBody::Command(Box::new(order)));
    }

    fn ask(&mut self, kind: TransactionKind, litres: Option<u32>, at: TimestampUs) -> Vec<Fact> {
        self.now = at;
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
