//! The tables, as numbered steps that are applied once each.
//!
//! A step that was released is never changed: a later one alters what it made. Every step can be applied again without
//! harm, because a process may die between applying and noting it.

use ::clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::{consumption, ledger_facts, readings, station_events, tank_events, tank_levels};
use crate::Error;

struct Step {
    version: u32,
    name: &'static str,
    statement: &'static str,
}

const STEPS: [Step; 24] = [
    Step { version: 1, name: "ledger_facts", statement: ledger_facts::CREATE },
    Step { version: 2, name: "readings", statement: readings::CREATE },
    Step { version: 3, name: "station_events", statement: station_events::CREATE },
    Step { version: 4, name: "consumption_minute", statement: consumption::CREATE_MINUTE },
    Step { version: 5, name: "consumption_day", statement: consumption::CREATE_DAY },
    Step { version: 6, name: "card_consumption_day", statement: consumption::CREATE_CARD_DAY },
    Step { version: 7, name: "card_consumption_day_feed", statement: consumption::FEED_CARD_DAY },
    Step { version: 8, name: "ledger_facts details", statement: ledger_facts::ADD_DETAILS },
    Step { version: 9, name: "card_consumption_day counts", statement: consumption::SIGN_CARD_DAY },
    Step { version: 10, name: "card_consumption_day_feed by lines", statement: consumption::FEED_CARD_DAY_BY_LINES },
    Step { version: 11, name: "sold_lines", statement: ledger_facts::CREATE_SOLD_LINES },
    Step { version: 12, name: "postings", statement: ledger_facts::CREATE_POSTINGS },
    Step { version: 13, name: "register_lines", statement: ledger_facts::CREATE_REGISTER },
    Step { version: 14, name: "ledger_facts by card", statement: ledger_facts::ADD_BY_CARD },
    Step { version: 15, name: "ledger_facts by card, older rows", statement: ledger_facts::FILL_BY_CARD },
    Step { version: 16, name: "card_consumption_day_feed ends", statement: consumption::DROP_CARD_DAY_FEED },
    Step { version: 17, name: "card_consumption_day as a table ends", statement: consumption::DROP_CARD_DAY },
    Step { version: 18, name: "card_consumption_day", statement: consumption::CREATE_CARD_DAY_VIEW },
    Step { version: 19, name: "readings without a volume", statement: readings::ALLOW_NO_VOLUME },
    Step { version: 20, name: "readings details", statement: readings::ADD_DETAILS },
    Step { version: 21, name: "tank_levels", statement: tank_levels::CREATE },
    Step { version: 22, name: "tank_events", statement: tank_events::CREATE_EVENTS },
    Step { version: 23, name: "tank_history", statement: tank_events::CREATE_HISTORY },
    Step { version: 24, name: "tank_days", statement: tank_events::CREATE_DAYS },
];

const CREATE_VERSIONS: &str = "
CREATE TABLE IF NOT EXISTS schema_versions (
    version UInt32,
    name String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
) ENGINE = MergeTree
ORDER BY version";

#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
struct VersionRow {
    version: u32,
    name: String,
}

/// Makes the database and applies the steps that it does not have. `server` has no database set, `client` has this one.
pub(super) async fn apply(server: &Client, client: &Client, database: &str) -> Result<(), Error> {
    let doing = |what: &str| format!("preparing database {database}: {what}");
    server
        .query("CREATE DATABASE IF NOT EXISTS ?")
        .bind(::clickhouse::sql::Identifier(database))
        .execute()
        .await
        .map_err(Error::clickhouse(doing("creating it")))?;
    client.query(CREATE_VERSIONS).execute().await.map_err(Error::clickhouse(doing("creating schema_versions")))?;
    let applied: Vec<u32> = client
        .query("SELECT DISTINCT version FROM schema_versions ORDER BY version")
        .fetch_all()
        .await
        .map_err(Error::clickhouse(doing("reading schema_versions")))?;
    let known = STEPS.iter().map(|step| step.version).max().unwrap_or(0);
    if let Some(found) = applied.last().copied().filter(|found| *found > known) {
        return Err(Error::NewerDatabase { database: database.to_owned(), found, known });
    }
    for step in STEPS.iter().filter(|step| !applied.contains(&step.version)) {
        client.query(step.statement).execute().await.map_err(Error::clickhouse(doing(step.name)))?;
        note(client, step).await.map_err(Error::clickhouse(doing(step.name)))?;
        tracing::info!(database, version = step.version, name = step.name, "ClickHouse table prepared");
    }
    Ok(())
}

async fn note(client: &Client, step: &Step) -> Result<(), ::clickhouse::error::Error> {
    let mut insert = client.insert::<VersionRow>("schema_versions").await?;
    insert.write(&VersionRow { version: step.version, name: step.name.to_owned() }).await?;
    insert.end().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_in_order_and_can_be_applied_again() {
        for (place, step) in STEPS.iter().enumerate() {
            assert_eq!(usize::try_from(step.version).expect("small"), place + 1, "{}", step.name);
            let repeats = ["IF NOT EXISTS", "IF EXISTS", "MODIFY COLUMN", "MODIFY QUERY"];
            assert!(repeats.iter().any(|words| step.statement.contains(words)), "{}", step.name);
        }
    }
}
