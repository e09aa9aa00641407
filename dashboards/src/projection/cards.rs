//! All cards, compact: a million of them fit in some 300 MB.
//!
//! In: [`CardView`]s of ledger records. Out: the cards of a contract, latest change first, and a card by its token.
//! Guarantees: the latest view of every card; the names of limits and windows, which thousands of cards share, are kept once.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use model::{CardState, CardToken, CardView, Headroom, Measure, TimestampUs};

use super::recency::{Links, List};
use super::shared::Shared;

/// What is the same for all cards with a limit in the same window.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct LimitName {
    pub(crate) limit: String,
    pub(crate) window: String,
    pub(crate) measure: Measure,
}

/// One limit of one card. What is left is computed.
#[derive(Debug)]
pub(crate) struct CardLimit {
    pub(crate) name: Arc<LimitName>,
    pub(crate) limit_value: i64,
    pub(crate) used: i64,
    pub(crate) held: i64,
}

#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) token: CardToken,
    /// The contract's place in the list of contracts. A card never changes its contract.
    pub(crate) contract: u32,
    pub(crate) state: CardState,
    pub(crate) pan_masked: Arc<str>,
    pub(crate) vehicle: Option<Box<str>>,
    pub(crate) limits: Box<[CardLimit]>,
    /// Event time of the latest decision on this card.
    pub(crate) last_at: Option<TimestampUs>,
}

/// What a view did to the card it shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CardChange {
    pub(crate) is_new: bool,
    pub(crate) was_blocked: bool,
    pub(crate) is_blocked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Cards {
    cards: Vec<Card>,
    links: Links,
    by_token: HashTable<u32>,
    hasher: DefaultHashBuilder,
    names: Shared<Arc<LimitName>>,
}

impl Cards {
    /// Takes over `view`; `list` holds the cards of `contract`.
    pub(crate) fn apply(&mut self, view: CardView, contract: u32, list: &mut List) -> CardChange {
        let is_blocked = view.state == CardState::Blocked;
        let Some(place) = self.place(&view.card) else {
            let limits = view.headroom.into_iter().map(|headroom| card_limit(&mut self.names, headroom)).collect();
            let place = u32::try_from(self.cards.len()).unwrap_or(u32::MAX);
            let (cards, hasher) = (&self.cards, &self.hasher);
            let hash_of = |place: &u32| hasher.hash_one(&cards[*place as usize].token);
            self.by_token.insert_unique(hasher.hash_one(&view.card), place, hash_of);
            self.cards.push(Card {
                token: view.card,
                contract,
                state: view.state,
                pan_masked: view.pan_masked.into(),
                vehicle: view.vehicle.map(String::into_boxed_str),
                limits,
                last_at: None,
            });
            self.links.add(list);
            return CardChange { is_new: true, was_blocked: false, is_blocked };
        };
        let card = &mut self.cards[place as usize];
        let was_blocked = card.state == CardState::Blocked;
        card.state = view.state;
        if *card.pan_masked != *view.pan_masked {
            card.pan_masked = view.pan_masked.into();
        }
        if card.vehicle.as_deref() != view.vehicle.as_deref() {
            card.vehicle = view.vehicle.map(String::into_boxed_str);
        }
        replace(&mut self.names, &mut card.limits, view.headroom);
        if card.contract == contract {
            self.links.touch(list, place);
        }
        CardChange { is_new: false, was_blocked, is_blocked }
    }

    /// A decision on this card was made at `at`. Returns the card if it is known.
    pub(crate) fn used(&mut self, token: &CardToken, at: TimestampUs) -> Option<&Card> {
        let place = self.place(token)?;
        let card = &mut self.cards[place as usize];
        card.last_at = card.last_at.max(Some(at));
        Some(card)
    }

    /// A limit whose name is shared with those of the cards.
    pub(crate) fn limit(&mut self, headroom: Headroom) -> CardLimit {
        card_limit(&mut self.names, headroom)
    }

    pub(crate) fn get(&self, token: &CardToken) -> Option<&Card> {
        self.place(token).map(|place| &self.cards[place as usize])
    }

    /// The cards of a contract's list, latest change first.
    pub(crate) fn newest_first(&self, list: List) -> impl Iterator<Item = &Card> {
        self.links.newest_first(list).map(|place| &self.cards[place])
    }

    fn place(&self, token: &CardToken) -> Option<u32> {
        let hash = self.hasher.hash_one(token);
        self.by_token.find(hash, |place| self.cards[*place as usize].token == *token).copied()
    }
}

/// Overwrites `limits` in place where the same limits come again, which is nearly always.
fn replace(names: &mut Shared<Arc<LimitName>>, limits: &mut Box<[CardLimit]>, headroom: Vec<Headroom>) {
    if limits.len() != headroom.len() {
        *limits = headroom.into_iter().map(|headroom| card_limit(names, headroom)).collect();
        return;
    }
    for (limit, headroom) in limits.iter_mut().zip(headroom) {
        let name = &limit.name;
        if name.measure == headroom.measure && name.limit == headroom.limit && name.window == headroom.window {
            (limit.limit_value, limit.used, limit.held) = (headroom.limit_value, headroom.used, headroom.held);
        } else {
            *limit = card_limit(names, headroom);
        }
    }
}

fn card_limit(names: &mut Shared<Arc<LimitName>>, headroom: Headroom) -> CardLimit {
    let Headroom { limit, measure, window, limit_value, used, held, left: _ } = headroom;
    let name = names.one::<LimitName, LimitName>(LimitName { limit, window, measure });
    CardLimit { name, limit_value, used, held }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(card: &str, state: CardState, day: u32, used: i64) -> CardView {
        CardView {
            card: CardToken::new(card).expect("a token"),
            pan_masked: "1234".into(),
            vehicle: None,
            state,
            headroom: vec![Headroom {
                limit: "daily volume".into(),
                measure: Measure::Volume,
                window: format!("day {day}"),
                limit_value: 100,
                used,
                held: 0,
                left: 100 - used,
            }],
        }
    }

    #[test]
    fn a_contract_shows_its_cards_latest_change_first() {
        let (mut cards, mut list) = (Cards::default(), List::default());
        for card in ["a", "b", "c"] {
            assert!(cards.apply(view(card, CardState::Active, 1, 0), 0, &mut list).is_new);
        }
        let change = cards.apply(view("a", CardState::Blocked, 1, 7), 0, &mut list);
        assert_eq!(change, CardChange { is_new: false, was_blocked: false, is_blocked: true });
        let order: Vec<_> = cards.newest_first(list).map(|card| card.token.as_str()).collect();
        assert_eq!(order, ["a", "c", "b"]);
        assert_eq!(cards.get(&CardToken::new("a").expect("a token")).expect("known").limits[0].used, 7);
        assert!(cards.get(&CardToken::new("d").expect("a token")).is_none());
    }

    #[test]
    fn cards_with_the_same_limit_share_its_name() {
        let (mut cards, mut list) = (Cards::default(), List::default());
        for day in 1..4 {
            cards.apply(view("a", CardState::Active, day, 0), 0, &mut list);
            cards.apply(view("b", CardState::Active, day, 0), 0, &mut list);
        }
        let name_of =
            |card: &str| cards.get(&CardToken::new(card).expect("a token")).expect("known").limits[0].name.clone();
        assert_eq!(name_of("a").window, "day 3");
        assert!(Arc::ptr_eq(&name_of("a"), &name_of("b")));
    }
}
