//! The money side of a contract: what was paid in and whether the bank has shown it, who has blocked the contract.
//!
//! In: facts of one contract. Out: the last top-ups with their state, blocks by actor. Guarantees: bounded; a register line
//! that comes again changes nothing.

use std::collections::VecDeque;

use model::{Actor, Block, Fact, MinorUnits, Payer, RegisterLine, RegisterOutcome, TimestampUs, TopUpState};
use serde::{Deserialize, Serialize};

/// Top-ups and unknown register lines kept for each contract.
pub(crate) const TOP_UPS_MAX: usize = 20;

/// Money that was paid in, or that the register shows and nobody knows.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopUp {
    pub(crate) at: TimestampUs,
    pub(crate) reference: String,
    /// Absent for a register line without a top-up.
    pub(crate) amount: Option<MinorUnits>,
    pub(crate) payer: Option<String>,
    /// Absent for a register line without a top-up.
    pub(crate) state: Option<TopUpState>,
    /// What the bank's register says, and of which day.
    pub(crate) register: Option<(jiff::civil::Date, MinorUnits)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Payments {
    /// Oldest first.
    top_ups: VecDeque<TopUp>,
    blocks: Vec<Block>,
}

impl Payments {
    pub(crate) fn apply(&mut self, at: TimestampUs, fact: &Fact) {
        match fact {
            Fact::ToppedUp { amount_minor, reference, payer } => self.add(TopUp {
                at,
                reference: reference.clone(),
                amount: Some(*amount_minor),
                payer: payer.as_ref().and_then(name),
                state: Some(TopUpState::Credited),
                register: None,
            }),
            Fact::RegisterMatched { line, outcome, credited_minor: _ } => self.matched(at, line, *outcome),
            Fact::RegisterMissing { reference, amount_minor: _ } => {
                if let Some(top_up) = self.find(reference) {
                    top_up.state = Some(TopUpState::RegisterMissing);
                }
            }
            Fact::ContractBlocked(block) => {
                self.blocks.retain(|known| known.actor != block.actor);
                self.blocks.push(block.clone());
            }
            Fact::ContractUnblocked { actor } => self.blocks.retain(|known| known.actor != *actor),
            _ => {}
        }
    }

    fn matched(&mut self, at: TimestampUs, line: &RegisterLine, outcome: RegisterOutcome) {
        let register = Some((line.date, line.amount_minor));
        let state = match outcome {
            RegisterOutcome::Matched => TopUpState::RegisterMatched,
            RegisterOutcome::AmountDiffers => TopUpState::AmountDiffers,
            RegisterOutcome::UnknownPayer => {
                let (reference, payer) = (line.reference.clone(), name(&line.payer));
                self.add(TopUp { at, reference, amount: None, payer, state: None, register });
                return;
            }
            RegisterOutcome::Repeated => return,
        };
        if let Some(top_up) = self.find(&line.reference) {
            (top_up.state, top_up.register) = (Some(state), register);
        }
    }

    fn add(&mut self, top_up: TopUp) {
        if self.top_ups.len() == TOP_UPS_MAX {
            self.top_ups.pop_front();
        }
        self.top_ups.push_back(top_up);
    }

    /// The latest top-up with this reference; `None` when it is too long ago to be here.
    fn find(&mut self, reference: &str) -> Option<&mut TopUp> {
        self.top_ups.iter_mut().rev().find(|top_up| top_up.amount.is_some() && top_up.reference == reference)
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &TopUp> {
        self.top_ups.iter().rev()
    }

    /// The block that stands at `now`, the issuer's before the client's.
    pub(crate) fn block(&self, now: TimestampUs) -> Option<&Block> {
        let stands = |block: &&Block| block.until_us.is_none_or(|until| until > now);
        let rank = |block: &&Block| match block.actor {
            Actor::IssuerCredit => 0,
            Actor::IssuerRisk => 1,
            Actor::System => 2,
            Actor::Client => 3,
        };
        self.blocks.iter().filter(stands).min_by_key(rank)
    }
}

fn name(payer: &Payer) -> Option<String> {
    payer.name.clone().or_else(|| payer.tax_id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(facts: &str, shown: &str) {
        let facts: Vec<Fact> = serde_json::from_str(facts).expect("facts");
        let mut payments = Payments::default();
        for (at, fact) in (1..).zip(&facts) {
            payments.apply(TimestampUs::from_micros(at), fact);
        }
        let lines = payments.newest_first().map(|top_up| {
            let minor = |amount: MinorUnits| amount.get().to_string();
            let amount = top_up.amount.map_or("-".to_owned(), minor);
            let register = top_up.register.map_or("-".to_owned(), |(date, amount)| format!("{date} {}", minor(amount)));
            format!("{} {amount} {:?} {register}", top_up.reference, top_up.state)
        });
        let blocked = payments.block(TimestampUs::from_micros(50)).map(|block| format!("blocked by {:?}", block.actor));
        assert_eq!(lines.chain(blocked).collect::<Vec<_>>().join("; "), shown);
    }

    fn line(reference: &str, minor: i64, outcome: &str) -> String {
        format!(
            r#"{{"register_matched":{{"line":{{"date":"2026-01-15","reference":"{reference}","amount_minor":{minor}}},"outcome":"{outcome}"}}}}"#
        )
    }

    #[test]
    fn a_top_up_follows_the_banks_register() {
        let paid = |reference: &str| format!(r#"{{"topped_up":{{"amount_minor":500,"reference":"{reference}"}}}}"#);
        check(
            &format!(
                r#"[{},{},{},{},{},{},{},{},{{"register_missing":{{"reference":"D","amount_minor":500}}}}]"#,
                paid("A"),
                paid("B"),
                paid("C"),
                paid("D"),
                line("A", 500, "matched"),
                line("A", 500, "repeated"),
                line("B", 450, "amount_differs"),
                line("Z", 70, "unknown_payer"),
            ),
            "Z - None 2026-01-15 70; D 500 Some(RegisterMissing) -; C 500 Some(Credited) -; \
             B 500 Some(AmountDiffers) 2026-01-15 450; A 500 Some(RegisterMatched) 2026-01-15 500",
        );
    }

    #[test]
    fn a_contract_is_blocked_until_everyone_who_blocked_it_lets_go() {
        let by = |actor: &str| format!(r#"{{"contract_blocked":{{"actor":"{actor}","reason":"x"}}}}"#);
        check(&format!("[{},{}]", by("client"), by("issuer_credit")), "blocked by IssuerCredit");
        let lifted = r#"{"contract_unblocked":{"actor":"issuer_credit"}}"#;
        check(&format!("[{},{},{lifted}]", by("client"), by("issuer_credit")), "blocked by Client");
        check(r#"[{"contract_blocked":{"actor":"client","reason":"x","until_us":40}}]"#, "");
    }

    #[test]
    fn top_ups_are_bounded() {
        let mut payments = Payments::default();
        for number in 0..3 * TOP_UPS_MAX {
            let fact = Fact::ToppedUp { amount_minor: MinorUnits::ZERO, reference: number.to_string(), payer: None };
            payments.apply(TimestampUs::default(), &fact);
        }
        assert_eq!(payments.newest_first().count(), TOP_UPS_MAX);
        assert_eq!(payments.newest_first().next().map(|top_up| top_up.reference.as_str()), Some("59"));
    }
}
