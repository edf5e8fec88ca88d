//! Writes what was pushed into outboxes, at the end of the turn: many pushes, one vectored write per connection.
//!
//! A push marks its connection dirty and enters it into a queue of its shard, which takes the queues and writes. So a broadcast
//! wakes each shard once, instead of a task for each recipient, and what several broadcasts queued for a connection goes
//! out in one system call.
//!
//! There are two queues, so that a broadcast to ten thousand does not hold up a message to two: between any two slices of the
//! [bulk](Queue::Bulk) all that is [prompt](Queue::Prompt) is written.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;

use super::driven::{Driven, Queue};
use super::waker::ShardWaker;
use crate::now;
use crate::sync::Mutex;

/// How many connections of a queue are written before others get their turn, and for how long at the most, about.
const SLICE: usize = 256;
const TIME: Duration = Duration::from_millis(2);

/// How many connections are asked for at once. Where there are many, they are in no cache; to wait for one after the other, each behind a
/// lock, costs more than the writing.
pub const AHEAD: usize = 16;

pub(crate) struct Flusher<C> {
    shards: OnceLock<Box<[Shard<C>]>>,
}

#[repr(align(64))]
struct Shard<C> {
    dirty: Mutex<Queues<C>>,
    waker: Arc<ShardWaker>,
}

struct Queues<C> {
    prompt: VecDeque<Arc<C>>,
    bulk: VecDeque<Arc<C>>,
}

/// Writes what is entered for one shard.
pub(crate) struct Writer<C> {
    flusher: Arc<Flusher<C>>,
    shard: usize,
    /// What is to be written next.
    taken: Queues<C>,
}

impl<C> Default for Flusher<C> {
    fn default() -> Self {
        Self { shards: OnceLock::new() }
    }
}

impl<C> Default for Shard<C> {
    fn default() -> Self {
        Self { dirty: Mutex::default(), waker: Arc::default() }
    }
}

impl<C> Default for Queues<C> {
    fn default() -> Self {
        Self { prompt: VecDeque::new(), bulk: VecDeque::new() }
    }
}

impl<C: Driven> Flusher<C> {
    /// As many as the runtime has workers: more of them than run at once only part what could go out together.
    fn shards(&self) -> &[Shard<C>] {
        self.shards.get_or_init(|| {
            let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
            (0..workers.max(1)).map(|_| Shard::default()).collect()
        })
    }

    /// How many shards there are.
    pub(crate) fn len(&self) -> usize {
        self.shards().len()
    }

    /// What writes for each shard, and what tells that there is something to write.
    pub(crate) fn writers(self: &Arc<Self>) -> Vec<(Writer<C>, Arc<ShardWaker>)> {
        let writer = |shard| Writer { flusher: self.clone(), shard, taken: Queues::default() };
        self.shards().iter().enumerate().map(|(at, shard)| (writer(at), shard.waker.clone())).collect()
    }

    /// Enters a connection that was just marked dirty.
    pub(crate) fn push(&self, conn: Arc<C>, queue: Queue) {
        let Some(shard) = self.shards().get(conn.shard()) else { return };
        let mut dirty = shard.dirty.lock();
        let queue = match queue {
            Queue::Prompt => &mut dirty.prompt,
            Queue::Bulk => &mut dirty.bulk,
        };
        queue.push_back(conn);
        let is_first = queue.len() == 1;
        drop(dirty);
        if is_first {
            shard.waker.wake();
        }
    }
}

impl<C: Driven> Writer<C> {
    /// Writes what is prompt, and then a slice of the bulk; whether there is more to write.
    pub(crate) fn write(&mut self) -> bool {
        self.take();
        write_slice(&mut self.taken.prompt, Queue::Prompt);
        if !self.taken.prompt.is_empty() {
            return true;
        }
        let slice = write_slice(&mut self.taken.bulk, Queue::Bulk);
        if !self.taken.bulk.is_empty() {
            return true;
        }
        // What a large broadcast needed is not kept for ever.
        for queue in self.taken.each_mut() {
            if queue.capacity() > 16 * 1024 {
                *queue = VecDeque::new();
            }
        }
        slice > 0
    }

    /// Takes the next of each queue once the last is written.
    fn take(&mut self) {
        let Some(shard) = self.flusher.shards().get(self.shard) else { return };
        let mut dirty = shard.dirty.lock();
        for (taken, dirty) in self.taken.each_mut().into_iter().zip(dirty.each_mut()) {
            if taken.is_empty() {
                std::mem::swap(taken, dirty);
            }
        }
    }
}

/// Writes a slice of a queue; how many connections that were.
fn write_slice<C: Driven>(conns: &mut VecDeque<Arc<C>>, queue: Queue) -> usize {
    let slice = conns.len().min(SLICE);
    // What is few is not timed.
    let started = (slice > AHEAD).then(now);
    let mut written = 0;
    // In the order they came, so that nobody is first in one round and last in the next.
    while written < slice {
        let some = (slice - written).min(AHEAD);
        if queue == Queue::Bulk {
            conns.iter().take(some).for_each(C::prefetch);
        }
        for conn in conns.drain(..some) {
            conn.flush(queue);
        }
        written += some;
        if started.is_some_and(|started| now().saturating_duration_since(started) >= TIME) {
            break;
        }
    }
    written
}

impl<C: Driven> Queues<C> {
    fn each_mut(&mut self) -> [&mut VecDeque<Arc<C>>; 2] {
        [&mut self.prompt, &mut self.bulk]
    }
}
