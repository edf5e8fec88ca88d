//! How much one connection may do before others get their turn, and what it has read and not decoded when its turn is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::now;

/// How long a turn may take.
const TIME: Duration = Duration::from_micros(500);

/// How many messages a turn may have, however fast they are. One that is long counts as several.
pub(crate) const MOST: u32 = 1024;

/// A message counts once more for each so many bytes: of what was inflated, not of what was read.
const BYTES: usize = 1024;

/// The clock is looked at after so many messages. A turn with fewer costs no look.
const LOOK: u32 = 8;

/// What is left of a turn.
#[derive(Debug, Default)]
pub(crate) struct Quantum {
    /// The messages so far.
    done: u32,
    /// When to look at the clock.
    look: u32,
    started: Option<Instant>,
    is_spent: bool,
}

impl Quantum {
    /// Counts a message of so many bytes.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.done = self.done.saturating_add(1).saturating_add(u32::try_from(bytes / BYTES).unwrap_or(MOST));
        if self.done >= self.look.max(LOOK) {
            self.look_at_clock();
        }
    }

    /// Whether others are to get their turn now.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent
    }

    #[cold]
    fn look_at_clock(&mut self) {
        let now = now();
        let started = *self.started.get_or_insert(now);
        self.look = self.done.saturating_add(LOOK);
        self.is_spent = self.done >= MOST || now.saturating_duration_since(started) >= TIME;
    }
}

/// How many bytes all connections of a server have read and not decoded yet, because their turn was over.
#[derive(Debug, Default)]
pub(crate) struct Undecoded(AtomicUsize);

impl Undecoded {
    /// Beyond it a turn lasts until all is decoded that was read, and little is read at a time.
    const MOST: usize = 16 << 20;

    /// Whether a turn may end before all is decoded.
    pub(crate) fn has_room(&self) -> bool {
        self.0.load(Ordering::Relaxed) < Self::MOST
    }

    /// How much to read at a time, of a buffer of this size.
    pub(crate) fn room_for_read(&self, buffer: usize) -> usize {
        if self.has_room() { buffer } else { buffer.min(4096) }
    }
}

/// What a connection has read and not decoded yet.
pub(crate) struct Rest {
    bytes: Vec<u8>,
    decoded: usize,
    undecoded: Arc<Undecoded>,
}

impl Rest {
    /// None if there is nothing left. Boxed, as few connections have one.
    pub(crate) fn new(bytes: Vec<u8>, undecoded: &Arc<Undecoded>) -> Option<Box<Self>> {
        if bytes.is_empty() {
            return None;
        }
        undecoded.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Some(Box::new(Self { bytes, decoded: 0, undecoded: undecoded.clone() }))
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.decoded..).unwrap_or_default()
    }

    /// All is decoded but the last `left` bytes. None if that is nothing.
    pub(crate) fn keep(mut self: Box<Self>, left: usize) -> Option<Box<Self>> {
        self.decoded = self.bytes.len().saturating_sub(left);
        (left > 0).then_some(self)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.undecoded.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages_of(bytes: usize) -> u32 {
        let mut quantum = Quantum::default();
        let mut count = 0;
        while !quantum.is_spent() {
            quantum.spend(bytes);
            count += 1;
        }
        count
    }

    /// The time stands still.
    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_after_many_messages_or_much_that_was_inflated() {
        assert_eq!(messages_of(20), 1024);
        assert_eq!(messages_of(990_000), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_after_a_while() {
        let mut quantum = Quantum::default();
        let mut count = 0;
        while !quantum.is_spent() {
            quantum.spend(20);
            tokio::time::advance(Duration::from_micros(100)).await;
            count += 1;
        }
        assert!(count <= 2 * LOOK, "{count}");
    }

    #[test]
    fn what_is_not_decoded_is_counted_until_it_is_let_go() {
        let undecoded = Arc::new(Undecoded::default());
        let mut rest = Rest::new(vec![7; 1000], &undecoded).unwrap();
        assert_eq!(undecoded.0.load(Ordering::Relaxed), 1000);
        rest = rest.keep(10).unwrap();
        assert_eq!(rest.bytes_mut().len(), 10);
        assert!(rest.keep(0).is_none());
        assert_eq!(undecoded.0.load(Ordering::Relaxed), 0);
        let many: Vec<_> = (0..17).filter_map(|_| Rest::new(vec![0; 1 << 20], &undecoded)).collect();
        assert!(!undecoded.has_room());
        assert_eq!(undecoded.room_for_read(65_536), 4096);
        drop(many);
        assert_eq!(undecoded.room_for_read(65_536), 65_536);
    }
}
