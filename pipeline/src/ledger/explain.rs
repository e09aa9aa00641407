//! Why a purchase would pass or fail.
//!
//! In: a folded shard, and a purchase somebody thinks of. Out: the answer of a dry run with everything that it rests on, and
//! the same in words. Guarantees: the answer is the engine's own; limits are shown whether they apply or not. Does not:
//! change anything that is recorded.

use jiff::civil::DateTime;
use model::{
    Block, CardData, CardState, CardToken, ContractId, CountryCode, Currency, Decision, Entry, FORMAT_VERSION, Fact,
    Headroom, IdempotencyKey, Item, Limit, LocalTime, Offline, Original, Pin, Policy, PriceE4, Prompts, RegionId,
    Request, RequestBody, Restriction, SiteId, TerminalId, TimestampUs, Transaction, TransactionKind, Vehicle,
};

use super::answers::Figure;
use super::decide::Case;
use super::shard::Shard;
use super::state::{Contract, Moment};
use super::tables::Holder;
use super::{Config, record, texts, views, wishes};

/// A language of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Russian,
    Kazakh,
}

/// A purchase somebody thinks of.
#[derive(Clone, Debug)]
pub struct Question {
    pub contract: ContractId,
    pub card: CardToken,
    pub at: TimestampUs,
    pub item: Item,
    pub fill_up: bool,
    pub site: SiteId,
    pub region: Option<RegionId>,
    pub country: Option<CountryCode>,
    pub entry: Option<Entry>,
    pub prompts: Prompts,
}

/// The answer, and what it rests on.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub(super) question: Question,
    pub decision: Decision,
    /// The wall clock of the contract at the time of the question, and its zone.
    pub(super) local: DateTime,
    pub(super) zone: String,
    pub(super) card: String,
    pub(super) state: CardState,
    pub(super) block: Option<Block>,
    pub(super) contract_block: Option<Block>,
    pub(super) group: Option<String>,
    pub(super) vehicle: Option<Vehicle>,
    pub(super) driver: Option<String>,
    pub limits: Vec<KnownLimit>,
    pub restrictions: Vec<Restriction>,
    pub(super) policy: Option<Policy>,
    pub(super) odometer: Option<u32>,
    pub(super) currency: Currency,
}

/// A limit of one of the card's scopes, as it stands.
#[derive(Clone, Debug)]
pub struct KnownLimit {
    pub limit: Limit,
    pub headroom: Headroom,
    /// The purchase is measured against it.
    pub applies: bool,
}

impl Explanation {
    /// All of it in words, a line of at most some 110 characters each but for sentences.
    #[must_use]
    pub fn in_words(&self, language: Language) -> String {
        texts::report(self, language)
    }
}

impl Shard {
    /// Asks for a purchase. Takes the shard, because time passes in it: holds expire and fees fall due. `None` when the
    /// card is not known here.
    #[must_use]
    pub fn explain(mut self, config: &Config, question: Question) -> Option<Explanation> {
        let contract_ix = self.tables.contract(&question.contract)?;
        let card_ix = self.tables.card(contract_ix, &question.card)?;
        let currency = self.tables.contracts.get(contract_ix as usize)?.currency;
        let offset = self.last_request().map_or(0, |last| last + 1);
        let transaction = transaction(&question, currency, offset)?;
        let decision = self.dry_run(config, offset, &question, transaction.clone())?;

        let (tables, at) = (&self.tables, question.at);
        let contract = tables.contracts.get(contract_ix as usize)?;
        let zone = tables.zones.get(usize::from(contract.zone))?;
        let local = zone.local(at);
        let moment = Moment { at, received_at: at };
        let case = (config, tables, &self.answers);
        let asked = (&transaction, &*self.codes);
        let case = Case::new(case, (contract_ix, card_ix), asked, (offset, moment, at, local))?;
        let price = decision.net_price_e4.or_else(|| price_asked(&case));
        let (card, group) = (case.card, case.contract.group(case.card.group));
        let (vehicle, driver) = (contract.vehicle(case.vehicle), contract.driver(case.driver));
        let scopes = [
            Some((Holder::Card(card_ix), &card.rules)),
            driver.map(|driver| (Holder::Driver(case.driver), &driver.rules)),
            vehicle.map(|vehicle| (Holder::Vehicle(case.vehicle), &vehicle.rules)),
            group.map(|group| (Holder::Group(card.group), &group.rules)),
            Some((Holder::Contract, &contract.rules)),
        ];
        let mut limits = Vec::new();
        let mut restrictions = Vec::new();
        for (holder, rules) in scopes.into_iter().flatten() {
            restrictions.extend(rules.restrictions().iter().cloned());
            for counter in &rules.limits {
                let period = counter.period(at, local);
                let usage = counter.usage(period);
                let usage = usage.unwrap_or_else(|| tables.recount(contract_ix, holder, counter, period));
                let (limit, value) = (counter.limit, counter.value);
                let figure = Figure { limit, period, value, used: usage.used, held: usage.held };
                let setting = contract.settings.get(limit);
                let asked = std::slice::from_ref(&question.item);
                let headroom = record::headroom(tables, contract, &figure, price, asked);
                limits.extend(setting.zip(headroom).map(|(setting, headroom)| KnownLimit {
                    limit: setting.limit.clone(),
                    applies: decision.headroom.iter().any(|known| known.limit == headroom.limit),
                    headroom,
                }));
            }
        }
        let masked = card.face.pan_masked.as_str();
        Some(Explanation {
            local: civil(&zone.zone, at),
            zone: zone.name().to_owned(),
            card: if masked.is_empty() { card.token.as_str() } else { masked }.to_owned(),
            state: views::state(card, at),
            block: card.face.block_at(at).cloned(),
            contract_block: contract_block(contract, at),
            group: group.map(|group| named(group.party.id.as_str(), &group.party.name)),
            vehicle: vehicle.map(|vehicle| vehicle.party.clone()),
            driver: driver.map(|driver| named(driver.party.id.as_str(), &driver.party.name)),
            limits,
            restrictions,
            policy: case.policy().cloned(),
            odometer: card.odometer,
            currency,
            question,
            decision,
        })
    }

    fn dry_run(
        &mut self,
        config: &Config,
        offset: i64,
        question: &Question,
        transaction: Transaction,
    ) -> Option<Decision> {
        let request = Request {
            v: FORMAT_VERSION,
            origin: None,
            received_at_us: question.at,
            contract: Some(question.contract.clone()),
            body: RequestBody::Transaction(Box::new(transaction)),
        };
        self.decide(config, offset, request)?.facts.into_iter().find_map(|fact| match fact {
            Fact::Decided { decision, .. } => Some(decision),
            _ => None,
        })
    }
}

fn transaction(question: &Question, currency: Currency, offset: i64) -> Option<Transaction> {
    let Question { card, at, item, fill_up, site, region, country, entry, prompts, .. } = question.clone();
    Some(Transaction {
        v: FORMAT_VERSION,
        // A key that nobody sends: one that was used would get its recorded answer.
        idem: IdempotencyKey::new(&format!("explain-{}-{offset}", at.get())).ok()?,
        kind: TransactionKind::DryRun,
        site,
        terminal: TerminalId::new("explain").ok()?,
        pump: None,
        device: None,
        entry,
        batch: None,
        shift: None,
        tsn: None,
        local_time: LocalTime::from_utc(at, 0),
        utc_offset_min: 0,
        sent_at_us: None,
        location: None,
        region,
        country,
        card: CardData { token: card, pan_masked: None, expiry: None },
        second_id: None,
        pin: Some(Pin { verified: true, attempt: 1 }),
        prompts,
        items: vec![item],
        fill_up,
        currency,
        partial_ok: true,
        original: Original::default(),
        offline: Offline::default(),
    })
}

/// What a litre would have cost in a purchase that was refused before anybody asked for its price.
fn price_asked(case: &Case<'_>) -> Option<PriceE4> {
    let mut lines = Vec::new();
    wishes::read(case, &mut lines).ok()?;
    PriceE4::new(u64::from(wishes::fuel_price(case.contract, &lines))).ok().filter(|price| price.get() > 0)
}

fn civil(zone: &jiff::tz::TimeZone, at: TimestampUs) -> DateTime {
    let at = jiff::Timestamp::from_microsecond(at.get()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(zone.clone()).datetime()
}

fn contract_block(contract: &Contract, at: TimestampUs) -> Option<Block> {
    contract.blocks.iter().find(|block| block.until_us.is_none_or(|until| at < until)).cloned()
}

/// `Long-haul trucks (trucks)`.
fn named(id: &str, name: &str) -> String {
    if name.is_empty() || name == id { id.to_owned() } else { format!("{name} ({id})") }
}

#[cfg(test)]
mod tests;
