//! Runs statements on a session, on a thread that may block.
//!
//! In: a call; for an INSERT the rows as they arrive. Out: the head of the answer once it is known whether the query
//! works, then the bytes, through bounded channels: a slow client slows the query down, a client that goes away ends it.
//! Guarantees: one statement per call; no file beside the tables is written or read.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::exception::Exception;
use super::ffi::{Class, Connection, Statistics};
use super::frames::{Unframe, frame};
use super::request::Call;
use super::sessions::{Session, Sessions};
use super::statement::{self, InsertWithRows};

/// Pieces of an answer, or of an INSERT's rows, between the HTTP side and the engine's thread.
pub(super) const PIECES_MAX: usize = 8;
/// A result that is held whole goes out in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Formats whose documents can be put one behind the other.
const STREAMED: &[&str] = &[
    "RowBinary",
    "RowBinaryWithNamesAndTypes",
    "Native",
    "TabSeparated",
    "TSV",
    "TabSeparatedRaw",
    "TSVRaw",
    "CSV",
    "JSONEachRow",
    "JSONCompactEachRow",
    "LineAsString",
    "RawBLOB",
];

/// Sent once, before the first byte of the answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) statistics: Statistics,
}

/// Rows of an INSERT on their way to the engine. A channel that closes without `End` is a client that went away.
#[derive(Debug)]
pub(super) enum Rows {
    Bytes(Bytes),
    End,
}

/// The format of the answer.
pub(super) fn format_of(call: &Call) -> String {
    match statement::format(&call.query) {
        Some(format) => format.to_owned(),
        None if call.default_format.is_empty() => "TabSeparated".to_owned(),
        None => call.default_format.clone(),
    }
}

/// Runs any statement but an INSERT with rows.
pub(super) fn answer(
    sessions: &Sessions,
    call: &Call,
    exception_tag: &str,
    head: oneshot::Sender<Result<Head, Exception>>,
    body: mpsc::Sender<Bytes>,
) {
    let mut out = Out { head: Some(head), body, format: format_of(call), compress: call.compress };
    match run(sessions, call, &mut out) {
        Ok(Some(session)) => session.give_back(),
        Ok(None) => {}
        Err(Failed::Exception(exception)) => out.fail(exception, exception_tag),
        Err(Failed::ClientLeft) => tracing::debug!(query = %call.query, "the client left before the end of its query"),
    }
}

/// Runs an INSERT whose rows come through `rows`.
pub(super) fn insert(
    sessions: &Sessions,
    call: &Call,
    insert: &InsertWithRows,
    rows: mpsc::Receiver<Rows>,
) -> Result<Statistics, Exception> {
    let mut session = sessions.take(call)?;
    let text = format!("{} FORMAT {}", insert.statement, insert.format);
    allow(&mut session.connection, &text)?;
    let statistics = feed(&mut session.connection, call, insert, rows)?;
    session.give_back();
    Ok(statistics)
}

fn feed(
    connection: &mut Connection,
    call: &Call,
    insert: &InsertWithRows,
    mut rows: mpsc::Receiver<Rows>,
) -> Result<Statistics, Exception> {
    let mut stream = connection.insert(&insert.statement, &insert.format, &call.parameters)?;
    let mut unframe = Unframe::default();
    loop {
        match rows.blocking_recv() {
            Some(Rows::Bytes(bytes)) if call.decompress => unframe.push(&bytes, |rows| stream.append(rows))?,
            Some(Rows::Bytes(bytes)) => stream.append(&bytes)?,
            Some(Rows::End) => break,
            None => {
                let what = "the client left before the end of its rows, or sent too many bytes: nothing more is stored";
                return Err(Exception::new(210, "NETWORK_ERROR", what));
            }
        }
    }
    unframe.finish()?;
    stream.finish()
}

enum Failed {
    Exception(Exception),
    ClientLeft,
}

impl From<Exception> for Failed {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}

/// Gives the session back when it can be used again.
fn run<'sessions>(
    sessions: &'sessions Sessions,
    call: &Call,
    out: &mut Out,
) -> Result<Option<Session<'sessions>>, Failed> {
    let mut session = sessions.take(call)?;
    let class = allow(&mut session.connection, &call.query)?;
    let streamed = class == Class::ReadOnly
        && !call.wait_end
        && matches!(statement::kind(&call.query).as_str(), "SELECT" | "WITH")
        && STREAMED.iter().any(|format| format.eq_ignore_ascii_case(&out.format));
    if !streamed || !stream(&mut session.connection, call, out)? {
        let answer = session.connection.query(&call.query, &out.format, &call.parameters)?;
        out.start(answer.statistics());
        for piece in answer.bytes().chunks(PIECE_BYTES) {
            out.send(piece)?;
        }
    }
    // SET, USE and temporary tables change the session.
    Ok((class != Class::Control).then_some(session))
}

/// False when the query must be run again, whole: the engine cannot stream it, or it gave no row and the format has a
/// head that only a whole run gives.
fn stream(connection: &mut Connection, call: &Call, out: &mut Out) -> Result<bool, Failed> {
    let named = out.format.eq_ignore_ascii_case("RowBinaryWithNamesAndTypes");
    let mut header = None;
    let mut pieces = match connection.stream(&call.query, &out.format, &call.parameters) {
        Ok(pieces) => pieces,
        Err(exception) if exception.text().contains("Streaming query is not supported") => return Ok(false),
        Err(exception) => return Err(exception.into()),
    };
    while let Some(piece) = pieces.next()? {
        out.start(piece.statistics());
        let bytes = piece.bytes();
        match header {
            // Every piece begins with the names and types again.
            Some(header) => out.send(bytes.get(header..).unwrap_or_default())?,
            None => {
                header = Some(if named { names_and_types_bytes(bytes).unwrap_or(0) } else { 0 });
                out.send(bytes)?;
            }
        }
    }
    if header.is_none() && (named || out.format.eq_ignore_ascii_case("Native")) {
        return Ok(false);
    }
    out.start(Statistics::default());
    Ok(true)
}

/// The engine runs whatever it is given, several statements and writes to files too: what a ClickHouse server would not
/// do over HTTP is refused here, by the engine's own parser.
fn allow(connection: &mut Connection, sql: &str) -> Result<Class, Exception> {
    if sql.trim().is_empty() {
        return Err(Exception::new(62, "SYNTAX_ERROR", "empty query"));
    }
    let analysis =
        connection.classify(sql).ok_or_else(|| Exception::engine("the engine did not classify the query"))?;
    if analysis.statements > 1 {
        return Err(Exception::new(62, "SYNTAX_ERROR", "syntax error (multi-statements are not allowed)"));
    }
    let refused = statement::touches_files(sql)
        || analysis.class == Class::Control
            && !matches!(
                statement::kind(sql).as_str(),
                "SET" | "USE" | "SYSTEM" | "KILL" | "CREATE" | "DROP" | "EXISTS"
            );
    if refused {
        let what = "reading and writing files beside the tables (INTO OUTFILE, FROM INFILE, table functions, BACKUP) is refused";
        return Err(Exception::new(344, "SUPPORT_IS_DISABLED", what));
    }
    Ok(analysis.class)
}

/// The way back to the client.
struct Out {
    head: Option<oneshot::Sender<Result<Head, Exception>>>,
    body: mpsc::Sender<Bytes>,
    format: String,
    compress: bool,
}

impl Out {
    fn start(&mut self, statistics: Statistics) {
        if let Some(head) = self.head.take() {
            // The receiver is gone only with its client, which `send` notices.
            let _ = head.send(Ok(Head { format: self.format.clone(), statistics }));
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Failed> {
        if bytes.is_empty() {
            return Ok(());
        }
        let piece = if self.compress { frame(bytes) } else { Bytes::copy_from_slice(bytes) };
        self.body.blocking_send(piece).map_err(|_| Failed::ClientLeft)
    }

    /// Before the first byte an exception is the answer; after it, it ends the body in the form that ClickHouse 25.11
    /// introduced, in one piece so that a client can find it.
    fn fail(&mut self, exception: Exception, tag: &str) {
        match self.head.take() {
            Some(head) => drop(head.send(Err(exception))),
            None => {
                let message = format!("{}\n", exception.text());
                let length = message.len();
                let end = format!("\r\n__exception__\r\n{tag}\r\n{message}{length} {tag}\r\n__exception__\r\n");
                // A client that left does not hear it.
                let _ = self.send(end.as_bytes());
            }
        }
    }
}

/// Length of the head of RowBinaryWithNamesAndTypes: a count, then that many names and as many types.
fn names_and_types_bytes(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let columns = variable_length(bytes, &mut at)?;
    for _ in 0..columns.checked_mul(2)? {
        let length = variable_length(bytes, &mut at)?;
        at = at.checked_add(length)?;
    }
    (at <= bytes.len()).then_some(at)
}

fn variable_length(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_with_names_and_types_is_measured() {
        let head = b"\x02\x01a\x02bc\x05Int32\x06String";
        let mut document = head.to_vec();
        document.extend_from_slice(b"rows");
        assert_eq!(names_and_types_bytes(&document), Some(head.len()));
        assert_eq!(names_and_types_bytes(&head[..head.len() - 1]), None);
        assert_eq!(names_and_types_bytes(&[0xff; 32]), None);
    }
}
