//! Where a connection is entered: in the queues of the flusher, and among those that wait for a turn.

use super::driven::{Queue, Ready};
use crate::sync::atomic::{AtomicU8, Ordering};

/// One bit for each, so that it is in none twice.
#[derive(Debug, Default)]
pub(crate) struct Entered(AtomicU8);

impl Entered {
    /// It is to be in a queue. False if it is there already; what was pushed into its outbox before is then written with the rest.
    #[inline]
    pub(crate) fn enter(&self, queue: Queue) -> bool {
        self.0.fetch_or(queue.bit(), Ordering::AcqRel) & queue.bit() == 0
    }

    /// It has left a queue, and is about to be written. In the other one it stays, for if that were taken back, it could be there more
    /// than once.
    #[inline]
    pub(crate) fn leave(&self, queue: Queue) {
        self.0.fetch_and(!queue.bit(), Ordering::AcqRel);
    }

    /// It wants a turn for what its socket is ready for. False if it waits for one already; that one is for this as well.
    #[inline]
    pub(crate) fn want_turn(&self, ready: Ready) -> bool {
        self.0.fetch_or(ready.bits(), Ordering::AcqRel) & Ready::BITS == 0
    }

    /// Its turn has come, for what is given back. From now on it can want another.
    #[inline]
    pub(crate) fn begin_turn(&self) -> Ready {
        Ready::from_bits(self.0.fetch_and(!Ready::BITS, Ordering::AcqRel))
    }

    /// Reads it, to have it in the cache.
    #[inline]
    pub(crate) fn prefetch(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
