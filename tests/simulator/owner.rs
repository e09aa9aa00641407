//! A process's ledger: the real worker and tenancies, over the simulated log and group.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{
    FORMAT_VERSION, Fence, IdempotencyKey, LedgerBody, LedgerRecord, PartitionId, Request, RequestBody, Tick, Topic,
};
use pipeline::ledger::partitions::Partitions;
use pipeline::ledger::snapshot::choice::{Choice, choose};
use pipeline::ledger::{Config, Input, Output};
use pipeline::tenancy::{Seen, Step, Tenancy};

use crate::faults::Fault;
use crate::groups::{Membership, News};
use crate::log::{LineId, Reader};
use crate::store::{Snapshots, fetch};
use crate::surroundings::{Down, Stepped, Surroundings, Who};

/// So often in steps is a snapshot begun.
const SNAPSHOT_ONE_IN: u64 = 60;
const CLOCK_EVERY_US: i64 = 1_000_000;
/// After another owner took a partition over that the group still gives to us: it may be about to learn better.
const BEGIN_AGAIN_AFTER_US: i64 = 2_000_000;

/// The rules of all workers: they are part of what decisions mean.
pub(crate) fn rules() -> Config {
    Config { hold_ttl_us: 40_000_000, ..Config::default() }
}

pub(crate) struct Owner {
    line: LineId,
    membership: Option<Membership>,
    assigned: BTreeSet<PartitionId>,
    tenures: BTreeMap<PartitionId, Tenure>,
    /// Not before this time is a partition begun.
    begin_at_us: BTreeMap<PartitionId, i64>,
    worker: Partitions,
    /// What the worker gave and the recorder has not taken yet.
    outputs: VecDeque<Output>,
    snapshots: Snapshots,
    names_given: u32,
    told_time_us: i64,
}

struct Tenure {
    tenancy: Tenancy,
    ledger: Reader,
    /// Once it is the owner.
    requests: Option<Reader>,
    /// Up to where in the ledger its last snapshot reached.
    snapshot_at: i64,
}

impl Owner {
    pub(crate) fn start(around: &mut Surroundings, who: Who) -> Self {
        Self {
            line: around.log.open_line(who.process),
            membership: None,
            assigned: BTreeSet::new(),
            tenures: BTreeMap::new(),
            begin_at_us: BTreeMap::new(),
            worker: Partitions::new(rules()),
            outputs: VecDeque::new(),
            snapshots: Snapshots::default(),
            names_given: 0,
            told_time_us: around.now_us,
        }
    }

    pub(crate) fn line(&self) -> LineId {
        self.line
    }

    /// The partitions that it decides for.
    pub(crate) fn owned(&self) -> impl Iterator<Item = PartitionId> + '_ {
        self.tenures.iter().filter(|(_, tenure)| tenure.tenancy.epoch().is_some()).map(|(partition, _)| *partition)
    }

    /// The partitions that it decides for, or is about to.
    pub(crate) fn held(&self) -> BTreeSet<PartitionId> {
        self.tenures.keys().copied().collect()
    }

    pub(crate) fn worker(&self) -> &Partitions {
        &self.worker
    }

    pub(crate) fn step(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        let mut busy = self.record(around, who)?;
        // The recorder looks for failures only, and there are none: a process that waits too long ends.
        around.log.reports(self.line, around.now_us);
        if !who.reaches_log {
            return Ok(busy);
        }
        busy |= self.keep_membership(around, who)?;
        self.begin_tenancies(around, who);
        if around.now_us >= self.told_time_us + CLOCK_EVERY_US {
            self.told_time_us = around.now_us;
            self.tell(Input::Clock { at_us: who.clock });
        }
        self.take_snapshots(around)?;
        let partitions: Vec<PartitionId> = self.tenures.keys().copied().collect();
        for partition in partitions {
            busy |= match around.random.below(2) {
                0 => self.follow(around, who, partition)?,
                _ => self.decide(around, who, partition)?,
            };
        }
        Ok(busy)
    }

    fn tell(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.worker.take(input, &mut outputs);
        self.outputs.extend(outputs);
    }

    /// What the recorder does beside everything else: hands outputs over to the producer.
    fn record(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        if self.outputs.is_empty() {
            return Ok(false);
        }
        around.may_die(Fault::OwnerDiesBeforeRecording)?;
        let most = 1 + around.random.index(2 * self.outputs.len());
        for _ in 0..most {
            let Some(output) = self.outputs.pop_front() else { break };
            let (place, value) = match output {
                Output::Record { partition, record, .. } => {
                    ((Topic::Ledger, partition), serde_json::to_vec(&record).expect("JSON"))
                }
                Output::TickDue { partition, contract } => {
                    around.tell(who, "ledger", || format!("asks {partition} for a tick of {contract}"));
                    let idem = IdempotencyKey::new(&format!("tick-{}", who.clock.get())).expect("a key");
                    let body = RequestBody::Tick(Tick { idem, at_us: who.clock });
                    let contract = Some(contract);
                    let tick = Request { v: FORMAT_VERSION, origin: None, received_at_us: who.clock, contract, body };
                    ((Topic::Requests, partition), serde_json::to_vec(&tick).expect("JSON"))
                }
                Output::Snapshot { partition, part } => {
                    self.snapshots.take(partition, &part);
                    continue;
                }
            };
            around.log.send(self.line, place, value, None, around.now_us);
            around.may_die(Fault::OwnerDiesRecording)?;
        }
        Ok(true)
    }

    fn keep_membership(&mut self, around: &mut Surroundings, who: Who) -> Stepped {
        let Some(membership) = &mut self.membership else {
            self.membership = Some(Membership::join(&mut around.owners, who.name(), around.now_us));
            return Ok(true);
        };
        let assigned = match membership.poll(&mut around.owners, who.name(), around.now_us) {
            News::None => return Ok(false),
            // What stays goes on meanwhile.
            News::Rearranging => {
                membership.ask();
                return Ok(true);
            }
            News::ThrownOut => BTreeSet::new(),
            News::Assigned(places) => places.into_iter().map(|(_, partition)| partition).collect(),
            News::Replaced => return Err(Down::Ends("another owner has its name")),
        };
        for lost in self.assigned.difference(&assigned).copied().collect::<Vec<_>>() {
            around.tell(who, "ledger", || format!("loses {lost} to the group"));
            self.give_up(lost);
        }
        self.assigned = assigned;
        Ok(true)
    }

    fn give_up(&mut self, partition: PartitionId) {
        self.tenures.remove(&partition);
        self.tell(Input::Revoke { partition });
    }

    /// Begins one now and then, and goes on with those under way, a slice at a time.
    fn take_snapshots(&mut self, around: &mut Surroundings) -> Result<(), Down> {
        for (partition, tenure) in &mut self.tenures {
            let has_news = tenure.tenancy.epoch().is_some() && tenure.ledger.next > tenure.snapshot_at;
            if has_news && around.random.one_in(SNAPSHOT_ONE_IN) {
                let (partition, offset) = (*partition, tenure.ledger.next);
                tenure.snapshot_at = offset;
                let mut outputs = Vec::new();
                self.worker.take(Input::Snapshot { partition, offset }, &mut outputs);
                self.outputs.extend(outputs);
            }
        }
        if self.worker.snapshot_under_way() && around.random.one_in(2) {
            around.may_die(Fault::OwnerDiesTaking)?;
            let mut outputs = Vec::new();
            self.worker.go_on(false, &mut outputs);
            self.outputs.extend(outputs);
        }
        Ok(())
    }

    fn begin_tenancies(&mut self, around: &mut Surroundings, who: Who) {
        let due = |partition: &PartitionId| self.begin_at_us.get(partition).is_none_or(|at| *at <= around.now_us);
        let missing = self.assigned.iter().copied();
        let missing: Vec<_> = missing.filter(|p| !self.tenures.contains_key(p) && due(p)).collect();
        for partition in missing {
            self.names_given += 1;
            let name = format!("p{}.{}.{}", who.process, who.start, self.names_given);
            let end = around.log.end((Topic::Ledger, partition));
            let names = around.store.names();
            let choice = choose(partition, 0..=end, names, |name| fetch(around, who, name));
            let Choice { shard, offset, snapshot, passed_over } = choice.expect("the log has its beginning");
            around.tell(who, "ledger", || {
                let passed: Vec<String> =
                    passed_over.iter().map(|one| format!("{}: {}", one.name, one.reason)).collect();
                let from = snapshot.map_or("nothing".to_owned(), |name| name.to_string());
                format!("begins {partition} as {name} from {from}, passes over {passed:?}")
            });
            around.snapshots_used += u64::from(snapshot.is_some());
            around.snapshots_passed_over += passed_over.len() as u64;
            let mut fence = Fence::default();
            shard.epoch().into_iter().for_each(|epoch| fence.takeover(epoch));
            let tenure = Tenure {
                tenancy: Tenancy::new(name, fence, shard.last_request()),
                ledger: Reader::open(&around.log, (Topic::Ledger, partition), offset),
                requests: None,
                snapshot_at: offset,
            };
            if snapshot.is_some() {
                self.tell(Input::Restore { partition, shard });
            }
            self.tenures.insert(partition, tenure);
        }
    }

    /// Reads on in the ledger.
    fn follow(&mut self, around: &mut Surroundings, who: Who, partition: PartitionId) -> Stepped {
        let Some(tenure) = self.tenures.get_mut(&partition) else { return Ok(false) };
        if tenure.tenancy.epoch().is_none() {
            around.may_die(Fault::OwnerDiesFolding)?;
        }
        let most = 1 + around.random.index(60);
        let read: Vec<(i64, LedgerRecord)> = {
            let records = tenure.ledger.read(&around.log, most);
            records.map(|(offset, stored)| (offset, LedgerRecord::clone(stored.ledger_record()))).collect()
        };
        let busy = !read.is_empty();
        for (offset, record) in read {
            let Some(tenure) = self.tenures.get_mut(&partition) else { break };
            match tenure.tenancy.record(offset, Seen::from(&record)) {
                Step::Fold => self.tell(Input::Fold { partition, offset, record }),
                Step::Start { epoch } => {
                    self.tell(Input::Fold { partition, offset, record });
                    self.tell(Input::Start { partition, epoch });
                    self.begin_deciding(around, who, partition, epoch)?;
                }
                Step::Lost { owner } => {
                    around.tell(who, "ledger", || format!("loses {partition} to {owner} at {offset}"));
                    self.give_up(partition);
                    self.begin_at_us.insert(partition, around.now_us + BEGIN_AGAIN_AFTER_US);
                }
                Step::Own | Step::Ignore => {}
            }
        }
        let Some(tenure) = self.tenures.get_mut(&partition) else { return Ok(busy) };
        self.snapshots.publish(around, who, partition, &tenure.tenancy)?;
        if tenure.ledger.has_caught_up() && tenure.tenancy.reached_end() {
            around.may_die(Fault::OwnerDiesBeforeTakeover)?;
            let owner = tenure.tenancy.name().to_owned();
            around.tell(who, "ledger", || format!("announces {owner} in {partition}"));
            let body = LedgerBody::Takeover { owner, at_us: who.clock };
            let takeover = LedgerRecord { v: FORMAT_VERSION, epoch: 0, body };
            let value = serde_json::to_vec(&takeover).expect("JSON");
            around.log.send(self.line, (Topic::Ledger, partition), value, None, around.now_us);
            around.may_die(Fault::OwnerDiesAfterTakeover)?;
        }
        Ok(busy)
    }

    fn begin_deciding(
        &mut self,
        around: &mut Surroundings,
        who: Who,
        partition: PartitionId,
        epoch: i64,
    ) -> Result<(), Down> {
        let Some(tenure) = self.tenures.get_mut(&partition) else { return Ok(()) };
        let next = tenure.tenancy.last_request().map_or(0, |last| last + 1);
        around.tell(who, "ledger", || format!("owns {partition} under {epoch}, goes on with request {next}"));
        tenure.requests = Some(Reader::open(&around.log, (Topic::Requests, partition), next));
        around.may_die(Fault::OwnerDiesStarted)
    }

    /// Decides further requests.
    fn decide(&mut self, around: &mut Surroundings, who: Who, partition: PartitionId) -> Stepped {
        let Some(tenure) = self.tenures.get_mut(&partition) else { return Ok(false) };
        let (Some(epoch), Some(reader)) = (tenure.tenancy.epoch(), &mut tenure.requests) else { return Ok(false) };
        let most = 1 + around.random.index(12);
        let mut requests = Vec::new();
        let mut unreadable = Vec::new();
        for (offset, stored) in reader.read(&around.log, most) {
            match ingest::decode::request(&stored.value) {
                Ok(request) => requests.push((offset, request)),
                Err(_) => unreadable.push(offset),
            }
        }
        for offset in unreadable {
            let value = format!("requests/{partition}@{offset}").into_bytes();
            around.log.send(self.line, (Topic::Rejected, partition), value, None, around.now_us);
        }
        if let (Some((first, _)), Some((last, _))) = (requests.first(), requests.last()) {
            let (first, last) = (*first, *last);
            around.tell(who, "ledger", || format!("decides requests {first} to {last} of {partition}"));
            self.tell(Input::Decide { partition, epoch, requests });
            return Ok(true);
        }
        Ok(false)
    }
}
