mod codes;
mod follow_ups;

use expect_test::{Expect, expect};
use model::{
    Actor, AuthCode, CalendarUnit, CardToken, Closure, Difference, DriverId, FraudRule, GroupId, IdempotencyKey,
    LimitMode, Malformed, Measure, OriginalState, ProductCode, ProductSelector, RestrictionId, RiskMeasure, Scope,
    TimestampUs, VehicleId, Window,
};

use super::*;

/// 14 January 2026, 17:31:07 UTC.
const EVENING: TimestampUs = TimestampUs::from_micros(1_768_411_867_000_000);
const DAY: Window = Window::Calendar { unit: CalendarUnit::Day, count: 1 };

fn amounts(ml: u64, pieces: u32, minor: i64) -> Amounts {
    Amounts { ml: Millilitres::new(ml).expect("in range"), pieces, minor: MinorUnits::new(minor).expect("in range") }
}

/// A decision on 60 L at 69.45 with card ****1234.
struct Situation {
    kind: TransactionKind,
    verdict: Verdict,
    code: Code,
    notes: Vec<Note>,
    risk: Vec<RiskFinding>,
    binding: Option<Headroom>,
    balance: Option<Balance>,
    original: Original,
    asked: Amounts,
    granted: Amounts,
    fill_up: bool,
}

fn refused(code: Code) -> Situation {
    Situation {
        kind: TransactionKind::Preauth,
        verdict: Verdict::Decline,
        code,
        notes: Vec::new(),
        risk: Vec::new(),
        binding: None,
        balance: None,
        original: Original::default(),
        asked: amounts(60_000, 0, 416_700),
        granted: Amounts::default(),
        fill_up: false,
    }
}

fn done(kind: TransactionKind, code: Code, granted: Amounts) -> Situation {
    Situation { kind, verdict: Verdict::Approve, granted, asked: granted, ..refused(code) }
}

fn limit(scope: Scope, measure: Measure, span: Window, [value, held, left]: [i64; 3]) -> Headroom {
    Headroom {
        limit: "L-77".to_owned(),
        version: 1,
        scope,
        product: ProductSelector::All,
        measure,
        mode: LimitMode::Decline,
        span,
        window: "in words".to_owned(),
        period: 0,
        limit_value: value,
        used: value - held - left,
        held,
        left,
        left_ml: None,
        left_minor: None,
    }
}

fn card() -> Scope {
    Scope::Card(CardToken::new("tok-1").expect("a token"))
}

fn balance([own, credit, held, unbilled]: [i64; 4]) -> Balance {
    let minor = |minor| MinorUnits::new(minor).expect("in range");
    Balance {
        currency: Currency::RUB,
        own: minor(own),
        credit: minor(credit),
        held: minor(held),
        unbilled: minor(unbilled),
        available: minor(own + credit - held - unbilled),
    }
}

fn texts(situation: &Situation) -> Texts {
    of(&Subject {
        kind: situation.kind,
        verdict: situation.verdict,
        code: situation.code,
        notes: &situation.notes,
        risk: &situation.risk,
        binding: situation.binding.as_ref(),
        balance: situation.balance.as_ref(),
        contract: Some("C-17"),
        card: "****1234",
        site: "0417",
        terminal: "T-1",
        currency: Currency::RUB,
        original: &situation.original,
        asked: situation.asked,
        granted: situation.granted,
        fill_up: situation.fill_up,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "situations are made where they are checked")]
fn check(situation: Situation, expected: Expect) {
    let Texts { cashier, manager } = texts(&situation);
    let of_language = |cashier: String, manager: String| format!("[{cashier}] {manager}\n");
    let all = [(cashier.en, manager.en), (cashier.ru, manager.ru), (cashier.kk, manager.kk)];
    let all: String = all.into_iter().map(|(cashier, manager)| of_language(cashier, manager)).collect();
    // An invisible space would make these hard to read and to edit.
    expected.assert_eq(&all.replace('\u{202f}', "_"));
}

#[test]
fn a_purchase_that_is_approved() {
    check(
        done(TransactionKind::Preauth, Code::Approved, amounts(60_000, 0, 416_700)),
        expect![[r#"
        [Approved] Card ****1234 may take 60 L for 4,167.00 RUB.
        [Одобрено] По карте ****1234 можно отпустить 60 л на 4_167,00 RUB.
        [Рұқсат берілді] ****1234 картасы бойынша 60 л (4_167,00 RUB) беруге болады.
    "#]],
    );
    check(
        done(TransactionKind::Sale, Code::Approved, amounts(42_500, 2, 395_163)),
        expect![[r#"
        [Approved] Card ****1234 bought 42.5 L and 2 pieces for 3,951.63 RUB.
        [Одобрено] По карте ****1234 куплено 42,5 л и 2 шт. на 3_951,63 RUB.
        [Рұқсат берілді] ****1234 картасымен 42,5 л және 2 дана (3_951,63 RUB) сатып алынды.
    "#]],
    );
    check(
        Situation {
            fill_up: true,
            binding: Some(limit(card(), Measure::Volume, DAY, [100_000, 0, 72_000])),
            ..done(TransactionKind::Preauth, Code::Approved, amounts(72_000, 0, 500_040))
        },
        expect![[r#"
            [Approved] Card ****1234 may take up to 72 L for 5,000.40 RUB. Card ****1234 had 72 L of 100 L left today (limit L-77).
            [Одобрено] По карте ****1234 можно отпустить до 72 л на 5_000,40 RUB. По карте ****1234 сегодня оставалось 72 л из 100 л (лимит L-77).
            [Рұқсат берілді] ****1234 картасы бойынша ең көбі 72 л (5_000,40 RUB) беруге болады. ****1234 картасы бойынша бүгін 100 л лимитінен 72 л қалған еді (лимит: L-77).
        "#]],
    );
    check(
        Situation {
            notes: vec![Note::AmountMismatch, Note::Driver(DriverId::new("D-7").expect("an id"))],
            ..done(TransactionKind::Sale, Code::AmountMismatch, amounts(0, 1, 25_000))
        },
        expect![[r#"
            [Approved] Card ****1234 bought 1 piece for 250.00 RUB. The station's amount is not quantity times price. The driver was D-7.
            [Одобрено] По карте ****1234 куплено 1 шт. на 250,00 RUB. Сумма станции не равна количеству, умноженному на цену. Водитель: D-7.
            [Рұқсат берілді] ****1234 картасымен 1 дана (250,00 RUB) сатып алынды. Станция көрсеткен сома мөлшер мен бағаның көбейтіндісіне тең емес. Жүргізуші: D-7.
        "#]],
    );
}

#[test]
fn a_purchase_that_is_cut() {
    let part = |binding| Situation {
        verdict: Verdict::Partial,
        granted: amounts(12_500, 0, 86_813),
        binding: Some(binding),
        ..refused(Code::LimitPeriod)
    };
    check(
        part(limit(card(), Measure::Volume, DAY, [100_000, 27_500, 12_500])),
        expect![[r#"
            [Approved for 12.5 L] Card ****1234 may take only 12.5 L for 868.13 RUB. Card ****1234 had 12.5 L of 100 L left today (limit L-77, 27.5 L held). 60 L for 4,167.00 RUB were asked for.
            [Одобрено на 12,5 л] По карте ****1234 можно отпустить только 12,5 л на 868,13 RUB. По карте ****1234 сегодня оставалось 12,5 л из 100 л (лимит L-77, в резерве 27,5 л). Запрошено 60 л на 4_167,00 RUB.
            [Рұқсат берілді: 12,5 л] ****1234 картасы бойынша тек 12,5 л (868,13 RUB) беруге болады. ****1234 картасы бойынша бүгін 100 л лимитінен 12,5 л қалған еді (лимит: L-77, резервте 27,5 л). 60 л (4_167,00 RUB) сұралды.
        "#]],
    );
    let group = Scope::Group(GroupId::new("trucks").expect("an id"));
    let month = Window::Calendar { unit: CalendarUnit::Month, count: 1 };
    check(
        part(limit(group, Measure::Money, month, [10_000_000, 0, 86_813])),
        expect![[r#"
            [Approved for 12.5 L] Card ****1234 may take only 12.5 L for 868.13 RUB. Group trucks had 868.13 RUB of 100,000.00 RUB left this month (limit L-77). 60 L for 4,167.00 RUB were asked for.
            [Одобрено на 12,5 л] По карте ****1234 можно отпустить только 12,5 л на 868,13 RUB. По группе trucks в этом месяце оставалось 868,13 RUB из 100_000,00 RUB (лимит L-77). Запрошено 60 л на 4_167,00 RUB.
            [Рұқсат берілді: 12,5 л] ****1234 картасы бойынша тек 12,5 л (868,13 RUB) беруге болады. trucks тобы бойынша осы айда 100_000,00 RUB лимитінен 868,13 RUB қалған еді (лимит: L-77). 60 л (4_167,00 RUB) сұралды.
        "#]],
    );
}

#[test]
fn a_purchase_beyond_a_limit() {
    let beyond = |code, binding| Situation { binding: Some(binding), ..refused(code) };
    let driver = Scope::Driver(DriverId::new("D-7").expect("an id"));
    let vehicle = Scope::Vehicle(VehicleId::new("A123BC").expect("an id"));
    check(
        beyond(Code::LimitTx, limit(card(), Measure::Volume, Window::PerTransaction, [50_000, 0, 50_000])),
        expect![[r#"
            [Declined. The driver should call the fleet office] Card ****1234 is limited to 50 L at a time (limit L-77). 60 L for 4,167.00 RUB were asked for.
            [Отказ. Пусть водитель позвонит в свою компанию] По карте ****1234 лимит одной покупки – 50 л (лимит L-77). Запрошено 60 л на 4_167,00 RUB.
            [Бас тартылды. Жүргізуші компаниясына хабарлассын] ****1234 картасы бойынша бір сатып алуға арналған лимит – 50 л (лимит: L-77). 60 л (4_167,00 RUB) сұралды.
        "#]],
    );
    check(
        Situation {
            fill_up: true,
            ..beyond(
                Code::LimitPeriod,
                limit(vehicle, Measure::Volume, Window::Rolling { secs: 86_400 }, [100_000, 0, 0]),
            )
        },
        expect![[r#"
            [Declined. The driver should call the fleet office] Vehicle A123BC has nothing of 100 L left in the last 24 hours (limit L-77). A full tank was asked for.
            [Отказ. Пусть водитель позвонит в свою компанию] По машине A123BC в пределах последних 24 часов ничего не осталось из 100 л (лимит L-77). Запрошен полный бак.
            [Бас тартылды. Жүргізуші компаниясына хабарлассын] A123BC көлігі бойынша соңғы 24 сағатта 100 л лимитінен ештеңе қалмады (лимит: L-77). Толық бак сұралды.
        "#]],
    );
    let diesel = ProductSelector::Product(ProductCode::new("DIESEL").expect("a code"));
    let week = Window::Calendar { unit: CalendarUnit::Week, count: 2 };
    check(
        beyond(
            Code::LimitPeriod,
            Headroom { product: diesel, ..limit(card(), Measure::Volume, week, [1_500_000, 0, -12_000]) },
        ),
        expect![[r#"
            [Declined. The driver should call the fleet office] Card ****1234 is 12 L over the limit of 1,500 L in the current 2 weeks (limit L-77, product DIESEL). 60 L for 4,167.00 RUB were asked for.
            [Отказ. Пусть водитель позвонит в свою компанию] По карте ****1234 в пределах текущих 2 недель лимит 1_500 л превышен на 12 л (лимит L-77, товар DIESEL). Запрошено 60 л на 4_167,00 RUB.
            [Бас тартылды. Жүргізуші компаниясына хабарлассын] ****1234 картасы бойынша ағымдағы 2 аптада 1_500 л лимитінен 12 л асып кетті (лимит: L-77, тауар: DIESEL). 60 л (4_167,00 RUB) сұралды.
        "#]],
    );
    check(
        beyond(Code::LimitCount, limit(driver.clone(), Measure::Count, DAY, [3, 0, 0])),
        expect![[r#"
        [Declined. The driver should call the fleet office] Driver D-7 has none of 3 purchases left today (limit L-77). 60 L for 4,167.00 RUB were asked for.
        [Отказ. Пусть водитель позвонит в свою компанию] По водителю D-7 сегодня покупок не осталось, лимит – 3 покупки (лимит L-77). Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Жүргізуші компаниясына хабарлассын] D-7 жүргізушісі бойынша бүгін сатып алу саны таусылды, лимит – 3 сатып алу (лимит: L-77). 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
    check(
        beyond(Code::LimitCount, limit(driver, Measure::Count, Window::OneOff, [3, 1, 1])),
        expect![[r#"
            [Declined. The driver should call the fleet office] Driver D-7 has 1 of 3 purchases left in all (one-off limit L-77, 1 purchase held). 60 L for 4,167.00 RUB were asked for.
            [Отказ. Пусть водитель позвонит в свою компанию] По водителю D-7 всего осталось покупок: 1 из 3 (разовый лимит L-77, в резерве 1 покупка). Запрошено 60 л на 4_167,00 RUB.
            [Бас тартылды. Жүргізуші компаниясына хабарлассын] D-7 жүргізушісі бойынша барлығы 3 сатып алу лимитінен 1 сатып алу қалды (бір реттік лимит: L-77, резервте 1 сатып алу). 60 л (4_167,00 RUB) сұралды.
        "#]],
    );
    let contract =
        limit(Scope::Contract, Measure::Money, Window::Calendar { unit: CalendarUnit::Year, count: 1 }, [500, 0, 499]);
    check(
        beyond(Code::LimitPeriod, contract),
        expect![[r#"
        [Declined. The driver should call the fleet office] Contract C-17 has 4.99 RUB of 5.00 RUB left this year (limit L-77). 60 L for 4,167.00 RUB were asked for.
        [Отказ. Пусть водитель позвонит в свою компанию] По договору C-17 в этом году осталось 4,99 RUB из 5,00 RUB (лимит L-77). Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Жүргізуші компаниясына хабарлассын] C-17 келісімшарты бойынша осы жылы 5,00 RUB лимитінен 4,99 RUB қалды (лимит: L-77). 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
}

#[test]
fn a_contract_without_money() {
    let own = Headroom {
        limit: "balance".to_owned(),
        ..limit(Scope::Contract, Measure::Money, Window::Lifetime, [150_000, 80_000, 50_000])
    };
    check(
        Situation {
            binding: Some(own.clone()),
            balance: Some(balance([100_000, 50_000, 80_000, 20_000])),
            ..refused(Code::Funds)
        },
        expect![[r#"
            [Declined. The driver should call the fleet office] Contract C-17 has 500.00 RUB available (own money 1,000.00 RUB, credit line 500.00 RUB, held 800.00 RUB, not yet billed 200.00 RUB). 60 L for 4,167.00 RUB were asked for.
            [Отказ. Пусть водитель позвонит в свою компанию] По договору C-17 доступно 500,00 RUB (собственные средства 1_000,00 RUB, кредитная линия 500,00 RUB, в резерве 800,00 RUB, ещё не в счёте 200,00 RUB). Запрошено 60 л на 4_167,00 RUB.
            [Бас тартылды. Жүргізуші компаниясына хабарлассын] C-17 келісімшарты бойынша қолжетімді сома – 500,00 RUB (меншікті қаражат 1_000,00 RUB, несие желісі 500,00 RUB, резервте 800,00 RUB, шотқа әлі енбегені 200,00 RUB). 60 л (4_167,00 RUB) сұралды.
        "#]],
    );
    check(
        Situation { binding: Some(own), balance: Some(balance([-5_000_050, 0, 0, 0])), ..refused(Code::Funds) },
        expect![[r#"
            [Declined. The driver should call the fleet office] Contract C-17 is 50,000.50 RUB beyond what it has. 60 L for 4,167.00 RUB were asked for.
            [Отказ. Пусть водитель позвонит в свою компанию] По договору C-17 перерасход 50_000,50 RUB. Запрошено 60 л на 4_167,00 RUB.
            [Бас тартылды. Жүргізуші компаниясына хабарлассын] C-17 келісімшарты бойынша артық жұмсалғаны – 50_000,50 RUB. 60 л (4_167,00 RUB) сұралды.
        "#]],
    );
    check(
        Situation {
            balance: Some(balance([123_400, 0, 0, 0])),
            ..done(TransactionKind::Balance, Code::Approved, Amounts::default())
        },
        expect![[r#"
            [Inquiry answered] Contract C-17 has 1,234.00 RUB available.
            [Запрос выполнен] По договору C-17 доступно 1_234,00 RUB.
            [Сұрауға жауап берілді] C-17 келісімшарты бойынша қолжетімді сома – 1_234,00 RUB.
        "#]],
    );
}

#[test]
fn a_card_or_contract_that_may_not_be_used() {
    let noted = |code, note| Situation { notes: vec![note], ..refused(code) };
    let block = |actor, reason: &str, until_us| Note::CardBlocked { actor, reason: reason.to_owned(), until_us };
    check(
        refused(Code::CardUnknown),
        expect![[r#"
        [Declined. This card cannot be used] Card ****1234 is not known. 60 L for 4,167.00 RUB were asked for.
        [Отказ. Эту карту использовать нельзя] Карта ****1234 не найдена. Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Бұл картаны қолдануға болмайды] ****1234 картасы табылмады. 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
    check(
        noted(Code::CardBlocked, block(Actor::Client, "keys lost", Some(EVENING))),
        expect![[r#"
        [Declined. This card cannot be used] Card ****1234 was blocked by the fleet until 14 January 2026, 17:31 UTC: “keys lost”. 60 L for 4,167.00 RUB were asked for.
        [Отказ. Эту карту использовать нельзя] Карта ****1234 заблокирована клиентом до 14.01.2026 17:31 UTC: «keys lost». Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Бұл картаны қолдануға болмайды] ****1234 картасын клиент бұғаттады: «keys lost»; аяқталуы: 14.01.2026 17:31 UTC. 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
    check(
        noted(Code::CardStolen, Note::CardClosed(Closure::Stolen)),
        expect![[r#"
        [Declined. This card cannot be used] Card ****1234 was reported stolen. 60 L for 4,167.00 RUB were asked for.
        [Отказ. Эту карту использовать нельзя] Карта ****1234 заявлена как украденная. Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Бұл картаны қолдануға болмайды] ****1234 картасы ұрланған деп жарияланған. 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
    check(
        noted(Code::CardExpired, Note::ValidTo(EVENING)),
        expect![[r#"
        [Declined. The card has expired] Card ****1234 expired on 14 January 2026, 17:31 UTC. 60 L for 4,167.00 RUB were asked for.
        [Отказ. Срок действия карты истёк] Срок действия карты ****1234 истёк 14.01.2026 17:31 UTC. Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Картаның мерзімі өткен] ****1234 картасының мерзімі өткен: 14.01.2026 17:31 UTC. 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
    let overdue =
        Note::ContractBlocked { actor: Actor::IssuerCredit, reason: "overdue debt".to_owned(), until_us: None };
    check(
        noted(Code::ContractBlocked, overdue),
        expect![[r#"
        [Declined. The driver should call the fleet office] Contract C-17 was blocked by the issuer's credit staff: “overdue debt”. 60 L for 4,167.00 RUB were asked for.
        [Отказ. Пусть водитель позвонит в свою компанию] Договор C-17 заблокирован кредитной службой эмитента: «overdue debt». Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Жүргізуші компаниясына хабарлассын] C-17 келісімшартын эмитенттің несие қызметі бұғаттады: «overdue debt». 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
    check(
        noted(Code::PinWrong, Note::PinTriesLeft(2)),
        expect![[r#"
        [Wrong PIN. Try again] The PIN of card ****1234 was wrong; 2 tries are left. 60 L for 4,167.00 RUB were asked for.
        [Неверный ПИН-код. Повторите] ПИН-код карты ****1234 введён неверно; осталось попыток: 2. Запрошено 60 л на 4_167,00 RUB.
        [PIN-код қате. Қайталап көріңіз] ****1234 картасының PIN-коды қате енгізілді; қалған әрекет саны: 2. 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
    check(
        noted(Code::PinLocked, Note::PinLockedUntil(EVENING)),
        expect![[r#"
        [PIN locked. The driver should call the fleet office] Card ****1234 is locked until 14 January 2026, 17:31 UTC after too many wrong PINs. 60 L for 4,167.00 RUB were asked for.
        [ПИН-код заблокирован. Пусть водитель позвонит в компанию] ПИН-код карты ****1234 после неверных попыток заблокирован до 14.01.2026 17:31 UTC. Запрошено 60 л на 4_167,00 RUB.
        [PIN-код бұғатталды. Жүргізуші компаниясына хабарлассын] ****1234 картасының PIN-коды қате әрекеттерден кейін бұғатталды; аяқталуы: 14.01.2026 17:31 UTC. 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
}

#[test]
fn a_terminal_that_asks_again() {
    let again = |code, note| Situation { verdict: Verdict::Reprompt, notes: vec![note], ..refused(code) };
    check(
        again(Code::PromptMissing, Note::PromptsMissing(vec![Prompt::Driver, Prompt::Odometer])),
        expect![[r#"
        [Enter driver, odometer] Card ****1234 requires what terminal T-1 did not send: driver, odometer.
        [Введите: водитель, одометр] Терминал T-1 не передал то, чего требует карта ****1234: водитель, одометр.
        [Теріңіз: жүргізуші, одометр] T-1 терминалы ****1234 картасы талап ететін деректерді жіберген жоқ: жүргізуші, одометр.
    "#]],
    );
    check(
        again(Code::PromptInvalid, Note::PromptInvalid(Prompt::Driver)),
        expect![[r#"
        [Check the driver and enter it again] The driver entered at terminal T-1 is blocked or not known in the contract.
        [Проверьте и введите снова: водитель] Водитель, введённый на терминале T-1, заблокирован или не значится в договоре.
        [Тексеріп, қайта енгізіңіз: жүргізуші] T-1 терминалында енгізілген жүргізуші бұғатталған немесе келісімшартта жоқ.
    "#]],
    );
    let odometer = Note::Odometer { given: 98_765, least: 120_001, most: 122_000 };
    check(
        again(Code::OdometerRange, odometer),
        expect![[r#"
        [Check the odometer and enter it again] The odometer reading 98,765 is not between 120,001 and 122,000.
        [Проверьте и введите снова: одометр] Показание одометра 98_765 не попадает в границы от 120_001 до 122_000.
        [Тексеріп, қайта енгізіңіз: одометр] Одометр көрсеткіші күтілген аралықтан тыс: 98_765, күтілгені 120_001 – 122_000.
    "#]],
    );
}

#[test]
fn a_purchase_that_is_forbidden() {
    let by = |code, notes: Vec<Note>| Situation { notes, ..refused(code) };
    let restricted = || Note::Restricted(RestrictionId::new("R-1").expect("an id"));
    let product = Note::Product(ProductCode::new("AI-95").expect("a code"));
    check(
        by(Code::Product, vec![product, restricted()]),
        expect![[r#"
            [Declined. This product is not for this card] Card ****1234 may not buy product AI-95. Restriction R-1 forbids it. 60 L for 4,167.00 RUB were asked for.
            [Отказ. Этот товар по карте недоступен] Товар AI-95 по карте ****1234 недоступен. Это запрещает ограничение R-1. Запрошено 60 л на 4_167,00 RUB.
            [Бас тартылды. Бұл тауарға карта бойынша рұқсат жоқ] ****1234 картасымен AI-95 тауарын алуға болмайды. Бұған R-1 шектеуі тыйым салады. 60 л (4_167,00 RUB) сұралды.
        "#]],
    );
    check(
        by(Code::Site, vec![restricted()]),
        expect![[r#"
        [Declined. The card is not accepted at this station] Card ****1234 is not accepted at station 0417. Restriction R-1 forbids it. 60 L for 4,167.00 RUB were asked for.
        [Отказ. Карта не принимается на этой станции] Карта ****1234 не принимается на станции 0417. Это запрещает ограничение R-1. Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Карта бұл станцияда қабылданбайды] ****1234 картасы 0417 станциясында қабылданбайды. Бұған R-1 шектеуі тыйым салады. 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
    let tank =
        Note::TankCapacity { vehicle: VehicleId::new("A123BC").expect("an id"), tank_ml: Millilitres::from_litres(50) };
    check(
        by(Code::TankCapacity, vec![tank]),
        expect![[r#"
        [Declined. The driver should call the fleet office] The tank of vehicle A123BC holds 50 L. 60 L for 4,167.00 RUB were asked for.
        [Отказ. Пусть водитель позвонит в свою компанию] Бак машины A123BC вмещает 50 л. Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Жүргізуші компаниясына хабарлассын] A123BC көлігінің багы – 50 л. 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
    check(
        by(Code::FmtInvalid, vec![Note::Malformed(Malformed::NoPrice)]),
        expect![[r#"
        [Declined. The terminal needs service] The message of terminal T-1 has a product without price.
        [Отказ. Терминалу нужно обслуживание] В сообщении терминала T-1 есть товар без цены.
        [Бас тартылды. Терминалға қызмет көрсету керек] T-1 терминалының хабарламасында бағасыз тауар бар.
    "#]],
    );
    check(
        by(Code::CurrencyMismatch, vec![Note::Currency(Currency::KZT)]),
        expect![[r#"
        [Declined. The card is not accepted here] Contract C-17 is in KZT, the request in RUB.
        [Отказ. Карта здесь не принимается] Валюта договора C-17 – KZT, валюта запроса – RUB.
        [Бас тартылды. Карта мұнда қабылданбайды] C-17 келісімшартының валютасы – KZT, сұрау валютасы – RUB.
    "#]],
    );
    check(
        by(Code::FmtClock, vec![Note::ClockOff { hours: -31 }]),
        expect![[r#"
        [Declined. Check the terminal's clock] The clock of terminal T-1 is 31 hours behind ours. 60 L for 4,167.00 RUB were asked for.
        [Отказ. Проверьте часы терминала] Часы терминала T-1 отстают на 31 час. Запрошено 60 л на 4_167,00 RUB.
        [Бас тартылды. Терминалдың сағатын тексеріңіз] T-1 терминалының сағаты 31 сағат қалып тұр. 60 л (4_167,00 RUB) сұралды.
    "#]],
    );
}

#[test]
fn what_a_rule_found_is_something_to_look_at() {
    let velocity = |mode, purchases| RiskFinding {
        rule: FraudRule::Velocity,
        mode,
        measured: RiskMeasure::Velocity { purchases, minutes: 15, unusual_from: 4 },
    };
    let travel = RiskFinding {
        rule: FraudRule::ImpossibleTravel,
        mode: RuleMode::Decline,
        measured: RiskMeasure::Travel { km: 1268, minutes: 60, kmh: Some(1268), kmh_most: 150 },
    };
    let bought = || done(TransactionKind::Sale, Code::ApprovedFlagged, amounts(60_000, 0, 416_700));
    check(
        Situation { risk: vec![velocity(RuleMode::Flag, 4)], ..bought() },
        expect![[r#"
        [Approved] Card ****1234 bought 60 L for 4,167.00 RUB. 4 purchases in 15 min; from 4 on it is unusual. This needs a look.
        [Одобрено] По карте ****1234 куплено 60 л на 4_167,00 RUB. 4 покупки за 15 мин; необычным считается от 4. Это стоит проверить.
        [Рұқсат берілді] ****1234 картасымен 60 л (4_167,00 RUB) сатып алынды. 15 минутта 4 сатып алу; 4 және одан көп болса, әдеттегіден тыс. Мұны тексерген жөн.
    "#]],
    );
    check(
        Situation { risk: vec![velocity(RuleMode::Shadow, 5)], ..bought() },
        expect![[r#"
        [Approved] Card ****1234 bought 60 L for 4,167.00 RUB. On trial: 5 purchases in 15 min; from 4 on it is unusual.
        [Одобрено] По карте ****1234 куплено 60 л на 4_167,00 RUB. В пробном режиме: 5 покупок за 15 мин; необычным считается от 4.
        [Рұқсат берілді] ****1234 картасымен 60 л (4_167,00 RUB) сатып алынды. Сынақ режимінде: 15 минутта 5 сатып алу; 4 және одан көп болса, әдеттегіден тыс.
    "#]],
    );
    check(
        Situation { risk: vec![travel], ..refused(Code::FraudTravel) },
        expect![[r#"
            [Declined. The driver should call the fleet office] A rule stopped a purchase with card ****1234. 60 L for 4,167.00 RUB were asked for. 1,268 km from the last purchase in 60 min: 1,268 km/h, and at most 150 km/h is believed. This needs a look.
            [Отказ. Пусть водитель позвонит в свою компанию] Покупка по карте ****1234 остановлена правилом. Запрошено 60 л на 4_167,00 RUB. 1_268 км от места прошлой покупки за 60 мин – это 1_268 км/ч, а правдоподобно не больше 150 км/ч. Это стоит проверить.
            [Бас тартылды. Жүргізуші компаниясына хабарлассын] ****1234 картасымен сатып алуды ереже тоқтатты. 60 л (4_167,00 RUB) сұралды. Алдыңғы сатып алу орнынан 1_268 км, арасы 60 минут: жылдамдық 1_268 км/сағ болар еді, сенімді шегі – 150 км/сағ. Мұны тексерген жөн.
        "#]],
    );
}

#[test]
fn an_earlier_request_is_named_by_its_key_where_it_has_no_code() {
    let by_key = Original { auth_code: None, idem: Some(IdempotencyKey::new("K-9").expect("a key")) };
    let situation = Situation { kind: TransactionKind::Void, original: by_key, ..refused(Code::OriginalUnknown) };
    check(
        situation,
        expect![[r#"
        [Declined. The original purchase was not found] Request K-9 is not known for card ****1234.
        [Отказ. Исходная покупка не найдена] Операция K-9 по карте ****1234 не найдена.
        [Бас тартылды. Бастапқы сатып алу табылмады] ****1234 картасы бойынша K-9 операциясы табылмады.
    "#]],
    );
}
