//! The entries of an event log.

use std::collections::VecDeque;

use sockeye::Target;
use sockeye::adapter::Packet;

use crate::message::{Message, NodeId};
use crate::recovery::Position;

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

impl Entry {
    /// The event, if recovery has kept one in it.
    pub(super) fn event(&self) -> Option<(Packet, Target)> {
        match &self.message {
            Message::Broadcast { packet, target, request: None } if self.number > 0 => {
                Some((packet.clone(), target.clone()))
            }
            _ => None,
        }
    }
}

fn position(offset: u64) -> Position {
    Position { epoch: EPOCH, offset }
}

/// A hub has one epoch.
const EPOCH: u64 = 1;

/// How many entries are kept for each namespace.
const MAX_ENTRIES: usize = 65_536;

/// How many entries are read at a time.
const READ_AT_ONCE: usize = 1_000;
