//! Turns lines into requests: keeps the date, the contracts, who has which card, and what lines gave a name to.
//!
//! In: one line after the other, and what came of each. Out: what the line means. Times are the contract's local times,
//! Wednesday 14 January 2026, 08:00 at first; a line without a time happens when the one before did.

use std::collections::BTreeMap;

use jiff::Span;
use jiff::civil::{DateTime, date};
use jiff::tz::{Offset, TimeZone};
use model::{
    CardToken, CommandMessage, ContractId, Currency, Fact, IdempotencyKey, Outcome, Request, RequestBody, Tick,
    TimestampUs,
};

use crate::clauses::{Clauses, Parsed, date as parse_date, duration, id, moment, number, time_of_day, zone};
use crate::limits::Terms;
use crate::orders;
use crate::purchases::{self, Named, Scene};
use crate::setting;

pub(crate) struct Story {
    now: DateTime,
    /// The contract that orders concern.
    current: Option<ContractId>,
    contracts: BTreeMap<ContractId, House>,
    cards: BTreeMap<CardToken, ContractId>,
    named: BTreeMap<String, Named>,
}

/// What a contract's words mean.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) zone: TimeZone,
    pub(crate) currency: Currency,
}

pub(crate) enum Happening {
    /// The engine's own settings, or the language of the answers: before the first request.
    Setting(setting::Setting),
    /// The name is what later lines call it.
    Request(Box<Request>, Option<String>),
    /// The date changes, another contract is spoken of.
    Nothing,
}

/// A line's moment: where its zone's clocks stand.
struct When {
    at: TimestampUs,
    utc_offset_min: i16,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self {
            now: date(2026, 1, 14).at(8, 0, 0, 0),
            current: None,
            contracts: BTreeMap::new(),
            cards: BTreeMap::new(),
            named: BTreeMap::new(),
        }
    }

    /// The zone and currency of a contract.
    pub(crate) fn house(&self, contract: Option<&ContractId>) -> House {
        let known = contract.and_then(|contract| self.contracts.get(contract));
        known.cloned().unwrap_or(House { zone: TimeZone::UTC, currency: Currency::RUB })
    }

    /// What the line with this number, counted from 0, means.
    pub(crate) fn read(&mut self, number: usize, text: &str) -> Parsed<Happening> {
        if let Some(setting) = text.strip_prefix("with ") {
            return setting::setting(setting).map(Happening::Setting);
        }
        if let Some(day) = text.strip_prefix("on ") {
            self.now = parse_date(day)?.at(0, 0, 0, 0);
            return Ok(Happening::Nothing);
        }
        if let Some(contract) = text.strip_prefix("back to ") {
            self.current = Some(id(contract, ContractId::new)?);
            return Ok(Happening::Nothing);
        }
        let (text, fixed) = self.clock(text)?;
        let mut clauses = Clauses::new(text);
        if let Some(rest) = clauses.first().strip_prefix("contract ") {
            self.open(rest)?;
        }
        let house = self.house(self.current.as_ref());
        let station_zone = clauses.after("clock of").map(zone).transpose()?;
        let when = self.when(fixed, station_zone.as_ref().unwrap_or(&house.zone))?;
        let name = clauses.after("as").map(str::to_owned);
        let key = clauses.after("key").or(name.as_deref()).map_or_else(|| format!("message-{number}"), str::to_owned);
        let idem = id(&key, IdempotencyKey::new)?;
        let request = self.request(&mut clauses, &when, &idem, &house)?;
        clauses.end()?;
        if let (Some(name), RequestBody::Transaction(transaction)) = (&name, &request.body)
            && !self.named.contains_key(name)
        {
            self.named.insert(name.clone(), Named::new(transaction));
        }
        Ok(Happening::Request(Box::new(request), name))
    }

    fn request(&self, clauses: &mut Clauses<'_>, when: &When, idem: &IdempotencyKey, house: &House) -> Parsed<Request> {
        let routed = clauses.after("routed to").map(|contract| id(contract, ContractId::new)).transpose()?;
        let nowhere = clauses.says("routed nowhere");
        let received = clauses.after("received").map(delay).transpose()?.unwrap_or(0);
        let terms = Terms { today: self.now.date(), zone: &house.zone, currency: house.currency };
        let scene = Scene {
            at: when.at,
            utc_offset_min: when.utc_offset_min,
            idem: idem.clone(),
            named: &self.named,
            currency: &|card| self.house(self.cards.get(card).or(self.current.as_ref())).currency,
        };
        let (contract, body) = if let Some(transaction) = purchases::purchase(clauses, &scene)? {
            let contract = if nowhere { None } else { self.cards.get(&transaction.card.token).cloned() };
            (contract, RequestBody::Transaction(Box::new(transaction)))
        } else if clauses.first() == "time passes" {
            let tick = Tick { idem: idem.clone(), at_us: when.at };
            (self.current.clone(), RequestBody::Tick(tick))
        } else {
            let auth_code = |name: &str| self.named.get(name).and_then(|named| named.auth_code.clone());
            let command = orders::order(clauses, &terms, auth_code)?
                .ok_or_else(|| format!("nobody understands {:?}", clauses.first()))?;
            let contract = routed.clone().or(self.current.clone()).ok_or("no contract was spoken of")?;
            let author = clauses.after("author").unwrap_or("fleet office").to_owned();
            let message = CommandMessage {
                v: 1,
                idem: idem.clone(),
                author,
                at_us: when.at,
                contract: contract.clone(),
                command,
            };
            (Some(contract), RequestBody::Command(Box::new(message)))
        };
        let contract = routed.or(contract);
        Ok(Request { v: 1, origin: None, received_at_us: when.at.plus_us(received), contract, body })
    }

    /// Learns from an answer what a terminal, a router and a back office would know now.
    pub(crate) fn learn(&mut self, outcome: &Outcome, name: Option<&str>) {
        for fact in &outcome.facts {
            match fact {
                Fact::CardIssued { card, .. } => {
                    if let Some(contract) = &outcome.contract {
                        self.cards.insert(card.clone(), contract.clone());
                    }
                }
                Fact::Decided { decision, .. } => {
                    if let Some(named) = name.and_then(|name| self.named.get_mut(name))
                        && decision.auth_code.is_some()
                    {
                        named.auth_code.clone_from(&decision.auth_code);
                    }
                }
                _ => {}
            }
        }
    }

    /// The words after the time that a line begins with; moves the story's own clock there.
    fn clock<'a>(&mut self, text: &'a str) -> Parsed<(&'a str, Option<Offset>)> {
        let mut text = text;
        if let Some(rest) = text.strip_prefix("next day ") {
            self.now = self.now.saturating_add(Span::new().days(1));
            text = rest;
        } else if let Some((days, rest)) = text.split_once(" days later ")
            && let Ok(days) = days.parse::<i32>()
        {
            self.now = self.now.saturating_add(Span::new().days(days));
            text = rest;
        } else if let Some((day, rest)) = text.split_once(' ')
            && let Ok(day) = day.parse::<jiff::civil::Date>()
        {
            self.now = day.to_datetime(self.now.time());
            text = rest;
        }
        let (time, rest) = text.split_once(' ').unwrap_or((text, ""));
        if !time.starts_with(|first: char| first.is_ascii_digit()) || !time.contains(':') {
            return Ok((text, None));
        }
        let (time, offset) = match time.split_once('+') {
            Some((time, offset)) => {
                let (hours, minutes) = offset.split_once(':').ok_or_else(|| format!("{offset:?} is no offset"))?;
                let seconds = number::<i32>(hours)? * 3600 + number::<i32>(minutes)? * 60;
                (time, Some(Offset::from_seconds(seconds).map_err(|error| error.to_string())?))
            }
            None => (time, None),
        };
        self.now = self.now.date().to_datetime(time_of_day(time)?);
        Ok((rest, offset))
    }

    fn when(&self, fixed: Option<Offset>, zone: &TimeZone) -> Parsed<When> {
        let zone = fixed.map_or_else(|| zone.clone(), TimeZone::fixed);
        let at = moment(self.now, &zone)?;
        let time = jiff::Timestamp::from_microsecond(at.get()).map_err(|error| error.to_string())?;
        let minutes = zone.to_offset(time).seconds() / 60;
        Ok(When { at, utc_offset_min: i16::try_from(minutes).map_err(|error| error.to_string())? })
    }

    /// Another contract is spoken of from here on.
    fn open(&mut self, rest: &str) -> Parsed<()> {
        let words: Vec<&str> = rest.split(' ').collect();
        let [name, "in", currency, time_zone] = words.as_slice() else {
            return Err("contract C-1 in RUB Europe/Moscow".into());
        };
        let contract = id(name, ContractId::new)?;
        let house = House {
            zone: TimeZone::get(time_zone).unwrap_or(TimeZone::UTC),
            currency: crate::clauses::currency(currency)?,
        };
        self.contracts.entry(contract.clone()).or_insert(house);
        self.current = Some(contract);
        Ok(())
    }
}

/// `4 h later` or `27 h earlier`.
fn delay(text: &str) -> Parsed<i64> {
    match (text.strip_suffix(" later"), text.strip_suffix(" earlier")) {
        (Some(text), _) => duration(text),
        (_, Some(text)) => duration(text).map(|us| -us),
        _ => Err(format!("{text:?}: later or earlier?")),
    }
}
