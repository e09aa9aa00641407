//! How much of a simulated tank's life is found out: deliveries, thefts, leaks, silence, dirty rows.
//!
//! A plain run is small and takes seconds. `TANK_SEEDS` sets how many worlds of each kind are lived through in each regime,
//! `FINAL=1` takes the final seeds in place of those for tuning, `REPORT` names a file for the score as JSON.

#[path = "tank_scorecard/engine.rs"]
mod engine;

use loadtest::tanks::scorecard::{Extent, RegimeScore, Seeds, score};
use loadtest::tanks::{Naive, Regime};

/// A plain run.
const SMALL: Extent = Extent { seeds: 1, tanks: 3, days: 21, leaking_tanks: 0, leak_days: 0 };
/// What a seed stands for when their number is given.
const LARGE: Extent = Extent { seeds: 1, tanks: 6, days: 90, leaking_tanks: 3, leak_days: 90 };

const ENGINE: &str = "the engine";

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn extent() -> Extent {
    setting("TANK_SEEDS").map_or(SMALL, |seeds| Extent { seeds, ..LARGE })
}

fn seeds() -> Seeds {
    if setting("FINAL").is_some() { Seeds::Final } else { Seeds::Tuning }
}

/// Prints the scores, and writes those of the engine to `REPORT`.
fn report(name: &str, scores: &[RegimeScore]) {
    for score in scores {
        println!("{name}, {score}");
    }
    if let Ok(path) = std::env::var("REPORT")
        && name == ENGINE
    {
        let told = serde_json::json!({ "engine": name, "seeds": seeds(), "extent": extent(), "regimes": scores });
        let text = serde_json::to_string_pretty(&told).expect("scores are plain numbers and names");
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    }
}

#[test]
fn the_engine_finds_out_more_than_one_that_believes_everything() {
    let told = Regime::ALL.map(|regime| score(regime, seeds(), extent(), 2, engine::Cleaned::new));
    report(ENGINE, &told);
    let naive = Regime::ALL.map(|regime| score(regime, seeds(), extent(), 2, Naive::new));
    report("naive", &naive);
    for (told, naive) in told.iter().zip(&naive) {
        let name = told.regime;
        let (told, naive) = (&told.deliveries, &naive.deliveries);
        assert!(told.happened > 10, "{name}: a world without trucks proves nothing");
        assert!(told.precision() > naive.precision(), "{name}: precision");
        assert!(told.volume_right_share() > naive.volume_right_share(), "{name}: volumes");
    }
}
