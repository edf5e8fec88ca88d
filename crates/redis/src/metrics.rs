//! What the adapter counts of its dealings with Redis.

use std::sync::Arc;

use sockeye::Counter;
use sockeye_cluster::recovery::RecoveryMetrics;

/// The counters of a [`RedisAdapter`](crate::RedisAdapter), over all its namespaces. What nodes say to one another is counted in
/// [`ClusterMetrics`](sockeye_cluster::ClusterMetrics).
#[derive(Debug, Default)]
pub struct RedisMetrics {
    /// Connections that could not be made, or were lost.
    pub disconnects: Counter,
    /// How often other servers of Redis were found to own the keys: a master was replaced, or slots of a Redis Cluster have moved.
    pub owner_changes: Counter,
    /// Times that nothing was heard on a connection that seemed to work: it was given up, and is among the disconnects.
    pub deaf: Counter,
    /// Times that a new connection listens to all channels after one was lost.
    pub resubscribed: Counter,
    /// Messages that Redis took.
    pub published: Counter,
    /// Messages that found the queue to Redis full: they did not go out.
    pub dropped_outgoing: Counter,
    /// Volatile messages that were not sent, as there was no connection.
    pub dropped_volatile: Counter,
    /// Messages that waited for longer than [`max_message_age`](crate::RedisOptions::max_message_age): they did not go out.
    pub dropped_old: Counter,
    /// Messages that were on their way to Redis when the connection was lost: some of them may have arrived.
    pub lost: Counter,
    /// Messages that Redis refused.
    pub refused: Counter,
    /// Messages that came from Redis, own ones among them.
    pub received: Counter,
    /// Messages that came from Redis and found the queue full: they are lost.
    pub dropped_incoming: Counter,
    /// What connection state recovery counts.
    pub recovery: Arc<RecoveryMetrics>,
    /// Messages for rooms and namespaces that have no members here any more: they were not read.
    pub skipped: Counter,
}
