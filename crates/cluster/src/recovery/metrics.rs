//! The counters of recovery.

use sockeye::Counter;

/// The counters of recovery over a log, of all namespaces that share them.
#[derive(Debug, Default)]
pub struct RecoveryMetrics {
    /// Events that were delivered to this node's clients without an offset, because the log did not bring them back in time.
    pub unlogged: Counter,
    /// Times that entries of the log were gone before they were read.
    pub gaps: Counter,
    /// Times that the sessions of living clients were written again, because the store may have lost them.
    pub rewritten: Counter,
    /// Clients that were recovered.
    pub recovered: Counter,
    /// Clients that were not, by the reason.
    refused: [Counter; Refusal::ALL.len()],
}

impl RecoveryMetrics {
    pub(super) fn refuse(&self, reason: Refusal) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.increment();
        }
    }

    /// How many clients were refused for this reason.
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused.get(reason as usize).map_or(0, Counter::value)
    }
}

/// Why a session is not recovered. Its client begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The broker is not reached, or does not answer.
    Unavailable,
    /// There is no session, or it is another's.
    NoSession,
    /// It cannot be told what the client has.
    NoPosition,
    /// Events that it may need are gone from the log.
    Trimmed,
    /// This node is behind, and stays so.
    Behind,
    /// It has missed more than a client may be sent at once.
    TooMuch,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Unavailable, Self::NoSession, Self::NoPosition, Self::Trimmed, Self::Behind, Self::TooMuch];

    /// The reason in a word, as the label of a metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::NoSession => "no_session",
            Self::NoPosition => "no_position",
            Self::Trimmed => "trimmed",
            Self::Behind => "behind",
            Self::TooMuch => "too_much",
        }
    }
}
