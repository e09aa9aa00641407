use expect_test::{Expect, expect};
use jiff::civil::time;
use model::{
    Actor, CalendarUnit, CardKind, Command, Driver, DriverId, Group, GroupId, HolidayRule, LimitId, LimitMode, Measure,
    Millilitres, MinorUnits, PartitionId, PriceE4, ProductCode, ProductSelector, Prompt, RestrictionId,
    RestrictionList, RestrictionRule, Schedule, Scope, Unit, Vehicle, VehicleId, WeekStart, Window,
};

use super::super::samples;
use super::*;

/// Wednesday 14 January 2026, 22:31 in Almaty.
const EVENING: TimestampUs = TimestampUs::from_micros(1_768_411_860_000_000);

struct Story {
    shard: Shard,
    config: Config,
    contract: ContractId,
    requests: i64,
}

impl Story {
    fn order(&mut self, command: Command) {
        let at = EVENING.plus_us(-86_400 * model::MICROS_PER_SECOND);
        let message = samples::order(&format!("order-{}", self.requests), &self.contract, at, command);
        self.decide(RequestBody::Command(Box::new(message)), at);
    }
    fn decide(&mut self, body: RequestBody, received_at_us: TimestampUs) {
        let contract = Some(self.contract.clone());
        let request = Request { v: FORMAT_VERSION, origin: None, received_at_us, contract, body };
        let outcome = self.shard.decide(&self.config, self.requests, request).expect("a new request");
        let refused = outcome.facts.iter().find(|fact| matches!(fact, Fact::CommandRefused { .. }));
        assert_eq!(refused, None);
        self.requests += 1;
    }
    /// 87.5 L an hour ago, still held.
    fn preauth(&mut self) {
        let at = EVENING.plus_us(-3_600 * model::MICROS_PER_SECOND);
        let mut transaction = samples::transaction(TransactionKind::Preauth, "held", "card-1", at);
        transaction.prompts.odometer = Some(120_000);
        transaction.pin = Some(Pin { verified: true, attempt: 1 });
        transaction.items = vec![item(87_500)];
        self.decide(RequestBody::Transaction(Box::new(transaction)), at);
    }
}

fn item(ml: u64) -> Item {
    let price_e4 = PriceE4::new(694_500).expect("in range");
    Item { price_e4, ..samples::item(Some(Millilitres::new(ml).expect("in range"))) }
}

fn story() -> Story {
    let contract = ContractId::new("C-17").expect("an id");
    let mut story = Story { shard: Shard::new(PartitionId(0)), config: Config::default(), contract, requests: 0 };
    let minor = |minor| MinorUnits::new(minor).expect("in range");
    let (group, vehicle) = (GroupId::new("trucks").expect("an id"), VehicleId::new("A123BC").expect("an id"));
    let (driver, card) = (DriverId::new("D-7").expect("an id"), CardToken::new("card-1").expect("a token"));
    story.order(Command::OpenContract {
        name: "Bakery".to_owned(),
        currency: Currency::RUB,
        time_zone: "Asia/Almaty".to_owned(),
        legal_entity: None,
        holding: None,
        week_start: WeekStart::Monday,
    });
    story.order(Command::TopUp {
        amount_minor: minor(5_000_000),
        currency: Currency::RUB,
        reference: "P-1".to_owned(),
        payer: None,
    });
    story.order(Command::PutGroup(Group { id: group.clone(), name: "Lorries".to_owned() }));
    story.order(Command::PutVehicle(Vehicle {
        id: vehicle.clone(),
        tank_ml: Some(Millilitres::from_litres(400)),
        fuel: None,
    }));
    story.order(Command::PutDriver(Driver { id: driver.clone(), name: "Aigul".to_owned(), blocked: false }));
    story.order(Command::IssueCard {
        card: card.clone(),
        pan_masked: "****1234".to_owned(),
        kind: CardKind::Plastic,
        group: Some(group.clone()),
        vehicle: Some(vehicle),
        driver: Some(driver.clone()),
        valid_from_us: None,
        valid_to_us: None,
        daily_ml: None,
        daily_minor: None,
    });
    let limit = |id: &str, scope, measure, value, window| Limit {
        id: LimitId::new(id).expect("an id"),
        scope,
        product: ProductSelector::All,
        measure,
        value,
        window,
        schedule: None,
        mode: LimitMode::Decline,
        alert_left: None,
        valid_from_us: None,
        valid_to_us: None,
        offline: false,
    };
    let calendar = |unit| Window::Calendar { unit, count: 1 };
    let diesel = ProductSelector::Product(ProductCode::new("DIESEL").expect("a code"));
    let working_days = Schedule {
        days: [true, true, true, true, true, false, false],
        from: time(8, 0, 0, 0),
        to: time(20, 0, 0, 0),
        holidays: HolidayRule::Except,
    };
    story.order(Command::SetLimit(Limit {
        product: diesel.clone(),
        ..limit("L-1", Scope::Card(card), Measure::Volume, 100_000, calendar(CalendarUnit::Day))
    }));
    story.order(Command::SetLimit(Limit {
        mode: LimitMode::Flag,
        ..limit("L-2", Scope::Driver(driver), Measure::Count, 3, Window::Rolling { secs: 86_400 })
    }));
    story.order(Command::SetLimit(Limit {
        schedule: Some(working_days),
        ..limit("L-3", Scope::Group(group), Measure::Money, 1_000_000, calendar(CalendarUnit::Month))
    }));
    story.order(Command::SetRestriction(Restriction {
        id: RestrictionId::new("R-1").expect("an id"),
        scope: Scope::Contract,
        rule: RestrictionRule::Allow,
        of: RestrictionList::Products(vec![diesel]),
    }));
    story.order(Command::SetPolicy {
        scope: Scope::Contract,
        policy: Some(Policy {
            pin_required: true,
            prompts: vec![Prompt::Odometer],
            odometer_growth: Some((1, 2_000)),
            offline_allowed: false,
        }),
    });
    story
}

fn question(story: &Story, at: TimestampUs, item: Item) -> Question {
    Question {
        contract: story.contract.clone(),
        card: CardToken::new("card-1").expect("a token"),
        at,
        item,
        fill_up: false,
        site: SiteId::new("S-1").expect("an id"),
        region: None,
        country: None,
        entry: None,
        prompts: Prompts::default(),
    }
}

fn check(explanation: &Explanation, language: Language, expected: Expect) {
    expected.assert_eq(&explanation.in_words(language).replace('\u{202f}', "_"));
}

#[test]
fn a_card_that_has_little_left_is_explained_in_three_languages() {
    let mut story = story();
    story.preauth();
    let asked = question(&story, EVENING, item(60_000));
    let explanation = story.shard.explain(&story.config, asked).expect("a known card");
    check(
        &explanation,
        Language::English,
        expect![[r#"
        Card ****1234 at station S-1, 2026-01-14 22:31 (Asia/Almaty): 60 L of DIESEL at 69.45 RUB

        A part of it would be approved. Card ****1234 could take only 12.5 L for 868.13 RUB. Card ****1234 has 12.5 L of 100 L left today (limit L-1, product DIESEL, 87.5 L held). 60 L for 4,167.00 RUB were asked for.
        The cashier would read: Approved for 12.5 L (code 002)

        The card is active; group Lorries (trucks); vehicle A123BC, tank 400 L; driver Aigul (D-7); last odometer 120,000.
        Contract C-17 has 43,923.12 RUB available (own money 50,000.00 RUB, held 6,076.88 RUB).
        Policy: the terminal asks for odometer; the odometer must have grown by 1 to 2,000; the PIN is required; no sales while the terminal is offline.

        Limits
          whose              goods   when                                                      limit      used      held           left          or
          card, L-1          DIESEL  today                                                     100 L       0 L    87.5 L         12.5 L  868.13 RUB  decides
          driver D-7, L-2    all     in the last 24 hours                                          3         0         1              2              marks, does not decline
          group trucks, L-3  all     this month, Mon–Fri 08:00–20:00, not on holidays  10,000.00 RUB  0.00 RUB  0.00 RUB  10,000.00 RUB   143.988 L  does not apply

        Restrictions
          R-1 (contract): only DIESEL
    "#]],
    );
    check(
        &explanation,
        Language::Russian,
        expect![[r#"
        Карта ****1234, станция S-1, 2026-01-14 22:31 (Asia/Almaty): 60 л, DIESEL по цене 69,45 RUB

        Покупка была бы одобрена частично. По карте ****1234 можно было бы отпустить только 12,5 л на 868,13 RUB. По карте ****1234 сегодня осталось 12,5 л из 100 л (лимит L-1, товар DIESEL, в резерве 87,5 л). Запрошено 60 л на 4_167,00 RUB.
        Кассир увидел бы: Одобрено на 12,5 л (код 002)

        Карта активна; группа Lorries (trucks); машина A123BC, бак 400 л; водитель Aigul (D-7); последний одометр 120_000.
        По договору C-17 доступно 43_923,12 RUB (собственные средства 50_000,00 RUB, в резерве 6_076,88 RUB).
        Правила: терминал спрашивает: одометр; одометр должен вырасти на 1 – 2_000; нужен ПИН-код; без связи не продавать.

        Лимиты
          чей                 товары  когда                                                       лимит   выбрано  в резерве        остаток         или
          карта, L-1          DIESEL  сегодня                                                     100 л       0 л     87,5 л         12,5 л  868,13 RUB  решает
          водитель D-7, L-2   все     в пределах последних 24 часов                                   3         0          1              2              отмечает, не отказывает
          группа trucks, L-3  все     в этом месяце, Пн–Пт 08:00–20:00, кроме праздников  10_000,00 RUB  0,00 RUB   0,00 RUB  10_000,00 RUB   143,988 л  не применяется

        Ограничения
          R-1 (договор): только DIESEL
    "#]],
    );
    check(
        &explanation,
        Language::Kazakh,
        expect![[r#"
        ****1234 картасы, S-1 станциясы, 2026-01-14 22:31 (Asia/Almaty): 60 л, DIESEL, бағасы 69,45 RUB

        Сатып алудың бір бөлігіне рұқсат берілер еді. ****1234 картасы бойынша тек 12,5 л (868,13 RUB) беруге болар еді. ****1234 картасы бойынша бүгін 100 л лимитінен 12,5 л қалды (лимит: L-1, тауар: DIESEL, резервте 87,5 л). 60 л (4_167,00 RUB) сұралды.
        Кассир мынаны көрер еді: Рұқсат берілді: 12,5 л (код 002)

        Карта белсенді; топ: Lorries (trucks); көлік: A123BC, багы 400 л; жүргізуші: Aigul (D-7); соңғы одометр 120_000.
        C-17 келісімшарты бойынша қолжетімді сома – 43_923,12 RUB (меншікті қаражат 50_000,00 RUB, резервте 6_076,88 RUB).
        Ережелер: терминал сұрайды: одометр; одометр өсімі: 1 – 2_000; PIN-код керек; байланыссыз сатуға болмайды.

        Лимиттер
          кімдікі               тауарлар  қашан                                                    лимит  жұмсалды  резервте         қалдық      немесе
          карта, L-1            DIESEL    бүгін                                                    100 л       0 л    87,5 л         12,5 л  868,13 RUB  шешеді
          D-7 жүргізушісі, L-2  бәрі      соңғы 24 сағатта                                             3         0         1              2              белгілейді, бас тартпайды
          trucks тобы, L-3      бәрі      осы айда, Дс–Жм 08:00–20:00, мерекелерден басқа  10_000,00 RUB  0,00 RUB  0,00 RUB  10_000,00 RUB   143,988 л  қолданылмайды

        Шектеулер
          R-1 (келісімшарт): тек DIESEL
    "#]],
    );
}

#[test]
fn the_hours_in_which_a_hold_runs_out_are_explained_without_it() {
    let mut story = story();
    story.preauth();
    let asked = question(&story, EVENING.plus_us(3 * 3_600 * model::MICROS_PER_SECOND), item(60_000));
    let explanation = story.shard.explain(&story.config, asked).expect("a known card");
    assert!(explanation.limits.iter().all(|known| known.headroom.held == 0), "{:?}", explanation.limits);
    assert_eq!(explanation.decision.code, model::Code::Approved);
}

#[test]
fn a_blocked_card_is_explained_with_who_blocked_it_and_its_limits() {
    let mut story = story();
    story.order(Command::BlockCard {
        card: CardToken::new("card-1").expect("a token"),
        reason: "keys lost".to_owned(),
        actor: Actor::Client,
        until_us: None,
    });
    let pieces = Item { unit: Unit::Pieces, qty_ml: None, pieces: Some(2), ..item(1) };
    let asked = question(&story, EVENING, pieces);
    let explanation = story.shard.explain(&story.config, asked).expect("a known card");
    check(
        &explanation,
        Language::English,
        expect![[r#"
            Card ****1234 at station S-1, 2026-01-14 22:31 (Asia/Almaty): 2 pcs of DIESEL at 69.45 RUB

            It would be declined. Card ****1234 was blocked by the fleet: “keys lost”. 2 pieces for 138.90 RUB were asked for.
            The cashier would read: Declined. This card cannot be used (code 104)

            The card is blocked by the fleet: “keys lost”; group Lorries (trucks); vehicle A123BC, tank 400 L; driver Aigul (D-7).
            Contract C-17 has 50,000.00 RUB available.
            Policy: the terminal asks for odometer; the odometer must have grown by 1 to 2,000; the PIN is required; no sales while the terminal is offline.

            Limits
              whose              goods   when                                                      limit      used      held           left  or
              card, L-1          DIESEL  today                                                     100 L       0 L       0 L          100 L
              driver D-7, L-2    all     in the last 24 hours                                          3         0         0              3      marks, does not decline
              group trucks, L-3  all     this month, Mon–Fri 08:00–20:00, not on holidays  10,000.00 RUB  0.00 RUB  0.00 RUB  10,000.00 RUB      does not apply

            Restrictions
              R-1 (contract): only DIESEL
        "#]],
    );
}

#[test]
fn what_is_left_is_told_in_litres_and_money_though_the_card_is_blocked() {
    let mut story = story();
    story.order(Command::BlockCard {
        card: CardToken::new("card-1").expect("a token"),
        reason: "keys lost".to_owned(),
        actor: Actor::Client,
        until_us: None,
    });
    let asked = question(&story, EVENING, item(60_000));
    let explanation = story.shard.explain(&story.config, asked).expect("a known card");
    assert_eq!(explanation.decision.code, model::Code::CardBlocked);
    let left = explanation.limits.iter().map(|known| (known.headroom.left_ml, known.headroom.left_minor));
    assert_eq!(
        left.collect::<Vec<_>>(),
        [(Some(100_000), Some(694_500)), (None, None), (Some(143_988), Some(1_000_000))]
    );
}

#[test]
fn a_card_that_is_not_known_has_no_explanation() {
    let story = story();
    let asked = Question { card: CardToken::new("card-2").expect("a token"), ..question(&story, EVENING, item(1_000)) };
    assert!(story.shard.explain(&story.config, asked).is_none());
}
