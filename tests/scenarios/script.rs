//! The files of the scenarios: what happens stands at the beginning of a line, what came of it is indented below.
//!
//! In: `tests/scenarios/*.txt`. Out: titles, steps with their line numbers and expected lines; the same text with other
//! outcomes. Guarantees: rewriting a file with the outcomes it has gives the same bytes. Does not: understand the steps.

use std::fs;
use std::path::{Path, PathBuf};

const INDENT: &str = "    ";

pub(crate) struct Scenario {
    pub(crate) path: PathBuf,
    /// The first line, without its `# `: a sentence of the business.
    pub(crate) title: String,
    parts: Vec<Part>,
}

enum Part {
    /// A remark or an empty line.
    Prose(String),
    Step(Step),
}

pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) expected: Vec<String>,
}

impl Scenario {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let title = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default().to_owned();
        let mut parts: Vec<Part> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            match (line.strip_prefix(INDENT), parts.last_mut()) {
                (Some(outcome), Some(Part::Step(step))) => step.expected.push(outcome.to_owned()),
                _ if line.is_empty() || line.starts_with('#') => parts.push(Part::Prose(line.to_owned())),
                _ => parts.push(Part::Step(Step { line: number, text: line.trim().to_owned(), expected: Vec::new() })),
            }
        }
        Self { path: path.to_owned(), title, parts }
    }

    /// All scenarios of the folder, in the order of their names.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder())
            .expect("the folder of scenarios")
            .map(|entry| entry.expect("an entry of the folder").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
            .collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.parts.iter().filter_map(|part| match part {
            Part::Step(step) => Some(step),
            Part::Prose(_) => None,
        })
    }

    /// Puts these outcomes into the file, at once: other tests read it meanwhile.
    pub(crate) fn rewrite(&self, outcomes: &[Vec<String>]) {
        let new = self.path.with_extension("new");
        fs::write(&new, self.with(outcomes)).and_then(|()| fs::rename(&new, &self.path)).expect("a folder to write to");
    }

    /// The file's text with these outcomes, one list per step.
    fn with(&self, outcomes: &[Vec<String>]) -> String {
        let mut outcomes = outcomes.iter();
        let mut text = String::new();
        let mut push = |indent: &str, line: &str| {
            text.push_str(indent);
            text.push_str(line);
            text.push('\n');
        };
        for part in &self.parts {
            match part {
                Part::Prose(line) => push("", line),
                Part::Step(step) => {
                    push("", &step.text);
                    for line in outcomes.next().into_iter().flatten() {
                        push(INDENT, line);
                    }
                }
            }
        }
        text
    }
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Where expected and actual outcomes of a step part: `-` was expected, `+` came.
pub(crate) fn difference(expected: &[String], actual: &[String]) -> String {
    let same_start = expected.iter().zip(actual).take_while(|(left, right)| left == right).count();
    let (expected_rest, actual_rest) = (&expected[same_start..], &actual[same_start..]);
    let same_end =
        expected_rest.iter().rev().zip(actual_rest.iter().rev()).take_while(|(left, right)| left == right).count();
    let lines =
        |sign: char, lines: &[String]| -> String { lines.iter().map(|line| format!("    {sign} {line}\n")).collect() };
    lines(' ', &expected[..same_start])
        + &lines('-', &expected_rest[..expected_rest.len() - same_end])
        + &lines('+', &actual_rest[..actual_rest.len() - same_end])
        + &lines(' ', &expected_rest[expected_rest.len() - same_end..])
}

/// Two long texts from shortly before they part.
pub(crate) fn parting(one: &str, other: &str) -> String {
    let same = one.chars().zip(other.chars()).take_while(|(left, right)| left == right).count();
    let from_there = |text: &str| text.chars().skip(same.saturating_sub(120)).take(400).collect::<String>();
    format!("    - …{}…\n    + …{}…\n", from_there(one), from_there(other))
}
