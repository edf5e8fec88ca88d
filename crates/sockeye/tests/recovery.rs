//! Connection state recovery with the in-memory adapter.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sockeye::{Ack, CloseReason, ConnectionStateRecovery, Data, Limits, Server, ServerBuilder, Socket, Value};
use support::net::{Net, Served, over_both, until};
use support::{Got, WebSocket};
use tokio::sync::Semaphore;

over_both! {
    what_was_missed_comes_in_order_and_once,
    a_volatile_event_keeps_the_place,
    it_works_before_the_first_event,
    a_client_that_is_back_before_it_was_missed_takes_over,
    a_client_that_has_left_in_order_is_not_recovered_though_its_farewell_comes_late,
    when_a_session_is_not_recovered_the_client_is_told,
    the_log_is_bounded_and_a_gap_is_never_silent,
    sessions_are_bounded,
    middlewares_run_again_if_the_options_say_so,
    a_refused_recovery_does_not_use_up_the_session,
    emits_to_one_socket_are_recovered_too,
    what_goes_from_the_log_while_the_middlewares_run_is_no_silent_gap,
    what_comes_while_the_middlewares_run_is_replayed,
    a_replay_that_the_outbox_would_not_hold_is_not_begun,
}

struct Session {
    id: String,
    secret: String,
}

fn server(net: Net) -> Served {
    with(net, Server::builder(), ConnectionStateRecovery::default())
}

fn with(net: Net, builder: ServerBuilder, recovery: ConnectionStateRecovery) -> Served {
    let server = net.serve(builder.connection_state_recovery(recovery).build());
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

async fn connect(server: &Served) -> (WebSocket, Session) {
    let mut client = WebSocket::connect(server).await;
    let reply = client.text().await;
    (client, Session { id: field(&reply, "sid"), secret: field(&reply, "pid") })
}

/// Comes back; gives what came before the CONNECT, and the CONNECT.
async fn come_back(server: &Served, session: &Session, offset: Option<&str>) -> (WebSocket, Vec<String>, String) {
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

fn is_gone(server: &Served) -> bool {
    server.main_namespace().sockets().is_empty()
}

async fn lose(server: &Served, client: WebSocket) {
    drop(client);
    until(|| is_gone(server)).await;
}

async fn what_was_missed_comes_in_order_and_once(net: Net) {
    let server = server(net);
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
async fn a_volatile_event_keeps_the_place(net: Net) {
    let server = server(net);
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

async fn it_works_before_the_first_event(net: Net) {
    let server = server(net);
    let (client, session) = connect(&server).await;
    lose(&server, client).await;
    server.emit("e", 1);
    let (_client, missed, reply) = come_back(&server, &session, None).await;
    assert_eq!(field(&reply, "sid"), session.id);
    assert_eq!(missed.len(), 1);
}

async fn a_client_that_is_back_before_it_was_missed_takes_over(net: Net) {
    let server = server(net);
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

async fn a_client_that_has_left_in_order_is_not_recovered_though_its_farewell_comes_late(net: Net) {
    let server = server(net);
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

async fn when_a_session_is_not_recovered_the_client_is_told(net: Net) {
    let server = server(net);
    // Unknown secret.
    let stranger = Session { id: String::new(), secret: "x".repeat(20) };
    let (_client, missed, reply) = come_back(&server, &stranger, Some("1")).await;
    assert!(missed.is_empty());
    assert_ne!(field(&reply, "pid"), stranger.secret);

    // Left on purpose.
    let (mut client, session) = connect(&server).await;
    client.send("41").await;
    client.silence().await;
    let (_client, _, reply) = come_back(&server, &session, None).await;
    assert_ne!(field(&reply, "sid"), session.id);

    // An offset that never was.
    let (client, session) = connect(&server).await;
    drop(client);
    until(|| server.main_namespace().sockets().socket(&session.id).is_none()).await;
    let (_client, _, reply) = come_back(&server, &session, Some("ffff")).await;
    assert_ne!(field(&reply, "sid"), session.id);
}

/// Over a pipe only: time passes.
#[tokio::test(start_paused = true)]
async fn a_session_is_not_recovered_when_its_time_is_over() {
    let server = with(Net::Pipe, Server::builder(), ConnectionStateRecovery::within(Duration::from_secs(10)));
    let (client, session) = connect(&server).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (_client, _, reply) = come_back(&server, &session, None).await;
    assert_ne!(field(&reply, "sid"), session.id);
}

async fn the_log_is_bounded_and_a_gap_is_never_silent(net: Net) {
    let mut recovery = ConnectionStateRecovery::default();
    recovery.max_log_bytes = 10_000;
    let server = with(net, Server::builder(), recovery);
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

async fn sessions_are_bounded(net: Net) {
    let mut recovery = ConnectionStateRecovery::default();
    recovery.max_sessions = 2;
    let server = with(net, Server::builder(), recovery);
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

async fn middlewares_run_again_if_the_options_say_so(net: Net) {
    for (recovery, expected) in
        [(ConnectionStateRecovery::default(), 1), (ConnectionStateRecovery::default().run_middlewares(), 2)]
    {
        let server = with(net, Server::builder(), recovery);
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

async fn a_refused_recovery_does_not_use_up_the_session(net: Net) {
    let server = with(net, Server::builder(), ConnectionStateRecovery::default().run_middlewares());
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

async fn emits_to_one_socket_are_recovered_too(net: Net) {
    let server = server(net);
    let (client, session) = connect(&server).await;
    let socket = server.main_namespace().sockets().socket(&session.id).unwrap();
    drop(client);
    socket.emit("e", 1);
    until(|| !socket.is_connected() && is_gone(&server)).await;
    let (_client, missed, _) = come_back(&server, &session, None).await;
    assert_eq!(missed.len(), 1);
    assert_eq!(server.metrics().closed(CloseReason::TransportClose), 1);
}

/// How many come back, and how many of them may go on.
type Gate = Arc<(Semaphore, Semaphore)>;

/// A middleware that waits where the client comes back, with its session in hand.
fn slow_to_come_back(net: Net, recovery: ConnectionStateRecovery) -> (Served, Gate) {
    let server = with(net, Server::builder(), recovery.run_middlewares());
    let gate = Arc::new((Semaphore::new(0), Semaphore::new(0)));
    let comes_back = gate.clone();
    server.middleware(move |socket: Socket| {
        let gate = comes_back.clone();
        async move {
            if socket.is_recovered() {
                gate.0.add_permits(1);
                gate.1.acquire().await.unwrap().forget();
            }
            Ok(())
        }
    });
    (server, gate)
}

async fn what_goes_from_the_log_while_the_middlewares_run_is_no_silent_gap(net: Net) {
    let mut recovery = ConnectionStateRecovery::default();
    recovery.max_log_bytes = 10_000;
    let (server, gate) = slow_to_come_back(net, recovery);
    let (client, session) = connect(&server).await;
    lose(&server, client).await;
    server.emit("e", 1);
    let sending = tokio::spawn({
        let server = server.clone();
        async move {
            gate.0.acquire().await.unwrap().forget();
            for _ in 0..20 {
                server.emit("e", "x".repeat(1000));
            }
            gate.1.add_permits(1);
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

async fn what_comes_while_the_middlewares_run_is_replayed(net: Net) {
    let (server, gate) = slow_to_come_back(net, ConnectionStateRecovery::default());
    let (client, session) = connect(&server).await;
    lose(&server, client).await;
    server.emit("e", 1);
    let sending = tokio::spawn({
        let server = server.clone();
        async move {
            gate.0.acquire().await.unwrap().forget();
            server.emit("e", 2);
            gate.1.add_permits(1);
        }
    });
    let (_client, missed, reply) = come_back(&server, &session, None).await;
    sending.await.unwrap();
    assert_eq!(missed.len(), 2);
    assert_eq!(field(&reply, "sid"), session.id);
}

async fn a_replay_that_the_outbox_would_not_hold_is_not_begun(net: Net) {
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 10_000;
    for (binary, fits) in [(1_000, true), (11_000, false)] {
        let server = with(net, Server::builder().limits(limits.clone()), ConnectionStateRecovery::default());
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
