//! The queue to a broker that is full: a line when it begins, and one when it is over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether the queue was full since it was emptied last, and how many messages found it so.
#[derive(Debug)]
pub struct Overflow {
    broker: &'static str,
    is_full: AtomicBool,
    dropped: AtomicU64,
}

impl Overflow {
    /// Of the queue to the broker of this name.
    pub fn new(broker: &'static str) -> Self {
        Self { broker, is_full: AtomicBool::new(false), dropped: AtomicU64::new(0) }
    }

    /// A message has found no room.
    pub fn note_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if !self.is_full.swap(true, Ordering::Relaxed) {
            let broker = self.broker;
            tracing::warn!("the queue to {broker} is full (max_outgoing_bytes); messages to other nodes are dropped");
        }
    }

    /// There is room again.
    #[inline]
    pub fn note_room(&self) {
        if self.is_full.load(Ordering::Relaxed) && self.is_full.swap(false, Ordering::Relaxed) {
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            tracing::warn!(dropped, "the queue to {} has room again", self.broker);
        }
    }
}
