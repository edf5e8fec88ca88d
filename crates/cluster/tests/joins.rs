//! A client that is told of a join gets what other nodes emit to the room from then on, though the node subscribes only now.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../sockeye/tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use sockeye::{Ack, ConnectionStateRecovery, Data, JoinError, Server, Socket};
use sockeye_cluster::recovery::RecoveryOptions;
use sockeye_cluster::{ClusterAdapter, ClusterMetrics, ClusterOptions, MemoryHub};
use support::WebSocket;
use tokio::time::{Instant, timeout};

/// Two nodes; clients join rooms of the first.
struct Pair {
    hub: MemoryHub,
    here: Server,
    there: Server,
    metrics: Arc<ClusterMetrics>,
}

/// How long a subscription takes.
const DELAY: Duration = Duration::from_millis(300);

/// The next message, which must come: one that is lost fails the test.
async fn text(client: &mut WebSocket) -> String {
    timeout(Duration::from_secs(20), client.text()).await.expect("it comes")
}

impl Pair {
    /// Clients that connect now are not held.
    async fn new() -> Self {
        let hub = MemoryHub::default();
        let options = ClusterOptions::default();
        let metrics = options.metrics.clone();
        let server = |name: &'static str, options: ClusterOptions| {
            let hub = hub.clone();
            let make = move |local: Arc<sockeye::adapter::Local>| {
                let bus = hub.bus(name, &local.namespace());
                ClusterAdapter::new(local, bus, options.clone())
            };
            Server::builder().adapter(make).build()
        };
        let (here, there) = (server("here", options), server("there", ClusterOptions::default()));
        here.on("join", |socket: Socket, Data(rooms): Data<Vec<String>>, ack: Ack| -> Result<(), JoinError> {
            socket.join(rooms)?;
            ack.send(());
            Ok(())
        });
        here.on("rejoin", |socket: Socket, Data(room): Data<String>, ack: Ack| -> Result<(), JoinError> {
            socket.join(room.as_str())?;
            socket.leave(room.as_str());
            socket.join(room.as_str())?;
            ack.send(());
            Ok(())
        });
        for server in [&here, &there] {
            drop(WebSocket::joined(server).await);
        }
        for server in [&here, &there] {
            while server.main_namespace().adapter().server_count().await.unwrap() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Self { hub, here, there, metrics }
    }

    /// The next messages of the client are the answer to its join, and what is then emitted to the room elsewhere.
    async fn is_told_and_gets(&self, client: &mut WebSocket, answer: &str, room: &str) {
        assert_eq!(text(client).await, answer);
        self.there.to(room).emit("e", room);
        assert_eq!(text(client).await, format!("42[\"e\",\"{room}\"]"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_waits_for_the_subscription() {
    let pair = Pair::new().await;
    let (mut client, _) = WebSocket::joined(&pair.here).await;
    pair.hub.delay_subscriptions(DELAY);
    let start = Instant::now();
    client.send("421[\"join\",[\"a\",\"b\"]]").await;
    pair.is_told_and_gets(&mut client, "431[]", "a").await;
    assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
    pair.there.to("b").emit("e", "b");
    assert_eq!(text(&mut client).await, "42[\"e\",\"b\"]");
    // The node has subscribed: whoever comes does not wait.
    let start = Instant::now();
    client.send("422[\"join\",[\"a\"]]").await;
    assert_eq!(text(&mut client).await, "432[]");
    assert!(start.elapsed() < DELAY);
    assert_eq!(pair.metrics.subscriptions_late.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn all_that_a_client_is_told_waits_and_keeps_its_order() {
    let pair = Pair::new().await;
    pair.here.on("both", |socket: Socket, ack: Ack| -> Result<(), JoinError> {
        socket.emit("before", ());
        socket.join("r")?;
        socket.emit("after", ());
        ack.send(());
        Ok(())
    });
    let (mut client, _) = WebSocket::joined(&pair.here).await;
    let (mut other, _) = WebSocket::joined(&pair.here).await;
    pair.hub.delay_subscriptions(DELAY);
    let start = Instant::now();
    client.send("421[\"both\"]").await;
    other.send("421[\"join\",[]]").await;
    assert_eq!(text(&mut other).await, "431[]");
    assert!(start.elapsed() < DELAY, "a client that has joined nothing does not wait");
    for expected in ["42[\"before\"]", "42[\"after\"]", "431[]"] {
        assert_eq!(text(&mut client).await, expected);
    }
    assert!(start.elapsed() >= DELAY);
}

#[tokio::test(start_paused = true)]
async fn who_joins_while_the_subscription_is_under_way_waits_too() {
    let pair = Pair::new().await;
    let (mut first, _) = WebSocket::joined(&pair.here).await;
    let (mut second, _) = WebSocket::joined(&pair.here).await;
    pair.hub.delay_subscriptions(DELAY);
    first.send("421[\"join\",[\"r\"]]").await;
    tokio::time::sleep(DELAY / 2).await;
    second.send("421[\"join\",[\"r\"]]").await;
    pair.is_told_and_gets(&mut second, "431[]", "r").await;
    assert_eq!(text(&mut first).await, "431[]");
    assert_eq!(text(&mut first).await, "42[\"e\",\"r\"]");
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_left_and_joined_again_is_waited_for() {
    let pair = Pair::new().await;
    let (mut client, id) = WebSocket::joined(&pair.here).await;
    pair.hub.delay_subscriptions(DELAY);
    client.send("421[\"rejoin\",\"r\"]").await;
    pair.is_told_and_gets(&mut client, "431[]", "r").await;
    // The first is under way still when it is given up.
    pair.here.main_namespace().sockets().socket(&id).unwrap().leave("r");
    tokio::time::sleep(DELAY / 2).await;
    client.send("422[\"join\",[\"r\"]]").await;
    pair.is_told_and_gets(&mut client, "432[]", "r").await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_confirms_nothing_is_waited_for_a_second() {
    let pair = Pair::new().await;
    let (mut client, _) = WebSocket::joined(&pair.here).await;
    pair.hub.delay_subscriptions(Duration::from_secs(3600));
    let start = Instant::now();
    client.send("421[\"join\",[\"a\",\"b\"]]").await;
    assert_eq!(text(&mut client).await, "431[]");
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_millis(1_200), "{waited:?}");
    assert_eq!(pair.metrics.subscriptions_late.value(), 2);
    client.send("422[\"join\",[\"a\"]]").await;
    assert_eq!(text(&mut client).await, "432[]");
    assert!(start.elapsed() < waited + Duration::from_millis(100), "it is waited for once");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_its_id_when_its_own_room_is_subscribed_to() {
    let pair = Pair::new().await;
    pair.hub.delay_subscriptions(DELAY);
    let start = Instant::now();
    let (mut client, id) = WebSocket::joined(&pair.here).await;
    assert!(start.elapsed() >= DELAY);
    pair.there.to(id.as_str()).emit("e", 1);
    assert_eq!(text(&mut client).await, "42[\"e\",1]");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_or_is_sent_away_does_not_wait() {
    let pair = Pair::new().await;
    pair.here.on("leave", |socket: Socket, ack: Ack| -> Result<(), JoinError> {
        socket.join("left")?;
        ack.send(());
        socket.leave("left");
        Ok(())
    });
    pair.here.on("bye", |socket: Socket, ack: Ack| -> Result<(), JoinError> {
        socket.join("bye")?;
        ack.send(());
        socket.disconnect_connection();
        Ok(())
    });
    let (mut client, _) = WebSocket::joined(&pair.here).await;
    let (mut gone, _) = WebSocket::joined(&pair.here).await;
    gone.send("420[\"join\",[]]").await;
    assert_eq!(text(&mut gone).await, "430[]");
    pair.hub.delay_subscriptions(Duration::from_secs(3600));
    let start = Instant::now();
    client.send("421[\"leave\"]").await;
    assert_eq!(text(&mut client).await, "431[]");
    client.send("422[\"bye\"]").await;
    assert_eq!(text(&mut client).await, "432[]");
    gone.send("421[\"join\",[\"gone\"]]").await;
    drop(gone);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    // Its hold does not keep it, and nobody misses its room.
    while !pair.here.main_namespace().sockets().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(pair.metrics.subscriptions_late.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_closes_holds_nobody() {
    let pair = Pair::new().await;
    let (mut client, _) = WebSocket::joined(&pair.here).await;
    pair.hub.delay_subscriptions(Duration::from_secs(3600));
    let start = Instant::now();
    client.send("421[\"join\",[\"r\"]]").await;
    assert!(timeout(DELAY, client.text()).await.is_err(), "it is held");
    pair.here.main_namespace().adapter().close().await;
    assert_eq!(text(&mut client).await, "431[]");
    assert!(start.elapsed() < Duration::from_millis(900));
}

#[tokio::test(start_paused = true)]
async fn thousands_of_rooms_at_once() {
    let pair = Pair::new().await;
    let (mut client, _) = WebSocket::joined(&pair.here).await;
    pair.hub.delay_subscriptions(DELAY);
    let rooms: Vec<_> = (0..5_000).map(|number| format!("\"r{number}\"")).collect();
    let start = Instant::now();
    client.send(&format!("421[\"join\",[{}]]", rooms.join(","))).await;
    pair.is_told_and_gets(&mut client, "431[]", "r4999").await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn sockets_that_another_program_lets_join_wait_too() {
    let pair = Pair::new().await;
    let (mut client, id) = WebSocket::joined(&pair.here).await;
    pair.hub.delay_subscriptions(DELAY);
    let start = Instant::now();
    pair.there.to(id.as_str()).sockets_join("r");
    pair.there.to(id.as_str()).emit("told", ());
    assert_eq!(text(&mut client).await, "42[\"told\"]");
    assert!(start.elapsed() >= DELAY);
    pair.there.to("r").emit("e", 1);
    assert_eq!(text(&mut client).await, "42[\"e\",1]");
}

/// Its CONNECT waits for the rooms that it is in again.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_recovered_waits_too() {
    let hub = MemoryHub::default();
    let shared = hub.clone();
    let recovery = ConnectionStateRecovery::within(Duration::from_secs(60));
    let server = Server::builder()
        .connection_state_recovery(recovery)
        .adapter(move |local| {
            let mut bus = shared.bus("node", &local.namespace());
            let recovery = bus.recover(&local, RecoveryOptions::default());
            ClusterAdapter::with_recovery(local, bus, ClusterOptions::default(), recovery)
        })
        .build();
    let mut client = WebSocket::connect(&server).await;
    let welcome = text(&mut client).await;
    let part = |key: &str| welcome.split(key).nth(1).unwrap().split('"').nth(2).unwrap().to_owned();
    let (id, secret) = (part("\"sid"), part("\"pid"));
    server.main_namespace().sockets().socket(&id).unwrap().join("r").unwrap();
    server.to("r").emit("e", 1);
    let event = text(&mut client).await;
    let offset = event.rsplit('"').nth(1).unwrap();
    drop(client);
    while !server.main_namespace().sockets().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    hub.delay_subscriptions(DELAY);
    let start = Instant::now();
    let auth = format!("{{\"pid\":\"{secret}\",\"offset\":\"{offset}\"}}");
    let mut client = WebSocket::connect_with(&server, &auth).await;
    assert_eq!(text(&mut client).await, welcome, "it is recovered");
    assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
    server.to("r").emit("e", 2);
    assert!(text(&mut client).await.starts_with("42[\"e\",2,"));
}
