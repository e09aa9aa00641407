//! Orders about limits, restrictions, policies, groups, vehicles and drivers.

use model::{
    CalendarUnit, CardToken, Code, Fact, Limit, LimitId, LimitMode, Measure, Policy, ProductSelector, Restriction,
    RestrictionId, RestrictionList, Scope, Window,
};

use super::super::evolve::holder;
use super::super::state::Rules;
use super::super::tables::{Holder, token_hash};
use super::super::usage::ROLLING_SECS_MAX;
use super::{Facts, Order, Refusal, at_most, invalid, not_negative, one, ordered};

/// Settings of limits, old ones included, that a contract may have.
const SETTINGS_MAX: usize = 1_000_000;
/// Limits or restrictions of one scope.
const RULES_MAX: usize = 64;
const PARTIES_MAX: usize = 100_000;
/// Entries of one restriction.
const LIST_MAX: usize = 10_000;

impl Order<'_> {
    pub(super) fn set_limit(&self, limit: Limit) -> Facts {
        not_negative("a limit", limit.value)?;
        self.scope_known(&limit.scope)?;
        ordered(limit.valid_from_us, limit.valid_to_us)?;
        window_fits(&limit)?;
        at_most(self.contract.settings.len(), SETTINGS_MAX, "settings of limits")?;
        if self.contract.setting(&limit.id).is_none() {
            at_most(self.limits_of(&limit.scope), RULES_MAX, "limits of one scope")?;
        }
        let version = self.contract.next_version(&limit.id);
        one(Fact::LimitSet { limit, version })
    }

    fn limits_of(&self, scope: &Scope) -> usize {
        self.rules(scope).map_or(0, |rules| rules.limits.len())
    }

    fn rules(&self, scope: &Scope) -> Option<&Rules> {
        match holder(self.tables, self.ix, scope)? {
            Holder::Contract => Some(&self.contract.rules),
            Holder::Card(card) => self.tables.cards.get(card as usize).map(|card| &card.rules),
            Holder::Group(ix) => self.contract.group(ix).map(|party| &party.rules),
            Holder::Vehicle(ix) => self.contract.vehicle(ix).map(|party| &party.rules),
            Holder::Driver(ix) => self.contract.driver(ix).map(|party| &party.rules),
        }
    }

    pub(super) fn restrict(&self, restriction: &Restriction) -> Facts {
        self.scope_known(&restriction.scope)?;
        let list = match &restriction.of {
            RestrictionList::Products(list) => list.len(),
            RestrictionList::Sites(list) => list.len(),
            RestrictionList::Regions(list) => list.len(),
            RestrictionList::Countries(list) => list.len(),
            RestrictionList::Entries(list) => list.len(),
            RestrictionList::Hours(list) => list.len(),
        };
        at_most(list, LIST_MAX, "entries of a restriction")?;
        let known = self.rules(&restriction.scope).map_or(&[][..], Rules::restrictions);
        let others = known.iter().filter(|known| known.id != restriction.id).count();
        at_most(others, RULES_MAX, "restrictions of one scope")?;
        one(Fact::RestrictionSet(restriction.clone()))
    }

    pub(super) fn unrestrict(&self, restriction: &RestrictionId) -> Facts {
        if !self.has_restriction(restriction) {
            return Err(Refusal(Code::RestrictionUnknown, format!("there is no restriction {restriction}")));
        }
        one(Fact::RestrictionRemoved { restriction: restriction.clone() })
    }

    fn has_restriction(&self, id: &RestrictionId) -> bool {
        let among = |rules: &Rules| rules.restrictions().iter().any(|known| known.id == *id);
        let parties = self.contract.parties.as_deref();
        among(&self.contract.rules)
            || parties.is_some_and(|parties| {
                parties.groups.iter().any(|party| among(&party.rules))
                    || parties.vehicles.iter().any(|party| among(&party.rules))
                    || parties.drivers.iter().any(|party| among(&party.rules))
            })
            || self
                .contract
                .cards
                .iter()
                .filter_map(|card| self.tables.cards.get(*card as usize))
                .any(|card| among(&card.rules))
    }

    pub(super) fn policy(&self, scope: &Scope, policy: Option<&Policy>) -> Facts {
        if matches!(scope, Scope::Vehicle(_) | Scope::Driver(_)) {
            return Err(invalid("a policy belongs to a contract, a group or a card"));
        }
        self.scope_known(scope)?;
        if let Some((least, most)) = policy.and_then(|policy| policy.odometer_growth)
            && least > most
        {
            return Err(invalid("the odometer's least growth is above its greatest"));
        }
        one(Fact::PolicySet { scope: scope.clone(), policy: policy.cloned() })
    }

    /// Another group, vehicle or driver may be put.
    pub(super) fn room_for_a_party(&self) -> Result<(), Refusal> {
        let parties = self.contract.parties.as_deref();
        let len =
            parties.map_or(0, |parties| parties.groups.len().max(parties.vehicles.len()).max(parties.drivers.len()));
        at_most(len, PARTIES_MAX, "groups, vehicles or drivers")
    }

    pub(super) fn current(&self, id: &LimitId) -> Result<Limit, Refusal> {
        let setting = self.contract.setting(id);
        setting
            .map(|setting| setting.limit.clone())
            .ok_or_else(|| Refusal(Code::LimitUnknown, format!("there is no limit {id} in the contract")))
    }

    /// The two daily limits of a card; an absent one is removed where it exists.
    pub(super) fn daily(&self, card: &CardToken, values: (Option<i64>, Option<i64>), replace: bool) -> Facts {
        let kinds = [("daily-volume", Measure::Volume, values.0), ("daily-money", Measure::Money, values.1)];
        let mut facts = Vec::new();
        for (name, measure, value) in kinds {
            let id = daily_id(card, name);
            let known = self.contract.setting(&id).is_some();
            match value {
                Some(value) => {
                    not_negative("a daily limit", value)?;
                    let version = self.contract.next_version(&id);
                    let limit = Limit {
                        id,
                        scope: Scope::Card(card.clone()),
                        product: ProductSelector::All,
                        measure,
                        value,
                        window: Window::Calendar { unit: CalendarUnit::Day, count: 1 },
                        schedule: None,
                        mode: LimitMode::Decline,
                        alert_left: None,
                        valid_from_us: None,
                        valid_to_us: None,
                        offline: false,
                    };
                    facts.push(Fact::LimitSet { limit, version });
                }
                None if replace && known => facts.push(Fact::LimitRemoved { limit: id }),
                None => {}
            }
        }
        Ok(facts)
    }

    pub(super) fn scope_known(&self, scope: &Scope) -> Result<(), Refusal> {
        if holder(self.tables, self.ix, scope).is_some() {
            return Ok(());
        }
        let (code, message) = match scope {
            Scope::Contract => return Ok(()),
            Scope::Card(card) => (Code::CardUnknown, format!("card {card} is not in the contract")),
            Scope::Group(id) => (Code::GroupUnknown, format!("there is no card group {id} in the contract")),
            Scope::Vehicle(id) => (Code::VehicleUnknown, format!("there is no vehicle {id} in the contract")),
            Scope::Driver(id) => (Code::DriverUnknown, format!("there is no driver {id} in the contract")),
        };
        Err(Refusal(code, message))
    }
}

/// The id under which a card's daily limits stand.
fn daily_id(card: &CardToken, name: &str) -> LimitId {
    let plain = LimitId::new(&format!("{card}:{name}"));
    // A token as long as tokens may be leaves no room: its hash stands for it.
    let short = |_| LimitId::new(&format!("{:016x}:{name}", token_hash(card.as_str())));
    plain.or_else(short).expect("digits, letters and a colon make an identifier")
}

fn window_fits(limit: &Limit) -> Result<(), Refusal> {
    let fits = match limit.window {
        Window::Calendar { unit, count } => {
            let most = match unit {
                CalendarUnit::Day => 31,
                CalendarUnit::Week => 4,
                CalendarUnit::Month => 12,
                CalendarUnit::Quarter => 4,
                CalendarUnit::Year => 1,
            };
            (1..=most).contains(&count)
        }
        Window::Rolling { secs } => (60..=ROLLING_SECS_MAX).contains(&secs),
        Window::PerTransaction | Window::Lifetime | Window::OneOff => true,
    };
    if fits { Ok(()) } else { Err(invalid("the window is longer than purchases are remembered, or empty")) }
}
