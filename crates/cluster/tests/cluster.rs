//! The suite for clusters, over the bus in memory: with heartbeats, and with a bus that counts the nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye::adapter::Local;
use sockeye::{ConnectionStateRecovery, Server, ServerBuilder};
use sockeye_cluster::recovery::RecoveryOptions;
use sockeye_cluster::{ClusterAdapter, ClusterOptions, MemoryHub};
use sockeye_cluster_suite::{Cluster, Node, Recovering};

/// Nodes that the bus counts, or nodes that tell one another that they are there.
struct InMemory<const COUNTED: bool> {
    hub: MemoryHub,
    next: AtomicUsize,
}

impl<const COUNTED: bool> InMemory<COUNTED> {
    fn node(&self, builder: ServerBuilder, options: ClusterOptions) -> Node {
        let name = format!("node-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let (hub, node, metrics) = (self.hub.clone(), name.clone(), options.metrics.clone());
        let adapter = move |local: Arc<Local>| {
            let mut bus = hub.bus(&node, &local.namespace());
            let recovery = bus.recover(&local, RecoveryOptions::default());
            ClusterAdapter::with_recovery(local, bus, options.clone(), recovery)
        };
        Node { server: builder.adapter(adapter).build(), name, metrics }
    }
}

impl<const COUNTED: bool> Cluster for InMemory<COUNTED> {
    async fn start() -> Self {
        let hub = if COUNTED { MemoryHub::counting() } else { MemoryHub::default() };
        Self { hub, next: AtomicUsize::new(0) }
    }

    async fn join(&self, options: ClusterOptions) -> Node {
        self.node(Server::builder(), options)
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

impl<const COUNTED: bool> Recovering for InMemory<COUNTED> {
    async fn join_recovering(&self, options: ClusterOptions, recovery: ConnectionStateRecovery) -> Node {
        self.node(Server::builder().connection_state_recovery(recovery), options)
    }

    fn trim(&self) {
        self.hub.trim("/");
    }

    fn refuse_to_keep(&self, is_refused: bool) {
        self.hub.refuse_to_keep(is_refused);
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

mod recovery {
    sockeye_cluster_suite::recovery_suite!(super::InMemory<false>, start_paused = true);
}

mod recovery_counted {
    sockeye_cluster_suite::recovery_suite!(super::InMemory<true>, start_paused = true);
}
