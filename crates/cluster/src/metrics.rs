//! The counters of the cluster.

use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye::Counter;

/// The counters of this node's part in the cluster, over all namespaces whose options share them.
#[derive(Debug, Default)]
pub struct ClusterMetrics {
    /// Messages given to the bus.
    pub published: Counter,
    /// Messages that came from other nodes.
    pub received: Counter,
    /// Messages that the bus did not take: they are lost.
    pub publish_errors: Counter,
    /// Things that came over the bus and were not messages, or made no sense.
    pub garbage: Counter,
    /// Questions that were not asked, or not answered, because there were
    /// [`max_requests`](super::ClusterOptions::max_requests) already.
    pub requests_refused: Counter,
    /// Questions that not all nodes answered in time.
    pub requests_incomplete: Counter,
    /// Nodes that said nothing for too long.
    pub nodes_lost: Counter,
    /// Tasks that panicked, or ended although they should not, and were started again.
    pub tasks_restarted: Counter,
    /// Messages that were lost because handling them panicked.
    pub panics: Counter,
    /// Differences between this node's settings and those of other nodes at the same broker.
    pub mismatches: Counter,
    /// Subscriptions to rooms that the broker did not confirm in time: the clients that had joined were told so nevertheless.
    pub subscriptions_late: Counter,
    /// How many nodes there are.
    nodes: AtomicUsize,
}

impl ClusterMetrics {
    /// How many nodes have the main namespace, as this one sees it, itself among them; 0 if that is not known.
    pub fn nodes(&self) -> usize {
        self.nodes.load(Ordering::Relaxed)
    }

    /// So many nodes have the main namespace: where the broker counts them, its crate calls this.
    pub fn set_nodes(&self, count: usize) {
        self.nodes.store(count, Ordering::Relaxed);
    }

    pub(super) fn publish_failed(&self, namespace: &str, error: &dyn Display) {
        self.publish_errors.increment();
        tracing::debug!(namespace, %error, "a message to other nodes was dropped");
    }

    pub(super) fn garbage_received(&self, namespace: &str, reason: &dyn Display) {
        self.garbage.increment();
        tracing::debug!(namespace, %reason, "what came over the bus was ignored");
    }

    pub(super) fn request_refused(&self, namespace: &str) {
        self.requests_refused.increment();
        tracing::debug!(namespace, "too many questions between nodes at once (max_requests)");
    }

    pub(super) fn request_incomplete(&self, namespace: &str, missing: &[String]) {
        self.requests_incomplete.increment();
        tracing::debug!(namespace, ?missing, "not all nodes answered");
    }

    pub(super) fn subscriptions_late(&self, namespace: &str, rooms: usize) {
        self.subscriptions_late.add(u64::try_from(rooms).unwrap_or(u64::MAX));
        tracing::warn!(
            namespace,
            rooms,
            "the broker does not confirm subscriptions; clients are told of their joins without"
        );
    }

    pub(super) fn node_lost(&self, namespace: &str, node: &str) {
        self.nodes_lost.increment();
        tracing::warn!(namespace, node, "a node is not heard of any more");
    }
}
