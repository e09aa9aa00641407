//! Two routers and one partition: both know what they know, and only one is confirmed.

use model::{CardToken, PartitionId, TimestampUs, Topic};

use super::super::card_table::Cards;
use super::super::lane::Start;
use super::super::plan::Plan;
use super::*;
use crate::LogMessage;

const SALE: &[u8] = br#"{
    "v": 1, "idem": "K-1", "kind": "sale", "site": "S-1", "terminal": "T-1", "local_time": "2026-11-22T10:00:00",
    "utc_offset_min": 0, "card": {"token": "card-1"}, "currency": "RUB",
    "items": [{"code": "DIESEL", "unit": "L", "qty_ml": 10000, "price_e4": 500000}]
}"#;

/// A router of one partition that begins where `committed` says.
struct Router {
    lanes: Lanes,
    cards: Cards,
}

impl Router {
    fn new(committed: &Commits) -> Self {
        let mut lanes = Lanes::new(1);
        let position = |topic| {
            let commit = committed.iter().find(|(known, _, _)| *known == topic).map(|(_, _, commit)| commit);
            commit.map_or_else(Start::default, |commit| Start {
                position: commit.position,
                plan: Plan::decode(&commit.metadata, commit.position).unwrap(),
            })
        };
        for topic in TOPICS {
            assert!(lanes.gained(topic, PartitionId(0), position(topic)));
        }
        Self { lanes, cards: Cards::default() }
    }

    fn learns_of_the_card(&mut self) {
        let entry = br#"{"v":1,"origin":{"topic":"ledger","partition":0,"offset":1},"card":"card-1","contract":"C-1"}"#;
        let (topic, partition, payload) = (Topic::Cards, PartitionId(0), Some(entry.to_vec()));
        self.cards.learn(&LogMessage { topic, partition, offset: 0, key: None, payload, timestamp_ms: None });
    }

    /// The contract as which the sale goes out, if it does.
    fn reads_the_sale(&mut self) -> Option<Option<String>> {
        let arrival = Arrival {
            topic: Topic::Transactions,
            topic_name: "fuel.transactions",
            partition: PartitionId(0),
            offset: 0,
            payload: SALE,
            received_at_us: TimestampUs::default(),
        };
        match self.lanes.take(arrival, &self.cards)? {
            (_, Routed::Request(request)) => Some(contract(&request)),
            (_, Routed::Rejection(rejection)) => panic!("{}", rejection.detail),
        }
    }

    /// What it would commit next.
    fn commits(&mut self) -> Commits {
        let ready = self.lanes.propose(&self.cards);
        assert!(ready.is_empty(), "only an answer lets go of anything");
        self.lanes.commits(&self.cards)
    }

    /// The group takes the commit, which was sent with all that is known now.
    fn is_confirmed(&mut self, commits: Commits) -> Vec<Option<String>> {
        self.cards.confirm(self.cards.known());
        let ready = self.lanes.answered(commits, true, &self.cards);
        ready.iter().map(|(_, request)| contract(request)).collect()
    }
}

fn contract(request: &Request) -> Option<String> {
    request.contract.as_ref().map(|contract| contract.as_str().to_owned())
}

#[test]
fn a_router_that_lost_its_partitions_sends_nothing_by_a_card_that_it_learned_since() {
    let (mut old, mut new) = (Router::new(&Vec::new()), Router::new(&Vec::new()));
    assert_eq!(old.reads_the_sale(), None, "the card is unknown, so it waits for a plan");
    // The partition moves. The new owner plans and sends it as unknown.
    assert_eq!(new.reads_the_sale(), None);
    let plan = new.commits();
    assert_eq!(plan[0].2.metadata, "unknown=0");
    assert_eq!(new.is_confirmed(plan), [None], "it goes out as of an unknown card");
    // The old one knows nothing of that, and learns of the card: every commit of its is refused.
    old.learns_of_the_card();
    let refused = old.commits();
    assert!(!refused.is_empty(), "it asks to be confirmed");
    assert!(old.lanes.answered(refused, false, &old.cards).is_empty());
    assert!(old.lanes.propose(&old.cards).is_empty(), "and so it sends nothing");
}

#[test]
fn the_first_record_of_a_card_waits_until_the_group_confirms_us_and_the_next_does_not() {
    let mut router = Router::new(&Vec::new());
    router.learns_of_the_card();
    assert_eq!(router.reads_the_sale(), None);
    let commits = router.commits();
    assert_eq!(commits[0].2.metadata, "", "it is not unknown, only not confirmed");
    assert_eq!(router.is_confirmed(commits), [Some("C-1".to_owned())]);
    let token = CardToken::new("card-1").unwrap();
    assert!(router.cards.confirmed_contract_of(&token).is_some() && !router.cards.has_unconfirmed());
}

#[test]
fn a_commit_goes_out_again_when_only_a_card_waits_for_it() {
    let mut router = Router::new(&Vec::new());
    let commits = router.commits();
    assert!(router.is_confirmed(commits).is_empty());
    assert!(router.commits().is_empty(), "Kafka has it");
    router.learns_of_the_card();
    assert!(router.commits().is_empty(), "nobody waits");
    assert_eq!(router.reads_the_sale(), None);
    assert_eq!(router.commits().len(), 1);
}
