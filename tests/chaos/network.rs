//! What stands between Forecourt and its engines: a slow and lossy network before Kafka, and a ClickHouse whose answers
//! can be withheld.
//!
//! Kafka names its own address to its clients, so they are led aside by nftables: who calls Kafka's port meets the proxy,
//! which delays every byte, and only the proxy's own calls, from an address of their own, get through. Loss and cuts
//! are real packets dropped by nftables where they arrive. (`tc netem` would do both, but many kernels come without it.)

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::LeftOut;
use crate::instance::{free_ports, run};

/// Where the proxy calls from.
const PROXY_ADDRESS: &str = "127.0.0.9";
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces under way in one direction.
const PIECES_MAX: usize = 1024;

/// Mended and taken away when dropped.
pub(crate) struct Network {
    table: String,
    disturbed: [u16; 2],
    delay_ms: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Network {
    /// From now on, new connections to Kafka lead through the proxy.
    pub(crate) fn between(kafka: u16, mqtt: u16) -> Result<Self, LeftOut> {
        let [proxy, ..] = free_ports();
        let (runtime, delay_ms) = (runtime(), Arc::new(AtomicU64::new(0)));
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", proxy))).expect("a free port");
        let delay = Arc::clone(&delay_ms);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let delay = Arc::clone(&delay);
                tokio::spawn(async move {
                    if let Ok(server) = call(kafka).await {
                        lead_through(client, server, &delay);
                    }
                });
            }
        });
        let table = format!("forecourt_chaos_{}", std::process::id());
        let network = Self { table, disturbed: [proxy, mqtt], delay_ms, _runtime: runtime };
        let Self { table, .. } = &network;
        nft(&format!(
            "add table ip {table}\n\
             add chain ip {table} aside {{ type nat hook output priority -100; }}\n\
             add chain ip {table} arriving {{ type filter hook input priority 0; }}\n\
             add rule ip {table} aside ip saddr != {PROXY_ADDRESS} tcp dport {kafka} redirect to :{proxy}\n"
        ))?;
        Ok(network)
    }

    /// Packets to and from Kafka and the MQTT broker are lost by chance.
    pub(crate) fn lose(&self, percent: u32) {
        self.disturb(&format!("numgen random mod 100 < {percent} counter drop"));
    }

    /// No packet arrives, and nobody is told.
    pub(crate) fn cut(&self) {
        self.disturb("counter drop");
    }

    /// Packets that were dropped since the last [`Self::mend`].
    pub(crate) fn lost(&self) -> u64 {
        let listed = run("nft", &["list", "chain", "ip", &self.table, "arriving"]);
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let counts = text.split("counter packets ").skip(1);
        counts.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Every byte to and from Kafka takes so much longer.
    pub(crate) fn delay(&self, time: Duration) {
        self.delay_ms.store(u64::try_from(time.as_millis()).expect("short"), Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        nft(&format!("flush chain ip {} arriving\n", self.table)).expect("the rules can be flushed");
        self.delay(Duration::ZERO);
    }

    fn disturb(&self, how: &str) {
        let Self { table, disturbed: [proxy, mqtt], .. } = self;
        nft(&format!(
            "add rule ip {table} arriving tcp dport {{ {proxy}, {mqtt} }} {how}\n\
             add rule ip {table} arriving tcp sport {{ {proxy}, {mqtt} }} {how}\n"
        ))
        .expect("the rules can be added");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = nft(&format!("delete table ip {}\n", self.table));
    }
}

fn nft(script: &str) -> Result<(), LeftOut> {
    use std::io::Write;
    let failed = |error: io::Error| format!("nft cannot be run: {error}");
    let mut child =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    child.stdin.take().expect("piped").write_all(script.as_bytes()).map_err(failed)?;
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() { Ok(()) } else { Err(format!("nft: {}", String::from_utf8_lossy(&output.stderr))) }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn call(port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{PROXY_ADDRESS}:0").parse().expect("an address"))?;
    let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn lead_through(client: TcpStream, server: TcpStream, delay_ms: &Arc<AtomicU64>) {
    let _ = client.set_nodelay(true);
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::spawn(delayed(from_client, to_server, Arc::clone(delay_ms)));
    tokio::spawn(delayed(from_server, to_client, Arc::clone(delay_ms)));
}

/// Pieces leave in their order, each so long after it came; the end of one side is the end of the other.
async fn delayed(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay_ms: Arc<AtomicU64>) {
    let (pieces, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    tokio::spawn(async move {
        while let Some((due, piece)) = under_way.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let due = Instant::now() + Duration::from_millis(delay_ms.load(Ordering::Relaxed));
        if pieces.send((due, buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}

/// What becomes of requests to ClickHouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Pass,
    /// Connections end at once.
    Refuse,
    /// Every request is answered with status 500, and ClickHouse hears nothing of it.
    Error,
    /// Inserts are carried out; their answers are swallowed and the connection ends.
    HangUp,
    /// Inserts are carried out; nothing is ever heard again of them.
    FallSilent,
}

/// Stands before ClickHouse.
pub(crate) struct History {
    pub(crate) port: u16,
    manner: watch::Sender<Manner>,
    disturbed: Arc<AtomicU32>,
    _runtime: Runtime,
}

impl History {
    pub(crate) fn before(clickhouse: u16) -> Self {
        let [port, ..] = free_ports();
        let (manner, told) = watch::channel(Manner::Pass);
        let (runtime, disturbed) = (runtime(), Arc::new(AtomicU32::new(0)));
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).expect("a free port");
        let counted = Arc::clone(&disturbed);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (told, counted) = (told.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    // A connection that ends is all that the other side is to see.
                    let _ = answer(client, clickhouse, told, &counted).await;
                });
            }
        });
        Self { port, manner, disturbed, _runtime: runtime }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// Requests that were refused, or whose answer was swallowed.
    pub(crate) fn disturbed(&self) -> u32 {
        self.disturbed.load(Ordering::Relaxed)
    }
}

const REFUSAL: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 26\r\nConnection: close\r\n\r\nCode: 999. Made by a test\n";

/// One connection, whose requests come one after the other.
async fn answer(
    mut client: TcpStream,
    clickhouse: u16,
    mut told: watch::Receiver<Manner>,
    counted: &AtomicU32,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut server = TcpStream::connect(("127.0.0.1", clickhouse)).await?;
    server.set_nodelay(true)?;
    let (mut asked, mut told_back) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let (mut is_insert, now) = (false, told.clone());
    loop {
        tokio::select! {
            () = refused(&mut told) => {
                counted.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            length = client.read(&mut asked) => {
                let piece = &asked[..length?];
                if piece.is_empty() {
                    return Ok(());
                }
                if *now.borrow() == Manner::Error {
                    counted.fetch_add(1, Ordering::Relaxed);
                    client.write_all(REFUSAL).await?;
                    // Time to read it before the connection is reset over what was not read here.
                    sleep(Duration::from_millis(100)).await;
                    return Ok(());
                }
                if piece.starts_with(b"POST ") || piece.starts_with(b"GET ") {
                    is_insert = contains(piece, b"insert_deduplication_token");
                }
                server.write_all(piece).await?;
            }
            length = server.read(&mut told_back) => {
                let piece = &told_back[..length?];
                if piece.is_empty() {
                    return Ok(());
                }
                let manner = *now.borrow();
                if is_insert && matches!(manner, Manner::HangUp | Manner::FallSilent) {
                    counted.fetch_add(1, Ordering::Relaxed);
                    if manner == Manner::FallSilent {
                        // Until the other side gives up.
                        while client.read(&mut asked).await? > 0 {}
                    }
                    return Ok(());
                }
                client.write_all(piece).await?;
            }
        }
    }
}

/// Returns when connections are to be refused.
async fn refused(told: &mut watch::Receiver<Manner>) {
    let _ = told.wait_for(|manner| *manner == Manner::Refuse).await;
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}
