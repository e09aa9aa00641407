use expect_test::{Expect, expect};
use model::{CardToken, ContractId, SiteId};
use serde_json::Value;

use super::*;
use crate::samples::World;

const STALE_AFTER_US: i64 = 30_000_000;

/// Runs a script, one word group per line, and shows what the screens would show of it.
///
/// `takeover` | `live` | `open C name` | `top-up C minor` | `issue C K` | `block K` | `sale K litres` | `again K litres KEY` |
/// `preauth K litres CODE` | `facts C [JSON]` | `old-owner K litres` | `twice K litres` | `level S T litres` | `pass minutes` | `tick`
fn check(script: &str, shown: &Expect) {
    shown.assert_eq(&show(&run(script)));
}

fn run(script: &str) -> Projection {
    let mut world = World::new();
    let mut projection = Projection::new(STALE_AFTER_US);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let litres = |at: usize| words[at].parse::<u32>().expect("litres");
        let items = match words[0] {
            "takeover" => world.takeovers().to_vec(),
            "live" => vec![Feed::CaughtUp],
            "open" => vec![world.open(words[1], words[2])],
            "top-up" => vec![world.top_up(words[1], words[2].parse().expect("minor units"))],
            "issue" => vec![world.issue(words[1], words[2])],
            "block" => vec![world.block(words[1])],
            "sale" => vec![world.sale(words[1], litres(2))],
            "again" => vec![replayed(world.sale_with_key(words[3], words[1], litres(2)))],
            "old-owner" => vec![world.void_sale(words[1], litres(2))],
            "twice" => {
                let item = world.sale(words[1], litres(2));
                vec![item.clone(), item]
            }
            "preauth" => vec![world.preauth(words[1], litres(2), words[3])],
            "facts" => vec![world.facts(words[1], &words[2..].join(" "))],
            "level" => vec![world.level(words[1], words[2], litres(3))],
            "pass" => {
                world.pass_minutes(words[1].parse().expect("minutes"));
                Vec::new()
            }
            "tick" => {
                projection.tick(world.at.get(), Vec::new());
                Vec::new()
            }
            other => panic!("no such step: {other}"),
        };
        for item in items {
            projection.apply(item);
        }
    }
    projection.tick(world.at.get(), Vec::new());
    projection
}

/// A repeat of a request: the recorded decision again, and nothing else.
fn replayed(mut item: Feed) -> Feed {
    if let Feed::Ledger { record: LedgerRecord { body: LedgerBody::Outcome(outcome), .. }, .. } = &mut item {
        outcome.facts.truncate(1);
        if let Some(Fact::Decided { decision, .. }) = outcome.facts.first_mut() {
            decision.replayed = true;
        }
    }
    item
}

/// Shows the detail of contract C-1 but for its cards and decisions.
fn check_detail(script: &str, shown: &Expect) {
    let projection = run(script);
    let contract = projection.contracts().get(&ContractId::new("C-1").expect("a contract")).expect("known");
    let line: Value = serde_json::to_value(projection.contract_line(contract)).expect("JSON");
    let detail: Value = serde_json::to_value(projection.contract_detail(contract)).expect("JSON");
    let mut lines = vec![format!("blocked {} in {}", line["blocked"], detail["time_zone"])];
    for part in ["limits", "holds", "top_ups"] {
        lines.extend(detail[part].as_array().expect("a list").iter().map(|entry| format!("{part} {entry}")));
    }
    let network: Value = serde_json::to_value(projection.network()).expect("JSON");
    lines.push(format!("all holds {}", network["holds"]));
    shown.assert_eq(&lines.join("\n"));
}

fn show(projection: &Projection) -> String {
    let state: Value = serde_json::to_value(projection.state(u64::MAX)).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut shown = String::new();
    for line in state["contracts"].as_array().expect("a list") {
        let [own, cards, blocked] = ["own", "cards", "blocked_cards"].map(|field| line[field].clone());
        let [approved, declined] = ["approved_today", "declined_today"].map(|field| line[field].clone());
        let (id, name) = (text(&line["contract"]), text(&line["name"]));
        shown += &format!("{id} {name}: {own}, {cards} cards, {blocked} blocked, today {approved}/{declined}\n");
        let contract = projection.contracts().get(&ContractId::new(&id).expect("a contract")).expect("known");
        let detail: Value = serde_json::to_value(projection.contract_detail(contract)).expect("JSON");
        for card in detail["cards"].as_array().expect("a list") {
            shown += &format!(
                "  {} {}, {} ml left\n",
                text(&card["card"]),
                text(&card["state"]),
                card["headroom"][0]["left"]
            );
        }
    }
    for line in state["decisions"].as_array().expect("a list") {
        let latency = line.get("latency_us").map_or("unknown".to_owned(), Value::to_string);
        let again = if line["replayed"] == true { " again" } else { "" };
        let (id, idem, card, code) = (text(&line["id"]), text(&line["idem"]), text(&line["card"]), text(&line["code"]));
        shown += &format!("{id} {idem} {card} {} ml {code}{again}, latency {latency}\n", line["qty_ml"]);
    }
    for tank in state["tanks"].as_array().expect("a list") {
        let stale = if tank["stale"] == true { " stale" } else { "" };
        shown += &format!("{}/{} {} ml{stale}\n", text(&tank["site"]), text(&tank["tank"]), tank["volume_ml"]);
    }
    let network = &state["network"];
    shown += &format!("sold today {} ml, {}\n", network["sales_ml_today"], network["totals"]);
    shown
}

#[test]
fn a_sale_moves_the_balance_the_card_and_the_totals() {
    check(
        "takeover
         open C-1 Acme
         top-up C-1 100000
         issue C-1 K-1
         issue C-1 K-2
         sale K-1 60
         block K-2
         live
         sale K-1 60
         sale K-9 10",
        &expect![[r#"
            C-1 Acme: 97000, 2 cards, 1 blocked, today 1/1
              K-1 active, 40000 ml left
              K-2 blocked, 100000 ml left
            0-8 sale-3 K-9 10000 ml CARD_UNKNOWN, latency 3000
            0-7 sale-2 K-1 60000 ml LIMIT_PERIOD, latency 3000
            0-5 sale-1 K-1 60000 ml APPROVED, latency unknown
            sold today 60000 ml, {"approved":1,"decisions":3,"declined":2,"partial":0,"readings":0,"rejected":0,"replayed":0,"reprompted":0}
        "#]],
    );
}

#[test]
fn open_holds_are_listed_oldest_first_until_they_are_completed_reversed_or_expire() {
    let script = "takeover
         open C-1 Acme
         issue C-1 K-1
         issue C-1 K-2
         preauth K-2 60 0-5
         pass 7
         preauth K-1 40 0-6
         preauth K-1 10 0-7
         preauth K-1 11 0-8";
    let ended = r#"facts C-1 [{"hold_expired":{"card":"K-2","auth_code":"0-5"}},{"reversed":{"card":"K-1","auth_code":"0-7","reason":"pump broke"}},
        {"captured":{"card":"K-1","auth_code":"0-8","site":"S-1","terminal":"T-1","pump":null,"items":[],"amount_minor":5}}]"#
        .replace('\n', " ");
    check_detail(
        script,
        &expect![[r#"
        blocked null in "Asia/Almaty"
        holds {"amount_minor":3000,"at_us":1740000000000000,"auth_code":"0-5","card":"K-2","expires_at_us":1740001800000000,"pan_masked":"*1234","product":"DIESEL","pump":2,"qty_ml":60000,"site":"S-1","terminal":"T-1","vehicle":"A123BC"}
        holds {"amount_minor":2000,"at_us":1740000420000000,"auth_code":"0-6","card":"K-1","expires_at_us":1740002220000000,"pan_masked":"*1234","product":"DIESEL","pump":2,"qty_ml":40000,"site":"S-1","terminal":"T-1","vehicle":"A123BC"}
        holds {"amount_minor":500,"at_us":1740000420000000,"auth_code":"0-7","card":"K-1","expires_at_us":1740002220000000,"pan_masked":"*1234","product":"DIESEL","pump":2,"qty_ml":10000,"site":"S-1","terminal":"T-1","vehicle":"A123BC"}
        holds {"amount_minor":550,"at_us":1740000420000000,"auth_code":"0-8","card":"K-1","expires_at_us":1740002220000000,"pan_masked":"*1234","product":"DIESEL","pump":2,"qty_ml":11000,"site":"S-1","terminal":"T-1","vehicle":"A123BC"}
        all holds {"ml":121000,"oldest_at_us":1740000000000000,"open":4}"#]],
    );
    check_detail(
        &format!("{script}\n{ended}"),
        &expect![[r#"
        blocked null in "Asia/Almaty"
        holds {"amount_minor":2000,"at_us":1740000420000000,"auth_code":"0-6","card":"K-1","expires_at_us":1740002220000000,"pan_masked":"*1234","product":"DIESEL","pump":2,"qty_ml":40000,"site":"S-1","terminal":"T-1","vehicle":"A123BC"}
        all holds {"ml":40000,"oldest_at_us":1740000420000000,"open":1}"#]],
    );
}

#[test]
fn a_contract_shows_its_own_limits_with_what_is_used_of_them() {
    let set = r#"{"limit_set":{"limit":{"id":"L-7","scope":{"group":"trucks"},"product":{"group":"DIESEL"},"measure":"money","value":90000,
        "window":{"calendar":{"unit":"month","count":1}},"alert_left":9000},"version":1}}"#
        .replace('\n', " ");
    let script = format!("takeover\nopen C-1 Acme\nfacts C-1 [{set}]");
    check_detail(
        &script,
        &expect![[r#"
        blocked null in "Asia/Almaty"
        limits {"alert_left":9000,"left":90000,"limit":"L-7","limit_value":90000,"measure":"money","product":{"group":"DIESEL"},"scope":{"group":"trucks"},"span":{"calendar":{"count":1,"unit":"month"}}}
        all holds {"ml":0,"open":0}"#]],
    );
    let mut projection = run(&script);
    let contract = ContractId::new("C-1").expect("a contract");
    let seen = |used: i64| {
        let view = format!(
            r#"{{"card":"K-1","pan_masked":"*1","group":"trucks","state":"pin_locked","headroom":[{{"limit":"L-7","scope":{{"group":"trucks"}},"measure":"money",
            "span":{{"calendar":{{"unit":"month","count":1}}}},"window":"month 2025-02 Asia/Almaty","period":661,"limit_value":90000,"used":{used},"held":500,"left":0}}]}}"#
        );
        serde_json::from_str(&view).expect("a card")
    };
    let place = projection.contracts.place(&contract).expect("known");
    projection.apply_card(place, seen(30_000));
    let detail: Value =
        serde_json::to_value(projection.contract_detail(projection.contracts().at(place))).expect("JSON");
    expect![[r#"
        {"alert_left":9000,"ends_at_us":1740769200000000,"held":500,"left":59500,"limit":"L-7","limit_value":90000,"measure":"money","product":{"group":"DIESEL"},"scope":{"group":"trucks"},"span":{"calendar":{"count":1,"unit":"month"}},"used":30000,"window":"month 2025-02 Asia/Almaty"}
        {"card":"K-1","group":"trucks","headroom":[],"pan_masked":"*1","state":"pin_locked"}"#]].assert_eq(&format!("{}\n{}", detail["limits"][0], detail["cards"][0]));
    let line: Value = serde_json::to_value(projection.contract_line(projection.contracts().at(place))).expect("JSON");
    assert_eq!(line["blocked_cards"], 1, "a card with a locked PIN cannot buy");
}

#[test]
fn a_contract_that_spends_evenly_is_told_when_it_will_be_blocked() {
    // 19 February 2025, a Thursday in Almaty at 02:20; a purchase of 20 litres every three hours for five days.
    let buys = "sale K-1 2\npass 180\n".repeat(40);
    let projection = run(&format!("takeover\nopen C-1 Acme\nissue C-1 K-1\ntop-up C-1 10000\n{buys}"));
    let contract = projection.contracts().get(&ContractId::new("C-1").expect("a contract")).expect("known");
    let line: Value = serde_json::to_value(projection.forecast_line(contract)).expect("JSON");
    expect![[r#"{"available":6000,"blocks_at_local":"2025-03-04T06:50:00","blocks_at_us":1741053000000000,"now_us":1740421200000000,"outlook":"runs_out","pay_by_local":"2025-03-03T16:00:00","pay_by_us":1740999600000000,"per_day_minor":820,"time_zone":"Asia/Almaty"}"#]].assert_eq(&line.to_string());
}

#[test]
fn money_that_came_in_waits_for_the_banks_register_and_a_block_says_who_set_it() {
    check_detail(
        r#"takeover
         open C-1 Acme
         top-up C-1 5000
         facts C-1 [{"register_matched":{"line":{"date":"2025-02-20","reference":"wire","amount_minor":5000},"outcome":"matched","credited_minor":5000}},{"contract_blocked":{"actor":"issuer_credit","reason":"overdue"}}]"#,
        &expect![[r#"
            blocked {"actor":"issuer_credit","reason":"overdue"} in "Asia/Almaty"
            top_ups {"amount_minor":5000,"at_us":1740000000000000,"reference":"wire","register_day":"2025-02-20","register_minor":5000,"state":"register_matched"}
            all holds {"ml":0,"open":0}"#]],
    );
}

#[test]
fn a_record_of_a_replaced_owner_and_a_repeated_offset_change_nothing() {
    check(
        "takeover
         open C-1 Acme
         issue C-1 K-1
         takeover
         old-owner K-1 10
         twice K-1 20",
        &expect![[r#"
            C-1 Acme: -1000, 1 cards, 0 blocked, today 1/0
              K-1 active, 80000 ml left
            0-5 sale-2 K-1 20000 ml APPROVED, latency unknown
            sold today 20000 ml, {"approved":1,"decisions":1,"declined":0,"partial":0,"readings":0,"rejected":0,"replayed":0,"reprompted":0}
        "#]],
    );
}

#[test]
fn a_repeat_of_an_answer_is_shown_but_not_counted_as_a_decision() {
    check(
        "takeover
         open C-1 Acme
         issue C-1 K-1
         sale K-1 10
         again K-1 0 sale-1",
        &expect![[r#"
            C-1 Acme: -500, 1 cards, 0 blocked, today 1/0
              K-1 active, 90000 ml left
            0-4 sale-1 K-1 0 ml APPROVED again, latency unknown
            0-3 sale-1 K-1 10000 ml APPROVED, latency unknown
            sold today 10000 ml, {"approved":1,"decisions":1,"declined":0,"partial":0,"readings":0,"rejected":0,"replayed":1,"reprompted":0}
        "#]],
    );
}

#[test]
fn todays_figures_begin_again_at_midnight_utc() {
    check(
        "takeover
         open C-1 Acme
         open C-2 Bolt
         issue C-1 K-1
         issue C-2 K-2
         sale K-1 10
         sale K-2 20
         pass 1440
         sale K-2 30",
        &expect![[r#"
            C-1 Acme: -500, 1 cards, 0 blocked, today 0/0
              K-1 active, 90000 ml left
            C-2 Bolt: -2500, 1 cards, 0 blocked, today 1/0
              K-2 active, 50000 ml left
            0-7 sale-3 K-2 30000 ml APPROVED, latency unknown
            0-6 sale-2 K-2 20000 ml APPROVED, latency unknown
            0-5 sale-1 K-1 10000 ml APPROVED, latency unknown
            sold today 30000 ml, {"approved":3,"decisions":3,"declined":0,"partial":0,"readings":0,"rejected":0,"replayed":0,"reprompted":0}
        "#]],
    );
}

#[test]
fn a_gauge_that_stays_silent_is_marked() {
    check(
        "takeover
         level S-1 1 9000
         level S-1 2 8000
         level S-2 1 7000
         live
         pass 1
         level S-1 1 8990
         level S-1 2 7990
         level S-2 1 6990
         pass 4
         level S-1 1 8950
         level S-2 1 6950",
        &expect![[r#"
            S-1/1 8950000 ml
            S-1/2 7990000 ml stale
            S-2/1 6950000 ml
            sold today 0 ml, {"approved":0,"decisions":0,"declined":0,"partial":0,"readings":8,"rejected":0,"replayed":0,"reprompted":0}
        "#]],
    );
}

#[test]
fn a_wish_on_a_contract_that_is_not_there_leaves_a_decision_and_no_contract() {
    let projection = run("takeover
        sale K-1 10");
    assert!(projection.contracts().all().is_empty());
    assert!(projection.cards().get(&CardToken::new("K-1").expect("a card")).is_none());
    assert_eq!(projection.decisions().newest_first().count(), 1);
}

#[test]
fn memory_for_decisions_is_bounded() {
    let mut script = "takeover
        open C-1 Acme
        issue C-1 K-1
        "
    .to_owned();
    for _ in 0..decisions::DECISIONS_MAX + 10 {
        script += "sale K-1 0\n";
    }
    let projection = run(&script);
    assert_eq!(projection.decisions().newest_first().count(), decisions::DECISIONS_MAX);
    assert_eq!(projection.contracts().all()[0].decisions.len(), contracts::CONTRACT_DECISIONS_MAX);
    let newest = projection.decisions().newest_first().next().expect("some");
    assert_eq!(newest.idem.as_str(), format!("sale-{}", decisions::DECISIONS_MAX + 10));
}

#[test]
fn a_site_shows_its_tanks_its_connection_and_its_last_hour() {
    let mut world = World::new();
    let mut projection = Projection::new(STALE_AFTER_US);
    let mut items = world.takeovers().to_vec();
    items.extend([world.level("S-1", "1", 9000), world.status("S-1", true)]);
    items.extend([world.minute("S-1", 1, 40), world.minute("S-1", 2, 50), world.minute("S-1", 1, 40)]);
    world.pass_minutes(1);
    items.extend([world.minute("S-1", 1, 5), world.status("S-1", false)]);
    items.into_iter().for_each(|item| projection.apply(item));
    let line = |site| serde_json::to_string(&projection.site_line(&SiteId::new(site).expect("a site"))).expect("JSON");
    expect![[r#"{"site":"S-1","online":false,"online_since_us":1740000060000000,"tanks":[{"site":"S-1","tank":"1","product":"DIESEL","registered":false,"measured_at_us":1740000000000000,"received_at_us":1740000000000000,"volume_ml":9000000,"capacity_ml":30000000,"stale":false,"revision":0}],"tank_details":[{"tank":"1","events":[],"days":[]}],"wet_stock":[],"products":[{"product":"DIESEL","minutes":2,"sales":2,"declines":0,"sold_ml":55000,"consumed_ml":55000}],"decisions":[]}"#]].assert_eq(&line("S-1"));
    assert_eq!(line("S-9"), "null");
}

/// Nanoseconds that this thread has run: other load on the machine does not count. Linux only.
fn busy_ns() -> u64 {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    figures.split(' ').next().and_then(|busy| busy.parse().ok()).expect("a number")
}

/// 5,000 contracts with ten cards each; most records are decisions on a card with a limit. Written in batches, as they are read.
#[test]
#[ignore = "a measurement: cargo test --release -p dashboards --lib -- --ignored --nocapture keeps_up"]
fn folding_keeps_up_with_a_log_that_is_read_again() {
    let (mut world, mut projection) = (World::new(), Projection::new(STALE_AFTER_US));
    world.takeovers().into_iter().for_each(|item| projection.apply(item));
    for contract in 0..5_000 {
        projection.apply(world.open(&format!("C-{contract}"), "Acme"));
        (0..10)
            .for_each(|card| projection.apply(world.issue(&format!("C-{contract}"), &format!("K-{contract}-{card}"))));
    }
    let (mut count, mut busy) = (0, 0);
    for batch in 0..200_u32 {
        let mut items = Vec::new();
        for number in batch * 2_000..(batch + 1) * 2_000 {
            let place = number.wrapping_mul(2_654_435_761) % 50_000;
            items.push(world.sale(&format!("K-{}-{}", place / 10, place % 10), 0));
            if number % 4 == 0 {
                items.push(world.level(&format!("S-{}", number % 1_000), &format!("{}", number % 5), number % 30_000));
            }
        }
        count += items.len();
        let begun = busy_ns();
        items.into_iter().for_each(|item| projection.apply(item));
        busy += busy_ns() - begun;
    }
    let rate = count as f64 * 1e9 / busy as f64;
    let begun = busy_ns();
    let snapshots: usize =
        (0..10).map(|_| serde_json::to_string(&projection.state(u64::MAX)).expect("JSON").len()).sum();
    let took_us = (busy_ns() - begun) / 10_000;
    println!("{rate:.0} records/s; a snapshot of {} bytes takes {took_us} us", snapshots / 10);
    assert!(rate > 50_000.0, "{rate:.0}/s");
}
