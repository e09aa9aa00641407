//! A process's router: the real lanes and card table, over the simulated log and group.

use std::collections::BTreeMap;

use ingest::route::card_table::Cards;
use ingest::route::lane::Start;
use ingest::route::lanes::{Arrival, Commits, Lanes, Routed, Tag};
use ingest::route::plan::Plan;
use ingest::{LogMessage, UnpackedCards};
use model::{PartitionId, Request, Source, Topic};

use crate::faults::Fault;
use crate::groups::{Membership, News};
use crate::log::{LineId, Place, Reader};
use crate::store;
use crate::surroundings::{Down, Stepped, Surroundings, Who};

const BATCH_MAX: usize = 8;
/// The card table is saved one in so many times that it has grown: then is a matter of chance, any table must be right.
const SAVED_ONE_IN: u64 = 6;
const COMMIT_EVERY_US: i64 = 200_000;
/// An unanswered commit is given up.
const COMMIT_PATIENCE_US: i64 = 5_000_000;

pub(crate) struct Router {
    line: LineId,
    cards: Cards,
    card_readers: Vec<Reader>,
    /// Copied, and not in the store yet.
    saving: Option<UnpackedCards>,
    /// Everything was read that the card table held at the start, so the group may be joined.
    membership: Option<Membership>,
    lanes: Lanes,
    readers: BTreeMap<Place, Reader>,
    commit: Option<OnItsWay>,
    committed_us: i64,
}

struct OnItsWay {
    commits: Commits,
    membership: Membership,
    /// Cards that were known when it was sent.
    known: usize,
    sent_us: i64,
    /// Whether it is stored for certain, once the answer is there.
    answer: Option<bool>,
}

impl Router {
    pub(crate) fn start(around: &mut Surroundings, who: Who) -> Self {
        let cards = store::newest_cards(around, who).unwrap_or_else(|| Cards::new(around.settings.partitions));
        let places = around.partitions().zip(cards.positions());
        let card_readers = places.map(|(partition, from)| Reader::open(&around.log, (Topic::Cards, partition), *from));
        let card_readers = card_readers.collect();
        Self {
            line: around.log.open_line(who.process),
            cards,
            card_readers,
            saving: None,
            membership: None,
            lanes: Lanes::new(around.settings.partitions),
            readers: BTreeMap::new(),
            commit: None,
            committed_us: around.now_us,
        }
    }

    pub(crate) fn line(&self) -> LineId {
        self.line
    }

    pub(crate) fn step(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        if !who.reaches_log {
            self.give_commit_up(around);
            return Ok(false);
        }
        if self.membership.is_none() {
            return Ok(self.join(around, who));
        }
        if let Some(unpacked) = self.saving.take_if(|_| around.random.one_in(4)) {
            store::put_cards(around, who, &unpacked);
        }
        let mut busy = self.keep_membership(around, who)?;
        busy |= match around.random.below(3) {
            0 => self.settle(around)?,
            1 => self.commit(around, who)?,
            _ => self.take_batch(around, who)?,
        };
        Ok(busy)
    }

    fn join(&mut self, around: &mut Surroundings, who: Who) -> bool {
        self.refresh(around, 20);
        if self.card_readers.iter().all(Reader::has_caught_up) {
            self.membership = Some(Membership::join(&mut around.routes, who.name(), around.now_us));
        }
        true
    }

    fn refresh(&mut self, around: &mut Surroundings, most: usize) -> bool {
        let mut busy = false;
        for reader in &mut self.card_readers {
            let (topic, partition) = reader.place;
            for (offset, stored) in reader.read(&around.log, most) {
                busy = true;
                let payload = Some(stored.value.clone());
                self.cards.learn(&LogMessage { topic, partition, offset, key: None, payload, timestamp_ms: None });
            }
        }
        if busy && around.random.one_in(SAVED_ONE_IN) {
            self.saving = Some(self.cards.unpacked());
        }
        busy
    }

    /// A commit must not outlive the membership under which it was made, as `ingest` has it.
    fn keep_membership(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        let Some(membership) = &mut self.membership else { return Ok(false) };
        if self.commit.is_some() {
            let _ = around.routes.hear(membership.id, membership.generation, around.now_us);
            return Ok(false);
        }
        match membership.poll(&mut around.routes, who.name(), around.now_us) {
            News::None => Ok(false),
            News::Rearranging => {
                membership.ask();
                self.give_up_lanes(around, who);
                Ok(true)
            }
            News::ThrownOut => {
                self.give_up_lanes(around, who);
                Ok(true)
            }
            News::Assigned(places) => {
                self.give_up_lanes(around, who);
                // Whoever had them before may know cards that we have not read of.
                self.refresh(around, usize::MAX);
                for (topic, partition) in places {
                    self.gain(around, who, topic, partition);
                }
                Ok(true)
            }
            News::Replaced => Err(Down::Ends("another router has its name")),
        }
    }

    fn give_up_lanes(&mut self, around: &mut Surroundings, who: Who) {
        if !self.readers.is_empty() {
            around.tell(who, "route", || "gives its partitions up".to_owned());
        }
        self.lanes.lost_all();
        self.readers.clear();
    }

    fn gain(&mut self, around: &mut Surroundings, who: Who, topic: Topic, partition: PartitionId) {
        let start = match around.routes.committed((topic, partition)) {
            Some((position, metadata)) => {
                let plan = Plan::decode(metadata, *position).expect("a plan of a router");
                Start { position: *position, plan }
            }
            None => Start::default(),
        };
        around.tell(who, "route", || format!("takes {topic:?}/{partition} up at {start:?}"));
        self.readers.insert((topic, partition), Reader::open(&around.log, (topic, partition), start.position));
        assert!(self.lanes.gained(topic, partition, start), "a partition that there is");
    }

    fn take_batch(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        let most = around.random.index(4);
        let mut busy = self.refresh(around, most);
        let most = 1 + around.random.index(BATCH_MAX);
        let start = around.random.index(self.readers.len().max(1));
        let places: Vec<Place> = self.readers.keys().copied().collect();
        for place in places.iter().cycle().skip(start).take(places.len()) {
            let Some(reader) = self.readers.get_mut(place) else { continue };
            let mut routed = Vec::new();
            for (offset, stored) in reader.read(&around.log, most) {
                busy = true;
                let (topic, partition) = *place;
                let topic_name = around.settings.topic_name(topic);
                let arrival = Arrival {
                    topic,
                    topic_name: &topic_name,
                    partition,
                    offset,
                    payload: &stored.value,
                    received_at_us: who.clock,
                };
                let sent = self.lanes.take(arrival, &self.cards);
                routed.push((offset, sent));
            }
            for (offset, sent) in routed {
                around.may_die(Fault::RouterDiesBeforeSending)?;
                match sent {
                    Some((tag, Routed::Request(request))) => self.send(around, who, tag, &request),
                    Some((tag, Routed::Rejection(rejection))) => {
                        around.tell(who, "route", || format!("{place:?}@{offset} is rejected: {}", rejection.detail));
                        let Source::Kafka { topic, partition, offset } = &rejection.source else { continue };
                        let value = format!("{topic}/{partition}@{offset}").into_bytes();
                        let place = (Topic::Rejected, place.1);
                        around.log.send(self.line, place, value, Some(tag), around.now_us);
                    }
                    None => around.tell(who, "route", || format!("{place:?}@{offset} waits")),
                }
            }
        }
        Ok(busy)
    }

    fn send(&self, around: &mut Surroundings, who: Who, tag: Tag, request: &Request) {
        let partition = around.settings.partition_of(request.key());
        around.tell(who, "route", || {
            let origin = request.origin.expect("what is routed has one");
            let (key, idem) = (request.key(), request.idem());
            format!("{:?}/{}@{} goes to {partition} as {key} ({idem})", origin.topic, origin.partition, origin.offset)
        });
        let value = serde_json::to_vec(request).expect("JSON");
        around.log.send(self.line, (Topic::Requests, partition), value, Some(tag), around.now_us);
    }

    fn settle(&mut self, around: &mut Surroundings) -> Stepped {
        around.may_die(Fault::RouterDiesBeforeReports)?;
        let reports = around.log.reports(self.line, around.now_us);
        let busy = !reports.is_empty();
        for tag in reports.into_iter().flatten() {
            self.lanes.delivered(tag);
        }
        Ok(busy)
    }

    fn commit(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        if self.commit.is_some() {
            return self.pursue_commit(around, who);
        }
        if around.now_us < self.committed_us + COMMIT_EVERY_US && !self.lanes.wants_commit() {
            return Ok(false);
        }
        let ready = self.lanes.propose(&self.cards);
        self.send_all(around, who, ready);
        self.committed_us = around.now_us;
        let commits = self.lanes.commits(&self.cards);
        let membership = self.membership.clone().expect("a member");
        if commits.is_empty() {
            return Ok(false);
        }
        around.may_die(Fault::RouterDiesBeforeCommit)?;
        let known = self.cards.known();
        self.commit = Some(OnItsWay { commits, membership, known, sent_us: around.now_us, answer: None });
        Ok(true)
    }

    fn pursue_commit(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        let Some(on_its_way) = &mut self.commit else { return Ok(false) };
        if on_its_way.answer.is_none() {
            let refused = around.strikes(Fault::CommitRefused);
            let OnItsWay { commits, membership, .. } = on_its_way;
            let positions = commits
                .iter()
                .map(|(topic, partition, commit)| ((*topic, *partition), (commit.position, commit.metadata.clone())));
            let stored = !refused && around.routes.commit(membership.id, membership.generation, positions).is_ok();
            around.tell(who, "route", || format!("commits {commits:?}: {stored}"));
            if stored {
                around.may_die(Fault::RouterDiesAfterCommit)?;
            }
            on_its_way.answer = Some(stored && !around.strikes(Fault::CommitAnswerLost));
            return Ok(true);
        }
        around.may_die(Fault::RouterDiesAfterAnswer)?;
        let Some(OnItsWay { commits, known, answer: Some(stored), .. }) = self.commit.take() else { return Ok(false) };
        if stored {
            self.cards.confirm(known);
        }
        let ready = self.lanes.answered(commits, stored, &self.cards);
        self.send_all(around, who, ready);
        Ok(true)
    }

    fn send_all(&self, around: &mut Surroundings, who: Who, ready: Vec<(Tag, Request)>) {
        for (tag, request) in ready {
            self.send(around, who, tag, &request);
        }
    }

    /// Without a connection, a commit comes to nothing after a while. What had to be sent then waits at the producer.
    fn give_commit_up(&mut self, around: &Surroundings) {
        let is_over = |commit: &mut OnItsWay| around.now_us > commit.sent_us + COMMIT_PATIENCE_US;
        if let Some(on_its_way) = self.commit.as_mut().filter(|commit| commit.answer.is_none())
            && is_over(on_its_way)
        {
            on_its_way.answer = Some(false);
        }
    }

    /// Whether all that was read is delivered and committed.
    pub(crate) fn is_done(&self, around: &Surroundings) -> bool {
        let read = self.readers.values().all(|reader| reader.is_at_end(&around.log));
        read && self.lanes.held() == 0 && self.commit.is_none() && self.membership.is_some()
    }
}
