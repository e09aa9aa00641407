//! Golden scenarios in the words of the business, each run five ways; and the table that names them.
//!
//! A scenario is a file of `tests/scenarios`: lines that say what happens, and below each, indented, what came of it.
//! `make scenarios` writes the outcomes anew after a change that is meant; a plain run compares.

#[path = "scenarios/books.rs"]
mod books;
#[path = "scenarios/clauses.rs"]
mod clauses;
#[path = "scenarios/engine.rs"]
mod engine;
#[path = "scenarios/limits.rs"]
mod limits;
#[path = "scenarios/orders.rs"]
mod orders;
#[path = "scenarios/purchases.rs"]
mod purchases;
#[path = "scenarios/script.rs"]
mod script;
#[path = "scenarios/setting.rs"]
mod setting;
#[path = "scenarios/story.rs"]
mod story;
#[path = "scenarios/ways.rs"]
mod ways;
#[path = "scenarios/words.rs"]
mod words;

use std::collections::BTreeSet;
use std::fs;

use script::{Scenario, difference, folder, parting};
use ways::{Way, run};

/// So many scenarios are promised at least.
const PROMISED: usize = 120;
/// Failures that are told in full.
const TOLD_MAX: usize = 12;

#[test]
fn every_scenario_comes_out_the_same_in_five_ways() {
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let rewrite = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut failures = Vec::new();
    for scenario in Scenario::all().iter().filter(|scenario| scenario.name().contains(&only)) {
        if let Err(failure) = check(scenario, rewrite) {
            failures.push(failure);
        }
    }
    let told: Vec<&str> = failures.iter().take(TOLD_MAX).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} scenarios fail:\n\n{}", failures.len(), told.join("\n"));
}

/// Runs a scenario in all ways against its file, or writes the file.
fn check(scenario: &Scenario, rewrite: bool) -> Result<(), String> {
    let name = scenario.name();
    let in_way =
        |way: Way| run(scenario, way).map_err(|failure| format!("{name}:{}: {way}: {}\n", failure.line, failure.what));
    let first = in_way(Way::OneWorker)?;
    if rewrite {
        scenario.rewrite(&first.told);
    } else {
        for (step, told) in scenario.steps().zip(&first.told) {
            if step.expected != *told {
                let difference = difference(&step.expected, told);
                return Err(format!("{name}:{}: {}: {}\n{difference}", step.line, Way::OneWorker, step.text));
            }
        }
    }
    for way in &Way::ALL[1..] {
        let other = in_way(*way)?;
        for (place, step) in scenario.steps().enumerate() {
            if first.told[place] != other.told[place] {
                let difference = difference(&first.told[place], &other.told[place]);
                return Err(format!("{name}:{}: {way} differs: {}\n{difference}", step.line, step.text));
            }
            if first.outcomes[place] != other.outcomes[place] {
                let difference = parting(&first.outcomes[place], &other.outcomes[place]);
                return Err(format!("{name}:{}: {way} differs: {}\n{difference}", step.line, step.text));
            }
        }
    }
    Ok(())
}

#[test]
fn every_order_every_message_and_every_code_occurs() {
    let mut missing: BTreeSet<String> = BTreeSet::new();
    missing.extend(variants(&schemars::schema_for!(model::Command)));
    missing.extend(variants(&schemars::schema_for!(model::TransactionKind)));
    missing.extend(variants(&schemars::schema_for!(model::Code)));
    assert!(missing.len() > 80, "the vocabulary cannot be read any more: {missing:?}");
    for scenario in Scenario::all() {
        // What fails here fails the other test too, which says why.
        if let Ok(run) = run(&scenario, Way::OneWorker) {
            missing.retain(|word| !run.vocabulary.contains(word));
        }
    }
    assert!(missing.is_empty(), "no scenario shows {missing:?}");
}

/// The names of an enum's variants as they stand in JSON.
fn variants(schema: &schemars::Schema) -> Vec<String> {
    let value = serde_json::to_value(schema).unwrap_or_default();
    let mut names = Vec::new();
    for entry in ["oneOf", "anyOf"].iter().filter_map(|key| value[key].as_array()).flatten() {
        let one = [&entry["const"], &entry["required"][0]].into_iter().filter_map(|name| name.as_str());
        let several = entry["enum"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
        names.extend(one.chain(several).map(str::to_owned));
    }
    names.extend(value["enum"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)));
    names
}

#[test]
fn there_are_as_many_scenarios_as_promised_and_each_says_what_it_shows() {
    let scenarios = Scenario::all();
    assert!(scenarios.len() >= PROMISED, "{} of {PROMISED} scenarios", scenarios.len());
    let titles: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.title.as_str()).collect();
    assert_eq!(titles.len(), scenarios.len(), "two scenarios have one title, or one has none");
    assert!(!titles.contains(""), "a scenario begins with a line like `# A card buys at most its litres a day`");
}

#[test]
fn the_table_of_controls_names_every_scenario_and_none_that_is_not_there() {
    let table = fs::read_to_string(folder().join("../../deploy/CONTROLS.md")).expect("the table of controls");
    let named: BTreeSet<String> = table
        .split("](../tests/scenarios/")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(name, _)| name.to_owned())
        .collect();
    let there: BTreeSet<String> = Scenario::all().iter().map(Scenario::name).collect();
    let (gone, unnamed) = (named.difference(&there), there.difference(&named));
    assert!(
        named == there,
        "named but not there: {gone:?}; there but not named: {unnamed:?}",
        gone = gone.collect::<Vec<_>>(),
        unnamed = unnamed.collect::<Vec<_>>()
    );
}
