//! Plain requests for tests to vary.

use model::{
    CardData, CardKind, CardToken, Command, CommandMessage, ContractId, Currency, IdempotencyKey, Item, Limit, LimitId,
    LimitMode, LocalTime, Measure, Millilitres, Offline, Origin, OriginTopic, Original, PartitionId, PriceE4,
    ProductCode, ProductSelector, Prompts, Request, RequestBody, Scope, SiteId, TerminalId, TimestampUs, Transaction,
    TransactionKind, Unit, WeekStart, Window,
};

/// Diesel at 50.00 a litre; the quantity may be left out.
pub(crate) fn item(qty_ml: Option<Millilitres>) -> Item {
    Item {
        code: ProductCode::new("DIESEL").unwrap(),
        group: None,
        unit: Unit::L,
        qty_ml,
        pieces: None,
        price_e4: PriceE4::new(500_000).unwrap(),
        amount_minor: None,
    }
}

/// A transaction at pump 4 of station S-1, in roubles, at the offset of Moscow.
pub(crate) fn transaction(kind: TransactionKind, idem: &str, card: &str, at: TimestampUs) -> Transaction {
    let utc_offset_min = 180;
    Transaction {
        v: 1,
        idem: IdempotencyKey::new(idem).unwrap(),
        kind,
        site: SiteId::new("S-1").unwrap(),
        terminal: TerminalId::new("T-1").unwrap(),
        pump: Some(4),
        device: None,
        entry: None,
        batch: None,
        shift: None,
        tsn: None,
        local_time: LocalTime::from_utc(at, utc_offset_min),
        utc_offset_min,
        sent_at_us: Some(at),
        location: None,
        region: None,
        country: None,
        card: CardData { token: CardToken::new(card).unwrap(), pan_masked: None, expiry: None },
        second_id: None,
        pin: None,
        prompts: Prompts::default(),
        items: Vec::new(),
        fill_up: false,
        currency: Currency::RUB,
        partial_ok: false,
        original: Original::default(),
        offline: Offline::default(),
    }
}

pub(crate) fn order(idem: &str, contract: &ContractId, at_us: TimestampUs, command: Command) -> CommandMessage {
    let idem = IdempotencyKey::new(idem).unwrap();
    CommandMessage { v: 1, idem, author: "test".into(), at_us, contract: contract.clone(), command }
}

/// A request that arrives the moment it happens, from the origin at this offset. Ticks have none: nobody sends them.
pub(crate) fn request(contract: &ContractId, origin: i64, body: RequestBody) -> Request {
    let topic = match &body {
        RequestBody::Transaction(_) => Some(OriginTopic::Transactions),
        RequestBody::Command(_) => Some(OriginTopic::Commands),
        RequestBody::Tick(_) => None,
    };
    let mut request = Request {
        v: 1,
        origin: topic.map(|topic| Origin { topic, partition: PartitionId(0), offset: origin }),
        received_at_us: TimestampUs::default(),
        contract: Some(contract.clone()),
        body,
    };
    request.received_at_us = request.at();
    request
}

pub(crate) fn open(currency: Currency, time_zone: &str, week_start: WeekStart) -> Command {
    let (name, time_zone) = ("Hauliers".into(), time_zone.into());
    Command::OpenContract { name, currency, time_zone, legal_entity: None, holding: None, week_start }
}

/// A card of no group, vehicle or driver.
pub(crate) fn issue(card: &str, daily_ml: Option<Millilitres>) -> Command {
    Command::IssueCard {
        card: CardToken::new(card).unwrap(),
        pan_masked: "****1234".into(),
        kind: CardKind::Plastic,
        group: None,
        vehicle: None,
        driver: None,
        valid_from_us: None,
        valid_to_us: None,
        daily_ml,
        daily_minor: None,
    }
}

/// A limit of all products that declines, always valid.
pub(crate) fn limit(id: &str, scope: Scope, measure: Measure, value: i64, window: Window) -> Limit {
    Limit {
        id: LimitId::new(id).unwrap(),
        scope,
        product: ProductSelector::All,
        measure,
        value,
        window,
        schedule: None,
        mode: LimitMode::Decline,
        alert_left: None,
        valid_from_us: None,
        valid_to_us: None,
        offline: false,
    }
}
