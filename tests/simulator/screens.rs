//! A process's page, and a browser before it: the real projection and live protocol, over the simulated log.

use std::collections::BTreeMap;

use dashboards::{Feed, Saved, Screens, Watcher};
use model::{ContractId, PartitionId, TimestampUs, Topic};
use serde_json::{Map, Value, json};

use crate::faults::Fault;
use crate::log::{Log, Reader};
use crate::surroundings::{START_US, Surroundings, Who};

/// Gauges are not simulated.
const STALE_AFTER_US: i64 = 30_000_000;
const PUBLISH_EVERY_US: i64 = 105_000;
/// Every so many publications one partition of the screens is saved, each in its turn.
const SAVED_EVERY: usize = 5;

pub(crate) struct Page {
    screens: Screens,
    readers: Vec<Reader>,
    has_caught_up: bool,
    published_us: i64,
    published: usize,
    watcher: Watcher,
}

impl Page {
    /// The page of a process that starts: it begins with what the last ones saved; its browser connects again with what it knows.
    pub(crate) fn start(around: &Surroundings, who: Who, browser: &mut Browser, contracts: &[ContractId]) -> Self {
        let screens = Screens::new(format!("p{}.{}", who.process, who.start), STALE_AFTER_US);
        let watcher = browser.connect(&screens, contracts);
        screens.restore(browser.saved.values().map(|file| Saved::read(file).expect("it was saved whole")).collect());
        let reader = |partition| {
            let next = screens.next(Topic::Ledger, partition);
            Reader::open(&around.log, (Topic::Ledger, partition), next)
        };
        let readers = around.partitions().map(reader).collect();
        Self { screens, readers, has_caught_up: false, published_us: 0, published: 0, watcher }
    }

    pub(crate) fn step(
        &mut self,
        around: &mut Surroundings,
        who: Who,
        browser: &mut Browser,
        contracts: &[ContractId],
    ) -> bool {
        let busy = who.reaches_log && self.read(around, who);
        if around.now_us >= self.published_us + PUBLISH_EVERY_US {
            self.published_us = around.now_us;
            self.screens.publish(who.clock.get());
            self.published += 1;
            if self.published.is_multiple_of(SAVED_EVERY) {
                let (topic, partition) = self.readers[self.published / SAVED_EVERY % self.readers.len()].place;
                browser.saved.insert(partition, self.screens.save(topic, partition).pack());
            }
        }
        if around.strikes(Fault::BrowserCut) {
            self.watcher = browser.connect(&self.screens, contracts);
        }
        self.look(browser);
        busy
    }

    fn read(&mut self, around: &mut Surroundings, who: Who) -> bool {
        let mut items = Vec::new();
        for reader in &mut self.readers {
            let most = 1 + around.random.index(40);
            items.extend(reader.read(&around.log, most).map(|(offset, stored)| {
                let record = stored.ledger_record().as_ref().clone();
                Feed::Ledger { partition: reader.place.1, offset, record, seen_at_us: who.clock }
            }));
        }
        if !self.has_caught_up && self.readers.iter().all(Reader::has_caught_up) {
            self.has_caught_up = true;
            items.push(Feed::CaughtUp);
        }
        let busy = !items.is_empty();
        self.screens.apply(items);
        busy
    }

    fn look(&mut self, browser: &mut Browser) {
        if let Some(message) = self.screens.next_message(&mut self.watcher) {
            browser.hear(&message);
        }
    }

    /// What its browser shows in the end.
    pub(crate) fn settle(&mut self, now_us: i64, browser: &mut Browser) {
        self.screens.publish(now_us);
        while let Some(message) = self.screens.next_message(&mut self.watcher) {
            browser.hear(&message);
        }
    }
}

/// What a page that has just begun shows of the whole log at `now_us`.
pub(crate) fn fresh(log: &Log, partitions: i32, now_us: i64, contracts: &[ContractId]) -> Browser {
    let screens = Screens::new("fresh".to_owned(), STALE_AFTER_US);
    for partition in (0..partitions).map(PartitionId) {
        let mut reader = Reader::open(log, (Topic::Ledger, partition), 0);
        screens.apply(reader.read(log, usize::MAX).map(|(offset, stored)| {
            let record = stored.ledger_record().as_ref().clone();
            Feed::Ledger { partition, offset, record, seen_at_us: TimestampUs::from_micros(START_US) }
        }));
    }
    screens.apply([Feed::CaughtUp]);
    screens.publish(now_us);
    let mut browser = Browser::default();
    let mut watcher = browser.connect(&screens, contracts);
    while let Some(message) = screens.next_message(&mut watcher) {
        browser.hear(&message);
    }
    browser
}

/// A browser: applies messages as API.md says.
#[derive(Default)]
pub(crate) struct Browser {
    /// What the pages that it looked at saved: not the browser's, but it outlives a page as well.
    saved: BTreeMap<PartitionId, Vec<u8>>,
    seq: u64,
    token: String,
    network: Value,
    decisions: Map<String, Value>,
    contracts: Map<String, Value>,
    details: Map<String, Value>,
}

impl Browser {
    fn connect(&mut self, screens: &Screens, contracts: &[ContractId]) -> Watcher {
        self.seq = 0;
        self.details.clear();
        screens.watch(Some(&self.token), contracts.iter().cloned())
    }

    fn hear(&mut self, message: &str) {
        let mut message: Value = serde_json::from_str(message).expect("JSON");
        assert_eq!(message["seq"], json!(self.seq + 1), "messages of a connection have no gaps");
        self.seq += 1;
        self.token = message["token"].as_str().expect("a token").to_owned();
        if message["type"] == "snapshot" {
            let (seq, token, details) = (self.seq, self.token.clone(), std::mem::take(&mut self.details));
            let saved = std::mem::take(&mut self.saved);
            *self = Self { saved, seq, token, details, ..Self::default() };
            self.change(message["state"].take());
        } else {
            self.change(message["changes"].take());
        }
    }

    fn change(&mut self, mut changes: Value) {
        if let Some(network) = changes.get_mut("network") {
            self.network = network.take();
        }
        for mut line in list(changes["decisions"].take()) {
            let id = line["id"].as_str().expect("an id").to_owned();
            forget_moments(&mut line);
            assert!(self.decisions.insert(id, line).is_none(), "no decision comes twice");
        }
        for line in list(changes["contracts"].take()) {
            self.contracts.insert(line["contract"].as_str().expect("a contract").to_owned(), line);
        }
        for mut detail in list(changes["contract_details"].take()) {
            for line in detail["decisions"].as_array_mut().into_iter().flatten() {
                forget_moments(line);
            }
            self.details.insert(detail["contract"].as_str().expect("a contract").to_owned(), detail);
        }
    }

    /// All that does not depend on when this page was opened, or on how the partitions' records mixed.
    pub(crate) fn shows(&self) -> Value {
        let network = ["sales_ml_today", "totals", "holds"].map(|name| self.network[name].clone());
        json!({
            "network": network,
            "decisions": self.decisions,
            "contracts": self.contracts,
            "details": self.details,
        })
    }
}

/// When a page saw a decision is its own affair.
fn forget_moments(line: &mut Value) {
    if let Some(line) = line.as_object_mut() {
        line.remove("seen_us");
        line.remove("latency_us");
    }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        _ => Vec::new(),
    }
}
