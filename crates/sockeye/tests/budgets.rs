//! The budgets in bytes: whoever holds most is refused or closed, the others are served, and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use sockeye::{Ack, Args, Bound, Budgets, CloseReason, Data, Holder, Limits, Reason, Server, ServerBuilder, Socket};
use sockeye_websocket::{OpCode, write_header};
use support::{Got, Polling, WebSocket, request};
use tokio::sync::Notify;

type Reasons = Arc<Mutex<Vec<CloseReason>>>;

/// A server with one small budget.
fn server(holder: Holder, bytes: usize) -> (Server, Reasons) {
    let mut budgets = Budgets::of(1 << 30);
    budgets.set(holder, bytes);
    build(Server::builder().budgets(budgets))
}

fn build(builder: ServerBuilder) -> (Server, Reasons) {
    let server = builder.build();
    let reasons = Reasons::default();
    let log = reasons.clone();
    server.on_disconnect(move |Reason(reason): Reason| log.lock().push(reason));
    server.on("echo", |ack: Ack, args: Args| ack.send(args));
    server.on("join", |socket: Socket, Data(room): Data<String>, ack: Ack| {
        socket.join(room).unwrap();
        ack.send(());
    });
    server.on("room", |socket: Socket, Data((room, text)): Data<(String, String)>| {
        socket.to(room).emit("room", text);
    });
    (server, reasons)
}

/// Waits for what must come about, in virtual time.
async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), wait).await.expect("it comes about");
}

/// The first bytes of a text message of 90,000 bytes.
fn unfinished(bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    write_header(&mut frame, OpCode::Text, false, 90_000);
    // What a server writes has no mask; a client sets the bit, and gives a key.
    frame[1] |= 0x80;
    frame.extend_from_slice(&[0; 4]);
    frame.extend(std::iter::repeat_n(b'4', bytes));
    frame
}

#[tokio::test(start_paused = true)]
async fn unfinished_messages_stay_within_the_budget() {
    let (server, _) = server(Holder::Incoming, 400_000);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let (mut client, _) = WebSocket::joined(&server).await;
        client.write(&unfinished(80_000)).await;
        clients.push(client);
    }
    until(|| server.metrics().closed(CloseReason::Overload) >= 10).await;
    assert!(server.ledger().held(Holder::Incoming) <= 400_000);
    assert!(server.ledger().refused(Holder::Incoming) >= 10);
    // Somebody else who sends a message in two pieces is served.
    let (mut other, _) = WebSocket::joined(&server).await;
    other.send("421[\"echo\",1]").await;
    assert_eq!(other.text().await, "431[1]");
    let last = clients.last_mut().unwrap();
    assert_eq!(last.next().await, Got::End, "the transport closes, and clients come back");
    drop((clients, other));
    until(|| server.ledger().held(Holder::Incoming) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn attachments_that_do_not_end_stay_within_the_budget() {
    let (server, reasons) = server(Holder::Incoming, 300_000);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let (mut client, _) = WebSocket::joined(&server).await;
        client.send("452-[\"x\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]").await;
        client.send_binary(&[0; 60_000]).await;
        clients.push(client);
    }
    until(|| reasons.lock().len() >= 5).await;
    assert!(reasons.lock().iter().all(|reason| *reason == CloseReason::Overload));
    assert!(server.ledger().held(Holder::Incoming) <= 300_000);
    drop(clients);
    until(|| server.ledger().held(Holder::Incoming) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_much_for_the_budget_is_answered_503() {
    let (server, reasons) = server(Holder::Incoming, 60_000);
    let polling = Polling::joined(&server).await;
    let (status, _) = polling.post(&format!("42[\"echo\",\"{}\"]", "x".repeat(80_000))).await;
    assert_eq!(status, 503);
    assert_eq!(*reasons.lock(), [CloseReason::Overload]);
    assert_eq!(server.ledger().held(Holder::Incoming), 0);
    let polling = Polling::joined(&server).await;
    assert_eq!(polling.post("421[\"echo\",1]").await.0, 200);
    assert_eq!(polling.get().await, (200, "431[1]".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn headers_that_are_kept_stay_within_the_budget() {
    let (server, _) = server(Holder::Requests, 400_000);
    let mut refused = 0;
    for number in 0..40 {
        let header = format!("{number}{}", "x".repeat(20_000));
        let headers = [("x-own", header.as_str())];
        let target = "/socket.io/?EIO=4&transport=polling";
        let (status, ..) = request(&server, Method::GET, target, &headers, "").await;
        refused += usize::from(status == 503);
    }
    assert!((20..40).contains(&refused), "{refused}");
    assert!(server.ledger().held(Holder::Requests) <= 400_000);
    let _small = Polling::joined(&server).await;
}

#[tokio::test(start_paused = true)]
async fn auth_that_is_kept_stays_within_the_budget() {
    let (server, reasons) = server(Holder::Auth, 400_000);
    let auth = format!("{{\"token\":\"{}\"}}", "x".repeat(50_000));
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(WebSocket::connect_with(&server, &auth).await);
    }
    until(|| server.metrics().closed(CloseReason::Overload) >= 6).await;
    assert!(server.ledger().held(Holder::Auth) <= 400_000);
    assert!(reasons.lock().is_empty(), "they joined nothing");
    // Not a connect error, from which clients do not come back: the transport closes.
    assert_eq!(clients.last_mut().unwrap().next().await, Got::End);
    let (small, _) = WebSocket::joined(&server).await;
    drop((clients, small));
    until(|| server.ledger().held(Holder::Auth) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn events_of_waiting_handlers_stay_within_the_budget() {
    let (server, _) = server(Holder::Events, 600_000);
    let gate = Arc::new(Notify::new());
    let waiting = gate.clone();
    server.on("wait", move |args: Args| {
        let waiting = waiting.clone();
        async move {
            waiting.notified().await;
            drop(args);
        }
    });
    let event = format!("42[\"wait\",\"{}\"]", "x".repeat(20_000));
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (mut client, _) = WebSocket::joined(&server).await;
        for _ in 0..40 {
            // One that is read no further does not take more than the pipe holds.
            let sent = tokio::time::timeout(Duration::from_millis(100), client.send(&event)).await;
            if sent.is_err() {
                break;
            }
        }
        clients.push(client);
    }
    until(|| server.metrics().closed(CloseReason::Overload) > 0).await;
    assert!(server.ledger().held(Holder::Events) <= 700_000, "{}", server.ledger().held(Holder::Events));
    let (mut other, _) = WebSocket::joined(&server).await;
    other.send("421[\"echo\",1]").await;
    assert_eq!(other.text().await, "431[1]");
    drop(clients);
    let opened = gate.clone();
    tokio::spawn(async move {
        loop {
            opened.notify_waiters();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    until(|| server.ledger().held(Holder::Events) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_charged_once_for_all() {
    let (server, reasons) = server(Holder::Outboxes, 2 << 20);
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut client = WebSocket::open_with(&server, "EIO=4&transport=websocket", "", 4096).await.unwrap();
        client.text().await;
        client.send("40").await;
        client.text().await;
        slow.push(client);
    }
    // One broadcast of 100 kB waits for fifty clients: it is there once.
    server.emit("e", "x".repeat(100_000));
    until(|| server.ledger().held(Holder::Outboxes) > 100_000).await;
    assert!(server.ledger().held(Holder::Outboxes) < 200_000, "{}", server.ledger().held(Holder::Outboxes));
    assert!(reasons.lock().is_empty());
    // What each has for itself is there each time.
    server.on("own", |socket: Socket| socket.emit("own", "x".repeat(100_000)));
    for client in &mut slow {
        client.send("42[\"own\"]").await;
    }
    until(|| !reasons.lock().is_empty()).await;
    assert!(reasons.lock().iter().all(|reason| *reason == CloseReason::SlowConsumer));
    assert!(server.ledger().held(Holder::Outboxes) <= 2 << 20);
    drop(slow);
    until(|| server.ledger().held(Holder::Outboxes) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn responses_that_nobody_reads_are_held_within_the_bound_of_one_client() {
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 300_000;
    let (server, reasons) = build(Server::builder().limits(limits));
    let polling = Polling::joined(&server).await;
    let mut unread = Vec::new();
    for _ in 0..10 {
        server.emit("e", "x".repeat(100_000));
        let mut request =
            http::Request::get(polling.target()).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        request.extensions_mut().insert(sockeye::RemoteAddr(([127, 0, 0, 1], 4000).into()));
        let response = tower_service::Service::call(&mut server.service(sockeye::NotFound), request).await.unwrap();
        // Kept, as by an HTTP library whose client does not read.
        unread.push(response);
    }
    until(|| !reasons.lock().is_empty()).await;
    assert_eq!(*reasons.lock(), [CloseReason::SlowConsumer]);
    assert!(server.ledger().held(Holder::Responses) <= 310_000);
    drop(unread);
    until(|| server.ledger().held(Holder::Responses) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn memberships_in_rooms_stay_within_the_budget_and_are_given_back() {
    let (server, _) = server(Holder::Rooms, 300_000);
    server.on("rooms", |socket: Socket, ack: Ack| {
        let rooms: Vec<String> = (0..500).map(|number| format!("{}-{number}", socket.id())).collect();
        ack.send(socket.join(rooms).is_ok());
    });
    let mut clients = Vec::new();
    let mut refused = 0;
    for _ in 0..6 {
        let (mut client, _) = WebSocket::joined(&server).await;
        client.send("421[\"rooms\"]").await;
        refused += usize::from(client.text().await == "431[false]");
        clients.push(client);
    }
    assert!((3..6).contains(&refused), "{refused}");
    assert!(server.ledger().held(Holder::Rooms) <= 300_000);
    // One who wants few rooms gets them.
    let small = member(&server, 1 << 16).await;
    drop((clients, small));
    until(|| server.ledger().held(Holder::Rooms) == 0).await;
}

/// A member of a room that reads slowly or not at all.
async fn member(server: &Server, pipe: usize) -> WebSocket {
    let mut client = WebSocket::open_with(server, "EIO=4&transport=websocket", "", pipe).await.unwrap();
    client.text().await;
    client.send("40").await;
    client.text().await;
    client.send("421[\"join\",\"r\"]").await;
    assert_eq!(client.text().await, "431[]");
    client
}

#[tokio::test(start_paused = true)]
async fn who_floods_a_room_is_slowed_down_and_costs_nobody_the_connection() {
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 200_000;
    limits.max_behind_bytes = 50_000;
    let (server, reasons) = build(Server::builder().limits(limits).max_http_buffer_size(20_000));
    let mut members = Vec::new();
    for _ in 0..20 {
        members.push(member(&server, 4096).await);
    }
    let events = 1_000;
    let readers: Vec<_> = members
        .into_iter()
        .map(|mut member| {
            tokio::spawn(async move {
                let mut got = 0;
                while got < events {
                    // A reader that needs longer for an event than the sender.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    assert!(member.text().await.starts_with("42[\"room\","));
                    got += 1;
                }
                member
            })
        })
        .collect();
    let (mut sender, _) = WebSocket::joined(&server).await;
    let event = format!("42[\"room\",\"r\",\"{}\"]", "x".repeat(1_000));
    for _ in 0..events {
        sender.send(&event).await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(reasons.lock().is_empty(), "{:?}", reasons.lock());
    assert!(server.metrics().reached(Bound::Behind) > 0);
    sender.send("421[\"echo\",1]").await;
    assert_eq!(sender.text().await, "431[1]", "it is read again");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_at_all_holds_up_a_sender_only_for_a_while() {
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 100_000;
    limits.max_behind_bytes = 30_000;
    let (server, reasons) = build(Server::builder().limits(limits).max_http_buffer_size(20_000));
    let deaf = member(&server, 4096).await;
    let (mut sender, _) = WebSocket::joined(&server).await;
    let event = format!("42[\"room\",\"r\",\"{}\"]", "x".repeat(1_000));
    for _ in 0..200 {
        sender.send(&event).await;
    }
    // The one that does not read is closed at its own bound, as if nobody had waited.
    until(|| !reasons.lock().is_empty()).await;
    assert_eq!(*reasons.lock(), [CloseReason::SlowConsumer]);
    sender.send("421[\"echo\",1]").await;
    assert_eq!(sender.text().await, "431[1]");
    drop(deaf);
}

#[tokio::test(start_paused = true)]
async fn many_senders_at_once_are_closed_before_their_recipients() {
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 300_000;
    limits.max_behind_bytes = 50_000;
    let (server, reasons) = build(Server::builder().limits(limits));
    let mut members = Vec::new();
    for _ in 0..5 {
        members.push(member(&server, 4096).await);
    }
    let event = format!("42[\"room\",\"r\",\"{}\"]", "x".repeat(100_000));
    let mut senders = Vec::new();
    for _ in 0..10 {
        let (mut sender, _) = WebSocket::joined(&server).await;
        sender.send(&event).await;
        senders.push(sender);
    }
    until(|| reasons.lock().len() >= 5).await;
    assert!(reasons.lock().iter().all(|reason| *reason == CloseReason::Overload), "{:?}", reasons.lock());
    for member in &mut members {
        assert!(member.text().await.starts_with("42[\"room\","), "the members are all there");
    }
}
