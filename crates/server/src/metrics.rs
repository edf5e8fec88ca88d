//! What the server counts, as Prometheus reads it.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use sockeye::peers::{ForwardFailure, PeerMetrics};
use sockeye::{Bound, CloseReason, Holder, Server};
use sockeye_cluster::recovery::Refusal;

use crate::backend::{Backend, Health};
use crate::exposition::{Page, size};
use crate::log;
use crate::readiness::Readiness;

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// The format of the page.
    pub(crate) const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    pub(crate) fn new(sources: Sources) -> Self {
        let mut registry = Registry::with_prefix("sockeye");
        registry.register_collector(Box::new(sources));
        Self(registry)
    }

    /// The values now.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail.
        encode(&mut page, &self.0).unwrap_or_default();
        page
    }
}

/// Where the values are.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) server: Server,
    pub(crate) readiness: Readiness,
    pub(crate) backend: Option<Arc<dyn Backend>>,
    pub(crate) peers: Option<Arc<PeerMetrics>>,
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.gauge("ready", "Whether clients should come, as /readyz says.", self.readiness.check().is_ok().into())?;
        page.server(&self.server)?;
        if let Some((dropped, suppressed)) = log::counters() {
            page.counters(&[
                ("log_dropped", "Lines of the log that standard error did not take.", dropped),
                ("log_suppressed", "Lines of the log left out as repeats.", suppressed),
            ])?;
        }
        if let Some(backend) = &self.backend {
            page.cluster(&**backend)?;
            backend.collect(&mut page)?;
        }
        match &self.peers {
            Some(peers) => page.peers(peers),
            None => Ok(()),
        }
    }
}

impl Page<'_> {
    fn server(&mut self, server: &Server) -> fmt::Result {
        let metrics = server.metrics();
        self.gauges(&[
            ("connections", "Sessions that are open.", &metrics.connections),
            ("unjoined", "Sessions that have joined no namespace yet.", &metrics.unjoined),
            ("handshakes", "Handshakes that are being answered.", &metrics.handshakes),
            ("sockets", "Clients in namespaces.", &metrics.sockets),
            ("tcp_connections", "TCP connections that are served.", &metrics.tcp_connections),
        ])?;
        self.counters(&[
            ("opened", "Sessions opened.", &metrics.opened),
            ("upgrades", "Upgrades from long-polling to WebSocket.", &metrics.upgrades),
            ("recovered", "Sessions recovered.", &metrics.recovered),
            ("events_received", "Events of clients.", &metrics.events_received),
            ("packets_sent", "Packets to clients.", &metrics.packets_sent),
            ("volatile_dropped", "Volatile packets dropped: the client was not ready.", &metrics.volatile_dropped),
            ("unhandled_events", "Events that no handler is registered for.", &metrics.unhandled_events),
            ("rejected_events", "Events whose arguments were not taken.", &metrics.rejected_events),
            ("handler_panics", "Handlers that panicked.", &metrics.handler_panics),
            ("failed_emits", "Emits that failed.", &metrics.failed_emits),
            ("handler_errors", "Handlers that returned an error.", &metrics.handler_errors),
            ("unasked_acks", "Acknowledgements that no emit waited for.", &metrics.unasked_acks),
            ("refused", "Requests and handshakes refused.", &metrics.refused),
            (
                "unknown_sessions",
                "Requests for sessions that ended, or that are another server's.",
                &metrics.unknown_sessions,
            ),
            ("tcp_accepted", "TCP connections accepted.", &metrics.tcp_accepted),
            ("header_timeouts", "Connections closed: headers took too long.", &metrics.header_timeouts),
            ("write_timeouts", "Connections closed: nobody read the response.", &metrics.write_timeouts),
            ("malformed_requests", "Connections closed: not an HTTP request.", &metrics.malformed_requests),
            ("http2_errors", "HTTP/2 connections that ended with an error.", &metrics.http2_errors),
            ("tls_refused", "TLS handshakes that failed or were refused.", &metrics.tls_refused),
        ])?;
        let closed = CloseReason::ALL.map(|reason| (reason.as_str(), metrics.closed(reason)));
        self.family("closed", "Sessions closed.", "reason", closed)?;
        let ledger = server.ledger();
        let held = Holder::ALL.map(|holder| (holder.as_str(), size(ledger.held(holder))));
        self.gauge_family("budget_held_bytes", "What is held for all clients.", "holder", held)?;
        let limits = Holder::ALL.map(|holder| (holder.as_str(), size(ledger.limit(holder))));
        self.gauge_family("budget_limit_bytes", "What may be held: a budget of [budgets].", "holder", limits)?;
        let refused = Holder::ALL.map(|holder| (holder.as_str(), ledger.refused(holder)));
        self.family("budget_refused", "Times that a budget of [budgets] was reached.", "holder", refused)?;
        let reached = Bound::ALL.map(|bound| (bound.as_str(), metrics.reached(bound)));
        self.family("bound_reached", "Times that a bound of [limits] was reached.", "bound", reached)
    }

    fn cluster(&mut self, backend: &dyn Backend) -> fmt::Result {
        let is_well = backend.health() == Health::Well;
        self.gauge("cluster_connected", "Whether this node hears the others.", is_well.into())?;
        let cluster = backend.cluster_metrics();
        let nodes = i64::try_from(cluster.nodes()).unwrap_or(i64::MAX);
        self.gauge("cluster_nodes", "Nodes of the cluster, this one among them; 0: not known.", nodes)?;
        let round_trip = backend.round_trip().map_or(0, |time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
        self.gauge("cluster_round_trip_microseconds", "The last probe: to the broker and back.", round_trip)?;
        self.counters(&[
            ("cluster_published", "Messages for other nodes.", &cluster.published),
            ("cluster_received", "Messages of other nodes.", &cluster.received),
            ("cluster_publish_errors", "Messages for other nodes that were not sent.", &cluster.publish_errors),
            ("cluster_garbage", "What came and was no message.", &cluster.garbage),
            ("cluster_requests_refused", "Questions not asked, or not answered: too many.", &cluster.requests_refused),
            ("cluster_requests_incomplete", "Questions not answered by all in time.", &cluster.requests_incomplete),
            ("cluster_nodes_lost", "Nodes that said nothing for too long.", &cluster.nodes_lost),
            (
                "cluster_tasks_restarted",
                "Tasks that panicked or ended, and were started again.",
                &cluster.tasks_restarted,
            ),
            ("cluster_panics", "Messages lost because handling them panicked.", &cluster.panics),
            (
                "cluster_subscriptions_late",
                "Subscriptions to rooms not confirmed in time: clients were told of their joins without.",
                &cluster.subscriptions_late,
            ),
            ("cluster_mismatches", "Settings of other nodes at the broker that differ.", &cluster.mismatches),
        ])?;
        let Some(recovery) = backend.recovery_metrics() else { return Ok(()) };
        self.counters(&[
            ("recovery_recovered", "Clients recovered over the cluster.", &recovery.recovered),
            ("recovery_unlogged", "Events delivered without an offset: the broker was late.", &recovery.unlogged),
            (
                "recovery_rewritten",
                "Times that sessions were written again: the broker may have lost them.",
                &recovery.rewritten,
            ),
            ("recovery_gaps", "Times that a log had lost what was not read yet.", &recovery.gaps),
        ])?;
        let refused = Refusal::ALL.map(|reason| (reason.label(), recovery.refused_for(reason)));
        self.family("recovery_refused", "Clients that began anew.", "reason", refused)
    }

    fn peers(&mut self, peers: &PeerMetrics) -> fmt::Result {
        self.gauges(&[
            ("peers_waiting", "Requests that are being forwarded.", &peers.waiting),
            ("peers_websockets", "WebSockets whose session is on another node.", &peers.websockets),
        ])?;
        self.counters(&[
            ("peers_forwarded", "Requests forwarded and answered.", &peers.forwarded),
            ("peers_served", "Requests that other nodes forwarded here.", &peers.served),
            ("peers_refused", "Requests refused on cluster.peers.listen.", &peers.refused),
            ("peers_lookups", "Times that a node was looked up.", &peers.lookups),
        ])?;
        let failed = ForwardFailure::ALL.map(|failure| (failure.as_str(), peers.failed(failure)));
        self.family("peers_failed", "Requests not forwarded, or not answered.", "reason", failed)
    }
}
