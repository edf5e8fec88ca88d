//! A queue with a bound in bytes, which is emptied many items at a time.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A queue that any thread may fill, and one task empties.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    pushed: Notify,
    emptied: Notify,
    max_bytes: usize,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    is_taken: bool,
}

impl<T> Queue<T> {
    /// A queue for so many bytes.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State { items: VecDeque::new(), bytes: 0, is_taken: false }),
            pushed: Notify::new(),
            emptied: Notify::new(),
            max_bytes,
        }
    }

    /// Enters an item of so many bytes; gives it back if there is no room. An empty queue takes every item.
    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), T> {
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

    /// What was taken is done with.
    pub(crate) fn note_done(&self) {
        self.state.lock().is_taken = false;
        self.emptied.notify_waiters();
    }

    /// Waits until there is nothing in it, and what was taken is done with.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            let is_empty = {
                let state = self.state.lock();
                state.items.is_empty() && !state.is_taken
            };
            if is_empty {
                return;
            }
            emptied.await;
        }
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Waits until there is something, and takes it: about as many bytes as `max_bytes`, in the order of entering. Nothing is lost
    /// if the future is dropped.
    pub(crate) async fn take(&self, max_bytes: usize) -> Vec<T> {
        loop {
            let taken = self.try_take(max_bytes);
            if !taken.is_empty() {
                return taken;
            }
            self.pushed.notified().await;
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

/// What an item costs besides its bytes.
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
