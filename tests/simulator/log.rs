//! Kafka's log as its clients see it: partitions, and producers whose records land, late or never.
//!
//! Guarantees, as an idempotent producer with one request in flight has them: the records of a line land in its order per
//! partition, each once, and what is missing at its end is a suffix. Between partitions there is no order.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use ingest::route::lanes::Tag;
use model::{LedgerRecord, PartitionId, Topic};

use crate::faults::{Fault, Faults};
use crate::random::Random;

pub(crate) type Place = (Topic, PartitionId);

pub(crate) struct Stored {
    pub(crate) value: Vec<u8>,
    pub(crate) at_us: i64,
    /// Read once, however many readers there are.
    ledger: OnceCell<Rc<LedgerRecord>>,
}

impl Stored {
    /// A record of the ledger, as written and read back.
    pub(crate) fn ledger_record(&self) -> &Rc<LedgerRecord> {
        self.ledger.get_or_init(|| Rc::new(serde_json::from_slice(&self.value).expect("a ledger record")))
    }
}

/// A record on its way. The tag is for the router's own reports.
struct Sent {
    value: Vec<u8>,
    tag: Option<Tag>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LineId(usize);

/// A producer.
struct Line {
    process: usize,
    is_alive: bool,
    waiting: BTreeMap<Place, VecDeque<Sent>>,
    /// Reports under way, each with the time of its arrival.
    reports: VecDeque<(i64, Option<Tag>)>,
    /// Since when something is waiting.
    waiting_since_us: Option<i64>,
}

#[derive(Default)]
pub(crate) struct Log {
    partitions: BTreeMap<Place, Vec<Stored>>,
    lines: BTreeMap<LineId, Line>,
    next_line: usize,
}

impl Log {
    pub(crate) fn records(&self, place: Place) -> &[Stored] {
        self.partitions.get(&place).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn end(&self, place: Place) -> i64 {
        i64::try_from(self.records(place).len()).expect("a short log")
    }

    pub(crate) fn append(&mut self, place: Place, value: Vec<u8>, at_us: i64) {
        self.partitions.entry(place).or_default().push(Stored { value, at_us, ledger: OnceCell::new() });
    }

    pub(crate) fn open_line(&mut self, process: usize) -> LineId {
        let id = LineId(self.next_line);
        self.next_line += 1;
        let line = Line {
            process,
            is_alive: true,
            waiting: BTreeMap::new(),
            reports: VecDeque::new(),
            waiting_since_us: None,
        };
        self.lines.insert(id, line);
        id
    }

    pub(crate) fn send(&mut self, line: LineId, place: Place, value: Vec<u8>, tag: Option<Tag>, now_us: i64) {
        let line = self.lines.get_mut(&line).expect("an open line");
        line.waiting_since_us.get_or_insert(now_us);
        line.waiting.entry(place).or_default().push_back(Sent { value, tag });
    }

    /// The reports that have arrived by now.
    pub(crate) fn reports(&mut self, line: LineId, now_us: i64) -> Vec<Option<Tag>> {
        let line = self.lines.get_mut(&line).expect("an open line");
        let mut arrived = Vec::new();
        while let Some((_, tag)) = line.reports.pop_front_if(|(at, _)| *at <= now_us) {
            arrived.push(tag);
        }
        arrived
    }

    /// Whether everything that was sent is reported as durable.
    pub(crate) fn is_flushed(&self, line: LineId) -> bool {
        self.lines.get(&line).is_none_or(|line| line.waiting.is_empty() && line.reports.is_empty())
    }

    /// Since when a process waits for the log to take its records.
    pub(crate) fn waiting_since(&self, process: usize) -> Option<i64> {
        let lines = self.lines.values().filter(|line| line.is_alive && line.process == process);
        lines.filter_map(|line| line.waiting_since_us).min()
    }

    /// A line's process is gone: of what it had sent, a prefix may still be on its way.
    pub(crate) fn close(&mut self, id: LineId, faults: &mut Faults, random: &mut Random) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.is_alive = false;
        line.reports.clear();
        for sent in line.waiting.values_mut() {
            if faults.strikes(Fault::DeadRecordsLost, random) {
                sent.truncate(random.index(sent.len()));
            }
        }
        line.waiting.retain(|_, sent| !sent.is_empty());
        if line.waiting.is_empty() {
            self.lines.remove(&id);
        } else {
            faults.count(Fault::DeadRecordsLand);
        }
    }

    /// Time passes on the wire: some of what is under way lands, in order. `reaches` tells who is connected.
    /// Returns how many records landed.
    pub(crate) fn carry(
        &mut self,
        now_us: i64,
        reaches: impl Fn(usize) -> bool,
        hurry: bool,
        faults: &mut Faults,
        random: &mut Random,
    ) -> usize {
        let mut landed = 0;
        let Self { partitions, lines, .. } = self;
        for line in lines.values_mut() {
            if line.waiting.is_empty() || line.is_alive && !reaches(line.process) {
                continue;
            }
            // What a dead process had sent may take its time.
            if !hurry && !random.one_in(if line.is_alive { 2 } else { 12 }) {
                continue;
            }
            for (place, sent) in &mut line.waiting {
                let most = if hurry { sent.len() } else { random.index(sent.len() + 1) };
                let log = partitions.entry(*place).or_default();
                for Sent { value, tag } in sent.drain(..most) {
                    landed += 1;
                    log.push(Stored { value, at_us: now_us, ledger: OnceCell::new() });
                    if line.is_alive {
                        let late = faults.strikes(Fault::ReportsLate, random);
                        let after_us = if late { random.between(1_000_000, 8_000_000) } else { 0 };
                        // Reports keep the order of the requests.
                        let earliest = line.reports.back().map_or(0, |(at, _)| *at);
                        line.reports.push_back((earliest.max(now_us + after_us), tag));
                    }
                }
            }
            line.waiting.retain(|_, sent| !sent.is_empty());
            line.waiting_since_us = if line.waiting.is_empty() { None } else { Some(now_us) };
        }
        lines.retain(|_, line| line.is_alive || !line.waiting.is_empty());
        landed
    }

    pub(crate) fn has_under_way(&self) -> bool {
        self.lines.values().any(|line| !line.waiting.is_empty() || !line.reports.is_empty())
    }
}

/// Reads one partition.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) place: Place,
    pub(crate) next: i64,
    end_at_open: i64,
}

impl Reader {
    pub(crate) fn open(log: &Log, place: Place, from: i64) -> Self {
        let end = log.end(place);
        assert!((0..=end).contains(&from), "{place:?} holds no offset {from}, it ends at {end}");
        Self { place, next: from, end_at_open: end }
    }

    /// At most so many records, with their offsets.
    pub(crate) fn read<'l>(&mut self, log: &'l Log, most: usize) -> impl Iterator<Item = (i64, &'l Stored)> + use<'l> {
        let from = self.next;
        let records = &log.records(self.place)[usize::try_from(from).expect("an offset")..];
        let taken = records.len().min(most);
        self.next += i64::try_from(taken).expect("a short log");
        (from..).zip(&records[..taken])
    }

    /// Everything was read that was there at the start.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.next >= self.end_at_open
    }

    pub(crate) fn is_at_end(&self, log: &Log) -> bool {
        self.next >= log.end(self.place)
    }
}
