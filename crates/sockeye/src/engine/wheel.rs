//! One timer for all connections: heartbeats, upgrades and close deadlines, on a coarse grid.
//!
//! A connection has no timer of its own. It is entered here for the earliest of its deadlines; when that comes, it is asked
//! what is due and when it wants to be asked again. An entry that has become too early costs one look.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::conn::Conn;

/// The grid: deadlines are rounded up to it, so that connections that are due together wake the server once.
const TICK: Duration = Duration::from_millis(20);

/// How many connections are looked at before other tasks get their turn.
const SLICE: usize = 256;

#[derive(Debug)]
pub(crate) struct Wheel {
    start: Instant,
    ticks: Mutex<BTreeMap<u64, Vec<Weak<Conn>>>>,
    earlier: Notify,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), ticks: Mutex::default(), earlier: Notify::new() }
    }

    /// Sees to it that `conn` is asked at `deadline`, up to one tick later.
    pub(crate) fn insert(&self, conn: &Arc<Conn>, deadline: std::time::Instant) {
        let tick = tick_of(Instant::from_std(deadline).saturating_duration_since(self.start));
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
            let due = self.start + TICK * u32::try_from(tick).unwrap_or(u32::MAX);
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

/// The first tick that is not before this time: a connection that is asked too early takes the entry for an old one.
fn tick_of(after: Duration) -> u64 {
    u64::try_from(after.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tick_is_before_its_deadline() {
        for nanos in [0, 1, 999_999, 1_000_000, 19_999_999, 20_000_000, 20_000_001, 20_700_000, 40_000_000] {
            let tick = tick_of(Duration::from_nanos(nanos));
            assert!(TICK * u32::try_from(tick).unwrap() >= Duration::from_nanos(nanos), "{nanos} ns in tick {tick}");
        }
        assert_eq!(tick_of(Duration::from_millis(40)), 2);
    }
}
