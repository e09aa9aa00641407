//! Facts about cards, and the end of a hold by hand or by time.

use std::collections::VecDeque;

use model::{Actor, AuthCode, Block, CardKind, CardToken, DriverId, GroupId, Scope, TimestampUs, Vehicle, VehicleId};

use super::super::lines::Lines;
use super::super::state::{Card, Face, Ix, NONE, PurchaseState, Rules};
use super::super::tables::{Tables, found};
use super::rules::{holder, put_vehicle};
use super::{put_block, review_due, state_of};

type PartyIds<'a> = (Option<&'a GroupId>, Option<&'a VehicleId>, Option<&'a DriverId>);

pub(super) fn issued(
    tables: &mut Tables,
    ix: Ix,
    token: &CardToken,
    (pan_masked, kind): (&str, CardKind),
    parties: PartyIds<'_>,
    (valid_from_us, valid_to_us): (Option<TimestampUs>, Option<TimestampUs>),
) {
    if tables.card(ix, token).is_some() {
        return;
    }
    let (group, vehicle, driver) = party_places(tables, ix, parties);
    let face = Face {
        pan_masked: pan_masked.to_owned(),
        kind,
        valid_from_us: valid_from_us.map_or(i64::MIN, TimestampUs::get),
        valid_to_us: valid_to_us.map_or(i64::MAX, TimestampUs::get),
        closure: None,
        blocks: Vec::new(),
        lifted_until: Vec::new(),
        pin_tries: 0,
        pin_locked_until_us: i64::MIN,
    };
    let mut card = Card {
        token: token.clone(),
        contract: ix,
        group,
        vehicle,
        driver,
        plain: true,
        rules: Rules::default(),
        purchases: VecDeque::new(),
        oldest_us: i64::MAX,
        last_visit: TimestampUs::default(),
        last_seen: None,
        odometer: None,
        face: Box::new(face),
        older: Vec::new(),
    };
    card.review();
    tables.add_card(card);
}

pub(super) fn blocked(tables: &mut Tables, ix: Ix, card: &CardToken, block: Block) {
    with_face(tables, ix, card, |face| {
        face.lifted_until.retain(|(who, _)| *who != block.actor);
        put_block(&mut face.blocks, block);
    });
}

pub(super) fn unblocked(tables: &mut Tables, ix: Ix, card: &CardToken, actor: Actor, until_us: Option<TimestampUs>) {
    with_face(tables, ix, card, |face| {
        face.lifted_until.retain(|(who, _)| *who != actor);
        match until_us {
            Some(until) => face.lifted_until.push((actor, until)),
            None => face.blocks.retain(|block| block.actor != actor),
        }
    });
}

pub(super) fn assigned(tables: &mut Tables, ix: Ix, card: &CardToken, parties: PartyIds<'_>) {
    let places = party_places(tables, ix, parties);
    if let Some(card) = tables.card(ix, card).and_then(|card| tables.cards.get_mut(card as usize)) {
        (card.group, card.vehicle, card.driver) = places;
    }
}

/// A hold ends without a purchase; false where there is none that is open.
pub(in super::super) fn expire(tables: &mut Tables, card: Ix, auth: i64) -> bool {
    let held = state_of(tables, card, auth) == Some(PurchaseState::Held);
    if held {
        tables.change(card, auth, PurchaseState::Expired, Lines::default());
    }
    held
}

pub(super) fn end_hold(
    tables: &mut Tables,
    ix: Ix,
    card: &CardToken,
    auth_code: &AuthCode,
    ended_at: Option<TimestampUs>,
) {
    if let (Some(card), Some(auth)) = (tables.card(ix, card), tables.auth_of(auth_code.as_str()))
        && expire(tables, card, auth)
    {
        let purchase = tables.cards.get_mut(card as usize).and_then(|card| {
            let place = card.place_of(auth)?;
            card.purchases.get_mut(place)
        });
        if let (Some(purchase), Some(ended_at)) = (purchase, ended_at) {
            purchase.expires_at_us = ended_at.get();
        }
    }
    review_due(tables, ix);
}

fn party_places(tables: &mut Tables, ix: Ix, (group, vehicle, driver): PartyIds<'_>) -> (Ix, Ix, Ix) {
    // A card may name a vehicle or a driver that nobody has described yet.
    if let Some(id) = vehicle
        && holder(tables, ix, &Scope::Vehicle(id.clone())).is_none()
    {
        put_vehicle(tables, ix, &Vehicle { id: id.clone(), tank_ml: None, fuel: None });
    }
    let parties = tables.contracts.get(ix as usize).and_then(|contract| contract.parties.as_ref());
    let Some(parties) = parties else { return (NONE, NONE, NONE) };
    (
        group.map_or(NONE, |id| found(parties.group_ix.get(id))),
        vehicle.map_or(NONE, |id| found(parties.vehicle_ix.get(id))),
        driver.map_or(NONE, |id| found(parties.driver_ix.get(id))),
    )
}

pub(super) fn with_face(tables: &mut Tables, ix: Ix, token: &CardToken, change: impl FnOnce(&mut Face)) {
    if let Some(card) = tables.card(ix, token).and_then(|card| tables.cards.get_mut(card as usize)) {
        change(&mut card.face);
        card.review();
    }
}
