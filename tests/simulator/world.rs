//! One seed: processes, what they share, what goes wrong, and the order in which it all happens.
//!
//! In each step time passes a little, something lands, something may go wrong, and one part of one process does one thing.
//! When all messages are sent, faults end, and everything runs until nothing happens any more.

use model::ContractId;

use crate::checks;
use crate::faults::Fault;
use crate::process::{Parts, Process};
use crate::surroundings::{Down, Surroundings};
use crate::trace::Trace;
use crate::workload::Workload;

/// Steps that nothing but patience needs: so long must nothing happen.
const REST_US: i64 = 70_000_000;
const REST_STEP_US: i64 = 250_000;
/// A world that has not come to rest by then never will.
const REST_STEPS_MAX: usize = 20_000;

pub(crate) struct World {
    pub(crate) around: Surroundings,
    pub(crate) processes: Vec<Process>,
    workload: Workload,
    steps: u64,
}

/// What one seed came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) steps: u64,
    pub(crate) faults: Vec<u64>,
    pub(crate) fingerprint: (u64, u64),
    pub(crate) checked: checks::Checked,
}

/// Runs a seed to its end. Panics when a check fails.
pub(crate) fn run(seed: u64, trace: Trace) -> Told {
    let mut world = World::new(seed, trace);
    world.live();
    world.rest();
    let checked = checks::check(&mut world);
    let fingerprint = world.around.trace.fingerprint();
    Told { steps: world.steps, faults: world.around.faults.counts.clone(), fingerprint, checked }
}

impl World {
    fn new(seed: u64, trace: Trace) -> Self {
        let mut around = Surroundings::new(seed, trace);
        let workload = Workload::of(&mut around);
        let processes = 1 + around.random.index(3);
        Self { around, processes: (0..processes).map(Process::new).collect(), workload, steps: 0 }
    }

    pub(crate) fn contracts(&self) -> &[ContractId] {
        &self.workload.contracts
    }

    /// With faults, until all messages are sent.
    fn live(&mut self) {
        while !self.workload.is_over() {
            self.steps += 1;
            let pace = self.around.random.below(100);
            let most_us = if pace < 60 {
                20_000
            } else if pace < 98 {
                150_000
            } else {
                2_500_000
            };
            self.around.now_us += self.around.random.between(1, most_us);
            self.deliver();
            self.pass_time(false);
            let index = self.around.random.index(self.processes.len());
            self.go_wrong(index);
            let part = self.around.random.below(Parts::CHOICES);
            let Self { around, processes, workload, .. } = self;
            let process = &mut processes[index];
            if process.runs(around, &workload.contracts) {
                process.step(part, around, &workload.contracts);
            }
        }
    }

    /// Messages of the outside reach their topics.
    fn deliver(&mut self) {
        while let Some(message) = self.workload.next(self.around.now_us) {
            let place = (message.topic, self.around.settings.partition_of(&message.key));
            let offset = self.around.log.end(place);
            self.around.trace.tell(self.around.now_us, "outside", || {
                let text = String::from_utf8_lossy(&message.value).into_owned();
                format!("{:?}/{}@{offset}: {text}", place.0, place.1)
            });
            self.around.log.append(place, message.value, self.around.now_us);
        }
    }

    fn pass_time(&mut self, hurry: bool) -> usize {
        let Self { around, processes, .. } = self;
        let now_us = around.now_us;
        for group in [&mut around.routes, &mut around.owners, &mut around.rows] {
            group.pass_time(now_us);
        }
        around.clickhouse.pass_time(now_us);
        around.store.pass_time(now_us);
        let reaches = |process: usize| now_us >= processes[process].log_cut_until_us;
        around.log.carry(now_us, reaches, hurry, &mut around.faults, &mut around.random)
    }

    /// Something may happen to a process that is not of its own doing.
    fn go_wrong(&mut self, index: usize) {
        let Self { around, processes, .. } = self;
        let process = &mut processes[index];
        if process.parts.is_none() {
            return;
        }
        let now_us = around.now_us;
        if around.strikes(Fault::ProcessDies) {
            process.goes_down(around, Down::Dies(Fault::ProcessDies));
        }
        if !process.is_paused(now_us) && around.strikes(Fault::ProcessPaused) {
            process.paused_until_us = now_us + around.random.between(500_000, 30_000_000);
        }
        if process.log_cut_until_us <= now_us && around.strikes(Fault::LogCut) {
            process.log_cut_until_us = now_us + around.random.between(500_000, 25_000_000);
        }
        if process.clickhouse_cut_until_us <= now_us && around.strikes(Fault::ClickHouseCut) {
            process.clickhouse_cut_until_us = now_us + around.random.between(500_000, 40_000_000);
        }
        if process.store_cut_until_us <= now_us && around.strikes(Fault::StoreCut) {
            process.store_cut_until_us = now_us + around.random.between(500_000, 40_000_000);
        }
        if around.strikes(Fault::GroupShaken) {
            match around.random.below(3) {
                0 => around.routes.shake(),
                1 => around.rows.shake(),
                _ => around.owners.shake(),
            }
        }
        let hour_us = 3_600_000_000;
        if around.strikes(Fault::ClockForward) {
            process.clock_off_us += around.random.between(0, hour_us);
        }
        if around.strikes(Fault::ClockBack) {
            process.clock_off_us -= around.random.between(0, hour_us);
        }
    }

    /// Without faults, until nothing happens any more.
    fn rest(&mut self) {
        self.around.faults.end();
        self.around.trace.tell(self.around.now_us, "world", || "faults end".to_owned());
        for process in &mut self.processes {
            let now_us = self.around.now_us;
            (process.paused_until_us, process.starts_us) = (now_us, now_us);
            (process.log_cut_until_us, process.clickhouse_cut_until_us) = (now_us, now_us);
            process.store_cut_until_us = now_us;
        }
        let mut quiet_since_us = self.around.now_us;
        for _ in 0..REST_STEPS_MAX {
            self.steps += 1;
            self.around.now_us += REST_STEP_US;
            let mut busy = self.pass_time(true) > 0;
            let Self { around, processes, workload, .. } = self;
            for process in processes {
                if process.runs(around, &workload.contracts) {
                    for part in 0..Parts::CHOICES {
                        busy |= process.step(part, around, &workload.contracts);
                    }
                }
            }
            busy |= self.around.log.has_under_way() || !self.is_done();
            if busy {
                quiet_since_us = self.around.now_us;
            } else if self.around.now_us > quiet_since_us + REST_US {
                self.around.trace.tell(self.around.now_us, "world", || "nothing happens any more".to_owned());
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn is_done(&self) -> bool {
        let done = |parts: &Parts| parts.router.is_done(&self.around) && parts.rows.is_done();
        let all = self.processes.iter().all(|process| process.parts.as_ref().is_some_and(done));
        let owners = self.processes.iter().filter_map(|process| process.parts.as_ref());
        all && owners.map(|parts| parts.owner.owned().count()).sum::<usize>() >= self.around.partitions().count()
    }
}
