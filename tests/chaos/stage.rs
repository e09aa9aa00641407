//! What a scene is played on: engines, Mosquitto and a Forecourt beside them, a load with purchases and gauges, and the
//! judgement at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::LeftOut;
use crate::disk::SmallDisk;
use crate::instance::{Instance, Servers, eventually, free_ports, run};
use crate::mosquitto::Mosquitto;
use crate::network::{History, Network};
use crate::report::Row;
use crate::under_load::{Amount, Client, Reach};

/// So many gauges publish unless a plan says otherwise.
pub(crate) const GAUGES: u64 = 40;
const TRANSACTIONS_PER_S: u64 = 250;
const PREFIX: &str = "chaos";
/// A process that ended by itself is seen within this time.
const WATCH: Duration = Duration::from_millis(200);

/// What a scene needs beside the usual.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// How long the load lasts: as long as the faults, or longer.
    pub(crate) seconds: u64,
    /// The folder of an engine's data that is a disk of its own, and its size.
    pub(crate) small_disk: Option<(&'static str, u32)>,
    /// Forecourt reaches Kafka over a network that can be disturbed.
    pub(crate) network: bool,
    /// Forecourt reaches ClickHouse through somebody who can withhold answers.
    pub(crate) history: bool,
    /// Further arguments for the gauges.
    pub(crate) gauges: &'static [&'static str],
}

impl Plan {
    pub(crate) const fn new(name: &'static str, seconds: u64) -> Self {
        Self { name, seconds, small_disk: None, network: false, history: false, gauges: &[] }
    }
}

/// The fields are dropped from the first to the last: those who speak before those who listen.
pub(crate) struct Stage {
    load: Option<Client>,
    gauges: Option<Client>,
    pub(crate) forecourt: Instance,
    pub(crate) mosquitto: Mosquitto,
    pub(crate) engines: Instance,
    pub(crate) network: Option<Network>,
    pub(crate) history: Option<History>,
    pub(crate) disk: Option<SmallDisk>,
    pub(crate) folder: TempDir,
    name: &'static str,
    faults: BTreeMap<String, u32>,
    remarks: Vec<String>,
    /// What the scene itself found wrong.
    pub(crate) wrong: Vec<String>,
    /// Processes that ended by themselves.
    pub(crate) revived: u32,
}

impl Stage {
    /// Starts everything; the load is running when it returns.
    pub(crate) fn raise(plan: &Plan) -> Result<Self, LeftOut> {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = match plan.small_disk {
            Some((engine, mebibytes)) => Some(SmallDisk::mount(&folder.path().join("data").join(engine), mebibytes)?),
            None => None,
        };
        let [mqtt, ..] = free_ports();
        let broker_folder = folder.path().join("mosquitto");
        std::fs::create_dir_all(&broker_folder).expect("a folder");
        let mosquitto = Mosquitto::start(mqtt, &broker_folder);
        let engines = Instance::embedded(folder.path());
        let network = if plan.network { Some(Network::between(engines.kafka, mqtt)?) } else { None };
        let history = plan.history.then(|| History::before(engines.clickhouse));
        let clickhouse = history.as_ref().map_or(engines.clickhouse, |history| history.port);
        let mut forecourt = Instance::among(&engines, folder.path(), PREFIX, Servers { mqtt, clickhouse });
        forecourt.launch();
        forecourt.wait_ready();
        let mut stage = Self {
            load: None,
            gauges: None,
            forecourt,
            mosquitto,
            engines,
            network,
            history,
            disk,
            folder,
            name: plan.name,
            faults: BTreeMap::new(),
            remarks: Vec::new(),
            wrong: Vec::new(),
            revived: 0,
        };
        let load = stage.reach().load(&Amount { transactions_per_s: TRANSACTIONS_PER_S, seconds: plan.seconds });
        let count = GAUGES.to_string();
        let more: Vec<&str> = ["--gauges", &count].into_iter().chain(plan.gauges.iter().copied()).collect();
        let gauges = stage.reach().gauges(plan.seconds, &more);
        (stage.load, stage.gauges) = (Some(load), Some(gauges));
        // Before the first fault everything works, to the last row.
        let rows = format!("SELECT count() FROM {PREFIX}.ledger_facts");
        eventually("purchases become rows", Duration::from_secs(60), || {
            stage.forecourt.clickhouse(&rows).parse::<u64>().is_ok_and(|count| count > 1_500).then_some(())
        });
        Ok(stage)
    }

    fn reach(&self) -> Reach<'_> {
        Reach { engines: &self.engines, forecourt: &self.forecourt, prefix: PREFIX, folder: self.folder.path() }
    }

    /// A second Forecourt under the same names, not started.
    pub(crate) fn twin(&self) -> Instance {
        let servers = Servers { mqtt: self.mosquitto.port, clickhouse: self.engines.clickhouse };
        Instance::among(&self.engines, self.folder.path(), PREFIX, servers)
    }

    /// Counts a fault.
    pub(crate) fn fault(&mut self, what: &str) {
        *self.faults.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn remark(&mut self, what: String) {
        println!("  {what}");
        self.remarks.push(what);
    }

    /// For so long, whoever ends by itself is started again, as a service manager does, and what it said last is noted.
    pub(crate) fn watch(&mut self, time: Duration) {
        let until = std::time::Instant::now() + time;
        loop {
            self.revive();
            if std::time::Instant::now() >= until {
                return;
            }
            std::thread::sleep(WATCH);
        }
    }

    fn revive(&mut self) {
        let mut said = Vec::new();
        for (who, instance) in [("the engines' host", &mut self.engines), ("Forecourt", &mut self.forecourt)] {
            if let Some(status) = instance.ended() {
                let last = instance.log_tail().lines().last().unwrap_or_default().to_owned();
                said.push(format!("{who} ended by itself ({status}) and was started again: {last}"));
                instance.launch();
            }
        }
        for what in said {
            self.revived += 1;
            self.remark(what);
        }
    }

    /// Waits until the load is over and all are up again, then judges.
    pub(crate) fn judge(self) -> Row {
        self.judge_with_readings_lost(0)
    }

    /// As [`Self::judge`], where the broker itself may have lost so many readings after it acknowledged them.
    pub(crate) fn judge_with_readings_lost(mut self, by_the_broker_max: u64) -> Row {
        let mut wrong = std::mem::take(&mut self.wrong);
        eventually("the load ends", Duration::from_secs(900), || {
            self.revive();
            std::thread::sleep(WATCH);
            (!self.load.as_mut().is_some_and(Client::runs) && !self.gauges.as_mut().is_some_and(Client::runs))
                .then_some(())
        });
        self.engines.wait_ready();
        self.forecourt.wait_ready();
        for (who, client) in [("load", self.load.take()), ("gauges", self.gauges.take())] {
            match client.map(Client::finish) {
                Some(Err(said)) => wrong.push(format!("the {who} found something wrong: {said}")),
                Some(Ok(said)) if who == "gauges" => self.remark(said.trim().to_owned()),
                _ => {}
            }
        }
        let verdict = self.reach().verify();
        let lost = verdict.figures["readings_missing"].as_u64().unwrap_or(0);
        let nothing_else = verdict.figures["violations"].as_object().is_some_and(|kinds| kinds.len() == 1);
        if !verdict.good && nothing_else && (1..=by_the_broker_max).contains(&lost) {
            self.remark(format!("{lost} readings are the broker's loss: it had acknowledged, and not saved them"));
        } else if !verdict.good {
            wrong.push(verdict.said.clone());
        }
        let listed: Vec<String> = self.faults.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        Row {
            scene: self.name.to_owned(),
            faults: listed.join(", "),
            figures: verdict.figures,
            longest_silence: self.reach().longest_silence(),
            remarks: std::mem::take(&mut self.remarks),
            wrong,
        }
    }
}

impl Drop for Stage {
    /// The folder goes; what was said stays.
    fn drop(&mut self) {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos").join(self.name);
        let _ = std::fs::remove_dir_all(&kept);
        let _ = std::fs::create_dir_all(&kept);
        for folder in [self.folder.path().to_owned(), self.folder.path().join("data/logs")] {
            for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = file.file_name();
                if [".log", ".json"].iter().any(|end| name.to_string_lossy().ends_with(end)) {
                    let _ = std::fs::copy(file.path(), kept.join(name));
                }
            }
        }
    }
}

/// SIGSTOP for so long.
pub(crate) fn pause(pid: u32, time: Duration) {
    signal(pid, "STOP");
    std::thread::sleep(time);
    signal(pid, "CONT");
}

pub(crate) fn signal(pid: u32, name: &str) {
    let output = run("kill", &[&format!("-{name}"), &pid.to_string()]);
    assert!(output.status.success(), "kill -{name}: {}", String::from_utf8_lossy(&output.stderr));
}
