//! Writes what was pushed into outboxes, at the end of the turn: many pushes, one vectored write per connection.
//!
//! A push marks its connection dirty and enters it into its shard's list. One task per shard takes the list and writes. So a
//! broadcast wakes one task instead of one per recipient, and what several broadcasts queued for a connection goes out
//! in one system call.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::conn::Conn;

/// How many connections are written before other tasks get their turn: a broadcast to ten thousand must not hold up the rest.
const SLICE: usize = 64;

#[derive(Debug)]
pub(crate) struct Flusher {
    shards: Box<[Shard]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    dirty: Mutex<Vec<Arc<Conn>>>,
    wake: Notify,
}

impl Flusher {
    pub(crate) fn new(shards: usize) -> Self {
        Self { shards: (0..shards.max(1)).map(|_| Shard::default()).collect() }
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Enters a connection that was just marked dirty.
    pub(crate) fn push(&self, conn: Arc<Conn>) {
        let at = conn.shard() % self.shards.len();
        let Some(shard) = self.shards.get(at) else { return };
        let mut dirty = shard.dirty.lock();
        dirty.push(conn);
        let is_first = dirty.len() == 1;
        drop(dirty);
        if is_first {
            shard.wake.notify_one();
        }
    }

    /// Writes for one shard, for as long as the future is polled.
    pub(crate) async fn run(self: Arc<Self>, shard: usize) {
        let Some(shard) = self.shards.get(shard) else { return };
        let mut taken = Vec::new();
        loop {
            shard.wake.notified().await;
            loop {
                std::mem::swap(&mut taken, &mut *shard.dirty.lock());
                if taken.is_empty() {
                    break;
                }
                let mut written = 0;
                for conn in taken.drain(..) {
                    conn.flush();
                    written += 1;
                    if written % SLICE == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
            // What a large broadcast needed is not kept for ever.
            if taken.capacity() > 16 * 1024 {
                taken = Vec::new();
            }
        }
    }
}
