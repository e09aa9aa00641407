//! What terminals send: purchases that ask, what follows them, and what nobody asked for.

use model::{
    AuthCode, CardData, CardToken, CountryCode, Currency, Device, Entry, IdempotencyKey, Item, LocalTime, Millilitres,
    MinorUnits, Offline, Original, Pin, PriceE4, ProductCode, Prompts, RegionId, RequestBody, SecondId, SiteId,
    TerminalId, TimestampUs, Transaction, TransactionKind, Unit,
};
use rand::Rng;
use rand::seq::IndexedRandom;

use super::super::prices;
use super::{Asked, DAY_US, Generator, HOUR_US, MINUTE_US, Tenant};

struct Product {
    code: &'static str,
    group: Option<&'static str>,
    litres: bool,
    /// How many times the price of diesel, in percent.
    price_percent: i64,
}

const PRODUCTS: [Product; 5] = [
    Product { code: "DIESEL", group: Some("FUEL"), litres: true, price_percent: 100 },
    Product { code: "AI95", group: Some("FUEL"), litres: true, price_percent: 117 },
    Product { code: "ADBLUE", group: None, litres: true, price_percent: 61 },
    Product { code: "COFFEE", group: Some("SHOP"), litres: false, price_percent: 143 },
    Product { code: "WASH", group: None, litres: false, price_percent: 811 },
];

impl Generator {
    pub(super) fn asking(&mut self, tenant: usize) {
        let kind = self.pick(&[
            TransactionKind::Preauth,
            TransactionKind::Preauth,
            TransactionKind::Preauth,
            TransactionKind::Sale,
            TransactionKind::Sale,
            TransactionKind::DryRun,
        ]);
        let at = self.event_time();
        let mut transaction = self.transaction(tenant, kind, at);
        transaction.items = self.items(tenant);
        if kind != TransactionKind::Sale && self.chance(35) {
            let fuel = &PRODUCTS[self.pick(&[0, 0, 1])];
            let mut first = self.item(tenant, fuel);
            if self.chance(60) {
                first.qty_ml = None;
            }
            transaction.items[0] = first;
            transaction.items.truncate(if self.chance(70) { 1 } else { 2 });
            transaction.fill_up = true;
        }
        if kind == TransactionKind::Sale && self.chance(50) {
            let currency = transaction.currency;
            self.with_amounts(&mut transaction.items, currency);
        }
        if self.chance(2) {
            self.spoil(&mut transaction);
        }
        self.ask(tenant, transaction);
    }

    /// Something about an earlier request.
    pub(super) fn following(&mut self, tenant: usize) {
        let kind = self.pick(&[
            TransactionKind::Completion,
            TransactionKind::Completion,
            TransactionKind::Completion,
            TransactionKind::Completion,
            TransactionKind::Completion,
            TransactionKind::Incremental,
            TransactionKind::Reversal,
            TransactionKind::Refund,
            TransactionKind::Refund,
            TransactionKind::Void,
        ]);
        let kinds: &[TransactionKind] = match kind {
            TransactionKind::Completion | TransactionKind::Incremental | TransactionKind::Reversal => {
                if self.chance(95) { &[TransactionKind::Preauth] } else { &[TransactionKind::Sale] }
            }
            _ => &[
                TransactionKind::Preauth,
                TransactionKind::Sale,
                TransactionKind::Sale,
                TransactionKind::AdviceOffline,
                TransactionKind::Forced,
            ],
        };
        let Some(place) = self.earlier(tenant, kinds) else { return self.asking(tenant) };
        let at = self.event_time();
        let mut transaction = self.transaction(tenant, kind, at);
        let Asked { offset, received_us, transaction: before, .. } = &self.asked[place];
        let (recent, auth_code) =
            (self.now - received_us < 70 * HOUR_US, AuthCode::new(&format!("0-{offset}")).unwrap());
        let (card, site, terminal, items) =
            (before.card.clone(), before.site.clone(), before.terminal.clone(), before.items.clone());
        let idem = before.idem.clone();
        transaction.original = if recent && self.chance(40) {
            Original { auth_code: None, idem: Some(idem) }
        } else {
            Original { auth_code: Some(auth_code), idem: None }
        };
        if self.chance(98) {
            transaction.card = card;
        }
        if self.chance(88) {
            (transaction.site, transaction.terminal) = (site, terminal);
        }
        transaction.items = self.part_of(&items, kind);
        if kind == TransactionKind::Completion && self.chance(40) {
            let currency = transaction.currency;
            self.with_amounts(&mut transaction.items, currency);
        }
        if kind == TransactionKind::Completion && self.chance(3) {
            let product = &PRODUCTS[self.rng.random_range(0..PRODUCTS.len())];
            transaction.items.push(self.item(tenant, product));
        }
        self.ask(tenant, transaction);
    }

    /// Sold without asking us.
    pub(super) fn unasked(&mut self, tenant: usize) {
        let kind = self.pick(&[
            TransactionKind::AdviceOffline,
            TransactionKind::AdviceOffline,
            TransactionKind::Sale,
            TransactionKind::Forced,
        ]);
        let at = match self.rng.random_range(0..20) {
            0 => self.now - 31 * DAY_US - self.rng.random_range(1..DAY_US),
            1 => self.now + 26 * HOUR_US + self.rng.random_range(1..DAY_US),
            2..8 => self.now - self.rng.random_range(0..self.pace.late_us_max),
            _ => self.event_time().clamp(self.now - self.pace.late_us_max, self.now + 26 * HOUR_US),
        };
        let mut transaction = self.transaction(tenant, kind, at);
        transaction.items = self.items(tenant);
        if self.chance(70) {
            let currency = transaction.currency;
            self.with_amounts(&mut transaction.items, currency);
        }
        if kind != TransactionKind::Forced {
            let age = self.rng.random_range(0..30 * HOUR_US);
            let catalog_at_us = self.chance(60).then(|| TimestampUs::from_micros(at - age));
            transaction.offline = Offline { was: true, catalog_ver: None, catalog_at_us, reason: None };
        }
        self.ask(tenant, transaction);
    }

    pub(super) fn inquiry(&mut self, tenant: usize) {
        let at = self.now;
        let transaction = self.transaction(tenant, TransactionKind::Balance, at);
        self.ask(tenant, transaction);
    }

    pub(super) fn ask(&mut self, tenant: usize, transaction: Transaction) {
        let contract = (transaction.card.token.as_str() != "nobody").then(|| self.tenants[tenant].id.clone());
        let offset = self.push(contract, RequestBody::Transaction(Box::new(transaction.clone())));
        self.asked.push(Asked { offset, contract: tenant, transaction, received_us: self.now });
    }

    /// An earlier request of one of these kinds, by place; so recent that single purchases are still remembered for the
    /// longest window before it.
    pub(super) fn earlier(&mut self, tenant: usize, kinds: &[TransactionKind]) -> Option<usize> {
        let fits = |asked: &&(usize, &Asked)| {
            asked.1.contract == tenant
                && kinds.contains(&asked.1.transaction.kind)
                && asked.1.received_us > self.now - 3 * DAY_US
        };
        let places: Vec<usize> =
            self.asked.iter().enumerate().rev().take(60).filter(|asked| fits(&asked)).map(|(place, _)| place).collect();
        // Mostly the latest: a tank is full within minutes.
        let most = if self.chance(60) { 2 } else { 12 };
        let places = &places[..places.len().min(most)];
        places.choose(&mut self.rng).copied()
    }

    pub(super) fn transaction(&mut self, tenant: usize, kind: TransactionKind, at: i64) -> Transaction {
        let cards = self.tenants[tenant].cards.clone();
        let Tenant { currency, utc_offset_min, .. } = self.tenants[tenant];
        let at = TimestampUs::from_micros(at);
        let card = if self.chance(1) { CardToken::new("nobody").unwrap() } else { self.pick(&cards) };
        let odometer = u32::try_from((self.now / DAY_US - 20_000) * 100 + self.rng.random_range(0..400)).unwrap();
        let told = self.pick(&["D-1", "D-1", "D-2", "D-2", "nobody"]).to_owned();
        let second = self.chance(5).then(|| SecondId { kind: "driver".into(), token: CardToken::new(&told).unwrap() });
        let vehicle = self.pick(&["V-1", "V-1", "V-2", "V-2", "nobody"]).to_owned();
        let prompts = Prompts {
            odometer: self.chance(40).then_some(odometer),
            engine_hours: None,
            driver_id: self.chance(20).then_some(told),
            vehicle: self.chance(15).then_some(vehicle),
            trip: self.chance(50).then(|| "T-9".to_owned()),
            trailer: None,
        };
        let pin = self.chance(30).then(|| Pin { verified: self.chance(80), attempt: 0 });
        let currency = if self.chance(1) { Currency::new("XXX").unwrap() } else { currency };
        Transaction {
            v: 1,
            idem: IdempotencyKey::new(&format!("K-{}", self.offset)).unwrap(),
            kind,
            site: SiteId::new(self.pick(&["S-1", "S-2", "S-3"])).unwrap(),
            terminal: TerminalId::new(self.pick(&["T-1", "T-1", "T-1", "T-2"])).unwrap(),
            pump: None,
            device: self.pick(&[None, Some(Device::Outdoor), Some(Device::Mobile)]),
            entry: self.pick(&[None, Some(Entry::Chip), Some(Entry::Chip), Some(Entry::Qr), Some(Entry::Stripe)]),
            batch: None,
            shift: None,
            tsn: None,
            local_time: LocalTime::from_utc(at, utc_offset_min),
            utc_offset_min,
            sent_at_us: None,
            location: None,
            region: self.pick(&[None, Some("R-1"), Some("R-2")]).map(|region| RegionId::new(region).unwrap()),
            country: self.pick(&[None, Some("KZ"), Some("DE")]).and_then(CountryCode::new),
            card: CardData { token: card, pan_masked: None, expiry: None },
            second_id: second,
            pin,
            prompts,
            items: Vec::new(),
            fill_up: false,
            currency,
            partial_ok: self.chance(40),
            original: Original::default(),
            offline: Offline::default(),
        }
    }

    fn item(&mut self, tenant: usize, product: &Product) -> Item {
        let code = |code: &str| ProductCode::new(code).unwrap();
        let diesel_e4 = self.tenants[tenant].diesel_e4;
        let price = diesel_e4 * product.price_percent / 100 + self.rng.random_range(0..4) * 7;
        let litres = product.litres;
        Item {
            code: code(product.code),
            group: product.group.map(code),
            unit: if litres { Unit::L } else { Unit::Pieces },
            qty_ml: litres.then(|| self.fuel()),
            pieces: (!litres).then(|| self.rng.random_range(1..6)),
            price_e4: PriceE4::new(u64::try_from(price).unwrap()).unwrap(),
            amount_minor: None,
        }
    }

    pub(super) fn fuel(&mut self) -> Millilitres {
        let ml = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(1..3_000),
            1 => self.rng.random_range(1..400_000),
            _ => self.rng.random_range(5_000..90_000),
        };
        Millilitres::new(ml).unwrap()
    }

    pub(super) fn items(&mut self, tenant: usize) -> Vec<Item> {
        let lines = self.pick(&[1, 1, 1, 1, 2, 2, 3]);
        let mut items = Vec::new();
        for _ in 0..lines {
            let product = &PRODUCTS[self.pick(&[0, 0, 0, 1, 1, 2, 3, 4])];
            items.push(self.item(tenant, product));
        }
        items
    }

    /// The station's own amount, mostly right.
    pub(super) fn with_amounts(&mut self, items: &mut [Item], currency: Currency) {
        for item in items {
            let quantity =
                item.qty_ml.map_or_else(|| i64::from(item.pieces.unwrap_or(0)), |ml| i64::try_from(ml.get()).unwrap());
            let price_e4 = i64::try_from(item.price_e4.get()).unwrap();
            let gross = prices::amount(price_e4, quantity, item.unit == Unit::L, currency);
            let off = if self.chance(10) { self.pick(&[-3, -1, 1, 2, 50]) } else { 0 };
            item.amount_minor = Some(MinorUnits::new((gross + off).max(0)).unwrap());
        }
    }

    /// Event time of a request that comes now: mostly now, sometimes out of order, now and then by a wrong clock.
    pub(super) fn event_time(&mut self) -> i64 {
        match self.rng.random_range(0..100) {
            0..80 => self.now - self.rng.random_range(0..2 * MINUTE_US),
            80..90 => self.now - self.rng.random_range(0..26 * HOUR_US),
            90..97 => self.now + self.rng.random_range(0..3 * HOUR_US),
            97 => self.now - 26 * HOUR_US - self.rng.random_range(1..20 * DAY_US),
            98 => self.now + 26 * HOUR_US + self.rng.random_range(1..20 * DAY_US),
            _ => self.now + self.rng.random_range(0..26 * HOUR_US),
        }
    }

    pub(super) fn spoil(&mut self, transaction: &mut Transaction) {
        match self.rng.random_range(0..6) {
            0 => transaction.items.clear(),
            1 => transaction.items = vec![transaction.items[0].clone(); 17],
            2 => transaction.items[0].price_e4 = PriceE4::default(),
            3 => (transaction.items[0].qty_ml, transaction.items[0].pieces, transaction.fill_up) = (None, None, false),
            4 => {
                let item = &mut transaction.items[0];
                item.unit = if item.unit == Unit::L { Unit::Pieces } else { Unit::L };
            }
            _ => transaction.items[0].amount_minor = Some(MinorUnits::new(-1).unwrap()),
        }
    }

    /// Mostly less than before, sometimes all of it, sometimes more.
    pub(super) fn part_of(&mut self, items: &[Item], kind: TransactionKind) -> Vec<Item> {
        let most = if kind == TransactionKind::Refund { 60 } else { 105 };
        let percent: u64 = self.rng.random_range(1..=most);
        let mut part = items.to_vec();
        for item in &mut part {
            item.amount_minor = None;
            if item.unit == Unit::L {
                let ml = item.qty_ml.map_or_else(|| self.fuel().get(), Millilitres::get);
                item.qty_ml = Some(Millilitres::new(ml * percent / 100).unwrap());
                item.pieces = None;
            } else {
                item.qty_ml = None;
                item.pieces = Some(item.pieces.unwrap_or(1).min(self.rng.random_range(0..5)));
            }
        }
        part.truncate(16);
        part
    }
}
