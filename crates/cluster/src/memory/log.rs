//! Events that are kept in memory: an event log.

use std::sync::Arc;

use sockeye::adapter::AdapterFuture;

use super::entries::Entries;
use super::hub::MemoryHub;
use crate::message::{Message, NodeId};
use crate::recovery::{Cursor, EventLog, LogEntry, LogError, Position};

/// The event log of a namespace in a [`MemoryHub`], for one node. For tests.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    hub: MemoryHub,
    node: NodeId,
    namespace: String,
    cursor: Arc<Cursor>,
}

impl MemoryLog {
    pub(super) fn new(hub: MemoryHub, node: NodeId, namespace: String) -> Self {
        Self { hub, node, namespace, cursor: Arc::default() }
    }

    /// Reads something, if the hub is reached.
    fn look<T>(&self, read: impl FnOnce(&Entries) -> Result<T, LogError>) -> Result<T, LogError> {
        let mut state = self.hub.state();
        if state.faults.is_cut(&self.node) || state.faults.refuses_to_keep() {
            return Err(LogError::Unavailable);
        }
        read(state.logs.entry(self.namespace.clone()).or_default())
    }
}

impl EventLog for MemoryLog {
    fn append(&self, message: Message, number: u64) -> bool {
        let mut state = self.hub.state();
        if state.faults.refuses_to_keep() {
            return false;
        }
        // A node that is cut off is not told.
        if !state.faults.is_cut(&self.node) {
            state.logs.entry(self.namespace.clone()).or_default().push(self.node.clone(), number, message);
        }
        drop(state);
        self.hub.note_changed();
        true
    }

    fn is_available(&self) -> bool {
        !self.hub.state().faults.refuses_to_keep() && self.cursor.begun().is_some()
    }

    fn available(&self) -> AdapterFuture<'_, ()> {
        Box::pin(async {
            let mut changes = self.hub.changes();
            while !self.is_available() {
                // The hub lives as long as this.
                let _changed = changes.changed().await;
            }
        })
    }

    fn flush(&self) -> AdapterFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The position before the first: a client that has it has missed nothing.
    fn first(&self) -> AdapterFuture<'_, Result<Option<Position>, LogError>> {
        Box::pin(std::future::ready(self.look(|entries| Ok(Some(entries.before_first())))))
    }

    fn last(&self) -> AdapterFuture<'_, Result<Option<Position>, LogError>> {
        Box::pin(std::future::ready(self.look(|entries| Ok(Some(entries.last())))))
    }

    fn read(&self, after: Position, until: Position) -> AdapterFuture<'_, Result<Vec<LogEntry>, LogError>> {
        let found = self.look(|entries| {
            if after < entries.before_first() {
                return Err(LogError::Trimmed);
            }
            let entries = entries.after(after).take_while(|entry| entry.position <= until);
            Ok(entries.map(|entry| LogEntry { position: entry.position, event: entry.event() }).collect())
        });
        Box::pin(std::future::ready(found))
    }
}
