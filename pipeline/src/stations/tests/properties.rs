//! Whatever the order, the workers and the restarts: the same sums.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::stations::levels::Levels;

const SITES: [&str; 5] = ["A", "A2", "B", "C", "C2"];
const PARTITIONS: i32 = 3;
const CASES: u32 = 20;

/// What counts in the end, per site, product and minute: sales, declines, sold less refunded, money, drawn.
type Sums = BTreeMap<(String, String, i64), (u32, u32, i128, i64, u64)>;

/// Half an hour of a small network: lanes in order of offset, times out of order, some of them late, some receipts twice.
fn history(seed: u64) -> Vec<Input> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut script = Script::default();
    let start = at("12:00:00");
    let mut tanks = BTreeMap::new();
    let (mut inputs, mut last_sale): (Vec<Input>, Option<Sale>) = (Vec::new(), None);
    for second in (0..1800_i64).step_by(5) {
        let site = SITES[rng.random_range(0..SITES.len())];
        let product = ["92", "95"][rng.random_range(0..2)];
        let behind = if rng.random_ratio(1, 20) { rng.random_range(0..600) } else { rng.random_range(0..15) };
        let time = start.plus_us((second - behind).max(0) * SECOND_US);
        match rng.random_range(0..10) {
            0..5 => {
                let volume: &mut u64 = tanks.entry((site, product)).or_insert(9_000_000);
                *volume = match rng.random_range(0..10) {
                    0 => *volume + 3_000_000,
                    1..4 => *volume + rng.random_range(0..20_000),
                    _ => volume.saturating_sub(rng.random_range(0..60_000)),
                };
                inputs.push(script.reading(site, product, time, Millilitres::new(*volume).unwrap()));
            }
            5 => {
                if let Some(sale) = last_sale.clone() {
                    let partition = partition_of(sale.site.as_str());
                    inputs.push(Input::Sales { partition, sales: vec![(next(&mut script.sales, partition), sale)] });
                }
            }
            kind => {
                let kind =
                    [SaleKind::Sold, SaleKind::Sold, SaleKind::Refunded, SaleKind::Declined(Code::Funds)][kind - 6];
                let volume = Millilitres::new(rng.random_range(1..80_000)).unwrap();
                let input = script.sale(site, product, time, kind, volume, false);
                if let Input::Sales { sales, .. } = &input {
                    last_sale = Some(sales[0].1.clone());
                }
                inputs.push(input);
            }
        }
        if second % 10 == 0 {
            inputs.push(Input::Tick { at_us: start.plus_us(second * SECOND_US) });
        }
    }
    inputs
}

/// The sums without windows, versions or time: straight from the inputs.
fn expected(inputs: &[Input]) -> Sums {
    let rule = Config::default();
    let mut sums = Sums::new();
    let (mut tanks, mut receipts) = (BTreeMap::<PartitionId, Levels>::new(), std::collections::BTreeSet::new());
    for input in inputs {
        match input {
            Input::Readings { partition, records } => {
                for (offset, record) in records {
                    let DeviceMessage::Reading(reading) = &record.message else { continue };
                    let levels = tanks.entry(*partition).or_default();
                    let origin = Origin { topic: OriginTopic::Readings, partition: *partition, offset: *offset };
                    let Ok(level) = levels.decide(&rule, origin, record.received_at_us, reading) else {
                        continue;
                    };
                    let drawn = levels.evolve(&rule, &level).get();
                    let key = (level.site.to_string(), level.product.to_string(), level.measured_at_us.minute().get());
                    if drawn > 0 {
                        sums.entry(key).or_default().4 += drawn;
                    }
                }
            }
            Input::Sales { sales, .. } => {
                for (_, sale) in sales.iter().filter(|(_, sale)| receipts.insert(sale.origin.offset)) {
                    let item = &sale.items[0];
                    let key = (sale.site.to_string(), item.code.to_string(), sale.at_us.minute().get());
                    let sum = sums.entry(key).or_default();
                    let (volume, money) = (i128::from(item.qty_ml.get()), item.amount_minor.get());
                    match sale.kind {
                        SaleKind::Sold => (sum.0, sum.2, sum.3) = (sum.0 + 1, sum.2 + volume, sum.3 + money),
                        SaleKind::Refunded => (sum.2, sum.3) = (sum.2 - volume, sum.3 - money),
                        SaleKind::Declined(_) => sum.1 += 1,
                    }
                }
            }
            _ => {}
        }
    }
    sums
}

/// The highest versions of a log; fails when versions do not count up by one.
fn final_sums<'a>(minutes: impl Iterator<Item = &'a Minute>) -> Sums {
    let (mut sums, mut versions) = (Sums::new(), BTreeMap::new());
    for minute in minutes {
        let key = (minute.site.to_string(), minute.product.to_string(), minute.minute_us.get());
        let version = versions.entry(key.clone()).or_insert(0);
        assert_eq!(minute.version, *version + 1, "version of {key:?}");
        *version = minute.version;
        let sold = i128::from(minute.sold_ml.get()) - i128::from(minute.refund_excess_ml.get());
        let money = minute.sold_minor.values().map(|sum| sum.get()).sum();
        sums.insert(key, (minute.sales, minute.declines, sold, money, minute.consumed_ml.get()));
    }
    sums
}

fn starts(epoch: i64) -> Vec<Input> {
    (0..PARTITIONS).map(|partition| Input::Start { partition: PartitionId(partition), epoch }).collect()
}

/// Ticks after which all is idle and every correction written.
fn closing_ticks(from_second: i64) -> Vec<Input> {
    let tick = |seconds| Input::Tick { at_us: at("12:00:00").plus_us((from_second + seconds) * SECOND_US) };
    [1, 40, 41].map(tick).to_vec() // idle from the second on; the third writes corrections
}

/// The same lanes, each in its order, mixed anew.
fn mixed(inputs: &[Input], seed: u64) -> Vec<Input> {
    let lane = |input: &Input| match input {
        Input::Readings { partition, .. } => partition.index() * 2,
        Input::Sales { partition, .. } => partition.index() * 2 + 1,
        _ => 6,
    };
    let mut order: Vec<usize> = inputs.iter().map(lane).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(seed));
    let mut lanes: Vec<_> = (0..7).map(|n| inputs.iter().filter(move |input| lane(input) == n)).collect();
    order.into_iter().filter_map(|n| lanes[n].next().cloned()).collect()
}

/// One line per difference, for a failure that can be read.
fn differences(left: &Sums, right: &Sums) -> String {
    let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let line = |key| format!("{key:?}: {:?} instead of {:?}\n", left.get(key), right.get(key));
    keys.into_iter().filter(|key| left.get(*key) != right.get(*key)).map(line).collect()
}

fn of_one_worker(inputs: &[Input]) -> Sums {
    let inputs = [starts(0), inputs.to_vec(), closing_ticks(1800)].concat();
    final_sums(minutes_of(&stepped(dataflow(Config::default()), inputs).concat()))
}

/// The log of station events, partition by partition, and the inputs so far.
#[derive(Default)]
struct World {
    log: BTreeMap<PartitionId, Vec<StationRecord>>,
    fed: Vec<Input>,
    expired: BTreeMap<PartitionId, i64>,
}

impl World {
    /// Takes over, reads again what is kept, goes on with `inputs`, and crashes before the last `lost` events are recorded.
    /// Those are written after the next takeover, by the owner that does not know yet.
    fn life(&mut self, inputs: &[Input], lost: usize, zombies: &mut Vec<Output>) {
        let mut messages = Vec::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            let log = self.log.entry(partition).or_default();
            let event = StationEvent::Takeover { owner: "us".into(), at_us: TimestampUs::default() };
            log.push(StationRecord { v: FORMAT_VERSION, epoch: 0, event });
            let epoch = log.len() as i64 - 1;
            let fold = |(offset, record): (usize, &StationRecord)| Input::Fold {
                partition,
                offset: offset as i64,
                record: record.clone(),
            };
            messages.extend(log.iter().enumerate().map(fold));
            messages.push(Input::Start { partition, epoch });
        }
        for zombie in zombies.drain(..) {
            self.log.entry(zombie.partition).or_default().push(zombie.record);
        }
        messages.extend(self.fed.iter().filter(|input| self.keeps(input)).cloned());
        messages.extend_from_slice(inputs);
        self.fed.extend_from_slice(inputs);
        // So few that a reading that was taken in before would not be known as a repeat by its values.
        let rule = Config { readings_remembered: 2, ..Config::default() };
        let mut outputs = stepped(dataflow(rule), messages).concat();
        *zombies = outputs.split_off(outputs.len().saturating_sub(lost));
        for output in outputs {
            self.log.entry(output.partition).or_default().push(output.record);
        }
    }

    fn keeps(&self, input: &Input) -> bool {
        match input {
            Input::Sales { partition, sales } => sales[0].0 >= self.expired.get(partition).copied().unwrap_or(0),
            _ => true,
        }
    }

    /// Lets as many sales expire as recorded minutes hold.
    fn expire(&mut self) {
        for partition in (0..PARTITIONS).map(PartitionId) {
            let mut through = BTreeMap::new();
            for minute in self.minutes(partition) {
                let key = (minute.site.clone(), minute.product.clone(), minute.minute_us);
                through.insert(key, minute.sales_through);
            }
            let held = |offset: i64, sale: &Sale| {
                let key = (sale.site.clone(), sale.items[0].code.clone(), sale.at_us.minute());
                through.get(&key).is_some_and(|through| Some(offset) <= *through)
            };
            let lane = self.fed.iter().filter_map(|input| match input {
                Input::Sales { partition: of, sales } if *of == partition => Some(&sales[0]),
                _ => None,
            });
            // A second record of a receipt must not outlive the first: the module says what happens then.
            let mut lane = lane.peekable();
            let mut expired = 0;
            while let Some((offset, sale)) = lane.next_if(|(offset, sale)| held(*offset, sale)) {
                if lane.peek().is_none_or(|(_, after)| after.origin != sale.origin) {
                    expired = offset + 1;
                }
            }
            self.expired.insert(partition, expired);
        }
    }

    /// The true minutes of a partition. Fails when a reading led to a second level.
    fn minutes(&self, partition: PartitionId) -> Vec<&Minute> {
        let mut fence = model::Fence::default();
        let (mut minutes, mut readings_through) = (Vec::new(), -1);
        for (offset, record) in self.log.get(&partition).into_iter().flatten().enumerate() {
            match &record.event {
                StationEvent::Takeover { .. } => fence.takeover(offset as i64),
                _ if !fence.admits(record.epoch) => {}
                StationEvent::Minute(minute) => minutes.push(minute),
                StationEvent::Level(level) => {
                    assert!(level.origin.offset > readings_through, "reading {} again", level.origin.offset);
                    readings_through = level.origin.offset;
                }
                StationEvent::Status { .. }
                | StationEvent::Registered { .. }
                | StationEvent::Tank(_)
                | StationEvent::Aside { .. }
                | StationEvent::Drawn(_)
                | StationEvent::Ticket { .. }
                | StationEvent::Day(_) => {}
            }
        }
        minutes
    }

    fn sums(&self) -> Sums {
        final_sums((0..PARTITIONS).flat_map(|partition| self.minutes(PartitionId(partition))))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn the_sums_are_those_of_the_inputs(seed in any::<u64>()) {
        let inputs = history(seed);
        prop_assert_eq!(differences(&of_one_worker(&inputs), &expected(&inputs)), "");
    }

    #[test]
    fn the_order_between_partitions_and_topics_does_not_matter(seed in any::<u64>(), order in any::<u64>()) {
        let inputs = history(seed);
        prop_assert_eq!(differences(&of_one_worker(&mixed(&inputs, order)), &expected(&inputs)), "");
    }

    #[test]
    fn crashes_replaced_owners_and_expired_sales_do_not_matter(
        seed in any::<u64>(),
        crashes in prop::collection::vec((0_usize..400, 0_usize..8, any::<bool>()), 0..4),
    ) {
        let inputs = history(seed);
        let (mut world, mut zombies, mut done) = (World::default(), Vec::new(), 0);
        for (length, lost, expire) in crashes {
            let until = (done + length).min(inputs.len());
            world.life(&inputs[done..until], lost, &mut zombies);
            if expire {
                world.expire();
            }
            done = until;
        }
        world.life(&[&inputs[done..], &closing_ticks(1800)].concat(), 0, &mut zombies);
        prop_assert_eq!(differences(&world.sums(), &expected(&inputs)), "");
        // One more owner finds nothing to correct.
        let recorded: usize = world.log.values().map(Vec::len).sum();
        world.life(&closing_ticks(1900), 0, &mut zombies);
        prop_assert_eq!(world.log.values().map(Vec::len).sum::<usize>(), recorded + PARTITIONS as usize);
    }
}

#[test]
fn several_workers_come_to_the_same_sums() {
    for (seed, workers) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4)] {
        let inputs = history(seed);
        let expected = expected(&inputs);
        let (sender, receiver) = std::sync::mpsc::sync_channel(1 << 14);
        let dataflow = spawn(Config { workers, ..Config::default() }, sender);
        for input in starts(0).into_iter().chain(inputs) {
            match &input {
                Input::Start { partition, .. } | Input::Readings { partition, .. } | Input::Sales { partition, .. } => {
                    dataflow.feed(*partition).send(input).unwrap();
                }
                _ => dataflow.feeds().iter().for_each(|feed| feed.send(input.clone()).unwrap()),
            }
        }
        let mut minutes: Vec<Minute> = Vec::new();
        for second in 0..200 {
            let tick = Input::Tick { at_us: at("12:30:00").plus_us(second * 10 * SECOND_US) };
            dataflow.feeds().iter().for_each(|feed| feed.send(tick.clone()).unwrap());
            std::thread::sleep(Duration::from_millis(10));
            minutes.extend(receiver.try_iter().flat_map(|batch| minutes_of(&batch).cloned().collect::<Vec<_>>()));
            if second > 5 && final_sums(minutes.iter()) == expected {
                break;
            }
        }
        dataflow.join();
        minutes.extend(receiver.iter().flat_map(|batch| minutes_of(&batch).cloned().collect::<Vec<_>>()));
        assert_eq!(differences(&final_sums(minutes.iter()), &expected), "", "seed {seed}, {workers} workers");
    }
}
