//! How handlers are called: order, waiting, panics, middlewares, arguments.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sockeye::{
    Ack, Args, Auth, Bound, CloseReason, ConnectError, Data, Event, EventContext, Limits, Reason, Rejection, Server,
    Socket, Value,
};
use support::net::{Net, over_both, until};
use support::{Got, Polling, WebSocket};
use tokio::sync::{Notify, Semaphore};

over_both! {
    a_client_is_read_again_when_its_handlers_have_ended,
    arguments_are_taken_from_the_event,
    an_event_that_does_not_fit_is_counted_and_nothing_else,
    binary_goes_both_ways,
    handlers_start_in_order_and_wait_beside_each_other,
    a_sequential_namespace_handles_one_event_at_a_time,
    a_panic_closes_its_own_connection_only,
    connection_middlewares_decide_in_order,
    a_client_that_leaves_during_a_middleware_is_forgotten,
    event_middlewares_and_catch_all_listeners,
    handlers_may_take_what_the_program_defines,
    several_handlers_of_one_event_and_off,
    disconnecting_still_has_the_rooms_and_disconnect_the_reason,
    null_is_an_argument,
    half_of_a_surrogate_pair_is_text_everywhere,
    an_id_that_javascript_cannot_count_closes_nothing,
    acknowledgements_that_nobody_waits_for_are_counted,
    the_handshake_has_the_fields_of_the_official_server,
    listeners_that_panic_are_counted_and_nothing_else,
}

async fn arguments_are_taken_from_the_event(net: Net) {
    let server = net.serve(Server::new());
    server.on("none", |socket: Socket| socket.emit("none", ()));
    server.on("one", |socket: Socket, Data(text): Data<String>| socket.emit("one", text));
    server.on("two", |socket: Socket, Data((a, b)): Data<(u8, Option<u8>)>| socket.emit("two", (a, b)));
    server.on("raw", |socket: Socket, args: Args, Event(name): Event| socket.emit("raw", (name.as_str(), args.len())));
    server.on("ack", |ack: Ack| ack.send(("x", 2)));
    // Whoever comes first leaves the arguments to those behind it.
    server.on("all", |first: Args, ack: Ack, Data(second): Data<u8>, third: Args, context: EventContext| {
        ack.send((first.len(), second, third.len(), context.args().len(), context.event()));
    });
    server.on("moved", |args: Args, socket: Socket, ack: Ack| ack.send((args.len(), socket.is_connected())));
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("421[\"all\",5,6]").await;
    assert_eq!(client.text().await, "431[2,5,2,2,\"all\"]");
    client.send("421[\"moved\",5,6]").await;
    assert_eq!(client.text().await, "431[2,true]");
    client.send("42[\"none\"]").await;
    assert_eq!(client.text().await, "42[\"none\"]");
    client.send("42[\"one\",\"é\"]").await;
    assert_eq!(client.text().await, "42[\"one\",\"é\"]");
    client.send("42[\"two\",1]").await;
    assert_eq!(client.text().await, "42[\"two\",1,null]");
    client.send("42[\"raw\",[],{}]").await;
    assert_eq!(client.text().await, "42[\"raw\",\"raw\",2]");
    client.send("427[\"ack\"]").await;
    assert_eq!(client.text().await, "437[\"x\",2]");
    client.send("42[\"ack\"]").await;
    client.silence().await;
}

async fn an_event_that_does_not_fit_is_counted_and_nothing_else(net: Net) {
    let server = net.serve(Server::new());
    server.on("number", |_: Data<u32>, ack: Ack| ack.send("ok"));
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("421[\"number\",\"text\"]").await;
    client.send("422[\"number\",2]").await;
    assert_eq!(client.text().await, "432[\"ok\"]");
    assert_eq!(server.metrics().rejected_events.value(), 1);
}

async fn binary_goes_both_ways(net: Net) {
    let server = net.serve(Server::new());
    server.on("bin", |socket: Socket, Data((name, data)): Data<(String, Bytes)>, ack: Ack| {
        socket.emit("bin", (data.len(), &data));
        ack.send((name, data));
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("451-9[\"bin\",\"n\",{\"_placeholder\":true,\"num\":0}]").await;
    client.send_binary(&[1, 2, 3]).await;
    assert_eq!(client.text().await, "451-[\"bin\",3,{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(client.next().await, Got::Binary(vec![1, 2, 3]));
    assert_eq!(client.text().await, "461-9[\"n\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(client.next().await, Got::Binary(vec![1, 2, 3]));
}

async fn handlers_start_in_order_and_wait_beside_each_other(net: Net) {
    let server = net.serve(Server::new());
    let log = Arc::new(Mutex::new(Vec::new()));
    let ends = Arc::new([const { Notify::const_new() }; 4]);
    let (seen, waits) = (log.clone(), ends.clone());
    server.on("work", move |Data(n): Data<usize>, ack: Ack| {
        let (seen, waits) = (seen.clone(), waits.clone());
        async move {
            seen.lock().push(format!("start {n}"));
            waits[n].notified().await;
            seen.lock().push(format!("end {n}"));
            ack.send(n);
        }
    });
    server.on("quick", |ack: Ack| async move { ack.send("quick") });
    let (mut client, _) = WebSocket::joined(&server).await;
    for n in 1..=3 {
        client.send(&format!("42{n}[\"work\",{n}]")).await;
    }
    client.send("424[\"quick\"]").await;
    assert_eq!(client.text().await, "434[\"quick\"]", "it does not wait behind the others");
    for n in [3, 2, 1] {
        ends[n].notify_one();
        assert_eq!(client.text().await, format!("43{n}[{n}]"));
    }
    assert_eq!(*log.lock(), ["start 1", "start 2", "start 3", "end 3", "end 2", "end 1"]);
}

async fn a_sequential_namespace_handles_one_event_at_a_time(net: Net) {
    let server = net.serve(Server::new());
    server.sequential();
    server.on("work", |Data(n): Data<u64>, ack: Ack| async move {
        // The later ones would be faster.
        tokio::time::sleep(Duration::from_millis(40 - 10 * n)).await;
        ack.send(n);
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    for n in 1..=3 {
        client.send(&format!("42{n}[\"work\",{n}]")).await;
    }
    for n in 1..=3 {
        assert_eq!(client.text().await, format!("43{n}[{n}]"));
    }
}

async fn a_panic_closes_its_own_connection_only(net: Net) {
    let server = net.serve(Server::new());
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let log = reasons.clone();
    server.on_disconnect(move |Reason(reason): Reason| log.lock().push(reason));
    server.on("at once", |Data(text): Data<Option<u8>>| assert!(text.is_some(), "at once"));
    server.on("later", |Data(text): Data<Option<u8>>| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(text.is_some(), "later");
    });
    server.on("echo", |ack: Ack, args: Args| ack.send(args));
    let (mut other, _) = WebSocket::joined(&server).await;
    for event in ["at once", "later"] {
        let (mut client, _) = WebSocket::joined(&server).await;
        client.send(&format!("42[\"{event}\"]")).await;
        assert_eq!(client.closed().await, None);
    }
    other.send("421[\"echo\",1]").await;
    assert_eq!(other.text().await, "431[1]");
    until(|| reasons.lock().len() == 2).await;
    assert_eq!(*reasons.lock(), [CloseReason::HandlerPanic; 2]);
    until(|| server.metrics().handler_panics.value() == 2).await;
}

/// Over a pipe only: the time of several heartbeats passes.
#[tokio::test(start_paused = true)]
async fn a_client_with_too_many_waiting_handlers_is_not_read() {
    let mut limits = Limits::default();
    limits.max_handlers = 3;
    let server = Server::builder().limits(limits).build();
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, max) = (running.clone(), most.clone());
    server.on("work", move |ack: Ack| {
        let (now, max) = (now.clone(), max.clone());
        async move {
            max.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Longer than a heartbeat may take: what is not read must not count as silence.
            tokio::time::sleep(Duration::from_secs(60)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            ack.send(());
        }
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    for n in 0..9 {
        client.send(&format!("42{n}[\"work\"]")).await;
    }
    let mut answers = Vec::new();
    for _ in 0..9 {
        answers.push(client.text().await);
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(answers, (0..9).map(|n| format!("43{n}[]")).collect::<Vec<_>>());
    assert!(server.metrics().reached(Bound::Handlers) > 0);
    // The same with long-polling: the POST waits.
    let polling = Polling::joined(&server).await;
    let body = ["42[\"work\"]"; 5].join("\u{1e}");
    let pings = async {
        loop {
            let (status, text) = polling.get().await;
            assert_eq!((status, text.as_str()), (200, "2"));
        }
    };
    tokio::select! {
        answer = polling.post(&body) => assert_eq!(answer, (200, "ok".to_owned())),
        () = pings => {}
    }
}

async fn a_client_is_read_again_when_its_handlers_have_ended(net: Net) {
    const EVENTS: usize = 100;
    let mut limits = Limits::default();
    limits.max_handlers = 3;
    let server = net.serve(Server::builder().limits(limits).build());
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let goes_on = Arc::new(Semaphore::new(0));
    let (now, max, gate) = (running.clone(), most.clone(), goes_on.clone());
    server.on("work", move |Data((n, _)): Data<(usize, String)>, ack: Ack| {
        let (now, max, gate) = (now.clone(), max.clone(), gate.clone());
        async move {
            max.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            ack.send(n);
        }
    });
    // More than the backlog, and what is on the way to the server, hold.
    let text = "x".repeat(50_000);
    let (mut client, _) = WebSocket::joined(&server).await;
    let release = async {
        until(|| server.metrics().reached(Bound::Handlers) > 0 && running.load(Ordering::SeqCst) == 3).await;
        goes_on.add_permits(EVENTS);
    };
    let send = async {
        for n in 0..EVENTS {
            client.send(&format!("42{n}[\"work\",{n},\"{text}\"]")).await;
        }
    };
    tokio::join!(send, release);
    let mut answers = Vec::new();
    for _ in 0..EVENTS {
        answers.push(client.text().await);
    }
    answers.sort_unstable();
    let mut expected: Vec<_> = (0..EVENTS).map(|n| format!("43{n}[{n}]")).collect();
    expected.sort_unstable();
    assert_eq!(answers, expected);
    // The same with long-polling: the POST waits.
    let polling = Polling::joined(&server).await;
    let body = (0..10).map(|n| format!("42[\"work\",{n},\"\"]")).collect::<Vec<_>>().join("\u{1e}");
    let release = async {
        until(|| running.load(Ordering::SeqCst) == 3).await;
        goes_on.add_permits(10);
    };
    let (answer, ()) = tokio::join!(polling.post(&body), release);
    assert_eq!(answer, (200, "ok".to_owned()));
    until(|| running.load(Ordering::SeqCst) == 0 && goes_on.available_permits() == 0).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

async fn connection_middlewares_decide_in_order(net: Net) {
    #[derive(serde::Deserialize)]
    struct Login {
        name: Option<String>,
    }
    let server = net.serve(Server::new());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = calls.clone();
    server.middleware(move |socket: Socket| {
        let log = log.clone();
        async move {
            assert!(!socket.is_connected());
            log.lock().push("first");
            tokio::time::sleep(Duration::from_millis(50)).await;
            let login: Login = socket.auth().map_err(|error| ConnectError::new(error.to_string()))?;
            let name =
                login.name.ok_or_else(|| ConnectError::new("no name").with_data(serde_json::json!({"code": 7})))?;
            socket.set_data("name", name);
            Ok(())
        }
    });
    let log = calls.clone();
    server.middleware(move |_| {
        log.lock().push("second");
        async { Ok(()) }
    });
    server.on_connection(|socket: Socket| socket.emit("hello", socket.data::<String>("name")));
    let mut refused = WebSocket::connect(&server).await;
    assert_eq!(refused.text().await, "44{\"message\":\"no name\",\"data\":{\"code\":7}}");
    assert_eq!(*calls.lock(), ["first"]);
    let mut welcome = WebSocket::connect_with(&server, "{\"name\":\"Ada\"}").await;
    assert!(welcome.text().await.starts_with("40{\"sid\""));
    assert_eq!(welcome.text().await, "42[\"hello\",\"Ada\"]");
}

async fn a_client_that_leaves_during_a_middleware_is_forgotten(net: Net) {
    let server = net.serve(Server::new());
    let (waits, goes_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (waiting, gate) = (waits.clone(), goes_on.clone());
    server.middleware(move |_| {
        let (waiting, gate) = (waiting.clone(), gate.clone());
        async move {
            waiting.add_permits(1);
            let _open = gate.acquire().await.unwrap();
            Ok(())
        }
    });
    let connected = Arc::new(AtomicUsize::new(0));
    let count = connected.clone();
    server.on_connection(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    // The end of a socket in another namespace tells when the client is known to be gone.
    let gone = Arc::new(Semaphore::new(0));
    let end = gone.clone();
    server.of("/other").on_disconnect(move || end.add_permits(1));
    let mut client = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    client.text().await;
    client.send("40/other,").await;
    assert!(client.text().await.starts_with("40/other,"));
    client.send("40").await;
    drop(waits.acquire().await.unwrap());
    drop(client);
    drop(gone.acquire().await.unwrap());
    goes_on.add_permits(1);
    until(|| Arc::strong_count(&goes_on) == 2).await;
    assert_eq!(connected.load(Ordering::SeqCst), 0);
    until(|| server.metrics().sockets.value() == 0).await;
    assert!(server.main_namespace().sockets().is_empty());
}

async fn event_middlewares_and_catch_all_listeners(net: Net) {
    let server = net.serve(Server::new());
    let log = Arc::new(Mutex::new(Vec::new()));
    let any = log.clone();
    server.on_any(move |Event(name): Event| any.lock().push(format!("any {}", name.as_str())));
    let outgoing = log.clone();
    server.on_any_outgoing(move |_, name, args| outgoing.lock().push(format!("out {name} {}", args.len())));
    let errors = log.clone();
    server.on_error(move |context, error| errors.lock().push(format!("error {} {error}", context.event())));
    let fallback = log.clone();
    server.on_fallback(move |Event(name): Event| fallback.lock().push(format!("fallback {}", name.as_str())));
    server.event_middleware(|context: EventContext| async move {
        if context.event() == "forbidden" { Err("not allowed".to_owned()) } else { Ok(()) }
    });
    server.on("ok", |socket: Socket| socket.emit("out", (1, 2)));
    server.on("forbidden", |socket: Socket| socket.emit("never", ()));
    let (mut client, _) = WebSocket::joined(&server).await;
    for event in ["ok", "forbidden", "unknown"] {
        client.send(&format!("42[\"{event}\"]")).await;
    }
    assert_eq!(client.text().await, "42[\"out\",1,2]");
    client.silence().await;
    until(|| log.lock().len() >= 6).await;
    assert_eq!(
        *log.lock(),
        ["any ok", "out out 2", "any forbidden", "error forbidden not allowed", "any unknown", "fallback unknown"]
    );
    until(|| server.metrics().unhandled_events.value() == 1).await;
}

async fn handlers_may_take_what_the_program_defines(net: Net) {
    struct User(String);
    impl sockeye::FromEvent for User {
        fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
            context.socket().data("user").map(Self).ok_or_else(|| Rejection::new("nobody is logged in"))
        }
    }
    let server = net.serve(Server::new());
    server.on_connection(|socket: Socket, Auth(auth): Auth<serde_json::Value>| socket.set_data("user", &auth["user"]));
    server.on("who", |User(name): User, ack: Ack| ack.send(name));
    let mut client = WebSocket::connect_with(&server, "{\"user\":\"Grace\"}").await;
    client.text().await;
    client.send("421[\"who\"]").await;
    assert_eq!(client.text().await, "431[\"Grace\"]");
}

async fn several_handlers_of_one_event_and_off(net: Net) {
    let server = net.serve(Server::new());
    for n in 0..2 {
        server.on("x", move |socket: Socket| socket.emit("from", n));
    }
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("42[\"x\"]").await;
    assert_eq!(client.text().await, "42[\"from\",0]");
    assert_eq!(client.text().await, "42[\"from\",1]");
    server.off("x");
    client.send("42[\"x\"]").await;
    client.silence().await;
}

async fn disconnecting_still_has_the_rooms_and_disconnect_the_reason(net: Net) {
    let server = net.serve(Server::new());
    let log = Arc::new(Mutex::new(Vec::new()));
    server.on_connection(|socket: Socket| socket.join("room"));
    let first = log.clone();
    server.on_disconnecting(move |socket: Socket| first.lock().push(format!("disconnecting {}", socket.rooms().len())));
    let second = log.clone();
    server.on_disconnect(move |socket: Socket, Reason(reason): Reason| {
        second.lock().push(format!("disconnect {} {reason} {}", socket.rooms().len(), socket.is_connected()));
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("41").await;
    client.silence().await;
    until(|| log.lock().len() == 2).await;
    assert_eq!(*log.lock(), ["disconnecting 2", "disconnect 0 client namespace disconnect false"]);
    client.send("40").await;
    assert!(client.text().await.starts_with("40"), "it can join again on the same connection");
}

/// As Node.js: what is given is what arrives.
async fn null_is_an_argument(net: Net) {
    #[derive(serde::Serialize)]
    struct Pair(u8, u8);
    let server = net.serve(Server::new());
    server.on("answers", |socket: Socket, ack: Ack, Data(which): Data<u8>| match which {
        0 => ack.send(()),
        1 => ack.send(Value::Null),
        2 => ack.send(serde_json::Value::Null),
        3 => ack.send(None::<u8>),
        4 => ack.send(((),)),
        5 => ack.send([1, 2]),
        6 => ack.send(Pair(1, 2)),
        7 => ack.send((1, [2])),
        _ => {
            socket.emit("e", Value::Null);
            socket.emit("e", [1, 2, 3]);
            socket.emit("e", vec![1, 2, 3]);
            socket.server().emit("e", ());
        }
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    for (which, answer) in
        ["[]", "[null]", "[null]", "[null]", "[null]", "[[1,2]]", "[[1,2]]", "[1,[2]]"].iter().enumerate()
    {
        client.send(&format!("42{which}[\"answers\",{which}]")).await;
        assert_eq!(client.text().await, format!("43{which}{answer}"));
    }
    client.send("42[\"answers\",100]").await;
    for event in ["[\"e\",null]", "[\"e\",[1,2,3]]", "[\"e\",[1,2,3]]", "[\"e\"]"] {
        assert_eq!(client.text().await, format!("42{event}"));
    }
}

/// A text that was cut in the middle of an emoji, as `"🎉".slice(0, 1)`.
async fn half_of_a_surrogate_pair_is_text_everywhere(net: Net) {
    #[derive(serde::Deserialize)]
    struct Login {
        name: String,
    }
    let server = net.serve(Server::new());
    server.on_connection(|socket: Socket, Auth(login): Auth<Login>| socket.emit("hello", login.name));
    server.on("text", |Data(text): Data<String>, ack: Ack| ack.send(text));
    server.on("any", |Data((text, any)): Data<(String, serde_json::Value)>, ack: Ack| ack.send((text, any)));
    server.on("room", |socket: Socket, Data(room): Data<String>, ack: Ack| {
        let joined = socket.join(room.as_str()).is_ok();
        ack.send((joined, socket.is_in("r\u{fffd}")));
    });
    server.on("\u{fffd}", |Event(name): Event, ack: Ack| ack.send(name.as_str()));
    server.on("relay", |args: Args, ack: Ack| ack.send(args));
    server.on("ask", |socket: Socket| async move {
        let answer: Result<String, _> = socket.emit_with_ack("question", ()).await;
        socket.emit("answer", answer.unwrap());
    });
    server.of_function(|_, auth| async move { auth["name"] == "Zoë \u{fffd}" }).on_connection(|| ());
    let auth = "{\"name\":\"Zoë \\ud83c\"}";
    let mut client = WebSocket::connect_with(&server, auth).await;
    assert!(client.text().await.starts_with("40{"));
    assert_eq!(client.text().await, "42[\"hello\",\"Zoë \u{fffd}\"]");
    for (event, answer) in [
        ("\"text\",\"\\udf89\"", "\"\u{fffd}\""),
        ("\"any\",\"\\ud83c\",{\"\\ud83c\":1}", "\"\u{fffd}\",{\"\u{fffd}\":1}"),
        ("\"room\",\"r\\ud83c\"", "true,true"),
        ("\"\\ud83c\"", "\"\u{fffd}\""),
        // What is not read stays what it was.
        ("\"relay\",\"\\ud83c\"", "\"\\ud83c\""),
    ] {
        client.send(&format!("421[{event}]")).await;
        assert_eq!(client.text().await, format!("431[{answer}]"));
    }
    client.send("42[\"ask\"]").await;
    assert_eq!(client.text().await, "420[\"question\"]");
    client.send("430[\"\\ud83c\"]").await;
    assert_eq!(client.text().await, "42[\"answer\",\"\u{fffd}\"]");
    client.send(&format!("40/child,{auth}")).await;
    let answer = client.text().await;
    assert!(answer.starts_with("40/child,{"), "{answer}");
    let found = server.fetch_sockets().await.unwrap();
    assert_eq!(found.answers[0].handshake()["auth"]["name"], "Zoë \u{fffd}");
}

/// The official server rounds them, and answers.
async fn an_id_that_javascript_cannot_count_closes_nothing(net: Net) {
    let server = net.serve(Server::new());
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    server.on("echo", move |args: Args, ack: Ack| {
        count.fetch_add(1, Ordering::SeqCst);
        ack.send(args);
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("429007199254740993[\"echo\",1]").await;
    assert_eq!(client.text().await, "439007199254740993[1]");
    client.send("42999999999999999999999999[\"echo\",2]").await;
    client.send("43999999999999999999999999[]").await;
    client.send("421[\"echo\",3]").await;
    assert_eq!(client.text().await, "431[3]", "nobody could be answered with the other number");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(server.metrics().unasked_acks.value(), 1);
}

async fn acknowledgements_that_nobody_waits_for_are_counted(net: Net) {
    let server = net.serve(Server::new());
    server.on("ask", |socket: Socket, Data(milliseconds): Data<u64>| async move {
        let timeout = Duration::from_millis(milliseconds);
        let late: Result<Args, _> = socket.timeout(timeout).emit_with_ack("question", ()).await;
        socket.emit("late", late.is_err());
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("437[1]").await;
    client.send("43[1]").await;
    client.send("42[\"ask\",1]").await;
    assert_eq!(client.text().await, "420[\"question\"]");
    assert_eq!(client.text().await, "42[\"late\",true]");
    client.send("430[]").await;
    client.send("42[\"ask\",30000]").await;
    assert_eq!(client.text().await, "421[\"question\"]");
    client.send("431[]").await;
    assert_eq!(client.text().await, "42[\"late\",false]");
    assert_eq!(server.metrics().unasked_acks.value(), 3);
}

async fn the_handshake_has_the_fields_of_the_official_server(net: Net) {
    let server = net.serve(Server::new());
    let slot: Arc<Mutex<Option<Socket>>> = Arc::default();
    let kept = slot.clone();
    server.on_connection(move |socket: Socket| *kept.lock() = Some(socket));
    let headers = "Origin: http://a.example\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\
                   User-Agent: one\r\nUser-Agent: two\r\nCookie: a=1\r\nCookie: b=2\r\n";
    let query = "EIO=4&transport=websocket&tag=a&tag=b%20c&tag=d";
    let mut client = WebSocket::open_with(&server, query, headers, 1 << 20).await.unwrap();
    client.text().await;
    client.send("40{\"token\":\"t\"}").await;
    client.text().await;
    let socket = slot.lock().take().unwrap();
    let handshake = socket.handshake();
    let issued = handshake["issued"].as_u64().unwrap();
    let opened = socket.request().issued().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(u128::from(issued) >= opened && u128::from(issued) < opened + 60_000, "{issued} {opened}");
    let time = handshake["time"].as_str().unwrap();
    let is_form = |(one, other): (char, char)| one == other || (one.is_alphanumeric() && other.is_alphanumeric());
    let form = "Tue Dec 01 2026 02:40:57 GMT+0000 (Coordinated Universal Time)";
    assert!(time.len() == form.len() && time.chars().zip(form.chars()).all(is_form), "{time}");
    assert_eq!(handshake["headers"]["x-forwarded-for"], "1.1.1.1, 2.2.2.2");
    assert_eq!(handshake["headers"]["user-agent"], "one");
    assert_eq!(handshake["headers"]["cookie"], "a=1; b=2");
    assert_eq!(handshake["query"]["tag"], serde_json::json!(["a", "b c", "d"]));
    assert_eq!(handshake["query"]["EIO"], "4");
    assert_eq!(handshake["url"], format!("/socket.io/?{query}"));
    assert_eq!((&handshake["xdomain"], &handshake["secure"]), (&true.into(), &false.into()));
    assert_eq!(handshake["auth"], serde_json::json!({"token": "t"}));
    assert!(handshake.as_object().unwrap().contains_key("address"));
}

/// What the program hears of is no reason to close anybody.
async fn listeners_that_panic_are_counted_and_nothing_else(net: Net) {
    let server = net.serve(Server::new());
    server.on_any_outgoing(|_, _, _| panic!("on purpose"));
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    server.on_any_outgoing(move |_, _, _| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    server.on_new_namespace(|_| panic!("on purpose"));
    server.of_function(|_, _| async { true }).on_connection(|| ());
    server.on("get", |socket: Socket| {
        socket.emit("one", ());
        socket.server().emit("all", ());
    });
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("42[\"get\"]").await;
    assert_eq!(client.text().await, "42[\"one\"]");
    assert_eq!(client.text().await, "42[\"all\"]");
    client.send("40/child,").await;
    assert!(client.text().await.starts_with("40/child,{"));
    assert_eq!((heard.load(Ordering::SeqCst), server.metrics().handler_panics.value()), (2, 3));
}
