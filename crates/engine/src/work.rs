//! Counts what goes on, for one who waits until it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What goes on.
#[derive(Debug, Default)]
pub(crate) struct Work {
    count: AtomicUsize,
    idle: Notify,
}

impl Work {
    /// Something begins, and goes on until what is given back is dropped.
    pub(crate) fn begin(work: &Arc<Self>) -> Running {
        work.count.fetch_add(1, Ordering::AcqRel);
        Running(work.clone())
    }

    /// Waits until nothing goes on.
    pub(crate) async fn done(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Counts work for as long as it goes on.
pub(crate) struct Running(Arc<Work>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
