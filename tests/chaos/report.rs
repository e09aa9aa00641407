//! The table: a row a scene, in Markdown.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// What one scene found.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) scene: String,
    pub(crate) faults: String,
    /// As `forecourt-loadtest verify --json` writes them.
    pub(crate) figures: Value,
    pub(crate) longest_silence: Duration,
    /// What was seen beside the figures.
    pub(crate) remarks: Vec<String>,
    /// What makes the verdict bad.
    pub(crate) wrong: Vec<String>,
}

impl Row {
    pub(crate) fn failed(scene: &str, why: &str) -> Self {
        Self { scene: scene.to_owned(), wrong: vec![why.to_owned()], ..Self::default() }
    }

    fn violations(&self, kinds: &[&str]) -> u64 {
        kinds.iter().filter_map(|kind| self.figures["violations"][kind].as_u64()).sum()
    }

    fn line(&self) -> String {
        let lost =
            self.violations(&["transactions without a decision", "orders without an answer", "requests left out"]);
        let doubled = self.violations(&[
            "transactions decided more than once",
            "orders carried out more than once",
            "requests covered twice",
            "replays that differ from their decision",
        ]);
        let figure = |name: &str| self.figures[name].as_u64().map_or("?".to_owned(), |count| count.to_string());
        let known = |count: u64| if self.figures.is_null() { "?".to_owned() } else { count.to_string() };
        let [transactions, readings, unread, rows, missing, extra] =
            ["transactions", "readings_acknowledged", "readings_missing", "rows", "rows_missing", "rows_extra"]
                .map(figure);
        format!(
            "| {} | {} | {transactions} | {} | {} | {} | {rows}: {missing} / {extra} | {readings}: {unread} | {:.1} s | {} |",
            self.scene,
            self.faults,
            known(lost),
            known(doubled),
            known(self.violations(&["balances"])),
            self.longest_silence.as_secs_f64(),
            if self.wrong.is_empty() { "good" } else { "**BAD**" }
        )
    }
}

#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    left_out: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        println!("{}", row.line());
        row.wrong.iter().for_each(|line| println!("  {line}"));
        self.rows.push(row);
    }

    pub(crate) fn leave_out(&mut self, scene: &str, why: String) {
        println!("left out: {why}");
        self.left_out.push((scene.to_owned(), why));
    }

    pub(crate) fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.wrong.is_empty())
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::from(
            "| scene | faults | transactions | lost | doubled | wrong balances | rows: missing / extra | \
             readings acknowledged: missing | longest time without decisions | verdict |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        text.push('\n');
        for (scene, why) in &self.left_out {
            let _ = writeln!(text, "- {scene}: left out: {why}");
        }
        for Row { scene, remarks, wrong, .. } in &self.rows {
            for line in remarks.iter().chain(wrong) {
                let _ = writeln!(text, "- {scene}: {}", line.trim().replace('\n', "\n  "));
            }
        }
        text
    }

    pub(crate) fn write(&self) {
        let path = target().join("chaos-report.md");
        std::fs::write(&path, self.text()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// Cargo's target folder.
fn target() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    folder.parent().unwrap_or(folder).to_owned()
}
