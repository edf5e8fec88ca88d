//! What concerns HTTP: the path, hooks, ids, client files, other services around and within.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderValue, Method};
use sockeye::adapter::{Adapter, AdapterFuture, Answers, MemoryAdapter};
use sockeye::{Args, ClientFiles, Cookie, Cors, Server};
use support::{WebSocket, request};

const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

#[tokio::test]
async fn the_path_is_a_prefix_with_a_slash_or_without() {
    let with = Server::builder().path("/custom/").build();
    assert_eq!(request(&with, Method::GET, "/custom/?EIO=4&transport=polling", &[], "").await.0, 200);
    assert_eq!(request(&with, Method::GET, "/custom?EIO=4&transport=polling", &[], "").await.0, 404);
    assert_eq!(request(&with, Method::GET, HANDSHAKE, &[], "").await.0, 404);
    let without = Server::builder().add_trailing_slash(false).build();
    assert_eq!(request(&without, Method::GET, "/socket.io?EIO=4&transport=polling", &[], "").await.0, 200);
    assert_eq!(request(&without, Method::GET, HANDSHAKE, &[], "").await.0, 200);
}

#[tokio::test]
async fn an_initial_packet_comes_with_the_handshake() {
    let server = Server::builder().initial_packet("hello").build();
    let (_, _, body) = request(&server, Method::GET, HANDSHAKE, &[], "").await;
    assert!(body.starts_with("0{") && body.ends_with("\u{1e}4hello"), "{body}");
    let mut socket = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    assert!(socket.text().await.starts_with("0{"));
    assert_eq!(socket.text().await, "4hello");
}

#[tokio::test]
async fn hooks_edit_the_headers_of_the_first_and_of_every_response() {
    let server = Server::builder()
        .initial_headers(|headers, _| drop(headers.insert("x-first", HeaderValue::from_static("1"))))
        .headers(|headers, request| {
            let method = HeaderValue::from_str(request.method.as_str()).unwrap();
            headers.insert("x-every", method);
        })
        .cors(Cors::origin("http://localhost:3000").credentials(true))
        .cookie(Cookie::new("io"))
        .build();
    let (status, response, body) = request(&server, Method::GET, HANDSHAKE, &[], "").await;
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(status, 200);
    assert_eq!((header("x-first").as_deref(), header("x-every").as_deref()), (Some("1"), Some("GET")));
    assert_eq!(header("access-control-allow-origin").as_deref(), Some("http://localhost:3000"));
    let sid = body.split('"').nth(3).unwrap();
    assert_eq!(header("set-cookie").unwrap(), format!("io={sid}; Path=/; HttpOnly; SameSite=Lax"));

    let target = format!("{HANDSHAKE}&sid={sid}");
    let (_, response, _) = request(&server, Method::POST, &target, &[], "40").await;
    assert!(response.headers().get("x-first").is_none());
    assert_eq!(response.headers()["x-every"], "POST");
    assert!(response.headers().get("set-cookie").is_none());

    let refused = WebSocket::open_with(&server, "EIO=4&transport=nope", "", 4096).await.err().unwrap();
    assert!(refused.contains("x-every: GET"), "{refused}");
    let accepted = request(&server, Method::GET, "/socket.io/?EIO=4&transport=websocket", &[], "").await;
    assert_eq!(accepted.0, 400, "a websocket without an upgrade");
}

#[tokio::test]
async fn old_internet_explorers_are_told_that_it_is_no_attack() {
    let server = Server::new();
    let agent = [("user-agent", "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko")];
    let (_, response, _) = request(&server, Method::GET, HANDSHAKE, &agent, "").await;
    assert_eq!(response.headers()["x-xss-protection"], "0");
    let (_, response, _) = request(&server, Method::GET, HANDSHAKE, &[("user-agent", "curl")], "").await;
    assert!(response.headers().get("x-xss-protection").is_none());
}

#[tokio::test]
async fn the_program_may_make_the_ids() {
    let next = Arc::new(AtomicUsize::new(0));
    let server = Server::builder()
        .generate_id(move |request| {
            let user = request.query("user").unwrap_or_default().into_owned();
            format!("{user}-{}", next.fetch_add(1, Ordering::SeqCst))
        })
        .build();
    let (_, _, body) = request(&server, Method::GET, &format!("{HANDSHAKE}&user=a%20b"), &[], "").await;
    assert!(body.starts_with("0{\"sid\":\"a b-0\""), "{body}");
}

#[tokio::test]
async fn allow_request_sees_the_request_and_its_error_is_the_answer() {
    let server = Server::builder()
        .allow_request(|request| async move {
            assert_eq!(request.address().unwrap().port(), 4000);
            assert!(!request.is_secure());
            match request.header("x-token") {
                Some("right") => Ok(()),
                _ => Err("wrong token".to_owned()),
            }
        })
        .build();
    let (status, _, body) = request(&server, Method::GET, HANDSHAKE, &[], "").await;
    assert_eq!((status, body.as_str()), (403, "{\"code\":4,\"message\":\"wrong token\"}"));
    assert_eq!(request(&server, Method::GET, HANDSHAKE, &[("x-token", "right")], "").await.0, 200);
}

#[tokio::test]
async fn client_files_are_served_with_cors_and_an_etag() {
    let dir = std::env::temp_dir().join(format!("sockeye-client-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("socket.io.js"), "/*!\n * Socket.IO v4.8.4\n */\nvar io;").unwrap();
    let server = Server::builder().serve_client(ClientFiles::load(&dir).unwrap()).cors(Cors::any()).build();
    let (status, response, body) = request(&server, Method::GET, "/socket.io/socket.io.js", &[], "").await;
    assert_eq!(status, 200);
    assert!(body.ends_with("var io;"));
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let etag = response.headers()["etag"].to_str().unwrap().to_owned();
    let unchanged = request(&server, Method::GET, "/socket.io/socket.io.js", &[("if-none-match", &etag)], "").await;
    assert_eq!(unchanged.0, 304);
    assert_eq!(request(&server, Method::GET, "/socket.io/../secret", &[], "").await.0, 400);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn it_fits_into_an_axum_program() {
    use http_body_util::BodyExt as _;
    use tower_service::Service as _;

    let server = Server::new();
    let mut app = axum::Router::new().route("/", axum::routing::get(|| async { "home" })).layer(server.layer());
    let mut get = async |target: &str| {
        let request = http::Request::get(target).body(axum::body::Body::empty()).unwrap();
        let response = app.call(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    assert_eq!(get("/").await, (200, "home".to_owned()));
    assert_eq!(get("/other").await.0, 404);
    let (status, body) = get(HANDSHAKE).await;
    assert_eq!(status, 200);
    assert!(body.starts_with("0{\"sid\""));
}

/// The in-memory adapter, with another node that answers every server-side event.
#[derive(Debug)]
struct Echoing(MemoryAdapter, Arc<sockeye::adapter::Local>, Arc<AtomicUsize>);

impl Adapter for Echoing {
    fn init(&self) -> AdapterFuture<'_, Result<(), sockeye::adapter::AdapterError>> {
        self.2.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(())))
    }
    fn add(&self, socket: &sockeye::Socket, rooms: &[sockeye::adapter::Room]) -> Result<(), sockeye::JoinError> {
        self.0.add(socket, rooms)
    }
    fn remove(&self, socket: &sockeye::Socket, rooms: &[sockeye::adapter::Room]) {
        self.0.remove(socket, rooms);
    }
    fn remove_all(&self, socket: &sockeye::Socket) {
        self.0.remove_all(socket);
    }
    fn broadcast(&self, packet: sockeye::adapter::Packet, target: &sockeye::Target) {
        self.0.broadcast(packet, target);
    }
    fn broadcast_with_ack(
        &self,
        packet: sockeye::adapter::Packet,
        target: sockeye::Target,
        timeout: std::time::Duration,
    ) -> AdapterFuture<'_, Result<Vec<Args>, sockeye::BroadcastAckError>> {
        self.0.broadcast_with_ack(packet, target, timeout)
    }
    fn fetch_sockets(
        &self,
        target: sockeye::Target,
    ) -> AdapterFuture<'_, Result<Answers<sockeye::adapter::RemoteSocketData>, sockeye::adapter::AdapterError>> {
        self.0.fetch_sockets(target)
    }
    fn add_sockets(&self, target: &sockeye::Target, rooms: &[sockeye::adapter::Room]) {
        self.0.add_sockets(target, rooms);
    }
    fn del_sockets(&self, target: &sockeye::Target, rooms: &[sockeye::adapter::Room]) {
        self.0.del_sockets(target, rooms);
    }
    fn disconnect_sockets(&self, target: &sockeye::Target, close: bool) {
        self.0.disconnect_sockets(target, close);
    }
    fn server_side_emit(&self, event: &str, args: Args) {
        tokio::spawn(self.1.handle_server_event(event, args));
    }
    fn server_side_emit_with_ack(
        &self,
        event: &str,
        args: Args,
        _timeout: std::time::Duration,
    ) -> AdapterFuture<'_, sockeye::adapter::ServerSideAnswers> {
        let answer = self.1.handle_server_event(event, args);
        let missing = vec!["another".to_owned()];
        Box::pin(async move { Ok(Answers { answers: answer.await.into_iter().collect(), missing }) })
    }
}

#[tokio::test]
async fn an_adapter_of_the_program_begins_once_and_carries_server_side_events() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let server = Server::builder()
        .adapter(move |local| Echoing(MemoryAdapter::new(local.clone(), None), local, count.clone()))
        .build();
    server.main_namespace().on_server_event("add", |_| async { panic!("on purpose") });
    server.main_namespace().on_server_event("add", |_| async { None });
    server.main_namespace().on_server_event("add", |args| async move {
        let (a, b) = args.deserialize::<(u32, u32)>().ok()?;
        tokio::task::yield_now().await;
        Args::from_serialize(&(a + b)).ok()
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    server.of("/later");
    server.emit("e", 1);
    assert_eq!(client.text().await, "42[\"e\",1]");
    let timeout = std::time::Duration::from_secs(1);
    let answers = server.server_side_emit_with_ack("add", (1, 2), timeout).await.unwrap();
    let sums: Vec<u32> = answers.iter().map(|answer| answer.deserialize().unwrap()).collect();
    assert_eq!(sums, [3]);
    assert_eq!(answers.missing, ["another"]);
    assert!(!answers.is_complete());
    assert_eq!(server.metrics().handler_panics.value(), 1);
    server.server_side_emit("add", (1, 2)).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(begun.load(Ordering::SeqCst), 2, "once for each namespace");
}

#[tokio::test]
async fn client_files_that_are_not_served_are_missing_and_the_answer_says_what_to_do() {
    let server = Server::builder().cors(Cors::any()).build();
    for name in ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js.map"] {
        let (status, response, body) = request(&server, Method::GET, &format!("/socket.io/{name}?v=1"), &[], "").await;
        assert_eq!((status, response.headers()["content-type"].to_str().unwrap()), (404, "text/plain; charset=utf-8"));
        assert!(body.contains(name) && body.contains("client_dir"), "{body}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
    }
    let (status, _, body) = request(&server, Method::HEAD, "/socket.io/socket.io.js", &[], "").await;
    assert_eq!((status, body.as_str()), (404, ""));
    assert_eq!(request(&server, Method::GET, "/socket.io/other.js", &[], "").await.0, 400);
}

#[tokio::test]
async fn pages_of_origins_that_are_not_allowed_cannot_connect() {
    let regex = sockeye::OriginPattern::from(regex::Regex::new("^https://[a-z]+\\.b$").unwrap());
    let server = Server::builder().allowed_origins(["https://a".into(), regex]).cors(Cors::any()).build();
    let jsonp = format!("{HANDSHAKE}&j=0");
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Headers<'_>, bool); 13] = [
        (HANDSHAKE, &[("origin", "https://a")], true),
        (HANDSHAKE, &[("origin", "https://x.b")], true),
        (HANDSHAKE, &[("origin", "https://a.evil")], false),
        (HANDSHAKE, &[("origin", "null")], false),
        (HANDSHAKE, &[("origin", "https://a"), ("origin", "https://evil")], false),
        // No browser, or the server's own page.
        (HANDSHAKE, &[], true),
        (HANDSHAKE, &[("sec-fetch-site", "same-origin")], true),
        // An image or a script of another page.
        (HANDSHAKE, &[("sec-fetch-site", "cross-site")], false),
        (HANDSHAKE, &[("sec-fetch-site", "cross-site"), ("referer", "https://a/page?x#y")], true),
        (&jsonp, &[], false),
        (&jsonp, &[("referer", "https://evil/https://a/")], false),
        (&jsonp, &[("referer", "https://a/")], true),
        (&jsonp, &[("referer", "https://a?x")], true),
    ];
    for (target, headers, is_allowed) in cases {
        let (status, _, body) = request(&server, Method::GET, target, headers, "").await;
        if is_allowed {
            assert_eq!(status, 200, "{headers:?} {body}");
        } else {
            assert_eq!(
                (status, body.as_str()),
                (403, "{\"code\":4,\"message\":\"Origin not allowed\"}"),
                "{headers:?}"
            );
        }
    }
    // The simple POST of a session that is known.
    let (_, _, body) = request(&server, Method::GET, HANDSHAKE, &[], "").await;
    let target = format!("{HANDSHAKE}&sid={}", body.split('"').nth(3).unwrap());
    assert_eq!(request(&server, Method::POST, &target, &[("origin", "https://evil")], "40").await.0, 403);
    assert_eq!(request(&server, Method::POST, &target, &[("origin", "https://a")], "40").await.0, 200);
    // A WebSocket.
    let websocket = "EIO=4&transport=websocket";
    let refused = WebSocket::open_with(&server, websocket, "Origin: https://evil\r\n", 4096).await.unwrap_err();
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("connection: close"), "{refused}");
    assert!(WebSocket::open_with(&server, websocket, "Origin: https://x.b\r\n", 4096).await.is_ok());
    assert!(WebSocket::open_with(&server, websocket, "", 4096).await.is_ok());
}

#[tokio::test]
async fn a_hook_that_panics_costs_its_request_only() {
    let server = Server::builder()
        .allow_request(|request| async move {
            assert!(request.header("x-bad").is_none(), "a mistake of the program");
            Ok(())
        })
        .build();
    assert_eq!(request(&server, Method::GET, HANDSHAKE, &[("x-bad", "1")], "").await.0, 500);
    assert_eq!(server.metrics().handler_panics.value(), 1);
    assert_eq!(request(&server, Method::GET, HANDSHAKE, &[], "").await.0, 200);
}
