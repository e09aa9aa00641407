//! The script language of the scenarios: reads lines, decides them, tells what came out.

use std::fmt::Write;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use model::{
    AuthCode, CardToken, CardView, Command, ContractId, Currency, Decision, Fact, FraudRule, IdempotencyKey, Item,
    LedgerBody, LedgerRecord, LocalTime, Location, MICROS_PER_MINUTE, Millilitres, MinorUnits, Offline, Origin,
    OriginTopic, Original, Outcome, PartitionId, PriceE4, Request, RequestBody, RuleMode, TimestampUs, Transaction,
    TransactionKind,
};

use crate::ledger::shard::Shard;
use crate::ledger::texts::{litres, money};
use crate::ledger::{Config, samples};

const EPOCH: i64 = 0;

pub(super) struct Script {
    config: Config,
    shard: Shard,
    records: Vec<String>,
    date: Date,
    zone: TimeZone,
    offset: i64,
}

/// The words of one line.
struct Line<'a> {
    words: Vec<&'a str>,
    options: Vec<(&'a str, &'a str)>,
    litres: Option<Millilitres>,
    money: Option<MinorUnits>,
    at: TimestampUs,
    utc_offset_min: i16,
}

impl Script {
    pub(super) fn new(config: Config) -> Self {
        let mut shard = Shard::new(PartitionId(0));
        let takeover = LedgerBody::Takeover { owner: "test".into(), at_us: TimestampUs::default() };
        let takeover = LedgerRecord { v: 1, epoch: 0, body: takeover };
        shard.fold(&config, EPOCH, &takeover);
        let records = vec![serde_json::to_string(&takeover).unwrap()];
        let zone = TimeZone::get("Europe/Moscow").unwrap();
        Self { config, shard, records, date: Date::constant(2026, 1, 14), zone, offset: 0 }
    }

    pub(super) fn run(&mut self, text: &str) -> String {
        let mut told = String::new();
        for line in text.split(['\n', '|']).map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(zone) = line.strip_prefix("zone ") {
                self.zone = TimeZone::get(zone).unwrap();
            } else if let Some(date) = line.strip_prefix("date ") {
                self.date = date.parse().unwrap();
            } else {
                writeln!(told, "{line}").unwrap();
                self.decide(line, &mut told);
            }
        }
        told
    }

    pub(super) fn assert_fold_gives_the_same_state(&self) {
        let mut folded = Shard::new(PartitionId(0));
        for (offset, json) in (0..).zip(&self.records) {
            folded.fold(&self.config, offset, &serde_json::from_str(json).unwrap());
        }
        assert!(
            folded == self.shard,
            "the fold of the records is another state:\n{folded:#?}\nlive:\n{:#?}",
            self.shard
        );
    }

    fn decide(&mut self, line: &str, told: &mut String) {
        let request = self.request(line);
        let outcome = self.shard.decide(&self.config, self.offset, &request).expect("a new offset");
        self.offset += 1;
        tell(&outcome, told);
        let record = LedgerRecord { v: 1, epoch: EPOCH, body: LedgerBody::Outcome(outcome) };
        self.records.push(serde_json::to_string(&record).unwrap());
    }

    fn line<'a>(&mut self, text: &'a str) -> Line<'a> {
        let mut words = text.split_whitespace().peekable();
        if let Some(days) = words.peek().filter(|word| word.starts_with(['+', '-'])) {
            self.date = self.date.saturating_add(jiff::Span::new().days(days.parse::<i64>().unwrap()));
            words.next();
        }
        let time: Time = words.next().unwrap().parse().unwrap();
        let zoned = self.date.to_datetime(time).to_zoned(self.zone.clone()).unwrap();
        let mut line = Line {
            words: Vec::new(),
            options: Vec::new(),
            litres: None,
            money: None,
            at: TimestampUs::from_micros(zoned.timestamp().as_microsecond()),
            utc_offset_min: i16::try_from(zoned.offset().seconds() / 60).unwrap(),
        };
        while let Some(word) = words.next() {
            if let Some((key, value)) = word.split_once('=') {
                line.options.push((key, value));
            } else if words.peek() == Some(&"L") {
                words.next();
                line.litres = Some(Millilitres::new(thousandths(word)).unwrap());
            } else if !line.words.is_empty() && word.parse::<f64>().is_ok() && !is_card(&line, word) {
                line.money = Some(minor(word));
            } else {
                line.words.push(word);
            }
        }
        line
    }

    fn request(&mut self, text: &str) -> Request {
        let line = self.line(text);
        let body = match line.command() {
            Some(command) => {
                RequestBody::Command(samples::order(line.key(self.offset).as_str(), &contract(), line.at, command))
            }
            None => RequestBody::Transaction(line.transaction(self.offset)),
        };
        let origin = line.option("origin").map(|offset| Origin {
            topic: OriginTopic::Transactions,
            partition: PartitionId(0),
            offset: offset.parse().unwrap(),
        });
        let late_hours: i64 = line.option("received").map_or(0, |hours| hours.trim_end_matches('h').parse().unwrap());
        Request {
            v: 1,
            origin,
            received_at_us: line.at.plus_us(late_hours * 60 * MICROS_PER_MINUTE),
            contract: (!line.words.contains(&"nowhere")).then(contract),
            body,
        }
    }
}

/// The word after the verb of a card is the card.
fn is_card(line: &Line<'_>, word: &str) -> bool {
    line.words.len() == 1 && !matches!(line.words[0], "topup" | "credit") && word.len() == 4
}

fn contract() -> ContractId {
    ContractId::new("C-1").unwrap()
}

fn thousandths(word: &str) -> u64 {
    let (whole, rest) = word.split_once('.').unwrap_or((word, ""));
    format!("{whole}{rest:0<3}").parse().unwrap()
}

fn minor(word: &str) -> MinorUnits {
    let (whole, rest) = word.split_once('.').unwrap_or((word, ""));
    MinorUnits::new(format!("{whole}{rest:0<2}").parse().unwrap()).unwrap()
}

fn place(name: &str) -> Location {
    match name {
        "Moscow" => Location { lat_e6: 55_755_800, lon_e6: 37_617_300 },
        "Tver" => Location { lat_e6: 56_858_700, lon_e6: 35_917_600 },
        _ => panic!("{name} is nowhere"),
    }
}

impl Line<'_> {
    fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn key(&self, offset: i64) -> IdempotencyKey {
        IdempotencyKey::new(self.option("as").unwrap_or(&format!("K-{offset}"))).unwrap()
    }

    fn currency(&self) -> Currency {
        // The one scenario in another currency opens its contract in it.
        Currency::new(self.option("currency").unwrap_or(if self.utc_offset_min == 180 { "RUB" } else { "EUR" }))
            .unwrap()
    }

    fn card(&self) -> CardToken {
        CardToken::new(self.words.get(1).expect("a card")).unwrap()
    }

    fn command(&self) -> Option<Command> {
        let money = || self.money.expect("an amount");
        Some(match self.words[0] {
            "open" => Command::OpenContract {
                name: "Hauliers".into(),
                currency: Currency::new(self.words[1]).unwrap(),
                time_zone: self.words[2].into(),
            },
            "topup" => Command::TopUp { amount_minor: money(), currency: self.currency(), reference: "order 1".into() },
            "credit" => Command::SetCreditLine { amount_minor: money(), currency: self.currency() },
            "issue" => Command::IssueCard {
                card: self.card(),
                pan_masked: self.option("mask").map_or_else(|| format!("****{}", self.words[1]), str::to_owned),
                vehicle: None,
                daily_ml: self.litres,
                daily_minor: self.money,
            },
            "block" => Command::BlockCard { card: self.card(), reason: "lost".into() },
            "unblock" => Command::UnblockCard { card: self.card() },
            "limit" => Command::SetDailyLimit { card: self.card(), daily_ml: self.litres, daily_minor: self.money },
            "rule" => Command::SetRule {
                rule: if self.words[1] == "velocity" { FraudRule::Velocity } else { FraudRule::ImpossibleTravel },
                mode: match self.words[2] {
                    "off" => RuleMode::Off,
                    "flag" => RuleMode::Flag,
                    _ => RuleMode::Decline,
                },
            },
            _ => return None,
        })
    }

    fn transaction(&self, offset: i64) -> Transaction {
        let kind = match self.words[0] {
            "preauth" | "fill" => TransactionKind::Preauth,
            "sale" => TransactionKind::Sale,
            "complete" => TransactionKind::Completion,
            "offline" => TransactionKind::AdviceOffline,
            "reverse" => TransactionKind::Reversal,
            "refund" => TransactionKind::Refund,
            "balance" => TransactionKind::Balance,
            "dryrun" => TransactionKind::DryRun,
            verb => panic!("{verb} is no verb"),
        };
        let fill_up = self.words[0] == "fill";
        let amount_minor = self.option("amount").map(minor).or(self.money);
        let price = self.option("price").map_or(500_000, |price| price.parse::<u64>().unwrap() * 10_000);
        let price_e4 = PriceE4::new(price).unwrap();
        let item = Item { price_e4, amount_minor, ..samples::item(self.litres) };
        Transaction {
            utc_offset_min: self.utc_offset_min,
            local_time: LocalTime::from_utc(self.at, self.utc_offset_min),
            sent_at_us: Some(self.at.plus_us(offset)),
            location: self.option("at").map(place),
            items: if fill_up || self.litres.is_some() || amount_minor.is_some() { vec![item] } else { Vec::new() },
            fill_up,
            currency: self.currency(),
            partial_ok: self.words.contains(&"partial"),
            original: Original {
                auth_code: self.option("auth").map(|code| AuthCode::new(code).unwrap()),
                idem: self.option("of").map(|key| IdempotencyKey::new(key).unwrap()),
            },
            offline: Offline { was: self.words.contains(&"offline"), ..Offline::default() },
            ..samples::transaction(kind, self.key(offset).as_str(), self.words[1], self.at)
        }
    }
}

fn tell(outcome: &Outcome, told: &mut String) {
    for fact in &outcome.facts {
        writeln!(told, "  {}", fact_words(fact)).unwrap();
    }
    let mut after = Vec::new();
    if let Some(balance) = outcome.balance {
        after.push(format!("available {}", money(balance.available, balance.currency)));
        if balance.held != MinorUnits::ZERO {
            after.push(format!("held {}", money(balance.held, balance.currency)));
        }
    }
    after.extend(outcome.cards.iter().flat_map(card_words));
    if !after.is_empty() {
        writeln!(told, "  = {}", after.join(", ")).unwrap();
    }
}

fn fact_words(fact: &Fact) -> String {
    let minor = |amount: &MinorUnits| money(*amount, Currency::RUB).replace(" RUB", "");
    match fact {
        Fact::Decided { decision, .. } => decision_words(decision),
        Fact::Captured { auth_code, amount_minor, .. } => format!("captured {} under {auth_code}", minor(amount_minor)),
        Fact::Refunded { auth_code, amount_minor, .. } => format!("refunded {} under {auth_code}", minor(amount_minor)),
        Fact::Reversed { auth_code, .. } => format!("reversed {auth_code}"),
        Fact::HoldExpired { auth_code, .. } => format!("hold {auth_code} expired"),
        Fact::CommandRefused { code, message } => format!("refused {code:?}: {message}"),
        Fact::CommandRepeated => "repeated".into(),
        other => {
            let json = serde_json::to_value(other).unwrap();
            json.as_object().and_then(|fact| fact.keys().next().cloned()).unwrap().replace('_', " ")
        }
    }
}

fn decision_words(decision: &Decision) -> String {
    let code = serde_json::to_value(decision.code).unwrap();
    let code = code.as_str().unwrap();
    let mut words = format!("{:?} {code} ({})", decision.decision, decision.iso39);
    if let Some(auth_code) = &decision.auth_code {
        write!(words, " {auth_code}").unwrap();
    }
    if let Some(hold) = &decision.hold {
        write!(words, " holds {}", litres(hold.qty_ml)).unwrap();
    }
    if let Some(binding) = &decision.binding {
        write!(words, " [{} {}]", binding.limit, binding.window).unwrap();
    }
    if decision.replayed {
        words.push_str(" replayed");
    }
    format!("{words}: {}", decision.text.manager)
}

fn card_words(card: &CardView) -> Vec<String> {
    card.headroom
        .iter()
        .map(|limit| format!("{} {} left {} ({})", card.pan_masked, limit.limit, limit.left, limit.window))
        .collect()
}
