//! A managed child process: started, watched, restarted when it dies, ended with this process.
//!
//! In: how to start it, how to tell that it is ready. Out: its state, as a `watch` channel. Guarantees: the child is
//! killed when this process dies, also by `kill -9`; it is restarted with growing pauses; its output goes to a file
//! of bounded size; `stop` returns after `Plan::stop_within`. Does not: bring back what a child kept in memory only.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Error;
use super::process;

/// How often a child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Pause before a restart: doubles from the first to the last, and starts again after a quiet while.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_LAST: Duration = Duration::from_secs(10);
const QUIET_AFTER: Duration = Duration::from_secs(60);
/// A log file that grew past this is emptied: it is there to find out why a child died.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// How much of the log goes into a message.
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 12;

/// What an engine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    Ready,
    /// Died, and is being started again; the text says how it ended.
    Restarting(String),
    Stopped,
}

/// How to run a child.
pub(super) struct Plan {
    /// As it stands in messages.
    pub(super) name: &'static str,
    pub(super) log: PathBuf,
    /// Called before every start: it may choose a port or write a configuration file.
    pub(super) command: Box<dyn FnMut() -> Result<Command, Error> + Send>,
    /// Asked again and again after the start; may take a second.
    pub(super) ready: Box<dyn FnMut() -> bool + Send>,
    pub(super) ready_within: Duration,
    pub(super) stop_within: Duration,
}

/// Ended by `stop`. Dropped, it ends too, without waiting.
pub(super) struct Child {
    state: watch::Receiver<State>,
    stop: mpsc::Sender<()>,
    supervisor: JoinHandle<()>,
}

impl Child {
    /// Starts it and returns when it is ready, or why it is not.
    pub(super) fn start(plan: Plan) -> Result<Self, Error> {
        let (state_sender, state) = watch::channel(State::Starting);
        let (stop, stopped) = mpsc::channel();
        let (first_sender, first) = mpsc::sync_channel(1);
        // The thread stays as long as the child: the kernel kills the child when the thread that spawned it ends.
        let supervisor = std::thread::Builder::new()
            .name(format!("{} supervisor", plan.name))
            .spawn(move || Supervisor { plan, state: state_sender, stopped }.run(&first_sender))
            .map_err(|source| Error::Io { what: "start a thread".to_owned(), source })?;
        match first.recv() {
            Ok(Ok(())) => Ok(Self { state, stop, supervisor }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Broken { engine: "supervisor" }),
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Asks the child to end; `finish_stop` waits for it. In two steps, so that several children end at the same time.
    pub(super) fn begin_stop(&self) {
        // A supervisor that has ended needs no asking.
        let _ = self.stop.send(());
    }

    pub(super) fn finish_stop(self) {
        // A supervisor that panicked has taken its child with it.
        let _ = self.supervisor.join();
    }
}

struct Supervisor {
    plan: Plan,
    state: watch::Sender<State>,
    stopped: mpsc::Receiver<()>,
}

/// How a child's life ended.
enum Ended {
    /// `stop` was asked for, and the child is gone.
    Stopped,
    /// By itself, after having been ready for this long, if it ever was.
    Died { how: String, ready_for: Option<Duration> },
    /// It ran and did not become ready in time; it was killed.
    NotReady,
}

impl Supervisor {
    fn run(mut self, first: &mpsc::SyncSender<Result<(), Error>>) {
        let mut pause = PAUSE_FIRST;
        let mut waiting_for_first = true;
        loop {
            let ended = match self.live(first) {
                Ok(ended) => ended,
                Err(error) if waiting_for_first => {
                    let _ = first.send(Err(error));
                    break;
                }
                Err(error) => Ended::Died { how: error.to_string(), ready_for: None },
            };
            let (how, ready_for) = match ended {
                Ended::Stopped => break,
                Ended::Died { how, ready_for } => (how, ready_for),
                Ended::NotReady => (format!("not ready after {} s", self.plan.ready_within.as_secs()), None),
            };
            waiting_for_first &= ready_for.is_none();
            let tail = tail(&self.plan.log);
            if waiting_for_first {
                let error = Error::Ended { engine: self.plan.name, how, log: self.plan.log.clone(), tail };
                let _ = first.send(Err(error));
                break;
            }
            if ready_for.is_some_and(|lived| lived > QUIET_AFTER) {
                pause = PAUSE_FIRST;
            }
            tracing::warn!(
                engine = self.plan.name,
                log = %self.plan.log.display(),
                "{} ended ({how}), starting it again in {} ms; the end of its log:\n{tail}",
                self.plan.name,
                pause.as_millis()
            );
            metrics::counter!("forecourt_engine_restarts_total", "engine" => self.plan.name).increment(1);
            self.state.send_replace(State::Restarting(how));
            if !matches!(self.stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                break;
            }
            pause = (pause * 2).min(PAUSE_LAST);
        }
        self.state.send_replace(State::Stopped);
    }

    /// One life of the child.
    fn live(&mut self, first: &mpsc::SyncSender<Result<(), Error>>) -> Result<Ended, Error> {
        let io = |what: String| move |source| Error::Io { what, source };
        let log = open_log(&self.plan.log).map_err(io(format!("open {}", self.plan.log.display())))?;
        let second = log.try_clone().map_err(io(format!("open {}", self.plan.log.display())))?;
        let mut command = (self.plan.command)()?;
        command.stdin(Stdio::null()).stdout(Stdio::from(log)).stderr(Stdio::from(second));
        process::bind_to_this_thread(&mut command);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(io(format!("start {program}")))?;

        let started = Instant::now();
        let mut ready_at: Option<Instant> = None;
        let mut log_looked_at = started;
        loop {
            if let Some(status) = child.try_wait().map_err(io(format!("wait for {program}")))? {
                return Ok(Ended::Died { how: how(status), ready_for: ready_at.map(|at| at.elapsed()) });
            }
            if !matches!(self.stopped.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout)) {
                self.end(&mut child);
                return Ok(Ended::Stopped);
            }
            if ready_at.is_none() && (self.plan.ready)() {
                ready_at = Some(Instant::now());
                if !matches!(*self.state.borrow(), State::Starting) {
                    tracing::info!(
                        engine = self.plan.name,
                        "{} is ready again after {:.1} s",
                        self.plan.name,
                        started.elapsed().as_secs_f64()
                    );
                }
                self.state.send_replace(State::Ready);
                // Full or closed from the second time on: only the first life is waited for.
                let _ = first.try_send(Ok(()));
            }
            if ready_at.is_none() && started.elapsed() > self.plan.ready_within {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(Ended::NotReady);
            }
            if log_looked_at.elapsed() > Duration::from_secs(10) {
                log_looked_at = Instant::now();
                bound_log(&self.plan.log);
            }
        }
    }

    fn end(&self, child: &mut std::process::Child) {
        process::terminate(child);
        let asked = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if asked.elapsed() > self.plan.stop_within {
                tracing::warn!(engine = self.plan.name, "{} did not end when asked: killing it", self.plan.name);
                // It may have ended in this moment.
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Appending, so that the file can be emptied while the child writes.
fn open_log(path: &Path) -> std::io::Result<File> {
    bound_log(path);
    File::options().append(true).create(true).open(path)
}

fn bound_log(path: &Path) {
    let too_long = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX);
    if too_long && let Err(error) = File::options().write(true).open(path).and_then(|file| file.set_len(0)) {
        tracing::warn!(log = %path.display(), %error, "cannot shorten a log file");
    }
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(libc::SIGKILL)) => "killed by signal 9, perhaps for lack of memory".to_owned(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "in an unknown way".to_owned(),
    }
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    if last.is_empty() { "  (nothing)".to_owned() } else { last.iter().map(|line| format!("  {line}\n")).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(directory: &Path, script: &str, ready_within: Duration) -> Plan {
        let (ready_file, script) = (directory.join("ready"), script.to_owned());
        let there = ready_file.clone();
        Plan {
            name: "Sleeper",
            log: directory.join("sleeper.log"),
            command: Box::new(move || {
                let _ = std::fs::remove_file(&ready_file);
                let mut command = Command::new("/bin/sh");
                command.arg("-c").arg(&script).env("READY", &ready_file);
                Ok(command)
            }),
            ready: Box::new(move || there.exists()),
            ready_within,
            stop_within: Duration::from_millis(300),
        }
    }

    fn pid_of(directory: &Path) -> String {
        std::fs::read_to_string(directory.join("ready")).unwrap().trim().to_owned()
    }

    fn lives(pid: &str) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        !status.is_empty() && !status.contains("State:\tZ")
    }

    fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    const SLEEPER: &str = "echo $$ > $READY.new; mv $READY.new $READY; exec sleep 600";

    #[test]
    fn a_child_that_is_killed_is_started_again_and_ends_with_stop() {
        let directory = tempfile::tempdir().unwrap();
        let child = Child::start(plan(directory.path(), SLEEPER, Duration::from_secs(20))).unwrap();
        let state = child.state();
        assert_eq!(*state.borrow(), State::Ready);
        let first = pid_of(directory.path());
        assert!(Command::new("kill").args(["-9", &first]).status().unwrap().success());
        wait_until("it is restarting", || matches!(*state.borrow(), State::Restarting(_)));
        wait_until("it is ready again", || *state.borrow() == State::Ready);
        let second = pid_of(directory.path());
        assert_ne!(first, second);
        child.begin_stop();
        child.finish_stop();
        assert_eq!(*state.borrow(), State::Stopped);
        assert!(!lives(&second));
    }

    #[test]
    fn a_child_that_does_not_listen_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let deaf = "trap '' TERM; echo $$ > $READY; while :; do sleep 0.05; done";
        let child = Child::start(plan(directory.path(), deaf, Duration::from_secs(20))).unwrap();
        wait_until("the pid is written", || !pid_of(directory.path()).is_empty());
        let pid = pid_of(directory.path());
        let asked = Instant::now();
        child.begin_stop();
        child.finish_stop();
        assert!(asked.elapsed() < Duration::from_secs(3));
        assert!(!lives(&pid));
    }

    #[test]
    fn a_child_that_cannot_start_tells_why_with_the_end_of_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let failing = "echo no space left for tanks >&2; exit 3";
        let error = Child::start(plan(directory.path(), failing, Duration::from_secs(20))).err().unwrap().to_string();
        assert!(error.contains("Sleeper ended at its start (exit code 3)"), "{error}");
        assert!(error.contains("no space left for tanks"), "{error}");
    }

    #[test]
    fn a_child_that_never_gets_ready_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let error = Child::start(plan(directory.path(), "exec sleep 600", Duration::from_millis(200))).err().unwrap();
        assert!(error.to_string().contains("not ready after 0 s"), "{error}");
    }
}
