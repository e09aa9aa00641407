//! What telemetry costs, as figures: ten thousand gauges through a real broker, and a file of five million rows. Not part of
//! the tests: `make telemetry` prints the figures of the machine that it runs on.
//!
//! `GAUGES` sets how many gauges there are (10,000), `GAUGE_SECONDS` how long they publish (30), `GAUGE_RATE` how many readings a
//! second they are to hold (10,000), `CSV_ROWS` how long the file is (5,000,000).

mod instance;
mod mosquitto;
mod under_load;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use instance::{Instance, Servers, eventually, free_ports, run};
use mosquitto::Mosquitto;
use under_load::{loadtest, setting};

const PREFIX: &str = "telemetry";
const PARTITIONS: u32 = 4;
/// Nothing more comes.
const QUIET: Duration = Duration::from_secs(25);

/// A Forecourt beside `engines` with these roles only, started.
fn with_roles(engines: &Instance, folder: &Path, mqtt: u16, roles: &str) -> Instance {
    let servers = Servers { mqtt, clickhouse: engines.clickhouse };
    let mut forecourt = Instance::configured(engines, folder, PREFIX, servers, None, "");
    forecourt.only(roles);
    forecourt.launch();
    let is_ready = || forecourt.try_get("/readyz").filter(|body| body.contains(r#""ready":true"#));
    eventually("it is ready", Duration::from_secs(120), is_ready);
    forecourt
}

/// User and system time of a process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

/// The most memory that a process has used, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") / 1024
}

/// Records of a topic.
fn records(engines: &Instance, topic: &str) -> u64 {
    let offset = |partition: u32| {
        let output = run("kcat", &["-Q", "-b", &engines.broker(), "-t", &format!("{PREFIX}.{topic}:{partition}:-1")]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim().rsplit(' ').next().and_then(|end| end.parse::<u64>().ok()).unwrap_or(0)
    };
    (0..PARTITIONS).map(offset).sum()
}

/// Gauges publish at this rate, or as fast as the broker acknowledges where that is less: each has one reading under way. Gives
/// how many it acknowledged.
fn publish(mqtt: u16, sites: &str, rate: u64, folder: &Path) -> (u64, Duration) {
    let (gauges, seconds) = (setting("GAUGES", 10_000), setting("GAUGE_SECONDS", 30));
    let acknowledged = folder.join(format!("{sites}.acknowledged"));
    let begun = Instant::now();
    let output = Command::new(loadtest())
        .args(["gauges", "--mqtt", &format!("127.0.0.1:{mqtt}"), "--gauges", &gauges.to_string(), "--sites", sites])
        .args(["--readings-per-s", &rate.to_string(), "--seconds", &seconds.to_string()])
        .arg("--acknowledged")
        .arg(&acknowledged)
        .output()
        .expect("the gauges start");
    let took = begun.elapsed();
    println!("    {}", String::from_utf8_lossy(&output.stdout).trim());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&acknowledged).expect("what was acknowledged");
    (text.lines().count() as u64, took)
}

struct Subscriber(Child);

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[test]
#[ignore = "a measurement of minutes: make telemetry"]
fn ten_thousand_gauges_through_a_broker() {
    let folder = tempfile::tempdir().expect("a folder");
    let engines = Instance::embedded(folder.path());
    let [port, ..] = free_ports();
    let mosquitto = Mosquitto::saving_seldom(port, folder.path());

    let ceiling = setting("GAUGES", 10_000) * 20;
    println!("the broker's own ceiling, with a subscriber that only counts:");
    let heard = folder.path().join("heard");
    let file = std::fs::File::create(&heard).expect("a file");
    let arguments = ["-p", &port.to_string(), "-q", "1", "-i", "counter", "-t", "fuel/v1/+/+/reading", "-F", "."];
    let subscriber = Command::new("mosquitto_sub").args(arguments).stdout(Stdio::from(file)).spawn();
    let subscriber = Subscriber(subscriber.expect("deploy/setup test installs it"));
    std::thread::sleep(Duration::from_secs(1));
    let (broker_before, begun) = (cpu_seconds(mosquitto.pid()), Instant::now());
    let (count, took) = publish(port, "CEIL", ceiling, folder.path());
    // A line is two bytes, and the last page of them is written when it ends.
    let lines = || std::fs::metadata(&heard).map_or(0, |found| found.len() / 2 + 2_048);
    eventually("the subscriber has all", Duration::from_secs(300), || (lines() >= count).then_some(()));
    let (all, broker) = (begun.elapsed(), cpu_seconds(mosquitto.pid()) - broker_before);
    tell("broker alone", count, took, all);
    println!("    broker {:.1} CPU-seconds a million", broker * 1e6 / count as f64);
    drop(subscriber);

    let (mut count, mut sum, mut stored) = (0, 0, 0);
    for (sites, rate) in [("MEAS-HELD", setting("GAUGE_RATE", 10_000)), ("MEAS-FULL", ceiling)] {
        println!("one ingest process, gauges publish at {rate}/s or as fast as they can:");
        let ingest = with_roles(&engines, folder.path(), port, r#""ingest""#);
        let (before, broker_before) = (cpu_seconds(ingest.pid()), cpu_seconds(mosquitto.pid()));
        let begun = Instant::now();
        let (published, took) = publish(port, sites, rate, folder.path());
        let (already, mut all) = (stored, begun.elapsed());
        // What the broker sends again stands there twice: all is there when it grows no more.
        while all + QUIET > begun.elapsed() {
            std::thread::sleep(Duration::from_millis(200));
            let now = records(&engines, "readings");
            if now > stored {
                (stored, all) = (now, begun.elapsed());
            }
        }
        let cpu = cpu_seconds(ingest.pid()) - before;
        let broker = cpu_seconds(mosquitto.pid()) - broker_before;
        tell("to fuel.readings", published, took, all);
        println!(
            "    ingest {:.1} CPU-seconds a million, at most {} MiB; broker {:.1} CPU-seconds a million; {} sent again by it",
            cpu * 1e6 / published as f64,
            peak_mib(ingest.pid()),
            broker * 1e6 / published as f64,
            (stored - already).saturating_sub(published)
        );
        count += published;
        let acknowledged = std::fs::read_to_string(folder.path().join(format!("{sites}.acknowledged")));
        let acknowledged = acknowledged.expect("the list");
        sum += acknowledged.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>();
    }

    let begun = Instant::now();
    let rows = with_roles(&engines, folder.path(), port, r#""sinks""#);
    let counted = || -> u64 {
        let query = format!("SELECT uniqExact(site, tank, seq) FROM {PREFIX}.readings WHERE site LIKE 'MEAS-%'");
        engines.clickhouse(&query).trim().parse().unwrap_or(0)
    };
    let found = eventually("ClickHouse has all", Duration::from_secs(600), || {
        let found = counted();
        (found >= count).then_some(found)
    });
    let all = begun.elapsed().as_secs_f64();
    println!(
        "to ClickHouse, from a standing start: {:.0} rows/s, {:.1} CPU-seconds a million; {count} acknowledged, {} missing",
        count as f64 / all,
        cpu_seconds(rows.pid()) * 1e6 / count as f64,
        count.saturating_sub(found)
    );
    let query = format!(
        "SELECT sum(s) FROM (SELECT any(seq) AS s FROM {PREFIX}.readings WHERE site LIKE 'MEAS-%' GROUP BY site, tank, seq)"
    );
    let recorded: u64 = engines.clickhouse(&query).trim().parse().expect("a sum");
    assert_eq!(recorded, sum, "the numbers of the devices, each once");
}

fn tell(what: &str, count: u64, published: Duration, all: Duration) {
    println!(
        "    {what}: {count} readings, acknowledged at {:.0}/s, all there at {:.0}/s",
        count as f64 / published.as_secs_f64(),
        count as f64 / all.as_secs_f64()
    );
}

/// Tanks of the file; their rows stand ten minutes apart.
const SITES: u64 = 25;
const TANKS_PER_SITE: u64 = 4;
const ROW_EVERY_S: u64 = 600;
const FIRST_S: u64 = 1_735_689_600;

/// What the file says, without its mistakes: litres of a tank that sells 2 L between rows and is filled up from 3,000 L.
fn litres(tank: u64, row: u64) -> u64 {
    18_000 - (tank * 37 + row * 2) % 15_000
}

/// Each tenth line stands twice, each tenth has height and volume in each other's place. Gives the true readings and the sum
/// of their litres.
fn write_csv(path: &Path, lines: u64) -> (u64, u64) {
    use std::io::Write;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    writeln!(file, "time;site;tank;product;height;volume;water;temperature").expect("written");
    let (mut written, mut readings, mut sum) = (0, 0, 0);
    for row in 0.. {
        for tank in 0..SITES * TANKS_PER_SITE {
            if written >= lines {
                file.flush().expect("written");
                return (readings, sum);
            }
            let litres = litres(tank, row);
            let (site, name, time) = (tank / TANKS_PER_SITE, tank % TANKS_PER_SITE + 1, FIRST_S + row * ROW_EVERY_S);
            let number = tank + row;
            let height = format!("{},{}", litres / 10, litres % 10);
            let volume = litres.to_string();
            // Of a tank's first row nobody could tell.
            let (height, volume) = if number % 10 == 3 && row > 0 { (volume, height) } else { (height, volume) };
            let line = format!("{time};F-{site:02};{name};DIESEL;{height};{volume};5;12,{}", number % 3);
            for _ in 0..1 + u64::from(number % 10 == 7) {
                writeln!(file, "{line}").expect("written");
                written += 1;
            }
            (readings, sum) = (readings + 1, sum + litres);
        }
    }
    unreachable!("rows never end")
}

const MAPPING: &str = "separator = \";\"\ndecimal = \"comma\"\nsite = { column = \"site\" }\ntank = { column = \"tank\" }\n\
    product = { column = \"product\" }\n[time]\ncolumn = \"time\"\nformat = \"unix\"\n[values]\n\
    height = { column = \"height\" }\nvolume = { column = \"volume\" }\nwater = { column = \"water\" }\n\
    temperature = { column = \"temperature\" }\n";

/// Imports the file; gives what the command said and its peak of memory in MiB.
fn import(engines: &Instance, folder: &Path, config: &str) -> (String, u64) {
    let child = Command::new(env!("CARGO_BIN_EXE_forecourt"))
        .args(["import", "readings.csv", "--mapping", "mapping.toml", "--config", config])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the binary starts");
    let mut peak = 0;
    while child.try_wait().expect("a status").is_none() {
        if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", child.id()))
            && status.contains("VmHWM")
        {
            peak = peak_mib(child.id());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().expect("it ended");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{said}{}\n{}", String::from_utf8_lossy(&output.stderr), engines.log_tail());
    (said, peak)
}

/// Levels and the sum of their litres, and whatever else the tables hold.
fn tables(engines: &Instance) -> (u64, u64, String) {
    let level =
        format!("SELECT count(), intDiv(sum(volume_ml), 1000) FROM {PREFIX}.station_events WHERE kind = 'level'");
    let found = engines.clickhouse(&level);
    let mut figures = found.split_whitespace().filter_map(|figure| figure.parse::<u64>().ok());
    let rest = engines.clickhouse(&format!(
        "SELECT kind, count(), sum(volume_ml), sum(cityHash64(json)) FROM {PREFIX}.station_events GROUP BY kind ORDER BY kind"
    ));
    (figures.next().unwrap_or(0), figures.next().unwrap_or(0), rest)
}

#[test]
#[ignore = "a measurement of minutes: make telemetry"]
fn a_file_of_five_million_rows_imported_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = setting("CSV_ROWS", 5_000_000);
    let (readings, sum) = write_csv(&folder.path().join("readings.csv"), lines);
    std::fs::write(folder.path().join("mapping.toml"), MAPPING).expect("a mapping");
    let engines = Instance::embedded(folder.path());
    let [port, ..] = free_ports();
    let _mosquitto = Mosquitto::start(port, folder.path());
    let forecourt = with_roles(&engines, folder.path(), port, r#""stations", "sinks""#);
    for tank in 0..SITES * TANKS_PER_SITE {
        let (site, name) = (format!("F-{:02}", tank / TANKS_PER_SITE), tank % TANKS_PER_SITE + 1);
        let points: Vec<_> = [0, 2_000]
            .iter()
            .map(|mm| serde_json::json!({ "height_dmm": mm * 10, "volume_ml": mm * 10_000 }))
            .collect();
        let setup = serde_json::json!({ "site": site, "tank": name.to_string(), "at_us": 1, "product": "DIESEL",
            "capacity_ml": 20_000_000, "expected_interval_s": ROW_EVERY_S, "charts": [{ "chart": { "points": points } }],
            "swappable": ["height", "volume", "water", "temperature"] });
        let record = serde_json::json!({ "v": 1, "received_at_us": 1, "message": { "setup": setup } });
        forecourt.produce(&forecourt.topic("readings"), &site, &[record.to_string()]);
    }
    let config = forecourt.arguments.last().expect("a configuration").clone();
    let begun = Instant::now();
    let (said, peak) = import(&engines, folder.path(), &config);
    println!(
        "first time, in {:.0} s with the check before it, at most {peak} MiB: {said}",
        begun.elapsed().as_secs_f64()
    );
    let all = eventually("all levels are in ClickHouse", Duration::from_secs(1_800), || {
        let found = tables(&engines);
        std::thread::sleep(Duration::from_millis(500));
        (found.0 >= readings).then_some(found)
    });
    let took = begun.elapsed().as_secs_f64();
    println!(
        "all in ClickHouse after {took:.0} s: {:.0} rows/s; stations and row writer {:.1} CPU-seconds a million, at most {} MiB",
        lines as f64 / took,
        cpu_seconds(forecourt.pid()) * 1e6 / lines as f64,
        peak_mib(forecourt.pid())
    );
    assert_eq!((all.0, all.1), (readings, sum), "each true reading once, with its own litres");
    let settled = || {
        let before = tables(&engines);
        std::thread::sleep(Duration::from_secs(20));
        let after = tables(&engines);
        (before == after).then_some(after)
    };
    // Days are told every ten minutes.
    let with_days = || settled().filter(|tables| tables.2.contains("day\t"));
    let first = eventually("the tables rest", Duration::from_secs(900), with_days);
    println!("tables by kind (rows, ml, hash):\n{}", first.2);
    let begun = Instant::now();
    let (said, _) = import(&engines, folder.path(), &config);
    println!("second time, in {:.0} s: {said}", begun.elapsed().as_secs_f64());
    // All were read again when the reader of `fuel.readings` has no distance to its end.
    let lag = || {
        let body = forecourt.try_get("/metrics")?;
        let repeats: u64 = body
            .lines()
            .filter(|line| line.starts_with("forecourt_stations_left_out_total") && line.contains("imported_before"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        (repeats >= lines).then_some(repeats)
    };
    let repeats = eventually("all rows were seen again", Duration::from_secs(1_800), lag);
    let second = eventually("the tables rest", Duration::from_secs(600), settled);
    println!("{repeats} rows known as imported before");
    assert_eq!(second, first, "the same tables");
}
