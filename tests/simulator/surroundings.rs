//! What the processes share: the log, the group coordinators, ClickHouse, the object store, and what goes wrong with them.

use std::collections::BTreeMap;
use std::fmt;

use model::{LogSettings, PartitionId, TimestampUs, Topic};

use crate::clickhouse::ClickHouse;
use crate::faults::{Fault, Faults};
use crate::groups::{Group, MemberId};
use crate::log::Log;
use crate::random::Random;
use crate::store::Store;
use crate::trace::Trace;

/// 2026-01-31T23:57:30Z: a day and a month end soon after.
pub(crate) const START_US: i64 = 1_769_903_850_000_000;

pub(crate) struct Surroundings {
    /// Since the start, by nobody's clock.
    pub(crate) now_us: i64,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) settings: LogSettings,
    pub(crate) log: Log,
    /// Of the routers.
    pub(crate) routes: Group,
    /// Of the owners of ledger partitions.
    pub(crate) owners: Group,
    /// Of the one that writes rows.
    pub(crate) rows: Group,
    /// Which process, in which of its lives, each of its members is.
    pub(crate) row_writers: BTreeMap<MemberId, (usize, u32)>,
    /// Keeps the positions of publishers; nobody is a member.
    pub(crate) publish: Group,
    pub(crate) clickhouse: ClickHouse,
    /// For snapshots.
    pub(crate) store: Store,
    pub(crate) snapshots_used: u64,
    pub(crate) snapshots_passed_over: u64,
    pub(crate) card_tables_used: u64,
}

/// A process at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) process: usize,
    /// Counts the starts of all processes.
    pub(crate) start: u32,
    /// By its own clock.
    pub(crate) clock: TimestampUs,
    pub(crate) reaches_log: bool,
    pub(crate) reaches_clickhouse: bool,
    pub(crate) reaches_store: bool,
}

impl Who {
    /// Its name in consumer groups, the same after each start.
    pub(crate) fn name(self) -> &'static str {
        ["p0", "p1", "p2"][self.process]
    }
}

/// Why a process is not there any more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Down {
    Dies(Fault),
    /// By itself, since a guarantee could not be kept.
    Ends(&'static str),
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dies(fault) => write!(f, "is down: {}", fault.words()),
            Self::Ends(why) => write!(f, "ends: {why}"),
        }
    }
}

/// Whether something happened.
pub(crate) type Stepped = Result<bool, Down>;

impl Surroundings {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let faults = Faults::of(&mut random);
        let partitions = 2 + i32::try_from(random.below(2)).expect("a small number");
        let settings = LogSettings { bootstrap: String::new(), topic_prefix: "fuel".to_owned(), partitions };
        let all = |topics: &[Topic]| -> Vec<_> {
            let places = |topic: &Topic| (0..partitions).map(|partition| (*topic, PartitionId(partition))).collect();
            topics.iter().flat_map(|topic| -> Vec<_> { places(topic) }).collect()
        };
        Self {
            now_us: 0,
            random,
            faults,
            trace,
            settings,
            log: Log::default(),
            routes: Group::new(all(&ingest::route::lanes::TOPICS), false),
            owners: Group::new(all(&[Topic::Requests]), false),
            rows: Group::new(all(&[Topic::Ledger]), true),
            row_writers: BTreeMap::new(),
            publish: Group::new(Vec::new(), false),
            clickhouse: ClickHouse::default(),
            store: Store::default(),
            snapshots_used: 0,
            snapshots_passed_over: 0,
            card_tables_used: 0,
        }
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        self.settings.all_partitions()
    }

    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.faults.strikes(fault, &mut self.random);
        if strikes {
            self.trace.tell(self.now_us, "FAULT", || fault.words().to_owned());
        }
        strikes
    }

    /// A moment at which a process may die.
    pub(crate) fn may_die(&mut self, fault: Fault) -> Result<(), Down> {
        if self.strikes(fault) { Err(Down::Dies(fault)) } else { Ok(()) }
    }

    pub(crate) fn tell(&mut self, who: Who, part: &str, what: impl FnOnce() -> String) {
        let Who { process, start, .. } = who;
        self.trace.tell(self.now_us, "", || format!("p{process}.{start} {part:<9} {}", what()));
    }
}
