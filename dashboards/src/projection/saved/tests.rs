use model::{AuthCode, ContractId, ReadingRefused};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Feed;
use crate::samples::World;

const LEDGER: (Topic, PartitionId) = (Topic::Ledger, PartitionId(0));
const STATIONS: (Topic, PartitionId) = (Topic::StationEvents, PartitionId(0));

/// What is recorded, in few words; a number says of whom.
#[derive(Clone, Debug)]
enum Step {
    TopUp(u8),
    Sale(u8, u8),
    Preauth(u8, u8),
    Complete(u8),
    Block(u8),
    Facts(u8, &'static str),
    Tank(u8, u8),
    Day,
}

const FACTS: [&str; 5] = [
    r#"[{"limit_set":{"limit":{"id":"L-1","scope":"contract","measure":"volume","value":900000,"window":{"calendar":{"unit":"week","count":1}}},"version":1}}]"#,
    r#"[{"holidays_set":{"days":["2025-03-22"]}}]"#,
    r#"[{"contract_blocked":{"actor":"issuer_credit","reason":"unpaid"}}]"#,
    r#"[{"topped_up":{"amount_minor":700,"reference":"bank 9"}},{"register_missing":{"reference":"bank 9","amount_minor":700}}]"#,
    r#"[{"limit_removed":{"limit":"L-1"}}]"#,
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..4_u8).prop_map(Step::TopUp),
        5 => (0..5_u8, 1..60_u8).prop_map(|(card, litres)| Step::Sale(card, litres)),
        2 => (0..4_u8, 1..60_u8).prop_map(|(card, litres)| Step::Preauth(card, litres)),
        1 => (0..4_u8).prop_map(Step::Complete),
        1 => (0..4_u8).prop_map(Step::Block),
        2 => (0..4_u8, proptest::sample::select(FACTS.to_vec())).prop_map(|(contract, facts)| Step::Facts(contract, facts)),
        4 => (0..5_u8, 1..100_u8).prop_map(|(tank, litres)| Step::Tank(tank, litres)),
        1 => Just(Step::Day),
    ]
}

fn items(world: &mut World, step: &Step, number: usize) -> Vec<Feed> {
    let code = |card: u8| format!("A{card:05}");
    match *step {
        Step::TopUp(contract) => vec![world.top_up(&format!("C-{contract}"), 100)],
        Step::Sale(card, litres) => vec![world.sale(&format!("K-{card}"), litres.into())],
        Step::Preauth(card, litres) => vec![world.preauth(&format!("K-{card}"), litres.into(), &code(card))],
        Step::Complete(card) => {
            let captured =
                json!([{ "reversed": { "card": format!("K-{card}"), "auth_code": code(card), "reason": "pump" } }]);
            vec![world.facts(&format!("C-{card}"), &captured.to_string())]
        }
        Step::Block(card) => vec![world.block(&format!("K-{card}"))],
        Step::Facts(contract, facts) => vec![world.facts(&format!("C-{contract}"), facts)],
        Step::Tank(tank, litres) => {
            world.pass_minutes(1);
            let low = r#"{"level_alarm":{"level":"low","volume_ml":1}}"#;
            let version = u32::try_from(number).expect("small");
            vec![
                world.level("S-1", &tank.to_string(), litres.into()),
                world.register("S-1", &(tank / 2).to_string()),
                world.tank_event(&tank.to_string(), (u32::from(litres) % 3, version), litres % 2 == 0, low),
                world.aside("S-1", &(tank + 1).to_string(), ReadingRefused::NoVolume),
                world.status("S-1", litres % 5 > 0),
                world.minute("S-1", version, litres.into()),
            ]
        }
        Step::Day => {
            world.pass_minutes(24 * 60);
            Vec::new()
        }
    }
}

/// All that pages show, without what belongs to one run of the process and without an order among contracts.
fn shown(projection: &mut Projection, now_us: i64) -> Value {
    projection.tick(now_us, Vec::new());
    let mut state = serde_json::to_value(projection.state(u64::MAX)).expect("JSON");
    let network = state["network"].as_object_mut().expect("an object");
    network.retain(|field, _| ["sales_ml_today", "totals", "holds"].contains(&field.as_str()));
    assert_eq!(network.len(), 3);
    let by_id = |contract: &Value| contract["contract"].to_string();
    state["contracts"].as_array_mut().expect("a list").sort_by_key(by_id);
    let contracts = (0..5).map(|number| ContractId::new(&format!("C-{number}")).expect("an id"));
    let details: Vec<_> = contracts
        .filter_map(|id| Some(serde_json::to_value(projection.contract_detail(projection.contracts().get(&id)?))))
        .map(|detail| detail.expect("JSON"))
        .collect();
    let site = SiteId::new("S-1").expect("a site");
    json!([state, details, serde_json::to_value(projection.site_line(&site)).expect("JSON")])
}

fn written(projection: &Projection, (topic, partition): (Topic, PartitionId)) -> Saved {
    let unpacked = projection.save(topic, partition);
    let saved = Saved::read(&unpacked.pack()).expect("it is whole");
    assert_eq!((saved.topic(), saved.partition(), saved.next()), (topic, partition, unpacked.next));
    saved
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn who_begins_with_what_was_saved_shows_what_the_whole_log_says(
        steps in proptest::collection::vec(step(), 1..80),
        cuts in (0.0..1.0, 0.0..1.0),
    ) {
        let mut world = World::new();
        let mut all = world.takeovers().to_vec();
        for number in 0..4 {
            all.push(world.open(&format!("C-{number}"), "Acme"));
            all.push(world.issue(&format!("C-{number}"), &format!("K-{number}")));
        }
        for (number, step) in steps.iter().enumerate() {
            all.extend(items(&mut world, step, number));
        }
        let now_us = world.at.get();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short list")]
        let place = |share: f64| (share * all.len() as f64) as usize;
        let mut saved = Vec::new();
        for (cut, what) in [(place(cuts.0), LEDGER), (place(cuts.1), STATIONS)] {
            let mut before = Projection::new(30_000_000);
            all[..cut].iter().cloned().for_each(|item| before.apply(item));
            saved.push(written(&before, what));
        }
        let (mut whole, mut restored) = (Projection::new(30_000_000), Projection::new(30_000_000));
        restored.restore(saved);
        for item in all {
            whole.apply(item.clone());
            restored.apply(item);
        }
        prop_assert_eq!(shown(&mut restored, now_us), shown(&mut whole, now_us));
    }
}

fn some() -> Projection {
    let (mut world, mut projection) = (World::new(), Projection::new(30_000_000));
    world.takeovers().into_iter().for_each(|item| projection.apply(item));
    let items =
        [world.open("C-1", "Acme"), world.issue("C-1", "K-1"), world.sale("K-1", 7), world.level("S-1", "1", 9)];
    items.into_iter().for_each(|item| projection.apply(item));
    projection
}

#[test]
fn a_file_that_is_not_whole_or_was_changed_is_of_no_use() {
    let file = some().save(LEDGER.0, LEDGER.1).pack();
    assert!(Saved::read(&file).is_ok());
    for end in 0..file.len() {
        assert!(Saved::read(&file[..end]).is_err(), "{end} of {} bytes", file.len());
    }
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 0x10;
        // A flag of the frame that nothing depends on may change.
        let same = |saved: Saved| saved.rows.len() == 2 && saved.next() == 4;
        assert!(Saved::read(&changed).map_or(true, same), "byte {place} of {}", file.len());
    }
}

#[test]
fn a_later_format_is_not_guessed() {
    let later = Unpacked { next: 0, lines: b"{\"format\":2}\n".to_vec() };
    assert!(matches!(Saved::read(&later.pack()), Err(Unusable::Line { line: 1, .. } | Unusable::Format(2))));
}

#[test]
fn an_open_hold_is_closed_by_what_follows() {
    let mut world = World::new();
    let mut before = Projection::new(0);
    let items = world.takeovers().into_iter().chain([world.open("C-1", "Acme"), world.issue("C-1", "K-1")]);
    items.collect::<Vec<_>>().into_iter().for_each(|item| before.apply(item));
    before.apply(world.preauth("K-1", 40, "A00001"));
    let mut restored = Projection::new(0);
    restored.restore(vec![written(&before, LEDGER)]);
    assert_eq!((restored.holds().count(), restored.holds().ml()), (1, 40_000));
    let code = AuthCode::new("A00001").expect("a code");
    restored.holds.close(&code);
    assert_eq!(restored.holds().count(), 0);
}
