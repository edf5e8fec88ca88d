//! What the namespaces share.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sockeye_cluster::recovery::{Cursor, Position, RecoveryDriver, RecoveryMetrics};
use tokio::time::Instant;

/// What the namespaces share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) driver: Arc<RecoveryDriver>,
    pub(crate) metrics: Arc<RecoveryMetrics>,
    /// Up to where the stream has been delivered.
    pub(crate) cursor: Arc<Cursor>,
    /// Up to where it has been entered into the queue.
    pub(super) read: Mutex<Option<Position>>,
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
