//! What must be known of a statement's text before the engine sees it: whether rows follow it in the body, and in which
//! format the answer is wanted.
//!
//! In: SQL of any kind, also broken. Out: positions in it. Words inside quotes, comments and (where it matters)
//! parentheses are passed over. Does not judge what a statement may do: the engine's own parser does
//! (`Connection::classify`).

/// A word outside of quotes and comments.
#[derive(Clone, Copy, Debug)]
struct Word<'sql> {
    text: &'sql str,
    start: usize,
    end: usize,
    /// How many parentheses are open around it.
    depth: u32,
}

impl Word<'_> {
    fn is(&self, other: &str) -> bool {
        self.text.eq_ignore_ascii_case(other)
    }
}

/// An INSERT whose rows follow its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InsertWithRows {
    /// Up to, without, the FORMAT clause.
    pub(super) statement: String,
    pub(super) format: String,
    /// Where the rows start if they are in the same text.
    pub(super) rows_at: usize,
}

/// `None` for anything but an INSERT with a FORMAT other than VALUES and without SELECT.
pub(super) fn insert_with_rows(sql: &str) -> Option<InsertWithRows> {
    let mut words = Words { sql, at: 0, depth: 0 };
    let first = words.next()?;
    if !first.is("INSERT") {
        return None;
    }
    while let Some(word) = words.next() {
        if word.depth > 0 {
            continue;
        }
        if word.is("SELECT") || word.is("WITH") || word.is("VALUES") || word.is("INFILE") {
            return None;
        }
        if word.is("FORMAT") {
            let format = words.next()?;
            if format.is("VALUES") {
                return None;
            }
            return Some(InsertWithRows {
                statement: sql[..word.start].trim_end().to_owned(),
                format: format.text.to_owned(),
                rows_at: after_one_line_break(sql, format.end),
            });
        }
    }
    None
}

/// The format that a query asks for in its text.
pub(super) fn format(sql: &str) -> Option<&str> {
    let words: Vec<Word> = Words { sql, at: 0, depth: 0 }.filter(|word| word.depth == 0).collect();
    words
        .windows(2)
        .rev()
        .find(|pair| pair[0].is("FORMAT") && sql[pair[0].end..pair[1].start].trim().is_empty())
        .map(|pair| pair[1].text)
}

/// The first word in capitals: the kind of the statement.
pub(super) fn kind(sql: &str) -> String {
    Words { sql, at: 0, depth: 0 }.next().map(|word| word.text.to_ascii_uppercase()).unwrap_or_default()
}

/// Whether a statement reads or writes a file beside the tables (`INTO OUTFILE`, `FROM INFILE`).
pub(super) fn touches_files(sql: &str) -> bool {
    let words: Vec<Word> = Words { sql, at: 0, depth: 0 }.collect();
    words
        .windows(2)
        .any(|pair| pair[0].is("INTO") && pair[1].is("OUTFILE") || pair[0].is("FROM") && pair[1].is("INFILE"))
}

/// An identifier in backticks.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A string in quotes.
pub(super) fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Between the FORMAT clause and the rows stand blanks and at most one line break.
fn after_one_line_break(sql: &str, end: usize) -> usize {
    let rest = &sql[end..];
    let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
    match rest.as_bytes().get(blank) {
        Some(b'\n') => end + blank + 1,
        _ => end + blank,
    }
}

struct Words<'sql> {
    sql: &'sql str,
    at: usize,
    depth: u32,
}

impl<'sql> Iterator for Words<'sql> {
    type Item = Word<'sql>;

    fn next(&mut self) -> Option<Word<'sql>> {
        let bytes = self.sql.as_bytes();
        loop {
            let byte = *bytes.get(self.at)?;
            let following = bytes.get(self.at + 1).copied();
            match byte {
                b'\'' | b'"' | b'`' => self.skip_quoted(byte),
                b'-' if following == Some(b'-') => self.skip_past(b"\n"),
                b'#' if matches!(following, Some(b' ' | b'!')) => self.skip_past(b"\n"),
                b'/' if following == Some(b'*') => {
                    self.at += 2;
                    self.skip_past(b"*/");
                }
                b'(' => {
                    self.depth += 1;
                    self.at += 1;
                }
                b')' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.at += 1;
                }
                byte if is_word(byte) => {
                    let start = self.at;
                    while bytes.get(self.at).is_some_and(|byte| is_word(*byte)) {
                        self.at += 1;
                    }
                    let text = &self.sql[start..self.at];
                    return Some(Word { text, start, end: self.at, depth: self.depth });
                }
                _ => self.at += 1,
            }
        }
    }
}

impl Words<'_> {
    fn skip_quoted(&mut self, quote: u8) {
        let bytes = self.sql.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == quote {
                return;
            }
        }
    }

    fn skip_past(&mut self, end: &[u8]) {
        let rest = self.sql.as_bytes().get(self.at..).unwrap_or_default();
        let found = rest.windows(end.len()).position(|window| window == end);
        self.at = found.map_or(self.sql.len(), |found| self.at + found + end.len());
    }
}

/// Bytes of other alphabets count as letters, so that a word is never cut inside a character.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(sql: &str) -> Option<(String, String, &str)> {
        insert_with_rows(sql).map(|insert| (insert.statement, insert.format, &sql[insert.rows_at..]))
    }

    #[test]
    fn rows_after_an_insert_are_found() {
        let sql = "insert into t(a, `format`) /* FORMAT x */ Format JSONEachRow \n{\"a\": 1}\n";
        let (statement, format, rows) = rows_of(sql).unwrap();
        assert_eq!(statement, "insert into t(a, `format`) /* FORMAT x */");
        assert_eq!(format, "JSONEachRow");
        assert_eq!(rows, "{\"a\": 1}\n");
    }

    #[test]
    fn an_empty_first_row_is_not_eaten() {
        assert_eq!(rows_of("INSERT INTO t FORMAT TSV\n\n1").unwrap().2, "\n1");
        assert_eq!(rows_of("INSERT INTO t FORMAT RowBinary").unwrap().2, "");
    }

    #[test]
    fn inserts_that_bring_their_own_rows_are_left_to_the_engine() {
        assert_eq!(rows_of("INSERT INTO t VALUES (1)"), None);
        assert_eq!(rows_of("INSERT INTO t FORMAT Values (1)"), None);
        assert_eq!(rows_of("INSERT INTO t SELECT 1 FORMAT TSV"), None);
        assert_eq!(rows_of("SELECT 'INSERT INTO t FORMAT TSV'"), None);
        assert_eq!(rows_of("INSERT INTO t FORMAT"), None);
    }

    #[test]
    fn the_format_of_a_query_is_the_last_one_outside_of_quotes() {
        assert_eq!(format("SELECT ' FORMAT CSV' FORMAT JSON"), Some("JSON"));
        assert_eq!(format("SELECT * FROM (SELECT 1 FORMAT CSV) -- FORMAT x"), None);
        assert_eq!(format("SELECT 1 FORMAT JSONEachRow SETTINGS max_threads = 1"), Some("JSONEachRow"));
        assert_eq!(format("SELECT 'не закрыто"), None);
    }

    #[test]
    fn the_kind_is_found_behind_comments() {
        assert_eq!(kind("/* a */ -- b\n (select 1)"), "SELECT");
        assert_eq!(kind("  "), "");
    }

    #[test]
    fn files_are_noticed_also_in_the_middle() {
        assert!(touches_files("SELECT 1 INTO /* x */ outfile 'a'"));
        assert!(touches_files("INSERT INTO t FROM INFILE 'a' FORMAT CSV"));
        assert!(!touches_files("SELECT 'INTO OUTFILE' FROM `INFILE`"));
    }

    #[test]
    fn names_and_values_cannot_leave_their_quotes() {
        assert_eq!(identifier("a`b\\"), "`a\\`b\\\\`");
        assert_eq!(literal("it's \\"), "'it\\'s \\\\'");
    }
}
