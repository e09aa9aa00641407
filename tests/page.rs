//! The demo's page in a real browser.

mod instance;

use std::time::Duration;

use instance::{Instance, eventually, run};

#[test]
fn the_demo_is_alive_in_chromium() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut forecourt = Instance::start(folder.path(), &["demo", "--seed", "3"]);
    let script = format!("{}/tests/browser/live_page.mjs", env!("CARGO_MANIFEST_DIR"));
    let picture = folder.path().join("page.png").display().to_string();
    let browser = run("node", &[&script, &format!("http://127.0.0.1:{}", forecourt.page), &picture]);
    assert!(
        browser.status.success(),
        "{}\n{}\n{}",
        String::from_utf8_lossy(&browser.stdout),
        String::from_utf8_lossy(&browser.stderr),
        forecourt.log_tail()
    );
    // A second start goes on where the first stopped: the network is not set up again.
    let network =
        |forecourt: &Instance| forecourt.get("/api/v1/network")["totals"]["decisions"].as_i64().expect("a number");
    let before = network(&forecourt);
    assert!(before > 0, "no decision was made");
    let (took, clean) = forecourt.interrupt();
    assert!(clean, "the end was not clean:\n{}", forecourt.log_tail());
    assert!(took.as_secs() < 5, "the end took {took:?}");
    forecourt.launch();
    forecourt.wait_ready();
    let after = network(&forecourt);
    assert!(after >= before, "{after} decisions after the restart, {before} before it");
    eventually("decisions go on", Duration::from_secs(30), || (network(&forecourt) > after).then_some(()));
    let opened =
        forecourt.consume("fuel.ledger", "%s\n").iter().filter(|line| line.contains("\"contract_opened\"")).count();
    assert_eq!(opened, 200, "each contract is opened once");
}
