//! Recovery of one namespace.

use std::sync::Arc;

use sockeye::adapter::Local;
use sockeye_cluster::recovery::{Recovery, RecoveryOptions};

use super::log::NatsLog;
use super::store::NatsStore;
use crate::link::Link;

/// Recovery for a namespace, if the server has any.
pub(crate) fn recovery(link: &Arc<Link>, local: &Arc<Local>) -> Option<Arc<Recovery>> {
    let jetstream = link.options.jetstream.as_ref()?;
    if local.recovery()?.max_disconnection_duration * 4 / 3 > jetstream.max_age {
        tracing::warn!("JetStream keeps sessions for less time than clients may be away (max_age)");
    }
    let namespace = local.namespace();
    let mut options = RecoveryOptions::default();
    options.timeout = link.options.timeout;
    options.cluster_metrics = link.options.cluster.metrics.clone();
    options.metrics = link.jetstream.metrics.clone();
    let log = Arc::new(NatsLog::new(link.clone(), &namespace));
    let store = Arc::new(NatsStore::new(link.clone(), &namespace));
    Recovery::new(local, link.node.clone(), log, store, &link.jetstream.driver, options)
}
