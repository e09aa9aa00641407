//! A process's publisher of sales and cards: the real lanes, over the simulated log.

use std::collections::{BTreeMap, BTreeSet};

use model::{PartitionId, Topic};
use sinks::publish::lane::Lane;

use crate::faults::Fault;
use crate::groups::Committed;
use crate::log::{LineId, Place, Reader};
use crate::surroundings::{Stepped, Surroundings, Who};

const BATCH_MAX: usize = 20;
const COMMIT_EVERY_US: i64 = 500_000;

pub(crate) struct Publisher {
    line: LineId,
    lanes: BTreeMap<PartitionId, (Lane, Reader)>,
    committed_us: i64,
}

impl Publisher {
    pub(crate) fn start(around: &mut Surroundings, who: Who) -> Self {
        let line = around.log.open_line(who.process);
        Self { line, lanes: BTreeMap::new(), committed_us: around.now_us }
    }

    pub(crate) fn line(&self) -> LineId {
        self.line
    }

    /// Publishes what the partitions hold that this process owns.
    pub(crate) fn step(&mut self, around: &mut Surroundings, who: Who, owned: &BTreeSet<PartitionId>) -> Stepped {
        if !who.reaches_log {
            return Ok(false);
        }
        // One batch is durable before the next is begun and before a position is committed.
        around.log.reports(self.line, around.now_us);
        if !around.log.is_flushed(self.line) {
            around.may_die(Fault::PublisherDiesBeforeReports)?;
            return Ok(false);
        }
        let loses = self.lanes.keys().any(|partition| !owned.contains(partition));
        if (loses || around.now_us >= self.committed_us + COMMIT_EVERY_US) && self.commit(around)? {
            return Ok(true);
        }
        self.lanes.retain(|partition, _| owned.contains(partition));
        self.begin(around, owned);
        self.publish(around, who)
    }

    fn begin(&mut self, around: &Surroundings, owned: &BTreeSet<PartitionId>) {
        for partition in owned.iter().copied() {
            if self.lanes.contains_key(&partition) {
                continue;
            }
            let place = (Topic::Ledger, partition);
            let committed = around.publish.committed(place);
            let metadata = committed.map_or("", |(_, metadata)| metadata);
            let lane = Lane::begin(partition, committed.map(|(offset, _)| *offset), metadata);
            let reader = Reader::open(&around.log, place, lane.read_from().unwrap_or(0));
            self.lanes.insert(partition, (lane, reader));
        }
    }

    fn publish(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        let most = 1 + around.random.index(BATCH_MAX);
        let mut busy = false;
        let mut sends: Vec<(Place, Vec<u8>)> = Vec::new();
        for (lane, reader) in self.lanes.values_mut() {
            for (offset, stored) in reader.read(&around.log, most) {
                busy = true;
                let Some(derived) = lane.take("ledger", offset, &stored.value) else { continue };
                for entry in &derived.cards {
                    let place = (Topic::Cards, around.settings.partition_of(entry.card.as_str()));
                    sends.push((place, serde_json::to_vec(entry).expect("JSON")));
                }
                if let Some(sale) = &derived.sale {
                    let place = (Topic::Sales, around.settings.partition_of(sale.site.as_str()));
                    sends.push((place, serde_json::to_vec(sale).expect("JSON")));
                }
            }
        }
        if !sends.is_empty() {
            around.tell(who, "publish", || format!("{} sales and cards", sends.len()));
        }
        for (place, value) in sends {
            around.may_die(Fault::PublisherDiesBeforeSending)?;
            around.log.send(self.line, place, value, None, around.now_us);
        }
        Ok(busy)
    }

    /// Answers are not waited for.
    fn commit(&mut self, around: &mut Surroundings) -> Stepped {
        self.committed_us = around.now_us;
        let moved: Vec<(Place, Committed)> = self
            .lanes
            .iter()
            .filter_map(|(partition, (lane, _))| {
                let (next, commit) = lane.commit()?;
                Some(((Topic::Ledger, *partition), (next, commit.encode())))
            })
            .collect();
        if moved.is_empty() {
            return Ok(false);
        }
        around.may_die(Fault::PublisherDiesBeforeCommit)?;
        for ((_, partition), (next, _)) in &moved {
            if let Some((lane, _)) = self.lanes.get_mut(partition) {
                lane.committed(*next);
            }
        }
        if !around.strikes(Fault::CommitRefused) {
            around.publish.commit_alone(moved);
            around.may_die(Fault::PublisherDiesAfterCommit)?;
        }
        Ok(true)
    }
}
