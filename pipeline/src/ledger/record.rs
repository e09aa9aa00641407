//! From figures to the record of `fuel.ledger`: names, words, texts.
//!
//! In: what was done about a request, and the names of the shard. Out: the outcome as it is written. Guarantees: only what
//! was decided is told: the same figures give the same bytes, now and for every repeat of the request. Does not: decide,
//! or change anything.

use model::{
    Allowed, CardState, CardView, Code, Currency, Decision, Fact, Headroom, Hold, IdempotencyKey, Item, LimitMode,
    Measure, Millilitres, Outcome, PriceE4, ProductSelector, Request, RequestBody, Scope, SoldItem, TimestampUs,
    Transaction, TransactionKind, Unit, Verdict, Window,
};

use super::answers::{Answers, BALANCE, Decided, Figure};
use super::auth_code::auth_code;
use super::calendar;
use super::decide::Effect;
use super::lines::{Line, Lines, Quantity};
use super::state::{Contract, Ix, Money, NONE, minor};
use super::tables::Tables;
use super::texts::{self, Amounts, Subject};

/// What was done about one request.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) offset: i64,
    pub(super) request: Request,
    pub(super) contract: Ix,
    pub(super) fingerprint: u64,
    /// Holds that had expired before the request: card and authorization.
    pub(super) expired: Vec<(Ix, i64)>,
    /// What else time brought about before it.
    pub(super) before: Vec<Fact>,
    pub(super) body: Body,
    /// Alerts that follow from it.
    pub(super) after: Vec<Fact>,
    pub(super) money: Option<Money>,
    pub(super) views: Views,
}

#[derive(Debug)]
pub(super) enum Body {
    /// A repeat of an origin, or a tick: what it brought about came before it.
    Nothing,
    Order(Vec<Fact>),
    /// The answer that is kept at this place.
    Answered {
        place: u64,
        effect: Effect,
        replayed: bool,
    },
    /// An answer that is not kept: its key has another one.
    Refused(Box<Decided>),
}

/// A card that was touched, as it stands after the facts.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) card: Ix,
    pub(super) group: Ix,
    pub(super) vehicle: Ix,
    pub(super) driver: Ix,
    pub(super) state: CardState,
    /// Its limits are so many of the figures of the batch, from there on.
    pub(super) figures: u8,
    pub(super) from: u32,
}

/// The cards that were touched, each once; nearly always one at most.
#[derive(Debug, Default)]
pub(super) struct Views {
    first: Option<View>,
    more: Vec<View>,
}

impl Views {
    /// A later view of a card takes the place of the earlier one.
    pub(super) fn put(&mut self, view: View) {
        match self.first {
            None => self.first = Some(view),
            Some(first) if first.card == view.card && self.more.is_empty() => self.first = Some(view),
            Some(first) if first.card == view.card => {
                self.first = Some(self.more.remove(0));
                self.more.push(view);
            }
            Some(_) => {
                self.more.retain(|known| known.card != view.card);
                self.more.push(view);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &View> {
        self.first.iter().chain(&self.more)
    }
}

/// Makes the records of one batch.
pub(super) struct Recording<'a> {
    pub(super) tables: &'a Tables,
    pub(super) answers: &'a Answers,
    /// Limits after the facts, of all outcomes of the batch.
    pub(super) after: &'a [Figure],
}

impl Recording<'_> {
    pub(super) fn outcome(&self, done: Done) -> Outcome {
        let Done { offset, request, contract, fingerprint, expired, before, body, after, money, views } = done;
        let known = self.tables.contracts.get(contract as usize);
        let mut outcome = Outcome {
            request: offset,
            origin: request.origin,
            idem: request.idem().clone(),
            at_us: request.at(),
            received_at_us: request.received_at_us,
            contract: match &request.body {
                RequestBody::Transaction(_) | RequestBody::Tick(_) => request.contract.clone(),
                RequestBody::Command(message) => Some(message.contract.clone()),
            },
            author: None,
            fingerprint: None,
            facts: expired.into_iter().filter_map(|hold| self.expired(hold)).chain(before).collect(),
            balance: money.zip(known).map(|(money, contract)| money.balance(contract.currency)),
            cards: Vec::new(),
        };
        match (&request.body, body) {
            (RequestBody::Transaction(transaction), Body::Answered { place, effect, replayed }) => {
                if let Some(decided) = self.answers.decision(place) {
                    let figures = self.answers.figures(place);
                    self.decision(transaction, (decided, figures, effect), fingerprint, replayed, &mut outcome.facts);
                }
            }
            (RequestBody::Transaction(transaction), Body::Refused(decided)) => {
                let shown = (&*decided, &[][..], Effect::Nothing);
                self.decision(transaction, shown, fingerprint, false, &mut outcome.facts);
            }
            (RequestBody::Command(message), Body::Order(facts)) => {
                outcome.fingerprint = Some(fingerprint);
                outcome.author = Some(message.author.clone());
                outcome.facts.extend(facts);
            }
            _ => {}
        }
        outcome.facts.extend(after);
        outcome.cards =
            known.map_or_else(Vec::new, |contract| views.iter().filter_map(|view| self.view(contract, view)).collect());
        outcome
    }

    fn expired(&self, (card, auth): (Ix, i64)) -> Option<Fact> {
        let card = self.tables.cards.get(card as usize)?.token.clone();
        Some(Fact::HoldExpired { card, auth_code: auth_code(self.tables.partition, auth) })
    }

    fn view(&self, contract: &Contract, view: &View) -> Option<CardView> {
        let card = self.tables.cards.get(view.card as usize)?;
        let from = view.from as usize;
        let figures = self.after.get(from..from + usize::from(view.figures)).unwrap_or_default();
        Some(CardView {
            card: card.token.clone(),
            pan_masked: card.face.pan_masked.clone(),
            vehicle: contract.vehicle(view.vehicle).map(|vehicle| vehicle.party.id.clone()),
            group: contract.group(view.group).map(|group| group.party.id.clone()),
            driver: contract.driver(view.driver).map(|driver| driver.party.id.clone()),
            state: view.state,
            headroom: figures.iter().filter_map(|figure| headroom(self.tables, contract, figure, None, &[])).collect(),
        })
    }

    /// The answer, and the posting that follows from it.
    fn decision(
        &self,
        transaction: &Transaction,
        (decided, figures, effect): (&Decided, &[Figure], Effect),
        fingerprint: u64,
        replayed: bool,
        facts: &mut Vec<Fact>,
    ) {
        let decision = self.rendered(transaction, decided, figures, replayed);
        let contract = self.tables.contracts.get(decided.contract as usize);
        let purchase = decided.auth.and_then(|auth| self.tables.cards.get(decided.card as usize)?.purchase(auth));
        let party = |ix: Option<Ix>| ix.filter(|ix| *ix != NONE);
        let vehicle = party(purchase.map(|purchase| purchase.vehicle));
        let driver = party(purchase.map(|purchase| purchase.driver));
        let auth_code = decision.auth_code.clone();
        let sold = match effect {
            Effect::Post | Effect::GiveBack => sold_items(&transaction.items, &decided.allowed),
            Effect::Void => self.voided_items(&decided.allowed),
            Effect::Nothing | Effect::Hold | Effect::Extend | Effect::Release => Vec::new(),
        };
        facts.push(Fact::Decided {
            kind: transaction.kind,
            card: transaction.card.token.clone(),
            site: transaction.site.clone(),
            terminal: transaction.terminal.clone(),
            pump: transaction.pump,
            location: transaction.location,
            items: asked_items(&transaction.items, transaction.currency),
            vehicle: vehicle.and_then(|ix| contract?.vehicle(ix)).map(|vehicle| vehicle.party.id.clone()),
            driver: driver.and_then(|ix| contract?.driver(ix)).map(|driver| driver.party.id.clone()),
            odometer: transaction.prompts.odometer,
            fingerprint,
            decision,
        });
        let Some(auth_code) = auth_code.filter(|_| !replayed) else { return };
        let (card, site) = (transaction.card.token.clone(), transaction.site.clone());
        let amount_minor = minor(decided.allowed.sum().minor);
        facts.extend(match effect {
            Effect::Nothing | Effect::Hold | Effect::Extend => None,
            Effect::Post => Some(Fact::Captured {
                card,
                auth_code,
                site,
                terminal: transaction.terminal.clone(),
                pump: transaction.pump,
                items: sold,
                amount_minor,
            }),
            Effect::Release => Some(Fact::Reversed { card, auth_code, reason: None }),
            Effect::Void => Some(Fact::Voided { card, auth_code, site, items: sold, amount_minor }),
            Effect::GiveBack => Some(Fact::Refunded { card, auth_code, site, items: sold, amount_minor }),
        });
    }

    fn voided_items(&self, lines: &Lines) -> Vec<SoldItem> {
        let name = |number| self.tables.code_name(number).cloned();
        let items = lines.iter().filter_map(|line| {
            Some(SoldItem { code: name(line.code)?, group: name(line.group), ..sold_item(line, None)? })
        });
        items.collect()
    }

    pub(super) fn rendered(
        &self,
        transaction: &Transaction,
        decided: &Decided,
        figures: &[Figure],
        replayed: bool,
    ) -> Decision {
        let contract = self.tables.contracts.get(decided.contract as usize);
        let card = self.tables.cards.get(decided.card as usize);
        let price = PriceE4::new(u64::from(decided.price_e4)).ok().filter(|price| price.get() > 0);
        let headroom: Vec<Headroom> = contract.map_or_else(Vec::new, |contract| {
            figures
                .iter()
                .filter_map(|figure| headroom(self.tables, contract, figure, price, &transaction.items))
                .collect()
        });
        let binding = headroom.get(usize::from(decided.binding)).cloned();
        let balance = contract.map(|contract| decided.money.balance(contract.currency));
        let (notes, risk) =
            decided.remarks.as_ref().map(|remarks| (remarks.notes.clone(), remarks.risk.clone())).unwrap_or_default();
        let total = decided.allowed.sum();
        let card_words = card.map_or("", |card| card.face.pan_masked.as_str());
        // However it was sent, it was sold offline.
        let offline = matches!(decided.code, Code::PostedOffline | Code::OfflineLimit);
        let text = texts::of(&Subject {
            kind: if offline { TransactionKind::AdviceOffline } else { decided.kind },
            verdict: decided.verdict,
            code: decided.code,
            notes: &notes,
            risk: &risk,
            binding: binding.as_ref(),
            balance: balance.as_ref(),
            contract: contract.map(|contract| contract.id.as_str()),
            card: if card_words.is_empty() { transaction.card.token.as_str() } else { card_words },
            site: transaction.site.as_str(),
            terminal: transaction.terminal.as_str(),
            currency: transaction.currency,
            original: &transaction.original,
            asked: amounts(asked_sum(&transaction.items, transaction.currency)),
            granted: amounts(total),
            fill_up: transaction.fill_up,
        });
        let hold = (decided.hold_expires_us != 0).then(|| Hold {
            qty_ml: millilitres(total.ml),
            amount_minor: minor(total.minor),
            expires_at_us: TimestampUs::from_micros(decided.hold_expires_us),
        });
        Decision {
            idem: transaction.idem.clone(),
            decision: decided.verdict,
            iso39: texts::iso39(decided.verdict, decided.code, decided.kind).to_owned(),
            code: decided.code,
            auth_code: decided.auth.map(|auth| auth_code(self.tables.partition, auth)),
            hold,
            allowed: self.allowed(transaction, decided),
            binding,
            headroom,
            balance,
            risk,
            notes,
            rules_version: decided.rules_version,
            net_price_e4: price,
            text,
            replayed,
        }
    }

    fn allowed(&self, transaction: &Transaction, decided: &Decided) -> Vec<Allowed> {
        let mut allowed = Vec::new();
        for (place, line) in decided.allowed.iter().enumerate() {
            if line.is_empty() {
                continue;
            }
            let code = match decided.kind {
                TransactionKind::Void => self.tables.code_name(line.code),
                _ => transaction.items.get(place).map(|item| &item.code),
            };
            let Some(code) = code else { continue };
            allowed.push(Allowed {
                item: u8::try_from(place).unwrap_or(u8::MAX),
                code: code.clone(),
                qty_ml: millilitres(line.ml),
                pieces: line.pieces,
                amount_minor: minor(line.minor),
                discount_minor: minor(line.discount_minor),
            });
        }
        allowed
    }
}

/// A key that came with another body.
pub(super) fn reused(transaction: &Transaction) -> Decided {
    Decided::new(transaction.kind, Verdict::Decline, Code::FmtKeyReused)
}

pub(super) fn reused_order(idem: &IdempotencyKey) -> Fact {
    Fact::CommandRefused {
        code: Code::FmtKeyReused,
        message: format!("key {idem} was used before for another request"),
    }
}

pub(super) fn headroom(
    tables: &Tables,
    contract: &Contract,
    figure: &Figure,
    price: Option<PriceE4>,
    items: &[Item],
) -> Option<Headroom> {
    let left = figure.left();
    let Figure { period, value, used, held, .. } = *figure;
    let (limit_value, mut headroom) = (
        value,
        Headroom {
            limit: "balance".to_owned(),
            version: 0,
            scope: Scope::Contract,
            product: ProductSelector::All,
            measure: Measure::Money,
            mode: LimitMode::Decline,
            span: Window::Lifetime,
            window: "now".to_owned(),
            period,
            limit_value: value,
            used,
            held,
            left,
            left_ml: None,
            left_minor: None,
        },
    );
    if figure.limit != BALANCE {
        let setting = contract.settings.get(figure.limit)?;
        let zone = tables.zones.get(usize::from(contract.zone))?;
        let limit = &setting.limit;
        headroom = Headroom {
            limit: limit.id.as_str().to_owned(),
            version: setting.version,
            scope: limit.scope.clone(),
            product: limit.product.clone(),
            measure: limit.measure,
            mode: limit.mode,
            span: limit.window,
            window: calendar::words(limit.window, period, contract.week_start, zone),
            limit_value,
            ..headroom
        };
    }
    let fuel = items.iter().filter(|item| item.unit == Unit::L).any(|item| match &headroom.product {
        ProductSelector::All => true,
        ProductSelector::Group(group) => item.group.as_ref() == Some(group),
        ProductSelector::Product(code) => item.code == *code,
    });
    let price = price.filter(|_| fuel);
    match headroom.measure {
        Measure::Volume => {
            headroom.left_ml = Some(left);
            let whole = u64::try_from(left).ok().and_then(|left| Millilitres::new(left).ok());
            let worth = price.zip(whole).and_then(|(price, left)| price.amount(left, contract.currency).ok());
            headroom.left_minor = worth.map(model::MinorUnits::get);
        }
        Measure::Money => {
            headroom.left_minor = Some(left);
            let volume = price.and_then(|price| price.volume_within(minor(left), contract.currency));
            headroom.left_ml = volume.and_then(|volume| i64::try_from(volume.get()).ok());
        }
        Measure::Count => {}
    }
    Some(headroom)
}

pub(super) fn millilitres(ml: i64) -> Millilitres {
    u64::try_from(ml).ok().and_then(|ml| Millilitres::new(ml).ok()).unwrap_or_default()
}

pub(super) fn amounts(quantity: Quantity) -> Amounts {
    Amounts {
        ml: millilitres(quantity.ml),
        pieces: u32::try_from(quantity.pieces).unwrap_or(u32::MAX),
        minor: minor(quantity.minor),
    }
}

/// The items as they were asked for, made whole where one figure follows from another; a discount is not looked at.
fn asked_items(items: &[Item], currency: Currency) -> Vec<SoldItem> {
    items.iter().take(super::wishes::ITEMS_MAX).map(|item| asked_item(item, currency)).collect()
}

fn asked_item(item: &Item, currency: Currency) -> SoldItem {
    let qty_ml = match item.unit {
        Unit::L => item.qty_ml.or_else(|| item.price_e4.volume_within(item.amount_minor?, currency)),
        Unit::Pieces => None,
    };
    let qty_ml = qty_ml.unwrap_or(Millilitres::ZERO);
    let pieces = if item.unit == Unit::Pieces { item.pieces.unwrap_or(0) } else { 0 };
    let priced = match item.unit {
        Unit::L => Ok(qty_ml),
        Unit::Pieces => Millilitres::new(u64::from(pieces) * 1_000),
    };
    let computed = || priced.ok().and_then(|quantity| item.price_e4.amount(quantity, currency).ok());
    SoldItem {
        code: item.code.clone(),
        group: item.group.clone(),
        unit: item.unit,
        qty_ml,
        pieces,
        price_e4: item.price_e4,
        amount_minor: item.amount_minor.or_else(computed).unwrap_or_default(),
        discount_minor: minor(0),
    }
}

fn asked_sum(items: &[Item], currency: Currency) -> Quantity {
    let asked = items.iter().take(super::wishes::ITEMS_MAX).map(|item| asked_item(item, currency));
    asked.fold(Quantity::default(), |sum, item| {
        let ml = i64::try_from(item.qty_ml.get()).unwrap_or(i64::MAX);
        sum.plus(Quantity { ml, minor: item.amount_minor.get(), pieces: i64::from(item.pieces) })
    })
}

/// What was sold or came back: lines in the order of the request's items.
fn sold_items(items: &[Item], lines: &Lines) -> Vec<SoldItem> {
    let sold = items.iter().zip(lines.iter()).filter(|(_, line)| !line.is_empty());
    sold.filter_map(|(item, line)| sold_item(line, Some(item))).collect()
}

fn sold_item(line: &Line, item: Option<&Item>) -> Option<SoldItem> {
    let placeholder = || model::ProductCode::new("-").ok();
    Some(SoldItem {
        code: item.map(|item| item.code.clone()).or_else(placeholder)?,
        group: item.and_then(|item| item.group.clone()),
        unit: if line.counted_in_pieces { Unit::Pieces } else { Unit::L },
        qty_ml: millilitres(line.ml),
        pieces: line.pieces,
        price_e4: PriceE4::new(u64::from(line.price_e4)).unwrap_or_default(),
        amount_minor: minor(line.minor),
        discount_minor: minor(line.discount_minor),
    })
}
