//! What happens at the same time on a socket: joining, leaving, events and the end.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::adapter::RoomEvent;
use sockeye::{Ack, AckError, Args, Bound, ConnectError, Data, JoinError, Limits, Reason, Server, Socket};
use support::{Got, Polling, WebSocket};

type Log = Arc<Mutex<Vec<String>>>;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..200 {
        if done() {
            return;
        }
        tokio::time::sleep(ms(5)).await;
    }
    panic!("it does not come to this");
}

/// Keeps the last socket that connected.
fn keep_socket(server: &Server) -> Arc<Mutex<Option<Socket>>> {
    let slot: Arc<Mutex<Option<Socket>>> = Arc::default();
    let kept = slot.clone();
    server.on_connection(move |socket: Socket| *kept.lock() = Some(socket));
    slot
}

#[tokio::test(start_paused = true)]
async fn a_refused_socket_is_in_no_room() {
    let server = Server::new();
    let refused: Arc<Mutex<Vec<Socket>>> = Arc::default();
    let kept = refused.clone();
    server.middleware(move |socket: Socket| {
        let kept = kept.clone();
        async move {
            socket.join("users").unwrap();
            kept.lock().push(socket);
            Err(ConnectError::new("no"))
        }
    });
    let mut client = WebSocket::connect(&server).await;
    assert!(client.text().await.starts_with("44"));
    assert!(server.main_namespace().sockets().rooms().is_empty());
    let socket = refused.lock().pop().unwrap();
    assert!(!socket.is_connected());
    assert!(matches!(socket.join("later"), Err(JoinError::Disconnected)));
    socket.disconnect();
    assert_eq!(server.metrics().sockets.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_socket_whose_connection_closes_in_a_middleware_is_let_go_of() {
    let server = Server::new();
    let met: Arc<Mutex<Option<Socket>>> = Arc::default();
    let kept = met.clone();
    server.middleware(move |socket: Socket| {
        *kept.lock() = Some(socket.clone());
        async move {
            socket.join("users").unwrap();
            tokio::time::sleep(ms(50)).await;
            socket.join("others").unwrap();
            Ok(())
        }
    });
    let mut client = WebSocket::connect(&server).await;
    client.close().await;
    tokio::time::sleep(ms(500)).await;
    assert!(server.main_namespace().sockets().rooms().is_empty());
    assert!(server.main_namespace().sockets().is_empty());
    let socket = met.lock().take().unwrap();
    assert!(!socket.is_connected());
    assert!(matches!(socket.join("later"), Err(JoinError::Disconnected)));
    assert_eq!(server.metrics().sockets.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_middleware_leaves_no_member() {
    let server = Server::new();
    server.middleware(|socket: Socket| async move {
        socket.join("users").unwrap();
        tokio::time::sleep(ms(1)).await;
        assert!(!socket.rooms().is_empty() && socket.is_connected(), "on purpose");
        Ok(())
    });
    let mut client = WebSocket::connect(&server).await;
    client.closed().await;
    assert!(server.main_namespace().sockets().rooms().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_room_cannot_be_joined_once_the_rooms_are_left() {
    let server = Server::new();
    let slot = keep_socket(&server);
    let results: Log = Arc::default();
    let log = results.clone();
    server.main_namespace().sockets().on_room_event(move |event| {
        if let RoomEvent::Deleted(_) = event
            && let Some(socket) = slot.lock().take()
        {
            log.lock().push(format!("{:?}", socket.join("late")));
        }
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    client.close().await;
    tokio::time::sleep(ms(100)).await;
    assert_eq!(*results.lock(), ["Err(Disconnected)"]);
    assert!(server.main_namespace().sockets().rooms().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_an_acknowledgement_that_cannot_come() {
    let server = Server::new();
    let results: Log = Arc::default();
    let (early, late) = (results.clone(), results.clone());
    server.middleware(move |socket: Socket| {
        let log = early.clone();
        async move {
            let answer: Result<Args, AckError> = socket.emit_with_ack("early", ()).await;
            log.lock().push(format!("{:?}", answer.err()));
            Ok(())
        }
    });
    server.on_disconnect(move |socket: Socket| {
        let log = late.clone();
        async move {
            let answer: Result<Args, AckError> = socket.emit_with_ack("late", ()).await;
            log.lock().push(format!("{:?}", answer.err()));
        }
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    client.close().await;
    tokio::time::sleep(ms(100)).await;
    assert_eq!(*results.lock(), ["Some(Disconnected)", "Some(Disconnected)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_asked_for_during_the_end_is_given_up() {
    for _ in 0..50 {
        let server = Server::new();
        let slot = keep_socket(&server);
        let (mut client, _) = WebSocket::joined(&server).await;
        until(|| slot.lock().is_some()).await;
        let socket = slot.lock().take().unwrap();
        let asking = tokio::spawn(async move {
            loop {
                if let Err(error) = socket.emit_with_ack::<Args>("ask", ()).await {
                    return error;
                }
            }
        });
        client.close().await;
        let error = tokio::time::timeout(ms(1000), asking).await.expect("it ends").unwrap();
        assert!(matches!(error, AckError::Disconnected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequential_namespace_handles_each_event_once_and_in_order() {
    let server = Server::new();
    server.sequential();
    let seen: Arc<Mutex<Vec<u32>>> = Arc::default();
    let log = seen.clone();
    server.on("event", move |Data(number): Data<u32>| {
        let log = log.clone();
        async move {
            tokio::task::yield_now().await;
            log.lock().push(number);
        }
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    for number in 0..2_000 {
        client.send(&format!("42[\"event\",{number}]")).await;
    }
    until(|| seen.lock().len() >= 2_000).await;
    assert!(seen.lock().iter().copied().eq(0..2_000));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_event_middleware_ends_the_line_and_frees_the_socket() {
    let server = Server::new();
    server.sequential();
    server.event_middleware(|_| async {
        tokio::time::sleep(ms(10)).await;
        assert!(std::hint::black_box(false), "on purpose");
        Ok::<_, String>(())
    });
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let freed = Arc::new(AtomicUsize::new(0));
    let counter = freed.clone();
    server.on_connection(move |socket: Socket| socket.set_extension(Held(counter.clone())));
    let (mut client, _) = WebSocket::joined(&server).await;
    for _ in 0..3 {
        client.send("42[\"event\"]").await;
    }
    client.closed().await;
    drop(client);
    until(|| freed.load(Ordering::SeqCst) == 1).await;
}

/// A server whose connection handler takes a while, on a thread of its own, and what happens on it.
fn slow_server(middleware: bool) -> (Server, Log, Arc<AtomicBool>) {
    let server = Server::new();
    let (log, goes_on): (Log, Arc<AtomicBool>) = Default::default();
    if middleware {
        server.middleware(|_: Socket| async {
            tokio::time::sleep(ms(5)).await;
            Ok(())
        });
    }
    let (connected, waits) = (log.clone(), goes_on.clone());
    server.on_connection(move |socket: Socket| {
        // What a client gets is sent by another task, which needs a thread.
        tokio::spawn(async {});
        let started = std::time::Instant::now();
        while !waits.load(Ordering::SeqCst) && started.elapsed() < ms(900) {
            std::thread::sleep(ms(1));
        }
        connected.lock().push(format!("connection {}", socket.is_connected()));
    });
    let events = log.clone();
    server.on("event", move |Data(number): Data<u32>| events.lock().push(format!("event {number}")));
    let ends = log.clone();
    server.on_disconnect(move |Reason(reason): Reason| ends.lock().push(reason.to_string()));
    (server, log, goes_on)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn events_and_the_end_come_after_the_connection_handlers() {
    let (server, log, goes_on) = slow_server(true);
    let (mut client, _) = WebSocket::joined(&server).await;
    for number in 0..3 {
        client.send(&format!("42[\"event\",{number}]")).await;
    }
    client.close().await;
    until(|| server.metrics().connections.value() == 0).await;
    assert!(log.lock().is_empty());
    goes_on.store(true, Ordering::SeqCst);
    until(|| log.lock().len() == 5).await;
    assert_eq!(*log.lock(), ["connection true", "event 0", "event 1", "event 2", "transport close"]);
    assert!(server.main_namespace().sockets().is_empty());
    assert_eq!(server.metrics().sockets.value(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_client_may_leave_and_come_back_while_the_connection_handlers_run() {
    let (server, log, goes_on) = slow_server(true);
    let (mut client, first) = WebSocket::joined(&server).await;
    client.send("42[\"event\",1]").await;
    client.send("41").await;
    client.send("40").await;
    let second = client.text().await;
    assert!(second.starts_with("40{") && !second.contains(&first), "{second}");
    client.send("42[\"event\",2]").await;
    goes_on.store(true, Ordering::SeqCst);
    until(|| log.lock().len() == 5).await;
    let mut seen = log.lock().clone();
    seen.sort();
    assert_eq!(seen, ["client namespace disconnect", "connection true", "connection true", "event 1", "event 2"]);
    assert_eq!(server.metrics().sockets.value(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn events_that_wait_for_the_connection_handlers_are_bounded() {
    let (_, log, goes_on) = slow_server(true);
    let mut limits = Limits::default();
    limits.max_handlers = 2;
    let server = Server::builder().limits(limits).build();
    server.middleware(|_: Socket| async {
        tokio::time::sleep(ms(5)).await;
        Ok(())
    });
    let (waits, seen) = (goes_on.clone(), log.clone());
    server.on_connection(move |_: Socket| {
        tokio::spawn(async {});
        while !waits.load(Ordering::SeqCst) {
            std::thread::sleep(ms(1));
        }
    });
    server.on("event", move |Data(number): Data<u32>| seen.lock().push(number.to_string()));
    let (mut client, _) = WebSocket::joined(&server).await;
    for number in 0..20 {
        client.send(&format!("42[\"event\",{number}]")).await;
    }
    until(|| server.metrics().reached(Bound::Handlers) > 0).await;
    goes_on.store(true, Ordering::SeqCst);
    until(|| log.lock().len() == 20).await;
    assert!(log.lock().iter().cloned().eq((0..20).map(|number: u32| number.to_string())));
}

#[tokio::test(start_paused = true)]
async fn a_socket_disconnected_by_its_connection_handler_ends_after_it() {
    let server = Server::new();
    let log: Log = Arc::default();
    let (connected, ending, ended) = (log.clone(), log.clone(), log.clone());
    server.on_disconnecting(move |socket: Socket| {
        ending.lock().push(format!("disconnecting {} {}", socket.is_connected(), socket.is_in("room")));
    });
    server.on_connection(move |socket: Socket| {
        socket.join("room").unwrap();
        socket.disconnect();
        socket.disconnect();
        connected.lock().push(format!("connection {}", socket.is_connected()));
    });
    server.on_disconnect(move |Reason(reason): Reason| ended.lock().push(reason.to_string()));
    let (mut client, _) = WebSocket::joined(&server).await;
    assert_eq!(client.next().await, Got::Text("41".to_owned()));
    client.send("40").await;
    assert!(client.text().await.starts_with("40{"), "it may come back");
    assert_eq!(client.next().await, Got::Text("41".to_owned()));
    client.silence().await;
    let once = ["connection false", "disconnecting false true", "server namespace disconnect"];
    assert_eq!(*log.lock(), [once, once].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_come_back_while_the_listeners_hear_of_its_end() {
    let server = Server::new();
    let slot = keep_socket(&server);
    let goes_on = Arc::new(AtomicBool::new(false));
    let waits = goes_on.clone();
    server.on_disconnecting(move || {
        let started = std::time::Instant::now();
        while !waits.load(Ordering::SeqCst) && started.elapsed() < ms(900) {
            std::thread::sleep(ms(1));
        }
    });
    let (mut client, first) = WebSocket::joined(&server).await;
    until(|| slot.lock().is_some()).await;
    let socket = slot.lock().take().unwrap();
    let ending = std::thread::spawn(move || socket.disconnect());
    assert_eq!(client.next().await, Got::Text("41".to_owned()));
    client.send("42[\"nobody hears this\"]").await;
    client.send("40").await;
    let second = client.text().await;
    assert!(second.starts_with("40{") && !second.contains(&first), "{second}");
    goes_on.store(true, Ordering::SeqCst);
    ending.join().unwrap();
    assert_eq!(server.metrics().sockets.value(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_handler_of_an_event_starts_after_the_disconnect() {
    let server = Server::new();
    let log: Log = Arc::default();
    let events = log.clone();
    server.on_any(|socket: Socket| socket.disconnect());
    server.on("event", move || events.lock().push("event".to_owned()));
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("42[\"event\"]").await;
    assert_eq!(client.next().await, Got::Text("41".to_owned()));
    assert!(log.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_extension_may_use_the_socket_when_it_is_dropped() {
    struct Leaves(Option<Socket>);
    impl Drop for Leaves {
        fn drop(&mut self) {
            if let Some(socket) = &self.0 {
                socket.leave("room");
            }
        }
    }
    let server = Server::new();
    server.on("replace", |socket: Socket| {
        socket.join("room").unwrap();
        socket.set_extension(Leaves(Some(socket.clone())));
        socket.set_extension(Leaves(None));
        socket.emit("replaced", socket.is_in("room"));
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("42[\"replace\"]").await;
    assert_eq!(client.text().await, "42[\"replaced\",false]");
}

/// A namespace whose middleware joins a room, takes as many seconds as `auth` says, and lets in whoever says `ok`. What connects
/// is noted.
fn slow(server: &Server) -> Log {
    #[derive(serde::Deserialize)]
    struct Claim {
        n: u32,
        seconds: u64,
        ok: bool,
    }
    let entered: Log = Arc::default();
    let log = entered.clone();
    let slow = server.of("/slow");
    slow.middleware(|socket: Socket| async move {
        let claim: Claim = socket.auth().map_err(|error| ConnectError::new(error.to_string()))?;
        socket.join("users").map_err(|error| ConnectError::new(error.to_string()))?;
        tokio::time::sleep(Duration::from_secs(claim.seconds)).await;
        socket.emit("decided", claim.n);
        if claim.ok { Ok(()) } else { Err(ConnectError::new(format!("not {}", claim.n))) }
    });
    slow.on_connection(move |socket: Socket| {
        let claim: Claim = socket.auth().expect("the middleware has read it");
        log.lock().push(format!("{} {}", claim.n, socket.is_in("users")));
    });
    server.on("echo", |args: Args, ack: Ack| ack.send(args));
    entered
}

fn attempt(n: u32, seconds: u64, ok: bool) -> String {
    format!("40/slow,{{\"n\":{n},\"seconds\":{seconds},\"ok\":{ok}}}")
}

/// Nothing else has come, and the connection works.
async fn nothing_more(client: &mut WebSocket) {
    tokio::time::sleep(Duration::from_secs(15)).await;
    client.send("421[\"echo\",1]").await;
    assert_eq!(client.text().await, "431[1]");
}

/// As a page does that renders twice: connect, disconnect, connect. The official client says nothing of the disconnect.
#[tokio::test(start_paused = true)]
async fn of_two_attempts_to_join_the_last_counts() {
    for (between, first) in [
        ("", attempt(1, 1, true)),
        ("", attempt(1, 3, true)),
        ("", attempt(1, 1, false)),
        ("", attempt(1, 3, false)),
        ("41/slow,", attempt(1, 1, true)),
        ("41/slow,", attempt(1, 3, true)),
        ("41/slow,", attempt(1, 1, false)),
        ("41/slow,", attempt(1, 3, false)),
    ] {
        let server = Server::new();
        let entered = slow(&server);
        let (mut client, _) = WebSocket::joined(&server).await;
        client.send(&first).await;
        if !between.is_empty() {
            client.send(between).await;
        }
        client.send(&attempt(2, 2, true)).await;
        assert_eq!(client.text().await, "42/slow,[\"decided\",2]");
        let answer = client.text().await;
        assert!(answer.starts_with("40/slow,{\"sid\""), "{answer}");
        nothing_more(&mut client).await;
        assert_eq!(*entered.lock(), ["2 true"]);
        let slow = server.of("/slow");
        assert_eq!((slow.sockets().len(), slow.sockets().rooms()[0].1), (1, 1), "the first has left its room");
        assert_eq!(server.metrics().sockets.value(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_last_attempt_is_told() {
    let server = Server::new();
    let entered = slow(&server);
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send(&attempt(1, 3, true)).await;
    client.send(&attempt(2, 1, false)).await;
    assert_eq!(client.text().await, "42/slow,[\"decided\",2]");
    assert_eq!(client.text().await, "44/slow,{\"message\":\"not 2\"}");
    nothing_more(&mut client).await;
    assert!(entered.lock().is_empty());
    assert_eq!(server.metrics().sockets.value(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_given_up_lets_nobody_in() {
    for ok in [true, false] {
        let server = Server::new();
        let entered = slow(&server);
        let (mut client, _) = WebSocket::joined(&server).await;
        client.send(&attempt(1, 1, ok)).await;
        client.send("41/slow,").await;
        nothing_more(&mut client).await;
        assert!(entered.lock().is_empty());
        assert!(server.of("/slow").sockets().rooms().is_empty());
        assert_eq!(server.metrics().sockets.value(), 1);
        // It is not joined, so a DISCONNECT is out of place.
        client.send("41/slow,").await;
        assert_eq!(client.closed().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_that_count_no_more_are_bounded() {
    let mut limits = Limits::default();
    limits.max_namespaces = 4;
    let server = Server::builder().limits(limits).build();
    let entered = slow(&server);
    let (mut client, _) = WebSocket::joined(&server).await;
    for n in 1..=4 {
        client.send(&attempt(n, 5, true)).await;
    }
    assert_eq!(client.text().await, "44/slow,{\"message\":\"Too many namespaces\"}");
    assert_eq!(server.metrics().reached(Bound::Namespaces), 1);
    nothing_more(&mut client).await;
    assert!(entered.lock().is_empty(), "the client has been told that its last attempt was refused");
    client.send(&attempt(5, 1, true)).await;
    assert_eq!(client.text().await, "42/slow,[\"decided\",5]");
    assert!(client.text().await.starts_with("40/slow,{"), "there is room again");
}

/// What a POST leaves behind is worked off by a task, while the next POST brings more and the handlers end on other threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_event_is_left_behind_between_a_post_and_the_task_for_its_rest() {
    const CLIENTS: usize = 4;
    const POSTS: usize = 2_000;
    let mut limits = Limits::default();
    limits.max_handlers = 2;
    let server = Server::builder().limits(limits).build();
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    server.on("work", move || {
        let count = count.clone();
        async move {
            tokio::task::yield_now().await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut posting = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let client = Polling::joined(&server).await;
        posting.spawn(async move {
            for _ in 0..POSTS {
                let post =
                    client.post("42[\"work\"]\u{1e}42[\"work\"]\u{1e}42[\"work\"]\u{1e}42[\"work\"]\u{1e}42[\"work\"]");
                assert_eq!(post.await, (200, "ok".to_owned()));
            }
            client
        });
    }
    // The clients live until all is handled: the end of a session would end its backlog.
    let clients = tokio::time::timeout(ms(60_000), posting.join_all()).await.expect("a POST waits for ever");
    until(|| handled.load(Ordering::Relaxed) == CLIENTS * POSTS * 5).await;
    drop(clients);
}
