//! All cards, compact: a million of them fit in some 300 MB.
//!
//! In: [`CardView`]s of ledger records. Out: the cards of a contract, latest change first, and a card by its token.
//! Guarantees: the latest view of every card; the names of limits and windows, which thousands of cards share, are kept once.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use model::{CardState, CardToken, CardView, DriverId, GroupId, Headroom, TimestampUs, VehicleId};

use super::limits::{LimitName, LimitNames, LimitState};
use super::recency::{Links, List};

#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) token: CardToken,
    /// The contract's place in the list of contracts. A card never changes its contract.
    pub(crate) contract: u32,
    pub(crate) state: CardState,
    pub(crate) pan_masked: Arc<str>,
    pub(crate) group: Option<GroupId>,
    pub(crate) vehicle: Option<VehicleId>,
    pub(crate) driver: Option<DriverId>,
    pub(crate) limits: Box<[LimitState]>,
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
    names: LimitNames,
}

impl Cards {
    /// Takes over `view`; `list` holds the cards of `contract`.
    pub(crate) fn apply(&mut self, view: CardView, contract: u32, list: &mut List) -> CardChange {
        let is_blocked = cannot_buy(view.state);
        let Some(place) = self.place(&view.card) else {
            let limits = view.headroom.into_iter().map(|headroom| self.names.state(headroom, &view.card)).collect();
            let place = u32::try_from(self.cards.len()).unwrap_or(u32::MAX);
            let (cards, hasher) = (&self.cards, &self.hasher);
            let hash_of = |place: &u32| hasher.hash_one(&cards[*place as usize].token);
            self.by_token.insert_unique(hasher.hash_one(&view.card), place, hash_of);
            self.cards.push(Card {
                token: view.card,
                contract,
                state: view.state,
                pan_masked: view.pan_masked.into(),
                group: view.group,
                vehicle: view.vehicle,
                driver: view.driver,
                limits,
                last_at: None,
            });
            self.links.add(list);
            return CardChange { is_new: true, was_blocked: false, is_blocked };
        };
        let card = &mut self.cards[place as usize];
        let was_blocked = cannot_buy(card.state);
        card.state = view.state;
        if *card.pan_masked != *view.pan_masked {
            card.pan_masked = view.pan_masked.into();
        }
        if card.group != view.group {
            card.group = view.group;
        }
        if card.vehicle != view.vehicle {
            card.vehicle = view.vehicle;
        }
        if card.driver != view.driver {
            card.driver = view.driver;
        }
        self.names.replace(&mut card.limits, view.headroom, &card.token);
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

    /// A limit in a decision on `card`, whose name is shared with those of the cards.
    pub(crate) fn limit(&mut self, headroom: Headroom, card: &CardToken) -> LimitState {
        self.names.state(headroom, card)
    }

    pub(crate) fn get(&self, token: &CardToken) -> Option<&Card> {
        self.place(token).map(|place| &self.cards[place as usize])
    }

    /// A card as it was saved; it comes to the front of `list`, the one of its contract.
    pub(super) fn restore(&mut self, card: Card, list: &mut List) {
        let place = u32::try_from(self.cards.len()).unwrap_or(u32::MAX);
        let hash = self.hasher.hash_one(&card.token);
        self.cards.push(card);
        let (cards, hasher) = (&self.cards, &self.hasher);
        self.by_token.insert_unique(hash, place, |place| hasher.hash_one(&cards[*place as usize].token));
        self.links.add(list);
    }

    /// The name that was remembered, or this one from now on.
    pub(super) fn name(&mut self, name: LimitName) -> Arc<LimitName> {
        self.names.one(name)
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

/// Whether every purchase with a card in this state is declined.
pub(crate) fn cannot_buy(state: CardState) -> bool {
    match state {
        CardState::Active => false,
        CardState::Blocked
        | CardState::PinLocked
        | CardState::NotYet
        | CardState::Expired
        | CardState::Lost
        | CardState::Stolen
        | CardState::Closed => true,
    }
}

#[cfg(test)]
mod tests {
    use model::{CalendarUnit, LimitMode, Measure, ProductSelector, Scope, Window};

    use super::*;

    fn view(card: &str, state: CardState, day: u32, used: i64) -> CardView {
        CardView {
            card: CardToken::new(card).expect("a token"),
            pan_masked: "1234".into(),
            vehicle: None,
            group: None,
            driver: None,
            state,
            headroom: vec![Headroom {
                limit: format!("{card}:daily-volume"),
                version: 1,
                scope: Scope::Card(CardToken::new(card).expect("a token")),
                product: ProductSelector::All,
                measure: Measure::Volume,
                mode: LimitMode::Decline,
                span: Window::Calendar { unit: CalendarUnit::Day, count: 1 },
                window: format!("day {day}"),
                period: i64::from(day),
                limit_value: 100,
                used,
                held: 0,
                left: 100 - used,
                left_ml: None,
                left_minor: None,
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
        let card = cards.get(&CardToken::new("b").expect("a token")).expect("known");
        assert_eq!(card.limits[0].id(&card.token), "b:daily-volume");
    }
}
