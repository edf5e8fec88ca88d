//! NATS: nodes of Sockeye only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sockeye::adapter::Local;
use sockeye::peers::Directory;
use sockeye_cluster::recovery::RecoveryMetrics;
use sockeye_cluster::{ClusterAdapter, ClusterMetrics, NodeId};
use sockeye_nats::{JetStreamOptions, Login, NatsAdapter, NatsOptions, TlsOptions};

use super::api::{Backend, Health, read_file};
use super::nats_section::JetStreamSection;
use super::section::{AdapterName, ClusterSection};
use crate::config::problems::Problems;
use crate::config::setting::Size;
use crate::exposition::Page;

/// The adapter; none where something is wrong, which is reported.
pub(super) fn backend(
    name: AdapterName,
    section: &ClusterSection,
    problems: &mut Problems,
) -> Option<Arc<dyn Backend>> {
    let raw = section.nats.clone().unwrap_or_default();
    let Some(url) = raw.url else {
        problems.add("cluster.nats.url", "is missing: such as \"nats://127.0.0.1:4222\"");
        return None;
    };
    let mut options = NatsOptions::new(url);
    options.prefix = raw.prefix;
    options.max_outgoing_bytes = section.max_outgoing_bytes.0;
    options.max_incoming_bytes = section.max_incoming_bytes.0;
    options.cluster.request_timeout = section.request_timeout;
    options.max_backoff = section.reconnect_interval;
    options.jetstream = (name == AdapterName::NatsJetStream).then(|| jetstream(&raw.jetstream.unwrap_or_default()));
    let credentials = read_file("cluster.nats.credentials", raw.credentials.as_ref(), problems)?;
    options.login = match (raw.nkey, credentials) {
        (Some(_), Some(_)) => {
            problems.add("cluster.nats.nkey", "cannot be there beside credentials: a node logs in with one of them");
            return None;
        }
        (Some(seed), None) => Login::NKey(seed),
        (None, Some(text)) => Login::Credentials(String::from_utf8_lossy(&text).into_owned()),
        (None, None) => Login::Url,
    };
    if let Some(raw) = &raw.tls {
        let ca = read_file("cluster.nats.tls.ca", raw.ca.as_ref(), problems);
        let certificate = read_file("cluster.nats.tls.cert", raw.cert.as_ref(), problems);
        let key = read_file("cluster.nats.tls.key", raw.key.as_ref(), problems);
        let mut tls = TlsOptions::default();
        (tls.ca, tls.certificate, tls.key) = (ca?, certificate?, key?);
        options.tls = tls;
    }
    let adapter = NatsAdapter::new(options).map_err(|error| problems.add("cluster.nats", error.to_string())).ok()?;
    Some(Arc::new(adapter))
}

fn jetstream(raw: &JetStreamSection) -> JetStreamOptions {
    let bytes = |size: &Size| u64::try_from(size.0).unwrap_or(u64::MAX);
    let mut options = JetStreamOptions::default();
    options.replicas = raw.replicas;
    options.in_memory = raw.in_memory;
    options.max_log_bytes = bytes(&raw.max_log_bytes);
    options.max_session_bytes = bytes(&raw.max_session_bytes);
    options.max_age = raw.max_age;
    options
}

impl Backend for NatsAdapter {
    fn node(&self) -> &NodeId {
        self.node()
    }

    fn adapter(&self, local: Arc<Local>) -> ClusterAdapter {
        self.factory()(local)
    }

    fn health(&self) -> Health {
        match self.check() {
            Ok(()) => Health::Well,
            Err(error) => Health::BrokerAway(error.to_string()),
        }
    }

    fn directory(&self) -> Arc<dyn Directory> {
        Arc::new(self.directory())
    }

    fn cluster_metrics(&self) -> &ClusterMetrics {
        self.cluster_metrics()
    }

    fn round_trip(&self) -> Option<Duration> {
        self.round_trip()
    }

    fn recovery_metrics(&self) -> Option<&RecoveryMetrics> {
        Some(self.recovery_metrics())
    }

    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let nats = self.metrics();
        page.size("nats_outgoing_bytes", "What waits to be sent to NATS.", self.outgoing_bytes())?;
        page.size("nats_incoming_bytes", "What came from NATS and waits.", self.incoming_bytes())?;
        page.counters(&[
            ("nats_disconnects", "Connections that were lost, or could not be made.", &nats.disconnects),
            ("nats_reconnects", "Connections made after one was lost.", &nats.reconnects),
            ("nats_deaf", "Probes that were not answered in time.", &nats.deaf),
            ("nats_published", "Messages that NATS took.", &nats.published),
            ("nats_received", "Messages that came from NATS.", &nats.received),
            ("nats_dropped_outgoing", "Messages that found the queue to NATS full.", &nats.dropped_outgoing),
            ("nats_dropped_incoming", "Messages from NATS that found the queue full.", &nats.dropped_incoming),
            ("nats_dropped_volatile", "Volatile messages dropped: no connection.", &nats.dropped_volatile),
            ("nats_lost", "Messages on their way when the connection was lost.", &nats.lost),
            ("nats_too_large", "Messages larger than JetStream keeps.", &nats.too_large),
            ("nats_refused", "Errors that NATS told of.", &nats.refused),
            ("nats_skipped", "Messages that concern nobody here.", &nats.skipped),
        ])
    }
}
