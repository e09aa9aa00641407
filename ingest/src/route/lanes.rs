//! The lanes of one router: what becomes of each record, what is sent when, and what is committed.
//!
//! In: records, the card table, delivery reports, answers to commits. Out: requests and rejections, each with the tag under
//! which its delivery is reported, and commits. Guarantees: see [`super`], if whoever drives it sends in the order in
//! which things come out, reports as delivered only what is durable, and has one commit on its way at a time.
//! Does not: talk to Kafka, or look at a clock.

use model::{
    FORMAT_VERSION, Origin, OriginTopic, PartitionId, Rejection, Request, RequestBody, Source, TimestampUs, Topic,
};

use super::card_table::Cards;
use super::lane::{Commit, Lane, Start};
use super::progress::Ticket;
use crate::decode;

/// The topics that are routed.
pub const TOPICS: [Topic; 2] = [Topic::Transactions, Topic::Commands];

/// Commits by topic and partition.
pub type Commits = Vec<(Topic, PartitionId, Commit)>;

/// Which lane and which of its records a delivery report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub(super) lane: usize,
    pub(super) ticket: Ticket,
}

/// A record of a topic that is routed.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub topic: Topic,
    /// As Kafka knows the topic.
    pub topic_name: &'a str,
    pub partition: PartitionId,
    pub offset: i64,
    pub payload: &'a [u8],
    pub received_at_us: TimestampUs,
}

/// What to send.
#[derive(Clone, Debug)]
pub enum Routed {
    Request(Box<Request>),
    Rejection(Box<Rejection>),
}

/// A place for a lane per partition of the routed topics.
#[derive(Debug)]
pub struct Lanes {
    /// By topic, then partition.
    slots: Vec<Slot>,
    partitions: usize,
}

/// Tickets never repeat, so they outlive the lane.
#[derive(Debug)]
struct Slot {
    topic: Topic,
    partition: PartitionId,
    lane: Option<Lane>,
    next_ticket: Ticket,
}

impl Lanes {
    /// No lane yet, of topics with so many partitions.
    #[must_use]
    pub fn new(partitions: i32) -> Self {
        let slots = TOPICS
            .iter()
            .flat_map(|topic| (0..partitions).map(|partition| (*topic, PartitionId(partition))))
            .map(|(topic, partition)| Slot { topic, partition, lane: None, next_ticket: Ticket(0) })
            .collect();
        Self { slots, partitions: usize::try_from(partitions).unwrap_or(0) }
    }

    /// The partition is ours from `start` on. False when topics have no such partition.
    #[must_use]
    pub fn gained(&mut self, topic: Topic, partition: PartitionId, start: Start) -> bool {
        let Some(index) = self.index(topic, partition) else { return false };
        let slot = &mut self.slots[index];
        slot.lane = Some(Lane::begin(start, slot.next_ticket));
        true
    }

    /// Nothing is ours any more. What was waiting is forgotten: whoever is next reads it again.
    pub fn lost_all(&mut self) {
        for slot in &mut self.slots {
            if let Some(lane) = slot.lane.take() {
                slot.next_ticket = lane.next_ticket();
            }
        }
    }

    /// Takes the next record of a partition. Returns what is to be sent at once.
    pub fn take(&mut self, arrival: Arrival<'_>, cards: &Cards) -> Option<(Tag, Routed)> {
        let Arrival { topic, topic_name, partition, offset, payload, received_at_us } = arrival;
        let index = self.index(topic, partition)?;
        let lane = self.slots[index].lane.as_mut()?;
        let (origin_topic, decoded) = match topic {
            Topic::Commands => {
                (OriginTopic::Commands, decode::command(payload).map(|order| RequestBody::Command(Box::new(order))))
            }
            _ => (
                OriginTopic::Transactions,
                decode::transaction(payload).map(|message| RequestBody::Transaction(Box::new(message))),
            ),
        };
        let (ticket, routed) = match decoded {
            Ok(body) => {
                let contract = match &body {
                    RequestBody::Command(command) => Some(command.contract.clone()),
                    RequestBody::Transaction(_) | RequestBody::Tick(_) => None,
                };
                let origin = Some(Origin { topic: origin_topic, partition, offset });
                let request = Request { v: FORMAT_VERSION, origin, received_at_us, contract, body };
                let (ticket, request) = lane.admit(offset, request, |card| cards.confirmed_contract_of(card))?;
                (ticket, Routed::Request(Box::new(request)))
            }
            Err((reason, detail)) => {
                let source = Source::Kafka { topic: topic_name.to_owned(), partition: partition.0, offset };
                let rejection = Rejection { reason, detail, source, received_at_us, raw: payload.to_vec() };
                (lane.take(offset), Routed::Rejection(Box::new(rejection)))
            }
        };
        Some((Tag { lane: index, ticket }, routed))
    }

    /// What was sent under this tag is durable.
    pub fn delivered(&mut self, tag: Tag) {
        if let Some(lane) = self.slots.get_mut(tag.lane).and_then(|slot| slot.lane.as_mut()) {
            lane.delivered(tag.ticket);
        }
    }

    /// Records taken and not yet durable.
    #[must_use]
    pub fn held(&self) -> usize {
        self.lanes().map(Lane::held).sum()
    }

    /// Whether something waits for a commit.
    #[must_use]
    pub fn wants_commit(&self) -> bool {
        self.lanes().any(Lane::wants_commit)
    }

    /// Before a commit: plans what is still unknown. Returns what waited and need not wait any longer.
    pub fn propose(&mut self, cards: &Cards) -> Vec<(Tag, Request)> {
        let mut ready = Vec::new();
        for index in 0..self.slots.len() {
            self.release(index, cards, &mut ready);
            if let Some(lane) = &mut self.slots[index].lane {
                lane.propose(|card| cards.contract_of(card));
            }
        }
        ready
    }

    /// What to commit now, all at once; empty when Kafka has it already and nobody waits for cards to be confirmed.
    pub fn commits(&mut self, cards: &Cards) -> Commits {
        let commit = |slot: &mut Slot| Some((slot.topic, slot.partition, slot.lane.as_mut()?.commit()?));
        let commits: Commits = self.slots.iter_mut().filter_map(commit).collect();
        if commits.is_empty() && cards.has_unconfirmed() && self.wants_commit() {
            let again = |slot: &mut Slot| Some((slot.topic, slot.partition, slot.lane.as_mut()?.commit_again()));
            return self.slots.iter_mut().find_map(again).into_iter().collect();
        }
        commits
    }

    /// The answer to the last [`Lanes::commits`]: whether Kafka has stored them for certain. Returns what waited for it. If they
    /// are, the cards that were known when they were sent are to be confirmed before.
    pub fn answered(&mut self, commits: Commits, stored: bool, cards: &Cards) -> Vec<(Tag, Request)> {
        let mut ready = Vec::new();
        for (topic, partition, commit) in commits {
            let Some(index) = self.index(topic, partition) else { continue };
            if let Some(lane) = &mut self.slots[index].lane {
                if stored { lane.committed(commit) } else { lane.commit_failed() }
            }
        }
        // A confirmed card lets go of what waits in any lane.
        for index in 0..self.slots.len() {
            self.release(index, cards, &mut ready);
        }
        ready
    }

    fn release(&mut self, index: usize, cards: &Cards, ready: &mut Vec<(Tag, Request)>) {
        let Some(lane) = &mut self.slots[index].lane else { return };
        while let Some((ticket, request)) = lane.release(|card| cards.confirmed_contract_of(card)) {
            ready.push((Tag { lane: index, ticket }, request));
        }
    }

    fn index(&self, topic: Topic, partition: PartitionId) -> Option<usize> {
        let index = TOPICS.iter().position(|known| *known == topic)? * self.partitions + partition.index();
        self.slots.get(index).filter(|slot| slot.topic == topic && slot.partition == partition)?;
        Some(index)
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.slots.iter().filter_map(|slot| slot.lane.as_ref())
    }
}

#[cfg(test)]
mod tests;
