//! What happens at the same time on a socket: joining, leaving, events and the end.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::adapter::RoomEvent;
use sockeye::{Ack, AckError, Args, Bound, ConnectError, Data, JoinError, Limits, Reason, Server, Socket};
use support::net::{LIMIT, Net, Served, over_both, over_both_with_threads, until};
use support::{Got, Polling, WebSocket};
use tokio::sync::Semaphore;

over_both! {
    a_refused_socket_is_in_no_room,
    a_socket_whose_connection_closes_in_a_middleware_is_let_go_of,
    a_panic_in_a_middleware_leaves_no_member,
    a_room_cannot_be_joined_once_the_rooms_are_left,
    nobody_waits_for_an_acknowledgement_that_cannot_come,
    a_panic_in_an_event_middleware_ends_the_line_and_frees_the_socket,
    a_socket_disconnected_by_its_connection_handler_ends_after_it,
    no_handler_of_an_event_starts_after_the_disconnect,
    an_extension_may_use_the_socket_when_it_is_dropped,
    of_two_attempts_to_join_the_last_counts,
    a_refusal_of_the_last_attempt_is_told,
    an_attempt_that_is_given_up_lets_nobody_in,
    attempts_that_count_no_more_are_bounded,
}

over_both_with_threads! {
    an_acknowledgement_asked_for_during_the_end_is_given_up,
    a_sequential_namespace_handles_each_event_once_and_in_order,
    events_and_the_end_come_after_the_connection_handlers,
    a_client_may_leave_and_come_back_while_the_connection_handlers_run,
    events_that_wait_for_the_connection_handlers_are_bounded,
    a_client_may_come_back_while_the_listeners_hear_of_its_end,
    no_event_is_left_behind_between_a_post_and_the_task_for_its_rest,
}

type Log = Arc<Mutex<Vec<String>>>;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Keeps the last socket that connected.
fn keep_socket(server: &Server) -> Arc<Mutex<Option<Socket>>> {
    let slot: Arc<Mutex<Option<Socket>>> = Arc::default();
    let kept = slot.clone();
    server.on_connection(move |socket: Socket| *kept.lock() = Some(socket));
    slot
}

async fn a_refused_socket_is_in_no_room(net: Net) {
    let server = net.serve(Server::new());
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
    until(|| server.main_namespace().sockets().rooms().is_empty()).await;
    let socket = refused.lock().pop().unwrap();
    assert!(!socket.is_connected());
    assert!(matches!(socket.join("later"), Err(JoinError::Disconnected)));
    socket.disconnect();
    until(|| server.metrics().sockets.value() == 0).await;
}

async fn a_socket_whose_connection_closes_in_a_middleware_is_let_go_of(net: Net) {
    let server = net.serve(Server::new());
    let met: Arc<Mutex<Option<Socket>>> = Arc::default();
    let kept = met.clone();
    let goes_on = Arc::new(Semaphore::new(0));
    let gate = goes_on.clone();
    server.middleware(move |socket: Socket| {
        *kept.lock() = Some(socket.clone());
        let gate = gate.clone();
        async move {
            socket.join("users").unwrap();
            gate.acquire().await.unwrap().forget();
            socket.join("others").unwrap();
            Ok(())
        }
    });
    let mut client = WebSocket::connect(&server).await;
    until(|| met.lock().is_some()).await;
    client.close().await;
    until(|| server.metrics().connections.value() == 0).await;
    goes_on.add_permits(1);
    // One is here, one with the middleware.
    until(|| Arc::strong_count(&goes_on) == 2).await;
    until(|| server.main_namespace().sockets().rooms().is_empty()).await;
    until(|| server.main_namespace().sockets().is_empty()).await;
    let socket = met.lock().take().unwrap();
    until(|| !socket.is_connected()).await;
    assert!(matches!(socket.join("later"), Err(JoinError::Disconnected)));
    until(|| server.metrics().sockets.value() == 0).await;
}

async fn a_panic_in_a_middleware_leaves_no_member(net: Net) {
    let server = net.serve(Server::new());
    server.middleware(|socket: Socket| async move {
        socket.join("users").unwrap();
        tokio::time::sleep(ms(1)).await;
        assert!(!socket.rooms().is_empty() && socket.is_connected(), "on purpose");
        Ok(())
    });
    let mut client = WebSocket::connect(&server).await;
    client.closed().await;
    until(|| server.main_namespace().sockets().rooms().is_empty()).await;
}

async fn a_room_cannot_be_joined_once_the_rooms_are_left(net: Net) {
    let server = net.serve(Server::new());
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
    until(|| !results.lock().is_empty()).await;
    assert_eq!(*results.lock(), ["Err(Disconnected)"]);
    until(|| server.main_namespace().sockets().rooms().is_empty()).await;
}

async fn nobody_waits_for_an_acknowledgement_that_cannot_come(net: Net) {
    let server = net.serve(Server::new());
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
    until(|| results.lock().len() >= 2).await;
    assert_eq!(*results.lock(), ["Some(Disconnected)", "Some(Disconnected)"]);
}

async fn an_acknowledgement_asked_for_during_the_end_is_given_up(net: Net) {
    for _ in 0..50 {
        let server = net.serve(Server::new());
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
        let error = tokio::time::timeout(LIMIT, asking).await.expect("it ends").unwrap();
        assert!(matches!(error, AckError::Disconnected));
    }
}

async fn a_sequential_namespace_handles_each_event_once_and_in_order(net: Net) {
    let server = net.serve(Server::new());
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

async fn a_panic_in_an_event_middleware_ends_the_line_and_frees_the_socket(net: Net) {
    let server = net.serve(Server::new());
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
fn slow_server(net: Net) -> (Served, Log, Arc<AtomicBool>) {
    let server = net.serve(Server::new());
    let (log, goes_on): (Log, Arc<AtomicBool>) = Default::default();
    server.middleware(|_: Socket| async {
        tokio::time::sleep(ms(5)).await;
        Ok(())
    });
    let (connected, waits) = (log.clone(), goes_on.clone());
    server.on_connection(move |socket: Socket| {
        // What a client gets is sent by another task, which needs a thread.
        tokio::spawn(async {});
        let started = std::time::Instant::now();
        while !waits.load(Ordering::SeqCst) && started.elapsed() < LIMIT {
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

async fn events_and_the_end_come_after_the_connection_handlers(net: Net) {
    let (server, log, goes_on) = slow_server(net);
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
    until(|| server.main_namespace().sockets().is_empty()).await;
    until(|| server.metrics().sockets.value() == 0).await;
}

async fn a_client_may_leave_and_come_back_while_the_connection_handlers_run(net: Net) {
    let (server, log, goes_on) = slow_server(net);
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
    until(|| server.metrics().sockets.value() == 1).await;
}

async fn events_that_wait_for_the_connection_handlers_are_bounded(net: Net) {
    let (log, goes_on): (Log, Arc<AtomicBool>) = Default::default();
    let mut limits = Limits::default();
    limits.max_handlers = 2;
    let server = net.serve(Server::builder().limits(limits).build());
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

async fn a_socket_disconnected_by_its_connection_handler_ends_after_it(net: Net) {
    let server = net.serve(Server::new());
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
    until(|| log.lock().len() >= 6).await;
    let once = ["connection false", "disconnecting false true", "server namespace disconnect"];
    assert_eq!(*log.lock(), [once, once].concat());
}

async fn a_client_may_come_back_while_the_listeners_hear_of_its_end(net: Net) {
    let server = net.serve(Server::new());
    let slot = keep_socket(&server);
    let goes_on = Arc::new(AtomicBool::new(false));
    let waits = goes_on.clone();
    server.on_disconnecting(move || {
        let started = std::time::Instant::now();
        while !waits.load(Ordering::SeqCst) && started.elapsed() < LIMIT {
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
    until(|| server.metrics().sockets.value() == 1).await;
}

async fn no_handler_of_an_event_starts_after_the_disconnect(net: Net) {
    let server = net.serve(Server::new());
    let log: Log = Arc::default();
    let events = log.clone();
    server.on_any(|socket: Socket| socket.disconnect());
    server.on("event", move || events.lock().push("event".to_owned()));
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("42[\"event\"]").await;
    assert_eq!(client.next().await, Got::Text("41".to_owned()));
    assert!(log.lock().is_empty());
}

async fn an_extension_may_use_the_socket_when_it_is_dropped(net: Net) {
    struct Leaves(Option<Socket>);
    impl Drop for Leaves {
        fn drop(&mut self) {
            if let Some(socket) = &self.0 {
                socket.leave("room");
            }
        }
    }
    let server = net.serve(Server::new());
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

/// What is decided, and how far the attempts to join are.
struct Attempts {
    /// Those who have connected.
    entered: Mutex<Vec<String>>,
    /// Those whose middleware has begun.
    begun: Mutex<Vec<usize>>,
    /// Lets the middleware of an attempt end.
    decide: [Semaphore; 6],
    /// How many middlewares have ended, or were given up.
    ended: AtomicUsize,
}

/// A namespace whose middleware joins a room, waits until it may decide, and lets in whoever says `ok`.
fn slow(server: &Server) -> Arc<Attempts> {
    #[derive(serde::Deserialize)]
    struct Claim {
        n: usize,
        ok: bool,
    }
    struct Ends(Arc<Attempts>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.ended.fetch_add(1, Ordering::SeqCst);
        }
    }
    let attempts = Arc::new(Attempts {
        entered: Mutex::default(),
        begun: Mutex::default(),
        decide: [const { Semaphore::const_new(0) }; 6],
        ended: AtomicUsize::new(0),
    });
    let slow = server.of("/slow");
    let waiting = attempts.clone();
    slow.middleware(move |socket: Socket| {
        let ends = Ends(waiting.clone());
        async move {
            let claim: Claim = socket.auth().map_err(|error| ConnectError::new(error.to_string()))?;
            socket.join("users").map_err(|error| ConnectError::new(error.to_string()))?;
            ends.0.begun.lock().push(claim.n);
            ends.0.decide[claim.n].acquire().await.expect("it is not closed").forget();
            socket.emit("decided", claim.n);
            if claim.ok { Ok(()) } else { Err(ConnectError::new(format!("not {}", claim.n))) }
        }
    });
    let log = attempts.clone();
    slow.on_connection(move |socket: Socket| {
        let claim: Claim = socket.auth().expect("the middleware has read it");
        log.entered.lock().push(format!("{} {}", claim.n, socket.is_in("users")));
    });
    server.on("echo", |args: Args, ack: Ack| ack.send(args));
    attempts
}

impl Attempts {
    /// Waits until the middleware of this attempt has begun.
    async fn begun(&self, n: usize) {
        until(|| self.begun.lock().contains(&n)).await;
    }

    /// Lets the middleware of this attempt decide, and waits until `count` have ended.
    async fn decide(&self, n: usize, count: usize) {
        self.decide[n].add_permits(1);
        until(|| self.ended.load(Ordering::SeqCst) >= count).await;
    }
}

fn attempt(n: usize, ok: bool) -> String {
    format!("40/slow,{{\"n\":{n},\"ok\":{ok}}}")
}

/// Nothing else has come, and the connection works.
async fn nothing_more(client: &mut WebSocket) {
    client.silence().await;
    client.send("421[\"echo\",1]").await;
    assert_eq!(client.text().await, "431[1]");
}

/// As a page does that renders twice: connect, disconnect, connect. The official client says nothing of the disconnect.
async fn of_two_attempts_to_join_the_last_counts(net: Net) {
    for between in ["", "41/slow,"] {
        for (is_first_quick, ok) in [(true, true), (false, true), (true, false), (false, false)] {
            let server = net.serve(Server::new());
            let attempts = slow(&server);
            let (mut client, _) = WebSocket::joined(&server).await;
            client.send(&attempt(1, ok)).await;
            attempts.begun(1).await;
            if !between.is_empty() {
                client.send(between).await;
            }
            client.send(&attempt(2, true)).await;
            attempts.begun(2).await;
            if is_first_quick {
                attempts.decide(1, 1).await;
            }
            attempts.decide[2].add_permits(1);
            assert_eq!(client.text().await, "42/slow,[\"decided\",2]");
            let answer = client.text().await;
            assert!(answer.starts_with("40/slow,{\"sid\""), "{answer}");
            attempts.decide(1, 2).await;
            nothing_more(&mut client).await;
            until(|| !attempts.entered.lock().is_empty()).await;
            assert_eq!(*attempts.entered.lock(), ["2 true"]);
            let slow = server.of("/slow");
            // The first leaves its room.
            until(|| (slow.sockets().len(), slow.sockets().rooms()[0].1) == (1, 1)).await;
            until(|| server.metrics().sockets.value() == 2).await;
        }
    }
}

async fn a_refusal_of_the_last_attempt_is_told(net: Net) {
    let server = net.serve(Server::new());
    let attempts = slow(&server);
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send(&attempt(1, true)).await;
    attempts.begun(1).await;
    client.send(&attempt(2, false)).await;
    attempts.decide[2].add_permits(1);
    assert_eq!(client.text().await, "42/slow,[\"decided\",2]");
    assert_eq!(client.text().await, "44/slow,{\"message\":\"not 2\"}");
    attempts.decide(1, 2).await;
    nothing_more(&mut client).await;
    assert!(attempts.entered.lock().is_empty());
    until(|| server.metrics().sockets.value() == 1).await;
}

async fn an_attempt_that_is_given_up_lets_nobody_in(net: Net) {
    for ok in [true, false] {
        let server = net.serve(Server::new());
        let attempts = slow(&server);
        let (mut client, _) = WebSocket::joined(&server).await;
        client.send(&attempt(1, ok)).await;
        attempts.begun(1).await;
        client.send("41/slow,").await;
        client.silence().await;
        attempts.decide(1, 1).await;
        nothing_more(&mut client).await;
        until(|| server.of("/slow").sockets().rooms().is_empty()).await;
        assert!(attempts.entered.lock().is_empty());
        until(|| server.metrics().sockets.value() == 1).await;
        // It is not joined, so a DISCONNECT is out of place.
        client.send("41/slow,").await;
        assert_eq!(client.closed().await, None);
    }
}

async fn attempts_that_count_no_more_are_bounded(net: Net) {
    let mut limits = Limits::default();
    limits.max_namespaces = 4;
    let server = net.serve(Server::builder().limits(limits).build());
    let attempts = slow(&server);
    let (mut client, _) = WebSocket::joined(&server).await;
    for n in 1..=4 {
        client.send(&attempt(n, true)).await;
        if n < 4 {
            attempts.begun(n).await;
        }
    }
    let refused = "44/slow,{\"message\":\"Too many namespaces\"}";
    assert_eq!(client.text().await, refused);
    assert_eq!(server.metrics().reached(Bound::Namespaces), 1);
    for n in 1..=3 {
        attempts.decide(n, n).await;
    }
    nothing_more(&mut client).await;
    assert!(attempts.entered.lock().is_empty(), "the client has been told that its last attempt was refused");
    attempts.decide[5].add_permits(1);
    client.send(&attempt(5, true)).await;
    let mut answer = client.text().await;
    while answer == refused {
        // The last of the others is being cleared away.
        client.send(&attempt(5, true)).await;
        answer = client.text().await;
    }
    assert_eq!(answer, "42/slow,[\"decided\",5]");
    assert!(client.text().await.starts_with("40/slow,{"), "there is room again");
}

/// What a POST leaves behind is worked off by a task, while the next POST brings more and the handlers end on other threads.
async fn no_event_is_left_behind_between_a_post_and_the_task_for_its_rest(net: Net) {
    const CLIENTS: usize = 4;
    // Each has a connection of its own over TCP.
    let posts = if matches!(net, Net::Pipe) { 2_000 } else { 100 };
    let mut limits = Limits::default();
    limits.max_handlers = 2;
    let server = net.serve(Server::builder().limits(limits).build());
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
            for _ in 0..posts {
                let post =
                    client.post("42[\"work\"]\u{1e}42[\"work\"]\u{1e}42[\"work\"]\u{1e}42[\"work\"]\u{1e}42[\"work\"]");
                assert_eq!(post.await, (200, "ok".to_owned()));
            }
            client
        });
    }
    // The clients live until all is handled: the end of a session would end its backlog.
    let clients = tokio::time::timeout(ms(60_000), posting.join_all()).await.expect("a POST waits for ever");
    until(|| handled.load(Ordering::Relaxed) == CLIENTS * posts * 5).await;
    drop(clients);
}
