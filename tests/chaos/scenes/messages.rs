//! Messages nobody should send, and gauges that all come at once.

use std::time::Duration;

use crate::LeftOut;
use crate::poison;
use crate::report::Row;
use crate::stage::{Plan, Stage};

const ROUNDS: u32 = 5;

/// On every input, between good messages.
pub(crate) fn poison() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan::new("poison", 45))?;
    let mut sent = poison::Sent::default();
    for _ in 0..ROUNDS {
        sent.add(&poison::send_everywhere(&stage.forecourt, stage.folder.path()));
        stage.watch(Duration::from_secs(1));
    }
    (0..sent.rejected()).for_each(|_| stage.fault("message that cannot be understood"));
    (0..sent.refused_by_broker).for_each(|_| stage.fault("message of 10 MB refused by Kafka"));
    let reasons = sent.check_rejected(&stage.forecourt, Duration::from_secs(60));
    stage.remark(format!("in fuel.rejected: {reasons}"));
    Ok(stage.judge())
}

/// Several hundred gauges lose their connections at once and all come back at the same moment, again and again, while
/// others publish.
pub(crate) fn mqtt_storm() -> Result<Row, LeftOut> {
    let gauges = &["--storm-gauges", "400", "--storm-every", "5"];
    let mut stage = Stage::raise(&Plan { gauges, ..Plan::new("mqtt_storm", 60) })?;
    for _ in 0..11 {
        stage.watch(Duration::from_secs(5));
        stage.fault("400 gauges reconnecting at once");
    }
    Ok(stage.judge())
}
