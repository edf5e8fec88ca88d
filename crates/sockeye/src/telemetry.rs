//! What the server counts, and the one place where an occurrence is both counted and logged.
//!
//! Counters are striped over cache lines, so that threads which count at the same time do not wait for each other.

mod rejected;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use sockeye_protocol::CloseReason;

use self::rejected::Rejected;

const STRIPES: usize = 8;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell(AtomicU64);

/// A counter that many threads add to at once.
#[derive(Debug, Default)]
pub struct Counter([Cell; STRIPES]);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        if let Some(cell) = self.0.get(stripe()) {
            cell.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.iter().map(|cell| cell.0.load(Ordering::Relaxed)).sum()
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn add(&self, count: i64) -> i64 {
        self.0.fetch_add(count, Ordering::Relaxed) + count
    }

    /// The value now.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which stripe the calling thread counts in.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    STRIPE.try_with(|stripe| *stripe).unwrap_or(0)
}

/// A bound of [`Limits`](crate::Limits), as the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bound {
    /// [`Limits::max_connections`](crate::Limits::max_connections)
    Connections,
    /// [`Limits::max_handshakes`](crate::Limits::max_handshakes)
    Handshakes,
    /// [`Limits::max_unjoined`](crate::Limits::max_unjoined)
    Unjoined,
    /// [`Limits::max_outbox_bytes`](crate::Limits::max_outbox_bytes)
    Outbox,
    /// [`Limits::max_behind_bytes`](crate::Limits::max_behind_bytes): a sender was held back
    Behind,
    /// [`Limits::max_namespaces`](crate::Limits::max_namespaces)
    Namespaces,
    /// [`Limits::max_rooms`](crate::Limits::max_rooms)
    Rooms,
    /// [`Limits::max_pending_acks`](crate::Limits::max_pending_acks)
    PendingAcks,
    /// [`Limits::attachment_timeout`](crate::Limits::attachment_timeout)
    AttachmentTime,
    /// [`Options::max_http_buffer_size`](crate::Options::max_http_buffer_size)
    Payload,
    /// [`Options::connect_timeout`](crate::Options::connect_timeout)
    ConnectTime,
    /// [`Limits::max_child_namespaces`](crate::Limits::max_child_namespaces)
    ChildNamespaces,
    /// [`Limits::max_tcp_connections`](crate::Limits::max_tcp_connections)
    TcpConnections,
    /// [`Limits::max_handlers`](crate::Limits::max_handlers): its events waited, and reading was paused
    Handlers,
    /// [`Limits::max_deflate_contexts`](crate::Limits::max_deflate_contexts)
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
}

/// The counters of one server. Reading them costs nothing on the path of a message.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Engine.IO sessions that are open.
    pub connections: Gauge,
    /// Sessions that have joined no namespace yet.
    pub unjoined: Gauge,
    /// Handshakes that are being answered.
    pub handshakes: Gauge,
    /// Sockets that are connected, over all namespaces.
    pub sockets: Gauge,
    /// Sessions opened since the start.
    pub opened: Counter,
    /// Upgrades from long-polling to WebSocket that succeeded.
    pub upgrades: Counter,
    /// Sessions recovered with connection state recovery.
    pub recovered: Counter,
    /// Events received.
    pub events_received: Counter,
    /// Packets put into outboxes.
    pub packets_sent: Counter,
    /// Volatile packets dropped because the client was not ready.
    pub volatile_dropped: Counter,
    /// Events that no handler is registered for.
    pub unhandled_events: Counter,
    /// Events whose arguments a handler could not take.
    pub rejected_events: Counter,
    /// Handlers and listeners that panicked.
    pub handler_panics: Counter,
    /// Emits that failed, for an argument that cannot be encoded for example.
    pub failed_emits: Counter,
    /// Handlers that returned an error.
    pub handler_errors: Counter,
    /// Acknowledgements that no emit waited for: late ones, and those that nobody asked for.
    pub unasked_acks: Counter,
    /// Requests and handshakes refused.
    pub refused: Counter,
    /// TCP connections that the server's own listener serves.
    pub tcp_connections: Gauge,
    /// TCP connections that the server's own listener has accepted.
    pub tcp_accepted: Counter,
    /// TCP connections closed because the headers of a request took too long.
    pub header_timeouts: Counter,
    /// TCP connections closed because their peer did not read a response in time.
    pub write_timeouts: Counter,
    /// TCP connections closed because what came was no HTTP request.
    pub malformed_requests: Counter,
    /// HTTP/2 connections that ended with an error: a peer that broke the protocol, or too many resets.
    pub http2_errors: Counter,
    /// TLS handshakes that failed, or were refused.
    pub tls_refused: Counter,
    closed: [Counter; CloseReason::ALL.len()],
    bounds: [(Counter, LogGate); Bound::ALL.len()],
    panics: LogGate,
    failures: LogGate,
    emit_failures: LogGate,
    rejected: Rejected,
    listener_panics: LogGate,
}

impl Metrics {
    /// Sessions closed for `reason` since the start.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        position(&CloseReason::ALL, &reason).and_then(|at| self.closed.get(at)).map_or(0, Counter::value)
    }

    /// How often `bound` was reached.
    pub fn reached(&self, bound: Bound) -> u64 {
        position(&Bound::ALL, &bound).and_then(|at| self.bounds.get(at)).map_or(0, |(counter, _)| counter.value())
    }

    /// A session closed.
    pub(crate) fn session_closed(&self, sid: &str, reason: CloseReason, detail: &str) {
        if let Some(counter) = position(&CloseReason::ALL, &reason).and_then(|at| self.closed.get(at)) {
            counter.increment();
        }
        tracing::debug!(sid, reason = reason.as_str(), detail, "session closed");
    }

    /// A client, or the program, ran into a bound. Clients can make that happen as often as they like: each time counts, but
    /// only one in a second is logged, with how many there were before it that were not.
    pub(crate) fn bound_reached(&self, bound: Bound, sid: &str) {
        let Some((counter, gate)) = position(&Bound::ALL, &bound).and_then(|at| self.bounds.get(at)) else { return };
        counter.increment();
        if let Some(suppressed) = gate.admit(millis()) {
            tracing::warn!(sid, bound = bound.as_str(), suppressed, "limit reached");
        }
    }

    /// A connection of the server's own listener ended as it should not.
    pub(crate) fn connection_failed(
        &self,
        failure: ConnectionFailure,
        detail: &dyn std::fmt::Display,
        remote: &dyn std::fmt::Debug,
    ) {
        match failure {
            ConnectionFailure::HeaderTimeout => self.header_timeouts.increment(),
            ConnectionFailure::WriteTimeout => self.write_timeouts.increment(),
            ConnectionFailure::MalformedRequest => self.malformed_requests.increment(),
            ConnectionFailure::Http2Error => self.http2_errors.increment(),
            ConnectionFailure::Other => {}
        }
        tracing::debug!(?failure, %detail, ?remote, "connection ended");
    }

    /// A request was refused with an Engine.IO error.
    pub(crate) fn request_refused(&self, message: &str, context: &dyn std::fmt::Debug) {
        self.refused.increment();
        tracing::debug!(message, ?context, "request refused");
    }

    /// A handler panicked; its socket is closed.
    pub(crate) fn handler_panicked(&self, sid: &str, event: &str, panic: &str) {
        self.handler_panics.increment();
        if let Some(suppressed) = self.panics.admit(millis()) {
            tracing::error!(sid, event, panic, suppressed, "a handler panicked; its connection is closed");
        }
    }

    /// A listener that belongs to no client panicked. One that sees every event may do so often: only one in a second is logged.
    pub(crate) fn listener_panicked(&self, namespace: &str, panic: &str) {
        self.handler_panics.increment();
        if let Some(suppressed) = self.listener_panics.admit(millis()) {
            tracing::error!(namespace, panic, suppressed, "a listener panicked");
        }
    }

    /// A function of the program that looks at requests panicked; the request is answered 500.
    pub(crate) fn hook_panicked(&self, panic: &str) {
        self.handler_panics.increment();
        if let Some(suppressed) = self.panics.admit(millis()) {
            tracing::error!(panic, suppressed, "a hook of requests panicked; the request is answered 500");
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
        if let Some(suppressed) = self.failures.admit(millis()) {
            tracing::error!(sid, event, %error, suppressed, "a handler failed");
        }
    }

    /// An emit could not be encoded, or is not allowed.
    pub(crate) fn emit_failed(&self, event: &str, error: &dyn std::fmt::Display) {
        self.failed_emits.increment();
        if let Some(suppressed) = self.emit_failures.admit(millis()) {
            tracing::error!(event, %error, suppressed, "emit failed; nothing was sent");
        }
    }
}

/// What went wrong on a connection of the server's own listener.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConnectionFailure {
    HeaderTimeout,
    WriteTimeout,
    MalformedRequest,
    Http2Error,
    /// What nobody needs a counter for: a peer that went away.
    Other,
}

/// Characters of the reason in a warning.
const MAX_REASON: usize = 300;

/// Lets one log line through in a second.
#[derive(Debug, Default)]
struct LogGate {
    /// When the next may pass, in milliseconds.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl LogGate {
    /// Whether a line may be logged now, and if so how many were not since the last one.
    fn admit(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let is_first =
            now >= next && self.next.compare_exchange(next, now + 1_000, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !is_first {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

/// Milliseconds since the first call.
fn millis() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
}

fn position<T: PartialEq>(all: &[T], one: &T) -> Option<usize> {
    all.iter().position(|each| each == one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_in_a_second_and_tells_of_the_others() {
        let gate = LogGate::default();
        assert_eq!(gate.admit(5), Some(0));
        assert_eq!((gate.admit(6), gate.admit(1_004)), (None, None));
        assert_eq!(gate.admit(1_005), Some(2));
        assert_eq!(gate.admit(1_006), None);
        assert_eq!(gate.admit(10_000), Some(1));
    }

    #[test]
    fn each_bound_counts_for_itself() {
        let metrics = Metrics::default();
        for _ in 0..3 {
            metrics.bound_reached(Bound::Rooms, "a");
        }
        metrics.bound_reached(Bound::Payload, "a");
        assert_eq!((metrics.reached(Bound::Rooms), metrics.reached(Bound::Payload)), (3, 1));
        assert_eq!(metrics.reached(Bound::Outbox), 0);
    }
}
