//! What stations tell of their tanks besides readings.

use expect_test::{Expect, expect};
use model::{Chart, ChartPoint, DeciMillimetres, DeliveryTicket, Millilitres, PumpSale, TankSetup};

use super::*;

const SETUP: &str = r#"{"v":1,"product":"DIESEL","density_15":8350,"capacity_ml":30000000,"expected_interval_s":60,
    "charts":[{"chart":{"points":[{"height_dmm":0,"volume_ml":0},{"height_dmm":12500,"volume_ml":15000000},
    {"height_dmm":25000,"volume_ml":30000000}]}}],"thresholds":{"low_ml":3000000,"high_ml":28500000},"sales_are_known":true}"#;
const CYLINDER: &str = r#"{"v":1,"product":"LPG","group":"lpg","capacity_ml":10000000,"charts":[{"chart":
    {"horizontal_cylinder":{"diameter_dmm":20000,"length_dmm":31831,"tilt_e4":50,"probe_dmm":4000}}}]}"#;
const SALE: &str = r#"{"v":1,"id":"R-17","at_us":5,"product":"DIESEL","pump":4,"volume_ml":40000}"#;
const TICKET: &str = r#"{"v":1,"id":"TTN-9","volume_ml":12000000}"#;

fn setup(text: &str) -> Result<TankSetup, Refusal> {
    match reading("fuel/v1/S-1/3/setup", text.as_bytes(), ARRIVAL)? {
        DeviceMessage::Setup(setup) => Ok(*setup),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tank_is_registered_by_one_message_from_its_arrival_on() {
    let registered = setup(SETUP).unwrap();
    assert_eq!((registered.site.as_str(), registered.tank.as_str(), registered.at_us), ("S-1", "3", ARRIVAL));
    let Chart::Points(points) = &registered.charts[0].chart else { panic!("{registered:?}") };
    let middle = ChartPoint { height_dmm: DeciMillimetres(12_500), volume_ml: Millilitres::from_litres(15_000) };
    assert_eq!(points[1], middle);
    let dated = setup(&SETUP.replacen('{', r#"{"at_us":5,"#, 1)).unwrap();
    assert_eq!(dated, TankSetup { at_us: TimestampUs::from_micros(5), ..registered });
    assert!(setup(CYLINDER).is_ok());
}

#[test]
fn a_strapping_table_may_be_longer_than_a_reading() {
    let points: Vec<String> =
        (0..1_400).map(|mm| format!(r#"{{"height_dmm":{},"volume_ml":{}}}"#, mm * 20, mm * 21_000)).collect();
    let table = |points: &[String]| {
        format!(
            r#"{{"v":1,"product":"DIESEL","capacity_ml":30000000,"charts":[{{"chart":{{"points":[{}]}}}}]}}"#,
            points.join(",")
        )
    };
    let long = table(&points);
    assert!((READING_BYTES_MAX..=SETUP_BYTES_MAX).contains(&long.len()), "{} bytes", long.len());
    assert_eq!(payload_bytes_max("fuel/v1/S-1/3/setup"), SETUP_BYTES_MAX);
    assert!(setup(&long).is_ok());
    check_detail(
        setup(&format!("{long}{}", " ".repeat(SETUP_BYTES_MAX))),
        &expect!["too_large: 123329 bytes, at most 65536 are accepted"],
    );
}

#[test]
fn a_refused_registration_names_its_field() {
    let check = |text: &str, from: &str, to: &str, expected: Expect| {
        assert!(text.contains(from), "{from}");
        check_detail(setup(&text.replacen(from, to, 1)), &expected);
    };
    check(SETUP, r#""capacity_ml":30000000,"#, "", expect!["shape: missing field `capacity_ml` at line 3 column 124"]);
    check(SETUP, "30000000", "0", expect!["value: capacity_ml: 0"]);
    check(
        SETUP,
        "\"density_15\":8350",
        "\"density_15\":835",
        expect!["value: density_15: 835, from 3000 to 12000 is possible (tenths of kg/m³)"],
    );
    check(SETUP, "\"expected_interval_s\":60", "\"expected_interval_s\":0", expect!["value: expected_interval_s: 0"]);
    check(SETUP, "\"expected_interval_s\":60", "\"grace_s\":0", expect!["value: grace_s: 0"]);
    check(
        SETUP,
        "\"expected_interval_s\":60",
        "\"expected_interval_s\":60000000",
        expect!["value: expected_interval_s: 60000000, at most 2678400 is possible"],
    );
    check(
        SETUP,
        "\"expected_interval_s\":60",
        "\"safe_fill\":10001",
        expect!["value: safe_fill: 10001, from 1 to 10000 is possible (hundredths of a percent)"],
    );
    check(SETUP, "\"expected_interval_s\":60", "\"truck_ml\":0", expect!["value: truck_ml: 0"]);
    check(
        SETUP,
        "\"expected_interval_s\":60",
        "\"lead_time_hours\":100000",
        expect!["value: lead_time_hours: 100000, at most 8784 is possible"],
    );
    check(
        SETUP,
        "\"expected_interval_s\":60",
        "\"utc_offset_min\":-900",
        expect!["value: utc_offset_min: -900 minutes, at most 840 either way"],
    );
    check(
        SETUP,
        "\"expected_interval_s\":60",
        "\"swappable\":[\"height\",\"percent\"]",
        expect!["value: swappable[1]: volume, height, water and temperature can be put back, no others"],
    );
    check(
        SETUP,
        "\"expected_interval_s\":60",
        "\"swappable\":[\"height\",\"water\",\"height\"]",
        expect!["value: swappable[2]: named twice"],
    );
    check(
        SETUP,
        "\"expected_interval_s\":60",
        "\"group\":\"jet\"",
        expect![
            "shape: group: unknown variant `jet`, expected one of `products`, `gasoline`, `transition`, `kerosene`, `fuel_oil`, `crude`, `lpg`, `coefficient` at line 1 column 80"
        ],
    );
    check(
        SETUP,
        "\"low_ml\":3000000",
        "\"low_ml\":28500000",
        expect!["value: thresholds.high_ml: 28500000, not above low_ml"],
    );
    check(
        SETUP,
        "\"high_ml\":28500000",
        "\"high_ml\":30000001",
        expect!["value: thresholds.high_ml: 30000001, at most 30000000 is possible"],
    );
    check(SETUP, "\"low_ml\":3000000", "\"loss_min_ml\":0", expect!["value: thresholds.loss_min_ml: 0"]);
    check(SETUP, "\"low_ml\":3000000", "\"leak_ml_per_hour\":0", expect!["value: thresholds.leak_ml_per_hour: 0"]);
    check(SETUP, "12500", "25000", expect!["value: charts[0].chart.points[2].height_dmm: 25000 does not rise"]);
    check(SETUP, "15000000", "30000000", expect!["value: charts[0].chart.points[2].volume_ml: 30000000 does not rise"]);
    check(
        SETUP,
        "25000,",
        "500001,",
        expect!["value: charts[0].chart.points[2].height_dmm: 500001, at most 500000 is possible"],
    );
    check(
        SETUP,
        "\"height_dmm\":12500",
        "\"height_dmm\":-1",
        expect![
            "shape: charts[0].chart.points[1].height_dmm: invalid value: integer `-1`, expected u32 at line 2 column 81"
        ],
    );
    check(
        SETUP,
        r#"{"chart":"#,
        r#"{"chart":{"points":[]}},{"chart":"#,
        expect!["value: charts[0].chart.points: 0, at least 2 make a table"],
    );
    check(
        SETUP,
        r#"{"chart":"#,
        r#"{"from_us":0,"chart":{"horizontal_cylinder":{"diameter_dmm":1,"length_dmm":1}}},{"chart":"#,
        expect!["value: charts[1].from_us: another table holds from the same moment"],
    );
    check(CYLINDER, "20000", "0", expect!["value: charts[0].chart.horizontal_cylinder.diameter_dmm: 0"]);
    check(
        CYLINDER,
        "31831",
        "500001",
        expect!["value: charts[0].chart.horizontal_cylinder.length_dmm: 500001, at most 500000 is possible"],
    );
    check(
        CYLINDER,
        "\"tilt_e4\":50",
        "\"tilt_e4\":-1001",
        expect!["value: charts[0].chart.horizontal_cylinder.tilt_e4: -1001, at most 1000 either way"],
    );
    check(
        CYLINDER,
        "\"probe_dmm\":4000",
        "\"probe_dmm\":31832",
        expect!["value: charts[0].chart.horizontal_cylinder.probe_dmm: 31832, at most 31831 is possible"],
    );
}

#[test]
fn a_sale_and_a_ticket_know_their_site_from_the_topic() {
    let (site, at_us) = (SiteId::new("S-1").unwrap(), TimestampUs::from_micros(5));
    let id = |text: &str| model::IdempotencyKey::new(text).unwrap();
    let sale = PumpSale {
        site: site.clone(),
        id: id("R-17"),
        at_us,
        product: model::ProductCode::new("DIESEL").unwrap(),
        tank: None,
        pump: Some(4),
        volume_ml: Millilitres::from_litres(40),
    };
    assert_eq!(reading("fuel/v1/S-1/sale", SALE.as_bytes(), ARRIVAL), Ok(DeviceMessage::Sale(sale)));
    let ticket = DeliveryTicket {
        site,
        tank: TankId::new("3").unwrap(),
        id: id("TTN-9"),
        at_us: ARRIVAL,
        volume_ml: Millilitres::from_litres(12_000),
    };
    assert_eq!(reading("fuel/v1/S-1/3/ticket", TICKET.as_bytes(), ARRIVAL), Ok(DeviceMessage::Ticket(ticket)));
}

#[test]
fn a_sale_or_a_ticket_of_nothing_is_refused() {
    let sold = SALE.replace("40000", "0");
    check_detail(reading("fuel/v1/S-1/sale", sold.as_bytes(), ARRIVAL), &expect!["value: volume_ml: 0"]);
    let brought = TICKET.replace("12000000", "0");
    check_detail(reading("fuel/v1/S-1/3/ticket", brought.as_bytes(), ARRIVAL), &expect!["value: volume_ml: 0"]);
    let nameless = TICKET.replace("TTN-9", "");
    check_detail(
        reading("fuel/v1/S-1/3/ticket", nameless.as_bytes(), ARRIVAL),
        &expect!["shape: id: identifier is empty at line 1 column 14"],
    );
    check_detail(
        reading("fuel/v1/S-1/3/sale", SALE.as_bytes(), ARRIVAL),
        &expect![[
            r#"address: topic "fuel/v1/S-1/3/sale" is neither fuel/v1/{site}/{tank}/ with reading, setup, ticket or veeder-root nor fuel/v1/{site}/ with status or sale"#
        ]],
    );
}
