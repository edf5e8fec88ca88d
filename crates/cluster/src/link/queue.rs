//! A queue with a bound in bytes, which is emptied many items at a time.

use std::collections::VecDeque;
use std::fmt;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A queue that any thread may fill, and one task empties.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    pushed: Notify,
    done: Notify,
    max_bytes: usize,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    /// Whether items were taken that have not been handled.
    is_taken: bool,
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl<T> Queue<T> {
    /// A queue for so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, is_taken: false };
        Self { state: Mutex::new(state), pushed: Notify::new(), done: Notify::new(), max_bytes }
    }

    /// Enters an item of so many bytes. An empty queue takes every item.
    ///
    /// # Errors
    ///
    /// There is no room: the item is given back.
    pub fn push(&self, item: T, bytes: usize) -> Result<(), T> {
        let bytes = bytes + ITEM;
        let mut state = self.state.lock();
        if state.bytes + bytes > self.max_bytes && !state.items.is_empty() {
            return Err(item);
        }
        state.bytes += bytes;
        state.items.push_back((item, bytes));
        let is_first = state.items.len() == 1;
        drop(state);
        if is_first {
            self.pushed.notify_one();
        }
        Ok(())
    }

    /// Enters an item of so many bytes even if there is no room: it was in another queue before.
    pub fn put(&self, item: T, bytes: usize) {
        self.put_at(item, bytes, VecDeque::push_back);
    }

    /// Enters an item of so many bytes before all others, even if there is no room: it was taken before.
    pub fn put_back(&self, item: T, bytes: usize) {
        self.put_at(item, bytes, VecDeque::push_front);
    }

    fn put_at(&self, item: T, bytes: usize, put: impl FnOnce(&mut VecDeque<(T, usize)>, (T, usize))) {
        let bytes = bytes + ITEM;
        let mut state = self.state.lock();
        state.bytes += bytes;
        put(&mut state.items, (item, bytes));
        drop(state);
        self.pushed.notify_one();
    }

    /// Takes all there is, with the bytes of each.
    pub fn drain(&self) -> Vec<(T, usize)> {
        let mut state = self.state.lock();
        state.bytes = 0;
        state.items.drain(..).map(|(item, bytes)| (item, bytes - ITEM)).collect()
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Waits until there is something, and takes it: about as many bytes as `max_bytes`, in the order of entering. Nothing is lost
    /// if the future is dropped.
    pub async fn take(&self, max_bytes: usize) -> Vec<T> {
        loop {
            let taken = self.try_take(max_bytes);
            if !taken.is_empty() {
                return taken;
            }
            self.pushed.notified().await;
        }
    }

    /// Tells the queue that the items which were taken have been handled, see [`drained`](Self::drained).
    pub fn note_done(&self) {
        self.state.lock().is_taken = false;
        self.done.notify_waiters();
    }

    /// Waits until the queue is empty and the items that were taken last [have been handled](Self::note_done).
    pub async fn drained(&self) {
        let is_drained = || {
            let state = self.state.lock();
            state.items.is_empty() && !state.is_taken
        };
        loop {
            let done = self.done.notified();
            if is_drained() {
                return;
            }
            done.await;
        }
    }

    fn try_take(&self, max_bytes: usize) -> Vec<T> {
        let mut state = self.state.lock();
        let mut left = max_bytes;
        let mut taken = Vec::new();
        while left > 0 {
            let Some((item, bytes)) = state.items.pop_front() else { break };
            state.bytes -= bytes;
            left = left.saturating_sub(bytes);
            taken.push(item);
        }
        state.is_taken = !taken.is_empty();
        taken
    }
}

/// The overhead of an item, in bytes.
const ITEM: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_bounded_in_bytes() {
        let queue = Queue::new(3 * (ITEM + 10));
        for number in 0..3 {
            queue.push(number, 10).unwrap();
        }
        assert_eq!(queue.push(3, 10), Err(3));
        assert_eq!(queue.bytes(), 3 * (ITEM + 10));
        assert_eq!(queue.take(ITEM + 11).await, [0, 1]);
        queue.push(4, 10).unwrap();
        assert_eq!(queue.take(usize::MAX).await, [2, 4]);
        queue.push(5, 1_000_000).unwrap();
        assert_eq!(queue.push(6, 1), Err(6));
        assert_eq!(queue.take(1).await, [5]);
    }

    #[tokio::test]
    async fn who_waits_until_it_is_drained_is_told() {
        let queue = Queue::new(1_000);
        queue.drained().await;
        queue.push(1, 1).unwrap();
        let taker = async {
            assert_eq!(queue.take(1_000).await, [1]);
            tokio::task::yield_now().await;
            assert!(queue.state.lock().is_taken);
            queue.note_done();
        };
        tokio::join!(queue.drained(), taker);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let queue = std::sync::Arc::new(Queue::new(1_000));
        let taker = tokio::spawn({
            let queue = queue.clone();
            async move { queue.take(1_000).await }
        });
        tokio::task::yield_now().await;
        queue.push("a", 1).unwrap();
        assert_eq!(taker.await.unwrap(), ["a"]);
    }
}
