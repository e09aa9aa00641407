//! Reads the manifests and fails when a dependency points the wrong way, or a crate takes in what it must not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const CRATES: [&str; 6] = ["model", "ingest", "pipeline", "sinks", "dashboards", "loadtest"];

fn dependencies(folder: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("Cargo.toml");
    let manifest: toml::Table = std::fs::read_to_string(&path).expect("a manifest").parse().expect("valid TOML");
    manifest["dependencies"].as_table().expect("a table").keys().cloned().collect()
}

#[test]
fn the_parts_know_only_the_model() {
    // The dashboards take forecast and books from the pipeline's pure functions.
    let allowed: BTreeMap<&str, &[&str]> = CRATES
        .iter()
        .map(|name| match *name {
            "model" => (*name, &[][..]),
            "dashboards" => (*name, &["model", "pipeline"][..]),
            _ => (*name, &["model"][..]),
        })
        .collect();
    for (name, allowed) in allowed {
        let inside: Vec<String> =
            dependencies(name).into_iter().filter(|dependency| CRATES.contains(&dependency.as_str())).collect();
        assert_eq!(inside, allowed, "{name}/Cargo.toml");
    }
}

#[test]
fn the_model_and_the_pipeline_do_no_io() {
    let io = ["tokio", "rdkafka", "rumqttc", "rumqttd", "clickhouse", "axum", "reqwest", "hyper"];
    for name in ["model", "pipeline"] {
        let found: Vec<String> =
            dependencies(name).into_iter().filter(|dependency| io.contains(&dependency.as_str())).collect();
        assert!(found.is_empty(), "{name}/Cargo.toml takes in {found:?}");
    }
}

#[test]
fn outside_formats_and_storage_have_one_home_each() {
    for (dependency, homes) in
        [("rumqttc", &["ingest", "loadtest"][..]), ("timely", &["pipeline"][..]), ("axum", &["dashboards"][..])]
    {
        for name in CRATES {
            assert!(
                !dependencies(name).contains(dependency) || homes.contains(&name),
                "{name}/Cargo.toml takes in {dependency}"
            );
        }
    }
}
