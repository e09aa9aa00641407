//! Tells what came of a line, in words.
//!
//! In: an outcome. Out: lines. Guarantees: says everything that a terminal, a fleet manager or an accountant would see, in
//! the contract's local time; authorization codes appear as A1, A2, … in the order in which they were given, since the
//! real ones say which partition decided.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use model::{
    Allowed, Balance, ContractId, Currency, Decision, Fact, Headroom, Languages, LimitId, Measure, Millilitres,
    MinorUnits, Outcome, SoldItem, TimestampUs, Verdict,
};
use serde_json::Value;

use crate::setting::Language;
use crate::story::House;

/// The authorization codes of a run, each with its place in the order of appearance.
#[derive(Default)]
pub(crate) struct Labels(Vec<String>);

impl Labels {
    pub(crate) fn learn(&mut self, outcome: &Outcome) {
        for fact in &outcome.facts {
            if let Fact::Decided { decision, .. } = fact
                && let Some(code) = &decision.auth_code
                && !self.0.iter().any(|known| known == code.as_str())
            {
                self.0.push(code.to_string());
            }
        }
    }

    /// The text with A1, A2, … for the codes.
    pub(crate) fn replace(&self, text: &str) -> String {
        let belongs = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(belongs) {
            let end = rest[start..].find(|c| !belongs(c)).map_or(rest.len(), |length| start + length);
            let word = &rest[start..end];
            result.push_str(&rest[..start]);
            match self.0.iter().position(|code| code == word) {
                Some(place) => result.push_str(&format!("A{}", place + 1)),
                None => result.push_str(word),
            }
            rest = &rest[end..];
        }
        result + rest
    }
}

pub(crate) struct Teller<'a> {
    pub(crate) house: &'a House,
    pub(crate) languages: &'a [Language],
    /// The contract's money as it was told last.
    pub(crate) told: Option<Balance>,
    /// What the contract's limits measure.
    pub(crate) measures: &'a Measures,
}

/// What each limit of each contract measures.
pub(crate) type Measures = BTreeMap<(ContractId, LimitId), Measure>;

impl Teller<'_> {
    pub(crate) fn tell(&self, outcome: &Outcome) -> Vec<String> {
        let mut lines = Vec::new();
        for fact in &outcome.facts {
            match fact {
                Fact::Decided { decision, .. } => self.decision(decision, &mut lines),
                Fact::LimitLow { limit, window, left } => {
                    let contract = outcome.contract.clone();
                    let measure = contract.and_then(|contract| self.measures.get(&(contract, limit.clone())));
                    let left = measure.map_or_else(|| left.to_string(), |measure| self.amount(*measure, *left));
                    lines.push(format!("ALERT: limit {limit} has {left} left ({window})"));
                }
                _ => lines.push(self.fact(fact)),
            }
        }
        if let Some(balance) = outcome.balance
            && Some(balance) != self.told
        {
            lines.push(self.balance(&balance));
        }
        if lines.is_empty() {
            lines.push("nothing".into());
        }
        lines
    }

    fn decision(&self, decision: &Decision, lines: &mut Vec<String>) {
        let verdict = match decision.decision {
            Verdict::Approve => "approved",
            Verdict::Partial => "partly approved",
            Verdict::Decline => "declined",
            Verdict::Reprompt => "asked again",
        };
        let mut head = format!("{verdict} {} {}", name(&decision.code), decision.iso39);
        if let Some(code) = &decision.auth_code {
            head.push_str(&format!(" as {code}"));
        }
        if !decision.allowed.is_empty() {
            let items: Vec<String> = decision.allowed.iter().map(|item| self.allowed(item)).collect();
            head.push_str(&format!(": {}", items.join(" + ")));
        }
        if decision.replayed {
            head.push_str(", replayed");
        }
        lines.push(head);
        if let Some(hold) = decision.hold {
            let (ml, minor, until) =
                (litres(hold.qty_ml), self.money(hold.amount_minor), self.time(hold.expires_at_us));
            lines.push(format!("held: {ml}, {minor}, until {until}"));
        }
        let binding = decision.binding.as_ref();
        for headroom in &decision.headroom {
            let binds = binding.is_some_and(|binding| binding.limit == headroom.limit);
            if headroom.limit != "balance" || binds {
                lines.push(self.headroom(if binds { "binding" } else { "limit" }, headroom));
            }
        }
        if let Some(binding) = binding
            && !decision.headroom.iter().any(|headroom| headroom == binding)
        {
            lines.push(self.headroom("binding", binding));
        }
        for finding in &decision.risk {
            lines.push(format!("found: {}", self.plain(&json(finding))));
        }
        for note in &decision.notes {
            lines.push(format!("note: {}", self.plain(&json(note))));
        }
        for language in std::iter::once(&Language::English).chain(self.languages) {
            let of = |texts: &Languages| match language {
                Language::English => texts.en.clone(),
                Language::Russian => texts.ru.clone(),
                Language::Kazakh => texts.kk.clone(),
            };
            lines.push(format!("cashier: {}", of(&decision.text.cashier)));
            lines.push(format!("manager: {}", of(&decision.text.manager)));
        }
    }

    fn headroom(&self, word: &str, headroom: &Headroom) -> String {
        let amount = |value: i64| self.amount(headroom.measure, value);
        let mut line = format!("{word} {}", headroom.limit);
        if headroom.version > 1 {
            line.push_str(&format!(" v{}", headroom.version));
        }
        line.push_str(&format!(": left {}", amount(headroom.left)));
        match (headroom.measure, headroom.left_ml, headroom.left_minor) {
            (Measure::Volume, _, Some(minor)) => line.push_str(&format!(" = {}", money(minor, self.house.currency))),
            (Measure::Money, Some(ml), _) => line.push_str(&format!(" = {} L", thousandths(ml))),
            _ => {}
        }
        line.push_str(&format!(" of {}", amount(headroom.limit_value)));
        for (value, what) in [(headroom.used, "used"), (headroom.held, "held")] {
            if value != 0 {
                line.push_str(&format!(", {what} {}", amount(value)));
            }
        }
        if !headroom.mode.is_decline() {
            line.push_str(&format!(", {}", name(&headroom.mode)));
        }
        format!("{line} ({})", headroom.window)
    }

    fn amount(&self, measure: Measure, value: i64) -> String {
        match measure {
            Measure::Volume => format!("{} L", thousandths(value)),
            Measure::Money => money(value, self.house.currency),
            Measure::Count => format!("{value} x"),
        }
    }

    fn balance(&self, balance: &Balance) -> String {
        let parts = [
            ("own", balance.own, true),
            ("credit", balance.credit, false),
            ("held", balance.held, false),
            ("unbilled", balance.unbilled, false),
            ("available", balance.available, true),
        ];
        let words: Vec<String> = parts
            .iter()
            .filter(|(_, amount, always)| *always || !amount.is_zero())
            .map(|(part, amount, _)| format!("{part} {}", money(amount.get(), balance.currency)))
            .collect();
        format!("balance: {} {}", words.join(", "), balance.currency)
    }

    fn fact(&self, fact: &Fact) -> String {
        match fact {
            Fact::LimitSet { version, .. } if *version > 1 => format!("limit set, version {version}"),
            Fact::CreditLineUsed { percent } => format!("ALERT: {percent} % of the credit line is used"),
            Fact::CommandRefused { code, message } => format!("refused {}: {message}", name(code)),
            Fact::CommandRepeated => "repeated: nothing changed".into(),
            Fact::RegisterMatched { line, outcome, credited_minor } => {
                let credited = credited_minor.map(|amount| format!(", credited {}", self.money(amount)));
                format!(
                    "register: {} {} is {}{}",
                    line.reference,
                    self.money(line.amount_minor),
                    name(outcome).replace('_', " "),
                    credited.unwrap_or_default()
                )
            }
            Fact::RegisterMissing { reference, amount_minor } => {
                format!("register: {reference} {} is missing", self.money(*amount_minor))
            }
            Fact::FeeCharged { name, month, amount_minor } => {
                format!("fee charged: {name} of {month}, {}", self.money(*amount_minor))
            }
            Fact::Billed { number, amount_minor } => format!("billed: {number}, {}", self.money(*amount_minor)),
            Fact::Captured { auth_code, items, amount_minor, .. } => {
                self.moved("sold", auth_code, items, *amount_minor)
            }
            Fact::Refunded { auth_code, items, amount_minor, .. } => {
                self.moved("refunded", auth_code, items, *amount_minor)
            }
            Fact::Voided { auth_code, items, amount_minor, .. } => {
                self.moved("voided", auth_code, items, *amount_minor)
            }
            Fact::Reversed { auth_code, reason, .. } => match reason {
                Some(reason) => format!("released: {auth_code}, because {reason}"),
                None => format!("released: {auth_code}"),
            },
            Fact::HoldExpired { auth_code, .. } => format!("hold expired: {auth_code}"),
            Fact::CardBlocked { .. }
            | Fact::CardUnblocked { .. }
            | Fact::ContractBlocked(_)
            | Fact::ContractUnblocked { .. } => {
                let value = json(fact);
                let (what, how) = value.as_object().and_then(|fact| fact.iter().next()).expect("a named fact");
                format!("{}: {}", what.replace('_', " "), self.plain(how))
            }
            other => name_of(&json(other)),
        }
    }

    fn moved(&self, verb: &str, auth_code: &model::AuthCode, items: &[SoldItem], sum: MinorUnits) -> String {
        let items: Vec<String> = items.iter().map(|item| self.sold(item)).collect();
        format!("{verb} {auth_code}: {}, {}", items.join(" + "), self.money(sum))
    }

    fn allowed(&self, item: &Allowed) -> String {
        let mut words =
            format!("{} {}", quantity(item.qty_ml, item.pieces, item.code.as_str()), self.money(item.amount_minor));
        if !item.discount_minor.is_zero() {
            words.push_str(&format!(" (discount {})", self.money(item.discount_minor)));
        }
        words
    }

    fn sold(&self, item: &SoldItem) -> String {
        let mut words =
            format!("{} {}", quantity(item.qty_ml, item.pieces, item.code.as_str()), self.money(item.amount_minor));
        if !item.discount_minor.is_zero() {
            words.push_str(&format!(" (discount {})", self.money(item.discount_minor)));
        }
        words
    }

    fn money(&self, amount: MinorUnits) -> String {
        money(amount.get(), self.house.currency)
    }

    fn time(&self, at: TimestampUs) -> String {
        local(at.get(), &self.house.zone)
    }

    /// A structure of the vocabulary as words: names without underscores, amounts in their units, times as clocks show them.
    fn plain(&self, value: &Value) -> String {
        match value {
            Value::Object(fields) => {
                let measure = fields.get("measure").and_then(|measure| serde_json::from_value(measure.clone()).ok());
                let mut words: Vec<String> =
                    fields.iter().map(|(name, value)| self.field(name, value, measure)).collect();
                words.sort(); // whether JSON keeps the order of fields depends on how the library was built
                words.join(", ")
            }
            Value::Array(values) => values.iter().map(|value| self.plain(value)).collect::<Vec<_>>().join(" "),
            Value::String(text) => text.replace('_', " "),
            Value::Null => "none".into(),
            other => other.to_string(),
        }
    }

    fn field(&self, name: &str, value: &Value, measure: Option<Measure>) -> String {
        let words = match (value.as_i64(), measure) {
            (Some(us), _) if is_time(name) => local(us, &self.house.zone),
            (Some(ml), _) if name == "ml" || name.ends_with("_ml") => format!("{} L", thousandths(ml)),
            (Some(minor), _) if name == "minor" || name.ends_with("_minor") => money(minor, self.house.currency),
            (Some(value), Some(measure)) if name == "beyond" => self.amount(measure, value),
            _ => self.plain(value),
        };
        let name = ["_us", "_ml", "_minor"].iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name);
        format!("{} {words}", name.replace('_', " "))
    }
}

/// Times by their names: those that do not end in `_us` are contents of variants.
fn is_time(name: &str) -> bool {
    name.ends_with("_us") || matches!(name, "valid_from" | "valid_to" | "pin_locked_until" | "hold_expired")
}

fn quantity(ml: Millilitres, pieces: u32, product: &str) -> String {
    if pieces > 0 { format!("{pieces} {product}") } else { format!("{} {product}", litres(ml)) }
}

fn litres(ml: Millilitres) -> String {
    format!("{} L", thousandths(ml.get().cast_signed()))
}

fn thousandths(value: i64) -> String {
    let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let text = format!("{sign}{}.{:03}", size / 1000, size % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn money(minor: i64, currency: Currency) -> String {
    let (sign, size) = (if minor < 0 { "-" } else { "" }, minor.unsigned_abs());
    let digits = currency.minor_digits();
    let unit = 10_u64.pow(digits);
    match digits as usize {
        0 => format!("{sign}{size}"),
        width => format!("{sign}{}.{:0width$}", size / unit, size % unit),
    }
}

fn local(us: i64, zone: &TimeZone) -> String {
    let time = jiff::Timestamp::from_microsecond(us).expect("a time between 1970 and 9000");
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("the vocabulary has a JSON form")
}

fn name(value: &impl serde::Serialize) -> String {
    json(value).as_str().unwrap_or_default().to_owned()
}

/// The variant's name as words.
fn name_of(fact: &Value) -> String {
    let key = fact.as_object().and_then(|fact| fact.keys().next()).map(String::as_str);
    key.or(fact.as_str()).unwrap_or_default().replace('_', " ")
}
