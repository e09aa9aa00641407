//! The customers of a load run: contracts and cards of its own, told apart by the run's id.

use model::{
    CardKind, CardToken, Command, CommandMessage, ContractId, Currency, FORMAT_VERSION, FraudRule, IdempotencyKey,
    Location, Millilitres, MinorUnits, PriceE4, ProductCode, RuleMode, SiteId, TerminalId, TimestampUs, WeekStart,
};

pub(crate) const CURRENCY: Currency = Currency::KZT;
pub(crate) const SITES: u64 = 20;
pub(crate) const TANKS_PER_SITE: u64 = 4;
const ZONE: &str = "Asia/Almaty";
pub(crate) const UTC_OFFSET_MIN: i16 = 300;
/// One contract in ten has little money, so that funds run out and come back.
const POOR_EVERY: usize = 10;
/// One card in ten has a daily limit that is soon used up.
const LIMITED_EVERY: usize = 10;
const RICH_MINOR: i64 = 900_000_000_000;
const POOR_MINOR: i64 = 20_000_000;

pub(crate) struct Fleet {
    pub(crate) run: String,
    pub(crate) contracts: Vec<ContractId>,
    pub(crate) cards: Vec<CardToken>,
    pub(crate) sites: Vec<(SiteId, TerminalId, Location)>,
    pub(crate) product: ProductCode,
    pub(crate) group: ProductCode,
    pub(crate) price: PriceE4,
}

impl Fleet {
    pub(crate) fn new(run: &str, contracts: usize, cards: usize) -> anyhow::Result<Self> {
        let site = |number: u64| {
            let name = format!("LT-{run}-{number:02}");
            let step = i32::try_from(number).unwrap_or(0) * 2_000;
            let location = Location { lat_e6: 43_200_000 + step, lon_e6: 76_850_000 + step };
            anyhow::Ok((SiteId::new(&name)?, TerminalId::new(&format!("{name}-T1"))?, location))
        };
        Ok(Self {
            run: run.to_owned(),
            contracts: (0..contracts.max(1))
                .map(|c| ContractId::new(&format!("LT-{run}-C{c}")))
                .collect::<Result<_, _>>()?,
            cards: (0..cards.max(1)).map(|k| CardToken::new(&format!("LT-{run}-K{k}"))).collect::<Result<_, _>>()?,
            sites: (0..SITES).map(site).collect::<anyhow::Result<_>>()?,
            product: ProductCode::new("053")?,
            group: ProductCode::new("DIESEL")?,
            price: PriceE4::new(2_950_000)?,
        })
    }

    pub(crate) fn contract_of(&self, card: usize) -> usize {
        card % self.contracts.len()
    }

    /// All that opens the fleet, in order.
    pub(crate) fn orders(&self, at: TimestampUs) -> anyhow::Result<Vec<CommandMessage>> {
        let mut orders = Vec::with_capacity(self.cards.len() + 4 * self.contracts.len());
        for (index, contract) in self.contracts.iter().enumerate() {
            let name = format!("Load {} {index}", self.run);
            let money = if self.is_poor(index) { POOR_MINOR } else { RICH_MINOR };
            let commands = [
                Command::OpenContract {
                    name,
                    currency: CURRENCY,
                    time_zone: ZONE.into(),
                    legal_entity: None,
                    holding: None,
                    week_start: WeekStart::Monday,
                },
                top_up(money, &format!("{}-opening", self.run))?,
                // The rules are worked out, but do not turn the load into declines.
                Command::SetRule { rule: FraudRule::Velocity, mode: RuleMode::Flag },
                Command::SetRule { rule: FraudRule::ImpossibleTravel, mode: RuleMode::Flag },
            ];
            for (step, command) in commands.into_iter().enumerate() {
                orders.push(self.order(&format!("open-{index}-{step}"), at, contract, command)?);
            }
        }
        for (index, card) in self.cards.iter().enumerate() {
            let command = Command::IssueCard {
                card: card.clone(),
                pan_masked: format!("****{:04}", index % 10_000),
                kind: CardKind::Plastic,
                group: None,
                vehicle: None,
                driver: None,
                valid_from_us: None,
                valid_to_us: None,
                daily_ml: index.is_multiple_of(LIMITED_EVERY).then(|| Millilitres::from_litres(150)),
                daily_minor: None,
            };
            orders.push(self.order(&format!("card-{index}"), at, &self.contracts[self.contract_of(index)], command)?);
        }
        Ok(orders)
    }

    pub(crate) fn is_poor(&self, contract: usize) -> bool {
        contract % POOR_EVERY == POOR_EVERY - 1
    }

    pub(crate) fn order(
        &self,
        key: &str,
        at: TimestampUs,
        contract: &ContractId,
        command: Command,
    ) -> anyhow::Result<CommandMessage> {
        Ok(CommandMessage {
            v: FORMAT_VERSION,
            idem: IdempotencyKey::new(&format!("{}-{key}", self.run))?,
            author: "loadtest".into(),
            at_us: at,
            contract: contract.clone(),
            command,
        })
    }
}

/// A contract's top-ups each need a reference of their own.
pub(crate) fn top_up(minor: i64, reference: &str) -> anyhow::Result<Command> {
    Ok(Command::TopUp {
        amount_minor: MinorUnits::new(minor)?,
        currency: CURRENCY,
        reference: reference.into(),
        payer: None,
    })
}
