use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;
use crate::samples::World;

/// A server on a free port, and the hand that feeds it.
struct Running {
    address: SocketAddr,
    feed: mpsc::Sender<Vec<Feed>>,
    health: Health,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Result<(), Error>>,
    world: World,
}

type Socket = WebSocketStream<TcpStream>;

impl Running {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (feed, items) = mpsc::channel(4);
        let (stop, stopped) = oneshot::channel();
        let health = Health::new();
        // Nobody listens on port 9 ("discard").
        let config = Config { clickhouse_url: "http://127.0.0.1:9".to_owned(), ..Config::default() };
        let screens = Screens::of_this_process(config.stale_after_us);
        let render = Arc::new(|| "forecourt_up 1\n".to_owned());
        let done = tokio::spawn(crate::serve_on(listener, screens, config, items, health.clone(), render, stopped));
        let mut running = Self { address, feed, health, stop, done, world: World::new() };
        let mut items = running.world.takeovers().to_vec();
        items.extend([
            running.world.open("C-1", "Acme"),
            running.world.top_up("C-1", 100_000),
            running.world.issue("C-1", "K-1"),
        ]);
        running.tell(items).await;
        running
    }

    async fn tell(&self, items: Vec<Feed>) {
        self.feed.send(items).await.expect("the writer lives");
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.get_as(path, &format!("localhost:{}", self.address.port())).await
    }

    async fn get_as(&self, path: &str, host: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("listening");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("an answer");
        let status = response.split(' ').nth(1).expect("a status").parse().expect("a number");
        (status, response)
    }

    /// Asks until the answer holds `part`.
    async fn get_until(&self, path: &str, part: &str) -> String {
        let asking = async {
            loop {
                let (_, response) = self.get(path).await;
                if response.contains(part) {
                    return response;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(10), asking).await.unwrap_or_else(|_| panic!("{path} never held {part}"))
    }

    async fn connect(&self, query: &str, origin: Option<&str>) -> Result<Socket, tungstenite::Error> {
        let stream = TcpStream::connect(self.address).await.expect("listening");
        self.connect_over(stream, query, origin).await
    }

    async fn connect_over(
        &self,
        stream: TcpStream,
        query: &str,
        origin: Option<&str>,
    ) -> Result<Socket, tungstenite::Error> {
        let mut request = format!("ws://{}/api/v1/live{query}", self.address).into_client_request().expect("a request");
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().expect("a header"));
        }
        client_async(request, stream).await.map(|(socket, _)| socket)
    }

    async fn stop(self) {
        self.stop.send(()).expect("running");
        timeout(Duration::from_secs(5), self.done).await.expect("it ends").expect("no panic").expect("no error");
    }
}

/// The next frame, pings left out.
async fn next(socket: &mut Socket) -> Option<Result<Message, tungstenite::Error>> {
    loop {
        let frame = timeout(Duration::from_secs(10), socket.next()).await.expect("a frame in time");
        if !matches!(frame, Some(Ok(Message::Ping(_)))) {
            return frame;
        }
    }
}

async fn hear(socket: &mut Socket) -> Value {
    let frame = next(socket).await.expect("open").expect("a frame");
    serde_json::from_str(frame.to_text().expect("text")).expect("JSON")
}

/// Listens until a message satisfies; checks that none was left out before it.
async fn hear_until(socket: &mut Socket, mut seq: u64, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let message = hear(socket).await;
        seq += 1;
        assert_eq!((&message["type"], message["seq"].as_u64()), (&Value::from("delta"), Some(seq)));
        if wanted(&message["changes"]) {
            return message;
        }
    }
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.expect("sent");
}

async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        match next(socket).await {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("closed without a reason: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_snapshot_then_deltas_then_resumes() {
    let mut running = Running::start().await;
    running.get_until("/api/v1/contracts/C-1", r#""own":100000"#).await;
    let mut socket = running.connect("", Some("http://localhost:5173")).await.expect("connected");
    let snapshot = hear(&mut socket).await;
    assert_eq!((&snapshot["type"], &snapshot["seq"]), (&"snapshot".into(), &1.into()));
    assert_eq!(snapshot["state"]["decisions"], serde_json::json!([]));

    let sale = running.world.sale("K-1", 60);
    running.tell(vec![Feed::CaughtUp, sale]).await;
    let delta = hear_until(&mut socket, 1, |changes| changes.get("decisions").is_some()).await;
    assert_eq!(delta["changes"]["decisions"][0]["code"], "APPROVED");
    assert_eq!(delta["changes"]["contracts"][0]["own"], 97_000);

    say(&mut socket, r#"{"subscribe":{"contract":"C-1"}}"#).await;
    let seq = delta["seq"].as_u64().expect("a number");
    let delta = hear_until(&mut socket, seq, |changes| changes.get("contract_details").is_some()).await;
    assert_eq!(delta["changes"]["contract_details"][0]["cards"][0]["headroom"][0]["left"], 40_000);
    drop(socket);

    let sales = vec![running.world.sale("K-1", 30), running.world.sale("K-1", 30)];
    running.tell(sales).await;
    running.get_until("/api/v1/decisions?card=K-1", "LIMIT_PERIOD").await;
    let token = delta["token"].as_str().expect("a token");
    let mut socket = running.connect(&format!("?resume={token}"), None).await.expect("connected");
    let missed = hear_until(&mut socket, 0, |changes| changes.get("decisions").is_some()).await;
    let codes: Vec<_> =
        missed["changes"]["decisions"].as_array().expect("a list").iter().map(|line| &line["code"]).collect();
    assert_eq!(codes, ["LIMIT_PERIOD", "APPROVED"]);
    let mut socket = running.connect("?resume=1234.5-6", None).await.expect("connected");
    assert_eq!(hear(&mut socket).await["type"], "snapshot");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_is_refused() {
    let running = Running::start().await;
    for origin in ["https://evil.example", "null"] {
        match running.connect("", Some(origin)).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403),
            other => panic!("{origin} was let in: {}", other.is_ok()),
        }
    }
    let (status, response) = running.get_as("/api/v1/contracts/C-1", "evil.example").await;
    assert_eq!(status, 421);
    assert!(!response.contains("Acme"), "{response}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_talks_nonsense_is_told_and_let_go() {
    let running = Running::start().await;
    let long = format!(r#"{{"subscribe":{{"contract":"{}"}}}}"#, "x".repeat(MESSAGE_BYTES_MAX));
    for (text, code) in
        [("hello", 1008), (r#"{"subscribe":{"contract":""}}"#, 1008), (r#"{"buy":{}}"#, 1008), (&*long, 1009)]
    {
        let mut socket = running.connect("", None).await.expect("connected");
        say(&mut socket, text).await;
        assert_eq!(close_code(&mut socket).await, code, "{}", &text[..5]);
    }
    let mut socket = running.connect("", None).await.expect("connected");
    for contract in 0..21 {
        say(&mut socket, &format!(r#"{{"subscribe":{{"contract":"C-{contract}"}}}}"#)).await;
    }
    assert_eq!(close_code(&mut socket).await, 1008);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_takes_nothing_is_let_go_and_holds_up_nobody() {
    let mut running = Running::start().await;
    let contracts: Vec<String> = (0..3_000).map(|number| format!("C-{number}")).collect();
    let items = contracts.iter().map(|contract| running.world.open(contract, "A contract with a long name")).collect();
    running.tell(items).await;
    running.get_until("/api/v1/contracts?search=C-2999", "C-2999").await;

    let small = TcpSocket::new_v4().expect("a socket");
    small.set_recv_buffer_size(4096).expect("a small buffer");
    let stream = small.connect(running.address).await.expect("listening");
    let mut asleep = running.connect_over(stream, "", None).await.expect("connected");
    let mut prompt = running.connect("", None).await.expect("connected");
    assert_eq!(hear(&mut prompt).await["type"], "snapshot");

    let mut seq = 1;
    for minor in 1..40 {
        let items = contracts.iter().map(|contract| running.world.top_up(contract, minor)).collect();
        running.tell(items).await;
        let delta = hear_until(&mut prompt, seq, |changes| changes.get("contracts").is_some()).await;
        seq = delta["seq"].as_u64().expect("a number");
    }
    let ended = async {
        while let Some(Ok(frame)) = asleep.next().await {
            assert!(!frame.is_close(), "there was no room for a reason");
        }
    };
    timeout(Duration::from_secs(10), ended).await.expect("let go");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_is_ready_when_the_screens_have_caught_up() {
    let mut running = Running::start().await;
    assert_eq!(running.get("/livez").await.0, 200);
    let (status, response) = running.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(response.contains("screens"), "{response}");
    let sale = running.world.sale("K-1", 30);
    running.tell(vec![sale, Feed::CaughtUp]).await;
    running.get_until("/readyz", r#""ready":true"#).await;
    let (_, network) = running.get("/api/v1/network").await;
    assert!(network.contains(r#""decisions":1"#), "ready before the totals: {network}");
    running.health.require("ledger");
    assert_eq!(running.get("/readyz").await.0, 503);
    running.health.set("ledger", true, "");
    assert_eq!(running.get("/readyz").await.0, 200);
    assert!(running.get("/metrics").await.1.ends_with("forecourt_up 1\n"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_what_is_known_and_says_what_is_wrong() {
    let mut running = Running::start().await;
    let items =
        vec![running.world.sale("K-1", 60), running.world.sale("K-1", 60), running.world.level("S-1", "3", 9_000)];
    running.tell(items).await;
    let preauth = vec![running.world.preauth("K-1", 20, "0-77"), running.world.register("S-1", "4")];
    running.tell(preauth).await;
    running.get_until("/api/v1/tanks?site=S-1", r#""volume_ml":9000000"#).await;
    // Totals follow with the next tick.
    running.get_until("/api/v1/network", r#""declined":1"#).await;
    for (path, status, part) in [
        ("/api/v1/network", 200, r#""name":"screens""#),
        ("/api/v1/decisions?contract=C-1&verdict=decline&limit=1", 200, "LIMIT_PERIOD"),
        ("/api/v1/decisions/sale-1", 200, r#""iso39":"000""#),
        (
            "/api/v1/decisions/sale-1",
            200,
            r#""text":{"cashier":{"en":"see manager","kk":"менеджерге","ru":"к менеджеру"},"manager":{"en":"60 L asked","kk":"60 л сұралды","ru":"запрошено 60 л"}}"#,
        ),
        ("/api/v1/decisions?verdict=approve", 200, "sale-1"),
        ("/api/v1/decisions?verdict=reprompt", 200, r#"{"decisions":[]}"#),
        ("/api/v1/decisions?verdict=perhaps", 400, "error"),
        (
            "/api/v1/holds",
            200,
            r#""open":1,"holds":[{"contract":"C-1","contract_name":"Acme","currency":"RUB","auth_code":"0-77""#,
        ),
        ("/api/v1/holds?contract=C-1&limit=0", 200, r#"{"open":1,"holds":[]}"#),
        ("/api/v1/holds?contract=C-2", 404, "contract C-2 is not known"),
        ("/api/v1/contracts?search=acm", 200, r#""contract":"C-1""#),
        ("/api/v1/contracts?after=C-1", 200, r#"{"contracts":[]}"#),
        ("/api/v1/contracts/C-1", 200, r#""left":40000"#),
        ("/api/v1/contracts/C-1/forecast", 200, r#""outlook":"no_history""#),
        ("/api/v1/contracts/C-2/forecast", 404, "contract C-2 is not known"),
        ("/api/v1/cards/K-1", 200, r#""contract_name":"Acme""#),
        ("/api/v1/tanks?site=S-2", 200, r#"{"tanks":[]}"#),
        ("/api/v1/tanks?registered=false", 200, r#"{"tanks":[{"site":"S-1","tank":"3""#),
        ("/api/v1/tanks?registered=true&site=S-1", 200, r#"{"tanks":[{"site":"S-1","tank":"4""#),
        ("/api/v1/tanks?registered=true&site=S-2", 200, r#"{"tanks":[]}"#),
        ("/api/v1/tanks?registered=perhaps", 400, "error"),
        ("/api/v1/sites/S-1", 200, r#""tank":"3""#),
        ("/api/v1/sites/S-1", 200, r#""tank_details":[{"tank":"3","events":[],"days":[]},{"tank":"4","setup":{"#),
        ("/api/v1/contracts/C-2", 404, r#"{"error":"contract C-2 is not known"}"#),
        ("/api/v1/cards/K-2", 404, "error"),
        ("/api/v1/sites/S-2", 404, "error"),
        ("/api/v1/nothing", 404, "error"),
        ("/api/v2/network", 404, "error"),
        ("/nothing.js", 404, "no such file"),
        ("/api/v1/contracts/a%20b", 400, "only letters"),
        ("/api/v1/decisions?limit=many", 400, "error"),
        ("/api/v1/history/tank?site=S-1", 400, "tank is missing"),
        ("/api/v1/history/sales?site=S-1&tank=3", 503, "ClickHouse cannot answer"),
        ("/api/v1/history/consumption?from=5&to=4", 400, "from is before to"),
        ("/api/v1/history/consumption?step=year", 400, "error"),
        ("/api/v1/history/consumption?step=day", 503, "ClickHouse cannot answer"),
        ("/api/v1/history/contract?contract=C-1", 503, "ClickHouse cannot answer"),
        ("/api/v1/decisions/sale-9", 503, "ClickHouse cannot answer"),
    ] {
        let (found, response) = running.get(path).await;
        assert_eq!(found, status, "{path}: {response}");
        assert!(response.contains(part), "{path}: {response}");
        let head = response.split("\r\n\r\n").next().expect("a head").to_lowercase();
        assert!(head.contains("x-content-type-options: nosniff"), "{path}: {head}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_for_its_views_and_only_loads_what_is_ours() {
    let running = Running::start().await;
    for path in ["/", "/contracts/C-1"] {
        let (status, response) = running.get(path).await;
        assert_eq!(status, 200, "{path}");
        assert!(response.contains("content-type: text/html; charset=utf-8"), "{path}: {response}");
        assert!(response.contains("content-security-policy: default-src 'self';"), "{path}: {response}");
        assert!(response.contains("x-frame-options: DENY"), "{path}: {response}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_soon_whoever_is_connected() {
    let running = Running::start().await;
    let mut socket = running.connect("", None).await.expect("connected");
    let _idle = TcpStream::connect(running.address).await.expect("connected");
    let mut halfway = TcpStream::connect(running.address).await.expect("connected");
    halfway.write_all(b"GET /livez HTTP/1.1\r\nHost:").await.expect("sent");
    assert_eq!(hear(&mut socket).await["type"], "snapshot");
    let ((), code) = tokio::join!(running.stop(), close_code(&mut socket));
    assert_eq!(code, 1001);
}
