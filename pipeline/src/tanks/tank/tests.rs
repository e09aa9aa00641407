use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use model::{DeciMillimetres, ProductCode, Reading, SiteId, TankId};
use proptest::prelude::*;

use super::*;
use crate::tanks::cleaning::Cleaner;

/// A Monday, midnight.
const MONDAY_S: i64 = 1_767_571_200;

fn setup(interval_s: u32, sales_are_known: bool) -> TankSetup {
    let ids = (SiteId::new("S-1").unwrap(), TankId::new("1").unwrap(), ProductCode::new("DIESEL").unwrap());
    let mut setup = TankSetup::new(ids.0, ids.1, ids.2, Millilitres::from_litres(40_000));
    setup.expected_interval_s = interval_s;
    setup.sales_are_known = sales_are_known;
    setup
}

/// What is heard of a tank, in order of arrival.
#[derive(Clone, Debug)]
enum Heard {
    Reading(i64, Box<Reading>),
    Sale(TimestampUs, Millilitres),
    Ticket(TimestampUs, Millilitres),
    Tick(i64),
}

/// Makes what a gauge and pumps tell, from what happens.
struct Story {
    setup: TankSetup,
    now_s: i64,
    litres: f64,
    water_mm: f64,
    readings: i64,
    heard: Vec<Heard>,
}

impl Story {
    fn new(setup: TankSetup, litres: f64) -> Self {
        Self { setup, now_s: MONDAY_S, litres, water_mm: 5.0, readings: 0, heard: Vec::new() }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures of a tank")]
    fn measure(&mut self) {
        self.readings += 1;
        // A gauge trembles by some litres.
        let noise = ((self.readings * 7_919) % 11 - 5) as f64 * 0.8;
        let ml = ((self.litres + noise) * 1000.0).max(0.0) as u64;
        let at = TimestampUs::from_micros(self.now_s * SECOND_US);
        let TankSetup { site, tank, product, .. } = self.setup.clone();
        let reading = Reading {
            volume_ml: Some(Millilitres::new(ml).unwrap()),
            water_dmm: Some(DeciMillimetres((self.water_mm * 10.0) as u32)),
            temperature_cc: Some(model::CentiCelsius(1_500)),
            ..Reading::new(site, tank, product, at)
        };
        self.heard.push(Heard::Reading(self.now_s + 1, Box::new(reading)));
    }

    /// Minutes in which so many litres a minute come (or go, unsold).
    fn flow(&mut self, minutes: i64, litres_per_minute: f64) -> &mut Self {
        for _ in 0..minutes {
            self.now_s += 60;
            self.litres += litres_per_minute;
            if self.now_s % i64::from(self.setup.expected_interval_s) == 0 {
                self.measure();
            }
        }
        self
    }

    /// Minutes in which a car takes 30 L every third minute while fuel comes in.
    fn busy(&mut self, minutes: i64, litres_per_minute: f64) -> &mut Self {
        for minute in 0..minutes {
            let selling = minute % 3 == 0;
            if selling {
                self.litres -= 30.0;
            }
            self.flow(1, litres_per_minute);
            if selling && self.setup.sales_are_known {
                let at = TimestampUs::from_micros(self.now_s * SECOND_US);
                self.heard.push(Heard::Sale(at, Millilitres::from_litres(30)));
            }
        }
        self
    }

    fn silent(&mut self, minutes: i64, litres_per_minute: f64) -> &mut Self {
        for _ in 0..minutes {
            self.now_s += 60;
            self.litres += litres_per_minute;
            self.heard.push(Heard::Tick(self.now_s));
        }
        self
    }
}

/// What stands at the end, by kind and number.
fn live(setup: &TankSetup, heard: &[Heard]) -> BTreeMap<(&'static str, u32), TankEvent> {
    let (mut cleaner, mut tank) = (Cleaner::new(setup.clone()).unwrap(), Tank::new(setup.clone()));
    let mut standing: BTreeMap<(&'static str, u32), TankEvent> = BTreeMap::new();
    for heard in heard {
        let events = match heard {
            Heard::Reading(received_s, reading) => {
                match cleaner.clean(TimestampUs::from_micros(received_s * SECOND_US), reading) {
                    Ok(cleaned) => tank.reading(&cleaned).unwrap_or_default(),
                    Err(_) => Vec::new(),
                }
            }
            Heard::Sale(at, volume) => tank.sale(*at, *volume),
            Heard::Ticket(at, volume) => tank.ticket(*at, *volume),
            Heard::Tick(now_s) => tank.tick(TimestampUs::from_micros(now_s * SECOND_US)),
        };
        for event in events {
            let before = standing.insert((event.kind.name(), event.number), event.clone());
            assert_eq!(event.version, before.map_or(1, |before| before.version + 1), "versions go up one by one");
        }
    }
    standing
}

/// Litres are told in tens: what counts here is what happened, not the last litre.
fn lines(standing: &BTreeMap<(&'static str, u32), TankEvent>) -> String {
    let clock = |at: TimestampUs| at.to_string()[11..16].to_owned();
    let tens = |volume: Millilitres| (volume.get() + 5_000) / 10_000 * 10;
    let mut lines = String::new();
    for ((name, number), event) in standing {
        let what = match &event.kind {
            TankEventKind::Delivery(delivery) => {
                let ticket =
                    delivery.ticket_difference_ml.map_or(String::new(), |by| format!(", ticket {} L", by.0 / 1000));
                format!("{} L, {} L sold{ticket}", tens(delivery.gross_ml), tens(delivery.sold_ml))
            }
            TankEventKind::UnexplainedLoss { lost_ml, .. } => format!("{} L", tens(*lost_ml)),
            TankEventKind::Silence { cause } => format!("{cause:?}"),
            TankEventKind::LevelAlarm { level, .. } => format!("{level:?}"),
            TankEventKind::WaterIngress { before_dmm, after_dmm } => {
                format!("{} to {} mm", before_dmm.0 / 10, after_dmm.0 / 10)
            }
            other => format!("{other:?}"),
        };
        let end = event.ended_at_us.map_or("on".to_owned(), clock);
        let state = if event.withdrawn { ", withdrawn" } else { "" };
        lines += &format!("{name} {number}: {}–{end} {what}{state}\n", clock(event.began_at_us));
    }
    lines
}

#[expect(clippy::needless_pass_by_value, reason = "reads best at the call")]
fn check(story: &Story, expected: Expect) {
    expected.assert_eq(&lines(&live(&story.setup, &story.heard)));
}

#[test]
fn a_delivery_while_fuel_is_sold_is_told_with_what_was_sold_meanwhile() {
    let mut story = Story::new(setup(60, true), 9_000.0);
    story.busy(90, 0.0).busy(20, 800.0).busy(200, 0.0);
    check(
        &story,
        expect![[r#"
        delivery 1: 01:28–01:50 16000 L, 210 L sold
    "#]],
    );
}

#[test]
fn the_drops_of_one_truck_are_one_delivery_and_the_next_truck_is_another() {
    let mut story = Story::new(setup(60, true), 5_000.0);
    story.busy(60, 0.0).busy(10, 800.0).busy(15, 0.0).busy(8, 800.0).busy(120, 0.0).busy(10, 700.0).busy(120, 0.0);
    check(
        &story,
        expect![[r#"
        delivery 1: 00:55–01:33 14400 L, 390 L sold
        delivery 2: 03:29–03:43 7000 L, 150 L sold
    "#]],
    );
}

#[test]
fn volume_alone_every_half_hour_shows_a_delivery() {
    let mut story = Story::new(setup(1_800, false), 9_000.0);
    story.busy(300, 0.0).busy(20, 800.0).busy(400, 0.0);
    check(
        &story,
        expect![[r#"
        delivery 1: 05:00–05:30 15970 L, 300 L sold
    "#]],
    );
}

#[test]
fn a_ticket_that_promises_more_than_came_shows_by_how_much() {
    let mut story = Story::new(setup(60, true), 9_000.0);
    story.busy(90, 0.0).busy(20, 800.0);
    let at = TimestampUs::from_micros(story.now_s * SECOND_US);
    story.heard.push(Heard::Ticket(at, Millilitres::from_litres(16_200)));
    story.busy(200, 0.0);
    let delivered = live(&story.setup, &story.heard);
    let Some(TankEventKind::Delivery(delivery)) = delivered.get(&("delivery", 1)).map(|event| &event.kind) else {
        panic!("{delivered:?}")
    };
    let difference = delivery.ticket_difference_ml.unwrap().0;
    assert!((-230_000..-170_000).contains(&difference), "{difference}");
}

#[test]
fn a_spike_is_no_delivery_and_no_loss() {
    let mut story = Story::new(setup(60, true), 9_000.0);
    story.busy(100, 0.0).flow(1, 5_000.0).flow(1, -5_000.0).busy(100, 0.0).flow(1, -4_000.0).flow(1, 4_000.0);
    story.busy(100, 0.0);
    check(&story, expect![[""]]);
}

#[test]
fn fuel_that_goes_unsold_is_a_loss() {
    let mut story = Story::new(setup(60, true), 9_000.0);
    story.busy(120, 0.0).busy(10, -60.0).busy(120, 0.0);
    check(
        &story,
        expect![[r#"
        unexplained_loss 1: 02:00–02:10 600 L
    "#]],
    );
}

#[test]
fn a_sale_that_is_told_late_withdraws_the_loss() {
    let mut story = Story::new(setup(60, true), 9_000.0);
    story.busy(120, 0.0).flow(5, -80.0);
    let at = TimestampUs::from_micros(story.now_s * SECOND_US);
    story.busy(120, 0.0);
    assert!(lines(&live(&story.setup, &story.heard)).contains("unexplained_loss 1: 02:00–"));
    story.heard.push(Heard::Sale(at, Millilitres::from_litres(400)));
    story.busy(10, 0.0);
    let standing = live(&story.setup, &story.heard);
    assert!(standing.values().all(|event| event.withdrawn), "{}", lines(&standing));
}

#[test]
fn silence_is_told_and_ends_with_the_next_reading() {
    let mut story = Story::new(setup(60, true), 9_000.0);
    story.busy(60, 0.0).silent(90, 0.0).busy(30, 0.0);
    check(
        &story,
        expect![[r#"
        silence 1: 01:00–02:31 Unknown
    "#]],
    );
}

#[test]
fn an_alarm_ends_when_the_level_is_well_back() {
    let mut low = setup(60, true);
    low.thresholds.low_ml = Some(Millilitres::from_litres(5_000));
    let mut story = Story::new(low, 5_300.0);
    story.busy(60, 0.0).flow(20, 10.0).busy(60, 0.0).busy(10, 900.0).busy(60, 0.0);
    check(
        &story,
        expect![[r#"
        delivery 1: 02:12–02:30 9000 L, 180 L sold
        level_alarm 1: 00:30–02:23 Low
    "#]],
    );
}

#[test]
fn rain_that_finds_a_way_in_is_told() {
    let mut story = Story::new(setup(60, true), 9_000.0);
    story.busy(300, 0.0);
    for _ in 0..40 {
        story.water_mm += 0.5;
        story.flow(5, 0.0);
    }
    story.busy(300, 0.0);
    check(
        &story,
        expect![[r#"
        water_ingress 1: 05:10–08:20 5 to 25 mm
    "#]],
    );
}

#[test]
fn kept_readings_of_a_silence_correct_what_was_told_of_it() {
    let mut story = Story::new(setup(60, false), 9_000.0);
    story.busy(120, 0.0);
    let cut = story.heard.len();
    story.busy(20, 800.0).busy(60, 0.0);
    let kept = story.heard.split_off(cut);
    story.busy(120, 0.0);
    let rough = live(&story.setup, &story.heard);
    let Some(TankEventKind::Delivery(delivery)) = rough.get(&("delivery", 1)).map(|event| &event.kind) else {
        panic!("{rough:?}")
    };
    let rough = delivery.gross_ml.get().abs_diff(16_000_000);
    let now_s = story.now_s;
    story.heard.extend(kept.into_iter().map(|heard| match heard {
        Heard::Reading(_, reading) => Heard::Reading(now_s + 1, Box::new(Reading { historical: true, ..*reading })),
        other => other,
    }));
    story.busy(20, 0.0);
    let standing = live(&story.setup, &story.heard);
    let event = &standing[&("delivery", 1)];
    let TankEventKind::Delivery(delivery) = &event.kind else { panic!("{event:?}") };
    let better = delivery.gross_ml.get().abs_diff(16_000_000);
    assert!(event.version > 1 && better <= 50_000, "{better} after {rough}: {event:?}");
    assert_eq!(standing.keys().filter(|(name, _)| *name == "delivery").count(), 1);
}

/// Days with business from eight to ten, so many litres a minute coming or going all the time.
fn days(story: &mut Story, days: usize, litres_per_minute: f64) {
    for _ in 0..days {
        story.flow(8 * 60, litres_per_minute).busy(2 * 60, litres_per_minute).flow(14 * 60, litres_per_minute);
    }
}

#[test]
fn a_slow_leak_shows_in_quiet_hours_and_a_tight_tank_shows_none() {
    let mut sealed = setup(60, true);
    sealed.density_15 = Some(model::Density(8_400));
    let mut tight = Story::new(sealed.clone(), 36_000.0);
    days(&mut tight, 9, 0.0);
    assert_eq!(lines(&live(&tight.setup, &tight.heard)), "");
    let mut story = Story::new(sealed, 36_000.0);
    days(&mut story, 3, 0.0);
    // 1.5 L/h.
    days(&mut story, 6, -0.025);
    let standing = live(&story.setup, &story.heard);
    let Some(TankEventKind::SuspectedLeak { rate_ml_per_hour, error_ml_per_hour, .. }) =
        standing.get(&("suspected_leak", 1)).map(|event| &event.kind)
    else {
        panic!("{}", lines(&standing))
    };
    assert!(
        rate_ml_per_hour.abs_diff(1_500) <= (*error_ml_per_hour).max(200),
        "{rate_ml_per_hour} ± {error_ml_per_hour}"
    );
    assert_eq!(standing.len(), 1);
}

#[test]
fn where_sales_are_not_known_fuel_that_goes_at_night_is_a_loss() {
    let mut story = Story::new(setup(1_800, false), 37_000.0);
    days(&mut story, 20, 0.0);
    story.flow(3 * 60, 0.0).flow(10, -100.0).flow(4 * 60 + 50, 0.0).busy(2 * 60, 0.0).flow(14 * 60, 0.0);
    days(&mut story, 2, 0.0);
    check(
        &story,
        expect![[r#"
            unexplained_loss 1: 03:00–03:30 1000 L
        "#]],
    );
}

#[test]
fn memory_is_bounded_and_a_reading_from_long_ago_is_refused() {
    let mut story = Story::new(setup(60, true), 30_000.0);
    days(&mut story, 5, 0.0);
    let (mut cleaner, mut tank) = (Cleaner::new(story.setup.clone()).unwrap(), Tank::new(story.setup.clone()));
    let mut last = None;
    for heard in &story.heard {
        match heard {
            Heard::Reading(received_s, reading) => {
                let at = TimestampUs::from_micros(received_s * SECOND_US);
                tank.reading(&cleaner.clean(at, reading).unwrap()).unwrap();
                last = Some(at);
            }
            Heard::Sale(at, volume) => _ = tank.sale(*at, *volume),
            Heard::Ticket(..) | Heard::Tick(_) => {}
        }
    }
    assert!(tank.window.len() <= SAMPLES_MAX && tank.checkpoints.len() <= SAMPLES_MAX / CHECKPOINT_EVERY + 2);
    let Some(Heard::Reading(_, first)) = story.heard.first() else { panic!("a reading") };
    let late = Reading { historical: true, seq: Some(7), ..(**first).clone() };
    let cleaned = cleaner.clean(last.unwrap(), &late).unwrap();
    assert_eq!(tank.reading(&cleaned), Err(ReadingRefused::TooOld));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_stands_at_the_end_does_not_depend_on_the_order_of_arrival(
        known in any::<bool>(), delays in proptest::collection::vec(0_usize..40, 500), litres in 100.0..900.0_f64,
    ) {
        let mut story = Story::new(setup(60, known), 9_000.0);
        story.busy(100, 0.0).busy(20, litres).busy(150, 0.0).busy(10, -70.0).busy(120, 0.0);
        let in_order = live(&story.setup, &story.heard);
        let mut order: Vec<(usize, Heard)> = story.heard.iter().cloned().enumerate().collect();
        order.sort_by_key(|(place, _)| place + delays[place % delays.len()]);
        let late: Vec<Heard> = order.into_iter().map(|(_, heard)| match heard {
            Heard::Reading(received, reading) => Heard::Reading(received, Box::new(Reading { historical: true, ..*reading })),
            other => other,
        }).collect();
        let shuffled = live(&story.setup, &late);
        let found = |standing: &BTreeMap<(&'static str, u32), TankEvent>| {
            let mut found: Vec<(&str, i64, u64)> = standing.values().filter(|event| !event.withdrawn)
                .map(|event| (event.kind.name(), event.began_at_us.get(), event.kind.volume().get())).collect();
            found.sort_unstable();
            found
        };
        let (in_order, shuffled) = (found(&in_order), found(&shuffled));
        prop_assert_eq!(in_order.len(), shuffled.len());
        for (one, other) in in_order.iter().zip(&shuffled) {
            // Less than a litre is not worth a correction.
            prop_assert!((one.0, one.1) == (other.0, other.1) && one.2.abs_diff(other.2) < 1_000, "{one:?} {other:?}");
        }
    }
}
