//! What the clients have seen: counters and latencies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use tokio::sync::Notify;

use crate::error::Failure;
use crate::shared::Window;

/// The observations of a run.
#[derive(Debug)]
pub(crate) struct Stats {
    /// One for each thread, so that clients seldom wait for one another.
    shards: Vec<Mutex<Tally>>,
    ready: AtomicU32,
    failures: Mutex<BTreeMap<String, u64>>,
    /// Tells that a client is ready or has failed.
    pub(crate) changed: Notify,
}

impl Stats {
    pub(crate) fn new(shards: u32) -> Self {
        Self {
            shards: (0..shards.max(1)).map(|_| Mutex::new(Tally::default())).collect(),
            ready: AtomicU32::new(0),
            failures: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The tally that a client writes into. To be held only while what has arrived is worked through.
    pub(crate) fn tally(&self, client: u32) -> MutexGuard<'_, Tally> {
        lock(&self.shards[client as usize % self.shards.len()])
    }

    /// All tallies together.
    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for shard in &self.shards {
            total.add(&lock(shard));
        }
        total
    }

    /// Counts a client that is connected and has joined what it should.
    pub(crate) fn count_ready(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    pub(crate) fn ready(&self) -> u32 {
        self.ready.load(Ordering::Relaxed)
    }

    pub(crate) fn count_failure(&self, failure: &Failure) {
        *lock(&self.failures).entry(failure.to_string()).or_default() += 1;
        self.changed.notify_one();
    }

    /// What went wrong, and how often.
    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        lock(&self.failures).clone()
    }
}

/// Counters and latencies of some clients. Latencies are in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Messages sent, in warm-up and after it.
    pub(crate) sent: u64,
    /// How many messages must come back for those.
    pub(crate) expected: u64,
    /// How many of them came.
    pub(crate) received: u64,
    /// Messages sent, and received, while measuring.
    pub(crate) measured_sent: u64,
    pub(crate) measured_received: u64,
    /// Events with the right name that are not of this run.
    pub(crate) foreign: u64,
    /// Pings of the server that were answered.
    pub(crate) heartbeats: u64,
    /// From the time at which a message should have been sent until it came back.
    pub(crate) latency: Histogram<u64>,
    /// From the time at which a message should have been sent until it was.
    pub(crate) late: Histogram<u64>,
}

impl Tally {
    /// Counts a message that is sent `now`, and for which so many must come back.
    pub(crate) fn count_sent(&mut self, intended: u64, now: u64, expected: u32, window: &Window) {
        self.sent += 1;
        self.expected += u64::from(expected);
        if window.measures(now) {
            self.measured_sent += 1;
        }
        if window.measures(intended) {
            self.late.saturating_record(now.saturating_sub(intended));
        }
    }

    /// Counts a message that came back.
    ///
    /// Latencies are those of the messages that should have been sent while measuring, whenever they come back: a server that
    /// stalls at the end is not spared.
    pub(crate) fn count_received(&mut self, intended: u64, now: u64, window: &Window) {
        self.received += 1;
        if window.measures(now) {
            self.measured_received += 1;
        }
        if window.measures(intended) {
            self.latency.saturating_record(now.saturating_sub(intended));
        }
    }

    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.expected += other.expected;
        self.received += other.received;
        self.measured_sent += other.measured_sent;
        self.measured_received += other.measured_received;
        self.foreign += other.foreign;
        self.heartbeats += other.heartbeats;
        // Both have the same bounds, so nothing can be out of range.
        self.latency.add(&other.latency).unwrap_or_default();
        self.late.add(&other.late).unwrap_or_default();
    }
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("the bounds are in order");
        Self {
            sent: 0,
            expected: 0,
            received: 0,
            measured_sent: 0,
            measured_received: 0,
            foreign: 0,
            heartbeats: 0,
            latency: histogram(),
            late: histogram(),
        }
    }
}

/// Longer latencies count as this: ten minutes.
const LONGEST: u64 = 600_000_000_000;
/// How many decimal digits of a latency are kept.
const DIGITS: u8 = 3;

/// A thread that panicked has left plain numbers behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start: 0, measure: 1_000, end: 2_000 };

    #[test]
    fn latency_counts_by_the_intended_time_and_the_rate_by_arrival() {
        let mut tally = Tally::default();
        tally.count_received(999, 1_500, &WINDOW); // of the warm-up
        assert_eq!((tally.received, tally.measured_received, tally.latency.len()), (1, 1, 0));
        tally.count_received(1_999, 9_999, &WINDOW); // after the end
        assert_eq!((tally.received, tally.measured_received, tally.latency.len()), (2, 1, 1));
        assert_eq!(tally.latency.max(), tally.latency.highest_equivalent(8_000));
        tally.count_received(2_000, 2_000, &WINDOW);
        assert_eq!((tally.received, tally.measured_received, tally.latency.len()), (3, 1, 1));
    }

    #[test]
    fn what_is_sent_late_is_told() {
        let mut tally = Tally::default();
        tally.count_sent(1_000, 1_500, 10, &WINDOW);
        tally.count_sent(500, 500, 10, &WINDOW);
        assert_eq!((tally.sent, tally.expected, tally.measured_sent), (2, 20, 1));
        assert_eq!((tally.late.len(), tally.late.max()), (1, 500));
    }

    #[test]
    fn shards_add_up_and_latencies_saturate() {
        let stats = Stats::new(2);
        for client in 0..4 {
            stats.tally(client).count_received(1_500, u64::MAX, &WINDOW);
        }
        let total = stats.total();
        assert_eq!((total.received, total.latency.len()), (4, 4));
        assert!(total.latency.max() >= LONGEST);
    }
}
