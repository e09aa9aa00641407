//! The paths, the one writer of the projection, and the orderly end.
//!
//! In: a bound socket, the feed. Out: everything this crate shows. The writer folds in portions and yields between them, so
//! that a long catching-up holds up neither viewers nor `/livez`.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::access::Access;
use crate::health::FEED_PART;
use crate::history::History;
use crate::hub::Hub;
use crate::live::{self, MESSAGE_BYTES_MAX, Viewers};
use crate::{Config, Error, Feed, Health, Screens, page, rest};

/// Changes are published so often; a little slower than a viewer's shortest gap, so that a prompt viewer misses none.
const PUBLISH_EVERY: Duration = Duration::from_millis(105);
/// Items folded under one lock.
const FOLD_MAX: usize = 512;
/// Answers that are under way get so long after the stop.
const END_WAIT_MAX: Duration = Duration::from_millis(700);

pub(crate) struct App {
    pub(crate) hub: Arc<Hub>,
    pub(crate) history: History,
    pub(crate) health: Health,
    pub(crate) render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    access: Access,
    viewers: Arc<Viewers>,
    stop: watch::Receiver<bool>,
}

/// This process's clock, µs since 1970.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) async fn run(
    listener: TcpListener,
    screens: Screens,
    config: Config,
    feed: mpsc::Receiver<Vec<Feed>>,
    health: Health,
    render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    stop: impl Future + Send + 'static,
) -> Result<(), Error> {
    let address = listener.local_addr().unwrap_or(config.listen);
    let hub = screens.hub().clone();
    let (stop_sender, stop_receiver) = watch::channel(false);
    let app = Arc::new(App {
        hub: hub.clone(),
        history: History::new(&config),
        health: health.clone(),
        render_metrics,
        access: Access::new(address, &config.allowed_origins),
        viewers: Arc::default(),
        stop: stop_receiver.clone(),
    });
    tokio::spawn(async move {
        stop.await;
        stop_sender.send_replace(true);
    });
    let writer = tokio::spawn(write(hub, feed, health, stop_receiver.clone()));
    tracing::info!("page and API on http://{address}");
    let mut stop = stop_receiver.clone();
    let serving = axum::serve(listener, router(app)).with_graceful_shutdown(async move { stopped(&mut stop).await });
    let mut stop = stop_receiver;
    let overdue = async {
        stopped(&mut stop).await;
        tokio::time::sleep(END_WAIT_MAX).await;
    };
    let served = tokio::select! {
        served = async { serving.await } => served.map_err(Error::Serve),
        () = overdue => Ok(()),
    };
    writer.abort();
    served
}

/// Waits for the stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Folds what comes and publishes in steady steps, until the stop. A feed that ends leaves the last state on show.
async fn write(hub: Arc<Hub>, mut feed: mpsc::Receiver<Vec<Feed>>, health: Health, mut stop: watch::Receiver<bool>) {
    health.set(FEED_PART, false, "reading what was recorded");
    let mut publish = interval(PUBLISH_EVERY);
    publish.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut feeding = true;
    let mut ready = false;
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = publish.tick() => hub.tick(now_us(), health.parts()),
            batch = feed.recv(), if feeding => match batch {
                Some(batch) => {
                    let mut items = batch.into_iter().peekable();
                    while items.peek().is_some() {
                        hub.apply(items.by_ref().take(FOLD_MAX));
                        tokio::task::yield_now().await;
                    }
                    if !ready && hub.read().caught_up() {
                        ready = true;
                        // The totals too: who asks as soon as the process is ready sees all that is recorded.
                        hub.tick(now_us(), health.parts());
                        health.set(FEED_PART, true, "live");
                    }
                }
                None => {
                    feeding = false;
                    health.set(FEED_PART, false, "the logs are no longer read");
                }
            },
        }
    }
}

fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/live", get(open_live))
        .route("/network", get(rest::network))
        .route("/decisions", get(rest::decisions))
        .route("/decisions/{idem}", get(rest::decision))
        .route("/contracts", get(rest::contracts))
        .route("/contracts/{id}", get(rest::contract))
        .route("/contracts/{id}/forecast", get(rest::forecast))
        .route("/cards/{token}", get(rest::card))
        .route("/holds", get(rest::holds))
        .route("/tanks", get(rest::tanks))
        .route("/sites/{site}", get(rest::site))
        .route("/history/consumption", get(rest::consumption))
        .route("/history/tank", get(rest::tank_history))
        .route("/history/sales", get(rest::tank_sales))
        .route("/history/contract", get(rest::contract_history))
        .fallback(rest::no_such_path)
        .layer(from_fn_with_state(app.clone(), for_our_name_only));
    Router::new()
        .nest("/api/v1", api)
        .route("/api/{*path}", get(rest::no_such_path))
        .route("/livez", get(rest::live))
        .route("/readyz", get(rest::ready))
        .route("/metrics", get(rest::metrics))
        .fallback(page::file)
        .layer(from_fn(with_security_headers))
        .with_state(app)
}

async fn with_security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    page::security_headers(response.headers_mut());
    response
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    // A header that is no text becomes one that nothing admits.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

async fn for_our_name_only(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if !app.access.admits_host(text(request.headers(), header::HOST)) {
        let hint = "this name is not listed in dashboards.allowed_origins";
        return (StatusCode::MISDIRECTED_REQUEST, axum::Json(serde_json::json!({ "error": hint }))).into_response();
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct LiveAsked {
    resume: Option<String>,
}

async fn open_live(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    asked: Result<Query<LiveAsked>, QueryRejection>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !app.access.admits_origin(text(&headers, header::ORIGIN), text(&headers, header::HOST)) {
        let hint = "pages of this origin may not connect; it is not listed in dashboards.allowed_origins";
        return (StatusCode::FORBIDDEN, axum::Json(serde_json::json!({ "error": hint }))).into_response();
    }
    let Some(seat) = app.viewers.seat() else {
        let error = "too many live connections";
        return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(serde_json::json!({ "error": error }))).into_response();
    };
    // A resume that cannot be read is one that is impossible: a snapshot follows.
    let resume = asked.ok().and_then(|Query(asked)| asked.resume);
    let (hub, stop) = (app.hub.clone(), app.stop.clone());
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| live::serve(socket, hub, resume, stop, seat))
}

#[cfg(test)]
mod tests;
