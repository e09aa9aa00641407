//! Who may decide, through running workers.

use std::sync::mpsc::{Receiver, sync_channel};

use model::{
    Command, ContractId, Currency, Fact, LedgerBody, LedgerRecord, Millilitres, MinorUnits, Outcome, PartitionId,
    Request, RequestBody, TimestampUs, Transaction, TransactionKind, Verdict, WeekStart,
};

use crate::ledger::{Config, Input, Output, samples, spawn};

const AT: TimestampUs = TimestampUs::from_micros(1_768_377_600_000_000);

fn takeover() -> LedgerRecord {
    LedgerRecord { v: 1, epoch: 0, body: LedgerBody::Takeover { owner: "one of us".into(), at_us: AT } }
}

/// A contract with money and a card.
fn opening(contract: &ContractId) -> Vec<Request> {
    let amount_minor = MinorUnits::new(1_000_000).unwrap();
    let commands = [
        samples::open(Currency::RUB, "Asia/Almaty", WeekStart::Monday),
        Command::TopUp { amount_minor, currency: Currency::RUB, reference: "PAY-1".into(), payer: None },
        samples::issue("1234", None),
    ];
    let order = |(number, command)| {
        let order = samples::order(&format!("order-{number}"), contract, AT, command);
        samples::request(contract, number, RequestBody::Command(Box::new(order)))
    };
    (0..).zip(commands).map(order).collect()
}

fn sale(contract: &ContractId, origin: i64) -> Request {
    let transaction = Transaction {
        items: vec![samples::item(Some(Millilitres::from_litres(10)))],
        ..samples::transaction(TransactionKind::Sale, &format!("sale-{origin}"), "1234", AT)
    };
    samples::request(contract, origin, RequestBody::Transaction(Box::new(transaction)))
}

/// A record that a worker gave.
struct Given {
    partition: PartitionId,
    key: String,
    record: LedgerRecord,
}

impl Given {
    fn outcome(&self) -> &Outcome {
        let LedgerBody::Outcome(outcome) = &self.record.body else { panic!("a worker does not take over") };
        outcome
    }
}

fn all(outputs: &Receiver<Vec<Output>>) -> Vec<Given> {
    let records = outputs.iter().flatten().filter_map(|output| match output {
        Output::Record { partition, key, record } => Some(Given { partition, key, record: *record }),
        Output::TickDue { .. } | Output::Snapshot { .. } => None,
    });
    records.collect()
}

fn approved(outcome: &Outcome) -> bool {
    matches!(outcome.facts.first(), Some(Fact::Decided { decision, .. }) if decision.decision == Verdict::Approve)
}

#[test]
fn each_partition_is_decided_in_order_under_its_own_epoch() {
    let (sender, outputs) = sync_channel(1 << 14);
    let dataflow = spawn(Config { workers: 2, ..Config::default() }, sender);
    for number in 0..3 {
        let (partition, contract) = (PartitionId(number), ContractId::new(&format!("C-{number}")).unwrap());
        let feed = dataflow.feed(partition);
        let epoch = i64::from(number);
        feed.send(Input::Fold { partition, offset: epoch, record: takeover() }).unwrap();
        feed.send(Input::Start { partition, epoch }).unwrap();
        let requests = (0..).zip(opening(&contract)).collect();
        feed.send(Input::Decide { partition, epoch, requests }).unwrap();
        let requests = (3..20).map(|offset| (offset, sale(&contract, offset))).collect();
        feed.send(Input::Decide { partition, epoch, requests }).unwrap();
    }
    dataflow.join();
    let outputs = all(&outputs);
    for number in 0..3 {
        let own: Vec<&Given> = outputs.iter().filter(|output| output.partition == PartitionId(number)).collect();
        let offsets: Vec<i64> = own.iter().map(|output| output.outcome().request).collect();
        assert_eq!(offsets, (0..20).collect::<Vec<i64>>());
        assert!(own.iter().all(|output| output.record.epoch == i64::from(number)));
        assert!(own.iter().all(|output| output.key == format!("C-{number}")));
        assert!(own.iter().skip(3).all(|output| approved(output.outcome())));
    }
}

#[test]
fn only_the_owner_decides() {
    let (sender, outputs) = sync_channel(1 << 14);
    let dataflow = spawn(Config::default(), sender);
    let (partition, contract) = (PartitionId(0), ContractId::new("C-0").unwrap());
    let feed = dataflow.feed(partition);
    let read_under = |epoch: i64, offset: i64| {
        let requests = vec![(offset, sale(&contract, offset))];
        Input::Decide { partition, epoch, requests }
    };
    let decide = |offset: i64| read_under(0, offset);
    feed.send(decide(0)).unwrap(); // not folded
    feed.send(Input::Fold { partition, offset: 0, record: takeover() }).unwrap();
    feed.send(decide(1)).unwrap(); // not started
    feed.send(Input::Start { partition, epoch: 7 }).unwrap(); // no such takeover
    feed.send(decide(2)).unwrap();
    feed.send(Input::Start { partition, epoch: 0 }).unwrap();
    feed.send(read_under(-1, 4)).unwrap(); // read under an earlier epoch of ours, which knew another past
    feed.send(decide(3)).unwrap(); // the one that counts
    feed.send(decide(3)).unwrap(); // decided already
    feed.send(Input::Fold { partition, offset: 2, record: takeover() }).unwrap();
    feed.send(decide(4)).unwrap(); // taken over
    feed.send(Input::Revoke { partition }).unwrap();
    feed.send(decide(5)).unwrap(); // forgotten
    drop(feed);
    dataflow.join();
    let offsets: Vec<i64> = all(&outputs).iter().map(|output| output.outcome().request).collect();
    assert_eq!(offsets, [3]);
}

#[test]
fn records_of_a_replaced_owner_are_void() {
    let (sender, outputs) = sync_channel(1 << 14);
    let dataflow = spawn(Config::default(), sender);
    let (partition, contract) = (PartitionId(0), ContractId::new("C-0").unwrap());
    let feed = dataflow.feed(partition);
    feed.send(Input::Fold { partition, offset: 0, record: takeover() }).unwrap();
    feed.send(Input::Start { partition, epoch: 0 }).unwrap();
    feed.send(Input::Decide { partition, epoch: 0, requests: (0..).zip(opening(&contract)).collect() }).unwrap();
    feed.send(Input::Decide { partition, epoch: 0, requests: vec![(3, sale(&contract, 3))] }).unwrap();
    drop(feed);
    dataflow.join();
    let mut records: Vec<LedgerRecord> = all(&outputs).into_iter().map(|given| given.record).collect();
    let late = records.pop().expect("the sale's record");
    records.insert(0, takeover());
    records.push(takeover()); // offset 4: another owner; the first one's sale comes after it
    records.push(late);

    let (sender, outputs) = sync_channel(1 << 14);
    let dataflow = spawn(Config::default(), sender);
    let feed = dataflow.feed(partition);
    for (offset, record) in (0..).zip(records) {
        feed.send(Input::Fold { partition, offset, record }).unwrap();
    }
    feed.send(Input::Start { partition, epoch: 4 }).unwrap();
    feed.send(Input::Decide { partition, epoch: 4, requests: vec![(3, sale(&contract, 3))] }).unwrap();
    drop(feed);
    dataflow.join();
    let outputs = all(&outputs);
    assert_eq!(outputs.len(), 1);
    let outcome = outputs[0].outcome();
    assert!(approved(outcome), "the void sale was counted: {outcome:?}");
    assert_eq!(outcome.balance.map(|balance| balance.available.get()), Some(950_000));
}

#[test]
fn a_tick_is_asked_for_once_when_a_hold_has_run_out() {
    let (sender, outputs) = sync_channel(1 << 14);
    let dataflow = spawn(Config::default(), sender);
    let (partition, contract) = (PartitionId(0), ContractId::new("C-0").unwrap());
    let feed = dataflow.feed(partition);
    feed.send(Input::Fold { partition, offset: 0, record: takeover() }).unwrap();
    feed.send(Input::Start { partition, epoch: 0 }).unwrap();
    feed.send(Input::Decide { partition, epoch: 0, requests: (0..).zip(opening(&contract)).collect() }).unwrap();
    let transaction = Transaction {
        items: vec![samples::item(Some(Millilitres::from_litres(10)))],
        ..samples::transaction(TransactionKind::Preauth, "hold", "1234", AT)
    };
    let preauth = samples::request(&contract, 3, RequestBody::Transaction(Box::new(transaction)));
    feed.send(Input::Decide { partition, epoch: 0, requests: vec![(3, preauth)] }).unwrap();
    let ttl_us = Config::default().hold_ttl_us;
    for at_us in [AT.plus_us(ttl_us - 1), AT.plus_us(ttl_us), AT.plus_us(ttl_us + 1_000_000)] {
        feed.send(Input::Clock { at_us }).unwrap();
    }
    drop(feed);
    dataflow.join();
    let due: Vec<ContractId> = outputs
        .iter()
        .flatten()
        .filter_map(|output| match output {
            Output::TickDue { contract, .. } => Some(contract),
            Output::Record { .. } | Output::Snapshot { .. } => None,
        })
        .collect();
    assert_eq!(due, [contract]);
}
