//! A bound that all clients share is not a lock: one address fills it as far as it can, and another is served all the while.

// Elsewhere 127.0.0.1 alone is an address of the machine.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use sockeye::{Bound, CloseReason, Limits, Server, ServerBuilder, Socket};
use support::WebSocket;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The address that takes all it can get, and another.
const GREEDY: u8 = 2;
const OTHER: u8 = 3;
const POLLING: &str = "GET /socket.io/?EIO=4&transport=polling";

async fn serve(builder: ServerBuilder) -> (Server, SocketAddr) {
    let server = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn({
        let server = server.clone();
        async move { server.serve(listener, sockeye::NotFound).await }
    });
    (server, address)
}

fn limits(change: impl FnOnce(&mut Limits)) -> ServerBuilder {
    let mut limits = Limits::default();
    change(&mut limits);
    Server::builder().limits(limits)
}

/// A connection from this address of the machine.
async fn connect(from: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, from], 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn send(stream: &mut TcpStream, request: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!("{request} HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// The head and the body of a response.
async fn receive(stream: &mut TcpStream) -> (String, String) {
    let (mut head, mut body) = (Vec::new(), Vec::new());
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()).unwrap_or("0");
    body.resize(length.parse().unwrap(), 0);
    soon(stream.read_exact(&mut body)).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

async fn ask(stream: &mut TcpStream, request: &str, headers: &str, body: &str) -> (String, String) {
    send(stream, request, headers, body).await;
    receive(stream).await
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it takes too long")
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Opens a session with long-polling; the status if it is not opened.
async fn open(stream: &mut TcpStream, headers: &str) -> Result<String, String> {
    let (head, body) = ask(stream, POLLING, headers, "").await;
    let status = head.split(' ').nth(1).unwrap().to_owned();
    let sid = || Some(body.split_once("\"sid\":\"")?.1.split_once('"')?.0.to_owned());
    if status == "200" { Ok(sid().unwrap()) } else { Err(head) }
}

async fn post(stream: &mut TcpStream, sid: &str, body: &str) -> String {
    ask(stream, &format!("POST /socket.io/?EIO=4&transport=polling&sid={sid}"), "", body).await.1
}

/// A WebSocket in the main namespace.
async fn join(from: u8, to: SocketAddr) -> WebSocket {
    let stream = connect(from, to).await;
    let mut client = WebSocket::open_on(stream, "EIO=4&transport=websocket", "").await.unwrap();
    client.text().await;
    client.send("40").await;
    assert!(client.text().await.starts_with("40"));
    client
}

#[tokio::test]
async fn sessions() {
    let (server, address) = serve(limits(|limits| limits.max_connections = 100)).await;
    let mut greedy = connect(GREEDY, address).await;
    let mut open_ones = Vec::new();
    let refusal = loop {
        match open(&mut greedy, "").await {
            Ok(sid) => open_ones.push(sid),
            Err(head) => break head,
        }
    };
    assert_eq!(open_ones.len(), 50, "half, as nobody else is there");
    assert!(refusal.contains(" 503 ") && refusal.contains("retry-after: 5"), "{refusal}");
    assert_eq!(server.metrics().reached(Bound::Connections), 1);
    for _ in 0..20 {
        join(OTHER, address).await;
    }
    // What is given back can be had again.
    for sid in open_ones {
        assert_eq!(post(&mut greedy, &sid, "1").await, "ok");
    }
    until(|| server.metrics().connections.value() == 0).await;
    for _ in 0..50 {
        open(&mut greedy, "").await.unwrap();
    }
}

#[tokio::test]
async fn sessions_in_no_namespace() {
    let (server, address) = serve(limits(|limits| limits.max_unjoined = 40)).await;
    let (mut greedy, mut other) = (connect(GREEDY, address).await, connect(OTHER, address).await);
    let others_own = open(&mut other, "").await.unwrap();
    let mut open_ones = Vec::new();
    for _ in 0..100 {
        open_ones.push(open(&mut greedy, "").await.expect("the oldest one makes room"));
        assert!(server.metrics().unjoined.value() <= 21);
    }
    assert!(server.metrics().reached(Bound::Unjoined) >= 80);
    assert!(post(&mut greedy, &open_ones[0], "40").await.contains("Session ID unknown"), "it is gone at once");
    assert_eq!(post(&mut greedy, &open_ones[99], "40").await, "ok");
    assert_eq!(post(&mut other, &others_own, "40").await, "ok");
    for _ in 0..50 {
        let sid = open(&mut other, "").await.unwrap();
        assert_eq!(post(&mut other, &sid, "40").await, "ok");
    }
    assert_eq!(server.metrics().closed(CloseReason::ForcedServerClose), server.metrics().reached(Bound::Unjoined));
}

#[tokio::test]
async fn sessions_in_no_namespace_of_one_tcp_connection() {
    let (server, address) = serve(limits(|limits| limits.max_unjoined_per_tcp_connection = 5)).await;
    let mut greedy = connect(GREEDY, address).await;
    let mut joined = Vec::new();
    for _ in 0..20 {
        let sid = open(&mut greedy, "").await.unwrap();
        assert_eq!(post(&mut greedy, &sid, "40").await, "ok");
        joined.push(sid);
    }
    assert_eq!(server.metrics().reached(Bound::Unjoined), 0);
    for _ in 0..20 {
        open(&mut greedy, "").await.unwrap();
    }
    assert_eq!(server.metrics().unjoined.value(), 5);
    assert_eq!(server.metrics().reached(Bound::Unjoined), 15);
    for sid in joined {
        assert_eq!(post(&mut greedy, &sid, "42[\"e\"]").await, "ok", "those that have joined do not count");
    }
    let mut same_address = connect(GREEDY, address).await;
    open(&mut same_address, "").await.unwrap();
    assert_eq!(server.metrics().unjoined.value(), 6);
}

#[tokio::test]
async fn handshakes() {
    let builder = limits(|limits| limits.max_handshakes = 40).allow_request(|request| async move {
        if request.address().unwrap().ip().to_string().ends_with(".2") {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    let (server, address) = serve(builder).await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = connect(GREEDY, address).await;
        send(&mut stream, POLLING, "", "").await;
        streams.push(stream);
    }
    until(|| server.metrics().reached(Bound::Handshakes) == 30).await;
    assert_eq!(server.metrics().handshakes.value(), 20);
    for _ in 0..10 {
        join(OTHER, address).await;
    }
    drop(streams);
    until(|| server.metrics().handshakes.value() == 0).await;
}

#[tokio::test]
async fn silent_tcp_connections() {
    let (server, address) = serve(limits(|limits| limits.max_tcp_connections = 40)).await;
    let mut streams = Vec::new();
    for count in 1..=50 {
        streams.push(connect(GREEDY, address).await);
        until(|| server.metrics().tcp_accepted.value() == count).await;
    }
    // The oldest ones made room for the others.
    for stream in &mut streams[..30] {
        assert_eq!(soon(stream.read(&mut [0])).await.unwrap_or(0), 0);
    }
    until(|| server.metrics().tcp_connections.value() == 20).await;
    assert_eq!(server.metrics().reached(Bound::TcpConnections), 30);
    for _ in 0..10 {
        join(OTHER, address).await;
    }
    for stream in &mut streams[30..] {
        open(stream, "").await.unwrap();
    }
    // Those of which a request has come stay, and a new one does not get in.
    let mut refused = connect(GREEDY, address).await;
    assert_eq!(soon(refused.read(&mut [0])).await.unwrap_or(0), 0);
    open(&mut streams[30], "").await.unwrap();
    open(&mut connect(OTHER, address).await, "").await.unwrap();
    drop(streams);
    until(|| server.metrics().tcp_connections.value() == 0).await;
    open(&mut connect(GREEDY, address).await, "").await.unwrap();
}

#[tokio::test]
async fn a_websocket_is_no_tcp_connection_that_counts() {
    let (server, address) = serve(limits(|limits| limits.max_tcp_connections = 10)).await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(join(GREEDY, address).await);
    }
    until(|| server.metrics().tcp_connections.value() == 0).await;
    assert_eq!(server.metrics().reached(Bound::TcpConnections), 0);
}

#[tokio::test]
async fn child_namespaces() {
    let (server, address) = serve(limits(|limits| limits.max_child_namespaces = 40)).await;
    server.of_pattern(regex::Regex::new("^/d").unwrap());
    let (mut greedy, mut other) = (join(GREEDY, address).await, join(OTHER, address).await);
    for number in 0..30 {
        greedy.send(&format!("40/d{number},")).await;
        let answer = greedy.text().await;
        assert_eq!(answer.contains("Invalid namespace"), number >= 20, "{number}: {answer}");
    }
    assert_eq!(server.metrics().reached(Bound::ChildNamespaces), 10);
    for number in 0..5 {
        other.send(&format!("40/d-other{number},")).await;
        assert!(other.text().await.starts_with("40/d-other"));
    }
    // Its own ones that nobody uses any more make room, and not those of others.
    for number in 0..10 {
        greedy.send(&format!("41/d{number},")).await;
        other.send(&format!("41/d-other{number},")).await;
    }
    let accepted = async {
        loop {
            greedy.send("40/d-new,").await;
            match greedy.text().await {
                answer if answer.starts_with("40/d-new,") => return,
                answer => assert!(answer.contains("Invalid namespace"), "{answer}"),
            }
        }
    };
    soon(accepted).await;
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_have_their_own_shares() {
    let builder = limits(|limits| limits.max_connections = 100).trusted_proxies(["127.0.0.1".parse().unwrap()]);
    let (server, address) = serve(builder).await;
    let (addresses, mut log) = tokio::sync::mpsc::channel(16);
    server.on_connection(move |socket: Socket| {
        addresses.try_send(socket.request().address().unwrap().ip().to_string()).unwrap();
    });
    // An IPv6 network is one client, whatever it says further left.
    let mut proxy = connect(1, address).await;
    let mut count = 0;
    while open(&mut proxy, &format!("X-Forwarded-For: 9.9.9.{count}, 2001:db8::{count}\r\n")).await.is_ok() {
        count += 1;
    }
    assert_eq!(count, 50);
    let sid = open(&mut proxy, "X-Forwarded-For: 5.6.7.8\r\n").await.unwrap();
    assert_eq!(post(&mut proxy, &sid, "40").await, "ok");
    assert_eq!(soon(log.recv()).await.unwrap(), "5.6.7.8");
    let sid = open(&mut proxy, "Forwarded: for=\"[2001:db8:1::7]:80\"\r\n").await.unwrap();
    assert_eq!(post(&mut proxy, &sid, "40").await, "ok");
    assert_eq!(soon(log.recv()).await.unwrap(), "2001:db8:1::7");
    // Of somebody else these headers say nothing.
    let mut direct = connect(OTHER, address).await;
    let sid = open(&mut direct, "X-Forwarded-For: 5.6.7.8\r\n").await.unwrap();
    assert_eq!(post(&mut direct, &sid, "40").await, "ok");
    assert_eq!(soon(log.recv()).await.unwrap(), "127.0.0.3");
}
