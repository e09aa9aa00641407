//! The JSON Schemas in `deploy/schemas` are generated from the wire types and must be current.

use std::path::PathBuf;

#[test]
fn the_published_schemas_are_those_of_the_code() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/schemas");
    let schemas = [
        ("transaction", schemars::schema_for!(model::Transaction)),
        ("command", schemars::schema_for!(model::CommandMessage)),
        ("decision", schemars::schema_for!(model::Decision)),
        ("reading", schemars::schema_for!(model::ReadingMessage)),
        ("status", schemars::schema_for!(model::StatusMessage)),
        ("setup", schemars::schema_for!(model::SetupMessage)),
        ("sale", schemars::schema_for!(model::SaleMessage)),
        ("ticket", schemars::schema_for!(model::TicketMessage)),
    ];
    for (name, schema) in schemas {
        let path = folder.join(format!("{name}.schema.json"));
        let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).expect("deploy/schemas can be written");
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(published == text, "{} is not current: run `make schemas`", path.display());
    }
}
