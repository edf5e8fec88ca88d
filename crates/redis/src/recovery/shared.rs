//! What the namespaces with recovery share.

use std::sync::Arc;

use sockeye::Counter;
use sockeye_cluster::recovery::{Cursor, RecoveryDriver};

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
