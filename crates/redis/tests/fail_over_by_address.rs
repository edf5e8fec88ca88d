//! A fail-over behind one address, as with a managed Redis or a virtual address: the address leads to the new master, and the old one
//! lives on as its replica, with all its connections.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use sockeye::Server;
use sockeye_cluster_suite::WebSocket;
use sockeye_redis::{Mode, RedisAdapter, RedisOptions, Subscription};
use support::{Redis, eventually};
use tokio::net::{TcpListener, TcpStream};

/// An address that leads to one server or another. Connections that are there stay.
struct Address {
    port: u16,
    leads_to: Arc<AtomicU16>,
}

impl Address {
    async fn of(server: &Redis) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let leads_to = Arc::new(AtomicU16::new(server.port));
        let target = leads_to.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let port = target.load(Ordering::Acquire);
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                        let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { port, leads_to }
    }
}

struct Node {
    server: Server,
    adapter: RedisAdapter,
    client: WebSocket,
}

impl Node {
    async fn join(address: &Address, mode: Mode) -> Self {
        let options = RedisOptions::new(format!("redis://127.0.0.1:{}", address.port), mode);
        let adapter = RedisAdapter::new(options).unwrap();
        let server = Server::builder().adapter(adapter.factory()).build();
        let (client, _) = WebSocket::joined(&server).await;
        eventually("it is connected", || adapter.check().is_ok()).await;
        Self { server, adapter, client }
    }
}

async fn nodes_move_to_the_new_master(mode: Mode) {
    let (old, new) = (Redis::started(), Redis::started());
    let (old_port, new_port) = (old.port.to_string(), new.port.to_string());
    new.command::<()>(&["REPLICAOF", "127.0.0.1", &old_port]);
    let is_in_step = || {
        let role: redis::Value = new.command(&["ROLE"]);
        format!("{role:?}").contains("connected")
    };
    eventually("the replica follows", is_in_step).await;
    let address = Address::of(&old).await;
    let mut early = Node::join(&address, mode).await;

    let since = Instant::now();
    new.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    old.command::<()>(&["REPLICAOF", "127.0.0.1", &new_port]);
    address.leads_to.store(new.port, Ordering::Release);

    eventually("it finds out", || early.adapter.metrics().disconnects.value() > 0).await;
    eventually("it is connected again", || early.adapter.check().is_ok()).await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    // Who comes now is with the new master from the first.
    let mut late = Node::join(&address, mode).await;
    let both_count = async || {
        let count = async |node: &Node| node.server.main_namespace().adapter().server_count().await.unwrap_or(0);
        count(&early).await == 2 && count(&late).await == 2
    };
    let until = Instant::now() + Duration::from_secs(20);
    while !both_count().await {
        assert!(Instant::now() < until, "they know one another");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    late.server.emit("from", "late");
    early.server.emit("from", "early");
    for node in [&mut early, &mut late] {
        let mut got = vec![node.client.text().await, node.client.text().await];
        got.sort();
        let is_both = |texts: &[String]| texts[0].contains("early") && texts[1].contains("late");
        assert!(is_both(&got), "{got:?}");
    }
    let listens = |server: &Redis| server.command::<String>(&["CLIENT", "LIST"]).matches("cmd=").count();
    assert!(listens(&new) > 1);
}

/// Whoever publishes at the very moment of the fail-over is refused before it has looked at the role. The connections that only
/// listen are made anew, too.
#[tokio::test]
async fn nobody_stays_with_the_old_master() {
    let (old, new) = (Redis::started(), Redis::started());
    let (old_port, new_port) = (old.port.to_string(), new.port.to_string());
    new.command::<()>(&["REPLICAOF", "127.0.0.1", &old_port]);
    let is_in_step = || format!("{:?}", new.command::<redis::Value>(&["ROLE"])).contains("connected");
    eventually("the replica follows", is_in_step).await;
    let address = Address::of(&old).await;
    let node = Node::join(&address, Mode::Streams).await;
    // Its first probes are over.
    tokio::time::sleep(Duration::from_millis(700)).await;
    address.leads_to.store(new.port, Ordering::Release);
    new.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    old.command::<()>(&["REPLICAOF", "127.0.0.1", &new_port]);
    node.server.emit("e", 1);
    // Of the old master's clients, those that this node has.
    let named = |line: &&str| line.contains("cmd=") && !line.contains("cmd=client") && !line.contains("flags=M");
    let stayed = || old.command::<String>(&["CLIENT", "LIST"]).lines().filter(named).count();
    eventually("it has moved", || stayed() == 0).await;
}

#[tokio::test]
async fn native() {
    nodes_move_to_the_new_master(Mode::Native).await;
}

#[tokio::test]
async fn sharded() {
    nodes_move_to_the_new_master(Mode::Sharded { subscription: Subscription::Dynamic }).await;
}

#[tokio::test]
async fn classic() {
    nodes_move_to_the_new_master(Mode::Classic).await;
}

#[tokio::test]
async fn streams() {
    nodes_move_to_the_new_master(Mode::Streams).await;
}

/// A replica is no place for a node from the first.
#[tokio::test]
async fn a_replica_is_named() {
    let (master, replica) = (Redis::started(), Redis::started());
    replica.command::<()>(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    let options = RedisOptions::new(format!("redis://127.0.0.1:{}", replica.port), Mode::Native);
    let adapter = RedisAdapter::new(options).unwrap();
    let server = Server::builder().adapter(adapter.factory()).build();
    server.start();
    let told = || adapter.check().is_err_and(|error| error.to_string().contains("the server is a replica"));
    eventually("it is told", told).await;
}
