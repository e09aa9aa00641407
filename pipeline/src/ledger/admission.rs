//! What stands against a purchase before limits are looked at.
//!
//! In: a transaction that asks, its card and contract. Out: the first obstacle in the order of the checks, or none. Guarantees:
//! a card with nothing special costs a few comparisons. Does not: count, or look at money.

use model::{
    Block, CardKind, Closure, Code, Device, Entry, MICROS_PER_MINUTE, Malformed, Note, Policy, Prompt, Restriction,
    RestrictionList, RestrictionRule, TimestampUs, TransactionKind,
};

use super::calendar;
use super::decide::{Case, Refusal, driver_named};
use super::lines::{Line, NO_CODE, Selector};
use super::state::{NONE, Rules};

impl Case<'_> {
    /// Checks that need no lines: contract, card, clock.
    pub(super) fn standing_obstacle(&self) -> Option<Refusal> {
        self.contract_obstacle().or_else(|| self.card_obstacle()).or_else(|| self.clock_obstacle())
    }

    fn contract_obstacle(&self) -> Option<Refusal> {
        let contract = self.contract;
        if let Some(block) = block_at(&contract.blocks, self.at) {
            let Block { actor, reason, until_us } = block.clone();
            return Some(Refusal::decline(Code::ContractBlocked, Note::ContractBlocked { actor, reason, until_us }));
        }
        term_obstacle(
            self.at,
            contract.valid_from_us,
            contract.valid_to_us,
            Code::ContractNotYet,
            Code::ContractExpired,
        )
    }

    pub(super) fn card_obstacle(&self) -> Option<Refusal> {
        if self.card.plain {
            return None;
        }
        let face = &self.card.face;
        if let Some(closure) = face.closure {
            let code = match closure {
                Closure::Lost => Code::CardLost,
                Closure::Stolen => Code::CardStolen,
                Closure::Returned => Code::CardClosed,
            };
            return Some(Refusal::decline(code, Note::CardClosed(closure)));
        }
        if let Some(block) = face.block_at(self.at) {
            let Block { actor, reason, until_us } = block.clone();
            return Some(Refusal::decline(Code::CardBlocked, Note::CardBlocked { actor, reason, until_us }));
        }
        term_obstacle(self.at, face.valid_from_us, face.valid_to_us, Code::CardNotYet, Code::CardExpired)
    }

    fn clock_obstacle(&self) -> Option<Refusal> {
        let off = self.clock_off()?;
        Some(Refusal::decline(Code::FmtClock, Note::ClockOff { hours: off }))
    }

    /// Hours by which a terminal's clock that is not believed is ahead of ours.
    fn clock_off(&self) -> Option<i64> {
        (!self.config.believes(self.moment)).then(|| self.clock_ahead_hours())
    }

    /// The same for what was sold before: it may come late.
    pub(super) fn posting_clock_off(&self) -> Option<i64> {
        (!self.config.believes_late(self.moment)).then(|| self.clock_ahead_hours())
    }

    fn clock_ahead_hours(&self) -> i64 {
        (self.moment.at.get() - self.moment.received_at.get()) / (60 * MICROS_PER_MINUTE)
    }

    /// Checks of a purchase whose lines are known: means, PIN, prompts, restrictions, vehicle.
    pub(super) fn purchase_obstacle(&self, lines: &[Line]) -> Option<Refusal> {
        if !self.card.plain
            && let Some(refusal) = self.means_obstacle().or_else(|| self.pin_lock_obstacle())
        {
            return Some(refusal);
        }
        self.pin_obstacle()
            .or_else(|| self.prompt_obstacle())
            .or_else(|| self.restriction_obstacle(lines))
            .or_else(|| self.vehicle_obstacle(lines))
    }

    fn means_obstacle(&self) -> Option<Refusal> {
        let transaction = self.transaction;
        let mobile = transaction.entry == Some(Entry::Qr) || transaction.device == Some(Device::Mobile);
        (self.card.face.kind == CardKind::Virtual && !mobile).then(|| Refusal::bare(Code::EntryMethod))
    }

    fn pin_lock_obstacle(&self) -> Option<Refusal> {
        let until = self.card.face.pin_locked_until_us;
        (self.at.get() < until)
            .then(|| Refusal::decline(Code::PinLocked, Note::PinLockedUntil(TimestampUs::from_micros(until))))
    }

    fn pin_obstacle(&self) -> Option<Refusal> {
        match self.transaction.pin {
            None => {
                let required = self.policy().is_some_and(|policy| policy.pin_required);
                (required && self.transaction.kind != TransactionKind::DryRun).then(|| Refusal::bare(Code::PinRequired))
            }
            Some(pin) if pin.verified => None,
            Some(_) => {
                let face = &self.card.face;
                // Tries before a lock that has run out are forgotten.
                let before = if face.pin_locked_until_us == i64::MIN { face.pin_tries } else { 0 };
                let left = self.config.pin_tries_max.saturating_sub(before.saturating_add(1));
                Some(Refusal::decline(Code::PinWrong, Note::PinTriesLeft(left)))
            }
        }
    }

    /// The card's policy, else its group's, else the contract's.
    pub(super) fn policy(&self) -> Option<&Policy> {
        let group = || self.contract.group(self.card.group).and_then(|group| group.rules.policy());
        self.card.rules.policy().or_else(group).or_else(|| self.contract.rules.policy())
    }

    fn prompt_obstacle(&self) -> Option<Refusal> {
        let policy = self.policy();
        if let Some(policy) = policy
            && self.transaction.kind != TransactionKind::DryRun
        {
            let missing: Vec<Prompt> =
                policy.prompts.iter().copied().filter(|prompt| !self.answered(*prompt)).collect();
            if !missing.is_empty() {
                return Some(Refusal::reprompt(Code::PromptMissing, Note::PromptsMissing(missing)));
            }
        }
        let asked = |prompt| policy.is_some_and(|policy| policy.prompts.contains(&prompt));
        if let Some(prompt) = self.invalid_prompt(&asked) {
            return Some(Refusal::reprompt(Code::PromptInvalid, Note::PromptInvalid(prompt)));
        }
        let (least, most) = policy?.odometer_growth?;
        let (given, last) = (self.transaction.prompts.odometer?, self.card.odometer?);
        let (least, most) = (last.saturating_add(least), last.saturating_add(most));
        (given < least || given > most)
            .then(|| Refusal::reprompt(Code::OdometerRange, Note::Odometer { given, least, most }))
    }

    fn answered(&self, prompt: Prompt) -> bool {
        let prompts = &self.transaction.prompts;
        match prompt {
            Prompt::Driver => driver_named(self.transaction).is_some(),
            Prompt::Vehicle => prompts.vehicle.is_some(),
            Prompt::Odometer => prompts.odometer.is_some(),
            Prompt::EngineHours => prompts.engine_hours.is_some(),
            Prompt::Trip => prompts.trip.is_some(),
            Prompt::Trailer => prompts.trailer.is_some(),
        }
    }

    fn invalid_prompt(&self, asked: &dyn Fn(Prompt) -> bool) -> Option<Prompt> {
        if let Some(named) = driver_named(self.transaction) {
            let known = self.contract.driver(self.driver).filter(|driver| driver.party.id.as_str() == named);
            match known {
                Some(driver) if driver.party.blocked => return Some(Prompt::Driver),
                None if asked(Prompt::Driver) => return Some(Prompt::Driver),
                _ => {}
            }
        }
        if let Some(named) = &self.transaction.prompts.vehicle
            && asked(Prompt::Vehicle)
        {
            let known = self.contract.vehicle(self.vehicle).filter(|vehicle| vehicle.party.id.as_str() == named);
            return known.is_none().then_some(Prompt::Vehicle);
        }
        None
    }

    fn restriction_obstacle(&self, lines: &[Line]) -> Option<Refusal> {
        let contract = self.contract;
        let own = [&self.card.rules, &contract.rules];
        let parties = contract.parties.as_ref().map(|_| {
            [
                contract.driver(self.driver).map(|party| &party.rules),
                contract.vehicle(self.vehicle).map(|party| &party.rules),
                contract.group(self.card.group).map(|party| &party.rules),
            ]
        });
        let scopes: [Option<&Rules>; 5] = match parties {
            None => [Some(own[0]), Some(own[1]), None, None, None],
            Some([driver, vehicle, group]) => [Some(own[0]), driver, vehicle, group, Some(own[1])],
        };
        let mut restrictions = scopes.into_iter().flatten().flat_map(Rules::restrictions).peekable();
        restrictions.peek()?;
        // How, where, when, what: the first kind that forbids is told, in whatever order restrictions were set.
        let mut forbidding: Option<(u8, &Restriction)> = None;
        for restriction in restrictions {
            let rank = rank(restriction);
            if forbidding.is_none_or(|(least, _)| rank < least) && self.restricted(restriction, lines).is_some() {
                forbidding = Some((rank, restriction));
            }
        }
        forbidding.and_then(|(_, restriction)| self.restricted(restriction, lines))
    }

    fn restricted(&self, restriction: &Restriction, lines: &[Line]) -> Option<Refusal> {
        let transaction = self.transaction;
        let refusal = |code| {
            let mut refusal = Refusal::decline(code, Note::Restricted(restriction.id.clone()));
            if code == Code::Product {
                let forbidden = lines.iter().position(|line| !self.product_passes(restriction, line));
                let item = forbidden.and_then(|place| transaction.items.get(place));
                refusal.notes.extend(item.map(|item| Note::Product(item.code.clone())));
            }
            Some(refusal)
        };
        let allow = restriction.rule == RestrictionRule::Allow;
        let (listed, code) = match &restriction.of {
            RestrictionList::Products(_) => {
                return if lines.iter().all(|line| self.product_passes(restriction, line)) {
                    None
                } else {
                    refusal(Code::Product)
                };
            }
            RestrictionList::Sites(sites) => (Some(sites.contains(&transaction.site)), Code::Site),
            RestrictionList::Regions(regions) => {
                (transaction.region.as_ref().map(|region| regions.contains(region)), Code::Site)
            }
            RestrictionList::Countries(countries) => {
                (transaction.country.map(|country| countries.contains(&country)), Code::Site)
            }
            RestrictionList::Entries(entries) => {
                (transaction.entry.map(|entry| entries.contains(&entry)), Code::EntryMethod)
            }
            RestrictionList::Hours(hours) => {
                let holidays = &self.contract.holidays;
                (Some(hours.iter().any(|hours| calendar::covers(hours, holidays, self.local))), Code::Time)
            }
        };
        // What the terminal did not say cannot be allowed.
        if listed == Some(allow) { None } else { refusal(code) }
    }

    fn product_passes(&self, restriction: &Restriction, line: &Line) -> bool {
        let RestrictionList::Products(products) = &restriction.of else { return true };
        let listed = products.iter().any(|product| self.selector(product).matches(line));
        listed == (restriction.rule == RestrictionRule::Allow)
    }

    fn selector(&self, selector: &model::ProductSelector) -> Selector {
        match selector {
            model::ProductSelector::All => Selector::All,
            model::ProductSelector::Group(group) => Selector::Group(self.tables.code(group)),
            model::ProductSelector::Product(code) => Selector::Product(self.tables.code(code)),
        }
    }

    fn vehicle_obstacle(&self, lines: &[Line]) -> Option<Refusal> {
        if self.vehicle == NONE {
            return None;
        }
        let vehicle = &self.contract.vehicle(self.vehicle)?.party;
        let fuel = |line: &&Line| !line.counted_in_pieces;
        if let Some(own) = &vehicle.fuel {
            let own = self.selector(own);
            let named = !matches!(own, Selector::Group(NO_CODE) | Selector::Product(NO_CODE));
            let wrong = lines.iter().position(|line| !(line.counted_in_pieces || named && own.matches(line)));
            if let Some(item) = wrong.and_then(|place| self.transaction.items.get(place)) {
                return Some(Refusal::decline(Code::Product, Note::Product(item.code.clone())));
            }
        }
        let tank_ml = vehicle.tank_ml?;
        let asked = lines.iter().filter(fuel).fold(0_i64, |sum, line| sum.saturating_add(line.ml));
        let tolerance = 100 + i128::from(self.config.tank_tolerance_percent);
        (i128::from(asked) * 100 > i128::from(tank_ml.get()) * tolerance)
            .then(|| Refusal::decline(Code::TankCapacity, Note::TankCapacity { vehicle: vehicle.id.clone(), tank_ml }))
    }

    /// Every purchase names what it refers to.
    pub(super) fn no_original() -> Refusal {
        Refusal::decline(Code::FmtInvalid, Note::Malformed(Malformed::NoOriginal))
    }
}

/// The order in which kinds of restrictions are told.
fn rank(restriction: &Restriction) -> u8 {
    match &restriction.of {
        RestrictionList::Entries(_) => 0,
        RestrictionList::Sites(_) => 1,
        RestrictionList::Regions(_) => 2,
        RestrictionList::Countries(_) => 3,
        RestrictionList::Hours(_) => 4,
        RestrictionList::Products(_) => 5,
    }
}

/// The block that stands at a moment.
fn block_at(blocks: &[Block], at: TimestampUs) -> Option<&Block> {
    blocks.iter().find(|block| block.until_us.is_none_or(|until| at < until))
}

fn term_obstacle(at: TimestampUs, from_us: i64, to_us: i64, early: Code, late: Code) -> Option<Refusal> {
    if at.get() < from_us {
        return Some(Refusal::decline(early, Note::ValidFrom(TimestampUs::from_micros(from_us))));
    }
    (at.get() >= to_us).then(|| Refusal::decline(late, Note::ValidTo(TimestampUs::from_micros(to_us))))
}
