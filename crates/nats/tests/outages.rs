//! NATS that is late, restarts, hangs, is full, or is gone.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use sockeye::Args;
use sockeye_cluster_suite::WebSocket;
use sockeye_nats::NatsOptions;
use support::server::{CURRENT, Server as Nats};
use support::{Joined, Proxy, eventually};
use tokio::time::Instant;

/// What is emitted before waits; what is too much is dropped and counted.
#[tokio::test]
async fn nats_may_be_late() {
    let nats = Nats::stopped(CURRENT, |_| String::new());
    let mut options = NatsOptions::new(nats.url());
    options.max_outgoing_bytes = 10_000;
    let (first, second) = (Joined::new(options), Joined::new(NatsOptions::new(nats.url())));
    let opening = [first.open(), second.open()];
    eventually("it is tried", || first.nats.metrics().disconnects.value() >= 3).await;
    assert!(!opening[0].is_finished() && !first.nats.is_connected());
    let reason = first.nats.check().unwrap_err().to_string();
    assert!(reason.contains("refused"), "{reason}");
    for number in 0..1_000 {
        let _full = first.server.server_side_emit("e", number);
    }
    let dropped = first.nats.metrics().dropped_outgoing.value();
    assert!((800..990).contains(&dropped), "{dropped}");
    assert!(first.nats.outgoing_bytes() <= 10_000);
    nats.run();
    for each in opening {
        each.await.unwrap();
    }
    first.talks_with(&second).await;
}

/// Own clients are served meanwhile; what waits arrives, without what is volatile; and what was lost is told.
#[tokio::test]
async fn a_restart_heals() {
    let nats = Nats::start("");
    let first = Joined::opened(NatsOptions::new(nats.url())).await;
    let second = Joined::opened(NatsOptions::new(nats.url())).await;
    first.talks_with(&second).await;
    let (mut own, _) = WebSocket::joined(&first.server).await;
    let (mut other, _) = WebSocket::joined(&second.server).await;
    nats.kill();
    first.becomes_unhealthy().await;
    second.becomes_unhealthy().await;
    first.server.emit("e", "meanwhile");
    first.server.volatile().emit("e", "volatile");
    assert_eq!(own.text().await, "42[\"e\",\"meanwhile\"]");
    assert_eq!(own.text().await, "42[\"e\",\"volatile\"]");
    tokio::time::sleep(Duration::from_secs(2)).await;
    nats.run();
    let start = Instant::now();
    first.becomes_healthy().await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    first.server.emit("e", "last");
    assert_eq!(other.text().await, "42[\"e\",\"meanwhile\"]");
    assert_eq!(other.text().await, "42[\"e\",\"last\"]");
    assert_eq!(first.nats.metrics().dropped_volatile.value(), 1);
    eventually("it is told", || second.nats.metrics().reconnects.value() == 1).await;
    first.talks_with(&second).await;
}

/// Neither closes the connection nor answers.
#[tokio::test]
async fn a_server_that_hangs_is_noticed() {
    let nats = Nats::start("");
    let proxy = Proxy::to(nats.port).await;
    let mut options = NatsOptions::new(format!("nats://{}", proxy.address));
    options.probe_interval = Duration::from_millis(500);
    options.timeout = Duration::from_secs(1);
    let first = Joined::opened(options).await;
    let second = Joined::opened(NatsOptions::new(nats.url())).await;
    first.talks_with(&second).await;
    assert!(first.nats.round_trip().is_some());
    let before = first.nats.metrics().disconnects.value();
    proxy.is_cut.send_replace(true);
    let reason = first.becomes_unhealthy().await;
    assert!(reason.contains("has not answered a probe within 1s"), "{reason}");
    eventually("it is given up", || first.nats.metrics().disconnects.value() > before).await;
    assert_eq!(first.nats.metrics().deaf.value(), 1);
    proxy.is_cut.send_replace(false);
    first.becomes_healthy().await;
    first.talks_with(&second).await;
}

/// No emit waits, and memory stays within the bound.
#[tokio::test]
async fn a_full_queue_drops() {
    let nats = Nats::start("");
    let mut options = NatsOptions::new(nats.url());
    options.max_outgoing_bytes = 100_000;
    let first = Joined::opened(options).await;
    let second = Joined::opened(NatsOptions::new(nats.url())).await;
    first.talks_with(&second).await;
    nats.signal("-STOP");
    let (start, text) = (Instant::now(), "x".repeat(10_000));
    // The system's buffers take some of it.
    for _ in 0..2_000 {
        first.server.emit("e", text.as_str());
        tokio::task::yield_now().await;
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(first.nats.metrics().dropped_outgoing.value() > 0);
    assert!(first.nats.outgoing_bytes() <= 100_000);
    nats.signal("-CONT");
    first.becomes_healthy().await;
    first.talks_with(&second).await;
}

/// What is larger than the server takes goes in parts, and in order.
#[tokio::test]
async fn a_large_message_arrives() {
    let nats = Nats::start("max_payload: 20000");
    let first = Joined::opened(NatsOptions::new(nats.url())).await;
    let second = Joined::opened(NatsOptions::new(nats.url())).await;
    let (mut other, _) = WebSocket::joined(&second.server).await;
    let text = "x".repeat(100_000);
    first.server.emit("e", 1);
    first.server.emit("e", text.as_str());
    first.server.emit("e", 2);
    assert_eq!(other.text().await, "42[\"e\",1]");
    assert_eq!(other.text().await, format!("42[\"e\",\"{text}\"]"));
    assert_eq!(other.text().await, "42[\"e\",2]");
    assert_eq!(first.nats.metrics().disconnects.value(), 0);
}

/// Whoever was connected to it goes to another one, and what is sent then arrives.
#[tokio::test]
async fn a_cluster_loses_a_server() {
    let servers = Nats::cluster();
    // The first is known to both, and tells them of the others.
    let first = Joined::opened(NatsOptions::new(servers[0].url())).await;
    let urls = format!("{},{}", servers[1].url(), servers[2].url());
    let second = Joined::opened(NatsOptions::new(urls)).await;
    eventually("they know one another", || {
        first.say(0);
        second.heard.lock().contains(&0)
    })
    .await;
    servers[0].kill();
    eventually("it is noticed", || first.nats.metrics().disconnects.value() >= 1).await;
    first.becomes_healthy().await;
    first.talks_with(&second).await;
    assert_eq!(first.nats.metrics().reconnects.value(), 1);
}

/// A program's handler that panics while a message is delivered costs that message.
#[tokio::test]
async fn a_panic_costs_one_message() {
    let nats = Nats::start("");
    let first = Joined::opened(NatsOptions::new(nats.url())).await;
    let second = Joined::opened(NatsOptions::new(nats.url())).await;
    let panics = |_: Args| -> std::future::Ready<Option<Args>> { panic!("on purpose") };
    second.server.main_namespace().on_server_event("panics", panics);
    for number in 0..20 {
        first.server.server_side_emit("panics", ()).unwrap();
        first.say(number);
    }
    eventually("all are heard", || second.heard.lock().len() == 20).await;
    first.talks_with(&second).await;
    assert_eq!(second.nats.check(), Ok(()));
}
