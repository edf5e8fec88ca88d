//! Every bound of the options, reached: the answer, the counter, and that the server goes on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use sockeye::{Ack, Args, Bound, CloseReason, Limits, Reason, Server, ServerBuilder, Socket};
use support::net::{Net, Served, over_both, until};
use support::{Got, Polling, WebSocket, request};
use tokio::sync::Semaphore;

over_both! {
    a_flood_of_websocket_pings_is_bounded_by_the_outbox,
    a_client_that_does_not_read_is_closed_as_slow_consumer,
    a_long_polling_client_that_does_not_poll_is_closed_too,
    one_large_message_always_fits,
    volatile_events_are_dropped_for_who_is_not_ready,
    payloads_over_the_limit,
    attachments_over_their_number_and_their_bytes,
    values_that_are_nested_too_deep,
    connections,
    handshakes_that_are_being_answered,
    bytes_that_are_no_websocket_frames,
    packets_that_the_state_does_not_allow,
    an_event_before_the_connect_ends_the_session,
}

fn server(net: Net, change: impl FnOnce(&mut Limits)) -> (Served, Arc<Mutex<Vec<CloseReason>>>) {
    let mut limits = Limits::default();
    change(&mut limits);
    build(net, Server::builder().limits(limits))
}

fn build(net: Net, builder: ServerBuilder) -> (Served, Arc<Mutex<Vec<CloseReason>>>) {
    let server = net.serve(builder.build());
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let log = reasons.clone();
    server.on_disconnect(move |Reason(reason): Reason| log.lock().push(reason));
    server.on("echo", |ack: Ack, args: Args| ack.send(args));
    (server, reasons)
}

const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

async fn a_client_that_does_not_read_is_closed_as_slow_consumer(net: Net) {
    let (server, reasons) = server(net, |limits| limits.max_outbox_bytes = 50_000);
    // A pipe of 4 KiB, or the kernel's buffers.
    let mut slow = WebSocket::open_with(&server, "EIO=4&transport=websocket", "", 4096).await.unwrap();
    slow.text().await;
    slow.send("40").await;
    slow.text().await;
    let (mut quick, _) = WebSocket::joined(&server).await;
    let text = "x".repeat(20_000);
    for n in 0.. {
        server.emit("e", (n, &text));
        assert!(quick.text().await.starts_with(&format!("42[\"e\",{n},")), "the others get everything");
        if !reasons.lock().is_empty() {
            break;
        }
        assert!(n < 10_000, "the kernel does not hold as much");
    }
    assert_eq!(*reasons.lock(), [CloseReason::SlowConsumer]);
    assert_eq!(server.metrics().reached(Bound::Outbox), 1);
    assert_eq!(server.metrics().closed(CloseReason::SlowConsumer), 1);
}

async fn a_long_polling_client_that_does_not_poll_is_closed_too(net: Net) {
    let (server, reasons) = server(net, |limits| limits.max_outbox_bytes = 10_000);
    let polling = Polling::joined(&server).await;
    for _ in 0..20 {
        server.emit("e", "x".repeat(1000));
    }
    until(|| !reasons.lock().is_empty()).await;
    assert_eq!(*reasons.lock(), [CloseReason::SlowConsumer]);
    drop(polling);
}

async fn one_large_message_always_fits(net: Net) {
    let (server, reasons) = server(net, |limits| limits.max_outbox_bytes = 10_000);
    let (mut client, _) = WebSocket::joined(&server).await;
    server.emit("e", "x".repeat(100_000));
    assert_eq!(client.text().await.len(), 100_000 + "42[\"e\",\"\"]".len());
    assert!(reasons.lock().is_empty());
}

async fn volatile_events_are_dropped_for_who_is_not_ready(net: Net) {
    let (server, reasons) = server(net, |_| {});
    let polling = Polling::joined(&server).await;
    server.volatile().emit("e", 1);
    server.emit("e", 2);
    assert_eq!(polling.get().await, (200, "42[\"e\",2]".to_owned()));
    assert_eq!(server.metrics().volatile_dropped.value(), 1);
    let (mut ready, _) = WebSocket::joined(&server).await;
    server.volatile().emit("e", 3);
    assert_eq!(ready.text().await, "42[\"e\",3]");
    assert!(reasons.lock().is_empty());
}

async fn payloads_over_the_limit(net: Net) {
    let (server, reasons) = build(net, Server::builder().max_http_buffer_size(1000));
    let polling = Polling::joined(&server).await;
    assert_eq!(polling.post(&format!("42[\"{}\"]", "x".repeat(1000))).await, (413, String::new()));
    polling.post("421[\"echo\",1]").await;
    assert_eq!(polling.get().await, (200, "431[1]".to_owned()), "the session goes on");
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send(&format!("42[\"{}\"]", "x".repeat(1000))).await;
    assert_eq!(client.closed().await, Some(1009));
    until(|| !reasons.lock().is_empty()).await;
    assert_eq!(*reasons.lock(), [CloseReason::TransportError]);
    assert_eq!(server.metrics().reached(Bound::Payload), 2);
}

async fn attachments_over_their_number_and_their_bytes(net: Net) {
    let (server, reasons) = server(net, |limits| limits.max_attachment_bytes = 100);
    let place =
        |n: usize| (0..n).map(|i| format!("{{\"_placeholder\":true,\"num\":{i}}}")).collect::<Vec<_>>().join(",");
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send(&format!("4511-[\"x\",{}]", place(11))).await;
    assert_eq!(client.closed().await, None);
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send(&format!("452-[\"x\",{}]", place(2))).await;
    client.send_binary(&[0; 60]).await;
    client.send_binary(&[0; 60]).await;
    assert_eq!(client.closed().await, None);
    until(|| reasons.lock().len() >= 2).await;
    assert_eq!(*reasons.lock(), [CloseReason::ForcedClose; 2]);
}

async fn values_that_are_nested_too_deep(net: Net) {
    let (server, reasons) = server(net, |limits| limits.max_depth = 20);
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send(&format!("421[\"echo\",{}{}]", "[".repeat(15), "]".repeat(15))).await;
    assert!(client.text().await.starts_with("431[["));
    client.send(&format!("421[\"echo\",{}{}]", "[".repeat(30), "]".repeat(30))).await;
    assert_eq!(client.closed().await, None);
    until(|| !reasons.lock().is_empty()).await;
    assert_eq!(*reasons.lock(), [CloseReason::ForcedClose]);
}

/// Over a pipe only: to the bound, a pipe has no address, and over TCP the session of the same address would make room.
#[tokio::test(start_paused = true)]
async fn sessions_that_joined_nothing() {
    let (server, _) = server(Net::Pipe, |limits| limits.max_unjoined = 1);
    let _waiting = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    until(|| server.metrics().unjoined.value() == 1).await;
    let (status, head, _) = request(&server, Method::GET, HANDSHAKE, &[], "").await;
    assert_eq!((status, head.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    assert_eq!(server.metrics().reached(Bound::Unjoined), 1);
}

async fn connections(net: Net) {
    let (server, _) = server(net, |limits| limits.max_connections = 2);
    let first = WebSocket::joined(&server).await;
    let _second = WebSocket::joined(&server).await;
    let (status, head, _) = request(&server, Method::GET, HANDSHAKE, &[], "").await;
    assert_eq!((status, head.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    let refused = WebSocket::open_with(&server, "EIO=4&transport=websocket", "", 4096).await;
    assert!(refused.err().unwrap().starts_with("HTTP/1.1 503"));
    assert_eq!(server.metrics().reached(Bound::Connections), 2);
    drop(first);
    while WebSocket::open_with(&server, "EIO=4&transport=websocket", "", 4096).await.is_err() {
        // The end of the first is still to be noticed.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn handshakes_that_are_being_answered(net: Net) {
    let mut limits = Limits::default();
    limits.max_handshakes = 1;
    let goes_on = Arc::new(Semaphore::new(0));
    let gate = goes_on.clone();
    let builder = Server::builder().limits(limits).allow_request(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(())
        }
    });
    let (server, _) = build(net, builder);
    let slow = tokio::spawn({
        let server = server.clone();
        async move { request(&server, Method::GET, HANDSHAKE, &[], "").await.0 }
    });
    until(|| server.metrics().handshakes.value() == 1).await;
    assert_eq!(request(&server, Method::GET, HANDSHAKE, &[], "").await.0, 503);
    goes_on.add_permits(1);
    assert_eq!(slow.await.unwrap(), 200);
    assert_eq!(server.metrics().handshakes.value(), 0);
    assert_eq!(server.metrics().reached(Bound::Handshakes), 1);
}

async fn a_flood_of_websocket_pings_is_bounded_by_the_outbox(net: Net) {
    let (server, reasons) = server(net, |limits| limits.max_outbox_bytes = 20_000);
    let mut client = WebSocket::open_with(&server, "EIO=4&transport=websocket", "", 1024).await.unwrap();
    client.text().await;
    client.send("40").await;
    client.text().await;
    let mut ping = vec![0x89, 0x80 | 100, 0, 0, 0, 0];
    ping.resize(106, b'x');
    let pings = ping.repeat(100);
    let flood = async {
        while reasons.lock().is_empty() {
            client.write(&pings).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = flood => {}
        () = until(|| !reasons.lock().is_empty()) => {}
    }
    assert_eq!(*reasons.lock(), [CloseReason::SlowConsumer]);
}

async fn bytes_that_are_no_websocket_frames(net: Net) {
    let (server, reasons) = server(net, |_| {});
    // Reserved bits, an unknown opcode, an unmasked frame, a control frame that is too long, a wild close code.
    for (bytes, code) in [
        (&[0xf1, 0x80, 0, 0, 0, 0][..], 1002),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x01, b'3'], 1002),
        (&[0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0], 1002),
        (&[0x88, 0x82, 0, 0, 0, 0, 0x00, 0x01], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
    ] {
        let (mut client, _) = WebSocket::joined(&server).await;
        client.write(bytes).await;
        assert_eq!(client.closed().await, Some(code), "{bytes:?}");
        client.write(&[0xff; 100_000]).await; // what still comes is not looked at
    }
    until(|| reasons.lock().len() == 6).await;
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("421[\"echo\"]").await;
    assert_eq!(client.text().await, "431[]");
}

async fn packets_that_the_state_does_not_allow(net: Net) {
    let (server, reasons) = server(net, |_| {});
    for (packet, reason) in [
        ("40", CloseReason::ForcedServerClose),
        ("42/other,[\"x\"]", CloseReason::ForcedServerClose),
        ("44{}", CloseReason::ForcedServerClose),
        ("42", CloseReason::ForcedClose),
        ("42[]", CloseReason::ForcedClose),
        ("42[\"disconnect\"]", CloseReason::ForcedClose),
        ("42[{\"toString\":1}]", CloseReason::ForcedClose),
        ("451-[\"x\",{\"_placeholder\":true,\"num\":\"splice\"}]", CloseReason::ForcedClose),
        ("450-[\"x\"]", CloseReason::ForcedClose),
        ("49", CloseReason::ForcedClose),
        ("2", CloseReason::TransportError),
        ("9", CloseReason::ParseError),
        ("1", CloseReason::TransportClose),
    ] {
        let (mut client, _) = WebSocket::joined(&server).await;
        client.send(packet).await;
        assert_eq!(client.closed().await, None, "{packet}");
        until(|| !reasons.lock().is_empty()).await;
        assert_eq!(reasons.lock().pop(), Some(reason), "{packet}");
    }
    // A client may send an event named `error` without a listener, and acknowledgements that nobody waits for.
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("42[\"error\",{}]").await;
    client.send("437[]").await;
    client.send("421[\"echo\",\"__proto__\"]").await;
    assert_eq!(client.text().await, "431[\"__proto__\"]");
}

async fn an_event_before_the_connect_ends_the_session(net: Net) {
    let (server, _) = server(net, |_| {});
    let mut client = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    client.text().await;
    client.send("42[\"echo\"]").await;
    assert_eq!(client.next().await, Got::Close(None));
    let socket: Option<Socket> = server.main_namespace().sockets().socket("nobody");
    assert!(socket.is_none());
}
