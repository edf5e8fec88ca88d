//! Events that are kept in memory: an event log.

use std::collections::VecDeque;
use std::sync::Arc;

use sockeye::adapter::AdapterFuture;

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

/// The entries of a log.
#[derive(Default)]
pub(super) struct Entries {
    /// How many entries there were before those that are here.
    trimmed: u64,
    items: VecDeque<Entry>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) position: Position,
    /// The node that wrote it, and its number; the number is 0 where recovery has given none.
    pub(super) writer: NodeId,
    pub(super) number: u64,
    pub(super) message: Message,
}

impl Entries {
    pub(super) fn push(&mut self, writer: NodeId, number: u64, message: Message) {
        if self.items.len() >= MAX_ENTRIES {
            self.items.pop_front();
            self.trimmed += 1;
        }
        let position = self.last().next();
        self.items.push_back(Entry { position, writer, number, message });
    }

    /// The position before the first entry that is still there.
    pub(super) fn before_first(&self) -> Position {
        position(self.trimmed)
    }

    pub(super) fn last(&self) -> Position {
        position(self.trimmed + self.items.len() as u64)
    }

    /// The next entries after a position.
    pub(super) fn after(&self, after: Position) -> impl Iterator<Item = &Entry> {
        let start = after.offset.saturating_sub(self.trimmed);
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.items.len());
        self.items.range(start..).take(READ_AT_ONCE)
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn trim(&mut self) {
        self.trimmed += self.items.len() as u64;
        self.items.clear();
    }
}

fn position(offset: u64) -> Position {
    Position { epoch: EPOCH, offset }
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

impl Entry {
    /// The event, if recovery has kept one in it.
    pub(super) fn event(&self) -> Option<(sockeye::adapter::Packet, sockeye::Target)> {
        match &self.message {
            Message::Broadcast { packet, target, request: None } if self.number > 0 => {
                Some((packet.clone(), target.clone()))
            }
            _ => None,
        }
    }
}

/// A hub has one epoch.
const EPOCH: u64 = 1;

/// How many entries are kept for each namespace.
const MAX_ENTRIES: usize = 65_536;

/// How many entries are read at a time.
const READ_AT_ONCE: usize = 1_000;
