//! Several nodes without sticky sessions: each request of a client goes to the next node.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sockeye::peers::{
    Directory, DirectoryError, DirectoryFuture, ForwardFailure, MemoryDirectory, NodeTag, PeerError, PeerMetrics,
    PeerOptions,
};
use sockeye::{Ack, CloseReason, Cookie, Cors, Data, NotFound, RemoteAddr, Server, ServerBuilder, Socket};
use support::{Got, WebSocket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const SECRET: &str = "a secret that all nodes have";
const UNKNOWN: &str = "{\"code\":1,\"message\":\"Session ID unknown\"}";

/// A node.
struct Node {
    server: Server,
    address: SocketAddr,
    metrics: Arc<PeerMetrics>,
}

impl Node {
    async fn start(options: PeerOptions, directory: impl Directory) -> Self {
        Self::start_with(Server::builder(), options, directory).await
    }

    async fn start_with(builder: ServerBuilder, options: PeerOptions, directory: impl Directory) -> Self {
        let metrics = options.metrics.clone();
        let server = builder.build();
        server.on("echo", |socket: Socket, Data(value): Data<u32>| socket.emit("echo", value));
        server.on("size", |socket: Socket, Data(text): Data<String>| socket.emit("size", text.len()));
        server.on("ask", |ack: Ack, Data(value): Data<u32>| ack.send(value + 1));
        server.join_peers(options, directory).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = server.clone();
        tokio::spawn(async move { serving.serve(listener, NotFound).await });
        Self { server, address, metrics }
    }
}

/// The way to the listener of a node, which can be cut: for the others the node is dead then.
struct Way {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Way {
    async fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(address).await.unwrap();
                    let _cut = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address: way, task }
    }

    fn cut(&self) {
        self.task.abort();
    }
}

/// An address that nobody listens on yet.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn three(directory: &MemoryDirectory) -> [Node; 3] {
    let options = || PeerOptions::new(SECRET);
    [
        Node::start(options(), directory.clone()).await,
        Node::start(options(), directory.clone()).await,
        Node::start(options(), directory.clone()).await,
    ]
}

/// An answer: status, headers as text, body.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// Sends a request, whose answer is still to be read.
async fn begin(address: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    // A server that refuses early may not read it all.
    let _cut = stream.write_all(request.as_bytes()).await;
    stream
}

async fn finish(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    let _reset_after_the_answer = read.expect("an answer in time");
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

async fn request(address: SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    finish(begin(address, method, target, "", body).await).await
}

/// A long-polling client whose every request goes to the next node.
struct Client {
    nodes: Vec<SocketAddr>,
    next: AtomicUsize,
    sid: String,
}

impl Client {
    /// Opens a session on the first node.
    async fn open(nodes: &[&Node]) -> Self {
        let answer = request(nodes[0].address, "GET", "/socket.io/?EIO=4&transport=polling", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let sid = answer.body.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
        assert_eq!(sid.len(), 20);
        let nodes = nodes.iter().map(|node| node.address).collect();
        Self { nodes, next: AtomicUsize::new(1), sid }
    }

    /// And joins the main namespace.
    async fn joined(nodes: &[&Node]) -> Self {
        let client = Self::open(nodes).await;
        assert_eq!(client.post("40").await.body, "ok");
        let answer = client.get().await;
        assert!(answer.body.starts_with("40{\"sid\""), "{answer:?}");
        client
    }

    fn node(&self) -> SocketAddr {
        self.nodes[self.next.fetch_add(1, Ordering::Relaxed) % self.nodes.len()]
    }

    fn target(&self) -> String {
        format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid)
    }

    async fn get(&self) -> Answer {
        request(self.node(), "GET", &self.target(), "").await
    }

    async fn post(&self, body: &str) -> Answer {
        request(self.node(), "POST", &self.target(), body).await
    }

    /// A WebSocket to this node that has taken over.
    async fn upgrade(&self, node: &Node) -> WebSocket {
        let stream = TcpStream::connect(node.address).await.unwrap();
        let query = format!("EIO=4&transport=websocket&sid={}", self.sid);
        let mut socket = WebSocket::open_on(stream, &query, "").await.unwrap();
        socket.send("2probe").await;
        assert_eq!(socket.text().await, "3probe");
        socket.send("5").await;
        socket
    }
}

/// Waits until something is so.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not so after five seconds");
}

#[tokio::test]
async fn a_polling_client_goes_from_node_to_node() {
    let directory = MemoryDirectory::default();
    let nodes = three(&directory).await;
    let client = Client::joined(&[&nodes[0], &nodes[1], &nodes[2]]).await;
    for value in 0..20 {
        assert_eq!(client.post(&format!("42[\"echo\",{value}]")).await.body, "ok");
        assert_eq!(client.get().await.body, format!("42[\"echo\",{value}]"));
        assert_eq!(client.post(&format!("427[\"ask\",{value}]")).await.body, "ok");
        assert_eq!(client.get().await.body, format!("437[{}]", value + 1));
    }
    // What the server has to say finds a GET that waits at another node.
    let waiting = begin(nodes[1].address, "GET", &client.target(), "", "").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    nodes[0].server.emit("news", "é");
    assert_eq!(finish(waiting).await.body, "42[\"news\",\"é\"]");
    let long = "x".repeat(900_000);
    assert_eq!(client.post(&format!("42[\"size\",\"{long}\"]")).await.body, "ok");
    assert_eq!(client.get().await.body, "42[\"size\",900000]");

    assert_eq!(client.post("1").await.body, "ok");
    for _ in 0..3 {
        let answer = client.get().await;
        assert_eq!((answer.status, answer.body.as_str()), (400, UNKNOWN));
    }
    assert_eq!(nodes[0].server.metrics().opened.value(), 1);
    assert_eq!(nodes[1].server.metrics().opened.value() + nodes[2].server.metrics().opened.value(), 0);
    let forwarded: u64 = nodes.iter().map(|node| node.metrics.forwarded.value()).sum();
    assert_eq!(nodes[0].metrics.served.value(), forwarded);
    assert!(forwarded > 50, "{forwarded}");
    assert!(nodes[1].metrics.lookups.value() == 1 && nodes[2].metrics.lookups.value() == 1);
    assert_eq!(nodes[1].metrics.waiting.value() + nodes[2].metrics.waiting.value(), 0);
}

#[tokio::test]
async fn an_upgrade_may_come_to_another_node() {
    let directory = MemoryDirectory::default();
    let nodes = three(&directory).await;
    let client = Client::joined(&[&nodes[0], &nodes[1]]).await;
    let mut socket = client.upgrade(&nodes[2]).await;
    for value in 0..20 {
        socket.send(&format!("42[\"echo\",{value}]")).await;
        assert_eq!(socket.text().await, format!("42[\"echo\",{value}]"));
    }
    // More at once than any buffer on the way holds.
    let text = "y".repeat(300_000);
    for _ in 0..10 {
        nodes[0].server.emit("long", &text);
    }
    for _ in 0..10 {
        assert_eq!(socket.text().await.len(), text.len() + 13);
    }
    assert_eq!(nodes[2].metrics.websockets.value(), 1);
    assert_eq!(nodes[0].server.metrics().upgrades.value(), 1);
    // A request on polling is refused by the owner.
    assert!(client.get().await.body.contains("\"code\":3"));

    socket.close().await;
    assert_eq!(socket.closed().await, None);
    eventually("the session ends", || nodes[0].server.metrics().connections.value() == 0).await;
    assert_eq!(nodes[0].server.metrics().closed(CloseReason::TransportClose), 1);
    eventually("the WebSocket ends", || nodes[2].metrics.websockets.value() == 0).await;

    // The server's close, and a client that is gone without a word.
    let client = Client::joined(&[&nodes[1]]).await;
    let mut socket = client.upgrade(&nodes[0]).await;
    nodes[1].server.disconnect_sockets(true);
    assert_eq!(socket.text().await, "41");
    socket.closed().await;
    socket.close().await;
    let client = Client::joined(&[&nodes[1]]).await;
    drop(client.upgrade(&nodes[0]).await);
    eventually("the session ends", || nodes[1].server.metrics().connections.value() == 0).await;
    eventually("the WebSocket ends", || nodes[0].metrics.websockets.value() == 0).await;
}

#[tokio::test]
async fn an_upgrade_within_http2_may_come_to_another_node() {
    let directory = MemoryDirectory::default();
    let nodes = three(&directory).await;
    let client = Client::joined(&[&nodes[0]]).await;
    let stream = TokioIo::new(TcpStream::connect(nodes[1].address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let target = format!("http://test/socket.io/?EIO=4&transport=websocket&sid={}", client.sid);
    let mut connect = http::Request::connect(target).header("sec-websocket-version", "13");
    connect.extensions_mut().unwrap().insert(hyper::ext::Protocol::from_static("websocket"));
    let connect = connect.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let response = sender.send_request(connect).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().get("sec-websocket-accept").is_none());
    let mut socket = WebSocket::opened(TokioIo::new(hyper::upgrade::on(response).await.unwrap()));
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket.send("5").await;
    let text = "z".repeat(500_000);
    nodes[0].server.emit("long", &text);
    assert_eq!(socket.text().await.len(), text.len() + 13);
    socket.send("42[\"echo\",1]").await;
    assert_eq!(socket.text().await, "42[\"echo\",1]");
    drop((socket, sender));
    eventually("the session ends", || nodes[0].server.metrics().connections.value() == 0).await;
    eventually("the WebSocket ends", || nodes[1].metrics.websockets.value() == 0).await;
}

#[tokio::test]
async fn the_answer_is_the_owners_with_its_headers_and_it_knows_the_client() {
    let directory = MemoryDirectory::default();
    let builder = |name: &'static str| {
        Server::builder().cors(Cors::origin("http://app").credentials(true)).cookie(Cookie::new("io")).headers(
            move |headers, request| {
                let RemoteAddr(address) = request.extensions.get().unwrap();
                headers.append("x-node", HeaderValue::from_static(name));
                headers.insert("x-client", HeaderValue::from_str(&address.to_string()).unwrap());
                let claims = request.headers.get_all("sockeye-forwarded").iter().count();
                headers.insert("x-claims", claims.into());
            },
        )
    };
    let first = Node::start_with(builder("first"), PeerOptions::new(SECRET), directory.clone()).await;
    let second = Node::start_with(builder("second"), PeerOptions::new(SECRET), directory.clone()).await;
    let client = Client::open(&[&first]).await;
    // What only nodes may say is not believed, nor seen.
    let claim = "Origin: http://app\r\nSockeye-Forwarded: 1.2.3.4:5 secure proof\r\n";
    let stream = begin(second.address, "POST", &client.target(), claim, "40").await;
    let from = stream.local_addr().unwrap().to_string();
    let answer = finish(stream).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    for (name, value) in [
        ("x-node", "first"),
        ("x-client", &from),
        ("x-claims", "0"),
        ("access-control-allow-origin", "http://app"),
        ("access-control-allow-credentials", "true"),
        ("cache-control", "no-store"),
        ("content-type", "text/html"),
    ] {
        assert_eq!(answer.header(name), [value], "{name}: {answer:?}");
    }
    assert!(answer.header("set-cookie").is_empty());
    let preflight = "Origin: http://app\r\nAccess-Control-Request-Method: POST\r\n";
    let answer = finish(begin(second.address, "OPTIONS", &client.target(), preflight, "").await).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, vec!["http://app"]));
    // What this node answers itself has its own.
    let unknown = client.target().replace(&client.sid, "AAAAAAAAAAAAAAAAAAAA");
    assert_eq!(request(second.address, "GET", &unknown, "").await.header("x-node"), ["second"]);

    let body = "x".repeat(1_000_001);
    let answer = request(second.address, "POST", &client.target(), &body).await;
    assert_eq!((answer.status, answer.header("x-node")), (413, vec!["second"]));
}

#[tokio::test]
async fn the_owner_notices_that_the_client_went_away_while_its_request_waits() {
    let directory = MemoryDirectory::default();
    let nodes = three(&directory).await;
    let client = Client::joined(&[&nodes[0]]).await;
    let waiting = begin(nodes[1].address, "GET", &client.target(), "", "").await;
    eventually("it waits", || nodes[1].metrics.waiting.value() == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(waiting);
    eventually("the session ends", || nodes[0].server.metrics().closed(CloseReason::TransportError) == 1).await;
    assert_eq!(nodes[1].metrics.waiting.value(), 0);
}

#[tokio::test]
async fn when_the_owner_closes_its_clients_are_told_and_then_unknown() {
    let directory = MemoryDirectory::default();
    let nodes = three(&directory).await;
    let client = Client::joined(&[&nodes[0]]).await;
    let other = Client::joined(&[&nodes[0]]).await;
    let mut socket = other.upgrade(&nodes[1]).await;
    let waiting = begin(nodes[1].address, "GET", &client.target(), "", "").await;
    eventually("it waits", || nodes[1].metrics.waiting.value() == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    let closing = nodes[0].server.clone();
    let closing = tokio::spawn(async move { closing.close().await });
    let answer = finish(waiting).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "1"));
    socket.closed().await;
    drop(socket);
    closing.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let start = Instant::now();
    let answer = request(nodes[1].address, "GET", &client.target(), "").await;
    assert_eq!((answer.status, answer.body.as_str()), (400, UNKNOWN));
    assert!(start.elapsed() < Duration::from_secs(1));
    // A node that never knew its address finds none in the directory.
    let answer = request(nodes[2].address, "GET", &client.target(), "").await;
    assert_eq!((answer.status, answer.body.as_str()), (400, UNKNOWN));
    assert_eq!(nodes[2].metrics.failed(ForwardFailure::Unknown), 1);
}

#[tokio::test]
async fn when_the_owner_dies_its_clients_are_told_at_once() {
    let directory = MemoryDirectory::default();
    let mut options = PeerOptions::new(SECRET);
    options.listen = free_address().await;
    let way = Way::to(options.listen).await;
    options.advertise = Some(way.address.to_string());
    let owner = Node::start(options, directory.clone()).await;
    let nodes = three(&directory).await;
    let client = Client::joined(&[&owner]).await;
    let other = Client::joined(&[&owner]).await;
    let mut socket = other.upgrade(&nodes[1]).await;
    let waiting = begin(nodes[1].address, "GET", &client.target(), "", "").await;
    eventually("it waits", || nodes[1].metrics.waiting.value() == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    way.cut();
    let answer = finish(waiting).await;
    assert_eq!((answer.status, answer.body.as_str()), (400, UNKNOWN));
    assert_eq!(nodes[1].metrics.failed(ForwardFailure::Lost), 1);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), socket.next()).await.unwrap(), Got::End);
    // It is in the directory yet.
    for node in &nodes[1..] {
        let start = Instant::now();
        let answer = request(node.address, "POST", &client.target(), "40").await;
        assert_eq!((answer.status, answer.body.as_str()), (400, UNKNOWN));
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(node.metrics.failed(ForwardFailure::Unreachable), 1);
    }
    let refused = WebSocket::open_on(
        TcpStream::connect(nodes[1].address).await.unwrap(),
        &format!("EIO=4&transport=websocket&sid={}", client.sid),
        "",
    )
    .await
    .err()
    .unwrap();
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
}

#[tokio::test]
async fn when_the_node_in_between_closes_the_client_must_find_another() {
    let directory = MemoryDirectory::default();
    let nodes = three(&directory).await;
    let client = Client::joined(&[&nodes[0]]).await;
    let other = Client::joined(&[&nodes[0]]).await;
    let mut socket = other.upgrade(&nodes[1]).await;
    let waiting = begin(nodes[1].address, "GET", &client.target(), "", "").await;
    eventually("it waits", || nodes[1].metrics.waiting.value() == 1).await;
    let start = Instant::now();
    nodes[1].server.close().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(finish(waiting).await.status, 400);
    assert_eq!(socket.next().await, Got::End);
    eventually("the sessions end", || nodes[0].server.metrics().connections.value() == 0).await;
}

#[tokio::test]
async fn a_forged_id_is_unknown_and_nobody_is_asked() {
    let directory = MemoryDirectory::default();
    let nodes = three(&directory).await;
    let ids = ["AAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAB", "../../../../etc/pass", "x", "TvLfJd9RVlMyQ-kvAAAA"];
    for id in ids {
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={id}");
        for method in ["GET", "POST"] {
            let answer = request(nodes[1].address, method, &target, "").await;
            assert_eq!((answer.status, answer.body.as_str()), (400, UNKNOWN));
        }
    }
    assert_eq!(nodes[1].metrics.lookups.value(), 0);
    assert_eq!(nodes[0].metrics.served.value() + nodes[2].metrics.served.value(), 0);
}

#[tokio::test]
async fn who_has_not_the_secret_gets_nowhere() {
    let directory = MemoryDirectory::default();
    let listen = free_address().await;
    let mut options = PeerOptions::new(SECRET);
    options.listen = listen;
    let owner = Node::start(options, directory.clone()).await;
    let stranger = Node::start(PeerOptions::new("another secret than theirs"), directory.clone()).await;
    let client = Client::joined(&[&owner]).await;
    // Its ids say nothing to a node with another secret.
    assert_eq!(request(stranger.address, "GET", &client.target(), "").await.body, UNKNOWN);
    assert_eq!(stranger.metrics.lookups.value(), 0);
    // Nothing without a proof passes the listener for nodes, least of all a handshake.
    let targets = [client.target(), "/socket.io/?EIO=4&transport=polling".to_owned(), "/".to_owned()];
    for target in &targets {
        for claim in ["", "Sockeye-Forwarded: \r\n", "Sockeye-Forwarded: 1.2.3.4:5 plain AAAA\r\n"] {
            let answer = finish(begin(listen, "GET", target, claim, "").await).await;
            assert_eq!((answer.status, answer.body.as_str()), (421, ""));
        }
    }
    assert_eq!(owner.metrics.refused.value(), 9);
    assert_eq!(owner.metrics.served.value(), 0);
    assert_eq!(owner.server.metrics().opened.value(), 1);
}

/// A directory that sends everybody to one address.
#[derive(Clone, Debug)]
struct Lying(String);

impl Directory for Lying {
    fn announce<'a>(&'a self, _: NodeTag, _: &'a str, _: Duration) -> DirectoryFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn find(&self, _: NodeTag) -> DirectoryFuture<'_, Option<String>> {
        Box::pin(std::future::ready(Ok(Some(self.0.clone()))))
    }

    fn withdraw(&self, _: NodeTag) -> DirectoryFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn a_request_that_was_forwarded_to_the_wrong_node_goes_no_further() {
    let directory = MemoryDirectory::default();
    let owner = Node::start(PeerOptions::new(SECRET), directory.clone()).await;
    let listen = free_address().await;
    let mut options = PeerOptions::new(SECRET);
    options.listen = listen;
    // It believes that all nodes are where it is itself, and another that all are where this one is.
    let lied_to = Node::start(options, Lying(listen.to_string())).await;
    let other = Node::start(PeerOptions::new(SECRET), Lying(listen.to_string())).await;
    let client = Client::joined(&[&owner]).await;
    for node in [&lied_to, &other] {
        let answer = request(node.address, "GET", &client.target(), "").await;
        assert_eq!((answer.status, answer.body.as_str()), (400, UNKNOWN));
        assert_eq!(node.metrics.failed(ForwardFailure::Unknown), 1);
    }
    assert_eq!(lied_to.metrics.refused.value(), 2);
    assert_eq!(owner.metrics.served.value(), 0);
}

#[tokio::test]
async fn as_many_are_forwarded_as_may_be() {
    let directory = MemoryDirectory::default();
    let owner = Node::start(PeerOptions::new(SECRET), directory.clone()).await;
    let mut options = PeerOptions::new(SECRET);
    (options.max_requests, options.max_websockets) = (1, 1);
    let node = Node::start(options, directory.clone()).await;
    let clients = [Client::joined(&[&owner]).await, Client::joined(&[&owner]).await];
    let waiting = begin(node.address, "GET", &clients[0].target(), "", "").await;
    eventually("it waits", || node.metrics.waiting.value() == 1).await;
    let answer = request(node.address, "GET", &clients[1].target(), "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, vec!["5"]));
    assert_eq!(node.metrics.failed(ForwardFailure::Busy), 1);
    // WebSockets are counted apart.
    let mut socket = clients[0].upgrade(&node).await;
    assert_eq!(finish(waiting).await.body, "6");
    let query = format!("EIO=4&transport=websocket&sid={}", clients[1].sid);
    let stream = TcpStream::connect(node.address).await.unwrap();
    let refused = WebSocket::open_on(stream, &query, "").await.err().unwrap();
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 5"), "{refused}");
    socket.send("42[\"echo\",1]").await;
    assert_eq!(socket.text().await, "42[\"echo\",1]");
    socket.close().await;
    eventually("its place is free", || node.metrics.websockets.value() == 0).await;
    clients[1].upgrade(&node).await;
}

/// A directory that takes all, and tells nothing.
#[derive(Debug)]
struct Mute;

impl Directory for Mute {
    fn announce<'a>(&'a self, _: NodeTag, _: &'a str, _: Duration) -> DirectoryFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn find(&self, _: NodeTag) -> DirectoryFuture<'_, Option<String>> {
        Box::pin(std::future::ready(Err(DirectoryError("on purpose".to_owned()))))
    }

    fn withdraw(&self, _: NodeTag) -> DirectoryFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_directory_that_fails_is_no_proof_that_a_session_is_gone() {
    let owner = Node::start(PeerOptions::new(SECRET), MemoryDirectory::default()).await;
    let node = Node::start(PeerOptions::new(SECRET), Mute).await;
    let client = Client::joined(&[&owner]).await;
    let answer = request(node.address, "GET", &client.target(), "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, vec!["5"]));
    assert_eq!(node.metrics.failed(ForwardFailure::Directory), 1);
}

#[tokio::test]
async fn joining_is_refused_where_it_cannot_work() {
    let directory = MemoryDirectory::default();
    let server = Server::new();
    let refused = server.join_peers(PeerOptions::new("short"), directory.clone()).await.unwrap_err();
    assert!(matches!(refused, PeerError::Secret(5)), "{refused}");
    let own_ids = Server::builder().generate_id(|_| "20 random characters".to_owned()).build();
    let refused = own_ids.join_peers(PeerOptions::new(SECRET), directory.clone()).await.unwrap_err();
    assert!(matches!(refused, PeerError::GeneratesIds), "{refused}");
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = PeerOptions::new(SECRET);
    options.listen = taken.local_addr().unwrap();
    let refused = server.join_peers(options, directory.clone()).await.unwrap_err();
    assert!(matches!(refused, PeerError::Listen(_)), "{refused}");
    server.join_peers(PeerOptions::new(SECRET), directory.clone()).await.unwrap();
    let refused = server.join_peers(PeerOptions::new(SECRET), directory).await.unwrap_err();
    assert!(matches!(refused, PeerError::Joined), "{refused}");
    assert!(!format!("{:?}", PeerOptions::new(SECRET)).contains("secret that"));
}
