//! `forecourt explain`: why a purchase would pass or fail, as a person would say it.
//!
//! In: a card, a purchase, a moment; the logs. Out: the answer of a dry run and what it rests on, in the language that was
//! asked for. Guarantees: the answer is the engine's own, on what was recorded by then; nothing is written. Does not: need a
//! running Forecourt, only its Kafka.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{
    CardEntry, CardToken, ContractId, CountryCode, Entry, Fact, Item, LedgerBody, LogSettings, Millilitres, Outcome,
    PriceE4, ProductCode, Prompts, RegionId, SiteId, SoldItem, TimestampUs, Topic, Unit,
};
use pipeline::ledger::explain::{Explanation, Language, Question};
use pipeline::ledger::shard::Shard;

use crate::config::Config;
use crate::owner::now;
use crate::reading::{Kafka, Progress, reachable, read_all, read_ledger};

/// Products that are remembered for their price: a partition that sells more is asked with --price.
const PRODUCTS_MAX: usize = 4096;

#[derive(Args)]
#[command(group = clap::ArgGroup::new("quantity").required(true).args(["litres", "pieces", "fill_up"]))]
pub(crate) struct Options {
    /// The card's token
    card: String,
    /// What is to be bought: a product code, or a product group
    #[arg(long)]
    product: String,
    /// How many litres, for example 60 or 42.5
    #[arg(long, value_parser = litres)]
    litres: Option<Millilitres>,
    /// How many pieces, of goods that are counted
    #[arg(long)]
    pieces: Option<u32>,
    /// Fill the tank
    #[arg(long)]
    fill_up: bool,
    /// When: 2026-01-14T22:31 by the contract's clock, or with an offset like 2026-01-14T22:31+05:00 [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<When>,
    /// Of one litre or piece, for example 69.45 [default: the price that was seen last]
    #[arg(long, value_parser = price)]
    price: Option<PriceE4>,
    /// The station [default: where the card was used last]
    #[arg(long, value_parser = SiteId::new)]
    site: Option<SiteId>,
    /// The station's region, where restrictions name regions
    #[arg(long, value_parser = RegionId::new)]
    region: Option<RegionId>,
    /// The station's country, where restrictions name countries
    #[arg(long, value_parser = country)]
    country: Option<CountryCode>,
    /// How the card is read
    #[arg(long, value_enum)]
    entry: Option<Reading>,
    /// The driver that the terminal asks for
    #[arg(long)]
    driver: Option<String>,
    /// The vehicle that the terminal asks for
    #[arg(long)]
    vehicle: Option<String>,
    /// The odometer that the terminal asks for
    #[arg(long)]
    odometer: Option<u32>,
    /// The language of the answer
    #[arg(long, value_enum, default_value_t = Lang::En)]
    lang: Lang,
    #[command(flatten)]
    kafka: Kafka,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lang {
    En,
    Ru,
    Kk,
}

#[derive(Clone, Copy, ValueEnum)]
enum Reading {
    Chip,
    Stripe,
    Manual,
    Qr,
    Rfid,
}

/// A moment, or what a clock on the contract's wall shows.
#[derive(Clone, Copy, Debug)]
enum When {
    Moment(TimestampUs),
    Wall(DateTime),
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let config = options.kafka.config()?;
    let card = CardToken::new(&options.card).with_context(|| format!("{:?} is no card token", options.card))?;
    let log = reachable(config.log())?;
    let contract = contract_of(&log, &card)?;
    let known = Known::read(&log, &config, &contract, &card, options.at)?;
    let explanation = known.answer(&config, contract, &card, options)?;
    print!("{}", explanation.in_words(options.lang.into()));
    Ok(())
}

fn contract_of(log: &LogSettings, card: &CardToken) -> anyhow::Result<ContractId> {
    let partition = log.partition_of(card.as_str());
    let mut found = None;
    read_all(log, Topic::Cards, partition, |_, payload| {
        let entry: CardEntry = serde_json::from_slice(payload).context("fuel.cards cannot be read")?;
        if entry.card == *card {
            found = Some(entry.contract);
        }
        Ok(true)
    })?;
    found.with_context(|| format!("no contract has issued a card {card}"))
}

/// What the ledger of one partition tells by a certain moment.
struct Known {
    shard: Shard,
    /// The moment of the question.
    at: TimestampUs,
    /// The card is there by then.
    issued: bool,
    /// Where the card was used last.
    site: Option<SiteId>,
    /// By code: as it was sold last.
    products: BTreeMap<ProductCode, SoldItem>,
}

impl Known {
    /// Folds the contract's partition up to the moment that is asked for, or to its end.
    fn read(
        log: &LogSettings,
        config: &Config,
        contract: &ContractId,
        card: &CardToken,
        when: Option<When>,
    ) -> anyhow::Result<Self> {
        let partition = log.partition_of(contract.as_str());
        let rules = config.ledger.rules();
        let mut known = Self {
            shard: Shard::new(partition),
            at: TimestampUs::default(),
            issued: false,
            site: None,
            products: BTreeMap::new(),
        };
        let mut until = match when {
            Some(When::Moment(at)) => Some(at),
            _ => None,
        };
        let mut progress = Progress::of(log, &[(Topic::Ledger, partition)])?;
        read_ledger(log, partition, &mut progress, |offset, record| {
            if let LedgerBody::Outcome(outcome) = &record.body {
                if let (Some(When::Wall(wall)), Some(zone)) = (when, opened(outcome, contract)) {
                    until = Some(on_the_wall(wall, zone)?);
                }
                if until.is_some_and(|until| outcome.at_us.max(outcome.received_at_us) > until) {
                    return Ok(false);
                }
                known.learn(outcome, contract, card);
            }
            known.shard.fold(&rules, offset, &record);
            Ok(true)
        })?;
        progress.end();
        // Clocks of a simulated network run ahead of ours.
        known.at = until.unwrap_or_else(|| now().max(known.at));
        Ok(known)
    }

    fn learn(&mut self, outcome: &Outcome, contract: &ContractId, of: &CardToken) {
        if outcome.contract.as_ref() == Some(contract) {
            self.at = self.at.max(outcome.at_us);
        }
        for fact in &outcome.facts {
            self.issued |= matches!(fact, Fact::CardIssued { card, .. } if card == of);
            let Fact::Decided { card, site, items, .. } = fact else { continue };
            if card == of {
                self.site = Some(site.clone());
            }
            for item in items.iter().filter(|item| item.price_e4.get() > 0) {
                if self.products.len() < PRODUCTS_MAX || self.products.contains_key(&item.code) {
                    self.products.insert(item.code.clone(), item.clone());
                }
            }
        }
    }

    fn answer(
        self,
        config: &Config,
        contract: ContractId,
        card: &CardToken,
        options: &Options,
    ) -> anyhow::Result<Explanation> {
        ensure!(self.issued, "there was no card {card} at {}", self.at);
        let unit = if options.pieces.is_some() { Unit::Pieces } else { Unit::L };
        let (code, sold) = self.product(&options.product, unit, options.price.is_some())?;
        let price_e4 = options.price.or(sold.map(|sold| sold.price_e4)).unwrap_or_default();
        let item = Item {
            code,
            group: sold.and_then(|sold| sold.group.clone()),
            unit,
            qty_ml: options.litres,
            pieces: options.pieces,
            price_e4,
            amount_minor: None,
        };
        let site = options.site.clone().or_else(|| self.site.clone());
        let at = self.at;
        let question = Question {
            contract,
            card: card.clone(),
            at,
            item,
            fill_up: options.fill_up,
            site: site.context("the card was never used: name a station with --site")?,
            region: options.region.clone(),
            country: options.country,
            entry: options.entry.map(Into::into),
            prompts: Prompts {
                odometer: options.odometer,
                driver_id: options.driver.clone(),
                vehicle: options.vehicle.clone(),
                ..Prompts::default()
            },
        };
        let explanation = self.shard.explain(&config.ledger.rules(), question);
        explanation.with_context(|| format!("card {card} cannot be asked about at {at}"))
    }

    /// A product by its code or its group, whatever the capitals. One that was never sold needs its price.
    fn product(&self, name: &str, unit: Unit, priced: bool) -> anyhow::Result<(ProductCode, Option<&SoldItem>)> {
        let same = |code: &ProductCode| code.as_str().to_lowercase() == name.to_lowercase();
        let fits = |sold: &&SoldItem| sold.unit == unit;
        let by_code = self.products.values().filter(fits).find(|sold| same(&sold.code));
        let by_group = || self.products.values().filter(fits).find(|sold| sold.group.as_ref().is_some_and(same));
        if let Some(sold) = by_code.or_else(by_group) {
            return Ok((sold.code.clone(), Some(sold)));
        }
        if priced {
            return Ok((ProductCode::new(name).with_context(|| format!("{name:?} is no product code"))?, None));
        }
        let seen: Vec<&str> = self.products.values().filter(fits).map(|sold| sold.code.as_str()).take(20).collect();
        if seen.is_empty() {
            bail!("no product is known yet: say what one costs with --price");
        }
        bail!("product {name:?} was never asked for; known are {}. For another one add --price", seen.join(", "));
    }
}

/// The time zone of the contract, where it was opened.
fn opened<'a>(outcome: &'a Outcome, contract: &ContractId) -> Option<&'a str> {
    outcome.facts.iter().find_map(|fact| match fact {
        Fact::ContractOpened { time_zone, .. } if outcome.contract.as_ref() == Some(contract) => {
            Some(time_zone.as_str())
        }
        _ => None,
    })
}

fn on_the_wall(wall: DateTime, zone: &str) -> anyhow::Result<TimestampUs> {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let at = wall.to_zoned(zone).with_context(|| format!("there is no time {wall}"))?;
    Ok(TimestampUs::from_micros(at.timestamp().as_microsecond()))
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::En => Self::English,
            Lang::Ru => Self::Russian,
            Lang::Kk => Self::Kazakh,
        }
    }
}

impl From<Reading> for Entry {
    fn from(reading: Reading) -> Self {
        match reading {
            Reading::Chip => Self::Chip,
            Reading::Stripe => Self::Stripe,
            Reading::Manual => Self::Manual,
            Reading::Qr => Self::Qr,
            Reading::Rfid => Self::Rfid,
        }
    }
}

/// A number with at most `digits` after its point, as an integer of that many digits.
fn fixed(text: &str, digits: usize) -> Option<u64> {
    let (whole, rest) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || rest.len() > digits || !plain(whole) || !plain(rest) {
        return None;
    }
    format!("{whole}{rest:0<digits$}").parse().ok()
}

fn litres(text: &str) -> Result<Millilitres, String> {
    let ml = fixed(text, 3).and_then(|ml| Millilitres::new(ml).ok()).filter(|ml| ml.get() > 0);
    ml.ok_or_else(|| "litres are a number above zero like 60 or 42.5".to_owned())
}

fn price(text: &str) -> Result<PriceE4, String> {
    let price = fixed(text, 4).and_then(|e4| PriceE4::new(e4).ok()).filter(|price| price.get() > 0);
    price.ok_or_else(|| "a price is a number above zero like 69.45".to_owned())
}

fn country(text: &str) -> Result<CountryCode, String> {
    CountryCode::new(text).ok_or_else(|| "a country is two capital letters like KZ".to_owned())
}

fn moment(text: &str) -> Result<When, String> {
    let text = text.trim();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(When::Moment(TimestampUs::from_micros(at.as_microsecond())));
    }
    text.parse::<DateTime>()
        .map(When::Wall)
        .map_err(|_| "a time is written 2026-01-14T22:31, or 2026-01-14T22:31+05:00".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_times_of_the_command_line_are_exact_or_refused() {
        assert_eq!(litres("42.5").map(Millilitres::get), Ok(42_500));
        assert_eq!(litres("42,005").map(Millilitres::get), Ok(42_005));
        for wrong in ["", "0", "-1", "4.0005", "1e3", ".5", "12 L", "99999999999999999999"] {
            assert!(litres(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(price("69.45").map(PriceE4::get), Ok(694_500));
        assert!(price("69.45678").is_err() && price("0").is_err());
        assert!(matches!(moment("2026-01-14T22:31"), Ok(When::Wall(_))));
        assert!(matches!(moment("2026-01-14 22:31:07"), Ok(When::Wall(_))));
        let utc = |text| match moment(text) {
            Ok(When::Moment(at)) => at.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(utc("2026-01-14T22:31:00+05:00"), "2026-01-14T17:31:00Z");
        assert_eq!(utc("2026-01-14T22:31Z"), "2026-01-14T22:31:00Z");
        for wrong in ["yesterday", "2026-13-01T00:00", "22:31"] {
            assert!(moment(wrong).is_err(), "{wrong:?}");
        }
    }
}
