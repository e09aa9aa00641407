//! The terminals' side of Kafka: the ledger read from its end on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use model::{LedgerBody, LedgerRecord, LogSettings, Outcome, Topic};
use rdkafka::message::Message;
use tokio::sync::{mpsc, oneshot};

use crate::kafka::{Reader, TailFence, wait_for_topics};

/// Batches of outcomes that wait for the network.
pub(crate) const BATCHES_MAX: usize = 64;
const BATCH_MAX: usize = 512;
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts to read; `ready` fires when the reader stands at the end, so that nothing asked afterwards is missed.
pub(crate) fn read_answers(
    log: LogSettings,
    answers: mpsc::Sender<Vec<Outcome>>,
    ready: oneshot::Sender<anyhow::Result<()>>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<JoinHandle<()>> {
    let work = move || {
        let reader = match open(&log, &stop) {
            Ok(reader) => reader,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let _ = ready.send(Ok(()));
        let mut fence = TailFence::new(log.partitions);
        while !stop.load(Ordering::Relaxed) {
            let mut outcomes = Vec::new();
            reader.read(BATCH_MAX, Duration::from_millis(200), |message| {
                let Some(Ok(record)) = message.payload().map(serde_json::from_slice::<LedgerRecord>) else { return };
                match record.body {
                    LedgerBody::Takeover { .. } => fence.takeover(message.partition(), message.offset()),
                    LedgerBody::Outcome(outcome) if fence.admits(message.partition(), record.epoch) => {
                        outcomes.push(outcome)
                    }
                    LedgerBody::Outcome(_) => {}
                }
            });
            if !outcomes.is_empty() && answers.blocking_send(outcomes).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("network-answers".into()).spawn(work).context("cannot start a thread")
}

fn open(log: &LogSettings, stop: &AtomicBool) -> anyhow::Result<Reader> {
    let needed = [Topic::Transactions, Topic::Commands, Topic::Ledger];
    wait_for_topics(log, &needed, PATIENCE, &|| stop.load(Ordering::Relaxed))?;
    Reader::open(&log.bootstrap, &[(&log.topic_name(Topic::Ledger), log.partitions, None)])
}
