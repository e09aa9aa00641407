//! An edge node that restarts, loses messages, uses aliases again and is heard from the middle on.

mod edge;

use expect_test::{Expect, expect};
use model::{RejectReason, TimestampUs};
use proptest::prelude::*;
use prost::Message as _;

use super::host::Host;
use super::payload::{Metric, Payload, PropertySet, PropertyValue, Value};
use super::*;
use edge::{Stage, alias, historical, named, null};

fn check(stage: &Stage, expected: &Expect) {
    expected.assert_eq(&stage.told());
}

/// A controller with one tank, born.
fn born() -> Stage {
    let mut stage = Stage::new();
    stage.node_birth(7);
    stage.tank_birth(
        "tank-1",
        &[named("Level/Height_mm", 1, 1_234.5), named("Volume_L", 2, 20_000.0), named("Temp_C", 3, 8.25)],
    );
    stage
}

#[test]
fn a_birth_and_what_changed_make_whole_readings() {
    let mut stage = born();
    stage.data("tank-1", &[alias(2, 19_990.0)]);
    stage.data("tank-1", &[alias(3, -4.5), null(1)]);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            00:02 S-1/1 volume 19990000 height 12345 temperature 825
            00:03 S-1/1 volume 19990000 temperature -450
        "#]],
    );
}

#[test]
fn a_death_ends_a_session_and_an_old_will_does_not() {
    let mut stage = born();
    stage.node_death(6);
    stage.data("tank-1", &[alias(2, 19_990.0)]);
    stage.node_death(7);
    stage.data("tank-1", &[alias(2, 19_980.0)]);
    stage.wait(3);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            00:03 S-1/1 volume 19990000 height 12345 temperature 825
            00:04 S-1 offline
            00:09 rejected session: data of an edge node that died, without a birth
            00:09 rebirth of spBv1.0/North/NCMD/S-1
        "#]],
    );
}

#[test]
fn a_restart_gives_aliases_a_new_meaning() {
    let mut stage = born();
    // Alias 1 was the height. The old will comes after the new birth, as brokers may do it.
    stage.node_birth(8);
    stage.node_death(7);
    stage.tank_birth("tank-1", &[named("Volume_L", 1, 500.0), named("Water_mm", 2, 3.0)]);
    stage.data("tank-1", &[alias(1, 499.0)]);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            00:04 S-1/1 volume 500000 water 30
            00:05 S-1/1 volume 499000 water 30
        "#]],
    );
}

#[test]
fn an_alias_that_another_living_device_has_is_refused() {
    let mut stage = born();
    stage.tank_birth("tank-2", &[named("Volume_L", 2, 500.0)]);
    stage.data("tank-1", &[alias(2, 19_000.0)]);
    stage.device_death("tank-1");
    stage.tank_birth("tank-2", &[named("Volume_L", 2, 400.0)]);
    stage.data("tank-1", &[alias(2, 18_000.0)]);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            00:02 rejected shape: alias 2 of device tank-2 is one of device tank-1 already
            00:03 S-1/1 volume 19000000 height 12345 temperature 825
            00:05 S-1/2 volume 400000
            00:06 rebirth of spBv1.0/North/NCMD/S-1
            00:06 rejected session: data of device tank-1 without a birth
        "#]],
    );
}

#[test]
fn a_message_that_comes_out_of_turn_is_put_in_its_place() {
    let mut stage = born();
    let (first, second) =
        (stage.make_data("tank-1", &[alias(2, 19_900.0)]), stage.make_data("tank-1", &[alias(2, 19_800.0)]));
    stage.deliver(second.clone());
    stage.deliver(first.clone());
    // Both come again.
    stage.deliver(first);
    stage.deliver(second);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            00:02 S-1/1 volume 19900000 height 12345 temperature 825
            00:02 S-1/1 volume 19800000 height 12345 temperature 825
        "#]],
    );
}

#[test]
fn after_a_gap_nothing_is_believed_until_the_next_birth() {
    let mut stage = born();
    stage.lose("tank-1", &[alias(2, 19_900.0)]);
    stage.data("tank-1", &[alias(2, 19_800.0)]);
    stage.wait(3);
    stage.data("tank-1", &[alias(2, 19_700.0)]);
    stage.wait(3);
    stage.node_birth(7);
    stage.tank_birth("tank-1", &[named("Volume_L", 5, 19_600.0)]);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            00:07 rejected session: message 2 of the edge node was lost
            00:07 rebirth of spBv1.0/North/NCMD/S-1
            00:11 rejected session: data without a birth
            00:12 S-1/1 volume 19600000
        "#]],
    );
}

#[test]
fn a_message_of_an_earlier_session_is_refused_though_its_number_fits() {
    let mut stage = born();
    let old = stage.make_data("tank-1", &[alias(1, 1_000.0)]);
    stage.wait(1);
    stage.node_birth(8);
    stage.tank_birth("tank-1", &[named("Volume_L", 1, 500.0)]);
    stage.deliver(old);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            00:04 S-1/1 volume 500000
            00:05 rebirth of spBv1.0/North/NCMD/S-1
            00:05 rejected session: sent before the birth of its edge node
        "#]],
    );
}

#[test]
fn the_sequence_begins_again_after_255() {
    let mut stage = born();
    for step in 0..600_u16 {
        stage.data("tank-1", &[alias(2, f64::from(step))]);
    }
    let told = stage.told();
    assert_eq!(told.lines().count(), 602);
    assert!(!told.contains("rejected"), "{told}");
}

#[test]
fn half_a_session_asks_for_a_birth_and_not_all_the_time() {
    let mut stage = Stage::new();
    for step in 0..60_u16 {
        stage.data("tank-1", &[alias(2, f64::from(step))]);
        stage.wait(9);
    }
    let told = stage.told();
    let asked = told.lines().filter(|line| line.contains("rebirth")).count();
    assert_eq!(asked, 6, "600 s, asked after 10, 20, 40, 80, 160, 300 s:\n{told}");
    assert_eq!(told.lines().filter(|line| line.contains("data without a birth")).count(), 60);
}

#[test]
fn a_device_that_is_born_a_moment_before_its_node_waits_for_it() {
    let mut stage = Stage::new();
    let (node, tank) = (stage.make_birth(3), stage.make_tank_birth("tank-1", &[named("Volume_L", 2, 500.0)]));
    stage.deliver(tank);
    stage.deliver(node);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:00 S-1/1 volume 500000
        "#]],
    );
}

#[test]
fn a_session_whose_birth_was_lost_is_not_taken_for_a_repeat() {
    let mut stage = born();
    for _ in 0..50 {
        stage.data("tank-1", &[alias(2, 1_000.0)]);
    }
    // The edge node starts anew and its births are lost: low numbers, later times.
    stage.restart_unheard();
    let before = stage.told().lines().count();
    stage.data("tank-1", &[alias(2, 1.0)]);
    stage.wait(3);
    let told = stage.told();
    let new = told.lines().skip(before).collect::<Vec<_>>().join("\n");
    expect![[r#"
        00:56 rejected session: message 52 of the edge node was lost
        00:56 rebirth of spBv1.0/North/NCMD/S-1"#]]
    .assert_eq(&new);
}

#[test]
fn history_does_not_touch_the_present() {
    let mut stage = born();
    stage.data(
        "tank-1",
        &[
            historical(alias(2, 18_000.0), -7_200),
            historical(alias(2, 18_500.0), -3_600),
            historical(alias(3, 5.0), -3_600),
            alias(2, 19_500.0),
        ],
    );
    // Not marked, but older than what is known.
    stage.data("tank-1", &[Metric { timestamp: Some(stage.millis() - 60_000), ..alias(2, 17_000.0) }]);
    stage.data("tank-1", &[alias(3, 9.0)]);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            -1:59:58 S-1/1 volume 18000000 historical
            -0:59:58 S-1/1 volume 18500000 temperature 500 historical
            00:02 S-1/1 volume 19500000 height 12345 temperature 825
            -0:00:57 S-1/1 volume 17000000 historical
            00:04 S-1/1 volume 19500000 height 12345 temperature 900
        "#]],
    );
}

#[test]
fn a_battery_gauge_sends_many_moments_in_one_packet() {
    let mut stage = born();
    let at = |seconds: u64| Some(stage.millis() + seconds * 1000);
    let packet: Vec<Metric> = (0..4_u32)
        .flat_map(|step| {
            let timestamp = at(u64::from(step) * 900);
            [(2, 19_000.0 - f64::from(step)), (3, 8.0)].map(|(name, value)| Metric { timestamp, ..alias(name, value) })
        })
        .collect();
    stage.data("tank-1", &packet);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            00:02 S-1/1 volume 19000000 height 12345 temperature 800
            15:02 S-1/1 volume 18999000 height 12345 temperature 800
            30:02 S-1/1 volume 18998000 height 12345 temperature 800
            45:02 S-1/1 volume 18997000 height 12345 temperature 800
        "#]],
    );
}

#[test]
fn a_bad_level_is_marked_and_never_zero() {
    let mut stage = born();
    let bad = |metric: Metric, quality: u32| Metric {
        properties: Some(PropertySet {
            keys: vec!["Quality".to_owned()],
            values: vec![PropertyValue { int_value: Some(quality), long_value: None }],
        }),
        ..metric
    };
    stage.data("tank-1", &[bad(alias(2, 0.0), 0)]);
    stage.data("tank-1", &[bad(alias(3, 99.0), 500)]);
    stage.data("tank-1", &[bad(alias(2, 19_000.0), 192), bad(alias(1, f64::NAN), 192)]);
    stage.data("tank-1", &[alias(2, -5.0), alias(1, 60_000.0)]);
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/1 volume 20000000 height 12345 temperature 825
            00:02 S-1/1 height 12345 temperature 825 status 4
            00:03 S-1/1 height 12345 status 4
            00:04 S-1/1 volume 19000000
        "#]],
    );
}

#[test]
fn integers_of_any_width_and_texts_are_read_by_their_birth() {
    let mut stage = Stage::new();
    stage.node_birth(1);
    let typed = |name: &str, alias, datatype, value| Metric {
        name: Some(name.to_owned()),
        alias: Some(alias),
        datatype: Some(datatype),
        value: Some(value),
        ..Metric::default()
    };
    stage.tank_birth(
        "Tank_12",
        &[
            typed("Temp_C", 1, 2, Value::Int(0xffff_fff6)),
            typed("Volume_L", 2, 8, Value::Long(12_345)),
            typed("Level/Height_mm", 3, 9, Value::Float(1_500.25)),
            typed("Product", 4, 12, Value::Text("DIESEL SUMMER".to_owned())),
            typed("Status", 5, 6, Value::Int(1)),
            typed("RSSI", 6, 3, Value::Int(0xffff_ffa0)),
        ],
    );
    stage.data(
        "Tank_12",
        &[Metric { alias: Some(1), value: Some(Value::Int(0xfff1)), ..Metric::default() }, alias(6, 1.0)],
    );
    check(
        &stage,
        &expect![[r#"
            00:00 S-1 online
            00:01 S-1/12 DIESEL-SUMMER volume 12345000 height 15003 temperature -1000 status 1
            00:02 S-1/12 DIESEL-SUMMER volume 12345000 height 15003 temperature -1500 status 1
        "#]],
    );
}

#[test]
fn devices_that_are_no_tanks_and_commands_of_others_are_passed_over() {
    let mut stage = born();
    stage.tank_birth("pump 4", &[named("Totaliser", 40, 1_000.0)]);
    stage.data("pump 4", &[alias(40, 1_001.0)]);
    let before = stage.told();
    for topic in ["spBv1.0/STATE/forecourt", "spBv1.0/North/NCMD/S-1", "spBv1.0/North/DCMD/S-1/tank-1"] {
        assert_eq!(stage.host.apply(topic, b"\xff", stage.now()), []);
    }
    assert_eq!(stage.told(), before);
    let tank = [named("Volume_L", 50, 1.0)];
    stage.tank_birth("tank 1", &tank);
    assert!(stage.told().contains("rejected address: device \"tank 1\" names no tank"), "{}", stage.told());
}

#[test]
fn what_cannot_be_understood_is_refused() {
    let mut host = Host::new(Patience::default());
    let mut refused =
        |topic: &str, payload: &[u8]| match host.apply(topic, payload, TimestampUs::from_micros(1)).as_slice() {
            [Effect::Reject { refusal: (reason, detail), raw, .. }] if raw == payload => {
                format!("{}: {detail}", reason.as_str())
            }
            other => format!("{other:?}"),
        };
    expect!["shape: no Sparkplug B payload: failed to decode Protobuf message: buffer underflow"]
        .assert_eq(&refused("spBv1.0/N/NBIRTH/S-1", b"{\"x\":1}"));
    expect!["shape: a birth without a sequence number from 0 to 255"].assert_eq(&refused("spBv1.0/N/NBIRTH/S-1", b""));
    expect!["shape: a death without bdSeq"].assert_eq(&refused("spBv1.0/N/NDEATH/S-1", b""));
    expect![[r#"address: topic "spBv1.0/N" is not spBv1.0/{group}/{kind}/{edge}[/{device}]"#]]
        .assert_eq(&refused("spBv1.0/N", b""));
    expect![[r#"address: topic "spBv1.0/N/DDATA/S-1": "DDATA" is no message of an edge node or, with a fifth level, a device"#]]
        .assert_eq(&refused("spBv1.0/N/DDATA/S-1", b""));
    expect![[r#"address: edge node "S 1" names no site: identifier holds ' '; only letters, digits and . _ : @ * - are allowed"#]]
        .assert_eq(&refused("spBv1.0/N/NDATA/S 1", b""));
}

#[test]
fn what_waits_is_bounded() {
    let mut stage = born();
    stage.lose("tank-1", &[alias(2, 1.0)]);
    for _ in 0..=HELD_MAX {
        stage.data_at_once("tank-1", &[alias(2, 2.0)]);
    }
    let rejected = stage.told().lines().filter(|line| line.contains("message 2 of the edge node was lost")).count();
    assert_eq!(rejected, HELD_MAX + 1);
    assert_eq!(stage.effects_of(RejectReason::Session), HELD_MAX + 1);
}

proptest! {
    #[test]
    fn no_bytes_make_a_panic(payload in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..6_usize) {
        let mut stage = born();
        let topics = ["NBIRTH/S-1", "NDATA/S-1", "NDEATH/S-1", "DBIRTH/S-1/tank-1", "DDATA/S-1/tank-1", "DDEATH/S-1/tank-1"];
        let _ = stage.host.apply(&format!("spBv1.0/North/{}", topics[kind]), &payload, stage.now());
    }

    /// Whatever is lost, doubled or swapped: a value is only ever told under the alias of its own session. Session `n` gives
    /// the alias `i` to metric `(i + n) mod 3` and sends values that carry the metric's own number in their last digit.
    #[test]
    fn no_order_of_messages_mixes_the_metrics(
        steps in proptest::collection::vec((0..10_u8, 0..3_u64), 1..120),
    ) {
        let names = ["Volume_L", "Ullage_L", "WaterVolume_L"];
        let mut stage = Stage::new();
        let mut session = 0_u64;
        let mut kept: Option<(String, Vec<u8>)> = None;
        let metric_of = |session: u64, alias: u64| usize::try_from((alias + session) % 3).unwrap();
        let value = |metric: usize, salt: u64| f64::from(u32::try_from(salt).unwrap() * 10) + f64::from(u32::try_from(metric).unwrap());
        for (place, (step, number)) in (0_u64..).zip(steps) {
            let born: Vec<Metric> = (0..3).map(|n| {
                let metric = metric_of(session, n);
                named(names[metric], n, value(metric, place))
            }).collect();
            match step {
                0 => {
                    session += 1;
                    let born: Vec<Metric> = (0..3).map(|n| {
                        let metric = metric_of(session, n);
                        named(names[metric], n, value(metric, place))
                    }).collect();
                    stage.node_birth(session);
                    stage.tank_birth("tank-1", &born);
                }
                1 => stage.lose("tank-1", &[alias(number, value(metric_of(session, number), place))]),
                // Births and data of the same millisecond cannot be told apart by their times: a second between them.
                2 => {
                    kept = Some(stage.make_data("tank-1", &[alias(number, value(metric_of(session, number), place))]));
                    stage.wait(1);
                }
                3 => { if let Some(message) = kept.clone() { stage.deliver(message); } }
                4 => stage.wait(3),
                5 => stage.node_death(session.saturating_sub(number)),
                6 => stage.tank_birth("tank-1", &born),
                _ => stage.data("tank-1", &[alias(number, value(metric_of(session, number), place))]),
            }
        }
        for effect in &stage.effects {
            if let Effect::Reading(reading) = effect {
                for (metric, volume) in [reading.volume_ml, reading.ullage_ml, reading.water_ml].into_iter().enumerate() {
                    if let Some(volume) = volume {
                        prop_assert_eq!(usize::try_from(volume.get() / 1000 % 10).unwrap(), metric, "{:?}", reading);
                    }
                }
            }
        }
    }
}

#[test]
fn a_payload_is_the_specifications_bytes() {
    // timestamp 1, one metric named "a" with alias 2, double 1.0, seq 3: written by hand from the field numbers.
    let bytes = [0x08, 1, 0x12, 14, 0x0a, 1, b'a', 0x10, 2, 0x69, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x18, 3];
    let payload = Payload::decode(&bytes[..]).expect("a payload");
    let metric = &payload.metrics[0];
    assert_eq!((payload.timestamp, payload.seq), (Some(1), Some(3)));
    assert_eq!((metric.given_name(), metric.alias, metric.known()), (Some("a"), Some(2), Some(&Value::Double(1.0))));
    assert_eq!(payload.encode_to_vec(), bytes);
}

/// What Mosquitto passed on from `tests/browser/edge_node.mjs`, an edge node on Eclipse Tahu's client for JavaScript 3.2.4:
/// births, data, a number that is left out, births again after the request for them, and the will after `kill -9`.
#[test]
fn a_session_of_tahus_own_client_is_understood() {
    let mut stage = Stage::new();
    for line in include_str!("tests/tahu.txt").lines() {
        let (topic, hex) = line.split_once(' ').expect("topic and payload");
        let byte = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).expect("a byte");
        let payload: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let is_request = topic.contains("/NCMD/");
        if is_request {
            stage.wait(3);
        }
        stage.deliver((topic.to_owned(), payload));
    }
    let told =
        stage.told().lines().map(|line| line.split_once(' ').expect("a time").1.to_owned() + "\n").collect::<String>();
    expect![[r#"
        S-77 online
        S-77/1 DIESEL volume 20000000 height 12345 temperature -400
        S-77/1 DIESEL volume 19990000 height 12345 temperature -400
        rejected session: message 3 of the edge node was lost
        rebirth of spBv1.0/North/NCMD/S-77
        S-77/1 DIESEL volume 19970000 height 12345 temperature -400
        S-77/1 DIESEL volume 19960000 height 12345 temperature -400
        S-77 offline
    "#]]
    .assert_eq(&told);
}
