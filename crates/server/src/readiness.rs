//! Whether clients should come: what `/readyz` says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backend::{Backend, Health};

/// Whether clients should come.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(Arc<State>);

#[derive(Debug)]
struct State {
    phase: watch::Sender<Phase>,
    backend: Option<Arc<dyn Backend>>,
    /// Whether the node heard the others once since it serves.
    has_joined: AtomicBool,
    /// Since when it does not hear them although the broker is there.
    deaf_since: Mutex<Option<Instant>>,
}

/// How long a node may be deaf, with the broker there, before it is not ready: its connections come back one after the other when
/// the broker does, on all nodes at the same time.
const DEAF: Duration = Duration::from_secs(10);

/// Where the server is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Serving,
    Stopping,
}

impl Readiness {
    pub(crate) fn new(backend: Option<Arc<dyn Backend>>) -> Self {
        let has_joined = AtomicBool::new(false);
        Self(Arc::new(State {
            phase: watch::Sender::new(Phase::Starting),
            backend,
            has_joined,
            deaf_since: Mutex::default(),
        }))
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.0.phase.send_replace(phase);
    }

    /// Whether the server is ready, and if something does not work nevertheless, what.
    ///
    /// A broker that all nodes share gates the start only. When it goes away later, all of them would be unready at once, and the
    /// load balancer would take out a site whose clients are served. A node that alone is deaf is unready: others do better.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub(crate) fn check(&self) -> Result<Option<String>, String> {
        match *self.0.phase.borrow() {
            Phase::Starting => Err("the server is starting".to_owned()),
            Phase::Stopping => Err("the server is stopping".to_owned()),
            Phase::Serving => Ok(()),
        }?;
        let Some(backend) = &self.0.backend else { return Ok(None) };
        match backend.health() {
            Health::Well => {
                self.0.has_joined.store(true, Ordering::Release);
                *self.0.deaf_since.lock() = None;
                Ok(None)
            }
            Health::BrokerAway(reason) | Health::Deaf(reason) if !self.0.has_joined.load(Ordering::Acquire) => {
                Err(reason)
            }
            Health::BrokerAway(reason) => {
                *self.0.deaf_since.lock() = None;
                Ok(Some(reason))
            }
            Health::Deaf(reason) => {
                let since = *self.0.deaf_since.lock().get_or_insert_with(Instant::now);
                if since.elapsed() < DEAF { Ok(Some(reason)) } else { Err(reason) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sockeye::adapter::Local;
    use sockeye::peers::{Directory, MemoryDirectory};
    use sockeye_cluster::{ClusterAdapter, ClusterMetrics, ClusterOptions, MemoryHub, NodeId};

    use super::*;
    use crate::exposition::Page;

    /// A backend that is as it is told.
    #[derive(Debug)]
    struct Told {
        node: NodeId,
        health: Mutex<Health>,
        metrics: ClusterMetrics,
    }

    impl Backend for Told {
        fn node(&self) -> &NodeId {
            &self.node
        }

        fn adapter(&self, local: Arc<Local>) -> ClusterAdapter {
            let bus = MemoryHub::default().bus("n", &local.namespace());
            ClusterAdapter::new(local, bus, ClusterOptions::default())
        }

        fn health(&self) -> Health {
            self.health.lock().clone()
        }

        fn directory(&self) -> Arc<dyn Directory> {
            Arc::new(MemoryDirectory::default())
        }

        fn cluster_metrics(&self) -> &ClusterMetrics {
            &self.metrics
        }

        fn collect(&self, _: &mut Page<'_>) -> std::fmt::Result {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_is_away_gates_the_start_and_a_node_that_alone_is_deaf_is_not_ready() {
        let away = || Health::BrokerAway("away".to_owned());
        let deaf = || Health::Deaf("deaf".to_owned());
        let metrics = ClusterMetrics::default();
        let backend = Arc::new(Told { node: "n".into(), health: Mutex::new(away()), metrics });
        let readiness = Readiness::new(Some(backend.clone()));
        let set = |health| *backend.health.lock() = health;
        assert!(readiness.check().is_err(), "it is starting");
        readiness.set(Phase::Serving);
        assert_eq!(readiness.check(), Err("away".to_owned()));
        set(deaf());
        assert_eq!(readiness.check(), Err("deaf".to_owned()));
        set(Health::Well);
        assert_eq!(readiness.check(), Ok(None));
        set(away());
        assert_eq!(readiness.check(), Ok(Some("away".to_owned())));
        // The broker comes back: for a while not all connections work.
        set(deaf());
        assert_eq!(readiness.check(), Ok(Some("deaf".to_owned())));
        tokio::time::advance(DEAF / 2).await;
        set(Health::Well);
        assert_eq!(readiness.check(), Ok(None));
        set(deaf());
        assert_eq!(readiness.check(), Ok(Some("deaf".to_owned())));
        tokio::time::advance(DEAF / 2).await;
        assert_eq!(readiness.check(), Ok(Some("deaf".to_owned())));
        tokio::time::advance(DEAF / 2).await;
        assert_eq!(readiness.check(), Err("deaf".to_owned()));
        set(away());
        assert_eq!(readiness.check(), Ok(Some("away".to_owned())));
        readiness.set(Phase::Stopping);
        assert!(readiness.check().is_err());
    }
}
