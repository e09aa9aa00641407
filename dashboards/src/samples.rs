//! Facts for tests, as a small network writes them: offsets count up, balances and limits add up.

use std::collections::BTreeMap;

use model::{
    AuthCode, Balance, CalendarUnit, CardKind, CardState, CardToken, CardView, Code, ContractId, Currency, Decision,
    DeviceStatus, FORMAT_VERSION, Fact, Headroom, Hold, IdempotencyKey, Languages, LedgerBody, LedgerRecord, LimitMode,
    MICROS_PER_MINUTE, Measure, Millilitres, MinorUnits, Minute, Origin, OriginTopic, Outcome, PartitionId, PriceE4,
    ProductCode, ProductSelector, Reading, Scope, SiteId, SoldItem, StationEvent, StationRecord, TankId, TankLevel,
    TerminalId, Texts, TimestampUs, TransactionKind, Unit, VehicleId, Verdict, WeekStart, Window,
};

use crate::Feed;

mod tanks;

/// Price of a litre in minor units.
const LITRE_MINOR: i64 = 50;
const DAILY_LITRES: u32 = 100;

#[derive(Clone)]
pub(crate) struct World {
    /// Event time of what is written next.
    pub(crate) at: TimestampUs,
    /// How long after its arrival a decision is seen.
    pub(crate) latency_us: i64,
    ledger_end: i64,
    station_end: i64,
    ledger_epoch: i64,
    station_epoch: i64,
    own: BTreeMap<String, i64>,
    cards: BTreeMap<String, (String, CardState, u32)>,
    decisions: u32,
}

fn at_minute(minute: i64) -> TimestampUs {
    TimestampUs::from_micros(minute * MICROS_PER_MINUTE)
}

fn product() -> ProductCode {
    ProductCode::new("DIESEL").expect("a product")
}

fn vehicle() -> VehicleId {
    VehicleId::new("A123BC").expect("a vehicle")
}

fn item(litres: u32) -> SoldItem {
    SoldItem {
        code: product(),
        group: None,
        unit: Unit::L,
        qty_ml: Millilitres::from_litres(litres),
        pieces: 0,
        price_e4: PriceE4::new(5000).expect("in range"),
        amount_minor: MinorUnits::new(i64::from(litres) * LITRE_MINOR).expect("in range"),
        discount_minor: MinorUnits::ZERO,
    }
}

fn texts(litres: u32) -> Texts {
    let languages = |en: &str, ru: &str, kk: &str| Languages { en: en.into(), ru: ru.into(), kk: kk.into() };
    Texts {
        cashier: languages("see manager", "к менеджеру", "менеджерге"),
        manager: languages(
            &format!("{litres} L asked"),
            &format!("запрошено {litres} л"),
            &format!("{litres} л сұралды"),
        ),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            at: at_minute(29_000_000),
            latency_us: 3_000,
            ledger_end: 0,
            station_end: 0,
            ledger_epoch: -1,
            station_epoch: -1,
            own: BTreeMap::new(),
            cards: BTreeMap::new(),
            decisions: 0,
        }
    }

    /// Time passes.
    pub(crate) fn pass_minutes(&mut self, minutes: i64) {
        self.at = self.at.plus_us(minutes * MICROS_PER_MINUTE);
    }

    /// New owners of both partitions.
    pub(crate) fn takeovers(&mut self) -> [Feed; 2] {
        let (owner, at_us) = ("owner".to_owned(), self.at);
        self.ledger_epoch = self.ledger_end;
        self.station_epoch = self.station_end;
        [
            self.ledger(0, LedgerBody::Takeover { owner: owner.clone(), at_us }),
            self.station(0, StationEvent::Takeover { owner, at_us }),
        ]
    }

    pub(crate) fn open(&mut self, contract: &str, name: &str) -> Feed {
        self.own.insert(contract.to_owned(), 0);
        let fact = Fact::ContractOpened {
            name: name.to_owned(),
            currency: Currency::RUB,
            time_zone: "Asia/Almaty".to_owned(),
            legal_entity: None,
            holding: None,
            week_start: WeekStart::Monday,
        };
        self.outcome("open", contract, vec![fact], &[])
    }

    pub(crate) fn top_up(&mut self, contract: &str, minor: i64) -> Feed {
        *self.own.entry(contract.to_owned()).or_default() += minor;
        let amount_minor = MinorUnits::new(minor).expect("in range");
        self.outcome(
            "top-up",
            contract,
            vec![Fact::ToppedUp { amount_minor, reference: "wire".to_owned(), payer: None }],
            &[],
        )
    }

    pub(crate) fn issue(&mut self, contract: &str, card: &str) -> Feed {
        self.cards.insert(card.to_owned(), (contract.to_owned(), CardState::Active, 0));
        let token = CardToken::new(card).expect("a card");
        let fact = Fact::CardIssued {
            card: token,
            pan_masked: "*1234".to_owned(),
            kind: CardKind::Plastic,
            group: None,
            vehicle: Some(vehicle()),
            driver: None,
            valid_from_us: None,
            valid_to_us: None,
        };
        self.outcome("issue", contract, vec![fact], &[card])
    }

    pub(crate) fn block(&mut self, card: &str) -> Feed {
        let entry = self.cards.get_mut(card).expect("issued before");
        entry.1 = CardState::Blocked;
        let contract = entry.0.clone();
        let fact = Fact::CardBlocked {
            card: CardToken::new(card).expect("a card"),
            actor: Default::default(),
            reason: "lost".to_owned(),
            until_us: None,
        };
        self.outcome("block", &contract, vec![fact], &[card])
    }

    /// A sale of so many litres: sold within the daily limit, declined above it. An unknown card is declined.
    pub(crate) fn sale(&mut self, card: &str, litres: u32) -> Feed {
        self.decisions += 1;
        let idem = format!("sale-{}", self.decisions);
        self.sale_with_key(&idem, card, litres)
    }

    pub(crate) fn sale_with_key(&mut self, idem: &str, card: &str, litres: u32) -> Feed {
        let token = CardToken::new(card).expect("a card");
        let item = item(litres);
        let headroom = self.headroom(card);
        let (contract, verdict, code) = match self.cards.get_mut(card) {
            None => (None, Verdict::Decline, Code::CardUnknown),
            Some((contract, _, used)) if *used + litres <= DAILY_LITRES => {
                *used += litres;
                *self.own.entry(contract.clone()).or_default() -= item.amount_minor.get();
                (Some(contract.clone()), Verdict::Approve, Code::Approved)
            }
            Some((contract, ..)) => (Some(contract.clone()), Verdict::Decline, Code::LimitPeriod),
        };
        let decision = Decision {
            idem: IdempotencyKey::new(idem).expect("a key"),
            decision: verdict,
            iso39: "000".to_owned(),
            code,
            auth_code: None,
            hold: None,
            allowed: Vec::new(),
            binding: headroom.clone().filter(|_| verdict == Verdict::Decline),
            headroom: headroom.into_iter().collect(),
            balance: None,
            risk: Vec::new(),
            notes: Vec::new(),
            rules_version: 0,
            net_price_e4: None,
            text: texts(litres),
            replayed: false,
        };
        let (site, terminal) = (SiteId::new("S-1").expect("a site"), TerminalId::new("T-1").expect("a terminal"));
        let mut facts = vec![Fact::Decided {
            kind: TransactionKind::Sale,
            card: token.clone(),
            site: site.clone(),
            terminal: terminal.clone(),
            pump: Some(2),
            location: None,
            items: vec![item.clone()],
            vehicle: Some(vehicle()),
            driver: None,
            odometer: None,
            fingerprint: 1,
            decision,
        }];
        if verdict == Verdict::Approve {
            let auth_code = AuthCode::new("A1").expect("a code");
            let amount_minor = item.amount_minor;
            facts.push(Fact::Captured {
                card: token,
                auth_code,
                site,
                terminal,
                pump: Some(2),
                items: vec![item],
                amount_minor,
            });
        }
        match contract {
            Some(contract) => self.outcome(idem, &contract, facts, &[card]),
            None => self.outcome_of(idem, None, facts, &[]),
        }
    }

    /// Facts given as JSON, with an empty card list: `contract` must be open.
    pub(crate) fn facts(&mut self, contract: &str, facts: &str) -> Feed {
        let facts = serde_json::from_str(facts).expect("facts");
        self.outcome("facts", contract, facts, &[])
    }

    /// An authorization of so many litres, with a hold; `code` names it from now on.
    pub(crate) fn preauth(&mut self, card: &str, litres: u32, code: &str) -> Feed {
        let (contract, ..) = self.cards.get(card).expect("issued before").clone();
        let headroom = self.headroom(card);
        let item = item(litres);
        let decision = Decision {
            idem: IdempotencyKey::new(code).expect("a key"),
            decision: Verdict::Approve,
            iso39: "000".to_owned(),
            code: Code::Approved,
            auth_code: Some(AuthCode::new(code).expect("a code")),
            hold: Some(Hold {
                qty_ml: item.qty_ml,
                amount_minor: item.amount_minor,
                expires_at_us: self.at.plus_us(30 * MICROS_PER_MINUTE),
            }),
            allowed: Vec::new(),
            binding: None,
            headroom: headroom.into_iter().collect(),
            balance: None,
            risk: Vec::new(),
            notes: Vec::new(),
            rules_version: 0,
            net_price_e4: None,
            text: texts(litres),
            replayed: false,
        };
        let fact = Fact::Decided {
            kind: TransactionKind::Preauth,
            card: CardToken::new(card).expect("a card"),
            site: SiteId::new("S-1").expect("a site"),
            terminal: TerminalId::new("T-1").expect("a terminal"),
            pump: Some(2),
            location: None,
            items: vec![item],
            vehicle: Some(vehicle()),
            driver: None,
            odometer: None,
            fingerprint: 1,
            decision,
        };
        self.outcome(code, &contract, vec![fact], &[card])
    }

    pub(crate) fn level(&mut self, site: &str, tank: &str, litres: u32) -> Feed {
        let origin = Origin { topic: OriginTopic::Readings, partition: PartitionId(0), offset: self.station_end };
        let ids = (SiteId::new(site).expect("a site"), TankId::new(tank).expect("a tank"));
        let reading = Reading {
            capacity_ml: Some(Millilitres::from_litres(30_000)),
            ..Reading::new(ids.0, ids.1, product(), self.at)
        };
        let level = TankLevel::as_sent(origin, self.at, &reading, Millilitres::from_litres(litres));
        self.station(self.station_epoch, StationEvent::Level(level))
    }

    pub(crate) fn status(&mut self, site: &str, online: bool) -> Feed {
        let origin = Origin { topic: OriginTopic::Readings, partition: PartitionId(0), offset: self.station_end };
        let status = DeviceStatus { site: SiteId::new(site).expect("a site"), online, at_us: self.at };
        self.station(self.station_epoch, StationEvent::Status { origin, status })
    }

    pub(crate) fn minute(&mut self, site: &str, version: u32, sold_litres: u32) -> Feed {
        let minute = Minute {
            site: SiteId::new(site).expect("a site"),
            product: product(),
            minute_us: self.at.minute(),
            version,
            sales: 1,
            declines: 0,
            sold_ml: Millilitres::from_litres(sold_litres),
            refund_excess_ml: Millilitres::ZERO,
            sold_minor: BTreeMap::new(),
            consumed_ml: Millilitres::from_litres(sold_litres),
            sales_through: None,
        };
        self.station(self.station_epoch, StationEvent::Minute(minute))
    }

    /// A sale that an owner of a past epoch writes; it never happened.
    pub(crate) fn void_sale(&mut self, card: &str, litres: u32) -> Feed {
        let mut past = Self { ledger_epoch: self.ledger_epoch - 1, ..self.clone() };
        let item = past.sale(card, litres);
        (self.ledger_end, self.decisions) = (past.ledger_end, past.decisions);
        item
    }

    fn headroom(&self, card: &str) -> Option<Headroom> {
        let (_, _, used) = self.cards.get(card)?;
        let (limit_value, used) = (i64::from(DAILY_LITRES) * 1000, i64::from(*used) * 1000);
        Some(Headroom {
            limit: format!("{card}:daily-volume"),
            version: 1,
            scope: Scope::Card(CardToken::new(card).expect("a card")),
            product: ProductSelector::All,
            measure: Measure::Volume,
            mode: LimitMode::Decline,
            span: Window::Calendar { unit: CalendarUnit::Day, count: 1 },
            window: "day".to_owned(),
            period: self.at.get() / (24 * 60 * MICROS_PER_MINUTE),
            limit_value,
            used,
            held: 0,
            left: limit_value - used,
            left_ml: None,
            left_minor: None,
        })
    }

    fn outcome(&mut self, idem: &str, contract: &str, facts: Vec<Fact>, cards: &[&str]) -> Feed {
        self.outcome_of(idem, Some(contract), facts, cards)
    }

    fn outcome_of(&mut self, idem: &str, contract: Option<&str>, facts: Vec<Fact>, cards: &[&str]) -> Feed {
        let view = |card: &&str| CardView {
            card: CardToken::new(card).expect("a card"),
            pan_masked: "*1234".to_owned(),
            vehicle: Some(vehicle()),
            group: None,
            driver: None,
            state: self.cards[*card].1,
            headroom: self.headroom(card).into_iter().collect(),
        };
        let money = |own| MinorUnits::new(own).expect("in range");
        let balance = contract.and_then(|contract| self.own.get(contract)).map(|&own| Balance {
            currency: Currency::RUB,
            own: money(own),
            credit: MinorUnits::ZERO,
            held: MinorUnits::ZERO,
            unbilled: MinorUnits::ZERO,
            available: money(own),
        });
        let outcome = Outcome {
            request: self.ledger_end,
            origin: None,
            idem: IdempotencyKey::new(idem).expect("a key"),
            at_us: self.at,
            received_at_us: self.at,
            contract: contract.map(|contract| ContractId::new(contract).expect("a contract")),
            author: None,
            fingerprint: None,
            facts,
            balance,
            cards: cards.iter().map(view).collect(),
        };
        self.ledger(self.ledger_epoch, LedgerBody::Outcome(outcome))
    }

    fn ledger(&mut self, epoch: i64, body: LedgerBody) -> Feed {
        let offset = self.ledger_end;
        self.ledger_end += 1;
        let record = LedgerRecord { v: FORMAT_VERSION, epoch, body };
        Feed::Ledger { partition: PartitionId(0), offset, record, seen_at_us: self.at.plus_us(self.latency_us) }
    }

    fn station(&mut self, epoch: i64, event: StationEvent) -> Feed {
        let offset = self.station_end;
        self.station_end += 1;
        let record = StationRecord { v: FORMAT_VERSION, epoch, event };
        Feed::Station { partition: PartitionId(0), offset, record, seen_at_us: self.at }
    }
}
