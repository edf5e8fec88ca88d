//! The suite for clusters, over the bus in memory: with heartbeats, and with a bus that counts the nodes.

use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye::Server;
use sockeye_cluster::{ClusterAdapter, ClusterOptions, MemoryHub};
use sockeye_cluster_suite::{Cluster, Faults, Node};

/// Nodes that tell one another that they are there.
struct Beating(Joined);

/// Nodes that the bus counts.
struct Counted(Joined);

struct Joined {
    hub: MemoryHub,
    next: AtomicUsize,
}

impl Joined {
    fn new(hub: MemoryHub) -> Self {
        Self { hub, next: AtomicUsize::new(0) }
    }

    fn join(&self, options: ClusterOptions) -> Node {
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
}

impl Faults for Joined {
    fn cut(&self, node: &str) {
        self.hub.cut(node);
    }

    fn heal(&self, node: &str) {
        self.hub.heal(node);
    }

    fn send_garbage(&self) {
        self.hub.send_garbage("/");
    }

    fn delivered(&self, node: &str) -> Option<u64> {
        Some(self.hub.delivered(node))
    }
}

impl Cluster for Beating {
    async fn start() -> Self {
        Self(Joined::new(MemoryHub::default()))
    }

    async fn join(&self, options: ClusterOptions) -> Node {
        self.0.join(options)
    }

    fn names_nodes(&self) -> bool {
        true
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(&self.0)
    }
}

impl Cluster for Counted {
    async fn start() -> Self {
        Self(Joined::new(MemoryHub::counting()))
    }

    async fn join(&self, options: ClusterOptions) -> Node {
        self.0.join(options)
    }

    fn names_nodes(&self) -> bool {
        false
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(&self.0)
    }
}

mod beating {
    sockeye_cluster_suite::cluster_suite!(super::Beating, start_paused = true);
}

mod counted {
    sockeye_cluster_suite::cluster_suite!(super::Counted, start_paused = true);
}
