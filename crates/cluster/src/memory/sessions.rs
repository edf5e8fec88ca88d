//! Sessions that are kept in memory: a session store.

use std::time::Duration;

use sockeye::adapter::{AdapterFuture, SavedSession};

use super::hub::MemoryHub;
use super::session_table::SessionTable;
use crate::message::NodeId;
use crate::recovery::{LogError, LowWatermark, PutIf, SessionStore, StoredSession};

/// The session store of a namespace in a [`MemoryHub`], for one node. For tests.
#[derive(Clone, Debug)]
pub struct MemorySessions {
    hub: MemoryHub,
    node: NodeId,
    namespace: String,
}

impl MemorySessions {
    pub(super) fn new(hub: MemoryHub, node: NodeId, namespace: String) -> Self {
        Self { hub, node, namespace }
    }

    /// Reads or changes the sessions, if the hub is reached. Other nodes get their turn before, as with a broker.
    fn ask<'a, T: Send + 'a>(
        &'a self,
        act: impl FnOnce(&mut SessionTable) -> T + Send + 'a,
    ) -> AdapterFuture<'a, Result<T, LogError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut state = self.hub.state();
            if state.faults.is_cut(&self.node) || state.faults.refuses_to_keep() {
                return Err(LogError::Unavailable);
            }
            Ok(act(&mut state.sessions))
        })
    }

    /// Writes something. A node that is cut off is not told.
    fn write(&self, act: impl FnOnce(&mut SessionTable) -> bool) -> bool {
        let mut state = self.hub.state();
        !state.faults.refuses_to_keep() && (state.faults.is_cut(&self.node) || act(&mut state.sessions))
    }
}

impl SessionStore for MemorySessions {
    fn put(&self, session: SavedSession, keep: Duration, condition: PutIf) -> bool {
        self.write(|sessions| sessions.put(&self.node, &self.namespace, session, keep, condition))
    }

    fn remove(&self, private_id: &str) -> bool {
        self.write(|sessions| {
            sessions.remove(&self.node, private_id);
            true
        })
    }

    fn get<'a>(&'a self, private_id: &'a str) -> AdapterFuture<'a, Result<Option<StoredSession>, LogError>> {
        self.ask(|sessions| sessions.get(private_id))
    }

    fn claim<'a>(&'a self, session: &'a StoredSession) -> AdapterFuture<'a, Result<bool, LogError>> {
        self.ask(|sessions| sessions.claim(session))
    }

    fn put_watermark(&self, watermark: LowWatermark, keep: Duration) -> bool {
        self.write(|sessions| {
            sessions.put_watermark(&self.namespace, &self.node, watermark, keep);
            true
        })
    }

    fn watermark<'a>(&'a self, node: &'a NodeId) -> AdapterFuture<'a, Result<LowWatermark, LogError>> {
        self.ask(|sessions| sessions.watermark(&self.namespace, node))
    }

    fn generation(&self) -> u64 {
        self.hub.state().faults.healed()
    }
}
