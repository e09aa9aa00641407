use expect_test::{Expect, expect, expect_file};
use model::{ReadingRefused, SiteId};
use serde_json::Value;

use crate::Feed;
use crate::projection::Projection;
use crate::samples::World;

const DELIVERY: &str = r#"{"delivery":{"gross_ml":18000000,"error_ml":40000,"net_15_ml":17910000,"sold_ml":300000,"ticket_ml":18050000,"ticket_difference_ml":-50000}}"#;
const CORRECTED: &str = r#"{"delivery":{"gross_ml":18100000,"error_ml":30000,"sold_ml":300000}}"#;
const LOW: &str = r#"{"level_alarm":{"level":"low","volume_ml":5900000}}"#;
const SILENCE: &str = r#"{"silence":{"cause":"gauge"}}"#;
const LOSS: &str = r#"{"unexplained_loss":{"lost_ml":90000,"error_ml":9000}}"#;
const LEAK: &str = r#"{"suspected_leak":{"rate_ml_per_hour":900,"error_ml_per_hour":200,"quiet_hours":90}}"#;

fn after(tell: impl FnOnce(&mut World) -> Vec<Feed>) -> Value {
    let (mut world, mut projection) = (World::new(), Projection::new(30_000_000));
    let mut items = world.takeovers().to_vec();
    items.extend(tell(&mut world));
    items.push(Feed::CaughtUp);
    items.into_iter().for_each(|item| projection.apply(item));
    projection.tick(world.at.get(), Vec::new());
    let site = SiteId::new("S-1").expect("a site");
    serde_json::to_value(projection.site_line(&site).expect("known")).expect("JSON")
}

/// The first tank's line as the screens get it.
fn check(tell: impl FnOnce(&mut World) -> Vec<Feed>, line: &Expect) {
    line.assert_eq(&after(tell)["tanks"][0].to_string());
}

#[test]
fn a_registered_tank_shows_what_was_registered_and_an_unregistered_one_what_it_sends() {
    check(
        |world| vec![world.register("S-1", "1"), world.level("S-1", "1", 9_000)],
        &expect![[
            r#"{"capacity_ml":30000000,"measured_at_us":1740000000000000,"product":"DIESEL","received_at_us":1740000000000000,"registered":true,"revision":1,"safe_ml":28500000,"site":"S-1","stale":false,"tank":"1","thresholds":{"low_ml":6000000},"volume_ml":9000000}"#
        ]],
    );
    check(
        |world| vec![world.level("S-1", "1", 9_000)],
        &expect![[
            r#"{"capacity_ml":30000000,"measured_at_us":1740000000000000,"product":"DIESEL","received_at_us":1740000000000000,"registered":false,"revision":0,"site":"S-1","stale":false,"tank":"1","volume_ml":9000000}"#
        ]],
    );
}

#[test]
fn a_tank_that_only_sends_what_cannot_be_used_is_listed_with_the_reason() {
    check(
        |world| {
            let one = world.aside("S-1", "7", ReadingRefused::Impossible);
            world.pass_minutes(1);
            vec![one, world.aside("S-1", "7", ReadingRefused::NoVolume)]
        },
        &expect![[
            r#"{"asides":{"at_us":1740000060000000,"because":"no_volume","count":2},"height_mm":1520,"product":"DIESEL","registered":false,"revision":0,"site":"S-1","stale":false,"tank":"7"}"#
        ]],
    );
}

#[test]
fn a_line_tells_what_is_open_and_the_last_delivery_as_it_was_corrected() {
    let line = |tell: fn(&mut World) -> Vec<Feed>| after(tell)["tanks"][0].clone();
    let open = line(|world| {
        let mut items = vec![world.register("S-1", "1"), world.tank_event("1", (1, 1), false, DELIVERY)];
        items.push(world.tank_event("1", (1, 2), false, CORRECTED));
        items.push(world.tank_event("1", (1, 1), false, DELIVERY));
        items.extend([world.tank_event("1", (1, 1), true, LOW), world.tank_event("1", (1, 1), true, SILENCE)]);
        items
    });
    assert_eq!(open["last_delivery"]["gross_ml"], 18_100_000, "the highest version is the truth");
    assert_eq!(open["alarms"], serde_json::json!(["low"]));
    assert_eq!(open["silence"], serde_json::json!({ "cause": "gauge", "since_us": 1_740_000_000_000_000_i64 }));
    assert_eq!(open["revision"], 5, "what is known already changes nothing");
    let over = line(|world| {
        let mut items = vec![world.register("S-1", "1"), world.tank_event("1", (1, 1), false, DELIVERY)];
        items.push(world.withdrawn("1", (1, 2), DELIVERY));
        items.extend([world.tank_event("1", (1, 1), true, LOW), world.tank_event("1", (1, 2), false, LOW)]);
        items
    });
    assert_eq!((over.get("last_delivery"), over.get("alarms")), (None, None));
}

#[test]
fn a_loss_is_news_for_a_day_and_a_leak_for_two_weeks() {
    let alarms = |minutes: i64| {
        let shown = after(|world| {
            let mut items = vec![world.register("S-1", "1"), world.tank_event("1", (1, 1), false, LOSS)];
            items.push(world.tank_event("1", (1, 1), true, LEAK));
            world.pass_minutes(minutes);
            items.push(world.level("S-1", "1", 9_000));
            items
        });
        shown["tanks"][0].get("alarms").cloned()
    };
    let hour = 60;
    assert_eq!(alarms(23 * hour), Some(serde_json::json!(["suspected_leak", "unexplained_loss"])));
    assert_eq!(alarms(25 * hour), Some(serde_json::json!(["suspected_leak"])));
    assert_eq!(alarms(15 * 24 * hour), None);
}

#[test]
fn an_alarm_that_lasts_outlives_any_number_of_events_that_are_over() {
    let shown = after(|world| {
        let mut items = vec![world.register("S-1", "1"), world.tank_event("1", (1, 1), true, LOW)];
        for number in 1..=260 {
            world.pass_minutes(1);
            items.push(world.tank_event("1", (number, 1), false, LOSS));
        }
        items
    });
    let events = shown["tank_details"][0]["events"].as_array().expect("a list");
    assert_eq!((events.len(), &events[0]["number"]), (200, &260.into()));
    assert!(events.iter().any(|event| event["kind"].get("level_alarm").is_some()), "the alarm is gone");
}

#[test]
fn the_site_tells_withdrawn_events_as_withdrawn() {
    let shown = after(|world| {
        let mut items = vec![world.register("S-1", "1"), world.tank_event("1", (1, 1), false, DELIVERY)];
        items.push(world.withdrawn("1", (1, 2), DELIVERY));
        items
    });
    let events = &shown["tank_details"][0]["events"];
    assert_eq!((events.as_array().map(Vec::len), &events[0]["withdrawn"]), (Some(1), &true.into()));
}

#[test]
fn a_tank_with_a_weeks_days_is_told_when_to_order_how_much() {
    // 4,000 L above low at 1,000 L a day: low in four days, and the truck needs two. It finds 6,000 L of 28,500 that are safe.
    let shown = after(|world| {
        let mut items = vec![world.register("S-1", "1")];
        world.pass_minutes(1_160);
        items.extend((1..=14).map(|ago| world.tank_day("1", ago, 1, 1_000, 0)));
        items.push(world.level("S-1", "1", 10_000));
        items
    });
    expect![[r#"{"daily_ml":1000000,"empty_at_us":{"p10":1740933600000000,"p50":1740933600000000},"low_at_us":{"p10":1740415200000000,"p50":1740415200000000},"order_by_us":1740242399999999,"order_ml":22499999} from 1740069600000000"#]].assert_eq(&format!("{} from {}", shown["tanks"][0]["forecast"], shown["tanks"][0]["measured_at_us"]));
}

#[test]
fn a_corrected_day_replaces_the_day_and_the_books_add_the_tanks_of_a_product() {
    let shown = after(|world| {
        let mut items = vec![world.register("S-1", "1"), world.register("S-1", "2")];
        for ago in (1..=3).rev() {
            items.extend([world.tank_day("1", ago, 1, 1_000, 0), world.tank_day("2", ago, 1, 500, 40)]);
        }
        items.extend([world.tank_day("1", 1, 2, 1_000, 10), world.tank_day("1", 1, 1, 9_000, 0)]);
        items.push(world.tank_day("1", 4, 1, 1_000, 0));
        items
    });
    let stock = &shown["wet_stock"][0];
    let figures = |day: &Value| {
        format!("{} tanks, sold {}, {} {}", day["tanks"], day["sold_ml"], day["variance_ml"], day["grade"])
    };
    let days: Vec<_> = stock["days"].as_array().expect("a list").iter().map(figures).collect();
    expect![[r#"
        1 tanks, sold 1000000, 0 "fine"
        2 tanks, sold 1500000, -40000 "look"
        2 tanks, sold 1500000, -40000 "look"
        2 tanks, sold 1500000, -50000 "look""#]]
    .assert_eq(&days.join("\n"));
    assert_eq!((&stock["sales_are_known"], &stock["days"][3]["month_ml"]), (&true.into(), &(-130_000).into()));
    assert_eq!(shown["tank_details"][0]["days"][0]["score_e2"], 10_000);
}

/// The page's own tests read this file: what the server writes is what the page understands.
#[test]
fn the_page_is_tested_with_what_the_server_writes() {
    let shown = after(|world| {
        let mut items = vec![world.register("S-1", "1"), world.register("S-1", "2")];
        for ago in (1..=8).rev() {
            items.extend([world.tank_day("1", ago, 1, 1_000, 3), world.tank_day("2", ago, 1, 500, 40)]);
        }
        let over = [
            DELIVERY,
            LOSS,
            r#"{"water_ingress":{"before_dmm":120,"after_dmm":465}}"#,
            r#"{"unit_slip":{"column":"volume15","ratio_e3":264}}"#,
            r#"{"clock_wrong":{"offset_s":-240}}"#,
        ];
        items.extend(over.map(|kind| world.tank_event("1", (1, 2), false, kind)));
        items.push(world.withdrawn("1", (2, 3), CORRECTED));
        items.extend([LEAK, LOW, SILENCE, CORRECTED].map(|kind| world.tank_event("2", (1, 1), true, kind)));
        items.extend([world.status("S-1", true), world.aside("S-1", "3", ReadingRefused::NoVolume)]);
        world.pass_minutes(30);
        items.extend([world.level("S-1", "1", 9_000), world.level("S-1", "2", 5_000)]);
        items
    });
    let text = serde_json::to_string_pretty(&shown).expect("JSON") + "\n";
    expect_file!["../../../web/src/live/site.example.json"].assert_eq(&text);
}
