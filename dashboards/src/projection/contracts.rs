//! All contracts: money, number of cards, today's decisions.
//!
//! In: the contract part of ledger records. Out: contracts, latest change first. A contract is known from its opening or
//! from the first record that carries its balance; a wish on a contract that does not exist leaves nothing here.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use model::{Balance, ContractId, PartitionId, TimestampUs, Verdict, WeekStart};
use serde::{Deserialize, Serialize};

use super::decisions::Line;
use super::limits::ContractLimits;
use super::money::Payments;
use super::recency::{Links, List};
use crate::forecast::Spending;

/// Decisions kept per contract for its detail.
pub(crate) const CONTRACT_DECISIONS_MAX: usize = 20;

/// Decisions of one UTC day of event time. An earlier day's decision that comes late is left out.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct DayCount {
    day: i64,
    approved: u32,
    declined: u32,
}

impl DayCount {
    pub(crate) fn add(&mut self, day: i64, verdict: Verdict) {
        if day > self.day {
            *self = Self { day, approved: 0, declined: 0 };
        }
        if day == self.day {
            match verdict {
                Verdict::Approve | Verdict::Partial => self.approved += 1,
                Verdict::Decline => self.declined += 1,
                // Not over yet: the terminal asks again.
                Verdict::Reprompt => {}
            }
        }
    }
    /// Approved and declined on `today`.
    pub(crate) fn on(&self, today: i64) -> (u32, u32) {
        if self.day == today { (self.approved, self.declined) } else { (0, 0) }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contract {
    pub(crate) id: ContractId,
    /// Of the ledger, where all of a contract is told.
    #[serde(skip)]
    pub(super) partition: PartitionId,
    pub(crate) name: Arc<str>,
    pub(crate) legal_entity: Option<Box<str>>,
    pub(crate) holding: Option<Box<str>>,
    #[serde(with = "zone_name")]
    pub(crate) zone: TimeZone,
    pub(crate) week_start: WeekStart,
    pub(crate) balance: Option<Balance>,
    pub(crate) card_count: u32,
    pub(crate) blocked_count: u32,
    pub(crate) decided: DayCount,
    pub(crate) last_at: TimestampUs,
    /// Its cards, latest change first.
    #[serde(skip)]
    pub(crate) cards: List,
    /// Its last decisions, oldest first.
    pub(crate) decisions: VecDeque<Arc<Line>>,
    /// Those of the contract, its groups, vehicles and drivers.
    pub(crate) limits: ContractLimits,
    pub(crate) payments: Payments,
    pub(crate) holidays: Vec<Date>,
    /// Absent until something is bought.
    pub(crate) spending: Option<Box<Spending>>,
    #[serde(skip)]
    pub(crate) version: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Contracts {
    contracts: Vec<Contract>,
    links: Links,
    list: List,
    by_id: HashMap<ContractId, u32>,
}

impl Contracts {
    pub(crate) fn place(&self, id: &ContractId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn place_or_add(&mut self, partition: PartitionId, id: &ContractId) -> u32 {
        if let Some(place) = self.place(id) {
            return place;
        }
        let place = u32::try_from(self.contracts.len()).unwrap_or(u32::MAX);
        self.contracts.push(Contract {
            id: id.clone(),
            partition,
            name: Arc::default(),
            legal_entity: None,
            holding: None,
            zone: TimeZone::UTC,
            week_start: WeekStart::default(),
            balance: None,
            card_count: 0,
            blocked_count: 0,
            decided: DayCount::default(),
            last_at: TimestampUs::default(),
            cards: List::default(),
            decisions: VecDeque::new(),
            limits: ContractLimits::default(),
            payments: Payments::default(),
            holidays: Vec::new(),
            spending: None,
            version: 0,
        });
        self.links.add(&mut self.list);
        self.by_id.insert(id.clone(), place);
        place
    }

    /// A contract as it was saved, changed at `version`.
    pub(super) fn restore(&mut self, contract: Contract, version: u64) -> u32 {
        let place = self.place_or_add(contract.partition, &contract.id);
        self.contracts[place as usize] = Contract { version, ..contract };
        self.links.touch(&mut self.list, place);
        place
    }

    /// Those that are told in this partition of the ledger, latest change first.
    pub(super) fn of(&self, partition: PartitionId) -> impl Iterator<Item = (u32, &Contract)> {
        let place = |place: usize| (u32::try_from(place).unwrap_or(u32::MAX), &self.contracts[place]);
        self.links.newest_first(self.list).map(place).filter(move |(_, contract)| contract.partition == partition)
    }

    /// The contract, which counts as changed at `version`.
    pub(crate) fn touch(&mut self, place: u32, version: u64) -> &mut Contract {
        self.links.touch(&mut self.list, place);
        let contract = &mut self.contracts[place as usize];
        contract.version = version;
        contract
    }

    /// The contract, without counting it as changed.
    pub(crate) fn at_mut(&mut self, place: u32) -> &mut Contract {
        &mut self.contracts[place as usize]
    }

    pub(crate) fn at(&self, place: u32) -> &Contract {
        &self.contracts[place as usize]
    }

    pub(crate) fn get(&self, id: &ContractId) -> Option<&Contract> {
        self.place(id).map(|place| self.at(place))
    }

    /// In the order in which they became known.
    pub(crate) fn all(&self) -> &[Contract] {
        &self.contracts
    }

    pub(crate) fn changed_since(&self, version: u64) -> impl Iterator<Item = &Contract> {
        self.links
            .newest_first(self.list)
            .map(|place| &self.contracts[place])
            .take_while(move |contract| contract.version > version)
    }

    /// A new day begins: those whose figures of `yesterday` fall to zero have changed.
    pub(crate) fn day_ended(&mut self, yesterday: i64, version: u64) {
        for place in 0..self.contracts.len() {
            if self.contracts[place].decided.on(yesterday) != (0, 0) {
                self.touch(u32::try_from(place).unwrap_or(u32::MAX), version);
            }
        }
    }
}

impl Contract {
    /// The contract's wall clock at a moment.
    pub(crate) fn local(&self, at: TimestampUs) -> DateTime {
        let at = jiff::Timestamp::from_microsecond(at.get()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        self.zone.to_datetime(at)
    }

    /// Something was bought, or came back where `minor` is negative.
    pub(crate) fn spent(&mut self, at: TimestampUs, minor: i64) {
        let local = self.local(at);
        self.spending.get_or_insert_default().add(local, minor);
    }

    pub(crate) fn remember(&mut self, line: Arc<Line>) {
        if self.decisions.len() == CONTRACT_DECISIONS_MAX {
            self.decisions.pop_front();
        }
        self.decisions.reserve_exact(CONTRACT_DECISIONS_MAX - self.decisions.len());
        self.decisions.push_back(line);
    }
}

/// A time zone by its name in the IANA database.
mod zone_name {
    use jiff::tz::TimeZone;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(zone: &TimeZone, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(zone.iana_name().unwrap_or("UTC"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
        TimeZone::get(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
