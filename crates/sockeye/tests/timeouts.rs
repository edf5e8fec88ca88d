//! Heartbeats, upgrades and every other deadline. When something happens is looked at over a pipe, in virtual time; over TCP, limits
//! that end something are short, and only that they do is looked at. Tests whose client must be in time are over a pipe only.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::{Bound, CloseReason, Limits, Reason, Server, ServerBuilder};
use sockeye_websocket::{OpCode, write_masked_frame};
use support::net::{Net, Served, over_both, until};
use support::{Got, Polling, WebSocket};

over_both! {
    who_answers_no_ping_is_closed,
    who_joins_no_namespace_is_closed,
    an_upgrade_switches_and_keeps_the_order,
    a_session_that_closes_during_an_upgrade_ends_on_the_new_transport,
    a_close_that_was_fetched_ends_the_probe,
    an_upgrade_that_takes_too_long_is_given_up,
    a_second_upgrade_is_refused,
    a_close_is_delivered_by_the_next_get,
    a_closed_session_is_forgotten_after_the_close_timeout,
    a_peer_that_never_closes_is_let_go,
    a_stop_tells_clients_without_a_disconnect_packet,
    a_stop_waits_for_the_next_get,
    a_stop_does_not_wait_for_ever_for_who_does_not_poll,
    a_probe_and_an_upgrade_at_once_are_both_answered,
    who_breaks_the_protocol_is_told_so_and_let_go,
}
use tokio::time::Instant;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn server(net: Net, builder: ServerBuilder) -> (Served, Arc<Mutex<Vec<CloseReason>>>) {
    let server = net.serve(builder.build());
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let log = reasons.clone();
    server.on_disconnect(move |Reason(reason): Reason| log.lock().push(reason));
    (server, reasons)
}

fn with_close_timeout(net: Net) -> ServerBuilder {
    let mut limits = Limits::default();
    limits.close_timeout = limit(net, limits.close_timeout);
    Server::builder().limits(limits)
}

/// A limit that ends something: as long as this over a pipe, and short over TCP.
fn limit(net: Net, over_pipe: Duration) -> Duration {
    match net {
        Net::Pipe => over_pipe,
        Net::Tcp => ms(100),
    }
}

/// Something has taken as many tenths of a second, if time is virtual.
fn assert_took(net: Net, after: u128, tenths: std::ops::RangeInclusive<u128>) {
    assert!(matches!(net, Net::Tcp) || tenths.contains(&after), "{after}");
}

/// How long something takes, in tenths of a second.
async fn tenths<F: Future>(future: F) -> (u128, F::Output) {
    let start = Instant::now();
    let output = future.await;
    (start.elapsed().as_millis() / 100, output)
}

#[tokio::test(start_paused = true)]
async fn pings_come_an_interval_after_the_last_pong() {
    let (server, reasons) = server(Net::Pipe, Server::builder());
    let (mut socket, _) = WebSocket::joined(&server).await;
    socket.answers_pings = false;
    for _ in 0..3 {
        let (after, got) = tenths(socket.next()).await;
        assert_eq!((after, got), (250, Got::Text("2".to_owned())));
        tokio::time::sleep(seconds(10)).await;
        socket.send("3").await;
    }
    assert!(reasons.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_is_shorter_than_the_timeout_is_kept() {
    let (server, _) = server(Net::Pipe, Server::builder().ping_interval(seconds(2)).ping_timeout(seconds(30)));
    let (mut socket, _) = WebSocket::joined(&server).await;
    socket.answers_pings = false;
    for _ in 0..3 {
        let (after, got) = tenths(socket.next()).await;
        assert_eq!((after, got), (20, Got::Text("2".to_owned())));
        socket.send("3").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_pong_closes_with_ping_timeout() {
    let (server, reasons) = server(Net::Pipe, Server::builder());
    let (mut socket, _) = WebSocket::joined(&server).await;
    socket.answers_pings = false;
    assert_eq!(socket.text().await, "2");
    let (after, code) = tenths(socket.closed()).await;
    assert_eq!((after, code), (200, None));
    assert_eq!(*reasons.lock(), [CloseReason::PingTimeout]);
    assert_eq!(server.metrics().closed(CloseReason::PingTimeout), 1);
}

/// A client that joins nothing needs not be in time for anything.
async fn who_answers_no_ping_is_closed(net: Net) {
    let times = limit(net, seconds(5));
    let (server, _) = server(net, Server::builder().ping_interval(times).ping_timeout(times));
    let mut socket = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    socket.answers_pings = false;
    assert!(socket.text().await.starts_with("0{"));
    let (after, got) = tenths(socket.next()).await;
    assert_eq!(got, Got::Text("2".to_owned()));
    assert_took(net, after, 50..=50);
    let (after, code) = tenths(socket.closed()).await;
    assert_eq!(code, None);
    assert_took(net, after, 50..=50);
    until(|| server.metrics().closed(CloseReason::PingTimeout) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_polling_client_is_pinged_too() {
    let (server, reasons) = server(Net::Pipe, Server::builder());
    let polling = Polling::joined(&server).await;
    let (after, reply) = tenths(polling.get()).await;
    assert_eq!((after, reply), (250, (200, "2".to_owned())));
    polling.post("3").await;
    let (after, reply) = tenths(polling.get()).await;
    assert_eq!((after, reply), (250, (200, "2".to_owned())));
    tokio::time::sleep(seconds(21)).await;
    assert_eq!(*reasons.lock(), [CloseReason::PingTimeout]);
    assert_eq!(polling.get().await.0, 400);
}

async fn who_joins_no_namespace_is_closed(net: Net) {
    let (server, reasons) = server(net, Server::builder().connect_timeout(limit(net, seconds(3))));
    let mut socket = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    socket.text().await;
    if matches!(net, Net::Pipe) {
        assert_eq!(server.metrics().unjoined.value(), 1);
    }
    let (after, code) = tenths(socket.closed()).await;
    assert_eq!(code, None);
    assert_took(net, after, 30..=30);
    assert!(reasons.lock().is_empty(), "it was in no namespace");
    until(|| server.metrics().reached(Bound::ConnectTime) == 1).await;
    until(|| server.metrics().unjoined.value() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn attachments_must_come_in_time() {
    let mut limits = Limits::default();
    limits.attachment_timeout = seconds(5);
    let (server, reasons) = server(Net::Pipe, Server::builder().limits(limits));
    let (mut socket, _) = WebSocket::joined(&server).await;
    // In time: no deadline is left behind.
    socket.send("451-[\"x\",{\"_placeholder\":true,\"num\":0}]").await;
    socket.send_binary(b"1").await;
    tokio::time::sleep(seconds(6)).await;
    assert!(reasons.lock().is_empty());
    // Not in time.
    socket.send("451-[\"x\",{\"_placeholder\":true,\"num\":0}]").await;
    let (after, code) = tenths(socket.closed()).await;
    assert_eq!((after, code), (50, None));
    assert_eq!(*reasons.lock(), [CloseReason::ForcedClose]);
    assert_eq!(server.metrics().reached(Bound::AttachmentTime), 1);
}

async fn an_upgrade_switches_and_keeps_the_order(net: Net) {
    let (server, reasons) = server(net, Server::builder());
    server.on("go", |socket: sockeye::Socket| {
        for i in 0..3 {
            socket.emit("n", i);
        }
    });
    let polling = Polling::joined(&server).await;
    let mut probe = WebSocket::open(&server, &format!("EIO=4&transport=websocket&sid={}", polling.sid)).await;
    probe.send("2probe").await;
    assert_eq!(probe.text().await, "3probe");
    // While it probes, a GET that waits is ended within a tenth of a second, so that the client can let go of it.
    let (after, reply) = tenths(polling.get()).await;
    assert_took(net, after, 0..=2);
    assert_eq!(reply, (200, "6".to_owned()));
    polling.post("42[\"go\"]").await;
    probe.send("5").await;
    for i in 0..3 {
        assert_eq!(probe.text().await, format!("42[\"n\",{i}]"));
    }
    assert_eq!(polling.get().await.0, 400, "the session is on WebSocket now");
    until(|| server.metrics().upgrades.value() == 1).await;
    assert!(reasons.lock().is_empty());
}

/// A client that has paused its long-polling to change over is told all the same.
async fn a_session_that_closes_during_an_upgrade_ends_on_the_new_transport(net: Net) {
    let (server, reasons) = server(net, Server::builder());
    server.on("bye", |socket: sockeye::Socket| {
        socket.emit("last", 1);
        socket.disconnect_connection();
    });
    let polling = Polling::joined(&server).await;
    let mut probe = WebSocket::open(&server, &format!("EIO=4&transport=websocket&sid={}", polling.sid)).await;
    probe.send("2probe").await;
    assert_eq!(probe.text().await, "3probe");
    polling.post("42[\"bye\"]").await;
    assert_eq!(*reasons.lock(), [CloseReason::ServerNamespaceDisconnect]);
    probe.send("5").await;
    assert_eq!(probe.text().await, "42[\"last\",1]");
    assert_eq!(probe.text().await, "41");
    assert_eq!(probe.closed().await, None);
    assert_eq!(polling.get().await.0, 400);
}

/// One that fetches its farewell by long-polling needs the WebSocket no longer.
async fn a_close_that_was_fetched_ends_the_probe(net: Net) {
    let (server, _) = server(net, Server::builder());
    server.on("bye", |socket: sockeye::Socket| socket.disconnect_connection());
    let polling = Polling::joined(&server).await;
    let mut probe = WebSocket::open(&server, &format!("EIO=4&transport=websocket&sid={}", polling.sid)).await;
    probe.send("2probe").await;
    assert_eq!(probe.text().await, "3probe");
    polling.post("42[\"bye\"]").await;
    assert_eq!(polling.get().await, (200, "41".to_owned()));
    assert_eq!(polling.get().await, (200, "6\u{1e}1".to_owned()));
    let (after, code) = tenths(probe.closed()).await;
    assert_eq!(code, None);
    assert_took(net, after, 0..=0);
    assert_eq!(polling.get().await.0, 400);
}

async fn an_upgrade_that_takes_too_long_is_given_up(net: Net) {
    let (server, reasons) = server(net, Server::builder().upgrade_timeout(limit(net, seconds(4))));
    let polling = Polling::joined(&server).await;
    let mut probe = WebSocket::open(&server, &format!("EIO=4&transport=websocket&sid={}", polling.sid)).await;
    let (after, code) = tenths(probe.closed()).await;
    assert_eq!(code, None);
    assert_took(net, after, 40..=40);
    // The session stays on long-polling.
    assert_eq!(polling.post("42[\"x\"]").await, (200, "ok".to_owned()));
    assert!(reasons.lock().is_empty());
}

async fn a_second_upgrade_is_refused(net: Net) {
    let (server, _) = server(net, Server::builder());
    let polling = Polling::joined(&server).await;
    let query = format!("EIO=4&transport=websocket&sid={}", polling.sid);
    let mut first = WebSocket::open(&server, &query).await;
    first.send("2probe").await;
    assert_eq!(first.text().await, "3probe");
    let mut second = WebSocket::open(&server, &query).await;
    assert_eq!(second.closed().await, None);
    first.send("5").await;
    first.send("42[\"x\"]").await;
    first.silence().await;
}

async fn a_close_is_delivered_by_the_next_get(net: Net) {
    let (server, reasons) = server(net, Server::builder());
    server.on("bye", |socket: sockeye::Socket| socket.disconnect_connection());
    let polling = Polling::joined(&server).await;
    polling.post("42[\"bye\"]").await;
    assert_eq!(*reasons.lock(), [CloseReason::ServerNamespaceDisconnect]);
    // As the official server: first what was sent before, then the close in a response of its own.
    assert_eq!(polling.get().await, (200, "41".to_owned()));
    assert_eq!(polling.get().await, (200, "6\u{1e}1".to_owned()));
    assert_eq!(polling.get().await.0, 400);
}

async fn a_closed_session_is_forgotten_after_the_close_timeout(net: Net) {
    let (server, _) = server(net, with_close_timeout(net));
    server.on("bye", |socket: sockeye::Socket| socket.disconnect_connection());
    let polling = Polling::joined(&server).await;
    polling.post("42[\"bye\"]").await;
    if matches!(net, Net::Pipe) {
        tokio::time::sleep(seconds(11)).await;
    } else {
        // A GET would fetch the close, so it is the POST that tells.
        while polling.post("3").await.0 != 400 {
            tokio::time::sleep(ms(10)).await;
        }
    }
    assert_eq!(polling.get().await.0, 400);
    assert_eq!(server.metrics().connections.value(), 0);
}

async fn a_peer_that_never_closes_is_let_go(net: Net) {
    let (server, _) = server(net, with_close_timeout(net));
    server.on("bye", |socket: sockeye::Socket| socket.disconnect_connection());
    let (mut socket, _) = WebSocket::joined(&server).await;
    socket.send("42[\"bye\"]").await;
    assert_eq!(socket.closed().await, None);
    let (after, got) = tenths(socket.next()).await;
    assert_eq!(got, Got::End);
    assert_took(net, after, 0..=100);
}

async fn a_stop_tells_clients_without_a_disconnect_packet(net: Net) {
    let (server, reasons) = server(net, Server::builder());
    let (mut socket, _) = WebSocket::joined(&server).await;
    let stopping = tokio::spawn({
        let server = server.clone();
        async move { server.close().await }
    });
    assert_eq!(socket.next().await, Got::Close(None));
    socket.close().await;
    drop(socket);
    let (after, _) = tenths(stopping).await;
    assert_took(net, after, 0..=10);
    assert_eq!(*reasons.lock(), [CloseReason::ServerShuttingDown]);
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// As the official protocol suites have it: they look a timeout after the ping was due, and not later.
#[tokio::test(start_paused = true)]
async fn short_times_are_kept_to_a_few_milliseconds() {
    let (server, reasons) = server(Net::Pipe, Server::builder().ping_interval(ms(300)).ping_timeout(ms(200)));
    let start = Instant::now();
    let (mut socket, _) = WebSocket::joined(&server).await;
    socket.answers_pings = false;
    assert_eq!(socket.text().await, "2");
    assert!(start.elapsed() < ms(310), "{:?}", start.elapsed());
    assert_eq!(socket.closed().await, None);
    assert!((ms(500)..ms(508)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(*reasons.lock(), [CloseReason::PingTimeout]);
}

/// The timer is a little late; a request is not to profit from that.
#[tokio::test(start_paused = true)]
async fn a_request_after_the_deadline_finds_no_session() {
    for is_post in [false, true] {
        let (server, reasons) = server(Net::Pipe, Server::builder().ping_interval(ms(25_003)).ping_timeout(ms(20_000)));
        let polling = Polling::joined(&server).await;
        tokio::time::sleep(ms(45_004)).await;
        let (status, _) = if is_post { polling.post("3").await } else { polling.get().await };
        assert_eq!(status, 400);
        assert_eq!(*reasons.lock(), [CloseReason::PingTimeout]);
    }
}

/// Each pong answers a ping that the client cannot have read.
#[tokio::test(start_paused = true)]
async fn pongs_do_not_keep_alive_who_never_reads() {
    let (server, reasons) = server(Net::Pipe, Server::builder());
    server.on("fill", |socket: sockeye::Socket| socket.emit("large", "x".repeat(100_000)));
    let mut socket = WebSocket::open_with(&server, "EIO=4&transport=websocket", "", 4096).await.unwrap();
    socket.text().await;
    socket.send("40").await;
    socket.text().await;
    socket.send("42[\"fill\"]").await;
    let (after, ()) = tenths(async {
        while reasons.lock().is_empty() {
            socket.send("3").await;
            tokio::time::sleep(ms(500)).await;
        }
    })
    .await;
    assert_eq!(*reasons.lock(), [CloseReason::PingTimeout]);
    assert!((440..=460).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn pongs_by_post_do_not_keep_alive_who_never_polls() {
    let (server, reasons) = server(Net::Pipe, Server::builder());
    let polling = Polling::joined(&server).await;
    let (after, ()) = tenths(async {
        while reasons.lock().is_empty() {
            polling.post("3").await;
            tokio::time::sleep(ms(500)).await;
        }
    })
    .await;
    assert_eq!(*reasons.lock(), [CloseReason::PingTimeout]);
    assert!((440..=460).contains(&after), "{after}");
}

/// Also one of Engine.IO 3, which pings.
#[tokio::test(start_paused = true)]
async fn pings_do_not_keep_alive_who_never_polls() {
    let (server, reasons) = server(Net::Pipe, Server::builder().allow_eio3(true));
    let polling = Polling::open_version(&server, 3).await;
    let (after, ()) = tenths(async {
        while reasons.lock().is_empty() {
            polling.post("1:2").await;
            tokio::time::sleep(ms(500)).await;
        }
    })
    .await;
    assert_eq!(*reasons.lock(), [CloseReason::PingTimeout]);
    assert!((440..=460).contains(&after), "{after}");
}

async fn a_stop_waits_for_the_next_get(net: Net) {
    let (server, reasons) = server(net, Server::builder());
    let polling = Polling::joined(&server).await;
    let stopping = tokio::spawn({
        let server = server.clone();
        async move { server.close().await }
    });
    until(|| !reasons.lock().is_empty()).await;
    if matches!(net, Net::Pipe) {
        tokio::time::sleep(seconds(2)).await;
    }
    assert_eq!(*reasons.lock(), [CloseReason::ServerShuttingDown]);
    assert!(!stopping.is_finished(), "the client has not been told");
    let refused = support::request(&server, http::Method::GET, "/socket.io/?EIO=4&transport=polling", &[], "").await;
    assert_eq!(refused.0, 503, "no new sessions");
    assert_eq!(polling.get().await, (200, "6\u{1e}1".to_owned()));
    let (after, _) = tenths(stopping).await;
    assert_took(net, after, 0..=1);
}

async fn a_stop_does_not_wait_for_ever_for_who_does_not_poll(net: Net) {
    let (server, _) = server(net, with_close_timeout(net));
    let _polling = Polling::joined(&server).await;
    let (after, ()) = tenths(server.close()).await;
    assert_took(net, after, 99..=101);
}

/// The answer to the probe is not lost when the client does not wait for it.
async fn a_probe_and_an_upgrade_at_once_are_both_answered(net: Net) {
    let (server, reasons) = server(net, Server::builder());
    server.on("x", |socket: sockeye::Socket| socket.emit("y", 1));
    let polling = Polling::joined(&server).await;
    let mut probe = WebSocket::open(&server, &format!("EIO=4&transport=websocket&sid={}", polling.sid)).await;
    probe.write(&[frame("2probe"), frame("5"), frame("42[\"x\"]")].concat()).await;
    assert_eq!(probe.text().await, "3probe");
    assert_eq!(probe.text().await, "42[\"y\",1]");
    assert!(reasons.lock().is_empty());
}

/// Over a stream that is no plain socket and over one that is, and while a WebSocket probes.
async fn who_breaks_the_protocol_is_told_so_and_let_go(net: Net) {
    let (server, reasons) = server(net, Server::builder());
    let polling = Polling::joined(&server).await;
    for query in ["EIO=4&transport=websocket".to_owned(), format!("EIO=4&transport=websocket&sid={}", polling.sid)] {
        let mut socket = WebSocket::open(&server, &query).await;
        // Longer than a message may be, and more of it is on its way.
        let mut frame = vec![0x81, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        frame.resize(500_000, 0);
        socket.write(&frame).await;
        let (after, code) = tenths(socket.closed()).await;
        assert_eq!(code, Some(1009), "{query}");
        assert_took(net, after, 0..=0);
        socket.close().await;
        let (after, got) = tenths(socket.next()).await;
        assert_eq!(got, Got::End, "{query}");
        assert_took(net, after, 0..=0);
    }
    assert!(reasons.lock().is_empty(), "the session goes on by polling");
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked_frame(&mut frame, OpCode::Text, false, text.as_bytes(), [1, 2, 3, 4]);
    frame
}
