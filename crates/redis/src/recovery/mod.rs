//! Recovery over streams of Redis: the event log is a stream, the session store is keys.

mod deliver;
pub(crate) mod entries;
mod flow;
mod log;
pub(crate) mod reader;
mod store;

use std::sync::Arc;

use sockeye::Counter;
use sockeye::adapter::Local;
use sockeye_cluster::NodeId;
use sockeye_cluster::recovery::{Cursor, Recovery, RecoveryDriver, RecoveryOptions};

use self::log::StreamLog;
use self::store::KeyStore;
use crate::bus::wire::Wire;
use crate::link::Link;

/// What the namespaces with recovery share.
pub(crate) struct Shared {
    pub(crate) driver: Arc<RecoveryDriver>,
    /// How far each stream has been delivered.
    cursors: Vec<Arc<Cursor>>,
    /// Times that a server was found to have removed keys.
    pub(crate) evictions: Counter,
}

impl Shared {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            driver: Arc::default(),
            cursors: (0..streams).map(|_| Arc::default()).collect(),
            evictions: Counter::default(),
        }
    }

    /// Whether a namespace recovers sessions, or did.
    pub(crate) fn is_used(&self) -> bool {
        self.driver.is_used()
    }

    /// How far the stream with this number has been delivered.
    pub(crate) fn cursor(&self, stream: usize) -> Option<&Arc<Cursor>> {
        self.cursors.get(stream)
    }
}

/// Recovery for a namespace; none if the server does not recover sessions.
pub(crate) fn of(link: &Arc<Link>, wire: &Arc<Wire>, local: &Arc<Local>, node: &NodeId) -> Option<Arc<Recovery>> {
    let cursor = link.recovery.cursor(wire.stream_number()?)?.clone();
    let log = Arc::new(StreamLog { link: link.clone(), wire: wire.clone(), cursor });
    let store = Arc::new(KeyStore { link: link.clone(), wire: wire.clone() });
    let mut options = RecoveryOptions::default();
    options.timeout = link.options.timeout;
    options.max_pending_bytes = link.options.max_outgoing_bytes;
    options.cluster_metrics = link.options.cluster.metrics.clone();
    options.metrics = link.metrics.recovery.clone();
    Recovery::new(local, node.clone(), log, store, &link.recovery.driver, options)
}
