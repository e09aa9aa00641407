//! Russian.

mod phrases;
mod report;

use model::{
    Closure, Code, Difference, Headroom, LimitMode, Measure, Note, OriginalState, Prompt, RiskFinding, RiskMeasure,
    RuleMode, TransactionKind, Verdict, Window,
};

use super::figures::{Dotted, RUSSIAN, Span};
use super::{Amounts, Language, Subject, taken_back};
use phrases::{
    Beyond, Block, Contract, Figure, Goods, List, Name, Priced, Time, accepted, closed, enter, malformed, money,
    original, original_or, owner, plural, prompt_name, span,
};

pub(super) struct Russian;

impl Language for Russian {
    const NEEDS_A_LOOK: &'static str = "Это стоит проверить";

    fn cashier(subject: &Subject<'_>) -> String {
        match (subject.verdict, subject.kind) {
            (Verdict::Partial, _) => return format!("Одобрено на {}", Goods(subject.granted)),
            (Verdict::Approve, kind) => return accepted(kind).to_owned(),
            (Verdict::Decline | Verdict::Reprompt, _) => {}
        }
        let line = match subject.code {
            Code::PromptMissing | Code::PromptInvalid => return enter(subject),
            Code::OdometerRange => "Проверьте и введите снова: одометр",
            Code::PinRequired => "Введите ПИН-код",
            Code::PinWrong if !subject.locks() => "Неверный ПИН-код. Повторите",
            Code::PinWrong | Code::PinLocked => "ПИН-код заблокирован. Пусть водитель позвонит в компанию",
            Code::CardUnknown | Code::CardBlocked | Code::CardLost | Code::CardStolen | Code::CardClosed => {
                "Отказ. Эту карту использовать нельзя"
            }
            Code::CardExpired => "Отказ. Срок действия карты истёк",
            Code::CardNotYet => "Отказ. Карта ещё не действует",
            Code::Product => "Отказ. Этот товар по карте недоступен",
            Code::Site => "Отказ. Карта не принимается на этой станции",
            Code::Time => "Отказ. Карта не принимается в это время",
            Code::EntryMethod => "Отказ. Считайте карту другим способом",
            Code::CurrencyMismatch => "Отказ. Карта здесь не принимается",
            Code::AmountMismatch => "Отказ. Сверьтесь с чеком и повторите",
            Code::OriginalUnknown => "Отказ. Исходная покупка не найдена",
            Code::OriginalClosed => "Отказ. Исходная покупка закрыта",
            Code::OriginalBilled => "Отказ. Оформите возврат",
            Code::FmtClock => "Отказ. Проверьте часы терминала",
            Code::FmtInvalid | Code::FmtKeyReused => "Отказ. Терминалу нужно обслуживание",
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
            | Code::FraudTravel => "Отказ. Пусть водитель позвонит в свою компанию",
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
            | Code::TooMany => "Отказ",
        };
        line.to_owned()
    }

    fn done(subject: &Subject<'_>) -> String {
        let Subject { card, site, terminal, .. } = *subject;
        let much = match subject.verdict {
            Verdict::Partial => "только ",
            _ if subject.fill_up => "до ",
            _ => "",
        };
        let amounts = Priced(subject.granted, subject);
        match subject.kind {
            TransactionKind::Preauth => format!("По карте {card} можно отпустить {much}{amounts}"),
            TransactionKind::Incremental => format!("По карте {card} можно отпустить ещё {much}{amounts}"),
            TransactionKind::DryRun => format!("По карте {card} можно было бы отпустить {much}{amounts}"),
            TransactionKind::Sale => format!("По карте {card} куплено {much}{amounts}"),
            TransactionKind::Completion => format!("По карте {card} отпущено {amounts}"),
            TransactionKind::AdviceOffline => {
                format!("По карте {card} отпущено {amounts}, пока терминал {terminal} работал без связи")
            }
            TransactionKind::Forced => format!("Станция {site} без запроса отпустила по карте {card} {amounts}"),
            TransactionKind::Reversal => {
                format!("По карте {card} снят резерв: {}", Priced(taken_back(subject), subject))
            }
            TransactionKind::Void => {
                format!("По карте {card} отменена покупка: {}", Priced(taken_back(subject), subject))
            }
            TransactionKind::Refund => format!("По карте {card} возвращено {amounts}"),
            TransactionKind::Balance => match subject.balance {
                Some(balance) => money(subject, balance),
                None => format!("Запрошен остаток по карте {card}"),
            },
        }
    }

    fn refusal(subject: &Subject<'_>) -> String {
        let Subject { card, site, terminal, currency, .. } = *subject;
        let contract = Contract(subject);
        match subject.code {
            Code::FmtInvalid => format!("Сообщение терминала {terminal} обработать нельзя"),
            Code::FmtClock => format!("Часы терминала {terminal} показывают неверное время"),
            Code::FmtKeyReused => {
                format!(
                    "Терминал {terminal} прислал другой запрос с уже использованным ключом; в счёт идёт только первый"
                )
            }
            Code::AmountMismatch => format!("Данные терминала {terminal} не сходятся с покупкой"),
            Code::CurrencyMismatch => format!("Валюта договора{contract} – не {currency}"),
            Code::CardUnknown => format!("Карта {card} не найдена"),
            Code::CardBlocked => format!("Карта {card} заблокирована"),
            Code::CardLost => closed(card, Closure::Lost),
            Code::CardStolen => closed(card, Closure::Stolen),
            Code::CardClosed => closed(card, Closure::Returned),
            Code::CardExpired => format!("Срок действия карты {card} истёк"),
            Code::CardNotYet => format!("Карта {card} ещё не действует"),
            Code::PinRequired => format!("Терминал {terminal} не сообщил, верен ли ПИН-код карты {card}"),
            Code::PinWrong => format!("ПИН-код карты {card} введён неверно"),
            Code::PinLocked => format!("ПИН-код карты {card} заблокирован после неверных попыток"),
            Code::PromptMissing => format!("Терминал {terminal} передал не всё, чего требует карта {card}"),
            Code::PromptInvalid => format!("Введённое на терминале {terminal} не подходит карте {card}"),
            Code::OdometerRange => "Показание одометра вне ожидаемых границ".to_owned(),
            Code::ContractUnknown => format!("Договор карты {card} не найден"),
            Code::ContractBlocked => format!("Договор{contract} заблокирован"),
            Code::ContractExpired => format!("Договор{contract} закончился"),
            Code::ContractNotYet => format!("Договор{contract} ещё не действует"),
            Code::Product => format!("Этот товар по карте {card} недоступен"),
            Code::Site => format!("Карта {card} не принимается на станции {site}"),
            Code::Time => format!("Карта {card} не принимается в это время"),
            Code::EntryMethod => format!("Карту {card} нельзя считывать таким способом"),
            Code::TankCapacity => "Бак машины столько не вмещает".to_owned(),
            Code::Funds => format!("По договору{contract} не хватает средств"),
            Code::LimitTx => format!("По карте {card} запрошено больше, чем можно за одну покупку"),
            Code::LimitPeriod => format!("Лимит по карте {card} исчерпан"),
            Code::LimitCount => format!("По карте {card} больше нет доступных покупок"),
            Code::FraudVelocity | Code::FraudTravel => format!("Покупка по карте {card} остановлена правилом"),
            Code::OriginalUnknown => match original(subject) {
                Some(name) => format!("{name} по карте {card} не найдена"),
                None => format!("Терминал {terminal} не указал, к какой покупке относится сообщение"),
            },
            Code::OriginalClosed => format!("{} закрыта", original_or(subject)),
            Code::OriginalBilled => format!("{} уже вошла в счёт; её можно вернуть возвратом", original_or(subject)),
            Code::Approved
            | Code::ApprovedFlagged
            | Code::CompletionAboveHold
            | Code::CompletionLate
            | Code::CompletionDiffers
            | Code::PostedOffline
            | Code::OfflineLimit
            | Code::PostedForced => format!("В покупке по карте {card} отказано"),
            Code::ContractExists => format!("Договор{contract} уже есть"),
            Code::CardExists => format!("Карта {card} уже есть"),
            Code::TopUpExists => "Платёж с таким номером уже зачислен".to_owned(),
            Code::TimeZoneUnknown => "Такого часового пояса нет".to_owned(),
            Code::LimitUnknown => "Такого лимита нет".to_owned(),
            Code::RestrictionUnknown => "Такого ограничения нет".to_owned(),
            Code::GroupUnknown => "Такой группы нет".to_owned(),
            Code::VehicleUnknown => "Такой машины нет".to_owned(),
            Code::DriverUnknown => "Такого водителя нет".to_owned(),
            Code::NotPermitted => "У отдавшего распоряжение нет на это прав".to_owned(),
            Code::TooMany => format!("Больше в договор{contract} не помещается"),
        }
    }

    fn asked(subject: &Subject<'_>) -> String {
        if subject.fill_up {
            return "Запрошен полный бак".to_owned();
        }
        format!("Запрошено {}", Priced(subject.asked, subject))
    }

    fn left(subject: &Subject<'_>, headroom: &Headroom) -> String {
        if let (Some(balance), "balance") = (subject.balance, headroom.limit.as_str()) {
            return money(subject, balance);
        }
        let owner = owner(subject, &headroom.scope);
        let figure = |value| Figure(headroom.measure, value, subject);
        let (name, time) = (Name(headroom, subject), Time(headroom.span));
        let whole = figure(headroom.limit_value);
        let remains = if subject.took() { "оставалось" } else { "осталось" };
        if headroom.span == Window::PerTransaction {
            return format!("По {owner} лимит одной покупки – {whole}{name}");
        }
        match (headroom.left, headroom.measure) {
            (..0, Measure::Count) => {
                let over = headroom.left.saturating_neg();
                format!("По {owner} {time} сделано сверх лимита ({whole}): {}{name}", figure(over))
            }
            (..0, Measure::Volume | Measure::Money) => {
                let over = figure(headroom.left.saturating_neg());
                format!("По {owner} {time} лимит {whole} превышен на {over}{name}")
            }
            (0, Measure::Count) => format!("По {owner} {time} покупок не осталось, лимит – {whole}{name}"),
            (0, Measure::Volume | Measure::Money) => {
                format!("По {owner} {time} ничего не осталось из {whole}{name}")
            }
            (left, Measure::Count) => {
                let (left, value) = (RUSSIAN.whole(left), RUSSIAN.whole(headroom.limit_value));
                format!("По {owner} {time} {remains} покупок: {left} из {value}{name}")
            }
            (left, Measure::Volume | Measure::Money) => {
                format!("По {owner} {time} {remains} {} из {whole}{name}", figure(left))
            }
        }
    }

    fn remark(subject: &Subject<'_>, note: &Note) -> Option<String> {
        let Subject { card, terminal, .. } = *subject;
        let contract = Contract(subject);
        let sentence = match note {
            Note::ClockOff { hours } => {
                let side = if *hours < 0 { "отстают" } else { "спешат" };
                let counted = if subject.counts_by_its_clock() {
                    "; в счёт идёт время получения"
                } else {
                    ""
                };
                format!("Часы терминала {terminal} {side} на {}{counted}", span(Span::of_hours(*hours)))
            }
            Note::Malformed(problem) => format!("В сообщении терминала {terminal} {}", malformed(*problem)),
            Note::Currency(own) => format!("Валюта договора{contract} – {own}, валюта запроса – {}", subject.currency),
            Note::CardBlocked { actor, reason, until_us } => {
                format!("Карта {card} заблокирована {}", Block(*actor, reason, *until_us))
            }
            Note::CardClosed(closure) => closed(card, *closure),
            Note::ContractBlocked { actor, reason, until_us } => {
                format!("Договор{contract} заблокирован {}", Block(*actor, reason, *until_us))
            }
            Note::ValidFrom(from) => match subject.code {
                Code::CardNotYet => format!("Карта {card} действует с {}", Dotted(*from)),
                Code::ContractNotYet => format!("Договор{contract} действует с {}", Dotted(*from)),
                _ => format!("Срок действия начинается {}", Dotted(*from)),
            },
            Note::ValidTo(to) => match subject.code {
                Code::CardExpired => format!("Срок действия карты {card} истёк {}", Dotted(*to)),
                Code::ContractExpired => format!("Договор{contract} закончился {}", Dotted(*to)),
                _ => format!("Срок действия закончился {}", Dotted(*to)),
            },
            Note::PinTriesLeft(tries) => format!("ПИН-код карты {card} введён неверно; осталось попыток: {tries}"),
            Note::PinLockedUntil(until) => {
                format!("ПИН-код карты {card} после неверных попыток заблокирован до {}", Dotted(*until))
            }
            Note::PromptsMissing(prompts) => {
                format!("Терминал {terminal} не передал то, чего требует карта {card}: {}", List(prompts))
            }
            Note::PromptInvalid(Prompt::Driver) => {
                format!("Водитель, введённый на терминале {terminal}, заблокирован или не значится в договоре")
            }
            Note::PromptInvalid(Prompt::Vehicle) => {
                format!("Машина, введённая на терминале {terminal}, неизвестна или не относится к карте {card}")
            }
            Note::PromptInvalid(prompt) => {
                format!("Введённое на терминале {terminal} не подходит карте {card}: {}", prompt_name(*prompt))
            }
            Note::Odometer { given, least, most } => format!(
                "Показание одометра {} не попадает в границы от {} до {}",
                RUSSIAN.whole(*given),
                RUSSIAN.whole(*least),
                RUSSIAN.whole(*most)
            ),
            Note::Restricted(restriction) => format!("Это запрещает ограничение {restriction}"),
            Note::Product(product) => format!("Товар {product} по карте {card} недоступен"),
            Note::TankCapacity { vehicle, tank_ml } => {
                format!("Бак машины {vehicle} вмещает {}", RUSSIAN.litres(*tank_ml))
            }
            Note::AmountMismatch => "Сумма станции не равна количеству, умноженному на цену".to_owned(),
            Note::AboveHold { ml, pieces, minor } => {
                format!("Это больше резерва: {}", Priced(Amounts { ml: *ml, pieces: *pieces, minor: *minor }, subject))
            }
            Note::HoldExpired(at) => format!("Срок резерва истёк {}", Dotted(*at)),
            Note::Differs(Difference::Product) => "Товар не тот, что был одобрен".to_owned(),
            Note::Differs(Difference::Price) => "Цена не та, что была одобрена".to_owned(),
            Note::Differs(Difference::Terminal) => {
                format!("Авторизацию запрашивал не терминал {terminal}, а другой")
            }
            Note::Over { limit, measure, mode, beyond } => {
                let trial = if *mode == LimitMode::Shadow { " (пробный режим)" } else { "" };
                let beyond = Beyond(*measure, *beyond, subject);
                match limit.as_str() {
                    "balance" => format!("Это на {beyond} больше, чем было доступно по договору{contract}"),
                    limit => format!("Лимит {limit} превышен на {beyond}{trial}"),
                }
            }
            Note::CatalogueAge { hours, percent } => format!(
                "Списки терминала {terminal} загружены за {} до продажи, поэтому действовало {percent} % офлайн-лимитов",
                span(Span::of_hours(*hours))
            ),
            Note::OfflineForbidden => format!("Продажи без связи по карте {card} не разрешены"),
            Note::Original(state) => {
                let state = match state {
                    OriginalState::Held => "ещё открыта: по ней ничего не продано",
                    OriginalState::Expired => "истекла раньше, чем по ней что-либо продано",
                    OriginalState::Completed => "уже завершена",
                    OriginalState::Reversed => "уже отменена",
                    OriginalState::Billed => "уже вошла в счёт",
                };
                format!("{} {state}", original_or(subject))
            }
            Note::Sold { ml, pieces, minor } if subject.code == Code::AmountMismatch => format!(
                "По карте {card} нельзя вернуть {}: продано {}",
                Priced(subject.asked, subject),
                Priced(Amounts { ml: *ml, pieces: *pieces, minor: *minor }, subject)
            ),
            Note::Sold { .. } | Note::Released { .. } => return None,
            Note::Driver(driver) => format!("Водитель: {driver}"),
        };
        Some(sentence)
    }

    fn finding(finding: &RiskFinding) -> String {
        let trial = if finding.mode == RuleMode::Shadow { "В пробном режиме: " } else { "" };
        match finding.measured {
            RiskMeasure::Velocity { purchases, minutes, unusual_from } => {
                let name = plural(purchases.into(), "покупка", "покупки", "покупок");
                format!("{trial}{purchases} {name} за {minutes} мин; необычным считается от {unusual_from}")
            }
            RiskMeasure::Travel { km, minutes, kmh: Some(kmh), kmh_most } => format!(
                "{trial}{} км от места прошлой покупки за {minutes} мин – это {} км/ч, а правдоподобно не больше {kmh_most} км/ч",
                RUSSIAN.whole(km),
                RUSSIAN.whole(kmh)
            ),
            RiskMeasure::Travel { km, kmh: None, .. } => {
                format!("{trial}{} км от места прошлой покупки в тот же момент", RUSSIAN.whole(km))
            }
        }
    }
}
