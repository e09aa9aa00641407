//! Registered tanks through the whole dataflow: what is told of them, whatever happens to whoever tells it.

use std::collections::BTreeMap;

use model::{
    DeliveryTicket, IdempotencyKey, ImportedRow, Millimetres, PumpSale, ReadingRefused, TankDay, TankEvent,
    TankEventKind, TankSetup,
};
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const HOURS: i64 = 60 * MINUTE_US;
const PARTITION: PartitionId = PartitionId(0);

fn midnight() -> TimestampUs {
    at("00:00:00")
}

fn ids() -> (SiteId, TankId, ProductCode) {
    (SiteId::new("A").unwrap(), TankId::new("1").unwrap(), ProductCode::new("95").unwrap())
}

fn setup() -> TankSetup {
    let (site, tank, product) = ids();
    let mut setup = TankSetup::new(site, tank, product, Millilitres::from_litres(20_000));
    setup.expected_interval_s = 120;
    setup.sales_are_known = true;
    setup.thresholds.low_ml = Some(Millilitres::from_litres(4_000));
    setup
}

/// What arrives, in order; each with the time at which it does.
#[derive(Default)]
struct Story {
    inputs: Vec<Input>,
    readings: i64,
    sales: i64,
}

impl Story {
    fn device(&mut self, received_at_us: TimestampUs, message: DeviceMessage) {
        let record = ReadingRecord { v: FORMAT_VERSION, received_at_us, import: None, message };
        self.inputs.push(Input::Readings { partition: PARTITION, records: vec![(self.readings, record)] });
        self.readings += 1;
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what fits into a tank")]
    fn level(&mut self, time: TimestampUs, litres: f64, change: impl Fn(&mut Reading)) {
        let (site, tank, product) = ids();
        let volume_ml = Millilitres::new((litres * 1000.0) as u64).ok();
        let mut reading = Reading { volume_ml, ..Reading::new(site, tank, product, time) };
        change(&mut reading);
        self.device(time, DeviceMessage::Reading(reading));
    }

    fn registered(&mut self, time: TimestampUs) {
        self.device(time, DeviceMessage::Setup(Box::new(TankSetup { at_us: time, ..setup() })));
    }

    fn sold(&mut self, time: TimestampUs, litres: u64) {
        let (site, _, product) = ids();
        let item = SoldItem {
            code: product,
            group: None,
            unit: model::Unit::L,
            qty_ml: Millilitres::from_litres(u32::try_from(litres).unwrap()),
            pieces: 0,
            price_e4: PriceE4::new(700_000).unwrap(),
            amount_minor: MinorUnits::ZERO,
            discount_minor: MinorUnits::ZERO,
        };
        let sale = Sale {
            v: 1,
            origin: Origin { topic: OriginTopic::Ledger, partition: PARTITION, offset: self.sales },
            kind: SaleKind::Sold,
            at_us: time,
            site,
            terminal: TerminalId::new("T1").unwrap(),
            pump: None,
            card: CardToken::new("card").unwrap(),
            contract: None,
            items: vec![item],
            currency: Currency::RUB,
        };
        self.inputs.push(Input::Sales { partition: PARTITION, sales: vec![(self.sales, sale)] });
        self.sales += 1;
    }

    fn sold_for_cash(&mut self, time: TimestampUs, id: &str, litres: u32) {
        let (site, _, product) = ids();
        let id = IdempotencyKey::new(id).unwrap();
        let volume_ml = Millilitres::from_litres(litres);
        let sale = PumpSale { site, id, at_us: time, product, tank: None, pump: Some(3), volume_ml };
        self.device(time, DeviceMessage::Sale(sale));
    }

    fn ticket(&mut self, time: TimestampUs, litres: u32) {
        let (site, tank, _) = ids();
        let id = IdempotencyKey::new("ticket").unwrap();
        let ticket = DeliveryTicket { site, tank, id, at_us: time, volume_ml: Millilitres::from_litres(litres) };
        self.device(time, DeviceMessage::Ticket(ticket));
    }

    fn tick(&mut self, time: TimestampUs) {
        self.inputs.push(Input::Tick { at_us: time });
    }
}

/// A day and a half of one tank: sales by card and for cash, each fourth sent twice, a delivery with its ticket at six, 400 L
/// gone at two in the afternoon, silence from five to six. It is registered half an hour after its first reading.
fn story(seed: u64) -> Story {
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut story, mut litres, mut next_sale) = (Story::default(), 6_000.0, 40);
    for minute in (0..36 * 60).step_by(2) {
        let time = midnight().plus_us(minute * MINUTE_US);
        if minute >= next_sale {
            let volume = random.random_range(15..60);
            litres -= volume as f64;
            if random.random_ratio(1, 3) {
                let id = format!("receipt-{minute}");
                for _ in 0..1 + random.random_range(0..4) / 3 {
                    story.sold_for_cash(time.plus_us(-20 * SECOND_US), &id, volume);
                }
            } else {
                story.sold(time.plus_us(-20 * SECOND_US), u64::from(volume));
            }
            next_sale = minute + random.random_range(4..16);
        }
        if (360..376).contains(&minute) {
            litres += 500.0;
        }
        if minute == 400 {
            story.ticket(midnight().plus_us(377 * MINUTE_US), 4_000);
        }
        if minute == 14 * 60 {
            litres -= 400.0;
        }
        if minute == 30 {
            story.registered(time);
        }
        if !(17 * 60..18 * 60).contains(&minute) {
            story.level(time, litres + f64::from(random.random_range(0..3_u8)), |_| {});
        }
        story.tick(time);
    }
    story
}

/// The log of station events of the one partition.
#[derive(Default)]
struct Log {
    records: Vec<StationRecord>,
    zombies: Vec<StationRecord>,
}

impl Log {
    /// Takes over, is fed `before` again and goes on with `now`; dies before the last `lost` records are written. They are,
    /// after the next takeover.
    fn life(&mut self, before: &[Input], now: &[Input], lost: usize) {
        let event = StationEvent::Takeover { owner: "us".into(), at_us: TimestampUs::default() };
        self.records.push(StationRecord { v: FORMAT_VERSION, epoch: 0, event });
        let epoch = self.records.len() as i64 - 1;
        let fold = |(offset, record): (usize, &StationRecord)| {
            let (partition, offset, record) = (PARTITION, offset as i64, record.clone());
            Input::Fold { partition, offset, record }
        };
        let mut inputs: Vec<Input> = self.records.iter().enumerate().map(fold).collect();
        inputs.push(Input::Start { partition: PARTITION, epoch });
        inputs.extend(before.iter().filter(|input| !matches!(input, Input::Tick { .. })).cloned());
        inputs.push(Input::CaughtUp { partition: PARTITION });
        inputs.extend_from_slice(now);
        self.records.append(&mut self.zombies);
        let mut outputs = stepped(dataflow(Config::default()), inputs).concat();
        self.zombies =
            outputs.split_off(outputs.len().saturating_sub(lost)).into_iter().map(|out| out.record).collect();
        self.records.extend(outputs.into_iter().map(|output| output.record));
    }

    fn true_events(&self) -> impl Iterator<Item = &StationEvent> {
        let mut fence = model::Fence::default();
        self.records.iter().enumerate().filter_map(move |(offset, record)| {
            if let StationEvent::Takeover { .. } = record.event {
                fence.takeover(offset as i64);
                return None;
            }
            fence.admits(record.epoch).then_some(&record.event)
        })
    }

    /// The last version of each event; fails when versions do not count up by one.
    fn found(&self) -> Vec<&TankEvent> {
        let mut last: BTreeMap<(&str, u32), &TankEvent> = BTreeMap::new();
        for event in self.true_events() {
            let StationEvent::Tank(event) = event else { continue };
            let before = last.insert((event.kind.name(), event.number), event);
            assert_eq!(event.version, before.map_or(1, |before| before.version + 1), "{event:?}");
        }
        last.into_values().filter(|event| !event.withdrawn).collect()
    }

    fn days(&self) -> Vec<TankDay> {
        let mut last: BTreeMap<i64, &TankDay> = BTreeMap::new();
        for event in self.true_events() {
            let StationEvent::Day(day) = event else { continue };
            let before = last.insert(day.day, day);
            assert_eq!(day.version, before.map_or(1, |before| before.version + 1), "{day:?}");
        }
        last.into_values().cloned().collect()
    }
}

fn lived(story: &Story) -> Log {
    let mut log = Log::default();
    log.life(&[], &story.inputs, 0);
    log
}

fn show(event: &TankEvent) -> String {
    let clock = |at: TimestampUs| at.to_string()[11..16].to_owned();
    let span = event.ended_at_us.map_or_else(|| "on".to_owned(), clock);
    let litres = |volume: Millilitres| volume.get() / 1000;
    let what = match &event.kind {
        TankEventKind::Delivery(delivery) => {
            let ticket = delivery.ticket_ml.map_or_else(String::new, |ticket| format!(", ticket {} L", litres(ticket)));
            format!("delivery of about {} L{ticket}", (delivery.gross_ml.get() + 50_000) / 100_000 * 100)
        }
        TankEventKind::UnexplainedLoss { lost_ml, .. } => {
            format!("about {} L lost", (lost_ml.get() + 50_000) / 100_000 * 100)
        }
        TankEventKind::Silence { cause } => format!("silence, {cause:?}"),
        kind => kind.name().to_owned(),
    };
    format!("{}-{span} {what}\n", clock(event.began_at_us))
}

#[test]
fn a_day_and_a_half_of_a_tank_is_told_in_events() {
    let log = lived(&story(1));
    let mut events = log.found();
    events.sort_by_key(|event| event.began_at_us);
    let shown: String = events.into_iter().map(show).collect();
    expect![[r#"
        05:58-06:14 delivery of about 4000 L, ticket 4000 L
        13:56-14:00 about 400 L lost
        16:58-18:00 silence, Unknown
        01:44-on level_alarm
    "#]]
    .assert_eq(&shown);
}

#[test]
fn its_first_day_closes_with_what_came_and_went() {
    let story = story(1);
    let days = lived(&story).days();
    let [day] = days.as_slice() else { panic!("{days:?}") };
    let sold: u64 = story.inputs.iter().filter_map(sold_on_the_first_day).collect::<BTreeMap<_, _>>().values().sum();
    let (stock, quality) = (day.stock.expect("it is whole"), day.quality);
    assert_eq!(stock.sold_ml.get(), sold, "every receipt once");
    // 400 L went without a sale; the surface trembles by 2 L.
    let unsold = stock.consumed_ml.get() - sold;
    assert!((396_000..=404_000).contains(&unsold), "{unsold}");
    assert_eq!((quality.expected, quality.used, quality.silent_s), (720, 690, 3_360));
}

/// Receipt and volume of a sale of the first day.
fn sold_on_the_first_day(input: &Input) -> Option<(String, u64)> {
    let next_midnight = midnight().plus_us(24 * HOURS);
    let (id, time, volume) = match input {
        Input::Sales { sales, .. } => {
            let (offset, sale) = &sales[0];
            (format!("card {offset}"), sale.at_us, sale.items[0].qty_ml)
        }
        Input::Readings { records, .. } => match &records[0].1.message {
            DeviceMessage::Sale(sale) => (sale.id.to_string(), sale.at_us, sale.volume_ml),
            _ => return None,
        },
        _ => return None,
    };
    (time < next_midnight).then_some((id, volume.get()))
}

#[test]
fn what_nobody_registered_is_shown_as_sent_and_nothing_is_derived() {
    let mut story = story(1);
    story.inputs.retain(|input| {
        !matches!(input, Input::Readings { records, .. } if matches!(records[0].1.message, DeviceMessage::Setup(_)))
    });
    let log = lived(&story);
    assert_eq!((log.found().len(), log.days().len()), (0, 0));
    let levels = log.true_events().filter(|event| matches!(event, StationEvent::Level(_))).count();
    assert_eq!(levels, 36 * 30 - 30);
}

#[test]
fn readings_before_the_registration_count_and_those_without_a_volume_get_their_level() {
    let mut story = Story::default();
    let mut setup = setup();
    setup.charts = vec![model::DatedChart {
        from_us: TimestampUs::default(),
        chart: model::Chart::Points(
            [(0, 0), (10_000, 10_000), (20_000, 20_000)]
                .map(|(height, litres)| model::ChartPoint {
                    height_dmm: model::DeciMillimetres(height),
                    volume_ml: Millilitres::from_litres(litres),
                })
                .to_vec(),
        ),
        offset_dmm: 0,
    }];
    for minute in (0..120).step_by(2) {
        let time = midnight().plus_us(minute * MINUTE_US);
        let brought = if minute < 60 { 0 } else { 300 };
        story.level(time, 0.0, |reading| {
            (reading.volume_ml, reading.height_mm) = (None, Some(Millimetres(500 + brought)));
        });
    }
    let registered_at = midnight().plus_us(2 * HOURS);
    story.device(registered_at, DeviceMessage::Setup(Box::new(setup)));
    let log = lived(&story);
    let asides = log
        .true_events()
        .filter(|event| matches!(event, StationEvent::Aside { because, .. } if *because == ReadingRefused::NoVolume));
    assert_eq!(asides.count(), 60);
    let levels: Vec<u64> = log
        .true_events()
        .filter_map(|event| match event {
            StationEvent::Level(level) => Some(level.volume_ml.get() / 1_000_000),
            _ => None,
        })
        .collect();
    assert_eq!(levels, [[5; 30], [8; 30]].concat());
    let shown: String = log.found().into_iter().map(show).collect();
    assert!(shown.contains("delivery of about 3000 L"), "{shown}");
    // Whoever comes next finds all that is recorded, and adds nothing.
    let mut log = log;
    let recorded = log.records.len();
    log.life(&story.inputs, &[], 0);
    assert_eq!(log.records.len(), recorded + 1);
}

#[test]
fn a_file_that_is_imported_again_leaves_nothing() {
    let mut story = Story::default();
    for _ in 0..2 {
        for row in 0..200 {
            story.level(midnight().plus_us(row * 2 * MINUTE_US), 5_000.0 - row as f64, |reading| {
                reading.historical = true
            });
            let Some(Input::Readings { records, .. }) = story.inputs.last_mut() else { panic!("a reading was told") };
            records[0].1.import = Some(ImportedRow { file: 7, row: row.unsigned_abs() });
        }
    }
    // More readings than are remembered by their values.
    let levels = |log: &Log| log.true_events().filter(|event| matches!(event, StationEvent::Level(_))).count();
    assert_eq!(levels(&lived(&story)), 200);
    let (first, again) = story.inputs.split_at(200);
    let mut log = Log::default();
    log.life(&[], first, 0);
    // Of the inputs before, nothing is kept any more: the recorded facts know.
    log.life(&[], again, 0);
    assert_eq!(levels(&log), 200);
}

#[test]
fn a_registration_that_says_nothing_new_leaves_nothing() {
    let mut story = Story::default();
    story.registered(midnight());
    story.registered(midnight().plus_us(HOURS));
    assert_eq!(lived(&story).true_events().count(), 1);
}

#[test]
fn another_product_in_a_tank_ends_what_lasted() {
    let mut story = Story::default();
    story.registered(midnight());
    for minute in 0..20 {
        story.level(midnight().plus_us(minute * 2 * MINUTE_US), 3_000.0 + minute as f64, |_| {});
    }
    let low = |log: &Log| log.found().iter().filter(|event| event.ended_at_us.is_none()).count();
    assert_eq!(low(&lived(&story)), 1, "below 4,000 L");
    let other = TankSetup { product: ProductCode::new("92").unwrap(), ..setup() };
    story.device(midnight().plus_us(HOURS), DeviceMessage::Setup(Box::new(other)));
    assert_eq!(low(&lived(&story)), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Deliveries, losses and days are the same, wherever owners die and whatever they leave unsaid.
    #[test]
    fn crashes_do_not_change_what_is_told(
        seed in 0_u64..1000,
        crashes in prop::collection::vec((0_usize..2_000, 0_usize..6), 1..4),
    ) {
        let story = story(seed);
        let (mut log, mut done) = (Log::default(), 0);
        for (length, lost) in crashes {
            let until = (done + length).min(story.inputs.len());
            log.life(&story.inputs[..done], &story.inputs[done..until], lost);
            done = until;
        }
        log.life(&story.inputs[..done], &story.inputs[done..], 0);
        let whole = lived(&story);
        let volumes = |log: &Log| -> Vec<String> {
            let mut events = log.found();
            events.retain(|event| matches!(event.kind, TankEventKind::Delivery(_) | TankEventKind::UnexplainedLoss { .. }));
            events.sort_by_key(|event| event.began_at_us);
            events.into_iter().map(|event| format!("{:?} {:?} {:?}", event.began_at_us, event.ended_at_us, event.kind)).collect()
        };
        prop_assert_eq!(volumes(&log), volumes(&whole));
        let without_repeats = |log: &Log| -> Vec<TankDay> {
            let forget = |mut day: TankDay| {
                (day.version, day.quality.repeats) = (1, 0);
                day
            };
            log.days().into_iter().map(forget).collect()
        };
        prop_assert_eq!(without_repeats(&log), without_repeats(&whole));
        // One more owner adds nothing.
        let recorded = log.records.len();
        log.life(&story.inputs, &[], 0);
        prop_assert_eq!(log.records.len(), recorded + 1);
    }
}
