//! Who buys: 200 contracts with one to 2,000 vehicles, drawn from the seed, and the back office's orders that set them up.
//!
//! In: the seed. Out: contracts, cards, and their commands with keys that depend on the seed alone, so that sending them
//! again changes nothing.

use model::{
    CardKind, CardToken, Command, CommandMessage, ContractId, Currency, FORMAT_VERSION, FraudRule, IdempotencyKey,
    Millilitres, MinorUnits, Payer, RuleMode, TimestampUs, VehicleId, WeekStart,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::demand::Trade;
use super::places::{CITIES, Fuel};
use super::terms;

pub(crate) const CONTRACTS: usize = 200;
const VEHICLES_MAX: usize = 2_000;
/// The contract that runs dry now and then.
pub(crate) const DRY_CONTRACT: usize = 17;
/// The contract one of whose cards is used at two places at once; the rule declines.
pub(crate) const TRAVEL_CONTRACT: usize = 9;
/// The contract one of whose cards buys too often; the rule flags.
pub(crate) const VELOCITY_CONTRACT: usize = 12;
/// What a vehicle spends in a day, in hundredths of a tenge, for sizing top-ups.
const DAILY_SPEND_MINOR: i64 = 1_500_000;
const AUTHOR: &str = "network-back-office";

pub(crate) struct Contract {
    pub(crate) id: ContractId,
    pub(crate) name: String,
    pub(crate) trade: Trade,
    pub(crate) city: usize,
    pub(crate) currency: Currency,
    /// Its cards: a range of the network's cards.
    pub(crate) cards: std::ops::Range<usize>,
    pub(crate) credit_minor: i64,
}

impl Contract {
    /// About what all vehicles spend in a day.
    pub(crate) fn daily_spend_minor(&self) -> i64 {
        let vehicles = i64::try_from(self.cards.len()).unwrap_or(i64::MAX);
        let tenge = self.trade.tank_litres().end() / 60 * DAILY_SPEND_MINOR;
        let spend = tenge.max(DAILY_SPEND_MINOR / 2).saturating_mul(vehicles);
        if self.currency == Currency::RUB { spend * 24 / 100 } else { spend }
    }
    pub(crate) fn zone(&self) -> &'static str {
        CITIES[self.city].zone
    }
}

pub(crate) struct Card {
    pub(crate) token: CardToken,
    pub(crate) contract: usize,
    pub(crate) pan_masked: String,
    pub(crate) vehicle: String,
    pub(crate) fuel: Fuel,
    pub(crate) tank_litres: i64,
    daily_litres: Option<u32>,
    daily_minor: Option<i64>,
}

pub(crate) struct Customers {
    pub(crate) contracts: Vec<Contract>,
    pub(crate) cards: Vec<Card>,
    seed: u64,
}

impl Customers {
    pub(crate) fn new(seed: u64) -> anyhow::Result<Self> {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0xC057_03E5);
        let (mut contracts, mut cards) = (Vec::with_capacity(CONTRACTS), Vec::<Card>::new());
        for index in 0..CONTRACTS {
            let city = home(&mut rng, index);
            let trade =
                if index == DRY_CONTRACT { Trade::Courier } else { Trade::ALL[rng.random_range(0..Trade::ALL.len())] };
            let first = cards.len();
            for _ in 0..fleet_size(&mut rng, index) {
                cards.push(card(&mut rng, seed, index, cards.len(), trade, city)?);
            }
            if matches!(index, TRAVEL_CONTRACT | VELOCITY_CONTRACT) {
                // The story is about the rule, so no limit may come first.
                cards[first].daily_litres = None;
                cards[first].daily_minor = None;
            }
            let mut contract = Contract {
                id: ContractId::new(&format!("C-{}", 1001 + index))?,
                name: company(&mut rng, trade, index),
                trade,
                city,
                currency: CITIES[city].currency,
                cards: first..cards.len(),
                credit_minor: 0,
            };
            if index != DRY_CONTRACT && rng.random_ratio(1, 3) {
                contract.credit_minor = round_amount(contract.daily_spend_minor() / 2);
            }
            contracts.push(contract);
        }
        Ok(Self { contracts, cards, seed })
    }

    /// The orders that open everything: contracts with their money first, then cards, a few of each contract at a time,
    /// so that every contract soon has some that work.
    pub(crate) fn set_up(&self, at: TimestampUs) -> anyhow::Result<Vec<(CommandMessage, Option<usize>)>> {
        const CARDS_PER_ROUND: usize = 10;
        let mut orders = Vec::with_capacity(self.cards.len() + 4 * self.contracts.len());
        for (index, contract) in self.contracts.iter().enumerate() {
            let mut order = |suffix: &str, command| {
                let key = format!("network-{:x}-{}-{suffix}", self.seed, contract.id);
                orders.push((message(&key, at, contract, command)?, None));
                anyhow::Ok(())
            };
            order(
                "open",
                Command::OpenContract {
                    name: contract.name.clone(),
                    currency: contract.currency,
                    time_zone: contract.zone().into(),
                    legal_entity: Some(format!("{} LLP", contract.name)),
                    holding: index.is_multiple_of(9).then(|| "Great Steppe Holding".into()),
                    week_start: WeekStart::Monday,
                },
            )?;
            let days = if index == DRY_CONTRACT { 0 } else { 2 };
            let first = (contract.daily_spend_minor() * days).max(contract.daily_spend_minor() / 8);
            order("first", top_up(contract, first, "opening balance", Payer::default())?)?;
            if contract.credit_minor > 0 {
                let amount_minor = MinorUnits::new(contract.credit_minor)?;
                order("credit", Command::SetCreditLine { amount_minor, currency: contract.currency })?;
            }
            if index == TRAVEL_CONTRACT {
                order("travel", Command::SetRule { rule: FraudRule::ImpossibleTravel, mode: RuleMode::Decline })?;
            }
            if index == VELOCITY_CONTRACT {
                order("velocity", Command::SetRule { rule: FraudRule::Velocity, mode: RuleMode::Flag })?;
            }
            for (suffix, command) in terms::terms(index, contract, &self.cards[contract.cards.clone()])? {
                order(&suffix, command)?;
            }
        }
        for round in 0..VEHICLES_MAX.div_ceil(CARDS_PER_ROUND) {
            for (number, contract) in self.contracts.iter().enumerate() {
                for index in contract.cards.clone().skip(round * CARDS_PER_ROUND).take(CARDS_PER_ROUND) {
                    orders.push((self.issue(index, at)?, Some(index)));
                    if index != contract.cards.start {
                        continue;
                    }
                    if let Some((suffix, command)) = terms::card_limit(number, &self.cards[index])? {
                        let key = format!("network-{:x}-{}-{suffix}", self.seed, contract.id);
                        orders.push((message(&key, at, contract, command)?, None));
                    }
                }
            }
        }
        Ok(orders)
    }

    fn issue(&self, index: usize, at: TimestampUs) -> anyhow::Result<CommandMessage> {
        let card = &self.cards[index];
        let contract = &self.contracts[card.contract];
        let command = Command::IssueCard {
            card: card.token.clone(),
            pan_masked: card.pan_masked.clone(),
            kind: CardKind::Plastic,
            group: Some(terms::group_of(card)?),
            vehicle: Some(VehicleId::new(&card.vehicle)?),
            driver: terms::driver_of(contract, index - contract.cards.start)?,
            valid_from_us: None,
            valid_to_us: None,
            daily_ml: card.daily_litres.map(Millilitres::from_litres),
            daily_minor: card.daily_minor.map(MinorUnits::new).transpose()?,
        };
        message(&format!("network-{:x}-card-{index}", self.seed), at, contract, command)
    }

    /// The driver who has this card.
    pub(crate) fn driver(&self, card: usize) -> anyhow::Result<Option<model::DriverId>> {
        let contract = &self.contracts[self.cards[card].contract];
        terms::driver_of(contract, card - contract.cards.start)
    }
}

/// An order of the back office.
pub(crate) fn message(
    key: &str,
    at: TimestampUs,
    contract: &Contract,
    command: Command,
) -> anyhow::Result<CommandMessage> {
    Ok(CommandMessage {
        v: FORMAT_VERSION,
        idem: IdempotencyKey::new(key)?,
        author: AUTHOR.into(),
        at_us: at,
        contract: contract.id.clone(),
        command,
    })
}

pub(crate) fn top_up(contract: &Contract, minor: i64, reference: &str, payer: Payer) -> anyhow::Result<Command> {
    Ok(Command::TopUp {
        amount_minor: MinorUnits::new(round_amount(minor))?,
        currency: contract.currency,
        reference: reference.into(),
        payer: Some(payer).filter(|payer| *payer != Payer::default()),
    })
}

/// Whole thousands of the main unit, as people transfer them.
pub(crate) fn round_amount(minor: i64) -> i64 {
    (minor / 100_000).max(1) * 100_000
}

/// Heavy-tailed: the first has 2,000 vehicles, half have fewer than twenty, the last a handful or one.
fn fleet_size(rng: &mut SmallRng, index: usize) -> usize {
    let rank = index + 1;
    match index {
        0 => VEHICLES_MAX,
        DRY_CONTRACT => 60,
        160.. => rng.random_range(1..=6),
        _ => (VEHICLES_MAX * rng.random_range(80..130) / 100 / rank).max(1),
    }
}

/// Contracts are spread as the stations are.
fn home(rng: &mut SmallRng, index: usize) -> usize {
    if matches!(index, 0 | DRY_CONTRACT | TRAVEL_CONTRACT | VELOCITY_CONTRACT) {
        return 0;
    }
    let mut place = rng.random_range(0..CITIES.iter().map(|city| city.stations).sum::<u32>());
    for (index, city) in CITIES.iter().enumerate() {
        if place < city.stations {
            return index;
        }
        place -= city.stations;
    }
    0
}

fn company(rng: &mut SmallRng, trade: Trade, index: usize) -> String {
    const NAMES: [&str; 40] = [
        "Alatau", "Tulpar", "Zhetysu", "Saryarka", "Ertis", "Kokshe", "Samal", "Aksai", "Otrar", "Turan", "Burabay",
        "Sayram", "Karatal", "Ulytau", "Medeu", "Arman", "Bereke", "Dala", "Sunkar", "Zhaiyk", "Kaspiy", "Volga",
        "Stepnoy", "Delta", "Orda", "Barys", "Nomad", "Kyran", "Altyn", "Temir", "Zhibek", "Aruana", "Berkut",
        "Tengri", "Merey", "Akzhol", "Shanyrak", "Kerege", "Talas", "Ayan",
    ];
    let second = ["", " Group", " & Sons", " East", " West", " Plus"][rng.random_range(0..6)];
    format!("{} {}{second}", NAMES[index * 7 % NAMES.len()], trade.noun())
}

fn card(
    rng: &mut SmallRng,
    seed: u64,
    contract: usize,
    index: usize,
    trade: Trade,
    city: usize,
) -> anyhow::Result<Card> {
    let litres = trade.tank_litres();
    let tank_litres = rng.random_range(litres);
    let fuel = trade.fuel(rng.random_range(0..100));
    // Four in five cards have a daily limit; one in six of those is tight enough to be felt.
    let tight = rng.random_ratio(1, 6);
    let daily_litres = rng.random_ratio(4, 5).then(|| {
        let litres = if tight { tank_litres * 2 / 3 } else { tank_litres * 5 / 2 };
        u32::try_from(litres / 5 * 5).unwrap_or(u32::MAX).max(10)
    });
    let daily_minor = rng.random_ratio(1, 6).then(|| {
        let tenge = tank_litres * 60_000;
        round_amount(if CITIES[city].currency == Currency::RUB { tenge * 24 / 100 } else { tenge })
    });
    Ok(Card {
        token: CardToken::new(&letters(scramble(seed.wrapping_mul(1_000_003).wrapping_add(index as u64))))?,
        contract,
        pan_masked: format!("****{:04}", rng.random_range(0..10_000)),
        vehicle: plate(rng, city),
        fuel,
        tank_litres,
        daily_litres,
        daily_minor,
    })
}

fn plate(rng: &mut SmallRng, city: usize) -> String {
    let mut letter = || char::from(b"ABCEHKMOPTX"[rng.random_range(0..11)]);
    let (a, b, c) = (letter(), letter(), letter());
    let number = rng.random_range(1..1000);
    if CITIES[city].currency == Currency::RUB {
        format!("{a}{number:03}{b}{c}34")
    } else {
        format!("{number:03}{a}{b}{c}{:02}", city + 1)
    }
}

/// A token of letters alone: digits could be taken for a card number, and hosts are right to refuse those.
fn letters(value: u64) -> String {
    const LETTERS: [char; 16] = ['b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v'];
    (0..16).map(|place| LETTERS[usize::try_from(value >> (4 * place) & 15).unwrap_or(0)]).collect()
}

/// The finishing step of splitmix64 (Sebastiano Vigna, public domain): a bijection, so tokens of one seed never collide.
fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn two_hundred_contracts_share_ten_to_fifteen_thousand_cards() {
        for seed in 0..10 {
            let customers = Customers::new(seed).expect("customers");
            assert_eq!(customers.contracts.len(), CONTRACTS);
            let sizes: Vec<usize> = customers.contracts.iter().map(|contract| contract.cards.len()).collect();
            assert_eq!(sizes.iter().max(), Some(&VEHICLES_MAX));
            assert!(sizes.contains(&1));
            assert!((9_000..=15_000).contains(&customers.cards.len()), "seed {seed}: {} cards", customers.cards.len());
            let tokens: HashSet<&str> = customers.cards.iter().map(|card| card.token.as_str()).collect();
            assert_eq!(tokens.len(), customers.cards.len());
            assert!(tokens.iter().all(|token| !token.contains(|c: char| c.is_ascii_digit())));
        }
    }

    #[test]
    fn every_card_is_issued_once_and_after_its_contract_is_open() {
        let customers = Customers::new(1).expect("customers");
        let orders = customers.set_up(TimestampUs::from_micros(1)).expect("orders");
        let keys: HashSet<&str> = orders.iter().map(|(order, _)| order.idem.as_str()).collect();
        assert_eq!(keys.len(), orders.len());
        let issued: HashSet<usize> = orders.iter().filter_map(|(_, card)| *card).collect();
        assert_eq!(issued.len(), customers.cards.len());
        let opened = orders.iter().position(|(_, card)| card.is_some()).expect("a card");
        let opens = orders[..opened].iter().filter(|(order, _)| matches!(order.command, Command::OpenContract { .. }));
        assert_eq!(opens.count(), CONTRACTS);
    }

    #[test]
    fn the_same_seed_sends_the_same_orders() {
        let orders =
            |seed| Customers::new(seed).expect("customers").set_up(TimestampUs::from_micros(5)).expect("orders");
        assert_eq!(orders(11), orders(11));
    }
}
