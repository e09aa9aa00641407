//! A Sparkplug edge node on Eclipse Tahu's own client, through Mosquitto, to the records of a real Forecourt.

mod instance;
mod mosquitto;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use instance::{Instance, Servers, eventually, free_ports};
use mosquitto::Mosquitto;

const SOON: Duration = Duration::from_secs(40);

struct Edge(Child);

impl Edge {
    fn start(port: u16) -> Self {
        let script = format!("{}/tests/browser/edge_node.mjs", env!("CARGO_MANIFEST_DIR"));
        let child = Command::new("node")
            .args([&script, &format!("mqtt://127.0.0.1:{port}"), "North", "S-77"])
            .stdin(Stdio::null())
            .spawn()
            .expect("node starts");
        Self(child)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_edge_node_that_loses_a_message_is_born_again_and_its_tank_has_the_right_levels() {
    let folder = tempfile::tempdir().expect("a folder");
    let [port, ..] = free_ports();
    let _broker = Mosquitto::start(port, folder.path());
    let engines = Instance::embedded(folder.path());
    let servers = Servers { mqtt: port, clickhouse: engines.clickhouse };
    let mut forecourt = Instance::among(&engines, folder.path(), "spark", servers);
    let file = &forecourt.arguments[2];
    let text = std::fs::read_to_string(file).expect("the configuration");
    std::fs::write(file, text.replace("client_id = ", "sparkplug_host = \"forecourt\"\nclient_id = "))
        .expect("written");
    forecourt.launch();
    forecourt.wait_ready();
    eventually("the host is online", SOON, || {
        let state = ["-p", &port.to_string(), "-W", "1", "-C", "1", "-t", "spBv1.0/STATE/forecourt"];
        let state = instance::run("mosquitto_sub", &state);
        String::from_utf8_lossy(&state.stdout).contains("\"online\":true").then_some(())
    });

    let edge = Edge::start(port);
    let readings = |volume: u32| {
        let wanted = format!("\"volume_ml\":{volume},");
        forecourt.consume("spark.readings", "%s\n").iter().filter(|line| line.contains(&wanted)).count()
    };
    eventually("the level after the second birth", SOON, || (readings(19_960_000) == 1).then_some(()));
    let told = [20_000_000, 19_990_000, 19_980_000, 19_970_000].map(readings);
    assert_eq!(told, [1, 1, 0, 1], "the message after the gap is put aside, the others are readings");
    let rejected = forecourt.consume("spark.rejected", "%h\n").concat();
    assert!(rejected.contains("message 3 of the edge node was lost"), "{rejected}");

    // Killed, its will speaks for it.
    drop(edge);
    eventually("the site is offline", SOON, || {
        let lines = forecourt.consume("spark.readings", "%s\n");
        let statuses = lines.iter().filter(|line| line.contains("\"status\":{\"site\":\"S-77\""));
        let online: Vec<bool> = statuses.map(|line| line.contains("\"online\":true")).collect();
        (online == [true, false]).then_some(())
    });
    let (_, clean) = forecourt.interrupt();
    assert!(clean, "the end was not clean:\n{}", forecourt.log_tail());
    let state = instance::run(
        "mosquitto_sub",
        &["-p", &port.to_string(), "-W", "2", "-C", "1", "-t", "spBv1.0/STATE/forecourt"],
    );
    assert!(String::from_utf8_lossy(&state.stdout).contains("\"online\":false"), "the host says goodbye");
}
