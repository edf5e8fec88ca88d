//! What the server counts, and the one place where an occurrence is both counted and logged.

mod rejected;

use std::ops::Deref;
use std::sync::Arc;

use sockeye_engine::internal::{LogGate, millis};
use sockeye_engine::{Bound as EngineBound, Counter, Gauge, Metrics as EngineMetrics};

use self::rejected::Rejected;

/// A bound of [`Limits`](crate::Limits), as the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bound {
    /// [`EngineLimits::max_connections`](crate::EngineLimits::max_connections)
    Connections,
    /// [`EngineLimits::max_handshakes`](crate::EngineLimits::max_handshakes)
    Handshakes,
    /// [`EngineLimits::max_unjoined`](crate::EngineLimits::max_unjoined)
    Unjoined,
    /// [`EngineLimits::max_outbox_bytes`](crate::EngineLimits::max_outbox_bytes)
    Outbox,
    /// [`EngineLimits::max_behind_bytes`](crate::EngineLimits::max_behind_bytes): a sender was held back
    Behind,
    /// [`Limits::max_namespaces`](crate::Limits::max_namespaces)
    Namespaces,
    /// [`Limits::max_rooms`](crate::Limits::max_rooms)
    Rooms,
    /// [`Limits::max_pending_acks`](crate::Limits::max_pending_acks)
    PendingAcks,
    /// [`Limits::attachment_timeout`](crate::Limits::attachment_timeout)
    AttachmentTime,
    /// [`EngineOptions::max_http_buffer_size`](crate::EngineOptions::max_http_buffer_size)
    Payload,
    /// [`EngineOptions::connect_timeout`](crate::EngineOptions::connect_timeout)
    ConnectTime,
    /// [`Limits::max_child_namespaces`](crate::Limits::max_child_namespaces)
    ChildNamespaces,
    /// [`EngineLimits::max_tcp_connections`](crate::EngineLimits::max_tcp_connections)
    TcpConnections,
    /// [`Limits::max_handlers`](crate::Limits::max_handlers): its events waited, and reading was paused
    Handlers,
    /// [`EngineLimits::max_deflate_contexts`](crate::EngineLimits::max_deflate_contexts)
    DeflateContexts,
}

impl Bound {
    /// Every bound, for tables of metrics.
    pub const ALL: [Self; 15] = [
        Self::Connections,
        Self::Handshakes,
        Self::Unjoined,
        Self::Outbox,
        Self::Behind,
        Self::Namespaces,
        Self::Rooms,
        Self::PendingAcks,
        Self::AttachmentTime,
        Self::Payload,
        Self::ConnectTime,
        Self::ChildNamespaces,
        Self::TcpConnections,
        Self::Handlers,
        Self::DeflateContexts,
    ];

    /// The name of the option, as in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "max_connections",
            Self::Handshakes => "max_handshakes",
            Self::Unjoined => "max_unjoined",
            Self::Outbox => "max_outbox_bytes",
            Self::Behind => "max_behind_bytes",
            Self::Namespaces => "max_namespaces",
            Self::Rooms => "max_rooms",
            Self::PendingAcks => "max_pending_acks",
            Self::AttachmentTime => "attachment_timeout",
            Self::Payload => "max_http_buffer_size",
            Self::ConnectTime => "connect_timeout",
            Self::ChildNamespaces => "max_child_namespaces",
            Self::TcpConnections => "max_tcp_connections",
            Self::Handlers => "max_handlers",
            Self::DeflateContexts => "max_deflate_contexts",
        }
    }

    /// The same for the engine, if it is one of its bounds; otherwise its place among ours.
    const fn of_engine(self) -> Result<EngineBound, usize> {
        Ok(match self {
            Self::Connections => EngineBound::Connections,
            Self::Handshakes => EngineBound::Handshakes,
            Self::Unjoined => EngineBound::Unjoined,
            Self::Outbox => EngineBound::Outbox,
            Self::Behind => EngineBound::Behind,
            Self::Payload => EngineBound::Payload,
            Self::ConnectTime => EngineBound::ConnectTime,
            Self::TcpConnections => EngineBound::TcpConnections,
            Self::DeflateContexts => EngineBound::DeflateContexts,
            Self::Namespaces => return Err(0),
            Self::Rooms => return Err(1),
            Self::PendingAcks => return Err(2),
            Self::AttachmentTime => return Err(3),
            Self::ChildNamespaces => return Err(4),
            Self::Handlers => return Err(5),
        })
    }
}

/// How many bounds are not the engine's.
const OWN_BOUNDS: usize = 6;

/// The counters of one server; those of its connections are fields of this, too. Reading them costs nothing on the path of a message.
#[derive(Debug)]
pub struct Metrics {
    engine: Arc<EngineMetrics>,
    /// Sockets that are connected, over all namespaces.
    pub sockets: Gauge,
    /// Sessions recovered with connection state recovery.
    pub recovered: Counter,
    /// Events received.
    pub events_received: Counter,
    /// Events that no handler is registered for.
    pub unhandled_events: Counter,
    /// Events whose arguments a handler could not take.
    pub rejected_events: Counter,
    /// Emits that failed, for an argument that cannot be encoded for example.
    pub failed_emits: Counter,
    /// Handlers that returned an error.
    pub handler_errors: Counter,
    /// Acknowledgements that no emit waited for: late ones, and those that nobody asked for.
    pub unasked_acks: Counter,
    bounds: [(Counter, LogGate); OWN_BOUNDS],
    panics: LogGate,
    failures: LogGate,
    emit_failures: LogGate,
    rejected: Rejected,
    listener_panics: LogGate,
}

impl Deref for Metrics {
    type Target = EngineMetrics;

    fn deref(&self) -> &EngineMetrics {
        &self.engine
    }
}

impl Metrics {
    pub(crate) fn new(engine: Arc<EngineMetrics>) -> Self {
        Self {
            engine,
            sockets: Gauge::default(),
            recovered: Counter::default(),
            events_received: Counter::default(),
            unhandled_events: Counter::default(),
            rejected_events: Counter::default(),
            failed_emits: Counter::default(),
            handler_errors: Counter::default(),
            unasked_acks: Counter::default(),
            bounds: Default::default(),
            panics: LogGate::default(),
            failures: LogGate::default(),
            emit_failures: LogGate::default(),
            rejected: Rejected::default(),
            listener_panics: LogGate::default(),
        }
    }

    /// How often `bound` was reached.
    pub fn reached(&self, bound: Bound) -> u64 {
        match bound.of_engine() {
            Ok(bound) => self.engine.reached(bound),
            Err(at) => self.bounds.get(at).map_or(0, |(counter, _)| counter.value()),
        }
    }

    /// A client, or the program, ran into a bound of ours. Clients can make that happen as often as they like: each time counts, but
    /// only one in a second is logged, with how many there were before it that were not.
    pub(crate) fn bound_reached(&self, bound: Bound, sid: &str) {
        let Err(Some((counter, gate))) = bound.of_engine().map_err(|at| self.bounds.get(at)) else { return };
        counter.increment();
        if let Some(suppressed) = gate.pass() {
            tracing::warn!(sid, bound = bound.as_str(), suppressed, "limit reached");
        }
    }

    /// A handler panicked; its socket is closed.
    pub(crate) fn handler_panicked(&self, sid: &str, event: &str, panic: &str) {
        self.handler_panics.increment();
        if let Some(suppressed) = self.panics.pass() {
            tracing::error!(sid, event, panic, suppressed, "a handler panicked; its connection is closed");
        }
    }

    /// A listener that belongs to no client panicked. One that sees every event may do so often: only one in a second is logged.
    pub(crate) fn listener_panicked(&self, namespace: &str, panic: &str) {
        self.handler_panics.increment();
        if let Some(suppressed) = self.listener_panics.pass() {
            tracing::error!(namespace, panic, suppressed, "a listener panicked");
        }
    }

    /// An event's arguments were not what its handler takes. A mistake of the program or of its client that is seen nowhere else;
    /// but clients can do it as often as they like, so it is told once in a minute for each name.
    pub(crate) fn event_rejected(&self, sid: &str, event: &str, rejection: &dyn std::fmt::Display) {
        self.rejected_events.increment();
        match self.rejected.admit(event, millis()) {
            Some(suppressed) => {
                // It may quote what the client sent.
                let reason: String = rejection.to_string().chars().take(MAX_REASON).collect();
                tracing::warn!(
                    sid,
                    event,
                    reason,
                    suppressed,
                    "an event was refused: its arguments do not fit the handler"
                );
            }
            None => tracing::debug!(sid, event, %rejection, "event rejected"),
        }
    }

    /// A handler gave back an error.
    pub(crate) fn handler_failed(&self, sid: &str, event: &str, error: &dyn std::fmt::Display) {
        self.handler_errors.increment();
        if let Some(suppressed) = self.failures.pass() {
            tracing::error!(sid, event, %error, suppressed, "a handler failed");
        }
    }

    /// An emit could not be encoded, or is not allowed.
    pub(crate) fn emit_failed(&self, event: &str, error: &dyn std::fmt::Display) {
        self.failed_emits.increment();
        if let Some(suppressed) = self.emit_failures.pass() {
            tracing::error!(event, %error, suppressed, "emit failed; nothing was sent");
        }
    }
}

/// Characters of the reason in a warning.
const MAX_REASON: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_counts_for_itself() {
        let metrics = Metrics::new(Arc::default());
        metrics.bound_reached(Bound::Rooms, "a");
        metrics.bound_reached(Bound::Rooms, "a");
        metrics.bound_reached(Bound::Handlers, "a");
        let counts = Bound::ALL.map(|bound| metrics.reached(bound));
        assert_eq!(counts.iter().sum::<u64>(), 3);
        assert_eq!((metrics.reached(Bound::Rooms), metrics.reached(Bound::Handlers)), (2, 1));
    }

    #[test]
    fn the_bounds_of_the_engine_have_the_same_names() {
        let names = |bound: Bound| bound.of_engine().map(|engine| (engine.as_str(), bound.as_str()));
        let pairs: Vec<_> = Bound::ALL.into_iter().filter_map(|bound| names(bound).ok()).collect();
        assert_eq!(pairs.len(), EngineBound::ALL.len());
        assert!(pairs.iter().all(|(engine, own)| engine == own), "{pairs:?}");
    }
}
