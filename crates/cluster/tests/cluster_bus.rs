//! Clusters whose bus is slow, full, closed or lies.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../sockeye/tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use sockeye::adapter::{Packet, PacketBody, RoomEvent};
use sockeye::{Args, BroadcastError, Server, Target};
use sockeye_cluster::{ClusterAdapter, ClusterMetrics, ClusterOptions, MemoryHub, Message};
use support::{WebSocket, request};
use tokio::time::Instant;

struct Pair {
    hub: MemoryHub,
    servers: [Server; 2],
    metrics: [Arc<ClusterMetrics>; 2],
    clients: [WebSocket; 2],
}

fn server(hub: &MemoryHub, name: &'static str, max_requests: usize) -> (Server, Arc<ClusterMetrics>) {
    let mut options = ClusterOptions::default();
    options.max_requests = max_requests;
    let (hub, metrics) = (hub.clone(), options.metrics.clone());
    let make = move |local: Arc<sockeye::adapter::Local>| {
        let bus = hub.bus(name, &local.namespace());
        ClusterAdapter::new(local, bus, options.clone())
    };
    (Server::builder().adapter(make).build(), metrics)
}

impl Pair {
    async fn new(max_requests: [usize; 2]) -> Self {
        let hub = MemoryHub::default();
        let (one, one_metrics) = server(&hub, "one", max_requests[0]);
        let (two, two_metrics) = server(&hub, "two", max_requests[1]);
        let clients = [WebSocket::joined(&one).await.0, WebSocket::joined(&two).await.0];
        for server in [&one, &two] {
            while server.main_namespace().adapter().server_count().await.unwrap() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Self { hub, servers: [one, two], metrics: [one_metrics, two_metrics], clients }
    }

    fn one(&self) -> &Server {
        &self.servers[0]
    }
}

fn broadcast(packet: Packet) -> Message {
    Message::Broadcast { packet, target: Target::default(), request: None }
}

#[tokio::test(start_paused = true)]
async fn an_emit_does_not_wait_for_a_slow_bus() {
    let mut pair = Pair::new([10, 10]).await;
    pair.hub.delay(Duration::from_secs(2));
    let start = Instant::now();
    for number in 0..100 {
        pair.one().emit("e", number);
    }
    assert!(start.elapsed().is_zero());
    for number in 0..100 {
        assert_eq!(pair.clients[1].text().await, format!("42[\"e\",{number}]"));
    }
    assert!(start.elapsed() >= Duration::from_secs(2));
    let found = pair.one().fetch_sockets().await.unwrap();
    assert!(found.is_complete(), "four seconds are in time");
    let found = pair.one().timeout(Duration::from_secs(1)).fetch_sockets().await.unwrap();
    assert_eq!(found.missing, ["two"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_and_counts() {
    let pair = Pair::new([10, 10]).await;
    pair.servers[1].local().sockets_join("r");
    for number in 0..70_000 {
        pair.one().to("r").emit("e", number);
    }
    assert!(pair.metrics[0].publish_errors.value() > 0);
    let start = Instant::now();
    let found = pair.one().fetch_sockets().await.unwrap();
    assert_eq!(found.missing, ["two"], "the question was not sent");
    assert!(start.elapsed().is_zero(), "so that nobody waits for the answer");
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_refuses_is_counted_and_own_clients_are_served() {
    let mut pair = Pair::new([10, 10]).await;
    pair.hub.refuse("one", true);
    let before = pair.metrics[0].publish_errors.value();
    pair.one().emit("e", 1);
    assert_eq!(pair.metrics[0].publish_errors.value() - before, 1);
    assert_eq!(pair.one().fetch_sockets().await.unwrap().missing, ["two"]);
    pair.hub.refuse("one", false);
    pair.one().emit("e", 2);
    assert_eq!(pair.clients[0].text().await, "42[\"e\",1]");
    for client in &mut pair.clients {
        assert_eq!(client.text().await, "42[\"e\",2]");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_started_again_and_no_message_is_lost() {
    let mut pair = Pair::new([10, 10]).await;
    for number in 0..10 {
        pair.hub.panic("two", "/");
        pair.one().emit("e", number);
    }
    for number in 0..10 {
        assert_eq!(pair.clients[1].text().await, format!("42[\"e\",{number}]"));
    }
}

/// Its leave is for all nodes, and its count for one: the leave comes first.
#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_before_its_answer_is_there_is_not_waited_for() {
    let mut pair = Pair::new([10, 10]).await;
    pair.hub.delay_answers(Duration::from_secs(1));
    let server = pair.one().clone();
    let asking =
        tokio::spawn(async move { server.timeout(Duration::from_secs(60)).emit_with_ack::<u8>("q", ()).await });
    assert_eq!(pair.clients[0].text().await, "420[\"q\"]");
    assert_eq!(pair.clients[1].text().await, "420[\"q\"]");
    let start = Instant::now();
    pair.servers[1].main_namespace().adapter().close().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!asking.is_finished(), "the own client has not answered");
    pair.clients[0].send("430[7]").await;
    let Err(BroadcastError::Incomplete(error)) = asking.await.unwrap() else { panic!("nobody answers") };
    assert_eq!((error.responses.len(), error.expected, &error.missing[..]), (1, 2, &["two".to_owned()][..]));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lost_question_is_answered_by_time_and_a_lost_answer_too() {
    let pair = Pair::new([10, 10]).await;
    pair.hub.lose(1);
    let found = pair.one().fetch_sockets().await.unwrap();
    assert_eq!((found.len(), &found.missing[..]), (1, &["two".to_owned()][..]));
    assert!(pair.one().fetch_sockets().await.unwrap().is_complete());
}

#[tokio::test(start_paused = true)]
async fn room_events_in_the_wrong_order_do_not_confuse_the_interest() {
    let hub = MemoryHub::default();
    let (other, _) = server(&hub, "other", 10);
    let make = {
        let hub = hub.clone();
        move |local: Arc<sockeye::adapter::Local>| {
            // A listener that is called before the adapter's, and takes back what it hears of: the adapter hears of that first.
            let weak = Arc::downgrade(&local);
            local.on_room_event(move |event| {
                let Some(local) = weak.upgrade() else { return };
                if let RoomEvent::Joined(room, id) = event
                    && &**room == "r"
                {
                    local.socket(id).unwrap().leave("r");
                }
                if let RoomEvent::Created(room) = event
                    && &**room == "s"
                {
                    for socket in local.sockets(&Target::default()) {
                        socket.leave("s");
                    }
                }
            });
            let bus = hub.bus("one", &local.namespace());
            ClusterAdapter::new(local, bus, ClusterOptions::default())
        }
    };
    let one = Server::builder().adapter(make).build();
    let (_client, _) = WebSocket::joined(&one).await;
    let (_other_client, _) = WebSocket::joined(&other).await;
    for room in ["r", "s"] {
        one.local().sockets_join(room);
        let before = hub.delivered("one");
        for number in 0..10 {
            other.to(room).emit("e", number);
        }
        assert_eq!(hub.delivered("one"), before, "nobody is in {room}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_no_node_may_broadcast_but_not_ask() {
    let mut pair = Pair::new([10, 10]).await;
    pair.hub.send("/", &broadcast(Packet::event("/", "e", Args::empty()))).unwrap();
    let question = Message::FetchSockets { target: Target::default(), request: "r".into() };
    pair.hub.send("/", &question).unwrap();
    for client in &mut pair.clients {
        assert_eq!(client.text().await, "42[\"e\"]");
        client.silence().await;
    }
    assert_eq!(pair.metrics.each_ref().map(|metrics| metrics.garbage.value()), [1, 1]);
    assert_eq!(pair.one().main_namespace().adapter().server_count().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn packets_that_are_no_events_of_the_namespace_reach_nobody() {
    let mut pair = Pair::new([10, 10]).await;
    pair.hub.send("/", &broadcast(Packet::event("/other", "e", Args::empty()))).unwrap();
    pair.hub.send("/", &broadcast(Packet::new("/", PacketBody::Disconnect))).unwrap();
    for client in &mut pair.clients {
        client.silence().await;
    }
    assert_eq!(pair.metrics.each_ref().map(|metrics| metrics.garbage.value()), [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_node_works_at_so_many_questions_and_no_more() {
    let mut pair = Pair::new([10, 1]).await;
    let server = pair.one().clone();
    let ask = |number: u8, seconds| {
        let emit = server.timeout(Duration::from_secs(seconds));
        tokio::spawn(async move { emit.emit_with_ack::<u8>("q", number).await })
    };
    let first = ask(1, 3);
    assert_eq!(pair.clients[1].text().await, "420[\"q\",1]");
    let Err(BroadcastError::Incomplete(error)) = ask(2, 1).await.unwrap() else { panic!("nobody answers") };
    assert_eq!(error.missing, ["two"]);
    assert_eq!(pair.metrics[1].requests_refused.value(), 1);
    assert!(first.await.unwrap().is_err());
    let third = ask(3, 1);
    assert_eq!(pair.clients[1].text().await, "421[\"q\",3]");
    assert!(third.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn with_too_many_questions_open_a_broadcast_asks_this_node_only() {
    let mut pair = Pair::new([1, 10]).await;
    let ask = |number: u8| {
        let server = pair.servers[0].clone();
        tokio::spawn(async move { server.timeout(Duration::from_secs(1)).emit_with_ack::<u8>("q", number).await })
    };
    let (first, second) = (ask(1), ask(2));
    assert_eq!(pair.clients[1].text().await, "420[\"q\",1]");
    for number in 1..3 {
        assert!(pair.clients[0].text().await.ends_with(&format!("[\"q\",{number}]")));
    }
    let Err(BroadcastError::Incomplete(error)) = second.await.unwrap() else { panic!("nobody answers") };
    assert_eq!((error.expected, &error.missing[..]), (1, &["two".to_owned()][..]));
    assert!(first.await.unwrap().is_err());
    pair.clients[1].silence().await;
    assert_eq!(pair.metrics[0].requests_refused.value(), 1);
}

#[tokio::test(start_paused = true)]
async fn before_the_bus_is_open_and_after_it_is_closed_the_own_clients_are_served() {
    let hub = MemoryHub::default();
    let (server, metrics) = server(&hub, "one", 10);
    server.emit("early", ());
    assert_eq!(metrics.publish_errors.value(), 1);
    let (status, ..) = request(&server, http::Method::GET, "/socket.io/?EIO=4&transport=none", &[], "").await;
    assert_eq!(status, 400);
    let (mut client, _) = WebSocket::joined(&server).await;
    let adapter = server.main_namespace().adapter().clone();
    adapter.close().await;
    adapter.close().await;
    server.emit("late", ());
    assert_eq!(client.text().await, "42[\"late\"]");
    assert_eq!(metrics.publish_errors.value(), 2);
    assert_eq!(server.fetch_sockets().await.unwrap().len(), 1);
}
