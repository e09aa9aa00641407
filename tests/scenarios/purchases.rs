//! What terminals send, in words.
//!
//!     09:00 preauth 1234 60 L diesel at 69.45 and 2 pcs coffee, partial, station S-2, PIN right, as morning
//!     09:05 completion of morning 42.5 L diesel
//!     09:10 offline 1234 full tank of diesel, lists 13 h old, received 4 h later

use std::collections::BTreeMap;

use model::{
    AuthCode, CardData, CardToken, CountryCode, Currency, Device, IdempotencyKey, Item, LocalTime, Location, Offline,
    Original, Pin, PriceE4, Prompts, RegionId, SecondId, SiteId, TerminalId, TimestampUs, Transaction, TransactionKind,
    Unit,
};

use crate::clauses::{Clauses, Parsed, currency, duration, id, litres, money, number, price, product, shelf};
use crate::limits::entry;

/// An authorization that later lines speak of by its name.
#[derive(Clone)]
pub(crate) struct Named {
    pub(crate) idem: IdempotencyKey,
    pub(crate) card: CardToken,
    pub(crate) auth_code: Option<AuthCode>,
    prices: BTreeMap<String, PriceE4>,
}

impl Named {
    pub(crate) fn new(transaction: &Transaction) -> Self {
        let prices = transaction.items.iter().map(|item| (item.code.as_str().to_owned(), item.price_e4)).collect();
        Self { idem: transaction.idem.clone(), card: transaction.card.token.clone(), auth_code: None, prices }
    }
}

/// What a line's own words do not say.
pub(crate) struct Scene<'a> {
    pub(crate) at: TimestampUs,
    pub(crate) utc_offset_min: i16,
    pub(crate) idem: IdempotencyKey,
    pub(crate) named: &'a BTreeMap<String, Named>,
    pub(crate) currency: &'a dyn Fn(&CardToken) -> Currency,
}

const KINDS: [(&str, TransactionKind); 12] = [
    ("preauth", TransactionKind::Preauth),
    ("sale", TransactionKind::Sale),
    ("dry run", TransactionKind::DryRun),
    ("balance", TransactionKind::Balance),
    ("offline", TransactionKind::AdviceOffline),
    ("forced", TransactionKind::Forced),
    ("more for", TransactionKind::Incremental),
    ("completion of", TransactionKind::Completion),
    ("reversal of", TransactionKind::Reversal),
    ("void of", TransactionKind::Void),
    ("refund of", TransactionKind::Refund),
    ("completion", TransactionKind::Completion),
];

/// The message that a line means; `None` when it is none.
pub(crate) fn purchase(clauses: &mut Clauses<'_>, scene: &Scene<'_>) -> Parsed<Option<Transaction>> {
    let first = clauses.first();
    let Some((verb, kind, rest)) = KINDS.iter().find_map(|(verb, kind)| {
        first.strip_prefix(verb).and_then(|rest| rest.strip_prefix(' ')).map(|rest| (*verb, *kind, rest))
    }) else {
        return Ok(None);
    };
    let (whom, what) = rest.split_once(' ').unwrap_or((rest, ""));
    let quoted = if verb.ends_with(" of") || verb.ends_with(" for") { Some(whom) } else { clauses.after("of") };
    let original = quoted.and_then(|name| scene.named.get(name));
    let card = match (clauses.after("card"), original) {
        (Some(card), _) => card.to_owned(),
        (None, Some(original)) if quoted == Some(whom) => original.card.to_string(),
        _ => whom.to_owned(),
    };
    let token = id(&card, CardToken::new)?;
    let currency = clauses.after("in").map_or_else(|| Ok((scene.currency)(&token)), currency)?;
    let items = items(what, original, currency)?;
    let (site, terminal) = (clauses.after("station").unwrap_or("S-1"), clauses.after("terminal").unwrap_or("T-1"));
    Ok(Some(Transaction {
        v: 1,
        idem: scene.idem.clone(),
        kind,
        site: id(site, SiteId::new)?,
        terminal: id(terminal, TerminalId::new)?,
        pump: Some(clauses.after("pump").map_or(Ok(4), number)?),
        device: clauses.find(|clause| match clause {
            "outdoor" => Some(Device::Outdoor),
            "indoor" => Some(Device::Indoor),
            "on a telephone" => Some(Device::Mobile),
            _ => None,
        }),
        entry: clauses.after("by").map(entry).transpose()?,
        batch: None,
        shift: None,
        tsn: None,
        local_time: LocalTime::from_utc(scene.at, scene.utc_offset_min),
        utc_offset_min: scene.utc_offset_min,
        sent_at_us: Some(scene.at),
        location: clauses.after("near").map(place).transpose()?,
        region: clauses.after("region").map(|region| id(region, RegionId::new)).transpose()?,
        country: clauses
            .after("country")
            .map(|country| CountryCode::new(country).ok_or_else(|| format!("{country:?} is no country")))
            .transpose()?,
        card: CardData { token, pan_masked: None, expiry: None },
        second_id: clauses
            .after("driver card")
            .map(|card| Ok::<_, String>(SecondId { kind: "driver".into(), token: id(card, CardToken::new)? }))
            .transpose()?,
        pin: clauses.find(|clause| match clause {
            "PIN right" => Some(Pin { verified: true, attempt: 1 }),
            "PIN wrong" => Some(Pin { verified: false, attempt: 1 }),
            _ => None,
        }),
        prompts: Prompts {
            odometer: clauses.after("odometer").map(number).transpose()?,
            engine_hours: clauses.after("engine hours").map(number).transpose()?,
            driver_id: clauses.after("driver").map(str::to_owned),
            vehicle: clauses.after("vehicle").map(str::to_owned),
            trip: clauses.after("trip").map(str::to_owned),
            trailer: clauses.after("trailer").map(str::to_owned),
        },
        items,
        fill_up: what.starts_with("full tank"),
        currency,
        partial_ok: clauses.says("partial"),
        original: refer(clauses, quoted, original)?,
        offline: offline(clauses, kind, scene.at)?,
    }))
}

/// By the code of the authorization, as terminals do it; by its key where the line says so or no such code is known.
fn refer(clauses: &mut Clauses<'_>, quoted: Option<&str>, original: Option<&Named>) -> Parsed<Original> {
    if let Some(code) = clauses.after("code") {
        return Ok(Original { auth_code: Some(id(code, AuthCode::new)?), idem: None });
    }
    let by_key = clauses.says("quoted by its key");
    Ok(match (quoted, original) {
        (None, _) => Original::default(),
        (Some(_), Some(Named { auth_code: Some(code), .. })) if !by_key => {
            Original { auth_code: Some(code.clone()), idem: None }
        }
        (Some(_), Some(named)) => Original { auth_code: None, idem: Some(named.idem.clone()) },
        (Some(name), None) => Original { auth_code: None, idem: Some(id(name, IdempotencyKey::new)?) },
    })
}

fn offline(clauses: &mut Clauses<'_>, kind: TransactionKind, at: TimestampUs) -> Parsed<Offline> {
    let age = clauses.after("lists").map(|age| duration(age.trim_end_matches(" old"))).transpose()?;
    Ok(Offline {
        was: clauses.says("sold offline") || kind == TransactionKind::AdviceOffline,
        catalog_ver: None,
        catalog_at_us: age.map(|us| at.plus_us(-us)),
        reason: None,
    })
}

fn items(text: &str, original: Option<&Named>, currency: Currency) -> Parsed<Vec<Item>> {
    text.split(" and ").filter(|line| !line.is_empty()).map(|line| item(line, original, currency)).collect()
}

/// `60 L diesel at 69.45 for 4167`, `2 pcs coffee`, `full tank of diesel`, `2000 worth of diesel`, `some diesel`.
fn item(text: &str, original: Option<&Named>, currency: Currency) -> Parsed<Item> {
    let (text, amount) = text.split_once(" for ").map_or((text, None), |(text, amount)| (text, Some(amount)));
    let (text, at) = text.split_once(" at ").map_or((text, None), |(text, at)| (text, Some(at)));
    let words: Vec<&str> = text.split(' ').collect();
    let (mut qty_ml, mut pieces, mut amount, mut unit) = (None, None, amount, Unit::L);
    let name = match words.as_slice() {
        ["full", "tank", "of", name] | ["some", name] => name,
        [worth, "worth", "of", name] => {
            amount = Some(worth);
            name
        }
        [quantity, "L", name] => {
            qty_ml = Some(litres(quantity)?);
            name
        }
        [count, "pcs", name] => {
            (pieces, unit) = (Some(number(count)?), Unit::Pieces);
            name
        }
        // What a confused terminal sends.
        [quantity, "L-as-pieces", name] => {
            (qty_ml, unit) = (Some(litres(quantity)?), Unit::Pieces);
            name
        }
        _ => return Err(format!("{text:?} cannot be bought")),
    };
    let (name, group) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((name, group)) => (name, Some(group)),
        None => (*name, shelf(name).0),
    };
    let authorized = original.and_then(|original| original.prices.get(name));
    Ok(Item {
        code: product(name)?,
        group: group.filter(|group| !group.is_empty()).map(product).transpose()?,
        unit,
        qty_ml,
        pieces,
        price_e4: match (at, authorized) {
            (Some(at), _) => price(at)?,
            (None, Some(authorized)) => *authorized,
            (None, None) => price(shelf(name).1)?,
        },
        amount_minor: amount.map(|amount| money(amount, currency)).transpose()?,
    })
}

fn place(name: &str) -> Parsed<Location> {
    Ok(match name {
        "Moscow" => Location { lat_e6: 55_755_800, lon_e6: 37_617_300 },
        "Tver" => Location { lat_e6: 56_858_700, lon_e6: 35_917_600 },
        "Almaty" => Location { lat_e6: 43_238_900, lon_e6: 76_889_700 },
        _ => return Err(format!("{name:?} is nowhere")),
    })
}
