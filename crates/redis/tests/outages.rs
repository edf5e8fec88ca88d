//! Redis that is late, restarts, hangs up, or is gone.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sockeye::{Ack, ConnectionStateRecovery, Data, JoinError, Server, Socket};
use sockeye_cluster_suite::{Fleet, WebSocket};
use sockeye_redis::{Mode, RedisAdapter};
use support::well::{adapters, all_is_well};
use support::{Classic, Dynamic, Native, Over, Redis, Streams, Way, cluster_options, eventually, local, redis_options};

async fn a_restart_heals<W: Way>() {
    let mut fleet = Fleet::<Over<W>>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    all_is_well(&mut fleet).await;
    fleet.cluster.redis.stop();
    let adapters = adapters(&fleet);
    eventually("it is noticed", || !adapters.iter().any(RedisAdapter::is_connected)).await;
    fleet.server(0).emit("meanwhile", 1);
    assert_eq!(fleet.next(0).await, "42[\"meanwhile\",1]", "own clients are served");
    fleet.cluster.redis.start();
    all_is_well(&mut fleet).await;
    assert!(adapters.iter().all(|adapter| adapter.metrics().disconnects.value() >= 2));
}

#[tokio::test]
async fn a_restart_heals_sharded() {
    a_restart_heals::<Dynamic>().await;
}

#[tokio::test]
async fn a_restart_heals_classic() {
    a_restart_heals::<Classic>().await;
}

#[tokio::test]
async fn a_restart_heals_streams() {
    a_restart_heals::<Streams>().await;
}

#[tokio::test]
async fn a_restart_heals_native() {
    a_restart_heals::<Native>().await;
}

async fn a_hang_up_heals<W: Way>(kind: &str) {
    let mut fleet = Fleet::<Over<W>>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    all_is_well(&mut fleet).await;
    let adapters = adapters(&fleet);
    fleet.cluster.redis.command::<()>(&["CLIENT", "KILL", "TYPE", kind]);
    eventually("it is noticed", || adapters.iter().all(|adapter| adapter.metrics().disconnects.value() >= 1)).await;
    all_is_well(&mut fleet).await;
}

#[tokio::test]
async fn a_subscriber_that_is_hung_up_on_heals() {
    a_hang_up_heals::<Dynamic>("pubsub").await;
    a_hang_up_heals::<Classic>("pubsub").await;
    a_hang_up_heals::<Native>("pubsub").await;
}

#[tokio::test]
async fn a_publisher_that_is_hung_up_on_heals() {
    a_hang_up_heals::<Dynamic>("normal").await;
    a_hang_up_heals::<Streams>("normal").await;
}

/// Streams keep what is sent while a reader is away.
#[tokio::test]
async fn a_stream_misses_nothing() {
    let mut fleet = Fleet::<Over<Streams>>::of(2).await;
    fleet.received(&[0, 0]).await;
    for number in 0..200 {
        if number % 50 == 10 {
            // Readers are normal clients, and so are publishers: what these have on their way may be lost, so they are let be.
            let clients: String = fleet.cluster.redis.command(&["CLIENT", "LIST"]);
            for client in clients.lines().filter(|client| client.contains("cmd=xread")) {
                let id = client.split(' ').find_map(|field| field.strip_prefix("id=")).unwrap();
                fleet.cluster.redis.command::<()>(&["CLIENT", "KILL", "ID", id]);
            }
        }
        fleet.server(0).emit("e", number);
    }
    let adapters = adapters(&fleet);
    eventually("all are connected", || adapters.iter().all(RedisAdapter::is_connected)).await;
    let expected: Vec<_> = (0..200).map(|number| format!("42[\"e\",{number}]")).collect();
    assert_eq!(fleet.received(&[0, expected.len()]).await[1], expected);
    assert!(adapters[1].metrics().disconnects.value() >= 1);
}

/// What is emitted before waits; what is too much is dropped and counted.
#[tokio::test]
async fn redis_may_be_late() {
    let redis = Redis::stopped();
    let (cluster, metrics) = cluster_options();
    let mut options = redis_options(local(redis.port), Mode::Native, cluster);
    options.max_outgoing_bytes = 10_000;
    let late = RedisAdapter::new(options).unwrap();
    let first = Server::builder().adapter(late.factory()).build();
    let second = RedisAdapter::new(redis_options(local(redis.port), Mode::Native, cluster_options().0)).unwrap();
    let other = Server::builder().adapter(second.factory()).build();
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    other.main_namespace().on_server_event("e", move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { None }
    });
    let opening = tokio::spawn({
        let adapters = [first.main_namespace().adapter().clone(), other.main_namespace().adapter().clone()];
        async move {
            for adapter in adapters {
                adapter.init().await.unwrap();
            }
        }
    });
    eventually("it is tried", || late.metrics().disconnects.value() >= 4).await;
    assert!(!opening.is_finished() && !late.is_connected());
    for number in 0..1_000 {
        let _full = first.server_side_emit("e", number);
    }
    let dropped = metrics.publish_errors.value();
    assert!((800..990).contains(&dropped), "{dropped}");
    redis.start();
    opening.await.unwrap();
    eventually("both are connected", || late.is_connected() && second.is_connected()).await;
    first.server_side_emit("e", 0).unwrap();
    eventually("it is heard", || heard.load(Ordering::Relaxed) >= 1).await;
}

/// What is emitted while Redis is away reaches the nodes that come back with it; what is volatile is dropped.
async fn what_waited_reaches_all_nodes<W: Way>() {
    let mut fleet = Fleet::<Over<W>>::of(4).await;
    let adapters = adapters(&fleet);
    eventually("all are connected", || adapters.iter().all(RedisAdapter::is_connected)).await;
    // The nodes have counted one another.
    let probed = adapters.clone();
    eventually("they were counted", || probed.iter().all(|adapter| adapter.listeners() == 4)).await;
    fleet.received(&[0; 4]).await;
    fleet.cluster.redis.stop();
    eventually("it is noticed", || !adapters.iter().any(RedisAdapter::is_connected)).await;
    fleet.server(0).volatile().emit("volatile", 1);
    fleet.server(0).emit("waits", 1);
    fleet.cluster.redis.start();
    let got = fleet.received(&[2, 1, 1, 1]).await;
    let waits = "42[\"waits\",1]".to_owned();
    assert!(got[0].contains(&waits), "{got:?}");
    assert!(got[1..].iter().all(|got| *got == [waits.clone()]), "{got:?}");
    assert_eq!(adapters[0].metrics().dropped_volatile.value(), 1);
}

#[tokio::test]
async fn what_waited_reaches_all_nodes_native() {
    what_waited_reaches_all_nodes::<Native>().await;
}

#[tokio::test]
async fn what_waited_reaches_all_nodes_sharded() {
    what_waited_reaches_all_nodes::<Dynamic>().await;
}

#[tokio::test]
async fn what_waited_reaches_all_nodes_classic() {
    what_waited_reaches_all_nodes::<Classic>().await;
}

#[tokio::test]
async fn what_is_too_old_is_dropped() {
    let redis = Redis::started();
    let mut options = redis_options(local(redis.port), Mode::Native, cluster_options().0);
    options.max_message_age = Some(Duration::from_millis(100));
    let adapter = RedisAdapter::new(options).unwrap();
    let server = Server::builder().adapter(adapter.factory()).build();
    server.start();
    eventually("it is connected", || adapter.is_connected()).await;
    redis.stop();
    eventually("it is noticed", || !adapter.is_connected()).await;
    server.emit("e", 1);
    tokio::time::sleep(Duration::from_millis(150)).await;
    redis.start();
    eventually("it is dropped", || adapter.metrics().dropped_old.value() >= 1).await;
    assert_eq!(adapter.metrics().dropped_outgoing.value(), 0);
}

/// A Redis that is full takes no entries: that is told, and clients do not wait for it.
#[tokio::test]
async fn a_redis_that_refuses_is_told_and_holds_up_nobody() {
    let redis = Redis::started();
    let options = redis_options(local(redis.port), Mode::Streams, cluster_options().0);
    let adapter = RedisAdapter::new(options).unwrap();
    let recovery = ConnectionStateRecovery::within(Duration::from_secs(20));
    let server = Server::builder().adapter(adapter.factory()).connection_state_recovery(recovery).build();
    let (mut client, _) = WebSocket::joined(&server).await;
    eventually("it is connected", || adapter.check().is_ok()).await;
    redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let since = Instant::now();
    server.emit("e", 1);
    while !client.text().await.starts_with("42[\"e\",1") {}
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    eventually("it is told", || {
        adapter
            .check()
            .is_err_and(|error| error.to_string().starts_with("Redis refuses messages: OOM") && !error.is_alone())
    })
    .await;
    assert!(adapter.metrics().refused.value() >= 1);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    for _ in 0..3_000 {
        if adapter.check().is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is well again: {:?}", adapter.check());
}

/// What was refused a moment ago does not keep a namespace that opens then from joining the cluster.
#[tokio::test]
async fn a_namespace_opens_after_refusals() {
    let redis = Redis::started();
    let options = redis_options(local(redis.port), Mode::Streams, cluster_options().0);
    let adapter = RedisAdapter::new(options).unwrap();
    let server = Server::builder().adapter(adapter.factory()).build();
    server.main_namespace().adapter().init().await.unwrap();
    redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    server.emit("e", 1);
    eventually("it is told", || adapter.check().is_err()).await;
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    let late = server.of("/late");
    let opened = tokio::time::timeout(Duration::from_secs(30), late.adapter().init()).await;
    assert!(opened.is_ok(), "it opens; the check: {:?}", adapter.check());
}

/// A message that a server has given back, because it is no master, is as old as before.
#[tokio::test]
async fn what_comes_back_grows_too_old() {
    let redis = Redis::started();
    let mut options = redis_options(local(redis.port), Mode::Streams, cluster_options().0);
    options.max_message_age = Some(Duration::from_millis(300));
    let adapter = RedisAdapter::new(options).unwrap();
    let server = Server::builder().adapter(adapter.factory()).build();
    server.start();
    eventually("it is connected", || adapter.is_connected()).await;
    redis.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    server.emit("e", 1);
    eventually("it is noticed", || !adapter.is_connected()).await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    redis.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    eventually("it is dropped", || adapter.metrics().dropped_old.value() >= 1).await;
}

/// While Redis is away nobody waits for it; while it only seems to be there, for a second.
#[tokio::test]
async fn a_join_does_not_wait_for_a_redis_that_is_away() {
    let fleet = Fleet::<Over<Native>>::of(2).await;
    fleet.server(1).on("join", |socket: Socket, Data(room): Data<String>, ack: Ack| -> Result<(), JoinError> {
        socket.join(room)?;
        ack.send(());
        Ok(())
    });
    let (mut client, _) = WebSocket::joined(fleet.server(1)).await;
    let adapters = adapters(&fleet);
    fleet.cluster.redis.freeze(true);
    let start = Instant::now();
    client.send("421[\"join\",\"first\"]").await;
    assert_eq!(client.text().await, "431[]");
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(fleet.nodes[1].metrics.subscriptions_late.value(), 1);
    fleet.cluster.redis.freeze(false);
    fleet.cluster.redis.stop();
    eventually("it is noticed", || !adapters.iter().any(RedisAdapter::is_connected)).await;
    client.send("422[\"join\",\"second\"]").await;
    assert_eq!(client.text().await, "432[]");
    assert_eq!(fleet.nodes[1].metrics.subscriptions_late.value(), 1, "it has not waited");
}
