//! Writes what was pushed into outboxes, at the end of the turn: many pushes, one vectored write per connection.
//!
//! A push marks its connection dirty and enters it into a queue of its shard. One task per shard takes the queues and writes. So a
//! broadcast wakes one task instead of one per recipient, and what several broadcasts queued for a connection goes out
//! in one system call.
//!
//! There are two queues, so that a broadcast to ten thousand does not hold up a message to two: between any two slices of the
//! [bulk](Queue::Bulk) all that is [prompt](Queue::Prompt) is written.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::conn::Conn;

/// How many connections are written before other tasks get their turn.
pub(crate) const SLICE: usize = 64;

/// Where a connection waits to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// What goes to a few.
    Prompt,
    /// What goes to more than a [`SLICE`].
    Bulk,
}

impl Queue {
    /// The queue for what goes to so many.
    pub(crate) fn of(recipients: usize) -> Self {
        if recipients > SLICE { Self::Bulk } else { Self::Prompt }
    }

    /// The bit of a connection that is in it.
    pub(crate) fn bit(self) -> u8 {
        match self {
            Self::Prompt => 1,
            Self::Bulk => 2,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Flusher {
    shards: Box<[Shard]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    dirty: Mutex<Queues>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    prompt: VecDeque<Arc<Conn>>,
    bulk: VecDeque<Arc<Conn>>,
}

impl Flusher {
    pub(crate) fn new(shards: usize) -> Self {
        Self { shards: (0..shards.max(1)).map(|_| Shard::default()).collect() }
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Enters a connection that was just marked dirty.
    pub(crate) fn push(&self, conn: Arc<Conn>, queue: Queue) {
        let at = conn.shard() % self.shards.len();
        let Some(shard) = self.shards.get(at) else { return };
        let mut dirty = shard.dirty.lock();
        let queue = match queue {
            Queue::Prompt => &mut dirty.prompt,
            Queue::Bulk => &mut dirty.bulk,
        };
        queue.push_back(conn);
        let is_first = queue.len() == 1;
        drop(dirty);
        if is_first {
            shard.wake.notify_one();
        }
    }

    /// Writes for one shard, for as long as the future is polled.
    pub(crate) async fn run(self: Arc<Self>, shard: usize) {
        let Some(shard) = self.shards.get(shard) else { return };
        let mut taken = Queues::default();
        loop {
            shard.wake.notified().await;
            while shard.take(&mut taken) {
                let mut written = 0;
                for conn in taken.prompt.drain(..) {
                    conn.flush(Queue::Prompt);
                    written += 1;
                    if written % SLICE == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                let slice = taken.bulk.len().min(SLICE);
                // In the order they came, so that nobody is first in one round and last in the next.
                for conn in taken.bulk.drain(..slice) {
                    conn.flush(Queue::Bulk);
                }
                if !taken.bulk.is_empty() {
                    tokio::task::yield_now().await;
                }
            }
            // What a large broadcast needed is not kept for ever.
            for queue in [&mut taken.prompt, &mut taken.bulk] {
                if queue.capacity() > 16 * 1024 {
                    *queue = VecDeque::new();
                }
            }
        }
    }
}

impl Shard {
    /// Takes all that is prompt, and the next of the bulk once the last is written; false if there is nothing.
    fn take(&self, taken: &mut Queues) -> bool {
        let mut dirty = self.dirty.lock();
        std::mem::swap(&mut taken.prompt, &mut dirty.prompt);
        if taken.bulk.is_empty() {
            std::mem::swap(&mut taken.bulk, &mut dirty.bulk);
        }
        !(taken.prompt.is_empty() && taken.bulk.is_empty())
    }
}
