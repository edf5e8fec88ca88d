//! What this node has emitted and the log has not brought back yet, in order.

use std::collections::VecDeque;

use sockeye::Target;
use sockeye::adapter::Packet;
use tokio::time::Instant;

use super::tail::size_of;

/// The queue. Bounded in bytes by who pushes.
#[derive(Debug, Default)]
pub(super) struct Pending {
    items: VecDeque<Item>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Item {
    /// The number that its entry carries; none if it is not in the log, and only waits for its turn.
    pub(super) number: Option<u64>,
    pub(super) packet: Packet,
    pub(super) target: Target,
    pub(super) since: Instant,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, number: Option<u64>, packet: Packet, target: Target) {
        self.bytes += size_of(&packet);
        self.items.push_back(Item { number, packet, target, since: Instant::now() });
    }

    pub(super) fn first(&self) -> Option<&Item> {
        self.items.front()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size_of(&item.packet));
        if self.items.is_empty() {
            // A namespace that is quiet keeps no room for it.
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Takes the first, if it only waits for its turn.
    pub(super) fn pop_unkept(&mut self) -> Option<Item> {
        self.first().is_some_and(|item| item.number.is_none()).then(|| self.pop()).flatten()
    }
}
