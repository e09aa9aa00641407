//! An answer as words, so that the oracle's and the engine's can be held against each other line by line.

use std::collections::BTreeMap;
use std::fmt::Debug;

use model::{Balance, Code, Fact, Note, Outcome, TransactionKind, Verdict, Window};

use crate::book::{Contract, KeptLimit, Line, Sums};

/// What is said about a request, by subject. The oracle leaves out what it has no opinion on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer(pub(crate) BTreeMap<String, String>);

impl Answer {
    pub(crate) fn of_contract(contract: &Contract) -> Self {
        let mut answer = Self::default();
        answer.say("balance before", balance_words(contract.sums(), contract.credit));
        answer
    }

    pub(crate) fn say(&mut self, subject: &str, words: String) {
        self.0.insert(subject.to_owned(), words);
    }

    pub(crate) fn decide(&mut self, verdict: Verdict, code: Code, lines: &[Line]) {
        self.say("verdict", format!("{verdict:?}"));
        self.say("code", format!("{code:?}"));
        let words =
            lines.iter().map(|line| line_words((line.item, &line.code), (line.ml, line.pieces), (line.net, line.off)));
        self.say("allowed", words.collect::<Vec<_>>().join(", "));
    }

    pub(crate) fn headroom(&mut self, contract: &Contract, (kept, at): (&KeptLimit, i64), used: i64, held: i64) {
        self.headroom_of(contract, (kept, at), kept.limit.value, used, held);
    }

    /// No limit applies, unless one is told of later.
    pub(crate) fn limits(&mut self) {
        self.say("limits", String::new());
    }

    /// A limit of which not all may count: `value` is what does.
    pub(crate) fn headroom_of(
        &mut self,
        contract: &Contract,
        (kept, at): (&KeptLimit, i64),
        value: i64,
        used: i64,
        held: i64,
    ) {
        let period = match kept.limit.window {
            Window::Calendar { unit, count } => Some(contract.calendar.number(unit, count, at)),
            Window::Rolling { .. } => Some(at),
            Window::PerTransaction | Window::Lifetime | Window::OneOff => None,
        };
        if let Some(period) = period {
            self.say(&format!("period of {}", kept.limit.id), period.to_string());
        }
        self.add_limit(kept.limit.id.as_str());
        let left = value - used - held;
        self.say(&format!("limit {}", kept.limit.id), limit_words(value, used, held, left));
    }

    /// The limits that applied, in order.
    fn add_limit(&mut self, name: &str) {
        let limits = self.0.entry("limits".into()).or_default();
        if !limits.is_empty() {
            limits.push(' ');
        }
        limits.push_str(name);
    }

    pub(crate) fn binding(&mut self, name: Option<&str>) {
        self.say("binding", name.unwrap_or("none").into());
    }

    pub(crate) fn over(&mut self, name: &str, beyond: i64) {
        self.say(&format!("over {name}"), beyond.to_string());
    }

    pub(crate) fn after(&mut self, contract: &Contract) {
        self.say("balance after", balance_words(contract.sums(), contract.credit));
    }

    /// What of `other` this contradicts: subject, this, other.
    pub(crate) fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let missing = || "nothing".to_owned();
        let mut differences: Vec<_> = self
            .0
            .iter()
            .map(|(subject, words)| (subject.clone(), words.clone(), other.0.get(subject).cloned()))
            .map(|(subject, words, other)| (subject, words, other.unwrap_or_else(missing)))
            .filter(|(_, words, other)| words != other)
            .collect();
        // Whoever names the limits names all that went over, and nothing else.
        if self.0.contains_key("limits") {
            let unexpected =
                other.0.iter().filter(|(subject, _)| subject.starts_with("over ") && !self.0.contains_key(*subject));
            differences.extend(unexpected.map(|(subject, words)| (subject.clone(), missing(), words.clone())));
        }
        differences
    }

    /// The engine's words.
    pub(crate) fn of_outcome(outcome: &Outcome) -> Self {
        let mut answer = Self::default();
        if let Some(balance) = &outcome.balance {
            answer.say("balance after", balance_of(balance));
        }
        answer.say("refused", "no".into());
        let mut expired = Vec::new();
        let mut fees = Vec::new();
        let (mut low, mut marks) = (Vec::new(), Vec::new());
        for fact in &outcome.facts {
            match fact {
                Fact::CommandRefused { code, .. } => answer.say("refused", format!("{code:?}")),
                Fact::LimitLow { limit, .. } => low.push(limit.as_str()),
                Fact::CreditLineUsed { percent } => marks.push(percent.to_string()),
                Fact::HoldExpired { auth_code, .. } => expired.push(auth_code.to_string()),
                Fact::FeeCharged { month, amount_minor, name } => {
                    fees.push(format!("{name} {month} {}", amount_minor.get()));
                }
                Fact::Decided { decision, kind, .. } => {
                    answer.say("verdict", format!("{:?}", decision.decision));
                    answer.say("code", format!("{:?}", decision.code));
                    let words = decision.allowed.iter().map(|allowed| {
                        let ml = i64::try_from(allowed.qty_ml.get()).unwrap();
                        let money = (allowed.amount_minor.get(), allowed.discount_minor.get());
                        line_words((allowed.item.into(), &allowed.code), (ml, allowed.pieces.into()), money)
                    });
                    answer.say("allowed", words.collect::<Vec<_>>().join(", "));
                    for room in decision.headroom.iter().filter(|room| room.limit != "balance") {
                        answer.add_limit(&room.limit);
                        answer.say(&format!("period of {}", room.limit), room.period.to_string());
                        let words = limit_words(room.limit_value, room.used, room.held, room.left);
                        answer.say(&format!("limit {}", room.limit), words);
                    }
                    if decision.headroom.iter().all(|room| room.limit == "balance") {
                        answer.limits();
                    }
                    let binding = decision.binding.as_ref().map(|room| room.limit.as_str());
                    answer.binding(binding);
                    for note in &decision.notes {
                        if let Note::Over { limit, beyond, .. } = note {
                            answer.over(limit, *beyond);
                        }
                    }
                    if let Some(balance) = &decision.balance {
                        answer.say("balance before", balance_of(balance));
                    }
                    if *kind == TransactionKind::Preauth || *kind == TransactionKind::Incremental {
                        answer.say(
                            "hold",
                            hold_words(
                                decision
                                    .hold
                                    .map(|hold| (hold.qty_ml.get(), hold.amount_minor.get(), hold.expires_at_us.get())),
                            ),
                        );
                    }
                }
                _ => {}
            }
        }
        answer.say("expired", expired.join(" "));
        answer.say("low", low.join(" "));
        answer.say("credit marks", marks.join(" "));
        answer.say("fees", fees.join(", "));
        answer
    }
}

pub(crate) fn hold_words(hold: Option<(u64, i64, i64)>) -> String {
    hold.map_or("none".into(), |(ml, minor, until)| format!("{ml} ml, {minor} minor, until {until}"))
}

fn line_words((item, code): (usize, &dyn Debug), (ml, pieces): (i64, i64), (net, off): (i64, i64)) -> String {
    format!("{item}: {code:?} {ml} ml {pieces} pcs for {net} less {off}")
}

fn limit_words(value: i64, used: i64, held: i64, left: i64) -> String {
    format!("value {value}, used {used}, held {held}, left {left}")
}

fn balance_of(balance: &Balance) -> String {
    let Balance { own, credit, held, unbilled, available, .. } = *balance;
    let sums = Sums { own: own.get(), held: held.get(), unbilled: unbilled.get(), available: available.get() };
    balance_words(sums, credit.get())
}

fn balance_words(sums: Sums, credit: i64) -> String {
    let Sums { own, held, unbilled, available } = sums;
    format!("own {own} + credit {credit} - held {held} - unbilled {unbilled} = {available}")
}
