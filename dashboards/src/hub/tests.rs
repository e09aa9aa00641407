use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::samples::World;
use crate::view::DECISIONS_SHOWN_MAX;

/// A browser: applies messages as API.md says, and checks what it relies on.
#[derive(Default)]
struct Browser {
    seq: u64,
    token: String,
    network: Value,
    history: Vec<Value>,
    decisions: Vec<Value>,
    contracts: Map<String, Value>,
    tanks: Map<String, Value>,
    details: Map<String, Value>,
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().expect("a text")
}

impl Browser {
    fn hear(&mut self, message: &str) {
        let mut message: Value = serde_json::from_str(message).expect("JSON");
        assert_eq!(message["seq"], json!(self.seq + 1), "no gaps");
        self.seq += 1;
        self.token = text(&message, "token").to_owned();
        if message["type"] == "snapshot" {
            *self = Self {
                seq: self.seq,
                token: self.token.clone(),
                details: std::mem::take(&mut self.details),
                ..Self::default()
            };
            self.change(&mut message["state"]);
        } else {
            self.change(&mut message["changes"]);
        }
    }

    fn change(&mut self, changes: &mut Value) {
        if let Some(network) = changes.get_mut("network") {
            self.history.extend(list(&network["history"].take()));
            self.history.drain(..self.history.len().saturating_sub(180));
            self.network = network.take();
        }
        let mut decisions = list(&changes["decisions"]);
        assert!(decisions.len() <= DECISIONS_SHOWN_MAX);
        for line in &decisions {
            assert!(self.decisions.iter().all(|known| known["id"] != line["id"]), "no decision comes twice");
        }
        decisions.append(&mut self.decisions);
        decisions.truncate(DECISIONS_SHOWN_MAX);
        self.decisions = decisions;
        for line in list(&changes["contracts"]) {
            self.contracts.insert(text(&line, "contract").to_owned(), line);
        }
        for line in list(&changes["tanks"]) {
            self.tanks.insert(format!("{}/{}", text(&line, "site"), text(&line, "tank")), line);
        }
        for detail in list(&changes["contract_details"]) {
            self.details.insert(text(&detail, "contract").to_owned(), detail);
        }
    }

    fn shows(&self) -> Value {
        json!([self.network, self.history, self.decisions, self.contracts, self.tanks])
    }
}

/// What happens in the network, at the hub, and at two browsers.
#[derive(Clone, Debug)]
enum Step {
    TopUp(u8),
    Sale(u8, u8),
    Sales(u8),
    Block(u8),
    Level(u8, u8),
    Day,
    CaughtUp,
    Tick,
    Look(usize),
    Reconnect(usize),
    BeginAgain(usize),
    Subscribe(usize, u8),
    Unsubscribe(usize, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4_u8).prop_map(Step::TopUp),
        4 => (0..6_u8, 1..60_u8).prop_map(|(card, litres)| Step::Sale(card, litres)),
        1 => (90..120_u8).prop_map(Step::Sales),
        1 => (0..4_u8).prop_map(Step::Block),
        3 => (0..5_u8, 1..100_u8).prop_map(|(tank, litres)| Step::Level(tank, litres)),
        1 => Just(Step::Day),
        1 => Just(Step::CaughtUp),
        6 => Just(Step::Tick),
        6 => (0..2_usize).prop_map(Step::Look),
        2 => (0..2_usize).prop_map(Step::Reconnect),
        1 => (0..2_usize).prop_map(Step::BeginAgain),
        1 => (0..2_usize, 0..5_u8).prop_map(|(browser, contract)| Step::Subscribe(browser, contract)),
        1 => (0..2_usize, 0..5_u8).prop_map(|(browser, contract)| Step::Unsubscribe(browser, contract)),
    ]
}

struct Scene {
    hub: Hub,
    world: World,
    now_us: i64,
    receivers: Vec<watch::Receiver<Arc<Publication>>>,
}

impl Scene {
    fn new() -> Self {
        let (hub, mut world) = (Hub::new("test".to_owned(), Projection::new(1_000_000)), World::new());
        hub.apply(world.takeovers());
        for contract in 0..4 {
            hub.apply([
                world.open(&format!("C-{contract}"), "Acme"),
                world.issue(&format!("C-{contract}"), &format!("K-{contract}")),
            ]);
        }
        let receivers = vec![hub.publications(), hub.publications()];
        Self { hub, world, now_us: 1_000_000_000, receivers }
    }

    fn tick(&mut self) {
        self.now_us += 150_000;
        self.hub.tick(self.now_us, Vec::new());
    }

    fn next_message(&self, viewer: &mut Viewer) -> Option<Utf8Bytes> {
        let publication = self.hub.latest.borrow().clone();
        viewer.next_message(&self.hub, &publication)
    }

    fn look(&self, viewer: &mut Viewer, browser: &mut Browser) {
        while let Some(message) = self.next_message(viewer) {
            browser.hear(&message);
        }
    }

    /// What a browser shows that has just begun.
    fn fresh(&self) -> Value {
        let (mut viewer, mut browser) = (Viewer::new(&self.hub, None), Browser::default());
        self.look(&mut viewer, &mut browser);
        browser.shows()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whoever_missed_or_resumed_shows_in_the_end_what_a_fresh_page_shows(steps in proptest::collection::vec(step(), 1..80)) {
        let mut scene = Scene::new();
        let mut viewers: Vec<_> = (0..2).map(|_| (Viewer::new(&scene.hub, None), Browser::default())).collect();
        for step in steps {
            let contract_of = |number: u8| format!("C-{number}");
            match step {
                Step::TopUp(contract) => scene.hub.apply([scene.world.top_up(&contract_of(contract), 100)]),
                Step::Sale(card, litres) => scene.hub.apply([scene.world.sale(&format!("K-{card}"), litres.into())]),
                Step::Sales(count) => {
                    let sales: Vec<_> = (0..count).map(|_| scene.world.sale("K-0", 0)).collect();
                    scene.hub.apply(sales);
                }
                Step::Block(card) => scene.hub.apply([scene.world.block(&format!("K-{card}"))]),
                Step::Level(tank, litres) => {
                    scene.world.pass_minutes(1);
                    let low = r#"{"level_alarm":{"level":"low","volume_ml":1}}"#;
                    let identity = (u32::from(litres) % 3, u32::from(litres));
                    let items = [
                        scene.world.level("S-1", &tank.to_string(), litres.into()),
                        scene.world.register("S-1", &(tank / 2).to_string()),
                        scene.world.tank_event(&tank.to_string(), identity, litres % 2 == 0, low),
                        scene.world.aside("S-1", &(tank + 1).to_string(), model::ReadingRefused::NoVolume),
                    ];
                    scene.hub.apply(items);
                }
                Step::Day => scene.world.pass_minutes(24 * 60),
                Step::CaughtUp => scene.hub.apply([Feed::CaughtUp]),
                Step::Tick => scene.tick(),
                Step::Look(number) => {
                    let (viewer, browser) = &mut viewers[number];
                    if let Some(message) = scene.next_message(viewer) {
                        browser.hear(&message);
                    }
                }
                Step::Reconnect(number) => {
                    let (viewer, browser) = &mut viewers[number];
                    *viewer = Viewer::new(&scene.hub, Some(&browser.token));
                    browser.seq = 0;
                    browser.details.clear();
                }
                Step::BeginAgain(number) => {
                    let (viewer, browser) = &mut viewers[number];
                    *viewer = Viewer::new(&scene.hub, Some("another-17"));
                    *browser = Browser::default();
                }
                Step::Subscribe(number, contract) => {
                    prop_assert!(viewers[number].0.subscribe(ContractId::new(&contract_of(contract)).expect("a contract")));
                }
                Step::Unsubscribe(number, contract) => {
                    let contract = ContractId::new(&contract_of(contract)).expect("a contract");
                    viewers[number].0.unsubscribe(&contract);
                    viewers[number].1.details.remove(contract.as_str());
                }
            }
        }
        scene.tick();
        let fresh = scene.fresh();
        for (viewer, browser) in &mut viewers {
            scene.look(viewer, browser);
            prop_assert_eq!(browser.shows(), fresh.clone());
            prop_assert_eq!(viewer.subscriptions.len(), browser.details.len());
            for (id, detail) in &browser.details {
                let projection = scene.hub.read();
                let expected = match projection.contracts().get(&ContractId::new(id).expect("a contract")) {
                    Some(contract) => serde_json::to_value(projection.contract_detail(contract)).expect("JSON"),
                    None => {
                        let id = ContractId::new(id).expect("a contract");
                        serde_json::to_value(Projection::unknown_detail(&id)).expect("JSON")
                    }
                };
                prop_assert_eq!(detail, &expected);
            }
        }
    }
}

#[test]
fn a_prompt_viewer_gets_what_was_encoded_for_all() {
    let mut scene = Scene::new();
    scene.tick();
    let mut viewer = Viewer::new(&scene.hub, None);
    assert!(
        scene
            .next_message(&mut viewer)
            .expect("a snapshot")
            .starts_with(r#"{"type":"snapshot","seq":1,"token":"test-"#)
    );
    assert!(scene.next_message(&mut viewer).is_none(), "nothing happened");
    scene.hub.apply([scene.world.top_up("C-1", 5)]);
    scene.tick();
    let publication = scene.hub.latest.borrow().clone();
    let shared = publication.changes.clone().expect("somebody is there");
    assert!(shared.contains(r#""contract":"C-1""#) && !shared.contains(r#""contract":"C-2""#), "{shared}");
    let delta = scene.next_message(&mut viewer).expect("a delta");
    assert!(delta.contains(&shared), "{delta}");
}

#[test]
fn nothing_is_encoded_while_nobody_looks() {
    let mut scene = Scene::new();
    scene.receivers.clear();
    scene.tick();
    assert!(scene.hub.latest.borrow().changes.is_none());
    assert!(scene.hub.latest.borrow().to > 0);
}

#[test]
fn a_page_asleep_costs_one_delta_of_the_latest_values() {
    let mut scene = Scene::new();
    let (mut viewer, mut browser) = (Viewer::new(&scene.hub, None), Browser::default());
    scene.look(&mut viewer, &mut browser);
    for _ in 0..3_000 {
        scene.hub.apply([scene.world.top_up("C-1", 1), scene.world.sale("K-2", 0)]);
        scene.tick();
    }
    let message = scene.next_message(&mut viewer).expect("a delta");
    browser.hear(&message);
    assert!(message.len() < 120_000, "{} bytes", message.len());
    assert_eq!(browser.contracts["C-1"]["own"], 3_000);
    assert_eq!(browser.shows(), scene.fresh());
}

#[test]
fn at_most_twenty_contracts_are_followed() {
    let hub = Hub::new("test".to_owned(), Projection::new(0));
    let mut viewer = Viewer::new(&hub, None);
    let contract = |number| ContractId::new(&format!("C-{number}")).expect("a contract");
    assert!((0..SUBSCRIPTIONS_MAX).all(|number| viewer.subscribe(contract(number))));
    assert!(viewer.subscribe(contract(0)), "already followed");
    assert!(!viewer.subscribe(contract(SUBSCRIPTIONS_MAX)));
    viewer.unsubscribe(&contract(3));
    assert!(viewer.subscribe(contract(SUBSCRIPTIONS_MAX)));
}

#[test]
fn a_token_of_another_process_or_of_the_future_gives_a_snapshot() {
    let mut scene = Scene::new();
    scene.tick();
    for token in ["other-1", "test-999999999", "test-", "test", "", "test--1", "-1"] {
        let mut viewer = Viewer::new(&scene.hub, Some(token));
        assert!(scene.next_message(&mut viewer).expect("a message").contains("snapshot"), "{token}");
    }
    let mut viewer = Viewer::new(&scene.hub, Some(&scene.hub.token(1)));
    assert!(scene.next_message(&mut viewer).expect("a message").contains("delta"));
}
