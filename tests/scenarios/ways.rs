//! The five ways in which every scenario runs: one worker, three workers, killed halfway and resumed from the ledger,
//! the same from a snapshot and the ledger after it, every message twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::{Balance, Code, ContractId, Decision, Fact, Outcome, Request, RequestBody};
use pipeline::ledger::Config;

use crate::books::Books;
use crate::engine::Engine;
use crate::script::{Scenario, Step};
use crate::setting::Language;
use crate::story::{Happening, Story};
use crate::words::{Labels, Measures, Teller};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    OneWorker,
    ThreeWorkers,
    KilledHalfway,
    ResumedFromSnapshot,
    EveryMessageTwice,
}

impl Way {
    pub(crate) const ALL: [Self; 5] =
        [Self::OneWorker, Self::ThreeWorkers, Self::KilledHalfway, Self::ResumedFromSnapshot, Self::EveryMessageTwice];

    fn workers(self) -> usize {
        if self == Self::ThreeWorkers { 3 } else { 1 }
    }
    /// Contracts share a shard here and are apart there.
    fn partitions(self) -> usize {
        match self {
            Self::OneWorker | Self::EveryMessageTwice => 1,
            Self::ThreeWorkers => 7,
            Self::KilledHalfway | Self::ResumedFromSnapshot => 2,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneWorker => "one worker",
            Self::ThreeWorkers => "three workers",
            Self::KilledHalfway => "killed halfway and resumed",
            Self::ResumedFromSnapshot => "killed halfway and resumed from a snapshot",
            Self::EveryMessageTwice => "every message twice",
        })
    }
}

/// What a run gave, step by step.
#[derive(Default)]
pub(crate) struct Run {
    /// What people read.
    pub(crate) told: Vec<Vec<String>>,
    /// All that the outcomes hold, but for what differs by nature: offsets, origins, authorization codes.
    pub(crate) outcomes: Vec<String>,
    /// The words of the vocabulary that occurred: orders, kinds of messages, codes.
    pub(crate) vocabulary: BTreeSet<String>,
}

pub(crate) struct Failure {
    pub(crate) line: usize,
    pub(crate) what: String,
}

pub(crate) fn run(scenario: &Scenario, way: Way) -> Result<Run, Failure> {
    let mut player = Player::new(way, scenario);
    for (number, step) in scenario.steps().enumerate() {
        player
            .play(number, step)
            .map_err(|what| Failure { line: step.line, what: format!("{}\n{what}", step.text) })?;
    }
    Ok(player.run)
}

struct Player {
    way: Way,
    halfway: usize,
    config: Config,
    languages: Vec<Language>,
    engine: Option<Engine>,
    story: Story,
    labels: Labels,
    books: Books,
    balances: BTreeMap<ContractId, Balance>,
    measures: Measures,
    run: Run,
}

impl Player {
    fn new(way: Way, scenario: &Scenario) -> Self {
        Self {
            way,
            halfway: scenario.steps().count() / 2,
            config: Config { workers: way.workers(), ..Config::default() },
            languages: Vec::new(),
            engine: None,
            story: Story::new(),
            labels: Labels::default(),
            books: Books::default(),
            balances: BTreeMap::new(),
            measures: Measures::new(),
            run: Run::default(),
        }
    }

    fn play(&mut self, number: usize, step: &Step) -> Result<(), String> {
        let (request, name) = match self.story.read(number, &step.text)? {
            Happening::Request(request, name) => (request, name),
            Happening::Nothing => return self.keep(Vec::new(), String::new()),
            Happening::Setting(_) if self.engine.is_some() => return Err("settings come first".into()),
            Happening::Setting(setting) => {
                setting.apply(&mut self.config, &mut self.languages);
                return self.keep(Vec::new(), String::new());
            }
        };
        let (config, partitions) = (&self.config, self.way.partitions());
        let engine = self.engine.get_or_insert_with(|| Engine::start(config.clone(), partitions));
        let request = engine.with_new_origin(&request);
        self.run.vocabulary.insert(match &request.body {
            RequestBody::Transaction(transaction) => word(&transaction.kind),
            RequestBody::Command(message) => word(&message.command),
            RequestBody::Tick(_) => "tick".into(),
        });
        if self.way == Way::ResumedFromSnapshot && number < self.halfway {
            // The last of them may be some records old when the owner dies.
            if number.is_multiple_of(3) {
                engine.take_snapshots()?;
            }
        }
        let killed = matches!(self.way, Way::KilledHalfway | Way::ResumedFromSnapshot);
        if killed && number >= self.halfway && self.halfway > 0 {
            self.halfway = usize::MAX;
            let lost = engine.decide_and_die(&request)?;
            engine.take_over();
            let again = engine.decide(&request)?;
            if lost != again {
                return Err(format!("the next owner decides otherwise:\n{again:?}\nthe one before it:\n{lost:?}"));
            }
            return self.tell(&again, name.as_deref());
        }
        let outcome = engine.decide(&request)?;
        if self.way == Way::EveryMessageTwice {
            twice(engine, &request, &outcome)?;
        }
        self.tell(&outcome, name.as_deref())
    }

    fn tell(&mut self, outcome: &Outcome, name: Option<&str>) -> Result<(), String> {
        self.books.enter(outcome)?;
        for fact in &outcome.facts {
            self.run.vocabulary.insert(word(fact));
            if let (Fact::LimitSet { limit, .. }, Some(contract)) = (fact, &outcome.contract) {
                self.measures.insert((contract.clone(), limit.id.clone()), limit.measure);
            }
            match fact {
                Fact::Decided { decision, .. } => self.run.vocabulary.insert(word(&decision.code)),
                Fact::CommandRefused { code, .. } => self.run.vocabulary.insert(word(code)),
                _ => false,
            };
        }
        self.labels.learn(outcome);
        self.story.learn(outcome, name);
        let house = self.story.house(outcome.contract.as_ref());
        let told = outcome.contract.as_ref().and_then(|contract| self.balances.get(contract)).copied();
        let teller = Teller { house: &house, languages: &self.languages, told, measures: &self.measures };
        let lines = teller.tell(outcome);
        if let (Some(contract), Some(balance)) = (&outcome.contract, outcome.balance) {
            self.balances.insert(contract.clone(), balance);
        }
        let lines = lines.iter().map(|line| self.labels.replace(line)).collect();
        let mut plain = Outcome { request: 0, origin: None, fingerprint: None, ..outcome.clone() };
        for fact in &mut plain.facts {
            if let Fact::Decided { fingerprint, .. } = fact {
                *fingerprint = 0; // the body of a completion holds its authorization code
            }
        }
        let json = serde_json::to_string(&plain).map_err(|error| error.to_string())?;
        let json = self.labels.replace(&json);
        self.keep(lines, json)
    }

    fn keep(&mut self, lines: Vec<String>, outcome: String) -> Result<(), String> {
        self.run.told.push(lines);
        self.run.outcomes.push(outcome);
        Ok(())
    }
}

/// Sends the request from the same origin again, which changes and answers nothing; and from another origin, which gets
/// the recorded answer.
fn twice(engine: &mut Engine, request: &Request, first: &Outcome) -> Result<(), String> {
    if request.origin.is_some() {
        let repeat = engine.decide(request)?;
        if !repeat.facts.is_empty() {
            return Err(format!("a message that Kafka delivered twice led to {:?}", repeat.facts));
        }
    }
    let request = engine.with_new_origin(request);
    let repeat = engine.decide(&request)?;
    let told = |what: &str| Err(format!("{what} {:?}\nthe first time it led to {:?}", repeat.facts, first.facts));
    match (&request.body, repeat.facts.as_slice()) {
        (RequestBody::Transaction(_), [Fact::Decided { decision: again, .. }]) => {
            let Some(answer) = decision(first) else { return Err("the first time brought no answer".into()) };
            let refused = answer.code == Code::FmtKeyReused;
            if *again == (Decision { replayed: !refused, ..answer.clone() }) {
                Ok(())
            } else {
                told("the recorded answer differs:")
            }
        }
        (RequestBody::Command(_), [Fact::CommandRepeated]) => Ok(()),
        (RequestBody::Command(_), [fact @ Fact::CommandRefused { code: Code::FmtKeyReused, .. }])
            if first.facts.last() == Some(fact) =>
        {
            Ok(())
        }
        (RequestBody::Tick(_), []) => Ok(()),
        _ => told("the same key again led to"),
    }
}

fn decision(outcome: &Outcome) -> Option<&Decision> {
    outcome.facts.iter().find_map(|fact| match fact {
        Fact::Decided { decision, .. } => Some(decision),
        _ => None,
    })
}

/// The name of a variant as it stands in JSON.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    let key = value.as_object().and_then(|fields| fields.keys().next()).map(String::as_str);
    key.or(value.as_str()).unwrap_or_default().to_owned()
}
