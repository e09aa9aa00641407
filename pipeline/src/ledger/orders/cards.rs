//! Orders about cards and open holds.

use model::{
    Actor, AuthCode, Block, CardKind, CardToken, Closure, Code, DriverId, Fact, GroupId, Scope, TimestampUs, VehicleId,
};

use super::super::state::{Ix, PurchaseState};
use super::{Facts, Order, Refusal, invalid, one, ordered, words};

/// Digits of a card number that people may see.
const PAN_DIGITS_MAX: usize = 4;

/// A card that is to be issued.
pub(super) struct Issue<'a> {
    pub(super) card: &'a CardToken,
    pub(super) pan_masked: &'a str,
    pub(super) kind: CardKind,
    pub(super) group: Option<&'a GroupId>,
    pub(super) vehicle: Option<&'a VehicleId>,
    pub(super) driver: Option<&'a DriverId>,
    pub(super) valid_from_us: Option<TimestampUs>,
    pub(super) valid_to_us: Option<TimestampUs>,
    /// Litres and money a day.
    pub(super) daily: (Option<i64>, Option<i64>),
}

impl Order<'_> {
    pub(super) fn issue(&self, issue: &Issue<'_>) -> Facts {
        let Issue { card, pan_masked, kind, group, vehicle, driver, valid_from_us, valid_to_us, daily } = *issue;
        if self.tables.card(self.ix, card).is_some() {
            return Err(Refusal(Code::CardExists, format!("card {card} is issued already")));
        }
        if pan_masked.chars().filter(char::is_ascii_digit).count() > PAN_DIGITS_MAX {
            return Err(invalid("pan_masked shows more than four digits"));
        }
        ordered(valid_from_us, valid_to_us)?;
        self.assigned(group, driver)?;
        let mut facts = vec![Fact::CardIssued {
            card: card.clone(),
            pan_masked: words("pan_masked", pan_masked)?,
            kind,
            group: group.cloned(),
            vehicle: vehicle.cloned(),
            driver: driver.cloned(),
            valid_from_us,
            valid_to_us,
        }];
        facts.extend(self.daily(card, daily, false)?);
        Ok(facts)
    }

    pub(super) fn block(&self, card: &CardToken, actor: Actor, reason: &str, until_us: Option<TimestampUs>) -> Facts {
        self.open_card(card)?;
        let reason = words("reason", reason)?;
        one(Fact::CardBlocked { card: card.clone(), actor, reason, until_us })
    }

    pub(super) fn unblock(&self, card: &CardToken, actor: Actor, until_us: Option<TimestampUs>) -> Facts {
        let ix = self.open_card(card)?;
        let face = self.tables.cards.get(ix as usize).map(|card| &card.face);
        let blocks = face.map_or(&[][..], |face| &face.blocks);
        may_unblock(&format!("card {card}"), blocks, actor)?;
        one(Fact::CardUnblocked { card: card.clone(), actor, until_us })
    }

    pub(super) fn close(&self, card: &CardToken, closure: Closure) -> Facts {
        self.open_card(card)?;
        one(Fact::CardClosed { card: card.clone(), closure })
    }

    pub(super) fn assign(
        &self,
        card: &CardToken,
        group: Option<&GroupId>,
        vehicle: Option<&VehicleId>,
        driver: Option<&DriverId>,
    ) -> Facts {
        self.issued(card)?;
        self.assigned(group, driver)?;
        let (group, vehicle, driver) = (group.cloned(), vehicle.cloned(), driver.cloned());
        one(Fact::CardAssigned { card: card.clone(), group, vehicle, driver })
    }

    fn assigned(&self, group: Option<&GroupId>, driver: Option<&DriverId>) -> Result<(), Refusal> {
        if let Some(group) = group {
            self.scope_known(&Scope::Group(group.clone()))?;
        }
        driver.map_or(Ok(()), |driver| self.scope_known(&Scope::Driver(driver.clone())))
    }

    pub(super) fn release(&self, auth_code: &AuthCode, reason: &str) -> Facts {
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

    pub(super) fn issued(&self, card: &CardToken) -> Result<Ix, Refusal> {
        self.tables
            .card(self.ix, card)
            .ok_or_else(|| Refusal(Code::CardUnknown, format!("card {card} is not in the contract")))
    }
}

/// Nobody lifts a block of others; lifting what does not stand is harmless.
pub(super) fn may_unblock(what: &str, blocks: &[Block], actor: Actor) -> Result<(), Refusal> {
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
