//! ClickHouse's HTTP protocol, as curl, the `clickhouse` crate, Grafana and a browser speak it: `/` for queries, `/ping`.
//!
//! Guarantees: at most `QUERIES_MAX` statements run and `WAITING_MAX` wait; bodies are bounded; the rows of an INSERT
//! are streamed, not collected. Does not: users, sessions, HTTP's own compression, the Play page.

use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::exception::Exception;
use super::frames::{Unframe, frame};
use super::queries::{self, Head, PIECES_MAX, Rows};
use super::request::Call;
use super::sessions::{Sessions, summary};
use super::statement::{self, InsertWithRows};

/// Statements that run at the same time; each takes a thread here and several in the engine.
pub(super) const QUERIES_MAX: usize = 32;
/// Requests that wait for their turn; more are sent away.
const WAITING_MAX: usize = 256;
/// A statement with everything in its text.
const QUERY_BYTES_MAX: usize = 64 << 20;
/// The rows of one INSERT.
const INSERT_BYTES_MAX: usize = 4 << 30;

pub(super) struct Front {
    sessions: Arc<Sessions>,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    requests: AtomicU64,
    random: std::hash::RandomState,
}

impl Front {
    pub(super) fn new(sessions: Arc<Sessions>) -> Self {
        Self {
            sessions,
            running: Arc::new(Semaphore::new(QUERIES_MAX)),
            waiting: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            random: std::hash::RandomState::new(),
        }
    }

    /// Not to be guessed: it marks the end of an answer that failed on the way.
    fn tag(&self) -> String {
        format!("{:016x}", self.random.hash_one(self.requests.fetch_add(1, Ordering::Relaxed)))
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Exception> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let what = format!("too many simultaneous queries: {QUERIES_MAX} run and {WAITING_MAX} wait");
            return Err(Exception::new(202, "TOO_MANY_SIMULTANEOUS_QUERIES", &what));
        }
        let permit = Arc::clone(&self.running).acquire_owned().await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        permit.map_err(|_| Exception::engine("the engine is stopping"))
    }
}

pub(super) fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/", get(handle).post(handle))
        .route("/ping", get(|| async { "Ok.\n" }))
        .fallback(|request: Request| async move {
            (StatusCode::NOT_FOUND, format!("There is no handle {}. Use / or /ping.\n", request.uri().path()))
        })
        .with_state(front)
}

async fn handle(State(front): State<Arc<Front>>, request: Request) -> Response {
    if request.method() == Method::GET && request.uri().query().is_none() {
        return "Ok.\n".into_response();
    }
    let tag = front.tag();
    let mut query_id = tag.clone();
    let mut compress = false;
    let answered = match call_of(&request) {
        Ok(call) => {
            query_id = call.query_id.clone().unwrap_or(query_id);
            compress = call.compress;
            serve(&front, &tag, call, request).await
        }
        Err(exception) => Err(exception),
    };
    let mut response = answered.unwrap_or_else(|exception| refusal(&exception, compress));
    if let Ok(value) = HeaderValue::from_str(&query_id) {
        response.headers_mut().insert("x-clickhouse-query-id", value);
    }
    response
}

fn call_of(request: &Request) -> Result<Call, Exception> {
    let Query(pairs) =
        Query::<Vec<(String, String)>>::try_from_uri(request.uri()).map_err(|error| bad_request(&error.body_text()))?;
    Call::of(request.method(), pairs, request.headers()).map_err(|what| bad_request(&what))
}

async fn serve(front: &Arc<Front>, tag: &str, mut call: Call, request: Request) -> Result<Response, Exception> {
    if let Some(insert) = statement::insert_with_rows(&call.query) {
        // What follows the FORMAT clause in the address is the beginning of the rows.
        let first = Bytes::copy_from_slice(&call.query.as_bytes()[insert.rows_at..]);
        return take_rows(front, call, insert, first, request.into_body()).await;
    }
    let content_type = text_of(request.headers(), header::CONTENT_TYPE.as_str());
    let mut body = axum::body::to_bytes(request.into_body(), QUERY_BYTES_MAX).await.map_err(|_| {
        Exception::new(
            223,
            "QUERY_IS_TOO_LARGE",
            "a query may have 64 MiB; put INSERT … FORMAT in the address and the rows in the body",
        )
    })?;
    if call.decompress && !body.is_empty() {
        let (mut unframe, mut plain) = (Unframe::default(), Vec::new());
        unframe.push(&body, |bytes| {
            if plain.len() + bytes.len() > QUERY_BYTES_MAX {
                return Err(Exception::new(223, "QUERY_IS_TOO_LARGE", "a query may have 64 MiB"));
            }
            plain.extend_from_slice(bytes);
            Ok(())
        })?;
        unframe.finish()?;
        body = plain.into();
        call.decompress = false;
    }
    if content_type.starts_with("multipart/form-data") {
        call.put_form(&content_type, &body).map_err(|what| bad_request(&what))?;
    } else if call.query.is_empty() {
        // Rows may be binary, so only the text before them has to be UTF-8.
        let text = match std::str::from_utf8(&body) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(),
        };
        if let Some(insert) = statement::insert_with_rows(text) {
            let rows = body.slice(insert.rows_at..);
            return take_rows(front, call, insert, rows, Body::empty()).await;
        }
        call.query = utf8(&body)?;
    } else if !body.is_empty() {
        call.query.push('\n');
        call.query.push_str(&utf8(&body)?);
    }
    answer(front, tag, call).await
}

async fn answer(front: &Arc<Front>, tag: &str, call: Call) -> Result<Response, Exception> {
    let permit = front.turn().await?;
    let (head_sender, head) = oneshot::channel();
    let (body_sender, mut body) = mpsc::channel(PIECES_MAX);
    let (sessions, tag_there) = (Arc::clone(&front.sessions), tag.to_owned());
    tokio::task::spawn_blocking(move || {
        queries::answer(&sessions, &call, &tag_there, head_sender, body_sender);
        drop(permit);
    });
    let head: Head = head.await.map_err(|_| Exception::engine("the query ended without an answer"))??;
    let pieces = futures_util::stream::poll_fn(move |context| {
        body.poll_recv(context).map(|piece| piece.map(Ok::<Bytes, Infallible>))
    });
    Ok((
        [
            ("content-type", content_type_of(&head.format).to_owned()),
            ("x-clickhouse-format", head.format),
            ("x-clickhouse-summary", summary(&head.statistics)),
            ("x-clickhouse-exception-tag", tag.to_owned()),
        ],
        Body::from_stream(pieces),
    )
        .into_response())
}

async fn take_rows(
    front: &Arc<Front>,
    call: Call,
    insert: InsertWithRows,
    first: Bytes,
    body: Body,
) -> Result<Response, Exception> {
    let permit = front.turn().await?;
    let (rows_sender, rows) = mpsc::channel(PIECES_MAX);
    let sessions = Arc::clone(&front.sessions);
    let stored = tokio::task::spawn_blocking(move || {
        let stored = queries::insert(&sessions, &call, &insert, rows);
        drop(permit);
        stored
    });
    send_rows(first, body, rows_sender).await;
    let statistics = stored.await.map_err(|_| Exception::engine("the insert ended without an answer"))??;
    Ok(([("x-clickhouse-summary", summary(&statistics))], "").into_response())
}

/// Passes the rows on. Without `End` the receiver knows that they are not complete.
async fn send_rows(first: Bytes, body: Body, rows: mpsc::Sender<Rows>) {
    let mut pieces = futures_util::stream::iter([Ok(first)]).chain(body.into_data_stream());
    let mut bytes_total = 0_usize;
    let mut wanted = true;
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else { return };
        bytes_total = bytes_total.saturating_add(piece.len());
        if bytes_total > INSERT_BYTES_MAX {
            return;
        }
        // After a failure the rest is read and dropped, so that the client hears why instead of a reset connection.
        if wanted && !piece.is_empty() {
            wanted = rows.send(Rows::Bytes(piece)).await.is_ok();
        }
    }
    if wanted {
        // Refused only when the insert has failed already.
        let _ = rows.send(Rows::End).await;
    }
}

fn refusal(exception: &Exception, compress: bool) -> Response {
    let text = format!("{}\n", exception.text());
    let body = if compress { frame(text.as_bytes()) } else { Bytes::from(text) };
    (
        exception.status(),
        [
            ("x-clickhouse-exception-code", exception.code().to_string()),
            ("content-type", "text/plain; charset=UTF-8".to_owned()),
        ],
        body,
    )
        .into_response()
}

fn bad_request(what: &str) -> Exception {
    Exception::new(36, "BAD_ARGUMENTS", what)
}

fn utf8(bytes: &Bytes) -> Result<String, Exception> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Exception::new(62, "SYNTAX_ERROR", "the query is not UTF-8"))
}

fn text_of(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn content_type_of(format: &str) -> &'static str {
    let is = |prefix: &str| format.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    if is("JSONEachRow") || is("JSONCompactEachRow") || is("NDJSON") {
        "application/x-ndjson; charset=UTF-8"
    } else if is("JSON") {
        "application/json; charset=UTF-8"
    } else if is("CSV") {
        "text/csv; charset=UTF-8"
    } else if is("TSV") || is("TabSeparated") {
        "text/tab-separated-values; charset=UTF-8"
    } else if is("Pretty") || is("Vertical") || is("Values") || is("Markdown") {
        "text/plain; charset=UTF-8"
    } else {
        "application/octet-stream"
    }
}
