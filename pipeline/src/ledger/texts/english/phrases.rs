//! The parts of English sentences.

use std::fmt::{self, Display, Formatter};

use model::{
    Actor, Balance, CalendarUnit, Closure, Code, Entry, Headroom, Malformed, Measure, ProductSelector, Prompt, Scope,
    TimestampUs, TransactionKind, Window,
};

use super::super::figures::{ENGLISH, Span, utc};
use super::super::{Amounts, Subject, prompts};

pub(super) fn accepted(kind: TransactionKind) -> &'static str {
    match kind {
        TransactionKind::Preauth | TransactionKind::Sale | TransactionKind::Incremental | TransactionKind::DryRun => {
            "Approved"
        }
        TransactionKind::Completion | TransactionKind::AdviceOffline | TransactionKind::Forced => "Accepted",
        TransactionKind::Reversal | TransactionKind::Void => "Cancelled",
        TransactionKind::Refund => "Return accepted",
        TransactionKind::Balance => "Inquiry answered",
    }
}

pub(super) fn enter(subject: &Subject<'_>) -> String {
    match (subject.code, prompts(subject)) {
        (Code::PromptInvalid, [prompt]) => format!("Check the {} and enter it again", prompt_name(*prompt)),
        (_, []) => "Enter what the terminal asks for".to_owned(),
        (_, [prompt]) => format!("Enter the {}", prompt_name(*prompt)),
        (_, prompts) => format!("Enter {}", List(prompts)),
    }
}

pub(super) fn prompt_name(prompt: Prompt) -> &'static str {
    match prompt {
        Prompt::Driver => "driver",
        Prompt::Vehicle => "vehicle",
        Prompt::Odometer => "odometer",
        Prompt::EngineHours => "engine hours",
        Prompt::Trip => "trip",
        Prompt::Trailer => "trailer",
    }
}

pub(super) fn malformed(problem: Malformed) -> &'static str {
    match problem {
        Malformed::NoItem => "names no product",
        Malformed::TooManyItems => "names too many products",
        Malformed::NegativeAmount => "has an amount below zero",
        Malformed::OutOfRange => "has a figure that is out of range",
        Malformed::NoPrice => "has a product without price",
        Malformed::NoQuantity => "has a product without quantity",
        Malformed::FillUpInSale => "asks for a full tank in a sale, which must say how much was sold",
        Malformed::WrongUnit => "mixes up litres and pieces",
        Malformed::NoOriginal => "does not say which purchase it refers to",
    }
}

pub(super) fn closed(card: &str, closure: Closure) -> String {
    match closure {
        Closure::Lost => format!("Card {card} was reported lost"),
        Closure::Stolen => format!("Card {card} was reported stolen"),
        Closure::Returned => format!("Card {card} was closed for good"),
    }
}

pub(super) fn contract(subject: &Subject<'_>) -> String {
    subject.contract.map_or_else(|| "The contract".to_owned(), |contract| format!("Contract {contract}"))
}

/// Within a sentence.
pub(super) fn contract_within(subject: &Subject<'_>) -> String {
    subject.contract.map_or_else(|| "the contract".to_owned(), |contract| format!("contract {contract}"))
}

pub(super) fn owner(subject: &Subject<'_>, scope: &Scope) -> String {
    match scope {
        Scope::Contract => contract(subject),
        Scope::Group(group) => format!("Group {group}"),
        Scope::Card(_) => format!("Card {}", subject.card),
        Scope::Vehicle(vehicle) => format!("Vehicle {vehicle}"),
        Scope::Driver(driver) => format!("Driver {driver}"),
    }
}

pub(super) fn original(subject: &Subject<'_>) -> Option<String> {
    match (&subject.original.auth_code, &subject.original.idem) {
        (Some(auth_code), _) => Some(format!("Authorization {auth_code}")),
        (None, Some(idem)) => Some(format!("Request {idem}")),
        (None, None) => None,
    }
}

pub(super) fn original_or(subject: &Subject<'_>) -> String {
    original(subject).unwrap_or_else(|| "The original purchase".to_owned())
}

/// What a contract has, and how that comes about.
pub(super) fn money(subject: &Subject<'_>, balance: &Balance) -> String {
    let in_words = |minor: i64| ENGLISH.minor(minor, balance.currency).to_string();
    let available = balance.available.get();
    let contract = contract(subject);
    let mut text = if available < 0 {
        format!("{contract} is {} beyond what it has", in_words(available.saturating_neg()))
    } else {
        format!("{contract} {} {} available", if subject.took() { "had" } else { "has" }, in_words(available))
    };
    let parts = [
        ("own money ", balance.own),
        ("credit line ", balance.credit),
        ("held ", balance.held),
        ("not yet billed ", balance.unbilled),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, amount)| !amount.is_zero())
        .map(|(name, amount)| format!("{name}{}", in_words(amount.get())))
        .collect();
    if parts.len() > 1 {
        text.push_str(&format!(" ({})", parts.join(", ")));
    }
    text
}

pub(super) fn span(span: Span) -> String {
    match span {
        Span::Days(1) => "1 day".to_owned(),
        Span::Days(days) => format!("{days} days"),
        Span::Hours(1) => "1 hour".to_owned(),
        Span::Hours(hours) => format!("{hours} hours"),
        Span::Minutes(1) => "1 minute".to_owned(),
        Span::Minutes(minutes) => format!("{minutes} minutes"),
        Span::Seconds(1) => "1 second".to_owned(),
        Span::Seconds(secs) => format!("{secs} seconds"),
    }
}

/// `today`, `in the last 24 hours`.
pub(super) struct Time(pub(super) Window);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Window::PerTransaction => f.write_str("at a time"),
            Window::Lifetime | Window::OneOff => f.write_str("in all"),
            Window::Rolling { secs } => write!(f, "in the last {}", span(Span::of_secs(secs))),
            Window::Calendar { unit, count: 1 } => f.write_str(match unit {
                CalendarUnit::Day => "today",
                CalendarUnit::Week => "this week",
                CalendarUnit::Month => "this month",
                CalendarUnit::Quarter => "this quarter",
                CalendarUnit::Year => "this year",
            }),
            Window::Calendar { unit, count } => {
                let unit = match unit {
                    CalendarUnit::Day => "days",
                    CalendarUnit::Week => "weeks",
                    CalendarUnit::Month => "months",
                    CalendarUnit::Quarter => "quarters",
                    CalendarUnit::Year => "years",
                };
                write!(f, "in the current {count} {unit}")
            }
        }
    }
}

/// ` (limit L-77, product DIESEL, 27.5 L held)`.
pub(super) struct Name<'a>(pub(super) &'a Headroom, pub(super) &'a Subject<'a>);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(headroom, subject) = self;
        let kind = if headroom.span == Window::OneOff { "one-off limit" } else { "limit" };
        write!(f, " ({kind} {}", headroom.limit)?;
        match &headroom.product {
            ProductSelector::All => {}
            ProductSelector::Group(group) => write!(f, ", product group {group}")?,
            ProductSelector::Product(product) => write!(f, ", product {product}")?,
        }
        if headroom.held > 0 {
            write!(f, ", {} held", Figure(headroom.measure, headroom.held, subject))?;
        }
        f.write_str(")")
    }
}

/// A figure of a limit in its own measure.
pub(super) struct Figure<'a>(pub(super) Measure, pub(super) i64, pub(super) &'a Subject<'a>);

impl Display for Figure<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(measure, value, subject) = *self;
        match (measure, value) {
            (Measure::Volume, ml) => ENGLISH.millilitres(ml).fmt(f),
            (Measure::Money, minor) => ENGLISH.minor(minor, subject.currency).fmt(f),
            (Measure::Count, 1) => f.write_str("1 purchase"),
            (Measure::Count, count) => write!(f, "{} purchases", ENGLISH.whole(count)),
        }
    }
}

/// `60 L and 2 pieces`.
pub(super) struct Goods(pub(super) Amounts);

impl Display for Goods {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(Amounts { ml, pieces, .. }) = self;
        let name = if *pieces == 1 { "piece" } else { "pieces" };
        match (ml.get(), pieces) {
            (_, 0) => ENGLISH.litres(*ml).fmt(f),
            (0, _) => write!(f, "{} {name}", ENGLISH.whole(*pieces)),
            _ => write!(f, "{} and {} {name}", ENGLISH.litres(*ml), ENGLISH.whole(*pieces)),
        }
    }
}

/// `60 L were`, `1 piece was`.
pub(super) fn were(amounts: Amounts) -> &'static str {
    if amounts.ml.get() == 0 && amounts.pieces == 1 { "was" } else { "were" }
}

/// `60 L for 4,167.00 RUB`.
pub(super) struct Priced<'a>(pub(super) Amounts, pub(super) &'a Subject<'a>);

impl Display for Priced<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(amounts, subject) = self;
        let goods = amounts.ml.get() > 0 || amounts.pieces > 0;
        let money = ENGLISH.money(amounts.minor, subject.currency);
        match (goods, amounts.minor.is_zero()) {
            (true, true) => Goods(*amounts).fmt(f),
            (true, false) => write!(f, "{} for {money}", Goods(*amounts)),
            (false, _) => money.fmt(f),
        }
    }
}

/// `the fleet until 14 January 2026 at 17:31 UTC: "keys lost"`.
pub(super) struct Block<'a>(pub(super) Actor, pub(super) &'a str, pub(super) Option<TimestampUs>);

impl Display for Block<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(actor, reason, until) = *self;
        f.write_str(match actor {
            Actor::Client => "the fleet",
            Actor::IssuerRisk => "the issuer's risk staff",
            Actor::IssuerCredit => "the issuer's credit staff",
            Actor::System => "the system",
        })?;
        if let Some(until) = until {
            write!(f, " until {}", Moment(until))?;
        }
        if reason.is_empty() { Ok(()) } else { write!(f, ": “{reason}”") }
    }
}

/// `14 January 2026, 17:31 UTC`.
pub(super) struct Moment(pub(super) TimestampUs);

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        let at = utc(self.0);
        let month = usize::try_from(at.month()).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?)).unwrap_or(&"");
        write!(f, "{} {month} {}, {:02}:{:02} UTC", at.day(), at.year(), at.hour(), at.minute())
    }
}

/// `driver, vehicle, odometer`.
pub(super) struct List<'a>(pub(super) &'a [Prompt]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, prompt) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, prompt_name(*prompt))?;
        }
        Ok(())
    }
}

pub(super) fn entry_name(entry: Entry) -> &'static str {
    match entry {
        Entry::Chip => "chip",
        Entry::Stripe => "stripe",
        Entry::Manual => "hand",
        Entry::Qr => "QR code",
        Entry::Rfid => "radio",
    }
}
