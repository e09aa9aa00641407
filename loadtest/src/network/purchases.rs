//! The life of a purchase at a terminal: authorization, fuelling, completion; and everything that goes differently.

use model::{
    AuthCode, CardData, Code, CountryCode, Currency, Decision, Device, Entry, FORMAT_VERSION, IdempotencyKey, Item,
    LocalTime, Millilitres, Offline, Original, Pin, PriceE4, ProductCode, Prompts, TimestampUs, Transaction,
    TransactionKind, Unit, Verdict,
};
use rand::Rng;

use super::customers::{DRY_CONTRACT, TRAVEL_CONTRACT, VELOCITY_CONTRACT};
use super::demand::LocalHour;
use super::places::{Fuel, distance_km};
use super::terms;
use super::world::{Action, Due, MINUTE_US, World};

const SECOND_US: i64 = 1_000_000;
/// A card rests between two purchases.
const REST_US: i64 = 140 * MINUTE_US;
/// How fast a truck gets to another city, stops included.
const ROAD_KM_H: i64 = 65;
const ATTEMPTS_MAX: u32 = 4;
const CARDS_LOOKED_AT: u32 = 16;
const LEAST_SALE_ML: i64 = 1_000;
/// Sales that a station keeps while it is cut off; then it closes.
const OFFLINE_BATCH_MAX: usize = 200;
/// What a terminal sells on its own account.
const OFFLINE_ML_MAX: i64 = 40_000;
/// A vehicle drives so far in an hour on average, nights included.
const KM_PER_HOUR: i64 = 18;

/// A customer at a pump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    card: usize,
    station: usize,
    tank: usize,
    terminal: usize,
    pump: u16,
    fuel: Fuel,
    wish_ml: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A pump waits for permission.
    Authorize,
    /// The fuel is in the vehicle when this is approved.
    Sell,
    /// Nothing depends on the answer; it is waited for to be sure that it arrived.
    Inform,
}

/// A transaction whose answer has not come.
#[derive(Debug)]
pub(crate) struct Awaiting {
    transaction: Box<Transaction>,
    visit: Visit,
    purpose: Purpose,
    attempts: u32,
    /// The terminal asked the driver a second time: there is no third.
    asked_again: bool,
}

/// A sale that the cashier takes back.
#[derive(Debug)]
pub(crate) struct Undo {
    visit: Visit,
    original: Original,
}

/// A nozzle in a tank.
#[derive(Debug)]
pub(crate) struct Fuelling {
    visit: Visit,
    authorized: IdempotencyKey,
    auth_code: AuthCode,
    qty_ml: i64,
    /// When the host lets the authorization go.
    expires_us: i64,
}

/// What a message asks for besides who and where.
#[derive(Default)]
struct Ask {
    qty_ml: Option<i64>,
    fill_up: bool,
    original: Original,
    offline: Offline,
    /// Something from the shop or the wash.
    goods: Option<Item>,
}

impl World {
    pub(crate) fn customer_arrives(&mut self, station: usize) -> anyhow::Result<()> {
        let Some((card, tank)) = self.who_comes(station) else { return Ok(()) };
        let litres = self.customers.cards[card].tank_litres;
        let wish_ml = litres * 10 * self.rng.random_range(35..98);
        self.buys(card, station, tank, wish_ml)
    }

    /// A card that may well be here now, and a tank with its fuel.
    fn who_comes(&mut self, station: usize) -> Option<(usize, usize)> {
        let place = &self.stations[station];
        let hour = LocalHour::at(self.now_us, place.utc_offset_min(self.now_us));
        for _ in 0..CARDS_LOOKED_AT {
            let locals = &self.ready_in_city[place.city];
            let pool = if locals.is_empty() || self.rng.random_ratio(1, 5) { &self.ready_anywhere } else { locals };
            if pool.is_empty() {
                continue;
            }
            let card = pool[self.rng.random_range(0..pool.len())];
            let plan = &self.customers.cards[card];
            let contract = &self.customers.contracts[plan.contract];
            if contract.currency != place.city().currency || self.is_actor(card) {
                continue;
            }
            if self.rng.random_range(0..1000) >= contract.trade.activity(hour) {
                continue;
            }
            let rested = self.cards[card].last.is_none_or(|(at_us, from)| {
                let road_us = distance_km(self.stations[from].location, place.location) * 60 / ROAD_KM_H * MINUTE_US;
                self.now_us - at_us > REST_US + road_us
            });
            if rested && let Some(tank) = self.tank_with(station, plan.fuel, plan.tank_litres * 1000) {
                return Some((card, tank));
            }
        }
        None
    }

    /// Cards that play a part in a story appear only there.
    fn is_actor(&self, card: usize) -> bool {
        let contract = self.customers.cards[card].contract;
        contract == DRY_CONTRACT
            || (matches!(contract, TRAVEL_CONTRACT | VELOCITY_CONTRACT)
                && self.customers.contracts[contract].cards.start == card)
    }

    pub(crate) fn tank_with(&self, station: usize, fuel: Fuel, volume_ml: i64) -> Option<usize> {
        let plans = self.stations[station].tanks.iter().zip(&self.tanks[station]).enumerate();
        let able = plans.filter(|(_, (plan, tank))| plan.fuel == fuel && tank.can_sell_ml(plan) > volume_ml);
        able.max_by_key(|(_, (_, tank))| tank.settled_ml).map(|(index, _)| index)
    }

    pub(crate) fn buys(&mut self, card: usize, station: usize, tank: usize, wish_ml: i64) -> anyhow::Result<()> {
        let pump = self.pump_of(station, tank);
        let place = &self.stations[station];
        let visit = Visit {
            card,
            station,
            tank,
            terminal: self.rng.random_range(0..place.terminals.len()),
            pump,
            fuel: place.tanks[tank].fuel,
            wish_ml,
        };
        self.cards[card].last = Some((self.now_us, station));
        if self.is_cut_off(station) {
            return self.keeps_for_later(visit);
        }
        match self.rng.random_range(0..1000) {
            0..15 => {
                let inquiry = self.transaction(&visit, TransactionKind::Balance, Ask::default())?;
                self.transact(inquiry, visit, Purpose::Inform);
            }
            15..22 => self.sells_offline(visit)?,
            22..130 => {
                let goods = if self.rng.random_ratio(2, 5) { Some(self.goods(station)?) } else { None };
                let ask = Ask { qty_ml: Some(wish_ml), goods, ..Ask::default() };
                let sale = self.transaction(&visit, TransactionKind::Sale, ask)?;
                self.transact(sale, visit, Purpose::Sell);
            }
            draw => {
                // Most fill up; others name litres.
                let fill_up = draw < 700;
                let named = wish_ml / 10_000 * 10_000;
                let qty_ml = (!fill_up).then_some(named.max(10_000));
                let visit = Visit { wish_ml: qty_ml.unwrap_or(wish_ml), ..visit };
                let preauth =
                    self.transaction(&visit, TransactionKind::Preauth, Ask { qty_ml, fill_up, ..Ask::default() })?;
                self.transact(preauth, visit, Purpose::Authorize);
            }
        }
        Ok(())
    }

    /// The line to the host is down: the terminal sells on its own and tells later.
    fn sells_offline(&mut self, visit: Visit) -> anyhow::Result<()> {
        let mut advice = self.advice(&visit)?;
        let delay = self.rng.random_range(10..120) * MINUTE_US;
        advice.sent_at_us = Some(TimestampUs::from_micros(self.now_us + delay));
        self.after(delay, Due::Send(Box::new(advice)));
        Ok(())
    }

    /// The whole station is cut off: what it sells comes in one batch when the line is back.
    fn keeps_for_later(&mut self, visit: Visit) -> anyhow::Result<()> {
        if self.sold_offline[visit.station].len() < OFFLINE_BATCH_MAX {
            let advice = self.advice(&visit)?;
            self.sold_offline[visit.station].push(advice);
        }
        Ok(())
    }

    fn advice(&mut self, visit: &Visit) -> anyhow::Result<Transaction> {
        let qty_ml = visit.wish_ml.min(OFFLINE_ML_MAX);
        let loaded = self.now_us - self.rng.random_range(1..30) * 60 * MINUTE_US;
        let offline = Offline {
            was: true,
            catalog_ver: Some(7),
            catalog_at_us: Some(TimestampUs::from_micros(loaded)),
            reason: Some("host unreachable".into()),
        };
        let ask = Ask { qty_ml: Some(qty_ml), offline, ..Ask::default() };
        let advice = self.transaction(visit, TransactionKind::AdviceOffline, ask)?;
        self.tanks[visit.station][visit.tank].is_sold(qty_ml);
        Ok(advice)
    }

    /// One line beside the fuel, in pieces.
    fn goods(&mut self, station: usize) -> anyhow::Result<Item> {
        const GOODS: [(&str, &str, u64); 4] = [
            ("WASH", "WASH", 25_000_000),
            ("SCREENWASH-5L", terms::SHOP, 19_500_000),
            ("COFFEE", terms::SHOP, 8_900_000),
            ("OIL-1L", terms::SHOP, 64_000_000),
        ];
        let (code, group, tenge_e4) = GOODS[self.rng.random_range(0..GOODS.len())];
        let currency = self.stations[station].city().currency;
        let price_e4 = PriceE4::new(if currency == Currency::RUB { tenge_e4 * 24 / 100 } else { tenge_e4 })?;
        let pieces = if code == "COFFEE" { self.rng.random_range(1..4) } else { 1 };
        let as_litres = Millilitres::from_litres(pieces);
        Ok(Item {
            code: ProductCode::new(code)?,
            group: Some(ProductCode::new(group)?),
            unit: Unit::Pieces,
            qty_ml: None,
            pieces: Some(pieces),
            price_e4,
            amount_minor: Some(price_e4.amount(as_litres, currency)?),
        })
    }

    fn transact(&mut self, transaction: Transaction, visit: Visit, purpose: Purpose) {
        let transaction = Box::new(transaction);
        if self.rng.random_ratio(7, 1000) {
            // A terminal that did not trust its line.
            let delay = self.rng.random_range(0..5 * SECOND_US);
            self.after(delay, Due::Send(transaction.clone()));
        }
        self.send_and_wait(Awaiting { transaction, visit, purpose, attempts: 1, asked_again: false });
    }

    fn send_and_wait(&mut self, awaiting: Awaiting) {
        let transaction = awaiting.transaction.clone();
        self.after(10 * self.real_second_us, Due::Retry(transaction.idem.clone()));
        self.awaiting.insert(transaction.idem.clone(), awaiting);
        self.actions.push(Action::Transact(transaction));
    }

    /// The terminal asks the driver for what is missing and tries again, as another request.
    fn asks_again(&mut self, awaiting: Awaiting) -> anyhow::Result<()> {
        let number = self.store.key()?;
        let Awaiting { mut transaction, visit, .. } = awaiting;
        let site = &self.stations[visit.station].site;
        transaction.idem = IdempotencyKey::new(&format!("{}-{site}-{number:06}", self.store.memory.instance))?;
        transaction.tsn = u32::try_from(number % 999_999 + 1).ok();
        transaction.prompts = self.prompts(visit.card)?;
        transaction.pin = Some(Pin { verified: true, attempt: 2 });
        let now = TimestampUs::from_micros(self.now_us);
        transaction.local_time = LocalTime::from_utc(now, transaction.utc_offset_min);
        transaction.sent_at_us = Some(now);
        self.send_and_wait(Awaiting { transaction, visit, attempts: 1, asked_again: true, ..awaiting });
        Ok(())
    }

    /// All that the driver can tell.
    fn prompts(&self, card: usize) -> anyhow::Result<Prompts> {
        let driven_us = (self.now_us - self.store.memory.began_us).max(0);
        let driven = driven_us / (60 * MINUTE_US / KM_PER_HOUR);
        let at_first = 4_000 + (card as u64).wrapping_mul(7_919) % 276_000;
        Ok(Prompts {
            odometer: u32::try_from(driven.saturating_add_unsigned(at_first)).ok(),
            vehicle: Some(self.customers.cards[card].vehicle.clone()),
            driver_id: self.customers.driver(card)?.map(|driver| driver.to_string()),
            ..Prompts::default()
        })
    }

    pub(crate) fn retry(&mut self, idem: &IdempotencyKey) {
        let Some(awaiting) = self.awaiting.get_mut(idem) else { return };
        if awaiting.attempts == ATTEMPTS_MAX {
            self.awaiting.remove(idem);
            return;
        }
        awaiting.attempts += 1;
        let transaction = awaiting.transaction.clone();
        self.actions.push(Action::Transact(transaction));
        self.after(10 * self.real_second_us, Due::Retry(idem.clone()));
    }

    /// The answer to one of our transactions came.
    pub(crate) fn decided(&mut self, awaiting: Awaiting, decision: &Decision) -> anyhow::Result<()> {
        let may_ask = decision.decision == Verdict::Reprompt || decision.code == Code::PinWrong;
        if may_ask && !awaiting.asked_again {
            return self.asks_again(awaiting);
        }
        let Awaiting { transaction, visit, purpose, .. } = awaiting;
        match decision.decision {
            Verdict::Approve | Verdict::Partial => {}
            Verdict::Decline | Verdict::Reprompt => {
                self.declined(self.customers.cards[visit.card].contract, decision.code);
                return Ok(());
            }
        }
        let allowed_ml = decision.allowed.first().map_or(0, |allowed| i64::try_from(allowed.qty_ml.get()).unwrap_or(0));
        match (purpose, &decision.auth_code) {
            (Purpose::Sell, auth_code) => {
                self.tanks[visit.station][visit.tank].is_sold(allowed_ml.min(visit.wish_ml));
                if self.rng.random_ratio(1, 60) {
                    let original = Original { auth_code: auth_code.clone(), idem: Some(transaction.idem) };
                    let delay = self.rng.random_range(2..10) * MINUTE_US;
                    self.after(delay, Due::Undo(Box::new(Undo { visit, original })));
                }
            }
            (Purpose::Authorize, Some(auth_code)) => {
                let qty_ml = allowed_ml.min(visit.wish_ml);
                let leaves = qty_ml < LEAST_SALE_ML || self.rng.random_ratio(3, 100);
                let flow = self.next_flow();
                let expires_us = decision.hold.map_or(self.now_us, |hold| hold.expires_at_us.get());
                let authorized = transaction.idem;
                let fuelling = Fuelling { visit, authorized, auth_code: auth_code.clone(), qty_ml, expires_us };
                if leaves {
                    let delay = self.rng.random_range(15..60) * SECOND_US;
                    self.after(delay, Due::WalkAway { flow });
                } else {
                    let takes = self.takes_us(fuelling.visit.fuel, qty_ml);
                    let end_us = self.now_us + takes;
                    self.tanks[fuelling.visit.station][fuelling.visit.tank].start_flow(
                        flow,
                        self.now_us,
                        end_us,
                        -qty_ml,
                    );
                    self.after(takes, Due::HangUp { flow });
                }
                self.fuelling.insert(flow, fuelling);
            }
            (Purpose::Authorize | Purpose::Inform, _) => {}
        }
        Ok(())
    }

    /// 20 seconds to some minutes: cars about 35 litres a minute, trucks at fast nozzles more.
    pub(crate) fn takes_us(&mut self, fuel: Fuel, qty_ml: i64) -> i64 {
        let ml_per_second = if fuel == Fuel::Diesel { 1_900 } else { 600 };
        let wait = self.rng.random_range(5..20);
        (qty_ml / ml_per_second + wait).clamp(20, 400) * SECOND_US
    }

    pub(crate) fn nozzle_hangs_up(&mut self, flow: u64) -> anyhow::Result<()> {
        let Some(Fuelling { visit, authorized, auth_code, qty_ml, expires_us }) = self.fuelling.remove(&flow) else {
            return Ok(());
        };
        self.tanks[visit.station][visit.tank].end_flow(flow);
        let original = Original { auth_code: Some(auth_code), idem: Some(authorized) };
        let ask = Ask { qty_ml: Some(qty_ml), original, ..Ask::default() };
        let completion = self.transaction(&visit, TransactionKind::Completion, ask)?;
        if qty_ml < OFFLINE_ML_MAX && self.rng.random_ratio(1, 100) {
            // The terminal lost its power and tells when it has it again.
            let delay = (expires_us - self.now_us).max(0) + self.rng.random_range(2..30) * MINUTE_US;
            self.after(delay, Due::Send(Box::new(completion)));
        } else {
            self.transact(completion, visit, Purpose::Inform);
        }
        Ok(())
    }

    /// The wrong card was charged, or the wrong pump.
    pub(crate) fn undo(&mut self, undo: Undo) -> anyhow::Result<()> {
        let Undo { visit, original } = undo;
        let void = self.transaction(&visit, TransactionKind::Void, Ask { original, ..Ask::default() })?;
        self.transact(void, visit, Purpose::Inform);
        Ok(())
    }

    pub(crate) fn driver_walks_away(&mut self, flow: u64) -> anyhow::Result<()> {
        let Some(Fuelling { visit, authorized, auth_code, .. }) = self.fuelling.remove(&flow) else { return Ok(()) };
        let original = Original { auth_code: Some(auth_code), idem: Some(authorized) };
        let reversal = self.transaction(&visit, TransactionKind::Reversal, Ask { original, ..Ask::default() })?;
        self.transact(reversal, visit, Purpose::Inform);
        Ok(())
    }

    fn transaction(&mut self, visit: &Visit, kind: TransactionKind, ask: Ask) -> anyhow::Result<Transaction> {
        let number = self.store.key()?;
        let place = &self.stations[visit.station];
        let card = &self.customers.cards[visit.card];
        let currency = place.city().currency;
        let idem = format!("{}-{}-{number:06}", self.store.memory.instance, place.site);
        let utc_offset_min = place.utc_offset_min(self.now_us);
        let now = TimestampUs::from_micros(self.now_us);
        let no_items = matches!(kind, TransactionKind::Balance | TransactionKind::Reversal | TransactionKind::Void);
        let mut prompts = self.prompts(visit.card)?;
        match self.rng.random_range(0..100) {
            0..3 => prompts.odometer = None,
            3..5 => prompts.driver_id = None,
            _ => {}
        }
        let wrong_pin = self.rng.random_ratio(1, 150);
        let item = self.codes.of(visit.fuel).filter(|_| !no_items).map(|(code, group)| {
            let price_e4: PriceE4 = place.price(visit.fuel);
            let qty_ml = ask.qty_ml.and_then(|ml| u64::try_from(ml).ok()).and_then(|ml| Millilitres::new(ml).ok());
            let sold = !matches!(kind, TransactionKind::Preauth);
            let amount_minor = qty_ml.filter(|_| sold).and_then(|ml| price_e4.amount(ml, currency).ok());
            let (code, group) = (code.clone(), Some(group.clone()));
            Item { code, group, unit: Unit::L, qty_ml, pieces: None, price_e4, amount_minor }
        });
        let indoor = kind == TransactionKind::Sale;
        Ok(Transaction {
            v: FORMAT_VERSION,
            idem: IdempotencyKey::new(&idem)?,
            kind,
            site: place.site.clone(),
            terminal: place.terminals[visit.terminal].clone(),
            pump: Some(visit.pump),
            device: Some(if indoor { Device::Indoor } else { Device::Outdoor }),
            entry: Some(if self.rng.random_ratio(1, 9) { Entry::Qr } else { Entry::Chip }),
            batch: None,
            shift: None,
            tsn: u32::try_from(number % 999_999 + 1).ok(),
            local_time: LocalTime::from_utc(now, utc_offset_min),
            utc_offset_min,
            sent_at_us: Some(now),
            location: Some(place.location),
            region: Some(place.region()?),
            country: CountryCode::new(place.city().country),
            card: CardData {
                token: card.token.clone(),
                pan_masked: Some(card.pan_masked.clone()),
                expiry: Some("2912".into()),
            },
            second_id: None,
            pin: Some(Pin { verified: !wrong_pin, attempt: 1 }),
            prompts,
            items: item.into_iter().chain(ask.goods).collect(),
            fill_up: ask.fill_up,
            currency,
            partial_ok: self.rng.random_ratio(85, 100),
            original: ask.original,
            offline: ask.offline,
        })
    }
}
