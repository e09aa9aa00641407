//! Plain requests for tests to vary.

use model::{
    CardData, CardToken, Command, CommandMessage, ContractId, Currency, IdempotencyKey, Item, LocalTime, Millilitres,
    Offline, Origin, OriginTopic, Original, PartitionId, PriceE4, ProductCode, Prompts, Request, RequestBody, SiteId,
    TerminalId, TimestampUs, Transaction, TransactionKind, Unit,
};

/// Diesel at 50.00 a litre; the quantity may be left out.
pub(super) fn item(qty_ml: Option<Millilitres>) -> Item {
    Item {
        code: ProductCode::new("DIESEL").unwrap(),
        group: None,
        unit: Unit::L,
        qty_ml,
        price_e4: PriceE4::new(500_000).unwrap(),
        amount_minor: None,
    }
}

/// A transaction at pump 4 of station S-1, in roubles, at the offset of Moscow.
pub(super) fn transaction(kind: TransactionKind, idem: &str, card: &str, at: TimestampUs) -> Transaction {
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

pub(super) fn order(idem: &str, contract: &ContractId, at_us: TimestampUs, command: Command) -> CommandMessage {
    let idem = IdempotencyKey::new(idem).unwrap();
    CommandMessage { v: 1, idem, author: "test".into(), at_us, contract: contract.clone(), command }
}

/// A request that arrives the moment it happens, from the origin at this offset.
pub(super) fn request(contract: &ContractId, origin: i64, body: RequestBody) -> Request {
    let topic = match &body {
        RequestBody::Transaction(_) => OriginTopic::Transactions,
        RequestBody::Command(_) => OriginTopic::Commands,
    };
    let mut request = Request {
        v: 1,
        origin: Some(Origin { topic, partition: PartitionId(0), offset: origin }),
        received_at_us: TimestampUs::default(),
        contract: Some(contract.clone()),
        body,
    };
    request.received_at_us = request.at();
    request
}
