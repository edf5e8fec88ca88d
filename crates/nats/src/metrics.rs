//! What the adapter counts of its dealings with NATS.

use sockeye::Counter;

/// The counters of a [`NatsAdapter`](crate::NatsAdapter), over all its namespaces. What nodes say to one another is counted in
/// [`ClusterMetrics`](sockeye_cluster::ClusterMetrics).
#[derive(Debug, Default)]
pub struct NatsMetrics {
    /// Connections that could not be made, or were lost.
    pub disconnects: Counter,
    /// Times that a connection was made after one was lost: what other nodes published in between did not come.
    pub reconnects: Counter,
    /// Probes that were not answered in time.
    pub deaf: Counter,
    /// Messages that NATS took.
    pub published: Counter,
    /// Messages that found the queue to NATS full: they did not go out.
    pub dropped_outgoing: Counter,
    /// Volatile messages that were not sent, as there was no connection.
    pub dropped_volatile: Counter,
    /// Messages that were on their way to NATS when the connection was lost: some of them may have arrived.
    pub lost: Counter,
    /// Messages that are larger than what JetStream keeps (`max_payload`): they did not go out.
    pub too_large: Counter,
    /// Errors that the server told of, such as a subject that this user may not publish to.
    pub refused: Counter,
    /// Messages that came from NATS.
    pub received: Counter,
    /// Messages that came from NATS and found the queue full: they are lost.
    pub dropped_incoming: Counter,
    /// Messages for rooms that have no members here: they were not read.
    pub skipped: Counter,
}
