//! Orders of the back office: contracts, money, cards, limits, rules.
//!
//! In: an order. Out: the facts that carry it out, or the refusal with its reason. Guarantees: no order leaves a
//! contract whose sums could leave their range; a card number never enters the ledger; what a contract may hold has
//! named maxima. Does not: change anything itself.

mod cards;
mod money;
mod rules;

use jiff::tz::TimeZone;
use model::{Block, Code, Command, CommandMessage, Fact, Limit, Millilitres, MinorUnits, TimestampUs};

use super::state::{Contract, Ix};
use super::tables::Tables;
use cards::{Issue, may_unblock};

/// Longest name, reference, reason or vehicle that is kept, in bytes.
const WORDS_LEN_MAX: usize = 256;
const HOLIDAYS_MAX: usize = 1_000;

pub(super) struct Refusal(Code, String);

/// What carries an order out.
type Facts = Result<Vec<Fact>, Refusal>;

pub(super) fn decide(tables: &Tables, message: &CommandMessage) -> Vec<Fact> {
    let refused = |Refusal(code, message)| vec![Fact::CommandRefused { code, message }];
    let id = &message.contract;
    let known = tables.contract(id);
    let Some((ix, contract)) = known.and_then(|ix| Some((ix, tables.contracts.get(ix as usize)?))) else {
        return open(message).unwrap_or_else(refused);
    };
    Order { tables, ix, contract, message }.facts().unwrap_or_else(refused)
}

/// An order of a contract that is not known yet: it can only be opened.
fn open(message: &CommandMessage) -> Facts {
    let Command::OpenContract { name, currency, time_zone, legal_entity, holding, week_start } = &message.command
    else {
        return Err(Refusal(Code::ContractUnknown, format!("contract {} is not known", message.contract)));
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
    /// Closed on purpose: a new command must say here what it does.
    fn facts(&self) -> Facts {
        match &self.message.command {
            Command::OpenContract { .. } => {
                let message = format!("contract {} is open already", self.message.contract);
                Err(Refusal(Code::ContractExists, message))
            }
            Command::SetTerm { valid_from_us, valid_to_us } => {
                ordered(*valid_from_us, *valid_to_us)?;
                one(Fact::TermSet { valid_from_us: *valid_from_us, valid_to_us: *valid_to_us })
            }
            Command::BlockContract { actor, reason, until_us } => {
                let reason = words("reason", reason)?;
                one(Fact::ContractBlocked(Block { actor: *actor, reason, until_us: *until_us }))
            }
            Command::UnblockContract { actor } => {
                may_unblock("the contract", &self.contract.blocks, *actor)?;
                one(Fact::ContractUnblocked { actor: *actor })
            }
            Command::SetHolidays { days } => {
                at_most(days.len(), HOLIDAYS_MAX, "holidays")?;
                one(Fact::HolidaysSet { days: days.clone() })
            }

            Command::TopUp { amount_minor, currency, reference, payer } => {
                self.top_up(*amount_minor, *currency, reference, payer.as_ref())
            }
            Command::MatchRegister(line) => self.match_register(line),
            Command::CloseRegister { date } => Ok(self.missing(*date)),
            Command::SetCreditLine { amount_minor, currency } => self.credit_line(*amount_minor, *currency),
            Command::Adjust { amount_minor, currency, reason } => self.adjust(*amount_minor, *currency, reason),
            Command::SetMonthlyFee(fee) => self.monthly_fee(fee),
            Command::SetDiscount(discount) => self.discount(discount),
            Command::RemoveDiscount { product } => one(Fact::DiscountRemoved { product: product.clone() }),
            Command::Bill { number } => self.bill(number),

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
            } => self.issue(&Issue {
                card,
                pan_masked,
                kind: *kind,
                group: group.as_ref(),
                vehicle: vehicle.as_ref(),
                driver: driver.as_ref(),
                valid_from_us: *valid_from_us,
                valid_to_us: *valid_to_us,
                daily: (daily_ml.map(ml), daily_minor.map(MinorUnits::get)),
            }),
            Command::BlockCard { card, reason, actor, until_us } => self.block(card, *actor, reason, *until_us),
            Command::UnblockCard { card, actor, until_us } => self.unblock(card, *actor, *until_us),
            Command::CloseCard { card, closure } => self.close(card, *closure),
            Command::ResetPin { card } => {
                self.issued(card)?;
                one(Fact::PinReset { card: card.clone() })
            }
            Command::AssignCard { card, group, vehicle, driver } => {
                self.assign(card, group.as_ref(), vehicle.as_ref(), driver.as_ref())
            }
            Command::ReleaseHold { auth_code, reason } => self.release(auth_code, reason),

            Command::PutGroup(group) => {
                self.room_for_a_party()?;
                words("name", &group.name)?;
                one(Fact::GroupPut(group.clone()))
            }
            Command::PutVehicle(vehicle) => {
                self.room_for_a_party()?;
                one(Fact::VehiclePut(vehicle.clone()))
            }
            Command::PutDriver(driver) => {
                self.room_for_a_party()?;
                words("name", &driver.name)?;
                one(Fact::DriverPut(driver.clone()))
            }
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
            Command::SetRestriction(restriction) => self.restrict(restriction),
            Command::RemoveRestriction { restriction } => self.unrestrict(restriction),
            Command::SetPolicy { scope, policy } => self.policy(scope, policy.as_ref()),
            Command::SetRule { rule, mode } => one(Fact::RuleSet { rule: *rule, mode: *mode }),
        }
    }
}

fn one(fact: Fact) -> Facts {
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

fn ml(volume: Millilitres) -> i64 {
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
