//! What goes wrong, how often, and how often it did.

use crate::random::Random;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident: $words:literal, $one_in:literal;)*) => {
        /// Each kind is counted where it takes effect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            pub(crate) fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }

            /// It strikes one in so many times where it could.
            fn one_in(self) -> u64 {
                match self { $(Self::$name => $one_in,)* }
            }
        }
    };
}

faults! {
    RouterDiesBeforeSending: "router dies: record taken, not sent", 400;
    RouterDiesBeforeReports: "router dies: sent, delivery not seen", 300;
    RouterDiesBeforeCommit: "router dies: before a commit", 150;
    RouterDiesAfterCommit: "router dies: commit stored, answer not seen", 100;
    RouterDiesAfterAnswer: "router dies: commit answered, what waited not sent", 100;
    OwnerDiesFolding: "owner dies: folding the ledger", 150;
    OwnerDiesBeforeTakeover: "owner dies: before its takeover is sent", 60;
    OwnerDiesAfterTakeover: "owner dies: takeover sent, not read", 40;
    OwnerDiesStarted: "owner dies: takeover read, nothing decided", 60;
    OwnerDiesBeforeRecording: "owner dies: decided, not sent", 250;
    OwnerDiesRecording: "owner dies: part of a batch sent", 250;
    OwnerDiesTaking: "owner dies: while a snapshot is taken", 40;
    OwnerDiesBeforePut: "owner dies: snapshot finished, not put", 30;
    OwnerDiesAfterPut: "owner dies: snapshot put", 30;
    PublisherDiesBeforeSending: "publisher dies: record read, sale not sent", 250;
    PublisherDiesBeforeReports: "publisher dies: sale sent, delivery not seen", 200;
    PublisherDiesBeforeCommit: "publisher dies: before a commit", 100;
    PublisherDiesAfterCommit: "publisher dies: after a commit", 100;
    RowsDieBeforePlan: "row writer dies: before the plan", 60;
    RowsDieAfterPlan: "row writer dies: plan stored, nothing inserted", 50;
    RowsDieInserting: "row writer dies: insert on its way, lands later", 50;
    RowsDieAfterInsert: "row writer dies: inserted, position not moved", 50;
    RowsDieAfterCommit: "row writer dies: position moved, answer not seen", 50;
    ProcessDies: "process dies: anywhere", 1500;
    ProcessPaused: "process stops for a while and goes on", 700;
    LogCut: "network cut: process and log", 900;
    ClickHouseCut: "network cut: process and ClickHouse", 1200;
    GroupShaken: "group of consumers rearranged", 700;
    DeadRecordsLand: "records of a dead process land later", 2;
    DeadRecordsLost: "records of a dead process lost after a prefix", 2;
    ReportsLate: "delivery reports come seconds late", 120;
    CommitRefused: "commit fails, is not stored", 60;
    CommitAnswerLost: "commit is stored, the answer lost", 60;
    InsertRefused: "insert fails", 25;
    InsertAnswerLost: "insert is stored, the answer lost", 25;
    TokenWithoutRows: "ClickHouse dies with the token of rows that it lost", 30;
    InsertSlow: "insert takes seconds", 30;
    StoreCut: "network cut: process and store", 1200;
    StorePutFails: "put of a snapshot fails", 20;
    StorePutLost: "put of a snapshot succeeds, and it is lost", 20;
    StorePutTorn: "put of a snapshot leaves its beginning", 15;
    StoreRots: "byte of a snapshot changes", 15;
    StoreFull: "no space left for a snapshot", 30;
    StoreSlow: "put of a snapshot takes seconds", 15;
    StoreGetFails: "snapshot cannot be fetched", 20;
    ClockForward: "clock jumps forward", 1500;
    ClockBack: "clock jumps back", 1500;
    BrowserCut: "browser connects again", 120;
    SentAgain: "message sent again by its terminal", 1;
    SentElsewhere: "message sent again through another partition", 1;
    OtherBody: "key used again with another body", 1;
    SentLate: "message delayed", 1;
    SentEarly: "message overtakes others", 1;
    Poison: "message that cannot be read", 1;
    UnknownCard: "card used before it is issued", 1;
}

/// Which faults this seed has, how fierce they are, and what came of it.
pub(crate) struct Faults {
    is_on: bool,
    /// Kinds that this seed leaves out: what a kind hides shows where it is missing.
    left_out: Vec<bool>,
    /// Likelier by this, in percent.
    fierce: u64,
    pub(crate) counts: Vec<u64>,
}

impl Faults {
    pub(crate) fn of(random: &mut Random) -> Self {
        let left_out = Fault::ALL.iter().map(|_| random.one_in(4)).collect();
        let fierce = 60 + random.below(240);
        Self { is_on: true, left_out, fierce, counts: vec![0; Fault::ALL.len()] }
    }

    pub(crate) fn strikes(&mut self, fault: Fault, random: &mut Random) -> bool {
        if !self.is_on || self.left_out[fault as usize] {
            return false;
        }
        let strikes = random.below(fault.one_in() * 100) < self.fierce;
        if strikes {
            self.count(fault);
        }
        strikes
    }

    /// It happened by itself.
    pub(crate) fn count(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    pub(crate) fn end(&mut self) {
        self.is_on = false;
    }
}
