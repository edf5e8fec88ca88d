//! What the adapter counts of its dealings with Redis.

use sockeye::Counter;

/// The counters of a [`RedisAdapter`](crate::RedisAdapter), over all its namespaces. What nodes say to one another is counted in
/// [`ClusterMetrics`](sockeye::cluster::ClusterMetrics), messages that found the queue to Redis full among it.
#[derive(Debug, Default)]
pub struct RedisMetrics {
    /// Connections that could not be made, or were lost.
    pub disconnects: Counter,
    /// Messages that were on their way to Redis when the connection was lost: some of them may have arrived.
    pub lost: Counter,
    /// Messages that Redis refused.
    pub refused: Counter,
    /// Messages that came from Redis, own ones among them.
    pub received: Counter,
    /// Messages that came from Redis and found the queue full: they are lost.
    pub dropped: Counter,
    /// Events that were delivered to this node's clients without an offset, because Redis did not bring them back in time. With
    /// connection state recovery only.
    pub unlogged: Counter,
    /// Times that entries of a stream were trimmed or lost before they were read. With connection state recovery only.
    pub gaps: Counter,
    /// Messages for rooms and namespaces that have no members here any more: they were not read.
    pub skipped: Counter,
}
