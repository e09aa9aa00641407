//! Russian words of a report.

use model::{
    CardState, HolidayRule, LimitMode, Measure, Policy, ProductSelector, Restriction, RestrictionList, RestrictionRule,
    Schedule, Scope, Unit, Verdict, Window,
};

use super::super::super::explain::{Explanation, KnownLimit};
use super::super::Subject;
use super::super::figures::RUSSIAN;
use super::super::report::{COLUMNS, Report, hours, list};
use super::Russian;
use super::phrases::{Block, Figure, List, Time, entry_name, money};

const DAYS: [&str; 7] = ["Пн", "Вт", "Ср", "Чт", "Пт", "Сб", "Вс"];

impl Report for Russian {
    const COLUMNS: [&'static str; COLUMNS] =
        ["чей", "товары", "когда", "лимит", "выбрано", "в резерве", "остаток", "или", ""];
    const LIMITS: &'static str = "Лимиты";
    const NO_LIMITS: &'static str = "Ни для карты, ни для её водителя, машины, группы и договора лимитов нет.";
    const RESTRICTIONS: &'static str = "Ограничения";
    const DECIDES: &'static str = "решает";
    const APART: &'static str = "не применяется";

    fn question(explanation: &Explanation) -> String {
        let question = &explanation.question;
        let much = match (question.fill_up, question.item.unit) {
            (true, _) => "полный бак".to_owned(),
            (false, Unit::L) => RUSSIAN.litres(question.item.qty_ml.unwrap_or_default()).to_string(),
            (false, Unit::Pieces) => format!("{} шт.", RUSSIAN.whole(question.item.pieces.unwrap_or(0))),
        };
        let price = RUSSIAN.price(question.item.price_e4, explanation.currency);
        let Explanation { card, local, zone, .. } = explanation;
        format!(
            "Карта {card}, станция {}, {} ({zone}): {much}, {} по цене {price}",
            question.site,
            local.strftime("%Y-%m-%d %H:%M"),
            question.item.code
        )
    }

    fn outlook(verdict: Verdict) -> &'static str {
        match verdict {
            Verdict::Approve => "Покупка была бы одобрена.",
            Verdict::Partial => "Покупка была бы одобрена частично.",
            Verdict::Decline => "В покупке было бы отказано.",
            Verdict::Reprompt => "Терминал должен был бы переспросить.",
        }
    }

    fn told(explanation: &Explanation) -> &str {
        &explanation.decision.text.manager.ru
    }

    fn at_the_till(explanation: &Explanation) -> String {
        let decision = &explanation.decision;
        format!("Кассир увидел бы: {} (код {})", decision.text.cashier.ru, decision.iso39)
    }

    fn card(explanation: &Explanation) -> String {
        let mut words = vec![match &explanation.block {
            Some(block) => format!("Карта заблокирована {}", Block(block.actor, &block.reason, block.until_us)),
            None => format!("Карта {}", Self::card_state(explanation.state)),
        }];
        words.extend(explanation.group.as_ref().map(|group| format!("группа {group}")));
        words.extend(explanation.vehicle.as_ref().map(|vehicle| {
            let tank = vehicle.tank_ml.map(|tank| format!(", бак {}", RUSSIAN.litres(tank)));
            let fuel = vehicle.fuel.as_ref().map(|fuel| format!(", только {}", goods(fuel)));
            format!("машина {}{}{}", vehicle.id, tank.unwrap_or_default(), fuel.unwrap_or_default())
        }));
        words.extend(explanation.driver.as_ref().map(|driver| format!("водитель {driver}")));
        words.extend(explanation.odometer.map(|odometer| format!("последний одометр {}", RUSSIAN.whole(odometer))));
        format!("{}.", words.join("; "))
    }

    fn contract(explanation: &Explanation, subject: &Subject<'_>) -> String {
        let money = subject.balance.map_or_else(String::new, |balance| format!("{}.", money(subject, balance)));
        match &explanation.contract_block {
            Some(block) => {
                format!("Договор заблокирован {}. {money}", Block(block.actor, &block.reason, block.until_us))
            }
            None => money,
        }
    }

    fn policy(policy: &Policy) -> Option<String> {
        let asks = (!policy.prompts.is_empty()).then(|| format!("терминал спрашивает: {}", List(&policy.prompts)));
        let grown = policy.odometer_growth.map(|(least, most)| {
            format!("одометр должен вырасти на {} – {}", RUSSIAN.whole(least), RUSSIAN.whole(most))
        });
        let pin = policy.pin_required.then(|| "нужен ПИН-код".to_owned());
        let offline = (!policy.offline_allowed).then(|| "без связи не продавать".to_owned());
        let words: Vec<String> = [asks, grown, pin, offline].into_iter().flatten().collect();
        (!words.is_empty()).then(|| format!("Правила: {}.", words.join("; ")))
    }

    fn whose(scope: &Scope) -> String {
        match scope {
            Scope::Contract => "договор".to_owned(),
            Scope::Group(group) => format!("группа {group}"),
            Scope::Card(_) => "карта".to_owned(),
            Scope::Vehicle(vehicle) => format!("машина {vehicle}"),
            Scope::Driver(driver) => format!("водитель {driver}"),
        }
    }

    fn goods(known: &KnownLimit) -> String {
        goods(&known.limit.product)
    }

    fn when(known: &KnownLimit) -> String {
        let schedule = known.limit.schedule.as_ref().map(|schedule| format!(", {}", times(schedule)));
        let offline = if known.limit.offline { ", без связи" } else { "" };
        let window = match known.limit.window {
            Window::OneOff => "разово".to_owned(),
            window => Time(window).to_string(),
        };
        format!("{window}{}{offline}", schedule.unwrap_or_default())
    }

    fn figure(measure: Measure, value: i64, subject: &Subject<'_>) -> String {
        match measure {
            Measure::Count => RUSSIAN.whole(value).to_string(),
            Measure::Volume | Measure::Money => Figure(measure, value, subject).to_string(),
        }
    }

    fn mode(known: &KnownLimit) -> Option<&'static str> {
        match known.limit.mode {
            LimitMode::Decline => None,
            LimitMode::Flag => Some("отмечает, не отказывает"),
            LimitMode::Shadow => Some("пробный"),
        }
    }

    fn restriction(restriction: &Restriction) -> String {
        let rule = match restriction.rule {
            RestrictionRule::Allow => "только",
            RestrictionRule::Deny => "всё, кроме:",
        };
        let of = match &restriction.of {
            RestrictionList::Products(products) => list(products, goods),
            RestrictionList::Sites(sites) => format!("станции {}", list(sites, ToString::to_string)),
            RestrictionList::Regions(regions) => format!("регионы {}", list(regions, ToString::to_string)),
            RestrictionList::Countries(countries) => {
                format!("страны {}", list(countries, |country| country.as_str().to_owned()))
            }
            RestrictionList::Entries(entries) => {
                format!("способ считывания {}", list(entries, |entry| entry_name(*entry).to_owned()))
            }
            RestrictionList::Hours(schedules) => format!("часы {}", list(schedules, times)),
        };
        format!("{} ({}): {rule} {of}", restriction.id, Self::whose(&restriction.scope))
    }

    fn card_state(state: CardState) -> &'static str {
        match state {
            CardState::Active => "активна",
            CardState::Blocked => "заблокирована",
            CardState::PinLocked => "заблокирована: ПИН-код введён неверно слишком много раз",
            CardState::NotYet => "ещё не действует",
            CardState::Expired => "просрочена",
            CardState::Lost => "заявлена как утерянная",
            CardState::Stolen => "заявлена как украденная",
            CardState::Closed => "закрыта окончательно",
        }
    }
}

fn goods(selector: &ProductSelector) -> String {
    match selector {
        ProductSelector::All => "все".to_owned(),
        ProductSelector::Group(group) => format!("группа {group}"),
        ProductSelector::Product(product) => product.as_str().to_owned(),
    }
}

fn times(schedule: &Schedule) -> String {
    let hours = hours(schedule, DAYS);
    let hours = if hours.is_empty() { "всегда".to_owned() } else { hours };
    match schedule.holidays {
        HolidayRule::Ignore => hours,
        HolidayRule::Except => format!("{hours}, кроме праздников"),
        HolidayRule::Also => format!("{hours}, и в праздники"),
    }
}
