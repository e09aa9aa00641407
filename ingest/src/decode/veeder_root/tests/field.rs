//! Display replies in the shapes that consoles of several makes and languages print; names of stations are made up.

use expect_test::{Expect, expect};
use jiff::civil::date;

use super::console::reply_text;
use super::{refused, reply};

fn check(text: &str, expected: &Expect) {
    let payload = format!("\u{1}{}\u{3}", text.replace('\n', "\r\n"));
    let found = reply(payload.as_bytes()).map_or_else(|_| refused(payload.as_bytes()), |reply| reply_text(&reply));
    expected.assert_eq(&found);
}

#[test]
fn an_american_console_prints_gallons_inches_and_am() {
    let text = "\nI20100\nJUL  1, 2016 10:37 AM\n\nA STATION\n12 SOME HWY.\nATOWN TN 37755\n\n\nIN-TANK INVENTORY       \n\n\
        TANK PRODUCT             VOLUME TC VOLUME   ULLAGE   HEIGHT    WATER     TEMP\n\
        \u{20} 1  REG UNL               6741      6687     5327    64.77     0.84    71.19\n\
        \u{20} 2  SUPER TANK            2155         0     5828    37.52     0.00    70.01\n\n\n";
    check(
        text,
        &expect![[r"
        tank 1 'REG UNL' status 0: 6741 (6687) free 5327 height 64.77 water 0.84/- at 71.19
        tank 2 'SUPER TANK' status 0: 2155 (-) free 5828 height 37.52 water 0/- at 70.01
    "]],
    );
    assert_eq!(reply(text.as_bytes()).unwrap().console_times, [date(2016, 7, 1).at(10, 37, 0, 0)]);
}

#[test]
fn a_column_without_a_probe_stays_empty_and_a_label_may_end_in_figures() {
    check(
        "\nI20100\n07/01/16 10:36 AM\n\n833819 Somebody     \n\n\nIN-TANK INVENTORY\n\n\
        TANK PRODUCT               VOLUME TC-VOLUME   ULLAGE   HEIGHT    WATER    TEMP\n\
        \u{20} 1  ENERGY 5000 T 11       43920     43713    31823  1646.34     0.00   20.82\n\
        \u{20} 7  diesel exhaust 100 L   12983     13008    12033  1257.51            12.60\n",
        &expect![[r"
            tank 1 'ENERGY 5000 T 11' status 0: 43920 (43713) free 31823 height 1646.34 water 0/- at 20.82
            tank 7 'diesel exhaust 100 L' status 0: 12983 (13008) free 12033 height 1257.51 water -/- at 12.6
        "]],
    );
}

#[test]
fn german_french_and_spanish_consoles_are_read_by_their_figures() {
    check(
        "\nI20100\n    16-07-18 18:57   \n\nEine Tankstelle      \nam Markt             \n\nBESTANDSBERICHT\n\n\
        TANK   PRODUKT              VOLUMEN   TC VOLUME  L.RAUM   HOEHE WASSER   TEMP\n\
        \u{20}  1   DIESEL                 16594       16589   31906     911      0   18.2\n\
        \u{20}  2   DIESEL                     0           -   50000       0      0  -72.8\n",
        &expect![[r"
            tank 1 'DIESEL' status 0: 16594 (16589) free 31906 height 911 water 0/- at 18.2
            tank 2 'DIESEL' status 0: 0 (-) free 50000 height 0 water 0/- at -72.8
        "]],
    );
    check(
        "\nI20100\n    21-04-18  4:38\n\n831912 UNE STATION  \n\nINVENT INTERNE          \n\n\
        CUVE PRODUIT             VOLUME TC VOLUME   CREUX     HAUT      EAU      TEMP\n\
        \u{20} 1  GO   20 M3            8561      8527    10438   1312.9      0.0    19.84\n\
        \u{20} 4  FODH 50 M3           41793     41941     5206   2316.9      0.0    10.59\n",
        &expect![[r"
            tank 1 'GO 20 M3' status 0: 8561 (8527) free 10438 height 1312.9 water 0/- at 19.84
            tank 4 'FODH 50 M3' status 0: 41793 (41941) free 5206 height 2316.9 water 0/- at 10.59
        "]],
    );
    check(
        "\nI20100\n    02-07-17 20:02\n\nINVENTARIO EN TANQUE    \n\n\
        PRODUCTO TANQ              VOL    VOL CT    POR LL   ALTURA    AGUA      TEMP\n\
        \u{20} 1  G.A.1                20238     20158    20447   1232,1      0,0    20,26\n\
        \u{20} 4  AGUA HIDROCARBURADA    893       889     4322    440,4             18,35\n",
        &expect![[r"
            tank 1 'G.A.1' status 0: 20238 (20158) free 20447 height 1232.1 water 0/- at 20.26
            tank 4 'AGUA HIDROCARBURADA' status 0: 893 (889) free 4322 height 440.4 water -/- at 18.35
        "]],
    );
}

#[test]
fn a_date_that_may_be_american_or_european_is_both() {
    let at = |line: &str| {
        reply(
            format!(
                "\nI20500\n{line}\n\nTANK   PRODUCT                 STATUS\n\n  1    DIESEL                  NORMAL\n"
            )
            .as_bytes(),
        )
        .unwrap()
        .console_times
    };
    assert_eq!(at("02-07-17 20:02"), [date(2017, 2, 7).at(20, 2, 0, 0), date(2017, 7, 2).at(20, 2, 0, 0)]);
    assert_eq!(at("30/08/19  2:44"), [date(2019, 8, 30).at(2, 44, 0, 0)]);
    assert_eq!(at("JUN 20, 2023 12:12 AM"), [date(2023, 6, 20).at(0, 12, 0, 0)]);
    assert_eq!(at("05/30/2018 19:15"), [date(2018, 5, 30).at(19, 15, 0, 0)]);
    assert_eq!(at("ENE 20, 2023 12:12"), []);
    assert_eq!(at("45/45/19 12:12"), []);
}

#[test]
fn a_status_report_names_its_alarms() {
    check(
        "\nI20500\n05/30/2018 19:17\n\nA STATION\n\nTANK   PRODUCT                 STATUS\n\n  1    SUPER                   NORMAL\n\n\
        \u{20} 2    UNLEAD                  HIGH WATER ALARM   \n                               HIGH WATER WARNING \n\n\
        \u{20} 3    DIESEL 10               PROBE OUT\n\n  4    PREMIUM                 ALGO NUEVO\n",
        &expect![[r#"
            tank 1 alarms []
            tank 2 alarms [Numbered(3), Numbered(10)]
            tank 3 alarms [Numbered(9)]
            tank 4 alarms [Named("ALGO NUEVO")]
        "#]],
    );
}

#[test]
fn a_printed_reply_that_is_cut_off_or_another_is_refused_with_its_line() {
    let row = "  1  REGULAR               5289      5250     6338    40.03     0.00    70.24";
    check(
        &format!("\nI20100\nJUL  1, 2016 10:34 AM\n\n{}", &row[..50]),
        &expect!["shape: line 4: tank 1 has 3 figures of 6"],
    );
    check(&format!("\nI20100\n\n{row}\n{row}\n"), &expect!["shape: line 4: tank 1 for the second time"]);
    check(
        "\nI20100\nJUL  1, 2016 10:34 AM\n\nA STATION\n",
        &expect!["shape: line 4: the reply ends without a row of a tank"],
    );
    check(
        "\nI20200\n",
        &expect![[
            r#"shape: line 1: "I202" is not read: I201 and I205 are; ask for the others in computer format (i202 …)"#
        ]],
    );
    let five = "  1  REGULAR               5289      5250     6338    40.03    70.24";
    check(
        &format!("\nI20100\n\n{five}\n"),
        &expect!["shape: line 3: tank 1 has 5 figures of 6, and it does not show which are meant"],
    );
}
