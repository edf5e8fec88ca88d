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

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::application::Application;
use crate::conn::{AHEAD, Conn, prefetch};
use crate::now;
use crate::waker::ShardWaker;

/// How many connections of a queue are written before others get their turn, and for how long at the most, about.
const SLICE: usize = 256;
const TIME: Duration = Duration::from_millis(2);

/// What goes to more connections than these is bulk.
const FEW: usize = 64;

/// Where a connection waits to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// What goes to a few.
    Prompt,
    /// What goes to more than 64.
    Bulk,
}

impl Queue {
    /// The queue for what goes to so many.
    pub fn of(recipients: usize) -> Self {
        if recipients > FEW { Self::Bulk } else { Self::Prompt }
    }

    /// The bit of a connection that is in it.
    pub(crate) fn bit(self) -> u8 {
        match self {
            Self::Prompt => 1,
            Self::Bulk => 2,
        }
    }
}

pub(crate) struct Flusher<A: Application> {
    shards: OnceLock<Box<[Shard<A>]>>,
}

#[repr(align(64))]
struct Shard<A: Application> {
    dirty: Mutex<Queues<A>>,
    waker: Arc<ShardWaker>,
}

struct Queues<A: Application> {
    prompt: VecDeque<Arc<Conn<A>>>,
    bulk: VecDeque<Arc<Conn<A>>>,
}

/// Writes what is entered for one shard.
pub(crate) struct Writer<A: Application> {
    flusher: Arc<Flusher<A>>,
    shard: usize,
    /// What is to be written next.
    taken: Queues<A>,
}

impl<A: Application> Default for Flusher<A> {
    fn default() -> Self {
        Self { shards: OnceLock::new() }
    }
}

impl<A: Application> Default for Shard<A> {
    fn default() -> Self {
        Self { dirty: Mutex::default(), waker: Arc::default() }
    }
}

impl<A: Application> Default for Queues<A> {
    fn default() -> Self {
        Self { prompt: VecDeque::new(), bulk: VecDeque::new() }
    }
}

impl<A: Application> Flusher<A> {
    /// As many as the runtime has workers: more of them than run at once only part what could go out together.
    fn shards(&self) -> &[Shard<A>] {
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
    pub(crate) fn writers(self: &Arc<Self>) -> Vec<(Writer<A>, Arc<ShardWaker>)> {
        let writer = |shard| Writer { flusher: self.clone(), shard, taken: Queues::default() };
        self.shards().iter().enumerate().map(|(at, shard)| (writer(at), shard.waker.clone())).collect()
    }

    /// Enters a connection that was just marked dirty.
    pub(crate) fn push(&self, conn: Arc<Conn<A>>, queue: Queue) {
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

impl<A: Application> Writer<A> {
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
fn write_slice<A: Application>(conns: &mut VecDeque<Arc<Conn<A>>>, queue: Queue) -> usize {
    let slice = conns.len().min(SLICE);
    // What is few is not timed.
    let started = (slice > AHEAD).then(now);
    let mut written = 0;
    // In the order they came, so that nobody is first in one round and last in the next.
    while written < slice {
        let some = (slice - written).min(AHEAD);
        if queue == Queue::Bulk {
            prefetch(conns.iter().take(some));
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

impl<A: Application> Queues<A> {
    fn each_mut(&mut self) -> [&mut VecDeque<Arc<Conn<A>>>; 2] {
        [&mut self.prompt, &mut self.bulk]
    }
}
