//! What a node counts of the requests that it forwards, and of those that it gets.

use super::directory::NodeTag;
use crate::metrics::{Counter, Gauge};

/// Why a request was not forwarded, or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardFailure {
    /// The directory does not know the owner: it is gone. Answered 400, unknown session.
    Unknown,
    /// The owner could not be reached. Answered as above.
    Unreachable,
    /// The owner went away before it answered. Answered as above.
    Lost,
    /// As many requests, or WebSockets, are forwarded as may be. Answered 503.
    Busy,
    /// The directory failed. Answered 503.
    Directory,
}

impl ForwardFailure {
    /// Every reason, for tables of metrics.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Unreachable, Self::Lost, Self::Busy, Self::Directory];

    /// The reason in a word, as the label of a metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::Busy => "busy",
            Self::Directory => "directory",
        }
    }
}

/// The counters of one node's dealings with the others.
#[derive(Debug, Default)]
pub struct PeerMetrics {
    /// Requests that were forwarded and answered, upgrades among them.
    pub forwarded: Counter,
    /// Requests that are being forwarded.
    pub waiting: Gauge,
    /// WebSockets whose session is on another node.
    pub websockets: Gauge,
    /// Requests that other nodes forwarded to this one.
    pub served: Counter,
    /// Requests on the listener for nodes that were refused: not from a node, or meant for another.
    pub refused: Counter,
    /// Times that the directory was asked for an owner.
    pub lookups: Counter,
    failures: [Counter; ForwardFailure::ALL.len()],
}

impl PeerMetrics {
    /// Requests that came to nothing for this reason.
    pub fn failed(&self, failure: ForwardFailure) -> u64 {
        self.failure(failure).map_or(0, Counter::value)
    }

    pub(crate) fn forward_failed(&self, owner: NodeTag, failure: ForwardFailure) {
        if let Some(counter) = self.failure(failure) {
            counter.increment();
        }
        tracing::debug!(%owner, reason = failure.as_str(), "a request was not forwarded");
    }

    pub(crate) fn request_refused(&self) {
        self.refused.increment();
        tracing::debug!("a request on the listener for nodes was refused");
    }

    fn failure(&self, failure: ForwardFailure) -> Option<&Counter> {
        ForwardFailure::ALL.iter().position(|each| *each == failure).and_then(|at| self.failures.get(at))
    }
}
