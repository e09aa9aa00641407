//! One process: its parts, whether it runs, and what it can reach.

use model::{ContractId, TimestampUs};

use crate::owner::Owner;
use crate::publisher::Publisher;
use crate::router::Router;
use crate::rows::Rows;
use crate::screens::{Browser, Page};
use crate::surroundings::{Down, START_US, Stepped, Surroundings, Who};

/// A record that the log does not take for so long ends the process.
const DELIVERY_PATIENCE_US: i64 = 20_000_000;

pub(crate) struct Process {
    index: usize,
    start: u32,
    pub(crate) parts: Option<Parts>,
    /// While it is down: when it starts again.
    pub(crate) starts_us: i64,
    /// Stopped until then, with all that it has in hand.
    pub(crate) paused_until_us: i64,
    pub(crate) log_cut_until_us: i64,
    pub(crate) clickhouse_cut_until_us: i64,
    pub(crate) store_cut_until_us: i64,
    /// How wrong its clock is.
    pub(crate) clock_off_us: i64,
    /// Outlives the process.
    pub(crate) browser: Browser,
}

pub(crate) struct Parts {
    pub(crate) router: Router,
    pub(crate) owner: Owner,
    pub(crate) publisher: Publisher,
    pub(crate) rows: Rows,
    pub(crate) page: Page,
}

impl Process {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            start: 0,
            parts: None,
            starts_us: 0,
            paused_until_us: 0,
            log_cut_until_us: 0,
            clickhouse_cut_until_us: 0,
            store_cut_until_us: 0,
            clock_off_us: 0,
            browser: Browser::default(),
        }
    }

    pub(crate) fn who(&self, now_us: i64) -> Who {
        Who {
            process: self.index,
            start: self.start,
            clock: TimestampUs::from_micros(START_US + now_us + self.clock_off_us),
            reaches_log: now_us >= self.log_cut_until_us,
            reaches_clickhouse: now_us >= self.clickhouse_cut_until_us,
            reaches_store: now_us >= self.store_cut_until_us,
        }
    }

    pub(crate) fn is_paused(&self, now_us: i64) -> bool {
        now_us < self.paused_until_us
    }

    /// Starts if it is time; true while it runs.
    pub(crate) fn runs(&mut self, around: &mut Surroundings, contracts: &[ContractId]) -> bool {
        if self.is_paused(around.now_us) {
            return false;
        }
        if self.parts.is_some() {
            return true;
        }
        let who = self.who(around.now_us);
        if around.now_us < self.starts_us || !who.reaches_log {
            return false;
        }
        self.start += 1;
        let who = self.who(around.now_us);
        around.tell(who, "process", || "starts".to_owned());
        self.parts = Some(Parts {
            router: Router::start(around, who),
            owner: Owner::start(around, who),
            publisher: Publisher::start(around, who),
            rows: Rows::start(),
            page: Page::start(around, who, &mut self.browser, contracts),
        });
        true
    }

    /// One of its parts does something.
    pub(crate) fn step(&mut self, part: u64, around: &mut Surroundings, contracts: &[ContractId]) -> bool {
        let who = self.who(around.now_us);
        let Some(parts) = &mut self.parts else { return false };
        let stepped =
            if around.log.waiting_since(self.index).is_some_and(|at| at + DELIVERY_PATIENCE_US < around.now_us) {
                Err(Down::Ends("the log takes no records"))
            } else {
                parts.step(part, around, who, &mut self.browser, contracts)
            };
        stepped.unwrap_or_else(|down| {
            self.goes_down(around, down);
            true
        })
    }

    pub(crate) fn goes_down(&mut self, around: &mut Surroundings, down: Down) {
        let Some(parts) = self.parts.take() else { return };
        let who = self.who(around.now_us);
        around.tell(who, "process", || down.to_string());
        for line in [parts.router.line(), parts.owner.line(), parts.publisher.line()] {
            around.log.close(line, &mut around.faults, &mut around.random);
        }
        self.starts_us = around.now_us + around.random.between(0, 15_000_000);
    }
}

impl Parts {
    /// How many parts [`Parts::step`] chooses from, the busy ones more often.
    pub(crate) const CHOICES: u64 = 12;

    fn step(
        &mut self,
        part: u64,
        around: &mut Surroundings,
        who: Who,
        browser: &mut Browser,
        contracts: &[ContractId],
    ) -> Stepped {
        match part {
            0..4 => self.router.step(around, who),
            4..8 => self.owner.step(around, who),
            8 => self.publisher.step(around, who, &self.owner.held()),
            9 | 10 => self.rows.step(around, who),
            _ => Ok(self.page.step(around, who, browser, contracts)),
        }
    }
}
