//! Many seeds, on all processors, and what they came to.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::checks::Checked;
use crate::faults::Fault;
use crate::trace::Trace;
use crate::world::{self, Told};

const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// After so many failures the rest tells nothing new.
const FAILURES_MAX: usize = 5;

/// A number from the environment.
pub(crate) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[derive(Default)]
pub(crate) struct Runs {
    seeds: u64,
    steps: u64,
    faults: Vec<u64>,
    checked: Checked,
    /// Each with what a check said.
    pub(crate) failures: Vec<(u64, String)>,
    took: Duration,
}

impl Runs {
    /// Half of the seeds are the same every time, half are new.
    pub(crate) fn of(seeds: u64) -> Self {
        // A plain run is the same every time; `FROM=now` goes where nobody was before.
        let new = match std::env::var("FROM").as_deref() {
            Ok("now") => SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() * 1_000_000,
            _ => 0,
        };
        println!("{seeds} seeds from {new}");
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let (next, runs) = (AtomicU64::new(0), Mutex::new(Self::default()));
        let began = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= seeds {
                            return;
                        }
                        let seed = new + number;
                        let ran = catch_unwind(AssertUnwindSafe(|| world::run(seed, Trace::new(false, false))));
                        let mut runs = runs.lock().expect("no other thread panicked");
                        runs.enter(seed, ran.map_err(|panic| words(&*panic)));
                        if runs.failures.len() >= FAILURES_MAX {
                            return;
                        }
                        if runs.seeds % 16 == 0 && began.elapsed() > runs.took + PROGRESS_EVERY {
                            runs.took = began.elapsed();
                            println!("{} seeds, {} faults", runs.seeds, runs.faults.iter().sum::<u64>());
                        }
                    }
                });
            }
        });
        let mut runs = runs.into_inner().expect("no thread panicked");
        runs.took = began.elapsed();
        runs
    }

    fn enter(&mut self, seed: u64, ran: Result<Told, String>) {
        self.seeds += 1;
        match ran {
            Ok(told) => {
                self.steps += told.steps;
                self.faults.resize(told.faults.len(), 0);
                self.faults.iter_mut().zip(&told.faults).for_each(|(sum, more)| *sum += more);
                self.checked.add(&told.checked);
            }
            Err(what) => {
                println!("SEED={seed} fails: {what}");
                self.failures.push((seed, what));
            }
        }
    }

    pub(crate) fn count(&self, fault: Fault) -> u64 {
        self.faults.get(fault as usize).copied().unwrap_or(0)
    }

    pub(crate) fn prove_something(&self) -> bool {
        let Checked { granted, void, inserts_repeated, snapshots_used, card_tables_used, .. } = self.checked;
        granted > 0 && void > 0 && inserts_repeated > 0 && snapshots_used > 0 && card_tables_used > 0
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.iter().sum();
        for fault in Fault::ALL {
            writeln!(f, "{:>9}  {}", self.count(*fault), fault.words())?;
        }
        writeln!(f, "{faults:>9}  faults in {} seeds and {} steps", self.seeds, self.steps)?;
        let checked = &self.checked;
        for (count, words) in [
            (checked.messages, "messages, each decided once or put aside"),
            (checked.decisions, "true outcomes, each of another request"),
            (checked.granted, "grants, none beyond a limit or the balance"),
            (checked.rejected, "messages that cannot be read, put aside"),
            (checked.repeats, "repeats from routing, dropped by their origin"),
            (checked.void, "records of replaced owners, void"),
            (checked.takeovers, "takeovers"),
            (checked.rows, "rows of ClickHouse, as the ledger says, and their sums"),
            (checked.inserts_repeated, "inserts repeated and dropped"),
            (checked.snapshots_used, "starts from a snapshot"),
            (checked.snapshots_passed_over, "snapshots passed over: not to be had, torn or changed"),
            (checked.card_tables_used, "starts of a router from a saved card table"),
            (checked.snapshots_checked, "snapshots left in the store, as true as the ledger"),
            (checked.answered_twice, "keys declined where their card was unknown and answered where it was known"),
        ] {
            writeln!(f, "{count:>9}  {words}")?;
        }
        let seconds = self.took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.seeds as f64 / seconds.max(0.001);
        write!(f, "{} failed; {seconds:.1} s, {rate:.1} seeds/s", self.failures.len())
    }
}
