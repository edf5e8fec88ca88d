//! Recovery of one namespace.

use std::sync::Arc;

use sockeye::adapter::Local;
use sockeye_cluster::NodeId;
use sockeye_cluster::recovery::{Recovery, RecoveryOptions};

use super::log::StreamLog;
use super::store::KeyStore;
use crate::bus::wire::Wire;
use crate::link::Link;

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
