//! Wakes a shard, be it a task that waits with the runtime, or a thread that blocks in its poll.

use tokio::sync::Notify;

use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use crate::sync::{OnceLock, PollWaker};

/// The thread looks for work, or has not begun to.
const AWAKE: u8 = 0;
/// The thread blocks, or is about to.
const WAITING: u8 = 1;
/// There is work since the thread last looked.
const WOKEN: u8 = 2;

#[derive(Debug, Default)]
pub(crate) struct ShardWaker {
    task: Notify,
    /// Of a shard that has a thread: wakes it from its poll.
    thread: OnceLock<PollWaker>,
    state: AtomicU8,
    stopped: AtomicBool,
}

impl ShardWaker {
    /// Tells the shard of work that was queued before. It costs a system call only if a thread is in its poll.
    pub(crate) fn wake(&self) {
        let Some(thread) = self.thread.get() else { return self.task.notify_one() };
        if self.state.swap(WOKEN, Ordering::AcqRel) == WAITING
            && let Err(error) = thread.wake()
        {
            tracing::error!(%error, "a shard could not be woken");
        }
    }

    /// Waits for [`wake`](Self::wake), for a shard that is a task. Cancel safe.
    pub(crate) async fn woken(&self) {
        self.task.notified().await;
    }

    /// From now on the shard is a thread, and `waker` ends its poll. It looks at all queues once, as what came before told the task.
    pub(crate) fn set_thread(&self, waker: PollWaker) {
        self.state.store(WOKEN, Ordering::Release);
        let _only_once = self.thread.set(waker);
    }

    /// Whether the thread may block: nothing has come since it [`awoke`](Self::awake).
    pub(crate) fn may_wait(&self) -> bool {
        self.state.compare_exchange(AWAKE, WAITING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The thread goes on, and looks at all queues from here on.
    pub(crate) fn awake(&self) {
        self.state.swap(AWAKE, Ordering::AcqRel);
    }

    /// Ends the thread when it has done what it is at.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

#[cfg(all(test, not(sockeye_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_waits_only_when_nothing_has_come_since_it_looked() {
        let poll = mio::Poll::new().unwrap();
        let waker = ShardWaker::default();
        waker.set_thread(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        waker.awake();
        assert!(waker.may_wait());
        waker.awake();
        waker.wake();
        assert!(!waker.may_wait());
        waker.awake();
        assert!(waker.may_wait());
    }

    #[test]
    fn what_came_before_the_thread_began_is_not_forgotten() {
        let poll = mio::Poll::new().unwrap();
        let waker = ShardWaker::default();
        waker.wake();
        waker.set_thread(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        assert!(!waker.may_wait());
    }

    #[test]
    fn a_thread_in_its_poll_is_woken_once() {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(8);
        let waker = ShardWaker::default();
        waker.set_thread(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        waker.awake();
        assert!(waker.may_wait());
        waker.wake();
        waker.wake();
        poll.poll(&mut events, None).unwrap();
        waker.awake();
        assert!(waker.may_wait());
        poll.poll(&mut events, Some(std::time::Duration::ZERO)).unwrap();
        assert!(events.is_empty());
    }
}
