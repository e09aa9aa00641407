//! The part of the projection that one partition of a log tells, saved: so that a start reads a file and what followed, and
//! not the whole log.
//!
//! In: a partition; later the files of some. Out: a [`Saved`] part and its file; a projection that goes on from there.
//! Guarantees: what is restored, and then fed what followed, shows what a fold of the whole log shows; a file that is not
//! whole, or of which a byte was changed, is [`Unusable`]. Parts of different moments fit together: none refers to another.
//! Does not: keep versions, live rates or forecasts, which belong to a run of the process; read or write files.
//!
//! **Format 1.** One zstd frame with its checksum, of lines of JSON: the [`Head`], which says how many lines follow; of the
//! ledger its contracts, latest change last, each with its cards and holds, then the latest decisions of the network that are of
//! this partition; of the station events the sites with their tanks.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;

use hashbrown::HashMap;
use model::{
    CardState, CardToken, DriverId, Fence, GroupId, Languages, PartitionId, ProductCode, SiteId, TerminalId,
    TimestampUs, Topic, VehicleId,
};
use serde::{Deserialize, Serialize};

use super::cards::cannot_buy;
use super::contracts::Contract;
use super::decisions::{DECISIONS_MAX, Line, Recent};
use super::holds::OpenHold;
use super::limits::{LimitName, LimitState};
use super::sites::Site;
use super::tanks::Tank;
use super::{Card, Cursor, Projection, Totals};

/// The format that is written.
const FORMAT: u32 = 1;
/// The least work: a file is small beside what it saves reading.
const LEVEL: i32 = 1;
/// No line is longer: a contract with its cards.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it cannot be read: {0}")]
    Packing(#[from] std::io::Error),
    #[error("line {line} cannot be understood: {source}")]
    Line { line: usize, source: serde_json::Error },
    #[error("its format is {0}, and only 1 is known")]
    Format(u32),
    #[error("it ends after {found} of {told} lines, or goes on behind them")]
    Lines { told: usize, found: usize },
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    stations: bool,
    partition: PartitionId,
    /// The offset at which reading goes on.
    next: i64,
    fence: Fence,
    totals: Totals,
    sold: (i64, i64),
    today: i64,
    /// What limits of cards share; the lines refer to it by place.
    names: Vec<LimitName>,
    lines: usize,
}

/// A limit of a card: the place of its name, its id where the name does not tell it, value, used, held.
type CardLimit = (usize, Option<Box<str>>, i64, i64, i64);

#[derive(Serialize, Deserialize)]
struct SavedCard {
    token: CardToken,
    state: CardState,
    pan_masked: Arc<str>,
    group: Option<GroupId>,
    vehicle: Option<VehicleId>,
    driver: Option<DriverId>,
    last_at: Option<TimestampUs>,
    limits: Vec<CardLimit>,
}

/// A contract, its cards with the latest change last, and its open holds. `C` and `H` are borrowed for writing.
#[derive(Serialize, Deserialize)]
struct SavedContract<C, H> {
    contract: C,
    cards: Vec<SavedCard>,
    holds: Vec<H>,
}

#[derive(Serialize, Deserialize)]
struct SavedSite<I, S, T> {
    id: I,
    site: S,
    tanks: Vec<T>,
}

/// One line behind the head.
#[derive(Serialize, Deserialize)]
enum Row<C, H, D, I, S, T> {
    Contract(SavedContract<C, H>),
    Decision(D),
    Site(SavedSite<I, S, T>),
}
type Written<'a> = Row<&'a Contract, &'a OpenHold, &'a Recent, &'a SiteId, &'a Site, &'a Tank>;
type Known = Row<Box<Contract>, OpenHold, Box<Recent>, SiteId, Site, Tank>;

/// What one partition tells, up to an offset.
pub struct Saved {
    head: Head,
    rows: Vec<Known>,
}

/// The same, written but not packed yet.
pub struct Unpacked {
    pub next: i64,
    lines: Vec<u8>,
}

impl Unpacked {
    /// The file.
    ///
    /// # Panics
    /// When the system has no memory left.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let packed = zstd::Encoder::new(Vec::new(), LEVEL).and_then(|mut packing| {
            packing.include_checksum(true)?;
            packing.write_all(&self.lines)?;
            packing.finish()
        });
        packed.expect("memory takes whatever is written into it")
    }
}

impl Saved {
    /// Reads a file.
    pub fn read(file: &[u8]) -> Result<Self, Unusable> {
        let mut lines = BufReader::new(zstd::Decoder::with_buffer(file)?.single_frame());
        let mut text = Vec::new();
        let mut number = 0;
        let mut next = |text: &mut Vec<u8>| -> Result<bool, Unusable> {
            text.clear();
            lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', text)?;
            Ok(!text.is_empty())
        };
        next(&mut text)?;
        let head: Head = serde_json::from_slice(&text).map_err(|source| Unusable::Line { line: 1, source })?;
        if head.format != FORMAT {
            return Err(Unusable::Format(head.format));
        }
        let mut rows = Vec::new();
        while next(&mut text)? {
            number += 1;
            let row = serde_json::from_slice(&text);
            rows.push(row.map_err(|source| Unusable::Line { line: number + 1, source })?);
        }
        if rows.len() != head.lines {
            return Err(Unusable::Lines { told: head.lines, found: rows.len() });
        }
        Ok(Self { head, rows })
    }

    #[must_use]
    pub fn topic(&self) -> Topic {
        if self.head.stations { Topic::StationEvents } else { Topic::Ledger }
    }
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.head.partition
    }
    /// The offset at which reading goes on.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.head.next
    }
}

fn line(lines: &mut Vec<u8>, value: &impl Serialize) {
    // Only a map with keys that are no texts could fail, and none has one.
    if let Err(error) = serde_json::to_writer(&mut *lines, value) {
        tracing::error!(%error, "a part of the screens cannot be saved");
    }
    lines.push(b'\n');
}

impl Projection {
    /// How far a partition was folded.
    pub(crate) fn next(&self, topic: Topic, partition: PartitionId) -> i64 {
        self.cursors(topic).get(&partition).map_or(0, |cursor| cursor.next)
    }

    fn cursors(&self, topic: Topic) -> &HashMap<PartitionId, Cursor> {
        if topic == Topic::StationEvents { &self.station_events } else { &self.ledger }
    }

    /// What a partition of the ledger or of the station events told so far.
    pub(crate) fn save(&self, topic: Topic, partition: PartitionId) -> Unpacked {
        let stations = topic == Topic::StationEvents;
        let mut lines = Vec::new();
        let mut names = Names::default();
        let mut count = 0;
        let mut row = |row: &Written<'_>| {
            line(&mut lines, row);
            count += 1;
        };
        if stations {
            for (id, site) in self.sites.of(partition) {
                let tanks = site.tanks.iter().map(|place| self.tanks.at(*place)).collect();
                row(&Row::Site(SavedSite { id, site, tanks }));
            }
        } else {
            let mut contracts: Vec<_> = self.contracts.of(partition).collect();
            contracts.reverse();
            for (place, contract) in contracts {
                let mut cards: Vec<_> =
                    self.cards.newest_first(contract.cards).map(|card| names.saved_card(card)).collect();
                cards.reverse();
                let holds = self.holds.of(place).collect();
                row(&Row::Contract(SavedContract { contract, cards, holds }));
            }
            self.decisions.of(partition).for_each(|recent| row(&Row::Decision(recent)));
        }
        let unknown = Cursor::default();
        let Cursor { fence, next, totals, sold } = *self.cursors(topic).get(&partition).unwrap_or(&unknown);
        // Serialized like the owned names that are read.
        let names = serde_json::to_value(&names.names).unwrap_or_default();
        let head = serde_json::json!({
            "format": FORMAT, "stations": stations, "partition": partition, "next": next, "fence": fence,
            "totals": totals, "sold": sold, "today": self.today, "names": names, "lines": count,
        });
        let mut all = Vec::with_capacity(lines.len() + 4096);
        line(&mut all, &head);
        all.extend_from_slice(&lines);
        Unpacked { next, lines: all }
    }

    /// Begins with what was saved of some partitions, before anything else is folded.
    pub(crate) fn restore(&mut self, parts: Vec<Saved>) {
        self.version += 1;
        let mut decisions = Vec::new();
        for Saved { head, rows } in parts {
            let Head { stations, partition, next, fence, totals, sold, today, names, .. } = head;
            let cursors = if stations { &mut self.station_events } else { &mut self.ledger };
            cursors.insert(partition, Cursor { fence, next, totals, sold });
            self.today = self.today.max(today);
            let names: Vec<Arc<LimitName>> = names.into_iter().map(|name| self.cards.name(name)).collect();
            for row in rows {
                match row {
                    Row::Contract(saved) => self.restore_contract(partition, saved, &names),
                    Row::Decision(recent) => decisions.push(*recent),
                    Row::Site(SavedSite { id, site, tanks }) => {
                        let tanks = tanks.into_iter().map(|tank| self.tanks.restore(tank, self.version)).collect();
                        self.sites.restore(id, Site { partition, tanks, ..site });
                    }
                }
            }
        }
        decisions.sort_by_key(|recent| (recent.line.seen_at, recent.line.partition, recent.line.offset));
        let too_many = decisions.len().saturating_sub(DECISIONS_MAX);
        for Recent { mut line, decision } in decisions.into_iter().skip(too_many) {
            if let Some(line) = Arc::get_mut(&mut line) {
                self.share(line);
            }
            self.decisions.push(line, decision);
        }
    }

    fn restore_contract(
        &mut self,
        partition: PartitionId,
        saved: SavedContract<Box<Contract>, OpenHold>,
        names: &[Arc<LimitName>],
    ) {
        let SavedContract { contract, cards, holds } = saved;
        let mut contract = *contract;
        contract.partition = partition;
        (contract.card_count, contract.blocked_count) = (0, 0);
        for line in contract.decisions.iter_mut().filter_map(Arc::get_mut) {
            self.share(line);
            if line.contract_name.as_deref() == Some(&*contract.name) {
                line.contract_name = Some(contract.name.clone());
            }
        }
        let place = self.contracts.restore(contract, self.version);
        let entry = self.contracts.at_mut(place);
        for saved in cards {
            entry.card_count += 1;
            entry.blocked_count += u32::from(cannot_buy(saved.state));
            self.cards.restore(saved.into_card(place, names), &mut entry.cards);
        }
        for hold in holds {
            self.holds.open(OpenHold { contract: place, ..hold });
        }
    }

    /// A line that was read shares with others what those that are folded share; it counts as changed now.
    fn share(&mut self, line: &mut Line) {
        line.version = self.version;
        line.site = self.site_names.one::<SiteId, SiteId>(line.site.clone());
        line.terminal = self.terminal_names.one::<TerminalId, TerminalId>(line.terminal.clone());
        let product = line.product.take();
        line.product = product.map(|product| self.product_names.one::<ProductCode, ProductCode>(product));
        let words = Languages::clone(&line.answer.cashier);
        line.answer.cashier = self.cashier_texts.one::<Languages, Languages>(words);
    }
}

/// Names of limits, numbered as they are met.
#[derive(Default)]
struct Names<'a> {
    names: Vec<&'a LimitName>,
    places: HashMap<*const LimitName, usize>,
}

impl<'a> Names<'a> {
    fn saved_card(&mut self, card: &'a Card) -> SavedCard {
        let limit = |limit: &'a LimitState| {
            let name = *self.places.entry(Arc::as_ptr(&limit.name)).or_insert_with(|| {
                self.names.push(&limit.name);
                self.names.len() - 1
            });
            (name, limit.id.clone(), limit.limit_value, limit.used, limit.held)
        };
        SavedCard {
            limits: card.limits.iter().map(limit).collect(),
            token: card.token.clone(),
            state: card.state,
            pan_masked: card.pan_masked.clone(),
            group: card.group.clone(),
            vehicle: card.vehicle.clone(),
            driver: card.driver.clone(),
            last_at: card.last_at,
        }
    }
}

impl SavedCard {
    fn into_card(self, contract: u32, names: &[Arc<LimitName>]) -> Card {
        let limit = |(name, id, limit_value, used, held): CardLimit| {
            let name = names.get(name)?.clone();
            Some(LimitState { name, id, limit_value, used, held })
        };
        Card {
            token: self.token,
            contract,
            state: self.state,
            pan_masked: self.pan_masked,
            group: self.group,
            vehicle: self.vehicle,
            driver: self.driver,
            limits: self.limits.into_iter().filter_map(limit).collect(),
            last_at: self.last_at,
        }
    }
}

#[cfg(test)]
mod tests;
