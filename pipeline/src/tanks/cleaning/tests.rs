use model::{Chart, DatedChart, ProductCode, Sentinel, SiteId, TankId};

use super::*;

const NOW: i64 = 1_770_000_000;

fn setup() -> TankSetup {
    let ids = (SiteId::new("S-1").unwrap(), TankId::new("1").unwrap(), ProductCode::new("DIESEL").unwrap());
    let mut setup = TankSetup::new(ids.0, ids.1, ids.2, Millilitres::new(49_087_000).unwrap());
    setup.charts = vec![DatedChart {
        from_us: TimestampUs::default(),
        chart: Chart::HorizontalCylinder {
            diameter_dmm: DeciMillimetres(25_000),
            length_dmm: DeciMillimetres(100_000),
            tilt_e4: 0,
            probe_dmm: None,
        },
        offset_dmm: 0,
    }];
    setup.density_15 = Some(Density(8_400));
    setup.sentinels = vec![Sentinel { column: None, value_e3: 65_535_000 }];
    setup.swappable = COLUMNS.to_vec();
    setup
}

fn at(seconds: i64) -> TimestampUs {
    TimestampUs::from_micros((NOW + seconds) * SECOND_US)
}

/// Values in litres, mm, mm and °C; `-` is absent.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures of a tank")]
fn reading(seconds: i64, values: &str) -> Reading {
    let setup = setup();
    let mut reading = Reading::new(setup.site, setup.tank, setup.product, at(seconds));
    let words: Vec<Option<f64>> = values.split(' ').map(|word| word.parse().ok()).collect();
    reading.volume_ml = words[0].map(|litres| Millilitres::new((litres * 1e3) as u64).unwrap());
    reading.height_dmm = words[1].map(|mm| DeciMillimetres((mm * 10.0) as u32));
    reading.water_dmm = words[2].map(|mm| DeciMillimetres((mm * 10.0) as u32));
    reading.temperature_cc = words[3].map(|celsius| CentiCelsius((celsius * 100.0).round() as i32));
    reading
}

fn shown(result: Result<Cleaned, ReadingRefused>) -> String {
    match result {
        Err(dropped) => dropped.as_str().to_owned(),
        Ok(cleaned) => {
            let mm = |height: Option<DeciMillimetres>| height.map_or(-1.0, |height| f64::from(height.0) / 10.0);
            let celsius = cleaned.temperature.map_or(-99.0, |t| f64::from(t.0) / 100.0);
            let litres = cleaned.volume_ml.get() / 1000;
            format!("{litres} {} {} {celsius} {:?}", mm(cleaned.height), mm(cleaned.water), cleaned.treatments)
        }
    }
}

/// What becomes of a reading after a believed one of 24,500 L at 15 °C.
fn check(values: &str, expected: &str) {
    let mut cleaner = Cleaner::new(setup()).unwrap();
    cleaner.clean(at(0), &reading(0, "24500 1250 12 15.0")).unwrap();
    assert_eq!(shown(cleaner.clean(at(60), &reading(60, values))), expected, "{values}");
}

#[test]
fn columns_that_changed_places_are_put_back_where_one_order_is_possible() {
    check("24480 1249 12 15.1", "24480 1249 12 15.1 []");
    check("1249 24480 12 15.1", "24480 1249 12 15.1 [Reordered]");
    check("15.1 1249 12 24480", "24480 1249 12 15.1 [Reordered]");
    check("24480 12 1249 15.1", "24480 1249 12 15.1 [Reordered]");
    check("12 15.1 24480 1249", "24480 1249 12 15.1 [Reordered]");
}

#[test]
fn two_columns_that_could_be_either_are_left_alone() {
    check("24480 1249 13.2 14.6", "24480 1249 13.2 14.6 []");
    check("24480 1249 14.6 12.6", "24480 1249 14.6 12.6 []");
    // Neither order is like the reading before: water was pumped out and a truck brought warm fuel, perhaps.
    check("24480 1249 15 30", "24480 1249 15 30 []");
}

#[test]
fn what_no_order_makes_possible_is_set_aside() {
    check("38000 1249 12 15.1", "impossible");
    check("24480 2600 12 15.1", "impossible");
    check("24480 1249 1300 15.1", "impossible");
    check("24480 1249 12 400", "impossible");
}

#[test]
fn a_volume_in_gallons_is_suggested_and_the_height_believed() {
    check("6471 1249 12 15.1", "24491 1249 12 15.1 [UnitSlip { ratio_e3: 264 }]");
    let mut cleaner = Cleaner::new(TankSetup { charts: Vec::new(), ..setup() }).unwrap();
    assert_eq!(shown(cleaner.clean(at(0), &reading(0, "6471 - - -"))), "6471 -1 -1 -99 []");
}

#[test]
fn a_value_that_means_unknown_is_no_value() {
    check("65535 1249 12 15.1", "24491 1249 12 15.1 [Unknown(Volume), VolumeFromHeight]");
    check("65535 - - -", "no_volume");
    check("24480 1249 12 65535", "24480 1249 12 -99 [Unknown(Temperature)]");
}

#[test]
fn a_share_of_the_capacity_is_a_volume() {
    let mut cleaner = Cleaner::new(setup()).unwrap();
    let mut share = reading(0, "- - - -");
    share.percent_e2 = Some(model::CentiPercent(5_000));
    assert_eq!(shown(cleaner.clean(at(0), &share)), "24543 -1 -1 -99 [VolumeFromPercent]");
}

#[test]
fn a_level_that_the_gauge_does_not_believe_is_none() {
    let mut invalid = reading(0, "0 0 0 15");
    invalid.status = Reading::INVALID_HEIGHT;
    assert_eq!(Cleaner::new(setup()).unwrap().clean(at(0), &invalid), Err(ReadingRefused::InvalidHeight));
}

#[test]
fn water_and_ullage_follow_the_table() {
    let cleaned = Cleaner::new(setup()).unwrap().clean(at(0), &reading(0, "24480 1250 100 15")).unwrap();
    // 100 mm of water are 658.6 L by the formula.
    assert_eq!(cleaned.water_ml.map(|volume| volume.get() / 100), Some(6_586));
    assert_eq!(cleaned.ullage_ml.get() / 1000, 49_087 - 24_480 - 659);
}

#[test]
fn the_volume_at_15_degrees_follows_the_table() {
    let cleaned = Cleaner::new(setup()).unwrap().clean(at(0), &reading(0, "24480 1249 12 25")).unwrap();
    assert_eq!(cleaned.volume_15_ml.map(|volume| volume.get() / 1000), Some(24_272));
}

#[test]
fn a_wrong_clock_shows_by_its_constant_delay_and_kept_readings_by_none() {
    let dates = |delays: &[(i64, i64)]| {
        let mut cleaner = Cleaner::new(setup()).unwrap();
        let mut seen = Vec::new();
        for (received, measured) in delays {
            let cleaned = cleaner.clean(at(*received), &reading(*measured, "24480 1249 12 15")).unwrap();
            seen.push((cleaned.at_us.get() / SECOND_US - NOW, cleaned.treatments.len()));
        }
        seen
    };
    assert_eq!(dates(&[(1, 600), (61, 660)]), [(1, 1), (61, 1)], "ahead");
    assert_eq!(dates(&[(1, -3600), (61, -3540), (121, -3480)]), [(-3600, 0), (61, 1), (121, 1)], "behind");
    assert_eq!(dates(&[(1, -3600), (2, -3540), (3, -3480)]), [(-3600, 0), (-3540, 0), (-3480, 0)], "kept");
    assert_eq!(dates(&[(1, 30 - NOW)]), [(1, 1)], "reset");
}
