//! One timer for all connections: heartbeats, upgrades and close deadlines, on a coarse grid.
//!
//! A connection has no timer of its own. It is entered here for the earliest of its deadlines; when that comes, it is asked
//! what is due and when it wants to be asked again. An entry that has become too early costs one look.
//!
//! Deadlines are rounded up, so that connections that are due together wake the server once: to [`COARSEST`], and those that are
//! near to a fiftieth of the wait, so that short times are kept as well as long ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::driven::Driven;

/// The most that a deadline is rounded up, in milliseconds: that of a second or more.
const COARSEST: u128 = 20;

/// The part of the wait that a deadline may be rounded up.
const FRACTION: u128 = 50;

/// How many connections are looked at before other tasks get their turn.
const SLICE: usize = 256;

pub(crate) struct Wheel<C> {
    start: Instant,
    /// Who is to be asked, by the milliseconds since `start`.
    ticks: Mutex<BTreeMap<u64, Vec<Weak<C>>>>,
    earlier: Notify,
}

impl<C: Driven> Wheel<C> {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), ticks: Mutex::default(), earlier: Notify::new() }
    }

    /// Sees to it that `conn` is asked at `deadline`, or a little later.
    pub(crate) fn insert(&self, conn: &Arc<C>, deadline: std::time::Instant) {
        let deadline = Instant::from_std(deadline);
        let wait = deadline.saturating_duration_since(Instant::now());
        let tick = tick_of(deadline.saturating_duration_since(self.start), wait);
        let mut ticks = self.ticks.lock();
        let is_first = ticks.first_key_value().is_none_or(|(first, _)| tick < *first);
        ticks.entry(tick).or_default().push(Arc::downgrade(conn));
        drop(ticks);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Drives all deadlines, for as long as the future is polled.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let next = self.ticks.lock().first_key_value().map(|(tick, _)| *tick);
            let Some(tick) = next else {
                self.earlier.notified().await;
                continue;
            };
            let due = self.start + Duration::from_millis(tick);
            tokio::select! {
                () = tokio::time::sleep_until(due) => self.fire(tick).await,
                () = self.earlier.notified() => {}
            }
        }
    }

    async fn fire(&self, tick: u64) {
        let Some(entries) = self.ticks.lock().remove(&tick) else { return };
        let now = Instant::now().into_std();
        for slice in entries.chunks(SLICE) {
            for conn in slice.iter().filter_map(Weak::upgrade) {
                conn.handle_timeout(now);
            }
            tokio::task::yield_now().await;
        }
    }
}

/// The millisecond for a deadline that comes so long `after` the start, and so long a `wait` from now. It is not before the
/// deadline: a connection that is asked too early takes the entry for an old one.
fn tick_of(after: Duration, wait: Duration) -> u64 {
    let grid = (wait.as_millis() / FRACTION).clamp(1, COARSEST);
    let millis = after.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis.next_multiple_of(grid)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tick_is_before_its_deadline() {
        for nanos in [0, 1, 999_999, 1_000_000, 19_999_999, 20_000_000, 20_000_001, 20_700_000, 40_000_000] {
            for wait in [0, 1, 99, 200, 300, 25_000] {
                let tick = tick_of(Duration::from_nanos(nanos), Duration::from_millis(wait));
                assert!(Duration::from_millis(tick) >= Duration::from_nanos(nanos), "{nanos} ns in tick {tick}");
            }
        }
    }

    #[test]
    fn what_is_near_is_kept_more_exactly() {
        let late = |after: u64, wait: u64| tick_of(Duration::from_millis(after), Duration::from_millis(wait)) - after;
        assert!((1..100).all(|after| late(after, 20) == 0));
        assert!((1..1_000).all(|after| late(after, 200) < 4));
        assert!((1..1_000).all(|after| late(after, 1_000) < 20));
        // Many that wait for long come together.
        let ticks = (1..=1_000).map(|after| tick_of(Duration::from_millis(after), Duration::from_secs(25)));
        assert_eq!(ticks.collect::<std::collections::BTreeSet<_>>().len(), 50);
    }
}
