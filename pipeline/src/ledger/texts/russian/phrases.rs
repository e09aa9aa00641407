//! The parts of Russian sentences.

use std::fmt::{self, Display, Formatter};

use model::{
    Actor, Balance, CalendarUnit, Closure, Code, Entry, Headroom, Malformed, Measure, ProductSelector, Prompt, Scope,
    TimestampUs, TransactionKind, Window,
};

use super::super::figures::{Dotted, RUSSIAN, Span};
use super::super::{Amounts, Subject, prompts};

pub(super) fn accepted(kind: TransactionKind) -> &'static str {
    match kind {
        TransactionKind::Preauth | TransactionKind::Sale | TransactionKind::Incremental | TransactionKind::DryRun => {
            "Одобрено"
        }
        TransactionKind::Completion | TransactionKind::AdviceOffline | TransactionKind::Forced => "Принято",
        TransactionKind::Reversal | TransactionKind::Void => "Отменено",
        TransactionKind::Refund => "Возврат принят",
        TransactionKind::Balance => "Запрос выполнен",
    }
}

pub(super) fn enter(subject: &Subject<'_>) -> String {
    match (subject.code, prompts(subject)) {
        (_, []) => "Введите то, что просит терминал".to_owned(),
        (Code::PromptInvalid, prompts) => format!("Проверьте и введите снова: {}", List(prompts)),
        (_, prompts) => format!("Введите: {}", List(prompts)),
    }
}

pub(super) fn prompt_name(prompt: Prompt) -> &'static str {
    match prompt {
        Prompt::Driver => "водитель",
        Prompt::Vehicle => "машина",
        Prompt::Odometer => "одометр",
        Prompt::EngineHours => "моточасы",
        Prompt::Trip => "рейс",
        Prompt::Trailer => "прицеп",
    }
}

pub(super) fn malformed(problem: Malformed) -> &'static str {
    match problem {
        Malformed::NoItem => "нет ни одного товара",
        Malformed::TooManyItems => "слишком много товаров",
        Malformed::NegativeAmount => "есть отрицательная сумма",
        Malformed::OutOfRange => "есть число вне допустимых границ",
        Malformed::NoPrice => "есть товар без цены",
        Malformed::NoQuantity => "есть товар без количества",
        Malformed::FillUpInSale => "о продаже указан полный бак, а не проданное количество",
        Malformed::WrongUnit => "перепутаны литры и штуки",
        Malformed::NoOriginal => "не указано, к какой покупке оно относится",
    }
}

pub(super) fn closed(card: &str, closure: Closure) -> String {
    match closure {
        Closure::Lost => format!("Карта {card} заявлена как утерянная"),
        Closure::Stolen => format!("Карта {card} заявлена как украденная"),
        Closure::Returned => format!("Карта {card} закрыта окончательно"),
    }
}

/// ` C-17`, after the noun in whatever case; nothing where the contract is unknown.
pub(super) struct Contract<'a>(pub(super) &'a Subject<'a>);

impl Display for Contract<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.contract.map_or(Ok(()), |contract| write!(f, " {contract}"))
    }
}

/// In the dative, after `По`.
pub(super) fn owner(subject: &Subject<'_>, scope: &Scope) -> String {
    match scope {
        Scope::Contract => format!("договору{}", Contract(subject)),
        Scope::Group(group) => format!("группе {group}"),
        Scope::Card(_) => format!("карте {}", subject.card),
        Scope::Vehicle(vehicle) => format!("машине {vehicle}"),
        Scope::Driver(driver) => format!("водителю {driver}"),
    }
}

/// Feminine whichever it is: what follows agrees with it.
pub(super) fn original(subject: &Subject<'_>) -> Option<String> {
    match (&subject.original.auth_code, &subject.original.idem) {
        (Some(auth_code), _) => Some(format!("Авторизация {auth_code}")),
        (None, Some(idem)) => Some(format!("Операция {idem}")),
        (None, None) => None,
    }
}

pub(super) fn original_or(subject: &Subject<'_>) -> String {
    original(subject).unwrap_or_else(|| "Исходная покупка".to_owned())
}

/// What a contract has, and how that comes about.
pub(super) fn money(subject: &Subject<'_>, balance: &Balance) -> String {
    let in_words = |minor: i64| RUSSIAN.minor(minor, balance.currency).to_string();
    let available = balance.available.get();
    let contract = Contract(subject);
    let mut text = if available < 0 {
        format!("По договору{contract} перерасход {}", in_words(available.saturating_neg()))
    } else {
        let was = if subject.took() { "было " } else { "" };
        format!("По договору{contract} {was}доступно {}", in_words(available))
    };
    let parts = [
        ("собственные средства ", balance.own),
        ("кредитная линия ", balance.credit),
        ("в резерве ", balance.held),
        ("ещё не в счёте ", balance.unbilled),
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

/// The form of a noun after a number: 1 литр, 2 литра, 5 литров.
pub(super) fn plural(number: u64, one: &'static str, few: &'static str, many: &'static str) -> &'static str {
    match (number % 100, number % 10) {
        (11..=14, _) => many,
        (_, 1) => one,
        (_, 2..=4) => few,
        _ => many,
    }
}

/// Alike in the nominative and the accusative but for minutes and seconds, which here come after prepositions.
pub(super) fn span(span: Span) -> String {
    match span {
        Span::Days(days) => format!("{days} {}", plural(days.into(), "день", "дня", "дней")),
        Span::Hours(hours) => format!("{hours} {}", plural(hours.into(), "час", "часа", "часов")),
        Span::Minutes(minutes) => format!("{minutes} {}", plural(minutes.into(), "минуту", "минуты", "минут")),
        Span::Seconds(secs) => format!("{secs} {}", plural(secs.into(), "секунду", "секунды", "секунд")),
    }
}

/// `сегодня`, `в пределах последних 24 часов`.
pub(super) struct Time(pub(super) Window);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Window::PerTransaction => f.write_str("за раз"),
            Window::Lifetime | Window::OneOff => f.write_str("всего"),
            Window::Rolling { secs } => {
                let (number, this, one, many) = match Span::of_secs(secs) {
                    Span::Days(days) => (days, "последнего", "дня", "дней"),
                    Span::Hours(hours) => (hours, "последнего", "часа", "часов"),
                    Span::Minutes(minutes) => (minutes, "последней", "минуты", "минут"),
                    Span::Seconds(secs) => (secs, "последней", "секунды", "секунд"),
                };
                within(f, number, [this, "последних"], [one, many])
            }
            Window::Calendar { unit, count: 1 } => f.write_str(match unit {
                CalendarUnit::Day => "сегодня",
                CalendarUnit::Week => "на этой неделе",
                CalendarUnit::Month => "в этом месяце",
                CalendarUnit::Quarter => "в этом квартале",
                CalendarUnit::Year => "в этом году",
            }),
            Window::Calendar { unit, count } => {
                let (this, one, many) = match unit {
                    CalendarUnit::Day => ("текущего", "дня", "дней"),
                    CalendarUnit::Week => ("текущей", "недели", "недель"),
                    CalendarUnit::Month => ("текущего", "месяца", "месяцев"),
                    CalendarUnit::Quarter => ("текущего", "квартала", "кварталов"),
                    CalendarUnit::Year => ("текущего", "года", "лет"),
                };
                within(f, count.into(), [this, "текущих"], [one, many])
            }
        }
    }
}

/// In the genitive: `в пределах последнего часа`, `в пределах последних 24 часов`.
pub(super) fn within(
    f: &mut Formatter<'_>,
    number: u32,
    these: [&'static str; 2],
    nouns: [&'static str; 2],
) -> fmt::Result {
    let form = |[one, many]: [&'static str; 2]| plural(number.into(), one, many, many);
    let (these, noun) = (form(these), form(nouns));
    if number == 1 {
        write!(f, "в пределах {these} {noun}")
    } else {
        write!(f, "в пределах {these} {number} {noun}")
    }
}

/// ` (лимит L-77, товар DIESEL, в резерве 27,5 л)`.
pub(super) struct Name<'a>(pub(super) &'a Headroom, pub(super) &'a Subject<'a>);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(headroom, subject) = self;
        let kind = if headroom.span == Window::OneOff { "разовый лимит" } else { "лимит" };
        write!(f, " ({kind} {}", headroom.limit)?;
        match &headroom.product {
            ProductSelector::All => {}
            ProductSelector::Group(group) => write!(f, ", группа товаров {group}")?,
            ProductSelector::Product(product) => write!(f, ", товар {product}")?,
        }
        if headroom.held > 0 {
            write!(f, ", в резерве {}", Figure(headroom.measure, headroom.held, subject))?;
        }
        f.write_str(")")
    }
}

/// A figure of a limit in its own measure, in the nominative.
pub(super) struct Figure<'a>(pub(super) Measure, pub(super) i64, pub(super) &'a Subject<'a>);

impl Display for Figure<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(measure, value, subject) = *self;
        match measure {
            Measure::Volume => RUSSIAN.millilitres(value).fmt(f),
            Measure::Money => RUSSIAN.minor(value, subject.currency).fmt(f),
            Measure::Count => {
                let name = plural(value.unsigned_abs(), "покупка", "покупки", "покупок");
                write!(f, "{} {name}", RUSSIAN.whole(value))
            }
        }
    }
}

/// The same in the accusative, after `на`.
pub(super) struct Beyond<'a>(pub(super) Measure, pub(super) i64, pub(super) &'a Subject<'a>);

impl Display for Beyond<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(measure, value, subject) = *self;
        match measure {
            Measure::Count => {
                let name = plural(value.unsigned_abs(), "покупку", "покупки", "покупок");
                write!(f, "{} {name}", RUSSIAN.whole(value))
            }
            Measure::Volume | Measure::Money => Figure(measure, value, subject).fmt(f),
        }
    }
}

/// `60 л и 2 шт.`
pub(super) struct Goods(pub(super) Amounts);

impl Display for Goods {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(Amounts { ml, pieces, .. }) = self;
        match (ml.get(), pieces) {
            (_, 0) => RUSSIAN.litres(*ml).fmt(f),
            (0, _) => write!(f, "{} шт.", RUSSIAN.whole(*pieces)),
            _ => write!(f, "{} и {} шт.", RUSSIAN.litres(*ml), RUSSIAN.whole(*pieces)),
        }
    }
}

/// `60 л на 4 167,00 RUB`.
pub(super) struct Priced<'a>(pub(super) Amounts, pub(super) &'a Subject<'a>);

impl Display for Priced<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(amounts, subject) = self;
        let goods = amounts.ml.get() > 0 || amounts.pieces > 0;
        let money = RUSSIAN.money(amounts.minor, subject.currency);
        match (goods, amounts.minor.is_zero()) {
            (true, true) => Goods(*amounts).fmt(f),
            (true, false) => write!(f, "{} на {money}", Goods(*amounts)),
            (false, _) => money.fmt(f),
        }
    }
}

/// In the instrumental: `клиентом до 14.01.2026 17:31 UTC: «потеряны ключи»`.
pub(super) struct Block<'a>(pub(super) Actor, pub(super) &'a str, pub(super) Option<TimestampUs>);

impl Display for Block<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(actor, reason, until) = *self;
        f.write_str(match actor {
            Actor::Client => "клиентом",
            Actor::IssuerRisk => "службой рисков эмитента",
            Actor::IssuerCredit => "кредитной службой эмитента",
            Actor::System => "системой",
        })?;
        if let Some(until) = until {
            write!(f, " до {}", Dotted(until))?;
        }
        if reason.is_empty() { Ok(()) } else { write!(f, ": «{reason}»") }
    }
}

/// `водитель, машина, одометр`.
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
        Entry::Stripe => "магнитная полоса",
        Entry::Manual => "ручной ввод",
        Entry::Qr => "QR-код",
        Entry::Rfid => "радиометка",
    }
}
