//! Scripts of business events through the whole dataflow.

use expect_test::{Expect, expect};
use model::{
    CardToken, Code, Currency, DeviceMessage, DeviceStatus, FORMAT_VERSION, MinorUnits, Minute, Origin, OriginTopic,
    PriceE4, ProductCode, Reading, SaleKind, SiteId, SoldItem, StationEvent, TankId, TerminalId,
};

use super::*;
use crate::worker::stepped;

mod properties;
mod tanks;

/// Writes inputs down as a station would: offsets and origins count up by themselves.
#[derive(Clone, Default)]
struct Script {
    readings: Vec<i64>,
    sales: Vec<i64>,
    receipts: i64,
}

/// A site's letter is its partition: A is 0.
fn partition_of(site: &str) -> PartitionId {
    PartitionId(i32::from(site.as_bytes()[0] - b'A'))
}

fn at(clock: &str) -> TimestampUs {
    let time: jiff::Timestamp = format!("2026-01-14T{clock}Z").parse().unwrap();
    TimestampUs::from_micros(time.as_microsecond())
}

fn litres(text: &str) -> Millilitres {
    Millilitres::from_litres(text.parse().unwrap())
}

fn next(offsets: &mut Vec<i64>, partition: PartitionId) -> i64 {
    offsets.resize(offsets.len().max(partition.index() + 1), 0);
    offsets[partition.index()] += 1;
    offsets[partition.index()] - 1
}

impl Script {
    /// `start A`, `tick 12:00:00`, `A 12:00:00 tank 5000`, `A 12:00:00 sold 40` (or `refunded`, `declined`), `A 12:00:00 online`;
    /// then optional `product 92`, and `again` for the receipt before, sent once more.
    fn input(&mut self, text: &str) -> Input {
        let words: Vec<&str> = text.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|w| *w == word).map(|place| words[place + 1]);
        match words[0] {
            "tick" => return Input::Tick { at_us: at(words[1]) },
            "start" => return Input::Start { partition: partition_of(words[1]), epoch: 0 },
            "revoke" => return Input::Revoke { partition: partition_of(words[1]) },
            _ => {}
        }
        let (site, time) = (words[0], at(words[1]));
        let product = after("product").unwrap_or("95");
        if words[2] == "online" {
            let status = DeviceStatus { site: SiteId::new(site).unwrap(), online: true, at_us: time };
            let record =
                ReadingRecord { v: 1, received_at_us: time, import: None, message: DeviceMessage::Status(status) };
            let partition = partition_of(site);
            return Input::Readings { partition, records: vec![(next(&mut self.readings, partition), record)] };
        }
        match words[2] {
            "tank" => self.reading(site, product, time, litres(words[3])),
            "sold" => self.sale(site, product, time, SaleKind::Sold, litres(words[3]), words.contains(&"again")),
            "refunded" => self.sale(site, product, time, SaleKind::Refunded, litres(words[3]), false),
            "declined" => self.sale(site, product, time, SaleKind::Declined(Code::Funds), litres(words[3]), false),
            other => panic!("{other:?} is nothing that happens at a station"),
        }
    }

    fn reading(&mut self, site: &str, product: &str, time: TimestampUs, volume: Millilitres) -> Input {
        let (site_id, tank) = (SiteId::new(site).unwrap(), TankId::new(product).unwrap());
        let product_code = ProductCode::new(product).unwrap();
        let reading = Reading { volume_ml: Some(volume), ..Reading::new(site_id, tank, product_code, time) };
        let record =
            ReadingRecord { v: 1, received_at_us: time, import: None, message: DeviceMessage::Reading(reading) };
        let partition = partition_of(site);
        Input::Readings { partition, records: vec![(next(&mut self.readings, partition), record)] }
    }

    fn sale(
        &mut self,
        site: &str,
        product: &str,
        time: TimestampUs,
        kind: SaleKind,
        volume: Millilitres,
        again: bool,
    ) -> Input {
        self.receipts += i64::from(!again);
        let item = SoldItem {
            code: ProductCode::new(product).unwrap(),
            group: None,
            unit: model::Unit::L,
            qty_ml: volume,
            pieces: 0,
            price_e4: PriceE4::new(700_000).unwrap(),
            amount_minor: MinorUnits::new((volume.get() * 7).cast_signed()).unwrap(),
            discount_minor: MinorUnits::ZERO,
        };
        let partition = partition_of(site);
        let sale = Sale {
            v: 1,
            origin: Origin { topic: OriginTopic::Ledger, partition: PartitionId(0), offset: self.receipts },
            kind,
            at_us: time,
            site: SiteId::new(site).unwrap(),
            terminal: TerminalId::new("T1").unwrap(),
            pump: None,
            card: CardToken::new("card").unwrap(),
            contract: None,
            items: vec![item],
            currency: Currency::RUB,
        };
        Input::Sales { partition, sales: vec![(next(&mut self.sales, partition), sale)] }
    }
}

fn minutes_of(outputs: &[Output]) -> impl Iterator<Item = &Minute> {
    outputs.iter().filter_map(|output| match &output.record.event {
        StationEvent::Minute(minute) => Some(minute),
        _ => None,
    })
}

fn show(minute: &Minute) -> String {
    let litres = |volume: Millilitres| volume.get() / 1000;
    let money: Vec<String> =
        minute.sold_minor.iter().map(|(code, sum)| format!("{} {code}", sum.get() / 100)).collect();
    let excess = match minute.refund_excess_ml {
        Millilitres::ZERO => String::new(),
        excess => format!(" (refunds {} L more)", litres(excess)),
    };
    format!(
        "{} {} {} v{}: {} sales {} L{excess} {}, {} declined, {} L drawn",
        minute.site,
        minute.product,
        &minute.minute_us.to_string()[11..16],
        minute.version,
        minute.sales,
        litres(minute.sold_ml),
        money.join(" "),
        minute.declines,
        litres(minute.consumed_ml),
    )
}

/// The minutes that each line of the script leads to.
fn check_with(rule: Config, script: &str, expect: Expect) {
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut writer = Script::default();
    let inputs: Vec<Input> = lines.iter().map(|line| writer.input(line)).collect();
    let mut shown = String::new();
    for (line, outputs) in lines.iter().zip(stepped(dataflow(rule), inputs)) {
        let minutes: Vec<String> = minutes_of(&outputs).map(show).collect();
        if !minutes.is_empty() {
            shown.push_str(&format!("{line}\n    {}\n", minutes.join("\n    ")));
        }
    }
    expect.assert_eq(&shown);
}

fn check(script: &str, expect: Expect) {
    check_with(Config::default(), script, expect);
}

#[test]
fn a_minute_is_written_when_time_has_passed_its_end() {
    check(
        "start A
         A 12:00:05 tank 5000
         A 12:00:10 sold 30
         A 12:00:40 tank 4970
         A 12:00:50 sold 20
         A 12:00:55 declined 10
         A 12:01:16 sold 5
         A 12:01:10 tank 4950
         A 12:01:20 tank 4945",
        expect![[r#"
            A 12:01:20 tank 4945
                A 95 12:00 v1: 2 sales 50 L 3500 RUB, 1 declined, 30 L drawn
        "#]],
    );
}

#[test]
fn products_and_sites_have_minutes_of_their_own() {
    check(
        "start A
         A 12:00:05 sold 30
         A2 12:00:06 sold 20
         A 12:00:07 sold 10 product 92
         tick 12:00:10
         tick 12:00:41",
        expect![[r#"
            tick 12:00:41
                A 92 12:00 v1: 1 sales 10 L 700 RUB, 0 declined, 0 L drawn
                A 95 12:00 v1: 1 sales 30 L 2100 RUB, 0 declined, 0 L drawn
                A2 95 12:00 v1: 1 sales 20 L 1400 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn a_silent_partition_holds_minutes_back_until_it_is_idle() {
    check(
        "tick 12:00:00
         start A
         start B
         A 12:00:05 sold 30
         A 12:00:10 tank 5000
         tick 12:00:20
         A 12:01:20 sold 10
         A 12:01:25 tank 5000
         tick 12:00:31
         B 12:01:30 sold 7
         B 12:01:30 tank 900
         tick 12:01:40",
        expect![[r#"
            tick 12:00:31
                A 95 12:00 v1: 1 sales 30 L 2100 RUB, 0 declined, 0 L drawn
            tick 12:01:40
                A 95 12:01 v1: 1 sales 10 L 700 RUB, 0 declined, 0 L drawn
                B 95 12:01 v1: 1 sales 7 L 490 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn the_last_minutes_close_when_everything_is_idle() {
    check(
        "start A
         A 12:00:05 sold 30
         A 12:00:59 sold 10
         tick 12:01:00
         tick 12:01:30
         tick 12:01:31
         tick 12:05:00",
        expect![[r#"
            tick 12:01:31
                A 95 12:00 v1: 2 sales 40 L 2800 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn a_flood_of_late_sales_is_one_correction() {
    check(
        "start A
         A 12:00:05 sold 30
         A 12:00:06 tank 5000
         A 12:02:00 sold 1
         A 12:02:00 tank 5000
         A 12:00:07 sold 1
         A 12:00:08 sold 1
         A 12:00:09 sold 1
         tick 12:02:01
         tick 12:02:02",
        expect![[r#"
            A 12:02:00 tank 5000
                A 95 12:00 v1: 1 sales 30 L 2100 RUB, 0 declined, 0 L drawn
            tick 12:02:01
                A 95 12:00 v2: 4 sales 33 L 2310 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn a_late_sale_of_a_minute_without_any_opens_it() {
    check(
        "start A
         A 12:02:00 sold 1
         A 12:02:00 tank 5000
         A 12:00:07 sold 5
         tick 12:02:01",
        expect![[r#"
            tick 12:02:01
                A 95 12:00 v1: 1 sales 5 L 350 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn a_receipt_that_is_sent_twice_counts_once() {
    check(
        "start A
         A 12:00:05 sold 30
         A 12:00:05 sold 30 again
         tick 12:00:06
         tick 12:00:40",
        expect![[r#"
            tick 12:00:40
                A 95 12:00 v1: 1 sales 30 L 2100 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn refunds_are_taken_off_and_never_make_fuel_negative() {
    check(
        "start A
         A 12:00:05 sold 30
         A 12:00:50 refunded 10
         A 12:01:05 refunded 20
         tick 12:01:06
         tick 12:01:40",
        expect![[r#"
            tick 12:01:40
                A 95 12:00 v1: 1 sales 20 L 1400 RUB, 0 declined, 0 L drawn
                A 95 12:01 v1: 0 sales 0 L (refunds 20 L more) -1400 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn a_delivery_during_sales_hides_no_sale_before_or_after_it() {
    check(
        "start A
         A 12:00:00 tank 2000
         A 12:00:10 tank 1960
         A 12:00:20 tank 7000
         A 12:00:30 tank 12000
         A 12:00:40 tank 11950
         tick 12:00:41
         tick 12:01:20",
        expect![[r#"
            tick 12:01:20
                A 95 12:00 v1: 0 sales 0 L , 0 declined, 90 L drawn
        "#]],
    );
}

#[test]
fn readings_in_swapped_order_draw_the_same() {
    check(
        "start A
         A 12:00:00 tank 2000
         A 12:00:20 tank 1960
         A 12:00:10 tank 1980
         A 12:00:30 tank 1950
         tick 12:00:41
         tick 12:01:20",
        expect![[r#"
            tick 12:01:20
                A 95 12:00 v1: 0 sales 0 L , 0 declined, 50 L drawn
        "#]],
    );
}

#[test]
fn a_sale_dated_in_the_future_does_not_close_the_present() {
    check(
        "tick 12:00:00
         start A
         A 12:00:05 sold 30
         A 19:00:00 sold 1
         A 12:00:10 sold 10
         tick 12:00:40
         tick 18:56:00",
        expect![[r#"
            tick 12:00:40
                A 95 12:00 v1: 2 sales 40 L 2800 RUB, 0 declined, 0 L drawn
            tick 18:56:00
                A 95 19:00 v1: 1 sales 1 L 70 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn what_is_older_than_the_retention_is_left_out() {
    let rule = Config { retention_us: 10 * MINUTE_US, clock_ahead_max_us: None, ..Config::default() };
    check_with(
        rule,
        "start A
         A 12:00:05 sold 30
         A 12:00:10 tank 5000
         A 12:30:00 sold 1
         A 12:30:00 tank 5000
         A 12:00:07 sold 5
         A 12:25:00 sold 6
         tick 12:30:01",
        expect![[r#"
            A 12:30:00 tank 5000
                A 95 12:00 v1: 1 sales 30 L 2100 RUB, 0 declined, 0 L drawn
            tick 12:30:01
                A 95 12:25 v1: 1 sales 6 L 420 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn a_revoked_partition_says_nothing_more() {
    check(
        "start A
         start B
         A 12:00:05 sold 30
         B 12:00:05 sold 20
         revoke A
         A 12:00:06 sold 30
         tick 12:00:06
         tick 12:00:40",
        expect![[r#"
            tick 12:00:40
                B 95 12:00 v1: 1 sales 20 L 1400 RUB, 0 declined, 0 L drawn
        "#]],
    );
}

#[test]
fn accepted_readings_and_statuses_are_events_with_origin_and_epoch() {
    let mut script = Script::default();
    let lines =
        ["start A", "A 12:00:00 tank 2000", "A 12:00:00 tank 2000", "A 12:00:01 online", "A 12:00:02 tank 1990"];
    let outputs = stepped(dataflow(Config::default()), lines.map(|line| script.input(line)).to_vec());
    let shown: Vec<String> = outputs
        .iter()
        .flatten()
        .map(|output| {
            let (origin, what) = match &output.record.event {
                StationEvent::Level(level) => (level.origin, format!("level {} ml", level.volume_ml.get())),
                StationEvent::Status { origin, status } => (*origin, format!("online {}", status.online)),
                other => panic!("{other:?}"),
            };
            let epoch = output.record.epoch;
            format!("{}/{} {what} of {:?} {} epoch {epoch}", output.key, output.partition, origin.topic, origin.offset)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "A/0 level 2000000 ml of Readings 0 epoch 0",
            "A/0 online true of Readings 2 epoch 0",
            "A/0 level 1990000 ml of Readings 3 epoch 0",
        ]
    );
}

#[test]
fn a_partition_that_is_not_started_only_folds() {
    let mut script = Script::default();
    let lines = ["A 12:00:00 tank 2000", "A 12:00:05 sold 30", "tick 12:00:06", "tick 12:00:40"];
    let outputs = stepped(dataflow(Config::default()), lines.map(|line| script.input(line)).to_vec());
    assert!(outputs.concat().is_empty());
}

#[test]
fn what_was_recorded_stays_when_the_levels_behind_it_are_gone() {
    let minute = Minute {
        site: SiteId::new("A").unwrap(),
        product: ProductCode::new("95").unwrap(),
        minute_us: at("12:00:00"),
        version: 3,
        sales: 2,
        declines: 1,
        sold_ml: litres("50"),
        refund_excess_ml: Millilitres::ZERO,
        sold_minor: [(Currency::RUB, MinorUnits::new(350_000).unwrap())].into(),
        consumed_ml: litres("40"),
        sales_through: Some(1),
    };
    let takeover = StationEvent::Takeover { owner: "us".into(), at_us: at("12:00:00") };
    let log = [(0, takeover.clone()), (0, StationEvent::Minute(minute)), (0, takeover)];
    let mut script = Script::default();
    let mut inputs: Vec<Input> = log
        .into_iter()
        .enumerate()
        .map(|(offset, (epoch, event))| Input::Fold {
            partition: PartitionId(0),
            offset: i64::try_from(offset).unwrap(),
            record: StationRecord { v: FORMAT_VERSION, epoch, event },
        })
        .collect();
    inputs.push(Input::Start { partition: PartitionId(0), epoch: 2 });
    let lines = ["A 12:00:01 sold 30", "A 12:00:02 sold 20", "A 12:00:03 sold 7", "tick 12:00:10", "tick 12:00:41"];
    inputs.extend(lines.map(|line| script.input(line)));
    let outputs = stepped(dataflow(Config::default()), inputs).concat();
    let shown: Vec<String> = minutes_of(&outputs).map(show).collect();
    assert_eq!(shown, ["A 95 12:00 v4: 3 sales 57 L 3990 RUB, 1 declined, 40 L drawn"]);
}

#[test]
fn minutes_are_bounded_in_number() {
    let rule = Config { windows_max: 2, ..Config::default() };
    check_with(
        rule,
        "start A
         A 12:00:05 sold 1
         A 12:01:05 sold 2
         A 12:02:05 sold 3
         A 12:10:00 sold 4
         A 12:10:00 tank 5000
         A 12:00:06 sold 5
         A 12:02:06 sold 6
         tick 12:10:01",
        expect![[r#"
            A 12:10:00 tank 5000
                A 95 12:00 v1: 1 sales 1 L 70 RUB, 0 declined, 0 L drawn
                A 95 12:01 v1: 1 sales 2 L 140 RUB, 0 declined, 0 L drawn
                A 95 12:02 v1: 1 sales 3 L 210 RUB, 0 declined, 0 L drawn
            tick 12:10:01
                A 95 12:02 v2: 2 sales 9 L 630 RUB, 0 declined, 0 L drawn
        "#]],
    );
}
