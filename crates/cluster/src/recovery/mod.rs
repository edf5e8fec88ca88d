//! Connection state recovery over an event log: a client is found again on any node, whatever became of its own.
//!
//! ```text
//!  emit ─► emit() ─► pending ─► EventLog::append ─► the log ─► the broker's reader ─► handle_own ───┐ with the entry's position
//!                      │                                              └─────────────► handle_event ─┴─► outboxes
//!                      └── the log does not answer in time: at once, without a position; then sessions need a newer one
//!
//!  session ─► LiveSessions ─► SessionStore::put ─► restore() on any node ─► what the log has since
//! ```
//!
//! An event that is kept reaches the clients of every node in the order of the log, those of the node that emitted it, too. So the
//! position that a client got last, its offset, tells all that it has. `journal.rs` says what happens while the log does not answer.
//!
//! A broker's crate implements an [`EventLog`] and a [`SessionStore`], which may be of two brokers, and calls what a [`Recovery`] has
//! for entries that come. [`ClusterAdapter::with_recovery`](crate::ClusterAdapter::with_recovery) does the rest.

mod cursor;
mod driver;
mod journal;
mod live;
mod log;
mod metrics;
mod pending;
mod position;
mod restore;
mod store;
mod tail;
mod watermark;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::adapter::Local;
use tokio::sync::Notify;

pub use self::cursor::Cursor;
pub use self::driver::RecoveryDriver;
pub use self::log::{EventLog, LogEntry, LogError};
pub use self::metrics::{RecoveryMetrics, Refusal};
pub use self::position::{NotAPosition, Position};
pub use self::store::{PutIf, SessionStore, StoredSession};
pub use self::watermark::LowWatermark;

use self::journal::State;
use self::live::LiveSessions;
use crate::{ClusterMetrics, NodeId};

/// Options of a [`Recovery`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveryOptions {
    /// How long the log may take to bring back what was appended while all connections work, and the store to answer. Default: 5 s.
    pub timeout: Duration,
    /// How many bytes of events may wait for the log to bring them back. Default: 16 MiB.
    pub max_pending_bytes: usize,
    /// The counters of the cluster; a clone of the options shares them.
    pub cluster_metrics: Arc<ClusterMetrics>,
    /// The counters of recovery; a clone of the options shares them.
    pub metrics: Arc<RecoveryMetrics>,
}

impl Default for RecoveryOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            max_pending_bytes: 16 << 20,
            cluster_metrics: Arc::default(),
            metrics: Arc::default(),
        }
    }
}

/// The events and the sessions of one namespace on this node.
pub struct Recovery {
    namespace: String,
    node: NodeId,
    local: Weak<Local>,
    log: Arc<dyn EventLog>,
    store: Arc<dyn SessionStore>,
    driver: Arc<RecoveryDriver>,
    options: RecoveryOptions,
    live: LiveSessions,
    state: Mutex<State>,
    /// Is notified when less waits.
    drained: Notify,
    is_open: AtomicBool,
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Recovery {
    /// Recovery for the namespace that `local` belongs to, on the node of this name; none if the server does not
    /// [recover sessions](Local::recovery). The driver looks after it from now on.
    pub fn new(
        local: &Arc<Local>,
        node: NodeId,
        log: Arc<dyn EventLog>,
        store: Arc<dyn SessionStore>,
        driver: &Arc<RecoveryDriver>,
        options: RecoveryOptions,
    ) -> Option<Arc<Self>> {
        let keep = local.recovery()?.max_disconnection_duration;
        let recovery = Arc::new(Self {
            namespace: local.namespace(),
            node,
            local: Arc::downgrade(local),
            log,
            store,
            driver: driver.clone(),
            options,
            live: LiveSessions::new(keep),
            state: Mutex::default(),
            drained: Notify::new(),
            is_open: AtomicBool::new(false),
        });
        driver.enter(&recovery);
        Some(recovery)
    }

    /// The log.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// Whether the bus is open: from then on events go to other nodes.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    fn local(&self) -> Option<Arc<Local>> {
        self.local.upgrade()
    }
}
