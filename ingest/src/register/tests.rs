use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;

/// What a file gives: its payments, or all that is wrong with it.
fn told(bytes: &[u8], columns: &Columns) -> String {
    let mut text = String::new();
    match read(bytes, columns) {
        Ok(payments) => {
            for Payment { line, contract, currency, register } in payments {
                let RegisterLine { date, reference, amount_minor, payer, .. } = register;
                let payer: Vec<String> = [payer.tax_id, payer.name].into_iter().flatten().collect();
                let amount = amount_minor.get();
                writeln!(text, "{line}: {contract} {reference} {amount} {currency} {date} [{}]", payer.join(" "))
                    .unwrap();
            }
        }
        Err(problems) => problems.iter().for_each(|problem| writeln!(text, "{problem}").unwrap()),
    }
    text
}

fn check(file: &str, expected: &Expect) {
    expected.assert_eq(&told(file.as_bytes(), &Columns::default()));
}

#[test]
fn commas_semicolons_and_tabs_are_found_by_themselves() {
    let lines = |separator: &str| {
        "contract|reference|amount|currency|date|payer|tax_id\nC-1|PAY-1|5000.00|RUB|2026-01-19|Hauliers LLC|7701234567\n"
            .replace('|', separator)
    };
    for separator in [",", ";", "\t"] {
        check(
            &lines(separator),
            &expect![[r#"
            2: C-1 PAY-1 500000 RUB 2026-01-19 [7701234567 Hauliers LLC]
        "#]],
        );
    }
}

#[test]
fn a_russian_file_with_a_title_and_commas_before_its_coins_is_read_in_any_encoding() {
    let file = "Реестр платежей;;;;;\nза 19.01.2026;;;;;\n\nДоговор;Номер платежа;Сумма;Валюта;Дата проводки;Плательщик\n\
                C-1;ПП-17;1 234 567,89;RUB;19.01.2026;ООО «Перевозчик; и сын»\nC-2;ПП-18;12,5;kzt;19.01.2026 10:22:33;\n"
        .replace("ООО «Перевозчик; и сын»", "\"ООО «Перевозчик; и сын»\"");
    let expected = expect![[r#"
        5: C-1 ПП-17 123456789 RUB 2026-01-19 [ООО «Перевозчик; и сын»]
        6: C-2 ПП-18 1250 KZT 2026-01-19 []
    "#]];
    check(&file, &expected);
    check(&format!("\u{feff}{file}"), &expected);
    let (cp1251, _, _) = encoding_rs::WINDOWS_1251.encode(&file);
    expected.assert_eq(&told(&cp1251, &Columns::default()));
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(file.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    expected.assert_eq(&told(&utf16, &Columns::default()));
}

#[test]
fn columns_with_other_headers_are_named() {
    let named = [(Field::Contract, "Client"), (Field::Amount, "Credit turnover")];
    let named = named.into_iter().map(|(field, header)| (field, header.to_owned())).collect();
    let columns = Columns { named, currency: Some(Currency::KZT) };
    let file = "Client;Reference;Credit turnover;Amount;Date\nC-1;PAY-1;100,00;1;2026-01-19\n";
    expect![[r#"
        2: C-1 PAY-1 10000 KZT 2026-01-19 []
    "#]]
    .assert_eq(&told(file.as_bytes(), &columns));
    expect![[r#"
        line 1: no column "Credit turnover" for amount; there are "Client", "Reference", "Sum", "Date"
    "#]]
    .assert_eq(&told(b"Client;Reference;Sum;Date\nC-1;PAY-1;100,00;2026-01-19\n", &columns));
}

#[test]
fn amounts_are_read_as_people_write_them_and_never_guessed() {
    let amounts = [
        "1234.5",
        "1234,50",
        "1 234,50",
        "1\u{a0}234\u{202f}567.00",
        "1,234.50",
        "1.234,50",
        "1'234.50",
        "12,345,678",
        "7",
        "0.01",
        "12,345",
        "1.234",
        "12.345",
        "1,23,456",
        "12 34",
        "1234.567",
        "-5",
        "\u{2212}5",
        "0",
        "0,00",
        "5 RUB",
        "1e3",
        "",
        ".5",
        "5.",
        "99999999999999999999",
        "10000000000001",
        "1,234.5.6",
        "٣",
    ];
    let mut told = String::new();
    for amount in amounts {
        let read = values::amount(amount, Currency::RUB);
        let read = read.map_or_else(|what| what, |minor| minor.get().to_string());
        writeln!(told, "{amount:24} {read}").unwrap();
    }
    for (amount, currency) in [("1234", "JPY"), ("12.5", "JPY"), ("1.234", "KWD"), ("1.2345", "KWD")] {
        let read = values::amount(amount, Currency::new(currency).unwrap());
        let read = read.map_or_else(|what| what, |minor| minor.get().to_string());
        writeln!(told, "{:24} {read}", format!("{amount} {currency}")).unwrap();
    }
    expect![[r#"
        1234.5                   123450
        1234,50                  123450
        1 234,50                 123450
        1 234 567.00             123456700
        1,234.50                 123450
        1.234,50                 123450
        1'234.50                 123450
        12,345,678               1234567800
        7                        700
        0.01                     1
        12,345                   "12,345" may be thousands or coins: write it without the mark, or with 2 digits after it
        1.234                    "1.234" may be thousands or coins: write it without the mark, or with 2 digits after it
        12.345                   "12.345" may be thousands or coins: write it without the mark, or with 2 digits after it
        1,23,456                 "1,23,456" is no amount like 1234.50 or 1 234,50
        12 34                    "12 34" is no amount like 1234.50 or 1 234,50
        1234.567                 "1234.567" goes below the smallest coin of RUB
        -5                       "-5" is below zero: a register holds money that arrived
        −5                       "−5" is below zero: a register holds money that arrived
        0                        0 is no payment
        0,00                     0 is no payment
        5 RUB                    "5 RUB" is no amount like 1234.50 or 1 234,50
        1e3                      "1e3" is no amount like 1234.50 or 1 234,50
                                 "" is no amount like 1234.50 or 1 234,50
        .5                       ".5" is no amount like 1234.50 or 1 234,50
        5.                       500
        99999999999999999999     "99999999999999999999" is too large
        10000000000001           "10000000000001" is too large
        1,234.5.6                "1,234.5.6" is no amount like 1234.50 or 1 234,50
        ٣                        "٣" is no amount like 1234.50 or 1 234,50
        1234 JPY                 1234
        12.5 JPY                 "12.5" goes below the smallest coin of JPY
        1.234 KWD                1234
        1.2345 KWD               "1.2345" goes below the smallest coin of KWD
    "#]].assert_eq(&told);
}

#[test]
fn days_are_read_as_banks_write_them_and_never_guessed() {
    let days = [
        "2026-01-19",
        "19.01.2026",
        "2026-01-19T10:22:33",
        "2026-01-19 10:22",
        "19.01.2026 10:22",
        "01/02/2026",
        "19.1.2026",
        "2026-02-30",
        "19.01.26",
        "1026-01-19",
        "2026-01-19 soon",
        "19.01.2026 soon",
        "yesterday",
        "20260119",
    ];
    let mut told = String::new();
    for day in days {
        let read = values::date(day).map_or_else(|what| what, |date| date.to_string());
        writeln!(told, "{day:24} {read}").unwrap();
    }
    expect![[r#"
        2026-01-19               2026-01-19
        19.01.2026               2026-01-19
        2026-01-19T10:22:33      2026-01-19
        2026-01-19 10:22         2026-01-19
        19.01.2026 10:22         2026-01-19
        01/02/2026               "01/02/2026" is no day like 2026-01-19 or 19.01.2026
        19.1.2026                "19.1.2026" is no day like 2026-01-19 or 19.01.2026
        2026-02-30               "2026-02-30" is no day like 2026-01-19 or 19.01.2026
        19.01.26                 "19.01.26" is no day like 2026-01-19 or 19.01.2026
        1026-01-19               the year 1026 cannot be
        2026-01-19 soon          "2026-01-19 soon" is no day like 2026-01-19 or 19.01.2026
        19.01.2026 soon          "19.01.2026 soon" is no day like 2026-01-19 or 19.01.2026
        yesterday                "yesterday" is no day like 2026-01-19 or 19.01.2026
        20260119                 "20260119" is no day like 2026-01-19 or 19.01.2026
    "#]]
    .assert_eq(&told);
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_line_and_column() {
    check(
        "contract,reference,amount,currency,date,payer\n\
         C-1,PAY-1,100.00,RUB,2026-01-19,Hauliers\n\
         C 1,,10.001,RUR,19/01/2026,\n\
         C-1,PAY-2,5,roubles,2026-01-19,\n\
         C-1,PAY-1,90.00,RUB,2026-01-19,Hauliers\n\
         ,,105.00,,,Total\n\
         C-1\n",
        &expect![[r#"
            line 3, column "contract": "C 1" is no contract: identifier holds ' '; only letters, digits and . _ : @ * - are allowed
            line 3, column "reference": empty
            line 3, column "date": "19/01/2026" is no day like 2026-01-19 or 19.01.2026
            line 3, column "amount": "10.001" may be thousands or coins: write it without the mark, or with 2 digits after it
            line 4, column "currency": "roubles" is no currency: three letters like KZT are expected
            line 5: reference PAY-1 of contract C-1 stands on line 2 with another date, amount or payer
            line 6: no contract, no reference, no date: a total does not belong here
            line 7, column "reference": empty
            line 7, column "date": empty
            line 7, column "currency": empty
        "#]],
    );
}

#[test]
fn a_file_that_is_no_register_says_what_it_is_missing() {
    for (file, expected) in [
        (
            "",
            expect![[r#"
            the file is empty
        "#]],
        ),
        (
            "\n \n",
            expect![[r#"
            the file is empty
        "#]],
        ),
        (
            "contract;reference;amount;currency;date\n",
            expect![[r#"
            the file holds a header and no line
        "#]],
        ),
        (
            "contract;reference;amount;date\nC-1;PAY-1;5;2026-01-19\n",
            expect![[r#"
            line 1: no column for currency; there are "contract", "reference", "amount", "date": say it with --currency, or name it with --map currency=COLUMN
        "#]],
        ),
        (
            "name;value\nx;1\n",
            expect![[r#"
            line 1: no column for contract, reference, amount, currency, date; there are "name", "value": name it with --map contract=COLUMN
        "#]],
        ),
        (
            "PK\u{3}\u{4}\0\0",
            expect![[r#"
            the file holds bytes that are no text
        "#]],
        ),
    ] {
        check(file, &expected);
    }
}

#[test]
fn the_same_line_twice_is_one_payment_sent_twice() {
    check(
        "contract,reference,amount,currency,date\nC-1,PAY-1,5,RUB,2026-01-19\nC-1,PAY-1,5.00,RUB,19.01.2026\n",
        &expect![[r#"
            2: C-1 PAY-1 500 RUB 2026-01-19 []
            3: C-1 PAY-1 500 RUB 2026-01-19 []
        "#]],
    );
}
