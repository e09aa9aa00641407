//! A second, plain set of books: what each contract's money must be after the facts so far.
//!
//! Guarantees: every balance that an outcome states equals the sum of the facts before it. Knows nothing of the engine.

use std::collections::BTreeMap;

use model::{AuthCode, ContractId, Fact, Outcome};

#[derive(Default)]
pub(crate) struct Books(BTreeMap<ContractId, Account>);

#[derive(Default)]
struct Account {
    own: i64,
    credit: i64,
    unbilled: i64,
    holds: BTreeMap<AuthCode, i64>,
}

impl Books {
    /// Enters an outcome; `Err` when the money it states is not what the books say.
    pub(crate) fn enter(&mut self, outcome: &Outcome) -> Result<(), String> {
        let Some(contract) = &outcome.contract else { return Ok(()) };
        let account = self.0.entry(contract.clone()).or_default();
        for fact in &outcome.facts {
            account.enter(fact);
        }
        let Some(stated) = outcome.balance else { return Ok(()) };
        let held: i64 = account.holds.values().sum();
        let available = account.own + account.credit - held - account.unbilled;
        let books = [account.own, account.credit, held, account.unbilled, available];
        let stated = [stated.own, stated.credit, stated.held, stated.unbilled, stated.available].map(|part| part.get());
        if stated == books {
            return Ok(());
        }
        Err(format!("own, credit, held, unbilled, available of {contract} are {books:?}; the outcome says {stated:?}"))
    }
}

impl Account {
    fn enter(&mut self, fact: &Fact) {
        match fact {
            Fact::ToppedUp { amount_minor, .. } | Fact::Adjusted { amount_minor, .. } => self.own += amount_minor.get(),
            Fact::FeeCharged { amount_minor, .. } => self.own -= amount_minor.get(),
            Fact::Billed { amount_minor, .. } => {
                self.own -= amount_minor.get();
                self.unbilled -= amount_minor.get();
            }
            Fact::CreditLineSet { amount_minor } => self.credit = amount_minor.get(),
            // What more was granted on an open hold comes on top of it.
            Fact::Decided { decision, .. } if !decision.replayed => {
                if let (Some(code), Some(hold)) = (&decision.auth_code, decision.hold) {
                    *self.holds.entry(code.clone()).or_default() += hold.amount_minor.get();
                }
            }
            Fact::Captured { auth_code, amount_minor, .. } => {
                self.holds.remove(auth_code);
                self.unbilled += amount_minor.get();
            }
            Fact::Refunded { amount_minor, .. } | Fact::Voided { amount_minor, .. } => {
                self.unbilled -= amount_minor.get();
            }
            Fact::Reversed { auth_code, .. } | Fact::HoldExpired { auth_code, .. } => {
                self.holds.remove(auth_code);
            }
            _ => {}
        }
    }
}
