//! A log, a consumer group and a server with its deduplication, small enough to try every order of crashes, of the recorder
//! and of the server.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use proptest::prelude::*;

use super::*;

/// The rows of the second are replaced by their key: there it cannot be asked for them, and twice is once.
const TABLES: [&str; 2] = ["station_events", "consumption_minute"];

/// How an insert ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    AnswerLost,
    /// The server dies when it has noted the token, and has no rows.
    RowsLost,
    Refused,
}

/// One record of the model log: a takeover, or a row under an epoch.
#[derive(Clone, Copy, Debug)]
enum Record {
    Takeover,
    Row { epoch: i64 },
}

/// What outlives a crash.
#[derive(Default)]
struct World {
    log: BTreeMap<PartitionId, Vec<Record>>,
    /// Committed offset and metadata, as text.
    group: BTreeMap<PartitionId, (i64, String)>,
    tokens: BTreeSet<String>,
    /// How often each row is in each table.
    rows: BTreeMap<(&'static str, PartitionId, usize), usize>,
    inserts: usize,
    /// Of the next inserts, the last first; then all are stored.
    fates: Vec<Fate>,
}

impl World {
    fn commit(&mut self, positions: Positions) {
        for (partition, offset, commit) in positions {
            self.group.insert(partition, (offset, commit.encode()));
        }
    }

    /// True when the server acknowledges.
    fn insert(&mut self, table: &'static str, token: String, rows: &[(PartitionId, usize)]) -> bool {
        let fate = self.fates.pop().unwrap_or(Fate::Stored);
        let is_new = table == TABLES[1] || self.tokens.insert(token);
        if fate != Fate::Refused && is_new && fate != Fate::RowsLost {
            self.inserts += 1;
            for (partition, offset) in rows {
                let times = self.rows.entry((table, *partition, *offset)).or_default();
                *times = if table == TABLES[1] { 1 } else { *times + 1 };
            }
        }
        fate == Fate::Stored
    }

    /// The rows that readers of the log hold true.
    fn truth(&self) -> BTreeMap<(&'static str, PartitionId, usize), usize> {
        let mut truth = BTreeMap::new();
        for (partition, records) in &self.log {
            let mut fence = Fence::default();
            for (offset, record) in records.iter().enumerate() {
                match record {
                    Record::Takeover => fence.takeover(at(offset)),
                    Record::Row { epoch } if fence.admits(*epoch) => {
                        truth.extend(TABLES.map(|table| ((table, *partition, offset), 1)));
                    }
                    Record::Row { .. } => {}
                }
            }
        }
        truth
    }
}

fn at(offset: usize) -> i64 {
    i64::try_from(offset).expect("a small log")
}

/// One life of the recorder. Ends after `steps_left` steps that change the world, in the middle of whatever it does.
struct Life<'a> {
    world: &'a mut World,
    lanes: Lanes,
    steps_left: usize,
}

impl<'a> Life<'a> {
    fn begin(world: &'a mut World, steps_left: usize) -> Self {
        let starts: Vec<_> = world
            .log
            .keys()
            .map(|partition| {
                let (position, commit) = match world.group.get(partition) {
                    Some((offset, metadata)) => (*offset, Commit::decode(metadata)),
                    None => (0, Some(Commit { epoch: None, planned_to: None })),
                };
                (*partition, Start { position, commit })
            })
            .collect();
        Self { world, lanes: Lanes::new("fuel.station-events".to_owned(), starts), steps_left }
    }

    /// True when everything is recorded, false when the process died.
    fn live(&mut self, batches: &[u8]) -> bool {
        if self.lanes.is_repeating() {
            let batch = self.read(usize::MAX);
            assert!(self.lanes.has_read_plan());
            if !self.deliver(&batch) {
                return false;
            }
        }
        for size in batches.iter().copied().chain([u8::MAX, u8::MAX]) {
            let batch = self.read(usize::from(size));
            if self.lanes.has_moved() && !self.deliver(&batch) {
                return false;
            }
        }
        !self.lanes.has_moved()
    }

    /// Reads up to `max` records of each partition, more than the plan where one is repeated.
    fn read(&mut self, max: usize) -> Vec<(PartitionId, usize)> {
        let mut batch = Vec::new();
        let to_read: Vec<_> = self.lanes.to_read().collect();
        for (partition, from) in to_read {
            let records = &self.world.log[&partition];
            let from = usize::try_from(from).expect("a position is not negative");
            for (offset, record) in records.iter().enumerate().skip(from).take(max) {
                self.lanes.admit(partition, at(offset), |fence, purpose| {
                    assert_eq!(purpose, Purpose::Record);
                    match record {
                        Record::Takeover => fence.takeover(at(offset)),
                        Record::Row { epoch } if fence.admits(*epoch) => batch.push((partition, offset)),
                        Record::Row { .. } => {}
                    }
                });
            }
            if from.saturating_add(max) >= records.len() {
                self.lanes.reached_end(partition);
            }
        }
        batch
    }

    fn deliver(&mut self, batch: &[(PartitionId, usize)]) -> bool {
        if !batch.is_empty() {
            if !self.step() {
                return false;
            }
            self.world.commit(self.lanes.planned());
            for table in TABLES {
                if !self.arrive(table, batch) {
                    return false;
                }
            }
        }
        if !self.step() {
            return false;
        }
        self.world.commit(self.lanes.delivered());
        self.lanes.advance();
        true
    }

    /// Until the rows are there; false when the process died before.
    fn arrive(&mut self, table: &'static str, batch: &[(PartitionId, usize)]) -> bool {
        let mut arrival = Arrival::new(self.lanes.token(table), self.lanes.is_repeating());
        let mut missing = batch.to_vec();
        let mut next = Next::Insert;
        while next != Next::Arrived {
            if !self.step() {
                return false;
            }
            next = match next {
                Next::Insert if !self.world.insert(table, arrival.token(), &missing) => arrival.failed(),
                Next::Insert if table == TABLES[1] => Next::Arrived,
                Next::Insert => arrival.acknowledged(),
                Next::LookBack | Next::Arrived => {
                    let rows = &self.world.rows;
                    missing.retain(|(partition, offset)| !rows.contains_key(&(table, *partition, *offset)));
                    arrival.missed(missing.len())
                }
            };
        }
        true
    }

    fn step(&mut self) -> bool {
        let alive = self.steps_left > 0;
        self.steps_left = self.steps_left.saturating_sub(1);
        alive
    }
}

/// Some records are written by an owner that was replaced.
fn log() -> impl Strategy<Value = Vec<Record>> {
    proptest::collection::vec(0..10_u8, 0..40).prop_map(|kinds| {
        let (mut epoch, mut before) = (-1, -1);
        kinds
            .into_iter()
            .enumerate()
            .map(|(offset, kind)| match kind {
                0 => {
                    before = epoch;
                    epoch = at(offset);
                    Record::Takeover
                }
                1 => Record::Row { epoch: before },
                _ => Record::Row { epoch },
            })
            .collect()
    })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Fate::Stored), 1 => Just(Fate::AnswerLost), 1 => Just(Fate::RowsLost), 1 => Just(Fate::Refused)]
}

proptest! {
    #[test]
    fn every_true_row_is_recorded_once_whenever_the_process_or_the_server_dies(
        fates in proptest::collection::vec(fate(), 0..40),
        logs in proptest::collection::vec(log(), 1..4),
        lives in proptest::collection::vec((0..18_usize, proptest::collection::vec(1..12_u8, 0..5)), 0..12),
    ) {
        let mut world = World {
            log: logs.into_iter().zip(0..).map(|(log, partition)| (PartitionId(partition), log)).collect(),
            fates,
            ..World::default()
        };
        for (steps, batches) in lives {
            Life::begin(&mut world, steps).live(&batches);
        }
        prop_assert!(Life::begin(&mut world, usize::MAX).live(&[3, 3]));
        prop_assert_eq!(&world.rows, &world.truth());
        let inserts = world.inserts;
        prop_assert!(Life::begin(&mut world, usize::MAX).live(&[1]), "a run with nothing to do ends");
        prop_assert_eq!(world.inserts, inserts);
    }
}

#[test]
fn a_plan_names_what_is_read_and_nothing_else() {
    let done = |epoch| Some(Commit { epoch, planned_to: None });
    let mut lanes = Lanes::new(
        "fuel.ledger".to_owned(),
        [
            (PartitionId(0), Start { position: 17, commit: done(Some(3)) }),
            (PartitionId(1), Start { position: 8, commit: done(Some(0)) }),
            (PartitionId(3), Start { position: 5, commit: done(None) }),
        ],
    );
    assert!(!lanes.has_moved() && !lanes.is_repeating());
    for offset in 17..40 {
        lanes.admit(PartitionId(0), offset, |_, _| {});
    }
    lanes.admit(PartitionId(3), 5, |fence, _| fence.takeover(5));
    expect![[r#"
        ledger_facts:fuel.ledger:0:17-40,3:5-6
        [(PartitionId(0), 17, Commit { epoch: Some(3), planned_to: Some(40) }), (PartitionId(3), 5, Commit { epoch: None, planned_to: Some(6) })]
        [(PartitionId(0), 40, Commit { epoch: Some(3), planned_to: None }), (PartitionId(3), 6, Commit { epoch: Some(5), planned_to: None })]
    "#]]
    .assert_eq(&format!("{}\n{:?}\n{:?}\n", lanes.token("ledger_facts"), lanes.planned(), lanes.delivered()));
}

#[test]
fn a_plan_is_repeated_up_to_its_end_though_the_log_goes_on() {
    let open = Commit { epoch: Some(0), planned_to: Some(12) };
    let mut lanes = Lanes::new(
        "fuel.ledger".to_owned(),
        [
            (PartitionId(0), Start { position: 10, commit: Some(open) }),
            (PartitionId(1), Start { position: 4, commit: Some(Commit { epoch: Some(0), planned_to: None }) }),
        ],
    );
    assert_eq!(lanes.to_read().collect::<Vec<_>>(), [(PartitionId(0), 10)]);
    let mut taken = Vec::new();
    for offset in 10..15 {
        lanes.admit(PartitionId(0), offset, |_, _| taken.push(offset));
    }
    assert!(lanes.has_read_plan());
    assert_eq!((taken, lanes.token("t")), (vec![10, 11], "t:fuel.ledger:0:10-12".to_owned()));
    lanes.advance();
    assert_eq!(lanes.to_read().collect::<Vec<_>>(), [(PartitionId(0), 12), (PartitionId(1), 4)]);
}

#[test]
fn a_position_without_an_epoch_learns_it_from_the_records_before() {
    let mut lanes = Lanes::new("fuel.ledger".to_owned(), [(PartitionId(0), Start { position: 2, commit: None })]);
    assert_eq!(lanes.to_read().collect::<Vec<_>>(), [(PartitionId(0), 0)]);
    let mut recorded = Vec::new();
    for offset in 0..4 {
        lanes.admit(PartitionId(0), offset, |fence, purpose| {
            if offset == 0 {
                fence.takeover(0);
            } else if purpose == Purpose::Record && fence.admits(0) {
                recorded.push(offset);
            }
        });
    }
    assert_eq!(recorded, [2, 3]);
    assert_eq!(lanes.planned(), [(PartitionId(0), 2, Commit { epoch: Some(0), planned_to: Some(4) })]);
}
