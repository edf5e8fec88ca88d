//! The suite for clusters, over the bus in memory: with heartbeats, and with a bus that counts the nodes.

use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye::Server;
use sockeye_cluster::{ClusterAdapter, ClusterOptions, MemoryHub};
use sockeye_cluster_suite::{Cluster, Node};

/// Nodes that the bus counts, or nodes that tell one another that they are there.
struct InMemory<const COUNTED: bool> {
    hub: MemoryHub,
    next: AtomicUsize,
}

impl<const COUNTED: bool> Cluster for InMemory<COUNTED> {
    async fn start() -> Self {
        let hub = if COUNTED { MemoryHub::counting() } else { MemoryHub::default() };
        Self { hub, next: AtomicUsize::new(0) }
    }

    async fn join(&self, options: ClusterOptions) -> Node {
        let name = format!("node-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let (hub, node, metrics) = (self.hub.clone(), name.clone(), options.metrics.clone());
        let server = Server::builder()
            .adapter(move |local| {
                let bus = hub.bus(&node, &local.namespace());
                ClusterAdapter::new(local, bus, options.clone())
            })
            .build();
        Node { server, name, metrics }
    }

    fn names_nodes(&self) -> bool {
        !COUNTED
    }

    fn cut(&self, node: &str) {
        self.hub.cut(node);
    }

    fn heal(&self, node: &str) {
        self.hub.heal(node);
    }

    fn send_garbage(&self) {
        self.hub.send_garbage("/");
    }

    fn delivered(&self, node: &str) -> u64 {
        self.hub.delivered(node)
    }
}

mod heartbeats {
    sockeye_cluster_suite::cluster_suite!(super::InMemory<false>, start_paused = true);
}

mod counted {
    sockeye_cluster_suite::cluster_suite!(
        super::InMemory<true>,
        without { names: "the bus counts the nodes, and does not name them" },
        start_paused = true
    );
}
