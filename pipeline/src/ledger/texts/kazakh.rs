//! Kazakh. Values stand where they take no suffix: the nouns beside them carry it.

mod phrases;
mod report;

use model::{
    Closure, Code, Difference, Headroom, LimitMode, Measure, Note, OriginalState, Prompt, RiskFinding, RiskMeasure,
    RuleMode, TransactionKind, Verdict, Window,
};

use super::figures::{Dotted, KAZAKH, Span};
use super::{Amounts, Language, Subject, taken_back};
use phrases::{
    Block, Figure, Goods, List, Name, Priced, Time, accepted, closed, contract, contract_name, contract_owner, enter,
    malformed, money, original, original_or, owner, prompt_name, span,
};

pub(super) struct Kazakh;

impl Language for Kazakh {
    const NEEDS_A_LOOK: &'static str = "Мұны тексерген жөн";

    fn cashier(subject: &Subject<'_>) -> String {
        match (subject.verdict, subject.kind) {
            (Verdict::Partial, _) => return format!("Рұқсат берілді: {}", Goods(subject.granted)),
            (Verdict::Approve, kind) => return accepted(kind).to_owned(),
            (Verdict::Decline | Verdict::Reprompt, _) => {}
        }
        let line = match subject.code {
            Code::PromptMissing | Code::PromptInvalid => return enter(subject),
            Code::OdometerRange => "Тексеріп, қайта енгізіңіз: одометр",
            Code::PinRequired => "PIN-кодты енгізіңіз",
            Code::PinWrong if !subject.locks() => "PIN-код қате. Қайталап көріңіз",
            Code::PinWrong | Code::PinLocked => "PIN-код бұғатталды. Жүргізуші компаниясына хабарлассын",
            Code::CardUnknown | Code::CardBlocked | Code::CardLost | Code::CardStolen | Code::CardClosed => {
                "Бас тартылды. Бұл картаны қолдануға болмайды"
            }
            Code::CardExpired => "Бас тартылды. Картаның мерзімі өткен",
            Code::CardNotYet => "Бас тартылды. Карта әлі күшіне енген жоқ",
            Code::Product => "Бас тартылды. Бұл тауарға карта бойынша рұқсат жоқ",
            Code::Site => "Бас тартылды. Карта бұл станцияда қабылданбайды",
            Code::Time => "Бас тартылды. Карта бұл уақытта қабылданбайды",
            Code::EntryMethod => "Бас тартылды. Картаны басқа тәсілмен оқытыңыз",
            Code::CurrencyMismatch => "Бас тартылды. Карта мұнда қабылданбайды",
            Code::AmountMismatch => "Бас тартылды. Чекпен салыстырып, қайталаңыз",
            Code::OriginalUnknown => "Бас тартылды. Бастапқы сатып алу табылмады",
            Code::OriginalClosed => "Бас тартылды. Бастапқы сатып алу жабылған",
            Code::OriginalBilled => "Бас тартылды. Қайтаруды рәсімдеңіз",
            Code::FmtClock => "Бас тартылды. Терминалдың сағатын тексеріңіз",
            Code::FmtInvalid | Code::FmtKeyReused => "Бас тартылды. Терминалға қызмет көрсету керек",
            Code::ContractUnknown
            | Code::ContractBlocked
            | Code::ContractExpired
            | Code::ContractNotYet
            | Code::Funds
            | Code::LimitTx
            | Code::LimitPeriod
            | Code::LimitCount
            | Code::TankCapacity
            | Code::FraudVelocity
            | Code::FraudTravel => "Бас тартылды. Жүргізуші компаниясына хабарлассын",
            Code::Approved
            | Code::ApprovedFlagged
            | Code::CompletionAboveHold
            | Code::CompletionLate
            | Code::CompletionDiffers
            | Code::PostedOffline
            | Code::OfflineLimit
            | Code::PostedForced
            | Code::ContractExists
            | Code::CardExists
            | Code::TopUpExists
            | Code::TimeZoneUnknown
            | Code::LimitUnknown
            | Code::RestrictionUnknown
            | Code::GroupUnknown
            | Code::VehicleUnknown
            | Code::DriverUnknown
            | Code::NotPermitted
            | Code::TooMany => "Бас тартылды",
        };
        line.to_owned()
    }

    fn done(subject: &Subject<'_>) -> String {
        let Subject { card, site, terminal, .. } = *subject;
        let much = match subject.verdict {
            Verdict::Partial => "тек ",
            _ if subject.fill_up => "ең көбі ",
            _ => "",
        };
        let amounts = Priced(subject.granted, subject);
        match subject.kind {
            TransactionKind::Preauth => format!("{card} картасы бойынша {much}{amounts} беруге болады"),
            TransactionKind::Incremental => format!("{card} картасы бойынша тағы {much}{amounts} беруге болады"),
            TransactionKind::DryRun => format!("{card} картасы бойынша {much}{amounts} беруге болар еді"),
            TransactionKind::Sale => format!("{card} картасымен {much}{amounts} сатып алынды"),
            TransactionKind::Completion => format!("{card} картасы бойынша {amounts} берілді"),
            TransactionKind::AdviceOffline => {
                format!("{terminal} терминалы байланыссыз жұмыс істегенде {card} картасы бойынша {amounts} берілді")
            }
            TransactionKind::Forced => format!("{site} станциясы {card} картасы бойынша {amounts} сұраусыз берді"),
            TransactionKind::Reversal => {
                format!("{card} картасы бойынша резерв босатылды: {}", Priced(taken_back(subject), subject))
            }
            TransactionKind::Void => {
                format!("{card} картасы бойынша сатып алу жойылды: {}", Priced(taken_back(subject), subject))
            }
            TransactionKind::Refund => format!("{card} картасы бойынша {amounts} қайтарылды"),
            TransactionKind::Balance => match subject.balance {
                Some(balance) => money(subject, balance),
                None => format!("{card} картасының қалдығы сұралды"),
            },
        }
    }

    fn refusal(subject: &Subject<'_>) -> String {
        let Subject { card, site, terminal, currency, .. } = *subject;
        match subject.code {
            Code::FmtInvalid => format!("{terminal} терминалының хабарламасын өңдеу мүмкін емес"),
            Code::FmtClock => format!("{terminal} терминалының сағаты қате"),
            Code::FmtKeyReused => {
                format!("{terminal} терминалы бұрын қолданылған кілтпен басқа сұрау жіберді; тек біріншісі есептеледі")
            }
            Code::AmountMismatch => format!("{terminal} терминалының деректері сатып алуға сәйкес келмейді"),
            Code::CurrencyMismatch => format!("{} – {currency} емес", contract(subject, "валютасы")),
            Code::CardUnknown => format!("{card} картасы табылмады"),
            Code::CardBlocked => format!("{card} картасы бұғатталған"),
            Code::CardLost => closed(card, Closure::Lost),
            Code::CardStolen => closed(card, Closure::Stolen),
            Code::CardClosed => closed(card, Closure::Returned),
            Code::CardExpired => format!("{card} картасының мерзімі өткен"),
            Code::CardNotYet => format!("{card} картасы әлі күшіне енген жоқ"),
            Code::PinRequired => format!("{terminal} терминалы {card} картасының PIN-коды дұрыс па, хабарламады"),
            Code::PinWrong => format!("{card} картасының PIN-коды қате енгізілді"),
            Code::PinLocked => format!("{card} картасының PIN-коды қате әрекеттерден кейін бұғатталды"),
            Code::PromptMissing => {
                format!("{terminal} терминалы {card} картасы талап ететін деректердің бәрін жіберген жоқ")
            }
            Code::PromptInvalid => format!("{terminal} терминалында енгізілген дерек {card} картасына сәйкес келмейді"),
            Code::OdometerRange => "Одометр көрсеткіші күтілген аралықтан тыс".to_owned(),
            Code::ContractUnknown => format!("{card} картасының келісімшарты табылмады"),
            Code::ContractBlocked => format!("{} бұғатталған", contract_name(subject)),
            Code::ContractExpired => format!("{} өткен", contract(subject, "мерзімі")),
            Code::ContractNotYet => format!("{} әлі күшіне енген жоқ", contract_name(subject)),
            Code::Product => format!("{card} картасымен бұл тауарды алуға болмайды"),
            Code::Site => format!("{card} картасы {site} станциясында қабылданбайды"),
            Code::Time => format!("{card} картасы бұл уақытта қабылданбайды"),
            Code::EntryMethod => format!("{card} картасын бұл тәсілмен оқытуға болмайды"),
            Code::TankCapacity => "Көліктің багына мұнша сыймайды".to_owned(),
            Code::Funds => format!("{} қаражат жеткіліксіз", contract_owner(subject)),
            Code::LimitTx => format!("{card} картасы бойынша бір сатып алудың лимитінен артық сұралды"),
            Code::LimitPeriod => format!("{card} картасы бойынша лимит таусылды"),
            Code::LimitCount => format!("{card} картасы бойынша сатып алу саны таусылды"),
            Code::FraudVelocity | Code::FraudTravel => format!("{card} картасымен сатып алуды ереже тоқтатты"),
            Code::OriginalUnknown => match original(subject) {
                Some(name) => format!("{card} картасы бойынша {name} табылмады"),
                None => format!("{terminal} терминалы хабарламаның қай сатып алуға қатысты екенін көрсетпеді"),
            },
            Code::OriginalClosed => format!("{} жабылған", original_or(subject)),
            Code::OriginalBilled => {
                format!("{} шотқа енгізілген; оны тек қайтару арқылы кері алуға болады", original_or(subject))
            }
            Code::Approved
            | Code::ApprovedFlagged
            | Code::CompletionAboveHold
            | Code::CompletionLate
            | Code::CompletionDiffers
            | Code::PostedOffline
            | Code::OfflineLimit
            | Code::PostedForced => format!("{card} картасымен сатып алудан бас тартылды"),
            Code::ContractExists => format!("{} бұрыннан бар", contract_name(subject)),
            Code::CardExists => format!("{card} картасы бұрыннан бар"),
            Code::TopUpExists => "Мұндай нөмірлі төлем бұрын есепке алынған".to_owned(),
            Code::TimeZoneUnknown => "Мұндай уақыт белдеуі жоқ".to_owned(),
            Code::LimitUnknown => "Мұндай лимит жоқ".to_owned(),
            Code::RestrictionUnknown => "Мұндай шектеу жоқ".to_owned(),
            Code::GroupUnknown => "Мұндай топ жоқ".to_owned(),
            Code::VehicleUnknown => "Мұндай көлік жоқ".to_owned(),
            Code::DriverUnknown => "Мұндай жүргізуші жоқ".to_owned(),
            Code::NotPermitted => "Өкім берушінің бұған құқығы жоқ".to_owned(),
            Code::TooMany => format!("{} бұдан артық сыймайды", contract_owner(subject)),
        }
    }

    fn asked(subject: &Subject<'_>) -> String {
        if subject.fill_up {
            return "Толық бак сұралды".to_owned();
        }
        format!("{} сұралды", Priced(subject.asked, subject))
    }

    fn left(subject: &Subject<'_>, headroom: &Headroom) -> String {
        if let (Some(balance), "balance") = (subject.balance, headroom.limit.as_str()) {
            return money(subject, balance);
        }
        let owner = owner(subject, &headroom.scope);
        let figure = |value| Figure(headroom.measure, value, subject);
        let (name, time) = (Name(headroom, subject), Time(headroom.span));
        let whole = figure(headroom.limit_value);
        let remains = if subject.took() { "қалған еді" } else { "қалды" };
        if headroom.span == Window::PerTransaction {
            return format!("{owner} бір сатып алуға арналған лимит – {whole}{name}");
        }
        match (headroom.left, headroom.measure) {
            (..0, _) => {
                let over = figure(headroom.left.saturating_neg());
                format!("{owner} {time} {whole} лимитінен {over} асып кетті{name}")
            }
            (0, Measure::Count) => format!("{owner} {time} сатып алу саны таусылды, лимит – {whole}{name}"),
            (0, Measure::Volume | Measure::Money) => {
                format!("{owner} {time} {whole} лимитінен ештеңе қалмады{name}")
            }
            (left, _) => format!("{owner} {time} {whole} лимитінен {} {remains}{name}", figure(left)),
        }
    }

    fn remark(subject: &Subject<'_>, note: &Note) -> Option<String> {
        let Subject { card, terminal, .. } = *subject;
        let sentence = match note {
            Note::ClockOff { hours } => {
                let side = if *hours < 0 { "қалып тұр" } else { "озып тұр" };
                let counted = if subject.counts_by_its_clock() {
                    "; келіп түскен уақыт есептеледі"
                } else {
                    ""
                };
                format!("{terminal} терминалының сағаты {} {side}{counted}", span(Span::of_hours(*hours)))
            }
            Note::Malformed(problem) => format!("{terminal} терминалының хабарламасында {}", malformed(*problem)),
            Note::Currency(own) => {
                format!("{} – {own}, сұрау валютасы – {}", contract(subject, "валютасы"), subject.currency)
            }
            Note::CardBlocked { actor, reason, until_us } => {
                format!("{card} картасын {}", Block(*actor, reason, *until_us))
            }
            Note::CardClosed(closure) => closed(card, *closure),
            Note::ContractBlocked { actor, reason, until_us } => {
                let name = match subject.contract {
                    Some(contract) => format!("{contract} келісімшартын"),
                    None => "Келісімшартты".to_owned(),
                };
                format!("{name} {}", Block(*actor, reason, *until_us))
            }
            Note::ValidFrom(from) => match subject.code {
                Code::CardNotYet => format!("{card} картасы әлі күшіне енген жоқ; басталуы: {}", Dotted(*from)),
                Code::ContractNotYet => {
                    format!("{} әлі күшіне енген жоқ; басталуы: {}", contract_name(subject), Dotted(*from))
                }
                _ => format!("Мерзімнің басталуы: {}", Dotted(*from)),
            },
            Note::ValidTo(to) => match subject.code {
                Code::CardExpired => format!("{card} картасының мерзімі өткен: {}", Dotted(*to)),
                Code::ContractExpired => format!("{} өткен: {}", contract(subject, "мерзімі"), Dotted(*to)),
                _ => format!("Мерзімнің аяқталуы: {}", Dotted(*to)),
            },
            Note::PinTriesLeft(tries) => {
                format!("{card} картасының PIN-коды қате енгізілді; қалған әрекет саны: {tries}")
            }
            Note::PinLockedUntil(until) => {
                format!("{card} картасының PIN-коды қате әрекеттерден кейін бұғатталды; аяқталуы: {}", Dotted(*until))
            }
            Note::PromptsMissing(prompts) => {
                format!("{terminal} терминалы {card} картасы талап ететін деректерді жіберген жоқ: {}", List(prompts))
            }
            Note::PromptInvalid(Prompt::Driver) => {
                format!("{terminal} терминалында енгізілген жүргізуші бұғатталған немесе келісімшартта жоқ")
            }
            Note::PromptInvalid(Prompt::Vehicle) => {
                format!("{terminal} терминалында енгізілген көлік белгісіз немесе {card} картасына тиесілі емес")
            }
            Note::PromptInvalid(prompt) => format!(
                "{terminal} терминалында енгізілген дерек {card} картасына сәйкес келмейді: {}",
                prompt_name(*prompt)
            ),
            Note::Odometer { given, least, most } => format!(
                "Одометр көрсеткіші күтілген аралықтан тыс: {}, күтілгені {} – {}",
                KAZAKH.whole(*given),
                KAZAKH.whole(*least),
                KAZAKH.whole(*most)
            ),
            Note::Restricted(restriction) => format!("Бұған {restriction} шектеуі тыйым салады"),
            Note::Product(product) => format!("{card} картасымен {product} тауарын алуға болмайды"),
            Note::TankCapacity { vehicle, tank_ml } => {
                format!("{vehicle} көлігінің багы – {}", KAZAKH.litres(*tank_ml))
            }
            Note::AmountMismatch => "Станция көрсеткен сома мөлшер мен бағаның көбейтіндісіне тең емес".to_owned(),
            Note::AboveHold { ml, pieces, minor } => {
                format!("Бұл резервтен артық: {}", Priced(Amounts { ml: *ml, pieces: *pieces, minor: *minor }, subject))
            }
            Note::HoldExpired(at) => format!("Резервтің мерзімі бұрын өткен: {}", Dotted(*at)),
            Note::Differs(Difference::Product) => "Тауар рұқсат етілген тауардан басқа".to_owned(),
            Note::Differs(Difference::Price) => "Баға рұқсат етілген бағадан басқа".to_owned(),
            Note::Differs(Difference::Terminal) => {
                format!("Авторизацияны {terminal} терминалы емес, басқа терминал сұраған")
            }
            Note::Over { limit, measure, mode, beyond } => {
                let trial = if *mode == LimitMode::Shadow { " (сынақ режимі)" } else { "" };
                let beyond = Figure(*measure, *beyond, subject);
                match limit.as_str() {
                    "balance" => format!("{} асқаны – {beyond}", contract(subject, "қолжетімді сомасынан")),
                    limit => format!("{limit} лимитінен асқаны – {beyond}{trial}"),
                }
            }
            Note::CatalogueAge { hours, percent } => format!(
                "{terminal} терминалының тізімдері сатудан {} бұрын жүктелген, сондықтан офлайн лимиттер {percent} % мөлшерінде қолданылды",
                span(Span::of_hours(*hours))
            ),
            Note::OfflineForbidden => format!("{card} картасымен байланыссыз сатуға рұқсат жоқ"),
            Note::Original(state) => {
                let state = match state {
                    OriginalState::Held => "әлі ашық: ол бойынша ештеңе сатылмаған",
                    OriginalState::Expired => "ештеңе сатылмай тұрып мерзімі өткен",
                    OriginalState::Completed => "бұрын аяқталған",
                    OriginalState::Reversed => "бұрын жойылған",
                    OriginalState::Billed => "шотқа енгізілген",
                };
                format!("{} {state}", original_or(subject))
            }
            Note::Sold { ml, pieces, minor } if subject.code == Code::AmountMismatch => format!(
                "{card} картасы бойынша {} қайтаруға болмайды: сатылғаны – {}",
                Priced(subject.asked, subject),
                Priced(Amounts { ml: *ml, pieces: *pieces, minor: *minor }, subject)
            ),
            Note::Sold { .. } | Note::Released { .. } => return None,
            Note::Driver(driver) => format!("Жүргізуші: {driver}"),
        };
        Some(sentence)
    }

    fn finding(finding: &RiskFinding) -> String {
        let (trial, before) = match finding.mode {
            RuleMode::Shadow => ("Сынақ режимінде: ", "алдыңғы"),
            RuleMode::Off | RuleMode::Flag | RuleMode::Decline => ("", "Алдыңғы"),
        };
        match finding.measured {
            RiskMeasure::Velocity { purchases, minutes, unusual_from } => {
                format!(
                    "{trial}{minutes} минутта {purchases} сатып алу; {unusual_from} және одан көп болса, әдеттегіден тыс"
                )
            }
            RiskMeasure::Travel { km, minutes, kmh: Some(kmh), kmh_most } => format!(
                "{trial}{before} сатып алу орнынан {} км, арасы {minutes} минут: жылдамдық {} км/сағ болар еді, сенімді шегі – {kmh_most} км/сағ",
                KAZAKH.whole(km),
                KAZAKH.whole(kmh)
            ),
            RiskMeasure::Travel { km, kmh: None, .. } => {
                format!("{trial}{before} сатып алу орнынан {} км қашықтықта, дәл сол сәтте", KAZAKH.whole(km))
            }
        }
    }
}
