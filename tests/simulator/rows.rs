//! A process's writer of ClickHouse rows: the real lanes and rows, over the simulated log, group and server.

use std::collections::{BTreeMap, VecDeque};

use model::{PartitionId, Topic};
use serde_json::Value;
use sinks::clickhouse::plan::{Arrival, Lanes, Next, Positions, Start, Step};
use sinks::clickhouse::rows::{Batch, Place, Source};

use crate::clickhouse::rows_of;
use crate::faults::Fault;
use crate::groups::{Membership, News, Refusal};
use crate::log::Reader;
use crate::surroundings::{Down, Stepped, Surroundings, Who};

/// One process at a time writes rows, whatever its own name: see `sinks::clickhouse::member`.
const INSTANCE: &str = "recorder";
const TABLE: &str = "ledger_facts";
const RECORDS_MAX: usize = 12;
const PAUSE_US: i64 = 300_000;
/// How often one that stands by looks whether the place is free.
const STAND_BY_LOOK_US: i64 = 1_000_000;

pub(crate) struct Rows {
    session: Option<Session>,
    /// After a session ended.
    pause_until_us: i64,
    /// Another process took our place: whoever has it keeps it.
    was_replaced: bool,
    stands_by: bool,
}

struct Session {
    membership: Membership,
    /// Once the group has answered.
    lanes: Option<Lanes>,
    readers: BTreeMap<PartitionId, Reader>,
    batch: Batch,
    /// What is left to do of the delivery of `batch`.
    delivery: VecDeque<Step>,
    /// How far the insert is, and the rows that are still to be inserted.
    arrival: Option<(Arrival, Next, Vec<Value>)>,
    /// The client waits for an answer.
    waits_until_us: i64,
}

/// Why a session comes to its end.
enum End {
    /// Another one may begin.
    Anew(&'static str),
    Replaced,
}

impl Rows {
    pub(crate) fn start() -> Self {
        Self { session: None, pause_until_us: 0, was_replaced: false, stands_by: false }
    }

    pub(crate) fn step(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        if !who.reaches_log || around.now_us < self.pause_until_us {
            return Ok(false);
        }
        self.stands_by = self.session.is_none() && self.has_holder(around, who);
        if self.stands_by {
            self.pause_until_us = around.now_us + STAND_BY_LOOK_US;
            return Ok(false);
        }
        let session = self.session.get_or_insert_with(|| Session::begin(around, who));
        let (busy, end) = session.step(around, who)?;
        self.was_replaced &= session.lanes.is_none();
        match end {
            None => return Ok(busy),
            Some(End::Replaced) => {
                around.tell(who, "rows", || "another process writes now".to_owned());
                self.was_replaced = true;
            }
            Some(End::Anew(why)) => {
                around.tell(who, "rows", || format!("begins anew: {why}"));
                self.pause_until_us = around.now_us + PAUSE_US;
            }
        }
        self.session = None;
        Ok(true)
    }

    /// Whether another process is the one that writes. One of our own name does not count: it is dead.
    fn has_holder(&self, around: &Surroundings, who: Who) -> bool {
        around.rows.members().any(|member| {
            let (process, start) = around.row_writers[&member];
            (process, start) != (who.process, who.start) && (self.was_replaced || process != who.process)
        })
    }

    /// Whether it is at rest: nothing is read that is not delivered.
    pub(crate) fn is_done(&self) -> bool {
        self.stands_by
            || self.session.as_ref().is_some_and(|session| {
                session.delivery.is_empty() && session.lanes.as_ref().is_some_and(|lanes| !lanes.has_moved())
            })
    }
}

type SessionStepped = Result<(bool, Option<End>), Down>;

impl Session {
    fn begin(around: &mut Surroundings, who: Who) -> Self {
        let membership = Membership::join(&mut around.rows, INSTANCE, around.now_us);
        around.row_writers.insert(membership.id, (who.process, who.start));
        Self {
            membership,
            lanes: None,
            readers: BTreeMap::new(),
            batch: Batch::default(),
            delivery: VecDeque::new(),
            arrival: None,
            waits_until_us: 0,
        }
    }

    fn step(&mut self, around: &mut Surroundings, who: Who) -> SessionStepped {
        if !self.delivery.is_empty() {
            // While it inserts it does not look at what the group has to say, but its client is heard.
            let _ = around.rows.hear(self.membership.id, self.membership.generation, around.now_us);
            return self.deliver(around, who);
        }
        match self.membership.poll(&mut around.rows, INSTANCE, around.now_us) {
            News::None => {}
            News::Rearranging | News::ThrownOut => {
                around.row_writers.insert(self.membership.id, (who.process, who.start));
                return Ok((true, Some(End::Anew("the group was rearranged"))));
            }
            News::Replaced => return Ok((true, Some(End::Replaced))),
            News::Assigned(_) if self.lanes.is_some() => {
                return Ok((true, Some(End::Anew("partitions were given out again"))));
            }
            News::Assigned(_) => return Ok((self.open(around, who), None)),
        }
        Ok((self.read(around, who), None))
    }

    /// Takes up what the group remembers. False while ClickHouse is needed for that and not there.
    fn open(&mut self, around: &mut Surroundings, who: Who) -> bool {
        let mut starts = Vec::new();
        for partition in around.partitions() {
            let committed = around.rows.committed((Topic::Ledger, partition));
            if committed.is_none() && !who.reaches_clickhouse {
                self.membership.ask();
                return false;
            }
            let remembered = committed.map(|(offset, metadata)| (*offset, metadata.as_str()));
            let last = around.clickhouse.last_offset(partition.0);
            starts.push((partition, Start::of(remembered, last, 0, Source::Ledger.is_fenced())));
        }
        around.tell(who, "rows", || format!("takes up {starts:?}"));
        let lanes = Lanes::new(around.settings.topic_name(Topic::Ledger), starts);
        self.read_on(around, &lanes);
        self.lanes = Some(lanes);
        true
    }

    fn read_on(&mut self, around: &Surroundings, lanes: &Lanes) {
        let to_read = lanes.to_read();
        self.readers = to_read
            .map(|(partition, from)| (partition, Reader::open(&around.log, (Topic::Ledger, partition), from)))
            .collect();
    }

    /// Reads on, and begins a delivery when there is something to deliver.
    fn read(&mut self, around: &mut Surroundings, who: Who) -> bool {
        let Some(lanes) = &mut self.lanes else { return false };
        let most = 1 + around.random.index(RECORDS_MAX);
        for (partition, reader) in &mut self.readers {
            for (offset, stored) in reader.read(&around.log, most) {
                let place = Place { partition: *partition, offset, recorded_at_ms: stored.at_us / 1_000 };
                lanes.admit(*partition, offset, |fence, purpose| {
                    Source::Ledger.take(place, &stored.value, fence, purpose, &mut self.batch);
                });
            }
            if reader.is_at_end(&around.log) {
                lanes.reached_end(*partition);
            }
        }
        let is_due = if lanes.is_repeating() { lanes.has_read_plan() } else { lanes.has_moved() };
        // A batch may wait for company.
        if is_due && (lanes.is_repeating() || around.random.one_in(2)) {
            around.tell(who, "rows", || {
                let repeats = if lanes.is_repeating() { "repeats" } else { "delivers" };
                format!("{repeats} {}", lanes.token(TABLE))
            });
            self.delivery = lanes.delivery(self.batch.rows() > 0).into();
        }
        lanes.has_moved()
    }

    fn deliver(&mut self, around: &mut Surroundings, who: Who) -> SessionStepped {
        if around.now_us < self.waits_until_us {
            return Ok((true, None));
        }
        let is_first = self.delivery.len() > 1;
        match self.delivery.front() {
            Some(Step::Commit(positions)) => {
                let positions = positions.clone();
                let dies = if is_first { Fault::RowsDieAfterPlan } else { Fault::RowsDieAfterCommit };
                around.may_die(if is_first { Fault::RowsDieBeforePlan } else { Fault::RowsDieAfterInsert })?;
                if let Err(end) = self.commit(around, who, &positions) {
                    return Ok((true, Some(end)));
                }
                around.may_die(dies)?;
                self.delivery.pop_front();
            }
            Some(Step::Insert) => {
                if !self.insert(around, who)? {
                    return Ok((who.reaches_clickhouse, None));
                }
                self.delivery.pop_front();
            }
            None => {}
        }
        if self.delivery.is_empty()
            && let Some(mut lanes) = self.lanes.take()
        {
            self.batch = Batch::default();
            let was_repeating = lanes.is_repeating();
            lanes.advance();
            if was_repeating {
                self.read_on(around, &lanes);
            }
            self.lanes = Some(lanes);
        }
        Ok((true, None))
    }

    fn commit(&self, around: &mut Surroundings, who: Who, positions: &Positions) -> Result<(), End> {
        if around.strikes(Fault::CommitRefused) {
            return Err(End::Anew("a commit failed"));
        }
        let commits = positions
            .iter()
            .map(|(partition, offset, commit)| ((Topic::Ledger, *partition), (*offset, commit.encode())));
        let Membership { id, generation, .. } = self.membership;
        let stored = around.rows.commit(id, generation, commits);
        around.tell(who, "rows", || format!("commits {positions:?}: {stored:?}"));
        match stored {
            Ok(()) if around.strikes(Fault::CommitAnswerLost) => Err(End::Anew("a commit was not answered")),
            Ok(()) => Ok(()),
            Err(Refusal::Stale) => Err(End::Anew("a commit was refused")),
            Err(Refusal::Replaced) => Err(End::Replaced),
        }
    }

    /// One question to ClickHouse; true when the rows have arrived.
    fn insert(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        let Some(lanes) = &self.lanes else { return Ok(false) };
        let (mut arrival, next, mut missing) = self.arrival.take().unwrap_or_else(|| {
            (Arrival::new(lanes.token(TABLE), lanes.is_repeating()), Next::Insert, rows_of(&self.batch))
        });
        let next = match next {
            Next::Insert if self.attempt(around, who, &arrival.token(), &missing)? => arrival.acknowledged(),
            Next::Insert => arrival.failed(),
            Next::LookBack if !who.reaches_clickhouse => Next::LookBack,
            Next::LookBack | Next::Arrived => {
                missing.retain(|row| !around.clickhouse.has(row));
                arrival.missed(missing.len())
            }
        };
        if next != Next::Arrived {
            self.arrival = Some((arrival, next, missing));
        }
        Ok(next == Next::Arrived)
    }

    /// One attempt; true when ClickHouse says that it has the rows.
    fn attempt(&mut self, around: &mut Surroundings, who: Who, token: &str, rows: &[Value]) -> Stepped {
        if !who.reaches_clickhouse || around.strikes(Fault::InsertRefused) {
            return Ok(false);
        }
        let later_us = around.now_us + around.random.between(100_000, 6_000_000);
        if around.strikes(Fault::RowsDieInserting) {
            around.clickhouse.insert_later(later_us, token, rows);
            return Err(Down::Dies(Fault::RowsDieInserting));
        }
        if around.strikes(Fault::InsertSlow) {
            around.clickhouse.insert_later(later_us, token, rows);
            // The client gives up sooner or later than the server.
            self.waits_until_us = around.now_us + around.random.between(100_000, 6_000_000);
            return Ok(false);
        }
        if around.strikes(Fault::TokenWithoutRows) {
            around.clickhouse.insert_token(token);
            return Ok(false);
        }
        around.tell(who, "rows", || format!("inserts {} rows of {token}", rows.len()));
        around.clickhouse.insert(token, rows);
        Ok(!around.strikes(Fault::InsertAnswerLost))
    }
}
