use std::convert::Infallible;
use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A mapping as its TOML gives it: Russian headers, a comma before the decimals.
fn mapping(changes: &Value) -> Mapping {
    let mut mapping = json!({
        "separator": ";",
        "decimal": "comma",
        "site": { "column": "АЗС" },
        "tank": { "column": "Резервуар" },
        "product": "DIESEL",
        "time": { "column": "Дата", "format": "%d.%m.%Y %H:%M", "zone": "Asia/Almaty" },
        "values": {
            "height": { "column": "Уровень, см", "unit": "cm" },
            "volume": { "column": "Объём, л" },
            "temperature": { "column": "Т" },
        },
        "unknown": ["н/д", "-9999"],
    });
    let (Value::Object(all), Value::Object(changes)) = (&mut mapping, changes) else { panic!("two objects") };
    for (key, value) in changes {
        if value.is_null() {
            all.remove(key)
        } else {
            all.insert(key.clone(), value.clone())
        };
    }
    serde_json::from_value(mapping).expect("a mapping")
}

const FILE: &str = "АЗС;Резервуар;Дата;Уровень, см;Объём, л;Т\n\
    АЗС-1;1;14.01.2026 22:31;123,45;12 345,678;-4,5\n\
    АЗС-1;1;14.01.2026 22:36;123,4;12 300;н/д\n\
    \n\
    АЗС-1;2;14.01.2026 22:31;;-9999;21\n";

/// The readings, or all that is wrong.
fn told(file: &[u8], mapping: &Mapping) -> String {
    let mut text = String::new();
    match check(file, mapping, |_| {}) {
        Err(Problems { first, count }) => {
            first.iter().for_each(|problem| writeln!(text, "{problem}").unwrap());
            if count != first.len() as u64 {
                writeln!(text, "{count} in all").unwrap();
            }
        }
        Ok(summary) => {
            let mut seen = 0;
            let imported = readings(file, mapping, |reading, _| {
                seen += 1;
                writeln!(text, "{}", line(&reading)).unwrap();
                Ok::<(), Infallible>(())
            });
            assert_eq!((seen, imported.unwrap().rows), (summary.rows, summary.rows));
            writeln!(text, "{} rows, {} tanks, {} left out", summary.rows, summary.tanks, summary.left_out).unwrap();
        }
    }
    text
}

fn line(reading: &Reading) -> String {
    let mut value = serde_json::to_value(reading).unwrap();
    let fields = value.as_object_mut().unwrap();
    let names = ["site", "tank", "product"].map(|name| fields.remove(name).unwrap());
    let at = reading.measured_at_us;
    fields.retain(|name, value| name != "measured_at_us" && *value != json!(0));
    format!("{at} {} {}", names.map(|name| name.as_str().unwrap().to_owned()).join("/"), value)
}

fn check_file(file: &str, changes: &Value, expected: &Expect) {
    expected.assert_eq(&told(file.as_bytes(), &mapping(changes)));
}

#[test]
fn a_russian_export_is_read_in_utf_8_and_in_cp1251() {
    let expected = expect![[r#"
        2026-01-14T17:31:00Z АЗС-1/1/DIESEL {"height_dmm":12345,"historical":true,"temperature_cc":-450,"volume_ml":12345678}
        2026-01-14T17:36:00Z АЗС-1/1/DIESEL {"height_dmm":12340,"historical":true,"volume_ml":12300000}
        2026-01-14T17:31:00Z АЗС-1/2/DIESEL {"historical":true,"temperature_cc":2100}
        3 rows, 2 tanks, 0 left out
    "#]];
    expected.assert_eq(&told(FILE.as_bytes(), &mapping(&json!({}))));
    expected.assert_eq(&told(format!("\u{feff}{FILE}").as_bytes(), &mapping(&json!({}))));
    let (cp1251, ..) = encoding_rs::WINDOWS_1251.encode(FILE);
    expected.assert_eq(&told(&cp1251, &mapping(&json!({ "encoding": "windows-1251" }))));
    expected.assert_eq(&told(FILE.replace('\n', "\r\n").as_bytes(), &mapping(&json!({}))));
}

#[test]
fn units_become_millilitres_tenths_of_a_millimetre_and_hundredths_of_a_degree() {
    let changes = json!({
        "separator": ",", "decimal": "point", "skip_lines": 2, "historical": false,
        "site": "S-1", "tank": { "column": "tank" }, "product": { "column": "fuel" },
        "time": { "column": "date", "clock_column": "clock", "format": "%Y-%m-%d %H:%M:%S", "zone": "UTC" },
        "values": {
            "volume": { "column": "gal", "unit": "gal_us" }, "height": { "column": "in", "unit": "in" },
            "temperature": { "column": "F", "unit": "f" }, "density": { "column": "rho", "unit": "g_cm3" },
            "percent": { "column": "%" }, "status": { "column": "st" }, "ullage": { "column": "free", "unit": "m3" },
        },
    });
    check_file(
        "Tank report\nprinted \"today\"\ndate,clock,tank,fuel,gal,in,F,rho,%,st,free\n\
         2026-01-14,22:31:07,3,REG UNL,1000,40.03,59,0.8441,85.5,1,12.5\n\
         2026-01-14,22:31:08,3,REG UNL,-5,1e3,59,0.8441,85.5,300,\n",
        &changes,
        &expect![[r#"
            line 5, column "in": "1e3" is no figure
        "#]],
    );
    check_file(
        "a\nb\ndate,clock,tank,fuel,gal,in,F,rho,%,st,free\n\
         2026-01-14,22:31:07,3,REG UNL,1000,40.03,59,0.8441,85.5,1,12.5\n\
         2026-01-14,22:31:08,3,REG UNL,-5,,-40,,,300,\n",
        &changes,
        &expect![[r#"
            2026-01-14T22:31:07Z S-1/3/REG-UNL {"density_e1":8441,"height_dmm":10168,"percent_e2":8550,"status":1,"temperature_cc":1500,"ullage_ml":12500000,"volume_ml":3785412}
            2026-01-14T22:31:08Z S-1/3/REG-UNL {"temperature_cc":-4000}
            2 rows, 1 tanks, 2 left out
        "#]],
    );
}

#[test]
fn everything_that_is_wrong_is_told_with_line_and_column_and_nothing_is_given_on() {
    check_file(
        "АЗС;Резервуар;Дата;Уровень, см;Объём, л;Т\n\
         АЗС-1;1;2026-01-14 22:31;12x;1.5;--\n\
         АЗС 1;1;14.01.2026 22:31;1;1;1\n\
         АЗС-1;;31.02.2026 22:31;1;1;1\n\
         АЗС-1;1;14.01.2026 22:31;1;1\n",
        &json!({}),
        &expect![[r#"
            line 2, column "Дата": "2026-01-14 22:31" is no time like %d.%m.%Y %H:%M
            line 2, column "Уровень, см": "12x" is no figure
            line 2, column "Объём, л": "1.5": is '.' its decimal mark? Then say decimal = "point" in the mapping
            line 2, column "Т": "--" is no figure
            line 3, column "АЗС": "АЗС 1" names no site: identifier holds ' '; only letters, digits and . _ : @ * - are allowed
            line 4, column "Резервуар": "" names no tank: identifier is empty
            line 4, column "Дата": "31.02.2026 22:31" is no time like %d.%m.%Y %H:%M
            line 5: 5 columns, the header has 6
        "#]],
    );
}

#[test]
fn another_separator_encoding_or_missing_column_is_named() {
    check_file(
        &FILE.replace(';', "|"),
        &json!({}),
        &expect![[r#"
            line 1: no column "АЗС"; there are "АЗС|Резервуар|Дата|Уровень, см|Объём, л|Т": is '|' the separator?
        "#]],
    );
    check_file(
        &FILE.replace("Объём, л", "Объём"),
        &json!({}),
        &expect![[r#"
            line 1: no column "Объём, л"; there are "АЗС", "Резервуар", "Дата", "Уровень, см", "Объём", "Т"
        "#]],
    );
    let (cp1251, ..) = encoding_rs::WINDOWS_1251.encode(FILE);
    expect![[r"
        the file cannot be read: byte 0 of the file is not UTF-8
    "]]
    .assert_eq(&told(&cp1251, &mapping(&json!({}))));
    check_file(
        "",
        &json!({}),
        &expect![[r"
        the file ends before its header
    "]],
    );
    check_file(
        "АЗС;Резервуар;Дата;Уровень, см;Объём, л;Т\n",
        &json!({}),
        &expect![[r"
        the file holds a header and no line
    "]],
    );
    let time = json!({ "column": "Дата", "format": "%d.%m.%Y %H:%M" });
    check_file(
        FILE,
        &json!({ "time": time }),
        &expect![[r#"
        time.zone is not in the mapping, and "%d.%m.%Y %H:%M" has no offset: which clock is it?
    "#]],
    );
    check_file(
        FILE,
        &json!({ "values": { "temperature": { "column": "Т", "unit": "mm" } } }),
        &expect![[r"
        line 1: Millimetre is no unit of Temperature
    "]],
    );
}

#[test]
fn an_owner_with_suddenly_too_many_tanks_stops_the_file() {
    let mut file = "АЗС;Резервуар;Дата;Уровень, см;Объём, л;Т\n".to_owned();
    for tank in 1..=5 {
        writeln!(file, "АЗС-1;{tank};14.01.2026 22:31;1;1;1").unwrap();
        writeln!(file, "АЗС-1;{tank};14.01.2026 22:32;1;1;1").unwrap();
    }
    check_file(
        &file,
        &json!({ "tanks_max": 3 }),
        &expect![[r"
            line 8: АЗС-1 has more than 3 tanks, the next is 4 at АЗС-1: do these rows belong to it? If they do, raise tanks_max in the mapping
        "]],
    );
    let owned = file.replace("АЗС;", "Клиент;АЗС;").replace("АЗС-1;", "a@b.example;АЗС-1;");
    let changes = json!({ "tanks_max": 4, "owner": { "column": "Клиент" } });
    assert!(told(owned.as_bytes(), &mapping(&changes)).starts_with("line 10: a@b.example has more than 4 tanks"));
    assert!(told(owned.as_bytes(), &mapping(&json!({ "tanks_max": 5 }))).contains("10 rows, 5 tanks"));
}

#[test]
fn a_quotation_mark_that_nobody_closes_does_not_swallow_the_file() {
    let mut file = FILE.replace("123,45", "\"123,45");
    while file.len() < 4 * LINE_BYTES_MAX {
        file.push_str("АЗС-1;1;14.01.2026 22:31;123,45;12 345,678;-4,5\n");
    }
    let told = told(file.as_bytes(), &mapping(&json!({})));
    assert!(told.contains("a line does not end: is a quotation mark not closed?"), "{told}");
}

#[test]
fn problems_are_counted_beyond_those_that_are_shown() {
    let mut file = "АЗС;Резервуар;Дата;Уровень, см;Объём, л;Т\n".to_owned();
    for _ in 0..1_000 {
        file.push_str("АЗС-1;1;14.01.2026 22:31;1;1;x\n");
    }
    let problems = check(file.as_bytes(), &mapping(&json!({})), |_| {}).expect_err("problems");
    assert_eq!((problems.first.len(), problems.count), (PROBLEMS_MAX, 1_000));
}

#[test]
fn times_of_devices_are_read_as_they_write_them() {
    let at = |format: &str, zone: Value, text: &str| {
        let time = json!({ "column": "Дата", "format": format, "zone": zone });
        let file = format!("АЗС;Резервуар;Дата;Уровень, см;Объём, л;Т\nS;1;{text};1;1;1\n");
        told(file.as_bytes(), &mapping(&json!({ "time": time }))).split(' ').next().unwrap_or_default().to_owned()
    };
    assert_eq!(at("%Y-%m-%dT%H:%M:%S%:z", Value::Null, "2026-01-14T22:31:07+05:00"), "2026-01-14T17:31:07Z");
    assert_eq!(at("unix", Value::Null, "1768411867"), "2026-01-14T17:31:07Z");
    assert_eq!(at("unix_ms", Value::Null, "1768411867250"), "2026-01-14T17:31:07.25Z");
    assert_eq!(at("%d.%m.%y %H:%M", json!("Europe/Moscow"), "14.07.26 12:00"), "2026-07-14T09:00:00Z");
    assert_eq!(at("unix", Value::Null, "99999999999999"), "line");
}

proptest! {
    #[test]
    fn no_bytes_make_a_panic(file in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = told(&[FILE.lines().next().unwrap().as_bytes(), b"\n", &file].concat(), &mapping(&json!({})));
        let _ = told(&file, &mapping(&json!({ "encoding": "windows-1251" })));
    }

    /// Litres with three decimals are exact.
    #[test]
    fn figures_do_not_pass_through_floating_point(ml in 0_u64..1_000_000_000_000, dmm in 0_u32..500_000) {
        let cell = format!("{},{:03}", ml / 1000, ml % 1000);
        let height = format!("{},{:01}", dmm / 100, dmm % 100 / 10);
        let file = format!("АЗС;Резервуар;Дата;Уровень, см;Объём, л;Т\nS;1;14.01.2026 22:31;{height};{cell};\n");
        let mut found = None;
        readings(file.as_bytes(), &mapping(&json!({})), |reading, _| {
            found = Some((reading.volume_ml.unwrap().get(), reading.height_dmm.unwrap().0));
            Ok::<(), Infallible>(())
        }).unwrap();
        prop_assert_eq!(found, Some((ml, dmm / 10 * 10)));
    }
}
