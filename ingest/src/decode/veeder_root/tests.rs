//! Replies as a small console of our own writes them, and as consoles in the field have printed them.

mod console;
mod field;

use expect_test::expect;
use jiff::civil::date;
use proptest::prelude::*;

use super::super::units::Units;
use super::clock::ConsoleClock;
use super::*;
use console::{alarms, chart, checksum, delivery, framed, inventory, reply_text};

/// Reason and detail of a refusal.
fn refused(payload: &[u8]) -> String {
    let (reason, detail) = reply(payload).expect_err("a refusal");
    format!("{}: {detail}", reason.as_str())
}

#[test]
fn the_checksum_and_the_floats_are_the_manuals() {
    assert_eq!(checksum(b"\x019999"), 0xFF1B);
    assert_eq!(console::float(1234.5), "449A5000");
}

#[test]
fn one_inventory_reply_tells_of_all_tanks() {
    let payload = framed(
        "i201002601142231",
        &[
            inventory(1, '1', 0x0001, &[12_345.5, 12_200.25, 7_654.5, 1_234.5, 12.0, 8.5, 14.25]),
            inventory(2, '3', 0x0000, &[0.0, 0.0, 20_000.0, 0.0, 0.0, 7.5, 0.0]),
        ],
    );
    let reply = reply(&payload).expect("a reply");
    assert_eq!(reply.console_times, [date(2026, 1, 14).at(22, 31, 0, 0)]);
    expect![[r"
        tank 1 '1' status 1: 12345.5 (12200.25) free 7654.5 height 1234.5 water 12/14.25 at 8.5
        tank 2 '3' status 0: 0 (0) free 20000 height 0 water 0/0 at 7.5
    "]]
    .assert_eq(&reply_text(&reply));
}

#[test]
fn deliveries_have_a_beginning_and_an_end() {
    let figures = [5_000.0, 4_950.0, 10.0, 9.5, 25_000.0, 24_800.0, 11.0, 12.25, 800.0, 1_900.5];
    let payload = framed(
        "i202002601142231",
        &[
            format!(
                "011{:02}{}{}",
                2,
                delivery("2601131000", "2601131040", &figures),
                delivery("2601140800", "2601140812", &figures)
            ),
            "02200".to_owned(),
        ],
    );
    expect![[r"
        tank 1 2026-01-13T10:00:00 5000 (4950) at 9.5 height 800 -> 2026-01-13T10:40:00 25000 (24800) at 12.25 height 1900.5
        tank 1 2026-01-14T08:00:00 5000 (4950) at 9.5 height 800 -> 2026-01-14T08:12:00 25000 (24800) at 12.25 height 1900.5
    "]]
    .assert_eq(&reply_text(&reply(&payload).expect("a reply")));
    let newest = framed("i20C012601142231", &[format!("01101{}", delivery("2601131000", "2601131040", &figures))]);
    assert!(matches!(reply(&newest).expect("a reply").report, Report::Deliveries(found) if found.len() == 1));
}

#[test]
fn alarms_come_with_the_time_and_without() {
    let tanks = [alarms(1, &[3, 10]), alarms(2, &[])];
    let expected = expect![[r"
        tank 1 alarms [Numbered(3), Numbered(10)]
        tank 2 alarms []
    "]];
    let dated = reply(&framed("i205002601142231", &tanks)).expect("a reply");
    expected.assert_eq(&reply_text(&dated));
    assert_eq!(dated.console_times.len(), 1);
    let undated = reply(&framed("i20500", &tanks)).expect("a reply");
    expected.assert_eq(&reply_text(&undated));
    assert!(undated.console_times.is_empty());
}

#[test]
fn a_chart_is_taken_in_either_order_and_only_when_it_is_one() {
    let points: Vec<(f32, f32)> =
        (1..=50_u8).map(|n| (f32::from(n) * 50.0, f32::from(n) * f32::from(n) * 10.0)).collect();
    let interleaved: Vec<f32> = points.iter().flat_map(|(height, volume)| [*height, *volume]).chain([1.5]).collect();
    let listed: Vec<f32> = points.iter().map(|point| point.0).chain(points.iter().map(|point| point.1)).collect();
    for figures in [interleaved, listed] {
        let Report::Charts(charts) = reply(&framed("i216012601142231", &[chart(1, &figures)])).expect("a reply").report
        else {
            panic!("a chart")
        };
        assert_eq!((charts[0].points.len(), charts[0].points[49]), (50, (2_500.0, 25_000.0)));
    }
    let falling = framed("i216012601142231", &[chart(1, &[100.0, 10.0, 200.0, 30.0, 300.0, 20.0])]);
    expect!["shape: at byte 17: heights and volumes do not rise in equal steps of height: this is no chart"]
        .assert_eq(&refused(&falling));
}

#[test]
fn what_a_converter_eats_from_the_frame_is_not_missed() {
    let whole = framed("i201012601142231", &[inventory(1, '1', 0, &[1.0; 7])]);
    let bare = &whole[1..whole.len() - 1];
    assert_eq!(reply(bare).expect("a reply"), reply(&whole).expect("a reply"));
    let spaced = [b"\r\n", &whole[..], b"\r\n"].concat();
    assert_eq!(reply(&spaced).expect("a reply"), reply(&whole).expect("a reply"));
}

#[test]
fn a_console_that_did_not_understand_is_no_tank() {
    let expected = "device: the console answered 9999: it did not understand the request, or its security code";
    for payload in [&b"\x019999FF1B\x03"[..], b"9999FF1B\n"] {
        assert_eq!(refused(payload), expected);
    }
    expect!["checksum: 9999 is not followed by its checksum FF1B"].assert_eq(&refused(b"\x019999FF1C\x03"));
}

#[test]
fn a_damaged_reply_is_refused_with_its_place() {
    let whole = framed("i201012601142231", &[inventory(1, '1', 0, &[1.0; 7])]);
    let changed = |place: usize, byte: u8| {
        let mut payload = whole.clone();
        payload[place] = byte;
        refused(&payload)
    };
    expect!["checksum: the checksum at byte 84 is EF40, the bytes make EF2A"].assert_eq(&changed(40, b'F'));
    expect!["shape: at byte 87: 'x' in the checksum is no digit"].assert_eq(&changed(87, b'x'));
    expect!["shape: at byte 20: the reply ends without && and a checksum"].assert_eq(&refused(&whole[..20]));
    expect!["shape: at byte 0: '{' begins no reply: i, I or 9999 is expected"].assert_eq(&refused(b"{}"));
    expect!["empty: no payload"].assert_eq(&refused(b"\x01\r\n"));
    // What is wrong in the data itself, under a checksum that fits.
    expect!["shape: at byte 7: the console's time 2613142231 is no date"]
        .assert_eq(&refused(&framed("i201012613142231", &[])));
    expect!["shape: at byte 17: a tank has the number 00, which means all of them"]
        .assert_eq(&refused(&framed("i201012601142231", &[inventory(0, '1', 0, &[1.0; 7])])));
    expect!["shape: at byte 24: the inventory of a tank has 3 figures, at least 6 are expected"]
        .assert_eq(&refused(&framed("i201012601142231", &[inventory(1, '1', 0, &[1.0; 3])])));
    expect!["shape: at byte 82: the reply ends in the middle of the inventory of a tank"]
        .assert_eq(&refused(&framed("i201012601142231", &[inventory(1, '1', 0, &[1.0; 9])[..65].to_owned()])));
    expect!["shape: at byte 1: i999 is not read: i201, i202, i20C, i205 and i216 are"]
        .assert_eq(&refused(&framed("i999002601142231", &[])));
}

#[test]
fn the_console_clock_gives_its_own_zone() {
    let arrived = TimestampUs::from_micros(1_768_408_290_000_000); // 2026-01-14T16:31:30Z
    let at = |hour, minute| date(2026, 1, 14).at(hour, minute, 0, 0);
    let judge = |times: &[DateTime]| ConsoleClock::judge(times, arrived);
    // Almaty, five hours ahead.
    let ConsoleClock::Believed { now, offset_us } = judge(&[at(21, 31)]) else { panic!("believed") };
    assert_eq!((now.to_string().as_str(), offset_us), ("2026-01-14T16:31:00Z", 5 * 3_600_000_000));
    assert_eq!(judge(&[at(21, 31)]).earlier(at(9, 0)).map(|at| at.to_string()), Some("2026-01-14T04:00:00Z".into()));
    // Nepal: five hours and three quarters; three minutes fast.
    assert!(
        matches!(judge(&[at(22, 19)]), ConsoleClock::Believed { now, .. } if now.to_string() == "2026-01-14T16:34:00Z")
    );
    // Seven minutes are no zone, and a clock that begins again in 2000 is none either.
    assert_eq!(judge(&[at(21, 38)]), ConsoleClock::Off { error_min: Some(7) });
    assert!(matches!(judge(&[date(2000, 1, 1).at(0, 5, 0, 0)]), ConsoleClock::Off { error_min: Some(_) }));
    assert_eq!(judge(&[]), ConsoleClock::Off { error_min: None });
    // 1 February or 2 January: the one that can be now.
    let now = judge(&[date(2026, 2, 1).at(21, 31, 0, 0), date(2026, 1, 14).at(21, 31, 0, 0)]);
    assert!(matches!(now, ConsoleClock::Believed { .. }));
    assert_eq!(ConsoleClock::Off { error_min: None }.earlier(at(9, 0)), None);
}

#[test]
fn units_are_the_consoles() {
    assert_eq!(Units::Metric.volume(12_345.5).map(Millilitres::get), Some(12_345_500));
    assert_eq!(Units::Us.volume(1_000.0).map(Millilitres::get), Some(3_785_412));
    assert_eq!(Units::Imperial.volume(1.0).map(Millilitres::get), Some(4_546));
    assert_eq!((Units::Metric.height_dmm(1_234.56), Units::Us.height_dmm(40.03)), (Some(12_346), Some(10_168)));
    assert_eq!((Units::Us.temperature_cc(59.0), Units::Metric.temperature_cc(-7.255)), (Some(1_500), Some(-726)));
    assert_eq!((Units::Metric.volume(-3.0), Units::Metric.volume(-0.004)), (None, Some(Millilitres::ZERO)));
    assert_eq!(
        (Units::Metric.volume(1e30), Units::Us.height_dmm(1e9), Units::Us.temperature_cc(9_999.0)),
        (None, None, None)
    );
}

use model::{Millilitres, TimestampUs};

/// The readings of a publish, or why there are none.
fn published(topic: &str, payload: &[u8]) -> String {
    let arrived = TimestampUs::from_micros(1_768_408_290_000_000); // 2026-01-14T16:31:30Z
    let messages = match crate::decode::readings_under("fuel/v1", topic, payload, arrived) {
        Ok(messages) => messages,
        Err((reason, detail)) => return format!("{}: {detail}", reason.as_str()),
    };
    messages.iter().map(|message| serde_json::to_string(message).unwrap() + "\n").collect()
}

#[test]
fn a_reply_about_two_tanks_is_two_readings_in_our_units_and_our_time() {
    let payload = framed(
        "i201002601142131",
        &[
            inventory(1, '1', 1, &[12_345.5, 12_200.25, 7_654.5, 1_234.5, 12.0, 8.5, 14.25]),
            inventory(2, '3', 4, &[f32::NAN, 0.0, f32::NAN, f32::NAN, 0.0, 7.5, 0.0]),
        ],
    );
    expect![[r#"
        {"reading":{"site":"S-1","tank":"1","measured_at_us":1768408260000000,"product":"unknown","volume_ml":12345500,"volume_15_ml":12200250,"ullage_ml":7654500,"water_ml":14250,"height_dmm":12345,"water_dmm":120,"temperature_cc":850,"status":1}}
        {"reading":{"site":"S-1","tank":"2","measured_at_us":1768408260000000,"product":"unknown","water_ml":0,"water_dmm":0,"temperature_cc":750,"status":4}}
    "#]]
    .assert_eq(&published("fuel/v1/S-1/00/veeder-root", &payload));
    let gallons = published("fuel/v1/S-1/00/veeder-root/us", &payload);
    assert!(gallons.contains(r#""volume_ml":46732"#) && !gallons.contains("volume_15_ml"), "{gallons}");
}

#[test]
fn a_topic_names_the_tank_of_a_reply_or_agrees_with_it() {
    let one = framed("i201012601142131", &[inventory(1, '1', 0, &[1.0; 7])]);
    let two = framed("i201002601142131", &[inventory(1, '1', 0, &[1.0; 7]), inventory(2, '1', 0, &[1.0; 7])]);
    assert!(published("fuel/v1/S-1/1/veeder-root", &one).contains(r#""tank":"1""#));
    assert!(published("fuel/v1/S-1/diesel-north/veeder-root", &one).contains(r#""tank":"diesel-north""#));
    expect!["address: the topic is of tank 3, the reply of tank 1; 00 takes all tanks"]
        .assert_eq(&published("fuel/v1/S-1/3/veeder-root", &one));
    expect!["address: the topic names tank diesel-north, the reply has 2 tanks"]
        .assert_eq(&published("fuel/v1/S-1/diesel-north/veeder-root", &two));
    expect![[r#"address: units "litres" in the topic: metric, us or imperial"#]]
        .assert_eq(&published("fuel/v1/S-1/00/veeder-root/litres", &one));
}

#[test]
fn a_delivery_is_two_readings_of_the_past_and_alarms_are_one_without_a_level() {
    let figures = [5_000.0, 4_950.0, 10.0, 9.5, 25_000.0, 24_800.0, 11.0, 12.25, 800.0, 1_900.5];
    let deliveries = framed("i202012601142131", &[format!("01101{}", delivery("2601141000", "2601141040", &figures))]);
    let told = published("fuel/v1/S-1/00/veeder-root", &deliveries);
    expect![[r#"
        {"reading":{"site":"S-1","tank":"1","measured_at_us":1768366800000000,"product":"unknown","volume_ml":5000000,"volume_15_ml":4950000,"height_dmm":8000,"water_dmm":100,"temperature_cc":950,"status":0,"historical":true}}
        {"reading":{"site":"S-1","tank":"1","measured_at_us":1768369200000000,"product":"unknown","volume_ml":25000000,"volume_15_ml":24800000,"height_dmm":19005,"water_dmm":110,"temperature_cc":1225,"status":0,"historical":true}}
    "#]]
    .assert_eq(&told);
    // A clock that is seven minutes off would give the same delivery another time with every reply.
    let wrong_clock = framed("i202012601142138", &[format!("01101{}", delivery("2601141000", "2601141040", &figures))]);
    expect!["value: the deliveries of this console cannot be dated: its clock is 7 minutes off"]
        .assert_eq(&published("fuel/v1/S-1/00/veeder-root", &wrong_clock));
    let alarms = framed("i205002601142131", &[alarms(1, &[9, 3]), alarms(2, &[])]);
    expect![[r#"
        {"reading":{"site":"S-1","tank":"1","measured_at_us":1768408260000000,"product":"unknown","status":4,"alarms":[9,3]}}
        {"reading":{"site":"S-1","tank":"2","measured_at_us":1768408260000000,"product":"unknown","status":0,"alarms":[]}}
    "#]]
    .assert_eq(&published("fuel/v1/S-1/00/veeder-root", &alarms));
}

#[test]
fn a_chart_is_for_the_registration_of_a_tank() {
    let payload = framed("i216012601142131", &[chart(1, &[100.0, 650.5, 200.0, 1_400.0, 300.0, 2_500.0])]);
    let charts = crate::decode::console_charts(&payload, Units::Metric).unwrap();
    assert_eq!((charts[0].0, charts[0].1.len(), charts[0].1[0].volume_ml.get()), (1, 3, 650_500));
    expect!["value: a chart is no reading: it belongs into the registration of its tank"]
        .assert_eq(&published("fuel/v1/S-1/00/veeder-root", &payload));
}

proptest! {
    #[test]
    fn no_bytes_make_a_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = reply(&payload);
    }

    /// Deeper than random bytes get: a frame that holds, with anything inside.
    #[test]
    fn no_data_under_a_right_checksum_makes_a_panic(
        head in prop_oneof![Just("i201"), Just("i202"), Just("i20C"), Just("i205"), Just("i216")],
        data in "[0-9A-F &]{0,260}",
    ) {
        let _ = reply(&framed(&format!("{head}00"), std::slice::from_ref(&data)));
        let _ = reply(&framed(&format!("{head}002601142231"), &[data]));
    }

    #[test]
    fn no_printed_text_makes_a_panic(text in "I20[15]00[ -~\\r\\näЖ]{0,300}") {
        let _ = reply(text.as_bytes());
    }

    #[test]
    fn every_inventory_comes_back(
        tanks in proptest::collection::vec((any::<u16>(), proptest::array::uniform7(-1e6_f32..1e6)), 1..16),
    ) {
        let records: Vec<String> =
            (1..).zip(&tanks).map(|(tank, (status, figures))| inventory(tank, 'A', *status, figures)).collect();
        let Report::Inventory(found) = reply(&framed("i201002601142231", &records)).unwrap().report else { panic!() };
        prop_assert_eq!(found.len(), tanks.len());
        for (tank, (status, figures)) in found.iter().zip(&tanks) {
            prop_assert_eq!(tank.status, *status);
            prop_assert_eq!(tank.volume, Some(f64::from(figures[0])));
            prop_assert_eq!(tank.water_volume, Some(f64::from(figures[6])));
        }
    }

    /// A byte of the data that changes is found by the checksum, except where two changes cancel: here there is one.
    #[test]
    fn one_changed_byte_is_always_found(place in 1..80_usize, byte in any::<u8>()) {
        let mut payload = framed("i201012601142231", &[inventory(1, '1', 0, &[1.0; 7])]);
        prop_assume!(payload[place] != byte && !(place == 1 && byte.is_ascii_whitespace()));
        payload[place] = byte;
        prop_assert!(reply(&payload).is_err());
    }

    #[test]
    fn no_part_of_a_reply_passes_for_the_whole(length in 0..88_usize) {
        let payload = framed("i201012601142231", &[inventory(1, '1', 0, &[1.0; 7])]);
        prop_assert_eq!(payload.len(), 89);
        prop_assert!(reply(&payload[..length]).is_err());
    }
}
