//! Clients that are slow on purpose: they read nothing, send nothing, or a byte at a time.

mod support;

use std::time::Duration;

use sockeye::{Bound, CloseReason, Data, Limits, NotFound, Reason, Server, ServerBuilder, Socket, TransportKind};
use sockeye_websocket::{OpCode, write_masked_frame};
use support::{Polling, WebSocket, request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const OUTBOX: usize = 256 * 1024;

/// A server that floods who asks for it, and tells why sockets ended.
fn server(builder: ServerBuilder) -> (Server, mpsc::Receiver<(String, CloseReason)>) {
    let mut limits = Limits::default();
    limits.max_outbox_bytes = OUTBOX;
    let io = builder.limits(limits).build();
    io.on("flood", |socket: Socket, Data(count): Data<u32>| {
        for i in 0..count {
            socket.emit("drop", (i, "x".repeat(1000)));
        }
    });
    io.on("volatile flood", |socket: Socket, Data(count): Data<u32>| {
        for i in 0..count {
            socket.volatile().emit("drop", (i, "x".repeat(1000)));
        }
    });
    io.on("echo", |socket: Socket, Data(x): Data<u32>| socket.emit("echo", x));
    let (ends, ended) = mpsc::channel(16);
    io.on_disconnect(move |socket: Socket, Reason(reason): Reason| {
        ends.try_send((socket.id().to_owned(), reason)).expect("room for all ends of a test");
    });
    (io, ended)
}

async fn still_served(client: &mut WebSocket) {
    client.send("42[\"echo\",7]").await;
    assert_eq!(client.text_soon().await.as_deref(), Some("42[\"echo\",7]"));
}

#[tokio::test]
async fn a_websocket_client_that_does_not_read_is_closed_as_slow_consumer() {
    let (io, mut ended) = server(Server::builder());
    let (mut other, _) = WebSocket::joined(&io).await;
    let mut slow = WebSocket::open_with(&io, "EIO=4&transport=websocket", "", 4096).await.expect("accepted");
    slow.send("40").await;
    slow.send("42[\"flood\",1000]").await;
    let (_, reason) = timeout(Duration::from_secs(5), ended.recv()).await.expect("in time").expect("an end");
    assert_eq!(reason, CloseReason::SlowConsumer);
    assert_eq!(io.metrics().closed(CloseReason::SlowConsumer), 1);
    assert_eq!(io.metrics().reached(Bound::Outbox), 1);
    assert_eq!(io.metrics().connections.value(), 1);
    still_served(&mut other).await;
}

#[tokio::test]
async fn what_a_slow_consumer_sent_before_its_end_is_not_handled_any_more() {
    let (io, mut ended) = server(Server::builder());
    let (calls, mut called) = mpsc::channel(1000);
    io.on("flood", move || calls.try_send(()).expect("room for all calls"));
    let mut slow = WebSocket::open_with(&io, "EIO=4&transport=websocket", "", 4096).await.expect("accepted");
    slow.send("40").await;
    let mut frames = Vec::new();
    for _ in 0..100 {
        let text = b"42[\"flood\",100]";
        write_masked_frame(&mut frames, OpCode::Text, false, text, [1, 2, 3, 4]);
    }
    slow.write(&frames).await;
    assert!(ended.recv().await.is_some());
    called.close();
    assert!(called.len() < 10, "{} events were handled", called.len());
}

#[tokio::test]
async fn over_tcp_too_and_a_flood_that_is_read_is_no_offence() {
    let (io, mut ended) = server(Server::builder());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn({
        let io = io.clone();
        async move { io.serve(listener, NotFound).await }
    });
    let (mut reader, _) = WebSocket::joined(&io).await;

    let mut slow = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let head = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
                Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    slow.write_all(head.as_bytes()).await.expect("written");
    for text in ["40".to_owned(), "42[\"flood\",20000]".to_owned()] {
        let mut frame = Vec::new();
        let key = [9, 8, 7, 6];
        write_masked_frame(&mut frame, OpCode::Text, false, text.as_bytes(), key);
        slow.write_all(&frame).await.expect("written");
    }
    let (_, reason) = timeout(Duration::from_secs(10), ended.recv()).await.expect("in time").expect("an end");
    assert_eq!(reason, CloseReason::SlowConsumer);

    // In rounds that fit the bound; the next one when all of it is read.
    for _ in 0..5 {
        reader.send("42[\"flood\",200]").await;
        for i in 0..200 {
            assert!(reader.text().await.starts_with(&format!("42[\"drop\",{i},")));
        }
    }
    assert_eq!(io.metrics().reached(Bound::Outbox), 1);
    io.close().await;
    serving.await.expect("it ends");
}

#[tokio::test]
async fn a_long_polling_client_that_does_not_fetch_is_closed_as_slow_consumer() {
    let (io, mut ended) = server(Server::builder());
    let slow = Polling::joined(&io).await;
    assert_eq!(slow.post("42[\"flood\",1000]").await.0, 200);
    let (_, reason) = timeout(Duration::from_secs(5), ended.recv()).await.expect("in time").expect("an end");
    assert_eq!(reason, CloseReason::SlowConsumer);
    assert_eq!(slow.get().await.0, 400, "the session is unknown");
}

#[tokio::test]
async fn volatile_events_are_dropped_and_close_nobody() {
    let (io, _ended) = server(Server::builder());
    let mut slow = WebSocket::open_with(&io, "EIO=4&transport=websocket", "", 4096).await.expect("accepted");
    slow.send("40").await;
    assert!(slow.text().await.starts_with('0'));
    assert!(slow.text().await.starts_with("40"));
    slow.send("42[\"volatile flood\",5000]").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(io.metrics().volatile_dropped.value() > 4000, "{}", io.metrics().volatile_dropped.value());
    assert_eq!(io.metrics().reached(Bound::Outbox), 0);
    // What was not dropped comes, and the connection goes on.
    slow.send("42[\"echo\",1]").await;
    while slow.text().await != "42[\"echo\",1]" {}
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_dropped() {
    let (io, _ended) = server(Server::builder());
    for sent in ["", "GE", "PRI * HTTP/2.0\r\n"] {
        let (mut client, theirs) = tokio::io::duplex(4096);
        tokio::spawn(io.clone().serve_connection(theirs, None, false, NotFound));
        client.write_all(sent.as_bytes()).await.expect("written");
        let before = Instant::now();
        let mut received = Vec::new();
        let _reset = timeout(Duration::from_secs(60), client.read_to_end(&mut received)).await.expect("it is dropped");
        assert!(before.elapsed() <= Duration::from_secs(11), "{:?} after {sent:?}", before.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_that_drips_does_not_outlive_its_session() {
    let (io, mut ended) = server(Server::builder());
    let polling = Polling::joined(&io).await;
    let (client, theirs) = tokio::io::duplex(4096);
    tokio::spawn(io.clone().serve_connection(theirs, None, false, NotFound));
    let (mut read, mut write) = tokio::io::split(client);
    let head = format!("POST {} HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n", polling.target());
    write.write_all(head.as_bytes()).await.expect("written");
    let before = Instant::now();
    let dripping = tokio::spawn(async move {
        while write.write_all(b"4").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let mut received = Vec::new();
    let _reset = timeout(Duration::from_secs(600), read.read_to_end(&mut received)).await.expect("it is dropped");
    // A ping interval and a ping timeout, and as long for the HTTP connection to see that nobody reads on.
    assert!(before.elapsed() <= Duration::from_secs(90), "{:?}", before.elapsed());
    assert!(received.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&received));
    assert_eq!(ended.recv().await.map(|(_, reason)| reason), Some(CloseReason::PingTimeout));
    dripping.await.expect("it ends");
}

#[tokio::test]
async fn a_close_comes_in_a_response_of_its_own() {
    let io = Server::builder().transports([TransportKind::Polling]).build();
    io.on("leave me", |socket: Socket| socket.disconnect_connection());
    let polling = Polling::joined(&io).await;
    assert_eq!(polling.post("42[\"leave me\"]").await.0, 200);
    // The official client handles the packets of a response later than its close.
    assert_eq!(polling.get().await, (200, "41".to_owned()));
    assert_eq!(polling.get().await, (200, "6\u{1e}1".to_owned()));
    assert_eq!(polling.get().await.0, 400);
}

#[tokio::test]
async fn subprotocols_that_are_no_tokens_are_refused() {
    let io = Server::new();
    for offered in [",,;", "a,", "a b", "é", ""] {
        let headers = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        let refused = WebSocket::open_with(&io, "EIO=4&transport=websocket", &headers, 4096).await;
        let head = refused.err().unwrap_or_else(|| panic!("{offered:?} was accepted"));
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    }
    let (status, _, _) =
        request(&io, http::Method::GET, "/socket.io/?EIO=4&transport=polling", &[("sec-websocket-protocol", ",")], "")
            .await;
    assert_eq!(status, 200, "it means nothing without an upgrade");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_handshake_has_its_open_packet_whoever_flushes() {
    let io = Server::new();
    // One at a time, so that a worker is free to flush while this thread opens the session.
    for _ in 0..20_000 {
        let target = "/socket.io/?EIO=4&transport=polling";
        let (status, _, body) = request(&io, http::Method::GET, target, &[], "").await;
        assert_eq!((status, body.get(..7)), (200, Some("0{\"sid\"")));
    }
}
