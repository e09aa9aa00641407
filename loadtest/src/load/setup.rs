//! Before a run: its contracts and cards are opened and known everywhere.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use model::{Code, LogSettings, TimestampUs, Topic, TransactionKind};
use rdkafka::message::Message;

use super::fleet::Fleet;
use super::journal::Journal;
use super::light::{Body, Fact, Record};
use super::now_us;
use super::traffic::Traffic;
use loadtest::kafka::{Reader, Sender, TailFence};

/// Without any answer.
const PATIENCE: Duration = Duration::from_secs(90);
/// Orders without an answer at a time.
const UNANSWERED_MAX: usize = 4_000;
const ASK_AGAIN: Duration = Duration::from_secs(20);
/// Cards, issued last, that are asked about until all are known.
const PROBES: usize = 256;
/// Probes use the keys of step 0.
const PROBE_STEP: u32 = 0;

/// Opens the fleet and waits until its cards can be used.
pub(crate) fn open(fleet: &Fleet, log: &LogSettings, sender: &Sender, journal: &mut Journal) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut answers = Answers::open(log)?;
    let orders = fleet.orders(TimestampUs::from_micros(now_us()))?;
    let topic = log.topic_name(Topic::Commands);
    let payloads = orders.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    for (order, payload) in orders.iter().zip(&payloads) {
        journal.sent(Topic::Commands, &order.contract, payload)?;
    }
    journal.flush()?;
    let mut open: HashMap<&str, usize> =
        orders.iter().enumerate().map(|(index, order)| (order.idem.as_str(), index)).collect();
    let (mut next, mut last_answer, mut asked_again) = (0, Instant::now(), Instant::now());
    while !open.is_empty() {
        while next < orders.len() && next + open.len() < orders.len() + UNANSWERED_MAX {
            let contract = orders[next].contract.as_str();
            sender.send_waiting(&topic, log.partition_of(contract).0, contract, payloads[next].as_bytes())?;
            next += 1;
        }
        let mut refused = None;
        let heard = answers.read(|idem, facts| {
            if open.remove(idem).is_some() {
                let refusal =
                    facts.iter().find_map(|fact| if let Fact::Refused(code) = fact { Some(*code) } else { None });
                refused = refusal.map(|code| (idem.to_owned(), code)).or(refused.take());
                return true;
            }
            false
        });
        if let Some((idem, code)) = refused {
            bail!("order {idem} of the set-up was refused: {code:?}");
        }
        if heard {
            last_answer = Instant::now();
        } else if next == orders.len() && last_answer.max(asked_again).elapsed() > ASK_AGAIN {
            // Perhaps a server is being restarted: the same orders again, with the same keys.
            for index in open.values() {
                let contract = orders[*index].contract.as_str();
                sender.send_waiting(&topic, log.partition_of(contract).0, contract, payloads[*index].as_bytes())?;
            }
            asked_again = Instant::now();
        }
        ensure!(
            last_answer.elapsed() < PATIENCE,
            "{} of {} set-up orders have no answer: is Forecourt running?",
            open.len(),
            orders.len()
        );
    }
    probe(fleet, log, sender, &mut answers, journal)?;
    tracing::info!(
        contracts = fleet.contracts.len(),
        cards = fleet.cards.len(),
        seconds = format!("{:.1}", begun.elapsed().as_secs_f64()),
        "fleet is open"
    );
    Ok(())
}

/// Asks for balances with the last cards until the routing table knows them all.
fn probe(
    fleet: &Fleet,
    log: &LogSettings,
    sender: &Sender,
    answers: &mut Answers,
    journal: &mut Journal,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (_, nothing) = std::sync::mpsc::sync_channel(1);
    let mut traffic = Traffic::new(fleet, log, PROBE_STEP, nothing);
    let topic = log.topic_name(Topic::Transactions);
    let mut unknown: Vec<usize> = (0..fleet.cards.len()).rev().take(PROBES).collect();
    let mut n = 0;
    while !unknown.is_empty() {
        let mut asked = HashMap::new();
        for card in &unknown {
            let at = TimestampUs::from_micros(now_us());
            let probe = traffic.of_card(n, *card, at, TransactionKind::Balance)?;
            journal.sent(probe.topic, &fleet.contracts[probe.contract], &probe.payload)?;
            asked.insert(format!("{}{n}", super::traffic::step_prefix(&fleet.run, PROBE_STEP)), *card);
            sender.send_waiting(&topic, probe.partition, &probe.key, probe.payload.as_bytes())?;
            n += 1;
        }
        journal.flush()?;
        unknown.clear();
        while !asked.is_empty() {
            answers.read(|idem, facts| {
                let Some(card) = asked.remove(idem) else { return false };
                let is_unknown =
                    |fact: &Fact| matches!(fact, Fact::Decided(decided) if decided.code == Code::CardUnknown);
                if facts.iter().any(is_unknown) {
                    unknown.push(card);
                }
                true
            });
            ensure!(begun.elapsed() < PATIENCE, "cards are not usable after {} s", PATIENCE.as_secs());
        }
        if !unknown.is_empty() {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    Ok(())
}

/// The ledger from its end.
struct Answers {
    reader: Reader,
    fence: TailFence,
}

impl Answers {
    fn open(log: &LogSettings) -> anyhow::Result<Self> {
        let reader = Reader::open(&log.bootstrap, &[(&log.topic_name(Topic::Ledger), log.partitions, None)])?;
        Ok(Self { reader, fence: TailFence::new(log.partitions) })
    }

    /// Shows outcomes to `each`; true when one of them was wanted.
    fn read(&mut self, mut each: impl FnMut(&str, &[Fact]) -> bool) -> bool {
        let (reader, fence) = (&self.reader, &mut self.fence);
        let mut wanted = false;
        reader.read(2048, Duration::from_millis(100), |message| {
            let Some(Ok(record)) = message.payload().map(serde_json::from_slice::<Record<'_>>) else { return };
            match record.body {
                Body::Takeover(_) => fence.takeover(message.partition(), message.offset()),
                Body::Outcome(outcome) if fence.admits(message.partition(), record.epoch) => {
                    // A repeat of an origin has no facts and answers nothing.
                    wanted |= !outcome.facts.is_empty() && each(&outcome.idem, &outcome.facts);
                }
                Body::Outcome(_) => {}
            }
        });
        wanted
    }
}
