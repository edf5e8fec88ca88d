//! The server's own listener: what comes on a connection besides well-formed requests, and how long a connection may take.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use sockeye::{Limits, NotFound, Server};
use support::WebSocket;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const GET: &str = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n";
const LONG: Duration = Duration::from_secs(600);

/// A connection in memory, so that time can be virtual.
fn connect(server: &Server) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    tokio::spawn(server.clone().serve_connection(theirs, None, false, NotFound));
    ours
}

/// The next response, with its body.
async fn response(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        let byte = timeout(LONG, stream.read_u8()).await.expect("an answer in time");
        text.push(char::from(byte.unwrap_or_else(|error| panic!("{error} behind {text:?}"))));
    }
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    text + &String::from_utf8(body).unwrap()
}

/// All that comes until the server closes.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    timeout(LONG, stream.read_to_end(&mut text)).await.expect("a close in time").unwrap();
    String::from_utf8(text).unwrap()
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), text: impl AsRef<[u8]>) {
    stream.write_all(text.as_ref()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_whatever_follows_in_the_same_segment() {
    let server = Server::new();
    let started = Instant::now();
    // An empty line.
    let mut stream = connect(&server);
    send(&mut stream, format!("{GET}\r\n")).await;
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 200"));
    send(&mut stream, GET).await;
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 200"));
    // The first half of the next request.
    let (half, other) = GET.split_at(20);
    send(&mut stream, format!("{GET}{half}")).await;
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 200"));
    send(&mut stream, other).await;
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 200"));
    // More bytes than the Content-Length tells of.
    send(&mut stream, "POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n40 and more\r\n\r\n").await;
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 404"));
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 400"));
    assert_eq!(rest(&mut stream).await, "");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_upgrade_is_answered_with_the_first_frame_behind_it() {
    let server = Server::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { server.serve(listener, NotFound).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // The mask makes a line feed of the frame's first byte.
    let mask = [b'4' ^ b'\n', b'0' ^ b'\n', 0, 0];
    let mut bytes = request.as_bytes().to_vec();
    bytes.extend_from_slice(&[0x81, 0x82, mask[0], mask[1], mask[2], mask[3], b'\n', b'\n']);
    send(&mut stream, &bytes).await;
    let head = response(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(!head.contains("keep-alive"), "{head}");
    let mut socket = WebSocket::opened(stream);
    assert!(timeout(LONG, socket.text()).await.unwrap().starts_with("0{"));
    assert!(timeout(LONG, socket.text()).await.unwrap().starts_with("40{"));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused_and_counted() {
    let server = Server::new();
    let many = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let cases = [
        ("no HTTP at all\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: \0\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), "400"),
        ("GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: a\nX: b\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(40_000)), "431"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n".to_owned(), "400"),
        ("POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), "400"),
    ];
    for (count, (text, status)) in (1..).zip(&cases) {
        for cut in [text.len() / 2, text.len()] {
            let mut stream = connect(&server);
            let (first, second) = text.split_at(cut);
            send(&mut stream, first).await;
            tokio::task::yield_now().await;
            send(&mut stream, second).await;
            let answer = response(&mut stream).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer} for {text:?}");
            assert_eq!(rest(&mut stream).await, "");
        }
        // The clock goes on once nothing else does.
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(server.metrics().malformed_requests.value(), 2 * count, "{text:?}");
    }
    // A body may have such bytes.
    let mut stream = connect(&server);
    let post = "POST /other HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n4\r\n\n\n\n\n\r\n0\r\n\r\n";
    send(&mut stream, format!("{post}POST /other HTTP/1.1\r\nContent-Length: 4\r\n\r\n\n\n\n\n{GET}")).await;
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 404"));
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 404"));
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_its_next_request() {
    let server = Server::new();
    let mut stream = connect(&server);
    for _ in 0..3 {
        send(&mut stream, GET).await;
        let answer = response(&mut stream).await;
        assert!(answer.contains("\r\nkeep-alive: timeout=75\r\n"), "{answer}");
        tokio::time::sleep(Duration::from_secs(74)).await;
    }
    let answered = Instant::now();
    send(&mut stream, GET.replace("Host", "Connection: close\r\nHost")).await;
    assert!(!response(&mut stream).await.contains("keep-alive"));
    assert_eq!(rest(&mut stream).await, "");
    assert!(answered.elapsed() < Duration::from_secs(1));

    let mut stream = connect(&server);
    send(&mut stream, GET).await;
    response(&mut stream).await;
    let answered = Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(answered.elapsed().as_secs(), 75);
    assert_eq!(server.metrics().header_timeouts.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_head_of_a_request_has_ten_seconds_once_it_has_begun() {
    let server = Server::new();
    let took = async |first: &str, pause: u64, begun: &str| {
        let mut stream = connect(&server);
        if !first.is_empty() {
            send(&mut stream, first).await;
            response(&mut stream).await;
        }
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let started = Instant::now();
        for byte in begun.chars() {
            // What trickles in does not gain time.
            send(&mut stream, byte.to_string()).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(rest(&mut stream).await, "");
        started.elapsed().as_secs()
    };
    assert_eq!(took("", 0, "").await, 10);
    assert_eq!(took("", 3, "GET").await, 7);
    assert_eq!(took(GET, 30, "GET").await, 10);
    assert_eq!(server.metrics().header_timeouts.value(), 3);
    // The next request begins while the one before is answered.
    let (half, _) = GET.split_at(20);
    assert_eq!(took(&format!("{GET}{half}"), 0, "").await, 10);
    assert_eq!(server.metrics().header_timeouts.value(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_get_that_waits_is_not_idle() {
    let server = Server::builder().ping_interval(Duration::from_secs(200)).build();
    let mut stream = connect(&server);
    send(&mut stream, GET).await;
    let open = response(&mut stream).await;
    let sid = open.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    let query = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let mut other = connect(&server);
    send(&mut other, format!("POST {query} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n40")).await;
    assert!(response(&mut other).await.ends_with("ok"));
    for (wait, expected) in [(0, "40{"), (200, "2")] {
        let asked = Instant::now();
        send(&mut stream, format!("GET {query} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = response(&mut stream).await;
        assert!(answer.split("\r\n\r\n").nth(1).unwrap().starts_with(expected), "{answer}");
        assert!(asked.elapsed().as_secs() >= wait.min(190), "{:?}", asked.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_its_answer_is_cut() {
    let body = "x".repeat(8 << 20);
    let app = axum::Router::new().route("/", axum::routing::get(move || async move { body }));
    let mut limits = Limits::default();
    limits.write_timeout = Duration::from_secs(20);
    let server = Server::builder().limits(limits).build();
    let (mut stream, theirs) = tokio::io::duplex(64 << 10);
    let started = Instant::now();
    let connection = tokio::spawn(server.clone().serve_connection(theirs, None, false, app));
    send(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // It may be slow, as long as it reads.
    let mut part = vec![0; 32 << 10];
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(15)).await;
        stream.read_exact(&mut part).await.unwrap();
    }
    connection.await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 170);
    assert_eq!(server.metrics().write_timeouts.value(), 1);
}

#[tokio::test]
async fn the_system_keeps_nothing_for_a_peer_that_was_cut() {
    let body = "x".repeat(16 << 20);
    let app = axum::Router::new().route("/", axum::routing::get(move || async move { body }));
    let mut limits = Limits::default();
    limits.write_timeout = Duration::from_millis(500);
    let server = Server::builder().limits(limits).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = server.clone();
    let accepted = tokio::spawn(async move { accepting.accept(&listener).await.unwrap() });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (theirs, remote) = accepted.await.unwrap();
    let serving = tokio::spawn(server.clone().serve_connection(theirs, Some(remote), false, app));
    send(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    timeout(LONG, serving).await.unwrap().unwrap();
    assert_eq!(server.metrics().write_timeouts.value(), 1);
    let mut received = Vec::new();
    let error = timeout(LONG, stream.read_to_end(&mut received)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// A body of which no part is made before the one before it could be sent.
struct Parts(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl http_body::Body for Parts {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let made = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(made < 1_000, "made as fast as can be");
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(bytes::Bytes::from(vec![0; 16 << 10])))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_made_no_faster_than_it_is_read() {
    let made = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let parts = made.clone();
    let app =
        axum::Router::new().route("/", axum::routing::get(move || async move { axum::body::Body::new(Parts(parts)) }));
    let (mut stream, theirs) = tokio::io::duplex(64 << 10);
    tokio::spawn(Server::new().serve_connection(theirs, None, false, app));
    // The second request is what kept the library from writing.
    send(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let made = made.load(std::sync::atomic::Ordering::Relaxed);
    assert!((4..32).contains(&made), "{made} parts of 16 KiB");
}

#[tokio::test]
async fn an_answer_reaches_a_client_that_writes_all_before_it_reads() {
    let server = Server::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().route("/small", axum::routing::post(|_body: String| async { "never" }));
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener, app).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, GET).await;
    let open = response(&mut stream).await;
    let sid = open.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let session = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let body = vec![b'x'; 20_000_000];
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    for (path, headers, status) in [
        (session.as_str(), length.as_str(), "413"),
        ("/small", &length, "413"),
        ("/socket.io/?EIO=4&transport=polling&sid=unknown", &length, "400"),
    ] {
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            send(&mut stream, format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}")).await;
            timeout(LONG, stream.write_all(&body)).await.unwrap().unwrap();
            let answer = response(&mut stream).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer} of {path}");
        }
    }
    // The session's connection goes on, as it does with the official server.
    send(&mut stream, format!("POST {session} HTTP/1.1\r\nHost: a\r\n{length}")).await;
    timeout(LONG, stream.write_all(&body)).await.unwrap().unwrap();
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 413"));
    send(&mut stream, format!("POST {session} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n40")).await;
    assert!(response(&mut stream).await.ends_with("ok"));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_of_an_unknown_version_is_refused_and_closed() {
    let server = Server::new();
    let mut stream = connect(&server);
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    send(&mut stream, request).await;
    let started = Instant::now();
    let answer = response(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("connection: close"), "{answer}");
    assert_eq!(rest(&mut stream).await, "");
    assert!(started.elapsed() < Duration::from_secs(1));
}

type Sender = hyper::client::conn::http2::SendRequest<http_body_util::Empty<bytes::Bytes>>;

/// A connection of HTTP/2 in memory, and how it ends.
async fn http2(
    server: &Server,
    window: u32,
    app: axum::Router,
) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let serving = tokio::spawn(server.clone().serve_connection(theirs, None, false, app));
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(TokioIo::new(ours))
        .await
        .unwrap();
    (sender, tokio::spawn(connection), serving)
}

fn empty(request: http::request::Builder) -> http::Request<http_body_util::Empty<bytes::Bytes>> {
    request.body(http_body_util::Empty::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn http2_is_closed_when_nothing_is_open_on_it() {
    let server = Server::builder().ping_interval(Duration::from_secs(400)).build();
    let started = Instant::now();
    let (mut sender, connection, serving) = http2(&server, 1 << 16, axum::Router::new()).await;
    let answer = sender.send_request(empty(http::Request::get("http://a/other"))).await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(answer.headers().get("keep-alive").is_none());
    drop(answer);
    tokio::time::sleep(Duration::from_secs(60)).await;
    // A WebSocket is a stream, even if it says nothing for long.
    let mut connect = http::Request::connect("http://a/socket.io/?EIO=4&transport=websocket");
    connect = connect.header("sec-websocket-version", "13");
    connect.extensions_mut().unwrap().insert(hyper::ext::Protocol::from_static("websocket"));
    let answer = sender.send_request(empty(connect)).await.unwrap();
    let mut socket = WebSocket::opened(TokioIo::new(hyper::upgrade::on(answer).await.unwrap()));
    assert!(socket.text().await.starts_with("0{"));
    socket.send("40").await;
    assert!(socket.text().await.starts_with("40{"));
    socket.answers_pings = false;
    assert_eq!(socket.text().await, "2");
    assert_eq!(started.elapsed().as_secs(), 460);
    socket.send("3").await;
    socket.close().await;
    assert_eq!(socket.closed().await, None);
    drop(socket);
    connection.await.unwrap().unwrap();
    serving.await.unwrap();
    let idle = started.elapsed().as_secs() - 460;
    assert!((75..=80).contains(&idle), "{idle} s");
    assert_eq!(server.metrics().http2_errors.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_peer_of_http2_is_noticed() {
    let server = Server::builder().ping_interval(Duration::from_secs(400)).build();
    let (mut stream, theirs) = tokio::io::duplex(1 << 20);
    let serving = tokio::spawn(server.clone().serve_connection(theirs, None, false, NotFound));
    // The preface, settings, and a request by its indexes: GET, http, "/". Then nothing, and no answer to pings.
    send(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    send(&mut stream, b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84").await;
    let started = Instant::now();
    serving.await.unwrap();
    assert!((40..=60).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(server.metrics().http2_errors.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_breach_of_http2_is_counted() {
    let server = Server::new();
    let mut stream = connect(&server);
    send(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    // Data for a stream that was never opened.
    send(&mut stream, b"\0\0\x01\0\0\0\0\0\x01x").await;
    let mut all = Vec::new();
    timeout(LONG, stream.read_to_end(&mut all)).await.unwrap().unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(server.metrics().http2_errors.value(), 1);
    assert_eq!(server.metrics().malformed_requests.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_is_cut_and_the_others_go_on() {
    let server = Server::new();
    let body = "x".repeat(1 << 20);
    let app = axum::Router::new()
        .route("/", axum::routing::get(move || async move { body }))
        .route("/slow", axum::routing::get(async || tokio::time::sleep(Duration::from_secs(100)).await));
    let (mut sender, _connection, _serving) = http2(&server, 1 << 17, app).await;
    let slow = tokio::spawn(sender.send_request(empty(http::Request::get("http://a/slow"))));
    let mut unread = sender.send_request(empty(http::Request::get("http://a/"))).await.unwrap().into_body();
    let read = sender.send_request(empty(http::Request::get("http://a/"))).await.unwrap().into_body();
    assert_eq!(http_body_util::BodyExt::collect(read).await.unwrap().to_bytes().len(), 1 << 20);
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert_eq!(server.metrics().write_timeouts.value(), 1);
    let mut len = 0;
    let error = loop {
        match http_body_util::BodyExt::frame(&mut unread).await.expect("no end") {
            Ok(frame) => len += frame.into_data().unwrap().len(),
            Err(error) => break error,
        }
    };
    assert!(len < 1 << 18, "{len} bytes, then {error}");
}
