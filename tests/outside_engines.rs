//! `serve --config`: a broker and a database that Forecourt did not start, and Mosquitto for MQTT.

mod instance;
mod mosquitto;

use std::time::Duration;

use instance::{Instance, eventually, free_ports};
use mosquitto::Mosquitto;

#[test]
fn mosquitto_keeps_readings_for_a_forecourt_that_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let [port, ..] = free_ports();
    let _broker = Mosquitto::start(port, folder.path());
    let engines = Instance::embedded(folder.path());
    let mut forecourt = Instance::beside(&engines, folder.path(), "outside", port);

    let publish = |volume: u32| {
        let payload = format!(r#"{{"v":1,"product":"AI95","volume_ml":{volume},"capacity_ml":20000000}}"#);
        let output = instance::run(
            "mosquitto_pub",
            &["-p", &port.to_string(), "-q", "1", "-t", "fuel/v1/S-9/2/reading", "-m", &payload],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let level = |forecourt: &Instance, volume: &str| {
        eventually(&format!("level {volume}"), Duration::from_secs(20), || {
            forecourt.get_any("/api/v1/tanks?site=S-9").contains(volume).then_some(())
        });
    };
    publish(9_000_111);
    level(&forecourt, "9000111");

    // The session is persistent: what is published while Forecourt is dead arrives when it is back.
    forecourt.kill();
    publish(8_000_222);
    forecourt.launch();
    forecourt.wait_ready();
    level(&forecourt, "8000222");

    let recorded = forecourt.consume("outside.readings", "%s\n").iter().filter(|line| line.contains("S-9")).count();
    assert!(recorded >= 2, "{recorded} readings recorded");
    eventually("both readings in ClickHouse, once each", Duration::from_secs(60), || {
        (forecourt.clickhouse("SELECT count(), uniqExact(volume_ml) FROM outside.readings FORMAT TSV") == "2\t2")
            .then_some(())
    });
    let (took, clean) = forecourt.interrupt();
    assert!(clean && took < Duration::from_secs(5), "the end took {took:?}, clean: {clean}\n{}", forecourt.log_tail());

    // A process that only listens is ready without screens.
    forecourt.only(r#""ingest""#);
    forecourt.launch();
    eventually("ready without screens", Duration::from_secs(60), || {
        forecourt.try_get("/readyz").filter(|body| body.contains(r#""ready":true"#))
    });
}
