//! The parts of Kazakh sentences.

use std::fmt::{self, Display, Formatter};

use model::{
    Actor, Balance, CalendarUnit, Closure, Code, Entry, Headroom, Malformed, Measure, ProductSelector, Prompt, Scope,
    TimestampUs, TransactionKind, Window,
};

use super::super::figures::{Dotted, KAZAKH, Span};
use super::super::{Amounts, Subject, prompts};

pub(super) fn accepted(kind: TransactionKind) -> &'static str {
    match kind {
        TransactionKind::Preauth | TransactionKind::Sale | TransactionKind::Incremental | TransactionKind::DryRun => {
            "Рұқсат берілді"
        }
        TransactionKind::Completion | TransactionKind::AdviceOffline | TransactionKind::Forced => "Қабылданды",
        TransactionKind::Reversal | TransactionKind::Void => "Жойылды",
        TransactionKind::Refund => "Қайтару қабылданды",
        TransactionKind::Balance => "Сұрауға жауап берілді",
    }
}

pub(super) fn enter(subject: &Subject<'_>) -> String {
    match (subject.code, prompts(subject)) {
        (_, []) => "Терминал сұраған деректі енгізіңіз".to_owned(),
        (Code::PromptInvalid, prompts) => format!("Тексеріп, қайта енгізіңіз: {}", List(prompts)),
        (_, prompts) => format!("Теріңіз: {}", List(prompts)),
    }
}

pub(super) fn prompt_name(prompt: Prompt) -> &'static str {
    match prompt {
        Prompt::Driver => "жүргізуші",
        Prompt::Vehicle => "көлік",
        Prompt::Odometer => "одометр",
        Prompt::EngineHours => "мотосағат",
        Prompt::Trip => "рейс",
        Prompt::Trailer => "тіркеме",
    }
}

pub(super) fn malformed(problem: Malformed) -> &'static str {
    match problem {
        Malformed::NoItem => "бірде-бір тауар жоқ",
        Malformed::TooManyItems => "тауар тым көп",
        Malformed::NegativeAmount => "теріс сома бар",
        Malformed::OutOfRange => "рұқсат етілген шектен тыс сан бар",
        Malformed::NoPrice => "бағасыз тауар бар",
        Malformed::NoQuantity => "мөлшері көрсетілмеген тауар бар",
        Malformed::FillUpInSale => "сатылған мөлшердің орнына толық бак көрсетілген",
        Malformed::WrongUnit => "литр мен дана шатастырылған",
        Malformed::NoOriginal => "қай сатып алуға қатысты екені көрсетілмеген",
    }
}

pub(super) fn closed(card: &str, closure: Closure) -> String {
    match closure {
        Closure::Lost => format!("{card} картасы жоғалған деп жарияланған"),
        Closure::Stolen => format!("{card} картасы ұрланған деп жарияланған"),
        Closure::Returned => format!("{card} картасы біржола жабылған"),
    }
}

pub(super) fn contract_name(subject: &Subject<'_>) -> String {
    subject.contract.map_or_else(|| "Келісімшарт".to_owned(), |contract| format!("{contract} келісімшарты"))
}

/// The contract's currency, term and so on.
pub(super) fn contract(subject: &Subject<'_>, of: &str) -> String {
    subject
        .contract
        .map_or_else(|| format!("Келісімшарттың {of}"), |contract| format!("{contract} келісімшартының {of}"))
}

pub(super) fn contract_owner(subject: &Subject<'_>) -> String {
    format!("{} бойынша", contract_name(subject))
}

pub(super) fn owner(subject: &Subject<'_>, scope: &Scope) -> String {
    match scope {
        Scope::Contract => contract_owner(subject),
        Scope::Group(group) => format!("{group} тобы бойынша"),
        Scope::Card(_) => format!("{} картасы бойынша", subject.card),
        Scope::Vehicle(vehicle) => format!("{vehicle} көлігі бойынша"),
        Scope::Driver(driver) => format!("{driver} жүргізушісі бойынша"),
    }
}

pub(super) fn original(subject: &Subject<'_>) -> Option<String> {
    match (&subject.original.auth_code, &subject.original.idem) {
        (Some(auth_code), _) => Some(format!("{auth_code} авторизациясы")),
        (None, Some(idem)) => Some(format!("{idem} операциясы")),
        (None, None) => None,
    }
}

pub(super) fn original_or(subject: &Subject<'_>) -> String {
    original(subject).unwrap_or_else(|| "Бастапқы сатып алу".to_owned())
}

/// What a contract has, and how that comes about.
pub(super) fn money(subject: &Subject<'_>, balance: &Balance) -> String {
    let in_words = |minor: i64| KAZAKH.minor(minor, balance.currency).to_string();
    let available = balance.available.get();
    let owner = contract_owner(subject);
    let mut text = if available < 0 {
        format!("{owner} артық жұмсалғаны – {}", in_words(available.saturating_neg()))
    } else {
        let was = if subject.took() { " болған" } else { "" };
        format!("{owner} қолжетімді сома – {}{was}", in_words(available))
    };
    let parts = [
        ("меншікті қаражат ", balance.own),
        ("несие желісі ", balance.credit),
        ("резервте ", balance.held),
        ("шотқа әлі енбегені ", balance.unbilled),
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
        Span::Days(days) => format!("{days} күн"),
        Span::Hours(hours) => format!("{hours} сағат"),
        Span::Minutes(minutes) => format!("{minutes} минут"),
        Span::Seconds(secs) => format!("{secs} секунд"),
    }
}

/// `бүгін`, `соңғы 24 сағатта`.
pub(super) struct Time(pub(super) Window);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Window::PerTransaction => f.write_str("бір жолы"),
            Window::Lifetime | Window::OneOff => f.write_str("барлығы"),
            Window::Rolling { secs } => match Span::of_secs(secs) {
                Span::Days(days) => write!(f, "соңғы {days} күнде"),
                Span::Hours(hours) => write!(f, "соңғы {hours} сағатта"),
                Span::Minutes(minutes) => write!(f, "соңғы {minutes} минутта"),
                Span::Seconds(secs) => write!(f, "соңғы {secs} секундта"),
            },
            Window::Calendar { unit, count: 1 } => f.write_str(match unit {
                CalendarUnit::Day => "бүгін",
                CalendarUnit::Week => "осы аптада",
                CalendarUnit::Month => "осы айда",
                CalendarUnit::Quarter => "осы тоқсанда",
                CalendarUnit::Year => "осы жылы",
            }),
            Window::Calendar { unit, count } => {
                let unit = match unit {
                    CalendarUnit::Day => "күнде",
                    CalendarUnit::Week => "аптада",
                    CalendarUnit::Month => "айда",
                    CalendarUnit::Quarter => "тоқсанда",
                    CalendarUnit::Year => "жылда",
                };
                write!(f, "ағымдағы {count} {unit}")
            }
        }
    }
}

/// ` (лимит: L-77, тауар: DIESEL, резервте 27,5 л)`.
pub(super) struct Name<'a>(pub(super) &'a Headroom, pub(super) &'a Subject<'a>);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(headroom, subject) = self;
        let kind = if headroom.span == Window::OneOff { "бір реттік лимит" } else { "лимит" };
        write!(f, " ({kind}: {}", headroom.limit)?;
        match &headroom.product {
            ProductSelector::All => {}
            ProductSelector::Group(group) => write!(f, ", тауар тобы: {group}")?,
            ProductSelector::Product(product) => write!(f, ", тауар: {product}")?,
        }
        if headroom.held > 0 {
            write!(f, ", резервте {}", Figure(headroom.measure, headroom.held, subject))?;
        }
        f.write_str(")")
    }
}

/// A figure of a limit in its own measure.
pub(super) struct Figure<'a>(pub(super) Measure, pub(super) i64, pub(super) &'a Subject<'a>);

impl Display for Figure<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(measure, value, subject) = *self;
        match measure {
            Measure::Volume => KAZAKH.millilitres(value).fmt(f),
            Measure::Money => KAZAKH.minor(value, subject.currency).fmt(f),
            Measure::Count => write!(f, "{} сатып алу", KAZAKH.whole(value)),
        }
    }
}

/// `60 л және 2 дана`.
pub(super) struct Goods(pub(super) Amounts);

impl Display for Goods {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(Amounts { ml, pieces, .. }) = self;
        match (ml.get(), pieces) {
            (_, 0) => KAZAKH.litres(*ml).fmt(f),
            (0, _) => write!(f, "{} дана", KAZAKH.whole(*pieces)),
            _ => write!(f, "{} және {} дана", KAZAKH.litres(*ml), KAZAKH.whole(*pieces)),
        }
    }
}

/// `60 л (4 167,00 RUB)`.
pub(super) struct Priced<'a>(pub(super) Amounts, pub(super) &'a Subject<'a>);

impl Display for Priced<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(amounts, subject) = self;
        let goods = amounts.ml.get() > 0 || amounts.pieces > 0;
        let money = KAZAKH.money(amounts.minor, subject.currency);
        match (goods, amounts.minor.is_zero()) {
            (true, true) => Goods(*amounts).fmt(f),
            (true, false) => write!(f, "{} ({money})", Goods(*amounts)),
            (false, _) => money.fmt(f),
        }
    }
}

/// `клиент бұғаттады: «кілт жоғалды»; аяқталуы: 14.01.2026 17:31 UTC`.
pub(super) struct Block<'a>(pub(super) Actor, pub(super) &'a str, pub(super) Option<TimestampUs>);

impl Display for Block<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(actor, reason, until) = *self;
        let actor = match actor {
            Actor::Client => "клиент",
            Actor::IssuerRisk => "эмитенттің тәуекел қызметі",
            Actor::IssuerCredit => "эмитенттің несие қызметі",
            Actor::System => "жүйе",
        };
        write!(f, "{actor} бұғаттады")?;
        if !reason.is_empty() {
            write!(f, ": «{reason}»")?;
        }
        until.map_or(Ok(()), |until| write!(f, "; аяқталуы: {}", Dotted(until)))
    }
}

/// `жүргізуші, көлік, одометр`.
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
        Entry::Chip => "чип",
        Entry::Stripe => "магнит жолағы",
        Entry::Manual => "қолмен енгізу",
        Entry::Qr => "QR-код",
        Entry::Rfid => "радиобелгі",
    }
}
