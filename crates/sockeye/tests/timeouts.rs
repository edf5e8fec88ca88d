//! Heartbeats, upgrades and every other deadline, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::{Bound, CloseReason, Limits, Reason, Server, ServerBuilder};
use sockeye_websocket::{OpCode, write_masked_frame};
use support::{Got, Polling, WebSocket};
use tokio::time::Instant;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn server(builder: ServerBuilder) -> (Server, Arc<Mutex<Vec<CloseReason>>>) {
    let server = builder.build();
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let log = reasons.clone();
    server.on_disconnect(move |Reason(reason): Reason| log.lock().push(reason));
    (server, reasons)
}

/// How long something takes, in tenths of a second.
async fn tenths<F: Future>(future: F) -> (u128, F::Output) {
    let start = Instant::now();
    let output = future.await;
    (start.elapsed().as_millis() / 100, output)
}

#[tokio::test(start_paused = true)]
async fn pings_come_an_interval_after_the_last_pong() {
    let (server, reasons) = server(Server::builder());
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
    let (server, _) = server(Server::builder().ping_interval(seconds(2)).ping_timeout(seconds(30)));
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
    let (server, reasons) = server(Server::builder());
    let (mut socket, _) = WebSocket::joined(&server).await;
    socket.answers_pings = false;
    assert_eq!(socket.text().await, "2");
    let (after, code) = tenths(socket.closed()).await;
    assert_eq!((after, code), (200, None));
    assert_eq!(*reasons.lock(), [CloseReason::PingTimeout]);
    assert_eq!(server.metrics().closed(CloseReason::PingTimeout), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_polling_client_is_pinged_too() {
    let (server, reasons) = server(Server::builder());
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

#[tokio::test(start_paused = true)]
async fn who_joins_no_namespace_is_closed() {
    let (server, reasons) = server(Server::builder().connect_timeout(seconds(3)));
    let mut socket = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    socket.text().await;
    assert_eq!(server.metrics().unjoined.value(), 1);
    let (after, code) = tenths(socket.closed()).await;
    assert_eq!((after, code), (30, None));
    assert!(reasons.lock().is_empty(), "it was in no namespace");
    assert_eq!(server.metrics().reached(Bound::ConnectTime), 1);
    assert_eq!(server.metrics().unjoined.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn attachments_must_come_in_time() {
    let mut limits = Limits::default();
    limits.attachment_timeout = seconds(5);
    let (server, reasons) = server(Server::builder().limits(limits));
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

#[tokio::test(start_paused = true)]
async fn an_upgrade_switches_and_keeps_the_order() {
    let (server, reasons) = server(Server::builder());
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
    assert!(after <= 2, "{after}");
    assert_eq!(reply, (200, "6".to_owned()));
    polling.post("42[\"go\"]").await;
    probe.send("5").await;
    for i in 0..3 {
        assert_eq!(probe.text().await, format!("42[\"n\",{i}]"));
    }
    assert_eq!(polling.get().await.0, 400, "the session is on WebSocket now");
    assert_eq!(server.metrics().upgrades.value(), 1);
    assert!(reasons.lock().is_empty());
}

/// A client that has paused its long-polling to change over is told all the same.
#[tokio::test(start_paused = true)]
async fn a_session_that_closes_during_an_upgrade_ends_on_the_new_transport() {
    let (server, reasons) = server(Server::builder());
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
#[tokio::test(start_paused = true)]
async fn a_close_that_was_fetched_ends_the_probe() {
    let (server, _) = server(Server::builder());
    server.on("bye", |socket: sockeye::Socket| socket.disconnect_connection());
    let polling = Polling::joined(&server).await;
    let mut probe = WebSocket::open(&server, &format!("EIO=4&transport=websocket&sid={}", polling.sid)).await;
    probe.send("2probe").await;
    assert_eq!(probe.text().await, "3probe");
    polling.post("42[\"bye\"]").await;
    assert_eq!(polling.get().await, (200, "41".to_owned()));
    assert_eq!(polling.get().await, (200, "6\u{1e}1".to_owned()));
    let (after, code) = tenths(probe.closed()).await;
    assert_eq!((after, code), (0, None));
    assert_eq!(polling.get().await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_takes_too_long_is_given_up() {
    let (server, reasons) = server(Server::builder().upgrade_timeout(seconds(4)));
    let polling = Polling::joined(&server).await;
    let mut probe = WebSocket::open(&server, &format!("EIO=4&transport=websocket&sid={}", polling.sid)).await;
    let (after, code) = tenths(probe.closed()).await;
    assert_eq!((after, code), (40, None));
    // The session stays on long-polling.
    polling.post("42[\"x\"]").await;
    assert!(reasons.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_upgrade_is_refused() {
    let (server, _) = server(Server::builder());
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

#[tokio::test(start_paused = true)]
async fn a_close_is_delivered_by_the_next_get() {
    let (server, reasons) = server(Server::builder());
    server.on("bye", |socket: sockeye::Socket| socket.disconnect_connection());
    let polling = Polling::joined(&server).await;
    polling.post("42[\"bye\"]").await;
    assert_eq!(*reasons.lock(), [CloseReason::ServerNamespaceDisconnect]);
    // As the official server: first what was sent before, then the close in a response of its own.
    assert_eq!(polling.get().await, (200, "41".to_owned()));
    assert_eq!(polling.get().await, (200, "6\u{1e}1".to_owned()));
    assert_eq!(polling.get().await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn a_closed_session_is_forgotten_after_the_close_timeout() {
    let (server, _) = server(Server::builder());
    server.on("bye", |socket: sockeye::Socket| socket.disconnect_connection());
    let polling = Polling::joined(&server).await;
    polling.post("42[\"bye\"]").await;
    tokio::time::sleep(seconds(11)).await;
    assert_eq!(polling.get().await.0, 400);
    assert_eq!(server.metrics().connections.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_closes_is_let_go() {
    let (server, _) = server(Server::builder());
    server.on("bye", |socket: sockeye::Socket| socket.disconnect_connection());
    let (mut socket, _) = WebSocket::joined(&server).await;
    socket.send("42[\"bye\"]").await;
    assert_eq!(socket.closed().await, None);
    let (after, got) = tenths(socket.next()).await;
    assert_eq!(got, Got::End);
    assert!(after <= 100, "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_tells_clients_without_a_disconnect_packet() {
    let (server, reasons) = server(Server::builder());
    let (mut socket, _) = WebSocket::joined(&server).await;
    let stopping = tokio::spawn({
        let server = server.clone();
        async move { server.close().await }
    });
    assert_eq!(socket.next().await, Got::Close(None));
    socket.close().await;
    drop(socket);
    let (after, _) = tenths(stopping).await;
    assert!(after <= 10, "{after}");
    assert_eq!(*reasons.lock(), [CloseReason::ServerShuttingDown]);
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// As the official protocol suites have it: they look a timeout after the ping was due, and not later.
#[tokio::test(start_paused = true)]
async fn short_times_are_kept_to_a_few_milliseconds() {
    let (server, reasons) = server(Server::builder().ping_interval(ms(300)).ping_timeout(ms(200)));
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
        let (server, reasons) = server(Server::builder().ping_interval(ms(25_003)).ping_timeout(ms(20_000)));
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
    let (server, reasons) = server(Server::builder());
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
    let (server, reasons) = server(Server::builder());
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
    let (server, reasons) = server(Server::builder().allow_eio3(true));
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

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_next_get() {
    let (server, reasons) = server(Server::builder());
    let polling = Polling::joined(&server).await;
    let stopping = tokio::spawn({
        let server = server.clone();
        async move { server.close().await }
    });
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(*reasons.lock(), [CloseReason::ServerShuttingDown]);
    assert!(!stopping.is_finished(), "the client has not been told");
    let refused = support::request(&server, http::Method::GET, "/socket.io/?EIO=4&transport=polling", &[], "").await;
    assert_eq!(refused.0, 503, "no new sessions");
    assert_eq!(polling.get().await, (200, "6\u{1e}1".to_owned()));
    let (after, _) = tenths(stopping).await;
    assert!(after <= 1, "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever_for_who_does_not_poll() {
    let (server, _) = server(Server::builder());
    let _polling = Polling::joined(&server).await;
    let (after, ()) = tenths(server.close()).await;
    assert!((99..=101).contains(&after), "{after}");
}

/// The answer to the probe is not lost when the client does not wait for it.
#[tokio::test(start_paused = true)]
async fn a_probe_and_an_upgrade_at_once_are_both_answered() {
    let (server, reasons) = server(Server::builder());
    server.on("x", |socket: sockeye::Socket| socket.emit("y", 1));
    let polling = Polling::joined(&server).await;
    let mut probe = WebSocket::open(&server, &format!("EIO=4&transport=websocket&sid={}", polling.sid)).await;
    probe.write(&[frame("2probe"), frame("5"), frame("42[\"x\"]")].concat()).await;
    assert_eq!(probe.text().await, "3probe");
    assert_eq!(probe.text().await, "42[\"y\",1]");
    assert!(reasons.lock().is_empty());
}

/// Over a stream that is no plain socket, and while a WebSocket probes.
#[tokio::test(start_paused = true)]
async fn who_breaks_the_protocol_is_told_so_and_let_go() {
    let (server, reasons) = server(Server::builder());
    let polling = Polling::joined(&server).await;
    for query in ["EIO=4&transport=websocket".to_owned(), format!("EIO=4&transport=websocket&sid={}", polling.sid)] {
        let mut socket = WebSocket::open(&server, &query).await;
        // Longer than a message may be, and more of it is on its way.
        let mut frame = vec![0x81, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        frame.resize(500_000, 0);
        socket.write(&frame).await;
        let (after, code) = tenths(socket.closed()).await;
        assert_eq!((after, code), (0, Some(1009)), "{query}");
        socket.close().await;
        let (after, got) = tenths(socket.next()).await;
        assert_eq!((after, got), (0, Got::End), "{query}");
    }
    assert!(reasons.lock().is_empty(), "the session goes on by polling");
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked_frame(&mut frame, OpCode::Text, false, text.as_bytes(), [1, 2, 3, 4]);
    frame
}
