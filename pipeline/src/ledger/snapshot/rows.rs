//! Contracts, settings and cards as rows of a snapshot, and back.
//!
//! A slice of contracts or cards holds rows, each after four bytes with its length; a slice of settings the place of their
//! contract, their number in four bytes, and the settings.
//!
//! What follows from other rows is not written but made again: a contract's cards and the names of its limits and parties,
//! whether a card is plain, when its oldest purchase arrived.

use std::collections::VecDeque;

use model::{CardToken, Location, TimestampUs};
use serde::{Deserialize, Serialize};

use super::fields::place;
use super::slices::{Broken, put, take};
use crate::ledger::calendar::Local;
use crate::ledger::kept::Row;
use crate::ledger::lines::Lines;
use crate::ledger::settings::{Packed, Settings};
use crate::ledger::state::{Card, Contract, Face, Ix, MonthSum, Parties, Purchase, PurchaseState, Rules};

const DAY_SECS: i64 = 86_400;
/// The least that a purchase takes: no room is made for more than the slice can hold.
const PURCHASE_BYTES_MIN: usize = 14;
/// Bytes for the number of settings in a slice.
const COUNT_LEN: usize = 4;

impl Row for Contract {
    fn put(&self, ix: Ix, into: &mut Vec<u8>) {
        put(into, &(ix, self.settings.len(), self.settings.count_of_names()));
        put(into, self);
        self.settings.put_names(into);
    }

    fn take(mut bytes: &[u8]) -> Result<(Ix, Self), Broken> {
        let (ix, promised, count_of_names, mut contract) = take_contract(&mut bytes)?;
        let names = bytes.to_vec();
        contract.settings = Settings::of_snapshot(Packed { promised, count_of_names, names, ..Packed::default() });
        Ok((ix, contract))
    }

    fn owed(&self) -> usize {
        self.settings.len()
    }
}

/// A contract with how many settings and names of limits it has: these come after it.
pub(super) fn take_contract(from: &mut &[u8]) -> Result<(Ix, usize, usize, Contract), Broken> {
    let (ix, settings, names): (Ix, usize, usize) = take(from)?;
    let mut contract: Contract = take(from)?;
    if let Some(parties) = &mut contract.parties {
        index_parties(parties);
    }
    Ok((ix, settings, names, contract))
}

fn index_parties(parties: &mut Parties) {
    let Parties { groups, vehicles, drivers, group_ix, vehicle_ix, driver_ix } = parties;
    *group_ix = (0..).zip(groups).map(|(ix, group)| (group.party.id.clone(), ix)).collect();
    *vehicle_ix = (0..).zip(vehicles).map(|(ix, vehicle)| (vehicle.party.id.clone(), ix)).collect();
    *driver_ix = (0..).zip(drivers).map(|(ix, driver)| (driver.party.id.clone(), ix)).collect();
}

/// Settings of a contract from `from` up to `until`, until about `enough` bytes; gives the next. As they came from a
/// snapshot they are copied all at once.
pub(super) fn put_settings(
    (ix, settings): (Ix, &Settings),
    (from, until): (usize, usize),
    enough: usize,
    into: &mut Vec<u8>,
) -> usize {
    put(into, &ix);
    let place = into.len();
    into.extend_from_slice(&[0; COUNT_LEN]);
    let mut next = from;
    match settings.packed() {
        Some(packed) if from == 0 && packed.promised == until => {
            into.extend_from_slice(&packed.settings);
            next = until;
        }
        _ => {
            for setting in settings.all().iter().take(until).skip(from) {
                if next > from && into.len() >= enough {
                    break;
                }
                put(into, setting);
                next += 1;
            }
        }
    }
    let count = u32::try_from(next - from).unwrap_or(u32::MAX);
    if let Some(place) = into.get_mut(place..place + COUNT_LEN) {
        place.copy_from_slice(&count.to_le_bytes());
    }
    next
}

/// The contract of a slice of settings, and how many follow.
pub(super) fn take_settings(from: &mut &[u8]) -> Result<(Ix, usize), Broken> {
    let ix = take(from)?;
    let (count, rest) = from.split_first_chunk().ok_or(Broken("a slice that ends in the middle"))?;
    *from = rest;
    Ok((ix, u32::from_le_bytes(*count) as usize))
}

#[derive(Serialize, Deserialize)]
struct CardHead<Token, Body> {
    ix: Ix,
    token: Token,
    contract: Ix,
    #[serde(with = "place")]
    group: Ix,
    #[serde(with = "place")]
    vehicle: Ix,
    #[serde(with = "place")]
    driver: Ix,
    last_visit: TimestampUs,
    last_seen: Option<(TimestampUs, Location)>,
    odometer: Option<u32>,
    body: Body,
    purchases: usize,
}

impl Row for Card {
    fn put(&self, ix: Ix, into: &mut Vec<u8>) {
        let head = CardHead {
            ix,
            token: &self.token,
            contract: self.contract,
            group: self.group,
            vehicle: self.vehicle,
            driver: self.driver,
            last_visit: self.last_visit,
            last_seen: self.last_seen,
            odometer: self.odometer,
            body: (&self.rules, &self.face, &self.older),
            purchases: self.purchases.len(),
        };
        put(into, &head);
        let mut before = (0, 0);
        for purchase in &self.purchases {
            put(into, &PurchaseRow::new(purchase, before));
            before = (purchase.auth, purchase.received_at.get());
        }
    }

    fn take(mut bytes: &[u8]) -> Result<(Ix, Self), Broken> {
        let row = take_card(&mut bytes)?;
        if bytes.is_empty() { Ok(row) } else { Err(Broken("a card that goes on after its end")) }
    }
}

/// The place of a packed card, its token and its contract: with them it is found.
pub(super) fn card_head(row: &[u8]) -> Result<(Ix, &str, Ix), Broken> {
    let mut row = row;
    Ok((take(&mut row)?, take(&mut row)?, take(&mut row)?))
}

pub(super) fn take_card(from: &mut &[u8]) -> Result<(Ix, Card), Broken> {
    let head: CardHead<CardToken, (Rules, Box<Face>, Vec<MonthSum>)> = take(from)?;
    // Room for one more: the next purchase comes before the oldest one goes.
    let room = if head.purchases == 0 { 0 } else { head.purchases.min(from.len() / PURCHASE_BYTES_MIN) + 1 };
    let mut purchases = VecDeque::with_capacity(room);
    let mut before = (0, 0);
    for _ in 0..head.purchases {
        let row: PurchaseRow = take(from)?;
        let purchase = row.purchase(before)?;
        before = (purchase.auth, purchase.received_at.get());
        purchases.push_back(purchase);
    }
    let (rules, face, older) = head.body;
    let mut card = Card {
        token: head.token,
        contract: head.contract,
        group: head.group,
        vehicle: head.vehicle,
        driver: head.driver,
        plain: false,
        rules,
        oldest_us: purchases.front().map_or(i64::MAX, |purchase: &Purchase| purchase.received_at.get()),
        purchases,
        last_visit: head.last_visit,
        last_seen: head.last_seen,
        odometer: head.odometer,
        face,
        older,
    };
    card.review();
    Ok((head.ix, card))
}

/// A purchase beside the one before it: most figures then fit into a byte or two.
#[derive(Serialize, Deserialize)]
struct PurchaseRow {
    auth_after: i64,
    received_after_us: i64,
    at_after_received_us: i64,
    /// Local time less UTC, in whole seconds.
    local_after_secs: i64,
    expires_after_us: Option<i64>,
    lines: Lines,
    #[serde(with = "place")]
    group: Ix,
    #[serde(with = "place")]
    vehicle: Ix,
    #[serde(with = "place")]
    driver: Ix,
    terminal: u32,
    bills: u32,
    state: PurchaseState,
    offline: bool,
    visit: bool,
}

impl PurchaseRow {
    fn new(purchase: &Purchase, (auth, received_us): (i64, i64)) -> Self {
        let Purchase { at, received_at, local, expires_at_us, group, vehicle, driver, .. } = *purchase;
        let local_secs = i64::from(local.day) * DAY_SECS + i64::from(local.second);
        Self {
            auth_after: purchase.auth.wrapping_sub(auth),
            received_after_us: received_at.get() - received_us,
            at_after_received_us: at.get() - received_at.get(),
            local_after_secs: local_secs - at.get().div_euclid(model::MICROS_PER_SECOND),
            expires_after_us: (expires_at_us != 0).then(|| expires_at_us.wrapping_sub(at.get())),
            lines: purchase.lines.clone(),
            group,
            vehicle,
            driver,
            terminal: purchase.terminal,
            bills: purchase.bills,
            state: purchase.state,
            offline: purchase.offline,
            visit: purchase.visit,
        }
    }

    fn purchase(self, (auth, received_us): (i64, i64)) -> Result<Purchase, Broken> {
        let received_at = TimestampUs::from_micros(received_us.wrapping_add(self.received_after_us));
        let at = received_at.plus_us(self.at_after_received_us);
        let local_secs = at.get().div_euclid(model::MICROS_PER_SECOND).wrapping_add(self.local_after_secs);
        let day = i32::try_from(local_secs.div_euclid(DAY_SECS)).map_err(|_| Broken("a day that there is not"))?;
        let second = u32::try_from(local_secs.rem_euclid(DAY_SECS)).unwrap_or(0);
        Ok(Purchase {
            auth: auth.wrapping_add(self.auth_after),
            at,
            received_at,
            local: Local { day, second },
            expires_at_us: self.expires_after_us.map_or(0, |after| at.get().wrapping_add(after)),
            lines: self.lines,
            group: self.group,
            vehicle: self.vehicle,
            driver: self.driver,
            terminal: self.terminal,
            bills: self.bills,
            state: self.state,
            offline: self.offline,
            visit: self.visit,
        })
    }
}
