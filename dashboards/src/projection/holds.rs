//! Open holds: what is reserved and waits for its completion.
//!
//! In: authorizations with a hold, and what ends them. Out: the open holds of a contract or of all, oldest first.
//! Guarantees: a hold is here from its authorization to its end; bounded. Does not: let holds expire: a fact says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use model::{AuthCode, CardToken, Hold, ProductCode, SiteId, TerminalId, TimestampUs, VehicleId};
use serde::{Deserialize, Serialize};

/// Open holds that are remembered; further ones are only counted.
pub(crate) const HOLDS_MAX: usize = 200_000;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OpenHold {
    pub(crate) auth_code: AuthCode,
    /// The contract's place in the list of contracts.
    #[serde(skip)]
    pub(crate) contract: u32,
    pub(crate) at: TimestampUs,
    pub(crate) card: CardToken,
    pub(crate) pan_masked: Option<Arc<str>>,
    pub(crate) vehicle: Option<VehicleId>,
    pub(crate) site: SiteId,
    pub(crate) terminal: TerminalId,
    pub(crate) pump: Option<u16>,
    pub(crate) product: Option<ProductCode>,
    pub(crate) hold: Hold,
}

/// `by_contract` and `by_age` have exactly the holds of `by_code`, by time of authorization.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    by_code: HashMap<AuthCode, OpenHold>,
    by_contract: BTreeMap<u32, BTreeSet<(TimestampUs, AuthCode)>>,
    by_age: BTreeSet<(TimestampUs, AuthCode)>,
    ml: u64,
}

impl Holds {
    /// An authorization reserved something.
    pub(crate) fn open(&mut self, open: OpenHold) {
        self.close(&open.auth_code);
        if self.by_code.len() >= HOLDS_MAX {
            metrics::counter!("forecourt_page_holds_left_out_total").increment(1);
            return;
        }
        self.ml = self.ml.saturating_add(open.hold.qty_ml.get());
        let place = (open.at, open.auth_code.clone());
        self.by_contract.entry(open.contract).or_default().insert(place.clone());
        self.by_age.insert(place);
        self.by_code.insert(open.auth_code.clone(), open);
    }

    /// An incremental authorization reserved more. The age stays.
    pub(crate) fn extend(&mut self, code: &AuthCode, more: Hold) {
        let Some(known) = self.by_code.get_mut(code) else { return };
        let sums = (known.hold.qty_ml.plus(more.qty_ml), known.hold.amount_minor.plus(more.amount_minor));
        if let (Ok(qty_ml), Ok(amount_minor)) = sums {
            self.ml = self.ml.saturating_add(more.qty_ml.get());
            known.hold = Hold { qty_ml, amount_minor, expires_at_us: more.expires_at_us };
        }
    }

    /// It was completed, reversed, released, or has expired. A code without a hold changes nothing.
    pub(crate) fn close(&mut self, code: &AuthCode) {
        if let Some(open) = self.by_code.remove(code) {
            self.ml = self.ml.saturating_sub(open.hold.qty_ml.get());
            let place = (open.at, open.auth_code);
            self.by_age.remove(&place);
            if let Some(of_contract) = self.by_contract.get_mut(&open.contract) {
                of_contract.remove(&place);
                if of_contract.is_empty() {
                    self.by_contract.remove(&open.contract);
                }
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.by_code.len()
    }

    /// Sum of all open holds.
    pub(crate) fn ml(&self) -> u64 {
        self.ml
    }

    pub(crate) fn oldest_at(&self) -> Option<TimestampUs> {
        self.by_age.first().map(|(at, _)| *at)
    }

    /// Of all contracts, oldest first.
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = &OpenHold> {
        self.by_age.iter().filter_map(|(_, code)| self.by_code.get(code))
    }

    /// Of one contract, oldest first.
    pub(crate) fn of(&self, contract: u32) -> impl Iterator<Item = &OpenHold> {
        let of_contract = self.by_contract.get(&contract).into_iter().flatten();
        of_contract.filter_map(|(_, code)| self.by_code.get(code))
    }

    pub(crate) fn count_of(&self, contract: u32) -> usize {
        self.by_contract.get(&contract).map_or(0, BTreeSet::len)
    }
}

#[cfg(test)]
mod tests {
    use model::{Millilitres, MinorUnits};

    use super::*;

    fn hold(code: &str, contract: u32, at: i64, litres: u32) -> OpenHold {
        OpenHold {
            auth_code: AuthCode::new(code).expect("a code"),
            contract,
            at: TimestampUs::from_micros(at),
            card: CardToken::new("K-1").expect("a card"),
            pan_masked: None,
            vehicle: None,
            site: SiteId::new("S-1").expect("a site"),
            terminal: TerminalId::new("T-1").expect("a terminal"),
            pump: None,
            product: None,
            hold: Hold {
                qty_ml: Millilitres::from_litres(litres),
                amount_minor: MinorUnits::ZERO,
                expires_at_us: TimestampUs::from_micros(at + 9),
            },
        }
    }

    fn codes<'a>(holds: impl Iterator<Item = &'a OpenHold>) -> Vec<&'a str> {
        holds.map(|open| open.auth_code.as_str()).collect()
    }

    #[test]
    fn holds_are_listed_oldest_first_until_they_end() {
        let mut holds = Holds::default();
        for (code, contract, at) in [("0-3", 1, 30), ("0-1", 2, 10), ("0-2", 1, 20), ("0-9", 1, 20)] {
            holds.open(hold(code, contract, at, 60));
        }
        assert_eq!(codes(holds.oldest_first()), ["0-1", "0-2", "0-9", "0-3"]);
        assert_eq!(codes(holds.of(1)), ["0-2", "0-9", "0-3"]);
        assert_eq!((holds.count(), holds.ml(), holds.count_of(2), holds.count_of(7)), (4, 240_000, 1, 0));
        for ended in ["0-1", "0-1", "0-2", "none"] {
            holds.close(&AuthCode::new(ended).expect("a code"));
        }
        assert_eq!(codes(holds.oldest_first()), ["0-9", "0-3"]);
        assert_eq!(
            (holds.ml(), holds.oldest_at(), holds.count_of(2)),
            (120_000, Some(TimestampUs::from_micros(20)), 0)
        );
    }

    #[test]
    fn an_increment_adds_to_what_is_reserved_and_leaves_the_age() {
        let mut holds = Holds::default();
        holds.open(hold("0-1", 1, 10, 60));
        let more = hold("0-1", 1, 40, 30);
        holds.extend(&more.auth_code, more.hold);
        assert_eq!((holds.count(), holds.ml(), holds.oldest_at()), (1, 90_000, Some(TimestampUs::from_micros(10))));
        assert_eq!(holds.of(1).next().expect("open").hold.qty_ml, Millilitres::from_litres(90));
        let nobodys = hold("0-2", 1, 40, 30);
        holds.extend(&nobodys.auth_code, nobodys.hold);
        assert_eq!(holds.ml(), 90_000);
    }
}
