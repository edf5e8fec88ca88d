//! What the engine counts, and the one place where an occurrence is both counted and logged.
//!
//! Counters are striped over cache lines, so that threads which count at the same time do not wait for each other.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use sockeye_protocol::CloseReason;

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
    /// Adds to it, or takes from it; the value then.
    pub fn add(&self, count: i64) -> i64 {
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

/// A bound of [`Options`](crate::Options) and [`Limits`](crate::Limits), as the label of a metric.
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
    /// [`Options::max_http_buffer_size`](crate::Options::max_http_buffer_size)
    Payload,
    /// [`Options::connect_timeout`](crate::Options::connect_timeout)
    ConnectTime,
    /// [`Limits::max_tcp_connections`](crate::Limits::max_tcp_connections)
    TcpConnections,
    /// [`Limits::max_deflate_contexts`](crate::Limits::max_deflate_contexts)
    DeflateContexts,
}

impl Bound {
    /// Every bound, for tables of metrics.
    pub const ALL: [Self; 9] = [
        Self::Connections,
        Self::Handshakes,
        Self::Unjoined,
        Self::Outbox,
        Self::Behind,
        Self::Payload,
        Self::ConnectTime,
        Self::TcpConnections,
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
            Self::Payload => "max_http_buffer_size",
            Self::ConnectTime => "connect_timeout",
            Self::TcpConnections => "max_tcp_connections",
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
    /// Sessions opened since the start.
    pub opened: Counter,
    /// Upgrades from long-polling to WebSocket that succeeded.
    pub upgrades: Counter,
    /// Packets put into outboxes.
    pub packets_sent: Counter,
    /// Volatile packets dropped because the client was not ready.
    pub volatile_dropped: Counter,
    /// Functions of the program that panicked.
    pub handler_panics: Counter,
    /// Requests and handshakes refused.
    pub refused: Counter,
    /// Requests for sessions that are not here: they have ended, or another node has them.
    pub unknown_sessions: Counter,
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
        if let Some(suppressed) = gate.pass() {
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

    /// A function of the program that looks at requests panicked; the request is answered 500.
    pub(crate) fn hook_panicked(&self, panic: &str) {
        self.handler_panics.increment();
        if let Some(suppressed) = self.panics.pass() {
            tracing::error!(panic, suppressed, "a hook of requests panicked; the request is answered 500");
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

/// Lets one log line through in a second, for what clients can bring about as often as they like.
#[derive(Debug, Default)]
pub struct LogGate {
    /// When the next may pass, in milliseconds.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl LogGate {
    /// Whether a line may be logged now, and if so how many were not since the last one.
    pub fn pass(&self) -> Option<u64> {
        self.admit(millis())
    }

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
pub fn millis() -> u64 {
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
            metrics.bound_reached(Bound::Handshakes, "a");
        }
        metrics.bound_reached(Bound::Payload, "a");
        assert_eq!((metrics.reached(Bound::Handshakes), metrics.reached(Bound::Payload)), (3, 1));
        assert_eq!(metrics.reached(Bound::Outbox), 0);
    }
}
