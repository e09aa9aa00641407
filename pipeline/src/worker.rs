//! Runs a timely dataflow on threads of its own and feeds it through bounded queues.
//!
//! In: messages through a [`Feed`], one queue per worker. Out: batches on a channel, in the order in which each worker
//! produced them. Guarantees: a message is processed once, in the order in which its feed sent it; a full queue or a full
//! output channel makes the sender wait; an idle worker sleeps; when the last feed is dropped the workers process what is
//! queued and end. Does not: look into messages, keep order between workers, restart a worker: a panic ends them all.

mod doorbell;
mod source;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use model::PartitionId;
use timely::communication::WorkerGuards;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;
use timely::scheduling::Activator;
use timely::worker::Worker;

use doorbell::Doorbell;
pub use source::Source;

/// Time of a dataflow: event time in microseconds where windows close on it, zero throughout where nothing waits.
pub type Time = u64;

/// Messages that a worker takes from its queue in one step: large enough to share the step's cost, small enough to be quick.
pub const STEP_MESSAGES_MAX: usize = 512;
/// How long a worker sleeps when nobody wakes it.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// The dataflow has ended: its feeds were closed, nobody reads its outputs, or a worker panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dataflow has ended")]
pub struct Ended;

/// The way into one worker. The dataflow ends when all feeds are dropped.
pub struct Feed<T> {
    // Dropped in this order: the queue must look closed before the worker is told to look.
    queue: Sender<T>,
    line: LineHandle,
}

impl<T> Feed<T> {
    /// Hands a message to the worker; waits while its queue is full.
    pub fn send(&self, message: T) -> Result<(), Ended> {
        self.queue.send(message).map_err(|_| Ended)?;
        self.line.get().bell.ring();
        Ok(())
    }
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), line: self.line.clone() }
    }
}

/// A running dataflow. Dropping it closes its own feeds and lets the workers end by themselves; [`Dataflow::join`] waits.
pub struct Dataflow<T> {
    feeds: Vec<Feed<T>>,
    threads: Threads,
}

impl<T> Dataflow<T> {
    /// The way to the worker of a partition: `partition % workers`.
    #[must_use]
    pub fn feed(&self, partition: PartitionId) -> Feed<T> {
        self.feeds[partition.index() % self.feeds.len()].clone()
    }
    /// One feed per worker, in the workers' order.
    #[must_use]
    pub fn feeds(&self) -> &[Feed<T>] {
        &self.feeds
    }
    /// Waits for the workers to end, which they do when every feed is dropped. Panics when a worker panicked.
    pub fn join(self) {
        drop(self.feeds);
        self.threads.join();
    }
}

/// timely's handle waits for its threads when it is dropped; this one lets them go. The lock is never taken: it makes a
/// dataflow fit to be shared.
struct Threads(Mutex<Option<WorkerGuards<()>>>);

impl Threads {
    fn join(mut self) {
        let ends = self.take().map(WorkerGuards::join).unwrap_or_default();
        assert!(ends.iter().all(Result::is_ok), "a worker panicked; its own message says why");
    }

    fn take(&mut self) -> Option<WorkerGuards<()>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        std::mem::forget(self.take());
    }
}

/// Starts `workers` threads that all build the same dataflow with `build`, from the source of the worker's messages to
/// what goes to `outputs`. Each worker's queue holds `capacity` messages; `name` is for timely's own logs. `build` must
/// call [`Source::stream`] or [`Source::stream_at`].
///
/// `outputs` is a channel of the standard library because its reader sleeps at once: crossbeam's yields the processor some
/// times first, which on a busy machine puts it behind everybody else.
pub fn spawn<T, O>(
    name: &'static str,
    workers: usize,
    capacity: usize,
    outputs: SyncSender<Vec<O>>,
    build: impl for<'scope> Fn(Source<'scope, T>) -> Stream<'scope, Time, Vec<O>> + Send + Sync + 'static,
) -> Dataflow<T>
where
    T: Clone + Send + 'static,
    O: Clone + Send + 'static,
{
    assert!(workers > 0, "a dataflow has at least one worker");
    assert!(capacity > 0, "a queue holds at least one message");
    let lines: Arc<Lines> = Arc::new(Lines::new(workers));
    let (feeds, ends): (Vec<_>, Vec<_>) = (0..workers)
        .map(|index| {
            let (queue, receiver) = bounded(capacity);
            let end = LooseEnd { receiver, outputs: outputs.clone() };
            (Feed { queue, line: LineHandle::first(&lines, index) }, Mutex::new(Some(end)))
        })
        .unzip();
    drop(outputs);
    // Never spin: a worker that waits for its next message would take the core from those that have one.
    let mut config = if workers == 1 { timely::Config::thread() } else { timely::Config::process(workers) };
    config.worker = config.worker.idle_spin(Duration::ZERO);
    let threads = timely::execute(config, move |worker| {
        let _guard = EndAllOnPanic(&lines);
        lines.lines[worker.index()].bell.attach();
        let end = ends[worker.index()].lock().unwrap_or_else(PoisonError::into_inner).take();
        run(worker, name, &lines, end.expect("each worker starts once"), &build);
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow); // it was ended from outside: timely would wait for it for ever
        }
    });
    Dataflow { feeds, threads: Threads(Mutex::new(Some(threads.expect("the system can start another thread")))) }
}

/// What a worker is connected to.
struct LooseEnd<T, O> {
    receiver: Receiver<T>,
    outputs: SyncSender<Vec<O>>,
}

fn run<T, O>(
    worker: &mut Worker,
    name: &str,
    lines: &Arc<Lines>,
    end: LooseEnd<T, O>,
    build: &impl for<'scope> Fn(Source<'scope, T>) -> Stream<'scope, Time, Vec<O>>,
) where
    T: Clone + 'static,
    O: Clone + Send + 'static,
{
    let LooseEnd { receiver, outputs } = end;
    let deliver = move |batch| outputs.send(batch).is_ok();
    let link = connect(worker, name, lines, (receiver.clone(), deliver), build);
    let source = link.activator().expect("the dataflow was built on its source");
    step_until_ended(worker, lines, &receiver, &source, &link);
}

/// Builds the dataflow between its loose ends; `deliver` says whether anybody still reads.
fn connect<T, O>(
    worker: &mut Worker,
    name: &str,
    lines: &Arc<Lines>,
    (receiver, mut deliver): (Receiver<T>, impl FnMut(Vec<O>) -> bool + 'static),
    build: &impl for<'scope> Fn(Source<'scope, T>) -> Stream<'scope, Time, Vec<O>>,
) -> source::Link
where
    T: Clone + 'static,
    O: Clone + Send + 'static,
{
    let (link, lines) = (source::Link::default(), lines.clone());
    worker.dataflow_named::<Time, _, _>(name, |scope| {
        let stream = build(Source::new(scope, receiver, link.clone()));
        stream.sink(Pipeline, "outputs", move |(input, _)| {
            input.for_each(|_, batch| {
                if !deliver(std::mem::take(batch)) {
                    lines.end_all(); // nobody reads: what follows would be lost unnoticed
                }
            });
        });
    });
    link
}

fn step_until_ended<T>(
    worker: &mut Worker,
    lines: &Lines,
    receiver: &Receiver<T>,
    source: &Activator,
    link: &source::Link,
) {
    let line = &lines.lines[worker.index()];
    let mut alive = true;
    while alive && !lines.ended.load(Ordering::Relaxed) {
        // A closed queue wakes the source once more: it has to see the end to let go of its time.
        let closing = !link.closed() && line.feeds.load(Ordering::Acquire) == 0;
        if closing || !receiver.is_empty() {
            source.activate();
            alive = worker.step();
            continue;
        }
        line.bell.arm();
        let still_nothing = receiver.is_empty()
            && (link.closed() || line.feeds.load(Ordering::Acquire) > 0)
            && !lines.ended.load(Ordering::Relaxed);
        if still_nothing {
            // Runs what timely has queued, else sleeps. Either way the queue is looked at again.
            alive = worker.step_or_park(Some(SLEEP_MAX));
        }
        line.bell.disarm();
    }
}

/// What feeders and workers of one dataflow share.
struct Lines {
    ended: AtomicBool,
    lines: Vec<Line>,
}

struct Line {
    bell: Doorbell,
    /// How many feeds there are.
    feeds: AtomicUsize,
}

impl Lines {
    fn new(workers: usize) -> Self {
        let line = |_| Line { bell: Doorbell::default(), feeds: AtomicUsize::new(0) };
        Self { ended: AtomicBool::new(false), lines: (0..workers).map(line).collect() }
    }
    fn end_all(&self) {
        self.ended.store(true, Ordering::SeqCst);
        for line in &self.lines {
            line.bell.ring();
        }
    }
}

/// Counts the feeds of a line, and rings when one goes.
struct LineHandle {
    lines: Arc<Lines>,
    index: usize,
}

impl LineHandle {
    fn first(lines: &Arc<Lines>, index: usize) -> Self {
        lines.lines[index].feeds.fetch_add(1, Ordering::AcqRel);
        Self { lines: lines.clone(), index }
    }
    fn get(&self) -> &Line {
        &self.lines.lines[self.index]
    }
}

impl Clone for LineHandle {
    fn clone(&self) -> Self {
        Self::first(&self.lines, self.index)
    }
}

impl Drop for LineHandle {
    fn drop(&mut self) {
        self.get().feeds.fetch_sub(1, Ordering::AcqRel);
        self.get().bell.ring();
    }
}

/// A worker that dies alone would leave the others waiting for its progress for ever.
struct EndAllOnPanic<'a>(&'a Lines);

impl Drop for EndAllOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end_all();
        }
    }
}

/// Runs a dataflow with one worker on the calling thread: each message is worked off before the next. Gives what came out
/// after each.
#[cfg(test)]
pub(crate) fn stepped<T, O>(
    build: impl for<'scope> Fn(Source<'scope, T>) -> Stream<'scope, Time, Vec<O>> + Send + Sync + 'static,
    messages: Vec<T>,
) -> Vec<Vec<O>>
where
    T: Clone + Send + Sync + 'static,
    O: Clone + Send + 'static,
{
    timely::execute_directly(move |worker| {
        const STEPS_TO_REST: usize = 8;
        let (queue, receiver) = bounded(1);
        let (outputs, results) = crossbeam_channel::unbounded();
        let deliver = move |batch| outputs.send(batch).is_ok();
        let link = connect(worker, "stepped", &Arc::new(Lines::new(1)), (receiver, deliver), &build);
        let source = link.activator().unwrap();
        let work_off = |worker: &mut Worker| {
            source.activate();
            (0..STEPS_TO_REST).for_each(|_| _ = worker.step());
            results.try_iter().flatten().collect()
        };
        let outputs = messages.into_iter().map(|message| {
            queue.send(message).unwrap();
            work_off(worker)
        });
        let outputs = outputs.collect();
        drop(queue);
        let rest: Vec<O> = work_off(worker);
        assert!(rest.is_empty(), "the end of the input is no reason to speak");
        outputs
    })
}

#[cfg(test)]
mod tests;
