//! Kazakh words of a report.

use model::{
    CardState, HolidayRule, LimitMode, Measure, Policy, ProductSelector, Restriction, RestrictionList, RestrictionRule,
    Schedule, Scope, Unit, Verdict, Window,
};

use super::super::super::explain::{Explanation, KnownLimit};
use super::super::Subject;
use super::super::figures::KAZAKH;
use super::super::report::{COLUMNS, Report, hours, list};
use super::Kazakh;
use super::phrases::{Block, Figure, List, Time, entry_name, money};

const DAYS: [&str; 7] = ["Дс", "Сс", "Ср", "Бс", "Жм", "Сн", "Жс"];

impl Report for Kazakh {
    const COLUMNS: [&'static str; COLUMNS] =
        ["кімдікі", "тауарлар", "қашан", "лимит", "жұмсалды", "резервте", "қалдық", "немесе", ""];
    const LIMITS: &'static str = "Лимиттер";
    const NO_LIMITS: &'static str =
        "Картаға, оның жүргізушісіне, көлігіне, тобына және келісімшартқа лимит қойылмаған.";
    const RESTRICTIONS: &'static str = "Шектеулер";
    const DECIDES: &'static str = "шешеді";
    const APART: &'static str = "қолданылмайды";

    fn question(explanation: &Explanation) -> String {
        let question = &explanation.question;
        let much = match (question.fill_up, question.item.unit) {
            (true, _) => "толық бак".to_owned(),
            (false, Unit::L) => KAZAKH.litres(question.item.qty_ml.unwrap_or_default()).to_string(),
            (false, Unit::Pieces) => format!("{} дана", KAZAKH.whole(question.item.pieces.unwrap_or(0))),
        };
        let price = KAZAKH.price(question.item.price_e4, explanation.currency);
        let Explanation { card, local, zone, .. } = explanation;
        format!(
            "{card} картасы, {} станциясы, {} ({zone}): {much}, {}, бағасы {price}",
            question.site,
            local.strftime("%Y-%m-%d %H:%M"),
            question.item.code
        )
    }

    fn outlook(verdict: Verdict) -> &'static str {
        match verdict {
            Verdict::Approve => "Сатып алуға рұқсат берілер еді.",
            Verdict::Partial => "Сатып алудың бір бөлігіне рұқсат берілер еді.",
            Verdict::Decline => "Сатып алудан бас тартылар еді.",
            Verdict::Reprompt => "Терминал қайта сұрауы керек болар еді.",
        }
    }

    fn told(explanation: &Explanation) -> &str {
        &explanation.decision.text.manager.kk
    }

    fn at_the_till(explanation: &Explanation) -> String {
        let decision = &explanation.decision;
        format!("Кассир мынаны көрер еді: {} (код {})", decision.text.cashier.kk, decision.iso39)
    }

    fn card(explanation: &Explanation) -> String {
        let mut words = vec![match &explanation.block {
            Some(block) => format!("Картаны {}", Block(block.actor, &block.reason, block.until_us)),
            None => format!("Карта {}", Self::card_state(explanation.state)),
        }];
        words.extend(explanation.group.as_ref().map(|group| format!("топ: {group}")));
        words.extend(explanation.vehicle.as_ref().map(|vehicle| {
            let tank = vehicle.tank_ml.map(|tank| format!(", багы {}", KAZAKH.litres(tank)));
            let fuel = vehicle.fuel.as_ref().map(|fuel| format!(", тек {}", goods(fuel)));
            format!("көлік: {}{}{}", vehicle.id, tank.unwrap_or_default(), fuel.unwrap_or_default())
        }));
        words.extend(explanation.driver.as_ref().map(|driver| format!("жүргізуші: {driver}")));
        words.extend(explanation.odometer.map(|odometer| format!("соңғы одометр {}", KAZAKH.whole(odometer))));
        format!("{}.", words.join("; "))
    }

    fn contract(explanation: &Explanation, subject: &Subject<'_>) -> String {
        let money = subject.balance.map_or_else(String::new, |balance| format!("{}.", money(subject, balance)));
        match &explanation.contract_block {
            Some(block) => {
                format!("Келісімшартты {}. {money}", Block(block.actor, &block.reason, block.until_us))
            }
            None => money,
        }
    }

    fn policy(policy: &Policy) -> Option<String> {
        let asks = (!policy.prompts.is_empty()).then(|| format!("терминал сұрайды: {}", List(&policy.prompts)));
        let grown = policy
            .odometer_growth
            .map(|(least, most)| format!("одометр өсімі: {} – {}", KAZAKH.whole(least), KAZAKH.whole(most)));
        let pin = policy.pin_required.then(|| "PIN-код керек".to_owned());
        let offline = (!policy.offline_allowed).then(|| "байланыссыз сатуға болмайды".to_owned());
        let words: Vec<String> = [asks, grown, pin, offline].into_iter().flatten().collect();
        (!words.is_empty()).then(|| format!("Ережелер: {}.", words.join("; ")))
    }

    fn whose(scope: &Scope) -> String {
        match scope {
            Scope::Contract => "келісімшарт".to_owned(),
            Scope::Group(group) => format!("{group} тобы"),
            Scope::Card(_) => "карта".to_owned(),
            Scope::Vehicle(vehicle) => format!("{vehicle} көлігі"),
            Scope::Driver(driver) => format!("{driver} жүргізушісі"),
        }
    }

    fn goods(known: &KnownLimit) -> String {
        goods(&known.limit.product)
    }

    fn when(known: &KnownLimit) -> String {
        let schedule = known.limit.schedule.as_ref().map(|schedule| format!(", {}", times(schedule)));
        let offline = if known.limit.offline { ", байланыссыз" } else { "" };
        let window = match known.limit.window {
            Window::OneOff => "бір реттік".to_owned(),
            window => Time(window).to_string(),
        };
        format!("{window}{}{offline}", schedule.unwrap_or_default())
    }

    fn figure(measure: Measure, value: i64, subject: &Subject<'_>) -> String {
        match measure {
            Measure::Count => KAZAKH.whole(value).to_string(),
            Measure::Volume | Measure::Money => Figure(measure, value, subject).to_string(),
        }
    }

    fn mode(known: &KnownLimit) -> Option<&'static str> {
        match known.limit.mode {
            LimitMode::Decline => None,
            LimitMode::Flag => Some("белгілейді, бас тартпайды"),
            LimitMode::Shadow => Some("сынақ"),
        }
    }

    fn restriction(restriction: &Restriction) -> String {
        let rule = match restriction.rule {
            RestrictionRule::Allow => "тек",
            RestrictionRule::Deny => "мыналардан басқасы:",
        };
        let of = match &restriction.of {
            RestrictionList::Products(products) => list(products, goods),
            RestrictionList::Sites(sites) => format!("станциялар {}", list(sites, ToString::to_string)),
            RestrictionList::Regions(regions) => format!("өңірлер {}", list(regions, ToString::to_string)),
            RestrictionList::Countries(countries) => {
                format!("елдер {}", list(countries, |country| country.as_str().to_owned()))
            }
            RestrictionList::Entries(entries) => {
                format!("оқу тәсілі {}", list(entries, |entry| entry_name(*entry).to_owned()))
            }
            RestrictionList::Hours(schedules) => format!("сағаттар {}", list(schedules, times)),
        };
        format!("{} ({}): {rule} {of}", restriction.id, Self::whose(&restriction.scope))
    }

    fn card_state(state: CardState) -> &'static str {
        match state {
            CardState::Active => "белсенді",
            CardState::Blocked => "бұғатталған",
            CardState::PinLocked => "бұғатталған: PIN-код тым көп рет қате енгізілді",
            CardState::NotYet => "әлі күшіне енген жоқ",
            CardState::Expired => "мерзімі өткен",
            CardState::Lost => "жоғалған деп жарияланған",
            CardState::Stolen => "ұрланған деп жарияланған",
            CardState::Closed => "біржола жабылған",
        }
    }
}

fn goods(selector: &ProductSelector) -> String {
    match selector {
        ProductSelector::All => "бәрі".to_owned(),
        ProductSelector::Group(group) => format!("топ: {group}"),
        ProductSelector::Product(product) => product.as_str().to_owned(),
    }
}

fn times(schedule: &Schedule) -> String {
    let hours = hours(schedule, DAYS);
    let hours = if hours.is_empty() { "әрқашан".to_owned() } else { hours };
    match schedule.holidays {
        HolidayRule::Ignore => hours,
        HolidayRule::Except => format!("{hours}, мерекелерден басқа"),
        HolidayRule::Also => format!("{hours}, мерекелерде де"),
    }
}
