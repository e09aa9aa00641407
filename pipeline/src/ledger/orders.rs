//! Orders of the back office: contracts, money, cards, limits, rules; and what time alone brings about.
//!
//! In: an order, or a moment. Out: the facts that carry it out, or the refusal with its reason. Guarantees: no order leaves a
//! contract whose sums could leave their range; a card number never enters the ledger; what a contract may hold has
//! named maxima. Does not: change anything itself.

use jiff::tz::TimeZone;
use model::{
    Actor, AuthCode, CalendarUnit, CardToken, Closure, Code, Command, CommandMessage, Currency, DiscountOff, Fact,
    Limit, LimitId, Measure, MinorUnits, ProductSelector, RegisterLine, RegisterOutcome, Scope, TimestampUs,
    TopUpState, Window,
};

use super::calendar::{self, Zone};
use super::evolve::holder;
use super::state::{Books, Contract, Ix, PurchaseState};
use super::tables::Tables;
use super::usage::ROLLING_SECS_MAX;

/// Longest name, reference, reason or vehicle that is kept, in bytes.
const WORDS_LEN_MAX: usize = 256;
/// Digits of a card number that people may see.
const PAN_DIGITS_MAX: usize = 4;
/// Settings of limits, old ones included, that a contract may have.
const SETTINGS_MAX: usize = 1_000_000;
/// Limits or restrictions of one scope.
const RULES_MAX: usize = 64;
const PARTIES_MAX: usize = 100_000;
const HOLIDAYS_MAX: usize = 1_000;
/// Entries of one restriction.
const LIST_MAX: usize = 10_000;
const DISCOUNTS_MAX: usize = 256;
const TOP_UPS_MAX: usize = 100_000;
const FEES_MAX: usize = 16;
const BASIS_POINTS_MAX: u16 = 10_000;
/// Months whose fees one outcome charges; the rest follow.
pub(super) const FEE_MONTHS_MAX: usize = 24;
/// Holds that one outcome ends: keeps the record small when a contract comes back after a long silence.
const EXPIRIES_MAX: usize = 128;

pub(super) struct Refusal(Code, String);

/// The holds of a contract that have expired by `at`, soonest first: card and authorization.
pub(super) fn expired(contract: &Contract, at: TimestampUs) -> Vec<(Ix, i64)> {
    let mut expired: Vec<_> = contract.open_holds.iter().filter(|(expires_at, ..)| *expires_at <= at.get()).collect();
    expired.sort_unstable();
    expired.into_iter().take(EXPIRIES_MAX).map(|(_, card, auth)| (*card, *auth)).collect()
}

/// The fees of the first month that is due by `at`; called again until there is none.
pub(super) fn fees(tables: &Tables, ix: Ix, at: TimestampUs) -> Option<Vec<Fact>> {
    let contract = tables.contracts.get(ix as usize)?;
    let books = contract.books.as_ref().filter(|books| !books.fees.is_empty() && books.fees_due_us <= at.get())?;
    let zone = tables.zones.get(usize::from(contract.zone))?;
    let first = TimestampUs::from_micros(books.fees_due_us);
    let (year, month, _) = calendar::civil(zone.local(first).day);
    // No fee takes a balance out of its range; what is in the way of that is not charged.
    let mut room = contract.money.own.saturating_add(super::state::MINOR_MAX);
    let mut charge = |fee: &model::MonthlyFee| {
        let charged = fee.amount_minor.get().min(room);
        room -= charged;
        Fact::FeeCharged {
            name: fee.name.clone(),
            month: format!("{year:04}-{month:02}"),
            amount_minor: super::state::minor(charged),
        }
    };
    Some(books.fees.iter().map(&mut charge).collect())
}

/// Unique for ever: a request offset is decided once.
pub(super) fn auth_code(partition: i32, offset: i64) -> AuthCode {
    AuthCode::new(&format!("{partition}-{offset}")).expect("digits and hyphens make an identifier")
}

pub(super) fn decide(tables: &Tables, message: &CommandMessage) -> Vec<Fact> {
    let refused = |Refusal(code, message)| vec![Fact::CommandRefused { code, message }];
    let id = &message.contract;
    let known = tables.contract(id);
    if let Command::OpenContract { .. } = message.command {
        return match known {
            Some(_) => refused(Refusal(Code::ContractExists, format!("contract {id} is open already"))),
            None => open(&message.command).unwrap_or_else(refused),
        };
    }
    let Some((ix, contract)) = known.and_then(|ix| Some((ix, tables.contracts.get(ix as usize)?))) else {
        return refused(Refusal(Code::ContractUnknown, format!("contract {id} is not known")));
    };
    Order { tables, ix, contract, message }.facts().unwrap_or_else(refused)
}

fn open(command: &Command) -> Result<Vec<Fact>, Refusal> {
    let Command::OpenContract { name, currency, time_zone, legal_entity, holding, week_start } = command else {
        return Ok(Vec::new());
    };
    if TimeZone::get(time_zone).is_err() {
        return Err(Refusal(Code::TimeZoneUnknown, format!("{time_zone:?} is not in the IANA list of time zones")));
    }
    let optional = |what, text: &Option<String>| text.as_ref().map(|text| words(what, text)).transpose();
    Ok(vec![Fact::ContractOpened {
        name: words("name", name)?,
        currency: *currency,
        time_zone: time_zone.clone(),
        legal_entity: optional("legal_entity", legal_entity)?,
        holding: optional("holding", holding)?,
        week_start: *week_start,
    }])
}

/// An order of a contract that is known.
struct Order<'a> {
    tables: &'a Tables,
    ix: Ix,
    contract: &'a Contract,
    message: &'a CommandMessage,
}

impl Order<'_> {
    fn facts(&self) -> Result<Vec<Fact>, Refusal> {
        match &self.message.command {
            Command::OpenContract { .. } => Ok(Vec::new()),
            Command::SetTerm { valid_from_us, valid_to_us } => {
                ordered(*valid_from_us, *valid_to_us)?;
                one(Fact::TermSet { valid_from_us: *valid_from_us, valid_to_us: *valid_to_us })
            }
            Command::BlockContract { actor, reason, until_us } => {
                let reason = words("reason", reason)?;
                one(Fact::ContractBlocked(model::Block { actor: *actor, reason, until_us: *until_us }))
            }
            Command::UnblockContract { actor } => {
                may_unblock("the contract", &self.contract.blocks, *actor)?;
                one(Fact::ContractUnblocked { actor: *actor })
            }
            Command::SetHolidays { days } => {
                at_most(days.len(), HOLIDAYS_MAX, "holidays")?;
                one(Fact::HolidaysSet { days: days.clone() })
            }
            Command::TopUp { .. }
            | Command::MatchRegister(_)
            | Command::CloseRegister { .. }
            | Command::SetCreditLine { .. }
            | Command::Adjust { .. }
            | Command::SetMonthlyFee(_)
            | Command::SetDiscount(_)
            | Command::RemoveDiscount { .. }
            | Command::Bill { .. } => self.money(),
            Command::IssueCard { .. }
            | Command::BlockCard { .. }
            | Command::UnblockCard { .. }
            | Command::CloseCard { .. }
            | Command::ResetPin { .. }
            | Command::AssignCard { .. } => self.cards(),
            Command::PutGroup(_) | Command::PutVehicle(_) | Command::PutDriver(_) => self.parties(),
            Command::SetLimit(limit) => self.set_limit(limit.clone()),
            Command::ChangeLimit { limit, value } => {
                let setting = self.current(limit)?;
                self.set_limit(Limit { value: *value, ..setting })
            }
            Command::RemoveLimit { limit } => {
                self.current(limit)?;
                one(Fact::LimitRemoved { limit: limit.clone() })
            }
            Command::SetDailyLimit { card, daily_ml, daily_minor } => {
                self.issued(card)?;
                self.daily(card, (daily_ml.map(ml), daily_minor.map(MinorUnits::get)), true)
            }
            Command::SetRestriction(restriction) => {
                self.scope_known(&restriction.scope)?;
                let list = match &restriction.of {
                    model::RestrictionList::Products(list) => list.len(),
                    model::RestrictionList::Sites(list) => list.len(),
                    model::RestrictionList::Regions(list) => list.len(),
                    model::RestrictionList::Countries(list) => list.len(),
                    model::RestrictionList::Entries(list) => list.len(),
                    model::RestrictionList::Hours(list) => list.len(),
                };
                at_most(list, LIST_MAX, "entries of a restriction")?;
                let known = self.rules(&restriction.scope).map_or(&[][..], super::state::Rules::restrictions);
                let others = known.iter().filter(|known| known.id != restriction.id).count();
                at_most(others, RULES_MAX, "restrictions of one scope")?;
                one(Fact::RestrictionSet(restriction.clone()))
            }
            Command::RemoveRestriction { restriction } => {
                if !self.has_restriction(restriction) {
                    return Err(Refusal(Code::RestrictionUnknown, format!("there is no restriction {restriction}")));
                }
                one(Fact::RestrictionRemoved { restriction: restriction.clone() })
            }
            Command::SetPolicy { scope, policy } => {
                if matches!(scope, Scope::Vehicle(_) | Scope::Driver(_)) {
                    return Err(invalid("a policy belongs to a contract, a group or a card"));
                }
                self.scope_known(scope)?;
                if let Some((least, most)) = policy.as_ref().and_then(|policy| policy.odometer_growth)
                    && least > most
                {
                    return Err(invalid("the odometer's least growth is above its greatest"));
                }
                one(Fact::PolicySet { scope: scope.clone(), policy: policy.clone() })
            }
            Command::ReleaseHold { auth_code, reason } => self.release(auth_code, reason),
            Command::SetRule { rule, mode } => one(Fact::RuleSet { rule: *rule, mode: *mode }),
        }
    }

    fn money(&self) -> Result<Vec<Fact>, Refusal> {
        let contract = self.contract;
        match &self.message.command {
            Command::TopUp { amount_minor, currency, reference, payer } => {
                self.same_currency(*currency)?;
                if amount_minor.get() <= 0 {
                    return Err(invalid("a top-up must be more than zero"));
                }
                self.in_range(amount_minor.get())?;
                at_most(contract.books.as_ref().map_or(0, |books| books.top_ups.len()), TOP_UPS_MAX, "top-ups")?;
                let reference = words("reference", reference)?;
                one(Fact::ToppedUp { amount_minor: *amount_minor, reference, payer: payer.clone() })
            }
            Command::MatchRegister(line) => self.match_register(line),
            Command::CloseRegister { date } => Ok(self.missing(*date)),
            Command::SetCreditLine { amount_minor, currency } => {
                self.same_currency(*currency)?;
                not_negative("a credit line", amount_minor.get())?;
                in_range(contract.money.own.saturating_add(amount_minor.get()))?;
                one(Fact::CreditLineSet { amount_minor: *amount_minor })
            }
            Command::Adjust { amount_minor, currency, reason } => {
                self.same_currency(*currency)?;
                if amount_minor.is_zero() {
                    return Err(invalid("an adjustment of zero changes nothing"));
                }
                self.in_range(amount_minor.get())?;
                one(Fact::Adjusted { amount_minor: *amount_minor, reason: words("reason", reason)? })
            }
            Command::SetMonthlyFee(fee) => {
                not_negative("a fee", fee.amount_minor.get())?;
                self.in_range(-fee.amount_minor.get())?;
                let others = |books: &Books| books.fees.iter().filter(|known| known.name != fee.name).count();
                at_most(contract.books.as_deref().map_or(0, others), FEES_MAX, "fees")?;
                let name = words("name", &fee.name)?;
                one(Fact::MonthlyFeeSet(model::MonthlyFee { name, amount_minor: fee.amount_minor }))
            }
            Command::SetDiscount(discount) => {
                let others = contract.discounts.iter().filter(|(_, known)| known.product != discount.product).count();
                at_most(others, DISCOUNTS_MAX, "discounts")?;
                if matches!(discount.off, DiscountOff::BasisPoints(points) if points > BASIS_POINTS_MAX) {
                    return Err(invalid("a discount cannot be more than the price"));
                }
                one(Fact::DiscountSet(discount.clone()))
            }
            Command::RemoveDiscount { product } => one(Fact::DiscountRemoved { product: product.clone() }),
            Command::Bill { number } => {
                in_range(contract.money.own.saturating_sub(contract.money.unbilled))?;
                let amount_minor = super::state::minor(contract.money.unbilled);
                one(Fact::Billed { number: words("number", number)?, amount_minor })
            }
            _ => Ok(Vec::new()),
        }
    }

    fn match_register(&self, line: &RegisterLine) -> Result<Vec<Fact>, Refusal> {
        let line = RegisterLine { reference: words("reference", &line.reference)?, ..line.clone() };
        let empty = Books::default();
        let books = self.contract.books.as_deref().unwrap_or(&empty);
        at_most(books.register_lines.len(), TOP_UPS_MAX, "register lines")?;
        let credited = books.top_ups.get(&line.reference);
        let outcome = match credited {
            _ if books.register_lines.get(&line.reference) == Some(&line.amount_minor.get()) => {
                RegisterOutcome::Repeated
            }
            None => RegisterOutcome::UnknownPayer,
            Some(top_up) if top_up.amount_minor == line.amount_minor.get() => RegisterOutcome::Matched,
            Some(_) => RegisterOutcome::AmountDiffers,
        };
        let credited_minor = credited.map(|top_up| super::state::minor(top_up.amount_minor));
        one(Fact::RegisterMatched { line, outcome, credited_minor })
    }

    /// Top-ups up to the end of a banking day that no register line matched.
    fn missing(&self, date: jiff::civil::Date) -> Vec<Fact> {
        let zone = self.tables.zones.get(usize::from(self.contract.zone));
        let day = |zone: &Zone, at| {
            let (year, month, day) = calendar::civil(zone.local(at).day);
            (year, month, day)
        };
        let last = (i32::from(date.year()), i32::from(date.month()), i32::from(date.day()));
        let books = self.contract.books.as_deref();
        let open = books.into_iter().flat_map(|books| &books.top_ups).filter(|(_, top_up)| {
            top_up.state == TopUpState::Credited && zone.is_some_and(|zone| day(zone, top_up.at) <= last)
        });
        open.map(|(reference, top_up)| Fact::RegisterMissing {
            reference: reference.clone(),
            amount_minor: super::state::minor(top_up.amount_minor),
        })
        .collect()
    }

    fn cards(&self) -> Result<Vec<Fact>, Refusal> {
        match &self.message.command {
            Command::IssueCard {
                card,
                pan_masked,
                kind,
                group,
                vehicle,
                driver,
                valid_from_us,
                valid_to_us,
                daily_ml,
                daily_minor,
            } => {
                if self.tables.card(self.ix, card).is_some() {
                    return Err(Refusal(Code::CardExists, format!("card {card} is issued already")));
                }
                if pan_masked.chars().filter(char::is_ascii_digit).count() > PAN_DIGITS_MAX {
                    return Err(invalid("pan_masked shows more than four digits"));
                }
                ordered(*valid_from_us, *valid_to_us)?;
                self.assigned(group.as_ref(), driver.as_ref())?;
                let mut facts = vec![Fact::CardIssued {
                    card: card.clone(),
                    pan_masked: words("pan_masked", pan_masked)?,
                    kind: *kind,
                    group: group.clone(),
                    vehicle: vehicle.clone(),
                    driver: driver.clone(),
                    valid_from_us: *valid_from_us,
                    valid_to_us: *valid_to_us,
                }];
                facts.extend(self.daily(card, (daily_ml.map(ml), daily_minor.map(MinorUnits::get)), false)?);
                Ok(facts)
            }
            Command::BlockCard { card, reason, actor, until_us } => {
                self.open_card(card)?;
                let reason = words("reason", reason)?;
                one(Fact::CardBlocked { card: card.clone(), actor: *actor, reason, until_us: *until_us })
            }
            Command::UnblockCard { card, actor, until_us } => self.unblock(card, *actor, *until_us),
            Command::CloseCard { card, closure } => {
                self.open_card(card)?;
                one(Fact::CardClosed { card: card.clone(), closure: *closure })
            }
            Command::ResetPin { card } => {
                self.issued(card)?;
                one(Fact::PinReset { card: card.clone() })
            }
            Command::AssignCard { card, group, vehicle, driver } => {
                self.issued(card)?;
                self.assigned(group.as_ref(), driver.as_ref())?;
                let (card, group, vehicle, driver) = (card.clone(), group.clone(), vehicle.clone(), driver.clone());
                one(Fact::CardAssigned { card, group, vehicle, driver })
            }
            _ => Ok(Vec::new()),
        }
    }

    fn unblock(&self, card: &CardToken, actor: Actor, until_us: Option<TimestampUs>) -> Result<Vec<Fact>, Refusal> {
        let ix = self.open_card(card)?;
        let face = self.tables.cards.get(ix as usize).map(|card| &card.face);
        let blocks = face.map_or(&[][..], |face| &face.blocks);
        may_unblock(&format!("card {card}"), blocks, actor)?;
        one(Fact::CardUnblocked { card: card.clone(), actor, until_us })
    }

    fn assigned(&self, group: Option<&model::GroupId>, driver: Option<&model::DriverId>) -> Result<(), Refusal> {
        if let Some(group) = group {
            self.scope_known(&Scope::Group(group.clone()))?;
        }
        driver.map_or(Ok(()), |driver| self.scope_known(&Scope::Driver(driver.clone())))
    }

    fn parties(&self) -> Result<Vec<Fact>, Refusal> {
        let parties = self.contract.parties.as_deref();
        let len =
            parties.map_or(0, |parties| parties.groups.len().max(parties.vehicles.len()).max(parties.drivers.len()));
        at_most(len, PARTIES_MAX, "groups, vehicles or drivers")?;
        match &self.message.command {
            Command::PutGroup(group) => {
                words("name", &group.name)?;
                one(Fact::GroupPut(group.clone()))
            }
            Command::PutVehicle(vehicle) => one(Fact::VehiclePut(vehicle.clone())),
            Command::PutDriver(driver) => {
                words("name", &driver.name)?;
                one(Fact::DriverPut(driver.clone()))
            }
            _ => Ok(Vec::new()),
        }
    }

    fn set_limit(&self, limit: Limit) -> Result<Vec<Fact>, Refusal> {
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

    fn rules(&self, scope: &Scope) -> Option<&super::state::Rules> {
        use super::tables::Holder;
        match holder(self.tables, self.ix, scope)? {
            Holder::Contract => Some(&self.contract.rules),
            Holder::Card(card) => self.tables.cards.get(card as usize).map(|card| &card.rules),
            Holder::Group(ix) => self.contract.group(ix).map(|party| &party.rules),
            Holder::Vehicle(ix) => self.contract.vehicle(ix).map(|party| &party.rules),
            Holder::Driver(ix) => self.contract.driver(ix).map(|party| &party.rules),
        }
    }

    fn has_restriction(&self, id: &model::RestrictionId) -> bool {
        let among = |rules: &super::state::Rules| rules.restrictions().iter().any(|known| known.id == *id);
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

    fn current(&self, id: &LimitId) -> Result<Limit, Refusal> {
        let setting = self.contract.setting(id);
        setting
            .map(|setting| setting.limit.clone())
            .ok_or_else(|| Refusal(Code::LimitUnknown, format!("there is no limit {id} in the contract")))
    }

    /// The two daily limits of a card; an absent one is removed where it exists.
    fn daily(&self, card: &CardToken, values: (Option<i64>, Option<i64>), replace: bool) -> Result<Vec<Fact>, Refusal> {
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
                        mode: model::LimitMode::Decline,
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

    fn release(&self, auth_code: &AuthCode, reason: &str) -> Result<Vec<Fact>, Refusal> {
        let auth = self.tables.auth_of(auth_code.as_str());
        let open = self.contract.open_holds.iter().find(|(_, _, hold)| Some(*hold) == auth);
        let held = open.and_then(|(_, card, hold)| {
            let card = self.tables.cards.get(*card as usize)?;
            card.purchase(*hold).filter(|purchase| purchase.state == PurchaseState::Held).map(|_| card.token.clone())
        });
        let Some(card) = held else {
            return Err(Refusal(Code::OriginalUnknown, format!("authorization {auth_code} holds nothing")));
        };
        let reason = Some(words("reason", reason)?);
        one(Fact::Reversed { card, auth_code: auth_code.clone(), reason })
    }

    /// A card that was not closed for good.
    fn open_card(&self, card: &CardToken) -> Result<Ix, Refusal> {
        let ix = self.issued(card)?;
        let closure = self.tables.cards.get(ix as usize).and_then(|card| card.face.closure);
        let (code, how) = match closure {
            None => return Ok(ix),
            Some(Closure::Lost) => (Code::CardLost, "lost"),
            Some(Closure::Stolen) => (Code::CardStolen, "stolen"),
            Some(Closure::Returned) => (Code::CardClosed, "returned"),
        };
        Err(Refusal(code, format!("card {card} was {how} and is closed for good")))
    }

    fn issued(&self, card: &CardToken) -> Result<Ix, Refusal> {
        self.tables
            .card(self.ix, card)
            .ok_or_else(|| Refusal(Code::CardUnknown, format!("card {card} is not in the contract")))
    }

    fn scope_known(&self, scope: &Scope) -> Result<(), Refusal> {
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

    fn same_currency(&self, currency: Currency) -> Result<(), Refusal> {
        if self.contract.currency == currency {
            return Ok(());
        }
        let message = format!("the contract is in {}, the order in {currency}", self.contract.currency);
        Err(Refusal(Code::CurrencyMismatch, message))
    }

    /// The balance after a change stays in range, with the credit line and without.
    fn in_range(&self, change: i64) -> Result<(), Refusal> {
        let money = self.contract.money;
        in_range(money.own.saturating_add(change))?;
        in_range(money.own.saturating_add(money.credit).saturating_add(change))
    }
}

/// The id under which a card's daily limits stand.
fn daily_id(card: &CardToken, name: &str) -> LimitId {
    let plain = LimitId::new(&format!("{card}:{name}"));
    // A token as long as tokens may be leaves no room: its hash stands for it.
    let short = |_| LimitId::new(&format!("{:016x}:{name}", super::tables::token_hash(card)));
    plain.or_else(short).expect("digits, letters and a colon make an identifier")
}

/// Nobody lifts a block of others; lifting what does not stand is harmless.
fn may_unblock(what: &str, blocks: &[model::Block], actor: Actor) -> Result<(), Refusal> {
    let Some(other) = blocks.iter().find(|block| block.actor != actor) else { return Ok(()) };
    if blocks.iter().any(|block| block.actor == actor) {
        return Ok(());
    }
    let who = match other.actor {
        Actor::Client => "the client",
        Actor::IssuerRisk => "the issuer's risk staff",
        Actor::IssuerCredit => "the issuer's credit staff",
        Actor::System => "a rule",
    };
    Err(Refusal(Code::NotPermitted, format!("{what} is blocked by {who}: {}", other.reason)))
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

fn one(fact: Fact) -> Result<Vec<Fact>, Refusal> {
    Ok(vec![fact])
}

fn invalid(message: &str) -> Refusal {
    Refusal(Code::FmtInvalid, message.to_owned())
}

fn at_most(len: usize, most: usize, what: &str) -> Result<(), Refusal> {
    if len < most { Ok(()) } else { Err(Refusal(Code::TooMany, format!("a contract holds at most {most} {what}"))) }
}

fn ordered(from: Option<TimestampUs>, to: Option<TimestampUs>) -> Result<(), Refusal> {
    match (from, to) {
        (Some(from), Some(to)) if from >= to => Err(invalid("it would end before it begins")),
        _ => Ok(()),
    }
}

fn ml(volume: model::Millilitres) -> i64 {
    i64::try_from(volume.get()).unwrap_or(i64::MAX)
}

fn not_negative(what: &str, value: i64) -> Result<(), Refusal> {
    if value < 0 { Err(Refusal(Code::FmtInvalid, format!("{what} cannot be below zero"))) } else { Ok(()) }
}

fn in_range(sum: i64) -> Result<(), Refusal> {
    MinorUnits::new(sum).map(|_| ()).map_err(|_| invalid("the balance would be out of range"))
}

fn words(what: &str, text: &str) -> Result<String, Refusal> {
    if text.len() > WORDS_LEN_MAX {
        return Err(Refusal(Code::FmtInvalid, format!("{what} has {} bytes, at most {WORDS_LEN_MAX}", text.len())));
    }
    Ok(text.to_owned())
}
