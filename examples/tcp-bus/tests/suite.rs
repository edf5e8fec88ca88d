//! The suite for clusters, over the bus of the guide.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use example_tcp_bus::{Hub, TcpBus};
use sockeye::Server;
use sockeye_cluster::{ClusterAdapter, ClusterOptions};
use sockeye_cluster_suite::{Cluster, Node};
use tokio::net::TcpListener;

struct OverTcp {
    hub: Hub,
    address: SocketAddr,
    next: AtomicUsize,
}

impl Cluster for OverTcp {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (hub, address) = (Hub::default(), listener.local_addr().unwrap());
        tokio::spawn(hub.clone().serve(listener));
        Self { hub, address, next: AtomicUsize::new(0) }
    }

    async fn join(&self, options: ClusterOptions) -> Node {
        let name = format!("node-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let (hub, node, metrics) = (self.address, name.as_str().into(), options.metrics.clone());
        let server = Server::builder()
            .adapter(move |local| {
                let bus = TcpBus::new(hub, Clone::clone(&node), &local.namespace(), options.metrics.clone());
                ClusterAdapter::new(local, bus, options.clone())
            })
            .build();
        Node { server, name, metrics }
    }

    fn cut(&self, node: &str) {
        self.hub.cut(node, true);
    }

    fn heal(&self, node: &str) {
        self.hub.cut(node, false);
    }

    fn send_garbage(&self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        // The namespace, a name, to all, and something that is not a message.
        stream.write_all(b"\0\0\0\x01/\0\0\0\x01x\0\0\0\0\0\0\0\x08nonsense").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // The hub has read it when it ends the connection, too.
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
}

sockeye_cluster_suite::cluster_suite!(
    OverTcp,
    without { delivered: "the hub does not route by interest" },
    flavor = "multi_thread"
);
