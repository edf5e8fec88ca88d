//! The hub goes away, and comes back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use example_tcp_bus::{Hub, TcpBus};
use parking_lot::Mutex;
use sockeye::{Args, Server};
use sockeye_cluster::{ClusterAdapter, ClusterOptions, NodeId};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

async fn hub(port: u16) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    (listener.local_addr().unwrap(), tokio::spawn(Hub::default().serve(listener)))
}

/// A server that has joined, and the numbers that it hears.
async fn node(hub: SocketAddr, name: &'static str) -> (Server, Arc<Mutex<Vec<u32>>>) {
    let server = Server::builder()
        .adapter(move |local| {
            let options = ClusterOptions::default();
            let bus = TcpBus::new(hub, NodeId::from(name), &local.namespace(), options.metrics.clone());
            ClusterAdapter::new(local, bus, options)
        })
        .build();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    server.main_namespace().on_server_event("number", move |args: Args| {
        log.lock().push(args.deserialize().unwrap());
        async { None }
    });
    server.main_namespace().adapter().init().await.unwrap();
    (server, heard)
}

#[tokio::test]
async fn nodes_find_one_another_again() {
    let (address, first) = hub(0).await;
    let (one, _) = node(address, "one").await;
    let (_two, heard) = node(address, "two").await;
    let says = async |number: u32| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !heard.lock().contains(&number) {
            assert!(tokio::time::Instant::now() < deadline, "{number} is not heard");
            // What is sent while the connection ends may be lost.
            one.server_side_emit("number", number).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    says(1).await;
    first.abort();
    drop(first.await);
    let (_, _second) = hub(address.port()).await;
    says(2).await;
}
