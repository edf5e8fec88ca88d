//! Connection state recovery with the in-memory adapter.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sockeye::{Ack, CloseReason, ConnectionStateRecovery, Data, Limits, Server, ServerBuilder, Socket, Value};
use support::{Got, WebSocket};

struct Session {
    id: String,
    secret: String,
}

fn server() -> Server {
    with(Server::builder(), ConnectionStateRecovery::default())
}

fn with(builder: ServerBuilder, recovery: ConnectionStateRecovery) -> Server {
    let server = builder.connection_state_recovery(recovery).build();
    server.on("join", |socket: Socket, Data(room): Data<String>, ack: Ack| {
        socket.set_data("room", &room);
        let joined = socket.join(room);
        ack.send(());
        joined
    });
    server
}

fn field(reply: &str, name: &str) -> String {
    let start = format!("\"{name}\":\"");
    reply.split(&start).nth(1).and_then(|rest| rest.split('"').next()).expect(reply).to_owned()
}

async fn connect(server: &Server) -> (WebSocket, Session) {
    let mut client = WebSocket::connect(server).await;
    let reply = client.text().await;
    (client, Session { id: field(&reply, "sid"), secret: field(&reply, "pid") })
}

/// Comes back; gives what came before the CONNECT, and the CONNECT.
async fn come_back(server: &Server, session: &Session, offset: Option<&str>) -> (WebSocket, Vec<String>, String) {
    let offset = offset.map(|offset| format!(",\"offset\":\"{offset}\"")).unwrap_or_default();
    let mut client = WebSocket::connect_with(server, &format!("{{\"pid\":\"{}\"{offset}}}", session.secret)).await;
    let mut before = Vec::new();
    loop {
        let text = client.text().await;
        if text.starts_with("40") {
            return (client, before, text);
        }
        before.push(text);
    }
}

/// The offset is the last argument of an event.
fn offset(event: &str) -> String {
    event.trim_end_matches("\"]").rsplit('"').next().unwrap().to_owned()
}

fn is_gone(server: &Server) -> bool {
    server.main_namespace().sockets().is_empty()
}

async fn lose(server: &Server, client: WebSocket) {
    drop(client);
    while !is_gone(server) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_comes_in_order_and_once() {
    let server = server();
    let (mut client, session) = connect(&server).await;
    client.send("421[\"join\",\"red\"]").await;
    assert_eq!(client.text().await, "431[]");
    server.emit("e", 1);
    let first = client.text().await;
    lose(&server, client).await;

    server.emit("e", 2);
    server.to("red").emit("e", 3);
    server.to("blue").emit("e", "not for it");
    server.except("red").emit("e", "not for it");
    server.volatile().emit("e", "volatile");
    server.to(session.id.as_str()).emit("e", 4);

    let (mut client, missed, reply) = come_back(&server, &session, Some(&offset(&first))).await;
    assert_eq!(field(&reply, "sid"), session.id);
    assert_eq!(field(&reply, "pid"), session.secret);
    let numbers: Vec<_> = missed.iter().map(|event| event.split(',').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["2", "3", "4"]);
    let socket = server.main_namespace().sockets().socket(&session.id).unwrap();
    assert!(socket.is_recovered());
    assert_eq!(socket.data::<String>("room").unwrap(), "red");
    server.to("red").emit("e", 5);
    assert!(client.text().await.starts_with("42[\"e\",5,"));
    assert_eq!(server.metrics().recovered.value(), 1);

    // And again, several times in a row.
    let mut last = missed[2].clone();
    for n in 6..9 {
        lose(&server, client).await;
        server.emit("e", n);
        let (again, missed, _) = come_back(&server, &session, Some(&offset(&last))).await;
        assert!(missed.last().unwrap().starts_with(&format!("42[\"e\",{n},")), "{missed:?}");
        last = missed.last().unwrap().clone();
        client = again;
    }
}

/// The official client takes whatever string it gets last for an offset.
#[tokio::test(start_paused = true)]
async fn a_volatile_event_keeps_the_place() {
    let server = server();
    let (mut client, session) = connect(&server).await;
    for n in 1..4 {
        server.volatile().emit("e", "a string");
        server.volatile().emit("name", ());
        server.volatile().emit("number", n);
        client.text().await;
        let last = client.text().await;
        assert_eq!(client.text().await, format!("42[\"number\",{n}]"));
        lose(&server, client).await;
        server.emit("e", n);
        let (again, missed, reply) = come_back(&server, &session, Some(&offset(&last))).await;
        assert_eq!(field(&reply, "sid"), session.id);
        assert_eq!(missed.len(), 1, "{missed:?}");
        client = again;
    }
}

#[tokio::test(start_paused = true)]
async fn it_works_before_the_first_event() {
    let server = server();
    let (client, session) = connect(&server).await;
    lose(&server, client).await;
    server.emit("e", 1);
    let (_client, missed, reply) = come_back(&server, &session, None).await;
    assert_eq!(field(&reply, "sid"), session.id);
    assert_eq!(missed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_back_before_it_was_missed_takes_over() {
    let server = server();
    let (mut old, session) = connect(&server).await;
    server.emit("e", 1);
    let first = old.text().await;
    // The old connection is still there: its end was not noticed.
    server.emit("e", 2);
    let (_client, missed, reply) = come_back(&server, &session, Some(&offset(&first))).await;
    assert_eq!(field(&reply, "sid"), session.id);
    assert_eq!(missed.len(), 1);
    assert_eq!(server.main_namespace().sockets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_left_in_order_is_not_recovered_though_its_farewell_comes_late() {
    let server = server();
    let (mut old, session) = connect(&server).await;
    let (_client, (_, missed, reply)) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            old.send("41").await;
            old
        },
        come_back(&server, &session, None),
    );
    assert_ne!(field(&reply, "sid"), session.id);
    assert_eq!(missed, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn when_a_session_is_not_recovered_the_client_is_told() {
    let server = with(Server::builder(), ConnectionStateRecovery::within(Duration::from_secs(10)));
    // Unknown secret.
    let stranger = Session { id: String::new(), secret: "x".repeat(20) };
    let (_client, missed, reply) = come_back(&server, &stranger, Some("1")).await;
    assert!(missed.is_empty());
    assert_ne!(field(&reply, "pid"), stranger.secret);

    // Too late.
    let (client, session) = connect(&server).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (_client, _, reply) = come_back(&server, &session, None).await;
    assert_ne!(field(&reply, "sid"), session.id);

    // Left on purpose.
    let (mut client, session) = connect(&server).await;
    client.send("41").await;
    client.silence().await;
    let (_client, _, reply) = come_back(&server, &session, None).await;
    assert_ne!(field(&reply, "sid"), session.id);

    // An offset that never was.
    let (client, session) = connect(&server).await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (_client, _, reply) = come_back(&server, &session, Some("ffff")).await;
    assert_ne!(field(&reply, "sid"), session.id);
}

#[tokio::test(start_paused = true)]
async fn the_log_is_bounded_and_a_gap_is_never_silent() {
    let mut recovery = ConnectionStateRecovery::default();
    recovery.max_log_bytes = 10_000;
    let server = with(Server::builder(), recovery);
    let (mut client, session) = connect(&server).await;
    server.emit("e", 0);
    let first = client.text().await;
    lose(&server, client).await;
    for n in 0..100 {
        server.emit("e", ("x".repeat(1000), n));
    }
    let (_client, missed, reply) = come_back(&server, &session, Some(&offset(&first))).await;
    assert!(missed.is_empty());
    assert_ne!(field(&reply, "sid"), session.id);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_bounded() {
    let mut recovery = ConnectionStateRecovery::default();
    recovery.max_sessions = 2;
    let server = with(Server::builder(), recovery);
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let (client, session) = connect(&server).await;
        lose(&server, client).await;
        sessions.push(session);
    }
    let mut recovered = Vec::new();
    for session in &sessions {
        let (client, _, reply) = come_back(&server, session, None).await;
        recovered.push(field(&reply, "sid") == session.id);
        std::mem::forget(client);
    }
    assert_eq!(recovered, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn middlewares_run_again_if_the_options_say_so() {
    for (recovery, expected) in
        [(ConnectionStateRecovery::default(), 1), (ConnectionStateRecovery::default().run_middlewares(), 2)]
    {
        let server = with(Server::builder(), recovery);
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        server.middleware(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        });
        let (client, session) = connect(&server).await;
        lose(&server, client).await;
        let (_client, _, reply) = come_back(&server, &session, None).await;
        assert_eq!(field(&reply, "sid"), session.id);
        assert_eq!(calls.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_recovery_does_not_use_up_the_session() {
    let server = with(Server::builder(), ConnectionStateRecovery::default().run_middlewares());
    let allowed = Arc::new(AtomicUsize::new(1));
    let gate = allowed.clone();
    server.middleware(move |_| {
        let is_open = gate.load(Ordering::SeqCst) == 1;
        async move { if is_open { Ok(()) } else { Err("closed".into()) } }
    });
    let (client, session) = connect(&server).await;
    lose(&server, client).await;
    server.emit("e", 1);
    allowed.store(0, Ordering::SeqCst);
    let mut refused = WebSocket::connect_with(&server, &format!("{{\"pid\":\"{}\"}}", session.secret)).await;
    assert_eq!(refused.text().await, "44{\"message\":\"closed\"}");
    allowed.store(1, Ordering::SeqCst);
    let (_client, missed, reply) = come_back(&server, &session, None).await;
    assert_eq!(field(&reply, "sid"), session.id);
    assert_eq!(missed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn emits_to_one_socket_are_recovered_too() {
    let server = server();
    let (client, session) = connect(&server).await;
    let socket = server.main_namespace().sockets().socket(&session.id).unwrap();
    drop(client);
    socket.emit("e", 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!socket.is_connected());
    let (_client, missed, _) = come_back(&server, &session, None).await;
    assert_eq!(missed.len(), 1);
    assert_eq!(server.metrics().closed(CloseReason::TransportClose), 1);
}

/// A middleware that waits for 5 seconds where the client comes back, with its session in hand.
fn slow_to_come_back(recovery: ConnectionStateRecovery) -> Server {
    let server = with(Server::builder(), recovery.run_middlewares());
    server.middleware(|socket: Socket| async move {
        if socket.is_recovered() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        Ok(())
    });
    server
}

#[tokio::test(start_paused = true)]
async fn what_goes_from_the_log_while_the_middlewares_run_is_no_silent_gap() {
    let mut recovery = ConnectionStateRecovery::default();
    recovery.max_log_bytes = 10_000;
    let server = slow_to_come_back(recovery);
    let (client, session) = connect(&server).await;
    lose(&server, client).await;
    server.emit("e", 1);
    let sending = tokio::spawn({
        let server = server.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            for _ in 0..20 {
                server.emit("e", "x".repeat(1000));
            }
        }
    });
    let (mut client, missed, reply) = come_back(&server, &session, None).await;
    sending.await.unwrap();
    assert!(missed.is_empty());
    assert_ne!(field(&reply, "sid"), session.id);
    assert_ne!(field(&reply, "pid"), session.secret);
    let socket = server.main_namespace().sockets().socket(&field(&reply, "sid")).unwrap();
    assert!(!socket.is_recovered());
    assert_eq!(server.main_namespace().sockets().len(), 1);
    server.emit("e", 2);
    assert!(client.text().await.starts_with("42[\"e\",2,"));
    assert_eq!(server.metrics().recovered.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_the_middlewares_run_is_replayed() {
    let server = slow_to_come_back(ConnectionStateRecovery::default());
    let (client, session) = connect(&server).await;
    lose(&server, client).await;
    server.emit("e", 1);
    let sending = tokio::spawn({
        let server = server.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            server.emit("e", 2);
        }
    });
    let (_client, missed, reply) = come_back(&server, &session, None).await;
    sending.await.unwrap();
    assert_eq!(missed.len(), 2);
    assert_eq!(field(&reply, "sid"), session.id);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_the_outbox_would_not_hold_is_not_begun() {
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 10_000;
    for (binary, fits) in [(1_000, true), (11_000, false)] {
        let server = with(Server::builder().limits(limits.clone()), ConnectionStateRecovery::default());
        let (client, session) = connect(&server).await;
        lose(&server, client).await;
        server.emit("e", Value::Binary(vec![7; binary].into()));
        let mut client = WebSocket::connect_with(&server, &format!("{{\"pid\":\"{}\"}}", session.secret)).await;
        if fits {
            assert!(client.text().await.starts_with("451-[\"e\","));
            assert_eq!(client.next().await, Got::Binary(vec![7; binary]));
        }
        let reply = client.text().await;
        assert_eq!(field(&reply, "sid") == session.id, fits, "{reply}");
        client.silence().await;
        assert_eq!(server.metrics().closed(CloseReason::SlowConsumer), 0);
    }
}
