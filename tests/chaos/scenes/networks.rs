//! A network that is slow, loses packets, or is not there.

use std::time::Duration;

use crate::LeftOut;
use crate::report::Row;
use crate::stage::{Plan, Stage};

/// Lost packets and long ways at the same time, for Kafka and MQTT.
pub(crate) fn network_lossy() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan { network: true, ..Plan::new("network_lossy", 60) })?;
    let network = stage.network.as_ref().expect("a network");
    network.lose(5);
    network.delay(Duration::from_millis(50));
    stage.fault("45 s with 5 % of packets lost, 50 ms each way");
    stage.watch(Duration::from_secs(45));
    mend(&mut stage);
    Ok(stage.judge())
}

/// Nothing gets through to Kafka and the MQTT broker, and nobody is told: connections stay half open.
pub(crate) fn network_cut() -> Result<Row, LeftOut> {
    let mut stage = Stage::raise(&Plan { network: true, ..Plan::new("network_cut", 70) })?;
    for seconds in [10, 30] {
        stage.network.as_ref().expect("a network").cut();
        stage.fault(&format!("no packet for {seconds} s"));
        stage.watch(Duration::from_secs(seconds));
        mend(&mut stage);
        stage.watch(Duration::from_secs(10));
    }
    Ok(stage.judge())
}

fn mend(stage: &mut Stage) {
    let network = stage.network.as_ref().expect("a network");
    let lost = network.lost();
    network.mend();
    assert!(lost > 0, "no packet was lost");
    stage.remark(format!("{lost} packets were lost"));
}
