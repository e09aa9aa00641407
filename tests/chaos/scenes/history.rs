//! A ClickHouse that fails in every way between Forecourt's insert and its answer.

use std::time::Duration;

use crate::LeftOut;
use crate::network::{History, Manner};
use crate::report::Row;
use crate::stage::{Plan, Stage};
use crate::under_load::kill_engine;

/// Status 500 for a while, then many small outages.
pub(crate) fn clickhouse_errors() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan { history: true, ..Plan::new("clickhouse_errors", 50) })?;
    behave(&stage, Manner::Error);
    stage.watch(Duration::from_secs(10));
    behave(&stage, Manner::Pass);
    stage.fault("10 s of status 500");
    for _ in 0..15 {
        stage.watch(Duration::from_millis(1_200));
        behave(&stage, Manner::Refuse);
        stage.watch(Duration::from_millis(800));
        behave(&stage, Manner::Pass);
        stage.fault("outage of 0.8 s");
    }
    let requests = history(&stage).disturbed();
    stage.remark(format!("{requests} requests and connections were refused"));
    Ok(stage.judge())
}

/// Inserts that are carried out, and whose answers are lost: at once, or in a silence that lasts until the time-out.
pub(crate) fn clickhouse_answers_lost() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan { history: true, ..Plan::new("clickhouse_answers_lost", 50) })?;
    for _ in 0..10 {
        behave(&stage, Manner::HangUp);
        stage.watch(Duration::from_millis(1_500));
        behave(&stage, Manner::Pass);
        stage.watch(Duration::from_millis(1_500));
    }
    let hung_up = history(&stage).disturbed();
    behave(&stage, Manner::FallSilent);
    stage.watch(Duration::from_secs(3));
    behave(&stage, Manner::Pass);
    let silent = history(&stage).disturbed() - hung_up;
    assert!(hung_up > 0 && silent > 0, "{hung_up} answers swallowed, {silent} requests left in silence");
    (0..hung_up).for_each(|_| stage.fault("insert carried out, connection ended before the answer"));
    (0..silent).for_each(|_| stage.fault("insert carried out, no answer until the time-out"));
    Ok(stage.judge())
}

/// kill -9 while inserts are under way.
pub(crate) fn clickhouse_killed() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan::new("clickhouse_killed", 50))?;
    for round in 0..8 {
        stage.watch(Duration::from_millis(2_500 + 137 * round));
        if kill_engine(&stage.engines, "clickhouse") {
            stage.fault("kill -9 ClickHouse");
        }
    }
    Ok(stage.judge())
}

fn history(stage: &Stage) -> &History {
    stage.history.as_ref().expect("somebody before ClickHouse")
}

fn behave(stage: &Stage, manner: Manner) {
    history(stage).behave(manner);
}
