//! `GET /api/v1/live`: one browser's WebSocket.
//!
//! In: publications of the hub, and subscriptions of the browser. Out: snapshot, then at most ten deltas a second.
//! Guarantees: a browser that does not take a message for ten seconds, or is silent for a minute (pings included), is let go;
//! what it sends is small and checked; while it is slow, changes are conflated and not queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use model::ContractId;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::hub::{Hub, SUBSCRIPTIONS_MAX, Viewer};
use crate::server::stopped;

pub(crate) const VIEWERS_MAX: usize = 1_000;
/// Longest message that a browser may send.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// The least time between two messages to one browser.
const SEND_GAP: Duration = Duration::from_millis(100);
/// A browser that does not take a message for so long is let go.
const SEND_WAIT_MAX: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// A browser gets so long to take the reason of the end and to answer it.
const FAREWELL_MAX: Duration = Duration::from_millis(400);
const PING_EVERY: Duration = Duration::from_secs(20);
/// A browser that says nothing for so long, not even pong, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Counts the browsers that are connected.
#[derive(Debug, Default)]
pub(crate) struct Viewers(AtomicUsize);

/// A place among the viewers, given back when dropped.
pub(crate) struct Seat(Arc<Viewers>);

impl Viewers {
    /// `None` when all places are taken.
    pub(crate) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < VIEWERS_MAX).then_some(count + 1));
        let before = taken.ok()?;
        metrics::gauge!("forecourt_live_viewers").set(u32::try_from(before + 1).unwrap_or(u32::MAX));
        Some(Seat(self.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let before = self.0.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("forecourt_live_viewers").set(u32::try_from(before - 1).unwrap_or(u32::MAX));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Subscribe { contract: ContractId },
    Unsubscribe { contract: ContractId },
}

/// Why a connection ends.
enum End {
    /// The browser left, or the line broke.
    Gone,
    /// We leave; the browser is told why.
    Close(u16, &'static str),
    Slow,
}

/// Serves one browser until it leaves, misbehaves, or `stop` turns true.
pub(crate) async fn serve(
    mut socket: WebSocket,
    hub: Arc<Hub>,
    resume: Option<String>,
    stop: watch::Receiver<bool>,
    seat: Seat,
) {
    match converse(&mut socket, &hub, resume.as_deref(), stop).await {
        End::Gone => {}
        End::Close(code, reason) => {
            let frame = CloseFrame { code, reason: reason.into() };
            let farewell = async {
                // To close while something of the browser is unread would reset the line, and the reason could be lost with it.
                if socket.send(Message::Close(Some(frame))).await.is_ok() {
                    while let Some(Ok(_)) = socket.recv().await {}
                }
            };
            // A browser that does not take this either learns from the closed socket.
            let _ = timeout(FAREWELL_MAX, farewell).await;
        }
        End::Slow => {
            metrics::counter!("forecourt_live_slow_viewers_total").increment(1);
            tracing::debug!("a browser did not take a message for {} s and is let go", SEND_WAIT_MAX.as_secs());
        }
    }
    drop(seat);
}

async fn converse(socket: &mut WebSocket, hub: &Hub, resume: Option<&str>, mut stop: watch::Receiver<bool>) -> End {
    let mut publications = hub.publications();
    let mut viewer = Viewer::new(hub, resume);
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard_at = Instant::now();
    let mut due = Instant::now();
    let mut pending = true;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return End::Close(close_code::AWAY, "Forecourt is stopping"),
            changed = publications.changed() => match changed {
                Ok(()) => pending = true,
                Err(_) => return End::Close(close_code::AWAY, "Forecourt is stopping"),
            },
            () = sleep_until(due), if pending => {
                let publication = publications.borrow_and_update().clone();
                if let Some(message) = viewer.next_message(hub, &publication) {
                    metrics::counter!("forecourt_live_messages_total").increment(1);
                    if let Err(end) = send(socket, Message::Text(message)).await {
                        return end;
                    }
                    due = Instant::now() + SEND_GAP;
                }
                pending = viewer.awaits_detail();
            }
            received = socket.recv() => {
                heard_at = Instant::now();
                match received {
                    None | Some(Ok(Message::Close(_))) => return End::Gone,
                    Some(Err(error)) => return too_long(error),
                    Some(Ok(Message::Text(text))) => match answer(&mut viewer, &text) {
                        Ok(()) => pending |= viewer.awaits_detail(),
                        Err(end) => return end,
                    },
                    Some(Ok(Message::Binary(_))) => return End::Close(close_code::UNSUPPORTED, "text frames only"),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                }
            }
            _ = pings.tick() => {
                if heard_at.elapsed() > SILENCE_MAX {
                    return End::Gone;
                }
                if let Err(end) = send(socket, Message::Ping(bytes::Bytes::new())).await {
                    return end;
                }
            }
        }
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match timeout(SEND_WAIT_MAX, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::Slow),
    }
}

/// A message over the limit is answered with the code for it; any other error means that the line is broken.
fn too_long(error: axum::Error) -> End {
    let text = error.into_inner().to_string();
    if text.contains("too long") || text.contains("Too long") {
        End::Close(close_code::SIZE, "messages have at most 4096 bytes")
    } else {
        End::Gone
    }
}

fn answer(viewer: &mut Viewer, text: &Utf8Bytes) -> Result<(), End> {
    match serde_json::from_str(text.as_str()) {
        Ok(Ask::Subscribe { contract }) => {
            if !viewer.subscribe(contract) {
                const { assert!(SUBSCRIPTIONS_MAX == 20) };
                return Err(End::Close(close_code::POLICY, "at most 20 contracts can be followed"));
            }
            Ok(())
        }
        Ok(Ask::Unsubscribe { contract }) => {
            viewer.unsubscribe(&contract);
            Ok(())
        }
        Err(_) => {
            Err(End::Close(close_code::POLICY, r#"expected {"subscribe":{"contract":"…"}} or {"unsubscribe":…}"#))
        }
    }
}
