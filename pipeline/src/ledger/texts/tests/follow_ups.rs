//! Completions, advices, reversals, voids and refunds.

use super::*;

#[test]
fn what_follows_a_purchase() {
    let hold = Note::AboveHold {
        ml: Millilitres::from_litres(60),
        pieces: 0,
        minor: MinorUnits::new(416_700).expect("in range"),
    };
    let posted = |kind, code, notes| Situation { notes, ..done(kind, code, amounts(65_000, 0, 451_425)) };
    check(
        posted(TransactionKind::Completion, Code::CompletionAboveHold, vec![hold]),
        expect![[r#"
        [Accepted] Card ****1234 took 65 L for 4,514.25 RUB. That is more than was held: 60 L for 4,167.00 RUB.
        [Принято] По карте ****1234 отпущено 65 л на 4_514,25 RUB. Это больше резерва: 60 л на 4_167,00 RUB.
        [Қабылданды] ****1234 картасы бойынша 65 л (4_514,25 RUB) берілді. Бұл резервтен артық: 60 л (4_167,00 RUB).
    "#]],
    );
    check(
        posted(
            TransactionKind::Completion,
            Code::CompletionLate,
            vec![Note::HoldExpired(EVENING), Note::Differs(Difference::Price)],
        ),
        expect![[r#"
            [Accepted] Card ****1234 took 65 L for 4,514.25 RUB. The hold had expired on 14 January 2026, 17:31 UTC. The price is not the one that was authorized.
            [Принято] По карте ****1234 отпущено 65 л на 4_514,25 RUB. Срок резерва истёк 14.01.2026 17:31 UTC. Цена не та, что была одобрена.
            [Қабылданды] ****1234 картасы бойынша 65 л (4_514,25 RUB) берілді. Резервтің мерзімі бұрын өткен: 14.01.2026 17:31 UTC. Баға рұқсат етілген бағадан басқа.
        "#]],
    );
    let over = |limit: &str, measure, beyond| Note::Over {
        limit: limit.to_owned(),
        measure,
        mode: LimitMode::Decline,
        beyond,
    };
    check(
        posted(
            TransactionKind::AdviceOffline,
            Code::OfflineLimit,
            vec![
                over("L-77", Measure::Volume, 5_000),
                over("L-78", Measure::Count, 1),
                over("balance", Measure::Money, 120_050),
                Note::CatalogueAge { hours: 13, percent: 70 },
            ],
        ),
        expect![[r#"
            [Accepted] Card ****1234 took 65 L for 4,514.25 RUB while terminal T-1 was offline. That is 5 L over limit L-77. That is 1 purchase over limit L-78. That is 1,200.50 RUB more than contract C-17 had available. The lists of terminal T-1 were 13 hours old, so 70% of the offline limits counted.
            [Принято] По карте ****1234 отпущено 65 л на 4_514,25 RUB, пока терминал T-1 работал без связи. Лимит L-77 превышен на 5 л. Лимит L-78 превышен на 1 покупку. Это на 1_200,50 RUB больше, чем было доступно по договору C-17. Списки терминала T-1 загружены за 13 часов до продажи, поэтому действовало 70 % офлайн-лимитов.
            [Қабылданды] T-1 терминалы байланыссыз жұмыс істегенде ****1234 картасы бойынша 65 л (4_514,25 RUB) берілді. L-77 лимитінен асқаны – 5 л. L-78 лимитінен асқаны – 1 сатып алу. C-17 келісімшартының қолжетімді сомасынан асқаны – 1_200,50 RUB. T-1 терминалының тізімдері сатудан 13 сағат бұрын жүктелген, сондықтан офлайн лимиттер 70 % мөлшерінде қолданылды.
        "#]],
    );
    let trial = Note::Over { limit: "L-79".to_owned(), measure: Measure::Money, mode: LimitMode::Shadow, beyond: 1 };
    let ahead = Note::ClockOff { hours: 744 };
    check(
        posted(TransactionKind::Forced, Code::PostedForced, vec![trial, ahead]),
        expect![[r#"
        [Accepted] Station 0417 sold 65 L for 4,514.25 RUB on card ****1234 without asking. That is 0.01 RUB over limit L-79 (on trial). The clock of terminal T-1 is 31 days ahead of ours, so the time of arrival counts.
        [Принято] Станция 0417 без запроса отпустила по карте ****1234 65 л на 4_514,25 RUB. Лимит L-79 превышен на 0,01 RUB (пробный режим). Часы терминала T-1 спешат на 31 день; в счёт идёт время получения.
        [Қабылданды] 0417 станциясы ****1234 картасы бойынша 65 л (4_514,25 RUB) сұраусыз берді. L-79 лимитінен асқаны – 0,01 RUB (сынақ режимі). T-1 терминалының сағаты 31 күн озып тұр; келіп түскен уақыт есептеледі.
    "#]],
    );
    let original = Original { auth_code: Some(AuthCode::new("3-17").expect("a code")), idem: None };
    let sold = Note::Sold {
        ml: Millilitres::new(42_500).expect("in range"),
        pieces: 0,
        minor: MinorUnits::new(295_163).expect("in range"),
    };
    let refund = |code, note| Situation {
        kind: TransactionKind::Refund,
        original: original.clone(),
        notes: vec![note],
        ..refused(code)
    };
    check(
        refund(Code::AmountMismatch, sold),
        expect![[r#"
            [Declined. Compare with the receipt and try again] 60 L for 4,167.00 RUB cannot come back to card ****1234: 42.5 L for 2,951.63 RUB were sold.
            [Отказ. Сверьтесь с чеком и повторите] По карте ****1234 нельзя вернуть 60 л на 4_167,00 RUB: продано 42,5 л на 2_951,63 RUB.
            [Бас тартылды. Чекпен салыстырып, қайталаңыз] ****1234 картасы бойынша 60 л (4_167,00 RUB) қайтаруға болмайды: сатылғаны – 42,5 л (2_951,63 RUB).
        "#]],
    );
    check(
        refund(Code::OriginalClosed, Note::Original(OriginalState::Reversed)),
        expect![[r#"
        [Declined. The original purchase is closed] Authorization 3-17 was taken back before.
        [Отказ. Исходная покупка закрыта] Авторизация 3-17 уже отменена.
        [Бас тартылды. Бастапқы сатып алу жабылған] 3-17 авторизациясы бұрын жойылған.
    "#]],
    );
    let released = Note::Released {
        ml: Millilitres::from_litres(60),
        pieces: 0,
        minor: MinorUnits::new(416_700).expect("in range"),
    };
    check(
        Situation { notes: vec![released], ..done(TransactionKind::Reversal, Code::Approved, Amounts::default()) },
        expect![[r#"
            [Cancelled] The hold on card ****1234 was released: 60 L for 4,167.00 RUB.
            [Отменено] По карте ****1234 снят резерв: 60 л на 4_167,00 RUB.
            [Жойылды] ****1234 картасы бойынша резерв босатылды: 60 л (4_167,00 RUB).
        "#]],
    );
}
