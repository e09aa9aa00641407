//! Orders of the back office: contracts, money, cards, limits, rules.
//!
//! In: an order. Out: the facts that carry it out, or the refusal with its reason. Guarantees: no order leaves a contract
//! whose sums could leave their range; a card number never enters the ledger. Does not: change anything itself.

use jiff::tz::TimeZone;
use model::{CardToken, Code, Command, CommandMessage, Currency, Fact, MinorUnits};

use super::contract::Contract;
use super::shard::Shard;

/// Longest name, reference, reason or vehicle that is kept, in bytes.
const WORDS_LEN_MAX: usize = 256;
/// Digits of a card number that people may see.
const PAN_DIGITS_MAX: usize = 4;

struct Refusal(Code, String);

pub(super) fn decide(shard: &Shard, message: &CommandMessage) -> Vec<Fact> {
    match facts(shard, message) {
        Ok(facts) => facts,
        Err(Refusal(code, message)) => vec![Fact::CommandRefused { code, message }],
    }
}

fn facts(shard: &Shard, message: &CommandMessage) -> Result<Vec<Fact>, Refusal> {
    let id = &message.contract;
    let contract = shard.contracts.get(id);
    if let Command::OpenContract { name, currency, time_zone } = &message.command {
        if contract.is_some() {
            return Err(Refusal(Code::ContractExists, format!("contract {id} is open already")));
        }
        if TimeZone::get(time_zone).is_err() {
            return Err(Refusal(Code::TimeZoneUnknown, format!("{time_zone:?} is not in the IANA list of time zones")));
        }
        return Ok(vec![Fact::ContractOpened {
            name: words("name", name)?,
            currency: *currency,
            time_zone: time_zone.clone(),
        }]);
    }
    let Some(contract) = contract else {
        return Err(Refusal(Code::ContractUnknown, format!("contract {id} is not known")));
    };
    match &message.command {
        Command::OpenContract { .. } => Ok(Vec::new()),
        Command::TopUp { amount_minor, currency, reference } => {
            same_currency(contract, *currency)?;
            if amount_minor.get() <= 0 {
                return Err(Refusal(Code::FmtInvalid, "a top-up must be more than zero".into()));
            }
            in_range(contract.own.plus(*amount_minor).and_then(|own| own.plus(contract.credit)))?;
            Ok(vec![Fact::ToppedUp { amount_minor: *amount_minor, reference: words("reference", reference)? }])
        }
        Command::SetCreditLine { amount_minor, currency } => {
            same_currency(contract, *currency)?;
            not_negative("a credit line", Some(*amount_minor))?;
            in_range(contract.own.plus(*amount_minor))?;
            Ok(vec![Fact::CreditLineSet { amount_minor: *amount_minor }])
        }
        Command::IssueCard { card, pan_masked, vehicle, daily_ml, daily_minor } => {
            if contract.cards.contains_key(card) {
                return Err(Refusal(Code::CardExists, format!("card {card} is issued already")));
            }
            if pan_masked.chars().filter(char::is_ascii_digit).count() > PAN_DIGITS_MAX {
                return Err(Refusal(Code::FmtInvalid, "pan_masked shows more than four digits".into()));
            }
            not_negative("a daily limit", *daily_minor)?;
            let vehicle = vehicle.as_ref().map(|vehicle| words("vehicle", vehicle)).transpose()?;
            let pan_masked = words("pan_masked", pan_masked)?;
            let mut facts = vec![Fact::CardIssued { card: card.clone(), pan_masked, vehicle }];
            if daily_ml.is_some() || daily_minor.is_some() {
                let (daily_ml, daily_minor) = (*daily_ml, *daily_minor);
                facts.push(Fact::DailyLimitSet { card: card.clone(), daily_ml, daily_minor });
            }
            Ok(facts)
        }
        Command::BlockCard { card, reason } => {
            issued(contract, card)?;
            Ok(vec![Fact::CardBlocked { card: card.clone(), reason: words("reason", reason)? }])
        }
        Command::UnblockCard { card } => {
            issued(contract, card)?;
            Ok(vec![Fact::CardUnblocked { card: card.clone() }])
        }
        Command::SetDailyLimit { card, daily_ml, daily_minor } => {
            issued(contract, card)?;
            not_negative("a daily limit", *daily_minor)?;
            let (daily_ml, daily_minor) = (*daily_ml, *daily_minor);
            Ok(vec![Fact::DailyLimitSet { card: card.clone(), daily_ml, daily_minor }])
        }
        Command::SetRule { rule, mode } => Ok(vec![Fact::RuleSet { rule: *rule, mode: *mode }]),
    }
}

fn issued(contract: &Contract, card: &CardToken) -> Result<(), Refusal> {
    if contract.cards.contains_key(card) {
        return Ok(());
    }
    Err(Refusal(Code::CardUnknown, format!("card {card} is not in the contract")))
}

fn same_currency(contract: &Contract, currency: Currency) -> Result<(), Refusal> {
    if contract.currency == currency {
        return Ok(());
    }
    let message = format!("the contract is in {}, the order in {currency}", contract.currency);
    Err(Refusal(Code::CurrencyMismatch, message))
}

fn in_range(sum: Result<MinorUnits, model::AmountError>) -> Result<(), Refusal> {
    sum.map(|_| ()).map_err(|error| Refusal(Code::FmtInvalid, error.to_string()))
}

fn not_negative(what: &str, amount: Option<MinorUnits>) -> Result<(), Refusal> {
    if amount.is_some_and(MinorUnits::is_negative) {
        return Err(Refusal(Code::FmtInvalid, format!("{what} cannot be below zero")));
    }
    Ok(())
}

fn words(field: &str, text: &str) -> Result<String, Refusal> {
    if text.len() > WORDS_LEN_MAX {
        return Err(Refusal(Code::FmtInvalid, format!("{field} is longer than {WORDS_LEN_MAX} bytes")));
    }
    Ok(text.to_owned())
}
