//! JetStream: the events in a stream, which any node reads again, and the sessions in a bucket of its key-value store.
//!
//! ```text
//!  emit ─► NatsLog::append ─► PREFIX.log.NAMESPACE ─► the stream ─► PREFIX.out.NAMESPACE ─► reader ─► dispatcher of every node
//!                                                        └─ what the reader has missed ─────┘
//!  session ─► NatsStore::put ─► the bucket ─► any node
//! ```
//!
//! The stream publishes each entry again, with its number: so a node follows it by a subscription, needs no consumer, and sees at
//! once which it has missed. Those it reads out of the stream.

mod entry;
mod log;
mod reader;
mod store;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sockeye::adapter::Local;
use sockeye_cluster::recovery::{Cursor, Position, Recovery, RecoveryDriver, RecoveryMetrics, RecoveryOptions};
use tokio::time::Instant;

pub(crate) use self::entry::{goes_to_log, write};
use self::log::NatsLog;
pub(crate) use self::reader::run;
use self::store::NatsStore;
use crate::link::Link;

/// What the namespaces share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) driver: Arc<RecoveryDriver>,
    pub(crate) metrics: Arc<RecoveryMetrics>,
    /// Up to where the stream has been delivered.
    pub(crate) cursor: Arc<Cursor>,
    /// Up to where it has been entered into the queue.
    read: Mutex<Option<Position>>,
    /// What the server says that refuses to keep something, and when that was logged last.
    pub(crate) refusals: Mutex<HashMap<Kept, (String, Instant)>>,
}

/// In what JetStream keeps something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kept {
    /// The stream.
    Log,
    /// The bucket.
    Sessions,
}

impl Kept {
    pub(crate) const ALL: [Self; 2] = [Self::Log, Self::Sessions];

    /// The name under which the server answers whether it is kept. Those of namespaces begin with a slash.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Sessions => "sessions",
        }
    }
}

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
